//===- Mbarrier.cpp - barriers in shared memory ---------------------------===//
//
// A phase ends when all expected threads have arrived and all expected bytes have come. PTX keeps the
// object's contents to the device; here its 64 bits are, from the lowest: 20 bits of arrivals that are
// pending, 20 of those expected in each phase, 22 of bytes (signed), one unused, and the phase's parity. An
// arrival's state is the pending arrivals before it and, from bit 20 on, the number of the phase.
//
// Arriving publishes what a warp knows; a wait that succeeds learns what the arrivals of that phase and of
// those before it published, and that the phase has ended (AsyncProxy.h).
//
// A wait by parity is meant for the first phase of that parity that the waiter does not know to have ended:
// if a later one of the same parity has ended as well, it is two phases behind, and passes by luck.
//
//===----------------------------------------------------------------------===//
#include "simulator/Mbarrier.h"

#include "simulator/Cluster.h"
#include "simulator/MbarrierAction.h"
#include "simulator/clock/Record.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

void execWaitGroup(Warp &w, const Inst &i);

using namespace mbarrier;

namespace {

constexpr uint64_t kMostThreads = (1 << 20) - 1;
constexpr int64_t kMostBytes = (1 << 20) - 1;

struct Object {
  uint64_t pending, expected;
  int64_t bytes;

  static Object from(uint64_t v) { return {v & kMostThreads, v >> 20 & kMostThreads, int64_t(v << 2) >> 42}; }
  uint64_t word(uint64_t phase) const {
    return pending | expected << 20 | (uint64_t(bytes) & 0x3FFFFF) << 40 | phase << 63;
  }
};

/// The phase ends: what was published counts, sleepers wake.
void endPhase(Cta &cta, Mbarrier &m, Object &object) {
  object.pending = object.expected;
  ++m.phase;
  if (cta.warps[0].worker->launch->ordering) {
    m.completed = m.arrived;
    if (m.completed.size() <= m.clock)
      m.completed.resize(m.clock + 1);
    m.completed[m.clock] = uint32_t(m.phase);
    m.completedForeign = m.arrivedForeign;
  }
  for (uint32_t rest = m.waiting; rest; rest &= rest - 1) {
    Warp &w = cta.warps[size_t(std::countr_zero(rest))];
    if (w.state == WarpState::AtMbarrier)
      w.state = WarpState::Ready;
  }
  m.waiting = 0;
}

void store(Cta &cta, Mbarrier &m, const Object &object) {
  m.word = object.word(m.phase);
  std::memcpy(cta.shared + m.offset, &m.word, 8);
}

uint64_t readWord(const Cta &cta, uint32_t offset) {
  uint64_t bits;
  std::memcpy(&bits, cta.shared + offset, 8);
  return bits;
}

/// What the warp has done before is published with its arrival.
void publish(Warp &w, const Inst &i, Cta &target, Mbarrier &m) {
  if (!w.worker->launch->ordering)
    return;
  bool remote = &target != w.cta;
  if (i.order & kRelease)
    release(w, i.order & kDeviceScope                ? Scope::Device
               : remote || (i.order & kClusterScope) ? Scope::Cluster
                                                     : Scope::Block);
  WarpOrder &o = w.order;
  if (!remote) {
    join(m.arrived, o.fenced.block);
  } else {
    if (!o.fenced.cluster.empty())
      m.arrivedForeign.raise(w.cta->linear, o.fenced.cluster);
    if (const Clocks *own = o.known.find(target.linear))
      join(m.arrived, *own);
  }
  m.arrivedForeign.join(o.known);
}

void learn(Warp &w, const Inst &i, const Mbarrier &m) {
  if (!w.worker->launch->ordering)
    return;
  WarpOrder &o = w.order;
  bool now = i.order & kAcquire;
  uint32_t own = w.clocks[w.index];
  Clocks &to = now ? w.clocks : o.pending;
  join(to, m.completed);
  if (const Clocks *foreign = m.completedForeign.find(w.cta->linear))
    join(to, *foreign);
  w.clocks[w.index] = own;
  (now ? o.known : o.pendingForeign).join(m.completedForeign);
}

/// One instruction's work on the barrier that the lanes of `lanes` name.
class Execution {
public:
  Execution(Warp &w, const Inst &i) : w(w), i(i), action(Action(i.aux & 15)) {}

