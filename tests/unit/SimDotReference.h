//===- SimDotReference.h - the tensor core's rule in integers ----*- C++ -*-===//
//
// The rule stated a second time, in integers and without any vector: for the tests of mma.sync and wgmma.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TESTS_UNIT_SIMDOTREFERENCE_H
#define ATTUNE_TESTS_UNIT_SIMDOTREFERENCE_H

#include <algorithm>
#include <cstdint>
#include <random>

namespace simtest {

/// A finite number as integer significand times 2^exponent, with the exponent that the tensor core sees.
struct Number {
  bool nan = false, inf = false, negative = false;
  uint64_t significand = 0; ///< value = significand * 2^(exponent - fraction)
  int exponent = 0, fraction = 0;
};

/// `ieee`: the largest exponent is infinity and NaN; otherwise (e4m3) only all ones is NaN.
inline Number decode(uint32_t bits, int exponentBits, int fractionBits, bool ieee = true) {
  Number n;
  int bias = (1 << (exponentBits - 1)) - 1;
  uint32_t e = bits >> fractionBits & ((1u << exponentBits) - 1), m = bits & ((1u << fractionBits) - 1);
  n.negative = bits >> (exponentBits + fractionBits) & 1;
  n.fraction = fractionBits;
  if (e == (1u << exponentBits) - 1 && (ieee || m == (1u << fractionBits) - 1)) {
    n.nan = m != 0;
    n.inf = m == 0;
    return n;
  }
  n.significand = e ? m | 1u << fractionBits : m;
  n.exponent = e ? int(e) - bias : 1 - bias;
  if (!n.significand)
    n.exponent = -126; // the hardware's convention for zeros
  return n;
}

/// The exact sum of the aligned and truncated terms: value * 2^unit.
struct Sum {
  bool nan = false, plus = false, minus = false;
  __int128 value = 0;
  int unit = 0;
};

inline Sum sumOf(const Number *a, const Number *b, int count, const Number &c, int f) {
  Sum s;
  s.nan = c.nan;
  s.plus = c.inf && !c.negative;
  s.minus = c.inf && c.negative;
  for (int k = 0; k < count; ++k) {
    if (a[k].nan || b[k].nan)
      s.nan = true;
    if (a[k].inf || b[k].inf) {
      bool zero = (!a[k].inf && !a[k].significand) || (!b[k].inf && !b[k].significand);
      if (zero)
        s.nan = true;
      else
        (a[k].negative != b[k].negative ? s.minus : s.plus) = true;
    }
  }
  s.nan |= s.plus && s.minus;
  int top = c.exponent;
  for (int k = 0; k < count; ++k)
    top = std::max(top, a[k].exponent + b[k].exponent);
  s.unit = top - f;
  auto add = [&](bool negative, uint64_t significand, int exponent, int fraction) {
    int shift = f - fraction + exponent - top; // bits to the left
    unsigned __int128 v = significand;
    v = shift >= 0 ? v << shift : -shift < 127 ? v >> -shift : 0;
    s.value += negative ? -__int128(v) : __int128(v);
  };
  add(c.negative, c.significand, c.exponent, c.fraction);
  for (int k = 0; k < count; ++k)
    add(a[k].negative != b[k].negative, a[k].significand * b[k].significand, a[k].exponent + b[k].exponent,
        a[k].fraction + b[k].fraction);
  return s;
}

/// To f32 with `fraction` bits, towards zero.
inline uint32_t finish32(const Sum &s, int fraction = 23) {
  if (s.nan)
    return 0x7FFFFFFF;
  if (s.plus || s.minus)
    return s.plus ? 0x7F800000 : 0xFF800000;
  if (s.value == 0)
    return 0;
  uint32_t sign = s.value < 0 ? 0x80000000u : 0;
  unsigned __int128 m = s.value < 0 ? -s.value : s.value;
  int high = 127;
  while (!(m >> high & 1))
    --high;
  int exponent = s.unit + high; // of the leading bit
  if (exponent > 127)
    return sign | 0x7F800000;
  int lowest = std::max(exponent, -126) - fraction; // weight of the last fraction bit kept
  int drop = lowest - s.unit;
  unsigned __int128 kept = drop > 0 ? (drop > 127 ? 0 : m >> drop) : m << -drop;
  kept <<= 23 - fraction;
  if (exponent < -126)
    return sign | uint32_t(kept);
  return sign | uint32_t(exponent + 127) << 23 | (uint32_t(kept) & 0x7FFFFF);
}

/// To f16, to nearest even.
inline uint32_t finish16(const Sum &s) {
  if (s.nan)
    return 0x7FFF;
  if (s.plus || s.minus)
    return s.plus ? 0x7C00 : 0xFC00;
  uint32_t sign = s.value < 0 ? 0x8000 : 0;
  unsigned __int128 m = s.value < 0 ? -s.value : s.value;
  if (m == 0)
    return 0;
  int high = 127;
  while (!(m >> high & 1))
    --high;
  int exponent = std::max(s.unit + high, -14), drop = exponent - 10 - s.unit;
  unsigned __int128 kept = drop <= 0 ? m << -drop : drop > 127 ? 0 : m >> drop;
  if (drop > 0 && drop <= 127) {
    unsigned __int128 rest = m - (kept << drop), halfway = (unsigned __int128)1 << (drop - 1);
    kept += rest > halfway || (rest == halfway && (kept & 1));
  }
  uint32_t r = (uint32_t(exponent + 14) << 10) + uint32_t(kept);
  return sign | (exponent > 15 || r >= 0x7C00 ? 0x7C00 : r);
}

/// A value of interest: mostly near 1, sometimes anything, and each special one.
inline uint32_t interesting(std::mt19937 &rng, int eb, int fb, int flavour) {
  uint32_t all = (1u << (eb + fb + 1)) - 1, bias = (1u << (eb - 1)) - 1, r = rng();
  uint32_t sign = r & 1 ? 1u << (eb + fb) : 0, fraction = rng() & ((1u << fb) - 1);
  switch (flavour) {
  case 0: // near one
    return sign | (bias - 4 + rng() % 8) << fb | fraction;
  case 1: // spread so that alignment matters
    return sign | (bias - std::min(14u, bias - 1) + rng() % (2 * std::min(14u, bias - 1))) << fb | fraction;
  case 2: // any finite value
    return sign | (rng() % ((1u << eb) - 1)) << fb | fraction;
  case 3: // zeros, subnormals, largest
    switch (rng() % 5) {
    case 0:
      return sign;
    case 1:
      return sign | fraction;
    case 2:
      return sign | ((1u << eb) - 2) << fb | ((1u << fb) - 1);
    case 3:
      return sign | 1u << fb;
    default:
      return sign | bias << fb;
    }
  case 4: // infinities and NaN
    return rng() % 6 == 0 ? (sign | ((1u << eb) - 1) << fb | (rng() % 2 ? fraction : 0)) & all
                          : sign | (bias + rng() % 3) << fb | fraction;
  default: // equal exponents, all ones: the largest sums
    return sign * (rng() % 8 == 0) | bias << fb | ((1u << fb) - 1);
  }
}

} // namespace simtest

#endif // ATTUNE_TESTS_UNIT_SIMDOTREFERENCE_H
