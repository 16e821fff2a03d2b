//===- BlockMask.cpp - which blocks a mask keeps --------------------------===//
#include "compiler/schedule/BlockMask.h"

#include "compiler/dialect/Elements.h"
#include "compiler/spec/expr/BlockTruth.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

#include <numeric>

using namespace mlir;

namespace attune {

using expr::Op;
using expr::Ref;
using expr::Type;
using expr::Variable;

namespace {

/// Values of a region as nodes of an expression; what it does not read is a value of which nothing is known.
class RegionReader {
public:
  RegionReader(expr::Expression &expression, BlockMask::Reads &reads)
      : expression(expression), reads(reads) {}

  Ref read(Value value) {
    if (auto found = known.find(value); found != known.end())
      return found->second;
    Type type = value.getType().isInteger(1) ? Type::Bool : value.getType().isF32() ? Type::F32 : Type::I32;
    Ref ref = make(value).value_or(unknown(type));
    known[value] = ref;
    return ref;
  }

private:
  Ref unknown(Type type) {
    Ref score = expression.variable(Variable::Score);
    return type == Type::F32   ? score
           : type == Type::I32 ? expression.make(Op::ToInt, Type::I32, {score})
                               : expression.make(Op::Less, Type::Bool, {score, score});
  }

  std::optional<Ref> argument(BlockArgument value) {
    static constexpr Variable fromEnd[] = {Variable::Kv, Variable::Q, Variable::H, Variable::B};
    unsigned place = value.getOwner()->getNumArguments() - 1 - value.getArgNumber();
    return place < 4 ? std::optional(expression.variable(fromEnd[place])) : std::nullopt;
  }

  std::optional<Ref> compare(arith::CmpIOp op) {
    using P = arith::CmpIPredicate;
    Ref x = read(op.getLhs()), y = read(op.getRhs());
    auto made = [&](Op what, Ref a, Ref c) { return expression.make(what, Type::Bool, {a, c}); };
    switch (op.getPredicate()) {
    case P::slt:
      return made(Op::Less, x, y);
    case P::sle:
      return made(Op::LessEqual, x, y);
    case P::sgt:
      return made(Op::Less, y, x);
    case P::sge:
      return made(Op::LessEqual, y, x);
    case P::eq:
      return made(Op::Equal, x, y);
    case P::ne:
      return made(Op::NotEqual, x, y);
    default:
      return std::nullopt;
    }
  }

  std::optional<Ref> make(Value value) {
    if (auto blockArgument = dyn_cast<BlockArgument>(value))
      return argument(blockArgument);
    APInt constant;
    bool isBool = value.getType().isInteger(1);
    if (matchPattern(value, m_ConstantInt(&constant)))
      return expression.constant(isBool ? Type::Bool : Type::I32,
                                 isBool ? double(constant.getZExtValue()) : double(constant.getSExtValue()));
    Operation *op = value.getDefiningOp();
    auto binary = [&](Op what) -> std::optional<Ref> {
      return expression.make(what, isBool ? Type::Bool : Type::I32,
                             {read(op->getOperand(0)), read(op->getOperand(1))});
    };
    return llvm::TypeSwitch<Operation *, std::optional<Ref>>(op)
        .Case([&](attn::LengthOp length) {
          return expression.variable(length.getAxis() == attn::Axis::Q ? Variable::LengthQ
                                                                       : Variable::LengthKv);
        })
        .Case([&](attn::KvHeadOp) { return expression.variable(Variable::Hkv); })
        .Case([&](attn::ScalarOp scalar) -> std::optional<Ref> {
          if (!scalar.getType().isIndex() || !scalar.getRange())
            return std::nullopt;
          auto place = llvm::find(reads.scalars, scalar.getName());
          if (place == reads.scalars.end())
            place = reads.scalars.insert(place, scalar.getName().str());
          return expression.add({Op::Scalar, Type::I32, 0, uint32_t(place - reads.scalars.begin()), {}});
        })
        .Case([&](attn::ElementOp element) { return read(element); })
        .Case<arith::IndexCastOp>([&](auto) { return read(op->getOperand(0)); })
        .Case<arith::AddIOp>([&](auto) { return binary(Op::Add); })
        .Case<arith::SubIOp>([&](auto) { return binary(Op::Subtract); })
        .Case<arith::MulIOp>([&](auto) { return binary(Op::Multiply); })
        .Case<arith::MinSIOp>([&](auto) { return binary(Op::Min); })
        .Case<arith::MaxSIOp>([&](auto) { return binary(Op::Max); })
        .Case<arith::ShLIOp>([&](auto) { return binary(Op::ShiftLeft); })
        .Case<arith::ShRSIOp>([&](auto) { return binary(Op::ShiftRight); })
        // Of numbers that are not negative, as whoever wrote the region must know.
        .Case<arith::DivUIOp>([&](auto) { return binary(Op::Divide); })
        .Case<arith::RemUIOp>([&](auto) { return binary(Op::Remainder); })
        .Case<arith::AndIOp>([&](auto) { return binary(isBool ? Op::And : Op::BitAnd); })
        .Case<arith::OrIOp>([&](auto) { return binary(isBool ? Op::Or : Op::BitOr); })
        .Case<arith::XOrIOp>([&](auto) { return binary(isBool ? Op::NotEqual : Op::BitXor); })
        .Case([&](arith::CmpIOp compared) { return compare(compared); })
        .Case<arith::ExtUIOp>(
            [&](auto) { return expression.make(Op::ToInt, Type::I32, {read(op->getOperand(0))}); })
        .Case([&](arith::SelectOp) {
          Ref condition = read(op->getOperand(0)), yes = read(op->getOperand(1)),
              no = read(op->getOperand(2));
          return expression.make(Op::Select, isBool ? Type::Bool : Type::I32, {condition, yes, no});
        })
        .Default([](Operation *) { return std::nullopt; });
  }

