//===- ModelCheck.cpp - the cost model against measured schedules ---------===//
#include "tuner/ModelCheck.h"

#include "compiler/spec/SpecReader.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace attune::tuner {
namespace {

/// A measured schedule with all that does not depend on coefficients.
struct Sample {
  Work work;
  ScheduleCost cost;
  Row row;
  std::tuple<std::string, std::vector<int>, Target>
      place; ///< of equal estimates the first of the table is taken
};

struct Samples {
  GpuFigures figures;
  std::vector<Sample> all;
  std::optional<size_t> standard;
};

std::vector<double> estimates(const Samples &samples, const Coefficients &fit) {
  std::vector<double> us;
  us.reserve(samples.all.size());
  for (const Sample &sample : samples.all)
    us.push_back(estimate(samples.figures, sample.work, sample.cost, fit).us);
  return us;
}

Verdicts judge(const Samples &samples, const Coefficients &fit) {
  std::vector<double> us = estimates(samples, fit);
  const std::vector<Sample> &all = samples.all;
  Verdicts verdicts;
  double agreeing = 0;
  for (size_t i = 0; i < all.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      const Row &a = all[i].row, &b = all[j].row;
      if (a.low <= b.high && b.low <= a.high)
        continue; // nobody knows which is faster
      ++verdicts.pairs;
      double sign = (us[i] - us[j]) * (a.median - b.median);
      agreeing += sign > 0 ? 1 : sign < 0 ? -1 : 0;
    }
  verdicts.tau = verdicts.pairs ? agreeing / double(verdicts.pairs) : 0;
  size_t best = 0, choice = 0;
  for (size_t i = 1; i < all.size(); ++i) {
    if (all[i].row.median < all[best].row.median)
      best = i;
    if (std::tie(us[i], all[i].place) < std::tie(us[choice], all[choice].place))
      choice = i;
  }
  verdicts.choice = choice;
  const Row &chosen = all[choice].row;
  verdicts.regret = chosen.median / all[best].row.median - 1;
  verdicts.surelyLost = std::max(0.0, chosen.low / all[best].row.high - 1);
  if (samples.standard)
    verdicts.toStandard = chosen.median / all[*samples.standard].row.median;
  return verdicts;
}

//===----------------------------------------------------------------------===//
// Fitting
//===----------------------------------------------------------------------===//

/// What fitting makes small: how the estimates scatter about the measured times of each sweep, a little of
/// how far they are off in all, and what is lost by taking the first (over those that are nearly first).
double loss(const std::vector<const Samples *> &sweeps, const Coefficients &fit) {
  constexpr double offset = 0.1, choosing = 0.03, nearly = 0.008;
  double total = 0;
  for (const Samples *sweep : sweeps) {
    std::vector<double> us = estimates(*sweep, fit);
    double fastest = INFINITY, first = INFINITY;
    for (size_t i = 0; i < us.size(); ++i) {
      fastest = std::min(fastest, sweep->all[i].row.median);
      first = std::min(first, us[i]);
    }
    double weights = 0, mean = 0, squares = 0, chances = 0, lost = 0;
    for (size_t i = 0; i < us.size(); ++i) {
      double measured = sweep->all[i].row.median, weight = std::pow(fastest / measured, 3);
      double error = std::log(us[i] / measured), chance = std::exp(-(us[i] / first - 1) / nearly);
      weights += weight;
      mean += weight * error;
      squares += weight * error * error;
      chances += chance;
      lost += chance * (measured / fastest - 1);
    }
    mean /= weights;
    total += squares / weights - mean * mean + offset * mean * mean + choosing * lost / chances;
  }
  return total / double(sweeps.size());
}

/// Compass search from `start`, within what is believable: few coefficients, a smooth valley, no randomness.
Coefficients fitTo(const std::vector<const Samples *> &sweeps, const Coefficients &start) {
  Coefficients best = start;
  double least = loss(sweeps, best);
  for (double step = 0.08; step > 0.004; step /= 2)
    for (bool better = true; better;) {
      better = false;
      for (const Coefficients::Field &field : Coefficients::fields())
        for (double direction : {1.0, -1.0}) {
          Coefficients changed = best;
          double &value = changed.*field.value;
          value = std::clamp(value + direction * step * (field.most - field.least), field.least, field.most);
          if (double now = loss(sweeps, changed); now < least * (1 - 2e-4)) {
            least = now;
            best = changed;
            better = true;
            break;
          }
        }
    }
  return best;
}

/// The rows of one subject and shape that can be judged. The device is described by its name and
/// architecture.
std::optional<Samples> samplesOf(const CheckedSweep &sweep) {
  Result<AttentionSpec> spec = readSpec(sweep.subject.spec, "spec");
  Result<Arch> arch = findArch(sweep.subject.arch);
  if (!spec || !arch)
    return std::nullopt;
  Samples samples;
  samples.figures = gpuFiguresFor(sweep.subject.device, arch->computeCapability);
  for (const StoredRow &stored : sweep.rows) {
    Candidate candidate = *parseSchedule(*findFamily(stored.row.family), stored.row.schedule);
    candidate.target = stored.row.target;
    const Family &family = familyOf(candidate);
    // What an older table called a schedule may lack parameters of today's: they are at their defaults.
    std::string why;
    candidate.schedule = family.schedules.standard(queryOf(*spec, *arch), candidate.schedule, why);
    Sample sample{family.work(*spec, *arch, sweep.shape, candidate),
                  family.cost(*spec, *arch, candidate),
                  stored.row,
                  {stored.row.family, {}, stored.row.target}};
    for (const ScheduleParameter &parameter : family.schedules.parameters)
      std::get<1>(sample.place).push_back(candidate.schedule.value(parameter.name));
    samples.all.push_back(std::move(sample));
  }
  // The compiler's own choice of the family that it takes, if that was in the sweep at all, else of the one
  // that was.
  const Family *own = &familyFor(*spec, *arch);
  if (std::none_of(sweep.rows.begin(), sweep.rows.end(),
                   [&](auto &stored) { return stored.row.family == own->name(); }))
    own = findFamily(sweep.rows.front().row.family);
  std::vector<int> values;
  const Schedule standard = own->standard(*spec, *arch, Target::PTX).schedule;
  for (const ScheduleParameter &parameter : own->schedules.parameters)
    values.push_back(standard.value(parameter.name));
  for (Target target : {Target::CUDA, Target::PTX}) // the same schedule for both: target ptx is the default
    for (size_t i = 0; i < samples.all.size(); ++i)
      if (samples.all[i].place == std::tuple(std::string(own->name()), values, target))
        samples.standard = i;
  return samples;
}

/// Where fits begin that must not have seen what they are judged by: the middle of what is believable.
Coefficients middle() {
  Coefficients fit;
  for (const Coefficients::Field &field : Coefficients::fields())
    fit.*field.value = (field.least + field.most) / 2;
  return fit;
}

} // namespace

