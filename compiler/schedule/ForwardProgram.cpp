//===- ForwardProgram.cpp - what forward kernels of all families share ----===//
#include "compiler/schedule/ForwardProgram.h"

#include "compiler/dialect/Elements.h"
#include "compiler/dialect/tile/KernelHeader.h"
#include "compiler/ir/IrText.h"
#include "compiler/ir/ScheduleAttr.h"
#include "compiler/schedule/Elementwise.h"

#include "mlir/IR/Matchers.h"

#include <limits>

#include <fmt/format.h>

using namespace mlir;

namespace attune {

ForwardProgram::ForwardProgram(OpBuilder &builder, attn::ForwardOp forward, const DecidedSchedule &decided)
    : forward(forward), decided(decided), context(builder.getContext()), headDimQk(forward.getHeadDimQk()),
      headDimV(forward.getHeadDimV()), dtype(forward.getDtype()), bounds(analyseMask(forward.getMask())),
      scale(forward.getScale().convertToDouble()), b(builder, forward.getLoc()) {
  scoreSum = analyseScore(forward.getScore(), [&](Value value) { return reachOf(value) == Reach::Block; });
}

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

void ForwardProgram::groupHeads(int64_t blockQ) {
  // Heads of a group are whole groups of those that share keys and values.
  int64_t bytesOfKey = int64_t(infoOf(element()).bytes()) * (headDimQk + headDimV);
  SizeExpr kvHeads =
      max(SizeExpr(kCacheBytes) / (max(SizeExpr(Size::LengthKv), 1) * bytesOfKey), SizeExpr(1));
  SizeExpr all = SizeExpr(Size::HeadsQ) * Size::Batch;
  SizeExpr together = min(kvHeads * (SizeExpr(Size::HeadsQ) / Size::HeadsKv), all);
  allHeads = number("all_heads", all);
  headsTogether = number("heads_together", together);
  tilesTogether = number("tiles_together", together * ceilDiv(SizeExpr(Size::LengthQ), blockQ));
}

void ForwardProgram::declareArguments(int64_t blockQ, int64_t blockKv) {
  queriesOfBlock = blockQ;
  keysOfBlock = blockKv;
  blockMask = BlockMask(bounds.residual, blockQ, blockKv);
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
  if (forward.getLengthsQ())
    lengthsQArray = array("lengths_q", DType::I32, {Size::Batch}, false, 0);
  if (forward.getLengthsKv())
    lengthsKvArray = array("lengths_kv", DType::I32, {Size::Batch}, false, 0);
  if (forward.getLse())
    lseArray = array("lse", DType::F32, {Size::Batch, Size::HeadsQ, Size::LengthQ}, true, 0);
  lengthQ = number("length_q", Size::LengthQ);
  lengthKv = number("length_kv", Size::LengthKv);
  headsPerKvHead = number("heads_per_kv_head", SizeExpr(Size::HeadsQ) / Size::HeadsKv);
  queryBlocks = number("query_blocks", ceilDiv(SizeExpr(Size::LengthQ), blockQ));
  heads = number("heads", Size::HeadsQ);
  declareCaptures();
  declareBounds();
}

/// How an index that certainly lies below its extent looks: a variable on its own axis.
static bool isNatural(Value index, StringRef extent) {
  if (index.getDefiningOp<attn::KvHeadOp>())
    return extent == nameOf(Size::HeadsKv);
  auto argument = dyn_cast<BlockArgument>(index);
  if (!argument)
    return false;
  unsigned fromEnd = argument.getOwner()->getNumArguments() - argument.getArgNumber(); // b, h, q, kv: 4 .. 1
  return (fromEnd == 4 && extent == nameOf(Size::Batch)) || (fromEnd == 3 && extent == nameOf(Size::HeadsQ));
}

void ForwardProgram::declareCaptures() {
  for (Region *region : {&forward.getScore(), &forward.getMask()}) {
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
    for (auto element : region->getOps<attn::ElementOp>()) {
      Argument argument;
      argument.name = element.getName();
      argument.type = *elementOf(element.getElement());
      for (auto [index, attribute] : llvm::zip(element.getIndices(), element.getExtents())) {
        StringRef text = cast<StringAttr>(attribute).getValue();
        argument.axes.push_back(*SizeExpr::parse(text));
        if (argument.axes.back().constant() || isNatural(index, text) || extents.contains(text))
          continue;
        std::optional<Size> size = argument.axes.back().size();
        Argument extent;
        extent.name = fmt::format("extent{}", extents.size());
        extent.kind = Argument::Kind::Scalar;
        extent.type = DType::I32;
        extent.value = argument.axes.back();
        extents[text] = size == Size::LengthQ    ? lengthQ
                        : size == Size::LengthKv ? lengthKv
                                                 : addArgument(extent);
      }
      if (Value &known = captured[element.getName()]; !known)
        known = addArgument(argument);
    }
  }
}

void ForwardProgram::declareBounds() {
  ArrayRef<ArrayBounds> tables = blockMask.tables();
  if (tables.empty())
    return;
  for (auto [i, table] : llvm::enumerate(tables)) {
    Bounds made{addArgument(table.argument(i)), {Value()}};
    for (size_t axis = 1; axis != table.axes.size(); ++axis) {
      const SizeExpr &extent = axis == table.axis ? table.blocks() : table.axes[axis];
      std::optional<int64_t> known = extent.constant();
      made.extents.push_back(known ? Scalars(b).constant(*known)
                                   : number(fmt::format("bounds{}_{}", i, axis).c_str(), extent));
    }
    arrayBounds.push_back(std::move(made));
  }
  OpBuilder before(kernel);
  buildArrayBounds(before, forward.getLoc(), forward.getSymName(), decided.arch.name, tables);
}

Value ForwardProgram::extentOf(NamingBuilder &at, const SizeExpr &axis) {
  std::optional<int64_t> known = axis.constant();
  return known ? Scalars(at).constant(*known) : extents.lookup(axis.text());
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
    Value result = uniform(at, s.div(x, y), name);
    rest = s.sub(x, s.mul(result, y), restName);
    return result;
  };
  if (headsTogether) {
    Value rest, inGroup;
    Value group = quotient(tile, tilesTogether, rest, "group", "");
    Value firstHead = s.mul(group, headsTogether);
    Value here = s.min(headsTogether, s.sub(allHeads, firstHead), "heads_here");
    queryBlock = quotient(rest, here, inGroup, "query_block", "");
    ofAll = s.add(firstHead, inGroup);
  } else {
    ofAll = quotient(tile, queryBlocks, queryBlock, "", "query_block");
  }
  // Later queries see more keys: start with the longest work, so that the grid's tail is short.
  if (llvm::any_of(bounds.last, [](const LinearIndex &bound) { return bound.q > 0; }))
    queryBlock = s.sub(s.sub(queryBlocks, queryBlock), s.constant(1), "query_block");
  batch = quotient(ofAll, heads, head, "batch", "head");
  firstQuery = s.mul(queryBlock, blockQ, "first_query");
}

