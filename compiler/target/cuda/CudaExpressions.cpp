// CudaPrinter: what the operations of the thread form are in C++, and types.
#include "compiler/target/cuda/CudaPrinter.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

#include <fmt/format.h>

using namespace mlir;

namespace attune {

// Of C++: multiplicative, additive, relational, equality, and, xor, or, conditional.
enum Precedence {
  Conditional = 3,
  Or = 6,
  Xor,
  And,
  Equality,
  Relational,
  Additive = 12,
  Multiplicative,
  Unary,
  Primary = 20
};

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

Form CudaPrinter::formOf(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  if (!vector)
    return Form::Scalar;
  return vector.getNumElements() == rows / (8 * warps) ? Form::Row : Form::Tile;
}

int64_t CudaPrinter::columnsOf(VectorType type) { return type.getNumElements() * 32 * warps / rows; }

static std::string elementText(Type type) {
  return type.isF32()        ? "float"
         : type.isBF16()     ? "bf16"
         : type.isF16()      ? "f16"
         : type.isInteger(1) ? "bool"
                             : "int";
}

std::string CudaPrinter::typeText(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  if (!vector)
    return elementText(type);
  Type element = vector.getElementType();
  if (element.getIntOrFloatBitWidth() == 16)
    return fmt::format("AOperandOf<{}, {}, {}, kWarps>", elementText(element), rows, columnsOf(vector));
  bool row = formOf(type) == Form::Row;
  if (element.isF32())
    return row ? fmt::format("Row<{}>", rows) : fmt::format("Acc<{}, {}>", rows, columnsOf(vector));
  return row ? fmt::format("RowOf<{}, kWarps, {}>", rows, elementText(element))
             : fmt::format("AccOf<{}, {}, kWarps, {}>", rows, columnsOf(vector), elementText(element));
}

std::string CudaPrinter::tileType(int64_t tileRows, int64_t cols, Type element) {
  return fmt::format("SmemTile<{}, {}, {}>", elementText(element), tileRows, cols);
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

static std::string floatText(double value) {
  if (std::isnan(value))
    return "__int_as_float(0x7fc00000)";
  if (std::isinf(value))
    return value < 0 ? "-infinity()" : "infinity()";
  std::string text = fmt::format("{}", float(value));
  return text + (text.find_first_of(".e") == std::string::npos ? ".0f" : "f");
}

Expression CudaPrinter::literal(TypedAttr value) {
  if (auto dense = dyn_cast<DenseElementsAttr>(value))
    value = dense.getSplatValue<TypedAttr>();
  std::string text;
  if (auto number = dyn_cast<FloatAttr>(value)) {
    text = floatText(number.getValueAsDouble());
  } else {
    APInt integer = cast<IntegerAttr>(value).getValue();
    if (integer.getBitWidth() == 1)
      text = integer.isZero() ? "false" : "true";
    else
      text = integer.isMinSignedValue() ? "(-2147483647 - 1)" : std::to_string(integer.getSExtValue());
  }
  return {text, text[0] == '-' ? Unary : Primary, Form::Scalar};
}

FailureOr<Expression> CudaPrinter::expression(Value value) {
  if (auto found = known.find(value); found != known.end())
    return found->second;
  Operation *op = value.getDefiningOp();
  if (!op)
    return emitError(value.getLoc(), "expected a value that has been printed"), failure();
  return compute(op);
}

FailureOr<std::string> CudaPrinter::text(Value value, int precedence) {
  FailureOr<Expression> e = expression(value);
  if (failed(e))
    return failure();
  return e->precedence < precedence ? "(" + e->text + ")" : e->text;
}

FailureOr<std::string> CudaPrinter::full(Value value) {
  FailureOr<Expression> e = expression(value);
  if (failed(e))
    return failure();
  Form form = formOf(value.getType());
  if (e->form == form)
    return e->text;
  if (e->form == Form::Row)
    return fmt::format("spread<{}>({})", columnsOf(cast<VectorType>(value.getType())), e->text);
  return fmt::format("{}(splat({}))", typeText(value.getType()), e->text);
}

FailureOr<std::string> CudaPrinter::initialiser(Value value) {
  FailureOr<Expression> e = expression(value);
  if (failed(e) || e->form != Form::Scalar || formOf(value.getType()) == Form::Scalar)
    return full(value);
  if (e->text == "0.0f")
    return std::string("zero()");
  if (e->text == "-infinity()")
    return std::string("minus_inf()");
  return "splat(" + e->text + ")";
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

FailureOr<Expression> CudaPrinter::binary(Operation *op, StringRef symbol, int precedence) {
  FailureOr<Expression> a = expression(op->getOperand(0)), b = expression(op->getOperand(1));
  if (failed(a) || failed(b))
    return failure();
  auto wrap = [](const Expression &e, bool needed) { return needed ? "(" + e.text + ")" : e.text; };
  // Equal precedence on the right, and a sign beside a sign, need parentheses.
  bool wrapRight = b->precedence <= precedence || (precedence == Additive && b->text[0] == '-');
  return Expression{wrap(*a, a->precedence < precedence) + " " + symbol.str() + " " + wrap(*b, wrapRight),
                    precedence, std::max(a->form, b->form)};
}

FailureOr<Expression> CudaPrinter::call(Operation *op, StringRef function) {
  Expression result{function.str() + "(", Primary, Form::Scalar};
  for (Value operand : op->getOperands()) {
    FailureOr<Expression> e = expression(operand);
    if (failed(e))
      return failure();
    result.text += (result.text.back() == '(' ? "" : ", ") + e->text;
    result.form = std::max(result.form, e->form);
  }
  result.text += ")";
  return result;
}

static bool isApproximate(Operation *op) {
  auto fast = dyn_cast<arith::ArithFastMathInterface>(op);
  return fast && bitEnumContainsAll(fast.getFastMathFlagsAttr().getValue(), arith::FastMathFlags::afn);
}

FailureOr<Expression> CudaPrinter::elementwise(Operation *op) {
  auto refuse = [&](const char *what) -> FailureOr<Expression> {
    return op->emitOpError("expected an operation of the thread form that CUDA C++ has") << what;
  };
  // What is one number for every element so far needs the scalar function.
  auto function = [&](const char *onTiles, const char *onScalars) -> FailureOr<Expression> {
    FailureOr<Expression> e = call(op, onTiles);
    return succeeded(e) && e->form == Form::Scalar ? call(op, onScalars) : e;
  };
  return TypeSwitch<Operation *, FailureOr<Expression>>(op)
      .Case<arith::AddFOp, arith::AddIOp>([&](auto) -> FailureOr<Expression> {
        APInt number;
        // x + -3 reads as x - 3.
        if (matchPattern(op->getOperand(1), m_ConstantInt(&number)) && number.isNegative() &&
            !number.isMinSignedValue() && !isa<VectorType>(op->getOperand(1).getType())) {
          FailureOr<std::string> x = text(op->getOperand(0), Additive);
          if (failed(x))
            return failure();
          return Expression{*x + " - " + std::to_string(-number.getSExtValue()), Additive, Form::Scalar};
        }
        return binary(op, "+", Additive);
      })
      .Case<arith::SubFOp, arith::SubIOp>([&](auto) { return binary(op, "-", Additive); })
      .Case<arith::MulFOp, arith::MulIOp>([&](auto) { return binary(op, "*", Multiplicative); })
      .Case([&](arith::DivFOp divide) -> FailureOr<Expression> {
        if (!isApproximate(divide))
          return binary(op, "/", Multiplicative);
        FailureOr<Expression> divisor = expression(divide.getRhs());
        if (failed(divisor))
          return failure();
        const char *name = divisor->form == Form::Scalar ? "reciprocal_approx" : "reciprocal";
        Expression inverse{fmt::format("{}({})", name, divisor->text), Primary, divisor->form};
        if (matchPattern(divide.getLhs(), m_OneFloat()))
          return inverse;
        FailureOr<Expression> dividend = expression(divide.getLhs());
        if (failed(dividend))
          return failure();
        std::string left =
            dividend->precedence < Multiplicative ? "(" + dividend->text + ")" : dividend->text;
        return Expression{left + " * " + inverse.text, Multiplicative,
                          std::max(dividend->form, inverse.form)};
      })
      .Case([&](arith::NegFOp) -> FailureOr<Expression> {
        FailureOr<Expression> x = expression(op->getOperand(0));
        if (failed(x))
          return failure();
        return Expression{"-(" + x->text + ")", Unary, x->form};
      })
      .Case<arith::MaximumFOp>([&](auto) { return function("max", "larger"); })
      .Case<arith::MinimumFOp>([&](auto) { return function("min", "smaller"); })
      .Case<arith::MaxSIOp>([&](auto) { return call(op, "max"); })
      .Case<arith::MinSIOp>([&](auto) { return call(op, "min"); })
      .Case<arith::DivUIOp>([&](auto) { return call(op, "div"); })
      .Case<arith::RemUIOp>([&](auto) { return call(op, "mod"); })
      .Case<math::FmaOp>([&](auto) { return function("fma", "__fmaf_rn"); })
      .Case<math::AbsFOp>([&](auto) { return function("abs", "fabsf"); })
      .Case<math::Exp2Op>([&](auto) { return function("exp2", "exp2_approx"); })
      .Case<math::Log2Op>([&](auto) { return function("log2", "log2_approx"); })
      .Case<arith::SIToFPOp>([&](auto) { return function("to_float", "float"); })
      .Case<arith::AndIOp>([&](auto) { return binary(op, "&", And); })
      .Case<arith::OrIOp>([&](auto) { return binary(op, "|", Or); })
      .Case<arith::XOrIOp>([&](auto) { return binary(op, "^", Xor); })
      .Case([&](arith::CmpIOp compare) -> FailureOr<Expression> {
        switch (compare.getPredicate()) {
        case arith::CmpIPredicate::eq:
          return binary(op, "==", Equality);
        case arith::CmpIPredicate::ne:
          return binary(op, "!=", Equality);
        case arith::CmpIPredicate::slt:
          return binary(op, "<", Relational);
        case arith::CmpIPredicate::sle:
          return binary(op, "<=", Relational);
        case arith::CmpIPredicate::sgt:
          return binary(op, ">", Relational);
        case arith::CmpIPredicate::sge:
          return binary(op, ">=", Relational);
        default:
          return refuse(", got a comparison of unsigned numbers");
        }
      })
      .Case([&](arith::CmpFOp compare) -> FailureOr<Expression> {
        auto negated = [&](const char *symbol, int precedence) -> FailureOr<Expression> {
          FailureOr<Expression> e = binary(op, symbol, precedence);
          if (failed(e))
            return failure();
          return Expression{"!(" + e->text + ")", Unary, e->form};
        };
        using P = arith::CmpFPredicate;
        switch (compare.getPredicate()) {
        case P::OEQ:
          return binary(op, "==", Equality);
        case P::UNE:
          return binary(op, "!=", Equality);
        case P::OLT:
          return binary(op, "<", Relational);
        case P::OLE:
          return binary(op, "<=", Relational);
        case P::OGT:
          return binary(op, ">", Relational);
        case P::OGE:
          return binary(op, ">=", Relational);
        case P::ULT:
          return negated(">=", Relational);
        case P::ULE:
          return negated(">", Relational);
        case P::UGT:
          return negated("<=", Relational);
        case P::UGE:
          return negated("<", Relational);
        default:
          return refuse(", got a comparison whose only question is whether a side is NaN");
        }
      })
      .Case([&](arith::SelectOp select) -> FailureOr<Expression> {
        bool whole = !isa<VectorType>(select.getCondition().getType());
        if (whole && isa<VectorType>(select.getType())) {
          FailureOr<std::string> condition = text(select.getCondition()), a = full(select.getTrueValue()),
                                 b = full(select.getFalseValue());
          if (failed(condition) || failed(a) || failed(b))
            return failure();
          return Expression{fmt::format("choose({}, {}, {})", *condition, *a, *b), Primary,
                            formOf(select.getType())};
        }
        FailureOr<Expression> chosen = call(op, "select");
        if (failed(chosen) || chosen->form != Form::Scalar)
          return chosen;
        FailureOr<std::string> condition = text(select.getCondition(), Conditional + 1),
                               a = text(select.getTrueValue(), Conditional + 1),
                               b = text(select.getFalseValue(), Conditional);
        if (failed(condition) || failed(a) || failed(b))
          return failure();
        return Expression{*condition + " ? " + *a + " : " + *b, Conditional, Form::Scalar};
      })
      .Default([&](Operation *) { return refuse(""); });
}

FailureOr<Expression> CudaPrinter::dot(thread::DotOp op) {
  bool fromShared = !isa<VectorType>(op.getA().getType());
  FailureOr<std::string> a =
      fromShared ? smemTile(op.getA(), op.getM(), op.getK(), op.getType()) : full(op.getA());
  FailureOr<std::string> b = op.getTransposed() ? smemTile(op.getB(), op.getN(), op.getK(), op.getType())
                                                : smemTile(op.getB(), op.getK(), op.getN(), op.getType());
  if (failed(a) || failed(b))
    return failure();
  const char *function = op.getTransposed() ? "dot_transposed" : "dot";
  if (!op.getC() && op.getTransposed())
    return Expression{fmt::format("{}{}({}, {})", function, fromShared ? "<kWarps>" : "", *a, *b), Primary,
                      Form::Tile};
  FailureOr<std::string> c =
      op.getC() ? full(op.getC()) : FailureOr(typeText(op.getResult().getType()) + "(zero())");
  if (failed(c))
    return failure();
  return Expression{fmt::format("{}({}, {}, {})", function, *a, *b, *c), Primary, Form::Tile};
}

FailureOr<Expression> CudaPrinter::compute(Operation *op) {
  Form form = op->getNumResults() == 1 ? formOf(op->getResult(0).getType()) : Form::Scalar;
  auto of = [&](const std::string &function, auto... operands) -> FailureOr<Expression> {
    std::string list;
    bool bad = false;
    auto add = [&](FailureOr<std::string> operand) {
      bad |= failed(operand);
      if (succeeded(operand))
        list += (list.empty() ? "" : ", ") + *operand;
    };
    (add(operands), ...);
    if (bad)
      return failure();
    return Expression{function + "(" + list + ")", Primary, form};
  };
  auto dimension = [](gpu::Dimension d) {
    return d == gpu::Dimension::x ? "x" : d == gpu::Dimension::y ? "y" : "z";
  };
  return TypeSwitch<Operation *, FailureOr<Expression>>(op)
      .Case([&](arith::ConstantOp constant) -> FailureOr<Expression> {
        auto dense = dyn_cast<DenseElementsAttr>(constant.getValue());
        if (dense && !dense.isSplat())
          return op->emitOpError("expected a constant of one value");
        return literal(constant.getValue());
      })
      .Case([&](arith::IndexCastOp cast) { return expression(cast.getIn()); })
      .Case([&](gpu::BlockIdOp id) {
        return Expression{fmt::format("int(blockIdx.{})", dimension(id.getDimension()))};
      })
      .Case([&](gpu::GridDimOp size) {
        return Expression{fmt::format("int(gridDim.{})", dimension(size.getDimension()))};
      })
      .Case([&](tile::ParamOp param) {
        switch (param.getWhich()) {
        case tile::Param::LengthQ:
          return Expression{"params.length_q"};
        case tile::Param::LengthKv:
          return Expression{"params.length_kv"};
        case tile::Param::HeadsPerKvHead:
          break;
        }
        return Expression{"params.heads_per_kv_head"};
      })
      .Case([&](vector::BroadcastOp broadcast) { return expression(broadcast.getSource()); })
      .Case([&](thread::RowBroadcastOp broadcast) { return expression(broadcast.getValue()); })
      .Case([&](thread::RowIndexOp) { return of(fmt::format("row_index<{}, kWarps>", rows)); })
      .Case([&](thread::ColumnIndexOp index) {
        return of(fmt::format("column_index<{}, {}, kWarps>", index.getM(), index.getN()));
      })
      .Case([&](thread::RowReduceOp reduce) {
        return of(reduce.getKind() == tile::Reduction::Max ? "row_max" : "row_sum", full(reduce.getValue()),
                  full(reduce.getInit()));
      })
      .Case([&](thread::RowCombineOp combine) {
        return of(combine.getKind() == tile::Reduction::Max ? "max_over_quad" : "sum_over_quad",
                  full(combine.getValue()));
      })
      .Case([&](thread::WarpAnyOp any) { return of("any_in_warp", full(any.getCondition())); })
      .Case([&](thread::ToAOpOp convert) {
        Type element = cast<VectorType>(convert.getType()).getElementType();
        return of("to_a_operand<" + elementText(element) + ">", full(convert.getValue()));
      })
      .Case([&](thread::KeepColumnsOp keep) -> FailureOr<Expression> {
        std::string limits;
        for (auto [name, limit] : {std::pair("From", keep.getFirst()), std::pair("UpTo", keep.getLast()),
                                   std::pair("FromDiagonal", keep.getFirstShift()),
                                   std::pair("UpToDiagonal", keep.getLastShift())})
          if (limit) {
            FailureOr<std::string> value = text(limit);
            if (failed(value))
              return failure();
            limits += (limits.empty() ? "" : ", ") + std::string(name) + "{" + *value + "}";
          }
        return of("keep_columns", full(keep.getValue()), text(keep.getRow()), text(keep.getColumn()),
                  FailureOr<std::string>(limits));
      })
      .Case([&](thread::LoadOperandOp load) {
        return of("load_a_operand<kWarps>", smemTile(load.getOffset(), load.getRows(), load.getCols(),
                                                     cast<VectorType>(load.getType()).getElementType()));
      })
      .Case([&](thread::DotOp op) { return dot(op); })
      .Default([&](Operation *) { return elementwise(op); });
}

} // namespace attune
