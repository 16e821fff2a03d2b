//===- Builders.h - who writes a family's tile programs ---------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SCHEDULE_BUILDERS_H
#define ATTUNE_COMPILER_SCHEDULE_BUILDERS_H

#include "compiler/dialect/attn/Attn.h"
#include "compiler/dialect/tile/Tile.h"
#include "compiler/schedule/Family.h"

namespace attune {

/// Writes the tile kernels that compute `forward` by the decided schedule where `builder` stands, in the
/// order of their launches. Fails, with an error at the op, where a score or mask region has an operation
/// that tiles cannot do.
mlir::LogicalResult buildForward(mlir::OpBuilder &builder, attn::ForwardOp forward,
                                 const DecidedSchedule &decided);

namespace portable {
mlir::LogicalResult buildForward(mlir::OpBuilder &builder, attn::ForwardOp forward,
                                 const DecidedSchedule &decided);
} // namespace portable
namespace hopper {
mlir::LogicalResult buildForward(mlir::OpBuilder &builder, attn::ForwardOp forward,
                                 const DecidedSchedule &decided);
} // namespace hopper

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_BUILDERS_H
