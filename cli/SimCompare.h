//===- SimCompare.h - runs of one kernel in several modes --------*- C++ -*-===//
#ifndef ATTUNE_CLI_SIMCOMPARE_H
#define ATTUNE_CLI_SIMCOMPARE_H

#include "cli/SimArguments.h"

#include <string>
#include <vector>

namespace attune::cli {

/// What an output leaves to say: elements that the kernel never wrote.
struct Written {
  SimOutput output;
  Array array;
  size_t unwritten; ///< bytes
};

/// One run of the kernel.
struct SimRun {
  std::string name; ///< "eager", "lazy", "random 3"
  sim::LaunchResult result;
  std::vector<Written> outputs;
};

/// Where the runs differ from the first of them, a line each: the first element of each output that does, the
/// findings that only some runs have, and what the kernel printed.
std::vector<std::string> differences(const std::vector<SimRun> &runs);

} // namespace attune::cli

#endif // ATTUNE_CLI_SIMCOMPARE_H
