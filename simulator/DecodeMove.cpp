//===- DecodeMove.cpp - mov of registers and vectors, cvta, isspacep ------===//
#include "simulator/Decode.h"

#include <fmt/format.h>

namespace attune::sim {

void execClock(Warp &w, const Inst &i);

void Decoder::mov() {
  if (!operandCount(2))
    return;
  const Operand &dst = current->operands[0], &src = current->operands[1];
  if (current->mods.size() == 2 && (current->mods[0] == "v2" || current->mods[0] == "v4")) {
    moveVector(dst, src);
    return;
  }
  Type type = current->mods.size() == 1 ? parseType(current->mods[0]) : Type::None;
  unsigned bytes = typeBytes(type);
  if (type == Type::None || bytes > 8 || bytes < 2) {
    unsupported();
    return;
  }
  if (dst.kind == OperandKind::Vector || src.kind == OperandKind::Vector) {
    vectorMove(dst, src, bytes);
    return;
  }
  char width = bytes == 8 ? 'q' : bytes == 2 ? 'h' : 'w';
  if (inFrame(src)) {
    frameAddress(dst, src, width);
    return;
  }
  if (src.kind == OperandKind::Special) {
    static const std::string_view clocks[] = {"%clock",       "%clock_hi",       "%clock64",
                                              "%globaltimer", "%globaltimer_lo", "%globaltimer_hi"};
    for (size_t n = 0; n < std::size(clocks); ++n)
      if (src.text == clocks[n]) {
        emit(execClock, Class::Move);
        program.code.back().width = uint8_t(bytes);
        program.code.back().imm = n == 1 || n == 5;
        destination(dst, Field::D, width);
        return;
      }
    if (width == 'q') { // e.g. mov.u64 %rd, %gridid
      uint32_t t = temporary(Type::B32);
      emitNamed("mov:32");
      fix(Fixup::Register, Field::D, true, t);
      if (!source(src, Field::A, 'w'))
        return;
      emitNamed("widen:zero");
      fix(Fixup::Register, Field::A, false, t);
      destination(dst, Field::D, 'q');
      return;
    }
  }
  emitNamed(bytes == 8 ? "mov:64" : "mov:32");
  if (destination(dst, Field::D, width))
    source(src, Field::A, width, type == Type::F32 || type == Type::F64);
}

/// mov.v4.f32 of vector registers, or lists of registers in braces.
void Decoder::moveVector(const Operand &dst, const Operand &src) {
  size_t n = current->mods[0] == "v2" ? 2 : 4;
  Type type = parseType(current->mods[1]);
  unsigned bytes = typeBytes(type);
  if (type == Type::Pred || bytes < 2 || bytes > 8) {
    unsupported();
    return;
  }
  for (const Operand *o : {&dst, &src})
    if (o->kind != OperandKind::Vector || o->elements.size() != n) {
      error(*o, fmt::format("expected a vector of {} registers", n));
      return;
    }
  char width = bytes == 8 ? 'q' : bytes == 2 ? 'h' : 'w';
  std::vector<uint32_t> parts; // the vectors may overlap
  for (const Operand &o : src.elements) {
    emitNamed(bytes == 8 ? "mov:64" : "mov:32");
    parts.push_back(temporary(type));
    fix(Fixup::Register, Field::D, true, parts.back());
    if (!source(o, Field::A, width, type == Type::F32 || type == Type::F64))
      return;
  }
  for (size_t k = 0; k < n; ++k) {
    emitNamed(bytes == 8 ? "mov:64" : "mov:32");
    fix(Fixup::Register, Field::A, false, parts[k]);
    if (!destination(dst.elements[k], Field::D, width))
      return;
  }
}

void Decoder::vectorMove(const Operand &dst, const Operand &src, unsigned bytes) {
  bool pack = src.kind == OperandKind::Vector;
  const Operand &vector = pack ? src : dst, &whole = pack ? dst : src;
  size_t parts = vector.elements.size();
  if ((pack && dst.kind == OperandKind::Vector) || parts == 0) {
    unsupported();
    return;
  }
  unsigned part = bytes / unsigned(parts);
  const HandlerInfo *info = table.find(fmt::format("{}:{}x{}", pack ? "pack" : "unpack", parts, 8 * part));
  if (!info) {
    error(vector, fmt::format("expected the parts of a {}-bit value, got {} parts", 8 * bytes, parts));
    return;
  }
  emit(info->fn, info->cls);
  uint32_t at = last(), list = reserveList(parts);
  program.code[at].list = list;
  char wholeWidth = bytes == 8   ? 'q'
                    : bytes == 4 ? 'w'
                                 : 'h',
       partWidth = part == 4   ? 'w'
                   : part == 2 ? 'h'
                               : 'x';
  if (pack ? !destination(whole, Field::D, wholeWidth) : !source(whole, Field::A, wholeWidth))
    return;
  for (size_t n = 0; n < parts; ++n) {
    const Operand &o = vector.elements[n];
    if (!pack && o.kind == OperandKind::Sink)
      continue;
    if (pack ? !source(o, Field::List, partWidth, false, uint32_t(list + n))
             : !destination(o, Field::List, partWidth, uint32_t(list + n)))
      return;
  }
}

void Decoder::cvta() {
  std::vector<std::string_view> mods = current->mods;
  bool to = take(mods, "to"), ok;
  Space space = takeSpace(mods, ok);
  if (mods.size() != 1 || mods[0] != "u64" || space == Space::Generic) {
    unsupported();
    return;
  }
  if (!operandCount(2))
    return;
  uint64_t window = space == Space::Shared || space == Space::Cluster ? kSharedWindow
                    : space == Space::Local                           ? kLocalWindow
                    : space == Space::Param                           ? kParamWindow
                                                                      : 0;
  Operand from = current->operands[1];
  if (inFrame(from)) {
    Operand sum;
    sum.kind = OperandKind::Register;
    sum.index = temporary(Type::B64);
    frameAddress(sum, from, 'q');
    from = sum;
  }
  emitNamed(window == 0 ? "mov:64" : to ? "cvta.to" : "cvta");
  if (!destination(current->operands[0], Field::D, 'q') || !source(from, Field::A, 'q'))
    return;
  if (window)
    fix(Fixup::Constant, Field::B, false, constant(window, true));
}

/// isspacep.SPACE p, a. Constants lie among global memory here, and no address is one of both.
void Decoder::isSpace() {
  std::vector<std::string_view> mods = current->mods;
  bool known, constants = take(mods, "const");
  Space space = constants ? Space::Const : takeSpace(mods, known);
  if (!mods.empty() || space == Space::Generic) {
    unsupported();
    return;
  }
  const HandlerInfo *info = table.find(space == Space::Shared ? "isspacep:shared" : "isspacep");
  size_t before = program.code.size();
  genericOperands(*info, false);
  if (program.code.size() == before)
    return;
  Inst &i = program.code.back();
  i.width = space == Space::Global;
  i.imm = int64_t(space == Space::Cluster ? kSharedWindow // of all ranks
                  : space == Space::Local ? kLocalWindow
                  : space == Space::Param ? kParamWindow
                                          : ~kWindowBytes); // no address is a constant's
}

} // namespace attune::sim
