//===- Resources.h - what a portable schedule costs -------------*- C++ -*-===//
//
// Shared memory exactly, registers by a model; which schedules are legal on an architecture, and which is the
// default.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_RESOURCES_H
#define ATTUNE_COMPILER_SCHEDULE_RESOURCES_H

#include "compiler/Compiler.h"
#include "compiler/spec/Spec.h"
#include "compiler/support/Arch.h"

namespace attune {

/// A schedule of the portable family with what the builder derives for it.
struct PortableSchedule {
  Schedule tiles;
  bool qInRegisters; ///< the A operand of Q K^T stays in registers; otherwise every step reloads it
  int minBlocksPerSm;
  std::string why; ///< where it came from, for people
};

/// Columns of a head in shared memory and in fragments: the mma's k of 16 asks for whole multiples.
constexpr int paddedHeadDim(int headDim) { return (headDim + 15) / 16 * 16; }

/// Bytes of shared memory: the Q tile and the K and V rings, or the output's staging tile where that is
/// larger.
int portableSharedBytes(int headDimQk, int headDimV, const Schedule &tiles);

/// Registers of a thread by a model: fragments that live together, and what addresses and rows take. Where
/// ptxas is free to, it takes from 40 fewer to 70 more.
int portableRegisters(int headDimQk, int headDimV, const Schedule &tiles, bool qInRegisters);

/// What a schedule takes, known before anything is compiled.
struct PortableCost {
  int threads = 0;     ///< of a block
  int sharedBytes = 0; ///< of a block, exact
  int registers = 0;   ///< of a thread, by portableRegisters
  bool qInRegisters = false;
  int blocksPerSm = 0; ///< that run on an SM at once, by these numbers
  /// What forbids it, in few words that are the same for all schedules so that they can be counted, and as a
  /// sentence with the numbers. Both are empty for a schedule that can run.
  std::string limit, refusal;
};
PortableCost portableCost(int headDimQk, int headDimV, bool rowsHaveFirstKey, const Schedule &tiles,
                          const Arch &arch);

/// Fills in what `request` leaves open, preferring the default of the architecture; an error says which limit
/// is exceeded, with the numbers and the nearest schedule that fits. `rowsHaveFirstKey`: the mask has a left
/// bound, as a window has.
Result<PortableSchedule> choosePortableSchedule(int headDimQk, int headDimV, bool rowsHaveFirstKey,
                                                const ScheduleRequest &request, const Arch &arch);

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_RESOURCES_H
