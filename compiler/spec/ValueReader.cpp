//===- ValueReader.cpp - typed values out of JSON and flags ---------------===//
#include "compiler/spec/ValueReader.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace attune {

using json::Value;
using Kind = json::Value::Kind;

void ValueReader::error(const Value &at, std::string message) {
  auto place = [&](std::string_view source, std::string_view name) {
    flagErrors += fmt::format("{}{}: {}: error: {}", flagErrors.empty() ? "" : "\n", source, name, message);
  };
  if (flag)
    place("command line", flag->flag);
  else if (origin == Origin::Program && !currentKey.empty())
    place(file, currentKey);
  else
    diagnostics.push_back({at.range, std::move(message)});
}

void ValueReader::errorsInside(const Value &at, std::string_view key, const std::vector<Diagnostic> &inside) {
  if (inside.empty())
    return;
  if (flag || origin == Origin::Program) {
    std::string place = flag ? "command line: " + flag->flag : fmt::format("{}: {}", file, key);
    flagErrors += (flagErrors.empty() ? "" : "\n") + render(at.text, place, inside);
    return;
  }
  // Without escapes the string stands in the file as it is.
  bool asWritten = text.substr(std::min(at.range.begin + 1, text.size())).starts_with(at.text);
  for (const Diagnostic &one : inside)
    if (asWritten)
      diagnostics.push_back(
          {{at.range.begin + 1 + one.range.begin, at.range.begin + 1 + one.range.end}, one.message});
    else
      diagnostics.push_back(
          {at.range, fmt::format("{} of the expression: {}",
                                 locationOf(at.text, "", one.range.begin).substr(1), one.message)});
}

void ValueReader::mismatch(const Value &at, const std::string &expected, const std::string &nearest) {
  if (at.kind != Kind::Invalid) // else the syntax error has been reported
    error(at, fmt::format("expected {}, got {}{}", expected, json::describe(at),
                          nearest.empty() ? "" : fmt::format(" (nearest: {})", nearest)));
}

std::optional<int64_t> ValueReader::integer(const Value &value, int64_t least, int64_t most, int64_t step) {
  std::string what = step > 1 ? fmt::format("a multiple of {} from {} to {}", step, least, most)
                     : most == limits::maxWindow ? fmt::format("a whole number from {} on, below 2^30", least)
                                                 : fmt::format("a whole number from {} to {}", least, most);
  if (value.kind != Kind::Number) {
    mismatch(value, what);
    return {};
  }
  // Half way between two steps the larger one is named: it loses nothing.
  double clamped = std::clamp(value.number, double(least), double(most));
  int64_t nearest = static_cast<int64_t>(std::floor(clamped / double(step) + 0.5)) * step;
  if (double(nearest) == value.number)
    return nearest;
  mismatch(value, what, std::to_string(nearest));
  return {};
}

std::optional<double> ValueReader::finite(const Value &value) {
  if (value.kind != Kind::Number)
    mismatch(value, "a number");
  else if (!(std::abs(value.number) <= std::numeric_limits<float>::max()))
    mismatch(value, "a number that fits f32", value.number > 0 ? "3.4e38" : "-3.4e38");
  else
    return value.number;
  return {};
}

std::optional<bool> ValueReader::boolean(const Value &value) {
  if (value.kind == Kind::Bool)
    return value.boolean;
  mismatch(value, "true or false",
           value.kind == Kind::String ? nearestWord(value.text, {"true", "false"}) : "");
  return {};
}

std::optional<size_t> ValueReader::word(const Value &value, const std::vector<std::string> &words,
                                        const std::vector<std::string> &shown) {
  std::string nearest;
  if (value.kind == Kind::String) {
    auto found = std::find(words.begin(), words.end(), value.text);
    if (found != words.end())
      return found - words.begin();
    nearest = nearestWord(value.text, words);
  }
  mismatch(value, oneOf(shown), nearest.empty() || shown.size() == 1 ? "" : json::quote(nearest));
  return {};
}

std::string ValueReader::errors() const {
  std::string all = render(text, file, diagnostics);
  if (!flagErrors.empty())
    all += (all.empty() ? "" : "\n") + flagErrors;
  return all;
}

Value valueOfText(const Value &place, std::string text) {
  Value value = place;
  value.kind = json::parseNumber(text, value.number) ? Kind::Number : Kind::String;
  value.text = std::move(text);
  return value;
}

bool takeRuntime(Value &value) {
  constexpr std::string_view word = "runtime";
  if (value.kind != Kind::String || !value.text.starts_with(word))
    return false;
  std::string rest = value.text.substr(word.size());
  if (rest.empty() ||
      ((rest[0] == ':' || rest[0] == '=') && json::parseNumber(rest.substr(1), value.number))) {
    value.kind = rest.empty() ? Kind::Null : Kind::Number;
    value.text = rest.substr(rest.empty() ? 0 : 1);
    return true;
  }
  return false;
}

} // namespace attune
