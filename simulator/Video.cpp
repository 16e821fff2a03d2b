//===- Video.cpp - the scalar video instructions --------------------------===//
//
// vadd, vsub, vabsdiff, vmin, vmax, vset, vshl, vshr and vmad on a byte, half or the whole of each operand,
// with saturation and a second operation or a merge into a part of the result, as the PTX ISA's pseudo-code
// has them. Those of two and four parts are IntegerOther.cpp's.
//
//===----------------------------------------------------------------------===//
#include "simulator/Decode.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

namespace {

enum class Op : uint8_t { Add, Sub, Difference, Min, Max, ShiftLeft, ShiftRight, Set, Mad };
enum class Second : uint8_t { None, Add, Min, Max };
enum class Part : uint8_t { B0, B1, B2, B3, H0, H1, Whole };
constexpr std::string_view roots[] = {"vadd", "vsub", "vabsdiff", "vmin", "vmax",
                                      "vshl", "vshr", "vset",     "vmad"};

/// In Inst::imm.
struct Video {
  Op op = Op::Add;
  Second second = Second::None;
  Part a = Part::Whole, b = Part::Whole, d = Part::Whole;
  /// Bits: 0 the result, 1 a, 2 b are signed; 3 saturates; 4 .wrap, or .po of vmad; 5 the product, 6 c is
  /// negative.
  uint8_t flags = 0;
  uint8_t detail = 0; ///< the comparison of vset, the bits that vmad's result is shifted by
  uint8_t unused = 0;
};
static_assert(sizeof(Video) == 8);

unsigned bitsOf(Part p) { return p == Part::Whole ? 32 : p >= Part::H0 ? 16 : 8; }
unsigned shiftOf(Part p) {
  return p == Part::Whole ? 0 : p >= Part::H0 ? 16 * (unsigned(p) - 4) : 8 * unsigned(p);
}

using Wide = __int128;

Wide partOf(uint32_t v, Part p, bool isSigned) {
  unsigned bits = bitsOf(p);
  uint64_t x = v >> shiftOf(p) & ((1ull << bits) - 1);
  bool negative = isSigned && x >> (bits - 1);
  return Wide(x) - (negative ? Wide(1) << bits : Wide(0));
}
Wide clampTo(Wide v, unsigned bits, bool isSigned) {
  Wide least = isSigned ? -(Wide(1) << (bits - 1)) : Wide(0);
  Wide most = (Wide(1) << (isSigned ? bits - 1 : bits)) - 1;
  return std::clamp(v, least, most);
}

uint32_t multiplyAdd(const Video &v, uint32_t a, uint32_t b, uint32_t c) {
  bool negativeProduct = v.flags & 32, negativeC = v.flags & 64, plusOne = v.flags & 16;
  bool isSigned = (v.flags & 6) || negativeProduct || negativeC;
  Wide sum = partOf(a, v.a, v.flags & 2) * partOf(b, v.b, v.flags & 4);
  Wide addend = isSigned ? Wide(int32_t(c)) : Wide(c);
  sum = (negativeProduct ? -sum : sum) + (negativeC ? -addend : addend) + plusOne;
  sum >>= v.detail;
  return uint32_t(v.flags & 8 ? clampTo(sum, 32, isSigned) : sum);
}

uint32_t compute(const Video &v, uint32_t a, uint32_t b, uint32_t c) {
  if (v.op == Op::Mad)
    return multiplyAdd(v, a, b, c);
  bool isSigned = v.flags & 1;
  Wide x = partOf(a, v.a, v.flags & 2), y = partOf(b, v.b, v.flags & 4), r = 0;
  switch (v.op) {
  case Op::Add:
    r = x + y;
    break;
  case Op::Sub:
    r = x - y;
    break;
  case Op::Difference:
    r = x < y ? y - x : x - y;
    break;
  case Op::Min:
    r = std::min(x, y);
    break;
  case Op::Max:
    r = std::max(x, y);
    break;
  case Op::ShiftLeft:
  case Op::ShiftRight: {
    unsigned n = unsigned(v.flags & 16 ? y & 31 : std::min<Wide>(y, 32));
    r = v.op == Op::ShiftLeft ? x * (Wide(1) << n) : x >> n;
    break;
  }
  case Op::Set:
    r = v.detail == 0   ? x == y
        : v.detail == 1 ? x != y
        : v.detail == 2 ? x < y
        : v.detail == 3 ? x <= y
        : v.detail == 4 ? x > y
                        : x >= y;
    break;
  case Op::Mad:
    break;
  }
  if (v.flags & 8)
    r = clampTo(r, bitsOf(v.d), isSigned);
  Wide addend = isSigned ? Wide(int32_t(c)) : Wide(c);
  if (v.second == Second::Add)
    r += addend;
  else if (v.second != Second::None) {
    Wide narrow = isSigned ? Wide(int32_t(uint32_t(r))) : Wide(uint32_t(r));
    r = v.second == Second::Min ? std::min(narrow, addend) : std::max(narrow, addend);
  }
  if (v.d == Part::Whole)
    return uint32_t(r);
  uint32_t mask = uint32_t((1ull << bitsOf(v.d)) - 1) << shiftOf(v.d);
  return (c & ~mask) | (uint32_t(r) << shiftOf(v.d) & mask);
}

void execVideo(Warp &w, const Inst &i) {
  Video v;
  std::memcpy(&v, &i.imm, sizeof(v));
  auto words = [&](uint32_t offset) { return reinterpret_cast<uint32_t *>(w.regs + offset); };
  const uint32_t *a = words(i.a), *b = words(i.b), *c = words(i.c);
  uint32_t *d = words(i.d);
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    d[l] = compute(v, a[l], b[l], c[l]);
  }
}

} // namespace

