//===- ScoreSum.h - a score as a sum ----------------------------*- C++ -*-===//
//
// Reads a score region: what of its sum grows linearly with the key (`slope[h] * (kv - q)`) is the same ramp
// in each row of a tile, and need not be computed from the places of each score.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_SCORESUM_H
#define ATTUNE_COMPILER_SCHEDULE_SCORESUM_H

#include "compiler/schedule/MaskBounds.h"

#include "llvm/ADT/STLFunctionalExtras.h"

namespace attune {

/// constant * every factor * float(index), of an index that depends on the key and stays inside i32. Factors
/// are f32 values of the region that are the same for a whole tile.
struct LinearTerm {
  double constant = 1;
  llvm::SmallVector<mlir::Value, 2> factors = {};
  LinearIndex index = {};
};

/// A score as the sum of `rest`, in this order, and of `linear`. There is always a rest; it is the yielded
/// value where no linear term stands beside others.
struct ScoreSum {
  struct Part {
    mlir::Value value;
    bool isSubtracted = false;
  };
  llvm::SmallVector<Part> rest;
  llvm::SmallVector<LinearTerm> linear;

  /// Whether the rest is the score argument of the region, the scaled product.
  bool restIsProduct() const;
};

/// `isUniform` says of an f32 value of the region whether it depends on neither row, key nor product.
ScoreSum analyseScore(mlir::Region &score, llvm::function_ref<bool(mlir::Value)> isUniform);

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_SCORESUM_H
