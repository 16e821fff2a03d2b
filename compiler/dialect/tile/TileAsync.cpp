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

LogicalResult FillOp::verify() {
  RingType ring = getRing().getType();
  TensorMapType map = getMap().getType();
  if (ring.getKind() != RingKind::Tma)
    return emitOpError("expected a ring of kind tma, got ") << ring;
  ArrayRef<int64_t> slot = ring.getSlot().getShape();
  if (slot[0] != map.getRows() || slot[1] != map.getCols() ||
      ring.getSlot().getElementType() != map.getElementType())
    return emitOpError("expected boxes of the slot's ")
           << shapeText(slot) << " " << ring.getSlot().getElementType() << ", got " << map;
  return mlir::success();
}

LogicalResult TmaLoadOp::verify() {
  TensorMapType map = getMap().getType();
  RankedTensorType tile = getTile().getType();
  if (tile.getDimSize(0) != map.getRows() || tile.getDimSize(1) != map.getCols() ||
      tile.getElementType() != map.getElementType())
    return emitOpError("expected boxes of the tile's ")
           << shapeText(tile.getShape()) << " " << tile.getElementType() << ", got " << map;
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
