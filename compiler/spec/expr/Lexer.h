//===- Lexer.h - the words of an expression ---------------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SPEC_EXPR_LEXER_H
#define ATTUNE_COMPILER_SPEC_EXPR_LEXER_H

#include "compiler/spec/Diagnostics.h"

#include <string>
#include <string_view>

namespace attune::expr {

inline bool isLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
inline bool isDigit(char c) { return c >= '0' && c <= '9'; }

struct Token {
  enum class Kind { End, Integer, Real, Name, Symbol, Bad } kind = Kind::End;
  std::string_view text;
  Range range;
  double number = 0;
  std::string problem = {}; ///< of a bad one: what was expected
};

class Lexer {
public:
  explicit Lexer(std::string_view text) : text(text) {}

  Token next();
  /// Goes to the end: there is nothing more.
  Token end() {
    at = text.size();
    return {Token::Kind::End, "", {at, at}};
  }

private:
  Token number();
  Token make(Token::Kind kind, size_t begin) const {
    return {kind, text.substr(begin, at - begin), {begin, at}};
  }
  static Token bad(Token token, std::string problem) {
    token.kind = Token::Kind::Bad;
    token.problem = std::move(problem);
    return token;
  }

  std::string_view text;
  size_t at = 0;
};

} // namespace attune::expr

#endif // ATTUNE_COMPILER_SPEC_EXPR_LEXER_H
