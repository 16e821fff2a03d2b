//===- CudaRoles.cpp - roles, barriers, TMA and wgmma in C++ --------------===//
#include "compiler/target/cuda/CudaPrinter.h"

#include "compiler/dialect/Elements.h"

#include "llvm/ADT/TypeSwitch.h"

#include <map>

#include <fmt/format.h>

using namespace mlir;

namespace attune {

/// A role's branches, one after the other: what is asked of the warp's number, and the role.
LogicalResult CudaPrinter::roles(thread::SpecializeOp specialize) {
  line("");
  line("const int warp_of_block = warp_number();");
  auto all = llvm::to_vector(specialize.getRoles().getOps<thread::RoleOp>());
  int64_t threads = blockThreads(), atEntry = 65536 / (threads * int64_t(kernel.getMinBlocks())) / 8 * 8;
  for (auto [i, one] : llvm::enumerate(all)) {
    role = one;
    int64_t first = int64_t(role.getFirstWarp()), count = int64_t(role.getWarps()),
            replicas = int64_t(role.getReplicas());
    std::string name = role.getSymName().str();
    std::string condition = fmt::format("if (warp_of_block < {}) {{", first + count * replicas);
    std::string start = i == 0 ? condition : i + 1 == all.size() ? "} else {" : "} else " + condition;
    line(start + fmt::format(" // {}{}", name,
                             replicas > 1 ? fmt::format(", {} times {} warps", replicas, count) : ""));
    ++depth;
    scopes.emplace_back();
    if (std::optional<uint64_t> registers = role.getRegisters())
      line(fmt::format("{}<{}>();", int64_t(*registers) < atEntry ? "give_registers" : "take_registers",
                       *registers));
    bool alone = role.getFirstWarpOnly();
    if (alone) {
      line(fmt::format("if (warp_of_block == {}) {{", first));
      ++depth;
    }
    replica = replicas > 1 ? unique("replica") : "0";
    if (replicas > 1)
      line(fmt::format("const int {} = (warp_of_block - {}) / {};", replica, first, count));
    leader = unique("leader");
    line(fmt::format("const bool {} = elected();", leader));
    if (failed(block(role.getBody().front())))
      return failure();
    if (alone) {
      --depth;
      line("}");
    }
    scopes.pop_back();
    --depth;
  }
  role = {};
  line("}");
  return mlir::success();
}

std::string CudaPrinter::barrier(Value offset) {
  FailureOr<std::string> place = text(offset, 12);
  return "shared + " + (failed(place) ? std::string() : *place);
}

void CudaPrinter::ring(tile::RingOp op) {
  RankedTensorType slot = op.getType().getSlot();
  std::string name = unique(nameOf(op));
  line(fmt::format("const Ring<{}, {}, {}, {}> {}{{shared + {}, shared + {}}};",
                   infoOf(slot.getElementType()).cudaName, slot.getDimSize(0), slot.getDimSize(1),
                   op.getType().getDepth(), name, op.getOffset().value_or(0), op.getBarriers().value_or(0)));
  known[op.getResult()] = {name, 20, Form::Scalar};
}

void CudaPrinter::initialiseBarriers(tile::BarrierInitOp op) {
  line("");
  line("// Barriers: how many arrivals end a phase.");
  line("if (threadIdx.x == 0) {");
  ++depth;
  // Those of rings by their names, others by where they lie.
  std::map<int64_t, int64_t> counts;
  for (auto [offset, count] : llvm::zip(op.getOffsets(), op.getCounts()))
    counts[offset] = count;
  for (auto made : kernel.getBody().getOps<tile::RingOp>()) {
    int64_t first = int64_t(made.getBarriers().value_or(0)), slots = made.getType().getDepth(),
            releases = int64_t(made.getReleases().value_or(0));
    auto has = [&](int64_t i) {
      auto found = counts.find(first + 8 * i);
      return found != counts.end() && found->second == (i < slots ? 1 : releases);
    };
    int64_t number = (releases ? 2 : 1) * slots;
    auto name = known.find(made.getResult());
    if (name == known.end() || !llvm::all_of(llvm::seq<int64_t>(0, number), has))
      continue;
    for (int64_t i = 0; i != number; ++i)
      counts.erase(first + 8 * i);
    line(fmt::format("{}.init({});", name->second.text, releases));
  }
  for (auto at = counts.begin(); at != counts.end();) {
    auto [first, count] = *at;
    int64_t number = 0;
    for (; at != counts.end() && at->first == first + 8 * number && at->second == count; ++at)
      ++number;
    line(number == 1 ? fmt::format("init_barrier(shared + {}, {});", first, count)
                     : fmt::format("init_barriers<{}>(shared + {}, {});", number, first, count));
  }
  line("fence_barriers();");
  --depth;
  line("}");
  line("block_barrier();");
}

FailureOr<std::string> CudaPrinter::slotCall(Value ring, StringRef function, Value place) {
  FailureOr<std::string> name = text(ring), at = text(place);
  if (failed(name) || failed(at))
    return failure();
  return fmt::format("{}.{}({}", *name, function.str(), *at);
}

LogicalResult CudaPrinter::acquire(tile::SlotAcquireOp op) {
  bool reused = *op.getRing().getDefiningOp<tile::RingOp>().getReleases() != 0;
  FailureOr<std::string> call = slotCall(op.getRing(), reused ? "acquire" : "expect", op.getPlace());
  if (failed(call))
    return failure();
  line(*call + fmt::format(", {});", leader));
  return mlir::success();
}

LogicalResult CudaPrinter::waitForSlot(tile::SlotWaitOp op) {
  FailureOr<std::string> call = slotCall(op.getRing(), "wait", op.getPlace());
  if (failed(call))
    return failure();
  if (op.getTile().use_empty())
    return line(*call + ");"), mlir::success();
  std::string name = unique(nameOf(op));
  line(fmt::format("const auto {} = {});", name, *call));
  known[op.getTile()] = {name, 20, Form::Scalar};
  return mlir::success();
}

LogicalResult CudaPrinter::release(tile::SlotReleaseOp op) {
  FailureOr<std::string> call = slotCall(op.getRing(), "release", op.getPlace());
  if (failed(call))
    return failure();
  line(*call + fmt::format(", {});", leader));
  return mlir::success();
}

LogicalResult CudaPrinter::tmaLoad(tile::TmaLoadOp op) {
  FailureOr<std::string> call = slotCall(op.getRing(), "load", op.getPlace());
  FailureOr<std::string> map = text(op.getMap()), row = text(op.getRow()), head = text(op.getHead()),
                         batch = text(op.getBatch());
  if (failed(call) || failed(map) || failed(row) || failed(head) || failed(batch))
    return failure();
  line(fmt::format("if ({})", leader));
  ++depth;
  line(fmt::format("{}, {}, {}, {}, {});", *call, *map, *row, *head, *batch));
  --depth;
  return mlir::success();
}

LogicalResult CudaPrinter::tmaStore(thread::TmaStoreOp op) {
  FailureOr<std::string> tile =
      smemTile(op.getStaging(), op.getM(), op.getN(), op.getMap().getType().getElementType());
  FailureOr<std::string> map = text(op.getMap()), row = text(op.getRow()), head = text(op.getHead()),
                         batch = text(op.getBatch()), value = full(op.getValue());
  if (failed(tile) || failed(map) || failed(row) || failed(head) || failed(batch) || failed(value))
    return failure();
  line(fmt::format("store_tile_async({}, {}, {}, {}, {}, {}, {});", *map, *row, *head, *batch, *value, *tile,
                   leader));
  return mlir::success();
}

LogicalResult CudaPrinter::namedBarrier(thread::NamedBarrierOp op) {
  FailureOr<std::string> number = text(op.getNumber());
  if (failed(number))
    return failure();
  line(fmt::format("{}<{}>({});", op.getArrive() ? "arrive" : "meet", op.getThreads(), *number));
  return mlir::success();
}

LogicalResult CudaPrinter::storeWord(tile::StoreWordOp op) {
  FailureOr<std::string> value = text(op.getValue());
  if (failed(value))
    return failure();
  line(fmt::format("store_word({}, {}, {});", barrier(op.getOffset()), *value, leader));
  return mlir::success();
}

LogicalResult CudaPrinter::issue(thread::DotIssueOp op) {
  bool fromShared = !isa<VectorType>(op.getA().getType());
  FailureOr<std::string> a =
      fromShared ? smemTile(op.getA(), op.getM(), op.getK(), op.getType()) : full(op.getA());
  FailureOr<std::string> b = op.getTransposed() ? smemTile(op.getB(), op.getN(), op.getK(), op.getType())
                                                : smemTile(op.getB(), op.getK(), op.getN(), op.getType());
  if (failed(a) || failed(b))
    return failure();
  if (fromShared != op.getTransposed() || (!fromShared && !op.getC()))
    return op.emitOpError(
        "expected a b^T of tiles in shared memory, or a b + c with a in registers: target cuda has no "
        "others");
  // The accumulator stays where it is while the product runs.
  int variable = op.getC() ? variableOf(op.getC()) : -1;
  if (variable < 0 || !mayOverwrite(variable, op)) {
    FailureOr<std::string> start = op.getC() ? initialiser(op.getC()) : FailureOr(std::string());
    if (failed(start))
      return failure();
    variable = newVariable(nameOf(op));
    line(fmt::format("{} {}{};", typeText(op.getResult().getType()), variables[size_t(variable)].name,
                     start->empty() ? "" : " = " + *start));
  }
  line(fmt::format("{}({}, {}, {});",
                   !op.getTransposed() ? "issue"
                   : op.getC()         ? "issue_transposed_onto"
                                       : "issue_transposed",
                   variables[size_t(variable)].name, *a, *b));
  bind(op.getResult(), variable);
  return mlir::success();
}

LogicalResult CudaPrinter::waitForDot(thread::DotWaitOp op) {
  int variable = variableOf(op.getValue());
  if (variable < 0)
    return op.emitOpError("expected a product that was issued");
  line(fmt::format("wait<{}>({});", op.getPending(), variables[size_t(variable)].name));
  bind(op.getResult(), variable);
  return mlir::success();
}

/// The instructions of wgmma that the kernel uses, each once.
} // namespace attune
