//===- CommandLine.cpp - what all subcommands share -----------------------===//
#include "cli/CommandLine.h"
#include "compiler/spec/Diagnostics.h"
#include "compiler/spec/Json.h"
#include "runtime/io/OutputFile.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace attune::cli {

std::shared_ptr<CommandLine> CommandLine::add(CLI::App &parent, const std::string &name,
                                              const std::string &help) {
  return std::make_shared<CommandLine>(*parent.add_subcommand(name, help));
}

void CommandLine::option(const std::string &name, const std::string &valueName, const std::string &help,
                         const std::string &group) {
  auto store = std::make_shared<std::vector<std::string>>();
  values[name] = store;
  CLI::Option *option = app.add_option(name, *store, help);
  // One value an occurrence, any number of occurrences: we report repetition in our own words.
  option->type_size(1)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  option->type_name(valueName)->group(group);
}

void CommandLine::list(const std::string &name, const std::string &help) {
  auto store = std::make_shared<std::vector<std::string>>();
  values[name] = store;
  app.add_option(name, *store, help)->type_name("")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void CommandLine::flag(const std::string &name, const std::string &help, const std::string &group) {
  auto store = std::make_shared<std::vector<std::string>>();
  values[name] = store;
  app.add_flag_function(
         name, [store](int64_t count) { store->assign(count > 0 ? 1 : 0, ""); }, help)
      ->group(group);
}

void CommandLine::spec() {
  option("SPEC", "", "a JSON file, or - for standard input; may be left out when flags say it all");
  for (const SpecFlag &flag : attune::specFlags()) {
    if (flag.valueName.empty()) {
      auto given = [this, flag](int64_t count) {
        for (int64_t i = 0; i < count; ++i)
          specFlags.push_back({flag.flag, ""});
      };
      app.add_flag_function(flag.flag, given, flag.help)->group("The spec (a flag wins over the file)");
      continue;
    }
    auto given = [this, flag](const std::vector<std::string> &texts) {
      for (const std::string &text : texts)
        specFlags.push_back({flag.flag, text});
    };
    CLI::Option *option = app.add_option_function<std::vector<std::string>>(flag.flag, given, flag.help);
    option->type_size(1)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->allow_extra_args(false);
    option->type_name(flag.valueName)->group("The spec (a flag wins over the file)");
  }
}

/// NAME=FILE, and no declaration of an array; nothing where it is none.
static std::optional<std::pair<std::string, std::string>> arrayFile(const FlagValue &given) {
  size_t equals = given.value.find('=');
  if (given.flag != "--array" || equals == std::string::npos || given.value.find(':') < equals)
    return std::nullopt;
  return std::pair(given.value.substr(0, equals), given.value.substr(equals + 1));
}

bool CommandLine::hasSpecFlags() const {
  return std::any_of(specFlags.begin(), specFlags.end(),
                     [](const FlagValue &given) { return !arrayFile(given); });
}

std::vector<std::pair<std::string, std::string>> CommandLine::arrayFiles() const {
  std::vector<std::pair<std::string, std::string>> files;
  for (const FlagValue &given : specFlags)
    if (auto file = arrayFile(given))
      files.push_back(std::move(*file));
  return files;
}

void CommandLine::footer(const std::string &text) { app.footer(text); }

bool CommandLine::has(const std::string &name) const { return !values.at(name)->empty(); }

std::string CommandLine::text(const std::string &name, const std::string &otherwise) {
  const std::vector<std::string> &given = *values.at(name);
  if (given.size() > 1)
    problem(name, fmt::format("expected it once, got it {} times", given.size()));
  else if (!given.empty() && given[0].empty())
    problem(name, "expected a value, got an empty one");
  else
    return given.empty() ? otherwise : given[0];
  senseless.insert(name);
  return given.empty() ? otherwise : given[0];
}

int64_t CommandLine::whole(const std::string &name, int64_t otherwise, int64_t least, int64_t most) {
  if (!has(name))
    return otherwise;
  std::string given = text(name);
  double number = 0;
  bool isNumber = json::parseNumber(given, number);
  if (isNumber && number >= double(least) && number <= double(most) && number == std::floor(number))
    return static_cast<int64_t>(number);
  int64_t nearest =
      isNumber ? static_cast<int64_t>(std::round(std::clamp(number, double(least), double(most)))) : least;
  problem(name, fmt::format("expected a whole number from {} to {}, got {}{}", least, most,
                            json::quote(given), isNumber ? fmt::format(" (nearest: {})", nearest) : ""));
  return nearest; // nobody should say in addition that there is none
}

size_t CommandLine::choice(const std::string &name, const std::vector<std::string> &words, size_t otherwise) {
  if (!has(name))
    return otherwise;
  std::string given = text(name);
  auto found = std::find(words.begin(), words.end(), given);
  if (found != words.end())
    return found - words.begin();
  std::string nearest = nearestWord(given, words);
  problem(name, fmt::format("expected {}, got {}{}", oneOf(words), json::quote(given),
                            nearest.empty() ? "" : fmt::format(" (nearest: {})", nearest)));
  return otherwise;
}

Arch CommandLine::arch(const std::string &name, const std::string &otherwise) {
  Result<Arch> arch = findArch(text(name, otherwise));
  if (arch)
    return *arch;
  problem(name, arch.error().message);
  return allArchs().front();
}

AttentionSpec CommandLine::readSpec(const std::string &name) {
  Result<AttentionSpec> spec = loadSpec(text(name), specFlags);
  if (spec)
    return *spec;
  specIsKnown = false;
  problem(spec.error());
  return {};
}

void CommandLine::cacheOptions() {
  option("--cache-dir", "DIR", "where compiled kernels are kept (ATTUNE_CACHE_DIR, else ~/.cache/attune)");
  flag("--no-cache", "neither take a kernel from the cache nor put it there");
}

Cache CommandLine::cache() {
  if (has("--no-cache"))
    return Cache();
  return has("--cache-dir") ? Cache(text("--cache-dir")) : Cache::ofUser();
}

std::string CommandLine::output(const std::string &name, Dash dash) {
  std::string path = text(name);
  if (!path.empty())
    willWrite(name, path, dash);
  return path;
}

void CommandLine::willWrite(const std::string &name, const std::string &path, Dash dash) {
  if (path == "-" && dash == Dash::Refused)
    return problem(name, "expected a file, got -, but standard output takes what the command says; "
                         "/dev/stdout mixes the two");
  Result<std::string> target = checkOutput(path);
  if (!target)
    return problem(name, target.error().message);
  if (target->empty())
    return;
  for (const auto &[other, otherTarget] : outputs)
    if (otherTarget == *target)
      return problem(name, fmt::format("expected a file of its own, got {}, where {} goes", path, other));
  outputs.emplace_back(name, *target);
}

DumpSink CommandLine::dump(const std::string &name) {
  std::string folder = text(name);
  if (folder.empty())
    return {};
  if (Status writable = checkOutputFolder(folder); !writable)
    problem(name, writable.error().message);
  return [folder](std::string_view file, std::string_view text) { return writeOutputIn(folder, file, text); };
}

void CommandLine::problem(const std::string &name, const std::string &message) {
  if (senseless.contains(name)) // what follows from that is no mistake of its own
    return;
  // A library's message may have several lines, each an error.
  for (std::string_view rest = message; !rest.empty();) {
    std::string_view one = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(one.size() + 1, rest.size()));
    if (one.starts_with("error: "))
      one.remove_prefix(std::string_view("error: ").size());
    problem(badInput(fmt::format("command line: {}: error: {}", name, one)));
  }
}

