//===- HopperForward.cpp - the forward kernel of the hopper family --------===//
//
// A warp fills rings of K and V by TMA. Warpgroups of 64 query rows each take them from there: the scores of
// one block are computed while the softmax of the block before runs, as in FlashAttention-3 (arXiv
// 2407.08608).
//
//===----------------------------------------------------------------------===//
#include "compiler/schedule/Builders.h"
#include "compiler/schedule/ForwardProgram.h"
#include "compiler/schedule/hopper/Hopper.h"

using namespace mlir;

namespace attune::hopper {

namespace {
/// What a consumer's loop carries: the softmax's state, and the probabilities of the last block, whose
/// product with V is still to be issued.
struct Carried {
  SoftmaxState state;
  Value p;
};

class ForwardBuilder : public ForwardProgram {
public:
  ForwardBuilder(OpBuilder &builder, attn::ForwardOp forward, const DecidedSchedule &decided)
      : ForwardProgram(builder, forward, decided), tiles(tilesOf(decided.schedule)) {}

  LogicalResult build();

private:
  void declareMaps();
  void openRings();
  void producer(NamingBuilder at);
  LogicalResult consumer(NamingBuilder at);
  Value wait(NamingBuilder &at, StringRef name, Value ring, Value index) {
    return at.make<tile::WaitOp>(name, cast<tile::RingType>(ring.getType()).getSlot(), ring, index);
  }
  Value firstKeyOf(NamingBuilder &at, Value it) {
    Scalars s(at);
    return s.mul(s.sub(s.sub(end, s.constant(1)), it), tiles.blockKv, "first_key");
  }
  /// One block from its scores to its probabilities.
  FailureOr<Value> softmaxOf(NamingBuilder &at, const BlockKind &kind, Value it, Value scores,
                             SoftmaxState &state, LaterScale *later);
  FailureOr<Carried> first(NamingBuilder &at, const BlockKind &kind);
  FailureOr<Carried> step(NamingBuilder &at, const BlockKind &kind, Value it, Carried carried);
  FailureOr<Carried> loop(NamingBuilder &at, const BlockKind &kind, Value from, Value to, Carried carried);
  Value product(NamingBuilder &at, Value p, Value it, Value out);

  RankedTensorType scoresType() { return tensor({rowsOfGroup, tiles.blockKv}, b.getF32Type(), acc()); }
  RankedTensorType outType() {
    return tensor({rowsOfGroup, paddedHeadDim(int(headDimV))}, b.getF32Type(), acc());
  }
  RankedTensorType pType() {
    return tensor({rowsOfGroup, tiles.blockKv}, dtype, tile::AOpAttr::get(context));
  }

