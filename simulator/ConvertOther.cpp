//===- ConvertOther.cpp - cvt between any two formats, exactly ------------===//
//
// The conversions of inner loops are vectorised in isa/Convert.inc. The others go through one exact number,
// sign * m * 2^e, so that each pair of formats and each rounding needs no code of its own.
//
//===----------------------------------------------------------------------===//
#include "simulator/Decode.h"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

namespace attune::sim {

namespace {

enum class Rounding : uint8_t { Nearest, NearestAway, Zero, Down, Up };

struct Format {
  std::string_view name;
  uint8_t bits;     ///< of the value in its register
  uint8_t exponent; ///< bits; 0: an integer
  uint8_t fraction;
  uint8_t shift; ///< of the value's lowest bit (tf32 keeps the low bits of an f32 clear)
  bool infinity; ///< false: the largest exponent holds numbers, and only all ones are NaN
  bool isSigned; ///< of an integer
  uint32_t nan;  ///< the pattern that results have; f64's is longer
};
constexpr Format kFormats[] = {{"f16", 16, 5, 10, 0, true, true, 0x7FFF},
                               {"bf16", 16, 8, 7, 0, true, true, 0x7FFF},
                               {"tf32", 32, 8, 10, 13, true, true, 0x7FFFFFFF},
                               {"f32", 32, 8, 23, 0, true, true, 0x7FFFFFFF},
                               {"f64", 64, 11, 52, 0, true, true, 0},
                               {"e4m3", 8, 4, 3, 0, false, true, 0x7F},
                               {"e5m2", 8, 5, 2, 0, true, true, 0x7F},
                               {"u8", 8, 0, 0, 0, false, false, 0},
                               {"s8", 8, 0, 0, 0, false, true, 0},
                               {"u16", 16, 0, 0, 0, false, false, 0},
                               {"s16", 16, 0, 0, 0, false, true, 0},
                               {"u32", 32, 0, 0, 0, false, false, 0},
                               {"s32", 32, 0, 0, 0, false, true, 0},
                               {"u64", 64, 0, 0, 0, false, false, 0},
                               {"s64", 64, 0, 0, 0, false, true, 0}};

/// Sign * m * 2^e, or an infinity, or NaN.
struct Exact {
  bool negative = false, infinite = false, nan = false;
  uint64_t m = 0;
  int e = 0;
};

Exact unpack(uint64_t bits, const Format &f, bool flush) {
  Exact x;
  if (!f.exponent) {
    uint64_t v = f.bits == 64 ? bits : bits & ((1ull << f.bits) - 1);
    x.negative = f.isSigned && (v >> (f.bits - 1) & 1);
    if (x.negative)
      v = 0 - (f.bits == 64 ? v : v | ~0ull << f.bits);
    x.m = v;
    return x;
  }
  bits >>= f.shift;
  int width = f.exponent + f.fraction, top = (1 << f.exponent) - 1, bias = top >> 1;
  x.negative = bits >> width & 1;
  int e = int(bits >> f.fraction) & top;
  x.m = bits & ((1ull << f.fraction) - 1);
  if (e == top && (f.infinity || x.m == (1ull << f.fraction) - 1)) {
    x.nan = !f.infinity || x.m;
    x.infinite = !x.nan;
    return x;
  }
  if (e)
    x.m |= 1ull << f.fraction;
  else if (flush)
    x.m = 0;
  x.e = (e ? e : 1) - bias - f.fraction;
  return x;
}

/// m * 2^e as a multiple of 2^unit, rounded.
uint64_t roundTo(const Exact &x, int unit, Rounding rounding) {
  int shift = unit - x.e;
  if (shift <= 0)
    return shift > -64 ? x.m << -shift : 0; // the callers see to it that nothing is lost
  uint64_t n = shift < 64 ? x.m >> shift : 0;
  uint64_t rest = shift < 64 ? x.m & ((1ull << shift) - 1) : x.m;
  bool exactly = shift <= 64 && rest == 1ull << (shift - 1), more = shift <= 64 && rest > 1ull << (shift - 1);
  bool up = rounding == Rounding::Nearest       ? more || (exactly && (n & 1))
            : rounding == Rounding::NearestAway ? more || exactly
            : rounding == Rounding::Down        ? x.negative && rest
            : rounding == Rounding::Up          ? !x.negative && rest
                                                : false;
  return n + up;
}

uint64_t packFloat(const Exact &x, const Format &f, Rounding rounding, bool saturate, bool flush) {
  int bias = (1 << (f.exponent - 1)) - 1, width = f.exponent + f.fraction;
  uint64_t sign = uint64_t(x.negative) << width;
  if (x.nan)
    return f.bits == 64 ? 0x7FF8000000000000ull : f.nan;
  // The first pattern beyond the finite numbers.
  uint64_t limit = f.infinity ? ((1ull << f.exponent) - 1) << f.fraction : (1ull << width) - 1;
  uint64_t n = limit;
  if (!x.infinite) {
    int top = x.m ? x.e + 63 - std::countl_zero(x.m) : -100000, least = 1 - bias;
    int e = std::max(top, least);
    n = roundTo(x, e - f.fraction, rounding) + (uint64_t(e + bias - 1) << f.fraction);
    if (flush && !(n >> f.fraction))
      n = 0;
  }
  if (n >= limit) {
    bool away = x.infinite || rounding == Rounding::Nearest || rounding == Rounding::NearestAway ||
                (rounding == Rounding::Up && !x.negative) || (rounding == Rounding::Down && x.negative);
    n = saturate || !away ? limit - 1 : limit;
  }
  return (sign | n) << f.shift;
}

/// An integral value of a float format.
Exact integral(Exact x, Rounding rounding) {
  if (!x.nan && !x.infinite && x.e < 0) {
    x.m = roundTo(x, 0, rounding);
    x.e = 0;
  }
  return x;
}

uint64_t packInteger(Exact x, const Format &f, Rounding rounding, bool wideNan) {
  if (x.nan)
    return wideNan ? 1ull << (f.bits - 1) : 0;
  uint64_t most = f.isSigned ? (1ull << (f.bits - 1)) - 1 : f.bits == 64 ? ~0ull : (1ull << f.bits) - 1;
  uint64_t least = f.isSigned ? 1ull << (f.bits - 1) : 0; // magnitude
  bool huge = x.infinite || (x.m && x.e + 63 - std::countl_zero(x.m) >= 64);
  if (!huge)
    x = integral(x, rounding);
  uint64_t v = huge ? ~0ull : x.e > 0 ? x.m << x.e : x.m, edge = x.negative ? least : most;
  v = huge || v > edge ? edge : v;
  v = x.negative ? 0 - v : v;
  return f.bits == 64 ? v : f.bits == 8 && f.isSigned ? v & 0xFFFF : v & ((1ull << f.bits) - 1);
}

/// How one cvt works; Inst::imm is its index here.
struct Conversion {
  const Format *to = nullptr, *from = nullptr;
  Rounding rounding = Rounding::Nearest;
  bool integral = false, flush = false, saturate = false, finite = false, relu = false;

