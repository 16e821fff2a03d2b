//===- Advice.h - what was tuned, for commands that plan --------*- C++ -*-===//
#ifndef ATTUNE_CLI_ADVICE_H
#define ATTUNE_CLI_ADVICE_H

#include "cli/CommandLine.h"
#include "runtime/plan/Advice.h"

#include <optional>

namespace attune::cli {

/// --store and --untuned.
void declareAdvice(CommandLine &line);

/// The advisor that these flags ask for: over the store, if there is one; with --untuned none. A store that
/// was named and cannot be used is a mistake of the command line; the user's own one is told about on
/// standard error and gone without.
Advisor readAdvice(CommandLine &line, std::optional<Target> target);

/// --shape, --store and --untuned.
void declareShapeAdvice(CommandLine &line);

/// Lets the tuner choose, for the shape that --shape says, what `spec` leaves open, and says why; without
/// --shape nothing is chosen, and the reason is empty. The device is this machine's GPU if it is of the
/// options' architecture, else the simulated one. `target` nothing: that is chosen too.
std::string takeAdvice(CommandLine &line, std::optional<Target> target, AttentionSpec &spec,
                       CompileOptions &options);

/// Whom to ask for advice on `arch`: this machine's GPU if it is one, else the simulated one.
DeviceInfo deviceFor(const Arch &arch);

/// "1x32x8x4096" (batch, query heads, KV heads, length) or with two lengths; nothing if it is no such text.
std::optional<ProblemShape> shapeOf(std::string_view text);
/// The shape that one value of --shape says; a mistake where it says none.
std::optional<ProblemShape> readShape(CommandLine &line, const std::string &text);

} // namespace attune::cli

#endif // ATTUNE_CLI_ADVICE_H
