//===- TileAsync.cpp - verifiers of TMA, wgmma and barriers ---------------===//
#include "compiler/dialect/Elements.h"
#include "compiler/dialect/tile/KernelHeader.h"
#include "compiler/dialect/tile/Tile.h"

using namespace mlir;

namespace attune::tile {

LogicalResult TensorMapType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t rows, int64_t cols,
                                    Type elementType) {
  if (!elementOf(elementType) || infoOf(elementType).mmaK == 0)
    return emitError() << "expected elements that a matrix instruction takes, got " << elementType;
  if (rows < 8 || rows > 256 || rows % 8 != 0)
    return emitError() << "expected boxes of 8 to 256 rows, a multiple of 8, got " << rows;
  if (cols < 16 || cols > 256 || cols % 16 != 0)
    return emitError() << "expected boxes of 16 to 256 columns, a multiple of 16, got " << cols;
  return mlir::success();
}

/// Whether a box of the map fills a tile of this type; `what` names it.
static LogicalResult verifyBox(Operation *op, StringRef what, RankedTensorType tile, TensorMapType map) {
  if (tile.getDimSize(0) == map.getRows() && tile.getDimSize(1) == map.getCols() &&
      tile.getElementType() == map.getElementType())
    return mlir::success();
  return op->emitOpError("expected boxes of the ")
         << what << "'s " << shapeText(tile.getShape()) << " " << tile.getElementType() << ", got " << map;
}

static LogicalResult verifyByTma(Operation *op, RingType ring) {
  if (ring.getKind() != RingKind::Tma)
    return op->emitOpError("expected a ring of kind tma, got ") << ring;
  return mlir::success();
}

LogicalResult FillOp::verify() {
  RingType ring = getRing().getType();
  if (failed(verifyByTma(*this, ring)))
    return failure();
  return verifyBox(*this, "slot", ring.getSlot(), getMap().getType());
}

LogicalResult PlaceType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t depth) {
  if (depth < 1)
    return emitError() << "expected a place in a ring of at least one slot, got " << depth;
  return mlir::success();
}

/// What waits at a ring's barriers, or fills a slot, needs to know where they are.
static LogicalResult verifySlot(Operation *op, TypedValue<RingType> ring) {
  if (failed(verifyByTma(op, ring.getType())))
    return failure();
  auto made = ring.getDefiningOp<RingOp>();
  if (!made || !made.getOffset() || !made.getBarriers() || !made.getReleases())
    return op->emitOpError("expected a ring with 'offset', 'barriers' and 'releases'");
  return mlir::success();
}
LogicalResult SlotAcquireOp::verify() { return verifySlot(*this, getRing()); }
LogicalResult SlotWaitOp::verify() {
  if (failed(verifySlot(*this, getRing())))
    return failure();
  if (auto tile = dyn_cast<RankedTensorType>(getTile().getType());
      tile && tile != getRing().getType().getSlot())
    return emitOpError("expected a tile of the ring's slots, got ") << tile;
  return mlir::success();
}
LogicalResult SlotReleaseOp::verify() { return verifySlot(*this, getRing()); }

LogicalResult TmaLoadOp::verify() {
  if (failed(verifySlot(*this, getRing())))
    return failure();
  return verifyBox(*this, "slot", getRing().getType().getSlot(), getMap().getType());
}

LogicalResult WordsType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t depth) {
  if (depth < 1 || depth > 1024)
    return emitError() << "expected 1 to 1024 words, got " << depth;
  return mlir::success();
}

LogicalResult TmaStoreOp::verify() {
  RankedTensorType value = getValue().getType(), staging = getStaging().getType();
  TensorMapType map = getMap().getType();
  if (value.getShape() != staging.getShape() || !value.getElementType().isF32())
    return emitOpError("expected f32 values and staging of their shape ")
           << shapeText(value.getShape()) << ", got " << value << " and " << staging;
  if (map.getRows() != 16 || map.getCols() != value.getDimSize(1) ||
      map.getElementType() != staging.getElementType())
    return emitOpError("expected boxes of 16 x ")
           << value.getDimSize(1) << " " << staging.getElementType() << ", got " << map;
  if (value.getDimSize(0) != 16 * warpsAt(*this))
    return emitOpError("expected 16 rows a warp, ")
           << 16 * warpsAt(*this) << " of the role, got " << value.getDimSize(0);
  return mlir::success();
}

