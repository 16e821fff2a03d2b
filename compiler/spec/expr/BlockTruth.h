//===- BlockTruth.h - what a mask keeps of a block --------------*- C++ -*-===//
//
// Whether a condition holds for none, for all or for some of a block of queries and keys, by interval
// arithmetic over the tree. It is written once, over a domain: of numbers, for whoever counts blocks and for
// tests against brute force; of operations that a kernel executes, for whoever builds one.
//
// A Domain has types Number (an i32) and Flag and these operations:
//   Number number(int64_t), variable(Variable), scalar(symbol), add, subtract, multiply (by an int64_t),
//   least, most, divide (by a positive int64_t, rounded down), choose(Flag, Number, Number)
//   Flag flag(bool), notAbove(Number, Number), both, either, invert
//   optional<Ends> element(node, vector<optional<Ends>>): the least and the largest of what a captured
//   array's element can be where its indices lie between these; nothing where that is not known Ends query(),
//   key(): the first and the last of the block, below the lengths; Ends is pair<Number, Number>
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SPEC_EXPR_BLOCKTRUTH_H
#define ATTUNE_COMPILER_SPEC_EXPR_BLOCKTRUTH_H

#include "compiler/spec/expr/Expression.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace attune::expr {

template <typename Domain> class BlockTruth {
public:
  using Number = typename Domain::Number;
  using Flag = typename Domain::Flag;

  /// Of the pairs of a block: `may` unless it holds for none, `must` only if it holds for all.
  struct Truth {
    Flag may, must;
  };

  BlockTruth(const Expression &expression, Domain &domain)
      : expression(expression), d(domain), truths(expression.size()), ranges(expression.size()),
        known(expression.size()) {}

  Truth of(Ref ref) {
    Truth found = truthOf(ref);
    if (!assumed)
      return found;
    return {d.either(found.may, d.invert(*assumed)), d.both(found.must, *assumed)};
  }

private:
  /// What a whole number lies between, whatever the block.
  struct Reach {
    double low, high;
  };
  /// And what it lies between in this one. Where 32 bits might not hold an end, nothing is known.
  struct Range {
    Number least, most;
    Reach reach;
  };
  using MaybeRange = std::optional<Range>;
  static constexpr Reach kPositions{0, (1 << 30) - 1}, kSizes{0, 1 << 30}, kScalars{-(1 << 30), 1 << 30},
      kUsual{-(1 << 29), 1 << 29}, kAll{-2147483648.0, 2147483647.0};

  Truth truthOf(Ref ref) {
    const Node &node = expression[ref];
    if (!truths[ref])
      truths[ref] = node.type == Type::Bool ? truth(node) : unknown();
    return *truths[ref];
  }

  Truth unknown() { return {d.flag(true), d.flag(false)}; }
  Truth inverse(const Truth &x) { return {d.invert(x.must), d.invert(x.may)}; }
  std::optional<int64_t> constant(Ref ref) const {
    const Node &node = expression[ref];
    return node.op == Op::Constant ? std::optional(int64_t(node.number)) : std::nullopt;
  }
  static bool fits(Reach reach) { return reach.low >= kAll.low && reach.high <= kAll.high; }
  static Reach join(Reach a, Reach b) { return {std::min(a.low, b.low), std::max(a.high, b.high)}; }

  MaybeRange rangeOf(Ref ref) {
    if (!known[ref]) {
      known[ref] = true;
      if (expression[ref].type == Type::I32)
        ranges[ref] = range(expression[ref]);
    }
    return ranges[ref];
  }

  /// The same range, taken to lie within kUsual / `share`, as elements of arrays nearly always do, so that
  /// sums and products fit: whether it does is asked of the block, and where it does not, nothing is known of
  /// the block.
  Range within(const Range &x, int64_t share = 1) {
    Reach usual{std::ceil(kUsual.low / double(share)), std::floor(kUsual.high / double(share))};
    if (x.reach.low >= usual.low && x.reach.high <= usual.high)
      return x;
    Flag holds = d.both(d.notAbove(d.number(int64_t(usual.low)), x.least),
                        d.notAbove(x.most, d.number(int64_t(usual.high))));
    assumed = assumed ? d.both(*assumed, holds) : holds;
    return {x.least, x.most, {std::max(x.reach.low, usual.low), std::min(x.reach.high, usual.high)}};
  }
  MaybeRange sum(const Range &x, const Range &y);
  MaybeRange difference(const Range &x, const Range &y);
  MaybeRange range(const Node &node);
  std::optional<std::pair<Number, Number>> element(const Node &node) {
    std::vector<std::optional<std::pair<Number, Number>>> indices;
    for (Ref operand : node.operands) {
      MaybeRange index = rangeOf(operand);
      indices.push_back(index ? std::optional(std::pair(index->least, index->most)) : std::nullopt);
    }
    return d.element(node, indices);
  }
  MaybeRange remainder(const Range &x, int64_t divisor);
  MaybeRange times(const MaybeRange &x, int64_t factor);
  MaybeRange over(const MaybeRange &x, int64_t divisor);
  MaybeRange chosen(const Node &node);
  MaybeRange extreme(const Node &node);
  Truth truth(const Node &node);
  Truth comparison(const Node &node);
  Truth equality(Ref a, Ref b);

  const Expression &expression;
  Domain &d;
  std::vector<std::optional<Truth>> truths;
  std::vector<MaybeRange> ranges;
  std::vector<bool> known;
  std::optional<Flag> assumed; ///< what must hold of the block for the rest to be true
};

