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
/// Rows do not depend on each other. Blocks of keys go from the last that a row of the block keeps a key of
/// down to the first. Per block of keys and row, with m = 0 and limit = -inf before the first:
///   S = Q K^T; x, c by the score (below); x = -inf where a key is not kept; m_new = max(x...);
///   if m_new > limit: alpha = ex2(min((m - m_new) * c, 0)), l *= alpha, O *= alpha, m = m_new,
///     limit = min(m + 8 / c, the largest finite number);
///   p = ex2(fma(x, c, -(m * c))); l += p, in four partial sums by the lane that holds the key;
///   O += round(p) V.
/// If a row of the block came out NaN or infinite, the block is computed a second time: then, in blocks of
/// keys that the mask hides from some row, V's NaN and infinite elements are added to the O of the rows with
/// x > -inf before the product, and count as 0 in it. bf16 has a third time, with round(p 2^-40) V and
/// O *= 2^40 / l: a sum may overflow whose mean does not.
/// Where |m * c| >= 2^14 the limit is m itself, and p = ex2((x - m) * c).
/// At the end O *= 1 / l and LSE = fma(m, c ln 2, lg2(l) * ln 2). Without softcap, and with a positive scale
/// that the kernel knows and whose c is a normal number, x = S, c = scale * log2(e) and c ln 2 = scale; else
/// x = softcap(S * scale), c = log2(e) and c ln 2 = 1.
/// A sink is s = sink / (c ln 2) at the end: with e = ex2(-|m - s| c), if s >= m then l = l e + 1, O *= e and
/// m = s, else l += e. It lets a scale be x = S only if c > 2^-32. LSE of a row that kept no key is the sink.
void goldenAttention(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs,
                     const GoldenOptions &options, uint16_t *o, float *lse);

} // namespace attune::reference

#endif // ATTUNE_RUNTIME_REFERENCE_GOLDEN_H
