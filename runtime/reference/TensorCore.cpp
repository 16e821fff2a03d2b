//===- TensorCore.cpp - sums as tensor cores make them --------------------===//
#include "runtime/reference/TensorCore.h"

#include "runtime/reference/Float16.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace attune::reference {
namespace {

constexpr float canonicalNaN = std::bit_cast<float>(0x7fffffff);
constexpr float infinity = std::numeric_limits<float>::infinity();

/// A finite number significand * 2^(exponent - fraction bits of its type).
struct Decoded {
  int32_t significand;
  int32_t exponent;
  bool finite;
};

Decoded decode(DType dtype, uint16_t bits) {
  int fraction = dtype == DType::BF16 ? 7 : 10, bias = dtype == DType::BF16 ? 127 : 15;
  int top = dtype == DType::BF16 ? 0xff : 0x1f, field = (bits & 0x7fff) >> fraction;
  int32_t significand = bits & ((1 << fraction) - 1);
  if (field > 0)
    significand |= 1 << fraction;
  int32_t exponent = std::max(field, 1) - bias;
  if (significand == 0)
    exponent = -126;
  return {bits & 0x8000 ? -significand : significand, exponent, field != top};
}

Decoded decode(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value), field = (bits >> 23) & 0xff;
  int32_t significand = int32_t(bits & 0x7fffff) | (field ? 0x800000 : 0);
  return {bits >> 31 ? -significand : significand, int32_t(std::max(field, 1u)) - 127, field != 255};
}

/// sum * 2^exponent, truncated toward zero to f32; a sum of 0 is +0.
float truncateToFloat(__int128 sum, int exponent) {
  unsigned __int128 magnitude = sum < 0 ? -sum : sum;
  int length = 0;
  while (magnitude >> length)
    ++length;
  if (length == 0)
    return 0.0f;
  int lowest = std::max(length - 1 + exponent - 23, -149), drop = lowest - exponent;
  if (drop > 0)
    magnitude = drop < 128 ? magnitude >> drop : 0;
  else
    lowest = exponent;
  double value = std::ldexp(double(uint64_t(magnitude)), lowest);
  if (value >= 0x1p128)
    value = infinity;
  return magnitude == 0 ? 0.0f : float(sum < 0 ? -value : value);
}

} // namespace

TensorCoreRule tensorCoreRule(int computeCapability) {
  return computeCapability < 90 ? TensorCoreRule{24, 8} : TensorCoreRule{25, 16};
}

float exactDot(DType dtype, const uint16_t *a, const uint16_t *b, int64_t strideB, int count, float addend,
               int fractionBits) {
  int fraction = dtype == DType::BF16 ? 7 : 10;
  struct Term {
    __int128 significand;
    int exponent, fraction;
  };
  Term terms[17];
  bool special = !std::isfinite(addend);
  double specialSum = addend; // gives NaN and infinities their meaning where there are any
  int largest;
  for (int i = 0; i < count; ++i) {
    Decoded x = decode(dtype, a[i]), y = decode(dtype, b[i * strideB]);
    special |= !x.finite || !y.finite;
    specialSum += double(toFloat(dtype, a[i])) * toFloat(dtype, b[i * strideB]);
    terms[i] = {__int128(x.significand) * y.significand, x.exponent + y.exponent, 2 * fraction};
  }
  if (special)
    return std::isnan(specialSum) ? canonicalNaN : float(specialSum);
  Decoded c = decode(addend);
  terms[count] = {c.significand, c.significand == 0 ? -126 : c.exponent, 23};
  largest = terms[count].exponent;
  for (int i = 0; i < count; ++i)
    largest = std::max(largest, terms[i].exponent);
  __int128 sum = 0;
  for (int i = 0; i <= count; ++i) {
    __int128 magnitude = terms[i].significand < 0 ? -terms[i].significand : terms[i].significand;
    magnitude <<= fractionBits - terms[i].fraction; // at most 22 + 25 bits
    magnitude >>= std::min(largest - terms[i].exponent, 127);
    sum += terms[i].significand < 0 ? -magnitude : magnitude;
  }
  return truncateToFloat(sum, largest - fractionBits);
}

