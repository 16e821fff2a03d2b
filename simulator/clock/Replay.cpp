//===- Replay.cpp - recorded blocks on a model of their SMs ---------------===//
#include "simulator/clock/Replay.h"

#include <algorithm>

namespace attune::sim {

namespace {

constexpr uint32_t kSchedulers = 4;
constexpr double kNever = 1e300;
/// Products of a warp that the tensor cores hold beside the one that they work on.
constexpr uint32_t kMatrixQueue = 2;
/// Clocks by which the shared-memory port may be behind when an instruction for it issues.
constexpr double kPortQueue = 16;
/// Clocks between a branch and what follows it.
constexpr double kBranch = 6;
/// Part of GpuFigures::bulkIssue that the copy itself takes of its warp; arming the barrier takes the rest.
constexpr double kBulkIssue = 0.5;
/// Bytes a clock that one SM's TMA loads (32 KB of L2 take 225 clocks longer than 8) and stores.
constexpr double kBulkLoadBytes = 109, kBulkStoreBytes = 32;
constexpr double kBulkStoreLatency = 19;
/// Clocks before and behind a product: registers that hold A take longer to fetch.
constexpr double kMatrixBefore = 20, kMatrixRegisters = 33, kMatrixAround = 28;
/// By how much other instructions are slower while wgmma works, whose accumulators pass through the same
/// register file: fitted to the measured loops of attention.
constexpr double kIssueBesideMatrix = 1.7, kMufuBesideMatrix = 1.6, kPipeBesideMatrix = 2;
/// Lines of L1 that ordinary loads leave there.
constexpr uint64_t kL1Lines = 1024;
/// Clocks that a numbered barrier takes for each warp.
constexpr double kBarrierWarp = 2;

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

/// A warpgroup's products.
struct Replay::Group {
  std::deque<Operation> ops; ///< oldest first
  uint32_t first = 1;        ///< sequence number of ops[0]
  uint32_t next = 1;         ///< that starts next
  double served = -1;
  uint32_t block = 0, index = 0;
  std::vector<Unit *> waiters;
  Operation &op(uint32_t sequence) {
    while (first + ops.size() <= sequence)
      ops.emplace_back();
    return ops[sequence - first];
  }
  const Operation *find(uint32_t sequence) const {
    return sequence < first || sequence >= first + ops.size() ? nullptr : &ops[sequence - first];
  }
};

struct Replay::Core {
  uint32_t number = 0;
  std::array<double, kSchedulers> scheduler{};
  std::array<std::array<double, kPipes>, kSchedulers> pipe{};
  /// Until when the port of shared memory is taken by instructions, and how many clocks of it copies still
  /// want: they take what instructions leave.
  double port = 0, portOfCopies = 0;
  double tensor = 0, l2 = 0, memory = 0, bulkIn = 0, bulkOut = 0, barrier = 0;
  std::vector<Group *> groups;
  std::unordered_map<uint64_t, uint64_t> l1;
  uint64_t l1Time = 0;
  uint32_t warps = 0; ///< begun

