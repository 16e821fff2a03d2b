//===- TileLowerChannels.cpp - rings become slots and barriers ------------===//
#include "compiler/ir/IrText.h"
#include "compiler/schedule/Naming.h"
#include "compiler/transforms/ChannelModel.h"
#include "compiler/transforms/Passes.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_TILELOWERCHANNELS
#include "compiler/transforms/Passes.h.inc"

namespace {
struct TileLowerChannelsPass : impl::TileLowerChannelsBase<TileLowerChannelsPass> {
  void runOnOperation() override {
    tile::KernelOp kernel = getOperation();
    FailureOr<ChannelPlan> plan = getAnalysis<ChannelAnalysis>().plan;
    if (failed(plan))
      return signalPassFailure();
    SmallVector<Operation *> ops;
    SmallVector<tile::RingOp> rings;
    SmallVector<tile::WordsOp> words;
    kernel.walk([&](Operation *op) {
      if (auto ring = dyn_cast<tile::RingOp>(op))
        rings.push_back(ring);
      else if (auto numbers = dyn_cast<tile::WordsOp>(op))
        words.push_back(numbers);
      else
        ops.push_back(op);
    });
    // Waits that follow each other share the last one's wait_group, with the smallest count, and its barrier.
    for (Operation *op : llvm::reverse(ops))
      if (auto wait = dyn_cast<tile::WaitOp>(op);
          wait && wait.getRing().getType().getKind() == tile::RingKind::Copies &&
          sharesBarrierWithPrevious(wait))
        shareWithPrevious(wait, *plan);
    initialiseBarriers(rings, words, *plan);
    for (Operation *op : ops)
      if (failed(lower(op, *plan)))
        return signalPassFailure();
    nameRings(kernel, rings);
    for (tile::RingOp ring : rings)
      ring.erase();
    for (tile::WordsOp numbers : words)
      numbers.erase();
  }

private:
  /// Below this, tiles of shared memory are numbers; a table on the kernel says which ring each number means.
  void nameRings(tile::KernelOp kernel, ArrayRef<tile::RingOp> rings) {
    Builder b(&getContext());
    SmallVector<NamedAttribute> table;
    for (size_t i = 0; i != rings.size(); ++i) {
      tile::RingOp ring = rings[i];
      StringRef name = nameOf(ring.getLoc());
      std::string key = name.empty() ? "ring_" + std::to_string(i) : name.str();
      int64_t offset = int64_t(ring.getOffset().value_or(0)),
              bytes = tile::tileBytes(ring.getType().getSlot());
      SmallVector<int64_t> slots;
      for (int64_t slot = 0; slot != ring.getType().getDepth(); ++slot)
        slots.push_back(offset + slot * bytes);
      if (llvm::none_of(table, [&](NamedAttribute entry) { return entry.getName() == key; }))
        table.push_back(b.getNamedAttr(key, b.getDenseI64ArrayAttr(slots)));
    }
    kernel->setDiscardableAttr("rings", b.getDictionaryAttr(table));
  }

  void shareWithPrevious(tile::WaitOp wait, ChannelPlan &plan) {
    Operation *previous = wait->getPrevNode();
    while (!isa<tile::WaitOp>(previous))
      previous = previous->getPrevNode();
    plan.pending[previous] = std::min(pendingOf(previous, plan), pendingOf(wait, plan));
    shared.insert(wait);
  }

  /// A wait that no run reached waits for everything.
  static int64_t pendingOf(Operation *wait, const ChannelPlan &plan) {
    return plan.pending.lookup_or(wait, 0);
  }

  static Value constant(NamingBuilder &b, int64_t value) {
    return b.make<arith::ConstantOp>("", b.getI32IntegerAttr(int32_t(value)));
  }

