//===- Strand.cpp - control flow of a role --------------------------------===//
#include "tests/oracle/Strand.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace attune::oracle {

Strand::Next Strand::fail(Operation *op, const std::string &what) {
  llvm::raw_string_ostream text(message);
  Location place = op->getLoc();
  if (auto where = place->findInstanceOf<FileLineColLoc>())
    text << where.getFilename().getValue() << ":" << where.getLine() << ":" << where.getColumn() << ": ";
  text << "error: '" << op->getName() << "' " << what;
  return Next::Fail;
}

Strand::State Strand::run(bool &moved) {
  while (!frames.empty()) {
    size_t depth = frames.size() - 1;
    if (frames[depth].at == frames[depth].block->end()) {
      frames.pop_back(); // a block without a terminator
      continue;
    }
    Operation *op = &*frames[depth].at;
    if (isa<tile::SpecializeOp>(op))
      return State::Specialize;
    switch (step(op)) {
    case Next::Following:
      ++frames[depth].at;
      break;
    case Next::Elsewhere:
      break;
    case Next::Stay:
      return State::Waiting;
    case Next::Fail:
      return State::Failed;
    case Next::Again:
      return State::Again;
    }
    moved = true;
  }
  return State::Done;
}

Strand::Next Strand::step(Operation *op) {
  if (op->hasTrait<OpTrait::IsTerminator>())
    return leave(op);
  if (isa<tile::CountBlocksOp, tile::LastBlockOp, tile::LeastOp, tile::LargestOp>(
          op)) // with a body of numbers
    return memory(op);
  if (op->getNumRegions() != 0)
    return enter(op);
  bool apart = llvm::any_of(
      frames, [](const Frame &frame) { return frame.kind == Frame::Then || frame.kind == Frame::Else; });
  if (apart && !isMemoryEffectFree(op))
    return fail(op, "does more than compute where warps have gone apart");
  StringRef dialect = op->getName().getDialectNamespace();
  if (dialect != "arith" && dialect != "math")
    return memory(op);
  llvm::SmallVector<Words, 3> operands;
  for (Value operand : op->getOperands())
    operands.push_back(words(operand));
  std::optional<Words> result = evaluate(op, operands, warps);
  return result ? give(op->getResult(0), std::move(*result)) : fail(op, "has no meaning here");
}

std::optional<uint32_t> Strand::uniform(Value value) const {
  const Words &scalar = words(value);
  if (scalar.spread() != Words::One)
    return std::nullopt;
  return scalar[0];
}

//===----------------------------------------------------------------------===//
// Loops and branches
//===----------------------------------------------------------------------===//

Strand::Next Strand::enter(Operation *op) {
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return enterFor(loop);
  if (auto branch = dyn_cast<scf::IfOp>(op))
    return enterIf(branch);
  auto loop = dyn_cast<scf::WhileOp>(op);
  if (!loop)
    return fail(op, "has no meaning here");
  ++frames.back().at;
  for (auto [argument, init] : llvm::zip(loop.getBeforeArguments(), loop.getInits()))
    values[argument] = Datum(values.find(init)->second);
  Block *before = loop.getBeforeBody();
  frames.push_back({Frame::Before, before, before->begin(), op});
  return Next::Elsewhere;
}

Strand::Next Strand::enterFor(scf::ForOp loop) {
  std::optional<uint32_t> from = uniform(loop.getLowerBound()), to = uniform(loop.getUpperBound()),
                          by = uniform(loop.getStep());
  if (!from || !to || !by)
    return fail(loop, "expected bounds that all warps agree on");
  if (int32_t(*by) <= 0)
    return fail(loop, "expected a step above 0, got " + std::to_string(int32_t(*by)));
  ++frames.back().at;
  bool runs = int32_t(*from) < int32_t(*to);
  ValueRange into = runs ? ValueRange(loop.getRegionIterArgs()) : ValueRange(loop.getResults());
  for (auto [value, init] : llvm::zip(into, loop.getInitArgs()))
    values[value] = Datum(values.find(init)->second);
  if (!runs)
    return Next::Elsewhere;
  values[loop.getInductionVar()] = Words(*from);
  frames.push_back({Frame::For, loop.getBody(), loop.getBody()->begin(), loop, *from});
  return Next::Elsewhere;
}

Strand::Next Strand::enterIf(scf::IfOp branch) {
  const Words &condition = words(branch.getCondition());
  bool apart = condition.spread() == Words::Warps;
  ++frames.back().at;
  bool first = apart || condition[0];
  Region &region = first ? branch.getThenRegion() : branch.getElseRegion();
  if (region.empty())
    return Next::Elsewhere;
  Frame frame{apart ? Frame::Then : Frame::If, &region.front(), region.front().begin(), branch};
  if (apart)
    frame.takes = condition.expanded(branch.getCondition().getType(), warps);
  frames.push_back(std::move(frame));
  return Next::Elsewhere;
}

