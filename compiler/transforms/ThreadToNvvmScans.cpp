//===- ThreadToNvvmScans.cpp - scans over numbers, 32 at a time -----------===//
#include "compiler/transforms/ThreadToNvvm.h"

using namespace mlir;

namespace attune {

LogicalResult ThreadToNvvm::lowerScan(Operation *op, Region &condition, Value beginValue, Value endValue) {
  bool counts = isa<tile::CountBlocksOp>(op);
  Value begin = scalar(beginValue), end = scalar(endValue);
  Type i32Type = b.getI32Type();
  // From the end down: lane l asks for block top - 1 - l. Carried: the blocks that are left, and the answer.
  Block *step = func.addBlock(), *exit = func.addBlock();
  for (int i = 0; i < 2; ++i)
    step->addArgument(i32Type, loc);
  exit->addArgument(i32Type, loc);
  Value none = counts ? i32(0) : add(begin, -1);
  LLVM::CondBrOp::create(b, loc, less(begin, end), step, ValueRange{end, none}, exit, ValueRange{none});

  b.setInsertionPointToEnd(step);
  Value top = step->getArgument(0), answer = step->getArgument(1);
  Value lane = band(thread, 31);
  Value mine = LLVM::SubOp::create(b, loc, add(top, -1), lane);
  // A lane beyond the first block asks for that one, and does not vote.
  Value inside = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::sge, mine, begin);
  values[condition.front().getArgument(0)] = {LLVM::SMaxOp::create(b, loc, i32Type, mine, begin)};
  if (failed(lowerBlock(condition.front())))
    return failure();
  loc = op->getLoc();
  Value holds = scalar(cast<tile::YieldOp>(condition.front().getTerminator()).getValue());
  Value vote = LLVM::AndOp::create(b, loc, inside, holds);
  Value bits = NVVM::VoteSyncOp::create(b, loc, i32Type, i32(-1), vote, NVVM::VoteSyncKind::ballot);
  Value following = add(top, -32), more = less(begin, following);
  if (counts) {
    answer = add(answer, Value(LLVM::CtPopOp::create(b, loc, i32Type, bits)));
  } else {
    Value isFound = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::ne, bits, i32(0));
    Value first = LLVM::CountTrailingZerosOp::create(b, loc, i32Type, bits, /*is_zero_poison=*/false);
    Value block = LLVM::SubOp::create(b, loc, add(top, -1), first);
    answer = LLVM::SelectOp::create(b, loc, isFound, block, answer);
    Value missing = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::eq, bits, i32(0));
    more = LLVM::AndOp::create(b, loc, more, missing);
  }
  LLVM::CondBrOp::create(b, loc, more, step, ValueRange{following, answer}, exit, ValueRange{answer});
  b.setInsertionPointToEnd(exit);
  values[op->getResult(0)] = {exit->getArgument(0)};
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
  Value made = scalar(cast<tile::YieldOp>(body.front().getTerminator()).getValue());
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
