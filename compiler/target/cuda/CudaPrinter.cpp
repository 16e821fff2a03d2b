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

LogicalResult CudaPrinter::yield(Operation *terminator, ArrayRef<int> into) {
  SmallVector<std::pair<int, Value>> pending;
  for (auto [variable, value] : llvm::zip(into, terminator->getOperands()))
    if (variable >= 0 && variableOf(value) != variable)
      pending.push_back({variable, value});
  while (!pending.empty()) {
    // A variable that another one is still computed from waits.
    auto ready = llvm::find_if(pending, [&](auto &candidate) {
      return llvm::none_of(pending, [&](auto &other) {
        return other.second != candidate.second && reads(other.second, candidate.first);
      });
    });
    if (ready == pending.end()) {
      ready = pending.begin();
      FailureOr<std::string> value = full(ready->second);
      if (failed(value))
        return failure();
      std::string name = unique("next");
      line("const auto " + name + " = " + *value + ";");
      known[ready->second] = {name, 20, formOf(ready->second.getType())};
      bound.erase(ready->second);
      continue;
    }
    FailureOr<std::string> value = initialiser(ready->second);
    if (failed(value))
      return failure();
    line(variables[size_t(ready->first)].name + " = " + *value + ";");
    pending.erase(ready);
  }
  return mlir::success();
}

LogicalResult CudaPrinter::forLoop(scf::ForOp loop) {
  FailureOr<std::string> from = text(loop.getLowerBound()), to = text(loop.getUpperBound(), 12),
                         by = text(loop.getStep());
  if (failed(from) || failed(to) || failed(by))
    return failure();
  SmallVector<int> carried;
  for (auto [argument, init] : llvm::zip(loop.getRegionIterArgs(), loop.getInitArgs())) {
    int variable = variableOf(init);
    auto elsewhere = [&](OpOperand *read) {
      return loop->isAncestor(read->getOwner()) && read->getOwner() != loop;
    };
    bool reuse = variable >= 0 && !llvm::is_contained(carried, variable) && mayOverwrite(variable, loop) &&
                 llvm::none_of(uses.readers(init), elsewhere) && llvm::count(loop.getInitArgs(), init) == 1;
    if (!reuse) {
      FailureOr<std::string> start = initialiser(init);
      if (failed(start))
        return failure();
      std::string name = nameFrom(argument.getLoc());
      variable = newVariable(name.empty() ? "carried" : name);
      line(
          fmt::format("{} {} = {};", typeText(argument.getType()), variables[size_t(variable)].name, *start));
    }
    carried.push_back(variable);
  }
  if (depth == 1)
    line("");
  if (auto note = loop->getAttrOfType<StringAttr>("note"))
    comment(note.getValue());
  scopes.emplace_back();
  std::string name = nameFrom(loop.getInductionVar().getLoc());
  std::string it = unique(name.empty() ? "it" : name);
  known[loop.getInductionVar()] = {it, 20, Form::Scalar};
  line(fmt::format("for (int {0} = {1}; {0} < {2}; {3}) {{", it, *from, *to,
                   *by == "1" ? "++" + it : it + " += " + *by));
  ++depth;
  Operation *terminator = loop.getBody()->getTerminator();
  targets[terminator] = carried;
  for (auto [argument, variable, value] :
       llvm::zip(loop.getRegionIterArgs(), carried, terminator->getOperands())) {
    bind(argument, variable);
    wanted.try_emplace(value, variable);
  }
  if (failed(block(*loop.getBody())) || failed(yield(terminator, carried)))
    return failure();
  --depth;
  line("}");
  scopes.pop_back();
  for (auto [result, variable] : llvm::zip(loop.getResults(), carried))
    bind(result, variable);
  return mlir::success();
}

