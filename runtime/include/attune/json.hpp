//===- json.hpp - JSON between the C and the C++ interface ------*- C++ -*-===//
//
// What attune.hpp reads of the library's facts and writes of a program's specs: no reader for JSON of other
// people.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_JSON_HPP
#define ATTUNE_JSON_HPP

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attune {
#ifndef ATTUNE_INSIDE
inline
#endif
    namespace v1 {
namespace detail {

/// A value; what is not there reads as nothing, 0 and "".
struct Json {
  std::string text = {}; ///< of a string or a number; "true", "false", "null"
  std::vector<std::pair<std::string, Json>> members = {};
  std::vector<Json> elements = {};
  bool isText = false;

  /// The member of this name, or null.
  const Json *find(std::string_view key) const {
    for (const auto &[name, value] : members)
      if (name == key)
        return &value;
    return nullptr;
  }
  const Json &operator[](std::string_view key) const {
    static const Json none;
    const Json *found = find(key);
    return found ? *found : none;
  }
  std::int64_t whole() const {
    std::int64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }
  double number() const {
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }
  bool boolean() const { return text == "true"; }

  static Json parse(std::string_view text) {
    std::size_t at = 0;
    return read(text, at);
  }

private:
  static void skip(std::string_view text, std::size_t &at) {
    while (at < text.size() && (text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r'))
      ++at;
  }
  /// Whether `c` is next, which is then passed.
  static bool take(std::string_view text, std::size_t &at, char c) {
    skip(text, at);
    if (at >= text.size() || text[at] != c)
      return false;
    ++at;
    return true;
  }
  static void appendUtf8(std::string &to, unsigned code) {
    if (code < 0x80) {
      to += static_cast<char>(code);
    } else if (code < 0x800) {
      to += static_cast<char>(0xC0 | (code >> 6));
      to += static_cast<char>(0x80 | (code & 0x3F));
    } else {
      to += static_cast<char>(0xE0 | (code >> 12));
      to += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
      to += static_cast<char>(0x80 | (code & 0x3F));
    }
  }
  static std::string readString(std::string_view text, std::size_t &at) {
    std::string result;
    while (at < text.size() && text[at] != '"') {
      char c = text[at++];
      if (c != '\\' || at >= text.size()) {
        result += c;
        continue;
      }
      switch (char escaped = text[at++]) {
      case 'n':
        result += '\n';
        break;
      case 't':
        result += '\t';
        break;
      case 'r':
        result += '\r';
        break;
      case 'b':
        result += '\b';
        break;
      case 'f':
        result += '\f';
        break;
      case 'u': {
        std::string_view digits = text.substr(at, 4);
        unsigned code = 0;
        std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
        at += digits.size();
        appendUtf8(result, code);
        break;
      }
      default:
        result += escaped;
      }
    }
    ++at; // the quote
    return result;
  }
  static Json read(std::string_view text, std::size_t &at) {
    Json value;
    if (take(text, at, '{')) {
      while (take(text, at, '"')) {
        std::string key = readString(text, at);
        take(text, at, ':');
        Json member = read(text, at);
        value.members.emplace_back(std::move(key), std::move(member));
        take(text, at, ',');
      }
      take(text, at, '}');
    } else if (take(text, at, '[')) {
      while (at < text.size() && !take(text, at, ']')) {
        value.elements.push_back(read(text, at));
        take(text, at, ',');
      }
    } else if (take(text, at, '"')) {
      value.text = readString(text, at);
      value.isText = true;
    } else {
      std::size_t end = std::min(text.find_first_of(",]} \n\t\r", at), text.size());
      value.text = text.substr(at, end - at);
      at = end > at ? end : at + 1; // always on
    }
    return value;
  }
};

/// `text` as a JSON string.
inline std::string jsonText(std::string_view text) {
  std::string result = "\"";
  for (char c : text)
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      constexpr char digits[] = "0123456789abcdef";
      result += "\\u00";
      result += digits[static_cast<unsigned char>(c) >> 4];
      result += digits[c & 15];
    } else {
      result += c;
    }
  return result + '"';
}

/// A JSON number; JSON has none for infinity and NaN, which become texts that a spec's reader refuses.
inline std::string numberText(double value) {
  if (!std::isfinite(value))
    return std::isnan(value) ? "\"nan\"" : value > 0 ? "\"inf\"" : "\"-inf\"";
  char room[32];
  return std::string(room, std::to_chars(room, room + sizeof room, value).ptr);
}

/// `,"key":value`, or without the comma where the object begins.
inline void put(std::string &object, std::string_view key, std::string_view value) {
  object += object.empty() ? '{' : ',';
  object += jsonText(key);
  object += ':';
  object += value;
}

} // namespace detail
} // namespace v1
} // namespace attune

#endif // ATTUNE_JSON_HPP
