//===- TileDistribute.cpp - tiles become vectors of threads ---------------===//
#include "compiler/transforms/FragmentMap.h"
#include "compiler/transforms/Passes.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_TILEDISTRIBUTE
#include "compiler/transforms/Passes.h.inc"

namespace {
class Distributor {
public:
  Distributor(tile::KernelOp kernel) : kernel(kernel), warps(kernel.getWarps().value_or(0)), b(kernel) {}

  FailureOr<thread::KernelOp> run() {
    auto result = thread::KernelOp::create(
        b, kernel.getLoc(), kernel.getSymNameAttr(), kernel.getSignatureAttr(), kernel.getArchAttr(),
        kernel.getWarpsAttr(), kernel.getMinBlocksAttr(), kernel.getGridAttr(),
        b.getI64IntegerAttr(int64_t(kernel.getSmem().value_or(0))), kernel.getScheduleAttr());
    result->setDiscardableAttrs(kernel->getDiscardableAttrDictionary());
    Block *body = b.createBlock(&result.getBody());
    for (BlockArgument argument : kernel.getBody().getArguments())
      mapping.map(argument, body->addArgument(argument.getType(), argument.getLoc()));
    if (failed(distribute(kernel.getBody().front(), body)))
      return failure();
    return result;
  }

private:
  Type threadType(Type type) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor)
      return type;
    Attribute layout = tensor.getEncoding();
    if (isa_and_present<tile::SmemAttr>(layout))
      return b.getI32Type();
    int64_t values = isa<tile::RowAttr>(layout)
                         ? rowValues(tensor.getDimSize(0), warps)
                         : accValues(tensor.getDimSize(0), tensor.getDimSize(1), warps);
    return VectorType::get({values}, tensor.getElementType());
  }

  LogicalResult distribute(Block &from, Block *to) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(to);
    for (Operation &op : from)
      if (failed(visit(&op)))
        return failure();
    return mlir::success();
  }

  LogicalResult visit(Operation *op);
  LogicalResult visitFor(scf::ForOp loop);
  LogicalResult visitIf(scf::IfOp branch);
  LogicalResult visitWhile(scf::WhileOp loop);
  LogicalResult visitRoles(tile::SpecializeOp specialize);
  LogicalResult visitElementwise(Operation *op);
  LogicalResult visitTurn(Operation *op, bool pass);
  Value barrierNumber(Location loc, int64_t place, Value replica);
  Value meetingOfReplica(Location loc);
  /// Where all replicas of the role meet; null for a kernel without roles.
  IntegerAttr meetingOfRole() {
    if (!role)
      return {};
    int64_t replicas = int64_t(role.getReplicas());
    return b.getI64IntegerAttr(firstBarrier + (replicas == 1 ? 0 : replicas));
  }

  Value map(Value value) { return value ? mapping.lookup(value) : Value(); }
  template <typename Op, typename... Args> LogicalResult replace(Operation *op, Args &&...args) {
    auto made = Op::create(b, op->getLoc(), std::forward<Args>(args)...);
    if (op->getNumResults() == 1)
      mapping.map(op->getResult(0), made->getResult(0));
    return mlir::success();
  }

  tile::KernelOp kernel;
  int64_t warps; ///< of the role that is being distributed
  tile::RoleOp role;
  int64_t firstBarrier = 1; ///< the role's first named barrier; 0 is the block's
  int64_t voteBarrier = 0, voters = 0;
  OpBuilder b;
  IRMapping mapping;
};
} // namespace

