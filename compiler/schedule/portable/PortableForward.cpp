//===- PortableForward.cpp - forward by mma.sync and cp.async -------------===//
#include "compiler/dialect/Elements.h"
#include "compiler/ir/IrText.h"
#include "compiler/schedule/Builders.h"
#include "compiler/schedule/ForwardProgram.h"
#include "compiler/schedule/portable/Portable.h"

using namespace mlir;

namespace attune::portable {

namespace {
class ForwardBuilder : public ForwardProgram {
public:
  ForwardBuilder(OpBuilder &builder, attn::ForwardOp forward, const DecidedSchedule &decided)
      : ForwardProgram(builder, forward, decided), tiles(tilesOf(decided.schedule)) {}

  LogicalResult build();

private:
  void findBlocks();
  void openRings();
  void copyQuery();
  void loadQuery(NamingBuilder &at);
  void prologue(NamingBuilder &at);
  void copyKv(NamingBuilder &at, StringRef name, Value ring, Value view, Value iteration, Value block,
              bool bounded, Value condition);
  Value wait(NamingBuilder &at, StringRef name, Value ring, Value index) {
    return at.make<tile::WaitOp>(name, cast<tile::RingType>(ring.getType()).getSlot(), ring, index);
  }
  FailureOr<SoftmaxState> loop(NamingBuilder &at, const BlockKind &kind, Value from, Value to,
                               SoftmaxState state);
  FailureOr<SoftmaxState> step(NamingBuilder &at, const BlockKind &kind, Value it, SoftmaxState state);
  FailureOr<SoftmaxState> usually(NamingBuilder &at);
  FailureOr<SoftmaxState> carefulStep(NamingBuilder &at, Value it, Value block, SoftmaxState state,
                                      Value small);
  FailureOr<SoftmaxState> carefully(NamingBuilder &at, Value small);
  FailureOr<std::pair<FinishedRows, Value>> attend();
  void store(const FinishedRows &rows, Value nextAttempt);
  /// The block of keys of an iteration, where blocks are not found one by one.
  Value blockOf(NamingBuilder &at, Value iteration) {
    Scalars s(at);
    return s.sub(end, s.add(iteration, s.constant(1)));
  }
  Value product(NamingBuilder &at, Value operand, Value v, Value out) {
    return at.make<tile::DotOp>("out", outType(), operand, v, /*transposed=*/false, out);
  }
  Value operandOf(NamingBuilder &at, Value p) {
    auto type = tensor({tiles.blockQ, tiles.blockKv}, dtype, tile::AOpAttr::get(context));
    return at.make<tile::ToAOpOp>("p_operand", type, p);
  }
  /// How many iterations before its use a block is copied.
  int ahead() const { return std::max(1, tiles.stages - 1); }

  RankedTensorType scoresType() { return tensor({tiles.blockQ, tiles.blockKv}, b.getF32Type(), acc()); }
  RankedTensorType outType() { return tensor({tiles.blockQ, padded(headDimV)}, b.getF32Type(), acc()); }
  int64_t padded(int64_t headDim) const { return paddedHeadDim(int(headDim), element()); }
  bool queryInRegisters() const {
    return keepsQuery({int(headDimQk), int(headDimV), element(), !bounds.first.empty(), decided.arch}, tiles);
  }

