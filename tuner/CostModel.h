//===- CostModel.h - how long a candidate should take -----------*- C++ -*-===//
//
// A model in closed form: the work of a candidate against what the device does in a cycle. It orders
// candidates, and it turns the simulator's counters into an estimate; measured time decides.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_COSTMODEL_H
#define ATTUNE_TUNER_COSTMODEL_H

#include "runtime/device/Device.h"
#include "tuner/Space.h"

#include <string_view>
#include <vector>

namespace attune::tuner {

/// What a GPU does at most. Rates are of one multiprocessor and one clock unless they say otherwise.
struct DeviceFigures {
  std::string_view gpu; ///< whose figures they are
  int multiprocessors;
  double clockGhz;     ///< boost
  double multiplyAdds; ///< 16-bit with f32 accumulation, by mma.sync
  double exponentials; ///< ex2.approx
  double issues;       ///< warp instructions: one a scheduler
  double sharedBytes;  ///< read or written
  double l2Bytes;
  double memoryGbPerSecond; ///< of the whole device
  double copyLatency;       ///< cycles from the issue of a copy out of L2 to its data
};

/// Figures of `arch`'s reference GPU, with the multiprocessors and the clock of `device` where it knows them.
DeviceFigures figuresFor(const DeviceInfo &device);

/// What bounds a kernel.
enum class Limit { Matrix, Exponential, Issue, SharedMemory, L2, DeviceMemory, Latency };
std::string_view nameOf(Limit limit); ///< "matrix", "exp", "issue", "shared", "L2", "memory", "latency"

struct Estimate {
  double us = 0;
  Limit limit = Limit::Matrix; ///< the resource that is busiest
  double shareOfLimit = 0;     ///< what the device's limit for the problem is of `us`, at most 1
};

/// Time of a whole problem. `cost` says how many blocks share a multiprocessor.
Estimate estimate(const DeviceFigures &device, const Work &work, const ScheduleCost &cost);

/// The least time that any kernel could take, in us: useful multiply-adds, exponentials, and bytes.
double limitUs(const DeviceFigures &device, const Work &work);

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
std::vector<Ranked> rank(const Family &family, const AttentionSpec &spec, const DeviceInfo &device,
                         const ProblemShape &shape, const std::vector<Candidate> &candidates);

} // namespace attune::tuner

#endif // ATTUNE_TUNER_COSTMODEL_H
