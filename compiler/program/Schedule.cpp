//===- Schedule.cpp - a family and its named integers ---------------------===//
#include "compiler/program/Schedule.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace attune {

std::optional<int> Schedule::get(std::string_view name) const {
  for (const auto &[key, value] : values)
    if (key == name)
      return value;
  return std::nullopt;
}

void Schedule::set(std::string_view name, int value) {
  for (auto &[key, old] : values)
    if (key == name) {
      old = value;
      return;
    }
  values.emplace_back(name, value);
}

bool Schedule::agreesWith(const Schedule &other) const {
  return (family.empty() || family == other.family) &&
         std::all_of(values.begin(), values.end(),
                     [&](const auto &part) { return other.get(part.first) == part.second; });
}

std::string Schedule::text() const {
  std::string values = valuesText();
  return family + (family.empty() || values.empty() ? "" : " ") + values;
}

std::string Schedule::valuesText() const {
  std::string result;
  for (const auto &[name, value] : values)
    result += fmt::format("{}{}={}", result.empty() ? "" : " ", name, value);
  return result;
}

Result<Schedule> Schedule::parse(std::string_view text) {
  Schedule schedule;
  size_t begin = 0;
  while ((begin = text.find_first_not_of(' ', begin)) != std::string_view::npos) {
    size_t end = std::min(text.find(' ', begin), text.size());
    std::string_view word = text.substr(begin, end - begin);
    size_t equals = word.find('=');
    if (equals == std::string_view::npos && schedule.empty()) {
      schedule.family = word;
    } else {
      int value = 0;
      const char *last = word.data() + word.size();
      bool good = equals != std::string_view::npos && equals > 0;
      if (good) {
        auto [stop, failed] = std::from_chars(word.data() + equals + 1, last, value);
        good = failed == std::errc() && stop == last && value >= 0;
      }
      if (!good || schedule.get(word.substr(0, equals)))
        return badInput(fmt::format("expected a family and NAME=NUMBER, each name once, got '{}'", word));
      schedule.values.emplace_back(word.substr(0, equals), value);
    }
    begin = end;
  }
  return schedule;
}

std::string Schedule::words() const {
  std::string result;
  for (const auto &[name, value] : values)
    result += fmt::format("{}{} {}", result.empty() ? "" : ", ", name, value);
  return result;
}

bool Schedule::operator==(const Schedule &other) const {
  return family == other.family && values.size() == other.values.size() && agreesWith(other);
}

} // namespace attune
