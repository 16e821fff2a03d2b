//===- HopperForward.cpp - the forward kernel of the hopper family --------===//
//
// A warp fills rings of Q, K and V by TMA; warpgroups of 64 query rows each take them from there. All roles
// go through the same tiles of queries in the same order, each by itself. What came out infinite or NaN is
// computed again at the end of a round, carefully: the usual loops pay nothing for that.
//
//===----------------------------------------------------------------------===//
#include "compiler/schedule/hopper/HopperForward.h"

#include "compiler/dialect/Elements.h"
#include "compiler/schedule/Builders.h"

using namespace mlir;

namespace attune::hopper {

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
  if (tiles.tmaStore)
    oMap = map("o_map", "o", 16, headDimV);
}

void ForwardBuilder::openRings() {
  auto ring = [&](StringRef name, int64_t depth, int64_t rows, int64_t headDim) -> Value {
    RankedTensorType slot = tensor({rows, paddedHeadDim(int(headDim))}, dtype, smem());
    return b.make<tile::RingOp>(name, tile::RingType::get(context, depth, slot, tile::RingKind::Tma));
  };
  qRing = ring("q_ring", tiles.qSlots * tiles.groups(), rowsOfGroup, headDimQk);
  kRing = ring("k_ring", tiles.stages, tiles.blockKv, headDimQk);
  vRing = ring("v_ring", tiles.stages, tiles.blockKv, headDimV);
  if (tiles.grid == Grid::Dynamic)
    words = b.make<tile::WordsOp>("tile_numbers", tile::WordsType::get(context, wordsOfRounds), IntegerAttr(),
                                  IntegerAttr());
}

//===----------------------------------------------------------------------===//
// The tiles of a CTA
//===----------------------------------------------------------------------===//

/// Tile `tile`, and how far the role is after it. `bit` says which one of the round it is.
FailureOr<Progress> ForwardBuilder::oneTile(NamingBuilder &at, Value tile, Value attempt,
                                            const Progress &before, Value bit, Work work) {
  Scalars s(at);
  locate(at, tiles.blockQ, tile);
  locateKeys(at);
  if (findsBlocks()) {
    // Iterations [0, maskedRight) are of blocks that are kept in part, [maskedRight, count) of whole ones.
    findsWhole = true;
    found = findBlocksOfKeys(at);
    maskedRight = found.mixed;
    count = wholeEnd = s.add(found.mixed, found.whole, "count");
  } else {
    // Iterations run from the last visible block to the first: [0, maskedRight) cross a row's last key or the
    // end, [maskedRight, wholeEnd) are seen whole, [wholeEnd, count) cross a row's first key.
    BlockRange range = blocksOfKeys(at);
    end = range.end;
    count = windowed() ? s.sub(end, range.begin, "count") : end;
    maskedRight = s.sub(end, range.wholeEnd, "masked_right");
    wholeEnd = windowed() ? s.sub(end, range.wholeBegin, "whole_end") : count;
  }
  FailureOr<Value> bad = work(at, attempt, before);
  if (failed(bad))
    return failure();
  Progress after{s.add(before.tiles, s.constant(1), "tiles"), s.add(before.blocks, count, "blocks"),
                 before.bad};
  if (*bad)
    after.bad =
        at.make<arith::OrIOp>("not_finite", before.bad, s.select(*bad, bit, s.constant(0))).getResult();
  return after;
}