  const Tiles tiles;
  Value attempt; ///< those after the first are made where a result came out NaN or infinite
  Value qView, kView, vView;
  Value qRing, kRing, vRing, q;
  Value end, count, maskedRight,
      wholeEnd;      // `end`: one past the last visible block; iterations count from there
  FoundBlocks found; ///< where blocks are found one by one
  /// Then, the usual way: the blocks of this iteration and of those whose copies are under way.
  SmallVector<Value> blocks;
};
} // namespace

//===----------------------------------------------------------------------===//
// Which blocks of keys this block visits
//===----------------------------------------------------------------------===//

void ForwardBuilder::findBlocks() {
  qView = view(b, "Q", qArray, head, lengthQ);
  kView = view(b, "K", kArray, kvHead, keysOfEntry);
  vView = view(b, "V", vArray, kvHead, keysOfEntry);
  Scalars s(b);
  if (findsBlocks()) {
    // Iterations [0, maskedRight) are of blocks that are kept in part, [maskedRight, count) of whole ones.
    findsWhole = true;
    found = findBlocksOfKeys(b);
    maskedRight = found.mixed;
    count = wholeEnd = s.add(found.mixed, found.whole, "count");
    return;
  }
  BlockRange range = blocksOfKeys(b);
  // Iterations run from the last visible block to the first: [0, maskedRight) cross a row's last key or the
  // end, [maskedRight, wholeEnd) are seen whole, [wholeEnd, count) cross a row's first key.
  end = range.end;
  count = limits.hasFirst() ? s.sub(end, range.begin, "count") : end;
  maskedRight = s.sub(end, range.wholeEnd, "masked_right");
  wholeEnd = limits.hasFirst() ? s.sub(end, range.wholeBegin, "whole_end") : count;
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

void ForwardBuilder::openRings() {
  auto ring = [&](StringRef name, int64_t depth, int64_t rows, int64_t cols) -> Value {
    RankedTensorType slot = tensor({rows, cols}, dtype, smem());
    return b.make<tile::RingOp>(name, tile::RingType::get(context, depth, slot));
  };
  int64_t qk = padded(headDimQk), v = padded(headDimV);
  qRing = ring("q_ring", 1, tiles.blockQ, qk);
  kRing = ring("k_ring", tiles.stages, tiles.blockKv, qk);
  vRing = ring("v_ring", tiles.stages, tiles.blockKv, v);
}

void ForwardBuilder::copyKv(NamingBuilder &at, StringRef name, Value ring, Value view, Value iteration,
                            Value block, bool bounded, Value condition) {
  Scalars s(at);
  Value slot = at.make<tile::AcquireOp>((name + "_slot").str(),
                                        cast<tile::RingType>(ring.getType()).getSlot(), ring, iteration);
  if (!block)
    block = blockOf(at, iteration);
  Value firstKey = s.mul(block, tiles.blockKv, (name + "_row").str());
  at.make<tile::AsyncCopyOp>("", view, firstKey, slot, bounded, condition);
}

void ForwardBuilder::copyQuery() {
  Value zero = Scalars(b).constant(0);
  Value slot =
      b.make<tile::AcquireOp>("q_slot", cast<tile::RingType>(qRing.getType()).getSlot(), qRing, zero);
  b.make<tile::AsyncCopyOp>("", qView, firstQuery, slot, /*bounded=*/true, Value());
  b.make<tile::CommitOp>("", qRing, zero);
}

void ForwardBuilder::loadQuery(NamingBuilder &at) {
  q = wait(at, "q_tile", qRing, Scalars(at).constant(0));
  if (queryInRegisters()) {
    auto type = tensor({tiles.blockQ, padded(headDimQk)}, dtype, tile::AOpAttr::get(context));
    q = at.make<tile::LoadOperandOp>("q", type, q);
  }
}

void ForwardBuilder::prologue(NamingBuilder &at) {
  Scalars s(at);
  Value zero = s.constant(0);
  if (findsBlocks()) {
    Value last = found.range.end;
    for (int it = 0; it != ahead(); ++it)
      blocks.push_back(last = nextBlock(at, found, s.constant(it), last));
  }
  // Only the first block that is visited can reach past the last key, unless they are found one by one.
  auto block = [&](int it) { return findsBlocks() ? blocks[size_t(it)] : Value(); };
  if (tiles.stages == 1) {
    copyKv(at, "k", kRing, kView, zero, block(0), /*bounded=*/true, s.less(zero, count));
    at.make<tile::CommitOp>("", kRing, zero);
  }
  for (int stage = 0; stage + 1 < tiles.stages; ++stage) {
    Value iteration = s.constant(stage), exists = s.less(iteration, count);
    bool bounded = stage == 0 || findsBlocks();
    copyKv(at, "k", kRing, kView, iteration, block(stage), bounded, exists);
    at.make<tile::CommitOp>("", kRing, iteration);
    copyKv(at, "v", vRing, vView, iteration, block(stage), bounded, exists);
    at.make<tile::CommitOp>("", vRing, iteration);
  }
}

//===----------------------------------------------------------------------===//
// The usual way
//===----------------------------------------------------------------------===//

FailureOr<SoftmaxState> ForwardBuilder::step(NamingBuilder &at, const BlockKind &kind, Value it,
                                             SoftmaxState state) {
  Scalars s(at);
  Value ahead = s.add(it, s.constant(this->ahead()), "ahead");
  Value more = s.less(ahead, count, "more");
  Value block, blockAhead;
  if (findsBlocks()) {
    block = blocks.front();
    blockAhead = nextBlock(at, found, ahead, blocks.back());
    blocks.erase(blocks.begin());
    blocks.push_back(blockAhead);
  }
  auto firstKey = [&] { return s.mul(findsBlocks() ? block : blockOf(at, it), tiles.blockKv, "first_key"); };
  Value start;
  if (startsFromRamp())
    start = startOfProducts(at, scoresType(), firstKey());
  // Where blocks are found one by one, any that is kept in part may reach past the last key.
  bool bounded = findsBlocks() && kind.last;
  Value k, v;
  if (tiles.stages == 1) {
    // One slot each: V travels while the scores are computed, the next K while the output is.
    k = wait(at, "k_tile", kRing, it);
    copyKv(at, "v", vRing, vView, it, block, /*bounded=*/kind.last, Value());
    at.make<tile::CommitOp>("", vRing, it);
  } else {
    // One wait and one barrier a step: the slot that the barrier frees is filled at once.
    k = wait(at, "k_tile", kRing, it);
    v = wait(at, "v_tile", vRing, it);
    copyKv(at, "k", kRing, kView, ahead, blockAhead, bounded, more);
    at.make<tile::CommitOp>("", kRing, ahead);
    copyKv(at, "v", vRing, vView, ahead, blockAhead, bounded, more);
    at.make<tile::CommitOp>("", vRing, ahead);
  }

  Value scores = at.make<tile::DotOp>("scores", scoresType(), q, k, /*transposed=*/true, start);
  at.make<tile::ReleaseOp>("", kRing, it);
  if (tiles.stages == 1) {
    v = wait(at, "v_tile", vRing, it);
    copyKv(at, "k", kRing, kView, ahead, blockAhead, bounded, more);
    at.make<tile::CommitOp>("", kRing, ahead);
  }

  FailureOr<Value> kept = scoresOf(at, kind, scores, firstQuery, firstKey());
  if (failed(kept))
    return failure();
  ScoreBlock scoreBlock{*kept, Value()};
  SoftmaxState next = softmax(outType()).advance(at, state, scoreBlock);
  Value p = softmax(outType()).weigh(at, next, scoreBlock);
  next.out = product(at, operandOf(at, p), v, next.out);
  at.make<tile::ReleaseOp>("", vRing, it);
  return next;
}

FailureOr<SoftmaxState> ForwardBuilder::loop(NamingBuilder &at, const BlockKind &kind, Value from, Value to,
                                             SoftmaxState state) {
  Scalars s(at);
  Location loc = at.named(kind.name);
  SmallVector<Value> carried = {state.out, state.max, state.limit, state.sum};
  llvm::append_range(carried, blocks);
  auto loop = scf::ForOp::create(at, loc, from, to, s.constant(1), carried);
  loop->setAttr("note", at.getStringAttr(kind.note));
  Block *body = loop.getBody();
  auto name = [&](unsigned i, StringRef text) { body->getArgument(i).setLoc(at.named(text)); };
  name(0, "it");
  name(1, "out");
  name(2, "max");
  name(3, "limit");
  name(4, "sum");
  for (size_t i = 0; i != blocks.size(); ++i) {
    name(unsigned(5 + i), i ? "block_ahead" : "block");
    blocks[i] = body->getArgument(unsigned(5 + i));
  }
  NamingBuilder inside(OpBuilder::atBlockBegin(body), at.unnamed());
  FailureOr<SoftmaxState> next =
      step(inside, kind, body->getArgument(0),
           {body->getArgument(1), body->getArgument(2), body->getArgument(3), body->getArgument(4)});
  if (failed(next))
    return failure();
  SmallVector<Value> results = {next->out, next->max, next->limit, next->sum};
  llvm::append_range(results, blocks);
  inside.make<scf::YieldOp>("", results);
  for (size_t i = 0; i != blocks.size(); ++i)
    blocks[i] = loop.getResult(unsigned(4 + i));
  return SoftmaxState{loop.getResult(0), loop.getResult(1), loop.getResult(2), loop.getResult(3)};
}

FailureOr<SoftmaxState> ForwardBuilder::usually(NamingBuilder &at) {
  prologue(at);
  loadQuery(at);
  const BlockKind &masked = findsBlocks() ? kMixed : limits.hasFirst() ? kRightAndLeft : kRight;
  SoftmaxState start = softmax(outType()).start(at);
  FailureOr<SoftmaxState> next = loop(at, masked, Scalars(at).constant(0), maskedRight, start);
  if (succeeded(next))
    next = loop(at, kWhole, maskedRight, wholeEnd, *next);
  if (succeeded(next) && limits.hasFirst() && !findsBlocks())
    next = loop(at, kLeft, wholeEnd, count, *next);
  return next;
}

//===----------------------------------------------------------------------===//
// Carefully
//===----------------------------------------------------------------------===//

/// One block, one thing after the other. `small`, where there is one: weights are smaller.
FailureOr<SoftmaxState> ForwardBuilder::carefulStep(NamingBuilder &at, Value it, Value block,
                                                    SoftmaxState state, Value small) {
  Scalars s(at);
  copyKv(at, "k", kRing, kView, it, block, /*bounded=*/true, Value());
  at.make<tile::CommitOp>("", kRing, it);
  copyKv(at, "v", vRing, vView, it, block, /*bounded=*/true, Value());
  at.make<tile::CommitOp>("", vRing, it);
  Value k = wait(at, "k_tile", kRing, it);
  Value firstKey = s.mul(block, tiles.blockKv, "first_key");
  Value scores = at.make<tile::DotOp>("scores", scoresType(), q, k, /*transposed=*/true,
                                      startOfProducts(at, scoresType(), firstKey));
  at.make<tile::ReleaseOp>("", kRing, it);
  // What hides no key of a block changes nothing in it.
  const BlockKind &any = findsBlocks() ? kMixed : limits.hasFirst() ? kRightAndLeft : kRight;
  FailureOr<Value> kept = scoresOf(at, any, scores, firstQuery, firstKey);
  if (failed(kept))
    return failure();
  ScoreBlock scoreBlock{*kept, Value()};
  SoftmaxState next = softmax(outType()).advance(at, state, scoreBlock);
  // Weights that are packed leave the registers of the scores to what comes of V.
  Value p = softmax(outType()).lessen(at, softmax(outType()).weigh(at, next, scoreBlock), small);
  Value operand = operandOf(at, p), partly;
  if (!hides(kWhole)) {
    partly = s.less(it, maskedRight);
    if (limits.hasFirst() && !findsBlocks())
      partly = at.make<arith::OrIOp>("partly", partly,
                                     at.make<arith::CmpIOp>("", arith::CmpIPredicate::sge, it, wholeEnd));
  }
  Value v = wait(at, "v_tile", vRing, it);
  next.out = softmax(outType()).takeNonfinite(at, next, scoreBlock, v, partly);
  next.out = product(at, operand, v, next.out);
  at.make<tile::ReleaseOp>("", vRing, it);
  return next;
}

FailureOr<SoftmaxState> ForwardBuilder::carefully(NamingBuilder &at, Value small) {
  Scalars s(at);
  loadQuery(at);
  SoftmaxState state = softmax(outType()).start(at);
  SmallVector<Value> carried = {state.out, state.max, state.limit, state.sum};
  if (findsBlocks())
    carried.push_back(found.range.end);
  auto loop = scf::ForOp::create(at, at.named("careful"), s.constant(0), count, s.constant(1), carried);
  loop->setAttr("note", at.getStringAttr("all blocks, one thing after the other"));
  Block *body = loop.getBody();
  unsigned position = 0;
  for (const char *name : {"it", "out", "max", "limit", "sum", "block"})
    if (position != body->getNumArguments())
      body->getArgument(position++).setLoc(at.named(name));
  NamingBuilder inside(OpBuilder::atBlockBegin(body), at.unnamed());
  auto argument = [&](unsigned i) -> Value { return body->getArgument(i); };
  Value it = argument(0);
  Value block = findsBlocks() ? nextBlock(inside, found, it, argument(5)) : blockOf(inside, it);
  FailureOr<SoftmaxState> next =
      carefulStep(inside, it, block, {argument(1), argument(2), argument(3), argument(4)}, small);
  if (failed(next))
    return failure();
  SmallVector<Value> results = {next->out, next->max, next->limit, next->sum};
  if (findsBlocks())
    results.push_back(block);
  inside.make<scf::YieldOp>("", results);
  return SoftmaxState{loop.getResult(0), loop.getResult(1), loop.getResult(2), loop.getResult(3)};
}

//===----------------------------------------------------------------------===//
// A tile
//===----------------------------------------------------------------------===//

/// Rows that are finished, and what attempt would follow: the loops of the first attempt, or those of others.
FailureOr<std::pair<FinishedRows, Value>> ForwardBuilder::attend() {
  auto row = tensor({tiles.blockQ}, b.getF32Type(), this->row());
  SmallVector<Type> types{outType(), b.getI32Type()};
  if (forward.getLse())
    types.push_back(row);
  Value first =
      b.make<arith::CmpIOp>("first_attempt", arith::CmpIPredicate::eq, attempt, Scalars(b).constant(0));
  auto branch = b.make<scf::IfOp>("out", types, first, /*withElse=*/true);
  for (bool usual : {true, false}) {
    Region &region = usual ? branch.getThenRegion() : branch.getElseRegion();
    NamingBuilder at(OpBuilder::atBlockBegin(&region.front()), b.unnamed());
    Scalars s(at);
    Value small;
    if (!usual && infoOf(dtype).sumsOverflow())
      small = at.make<arith::CmpIOp>("small", arith::CmpIPredicate::eq, attempt, s.constant(2));
    FailureOr<SoftmaxState> state = usual ? usually(at) : carefully(at, small);
    if (failed(state))
      return failure();
    at.make<tile::ReleaseOp>("", qRing, s.constant(0));
    FinishedRows rows = finishRows(at, *state, outType(), small);
    // A row that saw nothing is 0; the usual way leaves it so unless it met a NaN.
    Value out = usual ? rows.out : softmax(outType()).clearEmptyRows(at, rows);
    SmallVector<Value> results{out, usual ? s.constant(1) : s.add(attempt, s.constant(1), "next_attempt")};
    if (rows.lse)
      results.push_back(rows.lse);
    at.make<scf::YieldOp>("", results);
  }
  FinishedRows rows{branch.getResult(0), Value(), forward.getLse() ? branch.getResult(2) : Value()};
  return std::pair(rows, branch.getResult(1));
}

void ForwardBuilder::store(const FinishedRows &rows, Value nextAttempt) {
  // Another attempt, unless every row that exists is finite: with what V hides taken apart; where
  // sums can overflow, then with small weights.
  Scalars s(b);
  // Where the tile lies is computed anew: the loops have no registers for it.
  locate(b, tiles.blockQ, uniform(b, blockNumber(b, ""), "tile"));
  Value mayRetry = s.less(nextAttempt, s.constant(infoOf(dtype).sumsOverflow() ? 3 : 2), "may_retry");
  b.make<tile::RetryOp>("", notFinite(b, rows.out, firstQuery), nextAttempt, mayRetry);
  Value staging = b.make<tile::ReuseSmemOp>("staging", tensor(outType().getShape(), dtype, smem()));
  b.make<tile::StoreOp>("", rows.out, view(b, "O", oArray, head, lengthQ), firstQuery, staging);
  if (rows.lse)
    b.make<tile::StoreRowsOp>("", rows.lse, view(b, "LSE", lseArray, head, lengthQ), firstQuery);
}

LogicalResult ForwardBuilder::build() {
  openKernel(tileCount(tiles.blockQ), tiles.warps,
             "A block walks the keys from its last visible one to the left.");
  declareArguments(tiles.blockQ, tiles.blockKv);
  finishArguments();
  attempt = b.make<tile::AttemptOp>("attempt", b.getI32Type());
  locate(b, tiles.blockQ, blockNumber(b, "tile"));
  locateKeys(b);
  if (failed(hoist(b, firstQuery, tiles.blockQ))) {
    kernel.erase();
    return failure();
  }
  findBlocks();
  openRings();
  copyQuery();
  auto finished = attend();
  if (failed(finished)) {
    kernel.erase();
    return failure();
  }
  store(finished->first, finished->second);
  return mlir::success();
}

LogicalResult buildForward(OpBuilder &builder, attn::ForwardOp forward, const DecidedSchedule &decided) {
  OpBuilder::InsertionGuard guard(builder);
  return ForwardBuilder(builder, forward, decided).build();
}

} // namespace attune::portable
