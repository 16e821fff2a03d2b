//===- ExpressionRegion.cpp - expressions as regions of attn.forward ------===//
//
// i32 arithmetic is arith's on i32, which wraps; whatever arith leaves open (a division by 0, a shift by more
// than 31 bits) gets the value that the language gives it. What does not depend on the score rounds exactly
// as the language says, since conditions may hang on it; what does may use the machine's approximations.
//
//===----------------------------------------------------------------------===//
#include "compiler/schedule/ExpressionRegion.h"

#include "compiler/dialect/Elements.h"
#include "compiler/dialect/attn/Attn.h"
#include "compiler/program/SizeExpr.h"
#include "compiler/spec/Spec.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <algorithm>
#include <cmath>
#include <numbers>

using namespace mlir;

namespace attune {

using expr::Node;
using expr::Op;
using expr::Ref;
using expr::Type;
using expr::Variable;

namespace {
class RegionBuilder {
public:
  RegionBuilder(NamingBuilder &b, const expr::Expression &expression, const expr::Captures &captures,
                llvm::function_ref<Value(Variable)> variable)
      : b(b), expression(expression), captures(captures), variable(variable) {}

  Value build() {
    for (Ref ref = 0; ref < expression.size(); ++ref) {
      const Node &node = expression[ref];
      bool isScore = node.op == Op::Variable && Variable(node.symbol) == Variable::Score;
      for (Ref operand : node.operands)
        isScore = isScore || dependsOnScore[operand];
      dependsOnScore.push_back(isScore);
      values.push_back(node.operands.empty() ? leaf(node) : operation(node, isScore));
    }
    return values[expression.root];
  }

private:
  // Small helpers.
  Value integer(int64_t number) {
    return b.make<arith::ConstantOp>("", b.getI32IntegerAttr(int32_t(number)));
  }
  Value real(double number) { return b.make<arith::ConstantOp>("", b.getF32FloatAttr(float(number))); }
  Value truth(bool value) { return b.make<arith::ConstantOp>("", b.getBoolAttr(value)); }
  Value select(Value condition, Value yes, Value no) {
    return b.make<arith::SelectOp>("", condition, yes, no);
  }
  Value compare(arith::CmpIPredicate predicate, Value x, Value y) {
    return b.make<arith::CmpIOp>("", predicate, x, y);
  }
  Value multiply(Value x, Value y) { return b.make<arith::MulFOp>("", x, y); }
  Value invert(Value condition) { return b.make<arith::XOrIOp>("", condition, truth(true)); }
  std::optional<double> constantOf(Ref ref) const {
    return expression[ref].op == Op::Constant ? std::optional(expression[ref].number) : std::nullopt;
  }

  /// Whether an i32 certainly is no less than 0, where nothing leaves 32 bits.
  bool isNatural(Ref ref) const;

  Value leaf(const Node &node);
  Value element(const Node &node);
  Value operation(const Node &node, bool isScore);
  Value integers(const Node &node);
  Value reals(const Node &node, bool isScore);
  Value divide(const Node &node);
  Value logic(const Node &node);
  Value shift(const Node &node);
  template <typename Operation> Value chain(const Node &node) {
    Value value = values[node.operands[0]];
    for (size_t i = 1; i < node.operands.size(); ++i)
      value = b.make<Operation>("", value, values[node.operands[i]]);
    return value;
  }

