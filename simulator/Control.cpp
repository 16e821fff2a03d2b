//===- Control.cpp - divergence, and the scheduling of a block ------------===//
//
// A warp whose lanes took different ways is a set of fragments (pc, lanes); the one that is behind by the
// order of the code (BlockOrder.cpp) runs, and fragments that meet at a pc merge. An instruction at which
// lanes must be together suspends the fragment until the missing lanes come; if they cannot come any more,
// that is a finding, and the fragment goes on without them.
//
//===----------------------------------------------------------------------===//
#include "simulator/Cluster.h"
#include "simulator/clock/Record.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

static uint32_t orderOf(const Warp &w, uint32_t pc) { return w.program->order[pc]; }

/// The fragment whose turn it is by the order of the code, of those that `may` go; fragments.size(): none.
template <class F> static size_t firstInOrder(const Warp &w, F may) {
  size_t best = w.fragments.size();
  for (size_t f = 0; f < w.fragments.size(); ++f)
    if (may(w.fragments[f]) &&
        (best == w.fragments.size() || orderOf(w, w.fragments[f].pc) < orderOf(w, w.fragments[best].pc)))
      best = f;
  return best;
}

void updateJoin(Warp &w) {
  w.joinPc = kFull;
  if (w.fragments.empty())
    return;
  w.joinPc = w.program->blockEnd[w.pc]; // where it is looked at again
  for (const Fragment &f : w.fragments)
    if (f.pc >= w.pc && f.pc < w.joinPc)
      w.joinPc = f.pc;
    else if (!f.missing && !w.fair && orderOf(w, f.pc) < orderOf(w, w.pc))
      w.joinPc = w.pc;
}

static void run(Warp &w, size_t fragment) {
  w.pc = w.fragments[fragment].pc;
  w.active = w.fragments[fragment].mask;
  w.fragments.erase(w.fragments.begin() + ptrdiff_t(fragment));
  updateJoin(w);
}

void reconverge(Warp &w) {
  for (;;) {
    for (size_t f = 0; f < w.fragments.size();) {
      if (w.fragments[f].pc != w.pc) {
        ++f;
        continue;
      }
      w.active |= w.fragments[f].mask;
      w.fragments.erase(w.fragments.begin() + ptrdiff_t(f));
    }
    size_t first = firstInOrder(
        w, [&](const Fragment &f) { return !w.fair && !f.missing && orderOf(w, f.pc) < orderOf(w, w.pc); });
    if (first == w.fragments.size()) {
      updateJoin(w);
      return;
    }
    Fragment self{w.pc, w.active, 0};
    w.pc = w.fragments[first].pc;
    w.active = w.fragments[first].mask;
    w.fragments[first] = self;
  }
}

/// Whether all fragments wait at `barrier.sync` without .aligned and with one number: threads of a warp may
/// come to it by different ways.
static bool atOneBarrier(const Warp &w) {
  uint32_t id = kFull;
  for (const Fragment &f : w.fragments) {
    const Inst &i = w.program->code[f.pc];
    if (i.cls != Class::Barrier || i.fn != execBarrier || (i.aux & 1))
      return false;
    uint32_t own = reinterpret_cast<const uint32_t *>(w.regs + i.a)[__builtin_ctz(f.mask)];
    if (id != kFull && own != id)
      return false;
    id = own;
  }
  return true;
}

bool giveWay(Warp &w, const std::function<bool(const Fragment &)> &may) {
  for (size_t f = 0; f < w.fragments.size(); ++f) {
    if (w.fragments[f].missing || !may(w.fragments[f]))
      continue;
    w.fair = true;
    w.fragments.push_back({w.pc, w.active, 0});
    run(w, f);
    return true;
  }
  return false;
}

bool selectFragment(Warp &w) {
  size_t best = firstInOrder(w, [](const Fragment &f) { return !f.missing; });
  if (best < w.fragments.size()) {
    run(w, best);
    return true;
  }
  if (w.fragments.empty())
    return false;
  // All wait for lanes that wait elsewhere or have exited.
  best = firstInOrder(w, [](const Fragment &) { return true; });
  uint32_t missing = w.fragments[best].missing;
  if (atOneBarrier(w)) { // the lowest arrives for the warp; the others go on behind their own
    run(w, best);
    for (Fragment &f : w.fragments) {
      ++f.pc;
      f.missing = 0;
    }
    updateJoin(w);
    w.forced = true;
    return true;
  }
  run(w, best);
  const Inst &i = w.program->code[w.pc];
  if (w.worker->launch->checks && !reportedBefore(w, i, FindingKind::Divergence)) {
    int64_t other = -1;
    for (const Fragment &f : w.fragments)
      if (f.mask & missing) {
        other = w.program->code[f.pc].statement;
        break;
      }
    uint32_t keep = w.mask;
    w.mask = w.active;
    report(w, i, FindingKind::Divergence, uint32_t(__builtin_ctz(w.active)), 0,
           fmt::format("lanes 0x{:08x} execute it without lanes 0x{:08x}, which {}", w.active, missing,
                       (missing & w.live) ? "wait elsewhere" : "have exited instead"),
           {other, w.index});
    w.mask = keep;
  }
  w.forced = true;
  return true;
}

