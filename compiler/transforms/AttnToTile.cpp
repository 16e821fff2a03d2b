// Decides the schedule and writes the tile program.
#include "compiler/schedule/AmpereForward.h"
#include "compiler/schedule/MaskBounds.h"
#include "compiler/transforms/Passes.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_ATTNTOTILE
#include "compiler/transforms/Passes.h.inc"

/// The request that the op's `schedule` dictionary makes.
static FailureOr<ScheduleRequest> readRequest(attn::ForwardOp forward) {
  ScheduleRequest request;
  DictionaryAttr schedule = forward.getScheduleAttr();
  if (!schedule)
    return request;
  for (NamedAttribute entry : schedule) {
    StringRef name = entry.getName();
    std::optional<int> *slot = name == "block_q"    ? &request.blockQ
                               : name == "block_kv" ? &request.blockKv
                               : name == "stages"   ? &request.stages
                               : name == "warps"    ? &request.warps
                                                    : nullptr;
    auto value = dyn_cast<IntegerAttr>(entry.getValue());
    if (!slot)
      return forward.emitOpError("expected block_q, block_kv, stages or warps in schedule, got '")
             << name << "'";
    if (!value || value.getInt() < 1 || value.getInt() > 4096)
      return forward.emitOpError("expected schedule's ")
             << name << " to be an integer in 1..4096, got " << entry.getValue();
    *slot = int(value.getInt());
  }
  return request;
}

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
      FailureOr<ScheduleRequest> request = readRequest(forward);
      if (failed(request))
        return signalPassFailure();
      Result<PortableSchedule> schedule =
          choosePortableSchedule(int(forward.getHeadDimQk()), int(forward.getHeadDimV()),
                                 !analyseMask(forward.getMask()).first.empty(), *request, *target);
      if (!schedule) {
        forward.emitOpError() << schedule.error().message;
        return signalPassFailure();
      }
      OpBuilder builder(forward);
      if (failed(buildAmpereForward(builder, forward, *schedule, *target)))
        return signalPassFailure();
      forward.erase();
    }
  }
};
} // namespace
} // namespace attune
