//===- ExpressionRows.cpp - masks and scores, evaluated -------------------===//
#include "runtime/reference/ExpressionRows.h"

#include "compiler/spec/expr/Parser.h"
#include "runtime/reference/Float16.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

namespace attune::reference {

using expr::Node;
using expr::Op;
using expr::Type;
using expr::Variable;

expr::Expression parsed(const AttentionSpec &spec, const std::string &text, bool isMask) {
  std::vector<Diagnostic> diagnostics;
  auto tree = expr::parse(text, isMask ? expr::Role::Mask : expr::Role::Score, spec.captures, diagnostics);
  assert(tree && "a spec that was not validated");
  return std::move(*tree);
}

ExpressionRows::ExpressionRows(expr::Expression expression, const AttentionSpec &spec, const Problem &problem,
                               const Inputs &inputs)
    : tree(std::move(expression)), spec(spec), problem(problem), inputs(inputs), values(tree.size()) {
  for (expr::Ref ref = 0; ref < tree.size(); ++ref) {
    const Node &node = tree[ref];
    bool isScore = node.op == Op::Variable && Variable(node.symbol) == Variable::Score;
    bool byKey = isScore || (node.op == Op::Variable && Variable(node.symbol) == Variable::Kv);
    for (expr::Ref operand : node.operands) {
      byKey = byKey || variesByKey[operand];
      isScore = isScore || dependsOnScore[operand];
    }
    variesByKey.push_back(byKey);
    dependsOnScore.push_back(isScore);
  }
}

double ExpressionRows::leaf(const Node &node) const {
  if (node.op == Op::Constant)
    return node.number;
  if (node.op == Op::Scalar) {
    double value = spec.captures.scalars[node.symbol].value.value_or(0);
    return node.type == Type::F32 ? double(float(value)) : value;
  }
  switch (Variable(node.symbol)) {
  case Variable::B:
    return batchIndex;
  case Variable::H:
    return headIndex;
  case Variable::Hkv:
    return headIndex / (problem.headsQ / problem.headsKv);
  case Variable::Q:
    return double(query);
  case Variable::LengthQ:
    return double(lengthsOf(spec, problem, inputs, batchIndex).q);
  case Variable::LengthKv:
    return double(lengthsOf(spec, problem, inputs, batchIndex).kv);
  default:
    assert(false && "varies by key");
    return 0;
  }
}

/// An index beyond an axis reads the nearest element. A kernel does not take an array on which nothing
/// depends once its expressions are folded; what stands for its elements varies, so that one which does
/// matter shows.
double ExpressionRows::element(const Node &node, size_t key) const {
  const expr::CapturedArray &array = spec.captures.arrays[node.symbol];
  const CapturedData &data = inputs.captured[node.symbol];
  int64_t at = 0, mixed = 0;
  for (size_t axis = 0; axis < array.axes.size(); ++axis) {
    int64_t extent = array.axes[axis].extent;
    if (auto variable = array.axes[axis].variable)
      extent = *variable == Variable::B     ? problem.batch
               : *variable == Variable::H   ? problem.headsQ
               : *variable == Variable::Hkv ? problem.headsKv
               : *variable == Variable::Q   ? problem.lengthQ
                                            : problem.lengthKv;
    const std::vector<double> &index = values[node.operands[axis]];
    int64_t place = std::clamp<int64_t>(int64_t(index[index.size() > 1 ? key : 0]), 0, extent - 1);
    at += data.elements ? place * data.strides[axis] : 0;
    mixed = mixed * 31 + place;
  }
  if (!data.elements)
    return double(mixed * 7 % (array.dtype == DType::U8 ? 2 : 5));
  auto load = [&]<typename T>(T) {
    T value;
    std::memcpy(&value, static_cast<const char *>(data.elements) + at * int64_t(sizeof value), sizeof value);
    return value;
  };
  switch (array.dtype) {
  case DType::I32:
    return load(int32_t());
  case DType::U8:
    return load(uint8_t()) != 0;
  case DType::F32:
    return load(float());
  default:
    return toFloat(array.dtype, load(uint16_t()));
  }
}

static double wrapped(int64_t value) { return double(int32_t(uint32_t(uint64_t(value)))); }

/// Quotient rounded down, and what is left; both 0 by 0.
static double divided(int64_t x, int64_t y, bool rest) {
  if (y == 0)
    return 0;
  int64_t remainder = ((x % y) + y) % y; // of the sign of y
  return wrapped(rest ? remainder : (x - remainder) / y);
}

static double integer(Op op, int64_t x, int64_t y) {
  switch (op) {
  case Op::Negate:
    return wrapped(-x);
  case Op::Complement:
    return wrapped(-1 - x);
  case Op::Multiply:
    return wrapped(x * y);
  case Op::Divide:
    return divided(x, y, false);
  case Op::Remainder:
    return divided(x, y, true);
  case Op::Add:
    return wrapped(x + y);
  case Op::Subtract:
    return wrapped(x - y);
  case Op::ShiftLeft:
    return wrapped(x * (int64_t(1) << (y & 31)));
  case Op::ShiftRight:
    return std::floor(std::ldexp(double(x), -int(y & 31)));
  case Op::BitAnd:
    return wrapped(x & y);
  case Op::BitXor:
    return wrapped(x ^ y);
  case Op::BitOr:
    return wrapped(x | y);
  case Op::Min:
    return double(x < y ? x : y);
  case Op::Max:
    return double(x < y ? y : x);
  case Op::Abs:
    return wrapped(x < 0 ? -x : x);
  default:
    assert(false && "no operation of whole numbers");
    return 0;
  }
}

static double real(Op op, double x, double y) {
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
    return std::isnan(x) ? y : std::isnan(y) ? x : std::min(x, y);
  case Op::Max:
    return std::isnan(x) ? y : std::isnan(y) ? x : std::max(x, y);
  case Op::Abs:
    return std::abs(x);
  case Op::Exp:
    return std::exp(x);
  case Op::Exp2:
    return std::exp2(x);
  case Op::Log:
    return std::log(x);
  case Op::Log2:
    return std::log2(x);
  case Op::Sqrt:
    return std::sqrt(x);
  case Op::Rsqrt:
    return 1 / std::sqrt(x);
  case Op::Tanh:
    return std::tanh(x);
  case Op::Sigmoid:
    return 1 / (1 + std::exp(-x));
  default:
    assert(false && "no operation of reals");
    return 0;
  }
}

