//===- ScalarOps.cpp - operations on numbers, in one table ----------------===//
#include "compiler/dialect/ScalarOps.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune {

namespace {

using Operands = ArrayRef<Value>;
using Numbers = ArrayRef<int64_t>;
using Known = std::optional<int64_t>;

template <typename Op> Value lowerTo(OpBuilder &b, Location loc, Operation *op, Operands x) {
  OperationState state(loc, Op::getOperationName());
  state.addOperands(x);
  state.addTypes(x.front().getType());
  return b.create(state)->getResult(0);
}

/// One PTX instruction without side effects, on f32.
template <const char *text> Value lowerToAsm(OpBuilder &b, Location loc, Operation *, Operands x) {
  auto dialect = LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT);
  return LLVM::InlineAsmOp::create(b, loc, b.getF32Type(), x, text, "=f,f", /*has_side_effects=*/false,
                                   /*is_align_stack=*/false, LLVM::TailCallKind::None, dialect, ArrayAttr())
      .getResult(0);
}
// ftz: without it ex2.approx and lg2.approx cost two more operations each, for results below 2^-126.
constexpr char exp2Text[] = "ex2.approx.ftz.f32 $0, $1;", log2Text[] = "lg2.approx.ftz.f32 $0, $1;",
               rsqrtText[] = "rsqrt.approx.ftz.f32 $0, $1;";

Value lowerSame(OpBuilder &, Location, Operation *, Operands x) { return x[0]; }

Value lowerCompareI(OpBuilder &b, Location loc, Operation *op, Operands x) {
  auto predicate = static_cast<LLVM::ICmpPredicate>(cast<arith::CmpIOp>(op).getPredicate());
  return LLVM::ICmpOp::create(b, loc, predicate, x[0], x[1]);
}
Value lowerCompareF(OpBuilder &b, Location loc, Operation *op, Operands x) {
  auto predicate = static_cast<LLVM::FCmpPredicate>(cast<arith::CmpFOp>(op).getPredicate());
  return LLVM::FCmpOp::create(b, loc, predicate, x[0], x[1]);
}
Value lowerSelect(OpBuilder &b, Location loc, Operation *, Operands x) {
  return LLVM::SelectOp::create(b, loc, x[0], x[1], x[2]);
}
template <typename Op> Value lowerToFloat(OpBuilder &b, Location loc, Operation *, Operands x) {
  return Op::create(b, loc, b.getF32Type(), x[0]);
}
template <typename Op> Value lowerExtend(OpBuilder &b, Location loc, Operation *, Operands x) {
  return Op::create(b, loc, b.getI32Type(), x[0]);
}
/// cvt.rzi: toward zero, to the nearest i32 beyond it, NaN to 0.
Value lowerToInteger(OpBuilder &b, Location loc, Operation *, Operands x) {
  return LLVM::CallIntrinsicOp::create(b, loc, b.getI32Type(), b.getStringAttr("llvm.nvvm.f2i.rz"), x)
      .getResults();
}
Value lowerSqrt(OpBuilder &b, Location loc, Operation *, Operands x) {
  return LLVM::CallIntrinsicOp::create(b, loc, b.getF32Type(), b.getStringAttr("llvm.nvvm.sqrt.rn.f"), x)
      .getResults();
}
Value lowerDivide(OpBuilder &b, Location loc, Operation *op, Operands x) {
  auto fast = cast<arith::ArithFastMathInterface>(op).getFastMathFlagsAttr().getValue();
  if (!bitEnumContainsAll(fast, arith::FastMathFlags::afn))
    return LLVM::FDivOp::create(b, loc, x[0], x[1]);
  Value reciprocal = NVVM::RcpApproxFtzF32Op::create(b, loc, b.getF32Type(), x[1]);
  if (matchPattern(x[0], m_OneFloat()))
    return reciprocal;
  return LLVM::FMulOp::create(b, loc, x[0], reciprocal);
}

