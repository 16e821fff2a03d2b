//===- ScoreSum.cpp - a score as a sum ------------------------------------===//
#include "compiler/schedule/ScoreSum.h"

#include "compiler/dialect/attn/Attn.h"
#include "compiler/program/SizeExpr.h"
#include "compiler/spec/Spec.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

#include <cmath>
#include <limits>

using namespace mlir;

namespace attune {

/// Whether no place and no scalar takes the index out of i32, where the language says that it wraps.
static bool staysInside(const LinearIndex &index) {
  double most = double(index.constant), least = most;
  auto add = [&](int64_t factor, double low, double high) {
    most += double(factor) * (factor > 0 ? high : low);
    least += double(factor) * (factor > 0 ? low : high);
  };
  constexpr double longest = 1 << 30;
  for (int64_t place : {index.q, index.kv})
    add(place, 0, longest - 1);
  for (int64_t length : {index.lengthQ, index.lengthKv})
    add(length, 0, longest);
  for (const auto &[name, factor] : index.scalars)
    add(factor, double(-limits::maxScalar), double(limits::maxScalar));
  return least >= double(std::numeric_limits<int32_t>::min()) &&
         most <= double(std::numeric_limits<int32_t>::max());
}

namespace {
class Reader {
public:
  Reader(ScoreSum &sum, llvm::function_ref<bool(Value)> isUniform) : sum(sum), isUniform(isUniform) {}

  void read(Value value, bool isSubtracted) {
    Operation *op = value.getDefiningOp();
    if (isa_and_nonnull<arith::AddFOp, arith::SubFOp>(op)) {
      read(op->getOperand(0), isSubtracted);
      return read(op->getOperand(1), isSubtracted != isa<arith::SubFOp>(op));
    }
    LinearTerm term;
    if (multiply(value, term)) {
      term.constant *= isSubtracted ? -1 : 1;
      sum.linear.push_back(term);
    } else {
      sum.rest.push_back({value, isSubtracted});
    }
  }

private:
  /// Multiplies `term` by `value`; false: that is no linear term then.
  bool multiply(Value value, LinearTerm &term) {
    Operation *op = value.getDefiningOp();
    if (auto negate = dyn_cast_or_null<arith::NegFOp>(op)) {
      term.constant = -term.constant;
      return multiply(negate.getOperand(), term);
    }
    if (auto product = dyn_cast_or_null<arith::MulFOp>(op)) {
      bool first = isUniform(product.getLhs());
      if (!first && !isUniform(product.getRhs()))
        return false;
      addFactor(first ? product.getLhs() : product.getRhs(), term);
      return multiply(first ? product.getRhs() : product.getLhs(), term);
    }
    if (auto quotient = dyn_cast_or_null<arith::DivFOp>(op)) {
      APFloat divisor(0.0f);
      if (!matchPattern(quotient.getRhs(), m_ConstantFloat(&divisor)) ||
          !std::isnormal(1 / divisor.convertToFloat()))
        return false;
      term.constant /= divisor.convertToDouble();
      return multiply(quotient.getLhs(), term);
    }
    auto number = dyn_cast_or_null<arith::SIToFPOp>(op);
    std::optional<LinearIndex> index = number ? linearIndex(number.getIn()) : std::nullopt;
    if (!index || index->kv == 0 || !staysInside(*index))
      return false;
    term.index = *index;
    return true;
  }

  static void addFactor(Value factor, LinearTerm &term) {
    APFloat constant(0.0f);
    if (matchPattern(factor, m_ConstantFloat(&constant)))
      term.constant *= constant.convertToDouble();
    else
      term.factors.push_back(factor);
  }

  ScoreSum &sum;
  llvm::function_ref<bool(Value)> isUniform;
};
} // namespace

bool ScoreSum::restIsProduct() const {
  if (rest.size() != 1 || rest.front().isSubtracted)
    return false;
  auto argument = dyn_cast<BlockArgument>(rest.front().value);
  return argument && argument.getArgNumber() == 0;
}

ScoreSum analyseScore(Region &score, llvm::function_ref<bool(Value)> isUniform) {
  Value yielded = cast<attn::YieldOp>(score.front().getTerminator()).getValue();
  ScoreSum sum;
  Reader(sum, isUniform).read(yielded, false);
  if (sum.linear.empty() || sum.rest.empty())
    return {{{yielded}}, {}};
  return sum;
}

} // namespace attune