/// vadd.DTYPE.ATYPE.BTYPE{.sat}{.OP} d{.part}, a{.part}, b{.part}{, c} and its kin; vset has no DTYPE. False:
/// it is none of them.
bool Decoder::scalarVideo() {
  auto root = std::find(std::begin(roots), std::end(roots), current->root);
  if (root == std::end(roots))
    return false;
  Video v;
  v.op = Op(root - std::begin(roots));
  std::vector<std::string_view> mods = current->mods;
  for (uint8_t bit = v.op == Op::Set ? 1 : 0; bit < 3; ++bit) {
    if (mods.empty() || (mods[0] != "u32" && mods[0] != "s32"))
      return false;
    v.flags |= uint8_t((mods[0] == "s32") << bit);
    mods.erase(mods.begin());
  }
  bool shift = v.op == Op::ShiftLeft || v.op == Op::ShiftRight, mad = v.op == Op::Mad, set = v.op == Op::Set;
  if (shift && (v.flags & 4))
    return false;
  if (!set && take(mods, "sat"))
    v.flags |= 8;
  if (shift) {
    bool wrap = take(mods, "wrap"), clamp = take(mods, "clamp");
    if (wrap == clamp)
      return false;
    v.flags |= wrap ? 16 : 0;
  }
  if (set) {
    static constexpr std::string_view comparisons[] = {"eq", "ne", "lt", "le", "gt", "ge"};
    size_t k = 0;
    while (k < std::size(comparisons) && !take(mods, comparisons[k]))
      ++k;
    if (k == std::size(comparisons))
      return false;
    v.detail = uint8_t(k);
  }
  if (mad) {
    v.flags |= take(mods, "po") ? 16 : 0;
    v.detail = take(mods, "shr7") ? 7 : take(mods, "shr15") ? 15 : 0;
  } else {
    v.second = take(mods, "add")   ? Second::Add
               : take(mods, "min") ? Second::Min
               : take(mods, "max") ? Second::Max
                                   : Second::None;
  }
  if (!mods.empty())
    return false;
  const std::vector<Operand> &ops = current->operands;
  bool merges = !ops.empty() && ops[0].kind == OperandKind::Part;
  bool three = mad || v.second != Second::None || merges;
  if (!operandCount(three ? 4 : 3))
    return true;
  auto inner = [&](const Operand &o, Part &part) -> const Operand & {
    if (o.kind != OperandKind::Part)
      return o;
    part = Part(o.value);
    return o.elements[0];
  };
  auto positive = [&](const Operand &o, uint8_t flag) -> const Operand & {
    if (!mad || o.kind != OperandKind::Negative)
      return o;
    v.flags ^= flag;
    return o.elements[0];
  };
  if (merges && (mad || v.second != Second::None)) {
    error(ops[0], fmt::format("expected a whole register as destination of '{}'", current->opcode));
    return true;
  }
  const Operand &d = inner(ops[0], v.d), &a = inner(positive(ops[1], 32), v.a),
                &b = inner(positive(ops[2], 32), v.b);
  emit(execVideo, Class::Integer);
  uint32_t at = last();
  if (three) {
    const Operand &c = positive(ops[3], 64);
    if (!source(c, Field::C, 'w'))
      return true;
  }
  if ((v.flags & 16) && mad && (v.flags & 96)) {
    error(fmt::format("expected no negative operand of '{}'", current->opcode));
    return true;
  }
  std::memcpy(&program.code[at].imm, &v, sizeof(v));
  source(a, Field::A, 'w') && source(b, Field::B, 'w') && destination(d, Field::D, 'w');
  return true;
}

} // namespace attune::sim