  /// `start` + (`index` mod depth) * `bytes`.
  static Value inSlot(NamingBuilder &b, int64_t depth, Value index, Value start, int64_t bytes) {
    if (depth == 1)
      return start;
    Value slot = llvm::isPowerOf2_64(uint64_t(depth))
                     ? Value(b.make<arith::AndIOp>("slot", index, constant(b, depth - 1)))
                     : Value(b.make<arith::RemUIOp>("slot", index, constant(b, depth)));
    return b.make<arith::AddIOp>("", start, b.make<arith::MulIOp>("", slot, constant(b, bytes)));
  }

  /// The tile in slot `index` mod depth of a ring.
  Value slotTile(NamingBuilder &b, tile::RingOp ring, Value index) {
    tile::RingType type = ring.getType();
    // The offset keeps the ring's name.
    Value start =
        arith::ConstantOp::create(b, ring.getLoc(), b.getI32IntegerAttr(int32_t(*ring.getOffset())));
    return tile::SmemTileOp::create(
        b, b.unnamed(), type.getSlot(),
        inSlot(b, type.getDepth(), index, start, tile::tileBytes(type.getSlot())));
  }

  /// The barrier of slot `index` mod depth that says that it is full, or that it is empty.
  static Value slotBarrier(NamingBuilder &b, tile::RingOp ring, Value index, bool empty) {
    int64_t depth = ring.getType().getDepth();
    return inSlot(b, depth, index, constant(b, int64_t(*ring.getBarriers()) + (empty ? 8 * depth : 0)), 8);
  }

  /// The parity of the phase in which slot `index` mod `depth` holds tile `index`.
  static Value slotParity(NamingBuilder &b, int64_t depth, Value index) {
    Value round = index;
    if (depth > 1)
      round = b.make<arith::DivUIOp>("", index, constant(b, depth));
    return b.make<arith::AndIOp>("parity", round, constant(b, 1));
  }

  /// The barriers of all rings of kind tma and of all words, before anything else happens.
  static void initialiseBarriers(ArrayRef<tile::RingOp> rings, ArrayRef<tile::WordsOp> words,
                                 const ChannelPlan &plan) {
    SmallVector<int64_t> offsets, counts;
    Operation *last = nullptr;
    for (tile::RingOp ring : rings) {
      if (ring.getType().getKind() != tile::RingKind::Tma)
        continue;
      int64_t depth = ring.getType().getDepth(), releases = plan.releases.lookup(ring.getResult());
      for (int64_t i = 0; i != (releases ? 2 : 1) * depth; ++i) {
        offsets.push_back(int64_t(*ring.getBarriers()) + 8 * i);
        counts.push_back(i < depth ? 1 : releases);
      }
      last = ring;
    }
    for (tile::WordsOp numbers : words) {
      for (int64_t i = 0; i != numbers.getType().getDepth(); ++i) {
        offsets.push_back(int64_t(*numbers.getBarriers()) + 8 * i);
        counts.push_back(1);
      }
      if (!last || last->isBeforeInBlock(numbers))
        last = numbers;
    }
    if (!last)
      return;
    OpBuilder b(last->getContext());
    b.setInsertionPointAfter(last);
    tile::BarrierInitOp::create(b, last->getLoc(), offsets, counts);
  }

  void lowerFill(tile::FillOp fill, tile::RingOp ring, const ChannelPlan &plan) {
    NamingBuilder b(OpBuilder(fill), fill.getLoc());
    Value index = fill.getIndex(), full = slotBarrier(b, ring, index, false);
    // An empty slot was never filled before its first tile: that phase counts as ended.
    if (plan.releases.lookup(ring.getResult()))
      b.make<tile::BarrierWaitOp>(
          "", slotBarrier(b, ring, index, true),
          b.make<arith::XOrIOp>("", slotParity(b, ring.getType().getDepth(), index), constant(b, 1)));
    b.make<tile::BarrierExpectOp>("", full, tile::tileBytes(ring.getType().getSlot()));
    b.make<tile::TmaLoadOp>("", fill.getMap(), fill.getRow(), fill.getHead(), fill.getBatch(),
                            slotTile(b, ring, index), full);
  }

