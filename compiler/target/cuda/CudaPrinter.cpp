//===- CudaPrinter.cpp - statements and variables of C++ ------------------===//
#include "compiler/target/cuda/CudaPrinter.h"

#include "compiler/dialect/Elements.h"
#include "compiler/ir/ScheduleAttr.h"

#include "llvm/ADT/TypeSwitch.h"

#include <fmt/format.h>

using namespace mlir;

namespace attune {

CudaPrinter::CudaPrinter(thread::KernelOp kernel)
    : kernel(kernel), warps(int64_t(kernel.getWarps().value_or(0))), arguments(tile::argumentsOf(kernel)) {}

void CudaPrinter::line(const llvm::Twine &text) {
  std::string rest = text.str();
  std::string indent(size_t(depth) * 2, ' ');
  // Long statements break after a comma, as far to the right as fits.
  for (constexpr size_t width = 116; !rest.empty();) {
    size_t end = rest.size();
    if (indent.size() + end > width)
      if (size_t comma = rest.rfind(", ", width - indent.size());
          comma != std::string::npos && !StringRef(rest).starts_with("//"))
        end = comma + 1;
    out += indent + rest.substr(0, end);
    rest = StringRef(rest).drop_front(end).ltrim().str();
    if (!rest.empty())
      out += '\n';
    if (indent.size() == size_t(depth) * 2)
      indent += "    ";
  }
  out += '\n';
}

void CudaPrinter::comment(StringRef note) {
  // One line, whatever the note of an edited file holds.
  std::string text = note.trim().str();
  if (text.empty())
    return;
  std::replace_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r' || c == '\\'; }, ' ');
  text[0] = char(toupper(text[0]));
  line("// " + text + (text.back() == '.' ? "" : "."));
}

/// A blank line and a comment before the first statement of each part of the kernel. Parts follow each other;
/// what comes back to an earlier one stays where it is.
void CudaPrinter::section(Part part) {
  static const char *const comments[] = {
      "",
      "Which queries, head and batch entry this block owns.",
      "The matrices of this head.",
      "Which blocks of keys to visit, and which keys each row sees.",
      "Shared memory.",
      "The first tiles travel.",
      "The output, and for each row its reference maximum, the score that moves it, and its sum.",
      "Divide by the sums, and store."};
  if (depth != 1 || part <= current)
    return;
  if (current != Part::None)
    line("");
  current = part;
  line(llvm::Twine("// ") + comments[int(part)]);
}

//===----------------------------------------------------------------------===//
// Statements
//===----------------------------------------------------------------------===//

/// An operation whose single result gets a name: the variable that it ends up in, or a constant.
LogicalResult CudaPrinter::define(Operation *op) {
  Value result = op->getResult(0);
  if (op->use_empty())
    return mlir::success();
  if (auto found = wanted.find(result); found != wanted.end() && mayOverwrite(found->second, op)) {
    FailureOr<std::string> value = initialiser(result);
    if (failed(value))
      return failure();
    line(variables[size_t(found->second)].name + " = " + *value + ";");
    bind(result, found->second);
    return mlir::success();
  }
  FailureOr<Expression> value = compute(op);
  if (failed(value))
    return failure();
  std::string name = nameOf(op);
  // An offset that is not a tile by itself, but what the offsets of several are made of.
  if (!tileAt.contains(result) && result.getType().isInteger(32) &&
      (StringRef(name).ends_with("_tile") || StringRef(name).ends_with("_slot")))
    name += "_offset";
  name = unique(name);
  if (auto tile = tileAt.find(result); tile != tileAt.end()) {
    line(fmt::format("const {} {}{{shared + {}}};",
                     tileType(tile->second.rows, tile->second.cols, tile->second.element), name,
                     value->text));
  } else {
    Type element = getElementTypeOrSelf(result.getType());
    bool spelled =
        value->form == formOf(result.getType()) && (!isa<VectorType>(result.getType()) || element.isF32());
    line(fmt::format("const {} {} = {};", spelled ? typeText(result.getType()) : "auto", name, value->text));
  }
  known[result] = {name, 20, value->form};
  return mlir::success();
}

LogicalResult CudaPrinter::asyncCopy(thread::AsyncCopyOp op) {
  FailureOr<std::string> tile =
      smemTile(op.getOffset(), op.getRows(), op.getCols(), op.getView().getType().getElementType());
  FailureOr<std::string> from = text(op.getView()), row = text(op.getRow());
  if (failed(tile) || failed(from) || failed(row))
    return failure();
  std::string copy = fmt::format("{}<kThreads>({}, {}, {});",
                                 op.getBounded() ? "copy_tile_or_zeros" : "copy_tile", *tile, *from, *row);
  if (!op.getCondition())
    return line(copy), mlir::success();
  FailureOr<std::string> condition = text(op.getCondition());
  if (failed(condition))
    return failure();
  line("if (" + *condition + ")");
  ++depth;
  line(copy);
  --depth;
  return mlir::success();
}

void CudaPrinter::view(tile::ViewOp op) {
  section(Part::Views);
  std::string array = argumentName(op.getArray()).str();
  std::string given = nameFrom(op.getLoc());
  std::string name = unique(given.empty() ? StringRef(array).upper() : given);
  std::string what =
      fmt::format("{}, {}", infoOf(op.getType().getElementType()).cudaName, op.getType().getCols());
  std::string indices;
  for (Value index : op.getIndices())
    indices += *text(index) + ", ";
  line(fmt::format("const View<{0}> {1} = view<{0}>(params.{2}, {3}{4});", what, name, array, indices,
                   *text(op.getRows())));
  known[op.getResult()] = {name, 20, Form::Scalar};
}

LogicalResult CudaPrinter::statement(Operation *op) {
  if (uses.isInlined(op))
    return mlir::success();
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](scf::ForOp loop) { return forLoop(loop); })
      .Case([&](scf::IfOp branch) { return ifElse(branch); })
      .Case([&](scf::WhileOp loop) { return whileLoop(loop); })
      .Case([&](thread::SpecializeOp x) { return roles(x); })
      .Case([&](tile::BarrierInitOp x) { return initialiseBarriers(x), mlir::success(); })
      .Case([&](tile::BarrierWaitOp x) -> LogicalResult {
        FailureOr<std::string> parity = text(x.getParity());
        if (failed(parity))
          return failure();
        return line(fmt::format("wait_barrier({}, {});", barrier(x.getBarrier()), *parity)), mlir::success();
      })
      .Case([&](tile::BarrierArriveOp x) {
        return line(fmt::format("arrive_barrier({}, {});", barrier(x.getBarrier()), leader)), mlir::success();
      })
      .Case([&](tile::RingOp x) { return ring(x), mlir::success(); })
      .Case([&](tile::SlotAcquireOp x) { return acquire(x); })
      .Case([&](tile::SlotWaitOp x) { return waitForSlot(x); })
      .Case([&](tile::SlotReleaseOp x) { return release(x); })
      .Case([&](tile::TmaLoadOp x) { return tmaLoad(x); })
      .Case([&](thread::TmaStoreOp x) { return tmaStore(x); })
      .Case([&](tile::StoreWaitOp x) {
        return line(x.getWritten() ? "store_done();" : "store_wait();"), mlir::success();
      })
      .Case([&](thread::NamedBarrierOp x) { return namedBarrier(x); })
      .Case([&](tile::StoreWordOp x) { return storeWord(x); })
      .Case([&](thread::DotIssueOp x) { return issue(x); })
      .Case([&](thread::DotWaitOp x) { return waitForDot(x); })
      .Case([&](tile::CountBlocksOp x) { return count(x); })
      .Case([&](tile::LastBlockOp x) { return last(x); })
      .Case([&](tile::LeastOp x) { return extreme(x, x.getBody(), x.getBegin(), x.getEnd()); })
      .Case([&](tile::LargestOp x) { return extreme(x, x.getBody(), x.getBegin(), x.getEnd()); })
      .Case([&](tile::StoreEntryOp x) { return storeEntry(x); })
      .Case([&](tile::ViewOp x) { return view(x), mlir::success(); })
      .Case([&](gpu::BarrierOp) { return line("block_barrier();"), mlir::success(); })
      .Case([&](tile::CommitGroupOp) { return line("commit_copies();"), mlir::success(); })
      .Case([&](tile::WaitGroupOp wait) {
        return line(fmt::format("wait_copies<{}>();", wait.getPending())), mlir::success();
      })
      .Case([&](thread::AsyncCopyOp copy) {
        section(Part::Copies);
        return asyncCopy(copy);
      })
      .Case([&](thread::StoreOp store) -> LogicalResult {
        FailureOr<std::string> to = text(store.getView()), row = text(store.getRow()),
                               value = full(store.getValue()),
                               staging = smemTile(store.getStaging(), store.getM(), store.getN(),
                                                  store.getView().getType().getElementType());
        if (failed(to) || failed(row) || failed(value) || failed(staging))
          return failure();
        std::string threads;
        if (store.getMeet()) {
          FailureOr<std::string> number = text(store.getMeet());
          if (failed(number))
            return failure();
          threads = fmt::format(", Replica<{}>{{{}}}", 32 * warps, *number);
        }
        line(fmt::format("store_tile({}, {}, {}, {}{});", *to, *row, *value, *staging, threads));
        return mlir::success();
      })
      .Case([&](thread::StoreRowsOp store) -> LogicalResult {
        FailureOr<std::string> to = text(store.getView()), row = text(store.getRow()),
                               value = full(store.getValue());
        if (failed(to) || failed(row) || failed(value))
          return failure();
        return line(fmt::format("store_rows({}, {}, {});", *to, *row, *value)), mlir::success();
      })
      .Case([&](thread::RetryOp retry) -> LogicalResult {
        FailureOr<std::string> condition = full(retry.getCondition()), next = text(retry.getNext()),
                               allowed = text(retry.getAllowed(), 4);
        if (failed(condition) || failed(next) || failed(allowed))
          return failure();
        line("// What came out infinite or NaN is computed once more, in a slower way.");
        line(fmt::format("if (any_in_block({}) && {}) {{", *condition, *allowed));
        line("  attempt = uniform(" + *next + ");");
        line("  goto again;");
        line("}");
        return mlir::success();
      })
      .Default([&](Operation *) -> LogicalResult {
        if (op->getNumResults() != 1)
          return op->emitOpError("expected an operation of the thread form that CUDA C++ has");
        return define(op);
      });
}

