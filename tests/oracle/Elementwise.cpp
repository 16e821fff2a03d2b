//===- Elementwise.cpp - operations of arith and math on words ------------===//
#include "tests/oracle/Values.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/TypeSwitch.h"

#include <algorithm>
#include <cmath>

using namespace mlir;

namespace attune::oracle {

// Every f32 operation is one rounding of its own, as PTX's .rn operations are.
#pragma STDC FP_CONTRACT OFF

std::vector<uint32_t> Words::expanded(Type type, int64_t warps) const {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || (spreadOf != One && spreadOf != Warps))
    return *values;
  int64_t rows = tensor.getDimSize(0), each = tensor.getRank() == 1 ? partsOfRow : tensor.getDimSize(1);
  std::vector<uint32_t> words(size_t(rows * each), values->front());
  for (int64_t i = 0; spreadOf == Warps && i != rows * each; ++i)
    words[size_t(i)] = (*values)[size_t(warpOfRow(i / each, warps))];
  return words;
}

Words Words::ofWarps(std::vector<uint32_t> words) {
  if (std::all_of(words.begin(), words.end(), [&](uint32_t word) { return word == words.front(); }))
    return words.front();
  return Words(Warps, std::move(words));
}

float maxOf(float a, float b) {
  if (a != a || b != b)
    return canonical(a != a ? b : a);
  if (a == b)
    return std::signbit(a) ? b : a;
  return a > b ? a : b;
}

namespace {

float minOf(float a, float b) {
  if (a != a || b != b)
    return canonical(a != a ? b : a);
  if (a == b)
    return std::signbit(a) ? a : b;
  return a < b ? a : b;
}

/// Applies `f` to the words of each place.
class Mapper {
public:
  Mapper(Operation *op, ArrayRef<Words> operands, int64_t warps) {
    Type type = op->getResult(0).getType();
    for (const Words &operand : operands)
      spread = std::max(spread, operand.spread());
    for (const Words &operand : operands) {
      // A condition of each warp beside the rows of all of them.
      bool widen = operand.spread() == Words::Warps && spread > Words::Warps;
      words.push_back(widen ? Words(spread, operand.expanded(type, warps)) : operand);
      if (words.back().spread() == spread)
        count = words.back().size();
    }
  }

  template <typename F> Words integers(F f) const {
    std::vector<uint32_t> result(count);
    if constexpr (std::is_invocable_v<F, uint32_t>)
      each(result, [&](size_t i) { return uint32_t(f(words[0][i])); });
    else if constexpr (std::is_invocable_v<F, uint32_t, uint32_t>)
      each(result, [&](size_t i) { return uint32_t(f(words[0][i], words[1][i])); });
    else
      each(result, [&](size_t i) { return uint32_t(f(words[0][i], words[1][i], words[2][i])); });
    return Words(spread, std::move(result));
  }

  /// `f` of f32 that gives f32.
  template <typename F> Words floats(F f) const {
    auto number = [](uint32_t word) { return std::bit_cast<float>(word); };
    auto result = [](float value) { return wordOf(canonical(value)); };
    if constexpr (std::is_invocable_v<F, float>)
      return integers([&](uint32_t a) { return result(f(number(a))); });
    else if constexpr (std::is_invocable_v<F, float, float>)
      return integers([&](uint32_t a, uint32_t b) { return result(f(number(a), number(b))); });
    else
      return integers(
          [&](uint32_t a, uint32_t b, uint32_t c) { return result(f(number(a), number(b), number(c))); });
  }

  template <typename F> Words compare(F f) const {
    return integers(
        [&](uint32_t a, uint32_t b) { return f(std::bit_cast<float>(a), std::bit_cast<float>(b)); });
  }

private:
  template <typename F> static void each(std::vector<uint32_t> &result, F f) {
    for (size_t i = 0; i != result.size(); ++i)
      result[i] = f(i);
  }

