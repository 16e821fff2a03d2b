//===- AttnToTile.cpp - decides the schedule ------------------------------===//
#include "compiler/dialect/Elements.h"
#include "compiler/ir/ScheduleAttr.h"
#include "compiler/schedule/Builders.h"
#include "compiler/schedule/MaskBounds.h"
#include "compiler/transforms/Passes.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_ATTNTOTILE
#include "compiler/transforms/Passes.h.inc"

namespace {
struct AttnToTilePass : impl::AttnToTileBase<AttnToTilePass> {
  using AttnToTileBase::AttnToTileBase;

  void runOnOperation() override {
    Result<Arch> target = findArch(arch.getValue());
    if (!target) {
      getOperation().emitError() << target.error().message;
      return signalPassFailure();
    }
    for (auto forward : llvm::make_early_inc_range(getOperation().getOps<attn::ForwardOp>())) {
      FailureOr<Schedule> request =
          scheduleFrom(forward.getScheduleAttr(), [&] { return forward.emitOpError(); });
      if (failed(request))
        return signalPassFailure();
      ScheduleQuery query{int(forward.getHeadDimQk()), int(forward.getHeadDimV()),
                          *elementOf(forward.getDtype()), !analyseMask(forward.getMask()).first.empty(),
                          *target};
      Result<DecidedSchedule> decided = decideSchedule(query, *request);
      if (!decided) {
        forward.emitError(decided.error().message);
        return signalPassFailure();
      }
      OpBuilder builder(forward);
      if (failed(buildForward(builder, forward, *decided)))
        return signalPassFailure();
      forward.erase();
    }
  }
};
} // namespace
} // namespace attune
