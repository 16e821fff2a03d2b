//===- ThreadToNvvm.cpp - the thread form as LLVM and NVVM ----------------===//
#include "compiler/transforms/ThreadToNvvm.h"

#include "compiler/dialect/Elements.h"
#include "compiler/dialect/ScalarOps.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_THREADTONVVM
#include "compiler/transforms/Passes.h.inc"

static constexpr StringLiteral kSharedName = "attune_shared";

ThreadToNvvm::ThreadToNvvm(thread::KernelOp kernel, OpBuilder &builder)
    : kernel(kernel), b(builder), loc(kernel.getLoc()), warps(int64_t(kernel.getWarps().value_or(0))),
      arguments(tile::argumentsOf(kernel)), block(arguments) {}

//===----------------------------------------------------------------------===//
// The function
//===----------------------------------------------------------------------===//

LogicalResult ThreadToNvvm::run() {
  OpBuilder::InsertionGuard guard(b);
  MLIRContext *context = b.getContext();
  auto module = kernel->getParentOfType<ModuleOp>();
  b.setInsertionPoint(kernel);
  if (!module.lookupSymbol(kSharedName))
    LLVM::GlobalOp::create(b, loc, LLVM::LLVMArrayType::get(b.getI8Type(), 0), /*isConstant=*/false,
                           LLVM::Linkage::External, kSharedName, Attribute(), /*alignment=*/1024,
                           /*addrSpace=*/3);
  auto pointer = LLVM::LLVMPointerType::get(context);
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), {pointer});
  func = LLVM::LLVMFuncOp::create(b, loc, kernel.getSymName(), type);
  func->setAttr("nvvm.kernel", b.getUnitAttr());
  // What a launch needs beside the code stays readable at this stage too.
  DictionaryAttr facts = tile::kernelFacts(kernel);
  int64_t threads = facts.getAs<IntegerAttr>("threads").getInt();
  func->setAttr("nvvm.maxntid", b.getDenseI32ArrayAttr({int32_t(threads), 1, 1}));
  func->setAttr("nvvm.minctasm", b.getI32IntegerAttr(int32_t(kernel.getMinBlocks())));
  func->setAttr("thread.kernel", facts);
  func.setArgAttr(
      0, "llvm.byval",
      TypeAttr::get(LLVM::LLVMArrayType::get(b.getI64Type(), unsigned(std::max(block.bytes, 8)) / 8)));
  func.setArgAttr(0, "llvm.align", b.getI64IntegerAttr(block.alignment));
  func.setArgAttr(0, "llvm.noundef", b.getUnitAttr());
  func.setArgAttr(0, "nvvm.grid_constant", b.getUnitAttr());
  Block *entry = func.addEntryBlock(b);
  b.setInsertionPointToEnd(entry);

  params = entry->getArgument(0);
  start = func.addBlock();
  start->addArgument(b.getI32Type(), loc);
  LLVM::BrOp::create(b, loc, ValueRange{i32(0)}, start);
  b.setInsertionPointToEnd(start);
  // Opaque: what follows from it is computed anew in every attempt, and not kept in registers through the
  // first.
  thread = opaque(NVVM::ThreadIdXOp::create(b, loc, b.getI32Type()));
  lane = band(thread, 31);
  warp = shr(thread, 5);
  laneRow = shr(lane, 2);
  laneColumn = mul(band(lane, 3), 2);
  Value symbol = LLVM::AddressOfOp::create(b, loc, LLVM::LLVMPointerType::get(context, 3), kSharedName);
  sharedBase = LLVM::PtrToIntOp::create(b, loc, b.getI32Type(), symbol);
  for (BlockArgument argument : kernel.getBody().getArguments())
    if (arguments[argument.getArgNumber()].kind == Argument::Kind::Scalar && !argument.use_empty())
      values[argument] = {field(argument, ParameterField::What::Value)};

  if (failed(lowerBlock(kernel.getBody().front())))
    return failure();
  LLVM::ReturnOp::create(b, loc, ValueRange());
  return mlir::success();
}

