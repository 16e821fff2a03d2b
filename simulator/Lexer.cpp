//===- Lexer.cpp - PTX text to tokens -------------------------------------===//
#include "simulator/Lexer.h"

#include <cstdlib>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

static bool isAlpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
}
static bool isDigit(char c) { return c >= '0' && c <= '9'; }
static bool isWord(char c) { return isAlpha(c) || isDigit(c); }

static int hexDigit(char c) {
  if (isDigit(c))
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

void Lexer::skipSpace() {
  while (at < text.size()) {
    char c = text[at];
    if (c == '\n') {
      ++at;
      ++line;
      lineStart = at;
    } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v') {
      ++at;
    } else if (c == '/' && at + 1 < text.size() && text[at + 1] == '/') {
      while (at < text.size() && text[at] != '\n')
        ++at;
    } else if (c == '/' && at + 1 < text.size() && text[at + 1] == '*') {
      TextLoc start{line, uint32_t(at - lineStart + 1)};
      at += 2;
      while (at + 1 < text.size() && !(text[at] == '*' && text[at + 1] == '/')) {
        if (text[at] == '\n') {
          ++line;
          lineStart = at + 1;
        }
        ++at;
      }
      if (at + 1 >= text.size()) {
        diagnostics.error(start, "expected '*/' before the end of the file, got an unfinished comment");
        at = text.size();
      } else {
        at += 2;
      }
    } else {
      return;
    }
  }
}

Token Lexer::next() {
  skipSpace();
  Token token;
  token.loc = {line, uint32_t(at - lineStart + 1)};
  if (at >= text.size()) {
    token.text = "end of file";
    return token;
  }
  size_t start = at;
  char c = text[at];
  auto tail = [&] { // `.x`, `::y` and further word characters
    while (at < text.size()) {
      if (isWord(text[at]) || text[at] == '%') {
        ++at;
      } else if (text[at] == '.' && at + 1 < text.size() && isWord(text[at + 1])) {
        at += 2;
      } else if (text[at] == ':' && at + 2 < text.size() && text[at + 1] == ':' && isWord(text[at + 2])) {
        at += 3;
      } else {
        break;
      }
    }
  };
  if (isAlpha(c) || (c == '%' && at + 1 < text.size() && isWord(text[at + 1]))) {
    token.kind = TokenKind::Word;
    ++at;
    tail();
  } else if (c == '.' && at + 1 < text.size() && isAlpha(text[at + 1])) {
    token.kind = TokenKind::Directive;
    ++at;
    while (at < text.size()) {
      if (isWord(text[at]))
        ++at;
      else if (text[at] == ':' && at + 2 < text.size() && text[at + 1] == ':' && isWord(text[at + 2]))
        at += 3;
      else
        break;
    }
  } else if (isDigit(c)) {
    return number(token);
  } else if (c == '"') {
    token.kind = TokenKind::String;
    ++at;
    while (at < text.size() && text[at] != '"' && text[at] != '\n')
      at += text[at] == '\\' && at + 1 < text.size() ? 2 : 1;
    if (at >= text.size() || text[at] != '"') {
      at = std::min(at, text.size());
      diagnostics.error(token.loc, "expected '\"' before the end of the line, got an unfinished string");
    }
    token.text = text.substr(start + 1, at - start - 1);
    if (at < text.size() && text[at] == '"')
      ++at;
    return token;
  } else {
    token.kind = TokenKind::Punct;
    ++at;
  }
  token.text = text.substr(start, at - start);
  return token;
}

Token Lexer::number(Token token) {
  size_t start = at;
  char second = at + 1 < text.size() ? text[at + 1] : '\0';
  token.kind = TokenKind::Integer;
  if (text[at] == '0' && (second == 'f' || second == 'F' || second == 'd' || second == 'D')) {
    bool single = second == 'f' || second == 'F';
    unsigned digits = single ? 8 : 16, got = 0;
    at += 2;
    while (at < text.size() && hexDigit(text[at]) >= 0) {
      token.value = token.value << 4 | unsigned(hexDigit(text[at]));
      ++at;
      ++got;
    }
    if (got != digits)
      diagnostics.error(token.loc, fmt::format("expected {} hexadecimal digits after '{}', got {}", digits,
                                               text.substr(start, 2), got));
    token.kind = TokenKind::Float;
    token.single = single;
  } else if (text[at] == '0' && (second == 'x' || second == 'X' || second == 'b' || second == 'B')) {
    unsigned base = second == 'x' || second == 'X' ? 16 : 2;
    at += 2;
    size_t first = at;
    while (at < text.size() && hexDigit(text[at]) >= 0 && unsigned(hexDigit(text[at])) < base) {
      token.value = token.value * base + unsigned(hexDigit(text[at]));
      ++at;
    }
    if (at == first)
      diagnostics.error(token.loc,
                        fmt::format("expected digits after '{}', got none", text.substr(start, 2)));
  } else {
    size_t end = at;
    bool real = false;
    while (end < text.size() && isDigit(text[end]))
      ++end;
    if (end < text.size() && text[end] == '.' && (end + 1 >= text.size() || !isAlpha(text[end + 1]))) {
      real = true;
      ++end;
      while (end < text.size() && isDigit(text[end]))
        ++end;
    }
    if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
      size_t e = end + 1;
      if (e < text.size() && (text[e] == '+' || text[e] == '-'))
        ++e;
      if (e < text.size() && isDigit(text[e])) {
        real = true;
        end = e;
        while (end < text.size() && isDigit(text[end]))
          ++end;
      }
    }
    if (real) {
      double value = std::strtod(std::string(text.substr(at, end - at)).c_str(), nullptr);
      std::memcpy(&token.value, &value, 8);
      token.kind = TokenKind::Float;
    } else {
      unsigned base = text[at] == '0' ? 8 : 10;
      for (size_t i = at; i < end; ++i)
        token.value = token.value * base + unsigned(text[i] - '0');
    }
    at = end;
  }
  if (token.kind == TokenKind::Integer && at < text.size() && (text[at] == 'U' || text[at] == 'u'))
    ++at;
  token.text = text.substr(start, at - start);
  return token;
}

} // namespace attune::sim