LogicalResult Distributor::visitFor(scf::ForOp loop) {
  SmallVector<Value> inits;
  for (Value init : loop.getInitArgs())
    inits.push_back(map(init));
  auto made = scf::ForOp::create(b, loop.getLoc(), map(loop.getLowerBound()), map(loop.getUpperBound()),
                                 map(loop.getStep()), inits);
  if (Attribute note = loop->getAttr("note"))
    made->setAttr("note", note);
  for (auto [from, to] : llvm::zip(loop.getBody()->getArguments(), made.getBody()->getArguments())) {
    to.setLoc(from.getLoc());
    mapping.map(from, to);
  }
  // A loop without values gets its terminator when it is built; ours is copied with the body.
  if (!made.getBody()->empty())
    made.getBody()->back().erase();
  mapping.map(loop.getResults(), made.getResults());
  return distribute(*loop.getBody(), made.getBody());
}

LogicalResult Distributor::visitIf(scf::IfOp branch) {
  SmallVector<Type> types;
  for (Type type : branch.getResultTypes())
    types.push_back(threadType(type));
  bool hasElse = !branch.getElseRegion().empty();
  auto made = scf::IfOp::create(b, branch.getLoc(), types, map(branch.getCondition()), /*addThenBlock=*/true,
                                /*addElseBlock=*/hasElse);
  if (Attribute note = branch->getAttr("note"))
    made->setAttr("note", note);
  mapping.map(branch.getResults(), made.getResults());
  for (unsigned i = 0; i != (hasElse ? 2u : 1u); ++i) {
    Block &block = made->getRegion(i).front();
    if (!block.empty())
      block.back().erase();
    if (failed(distribute(branch->getRegion(i).front(), &block)))
      return failure();
  }
  return mlir::success();
}

LogicalResult Distributor::visitWhile(scf::WhileOp loop) {
  OpBuilder::InsertionGuard guard(b);
  SmallVector<Value> inits;
  SmallVector<Type> types;
  for (Value init : loop.getInits())
    inits.push_back(map(init));
  for (Type type : loop.getResultTypes())
    types.push_back(threadType(type));
  auto made = scf::WhileOp::create(b, loop.getLoc(), types, inits);
  if (Attribute note = loop->getAttr("note"))
    made->setAttr("note", note);
  mapping.map(loop.getResults(), made.getResults());
  for (unsigned i = 0; i != 2; ++i) {
    Block &from = loop->getRegion(i).front();
    Block *to = b.createBlock(&made->getRegion(i));
    for (BlockArgument argument : from.getArguments())
      mapping.map(argument, to->addArgument(threadType(argument.getType()), argument.getLoc()));
    if (failed(distribute(from, to)))
      return failure();
  }
  return mlir::success();
}

LogicalResult Distributor::visitRoles(tile::SpecializeOp specialize) {
  auto made = thread::SpecializeOp::create(b, specialize.getLoc());
  Block *roles = b.createBlock(&made.getRoles());
  int64_t firstWarp = 0;
  voteBarrier = firstBarrier;
  for (auto one : specialize.getRoles().getOps<tile::RoleOp>()) {
    voteBarrier += namedBarriers(int64_t(one.getReplicas()));
    voters += 32 * (one.getFirstWarpOnly() ? 1 : int64_t(one.getWarps() * one.getReplicas()));
  }
  for (auto one : specialize.getRoles().getOps<tile::RoleOp>()) {
    role = one;
    b.setInsertionPointToEnd(roles);
    auto copy = thread::RoleOp::create(
        b, role.getLoc(), role.getSymNameAttr(), b.getI64IntegerAttr(firstWarp), role.getWarpsAttr(),
        role.getReplicasAttr(), role.getRegistersAttr(), role.getFirstWarpOnlyAttr());
    Block *body = b.createBlock(&copy.getBody());
    warps = int64_t(role.getWarps());
    if (failed(distribute(role.getBody().front(), body)))
      return failure();
    firstWarp += warps * int64_t(role.getReplicas());
    firstBarrier += namedBarriers(int64_t(role.getReplicas()));
  }
  role = {};
  b.setInsertionPointAfter(made);
  return mlir::success();
}