LogicalResult ThreadToNvvm::lowerBlock(Block &block) {
  for (Operation &op : block) {
    // A kernel's body has no terminator; those of loops and branches are lowered with them.
    if (op.hasTrait<OpTrait::IsTerminator>())
      continue;
    loc = op.getLoc();
    if (failed(lower(&op)))
      return failure();
  }
  return mlir::success();
}

LogicalResult ThreadToNvvm::lowerFor(scf::ForOp loop) {
  // Tested at the end: one branch an iteration.
  Value from = scalar(loop.getLowerBound()), to = scalar(loop.getUpperBound()), by = scalar(loop.getStep());
  Registers inits;
  for (Value init : loop.getInitArgs())
    llvm::append_range(inits, registers(init));
  Block *body = func.addBlock(), *exit = func.addBlock();
  body->addArgument(b.getI32Type(), loc);
  for (Value init : inits) {
    body->addArgument(init.getType(), loc);
    exit->addArgument(init.getType(), loc);
  }
  Registers start = {from};
  llvm::append_range(start, inits);
  LLVM::CondBrOp::create(b, loc, less(from, to), body, start, exit, inits);

  b.setInsertionPointToEnd(body);
  values[loop.getInductionVar()] = {body->getArgument(0)};
  unsigned next = 1;
  auto take = [&](Block *block, unsigned &position, Value value, Value like) {
    size_t count = registers(like).size();
    Registers taken(block->getArguments().slice(position, count));
    position += count;
    values[value] = std::move(taken);
  };
  for (auto [argument, init] : llvm::zip(loop.getRegionIterArgs(), loop.getInitArgs()))
    take(body, next, argument, init);
  if (failed(lowerBlock(*loop.getBody())))
    return failure();
  loc = loop.getLoc();
  Value following = add(body->getArgument(0), by);
  Registers again = {following}, results;
  for (Value value : loop.getBody()->getTerminator()->getOperands())
    llvm::append_range(results, registers(value));
  llvm::append_range(again, results);
  LLVM::CondBrOp::create(b, loc, less(following, to), body, again, exit, results);

  b.setInsertionPointToEnd(exit);
  next = 0;
  for (auto [result, init] : llvm::zip(loop.getResults(), loop.getInitArgs()))
    take(exit, next, result, init);
  return mlir::success();
}

LogicalResult ThreadToNvvm::lowerWhile(scf::WhileOp loop) {
  Block *before = func.addBlock(), *after = func.addBlock(), *exit = func.addBlock();
  auto allOf = [&](ValueRange list) {
    Registers all;
    for (Value value : list)
      llvm::append_range(all, registers(value));
    return all;
  };
  auto takeArguments = [&](Block *block, ValueRange arguments, ValueRange like) {
    for (auto [argument, value] : llvm::zip(arguments, like)) {
      Registers taken;
      for (Value one : registers(value))
        taken.push_back(block->addArgument(one.getType(), loc));
      values[argument] = std::move(taken);
    }
  };
  takeArguments(before, loop.getBeforeArguments(), loop.getInits());
  LLVM::BrOp::create(b, loc, allOf(loop.getInits()), before);
  b.setInsertionPointToEnd(before);
  if (failed(lowerBlock(*loop.getBeforeBody())))
    return failure();
  loc = loop.getLoc();
  scf::ConditionOp condition = loop.getConditionOp();
  takeArguments(after, loop.getAfterArguments(), condition.getArgs());
  takeArguments(exit, loop.getResults(), condition.getArgs());
  Registers given = allOf(condition.getArgs());
  LLVM::CondBrOp::create(b, loc, scalar(condition.getCondition()), after, given, exit, given);
  b.setInsertionPointToEnd(after);
  if (failed(lowerBlock(*loop.getAfterBody())))
    return failure();
  loc = loop.getLoc();
  LLVM::BrOp::create(b, loc, allOf(loop.getYieldOp().getOperands()), before);
  b.setInsertionPointToEnd(exit);
  return mlir::success();
}

