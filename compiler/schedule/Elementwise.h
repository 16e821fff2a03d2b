//===- Elementwise.h - a scalar region, applied to whole tiles --*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SCHEDULE_ELEMENTWISE_H
#define ATTUNE_COMPILER_SCHEDULE_ELEMENTWISE_H

#include "compiler/dialect/attn/Attn.h"
#include "compiler/schedule/Naming.h"

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace attune {

/// What a region's values come from.
struct RegionLeaves {
  /// The value for a block argument or an operation that the kernel has in another way; null: it has none.
  llvm::function_ref<mlir::Value(mlir::Value)> leaf;
  /// The elements at indices that are cloned.
  llvm::function_ref<mlir::Value(attn::ElementOp, llvm::ArrayRef<mlir::Value>)> load;
};

/// Clones what `results` of a score or mask region depend on, with every value a tensor of `shape`'s shape
/// and layout (index becomes i32); where there is no shape, a number. Fails, with an error at the op, on an
/// op that kernels cannot do.
mlir::FailureOr<llvm::SmallVector<mlir::Value>> applyElementwise(NamingBuilder &b,
                                                                 mlir::RankedTensorType shape,
                                                                 llvm::ArrayRef<mlir::Value> results,
                                                                 const RegionLeaves &leaves);

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_ELEMENTWISE_H
