//===- Async.cpp - cp.async and its groups --------------------------------===//
//
// A copy is an agent of its own: between its issue and the wait that covers it, its destination belongs to
// it. The destination's bytes count as uninitialised all that time, in every mode, so that a read without the
// wait is found however the copy is timed. When the data moves is the mode's choice.
//
//===----------------------------------------------------------------------===//
#include "simulator/Exec.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

/// What the copy of one lane brings, of c.size bytes; returns which of them have defined values.
static uint16_t fetchLane(Warp &w, const AsyncCopy &c, uint32_t l, std::byte *to) {
  uint32_t n = c.sourceBytes[l];
  if (n < c.size)
    std::memset(to + n, 0, c.size - n);
  uint16_t fresh = uint16_t(((1u << c.size) - 1) & ~((1u << n) - 1));
  if (!n)
    return fresh;
  const GlobalMemoryImpl &memory = *w.worker->launch->memory;
  int at = w.worker->allocationHint[c.inst->target];
  auto holds = [&](int k) {
    return k >= 0 && c.global[l] - memory.allocations[size_t(k)].base < memory.allocations[size_t(k)].size;
  };
  if (!holds(at))
    at = memory.find(c.global[l]); // checked at the issue
  if (at < 0)
    return fresh;
  const Allocation &a = memory.allocations[size_t(at)];
  uint64_t o = c.global[l] - a.base;
  if (n == 16) {
    uint16_t bits;
    std::memcpy(to, a.data + o, 16);
    std::memcpy(&bits, a.init + (o >> 3), 2);
    return bits;
  }
  std::memcpy(to, a.data + o, n);
  for (uint32_t b = 0; b < n; ++b)
    fresh |= uint16_t((a.init[(o + b) >> 3] >> ((o + b) & 7) & 1) << b);
  return fresh;
}

/// Whether two lanes' copies go to one place, and bring the same.
static bool bringSame(Warp &w, const AsyncCopy &a, uint32_t k, const AsyncCopy &b, uint32_t l) {
  if (a.shared[k] != b.shared[l] || a.size != b.size)
    return false;
  if (a.sourceBytes[k] == b.sourceBytes[l] && (a.global[k] == b.global[l] || !a.sourceBytes[k]))
    return true;
  std::byte one[16], other[16];
  fetchLane(w, a, k, one);
  fetchLane(w, b, l, other);
  return std::memcmp(one, other, a.size) == 0;
}

void fetch(Warp &w, const AsyncCopy &c, uint32_t (*values)[32]) {
  for (uint32_t m = c.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(__builtin_ctz(m));
    std::byte data[16];
    fetchLane(w, c, l, data);
    for (uint32_t n = 0; n < c.size / 4; ++n)
      std::memcpy(&values[n][l], data + 4 * n, 4);
  }
}

static void markInit(Cta &cta, uint32_t offset, uint32_t size, uint16_t bits) {
  // Copies are aligned to their size, so they lie in one or two bytes of the map.
  if (size == 16) {
    std::memcpy(cta.sharedInit + (offset >> 3), &bits, 2);
  } else {
    uint8_t m = uint8_t(((1u << size) - 1) << (offset & 7));
    uint8_t &byte = cta.sharedInit[offset >> 3];
    byte = uint8_t((byte & ~m) | ((bits << (offset & 7)) & m));
  }
}

