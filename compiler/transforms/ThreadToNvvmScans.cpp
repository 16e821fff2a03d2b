//===- ThreadToNvvmScans.cpp - scans over numbers, 32 at a time -----------===//
#include "compiler/transforms/ThreadToNvvm.h"

using namespace mlir;

namespace attune {

/// How many times 32 blocks are counted at once: what they load travels together.
static constexpr int64_t kCountedTogether = 4;

LogicalResult ThreadToNvvm::lowerCount(tile::CountBlocksOp op) {
  Value begin = scalar(op.getBegin()), end = scalar(op.getEnd());
  Type i32Type = b.getI32Type();
  Block &body = op.getBody().front();
  // From the end down: lane l asks for blocks top - 1 - l, top - 33 - l, ... Carried: the blocks that are
  // left, and the counts.
  Block *step = func.addBlock(), *exit = func.addBlock();
  step->addArgument(i32Type, loc);
  SmallVector<Value> start = {end};
  for (size_t i = 0; i != op.getNumResults(); ++i) {
    step->addArgument(i32Type, loc);
    exit->addArgument(i32Type, loc);
    start.push_back(i32(0));
  }
  LLVM::CondBrOp::create(b, loc, less(begin, end), step, start, exit, ArrayRef(start).drop_front());

  b.setInsertionPointToEnd(step);
  Value top = step->getArgument(0), lane = band(thread, 31);
  SmallVector<SmallVector<Value>> votes(op.getNumResults());
  for (int64_t group = 0; group != kCountedTogether; ++group) {
    Value mine = LLVM::SubOp::create(b, loc, add(top, -1 - 32 * group), lane);
    // A lane beyond the first block asks for that one, and does not vote.
    Value inside = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::sge, mine, begin);
    values[body.getArgument(0)] = {LLVM::SMaxOp::create(b, loc, i32Type, mine, begin)};
    if (failed(lowerBlock(body)))
      return failure();
    loc = op->getLoc();
    for (auto [i, holds] : llvm::enumerate(body.getTerminator()->getOperands()))
      votes[i].push_back(LLVM::AndOp::create(b, loc, inside, scalar(holds)));
  }
  Value following = add(top, -32 * kCountedTogether);
  SmallVector<Value> next = {following};
  for (auto [i, ofCondition] : llvm::enumerate(votes)) {
    Value count = step->getArgument(unsigned(1 + i));
    for (Value vote : ofCondition) {
      Value bits = NVVM::VoteSyncOp::create(b, loc, i32Type, i32(-1), vote, NVVM::VoteSyncKind::ballot);
      count = add(count, Value(LLVM::CtPopOp::create(b, loc, i32Type, bits)));
    }
    next.push_back(count);
  }
  LLVM::CondBrOp::create(b, loc, less(begin, following), step, next, exit, ArrayRef(next).drop_front());
  b.setInsertionPointToEnd(exit);
  for (auto [result, count] : llvm::zip(op.getResults(), exit->getArguments()))
    values[result] = {count};
  return mlir::success();
}

LogicalResult ThreadToNvvm::lowerLast(tile::LastBlockOp op) {
  Value begin = scalar(op.getBegin()), end = scalar(op.getEnd());
  Type i32Type = b.getI32Type();
  Block &body = op.getBody().front();
  Block *step = func.addBlock(), *exit = func.addBlock();
  step->addArgument(i32Type, loc);
  exit->addArgument(i32Type, loc);
  Value none = add(begin, -1);
  LLVM::CondBrOp::create(b, loc, less(begin, end), step, ValueRange{end}, exit, ValueRange{none});

  b.setInsertionPointToEnd(step);
  Value top = step->getArgument(0);
  Value mine = LLVM::SubOp::create(b, loc, add(top, -1), band(thread, 31));
  Value inside = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::sge, mine, begin);
  values[body.getArgument(0)] = {LLVM::SMaxOp::create(b, loc, i32Type, mine, begin)};
  if (failed(lowerBlock(body)))
    return failure();
  loc = op->getLoc();
  Value vote = LLVM::AndOp::create(b, loc, inside, scalar(body.getTerminator()->getOperand(0)));
  Value bits = NVVM::VoteSyncOp::create(b, loc, i32Type, i32(-1), vote, NVVM::VoteSyncKind::ballot);
  Value isFound = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::ne, bits, i32(0));
  Value first = LLVM::CountTrailingZerosOp::create(b, loc, i32Type, bits, /*is_zero_poison=*/false);
  Value answer =
      LLVM::SelectOp::create(b, loc, isFound, Value(LLVM::SubOp::create(b, loc, add(top, -1), first)), none);
  Value following = add(top, -32);
  Value missing = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::eq, bits, i32(0));
  Value more = LLVM::AndOp::create(b, loc, less(begin, following), missing);
  LLVM::CondBrOp::create(b, loc, more, step, ValueRange{following}, exit, ValueRange{answer});
  b.setInsertionPointToEnd(exit);
  values[op.getResult()] = {exit->getArgument(0)};
  return mlir::success();
}

LogicalResult ThreadToNvvm::lowerExtreme(Operation *op, Region &body, Value beginValue, Value endValue) {
  bool isLeast = isa<tile::LeastOp>(op);
  Value begin = scalar(beginValue), end = scalar(endValue);
  Type i32Type = b.getI32Type();
  // Carried: the first number of these 32, and what the lane has found.
  Block *step = func.addBlock(), *exit = func.addBlock();
  for (int i = 0; i < 2; ++i)
    step->addArgument(i32Type, loc);
  exit->addArgument(i32Type, loc);
  Value none = i32(isLeast ? INT32_MAX : INT32_MIN);
  LLVM::CondBrOp::create(b, loc, less(begin, end), step, ValueRange{begin, none}, exit, ValueRange{none});

  b.setInsertionPointToEnd(step);
  Value first = step->getArgument(0);
  // A lane beyond the last number takes that one, which changes nothing.
  values[body.front().getArgument(0)] = {
      LLVM::SMinOp::create(b, loc, i32Type, add(first, band(thread, 31)), add(end, -1))};
  if (failed(lowerBlock(body.front())))
    return failure();
  loc = op->getLoc();
  Value made = scalar(body.front().getTerminator()->getOperand(0));
  Value found = isLeast ? Value(LLVM::SMinOp::create(b, loc, i32Type, step->getArgument(1), made))
                        : Value(LLVM::SMaxOp::create(b, loc, i32Type, step->getArgument(1), made));
  Value following = add(first, 32);
  LLVM::CondBrOp::create(b, loc, less(following, end), step, ValueRange{following, found}, exit,
                         ValueRange{found});
  b.setInsertionPointToEnd(exit);
  values[op->getResult(0)] = {NVVM::ReduxOp::create(
      b, loc, i32Type, exit->getArgument(0), isLeast ? NVVM::ReduxKind::MIN : NVVM::ReduxKind::MAX, i32(-1))};
  return mlir::success();
}

} // namespace attune