  const Tiles tiles;
  Value qMap, kMap, vMap;
  Value qRing, kRing, vRing;
  Value end, count, maskedRight, wholeEnd;
  Value q, firstRow; ///< of a consumer
};
} // namespace

void ForwardBuilder::declareMaps() {
  auto map = [&](const char *name, const char *array, int64_t rows, int64_t headDim) {
    Argument argument;
    argument.name = name;
    argument.kind = Argument::Kind::TensorMap;
    argument.type = element();
    argument.array = array;
    argument.box = {0, int(rows)};
    return addArgument(argument, paddedHeadDim(int(headDim)));
  };
  qMap = map("q_map", "q", rowsOfGroup, headDimQk);
  kMap = map("k_map", "k", tiles.blockKv, headDimQk);
  vMap = map("v_map", "v", tiles.blockKv, headDimV);
}

void ForwardBuilder::openRings() {
  auto ring = [&](StringRef name, int64_t depth, int64_t rows, int64_t headDim) -> Value {
    RankedTensorType slot = tensor({rows, paddedHeadDim(int(headDim))}, dtype, smem());
    return b.make<tile::RingOp>(name, tile::RingType::get(context, depth, slot, tile::RingKind::Tma),
                                IntegerAttr(), IntegerAttr());
  };
  qRing = ring("q_ring", tiles.groups(), rowsOfGroup, headDimQk);
  kRing = ring("k_ring", tiles.stages, tiles.blockKv, headDimQk);
  vRing = ring("v_ring", tiles.stages, tiles.blockKv, headDimV);
}

//===----------------------------------------------------------------------===//
// The producer
//===----------------------------------------------------------------------===//

void ForwardBuilder::producer(NamingBuilder at) {
  Scalars s(at);
  for (int group = 0; group != tiles.groups(); ++group)
    at.make<tile::FillOp>("", qRing, s.constant(group), qMap,
                          s.add(firstQuery, s.constant(group * rowsOfGroup)), head, batch);
  auto loop = scf::ForOp::create(at, at.unnamed(), s.constant(0), count, s.constant(1));
  loop->setAttr("note", at.getStringAttr("keys and values, from the last visible block to the first"));
  loop.getInductionVar().setLoc(at.named("it"));
  NamingBuilder inside(OpBuilder::atBlockBegin(loop.getBody()), at.unnamed());
  Value it = loop.getInductionVar(), firstKey = firstKeyOf(inside, it);
  inside.make<tile::FillOp>("", kRing, it, kMap, firstKey, kvHead, batch);
  inside.make<tile::FillOp>("", vRing, it, vMap, firstKey, kvHead, batch);
}

//===----------------------------------------------------------------------===//
// A consumer
//===----------------------------------------------------------------------===//

FailureOr<Value> ForwardBuilder::softmaxOf(NamingBuilder &at, const BlockKind &kind, Value it, Value scores,
                                           SoftmaxState &state, LaterScale *later) {
  FailureOr<Value> kept = scoresOf(at, kind, scores, firstRow, firstKeyOf(at, it));
  if (failed(kept))
    return failure();
  ScoreBlock block{*kept, Value()};
  state = softmax(outType()).advance(at, state, block, later);
  return softmax(outType()).weigh(at, state, block);
}

Value ForwardBuilder::product(NamingBuilder &at, Value p, Value it, Value out) {
  Value v = wait(at, "v_tile", vRing, it);
  return at.make<tile::DotIssueOp>("out", outType(), p, v, /*transposed=*/false, out);
}

FailureOr<Carried> ForwardBuilder::first(NamingBuilder &at, const BlockKind &kind) {
  Value zero = Scalars(at).constant(0);
  Value k = wait(at, "k_tile", kRing, zero);
  Value issued = at.make<tile::DotIssueOp>("scores", scoresType(), q, k, /*transposed=*/true, Value());
  Value scores = at.make<tile::DotWaitOp>("scores", scoresType(), issued, 0);
  at.make<tile::ReleaseOp>("", kRing, zero);
  SoftmaxState state = softmax(outType()).start(at);
  // There is no output yet that a new reference would scale.
  LaterScale nothing;
  FailureOr<Value> p = softmaxOf(at, kind, zero, scores, state, &nothing);
  if (failed(p))
    return failure();
  return Carried{state, at.make<tile::ToAOpOp>("p_operand", pType(), *p)};
}

FailureOr<Carried> ForwardBuilder::step(NamingBuilder &at, const BlockKind &kind, Value it, Carried carried) {
  Scalars s(at);
  Value before = s.sub(it, s.constant(1), "before");
  auto wait0 = [&](Value issued) -> Value { return at.make<tile::DotWaitOp>("out", outType(), issued, 0); };
  Value k, scores, outIssued;
  SoftmaxState state = carried.state;
  if (tiles.overlap) {
    // Both products are under way; the scores come first, and their softmax runs beside the other.
    k = wait(at, "k_tile", kRing, it);
    scores = at.make<tile::DotIssueOp>("scores", scoresType(), q, k, /*transposed=*/true, Value());
    outIssued = product(at, carried.p, before, state.out);
    scores = at.make<tile::DotWaitOp>("scores", scoresType(), scores, 1);
  } else {
    state.out = wait0(product(at, carried.p, before, state.out));
    at.make<tile::ReleaseOp>("", vRing, before);
    k = wait(at, "k_tile", kRing, it);
    scores = at.make<tile::DotIssueOp>("scores", scoresType(), q, k, /*transposed=*/true, Value());
    scores = at.make<tile::DotWaitOp>("scores", scoresType(), scores, 0);
  }
  at.make<tile::ReleaseOp>("", kRing, it);
  LaterScale later;
  FailureOr<Value> p = softmaxOf(at, kind, it, scores, state, tiles.overlap ? &later : nullptr);
  if (failed(p))
    return failure();
  if (tiles.overlap) {
    // P may be rounded into its registers only now: the tensor core reads them until here.
    state.out = wait0(outIssued);
    at.make<tile::ReleaseOp>("", vRing, before);
    state.out = softmax(outType()).scale(at, state.out, later);
  }
  return Carried{state, at.make<tile::ToAOpOp>("p_operand", pType(), *p)};
}

FailureOr<Carried> ForwardBuilder::loop(NamingBuilder &at, const BlockKind &kind, Value from, Value to,
                                        Carried carried) {
  Scalars s(at);
  SoftmaxState state = carried.state;
  auto loop = scf::ForOp::create(at, at.named(kind.name), from, to, s.constant(1),
                                 ValueRange{state.out, state.max, state.limit, state.sum, carried.p});
  loop->setAttr("note", at.getStringAttr(kind.note));
  Block *body = loop.getBody();
  unsigned index = 0;
  for (const char *name : {"it", "out", "max", "limit", "sum", "p_operand"})
    body->getArgument(index++).setLoc(at.named(name));
  NamingBuilder inside(OpBuilder::atBlockBegin(body), at.unnamed());
  auto argument = [&](unsigned i) -> Value { return body->getArgument(i); };
  FailureOr<Carried> next =
      step(inside, kind, argument(0), {{argument(1), argument(2), argument(3), argument(4)}, argument(5)});
  if (failed(next))
    return failure();
  inside.make<scf::YieldOp>(
      "", ValueRange{next->state.out, next->state.max, next->state.limit, next->state.sum, next->p});
  return Carried{{loop.getResult(0), loop.getResult(1), loop.getResult(2), loop.getResult(3)},
                 loop.getResult(4)};
}

LogicalResult ForwardBuilder::consumer(NamingBuilder at) {
  Scalars s(at);
  Value group = at.make<tile::ReplicaOp>("group", at.getI32Type());
  firstRow = s.add(firstQuery, s.mul(group, rowsOfGroup), "first_row");
  q = wait(at, "q_tile", qRing, group);
  Value zero = s.constant(0), one = s.constant(1);

  // A row may see no key at all: then there is no block to begin with.
  SoftmaxState none = softmax(outType()).start(at);
  auto some = at.make<scf::IfOp>(
      "out", TypeRange{none.out.getType(), none.max.getType(), none.limit.getType(), none.sum.getType()},
      s.less(zero, count, "some"), /*withElse=*/true);
  some->setAttr("note", at.getStringAttr("there are keys to visit"));
  {
    NamingBuilder inside(OpBuilder::atBlockBegin(&some.getThenRegion().front()), at.unnamed());
    Scalars t(inside);
    bool lefts = limits.hasFirst();
    FailureOr<Carried> carried = first(inside, lefts ? kRightAndLeft : kRight);
    if (succeeded(carried))
      carried = loop(inside, lefts ? kRightAndLeft : kRight, one, maskedRight, *carried);
    if (succeeded(carried))
      carried = loop(inside, kWhole, t.max(maskedRight, one), wholeEnd, *carried);
    if (succeeded(carried) && lefts)
      carried = loop(inside, kLeft, t.max(wholeEnd, one), count, *carried);
    if (failed(carried))
      return failure();
    SoftmaxState state = carried->state;
    Value last = t.sub(count, one, "last_block");
    state.out =
        inside.make<tile::DotWaitOp>("out", outType(), product(inside, carried->p, last, state.out), 0);
    inside.make<tile::ReleaseOp>("", vRing, last);
    inside.make<scf::YieldOp>("", ValueRange{state.out, state.max, state.limit, state.sum});
    NamingBuilder otherwise(OpBuilder::atBlockBegin(&some.getElseRegion().front()), at.unnamed());
    otherwise.make<scf::YieldOp>("", ValueRange{none.out, none.max, none.limit, none.sum});
  }
  SoftmaxState state{some.getResult(0), some.getResult(1), some.getResult(2), some.getResult(3)};
  FinishedRows rows = finishRows(at, state, outType());
  Value staging = at.make<tile::ReuseTileOp>("staging", tensor(outType().getShape(), dtype, smem()), q);
  Value out = softmax(outType()).clearEmptyRows(at, rows);
  at.make<tile::StoreOp>("", out, view(at, "O", oArray, head, lengthQ), firstRow, staging);
  if (rows.lse)
    at.make<tile::StoreRowsOp>("", rows.lse, view(at, "LSE", lseArray, head, lengthQ), firstRow);
  return mlir::success();
}

LogicalResult ForwardBuilder::build() {
  const Roles roles = rolesOf(tiles);
  openKernel(tiles.blockQ, /*warps=*/0,
             "Warps have roles: one fills rings by TMA, warpgroups of 64 query rows compute.");
  declareArguments();
  declareMaps();
  finishArguments();
  locate(tiles.blockQ);
  BlockRange range = blocksOfKeys(tiles.blockQ, tiles.blockKv);
  Scalars s(b);
  end = range.end;
  count = limits.hasFirst() ? s.sub(end, range.begin, "count") : end;
  maskedRight = s.sub(end, range.wholeEnd, "masked_right");
  wholeEnd = limits.hasFirst() ? s.sub(end, range.wholeBegin, "whole_end") : count;
  openRings();

  auto specialize = b.make<tile::SpecializeOp>("");
  Block *block = b.createBlock(&specialize.getRoles());
  auto role = [&](StringRef name, int warps, int replicas, int registers, bool firstWarpOnly) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(block);
    auto made =
        b.make<tile::RoleOp>("", b.getStringAttr(name), uint64_t(warps), uint64_t(replicas),
                             registers ? b.getI64IntegerAttr(registers) : IntegerAttr(), firstWarpOnly);
    made.getBody().emplaceBlock();
    return NamingBuilder(OpBuilder::atBlockBegin(&made.getBody().front()), b.unnamed());
  };
  auto makeProducer = [&] {
    producer(role("producer", roles.producerWarps, 1, roles.producerRegisters, roles.producerWarps > 1));
  };
  // A consumer's warps begin at a multiple of four, so a single producer warp comes last.
  if (roles.producerWarps == 4)
    makeProducer();
  LogicalResult made = consumer(role("consumer", 4, tiles.groups(), roles.consumerRegisters, false));
  if (roles.producerWarps != 4)
    makeProducer();
  if (failed(made))
    kernel.erase();
  return made;
}

LogicalResult buildForward(OpBuilder &builder, attn::ForwardOp forward, const DecidedSchedule &decided) {
  OpBuilder::InsertionGuard guard(builder);
  return ForwardBuilder(builder, forward, decided).build();
}

} // namespace attune::hopper