LogicalResult CudaPrinter::ifElse(scf::IfOp branch) {
  FailureOr<std::string> condition = text(branch.getCondition());
  if (failed(condition))
    return failure();
  SmallVector<int> into;
  for (Value result : branch.getResults()) {
    unsigned i = cast<OpResult>(result).getResultNumber();
    Value otherwise = branch.elseYield().getOperand(i), then = branch.thenYield().getOperand(i);
    int variable = variableOf(otherwise);
    targets[branch.elseYield()] = into;
    targets[branch.elseYield()].resize(branch.getNumResults(), -1);
    targets[branch.elseYield()][i] = variable;
    if (result.use_empty()) {
      variable = -1;
    } else if (variable < 0 || llvm::is_contained(into, variable) || !mayOverwrite(variable, branch)) {
      std::string name = nameFrom(result.getLoc());
      variable = newVariable(name.empty() ? "chosen" : name);
      line(typeText(result.getType()) + " " + variables[size_t(variable)].name + ";");
    }
    into.push_back(variable);
    if (variable >= 0)
      for (Value value : {then, otherwise})
        if (value.getParentBlock()->getParentOp() == branch)
          wanted.try_emplace(value, variable);
  }
  std::vector<Variable> before = variables;
  auto side = [&](Region &region) -> LogicalResult {
    scopes.emplace_back();
    ++depth;
    Operation *terminator = region.front().getTerminator();
    targets[terminator] = into;
    LogicalResult result =
        mlir::success(succeeded(block(region.front())) && succeeded(yield(terminator, into)));
    --depth;
    scopes.pop_back();
    // Each side starts from what the variables held before.
    variables.resize(before.size());
    for (auto [variable, old] : llvm::zip(variables, before))
      variable.holds = old.holds;
    return result;
  };
  if (auto note = branch->getAttrOfType<StringAttr>("note"))
    comment(note.getValue());
  else if (branch.getCondition().getDefiningOp<thread::WarpAnyOp>())
    comment("some row's maximum has outgrown its reference: move the reference");
  line("if (" + *condition + ") {");
  if (failed(side(branch.getThenRegion())))
    return failure();
  if (!branch.getElseRegion().empty()) {
    size_t start = out.size();
    line("} else {");
    size_t inside = out.size();
    if (failed(side(branch.getElseRegion())))
      return failure();
    if (out.size() == inside)
      out.resize(start);
  }
  line("}");
  for (auto [result, variable] : llvm::zip(branch.getResults(), into))
    if (variable >= 0)
      bind(result, variable);
  return mlir::success();
}

