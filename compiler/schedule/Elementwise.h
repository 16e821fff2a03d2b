//===- Elementwise.h - a scalar region, applied to whole tiles --*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SCHEDULE_ELEMENTWISE_H
#define ATTUNE_COMPILER_SCHEDULE_ELEMENTWISE_H

#include "compiler/schedule/Naming.h"

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace attune {

/// Clones what `results` of a score or mask region depend on, with every value a tile of `shape` (an f32
/// tensor with layout #acc; index becomes i32). `leaf` gives the tile for a block argument, an attn.length or
/// an attn.scalar. Fails, with an error at the op, on an op that tiles cannot do.
mlir::FailureOr<llvm::SmallVector<mlir::Value>>
applyElementwise(NamingBuilder &b, mlir::RankedTensorType shape, llvm::ArrayRef<mlir::Value> results,
                 llvm::function_ref<mlir::Value(mlir::Value)> leaf);

/// True iff the region's yielded value is its score argument.
bool isIdentityScore(mlir::Region &score);

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_ELEMENTWISE_H