LogicalResult ThreadToNvvm::lowerIf(scf::IfOp branch) {
  Block *then = func.addBlock(), *otherwise = branch.getElseRegion().empty() ? nullptr : func.addBlock();
  Block *merge = func.addBlock();
  LLVM::CondBrOp::create(b, loc, scalar(branch.getCondition()), then, otherwise ? otherwise : merge);
  Registers results;
  SmallVector<size_t> counts;
  auto side = [&](Block *block, Region &region) -> LogicalResult {
    b.setInsertionPointToEnd(block);
    if (failed(lowerBlock(region.front())))
      return failure();
    loc = branch.getLoc();
    results.clear();
    counts.clear();
    for (Value value : region.front().getTerminator()->getOperands()) {
      llvm::append_range(results, registers(value));
      counts.push_back(registers(value).size());
    }
    LLVM::BrOp::create(b, loc, results, merge);
    return mlir::success();
  };
  if (failed(side(then, branch.getThenRegion())))
    return failure();
  for (Value result : results)
    merge->addArgument(result.getType(), loc);
  if (otherwise && failed(side(otherwise, branch.getElseRegion())))
    return failure();
  b.setInsertionPointToEnd(merge);
  size_t position = 0;
  for (auto [result, count] : llvm::zip(branch.getResults(), counts)) {
    values[result] = Registers(merge->getArguments().slice(position, count));
    position += count;
  }
  return mlir::success();
}

//===----------------------------------------------------------------------===//
// Roles
//===----------------------------------------------------------------------===//

LogicalResult ThreadToNvvm::lowerRoles(thread::SpecializeOp specialize) {
  // The warp's number in a register that is the same for all its threads, so that branches on it are uniform.
  Value blockThread = thread;
  Value blockWarp = NVVM::ShflOp::create(b, loc, b.getI32Type(), i32(-1), warp, i32(0), i32(31),
                                         NVVM::ShflKind::idx, UnitAttr());
  // What the launch bounds leave a thread, in the steps of setmaxnreg.
  int64_t threads = func->getAttrOfType<DenseI32ArrayAttr>("nvvm.maxntid")[0];
  int64_t atEntry = 65536 / (threads * int64_t(kernel.getMinBlocks())) / 8 * 8;
  for (auto role : specialize.getRoles().getOps<thread::RoleOp>()) {
    loc = role.getLoc();
    int64_t first = int64_t(role.getFirstWarp());
    replicas = int64_t(role.getReplicas());
    warps = int64_t(role.getWarps());
    Value inRole = add(blockWarp, -first);
    Value mine = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::ult, inRole, i32(warps * replicas));
    LogicalResult lowered = mlir::success();
    branch(mine, [&] {
      if (std::optional<uint64_t> registers = role.getRegisters())
        NVVM::SetMaxRegisterOp::create(b, loc, uint32_t(*registers),
                                       int64_t(*registers) < atEntry ? NVVM::SetMaxRegisterAction::decrease
                                                                     : NVVM::SetMaxRegisterAction::increase);
      replica = replicas == 1 ? i32(0) : Value(LLVM::UDivOp::create(b, loc, inRole, i32(warps)));
      Value inReplica = LLVM::SubOp::create(b, loc, inRole, mul(replica, warps));
      thread = add(band(blockThread, 31), mul(inReplica, 32));
      warp = inReplica;
      auto body = [&] {
        // One lane, and ptxas knows that it is one: under `lane == 0` it would put a loop around each copy.
        elected = NVVM::ElectSyncOp::create(b, loc, b.getI1Type(), Value());
        lowered = lowerBlock(role.getBody().front());
      };
      if (role.getFirstWarpOnly())
        branch(LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::eq, inReplica, i32(0)), body);
      else
        body();
    });
    if (failed(lowered))
      return failure();
  }
  return mlir::success();
}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

