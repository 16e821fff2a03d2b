//===- AmpereForward.h - the portable forward schedule ----------*- C++ -*-===//
//
// mma.sync, ldmatrix and cp.async: every NVIDIA GPU from sm_80 on.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_AMPEREFORWARD_H
#define ATTUNE_COMPILER_SCHEDULE_AMPEREFORWARD_H

#include "compiler/dialect/attn/Attn.h"
#include "compiler/dialect/tile/Tile.h"
#include "compiler/schedule/Resources.h"

namespace attune {

/// Writes the tile program for `forward` at the builder's insertion point. Fails, with an error at the op, on
/// a region that tiles cannot evaluate.
mlir::FailureOr<tile::KernelOp> buildAmpereForward(mlir::OpBuilder &builder, attn::ForwardOp forward,
                                                   const PortableSchedule &schedule, const Arch &arch);

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_AMPEREFORWARD_H
