//===- Advisor.cpp - what a store knows, for planning ---------------------===//
#include "tuner/Advisor.h"

#include "tuner/CostModel.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <list>
#include <mutex>

#include <fmt/format.h>

namespace attune::tuner {

double distance(const ProblemShape &a, const ProblemShape &b) {
  auto octaves = [](double x, double y) { return std::abs(std::log2(x / y)); };
  // Batch and heads make one number of independent problems.
  return octaves(double(a.batch) * double(a.headsQ), double(b.batch) * double(b.headsQ)) +
         octaves(double(a.headsQ) / double(a.headsKv), double(b.headsQ) / double(b.headsKv)) +
         octaves(double(a.lengthQ), double(b.lengthQ)) + octaves(double(a.lengthKv), double(b.lengthKv));
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

/// A spec on a device: the store's winners, read once, and the answers that were given.
struct Known {
  Question question;
  std::vector<std::pair<ProblemShape, Advice>> winners;
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
    ProblemShape shape = entry.winners.empty() ? octaveOf(problem) : problem;
    for (const auto &[seen, answer] : entry.answers)
      if (seen == shape)
        return answer;
    std::optional<Advice> answer = nearest(entry, shape);
    if (!answer || contradicted(entry, *answer, spec, shape, device))
      answer = modelChoice(spec, entry.winners.empty() ? shape : octaveOf(shape), device);
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
      all.push_front({{spec, device.name, device.arch.name, device.kind}, readWinners(spec, device), {}});
    } else if (found != all.begin()) {
      all.splice(all.begin(), all, found);
    }
    return all.front();
  }

  std::vector<std::pair<ProblemShape, Advice>> readWinners(const AttentionSpec &spec,
                                                           const DeviceInfo &device) {
    std::vector<std::pair<ProblemShape, Advice>> winners;
    if (!store)
      return winners;
    Kind kind = device.kind == DeviceKind::Sim ? Kind::Estimate : Kind::Measured;
    Result<std::vector<StoredRow>> rows =
        store->winners(device.name, device.arch.name, kind, tuningKey(spec), spec.schedule, options.target);
    if (!rows) {
      store = nullptr;
      if (onError)
        onError(rows.error());
      return winners;
    }
    for (const StoredRow &stored : *rows) {
      const Family *family = findFamily(stored.row.family);
      Result<Candidate> candidate = parseSchedule(*family, stored.row.schedule);
      Advice advice{candidate->schedule, stored.row.target,
                    fmt::format("{}, {}", kind == Kind::Estimate ? "tuned by estimate" : "measured",
                                us(stored.row.median))};
      winners.emplace_back(stored.row.shape, std::move(advice));
    }
    return winners;
  }

  static std::optional<Advice> nearest(const Known &entry, const ProblemShape &shape) {
    const std::pair<ProblemShape, Advice> *best = nullptr;
    double least = INFINITY;
    for (const auto &winner : entry.winners)
      if (double away = distance(winner.first, shape); away < least) {
        least = away;
        best = &winner;
      }
    if (!best)
      return std::nullopt;
    Advice advice = best->second;
    advice.why +=
        least == 0 ? ", for this shape" : fmt::format(", nearest shape: {}", shapeText(best->first));
    return advice;
  }

  /// Whether the model says clearly that a winner of a far shape is not good for this one: how kernels
  /// compare changes with the shape, and what was found for 32768 times the work says nothing.
  bool contradicted(const Known &entry, const Advice &advice, const AttentionSpec &spec,
                    const ProblemShape &shape, const DeviceInfo &device) {
    double least = INFINITY;
    for (const auto &winner : entry.winners)
      least = std::min(least, distance(winner.first, shape));
    if (least <= farAway)
      return false;
    const Family &family = familyFor(spec, device.arch);
    Candidate winner{advice.schedule, advice.target};
    Enumeration space = enumerate(family, spec, device.arch, advice.target);
    std::vector<Ranked> own = rank(family, spec, device, shape, {winner});
    std::vector<Ranked> ranked = rank(family, spec, device, shape, space.feasible);
    return !ranked.empty() && ranked.front().estimate.us * options.modelMargin < own.front().estimate.us;
  }

  /// The compiler's own choice, unless the model has another one clearly faster.
  std::optional<Advice> modelChoice(const AttentionSpec &spec, const ProblemShape &shape,
                                    const DeviceInfo &device) {
    Target target = options.target.value_or(Target::PTX);
    const Family &family = familyFor(spec, device.arch);
    Candidate standard = family.standard(spec, device.arch, target);
    Enumeration space = enumerate(family, spec, device.arch, target);
    // Where the model expects spills, only the assembler can tell; advice must be safe.
    std::erase_if(space.feasible, [&](const Candidate &candidate) {
      return family.cost(spec, device.arch, candidate).registers > safeRegisters;
    });
    std::vector<Ranked> own = rank(family, spec, device, shape, {standard});
    std::vector<Ranked> ranked = rank(family, spec, device, shape, space.feasible);
    double standardUs = own.front().estimate.us;
    bool other = !ranked.empty() && ranked.front().estimate.us * options.modelMargin < standardUs;
    const Ranked &chosen = other ? ranked.front() : own.front();
    if (!chosen.cost.limit.empty())
      return std::nullopt; // the compiler says best why a request cannot be
    std::string why = other ? fmt::format("the model's choice: about {}, the default about {}",
                                          us(chosen.estimate.us), us(standardUs))
                            : fmt::format("the default, which the model keeps: about {}", us(standardUs));
    return Advice{chosen.candidate.schedule, target,
                  fmt::format("{} for {}; nothing is tuned for it yet (attune tune)", why, shapeText(shape))};
  }

  static constexpr int safeRegisters = 240;
  static constexpr double farAway = 2; ///< octaves

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
