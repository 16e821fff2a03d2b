//===- SimReport.h - what attune sim prints ---------------------*- C++ -*-===//
#ifndef ATTUNE_CLI_SIMREPORT_H
#define ATTUNE_CLI_SIMREPORT_H

#include "cli/SimArguments.h"
#include "cli/SimCompare.h"
#include "simulator/Simulator.h"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace attune::cli {

/// One kernel and what it is launched with.
struct SimJob {
  std::shared_ptr<const sim::Module> module;
  sim::GlobalMemory memory;
  SimArguments arguments{memory};
  sim::LaunchConfig config;
  bool json = false, counters = false;
  std::vector<std::string> trace; ///< its steps as JSON
  uint64_t traced = 0, traceLimit = 10000;
  std::string timeline; ///< file to write it to
};

/// "(8, 2, 1)".
std::string tripleText(const std::array<uint32_t, 3> &triple);
/// As PTX spells it: ".u64", ".align 64 .b8[128]".
std::string paramType(const sim::Param &param);
std::string findingJson(const sim::Finding &finding);

/// The entries of a file, or `only` one.
void printEntries(const sim::Module &module, const sim::EntryInfo *only, bool json);
/// A run's findings, outputs and counters.
void printResultJson(const SimJob &job, const sim::LaunchResult &result, const std::vector<Written> &outputs);
void printResultText(const SimJob &job, const sim::LaunchResult &result, const std::vector<Written> &outputs);

} // namespace attune::cli

#endif // ATTUNE_CLI_SIMREPORT_H
