//===- Space.cpp - what a schedule may be ---------------------------------===//
#include "tuner/Space.h"

#include "tuner/Hopper.h"
#include "tuner/Portable.h"

#include "runtime/launch/CompiledProgram.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

namespace attune::tuner {

const std::vector<const Family *> &allFamilies() {
  static const std::vector<const Family *> families = {&portableFamily(), &hopperFamily()};
  return families;
}

const Family &familyFor(const AttentionSpec &spec, const Arch &arch) {
  const Family *asked = findFamily(spec.schedule.family);
  return asked ? *asked : *findFamily(familyFor(queryOf(spec, arch), spec.schedule).name);
}

std::vector<const Family *> familiesFor(const AttentionSpec &spec, const Arch &arch) {
  std::vector<const Family *> families = {&familyFor(spec, arch)};
  if (!spec.schedule.family.empty())
    return families;
  ScheduleQuery query = queryOf(spec, arch);
  for (const Family *family : allFamilies()) {
    bool known =
        std::all_of(spec.schedule.values.begin(), spec.schedule.values.end(),
                    [&](const auto &value) { return family->schedules.find(value.first) != nullptr; });
    if (family != families.front() && known && family->schedules.serves(query))
      families.push_back(family);
  }
  return families;
}

const Family &familyOf(const Candidate &candidate) { return *findFamily(candidate.schedule.family); }

const Family *findFamily(std::string_view name) {
  const std::vector<const Family *> &families = allFamilies();
  auto found = std::find_if(families.begin(), families.end(),
                            [&](const Family *family) { return family->name() == name; });
  return found == families.end() ? nullptr : *found;
}

const std::string_view targetReason =
    "who orders the instructions: LLVM prints PTX, or NVRTC compiles CUDA C++";

ScheduleCost Family::cost(const AttentionSpec &spec, const Arch &arch, const Candidate &candidate) const {
  return schedules.cost(queryOf(spec, arch), candidate.schedule);
}

Candidate Family::standard(const AttentionSpec &spec, const Arch &arch, Target target) const {
  std::string why;
  return {ordered(schedules.standard(queryOf(spec, arch), spec.schedule, why)), target};
}

std::string scheduleText(const Candidate &candidate) { return ordered(candidate.schedule).valuesText(); }

Result<Candidate> parseSchedule(const Family &family, std::string_view text) {
  Result<Schedule> read = Schedule::parse(text);
  std::string wrong(read ? "" : read.error().message);
  if (read && !read->family.empty())
    wrong = fmt::format("expected NAME=NUMBER, got '{}'", read->family);
  if (read)
    for (const auto &[name, value] : read->values) {
      if (const ScheduleParameter *parameter = family.schedules.find(name); !parameter)
        wrong = fmt::format("expected a parameter of the {} family, got '{}={}'", family.name(), name, value);
      else if (!parameter->takes(value))
        wrong = fmt::format("expected {} of {}..{}, got '{}={}' (nearest: {})", name, parameter->least,
                            parameter->most, name, value, parameter->nearest(value));
    }
  if (!wrong.empty())
    return badInput(std::move(wrong));
  read->family = family.name();
  return Candidate{*read, Target::PTX};
}

AttentionSpec withSchedule(const AttentionSpec &spec, const Candidate &candidate) {
  AttentionSpec result = spec;
  result.schedule = candidate.schedule;
  return result;
}

namespace {
/// Points of a product of parameters, beyond which the last ones are tried beside the default alone.
constexpr size_t mostPoints = 1500;

/// Calls `visit` for each choice of one value a parameter.
void product(std::vector<std::vector<int>> values,
             const std::function<void(const std::vector<int> &)> &visit) {
  std::vector<size_t> index(values.size(), 0);
  std::vector<int> chosen(values.size());
  // An odometer: index[i] counts the values of parameter i, the last one fastest.
  for (bool more = true; more;) {
    for (size_t i = 0; i < index.size(); ++i)
      chosen[i] = values[i][index[i]];
    visit(chosen);
    more = false;
    for (size_t i = index.size(); i-- > 0 && !more;) {
      more = ++index[i] < values[i].size();
      if (!more)
        index[i] = 0;
    }
  }
}
} // namespace

Enumeration enumerate(const Family &family, const AttentionSpec &spec, const Arch &arch,
                      std::optional<Target> target) {
  Enumeration result;
  ScheduleQuery query = queryOf(spec, arch);
  const std::vector<ScheduleParameter> &parameters = family.schedules.parameters;
  // What the spec fixes has one value, be it in the table or not.
  std::vector<std::vector<int>> values;
  for (const ScheduleParameter &parameter : parameters) {
    std::optional<int> fixed = spec.schedule.get(parameter.name);
    values.push_back(fixed ? std::vector<int>{*fixed} : parameter.candidates);
  }
  std::vector<Target> targets = {Target::PTX, Target::CUDA};
  if (target)
    targets = {*target};
  auto visit = [&](const std::vector<int> &chosen) {
    Schedule schedule{std::string(family.name()), {}};
    for (size_t i = 0; i < chosen.size(); ++i)
      schedule.values.emplace_back(parameters[i].name, chosen[i]);
    ScheduleCost cost = family.schedules.cost(query, schedule);
    result.points += int64_t(targets.size());
    if (!cost.limit.empty())
      result.refusals[cost.limit] += int64_t(targets.size());
    else
      for (Target which : targets)
        result.feasible.push_back({schedule, which});
  };
  size_t leading = 0, points = 1;
  while (leading < values.size() && points * values[leading].size() <= mostPoints)
    points *= values[leading++].size();
  if (leading == values.size()) {
    product(values, visit);
    return result;
  }
  // The further parameters at their defaults; then each of their other values beside the default of all else.
  const Schedule standard = family.standard(spec, arch, targets.front()).schedule;
  auto usual = [&](size_t i) {
    return std::vector<int>{
        spec.schedule.get(parameters[i].name).value_or(standard.value(parameters[i].name))};
  };
  std::vector<std::vector<int>> narrow = values, alone;
  for (size_t i = 0; i < values.size(); ++i) {
    alone.push_back(usual(i));
    if (i >= leading)
      narrow[i] = usual(i);
  }
  product(narrow, visit);
  for (size_t i = leading; i < values.size(); ++i) {
    std::vector<std::vector<int>> changed = alone;
    changed[i] = values[i];
    std::erase(changed[i], alone[i].front());
    if (!changed[i].empty())
      product(changed, visit);
  }
  return result;
}

} // namespace attune::tuner
