//===- Elementwise.cpp - scalar regions over tiles ------------------------===//
#include "compiler/schedule/Elementwise.h"

#include "compiler/dialect/ScalarOps.h"
#include "compiler/dialect/attn/Attn.h"
#include "compiler/schedule/OnlineSoftmax.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>
#include <numbers>

using namespace mlir;

namespace attune {

namespace {
class TileCloner {
public:
  TileCloner(NamingBuilder &b, RankedTensorType shape, const RegionLeaves &leaves)
      : b(b), shape(shape), leaves(leaves) {}

  FailureOr<Value> get(Value value) {
    if (Value known = clones.lookup(value))
      return known;
    if (Value leaf = leaves.leaf(value))
      return clones[value] = leaf;
    FailureOr<Value> clone = make(value.getDefiningOp());
    if (succeeded(clone))
      clones[value] = *clone;
    return clone;
  }

private:
  Type typeFor(Type scalar) {
    Type type = scalar.isIndex() ? Type(b.getI32Type()) : scalar;
    return shape ? Type(shape.clone(type)) : type;
  }

  Value constant(TypedAttr value) {
    if (shape)
      value = DenseElementsAttr::get(cast<RankedTensorType>(typeFor(value.getType())), Attribute(value));
    return b.make<arith::ConstantOp>("", value);
  }
  Value splat(float value) { return constant(b.getF32FloatAttr(value)); }

  /// tanh(y) = 1 - 2 / (1 + e^2y): tanh.approx errs by 2^-11, which a cap of 50 would turn into percents of a
  /// probability; this form errs by about 2^-23.
  Value tanh(Value y) {
    auto fast = arith::FastMathFlags::afn;
    Value scaled = b.make<arith::MulFOp>("", y, splat(float(2.0 / std::numbers::ln2)));
    Value e = b.make<math::Exp2Op>("e", scaled, fast);
    Value sum = b.make<arith::AddFOp>("", e, splat(1.0f));
    Value reciprocal = b.make<arith::DivFOp>("", splat(1.0f), sum, fast);
    return b.make<math::FmaOp>("squashed", splat(-2.0f), reciprocal, splat(1.0f));
  }

  FailureOr<Value> make(Operation *op) {
    if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
      TypedAttr attr = constant.getValue();
      if (auto integer = dyn_cast<IntegerAttr>(attr); integer && attr.getType().isIndex())
        attr = b.getI32IntegerAttr(integer.getInt());
      return this->constant(attr);
    }
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      FailureOr<Value> tile = get(operand);
      if (failed(tile))
        return failure();
      operands.push_back(*tile);
    }
    if (isa<math::TanhOp>(op))
      return tanh(operands[0]);
    if (auto element = dyn_cast<attn::ElementOp>(op))
      return leaves.load(element, operands);
    // A cast between index and i32 changes nothing here.
    if (isa<arith::IndexCastOp, arith::IndexCastUIOp>(op))
      return operands[0];
    if (failed(verifyScalarOp(op, "", /*inRegion=*/true)))
      return failure();
    OperationState state(op->getLoc(), op->getName(), operands, typeFor(op->getResult(0).getType()),
                         op->getAttrs());
    return b.create(state)->getResult(0);
  }

  NamingBuilder &b;
  RankedTensorType shape;
  const RegionLeaves &leaves;
  llvm::DenseMap<Value, Value> clones;
};
} // namespace

FailureOr<SmallVector<Value>> applyElementwise(NamingBuilder &b, RankedTensorType shape,
                                               ArrayRef<Value> results, const RegionLeaves &leaves) {
  TileCloner cloner(b, shape, leaves);
  SmallVector<Value> tiles;
  for (Value result : results) {
    FailureOr<Value> tile = cloner.get(result);
    if (failed(tile))
      return failure();
    tiles.push_back(*tile);
  }
  return tiles;
}

} // namespace attune