Strand::Next Strand::leave(Operation *terminator) {
  Frame &frame = frames.back();
  Operation *owner = frame.owner;
  auto given = [&](OperandRange operands) {
    llvm::SmallVector<Datum> data;
    for (Value operand : operands)
      data.push_back(values.find(operand)->second);
    return data;
  };
  auto bind = [&](ValueRange to, llvm::SmallVector<Datum> data) {
    for (auto [value, datum] : llvm::zip(to, data))
      values[value] = std::move(datum);
  };
  switch (frame.kind) {
  case Frame::Body:
    return fail(terminator, "has no meaning here");
  case Frame::For: {
    auto loop = cast<scf::ForOp>(owner);
    int64_t next = int64_t(int32_t(frame.index)) + whole(loop.getStep());
    bool more = next < whole(loop.getUpperBound());
    bind(more ? ValueRange(loop.getRegionIterArgs()) : ValueRange(loop.getResults()),
         given(terminator->getOperands()));
    if (!more) {
      frames.pop_back();
      return Next::Elsewhere;
    }
    frame.index = uint32_t(next);
    frame.at = frame.block->begin();
    values[loop.getInductionVar()] = Words(frame.index);
    return Next::Elsewhere;
  }
  case Frame::If:
    bind(owner->getResults(), given(terminator->getOperands()));
    frames.pop_back();
    return Next::Elsewhere;
  case Frame::Then: {
    auto branch = cast<scf::IfOp>(owner);
    if (branch.getElseRegion().empty()) {
      frames.pop_back();
      return Next::Elsewhere;
    }
    frame.fromThen = given(terminator->getOperands());
    frame.kind = Frame::Else;
    frame.block = &branch.getElseRegion().front();
    frame.at = frame.block->begin();
    return Next::Elsewhere;
  }
  case Frame::Else: {
    llvm::SmallVector<Datum> otherwise = given(terminator->getOperands());
    for (auto [result, yes, no] : llvm::zip(owner->getResults(), frame.fromThen, otherwise))
      values[result] = merged(result.getType(), frame.takes, yes, no);
    frames.pop_back();
    return Next::Elsewhere;
  }
  case Frame::Before: {
    auto loop = cast<scf::WhileOp>(owner);
    auto condition = cast<scf::ConditionOp>(terminator);
    std::optional<uint32_t> more = uniform(condition.getCondition());
    if (!more)
      return fail(terminator, "expected a condition that all warps agree on");
    bind(*more ? ValueRange(loop.getAfterArguments()) : ValueRange(loop.getResults()),
         given(condition.getArgs()));
    if (!*more) {
      frames.pop_back();
      return Next::Elsewhere;
    }
    frame.kind = Frame::After;
    frame.block = loop.getAfterBody();
    frame.at = frame.block->begin();
    return Next::Elsewhere;
  }
  case Frame::After: {
    auto loop = cast<scf::WhileOp>(owner);
    bind(loop.getBeforeArguments(), given(terminator->getOperands()));
    frame.kind = Frame::Before;
    frame.block = loop.getBeforeBody();
    frame.at = frame.block->begin();
    return Next::Elsewhere;
  }
  }
  return Next::Fail;
}

Datum Strand::merged(Type type, const std::vector<uint32_t> &takes, const Datum &yes, const Datum &no) const {
  // Branches that only compute give numbers, or both the same handle.
  const Words *a = std::get_if<Words>(&yes), *b = std::get_if<Words>(&no);
  if (!a || !b)
    return yes;
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor) {
    std::vector<uint32_t> ofWarps(takes.size());
    for (size_t warp = 0; warp != takes.size(); ++warp)
      ofWarps[warp] = takes[warp] ? (*a)[warp] : (*b)[warp];
    return Words::ofWarps(std::move(ofWarps));
  }
  if (a->data() == b->data())
    return yes;
  std::vector<uint32_t> result = a->expanded(type, warps), other = b->expanded(type, warps);
  int64_t rows = tensor.getDimSize(0), each = int64_t(result.size()) / rows;
  for (int64_t row = 0; row != rows; ++row)
    if (!takes[size_t(warpOfRow(row, warps))])
      std::copy_n(other.begin() + row * each, each, result.begin() + row * each);
  return Words(tensor.getRank() == 1 ? Words::Rows : Words::Tile, std::move(result));
}

} // namespace attune::oracle