/// A 32-bit register that holds `x`, read as signed.
int64_t wrap(int64_t x) { return int32_t(uint32_t(uint64_t(x))); }
uint32_t bits(int64_t x) { return uint32_t(uint64_t(x)); }

Known evaluateDivide(Operation *op, Numbers x) {
  if (x[1] == 0 || (x[0] == INT32_MIN && x[1] == -1))
    return std::nullopt;
  bool rest = isa<arith::RemSIOp>(op);
  return rest ? x[0] % x[1] : x[0] / x[1];
}
Known evaluateDivideUnsigned(Operation *op, Numbers x) {
  if (bits(x[1]) == 0)
    return std::nullopt;
  return wrap(isa<arith::RemUIOp>(op) ? bits(x[0]) % bits(x[1]) : bits(x[0]) / bits(x[1]));
}
Known evaluateShift(Operation *op, Numbers x) {
  if (x[1] < 0 || x[1] > 31)
    return std::nullopt;
  if (isa<arith::ShLIOp>(op))
    return wrap(int64_t(bits(x[0])) << x[1]);
  return isa<arith::ShRUIOp>(op) ? wrap(int64_t(bits(x[0]) >> x[1])) : x[0] >> x[1];
}
Known evaluateCompare(Operation *op, Numbers x) {
  return arith::applyCmpPredicate(cast<arith::CmpIOp>(op).getPredicate(), APInt(32, bits(x[0])),
                                  APInt(32, bits(x[1])));
}

// Of C++: multiplicative, additive, shift, relational, equality, and, xor, or, conditional.
enum Precedence { Or = 6, Xor, And, Shift = 11, Additive, Multiplicative };
constexpr CudaSpelling special = {CudaSpelling::Special};
constexpr CudaSpelling infix(const char *symbol, int precedence) {
  return {CudaSpelling::Infix, symbol, precedence};
}
constexpr CudaSpelling call(const char *name) { return {CudaSpelling::Call, name}; }
constexpr CudaSpelling function(const char *onTiles, const char *onNumbers) {
  return {CudaSpelling::Function, onTiles, 0, onNumbers};
}

constexpr auto Integers = ScalarOp::Integers, Floats = ScalarOp::Floats, Any = ScalarOp::Any;

