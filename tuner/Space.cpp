//===- Space.cpp - what a schedule may be ---------------------------------===//
#include "tuner/Space.h"

#include "tuner/Portable.h"

#include "runtime/plan/CompiledProgram.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace attune::tuner {

const std::vector<const Family *> &allFamilies() {
  static const std::vector<const Family *> families = {&portableFamily()};
  return families;
}

const Family &familyFor(const AttentionSpec &spec, const Arch &arch) {
  // The last that serves is the most particular; the portable family serves everything.
  const std::vector<const Family *> &families = allFamilies();
  auto found = std::find_if(families.rbegin(), families.rend(),
                            [&](const Family *family) { return family->serves(spec, arch); });
  return found == families.rend() ? *families.front() : **found;
}

const Family *findFamily(std::string_view name) {
  const std::vector<const Family *> &families = allFamilies();
  auto found = std::find_if(families.begin(), families.end(),
                            [&](const Family *family) { return family->name == name; });
  return found == families.end() ? nullptr : *found;
}

static bool isTarget(const Parameter &parameter) { return parameter.name == "target"; }

std::string scheduleText(const Family &family, const Candidate &candidate) {
  std::string text;
  for (const Parameter &parameter : family.parameters)
    if (std::optional<int> value = parameter.get(candidate); value && !isTarget(parameter))
      text += fmt::format("{}{}={}", text.empty() ? "" : " ", parameter.name, *value);
  return text;
}

Result<Candidate> parseSchedule(const Family &family, std::string_view text) {
  Candidate candidate;
  size_t begin = 0;
  while ((begin = text.find_first_not_of(' ', begin)) != std::string_view::npos) {
    size_t end = std::min(text.find(' ', begin), text.size());
    std::string_view word = text.substr(begin, end - begin);
    size_t equals = std::min(word.find('='), word.size());
    auto parameter =
        std::find_if(family.parameters.begin(), family.parameters.end(), [&](const Parameter &known) {
          return !isTarget(known) && known.name == word.substr(0, equals);
        });
    int value = 0;
    const char *last = word.data() + word.size();
    bool good = parameter != family.parameters.end() && equals < word.size();
    if (good) {
      auto [stop, failed] = std::from_chars(word.data() + equals + 1, last, value);
      good = failed == std::errc() && stop == last && value > 0;
    }
    if (!good)
      return badInput(
          fmt::format("expected NAME=NUMBER with a parameter of the {} family, got '{}'", family.name, word));
    parameter->set(candidate, value);
    begin = end;
  }
  return candidate;
}

AttentionSpec withSchedule(const AttentionSpec &spec, const Candidate &candidate) {
  AttentionSpec result = spec;
  result.schedule = candidate.schedule;
  return result;
}

bool agrees(const ScheduleRequest &request, const Candidate &candidate) {
  auto same = [](const std::optional<int> &wanted, const std::optional<int> &got) {
    return !wanted || wanted == got;
  };
  const ScheduleRequest &has = candidate.schedule;
  return same(request.blockQ, has.blockQ) && same(request.blockKv, has.blockKv) &&
         same(request.stages, has.stages) && same(request.warps, has.warps);
}

Enumeration enumerate(const Family &family, const AttentionSpec &spec, const Arch &arch,
                      std::optional<Target> target) {
  Enumeration result;
  // What the spec fixes has one value, be it in the table or not.
  const Candidate fixed{spec.schedule, target.value_or(Target::PTX)};
  std::vector<std::vector<int>> values;
  for (const Parameter &parameter : family.parameters) {
    std::optional<int> only = parameter.get(fixed);
    bool open = !only || (isTarget(parameter) && !target);
    values.push_back(open ? parameter.values : std::vector<int>{*only});
  }
  // An odometer over the table: index[i] counts the values of parameter i, the last one fastest.
  std::vector<size_t> index(values.size(), 0);
  for (bool more = true; more;) {
    Candidate candidate;
    for (size_t i = 0; i < index.size(); ++i)
      family.parameters[i].set(candidate, values[i][index[i]]);
    ++result.points;
    Cost cost = family.cost(spec, arch, candidate);
    if (cost.limit.empty())
      result.feasible.push_back(candidate);
    else
      ++result.refusals[cost.limit];
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
