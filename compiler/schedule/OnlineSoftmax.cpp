#include "compiler/schedule/OnlineSoftmax.h"

#include "compiler/dialect/tile/Tile.h"

#include <limits>
#include <numbers>

using namespace mlir;

namespace attune {

/// A row's reference moves when it would grow by more than 2^8: far inside the range of f16 probabilities.
static constexpr float kRescaleThresholdLog2 = 8.0f;
static constexpr auto kApproximate = arith::FastMathFlags::afn;

Value splatConstant(NamingBuilder &b, RankedTensorType type, float value) {
  return b.make<arith::ConstantOp>("", DenseElementsAttr::get(type, value));
}

OnlineSoftmax::OnlineSoftmax(RankedTensorType outType, float scoreToLog2)
    : outType(outType), rowType(RankedTensorType::get({outType.getDimSize(0)}, outType.getElementType(),
                                                      tile::RowAttr::get(outType.getContext()))),
      scoreToLog2(scoreToLog2) {}

SoftmaxState OnlineSoftmax::start(NamingBuilder &b) const {
  auto constant = [&](StringRef name, RankedTensorType type, float value) -> Value {
    return b.make<arith::ConstantOp>(name, DenseElementsAttr::get(type, value));
  };
  return {constant("out0", outType, 0.0f), constant("max0", rowType, -std::numeric_limits<float>::infinity()),
          constant("offset0", rowType, -0.0f), constant("sum0", rowType, 0.0f)};
}

Value OnlineSoftmax::finiteMax(NamingBuilder &b, Value max) const {
  Value minusInf = splatConstant(b, rowType, -std::numeric_limits<float>::infinity());
  Value nothing = b.make<arith::CmpFOp>("nothing_yet", arith::CmpFPredicate::OEQ, max, minusInf);
  return b.make<arith::SelectOp>("finite_max", nothing, splatConstant(b, rowType, 0.0f), max);
}

SoftmaxState OnlineSoftmax::step(NamingBuilder &b, SoftmaxState state, Value scores, bool mayBeEmpty,
                                 Value &probabilities) const {
  auto scoresType = cast<RankedTensorType>(scores.getType());
  Value factor = splatConstant(b, rowType, scoreToLog2);
  Value newMax =
      b.make<tile::RowReduceOp>("new_max", rowType, tile::Reduction::Max, scores, state.max, false);

  Value growth = b.make<arith::SubFOp>("", newMax, state.max);
  Value growthLog2 = b.make<arith::MulFOp>("growth", growth, factor);
  Value tooMuch = b.make<arith::CmpFOp>("grew", arith::CmpFPredicate::OGT, growthLog2,
                                        splatConstant(b, rowType, kRescaleThresholdLog2));
  Value move = b.make<tile::WarpAnyOp>("rescale", tooMuch);

  auto branch = b.make<scf::IfOp>("rescaled", TypeRange{outType, rowType, rowType, rowType}, move,
                                  /*withElse=*/true);
  branch->setAttr("note", b.getStringAttr("some row's maximum grew by more than 2^8: move the reference"));
  {
    NamingBuilder then(OpBuilder::atBlockBegin(&branch.getThenRegion().front()), b.unnamed());
    auto constant = [&](float value) { return splatConstant(then, rowType, value); };
    Value reference = mayBeEmpty ? finiteMax(then, newMax) : newMax;
    Value down = then.make<arith::SubFOp>("", state.max, reference);
    Value downLog2 = then.make<arith::MulFOp>("", down, constant(scoreToLog2));
    Value alpha = then.make<math::Exp2Op>("alpha", downLog2, kApproximate);
    Value sum = then.make<arith::MulFOp>("sum", state.sum, alpha);
    Value alphas = then.make<tile::RowBroadcastOp>("", outType, alpha);
    Value out = then.make<arith::MulFOp>("out", state.out, alphas);
    Value offset = then.make<arith::MulFOp>("offset", reference, constant(-scoreToLog2));
    then.make<scf::YieldOp>("", ValueRange{out, newMax, offset, sum});
    NamingBuilder otherwise(OpBuilder::atBlockBegin(&branch.getElseRegion().front()), b.unnamed());
    otherwise.make<scf::YieldOp>("", ValueRange{state.out, state.max, state.offset, state.sum});
  }
  SoftmaxState next = {branch.getResult(0), branch.getResult(1), branch.getResult(2), branch.getResult(3)};

  // 2^(score * factor - max * factor) as one fma and one ex2.
  Value offsets = b.make<tile::RowBroadcastOp>("", scoresType, next.offset);
  Value exponent =
      b.make<math::FmaOp>("exponent", scores, splatConstant(b, scoresType, scoreToLog2), offsets);
  probabilities = b.make<math::Exp2Op>("p", exponent, kApproximate);
  next.sum = b.make<tile::RowReduceOp>("sum", rowType, tile::Reduction::Add, probabilities, next.sum,
                                       /*partial=*/true);
  return next;
}

std::pair<Value, Value> OnlineSoftmax::finish(NamingBuilder &b, SoftmaxState state, bool wantLse) const {
  Value zero = splatConstant(b, rowType, 0.0f);
  Value sum = b.make<tile::RowCombineOp>("total", tile::Reduction::Add, state.sum);
  Value empty = b.make<arith::CmpFOp>("empty", arith::CmpFPredicate::OEQ, sum, zero);
  Value reciprocal = b.make<arith::DivFOp>("reciprocal", splatConstant(b, rowType, 1.0f), sum, kApproximate);
  Value inverse = b.make<arith::SelectOp>("inverse", empty, zero, reciprocal);
  Value scaled = b.make<arith::MulFOp>("", state.out, b.make<tile::RowBroadcastOp>("", outType, inverse));
  // The select also keeps 0 x NaN of a row that sees nothing out of the output.
  auto flagType = RankedTensorType::get(outType.getShape(), b.getI1Type(), outType.getEncoding());
  Value emptyRows = b.make<tile::RowBroadcastOp>("", flagType, empty);
  Value out = b.make<arith::SelectOp>("result", emptyRows, splatConstant(b, outType, 0.0f), scaled);
  if (!wantLse)
    return {out, Value()};
  Value log2Sum = b.make<math::Log2Op>("", sum, kApproximate);
  Value log2 = b.make<math::FmaOp>("", state.max, splatConstant(b, rowType, scoreToLog2), log2Sum);
  Value natural = b.make<arith::MulFOp>("", log2, splatConstant(b, rowType, std::numbers::ln2_v<float>));
  Value minusInf = splatConstant(b, rowType, -std::numeric_limits<float>::infinity());
  Value lse = b.make<arith::SelectOp>("lse", empty, minusInf, natural);
  return {out, lse};
}

} // namespace attune
