//===- MaskBounds.h - which keys a row can see ------------------*- C++ -*-===//
//
// Reads a mask region: what of it says "the keys from a to b" becomes bounds, from which loops derive the
// blocks to visit; whatever is left must be evaluated for each score.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_MASKBOUNDS_H
#define ATTUNE_COMPILER_SCHEDULE_MASKBOUNDS_H

#include "mlir/IR/Region.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/SmallVector.h"

#include <optional>

namespace attune {

/// q * (query row) + kv * (key) + lengthQ * length_q + lengthKv * length_kv + constant + a factor times each
/// scalar that is given at launch.
struct LinearIndex {
  int64_t q = 0, kv = 0, lengthQ = 0, lengthKv = 0, constant = 0;
  llvm::SmallVector<std::pair<llvm::StringRef, int64_t>, 2> scalars = {}; ///< each name once
};

/// The i32 or index value of a score or mask region as such a form, if it is one.
std::optional<LinearIndex> linearIndex(mlir::Value value);

/// A mask as the conjunction of: kv >= every `first`, kv <= every `last`, and every `residual` (i1 values of
/// the region). In `first` and `last` the factor of q is 0 or 1 and that of kv is 0.
struct MaskBounds {
  llvm::SmallVector<LinearIndex> first, last;
  llvm::SmallVector<mlir::Value> residual;

  bool empty() const { return first.empty() && last.empty() && residual.empty(); }
};

MaskBounds analyseMask(mlir::Region &mask);

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_MASKBOUNDS_H