  NamingBuilder &b;
  const expr::Expression &expression;
  const expr::Captures &captures;
  llvm::function_ref<Value(Variable)> variable;
  SmallVector<Value> values;
  SmallVector<bool> dependsOnScore;
};
} // namespace

bool RegionBuilder::isNatural(Ref ref) const {
  const Node &node = expression[ref];
  auto all = [&](size_t from = 0) {
    return std::all_of(node.operands.begin() + long(from), node.operands.end(),
                       [&](Ref operand) { return isNatural(operand); });
  };
  std::optional<double> second = node.operands.size() > 1 ? constantOf(node.operands[1]) : std::nullopt;
  switch (node.op) {
  case Op::Constant:
    return node.number >= 0;
  case Op::Variable: // places and lengths
    return true;
  case Op::Add:
  case Op::Multiply:
  case Op::Min:
    return all();
  case Op::Divide:
    return second && *second > 0 && isNatural(node.operands[0]);
  case Op::Remainder:
    return second && *second > 0;
  case Op::ShiftRight:
    return isNatural(node.operands[0]);
  case Op::BitAnd:
  case Op::Max:
    return std::any_of(node.operands.begin(), node.operands.end(),
                       [&](Ref operand) { return isNatural(operand); });
  case Op::Select:
    return all(1);
  case Op::ToInt:
    return expression[node.operands[0]].type == Type::Bool;
  default:
    return false;
  }
}

Value RegionBuilder::leaf(const Node &node) {
  if (node.op == Op::Constant)
    return node.type == Type::Bool  ? truth(node.number != 0)
           : node.type == Type::I32 ? integer(int64_t(node.number))
                                    : real(node.number);
  Value value;
  if (node.op == Op::Variable) {
    value = variable(Variable(node.symbol));
  } else {
    const std::string &name = captures.scalars[node.symbol].name;
    if (node.type == Type::F32)
      return b.make<attn::ScalarOp>(name, b.getF32Type(), name);
    auto range = b.getDenseI32ArrayAttr({int32_t(-limits::maxScalar), int32_t(limits::maxScalar)});
    value = b.make<attn::ScalarOp>(name, b.getIndexType(), name, range);
  }
  return value.getType().isIndex() ? Value(b.make<arith::IndexCastOp>("", b.getI32Type(), value)) : value;
}

/// The size that an axis reaches over.
static std::string extentText(const expr::Axis &axis) {
  if (!axis.variable)
    return std::to_string(axis.extent);
  switch (*axis.variable) {
  case Variable::B:
    return nameOf(Size::Batch);
  case Variable::H:
    return nameOf(Size::HeadsQ);
  case Variable::Hkv:
    return nameOf(Size::HeadsKv);
  case Variable::Q:
    return nameOf(Size::LengthQ);
  default:
    return nameOf(Size::LengthKv);
  }
}

Value RegionBuilder::element(const Node &node) {
  const expr::CapturedArray &array = captures.arrays[node.symbol];
  SmallVector<Value> indices;
  SmallVector<Attribute> extents;
  for (auto [operand, axis] : llvm::zip(node.operands, array.axes)) {
    // A variable is an index of its own.
    const Node &index = expression[operand];
    indices.push_back(index.op == Op::Variable
                          ? variable(Variable(index.symbol))
                          : Value(b.make<arith::IndexCastOp>("", b.getIndexType(), values[operand])));
    extents.push_back(b.getStringAttr(extentText(axis)));
  }
  mlir::Type type = array.type() == Type::F32 ? mlir::Type(b.getF32Type()) : mlir::Type(b.getI32Type());
  Value value = b.make<attn::ElementOp>(array.name, type, llvm::StringRef(array.name), indices,
                                        b.getArrayAttr(extents), typeOf(b.getContext(), array.dtype));
  return node.type == Type::Bool ? compare(arith::CmpIPredicate::ne, value, integer(0)) : value;
}

Value RegionBuilder::operation(const Node &node, bool isScore) {
  if (node.op == Op::Element)
    return element(node);
  Value x = values[node.operands[0]];
  Type from = expression[node.operands[0]].type;
  switch (node.op) {
  case Op::ToFloat:
    if (from == Type::Bool)
      return b.make<arith::UIToFPOp>("", b.getF32Type(), x);
    return b.make<arith::SIToFPOp>("", b.getF32Type(), x);
  case Op::ToInt:
    if (from == Type::Bool)
      return b.make<arith::ExtUIOp>("", b.getI32Type(), x);
    return b.make<arith::FPToSIOp>("", b.getI32Type(), x);
  case Op::Select: {
    Value yes = values[node.operands[1]], no = values[node.operands[2]];
    if (node.type != Type::Bool)
      return select(x, yes, no);
    Value first = b.make<arith::AndIOp>("", x, yes), second = b.make<arith::AndIOp>("", invert(x), no);
    return b.make<arith::OrIOp>("", first, second);
  }
  default:
    break;
  }
  if (node.type == Type::Bool)
    return logic(node);
  return node.type == Type::I32 ? integers(node) : reals(node, isScore);
}

Value RegionBuilder::logic(const Node &node) {
  Value x = values[node.operands[0]];
  Type from = expression[node.operands[0]].type;
  auto y = [&] { return values[node.operands[1]]; };
  auto comparison = [&](arith::CmpIPredicate ofIntegers, arith::CmpFPredicate ofReals) -> Value {
    if (from == Type::F32)
      return b.make<arith::CmpFOp>("", ofReals, x, y());
    return compare(ofIntegers, x, y());
  };
  switch (node.op) {
  case Op::Not:
    return invert(x);
  case Op::And:
    return chain<arith::AndIOp>(node);
  case Op::Or:
    return chain<arith::OrIOp>(node);
  case Op::Less:
    return comparison(arith::CmpIPredicate::slt, arith::CmpFPredicate::OLT);
  case Op::LessEqual:
    return comparison(arith::CmpIPredicate::sle, arith::CmpFPredicate::OLE);
  default:
    break;
  }
  if (from == Type::Bool) {
    Value differ = b.make<arith::XOrIOp>("", x, y());
    return node.op == Op::Equal ? invert(differ) : differ;
  }
  return node.op == Op::Equal ? comparison(arith::CmpIPredicate::eq, arith::CmpFPredicate::OEQ)
                              : comparison(arith::CmpIPredicate::ne, arith::CmpFPredicate::UNE);
}

Value RegionBuilder::shift(const Node &node) {
  Value x = values[node.operands[0]], amount;
  if (std::optional<double> constant = constantOf(node.operands[1]))
    amount = integer(int64_t(*constant) & 31);
  else
    amount = b.make<arith::AndIOp>("", values[node.operands[1]], integer(31));
  if (node.op == Op::ShiftLeft)
    return b.make<arith::ShLIOp>("", x, amount);
  return b.make<arith::ShRSIOp>("", x, amount);
}

/// Quotients are rounded down, and are 0 by 0, as are remainders.
Value RegionBuilder::divide(const Node &node) {
  Value x = values[node.operands[0]], y = values[node.operands[1]];
  bool isRest = node.op == Op::Remainder;
  std::optional<double> constant = constantOf(node.operands[1]);
  if (constant && *constant > 0 && (int64_t(*constant) & (int64_t(*constant) - 1)) == 0) {
    if (isRest)
      return b.make<arith::AndIOp>("", x, integer(int64_t(*constant) - 1));
    return b.make<arith::ShRSIOp>("", x, integer(llvm::Log2_64(uint64_t(*constant))));
  }
  if (constant && *constant > 0 && isNatural(node.operands[0])) {
    if (isRest)
      return b.make<arith::RemUIOp>("", x, y);
    return b.make<arith::DivUIOp>("", x, y);
  }
  // arith leaves a division by 0 and the smallest number's by -1 open: those divide by 1, and are mended.
  bool isSafe = constant && *constant != 0 && *constant != -1;
  Value byZero, byMinusOne, divisor = y;
  if (!isSafe) {
    byZero = compare(arith::CmpIPredicate::eq, y, integer(0));
    byMinusOne = compare(arith::CmpIPredicate::eq, y, integer(-1));
    divisor = select(b.make<arith::OrIOp>("", byZero, byMinusOne), integer(1), y);
  }
  Value rest = b.make<arith::RemSIOp>("", x, divisor);
  Value inexact = compare(arith::CmpIPredicate::ne, rest, integer(0));
  Value mixed = compare(arith::CmpIPredicate::slt, b.make<arith::XOrIOp>("", rest, divisor), integer(0));
  Value down = b.make<arith::AndIOp>("", inexact, mixed);
  if (isRest) // by 1 it is 0, as it is by 0 and -1
    return select(down, b.make<arith::AddIOp>("", rest, divisor), rest);
  Value quotient = b.make<arith::DivSIOp>("", x, divisor);
  quotient = select(down, b.make<arith::SubIOp>("", quotient, integer(1)), quotient);
  if (isSafe)
    return quotient;
  quotient = select(byMinusOne, b.make<arith::SubIOp>("", integer(0), x), quotient);
  return select(byZero, integer(0), quotient);
}

Value RegionBuilder::integers(const Node &node) {
  Value x = values[node.operands[0]];
  switch (node.op) {
  case Op::Negate:
    return b.make<arith::SubIOp>("", integer(0), x);
  case Op::Complement:
    return b.make<arith::XOrIOp>("", x, integer(-1));
  case Op::Multiply:
    return chain<arith::MulIOp>(node);
  case Op::Add:
    return chain<arith::AddIOp>(node);
  case Op::Subtract:
    return chain<arith::SubIOp>(node);
  case Op::BitAnd:
    return chain<arith::AndIOp>(node);
  case Op::BitOr:
    return chain<arith::OrIOp>(node);
  case Op::BitXor:
    return chain<arith::XOrIOp>(node);
  case Op::Min:
    return chain<arith::MinSIOp>(node);
  case Op::Max:
    return chain<arith::MaxSIOp>(node);
  case Op::Abs:
    return b.make<arith::MaxSIOp>("", x, b.make<arith::SubIOp>("", integer(0), x));
  case Op::ShiftLeft:
  case Op::ShiftRight:
    return shift(node);
  default:
    return divide(node);
  }
}

Value RegionBuilder::reals(const Node &node, bool isScore) {
  using std::numbers::ln2, std::numbers::log2e;
  Value x = values[node.operands[0]];
  constexpr auto fast = arith::FastMathFlags::afn;
  auto quotient = [&](Value a, Value c) -> Value {
    return isScore ? b.make<arith::DivFOp>("", a, c, fast) : b.make<arith::DivFOp>("", a, c);
  };
  auto exponential = [&](Value power) -> Value {
    return b.make<math::Exp2Op>("", multiply(power, real(log2e)), fast);
  };
  switch (node.op) {
  case Op::Negate:
    return b.make<arith::NegFOp>("", x);
  case Op::Multiply:
    return chain<arith::MulFOp>(node);
  case Op::Add:
    return chain<arith::AddFOp>(node);
  case Op::Subtract:
    return chain<arith::SubFOp>(node);
  case Op::Min:
    return chain<arith::MinNumFOp>(node);
  case Op::Max:
    return chain<arith::MaxNumFOp>(node);
  case Op::Divide:
    // By a number: its inverse, if f32 has it.
    if (std::optional<double> constant = constantOf(node.operands[1]);
        isScore && constant && std::isnormal(float(1 / *constant)))
      return multiply(x, real(1 / *constant));
    return quotient(x, values[node.operands[1]]);
  case Op::Abs:
    return b.make<math::AbsFOp>("", x);
  case Op::Exp:
    return exponential(x);
  case Op::Exp2:
    return b.make<math::Exp2Op>("", x, fast);
  case Op::Log:
    return multiply(b.make<math::Log2Op>("", x, fast), real(ln2));
  case Op::Log2:
    return b.make<math::Log2Op>("", x, fast);
  case Op::Sqrt:
    return b.make<math::SqrtOp>("", x);
  case Op::Rsqrt:
    return b.make<math::RsqrtOp>("", x, fast);
  case Op::Tanh:
    return b.make<math::TanhOp>("", x);
  default: { // sigmoid
    Value e = exponential(b.make<arith::NegFOp>("", x));
    return quotient(real(1), b.make<arith::AddFOp>("", e, real(1)));
  }
  }
}

Value buildExpression(NamingBuilder &b, const expr::Expression &expression, const expr::Captures &captures,
                      llvm::function_ref<Value(expr::Variable)> variable) {
  return RegionBuilder(b, expression, captures, variable).build();
}

} // namespace attune
