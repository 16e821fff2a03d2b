//===- Decode.cpp - Ast to Program: common parts and ordinary instructions -===//
#include "simulator/Decode.h"
#include "simulator/Resident.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

Decoder::Decoder(Ast &ast, const Function &function, Program &program, Diagnostics &diagnostics)
    : ast(ast), function(function), program(program), diagnostics(diagnostics), table(handlers()) {}

void Decoder::unsupported() {
  diagnostics.error(current->loc, fmt::format("unsupported instruction '{}'", current->opcode));
}

bool Decoder::operandCount(size_t least, size_t most) {
  size_t n = current->operands.size();
  if (n >= least && n <= most)
    return true;
  error(least == most
            ? fmt::format("expected {} operands of '{}', got {}", least, current->opcode, n)
            : fmt::format("expected {} to {} operands of '{}', got {}", least, most, current->opcode, n));
  return false;
}

Inst &Decoder::emit(Handler fn, Class cls) {
  program.code.emplace_back();
  Inst &i = program.code.back();
  i.fn = fn;
  i.cls = cls;
  i.statement = uint32_t(current - function.body.data());
  if (guard >= 0) {
    fix(Fixup::Register, Field::Guard, false, uint32_t(guard));
    i.guardNeg = guardNegated ? kFull : 0;
  }
  return i;
}

Inst &Decoder::emitNamed(std::string_view handler) {
  const HandlerInfo *info = table.find(handler);
  return emit(info->fn, info->cls);
}

void Decoder::fix(Fixup::Kind kind, Field field, bool def, uint32_t index, uint32_t list) {
  fixups.push_back({kind, field, def, last(), index, list});
}

uint32_t Decoder::temporary(Type type) {
  temporaries.push_back(type);
  return uint32_t(function.registers.size() + temporaries.size() - 1);
}

Type Decoder::registerType(uint32_t reg) const {
  return reg < function.registers.size() ? function.registers[reg].type
                                         : temporaries[reg - function.registers.size()];
}

uint32_t Decoder::constant(uint64_t bits, bool wide, int32_t variable) {
  if (variable < 0) {
    auto [it, fresh] = constantIndex[wide].try_emplace(bits, uint32_t(constants.size()));
    if (!fresh)
      return it->second;
  }
  constants.push_back({0, wide, bits, variable});
  return uint32_t(constants.size() - 1);
}

bool Decoder::literal(const Operand &o, char width, bool isFloat, uint64_t &bits) {
  if (o.kind == OperandKind::Integer) {
    bits = uint64_t(o.value);
    if (isFloat && o.value == 0)
      bits = 0;
    if (width == 'h')
      bits &= 0xFFFF;
    else if (width != 'q')
      bits &= 0xFFFFFFFFu;
    return true;
  }
  if (o.kind != OperandKind::Float)
    return false;
  if (o.single) {
    bits = uint64_t(o.value) & 0xFFFFFFFFu;
    if (width == 'q') {
      float f;
      uint32_t b = uint32_t(bits);
      std::memcpy(&f, &b, 4);
      double d = f;
      std::memcpy(&bits, &d, 8);
    }
  } else {
    bits = uint64_t(o.value);
    if (width != 'q') {
      double d;
      std::memcpy(&d, &bits, 8);
      float f = float(d);
      uint32_t b;
      std::memcpy(&b, &f, 4);
      bits = b;
    }
  }
  return true;
}

/// The address of a variable in its own space; a module variable's is known at launch only.
uint64_t Decoder::variableAddress(const Variable &v, int32_t &moduleVariable, uint32_t index) const {
  if (v.space == Space::Global || v.space == Space::Const) {
    moduleVariable = int32_t(index);
    return 0;
  }
  return v.offset;
}

const char *widthText(char width) {
  switch (width) {
  case 'h':
    return "a 16-bit register";
  case 'q':
    return "a 64-bit register";
  case 'p':
  case 'P':
    return "a predicate";
  default:
    return "a 32-bit register";
  }
}

