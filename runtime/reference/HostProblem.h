//===- HostProblem.h - arrays of a program on the host ----------*- C++ -*-===//
//
// What whoever runs a program to judge it gives it, and reads of it: the command, the tuner, tests.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_REFERENCE_HOSTPROBLEM_H
#define ATTUNE_RUNTIME_REFERENCE_HOSTPROBLEM_H

#include "runtime/launch/DeviceArrays.h"
#include "runtime/reference/Compare.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace attune::reference {

/// The `place`-th array of a program, dense in `layout`: an input of normal numbers by `seed` (of integers:
/// 0, of bytes: 1, of lengths: the problem's), an output whose elements say that nobody wrote them.
HostArray sampleArray(const BoundProgram &program, size_t place, Layout layout, uint64_t seed);

/// The array of this name, or null.
const HostArray *findArray(const std::vector<HostArray> &arrays, std::string_view name);

/// What the reference reads of a program's arrays, and what it judges: LSE only where the spec has it.
Inputs inputsOf(const AttentionSpec &spec, const std::vector<HostArray> &arrays);
Outputs outputsOf(const AttentionSpec &spec, const std::vector<HostArray> &arrays);

} // namespace attune::reference

#endif // ATTUNE_RUNTIME_REFERENCE_HOSTPROBLEM_H
