//===- Builders.cpp - who writes a family's tile programs -----------------===//
#include "compiler/schedule/Builders.h"

using namespace mlir;

namespace attune {

namespace {
struct FamilyBuilders {
  const ScheduleFamily *family;
  LogicalResult (*forward)(OpBuilder &, attn::ForwardOp, const DecidedSchedule &);
};
constexpr FamilyBuilders builders[] = {
    {&portable::family, portable::buildForward},
    {&hopper::family, hopper::buildForward},
};
} // namespace

LogicalResult buildForward(OpBuilder &builder, attn::ForwardOp forward, const DecidedSchedule &decided) {
  for (const FamilyBuilders &entry : builders)
    if (entry.family == decided.family)
      return entry.forward(builder, forward, decided);
  return forward.emitOpError("expected a schedule family that builds forward kernels, got ")
         << decided.schedule.family;
}

} // namespace attune
