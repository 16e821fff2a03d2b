//===- OnlineSoftmax.cpp - softmax, a block of keys at a time -------------===//
#include "compiler/schedule/OnlineSoftmax.h"

#include "compiler/dialect/tile/Tile.h"

#include <cmath>
#include <limits>
#include <numbers>

using namespace mlir;

namespace attune {

/// A row's reference moves when it would grow by more than 2^8: far inside the range of f16 probabilities.
static constexpr float kRescaleThresholdLog2 = 8.0f;
/// A row is far out when its reference times the factor is at least this. Up to here the product's rounding
/// moves an exponent by at most 2^-11, and all exponents of a reference alike.
static constexpr float kFarLog2 = 0x1p14f;
static constexpr float kInfinity = std::numeric_limits<float>::infinity();
static constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
static constexpr auto kApproximate = arith::FastMathFlags::afn;

Value splatConstant(NamingBuilder &b, RankedTensorType type, float value) {
  return b.make<arith::ConstantOp>("", DenseElementsAttr::get(type, value));
}

bool OnlineSoftmax::takesScale(double scale, bool isDivisor) {
  float factor = float(scale / std::numbers::ln2);
  return factor > (isDivisor ? 0x1p-32f : 0) && std::isnormal(factor);
}

OnlineSoftmax::OnlineSoftmax(RankedTensorType outType, double scale)
    : outType(outType), rowType(RankedTensorType::get({outType.getDimSize(0)}, outType.getElementType(),
                                                      tile::RowAttr::get(outType.getContext()))),
      scoreToLog2(float(scale / std::numbers::ln2)), scaleOfScores(float(scale)) {}

SoftmaxState OnlineSoftmax::start(NamingBuilder &b) const {
  auto constant = [&](StringRef name, RankedTensorType type, float value) -> Value {
    return b.make<arith::ConstantOp>(name, DenseElementsAttr::get(type, value));
  };
  return {constant("out0", outType, 0.0f), constant("max0", rowType, 0.0f),
          constant("limit0", rowType, -kInfinity), constant("sum0", rowType, 0.0f)};
}

Value OnlineSoftmax::limitOf(NamingBuilder &b, Value max) const {
  Value above =
      b.make<arith::AddFOp>("", max, splatConstant(b, rowType, kRescaleThresholdLog2 / scoreToLog2));
  // An infinite score is above every limit.
  return b.make<arith::MinimumFOp>("", above, splatConstant(b, rowType, std::numeric_limits<float>::max()));
}

Value OnlineSoftmax::isFar(NamingBuilder &b, Value max) const {
  Value log2 = b.make<arith::MulFOp>("", max, splatConstant(b, rowType, scoreToLog2));
  return b.make<arith::CmpFOp>("far", arith::CmpFPredicate::OGE, b.make<math::AbsFOp>("", log2),
                               splatConstant(b, rowType, kFarLog2));
}

Value OnlineSoftmax::scale(NamingBuilder &b, Value out, const LaterScale &later) const {
  auto branch = b.make<scf::IfOp>("out", TypeRange(out.getType()), later.moved, /*withElse=*/true);
  branch->setAttr("note", b.getStringAttr("a reference moved: so does the output"));
  NamingBuilder then(OpBuilder::atBlockBegin(&branch.getThenRegion().front()), b.unnamed());
  Value alphas = then.make<tile::RowBroadcastOp>("", outType, later.alpha);
  Value scaled = then.make<arith::MulFOp>("out", out, alphas);
  then.make<scf::YieldOp>("", ValueRange{scaled});
  NamingBuilder otherwise(OpBuilder::atBlockBegin(&branch.getElseRegion().front()), b.unnamed());
  otherwise.make<scf::YieldOp>("", ValueRange{out});
  return branch.getResult(0);
}

SoftmaxState OnlineSoftmax::advance(NamingBuilder &b, SoftmaxState state, ScoreBlock &block,
                                    LaterScale *later) const {
  auto scoresType = cast<RankedTensorType>(block.scores.getType());
  Value newMax =
      b.make<tile::RowReduceOp>("new_max", rowType, tile::Reduction::Max, block.scores, state.limit, false);
  // Unordered: a limit that is NaN always looks again.
  Value outgrown = b.make<arith::CmpFOp>("outgrown", arith::CmpFPredicate::UGT, newMax, state.limit);
  Value move = b.make<tile::WarpAnyOp>("rescale", outgrown);
  Value minusFactor = splatConstant(b, rowType, -scoreToLog2);
  Value offset = b.make<arith::MulFOp>("offset", state.max, minusFactor);

  // What the branch gives first is the scaled output, or what it is scaled by later.
  SmallVector<Type> types{later ? rowType : outType, rowType, rowType, rowType, rowType, scoresType};
  auto branch = b.make<scf::IfOp>("rescaled", types, move, /*withElse=*/true);
  branch->setAttr("note", b.getStringAttr("some row's maximum grew by more than 2^8: move its reference"));
  {
    NamingBuilder then(OpBuilder::atBlockBegin(&branch.getThenRegion().front()), b.unnamed());
    auto constant = [&](float value) { return splatConstant(then, rowType, value); };
    auto select = [&](StringRef name, Value condition, Value yes, Value no) -> Value {
      return then.make<arith::SelectOp>(name, condition, yes, no);
    };
    // Each row decides for itself, so that its bits do not depend on the rows beside it: one that stays has
    // an alpha of 1.
    Value floor = select("floor", isFar(then, state.max), state.max, state.limit);
    Value moves = then.make<arith::CmpFOp>("moves", arith::CmpFPredicate::OGT, newMax, floor);
    Value max = select("max", moves, newMax, state.max);
    Value down = then.make<arith::SubFOp>("", state.max, max);
    Value downLog2 = then.make<arith::MulFOp>("down", down, constant(scoreToLog2));
    // Where nothing was seen before there is nothing to scale: any finite alpha will do.
    Value falls = then.make<arith::CmpFOp>("", arith::CmpFPredicate::OLT, downLog2, constant(0.0f));
    Value alpha = then.make<math::Exp2Op>("alpha", select("", falls, downLog2, constant(0.0f)), kApproximate);
    Value sum = then.make<arith::MulFOp>("sum", state.sum, alpha);
    Value out = alpha;
    if (!later)
      out = then.make<arith::MulFOp>("out", state.out, then.make<tile::RowBroadcastOp>("", outType, alpha));
    Value far = isFar(then, max);
    Value next = select("", far, constant(kNaN), limitOf(then, max));
    Value limit = select("limit", moves, next, state.limit);
    Value nearOffset = then.make<arith::MulFOp>("offset", max, constant(-scoreToLog2));

    auto farBranch = then.make<scf::IfOp>("near", TypeRange{rowType, scoresType},
                                          then.make<tile::WarpAnyOp>("any_far", far), /*withElse=*/true);
    farBranch->setAttr("note", b.getStringAttr("scores so large that their product with the factor is too "
                                               "coarse: subtract the reference first"));
    {
      NamingBuilder inside(OpBuilder::atBlockBegin(&farBranch.getThenRegion().front()), b.unnamed());
      Value zero = splatConstant(inside, rowType, 0.0f);
      Value base = inside.make<arith::SelectOp>("base", far, max, zero);
      Value bases = inside.make<tile::RowBroadcastOp>("", scoresType, base);
      Value near = inside.make<arith::SubFOp>("near", block.scores, bases);
      Value rest = inside.make<arith::SelectOp>("offset", far, zero, nearOffset);
      inside.make<scf::YieldOp>("", ValueRange{rest, near});
      NamingBuilder otherwise(OpBuilder::atBlockBegin(&farBranch.getElseRegion().front()), b.unnamed());
      otherwise.make<scf::YieldOp>("", ValueRange{nearOffset, block.scores});
    }
    then.make<scf::YieldOp>("",
                            ValueRange{out, max, limit, sum, farBranch.getResult(0), farBranch.getResult(1)});
    NamingBuilder otherwise(OpBuilder::atBlockBegin(&branch.getElseRegion().front()), b.unnamed());
    // Nobody looks at an alpha where nothing moved: the maxima are at hand, and free.
    Value usual = later ? newMax : state.out;
    otherwise.make<scf::YieldOp>("",
                                 ValueRange{usual, state.max, state.limit, state.sum, offset, block.scores});
  }
  block = {branch.getResult(5), branch.getResult(4)};
  if (later)
    *later = {move, branch.getResult(0)};
  return {later ? state.out : branch.getResult(0), branch.getResult(1), branch.getResult(2),
          branch.getResult(3)};
}

Value OnlineSoftmax::weigh(NamingBuilder &b, SoftmaxState &state, const ScoreBlock &block) const {
  auto scoresType = cast<RankedTensorType>(block.scores.getType());
  // 2^(score * factor - max * factor) as one fma and one ex2.
  Value offsets = b.make<tile::RowBroadcastOp>("", scoresType, block.offset);
  Value exponent =
      b.make<math::FmaOp>("exponent", block.scores, splatConstant(b, scoresType, scoreToLog2), offsets);
  Value probabilities = b.make<math::Exp2Op>("p", exponent, kApproximate);
  state.sum = b.make<tile::RowReduceOp>("sum", rowType, tile::Reduction::Add, probabilities, state.sum,
                                        /*partial=*/true);
  return probabilities;
}

/// A tile of one value: `yes` where the scalar holds, else `no`.
static Value splatChoice(NamingBuilder &b, StringRef name, RankedTensorType type, Value condition, float yes,
                         float no) {
  auto constant = [&](float value) -> Value {
    return b.make<arith::ConstantOp>("", b.getF32FloatAttr(value));
  };
  Value scalar = b.make<arith::SelectOp>(name, condition, constant(yes), constant(no));
  return b.make<tensor::SplatOp>(name, scalar, type);
}

Value OnlineSoftmax::takeNonfinite(NamingBuilder &b, const SoftmaxState &state, const ScoreBlock &block,
                                   Value values, Value partly) const {
  auto take = [&](NamingBuilder &at) -> Value {
    return at.make<tile::TakeNonfiniteOp>("out", outType, values, block.scores, state.out);
  };
  if (!partly)
    return take(b);
  auto branch = b.make<scf::IfOp>("out", TypeRange(outType), partly, /*withElse=*/true);
  branch->setAttr("note", b.getStringAttr("only rows that see a NaN or an infinity of V get it"));
  NamingBuilder then(OpBuilder::atBlockBegin(&branch.getThenRegion().front()), b.unnamed());
  then.make<scf::YieldOp>("", ValueRange{take(then)});
  NamingBuilder otherwise(OpBuilder::atBlockBegin(&branch.getElseRegion().front()), b.unnamed());
  otherwise.make<scf::YieldOp>("", ValueRange{state.out});
  return branch.getResult(0);
}

Value OnlineSoftmax::lessen(NamingBuilder &b, Value weights, Value small) const {
  if (!small)
    return weights;
  auto type = cast<RankedTensorType>(weights.getType());
  return b.make<arith::MulFOp>("p", weights, splatChoice(b, "weight", type, small, 1 / kSmaller, 1.0f));
}

OnlineSoftmax::SinkRows OnlineSoftmax::meetSink(NamingBuilder &b, Value max, Value sinks) const {
  // An infinite sink is its own reference; a NaN is none, and makes a NaN of its part.
  Value leads = b.make<arith::CmpFOp>("sink_leads", arith::CmpFPredicate::OGE, sinks, max);
  Value apart = b.make<math::AbsFOp>("", b.make<arith::SubFOp>("", max, sinks));
  Value downLog2 = b.make<arith::MulFOp>("down", apart, splatConstant(b, rowType, -scoreToLog2));
  Value down = b.make<math::Exp2Op>("", downLog2, kApproximate);
  Value one = splatConstant(b, rowType, 1.0f);
  auto select = [&](StringRef name, Value yes, Value no) -> Value {
    return b.make<arith::SelectOp>(name, leads, yes, no);
  };
  return {select("keys_factor", down, one), select("max", sinks, max), select("sink_part", one, down)};
}

FinishedRows OnlineSoftmax::finish(NamingBuilder &b, SoftmaxState state, Value small, Value sink,
                                   bool wantLse) const {
  Value zero = splatConstant(b, rowType, 0.0f);
  Value sum = b.make<tile::RowCombineOp>("total", tile::Reduction::Add, state.sum);
  Value empty = b.make<arith::CmpFOp>("empty", arith::CmpFPredicate::OEQ, sum, zero);
  Value emptyLse;
  SinkRows met;
  if (sink) {
    emptyLse = b.make<tensor::SplatOp>("sinks", sink, rowType);
    Value scores = b.make<arith::MulFOp>("", emptyLse, splatConstant(b, rowType, 1 / scaleOfScores));
    met = meetSink(b, state.max, scores);
    sum = b.make<arith::AddFOp>("total", b.make<arith::MulFOp>("", sum, met.factor), met.part);
    state.max = met.max;
  }
  Value reciprocal = b.make<arith::DivFOp>("reciprocal", splatConstant(b, rowType, 1.0f), sum, kApproximate);
  if (sink)
    reciprocal = b.make<arith::MulFOp>("reciprocal", reciprocal, met.factor);
  if (small)
    reciprocal = b.make<arith::MulFOp>("reciprocal", reciprocal,
                                       splatChoice(b, "back", rowType, small, kSmaller, 1.0f));
  Value inverse = b.make<arith::SelectOp>("inverse", empty, zero, reciprocal);
  Value out = b.make<arith::MulFOp>("result", state.out, b.make<tile::RowBroadcastOp>("", outType, inverse));
  if (!wantLse)
    return {out, empty, Value()};
  Value log2Sum = b.make<math::Log2Op>("", sum, kApproximate);
  Value logSum = b.make<arith::MulFOp>("", log2Sum, splatConstant(b, rowType, std::numbers::ln2_v<float>));
  // In natural logarithms from the start: the maximum in base 2 may be beyond f32 where this is not.
  Value natural = b.make<math::FmaOp>("", state.max, splatConstant(b, rowType, scaleOfScores), logSum);
  if (!sink)
    emptyLse = splatConstant(b, rowType, -kInfinity);
  Value lse = b.make<arith::SelectOp>("lse", empty, emptyLse, natural);
  return {out, empty, lse};
}

Value OnlineSoftmax::clearEmptyRows(NamingBuilder &b, const FinishedRows &rows) const {
  auto flags = RankedTensorType::get(outType.getShape(), b.getI1Type(), outType.getEncoding());
  Value empty = b.make<tile::RowBroadcastOp>("", flags, rows.empty);
  return b.make<arith::SelectOp>("result", empty, splatConstant(b, outType, 0.0f), rows.out);
}

} // namespace attune
