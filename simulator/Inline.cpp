//===- Inline.cpp - calls become the bodies of what they call -------------===//
//
// nvcc leaves some functions out of line (pow of doubles, whatever is __noinline__, all of them with -G). A
// kernel gets a copy of each, once for each call, with registers of its own; so a call costs nothing when it
// runs, and the divergence of its threads is that of ordinary branches. Arguments are variables of local
// memory that caller and callee know by different names.
//
//===----------------------------------------------------------------------===//
#include "simulator/Ast.h"

#include <algorithm>
#include <fmt/format.h>
#include <unordered_map>

namespace attune::sim {

namespace {

constexpr size_t kMostStatements = 1'000'000;
constexpr size_t kMostDepth = 60;

class Inliner {
public:
  Inliner(const Ast &ast, Function &kernel, Diagnostics &diagnostics)
      : ast(ast), kernel(kernel), diagnostics(diagnostics) {}

  void run() {
    if (std::none_of(kernel.body.begin(), kernel.body.end(),
                     [](const Statement &s) { return s.root == "call"; }))
      return;
    Function original = kernel;
    kernel.body.clear();
    copy(original, 0, {}, true);
  }

private:
  using Names = std::unordered_map<uint32_t, uint32_t>; ///< a callee's parameters to the caller's variables

  /// Renames registers and variables of an operand of a copy.
  static void rename(Operand &o, uint32_t registers, const Names &names) {
    if (o.kind == OperandKind::Register) {
      o.index += registers;
    } else if (o.kind == OperandKind::Variable) {
      if (auto it = names.find(o.index); it != names.end())
        o.index = it->second;
    }
    for (Operand &e : o.elements)
      rename(e, registers, names);
  }
  static void moveLabels(Operand &o, const std::vector<uint32_t> &place) {
    if (o.kind == OperandKind::Label)
      o.index = place[std::min<size_t>(o.index, place.size() - 1)];
    for (Operand &e : o.elements)
      moveLabels(e, place);
  }
  static Operand label(uint32_t index) {
    Operand o;
    o.kind = OperandKind::Label;
    o.index = index;
    return o;
  }

  /// Appends `f` to the kernel. A statement's labels are patched when all its places are known.
  void copy(const Function &f, uint32_t registers, const Names &names, bool outermost) {
    std::vector<uint32_t> place(f.body.size() + 1), own;
    for (size_t k = 0; k < f.body.size(); ++k) {
      place[k] = uint32_t(kernel.body.size());
      if (kernel.body.size() > kMostStatements) {
        if (!full)
          fail(f.body[k], fmt::format("unsupported calls: '{}' has more than {} instructions when every call "
                                      "is replaced by the function's body",
                                      kernel.name, kMostStatements));
        full = true;
        break;
      }
      Statement s = f.body[k];
      if (s.guard >= 0)
        s.guard += int32_t(registers);
      for (Operand &o : s.operands)
        rename(o, registers, names);
      if (s.root == "call") {
        call(s, f); // one that cannot be does not hide what else is wrong
        continue;
      }
      if (s.root == "ret" && !outermost) { // to the end of the copy
        s.root = s.opcode = "bra";
        s.mods.clear();
        s.operands = {label(uint32_t(f.body.size()))};
      }
      own.push_back(uint32_t(kernel.body.size()));
      kernel.body.push_back(std::move(s));
    }
    place[f.body.size()] = uint32_t(kernel.body.size());
    for (uint32_t k : own)
      for (Operand &o : kernel.body[k].operands)
        moveLabels(o, place);
  }

  bool fail(const Statement &s, const std::string &message) {
    diagnostics.error(s.loc, message);
    return false;
  }

  /// call{.uni} (results), name, (arguments);
  bool call(const Statement &s, const Function &from) { // false: reported
    size_t at = 0, n = s.operands.size();
    const Operand *results = nullptr, *arguments = nullptr;
    if (at < n && s.operands[at].kind == OperandKind::List)
      results = &s.operands[at++];
    if (at >= n)
      return fail(s, "expected a function to call");
    const Operand &target = s.operands[at++];
    if (at < n && s.operands[at].kind == OperandKind::List)
      arguments = &s.operands[at++];
    if (target.kind != OperandKind::Name || at != n)
      return fail(
          s, fmt::format("unsupported indirect call in '{}': only functions called by name are", from.name));
    if (target.text == "__assertfail") { // assert() of CUDA; what it prints is not modelled
      Statement trap = s;
      trap.root = trap.opcode = "trap";
      trap.mods.clear();
      trap.operands.clear();
      kernel.body.push_back(std::move(trap));
      return true;
    }
    auto body = ast.bodies.find(target.text);
    const Function *f = body == ast.bodies.end() ? nullptr : &ast.functions[body->second];
    if (!f)
      return fail(s, fmt::format("unsupported call of '{}', which has no body in this file", target.text));
    if (std::find(stack.begin(), stack.end(), f) != stack.end())
      return fail(s, fmt::format("unsupported recursive call of '{}'", target.text));
    if (stack.size() > kMostDepth)
      return fail(s,
                  fmt::format("expected at most {} nested calls, got more at '{}'", kMostDepth, target.text));
    size_t given = arguments ? arguments->elements.size() : 0,
           returned = results ? results->elements.size() : 0;
    if (given != f->params.size() || returned != f->results.size())
      return fail(s, fmt::format("expected {} arguments and {} results of '{}', got {} and {}",
                                 f->params.size(), f->results.size(), target.text, given, returned));
    Names names;
    auto bind = [&](const std::vector<uint32_t> &formals, const Operand *actuals) {
      for (size_t k = 0; k < formals.size(); ++k) {
        const Operand &o = actuals->elements[k];
        if (o.kind != OperandKind::Variable || !ast.variables[o.index].isArgument)
          return fail(s, fmt::format("expected variables of .param as arguments of '{}'", target.text));
        const Variable &formal = ast.variables[formals[k]], &actual = ast.variables[o.index];
        if (formal.size > actual.size)
          return fail(s, fmt::format("expected an argument of {} bytes for '{}' of '{}', got '{}' of {}",
                                     formal.size, formal.name, target.text, actual.name, actual.size));
        names[formals[k]] = o.index;
      }
      return true;
    };
    if (!bind(f->params, arguments) || !bind(f->results, results))
      return false;
    size_t skip = kernel.body.size();
    if (s.guard >= 0) { // around the copy
      Statement branch = s;
      branch.root = branch.opcode = "bra";
      branch.mods.clear();
      branch.operands = {label(0)};
      branch.guardNegated = !s.guardNegated;
      kernel.body.push_back(std::move(branch));
    }
    uint32_t base = uint32_t(kernel.registers.size());
    kernel.registers.insert(kernel.registers.end(), f->registers.begin(), f->registers.end());
    stack.push_back(f);
    copy(*f, base, names, false);
    stack.pop_back();
    if (s.guard >= 0)
      kernel.body[skip].operands[0].index = uint32_t(kernel.body.size());
    return true;
  }

  const Ast &ast;
  Function &kernel;
  Diagnostics &diagnostics;
  std::vector<const Function *> stack;
  bool full = false;
};

} // namespace

void inlineCalls(const Ast &ast, Function &kernel, Diagnostics &diagnostics) {
  Inliner(ast, kernel, diagnostics).run();
}

} // namespace attune::sim
