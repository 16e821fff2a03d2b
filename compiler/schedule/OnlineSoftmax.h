//===- OnlineSoftmax.h - the running softmax of every builder ---*- C++ -*-===//
//
// Milakov and Gimelshein's online softmax (arXiv 1805.02867) in the form of FlashAttention-2 (arXiv
// 2307.08691), with FlashAttention-4's lazy rescaling: a row's reference maximum moves only when the row
// would otherwise grow by more than 2^8. Warps branch together, but each row moves by itself: its bits do not
// depend on its neighbours.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_ONLINESOFTMAX_H
#define ATTUNE_COMPILER_SCHEDULE_ONLINESOFTMAX_H

#include "compiler/schedule/Naming.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Value.h"

namespace attune {

/// What the loop over keys carries: the unnormalised output (#acc), each row's reference maximum (0 before it
/// has seen a key), its limit (a score above it moves the reference; NaN for a row that is far out, whose
/// every step takes the slow branch), and each thread's part of each row's sum (#row).
struct SoftmaxState {
  mlir::Value out, max, limit, sum;
};

/// A block of scores (#acc f32; -inf where a row does not see a key) on its way to probabilities, and what is
/// added to each row's scores times the factor (#row).
struct ScoreBlock {
  mlir::Value scores, offset;
};

/// How the output is to be scaled once nothing else computes it: whether any row's reference moved, and what
/// each row is multiplied by (#row).
struct LaterScale {
  mlir::Value moved, alpha;
};

/// What is stored: the output (#acc), and for each row whether it saw no key, and LSE (#row; null: not
/// wanted).
struct FinishedRows {
  mlir::Value out, empty, lse;
};

/// A tile of one value.
mlir::Value splatConstant(NamingBuilder &b, mlir::RankedTensorType type, float value);

class OnlineSoftmax {
public:
  /// O is summed before it is divided, and a sum of large bf16 values overflows though their mean does not:
  /// such tiles are computed once more with weights that are smaller by this, more than the number of keys.
  static constexpr float kSmaller = 0x1p40f;

  /// `outType` is the output accumulator's type. Scores are multiplied by `scale` inside the exponential.
  OnlineSoftmax(mlir::RankedTensorType outType, double scale);

  /// Whether `scale` can be multiplied inside the exponential: it is positive and a normal f32 in base 2,
  /// and, where sinks or biases are divided by it, not so small that one would leave f32.
  static bool takesScale(double scale, bool isDivisor);

  SoftmaxState start(NamingBuilder &b) const;

  /// Moves the references of the rows that outgrow theirs with `block.scores`, and makes the block ready for
  /// `weigh`. The output is scaled at once, or, where it is being computed, by `scale` when that is done.
  SoftmaxState advance(NamingBuilder &b, SoftmaxState state, ScoreBlock &block,
                       LaterScale *later = nullptr) const;
  mlir::Value scale(NamingBuilder &b, mlir::Value out, const LaterScale &later) const;

  /// The block's probabilities, whose sums are added to the state's.
  mlir::Value weigh(NamingBuilder &b, SoftmaxState &state, const ScoreBlock &block) const;
  /// For results that came out NaN or infinite and are computed again: `state.out` with the NaNs and
  /// infinities of the block's `values` in shared memory that its rows see, of which the values are freed,
  /// for 0 x NaN must not reach the others. Rows that were finite keep their bits. `partly`, an i1, says
  /// whether some row does not see all of the block; null: perhaps.
  mlir::Value takeNonfinite(NamingBuilder &b, const SoftmaxState &state, const ScoreBlock &block,
                            mlir::Value values, mlir::Value partly) const;
  /// Then, too: weights that are smaller by kSmaller where `small`, an i1, says so; null: they never are.
  mlir::Value lessen(NamingBuilder &b, mlir::Value weights, mlir::Value small) const;

  /// The output, divided by the whole sum, and LSE in natural logarithms if it is wanted. `sink`, an f32 in
  /// natural logarithms, is one more score of every row where it is not null. Rows that saw no key: 0, but
  /// for a NaN in `state.out`, and the sink, or -inf. `small` is that of the steps' `lessen`, or null.
  FinishedRows finish(NamingBuilder &b, SoftmaxState state, mlir::Value small, mlir::Value sink,
                      bool wantLse) const;

  /// `rows.out` with 0 in the rows that saw no key, whatever a NaN made of them.
  mlir::Value clearEmptyRows(NamingBuilder &b, const FinishedRows &rows) const;

private:
  /// What the sum and the output are multiplied by, for a denominator whose reference is the larger one of
  /// `max` and the sink; that reference, and the sink's part of the denominator.
  struct SinkRows {
    mlir::Value factor, max, part;
  };
  SinkRows meetSink(NamingBuilder &b, mlir::Value max, mlir::Value sinks) const;
  /// Whether a row's scores are so large that the one fma of `weigh` is too coarse for them.
  mlir::Value isFar(NamingBuilder &b, mlir::Value max) const;
  /// The limit of a row that is not far out.
  mlir::Value limitOf(NamingBuilder &b, mlir::Value max) const;

  mlir::RankedTensorType outType, rowType;
  float scoreToLog2, scaleOfScores;
};

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_ONLINESOFTMAX_H
