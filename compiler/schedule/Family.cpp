//===- Family.cpp - families of schedules ---------------------------------===//
#include "compiler/schedule/Family.h"

#include "compiler/spec/Diagnostics.h"
#include "compiler/spec/KernelForms.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace attune {

ScheduleQuery queryOf(const AttentionSpec &spec, const Arch &arch) {
  return {spec.headDimQk, spec.headDimV, spec.dtype, kernelForms(spec).hasFirstKey(), arch};
}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

bool ScheduleParameter::takes(int value) const {
  return value >= least && value <= most && value % step == 0 && (!powersOfTwo || (value & (value - 1)) == 0);
}

int ScheduleParameter::nearest(double value) const {
  value = std::clamp(value, double(least), double(most));
  int best = least;
  // Half way between two the larger one is named: it loses nothing.
  for (int candidate = least; candidate <= most; candidate += step)
    if (takes(candidate) && std::abs(candidate - value) <= std::abs(best - value))
      best = candidate;
  return best;
}

std::string ScheduleParameter::flag() const {
  std::string result = "--" + std::string(name);
  std::replace(result.begin(), result.end(), '_', '-');
  return result;
}

const ScheduleParameter *ScheduleFamily::find(std::string_view parameter) const {
  auto found = std::find_if(parameters.begin(), parameters.end(),
                            [&](const ScheduleParameter &known) { return known.name == parameter; });
  return found == parameters.end() ? nullptr : &*found;
}

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

const std::vector<const ScheduleFamily *> &scheduleFamilies() {
  static const std::vector<const ScheduleFamily *> families = {&portable::family, &hopper::family};
  return families;
}

const ScheduleFamily *findScheduleFamily(std::string_view name) {
  const std::vector<const ScheduleFamily *> &families = scheduleFamilies();
  auto found = std::find_if(families.begin(), families.end(),
                            [&](const ScheduleFamily *family) { return family->name == name; });
  return found == families.end() ? nullptr : *found;
}

const ScheduleFamily &familyFor(const ScheduleQuery &query, const Schedule &request) {
  const std::vector<const ScheduleFamily *> &families = scheduleFamilies();
  auto takes = [&](const ScheduleFamily *family) {
    return family->serves(query) &&
           std::all_of(request.values.begin(), request.values.end(),
                       [&](const auto &value) { return family->find(value.first) != nullptr; });
  };
  auto found = std::find_if(families.rbegin(), families.rend(), takes);
  return found == families.rend() ? *families.front() : **found;
}

const std::vector<const ScheduleParameter *> &scheduleParameters() {
  static const std::vector<const ScheduleParameter *> all = [] {
    std::vector<const ScheduleParameter *> result;
    for (const ScheduleFamily *family : scheduleFamilies())
      for (const ScheduleParameter &parameter : family->parameters)
        if (std::none_of(result.begin(), result.end(),
                         [&](const ScheduleParameter *known) { return known->name == parameter.name; }))
          result.push_back(&parameter);
    return result;
  }();
  return all;
}

Schedule ordered(Schedule schedule) {
  Schedule result{schedule.family, {}};
  for (const ScheduleParameter *parameter : scheduleParameters())
    if (std::optional<int> value = schedule.get(parameter->name))
      result.set(parameter->name, *value);
  for (const auto &[name, value] : schedule.values)
    result.set(name, value);
  return result;
}

//===----------------------------------------------------------------------===//
// The decision
//===----------------------------------------------------------------------===//

namespace {
/// Looks for the legal schedule closest to one that is not: fewest parameters changed, then the smallest
/// steps.
class Neighbours {
public:
  Neighbours(const ScheduleFamily &family, const ScheduleQuery &query, const Schedule &wanted)
      : family(family), query(query), wanted(wanted), candidate(wanted) {}

  std::optional<Schedule> nearest() {
    for (size_t changes = 1; changes <= family.parameters.size() && !best; ++changes)
      change(0, changes, 0);
    return best;
  }

private:
  /// Changes `changes` of the parameters from number `first` on; `distance` is that of those changed before.
  void change(size_t first, size_t changes, double distance) {
    if (best && distance >= bestDistance)
      return;
    if (changes == 0) {
      if (family.cost(query, candidate).limit.empty()) {
        best = candidate;
        bestDistance = distance;
      }
      return;
    }
    for (size_t i = first; i + changes <= family.parameters.size(); ++i) {
      const ScheduleParameter &parameter = family.parameters[i];
      int old = wanted.value(parameter.name);
      // A tuner's largest value is the largest that is worth proposing.
      int most = parameter.candidates.back();
      for (int value = parameter.least; value <= most; value += parameter.step) {
        if (value == old || !parameter.takes(value))
          continue;
        candidate.set(parameter.name, value);
        change(i + 1, changes - 1, distance + double(std::abs(value - old)) / parameter.step);
      }
      candidate.set(parameter.name, old);
    }
  }

  const ScheduleFamily &family;
  const ScheduleQuery &query;
  const Schedule &wanted;
  Schedule candidate;
  std::optional<Schedule> best;
  double bestDistance = 0;
};
} // namespace

Result<DecidedSchedule> decideSchedule(const ScheduleQuery &query, const Schedule &request) {
  const ScheduleFamily *family = &familyFor(query, request);
  if (!request.family.empty()) {
    std::vector<std::string> names;
    for (const ScheduleFamily *known : scheduleFamilies())
      names.emplace_back(known->name);
    family = findScheduleFamily(request.family);
    if (!family)
      return badInput(fmt::format("expected a schedule family among {}, got '{}'", fmt::join(names, ", "),
                                  request.family));
    if (!family->serves(query))
      return badInput(fmt::format("expected a schedule family that serves this spec on {}, got '{}' ({})",
                                  query.arch.name, request.family, family->summary));
  }
  for (const auto &[name, value] : request.values) {
    const ScheduleParameter *parameter = family->find(name);
    if (!parameter) {
      std::vector<std::string_view> names;
      for (const ScheduleParameter &known : family->parameters)
        names.push_back(known.name);
      return badInput(fmt::format("expected a parameter of the {} family ({}), got '{}'", family->name,
                                  fmt::join(names, ", "), name));
    }
    if (!parameter->takes(value))
      return badInput(fmt::format("expected {} of {}..{}, got {} (nearest: {})", name, parameter->least,
                                  parameter->most, value, parameter->nearest(value)));
  }
  DecidedSchedule decided{family, {}, {}, query.arch, {}};
  decided.schedule = ordered(family->standard(query, request, decided.why));
  decided.schedule.family = family->name;
  decided.cost = family->cost(query, decided.schedule);
  if (!decided.cost.limit.empty()) {
    std::optional<Schedule> other = Neighbours(*family, query, decided.schedule).nearest();
    return badInput(
        fmt::format("the schedule {} does not fit: {}{}", decided.schedule.words(), decided.cost.refusal,
                    other ? "; the nearest schedule that fits is " + other->words() : std::string()));
  }
  if (!request.values.empty())
    decided.why = "as the spec asks; what it leaves open fitted around it";
  if (family->archSpecific)
    if (Result<Arch> specific = archSpecificTarget(query.arch); specific)
      decided.arch = *specific;
  return decided;
}

} // namespace attune
