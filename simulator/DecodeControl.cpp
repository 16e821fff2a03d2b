//===- DecodeControl.cpp - branches, barriers, collectives, mma -----------===//
#include "simulator/Decode.h"

#include <algorithm>
#include <fmt/format.h>

namespace attune::sim {

void Decoder::branch() {
  std::vector<std::string_view> mods = current->mods;
  take(mods, "uni");
  if (!mods.empty()) {
    unsupported();
    return;
  }
  if (!operandCount(1))
    return;
  const Operand &o = current->operands[0];
  if (o.kind != OperandKind::Label) {
    error(o, fmt::format("expected a label of this function, got '{}'", o.text));
    return;
  }
  emit(execBranch, Class::Control).runsEmpty = true;
  branches.push_back({last(), o.index});
}

/// brx.idx{.uni} index, targets: a comparison and a branch for each target.
void Decoder::indexedBranch() {
  std::vector<std::string_view> mods = current->mods;
  take(mods, "uni");
  if (mods.size() != 1 || mods[0] != "idx") {
    unsupported();
    return;
  }
  if (!operandCount(2))
    return;
  const std::vector<Operand> &ops = current->operands;
  if (ops[1].kind != OperandKind::List || ops[1].elements.empty()) {
    error(ops[1], fmt::format("expected the label of a .branchtargets list, got '{}'", ops[1].text));
    return;
  }
  const HandlerInfo *equal = table.find("setp.eq.u32"), *both = table.find("and.pred");
  int32_t outer = guard;
  bool outerNegated = guardNegated;
  for (size_t n = 0; n < ops[1].elements.size(); ++n) {
    const Operand &to = ops[1].elements[n];
    if (to.kind != OperandKind::Label) {
      error(to, fmt::format("expected a label of this function, got '{}'", to.text));
      return;
    }
    guard = -1;
    uint32_t p = temporary(Type::Pred);
    emit(equal->fn, equal->cls);
    fix(Fixup::Register, Field::D, true, p);
    if (!source(ops[0], Field::A, 'w'))
      return;
    fix(Fixup::Constant, Field::B, false, constant(n, false));
    if (outer >= 0) {
      uint32_t allowed = temporary(Type::Pred);
      emitNamed("mov.pred").imm = outerNegated ? kFull : 0;
      fix(Fixup::Register, Field::D, true, allowed);
      fix(Fixup::Register, Field::A, false, uint32_t(outer));
      emit(both->fn, both->cls);
      fix(Fixup::Register, Field::D, true, p);
      fix(Fixup::Register, Field::A, false, p);
      fix(Fixup::Register, Field::B, false, allowed);
    }
    guard = int32_t(p);
    guardNegated = false;
    emit(execBranch, Class::Control).runsEmpty = true;
    branches.push_back({last(), to.index});
  }
}

/// bar{.cta}.sync a{, b}; bar.arrive a, b; bar.red.OP...; barrier{.cta}.sync{.aligned}; bar.warp.sync mask.
void Decoder::barrier() {
  std::vector<std::string_view> mods = current->mods;
  const std::vector<Operand> &ops = current->operands;
  bool aligned = current->root == "bar";
  take(mods, "cta");
  if (take(mods, "warp")) {
    if (!take(mods, "sync") || !mods.empty()) {
      unsupported();
      return;
    }
    if (!operandCount(1))
      return;
    const HandlerInfo *info = table.find("warpsync");
    emit(info->fn, info->cls);
    source(ops[0], Field::A, 'w');
    return;
  }
  aligned |= take(mods, "aligned");
  bool sync = take(mods, "sync"), arrive = take(mods, "arrive"), red = take(mods, "red");
  uint8_t reduce = 0;
  if (red) {
    reduce = take(mods, "popc") ? 1 : take(mods, "and") ? 2 : take(mods, "or") ? 3 : 0;
    if (!take(mods, reduce == 1 ? "u32" : "pred"))
      reduce = 0;
  }
  if (sync + arrive + red != 1 || (red && !reduce) || !mods.empty()) {
    unsupported();
    return;
  }
  size_t base = red ? 1 : 0, extra = red ? 1 : 0;
  if (!operandCount(base + (arrive ? 2 : 1) + extra, base + 2 + extra))
    return;
  emit(execBarrier, Class::Barrier);
  uint32_t at = last();
  program.code[at].aux = uint16_t((aligned ? 1 : 0) | (arrive ? 2 : 0) | reduce << 2);
  if (red && !destination(ops[0], reduce == 1 ? Field::D : Field::D2, reduce == 1 ? 'w' : 'p'))
    return;
  if (!source(ops[base], Field::A, 'w'))
    return;
  bool counted = ops.size() == base + 2 + extra;
  program.code[at].count = counted;
  if (counted && !source(ops[base + 1], Field::B, 'w'))
    return;
  if (red) {
    const Operand &p = ops.back();
    program.code[at].imm = p.negated ? kFull : 0;
    predicateSource(p, Field::C);
  }
}

/// The handler of a collective whose modifiers may stand in any order, but for its type: they are looked up
/// as ROOT.MODE.sync.TYPE.
const HandlerInfo *Decoder::collectiveHandler() {
  std::vector<std::string_view> mods = current->mods;
  if (current->root == "activemask" || current->root == "elect")
    return table.find(current->opcode);
  if (!take(mods, "sync") || mods.size() != 2)
    return nullptr;
  if (mods[0] == "pred" || parseType(mods[0]) != Type::None)
    std::swap(mods[0], mods[1]);
  return table.find(fmt::format("{}.{}.sync.{}", current->root, mods[0], mods[1]));
}

/// shfl.sync.MODE.b32 d[|p], a, b, c, membermask.
void Decoder::shuffle() {
  const HandlerInfo *info = collectiveHandler();
  if (!info) {
    unsupported();
    return;
  }
  if (!operandCount(5))
    return;
  const std::vector<Operand> &ops = current->operands;
  emit(info->fn, info->cls);
  uint32_t at = last();
  const Operand *d = &ops[0];
  if (d->kind == OperandKind::Pair) {
    if (d->elements[1].kind != OperandKind::Sink && !destination(d->elements[1], Field::D2, 'p'))
      return;
    d = &d->elements[0];
  }
  if (!destination(*d, Field::D, 'w'))
    return;
  uint32_t list = reserveList(1);
  program.code[at].list = list;
  source(ops[1], Field::A, 'w') && source(ops[2], Field::B, 'w') && source(ops[3], Field::C, 'w') &&
      source(ops[4], Field::List, 'w', false, list);
}

/// vote, match, redux, activemask, elect.
void Decoder::collective() {
  const HandlerInfo *info = collectiveHandler();
  if (!info) {
    unsupported();
    return;
  }
  const std::vector<Operand> &ops = current->operands;
  std::string_view sig = info->signature;
  size_t colon = sig.find(':'), sources = sig.size() - colon - 1;
  if (!operandCount(1 + sources))
    return;
  emit(info->fn, info->cls);
  uint32_t at = last();
  const Operand *d = &ops[0];
  if (d->kind == OperandKind::Pair) {
    if (d->elements[1].kind != OperandKind::Sink && !destination(d->elements[1], Field::D2, 'p'))
      return;
    d = &d->elements[0];
  }
  if (d->kind == OperandKind::Sink)
    program.code[at].d = kFull;
  else if (!destination(*d, sig[0] == 'p' ? Field::D2 : Field::D, sig[0]))
    return;
  static const Field fields[] = {Field::A, Field::B, Field::C};
  for (size_t n = 0; n < sources; ++n) {
    char width = sig[colon + 1 + n];
    const Operand &o = ops[1 + n];
    if (width == 'p') {
      if (o.kind == OperandKind::Integer) {
        program.code[at].a = 0;
        program.code[at].imm = o.value ? 0 : kFull;
      } else if (!predicateSource(o, fields[n])) {
        return;
      } else {
        program.code[at].imm = o.negated ? kFull : 0;
      }
    } else if (!source(o, fields[n], width)) {
      return;
    }
  }
}

/// mma.sync.aligned.SHAPE.row.col[.satfinite].D.A.B.C d, a, b, c.
void Decoder::mma() {
  std::vector<std::string_view> mods = current->mods;
  const std::vector<Operand> &ops = current->operands;
  bool saturate = take(mods, "satfinite");
  int sm = std::atoi(ast.target.c_str() + 3);
  bool hopper = sm >= 90;
  const HandlerInfo *info = nullptr;
  size_t k = 0, bRegs = 0, cRegs = 4;
  uint16_t aux = 0;
  uint8_t f = 0;
  int64_t steps = 1;
  if (mods.size() == 9 && mods[0] == "sync" && mods[1] == "aligned" && mods[2].substr(0, 5) == "m16n8" &&
      mods[3] == "row" && mods[4] == "col" && mods[5] == mods[8]) {
    std::string_view d = mods[5], a = mods[6], b = mods[7], shape = mods[2];
    k = size_t(std::atoi(std::string(shape.substr(6)).c_str()));
    auto is = [&](std::string_view x, std::string_view y) {
      return (a == x || a == y) && (b == x || b == y);
    };
    aux = uint16_t((a == "s8" || a == "e5m2") | (b == "s8" || b == "e5m2") << 1 | saturate << 2);
    if (d == "f32" && a == b && !saturate && (a == "bf16" || a == "f16" || a == "tf32")) {
      info = table.find(fmt::format("mma:{}:{}:{}", hopper ? "hopper" : "ampere", shape, a));
      bRegs = a == "tf32" ? k / 4 : k / 8;
    } else if (d == "f16" && a == "f16" && b == "f16" && !saturate && (k == 8 || k == 16)) {
      info = table.find("mma:half");
      bRegs = k / 8;
      cRegs = 2;
      f = hopper ? 25 : 24;
      steps = !hopper && k == 16 ? 2 : 1;
    } else if (d == "s32" && is("s8", "u8") && (k == 16 || k == 32)) {
      info = table.find("mma:int8");
      bRegs = k / 16;
    } else if (d == "f32" && is("e4m3", "e5m2") && !saturate && k == 32 && sm >= 89) {
      info = table.find(sm >= 90 && sm < 120 ? "mma:fp8 by halves" : "mma:fp8");
      bRegs = 2;
      f = hopper ? 25 : 13;
      steps = hopper ? 1 : 2;
    }
  }
  if (!info || sm < 80) {
    if (!otherMma())
      unsupported();
    return;
  }
  if (!operandCount(4))
    return;
  size_t counts[4] = {cRegs, 2 * bRegs, bRegs, cRegs};
  emit(info->fn, info->cls);
  uint32_t at = last(), list = reserveList(2 * cRegs + 3 * bRegs);
  Inst &inst = program.code[at];
  inst.list = list;
  inst.aux = aux;
  inst.width = f;
  inst.imm = steps;
  inst.count = uint8_t(bRegs);
  for (size_t n = 0; n < 4; ++n)
    if (!fragment(ops[n], unsigned(counts[n]), 'w', n == 0, list))
      return;
}

} // namespace attune::sim
