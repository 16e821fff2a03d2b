//===- Planning.h - decisions between a spec and a launch -------*- C++ -*-===//
//
// What the spec, the caller and the advisor together ask for, and why.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_PLAN_PLANNING_H
#define ATTUNE_RUNTIME_PLAN_PLANNING_H

#include "runtime/launch/CompiledProgram.h"
#include "runtime/plan/Advice.h"
#include "runtime/plan/ProblemShape.h"

#include <optional>
#include <string>
#include <string_view>

namespace attune {

/// What to compile.
struct Decision {
  AttentionSpec spec; ///< its schedule has the advised parts too
  Target target = Target::PTX;
  std::string why;  ///< the advisor's reason; empty: no advice was taken
  std::string note; ///< why there was advice and it was not taken; empty otherwise
};

/// Asks `advisor`, if there is one and the spec is not batch-invariant. What the spec or `target` fix wins:
/// advice against it is not taken.
Decision decide(const AttentionSpec &spec, std::optional<Target> target, const ProblemShape &shape,
                const DeviceInfo &device, const Advisor &advisor);

/// Takes the advice back, since it cannot be compiled: `error` says why not.
void undo(Decision &decision, const AttentionSpec &spec, std::optional<Target> target, const Error &error);

} // namespace attune

#endif // ATTUNE_RUNTIME_PLAN_PLANNING_H
