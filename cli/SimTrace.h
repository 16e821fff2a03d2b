//===- SimTrace.h - a warp's instructions for people and JSON -----*- C++ -*-===//
#ifndef ATTUNE_CLI_SIMTRACE_H
#define ATTUNE_CLI_SIMTRACE_H

#include "simulator/Simulator.h"

#include <string>

namespace attune::cli {

/// The instruction's line and one line a register, each ended by a newline: 32 equal values are said once,
/// values with one difference as first and difference, others one by one with `-` for lanes that did not take
/// part.
std::string traceText(const sim::TraceStep &step);
std::string traceJson(const sim::TraceStep &step);

} // namespace attune::cli

#endif // ATTUNE_CLI_SIMTRACE_H
