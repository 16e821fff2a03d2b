//===- TuneStore.h - what attune tune remembers -----------------*- C++ -*-===//
#ifndef ATTUNE_CLI_TUNESTORE_H
#define ATTUNE_CLI_TUNESTORE_H

#include "cli/CommandLine.h"
#include "tuner/Store.h"

#include <optional>
#include <string>

namespace attune::cli {

/// The store at `named`, else the user's own one: to write to, made if need be with the folder of the user's
/// own; or only to be read. Nothing where there is none to be had.
Result<std::optional<tuner::Store>> openStore(const std::string &named, bool write);

/// Writes all of `store` as JSON; with `winners` only the winner of each spec, shape and target.
Status exportStore(tuner::Store &store, const std::string &file, bool winners);

/// Adds results, import, merge, export and explain under `tune`; the result runs the one that was given, or
/// gives nothing if none was.
std::function<std::optional<int>()> addTuneStore(CLI::App &tune);

} // namespace attune::cli

#endif // ATTUNE_CLI_TUNESTORE_H