  uint64_t addressOf(uint32_t l) const {
    uint64_t address = i.addr64 ? reinterpret_cast<uint64_t *>(w.regs + i.a)[l] + uint64_t(i.imm)
                                : uint32_t(word(i.a, l) + uint32_t(i.imm));
    return (i.aux >> 4 & 3) == 2 ? address - kSharedWindow : address;
  }

  void run(uint64_t address, uint32_t lanes) {
    uint32_t lead = uint32_t(std::countr_zero(lanes));
    if (address & 7) {
      reportMisaligned(w, i, lead, address, 8);
      passed |= lanes;
      return;
    }
    SharedPlace place = placeOf(*w.cta, address);
    if (!place.cta || place.offset + 8 > place.cta->sharedBytes) {
      reportSharedOutOfBounds(w, i, lead, address, 8, true);
      passed |= lanes; // so that a loop around a wait ends
      return;
    }
    at = address;
    Cta &cta = *place.cta;
    checks = w.worker->launch->checks;
    if (&cta != w.cta)
      visit(w, i, lead, place, 8, action < Wait);
    Mbarrier *m = mbarrierAt(cta, place.offset);
    if (action == Init)
      return init(cta, place.offset, m, lanes);
    if (!m) {
      misuse(lead, "it is not initialised; expected mbarrier.init, and a barrier, before");
      passed |= lanes;
      return;
    }
    if (checks)
      checkUse(cta, *m, lanes);
    if (action == Invalidate) {
      if (checks)
        ordinaryWrite(lead, place.offset);
      m->live = false;
      std::memset(cta.sharedInit + (place.offset >> 3), 0, 1);
      return;
    }
    if (action >= Wait)
      return wait(cta, *m, lanes);
    arrive(cta, *m, lanes);
  }

  uint32_t passed = 0, sleepers = 0; ///< lanes whose wait succeeds; that may sleep
  uint64_t states[32] = {};
  std::vector<Mbarrier *> failed;

private:
  uint32_t word(uint32_t offset, uint32_t l) const {
    return reinterpret_cast<uint32_t *>(w.regs + offset)[l];
  }

  void misuse(uint32_t lane, const std::string &text, int64_t site = -1, uint32_t warp = 0) {
    if (w.worker->launch->checks && !reportedBefore(w, i, FindingKind::BarrierMisuse))
      report(w, i, FindingKind::BarrierMisuse, lane, at,
             fmt::format("mbarrier at {}: {}", describeShared(w, uint32_t(at)), text), {site, warp});
  }

  void ordinaryWrite(uint32_t lane, uint32_t offset) {
    uint64_t offsets[32];
    offsets[lane] = offset;
    raceAccess(w, i, lane, offset, 8, true);
    raceLanes(w, i, offsets, 1u << lane, 8, true);
  }

