//===- Subprocess.h - run a tool and keep what it says ----------*- C++ -*-===//
#ifndef ATTUNE_RUNTIME_JIT_SUBPROCESS_H
#define ATTUNE_RUNTIME_JIT_SUBPROCESS_H

#include "compiler/support/Result.h"

#include <string>
#include <vector>

namespace attune {

struct ProcessOutput {
  int status = 0; ///< exit status, or 128 + signal
  std::string out;
  std::string err;
};

/// Runs `command` (a path and its arguments; no shell) to its end with an empty standard input, and captures
/// both outputs. An error means that it could not be run at all. Safe to call from several threads.
Result<ProcessOutput> runProcess(const std::vector<std::string> &command);

} // namespace attune

#endif // ATTUNE_RUNTIME_JIT_SUBPROCESS_H
