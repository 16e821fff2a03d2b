//===- ThreadToNvvmValues.cpp - the values and instructions that others use ===//
#include "compiler/transforms/ThreadToNvvm.h"

#include "compiler/dialect/Elements.h"

using namespace mlir;

namespace attune {

Value ThreadToNvvm::i32(int64_t value) {
  return LLVM::ConstantOp::create(b, loc, b.getI32Type(), b.getI32IntegerAttr(int32_t(value)));
}
Value ThreadToNvvm::i64(int64_t value) {
  return LLVM::ConstantOp::create(b, loc, b.getI64Type(), b.getI64IntegerAttr(value));
}
Value ThreadToNvvm::f32(float value) {
  return LLVM::ConstantOp::create(b, loc, b.getF32Type(), b.getF32FloatAttr(value));
}
Value ThreadToNvvm::add(Value x, Value y) { return LLVM::AddOp::create(b, loc, x, y); }
Value ThreadToNvvm::add(Value x, int64_t y) {
  if (y == 0)
    return x;
  return add(x, x.getType().isInteger(64) ? i64(y) : i32(y));
}
Value ThreadToNvvm::mul(Value x, int64_t y) {
  return y == 1 ? x : Value(LLVM::MulOp::create(b, loc, x, i32(y)));
}
Value ThreadToNvvm::band(Value x, int64_t y) { return LLVM::AndOp::create(b, loc, x, i32(y)); }
Value ThreadToNvvm::shr(Value x, int64_t y) {
  return y == 0 ? x : Value(LLVM::LShrOp::create(b, loc, x, i32(y)));
}
Value ThreadToNvvm::bxor(Value x, Value y) { return LLVM::XOrOp::create(b, loc, x, y); }
Value ThreadToNvvm::less(Value x, Value y) {
  return LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::slt, x, y);
}

static LLVM::InlineAsmOp makeAsm(OpBuilder &b, Location loc, Type type, StringRef text, StringRef constraints,
                                 ValueRange operands, bool sideEffects) {
  auto dialect = LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT);
  return LLVM::InlineAsmOp::create(b, loc, type, operands, text, constraints, sideEffects,
                                   /*is_align_stack=*/false, LLVM::TailCallKind::None, dialect, ArrayAttr());
}

Value ThreadToNvvm::asm1(Type type, StringRef text, StringRef constraints, ValueRange operands) {
  return makeAsm(b, loc, type, text, constraints, operands, /*sideEffects=*/false).getResult(0);
}

LLVM::InlineAsmOp ThreadToNvvm::asmMemory(Type type, StringRef text, StringRef constraints,
                                          ValueRange operands) {
  std::string all = constraints.empty() ? "~{memory}" : (constraints + ",~{memory}").str();
  return makeAsm(b, loc, type, text, all, operands, /*sideEffects=*/true);
}

Value ThreadToNvvm::intrinsic(StringRef name, Type type, ValueRange operands) {
  auto call = LLVM::CallIntrinsicOp::create(b, loc, type, b.getStringAttr(name), operands);
  return call.getResults();
}

Value ThreadToNvvm::madWide(Value x, Value y, Value z) {
  return asm1(b.getI64Type(), "mad.wide.s32 $0, $1, $2, $3;", "=l,r,r,l", {x, y, z});
}

Value ThreadToNvvm::opaque(Value value) {
  return makeAsm(b, loc, b.getI32Type(), "mov.b32 $0, $1;", "=r,r", value, /*sideEffects=*/true).getResult(0);
}

Value ThreadToNvvm::uniform(Value value) {
  return makeAsm(b, loc, b.getI32Type(), "redux.sync.max.s32 $0, $1, 0xffffffff;", "=r,r", value,
                 /*sideEffects=*/true)
      .getResult(0);
}

Value ThreadToNvvm::sharedPointer(Value address) {
  return LLVM::IntToPtrOp::create(b, loc, LLVM::LLVMPointerType::get(b.getContext(), 3), address);
}

Value ThreadToNvvm::globalPointer(Value address, int64_t bytes) {
  return LLVM::IntToPtrOp::create(b, loc, LLVM::LLVMPointerType::get(b.getContext(), 1), add(address, bytes));
}

Value ThreadToNvvm::shuffle(Value value, int64_t mask) {
  return NVVM::ShflOp::create(b, loc, value.getType(), i32(-1), value, i32(mask), i32(31),
                              NVVM::ShflKind::bfly, UnitAttr());
}

Value ThreadToNvvm::pack(Value low, Value high, Type element) {
  Type pair = VectorType::get({2}, element);
  Value packed = intrinsic(infoOf(element).packFromF32, pair, {high, low});
  return LLVM::BitcastOp::create(b, loc, b.getI32Type(), packed);
}

void ThreadToNvvm::branch(Value condition, llvm::function_ref<void()> body) {
  Block *inside = func.addBlock(), *after = func.addBlock();
  LLVM::CondBrOp::create(b, loc, condition, inside, after);
  b.setInsertionPointToEnd(inside);
  body();
  LLVM::BrOp::create(b, loc, after);
  b.setInsertionPointToEnd(after);
}

void ThreadToNvvm::barrier() { NVVM::Barrier0Op::create(b, loc); }

void ThreadToNvvm::meet(Value number, int64_t threads) {
  NVVM::BarrierOp::create(b, loc, TypeRange(), number, i32(threads), NVVM::BarrierReductionAttr(), Value());
}

Registers ThreadToNvvm::countingLoop(Value from, Value to, int64_t by, Registers carried,
                                     llvm::function_ref<Registers(Value i, Registers carried)> body) {
  Block *inside = func.addBlock(), *exit = func.addBlock();
  inside->addArgument(b.getI32Type(), loc);
  for (Value value : carried) {
    inside->addArgument(value.getType(), loc);
    exit->addArgument(value.getType(), loc);
  }
  carried.insert(carried.begin(), from);
  LLVM::BrOp::create(b, loc, carried, inside);
  b.setInsertionPointToEnd(inside);
  Value i = inside->getArgument(0);
  Registers results = body(i, Registers(inside->getArguments().drop_front()));
  Value following = add(i, by);
  Registers again = {following};
  llvm::append_range(again, results);
  LLVM::CondBrOp::create(b, loc, less(following, to), inside, again, exit, results);
  b.setInsertionPointToEnd(exit);
  return Registers(exit->getArguments());
}

} // namespace attune
