//===- Spec.h - the attention spec ------------------------------*- C++ -*-===//
//
// What a user wants: the one description that JSON files, command-line flags and C++ callers fill.
// Nothing here says how it is computed, apart from the optional schedule request.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SPEC_SPEC_H
#define ATTUNE_COMPILER_SPEC_SPEC_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace attune {

enum class DType { F16, BF16 };

/// How an array of (batch, sequence, head, dim) lies in memory, outermost first.
enum class Layout { BSHD, BHSD };

/// Which query row meets the last key: with TopLeft, query i and key i are the same position; with
/// BottomRight, the last query and the last key are: key position - query position is shifted by
/// length_kv - length_q.
enum class MaskAlign { TopLeft, BottomRight };

/// One term of a mask; a spec's mask is the conjunction of its terms. A term keeps a key iff
///   -left <= kv - (q + shift) <= right
/// where shift is 0 for TopLeft and length_kv - length_q for BottomRight; an absent bound does not
/// limit. Causal is {left absent, right 0}.
struct MaskTerm {
  std::optional<int64_t> left;  ///< how many earlier keys are kept, >= 0
  std::optional<int64_t> right; ///< how many later keys are kept, >= 0
  MaskAlign align = MaskAlign::TopLeft;
};

/// Parts of a schedule that the user fixes; what is absent is chosen.
struct ScheduleRequest {
  std::optional<int> blockQ;  ///< query rows of a CTA: a multiple of 16 * warps
  std::optional<int> blockKv; ///< keys of a step: a multiple of 16
  std::optional<int> stages;  ///< slots of the K and V rings, >= 1
  std::optional<int> warps;   ///< warps of a CTA: 1, 2, 4, 8
};

/// Forward attention: O = softmax(scale * Q K^T, masked) V, per (batch, query head).
struct AttentionSpec {
  std::string name = "attention"; ///< of the kernel: a C identifier
  DType dtype = DType::BF16;      ///< of Q, K, V and O; accumulation is f32
  int headDimQk = 128;            ///< multiple of 8 in 8..256
  int headDimV = 128;             ///< multiple of 8 in 8..256
  Layout layout = Layout::BSHD;   ///< how `run` lays out arrays; kernels take any strides
  std::optional<double> scale;    ///< default 1 / sqrt(headDimQk)
  std::vector<MaskTerm> mask;     ///< empty: every key is kept
  std::optional<double> softcap;  ///< c: scores become c * tanh(score / c), after scaling; > 0
  bool lse = false;               ///< also write the natural logarithm of the softmax's denominator
  ScheduleRequest schedule;

  /// The scale that is used.
  double effectiveScale() const;
};

} // namespace attune

#endif // ATTUNE_COMPILER_SPEC_SPEC_H
