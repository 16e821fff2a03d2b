//===- Cluster.cpp - blocks that run together, and each other's shared memory -===//
#include "simulator/Cluster.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

static std::string blockText(const Cta &cta) {
  return fmt::format("block ({}, {}, {})", cta.id[0], cta.id[1], cta.id[2]);
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

void startCluster(Worker &worker, Cluster &cluster, uint64_t number) {
  const Launch &launch = *worker.launch;
  const auto &dims = launch.clusterDims, &grid = launch.config->grid;
  uint64_t x = grid[0] / dims[0], y = grid[1] / dims[1];
  std::array<uint64_t, 3> first = {number % x * dims[0], number / x % y * dims[1], number / x / y * dims[2]};
  cluster.number = number;
  cluster.firstSegment = worker.firstSegment + uint32_t(worker.segments.size());
  cluster.random = launch.config->seed * 0x9E3779B97F4A7C15ull + number * 0xD1B54A32D192ED03ull + 77;
  cluster.barrier = ClusterBarrier();
  cluster.published.clear();
  for (Cta *cta : cluster.ctas) {
    uint32_t r = cta->rank;
    uint64_t bx = first[0] + r % dims[0], by = first[1] + r / dims[0] % dims[1],
             bz = first[2] + r / dims[0] / dims[1];
    startBlock(worker, *cta, bx + grid[0] * (by + uint64_t(grid[1]) * bz));
  }
}

bool Cluster::idle() const {
  bool any = false;
  for (const Cta *cta : ctas)
    for (const Warp &w : cta->warps) {
      bool circles = w.idleAt == w.worker->changes || w.idleAt == ~0ull - 1;
      if (w.state == WarpState::Ready && !circles)
        return false;
      any |= w.state == WarpState::Ready;
    }
  return any;
}

void Cluster::abort() {
  for (Cta *cta : ctas)
    cta->aborted = true;
}

/// What a warp does, in words.
static std::string stateOf(const Warp &w) {
  const Program &p = *w.program;
  bool sleeps = w.state == WarpState::AtMbarrier || w.state == WarpState::AtCluster ||
                w.state == WarpState::Waiting; // and tries it again
  size_t pc = std::min<size_t>(w.pc, p.code.size() - 1) - (w.pc > 0 && !sleeps);
  uint32_t line = p.statements[p.code[pc].statement].ptxLine;
  switch (w.state) {
  case WarpState::Done:
    return "done";
  case WarpState::AtBarrier:
    return fmt::format("at barrier {}, line {}", w.barrier, line);
  case WarpState::Waiting:
    return fmt::format("{}, line {}", w.waitsFor(w), line);
  case WarpState::AtMbarrier:
    return fmt::format("waits for an mbarrier, line {}", line);
  case WarpState::AtCluster:
    return fmt::format("at the cluster's barrier, line {}", line);
  case WarpState::Ready:
    break;
  }
  return fmt::format("runs, line {}", line);
}

std::string warpStates(const Cluster &cluster) {
  std::string text;
  bool several = cluster.ctas.size() > 1;
  for (const Cta *cta : cluster.ctas) {
    if (several)
      text += fmt::format("{}{}: ", text.empty() ? "" : "; ", blockText(*cta));
    size_t first = text.size();
    for (const Warp &w : cta->warps) {
      text += fmt::format("{}warp {}: {}", text.size() == first ? "" : "; ", w.index, stateOf(w));
      if (text.size() > (several ? 3000 : 1500))
        return text + "; ..." + mbarrierStates(*cta);
    }
    text += mbarrierStates(*cta);
  }
  const Launch &launch = *cluster.ctas[0]->warps[0].worker->launch;
  if (launch.exact && launch.clusters > 1)
    text += fmt::format("; {} of {} {} were running", launch.resident, launch.clusters,
                        several ? "clusters" : "blocks");
  return text;
}

void reportIdle(Cluster &cluster) {
  for (Cta *cta : cluster.ctas)
    for (Warp &w : cta->warps) {
      if (w.state != WarpState::Ready)
        continue;
      const Inst &i = w.program->code[w.pc];
      w.mask = w.active ? w.active : 1;
      report(w, i, FindingKind::EndlessLoop, uint32_t(std::countr_zero(w.mask)), 0,
             fmt::format("warp {} {}; {}", w.index,
                         i.exits ? "repeats itself: it waits for a change of memory that nobody makes"
                                 : "is in a loop that has no way out",
                         warpStates(cluster)));
      cta->endless = true;
      return cluster.abort();
    }
}

/// What a stuck warp waits for, and who was the last to do something about it.
static std::string waitOf(const Cluster &cluster, const Cta &cta, const Warp &w, uint64_t &address,
                          OtherAccess &other) {
  if (w.state == WarpState::AtBarrier) {
    const Barrier &b = cta.barriers[w.barrier];
    return fmt::format("barrier {} waits for ever: {} of {} threads arrived", w.barrier, b.arrived,
                       b.expected ? b.expected : liveThreads(cta));
  }
  if (w.state == WarpState::Waiting)
    return fmt::format("warp {} {}, for ever", w.index, w.waitsFor(w));
  if (w.state == WarpState::AtCluster) {
    uint32_t arrived = 0, live = 0;
    for (const Cta *block : cluster.ctas)
      for (const Warp &v : block->warps) {
        arrived += uint32_t(std::popcount(v.clusterArrived & v.live));
        live += v.state == WarpState::Done ? 0 : uint32_t(std::popcount(v.live));
      }
    return fmt::format("the cluster's barrier waits for ever: {} of {} threads arrived", arrived, live);
  }
  const Mbarrier *at = nullptr;
  for (const Mbarrier &m : cta.mbarriers)
    if (m.live && (m.waiting >> w.index & 1))
      at = &m;
  address = at ? kSharedBase + at->offset : 0;
  other = {at ? at->lastSite : -1, at ? at->lastWarp : 0};
  return fmt::format("warp {} waits for ever for the mbarrier at {}", w.index,
                     at ? describeShared(w, kSharedBase + at->offset) : "?");
}

/// Ends the cluster at a fault that leaves it nothing to go on with: the first wait for an mbarrier is told,
/// or the first at a barrier.
static void reportStuck(Cluster &cluster) {
  for (bool mbarriers : {true, false})
    for (Cta *cta : cluster.ctas)
      for (Warp &w : cta->warps) {
        if (w.state == WarpState::Ready || w.state == WarpState::Done ||
            (w.state == WarpState::AtMbarrier) != mbarriers)
          continue;
        w.mask = w.active;
        uint64_t address = 0;
        OtherAccess other;
        std::string what = waitOf(cluster, *cta, w, address, other);
        bool tries = mbarriers || w.state == WarpState::Waiting;
        const Inst &i = tries ? w.program->code[w.pc] : *w.barrierInst;
        report(w, i, FindingKind::Deadlock, uint32_t(std::countr_zero(w.mask)), address,
               fmt::format("{}{} {}", what, mbarriers ? ":" : ";", warpStates(cluster)), other);
        return cluster.abort();
      }
}

/// What the block's asynchronous operations and barriers leave.
static void endUnits(Cta &cta) {
  endBulkStores(cta);
  if (cta.async)
    cta.async->end();
  endMbarriers(cta);
  endWarpgroups(cta);
}

bool stepCluster(Worker &worker, Cluster &cluster, uint64_t rounds, uint64_t quantum) {
  Mode mode = worker.launch->mode;
  size_t n = cluster.ctas.size();
  if (n > 1) { // so that each sees the others at many stages
    rounds = std::min<uint64_t>(rounds, 4);
    quantum = std::min<uint64_t>(quantum, 1 << 12);
  }
  bool running = false, stuck = false;
  auto visit = [&](Cta &cta) {
    BlockState state = cta.over ? BlockState::Over : stepBlock(worker, cta, rounds, quantum);
    running |= state == BlockState::Running;
    stuck |= state == BlockState::Stuck;
    if (state != BlockState::Over || cta.over)
      return;
    cta.over = true;
    countBlock(worker, cta);
    if (cta.aborted)
      return cluster.abort();
    endUnits(cta);
    if (n > 1)
      endOfBlock(cta);
  };
  if (n > 1 && mode == Mode::Random) {
    rounds = 1;
    for (size_t k = 0; k < n; ++k) {
      cluster.random = cluster.random * 6364136223846793005ull + 1442695040888963407ull;
      visit(*cluster.ctas[(cluster.random >> 33) % n]);
    }
    if (running)
      return false;
  }
  for (size_t k = 0; k < n; ++k)
    visit(*cluster.ctas[mode == Mode::Lazy ? n - 1 - k : k]);
  if (std::all_of(cluster.ctas.begin(), cluster.ctas.end(), [](const Cta *cta) { return cta->over; }))
    return true;
  if (running)
    return false;
  for (const Cta *cta : cluster.ctas) // one that another has woken since
    for (const Warp &w : cta->warps)
      if (!cta->over && (w.state == WarpState::Ready || cta->aborted))
        return false;
  if (stuck) {
    reportStuck(cluster);
    for (Cta *cta : cluster.ctas)
      if (!cta->over)
        endUnits(*cta);
  }
  return false; // the next step ends those that were aborted
}

//===----------------------------------------------------------------------===//
// Addresses
//===----------------------------------------------------------------------===//

Cta *clusterCta(const Cta &own, uint32_t rank) {
  return rank < own.cluster->ctas.size() ? own.cluster->ctas[rank] : nullptr;
}

uint32_t clusterAddress(SharedPlace place) {
  return (place.cta->rank + 1) << kRankShift | (kSharedBase + place.offset);
}

SharedPlace placeOf(Cta &own, uint64_t address, uint32_t bytes) {
  if (address >> 32)
    return {};
  Cta *home = &own;
  if (uint64_t rank = address >> kRankShift) {
    home = clusterCta(own, uint32_t(rank - 1));
    address &= (1u << kRankShift) - 1;
  } else if (own.reservedAt && address + bytes <= kSharedBase) {
    return {&own, own.reservedAt + uint32_t(address)};
  }
  if (!home || address < kSharedBase || address + bytes > uint64_t(kSharedBase) + home->sharedBytes)
    return {};
  return {home, uint32_t(address) - kSharedBase};
}

std::string describePlace(const Warp &w, SharedPlace place) {
  std::string own = describeShared(w, kSharedBase + place.offset);
  return place.cta == w.cta ? own : fmt::format("{}'s {}", blockText(*place.cta), own);
}

//===----------------------------------------------------------------------===//
// Accesses
//===----------------------------------------------------------------------===//

/// Whether the warp knows that the block has begun.
static bool hasBegun(Warp &w, const Cta &home) {
  uint32_t bit = 1u << home.rank;
  if (!(w.begunRanks & bit) && (w.order.known.find(home.linear) || w.order.lived.find(home.linear)))
    w.begunRanks |= bit;
  return w.begunRanks & bit;
}

bool isThere(Warp &w, const Inst &i, uint32_t lane, SharedPlace place, uint32_t bytes, bool write) {
  if (!w.worker->launch->checks)
    return true;
  const Cta &home = *place.cta;
  bool begun = hasBegun(w, home);
  if (begun && !home.over)
    return true;
  if (!reportedBefore(w, i, FindingKind::Lifetime))
    report(w, i, FindingKind::Lifetime, lane, clusterAddress(place),
           fmt::format(
               "{} of {} bytes at {} which {}", write ? "write" : "read", bytes, describePlace(w, place),
               !begun ? "is not known to have begun: expected a barrier of the cluster (barrier.cluster) "
                        "before it"
                      : "has ended: expected it to wait at a barrier of the cluster (barrier.cluster) "
                        "before it ends"));
  return false;
}

void visit(Warp &w, const Inst &i, uint32_t lane, SharedPlace place, uint32_t bytes, bool write) {
  isThere(w, i, lane, place, bytes, write);
  Cta &home = *place.cta;
  if (w.worker->launch->checks && !home.over)
    home.visitors[{w.cta->linear, w.index}] = {w.clocks[w.index], i.statement, int(lane)};
}

void touchRemote(Warp &w, const Inst &i, uint32_t lane, SharedPlace place, uint32_t bytes, bool write,
                 StoredValues stored) {
  if (!w.worker->launch->checks)
    return;
  visit(w, i, lane, place, bytes, write);
  place.cta->touchedByOthers = true;
  if (place.cta->async)
    place.cta->async->touch(w, i, lane, place.offset, bytes, write);
  raceRemote(w, i, *place.cta, lane, place.offset, bytes, write, stored);
  if (write) {
    w.worker->changes += !i.atomic;
    if (i.order)
      w.stop = w.cta->yield = true;
  }
}

uint32_t accessElsewhere(Warp &w, const Inst &i, const uint64_t *address, uint32_t mask, uint32_t width,
                         uint32_t count, bool write, void *data) {
  uint32_t bytes = width * count, done = 0;
  bool checks = w.worker->launch->checks;
  auto element = [&](uint32_t n, uint32_t l) {
    return static_cast<std::byte *>(data) + size_t(n * 32 + l) * (width == 8 ? 8 : 4);
  };
  for (uint32_t m = mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    SharedPlace place = placeOf(*w.cta, address[l], bytes);
    if (!place.cta || (Space(i.aux) == Space::Shared && place.cta != w.cta))
      continue;
    done |= 1u << l;
    Cta &home = *place.cta;
    (write ? w.worker->counters.sharedStoreBytes : w.worker->counters.sharedLoadBytes) += bytes;
    std::byte stored[16], *at = home.shared + place.offset;
    for (uint32_t n = 0; n < count; ++n)
      std::memcpy(stored + n * width, element(n, l), width);
    StoredValues values = write ? StoredValues{data, width, count} : StoredValues();
    if (&home != w.cta) {
      touchRemote(w, i, l, place, bytes, write, values);
    } else if (checks) {
      uint64_t offsets[32];
      offsets[l] = place.offset;
      raceLanes(w, i, offsets, 1u << l, bytes, write, values);
      raceAccess(w, i, l, place.offset, bytes, write, write ? stored : nullptr);
    }
    bool defined = true;
    for (uint32_t b = place.offset; b < place.offset + bytes; ++b) {
      defined &= home.sharedInit[b >> 3] >> (b & 7) & 1;
      home.sharedInit[b >> 3] |= uint8_t(uint32_t(write) << (b & 7));
    }
    if (write) {
      std::memcpy(at, stored, bytes);
      continue;
    }
    for (uint32_t n = 0; n < count; ++n)
      std::memcpy(element(n, l), at + n * width, width);
    if (!defined && checks && !reportInFlight(w, i, l, place, bytes)) {
      uint64_t bit[32], told[32];
      bit[l] = place.offset;
      told[l] = clusterAddress(place);
      loadUndefined(w, i, 1u << l, home.sharedInit, bit, told, Space::Cluster);
    }
  }
  return done;
}

void endOfBlock(Cta &cta) {
  if (!cta.warps[0].worker->launch->checks)
    return;
  for (const auto &[visitor, access] : cta.visitors) {
    auto [block, warp] = visitor;
    const Clocks *known = cta.knownAtEnd.find(block);
    if (known && warp < known->size() && (*known)[warp] >= access.clock)
      continue;
    Warp &w = cta.warps[0];
    Inst exit;
    exit.statement = uint32_t(w.program->statements.size() - 1);
    if (reportedBefore(w, exit, FindingKind::Lifetime))
      continue;
    report(
        w, exit, FindingKind::Lifetime, 0, 0,
        fmt::format("{} ends without having waited for the other blocks of its cluster that use its shared "
                    "memory: expected a barrier of the cluster (barrier.cluster), or an mbarrier, between "
                    "their last access and its end",
                    blockText(cta)),
        {access.site, warp, access.lane, int64_t(block)});
  }
}

//===----------------------------------------------------------------------===//
// The cluster's barrier
//===----------------------------------------------------------------------===//

/// Lets the barrier complete if nobody is missing. `last` is the warp that arrived, if one did.
static void completePhase(Cluster &cluster, const Warp *last) {
  for (const Cta *cta : cluster.ctas)
    for (const Warp &w : cta->warps)
      if (w.state != WarpState::Done && (w.live & ~w.clusterArrived))
        return;
  ClusterBarrier &b = cluster.barrier;
  for (Cta *cta : cluster.ctas) {
    // Warps that wait as soon as they arrive are as behind a barrier of their block.
    bool whole = !b.relaxed;
    for (const Warp &w : cta->warps)
      whole &= w.state == WarpState::AtCluster || w.state == WarpState::Done ||
               (&w == last && w.fragments.empty() && w.program->code[w.pc].fn == execClusterWait);
    if (whole)
      orderBlock(*cta);
    for (Warp &w : cta->warps) {
      w.clusterArrived = 0;
      if (w.state == WarpState::AtCluster)
        w.state = WarpState::Ready; // and looks again
    }
  }
  ++cluster.ctas[0]->warps[0].worker->changes;
  b.done = b.known;
  b.past = b.lived;
  b.known.clear();
  b.lived.clear();
  b.relaxed = false;
}

void execClusterArrive(Warp &w, const Inst &i) {
  bool relaxed = i.aux & 2;
  if ((i.aux & 1) && !converge(w, i, w.live, true))
    return;
  ClusterBarrier &b = w.cta->cluster->barrier;
  uint32_t lane = uint32_t(std::countr_zero(w.mask));
  if ((w.mask & w.clusterOwed) && !reportedBefore(w, i, FindingKind::BarrierMisuse))
    report(w, i, FindingKind::BarrierMisuse, lane, 0,
           "arrives a second time at the cluster's barrier without having waited (barrier.cluster.wait) in "
           "between");
  b.relaxed |= relaxed;
  w.clusterArrived |= w.mask;
  w.clusterOwed |= w.mask;
  if (w.worker->launch->ordering) {
    if (!relaxed) {
      if (w.cta->async)
        w.cta->async->arrives(w);
      fence(w, Scope::Cluster);
    }
    // Relaxed: what an earlier fence has made publishable.
    WarpOrder &o = w.order;
    if (!o.fenced.cluster.empty())
      b.known.raise(w.cta->linear, o.fenced.cluster);
    b.known.join(o.known);
    b.lived.raise(w.cta->linear, w.clocks);
    ++w.clocks[w.index];
  }
  orderLanes(w, w.mask);
  completePhase(*w.cta->cluster, &w);
}

void execClusterWait(Warp &w, const Inst &i) {
  if ((i.aux & 1) && !converge(w, i, w.live, true))
    return;
  if ((w.mask & ~w.clusterOwed) && !reportedBefore(w, i, FindingKind::BarrierMisuse))
    report(w, i, FindingKind::BarrierMisuse, uint32_t(std::countr_zero(w.mask & ~w.clusterOwed)), 0,
           "waits at the cluster's barrier without having arrived at it (barrier.cluster.arrive)");
  if (w.mask & w.clusterArrived)
    completePhase(*w.cta->cluster, nullptr); // others may have ended since
  if (w.mask & w.clusterArrived) {           // the phase is not over
    --w.pc;
    w.stop = true;
    // Threads of the warp that have yet to come go on.
    if (giveWay(w, [&](const Fragment &f) { return w.program->code[f.pc].fn != execClusterWait; }))
      return;
    w.state = WarpState::AtCluster;
    w.barrierInst = &i;
    ++w.worker->counters.barrierWaits;
    return;
  }
  w.clusterOwed &= ~w.mask;
  if (!w.worker->launch->ordering)
    return;
  const ClusterBarrier &b = w.cta->cluster->barrier;
  uint32_t own = w.clocks[w.index];
  if (const Clocks *clocks = b.done.find(w.cta->linear))
    join(w.clocks, *clocks);
  w.clocks[w.index] = own;
  w.order.known.join(b.done);
  w.order.lived.join(b.past);
  orderLanes(w, w.mask);
}

void leaveCluster(Warp &w) {
  Cta &cta = *w.cta;
  cta.knownAtEnd.join(w.order.known);
  cta.knownAtEnd.join(w.order.lived);
  completePhase(*cta.cluster, nullptr);
}

//===----------------------------------------------------------------------===//
// mapa, getctarank, isspacep
//===----------------------------------------------------------------------===//

/// Inst::width: bytes of an address; aux 1: addresses are generic.
static uint64_t sharedOperand(const Warp &w, const Inst &i, uint32_t lane) {
  uint64_t a = i.width == 8 ? reinterpret_cast<const uint64_t *>(w.regs + i.a)[lane]
                            : reinterpret_cast<const uint32_t *>(w.regs + i.a)[lane];
  return i.aux & 1 ? a - kSharedWindow : a;
}

static bool isShared(Warp &w, const Inst &i, uint32_t lane, uint64_t address) {
  bool ok = address < kWindowBytes && address >> kRankShift <= w.cta->cluster->ctas.size();
  if (!ok && !reportedBefore(w, i, FindingKind::BadOperand))
    report(w, i, FindingKind::BadOperand, lane, address,
           fmt::format("expected an address of shared memory of the cluster, got 0x{:x}",
                       i.aux & 1 ? address + kSharedWindow : address));
  return ok;
}

static void mapAddress(Warp &w, const Inst &i) {
  size_t ranks = w.cta->cluster->ctas.size();
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m)), rank = reinterpret_cast<uint32_t *>(w.regs + i.b)[l];
    uint64_t a = sharedOperand(w, i, l), d = 0;
    if (rank >= ranks) {
      if (!reportedBefore(w, i, FindingKind::BadOperand))
        report(w, i, FindingKind::BadOperand, l, rank,
               fmt::format("expected the rank of a block of the cluster, 0 to {}, got {}", ranks - 1, rank));
    } else if (isShared(w, i, l, a)) {
      d = uint64_t(rank + 1) << kRankShift | (a & ((1u << kRankShift) - 1));
    }
    if (i.aux & 1)
      d += kSharedWindow;
    if (i.width == 8)
      reinterpret_cast<uint64_t *>(w.regs + i.d)[l] = d;
    else
      reinterpret_cast<uint32_t *>(w.regs + i.d)[l] = uint32_t(d);
  }
}