  llvm::SmallVector<Words, 3> words;
  Words::Spread spread = Words::One;
  size_t count = 1;
};

Words compareFloats(arith::CmpFPredicate predicate, const Mapper &m) {
  using P = arith::CmpFPredicate;
  auto unordered = [](float a, float b) { return a != a || b != b; };
  switch (predicate) {
  case P::OEQ:
    return m.compare([](float a, float b) { return a == b; });
  case P::OGT:
    return m.compare([](float a, float b) { return a > b; });
  case P::OGE:
    return m.compare([](float a, float b) { return a >= b; });
  case P::OLT:
    return m.compare([](float a, float b) { return a < b; });
  case P::OLE:
    return m.compare([](float a, float b) { return a <= b; });
  case P::ONE:
    return m.compare([](float a, float b) { return a < b || a > b; });
  case P::ORD:
    return m.compare([=](float a, float b) { return !unordered(a, b); });
  case P::UEQ:
    return m.compare([=](float a, float b) { return unordered(a, b) || a == b; });
  case P::UGT:
    return m.compare([](float a, float b) { return !(a <= b); });
  case P::UGE:
    return m.compare([](float a, float b) { return !(a < b); });
  case P::ULT:
    return m.compare([](float a, float b) { return !(a >= b); });
  case P::ULE:
    return m.compare([](float a, float b) { return !(a > b); });
  case P::UNE:
    return m.compare([](float a, float b) { return a != b; });
  case P::UNO:
    return m.compare(unordered);
  case P::AlwaysTrue:
    return m.compare([](float, float) { return true; });
  case P::AlwaysFalse:
    return m.compare([](float, float) { return false; });
  }
  return Words();
}

Words compareIntegers(arith::CmpIPredicate predicate, const Mapper &m) {
  using P = arith::CmpIPredicate;
  auto isSigned = [&](auto f) {
    return m.integers([=](uint32_t a, uint32_t b) { return f(int32_t(a), int32_t(b)); });
  };
  switch (predicate) {
  case P::eq:
    return m.integers([](uint32_t a, uint32_t b) { return a == b; });
  case P::ne:
    return m.integers([](uint32_t a, uint32_t b) { return a != b; });
  case P::slt:
    return isSigned([](int32_t a, int32_t b) { return a < b; });
  case P::sle:
    return isSigned([](int32_t a, int32_t b) { return a <= b; });
  case P::sgt:
    return isSigned([](int32_t a, int32_t b) { return a > b; });
  case P::sge:
    return isSigned([](int32_t a, int32_t b) { return a >= b; });
  case P::ult:
    return m.integers([](uint32_t a, uint32_t b) { return a < b; });
  case P::ule:
    return m.integers([](uint32_t a, uint32_t b) { return a <= b; });
  case P::ugt:
    return m.integers([](uint32_t a, uint32_t b) { return a > b; });
  case P::uge:
    return m.integers([](uint32_t a, uint32_t b) { return a >= b; });
  }
  return Words();
}

// A division by 0 has no value; the machine gives all ones.
uint32_t divide(uint32_t a, uint32_t b) { return b ? a / b : ~0u; }
uint32_t divideSigned(uint32_t a, uint32_t b) { return b ? uint32_t(int64_t(int32_t(a)) / int32_t(b)) : ~0u; }
uint32_t rest(uint32_t a, uint32_t b) { return b ? a % b : a; }
uint32_t restSigned(uint32_t a, uint32_t b) { return b ? uint32_t(int64_t(int32_t(a)) % int32_t(b)) : a; }

uint32_t smaller(uint32_t a, uint32_t b) { return uint32_t(std::min(int32_t(a), int32_t(b))); }
uint32_t larger(uint32_t a, uint32_t b) { return uint32_t(std::max(int32_t(a), int32_t(b))); }

/// cvt.rzi.s32.f32: toward zero, the nearest number where there is none, 0 of a NaN.
uint32_t toInteger(uint32_t word) {
  double value = std::trunc(double(std::bit_cast<float>(word)));
  return value != value ? 0 : uint32_t(int32_t(std::clamp(value, double(INT32_MIN), double(INT32_MAX))));
}

/// rsqrt.approx.ftz.f32, of which only an error bound is documented: rounded once here.
float inverseRoot(float x) {
  float flushed = std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x;
  return float(1 / std::sqrt(double(flushed)));
}

std::optional<Words> constant(arith::ConstantOp op) {
  Attribute value = op.getValue();
  if (auto dense = dyn_cast<DenseElementsAttr>(value)) {
    if (!dense.isSplat())
      return std::nullopt;
    if (isa<FloatType>(dense.getElementType()))
      return Words(uint32_t(dense.getSplatValue<APFloat>().bitcastToAPInt().getZExtValue()));
    return Words(uint32_t(dense.getSplatValue<APInt>().getZExtValue()));
  }
  if (auto number = dyn_cast<FloatAttr>(value))
    return Words(uint32_t(number.getValue().bitcastToAPInt().getZExtValue()));
  if (auto number = dyn_cast<IntegerAttr>(value))
    return Words(uint32_t(number.getValue().getZExtValue()));
  return std::nullopt;
}

} // namespace

