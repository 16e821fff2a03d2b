//===- BlockMask.h - which blocks a mask keeps ------------------*- C++ -*-===//
//
// What of a mask region is no bound of a row (MaskBounds) is read back as expressions, whose truth over a
// block of queries and keys becomes code: kernels then visit the blocks of which something is kept, and
// evaluate the mask where not all is.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_BLOCKMASK_H
#define ATTUNE_COMPILER_SCHEDULE_BLOCKMASK_H

#include "compiler/dialect/attn/Attn.h"
#include "compiler/schedule/ArrayBounds.h"
#include "compiler/spec/expr/Expression.h"

#include "llvm/ADT/StringMap.h"

namespace attune {

/// A block: i32 values; queries and keys from first to last, below the lengths.
struct BlockPlace {
  mlir::Value firstQuery, lastQuery, firstKey, lastKey;
  mlir::Value batch, head, kvHead, lengthQ, lengthKv;
  const llvm::StringMap<mlir::Value> &scalars; ///< of i32, by name
  /// An element of a captured array; the least or largest entry of a pair of a table.
  llvm::function_ref<mlir::Value(NamingBuilder &, llvm::StringRef array, llvm::ArrayRef<mlir::Value> indices)>
      element;
  llvm::function_ref<mlir::Value(NamingBuilder &, size_t table, llvm::ArrayRef<mlir::Value> place,
                                 bool largest)>
      entry;
  /// How long an axis of a captured array is; null: no index can lie beyond it.
  llvm::function_ref<mlir::Value(const SizeExpr &)> extent;
};

class BlockMask {
public:
  BlockMask() = default;
  /// Of conditions (i1) of a mask region, all of which must hold, on blocks of so many queries and keys.
  BlockMask(llvm::ArrayRef<mlir::Value> conditions, int64_t blockQ, int64_t blockKv);

  /// Whether it can tell some blocks from others at all.
  bool knows() const { return known; }

  /// `may`: unless it holds for no pair of the block; `must`: only if it holds for all (i1).
  struct Truth {
    mlir::Value may, must;
  };
  Truth truth(NamingBuilder &at, const BlockPlace &place) const;

  /// The tables that it reads.
  llvm::ArrayRef<ArrayBounds> tables() const { return reads.tables; }

  /// A captured array, and what its elements are known by: its indices, where these are one for a block, or
  /// the table of the one axis along which they are several.
  struct Array {
    std::string name;
    DType type = DType::I32;
    std::vector<SizeExpr> axes;
  };
  struct Reads {
    llvm::SmallVector<std::string> scalars; ///< by the number that the expression has for them
    std::vector<Array> arrays;              ///< likewise
    std::vector<ArrayBounds> tables;
    std::map<std::vector<uint32_t>, std::optional<size_t>>
        tableOf; ///< by array and indices; none: one element
  };

private:
  expr::Expression expression;
  Reads reads;
  bool known = false;
};

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_BLOCKMASK_H