Value ThreadToNvvm::field(Value argument, ParameterField::What what, size_t axis) {
  size_t index = cast<BlockArgument>(argument).getArgNumber();
  const ParameterField &field = block.field(index, what, axis);
  Type type = field.bytes == 8 ? Type(b.getI64Type()) : argument.getType();
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  Value place =
      LLVM::GEPOp::create(b, loc, pointer, b.getI8Type(), params, ArrayRef<LLVM::GEPArg>{field.offset});
  return LLVM::LoadOp::create(b, loc, type, place, /*alignment=*/unsigned(field.bytes));
}

void ThreadToNvvm::lowerRetry(thread::RetryOp op) {
  Value any;
  for (Value condition : registers(op.getCondition()))
    any = any ? Value(LLVM::OrOp::create(b, loc, any, condition)) : condition;
  any = LLVM::AndOp::create(b, loc, any, scalar(op.getAllowed()));
  Value word = LLVM::ZExtOp::create(b, loc, b.getI32Type(), any);
  Value anywhere =
      asmMemory(b.getI32Type(),
                "{ .reg .pred p; setp.ne.b32 p, $1, 0; bar.red.or.pred p, 0, p; selp.b32 $0, 1, 0, p; }",
                "=r,r", word)
          .getResult(0);
  // A branch back that might part a warp would keep all that is uniform in registers of the threads.
  Value back = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::ne, uniform(anywhere), i32(0));
  Block *again = func.addBlock(), *after = func.addBlock();
  LLVM::CondBrOp::create(b, loc, back, again, after);
  b.setInsertionPointToEnd(again);
  LLVM::BrOp::create(b, loc, ValueRange{uniform(scalar(op.getNext()))}, start);
  b.setInsertionPointToEnd(after);
}

Value ThreadToNvvm::elementAddress(Value array, ArrayRef<Value> indices) {
  // 64 bits throughout: arrays may be larger than 2^31 elements.
  Type wide = b.getI64Type();
  auto type = cast<tile::ArrayType>(array.getType());
  auto product = [&](Value x, Value y) -> Value { return LLVM::MulOp::create(b, loc, x, y); };
  Value elements;
  for (auto [axis, index] : llvm::enumerate(indices)) {
    Value place = LLVM::ZExtOp::create(b, loc, wide, index);
    if (int64_t(axis) + 1 < type.getRank())
      place = product(place, field(array, ParameterField::What::Stride, axis));
    elements = elements ? add(elements, place) : place;
  }
  Value base = field(array, ParameterField::What::Base);
  return elements ? add(base, product(elements, i64(infoOf(type.getElementType()).bytes()))) : base;
}

void ThreadToNvvm::lowerLoadValue(tile::LoadValueOp op) {
  Type element = op.getArray().getType().getElementType();
  const DTypeInfo &info = infoOf(element);
  int64_t bytes = info.bytes();
  // A short real number with the exponent of f32 is the upper bits of one.
  bool isUpperBits = info.isReal() && bytes < 4 && info.exponentBits == infoOf(DType::F32).exponentBits;
  Type stored = info.isReal() && !isUpperBits ? element : b.getIntegerType(unsigned(8 * bytes));
  auto load = [&](ArrayRef<Value> indices) -> Value {
    Value value = LLVM::LoadOp::create(b, loc, stored, globalPointer(elementAddress(op.getArray(), indices)),
                                       unsigned(bytes), /*isVolatile=*/false, /*isNonTemporal=*/false,
                                       /*isInvariant=*/true);
    if (bytes >= 4)
      return value;
    if (stored == element)
      return LLVM::FPExtOp::create(b, loc, b.getF32Type(), value);
    value = LLVM::ZExtOp::create(b, loc, b.getI32Type(), value);
    if (!isUpperBits)
      return value;
    value = LLVM::ShlOp::create(b, loc, value, i32(32 - info.bits));
    return LLVM::BitcastOp::create(b, loc, b.getF32Type(), value);
  };
  auto shaped = dyn_cast<VectorType>(op.getResult().getType());
  Registers results;
  for (int64_t i = 0; i != (shaped ? shaped.getNumElements() : 1); ++i) {
    SmallVector<Value> indices;
    for (Value index : op.getIndices()) {
      Registers &source = registers(index);
      indices.push_back(source[source.size() == 1 ? 0 : size_t(i)]);
    }
    results.push_back(load(indices));
  }
  values[op.getResult()] = std::move(results);
}

