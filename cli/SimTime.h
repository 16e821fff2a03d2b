//===- SimTime.h - the virtual clock for people and JSON ------------*- C++ -*-===//
#ifndef ATTUNE_CLI_SIMTIME_H
#define ATTUNE_CLI_SIMTIME_H

#include "cli/CommandLine.h"
#include "simulator/Time.h"

#include <string>

namespace attune::cli {

/// --time and what goes with it.
void timeOptions(CommandLine &line);
/// What they ask for. `timeline` becomes the file to write the timeline to; empty: none.
sim::TimeConfig readTime(CommandLine &line, std::string &timeline);

/// Lines for people, each ended by a newline.
std::string timeText(const sim::TimeReport &report);
std::string timeJson(const sim::TimeReport &report);

} // namespace attune::cli

#endif // ATTUNE_CLI_SIMTIME_H
