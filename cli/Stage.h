//===- Stage.h - stages that people edited, for commands that run them -*- C++ -*-===//
#ifndef ATTUNE_CLI_STAGE_H
#define ATTUNE_CLI_STAGE_H

#include "cli/CommandLine.h"
#include "runtime/launch/CompiledProgram.h"

#include <optional>

namespace attune::cli {

/// --from, and --spec: what the stage computes.
void declareStage(CommandLine &line);

/// What a command runs: a spec, perhaps with the text of a stage in its place.
struct StagedSpec {
  AttentionSpec spec;
  std::optional<StageText> stage;
  bool said = true; ///< else the spec is only what the stage's arguments say
};
/// Reads SPEC, or with --from the stage that it holds and the spec that --spec and flags give. A stage of one
/// target sets `target`.
StagedSpec readStagedSpec(CommandLine &line, std::optional<Target> &target);

/// The spec with what the arguments of the stage's kernels say: dimensions, types, whether there is an LSE. A
/// spec that was said must say the same.
Result<AttentionSpec> fitSpec(const StagedSpec &staged, const Program &program);

} // namespace attune::cli

#endif // ATTUNE_CLI_STAGE_H
