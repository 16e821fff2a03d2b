//===- Runner.h - runs a case and judges it ---------------------*- C++ -*-===//
//
// From a spec to a verdict, on the simulated GPU: compile for both targets, launch in the simulator's modes,
// compare every run with the oracle of tile programs bit for bit, and that with fp64.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TESTS_E2E_RUNNER_H
#define ATTUNE_TESTS_E2E_RUNNER_H

#include "runtime/device/Device.h"
#include "runtime/launch/CompiledProgram.h"
#include "tests/e2e/Case.h"

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace attune::e2e {

/// One thing that went wrong. `text` is the case's, with target and mode, to be given to --case.
struct Failure {
  std::string text, message;
};

/// What running a case came to.
struct Outcome {
  int runs = 0;    ///< launches that were judged
  int skipped = 0; ///< runs that this machine cannot make: target cuda without NVRTC
  std::string skipReason;
  uint64_t warpInstructions = 0;
  std::vector<Failure> failures;
};

/// How much of a case is run.
struct RunOptions {
  RunFilter filter;
  /// All modes for each target, instead of one that changes from shape to shape.
  bool allModes = false;
  bool compileOnly = false; ///< both targets down to machine code; nothing is launched
  int simThreads = 1;
  std::string dumpDir; ///< if set, the kernels' texts are written there
};

/// Runs every shape of the case. `note` is told what runs at the moment, for a crash report.
Outcome runCase(const Case &one, const RunOptions &options,
                const std::function<void(const std::string &)> &note);

struct Expected;

/// Judges variants of one kernel, damaged ones above all.
class Judge {
public:
  Judge(const CompiledProgram &kernel, const AttentionSpec &spec);
  ~Judge();

  /// Runs `damaged` on one shape. Empty, or what went wrong: the PTX is refused, the simulator's checkers
  /// found something, the bits are not those that the oracle gives for the kernel.
  std::string run(const CompiledProgram &damaged, const Shape &shape, SimOptions::Mode mode);

private:
  const CompiledProgram &kernel;
  const AttentionSpec &spec;
  std::map<std::string, std::unique_ptr<Expected>> byShape;
};

} // namespace attune::e2e

#endif // ATTUNE_TESTS_E2E_RUNNER_H
