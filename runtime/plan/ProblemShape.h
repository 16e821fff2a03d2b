//===- ProblemShape.h - the sizes of one problem ----------------*- C++ -*-===//
#ifndef ATTUNE_RUNTIME_PLAN_PROBLEMSHAPE_H
#define ATTUNE_RUNTIME_PLAN_PROBLEMSHAPE_H

#include "compiler/program/SizeExpr.h"
#include "compiler/spec/Spec.h"
#include "compiler/support/Result.h"

#include <cstdint>
#include <string>

namespace attune {

/// Of a sequence: kernels compare 32-bit positions that may lie a window and a tile beyond it.
inline constexpr int64_t maxLength = int64_t(1) << 30;
/// Of a batch and of heads: kernels get them as 32-bit numbers. How many blocks a grid may have, only binding
/// knows.
inline constexpr int64_t maxCount = INT32_MAX;

/// The run-time sizes of a problem. headsQ is a multiple of headsKv. With no batch or no queries there is
/// nothing to compute; with no keys every row is one that keeps none.
struct ProblemShape {
  int64_t batch = 1, headsQ = 1, headsKv = 1, lengthQ = 1, lengthKv = 1;

  bool operator==(const ProblemShape &) const = default;
};

/// Whether kernels can run a problem of this shape: heads, no negative lengths and counts, heads_q a multiple
/// of heads_kv, all in 32 bits. One error with a line for each mistake.
Status validateShape(const ProblemShape &shape);

/// The same, and that 64 bits count the bytes of dense arrays of `spec`.
Status validateDense(const AttentionSpec &spec, const ProblemShape &shape);

/// {"batch": 1, "heads_q": 32, "heads_kv": 8, "length_q": 4096, "length_kv": 4096}
std::string toJson(const ProblemShape &shape);

/// How far apart two shapes are: the sum of their dimensions' ratios, in octaves. 0: equal. Dimensions are at
/// least 1.
double distance(const ProblemShape &a, const ProblemShape &b);

/// What expressions over sizes ask for; the device's facts are the device's to fill in.
Sizes sizesOf(const ProblemShape &shape);

} // namespace attune

#endif // ATTUNE_RUNTIME_PLAN_PROBLEMSHAPE_H
