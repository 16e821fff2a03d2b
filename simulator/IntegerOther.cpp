//===- IntegerOther.cpp - integer instructions outside of inner loops -----===//
//
// Dot products of bytes, packed 16-bit integers, 24-bit products, masks, and the video instructions on two or
// four parts of a register. Each is stated for one lane.
//
//===----------------------------------------------------------------------===//
#include "simulator/Decode.h"

#include <algorithm>
#include <bit>

namespace attune::sim {

namespace {

/// Part `n` of `v`, `bits` wide, as a number.
int64_t part(uint32_t v, int n, int bits, bool isSigned) {
  uint32_t x = v >> (n * bits) & uint32_t((1ull << bits) - 1);
  return isSigned ? int64_t(int32_t(x << (32 - bits)) >> (32 - bits)) : int64_t(x);
}
int64_t clampTo(int64_t v, int bits, bool isSigned) {
  int64_t least = isSigned ? -(1ll << (bits - 1)) : 0;
  int64_t most = isSigned ? (1ll << (bits - 1)) - 1 : (1ll << bits) - 1;
  return std::clamp(v, least, most);
}

using Lane3 = uint32_t (*)(uint32_t a, uint32_t b, uint32_t c, uint16_t aux);
/// A handler from what one lane does. Instructions of two or one sources read an operand that they ignore.
template <Lane3 F> void lanes(Warp &w, const Inst &i) {
  const uint32_t *a = reinterpret_cast<const uint32_t *>(w.regs + i.a);
  const uint32_t *b = reinterpret_cast<const uint32_t *>(w.regs + i.b);
  const uint32_t *c = reinterpret_cast<const uint32_t *>(w.regs + i.c);
  uint32_t *d = reinterpret_cast<uint32_t *>(w.regs + i.d);
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    d[l] = F(a[l], b[l], c[l], i.aux);
  }
}

/// aux: bit 0 a is signed, bit 1 b is signed, bit 2 the upper half of b.
uint32_t dp4a(uint32_t a, uint32_t b, uint32_t c, uint16_t aux) {
  for (int n = 0; n < 4; ++n)
    c += uint32_t(part(a, n, 8, aux & 1) * part(b, n, 8, aux & 2));
  return c;
}
uint32_t dp2a(uint32_t a, uint32_t b, uint32_t c, uint16_t aux) {
  for (int n = 0; n < 2; ++n)
    c += uint32_t(part(a, n, 16, aux & 1) * part(b, n + (aux & 4 ? 2 : 0), 8, aux & 2));
  return c;
}

/// aux: bit 0 signed, bit 1 the upper 32 of 48 bits, bit 2 saturating.
uint32_t mul24(uint32_t a, uint32_t b, uint32_t, uint16_t aux) {
  int64_t p = aux & 1 ? int64_t(int32_t(a << 8) >> 8) * (int32_t(b << 8) >> 8)
                      : int64_t(uint64_t(a & 0xFFFFFF) * (b & 0xFFFFFF));
  return uint32_t(aux & 2 ? p >> 16 : p);
}
uint32_t mad24(uint32_t a, uint32_t b, uint32_t c, uint16_t aux) {
  uint32_t p = mul24(a, b, 0, aux);
  return aux & 4 ? uint32_t(clampTo(int64_t(int32_t(p)) + int32_t(c), 32, true)) : p + c;
}
uint32_t madHighSaturated(uint32_t a, uint32_t b, uint32_t c, uint16_t) {
  int64_t high = int64_t(int32_t(a)) * int32_t(b) >> 32;
  return uint32_t(clampTo(high + int32_t(c), 32, true));
}

/// aux: 0 add, 1 min, 2 max; bit 2 signed, bit 3 .relu.
uint32_t packed16(uint32_t a, uint32_t b, uint32_t, uint16_t aux) {
  uint32_t r = 0;
  for (int n = 0; n < 2; ++n) {
    int64_t x = part(a, n, 16, aux & 4), y = part(b, n, 16, aux & 4);
    int64_t v = (aux & 3) == 0 ? x + y : (aux & 3) == 1 ? std::min(x, y) : std::max(x, y);
    if ((aux & 8) && v < 0)
      v = 0;
    r |= (uint32_t(v) & 0xFFFF) << (16 * n);
  }
  return r;
}
uint32_t relu32(uint32_t a, uint32_t b, uint32_t, uint16_t aux) {
  int32_t v = (aux & 3) == 1 ? std::min(int32_t(a), int32_t(b)) : std::max(int32_t(a), int32_t(b));
  return uint32_t(std::max(v, 0));
}

/// bmsk: b bits from position a on. aux: bit 0 .wrap.
uint32_t bitMask(uint32_t a, uint32_t b, uint32_t, uint16_t aux) {
  uint32_t from = aux & 1 ? a & 31 : a, n = aux & 1 ? b & 31 : std::min(b, 32u);
  return from < 32 ? uint32_t(((1ull << n) - 1) << from) : 0;
}
/// szext: the low b bits, extended. aux: bit 0 .wrap, bit 1 signed.
uint32_t extend(uint32_t a, uint32_t b, uint32_t, uint16_t aux) {
  uint32_t n = aux & 1 ? b & 31 : b;
  if (n >= 32)
    return a;
  if (n == 0)
    return 0;
  return aux & 2 ? uint32_t(int32_t(a << (32 - n)) >> (32 - n)) : a & ((1u << n) - 1);
}
/// fns: the position of the c-th set bit of a from position b on (upwards, or downwards for negative c).
uint32_t findNth(uint32_t a, uint32_t b, uint32_t c, uint16_t) {
  int32_t n = int32_t(c);
  if (b > 31)
    return kFull;
  if (n == 0)
    return a >> b & 1 ? b : kFull;
  int step = n < 0 ? -1 : 1;
  int64_t left = n < 0 ? -int64_t(n) : n;
  for (int at = int(b); at >= 0 && at < 32; at += step)
    if ((a >> at & 1) && --left == 0)
      return uint32_t(at);
  return kFull;
}

/// The video instructions. aux: bits 0-2 the operation, 3 four parts, 4 and 5 a and b signed, 6 the result
/// signed, 7 .sat, 8 .add (the parts are summed to c), 9-11 the comparison of vset.
enum Video : uint16_t { VAdd, VSub, VAverage, VDifference, VMin, VMax, VSet };
uint32_t video(uint32_t a, uint32_t b, uint32_t c, uint16_t aux) {
  int parts = aux & 8 ? 4 : 2, bits = 32 / parts;
  bool isSigned = aux & 64;
  uint32_t r = 0, sum = c;
  for (int n = 0; n < parts; ++n) {
    int64_t x = part(a, n, bits, aux & 16), y = part(b, n, bits, aux & 32), v = 0;
    switch (Video(aux & 7)) {
    case VAdd:
      v = x + y;
      break;
    case VSub:
      v = x - y;
      break;
    case VAverage: // rounds away from zero
      v = x + y;
      v = v >= 0 ? (v + 1) >> 1 : v >> 1;
      break;
    case VDifference:
      v = x < y ? y - x : x - y;
      break;
    case VMin:
      v = std::min(x, y);
      break;
    case VMax:
      v = std::max(x, y);
      break;
    case VSet: {
      int k = aux >> 9 & 7;
      v = k == 0 ? x == y : k == 1 ? x != y : k == 2 ? x < y : k == 3 ? x <= y : k == 4 ? x > y : x >= y;
      break;
    }
    }
    if (aux & 128)
      v = clampTo(v, bits, isSigned);
    v = part(uint32_t(v), 0, bits, isSigned);
    sum += uint32_t(v);
    // Only the accumulating forms add to c; the others replace every part of it.
    r |= (uint32_t(v) & uint32_t((1ull << bits) - 1)) << (n * bits);
  }
  return aux & 256 ? sum : r;
}

/// cvt.pack: a and b saturate to `aux & 31` bits (signed: bit 5); from the lowest bits: b, a, and what c has
/// (bit 6).
uint32_t convertPack(uint32_t a, uint32_t b, uint32_t c, uint16_t aux) {
  int bits = aux & 31;
  uint32_t mask = (1u << bits) - 1;
  auto narrow = [&](uint32_t v) { return uint32_t(clampTo(int32_t(v), bits, aux & 32)) & mask; };
  return narrow(b) | narrow(a) << bits | (aux & 64 ? c << (2 * bits) : 0);
}

/// The halves of c, but 0 where that of a or b is the pattern of what lies out of bounds.
uint32_t inBounds(uint32_t a, uint32_t b, uint32_t c, uint16_t) {
  for (uint32_t half : {0xFFFFu, 0xFFFF0000u})
    if ((a & half) == half || (b & half) == half)
      c &= ~half;
  return c;
}

} // namespace