static bool fits(Type type, char width) {
  unsigned bytes = typeBytes(type);
  if (type == Type::Pred)
    return width == 'p' || width == 'P';
  switch (width) {
  case 'h':
    return bytes == 2;
  case 'w':
    return bytes == 4;
  case 'q':
    return bytes == 8;
  case 'x':
    return bytes <= 4;
  default:
    return false;
  }
}

bool Decoder::source(const Operand &o, Field field, char width, bool isFloat, uint32_t list) {
  uint64_t bits;
  if (o.kind == OperandKind::Register) {
    Type type = registerType(o.index);
    if (!fits(type, width)) {
      error(o, fmt::format("expected {}, got '{}' of type {}", widthText(width), o.text, typeName(type)));
      return false;
    }
    fix(Fixup::Register, field, false, o.index, list);
    return true;
  }
  if (literal(o, width, isFloat, bits)) {
    fix(Fixup::Constant, field, false, constant(bits, width == 'q'), list);
    return true;
  }
  if (o.kind == OperandKind::Name && width == 'q') // of a function
    if (auto it = ast.bodies.find(o.text); it != ast.bodies.end()) {
      fix(Fixup::Constant, field, false, constant(functionAddress(it->second), true), list);
      return true;
    }
  if (inFrame(o)) {
    error(o, fmt::format("unsupported address of the local variable '{}' as operand of '{}'", o.text,
                         current->opcode));
    return false;
  }
  if (o.kind == OperandKind::Variable) {
    int32_t module = -1;
    uint64_t at = variableAddress(ast.variables[o.index], module, o.index) + uint64_t(o.value);
    if (width != 'q' && module >= 0) {
      error(o, fmt::format("expected a 64-bit register for the address of '{}', got a narrower one", o.text));
      return false;
    }
    fix(Fixup::Constant, field, false, constant(width == 'q' ? at : at & 0xFFFFFFFFu, width == 'q', module),
        list);
    return true;
  }
  if (o.kind == OperandKind::Special) {
    if (!isSpecialRegister(o.text) || width == 'p') {
      error(o, fmt::format("unsupported special register '{}'", o.text));
      return false;
    }
    if (width == 'q') {
      error(o, fmt::format("expected a 64-bit operand, got '{}'", o.text));
      return false;
    }
    size_t at = size_t(std::find(specials.begin(), specials.end(), o.text) - specials.begin());
    if (at == specials.size())
      specials.emplace_back(o.text);
    fix(Fixup::Special, field, false, uint32_t(at), list);
    return true;
  }
  bool function = std::any_of(ast.functions.begin(), ast.functions.end(),
                              [&](const Function &f) { return f.name == o.text; });
  if (o.kind == OperandKind::Part || o.kind == OperandKind::Negative)
    error(o, fmt::format("expected {}, got {} of '{}', which '{}' does not take", widthText(width),
                         o.kind == OperandKind::Part ? "a part" : "the negative", o.elements[0].text,
                         current->opcode));
  else if (o.kind == OperandKind::Name && function)
    error(o, fmt::format("unsupported address of the function '{}'", o.text));
  else if (o.kind == OperandKind::Name && o.text.size() > 0)
    error(o,
          fmt::format("expected {} or a constant, got '{}' which is not declared", widthText(width), o.text));
  else
    error(o, fmt::format("expected {} or a constant as operand of '{}'", widthText(width), current->opcode));
  return false;
}

bool Decoder::destination(const Operand &o, Field field, char width, uint32_t list) {
  if (o.kind != OperandKind::Register) {
    error(o, fmt::format("expected {} as destination of '{}'", widthText(width), current->opcode));
    return false;
  }
  Type type = registerType(o.index);
  if (!fits(type, width)) {
    error(o, fmt::format("expected {}, got '{}' of type {}", widthText(width), o.text, typeName(type)));
    return false;
  }
  fix(Fixup::Register, field, true, o.index, list);
  return true;
}

