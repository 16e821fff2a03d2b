//===- HopperForward.h - the builder of the hopper family -------*- C++ -*-===//
//
// HopperForward.cpp has the program: what roles there are, which tiles a CTA computes, what is computed
// again, and the producer. HopperConsumer.cpp has what a consumer does with one tile.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_HOPPER_HOPPERFORWARD_H
#define ATTUNE_COMPILER_SCHEDULE_HOPPER_HOPPERFORWARD_H

#include "compiler/schedule/ForwardProgram.h"
#include "compiler/schedule/hopper/Hopper.h"

namespace attune::hopper {

/// How far a role has come; the same in all roles.
struct Progress {
  mlir::Value tiles;  ///< tiles of queries so far, which are those of Q's ring
  mlir::Value blocks; ///< blocks of keys so far, which are those of the rings of K and V
  mlir::Value bad;    ///< bit i: tile i of this round has a row that is not finite
};

/// What a consumer's loop carries: the softmax's state, and the probabilities of the last block, whose
/// product with V is still to be issued; where blocks are found one by one, the last one's number.
struct Carried {
  SoftmaxState state;
  mlir::Value p, block;

  llvm::SmallVector<mlir::Value> values() const {
    llvm::SmallVector<mlir::Value> all{state.out, state.max, state.limit, state.sum, p};
    if (block)
      all.push_back(block);
    return all;
  }
  template <typename Range> static Carried of(Range &&values) {
    return {{values[0], values[1], values[2], values[3]},
            values[4],
            values.size() > 5 ? mlir::Value(values[5]) : mlir::Value()};
  }
};

class ForwardBuilder : public ForwardProgram {
public:
  ForwardBuilder(mlir::OpBuilder &builder, attn::ForwardOp forward, const DecidedSchedule &decided)
      : ForwardProgram(builder, forward, decided), tiles(tilesOf(decided.schedule)) {}

  mlir::LogicalResult build();

private:
  //===-- The program (HopperForward.cpp) --===//

  /// What a role does with the tile that is located: the usual way where `attempt` is null, else carefully.
  /// The result, an i1 that is the same for a warp, says whether a row came out that is not finite.
  using Work = llvm::function_ref<mlir::FailureOr<mlir::Value>(NamingBuilder &, mlir::Value attempt,
                                                               const Progress &)>;
  /// The number of tile `i` of this round.
  using TileNumber = llvm::function_ref<mlir::Value(NamingBuilder &, mlir::Value i)>;

  void declareMaps();
  void openRings();
  mlir::LogicalResult allTiles(NamingBuilder &at, bool producing, Work work);
  mlir::LogicalResult walkGrid(NamingBuilder &at, Work work);
  mlir::LogicalResult drawTiles(NamingBuilder &at, bool producing, Work work);
  mlir::FailureOr<Progress> oneTile(NamingBuilder &at, mlir::Value tile, mlir::Value attempt,
                                    const Progress &before, mlir::Value bit, Work work);
  mlir::FailureOr<Progress> again(NamingBuilder &at, const Progress &before, mlir::Value last,
                                  TileNumber tileNumber, Work work);
  mlir::FailureOr<llvm::SmallVector<mlir::Value>> endOfRound(NamingBuilder &at, mlir::Value ends,
                                                             const Progress &progress, mlir::Value last,
                                                             TileNumber tileNumber, Work work);
  mlir::Value produce(NamingBuilder &at, const Progress &progress);
  /// Where tile `group` of Q lies in its ring.
  mlir::Value queryIndex(NamingBuilder &at, const Progress &progress, mlir::Value group);

  //===-- A consumer (HopperConsumer.cpp) --===//

  mlir::FailureOr<mlir::Value> consume(NamingBuilder &at, mlir::Value attempt, const Progress &progress);
  mlir::Value wait(NamingBuilder &at, llvm::StringRef name, mlir::Value ring, mlir::Value index) {
    return at.make<tile::WaitOp>(name, mlir::cast<tile::RingType>(ring.getType()).getSlot(), ring, index);
  }
  /// The block of keys of an iteration; `before` is the one before it, where blocks are found one by one.
  mlir::Value blockOf(NamingBuilder &at, mlir::Value it, mlir::Value before);
  mlir::Value firstKeyOf(NamingBuilder &at, mlir::Value block) {
    return Scalars(at).mul(block, tiles.blockKv, "first_key");
  }
  /// Whether blocks of a kind are told apart by their number: where nothing reads it, nobody looks for it.
  bool needsBlock(const BlockKind &kind) { return hides(kind) || scoreReadsKey(); }
  mlir::Value index(NamingBuilder &at, mlir::Value it) { return Scalars(at).add(base, it); }
  /// The part of the loop that `place` is around, between a consumer's turn and the next one's.
  void takeTurn(NamingBuilder &at, Turns place);
  void passTurn(NamingBuilder &at, Turns place);
  /// Whose turn it is at first has it from the last group; nobody waits for the turn that is passed last.
  void turnOfGroup(NamingBuilder &at, int64_t which, bool pass);
  /// One block from its scores to its probabilities.
  mlir::FailureOr<mlir::Value> softmaxOf(NamingBuilder &at, const BlockKind &kind, mlir::Value block,
                                         mlir::Value scores, SoftmaxState &state, LaterScale *later);
  mlir::FailureOr<Carried> first(NamingBuilder &at, const BlockKind &kind);
  mlir::FailureOr<Carried> step(NamingBuilder &at, const BlockKind &kind, mlir::Value it, Carried carried);
  mlir::FailureOr<Carried> loop(NamingBuilder &at, const BlockKind &kind, mlir::Value from, mlir::Value to,
                                Carried carried);
  mlir::Value product(NamingBuilder &at, mlir::Value p, mlir::Value it, mlir::Value out);
  mlir::FailureOr<SoftmaxState> usually(NamingBuilder &at);
  mlir::FailureOr<SoftmaxState> carefully(NamingBuilder &at, mlir::Value small);
  mlir::FailureOr<SoftmaxState> carefulStep(NamingBuilder &at, mlir::Value it, mlir::Value block,
                                            SoftmaxState state, mlir::Value small);
  void store(NamingBuilder &at, mlir::Value out, const FinishedRows &rows, mlir::Value attempt);

  mlir::RankedTensorType scoresType() { return tensor({rowsOfGroup, tiles.blockKv}, b.getF32Type(), acc()); }
  mlir::RankedTensorType outType() {
    return tensor({rowsOfGroup, paddedHeadDim(int(headDimV))}, b.getF32Type(), acc());
  }
  mlir::RankedTensorType pType() {
    return tensor({rowsOfGroup, tiles.blockKv}, dtype, tile::AOpAttr::get(context));
  }
  bool windowed() const { return !bounds.first.empty(); }
  /// The kind of the blocks that come first.
  const BlockKind &maskedKind() const { return findsBlocks() ? kMixed : windowed() ? kRightAndLeft : kRight; }

  const Tiles tiles;
  mlir::Value qMap, kMap, vMap, oMap;
  mlir::Value qRing, kRing, vRing;
  mlir::Value tileCount, drawn, words;           ///< of grids whose CTAs compute several tiles
  mlir::Value end, count, maskedRight, wholeEnd; ///< of the located tile
  FoundBlocks found;                             ///< likewise, where blocks are found one by one
  mlir::Value q, group, firstRow, base;          ///< of a consumer and its tile
};

} // namespace attune::hopper

#endif // ATTUNE_COMPILER_SCHEDULE_HOPPER_HOPPERFORWARD_H
