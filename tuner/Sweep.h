//===- Sweep.h - the best schedule within a budget --------------*- C++ -*-===//
//
// Takes candidates in the model's order: compiles them ahead on all cores, refuses what spills, verifies the
// rest, times it by successive halving (or, on the simulated device, turns its counters into an estimate),
// and puts every result into the store as it comes. It ends when the leader is settled, the budget is spent,
// or it is asked to. The virtual clock refines the best: of the model's before they are timed, whose order
// then is the clock's; of the estimates, whose place it takes.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_SWEEP_H
#define ATTUNE_TUNER_SWEEP_H

#include "tuner/CostModel.h"
#include "tuner/Halving.h"
#include "tuner/Timer.h"

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace attune::tuner {

/// From a candidate to its kernel. Called from several threads at once.
using Build = std::function<Result<CompiledProgram>(const Candidate &)>;

/// A candidate and what became of it.
struct Entry {
  Ranked ranked;
  Row row;
  bool resumed = false; ///< the row is from the store, not from this sweep
  double clockUs = 0;   ///< by the virtual clock; 0: it did not follow it
};

/// Where a sweep stands, for a progress line.
struct Progress {
  int64_t tried = 0, total = 0;
  double perSecond = 0;   ///< candidates
  double secondsLeft = 0; ///< of the budget, or of the candidates where that is less
  const Entry *best = nullptr;
  const char *phase = ""; ///< "trying", "settling", "refining"
};

struct SweepOptions {
  double budgetSeconds = 60;
  bool resume = false;         ///< take over the store's rows of this subject and shape
  bool settle = true;          ///< end when no candidate that is left can win; false: try them all
  bool halve = true;           ///< let slower ones go; false: time all alike
  unsigned compileThreads = 0; ///< 0: one a core
  int firstSamples = 5, mostSamples = 160;
  size_t refined = 32; ///< of the best, that the virtual clock refines
  /// Of a sweep that measures: timers of simulated devices of the same architecture, for `clockShape`.
  std::vector<Timer *> clocks;
  const std::atomic<bool> *stop = nullptr; ///< set from elsewhere: finish the row and end
  std::function<void(const Progress &)> progress;
};

struct SweepResult {
  Kind kind = Kind::Measured;
  SweepRecord record;
  std::vector<Entry> entries; ///< in the order in which they were tried
  /// In `entries`. The winner is ahead of all others (isAhead). The standard is the compiler's own choice.
  std::optional<size_t> winner, standard;
  std::string clockFailure; ///< why the virtual clock refined no more of the best
  /// Of a sweep that measures: Kendall's tau between the virtual clock's order and the figures'.
  double clockTau = 0;
  int64_t clockPairs = 0;
  std::optional<Error> failure; ///< what ended it early: the store or the device
  bool interrupted = false;
};

/// What a sweep is about.
struct SweepTask {
  const Family *family = nullptr;       ///< the compiler's own choice
  std::vector<const Family *> families; ///< those that are searched
  AttentionSpec spec;
  ProblemShape shape, verified, clocked; ///< tuned for; verified with; followed by the virtual clock
  Subject subject;
  Enumeration space;              ///< for the record
  std::vector<Ranked> candidates; ///< in the order to try; the first may be the compiler's own choice
  std::optional<size_t> standard; ///< its place among them
};

/// Runs a sweep. `store` may be null: then nothing is kept.
SweepResult sweep(Timer &timer, const Build &build, Store *store, const SweepTask &task,
                  const SweepOptions &options);

/// The task of tuning a spec for a shape: the spaces of all families that serve it, the compiler's own choice
/// first, then by the model. `target` limits it to one.
SweepTask makeTask(const AttentionSpec &spec, const ProblemShape &shape, const DeviceInfo &device,
                   const std::string &toolkit, std::optional<Target> target);

/// A part of the candidates: the `number`-th of `count`, from 1 on.
struct Shard {
  int number = 1, count = 1;
};
/// Leaves of the candidates those of a shard: every count-th in the model's order, which is the same in every
/// process, and in each shard the compiler's own choice, with which the others are compared.
void takeShard(SweepTask &task, const Shard &shard);

/// Changes whenever the cost model or what is counted for it does: estimates of different models are not
/// compared.
inline constexpr int modelVersion = 4;

} // namespace attune::tuner

#endif // ATTUNE_TUNER_SWEEP_H
