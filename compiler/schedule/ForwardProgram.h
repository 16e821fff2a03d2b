//===- ForwardProgram.h - what forward kernels of all families share -*- C++ -*-===//
//
// The arguments, which queries, head and batch entry a block owns, which keys it visits, and what a block of
// products becomes on its way to the softmax. How tiles travel and who computes what is the family's own.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_FORWARDPROGRAM_H
#define ATTUNE_COMPILER_SCHEDULE_FORWARDPROGRAM_H

#include "compiler/dialect/attn/Attn.h"
#include "compiler/dialect/tile/Tile.h"
#include "compiler/program/Program.h"
#include "compiler/schedule/BlockMask.h"
#include "compiler/schedule/BlockRange.h"
#include "compiler/schedule/Family.h"
#include "compiler/schedule/OnlineSoftmax.h"
#include "compiler/schedule/ScoreSum.h"

#include "llvm/ADT/StringMap.h"

namespace attune {

/// Which kind of key block a loop walks over.
struct BlockKind {
  const char *name;
  bool first; ///< may hold keys before the first that a row sees
  bool last;  ///< may hold keys after the last that a row sees
  const char *note;
};
inline constexpr BlockKind kRight = {"right", false, true, "blocks that cross a row's last key"};
inline constexpr BlockKind kRightAndLeft = {"right", true, true,
                                            "blocks that cross a row's last key, or its first"};
inline constexpr BlockKind kWhole = {"whole", false, false, "blocks that every row sees whole"};
inline constexpr BlockKind kMixed = {"mixed", true, true, "blocks that the mask keeps a part of"};
inline constexpr BlockKind kLeft = {"left", true, false, "blocks that cross a row's first key"};

class ForwardProgram {
protected:
  ForwardProgram(mlir::OpBuilder &builder, attn::ForwardOp forward, const DecidedSchedule &decided);

  mlir::RankedTensorType tensor(llvm::ArrayRef<int64_t> shape, mlir::Type element, mlir::Attribute layout) {
    return mlir::RankedTensorType::get(shape, element, layout);
  }
  mlir::Attribute smem() { return tile::SmemAttr::get(context); }
  mlir::Attribute acc() { return tile::AccAttr::get(context); }
  mlir::Attribute row() { return tile::RowAttr::get(context); }
  DType element() const;

  /// The kernel, for tiles of `blockQ` queries of one head; its body is where `b` stands. `grid` is its
  /// number of CTAs, `warps` is 0 where roles have them; `note` tells a reader what to expect.
  void openKernel(const SizeExpr &grid, int64_t warps, llvm::StringRef note);
  /// How many tiles there are: of each head of each batch entry, those of its queries.
  static SizeExpr tileCount(int64_t blockQ) {
    return ceilDiv(SizeExpr(Size::LengthQ), blockQ) * Size::HeadsQ * Size::Batch;
  }
  /// q, k, v, o, sink and lse where they are wanted, the sizes, and what the mask and the score read; a
  /// family may add more before finishArguments. Decides how the mask is known of blocks of so many queries
  /// and keys.
  void declareArguments(int64_t blockQ, int64_t blockKv);
  /// Numbers tiles so that heads whose keys and values fit into the L2 cache follow each other, all of their
  /// longest tiles first; else one head's tiles follow the other's.
  void groupHeads(int64_t blockQ);
  mlir::Value addArgument(const Argument &argument, int64_t cols = 0);
  /// An i32 that follows from sizes.
  mlir::Value number(const char *name, SizeExpr value);
  void finishArguments();

  /// The matrix of this batch entry and a head of an array.
  mlir::Value view(NamingBuilder &at, llvm::StringRef name, mlir::Value array, mlir::Value ofHead,
                   mlir::Value rows);
  /// Which queries, head and batch entry tile number `tile` is.
  void locate(NamingBuilder &at, int64_t blockQ, mlir::Value tile);
  /// Which head of keys and values belongs to it, and the lengths of its batch entry.
  void locateKeys(NamingBuilder &at);
  BlockRange blocksOfKeys(NamingBuilder &at);