/// What only warps of roles do.
static LogicalResult verifyInRole(Operation *op) {
  if (!op->getParentOfType<RoleOp>())
    return op->emitOpError("expected to be in a role");
  return mlir::success();
}
LogicalResult VoteOp::verify() { return verifyInRole(*this); }
static LogicalResult verifyTurn(Operation *op) {
  if (failed(verifyInRole(op)))
    return failure();
  if (op->getParentOfType<RoleOp>().getReplicas() < 2)
    return op->emitOpError("expected a role of at least two replicas, which take turns");
  return mlir::success();
}
LogicalResult TurnWaitOp::verify() { return verifyTurn(*this); }
LogicalResult TurnPassOp::verify() { return verifyTurn(*this); }
LogicalResult DrawOp::verify() {
  if (!getCounter().getType().getElementType().isInteger(32))
    return emitOpError("expected a counter of i32, got ") << getCounter().getType();
  // The thread dialect's roles have the same attributes.
  Operation *role = (*this)->getParentOp();
  while (role && !role->hasAttr("replicas"))
    role = role->getParentOp();
  auto is1 = [&](StringRef name) { return role->getAttrOfType<IntegerAttr>(name).getInt() == 1; };
  if (!role || !is1("replicas") || (!is1("warps") && !role->hasAttr("first_warp_only")))
    return emitOpError("expected to be in a role of which one warp runs");
  return mlir::success();
}

LogicalResult ReuseTileOp::verify() {
  int64_t bytes = tileBytes(getTile().getType()), wanted = tileBytes(getResult().getType());
  if (wanted > bytes)
    return emitOpError("expected at most the tile's ") << bytes << " bytes, got " << wanted;
  return mlir::success();
}

LogicalResult BarrierInitOp::verify() {
  if (getOffsets().size() != getCounts().size() || getOffsets().empty())
    return emitOpError("expected a count for each barrier, got ")
           << getOffsets().size() << " offsets and " << getCounts().size() << " counts";
  for (auto [offset, count] : llvm::zip(getOffsets(), getCounts())) {
    if (offset < 0 || offset % 8 != 0)
      return emitOpError("expected offsets that are multiples of 8, got ") << offset;
    if (count < 1 || count >= 1 << 20)
      return emitOpError("expected counts from 1 to 2^20 - 1, got ") << count;
  }
  return mlir::success();
}

LogicalResult DotIssueOp::verify() {
  auto a = cast<RankedTensorType>(getA().getType());
  if (failed(verifyProduct(*this, a, getB().getType(), getTransposed(), getResult().getType())))
    return failure();
  int64_t n = getResult().getType().getDimSize(1);
  if (a.getDimSize(0) != 64)
    return emitOpError("expected the 64 rows of a warpgroup, got ") << a.getDimSize(0);
  if (n % 8 != 0 || n < 8 || n > 256)
    return emitOpError("expected from 8 to 256 columns, a multiple of 8, got ") << n;
  if (warpsAt(*this) != 4 || !(*this)->getParentOfType<RoleOp>())
    return emitOpError("expected to be in a role of 4 warps, a warpgroup");
  // Whoever touches the result before it is there reads what the tensor core has not written yet.
  for (Operation *user : getResult().getUsers())
    if (!isa<DotWaitOp>(user))
      return emitOpError("expected its result to pass through tile.dot_wait, got a use by ")
             << user->getName();
  if (!getResult().hasOneUse())
    return emitOpError("expected its result to be waited for once");
  return mlir::success();
}

LogicalResult DotWaitOp::verify() {
  if (getPending() > 7)
    return emitOpError("expected at most 7 pending dots, got ") << getPending();
  if (!getValue().getDefiningOp<DotIssueOp>())
    return emitOpError("expected the result of a tile.dot_issue");
  return mlir::success();
}

} // namespace attune::tile
