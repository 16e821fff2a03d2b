//===- Record.cpp - what the blocks that the clock follows did ------------===//
#include "simulator/clock/Record.h"

#include "simulator/Cluster.h"
#include "simulator/clock/Machine.h"

#include <bit>

namespace attune::sim {

void BlockRecord::begin(uint32_t warpCount) {
  warps.assign(warpCount, {});
  lines.clear();
  phases.clear();
  generation = {};
  current = nullptr;
}

/// The lines of global memory that a load, store or atomic of this mask touches.
static void touchLines(const Warp &w, const Inst &i, BlockRecord &record) {
  uint64_t bytes = std::max<uint64_t>(uint64_t(i.width) * std::max<uint32_t>(i.count, 1), 1);
  std::array<uint64_t, 32> lines;
  size_t count = 0;
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    uint64_t address = (i.addr64 ? reinterpret_cast<const uint64_t *>(w.regs + i.a)[l]
                                 : reinterpret_cast<const uint32_t *>(w.regs + i.a)[l]) +
                       uint64_t(i.imm);
    if (address < kSharedWindow + 4 * kWindowBytes && address >= kSharedWindow)
      continue; // shared or local memory by a generic address
    lines[count++] = address / 128;
    if (uint64_t last = (address + bytes - 1) / 128; last != address / 128 && count < 32)
      lines[count++] = last;
    if (count == 32)
      break;
  }
  std::sort(lines.begin(), lines.begin() + ptrdiff_t(count));
  for (size_t k = 0; k < count; ++k)
    record.line(lines[k]);
}

static void copyLines(const AsyncCopy &c, BlockRecord &record) {
  std::array<uint64_t, 32> lines;
  size_t count = 0;
  for (uint32_t m = c.mask; m; m &= m - 1)
    if (uint32_t l = uint32_t(std::countr_zero(m)); c.sourceBytes[l])
      lines[count++] = c.global[l] / 128;
  std::sort(lines.begin(), lines.begin() + ptrdiff_t(count));
  for (size_t k = 0; k < count; ++k)
    record.line(lines[k]);
}

void runRecorded(Warp &w, uint64_t budget) {
  Worker &worker = *w.worker;
  BlockRecord &block = *w.cta->record;
  const Machine &machine = *worker.launch->recording->machine;
  WarpRecord &record = block.warps[w.index];
  const Inst *code = w.program->code.data();
  worker.record = &block;
  w.stop = false;
  for (; budget && !w.stop; --budget) {
    if (w.pc >= w.joinPc)
      reconverge(w);
    uint32_t pc = w.pc++;
    const Inst &i = code[pc];
    const Step &step = machine.steps[pc];
    ++worker.classCounts[size_t(i.cls)];
    ++w.executed;
    w.mask = w.active & (w.preds[i.guard] ^ i.guardNeg);
    uint32_t mask = w.mask;
    Dynamic dynamic;
    uint64_t wavefronts = worker.counters.sharedWavefronts, bytes = worker.counters.asyncBytes;
    if (step.dynamic) {
      block.current = &dynamic;
      if (step.act == Act::Load || step.act == Act::Store || step.act == Act::Atomic)
        touchLines(w, i, block);
    }
    size_t copies = w.copies.size();
    if (w.tracked && (w.mask || i.runsEmpty || (w.undefined->predicates[i.guard] & w.active)))
      executeUndefined(w, i);
    else if (w.mask || i.runsEmpty)
      i.fn(w, i);
    block.current = nullptr;
    // A warp that waits, for others or for lanes of its own, will come to this instruction again.
    bool again = w.pc == pc && w.stop && w.state != WarpState::Done && w.state != WarpState::AtBarrier &&
                 step.act != Act::Branch;
    for (const Fragment &f : w.fragments)
      again |= f.pc == pc && f.missing;
    if (again || (!mask && step.anchor && step.act != Act::Branch))
      continue;
    if (step.act == Act::MbarrierWait) {
      auto &failed = record.failed;
      constexpr size_t mostRuns = 4; // of the loop
      if (failed.pc == pc && record.dynamics.size() == failed.dynamics + 1 &&
          record.runs.size() <= failed.runs + mostRuns) {
        record.runs.resize(failed.runs);
        if (failed.runs)
          record.runs.back().count = failed.lastCount;
        record.dynamics.resize(failed.dynamics);
      }
      failed = {dynamic.phases ? kFull : pc, record.runs.empty() ? 0 : record.runs.back().count,
                record.runs.size(), record.dynamics.size()};
    }
    if (step.act == Act::ClusterArrive || step.act == Act::ClusterWait) {
      bool waits = step.act == Act::ClusterWait;
      block.current = &dynamic;
      block.phase(0, kOfCluster, waits ? record.clusterWaits++ : record.clusterArrivals++, waits);
      block.current = nullptr;
    }
    if (step.dynamic) {
      dynamic.wavefronts = uint32_t(worker.counters.sharedWavefronts - wavefronts);
      dynamic.bytes = uint32_t(worker.counters.asyncBytes - bytes);
      if (step.act == Act::CopyAsync && w.copies.size() > copies) {
        block.current = &dynamic;
        copyLines(w.copies.back(), block);
        block.current = nullptr;
      }
      record.dynamics.push_back(dynamic);
    }
    if (!record.runs.empty() && record.runs.back().pc + record.runs.back().count == pc)
      ++record.runs.back().count;
    else
      record.runs.push_back({pc, 1});
  }
  worker.record = nullptr;
}

} // namespace attune::sim