const ScalarOp table[] = {
    // Integers of 32 bits; index is one of them, and a condition an integer of 1 bit.
    {"arith.addi", Integers, true, infix("+", Additive), lowerTo<LLVM::AddOp>,
     [](Operation *, Numbers x) -> Known { return wrap(x[0] + x[1]); }},
    {"arith.subi", Integers, true, infix("-", Additive), lowerTo<LLVM::SubOp>,
     [](Operation *, Numbers x) -> Known { return wrap(x[0] - x[1]); }},
    {"arith.muli", Integers, true, infix("*", Multiplicative), lowerTo<LLVM::MulOp>,
     [](Operation *, Numbers x) -> Known { return wrap(x[0] * x[1]); }},
    {"arith.divui", Integers, true, call("div"), lowerTo<LLVM::UDivOp>, evaluateDivideUnsigned},
    {"arith.remui", Integers, true, call("mod"), lowerTo<LLVM::URemOp>, evaluateDivideUnsigned},
    {"arith.divsi", Integers, true, call("div_signed"), lowerTo<LLVM::SDivOp>, evaluateDivide},
    {"arith.remsi", Integers, true, call("mod_signed"), lowerTo<LLVM::SRemOp>, evaluateDivide},
    {"arith.shli", Integers, true, call("shift_left"), lowerTo<LLVM::ShlOp>, evaluateShift},
    {"arith.shrsi", Integers, true, call("shift_right"), lowerTo<LLVM::AShrOp>, evaluateShift},
    {"arith.shrui", Integers, true, call("shift_right_unsigned"), lowerTo<LLVM::LShrOp>, evaluateShift},
    {"arith.minsi", Integers, true, call("min"), lowerTo<LLVM::SMinOp>,
     [](Operation *, Numbers x) -> Known { return std::min(x[0], x[1]); }},
    {"arith.maxsi", Integers, true, call("max"), lowerTo<LLVM::SMaxOp>,
     [](Operation *, Numbers x) -> Known { return std::max(x[0], x[1]); }},
    {"arith.minui", Integers, true, call("min_unsigned"), lowerTo<LLVM::UMinOp>,
     [](Operation *, Numbers x) -> Known { return wrap(std::min(bits(x[0]), bits(x[1]))); }},
    {"arith.maxui", Integers, true, call("max_unsigned"), lowerTo<LLVM::UMaxOp>,
     [](Operation *, Numbers x) -> Known { return wrap(std::max(bits(x[0]), bits(x[1]))); }},
    {"arith.andi", Integers, true, infix("&", And), lowerTo<LLVM::AndOp>,
     [](Operation *, Numbers x) -> Known { return x[0] & x[1]; }},
    {"arith.ori", Integers, true, infix("|", Or), lowerTo<LLVM::OrOp>,
     [](Operation *, Numbers x) -> Known { return x[0] | x[1]; }},
    {"arith.xori", Integers, true, infix("^", Xor), lowerTo<LLVM::XOrOp>,
     [](Operation *, Numbers x) -> Known { return x[0] ^ x[1]; }},
    {"arith.cmpi", Integers, true, special, lowerCompareI, evaluateCompare},
    {"arith.index_cast", Integers, true, special, lowerSame,
     [](Operation *, Numbers x) -> Known { return x[0]; }},
    {"arith.select", Any, true, special, lowerSelect,
     [](Operation *, Numbers x) -> Known { return x[0] ? x[1] : x[2]; }},
    {"arith.index_castui", Integers, true, special, lowerSame,
     [](Operation *, Numbers x) -> Known { return x[0]; }},
    {"arith.extui", Integers, true, call("extend"), lowerExtend<LLVM::ZExtOp>,
     [](Operation *, Numbers x) -> Known { return x[0] & 1; }},
    {"arith.extsi", Integers, true, call("extend_signed"), lowerExtend<LLVM::SExtOp>,
     [](Operation *, Numbers x) -> Known { return -(x[0] & 1); }},
    {"arith.sitofp", Integers, true, function("to_float", "float"), lowerToFloat<LLVM::SIToFPOp>, nullptr},
    {"arith.uitofp", Integers, true, call("to_float_unsigned"), lowerToFloat<LLVM::UIToFPOp>, nullptr},
    // f32.
    {"arith.addf", Floats, true, infix("+", Additive), lowerTo<LLVM::FAddOp>, nullptr},
    {"arith.subf", Floats, true, infix("-", Additive), lowerTo<LLVM::FSubOp>, nullptr},
    {"arith.mulf", Floats, true, infix("*", Multiplicative), lowerTo<LLVM::FMulOp>, nullptr},
    {"arith.divf", Floats, true, special, lowerDivide, nullptr},
    {"arith.negf", Floats, true, special, lowerTo<LLVM::FNegOp>, nullptr},
    {"arith.maximumf", Floats, true, function("max", "larger"), lowerTo<LLVM::MaximumOp>, nullptr},
    {"arith.minimumf", Floats, true, function("min", "smaller"), lowerTo<LLVM::MinimumOp>, nullptr},
    {"arith.maxnumf", Floats, true, function("max_number", "fmaxf"), lowerTo<LLVM::MaxNumOp>, nullptr},
    {"arith.minnumf", Floats, true, function("min_number", "fminf"), lowerTo<LLVM::MinNumOp>, nullptr},
    {"arith.cmpf", Floats, true, special, lowerCompareF, nullptr},
    {"math.fma", Floats, true, function("fma", "__fmaf_rn"), lowerTo<LLVM::FMAOp>, nullptr},
    {"math.absf", Floats, true, function("abs", "fabsf"), lowerTo<LLVM::FAbsOp>, nullptr},
    {"math.exp2", Floats, true, function("exp2", "exp2_approx"), lowerToAsm<exp2Text>, nullptr},
    {"math.log2", Floats, true, function("log2", "log2_approx"), lowerToAsm<log2Text>, nullptr},
    {"math.rsqrt", Floats, true, function("rsqrt", "rsqrt_approx"), lowerToAsm<rsqrtText>, nullptr},
    {"math.sqrt", Floats, true, function("sqrt", "__fsqrt_rn"), lowerSqrt, nullptr},
    {"arith.fptosi", Floats, true, function("to_integer", "__float2int_rz"), lowerToInteger, nullptr},
};

} // namespace