  /// Whether a block of queries finds the blocks of keys that it visits by what the mask is on each, and does
  /// not walk all of a range.
  bool findsBlocks() const { return blockMask.knows(); }
  struct FoundBlocks {
    BlockRange range;
    mlir::Value mixed, whole; ///< how many blocks are kept in part, and as a whole
  };
  /// For the located tile.
  FoundBlocks findBlocksOfKeys(NamingBuilder &at);
  /// The block that is visited after `before` others: first those that are kept in part, then whole ones,
  /// each from the last to the first. `last` is the one that was visited before.
  mlir::Value nextBlock(NamingBuilder &at, const FoundBlocks &blocks, mlir::Value before, mlir::Value last);
  /// Whether some row may not see some key of a block of this kind, which then evaluates the mask.
  bool hides(const BlockKind &kind) const {
    return kind.first || kind.last || (!bounds.residual.empty() && !findsWhole);
  }

  /// Whether scores depend on the key otherwise than by their products.
  bool scoreReadsKey() {
    mlir::Block &score = forward.getScore().front();
    return !score.getArgument(score.getNumArguments() - 1).use_empty();
  }
  /// Whether the scale can be multiplied inside the exponential.
  bool scaleFolds() {
    return scoreSum.restIsProduct() &&
           OnlineSoftmax::takesScale(scale, forward.getSink() || !scoreSum.linear.empty());
  }
  /// Whether products are summed onto what the score adds to them: then they are the scores.
  bool startsFromRamp() { return scaleFolds() && !scoreSum.linear.empty(); }
  OnlineSoftmax softmax(mlir::RankedTensorType outType) {
    return OnlineSoftmax(outType, scaleFolds() ? scale : 1.0);
  }
  /// What is stored of the rows that this block's loops ended with: with the head's sink, where there are
  /// any.
  FinishedRows finishRows(NamingBuilder &at, SoftmaxState state, mlir::RankedTensorType outType,
                          mlir::Value small = {});
  /// Computes what of masks and scores does not depend on the key, once, before the loops over keys: for the
  /// `rows` rows from `firstRow` on. Fails, with an error at the op, on what tiles cannot do.
  mlir::LogicalResult hoist(NamingBuilder &at, mlir::Value firstRow, int64_t rows);
  /// What the products of a tile of this type are summed onto, whose first key this is; null: nothing.
  mlir::Value startOfProducts(NamingBuilder &at, mlir::RankedTensorType type, mlir::Value firstKey) {
    return startsFromRamp() ? rampOf(at, type, firstKey) : mlir::Value();
  }
  /// The scores of a tile of products whose first row and key these are: scaled and changed as the spec says,
  /// -inf where a row does not see a key. Fails, with an error at the op, on what tiles cannot do.
  mlir::FailureOr<mlir::Value> scoresOf(NamingBuilder &at, const BlockKind &kind, mlir::Value products,
                                        mlir::Value firstRow, mlir::Value firstKey);

  /// Of the rows that exist, which have a NaN or an infinity in `out`, whose first row this is.
  mlir::Value notFinite(NamingBuilder &at, mlir::Value out, mlir::Value firstRow);
  /// A number that is the same for all threads, for what is not to take registers of theirs; and what follows
  /// from it is computed anew.
  static mlir::Value uniform(NamingBuilder &at, mlir::Value value, llvm::StringRef name) {
    return at.make<tile::UniformOp>(name, value);
  }
  /// This block's number in the grid.
  static mlir::Value blockNumber(NamingBuilder &at, llvm::StringRef name);

  attn::ForwardOp forward;
  const DecidedSchedule &decided;
  mlir::MLIRContext *context;
  int64_t headDimQk, headDimV;
  mlir::Type dtype;
  MaskBounds bounds;
  BlockMask blockMask;
  bool findsWhole = false; ///< a builder's: blocks of kind kWhole are kept as a whole
  ScoreSum scoreSum;
  double scale;
  NamingBuilder b;

