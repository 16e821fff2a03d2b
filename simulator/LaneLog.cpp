//===- LaneLog.cpp - what the lanes of a warp did in shared memory in a segment -===//
#include "simulator/Exec.h"

#include <algorithm>

namespace attune::sim {

AccessShape shapeOf(const uint64_t *address, uint32_t mask) {
  uint32_t first = uint32_t(__builtin_ctz(mask)), rest = mask & (mask - 1);
  if (!rest)
    return {true, int64_t(address[first]), 0};
  uint32_t second = uint32_t(__builtin_ctz(rest));
  int64_t stride = int64_t(address[second] - address[first]) / int64_t(second - first);
  int64_t base = int64_t(address[first]) - stride * first;
  for (; rest; rest &= rest - 1) {
    uint32_t l = uint32_t(__builtin_ctz(rest));
    if (int64_t(address[l]) != base + stride * l)
      return {};
  }
  return {true, base, stride};
}

void LaneLog::clear() {
  entries.clear();
  irregular.clear();
  first = 0;
  segment = 0;
}

void LaneLog::begin(uint32_t now, uint32_t orderedBelow) {
  if (segment == now)
    return;
  // Older accesses only serve to name the lane in a race between warps.
  constexpr size_t kOld = 64;
  if (segment < orderedBelow || entries.size() > kOld)
    clear();
  segment = now;
  first = entries.size();
  exact = false;
  low[0] = low[1] = ~0u;
  high[0] = high[1] = 0;
}

void LaneLog::offsetsOf(const Entry &e, uint64_t *offset) const {
  for (uint32_t l = 0; l < 32; ++l)
    offset[l] = e.shape.regular ? uint64_t(e.shape.base + e.shape.stride * l) : irregular[e.offsets][l];
}

/// Whether no lane of one touches what another lane of the other does. Of a write no two lanes do.
bool LaneLog::apart(const Entry &a, const Entry &b) const {
  if (a.high <= b.low || b.high <= a.low)
    return true;
  if (a.bytes != b.bytes)
    return false;
  bool single = a.mask == b.mask && !(a.mask & (a.mask - 1));
  if (a.shape.regular && b.shape.regular) {
    int64_t stride = std::abs(a.shape.stride), distance = b.shape.base - a.shape.base;
    if (single && a.low == b.low)
      return true;
    if (a.shape.stride != b.shape.stride || !stride)
      return false;
    distance = (distance % stride + stride) % stride;
    if (distance)
      return distance >= a.bytes && stride - distance >= a.bytes;
    return a.shape.base == b.shape.base && stride >= a.bytes;
  }
  return !a.shape.regular && !b.shape.regular && a.mask == b.mask &&
         irregular[a.offsets] == irregular[b.offsets];
}

static bool distinct(const uint64_t *offset, uint32_t mask, uint32_t bytes, uint32_t low, uint32_t high) {
  constexpr uint32_t kUnits = 4096;
  if ((high - low) / bytes > kUnits)
    return false; // perhaps
  uint64_t seen[kUnits / 64 + 1];
  std::fill(seen, seen + (high - low) / bytes / 64 + 1, 0);
  for (; mask; mask &= mask - 1) {
    uint32_t unit = (uint32_t(offset[__builtin_ctz(mask)]) - low) / bytes;
    if (seen[unit / 64] >> (unit % 64) & 1)
      return false;
    seen[unit / 64] |= 1ull << (unit % 64);
  }
  return true;
}

bool LaneLog::take(const Inst &i, uint32_t now, const uint64_t *offset, uint32_t mask, uint32_t bytes,
                   bool write, const AccessShape &shape) {
  constexpr size_t kMost = 512;
  if (entries.size() - first >= kMost)
    return false;
  Entry e{&i, now, mask, ~0u, 0, shape, 0, uint8_t(bytes), write};
  if (shape.regular) {
    uint32_t a = uint32_t(offset[__builtin_ctz(mask)]), b = uint32_t(offset[31 - __builtin_clz(mask)]);
    e.low = std::min(a, b);
    e.high = std::max(a, b) + bytes;
  } else {
    for (uint32_t m = mask; m; m &= m - 1) {
      e.low = std::min(e.low, uint32_t(offset[__builtin_ctz(m)]));
      e.high = std::max(e.high, uint32_t(offset[__builtin_ctz(m)]));
    }
    e.high += bytes;
  }
  if (write && (mask & (mask - 1)) &&
      !(shape.regular ? std::abs(shape.stride) >= int64_t(bytes)
                      : distinct(offset, mask, bytes, e.low, e.high)))
    return false;
  if (!shape.regular) {
    e.offsets = uint32_t(irregular.size());
    irregular.emplace_back();
    for (uint32_t l = 0; l < 32; ++l)
      irregular.back()[l] = mask >> l & 1 ? uint32_t(offset[l]) : 0;
  }
  bool mayMeet = (e.low < high[1] && low[1] < e.high) || (write && e.low < high[0] && low[0] < e.high);
  for (size_t k = first; mayMeet && k < entries.size(); ++k)
    if ((write || entries[k].write) && !apart(entries[k], e)) {
      if (!shape.regular)
        irregular.pop_back();
      return false;
    }
  low[write] = std::min(low[write], e.low);
  high[write] = std::max(high[write], e.high);
  entries.push_back(e);
  return true;
}

int LaneLog::laneOf(uint32_t offset, uint32_t statement, bool write, uint32_t orderedBelow) const {
  for (size_t k = entries.size(); k-- > 0;) {
    const Entry &e = entries[k];
    if (e.segment < orderedBelow || e.inst->statement != statement || e.write != write || offset < e.low ||
        offset >= e.high)
      continue;
    uint64_t at[32];
    offsetsOf(e, at);
    int lane = -1;
    for (uint32_t m = e.mask; m; m &= m - 1) {
      uint32_t l = uint32_t(__builtin_ctz(m));
      if (offset - at[l] < e.bytes) {
        if (lane >= 0)
          return -1; // several
        lane = int(l);
      }
    }
    if (lane >= 0)
      return lane;
  }
  return -1;
}

} // namespace attune::sim
