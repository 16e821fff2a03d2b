//===- Barriers.cpp - the numbered barriers of a block --------------------===//
//
// bar and barrier: who arrived, what a reduction over the threads gives, and what a complete barrier orders.
//
//===----------------------------------------------------------------------===//
#include "simulator/Exec.h"
#include "simulator/clock/Record.h"

#include <algorithm>
#include <fmt/format.h>

namespace attune::sim {

uint32_t liveThreads(const Cta &cta) {
  uint32_t n = 0;
  for (const Warp &w : cta.warps)
    n += w.state != WarpState::Done ? 32 : 0;
  return n;
}

static void finishReduction(Warp &w, const Inst &i, const Barrier &b) {
  uint32_t kind = i.aux >> 2;
  if (!kind)
    return;
  for (int l = 0; l < 32; ++l) {
    if (!(w.active >> l & 1))
      continue;
    if (kind == 1)
      reinterpret_cast<uint32_t *>(w.regs + i.d)[l] = b.count;
    else {
      bool v = kind == 2 ? b.count == b.voters : b.count != 0;
      w.preds[i.d2] = (w.preds[i.d2] & ~(1u << l)) | uint32_t(v) << l;
    }
  }
}

void orderBlock(Cta &cta) {
  ++cta.epoch;
  cta.details.clear();
  cta.cellWords.clear();
  uint32_t latest = 0;
  Clocks all;
  for (const Warp &w : cta.warps) {
    latest = std::max(latest, w.clocks[w.index]);
    join(all, w.clocks);
  }
  std::fill(all.begin(), all.begin() + ptrdiff_t(cta.warps.size()), latest);
  for (Warp &w : cta.warps) {
    w.clocks = all;
    w.clocks[w.index] = latest + 1;
    orderLanes(w);
  }
  const Worker &worker = *cta.warps[0].worker;
  cta.orderedBelow = worker.firstSegment + uint32_t(worker.segments.size());
}

void completeBarrier(Cta &cta, Barrier &b) {
  uint32_t live = 0;
  for (const Warp &w : cta.warps)
    live |= w.state != WarpState::Done ? 1u << w.index : 0;
  bool whole = (b.waiting & live) == live, ordering = cta.warps[0].worker->launch->ordering;
  for (Warp &w : cta.warps) {
    if (!(b.waiting >> w.index & 1))
      continue;
    w.state = WarpState::Ready;
    if (w.barrierInst)
      finishReduction(w, *w.barrierInst, b);
    if (!whole) {
      uint32_t own = w.clocks[w.index];
      join(w.clocks, b.clocks);
      w.clocks[w.index] = own;
    }
    if (ordering) {
      join(w.order.fenced, b.fenced);
      w.order.known.join(b.known);
    }
  }
  if (whole)
    orderBlock(cta);
  if (cta.record)
    ++cta.record->generation[size_t(&b - cta.barriers.data())];
  b = Barrier();
}

void execBarrier(Warp &w, const Inst &i) {
  bool arrive = i.aux & 2;
  if (!converge(w, i, w.live, i.aux & 1))
    return;
  uint32_t lane = uint32_t(__builtin_ctz(w.mask));
  uint32_t id = reinterpret_cast<uint32_t *>(w.regs + i.a)[lane];
  uint32_t count = i.count ? reinterpret_cast<uint32_t *>(w.regs + i.b)[lane] : 0;
  Cta &cta = *w.cta;
  auto misuse = [&](std::string text, int64_t other = -1) {
    if (!reportedBefore(w, i, FindingKind::BarrierMisuse))
      report(w, i, FindingKind::BarrierMisuse, lane, 0, std::move(text), {other, w.index});
  };
  if (id > 15)
    return misuse(fmt::format("expected a barrier number from 0 to 15, got {}", id));
  if (i.count && (count == 0 || count % 32 || count > 1024))
    return misuse(
        fmt::format("expected a thread count that is a multiple of 32 from 32 to 1024, got {}", count));
  Barrier &b = cta.barriers[id];
  if (b.active && b.expected != count)
    misuse(fmt::format("expected {} threads at barrier {} as its first arrival said, got {}",
                       b.expected ? fmt::format("{}", b.expected) : "all", id,
                       count ? fmt::format("{}", count) : "all"),
           b.site);
  // One that arrived and then waits counts twice: so a warpgroup gives itself the first turn.
  if (arrive && b.active && (b.arrivals >> w.index & 1))
    misuse(fmt::format("warp {} arrives a second time at barrier {} before it completed", w.index, id),
           b.site);
  if (!b.active) {
    b.active = true;
    b.expected = count;
    b.site = i.statement;
    b.clocks.clear();
  }
  if (cta.record)
    cta.record->phase(cta.rank, kNumbered + id, cta.record->generation[id]);
  b.arrived += 32;
  b.arrivals |= 1u << w.index;
  if (w.worker->launch->ordering) {
    learnPending(w);
    join(b.fenced, w.order.fenced);
    b.known.join(w.order.known);
  }
  if (cta.async)
    cta.async->arrives(w);
  join(b.clocks, w.clocks);
  ++w.clocks[w.index];
  orderLanes(w);
  if (i.aux >> 2) {
    b.count += uint32_t(__builtin_popcount((w.preds[i.c] ^ uint32_t(i.imm)) & w.mask));
    b.voters += uint32_t(__builtin_popcount(w.mask));
  }
  if (!arrive) {
    b.waiting |= 1u << w.index;
    w.state = WarpState::AtBarrier;
    w.barrier = id;
    w.barrierInst = &i;
    w.stop = true;
    ++w.worker->counters.barrierWaits;
  }
  if (b.arrived >= (b.expected ? b.expected : liveThreads(cta))) {
    completeBarrier(cta, b);
    w.stop = w.state != WarpState::Ready;
  }
}

} // namespace attune::sim
