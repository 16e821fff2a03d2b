//===- FloatOther.cpp - floating point outside of inner loops -------------===//
//
// The directed roundings of f64, of divisions and roots and of saturated results, min and max by magnitude,
// testp, and comparisons whose results are not 32 bits or predicates. The host computes in the rounding that
// the instruction asks for; the file is compiled so that the compiler respects it.
//
//===----------------------------------------------------------------------===//
#include "simulator/Decode.h"

#include <bit>
#include <cfenv>
#include <cmath>
#include <fmt/format.h>

namespace attune::sim {

namespace {

enum Operation : uint16_t { Add, Sub, Mul, Fma, Div, Rcp, Sqrt, Min, Max };
enum TestOperation : uint16_t { Finite, Infinite, Number, NotANumber, Normal, Subnormal };
constexpr std::string_view kOperations[] = {"add", "sub", "mul", "fma", "div", "rcp", "sqrt", "min", "max"};
constexpr std::string_view kTests[] = {"finite", "infinite", "number", "notanumber", "normal", "subnormal"};
constexpr std::pair<std::string_view, int> kRoundings[] = {
    {"rn", FE_TONEAREST}, {"rz", FE_TOWARDZERO}, {"rm", FE_DOWNWARD}, {"rp", FE_UPWARD}};

/// Inst::aux: the operation, then the rounding's index, then flags.
constexpr uint16_t kFlush = 1 << 6, kSaturate = 1 << 7, kNan = 1 << 8, kSign = 1 << 9;

template <class F> struct Bits;
template <> struct Bits<float> {
  using U = uint32_t;
  static constexpr U nan = 0x7FFFFFFFu;
};
template <> struct Bits<double> {
  using U = uint64_t;
  static constexpr U nan = 0x7FF8000000000000ull;
};

template <class F> F flushed(F x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(F(0), x) : x; }

template <class F> void arithmetic(Warp &w, const Inst &i) {
  using U = typename Bits<F>::U;
  Operation op = Operation(i.aux & 15);
  bool flush = i.aux & kFlush;
  F results[32];
  // Volatile operands and results stay between the changes of mode.
  std::fesetround(kRoundings[i.aux >> 4 & 3].second);
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    auto get = [&](uint32_t offset) {
      F x = reinterpret_cast<const F *>(w.regs + offset)[l];
      return flush ? flushed(x) : x;
    };
    volatile F a = get(i.a), b = op == Rcp || op == Sqrt ? F(0) : get(i.b), r;
    switch (op) {
    case Add:
      r = a + b;
      break;
    case Sub:
      r = a - b;
      break;
    case Mul:
      r = a * b;
      break;
    case Fma: {
      volatile F c = get(i.c);
      r = std::fma(F(a), F(b), F(c));
      break;
    }
    case Div:
      r = a / b;
      break;
    case Rcp:
      r = F(1) / a;
      break;
    default:
      r = std::sqrt(F(a));
      break;
    }
    results[l] = r;
  }
  std::fesetround(FE_TONEAREST);
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    F r = flush ? flushed(results[l]) : results[l];
    if (i.aux & kSaturate)
      r = r > 0 ? (r < 1 ? r : F(1)) : F(0);
    reinterpret_cast<U *>(w.regs + i.d)[l] = r != r ? Bits<F>::nan : std::bit_cast<U>(r);
  }
}

/// min and max of 16- or 32-bit values with .xorsign.abs: by magnitude, the sign is the product's.
template <int FractionBits, int Width> uint32_t extreme(uint32_t a, uint32_t b, uint16_t flags, bool max) {
  constexpr uint32_t sign = 1u << (Width - 1), all = sign | (sign - 1);
  constexpr uint32_t infinity = (sign - 1) >> FractionBits << FractionBits;
  auto magnitude = [&](uint32_t v) {
    v &= sign - 1;
    return (flags & kFlush) && !(v & infinity) ? 0 : v;
  };
  uint32_t x = magnitude(a), y = magnitude(b), s = (a ^ b) & sign;
  bool xNan = x > infinity, yNan = y > infinity;
  if ((xNan && yNan) || ((xNan || yNan) && (flags & kNan)))
    return all & ~sign;
  uint32_t r = xNan ? y : yNan ? x : (x < y) == max ? y : x;
  return r | s;
}
template <int FractionBits, int Width, bool Packed> void extremes(Warp &w, const Inst &i) {
  const uint32_t *a = reinterpret_cast<const uint32_t *>(w.regs + i.a);
  const uint32_t *b = reinterpret_cast<const uint32_t *>(w.regs + i.b);
  uint32_t *d = reinterpret_cast<uint32_t *>(w.regs + i.d);
  bool max = (i.aux & 15) == Max;
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m)), low = Width == 16 ? 0xFFFF : 0xFFFFFFFF;
    uint32_t r = extreme<FractionBits, Width>(a[l] & low, b[l] & low, i.aux, max);
    if constexpr (Packed)
      r |= extreme<FractionBits, Width>(a[l] >> 16, b[l] >> 16, i.aux, max) << 16;
    d[l] = r;
  }
}

