//===- ChannelModel.cpp - rings, run on representative lengths ------------===//
#include "compiler/transforms/ChannelModel.h"

#include "compiler/dialect/ScalarOps.h"
#include "compiler/dialect/tile/KernelHeader.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/MapVector.h"

#include <map>

using namespace mlir;

namespace attune {

bool sharesBarrierWithPrevious(tile::WaitOp wait) {
  for (Operation *op = wait->getPrevNode(); op; op = op->getPrevNode()) {
    if (isa<tile::WaitOp>(op))
      return true;
    if (!isMemoryEffectFree(op))
      return false;
  }
  return false;
}

namespace {
/// The sizes, the block, and the numbers that the launch gives of one run.
struct Setting {
  Sizes sizes;
  int64_t queryBlock, queryBlocks;
  ArrayRef<int64_t> given; ///< of the i32 arguments that do not follow from sizes, in their order
  bool retries = false;    ///< not the first attempt; or, after a vote, all is computed a second time
  /// Numbers that the kernel loads, on which loops may depend, such as lengths of a batch entry: of the first
  /// array that it loads one of, and of others.
  std::pair<int64_t, int64_t> loaded = {INT32_MAX, INT32_MAX};
};

/// Whether the operation loads such a number: other numbers follow from it, and it is no condition of a scan.
bool loadsNumber(Operation *op) {
  auto isNumber = [](Operation *user) {
    return user->getNumResults() == 1 && user->getResult(0).getType().isIntOrIndex();
  };
  return isa<tile::LoadValueOp>(op) && op->getResult(0).getType().isInteger(32) &&
         llvm::any_of(op->getUsers(), isNumber) && !op->getParentOfType<tile::CountBlocksOp>() &&
         !op->getParentOfType<tile::LastBlockOp>();
}

/// Whether a launch gives this number, on which loops may depend: a window's bound.
bool isGiven(const Argument &argument) {
  return argument.kind == Argument::Kind::Scalar && argument.type == DType::I32 && !argument.value;
}

/// What is known of one tile of a ring.
struct TileState {
  int64_t group = -1;    ///< the copy group that brings it, once committed
  bool copied = false;   ///< at least one copy was issued
  int64_t released = -1; ///< when its warp was done with it
  bool waited = false;
};

/// Whether a ring operation, or a number that roles hand on, is inside.
bool touchesRings(Operation *op) {
  auto touches = [](Operation *inner) {
    return isa<tile::AcquireOp, tile::WaitOp, tile::ReleaseOp, tile::CommitOp, tile::AsyncCopyOp,
               tile::FillOp, tile::PutOp, tile::GetOp>(inner)
               ? WalkResult::interrupt()
               : WalkResult::advance();
  };
  return op->walk(touches).wasInterrupted();
}

/// An operation to visit, with its row of the table of scalar operations where it has one that evaluates.
struct Step {
  Operation *op;
  const ScalarOp *row;
};

/// What runs, which meet the same operations a million times, find once: the kernel's arguments and
/// constants, what there is to visit in each block, whether an operation touches rings, and in which order
/// roles run. The rest of a block, mostly arithmetic on tiles, changes nothing that a run knows.
struct Lookups {
  std::vector<Argument> arguments;
  llvm::DenseMap<Value, int64_t> constants;
  llvm::DenseMap<Block *, SmallVector<Step, 0>> steps;
  llvm::DenseMap<Operation *, bool> rings;
  llvm::DenseMap<Operation *, SmallVector<tile::RoleOp>> roles;

  explicit Lookups(tile::KernelOp kernel) : arguments(tile::argumentsOf(kernel)) {
    kernel.walk([&](arith::ConstantOp op) {
      APInt constant;
      if (matchPattern(op.getResult(), m_ConstantInt(&constant)))
        constants[op.getResult()] =
            constant.getBitWidth() == 1 ? int64_t(constant.getZExtValue()) : constant.getSExtValue();
    });
  }