template <typename Domain> auto BlockTruth<Domain>::sum(const Range &x, const Range &y) -> MaybeRange {
  Reach reach{x.reach.low + y.reach.low, x.reach.high + y.reach.high};
  return fits(reach) ? MaybeRange(Range{d.add(x.least, y.least), d.add(x.most, y.most), reach})
                     : std::nullopt;
}

template <typename Domain> auto BlockTruth<Domain>::difference(const Range &x, const Range &y) -> MaybeRange {
  Reach reach{x.reach.low - y.reach.high, x.reach.high - y.reach.low};
  return fits(reach) ? MaybeRange(Range{d.subtract(x.least, y.most), d.subtract(x.most, y.least), reach})
                     : std::nullopt;
}

template <typename Domain> auto BlockTruth<Domain>::times(const MaybeRange &x, int64_t factor) -> MaybeRange {
  if (!x)
    return std::nullopt;
  double low = x->reach.low * double(factor), high = x->reach.high * double(factor);
  Reach reach{std::min(low, high), std::max(low, high)};
  if (!fits(reach))
    return std::abs(factor) > kUsual.high ? std::nullopt : times(within(*x, std::abs(factor)), factor);
  Number one = d.multiply(x->least, factor), other = d.multiply(x->most, factor);
  return factor < 0 ? Range{other, one, reach} : Range{one, other, reach};
}

template <typename Domain> auto BlockTruth<Domain>::over(const MaybeRange &x, int64_t divisor) -> MaybeRange {
  if (!x || divisor < 1)
    return std::nullopt;
  Reach reach{std::floor(x->reach.low / double(divisor)), std::floor(x->reach.high / double(divisor))};
  return Range{d.divide(x->least, divisor), d.divide(x->most, divisor), reach};
}

/// Where both ends have one quotient the remainders grow with the numbers; else all of them may occur.
template <typename Domain> auto BlockTruth<Domain>::remainder(const Range &x, int64_t divisor) -> MaybeRange {
  Number low = d.divide(x.least, divisor), high = d.divide(x.most, divisor);
  Flag same = d.notAbove(high, low);
  Number begin = d.multiply(low, divisor);
  return Range{d.choose(same, d.subtract(x.least, begin), d.number(0)),
               d.choose(same, d.subtract(x.most, begin), d.number(divisor - 1)),
               Reach{0, double(divisor - 1)}};
}

template <typename Domain> auto BlockTruth<Domain>::chosen(const Node &node) -> MaybeRange {
  MaybeRange a = rangeOf(node.operands[1]), b = rangeOf(node.operands[2]);
  if (!a || !b)
    return std::nullopt;
  Truth condition = truthOf(node.operands[0]);
  auto end = [&](Number yes, Number no, Number widest) {
    return d.choose(condition.must, yes, d.choose(condition.may, widest, no));
  };
  return Range{end(a->least, b->least, d.least(a->least, b->least)),
               end(a->most, b->most, d.most(a->most, b->most)), join(a->reach, b->reach)};
}

