//===- Main.cpp - the attune command --------------------------------------===//
//
// Exit status: 0 done and verified, 1 verification failed, 2 bad usage or bad spec, 3 something needed is
// missing.
//
//===----------------------------------------------------------------------===//
#include "cli/CommandLine.h"
#include "cli/Output.h"
#include "runtime/io/File.h"
#include "runtime/io/OutputFile.h"
#include "simulator/Tables.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <string_view>
#include <system_error>

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace attune;
using namespace attune::cli;

namespace {

constexpr const char *footer = R"(
SPEC is a JSON file that says what to compute, for example
  {"name": "llama3", "dtype": "bf16", "head_dim": 128, "mask": "causal"}
and every field of it has a flag, which wins over the file.

Examples
  attune run examples/llama3.json --len 333 --heads-q 32 --heads-kv 8
  attune run --head-dim 64 --dtype fp16 --mask window:256:0 --len 1000 --device sim
  attune compile examples/llama3.json --arch sm_90 --emit cuda
  attune compile examples/llama3.json --emit tile -o t.mlir && attune compile t.mlir --from tile
  attune tune examples/llama3.json --len 4096 --heads-q 32 --heads-kv 8 --budget 60s
  attune doctor

attune help COMMAND, or --help behind it, lists a command's options.
Exit status: 0 done and verified, 1 verification failed, 2 bad usage or bad spec, 3 something is missing.)";

/// CLI11's own complaints in our words. What it throws is little, for options are taken as text.
int usageError(const CLI::App &app, const CLI::ParseError &error) {
  std::string text = error.what();
  if (dynamic_cast<const CLI::ArgumentMismatch *>(&error)) {
    std::string flag = text.substr(0, text.find(':'));
    return report(
        badInput(fmt::format("command line: {}: error: expected a value after it, got none", flag)));
  }
  return report(badInput(fmt::format("command line: error: {}", text)));
}

/// `attune help`, `attune help cache list`: what --help behind the command says.
int help(CLI::App &root, const std::vector<std::string> &path) {
  CLI::App *app = &root;
  std::string before; // what a user types in front of the last command's name
  for (const std::string &name : path) {
    std::vector<CLI::App *> below = app->get_subcommands({});
    auto command = std::find_if(below.begin(), below.end(),
                                [&](const CLI::App *one) { return one->get_name() == name; });
    if (below.empty())
      return report(badInput(fmt::format("command line: {}: error: expected nothing behind {}, which has no "
                                         "commands of its own",
                                         name, app->get_name())));
    if (command == below.end())
      return report(unknownCommand(*app, name));
    before += (before.empty() ? "" : " ") + app->get_name();
    app = *command;
  }
  std::fputs(app->help(before).c_str(), stdout);
  return 0;
}

/// The command that runs, or the error of what stands in front of it: CLI11 leaves such words aside, or gives
/// them to the command above.
Result<const CLI::App *> commandOf(const CLI::App &app) {
  std::vector<std::string> before = app.remaining();
  const std::vector<CLI::App *> parsed = app.get_subcommands();
  if (parsed.empty())
    return &app;
  for (const CLI::Option *option : app.parse_order())
    before.push_back(option->get_positional() ? option->results().front() : option->get_name());
  const std::string &command = parsed.front()->get_name();
  std::string message;
  for (const std::string &word : before)
    message += fmt::format("{}command line: {}: error: expected it behind the command '{}', got it in front",
                           message.empty() ? "" : "\n", word, command);
  if (!message.empty())
    return badInput(message);
  return commandOf(*parsed.front());
}

/// A standard stream that is closed would be the first file that is opened, and take what is printed.
void keepStandardStreams() {
  for (int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(stream, F_GETFD) == -1 && errno == EBADF)
      (void)::open("/dev/null", O_RDONLY); // the lowest free number; writing to it is an error, as before
}

/// The command's exit status, unless its words did not arrive.
int finish(int status) {
  bool failed = std::ferror(stdout);
  failed |= std::fflush(stdout) != 0;
  if (!failed)
    return status;
  // Why an earlier write failed nobody has kept; the stream that refused it still does.
  Status why = checkStandardOutput();
  std::clearerr(stdout);
  return report(!why ? why.error()
                     : badInput("standard output: error: it did not take all that was written"));
}

int runCommand(int argc, char **argv) {
  CLI::App app("attune: writes, compiles and launches attention kernels", "attune");
  app.set_version_flag("--version", versionText, "print the version, the commit and the toolchain, and end");
  app.footer(footer);
  app.get_formatter()->column_width(36);
  app.allow_extras();
  app.require_subcommand(0, 1); // a second command's name is a word too many, not another command
  std::vector<std::pair<CLI::App *, Run>> commands;
  for (auto add : {addCompile, addRun, addTune, addModel, addBench, addSim, addBundle, addCache, addDevices,
                   addDoctor, addGenerate}) {
    Run run = add(app);
    CLI::App *command = app.get_subcommands({}).back();
    command->allow_extras(); // CommandLine::problems tells about them, with the nearest flag
    commands.emplace_back(command, std::move(run));
  }
  if (argc > 1 && std::string_view(argv[1]) == "help")
    return help(app, {argv + 2, argv + argc});
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp &) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::CallForVersion &) {
    std::puts(versionText);
    return 0;
  } catch (const CLI::ParseError &error) {
    return usageError(app, error);
  }
  Result<const CLI::App *> command = commandOf(app);
  if (!command)
    return report(command.error());
  for (auto &[top, run] : commands)
    if (top->parsed())
      return run();
  if (std::vector<std::string> extras = app.remaining(); !extras.empty())
    return report(unknownCommand(app, extras.front()));
  std::fputs(app.help().c_str(), stderr);
  return 2;
}

} // namespace

int main(int argc, char **argv) {
  keepStandardStreams();
  // Who reads a pipe sees each line when it is said, not all of them at the end.
  struct stat status{};
  if (::fstat(STDOUT_FILENO, &status) == 0 && !S_ISREG(status.st_mode))
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  removeTempDirsOnSignals();
  sim::offerDeviceTables(sim::embeddedDeviceTables());
  try {
    return finish(runCommand(argc, argv));
  } catch (const std::bad_alloc &) {
    return report(missing("error: expected enough memory for this problem, got none; use smaller lengths"));
  } catch (const std::system_error &error) { // fmt throws it when standard output takes no more
    return std::ferror(stdout) ? finish(2) : report(badInput(fmt::format("error: {}", error.what())));
  } catch (const std::exception &error) {
    return report(badInput(fmt::format("error: {}", error.what())));
  }
}
