//===- Inline.cpp - calls become the bodies of what they call -------------===//
//
// nvcc leaves some functions out of line (pow of doubles, whatever is __noinline__, all of them with -G). A
// kernel gets a copy of each, once for each call, with registers of its own; so a call costs nothing when it
// runs, and the divergence of its threads is that of ordinary branches. Arguments are variables of local
// memory that caller and callee know by different names.
//
// Where that cannot be, a call stays one (Calls.h): of the functions at which the walk over the calls comes
// back to itself, which every recursion has one of, and of those that an address may mean.
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
    findCalled(original);
    if (!called.empty()) {
      Statement jump;
      jump.root = jump.opcode = "bra";
      jump.loc = kernel.loc;
      jump.text = "the kernel's begin";
      kernel.body.push_back(jump);
    }
    for (uint32_t index : called) {
      const Function &f = ast.functions[index];
      uint32_t base = uint32_t(kernel.registers.size());
      kernel.registers.insert(kernel.registers.end(), f.registers.begin(), f.registers.end());
      kernel.called.push_back({index, uint32_t(kernel.body.size())});
      frame = uint32_t(kernel.called.size());
      stack.push_back(&f);
      copy(f, base, {}, true);
      stack.pop_back();
      Statement end;
      end.root = end.opcode = "ret";
      end.loc = f.loc;
      end.frame = frame;
      end.text = "end of the function";
      kernel.body.push_back(end);
    }
    frame = 0;
    if (!called.empty())
      kernel.body[0].operands = {label(uint32_t(kernel.body.size()))};
    copy(original, 0, {}, true);
  }

