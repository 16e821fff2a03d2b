//===- SharedRaces.cpp - races between lanes, and between blocks, in shared memory -===//
#include "simulator/Toucher.h"

#include <algorithm>
#include <fmt/format.h>

namespace attune::sim {

static void markLanes(Warp &w, const Inst &i, const uint64_t *offset, uint32_t mask, uint32_t bytes,
                      bool write, StoredValues stored);

void enterLog(Warp &w) {
  LaneLog &log = w.laneLog;
  if (log.exact)
    return;
  log.exact = true;
  for (size_t k = log.first; k < log.entries.size(); ++k) {
    const LaneLog::Entry &e = log.entries[k];
    uint64_t offset[32];
    log.offsetsOf(e, offset);
    markLanes(w, *e.inst, offset, e.mask, e.bytes, e.write, {});
  }
}

/// Marks what the warp's last wait for asynchronous copies brought, while no order of its lanes came since.
static void markLanded(Warp &w) {
  std::vector<AsyncCopy> landed = std::move(w.landed);
  w.landed.clear();
  if (w.landedSegment != w.segment)
    return;
  for (const AsyncCopy &c : landed) {
    uint64_t offset[32];
    for (uint32_t l = 0; l < 32; ++l)
      offset[l] = c.shared[l];
    uint32_t values[4][32];
    fetch(w, c, values);
    raceLanes(w, *c.inst, offset, c.mask, c.size, true, {values, 4, c.size / 4});
  }
}

void raceLanes(Warp &w, const Inst &i, const uint64_t *offset, uint32_t mask, uint32_t bytes, bool write,
               StoredValues stored, const AccessShape *shape) {
  if (!mask)
    return;
  if (!w.landed.empty())
    markLanded(w);
  if (i.order)
    for (uint32_t m = mask; m; m &= m - 1)
      orderAccess(w, i, offset[__builtin_ctz(m)], w.cta, !write || i.atomic, write);
  uint32_t segment = segmentOf(w);
  if (write) {
    w.sharedWriteSegment = segment;
    w.worker->changes += !i.atomic;
  }
  LaneLog &log = w.laneLog;
  log.begin(segment, w.cta->orderedBelow);
  // Lanes that are ordered one by one, and other blocks, look at earlier segments as well.
  bool alone = w.laneSyncs.empty() && w.worker->launch->clusterSize == 1;
  if (alone && !log.exact && !i.order &&
      log.take(i, segment, offset, mask, bytes, write, shape ? *shape : shapeOf(offset, mask)))
    return;
  enterLog(w);
  markLanes(w, i, offset, mask, bytes, write, stored);
}

static void markLanes(Warp &w, const Inst &i, const uint64_t *offset, uint32_t mask, uint32_t bytes,
                      bool write, StoredValues stored) {
  Toucher<true> toucher(w, i, nullptr, offset, mask, bytes, write, stored, *w.cta);
  uint32_t step = std::min(bytes, 4u);
  for (uint32_t m = mask; m; m &= m - 1) {
    uint32_t lane = uint32_t(__builtin_ctz(m));
    for (uint32_t b = 0; b < bytes; b += step)
      toucher.word(w.cta->words[(offset[lane] + b) / 4], lane, offset[lane] + b, step);
  }
}

void raceRemote(Warp &w, const Inst &i, Cta &home, uint32_t lane, uint64_t offset, uint32_t bytes, bool write,
                StoredValues stored) {
  if (i.order)
    orderAccess(w, i, offset, &home, !write || i.atomic, write);
  uint64_t offsets[32];
  offsets[lane] = offset;
  Toucher<true> toucher(w, i, nullptr, offsets, 1u << lane, bytes, write, stored, home);
  uint32_t step = std::min(bytes, 4u);
  for (uint32_t b = 0; b < bytes; b += step)
    toucher.word(home.words[(offset + b) / 4], lane, offset + b, step);
}

void raceWarpRead(Warp &w, const Inst &i, const uint64_t *offset, uint32_t mask) {
  if (!w.landed.empty())
    markLanded(w);
  if (w.worker->launch->clusterSize > 1) {
    Toucher<true> toucher(w, i, nullptr, offset, mask, 16, false, {}, *w.cta);
    for (uint32_t m = mask; m; m &= m - 1)
      for (uint32_t row = uint32_t(__builtin_ctz(m)), b = 0; b < 16; b += 4)
        toucher.whole(w.cta->words[(offset[row] + b) / 4], row, offset[row] + b);
  }
  if (!w.segment || w.sharedWriteSegment != w.segment)
    return;
  w.laneLog.begin(w.segment, w.cta->orderedBelow);
  enterLog(w);
  for (uint32_t m = mask; m; m &= m - 1) {
    uint32_t row = uint32_t(__builtin_ctz(m));
    for (uint32_t b = 0; b < 16; b += 4) {
      const WordShadow &c = w.cta->words[(offset[row] + b) / 4];
      if (c.write.segment != w.segment)
        continue;
      Mark mark = c.write;
      if (mark.lane() == kSplit)
        for (const WordShadow &part : w.cta->bytePool.words[c.split])
          if (part.write.segment == w.segment)
            mark = part.write;
      if (mark.strength() || reportedBefore(w, i, FindingKind::Race))
        continue;
      uint32_t at = kSharedBase + uint32_t(offset[row]) + b;
      report(
          w, i, FindingKind::Race, row, at,
          fmt::format("read of {} by all lanes of the warp and an earlier write by one lane: lanes of a warp "
                      "are ordered by __syncwarp (bar.warp.sync) or a barrier, expected one between them",
                      describeShared(w, at)),
          {int64_t(mark.statement()), w.index, mark.lane() < 32 ? int(mark.lane()) : -1, -1});
    }
  }
}

int laneThatTouched(const Warp &w, uint32_t offset, uint32_t warp, uint32_t statement, bool write) {
  int listed = warp >= w.cta->warps.size()
                   ? -1
                   : w.cta->warps[warp].laneLog.laneOf(offset, statement, write, w.cta->orderedBelow);
  if (listed >= 0)
    return listed;
  const WordShadow *c = &w.cta->words[offset / 4];
  if (c->write.segment >= w.cta->orderedBelow && c->write.lane() == kSplit)
    c = &w.cta->bytePool.words[c->split][offset & 3];
  for (Mark m : {write ? c->write : c->read, write ? c->write : c->read2})
    if (m.segment >= w.cta->orderedBelow && m.statement() == statement && m.lane() < 32 &&
        w.worker->segment(m.segment).warp == warp)
      return int(m.lane());
  return -1;
}

} // namespace attune::sim