  std::optional<Ref> read(attn::ElementOp element) {
    if (!element.getType().isInteger(32))
      return std::nullopt;
    BlockMask::Array array{element.getName().str(), *elementOf(element.getElement()), {}};
    for (Attribute extent : element.getExtents())
      array.axes.push_back(*SizeExpr::parse(cast<StringAttr>(extent).str()));
    auto place = llvm::find_if(reads.arrays, [&](const auto &known) { return known.name == array.name; });
    uint32_t symbol = uint32_t(place - reads.arrays.begin());
    if (place == reads.arrays.end())
      reads.arrays.push_back(std::move(array));
    std::vector<Ref> indices;
    for (Value index : element.getIndices())
      indices.push_back(read(index));
    return expression.add({Op::Element, Type::I32, 0, symbol, std::move(indices)});
  }

  expr::Expression &expression;
  BlockMask::Reads &reads;
  llvm::DenseMap<Value, Ref> known;
};

/// How many values an i32 runs through in a block of queries and keys, and which number the first of them is
/// a multiple of (0: of any).
struct Span {
  int64_t count, multiple;
  bool isAligned() const { return multiple % count == 0; }
};

class Spans {
public:
  Spans(const expr::Expression &expression, int64_t blockQ, int64_t blockKv)
      : expression(expression), blockQ(blockQ), blockKv(blockKv) {}

  /// Nothing where the expression does not tell.
  std::optional<Span> of(Ref ref) const {
    const expr::Node &node = expression[ref];
    if (node.op == Op::Constant)
      return Span{1, std::abs(int64_t(node.number))};
    if (node.op == Op::Variable)
      return Variable(node.symbol) == Variable::Q       ? std::optional(Span{blockQ, blockQ})
             : Variable(node.symbol) == Variable::Kv    ? std::optional(Span{blockKv, blockKv})
             : Variable(node.symbol) == Variable::Score ? std::nullopt
                                                        : std::optional(Span{1, 1});
    SmallVector<Span> x;
    bool isOne = true;
    for (Ref operand : node.operands) {
      std::optional<Span> span = of(operand);
      if (!span)
        return std::nullopt;
      x.push_back(*span);
      isOne &= span->count == 1;
    }
    if (isOne)
      return Span{1, 1};
    std::optional<int64_t> second = constant(node.operands.back());
    switch (node.op) {
    case Op::Negate:
      return Span{x[0].count, 1};
    case Op::Add:
    case Op::Subtract: {
      Span sum = x[0];
      for (const Span &next : ArrayRef(x).drop_front())
        sum = {sum.count + next.count - 1, std::gcd(sum.multiple, next.multiple)};
      return node.op == Op::Add || x[1].count == 1 ? sum : Span{sum.count, 1};
    }
    case Op::Min:
    case Op::Max: {
      Span widest{1, 1};
      for (const Span &next : x)
        widest.count = std::max(widest.count, next.count);
      return widest;
    }
    case Op::Divide:
      return second && *second > 0 ? over(x[0], *second) : std::nullopt;
    case Op::ShiftRight:
      return second ? over(x[0], int64_t(1) << (*second & 31)) : std::nullopt;
    case Op::Remainder:
      return second && *second > 0 ? rest(x[0], *second) : std::nullopt;
    case Op::BitAnd:
      return second && *second > 0 && llvm::isPowerOf2_64(uint64_t(*second) + 1) ? rest(x[0], *second + 1)
                                                                                 : std::nullopt;
    default:
      return std::nullopt;
    }
  }

private:
  std::optional<int64_t> constant(Ref ref) const {
    const expr::Node &node = expression[ref];
    return node.op == Op::Constant ? std::optional(int64_t(node.number)) : std::nullopt;
  }
  static std::optional<Span> over(Span x, int64_t divisor) {
    if (x.multiple % divisor == 0)
      return Span{(x.count + divisor - 1) / divisor, x.multiple / divisor};
    return Span{(x.count - 1 + divisor - 1) / divisor + 1, 1};
  }
  static std::optional<Span> rest(Span x, int64_t divisor) {
    return x.multiple % divisor == 0 && x.count <= divisor ? Span{x.count, 0} : Span{divisor, 0};
  }

