//===- PortableForward.cpp - forward by mma.sync and cp.async -------------===//
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
  void beginAttempt();
  void findBlocks();
  void openRings();
  void prologue();
  void copyKv(NamingBuilder &at, StringRef name, Value ring, Value view, Value iteration, Value block,
              bool bounded, Value condition);
  FailureOr<SoftmaxState> loop(const BlockKind &kind, Value from, Value to, SoftmaxState state);
  FailureOr<SoftmaxState> step(NamingBuilder &at, const BlockKind &kind, Value it, SoftmaxState state);
  /// The block of keys of an iteration, where blocks are not found one by one.
  Value blockOf(NamingBuilder &at, Value iteration) {
    Scalars s(at);
    return s.sub(s.sub(end, s.constant(1)), iteration);
  }
  /// How many iterations before its use a block is copied.
  int ahead() const { return std::max(1, tiles.stages - 1); }
  FailureOr<SoftmaxState> loops(SoftmaxState state);
  Value careful(NamingBuilder &at, Value condition, Value usual, StringRef note,
                llvm::function_ref<Value(NamingBuilder &)> make);
  void retry(Value out);
  void epilogue(SoftmaxState state);

  RankedTensorType outType() { return tensor({tiles.blockQ, padded(headDimV)}, b.getF32Type(), acc()); }
  int64_t padded(int64_t headDim) const { return paddedHeadDim(int(headDim), element()); }
  bool queryInRegisters() const {
    return keepsQuery({int(headDimQk), int(headDimV), element(), !bounds.first.empty(), decided.arch}, tiles);
  }

  const Tiles tiles;
  /// Whether this is not the first attempt, and whether it is the one with small weights (null: there is
  /// none).
  Value attempt, again, small;
  Value qView, kView, vView;
  Value qRing, kRing, vRing, q;
  Value end, count, maskedRight,
      wholeEnd;      // `end`: one past the last visible block; iterations count from there
  FoundBlocks found; ///< where blocks are found one by one
  /// Then: the blocks of this iteration and of those whose copies are under way.
  SmallVector<Value> blocks;
};
} // namespace

//===----------------------------------------------------------------------===//
// Which blocks of keys this block visits
//===----------------------------------------------------------------------===//

void ForwardBuilder::beginAttempt() {
  Scalars s(b);
  attempt = b.make<tile::AttemptOp>("attempt", b.getI32Type());
  again = b.make<arith::CmpIOp>("again", arith::CmpIPredicate::ne, attempt, s.constant(0));
  if (dtype.isBF16())
    small = b.make<arith::CmpIOp>("small", arith::CmpIPredicate::eq, attempt, s.constant(2));
}

