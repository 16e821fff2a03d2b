//===- TensorCore.h - exact arithmetic of mma.sync --------------*- C++ -*-===//
//
// What one mma.sync with 16-bit factors and f32 accumulators computes for one output element, to the bit, as
// published by reverse engineering (MMA-Sim, arXiv 2511.10909), and the approximate functions of the special
// function unit. Written apart from the simulator's, which it checks.
//
// The rule: products are exact. A product's exponent is the sum of its factors' exponents, not normalised
// (its significand is in [0, 4)); a zero's exponent is -126, a subnormal's that of the smallest normal. Every
// significand is aligned to the largest exponent among products and addend and truncated to F fraction bits;
// the sum is exact, then truncated toward zero to f32. Ampere and Ada run K = 16 as two steps of K = 8, lower
// half first.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_REFERENCE_TENSORCORE_H
#define ATTUNE_RUNTIME_REFERENCE_TENSORCORE_H

#include "compiler/spec/Spec.h"

#include <cstdint>
#include <vector>

namespace attune::reference {

/// How an architecture sums the products of one instruction.
struct TensorCoreRule {
  int fractionBits; ///< F: 24 or 25
  int stepK;        ///< products that are summed together: 8 or 16
};

/// The rule of a compute capability (10 * major + minor), 80 or later.
TensorCoreRule tensorCoreRule(int computeCapability);

/// addend + sum of a[i] * b[i * strideB] over `count` products that are summed together. The scalar statement
/// of the rule, in 128-bit integers.
float exactDot(DType dtype, const uint16_t *a, const uint16_t *b, int64_t strideB, int count, float addend,
               int fractionBits);

/// One instruction's element: 16 products, in one or two steps.
float exactDot16(DType dtype, const uint16_t *a, const uint16_t *b, int64_t strideB, float addend,
                 TensorCoreRule rule);

/// A matrix of 16-bit values, kept also as significands and exponents.
class DecodedMatrix {
public:
  DecodedMatrix(DType dtype, int64_t rows, int64_t columns);

  void set(int64_t row, int64_t column, uint16_t bits);
  uint16_t get(int64_t row, int64_t column) const { return bits[row * columns + column]; }
  /// Every element becomes +0.
  void clear();
  /// No NaN and no infinity was set since the last clear().
  bool finite() const { return allFinite; }

  DType dtype;
  int64_t rows, columns;
  std::vector<uint16_t> bits;
  std::vector<int32_t> significand; ///< signed, with 7 (bf16) or 10 (f16) fraction bits
  std::vector<int32_t> exponent;

private:
  bool allFinite = true;
};

/// c[0..columns) of one row += a(row, 0..depth) * b(0..depth, 0..columns), by instructions of 16 products in
/// ascending order of k: exactDot16 on every element, many at a time. depth is a multiple of 16, columns
/// of 8.
void exactMatmulRow(const DecodedMatrix &a, int64_t row, const DecodedMatrix &b, int64_t depth, float *c,
                    int64_t columns, TensorCoreRule rule);

/// ex2, lg2 and rcp.approx.ftz.f32: the correctly rounded value, subnormal inputs and results flushed to
/// zero. A stand-in for what the hardware computes, of which only error bounds are documented.
float ex2(float x);
float lg2(float x);
float rcp(float x);

} // namespace attune::reference

#endif // ATTUNE_RUNTIME_REFERENCE_TENSORCORE_H