  void init(Cta &cta, uint32_t offset, Mbarrier *m, uint32_t lanes) {
    uint32_t lead = uint32_t(std::countr_zero(lanes));
    uint64_t count = word(i.b, lead);
    if (!count || count > kMostThreads)
      misuse(lead, fmt::format("expected a count from 1 to {}, got {}", kMostThreads, count));
    if (&cta != w.cta) {
      misuse(lead, "expected the block's own shared memory to initialise, got another block's");
      return;
    }
    if (m)
      misuse(lead, "it is initialised already; expected mbarrier.inval before it is initialised again",
             m->initSite, m->initWarp);
    if (checks)
      ordinaryWrite(lead, offset);
    if (!m) {
      auto old = std::find_if(cta.mbarriers.begin(), cta.mbarriers.end(),
                              [&](const Mbarrier &b) { return b.offset == offset; });
      if (old == cta.mbarriers.end()) {
        cta.mbarriers.emplace_back();
        m = &cta.mbarriers.back();
        m->offset = offset;
        m->clock = uint32_t(cta.warps.size() + cta.mbarriers.size() - 1);
      } else {
        m = &*old;
      }
    }
    m->live = true;
    m->phase += m->phase & 1;
    m->waiting = 0;
    m->initWarp = w.index;
    m->initClock = w.clocks[w.index];
    m->initSite = i.statement;
    m->initSegment = checks ? segmentOf(w) : 0;
    m->initLane = lead;
    m->initFences = cta.async ? cta.async->fencesOf(w.index) : 0;
    if (cta.async)
      cta.async->initialises(w);
    m->knowsInit = 1u << w.index;
    m->visible = false;
    m->lastSite = -1;
    m->used.clear();
    if (w.worker->launch->ordering) { // the phases of an earlier life are past
      if (w.clocks.size() <= m->clock)
        w.clocks.resize(m->clock + 1);
      w.clocks[m->clock] = uint32_t(m->phase);
    }
    store(cta, *m, {count & kMostThreads, count & kMostThreads, 0});
    cta.sharedInit[offset >> 3] = 0xFF;
    ++w.worker->changes;
  }

  /// Ordered behind the initialisation, and the object as it was left.
  void checkUse(Cta &cta, Mbarrier &m, uint32_t lanes) {
    uint32_t lead = uint32_t(std::countr_zero(lanes));
    bool own = &cta == w.cta;
    if (!own ? !knowsForeign(w, cta.linear, m.initWarp, m.initClock) : !(m.knowsInit >> w.index & 1)) {
      if (own && w.clocks[m.initWarp] >= m.initClock)
        m.knowsInit |= 1u << w.index;
      else if (!reportedBefore(w, i, FindingKind::Race))
        report(
            w, i, FindingKind::Race, lead, at,
            fmt::format("mbarrier at {} is used while nothing orders that behind its initialisation by warp "
                        "{}; expected {} between them",
                        describeShared(w, uint32_t(at)), m.initWarp,
                        own ? "a barrier" : "fence.mbarrier_init and a barrier of the cluster"),
            {int64_t(m.initSite), m.initWarp, int(m.initLane), int64_t(cta.linear)});
    } else if (own && w.index == m.initWarp && (lanes & ~(1u << m.initLane)) &&
               m.initSegment == segmentOf(w) && !reportedBefore(w, i, FindingKind::Race)) {
      report(w, i, FindingKind::Race, uint32_t(std::countr_zero(lanes & ~(1u << m.initLane))), at,
             fmt::format("mbarrier at {} is used by other lanes than the one that initialised it; expected "
                         "__syncwarp (bar.warp.sync) or a barrier between them",
                         describeShared(w, uint32_t(at))),
             {int64_t(m.initSite), w.index, int(m.initLane)});
    }
    if (own) {
      if (action == Invalidate)
        for (uint32_t k = 0; k < m.used.size(); ++k)
          if (k != w.index && w.clocks[k] < m.used[k])
            misuse(lead,
                   fmt::format("it is invalidated while warp {} may still use it; expected a barrier "
                               "between them",
                               k),
                   m.lastSite, m.lastWarp);
      if (m.used.size() < cta.warps.size())
        m.used.resize(cta.warps.size());
      m.used[w.index] = w.clocks[w.index];
    }
    if (readWord(cta, m.offset) != m.word) {
      misuse(lead, "something other than an mbarrier instruction has written to it since its last use");
      m.word = readWord(cta, m.offset);
    }
  }

