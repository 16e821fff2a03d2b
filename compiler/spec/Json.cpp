//===- Json.cpp - JSON whose every value knows its place ------------------===//
#include "compiler/spec/Json.h"

#include <charconv>
#include <limits>

#include <fmt/format.h>

namespace attune::json {

namespace {

constexpr int maxDepth = 32; // a spec nests three deep; the reader recurses
constexpr size_t maxErrors = 100;

bool isDigit(char c) { return c >= '0' && c <= '9'; }
bool isWord(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || isDigit(c) || c == '_'; }

/// The length of the longest JSON number at the start of `text`; 0 if there is none.
size_t numberLength(std::string_view text) {
  size_t i = 0;
  auto digits = [&] {
    size_t begin = i;
    while (i < text.size() && isDigit(text[i]))
      ++i;
    return i > begin;
  };
  if (i < text.size() && text[i] == '-')
    ++i;
  if (i < text.size() && text[i] == '0')
    ++i;
  else if (!digits())
    return 0;
  size_t end = i;
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (!digits())
      return end;
    end = i;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-'))
      ++i;
    if (digits())
      end = i;
  }
  return end;
}

double numberValue(std::string_view text) {
  double result = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), result);
  if (error == std::errc::result_out_of_range) {
    // from_chars does not say whether it was too large or too small; the exponent's sign does, and
    // without an exponent only a number of hundreds of digits gets here.
    size_t exponent = text.find_first_of("eE");
    bool small = exponent == std::string_view::npos
                     ? text.find('.') != std::string_view::npos && text[0] == '0'
                     : text[exponent + 1] == '-';
    double magnitude = small ? 0 : std::numeric_limits<double>::infinity();
    return text[0] == '-' ? -magnitude : magnitude;
  }
  return result;
}

void appendUtf8(std::string &out, uint32_t point) {
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | point >> 6);
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | point >> 12);
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | point >> 18);
    out += static_cast<char>(0x80 | (point >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  }
}

class Reader {
public:
  Reader(std::string_view text, std::vector<Diagnostic> &diagnostics)
      : text(text), diagnostics(diagnostics) {}

  Value read() {
    if (text.substr(0, 3) == "\xef\xbb\xbf") // a byte-order mark is harmless
      at = 3;
    skipSpace();
    if (at == text.size()) {
      error({at, at}, "expected a JSON object, got an empty text");
      return {};
    }
    Value value = readValue(0);
    skipSpace();
    if (!hopeless && at < text.size())
      error({at, at + 1}, "expected the end of the text, got " + here());
    return value;
  }

private:
  std::string_view text;
  std::vector<Diagnostic> &diagnostics;
  size_t at = 0;
  bool hopeless = false; ///< reading cannot go on

  void error(Range range, std::string message) {
    diagnostics.push_back({range, std::move(message)});
    hopeless |= diagnostics.size() >= maxErrors;
  }

  void giveUp(Range range, std::string message) {
    error(range, std::move(message));
    hopeless = true;
  }

  bool done() const { return hopeless || at >= text.size(); }
  char peek() const { return at < text.size() ? text[at] : '\0'; }

  /// What stands here, for messages.
  std::string here() const {
    if (at >= text.size())
      return "the end of the text";
    if (isWord(text[at]) || text[at] == '-' || text[at] == '+' || text[at] == '.')
      return fmt::format("'{}'", text.substr(at, std::min<size_t>(wordLength(), 40)));
    if (static_cast<unsigned char>(text[at]) < 0x20 || text[at] == 0x7f)
      return fmt::format("control character 0x{:02x}", text[at]);
    size_t length = 1;
    while (at + length < text.size() && (static_cast<unsigned char>(text[at + length]) & 0xc0) == 0x80)
      ++length;
    return fmt::format("'{}'", text.substr(at, length));
  }

  size_t wordLength() const {
    size_t end = at;
    while (end < text.size() &&
           (isWord(text[end]) || text[end] == '-' || text[end] == '+' || text[end] == '.'))
      ++end;
    return std::max<size_t>(end - at, 1);
  }