template <typename Domain> auto BlockTruth<Domain>::extreme(const Node &node) -> MaybeRange {
  MaybeRange result = rangeOf(node.operands[0]);
  for (size_t i = 1; result && i < node.operands.size(); ++i) {
    MaybeRange next = rangeOf(node.operands[i]);
    if (!next)
      return std::nullopt;
    bool isMin = node.op == Op::Min;
    result = Range{isMin ? d.least(result->least, next->least) : d.most(result->least, next->least),
                   isMin ? d.least(result->most, next->most) : d.most(result->most, next->most),
                   join(result->reach, next->reach)};
  }
  return result;
}

template <typename Domain> auto BlockTruth<Domain>::range(const Node &node) -> MaybeRange {
  auto exact = [](Number x, Reach reach) { return Range{x, x, reach}; };
  auto x = [&] { return rangeOf(node.operands[0]); };
  switch (node.op) {
  case Op::Constant:
    return exact(d.number(int64_t(node.number)), Reach{node.number, node.number});
  case Op::Scalar:
    return exact(d.scalar(node.symbol), kScalars);
  case Op::Variable: {
    if (Variable(node.symbol) == Variable::Q || Variable(node.symbol) == Variable::Kv) {
      auto [first, last] = Variable(node.symbol) == Variable::Q ? d.query() : d.key();
      return Range{first, last, kPositions};
    }
    return exact(d.variable(Variable(node.symbol)), kSizes);
  }
  case Op::Element:
    if (auto ends = element(node))
      return Range{ends->first, ends->second, kAll};
    return std::nullopt;
  case Op::Negate:
    return times(x(), -1);
  case Op::Complement: // -1 - x, which has as many ends as there are numbers
    if (MaybeRange a = x())
      return Range{d.subtract(d.number(-1), a->most), d.subtract(d.number(-1), a->least),
                   Reach{-1 - a->reach.high, -1 - a->reach.low}};
    return std::nullopt;
  case Op::Add: {
    MaybeRange all = x();
    for (size_t i = 1; all && i < node.operands.size(); ++i) {
      MaybeRange next = rangeOf(node.operands[i]);
      if (!next)
        return std::nullopt;
      MaybeRange exact = sum(*all, *next);
      all = exact ? exact : sum(within(*all), within(*next));
    }
    return all;
  }
  case Op::Subtract: {
    MaybeRange a = x(), b = rangeOf(node.operands[1]);
    if (!a || !b)
      return std::nullopt;
    MaybeRange exact = difference(*a, *b);
    return exact ? exact : difference(within(*a), within(*b));
  }
  case Op::Multiply: {
    // Products of constants are folded: more than one other factor is left alone.
    if (node.operands.size() != 2)
      return std::nullopt;
    for (size_t i : {0, 1})
      if (std::optional<int64_t> factor = constant(node.operands[i]))
        return times(rangeOf(node.operands[1 - i]), *factor);
    return std::nullopt;
  }
  case Op::ShiftLeft:
    if (std::optional<int64_t> bits = constant(node.operands[1]))
      return times(x(), int64_t(1) << (*bits & 31));
    return std::nullopt;
  case Op::Divide:
    if (std::optional<int64_t> divisor = constant(node.operands[1]))
      return over(x(), *divisor);
    return std::nullopt;
  case Op::ShiftRight:
    if (std::optional<int64_t> bits = constant(node.operands[1]); bits && (*bits & 31) < 31)
      return over(x(), int64_t(1) << (*bits & 31));
    return std::nullopt;
  case Op::Remainder:
    if (std::optional<int64_t> divisor = constant(node.operands[1]); divisor && *divisor > 0)
      if (MaybeRange a = x())
        return remainder(*a, *divisor);
    return std::nullopt;
  case Op::BitAnd:
    // Bits below a power of two are a remainder.
    if (node.operands.size() == 2)
      for (size_t i : {0, 1})
        if (std::optional<int64_t> mask = constant(node.operands[i]);
            mask && *mask > 0 && std::has_single_bit(uint64_t(*mask) + 1))
          if (MaybeRange a = rangeOf(node.operands[1 - i]))
            return remainder(*a, *mask + 1);
    return std::nullopt;
  case Op::Abs:
    if (MaybeRange a = x(), minus = times(a, -1); a && minus)
      return Range{d.most(d.number(0), d.most(a->least, minus->least)), d.most(a->most, minus->most),
                   Reach{0, std::max(a->reach.high, minus->reach.high)}};
    return std::nullopt;
  case Op::Min:
  case Op::Max:
    return extreme(node);
  case Op::Select:
    return chosen(node);
  case Op::ToInt:
    if (expression[node.operands[0]].type == Type::Bool) {
      Truth t = truthOf(node.operands[0]);
      return Range{d.choose(t.must, d.number(1), d.number(0)), d.choose(t.may, d.number(1), d.number(0)),
                   Reach{0, 1}};
    }
    return std::nullopt;
  default:
    return std::nullopt;
  }
}

