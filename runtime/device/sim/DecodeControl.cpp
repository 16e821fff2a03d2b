//===- DecodeControl.cpp - branches, barriers, collectives, mma ----------------===//
#include "runtime/device/sim/Decode.h"

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

/// shfl.sync.MODE.b32 d[|p], a, b, c, membermask.
void Decoder::shuffle() {
  const HandlerInfo *info = table.find(current->opcode);
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
  const HandlerInfo *info = table.find(current->opcode);
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

void Decoder::mma() {
  const std::vector<std::string_view> &mods = current->mods;
  const std::vector<Operand> &ops = current->operands;
  // sync.aligned.SHAPE.row.col.D.A.B.C
  bool shape = mods.size() == 9 && mods[0] == "sync" && mods[1] == "aligned" && mods[3] == "row" &&
               mods[4] == "col" && mods[5] == "f32" && mods[8] == "f32" && mods[6] == mods[7];
  int sm = std::atoi(ast.target.c_str() + 3);
  const HandlerInfo *info =
      shape ? table.find(fmt::format("mma:{}:{}:{}", sm >= 90 ? "hopper" : "ampere", mods[2], mods[6]))
            : nullptr;
  if (!info) {
    unsupported();
    return;
  }
  if (sm < 80) {
    error(fmt::format("expected a target of sm_80 or later for '{}', got '{}'", current->opcode, ast.target));
    return;
  }
  if (!operandCount(4))
    return;
  size_t k = mods[2] == "m16n8k16" ? 16 : mods[2] == "m16n8k8" ? 8 : 4;
  size_t bRegs = mods[6] == "tf32" ? k / 4 : k / 8;
  size_t counts[4] = {4, 2 * bRegs, bRegs, 4};
  emit(info->fn, info->cls);
  uint32_t at = last(), list = reserveList(8 + 3 * bRegs);
  program.code[at].list = list;
  for (int n = 0; n < 4; ++n) {
    const Operand &o = ops[n];
    bool vector = o.kind == OperandKind::Vector && o.elements.size() == counts[n];
    bool single = counts[n] == 1 && o.kind == OperandKind::Register;
    if (!vector && !single) {
      error(o, fmt::format("expected a vector of {} registers", counts[n]));
      return;
    }
    for (size_t e = 0; e < counts[n]; ++e) {
      const Operand &r = single ? o : o.elements[e];
      if (n == 0 ? !destination(r, Field::List, 'w', list) : !source(r, Field::List, 'w', n == 3, list))
        return;
      ++list;
    }
  }
}

} // namespace attune::sim
