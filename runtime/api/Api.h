//===- Api.h - the public interface, seen from inside -----------*- C++ -*-===//
//
// Inside, the public things are v1::, for `attune` has others by these names: v1::Spec is what a caller says,
// AttentionSpec what the compiler reads. This header turns the one into the other.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_API_API_H
#define ATTUNE_RUNTIME_API_API_H

#define ATTUNE_INSIDE
#include "runtime/include/attune/attune.h"

#include "runtime/plan/Advice.h"
#include "runtime/plan/CompiledProgram.h"
#include "runtime/reference/Problem.h"

#include <string>

namespace attune {

AttentionSpec toInside(const v1::Spec &spec);
v1::Spec toPublic(const AttentionSpec &spec);
ProblemShape toInside(const v1::Shape &shape);
v1::DeviceInfo toPublic(const DeviceInfo &device);
/// Calls `advisor` with what it knows; empty if that is.
Advisor toInside(const v1::Advisor &advisor);

namespace v1 {

/// What stands behind the pointer that `compiler()` gives. The core knows only this.
class Compiler {
public:
  virtual ~Compiler() = default;
  /// Compiles, or takes the kernel from `cache` unless `again`.
  virtual attune::Result<BuiltProgram> build(const AttentionSpec &spec, const Arch &arch,
                                             attune::Target target, const Cache &cache, bool again) const = 0;
};

/// What stands behind the pointer that `simulator()` gives.
class Simulator {
public:
  SimulatorOpener open;
};

} // namespace v1
} // namespace attune

#endif // ATTUNE_RUNTIME_API_API_H