void ForwardBuilder::findBlocks() {
  qView = view(b, "Q", qArray, head, lengthQ);
  kView = view(b, "K", kArray, kvHead, lengthKv);
  vView = view(b, "V", vArray, kvHead, lengthKv);
  Scalars s(b);
  if (findsBlocks()) {
    // Iterations [0, maskedRight) are of blocks that are kept in part, [maskedRight, count) of whole ones.
    findsWhole = true;
    found = findBlocksOfKeys(b);
    maskedRight = found.mixed;
    count = wholeEnd = s.add(found.mixed, found.whole, "count");
    Value last = found.range.end;
    for (int it = 0; it != ahead(); ++it)
      blocks.push_back(last = nextBlock(b, found, s.constant(it), last));
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
    return b.make<tile::RingOp>(name, tile::RingType::get(context, depth, slot), IntegerAttr());
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

void ForwardBuilder::prologue() {
  Scalars s(b);
  Value zero = s.constant(0);
  Value slot =
      b.make<tile::AcquireOp>("q_slot", cast<tile::RingType>(qRing.getType()).getSlot(), qRing, zero);
  b.make<tile::AsyncCopyOp>("", qView, firstQuery, slot, /*bounded=*/true, Value());
  b.make<tile::CommitOp>("", qRing, zero);
  // Only the first block that is visited can reach past the last key, unless they are found one by one.
  auto block = [&](int it) { return findsBlocks() ? blocks[size_t(it)] : Value(); };
  if (tiles.stages == 1) {
    copyKv(b, "k", kRing, kView, zero, block(0), /*bounded=*/true, s.less(zero, count));
    b.make<tile::CommitOp>("", kRing, zero);
  }
  for (int stage = 0; stage + 1 < tiles.stages; ++stage) {
    Value iteration = s.constant(stage), exists = s.less(iteration, count);
    bool bounded = stage == 0 || findsBlocks();
    copyKv(b, "k", kRing, kView, iteration, block(stage), bounded, exists);
    b.make<tile::CommitOp>("", kRing, iteration);
    copyKv(b, "v", vRing, vView, iteration, block(stage), bounded, exists);
    b.make<tile::CommitOp>("", vRing, iteration);
  }
  Value tile = b.make<tile::WaitOp>("q_tile", cast<tile::RingType>(qRing.getType()).getSlot(), qRing, zero);
  q = tile;
  if (queryInRegisters()) {
    auto type = tensor({tiles.blockQ, padded(headDimQk)}, dtype, tile::AOpAttr::get(context));
    q = b.make<tile::LoadOperandOp>("q", type, tile);
  }
}

//===----------------------------------------------------------------------===//
// The loop over blocks of keys
//===----------------------------------------------------------------------===//

/// `make`'s value where `condition`, a scalar, holds, else `usual`.
Value ForwardBuilder::careful(NamingBuilder &at, Value condition, Value usual, StringRef note,
                              llvm::function_ref<Value(NamingBuilder &)> make) {
  auto branch = at.make<scf::IfOp>(nameOf(usual.getLoc()), TypeRange(usual.getType()), condition,
                                   /*withElse=*/true);
  branch->setAttr("note", at.getStringAttr(note));
  NamingBuilder then(OpBuilder::atBlockBegin(&branch.getThenRegion().front()), at.unnamed());
  Value made = make(then);
  then.make<scf::YieldOp>("", ValueRange{made});
  NamingBuilder otherwise(OpBuilder::atBlockBegin(&branch.getElseRegion().front()), at.unnamed());
  otherwise.make<scf::YieldOp>("", ValueRange{usual});
  return branch.getResult(0);
}

FailureOr<SoftmaxState> ForwardBuilder::step(NamingBuilder &at, const BlockKind &kind, Value it,
                                             SoftmaxState state) {
  Scalars s(at);
  auto slotType = [&](Value ring) { return cast<tile::RingType>(ring.getType()).getSlot(); };
  Value ahead = s.add(it, s.constant(this->ahead()), "ahead");
  Value more = s.less(ahead, count, "more");
  Value block, blockAhead;
  if (findsBlocks()) {
    block = blocks.front();
    blockAhead = nextBlock(at, found, ahead, blocks.back());
    blocks.erase(blocks.begin());
    blocks.push_back(blockAhead);
  }
  // Where blocks are found one by one, any that is kept in part may reach past the last key.
  bool bounded = findsBlocks() && kind.last;
  Value k, v;
  if (tiles.stages == 1) {
    // One slot each: V travels while the scores are computed, the next K while the output is.
    k = at.make<tile::WaitOp>("k_tile", slotType(kRing), kRing, it);
    copyKv(at, "v", vRing, vView, it, block, /*bounded=*/kind.last, Value());
    at.make<tile::CommitOp>("", vRing, it);
  } else {
    // One wait and one barrier a step: the slot that the barrier frees is filled at once.
    k = at.make<tile::WaitOp>("k_tile", slotType(kRing), kRing, it);
    v = at.make<tile::WaitOp>("v_tile", slotType(vRing), vRing, it);
    copyKv(at, "k", kRing, kView, ahead, blockAhead, bounded, more);
    at.make<tile::CommitOp>("", kRing, ahead);
    copyKv(at, "v", vRing, vView, ahead, blockAhead, bounded, more);
    at.make<tile::CommitOp>("", vRing, ahead);
  }

  auto scoresType = tensor({tiles.blockQ, tiles.blockKv}, at.getF32Type(), acc());
  Value scores = at.make<tile::DotOp>("scores", scoresType, q, k, /*transposed=*/true, Value());
  at.make<tile::ReleaseOp>("", kRing, it);
  if (tiles.stages == 1) {
    v = at.make<tile::WaitOp>("v_tile", slotType(vRing), vRing, it);
    copyKv(at, "k", kRing, kView, ahead, blockAhead, bounded, more);
    at.make<tile::CommitOp>("", kRing, ahead);
  }

  if (!block)
    block = blockOf(at, it);
  Value firstKey = s.mul(block, tiles.blockKv, "first_key");
  FailureOr<Value> kept = scoresOf(at, kind, scores, firstQuery, firstKey);
  if (failed(kept))
    return failure();
  ScoreBlock scoreBlock{*kept, Value()};
  CarefulAttempt careful{again, small, v, hides(kind)};
  SoftmaxState next = softmax(outType()).advance(at, state, scoreBlock, /*later=*/nullptr,
                                                 hides(kind) || small ? &careful : nullptr);
  Value p = softmax(outType()).weigh(at, next, scoreBlock);
  auto pType = tensor({tiles.blockQ, tiles.blockKv}, dtype, tile::AOpAttr::get(context));
  Value pOperand = at.make<tile::ToAOpOp>("p_operand", pType, p);
  next.out = at.make<tile::DotOp>("out", outType(), pOperand, v, /*transposed=*/false, next.out);
  at.make<tile::ReleaseOp>("", vRing, it);
  return next;
}

FailureOr<SoftmaxState> ForwardBuilder::loop(const BlockKind &kind, Value from, Value to,
                                             SoftmaxState state) {
  Scalars s(b);
  Location loc = b.named(kind.name);
  SmallVector<Value> carried = {state.out, state.max, state.limit, state.sum};
  llvm::append_range(carried, blocks);
  auto loop = scf::ForOp::create(b, loc, from, to, s.constant(1), carried);
  loop->setAttr("note", b.getStringAttr(kind.note));
  Block *body = loop.getBody();
  auto name = [&](unsigned i, StringRef text) { body->getArgument(i).setLoc(b.named(text)); };
  name(0, "it");
  name(1, "out");
  name(2, "max");
  name(3, "limit");
  name(4, "sum");
  for (size_t i = 0; i != blocks.size(); ++i) {
    name(unsigned(5 + i), i ? "block_ahead" : "block");
    blocks[i] = body->getArgument(unsigned(5 + i));
  }
  NamingBuilder inside(OpBuilder::atBlockBegin(body), b.unnamed());
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

FailureOr<SoftmaxState> ForwardBuilder::loops(SoftmaxState state) {
  const BlockKind &masked = findsBlocks() ? kMixed : limits.hasFirst() ? kRightAndLeft : kRight;
  FailureOr<SoftmaxState> next = loop(masked, Scalars(b).constant(0), maskedRight, state);
  if (succeeded(next))
    next = loop(kWhole, maskedRight, wholeEnd, *next);
  if (succeeded(next) && limits.hasFirst() && !findsBlocks())
    next = loop(kLeft, wholeEnd, count, *next);
  return next;
}

/// Another attempt, unless every row that exists is finite.
void ForwardBuilder::retry(Value out) {
  Value bad = notFinite(b, out, firstQuery);
  Scalars s(b);
  b.make<tile::RetryOp>("", bad, s.less(attempt, s.constant(small ? 2 : 1), "may_retry"));
}

void ForwardBuilder::epilogue(SoftmaxState state) {
  b.make<tile::ReleaseOp>("", qRing, Scalars(b).constant(0));
  FinishedRows rows = finishRows(b, state, outType(), small);
  // A row that saw nothing is 0; the usual way leaves it so unless it met a NaN.
  Value out = careful(b, again, rows.out, "rows that see nothing are 0",
                      [&](NamingBuilder &at) { return softmax(outType()).clearEmptyRows(at, rows); });
  retry(out);
  Value staging = b.make<tile::ReuseSmemOp>("staging", tensor(outType().getShape(), dtype, smem()));
  b.make<tile::StoreOp>("", out, view(b, "O", oArray, head, lengthQ), firstQuery, staging);
  if (rows.lse)
    b.make<tile::StoreRowsOp>("", rows.lse, view(b, "LSE", lseArray, head, lengthQ), firstQuery);
}

LogicalResult ForwardBuilder::build() {
  openKernel(tileCount(tiles.blockQ), tiles.warps,
             "A block walks the keys from its last visible one to the left.");
  declareArguments(tiles.blockQ, tiles.blockKv);
  finishArguments();
  beginAttempt();
  locate(b, tiles.blockQ, blockNumber(b, "tile"));
  if (failed(hoistLoads(b, firstQuery, tiles.blockQ))) {
    kernel.erase();
    return failure();
  }
  findBlocks();
  openRings();
  prologue();
  SoftmaxState state = softmax(outType()).start(b, again);

  FailureOr<SoftmaxState> next = loops(state);
  if (failed(next)) {
    kernel.erase();
    return failure();
  }
  epilogue(*next);
  return mlir::success();
}

LogicalResult buildForward(OpBuilder &builder, attn::ForwardOp forward, const DecidedSchedule &decided) {
  OpBuilder::InsertionGuard guard(builder);
  return ForwardBuilder(builder, forward, decided).build();
}

} // namespace attune::portable