static void land(Warp &w, AsyncCopy &c, uint32_t lanes) {
  Cta &cta = *w.cta;
  bool checks = w.worker->launch->checks;
  for (uint32_t m = lanes; m; m &= m - 1) {
    uint32_t l = uint32_t(__builtin_ctz(m));
    uint32_t o = c.shared[l];
    std::byte data[16];
    uint16_t fresh = c.early ? c.fresh[l] : fetchLane(w, c, l, data);
    auto move = [&] {
      if (!c.early)
        std::memcpy(cta.shared + o, data, c.size);
      markInit(cta, o, c.size, fresh);
    };
    if (!checks) {
      move();
      continue;
    }
    ShadowCell &cell = cta.cells[o >> 4];
    uint16_t bytes = uint16_t(((1u << c.size) - 1) << (o & 15));
    cell.flightBytes &= uint16_t(~bytes);
    // In the epoch of the issue the ordinary check sees other warps, but not this one's own writes; a cell
    // that one copy fills has one writer.
    bool written = cell.epoch > c.epoch || (cell.epoch == c.epoch && c.size == 16);
    if (written && !cell.detailed && (cell.writeBytes & bytes) && cell.writeSite != c.inst->statement &&
        !reportedBefore(w, *c.inst, FindingKind::Race)) {
      uint32_t other = uint32_t(__builtin_ctz(cell.warps));
      report(w, *c.inst, FindingKind::Race, l, kSharedBase + o,
             fmt::format("asynchronous copy to {} by warp {} was in flight when warp {} wrote there",
                         describeShared(w, kSharedBase + o), w.index, other),
             {cell.writeSite, other});
    }
    if (cta.async)
      cta.async->touch(w, *c.inst, l, o, c.size, true);
    if (!touchCell(w, *c.inst, cell, bytes, true)) {
      if (c.early)
        fetchLane(w, c, l, data);
      raceSlow(w, *c.inst, l, o >> 4, bytes, true, data);
    }
    move();
  }
  if (checks && lanes) {
    if (w.landedSegment != segmentOf(w))
      w.landed.clear();
    w.landedSegment = w.segment;
    w.landed.push_back(c);
    w.landed.back().mask = lanes;
  }
  c.mask &= ~lanes;
}

/// Reports a copy whose lane `l` goes where one in flight does already, but for those that bring the same.
/// False: there are none but those.
static bool reportOverlap(Warp &w, const AsyncCopy &c, uint32_t l) {
  for (const Warp &other : w.cta->warps)
    for (const AsyncCopy &o : other.copies)
      for (uint32_t m = o.mask; m; m &= m - 1) {
        uint32_t k = uint32_t(__builtin_ctz(m));
        if ((&o == &c && k >= l) || o.shared[k] >= c.shared[l] + c.size ||
            c.shared[l] >= o.shared[k] + o.size)
          continue;
        if (bringSame(w, o, k, c, l))
          continue;
        if (reportedBefore(w, *c.inst, FindingKind::Race))
          return true;
        report(w, *c.inst, FindingKind::Race, l, kSharedBase + c.shared[l],
               fmt::format(
                   "asynchronous copy to {} by warp {} while one by warp {} is in flight to it, in no order "
                   "with it: expected cp.async.wait_group for that one{} before",
                   describeShared(w, kSharedBase + c.shared[l]), w.index, other.index,
                   other.index == w.index ? "" : " and a barrier"),
               {o.inst->statement, other.index, int(k)});
        return true;
      }
  return false;
}