std::optional<Words> evaluate(Operation *op, ArrayRef<Words> operands, int64_t warps) {
  if (auto number = dyn_cast<arith::ConstantOp>(op))
    return constant(number);
  Mapper m(op, operands, warps);
  using Answer = std::optional<Words>;
  auto wholes = [&](auto f) -> Answer { return m.integers(f); };
  auto floats = [&](auto f) -> Answer { return m.floats(f); };
  return llvm::TypeSwitch<Operation *, Answer>(op)
      .Case([&](arith::AddIOp) { return wholes([](uint32_t a, uint32_t b) { return a + b; }); })
      .Case([&](arith::SubIOp) { return wholes([](uint32_t a, uint32_t b) { return a - b; }); })
      .Case([&](arith::MulIOp) { return wholes([](uint32_t a, uint32_t b) { return a * b; }); })
      .Case([&](arith::DivUIOp) { return wholes(divide); })
      .Case([&](arith::DivSIOp) { return wholes(divideSigned); })
      .Case([&](arith::RemUIOp) { return wholes(rest); })
      .Case([&](arith::RemSIOp) { return wholes(restSigned); })
      .Case([&](arith::ShLIOp) { return wholes([](uint32_t a, uint32_t b) { return b < 32 ? a << b : 0; }); })
      .Case(
          [&](arith::ShRUIOp) { return wholes([](uint32_t a, uint32_t b) { return b < 32 ? a >> b : 0; }); })
      .Case([&](arith::ShRSIOp) {
        return wholes([](uint32_t a, uint32_t b) { return int32_t(a) >> std::min(b, 31u); });
      })
      .Case([&](arith::MinSIOp) { return wholes(smaller); })
      .Case([&](arith::MaxSIOp) { return wholes(larger); })
      .Case([&](arith::MinUIOp) { return wholes([](uint32_t a, uint32_t b) { return std::min(a, b); }); })
      .Case([&](arith::MaxUIOp) { return wholes([](uint32_t a, uint32_t b) { return std::max(a, b); }); })
      .Case([&](arith::AndIOp) { return wholes([](uint32_t a, uint32_t b) { return a & b; }); })
      .Case([&](arith::OrIOp) { return wholes([](uint32_t a, uint32_t b) { return a | b; }); })
      .Case([&](arith::XOrIOp) { return wholes([](uint32_t a, uint32_t b) { return a ^ b; }); })
      .Case([&](arith::CmpIOp compare) -> Answer { return compareIntegers(compare.getPredicate(), m); })
      .Case([&](arith::CmpFOp compare) -> Answer { return compareFloats(compare.getPredicate(), m); })
      .Case([&](arith::SelectOp) {
        return wholes([](uint32_t condition, uint32_t a, uint32_t b) { return condition ? a : b; });
      })
      .Case<arith::IndexCastOp, arith::IndexCastUIOp, arith::ExtUIOp>(
          [&](auto) -> Answer { return operands[0]; })
      .Case([&](arith::ExtSIOp) { return wholes([](uint32_t a) { return 0u - a; }); })
      .Case([&](arith::SIToFPOp) { return wholes([](uint32_t a) { return wordOf(float(int32_t(a))); }); })
      .Case([&](arith::UIToFPOp) { return wholes([](uint32_t a) { return wordOf(float(a)); }); })
      .Case([&](arith::AddFOp) { return floats([](float a, float b) { return a + b; }); })
      .Case([&](arith::SubFOp) { return floats([](float a, float b) { return a - b; }); })
      .Case([&](arith::MulFOp) { return floats([](float a, float b) { return a * b; }); })
      .Case([&](arith::DivFOp divide) {
        if (!bitEnumContainsAll(divide.getFastmath(), arith::FastMathFlags::afn))
          return floats([](float a, float b) { return a / b; });
        return floats([](float a, float b) { return a * reference::rcp(b); });
      })
      .Case([&](arith::NegFOp) { return wholes([](uint32_t a) { return a ^ 0x80000000u; }); })
      .Case([&](math::AbsFOp) { return wholes([](uint32_t a) { return a & 0x7fffffffu; }); })
      .Case([&](arith::MaxNumFOp) { return floats(maxOf); })
      .Case([&](arith::MinNumFOp) { return floats(minOf); })
      .Case([&](arith::MaximumFOp) {
        return floats([](float a, float b) { return a != a || b != b ? NAN : maxOf(a, b); });
      })
      .Case([&](arith::MinimumFOp) {
        return floats([](float a, float b) { return a != a || b != b ? NAN : minOf(a, b); });
      })
      .Case([&](math::FmaOp) { return floats([](float a, float b, float c) { return std::fma(a, b, c); }); })
      .Case([&](math::Exp2Op) { return floats(reference::ex2); })
      .Case([&](math::Log2Op) { return floats(reference::lg2); })
      .Case([&](math::RsqrtOp) { return floats(inverseRoot); })
      .Case([&](math::SqrtOp) { return floats([](float a) { return std::sqrt(a); }); })
      .Case([&](arith::FPToSIOp) { return wholes(toInteger); })
      .Default([](Operation *) -> Answer { return std::nullopt; });
}

} // namespace attune::oracle
