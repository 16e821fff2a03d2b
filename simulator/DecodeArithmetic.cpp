//===- DecodeArithmetic.cpp - comparisons, carry chains, conversions ------===//
#include "simulator/Decode.h"

#include <algorithm>
#include <fmt/format.h>

namespace attune::sim {

/// setp.CMP[.BOOL][.ftz].TYPE p[|q], a, b[, [!]c] and set.CMP[.BOOL][.ftz].DTYPE.TYPE d, a, b[, [!]c].
void Decoder::setp(bool set) {
  std::vector<std::string_view> mods = current->mods;
  uint16_t combine = take(mods, "and") ? 1 : take(mods, "or") ? 2 : take(mods, "xor") ? 3 : 0;
  std::string_view result;
  if (set && mods.size() >= 2) {
    result = mods[mods.size() - 2];
    mods.erase(mods.end() - 2);
  }
  std::string name = "setp";
  for (std::string_view m : mods)
    name += fmt::format(".{}", m);
  const HandlerInfo *info = table.find(name);
  uint8_t comparison = 0;
  int64_t packed = 0;
  bool isPacked = !info && (info = packedComparison(mods, comparison, packed));
  SetValue value = SetValue::None;
  if (set) {
    bool integer = result == "u32" || result == "s32";
    if (integer || result == "f32")
      value = integer ? SetValue::Ones : SetValue::Float;
    else if (result == "u16" || result == "s16")
      value = SetValue::Ones16;
    else if (result == "f16" || result == "f16x2")
      value = SetValue::Half;
    else if (result == "bf16" || result == "bf16x2")
      value = SetValue::Bfloat;
    bool pair = result == "f16x2" || result == "bf16x2";
    if (value == SetValue::None || (isPacked ? !pair && !integer : pair))
      info = nullptr;
  }
  if (!info) {
    unsupported();
    return;
  }
  if (!operandCount(combine ? 4 : 3))
    return;
  const std::vector<Operand> &ops = current->operands;
  emit(info->fn, info->cls);
  uint32_t at = last();
  Type type = parseType(mods.back());
  bool isFloat = type == Type::F32 || type == Type::F64;
  if (set) {
    program.code[at].count = uint8_t(value);
    if (!destination(ops[0], Field::D, isPacked || value <= SetValue::Float ? 'w' : 'h'))
      return;
  } else if (ops[0].kind == OperandKind::Pair) {
    for (int n = 0; n < 2; ++n) {
      const Operand &o = ops[0].elements[n];
      if (o.kind != OperandKind::Sink && !destination(o, n ? Field::D2 : Field::D, 'p'))
        return;
    }
  } else if (ops[0].kind != OperandKind::Sink && !destination(ops[0], Field::D, 'p')) {
    return;
  }
  if (isPacked) {
    program.code[at].width = comparison;
    program.code[at].imm = packed;
  }
  char width = info->signature[2];
  if (!source(ops[1], Field::A, width, isFloat) || !source(ops[2], Field::B, width, isFloat))
    return;
  if (combine) {
    program.code[at].aux = combine;
    program.code[at].imm = isPacked ? packed | (ops[3].negated ? 4 : 0) : ops[3].negated ? int64_t(kFull) : 0;
    predicateSource(ops[3], Field::C);
  }
}

/// add.cc, addc, sub.cc, subc, mad.LO.cc, madc: through a predicate that stands for the carry flag.
void Decoder::carry(std::string_view operation, bool reads) {
  std::vector<std::string_view> mods = current->mods;
  bool writes = take(mods, "cc");
  std::string name = fmt::format("carry:{}", operation);
  for (std::string_view part : {"lo", "hi"})
    if (operation == "mad" && take(mods, part))
      name += fmt::format(".{}", part);
  const HandlerInfo *info = mods.size() == 1 ? table.find(fmt::format("{}:{}", name, mods[0])) : nullptr;
  if (!info) {
    unsupported();
    return;
  }
  size_t before = program.code.size();
  genericOperands(*info, false);
  if (program.code.size() == before)
    return;
  if (carryFlag < 0)
    carryFlag = int32_t(temporary(Type::Pred));
  Inst &inst = program.code.back();
  inst.aux = uint16_t(writes | reads << 1);
  if (writes)
    fix(Fixup::Register, Field::D2, true, uint32_t(carryFlag));
  if (reads) {
    inst.list = reserveList(1);
    fix(Fixup::Register, Field::List, false, uint32_t(carryFlag), inst.list);
  }
}

/// cvt takes registers that are wider than its types.
void Decoder::cvt() {
  const HandlerInfo *info = table.find(current->opcode);
  HandlerInfo other;
  std::string signature;
  int64_t encoded = 0;
  uint8_t count = 0;
  if (!info) {
    std::optional<AnyConversion> any = anyConversion();
    if (!any) {
      if (!integerOther()) // cvt.pack
        unsupported();
      return;
    }
    encoded = any->encoded;
    count = any->count;
    signature = fmt::format("{}:{}", any->destination, std::string(count == 3 ? 2 : 1, any->source));
    other = {any->fn, signature.c_str(), Class::Conversion};
    info = &other;
  }
  std::string_view sig = info->signature;
  size_t colon = sig.find(':'), sources = sig.size() - colon - 1;
  if (!operandCount(1 + sources))
    return;
  const std::vector<Operand> &ops = current->operands;
  Type from = parseType(current->mods.back());
  Type to = current->mods.size() >= 2 ? parseType(current->mods[current->mods.size() - 2]) : Type::None;
  bool isFloat = from == Type::F32 || from == Type::F64;
  // Sources in wider registers are narrowed first.
  uint32_t narrowed[2] = {0, 0};
  for (size_t n = 0; n < sources; ++n) {
    const Operand &o = ops[1 + n];
    char width = sig[colon + 1 + n];
    if (width == 'q' || o.kind != OperandKind::Register)
      continue;
    unsigned bytes = typeBytes(registerType(o.index));
    if (bytes == 8) {
      narrowed[n] = temporary(Type::B32);
      emitNamed("narrow");
      fix(Fixup::Register, Field::D, true, narrowed[n]);
      fix(Fixup::Register, Field::A, false, o.index);
    } else if (width == 'h' && bytes == 4) {
      narrowed[n] = temporary(Type::B32);
      emitNamed("mask16");
      fix(Fixup::Register, Field::D, true, narrowed[n]);
      fix(Fixup::Register, Field::A, false, o.index);
    }
  }
  Type destType = ops[0].kind == OperandKind::Register ? registerType(ops[0].index) : Type::None;
  if (destType == Type::None || destType == Type::Pred) {
    error(ops[0], "expected a register as destination of 'cvt'");
    return;
  }
  bool widen = sig[0] != 'q' && typeBytes(destType) == 8;
  if (!widen && (sig[0] == 'q') != (typeBytes(destType) == 8)) {
    error(ops[0], fmt::format("expected {}, got '{}' of type {}", widthText(sig[0]), ops[0].text,
                              typeName(destType)));
    return;
  }
  if (sig[0] == 'w' && typeBytes(destType) < 4) {
    error(ops[0], fmt::format("expected {}, got '{}' of type {}", widthText(sig[0]), ops[0].text,
                              typeName(destType)));
    return;
  }
  Inst &inst = emit(info->fn, info->cls);
  inst.imm = encoded;
  inst.count = count;
  uint32_t result = widen ? temporary(Type::B32) : ops[0].index;
  fix(Fixup::Register, Field::D, true, result);
  for (size_t n = 0; n < sources; ++n) {
    Field field = n ? Field::B : Field::A;
    if (narrowed[n])
      fix(Fixup::Register, field, false, narrowed[n]);
    else if (!source(ops[1 + n], field, sig[colon + 1 + n] == 'x' ? 'x' : sig[colon + 1 + n], isFloat))
      return;
  }
  if (widen) {
    bool isSigned = to == Type::S8 || to == Type::S16 || to == Type::S32;
    emitNamed(!isSigned ? "widen:zero" : to == Type::S32 ? "widen:sign" : "widen:sign16");
    fix(Fixup::Register, Field::D, true, ops[0].index);
    fix(Fixup::Register, Field::A, false, result);
  }
}

} // namespace attune::sim
