// Rings become slots, copy groups and barriers.
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
    FailureOr<ChannelPlan> plan = planChannels(kernel);
    if (failed(plan))
      return signalPassFailure();
    SmallVector<Operation *> ops;
    SmallVector<tile::RingOp> rings;
    kernel.walk([&](Operation *op) {
      if (auto ring = dyn_cast<tile::RingOp>(op))
        rings.push_back(ring);
      else
        ops.push_back(op);
    });
    // Waits that follow each other share the last one's wait_group, with the smallest count, and its barrier.
    for (Operation *op : llvm::reverse(ops))
      if (auto wait = dyn_cast<tile::WaitOp>(op); wait && sharesBarrierWithPrevious(wait))
        shareWithPrevious(wait, *plan);
    for (Operation *op : ops)
      if (failed(lower(op, *plan)))
        return signalPassFailure();
    nameRings(kernel, rings);
    for (tile::RingOp ring : rings)
      ring.erase();
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

  /// The tile in slot `index` mod depth of a ring.
  Value slotTile(NamingBuilder &b, tile::RingOp ring, Value index) {
    tile::RingType type = ring.getType();
    int64_t depth = type.getDepth(), bytes = tile::tileBytes(type.getSlot());
    auto constant = [&](int64_t value) -> Value {
      return b.make<arith::ConstantOp>("", b.getI32IntegerAttr(int32_t(value)));
    };
    // The offset keeps the ring's name.
    Value offset =
        arith::ConstantOp::create(b, ring.getLoc(), b.getI32IntegerAttr(int32_t(*ring.getOffset())));
    if (depth > 1) {
      Value slot = llvm::isPowerOf2_64(uint64_t(depth))
                       ? Value(b.make<arith::AndIOp>("slot", index, constant(depth - 1)))
                       : Value(b.make<arith::RemUIOp>("slot", index, constant(depth)));
      offset = b.make<arith::AddIOp>("", offset, b.make<arith::MulIOp>("", slot, constant(bytes)));
    }
    return tile::SmemTileOp::create(b, b.unnamed(), type.getSlot(), offset);
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
      if (!shared.contains(op)) {
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
    } else if (!isa<tile::ReleaseOp>(op)) {
      return mlir::success();
    }
    op->erase();
    return mlir::success();
  }

  DenseSet<Operation *> shared; ///< waits whose wait_group and barrier are those of a wait before them
};
} // namespace
} // namespace attune