/// Computes the tiles of the round that any role found bad again, carefully; `last` is the last one's number
/// in the round.
FailureOr<Progress> ForwardBuilder::again(NamingBuilder &at, const Progress &before, Value last,
                                          TileNumber tileNumber, Work work) {
  Scalars s(at);
  Type i32 = at.getI32Type();
  // Attempts: with what V hides taken apart; where sums can overflow, then with small weights.
  int attempts = infoOf(dtype).sumsOverflow() ? 2 : 1;
  SmallVector<Value> inits{s.constant(1), before.tiles, before.blocks, before.bad};
  auto loop = scf::WhileOp::create(at, at.unnamed(), TypeRange{i32, i32, i32, i32}, inits);
  loop->setAttr("note", at.getStringAttr("what came out infinite or NaN is computed again, carefully"));
  SmallVector<Location> names;
  for (const char *name : {"attempt", "tiles", "blocks", "not_finite"})
    names.push_back(at.named(name));
  SmallVector<Type> types(4, i32);

  Block *body = at.createBlock(&loop.getBefore(), {}, types, names);
  NamingBuilder inside(OpBuilder::atBlockBegin(body), at.unnamed());
  Value todo = inside.make<tile::VoteOp>("todo", i32, body->getArgument(3));
  Value goesOn = inside.make<arith::AndIOp>(
      "",
      inside.make<arith::CmpIOp>("", arith::CmpIPredicate::ne, todo, Scalars(inside).constant(0)).getResult(),
      Scalars(inside).less(body->getArgument(0), Scalars(inside).constant(attempts + 1)));
  inside.make<scf::ConditionOp>(
      "", goesOn, ValueRange{body->getArgument(0), body->getArgument(1), body->getArgument(2), todo});

  names.back() = at.named("todo");
  body = at.createBlock(&loop.getAfter(), {}, types, names);
  inside = NamingBuilder(OpBuilder::atBlockBegin(body), at.unnamed());
  Scalars t(inside);
  Value attempt = body->getArgument(0), zero = t.constant(0), one = t.constant(1);
  Progress progress{body->getArgument(1), body->getArgument(2), zero};
  if (tiles.grid == Grid::OneTile) {
    // What follows from the tile's number is computed anew, and not kept in registers through the usual
    // loops.
    Value tile = uniform(inside, tileNumber(inside, zero), "tile");
    FailureOr<Progress> next = oneTile(inside, tile, attempt, progress, one, work);
    if (failed(next))
      return failure();
    progress = *next;
  } else {
    auto each = scf::ForOp::create(inside, inside.unnamed(), zero, t.add(last, one), one,
                                   ValueRange{progress.tiles, progress.blocks, progress.bad});
    each.getInductionVar().setLoc(at.named("of_round"));
    Block *eachBody = each.getBody();
    unsigned position = 1;
    for (const char *name : {"tiles", "blocks", "not_finite"})
      eachBody->getArgument(position++).setLoc(at.named(name));
    NamingBuilder in(OpBuilder::atBlockBegin(eachBody), at.unnamed());
    Scalars u(in);
    Value number = each.getInductionVar();
    Value bit = in.make<arith::ShLIOp>("bit", u.constant(1), number);
    Value wanted = in.make<arith::CmpIOp>("", arith::CmpIPredicate::ne,
                                          in.make<arith::AndIOp>("", body->getArgument(3), bit).getResult(),
                                          u.constant(0));
    auto branch = in.make<scf::IfOp>("", TypeRange{i32, i32, i32}, wanted, /*withElse=*/true);
    NamingBuilder then(OpBuilder::atBlockBegin(&branch.getThenRegion().front()), at.unnamed());
    Progress here{eachBody->getArgument(1), eachBody->getArgument(2), eachBody->getArgument(3)};
    FailureOr<Progress> next = oneTile(then, tileNumber(then, number), attempt, here, bit, work);
    if (failed(next))
      return failure();
    then.make<scf::YieldOp>("", ValueRange{next->tiles, next->blocks, next->bad});
    NamingBuilder otherwise(OpBuilder::atBlockBegin(&branch.getElseRegion().front()), at.unnamed());
    otherwise.make<scf::YieldOp>("", ValueRange{here.tiles, here.blocks, here.bad});
    in.make<scf::YieldOp>("", branch.getResults());
    progress = {each.getResult(0), each.getResult(1), each.getResult(2)};
  }
  inside.make<scf::YieldOp>("",
                            ValueRange{t.add(attempt, one), progress.tiles, progress.blocks, progress.bad});
  at.setInsertionPointAfter(loop);
  return Progress{loop.getResult(1), loop.getResult(2), s.constant(0)};
}