float exactDot16(DType dtype, const uint16_t *a, const uint16_t *b, int64_t strideB, float addend,
                 TensorCoreRule rule) {
  for (int k = 0; k < 16; k += rule.stepK)
    addend = exactDot(dtype, a + k, b + k * strideB, strideB, rule.stepK, addend, rule.fractionBits);
  return addend;
}

DecodedMatrix::DecodedMatrix(DType dtype, int64_t rows, int64_t columns)
    : dtype(dtype), rows(rows), columns(columns), bits(rows * columns), significand(rows * columns),
      exponent(rows * columns, -126) {}

void DecodedMatrix::set(int64_t row, int64_t column, uint16_t value) {
  int64_t index = row * columns + column;
  Decoded decoded = decode(dtype, value);
  bits[index] = value;
  significand[index] = decoded.significand;
  exponent[index] = decoded.exponent;
  allFinite &= decoded.finite;
}

void DecodedMatrix::clear() {
  std::fill(bits.begin(), bits.end(), 0);
  std::fill(significand.begin(), significand.end(), 0);
  std::fill(exponent.begin(), exponent.end(), -126);
  allFinite = true;
}

namespace {

// The same rule, eight columns at a time in 32-bit integers. A product has at most 2 + F <= 27 bits, so eight
// of them and the addend fit in 31.
constexpr int lanes = 8;
using Ints [[gnu::vector_size(4 * lanes)]] = int32_t;
using Floats [[gnu::vector_size(4 * lanes)]] = float;
using Doubles [[gnu::vector_size(8 * lanes)]] = double;
using Longs [[gnu::vector_size(8 * lanes)]] = int64_t;

[[gnu::always_inline]] inline Ints load(const int32_t *values) {
  Ints result;
  std::memcpy(&result, values, sizeof(result));
  return result;
}

/// One step of `stepK` products for eight columns. False: an element needs the scalar form (an addend that is
/// not finite, a subnormal result).
template <int fraction, int fractionBits, int stepK>
[[gnu::always_inline]] inline bool stepColumns(const int32_t *aSignificand, const int32_t *aExponent,
                                               const int32_t *bSignificand, const int32_t *bExponent,
                                               int64_t strideB, float *c) {
  Ints bits;
  std::memcpy(&bits, c, sizeof(bits));
  Ints field = (bits >> 23) & 255, sign = bits >> 31;
  Ints isNormal = field != 0; // all bits set where true
  Ints cMagnitude = (bits & 0x7fffff) | (isNormal & 0x800000);
  Ints cExponent = field - 127 - (field == 0); // of a subnormal and of zero: -126
  Ints largest = cExponent;
  for (int k = 0; k < stepK; ++k)
    largest = __builtin_elementwise_max(largest, load(bExponent + k * strideB) + aExponent[k]);
  auto aligned = [&](Ints magnitude, Ints exponent) __attribute__((always_inline)) {
    Ints most = Ints{} + 31;
    return magnitude >> __builtin_elementwise_min(largest - exponent, most);
  };
  Ints sums[2] = {};
  Ints addend = aligned(cMagnitude << (fractionBits - 23), cExponent);
  sums[0] = (addend ^ sign) - sign;
  for (int k = 0; k < stepK; ++k) {
    Ints product = load(bSignificand + k * strideB) * aSignificand[k], negative = product >> 31;
    Ints magnitude = ((product ^ negative) - negative) << (fractionBits - 2 * fraction);
    Ints term = aligned(magnitude, load(bExponent + k * strideB) + aExponent[k]);
    sums[k / 8] += (term ^ negative) - negative;
  }
  Doubles sum = __builtin_convertvector(sums[0], Doubles);
  if constexpr (stepK > 8)
    sum += __builtin_convertvector(sums[1], Doubles); // 33 bits: exact
  Longs power = __builtin_convertvector(largest + (1023 - fractionBits), Longs) << 52;
  Doubles scale, value;
  std::memcpy(&scale, &power, sizeof(scale));
  value = sum * scale;
  Longs raw;
  std::memcpy(&raw, &value, sizeof(raw));
  raw &= ~int64_t(0x1fffffff); // 23 fraction bits are left: truncation toward zero
  Longs magnitude = raw & 0x7fffffffffffffff;
  constexpr int64_t smallestNormal = int64_t(1023 - 126) << 52;
  if (__builtin_reduce_or((magnitude != 0) & (magnitude < smallestNormal)) ||
      __builtin_reduce_or(__builtin_convertvector(field == 255, Longs)))
    return false;
  std::memcpy(&value, &raw, sizeof(value));
  value += 0.0; // a sum of 0 is +0
  Floats result = __builtin_convertvector(value, Floats);
  std::memcpy(c, &result, sizeof(result));
  return true;
}

template <int fraction, int fractionBits, int stepK>
[[gnu::always_inline]] inline void matmulRow(const DecodedMatrix &a, int64_t row, const DecodedMatrix &b,
                                             int64_t depth, float *c, int64_t columns) {
  bool finite = a.finite() && b.finite();
  for (int64_t n = 0; n < columns; n += lanes)
    for (int64_t k = 0; k < depth; k += stepK) {
      int64_t left = row * a.columns + k, right = k * b.columns + n;
      if (finite && stepColumns<fraction, fractionBits, stepK>(
                        a.significand.data() + left, a.exponent.data() + left, b.significand.data() + right,
                        b.exponent.data() + right, b.columns, c + n))
        continue;
      for (int i = 0; i < lanes; ++i)
        c[n + i] = exactDot(a.dtype, a.bits.data() + left, b.bits.data() + right + i, b.columns, stepK,
                            c[n + i], fractionBits);
    }
}

using MatmulRow = void(const DecodedMatrix &, int64_t, const DecodedMatrix &, int64_t, float *, int64_t);

template <int fraction, int fractionBits, int stepK>
void matmulRowPortable(const DecodedMatrix &a, int64_t row, const DecodedMatrix &b, int64_t depth, float *c,
                       int64_t columns) {
  matmulRow<fraction, fractionBits, stepK>(a, row, b, depth, c, columns);
}

#if defined(__x86_64__)
template <int fraction, int fractionBits, int stepK>
[[gnu::target("avx2")]] void matmulRowAvx2(const DecodedMatrix &a, int64_t row, const DecodedMatrix &b,
                                           int64_t depth, float *c, int64_t columns) {
  matmulRow<fraction, fractionBits, stepK>(a, row, b, depth, c, columns);
}
#endif

template <int fraction, int fractionBits, int stepK> MatmulRow *chooseMatmulRow() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2"))
    return matmulRowAvx2<fraction, fractionBits, stepK>;
#endif
  return matmulRowPortable<fraction, fractionBits, stepK>;
}