template <typename Domain> auto BlockTruth<Domain>::equality(Ref a, Ref b) -> Truth {
  if (expression[a].type == Type::Bool) {
    Truth x = truthOf(a), y = truthOf(b);
    Flag differ = d.either(d.both(x.must, d.invert(y.may)), d.both(y.must, d.invert(x.may)));
    return {d.invert(differ), d.either(d.both(x.must, y.must), d.invert(d.either(x.may, y.may)))};
  }
  MaybeRange x = rangeOf(a), y = rangeOf(b);
  if (!x || !y)
    return unknown();
  return {d.both(d.notAbove(x->least, y->most), d.notAbove(y->least, x->most)),
          d.both(d.notAbove(x->most, y->least), d.notAbove(y->most, x->least))};
}

template <typename Domain> auto BlockTruth<Domain>::comparison(const Node &node) -> Truth {
  MaybeRange x = rangeOf(node.operands[0]), y = rangeOf(node.operands[1]);
  if (!x || !y)
    return unknown();
  if (node.op == Op::LessEqual)
    return {d.notAbove(x->least, y->most), d.notAbove(x->most, y->least)};
  return {d.invert(d.notAbove(y->most, x->least)), d.invert(d.notAbove(y->least, x->most))};
}

template <typename Domain> auto BlockTruth<Domain>::truth(const Node &node) -> Truth {
  switch (node.op) {
  case Op::Constant:
    return {d.flag(node.number != 0), d.flag(node.number != 0)};
  case Op::Element: // a byte that is not 0
    if (auto ends = element(node)) {
      Flag none = d.notAbove(ends->second, d.number(0)), least = d.notAbove(d.number(1), ends->first);
      return {d.invert(none), least};
    }
    return unknown();
  case Op::Not:
    return inverse(truthOf(node.operands[0]));
  case Op::And:
  case Op::Or: {
    Truth all = truthOf(node.operands[0]);
    for (size_t i = 1; i < node.operands.size(); ++i) {
      Truth next = truthOf(node.operands[i]);
      all = node.op == Op::And ? Truth{d.both(all.may, next.may), d.both(all.must, next.must)}
                               : Truth{d.either(all.may, next.may), d.either(all.must, next.must)};
    }
    return all;
  }
  case Op::Less:
  case Op::LessEqual:
    return comparison(node);
  case Op::Equal:
    return equality(node.operands[0], node.operands[1]);
  case Op::NotEqual:
    return inverse(equality(node.operands[0], node.operands[1]));
  case Op::Select: {
    Truth c = truthOf(node.operands[0]), a = truthOf(node.operands[1]), b = truthOf(node.operands[2]);
    return {
        d.either(d.both(c.may, a.may), d.both(d.invert(c.must), b.may)),
        d.either(d.both(a.must, b.must), d.either(d.both(c.must, a.must), d.both(d.invert(c.may), b.must)))};
  }
  default:
    return unknown();
  }
}

} // namespace attune::expr

#endif // ATTUNE_COMPILER_SPEC_EXPR_BLOCKTRUTH_H
