//===- ArrayBounds.h - what an array holds, block by block ------*- C++ -*-===//
//
// The least and the largest element of each block of an array along one of its axes. A kernel of one warp a
// block makes them before the attention kernel runs, which then knows what a mask can be on a block of
// queries and keys without reading the array.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_ARRAYBOUNDS_H
#define ATTUNE_COMPILER_SCHEDULE_ARRAYBOUNDS_H

#include "compiler/program/Program.h"
#include "compiler/schedule/Scalars.h"

namespace attune {

/// A table with two entries, the least and the largest element, for each block of `block` elements along
/// `axis`, for each index of the other axes.
struct ArrayBounds {
  std::string array; ///< a captured one, of i32 or u8
  DType type = DType::I32;
  std::vector<SizeExpr> axes; ///< of the array
  size_t axis = 0;
  int64_t block = 0;
  bool isAligned = false; ///< whoever reads it asks for one whole block, and not for parts of two

  SizeExpr blocks() const { return ceilDiv(axes[axis], block); }
  /// How many pairs of entries there are.
  SizeExpr pairs() const;
  /// The table, as what kernels are launched with.
  Argument argument(size_t number) const;

  bool operator==(const ArrayBounds &) const = default;
};

/// Where a pair of entries lies: that of block `place[axis]`, and of the other axes' indices. `extents` has
/// how many blocks or indices an axis has.
mlir::Value pairOf(NamingBuilder &at, llvm::ArrayRef<mlir::Value> place, llvm::ArrayRef<mlir::Value> extents);

/// Writes the kernel that makes the tables, for the attention kernel `name` on machines `arch`.
void buildArrayBounds(mlir::OpBuilder &builder, mlir::Location where, llvm::StringRef name,
                      llvm::StringRef arch, llvm::ArrayRef<ArrayBounds> tables);

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_ARRAYBOUNDS_H
