//===- ForwardProgram.cpp - what forward kernels of all families share ----===//
#include "compiler/schedule/ForwardProgram.h"

#include "compiler/dialect/Elements.h"
#include "compiler/dialect/tile/KernelHeader.h"
#include "compiler/ir/ScheduleAttr.h"
#include "compiler/schedule/Elementwise.h"

#include <limits>

#include <fmt/format.h>

using namespace mlir;

namespace attune {

ForwardProgram::ForwardProgram(OpBuilder &builder, attn::ForwardOp forward, const DecidedSchedule &decided)
    : forward(forward), decided(decided), context(builder.getContext()), headDimQk(forward.getHeadDimQk()),
      headDimV(forward.getHeadDimV()), dtype(forward.getDtype()), bounds(analyseMask(forward.getMask())),
      identityScore(isIdentityScore(forward.getScore())), scale(forward.getScale().convertToDouble()),
      b(builder, forward.getLoc()) {}

DType ForwardProgram::element() const { return *elementOf(dtype); }

//===----------------------------------------------------------------------===//
// What the kernel is launched with
//===----------------------------------------------------------------------===//

void ForwardProgram::openKernel(const SizeExpr &grid, int64_t warps, StringRef note) {
  kernel = tile::KernelOp::create(
      b, b.unnamed(), forward.getSymName(), b.getArrayAttr({}), decided.arch.name,
      warps ? b.getI64IntegerAttr(warps) : IntegerAttr(), uint64_t(decided.cost.blocksPerSm),
      b.getStrArrayAttr({grid.text(), "1", "1"}), IntegerAttr(), scheduleAttr(context, decided.schedule));
  kernel->setDiscardableAttr("why", b.getStringAttr(decided.why));
  std::string what = fmt::format("attune forward: {}, head dim {}", infoOf(dtype).irName, headDimQk);
  if (headDimV != headDimQk)
    what += fmt::format(", values of {}", headDimV);
  kernel->setDiscardableAttr("notes", b.getStrArrayAttr({what, note}));
  b.createBlock(&kernel.getBody());
}

Value ForwardProgram::addArgument(const Argument &argument, int64_t cols) {
  return tile::addArgument(&kernel.getBody().front(), signature, argument, b.unnamed(), cols);
}

Value ForwardProgram::number(const char *name, SizeExpr value) {
  Argument argument;
  argument.name = name;
  argument.kind = Argument::Kind::Scalar;
  argument.type = DType::I32;
  argument.value = std::move(value);
  return addArgument(argument);
}

/// Of an L2 cache of 50 MB, what keys and values that several CTAs read may take (two partitions, other
/// traffic).
static constexpr int64_t kCacheBytes = 32 << 20;

void ForwardProgram::groupHeads() {
  // Heads of a group are whole groups of those that share keys and values.
  int64_t bytesOfKey = int64_t(infoOf(element()).bytes()) * (headDimQk + headDimV);
  SizeExpr kvHeads =
      max(SizeExpr(kCacheBytes) / (max(SizeExpr(Size::LengthKv), 1) * bytesOfKey), SizeExpr(1));
  SizeExpr all = SizeExpr(Size::HeadsQ) * Size::Batch;
  allHeads = number("all_heads", all);
  headsTogether = number("heads_together", min(kvHeads * (SizeExpr(Size::HeadsQ) / Size::HeadsKv), all));
}

void ForwardProgram::declareArguments(int64_t blockQ) {
  auto array = [&](const char *name, DType type, std::vector<SizeExpr> axes, bool output, int alignment) {
    Argument argument;
    argument.name = name;
    argument.type = type;
    argument.axes = std::move(axes);
    argument.output = output;
    argument.alignment = alignment;
    return addArgument(argument);
  };
  qArray = array("q", element(), {Size::Batch, Size::HeadsQ, Size::LengthQ, headDimQk}, false, 16);
  kArray = array("k", element(), {Size::Batch, Size::HeadsKv, Size::LengthKv, headDimQk}, false, 16);
  vArray = array("v", element(), {Size::Batch, Size::HeadsKv, Size::LengthKv, headDimV}, false, 16);
  oArray = array("o", element(), {Size::Batch, Size::HeadsQ, Size::LengthQ, headDimV}, true, 16);
  if (forward.getSink())
    sinkArray = array("sink", DType::F32, {Size::HeadsQ}, false, 0);
  if (forward.getLse())
    lseArray = array("lse", DType::F32, {Size::Batch, Size::HeadsQ, Size::LengthQ}, true, 0);
  lengthQ = number("length_q", Size::LengthQ);
  lengthKv = number("length_kv", Size::LengthKv);
  headsPerKvHead = number("heads_per_kv_head", SizeExpr(Size::HeadsQ) / Size::HeadsKv);
  queryBlocks = number("query_blocks", ceilDiv(SizeExpr(Size::LengthQ), blockQ));
  heads = number("heads", Size::HeadsQ);
  for (Region *region : {&forward.getScore(), &forward.getMask()})
    for (auto scalar : region->getOps<attn::ScalarOp>()) {
      Value &known = scalars[scalar.getName()];
      if (known)
        continue;
      Argument argument;
      argument.name = scalar.getName();
      argument.kind = Argument::Kind::Scalar;
      if (scalar.getType().isIndex())
        argument.type = DType::I32;
      if (std::optional<ArrayRef<int32_t>> range = scalar.getRange())
        argument.range = {(*range)[0], (*range)[1]};
      known = addArgument(argument);
    }
}

void ForwardProgram::finishArguments() { kernel.setSignatureAttr(b.getArrayAttr(signature)); }

Value ForwardProgram::view(NamingBuilder &at, StringRef name, Value array, Value ofHead, Value rows) {
  auto type = cast<tile::ArrayType>(array.getType());
  int64_t cols = type.getRank() == 3 ? 1 : type.getLastExtent();
  return at.make<tile::ViewOp>(name, tile::ViewType::get(context, cols, type.getElementType()), array,
                               ValueRange{batch, ofHead}, rows);
}

//===----------------------------------------------------------------------===//
// Which block this is, and which blocks of keys it visits
//===----------------------------------------------------------------------===//

Value ForwardProgram::blockNumber(NamingBuilder &at, StringRef name) {
  Value index = at.make<gpu::BlockIdOp>("", gpu::Dimension::x);
  return at.make<arith::IndexCastOp>(name, at.getI32Type(), index);
}

void ForwardProgram::locate(NamingBuilder &at, int64_t blockQ, Value tile) {
  Scalars s(at);
  Value queryBlock, ofAll; // the head among those of all batch entries
  auto quotient = [&](Value x, Value y, Value &rest, StringRef name, StringRef restName) {
    Value result = s.div(x, y, name);
    rest = s.sub(x, s.mul(result, y), restName);
    return result;
  };
  if (headsTogether) {
    Value rest, inGroup;
    Value group = quotient(tile, s.mul(headsTogether, queryBlocks), rest, "group", "");
    Value firstHead = s.mul(group, headsTogether);
    Value here = s.min(headsTogether, s.sub(allHeads, firstHead), "heads_here");
    queryBlock = quotient(rest, here, inGroup, "query_block", "");
    ofAll = s.add(firstHead, inGroup);
  } else {
    ofAll = quotient(tile, queryBlocks, queryBlock, "", "query_block");
  }
  // Later queries see more keys: start with the longest work, so that the grid's tail is short.
  if (llvm::any_of(bounds.last, [](const LinearIndex &bound) { return bound.q > 0; }))
    queryBlock = s.sub(s.sub(queryBlocks, s.constant(1)), queryBlock, "query_block");
  batch = quotient(ofAll, heads, head, "batch", "head");
  kvHead = s.div(head, headsPerKvHead, "kv_head");
  firstQuery = s.mul(queryBlock, blockQ, "first_query");
}

BlockRange ForwardProgram::blocksOfKeys(NamingBuilder &at, int64_t blockQ, int64_t blockKv) {
  Scalars s(at);
  limits = MaskLimits::of(at, bounds, lengthQ, lengthKv, scalars);
  Value lastQuery = s.sub(s.min(s.add(firstQuery, s.constant(blockQ)), lengthQ), s.constant(1), "last_query");
  return BlockRange::ofKeys(at, limits, firstQuery, lastQuery, blockKv);
}

Value ForwardProgram::notFinite(NamingBuilder &at, Value out, Value firstRow) {
  int64_t rows = cast<RankedTensorType>(out.getType()).getDimSize(0);
  auto rowType = tensor({rows}, at.getF32Type(), row()), indexType = tensor({rows}, at.getI32Type(), row());
  Value sums = at.make<tile::RowReduceOp>("", rowType, tile::Reduction::Add, out,
                                          splatConstant(at, rowType, 0.0f), /*partial=*/true);
  Value beyond = at.make<arith::CmpFOp>("", arith::CmpFPredicate::UGE, at.make<math::AbsFOp>("", sums),
                                        splatConstant(at, rowType, std::numeric_limits<float>::infinity()));
  auto splat = [&](Value scalar) -> Value { return at.make<tensor::SplatOp>("", scalar, indexType); };
  Value index = at.make<arith::AddIOp>("", at.make<tile::RowIndexOp>("", indexType), splat(firstRow));
  Value exists = at.make<arith::CmpIOp>("", arith::CmpIPredicate::slt, index, splat(lengthQ));
  return at.make<arith::AndIOp>("not_finite", beyond, exists);
}

FinishedRows ForwardProgram::finishRows(NamingBuilder &at, SoftmaxState state, RankedTensorType outType,
                                        Value small) {
  Value sink;
  if (sinkArray)
    sink = at.make<tile::LoadValueOp>("sink", at.getF32Type(), sinkArray, ValueRange{head});
  return softmax(outType).finish(at, state, small, sink, forward.getLse());
}

//===----------------------------------------------------------------------===//
// Scores
//===----------------------------------------------------------------------===//

/// The tile that stands for an argument of a score or mask region, or for a length.
Value ForwardProgram::indexTile(NamingBuilder &at, RankedTensorType shape, Value argument, Value firstRow,
                                Value firstKey) {
  auto type = cast<RankedTensorType>(shape.clone(at.getI32Type()));
  auto rowType = tensor({shape.getDimSize(0)}, at.getI32Type(), row());
  auto splat = [&](Value scalar) -> Value { return at.make<tensor::SplatOp>("", scalar, type); };
  if (auto scalar = argument.getDefiningOp<attn::ScalarOp>())
    return at.make<tensor::SplatOp>(scalar.getName(), scalars.lookup(scalar.getName()),
                                    scalar.getType().isIndex() ? type : shape);
  if (auto length = argument.getDefiningOp<attn::LengthOp>())
    return splat(length.getAxis() == attn::Axis::Q ? lengthQ : lengthKv);
  auto blockArgument = cast<BlockArgument>(argument);
  bool inScore = blockArgument.getOwner()->getParent() == &forward.getScore();
  switch (blockArgument.getArgNumber() - (inScore ? 1 : 0)) {
  case 0:
    return splat(batch);
  case 1:
    return splat(head);
  case 2: {
    Value index = at.make<tile::RowIndexOp>("", rowType);
    Value rows = at.make<arith::AddIOp>("", index, at.make<tensor::SplatOp>("", firstRow, rowType));
    return at.make<tile::RowBroadcastOp>("q_index", type, rows);
  }
  default:
    return at.make<arith::AddIOp>("kv_index", at.make<tile::ColumnIndexOp>("", type), splat(firstKey));
  }
}

FailureOr<Value> ForwardProgram::applyScore(NamingBuilder &at, Value products, Value firstRow,
                                            Value firstKey) {
  if (scaleFolds())
    return products;
  auto type = cast<RankedTensorType>(products.getType());
  Value scaled = at.make<arith::MulFOp>("scaled", products, splatConstant(at, type, float(scale)));
  Value result = cast<attn::YieldOp>(forward.getScore().front().getTerminator()).getValue();
  auto scores = applyElementwise(at, type, result, [&](Value leaf) {
    return leaf == forward.getScore().getArgument(0) ? scaled : indexTile(at, type, leaf, firstRow, firstKey);
  });
  if (failed(scores))
    return failure();
  return scores->front();
}

FailureOr<Value> ForwardProgram::scoresOf(NamingBuilder &at, const BlockKind &kind, Value products,
                                          Value firstRow, Value firstKey) {
  FailureOr<Value> scored = applyScore(at, products, firstRow, firstKey);
  if (failed(scored))
    return failure();
  Value scores = *scored;
  if (kind.first || kind.last) {
    auto where = [](bool wanted, Value limit) { return wanted ? limit : Value(); };
    scores = at.make<tile::KeepColumnsOp>("kept", scores.getType(), scores, firstRow, firstKey,
                                          where(kind.first, limits.first), where(kind.last, limits.last),
                                          where(kind.first, limits.firstShift),
                                          where(kind.last, limits.lastShift));
  }
  if (bounds.residual.empty())
    return scores;
  auto type = cast<RankedTensorType>(scores.getType());
  auto keeps = applyElementwise(at, type, bounds.residual,
                                [&](Value leaf) { return indexTile(at, type, leaf, firstRow, firstKey); });
  if (failed(keeps))
    return failure();
  Value minusInf = splatConstant(at, type, -std::numeric_limits<float>::infinity());
  for (Value keep : *keeps)
    scores = at.make<arith::SelectOp>("kept", keep, scores, minusInf);
  return scores;
}

} // namespace attune