/// The number of a named barrier: the role's `place`-th, for replica 0.
Value Distributor::barrierNumber(Location loc, int64_t place, Value replica) {
  Value first = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(int32_t(firstBarrier + place)));
  return replica ? Value(arith::AddIOp::create(b, loc, replica, first)) : first;
}

Value Distributor::meetingOfReplica(Location loc) {
  return barrierNumber(
      loc, 0, role.getReplicas() == 1 ? Value() : Value(thread::ReplicaOp::create(b, loc, b.getI32Type())));
}

/// Replica r waits at barrier r of the turns; who passes to r arrives there.
LogicalResult Distributor::visitTurn(Operation *op, bool pass) {
  Location loc = op->getLoc();
  int64_t replicas = int64_t(role.getReplicas());
  Value replica = thread::ReplicaOp::create(b, loc, b.getI32Type());
  if (pass) {
    auto constant = [&](int64_t value) -> Value {
      return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(int32_t(value)));
    };
    Value next = arith::AddIOp::create(b, loc, replica, constant(1));
    replica = arith::RemUIOp::create(b, loc, next, constant(replicas));
  }
  // The warps of two replicas: those that wait and those that arrive.
  thread::NamedBarrierOp::create(b, loc, barrierNumber(loc, replicas + 1, replica), 64 * warps, pass);
  return mlir::success();
}

/// An op that does the same to every value: the same op on vectors.
LogicalResult Distributor::visitElementwise(Operation *op) {
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    auto dense = dyn_cast<DenseElementsAttr>(constant.getValue());
    if (dense && !dense.isSplat())
      return op->emitOpError("expected a constant tile of one value");
    TypedAttr value = constant.getValue();
    if (dense)
      value = DenseElementsAttr::get(cast<ShapedType>(threadType(dense.getType())),
                                     dense.getSplatValue<Attribute>());
    return replace<arith::ConstantOp>(op, value);
  }
  OperationState state(op->getLoc(), op->getName());
  for (Value operand : op->getOperands())
    state.operands.push_back(map(operand));
  for (Type type : op->getResultTypes())
    state.types.push_back(threadType(type));
  state.attributes = op->getDiscardableAttrDictionary();
  state.propertiesAttr = op->getPropertiesAsAttribute();
  Operation *made = b.create(state);
  mapping.map(op->getResults(), made->getResults());
  return mlir::success();
}

