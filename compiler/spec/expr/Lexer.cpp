//===- Lexer.cpp - the words of an expression -----------------------------===//
#include "compiler/spec/expr/Lexer.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace attune::expr {

Token Lexer::next() {
  while (at < text.size() && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r'))
    ++at;
  if (at == text.size())
    return end();
  size_t begin = at;
  char c = text[at];
  if (isLetter(c)) {
    while (at < text.size() && (isLetter(text[at]) || isDigit(text[at])))
      ++at;
    return make(Token::Kind::Name, begin);
  }
  if (isDigit(c) || (c == '.' && at + 1 < text.size() && isDigit(text[at + 1])))
    return number();
  static constexpr std::string_view symbols[] = {"||", "&&", "==", "!=", "<=", ">=", "<<", ">>", "|",
                                                 "^",  "&",  "<",  ">",  "+",  "-",  "*",  "/",  "%",
                                                 "!",  "~",  "?",  ":",  "(",  ")",  "[",  "]",  ","};
  auto found = std::find_if(std::begin(symbols), std::end(symbols),
                            [&](std::string_view symbol) { return text.substr(at).starts_with(symbol); });
  if (found != std::end(symbols)) {
    at += found->size();
    return make(Token::Kind::Symbol, begin);
  }
  do // a whole character of UTF-8
    ++at;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
  Token token = make(Token::Kind::Bad, begin);
  return bad(token, token.text == "=" ? std::string("expected '==' to compare, got '='")
                                      : fmt::format("expected an expression, got '{}'", token.text));
}

Token Lexer::number() {
  size_t begin = at;
  bool isReal = false;
  bool isHex = text.substr(at).starts_with("0x") || text.substr(at).starts_with("0X");
  if (isHex) {
    at += 2;
  } else {
    auto digits = [&] {
      while (at < text.size() && isDigit(text[at]))
        ++at;
    };
    digits();
    if (at < text.size() && text[at] == '.') {
      isReal = true;
      ++at;
      digits();
    }
    if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
      isReal = true;
      ++at;
      if (at < text.size() && (text[at] == '+' || text[at] == '-'))
        ++at;
      digits();
    }
  }
  while (at < text.size() && (isLetter(text[at]) || isDigit(text[at])))
    ++at; // of a decimal number no part: the error below shows it
  Token token = make(isReal ? Token::Kind::Real : Token::Kind::Integer, begin);
  const char *first = token.text.data(), *last = first + token.text.size();
  if (isReal) {
    float value = 0;
    auto [end, wrong] = std::from_chars(first, last, value);
    if (end != last || (wrong != std::errc() && wrong != std::errc::result_out_of_range))
      return bad(token, fmt::format("expected a number, got '{}'", token.text));
    if (wrong != std::errc())
      return bad(token, fmt::format("expected a number that fits f32, got {}", token.text));
    token.number = value;
    return token;
  }
  uint64_t value = 0;
  auto [end, wrong] = std::from_chars(first + (isHex ? 2 : 0), last, value, isHex ? 16 : 10);
  if (wrong == std::errc::result_out_of_range ||
      (wrong == std::errc() && value > (isHex ? UINT32_MAX : INT32_MAX)))
    return bad(token, fmt::format("expected a whole number below 2^31, got {}", token.text));
  if (wrong != std::errc() || end != last)
    return bad(token, fmt::format("expected a number, got '{}'", token.text));
  token.number = int32_t(uint32_t(value));
  return token;
}

} // namespace attune::expr