  uint64_t apply(uint64_t bits) const {
    Exact x = unpack(bits, *from, flush && from->bits == 32);
    if (!to->exponent)
      return packInteger(x, *to, rounding, to->bits == 64 || from->bits == 64);
    if (integral)
      x = sim::integral(x, rounding);
    if ((relu || saturate) && x.negative && !x.nan)
      x = Exact();
    if (saturate) {
      if (x.nan)
        x = Exact();
      Exact one;
      one.m = 1;
      if (x.infinite || (x.m && x.e + 63 - std::countl_zero(x.m) >= 0))
        x = one;
    }
    return packFloat(x, *to, rounding, finite, flush && to->bits == 32);
  }
};

uint32_t encode(const Conversion &c) {
  return uint32_t(c.to - kFormats) | uint32_t(c.from - kFormats) << 4 | uint32_t(c.rounding) << 8 |
         uint32_t(c.integral) << 12 | uint32_t(c.flush) << 13 | uint32_t(c.saturate) << 14 |
         uint32_t(c.finite) << 15 | uint32_t(c.relu) << 16;
}
Conversion decode(uint32_t v) {
  Conversion c;
  c.to = &kFormats[v & 15];
  c.from = &kFormats[v >> 4 & 15];
  c.rounding = Rounding(v >> 8 & 15);
  c.integral = v >> 12 & 1;
  c.flush = v >> 13 & 1;
  c.saturate = v >> 14 & 1;
  c.finite = v >> 15 & 1;
  c.relu = v >> 16 & 1;
  return c;
}

/// count: 1 value; 2 the halves of a register; 3 two registers, the first to the upper half.
void convertAny(Warp &w, const Inst &i) {
  Conversion c = decode(uint32_t(i.imm));
  auto read = [&](uint32_t offset, uint32_t l) {
    return c.from->bits == 64 ? reinterpret_cast<uint64_t *>(w.regs + offset)[l]
                              : reinterpret_cast<uint32_t *>(w.regs + offset)[l];
  };
  uint32_t half = c.to->bits, from = c.from->bits;
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    uint64_t a = read(i.a, l), r;
    if (i.count == 1)
      r = c.apply(a);
    else if (i.count == 2)
      r = c.apply(a & ((1ull << from) - 1)) | c.apply(a >> from & ((1ull << from) - 1)) << half;
    else
      r = c.apply(read(i.b, l)) | c.apply(a) << half;
    if (c.to->bits == 64)
      reinterpret_cast<uint64_t *>(w.regs + i.d)[l] = r;
    else
      reinterpret_cast<uint32_t *>(w.regs + i.d)[l] = uint32_t(r);
  }
}

const Format *formatOf(std::string_view name) {
  for (const Format &f : kFormats)
    if (f.name == name)
      return &f;
  return nullptr;
}

} // namespace

