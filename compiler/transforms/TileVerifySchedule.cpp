//===- TileVerifySchedule.cpp - a tile program against its machine --------===//
#include "compiler/support/Arch.h"
#include "compiler/transforms/ChannelModel.h"
#include "compiler/transforms/Passes.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_TILEVERIFYSCHEDULE
#include "compiler/transforms/Passes.h.inc"

namespace {
struct TileVerifySchedulePass : impl::TileVerifyScheduleBase<TileVerifySchedulePass> {
  void runOnOperation() override {
    tile::KernelOp kernel = getOperation();
    if (failed(checkMachine(kernel)) || failed(getAnalysis<ChannelAnalysis>().plan))
      signalPassFailure();
    markAllAnalysesPreserved();
  }

  LogicalResult checkMachine(tile::KernelOp kernel) {
    Result<Arch> arch = findArch(kernel.getArch());
    if (!arch)
      return kernel.emitOpError() << arch.error().message;
    // Barrier 0 is the block's, another one where roles vote.
    int64_t registers = 0, barriers = 2;
    WalkResult roles = kernel.walk([&](tile::RoleOp role) -> WalkResult {
      barriers += namedBarriers(int64_t(role.getReplicas()));
      if (!role.getRegisters())
        return WalkResult::advance();
      registers += int64_t(role.getWarps() * role.getReplicas() * 32 * *role.getRegisters());
      if (arch->wgmma)
        return WalkResult::advance();
      return role.emitOpError("expected no 'registers' on ")
                 << arch->name << ", which has no setmaxnreg (sm_90a has)",
             WalkResult::interrupt();
    });
    if (roles.wasInterrupted())
      return failure();
    if (registers > arch->registersPerSm)
      return kernel.emitOpError("expected roles that ask for at most ")
             << arch->registersPerSm << " registers of a block, got " << registers;
    if (barriers > 16)
      return kernel.emitOpError("expected roles that need at most 16 named barriers, got ") << barriers;
    if (kernel.getSmem() && int64_t(*kernel.getSmem()) > arch->sharedPerBlock)
      return kernel.emitOpError("expected at most ") << arch->sharedPerBlock << " bytes of shared memory on "
                                                     << arch->name << ", got " << *kernel.getSmem();
    return mlir::success();
  }
};
} // namespace
} // namespace attune
