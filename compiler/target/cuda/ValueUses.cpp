//===- ValueUses.cpp - where values are used ------------------------------===//
#include "compiler/target/cuda/ValueUses.h"

#include "compiler/dialect/thread/Thread.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace attune {

std::string nameFrom(Location loc) {
  auto name = loc->findInstanceOf<NameLoc>();
  if (!name)
    return "";
  std::string text = name.getName().str();
  for (char &c : text)
    if (!llvm::isAlnum(c))
      c = '_';
  // Constants are called c0 or cst where nobody named them.
  bool isDefault =
      StringRef(text).starts_with("cst") || (text.size() > 1 && text[0] == 'c' && llvm::isDigit(text[1]));
  return text.empty() || llvm::isDigit(text[0]) || isDefault ? "" : text;
}

/// Operations that read nothing but their operands, so that they may stand anywhere.
static bool isExpression(Operation *op) {
  return isa_and_nonnull<arith::ArithDialect, math::MathDialect>(op->getDialect()) ||
         isa<vector::BroadcastOp, gpu::BlockIdOp, gpu::GridDimOp, tile::AttemptOp, thread::RowReduceOp,
             thread::RowCombineOp, thread::RowBroadcastOp, thread::RowIndexOp, thread::ColumnIndexOp,
             thread::FirstColumnOp, thread::RampOp, thread::KeepColumnsOp, thread::ToAOpOp, thread::WarpAnyOp,
             thread::ReplicaOp, tile::PlaceOp, tile::NextPlaceOp>(op);
}

bool ValueUses::decide(Operation *op) {
  if (!isExpression(op) || op->getNumResults() != 1)
    return false;
  if (isa<arith::ConstantOp, vector::BroadcastOp, thread::RowBroadcastOp, gpu::BlockIdOp, gpu::GridDimOp,
          tile::AttemptOp, thread::ReplicaOp>(op) ||
      op->use_empty())
    return true;
  Type type = op->getResult(0).getType();
  std::string name = nameFrom(op->getLoc());
  // What a loop makes of an argument is made before it: waits for memory forbid to keep what was loaded.
  auto loopOf = [](Operation *at) { return at->getParentOfType<scf::ForOp>(); };
  bool readsArgument = llvm::any_of(op->getOperands(), [](Value operand) {
    auto argument = dyn_cast<BlockArgument>(operand);
    return argument && isa<thread::KernelOp>(argument.getOwner()->getParentOp());
  });
  if (readsArgument &&
      llvm::any_of(op->getUsers(), [&](Operation *user) { return loopOf(user) != loopOf(op); }))
    return false;
  // Integers without a name are written twice rather than named, but not what is long already.
  auto isLeaf = [&](Value operand) {
    Operation *by = operand.getDefiningOp();
    return !by || isa<arith::ConstantOp>(by) || !isInlined(by);
  };
  if (name.empty() && !isa<VectorType>(type) && (op->hasOneUse() || llvm::all_of(op->getOperands(), isLeaf)))
    return true;
  if (!op->hasOneUse())
    return false;
  Operation *user = *op->user_begin();
  if (user->getBlock() != op->getBlock() || isa<scf::YieldOp>(user))
    return false;
  bool flags = isa<VectorType>(type) && cast<VectorType>(type).getElementType().isInteger(1);
  return name.empty() || flags || isa<thread::ToAOpOp>(op) || name == nameFrom(user->getLoc());
}

bool ValueUses::isInlined(Operation *op) {
  auto [entry, isNew] = inlined.try_emplace(op, false);
  if (isNew) {
    bool decision = decide(op);
    inlined[op] = decision;
    return decision;
  }
  return entry->second;
}

SmallVector<OpOperand *> ValueUses::readers(Value value) {
  SmallVector<OpOperand *> result;
  for (OpOperand &use : value.getUses()) {
    if (isInlined(use.getOwner()))
      llvm::append_range(result, readers(use.getOwner()->getResult(0)));
    else
      result.push_back(&use);
  }
  return result;
}

bool ValueUses::isReadAfter(Value value, Operation *point, llvm::function_ref<bool(OpOperand &)> ignore) {
  Block *home = value.getParentBlock();
  SmallVector<OpOperand *> reads = readers(value);
  for (Operation *at = point;; at = at->getParentOp()) {
    for (OpOperand *read : reads) {
      Operation *reader = at->getBlock()->findAncestorOpInBlock(*read->getOwner());
      if (reader && reader != at && at->isBeforeInBlock(reader) && !ignore(*read))
        return true;
    }
    if (at->getBlock() == home)
      return false;
    // The next iteration reads what was defined before the loop.
    if (isa<scf::ForOp, scf::WhileOp>(at->getParentOp()))
      return true;
  }
}

} // namespace attune
