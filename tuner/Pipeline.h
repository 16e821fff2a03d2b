//===- Pipeline.h - compiling ahead -----------------------------*- C++ -*-===//
//
// Threads that compile a list of candidates in order, a bounded number ahead of who takes the results, in
// the same order: what is tried does not depend on which thread is faster.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_PIPELINE_H
#define ATTUNE_TUNER_PIPELINE_H

#include "tuner/Sweep.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

namespace attune::tuner {

/// How long the next step of a kind will take, by those before: the longest of late.
class Typical {
public:
  void add(double seconds) { value = std::max(seconds, forgetting * value); }
  double seconds() const { return value; }

private:
  static constexpr double forgetting = 0.9;
  double value = 0;
};

/// Threads that are started while this lives get no signals: those are for who waits for their results.
class SignalsElsewhere {
public:
  SignalsElsewhere() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
  }
  ~SignalsElsewhere() { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); }
  SignalsElsewhere(const SignalsElsewhere &) = delete;
  SignalsElsewhere &operator=(const SignalsElsewhere &) = delete;

private:
  sigset_t before;
};

class Pipeline {
public:
  using Clock = std::chrono::steady_clock;
  /// `build` is called for each candidate, `ahead` at most beyond the last one taken. But for the first, none
  /// is begun that would not be finished by `deadline`.
  Pipeline(const Build &build, std::vector<Candidate> candidates, unsigned threads, size_t ahead,
           Clock::time_point deadline);
  /// What is being compiled is finished, the rest is not begun.
  ~Pipeline();

  /// Waits for the next candidate's kernel; nothing if time ran out before it was begun.
  std::optional<Result<CompiledProgram>> take();
  /// Whether `take` would not wait.
  bool ready() const;

private:
  void work();

  const Build &build;
  const std::vector<Candidate> candidates;
  const size_t ahead;
  mutable std::mutex lock;
  std::condition_variable changed;
  const Clock::time_point deadline;
  size_t begun = 0, taken = 0;
  Typical typical; ///< of a build
  bool ending = false;
  std::map<size_t, Result<CompiledProgram>> done;
  std::vector<std::thread> threads;
};

} // namespace attune::tuner

#endif // ATTUNE_TUNER_PIPELINE_H
