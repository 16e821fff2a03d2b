//===- AsyncProxy.cpp - what asynchronous units have in flight ------------===//
#include "simulator/AsyncProxy.h"

#include "simulator/Cluster.h"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

namespace attune::sim {

void AsyncProxy::begin(uint32_t sharedBytes) {
  ops.clear();
  base = 1;
  pending.clear();
  moreReaders.clear();
  cells.assign((sharedBytes + 31) / 16, Cell());
  fences.assign(cta.warps.size(), Fences());
  mostOps = 1 << 16;
}

uint32_t AsyncProxy::start(Warp &w, const Inst &i, AsyncKind kind, uint32_t lane, uint32_t firstWarp,
                           uint32_t warps) {
  if (ops.size() >= mostOps)
    forget();
  AsyncOp op;
  op.inst = &i;
  op.kind = kind;
  op.lane = uint8_t(lane);
  op.warps = uint8_t(warps);
  op.warp = uint16_t(firstWarp);
  op.block = w.cta->linear;
  if (kind == AsyncKind::Load) // who relies on it knows of its issuer up to here
    op.done[0] = w.clocks[w.index];
  ops.push_back(op);
  return base + uint32_t(ops.size() - 1);
}

//===----------------------------------------------------------------------===//
// Who knows what
//===----------------------------------------------------------------------===//

/// Whether `w` knows of a warp of block `home` up to `clock`.
static bool knowsOf(const Warp &w, const Cta &home, uint32_t warp, uint32_t clock) {
  if (w.cta != &home)
    return knowsForeign(w, home.linear, warp, clock);
  return w.index == warp || w.clocks[warp] >= clock;
}

bool AsyncProxy::knowsWarp(const Warp &w, uint32_t warp, uint32_t clock) const {
  return knowsOf(w, cta, warp, clock);
}

bool AsyncProxy::knows(const Warp &w, const AsyncOp &op) const {
  switch (op.kind) {
  case AsyncKind::Source:
    return op.landed;
  case AsyncKind::Load:
    // What another block knows of this one's barriers is not kept.
    return op.landed && (w.cta != &cta || clockOf(w.clocks, op.barrier) >= op.phase);
  case AsyncKind::Store:
  case AsyncKind::Matrix:
    break;
  }
  for (uint32_t k = 0; k < op.warps; ++k)
    if (op.done[k] && knowsWarp(w, op.warp + k, op.done[k]))
      return true;
  return false;
}

/// Whether a fence of `w`, or of somebody of whom it has learned, came behind what entry `index` of the
/// clocks of `home` says. Not that of warp `index` itself, whose fence may have come before.
bool AsyncProxy::fencedBehind(const Warp &w, const Cta &home, uint32_t index, uint32_t clock) const {
  auto covers = [&](const Cta &block, const Fence &f) {
    const Clocks *known = &block == &home ? &f.known : f.foreign.find(home.linear);
    return known && clockOf(*known, index) >= clock;
  };
  auto itself = [&](const Warp &other) { return other.cta == &home && other.index == index; };
  const Fence *own = w.cta->async->fences[w.index].latest();
  if (own && !itself(w) && covers(*w.cta, *own))
    return true;
  for (const Cta *block : cta.cluster->ctas)
    for (const Warp &other : block->warps)
      if (!itself(other))
        for (const Fence &f : block->async->fences[other.index].last)
          if (f.clock && covers(*block, f) && knowsOf(w, *block, other.index, f.clock))
            return true;
  return false;
}

bool AsyncProxy::fenced(const Warp &w, const Cell &c) const {
  const Cta &home = *cta.cluster->ctas[c.storeRank];
  const Fences &writer = home.async->fences[c.storeWarp];
  return (c.storeFence < writer.clocks.size() &&
          knowsOf(w, home, c.storeWarp, writer.clocks[c.storeFence])) ||
         fencedBehind(w, home, c.storeWarp, c.storeClock);
}

void AsyncProxy::fence(Warp &w) {
  initFence(w);
  Fences &f = fences[w.index];
  Fence &made = f.last[f.clocks.size() % f.last.size()];
  f.clocks.push_back(w.clocks[w.index]);
  made.clock = w.clocks[w.index];
  made.known = w.clocks;
  made.foreign = w.order.known;
}

void AsyncProxy::initFence(Warp &w) {
  fences[w.index].forInit.push_back(w.clocks[w.index]);
  fences[w.index].initialises = false;
}

void AsyncProxy::initialises(Warp &w) { fences[w.index].initialises = true; }

void AsyncProxy::arrives(Warp &w) {
  if (fences[w.index].initialises)
    initFence(w);
}

bool AsyncProxy::initVisible(const Warp &w, uint32_t warp, uint32_t clock, uint32_t before) const {
  const Fences &maker = fences[warp];
  if (before < maker.forInit.size() && knowsWarp(w, warp, maker.forInit[before]))
    return true;
  const Fence *own = fences[w.index].latest();
  return w.cta == &cta && w.index != warp && own && clockOf(own->known, warp) >= clock;
}

/// Drops the operations that every warp may rely on, so that a block of any length needs memory for few.
void AsyncProxy::forget() {
  auto past = [&](uint32_t op) {
    return std::all_of(cta.warps.begin(), cta.warps.end(),
                       [&](const Warp &w) { return w.state == WarpState::Done || knows(w, at(op)); });
  };
  std::vector<int8_t> isPast(ops.size(), -1);
  uint32_t least = base + uint32_t(ops.size());
  auto keep = [&](uint32_t &op) {
    if (!op)
      return;
    int8_t &known = isPast[op - base];
    if (known < 0)
      known = past(op);
    if (known)
      op = 0;
    else
      least = std::min(least, op);
  };
  for (Cell &c : cells) {
    keep(c.write);
    for (uint32_t &op : c.read)
      keep(op);
    std::sort(c.read.begin(), c.read.end(), [](uint32_t a, uint32_t b) { return a && !b; });
  }
  for (auto &[cell, readers] : moreReaders) {
    for (uint32_t &op : readers)
      keep(op);
    std::erase(readers, 0u);
    cells[cell].more = !readers.empty();
  }
  for (const Pending &p : pending)
    least = std::min(least, p.op);
  for (size_t k = 0; k < ops.size() && base + k < least; ++k) // groups refer to those that nobody waited for
    if (!ops[k].waited && ops[k].kind != AsyncKind::Load)
      least = std::min(least, base + uint32_t(k));
  ops.erase(ops.begin(), ops.begin() + (least - base));
  base = least;
  mostOps = std::max<size_t>(1 << 16, ops.size() * 2);
}

//===----------------------------------------------------------------------===//
// Checks
//===----------------------------------------------------------------------===//

static std::string_view nameOf(const AsyncOp &op) {
  switch (op.kind) {
  case AsyncKind::Load:
    return "asynchronous copy to shared memory";
  case AsyncKind::Store:
    return "bulk copy from shared memory";
  case AsyncKind::Source:
    return "copy to another block";
  case AsyncKind::Matrix:
    return "wgmma";
  }
  return "operation";
}

static std::string_view remedy(const AsyncOp &op) {
  switch (op.kind) {
  case AsyncKind::Load:
    return "a wait for the phase of its mbarrier in which it completes";
  case AsyncKind::Store:
    return "cp.async.bulk.wait_group (or .read) by the thread that issued it, then a barrier";
  case AsyncKind::Source:
    return "a wait for the mbarrier on which it completes";
  case AsyncKind::Matrix:
    return "wgmma.wait_group by the warps that issued it, then a barrier or an arrival that is waited for";
  }
  return "";
}

void AsyncProxy::conflict(Warp &w, const Inst &i, uint32_t lane, const AsyncOp &other, uint32_t offset,
                          bool write, const char *what) {
  bool reads = !write; // of what may not have come yet
  FindingKind kind = reads ? FindingKind::MissingWait : FindingKind::Race;
  if (reportedBefore(w, i, kind))
    return;
  report(w, i, kind, lane, kSharedBase + offset,
         fmt::format("{} of {} while the {} of warp {} may still {} it; expected {} before", what,
                     describeShared(w, kSharedBase + offset), nameOf(other), other.warp,
                     other.kind == AsyncKind::Load ? "write" : "read", remedy(other)),
         {int64_t(other.inst->statement), other.warp, other.lane, int64_t(other.block)});
}

static bool overlaps(const AsyncOp &op, uint32_t offset, uint32_t bytes) {
  return op.bytes >= 16 || (offset < op.offset + op.bytes && op.offset < offset + bytes);
}

template <class F> void AsyncProxy::forReaders(const Cell &c, uint32_t cell, F f) const {
  for (uint32_t op : c.read)
    if (op)
      f(operation(op));
  if (c.more)
    if (auto it = moreReaders.find(cell); it != moreReaders.end())
      for (uint32_t op : it->second)
        f(operation(op));
}

void AsyncProxy::noteWrite(Cell &c, const Warp &w, const Inst &i) {
  c.stored = Stored::ByWarp;
  c.storeRank = uint8_t(w.cta->rank);
  c.storeWarp = uint8_t(w.index);
  c.storeClock = w.clocks[w.index];
  c.storeSite = i.statement;
  c.storeFence = uint32_t((w.cta == &cta ? *this : *w.cta->async).fences[w.index].clocks.size());
}

void AsyncProxy::touchSlow(Warp &w, const Inst &i, uint32_t lane, uint32_t offset, uint32_t bytes,
                           bool write) {
  const Cell &c = cells[offset >> 4];
  const char *what = write ? "write" : "read";
  if (c.write) {
    const AsyncOp &op = operation(c.write);
    if (!knows(w, op) && overlaps(op, offset, bytes))
      conflict(w, i, lane, op, offset, write, what);
  }
  if (write)
    forReaders(c, offset >> 4, [&](const AsyncOp &op) {
      if (!knows(w, op) && overlaps(op, offset, bytes))
        conflict(w, i, lane, op, offset, true, what);
    });
}

/// Against the generic accesses of other blocks of the cluster, which WordShadow keeps.
void AsyncProxy::checkVisitors(Warp &w, const AsyncOp &op, uint32_t cell, bool write) {
  auto look = [&](Mark m, bool wrote) {
    if (m.segment < cta.cluster->firstSegment)
      return;
    const Segment &s = w.worker->segment(m.segment);
    if (s.block == cta.linear || s.block == w.cta->linear || knowsForeign(w, s.block, s.warp, s.clock) ||
        reportedBefore(w, *op.inst, FindingKind::Race))
      return;
    report(w, *op.inst, FindingKind::Race, op.lane, kSharedBase + cell * 16,
           fmt::format("{} {} {} that another block {} with nothing to order them (barrier.cluster, or an "
                       "mbarrier arrival that the issuer waits for)",
                       nameOf(op), write ? "overwrites" : "reads", describePlace(w, {&cta, cell * 16}),
                       wrote ? "wrote" : "may still read"),
           {int64_t(m.statement()), s.warp, m.lane() < 32 ? int(m.lane()) : -1, int64_t(s.block)});
  };
  auto word = [&](const WordShadow &c) {
    look(c.write, true);
    if (write) {
      look(c.read, false);
      look(c.read2, false);
    }
  };
  for (uint32_t k = cell * 4; k < cell * 4 + 4; ++k) {
    const WordShadow &c = cta.words[k];
    if (c.write.segment >= cta.cluster->firstSegment && c.write.lane() == kSplit)
      for (const WordShadow &part : cta.bytePool.words[c.split])
        word(part);
    else
      word(c);
  }
}

/// Against the generic accesses of other warps, which ShadowCell keeps.
void AsyncProxy::checkHistory(Warp &w, const AsyncOp &op, uint32_t cell, bool write) {
  if (cta.touchedByOthers)
    checkVisitors(w, op, cell, write);
  const ShadowCell &s = cta.cells[cell];
  if (s.epoch != cta.epoch)
    return;
  uint16_t mask = 0xFFFF;
  if (op.bytes < 16)
    mask = uint16_t(((1u << op.bytes) - 1) << (op.offset & 15));
  auto tell = [&](uint32_t warp, uint32_t site, bool wrote) {
    if (reportedBefore(w, *op.inst, FindingKind::Race))
      return;
    uint32_t offset = cell * 16;
    report(w, *op.inst, FindingKind::Race, op.lane, kSharedBase + offset,
           fmt::format("{} {} {} that warp {} {} with nothing to order them (a barrier, or an mbarrier "
                       "arrival that the issuer waits for)",
                       nameOf(op), write ? "overwrites" : "reads", describeShared(w, kSharedBase + offset),
                       warp, wrote ? "wrote" : "may still read"),
           {int64_t(site), warp, -1, int64_t(cta.linear)});
  };
  auto other = [&](uint32_t warp) { return w.cta != &cta || warp != w.index; };
  if (!s.detailed) {
    uint16_t wrote = s.writeBytes & mask, read = write ? s.readBytes & mask : uint16_t(0);
    if (!(wrote | read))
      return;
    for (uint32_t m = s.warps; m; m &= m - 1) {
      uint32_t warp = uint32_t(std::countr_zero(m));
      if (other(warp) && !knowsWarp(w, warp, s.clock))
        return tell(warp, wrote ? s.writeSite : s.readSite, wrote != 0);
    }
    return;
  }
  if (s.inWords)
    spellOut(cta, cell);
  auto it = cta.details.find(cell);
  if (it == cta.details.end())
    return;
  for (const Access &a : it->second)
    if ((a.bytes & mask) && (a.write || write) && other(a.warp) && !knowsWarp(w, a.warp, a.clock))
      return tell(a.warp, a.site, a.write);
}

void AsyncProxy::range(AsyncOp &op, uint32_t offset, uint32_t bytes) {
  if (!op.bytes)
    op.offset = offset;
  op.bytes += bytes;
}

void AsyncProxy::reads(Warp &w, uint32_t number, uint32_t offset, uint32_t bytes) {
  AsyncOp &op = at(number);
  range(op, offset, bytes);
  if (!w.worker->launch->checks || !bytes)
    return;
  uint32_t known = 0; // the last operation that the warp was found to rely on: cells in a row have one writer
  for (uint32_t cell = offset >> 4; cell <= (offset + bytes - 1) >> 4; ++cell) {
    Cell &c = cells[cell];
    if (c.write && c.write != known && knows(w, operation(c.write)))
      known = c.write;
    if (c.write && c.write != known)
      conflict(w, *op.inst, op.lane, operation(c.write), cell * 16, false,
               op.kind == AsyncKind::Matrix ? "read by wgmma" : "read by a bulk copy");
    checkHistory(w, op, cell, false);
    if (c.stored != Stored::No)
      needFence(w, op, cell, "reads");
    addReader(c, cell, number);
  }
}

/// The operation reads or overwrites a cell that holds what came through the generic proxy.
void AsyncProxy::needFence(Warp &w, const AsyncOp &op, uint32_t cell, const char *verb) {
  Cell &c = cells[cell];
  const Cta *home = cta.cluster->ctas[c.storeRank];
  OtherAccess other{int64_t(c.storeSite), c.storeWarp, -1, int64_t(home->linear)};
  if (c.stored == Stored::Sent) {
    if (!c.write || w.cta != &cta)
      return;
    const AsyncOp &sent = operation(c.write);
    if (!knows(w, sent)) // which was told
      return;
    if (fencedBehind(w, cta, sent.barrier, sent.phase)) {
      c.stored = Stored::No;
      return;
    }
    other = {int64_t(sent.inst->statement), sent.warp, sent.lane, int64_t(sent.block)};
  } else {
    if (!knowsOf(w, *home, c.storeWarp, c.storeClock)) // which is a race
      return;
    if (fenced(w, c)) {
      c.stored = Stored::No;
      return;
    }
  }
  if (reportedBefore(w, *op.inst, FindingKind::MissingFence))
    return;
  report(w, *op.inst, FindingKind::MissingFence, op.lane, kSharedBase + cell * 16,
         fmt::format("{} {} {} through the async proxy, which warp {} wrote through the generic one; "
                     "expected fence.proxy.async {}",
                     nameOf(op), verb, describePlace(w, {&cta, cell * 16}), other.warp,
                     c.stored == Stored::Sent ? "behind the wait for its mbarrier"
                                              : "by that warp after its store and before it hands over"),
         other);
}

void AsyncProxy::addReader(Cell &c, uint32_t cell, uint32_t number) {
  const AsyncOp &op = operation(number);
  // Those of one issuer complete in order, so that the last of each kind stands for all.
  auto same = [&](uint32_t other) {
    const AsyncOp &o = operation(other);
    return o.warp == op.warp && o.kind == op.kind && o.block == op.block;
  };
  for (uint32_t &r : c.read)
    if (!r || r == number || same(r)) {
      r = number;
      return;
    }
  std::vector<uint32_t> &more = moreReaders[cell];
  c.more = true;
  for (uint32_t &r : more)
    if (same(r)) {
      r = number;
      return;
    }
  more.push_back(number);
}

void AsyncProxy::writes(Warp &w, uint32_t number, uint32_t offset, uint32_t bytes) {
  AsyncOp &op = at(number);
  range(op, offset, bytes);
  if (!w.worker->launch->checks || !bytes)
    return;
  for (uint32_t cell = offset >> 4; cell <= (offset + bytes - 1) >> 4; ++cell) {
    Cell &c = cells[cell];
    uint32_t from = std::max(offset, cell * 16), to = std::min(offset + bytes, cell * 16 + 16);
    if (c.write && c.write != number) {
      const AsyncOp &other = operation(c.write);
      bool unsafe = !knows(w, other) && !(op.reduces && other.reduces) &&
                    !(other.inst == op.inst && other.landed && other.block != op.block);
      if (unsafe && overlaps(other, from, to - from))
        conflict(w, *op.inst, op.lane, other, cell * 16, true, "asynchronous write");
    }
    forReaders(c, cell, [&](const AsyncOp &other) {
      if (!knows(w, other))
        conflict(w, *op.inst, op.lane, other, cell * 16, true, "asynchronous write");
    });
    checkHistory(w, op, cell, true);
    if (c.stored != Stored::No && !op.generic)
      needFence(w, op, cell, "overwrites");
    c.write = number;
    c.read = {};
    c.stored = op.generic ? Stored::Sent : Stored::No;
    if (c.more) {
      moreReaders.erase(cell);
      c.more = false;
    }
  }
}

uint32_t AsyncProxy::writing(uint32_t offset, uint32_t bytes) const {
  for (const Pending &p : pending) {
    const AsyncOp &op = operation(p.op);
    for (uint32_t cell = offset >> 4; cell <= (offset + bytes - 1) >> 4; ++cell)
      if (op.kind == AsyncKind::Load && cells[cell].write == p.op)
        return p.op;
  }
  return 0;
}

//===----------------------------------------------------------------------===//
// When units act
//===----------------------------------------------------------------------===//

void AsyncProxy::land(size_t k) {
  Pending p = std::move(pending[k]);
  pending.erase(pending.begin() + ptrdiff_t(k));
  at(p.op).landed = true;
  ++cta.warps[0].worker->changes;
  p.land();
}

void AsyncProxy::issue(uint32_t op, std::function<void()> action) {
  pending.push_back({op, std::move(action)});
  Mode mode = cta.warps[0].worker->launch->mode;
  if (mode == Mode::Eager)
    land(pending.size() - 1);
  else if (mode == Mode::Random && cta.nextRandom() % 3 == 0)
    landOne();
}

bool AsyncProxy::landOne() {
  if (pending.empty())
    return false;
  size_t k = 0;
  if (cta.warps[0].worker->launch->mode == Mode::Random) {
    k = cta.nextRandom() % pending.size();
    const AsyncOp &op = operation(pending[k].op);
    if (op.kind != AsyncKind::Load) // in the order of its issuer's
      for (size_t n = 0; n < k; ++n) {
        const AsyncOp &before = operation(pending[n].op);
        if (before.kind == op.kind && before.warp == op.warp && before.block == op.block) {
          k = n;
          break;
        }
      }
  }
  land(k);
  return true;
}

void AsyncProxy::landAll() {
  while (!pending.empty())
    land(0);
}

void AsyncProxy::turn() {
  if (!pending.empty() && cta.warps[0].worker->launch->mode == Mode::Random && cta.nextRandom() % 4 == 0)
    landOne();
}

void AsyncProxy::finish(Warp &w, uint32_t number) {
  for (size_t k = 0; k < pending.size(); ++k)
    if (pending[k].op == number) {
      land(k);
      break;
    }
  AsyncOp &op = at(number);
  op.waited = true;
  if (w.index >= op.warp && w.index < op.warp + op.warps)
    op.done[w.index - op.warp] = w.clocks[w.index];
}

void AsyncProxy::arrived(uint32_t number, uint32_t clock, uint32_t phase) {
  AsyncOp &op = at(number);
  op.barrier = clock;
  op.phase = phase;
}

void AsyncProxy::end() {
  bool checks = cta.warps[0].worker->launch->checks;
  for (const AsyncOp &op : ops) {
    if (!checks)
      break;
    bool known = op.kind == AsyncKind::Load ? std::any_of(cta.warps.begin(), cta.warps.end(),
                                                          [&](const Warp &w) { return knows(w, op); })
                                            : op.waited || op.kind == AsyncKind::Source;
    auto issuer = std::find_if(cta.cluster->ctas.begin(), cta.cluster->ctas.end(),
                               [&](const Cta *block) { return block->linear == op.block; });
    if (known || (*issuer != &cta && op.kind != AsyncKind::Load))
      continue;
    Warp &w = (*issuer)->warps[op.warp];
    if (reportedBefore(w, *op.inst, FindingKind::MissingWait))
      continue;
    report(w, *op.inst, FindingKind::MissingWait, op.lane, kSharedBase + op.offset,
           fmt::format("the block ends while the {} may still use {}; expected {} before its end", nameOf(op),
                       describeShared(w, kSharedBase + op.offset), remedy(op)));
  }
  landAll();
}

} // namespace attune::sim
