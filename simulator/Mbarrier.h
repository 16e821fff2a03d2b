//===- Mbarrier.h - barriers in shared memory ---------------------*- C++ -*-===//
//
// What the simulator keeps of an mbarrier beside the 64 bits in shared memory: which phase it is in, what its
// arrivals have published, who waits, and who made it.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_MBARRIER_H
#define ATTUNE_SIMULATOR_MBARRIER_H

#include "simulator/Order.h"

#include <cstdint>
#include <string>

namespace attune::sim {

struct Cta;
struct Inst;
struct Warp;

struct Mbarrier {
  uint32_t offset = 0; ///< from the start of shared memory
  uint32_t clock = 0;  ///< entry of the clock vectors that counts its phases, see AsyncProxy.h
  bool live = false;
  uint64_t phase = 0;   ///< phases that have ended, also of earlier lives; the lowest bit is the parity
  uint64_t word = 0;    ///< what shared memory should hold
  uint32_t waiting = 0; ///< warps that sleep until the phase ends, a bit each
  uint32_t initWarp = 0, initClock = 0, initSite = 0, initSegment = 0, initLane = 0;
  uint32_t initFences = 0; ///< fences for the async proxy that its maker had executed before
  uint32_t knowsInit = 0;  ///< warps of the block for whom the initialisation is known to come before
  bool visible = false;    ///< to the async proxy, as was found before
  int64_t lastSite = -1;   ///< of the last arrival or expect_tx
  uint32_t lastWarp = 0;
  Clocks used;               ///< of each warp, at its last use
  Clocks arrived, completed; ///< published by arrivals; as of the last end of a phase
  Foreign arrivedForeign, completedForeign;
};

/// The barrier in use at this offset, or null.
Mbarrier *mbarrierAt(Cta &cta, uint32_t offset);
/// `bytes` of an asynchronous operation have come: the barrier's pending bytes go down. `op`: a load of
/// `target.async` that may be relied on when the phase ends; 0: none.
void completeTx(Cta &target, uint32_t offset, uint32_t bytes, uint32_t op);
/// Whether an asynchronous operation issued by lane `lane` of `w` may complete on the barrier at `offset` of
/// `target`; reports why not.
bool checkAsyncBarrier(Warp &w, const Inst &i, uint32_t lane, Cta &target, uint32_t offset);
/// Where nothing else in the block can go on, a try_wait may time out. True: some warp runs again.
bool expireWaits(Cta &cta);
/// "; mbarrier at ...: phase 2, 1 of 2 arrivals and 4096 bytes pending; ..." for reports of a deadlock.
std::string mbarrierStates(const Cta &cta);
/// The block has ended: reports barriers that still wait for bytes.
void endMbarriers(Cta &cta);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_MBARRIER_H
