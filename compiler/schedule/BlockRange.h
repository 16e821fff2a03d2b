//===- BlockRange.h - which blocks are visited ------------------*- C++ -*-===//
//
// A mask bounds the keys that a row sees, by limits that stand still or move with the row. This is what
// follows of them for blocks: which blocks of keys a block of queries needs (forward), which blocks of
// queries a block of keys needs (backward), how a range falls into parts (split-KV), and which blocks need no
// mask.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_BLOCKRANGE_H
#define ATTUNE_COMPILER_SCHEDULE_BLOCKRANGE_H

#include "compiler/schedule/MaskBounds.h"
#include "compiler/schedule/Scalars.h"

#include "llvm/ADT/StringMap.h"

namespace attune {

/// What a linear form adds to its multiples of the row and of the key, an i32. Lengths are i32, as are
/// `scalars`, which are given at launch by name.
mlir::Value offsetOf(NamingBuilder &b, const LinearIndex &index, mlir::Value lengthQ, mlir::Value lengthKv,
                     const llvm::StringMap<mlir::Value> &scalars);

/// The keys that row r sees: from `first` to `last`, and from r + firstShift to r + lastShift, all inclusive
/// i32 values; null: no such limit. `last` is always there, for there is a last key.
struct MaskLimits {
  mlir::Value first, last, firstShift, lastShift;

  /// The tightest of the limits of each kind. Lengths and scalars are those of offsetOf.
  static MaskLimits of(NamingBuilder &b, const MaskBounds &bounds, mlir::Value lengthQ, mlir::Value lengthKv,
                       const llvm::StringMap<mlir::Value> &scalars = {});

  bool hasFirst() const { return first || firstShift; }
};

/// Blocks [begin, end) of which something is needed; of these, [wholeBegin, wholeEnd) are needed whole, by
/// all. The whole ones lie inside the range, and there may be none.
struct BlockRange {
  mlir::Value begin, end, wholeBegin, wholeEnd;

  /// Blocks of `block` keys that some row of firstRow .. lastRow sees.
  static BlockRange ofKeys(NamingBuilder &b, const MaskLimits &limits, mlir::Value firstRow,
                           mlir::Value lastRow, int64_t block);
  /// Blocks of `block` rows, of `lengthQ`, that see some key of firstKey .. lastKey.
  static BlockRange ofQueries(NamingBuilder &b, const MaskLimits &limits, mlir::Value firstKey,
                              mlir::Value lastKey, mlir::Value lengthQ, int64_t block);
  /// The `part`-th of `parts` pieces of nearly one size; later ones may be empty.
  BlockRange piece(NamingBuilder &b, mlir::Value part, mlir::Value parts) const;
};

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_BLOCKRANGE_H
