//===- Progress.h - one line that changes -----------------------*- C++ -*-===//
#ifndef ATTUNE_CLI_PROGRESS_H
#define ATTUNE_CLI_PROGRESS_H

#include <chrono>
#include <string>

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

} // namespace attune::cli

#endif // ATTUNE_CLI_PROGRESS_H
