//===- CudaExpressions.cpp - operations as C++ expressions ----------------===//
#include "compiler/target/cuda/CudaPrinter.h"

#include "compiler/dialect/Elements.h"
#include "compiler/dialect/ScalarOps.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

#include <fmt/format.h>

using namespace mlir;

namespace attune {

// Of C++: multiplicative, additive, relational, equality, conditional; the table of scalar operations has the
// rest.
enum Precedence {
  Conditional = 3,
  Equality = 9,
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

static std::string elementText(Type type) { return type.isInteger(1) ? "bool" : infoOf(type).cudaName; }

std::string CudaPrinter::typeText(Type type) {
  if (auto place = dyn_cast<tile::PlaceType>(type))
    return fmt::format("Place<{}>", place.getDepth());
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

FailureOr<Expression> CudaPrinter::call(StringRef function, Value a, Value b) {
  FailureOr<Expression> x = expression(a), y = expression(b);
  if (failed(x) || failed(y))
    return failure();
  return Expression{fmt::format("{}({}, {})", function.str(), x->text, y->text), Primary,
                    std::max(x->form, y->form)};
}

static FailureOr<Expression> negated(FailureOr<Expression> e) {
  if (failed(e))
    return failure();
  return Expression{"!(" + e->text + ")", Unary, e->form};
}

static bool isApproximate(Operation *op) {
  auto fast = dyn_cast<arith::ArithFastMathInterface>(op);
  return fast && bitEnumContainsAll(fast.getFastMathFlagsAttr().getValue(), arith::FastMathFlags::afn);
}

FailureOr<Expression> CudaPrinter::comparison(arith::CmpIOp compare) {
  using P = arith::CmpIPredicate;
  P predicate = compare.getPredicate();
  auto infix = [&](const char *symbol, int precedence) { return binary(compare, symbol, precedence); };
  switch (predicate) {
  case P::eq:
    return infix("==", Equality);
  case P::ne:
    return infix("!=", Equality);
  case P::slt:
    return infix("<", Relational);
  case P::sle:
    return infix("<=", Relational);
  case P::sgt:
    return infix(">", Relational);
  case P::sge:
    return infix(">=", Relational);
  case P::ult:
    return call("below", compare.getLhs(), compare.getRhs());
  case P::ugt:
    return call("below", compare.getRhs(), compare.getLhs());
  case P::ule:
    return negated(call("below", compare.getRhs(), compare.getLhs()));
  case P::uge:
    return negated(call("below", compare.getLhs(), compare.getRhs()));
  }
  return failure();
}

FailureOr<Expression> CudaPrinter::comparison(arith::CmpFOp compare) {
  using P = arith::CmpFPredicate;
  Value a = compare.getLhs(), b = compare.getRhs();
  auto infix = [&](const char *symbol, int precedence) { return binary(compare, symbol, precedence); };
  // The operators of C++ are false where a side is NaN; what is true there is the negation of another.
  switch (compare.getPredicate()) {
  case P::OEQ:
    return infix("==", Equality);
  case P::UNE:
    return infix("!=", Equality);
  case P::OLT:
    return infix("<", Relational);
  case P::OLE:
    return infix("<=", Relational);
  case P::OGT:
    return infix(">", Relational);
  case P::OGE:
    return infix(">=", Relational);
  case P::ULT:
    return negated(infix(">=", Relational));
  case P::ULE:
    return negated(infix(">", Relational));
  case P::UGT:
    return negated(infix("<=", Relational));
  case P::UGE:
    return negated(infix("<", Relational));
  case P::ONE:
    return call("less_or_greater", a, b);
  case P::UEQ:
    return negated(call("less_or_greater", a, b));
  case P::UNO:
    return call("either_nan", a, b);
  case P::ORD:
    return negated(call("either_nan", a, b));
  case P::AlwaysTrue:
    return Expression{"true"};
  case P::AlwaysFalse:
    return Expression{"false"};
  }
  return failure();
}

FailureOr<Expression> CudaPrinter::elementwise(Operation *op) {
  const ScalarOp *row = findScalarOp(op);
  if (!row)
    return op->emitOpError("expected an operation of the thread form that CUDA C++ has");
  if (isa<arith::AddIOp>(op)) {
    APInt number;
    // x + -3 reads as x - 3.
    if (matchPattern(op->getOperand(1), m_ConstantInt(&number)) && number.isNegative() &&
        !number.isMinSignedValue() && !isa<VectorType>(op->getOperand(1).getType())) {
      FailureOr<std::string> x = text(op->getOperand(0), Additive);
      if (failed(x))
        return failure();
      return Expression{*x + " - " + std::to_string(-number.getSExtValue()), Additive, Form::Scalar};
    }
  }
  switch (row->cuda.kind) {
  case CudaSpelling::Infix:
    return binary(op, row->cuda.text, row->cuda.precedence);
  case CudaSpelling::Call:
    return call(op, row->cuda.text);
  case CudaSpelling::Function: {
    // What is one number for every element so far needs the scalar function.
    FailureOr<Expression> e = call(op, row->cuda.text);
    return succeeded(e) && e->form == Form::Scalar ? call(op, row->cuda.scalar) : e;
  }
  case CudaSpelling::Special:
    break;
  }
  return TypeSwitch<Operation *, FailureOr<Expression>>(op)
      .Case<arith::IndexCastOp, arith::IndexCastUIOp>([&](auto) { return expression(op->getOperand(0)); })
      .Case<arith::CmpIOp, arith::CmpFOp>([&](auto compare) { return comparison(compare); })
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
      .Default([&](Operation *) -> FailureOr<Expression> {
        return op->emitOpError("expected an operation of the thread form that CUDA C++ has");
      });
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
      .Case([&](thread::ReplicaOp) { return Expression{replica, Primary, Form::Scalar}; })
      .Case([&](gpu::BlockIdOp id) {
        return Expression{fmt::format("int(blockIdx.{})", dimension(id.getDimension()))};
      })
      .Case([&](gpu::GridDimOp size) {
        return Expression{fmt::format("int(gridDim.{})", dimension(size.getDimension()))};
      })
      .Case([&](tile::LoadValueOp load) -> FailureOr<Expression> {
        Type element = load.getArray().getType().getElementType();
        Expression result{fmt::format("load_value<{}>(params.{}", infoOf(element).cudaName,
                                      argumentName(load.getArray()).str()),
                          Primary, Form::Scalar};
        for (Value index : load.getIndices()) {
          FailureOr<Expression> i = expression(index);
          if (failed(i))
            return failure();
          result.text += ", " + i->text;
          result.form = std::max(result.form, i->form);
        }
        result.text += ")";
        return result;
      })
      .Case([&](tile::LoadEntryOp load) {
        return of("load_entry", FailureOr("params." + argumentName(load.getWorkspace()).str()),
                  text(load.getIndex()));
      })
      .Case([&](vector::BroadcastOp broadcast) { return expression(broadcast.getSource()); })
      .Case([&](thread::RowBroadcastOp broadcast) { return expression(broadcast.getValue()); })
      .Case([&](thread::RowIndexOp) { return of(fmt::format("row_index<{}, kWarps>", rows)); })
      .Case([&](thread::ColumnIndexOp index) {
        return of(fmt::format("column_index<{}, {}, kWarps>", index.getM(), index.getN()));
      })
      .Case([&](thread::FirstColumnOp) { return of(fmt::format("first_column<{}, kWarps>", rows)); })
      .Case([&](thread::RampOp ramp) {
        return of(fmt::format("ramp<{}>", ramp.getN()), full(ramp.getValue()), text(ramp.getStep()));
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
      .Case([&](tile::AttemptOp) { return Expression{"attempt"}; })
      .Case(
          [&](tile::PlaceOp place) { return of(typeText(place.getType()) + "::of", text(place.getIndex())); })
      .Case([&](tile::NextPlaceOp next) -> FailureOr<Expression> {
        FailureOr<std::string> place = text(next.getPlace(), Primary);
        if (failed(place))
          return failure();
        return Expression{*place + ".next()", Primary, Form::Scalar};
      })
      .Case([&](tile::UniformOp same) { return of("uniform", text(same.getValue())); })
      .Case([&](thread::TakeNonfiniteOp take) {
        auto tile = smemTile(take.getOffset(), take.getRows(), take.getCols(), take.getType());
        if (!take.getMeet())
          return of("take_nonfinite", tile, full(take.getScores()), full(take.getOut()));
        std::string sharers = fmt::format("Replicas<{}, {}>{{{}}}", 32 * role.getWarps() * role.getReplicas(),
                                          32 * role.getFirstWarp(), *take.getMeet());
        return of("take_nonfinite", tile, full(take.getScores()), full(take.getOut()), FailureOr(sharers));
      })
      .Case([&](thread::VoteOp vote) {
        return of(fmt::format("vote<{}, {}>", vote.getThreads(), vote.getNumber()), text(vote.getBits()));
      })
      .Case([&](tile::DrawOp draw) { return of("draw", text(draw.getCounter())); })
      .Case([&](tile::LoadWordOp load) { return of("load_word", FailureOr(barrier(load.getOffset()))); })
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
