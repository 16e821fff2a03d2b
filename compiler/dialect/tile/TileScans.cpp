//===- TileScans.cpp - verifiers of scans --------------------------------===//
#include "compiler/dialect/ScalarOps.h"
#include "compiler/dialect/tile/Tile.h"

using namespace mlir;

namespace attune::tile {

static LogicalResult verifyScan(Operation *op, Region &region, unsigned bits) {
  Block &body = region.front();
  if (body.getNumArguments() != 1 || !body.getArgument(0).getType().isInteger(32))
    return op->emitOpError("expected a body that takes a number (i32)");
  if (body.empty() || !isa<YieldOp>(body.back()))
    return op->emitOpError("expected a body that ends with tile.yield");
  if (body.back().getNumOperands() != op->getNumResults() || op->getNumResults() == 0)
    return body.back().emitOpError("expected a value for each of ")
           << op->getNumResults() << " results, got " << body.back().getNumOperands();
  for (Type given : body.back().getOperandTypes())
    if (!given.isInteger(bits))
      return body.back().emitOpError("expected i") << bits << ", got " << given;
  for (Operation &inner : body.without_terminator()) {
    if (!isa<LoadValueOp, LoadEntryOp>(inner) &&
        failed(verifyScalarOp(&inner, "in the body of a scan", false)))
      return failure();
    for (Type type : inner.getResultTypes())
      if (isa<ShapedType>(type))
        return inner.emitOpError("expected a number in the body of a scan, got ") << type;
  }
  return success();
}

LogicalResult CountBlocksOp::verify() { return verifyScan(*this, getBody(), 1); }
LogicalResult LastBlockOp::verify() { return verifyScan(*this, getBody(), 1); }
LogicalResult LeastOp::verify() { return verifyScan(*this, getBody(), 32); }
LogicalResult LargestOp::verify() { return verifyScan(*this, getBody(), 32); }

} // namespace attune::tile
