//===- Worker.h - a timer in a process of its own ---------------*- C++ -*-===//
//
// A candidate may crash, hang, or leave a GPU's context useless. Here all that happens in a child process,
// which is ended by force when it exceeds its time and replaced when it dies: it costs the candidate, and
// nobody else.
//
// The child is forked from a helper process that is itself forked when the timer is started, before this
// process has threads or has touched a driver: a fork of a process with threads inherits locks that nobody
// will release, and CUDA does not survive one.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_WORKER_H
#define ATTUNE_TUNER_WORKER_H

#include "tuner/Timer.h"

namespace attune::tuner {

/// Makes the timer inside the child, again each time that a child is replaced.
using TimerFactory = std::function<Result<std::unique_ptr<Timer>>()>;

/// How long an answer may take, in seconds. Once a candidate has passed, those after it may take `slower`
/// times as long as the slowest so far, if that is less, lest one that hangs takes a short budget with it.
struct WorkerLimits {
  double start = 60;  ///< of a child: opening a device
  double open = 30;   ///< loading and verifying a candidate, drawing the arrays the first time
  double timing = 20; ///< one timed launch with its warm-up, allocating the arrays the first time
  double slower = 20;
  double least = 3; ///< of a limit that follows from other candidates
};

/// Starts the helper and the first child; an error is the factory's. Call it while this process has one
/// thread. The timer reopens, without verifying them again, candidates that were open in a child that died.
Result<std::unique_ptr<Timer>> startWorkerTimer(const TimerFactory &factory, const WorkerLimits &limits = {});

} // namespace attune::tuner

#endif // ATTUNE_TUNER_WORKER_H