/// lop3.{or,and}.b32 d|p, a, b, c, table, q: lop3, whose result p compares with 0.
bool Decoder::lop3WithPredicate() {
  std::vector<std::string_view> mods = current->mods;
  bool either = take(mods, "or"), both = take(mods, "and");
  if (either == both || mods.size() != 1 || mods[0] != "b32" || !operandCount(6))
    return either != both && mods.size() == 1;
  const std::vector<Operand> &ops = current->operands;
  if (ops[0].kind != OperandKind::Pair || ops[4].kind != OperandKind::Integer) {
    error(ops[0], "expected 'd|p, a, b, c, table, q' as operands");
    return true;
  }
  uint32_t bits = temporary(Type::B32), some = temporary(Type::Pred), other = temporary(Type::Pred);
  emitNamed("lop3.b32").imm = ops[4].value;
  fix(Fixup::Register, Field::D, true, bits);
  if (!source(ops[1], Field::A, 'w') || !source(ops[2], Field::B, 'w') || !source(ops[3], Field::C, 'w'))
    return true;
  emitNamed("setp.ne.u32");
  fix(Fixup::Register, Field::D, true, some);
  fix(Fixup::Register, Field::A, false, bits);
  fix(Fixup::Constant, Field::B, false, constant(0, false));
  emitNamed("mov.pred").imm = ops[5].negated ? kFull : 0;
  fix(Fixup::Register, Field::D, true, other);
  if (!predicateSource(ops[5], Field::A))
    return true;
  emitNamed(either ? "or.pred" : "and.pred");
  fix(Fixup::Register, Field::A, false, some);
  fix(Fixup::Register, Field::B, false, other);
  if (!destination(ops[0].elements[1], Field::D, 'p') || ops[0].elements[0].kind == OperandKind::Sink)
    return true;
  emitNamed("mov:32");
  fix(Fixup::Register, Field::A, false, bits);
  destination(ops[0].elements[0], Field::D, 'w');
  return true;
}

