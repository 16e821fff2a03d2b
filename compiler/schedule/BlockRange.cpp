//===- BlockRange.cpp - which blocks are visited --------------------------===//
#include "compiler/schedule/BlockRange.h"

using namespace mlir;

namespace attune {

Value offsetOf(NamingBuilder &b, const LinearIndex &index, Value lengthQ, Value lengthKv,
               const llvm::StringMap<Value> &scalars) {
  Scalars s(b);
  Value offset = s.constant(index.constant);
  auto accumulate = [&](int64_t factor, Value value) {
    if (factor == 1)
      offset = s.add(offset, value);
    else if (factor == -1)
      offset = s.sub(offset, value);
    else if (factor != 0)
      offset = s.add(offset, s.mul(value, factor));
  };
  accumulate(index.lengthKv, lengthKv);
  accumulate(index.lengthQ, lengthQ);
  for (auto [name, factor] : index.scalars)
    accumulate(factor, scalars.lookup(name));
  return offset;
}

MaskLimits MaskLimits::of(NamingBuilder &b, const MaskBounds &bounds, Value lengthQ, Value lengthKv,
                          const llvm::StringMap<Value> &scalars) {
  Scalars s(b);
  MaskLimits limits;
  limits.last = s.sub(lengthKv, s.constant(1), "last_key");
  for (const LinearIndex &bound : bounds.last) {
    Value offset = offsetOf(b, bound, lengthQ, lengthKv, scalars);
    if (bound.q == 0)
      limits.last = s.min(limits.last, offset, "last");
    else
      limits.lastShift = limits.lastShift ? s.min(limits.lastShift, offset, "last_shift") : offset;
  }
  for (const LinearIndex &bound : bounds.first) {
    Value offset = offsetOf(b, bound, lengthQ, lengthKv, scalars);
    Value &slot = bound.q == 0 ? limits.first : limits.firstShift;
    slot = slot ? s.max(slot, offset) : offset;
  }
  return limits;
}

BlockRange BlockRange::ofKeys(NamingBuilder &b, const MaskLimits &limits, Value firstRow, Value lastRow,
                              int64_t block) {
  Scalars s(b);
  Value zero = s.constant(0), one = s.constant(1);
  // Limits stand still or grow with the row, so the corners of the tile decide. Keys [begin, stop) are seen
  // by some row; keys [wholeBegin, wholeStop) by every row.
  Value stop = s.add(limits.last, one), wholeStop = stop, begin = zero, wholeBegin = zero;
  if (limits.lastShift) {
    Value pastShift = s.add(limits.lastShift, one);
    stop = s.min(stop, s.add(lastRow, pastShift));
    wholeStop = s.min(wholeStop, s.add(firstRow, pastShift));
  }
  if (limits.first)
    begin = wholeBegin = s.max(begin, limits.first);
  if (limits.firstShift) {
    begin = s.max(begin, s.add(firstRow, limits.firstShift));
    wholeBegin = s.max(wholeBegin, s.add(lastRow, limits.firstShift));
  }
  stop = s.max(stop, zero);
  wholeStop = s.max(wholeStop, zero);
  Value above = s.constant(block - 1);
  BlockRange range;
  range.end = s.div(s.add(stop, above), block, "end");
  range.begin = limits.hasFirst() ? s.min(s.div(begin, block), range.end, "begin_block") : zero;
  range.wholeEnd = s.min(s.div(wholeStop, block), range.end, "whole_stop");
  if (!limits.hasFirst()) {
    range.wholeBegin = zero;
    return range;
  }
  range.wholeEnd = s.max(range.wholeEnd, range.begin, "whole_stop");
  range.wholeBegin =
      s.min(s.max(s.div(s.add(wholeBegin, above), block), range.begin), range.wholeEnd, "whole_begin");
  return range;
}

BlockRange BlockRange::ofQueries(NamingBuilder &b, const MaskLimits &limits, Value firstKey, Value lastKey,
                                 Value lengthQ, int64_t block) {
  Scalars s(b);
  Value zero = s.constant(0), one = s.constant(1);
  // Row r sees key c iff c - lastShift <= r <= c - firstShift, and c lies between the limits that stand
  // still.
  Value begin = zero, stop = lengthQ, wholeBegin = zero, wholeStop = lengthQ;
  if (limits.lastShift) {
    begin = s.max(begin, s.sub(firstKey, limits.lastShift));
    wholeBegin = s.max(wholeBegin, s.sub(lastKey, limits.lastShift));
  }
  if (limits.firstShift) {
    stop = s.min(stop, s.add(s.sub(lastKey, limits.firstShift), one));
    wholeStop = s.min(wholeStop, s.add(s.sub(firstKey, limits.firstShift), one));
  }
  auto none = [&](Value condition, Value &end) { end = s.select(condition, zero, end); };
  none(s.less(limits.last, firstKey), stop);
  none(s.less(limits.last, lastKey), wholeStop);
  if (limits.first) {
    none(s.less(lastKey, limits.first), stop);
    none(s.less(firstKey, limits.first), wholeStop);
  }
  stop = s.max(stop, zero);
  wholeStop = s.max(wholeStop, zero);
  Value above = s.constant(block - 1);
  BlockRange range;
  range.end = s.div(s.add(stop, above), block, "end");
  range.begin = s.min(s.div(begin, block), range.end, "begin_block");
  // The last block may be short: it is whole if all rows that there are see every key.
  Value shortEnd = s.div(s.add(wholeStop, above), block);
  Value reachesEnd = b.make<arith::CmpIOp>("", arith::CmpIPredicate::eq, wholeStop, lengthQ);
  range.wholeEnd = s.select(reachesEnd, shortEnd, s.div(wholeStop, block));
  range.wholeEnd = s.max(s.min(range.wholeEnd, range.end), range.begin, "whole_end");
  range.wholeBegin =
      s.min(s.max(s.div(s.add(wholeBegin, above), block), range.begin), range.wholeEnd, "whole_begin");
  return range;
}

BlockRange BlockRange::piece(NamingBuilder &b, Value part, Value parts) const {
  Scalars s(b);
  Value count = s.sub(end, begin);
  Value each = s.div(s.add(count, s.sub(parts, s.constant(1))), parts, "each");
  BlockRange range;
  range.begin = s.min(s.add(begin, s.mul(part, each)), end, "begin_block");
  range.end = s.min(s.add(range.begin, each), end, "end");
  range.wholeBegin = s.min(s.max(wholeBegin, range.begin), range.end, "whole_begin");
  range.wholeEnd = s.max(s.min(wholeEnd, range.end), range.wholeBegin, "whole_end");
  return range;
}

} // namespace attune