bool converge(Warp &w, const Inst &i, uint32_t need, bool aligned) {
  if (!(need & ~w.mask))
    return true;
  if (w.forced) {
    w.forced = false;
    return true;
  }
  uint32_t missing = need & ~w.mask & w.live;
  if (!missing)
    return true;
  if (missing & w.active) { // kept away by the guard
    if (w.worker->launch->checks && !reportedBefore(w, i, FindingKind::Divergence))
      report(w, i, FindingKind::Divergence, uint32_t(__builtin_ctz(w.mask)), 0,
             fmt::format("lanes 0x{:08x} execute it without lanes 0x{:08x}, whose guard is false", w.mask,
                         missing));
    return true;
  }
  w.fragments.push_back({w.pc - 1, w.active, missing});
  selectFragment(w);
  return false;
}

void execBranch(Warp &w, const Inst &i) {
  uint32_t taken = w.mask;
  if (taken == w.active) {
    w.pc = i.target;
  } else if (taken) {
    ++w.worker->counters.divergentBranches;
    w.fragments.push_back({w.pc, w.active & ~taken, 0});
    w.active = taken;
    w.pc = i.target;
  }
  if (!w.fragments.empty())
    updateJoin(w);
}

void suspend(Warp &w, std::string (*waitsFor)(const Warp &)) {
  --w.pc;
  w.state = WarpState::Waiting;
  w.waitsFor = waitsFor;
  w.stop = true;
}
void wake(Warp &w) { w.state = WarpState::Ready; }

void execNop(Warp &, const Inst &) {}

void execExit(Warp &w, const Inst &) {
  w.live &= ~w.mask;
  w.active &= ~w.mask;
  if (w.active)
    return;
  if (!selectFragment(w)) {
    w.state = WarpState::Done;
    w.stop = true;
  }
}

void execTrap(Warp &w, const Inst &i) {
  report(w, i, FindingKind::Trap, uint32_t(__builtin_ctz(w.mask)), 0, "the kernel executed a trap");
  w.cta->aborted = true;
  w.stop = true;
}

