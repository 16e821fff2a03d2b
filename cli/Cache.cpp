//===- Cache.cpp - attune cache -------------------------------------------===//
//
// Looks into the folder of compiled kernels, checks it, cleans it up, and says why a look-up misses.
//
//===----------------------------------------------------------------------===//
#include "cli/Advice.h"
#include "cli/CommandLine.h"
#include "cli/Output.h"
#include "cli/Report.h"
#include "compiler/spec/Diagnostics.h"
#include "compiler/spec/Json.h"
#include "runtime/cache/CacheFolder.h"
#include "runtime/jit/ProgramBuild.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace attune::cli {

namespace {

using Line = std::shared_ptr<CommandLine>;
using Seconds = std::chrono::seconds;

/// Digits of a key's hash that people see.
constexpr size_t shownDigits = 12;
std::string shortHash(const CacheFile &file) { return file.hash.substr(0, shownDigits); }

std::string sizeText(int64_t bytes) {
  return bytes < (1 << 20) ? fmt::format("{:.1f} KB", double(bytes) / 1024)
                           : fmt::format("{:.1f} MB", double(bytes) / (1 << 20));
}

Seconds ageOf(const CacheFile &file) {
  return std::chrono::duration_cast<Seconds>(std::chrono::system_clock::now() - file.used);
}

std::string ageText(const CacheFile &file) {
  int64_t seconds = std::max<int64_t>(ageOf(file).count(), 0);
  if (seconds < 120)
    return fmt::format("{} s ago", seconds);
  if (seconds < 7200)
    return fmt::format("{} min ago", seconds / 60);
  return seconds < 172800 ? fmt::format("{} h ago", seconds / 3600)
                          : fmt::format("{} days ago", seconds / 86400);
}

/// What an entry is, in a line.
std::string whatIs(const CacheFile &file) {
  switch (file.kind) {
  case CacheFile::Kind::Kernel: {
    EntryFacts facts = factsOf(file.head);
    std::string text = fmt::format("{}, {}, {}", facts.kernel, facts.target, facts.arch);
    if (facts.spec)
      text += ", " + specText(*facts.spec);
    std::string schedule = facts.schedule.words();
    return schedule.empty() ? text : text + ", " + schedule;
  }
  case CacheFile::Kind::Fact: {
    KeyFields fields = fieldsOf(file.head.key);
    return fields.empty() ? "" : fields[0].second;
  }
  default:
    return file.problem.empty() ? "in use" : file.problem;
  }
}

std::string fileJson(const CacheFile &file) {
  JsonObject json;
  json.text("file", file.path).text("kind", nameOf(file.kind)).text("hash", file.hash);
  json.whole("bytes", file.bytes).whole("used_seconds_ago", ageOf(file).count());
  if (file.kind == CacheFile::Kind::Kernel) {
    EntryFacts facts = factsOf(file.head);
    json.text("name", facts.kernel).text("target", facts.target).text("arch", facts.arch);
  }
  if (!file.head.key.empty()) {
    JsonObject key;
    for (const auto &[field, value] : fieldsOf(file.head.key))
      key.text(field, value);
    json.raw("key", key.str());
  }
  if (!file.problem.empty())
    json.text("problem", file.problem);
  return json.str();
}

int list(CommandLine &line) {
  Cache cache = line.cache();
  if (Status good = line.problems(); !good)
    return report(good.error());
  Result<std::vector<CacheFile>> files = readFolder(cache, false);
  if (!files)
    return report(files.error());
  if (line.has("--json")) {
    std::vector<std::string> entries;
    for (const CacheFile &file : *files)
      entries.push_back(fileJson(file));
    fmt::print("{}\n", JsonObject().text("folder", cache.folder()).raw("files", jsonList(entries)).str());
    return 0;
  }
  int64_t bytes = 0, kernels = 0;
  for (const CacheFile &file : *files) {
    fmt::print("{}  {:<9} {:>9}  {:>11}  {}\n", shortHash(file), nameOf(file.kind), sizeText(file.bytes),
               ageText(file), whatIs(file));
    bytes += file.bytes;
    kernels += file.kind == CacheFile::Kind::Kernel;
  }
  fmt::print("{} kernel{}, {} file{}, {} in {}\n", kernels, kernels == 1 ? "" : "s", files->size(),
             files->size() == 1 ? "" : "s", sizeText(bytes), cache.folder());
  return 0;
}

/// The one entry whose hash begins with what was given.
Result<CacheFile> findEntry(const Cache &cache, const std::string &given) {
  Result<std::vector<CacheFile>> files = readFolder(cache, false);
  if (!files)
    return files.error();
  std::vector<CacheFile> found;
  for (const CacheFile &file : *files)
    if (file.kind != CacheFile::Kind::Lock && file.kind != CacheFile::Kind::Temporary &&
        (file.hash.starts_with(given) || file.name == given || file.path == given))
      found.push_back(file);
  if (found.size() == 1)
    return found[0];
  if (found.empty())
    return badInput(fmt::format("command line: ENTRY: error: expected the beginning of an entry's hash, as "
                                "attune cache list shows it, got '{}' ({} files in {})",
                                given, files->size(), cache.folder()));
  return badInput(fmt::format("command line: ENTRY: error: expected the beginning of one entry's hash, got "
                              "'{}', with which {} begin",
                              given, found.size()));
}

int show(CommandLine &line) {
  Cache cache = line.cache();
  std::string given = line.text("ENTRY"), part = line.text("--part"),
              output = line.output("-o", CommandLine::Dash::StandardOutput);
  if (given.empty())
    line.lacking("ENTRY", "the beginning of an entry's hash, as attune cache list shows it");
  if (!output.empty() && part.empty())
    line.problem("-o", "expected --part with it, got none");
  if (Status good = line.problems(); !good)
    return report(good.error());
  Result<CacheFile> file = findEntry(cache, given);
  if (!file)
    return report(file.error());
  Result<CacheEntry> entry = cache.peek(file->path);
  if (!entry)
    return report(Error{ErrorKind::Verification, entry.error().message});
  if (!part.empty()) {
    const std::string *bytes = part == "key" ? &entry->key : entry->find(part);
    if (!bytes) {
      std::vector<std::string> names = {"key"};
      for (const auto &[name, ignored] : entry->artefacts)
        names.push_back(name);
      return report(
          badInput(fmt::format("command line: --part: error: expected {}, got '{}'", oneOf(names), part)));
    }
    Status wrote = writeOutput(output.empty() ? "-" : output, {*bytes});
    return wrote ? 0 : report(wrote.error());
  }
  if (line.has("--json")) {
    JsonObject parts;
    for (const auto &[name, bytes] : entry->artefacts)
      parts.whole(name, int64_t(bytes.size()));
    JsonObject json;
    json.raw("entry", fileJson(*file)).raw("parts", parts.str());
    if (!file->head.metadata.empty())
      json.raw("metadata", file->head.metadata.substr(0, file->head.metadata.find_last_not_of('\n') + 1));
    fmt::print("{}\n", json.str());
    return 0;
  }
  fmt::print("{}\n{}, {}, used {}\n\nkey\n", file->path, nameOf(file->kind), sizeText(file->bytes),
             ageText(*file));
  for (const auto &[field, value] : fieldsOf(entry->key))
    fmt::print("  {:<18} {}\n", field, value);
  fmt::print("\nparts\n");
  for (const auto &[name, bytes] : entry->artefacts)
    fmt::print("  {:<18} {}\n", name, sizeText(int64_t(bytes.size())));
  if (!file->head.metadata.empty())
    fmt::print("\nmetadata.json\n{}", file->head.metadata);
  return 0;
}

int verify(CommandLine &line) {
  Cache cache = line.cache();
  if (Status good = line.problems(); !good)
    return report(good.error());
  Result<std::vector<CacheFile>> files = readFolder(cache, true);
  if (!files)
    return report(files.error());
  Status folder = files->empty() ? success() : checkTrust(cache.folder());
  std::vector<std::string> broken, leftover;
  int64_t good = 0;
  for (const CacheFile &file : *files) {
    bool isEntry = file.kind == CacheFile::Kind::Kernel || file.kind == CacheFile::Kind::Fact;
    good += isEntry;
    if (file.kind == CacheFile::Kind::Broken)
      broken.push_back(line.has("--json") ? fileJson(file) : fmt::format("{}: {}", file.path, file.problem));
    else if (!isEntry && !file.problem.empty())
      leftover.push_back(line.has("--json") ? fileJson(file)
                                            : fmt::format("{}: {}", file.path, file.problem));
  }
  bool failed = !broken.empty() || !folder;
  if (line.has("--json")) {
    JsonObject json;
    json.text("folder", cache.folder()).whole("good", good);
    json.raw("broken", jsonList(broken)).raw("left_behind", jsonList(leftover));
    if (!folder)
      json.text("problem", folder.error().message);
    fmt::print("{}\n", json.str());
    return failed ? 1 : 0;
  }
  if (!folder)
    fmt::print("broken       {}\n", folder.error().message);
  for (const std::string &text : broken)
    fmt::print("broken       {}\n", text);
  for (const std::string &text : leftover)
    fmt::print("left behind  {}\n", text);
  fmt::print("{} good, {} broken, {} left behind, in {}{}\n", good, broken.size(), leftover.size(),
             cache.folder(), broken.empty() && leftover.empty() ? "" : "; attune cache gc removes both");
  return failed ? 1 : 0;
}

/// A number and a unit of `units`: ("2G" of bytes, "30d" of seconds).
int64_t quantity(CommandLine &line, const std::string &name,
                 const std::vector<std::pair<std::string, double>> &units) {
  std::string given = line.text(name);
  size_t digits = given.find_first_not_of("0123456789.");
  std::string unit = digits == std::string::npos ? "" : given.substr(digits);
  double number = 0;
  std::string words;
  for (const auto &[word, factor] : units) {
    words += fmt::format("{}{}", words.empty() ? "" : ", ", word.empty() ? "none" : word);
    if (word == unit && json::parseNumber(given.substr(0, digits), number) && number * factor < 9e18)
      return std::llround(number * factor);
  }
  line.problem(name,
               fmt::format("expected a number with one of the units {}, got {}", words, json::quote(given)));
  return 0;
}

int finishCleanUp(CommandLine &line, const Cache &cache, const CleanUp &done) {
  int64_t bytes = 0, failures = 0;
  std::vector<std::string> removed;
  for (const Removal &removal : done.removals) {
    failures += !removal.failure.empty();
    bytes += removal.failure.empty() ? removal.file.bytes : 0;
    JsonObject json;
    json.text("file", removal.file.path).text("kind", nameOf(removal.file.kind)).text("why", removal.why);
    if (!removal.failure.empty())
      json.text("failure", removal.failure);
    removed.push_back(json.str());
    if (!line.has("--json"))
      fmt::print("{:<12} {}  {:<9} {}\n", removal.failure.empty() ? "removed" : "not removed",
                 shortHash(removal.file), nameOf(removal.file.kind),
                 removal.failure.empty() ? removal.why : removal.failure);
  }
  if (line.has("--json"))
    fmt::print("{}\n", JsonObject()
                           .text("folder", cache.folder())
                           .raw("removals", jsonList(removed))
                           .whole("removed_bytes", bytes)
                           .whole("kept", done.keptFiles)
                           .whole("kept_bytes", done.keptBytes)
                           .str());
  else
    fmt::print("{} removed ({}), {} kept ({}), in {}\n", int64_t(done.removals.size()) - failures,
               sizeText(bytes), done.keptFiles, sizeText(done.keptBytes), cache.folder());
  return failures > 0 ? 1 : 0;
}

int collect(CommandLine &line) {
  Cache cache = line.cache();
  KeepPolicy keep;
  if (line.has("--max-size"))
    keep.maxBytes = quantity(line, "--max-size",
                             {{"", 1},
                              {"K", 1024},
                              {"M", 1 << 20},
                              {"G", 1 << 30},
                              {"KB", 1024},
                              {"MB", 1 << 20},
                              {"GB", 1 << 30}});
  if (line.has("--older-than"))
    keep.maxAge = Seconds(
        quantity(line, "--older-than", {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 604800}}));
  if (Status good = line.problems(); !good)
    return report(good.error());
  Result<CleanUp> done = collectGarbage(cache, keep);
  return done ? finishCleanUp(line, cache, *done) : report(done.error());
}