LogicalResult CudaPrinter::block(Block &block) {
  for (Operation &op : block)
    if (!op.hasTrait<OpTrait::IsTerminator>() && failed(statement(&op)))
      return failure();
  return mlir::success();
}

//===----------------------------------------------------------------------===//
// The file
//===----------------------------------------------------------------------===//

/// "llama3_8b" is launched with a Llama38bParams.
static std::string parameterType(StringRef kernel) {
  std::string name;
  bool upper = true;
  for (char c : kernel) {
    if (c == '_') {
      upper = true;
      continue;
    }
    name += upper ? char(toupper(c)) : c;
    upper = false;
  }
  return name + "Params";
}

void CudaPrinter::parameters() {
  struct Member {
    std::string declaration, comment;
  };
  std::vector<Member> members;
  for (const Argument &argument : arguments) {
    std::string what = argument.text();
    what = what.substr(what.find(": ") + 2);
    switch (argument.kind) {
    case Argument::Kind::Array:
      members.push_back({fmt::format("Array<{}> {};", argument.axes.size() - 1, argument.name), what});
      break;
    case Argument::Kind::Scalar:
      members.push_back({fmt::format("{} {};", infoOf(argument.type).cudaName, argument.name),
                         argument.value ? argument.value->text() : "given at launch"});
      break;
    case Argument::Kind::Workspace:
      members.push_back({fmt::format("{} *{};", infoOf(argument.type).cudaName, argument.name), what});
      break;
    case Argument::Kind::TensorMap:
      members.push_back({fmt::format("TensorMap {};", argument.name), what});
    }
  }
  size_t width = 0;
  for (const Member &member : members)
    width = std::max(width, member.declaration.size());
  std::string type = parameterType(kernel.getSymName());
  line("// What the kernel is launched with.");
  line("struct " + type + " {");
  ++depth;
  for (const Member &member : members)
    out += fmt::format("  {:<{}} // {}\n", member.declaration, width, member.comment);
  --depth;
  line("};");
  if (!members.empty())
    line(fmt::format("static_assert(sizeof({}) == {});", type, ParameterBlock(arguments).bytes));
  line("");
}