void execClock(Warp &w, const Inst &i) {
  uint64_t t = std::min(w.executed, w.clockStop);
  for (int l = 0; l < 32; ++l) {
    if (!(w.mask >> l & 1))
      continue;
    if (i.width == 8)
      reinterpret_cast<uint64_t *>(w.regs + i.d)[l] = t;
    else
      reinterpret_cast<uint32_t *>(w.regs + i.d)[l] = uint32_t(i.imm ? t >> 32 : t);
  }
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

/// Executes up to `left` instructions; what is left of them. Stops at Warp::stop.
template <bool Tracked> static uint64_t runSteps(Warp &w, uint64_t left) {
  const Inst *code = w.program->code.data();
  uint64_t *counts = w.worker->classCounts;
  w.stop = false;
  while (left) {
    if (w.pc >= w.joinPc)
      reconverge(w);
    const Inst &i = code[w.pc++];
    --left;
    ++counts[size_t(i.cls)];
    w.mask = w.active & (w.preds[i.guard] ^ i.guardNeg);
    if constexpr (Tracked) {
      if (w.mask || i.runsEmpty || (w.undefined->predicates[i.guard] & w.active))
        executeUndefined(w, i);
    } else {
      if (!w.mask && !i.runsEmpty)
        continue;
      i.fn(w, i);
    }
    if (w.stop)
      break;
  }
  return left;
}

static void runWarp(Warp &w, uint64_t budget) {
  const Trace &trace = w.worker->launch->config->trace;
  if (trace.see && trace.block == w.cta->linear && trace.warp == w.index)
    return runTraced(w, budget);
  if (w.cta->record) [[unlikely]]
    return runRecorded(w, budget);
  uint64_t left = budget;
  for (bool tracked;;) { // to and fro as undefined values come and go
    tracked = w.tracked;
    left = tracked ? runSteps<true>(w, left) : runSteps<false>(w, left);
    if (!left || w.tracked == tracked || w.state != WarpState::Ready || w.cta->aborted || w.cta->yield)
      break;
  }
  w.executed += budget - left;
}

void startBlock(Worker &worker, Cta &cta, uint64_t number) {
  const Launch &launch = *worker.launch;
  const LaunchConfig &config = *launch.config;
  const Program &program = *launch.program;
  cta.linear = number;
  cta.id = blockAt(config, number);
  ++cta.epoch;
  cta.details.clear();
  cta.cellWords.clear();
  cta.aborted = cta.endless = cta.over = false;
  cta.visitors.clear();
  cta.touchedByOthers = false;
  cta.knownAtEnd.clear();
  cta.nextWarp = 0;
  for (Barrier &b : cta.barriers)
    b = Barrier();
  std::memset(cta.shared, 0xFF, cta.sharedBytes);
  std::memset(cta.sharedInit, 0, (cta.sharedBytes + 7) / 8);
  if (cta.reservedAt) // whatever the system left there
    std::memset(cta.sharedInit + cta.reservedAt / 8, 0xFF, kSharedBase / 8);
  cta.random = config.seed * 0x9E3779B97F4A7C15ull + cta.linear * 0xD1B54A32D192ED03ull + 1;
  cta.orderedBelow = worker.firstSegment + uint32_t(worker.segments.size());
  cta.bytePool.recycle();
  cta.mbarriers.clear();
  cta.expiredAt = ~0ull;
  if (cta.async)
    cta.async->begin(cta.sharedBytes);
  if (launch.ordering)
    cta.published.clear();
  beginWarpgroups(cta);
  cta.record = launch.recording ? launch.recording->find(number) : nullptr;
  if (cta.record) {
    cta.record->rank = cta.rank;
    cta.record->begin(launch.warpsPerCta);
  }
  for (Warp &w : cta.warps) {
    uint32_t threads = std::min(32u, launch.threadsPerCta - w.index * 32);
    w.live = w.active = threads == 32 ? kFull : (1u << threads) - 1;
    w.pc = 0;
    w.joinPc = kFull;
    w.forced = w.fair = false;
    w.state = WarpState::Ready;
    w.executed = w.switchedAt = 0;
    w.nextProbe = 1 << 14;
    w.idleAt = w.clockStop = ~0ull;
    w.fragments.clear();
    w.clocks.assign(cta.warps.size(), 0);
    w.clocks[w.index] = 1;
    w.segment = 0;
    w.laneSyncs.clear();
    w.clusterArrived = w.clusterOwed = 0;
    w.begunRanks = 1u << cta.rank;
    if (launch.ordering)
      w.order = WarpOrder();
    for (const AsyncCopy &c : w.copies) // that nobody waited for
      for (uint32_t l = 0; l < 32; ++l)
        if (c.mask >> l & 1)
          cta.cells[c.shared[l] >> 4].flightBytes = 0;
    w.copies.clear();
    w.landed.clear();
    w.laneLog.clear();
    std::memset(w.committed, 0, sizeof(w.committed));
    w.bulkStores.clear();
    w.wroteGlobal = false;
    std::memset(w.bulkGroups, 0, sizeof(w.bulkGroups));
    w.expired = false;
    if (w.localInit)
      std::memset(w.localInit, 0, program.info.localBytes * 32 / 8);
    for (const Program::Special &s : program.specials) {
      uint32_t *at = reinterpret_cast<uint32_t *>(w.regs + s.offset);
      size_t axis = size_t(s.name.back() - 'x');
      if (s.name.compare(0, 7, "%ctaid.") == 0)
        std::fill(at, at + 32, cta.id[axis]);
      else if (s.name.compare(0, 11, "%clusterid.") == 0)
        std::fill(at, at + 32, cta.id[axis] / launch.clusterDims[axis]);
    }
    beginUndefined(w);
  }
}

/// Lets a warp that has run for long take some more steps, to see whether it comes back to where it was with
/// all its registers as they were and nothing changed in memory: then only others can end its loop.
static void probe(Warp &w) {
  constexpr int most = 4096;
  constexpr uint64_t kLongWait = 2'000'000; // instructions, which is what the clocks count
  if (w.executed < w.nextProbe || w.state != WarpState::Ready)
    return;
  w.nextProbe = w.executed * 2;
  if (!w.program->code[w.pc].exits) {
    w.idleAt = ~0ull - 1; // whatever may change
    return;
  }
  auto runnable = [](const Fragment &f) { return !f.missing; };
  if (w.program->ordering && std::any_of(w.fragments.begin(), w.fragments.end(), runnable))
    return; // they may end it
  size_t bytes = w.program->fileBytes, predicates = w.program->predicates;
  std::vector<std::byte> registers(w.regs, w.regs + bytes);
  std::vector<uint32_t> preds(w.preds, w.preds + predicates);
  uint32_t pc = w.pc, active = w.active, rounds = 0;
  size_t fragments = w.fragments.size();
  uint64_t changes = w.worker->changes;
  // A wait that looks at the clock as well is one without an end when it has lasted so long.
  w.clockStop = w.executed > kLongWait ? w.executed : ~0ull;
  for (int step = 0; step < most && w.worker->changes == changes; ++step) {
    runWarp(w, 1);
    if (w.state != WarpState::Ready || w.cta->aborted)
      break;
    if (w.pc != pc || w.active != active || w.fragments.size() != fragments)
      continue;
    if (std::equal(preds.begin(), preds.end(), w.preds) &&
        std::memcmp(registers.data(), w.regs, bytes) == 0) {
      w.idleAt = w.worker->changes;
      break;
    }
    ++rounds;
    if ((rounds & (rounds - 1)) == 0) { // the first rounds may differ from those that follow
      preds.assign(w.preds, w.preds + predicates);
      registers.assign(w.regs, w.regs + bytes);
    }
  }
  w.clockStop = ~0ull;
}

/// Threads of a warp make progress independently: where some of them have run long, perhaps waiting for what
/// others will do, the others take over, and for as long the order of the code does not decide.
static void rotate(Warp &w) {
  uint64_t most = w.cta->yield ? 16 : 512; // instructions; few where they are attempts at an atomic
  if (!w.program->ordering)
    return;
  if (w.fragments.empty()) {
    w.fair = false;
    w.switchedAt = w.executed;
  }
  if (w.state != WarpState::Ready || w.executed - w.switchedAt < most)
    return;
  w.switchedAt = w.executed;
  giveWay(w, [](const Fragment &) { return true; });
}

void countBlock(Worker &worker, const Cta &cta) {
  ++worker.counters.blocks;
  if (LaunchProgress *progress = worker.launch->config->progress)
    progress->ended.fetch_add(1, std::memory_order_relaxed);
  uint64_t executed = 0;
  for (const Warp &w : cta.warps)
    executed += w.executed;
  worker.counters.warpInstructions += executed;
  if (Recording *recording = worker.launch->recording; recording && !recording->executed.empty())
    recording->executed[cta.linear] = executed;
}

BlockState stepBlock(Worker &worker, Cta &cta, uint64_t rounds, uint64_t quantum) {
  const Launch &launch = *worker.launch;
  Cluster &cluster = *cta.cluster;
  bool random = launch.mode == Mode::Random;
  uint64_t limit = launch.config->maxInstructionsPerWarp;
  size_t n = cta.warps.size();
  size_t ready = n;
  if (launch.interleaved) // what one warp waits for may be another block's to do
    ready = size_t(std::count_if(cta.warps.begin(), cta.warps.end(),
                                 [](const Warp &w) { return w.state == WarpState::Ready; }));
  uint64_t turns = rounds * std::max<uint64_t>(ready, 1);
  cta.yield = false;
  for (uint64_t turn = 0; turn < turns && !cta.aborted && !cta.yield; ++turn) {
    // The next ready warp in turn, or any in random mode.
    size_t pick = random ? cta.nextRandom() % n : cta.nextWarp;
    size_t tried = 0;
    while (tried < n && cta.warps[pick].state != WarpState::Ready) {
      pick = (pick + 1) % n;
      ++tried;
    }
    if (tried == n) {
      // The latest moment at which an operation in flight may land.
      if ((cta.async && cta.async->landOne()) || expireWaits(cta))
        continue;
      return std::all_of(cta.warps.begin(), cta.warps.end(),
                         [](const Warp &w) { return w.state == WarpState::Done; })
                 ? BlockState::Over
                 : BlockState::Stuck;
    }
    if (cta.async)
      cta.async->turn();
    Warp &w = cta.warps[pick];
    cta.nextWarp = (pick + 1) % n;
    uint64_t most = random ? 1 + cta.nextRandom() % 200 : quantum;
    runWarp(w, std::min(most, limit - w.executed + 1));
    if (w.executed > limit) {
      const Inst &i = w.program->code[w.pc ? w.pc - 1 : 0];
      w.mask = w.active ? w.active : 1;
      report(
          w, i, FindingKind::EndlessLoop, uint32_t(__builtin_ctz(w.mask)), 0,
          fmt::format("warp {} executed more than {} instructions; {}", w.index, limit, warpStates(cluster)));
      cta.aborted = cta.endless = true;
    }
    if (launch.checks) {
      probe(w);
      if (cluster.idle() && (!launch.exact || launch.clusters == 1))
        reportIdle(cluster);
    }
    if (w.state == WarpState::Done) {
      for (Barrier &b : cta.barriers) // a barrier of the whole block does not wait for warps that are gone
        if (b.active && !b.expected && b.arrived && b.arrived >= liveThreads(cta))
          completeBarrier(cta, b);
      if (launch.clusterSize > 1)
        leaveCluster(w);
    }
    rotate(w);
  }
  return cta.aborted ? BlockState::Over : BlockState::Running;
}

} // namespace attune::sim