double ExpressionRows::apply(const Node &node, const double *x, bool isExact) const {
  switch (node.op) {
  case Op::Not:
    return x[0] == 0;
  case Op::And:
    return x[0] != 0 && x[1] != 0;
  case Op::Or:
    return x[0] != 0 || x[1] != 0;
  case Op::Less:
    return x[0] < x[1];
  case Op::LessEqual:
    return x[0] <= x[1];
  case Op::Equal:
    return x[0] == x[1];
  case Op::NotEqual:
    return x[0] != x[1];
  case Op::Select:
    return x[0] != 0 ? x[1] : x[2];
  case Op::ToInt:
    return std::isnan(x[0]) ? 0 : std::clamp(std::trunc(x[0]), -0x1p31, 0x1p31 - 1);
  case Op::ToFloat:
    return float(x[0]);
  default:
    break;
  }
  if (node.type == Type::I32)
    return integer(node.op, int64_t(x[0]), int64_t(x[1]));
  double value = real(node.op, x[0], x[1]);
  return isExact ? value : double(float(value));
}

const std::vector<double> &ExpressionRows::evaluate(int batch, int head, int64_t q, int64_t begin,
                                                    int64_t end, const double *scores) {
  batchIndex = batch;
  headIndex = head;
  query = q;
  size_t keys = size_t(std::max<int64_t>(end - begin, 0));
  for (expr::Ref ref = 0; ref < tree.size(); ++ref) {
    const Node &node = tree[ref];
    std::vector<double> &value = values[ref];
    value.resize(variesByKey[ref] ? keys : 1);
    bool isVariable = node.op == Op::Variable;
    for (size_t i = 0; i < value.size(); ++i) {
      if (isVariable && variesByKey[ref]) {
        value[i] = Variable(node.symbol) == Variable::Score ? scores[i] : double(begin + int64_t(i));
      } else if (node.op == Op::Element) {
        value[i] = element(node, i);
      } else if (node.operands.empty()) {
        value[i] = leaf(node);
      } else {
        double x[3] = {};
        for (size_t operand = 0; operand < node.operands.size(); ++operand) {
          const std::vector<double> &from = values[node.operands[operand]];
          x[operand] = from[from.size() > 1 ? i : 0];
        }
        value[i] = apply(node, x, dependsOnScore[ref]);
      }
    }
  }
  std::vector<double> &result = values[tree.root];
  if (result.size() != keys)
    result.assign(keys, result[0]);
  return result;
}

KeptKeys::KeptKeys(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs)
    : spec(spec), problem(problem), inputs(inputs) {
  for (const std::string &text : spec.maskExpressions)
    expressions.emplace_back(parsed(spec, text, true), spec, problem, inputs);
}

void KeptKeys::row(int batch, int head, int64_t q, std::vector<uint8_t> &keep) {
  EntryLengths lengths = lengthsOf(spec, problem, inputs, batch);
  Interval named = keptKeys(spec, q, lengths.q, lengths.kv);
  std::fill(keep.begin(), keep.end(), uint8_t(0));
  int64_t end = std::min(named.end, int64_t(keep.size()));
  for (int64_t kv = std::max<int64_t>(named.begin, 0); kv < end; ++kv)
    keep[size_t(kv)] = 1;
  for (ExpressionRows &expression : expressions) {
    const std::vector<double> &holds = expression.evaluate(batch, head, q, 0, int64_t(keep.size()), nullptr);
    for (size_t kv = 0; kv < keep.size(); ++kv)
      keep[kv] &= holds[kv] != 0;
  }
}

} // namespace attune::reference
