//===- Advisor.cpp - what a store knows, for planning ---------------------===//
#include "tuner/Advisor.h"

#include "compiler/spec/KernelForms.h"
#include "compiler/spec/SpecReader.h"
#include "tuner/CostModel.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <list>
#include <map>
#include <mutex>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace attune::tuner {

std::string differenceText(const AttentionSpec &stored, const AttentionSpec &spec) {
  std::vector<std::string> parts;
  if (stored.lse != spec.lse)
    parts.push_back(stored.lse ? "with LSE" : "without LSE");
  if (stored.runtimeScale != spec.runtimeScale || stored.effectiveScale() != spec.effectiveScale())
    parts.push_back("with another scale");
  KernelForms one = kernelForms(stored), other = kernelForms(spec);
  if (one.terms != other.terms)
    parts.push_back(one.terms.empty() && !one.mask ? "without a mask" : "with another mask");
  if (one.softcap.has_value() != other.softcap.has_value())
    parts.push_back(one.softcap ? "with a softcap" : "without a softcap");
  else if (one.softcap != other.softcap || stored.runtimeSoftcap != spec.runtimeSoftcap)
    parts.push_back("with another softcap");
  if (parts.empty() && tuningKey(stored) != tuningKey(spec))
    parts.push_back("with other scores"); // sinks, expressions, what is given at launch
  return fmt::format("{}", fmt::join(parts, ", "));
}

namespace {

std::string us(double value) {
  return value < 1e4 ? fmt::format("{:.1f} us", value) : fmt::format("{:.2f} ms", value / 1e3);
}

std::string shapeText(const ProblemShape &shape) {
  return fmt::format("batch {}, {} over {} heads, {} x {}", shape.batch, shape.headsQ, shape.headsKv,
                     shape.lengthQ, shape.lengthKv);
}

/// The shape with every dimension the next power of two. The model answers for that one, so that a program
/// that sees every length compiles a few kernels, not one for each change of the model's mind.
ProblemShape octaveOf(const ProblemShape &shape) {
  auto up = [](int64_t n) { return int64_t(std::bit_ceil(uint64_t(n))); };
  return {up(shape.batch), up(shape.headsQ), up(shape.headsKv), up(shape.lengthQ), up(shape.lengthKv)};
}

/// What decides an answer; equal ones have equal answers.
struct Question {
  AttentionSpec spec;
  std::string device, arch;
  DeviceKind kind;

  bool operator==(const Question &) const = default;
};

/// A result that may serve: of the spec itself or of one like it.
struct Winner {
  ProblemShape shape;
  Advice advice;          ///< `why` up to what it is of
  double away = 0;        ///< what the difference of the specs adds to the distance of the shapes
  std::string difference; ///< in words
};

/// What the model says.
struct Choice {
  std::optional<Advice> advice;
  double us = INFINITY;
};

/// A spec on a device: the winners of each source, read once, and the answers that were given.
struct Known {
  Question question;
  std::vector<std::vector<Winner>> sources;
  std::vector<std::pair<ProblemShape, Choice>> choices;              ///< the model's, by octave
  std::list<std::pair<ProblemShape, std::optional<Advice>>> answers; ///< latest first
};

class StoreAdvisor {
public:
  StoreAdvisor(std::shared_ptr<Store> store, const AdvisorOptions &options,
               std::function<void(const Error &)> onError)
      : store(std::move(store)), options(options), onError(std::move(onError)) {}

  std::optional<Advice> advise(const AttentionSpec &spec, const ProblemShape &problem,
                               const DeviceInfo &device) {
    const ScheduleFamily &schedules = familyFor(spec, device.arch).schedules;
    if (std::all_of(schedules.parameters.begin(), schedules.parameters.end(),
                    [&](const ScheduleParameter &part) { return spec.schedule.get(part.name).has_value(); }))
      return std::nullopt; // nothing is left open
    std::lock_guard guard(lock);
    Known &entry = known(spec, device);
    bool any =
        std::any_of(entry.sources.begin(), entry.sources.end(), [](const auto &one) { return !one.empty(); });
    ProblemShape shape = any ? problem : octaveOf(problem);
    for (const auto &[seen, answer] : entry.answers)
      if (seen == shape)
        return answer;
    std::optional<Advice> answer;
    for (const std::vector<Winner> &winners : entry.sources)
      if (!answer)
        answer = nearest(entry, winners, spec, shape, device);
    if (!answer)
      answer = choiceAt(entry, spec, octaveOf(shape), device).advice;
    constexpr size_t mostAnswers = 64;
    entry.answers.emplace_front(shape, answer);
    if (entry.answers.size() > mostAnswers)
      entry.answers.pop_back();
    return answer;
  }

private:
  Known &known(const AttentionSpec &spec, const DeviceInfo &device) {
    auto matches = [&](const Known &entry) {
      const Question &question = entry.question;
      return question.kind == device.kind && question.spec == spec && question.device == device.name &&
             question.arch == device.arch.name;
    };
    auto found = std::find_if(all.begin(), all.end(), matches);
    if (found == all.end()) {
      constexpr size_t mostKnown = 256;
      if (all.size() >= mostKnown)
        all.pop_back();
      all.push_front({{spec, device.name, device.arch.name, device.kind},
                      {ownWinners(spec, device), shippedWinners(spec, device)},
                      {},
                      {}});
    } else if (found != all.begin()) {
      all.splice(all.begin(), all, found);
    }
    return all.front();
  }