int clear(CommandLine &line) {
  Cache cache = line.cache();
  if (Status good = line.problems(); !good)
    return report(good.error());
  Result<CleanUp> done = clearFolder(cache);
  return done ? finishCleanUp(line, cache, *done) : report(done.error());
}

int explainSpec(CommandLine &line) {
  Cache cache = line.cache();
  AttentionSpec spec = line.readSpec();
  CompileOptions options;
  options.arch = line.arch("--arch", "sm_80");
  std::optional<Target> target;
  if (line.has("--target") || !line.has("--shape"))
    target = options.target = Target(line.choice("--target", {"ptx", "cuda"}, 0));
  std::string advised = takeAdvice(line, target, spec, options);
  CubinNeed need = line.choice("--emit", {"ptx", "cubin"}, 1) == 0 ? CubinNeed::No : CubinNeed::IfPossible;
  if (Status good = line.problems(); !good)
    return report(good.error());
  Toolchain tools = Toolchain::find();
  Result<CacheKey> key = programKey({spec, options.target, {}}, options.arch, need, tools, cache);
  if (!key)
    return report(key.error());
  Result<Explanation> why = explain(cache, *key);
  if (!why)
    return report(why.error());
  if (line.has("--json")) {
    JsonObject json, wanted;
    for (const auto &[field, value] : fieldsOf(key->text()))
      wanted.text(field, value);
    if (!advised.empty())
      json.text("schedule_why", advised);
    json.boolean("found", why->found).text("file", why->file).raw("key", wanted.str());
    if (!why->problem.empty())
      json.text("problem", why->problem);
    if (why->nearest) {
      std::vector<std::string> differences;
      for (const KeyDifference &one : why->differences)
        differences.push_back(
            JsonObject().text("field", one.field).text("wanted", one.wanted).text("found", one.found).str());
      json.raw("nearest", fileJson(*why->nearest)).raw("differences", jsonList(differences));
    }
    fmt::print("{}\n", json.str());
    return 0;
  }
  fmt::print("{}: {}, for {}, target {}\n", spec.name, specText(spec), options.arch.name,
             nameOf(options.target));
  fmt::print("schedule: {}\n", !advised.empty() ? fmt::format("{} ({})", spec.schedule.words(), advised)
                               : spec.schedule.empty() ? "the compiler's default; attune run takes "
                                                         "what is best for its shape: --shape"
                                                       : spec.schedule.words());
  if (why->found) {
    fmt::print("hit: {}\n", why->file);
    return 0;
  }
  fmt::print("miss: {}\n", why->problem.empty() ? "no file " + why->file : why->problem);
  if (Status writable = checkOutputFolder(cache.folder()); !writable)
    fmt::print("it is compiled anew each time, for it cannot be kept: {}\n", writable.error().message);
  else if (!why->problem.empty())
    fmt::print("compiling it again replaces it\n");
  if (!why->nearest) {
    fmt::print("there is no other kernel to compare with\n");
    return 0;
  }
  fmt::print("nearest of {} kernel{}: {} ({}), which differs in\n", why->kernels,
             why->kernels == 1 ? "" : "s", shortHash(*why->nearest), whatIs(*why->nearest));
  auto shown = [](const std::string &value) { return value.empty() ? std::string("nothing") : value; };
  for (const KeyDifference &one : why->differences)
    fmt::print("  {:<18} wanted {}, it has {}\n", one.field, shown(one.wanted), shown(one.found));
  return 0;
}

} // namespace

