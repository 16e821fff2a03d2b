//===- Mutator.cpp - mutations that keep text nearly valid ---------------------------===//
#include "tests/fuzz/Mutator.h"

#include <algorithm>
#include <cctype>
#include <vector>

namespace attune::fuzz {

static std::vector<std::string> split(std::string_view text) {
  auto word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '%' || c == '$';
  };
  std::vector<std::string> tokens;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    if (word(text[at]))
      while (end < text.size() && word(text[end]))
        ++end;
    else if (std::isspace(static_cast<unsigned char>(text[at])))
      while (end < text.size() && std::isspace(static_cast<unsigned char>(text[end])))
        ++end;
    tokens.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return tokens;
}

std::string mutate(std::string_view text, const Dictionary &dictionary, std::mt19937 &random, size_t most) {
  std::vector<std::string> tokens = split(text);
  auto below = [&](size_t n) { return n ? size_t(random()) % n : 0; };
  auto dictionaryWord = [&] { return std::string(dictionary.words[below(dictionary.words.size())]); };
  // The unit around a token: from behind the last end of line to the next.
  auto unit = [&](size_t at) {
    size_t begin = at, end = at;
    while (begin > 0 && tokens[begin - 1][0] != dictionary.lineEnd)
      --begin;
    while (end < tokens.size() && tokens[end][0] != dictionary.lineEnd)
      ++end;
    return std::pair(begin, std::min(end + 1, tokens.size()));
  };
  static const char *const numbers[] = {"0",
                                        "1",
                                        "2",
                                        "3",
                                        "31",
                                        "32",
                                        "33",
                                        "64",
                                        "255",
                                        "1024",
                                        "-1",
                                        "65535",
                                        "4294967295",
                                        "4294967296",
                                        "18446744073709551615",
                                        "16",
                                        "8",
                                        "4",
                                        "0x7fffffff",
                                        "99999999999999999999999",
                                        "128",
                                        "7",
                                        "0f7F800000",
                                        "0d7FF0000000000000"};
  size_t steps = 1 + below(4);
  for (size_t s = 0; s < steps; ++s) {
    if (tokens.empty())
      tokens.push_back(dictionaryWord());
    size_t at = below(tokens.size());
    switch (below(12)) {
    case 0:
      tokens[at] = dictionaryWord();
      break;
    case 1: // another token of the same text
      tokens[at] = tokens[below(tokens.size())];
      break;
    case 2:
      tokens.erase(tokens.begin() + ptrdiff_t(at));
      break;
    case 3:
      tokens.insert(tokens.begin() + ptrdiff_t(at), dictionaryWord());
      break;
    case 4:
      std::swap(tokens[at], tokens[below(tokens.size())]);
      break;
    case 5: { // drop a line
      auto [begin, end] = unit(at);
      tokens.erase(tokens.begin() + ptrdiff_t(begin), tokens.begin() + ptrdiff_t(end));
      break;
    }
    case 6:
    case 7: { // copy a line to elsewhere
      auto [begin, end] = unit(at);
      std::vector<std::string> line(tokens.begin() + ptrdiff_t(begin), tokens.begin() + ptrdiff_t(end));
      auto [to, unused] = unit(below(tokens.size()));
      tokens.insert(tokens.begin() + ptrdiff_t(to), line.begin(), line.end());
      break;
    }
    case 8:
    case 9: { // a number near here becomes another
      for (size_t k = at; k < std::min(tokens.size(), at + 40); ++k)
        if (std::isdigit(static_cast<unsigned char>(tokens[k][0]))) {
          tokens[k] = numbers[below(std::size(numbers))];
          break;
        }
      break;
    }
    case 10: { // the last digits of a name: another register or label
      for (size_t k = at; k < std::min(tokens.size(), at + 40); ++k)
        if (tokens[k][0] == '%' && std::isdigit(static_cast<unsigned char>(tokens[k].back()))) {
          tokens[k].back() = char('0' + below(10));
          break;
        }
      break;
    }
    default:
      tokens[at][below(tokens[at].size())] = char(random());
      break;
    }
  }
  std::string out;
  for (const std::string &t : tokens) {
    if (out.size() + t.size() > most)
      break;
    out += t;
  }
  return out;
}

} // namespace attune::fuzz
