//===- Cluster.h - blocks that run together, and each other's shared memory -*- C++ -*-===//
//
// A cluster is what a launch starts together: one block, or several that see each other's shared memory. Its
// blocks are stepped together by one worker, end together, and are stuck together.
//
// Addresses: shared memory of the own block lies at kSharedBase. In shared::cluster, which contains it, the
// memory of the block with rank r lies at (r + 1) << 24 | its own address; a block may name itself in either
// way. Generic addresses are kSharedWindow + that.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_CLUSTER_H
#define ATTUNE_SIMULATOR_CLUSTER_H

#include "simulator/Exec.h"

namespace attune::sim {

constexpr uint32_t kRankShift = 24;
constexpr uint32_t kPortableCluster = 8, kLargestCluster = 16; ///< blocks

/// The barrier of all threads of a cluster. Who arrived stands in the warps.
struct ClusterBarrier {
  bool relaxed = false; ///< some arrival of this phase releases nothing
  Foreign known, lived; ///< of the arrivals so far: what they release, and up to where they have run
  Foreign done, past;   ///< the same of the last complete phase
};

struct Cluster {
  std::vector<Cta *> ctas; ///< by rank
  uint64_t number = 0;     ///< among the clusters of the grid
  uint32_t firstSegment = 1;
  uint64_t random = 0;
  ClusterBarrier barrier;
  PublishedAt published; ///< in global memory, as far as this cluster goes

  /// All its warps go in circles or wait, and nothing has changed since.
  bool idle() const;
  void abort();
};

/// A place in a block's shared memory; `offset` counts from the start of its buffer.
struct SharedPlace {
  Cta *cta = nullptr; ///< null: no block of the cluster has it
  uint32_t offset = 0;
};
/// Where `bytes` at a shared or shared::cluster address lie, as seen by `own`.
SharedPlace placeOf(Cta &own, uint64_t address, uint32_t bytes = 1);
/// The block of this rank in the cluster of `own`, or null.
Cta *clusterCta(const Cta &own, uint32_t rank);
/// The shared::cluster address of a place.
uint32_t clusterAddress(SharedPlace place);
/// "block (1, 0, 0)'s ..." for messages: the place's address and the variable that holds it.
std::string describePlace(const Warp &w, SharedPlace place);

/// Whether a block whose shared memory is used by one lane of another has begun and has not ended; reports it
/// if not.
bool isThere(Warp &w, const Inst &i, uint32_t lane, SharedPlace place, uint32_t bytes, bool write);
/// Checks that a block whose shared memory is used by one lane of another has begun and has not ended, now
/// and when it will end.
void visit(Warp &w, const Inst &i, uint32_t lane, SharedPlace place, uint32_t bytes, bool write);
/// The same, and races. `stored` as in Races.h.
void touchRemote(Warp &w, const Inst &i, uint32_t lane, SharedPlace place, uint32_t bytes, bool write,
                 StoredValues stored = {});
/// Loads and stores by lanes whose addresses lie outside the own block's window: `data` holds element n of
/// lane l at [n * 32 + l], 32 bits each or 64 where width is 8. Gives the lanes that were served; the others
/// are out of bounds.
uint32_t accessElsewhere(Warp &w, const Inst &i, const uint64_t *address, uint32_t mask, uint32_t width,
                         uint32_t count, bool write, void *data);

/// Makes the cluster of this number ready to run.
void startCluster(Worker &worker, Cluster &cluster, uint64_t number);
/// Runs each of its blocks for some turns. True: all have ended.
bool stepCluster(Worker &worker, Cluster &cluster, uint64_t rounds, uint64_t quantum);
/// Reports that a cluster which is idle never ends, and ends it.
void reportIdle(Cluster &cluster);
/// What each warp does, for messages.
std::string warpStates(const Cluster &cluster);

/// A warp has ended, or some of its lanes: the barrier does not wait for them.
void leaveCluster(Warp &w);
/// A block has ended: nobody may touch its shared memory any more.
void endOfBlock(Cta &cta);
void execClusterArrive(Warp &w, const Inst &i);
void execClusterWait(Warp &w, const Inst &i);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_CLUSTER_H
