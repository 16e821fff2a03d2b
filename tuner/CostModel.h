//===- CostModel.h - how long a candidate should take -----------*- C++ -*-===//
//
// A model in closed form. A block's step goes through two stations of its SM one after the other, the matrix
// products and the softmax, each with its own pipes; blocks (and parts of a block that do not wait for each
// other) queue there, so that one's softmax hides another's products. Latencies that a step waits for are a
// delay without a queue. L2 and the schedulers' issue bound the sum. Then come whole waves of blocks, what a
// block does before its first step and after its last, device memory, and the launch.
//
// It orders candidates, and it turns the simulator's counters into an estimate; measured time decides.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_COSTMODEL_H
#define ATTUNE_TUNER_COSTMODEL_H

#include "compiler/support/GpuFigures.h"
#include "runtime/device/Device.h"
#include "tuner/Space.h"

#include <array>
#include <string_view>
#include <utility>
#include <vector>

namespace attune::tuner {

/// Figures of the device's GPU (or of its architecture's reference GPU), with the multiprocessors and the
/// clock of `device` where it knows them.
GpuFigures figuresFor(const DeviceInfo &device);

/// What GpuFigures cannot say, fitted to measured schedules (`attune model check --fit`); 1 and 0 would say
/// that code is ideal.
struct Coefficients {
  double softmax = 1.28;      ///< of its pipes' time: dependent instructions
  double nvrtcSoftmax = 0.92; ///< the same of target cuda against target ptx
  double step = 34.4;         ///< cycles of a warp in every step that its softmax takes, however short
  double nvrtcStep = 1.4;     ///< the same of target cuda against target ptx
  double sharing = 5.18;      ///< exponent by which ldmatrix and mma.sync get in each other's way
  double chain = 1.06;        ///< of the latencies of a step's chain of products, reductions, exponentials
  double copy = 0.5;          ///< of L2's latency, until a copy is there
  double skew = 54.8;         ///< cycles a step that a barrier waits for each further warp
  double drift = 0.7;     ///< of a block's further warps of a scheduler, as if they were blocks of their own
  double pressure = 0.16; ///< of softmax for each 100 registers beyond 230
  double tail = 0.93;     ///< of a mean block, that the last blocks of uneven ones leave SMs idle

  /// All of them by name, for fitting and for people; ranges are what is believable.
  struct Field {
    std::string_view name;
    double Coefficients::*value;
    double least, most;
  };
  static const std::array<Field, 11> &fields();
};

/// Fitted on the H100's portable schedules, and taken for every GPU until one of its own is measured.
inline constexpr Coefficients kCoefficients;

/// What bounds a kernel.
enum class Limit { Matrix, Exponential, Alu, Issue, SharedMemory, L2, DeviceMemory, Latency };
/// "matrix", "exp", "alu", "issue", "shared", "L2", "memory", "latency".
std::string_view nameOf(Limit limit);
inline constexpr size_t numPipes = size_t(Limit::Latency);

struct Estimate {
  double us = 0;
  Limit limit = Limit::Matrix;         ///< the pipe that is busiest; Latency where none is busy half the time
  double shareOfLimit = 0;             ///< what the device's limit for the problem is of `us`, at most 1
  std::array<double, numPipes> busy{}; ///< by Limit: the share of `us` that each pipe works
};

/// Time of a whole problem. `cost` says how many blocks share a multiprocessor.
Estimate estimate(const GpuFigures &device, const Work &work, const ScheduleCost &cost,
                  const Coefficients &fit = kCoefficients);

/// The least time that any kernel could take, in us: useful multiply-adds, exponentials, and bytes.
double limitUs(const GpuFigures &device, const Work &work);

/// Work that was counted on a small problem, grown to a large one as the model's own work grows. `counted`
/// replaces what the counters know: multiply-adds, exponentials, slots, wavefronts and global bytes.
Work grow(const Work &counted, const Work &modelSmall, const Work &modelLarge);

/// The counters of a launch as work; what they do not count is taken from `model`.
Work countedWork(const LaunchCounters &counters, const Work &model);

/// A candidate with its estimate.
struct Ranked {
  Candidate candidate;
  ScheduleCost cost;
  Estimate estimate;
  size_t place = 0; ///< among the candidates that were ranked
};

/// Fastest first; equal ones in the order of the table.
std::vector<Ranked> rank(const AttentionSpec &spec, const DeviceInfo &device, const ProblemShape &shape,
                         const std::vector<Candidate> &candidates);

} // namespace attune::tuner

#endif // ATTUNE_TUNER_COSTMODEL_H
