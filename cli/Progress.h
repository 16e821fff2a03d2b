//===- Progress.h - one line that changes -----------------------*- C++ -*-===//
#ifndef ATTUNE_CLI_PROGRESS_H
#define ATTUNE_CLI_PROGRESS_H

#include "simulator/Simulator.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace attune::cli {

/// A line on standard error that each call replaces, at most ten times a second. Nothing is written unless
/// standard error is a terminal.
class ProgressLine {
public:
  explicit ProgressLine(bool wanted);
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine &) = delete;
  ProgressLine &operator=(const ProgressLine &) = delete;

  void show(const std::string &text);
  /// Leaves an empty line for what comes next.
  void clear();

private:
  bool active, dirty = false;
  std::chrono::steady_clock::time_point last;
};

/// Watches a long job from a thread of its own: on a terminal a line says how far it is and what is left;
/// elsewhere what will take longer than a minute is said once, as soon as it can be known, and what has taken
/// long without anybody knowing its end, too.
class Watch {
public:
  /// Nothing is said if `wanted` is false.
  explicit Watch(bool wanted);
  ~Watch() { end(); }
  Watch(const Watch &) = delete;
  Watch &operator=(const Watch &) = delete;

  /// What simulated launches report to.
  sim::LaunchProgress *launches() { return &launch; }
  /// What is being done when no launch runs: "verifying".
  void phase(std::string name);
  /// Nothing is said from here on.
  void end();

private:
  using Clock = std::chrono::steady_clock;
  void look(ProgressLine &line);
  void tell(ProgressLine &line, const std::string &what);

  sim::LaunchProgress launch;
  std::mutex lock;
  std::condition_variable changed;
  bool ended = false, told = false;
  bool warned = false; ///< that the phase takes long
  std::string name;
  Clock::time_point began = Clock::now(); ///< of the phase, or of the launch
  uint64_t seen = 0;                      ///< blocks of the launch that `began` belongs to
  std::thread thread;
};

/// "42 s", "3 min 5 s", "2 h 10 min".
std::string durationText(double seconds);

} // namespace attune::cli

#endif // ATTUNE_CLI_PROGRESS_H