/// After tile `last` of a round: where it `ends`, what was bad is computed again, and the next round begins.
/// The next tile's number in its round, and the progress.
FailureOr<SmallVector<Value>> ForwardBuilder::endOfRound(NamingBuilder &at, Value ends,
                                                         const Progress &progress, Value last,
                                                         TileNumber tileNumber, Work work) {
  Type i32 = at.getI32Type();
  auto branch = at.make<scf::IfOp>("", TypeRange{i32, i32, i32, i32}, ends, /*withElse=*/true);
  NamingBuilder then(OpBuilder::atBlockBegin(&branch.getThenRegion().front()), at.unnamed());
  FailureOr<Progress> next = again(then, progress, last, tileNumber, work);
  if (failed(next))
    return failure();
  then.make<scf::YieldOp>("", ValueRange{Scalars(then).constant(0), next->tiles, next->blocks, next->bad});
  NamingBuilder otherwise(OpBuilder::atBlockBegin(&branch.getElseRegion().front()), at.unnamed());
  Scalars t(otherwise);
  otherwise.make<scf::YieldOp>(
      "", ValueRange{t.add(last, t.constant(1)), progress.tiles, progress.blocks, progress.bad});
  return SmallVector<Value>(branch.getResults());
}

/// The tiles as rows of as many as there are CTAs: each CTA has one of a row, from the left in even rows and
/// from the right in odd ones, so that where tiles become shorter all along, as under a causal mask, the sums
/// are even. The last row, if it is not full, goes from the left.
LogicalResult ForwardBuilder::walkGrid(NamingBuilder &at, Work work) {
  Scalars s(at);
  Value zero = s.constant(0);
  Value apart = at.make<arith::IndexCastOp>("ctas", at.getI32Type(),
                                            at.make<gpu::GridDimOp>("", gpu::Dimension::x).getResult());
  Value cta = blockNumber(at, "cta");
  Value fromRight = s.sub(s.sub(apart, s.constant(1)), s.mul(cta, 2), "from_right");
  // In row `i` of a round, whose rows are even in number, from the left it is tile `left`.
  auto placed = [&](NamingBuilder &here, Value left, Value i) -> Value {
    Scalars u(here);
    Value odd =
        here.make<arith::CmpIOp>("", arith::CmpIPredicate::ne,
                                 here.make<arith::AndIOp>("", i, u.constant(1)).getResult(), u.constant(0));
    Value isFull =
        here.make<arith::CmpIOp>("", arith::CmpIPredicate::sle, u.add(left, u.sub(apart, cta)), tileCount);
    return u.add(left, u.select(here.make<arith::AndIOp>("", odd, isFull), fromRight, u.constant(0)), "tile");
  };
  auto loop = scf::ForOp::create(at, at.unnamed(), cta, tileCount, apart, ValueRange{zero, zero, zero, zero});
  loop->setAttr("note", at.getStringAttr("the tiles of this CTA"));
  Block *body = loop.getBody();
  unsigned position = 0;
  for (const char *name : {"from_left", "of_round", "tiles", "blocks", "not_finite"})
    body->getArgument(position++).setLoc(at.named(name));
  NamingBuilder in(OpBuilder::atBlockBegin(body), at.unnamed());
  Scalars t(in);
  Value left = body->getArgument(0), number = body->getArgument(1);
  Progress progress{body->getArgument(2), body->getArgument(3), body->getArgument(4)};
  Value bit = in.make<arith::ShLIOp>("bit", t.constant(1), number);
  FailureOr<Progress> next = oneTile(in, placed(in, left, number), Value(), progress, bit, work);
  if (failed(next))
    return failure();
  Value full = in.make<arith::CmpIOp>("", arith::CmpIPredicate::eq, number, t.constant(tilesOfRound - 1));
  Value none = in.make<arith::CmpIOp>("", arith::CmpIPredicate::sge, t.add(left, apart), tileCount);
  Value ends = in.make<arith::OrIOp>("round_ends", full, none);
  auto tileNumber = [&](NamingBuilder &here, Value i) -> Value {
    Scalars u(here);
    return placed(here, u.sub(left, u.mul(u.sub(number, i), apart)), i);
  };
  FailureOr<SmallVector<Value>> after = endOfRound(in, ends, *next, number, tileNumber, work);
  if (failed(after))
    return failure();
  in.make<scf::YieldOp>("", ValueRange(*after));
  return mlir::success();
}

