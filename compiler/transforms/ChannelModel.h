//===- ChannelModel.h - what the rings of a tile program do -----*- C++ -*-===//
//
// Runs the control flow of a tile program on representative lengths: its integer arithmetic for real, its
// ring ops on a model of copy groups and barriers, or, where roles meet at rings, on one of slots that fill
// and empty. What holds in every run is what the synchronisation may rely on; a rule that some run breaks is
// an error of the schedule.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_TRANSFORMS_CHANNELMODEL_H
#define ATTUNE_COMPILER_TRANSFORMS_CHANNELMODEL_H

#include "compiler/dialect/tile/Tile.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

#include <string>
#include <vector>

namespace attune {

/// The synchronisation that ring ops need.
struct ChannelPlan {
  /// For each tile.wait: how many of the newest copy groups may still be in flight in every run.
  llvm::DenseMap<mlir::Operation *, int64_t> pending;
  /// The waits and acquires that some run reached; nothing is known of the others.
  llvm::DenseSet<mlir::Operation *> reached;
  /// The tile.acquire ops that need a barrier of their own: in some run no other barrier lies between the
  /// release of the slot and the acquire.
  llvm::DenseSet<mlir::Operation *> barrierBefore;
  /// For each ring of kind tma: how many warps release a tile, 0 where none does because no slot is used
  /// twice.
  llvm::DenseMap<mlir::Value, int64_t> releases;
};

/// What one replica of a role does to the rings, in its order.
struct RingEvent {
  mlir::Operation *op; ///< tile.fill, tile.wait or tile.release
  mlir::Value ring;
  int64_t index;
};
struct RoleTrace {
  tile::RoleOp role;
  int64_t replica;
  std::vector<RingEvent> events;
};

/// Lets the roles take turns at their rings until all are done; `context` ends the error at an op that breaks
/// a rule or that no turn reaches. Adds what it sees to `releases`.
mlir::LogicalResult playRoles(llvm::ArrayRef<RoleTrace> roles, const std::string &context,
                              llvm::DenseMap<mlir::Value, int64_t> &releases);

/// The plan for `kernel`, or failure with errors at the ops that break a rule.
mlir::FailureOr<ChannelPlan> planChannels(tile::KernelOp kernel);

/// The plan of a kernel as an analysis, so that the passes that ask for it one after the other share it.
struct ChannelAnalysis {
  explicit ChannelAnalysis(mlir::Operation *kernel) : plan(planChannels(cast<tile::KernelOp>(kernel))) {}
  mlir::FailureOr<ChannelPlan> plan;
};

/// Whether `wait` can use the wait_group and the barrier of a tile.wait before it: only pure ops lie between.
bool sharesBarrierWithPrevious(tile::WaitOp wait);

} // namespace attune

#endif // ATTUNE_COMPILER_TRANSFORMS_CHANNELMODEL_H