void CommandLine::lacking(const std::string &name, const std::string &what) {
  lacks.push_back(badInput(fmt::format("command line: {}: error: expected {}, got none", name, what)));
}

void CommandLine::problem(Error error) {
  auto same = [&](const Error &other) { return other.message == error.message; };
  if (std::none_of(errors.begin(), errors.end(), same))
    errors.push_back(std::move(error));
}

/// "attune tune export": what a user types to get there.
static std::string pathOf(const CLI::App &app) {
  return app.get_parent() ? pathOf(*app.get_parent()) + " " + app.get_name() : "attune";
}

Status CommandLine::problems() {
  std::vector<std::string> known;
  for (const CLI::Option *option : app.get_options())
    for (const std::string &name : option->get_lnames())
      known.push_back("--" + name);
  // What an unknown flag was meant to take looks like an argument too many: the flag is the mistake.
  std::vector<Error> found = std::exchange(errors, {});
  auto isFlag = [](const std::string &text) { return text.size() > 1 && text[0] == '-'; };
  const std::vector<std::string> extras = app.remaining();
  bool anyFlag = std::any_of(extras.begin(), extras.end(), isFlag);
  for (const std::string &extra : extras) {
    std::string flag = extra.substr(0, extra.find('='));
    std::string nearest = isFlag(extra) ? nearestWord(flag, known) : "";
    if (isFlag(extra))
      problem(flag, fmt::format("expected a flag of {0}{1}; {0} --help lists them", pathOf(app),
                                nearest.empty() ? "" : fmt::format(" (nearest: {})", nearest)));
    else if (!anyFlag)
      problem(extra, "expected no further argument");
  }
  for (Error &error : found) {
    bool takenForSpec = anyFlag && values.contains("SPEC") && has("SPEC") &&
                        error.message.starts_with(values["SPEC"]->front() + ": error: expected a readable");
    if (!takenForSpec)
      errors.push_back(std::move(error));
  }
  if (!anyFlag)
    errors.insert(errors.end(), lacks.begin(), lacks.end());
  lacks.clear();
  bool toFile = std::any_of(outputs.begin(), outputs.end(),
                            [](const auto &output) { return output.first == "-o" && output.second != "-"; });
  if (!toFile)
    if (Status works = checkStandardOutput(); !works)
      errors.push_back(works.error());
  if (errors.empty())
    return success();
  Error all = errors.front();
  for (size_t i = 1; i < errors.size(); ++i) {
    all.message += "\n" + errors[i].message;
    // Bad usage outweighs a missing tool: it must be put right first.
    if (errors[i].kind == ErrorKind::BadInput)
      all.kind = ErrorKind::BadInput;
  }
  return all;
}

Error unknownCommand(const CLI::App &app, const std::string &word) {
  std::vector<std::string> names;
  for (const CLI::App *command : app.get_subcommands({}))
    names.push_back(command->get_name());
  std::string nearest = nearestWord(word, names);
  return badInput(fmt::format("command line: error: expected a command{}, {}, got '{}'{}",
                              app.get_parent() ? " of " + pathOf(app) : "", oneOf(names), word,
                              nearest.empty() ? "" : fmt::format(" (nearest: {})", nearest)));
}

} // namespace attune::cli