  /// The barrier of word `index`, and where it lies.
  static std::pair<Value, Value> placeOf(NamingBuilder &b, tile::WordsOp words, Value index) {
    int64_t depth = words.getType().getDepth();
    return {inSlot(b, depth, index, constant(b, int64_t(*words.getBarriers())), 8),
            inSlot(b, depth, index, constant(b, int64_t(*words.getOffset())), 4)};
  }

  LogicalResult lower(Operation *op, const ChannelPlan &plan) {
    NamingBuilder b(OpBuilder(op), op->getLoc());
    auto ringOf = [&](Value ring) -> tile::RingOp {
      auto definition = ring.getDefiningOp<tile::RingOp>();
      if (!definition || !definition.getOffset()) {
        op->emitOpError("expected a ring that tile-allocate-smem has placed");
        return {};
      }
      return definition;
    };
    if (auto acquire = dyn_cast<tile::AcquireOp>(op)) {
      tile::RingOp ring = ringOf(acquire.getRing());
      if (!ring)
        return failure();
      if (plan.barrierBefore.contains(op) || !plan.reached.contains(op))
        gpu::BarrierOp::create(b, op->getLoc());
      acquire.getTile().replaceAllUsesWith(slotTile(b, ring, acquire.getIndex()));
    } else if (auto wait = dyn_cast<tile::WaitOp>(op)) {
      tile::RingOp ring = ringOf(wait.getRing());
      if (!ring)
        return failure();
      if (ring.getType().getKind() == tile::RingKind::Tma) {
        b.make<tile::BarrierWaitOp>("", slotBarrier(b, ring, wait.getIndex(), false),
                                    slotParity(b, ring.getType().getDepth(), wait.getIndex()));
      } else if (!shared.contains(op)) {
        tile::WaitGroupOp::create(b, op->getLoc(), pendingOf(op, plan));
        gpu::BarrierOp::create(b, op->getLoc());
      }
      wait.getTile().replaceAllUsesWith(slotTile(b, ring, wait.getIndex()));
    } else if (isa<tile::CommitOp>(op)) {
      tile::CommitGroupOp::create(b, op->getLoc());
    } else if (auto reuse = dyn_cast<tile::ReuseSmemOp>(op)) {
      gpu::BarrierOp::create(b, op->getLoc());
      Value start = b.make<arith::ConstantOp>("", b.getI32IntegerAttr(0));
      reuse.getTile().replaceAllUsesWith(
          Value(tile::SmemTileOp::create(b, op->getLoc(), reuse.getTile().getType(), start)));
    } else if (auto fill = dyn_cast<tile::FillOp>(op)) {
      tile::RingOp ring = ringOf(fill.getRing());
      if (!ring)
        return failure();
      lowerFill(fill, ring, plan);
    } else if (auto release = dyn_cast<tile::ReleaseOp>(op)) {
      tile::RingOp ring = ringOf(release.getRing());
      if (!ring)
        return failure();
      if (ring.getType().getKind() == tile::RingKind::Tma)
        b.make<tile::BarrierArriveOp>("", slotBarrier(b, ring, release.getIndex(), true));
    } else if (auto put = dyn_cast<tile::PutOp>(op)) {
      auto [barrier, place] = placeOf(b, put.getWords().getDefiningOp<tile::WordsOp>(), put.getIndex());
      b.make<tile::StoreWordOp>("", put.getValue(), place);
      b.make<tile::BarrierArriveOp>("", barrier);
    } else if (auto get = dyn_cast<tile::GetOp>(op)) {
      auto words = get.getWords().getDefiningOp<tile::WordsOp>();
      auto [barrier, place] = placeOf(b, words, get.getIndex());
      b.make<tile::BarrierWaitOp>("", barrier, slotParity(b, words.getType().getDepth(), get.getIndex()));
      get.getResult().replaceAllUsesWith(
          Value(tile::LoadWordOp::create(b, get.getLoc(), b.getI32Type(), place)));
    } else {
      return mlir::success();
    }
    op->erase();
    return mlir::success();
  }

  DenseSet<Operation *> shared; ///< waits whose wait_group and barrier are those of a wait before them
};
} // namespace
} // namespace attune
