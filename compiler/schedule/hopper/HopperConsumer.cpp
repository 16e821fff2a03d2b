//===- HopperConsumer.cpp - what a consumer does with a tile --------------===//
//
// The scores of one block are computed while the softmax of the block before runs, as in FlashAttention-3
// (arXiv 2407.08608).
//
//===----------------------------------------------------------------------===//
#include "compiler/schedule/hopper/HopperForward.h"

#include "compiler/dialect/Elements.h"

using namespace mlir;

namespace attune::hopper {

Value ForwardBuilder::blockOf(NamingBuilder &at, Value it, Value before) {
  if (findsBlocks())
    return nextBlock(at, found, it, before);
  Scalars s(at);
  return s.sub(s.sub(end, s.constant(1)), it);
}

void ForwardBuilder::takeTurn(NamingBuilder &at, Turns place) {
  if (tiles.turns == place)
    at.make<tile::TurnWaitOp>("");
}
void ForwardBuilder::passTurn(NamingBuilder &at, Turns place) {
  if (tiles.turns == place)
    at.make<tile::TurnPassOp>("");
}

void ForwardBuilder::turnOfGroup(NamingBuilder &at, int64_t which, bool pass) {
  if (tiles.turns == Turns::None)
    return;
  Value mine = at.make<arith::CmpIOp>("", arith::CmpIPredicate::eq, group, Scalars(at).constant(which));
  auto branch = at.make<scf::IfOp>("", mine, /*withElse=*/false);
  NamingBuilder inside(OpBuilder::atBlockBegin(&branch.getThenRegion().front()), at.unnamed());
  if (pass)
    inside.make<tile::TurnPassOp>("");
  else
    inside.make<tile::TurnWaitOp>("");
}

FailureOr<Value> ForwardBuilder::softmaxOf(NamingBuilder &at, const BlockKind &kind, Value block,
                                           Value scores, SoftmaxState &state, LaterScale *later) {
  takeTurn(at, Turns::Softmax);
  FailureOr<Value> kept = scoresOf(at, kind, scores, firstRow, firstKeyOf(at, block));
  if (failed(kept))
    return failure();
  ScoreBlock scoreBlock{*kept, Value()};
  state = softmax(outType()).advance(at, state, scoreBlock, later);
  Value p = softmax(outType()).weigh(at, state, scoreBlock);
  passTurn(at, Turns::Softmax);
  return p;
}

Value ForwardBuilder::product(NamingBuilder &at, Value p, Value it, Value out) {
  Value v = wait(at, "v_tile", vRing, index(at, it));
  return at.make<tile::DotIssueOp>("out", outType(), p, v, /*transposed=*/false, out);
}

//===----------------------------------------------------------------------===//
// The usual way
//===----------------------------------------------------------------------===//

FailureOr<Carried> ForwardBuilder::first(NamingBuilder &at, const BlockKind &kind) {
  Value zero = Scalars(at).constant(0);
  Value block, start;
  auto findBlock = [&] { block = blockOf(at, zero, found.range.end); };
  if (startsFromRamp()) {
    findBlock();
    start = startOfProducts(at, scoresType(), firstKeyOf(at, block));
  }
  takeTurn(at, Turns::Products);
  Value k = wait(at, "k_tile", kRing, base);
  Value issued = at.make<tile::DotIssueOp>("scores", scoresType(), q, k, /*transposed=*/true, start);
  passTurn(at, Turns::Products);
  if (!block)
    findBlock();
  Value scores = at.make<tile::DotWaitOp>("scores", scoresType(), issued, 0);
  at.make<tile::ReleaseOp>("", kRing, base);
  SoftmaxState state = softmax(outType()).start(at);
  // There is no output yet that a new reference would scale.
  LaterScale nothing;
  FailureOr<Value> p = softmaxOf(at, kind, block, scores, state, &nothing);
  if (failed(p))
    return failure();
  return Carried{state, at.make<tile::ToAOpOp>("p_operand", pType(), *p), findsBlocks() ? block : Value()};
}

FailureOr<Carried> ForwardBuilder::step(NamingBuilder &at, const BlockKind &kind, Value it, Carried carried) {
  Scalars s(at);
  Value before = s.sub(it, s.constant(1), "before");
  auto wait0 = [&](Value issued) -> Value { return at.make<tile::DotWaitOp>("out", outType(), issued, 0); };
  Value k, scores, outIssued, start, block = carried.block;
  SoftmaxState state = carried.state;
  auto findBlock = [&] {
    if (!findsBlocks() || needsBlock(kind))
      block = blockOf(at, it, carried.block);
  };
  auto startScores = [&] {
    if (!startsFromRamp())
      return;
    findBlock();
    start = startOfProducts(at, scoresType(), firstKeyOf(at, block));
  };
  // Looked for while products are under way, unless these start from where the block lies.
  auto findBlockMeanwhile = [&] {
    if (!startsFromRamp())
      findBlock();
  };
  if (tiles.overlap)
    startScores();
  takeTurn(at, Turns::Products);
  if (tiles.overlap) {
    // Both products are under way; the scores come first, and their softmax runs beside the other.
    k = wait(at, "k_tile", kRing, index(at, it));
    scores = at.make<tile::DotIssueOp>("scores", scoresType(), q, k, /*transposed=*/true, start);
    outIssued = product(at, carried.p, before, state.out);
    passTurn(at, Turns::Products);
    findBlockMeanwhile();
    scores = at.make<tile::DotWaitOp>("scores", scoresType(), scores, 1);
  } else {
    state.out = wait0(product(at, carried.p, before, state.out));
    at.make<tile::ReleaseOp>("", vRing, index(at, before));
    startScores();
    k = wait(at, "k_tile", kRing, index(at, it));
    scores = at.make<tile::DotIssueOp>("scores", scoresType(), q, k, /*transposed=*/true, start);
    passTurn(at, Turns::Products);
    findBlockMeanwhile();
    scores = at.make<tile::DotWaitOp>("scores", scoresType(), scores, 0);
  }
  at.make<tile::ReleaseOp>("", kRing, index(at, it));
  LaterScale later;
  FailureOr<Value> p = softmaxOf(at, kind, block, scores, state, tiles.overlap ? &later : nullptr);
  if (failed(p))
    return failure();
  if (tiles.overlap) {
    // P may be rounded into its registers only now: the tensor core reads them until here.
    state.out = wait0(outIssued);
    at.make<tile::ReleaseOp>("", vRing, index(at, before));
    state.out = softmax(outType()).scale(at, state.out, later);
  }
  return Carried{state, at.make<tile::ToAOpOp>("p_operand", pType(), *p), findsBlocks() ? block : Value()};
}

FailureOr<Carried> ForwardBuilder::loop(NamingBuilder &at, const BlockKind &kind, Value from, Value to,
                                        Carried carried) {
  Scalars s(at);
  auto loop = scf::ForOp::create(at, at.named(kind.name), from, to, s.constant(1), carried.values());
  loop->setAttr("note", at.getStringAttr(kind.note));
  Block *body = loop.getBody();
  static constexpr const char *names[] = {"it", "out", "max", "limit", "sum", "p_operand", "block"};
  for (BlockArgument argument : body->getArguments())
    argument.setLoc(at.named(names[argument.getArgNumber()]));
  NamingBuilder inside(OpBuilder::atBlockBegin(body), at.unnamed());
  FailureOr<Carried> next =
      step(inside, kind, body->getArgument(0), Carried::of(body->getArguments().drop_front()));
  if (failed(next))
    return failure();
  inside.make<scf::YieldOp>("", next->values());
  return Carried::of(loop.getResults());
}

FailureOr<SoftmaxState> ForwardBuilder::usually(NamingBuilder &at) {
  Scalars s(at);
  // A row may see no key at all: then there is no block to begin with.
  SoftmaxState none = softmax(outType()).start(at);
  auto some = at.make<scf::IfOp>(
      "out", TypeRange{none.out.getType(), none.max.getType(), none.limit.getType(), none.sum.getType()},
      s.less(s.constant(0), count, "some"), /*withElse=*/true);
  some->setAttr("note", at.getStringAttr("there are keys to visit"));
  NamingBuilder inside(OpBuilder::atBlockBegin(&some.getThenRegion().front()), at.unnamed());
  Scalars t(inside);
  Value one = t.constant(1);
  FailureOr<Carried> carried = first(inside, maskedKind());
  if (succeeded(carried))
    carried = loop(inside, maskedKind(), one, maskedRight, *carried);
  if (succeeded(carried))
    carried = loop(inside, kWhole, t.max(maskedRight, one), wholeEnd, *carried);
  if (succeeded(carried) && windowed() && !findsBlocks())
    carried = loop(inside, kLeft, t.max(wholeEnd, one), count, *carried);
  if (failed(carried))
    return failure();
  SoftmaxState state = carried->state;
  Value last = t.sub(count, one, "last_block");
  state.out = inside.make<tile::DotWaitOp>("out", outType(), product(inside, carried->p, last, state.out), 0);
  inside.make<tile::ReleaseOp>("", vRing, index(inside, last));
  inside.make<scf::YieldOp>("", ValueRange{state.out, state.max, state.limit, state.sum});
  NamingBuilder otherwise(OpBuilder::atBlockBegin(&some.getElseRegion().front()), at.unnamed());
  otherwise.make<scf::YieldOp>("", ValueRange{none.out, none.max, none.limit, none.sum});
  return SoftmaxState{some.getResult(0), some.getResult(1), some.getResult(2), some.getResult(3)};
}

//===----------------------------------------------------------------------===//
// Carefully
//===----------------------------------------------------------------------===//

/// One block, one thing after the other. In a block of which some rows see only a part, 0 x NaN must not
/// reach those that do not see the NaN. `small`, where there is one: weights are smaller.
FailureOr<SoftmaxState> ForwardBuilder::carefulStep(NamingBuilder &at, Value it, Value keys,
                                                    SoftmaxState state, Value small) {
  Scalars s(at);
  Value start = startOfProducts(at, scoresType(), firstKeyOf(at, keys));
  Value k = wait(at, "k_tile", kRing, index(at, it));
  Value issued = at.make<tile::DotIssueOp>("scores", scoresType(), q, k, /*transposed=*/true, start);
  Value scores = at.make<tile::DotWaitOp>("scores", scoresType(), issued, 0);
  at.make<tile::ReleaseOp>("", kRing, index(at, it));
  FailureOr<Value> kept = scoresOf(at, maskedKind(), scores, firstRow, firstKeyOf(at, keys));
  if (failed(kept))
    return failure();
  ScoreBlock block{*kept, Value()};
  state = softmax(outType()).advance(at, state, block);

  Value v = wait(at, "v_tile", vRing, index(at, it)), partly;
  if (bounds.residual.empty()) {
    partly = s.less(it, maskedRight);
    if (windowed())
      partly = at.make<arith::OrIOp>("partly", partly,
                                     at.make<arith::CmpIOp>("", arith::CmpIPredicate::sge, it, wholeEnd));
  }
  state.out = softmax(outType()).takeNonfinite(at, state, block, v, partly);
  Value p = softmax(outType()).lessen(at, softmax(outType()).weigh(at, state, block), small);
  Value operand = at.make<tile::ToAOpOp>("p_operand", pType(), p);
  issued = at.make<tile::DotIssueOp>("out", outType(), operand, v, /*transposed=*/false, state.out);
  state.out = at.make<tile::DotWaitOp>("out", outType(), issued, 0);
  at.make<tile::ReleaseOp>("", vRing, index(at, it));
  return state;
}

FailureOr<SoftmaxState> ForwardBuilder::carefully(NamingBuilder &at, Value small) {
  Scalars s(at);
  SoftmaxState state = softmax(outType()).start(at);
  SmallVector<Value> before{state.out, state.max, state.limit, state.sum};
  if (findsBlocks())
    before.push_back(found.range.end);
  auto loop = scf::ForOp::create(at, at.named("careful"), s.constant(0), count, s.constant(1), before);
  loop->setAttr("note", at.getStringAttr("all blocks, one thing after the other"));
  Block *body = loop.getBody();
  static constexpr const char *names[] = {"it", "out", "max", "limit", "sum", "block"};
  for (BlockArgument argument : body->getArguments())
    argument.setLoc(at.named(names[argument.getArgNumber()]));
  NamingBuilder inside(OpBuilder::atBlockBegin(body), at.unnamed());
  Value it = body->getArgument(0);
  Value block = blockOf(inside, it, findsBlocks() ? Value(body->getArgument(5)) : Value());
  FailureOr<SoftmaxState> next = carefulStep(
      inside, it, block,
      {body->getArgument(1), body->getArgument(2), body->getArgument(3), body->getArgument(4)}, small);
  if (failed(next))
    return failure();
  SmallVector<Value> after{next->out, next->max, next->limit, next->sum};
  if (findsBlocks())
    after.push_back(block);
  inside.make<scf::YieldOp>("", after);
  return SoftmaxState{loop.getResult(0), loop.getResult(1), loop.getResult(2), loop.getResult(3)};
}

//===----------------------------------------------------------------------===//
// A tile
//===----------------------------------------------------------------------===//

void ForwardBuilder::store(NamingBuilder &at, Value out, const FinishedRows &rows, Value attempt) {
  Value staging = at.make<tile::ReuseTileOp>("staging", tensor(outType().getShape(), dtype, smem()), q);
  if (tiles.tmaStore) {
    // What the usual way stored must be there before it is stored again.
    if (attempt)
      at.make<tile::StoreWaitOp>("", /*written=*/true);
    at.make<tile::TmaStoreOp>("", out, oMap, firstRow, head, batch, staging);
  } else {
    at.make<tile::StoreOp>("", out, view(at, "O", oArray, head, lengthQ), firstRow, staging);
  }
  if (rows.lse)
    at.make<tile::StoreRowsOp>("", rows.lse, view(at, "LSE", lseArray, head, lengthQ), firstRow);
  if (tiles.tmaStore)
    at.make<tile::StoreWaitOp>("", /*written=*/false);
}

FailureOr<Value> ForwardBuilder::consume(NamingBuilder &at, Value attempt, const Progress &progress) {
  Scalars s(at);
  base = progress.blocks;
  firstRow = s.add(firstQuery, s.mul(group, rowsOfGroup), "first_row");
  if (failed(hoist(at, firstRow, rowsOfGroup)))
    return failure();
  Value place = queryIndex(at, progress, group);
  q = wait(at, "q_tile", qRing, place);
  Value small;
  if (attempt && infoOf(dtype).sumsOverflow())
    small = at.make<arith::CmpIOp>("small", arith::CmpIPredicate::eq, attempt, s.constant(2));
  FailureOr<SoftmaxState> state = attempt ? carefully(at, small) : usually(at);
  if (failed(state))
    return failure();

  FinishedRows rows = finishRows(at, *state, outType(), small);
  // A row that saw nothing is 0; the usual way leaves it so unless it met a NaN.
  Value out = attempt ? softmax(outType()).clearEmptyRows(at, rows) : rows.out;
  Value bad = at.make<tile::WarpAnyOp>("bad", notFinite(at, out, firstRow));
  store(at, out, rows, attempt);
  at.make<tile::ReleaseOp>("", qRing, place);
  return bad;
}

} // namespace attune::hopper
