// Checks a tile program against its machine; changes nothing.
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
    if (failed(checkMachine(kernel)) || failed(planChannels(kernel)))
      signalPassFailure();
    markAllAnalysesPreserved();
  }

  LogicalResult checkMachine(tile::KernelOp kernel) {
    Result<Arch> arch = findArch(kernel.getArch());
    if (!arch)
      return kernel.emitOpError() << arch.error().message;
    if (kernel.getWarps() * 32 > 1024)
      return kernel.emitOpError("expected at most 1024 threads, got ") << kernel.getWarps() * 32;
    if (kernel.getSmem() && int64_t(*kernel.getSmem()) > arch->sharedPerBlock)
      return kernel.emitOpError("expected at most ") << arch->sharedPerBlock << " bytes of shared memory on "
                                                     << arch->name << ", got " << *kernel.getSmem();
    return mlir::success();
  }
};
} // namespace
} // namespace attune