Value ThreadToNvvm::entryPointer(Value workspace, Value index) {
  Value bytes =
      LLVM::MulOp::create(b, loc, Value(LLVM::ZExtOp::create(b, loc, b.getI64Type(), index)), i64(4));
  return globalPointer(add(field(workspace, ParameterField::What::Base), bytes));
}

void ThreadToNvvm::lowerLoadEntry(tile::LoadEntryOp op) {
  values[op.getResult()] = {LLVM::LoadOp::create(
      b, loc, b.getI32Type(), entryPointer(op.getWorkspace(), scalar(op.getIndex())), 4, /*isVolatile=*/false,
      /*isNonTemporal=*/false, /*isInvariant=*/true)};
}

void ThreadToNvvm::lowerStoreEntry(tile::StoreEntryOp op) {
  branch(LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::eq, lane, i32(0)), [&] {
    LLVM::StoreOp::create(b, loc, scalar(op.getValue()),
                          entryPointer(op.getWorkspace(), scalar(op.getIndex())), 4);
  });
}

void ThreadToNvvm::lowerView(tile::ViewOp op) {
  int64_t elementBytes = infoOf(op.getType().getElementType()).bytes();
  GlobalView view;
  SmallVector<Value> indices;
  for (Value index : op.getIndices())
    indices.push_back(scalar(index));
  view.base = elementAddress(op.getArray(), indices);
  view.cols = op.getType().getCols();
  view.rows = scalar(op.getRows());
  // Rows of one element are adjacent; other strides stay below 2^30 elements, which the runtime checks.
  view.elementBytes = elementBytes;
  view.rowStride = view.cols == 1
                       ? i32(1)
                       : Value(LLVM::TruncOp::create(
                             b, loc, b.getI32Type(),
                             field(op.getArray(), ParameterField::What::Stride, op.getIndices().size())));
  views[op.getResult()] = view;
}

//===----------------------------------------------------------------------===//
// Elementwise operations
//===----------------------------------------------------------------------===//

LogicalResult ThreadToNvvm::lowerElementwise(Operation *op) {
  if (op->getNumResults() != 1)
    return op->emitOpError("expected an operation of the thread form");
  Type type = op->getResult(0).getType();
  size_t count = isa<VectorType>(type) ? size_t(cast<VectorType>(type).getNumElements()) : 1;
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    TypedAttr value = constant.getValue();
    if (auto dense = dyn_cast<DenseElementsAttr>(value)) {
      if (!dense.isSplat())
        return op->emitOpError("expected a constant of one value");
      value = dense.getSplatValue<TypedAttr>();
    }
    if (value.getType().isIndex())
      value = b.getI32IntegerAttr(int32_t(cast<IntegerAttr>(value).getInt()));
    values[op->getResult(0)] = Registers(count, LLVM::ConstantOp::create(b, loc, value.getType(), value));
    return mlir::success();
  }
  const ScalarOp *row = findScalarOp(op);
  if (!row && !isa<vector::BroadcastOp>(op))
    return op->emitOpError("expected an operation of the thread form");
  Registers results;
  for (size_t i = 0; i != count; ++i) {
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      Registers &source = registers(operand);
      operands.push_back(source[source.size() == 1 ? 0 : i]);
    }
    results.push_back(row ? row->lower(b, loc, op, operands) : operands.front());
  }
  values[op->getResult(0)] = std::move(results);
  return mlir::success();
}

