//===- ArrayBounds.cpp - what an array holds, block by block --------------===//
#include "compiler/schedule/ArrayBounds.h"

#include "compiler/dialect/tile/KernelHeader.h"
#include "compiler/dialect/tile/Tile.h"

#include <fmt/format.h>

using namespace mlir;

namespace attune {

SizeExpr ArrayBounds::pairs() const {
  SizeExpr count = blocks();
  for (size_t i = 0; i != axes.size(); ++i)
    if (i != axis)
      count = count * axes[i];
  return count;
}

Argument ArrayBounds::argument(size_t number) const {
  Argument result;
  result.name = fmt::format("bounds{}", number);
  result.kind = Argument::Kind::Workspace;
  result.type = DType::I32;
  result.bytes = pairs() * 8;
  return result;
}

Value pairOf(NamingBuilder &at, ArrayRef<Value> place, ArrayRef<Value> extents) {
  Scalars s(at);
  Value pair = place.front();
  for (size_t i = 1; i != place.size(); ++i)
    pair = s.add(s.mul(pair, extents[i]), place[i]);
  return pair;
}

namespace {
class Builder {
public:
  Builder(OpBuilder &builder, Location where, ArrayRef<ArrayBounds> tables)
      : b(builder, where), tables(tables) {}

  void build(StringRef name, StringRef arch);

private:
  Value number(const std::string &name, SizeExpr value) {
    if (std::optional<int64_t> known = value.constant())
      return Scalars(b).constant(*known);
    Argument argument;
    argument.name = name;
    argument.kind = Argument::Kind::Scalar;
    argument.type = DType::I32;
    argument.value = std::move(value);
    return add(argument);
  }
  Value add(const Argument &argument) {
    return tile::addArgument(&kernel.getBody().front(), signature, argument, b.unnamed());
  }
  void makePair(NamingBuilder &at, size_t number, Value pair);

  NamingBuilder b;
  ArrayRef<ArrayBounds> tables;
  tile::KernelOp kernel;
  SmallVector<Attribute> signature;
  llvm::StringMap<Value> arrays;
  SmallVector<Value> workspaces, lengths;  ///< of each table: it, and its array's axis
  SmallVector<SmallVector<Value>> extents; ///< of each table: of each axis, blocks or indices
};
} // namespace

void Builder::makePair(NamingBuilder &at, size_t number, Value pair) {
  Scalars s(at);
  const ArrayBounds &table = tables[number];
  SmallVector<Value> place(table.axes.size());
  Value rest = pair;
  for (size_t i = table.axes.size(); --i != 0;) {
    Value above = s.div(rest, extents[number][i]);
    place[i] = s.sub(rest, s.mul(above, extents[number][i]));
    rest = above;
  }
  place[0] = rest;
  Value begin = s.mul(place[table.axis], table.block, "begin");
  Value end = s.min(s.add(begin, s.constant(table.block)), lengths[number], "end");
  auto extreme = [&]<typename Scan>(StringRef name, Scan *) -> Value {
    auto scan = at.make<Scan>(name, at.getI32Type(), begin, end);
    Block *body = at.createBlock(&scan.getBody());
    Value index = body->addArgument(at.getI32Type(), at.named("i"));
    NamingBuilder inside(OpBuilder::atBlockBegin(body), at.unnamed());
    at.setInsertionPointAfter(scan);
    SmallVector<Value> indices(place);
    indices[table.axis] = index;
    Value element =
        inside.make<tile::LoadValueOp>("element", at.getI32Type(), arrays.lookup(table.array), indices);
    inside.make<tile::YieldOp>("", element);
    return scan.getResult();
  };
  Value least = extreme("least", static_cast<tile::LeastOp *>(nullptr));
  Value largest = extreme("largest", static_cast<tile::LargestOp *>(nullptr));
  Value entry = s.mul(pair, 2, "entry");
  at.make<tile::StoreEntryOp>("", least, workspaces[number], entry);
  at.make<tile::StoreEntryOp>("", largest, workspaces[number], s.add(entry, s.constant(1)));
}

void Builder::build(StringRef name, StringRef arch) {
  SizeExpr grid = tables.front().pairs();
  for (const ArrayBounds &table : tables.drop_front())
    grid = grid + table.pairs();
  kernel = tile::KernelOp::create(b, b.unnamed(), (name + "_bounds").str(), b.getArrayAttr({}), arch,
                                  b.getI64IntegerAttr(1), 1, b.getStrArrayAttr({grid.text(), "1", "1"}),
                                  IntegerAttr(), DictionaryAttr());
  kernel->setDiscardableAttr(
      "notes",
      b.getStrArrayAttr({"The least and the largest element of each block of the arrays that a mask reads,",
                         "for the kernel that follows: a warp each."}));
  OpBuilder::InsertionGuard guard(b);
  b.createBlock(&kernel.getBody());
  SmallVector<Value> pairs;
  for (auto [i, table] : llvm::enumerate(tables)) {
    Value &array = arrays[table.array];
    if (!array) {
      Argument argument;
      argument.name = table.array;
      argument.type = table.type;
      argument.axes = table.axes;
      array = add(argument);
    }
    workspaces.push_back(add(table.argument(i)));
    lengths.push_back(number(fmt::format("length{}", i), table.axes[table.axis]));
    extents.emplace_back();
    for (auto [axis, extent] : llvm::enumerate(table.axes)) {
      bool isAxis = axis == table.axis;
      // Nothing is multiplied by the outermost axis' extent.
      extents.back().push_back(
          axis == 0 ? Value()
                    : number(isAxis ? fmt::format("blocks{}", i) : fmt::format("extent{}_{}", i, axis),
                             isAxis ? table.blocks() : extent));
    }
    pairs.push_back(number(fmt::format("pairs{}", i), table.pairs()));
  }
  kernel.setSignatureAttr(b.getArrayAttr(signature));

  Scalars s(b);
  Value pair = b.make<arith::IndexCastOp>("pair", b.getI32Type(),
                                          b.make<gpu::BlockIdOp>("", gpu::Dimension::x).getResult());
  if (tables.size() == 1)
    return makePair(b, 0, pair);
  for (size_t i = 0; i != tables.size(); ++i) {
    // Below 0 where it belongs to a table before this one.
    Value isHere = b.make<arith::CmpIOp>("", arith::CmpIPredicate::ult, pair, pairs[i]);
    auto branch = b.make<scf::IfOp>("", isHere, /*withElse=*/false);
    NamingBuilder inside(OpBuilder::atBlockBegin(&branch.getThenRegion().front()), b.unnamed());
    makePair(inside, i, pair);
    pair = s.sub(pair, pairs[i], "pair");
  }
}

void buildArrayBounds(OpBuilder &builder, Location where, StringRef name, StringRef arch,
                      ArrayRef<ArrayBounds> tables) {
  Builder(builder, where, tables).build(name, arch);
}

} // namespace attune
