//===- TileAllocateSmem.cpp - offsets in shared memory --------------------===//
#include "compiler/transforms/Passes.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_TILEALLOCATESMEM
#include "compiler/transforms/Passes.h.inc"

/// The swizzle exclusive-ors address bits 4 to 6 with the row, so tiles start where those bits are zero. TMA
/// and wgmma take the row from the address: their tiles start where eight rows of the widest swizzle do.
static uint64_t tileAlignment(tile::RingType type) {
  return type.getKind() == tile::RingKind::Tma ? 1024 : 128;
}

namespace {
struct TileAllocateSmemPass : impl::TileAllocateSmemBase<TileAllocateSmemPass> {
  void runOnOperation() override {
    tile::KernelOp kernel = getOperation();
    Builder b(&getContext());
    int64_t bytes = 0;
    kernel.walk([&](tile::RingOp ring) {
      tile::RingType type = ring.getType();
      bytes = int64_t(llvm::alignTo(uint64_t(bytes), tileAlignment(type)));
      ring.setOffsetAttr(b.getI64IntegerAttr(bytes));
      bytes += type.getDepth() * tile::tileBytes(type.getSlot());
    });
    bytes = int64_t(llvm::alignTo(uint64_t(bytes), 128));
    // Of each slot: whether it is full, then whether it is empty.
    kernel.walk([&](tile::RingOp ring) {
      if (ring.getType().getKind() != tile::RingKind::Tma)
        return;
      ring.setBarriersAttr(b.getI64IntegerAttr(bytes));
      bytes += 16 * ring.getType().getDepth();
    });
    kernel.walk([&](tile::WordsOp words) {
      int64_t depth = words.getType().getDepth();
      words.setBarriersAttr(b.getI64IntegerAttr(bytes));
      words.setOffsetAttr(b.getI64IntegerAttr(bytes + 8 * depth));
      bytes += 12 * depth;
    });
    kernel.walk([&](tile::ReuseSmemOp reuse) {
      bytes = std::max(bytes, tile::tileBytes(reuse.getTile().getType()));
    });
    kernel.setSmemAttr(b.getI64IntegerAttr(bytes));
  }
};
} // namespace
} // namespace attune
