//===- Reference.h - attention in fp64, and as plain 16-bit -----*- C++ -*-===//
//
// The two computations that a kernel's result is judged by: attention in fp64, which is taken as exact, and
// the plain 16-bit algorithm (separate matmul, softmax and matmul, each rounded to the 16-bit type, as an
// unfused PyTorch attention computes it), whose error is the yardstick.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_REFERENCE_REFERENCE_H
#define ATTUNE_RUNTIME_REFERENCE_REFERENCE_H

#include "runtime/reference/Problem.h"

#include <vector>

namespace attune::reference {

/// Attention in fp64. A row that keeps no key has O = 0 and LSE = -inf. The exp of a head's sink, where the
/// spec has sinks, is one more term of the softmax's denominator: LSE then has it in it, of every row. A key
/// that a row does not keep adds nothing to it, whatever its K and V hold.
struct ExactAttention {
  std::vector<double> o;   ///< dense (batch, headsQ, lengthQ, headDimV)
  std::vector<double> lse; ///< dense (batch, headsQ, lengthQ), natural logarithm
  /// Dense like o: sqrt(sum over keys of (p v)^2), which scales the error that rounding P causes. Only
  /// computed for outputs of fewer than `smallOutput` elements; else empty.
  std::vector<double> spread;
  /// Largest |scale| * |q| * |k| over pairs of a query row and a key of its KV head (finite ones), and
  /// |sink|: scores are below it, and so is the scale of their rounding errors.
  double scoreBound = 0;
};

/// Outputs below this size are too few for an error to be compared by chance alone; see Compare.h.
inline constexpr int64_t smallOutput = 4096;

ExactAttention exactAttention(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs);

/// The plain 16-bit algorithm: S = Q K^T summed in f32, rounded; scaled, rounded; softcap's steps each
/// rounded; masked; softmax in f32, with the sink, P rounded; O = P V summed in f32, rounded. Dense (batch,
/// headsQ, lengthQ, headDimV); rows that keep no key are 0.
std::vector<uint16_t> plainAttention(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs);

} // namespace attune::reference

#endif // ATTUNE_RUNTIME_REFERENCE_REFERENCE_H
