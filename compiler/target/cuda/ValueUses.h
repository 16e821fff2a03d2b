//===- ValueUses.h - where the values of a kernel are read ------*- C++ -*-===//
//
// Which operations are printed inside the expression of their user, and with that in mind, where a value is
// read and whether a variable that holds it may be overwritten.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_TARGET_CUDA_VALUEUSES_H
#define ATTUNE_COMPILER_TARGET_CUDA_VALUEUSES_H

#include "mlir/IR/Operation.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"

#include <string>

namespace attune {

/// The name that a location gives, as a C++ identifier; empty if it gives none.
std::string nameFrom(mlir::Location loc);

class ValueUses {
public:
  /// Whether `op` has no statement of its own: its users print it where they read it.
  bool isInlined(mlir::Operation *op);

  /// The operations with statements of their own that read `value`, directly or through inlined ones.
  llvm::SmallVector<mlir::OpOperand *> readers(mlir::Value value);

  /// Whether `value` may be read after `point` (inside `point` does not count). Readers for which `ignore`
  /// holds do not count either.
  bool isReadAfter(mlir::Value value, mlir::Operation *point,
                   llvm::function_ref<bool(mlir::OpOperand &)> ignore);

private:
  bool decide(mlir::Operation *op);
  llvm::DenseMap<mlir::Operation *, bool> inlined;
};

} // namespace attune

#endif // ATTUNE_COMPILER_TARGET_CUDA_VALUEUSES_H
