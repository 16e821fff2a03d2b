//===- ReplayUnits.cpp - what instructions set off in the units of an SM --===//
#include "simulator/clock/ReplayState.h"

namespace attune::sim {

namespace {

/// Clocks between a branch and what follows it.
constexpr double kBranch = 6;
/// Part of GpuFigures::bulkIssue that the copy itself takes of its warp; arming the barrier takes the rest.
constexpr double kBulkIssue = 0.5;
/// Bytes a clock that one SM's TMA loads (32 KB of L2 take 225 clocks longer than 8) and stores.
constexpr double kBulkLoadBytes = 109, kBulkStoreBytes = 32;
constexpr double kBulkStoreLatency = 19;
/// Clocks before and behind a product: registers that hold A take longer to fetch.
constexpr double kMatrixBefore = 20, kMatrixRegisters = 33, kMatrixAround = 28;
/// Lines of L1 that ordinary loads leave there.
constexpr uint64_t kL1Lines = 1024;
/// Clocks that a numbered barrier takes for each warp.
constexpr double kBarrierWarp = 2;

} // namespace

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

} // namespace attune::sim
