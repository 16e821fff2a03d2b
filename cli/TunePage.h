//===- TunePage.h - a sweep as a page to look at ----------------*- C++ -*-===//
#ifndef ATTUNE_CLI_TUNEPAGE_H
#define ATTUNE_CLI_TUNEPAGE_H

#include "cli/Report.h"
#include "tuner/Sweep.h"

#include <string>
#include <vector>

namespace attune::cli {

/// One sweep as HTML with pictures in it: the fastest, a map of block_q and block_kv, time against the model,
/// how busy the model has each pipe, what was refused and why, and what the winner's machine code takes
/// (`winner` null: unknown).
std::string sweepSection(const tuner::SweepTask &task, const tuner::SweepResult &result,
                         const DeviceInfo &device, const KernelReport *winner);

/// The whole file. It asks for nothing else, and fits a phone.
std::string sweepPage(const std::vector<std::string> &sections);

} // namespace attune::cli

#endif // ATTUNE_CLI_TUNEPAGE_H
