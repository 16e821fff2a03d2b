//===- DotRule.h - one element of the tensor core, for every input -*- C++ -*-===//
//
// All products exact; every term (products and C) aligned to the largest exponent and truncated to F fraction
// bits; added exactly; then rounded once to the result's type. A product's exponent is the sum of its
// factors' exponents, not normalised; a zero's is -126. The fast path of isa/Matrix.inc computes the same for
// moderate exponents.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_DOTRULE_H
#define ATTUNE_SIMULATOR_DOTRULE_H

#include <bit>
#include <cmath>
#include <cstdint>

namespace attune::sim {

/// A factor or accumulator: its value and the exponent that the tensor core sees.
struct DotTerm {
  float value;
  int exponent;
};

inline double powerOfTwo(int e) { return std::bit_cast<double>(uint64_t(1023 + e) << 52); }

/// f64 to f32 with `fraction` bits, towards zero.
inline float truncateToFloat(double r, int fraction = 23) {
  double m = std::fabs(r);
  if (m >= 0x1p128)
    return r > 0 ? INFINITY : -INFINITY;
  if (m < 0x1p-126)
    return float(std::trunc(std::ldexp(r, 126 + fraction)) * std::ldexp(1.0, -126 - fraction));
  return float(std::bit_cast<double>(std::bit_cast<uint64_t>(r) & ~((1ull << (52 - fraction)) - 1)));
}

/// The sum before its last rounding; infinite or NaN where an operand makes it so. `a(k)` and `b(k)` give
/// DotTerms.
template <class A, class B> inline double dotSum(const A &a, const B &b, int count, DotTerm c, int f) {
  double sum = double(c.value);
  int emax = c.exponent;
  for (int k = 0; k < count; ++k) {
    DotTerm x = a(k), y = b(k);
    sum += double(x.value) * double(y.value);
    emax = x.exponent + y.exponent > emax ? x.exponent + y.exponent : emax;
  }
  if (!std::isfinite(sum))
    return sum;
  double scale = powerOfTwo(f - emax);
  int64_t total = int64_t(double(c.value) * scale);
  for (int k = 0; k < count; ++k)
    total += int64_t(double(a(k).value) * double(b(k).value) * scale);
  return double(total) * powerOfTwo(emax - f);
}

/// What an f32 result becomes: NaN is 0x7FFFFFFF.
inline float dotResult(double sum, int fraction = 23) {
  if (sum != sum)
    return std::bit_cast<float>(0x7FFFFFFFu);
  return std::isinf(sum) ? float(sum) : truncateToFloat(sum, fraction);
}

/// An exact sum to f16, to nearest even; NaN is 0x7FFF.
uint32_t roundToHalf(double v);

/// An f32 accumulator.
inline DotTerm accumulator(float c) {
  int e = int(std::bit_cast<uint32_t>(c) >> 23 & 0xFF);
  return {c, (e ? e : 1) - 127};
}

/// A number of few bits (f16, fp8): subnormals keep the least exponent. `ieee`: the largest exponent is
/// infinity and NaN; otherwise (e4m3) only the pattern of all ones is NaN.
inline DotTerm smallFloat(uint32_t bits, int exponentBits, int fractionBits, bool ieee) {
  int bias = (1 << (exponentBits - 1)) - 1, top = (1 << exponentBits) - 1;
  int e = int(bits >> fractionBits) & top, m = int(bits & ((1u << fractionBits) - 1));
  bool negative = bits >> (exponentBits + fractionBits) & 1;
  float v;
  if (e == top && (ieee || m == (1 << fractionBits) - 1))
    v = m ? NAN : INFINITY;
  else
    v = std::ldexp(float(e ? m | 1 << fractionBits : m), (e ? e : 1) - bias - fractionBits);
  return {negative ? -v : v, v == 0 ? -126 : (e ? e : 1) - bias};
}

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_DOTRULE_H
