//===- Timer.h - where candidates are run -----------------------*- C++ -*-===//
//
// Loads compiled candidates on a device, verifies them, and times launches of them one by one: on a GPU by
// its events, on the simulated device by the virtual clock.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_TIMER_H
#define ATTUNE_TUNER_TIMER_H

#include "runtime/device/Device.h"
#include "runtime/launch/CompiledProgram.h"
#include "runtime/plan/ProblemShape.h"
#include "tuner/Store.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace attune::sim {
struct Timings;
}

namespace attune::tuner {

/// A compiled candidate. `id` is the sweep's number of it.
struct Image {
  int id = 0;
  CompiledProgram program;
};

/// What opening a candidate showed.
struct Opened {
  Verdict verdict = Verdict::Passed;
  std::string message;
  std::optional<LaunchCounters> counters; ///< of the verifying launch, on the simulator
  int registers = -1, localBytes = -1;    ///< of a thread, as the device says; -1: unknown
  bool deviceLost = false;                ///< the device's context is of no more use
};

/// One timed launch.
struct Timed {
  Verdict verdict = Verdict::Passed;
  std::string message;
  double us = 0;
  bool deviceLost = false;
};

/// Candidates on one device and one problem. Not for several threads.
class Timer {
public:
  virtual ~Timer();
  virtual const DeviceInfo &device() const = 0;
  /// Loads the candidate and, with `verify`, checks its result on the verification problem.
  virtual Opened open(const Image &image, bool verify) = 0;
  /// One launch of an open candidate on the problem that is tuned for, behind a flush of L2. The first time
  /// it is warmed up.
  virtual Timed time(int id) = 0;
  /// What the virtual clock says of one launch of an open candidate on the timer's problem, if it says so
  /// within `seconds`. Only some of the blocks run. On the simulated device only.
  virtual Timed clock(int id, double seconds) = 0;
  virtual void close(int id) = 0;
  /// Whether it can go on: an error when no device can be opened any more.
  virtual Status state() const { return success(); }
};

/// What a timer runs.
struct TimerProblem {
  AttentionSpec spec;
  ProblemShape shape;    ///< timed
  ProblemShape verified; ///< verified against fp64: small enough for that
  uint64_t seed = 0;
  size_t flushBytes = 256 << 20; ///< written before each timed launch: more than any GPU's L2
  int warmups = 3;
  std::string gpu; ///< whose virtual clock, as a driver names it; empty: the architecture's reference GPU
};

/// The shape to verify with: `shape`, cut to what fp64 and the simulator do in some tens of milliseconds, and
/// with a tail that divides by no block.
ProblemShape verificationShape(const ProblemShape &shape);

/// The shape to follow by the virtual clock: `shape` itself, or, where that would take longer than a second
/// or two, shorter in both lengths and with fewer heads.
ProblemShape clockShape(const ProblemShape &shape);

/// A timer in this process. It makes its arrays when they are first needed. `clock` is what the SimOptions of
/// a simulated device name; without one, candidates have no clock.
std::unique_ptr<Timer> makeDeviceTimer(std::unique_ptr<Device> device, const TimerProblem &problem,
                                       std::shared_ptr<sim::Timings> clock = nullptr);

} // namespace attune::tuner

#endif // ATTUNE_TUNER_TIMER_H