const ScalarOp *findScalarOp(Operation *op) {
  StringRef name = op->getName().getStringRef();
  for (const ScalarOp &row : table)
    if (row.name == name)
      return &row;
  return nullptr;
}

std::string regionOpNames() {
  std::string names;
  for (const ScalarOp &row : table)
    if (row.inRegions)
      names += (names.empty() ? "" : ", ") + row.name.split('.').second.str();
  return names + ", tanh, constant";
}

LogicalResult verifyScalarOp(Operation *op, StringRef where, bool inRegion) {
  auto isConstant = isa<arith::ConstantOp>(op);
  bool isTanh = inRegion && isa<math::TanhOp>(op); // which tiles spell out
  const ScalarOp *row = findScalarOp(op);
  if (!isConstant && !isTanh && (!row || (inRegion && !row->inRegions)))
    return op->emitOpError("expected an operation that kernels can apply to each score ")
           << where << " (" << regionOpNames() << ")";
  auto fits = [](Type type) {
    Type element = getElementTypeOrSelf(type);
    return element.isF32() || element.isInteger(32) || element.isInteger(1) || element.isIndex();
  };
  for (Type type : llvm::concat<const Type>(SmallVector<Type>(op->getOperandTypes()),
                                            SmallVector<Type>(op->getResultTypes())))
    if (!fits(type))
      return op->emitOpError("expected numbers of f32, i32, index or i1, got ") << type;
  // Conditions are no numbers: a bool of C++ and an i1 would add and compare differently.
  bool isLogic = isa<arith::AndIOp, arith::OrIOp, arith::XOrIOp, arith::SelectOp, arith::ConstantOp,
                     arith::ExtUIOp, arith::ExtSIOp, arith::UIToFPOp>(op);
  for (Type type : op->getOperandTypes())
    if (getElementTypeOrSelf(type).isInteger(1) && !isLogic)
      return op->emitOpError("expected numbers of f32, i32 or index, got ") << type;
  if (isa<arith::ExtUIOp, arith::ExtSIOp>(op) &&
      !getElementTypeOrSelf(op->getOperand(0).getType()).isInteger(1))
    return op->emitOpError("expected a condition (i1) to extend, got ") << op->getOperand(0).getType();
  // Positions are 32-bit numbers in kernels, and a constant is added to them.
  APInt number;
  if (inRegion && matchPattern(op, m_ConstantInt(&number)) && number.getSignificantBits() > 32)
    return op->emitOpError("expected whole numbers of 32 bits, got ") << number.getSExtValue();
  if (inRegion && op->getResult(0).getType().isIndex() && matchPattern(op, m_ConstantInt(&number)) &&
      number.abs().getZExtValue() > uint64_t(1) << 30)
    return op->emitOpError("expected positions of at most 2^30, got ") << number.getSExtValue();
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    if (auto dense = dyn_cast<ElementsAttr>(constant.getValue()); dense && !dense.isSplat())
      return op->emitOpError("expected a constant of one value");
  return success();
}

} // namespace attune