  void skipSpace() {
    while (at < text.size()) {
      if (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r') {
        ++at;
      } else if (text.substr(at, 2) == "//" || text[at] == '#') {
        size_t end = std::min(text.find('\n', at), text.size());
        error({at, end}, "expected JSON, which has no comments, got a comment");
        at = end;
      } else if (text.substr(at, 2) == "/*") {
        size_t close = text.find("*/", at + 2);
        size_t end = close == std::string_view::npos ? text.size() : close + 2;
        error({at, at + 2}, "expected JSON, which has no comments, got a comment");
        at = end;
      } else {
        return;
      }
      if (hopeless)
        return;
    }
  }

  Value readValue(int depth) {
    Value value;
    value.range = {at, at};
    char c = peek();
    if (depth > maxDepth)
      giveUp({at, at + 1}, fmt::format("expected at most {} levels of nesting, got more", maxDepth));
    else if (c == '{')
      readObject(value, depth);
    else if (c == '[')
      readArray(value, depth);
    else if (c == '"')
      readString(value, '"');
    else if (size_t length = numberLength(text.substr(at)); length && length == wordLength())
      readNumber(value, length);
    else
      readWord(value);
    value.range.end = at;
    return value;
  }

  void readNumber(Value &value, size_t length) {
    value.kind = Value::Kind::Number;
    value.text = text.substr(at, length);
    value.number = numberValue(value.text);
    at += length;
  }

  void readWord(Value &value) {
    std::string_view word = isWord(peek()) || peek() == '-' || peek() == '+' || peek() == '.'
                                ? text.substr(at, wordLength())
                                : std::string_view();
    if (word == "true" || word == "false") {
      value.kind = Value::Kind::Bool;
      value.boolean = word == "true";
    } else if (word == "null") {
      value.kind = Value::Kind::Null;
    } else if (!word.empty()) {
      std::string nearest = nearestWord(word, {"true", "false", "null"});
      error({at, at + word.size()},
            fmt::format("expected a JSON value, got {}{}", here(),
                        nearest.empty() ? "" : fmt::format(" (nearest: {})", nearest)));
    } else if (peek() == '\'') {
      error({at, at + 1}, "expected a string in double quotes, got a single quote");
      size_t begin = at;
      Value ignored;
      readString(ignored, '\'');
      if (hopeless)
        at = begin + 1;
      return;
    } else if (at < text.size() && (peek() == ',' || peek() == '}' || peek() == ']')) {
      error({at, at + 1}, "expected a JSON value, got " + here());
      return; // a missing value: what follows it still makes sense
    } else {
      giveUp({at, at + 1}, "expected a JSON value, got " + here());
    }
    at += word.size();
  }

  /// Reads a string in `quoteMark`s; the opening one is at `at`.
  void readString(Value &value, char quoteMark) {
    size_t begin = at++;
    while (true) {
      if (at >= text.size() || text[at] == '\n') {
        giveUp({begin, begin + 1}, "expected a closing quote on the same line, got none");
        return;
      }
      char c = text[at];
      if (c == quoteMark) {
        ++at;
        value.kind = Value::Kind::String;
        return;
      }
      if (c == '\\') {
        readEscape(value.text);
      } else {
        if (static_cast<unsigned char>(c) < 0x20)
          error({at, at + 1}, fmt::format("expected printable characters in a string, got {}", here()));
        value.text += c;
        ++at;
      }
      if (hopeless)
        return;
    }
  }

  bool readHex(uint32_t &point) {
    point = 0;
    for (size_t i = 0; i < 4; ++i) {
      char c = at + i < text.size() ? text[at + i] : '\0';
      int digit = isDigit(c)             ? c - '0'
                  : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                         : -1;
      if (digit < 0)
        return false;
      point = point << 4 | static_cast<uint32_t>(digit);
    }
    at += 4;
    return true;
  }

