//===- Record.h - what the blocks that the clock follows did --------*- C++ -*-===//
//
// The virtual clock, in one page.
//
// Executing and timing are two passes. Execution (Control.cpp) runs warps in an order that has nothing to do
// with time; of the blocks that the clock follows, it records what each warp did: runs of instructions, and
// beside them, for each instruction whose cost or wait depends on values, one Dynamic: wavefronts, lines of
// global memory, which barrier and which of its phases. A kernel that is free of races does the same in every
// order, so the record is what a GPU would do too.
//
// Then Replay (Replay.cpp) runs the records through a model of the SMs that hold these blocks:
//   Machine.cpp  what ptxas makes of each PTX instruction: nothing (moves, address arithmetic that folds), or
//                machine instructions of a pipe, with its rate and latency out of GpuFigures
//   Order.cpp    in which order: between two fences, as a list scheduler puts them, for PTX's order is not
//                the machine's
//   Replay.cpp   a warp issues in order, when its operands are there, its pipe is free and its scheduler has
//   not
//                issued another; pipes are private to a scheduler (FMA, ALU, MUFU, mma.sync) or belong to the
//                SM (shared memory, wgmma, TMA, its share of L2 and HBM). Waits join by maximum: a phase of a
//                barrier, mbarrier or group ends when the last of its contributions does, whose number the
//                record says
//   Estimate.cpp which blocks to follow, how many an SM holds, the grid's time from the followed blocks'
//   times
//
// What is recorded of one block depends on that block alone, and the replay runs on one thread: the times do
// not depend on the number of host threads. When the clock is off, execution meets one null pointer a turn of
// a warp, and one an mbarrier, barrier or bulk instruction.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_CLOCK_RECORD_H
#define ATTUNE_SIMULATOR_CLOCK_RECORD_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace attune::sim {

struct Cta;
struct Warp;
class Machine;

/// A phase of a barrier in the cluster.
struct PhaseOf {
  uint32_t rank = 0, barrier = 0; ///< mbarrier: its offset; numbered barrier: its number + kNumbered
  int64_t phase = -1;             ///< -1: none
  bool waits = false;             ///< for its end; else contributes to it
};
constexpr uint32_t kNumbered = 0x80000000u, kOfCluster = 0xC0000000u;

/// What one executed instruction did, beyond what its opcode says; for each whose Step::dynamic is set.
struct Dynamic {
  uint32_t wavefronts = 0;             ///< cycles of the shared-memory port
  uint32_t bytes = 0;                  ///< of a copy
  uint32_t firstLine = 0, lines = 0;   ///< in BlockRecord::lines
  uint32_t firstPhase = 0, phases = 0; ///< in BlockRecord::phases: contributed to, or waited for
};

struct WarpRecord {
  struct Run {
    uint32_t pc, count;
  };
  std::vector<Run> runs; ///< adjacent instructions
  std::vector<Dynamic> dynamics;
  int64_t clusterArrivals = 0, clusterWaits = 0;
  /// A test of an mbarrier that failed, and what was recorded before it: rounds of a loop that only tests
  /// again are as many as the host's scheduling made them, and are not kept.
  struct {
    uint32_t pc = ~0u, lastCount = 0;
    size_t runs = 0, dynamics = 0;
  } failed;
};

/// A block that is followed.
struct BlockRecord {
  uint64_t number = 0;
  uint32_t rank = 0;
  std::vector<WarpRecord> warps;
  std::vector<uint64_t> lines; ///< of 128 bytes of global memory
  std::vector<PhaseOf> phases;
  std::array<int64_t, 16> generation{}; ///< of the numbered barriers
  Dynamic *current = nullptr;           ///< of the instruction that executes

  void begin(uint32_t warpCount);
  /// To be called by handlers: what the instruction that executes contributes to, or waits for.
  void phase(uint32_t rank, uint32_t barrier, int64_t phase, bool waits = false) {
    if (!current)
      return;
    if (!current->phases)
      current->firstPhase = uint32_t(phases.size());
    phases.push_back({rank, barrier, phase, waits});
    ++current->phases;
  }
  void range(uint64_t address, uint64_t bytes) {
    if (!current || !bytes)
      return;
    for (uint64_t line = address / 128; line <= (address + bytes - 1) / 128; ++line)
      this->line(line);
  }
  void line(uint64_t line) {
    if (!current->lines)
      current->firstLine = uint32_t(lines.size());
    else if (lines.back() == line)
      return;
    lines.push_back(line);
    ++current->lines;
  }
};

/// Of a launch that is timed.
struct Recording {
  const Machine *machine = nullptr;
  std::map<uint64_t, BlockRecord> blocks; ///< by number: all that are followed, before the launch begins
  std::vector<uint64_t> executed;         ///< instructions of each block of the grid

  BlockRecord *find(uint64_t number) {
    auto it = blocks.find(number);
    return it == blocks.end() ? nullptr : &it->second;
  }
};

/// Executes up to `budget` instructions of a warp of a block that is followed.
void runRecorded(Warp &w, uint64_t budget);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_CLOCK_RECORD_H