  bool hasRings(Operation *op) {
    auto [entry, isNew] = rings.try_emplace(op, false);
    return isNew ? entry->second = touchesRings(op) : entry->second;
  }

  ArrayRef<Step> stepsOf(Block &block) {
    auto [entry, isNew] = steps.try_emplace(&block);
    if (isNew)
      for (Operation &op : block) {
        bool givesNumber = llvm::any_of(op.getResultTypes(), [](Type type) { return type.isIntOrIndex(); });
        bool isRegion = op.getNumRegions() > 0 && !isa<scf::IfOp>(op);
        if (isa<arith::ConstantOp>(op) || !(givesNumber || isRegion || hasRings(&op)))
          continue;
        const ScalarOp *row = op.getNumResults() == 1 ? findScalarOp(&op) : nullptr;
        entry->second.push_back({&op, row && row->evaluate ? row : nullptr});
      }
    return entry->second;
  }

  /// Who hands numbers to others comes first, so that the others' are known. None where the roles must not
  /// be as they are.
  ArrayRef<tile::RoleOp> inOrder(tile::SpecializeOp op) {
    auto [entry, isNew] = roles.try_emplace(op);
    if (!isNew)
      return entry->second;
    // Copy groups belong to the threads that issue them, and only barriers of the whole block join them:
    // rings of that kind live in one role.
    auto all = op.getRoles().getOps<tile::RoleOp>();
    bool alone = llvm::hasSingleElement(all) && (*all.begin()).getReplicas() == 1;
    if (!alone && op.walk([](tile::AcquireOp) { return WalkResult::interrupt(); }).wasInterrupted())
      return {};
    auto puts = [](tile::RoleOp role) {
      return role.walk([](tile::PutOp) { return WalkResult::interrupt(); }).wasInterrupted();
    };
    for (bool first : {true, false})
      llvm::copy_if(all, std::back_inserter(entry->second),
                    [&](tile::RoleOp role) { return puts(role) == first; });
    return entry->second;
  }
};

class Run {
public:
  Run(tile::KernelOp kernel, const Setting &setting, ChannelPlan &plan, Lookups &lookups)
      : setting(setting), plan(plan), lookups(lookups), values(lookups.constants) {
    ArrayRef<int64_t> given = setting.given;
    for (auto [argument, value] : llvm::zip(lookups.arguments, kernel.getBody().getArguments()))
      if (isGiven(argument)) {
        values[value] = given.front();
        given = given.drop_front();
      } else if (std::optional<int64_t> known =
                     argument.value ? argument.value->evaluate(setting.sizes) : std::nullopt) {
        values[value] = *known;
      }
  }

  /// Failure after an error, or after more steps than any sensible program takes.
  LogicalResult run(Block &block) {
    if (++steps > mostSteps) // also of a loop in which there is nothing to visit
      return tooLong(block.getParentOp());
    for (const Step &step : lookups.stepsOf(block)) {
      if (!step.row) {
        if (failed(visit(step.op)))
          return failure();
        continue;
      }
      if (++steps > mostSteps)
        return tooLong(step.op);
      set(step.op->getResult(0), evaluate(step.op, *step.row));
    }
    return mlir::success();
  }

  LogicalResult finish() {
    for (auto &[ring, tiles] : rings)
      for (auto &[index, tile] : tiles)
        if (tile.waited && tile.released < 0)
          return ring.getDefiningOp()->emitOpError(
                     "expected every tile that is waited for to be released, tile ")
                 << index << " is not" << context();
    return mlir::success();
  }

private:
  std::string context() const {
    return " (len_q " + std::to_string(setting.sizes[Size::LengthQ]) + ", len_kv " +
           std::to_string(setting.sizes[Size::LengthKv]) + ", query block " +
           std::to_string(setting.queryBlock) + (setting.retries ? ", again" : "") + ")";
  }

  LogicalResult tooLong(Operation *op) const {
    return op->emitOpError("expected the program to end") << context();
  }