/// A loop whose condition follows from what it carries, and which ends with what it carried.
LogicalResult CudaPrinter::whileLoop(scf::WhileOp loop) {
  SmallVector<int> carried;
  for (auto [argument, init] : llvm::zip(loop.getBeforeArguments(), loop.getInits())) {
    FailureOr<std::string> start = initialiser(init);
    if (failed(start))
      return failure();
    std::string name = nameFrom(argument.getLoc());
    int variable = newVariable(name.empty() ? "carried" : name);
    line(fmt::format("{} {} = {};", typeText(argument.getType()), variables[size_t(variable)].name, *start));
    bind(argument, variable);
    carried.push_back(variable);
  }
  scf::ConditionOp condition = loop.getConditionOp();
  for (auto [given, result] : llvm::zip(condition.getArgs(), loop.getResults()))
    if (given.getParentRegion() == &loop.getBefore() && !isa<BlockArgument>(given) && !result.use_empty())
      return loop.emitOpError("expected a loop that hands on what it carries: target cuda has no others");
  if (auto note = loop->getAttrOfType<StringAttr>("note"))
    comment(note.getValue());
  scopes.emplace_back();
  size_t start = out.size();
  line("while (true) {");
  ++depth;
  size_t inside = out.size();
  if (failed(block(*loop.getBeforeBody())))
    return failure();
  FailureOr<std::string> goesOn = text(condition.getCondition(), 20);
  if (failed(goesOn))
    return failure();
  if (out.size() == inside) {
    out.resize(start);
    --depth;
    line("while (" + *text(condition.getCondition()) + ") {");
    ++depth;
  } else {
    line("if (!" + *goesOn + ")");
    line("  break;");
  }
  auto handOn = [&](Value to, Value from) -> LogicalResult {
    if (int variable = variableOf(from); variable >= 0) {
      bind(to, variable);
      return mlir::success();
    }
    FailureOr<Expression> e = expression(from);
    if (failed(e))
      return failure();
    known[to] = *e;
    return mlir::success();
  };
  for (auto [argument, given] : llvm::zip(loop.getAfterArguments(), condition.getArgs()))
    if (failed(handOn(argument, given)))
      return failure();
  Operation *terminator = loop.getAfterBody()->getTerminator();
  targets[terminator] = carried;
  for (auto [variable, value] : llvm::zip(carried, terminator->getOperands()))
    wanted.try_emplace(value, variable);
  if (failed(block(*loop.getAfterBody())) || failed(yield(terminator, carried)))
    return failure();
  --depth;
  line("}");
  scopes.pop_back();
  for (auto [argument, variable] : llvm::zip(loop.getBeforeArguments(), carried))
    bind(argument, variable);
  for (auto [result, given] : llvm::zip(loop.getResults(), condition.getArgs()))
    if (!result.use_empty() && failed(handOn(result, given)))
      return failure();
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
      .Case([&](tile::BarrierExpectOp x) {
        line(fmt::format("if ({})", leader));
        ++depth;
        line(fmt::format("expect_bytes({}, {});", barrier(x.getBarrier()), x.getBytes()));
        --depth;
        return mlir::success();
      })
      .Case([&](thread::TmaLoadOp x) { return tmaLoad(x); })
      .Case([&](thread::TmaStoreOp x) { return tmaStore(x); })
      .Case([&](tile::StoreWaitOp x) {
        return line(x.getWritten() ? "store_done();" : "store_wait();"), mlir::success();
      })
      .Case([&](thread::NamedBarrierOp x) { return namedBarrier(x); })
      .Case([&](tile::StoreWordOp x) { return storeWord(x); })
      .Case([&](thread::DotIssueOp x) { return issue(x); })
      .Case([&](thread::DotWaitOp x) { return waitForDot(x); })
      .Case([&](tile::CountBlocksOp x) { return scan(x, x.getBody(), x.getBegin(), x.getEnd()); })
      .Case([&](tile::LastBlockOp x) { return scan(x, x.getBody(), x.getBegin(), x.getEnd()); })
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
      .Case([&](thread::ScaleTileOp scale) -> LogicalResult {
        FailureOr<std::string> tile = smemTile(scale.getOffset(), scale.getRows(), scale.getCols(),
                                               scale.getType()),
                               factor = text(scale.getFactor());
        if (failed(tile) || failed(factor))
          return failure();
        return line(fmt::format("scale_tile({}, {});", *tile, *factor)), mlir::success();
      })
      .Case([&](thread::StoreRowsOp store) -> LogicalResult {
        FailureOr<std::string> to = text(store.getView()), row = text(store.getRow()),
                               value = full(store.getValue());
        if (failed(to) || failed(row) || failed(value))
          return failure();
        return line(fmt::format("store_rows({}, {}, {});", *to, *row, *value)), mlir::success();
      })
      .Case([&](thread::RetryOp retry) -> LogicalResult {
        FailureOr<std::string> condition = full(retry.getCondition()), allowed = text(retry.getAllowed(), 4);
        if (failed(condition) || failed(allowed))
          return failure();
        line("// What came out infinite or NaN is computed once more, in a slower way.");
        line(fmt::format("if (any_in_block({}) && {}) {{", *condition, *allowed));
        line("  ++attempt;");
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

void CudaPrinter::sinkSelects() {
  SmallVector<scf::IfOp> branches;
  kernel->walk([&](scf::IfOp branch) { branches.push_back(branch); });
  for (scf::IfOp branch : branches) {
    SmallVector<arith::SelectOp> selects;
    for (Operation *user : branch.getCondition().getUsers())
      if (auto select = dyn_cast<arith::SelectOp>(user))
        if (select.getCondition() == branch.getCondition() && select->getBlock() == branch->getBlock() &&
            select->isBeforeInBlock(branch) && llvm::all_of(select->getUsers(), [&](Operation *reader) {
              Operation *at = branch->getBlock()->findAncestorOpInBlock(*reader);
              return at && branch->isBeforeInBlock(at);
            }))
          selects.push_back(select);
    if (selects.empty() || branch.getElseRegion().empty())
      continue;
    SmallVector<Type> types(branch.getResultTypes());
    SmallVector<Location> names;
    for (arith::SelectOp select : selects)
      types.push_back(select.getType());
    OpBuilder builder(branch);
    auto wider = scf::IfOp::create(builder, branch.getLoc(), types, branch.getCondition(), true);
    wider->setDiscardableAttrs(branch->getDiscardableAttrDictionary());
    auto move = [&](Region &from, Region &to, bool then) {
      to.takeBody(from);
      Operation *terminator = to.front().getTerminator();
      SmallVector<Value> values(terminator->getOperands());
      for (arith::SelectOp select : selects)
        values.push_back(then ? select.getTrueValue() : select.getFalseValue());
      terminator->setOperands(values);
    };
    move(branch.getThenRegion(), wider.getThenRegion(), true);
    move(branch.getElseRegion(), wider.getElseRegion(), false);
    unsigned count = branch.getNumResults();
    branch->replaceAllUsesWith(wider.getResults().take_front(count));
    for (arith::SelectOp select : selects) {
      select.getResult().replaceAllUsesWith(wider.getResult(count++));
      select->erase();
    }
    branch->erase();
  }
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
    if (current < Part::Memory && isa<thread::AsyncCopyOp, thread::LoadOperandOp, thread::DotOp,
                                      thread::StoreOp, scf::ForOp, scf::IfOp, tile::BarrierInitOp>(op)) {
      section(Part::Memory);
      line("const uint32 shared = shared_address();");
      for (const SmemTile &tile : tiles)
        line(fmt::format("const {} {}{{shared{}}};", tileType(tile.rows, tile.cols, tile.element), tile.name,
                         tile.offset ? fmt::format(" + {}", tile.offset) : ""));
    }
    bool loop = isa<scf::ForOp>(op);
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
