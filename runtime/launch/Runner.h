//===- Runner.h - from a spec and arrays to outputs -------------*- C++ -*-===//
//
// What `attune run` does: compile, load, launch, read back, with the time of every stage and a plan that says
// what ran, on what, and why.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_LAUNCH_RUNNER_H
#define ATTUNE_RUNTIME_LAUNCH_RUNNER_H

#include "runtime/device/Device.h"
#include "runtime/jit/ProgramBuild.h"
#include "runtime/launch/ForwardLaunch.h"
#include "runtime/plan/Advice.h"
#include "runtime/reference/Problem.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace attune {

/// What will run, decided before anything is launched.
struct Plan {
  BuiltProgram built; ///< its `why` is the advisor's, if advice was taken
  DeviceInfo device;
  ImageKind image = ImageKind::PTX; ///< what is loaded
  std::string imageWhy;             ///< "cubin by ptxas 13.0.88", "PTX, assembled by the driver: no ptxas"
  Dim3 grid, block;
  int registers = -1;   ///< of a thread; -1: unknown
  int blocksPerSm = -1; ///< occupancy; -1: unknown
};

/// One problem. Strides count elements; every array's element (0, 0, 0, 0) is its span's first.
struct RunRequest {
  AttentionSpec spec;
  std::optional<Target> target; ///< nothing: the advisor's, else ptx
  reference::Problem problem;
  std::span<const uint16_t> q, k, v; ///< elements of the spec's dtype, as bits
  DumpSink dump;                     ///< passed on to the compiler
  Advisor advisor = {};              ///< asked for what the spec leaves open; may be empty
};

/// What came out. Elements that the kernel did not write hold reference::unwritten16 or unwritten32.
struct RunResult {
  Plan plan;
  std::vector<uint16_t> o;
  std::vector<float> lse;                 ///< empty if the spec has none
  StageTimes times;                       ///< the build's stages, then load, copy in, launch, copy out
  std::optional<LaunchCounters> counters; ///< on the simulator
  std::vector<std::string> notes;         ///< the build's, and the simulator's
};

/// Compiles for the device and decides what is loaded. `target` nothing: the advisor's, else ptx.
Result<Plan> planKernel(Device &device, const Toolchain &tools, const Cache &cache, const AttentionSpec &spec,
                        std::optional<Target> target, const reference::Problem &problem,
                        const DumpSink &dump = {}, const Advisor &advisor = {});

/// Plans and runs. On the simulator a fault of the kernel is an error of kind Verification that names the PTX
/// line and the tile op.
Result<RunResult> runAttention(Device &device, const Toolchain &tools, const Cache &cache,
                               const RunRequest &request);

/// For people: aligned lines of what runs, where and why, each ended by a newline.
std::string describe(const Plan &plan);

} // namespace attune

#endif // ATTUNE_RUNTIME_LAUNCH_RUNNER_H
