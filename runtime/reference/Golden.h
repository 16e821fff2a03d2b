//===- Golden.h - a kernel's result, predicted to the bit -------*- C++ -*-===//
//
// The golden model of the portable forward kernels: the same tiles in the same order with the same f32
// operations and the tensor core's exact arithmetic, written from the definition of what a kernel computes
// and from the PTX ISA, not from the compiler. A kernel, on the simulator and on a GPU, must give these bits.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_REFERENCE_GOLDEN_H
#define ATTUNE_RUNTIME_REFERENCE_GOLDEN_H

#include "runtime/reference/Problem.h"
#include "runtime/reference/TensorCore.h"

namespace attune::reference {

/// What of a schedule and an architecture shows in a result's bits.
struct GoldenOptions {
  int blockQ;  ///< a multiple of 16 * warps
  int blockKv; ///< a multiple of 16
  int warps;
  TensorCoreRule rule;
};

/// Computes O and LSE into arrays laid out by the problem's strides `o` and `lse`; `lse` may be null.
///
/// A warp w owns, for t = 0, 1, ..., the rows t * 16 * warps + 16 * w + (0..15) of its block; blocks of keys
/// go from the last that a row of the block keeps a key of down to the first. Per block of keys:
///   S = Q K^T; x, c by the score (below); x = -inf where a key is not kept;
///   m_new = max(m, x...); if (m_new - m) * c > 8 for any row of the warp, every row of the warp rescales:
///     alpha = ex2((m - (m_new or 0)) * c), l *= alpha, O *= alpha, m = m_new;
///   p = ex2(fma(x, c, -(m or 0) * c)); l += p, in four partial sums by the lane that holds the key;
///   O += round(p) V.
/// At the end O *= 1 / l and LSE = fma(m, c, lg2(l)) * ln 2. Without softcap and with a positive scale that the kernel knows x = S
/// and c = scale * log2(e); else x = softcap(S * scale) and c = log2(e).
void goldenAttention(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs,
                     const GoldenOptions &options, uint16_t *o, float *lse);

} // namespace attune::reference

#endif // ATTUNE_RUNTIME_REFERENCE_GOLDEN_H
