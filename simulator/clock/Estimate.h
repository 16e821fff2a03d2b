//===- Estimate.h - a grid's time from that of some blocks ----------*- C++ -*-===//
//
// Record.h describes the clock as a whole.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_CLOCK_ESTIMATE_H
#define ATTUNE_SIMULATOR_CLOCK_ESTIMATE_H

#include "simulator/clock/Replay.h"

namespace attune::sim {

/// The clock of one launch.
class Timing {
public:
  /// Chooses the blocks to follow, and tells the launch. The error: a GPU that is not known, or that cannot
  /// run the module; a mode other than eager.
  static Result<std::unique_ptr<Timing>> plan(Launch &launch);
  /// To be asked when the grid has run.
  TimeReport estimate(const Counters &counters);

private:
  explicit Timing(Launch &launch, const GpuFigures &gpu) : launch(launch), machine(*launch.program, gpu) {}
  void residency();
  void choose();
  Shares shares(TimeReport &report) const;
  double makespan(const Replay &replay) const;
  void lines(const Replay &replay, TimeReport &report) const;

  Launch &launch;
  Machine machine;
  Recording recording;
  uint32_t registers = 0, residents = 1; ///< residents: blocks of an SM
  bool registersGuessed = false;
  std::string limit;
};

/// The spans of a replay in Chrome's trace format, which Perfetto opens.
std::string timelineOf(const Replay &replay, const Machine &machine, double clockGhz);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_CLOCK_ESTIMATE_H
