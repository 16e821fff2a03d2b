//===- BlockMask.cpp - which blocks a mask keeps --------------------------===//
#include "compiler/schedule/BlockMask.h"

#include "compiler/spec/expr/BlockTruth.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

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
  RegionReader(expr::Expression &expression, SmallVector<std::string> &scalarNames)
      : expression(expression), scalarNames(scalarNames) {}

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
          auto place = llvm::find(scalarNames, scalar.getName());
          if (place == scalarNames.end())
            place = scalarNames.insert(place, scalar.getName().str());
          return expression.add({Op::Scalar, Type::I32, 0, uint32_t(place - scalarNames.begin()), {}});
        })
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

  expr::Expression &expression;
  SmallVector<std::string> &scalarNames;
  llvm::DenseMap<Value, Ref> known;
};

/// A domain of BlockTruth in which numbers are not looked at: what is certain of every block.
struct AnyBlock {
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
  std::optional<Ends> element(const expr::Node &) { return std::nullopt; }
  Ends query() { return {}; }
  Ends key() { return {}; }
};

/// A domain of BlockTruth whose numbers and flags are values of a kernel.
class BlockCode {
public:
  using Number = Value;
  using Flag = Value;
  using Ends = std::pair<Value, Value>;

  BlockCode(NamingBuilder &b, const BlockPlace &place, ArrayRef<std::string> scalarNames)
      : b(b), s(b), place(place), scalarNames(scalarNames) {}

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
  Value scalar(uint32_t symbol) { return place.scalars.lookup(scalarNames[symbol]); }
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
  std::optional<Ends> element(const expr::Node &) { return std::nullopt; }
  Ends query() { return {place.firstQuery, place.lastQuery}; }
  Ends key() { return {place.firstKey, place.lastKey}; }

private:
  NamingBuilder &b;
  Scalars s;
  const BlockPlace &place;
  ArrayRef<std::string> scalarNames;
};

} // namespace

BlockMask::BlockMask(ArrayRef<Value> conditions) {
  RegionReader reader(expression, scalarNames);
  std::optional<Ref> all;
  for (Value condition : conditions) {
    Ref next = reader.read(condition);
    all = all ? expression.make(Op::And, Type::Bool, {*all, next}) : next;
  }
  if (!all)
    return;
  expression.root = *all;
  AnyBlock any;
  auto truth = expr::BlockTruth(expression, any).of(expression.root);
  known = truth.may == AnyBlock::Flag::Varies || truth.must == AnyBlock::Flag::Varies;
}

BlockMask::Truth BlockMask::truth(NamingBuilder &at, const BlockPlace &place) const {
  BlockCode code(at, place, scalarNames);
  auto both = expr::BlockTruth(expression, code).of(expression.root);
  return {both.may, both.must};
}

} // namespace attune