  /// Takes the port for an instruction that issues at `at`. Gives when it begins.
  double takePort(double at, double clocks) {
    portOfCopies = std::max(portOfCopies - std::max(at - port, 0.0), 0.0);
    double start = std::max(at, port);
    port = start + clocks;
    return start;
  }
  /// For the bytes of a copy. Gives when they can all have gone through, if no instruction comes between.
  double copyThroughPort(double at, double clocks) {
    double start = takePort(at, 0);
    portOfCopies += clocks;
    return start + portOfCopies;
  }
};

struct Replay::Block {
  const BlockRecord *record = nullptr;
  Core *core = nullptr;
  std::vector<Block *> cluster;
  std::map<std::pair<uint32_t, int64_t>, Event> events;
  std::vector<std::unique_ptr<Group>> groups;
  std::vector<std::unique_ptr<Unit>> units;
  uint32_t live = 0;
  size_t time = 0; ///< in Replay::times
};

/// A warp, and where it stands in its record.
struct Replay::Unit {
  Block *block = nullptr;
  const WarpRecord *record = nullptr;
  Group *group = nullptr;
  uint32_t index = 0, scheduler = 0;
  // Where it stands.
  size_t run = 0;
  uint32_t runPc = 0, left = 0;
  const uint32_t *order = nullptr;
  uint32_t at = 0, count = 0, seqPc = 0;
  size_t dynamicBase = 0;
  uint32_t dynamicFirst = 0, dynamicCount = 0;
  uint32_t pc = 0;
  bool over = false, blocked = false, synced = false;
  double free = 0, last = -1; ///< may issue from then on; last issued
  double next = 0;            ///< its operands are there
  Stall nextCause = Stall::Other, freeCause = Stall::Other;
  uint32_t nextPc = 0, lastPc = 0; ///< whose the wait until then is; that issued last
  double freeFrom = 0;             ///< its last instruction had issued
  std::vector<double> ready;
  std::vector<Stall> cause;
  double openCopies = 0, copiesDone = 0;
  std::vector<double> copyGroups;
  double openRead = 0, openDone = 0;
  std::vector<std::pair<double, double>> bulkGroups; ///< read; written
  uint32_t matrixIssued = 0;
  std::vector<uint32_t> committed;
  double spanBegin = 0;
  const Dynamic *dynamic(const Machine &machine) const {
    return machine.steps[pc].dynamic
               ? &record->dynamics[dynamicBase + machine.dynamicsBefore[pc] - dynamicFirst]
               : nullptr;
  }
};

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

/// When the lines of a load, asked for at `at`, are there. `l1`: it may find them in L1.
double Replay::fetchLines(Core &core, const Block &block, const Dynamic &d, double at, bool l1) {
  double t = at;
  for (uint32_t k = 0; k < d.lines; ++k) {
    uint64_t line = block.record->lines[d.firstLine + k];
    if (l1) {
      auto [it, fresh] = core.l1.try_emplace(line, 0);
      bool hit = !fresh && core.l1Time - it->second < kL1Lines;
      it->second = ++core.l1Time;
      if (hit) {
        t = std::max(t, at + gpu.l1Latency);
        continue;
      }
    }
    core.l2 = std::max(at, core.l2) + 128 / shares.l2Bytes;
    double there = core.l2 + gpu.l2Latency;
    if (touched.insert(line).second) {
      core.memory = std::max(at, core.memory) + 128 * shares.fresh / shares.memoryBytes;
      there = std::max(there, core.memory + gpu.memoryLatency);
    }
    t = std::max(t, there);
  }
  return t;
}

/// What issuing the instruction at `at` sets off. Gives when its results are there.
double Replay::act(Unit &u, const Step &s, const Dynamic *d, double at) {
  Block &block = *u.block;
  Core &core = *block.core;
  double result = at + s.latency;
  auto port = [&](double wavefronts) {
    double start = core.takePort(at, wavefronts);
    busy[size_t(Pipe::Shared)] += wavefronts;
    return start + std::max(wavefronts - 1, 0.0);
  };
  auto copied = [&](double bytes) {
    busy[size_t(Pipe::Shared)] += bytes / gpu.sharedBytes;
    return core.copyThroughPort(at, bytes / gpu.sharedBytes);
  };
  auto tell = [&](double t) {
    for (uint32_t k = 0; k < d->phases; ++k)
      if (const PhaseOf &p = block.record->phases[d->firstPhase + k]; !p.waits)
        contribute(block, p, t);
  };
  switch (s.act) {
  case Act::Plain:
    if (s.pipe == Pipe::Shared)
      result = port(s.busy) + s.latency;
    break;
  case Act::Branch:
    u.free = std::max(u.free, at + kBranch);
    break;
  case Act::Shared:
    result = d->wavefronts ? port(d->wavefronts) + s.latency : at;
    break;
  case Act::Load:
    if (d->wavefronts) // by a generic address
      result = port(d->wavefronts) + gpu.sharedLatency;
    else if (d->lines)
      result = fetchLines(core, block, *d, port(d->lines), true);
    break;
  case Act::Atomic:
    result = (d->lines ? fetchLines(core, block, *d, port(d->lines), false) : port(1)) + 20;
    break;
  case Act::Store:
    port(std::max<double>(d->lines, d->wavefronts));
    core.l2 = std::max(at, core.l2) + 128 * d->lines / shares.l2Bytes;
    for (uint32_t k = 0; k < d->lines; ++k)
      touched.insert(block.record->lines[d->firstLine + k]);
    result = at;
    break;
  case Act::CopyAsync:
    if (d->lines || d->bytes) {
      double there = fetchLines(core, block, *d, port(std::max<double>(d->lines, 1)), false);
      there = std::max(there, copied(d->bytes));
      u.openCopies = std::max(u.openCopies, there);
    }
    break;
  case Act::CopyCommit:
    u.copiesDone = std::max(u.copiesDone, std::exchange(u.openCopies, 0));
    u.copyGroups.push_back(u.copiesDone);
    break;
  case Act::CopyArrive:
    tell(std::max({at + s.latency, u.copiesDone, u.openCopies}));
    break;
  case Act::BulkLoad: {
    u.free = at + kBulkIssue * gpu.bulkIssue;
    if (!d->bytes)
      break;
    double start = std::max(u.free, core.bulkIn), rate = std::min(kBulkLoadBytes, shares.l2Bytes);
    bool missed = false;
    for (uint32_t k = 0; k < d->lines; ++k)
      if (touched.insert(block.record->lines[d->firstLine + k]).second) {
        core.memory = std::max(start, core.memory) + 128 * shares.fresh / shares.memoryBytes;
        missed = true;
      }
    core.bulkIn = start + d->bytes / kBulkLoadBytes;
    core.l2 = std::max(start, core.l2) + d->bytes / rate;
    double latency = gpu.bulkL2Latency - gpu.bulkIssue - 8192 / kBulkLoadBytes;
    double there = std::max(core.bulkIn, core.l2) + latency;
    if (missed)
      there =
          std::max(there, std::max(core.memory, start) + latency + gpu.bulkMemoryLatency - gpu.bulkL2Latency);
    there = std::max(there, copied(d->bytes));
    span(Span::Copies, u, Stall::Count, at, there);
    tell(there);
    break;
  }
  case Act::BulkStore: {
    u.free = at + kBulkIssue * gpu.bulkIssue;
    double start = std::max(u.free, core.bulkOut);
    core.bulkOut = start + d->bytes / std::min(kBulkStoreBytes, shares.l2Bytes);
    double read = std::max(core.bulkOut, copied(d->bytes)) + kBulkStoreLatency;
    u.openRead = std::max(u.openRead, read);
    u.openDone = std::max(u.openDone, read + 13);
    span(Span::Copies, u, Stall::Count, at, core.bulkOut);
    tell(read);
    break;
  }
  case Act::BulkPrefetch:
    for (uint32_t k = 0; k < d->lines; ++k)
      touched.insert(block.record->lines[d->firstLine + k]);
    break;
  case Act::BulkCommit: {
    auto last = u.bulkGroups.empty() ? std::pair(0.0, 0.0) : u.bulkGroups.back();
    u.bulkGroups.push_back({std::max(last.first, std::exchange(u.openRead, 0)),
                            std::max(last.second, std::exchange(u.openDone, 0))});
    break;
  }
  case Act::MbarrierArrive:
    tell(at + s.latency);
    break;
  case Act::BarrierArrive:
  case Act::BarrierSync:
    core.barrier = std::max(at, core.barrier) + kBarrierWarp;
    tell(core.barrier);
    break;
  case Act::ClusterArrive:
    tell(at + s.latency);
    result = at;
    break;
  case Act::Matrix: {
    uint32_t sequence = ++u.matrixIssued;
    Operation &op = u.group->op(sequence);
    op.step = &s;
    op.pc = u.pc;
    op.issued |= uint8_t(1 << u.index % 4);
    op.ready = std::max(op.ready, at + kMatrixBefore);
    result = at;
    break;
  }
  case Act::MatrixCommit:
    u.committed.push_back(u.matrixIssued);
    break;
  case Act::Fixed:
  case Act::MatrixFence:
    u.free = at + std::max<double>(s.latency, s.slots);
    break;
  case Act::BulkWait:
  case Act::ClusterWait:
  case Act::CopyWait:
  case Act::MatrixWait:
  case Act::MbarrierWait:
    break;
  }
  return result;
}

/// The next product that the tensor cores can begin by `before`, begins. False: none can.
bool Replay::startMatrix(double before) {
  for (auto &core : cores) {
    Group *best = nullptr;
    double start = kNever;
    for (Group *g : core->groups) {
      const Operation *op = g->find(g->next);
      if (!op || op->issued != 15)
        continue;
      double at = std::max(op->ready, core->tensor);
      if (at < start || (at == start && g->served > best->served)) { // it stays with whom it serves
        best = g;
        start = at;
      }
    }
    if (!best || start > before)
      continue;
    Operation &op = best->op(best->next++);
    const Step &s = *op.step;
    core->takePort(start, s.matrixShared);
    busy[size_t(Pipe::Shared)] += s.matrixShared;
    op.start = start;
    double finish = start + s.matrixClocks;
    core->tensor = finish;
    tensor += s.matrixClocks;
    best->served = start;
    double around =
        gpu.wgmmaLatency - 64 - kMatrixAround - kMatrixBefore + (s.matrixRegisters ? kMatrixRegisters : 0);
    op.done = finish + around;
    if (timeline)
      spans.push_back(
          {Span::Tensor, core->number, best->block, best->index, Stall::Count, op.pc, start, finish});
    while (best->ops.size() > 64 && best->ops.front().done >= 0) {
      best->ops.pop_front();
      ++best->first;
    }
    for (Unit *u : std::exchange(best->waiters, {}))
      wake(*u);
    return true;
  }
  return false;
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
