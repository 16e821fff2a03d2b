//===- Diagnostics.cpp - errors that point into a text --------------------===//
#include "compiler/spec/Diagnostics.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace attune {

namespace {

constexpr size_t maxShown = 20;    // a broken file of a thousand lines teaches no more than this
constexpr size_t maxColumns = 100; // of a source line around the caret

bool startsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

size_t characters(std::string_view text) { return std::count_if(text.begin(), text.end(), startsCharacter); }

size_t lineBegin(std::string_view text, size_t offset) {
  size_t newline = text.substr(0, offset).rfind('\n');
  return newline == std::string_view::npos ? 0 : newline + 1;
}

/// The line around `range` with a caret under its first character; long lines are cut.
std::string snippet(std::string_view text, Range range) {
  size_t begin = lineBegin(text, range.begin);
  size_t end = std::min(text.find('\n', range.begin), text.size());
  if (range.begin - begin > maxColumns / 2)
    begin = range.begin - maxColumns / 2;
  end = std::min(end, begin + maxColumns);
  while (begin < range.begin && !startsCharacter(text[begin]))
    ++begin;
  while (end > range.begin && end < text.size() && !startsCharacter(text[end]))
    --end;
  // A terminal must not obey control characters of a broken file, and a tab has no certain width.
  std::string line(text.substr(begin, end - begin));
  for (char &c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      c = ' ';
  if (firstNonUtf8(line) != std::string_view::npos)
    return "";
  size_t underlined =
      characters(text.substr(range.begin, std::clamp(range.end, range.begin, end) - range.begin));
  return fmt::format("\n  {}\n  {}^{}", line,
                     std::string(characters(text.substr(begin, range.begin - begin)), ' '),
                     std::string(underlined > 1 ? underlined - 1 : 0, '~'));
}

std::string folded(std::string_view word) {
  std::string result(word);
  for (char &c : result)
    c = c == '-' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return result;
}

/// Insertions, deletions, replacements and swaps of neighbours that make `b` of `a`.
size_t editDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      cost[i][j] =
          std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

} // namespace

std::string locationOf(std::string_view text, std::string_view file, size_t offset) {
  offset = std::min(offset, text.size());
  size_t line = 1 + std::count(text.begin(), text.begin() + offset, '\n');
  size_t begin = lineBegin(text, offset);
  return fmt::format("{}:{}:{}", file, line, 1 + characters(text.substr(begin, offset - begin)));
}

std::string render(std::string_view text, std::string_view file, const std::vector<Diagnostic> &diagnostics) {
  // By place; several of one place stay in the order in which they were found.
  std::vector<size_t> order(diagnostics.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(diagnostics[a].range.begin, a) < std::pair(diagnostics[b].range.begin, b);
  });
  std::string result;
  for (size_t i = 0; i < std::min(order.size(), maxShown); ++i) {
    const Diagnostic &diagnostic = diagnostics[order[i]];
    Range range = diagnostic.range;
    range.begin = std::min(range.begin, text.size());
    result += fmt::format("{}{}: error: {}{}", i ? "\n" : "", locationOf(text, file, range.begin),
                          diagnostic.message, snippet(text, range));
  }
  if (diagnostics.size() > maxShown)
    result += fmt::format("\n{}: error: and {} more", file, diagnostics.size() - maxShown);
  return result;
}

std::string nearestWord(std::string_view word, const std::vector<std::string> &words) {
  if (word.empty() || word.size() > 64)
    return "";
  std::string best;
  size_t bestDistance = 1 + std::max<size_t>(1, word.size() / 3);
  for (const std::string &candidate : words) {
    size_t distance = editDistance(folded(word), folded(candidate));
    if (distance < bestDistance) {
      bestDistance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string oneOf(const std::vector<std::string> &words) {
  std::string result;
  for (size_t i = 0; i < words.size(); ++i)
    result += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + words[i];
  return result;
}

size_t firstNonUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    auto byte = [&](size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u; };
    unsigned lead = byte(i);
    size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
    if (length == 0)
      return i;
    uint32_t point = length == 1 ? lead : lead & (0x7f >> length);
    for (size_t j = 1; j < length; ++j) {
      if (byte(i + j) >> 6 != 2)
        return i;
      point = point << 6 | (byte(i + j) & 0x3f);
    }
    constexpr uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < smallest[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
      return i;
    i += length;
  }
  return std::string_view::npos;
}

} // namespace attune
