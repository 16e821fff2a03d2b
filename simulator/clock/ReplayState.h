//===- ReplayState.h - where the blocks and warps of a replay stand -*- C++ -*-===//
#ifndef ATTUNE_SIMULATOR_CLOCK_REPLAYSTATE_H
#define ATTUNE_SIMULATOR_CLOCK_REPLAYSTATE_H

#include "simulator/clock/Replay.h"

#include <algorithm>

namespace attune::sim {

constexpr uint32_t kSchedulers = 4;
constexpr double kNever = 1e300;

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

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_CLOCK_REPLAYSTATE_H