bool Decoder::predicateSource(const Operand &o, Field field) {
  if (o.kind == OperandKind::Integer && !o.negated) { // a constant
    uint32_t p = o.value ? 0 : kFalsePredicate;
    Inst &i = program.code.back();
    (field == Field::A ? i.a : field == Field::B ? i.b : i.c) = p;
    return true;
  }
  if (o.kind != OperandKind::Register || registerType(o.index) != Type::Pred) {
    error(o, fmt::format("expected a predicate as operand of '{}'", current->opcode));
    return false;
  }
  fix(Fixup::Register, field, false, o.index);
  return true;
}

uint32_t Decoder::reserveList(size_t n) {
  uint32_t at = uint32_t(program.lists.size());
  program.lists.resize(at + n, kFull);
  return at;
}

bool Decoder::take(std::vector<std::string_view> &mods, std::string_view name) {
  auto it = std::find(mods.begin(), mods.end(), name);
  if (it == mods.end())
    return false;
  mods.erase(it);
  return true;
}

void Decoder::genericOperands(const HandlerInfo &info, bool isFloat, uint16_t aux) {
  const std::vector<Operand> &ops = current->operands;
  std::string_view sig = info.signature;
  size_t colon = sig.find(':'), sources = sig.size() - colon - 1;
  if (!operandCount(1 + sources))
    return;
  emit(info.fn, info.cls).aux = aux;
  uint32_t at = last();
  if (!destination(ops[0], Field::D, sig[0]))
    return;
  static const Field fields[] = {Field::A, Field::B, Field::C, Field::List};
  for (size_t n = 0; n < sources; ++n) {
    char width = sig[colon + 1 + n];
    const Operand &o = ops[1 + n];
    if (width == 'i') {
      if (o.kind != OperandKind::Integer) {
        error(o, "expected a constant");
        return;
      }
      program.code[at].imm = o.value;
    } else if (width == 'p' || width == 'P') {
      if (width == 'P' && o.kind == OperandKind::Integer) { // mov.pred p, 1
        program.code[at].a = 0;
        program.code[at].imm = o.value ? 0 : kFull;
        continue;
      }
      if (!predicateSource(o, fields[n]))
        return;
      if (o.negated && width == 'P')
        program.code[at].imm = kFull;
      else if (o.negated) {
        error(o, "expected a predicate without '!'");
        return;
      }
    } else {
      uint32_t list = 0;
      if (n == 3) {
        list = reserveList(1);
        program.code[at].list = list;
      }
      if (!source(o, fields[n], width, isFloat, list))
        return;
    }
  }
}

bool Decoder::isExtremeOfThree() const {
  return (current->root == "min" || current->root == "max") && current->operands.size() == 4 &&
         current->mods.back() == "f32";
}

void Decoder::generic() {
  const HandlerInfo *info =
      isExtremeOfThree() ? table.find(std::string(current->opcode) + ".3") : table.find(current->opcode);
  if (!info || !*info->signature) {
    if (!floatOther() && !integerOther() && !scalarVideo())
      unsupported();
    return;
  }
  Type type = current->mods.empty() ? Type::None : parseType(current->mods.back());
  genericOperands(*info, type == Type::F32 || type == Type::F64);
}

void Decoder::nothing() { emit(execNop, Class::Control); }