void ForwardProgram::locateKeys(NamingBuilder &at) {
  Scalars s(at);
  kvHead = uniform(at, s.div(head, headsPerKvHead), "kv_head");
  auto ofEntry = [&](Value array, Value most, const char *name) -> Value {
    if (!array)
      return most;
    Value given = at.make<tile::LoadValueOp>("", at.getI32Type(), array, ValueRange{batch});
    return uniform(at, s.min(s.max(given, s.constant(0)), most), name);
  };
  queriesOfEntry = ofEntry(lengthsQArray, lengthQ, "queries_of_entry");
  keysOfEntry = ofEntry(lengthsKvArray, lengthKv, "keys_of_entry");
}

BlockRange ForwardProgram::blocksOfKeys(NamingBuilder &at) {
  Scalars s(at);
  limits = MaskLimits::of(at, bounds, queriesOfEntry, keysOfEntry, scalars);
  lastQuery =
      s.sub(s.min(s.add(firstQuery, s.constant(queriesOfBlock)), lengthQ), s.constant(1), "last_query");
  return BlockRange::ofKeys(at, limits, firstQuery, lastQuery, keysOfBlock);
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

void ForwardProgram::fillScan(NamingBuilder &at, Operation *scan, const BlockRange &range,
                              llvm::function_ref<SmallVector<Value>(NamingBuilder &, Value, Value)> make) {
  Block *body = at.createBlock(&scan->getRegion(0));
  Value block = body->addArgument(at.getI32Type(), at.named("block"));
  NamingBuilder inside(OpBuilder::atBlockBegin(body), at.unnamed());
  at.setInsertionPointAfter(scan);
  Scalars s(inside);
  auto notAbove = [&](Value x, Value y) -> Value {
    return inside.make<arith::CmpIOp>("", arith::CmpIPredicate::sle, x, y);
  };
  auto both = [&](Value x, Value y) -> Value { return inside.make<arith::AndIOp>("", x, y); };
  Value firstKey = s.mul(block, keysOfBlock, "first_key");
  Value lastKey =
      s.min(s.add(firstKey, s.constant(keysOfBlock - 1)), s.sub(keysOfEntry, s.constant(1)), "last_key");
  auto element = [&](NamingBuilder &in, StringRef array, ArrayRef<Value> indices) -> Value {
    return in.make<tile::LoadValueOp>("element", in.getI32Type(), captured.lookup(array), indices);
  };
  auto entry = [&](NamingBuilder &in, size_t table, ArrayRef<Value> place, bool largest) -> Value {
    Scalars t(in);
    Value first = t.mul(pairOf(in, place, arrayBounds[table].extents), 2);
    return in.make<tile::LoadEntryOp>(largest ? "largest" : "least", in.getI32Type(),
                                      arrayBounds[table].table,
                                      largest ? t.add(first, t.constant(1)) : first);
  };
  auto extent = [&](const SizeExpr &axis) { return extentOf(inside, axis); };
  BlockMask::Truth truth =
      blockMask.truth(inside, {firstQuery, lastQuery, firstKey, lastKey, batch, head, kvHead, queriesOfEntry,
                               keysOfEntry, scalars, element, entry, extent});
  Value inWhole = both(notAbove(range.wholeBegin, block), s.less(block, range.wholeEnd));
  Value whole = both(inWhole, truth.must);
  Value some = both(truth.may, inside.make<arith::XOrIOp>(
                                   "", whole, inside.make<arith::ConstantOp>("", inside.getBoolAttr(true))));
  inside.make<tile::YieldOp>("", make(inside, some, whole));
}

ForwardProgram::FoundBlocks ForwardProgram::findBlocksOfKeys(NamingBuilder &at) {
  FoundBlocks found{blocksOfKeys(at), Value(), Value()};
  Type i32 = at.getI32Type();
  auto counts = at.make<tile::CountBlocksOp>("", TypeRange{i32, i32}, found.range.begin, found.range.end);
  fillScan(at, counts, found.range,
           [](NamingBuilder &, Value mixed, Value whole) { return SmallVector<Value>{mixed, whole}; });
  found.mixed = counts.getResult(0);
  found.whole = counts.getResult(1);
  return found;
}

Value ForwardProgram::nextBlock(NamingBuilder &at, const FoundBlocks &blocks, Value before, Value last) {
  Scalars s(at);
  Value isMixed = s.less(before, blocks.mixed);
  Value isFirstWhole = at.make<arith::CmpIOp>("", arith::CmpIPredicate::eq, before, blocks.mixed);
  Value end = s.select(isFirstWhole, blocks.range.end, last);
  auto next = at.make<tile::LastBlockOp>("block", at.getI32Type(), blocks.range.begin, end);
  fillScan(at, next, blocks.range, [&](NamingBuilder &inside, Value mixed, Value whole) {
    return SmallVector<Value>{inside.make<arith::SelectOp>("", isMixed, mixed, whole)};
  });
  return next;
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

ForwardProgram::Reach ForwardProgram::reachOf(Value value) {
  if (auto known = reaches.find(value); known != reaches.end())
    return known->second;
  Reach reach = Reach::Block;
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    unsigned fromEnd =
        argument.getOwner()->getNumArguments() - argument.getArgNumber(); // b, h, q, kv: 4 .. 1
    reach = fromEnd == 1 || fromEnd == 5 ? Reach::Key : fromEnd == 2 ? Reach::Row : Reach::Block;
  } else {
    for (Value operand : value.getDefiningOp()->getOperands())
      reach = std::max(reach, reachOf(operand));
  }
  return reaches[value] = reach;
}

Value ForwardProgram::spread(NamingBuilder &at, RankedTensorType shape, Value value) {
  if (!shape)
    return value;
  Type type = shape.clone(getElementTypeOrSelf(value.getType()));
  if (!isa<RankedTensorType>(value.getType()))
    return at.make<tensor::SplatOp>(nameOf(value.getLoc()), value, type);
  return value.getType() == type ? value
                                 : Value(at.make<tile::RowBroadcastOp>(nameOf(value.getLoc()), type, value));
}

/// What stands for an argument of a score or mask region, for a length, a scalar or what was read before;
/// null: nothing does.
Value ForwardProgram::indexTile(NamingBuilder &at, RankedTensorType shape, Value argument, Value firstRow,
                                Value firstKey) {
  if (Value known = hoisted.lookup(argument))
    return spread(at, shape, known);
  if (auto scalar = argument.getDefiningOp<attn::ScalarOp>())
    return spread(at, shape, scalars.lookup(scalar.getName()));
  if (auto length = argument.getDefiningOp<attn::LengthOp>())
    return spread(at, shape, length.getAxis() == attn::Axis::Q ? queriesOfEntry : keysOfEntry);
  if (argument.getDefiningOp<attn::KvHeadOp>())
    return spread(at, shape, kvHead);
  auto blockArgument = dyn_cast<BlockArgument>(argument);
  if (!blockArgument)
    return Value();
  bool inScore = blockArgument.getOwner()->getParent() == &forward.getScore();
  switch (blockArgument.getArgNumber() - (inScore ? 1 : 0)) {
  case 0:
    return spread(at, shape, batch);
  case 1:
    return spread(at, shape, head);
  case 2: {
    auto rowType = tensor({shape.getDimSize(0)}, at.getI32Type(), row());
    Value index = at.make<tile::RowIndexOp>("", rowType);
    Value rows = at.make<arith::AddIOp>("", index, at.make<tensor::SplatOp>("", firstRow, rowType));
    if (shape.getEncoding() == row())
      return rows;
    return at.make<tile::RowBroadcastOp>("q_index", shape.clone(at.getI32Type()), rows);
  }
  default: {
    auto type = cast<RankedTensorType>(shape.clone(at.getI32Type()));
    return at.make<arith::AddIOp>("kv_index", at.make<tile::ColumnIndexOp>("", type),
                                  at.make<tensor::SplatOp>("", firstKey, type));
  }
  }
}

Value ForwardProgram::clampIndex(NamingBuilder &at, Value index, Value inRegion, const SizeExpr &extent) {
  std::string text = extent.text();
  if (isNatural(inRegion, text))
    return index;
  auto shape = dyn_cast<RankedTensorType>(index.getType());
  Scalars s(at);
  std::optional<int64_t> number = extent.constant();
  APInt constant;
  if (number && matchPattern(inRegion, m_ConstantInt(&constant)) && constant.getSExtValue() >= 0 &&
      constant.getSExtValue() < *number)
    return index;
  Value last = number ? s.constant(*number - 1) : s.sub(extentOf(at, extent), s.constant(1));
  // Positions are not negative; rows and keys of a tile may lie beyond their number.
  if (!isa<BlockArgument>(inRegion))
    index = s.max(index, spread(at, shape, s.constant(0)));
  return s.min(index, spread(at, shape, last));
}

Value ForwardProgram::loadElement(NamingBuilder &at, attn::ElementOp element, ArrayRef<Value> indices) {
  SmallVector<Value> places;
  for (auto [index, inRegion, extent] : llvm::zip(indices, element.getIndices(), element.getExtents()))
    places.push_back(clampIndex(at, index, inRegion, *SizeExpr::parse(cast<StringAttr>(extent).str())));
  Type type = element.getType();
  if (auto shape = dyn_cast<RankedTensorType>(indices.front().getType()))
    type = shape.clone(type);
  return at.make<tile::LoadValueOp>(element.getName(), type, captured.lookup(element.getName()), places);
}

FailureOr<SmallVector<Value>> ForwardProgram::applyRegion(NamingBuilder &at, RankedTensorType shape,
                                                          ArrayRef<Value> results, Value score,
                                                          Value firstRow, Value firstKey) {
  return applyElementwise(
      at, shape, results,
      {[&](Value leaf) {
         return score && leaf == forward.getScore().getArgument(0)
                    ? score
                    : indexTile(at, shape, leaf, firstRow, firstKey);
       },
       [&](attn::ElementOp element, ArrayRef<Value> indices) { return loadElement(at, element, indices); }});
}

Value ForwardProgram::readIfKeys(NamingBuilder &at, RankedTensorType shape, Type element,
                                 llvm::function_ref<Value(NamingBuilder &)> read) {
  Type type = shape ? Type(shape.clone(element)) : element;
  Scalars s(at);
  auto branch = at.make<scf::IfOp>("element", TypeRange(type), s.less(s.constant(0), lengthKv),
                                   /*withElse=*/true);
  branch->setAttr("note", at.getStringAttr("there are keys"));
  NamingBuilder then(OpBuilder::atBlockBegin(&branch.getThenRegion().front()), at.unnamed());
  Value loaded = read(then);
  if (!loaded)
    return Value();
  then.make<scf::YieldOp>("", ValueRange{loaded});
  NamingBuilder otherwise(OpBuilder::atBlockBegin(&branch.getElseRegion().front()), at.unnamed());
  TypedAttr zero = at.getZeroAttr(type);
  otherwise.make<scf::YieldOp>("", ValueRange{otherwise.make<arith::ConstantOp>("", zero)});
  return branch.getResult(0);
}

LogicalResult ForwardProgram::hoist(NamingBuilder &at, Value firstRow, int64_t rows) {
  if (failed(hoistElements(at, firstRow, rows)))
    return failure();
  return scoreSum.linear.empty() ? mlir::success() : hoistRamp(at, firstRow, rows);
}

LogicalResult ForwardProgram::hoistElements(NamingBuilder &at, Value firstRow, int64_t rows) {
  for (Region *region : {&forward.getScore(), &forward.getMask()})
    for (auto element : region->getOps<attn::ElementOp>()) {
      Reach reach = reachOf(element.getResult());
      if (reach == Reach::Key)
        continue;
      RankedTensorType shape;
      if (reach == Reach::Row)
        shape = tensor({rows}, at.getF32Type(), row());
      auto read = [&](NamingBuilder &in) -> Value {
        auto loaded = applyRegion(in, shape, element.getResult(), Value(), firstRow, Value());
        return succeeded(loaded) ? loaded->front() : Value();
      };
      // Where there are no keys, an axis of keys has no element that an index could be cut to.
      bool mayBeEmpty = llvm::is_contained(element.getExtents(), at.getStringAttr(nameOf(Size::LengthKv)));
      Value loaded = mayBeEmpty ? readIfKeys(at, shape, element.getType(), read) : read(at);
      if (!loaded)
        return failure();
      hoisted[element.getResult()] = loaded;
    }
  return mlir::success();
}

LogicalResult ForwardProgram::hoistRamp(NamingBuilder &at, Value firstRow, int64_t rows) {
  auto rowType = tensor({rows}, at.getF32Type(), row()), indexType = tensor({rows}, at.getI32Type(), row());
  Scalars s(at);
  auto number = [&](double value) -> Value {
    return at.make<arith::ConstantOp>("", at.getF32FloatAttr(float(value)));
  };
  auto multiply = [&](Value x, Value y) -> Value { return at.make<arith::MulFOp>("", x, y); };
  auto times = [&](Value index, int64_t factor) -> Value {
    if (factor == 1)
      return index;
    return at.make<arith::MulIOp>("", index, at.make<tensor::SplatOp>("", s.constant(factor), indexType));
  };
  ramp = {};
  for (const LinearTerm &term : scoreSum.linear) {
    // Products are scaled later, with what they are summed onto.
    Value factor = number(startsFromRamp() ? term.constant / scale : term.constant);
    auto factors = applyRegion(at, RankedTensorType(), term.factors, Value(), firstRow, Value());
    if (failed(factors))
      return failure();
    for (Value one : *factors)
      factor = multiply(one, factor);
    Value index = times(at.make<tile::FirstColumnOp>("", indexType), term.index.kv);
    if (term.index.q)
      index =
          at.make<arith::AddIOp>("", index, times(at.make<tile::RowIndexOp>("", indexType), term.index.q));
    Value values = at.make<arith::SIToFPOp>("", rowType, index);
    Value splat = at.make<tensor::SplatOp>("", factor, rowType);
    ramp.rows = ramp.rows ? Value(at.make<math::FmaOp>("bias_of_rows", values, splat, ramp.rows))
                          : Value(at.make<arith::MulFOp>("bias_of_rows", values, splat));
    Value step = multiply(factor, number(double(term.index.kv)));
    ramp.step = ramp.step ? Value(at.make<arith::AddFOp>("step", ramp.step, step)) : step;
    Value ofRow = offsetOf(at, term.index, queriesOfEntry, keysOfEntry, scalars);
    if (term.index.q)
      ofRow = s.add(ofRow, s.mul(firstRow, term.index.q));
    ramp.places.push_back({term.index.kv, ofRow, factor});
  }
  return mlir::success();
}

Value ForwardProgram::rampOf(NamingBuilder &at, RankedTensorType type, Value firstKey) {
  Scalars s(at);
  auto rowType = cast<RankedTensorType>(ramp.rows.getType());
  auto splat = [&](Value value) -> Value { return at.make<tensor::SplatOp>("", value, rowType); };
  Value rows = ramp.rows;
  // A place that is rounded last: near the diagonal it is small, however far out both are.
  for (const Ramp::Place &place : ramp.places) {
    Value index = s.add(s.mul(firstKey, place.perKey), place.ofRow);
    Value value = at.make<arith::SIToFPOp>("", at.getF32Type(), index);
    rows = at.make<math::FmaOp>("bias_of_rows", splat(value), splat(place.factor), rows);
  }
  return at.make<tile::RampOp>("bias", type, rows, ramp.step);
}

FailureOr<Value> ForwardProgram::applyScore(NamingBuilder &at, Value products, Value firstRow,
                                            Value firstKey) {
  if (scaleFolds())
    return products;
  auto type = cast<RankedTensorType>(products.getType());
  Value scaled = at.make<arith::MulFOp>("scaled", products, splatConstant(at, type, float(scale)));
  SmallVector<Value> parts;
  for (const ScoreSum::Part &part : scoreSum.rest)
    parts.push_back(part.value);
  auto rest = applyRegion(at, type, parts, scaled, firstRow, firstKey);
  if (failed(rest))
    return failure();
  Value sum =
      scoreSum.rest.front().isSubtracted ? Value(at.make<arith::NegFOp>("", rest->front())) : rest->front();
  for (size_t i = 1; i != rest->size(); ++i)
    sum = scoreSum.rest[i].isSubtracted ? Value(at.make<arith::SubFOp>("", sum, (*rest)[i]))
                                        : Value(at.make<arith::AddFOp>("", sum, (*rest)[i]));
  if (scoreSum.linear.empty())
    return sum;
  return Value(at.make<arith::AddFOp>("biased", sum, rampOf(at, type, firstKey)));
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
  if (bounds.residual.empty() || !hides(kind))
    return scores;
  auto type = cast<RankedTensorType>(scores.getType());
  auto keeps = applyRegion(at, type, bounds.residual, Value(), firstRow, firstKey);
  if (failed(keeps))
    return failure();
  Value minusInf = splatConstant(at, type, -std::numeric_limits<float>::infinity());
  for (Value keep : *keeps)
    scores = at.make<arith::SelectOp>("kept", keep, scores, minusInf);
  return scores;
}

} // namespace attune
