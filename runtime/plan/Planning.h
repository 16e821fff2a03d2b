//===- Planning.h - decisions between a spec and a launch -------*- C++ -*-===//
//
// What the spec, the caller and the advisor together ask for, and which of a kernel's images a device loads.
// Every decision says why.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_PLAN_PLANNING_H
#define ATTUNE_RUNTIME_PLAN_PLANNING_H

#include "runtime/plan/Advice.h"
#include "runtime/plan/CompiledProgram.h"

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

/// Asks `advisor`, if there is one. What the spec or `target` fix wins: advice against it is not taken.
Decision decide(const AttentionSpec &spec, std::optional<Target> target, const ProblemShape &shape,
                const DeviceInfo &device, const Advisor &advisor);

/// Takes the advice back, since it cannot be compiled: `error` says why not.
void undo(Decision &decision, const AttentionSpec &spec, std::optional<Target> target, const Error &error);

/// What of a kernel is loaded.
struct ImageChoice {
  ImageKind kind = ImageKind::PTX;
  std::string why; ///< "cubin by ptxas 13.0.88", "PTX, assembled by the driver: ptxas was not found"
};

/// The cubin where the device and its driver take it, else PTX. An error of kind Missing where the driver
/// reads neither.
Result<ImageChoice> chooseImage(const Device &device, const CompiledProgram &kernel);

/// The ISA version that PTX text declares, 10 * major + minor; 0 if it declares none.
int ptxIsaOf(std::string_view ptx);

} // namespace attune

#endif // ATTUNE_RUNTIME_PLAN_PLANNING_H