LogicalResult ThreadToNvvm::lower(Operation *op) {
  auto done = [](auto lowerOne) { return lowerOne(), mlir::success(); };
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](scf::ForOp x) { return lowerFor(x); })
      .Case([&](scf::IfOp x) { return lowerIf(x); })
      .Case([&](scf::WhileOp x) { return lowerWhile(x); })
      .Case([&](thread::SpecializeOp x) { return lowerRoles(x); })
      .Case([&](thread::ReplicaOp x) {
        values[x.getResult()] = {replica};
        return mlir::success();
      })
      .Case([&](tile::LoadValueOp x) { return done([&] { lowerLoadValue(x); }); })
      .Case([&](tile::LoadEntryOp x) { return done([&] { lowerLoadEntry(x); }); })
      .Case([&](tile::StoreEntryOp x) { return done([&] { lowerStoreEntry(x); }); })
      .Case([&](tile::CountBlocksOp x) { return lowerCount(x); })
      .Case([&](tile::LastBlockOp x) { return lowerLast(x); })
      .Case([&](tile::LeastOp x) { return lowerExtreme(x, x.getBody(), x.getBegin(), x.getEnd()); })
      .Case([&](tile::LargestOp x) { return lowerExtreme(x, x.getBody(), x.getBegin(), x.getEnd()); })
      .Case([&](tile::ViewOp x) { return done([&] { lowerView(x); }); })
      .Case([&](gpu::BlockIdOp x) {
        Type i = b.getI32Type();
        Value id = x.getDimension() == gpu::Dimension::x   ? Value(NVVM::BlockIdXOp::create(b, loc, i))
                   : x.getDimension() == gpu::Dimension::y ? Value(NVVM::BlockIdYOp::create(b, loc, i))
                                                           : Value(NVVM::BlockIdZOp::create(b, loc, i));
        values[x.getResult()] = {id};
        return mlir::success();
      })
      .Case([&](gpu::GridDimOp x) {
        Type i = b.getI32Type();
        Value size = x.getDimension() == gpu::Dimension::x   ? Value(NVVM::GridDimXOp::create(b, loc, i))
                     : x.getDimension() == gpu::Dimension::y ? Value(NVVM::GridDimYOp::create(b, loc, i))
                                                             : Value(NVVM::GridDimZOp::create(b, loc, i));
        values[x.getResult()] = {size};
        return mlir::success();
      })
      .Case([&](gpu::BarrierOp) { return done([&] { barrier(); }); })
      .Case([&](tile::CommitGroupOp) { return done([&] { NVVM::CpAsyncCommitGroupOp::create(b, loc); }); })
      .Case([&](tile::WaitGroupOp x) {
        return done([&] { NVVM::CpAsyncWaitGroupOp::create(b, loc, uint32_t(x.getPending())); });
      })
      .Case([&](tile::BarrierInitOp x) { return done([&] { lowerBarrierInit(x); }); })
      .Case([&](tile::BarrierWaitOp x) { return done([&] { lowerBarrierWait(x); }); })
      .Case([&](tile::BarrierArriveOp x) { return done([&] { lowerBarrierArrive(x); }); })
      .Case([&](tile::RingOp) { return mlir::success(); }) // its slots are addressed where they are used
      .Case([&](tile::PlaceOp x) { return done([&] { lowerPlace(x); }); })
      .Case([&](tile::NextPlaceOp x) { return done([&] { lowerNextPlace(x); }); })
      .Case([&](tile::SlotAcquireOp x) { return done([&] { lowerSlotAcquire(x); }); })
      .Case([&](tile::SlotWaitOp x) { return done([&] { lowerSlotWait(x); }); })
      .Case([&](tile::SlotReleaseOp x) { return done([&] { lowerSlotRelease(x); }); })
      .Case([&](tile::TmaLoadOp x) { return done([&] { lowerTmaLoad(x); }); })
      .Case([&](thread::TmaStoreOp x) { return done([&] { lowerTmaStore(x); }); })
      .Case([&](tile::StoreWaitOp x) {
        Type none = LLVM::LLVMVoidType::get(b.getContext());
        const char *text =
            x.getWritten() ? "cp.async.bulk.wait_group 0;" : "cp.async.bulk.wait_group.read 0;";
        return done([&] { asmMemory(none, text, "", {}); });
      })
      .Case([&](thread::NamedBarrierOp x) { return done([&] { lowerNamedBarrier(x); }); })
      .Case([&](thread::VoteOp x) { return done([&] { lowerVote(x); }); })
      .Case([&](tile::DrawOp x) { return done([&] { lowerDraw(x); }); })
      .Case([&](tile::StoreWordOp x) { return done([&] { lowerStoreWord(x); }); })
      .Case([&](tile::LoadWordOp x) { return done([&] { lowerLoadWord(x); }); })
      .Case([&](thread::DotIssueOp x) { return done([&] { lowerDotIssue(x); }); })
      .Case([&](thread::DotWaitOp x) { return done([&] { lowerDotWait(x); }); })
      .Case([&](thread::AsyncCopyOp x) { return done([&] { lowerAsyncCopy(x); }); })
      .Case([&](thread::LoadOperandOp x) { return done([&] { lowerLoadOperand(x); }); })
      .Case([&](thread::DotOp x) { return done([&] { lowerDot(x); }); })
      .Case([&](tile::AttemptOp x) { return done([&] { values[x.getResult()] = {start->getArgument(0)}; }); })
      .Case([&](tile::UniformOp x) {
        return done([&] { values[x.getResult()] = {uniform(scalar(x.getValue()))}; });
      })
      .Case([&](thread::RetryOp x) { return done([&] { lowerRetry(x); }); })
      .Case([&](thread::TakeNonfiniteOp x) { return done([&] { lowerTakeNonfinite(x); }); })
      .Case([&](thread::ToAOpOp x) { return done([&] { lowerToAOp(x); }); })
      .Case([&](thread::StoreOp x) { return done([&] { lowerStore(x); }); })
      .Case([&](thread::StoreRowsOp x) { return done([&] { lowerStoreRows(x); }); })
      .Case([&](thread::RowReduceOp x) { return done([&] { lowerRowReduce(x); }); })
      .Case([&](thread::RowCombineOp x) { return done([&] { lowerRowCombine(x); }); })
      .Case([&](thread::RowIndexOp x) { return done([&] { lowerRowIndex(x); }); })
      .Case([&](thread::ColumnIndexOp x) { return done([&] { lowerColumnIndex(x); }); })
      .Case([&](thread::FirstColumnOp x) { return done([&] { lowerFirstColumn(x); }); })
      .Case([&](thread::RampOp x) { return done([&] { lowerRamp(x); }); })
      .Case([&](thread::KeepColumnsOp x) { return done([&] { lowerKeepColumns(x); }); })
      .Case([&](thread::RowBroadcastOp x) {
        Registers &rows = registers(x.getValue());
        int64_t count = cast<VectorType>(x.getType()).getNumElements(), slabs = int64_t(rows.size()) / 2;
        Registers result;
        for (int64_t i = 0; i != count; ++i)
          result.push_back(rows[size_t(rowOfAccValue(i, count / slabs / 4 * 8))]);
        values[x.getResult()] = std::move(result);
        return mlir::success();
      })
      .Case([&](thread::WarpAnyOp x) {
        Value any;
        for (Value condition : registers(x.getCondition()))
          any = any ? Value(LLVM::OrOp::create(b, loc, any, condition)) : condition;
        values[x.getResult()] = {
            NVVM::VoteSyncOp::create(b, loc, b.getI1Type(), i32(-1), any, NVVM::VoteSyncKind::any)};
        return mlir::success();
      })
      .Default([&](Operation *) { return lowerElementwise(op); });
}

namespace {
struct ThreadToNvvmPass : impl::ThreadToNvvmBase<ThreadToNvvmPass> {
  void runOnOperation() override {
    OpBuilder builder(&getContext());
    for (auto kernel : llvm::make_early_inc_range(getOperation().getOps<thread::KernelOp>())) {
      if (failed(ThreadToNvvm(kernel, builder).run()))
        return signalPassFailure();
      kernel.erase();
    }
  }
};
} // namespace
} // namespace attune