  void arrive(Cta &cta, Mbarrier &m, uint32_t lanes) {
    bool arrives =
        action == Arrive || action == ArriveDrop || action == ArriveExpect || action == ArriveDropExpect;
    bool drops = action == ArriveDrop || action == ArriveDropExpect;
    bool expects = action == Expect || action == ArriveExpect || action == ArriveDropExpect;
    if (arrives)
      publish(w, i, cta, m);
    if (BlockRecord *record = w.worker->record; record && (arrives || action == Complete))
      record->phase(cta.rank, m.offset, int64_t(m.phase));
    m.lastSite = i.statement;
    m.lastWarp = w.index;
    Object object = Object::from(readWord(cta, m.offset));
    for (uint32_t rest = lanes; rest; rest &= rest - 1) {
      uint32_t l = uint32_t(std::countr_zero(rest));
      states[l] = object.pending | m.phase << 20;
      if (expects || action == Complete) {
        int64_t bytes = int64_t(uint32_t(word(i.b, l)));
        object.bytes += action == Complete ? -bytes : bytes;
        if (bytes > kMostBytes || object.bytes > kMostBytes || object.bytes < -kMostBytes) {
          misuse(l, fmt::format("expected at most {} pending bytes, got {}", kMostBytes, object.bytes));
          object.bytes = std::clamp(object.bytes, -kMostBytes, kMostBytes);
        }
      }
      if (arrives && (!(i.aux & kAsync) || (i.aux & kNoIncrement))) { // the others count themselves up before
        uint64_t count = (i.count & 1) && !expects ? word(i.b, l) : 1;
        if (!count || count > object.pending) {
          misuse(l, count ? fmt::format("{} threads arrive where {} are pending of {}", count, object.pending,
                                        object.expected)
                          : std::string("expected a count of arrivals from 1 up, got 0"));
          count = std::min(count, object.pending);
        }
        object.pending -= count;
        if (drops)
          object.expected -= std::min(count, object.expected);
      }
      if (object.pending || object.bytes)
        continue;
      if (arrives || action == Complete) {
        if (i.aux & kNoComplete)
          misuse(l, "an arrival with .noComplete ends the phase; expected other arrivals to be pending");
        endPhase(cta, m, object);
        if (uint32_t others = rest & (rest - 1); others && arrives)
          misuse(
              l,
              fmt::format("its phase ends with this lane, and {} more lanes of the same instruction arrive "
                          "in the next one; expected a count that whole instructions make up",
                          std::popcount(others)),
              m.initSite, m.initWarp);
        if (&cta == w.cta && w.worker->launch->ordering) { // who ends a phase knows it
          if (w.clocks.size() <= m.clock)
            w.clocks.resize(m.clock + 1);
          w.clocks[m.clock] = uint32_t(m.phase);
        }
      }
    }
    store(cta, m, object);
    ++w.worker->changes;
  }

  void wait(Cta &cta, Mbarrier &m, uint32_t lanes) {
    if (&cta != w.cta) {
      misuse(uint32_t(std::countr_zero(lanes)),
             "expected the block's own barrier to wait for, got another's");
      passed |= lanes;
      return;
    }
    uint64_t known = clockOf(w.clocks, m.clock), behind = 0;
    uint32_t done = 0, late = 0;
    for (uint32_t rest = lanes; rest; rest &= rest - 1) {
      uint32_t l = uint32_t(std::countr_zero(rest));
      uint64_t meant; // the number of phases that must have ended
      if (action == Wait) {
        meant = (reinterpret_cast<uint64_t *>(w.regs + i.b)[l] >> 20) + 1;
        if (m.phase >= meant)
          done |= 1u << l;
      } else {
        uint64_t parity = word(i.b, l) & 1;
        meant = (known & 1) == parity ? known + 1 : known;
        if ((m.phase & 1) != parity)
          done |= 1u << l;
      }
      if ((done >> l & 1) && m.phase > meant + (action == Wait ? 0 : 1)) {
        late = late ? late : 1u << l;
        behind = meant;
      }
    }
    if (late && w.worker->launch->ordering)
      misuse(uint32_t(std::countr_zero(late)),
             fmt::format("waits for phase {} (counted from 0), but phase {} has ended already: a waiter two "
                         "phases behind passes although what it waited for is gone; expected the barrier to "
                         "be used again only after this wait",
                         int64_t(behind) - 1, int64_t(m.phase) - 1),
             m.lastSite, m.lastWarp);
    Launch &launch = *w.worker->launch;
    if ((i.aux & kTry) && done && launch.mode == Mode::Random && (cta.nextRandom() & 7) == 0)
      return; // it may time out at any moment
    if (done) {
      learn(w, i, m);
      if (BlockRecord *record = w.worker->record) {
        uint32_t l = uint32_t(std::countr_zero(done));
        record->phase(cta.rank, m.offset,
                      action == Wait ? int64_t(reinterpret_cast<uint64_t *>(w.regs + i.b)[l] >> 20)
                                     : int64_t(m.phase) - 1,
                      true);
      }
    }
    passed |= done;
    if (lanes & ~done) {
      failed.push_back(&m);
      sleepers |= lanes & ~done;
    }
  }

