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
#include "compiler/schedule/Scalars.h"
#include "compiler/spec/expr/Expression.h"

#include "llvm/ADT/StringMap.h"

namespace attune {

/// A block: i32 values; queries and keys from first to last, below the lengths.
struct BlockPlace {
  mlir::Value firstQuery, lastQuery, firstKey, lastKey;
  mlir::Value batch, head, kvHead, lengthQ, lengthKv;
  const llvm::StringMap<mlir::Value> &scalars; ///< of i32, by name
};

class BlockMask {
public:
  /// Of conditions (i1) of a mask region, all of which must hold.
  explicit BlockMask(llvm::ArrayRef<mlir::Value> conditions);

  /// Whether it can tell some blocks from others at all.
  bool knows() const { return known; }

  /// `may`: unless it holds for no pair of the block; `must`: only if it holds for all (i1).
  struct Truth {
    mlir::Value may, must;
  };
  Truth truth(NamingBuilder &at, const BlockPlace &place) const;

private:
  expr::Expression expression;
  llvm::SmallVector<std::string> scalarNames; ///< by the number that the expression has for them
  bool known = false;
};

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_BLOCKMASK_H