void Decoder::statement() {
  std::string_view root = current->root;
  auto mod = [&](std::string_view m) {
    return std::find(current->mods.begin(), current->mods.end(), m) != current->mods.end();
  };
  guard = current->guard;
  guardNegated = current->guardNegated;
  if (lackedByTarget())
    return;
  if ((root == "st" || root == "red") && mod("async"))
    asyncStore();
  else if (root == "mov")
    mod("pred") ? movPredicate() : mov();
  else if (root == "ld" || root == "ldu" || root == "st")
    loadStore(root == "st");
  else if (root == "setp" || root == "set")
    setp(root == "set");
  else if (root == "addc" || root == "subc" || root == "madc")
    carry(root.substr(0, 3), true);
  else if ((root == "add" || root == "sub" || root == "mad") && mod("cc"))
    carry(root, false);
  else if (root == "cvt")
    cvt();
  else if (root == "cvta")
    cvta();
  else if (root == "bra")
    branch();
  else if (root == "brx")
    indexedBranch();
  else if (root == "call")
    call();
  else if (root == "ret" && current->frame)
    returnFromCall();
  else if (root == "tex" || root == "tld4" || root == "txq" || root == "suld" || root == "sust" ||
           root == "sured" || root == "suq" || root == "istypep")
    error(fmt::format("unsupported instruction '{}': textures and surfaces are not simulated",
                      current->opcode));
  else if (root == "ret" || root == "exit")
    operandCount(0) ? void(emit(execExit, Class::Control)) : void();
  else if (root == "trap" || root == "brkpt")
    emit(execTrap, Class::Control);
  else if (root == "barrier" && mod("cluster"))
    clusterBarrier();
  else if (root == "bar" || root == "barrier")
    barrier();
  else if (root == "shfl")
    shuffle();
  else if (root == "vote" || root == "match" || root == "redux" || root == "activemask" || root == "elect")
    collective();
  else if (root == "mma")
    mma();
  else if (root == "wmma")
    wmma();
  else if (root == "wgmma")
    wgmma();
  else if (root == "setmaxnreg")
    setMaxRegisters();
  else if (root == "ldmatrix" || root == "stmatrix")
    matrixMove(root == "stmatrix");
  else if (root == "mbarrier" || (root == "cp" && mod("mbarrier")))
    mbarrierStatement();
  else if (root == "isspacep")
    isSpace();
  else if (root == "createpolicy")
    createPolicy();
  else if (root == "cp" && mod("bulk")) {
    if (!bulk())
      unsupported();
  } else if (root == "tensormap")
    tensorMapStatement();
  else if (root == "cp")
    cpAsync();
  else if (root == "atom" || root == "red")
    atomic(root == "red");
  else if (root == "mapa" || root == "getctarank")
    clusterAddressOf();
  else if (root == "multimem")
    error(fmt::format(
        "unsupported instruction '{}': its memory is that of several GPUs, of which one is simulated",
        current->opcode));
  else if (root == "membar" || root == "fence")
    fence();
  else if (root == "prefetch" || root == "prefetchu" || root == "nanosleep" || root == "discard" ||
           root == "applypriority" || root == "pmevent" || root == "griddepcontrol")
    nothing();
  else
    generic();
}