/// fma.rn.oob{.relu}.TYPE: fma, whose result is 0 where a factor is out of bounds.
bool Decoder::fmaInBounds() {
  std::vector<std::string_view> mods = current->mods;
  if (!take(mods, "oob"))
    return false;
  std::string name = "fma";
  for (std::string_view m : mods)
    name += "." + std::string(m);
  const HandlerInfo *info = table.find(name);
  bool packed = mods.back().size() > 2 && mods.back().substr(mods.back().size() - 2) == "x2";
  if (!info || (mods.back().find("f16") == std::string_view::npos))
    return false;
  if (!operandCount(4))
    return true;
  char width = packed ? 'w' : 'h';
  const std::vector<Operand> &ops = current->operands;
  uint32_t sum = temporary(packed ? Type::B32 : Type::B16);
  emit(info->fn, info->cls);
  fix(Fixup::Register, Field::D, true, sum);
  if (!source(ops[1], Field::A, width) || !source(ops[2], Field::B, width) ||
      !source(ops[3], Field::C, width))
    return true;
  emit(lanes<inBounds>, Class::Floating);
  fix(Fixup::Register, Field::C, false, sum);
  source(ops[1], Field::A, width) && source(ops[2], Field::B, width) && destination(ops[0], Field::D, width);
  return true;
}