private:
  using Names = std::unordered_map<uint32_t, uint32_t>; ///< a callee's parameters to the caller's variables

  /// The parts of call{.uni} (results), function, (arguments){, prototype}.
  struct Parts {
    const Operand *results = nullptr, *target = nullptr, *arguments = nullptr;
    size_t given() const { return arguments ? arguments->elements.size() : 0; }
    size_t returned() const { return results ? results->elements.size() : 0; }
  };
  static Parts partsOf(const Statement &s) {
    Parts p;
    size_t at = 0, n = s.operands.size();
    if (at < n && s.operands[at].kind == OperandKind::List)
      p.results = &s.operands[at++];
    if (at < n)
      p.target = &s.operands[at++];
    if (at < n && s.operands[at].kind == OperandKind::List)
      p.arguments = &s.operands[at++];
    return p;
  }
  /// Whether a register may stand for an argument of `size` bytes: a byte travels in a register of 16 bits.
  bool holds(const Function &from, const Operand &o, uint64_t size) const {
    uint64_t bytes = typeBytes(from.registers[o.index].type);
    return bytes == size || (bytes == 2 && size == 1);
  }
  /// Whether a call by address in `from` may mean this function.
  bool matches(const Parts &call, const Function &from, const Function &f) const {
    auto alike = [&](const std::vector<uint32_t> &formals, const Operand *actuals) {
      if (formals.size() != (actuals ? actuals->elements.size() : 0))
        return false;
      for (size_t k = 0; k < formals.size(); ++k) {
        const Operand &o = actuals->elements[k];
        uint64_t size = ast.variables[formals[k]].size;
        if (o.kind == OperandKind::Variable ? ast.variables[o.index].size != size
                                            : o.kind == OperandKind::Register && !holds(from, o, size))
          return false;
      }
      return true;
    };
    return alike(f.params, call.arguments) && alike(f.results, call.results);
  }

  bool sameSizes(const Function &a, const Function &b) const {
    auto same = [&](const std::vector<uint32_t> &x, const std::vector<uint32_t> &y) {
      return std::equal(x.begin(), x.end(), y.begin(), y.end(), [&](uint32_t m, uint32_t n) {
        return ast.variables[m].size == ast.variables[n].size;
      });
    };
    return same(a.params, b.params) && same(a.results, b.results);
  }

  bool isCalled(uint32_t index) const {
    return std::find(called.begin(), called.end(), index) != called.end();
  }
  void mark(uint32_t index) {
    if (!isCalled(index))
      called.push_back(index);
  }

  /// Walks over the calls, depth first.
  void findCalled(const Function &f) {
    enum State : uint8_t { New, Open, Closed };
    std::vector<State> states(ast.functions.size(), New);
    auto visit = [&](auto &self, const Function &from, size_t depth) -> void {
      if (depth > kMostDepth) // which call() reports
        return;
      auto enter = [&](uint32_t to) {
        if (states[to] == Open)
          mark(to);
        if (states[to] != New)
          return;
        states[to] = Open;
        self(self, ast.functions[to], depth + 1);
        states[to] = Closed;
      };
      for (const Statement &s : from.body) {
        Parts p;
        if (s.root == "call")
          p = partsOf(s);
        if (!p.target)
          continue;
        if (p.target->kind != OperandKind::Name) {
          for (uint32_t to : ast.addressed)
            if (matches(p, from, ast.functions[to])) {
              mark(to);
              enter(to);
            }
        } else if (auto to = ast.bodies.find(p.target->text); to != ast.bodies.end()) {
          enter(to->second);
        }
      }
    };
    visit(visit, f, 0);
  }

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

  /// Appends `f` to the kernel. A statement's labels are patched when all its places are known. `outermost`:
  /// it is the kernel, or a function that is called.
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
      s.frame = frame;
      if (s.guard >= 0)
        s.guard += int32_t(registers);
      for (Operand &o : s.operands)
        rename(o, registers, names);
      if (s.root == "call") {
        call(s, f.body[k], f); // one that cannot be does not hide what else is wrong
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

  /// `ld.param reg, [variable]` or `st.param [variable], value` for an argument that is no variable.
  void move(const Statement &call, bool load, const Operand &value, uint32_t formal) {
    Statement s = call;
    s.root = s.opcode = load ? "ld" : "st";
    s.mods = {"param", typeName(ast.variables[formal].type)};
    Operand variable, address;
    variable.kind = OperandKind::Variable;
    variable.index = formal;
    address.kind = OperandKind::Address;
    address.elements = {variable};
    s.operands = load ? std::vector{value, address} : std::vector{address, value};
    kernel.body.push_back(std::move(s));
  }

  /// call{.uni} (results), name, (arguments); `s` is the copy of `written` in `from`, with the kernel's
  /// registers.
  bool call(Statement s, const Statement &written, const Function &from) { // false: reported
    Parts p = partsOf(s), original = partsOf(written);
    if (!p.target)
      return fail(s, "expected a function to call");
    const Operand &target = *p.target;
    auto variables = [&](const Operand *list) {
      return !list || std::all_of(list->elements.begin(), list->elements.end(), [&](const Operand &o) {
        return o.kind == OperandKind::Variable && ast.variables[o.index].isArgument;
      });
    };
    const Function *f = nullptr; // or one of those that the address may mean
    bool byAddress = target.kind != OperandKind::Name;
    if (byAddress) {
      if (target.kind != OperandKind::Register)
        return fail(s, "expected a function or a register with the address of one to call");
      for (uint32_t to : ast.addressed) {
        const Function &other = ast.functions[to];
        if (!matches(original, from, other))
          continue;
        if (f && !sameSizes(*f, other))
          return fail(s, fmt::format("expected variables of .param or registers as arguments of a call by "
                                     "address that may be of '{}' and of '{}', which take other sizes",
                                     f->name, other.name));
        f = &other;
      }
      if (!f)
        return fail(s,
                    fmt::format("expected a function that takes the arguments of this call in '{}' and whose "
                                "address the file uses, got none",
                                from.name));
    } else if (auto body = ast.bodies.find(target.text); body != ast.bodies.end()) {
      f = &ast.functions[body->second];
    } else if (isSystemFunction(target.text)) {
      if (!variables(p.arguments) || !variables(p.results))
        return fail(s, fmt::format("expected variables of .param as arguments of '{}'", target.text));
      kernel.body.push_back(std::move(s));
      return true;
    }
    if (!f)
      return fail(s, fmt::format("unsupported call of '{}', which has no body in this file", target.text));
    if (stack.size() > kMostDepth)
      return fail(s, fmt::format("expected at most {} nested calls, got more at '{}'", kMostDepth, f->name));
    if (p.given() != f->params.size() || p.returned() != f->results.size())
      return fail(s, fmt::format("expected {} arguments and {} results of '{}', got {} and {}",
                                 f->params.size(), f->results.size(), f->name, p.given(), p.returned()));
    bool stays = byAddress || isCalled(uint32_t(f - ast.functions.data()));
    size_t skip = kernel.body.size();
    if (s.guard >= 0 && !stays) { // around the copy
      Statement branch = s;
      branch.root = branch.opcode = "bra";
      branch.mods.clear();
      branch.operands = {label(0)};
      branch.guardNegated = !s.guardNegated;
      kernel.body.push_back(std::move(branch));
    }
    // Arguments that are registers or constants go through the formal's variable.
    Names names;
    std::vector<std::pair<Operand, uint32_t>> returned; // register, formal
    auto bind = [&](const std::vector<uint32_t> &formals, const Operand *actuals, bool result) {
      for (size_t k = 0; k < formals.size(); ++k) {
        Operand &o = const_cast<Operand &>(actuals->elements[k]); // of s, which is a copy
        if (o.kind == OperandKind::Variable && ast.variables[o.index].isArgument) {
          const Variable &formal = ast.variables[formals[k]], &actual = ast.variables[o.index];
          if (formal.size > actual.size)
            return fail(s, fmt::format("expected an argument of {} bytes for '{}' of '{}', got '{}' of {}",
                                       formal.size, formal.name, f->name, actual.name, actual.size));
          names[formals[k]] = o.index;
          continue;
        }
        bool isRegister = o.kind == OperandKind::Register;
        bool isConstant = o.kind == OperandKind::Integer || o.kind == OperandKind::Float;
        if (!isRegister && (result || !isConstant))
          return fail(s, fmt::format("expected a variable of .param{} as {} of '{}'",
                                     result ? " or a register" : ", a register or a constant",
                                     result ? "result" : "argument", f->name));
        if (result)
          returned.push_back({o, formals[k]});
        else
          move(s, false, o, formals[k]);
        o = Operand();
        o.kind = OperandKind::Variable;
        o.index = formals[k];
      }
      return true;
    };
    if (!bind(f->params, p.arguments, false) || !bind(f->results, p.results, true))
      return false;
    if (stays) {
      Statement real = s;
      kernel.body.push_back(std::move(real));
    } else {
      uint32_t base = uint32_t(kernel.registers.size());
      kernel.registers.insert(kernel.registers.end(), f->registers.begin(), f->registers.end());
      stack.push_back(f);
      copy(*f, base, names, false);
      stack.pop_back();
    }
    for (const auto &[reg, formal] : returned)
      move(s, true, reg, formal);
    if (s.guard >= 0 && !stays)
      kernel.body[skip].operands[0].index = uint32_t(kernel.body.size());
    return true;
  }

  const Ast &ast;
  Function &kernel;
  Diagnostics &diagnostics;
  std::vector<const Function *> stack;
  std::vector<uint32_t> called; ///< functions whose calls stay
  uint32_t frame = 0;           ///< Statement::frame of what is copied
  bool full = false;
};

} // namespace

void inlineCalls(const Ast &ast, Function &kernel, Diagnostics &diagnostics) {
  Inliner(ast, kernel, diagnostics).run();
}

} // namespace attune::sim