/// Places of shared and local variables and of parameters, before anything refers to them.
void Decoder::layout() {
  EntryInfo &info = program.info;
  info.name = function.name;
  info.maxntid = function.maxntid;
  info.reqntid = function.reqntid;
  info.reqcluster = function.reqcluster;
  info.maxClusterRank = function.maxClusterRank;
  info.explicitCluster = function.explicitCluster;
  info.blocksAreClusters = function.blocksAreClusters;
  info.maxnreg = function.maxnreg;
  info.minnctapersm = function.minnctapersm;
  auto align = [](uint64_t x, uint64_t a) { return (x + a - 1) / a * a; };
  uint64_t at = 0;
  for (uint32_t v : function.params) {
    Variable &p = ast.variables[v];
    at = align(at, p.align);
    p.offset = at;
    info.params.push_back({p.name, uint32_t(at), uint32_t(p.size), p.align, std::string(typeName(p.type))});
    at += p.size;
  }
  info.paramBytes = uint32_t(at);
  // Variables that this function names, and those of them that lie in the frames of functions it calls.
  std::vector<uint32_t> used, framed;
  auto visit = [&](auto &self, const Operand &o, bool inFunction) -> void {
    if (o.kind == OperandKind::Variable)
      (inFunction && ast.variables[o.index].space == Space::Local ? framed : used).push_back(o.index);
    for (const Operand &e : o.elements)
      self(self, e, inFunction);
  };
  for (const Statement &s : function.body)
    for (const Operand &o : s.operands)
      visit(visit, o, s.frame != 0);
  for (const Function::Called &c : function.called)
    for (const std::vector<uint32_t> &list :
         {ast.functions[c.function].params, ast.functions[c.function].results})
      framed.insert(framed.end(), list.begin(), list.end());
  for (std::vector<uint32_t> *list : {&used, &framed}) {
    std::sort(list->begin(), list->end());
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
  uint64_t shared = 0, local = 0, dynamicAlign = 16;
  for (uint32_t v : used) {
    Variable &var = ast.variables[v];
    if (var.space == Space::Shared && !(var.isExtern && var.size == 0)) {
      shared = align(shared, var.align);
      var.offset = kSharedBase + shared;
      shared += var.size;
      program.sharedVariables.push_back(var);
    } else if (var.space == Space::Shared) {
      dynamicAlign = std::max<uint64_t>(dynamicAlign, var.align);
    } else if (var.space == Space::Local) {
      local = align(local, var.align);
      var.offset = local;
      local += var.size;
    }
    if (shared > (1u << 20) || local > (1u << 20)) {
      diagnostics.error(
          var.loc, fmt::format("expected at most 1 MB of shared or local variables, got '{}' of {} bytes",
                               var.name, var.size));
      return;
    }
  }
  info.staticSharedBytes = uint32_t(shared);
  info.dynamicSharedOffset = uint32_t(align(shared, dynamicAlign));
  uint64_t frame = 0;
  for (uint32_t v : framed) {
    Variable &var = ast.variables[v];
    frame = align(frame, var.align);
    var.frameOffset = frame;
    frame += var.size;
    if (frame > kStackBytes) {
      diagnostics.error(var.loc, fmt::format("expected at most {} bytes of variables in functions that are "
                                             "called, got '{}' of {}",
                                             kStackBytes, var.name, var.size));
      return;
    }
  }
  kernelFrameBytes = uint32_t(align(local, 16));
  program.frameBytes = uint32_t(align(std::max<uint64_t>(frame, 1), 16));
  info.localBytes = kernelFrameBytes + (function.called.empty() ? 0 : kStackBytes);
  program.usesLocal = info.localBytes != 0;
  for (uint32_t v : used) {
    Variable &var = ast.variables[v];
    if (var.space == Space::Shared && var.isExtern && var.size == 0) {
      var.offset = kSharedBase + info.dynamicSharedOffset;
      program.sharedVariables.push_back(var);
    }
  }
}

bool Decoder::resolveBranches() {
  for (auto [inst, target] : branches)
    program.code[inst].target = target < codeOf.size() ? codeOf[target] : uint32_t(program.code.size() - 1);
  for (size_t k = 0; k < program.functions.size(); ++k)
    program.functions[k].entry = codeOf[function.called[k].begin];
  return true;
}

bool Decoder::run() {
  unsigned before = diagnostics.errors(); // other functions' do not keep this one's from being found
  layout();
  if (diagnostics.errors() != before)
    return false;
  program.ranges = sharedRanges(ast, function);
  beginCalls();
  for (const Statement &s : function.body) {
    current = &s;
    codeOf.push_back(uint32_t(program.code.size()));
    program.statements.push_back({s.loc.line, s.sourceFile, s.sourceLine, s.text});
    statement();
    if (diagnostics.full())
      return false;
  }
  if (diagnostics.errors() != before)
    return false;
  // The end of the body returns.
  static const Statement end;
  guard = -1;
  program.statements.push_back({function.loc.line, 0, 0, "end of the function"});
  program.ranges.emplace_back();
  program.code.emplace_back();
  program.code.back().fn = execExit;
  program.code.back().statement = uint32_t(program.statements.size() - 1);
  resolveBranches();
  program.info.instructions = uint32_t(program.code.size());
  Allocator(*this).run();
  return true;
}

} // namespace attune::sim