  const expr::Expression &expression;
  int64_t blockQ, blockKv;
};

std::vector<uint32_t> keyOf(const expr::Node &element) {
  std::vector<uint32_t> key = {element.symbol};
  key.insert(key.end(), element.operands.begin(), element.operands.end());
  return key;
}

/// A domain of BlockTruth in which numbers are not looked at: what is certain of every block. Finds out which
/// elements of arrays can be known.
struct AnyBlock {
  const Spans &spans;
  BlockMask::Reads &reads;

  struct Number {};
  enum class Flag { No, Yes, Varies };
  using Ends = std::pair<Number, Number>;

  Number number(int64_t) { return {}; }
  Number variable(Variable) { return {}; }
  Number scalar(uint32_t) { return {}; }
  Number add(Number, Number) { return {}; }
  Number subtract(Number, Number) { return {}; }
  Number multiply(Number, int64_t) { return {}; }
  Number least(Number, Number) { return {}; }
  Number most(Number, Number) { return {}; }
  Number divide(Number, int64_t) { return {}; }
  Number choose(Flag, Number, Number) { return {}; }
  Flag flag(bool x) { return x ? Flag::Yes : Flag::No; }
  Flag notAbove(Number, Number) { return Flag::Varies; }
  Flag both(Flag x, Flag y) {
    return x == Flag::No || y == Flag::No ? Flag::No : x == Flag::Yes ? y : y == Flag::Yes ? x : Flag::Varies;
  }
  Flag either(Flag x, Flag y) { return invert(both(invert(x), invert(y))); }
  Flag invert(Flag x) { return x == Flag::Varies ? x : x == Flag::Yes ? Flag::No : Flag::Yes; }
  std::optional<Ends> element(const expr::Node &node, const std::vector<std::optional<Ends>> &indices) {
    const BlockMask::Array &array = reads.arrays[node.symbol];
    ArrayBounds table{array.name, array.type, array.axes, 0, 0, false};
    for (auto [axis, index] : llvm::enumerate(indices)) {
      std::optional<Span> span = spans.of(node.operands[axis]);
      // Along two axes there are as many blocks as pairs of them.
      if (!index || !span || (span->count > 1 && table.block))
        return std::nullopt;
      if (span->count > 1) {
        table.axis = axis;
        table.block = span->count;
        table.isAligned = span->isAligned();
      }
    }
    std::optional<size_t> &place = reads.tableOf[keyOf(node)];
    if (table.block) {
      auto known = llvm::find(reads.tables, table);
      place = size_t(known - reads.tables.begin());
      if (known == reads.tables.end())
        reads.tables.push_back(std::move(table));
    }
    return Ends();
  }
  Ends query() { return {}; }
  Ends key() { return {}; }
};

/// A domain of BlockTruth whose numbers and flags are values of a kernel.
class BlockCode {
public:
  using Number = Value;
  using Flag = Value;
  using Ends = std::pair<Value, Value>;

  BlockCode(NamingBuilder &b, const BlockPlace &place, const BlockMask::Reads &reads)
      : b(b), s(b), place(place), reads(reads) {}