template <class F> void test(Warp &w, const Inst &i) {
  const F *a = reinterpret_cast<const F *>(w.regs + i.a);
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    int kind = std::fpclassify(a[l]);
    bool v = false;
    switch (TestOperation(i.aux)) {
    case Finite:
      v = kind != FP_NAN && kind != FP_INFINITE;
      break;
    case Infinite:
      v = kind == FP_INFINITE;
      break;
    case Number:
      v = kind != FP_NAN;
      break;
    case NotANumber:
      v = kind == FP_NAN;
      break;
    case Normal:
      v = kind == FP_NORMAL;
      break;
    case Subnormal:
      v = kind == FP_SUBNORMAL;
      break;
    }
    w.preds[i.d] = (w.preds[i.d] & ~(1u << l)) | uint32_t(v) << l;
  }
}

/// Comparisons of packed halves: both results, then what setp or set makes of them.
enum Comparison : uint16_t { Eq, Ne, Lt, Le, Gt, Ge, Equ, Neu, Ltu, Leu, Gtu, Geu, Num, Nan };
constexpr std::string_view kComparisons[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",  "equ",
                                             "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};

bool compare(Comparison c, float a, float b) {
  bool unordered = a != a || b != b;
  switch (c) {
  case Eq:
    return a == b;
  case Ne:
    return a < b || a > b;
  case Lt:
    return a < b;
  case Le:
    return a <= b;
  case Gt:
    return a > b;
  case Ge:
    return a >= b;
  case Equ:
    return unordered || a == b;
  case Neu:
    return a != b;
  case Ltu:
    return unordered || a < b;
  case Leu:
    return unordered || a <= b;
  case Gtu:
    return unordered || a > b;
  case Geu:
    return unordered || a >= b;
  case Num:
    return !unordered;
  case Nan:
    return unordered;
  }
  return false;
}

float widen(uint32_t h, bool bfloat, bool flush) {
  if (bfloat)
    return std::bit_cast<float>(h << 16);
  int e = int(h >> 10) & 31, m = int(h & 0x3FF);
  float f = e == 31 ? (m ? std::nanf("") : INFINITY)
            : e     ? std::ldexp(float(m | 0x400), e - 25)
            : flush ? 0.0f
                    : std::ldexp(float(m), -24);
  return h & 0x8000 ? -f : f;
}

/// aux: the boolean operation as in setp; width: the comparison; imm: bit 0 bf16, bit 1 .ftz, bit 2 the third
/// operand is negated; count: 0 for two predicates d and d2, else what `set` writes for true (see
/// Decode.cpp).
void comparePacked(Warp &w, const Inst &i) {
  const uint32_t *a = reinterpret_cast<const uint32_t *>(w.regs + i.a);
  const uint32_t *b = reinterpret_cast<const uint32_t *>(w.regs + i.b);
  uint32_t low = 0, high = 0;
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    auto at = [&](uint32_t v) { return widen(v & 0xFFFF, i.imm & 1, i.imm & 2); };
    Comparison c = Comparison(i.width);
    low |= uint32_t(compare(c, at(a[l]), at(b[l]))) << l;
    high |= uint32_t(compare(c, at(a[l] >> 16), at(b[l] >> 16))) << l;
  }
  if (i.aux) {
    uint32_t p = w.preds[i.c] ^ (i.imm & 4 ? kFull : 0);
    auto combine = [&](uint32_t x) { return i.aux == 1 ? x & p : i.aux == 2 ? x | p : x ^ p; };
    low = combine(low);
    high = combine(high);
  }
  if (!i.count) {
    if (i.d)
      w.preds[i.d] = (w.preds[i.d] & ~w.mask) | (low & w.mask);
    if (i.d2)
      w.preds[i.d2] = (w.preds[i.d2] & ~w.mask) | (high & w.mask);
    return;
  }
  uint32_t yes = setValue(i.count) & 0xFFFF, *d = reinterpret_cast<uint32_t *>(w.regs + i.d);
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    d[l] = (low >> l & 1 ? yes : 0) | (high >> l & 1 ? yes << 16 : 0);
  }
}

} // namespace