void execCpAsync(Warp &w, const Inst &i) {
  Launch &launch = *w.worker->launch;
  GlobalMemoryImpl &memory = *launch.memory;
  Cta &cta = *w.cta;
  const uint32_t *list = &w.program->lists[i.list];
  uint64_t offset = uint64_t(list[1]) << 32 | list[0];
  const uint64_t *source = reinterpret_cast<const uint64_t *>(w.regs + i.b);
  const uint32_t *sourceBytes = reinterpret_cast<const uint32_t *>(w.regs + i.c);
  uint32_t size = i.count;
  w.copies.emplace_back();
  AsyncCopy &c = w.copies.back();
  c.inst = &i;
  c.size = size;
  c.epoch = cta.epoch;
  int32_t &hint = w.worker->allocationHint[i.target];
  uint64_t limit = uint64_t(kSharedBase) + cta.sharedBytes;
  bool late = launch.mode == Mode::Lazy || (launch.mode == Mode::Random && (cta.nextRandom() & 1));
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(__builtin_ctz(m));
    uint64_t to = (i.addr64 ? reinterpret_cast<const uint64_t *>(w.regs + i.a)[l]
                            : uint64_t(reinterpret_cast<const uint32_t *>(w.regs + i.a)[l])) +
                  uint64_t(i.imm);
    if (!i.addr64)
      to = uint32_t(to);
    uint64_t from = source[l] + offset;
    uint32_t n = i.aux ? std::min(sourceBytes[l], size) : size;
    if ((to | from) & (size - 1)) {
      reportMisaligned(w, i, l, to & (size - 1) ? to : from, size);
      continue;
    }
    if (to < kSharedBase || to >= limit || to + size > limit) {
      reportSharedOutOfBounds(w, i, l, to, size, true);
      continue;
    }
    if (launch.checks && !w.program->ranges[i.statement].contains(to, to + size)) [[unlikely]]
      reportOutsideVariable(w, i, l, to, size, true);
    if (n) {
      auto inside = [&](int a) {
        if (a < 0)
          return false;
        const Allocation &in = memory.allocations[size_t(a)];
        return !in.freed && from >= in.base && from + n <= in.base + in.size;
      };
      if (!inside(hint)) {
        int a = memory.find(from);
        if (!inside(a)) {
          reportGlobalOutOfBounds(w, i, l, from, n, false);
          n = 0;
        } else {
          hint = a;
        }
      }
    }
    c.mask |= 1u << l;
    c.shared[l] = uint32_t(to - kSharedBase);
    c.global[l] = from;
    c.sourceBytes[l] = n;
    c.group[l] = kUncommitted;
  }
  if (launch.checks)
    for (uint32_t m = c.mask; m;) { // the lanes that read as much from one allocation together
      uint32_t l = uint32_t(__builtin_ctz(m)), n = c.sourceBytes[l], same = 0;
      int at = n ? memory.find(c.global[l]) : -1;
      for (uint32_t rest = m; rest; rest &= rest - 1) {
        uint32_t k = uint32_t(__builtin_ctz(rest));
        bool inside = at >= 0 &&
                      c.global[k] - memory.allocations[size_t(at)].base < memory.allocations[size_t(at)].size;
        if (c.sourceBytes[k] == n && (at < 0 || inside))
          same |= 1u << k;
      }
      if (at >= 0)
        raceGlobal(w, i, memory.allocations[size_t(at)], c.global, same, n, false);
      m &= ~same;
    }
  w.worker->counters.asyncBytes += uint64_t(__builtin_popcount(c.mask)) * size;
  c.early = !late;
  for (uint32_t m = c.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(__builtin_ctz(m));
    if (launch.checks) {
      ShadowCell &cell = cta.cells[c.shared[l] >> 4];
      uint16_t bytes = uint16_t(((1u << size) - 1) << (c.shared[l] & 15));
      bool repeats = (cell.flightBytes & bytes) && !reportOverlap(w, c, l);
      cell.flightBytes |= bytes;
      if (!repeats && cta.async)
        cta.async->touch(w, i, l, c.shared[l], size, true);
      if (!repeats && !touchCell(w, i, cell, bytes, true)) {
        std::byte data[16];
        fetchLane(w, c, l, data);
        raceSlow(w, i, l, c.shared[l] >> 4, bytes, true, data);
      }
    }
    std::byte *to = cta.shared + c.shared[l];
    if (!late) {
      c.fresh[l] = fetchLane(w, c, l, to);
    } else { // what lies there stays if it is what the copy brings, so that nothing seems to change when it
             // lands
      std::byte data[16];
      fetchLane(w, c, l, data);
      if (std::memcmp(to, data, size) != 0)
        std::memset(to, 0xFF, size);
    }
    markInit(cta, c.shared[l], size, 0);
  }
  if (!c.mask)
    w.copies.pop_back();
}

void execCommit(Warp &w, const Inst &) {
  for (AsyncCopy &c : w.copies)
    for (uint32_t m = c.mask & w.mask; m; m &= m - 1) {
      uint32_t l = uint32_t(__builtin_ctz(m));
      if (c.group[l] == kUncommitted)
        c.group[l] = w.committed[l];
    }
  for (uint32_t m = w.mask; m; m &= m - 1)
    ++w.committed[__builtin_ctz(m)];
}

void execWaitGroup(Warp &w, const Inst &i) {
  uint32_t pending = uint32_t(i.imm);
  for (AsyncCopy &c : w.copies) {
    uint32_t lanes = 0;
    for (uint32_t m = c.mask & w.mask; m; m &= m - 1) {
      uint32_t l = uint32_t(__builtin_ctz(m));
      bool done =
          pending == kUncommitted || (c.group[l] != kUncommitted && c.group[l] + pending < w.committed[l]);
      lanes |= uint32_t(done) << l;
    }
    if (lanes)
      land(w, c, lanes);
  }
  w.copies.erase(std::remove_if(w.copies.begin(), w.copies.end(), [](const AsyncCopy &c) { return !c.mask; }),
                 w.copies.end());
}

} // namespace attune::sim
