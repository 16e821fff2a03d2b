// The thread form as LLVM and NVVM dialect: the function, control flow, and what happens to each value alone.
#include "compiler/spec/KernelParams.h"
#include "compiler/transforms/ThreadLowering.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cstddef>

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_THREADTONVVM
#include "compiler/transforms/Passes.h.inc"

static constexpr StringLiteral kSharedName = "attune_shared";

ThreadLowering::ThreadLowering(thread::KernelOp kernel, OpBuilder &builder)
    : kernel(kernel), b(builder), loc(kernel.getLoc()), warps(kernel.getWarps()) {}

//===----------------------------------------------------------------------===//
// Small helpers
//===----------------------------------------------------------------------===//

Value ThreadLowering::i32(int64_t value) {
  return LLVM::ConstantOp::create(b, loc, b.getI32Type(), b.getI32IntegerAttr(int32_t(value)));
}
Value ThreadLowering::i64(int64_t value) {
  return LLVM::ConstantOp::create(b, loc, b.getI64Type(), b.getI64IntegerAttr(value));
}
Value ThreadLowering::f32(float value) {
  return LLVM::ConstantOp::create(b, loc, b.getF32Type(), b.getF32FloatAttr(value));
}
Value ThreadLowering::add(Value x, Value y) { return LLVM::AddOp::create(b, loc, x, y); }
Value ThreadLowering::add(Value x, int64_t y) {
  if (y == 0)
    return x;
  return add(x, x.getType().isInteger(64) ? i64(y) : i32(y));
}
Value ThreadLowering::mul(Value x, int64_t y) {
  return y == 1 ? x : Value(LLVM::MulOp::create(b, loc, x, i32(y)));
}
Value ThreadLowering::band(Value x, int64_t y) { return LLVM::AndOp::create(b, loc, x, i32(y)); }
Value ThreadLowering::shr(Value x, int64_t y) {
  return y == 0 ? x : Value(LLVM::LShrOp::create(b, loc, x, i32(y)));
}
Value ThreadLowering::bxor(Value x, Value y) { return LLVM::XOrOp::create(b, loc, x, y); }
Value ThreadLowering::less(Value x, Value y) {
  return LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::slt, x, y);
}

static LLVM::InlineAsmOp makeAsm(OpBuilder &b, Location loc, Type type, StringRef text, StringRef constraints,
                                 ValueRange operands, bool sideEffects) {
  auto dialect = LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT);
  return LLVM::InlineAsmOp::create(b, loc, type, operands, text, constraints, sideEffects,
                                   /*is_align_stack=*/false, LLVM::TailCallKind::None, dialect, ArrayAttr());
}

Value ThreadLowering::asm1(Type type, StringRef text, StringRef constraints, ValueRange operands) {
  return makeAsm(b, loc, type, text, constraints, operands, /*sideEffects=*/false).getResult(0);
}

LLVM::InlineAsmOp ThreadLowering::asmMemory(Type type, StringRef text, StringRef constraints,
                                            ValueRange operands) {
  return makeAsm(b, loc, type, text, (constraints + ",~{memory}").str(), operands, /*sideEffects=*/true);
}

Value ThreadLowering::intrinsic(StringRef name, Type type, ValueRange operands) {
  auto call = LLVM::CallIntrinsicOp::create(b, loc, type, b.getStringAttr(name), operands);
  return call.getResults();
}

Value ThreadLowering::madWide(Value x, Value y, Value z) {
  return asm1(b.getI64Type(), "mad.wide.s32 $0, $1, $2, $3;", "=l,r,r,l", {x, y, z});
}

Value ThreadLowering::opaque(Value value) {
  return makeAsm(b, loc, b.getI32Type(), "mov.b32 $0, $1;", "=r,r", value, /*sideEffects=*/true).getResult(0);
}

Value ThreadLowering::sharedPointer(Value address) {
  return LLVM::IntToPtrOp::create(b, loc, LLVM::LLVMPointerType::get(b.getContext(), 3), address);
}

Value ThreadLowering::globalPointer(Value address, int64_t bytes) {
  return LLVM::IntToPtrOp::create(b, loc, LLVM::LLVMPointerType::get(b.getContext(), 1), add(address, bytes));
}

