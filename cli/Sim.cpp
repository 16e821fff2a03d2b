//===- Sim.cpp - attune sim -----------------------------------------------===//
//
// Runs any PTX kernel on the simulated GPU and tells what its checkers found.
//
//===----------------------------------------------------------------------===//
#include "cli/CommandLine.h"
#include "cli/Output.h"
#include "cli/Progress.h"
#include "cli/SimArguments.h"
#include "cli/SimCompare.h"
#include "cli/SimTime.h"
#include "cli/SimTrace.h"
#include "runtime/io/File.h"
#include "runtime/io/OutputFile.h"
#include "simulator/Simulator.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iterator>
#include <set>
#include <span>

#include <fmt/format.h>

namespace attune::cli {

namespace {

using Triple = std::array<uint32_t, 3>;

std::string tripleText(const Triple &t) { return fmt::format("({}, {}, {})", t[0], t[1], t[2]); }
std::string tripleJson(const Triple &t) { return fmt::format("[{},{},{}]", t[0], t[1], t[2]); }

Result<std::string> readPtx(const std::string &path) {
  if (path != "-")
    return readFile(path);
  std::string text;
  char buffer[65536];
  while (size_t got = std::fread(buffer, 1, sizeof(buffer), stdin))
    text.append(buffer, got);
  return text;
}

/// "8", "8,2" or "8,2,1".
Triple triple(CommandLine &line, const std::string &name, const Triple &otherwise) {
  if (!line.has(name))
    return otherwise;
  std::string text = line.text(name);
  Triple t{1, 1, 1};
  size_t n = 0;
  bool good = true;
  for (std::string_view rest = text; good; ++n) {
    size_t comma = std::min(rest.find(','), rest.size());
    std::string_view one = rest.substr(0, comma);
    uint32_t value = 0;
    auto [end, code] = std::from_chars(one.data(), one.data() + one.size(), value);
    good = n < 3 && code == std::errc() && end == one.data() + one.size() && value > 0;
    if (good)
      t[n] = value;
    if (comma >= rest.size())
      break;
    rest.remove_prefix(comma + 1);
  }
  if (good)
    return t;
  line.problem(
      name,
      fmt::format("expected one to three whole numbers from 1 up, such as 64 or 16,4,1, got '{}'", text));
  return otherwise;
}

//===----------------------------------------------------------------------===//
// --list
//===----------------------------------------------------------------------===//

std::string paramType(const sim::Param &p) {
  return p.type == "b8" && p.size > 1 ? fmt::format(".align {} .b8[{}]", p.align, p.size) : "." + p.type;
}

/// __grid_constant__ const CUtensorMap looks so.
bool mayBeTensorMap(const sim::Param &p) { return p.type == "b8" && p.size == 128 && p.align >= 64; }

std::string limitText(const sim::EntryInfo &e) {
  std::string text;
  if (e.reqntid[0])
    text = fmt::format(", blocks of {} threads", tripleText(e.reqntid));
  else if (e.maxntid[0])
    text = fmt::format(", at most {} threads a block", uint64_t(e.maxntid[0]) * e.maxntid[1] * e.maxntid[2]);
  if (e.reqcluster[0])
    text += fmt::format(", clusters of {} blocks", tripleText(e.reqcluster));
  else if (e.maxClusterRank)
    text += fmt::format(", clusters of at most {} blocks", e.maxClusterRank);
  return text;
}

/// Those of the file, or `only` one.
void printEntries(const sim::Module &module, const sim::EntryInfo *only, bool json) {
  std::span<const sim::EntryInfo> all = only ? std::span(only, 1) : std::span(module.entries());
  if (json) {
    std::vector<std::string> entries;
    for (const sim::EntryInfo &e : all) {
      std::vector<std::string> params;
      for (const sim::Param &p : e.params)
        params.push_back(JsonObject()
                             .text("name", p.name)
                             .text("type", p.type)
                             .whole("offset", p.offset)
                             .whole("size", p.size)
                             .whole("align", p.align)
                             .boolean("may_be_tensor_map", mayBeTensorMap(p))
                             .str());
      JsonObject entry;
      entry.text("name", e.name).raw("params", jsonList(params)).whole("instructions", e.instructions);
      entry.whole("static_shared_bytes", e.staticSharedBytes).whole("local_bytes", e.localBytes);
      if (e.maxntid[0])
        entry.raw("maxntid", tripleJson(e.maxntid));
      if (e.reqntid[0])
        entry.raw("reqntid", tripleJson(e.reqntid));
      if (e.reqcluster[0])
        entry.raw("reqcluster", tripleJson(e.reqcluster));
      if (!e.refusal.empty())
        entry.text("refusal", e.refusal);
      entries.push_back(entry.str());
    }
    fmt::print("{}\n", JsonObject()
                           .text("file", module.fileName())
                           .text("target", module.target())
                           .raw("entries", jsonList(entries))
                           .str());
    return;
  }
  fmt::print("{}: {}, {} {}\n", module.fileName(), module.target(), module.names().size(),
             module.names().size() == 1 ? "entry" : "entries");
  for (const sim::EntryInfo &e : all) {
    fmt::print("\n{}\n", e.name);
    if (!e.refusal.empty())
      fmt::print("  cannot run here:\n{}\n", e.refusal);
    for (size_t n = 0; n < e.params.size(); ++n)
      fmt::print("  {:>3}  {:<18} {}{}\n", n, paramType(e.params[n]), e.params[n].name,
                 mayBeTensorMap(e.params[n]) ? "  (perhaps a tensor map: tensormap:in:x.npy:box=...)" : "");
    fmt::print("  {} instructions, {} bytes of static shared memory, {} bytes of local memory a thread{}\n",
               e.instructions, e.staticSharedBytes, e.localBytes, limitText(e));
  }
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

std::string siteJson(const sim::Site &s) {
  JsonObject json;
  json.text("file", s.ptxFile).whole("line", s.ptxLine).text("instruction", s.instruction);
  if (!s.sourceFile.empty())
    json.text("source_file", s.sourceFile).whole("source_line", s.sourceLine);
  return json.str();
}

std::string findingJson(const sim::Finding &f) {
  JsonObject json;
  json.text("kind", sim::name(f.kind)).text("message", f.message).raw("at", siteJson(f.site));
  json.raw("block", tripleJson(f.block)).raw("thread", tripleJson(f.thread)).whole("warp", f.warp);
  json.text("address", fmt::format("0x{:x}", f.address));
  if (f.hasOther) {
    json.raw("other_at", siteJson(f.other)).whole("other_warp", f.otherWarp);
    json.raw("other_block", tripleJson(f.otherBlock));
    if (f.otherThread)
      json.raw("other_thread", tripleJson(*f.otherThread));
  }
  return json.whole("count", int64_t(f.count)).text("text", f.text()).str();
}

std::string countersJson(const sim::Counters &counters) {
  JsonObject json;
  for (auto [name, count] : sim::named(counters)) {
    std::string key(name);
    for (char &c : key)
      c = c == ' ' || c == '-' ? '_' : c;
    json.whole(key, int64_t(count));
  }
  return json.str();
}

Result<Written> collect(const sim::GlobalMemory &memory, const SimOutput &output) {
  Written w{output, Array::zeros(output.type, output.shape), 0};
  if (Status read = memory.read(w.array.bytes.data(), output.address, w.array.bytes.size()); !read)
    return read.error();
  Result<size_t> unwritten = memory.countUninitialised(output.address, w.array.bytes.size());
  if (!unwritten)
    return unwritten.error();
  w.unwritten = *unwritten;
  return w;
}

struct Job {
  std::shared_ptr<const sim::Module> module;
  sim::GlobalMemory memory;
  SimArguments arguments{memory};
  sim::LaunchConfig config;
  bool json = false, counters = false;
  std::vector<std::string> trace; ///< its steps as JSON
  uint64_t traced = 0, traceLimit = 10000;
  std::string timeline; ///< file to write it to
};

void printJson(const Job &job, const sim::LaunchResult &result, const std::vector<Written> &outputs) {
  JsonObject json;
  json.text("file", job.module->fileName()).text("entry", job.config.entry);
  json.raw("grid", tripleJson(job.config.grid)).raw("block", tripleJson(job.config.block));
  std::vector<std::string> findings, files, notes;
  for (const sim::Finding &f : result.findings)
    findings.push_back(findingJson(f));
  for (const Written &w : outputs)
    files.push_back(JsonObject()
                        .whole("argument", int64_t(w.output.argument))
                        .text("file", w.output.path)
                        .text("array", w.array.describe())
                        .whole("unwritten_bytes", int64_t(w.unwritten))
                        .str());
  for (const std::string &note : result.notes)
    notes.push_back(JsonObject().text("note", note).str());
  json.raw("findings", jsonList(findings)).raw("outputs", jsonList(files));
  json.raw("counters", countersJson(result.counters)).number("seconds", result.counters.seconds);
  if (job.config.trace.see)
    json.raw("trace", jsonList(job.trace)).whole("traced_instructions", int64_t(job.traced));
  if (result.time)
    json.raw("time", timeJson(*result.time));
  if (!result.printed.empty())
    json.text("printed", result.printed);
  json.raw("notes", jsonList(notes)).boolean("checked", job.config.checks);
  json.text("verdict", !result.findings.empty() ? "findings" : job.config.checks ? "clean" : "unchecked");
  fmt::print("{}\n", json.str());
}

void printText(const Job &job, const sim::LaunchResult &result, const std::vector<Written> &outputs) {
  std::fwrite(result.printed.data(), 1, result.printed.size(), stdout);
  if (!result.printed.empty() && result.printed.back() != '\n')
    fmt::print("\n");
  for (const sim::Finding &f : result.findings)
    fmt::print("{}\n", f.text());
  if (job.counters)
    for (auto [name, count] : sim::named(result.counters))
      fmt::print("{:<20} {:>14}\n", name, count);
  if (job.traced > job.traceLimit)
    fmt::print("the trace shows {} of {} instructions; --trace-limit sets how many\n", job.traceLimit,
               job.traced);
  for (const Written &w : outputs) {
    fmt::print("wrote {}: {}", w.output.path, w.array.describe());
    if (w.unwritten)
      fmt::print("; {} of its {} bytes were never written by the kernel and are 0", w.unwritten,
                 w.array.bytes.size());
    fmt::print("\n");
  }
  if (result.time)
    fmt::print("{}", timeText(*result.time));
  for (const std::string &note : result.notes)
    fmt::print("note: {}\n", note);
  size_t n = result.findings.size();
  fmt::print("{}: {} blocks of {} threads, {} warp instructions in {:.3f} s: {}\n", job.config.entry,
             result.counters.blocks, tripleText(job.config.block), result.counters.warpInstructions,
             result.counters.seconds,
             n                   ? fmt::format("{} finding{}", n, n == 1 ? "" : "s")
             : job.config.checks ? std::string("no findings")
                                 : std::string("no findings, with --no-checks"));
}

int fail(bool json, const Error &error) { return json ? reportJson(error) : report(error); }

/// The arguments and variables once more, for another run of a kernel whose first run has checked them.
Status repeat(CommandLine &line, const Job &first, Job &job);

/// The kernel in every mode, each with fresh memory.
int compareModes(CommandLine &line, Job &first, int64_t seeds) {
  std::vector<SimRun> runs;
  for (int64_t k = -2; k < seeds; ++k) {
    Job job;
    if (Status good = repeat(line, first, job); !good)
      return fail(first.json, good.error());
    job.config.mode = k == -2 ? sim::Mode::Eager : k == -1 ? sim::Mode::Lazy : sim::Mode::Random;
    job.config.seed = uint64_t(std::max<int64_t>(k, 0));
    Result<sim::LaunchResult> result = sim::launch(*job.module, job.memory, job.config);
    if (!result)
      return fail(first.json, result.error());
    SimRun run{k == -2 ? "eager" : k == -1 ? "lazy" : fmt::format("random {}", k), std::move(*result), {}};
    for (const SimOutput &output : job.arguments.outputs()) {
      Result<Written> w = collect(job.memory, output);
      if (!w)
        return fail(first.json, w.error());
      run.outputs.push_back(std::move(*w));
    }
    runs.push_back(std::move(run));
  }
  for (const Written &w : runs[0].outputs) // of the first run
    if (Status wrote = writeNpy(w.output.path, w.array); !wrote)
      return fail(first.json, wrote.error());
  std::vector<std::string> all = differences(runs);
  bool found = !all.empty();
  for (const SimRun &run : runs)
    found |= !run.result.findings.empty();
  std::string verdict = !all.empty() ? "modes differ" : found ? "findings" : "clean";
  if (first.json) {
    std::vector<std::string> list, lines;
    for (const SimRun &run : runs) {
      std::vector<std::string> findings;
      for (const sim::Finding &f : run.result.findings)
        findings.push_back(findingJson(f));
      list.push_back(JsonObject().text("mode", run.name).raw("findings", jsonList(findings)).str());
    }
    for (const std::string &text : all)
      lines.push_back(JsonObject().text("text", text).str());
    fmt::print("{}\n", JsonObject()
                           .text("entry", first.config.entry)
                           .raw("runs", jsonList(list))
                           .raw("differences", jsonList(lines))
                           .text("verdict", verdict)
                           .str());
    return found;
  }
  for (const sim::Finding &f : runs[0].result.findings)
    fmt::print("{}\n", f.text());
  for (const std::string &text : all)
    fmt::print("{}\n", text);
  for (const SimRun &run : runs)
    fmt::print("{:<12} {} findings\n", run.name, run.result.findings.size());
  fmt::print("{}: eager, lazy and {} random runs: {}\n", first.config.entry, seeds,
             all.empty() ? "no differences" : fmt::format("{} differences", all.size()));
  return found;
}

int runJob(Job &job) {
  Watch watch(!job.config.trace.see); // whose lines it would come between
  job.config.progress = watch.launches();
  Result<sim::LaunchResult> result = sim::launch(*job.module, job.memory, job.config);
  watch.end();
  if (!result)
    return fail(job.json, result.error());
  std::vector<Written> outputs;
  std::vector<Error> failed; // told behind the findings, which they must not cost
  for (const SimOutput &output : job.arguments.outputs()) {
    Result<Written> w = collect(job.memory, output);
    Status wrote = w ? writeNpy(output.path, w->array) : Status(w.error());
    if (wrote)
      outputs.push_back(std::move(*w));
    else
      failed.push_back(wrote.error());
  }
  if (!job.timeline.empty() && result->time)
    if (Status wrote = writeOutput(job.timeline, {result->time->timeline}); !wrote)
      failed.push_back(wrote.error());
  job.json ? printJson(job, *result, outputs) : printText(job, *result, outputs);
  for (const Error &error : failed)
    report(error);
  return !failed.empty() ? 2 : result->findings.empty() ? 0 : 1;
}

/// The entry that is meant, or null after a problem was told.
const sim::EntryInfo *chooseEntry(CommandLine &line, const sim::Module &module) {
  const std::vector<std::string_view> &all = module.names();
  bool only = !line.has("--entry") && all.size() == 1;
  if (!only && (!line.has("--entry") || all.empty())) {
    line.problem("--entry",
                 fmt::format("expected one of the file's entries ({}), got none",
                             all.empty() ? "it has none" : fmt::format("{}", fmt::join(all, ", "))));
    return nullptr;
  }
  Result<const sim::EntryInfo *> entry = module.entry(only ? std::string(all[0]) : line.text("--entry"));
  if (entry)
    return *entry;
  line.problem(entry.error());
  return nullptr;
}

void readArguments(CommandLine &line, Job &job, const sim::EntryInfo &entry) {
  std::vector<std::string> texts = line.texts("--arg");
  if (texts.size() != entry.params.size()) {
    std::string params;
    for (const sim::Param &p : entry.params)
      params += fmt::format("{}{} {}", params.empty() ? "" : ", ", paramType(p), p.name);
    line.problem("--arg", fmt::format("expected {} for the parameters of '{}' ({}), got {}",
                                      entry.params.size(), entry.name, params, texts.size()));
  }
  std::vector<sim::Argument> arguments;
  for (size_t n = 0; n < texts.size(); ++n) {
    std::string name = fmt::format("--arg {} (argument {})", texts[n], n);
    Result<sim::Argument> argument = job.arguments.read(texts[n]);
    if (!argument) {
      line.problem(name, argument.error().message);
      continue;
    }
    if (std::string why = n < entry.params.size() ? sim::mismatch(entry.params[n], *argument) : "";
        !why.empty())
      line.problem(name, why);
    arguments.push_back(std::move(*argument));
  }
  for (const SimOutput &output : job.arguments.outputs())
    line.willWrite(fmt::format("--arg {} (argument {})", texts[output.argument], output.argument),
                   output.path);
  if (Result<std::vector<std::byte>> packed = sim::packArguments(entry, arguments))
    job.config.params = std::move(*packed);
}

/// --var NAME=VALUE.
void setVariables(const std::vector<std::string> &texts, Job &job,
                  const std::function<void(std::string, std::string)> &bad) {
  std::set<std::string> names;
  for (const std::string &text : texts) {
    size_t equal = text.find('=');
    std::string name = fmt::format("--var {}", text);
    if (equal == std::string::npos || equal == 0) {
      bad(name, "expected NAME=VALUE, such as scale=f32:0.5 or table=table.npy");
      continue;
    }
    Result<std::vector<std::byte>> value = job.arguments.variable(text.substr(equal + 1));
    Status set =
        value ? sim::setVariable(*job.module, job.memory, text.substr(0, equal), value->data(), value->size())
              : Status(value.error());
    if (!set)
      bad(name, set.error().message);
    else if (!names.insert(text.substr(0, equal)).second)
      bad(name, "expected one value of a variable, got a second");
  }
}

Status repeat(CommandLine &line, const Job &first, Job &job) {
  job.module = first.module;
  job.config = first.config;
  Status good = success();
  setVariables(line.texts("--var"), job, [&](std::string name, std::string text) {
    good = badInput(fmt::format("{}: error: {}", name, text));
  });
  Result<const sim::EntryInfo *> entry = job.module->entry(job.config.entry);
  std::vector<sim::Argument> arguments;
  for (const std::string &text : line.texts("--arg")) {
    Result<sim::Argument> argument = job.arguments.read(text);
    if (!argument)
      return argument.error();
    arguments.push_back(std::move(*argument));
  }
  Result<std::vector<std::byte>> packed = sim::packArguments(**entry, arguments);
  if (!packed)
    return packed.error();
  job.config.params = std::move(*packed);
  return good;
}

/// "BLOCK:WARP", the block as its number or as X,Y,Z.
void readTrace(CommandLine &line, Job &job) {
  if (!line.has("--trace")) {
    if (line.has("--trace-limit"))
      line.problem("--trace-limit", "expected it with --trace only");
    return;
  }
  std::string text = line.text("--trace");
  size_t colon = text.find(':');
  const Triple &grid = job.config.grid, &block = job.config.block;
  std::vector<uint64_t> numbers;
  bool good = colon != std::string::npos;
  for (std::string_view rest = text; good && !rest.empty();) {
    size_t end = std::min(rest.find_first_of(",:"), rest.size());
    uint64_t value = 0;
    auto [stop, code] = std::from_chars(rest.data(), rest.data() + end, value);
    good = code == std::errc() && stop == rest.data() + end;
    numbers.push_back(value);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  size_t commas = size_t(std::count(text.begin(), text.begin() + std::min(colon, text.size()), ','));
  good = good && (commas == 0 || commas == 2) && numbers.size() == commas + 2;
  if (!good) {
    line.problem("--trace", fmt::format("expected BLOCK:WARP, such as 0:0 or 3,1,0:2, got '{}'", text));
    return;
  }
  uint64_t blocks = uint64_t(grid[0]) * grid[1] * grid[2];
  uint64_t warps = (uint64_t(block[0]) * block[1] * block[2] + 31) / 32;
  bool inside = commas == 0 || (numbers[0] < grid[0] && numbers[1] < grid[1] && numbers[2] < grid[2]);
  uint64_t number =
      commas == 0 ? numbers[0] : numbers[0] + grid[0] * (numbers[1] + uint64_t(grid[1]) * numbers[2]);
  if (!inside || number >= blocks || numbers.back() >= warps) {
    line.problem("--trace", fmt::format("expected a block of the grid {} and a warp from 0 to {}, got '{}'",
                                        tripleText(grid), warps - 1, text));
    return;
  }
  job.traceLimit = uint64_t(line.whole("--trace-limit", int64_t(job.traceLimit), 1, int64_t(1) << 40));
  job.config.trace = {number, uint32_t(numbers.back()), [&job](const sim::TraceStep &step) {
                        if (job.traced++ >= job.traceLimit)
                          return;
                        if (job.json)
                          job.trace.push_back(traceJson(step));
                        else
                          fmt::print("{}", traceText(step));
                      }};
}

int runCommand(CommandLine &line) {
  Job job;
  std::string path = line.text("FILE");
  job.json = line.has("--json");
  job.counters = line.has("--counters");
  job.config.mode = sim::Mode(line.choice("--mode", {"eager", "lazy", "random"}, 0));
  job.config.seed = uint64_t(line.whole("--seed", 0, 0, int64_t(1) << 53));
  job.config.threads = unsigned(line.whole("--threads", 0, 0, 1024));
  job.config.dynamicShared = uint32_t(line.whole("--smem", 0, 0, 1 << 20));
  job.config.checks = !line.has("--no-checks");
  job.config.maxInstructionsPerWarp = uint64_t(
      line.whole("--max-instructions", int64_t(job.config.maxInstructionsPerWarp), 1, int64_t(1) << 53));
  job.config.grid = triple(line, "--grid", {1, 1, 1});
  job.config.cluster = triple(line, "--cluster", {0, 0, 0});
  job.config.nonPortableCluster = true; // a note tells
  job.config.cooperative = line.has("--cooperative");
  job.config.heapBytes = uint64_t(line.whole("--heap", int64_t(job.config.heapBytes), 0, int64_t(1) << 40));
  if (path.empty())
    line.lacking("FILE", "a PTX file, or - for standard input");
  job.config.time = readTime(line, job.timeline);
  if (job.config.time.on && job.config.mode != sim::Mode::Eager)
    line.problem("--time", "expected it with --mode eager, in which what is timed happens in its order");
  if (line.has("--seed") && job.config.mode != sim::Mode::Random)
    line.problem("--seed", "expected it with --mode random only");
  // A mistake in the options may have made a wrong word the file.
  if (line.has("--compare-modes"))
    for (const char *other : {"--mode", "--seed", "--trace", "--counters", "--list", "--time", "--timeline"})
      if (line.has(other))
        line.problem(other, "expected it without --compare-modes");
  if (line.has("--list"))
    for (const char *other : {"--grid", "--block", "--cluster", "--cooperative", "--smem", "--arg", "--var",
                              "--heap", "--mode", "--seed", "--threads", "--max-instructions", "--no-checks",
                              "--counters", "--trace", "--trace-limit", "--time", "--timeline"})
      if (line.has(other))
        line.problem(other, "expected it without --list, which runs nothing");
  int64_t seeds = line.whole("--compare-modes", 4, 0, 10000);
  if (Status good = line.problems(); !good)
    return fail(job.json, good.error());
  Result<std::string> text = readPtx(path);
  if (!text)
    return fail(job.json, text.error());
  Result<std::shared_ptr<const sim::Module>> module = sim::parseModule(*text, path == "-" ? "<stdin>" : path);
  if (!module)
    return fail(job.json, module.error());
  job.module = *module;
  if (line.has("--list")) {
    const sim::EntryInfo *only = line.has("--entry") ? chooseEntry(line, *job.module) : nullptr;
    if (Status good = line.problems(); !good)
      return fail(job.json, good.error());
    printEntries(*job.module, only, job.json);
    return 0;
  }
  const sim::EntryInfo *entry = chooseEntry(line, *job.module);
  if (entry && !entry->refusal.empty())
    return fail(job.json, badInput(entry->refusal));
  job.config.block = triple(line, "--block", entry && entry->reqntid[0] ? entry->reqntid : Triple{1, 1, 1});
  if (entry && !line.has("--block") && !entry->reqntid[0])
    line.problem(
        "--block",
        fmt::format("expected the threads of a block for '{}', which states none (.reqntid)", entry->name));
  if (entry) {
    job.config.entry = entry->name;
    setVariables(line.texts("--var"), job,
                 [&](std::string name, std::string text) { line.problem(name, text); });
    readArguments(line, job, *entry);
    readTrace(line, job);
  }
  if (Status good = line.problems(); !good)
    return fail(job.json, good.error());
  return line.has("--compare-modes") ? compareModes(line, job, seeds) : runJob(job);
}

const char *const footer = R"(
Every output is written whole or not at all, also when there are findings; elements that the kernel never
wrote are 0. Addresses, results and findings are the same in every run, whatever the number of threads.
Findings go to standard output; exit status 0: none, 1: some, 2: bad usage, bad PTX or a launch that cannot
be, 3: something is missing.

What the kernel prints (printf) goes to standard output before the findings, in the order of blocks, warps and
lanes. Device-side malloc() and free(), recursion and calls by address are simulated. Textures and surfaces are
not: kernels that use them are refused. Targets: sm_70 to sm_121, without what only sm_100a and later have.

Examples
  attune sim k.ptx --list
  attune sim k.ptx --entry add --grid 4 --block 256 --arg in:a.npy --arg in:b.npy --arg out:c.npy:f32[1024]
      --arg u32:1024 --mode random --seed 7 --counters)";

} // namespace

Run addSim(CLI::App &parent) {
  auto line = CommandLine::add(parent, "sim", "run any PTX kernel on the simulated GPU and find its faults");
  line->option("FILE", "", "a PTX file, or - for standard input");
  line->flag("--list", "print the file's entries (or --entry) with their parameters, and run nothing");
  const char *launch = "The launch";
  line->option("--entry", "NAME", "the kernel (the file's only one)", launch);
  line->option("--grid", "X[,Y[,Z]]", "blocks (1)", launch);
  line->option("--block", "X[,Y[,Z]]", "threads of a block (.reqntid)", launch);
  line->option("--cluster", "X[,Y[,Z]]", "blocks of a cluster (.reqnctapercluster)", launch);
  line->flag("--cooperative", "all blocks run at once, or the launch is refused", launch);
  line->option("--smem", "BYTES", "dynamic shared memory of a block (0)", launch);
  line->option("--arg", "ARGUMENT", "the next parameter's value: see below", launch);
  line->option("--var", "NAME=VALUE",
               "a __constant__ or __device__ variable: a file such as x.npy, or a number, struct or bytes as "
               "for --arg",
               launch);
  line->option("--heap", "BYTES", "of device-side malloc() (8388608)", launch);
  line->option("--mode", "eager|lazy|random",
               "when asynchronous copies land: at once, only when a wait says so, or by the seed, which also "
               "shuffles the warps (eager)");
  line->option("--seed", "N", "of --mode random (0)");
  line->option("--compare-modes", "N",
               "run eager, lazy and random with N seeds, and tell where outputs, findings or what is printed "
               "differ; outputs are those of eager");
  line->option("--threads", "N", "host threads (all cores)");
  line->option("--max-instructions", "N", "of a warp; beyond it counts as an endless loop (400000000)");
  line->flag("--no-checks", "only keep accesses inside their buffers; several times as fast at best");
  line->flag("--counters", "print instructions by class, bytes by space, bank conflicts, divergence, waits");
  line->option(
      "--trace", "BLOCK:WARP",
      "print the instructions of a warp, such as 0:0 or 3,1,0:2, with the values of their registers");
  line->option("--trace-limit", "N", "instructions to print at most (10000)");
  timeOptions(*line);
  line->flag("--json", "print one JSON object; errors too are one (verdict: error)");
  line->footer(std::string(simArgumentHelp) + "\n" + footer);
  return [line] { return runCommand(*line); };
}

} // namespace attune::cli
