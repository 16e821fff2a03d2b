//===- CudaControl.cpp - loops and branches of C++ ------------------------===//
#include "compiler/target/cuda/CudaPrinter.h"

#include <fmt/format.h>

using namespace mlir;

namespace attune {

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
      std::string name = nameOfValue(then);
      if (name.empty())
        name = nameOfValue(otherwise);
      if (name.empty())
        name = nameFrom(result.getLoc());
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

} // namespace attune