  tile::KernelOp kernel;
  llvm::StringMap<mlir::Value> scalars; ///< what is given at launch by name
  mlir::Value qArray, kArray, vArray, oArray, sinkArray, lengthsQArray, lengthsKvArray, lseArray;
  mlir::Value lengthQ, lengthKv; ///< of the arrays
  mlir::Value headsPerKvHead, queryBlocks, heads;
  /// With groupHeads: heads of all batch entries, and heads and tiles of a group.
  mlir::Value allHeads, headsTogether, tilesTogether;
  mlir::Value batch, head, kvHead, firstQuery; ///< of the tile
  mlir::Value queriesOfEntry, keysOfEntry;     ///< of its batch entry: what the spec calls len_q and len_kv
  MaskLimits limits;

private:
  /// What values of a region depend on: nothing but the block, the row, or the key and the score.
  enum class Reach { Block, Row, Key };
  Reach reachOf(mlir::Value value);
  /// A tensor of `shape` (null: a number) of values that are one for all, or one a row.
  mlir::Value spread(NamingBuilder &at, mlir::RankedTensorType shape, mlir::Value value);
  mlir::Value indexTile(NamingBuilder &at, mlir::RankedTensorType shape, mlir::Value argument,
                        mlir::Value firstRow, mlir::Value firstKey);
  mlir::Value loadElement(NamingBuilder &at, attn::ElementOp element, llvm::ArrayRef<mlir::Value> indices);
  /// `index` where it may lie beyond its axis, cut to the axis.
  mlir::Value clampIndex(NamingBuilder &at, mlir::Value index, mlir::Value inRegion, const SizeExpr &extent);
  mlir::FailureOr<llvm::SmallVector<mlir::Value>> applyRegion(NamingBuilder &at, mlir::RankedTensorType shape,
                                                              llvm::ArrayRef<mlir::Value> results,
                                                              mlir::Value score, mlir::Value firstRow,
                                                              mlir::Value firstKey);
  /// What `read` gives where there are keys, else zeros.
  mlir::Value readIfKeys(NamingBuilder &at, mlir::RankedTensorType shape, mlir::Type element,
                         llvm::function_ref<mlir::Value(NamingBuilder &)> read);
  void declareCaptures();
  void declareBounds();
  /// A size that indices are cut to, by its text; null: no index of that axis can lie beyond it.
  mlir::Value extentOf(NamingBuilder &at, const SizeExpr &axis);
  /// Fills the body of a scan of blocks of keys with what `make` says of whether one is kept in part, and as
  /// a whole.
  void fillScan(NamingBuilder &at, mlir::Operation *scan, const BlockRange &range,
                llvm::function_ref<llvm::SmallVector<mlir::Value>(NamingBuilder &, mlir::Value mixed,
                                                                  mlir::Value whole)>
                    make);
  mlir::LogicalResult hoistElements(NamingBuilder &at, mlir::Value firstRow, int64_t rows);
  mlir::LogicalResult hoistRamp(NamingBuilder &at, mlir::Value firstRow, int64_t rows);
  /// The linear terms of the scores of a tile whose first key this is.
  mlir::Value rampOf(NamingBuilder &at, mlir::RankedTensorType type, mlir::Value firstKey);
  mlir::FailureOr<mlir::Value> applyScore(NamingBuilder &at, mlir::Value products, mlir::Value firstRow,
                                          mlir::Value firstKey);

  llvm::SmallVector<mlir::Attribute> signature;
  llvm::StringMap<mlir::Value> captured;            ///< arrays by name
  llvm::StringMap<mlir::Value> extents;             ///< sizes that indices are cut to, by their text
  llvm::DenseMap<mlir::Value, mlir::Value> hoisted; ///< elements that were read before the loops
  llvm::DenseMap<mlir::Value, Reach> reaches;
  /// The linear terms of the score, where the row and the key of a tile are 0: what they are in each row's
  /// first column, and what each column adds to it. Then of each term what the tile's place adds, an i32, and
  /// what that is multiplied by.
  struct Ramp {
    struct Place {
      int64_t perKey;
      mlir::Value ofRow, factor;
    };
    mlir::Value rows, step;
    llvm::SmallVector<Place, 1> places;
  };
  Ramp ramp;
  /// The tables that the mask's blocks are known by: each, and of each axis how many blocks or indices it
  /// has.
  struct Bounds {
    mlir::Value table;
    llvm::SmallVector<mlir::Value> extents;
  };
  std::vector<Bounds> arrayBounds;
  mlir::Value lastQuery;
  int64_t queriesOfBlock = 0, keysOfBlock = 0;
};

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_FORWARDPROGRAM_H
