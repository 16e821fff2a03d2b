//===- CudaScans.cpp - scans over numbers, 32 at a time -------------------===//
#include "compiler/target/cuda/CudaPrinter.h"

#include <fmt/format.h>

using namespace mlir;

namespace attune {

LogicalResult CudaPrinter::scan(Operation *op, Region &condition, Value beginValue, Value endValue) {
  bool counts = isa<tile::CountBlocksOp>(op);
  FailureOr<std::string> begin = text(beginValue, 12), end = text(endValue, 12);
  if (failed(begin) || failed(end))
    return failure();
  std::string name = nameFrom(op->getLoc());
  std::string result = unique(name.empty() ? "found" : name), top = unique("top"), block = unique("block");
  line(fmt::format("int {} = {};", result, counts ? "0" : *begin + " - 1"));
  line(fmt::format("for (int {0} = {1}; {0} > {2}; {0} -= 32) {{", top, *end, *begin));
  scopes.emplace_back();
  ++depth;
  comment("each lane asks for a block");
  std::string mine = unique("mine");
  line(fmt::format("const int {} = {} - 1 - int(lane());", mine, top));
  line(fmt::format("const int {} = larger({}, {});", block, mine, *begin));
  known[condition.front().getArgument(0)] = {block, 20, Form::Scalar};
  if (failed(this->block(condition.front())))
    return failure();
  FailureOr<std::string> holds = text(cast<tile::YieldOp>(condition.front().getTerminator()).getValue(), 7);
  if (failed(holds))
    return failure();
  std::string bits = unique("bits");
  line(fmt::format("const uint32 {} = __ballot_sync(0xffffffffu, {} >= {} && {});", bits, mine, *begin,
                   *holds));
  if (counts) {
    line(fmt::format("{} += __popc({});", result, bits));
  } else {
    line(fmt::format("if ({}) {{", bits));
    line(fmt::format("  {} = {} - __ffs(int({}));", result, top, bits));
    line("  break;");
    line("}");
  }
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
  FailureOr<std::string> made = text(cast<tile::YieldOp>(body.front().getTerminator()).getValue());
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
