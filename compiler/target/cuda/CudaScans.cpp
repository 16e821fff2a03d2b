//===- CudaScans.cpp - scans over numbers, 32 at a time -------------------===//
#include "compiler/target/cuda/CudaPrinter.h"

#include <fmt/format.h>

using namespace mlir;

namespace attune {

/// How many times 32 blocks are counted at once: what they load travels together.
static constexpr int kCountedTogether = 4;

/// Defines the lane's block below `top`, and what the body makes of it.
FailureOr<std::string> CudaPrinter::asked(Block &body, const std::string &top, int below,
                                          const std::string &begin) {
  std::string mine = unique("mine"), number = unique("block");
  line(fmt::format("const int {} = {} - {} - int(lane());", mine, top, 1 + below));
  line(fmt::format("const int {} = larger({}, {});", number, mine, begin));
  known[body.getArgument(0)] = {number, 20, Form::Scalar};
  if (failed(block(body)))
    return failure();
  return mine;
}

LogicalResult CudaPrinter::count(tile::CountBlocksOp op) {
  FailureOr<std::string> begin = text(op.getBegin(), 12), end = text(op.getEnd(), 12);
  if (failed(begin) || failed(end))
    return failure();
  SmallVector<std::string> results;
  for (Value result : op.getResults()) {
    std::string name = nameFrom(result.getLoc());
    results.push_back(unique(name.empty() ? "found" : name));
    line(fmt::format("int {} = 0;", results.back()));
    known[result] = {results.back(), 20, Form::Scalar};
  }
  std::string top = unique("top");
  line(
      fmt::format("for (int {0} = {1}; {0} > {2}; {0} -= {3}) {{", top, *end, *begin, 32 * kCountedTogether));
  scopes.emplace_back();
  ++depth;
  comment("each lane asks for some blocks");
  SmallVector<std::pair<std::string, std::string>> votes; // the count, and whether the lane's block counts
  for (int group = 0; group != kCountedTogether; ++group) {
    FailureOr<std::string> mine = asked(op.getBody().front(), top, 32 * group, *begin);
    if (failed(mine))
      return failure();
    for (auto [result, value] : llvm::zip(results, op.getBody().front().getTerminator()->getOperands())) {
      FailureOr<std::string> holds = text(value, 7);
      if (failed(holds))
        return failure();
      votes.push_back({result, unique("holds")});
      line(fmt::format("const bool {} = {} >= {} && {};", votes.back().second, *mine, *begin, *holds));
    }
  }
  for (const auto &[result, holds] : votes)
    line(fmt::format("{} += __popc(__ballot_sync(0xffffffffu, {}));", result, holds));
  --depth;
  scopes.pop_back();
  line("}");
  return mlir::success();
}

LogicalResult CudaPrinter::last(tile::LastBlockOp op) {
  FailureOr<std::string> begin = text(op.getBegin(), 12), end = text(op.getEnd(), 12);
  if (failed(begin) || failed(end))
    return failure();
  std::string name = nameFrom(op->getLoc());
  std::string result = unique(name.empty() ? "found" : name), top = unique("top");
  line(fmt::format("int {} = {} - 1;", result, *begin));
  line(fmt::format("for (int {0} = {1}; {0} > {2}; {0} -= 32) {{", top, *end, *begin));
  scopes.emplace_back();
  ++depth;
  comment("each lane asks for a block");
  FailureOr<std::string> mine = asked(op.getBody().front(), top, 0, *begin);
  if (failed(mine))
    return failure();
  FailureOr<std::string> holds = text(op.getBody().front().getTerminator()->getOperand(0), 7);
  if (failed(holds))
    return failure();
  std::string bits = unique("bits");
  line(fmt::format("const uint32 {} = __ballot_sync(0xffffffffu, {} >= {} && {});", bits, *mine, *begin,
                   *holds));
  line(fmt::format("if ({}) {{", bits));
  line(fmt::format("  {} = {} - __ffs(int({}));", result, top, bits));
  line("  break;");
  line("}");
  --depth;
  scopes.pop_back();
  line("}");
  known[op->getResult(0)] = {result, 20, Form::Scalar};
  return mlir::success();
}

LogicalResult CudaPrinter::extreme(Operation *op, Region &body, Value beginValue, Value endValue) {
  bool isLeast = isa<tile::LeastOp>(op);
  FailureOr<std::string> begin = text(beginValue, 12), end = text(endValue, 12);
  if (failed(begin) || failed(end))
    return failure();
  std::string name = nameFrom(op->getLoc());
  std::string result = unique(name.empty() ? "found" : name), first = unique("first"), mine = unique("mine");
  const char *combine = isLeast ? "smaller" : "larger";
  line(fmt::format("int {} = {};", result, isLeast ? "0x7fffffff" : "-0x7fffffff - 1"));
  line(fmt::format("for (int {0} = {1}; {0} < {2}; {0} += 32) {{", first, *begin, *end));
  scopes.emplace_back();
  ++depth;
  comment("each lane takes a number");
  line(fmt::format("const int {} = smaller({} + int(lane()), {} - 1);", mine, first, *end));
  known[body.front().getArgument(0)] = {mine, 20, Form::Scalar};
  if (failed(block(body.front())))
    return failure();
  FailureOr<std::string> made = text(body.front().getTerminator()->getOperand(0));
  if (failed(made))
    return failure();
  line(fmt::format("{0} = {1}({0}, {2});", result, combine, *made));
  --depth;
  scopes.pop_back();
  line("}");
  line(fmt::format("{0} = __reduce_{1}_sync(0xffffffffu, {0});", result, isLeast ? "min" : "max"));
  known[op->getResult(0)] = {result, 20, Form::Scalar};
  return mlir::success();
}

LogicalResult CudaPrinter::storeEntry(tile::StoreEntryOp op) {
  FailureOr<std::string> value = text(op.getValue()), index = text(op.getIndex());
  if (failed(value) || failed(index))
    return failure();
  line(fmt::format("store_entry(params.{}, {}, {});", argumentName(op.getWorkspace()).str(), *index, *value));
  return mlir::success();
}

} // namespace attune