  /// What the difference of two specs is worth, in octaves of shape; nothing where one says nothing of the
  /// other.
  static std::optional<double> distance(const AttentionSpec &stored, const AttentionSpec &spec) {
    if (relatedKey(stored) != relatedKey(spec))
      return std::nullopt;
    if (tuningKey(stored) == tuningKey(spec))
      return 0;
    KernelForms one = kernelForms(stored), other = kernelForms(spec);
    double away = one.terms == other.terms ? 0.5 : 1;
    return away + (one.softcap.has_value() == other.softcap.has_value() ? 0 : 0.5);
  }

  Winner winnerOf(const StoredRow &stored, const AttentionSpec &of, const AttentionSpec &spec, double away,
                  const char *source) {
    Candidate candidate = *parseSchedule(*findFamily(stored.row.family), stored.row.schedule);
    bool measured = stored.subject.kind == Kind::Measured;
    return {
        stored.row.shape,
        {candidate.schedule, stored.row.target,
         fmt::format("{}, {}{}", measured ? "measured" : "tuned by estimate", us(stored.row.median), source)},
        away,
        differenceText(of, spec)};
  }

  WinnerQuery queryFor(const AttentionSpec &spec, const DeviceInfo &device) const {
    return {spec.schedule, options.target, familyFor(spec, device.arch).name()};
  }

  std::vector<Winner> ownWinners(const AttentionSpec &spec, const DeviceInfo &device) {
    std::vector<Winner> winners;
    auto failed = [&](const Error &error) {
      store = nullptr;
      if (onError)
        onError(error);
      return std::vector<Winner>();
    };
    if (!store)
      return winners;
    Kind kind = device.kind == DeviceKind::Sim ? Kind::Estimate : Kind::Measured;
    auto specs = store->specs(device.name, device.arch.name, kind);
    if (!specs)
      return failed(specs.error());
    for (const auto &[key, text] : *specs) {
      Result<AttentionSpec> of = readSpec(text, "store");
      std::optional<double> away = of ? distance(*of, spec) : std::nullopt;
      if (!away)
        continue;
      Result<std::vector<StoredRow>> rows =
          store->winners(device.name, device.arch.name, kind, key, queryFor(spec, device));
      if (!rows)
        return failed(rows.error());
      for (const StoredRow &stored : *rows)
        winners.push_back(winnerOf(stored, *of, spec, *away, ""));
    }
    return winners;
  }

  std::vector<Winner> shippedWinners(const AttentionSpec &spec, const DeviceInfo &device) {
    std::vector<Winner> winners;
    if (!options.shipped || device.kind == DeviceKind::Sim)
      return winners;
    std::map<std::string, std::vector<StoredRow>> bySpec;
    for (const StoredRow &stored : options.shipped->rows)
      if (stored.subject.kind == Kind::Measured && stored.subject.device == device.name &&
          stored.subject.arch == device.arch.name)
        bySpec[stored.subject.spec].push_back(stored);
    for (auto &[text, rows] : bySpec) {
      Result<AttentionSpec> of = readSpec(text, "shipped results");
      std::optional<double> away = of ? distance(*of, spec) : std::nullopt;
      if (!away)
        continue;
      std::sort(rows.begin(), rows.end(), [](const StoredRow &a, const StoredRow &b) {
        auto key = [](const ProblemShape &s) {
          return std::tuple(s.batch, s.headsQ, s.headsKv, s.lengthQ, s.lengthKv);
        };
        return std::tuple(key(a.row.shape), b.when) < std::tuple(key(b.row.shape), a.when);
      });
      for (const StoredRow &stored : winnersOf(rows, queryFor(spec, device)))
        winners.push_back(winnerOf(stored, *of, spec, *away, ", shipped with attune"));
    }
    return winners;
  }

