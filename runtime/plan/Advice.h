//===- Advice.h - who may choose what a spec leaves open --------*- C++ -*-===//
//
// Planning asks an advisor (the tuner's store, for example) before it falls back on the compiler's default
// schedule. The runtime knows only this signature, so that it does not depend on the tuner.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_PLAN_ADVICE_H
#define ATTUNE_RUNTIME_PLAN_ADVICE_H

#include "compiler/Compiler.h"
#include "compiler/spec/Spec.h"
#include "runtime/device/Device.h"
#include "runtime/launch/Failure.h"
#include "runtime/plan/ProblemShape.h"

#include <functional>
#include <optional>
#include <string>

namespace attune {

/// A schedule for a spec on a device, and who says so.
struct Advice {
  Schedule schedule; ///< what is absent is left to the compiler's default
  Target target = Target::PTX;
  std::string why; ///< for people: "measured, 512.3 us, nearest shape batch 1, 16 heads, 4096"
};

/// Nothing where the advisor knows nothing. Called from many threads at once; never measures.
using Advisor = std::function<std::optional<Advice>(const AttentionSpec &spec, const ProblemShape &shape,
                                                    const DeviceInfo &device)>;

} // namespace attune

#endif // ATTUNE_RUNTIME_PLAN_ADVICE_H
