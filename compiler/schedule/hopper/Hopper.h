//===- Hopper.h - the family of schedules for sm_90a ------------*- C++ -*-===//
//
// One warp has TMA fill rings of K and V; one to four warpgroups of 64 query rows each read them by wgmma.
// Shared memory is counted exactly, registers by a model.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_HOPPER_HOPPER_H
#define ATTUNE_COMPILER_SCHEDULE_HOPPER_HOPPER_H

#include "compiler/schedule/Family.h"

namespace attune::hopper {

/// Query rows of a warpgroup: wgmma's m.
constexpr int rowsOfGroup = 64;

/// Tiles of a round: at its end, those that were bad are computed again; a bit of a word for each.
constexpr int tilesOfRound = 32;
/// Numbers of tiles that a CTA remembers: of this round and, as the producer is ahead, of the next.
constexpr int wordsOfRounds = 2 * tilesOfRound;

/// Which tiles a CTA computes.
enum class Grid { OneTile, Static, Dynamic };
/// What consumers do one after the other instead of whenever they can.
enum class Turns { None, Softmax, Products };

/// The family's parameters: a schedule of it with nothing left open.
struct Tiles {
  int blockQ, blockKv, stages;
  bool overlap = true; ///< the next scores are computed while this block's softmax runs
  Grid grid = Grid::OneTile;
  int qSlots = 1;        ///< tiles of queries that are in shared memory at once
  bool tmaStore = false; ///< O goes out by stmatrix and TMA
  Turns turns = Turns::None;
  int blocksPerSm = 1;
  int registers = 0; ///< of a consumer's thread; 0: as rolesOf says
  int groups() const { return blockQ / rowsOfGroup; }
  bool operator==(const Tiles &) const = default;
};
Tiles tilesOf(const Schedule &schedule);

/// Columns of a head in shared memory and in fragments: whole panels of 32 or 64 columns where a head is
/// wider than one, for TMA fills what the array lacks with zeros.
int paddedHeadDim(int headDim);

/// How registers are shared out between producer and consumers (a thread of each), and the producer's warps.
/// Registers are 0 where nobody moves any: four consumer warpgroups leave room for a single producer warp
/// only.
struct Roles {
  int producerWarps, producerRegisters, consumerRegisters;
  int limit; ///< registers that a consumer's thread has
};
Roles rolesOf(const Tiles &tiles);

} // namespace attune::hopper

#endif // ATTUNE_COMPILER_SCHEDULE_HOPPER_HOPPER_H
