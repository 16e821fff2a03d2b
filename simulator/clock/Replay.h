//===- Replay.h - recorded blocks on a model of their SMs -----------*- C++ -*-===//
//
// Record.h describes the clock as a whole.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_CLOCK_REPLAY_H
#define ATTUNE_SIMULATOR_CLOCK_REPLAY_H

#include "simulator/Time.h"
#include "simulator/clock/Machine.h"
#include "simulator/clock/Record.h"

#include <deque>
#include <unordered_set>

namespace attune::sim {

/// What an SM may take of what all share, while they all run.
struct Shares {
  double l2Bytes = 0, memoryBytes = 0; ///< a clock
  double fresh = 1; ///< part of the lines that this SM meets first and that no other SM has fetched before
};

/// A span of the timeline.
struct Span {
  enum Track : uint8_t { Warp, Tensor, Copies } track;
  uint32_t sm, block, index; ///< warp, or warpgroup
  Stall stall;               ///< Count: it issues
  uint32_t pc;
  double begin, end;
};

class Replay {
public:
  Replay(const Machine &machine, const Shares &shares, bool timeline);
  ~Replay();
  /// Blocks of a cluster that run beside each other, each on an SM of its own. Those that are given later
  /// begin when one before them has ended, if `residents` are there already.
  void run(const std::vector<std::vector<const BlockRecord *>> &clusters, uint32_t residents);

  std::vector<BlockTime> times;
  double end = 0; ///< of the last block
  uint32_t sms = 0;
  std::array<double, kPipes> busy{}; ///< clocks of all schedulers; of the port for Shared
  double tensor = 0;                 ///< clocks of the tensor cores of all SMs
  double issued = 0;                 ///< issue slots
  struct PcTime {
    uint64_t issued = 0;
    std::array<double, kStalls> stalls{};
  };
  std::vector<PcTime> pcs;
  std::vector<Span> spans;
  bool stuck = false; ///< a wait had to be let go

private:
  struct Group;
  struct Block;
  struct Core;
  struct Unit;
  struct Event {
    uint32_t pending = 0; ///< contributions
    double at = 0;        ///< of the last so far
    std::vector<Unit *> waiters;
  };
  struct Operation { ///< a wgmma
    const Step *step = nullptr;
    uint32_t pc = 0;
    uint8_t issued = 0;
    double ready = 0, start = -1, done = -1;
  };
  void begin(const std::vector<const BlockRecord *> &cluster);
  bool fetch(Unit &u);
  void advance(Unit &u);
  void resolve(Unit &u);
  void passBarrier(Unit &u);
  bool await(Unit &u, Event &e);
  void wake(Unit &u);
  void leave(Unit &u, double at);
  void issue(Unit &u, double at);
  double act(Unit &u, const Step &s, const Dynamic *d, double at);
  double pipeFree(const Unit &u) const;
  double available(const Unit &u) const;
  double fetchLines(Core &core, const Block &block, const Dynamic &d, double at, bool l1);
  bool startMatrix(double before);
  void contribute(Block &block, const PhaseOf &phase, double at);
  Event &event(const Block &block, const PhaseOf &phase);
  void span(Span::Track track, const Unit &u, Stall stall, double from, double to);

  const Machine &machine;
  const GpuFigures &gpu;
  Shares shares;
  bool timeline;
  std::vector<std::unique_ptr<Core>> cores;
  std::vector<std::unique_ptr<Block>> blocks;
  std::vector<Unit *> running;
  std::unordered_set<uint64_t> touched; ///< lines that are in L2
  double now = 0;
  size_t pendingBlocks = 0;
};

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_CLOCK_REPLAY_H
