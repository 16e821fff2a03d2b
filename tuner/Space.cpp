//===- Space.cpp - what a schedule may be ---------------------------------===//
#include "tuner/Space.h"

#include "tuner/Portable.h"

#include "runtime/launch/CompiledProgram.h"

#include <algorithm>

#include <fmt/format.h>

namespace attune::tuner {

const std::vector<const Family *> &allFamilies() {
  static const std::vector<const Family *> families = {&portableFamily()};
  return families;
}

const Family &familyFor(const AttentionSpec &spec, const Arch &arch) {
  const Family *asked = findFamily(spec.schedule.family);
  const Family *best = asked ? asked : findFamily(familyFor(queryOf(spec, arch)).name);
  return best ? *best : *allFamilies().front();
}

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
    for (const auto &[name, value] : read->values)
      if (!family.schedules.find(name))
        wrong = fmt::format("expected a parameter of the {} family, got '{}={}'", family.name(), name, value);
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

Enumeration enumerate(const Family &family, const AttentionSpec &spec, const Arch &arch,
                      std::optional<Target> target) {
  Enumeration result;
  ScheduleQuery query = queryOf(spec, arch);
  // What the spec fixes has one value, be it in the table or not.
  std::vector<std::vector<int>> values;
  for (const ScheduleParameter &parameter : family.schedules.parameters) {
    std::optional<int> fixed = spec.schedule.get(parameter.name);
    values.push_back(fixed ? std::vector<int>{*fixed} : parameter.candidates);
  }
  std::vector<Target> targets = {Target::PTX, Target::CUDA};
  if (target)
    targets = {*target};
  // An odometer over the table: index[i] counts the values of parameter i, the last one fastest.
  std::vector<size_t> index(values.size(), 0);
  for (bool more = true; more;) {
    Schedule schedule{std::string(family.name()), {}};
    for (size_t i = 0; i < index.size(); ++i)
      schedule.values.emplace_back(family.schedules.parameters[i].name, values[i][index[i]]);
    ScheduleCost cost = family.schedules.cost(query, schedule);
    result.points += int64_t(targets.size());
    if (!cost.limit.empty())
      result.refusals[cost.limit] += int64_t(targets.size());
    else
      for (Target which : targets)
        result.feasible.push_back({schedule, which});
    more = false;
    for (size_t i = index.size(); i-- > 0 && !more;) {
      more = ++index[i] < values[i].size();
      if (!more)
        index[i] = 0;
    }
  }
  return result;
}

} // namespace attune::tuner
