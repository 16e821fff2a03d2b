//===- Portable.h - the portable family of schedules ------------*- C++ -*-===//
//
// Kernels of mma.sync and cp.async, for every architecture from sm_80 on. Shared memory is counted exactly,
// registers by a model.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_PORTABLE_PORTABLE_H
#define ATTUNE_COMPILER_SCHEDULE_PORTABLE_PORTABLE_H

#include "compiler/schedule/Family.h"

namespace attune::portable {

/// The family's parameters: a schedule of it with nothing left open.
struct Tiles {
  int blockQ, blockKv, stages, warps;
  bool operator==(const Tiles &) const = default;
};
Tiles tilesOf(const Schedule &schedule);

/// Columns of a head in shared memory and in fragments: the mma's k asks for whole multiples.
int paddedHeadDim(int headDim, DType dtype);

/// Whether the A operand of Q K^T stays in registers; otherwise every step reloads it. The same numbers give
/// the same kernel, whether they were asked for or are the default's.
bool keepsQuery(const ScheduleQuery &query, const Tiles &tiles);

} // namespace attune::portable

#endif // ATTUNE_COMPILER_SCHEDULE_PORTABLE_PORTABLE_H