std::optional<Decoder::AnyConversion> Decoder::anyConversion() {
  std::vector<std::string_view> mods = current->mods;
  if (mods.size() < 2)
    return std::nullopt;
  std::string_view from = mods.back(), to = mods[mods.size() - 2];
  mods.resize(mods.size() - 2);
  Conversion c;
  auto halves = [](std::string_view name) { return name.size() > 2 && name.substr(name.size() - 2) == "x2"; };
  bool packed = halves(to);
  c.to = formatOf(packed ? to.substr(0, to.size() - 2) : to);
  c.from = formatOf(packed && halves(from) ? from.substr(0, from.size() - 2) : from);
  if (!c.to || !c.from || c.from->name == "tf32")
    return std::nullopt;
  bool toFloat = c.to->exponent, fromFloat = c.from->exponent;
  auto small = [](const Format *f) { return f->name == "e4m3" || f->name == "e5m2"; };
  AnyConversion any;
  any.count = !packed ? 1 : halves(from) ? 2 : 3;
  if ((small(c.to) || small(c.from)) && !packed) // these exist in pairs only
    return std::nullopt;
  if (any.count == 3 && from != "f32")
    return std::nullopt;
  if (any.count == 2 && !small(c.to) && !small(c.from))
    return std::nullopt;
  // Roundings of floats end without, of integral values with an 'i'.
  static constexpr std::pair<std::string_view, Rounding> roundings[] = {
      {"rn", Rounding::Nearest}, {"rna", Rounding::NearestAway}, {"rz", Rounding::Zero},
      {"rm", Rounding::Down},    {"rp", Rounding::Up},           {"rni", Rounding::Nearest},
      {"rzi", Rounding::Zero},   {"rmi", Rounding::Down},        {"rpi", Rounding::Up}};
  bool rounded = false;
  for (auto [name, rounding] : roundings)
    if (take(mods, name)) {
      c.integral = name.size() == 3 && name[2] == 'i';
      c.rounding = rounding;
      if (rounded || (rounding == Rounding::NearestAway && c.to->name != "tf32"))
        return std::nullopt;
      rounded = true;
    }
  c.flush = take(mods, "ftz");
  c.relu = take(mods, "relu");
  c.saturate = take(mods, "sat");
  c.finite = take(mods, "satfinite");
  if (!mods.empty() || (!toFloat && (c.relu || c.finite)) || (!toFloat && !fromFloat) ||
      (!toFloat && !c.integral) || (small(c.to) && !c.finite))
    return std::nullopt;
  // A rounding is asked for where something may be lost.
  bool narrowing = fromFloat ? c.to->fraction < c.from->fraction || c.to->exponent < c.from->exponent : true;
  if (toFloat && !rounded && narrowing && c.to != c.from)
    return std::nullopt;
  auto width = [](unsigned bits) { return bits == 64 ? 'q' : bits == 32 ? 'w' : bits == 16 ? 'h' : 'x'; };
  any.fn = convertAny;
  any.encoded = encode(c);
  any.destination = width(packed ? 2 * c.to->bits : c.to->bits);
  any.source = width(any.count == 2 ? 2 * c.from->bits : c.from->bits);
  return any;
}

} // namespace attune::sim
