//===- Report.h - what is known about a kernel, for people and JSON -*- C++ -*-===//
#ifndef ATTUNE_CLI_REPORT_H
#define ATTUNE_CLI_REPORT_H

#include "cli/Output.h"
#include "runtime/jit/ProgramBuild.h"
#include "runtime/jit/Slots.h"

#include <string>
#include <vector>

namespace attune::cli {

/// "bf16, head dim 128, causal, LSE": what a spec computes, without its name and schedule.
std::string specText(const AttentionSpec &spec);

/// What to tell who did not say which query meets which key, where it matters: the lengths differ. Else
/// empty.
std::string alignNote(const AttentionSpec &spec, int64_t lengthQ, int64_t lengthKv);

/// A kernel and what its machine code says.
struct KernelReport {
  const CompiledProgram *kernel;
  std::vector<LoopSlots> loops;
  std::string slotsNote; ///< why there are no loops; empty if there are
};

/// Gathers the report; the machine code is disassembled only if `withSlots`.
KernelReport reportOn(const CompiledProgram &kernel, const Toolchain &tools, bool withSlots);

/// Aligned lines, each ended by a newline.
std::string reportText(const KernelReport &report, const BuiltProgram &built);

/// The fields that every stage has, and those of machine code.
void addText(JsonObject &json, const KernelText &text);
void addReport(JsonObject &json, const KernelReport &report);
std::string timesJson(const StageTimes &times);
/// Aligned lines "  generate     41.2 ms", each ended by a newline.
std::string timesText(const StageTimes &times);

} // namespace attune::cli

#endif // ATTUNE_CLI_REPORT_H
