// Gives every ring an offset in shared memory.
#include "compiler/transforms/Passes.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_TILEALLOCATESMEM
#include "compiler/transforms/Passes.h.inc"

/// The swizzle exclusive-ors address bits 4 to 6 with the row, so tiles start where those bits are zero.
static constexpr uint64_t kTileAlignment = 128;

namespace {
struct TileAllocateSmemPass : impl::TileAllocateSmemBase<TileAllocateSmemPass> {
  void runOnOperation() override {
    tile::KernelOp kernel = getOperation();
    Builder b(&getContext());
    int64_t bytes = 0;
    kernel.walk([&](tile::RingOp ring) {
      ring.setOffsetAttr(b.getI64IntegerAttr(bytes));
      tile::RingType type = ring.getType();
      bytes = int64_t(
          llvm::alignTo(uint64_t(bytes + type.getDepth() * tile::tileBytes(type.getSlot())), kTileAlignment));
    });
    kernel.walk([&](tile::ReuseSmemOp reuse) {
      bytes = std::max(bytes, tile::tileBytes(reuse.getTile().getType()));
    });
    kernel.setSmemAttr(b.getI64IntegerAttr(bytes));
  }
};
} // namespace
} // namespace attune
