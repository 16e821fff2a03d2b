//===- TileBlocks.cpp - verifiers of what looks for blocks ----------------===//
#include "compiler/dialect/ScalarOps.h"
#include "compiler/dialect/tile/Tile.h"

using namespace mlir;

namespace attune::tile {

static LogicalResult verifyScan(Operation *op, Region &condition) {
  Block &body = condition.front();
  if (body.getNumArguments() != 1 || !body.getArgument(0).getType().isInteger(32))
    return op->emitOpError("expected a condition that takes a block's number (i32)");
  if (body.empty() || !isa<YieldOp>(body.back()))
    return op->emitOpError("expected a condition that ends with tile.yield");
  for (Operation &inner : body.without_terminator()) {
    if (!isa<LoadValueOp>(inner) && failed(verifyScalarOp(&inner, "in a condition on blocks", false)))
      return failure();
    for (Type type : inner.getResultTypes())
      if (isa<ShapedType>(type))
        return inner.emitOpError("expected a number in a condition on blocks, got ") << type;
  }
  return success();
}

LogicalResult CountBlocksOp::verify() { return verifyScan(*this, getCondition()); }
LogicalResult LastBlockOp::verify() { return verifyScan(*this, getCondition()); }

} // namespace attune::tile