/// The first tile is the CTA's number; from then on the producer draws the next one.
LogicalResult ForwardBuilder::drawTiles(NamingBuilder &at, bool producing, Work work) {
  Scalars s(at);
  Type i32 = at.getI32Type();
  Value zero = s.constant(0), cta = blockNumber(at, "cta");
  Value ctas =
      at.make<arith::IndexCastOp>("ctas", i32, at.make<gpu::GridDimOp>("", gpu::Dimension::x).getResult());
  SmallVector<Value> inits{cta, zero, zero, zero, zero, zero};
  SmallVector<Type> types(6, i32);
  SmallVector<Location> names;
  for (const char *name : {"tile", "drawn_before", "of_round", "tiles", "blocks", "not_finite"})
    names.push_back(at.named(name));
  auto loop = scf::WhileOp::create(at, at.unnamed(), types, inits);
  loop->setAttr("note", at.getStringAttr("the tiles that this CTA draws"));
  Block *body = at.createBlock(&loop.getBefore(), {}, types, names);
  NamingBuilder in(OpBuilder::atBlockBegin(body), at.unnamed());
  in.make<scf::ConditionOp>("", Scalars(in).less(body->getArgument(0), tileCount), body->getArguments());
  body = at.createBlock(&loop.getAfter(), {}, types, names);
  in = NamingBuilder(OpBuilder::atBlockBegin(body), at.unnamed());
  Scalars t(in);
  Value tile = body->getArgument(0), before = body->getArgument(1), number = body->getArgument(2);
  Progress progress{body->getArgument(3), body->getArgument(4), body->getArgument(5)};
  Value bit = in.make<arith::ShLIOp>("bit", t.constant(1), number);
  FailureOr<Progress> next = oneTile(in, tile, Value(), progress, bit, work);
  if (failed(next))
    return failure();
  // Word i is the number of the CTA's tile i + 1.
  Value following;
  if (producing) {
    following = t.add(in.make<tile::DrawOp>("drawn", i32, drawn), ctas, "next_tile");
    in.make<tile::PutOp>("", words, before, following);
  } else {
    following = in.make<tile::GetOp>("next_tile", i32, words, before);
  }
  Value full = in.make<arith::CmpIOp>("", arith::CmpIPredicate::eq, number, t.constant(tilesOfRound - 1));
  Value none = in.make<arith::CmpIOp>("", arith::CmpIPredicate::sge, following, tileCount);
  Value ends = in.make<arith::OrIOp>("round_ends", full, none);
  auto tileNumber = [&](NamingBuilder &here, Value i) -> Value {
    Scalars u(here);
    Value ofAll = u.sub(before, u.sub(number, i));
    Value word = here.make<tile::GetOp>("", i32, words, u.max(u.sub(ofAll, u.constant(1)), u.constant(0)));
    return u.select(here.make<arith::CmpIOp>("", arith::CmpIPredicate::eq, ofAll, u.constant(0)), cta, word,
                    "tile");
  };
  FailureOr<SmallVector<Value>> after = endOfRound(in, ends, *next, number, tileNumber, work);
  if (failed(after))
    return failure();
  SmallVector<Value> yields{following, t.add(before, t.constant(1))};
  llvm::append_range(yields, *after);
  in.make<scf::YieldOp>("", yields);
  at.setInsertionPointAfter(loop);
  return mlir::success();
}

LogicalResult ForwardBuilder::allTiles(NamingBuilder &at, bool producing, Work work) {
  if (tiles.grid == Grid::Static)
    return walkGrid(at, work);
  if (tiles.grid == Grid::Dynamic)
    return drawTiles(at, producing, work);
  Scalars s(at);
  Value zero = s.constant(0), tile = blockNumber(at, "tile");
  FailureOr<Progress> next = oneTile(at, tile, Value(), {zero, zero, zero}, s.constant(1), work);
  if (failed(next))
    return failure();
  auto tileNumber = [&](NamingBuilder &here, Value i) -> Value { return Scalars(here).add(tile, i, "tile"); };
  return LogicalResult(again(at, *next, zero, tileNumber, work));
}

//===----------------------------------------------------------------------===//
// Roles
//===----------------------------------------------------------------------===//

