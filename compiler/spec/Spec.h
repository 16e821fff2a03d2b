//===- Spec.h - the attention spec ------------------------------*- C++ -*-===//
//
// What a user wants: the one description that JSON files, command-line flags and C++ callers fill.
// Nothing here says how it is computed, apart from the optional schedule request.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SPEC_SPEC_H
#define ATTUNE_COMPILER_SPEC_SPEC_H

#include "compiler/program/Schedule.h"
#include "compiler/spec/expr/Expression.h"
#include "compiler/support/DType.h"
#include "compiler/support/Result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attune {

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
  /// Given at launch, as the scalars `window_left` and `window_right`, of which a spec has one each. The
  /// values above then are what runs give where nobody says otherwise; absent: usualWindow.
  bool runtimeLeft = false, runtimeRight = false;

  static constexpr int64_t usualWindow = 4096; ///< Mistral's
  bool hasLeft() const { return left || runtimeLeft; }
  bool hasRight() const { return right || runtimeRight; }

  bool operator==(const MaskTerm &) const = default;
};

/// Where a spec was written, for messages: "llama3.json:9:3", "command line: --block-q"; empty for specs
/// made in C++. It is no part of a spec's value: all origins compare equal.
struct SpecOrigin {
  std::string spec;
  std::string schedule; ///< where the schedule was asked for; empty if it was not
  bool align = false;   ///< whether a mask says which query meets which key, or was left to the default

  bool operator==(const SpecOrigin &) const { return true; }
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
  /// Expressions, all of which must be true of a key beside `mask`; see the guide for their language.
  std::vector<std::string> maskExpressions;
  std::string scoreExpression;   ///< what scores become, after scaling; empty: they stay. Not with softcap.
  expr::Captures captures;       ///< the arrays and run-time scalars that expressions read
  std::optional<double> softcap; ///< c: scores become c * tanh(score / c), after scaling; > 0
  /// Each query head has a sink: one f32, in natural-logarithm units, whose exp joins the denominator of
  /// every row's softmax (-inf: none). A row that keeps no key still gives 0; LSE has the sink in it.
  bool sink = false;
  /// Each batch entry has its own number of queries, of keys: i32 arrays of the launch, `lengths_q` and
  /// `lengths_kv`, say how many of its part of the arrays are there (cut to 0 and the problem's length). In
  /// masks and scores they are len_q and len_kv. What keys hold beyond them does not matter; a query beyond
  /// them keeps no key.
  bool lengthsQ = false, lengthsKv = false;
  bool lse = false; ///< also write the natural logarithm of the softmax's denominator
  /// The bits of a row depend on its query, keys and values alone, not on the batch, the heads or the lengths
  /// that it is computed with: what the schedule leaves open is the default of the spec, whatever was tuned.
  bool batchInvariant = false;
  /// Given at launch, as scalars of these names: one kernel for every value. `scale` and `softcap` then are
  /// what runs give where nobody says otherwise.
  bool runtimeScale = false, runtimeSoftcap = false;
  Schedule schedule; ///< what the user fixes of it; the rest is chosen
  SpecOrigin origin;

  /// The scale that is used.
  double effectiveScale() const;

  bool operator==(const AttentionSpec &) const = default;
};

/// The limits that JSON, flags and C++ share.
namespace limits {
constexpr int headDimStep = 8, maxHeadDim = 256;
constexpr int64_t maxWindow = (1 << 30) - 1; ///< a kernel adds it to a position, in 32 bits
constexpr int64_t maxScalar = 1 << 30;       ///< of an i32 given at launch: a kernel adds it to a position
constexpr size_t maxMaskTerms = 16;
constexpr size_t maxName = 64;
} // namespace limits

/// Checks a spec that was made in C++ by the rules of the JSON reader; the message has a line an error.
Status validate(const AttentionSpec &spec);

/// `spec` as JSON that reads back to an equal spec: one line, keys in a fixed order, what is absent left out.
std::string toJson(const AttentionSpec &spec);

/// The command-line flags that give `spec`, for example {"--head-dim", "128", "--lse"}.
std::vector<std::string> toFlags(const AttentionSpec &spec);

/// The mask with at most one term an alignment, and one a bound that is given at launch: the same keys kept,
/// the same code.
std::vector<MaskTerm> normalizedMask(const AttentionSpec &spec);

/// What `spec` gives a scalar that kernels leave to run time: "scale", "softcap", "window_left",
/// "window_right", or a captured one; nothing where it has none of this name.
std::optional<double> scalarOf(const AttentionSpec &spec, std::string_view name);
/// Makes `spec` say `value`, where it has such a scalar.
void setScalar(AttentionSpec &spec, std::string_view name, double value);

/// Canonical bytes of everything in `spec` that decides the generated code; specs of equal keys give
/// the same kernel. The scale is resolved, the mask normalised, and what is given at launch has no value. The
/// name is part of it (it is the entry point's symbol); the layout is not (kernels take any strides), nor are
/// the origin, the default, and what only decides about the schedule (batchInvariant).
std::string codeKey(const AttentionSpec &spec);

const char *nameOf(Layout layout); ///< "bshd", "bhsd"

} // namespace attune

#endif // ATTUNE_COMPILER_SPEC_SPEC_H