LogicalResult Distributor::visit(Operation *op) {
  auto shape = [](Value tile) { return cast<RankedTensorType>(tile.getType()).getShape(); };
  auto resultType = [&] { return threadType(op->getResult(0).getType()); };
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](scf::ForOp loop) { return visitFor(loop); })
      .Case([&](scf::IfOp branch) { return visitIf(branch); })
      .Case([&](scf::WhileOp loop) { return visitWhile(loop); })
      .Case([&](tile::SpecializeOp specialize) { return visitRoles(specialize); })
      .Case([&](tile::ReplicaOp) { return replace<thread::ReplicaOp>(op, b.getI32Type()); })
      .Case([&](tile::ReuseTileOp reuse) {
        thread::NamedBarrierOp::create(b, op->getLoc(), meetingOfReplica(op->getLoc()), 32 * warps, false);
        mapping.map(reuse.getResult(), map(reuse.getTile()));
        return mlir::success();
      })
      .Case([&](tile::SlotWaitOp wait) {
        return replace<tile::SlotWaitOp>(op, resultType(), map(wait.getRing()), map(wait.getPlace()));
      })
      .Case([&](tile::TmaStoreOp store) {
        ArrayRef<int64_t> tile = shape(store.getValue());
        return replace<thread::TmaStoreOp>(op, map(store.getValue()), map(store.getMap()),
                                           map(store.getRow()), map(store.getHead()), map(store.getBatch()),
                                           map(store.getStaging()), tile[0], tile[1]);
      })
      .Case([&](tile::VoteOp vote) {
        return replace<thread::VoteOp>(op, b.getI32Type(), map(vote.getBits()), voteBarrier, voters);
      })
      .Case([&](tile::TurnWaitOp) { return visitTurn(op, false); })
      .Case([&](tile::TurnPassOp) { return visitTurn(op, true); })
      .Case([&](tile::DotIssueOp dot) {
        ArrayRef<int64_t> a = shape(dot.getA()), result = shape(dot.getResult());
        return replace<thread::DotIssueOp>(op, resultType(), map(dot.getA()), map(dot.getB()),
                                           dot.getTransposed(), map(dot.getC()), result[0], result[1], a[1],
                                           cast<RankedTensorType>(dot.getA().getType()).getElementType());
      })
      .Case([&](tile::DotWaitOp wait) {
        return replace<thread::DotWaitOp>(op, resultType(), map(wait.getValue()), wait.getPending());
      })
      .Case([&](tile::SmemTileOp tile) {
        mapping.map(tile.getTile(), map(tile.getOffset()));
        return mlir::success();
      })
      .Case([&](tile::AsyncCopyOp copy) {
        ArrayRef<int64_t> tile = shape(copy.getTile());
        return replace<thread::AsyncCopyOp>(op, map(copy.getView()), map(copy.getRow()), map(copy.getTile()),
                                            tile[0], tile[1], copy.getBounded(), map(copy.getCondition()));
      })
      .Case([&](tile::LoadOperandOp load) {
        ArrayRef<int64_t> tile = shape(load.getTile());
        return replace<thread::LoadOperandOp>(op, resultType(), map(load.getTile()), tile[0], tile[1]);
      })
      .Case([&](tile::DotOp dot) {
        ArrayRef<int64_t> a = shape(dot.getA()), result = shape(dot.getResult());
        return replace<thread::DotOp>(op, resultType(), map(dot.getA()), map(dot.getB()), dot.getTransposed(),
                                      map(dot.getC()), result[0], result[1], a[1],
                                      cast<RankedTensorType>(dot.getA().getType()).getElementType());
      })
      .Case([&](tile::RowReduceOp reduce) {
        if (failed(replace<thread::RowReduceOp>(op, resultType(), reduce.getKind(), map(reduce.getValue()),
                                                map(reduce.getInit()))))
          return failure();
        if (reduce.getPartial())
          return mlir::success();
        Value partial = map(reduce.getResult());
        return replace<thread::RowCombineOp>(op, partial.getType(), reduce.getKind(), partial);
      })
      .Case([&](tile::RowCombineOp combine) {
        return replace<thread::RowCombineOp>(op, resultType(), combine.getKind(), map(combine.getValue()));
      })
      .Case([&](tile::RowBroadcastOp broadcast) {
        return replace<thread::RowBroadcastOp>(op, resultType(), map(broadcast.getValue()));
      })
      .Case([&](tile::RowIndexOp) { return replace<thread::RowIndexOp>(op, resultType()); })
      .Case([&](tile::ColumnIndexOp index) {
        ArrayRef<int64_t> tile = shape(index.getResult());
        return replace<thread::ColumnIndexOp>(op, resultType(), tile[0], tile[1]);
      })
      .Case([&](tile::FirstColumnOp) { return replace<thread::FirstColumnOp>(op, resultType()); })
      .Case([&](tile::RampOp ramp) {
        ArrayRef<int64_t> tile = shape(ramp.getResult());
        return replace<thread::RampOp>(op, resultType(), map(ramp.getValue()), map(ramp.getStep()), tile[0],
                                       tile[1]);
      })
      .Case([&](tile::KeepColumnsOp keep) {
        ArrayRef<int64_t> tile = shape(keep.getValue());
        return replace<thread::KeepColumnsOp>(op, resultType(), map(keep.getValue()), map(keep.getRow()),
                                              map(keep.getColumn()), map(keep.getFirst()),
                                              map(keep.getLast()), map(keep.getFirstShift()),
                                              map(keep.getLastShift()), tile[0], tile[1]);
      })
      .Case([&](tile::RetryOp retry) {
        return replace<thread::RetryOp>(op, map(retry.getCondition()), map(retry.getNext()),
                                        map(retry.getAllowed()));
      })
      .Case([&](tile::TakeNonfiniteOp take) {
        ArrayRef<int64_t> tile = shape(take.getTile());
        return replace<thread::TakeNonfiniteOp>(op, resultType(), map(take.getTile()), map(take.getScores()),
                                                map(take.getOut()), tile[0], tile[1],
                                                take.getTile().getType().getElementType(), meetingOfRole());
      })
      .Case([&](tile::ToAOpOp convert) {
        ArrayRef<int64_t> tile = shape(convert.getValue());
        return replace<thread::ToAOpOp>(op, resultType(), map(convert.getValue()), tile[0], tile[1]);
      })
      .Case([&](tile::WarpAnyOp any) { return replace<thread::WarpAnyOp>(op, map(any.getCondition())); })
      .Case([&](tile::StoreOp store) {
        ArrayRef<int64_t> tile = shape(store.getValue());
        return replace<thread::StoreOp>(op, map(store.getValue()), map(store.getView()), map(store.getRow()),
                                        map(store.getStaging()), tile[0], tile[1],
                                        role ? meetingOfReplica(op->getLoc()) : Value());
      })
      .Case([&](tile::StoreRowsOp store) {
        return replace<thread::StoreRowsOp>(op, map(store.getValue()), map(store.getView()),
                                            map(store.getRow()));
      })
      .Case([&](tensor::SplatOp splat) {
        return replace<vector::BroadcastOp>(op, resultType(), map(splat.getInput()));
      })
      .Case([&](tile::LoadValueOp load) {
        SmallVector<Value> indices;
        for (Value index : load.getIndices())
          indices.push_back(map(index));
        return replace<tile::LoadValueOp>(op, resultType(), map(load.getArray()), indices);
      })
      .Case([&](tile::RingOp ring) -> LogicalResult {
        if (!ring.getReleases())
          return ring.emitOpError("expected a ring whose ring operations are lowered by tile-lower-channels");
        b.clone(*op, mapping);
        return mlir::success();
      })
      .Case<tile::AttemptOp, tile::UniformOp, tile::ViewOp, tile::CommitGroupOp, tile::WaitGroupOp,
            gpu::BarrierOp, gpu::BlockIdOp, gpu::GridDimOp, scf::YieldOp, scf::ConditionOp,
            tile::BarrierInitOp, tile::BarrierWaitOp, tile::BarrierArriveOp, tile::PlaceOp, tile::NextPlaceOp,
            tile::SlotAcquireOp, tile::SlotReleaseOp, tile::TmaLoadOp, tile::StoreWaitOp, tile::DrawOp,
            tile::StoreWordOp, tile::LoadWordOp, tile::LoadEntryOp, tile::StoreEntryOp, tile::CountBlocksOp,
            tile::LastBlockOp, tile::LeastOp, tile::LargestOp>([&](Operation *) {
        b.clone(*op, mapping);
        return mlir::success();
      })
      .Default([&](Operation *) -> LogicalResult {
        StringRef dialect = op->getName().getDialectNamespace();
        if (dialect == "arith" || dialect == "math")
          return visitElementwise(op);
        return op->emitOpError(
            "expected an operation that can be distributed to threads; ring operations are "
            "lowered by tile-lower-channels");
      });
}

namespace {
struct TileDistributePass : impl::TileDistributeBase<TileDistributePass> {
  void runOnOperation() override {
    for (auto kernel : llvm::make_early_inc_range(getOperation().getOps<tile::KernelOp>())) {
      if (failed(Distributor(kernel).run()))
        return signalPassFailure();
      kernel.erase();
    }
  }
};
} // namespace
} // namespace attune