static void rankOfAddress(Warp &w, const Inst &i) {
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    uint64_t a = sharedOperand(w, i, l);
    uint32_t rank = isShared(w, i, l, a) ? uint32_t(a >> kRankShift) : 0;
    reinterpret_cast<uint32_t *>(w.regs + i.d)[l] = rank ? rank - 1 : w.cta->rank;
  }
}

/// isspacep.shared: whether a generic address lies in the own block's window.
static void isOwnShared(Warp &w, const Inst &i) {
  uint32_t result = 0;
  for (uint32_t l = 0; l < 32; ++l) {
    uint64_t rank = (reinterpret_cast<const uint64_t *>(w.regs + i.a)[l] - kSharedWindow) >> kRankShift;
    result |= uint32_t(rank == 0 || rank == w.cta->rank + 1) << l;
  }
  w.preds[i.d] = (w.preds[i.d] & ~w.mask) | (result & w.mask);
}

void addCluster(HandlerTable &t) {
  t.add("mapa", mapAddress, "", Class::Integer);
  t.add("getctarank", rankOfAddress, "", Class::Integer);
  t.add("isspacep:shared", isOwnShared, "p:q", Class::Predicate);
  t.add("cluster:arrive", execClusterArrive, "", Class::Barrier);
  t.add("cluster:wait", execClusterWait, "", Class::Barrier);
}

} // namespace attune::sim