ModelReport checkModel(const Exchange &exchange, bool fitAll) {
  ModelReport report;
  for (const StoredRow &stored : exchange.rows) {
    const Row &row = stored.row;
    const Family *family = findFamily(row.family);
    if (stored.subject.kind != Kind::Measured || row.verdict != Verdict::Passed || row.median <= 0 ||
        !family || !parseSchedule(*family, row.schedule)) {
      ++report.left;
      continue;
    }
    auto same = std::find_if(report.sweeps.begin(), report.sweeps.end(), [&](const CheckedSweep &sweep) {
      return sweep.subject == stored.subject && sweep.shape == row.shape;
    });
    if (same == report.sweeps.end())
      same = report.sweeps.insert(same, {stored.subject, row.shape, {}, 0, {}, {}});
    same->rows.push_back(stored);
  }
  std::vector<Samples> samples;
  std::erase_if(report.sweeps, [&](const CheckedSweep &sweep) {
    std::optional<Samples> taken;
    if (sweep.rows.size() >= leastRows)
      taken = samplesOf(sweep);
    if (taken)
      samples.push_back(std::move(*taken));
    else
      report.left += sweep.rows.size();
    return !taken;
  });
  report.fitted = samples.size() > 1;
  for (size_t i = 0; i < samples.size(); ++i) {
    CheckedSweep &sweep = report.sweeps[i];
    sweep.asShipped = sweep.leftOut = judge(samples[i], kCoefficients);
    double logs = 0;
    std::vector<double> us = estimates(samples[i], kCoefficients);
    for (size_t j = 0; j < us.size(); ++j)
      logs += std::log(samples[i].all[j].row.median / us[j]);
    sweep.scale = std::exp(logs / double(us.size()));
    if (!report.fitted)
      continue;
    std::vector<const Samples *> others;
    for (size_t j = 0; j < samples.size(); ++j)
      if (j != i)
        others.push_back(&samples[j]);
    sweep.leftOut = judge(samples[i], fitTo(others, middle()));
  }
  if (fitAll && !samples.empty()) {
    std::vector<const Samples *> all;
    for (const Samples &one : samples)
      all.push_back(&one);
    report.best = fitTo(all, middle());
  }
  return report;
}

} // namespace attune::tuner