/// What has no handler by its name. False: not an instruction of this file.
bool Decoder::floatOther() {
  std::vector<std::string_view> mods = current->mods;
  if (mods.empty())
    return false;
  std::string_view root = current->root, type = mods.back();
  mods.pop_back();
  if (root == "testp") {
    for (uint16_t n = 0; n < std::size(kTests); ++n)
      if (mods.size() == 1 && mods[0] == kTests[n] && (type == "f32" || type == "f64")) {
        genericOperands(
            {type == "f32" ? test<float> : test<double>, type == "f32" ? "p:w" : "p:q", Class::Predicate},
            true, n);
        return true;
      }
    return false;
  }
  uint16_t aux = 0;
  bool known = false, rounded = false;
  for (uint16_t n = 0; n < std::size(kOperations); ++n)
    if (root == kOperations[n] || (root == "mad" && n == Fma)) {
      aux = n;
      known = true;
    }
  if (!known)
    return false;
  for (uint16_t n = 0; n < std::size(kRoundings); ++n)
    if (take(mods, kRoundings[n].first)) {
      aux |= uint16_t(n << 4);
      rounded = true;
    }
  Operation op = Operation(aux & 15);
  aux |= take(mods, "ftz") ? kFlush : 0;
  if (op == Min || op == Max) {
    aux |= take(mods, "NaN") ? kNan : 0;
    aux |= take(mods, "xorsign") && take(mods, "abs") ? kSign : 0;
    if (!mods.empty() || !(aux & kSign) || rounded)
      return false;
    HandlerInfo info;
    if (type == "f32")
      info = {extremes<23, 32, false>, "w:ww", Class::Floating};
    else if (type == "f16")
      info = {extremes<10, 16, false>, "h:hh", Class::Floating};
    else if (type == "f16x2")
      info = {extremes<10, 16, true>, "w:ww", Class::Floating};
    else if (type == "bf16")
      info = {extremes<7, 16, false>, "h:hh", Class::Floating};
    else if (type == "bf16x2")
      info = {extremes<7, 16, true>, "w:ww", Class::Floating};
    else
      return false;
    genericOperands(info, type == "f32", aux);
    return true;
  }
  bool single = type == "f32";
  aux |= single && take(mods, "sat") ? kSaturate : 0;
  if (!mods.empty() || (!single && type != "f64") || (!single && (aux & kFlush)) || (!rounded && op > Mul) ||
      ((aux & kSaturate) && op > Fma))
    return false;
  const char *signature = op == Fma                 ? (single ? "w:www" : "q:qqq")
                          : op == Rcp || op == Sqrt ? (single ? "w:w" : "q:q")
                                                    : (single ? "w:ww" : "q:qq");
  genericOperands({single ? arithmetic<float> : arithmetic<double>, signature,
                   op >= Div ? Class::Special : Class::Floating},
                  true, aux);
  return true;
}

const HandlerInfo *Decoder::packedComparison(std::vector<std::string_view> mods, uint8_t &width,
                                             int64_t &imm) {
  static const HandlerInfo info{comparePacked, "p:ww", Class::Predicate};
  if (mods.size() < 2)
    return nullptr;
  std::string_view type = mods.back();
  mods.pop_back();
  if (type != "f16x2" && type != "bf16x2")
    return nullptr;
  imm = type == "bf16x2";
  imm |= take(mods, "ftz") ? 2 : 0;
  for (uint8_t n = 0; n < std::size(kComparisons); ++n)
    if (mods.size() == 1 && mods[0] == kComparisons[n]) {
      width = n;
      return &info;
    }
  return nullptr;
}

} // namespace attune::sim
