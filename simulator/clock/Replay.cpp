//===- Replay.cpp - recorded blocks on a model of their SMs ---------------===//
#include "simulator/clock/ReplayState.h"

namespace attune::sim {

namespace {

/// Products of a warp that the tensor cores hold beside the one that they work on.
constexpr uint32_t kMatrixQueue = 2;
/// Clocks by which the shared-memory port may be behind when an instruction for it issues.
constexpr double kPortQueue = 16;
/// By how much other instructions are slower while wgmma works, whose accumulators pass through the same
/// register file: fitted to the measured loops of attention.
constexpr double kIssueBesideMatrix = 1.7, kMufuBesideMatrix = 1.6, kPipeBesideMatrix = 2;

} // namespace

std::string_view name(Stall stall) {
  constexpr std::string_view names[] = {"not selected",  "math pipe", "math latency", "shared memory",
                                        "global memory", "copy wait", "tensor core",  "wgmma wait",
                                        "mbarrier",      "barrier",   "other"};
  static_assert(std::size(names) == kStalls);
  return names[size_t(stall)];
}

double LineTime::total() const {
  double sum = double(issued);
  for (double s : stalls)
    sum += s;
  return sum;
}

Replay::Replay(const Machine &machine, const Shares &shares, bool timeline)
    : machine(machine), gpu(machine.gpu), shares(shares), timeline(timeline) {
  pcs.resize(machine.steps.size());
}
Replay::~Replay() = default;

//===----------------------------------------------------------------------===//
// Blocks and warps
//===----------------------------------------------------------------------===//

void Replay::begin(const std::vector<const BlockRecord *> &cluster) {
  std::vector<Block *> members;
  for (const BlockRecord *record : cluster) {
    blocks.push_back(std::make_unique<Block>());
    members.push_back(blocks.back().get());
    members.back()->record = record;
  }
  for (size_t r = 0; r < members.size(); ++r) {
    Block &block = *members[r];
    while (cores.size() <= r) {
      cores.push_back(std::make_unique<Core>());
      cores.back()->number = uint32_t(cores.size() - 1);
    }
    block.core = cores[r].get();
    block.cluster = members;
    block.time = times.size();
    times.push_back({block.record->number, now, now});
    for (const PhaseOf &p : block.record->phases)
      if (!p.waits)
        ++event(block, p).pending;
  }
  for (Block *block : members) {
    Core &core = *block->core;
    for (uint32_t w = 0; w < block->record->warps.size(); ++w) {
      if (w % 4 == 0) {
        block->groups.push_back(std::make_unique<Group>());
        block->groups.back()->block = uint32_t(block->record->number);
        block->groups.back()->index = w / 4;
        core.groups.push_back(block->groups.back().get());
      }
      block->units.push_back(std::make_unique<Unit>());
      Unit &u = *block->units.back();
      u.block = block;
      u.record = &block->record->warps[w];
      u.group = block->groups.back().get();
      u.index = w;
      u.scheduler = core.warps++ % kSchedulers;
      u.free = u.freeFrom = u.next = u.spanBegin = now;
      u.ready.assign(machine.registerCount, 0);
      u.cause.assign(machine.registerCount, Stall::Other);
      ++block->live;
      running.push_back(&u);
    }
  }
  for (Block *block : members)
    for (auto &u : block->units)
      advance(*u);
}

/// The next instruction in the machine's order; false: there is none.
bool Replay::fetch(Unit &u) {
  if (u.at < u.count) {
    u.pc = u.order ? u.order[u.at] : u.seqPc + u.at;
    ++u.at;
    return true;
  }
  u.dynamicBase += u.dynamicCount;
  u.dynamicCount = 0;
  const auto &runs = u.record->runs;
  if (!u.left) {
    if (u.run == runs.size())
      return false;
    u.runPc = runs[u.run].pc;
    u.left = runs[u.run].count;
    ++u.run;
  }
  const Region &region = machine.regions[machine.regionOf[u.runPc]];
  uint32_t take = std::min(region.end - u.runPc, u.left), end = u.runPc + take;
  bool whole = u.runPc == region.begin && end == region.end;
  u.order = whole ? region.order.data() : nullptr;
  u.seqPc = u.runPc;
  u.at = 0;
  u.count = take;
  u.dynamicFirst = machine.dynamicsBefore[u.runPc];
  u.dynamicCount = (end == region.end ? region.dynamics : machine.dynamicsBefore[end]) - u.dynamicFirst;
  u.runPc = end;
  u.left -= take;
  return fetch(u);
}

void Replay::leave(Unit &u, double at) {
  u.over = true;
  running.erase(std::find(running.begin(), running.end(), &u));
  Block &block = *u.block;
  times[block.time].end = std::max(times[block.time].end, at);
  end = std::max(end, at);
  if (--block.live == 0) {
    --pendingBlocks;
    std::erase_if(block.core->groups, [&](Group *g) {
      return std::any_of(block.groups.begin(), block.groups.end(), [&](auto &own) { return own.get() == g; });
    });
  }
}

//===----------------------------------------------------------------------===//
// Waits
//===----------------------------------------------------------------------===//

Replay::Event &Replay::event(const Block &block, const PhaseOf &p) {
  Block &owner = *block.cluster[p.barrier >= kOfCluster ? 0 : p.rank];
  return owner.events[{p.barrier, p.phase}];
}

void Replay::contribute(Block &block, const PhaseOf &p, double at) {
  Event &e = event(block, p);
  e.at = std::max(e.at, at);
  if (e.pending && --e.pending)
    return;
  for (Unit *u : std::exchange(e.waiters, {}))
    wake(*u);
}

/// What the warp waited for has come, perhaps: it looks again.
void Replay::wake(Unit &u) {
  u.blocked = false;
  u.synced ? passBarrier(u) : resolve(u);
}

/// The event's time, or the warp is blocked until it has come.
bool Replay::await(Unit &u, Event &e) {
  if (!e.pending)
    return true;
  e.waiters.push_back(&u);
  u.blocked = true;
  return false;
}

/// Behind bar.sync, which has issued.
void Replay::passBarrier(Unit &u) {
  Event &e = event(*u.block, u.block->record->phases[u.dynamic(machine)->firstPhase]);
  u.synced = true;
  if (!await(u, e))
    return;
  u.synced = false;
  double t = e.at + machine.steps[u.pc].latency;
  if (t > u.free) {
    u.free = t;
    u.freeCause = Stall::Barrier;
  }
  advance(u);
}

/// Finds the warp's next instruction that issues, and when its operands will be there.
void Replay::advance(Unit &u) {
  for (;;) {
    if (!fetch(u))
      return leave(u, u.free);
    const Step &s = machine.steps[u.pc];
    double t = 0;
    Stall cause = Stall::Other;
    for (uint32_t k = 0; k < s.uses; ++k) {
      uint32_t r = machine.registers[s.firstUse + k];
      if (u.ready[r] > t) {
        t = u.ready[r];
        cause = u.cause[r];
      }
    }
    if (!s.slots) {
      for (uint32_t k = 0; k < s.defs; ++k) {
        uint32_t r = machine.registers[s.firstDef + k];
        u.ready[r] = t;
        u.cause[r] = cause;
      }
      continue;
    }
    u.next = std::max(t, u.free);
    u.nextCause = t > u.free ? cause : u.freeCause;
    u.nextPc = t > u.free ? u.pc : u.lastPc;
    return resolve(u);
  }
}

/// What the next instruction waits for besides its operands; blocks the warp if that is not known yet.
void Replay::resolve(Unit &u) {
  const Step &s = machine.steps[u.pc];
  double t = 0;
  Stall cause = Stall::Other;
  switch (s.act) {
  case Act::MbarrierWait:
  case Act::ClusterWait: {
    const Dynamic &d = *u.dynamic(machine);
    if (!d.phases || u.block->record->phases[d.firstPhase].phase < 0)
      return;
    Event &e = event(*u.block, u.block->record->phases[d.firstPhase]);
    if (!await(u, e))
      return;
    t = e.at;
    cause = s.act == Act::MbarrierWait ? Stall::Mbarrier : Stall::Barrier;
    break;
  }
  case Act::CopyWait:
    cause = Stall::Copy;
    if (s.number == kUncommitted)
      t = std::max(u.copiesDone, u.openCopies);
    else if (u.copyGroups.size() > s.number)
      t = u.copyGroups[u.copyGroups.size() - 1 - s.number];
    break;
  case Act::BulkWait:
    cause = Stall::Copy;
    if (u.bulkGroups.size() > s.number) {
      auto [read, written] = u.bulkGroups[u.bulkGroups.size() - 1 - s.number];
      t = machine.program.code[u.pc].aux ? read : written;
    }
    break;
  case Act::Matrix: {
    cause = Stall::Tensor;
    if (u.matrixIssued < kMatrixQueue)
      break;
    const Operation *before = u.group->find(u.matrixIssued + 1 - kMatrixQueue);
    if (!before)
      break;
    if (before->start < 0) {
      u.group->waiters.push_back(&u);
      u.blocked = true;
      return;
    }
    t = before->start;
    break;
  }
  case Act::MatrixWait: {
    cause = Stall::MatrixWait;
    if (u.committed.size() <= s.number)
      break;
    const Operation *last = u.group->find(u.committed[u.committed.size() - 1 - s.number]);
    if (!last)
      break;
    if (last->done < 0) {
      u.group->waiters.push_back(&u);
      u.blocked = true;
      return;
    }
    t = last->done;
    break;
  }
  default:
    return;
  }
  if (t > u.next) {
    u.next = t;
    u.nextCause = cause;
    u.nextPc = u.pc;
  }
}

//===----------------------------------------------------------------------===//
// Issue
//===----------------------------------------------------------------------===//

/// When the instruction can issue, but for the others of its scheduler.
double Replay::pipeFree(const Unit &u) const {
  const Step &s = machine.steps[u.pc];
  const Core &core = *u.block->core;
  if (s.pipe == Pipe::None)
    return 0;
  return s.pipe == Pipe::Shared ? core.port - kPortQueue : core.pipe[u.scheduler][size_t(s.pipe)];
}

double Replay::available(const Unit &u) const {
  return std::max({u.next, u.block->core->scheduler[u.scheduler], pipeFree(u)});
}

void Replay::span(Span::Track track, const Unit &u, Stall stall, double from, double to) {
  if (timeline && to > from)
    spans.push_back(
        {track, u.block->core->number, uint32_t(u.block->record->number), u.index, stall, u.pc, from, to});
}

void Replay::issue(Unit &u, double at) {
  const Step &s = machine.steps[u.pc];
  Core &core = *u.block->core;
  PcTime &time = pcs[u.pc];
  ++time.issued;
  double own = std::max(u.next, u.freeFrom);
  pcs[u.nextPc].stalls[size_t(u.nextCause)] += own - u.freeFrom;
  if (at > own) {
    double pipe = pipeFree(u);
    Stall cause = pipe <= core.scheduler[u.scheduler] ? Stall::NotSelected
                  : s.pipe == Pipe::Shared            ? Stall::Shared
                  : s.pipe == Pipe::MmaSync           ? Stall::Tensor
                                                      : Stall::MathPipe;
    time.stalls[size_t(cause)] += at - own;
  }
  constexpr double shown = 16; // clocks
  if (timeline && own - u.freeFrom >= shown) {
    span(Span::Warp, u, Stall::Count, u.spanBegin, u.freeFrom);
    span(Span::Warp, u, u.nextCause, u.freeFrom, own);
    u.spanBegin = own;
  }
  bool active = core.tensor > at && s.act != Act::Matrix;
  issued += s.slots;
  double gone = at + s.slots * (active ? kIssueBesideMatrix : 1);
  double stretch = !active ? 1 : s.pipe == Pipe::Mufu ? kMufuBesideMatrix : kPipeBesideMatrix;
  core.scheduler[u.scheduler] = gone;
  if (s.pipe != Pipe::None && s.pipe != Pipe::Shared) {
    core.pipe[u.scheduler][size_t(s.pipe)] = at + s.busy * stretch;
    busy[size_t(s.pipe)] += s.busy;
  }
  u.last = at;
  u.lastPc = u.pc;
  u.free = u.freeFrom = gone;
  u.freeCause = Stall::Other;
  double result = act(u, s, u.dynamic(machine), at);
  Stall cause = s.act == Act::Load || s.act == Act::Atomic ? Stall::Memory
                : s.pipe == Pipe::Shared                   ? Stall::Shared
                : s.act == Act::MbarrierWait               ? Stall::Mbarrier
                                                           : Stall::MathLatency;
  for (uint32_t k = 0; k < s.defs; ++k) {
    uint32_t r = machine.registers[s.firstDef + k];
    u.ready[r] = result;
    u.cause[r] = cause;
  }
  s.act == Act::BarrierSync &&u.dynamic(machine)->phases ? passBarrier(u) : advance(u);
}

void Replay::run(const std::vector<std::vector<const BlockRecord *>> &clusters, uint32_t residents) {
  size_t nextCluster = 0, ranks = clusters.empty() ? 0 : clusters[0].size();
  auto refill = [&] {
    while (nextCluster < clusters.size() && pendingBlocks + ranks <= residents * ranks) {
      pendingBlocks += ranks;
      begin(clusters[nextCluster++]);
    }
  };
  refill();
  while (!running.empty()) {
    Unit *best = nullptr;
    double at = kNever;
    for (Unit *u : running) {
      if (u->blocked)
        continue;
      double t = available(*u);
      if (t < at || (t == at && u->last < best->last)) {
        at = t;
        best = u;
      }
    }
    if (startMatrix(at))
      continue;
    if (!best) { // what the record does not explain
      stuck = true;
      for (auto &block : blocks)
        for (auto &[key, e] : block->events)
          e.pending = 0;
      for (Unit *u : std::vector<Unit *>(running))
        if (u->blocked) {
          u->blocked = false;
          u->next = std::max(u->next, now);
          if (u->synced) {
            u->synced = false;
            advance(*u);
          }
        }
      refill();
      continue;
    }
    now = std::max(now, at);
    issue(*best, at);
    refill();
  }
  sms = uint32_t(cores.size());
}

} // namespace attune::sim
