//===- MaskBounds.cpp - which keys a mask keeps, as bounds ----------------===//
#include "compiler/schedule/MaskBounds.h"

#include "compiler/dialect/attn/Attn.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune {

static LinearIndex combine(const LinearIndex &a, const LinearIndex &b, int64_t sign) {
  LinearIndex sum{a.q + sign * b.q,
                  a.kv + sign * b.kv,
                  a.lengthQ + sign * b.lengthQ,
                  a.lengthKv + sign * b.lengthKv,
                  a.constant + sign * b.constant,
                  a.scalars};
  for (auto [name, factor] : b.scalars) {
    auto known = llvm::find_if(sum.scalars, [&](const auto &one) { return one.first == name; });
    if (known == sum.scalars.end())
      sum.scalars.emplace_back(name, sign * factor);
    else
      known->second += sign * factor;
  }
  return sum;
}

std::optional<LinearIndex> linearIndex(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    // Of a region's arguments, q and kv are the last.
    unsigned fromEnd = argument.getOwner()->getNumArguments() - argument.getArgNumber();
    if (fromEnd == 2)
      return LinearIndex{.q = 1};
    if (fromEnd == 1)
      return LinearIndex{.kv = 1};
    return std::nullopt;
  }
  APInt constant;
  if (matchPattern(value, m_ConstantInt(&constant)))
    return LinearIndex{.constant = constant.getSExtValue()};
  Operation *op = value.getDefiningOp();
  if (auto length = dyn_cast<attn::LengthOp>(op))
    return length.getAxis() == attn::Axis::Q ? LinearIndex{.lengthQ = 1} : LinearIndex{.lengthKv = 1};
  if (auto scalar = dyn_cast<attn::ScalarOp>(op))
    return LinearIndex{.scalars = {{scalar.getName(), 1}}};
  if (isa<arith::IndexCastOp>(op))
    return linearIndex(op->getOperand(0));
  if (!isa<arith::AddIOp, arith::SubIOp>(op))
    return std::nullopt;
  auto left = linearIndex(op->getOperand(0)), right = linearIndex(op->getOperand(1));
  if (!left || !right)
    return std::nullopt;
  return combine(*left, *right, isa<arith::AddIOp>(op) ? 1 : -1);
}

/// The predicate that holds for (b, a) where `predicate` holds for (a, b).
static arith::CmpIPredicate swapSides(arith::CmpIPredicate predicate) {
  switch (predicate) {
  case arith::CmpIPredicate::sle:
    return arith::CmpIPredicate::sge;
  case arith::CmpIPredicate::slt:
    return arith::CmpIPredicate::sgt;
  case arith::CmpIPredicate::sge:
    return arith::CmpIPredicate::sle;
  case arith::CmpIPredicate::sgt:
    return arith::CmpIPredicate::slt;
  default:
    return predicate; // equality, and the unsigned ones, which are not read as bounds
  }
}

/// Adds what `keep` says to `bounds`.
static void read(Value keep, MaskBounds &bounds) {
  if (auto both = keep.getDefiningOp<arith::AndIOp>()) {
    read(both.getLhs(), bounds);
    read(both.getRhs(), bounds);
    return;
  }
  if (matchPattern(keep, m_One()))
    return;
  auto compare = keep.getDefiningOp<arith::CmpIOp>();
  std::optional<LinearIndex> left, right;
  if (compare) {
    left = linearIndex(compare.getLhs());
    right = linearIndex(compare.getRhs());
  }
  if (!left || !right || std::abs(left->kv - right->kv) != 1)
    return bounds.residual.push_back(keep);

  // Bring it to the form kv `predicate` limit; where kv stands on the right, the sides change places.
  arith::CmpIPredicate predicate = compare.getPredicate();
  LinearIndex limit = combine(*right, *left, -1);
  if (limit.kv == 1) {
    limit = combine({}, limit, -1);
    predicate = swapSides(predicate);
  }
  limit.kv = 0;
  if (limit.q != 0 && limit.q != 1)
    return bounds.residual.push_back(keep);
  switch (predicate) {
  case arith::CmpIPredicate::slt:
    --limit.constant;
    [[fallthrough]];
  case arith::CmpIPredicate::sle:
    return bounds.last.push_back(limit);
  case arith::CmpIPredicate::sgt:
    ++limit.constant;
    [[fallthrough]];
  case arith::CmpIPredicate::sge:
    return bounds.first.push_back(limit);
  default:
    return bounds.residual.push_back(keep);
  }
}

MaskBounds analyseMask(Region &mask) {
  MaskBounds bounds;
  read(cast<attn::YieldOp>(mask.front().getTerminator()).getValue(), bounds);
  return bounds;
}

} // namespace attune
