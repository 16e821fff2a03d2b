//===- Facts.h - what the C interface tells, as JSON ------------*- C++ -*-===//
//
// attune.h has an example of each.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_API_FACTS_H
#define ATTUNE_RUNTIME_API_FACTS_H

#include "runtime/plan/Planner.h"

#include <string>
#include <vector>

namespace attune::api {

std::string factsOf(const DeviceInfo &device);
std::string factsOf(const Schedule &schedule);
std::string factsOf(const StageTimes &times);
/// What a bundle has, as `attune bundle list --json` prints it too.
std::string factsOf(const Bundle &bundle);
/// `dense`: the plan's arrays in the spec's layout.
std::string factsOf(const Plan &plan, const std::vector<ArrayArgument> &dense);

} // namespace attune::api

#endif // ATTUNE_RUNTIME_API_FACTS_H
