//===- Origins.cpp - which static variable an address comes from ----------===//
//
// A pointer into one variable is not to reach another: that the two are neighbours is chance. What a register
// is computed from is found without regard to the order of the statements, as a register of PTX mostly has
// one definition; where a register may hold pointers of several variables, or what else than a sum made of
// one, nothing is known and nothing reported.
//
//===----------------------------------------------------------------------===//
#include "simulator/Origins.h"

#include <algorithm>
#include <string_view>

namespace attune::sim {
namespace {

/// What a value is computed from.
struct Origin {
  enum Kind : uint8_t { Unknown, Number, Pointer, Any } kind = Unknown; ///< Unknown: no definition seen yet
  uint32_t variable = 0;

  bool operator==(const Origin &) const = default;
};

Origin joined(Origin a, Origin b) {
  return a.kind == Origin::Unknown || a == b ? b : b.kind == Origin::Unknown ? a : Origin{Origin::Any};
}

class Origins {
public:
  Origins(const Ast &ast, const Function &function)
      : ast(ast), function(function), registers(function.registers.size()) {}

  std::vector<SharedRange> run() {
    do {
      changed = false;
      for (const Statement &s : function.body)
        visit(s);
    } while (changed);
    std::vector<SharedRange> ranges;
    for (const Statement &s : function.body)
      ranges.push_back(rangeOf(s));
    return ranges;
  }

private:
  Origin of(const Operand &o) const {
    switch (o.kind) {
    case OperandKind::Register:
      return registers[o.index];
    case OperandKind::Variable: {
      const Variable &v = ast.variables[o.index];
      if (v.space != Space::Shared)
        return {Origin::Number};
      return v.isExtern || v.size == 0 ? Origin{Origin::Any} : Origin{Origin::Pointer, o.index};
    }
    case OperandKind::Vector:
    case OperandKind::Pair:
    case OperandKind::Part:
    case OperandKind::Negative:
    case OperandKind::List:
      return mixed(o.elements);
    default:
      return {Origin::Number};
    }
  }

  /// Of what is made of these otherwise than by a sum.
  Origin mixed(const std::vector<Operand> &operands, size_t first = 0) const {
    Origin all{Origin::Number};
    for (size_t k = first; k < operands.size(); ++k) {
      Origin one = of(operands[k]);
      if (one.kind == Origin::Unknown)
        return one;
      if (one.kind != Origin::Number)
        all = {Origin::Any};
    }
    return all;
  }

  static Origin sum(Origin a, Origin b) {
    if (a.kind == Origin::Unknown || b.kind == Origin::Unknown)
      return {};
    return a.kind == Origin::Number ? b : b.kind == Origin::Number ? a : Origin{Origin::Any};
  }

  Origin result(const Statement &s) const {
    const std::vector<Operand> &o = s.operands;
    if (s.root == "ld" || s.root == "ldu" || s.root == "atom")
      return {Origin::Number};
    if ((s.root == "mov" || s.root == "cvta" || s.root == "cvt") && o.size() == 2)
      return of(o[1]);
    if (s.root == "add" && o.size() == 3)
      return sum(of(o[1]), of(o[2]));
    if (s.root == "sub" && o.size() == 3 && of(o[2]).kind == Origin::Number)
      return of(o[1]);
    if (s.root == "mad" && o.size() == 4 && of(o[1]).kind == Origin::Number &&
        of(o[2]).kind == Origin::Number)
      return of(o[3]);
    if (s.root == "selp" && o.size() == 4)
      return joined(of(o[1]), of(o[2]));
    return mixed(o, 1);
  }

  void define(const Operand &o, Origin origin) {
    if (o.kind == OperandKind::Register) {
      Origin &known = registers[o.index], now = joined(known, origin);
      changed |= !(now == known);
      known = now;
    } else if (o.kind == OperandKind::Vector || o.kind == OperandKind::Pair) {
      for (const Operand &part : o.elements)
        define(part, origin.kind == Origin::Pointer ? Origin{Origin::Any} : origin);
    }
  }

  void visit(const Statement &s) {
    if (s.operands.empty() || s.root == "st" || s.root == "red" || s.root == "call" || s.root == "bra")
      return;
    define(s.operands[0], result(s));
  }

  SharedRange rangeOf(const Statement &s) const {
    for (const Operand &o : s.operands) {
      if (o.kind != OperandKind::Address || o.elements.empty())
        continue;
      if (Origin from = of(o.elements[0]); from.kind == Origin::Pointer) {
        const Variable &v = ast.variables[from.variable];
        return {uint32_t(v.offset), uint32_t(v.offset + v.size)};
      }
    }
    return {};
  }

  const Ast &ast;
  const Function &function;
  std::vector<Origin> registers;
  bool changed = false;
};

} // namespace

std::vector<SharedRange> sharedRanges(const Ast &ast, const Function &function) {
  return Origins(ast, function).run();
}

} // namespace attune::sim