  /// The model's choice for an octave, found once.
  const Choice &choiceAt(Known &entry, const AttentionSpec &spec, const ProblemShape &octave,
                         const DeviceInfo &device) {
    for (const auto &[seen, choice] : entry.choices)
      if (seen == octave)
        return choice;
    entry.choices.emplace_back(octave, modelChoice(spec, octave, device));
    return entry.choices.back().second;
  }

  /// The nearest winner, if it serves.
  std::optional<Advice> nearest(Known &entry, const std::vector<Winner> &winners, const AttentionSpec &spec,
                                const ProblemShape &shape, const DeviceInfo &device) {
    const Winner *best = nullptr;
    double least = INFINITY;
    for (const Winner &winner : winners)
      if (double away = winner.away + attune::distance(winner.shape, shape); away < least) {
        least = away;
        best = &winner;
      }
    if (!best)
      return std::nullopt;
    Candidate candidate{best->advice.schedule, best->advice.target};
    const Family &family = familyOf(candidate);
    // A result of another spec need not fit this one: a mask or a softcap takes registers.
    std::string ignored;
    candidate.schedule = family.schedules.standard(queryOf(spec, device.arch), candidate.schedule, ignored);
    if (!family.cost(spec, device.arch, candidate).limit.empty())
      return std::nullopt;
    if (least > 0) {
      ProblemShape octave = octaveOf(shape);
      double here = rank(spec, device, octave, {candidate}).front().estimate.us;
      if (choiceAt(entry, spec, octave, device).us * options.winnerMargin < here)
        return std::nullopt;
    }
    Advice advice = best->advice;
    advice.why += best->difference.empty() ? "" : ", " + best->difference;
    advice.why += best->shape == shape ? ", for this shape"
                  : attune::distance(best->shape, shape) == 0
                      ? fmt::format(", for as many heads: {}", shapeText(best->shape))
                      : fmt::format(", nearest shape: {}", shapeText(best->shape));
    return advice;
  }

  /// The compiler's own choice, unless the model has another one of that family clearly faster.
  Choice modelChoice(const AttentionSpec &spec, const ProblemShape &shape, const DeviceInfo &device) {
    Target target = options.target.value_or(Target::PTX);
    const Family &family = familyFor(spec, device.arch);
    Candidate standard = family.standard(spec, device.arch, target);
    Enumeration space = enumerate(family, spec, device.arch, target);
    // Where the model expects spills, only the assembler can tell; advice must be safe.
    std::erase_if(space.feasible, [&](const Candidate &candidate) {
      return family.cost(spec, device.arch, candidate).registers > safeRegisters;
    });
    std::vector<Ranked> own = rank(spec, device, shape, {standard});
    std::vector<Ranked> ranked = rank(spec, device, shape, space.feasible);
    double standardUs = own.front().estimate.us;
    bool other = !ranked.empty() && ranked.front().estimate.us * options.modelMargin < standardUs;
    const Ranked &chosen = other ? ranked.front() : own.front();
    if (!chosen.cost.limit.empty())
      return {std::nullopt, INFINITY}; // the compiler says best why a request cannot be
    std::string why = other ? fmt::format("the model's choice: about {}, the default about {}",
                                          us(chosen.estimate.us), us(standardUs))
                            : fmt::format("the default, which the model keeps: about {}", us(standardUs));
    return {
        Advice{chosen.candidate.schedule, target,
               fmt::format("{} for {}; nothing is tuned for it yet (attune tune)", why, shapeText(shape))},
        chosen.estimate.us};
  }

  static constexpr int safeRegisters = 240;

  std::mutex lock;
  std::shared_ptr<Store> store;
  AdvisorOptions options;
  std::function<void(const Error &)> onError;
  std::list<Known> all; ///< latest first
};

} // namespace

Advisor makeAdvisor(std::shared_ptr<Store> store, const AdvisorOptions &options,
                    std::function<void(const Error &)> onError) {
  auto advisor = std::make_shared<StoreAdvisor>(std::move(store), options, std::move(onError));
  return [advisor](const AttentionSpec &spec, const ProblemShape &shape, const DeviceInfo &device) {
    return advisor->advise(spec, shape, device);
  };
}

} // namespace attune::tuner