LogicalResult CudaPrinter::header() {
  kernel->walk([&](Operation *op) {
    if (auto dot = dyn_cast<thread::DotOp>(op))
      rows = dot.getM();
    else if (auto issued = dyn_cast<thread::DotIssueOp>(op))
      rows = issued.getM();
    else if (auto store = dyn_cast<thread::StoreOp>(op))
      rows = rows ? rows : store.getM();
  });
  bool hasFragments =
      kernel
          .walk([](Operation *op) {
            return llvm::any_of(op->getResultTypes(), [](Type type) { return isa<VectorType>(type); })
                       ? WalkResult::interrupt()
                       : WalkResult::advance();
          })
          .wasInterrupted();
  if (rows == 0 && hasFragments)
    return kernel.emitOpError("expected a thread.dot or a thread.store, which say how many rows a tile has");

  if (isNameOfCuda(kernel.getSymName()))
    return kernel.emitOpError("expected a kernel name that CUDA C++ and templates/ leave free, got '")
           << kernel.getSymName() << "'; '" << kernel.getSymName() << "_kernel' is free";

  kernel->walk([&](thread::RoleOp role) {
    // Fragments belong to the role of warpgroups.
    if (!role.getFirstWarpOnly() && role.getWarps() > 1)
      warps = int64_t(role.getWarps());
  });
  if (warps == 0)
    return kernel.emitOpError("expected a role whose warps share fragments");
  bool oneHeight = true;
  kernel->walk([&](Operation *op) {
    if (auto dot = dyn_cast<thread::DotOp>(op))
      oneHeight &= int64_t(dot.getM()) == rows;
    else if (auto store = dyn_cast<thread::StoreOp>(op))
      oneHeight &= int64_t(store.getM()) == rows;
  });
  if (!oneHeight)
    return kernel.emitOpError("expected tiles of one number of rows: target cuda has no others");

  int64_t threads = blockThreads(), smem = kernel.getSmem();
  if (auto notes = kernel->getAttrOfType<ArrayAttr>("notes"))
    for (Attribute note : notes)
      if (auto text = dyn_cast<StringAttr>(note))
        comment(text.getValue());
  FailureOr<Schedule> schedule = scheduleFrom(kernel.getScheduleAttr(), [&] { return kernel.emitOpError(); });
  if (failed(schedule))
    return failure();
  std::string how = kernel.getArch().str();
  if (!schedule->family.empty())
    how += ", the " + schedule->family + " family";
  if (!schedule->values.empty())
    how += ": " + schedule->words();
  line(fmt::format("// {}; {} bytes of shared memory, {} block{} an SM.", how, smem, kernel.getMinBlocks(),
                   kernel.getMinBlocks() == 1 ? "" : "s"));
  line(kernel.getWarps() ? "// Types carry the shapes of tiles of the whole block."
                         : "// Types carry the shapes of tiles of a warpgroup.");
  line(fmt::format("constexpr int kWarps = {}, kThreads = {};", warps, threads));
  line("template <int M, int N> using Acc = AccOf<M, N, kWarps>;");
  line("template <int M> using Row = RowOf<M, kWarps>;");
  line("");
  parameters();
  // The longest line of a kernel stays whole: broken, it is harder to read.
  out += fmt::format("extern \"C\" __global__ void __launch_bounds__(kThreads, {}) {}(const "
                     "__grid_constant__ {} params) {{\n",
                     kernel.getMinBlocks(), kernel.getSymName().str(), parameterType(kernel.getSymName()));
  return mlir::success();
}

