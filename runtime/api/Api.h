//===- Api.h - the public interface, seen from inside -----------*- C++ -*-===//
//
// Inside, the public things are v1::, for `attune` has others by these names: v1::Spec is what a caller says,
// AttentionSpec what the compiler reads. This header turns the one into the other.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_API_API_H
#define ATTUNE_RUNTIME_API_API_H

#define ATTUNE_INSIDE
#include "runtime/include/attune/attune.hpp"

#include "runtime/plan/Planner.h"

#include <string>

namespace attune {

AttentionSpec toInside(const v1::Spec &spec);
v1::Spec toPublic(const AttentionSpec &spec);
ProblemShape toInside(const v1::Shape &shape);
v1::DeviceInfo toPublic(const DeviceInfo &device);
DType toInside(v1::DType type);
v1::DType toPublic(DType type);
/// Calls `advisor` with what it knows; empty if that is.
Advisor toInside(const v1::Advisor &advisor);
v1::Advisor toPublic(Advisor advisor);

namespace v1 {

/// What stands behind the pointer that `simulator()` gives.
class Simulator {
public:
  SimulatorOpener open;
};

} // namespace v1
} // namespace attune

#endif // ATTUNE_RUNTIME_API_API_H
