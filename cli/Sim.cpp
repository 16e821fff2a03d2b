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
#include "cli/SimReport.h"
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
// Runs
//===----------------------------------------------------------------------===//

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

int fail(bool json, const Error &error) { return json ? reportJson(error) : report(error); }

/// The arguments and variables once more, for another run of a kernel whose first run has checked them.
Status repeat(CommandLine &line, const SimJob &first, SimJob &job);

/// The kernel in every mode, each with fresh memory.
int compareModes(CommandLine &line, SimJob &first, int64_t seeds) {
  std::vector<SimRun> runs;
  for (int64_t k = -2; k < seeds; ++k) {
    SimJob job;
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

int runJob(SimJob &job) {
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
  job.json ? printResultJson(job, *result, outputs) : printResultText(job, *result, outputs);
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

void readArguments(CommandLine &line, SimJob &job, const sim::EntryInfo &entry) {
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
void setVariables(const std::vector<std::string> &texts, SimJob &job,
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

Status repeat(CommandLine &line, const SimJob &first, SimJob &job) {
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
void readTrace(CommandLine &line, SimJob &job) {
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
  SimJob job;
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
