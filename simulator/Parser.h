//===- Parser.h - PTX text to Ast, one pass ----------------------*- C++ -*-===//
//
// Registers and variables are resolved where they are used (PTX declares before use); labels when their
// function ends. After an error the parser goes on behind the next ';' or '}'.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_PARSER_H
#define ATTUNE_SIMULATOR_PARSER_H

#include "simulator/Lexer.h"

#include <fmt/format.h>
#include <optional>
#include <unordered_map>

namespace attune::sim {

struct Scope {
  int parent;
  std::unordered_map<std::string_view, uint32_t> registers, variables, labels;
  struct Range {
    uint32_t first, count;
  };
  std::unordered_map<std::string_view, Range> ranges;
  struct Vector {
    uint32_t first, width;
    uint32_t count; ///< of a range `%v<count>`; 0: one vector
  };
  std::unordered_map<std::string_view, Vector> vectors;
};

class Parser {
public:
  Parser(Ast &ast, Diagnostics &diagnostics)
      : ast(ast), diagnostics(diagnostics), lexer(ast.text, diagnostics) {
    scopes.push_back({-1, {}, {}, {}, {}, {}});
    take();
  }
  void run();

private:
  // Tokens.
  void take() {
    previousEnd = lexer.position();
    token = lexer.next();
  }
  bool accept(char c) {
    if (!token.is(c))
      return false;
    take();
    return true;
  }
  bool fail(const std::string &expected) {
    diagnostics.error(token.loc, fmt::format("expected {}, got '{}'", expected, token.text.substr(0, 60)));
    return false;
  }
  bool expect(char c, std::string_view where) { return accept(c) || fail(fmt::format("'{}' {}", c, where)); }
  void recover();
  bool skipBraces();

  // Module level.
  bool moduleDirective();
  bool fileDirective();
  bool locDirective();
  bool function(bool entry, bool external);
  bool parameters(std::vector<uint32_t> &indices);
  bool variable(Space space, bool external, std::vector<uint32_t> *params);
  bool initialiser(Variable &v);
  bool registerParameter(std::vector<uint32_t> &indices);
  void moveFormals(bool results, int32_t guard = -1, bool guardNegated = false);

  // Bodies.
  bool block(unsigned depth);
  bool bodyDirective();
  bool registers();
  bool statement();
  std::optional<Operand> operand();
  std::optional<Operand> operandList(char close, OperandKind kind, std::string_view where);
  void resolveName(Operand &o);
  bool resolveVector(Operand &o, const Scope &in) const;
  void resolveLabels();
  void findAddressed();
  bool branchTargets();
  bool constant(int64_t &value);

  Ast &ast;
  Diagnostics &diagnostics;
  Lexer lexer;
  Token token;
  size_t previousEnd = 0;
  std::vector<Scope> scopes;
  int scope = 0;
  Function *current = nullptr;
  uint32_t locFile = 0, locLine = 0;
  unsigned operandDepth = 0;
  std::vector<int> statementScope;
  std::string_view lastLabel;
  std::unordered_map<std::string_view, std::vector<Operand>> targetLists; ///< of .branchtargets, by label
};

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_PARSER_H