  Warp &w;
  const Inst &i;
  Action action;
  uint64_t at = 0;
  bool checks = false;
};

} // namespace

void execMbarrier(Warp &w, const Inst &i) {
  Action action = Action(i.aux & 15);
  if (i.aux & kAsync) { // the copies land now, which the barrier then tells
    Inst all;
    all.imm = kFull;
    execWaitGroup(w, all);
  }
  Execution e(w, i);
  for (uint32_t rest = w.mask; rest;) {
    uint64_t address = e.addressOf(uint32_t(std::countr_zero(rest)));
    uint32_t lanes = 0;
    for (uint32_t m = rest; m; m &= m - 1)
      if (e.addressOf(uint32_t(std::countr_zero(m))) == address)
        lanes |= m & -m;
    rest &= ~lanes;
    e.run(address, lanes);
  }
  if (action >= Wait) {
    Cta &cta = *w.cta;
    if (e.sleepers) {
      w.stop = true; // others have to run before it can succeed
      bool expired = w.expired;
      w.expired = false;
      // A warp that has nothing else to do sleeps at a try_wait.
      if ((i.aux & kTry) && !expired && e.sleepers == w.mask && w.fragments.empty()) {
        for (Mbarrier *m : e.failed)
          m->waiting |= 1u << w.index;
        w.state = WarpState::AtMbarrier;
        --w.pc;
        return;
      }
      if (cta.async && !expired)
        cta.async->landOne();
    }
    w.preds[i.d2] = (w.preds[i.d2] & ~w.mask) | (e.passed & w.mask);
    return;
  }
  if (i.count & 2)
    for (uint32_t m = w.mask; m; m &= m - 1)
      reinterpret_cast<uint64_t *>(w.regs + i.d)[std::countr_zero(m)] = e.states[std::countr_zero(m)];
}

void execPendingCount(Warp &w, const Inst &i) {
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    reinterpret_cast<uint32_t *>(w.regs + i.d)[l] =
        uint32_t(reinterpret_cast<uint64_t *>(w.regs + i.a)[l] & kMostThreads);
  }
}

Mbarrier *mbarrierAt(Cta &cta, uint32_t offset) {
  for (Mbarrier &m : cta.mbarriers)
    if (m.offset == offset)
      return m.live ? &m : nullptr;
  return nullptr;
}

void completeTx(Cta &target, uint32_t offset, uint32_t bytes, uint32_t op) {
  Mbarrier *m = mbarrierAt(target, offset);
  if (!m)
    return;
  if (BlockRecord *record = target.warps[0].worker->record)
    record->phase(target.rank, offset, int64_t(m->phase));
  if (op) {
    target.async->arrived(op, m->clock, uint32_t(m->phase + 1));
    // What the operation read has been read when the phase ends.
    const AsyncOp &o = target.async->operation(op);
    if (o.block == target.linear && target.warps[0].worker->launch->ordering) {
      if (m->arrived.size() <= o.warp)
        m->arrived.resize(o.warp + 1u);
      m->arrived[o.warp] = std::max(m->arrived[o.warp], o.done[0]);
    }
  }
  Object object = Object::from(readWord(target, offset));
  object.bytes = std::clamp(object.bytes - int64_t(bytes), -kMostBytes, kMostBytes);
  if (!object.pending && !object.bytes)
    endPhase(target, *m, object);
  store(target, *m, object);
  ++target.warps[0].worker->changes;
}

