//===- CommandLine.h - what all subcommands share ---------------*- C++ -*-===//
//
// Options are taken as text and read here, so that every mistake of a command line is told at once and
// in the words of the spec's errors: `command line: --flag: error: expected ..., got ...`.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_CLI_COMMANDLINE_H
#define ATTUNE_CLI_COMMANDLINE_H

#include "compiler/Compiler.h"
#include "compiler/spec/SpecReader.h"
#include "compiler/support/Arch.h"
#include "compiler/support/Result.h"
#include "runtime/cache/Cache.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace attune::cli {

/// One subcommand's options and what was given of them. CLI11's header is large, so only this class and the
/// program's main include it.
class CommandLine {
public:
  explicit CommandLine(CLI::App &app) : app(app) {}
  /// A new subcommand of `parent`.
  static std::shared_ptr<CommandLine> add(CLI::App &parent, const std::string &name, const std::string &help);

  // Declaring: before parsing.

  /// `--flag VALUE`, or a positional argument if `name` has no dashes.
  void option(const std::string &name, const std::string &valueName, const std::string &help,
              const std::string &group = "Options");
  /// Positional arguments, as many as there are.
  void list(const std::string &name, const std::string &help);
  /// `--flag` without a value.
  void flag(const std::string &name, const std::string &help, const std::string &group = "Options");
  /// SPEC and every flag that sets a field of it.
  void spec();
  /// What --help says after the options.
  void footer(const std::string &text);
  /// --cache-dir and --no-cache.
  void cacheOptions();

  // Reading: after parsing. Mistakes are collected; `problems` gives them all.

  bool has(const std::string &name) const;
  std::string text(const std::string &name, const std::string &otherwise = "");
  /// All values of an option that may be given many times, in their order.
  const std::vector<std::string> &texts(const std::string &name) const { return *values.at(name); }
  /// Whether any flag sets a field of the spec. A file for an array (--array NAME=FILE) does not.
  bool hasSpecFlags() const;
  /// The files that --array names for arrays: (array, file).
  std::vector<std::pair<std::string, std::string>> arrayFiles() const;
  int64_t whole(const std::string &name, int64_t otherwise, int64_t least, int64_t most);
  /// The index of the value in `words`; `otherwise` is an index too.
  size_t choice(const std::string &name, const std::vector<std::string> &words, size_t otherwise);
  Arch arch(const std::string &name, const std::string &otherwise);
  /// The spec in the file that the option `name` gives, and the flags.
  AttentionSpec readSpec(const std::string &name = "SPEC");
  /// Whether it could be read: else what disagrees with it is no mistake.
  bool knowsSpec() const { return specIsKnown; }
  enum class Dash { Refused, StandardOutput };
  /// The file that an option names to write to, checked before the work: it can be written, and no other
  /// output goes there.
  std::string output(const std::string &name, Dash dash = Dash::Refused);
  /// The same for a path that is part of an option's value.
  void willWrite(const std::string &name, const std::string &path, Dash dash = Dash::Refused);
  /// Writes the stages of a compilation into the folder that an option names; empty if it names none.
  DumpSink dump(const std::string &name);
  Cache cache();
  /// Something was not given. Beside a flag that there is not nothing is said: it may have been meant to give
  /// it.
  void lacking(const std::string &name, const std::string &what);
  /// A mistake that only the command itself can see.
  void problem(const std::string &name, const std::string &message);
  void problem(Error error);

  /// Whether no mistake was found so far.
  bool clean() const { return errors.empty() && lacks.empty(); }
  /// Every mistake so far, unknown and repeated options among them, as one error; a standard output that
  /// cannot be written to is one, unless all that is asked for goes to files.
  Status problems();

private:
  CLI::App &app;
  std::map<std::string, std::shared_ptr<std::vector<std::string>>> values;
  std::vector<FlagValue> specFlags; ///< in the order of their declaration
  std::vector<Error> errors, lacks;
  bool specIsKnown = true;
  std::set<std::string> senseless; ///< options whose value says nothing, which is a problem already
  std::vector<std::pair<std::string, std::string>> outputs; ///< the option, and what it stands for
};

/// The mistake of a word where a command of `app` was expected.
Error unknownCommand(const CLI::App &app, const std::string &word);

/// A subcommand: its options are declared when it is made, `run` is called after parsing.
using Run = std::function<int()>;

/// Each adds its subcommand to `app` and gives what runs it.
Run addCompile(CLI::App &app);
Run addRun(CLI::App &app);
Run addBundle(CLI::App &app);
Run addCache(CLI::App &app);
Run addDevices(CLI::App &app);
Run addDoctor(CLI::App &app);
Run addSim(CLI::App &app);
Run addTune(CLI::App &app);
Run addBench(CLI::App &app);
Run addModel(CLI::App &app);
Run addGenerate(CLI::App &app);

} // namespace attune::cli

#endif // ATTUNE_CLI_COMMANDLINE_H