Value ThreadLowering::loadParam(int64_t offset, Type type) {
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  Value field =
      LLVM::GEPOp::create(b, loc, pointer, b.getI8Type(), params, ArrayRef<LLVM::GEPArg>{int32_t(offset)});
  return LLVM::LoadOp::create(b, loc, type, field, /*alignment=*/type.isInteger(64) ? 8 : 4);
}

Value ThreadLowering::shuffle(Value value, int64_t mask) {
  return NVVM::ShflOp::create(b, loc, value.getType(), i32(-1), value, i32(mask), i32(31),
                              NVVM::ShflKind::bfly, UnitAttr());
}

Value ThreadLowering::pack(Value low, Value high, Type element) {
  Type pair = VectorType::get({2}, element);
  Value packed =
      intrinsic(element.isBF16() ? "llvm.nvvm.ff2bf16x2.rn" : "llvm.nvvm.ff2f16x2.rn", pair, {high, low});
  return LLVM::BitcastOp::create(b, loc, b.getI32Type(), packed);
}

void ThreadLowering::branch(Value condition, llvm::function_ref<void()> body) {
  Block *inside = func.addBlock(), *after = func.addBlock();
  LLVM::CondBrOp::create(b, loc, condition, inside, after);
  b.setInsertionPointToEnd(inside);
  body();
  LLVM::BrOp::create(b, loc, after);
  b.setInsertionPointToEnd(after);
}

void ThreadLowering::barrier() { NVVM::Barrier0Op::create(b, loc); }

//===----------------------------------------------------------------------===//
// The function
//===----------------------------------------------------------------------===//

LogicalResult ThreadLowering::run() {
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
  func->setAttr("nvvm.maxntid", b.getDenseI32ArrayAttr({int32_t(32 * warps), 1, 1}));
  func->setAttr("nvvm.minctasm", b.getI32IntegerAttr(int32_t(kernel.getMinBlocks())));
  // What a launch needs beside the code stays readable at this stage too.
  NamedAttrList facts;
  facts.set("min_blocks", kernel.getMinBlocksAttr());
  facts.set("smem", kernel.getSmemAttr());
  facts.set("warps", kernel.getWarpsAttr());
  if (DictionaryAttr schedule = kernel.getScheduleAttr())
    facts.set("schedule", schedule);
  func->setAttr("thread.kernel", facts.getDictionary(context));
  func.setArgAttr(0, "llvm.byval",
                  TypeAttr::get(LLVM::LLVMArrayType::get(b.getI64Type(), sizeof(ForwardParams) / 8)));
  func.setArgAttr(0, "llvm.align", b.getI64IntegerAttr(8));
  func.setArgAttr(0, "llvm.noundef", b.getUnitAttr());
  func.setArgAttr(0, "nvvm.grid_constant", b.getUnitAttr());
  Block *entry = func.addEntryBlock(b);
  b.setInsertionPointToEnd(entry);

  params = entry->getArgument(0);
  thread = NVVM::ThreadIdXOp::create(b, loc, b.getI32Type());
  lane = band(thread, 31);
  warp = shr(thread, 5);
  laneRow = shr(lane, 2);
  laneColumn = mul(band(lane, 3), 2);
  Value symbol = LLVM::AddressOfOp::create(b, loc, LLVM::LLVMPointerType::get(context, 3), kSharedName);
  sharedBase = LLVM::PtrToIntOp::create(b, loc, b.getI32Type(), symbol);

  if (failed(lowerBlock(kernel.getBody().front())))
    return failure();
  LLVM::ReturnOp::create(b, loc, ValueRange());
  return mlir::success();
}

