//===- Lexer.h - PTX text to tokens ------------------------------*- C++ -*-===//
#ifndef ATTUNE_SIMULATOR_LEXER_H
#define ATTUNE_SIMULATOR_LEXER_H

#include "simulator/Ast.h"

namespace attune::sim {

enum class TokenKind : uint8_t {
  Word,      ///< a name or an opcode with its dotted tail: `%r1`, `%tid.x`, `ld.global.v4.u32`
  Directive, ///< `.reg`, `.shared::cta`
  Integer,
  Float,
  String,
  Punct,
  End,
};

struct Token {
  TokenKind kind = TokenKind::End;
  std::string_view text; ///< of a string without its quotes
  uint64_t value = 0;    ///< of Integer; bits of Float
  bool single = false;   ///< Float written as 0f...
  TextLoc loc;
  bool is(char c) const { return kind == TokenKind::Punct && text[0] == c; }
  bool is(TokenKind k, std::string_view s) const { return kind == k && text == s; }
};

class Lexer {
public:
  Lexer(std::string_view text, Diagnostics &diagnostics) : text(text), diagnostics(diagnostics) {}
  Token next();
  /// Byte position behind the last token.
  size_t position() const { return at; }

private:
  void skipSpace();
  Token number(Token token);
  void advance(size_t n);

  std::string_view text;
  Diagnostics &diagnostics;
  size_t at = 0;
  uint32_t line = 1, lineStart = 0;
};

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_LEXER_H