  Value number(int64_t x) { return s.constant(x); }
  Value variable(Variable which) {
    switch (which) {
    case Variable::B:
      return place.batch;
    case Variable::H:
      return place.head;
    case Variable::Hkv:
      return place.kvHead;
    case Variable::LengthQ:
      return place.lengthQ;
    default:
      return place.lengthKv;
    }
  }
  Value scalar(uint32_t symbol) { return place.scalars.lookup(reads.scalars[symbol]); }
  Value add(Value x, Value y) { return s.add(x, y); }
  Value subtract(Value x, Value y) { return s.sub(x, y); }
  Value multiply(Value x, int64_t y) { return y == 1 ? x : s.mul(x, y); }
  Value least(Value x, Value y) { return s.min(x, y); }
  Value most(Value x, Value y) { return s.max(x, y); }
  Value divide(Value x, int64_t y) {
    if (y == 1)
      return x;
    if (llvm::isPowerOf2_64(uint64_t(y)))
      return b.make<arith::ShRSIOp>("", x, s.constant(llvm::Log2_64(uint64_t(y))));
    // Rounded down: below 0 by way of what is above it.
    Value isNegative = s.less(x, s.constant(0)), minusOne = s.constant(-1);
    Value mirrored = b.make<arith::XOrIOp>("", x, minusOne);
    Value quotient = s.div(s.select(isNegative, mirrored, x), y);
    return s.select(isNegative, b.make<arith::XOrIOp>("", quotient, minusOne), quotient);
  }
  Value choose(Value condition, Value x, Value y) { return s.select(condition, x, y); }
  Value flag(bool x) { return b.make<arith::ConstantOp>("", b.getBoolAttr(x)); }
  Value notAbove(Value x, Value y) { return b.make<arith::CmpIOp>("", arith::CmpIPredicate::sle, x, y); }
  Value both(Value x, Value y) {
    if (matchPattern(x, m_Zero()) || matchPattern(y, m_One()))
      return x;
    if (matchPattern(y, m_Zero()) || matchPattern(x, m_One()))
      return y;
    return b.make<arith::AndIOp>("", x, y);
  }
  Value either(Value x, Value y) {
    if (matchPattern(x, m_One()) || matchPattern(y, m_Zero()))
      return x;
    if (matchPattern(y, m_One()) || matchPattern(x, m_Zero()))
      return y;
    return b.make<arith::OrIOp>("", x, y);
  }
  Value invert(Value x) {
    if (matchPattern(x, m_One()) || matchPattern(x, m_Zero()))
      return flag(matchPattern(x, m_Zero()));
    return b.make<arith::XOrIOp>("", x, flag(true));
  }
  std::optional<Ends> element(const expr::Node &node, const std::vector<std::optional<Ends>> &indices) {
    auto entry = reads.tableOf.find(keyOf(node));
    if (entry == reads.tableOf.end())
      return std::nullopt;
    const BlockMask::Array &array = reads.arrays[node.symbol];
    const ArrayBounds *table = entry->second ? &reads.tables[*entry->second] : nullptr;
    SmallVector<Value> at, last;
    Value sure = flag(true);
    for (auto [axis, index] : llvm::enumerate(indices)) {
      Value first = cut(index->first, array.axes[axis]);
      if (table && axis == table->axis) {
        at.push_back(s.div(first, table->block));
        last.push_back(s.div(cut(index->second, array.axes[axis]), table->block));
        continue;
      }
      // One index for the whole block, as far as its ends tell.
      if (index->first != index->second)
        sure = both(sure, notAbove(index->second, index->first));
      at.push_back(first);
      last.push_back(first);
    }
    Ends ends;
    if (!table) {
      ends.first = ends.second = place.element(b, array.name, at);
    } else {
      ends = {place.entry(b, *entry->second, at, false), place.entry(b, *entry->second, at, true)};
      // As many values as a block has lie in two blocks at most.
      if (!table->isAligned) {
        ends = {least(ends.first, place.entry(b, *entry->second, last, false)),
                most(ends.second, place.entry(b, *entry->second, last, true))};
        sure = both(sure, notAbove(last[table->axis], s.add(at[table->axis], s.constant(1))));
      }
    }
    if (matchPattern(sure, m_One()))
      return ends;
    return Ends{choose(sure, ends.first, s.constant(INT32_MIN)),
                choose(sure, ends.second, s.constant(INT32_MAX))};
  }
  Ends query() { return {place.firstQuery, place.lastQuery}; }
  Ends key() { return {place.firstKey, place.lastKey}; }

private:
  /// An index beyond its axis reads the nearest element.
  Value cut(Value index, const SizeExpr &axis) {
    Value extent = place.extent(axis);
    return extent ? most(least(index, s.sub(extent, s.constant(1))), s.constant(0)) : index;
  }

  NamingBuilder &b;
  Scalars s;
  const BlockPlace &place;
  const BlockMask::Reads &reads;
};

} // namespace

BlockMask::BlockMask(ArrayRef<Value> conditions, int64_t blockQ, int64_t blockKv) {
  RegionReader reader(expression, reads);
  std::optional<Ref> all;
  for (Value condition : conditions) {
    Ref next = reader.read(condition);
    all = all ? expression.make(Op::And, Type::Bool, {*all, next}) : next;
  }
  if (!all)
    return;
  expression.root = *all;
  Spans spans(expression, blockQ, blockKv);
  AnyBlock any{spans, reads};
  auto truth = expr::BlockTruth(expression, any).of(expression.root);
  known = truth.may == AnyBlock::Flag::Varies || truth.must == AnyBlock::Flag::Varies;
  if (!known)
    reads.tables.clear();
}

BlockMask::Truth BlockMask::truth(NamingBuilder &at, const BlockPlace &place) const {
  BlockCode code(at, place, reads);
  auto both = expr::BlockTruth(expression, code).of(expression.root);
  return {both.may, both.must};
}

} // namespace attune