LogicalResult ThreadLowering::lowerBlock(Block &block) {
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

LogicalResult ThreadLowering::lowerFor(scf::ForOp loop) {
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

LogicalResult ThreadLowering::lowerIf(scf::IfOp branch) {
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
// Parameters
//===----------------------------------------------------------------------===//

void ThreadLowering::lowerParam(tile::ParamOp op) {
  int64_t offset = 0;
  switch (op.getWhich()) {
  case tile::Param::LengthQ:
    offset = offsetof(ForwardParams, lengthQ);
    break;
  case tile::Param::LengthKv:
    offset = offsetof(ForwardParams, lengthKv);
    break;
  case tile::Param::HeadsPerKvHead:
    offset = offsetof(ForwardParams, headsPerKvHead);
    break;
  }
  values[op.getResult()] = {loadParam(offset, b.getI32Type())};
}

void ThreadLowering::lowerView(tile::ViewOp op) {
  int64_t tensor = 0;
  switch (op.getOperand()) {
  case tile::Operand::Q:
    tensor = offsetof(ForwardParams, q);
    break;
  case tile::Operand::K:
    tensor = offsetof(ForwardParams, k);
    break;
  case tile::Operand::V:
    tensor = offsetof(ForwardParams, v);
    break;
  case tile::Operand::O:
    tensor = offsetof(ForwardParams, o);
    break;
  case tile::Operand::LSE:
    tensor = offsetof(ForwardParams, lse);
    break;
  }
  Type wide = b.getI64Type();
  int64_t elementBytes = op.getType().getElementType().getIntOrFloatBitWidth() / 8;
  auto field = [&](size_t offset) { return loadParam(tensor + int64_t(offset), wide); };
  auto index = [&](Value value) -> Value { return LLVM::ZExtOp::create(b, loc, wide, scalar(value)); };
  auto product = [&](Value x, Value y) -> Value { return LLVM::MulOp::create(b, loc, x, y); };
  // 64 bits throughout: arrays may be larger than 2^31 elements.
  Value elements = add(product(index(op.getBatch()), field(offsetof(TensorParams, batchStride))),
                       product(index(op.getHead()), field(offsetof(TensorParams, headStride))));
  GlobalView view;
  view.base = add(field(offsetof(TensorParams, base)), product(elements, i64(elementBytes)));
  view.cols = op.getType().getCols();
  view.rows = scalar(op.getRows());
  // Rows of one element are adjacent; other strides stay below 2^30 elements, which the runtime checks.
  view.elementBytes = elementBytes;
  view.rowStride =
      view.cols == 1
          ? i32(1)
          : Value(LLVM::TruncOp::create(b, loc, b.getI32Type(), field(offsetof(TensorParams, rowStride))));
  views[op.getResult()] = view;
}

//===----------------------------------------------------------------------===//
// Elementwise operations
//===----------------------------------------------------------------------===//

/// One register of an arith or math op.
FailureOr<Value> ThreadLowering::lowerScalar(Operation *op, ArrayRef<Value> x) {
  Type f32Type = b.getF32Type();
  bool approximate = false;
  if (auto fast = dyn_cast<arith::ArithFastMathInterface>(op))
    approximate = bitEnumContainsAll(fast.getFastMathFlagsAttr().getValue(), arith::FastMathFlags::afn);
  return TypeSwitch<Operation *, FailureOr<Value>>(op)
      .Case([&](arith::AddFOp) { return Value(LLVM::FAddOp::create(b, loc, x[0], x[1])); })
      .Case([&](arith::SubFOp) { return Value(LLVM::FSubOp::create(b, loc, x[0], x[1])); })
      .Case([&](arith::MulFOp) { return Value(LLVM::FMulOp::create(b, loc, x[0], x[1])); })
      .Case([&](arith::NegFOp) { return Value(LLVM::FNegOp::create(b, loc, x[0])); })
      .Case([&](arith::MaximumFOp) { return Value(LLVM::MaximumOp::create(b, loc, x[0], x[1])); })
      .Case([&](arith::MinimumFOp) { return Value(LLVM::MinimumOp::create(b, loc, x[0], x[1])); })
      .Case([&](arith::DivFOp) -> Value {
        if (!approximate)
          return LLVM::FDivOp::create(b, loc, x[0], x[1]);
        Value reciprocal = NVVM::RcpApproxFtzF32Op::create(b, loc, f32Type, x[1]);
        if (matchPattern(x[0], m_OneFloat()))
          return reciprocal;
        return LLVM::FMulOp::create(b, loc, x[0], reciprocal);
      })
      .Case([&](math::FmaOp) { return Value(LLVM::FMAOp::create(b, loc, x[0], x[1], x[2])); })
      .Case([&](math::AbsFOp) { return Value(LLVM::FAbsOp::create(b, loc, x[0])); })
      // ftz: without it ex2.approx and lg2.approx cost two more operations each, for results below 2^-126.
      .Case([&](math::Exp2Op) { return asm1(f32Type, "ex2.approx.ftz.f32 $0, $1;", "=f,f", x[0]); })
      .Case([&](math::Log2Op) { return asm1(f32Type, "lg2.approx.ftz.f32 $0, $1;", "=f,f", x[0]); })
      .Case([&](arith::CmpFOp compare) {
        auto predicate = static_cast<LLVM::FCmpPredicate>(compare.getPredicate());
        return Value(LLVM::FCmpOp::create(b, loc, predicate, x[0], x[1]));
      })
      .Case([&](arith::CmpIOp compare) {
        auto predicate = static_cast<LLVM::ICmpPredicate>(compare.getPredicate());
        return Value(LLVM::ICmpOp::create(b, loc, predicate, x[0], x[1]));
      })
      .Case([&](arith::SelectOp) { return Value(LLVM::SelectOp::create(b, loc, x[0], x[1], x[2])); })
      .Case([&](arith::AndIOp) { return Value(LLVM::AndOp::create(b, loc, x[0], x[1])); })
      .Case([&](arith::OrIOp) { return Value(LLVM::OrOp::create(b, loc, x[0], x[1])); })
      .Case([&](arith::XOrIOp) { return Value(LLVM::XOrOp::create(b, loc, x[0], x[1])); })
      .Case([&](arith::AddIOp) { return add(x[0], x[1]); })
      .Case([&](arith::SubIOp) { return Value(LLVM::SubOp::create(b, loc, x[0], x[1])); })
      .Case([&](arith::MulIOp) { return Value(LLVM::MulOp::create(b, loc, x[0], x[1])); })
      .Case([&](arith::DivUIOp) { return Value(LLVM::UDivOp::create(b, loc, x[0], x[1])); })
      .Case([&](arith::RemUIOp) { return Value(LLVM::URemOp::create(b, loc, x[0], x[1])); })
      .Case([&](arith::MinSIOp) { return Value(LLVM::SMinOp::create(b, loc, x[0], x[1])); })
      .Case([&](arith::MaxSIOp) { return Value(LLVM::SMaxOp::create(b, loc, x[0], x[1])); })
      .Case([&](arith::SIToFPOp) { return Value(LLVM::SIToFPOp::create(b, loc, f32Type, x[0])); })
      .Case([&](arith::IndexCastOp) { return x[0]; })
      .Case([&](vector::BroadcastOp) { return x[0]; })
      .Default([&](Operation *) -> FailureOr<Value> {
        return op->emitOpError("expected an operation of the thread form");
      });
}

LogicalResult ThreadLowering::lowerElementwise(Operation *op) {
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
  Registers results;
  for (size_t i = 0; i != count; ++i) {
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      Registers &source = registers(operand);
      operands.push_back(source[source.size() == 1 ? 0 : i]);
    }
    FailureOr<Value> result = lowerScalar(op, operands);
    if (failed(result))
      return failure();
    results.push_back(*result);
  }
  values[op->getResult(0)] = std::move(results);
  return mlir::success();
}

LogicalResult ThreadLowering::lower(Operation *op) {
  auto done = [](auto lowerOne) { return lowerOne(), mlir::success(); };
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](scf::ForOp x) { return lowerFor(x); })
      .Case([&](scf::IfOp x) { return lowerIf(x); })
      .Case([&](tile::ParamOp x) { return done([&] { lowerParam(x); }); })
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
      .Case([&](thread::AsyncCopyOp x) { return done([&] { lowerAsyncCopy(x); }); })
      .Case([&](thread::LoadOperandOp x) { return done([&] { lowerLoadOperand(x); }); })
      .Case([&](thread::DotOp x) { return done([&] { lowerDot(x); }); })
      .Case([&](thread::ToAOpOp x) { return done([&] { lowerToAOp(x); }); })
      .Case([&](thread::StoreOp x) { return done([&] { lowerStore(x); }); })
      .Case([&](thread::StoreRowsOp x) { return done([&] { lowerStoreRows(x); }); })
      .Case([&](thread::RowReduceOp x) { return done([&] { lowerRowReduce(x); }); })
      .Case([&](thread::RowCombineOp x) { return done([&] { lowerRowCombine(x); }); })
      .Case([&](thread::RowIndexOp x) { return done([&] { lowerRowIndex(x); }); })
      .Case([&](thread::ColumnIndexOp x) { return done([&] { lowerColumnIndex(x); }); })
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
      if (failed(ThreadLowering(kernel, builder).run()))
        return signalPassFailure();
      kernel.erase();
    }
  }
};
} // namespace
} // namespace attune