bool checkAsyncBarrier(Warp &w, const Inst &i, uint32_t lane, Cta &target, uint32_t offset) {
  if (offset & 7) {
    reportMisaligned(w, i, lane, kSharedBase + offset, 8);
    return false;
  }
  Mbarrier *m = mbarrierAt(target, offset);
  auto tell = [&](const std::string &text, int64_t site, uint32_t warp) {
    if (w.worker->launch->checks && !reportedBefore(w, i, FindingKind::BarrierMisuse))
      report(w, i, FindingKind::BarrierMisuse, lane, kSharedBase + offset,
             fmt::format("mbarrier at {}: {}", describeShared(w, kSharedBase + offset), text),
             {site, warp, -1, int64_t(target.linear)});
  };
  if (!m) {
    tell("an asynchronous operation completes on it, and it is not initialised", -1, 0);
    return false;
  }
  if (!w.worker->launch->checks || m->visible)
    return true;
  m->visible = target.async->initVisible(w, m->initWarp, m->initClock, m->initFences);
  if (!m->visible)
    tell(fmt::format(
             "an asynchronous operation completes on it, and its initialisation by warp {} is not "
             "visible to the async proxy; expected a barrier (bar.sync, barrier.cluster) between them, or "
             "fence.mbarrier_init or fence.proxy.async",
             m->initWarp),
         m->initSite, m->initWarp);
  m->visible = true; // once is enough
  return true;
}

bool expireWaits(Cta &cta) {
  constexpr uint32_t kAttempts = 64; // without a change: what goes on after them goes in circles
  uint64_t changes = cta.warps[0].worker->changes;
  if (cta.expiredAt != changes) {
    cta.expiredAt = changes;
    cta.expiries = 0;
  }
  bool any = false;
  if (++cta.expiries > kAttempts)
    return false;
  for (Warp &w : cta.warps)
    if (w.state == WarpState::AtMbarrier) {
      w.state = WarpState::Ready;
      w.expired = any = true;
    }
  return any;
}

std::string mbarrierStates(const Cta &cta) {
  std::string text;
  for (const Mbarrier &m : cta.mbarriers) {
    if (!m.live)
      continue;
    if (text.size() > 1500)
      return text + "; ...";
    Object o = Object::from(readWord(cta, m.offset));
    text += fmt::format("; mbarrier at {}: in phase {} (parity {}), {} of {} arrivals and {} bytes pending",
                        describeShared(cta.warps[0], kSharedBase + m.offset), m.phase, m.phase & 1, o.pending,
                        o.expected, o.bytes);
  }
  return text;
}

void endMbarriers(Cta &cta) {
  Warp &w = cta.warps[0];
  if (!w.worker->launch->checks)
    return;
  for (const Mbarrier &m : cta.mbarriers) {
    Object o = Object::from(readWord(cta, m.offset));
    if (!m.live || !o.bytes || m.lastSite < 0)
      continue;
    Inst i;
    i.statement = uint32_t(m.lastSite);
    Warp &last = cta.warps[m.lastWarp < cta.warps.size() ? m.lastWarp : 0];
    if (!reportedBefore(last, i, FindingKind::BarrierMisuse))
      report(last, i, FindingKind::BarrierMisuse, 0, kSharedBase + m.offset,
             fmt::format("mbarrier at {}: the block ends while {} bytes are {}; expected as many bytes by "
                         "expect_tx as the copies bring",
                         describeShared(w, kSharedBase + m.offset), o.bytes < 0 ? -o.bytes : o.bytes,
                         o.bytes < 0 ? "more than were expected" : "still expected"),
             {int64_t(m.initSite), m.initWarp});
  }
}

} // namespace attune::sim