  std::optional<int64_t> value(Value v) const {
    auto found = values.find(v);
    return found != values.end() ? std::optional(found->second) : std::nullopt;
  }
  void set(Value v, std::optional<int64_t> number) {
    if (number)
      values[v] = *number;
    else
      values.erase(v);
  }

  /// The value of a scalar operation, if all that it depends on is known.
  std::optional<int64_t> evaluate(Operation *op, const ScalarOp &row) const {
    SmallVector<int64_t, 4> x;
    for (Value operand : op->getOperands()) {
      std::optional<int64_t> known = value(operand);
      if (!known)
        return std::nullopt;
      x.push_back(*known);
    }
    return row.evaluate(op, x);
  }

  /// The same of an operation that asks the machine, or another role.
  std::optional<int64_t> evaluate(Operation *op) {
    // Every attempt begins when the CTA has met after the one before; those after the first do the same.
    if (isa<tile::AttemptOp>(op))
      return setting.retries;
    if (auto same = dyn_cast<tile::UniformOp>(op))
      return value(same.getValue());
    if (auto id = dyn_cast<gpu::BlockIdOp>(op))
      return id.getDimension() == gpu::Dimension::x ? setting.queryBlock : 0;
    // The first vote of a role decides whether its work is done anew; each role votes as often.
    if (isa<tile::VoteOp>(op))
      return setting.retries && votes++ == 0 ? -1 : 0;
    // As if this were the only CTA that draws.
    if (isa<tile::DrawOp>(op))
      return draws++;
    if (auto get = dyn_cast<tile::GetOp>(op)) {
      std::optional<int64_t> index = value(get.getIndex());
      auto found = index ? words.find({get.getWords().getAsOpaquePointer(), *index}) : words.end();
      return found == words.end() ? std::nullopt : std::optional(found->second);
    }
    if (auto dim = dyn_cast<gpu::GridDimOp>(op))
      return dim.getDimension() == gpu::Dimension::x ? setting.queryBlocks : 1;
    return std::nullopt;
  }

  FailureOr<std::pair<TileState *, int64_t>> tileOf(Operation *op, Value ring, Value index) {
    std::optional<int64_t> known = value(index);
    if (!known || *known < 0)
      return op->emitOpError("expected an index that is not negative and follows from lengths and the block")
             << context();
    return std::pair(&rings[ring][*known], *known);
  }

  LogicalResult visit(Operation *op);
  LogicalResult visitFor(scf::ForOp loop);
  LogicalResult visitWhile(scf::WhileOp loop);
  LogicalResult visitIf(scf::IfOp branch);
  /// `to` are what `from` are; what is not known of these is not known of those.
  void assign(ValueRange to, ValueRange from);
  LogicalResult countBlocks(tile::CountBlocksOp op);
  LogicalResult visitRoles(tile::SpecializeOp op);
  /// Adds an op on a ring of kind tma to what its role does.
  LogicalResult record(Operation *op, Value ring, Value index);
  LogicalResult acquire(tile::AcquireOp op);
  LogicalResult copy(tile::AsyncCopyOp op);
  LogicalResult wait(tile::WaitOp op);

  void barrier() { lastBarrier = ++now; }

