//===- GlobalWrites.cpp - readers of global memory for whom an order is not enough -===//
//
// What a kernel writes by ordinary stores, and reads in other ways, however well ordered: by the read-only
// path, which need not see it at all; and by the async proxy (TMA), for which a fence.proxy.async must come
// between. Bulk stores are of the async proxy themselves, and complete with such a fence.
//
//===----------------------------------------------------------------------===//
#include "simulator/Exec.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace attune::sim {

/// Calls `see` with the last write in this launch, and its address, of each part of these bytes whose writes
/// are kept apart, as far as there was one.
template <class F> static void forWrites(Warp &w, uint64_t address, uint64_t bytes, F see) {
  auto live = [&](Mark m) { return m.segment >= w.worker->firstSegment; };
  for (uint64_t from = address, end = address + bytes; from < end;) {
    const ShadowPage &page = w.cta->shadow->page(from / kPageBytes);
    uint64_t pageEnd = std::min(end, (from / kPageBytes + 1) * kPageBytes);
    if (!page.written) {
      from = pageEnd;
      continue;
    }
    while (from < pageEnd) {
      uint64_t at = from % kPageBytes, stop = std::min(pageEnd, (from / kSectorBytes + 1) * kSectorBytes);
      const Sector &sector = page.sectors[at / kSectorBytes];
      if (!live(sector.write)) {
        from = stop;
        continue;
      }
      if (sector.write.lane() != kWords) {
        see(sector.markAt(0, from % kSectorBytes), from);
        from = stop;
        continue;
      }
      for (; from < stop; from = std::min(stop, (from / 4 + 1) * 4)) {
        uint64_t word = from % kPageBytes / 4;
        const WordShadow &c = page.words[word];
        if (!(sector.valid >> (word % kSectorWords) & 1) || !live(c.write))
          continue;
        if (c.write.lane() != kSplit) {
          see(c.write, from);
          continue;
        }
        const auto &parts = w.cta->shadow->bytes.words[c.split];
        for (uint64_t b = from; b < std::min(stop, (from / 4 + 1) * 4); ++b)
          if (Mark own = parts[b & 3].write; live(own))
            see(own, b);
      }
    }
  }
}

static OtherAccess otherOf(Mark m, const Segment &s) {
  return {int64_t(m.statement()), s.warp, m.lane() < 32 ? int(m.lane()) : -1, int64_t(s.block)};
}

void checkNonCoherent(Warp &w, const Inst &i, const uint64_t *address, uint32_t mask, uint32_t bytes) {
  for (uint32_t m = mask; m; m &= m - 1) {
    uint32_t lane = uint32_t(__builtin_ctz(m));
    bool told = false;
    forWrites(w, address[lane], bytes, [&](Mark mark, uint64_t) {
      if (std::exchange(told, true) || reportedBefore(w, i, FindingKind::Race))
        return;
      report(w, i, FindingKind::Race, lane, address[lane],
             fmt::format("read of {} bytes at 0x{:x}, {}, by the read-only path (ld.global.nc) of what this "
                         "kernel wrote: it may give what was there before; expected an ordinary load",
                         bytes, address[lane], w.worker->launch->memory->describe(address[lane])),
             otherOf(mark, w.worker->segment(mark.segment)));
    });
  }
}

void fenceGlobalProxy(Warp &w) {
  w.order.proxyKnown = w.clocks;
  w.order.proxyForeign = w.order.known;
  if (!w.wroteGlobal || !w.worker->launch->checks)
    return;
  w.wroteGlobal = false;
  orderLanes(w, 0); // the next accesses are of another segment, and in no other order
  Worker &worker = *w.worker;
  worker.proxyFences[{w.cta->linear, w.index}].push_back(
      {worker.firstSegment + uint32_t(worker.segments.size()), w.clocks[w.index]});
}

void checkGlobalProxy(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint64_t bytes, bool write) {
  const Worker &worker = *w.worker;
  const WarpOrder &order = w.order;
  auto knows = [&](const Segment &s, uint32_t clock) {
    return s.block != w.cta->linear ? knowsForeign(w, s.block, s.warp, clock)
                                    : s.warp == w.index || w.clocks[s.warp] >= clock;
  };
  auto fenced = [&](Mark m, const Segment &s) {
    if (s.block != w.cta->linear) {
      const Clocks *known = order.proxyForeign.find(s.block);
      if (known && clockOf(*known, s.warp) >= s.clock)
        return true;
    } else if (s.warp != w.index && clockOf(order.proxyKnown, s.warp) >= s.clock) {
      return true;
    }
    auto it = worker.proxyFences.find({s.block, s.warp});
    if (it == worker.proxyFences.end())
      return false;
    auto first = std::find_if(it->second.begin(), it->second.end(),
                              [&](const ProxyFence &f) { return f.segment > m.segment; });
    return first != it->second.end() && knows(s, first->clock);
  };
  uint32_t good = kFull; // a segment that was found to be fenced
  forWrites(w, address, bytes, [&](Mark m, uint64_t at) {
    if (m.segment == good)
      return;
    const Segment &s = worker.segment(m.segment);
    bool byProxy = w.program->statements[m.statement()].text.find("async.bulk") != std::string_view::npos;
    if (byProxy || !knows(s, s.clock)) // which is a race
      return;
    if (fenced(m, s)) {
      good = m.segment;
      return;
    }
    if (reportedBefore(w, i, FindingKind::MissingFence))
      return;
    report(w, i, FindingKind::MissingFence, lane, at,
           fmt::format("a bulk copy {} 0x{:x}, {}, through the async proxy, which warp {} wrote through the "
                       "generic one; expected fence.proxy.async by that warp after its store and before it "
                       "hands over",
                       write ? "overwrites" : "reads", at, w.worker->launch->memory->describe(at), s.warp),
           otherOf(m, s));
  });
}

} // namespace attune::sim
