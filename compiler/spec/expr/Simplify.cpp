//===- Simplify.cpp - constants folded, operands in order -----------------===//
//
// What is done here is exact for every value: i32 wraps at 32 bits, f32 rounds after each operation, and NaN
// compares false.
//
//===----------------------------------------------------------------------===//
#include "compiler/spec/expr/Expression.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace attune::expr {

namespace {

int32_t wrap(int64_t x) { return int32_t(uint32_t(uint64_t(x))); }

/// Rounded down; 0 by 0.
int64_t floorDivide(int64_t x, int64_t y) {
  if (y == 0)
    return 0;
  int64_t quotient = x / y;
  return quotient - (x % y != 0 && (x < 0) != (y < 0));
}

std::optional<double> foldInteger(Op op, int64_t x, int64_t y) {
  switch (op) {
  case Op::Negate:
    return wrap(-x);
  case Op::Complement:
    return wrap(~x);
  case Op::Multiply:
    return wrap(x * y);
  case Op::Divide:
    return wrap(floorDivide(x, y));
  case Op::Remainder:
    return y == 0 ? 0 : wrap(x - floorDivide(x, y) * y);
  case Op::Add:
    return wrap(x + y);
  case Op::Subtract:
    return wrap(x - y);
  case Op::ShiftLeft:
    return wrap(x << (y & 31));
  case Op::ShiftRight:
    return double(x >> (y & 31));
  case Op::BitAnd:
    return double(x & y);
  case Op::BitOr:
    return double(x | y);
  case Op::BitXor:
    return double(x ^ y);
  case Op::Min:
    return double(std::min(x, y));
  case Op::Max:
    return double(std::max(x, y));
  case Op::Abs:
    return wrap(std::abs(x));
  case Op::ToFloat:
    return float(x);
  default:
    return std::nullopt;
  }
}

std::optional<double> foldFloat(Op op, float x, float y) {
  double wide = x;
  auto value = [&]() -> double {
    switch (op) {
    case Op::Negate:
      return -x;
    case Op::Multiply:
      return x * y;
    case Op::Divide:
      return x / y;
    case Op::Add:
      return x + y;
    case Op::Subtract:
      return x - y;
    case Op::Min:
      return std::fmin(x, y);
    case Op::Max:
      return std::fmax(x, y);
    case Op::Abs:
      return std::fabs(x);
    case Op::Exp:
      return float(std::exp(wide));
    case Op::Exp2:
      return float(std::exp2(wide));
    case Op::Log:
      return float(std::log(wide));
    case Op::Log2:
      return float(std::log2(wide));
    case Op::Sqrt:
      return std::sqrt(x);
    case Op::Rsqrt:
      return float(1 / std::sqrt(wide));
    case Op::Tanh:
      return float(std::tanh(wide));
    case Op::Sigmoid:
      return float(1 / (1 + std::exp(-wide)));
    case Op::ToInt:
      return std::clamp(std::trunc(wide), double(INT32_MIN), double(INT32_MAX));
    default:
      return std::numeric_limits<double>::quiet_NaN();
    }
  }();
  // What is not finite has no literal; it is computed.
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

std::optional<bool> foldCompare(Op op, double x, double y) {
  switch (op) {
  case Op::Less:
    return x < y;
  case Op::LessEqual:
    return x <= y;
  case Op::Equal:
    return x == y;
  case Op::NotEqual:
    return x != y;
  default:
    return std::nullopt;
  }
}

class Simplifier {
public:
  Simplifier(const Expression &from, const Captures &captures) : from(from), blind(captures) {
    for (CapturedArray &array : blind.arrays) {
      array.name = attune::nameOf(array.dtype);
      for (const Axis &axis : array.axes)
        array.name += "_" + textOf(axis);
    }
    for (CapturedScalar &scalar : blind.scalars)
      scalar.name = nameOf(scalar.type);
  }

  Expression run() {
    std::vector<Ref> made;
    for (Ref ref = 0; ref < from.size(); ++ref) {
      Node node = from[ref];
      for (Ref &operand : node.operands)
        operand = made[operand];
      made.push_back(simplified(std::move(node)));
    }
    // Only what the root needs, in an order that does not depend on what was written.
    keep = Expression();
    kept.assign(to.size(), std::nullopt);
    keep.root = copy(made[from.root]);
    return std::move(keep);
  }

private:
  bool isConstant(Ref ref) const { return to[ref].op == Op::Constant; }
  double numberOf(Ref ref) const { return to[ref].number; }
  bool isNumber(Ref ref, double number) const { return isConstant(ref) && numberOf(ref) == number; }
  Ref truth(bool value) { return to.constant(Type::Bool, value); }

  Ref copy(Ref ref) {
    if (!kept[ref]) {
      Node node = to[ref];
      for (Ref &operand : node.operands)
        operand = copy(operand);
      kept[ref] = keep.add(std::move(node));
    }
    return *kept[ref];
  }

  /// By what they are, whatever captures are called.
  void sort(std::vector<Ref> &operands) const {
    std::vector<std::pair<std::string, Ref>> order;
    for (Ref operand : operands) // constants come last, as people write them
      order.emplace_back((isConstant(operand) ? "~" : "") + textOf(to, operand, blind), operand);
    std::sort(order.begin(), order.end());
    for (size_t i = 0; i < order.size(); ++i)
      operands[i] = order[i].second;
  }

  /// Operations whose operands may come in any grouping.
  bool isAssociative(const Node &node) const {
    switch (node.op) {
    case Op::And:
    case Op::Or:
      return true;
    case Op::Add:
    case Op::Multiply:
    case Op::BitAnd:
    case Op::BitOr:
    case Op::BitXor:
    case Op::Min:
    case Op::Max:
      return node.type == Type::I32;
    default:
      return false;
    }
  }

  /// What changes nothing as an operand, and what decides alone.
  struct Special {
    std::optional<double> neutral, absorbing;
  };
  static Special specialOf(Op op) {
    switch (op) {
    case Op::And:
      return {1, 0};
    case Op::Or:
      return {0, 1};
    case Op::Add:
    case Op::BitXor:
      return {0, {}};
    case Op::BitOr:
      return {0, -1};
    case Op::Multiply:
      return {1, 0};
    case Op::BitAnd:
      return {-1, 0};
    case Op::Min:
      return {INT32_MAX, INT32_MIN};
    case Op::Max:
      return {INT32_MIN, INT32_MAX};
    default:
      return {};
    }
  }

  Ref associative(Node node) {
    std::vector<Ref> operands;
    std::optional<double> constant;
    auto take = [&](Ref ref) {
      if (!isConstant(ref))
        operands.push_back(ref);
      else if (!constant)
        constant = numberOf(ref);
      else if (node.type == Type::Bool)
        constant = node.op == Op::And ? *constant && numberOf(ref) : *constant || numberOf(ref);
      else
        constant = foldInteger(node.op, int64_t(*constant), int64_t(numberOf(ref)));
    };
    for (Ref operand : node.operands) {
      if (to[operand].op == node.op && to[operand].type == node.type)
        for (Ref inner : std::vector<Ref>(to[operand].operands))
          take(inner);
      else
        take(operand);
    }
    Special special = specialOf(node.op);
    if (constant && special.absorbing == constant)
      return to.constant(node.type, *constant);
    bool isIdempotent = node.op != Op::Add && node.op != Op::Multiply && node.op != Op::BitXor;
    sort(operands);
    if (isIdempotent)
      operands.erase(std::unique(operands.begin(), operands.end()), operands.end());
    if (constant && (special.neutral != constant || operands.empty()))
      operands.push_back(to.constant(node.type, *constant));
    if (operands.empty())
      return to.constant(node.type, *special.neutral);
    if (operands.size() == 1)
      return operands[0];
    node.operands = std::move(operands);
    return to.add(std::move(node));
  }

  Ref negation(Ref ref) {
    const Node node = to[ref];
    auto x = [&](size_t i) { return node.operands[i]; };
    bool isOfIntegers = !node.operands.empty() && to[x(0)].type == Type::I32;
    switch (node.op) {
    case Op::Constant:
      return truth(node.number == 0);
    case Op::Not:
      return x(0);
    case Op::Less:
    case Op::LessEqual:
      if (!isOfIntegers) // a NaN compares false both ways
        break;
      return simplified({node.op == Op::Less ? Op::LessEqual : Op::Less, Type::Bool, 0, 0, {x(1), x(0)}});
    case Op::Equal:
      return simplified({Op::NotEqual, Type::Bool, 0, 0, node.operands});
    case Op::NotEqual:
      return simplified({Op::Equal, Type::Bool, 0, 0, node.operands});
    case Op::And:
    case Op::Or: {
      Node other{node.op == Op::And ? Op::Or : Op::And, Type::Bool, 0, 0, {}};
      for (Ref operand : node.operands)
        other.operands.push_back(negation(operand));
      return simplified(std::move(other));
    }
    default:
      break;
    }
    return to.make(Op::Not, Type::Bool, {ref});
  }

  Ref simplified(Node node);

  const Expression &from;
  Captures blind;
  Expression to, keep;
  std::vector<std::optional<Ref>> kept;
};
} // namespace

Ref Simplifier::simplified(Node node) {
  if (node.operands.empty())
    return to.add(std::move(node));
  if (isAssociative(node))
    return associative(std::move(node));
  auto x = [&](size_t i) { return node.operands[i]; };
  Type type = to[x(0)].type;
  // Operands that are all numbers.
  if (node.op != Op::Element && node.op != Op::Select &&
      std::all_of(node.operands.begin(), node.operands.end(), [&](Ref one) { return isConstant(one); })) {
    double a = numberOf(x(0)), b = node.operands.size() > 1 ? numberOf(x(1)) : 0;
    std::optional<double> number;
    if (std::optional<bool> compared = foldCompare(node.op, a, b))
      number = *compared;
    else if (type == Type::Bool) // int(true)
      number = node.op == Op::Not ? double(a == 0) : a;
    else
      number = type == Type::I32 ? foldInteger(node.op, int64_t(a), int64_t(b))
                                 : foldFloat(node.op, float(a), float(b));
    if (number)
      return to.constant(node.type, *number);
  }
  switch (node.op) {
  case Op::Not:
    return negation(x(0));
  case Op::Negate:
  case Op::Complement:
    if (to[x(0)].op == node.op)
      return to[x(0)].operands[0];
    break;
  case Op::Subtract:
    if (node.type == Type::F32) {
      if (isNumber(x(1), 0) && !std::signbit(numberOf(x(1))))
        return x(0);
    } else if (x(0) == x(1)) {
      return to.integer(0);
    } else if (isConstant(x(1))) {
      return simplified({Op::Add, Type::I32, 0, 0, {x(0), to.integer(wrap(-int64_t(numberOf(x(1)))))}});
    } else if (isNumber(x(0), 0)) {
      return simplified({Op::Negate, Type::I32, 0, 0, {x(1)}});
    }
    break;
  case Op::Divide:
    if (isNumber(x(1), 1))
      return x(0);
    // Exact by a power of two.
    if (node.type == Type::F32 && isConstant(x(1))) {
      int exponent = 0;
      if (std::abs(std::frexp(numberOf(x(1)), &exponent)) == 0.5 && std::abs(exponent) < 100)
        return simplified(
            {Op::Multiply, Type::F32, 0, 0, {x(0), to.constant(Type::F32, 1 / numberOf(x(1)))}});
    }
    break;
  case Op::Remainder:
    if (isNumber(x(1), 1))
      return to.integer(0);
    break;
  case Op::Multiply:
    for (size_t i : {0, 1})
      if (isNumber(x(i), 1))
        return x(1 - i);
    break;
  case Op::Less:
  case Op::LessEqual:
    if (type == Type::F32)
      break;
    if (x(0) == x(1))
      return truth(node.op == Op::LessEqual);
    // Among whole numbers every comparison with a constant is one with "or equal".
    if (node.op == Op::Less && isConstant(x(1)) && numberOf(x(1)) > INT32_MIN)
      return to.make(Op::LessEqual, Type::Bool, {x(0), to.integer(int64_t(numberOf(x(1))) - 1)});
    if (node.op == Op::Less && isConstant(x(0)) && numberOf(x(0)) < INT32_MAX)
      return to.make(Op::LessEqual, Type::Bool, {to.integer(int64_t(numberOf(x(0))) + 1), x(1)});
    break;
  case Op::Equal:
  case Op::NotEqual:
    if (type != Type::F32 && x(0) == x(1))
      return truth(node.op == Op::Equal);
    if (type == Type::Bool)
      for (size_t i : {0, 1})
        if (isConstant(x(i)))
          return (numberOf(x(i)) != 0) == (node.op == Op::Equal) ? x(1 - i) : negation(x(1 - i));
    break;
  case Op::Select:
    if (isConstant(x(0)))
      return numberOf(x(0)) != 0 ? x(1) : x(2);
    if (x(1) == x(2))
      return x(1);
    if (to[x(0)].op == Op::Not)
      return simplified({Op::Select, node.type, 0, 0, {to[x(0)].operands[0], x(2), x(1)}});
    if (node.type == Type::Bool && isConstant(x(1)) && isConstant(x(2)))
      return numberOf(x(1)) != 0 ? x(0) : negation(x(0));
    break;
  default:
    break;
  }
  if (infoOf(node.op).commutes)
    sort(node.operands);
  return to.add(std::move(node));
}

Expression simplify(const Expression &expression, const Captures &captures) {
  return Simplifier(expression, captures).run();
}

} // namespace attune::expr