  void readEscape(std::string &out) {
    size_t begin = at++;
    char c = peek();
    constexpr std::string_view codes = "\"\\/bfnrt";
    constexpr std::string_view characters = "\"\\/\b\f\n\r\t";
    if (size_t index = codes.find(c); c && index != std::string_view::npos) {
      out += characters[index];
      ++at;
      return;
    }
    if (c != 'u') {
      error({begin, at + (c && c != '\n')},
            "expected one of the escapes \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
      return;
    }
    ++at;
    uint32_t point = 0, low = 0;
    if (!readHex(point)) {
      error({begin, at}, "expected four hexadecimal digits after \\u");
      return;
    }
    if (point >= 0xd800 && point < 0xdc00 && text.substr(at, 2) == "\\u") {
      at += 2;
      if (readHex(low) && low >= 0xdc00 && low < 0xe000)
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    if (point >= 0xd800 && point < 0xe000) {
      error({begin, at}, "expected both halves of a surrogate pair, got one");
      point = 0xfffd;
    }
    appendUtf8(out, point);
  }

  /// After an element: true if another one follows. Reports and survives missing and trailing commas.
  bool another(char close, const char *what, size_t open) {
    skipSpace();
    if (done()) {
      if (!hopeless)
        giveUp({at, at}, fmt::format("expected ',' or '{}' to end the {} of {}, got the end of the text",
                                     close, what, locationOf(text, "line", open).substr(5)));
      return false;
    }
    if (peek() == close) {
      ++at;
      return false;
    }
    if (peek() != ',') {
      bool startsElement = peek() == '"' || peek() == '{' || peek() == '[' || isWord(peek()) || peek() == '-';
      if (!startsElement) {
        giveUp({at, at + 1}, fmt::format("expected ',' or '{}', got {}", close, here()));
        return false;
      }
      error({at, at + 1}, fmt::format("expected ',' before {}, got none", here()));
      return true;
    }
    size_t comma = at++;
    skipSpace();
    if (peek() == close) {
      error({comma, comma + 1}, fmt::format("expected no ',' before '{}'", close));
      ++at;
      return false;
    }
    return !hopeless;
  }

  void readArray(Value &value, int depth) {
    value.kind = Value::Kind::Array;
    size_t open = at++;
    skipSpace();
    if (peek() == ']') {
      ++at;
      return;
    }
    do
      value.elements.push_back(readValue(depth + 1));
    while (!hopeless && another(']', "list", open));
  }

  void readObject(Value &value, int depth) {
    value.kind = Value::Kind::Object;
    size_t open = at++;
    skipSpace();
    if (peek() == '}') {
      ++at;
      return;
    }
    do {
      skipSpace();
      Value key;
      size_t begin = at;
      if (peek() == '"') {
        readString(key, '"');
      } else if (isWord(peek())) {
        error({at, at + wordLength()}, fmt::format("expected a key in double quotes, got {}", here()));
        key.text = text.substr(at, wordLength());
        at += wordLength();
      } else {
        giveUp({at, at + 1}, "expected a key in double quotes, got " + here());
      }
      Range keyRange = {begin, at};
      skipSpace();
      if (hopeless)
        return;
      if (peek() == ':')
        ++at;
      else if (peek() == '=')
        error({at, ++at}, "expected ':' after the key, got '='");
      else
        error({at, at + 1}, "expected ':' after the key, got " + here());
      skipSpace();
      Value element = readValue(depth + 1);
      value.members.push_back({std::move(key.text), keyRange, std::move(element)});
    } while (!hopeless && another('}', "object", open));
  }
};

} // namespace

Value parse(std::string_view text, std::vector<Diagnostic> &diagnostics) {
  if (size_t bad = firstNonUtf8(text); bad != std::string_view::npos) {
    diagnostics.push_back(
        {{bad, bad},
         fmt::format("expected UTF-8 text, got byte 0x{:02x}", static_cast<unsigned char>(text[bad]))});
    return {};
  }
  return Reader(text, diagnostics).read();
}

bool parseNumber(std::string_view text, double &number) {
  if (text.empty() || numberLength(text) != text.size())
    return false;
  number = numberValue(text);
  return true;
}

std::string quote(std::string_view text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\')
      result += '\\', result += c;
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      result += fmt::format("\\u{:04x}", c);
    else
      result += c;
  }
  return result + '"';
}

std::string describe(const Value &value) {
  auto shortened = [](std::string_view text) {
    size_t end = std::min<size_t>(text.size(), 60);
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
      --end;
    return std::string(text.substr(0, end)) + (end < text.size() ? "..." : "");
  };
  switch (value.kind) {
  case Value::Kind::Invalid:
    return "nothing";
  case Value::Kind::Null:
    return "null";
  case Value::Kind::Bool:
    return value.boolean ? "true" : "false";
  case Value::Kind::Number:
    return shortened(value.text);
  case Value::Kind::String:
    return quote(shortened(value.text));
  case Value::Kind::Array:
    return value.elements.empty() ? "an empty list" : "a list";
  case Value::Kind::Object:
    return "an object";
  }
  return "";
}

} // namespace attune::json