int64_t CudaPrinter::blockThreads() {
  return tile::kernelFacts(kernel).getAs<IntegerAttr>("threads").getInt();
}

FailureOr<std::string> CudaPrinter::print() {
  sinkSelects();
  scopes.emplace_back();
  if (failed(header()))
    return failure();
  ++depth;
  for (BlockArgument argument : kernel.getBody().getArguments())
    known[argument] = {fmt::format("params.{}", argumentName(argument).str()), 20, Form::Scalar};
  if (kernel.walk([](thread::RetryOp) { return WalkResult::interrupt(); }).wasInterrupted()) {
    line("int attempt = 0;");
    line("again:;");
  }
  findTiles();
  for (Operation &op : kernel.getBody().front()) {
    if (uses.isInlined(&op))
      continue;
    if (current < Part::Memory &&
        isa<thread::AsyncCopyOp, thread::LoadOperandOp, thread::DotOp, thread::StoreOp, scf::ForOp, scf::IfOp,
            tile::BarrierInitOp, tile::RingOp>(op)) {
      section(Part::Memory);
      line("const uint32 shared = shared_address();");
      for (const SmemTile &tile : tiles)
        line(fmt::format("const {} {}{{shared{}}};", tileType(tile.rows, tile.cols, tile.element), tile.name,
                         tile.offset ? fmt::format(" + {}", tile.offset) : ""));
    }
    bool loop = op.walk([](scf::ForOp) { return WalkResult::interrupt(); }).wasInterrupted();
    if (loop)
      section(Part::Loops);
    else if (current == Part::Loops)
      section(Part::Result);
    else if (current == Part::None)
      section(isa<tile::ViewOp>(op) ? Part::Views : Part::Place);
    else if (current == Part::Views && !isa<tile::ViewOp>(op))
      section(Part::Blocks);
    if (failed(statement(&op)))
      return failure();
  }
  --depth;
  line("}");
  return out;
}

} // namespace attune