/// Flushes a subnormal to a zero of the same sign.
float flush(float x) { return std::abs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }

/// `value`, with an error of less than a few last places of double, rounded to f32; where it is so close to
/// the middle of two floats that this error could decide, `precise` computes it again with eleven more bits.
template <typename Precise> float roundOnce(double value, Precise precise) {
  uint32_t below = uint32_t(std::bit_cast<uint64_t>(value)) & 0x1fffffff;
  if (below - 0x0ffffff0u <= 0x20)
    return float(precise());
  return float(value);
}

} // namespace

void exactMatmulRow(const DecodedMatrix &a, int64_t row, const DecodedMatrix &b, int64_t depth, float *c,
                    int64_t columns, TensorCoreRule rule) {
  static MatmulRow *const functions[2][2] = {{chooseMatmulRow<7, 24, 8>(), chooseMatmulRow<7, 25, 16>()},
                                             {chooseMatmulRow<10, 24, 8>(), chooseMatmulRow<10, 25, 16>()}};
  functions[a.dtype == DType::F16][rule.stepK == 16](a, row, b, depth, c, columns);
}

float ex2(float x) {
  if (std::isnan(x))
    return canonicalNaN;
  x = flush(x);
  return flush(roundOnce(std::exp2(double(x)), [&] { return std::exp2((long double)x); }));
}

float lg2(float x) {
  x = flush(x);
  if (std::isnan(x) || x < 0)
    return canonicalNaN;
  return flush(roundOnce(std::log2(double(x)), [&] { return std::log2((long double)x); }));
}

float rcp(float x) { return std::isnan(x) ? canonicalNaN : flush(1.0f / flush(x)); }

} // namespace attune::reference