  const Setting &setting;
  ChannelPlan &plan;
  Lookups &lookups;
  llvm::DenseMap<Value, int64_t> values;
  llvm::MapVector<Value, std::map<int64_t, TileState>> rings;
  llvm::DenseMap<Value, TileState *> slots; ///< what an acquire's result will hold
  static constexpr int64_t mostSteps = 100000;
  int64_t groups = 0, now = 0, lastBarrier = 0, steps = 0;
  int64_t votes = 0, draws = 0;                        ///< of the role that runs
  Value firstLoaded;                                   ///< the array of the first number that was loaded
  std::map<std::pair<void *, int64_t>, int64_t> words; ///< numbers that were put
  std::vector<RoleTrace> roles;
};
} // namespace

LogicalResult Run::acquire(tile::AcquireOp op) {
  plan.reached.insert(op);
  auto tile = tileOf(op, op.getRing(), op.getIndex());
  if (failed(tile))
    return failure();
  auto [state, index] = *tile;
  int64_t depth = op.getRing().getType().getDepth();
  if (index >= depth) {
    auto &tiles = rings[op.getRing()];
    auto before = tiles.find(index - depth);
    // A tile that was acquired but had nothing to copy leaves its slot free.
    if (before != tiles.end() && before->second.copied) {
      if (before->second.released < 0)
        return op.emitOpError("expected tile ")
               << index - depth << " to be released before tile " << index << " takes its slot" << context();
      if (before->second.released >= lastBarrier)
        plan.barrierBefore.insert(op);
    }
  }
  if (plan.barrierBefore.contains(op))
    barrier();
  slots[op.getTile()] = state;
  return mlir::success();
}

LogicalResult Run::copy(tile::AsyncCopyOp op) {
  auto slot = slots.find(op.getTile());
  if (slot == slots.end())
    return op.emitOpError("expected a slot that was acquired") << context();
  std::optional<int64_t> condition = op.getCondition() ? value(op.getCondition()) : 1;
  if (!condition)
    return op.emitOpError("expected a condition that follows from lengths and the block") << context();
  slot->second->copied |= *condition != 0;
  return mlir::success();
}

LogicalResult Run::wait(tile::WaitOp op) {
  plan.reached.insert(op);
  auto tile = tileOf(op, op.getRing(), op.getIndex());
  if (failed(tile))
    return failure();
  auto [state, index] = *tile;
  if (state->group < 0)
    return op.emitOpError("expected tile ")
           << index << " to be committed before it is waited for" << context();
  if (!state->copied)
    return op.emitOpError("expected tile ") << index << " to be copied before it is waited for" << context();
  int64_t pending = groups - 1 - state->group;
  auto [entry, isNew] = plan.pending.try_emplace(op, pending);
  entry->second = std::min(entry->second, pending);
  state->waited = true;
  barrier();
  return mlir::success();
}

LogicalResult Run::visitRoles(tile::SpecializeOp op) {
  ArrayRef<tile::RoleOp> inOrder = lookups.inOrder(op);
  if (inOrder.empty())
    return op->emitOpError("expected rings of cp.async only where one role uses them");
  for (tile::RoleOp role : inOrder)
    for (int64_t replica = 0; replica != int64_t(role.getReplicas()); ++replica) {
      roles.push_back({role, replica, {}});
      votes = draws = 0;
      if (failed(run(role.getBody().front())))
        return failure();
    }
  return playRoles(roles, context(), plan.releases);
}

LogicalResult Run::record(Operation *op, Value ring, Value index) {
  std::optional<int64_t> known = value(index);
  if (!known || *known < 0)
    return op->emitOpError("expected an index that is not negative and follows from lengths and the CTA")
           << context();
  if (roles.empty())
    return op->emitOpError("expected to be in a tile.role: roles meet at a ring of kind tma");
  roles.back().events.push_back({op, ring, *known});
  return mlir::success();
}

void Run::assign(ValueRange to, ValueRange from) {
  SmallVector<std::optional<int64_t>> numbers;
  for (Value one : from)
    numbers.push_back(value(one));
  for (auto [one, number] : llvm::zip(to, numbers))
    set(one, number);
}

LogicalResult Run::visitFor(scf::ForOp loop) {
  auto from = value(loop.getLowerBound()), to = value(loop.getUpperBound()), by = value(loop.getStep());
  if (!from || !to || !by || *by < 1)
    return loop.emitOpError("expected loop bounds that follow from lengths and the block") << context();
  assign(loop.getRegionIterArgs(), loop.getInitArgs());
  for (int64_t i = *from; i < *to; i += *by) {
    values[loop.getInductionVar()] = i;
    if (failed(run(*loop.getBody())))
      return failure();
    assign(loop.getRegionIterArgs(), loop.getBody()->getTerminator()->getOperands());
  }
  assign(loop.getResults(), loop.getRegionIterArgs());
  return mlir::success();
}

LogicalResult Run::visitWhile(scf::WhileOp loop) {
  assign(loop.getBeforeArguments(), loop.getInits());
  while (true) {
    if (failed(run(*loop.getBeforeBody())))
      return failure();
    scf::ConditionOp condition = loop.getConditionOp();
    std::optional<int64_t> goesOn = value(condition.getCondition());
    if (!goesOn)
      return loop.emitOpError("expected a condition that follows from lengths and the block") << context();
    if (!*goesOn)
      return assign(loop.getResults(), condition.getArgs()), mlir::success();
    assign(loop.getAfterArguments(), condition.getArgs());
    if (failed(run(*loop.getAfterBody())))
      return failure();
    assign(loop.getBeforeArguments(), loop.getYieldOp().getOperands());
  }
}

LogicalResult Run::visitIf(scf::IfOp branch) {
  std::optional<int64_t> condition = value(branch.getCondition());
  // Branches on data hold no ring ops; those that do must be decidable.
  bool hasRings = lookups.hasRings(branch);
  if (!hasRings && !condition)
    return mlir::success();
  if (hasRings && !condition)
    return branch.emitOpError("expected ring operations only in branches that follow from lengths and the "
                              "block; use the condition of async_copy");
  Region &taken = *condition ? branch.getThenRegion() : branch.getElseRegion();
  if (taken.empty())
    return mlir::success();
  if (failed(run(taken.front())))
    return failure();
  assign(branch.getResults(), taken.front().getTerminator()->getOperands());
  return mlir::success();
}

/// Where the condition hangs on what is only known at launch, as many as there can be.
LogicalResult Run::countBlocks(tile::CountBlocksOp op) {
  std::optional<int64_t> begin = value(op.getBegin()), end = value(op.getEnd());
  if (!begin || !end)
    return op.emitOpError("expected blocks that follow from lengths and the block") << context();
  Block &condition = op.getBody().front();
  SmallVector<int64_t> counts(op.getNumResults());
  for (int64_t block = *begin; block < *end; ++block) {
    values[condition.getArgument(0)] = block;
    for (const Step &inner : lookups.stepsOf(condition))
      if (inner.op->getNumResults() == 1)
        set(inner.op->getResult(0), inner.row ? evaluate(inner.op, *inner.row) : evaluate(inner.op));
    for (auto [count, holds] : llvm::zip(counts, condition.getTerminator()->getOperands()))
      count += value(holds).value_or(1) != 0;
  }
  for (auto [result, count] : llvm::zip(op.getResults(), counts))
    values[result] = count;
  return mlir::success();
}

LogicalResult Run::visit(Operation *op) {
  if (++steps > mostSteps)
    return tooLong(op);
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return visitFor(loop);
  if (auto loop = dyn_cast<scf::WhileOp>(op))
    return visitWhile(loop);
  if (auto branch = dyn_cast<scf::IfOp>(op))
    return visitIf(branch);
  if (auto specialize = dyn_cast<tile::SpecializeOp>(op))
    return visitRoles(specialize);
  if (auto replica = dyn_cast<tile::ReplicaOp>(op)) {
    values[replica.getResult()] = roles.back().replica;
    return mlir::success();
  }
  if (auto count = dyn_cast<tile::CountBlocksOp>(op))
    return countBlocks(count);
  auto byTma = [](Value ring) {
    return cast<tile::RingType>(ring.getType()).getKind() == tile::RingKind::Tma;
  };
  if (auto fill = dyn_cast<tile::FillOp>(op))
    return record(op, fill.getRing(), fill.getIndex());
  if (auto waitOp = dyn_cast<tile::WaitOp>(op); waitOp && byTma(waitOp.getRing()))
    return record(op, waitOp.getRing(), waitOp.getIndex());
  if (auto release = dyn_cast<tile::ReleaseOp>(op); release && byTma(release.getRing()))
    return record(op, release.getRing(), release.getIndex());
  if (auto put = dyn_cast<tile::PutOp>(op)) {
    std::optional<int64_t> index = value(put.getIndex()), number = value(put.getValue());
    if (index && number)
      words[{put.getWords().getAsOpaquePointer(), *index}] = *number;
    return record(op, put.getWords(), put.getIndex());
  }
  if (auto get = dyn_cast<tile::GetOp>(op); get && failed(record(op, get.getWords(), get.getIndex())))
    return failure();
  if (auto acquireOp = dyn_cast<tile::AcquireOp>(op))
    return acquire(acquireOp);
  if (auto copyOp = dyn_cast<tile::AsyncCopyOp>(op))
    return copy(copyOp);
  if (auto waitOp = dyn_cast<tile::WaitOp>(op))
    return wait(waitOp);
  if (auto commit = dyn_cast<tile::CommitOp>(op)) {
    auto tile = tileOf(op, commit.getRing(), commit.getIndex());
    if (failed(tile))
      return failure();
    tile->first->group = groups++;
    return mlir::success();
  }
  if (auto release = dyn_cast<tile::ReleaseOp>(op)) {
    auto tile = tileOf(op, release.getRing(), release.getIndex());
    if (failed(tile))
      return failure();
    if (!tile->first->waited)
      return op->emitOpError("expected tile ")
             << tile->second << " to be waited for before it is released" << context();
    tile->first->released = ++now;
    return mlir::success();
  }
  if (loadsNumber(op)) {
    Value array = op->getOperand(0);
    if (!firstLoaded)
      firstLoaded = array;
    values[op->getResult(0)] = array == firstLoaded ? setting.loaded.first : setting.loaded.second;
    return mlir::success();
  }
  if (op->getNumResults() == 1 && op->getResult(0).getType().isIntOrIndex())
    set(op->getResult(0), evaluate(op));
  return mlir::success();
}

/// What launches may give: for each number the least, one like a block of `step` keys, and the most, side by
/// side with each of another's. The runs take them in turn: all combinations would take longer than the rest
/// of a compilation.
static SmallVector<SmallVector<int64_t>> givenNumbers(tile::KernelOp kernel, int64_t step) {
  SmallVector<SmallVector<int64_t, 3>> choices;
  for (const Argument &argument : tile::argumentsOf(kernel))
    if (isGiven(argument)) {
      auto [least, most] = argument.range.value_or(std::array{INT32_MIN, INT32_MAX});
      choices.push_back({least, std::clamp<int64_t>(step, least, most), most});
    }
  SmallVector<SmallVector<int64_t>> all;
  for (size_t shift = 0; shift < (choices.size() > 1 ? 3 : 1); ++shift)
    for (size_t first = 0; first < (choices.empty() ? 1 : 3); ++first) {
      SmallVector<int64_t> &numbers = all.emplace_back();
      for (size_t i = 0; i < choices.size(); ++i)
        numbers.push_back(choices[i][(first + i * shift) % 3]);
    }
  return all;
}

FailureOr<ChannelPlan> planChannels(tile::KernelOp kernel) {
  // Rows of the rings' tiles are the steps in which loops walk over a sequence.
  SmallVector<int64_t> steps;
  int64_t depth = 1;
  kernel.walk([&](tile::RingOp ring) {
    depth = std::max(depth, ring.getType().getDepth());
    if (int64_t rows = ring.getType().getSlot().getDimSize(0); !llvm::is_contained(steps, rows))
      steps.push_back(rows);
  });
  if (steps.empty())
    return ChannelPlan();
  int64_t longest = *llvm::max_element(steps);
  std::optional<SizeExpr> grid;
  if (ArrayAttr extents = kernel.getGridAttr())
    grid = *SizeExpr::parse(cast<StringAttr>(extents[0]).str());

  // Enough blocks for every ring to wrap around twice, with and without tails, and queries before, at and
  // after the last key.
  SmallVector<int64_t> lengthsKv = {0, 1};
  for (int64_t step : steps)
    for (int64_t blocks = 1; blocks <= 2 * depth + 2; ++blocks)
      for (int64_t length : {blocks * step, blocks * step + 1})
        if (!llvm::is_contained(lengthsKv, length))
          lengthsKv.push_back(length);
  const SmallVector<SmallVector<int64_t>> given = givenNumbers(kernel, longest);
  SmallVector<Setting> settings;
  bool retries =
      kernel
          .walk([](Operation *op) {
            return isa<tile::VoteOp, tile::AttemptOp>(op) ? WalkResult::interrupt() : WalkResult::advance();
          })
          .wasInterrupted();
  bool loads = kernel
                   .walk([](Operation *op) {
                     return loadsNumber(op) ? WalkResult::interrupt() : WalkResult::advance();
                   })
                   .wasInterrupted();
  const std::pair<int64_t, int64_t> loaded[] = {
      {0, INT32_MAX}, {longest, INT32_MAX}, {INT32_MAX, longest + 1}, {1, longest}, {INT32_MAX, 0}};
  auto addSettings = [&](int64_t lengthQ, int64_t lengthKv, bool lastOnly) {
    Sizes sizes;
    sizes.values.fill(1);
    sizes[Size::LengthQ] = lengthQ;
    sizes[Size::LengthKv] = lengthKv;
    int64_t blocks =
        (grid ? grid->evaluate(sizes) : std::nullopt).value_or((lengthQ + longest - 1) / longest);
    for (int64_t block = lastOnly ? std::max<int64_t>(blocks - 1, 0) : 0;
         block < std::min<int64_t>(blocks, 4096); ++block) {
      ArrayRef<int64_t> numbers = given[settings.size() % given.size()];
      settings.push_back({sizes, block, blocks, numbers});
      // A second time rings go on where they stand: some lengths of each kind are enough.
      if (retries && (settings.size() % 4 == 0 || lengthKv <= longest))
        settings.push_back({sizes, block, blocks, numbers, /*retries=*/true});
      // What is loaded as a rule does not limit anything; that it does is as if lengths were others, which
      // other settings have: some are enough.
      if (loads && settings.size() % 4 == 0)
        settings.push_back({sizes, block, blocks, numbers, /*retries=*/false,
                            loaded[settings.size() / 4 % std::size(loaded)]});
    }
  };
  for (int64_t lengthKv : lengthsKv)
    for (int64_t lengthQ : {int64_t(1), longest, lengthKv, lengthKv + 2 * longest + 1})
      addSettings(lengthQ, lengthKv, false);
  // Some loops run only beyond a distance that the program names, as that over a window's left edge: lengths
  // a few blocks past each such constant, at the last queries.
  SmallVector<int64_t> distances;
  kernel.walk([&](arith::ConstantOp constant) {
    auto value = dyn_cast<IntegerAttr>(constant.getValue());
    if (!value || !value.getType().isInteger(32))
      return;
    int64_t distance = std::abs(value.getInt());
    if (distance > longest && distance <= 64 * longest && !llvm::is_contained(distances, distance))
      distances.push_back(distance);
  });
  for (int64_t distance : distances)
    for (int64_t blocks = 1; blocks <= depth + 2; ++blocks) {
      int64_t length = distance + longest + blocks * longest + 1;
      addSettings(length, length, true);
    }

  ChannelPlan plan;
  Lookups lookups(kernel);
  // A barrier that one run adds can change what another finds, so repeat until nothing is added.
  for (size_t barriers = ~size_t(0); barriers != plan.barrierBefore.size();) {
    barriers = plan.barrierBefore.size();
    for (const Setting &setting : settings) {
      Run run(kernel, setting, plan, lookups);
      if (failed(run.run(kernel.getBody().front())) || failed(run.finish()))
        return failure();
    }
  }
  return plan;
}

} // namespace attune