Run addCache(CLI::App &parent) {
  CLI::App &cache =
      *parent.add_subcommand("cache", "look into the folder of compiled kernels, and look after it");
  cache.require_subcommand(0, 1);
  cache.allow_extras();
  std::vector<std::pair<CLI::App *, Run>> commands;
  auto add = [&](const char *name, const char *help, auto declare, int (*run)(CommandLine &)) {
    Line line = CommandLine::add(cache, name, help);
    CLI::App *app = cache.get_subcommand(name);
    app->allow_extras();
    declare(*line);
    line->flag("--json", "print one JSON object");
    line->cacheOptions();
    commands.emplace_back(app, [line, run] { return run(*line); });
  };
  auto none = [](CommandLine &) {};
  add("list", "every file of the cache, the last used first", none, list);
  add(
      "show", "an entry's key, parts and metadata",
      [](CommandLine &line) {
        line.option("ENTRY", "", "the beginning of its hash");
        line.option("--part", "NAME", "print this part as it is: key, kernel.ptx, kernel.cubin...");
        line.option("-o", "FILE", "where to write the part (standard output)");
      },
      show);
  add("verify", "check every entry; exit status 1 if one is broken", none, verify);
  add(
      "gc", "remove broken entries and what killed processes left, and by size or age",
      [](CommandLine &line) {
        line.option("--max-size", "SIZE", "keep at most this much, the last used first: 500M, 2G");
        line.option("--older-than", "AGE", "remove what has not been used for this long: 12h, 30d");
      },
      collect);
  add("clear", "remove every entry, and say what was removed", none, clear);
  add(
      "explain", "why a spec is found or missed: what differs from the nearest entry",
      [](CommandLine &line) {
        line.option("--arch", "ARCH", "architecture to compile for (sm_80)");
        line.option("--target", "ptx|cuda", "PTX through LLVM, or CUDA C++ through NVRTC (ptx)");
        line.option("--emit", "ptx|cubin", "what is compiled: attune run takes a cubin where it can (cubin)");
        declareShapeAdvice(line);
        line.spec();
      },
      explainSpec);
  return [&cache, commands] {
    for (const auto &[app, run] : commands)
      if (app->parsed())
        return run();
    if (std::vector<std::string> extras = cache.remaining(); !extras.empty())
      return report(unknownCommand(cache, extras.front()));
    std::fputs(cache.help().c_str(), stderr);
    return 2;
  };
}

} // namespace attune::cli
