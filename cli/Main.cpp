//===- Main.cpp - the attune command --------------------------------------===//
//
// Exit status: 0 done and verified, 1 verification failed, 2 bad usage or bad spec, 3 something needed is
// missing.
//
//===----------------------------------------------------------------------===//
#include "cli/CommandLine.h"
#include "cli/Output.h"
#include "compiler/spec/Diagnostics.h"
#include "runtime/io/File.h"
#include "simulator/Tables.h"

#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

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

int unknownCommand(const CLI::App &app) {
  std::vector<std::string> names;
  for (const CLI::App *command : app.get_subcommands({}))
    names.push_back(command->get_name());
  std::vector<std::string> extras = app.remaining();
  if (extras.empty()) {
    std::fputs(app.help().c_str(), stderr);
    return 2;
  }
  std::string nearest = nearestWord(extras[0], names);
  return report(
      badInput(fmt::format("command line: error: expected a command, {}, got '{}'{}", oneOf(names), extras[0],
                           nearest.empty() ? "" : fmt::format(" (nearest: {})", nearest))));
}

int runCommand(int argc, char **argv) {
  CLI::App app("attune: writes, compiles and launches attention kernels", "attune");
  app.set_version_flag("--version", "attune " ATTUNE_VERSION);
  app.footer(footer);
  app.get_formatter()->column_width(36);
  app.allow_extras();
  std::vector<std::pair<CLI::App *, Run>> commands;
  for (auto add : {addCompile, addRun, addTune, addBench, addSim, addCache, addDevices, addDoctor}) {
    Run run = add(app);
    CLI::App *command = app.get_subcommands({}).back();
    command->allow_extras(); // CommandLine::problems tells about them, with the nearest flag
    commands.emplace_back(command, std::move(run));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp &) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::CallForVersion &) {
    std::puts("attune " ATTUNE_VERSION);
    return 0;
  } catch (const CLI::ParseError &error) {
    return usageError(app, error);
  }
  for (auto &[command, run] : commands)
    if (command->parsed())
      return run();
  return unknownCommand(app);
}

} // namespace

int main(int argc, char **argv) {
  removeTempDirsOnSignals();
  sim::offerDeviceTables(sim::embeddedDeviceTables());
  try {
    return runCommand(argc, argv);
  } catch (const std::bad_alloc &) {
    return report(missing("error: expected enough memory for this problem, got none; use smaller lengths"));
  } catch (const std::exception &error) {
    return report(badInput(fmt::format("error: {}", error.what())));
  }
}
