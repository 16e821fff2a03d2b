//===- ForwardLaunch.h - what a launch of a forward kernel takes -*- C++ -*-===//
//
// The rules that a problem and its strides must keep, the grid, and the parameter block. Whoever launches,
// `attune run` or a program through the public API, goes through these.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_LAUNCH_FORWARDLAUNCH_H
#define ATTUNE_RUNTIME_LAUNCH_FORWARDLAUNCH_H

#include "compiler/Compiler.h"
#include "compiler/spec/KernelParams.h"
#include "runtime/device/Device.h"
#include "runtime/plan/Advice.h"
#include "runtime/reference/Problem.h"

#include <cstdint>

namespace attune {

/// Of a sequence: kernels compare 32-bit positions that may lie a window and a tile beyond it.
inline constexpr int64_t maxLength = int64_t(1) << 30;
/// Of a batch and of heads: the grid's y and z.
inline constexpr int64_t maxGrid = 65535;

/// Whether kernels can run a problem of this shape: positive lengths and counts, heads_q a multiple of
/// heads_kv, the grid's limits. One error with a line for each mistake.
Status validateShape(const ProblemShape &shape);
/// Whether the kernels of `spec` take the strides of `problem`, whose shape is valid: of multiples of 8
/// elements that are not negative, row strides below 2^30, outputs that do not overlap. One error with a line
/// for each mistake; without one, no memory is taken.
Status validateStrides(const AttentionSpec &spec, const reference::Problem &problem);
/// Both.
Status validateProblem(const AttentionSpec &spec, const reference::Problem &problem);

ProblemShape shapeOf(const reference::Problem &problem);

/// Elements from the first to the last that the problem touches: how long each array's span must be.
struct SpanLengths {
  int64_t q, k, v, o, lse;
};
SpanLengths spanLengths(const AttentionSpec &spec, const reference::Problem &problem);

/// Device addresses of the elements (0, 0, 0, 0); `lse` is 0 where the spec has none.
struct ForwardAddresses {
  DeviceAddress q = 0, k = 0, v = 0, o = 0, lse = 0;
};

/// Blocks to launch.
Dim3 forwardGrid(const Schedule &schedule, const reference::Problem &problem);
/// The kernel's one parameter.
ForwardParams forwardParams(const reference::Problem &problem, const ForwardAddresses &addresses);

} // namespace attune

#endif // ATTUNE_RUNTIME_LAUNCH_FORWARDLAUNCH_H
