//===- OnlineSoftmax.h - the running softmax of every builder ---*- C++ -*-===//
//
// Milakov and Gimelshein's online softmax (arXiv 1805.02867) in the form of FlashAttention-2 (arXiv
// 2307.08691), with FlashAttention-4's lazy rescaling: the reference maximum of a row moves only when some
// row of the warp would otherwise grow by more than 2^8. The result does not depend on which reference was
// used.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_ONLINESOFTMAX_H
#define ATTUNE_COMPILER_SCHEDULE_ONLINESOFTMAX_H

#include "compiler/schedule/Naming.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Value.h"

namespace attune {

/// What the loop over keys carries: the unnormalised output (#acc), each row's reference maximum, the offset
/// that it makes in the exponent (it changes only when the reference moves, so it is not computed again in
/// every step), and each thread's part of each row's sum (#row).
struct SoftmaxState {
  mlir::Value out, max, offset, sum;
};

/// A tile of one value.
mlir::Value splatConstant(NamingBuilder &b, mlir::RankedTensorType type, float value);

class OnlineSoftmax {
public:
  /// `outType` is the output accumulator's type. Scores are multiplied by `scoreToLog2` inside the
  /// exponential.
  OnlineSoftmax(mlir::RankedTensorType outType, float scoreToLog2);

  SoftmaxState start(NamingBuilder &b) const;

  /// Takes in a block of scores (#acc f32): the state, rescaled where needed and with the block's sum added,
  /// and the block's probabilities in `probabilities`. `mayBeEmpty` says that a row may have seen only -inf
  /// so far.
  SoftmaxState step(NamingBuilder &b, SoftmaxState state, mlir::Value scores, bool mayBeEmpty,
                    mlir::Value &probabilities) const;

  /// The output, divided by the whole sum, and LSE in natural logarithms. Rows that saw no key: 0 and -inf.
  std::pair<mlir::Value, mlir::Value> finish(NamingBuilder &b, SoftmaxState state, bool wantLse) const;

private:
  /// `max`, with 0 for rows that have seen nothing, so that -inf - (-inf) is never computed.
  mlir::Value finiteMax(NamingBuilder &b, mlir::Value max) const;

  mlir::RankedTensorType outType, rowType;
  float scoreToLog2;
};

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_ONLINESOFTMAX_H