Value ForwardBuilder::queryIndex(NamingBuilder &at, const Progress &progress, Value ofGroup) {
  Scalars s(at);
  return s.add(s.mul(progress.tiles, tiles.groups()), ofGroup);
}

Value ForwardBuilder::produce(NamingBuilder &at, const Progress &progress) {
  Scalars s(at);
  for (int i = 0; i != tiles.groups(); ++i)
    at.make<tile::FillOp>("", qRing, queryIndex(at, progress, s.constant(i)), qMap,
                          s.add(firstQuery, s.constant(i * rowsOfGroup)), head, batch);
  SmallVector<Value> before;
  if (findsBlocks())
    before.push_back(found.range.end);
  auto loop = scf::ForOp::create(at, at.unnamed(), s.constant(0), count, s.constant(1), before);
  loop->setAttr("note", at.getStringAttr("keys and values, from the last visible block to the first"));
  loop.getInductionVar().setLoc(at.named("it"));
  NamingBuilder inside(OpBuilder::atBlockBegin(loop.getBody()), at.unnamed());
  Value it = loop.getInductionVar();
  Value block = blockOf(inside, it, findsBlocks() ? loop.getRegionIterArg(0) : Value());
  Value firstKey = firstKeyOf(inside, block);
  Value place = Scalars(inside).add(progress.blocks, it);
  inside.make<tile::FillOp>("", kRing, place, kMap, firstKey, kvHead, batch);
  inside.make<tile::FillOp>("", vRing, place, vMap, firstKey, kvHead, batch);
  if (findsBlocks()) {
    loop.getRegionIterArg(0).setLoc(at.named("block_before"));
    inside.make<scf::YieldOp>("", ValueRange{block});
  }
  return Value();
}

LogicalResult ForwardBuilder::build() {
  const Roles roles = rolesOf(tiles);
  SizeExpr count = ForwardProgram::tileCount(tiles.blockQ);
  openKernel(tiles.grid == Grid::OneTile ? count : min(count, SizeExpr(Size::SmCount) * tiles.blocksPerSm),
             /*warps=*/0, "Warps have roles: one fills rings by TMA, warpgroups of 64 query rows compute.");
  declareArguments(tiles.blockQ, tiles.blockKv);
  if (llvm::any_of(bounds.last, [](const LinearIndex &bound) { return bound.q > 0; }))
    groupHeads(tiles.blockQ);
  if (tiles.grid != Grid::OneTile)
    tileCount = number("tile_count", count);
  if (tiles.grid == Grid::Dynamic) {
    Argument argument;
    argument.name = "drawn";
    argument.kind = Argument::Kind::Workspace;
    argument.type = DType::I32;
    argument.bytes = 4;
    argument.zero = true;
    drawn = addArgument(argument);
  }
  declareMaps();
  finishArguments();
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
    NamingBuilder at =
        role("producer", roles.producerWarps, 1, roles.producerRegisters, roles.producerWarps > 1);
    return allTiles(at, true, [&](NamingBuilder &in, Value, const Progress &progress) -> FailureOr<Value> {
      return produce(in, progress);
    });
  };
  auto makeConsumer = [&] {
    NamingBuilder at = role("consumer", 4, tiles.groups(), roles.consumerRegisters, false);
    group = at.make<tile::ReplicaOp>("group", at.getI32Type());
    turnOfGroup(at, tiles.groups() - 1, /*pass=*/true);
    LogicalResult made = allTiles(at, false, [&](NamingBuilder &in, Value attempt, const Progress &progress) {
      return consume(in, attempt, progress);
    });
    turnOfGroup(at, 0, /*pass=*/false);
    return made;
  };
  // A consumer's warps begin at a multiple of four, so a single producer warp comes last.
  LogicalResult made = roles.producerWarps == 4 ? makeProducer() : makeConsumer();
  if (succeeded(made))
    made = roles.producerWarps == 4 ? makeConsumer() : makeProducer();
  if (failed(made))
    kernel.erase();
  return made;
}

LogicalResult buildForward(OpBuilder &builder, attn::ForwardOp forward, const DecidedSchedule &decided) {
  OpBuilder::InsertionGuard guard(builder);
  return ForwardBuilder(builder, forward, decided).build();
}

} // namespace attune::hopper