bool Decoder::integerOther() {
  std::vector<std::string_view> mods = current->mods;
  std::string_view root = current->root;
  auto use = [&](Handler fn, const char *signature, uint16_t aux) {
    if (!mods.empty())
      return false;
    genericOperands({fn, signature, Class::Integer}, false, aux);
    return true;
  };
  auto typeOf = [&](bool &isSigned) { // takes .u32 or .s32 from the front
    if (mods.empty() || (mods[0] != "u32" && mods[0] != "s32"))
      return false;
    isSigned = mods[0] == "s32";
    mods.erase(mods.begin());
    return true;
  };
  bool a = false, b = false;
  if (root == "lop3")
    return lop3WithPredicate();
  if (root == "fma")
    return fmaInBounds();
  if (root == "cvt") {
    static constexpr std::string_view narrow[] = {"u2", "u4", "u8", "u16", "s2", "s4", "s8", "s16"};
    bool pack = take(mods, "pack"), saturates = take(mods, "sat");
    size_t at = size_t(std::find(std::begin(narrow), std::end(narrow), mods.empty() ? "" : mods[0]) - narrow);
    if (!pack || !saturates || at == std::size(narrow) || mods.size() < 2 || mods[1] != "s32")
      return false;
    bool rest = mods.size() == 3 && mods[2] == "b32", halves = at % 4 == 3;
    if (rest == halves || mods.size() != (rest ? 3u : 2u))
      return false;
    mods.clear();
    return use(lanes<convertPack>, rest ? "w:www" : "w:ww",
               uint16_t(2u << at % 4 | (at > 3) << 5 | rest << 6));
  }
  if (root == "dp4a" || root == "dp2a") {
    bool two = root == "dp2a", low = two && take(mods, "lo"), high = two && take(mods, "hi");
    if ((two && low == high) || !typeOf(a) || !typeOf(b))
      return false;
    return use(two ? lanes<dp2a> : lanes<dp4a>, "w:www", uint16_t(a | b << 1 | high << 2));
  }
  if (root == "mul24" || root == "mad24") {
    bool low = take(mods, "lo"), high = take(mods, "hi"), saturate = take(mods, "sat");
    if (low == high || !typeOf(a) || (saturate && (root == "mul24" || low || !a)))
      return false;
    uint16_t aux = uint16_t(a | high << 1 | saturate << 2);
    return root == "mul24" ? use(lanes<mul24>, "w:ww", aux) : use(lanes<mad24>, "w:www", aux);
  }
  if (root == "mad") {
    if (!take(mods, "hi") || !take(mods, "sat") || !take(mods, "s32"))
      return false;
    return use(lanes<madHighSaturated>, "w:www", 0);
  }
  if (root == "add" || root == "min" || root == "max") {
    uint16_t aux = root == "add" ? 0 : root == "min" ? 1 : 2;
    bool relu = aux && take(mods, "relu");
    if (relu && take(mods, "s32"))
      return use(lanes<relu32>, "w:ww", aux);
    bool isSigned = take(mods, "s16x2");
    if (!isSigned && (relu || !take(mods, "u16x2")))
      return false;
    return use(lanes<packed16>, "w:ww", uint16_t(aux | isSigned << 2 | relu << 3));
  }
  if (root == "bmsk" || root == "szext") {
    bool wrap = take(mods, "wrap"), clamp = take(mods, "clamp");
    if (wrap == clamp)
      return false;
    if (root == "bmsk")
      return take(mods, "b32") && use(lanes<bitMask>, "w:ww", wrap);
    return typeOf(a) && use(lanes<extend>, "w:ww", uint16_t(wrap | a << 1));
  }
  if (root == "fns")
    return take(mods, "b32") && use(lanes<findNth>, "w:www", 0);
  static constexpr std::string_view videos[] = {"vadd", "vsub", "vavrg", "vabsdiff", "vmin", "vmax", "vset"};
  for (uint16_t n = 0; n < std::size(videos); ++n) {
    if (root.size() != videos[n].size() + 1 || root.substr(0, root.size() - 1) != videos[n] ||
        (root.back() != '2' && root.back() != '4'))
      continue;
    bool d = false;
    if ((n != VSet && !typeOf(d)) || !typeOf(a) || !typeOf(b))
      return false;
    uint16_t aux = uint16_t(n | (root.back() == '4') << 3 | a << 4 | b << 5 | d << 6);
    static constexpr std::string_view comparisons[] = {"eq", "ne", "lt", "le", "gt", "ge"};
    bool compared = n != VSet;
    for (uint16_t k = 0; k < 6 && !compared; ++k)
      if ((compared = take(mods, comparisons[k])))
        aux |= uint16_t(k << 9);
    aux |= n != VSet && take(mods, "sat") ? 128 : 0;
    aux |= take(mods, "add") ? 256 : 0;
    return compared && use(lanes<video>, "w:www", aux);
  }
  return false;
}

} // namespace attune::sim
