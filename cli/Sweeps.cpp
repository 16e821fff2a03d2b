//===- Sweeps.cpp - what `attune tune` and `attune bench` share -----------===//
#include "cli/Sweeps.h"
#include "cli/Advice.h"
#include "cli/Report.h"

#include "runtime/jit/ProgramBuild.h"
#include "runtime/reference/Problem.h"
#include "simulator/Time.h"
#include "tuner/Worker.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <csignal>
#include <map>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace attune::cli {

using namespace tuner;

namespace {

/// "60s", "90", "2m", "500ms": seconds; nothing if it is no such text.
std::optional<double> secondsOf(const std::string &text) {
  double value = 0;
  const char *last = text.data() + text.size();
  auto [end, failed] = std::from_chars(text.data(), last, value);
  if (failed != std::errc() || !(value > 0) || !std::isfinite(value))
    return std::nullopt;
  std::string unit(end, last);
  double scale = unit.empty() || unit == "s" ? 1
                 : unit == "ms"              ? 1e-3
                 : unit == "m"               ? 60
                 : unit == "h"               ? 3600
                                             : 0;
  return scale > 0 && value * scale <= 7 * 24 * 3600 ? std::optional<double>(value * scale) : std::nullopt;
}

void readShapes(CommandLine &line, SweepJob &job, bool needed) {
  int64_t length = line.whole("--len", 0, 1, maxLength);
  ProblemShape one;
  one.lengthQ = line.whole("--len-q", length, 1, maxLength);
  one.lengthKv = line.whole("--len-kv", length, 1, maxLength);
  one.batch = line.whole("--batch", 1, 1, maxCount);
  int64_t headsQ = line.whole("--heads-q", 0, 1, maxCount),
          headsKv = line.whole("--heads-kv", 0, 1, maxCount);
  one.headsQ = headsQ ? headsQ : std::max<int64_t>(headsKv, 1);
  one.headsKv = headsKv ? headsKv : one.headsQ;
  if (line.has("--shapes")) {
    for (const char *other : {"--len", "--len-q", "--len-kv", "--batch", "--heads-q", "--heads-kv"})
      if (line.has(other))
        line.problem(other, "expected --shapes or this, got both");
    std::string text = line.text("--shapes");
    for (size_t begin = 0; begin <= text.size();) {
      size_t end = std::min(text.find(',', begin), text.size());
      std::string word = text.substr(begin, end - begin);
      if (std::optional<ProblemShape> shape = shapeOf(word))
        job.shapes.push_back(*shape);
      else
        line.problem("--shapes",
                     fmt::format("expected BATCHxHEADS_QxHEADS_KVxLEN_QxLEN_KV (or one LEN for both), "
                                 "such as 1x32x8x4096, got '{}'",
                                 word));
      begin = end + 1;
    }
  } else if (one.lengthQ > 0 && one.lengthKv > 0) {
    job.shapes.push_back(one);
  } else if (needed || line.has("--len-q") || line.has("--len-kv")) {
    line.lacking("--len", "a length (--len, or --len-q and --len-kv) or --shapes");
  }
  for (const ProblemShape &shape : job.shapes) {
    if (Status good = validateDense(job.spec, shape); !good)
      line.problem(line.has("--shapes") ? "--shapes" : "--len", good.error().message);
  }
}

} // namespace

void declareSweepJob(CommandLine &line, const char *budget) {
  const char *problem = "The problem";
  line.option("--shapes", "LIST",
              "BATCHxHEADS_QxHEADS_KVxLEN[xLEN_KV], several with commas: 1x32x8x4096,8x16x16x512", problem);
  line.option("--len", "N", "queries and keys", problem);
  line.option("--len-q", "N", "queries alone", problem);
  line.option("--len-kv", "N", "keys alone", problem);
  line.option("--batch", "N", "batch (1)", problem);
  line.option("--heads-q", "N", "query heads (1): a multiple of the KV heads", problem);
  line.option("--heads-kv", "N", "KV heads (as many as query heads)", problem);
  line.option("--budget", "TIME", fmt::format("for all shapes together: 60s, 5m ({})", budget));
  line.option("--device", "auto|cuda|sim",
              "a GPU, or the simulated one, whose figures are estimates (a GPU if there is one)");
  line.option("--arch", "ARCH", "architecture to compile for, and to simulate (the GPU's, else sm_80)");
  line.option("--target", "ptx|cuda", "only this target (both)");
  line.flag("--json", "print one JSON object");
  line.cacheOptions();
}

SweepJob readSweepJob(CommandLine &line, double budgetSeconds, bool shapesNeeded, bool stages) {
  SweepJob job;
  job.device.which = line.text("--device", "auto");
  if (!job.device.which.starts_with("cuda:")) // whose number openDevice reads
    (void)line.choice("--device", {"auto", "cuda", "sim"}, 0);
  job.device.arch = line.has("--arch") ? line.arch("--arch", "").name : "";
  if (line.has("--target"))
    job.target = Target(line.choice("--target", {"ptx", "cuda"}, 0));
  job.cache = line.cache();
  job.json = line.has("--json");
  job.budgetSeconds = budgetSeconds;
  if (line.has("--budget")) {
    std::string text = line.text("--budget");
    if (std::optional<double> seconds = secondsOf(text))
      job.budgetSeconds = *seconds;
    else
      line.problem("--budget",
                   fmt::format("expected a time up to a week, such as 60s, 90 or 5m, got '{}'", text));
  }
  if (stages) {
    job.staged = readStagedSpec(line, job.target);
    job.spec = job.staged.spec;
  } else if (line.has("SPEC") || line.hasSpecFlags()) {
    job.spec = line.readSpec();
  }
  readShapes(line, job, shapesNeeded);
  return job;
}

std::string shapeText(const ProblemShape &shape) {
  return fmt::format("batch {}, {} query heads over {} KV heads, {} queries, {} keys", shape.batch,
                     shape.headsQ, shape.headsKv, shape.lengthQ, shape.lengthKv);
}

std::string timeText(double us) {
  return us < 1e4   ? fmt::format("{:.1f} us", us)
         : us < 1e7 ? fmt::format("{:.2f} ms", us / 1e3)
                    : fmt::format("{:.2f} s", us / 1e6);
}

std::string toolkitText(const Toolchain &tools) {
  std::string text = fmt::format("attune {}", compilerBuildId());
  for (Tool tool : {Tool::Ptxas, Tool::NVRTC})
    if (tools.tool(tool))
      if (Result<std::string> version = tools.version(tool))
        text += fmt::format(", {} {}", toolName(tool), *version);
  return text;
}

Result<std::vector<std::string>> settleTools(const Toolchain &tools, std::optional<Target> &target) {
  std::vector<std::string> notes;
  if (!tools.tool(Tool::NVRTC)) {
    if (target == Target::CUDA)
      return tools.need(Tool::NVRTC).error();
    if (!target)
      notes.push_back("target cuda is left out: NVRTC was not found (attune doctor)");
    target = Target::PTX;
  }
  if (!tools.tool(Tool::Ptxas) && target != Target::CUDA)
    notes.push_back("ptxas was not found: registers are the model's, and spills of target ptx are not seen");
  return notes;
}

Build buildFor(const AttentionSpec &spec, const Arch &arch, const Toolchain &tools, const Cache &cache,
               const std::optional<StageText> &stage) {
  return [spec, arch, tools, cache, stage](const Candidate &candidate) -> Result<CompiledProgram> {
    Result<BuiltProgram> built = buildProgram({withSchedule(spec, candidate), candidate.target, stage},
                                              {arch}, CubinNeed::IfPossible, tools, cache);
    if (!built)
      return built.error();
    return std::move(built->program);
  };
}

double ShapeRun::secondsLeft() const {
  std::chrono::duration<double> left = deadline - std::chrono::steady_clock::now();
  return std::max(left.count(), 1e-3);
}

int runShapes(const SweepJob &job, const char *name, const std::function<int(const ShapeRun &)> &one) {
  using Clock = std::chrono::steady_clock;
  auto begin = Clock::now(); // of the budget, which looking for tools and starting up are part of
  std::optional<Target> target = job.target;
  Toolchain tools = Toolchain::find();
  Result<std::vector<std::string>> notes = settleTools(tools, target);
  if (!notes)
    return report(notes.error());
  for (const ProblemShape &shape : job.shapes)
    if (std::string note = alignNote(job.spec, shape.lengthQ, shape.lengthKv); !note.empty())
      notes->push_back(note);
  for (const std::string &note : *notes)
    fmt::print(stderr, "note: {}\n", note);
  GracefulStop graceful;
  int status = 0;
  std::vector<std::string> json;
  for (size_t i = 0; i < job.shapes.size() && status <= 1; ++i) {
    std::chrono::duration<double> spent = Clock::now() - begin;
    std::chrono::duration<double> share(std::max(0.0, job.budgetSeconds - spent.count()) /
                                        double(job.shapes.size() - i));
    auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(share);
    status = std::max(status, one({job.shapes[i], deadline, tools, target, json}));
  }
  if (job.json)
    fmt::print("{}\n", JsonObject().raw(name, jsonList(json)).str());
  return status;
}

namespace {
/// Whether the arrays that are timed fit on the device at all: told once, not by every candidate.
Status checkMemory(const DeviceInfo &device, const TimerProblem &problem) {
  reference::Problem dense = reference::denseProblem(problem.spec, int(problem.shape.batch),
                                                     int(problem.shape.headsQ), int(problem.shape.headsKv),
                                                     int(problem.shape.lengthQ), int(problem.shape.lengthKv));
  reference::ElementCounts counts = reference::elementCounts(problem.spec, dense);
  int64_t bytes = 2 * (counts.q + counts.k + counts.v + counts.o) + (problem.spec.lse ? 4 * counts.lse : 0) +
                  int64_t(problem.flushBytes);
  if (device.kind == DeviceKind::Sim || device.memoryBytes == 0 || bytes < int64_t(device.memoryBytes))
    return success();
  return missing(fmt::format(
      "error: expected {:.1f} GB of memory on {} to time this problem, got {:.1f} GB; take smaller "
      "lengths, fewer heads or a smaller batch",
      double(bytes) * 1e-9, device.name, double(device.memoryBytes) * 1e-9));
}
} // namespace

namespace {
/// A timer on the device of `options`, or of a virtual clock where that is simulated.
Result<std::unique_ptr<Timer>> startTimerOn(const DeviceOptions &options, TimerProblem problem) {
  // A kernel that ends takes less than this, on any GPU that runs it: 10 TFLOP/s, for the warm-up too.
  WorkerLimits limits;
  limits.timing += (1 + problem.warmups) * 4e-13 * double(problem.shape.batch) *
                   double(problem.shape.headsQ) * double(problem.shape.lengthQ) *
                   double(problem.shape.lengthKv) * problem.spec.headDimQk;
  return startWorkerTimer(
      [problem, options]() mutable -> Result<std::unique_ptr<Timer>> {
        DeviceOptions timed = options;
        auto clock = std::make_shared<sim::Timings>();
        timed.sim.timings = clock.get();
        Result<std::unique_ptr<Device>> device = openDevice(timed);
        if (!device)
          return device.error();
        if (Status fits = checkMemory((*device)->info(), problem); !fits)
          return fits.error();
        if ((*device)->info().kind == DeviceKind::Sim)
          problem.shape = clockShape(problem.shape);
        return makeDeviceTimer(std::move(*device), problem, clock);
      },
      limits);
}

TimerProblem problemOf(const SweepJob &job, const ProblemShape &shape) {
  TimerProblem problem;
  problem.spec = job.spec;
  problem.shape = shape;
  problem.verified = verificationShape(shape);
  return problem;
}
} // namespace

Result<std::unique_ptr<Timer>> startTimer(const SweepJob &job, const ProblemShape &shape) {
  return startTimerOn(job.device, problemOf(job, shape));
}

Result<std::vector<std::unique_ptr<Timer>>> startClocks(const SweepJob &job, const ProblemShape &shape,
                                                        const DeviceInfo &device) {
  DeviceOptions simulated;
  simulated.which = "sim";
  simulated.arch = device.arch.name;
  TimerProblem problem = problemOf(job, shape);
  problem.gpu = device.name;
  std::vector<std::unique_ptr<Timer>> clocks;
  constexpr unsigned most = 8;
  unsigned count = std::clamp(std::thread::hardware_concurrency(), 1u, most);
  while (clocks.size() < count) {
    Result<std::unique_ptr<Timer>> clock = startTimerOn(simulated, problem);
    if (!clock)
      return clock.error();
    clocks.push_back(std::move(*clock));
  }
  return clocks;
}

//===----------------------------------------------------------------------===//
// Ctrl-C
//===----------------------------------------------------------------------===//

namespace {
std::atomic<bool> stopAsked = false;
std::map<int, void (*)(int)> previousHandlers;

void askToStop(int signal) {
  if (stopAsked.exchange(true)) // twice: at once
    for (const auto &[number, handler] : previousHandlers)
      if (number == signal) {
        std::signal(signal, handler);
        ::raise(signal);
      }
}
} // namespace

GracefulStop::GracefulStop() {
  stopAsked = false;
  for (int signal : {SIGINT, SIGTERM})
    previousHandlers[signal] = std::signal(signal, askToStop);
}

GracefulStop::~GracefulStop() {
  for (const auto &[signal, handler] : previousHandlers)
    std::signal(signal, handler);
}

const std::atomic<bool> *GracefulStop::flag() { return &stopAsked; }

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

std::vector<size_t> byTime(const SweepResult &result) {
  std::vector<size_t> places;
  for (size_t i = 0; i < result.entries.size(); ++i)
    if (result.entries[i].row.verdict == Verdict::Passed && result.entries[i].row.median > 0)
      places.push_back(i);
  std::sort(places.begin(), places.end(), [&](size_t a, size_t b) {
    const Row &first = result.entries[a].row, &second = result.entries[b].row;
    return isAhead(result.kind, first, second) || (!isAhead(result.kind, second, first) && a < b);
  });
  return places;
}

double toStandard(const SweepResult &result, const Row &row) {
  if (!result.standard)
    return 0;
  const Row &standard = result.entries[*result.standard].row;
  bool comparable = standard.verdict == Verdict::Passed && standard.median > 0 &&
                    isRefined(result.kind, standard) == isRefined(result.kind, row);
  return comparable ? row.median / standard.median : 0;
}

namespace {

std::string rowText(const SweepResult &result, size_t place, size_t rank) {
  const Entry &entry = result.entries[place];
  const Row &row = entry.row;
  double ratio = toStandard(result, row);
  std::string time = fmt::format("{:>10}", timeText(row.median));
  if (result.kind == Kind::Measured)
    time +=
        fmt::format("  {:>20} {:>4}", fmt::format("{:.1f}..{:.1f}", row.low, row.high), row.samples.size());
  else
    time += fmt::format("  {:<8}", isRefined(result.kind, row) ? "clock" : "counters");
  std::string model = fmt::format("{:>10}", timeText(row.modelUs));
  if (result.clockPairs > 0)
    model += fmt::format("  {:>10}", entry.clockUs > 0 ? timeText(entry.clockUs) : "-");
  return fmt::format("{:>4}  {:<46} {:<6} {}  {:>6.1f} %  {:>8}  {}  {}{}\n", rank, row.schedule,
                     attune::nameOf(row.target), time, 100 * row.shareOfLimit,
                     ratio > 0 ? fmt::format("{:.3f}", ratio) : "-", model,
                     nameOf(entry.ranked.estimate.limit),
                     result.standard == place ? "  (the default)"
                     : entry.resumed          ? "  (from the store)"
                                              : "");
}

} // namespace

std::string familiesText(const SweepTask &task) {
  std::vector<std::string_view> names;
  for (const Family *family : task.families)
    names.push_back(family->name());
  return fmt::format("{} {}", fmt::join(names, " and "), names.size() == 1 ? "family" : "families");
}

std::string headText(const SweepTask &task, const DeviceInfo &device) {
  std::string text;
  auto line = [&](const char *name, const std::string &value) {
    text += fmt::format("{:<12} {}\n", name, value);
  };
  line("spec", task.subject.spec);
  line("problem", shapeText(task.shape));
  line("device", fmt::format("{} ({})", device.name, device.why));
  line("figures", task.subject.kind == Kind::Measured
                      ? "measured: median us of launches behind a flush of L2, with a 95 % interval"
                      : "estimate: the simulator's counters and a cost model, of the best the virtual clock; "
                        "no GPU's time");
  line("space", fmt::format("{} schedules of the {}, {} of them feasible", task.space.points,
                            familiesText(task), task.space.feasible.size()));
  return text;
}

std::string tableText(const SweepTask &task, const SweepResult &result, size_t most) {
  std::vector<size_t> places = byTime(result);
  std::string figure = fmt::format("{:>10}", nameOf(result.kind));
  if (result.kind == Kind::Measured)
    figure += fmt::format("  {:>20} {:>4}", "95 % (us)", "of");
  else
    figure += fmt::format("  {:<8}", "by");
  std::string text = fmt::format(
      "rank  {:<46} {:<6} {}  {:>8}  {:>8}  {:>10}{}  {}\n", "schedule", "target", figure, "of limit",
      "/default", "model", result.clockPairs > 0 ? fmt::format("  {:>10}", "clock") : "", "bound by (model)");
  for (size_t i = 0; i < places.size(); ++i)
    if (i < most || result.standard == places[i])
      text += rowText(result, places[i], i + 1);
  if (places.empty())
    text += "      nothing passed\n";
  const SweepRecord &record = result.record;
  std::string refusals;
  for (const auto &[reason, count] : record.refusals)
    refusals += fmt::format("{}{}: {}", refusals.empty() ? "" : ", ", reason, count);
  text += fmt::format("{:<12} {}\n", "refused", refusals.empty() ? "none" : refusals);
  size_t shown = 0;
  for (const Entry &entry : result.entries)
    if (entry.row.verdict != Verdict::Passed && entry.row.verdict != Verdict::Spilled && ++shown <= 5)
      text +=
          fmt::format("  {} {}: {}: {}\n", entry.row.schedule, attune::nameOf(entry.row.target),
                      nameOf(entry.row.verdict), entry.row.message.substr(0, entry.row.message.find('\n')));
  text += fmt::format("{:<12} {} of {} candidates in {:.1f} s ({:.1f} a second): {}\n", "tried", record.tried,
                      task.candidates.size(), record.seconds,
                      record.seconds > 0 ? double(record.tried) / record.seconds : 0,
                      record.outcome == "settled"       ? "settled, no other could win by the model"
                      : record.outcome == "complete"    ? "all of them"
                      : record.outcome == "interrupted" ? "interrupted"
                                                        : "the budget is spent");
  if (!result.clockFailure.empty())
    text += fmt::format("{:<12} the virtual clock refined no more of the best: {}\n", "clock",
                        result.clockFailure);
  text += fmt::format("{:<12} Kendall's tau {:.2f} between its order and the figures' ({} candidates)\n",
                      "model", record.tau, record.tauPairs);
  if (result.clockPairs > 0)
    text += fmt::format("{:<12} Kendall's tau {:.2f} between its order and the figures' ({} candidates)\n",
                        "clock", result.clockTau, result.clockPairs);
  return text;
}

namespace {
std::string entryJson(const SweepTask &task, const SweepResult &result, size_t place) {
  const Entry &entry = result.entries[place];
  const Row &row = entry.row;
  JsonObject json;
  for (const auto &[name, value] : ordered(entry.ranked.candidate.schedule).values)
    json.whole(name, value);
  json.text("family", row.family).text("schedule", row.schedule).text("target", attune::nameOf(row.target));
  json.text("verdict", nameOf(row.verdict));
  if (!row.message.empty())
    json.text("message", row.message);
  json.number("model_us", row.modelUs);
  if (entry.clockUs > 0)
    json.number("clock_us", entry.clockUs);
  json.text("bound_by", nameOf(entry.ranked.estimate.limit));
  if (row.median > 0) {
    json.number(fmt::format("{}_us", nameOf(result.kind)), row.median);
    if (result.kind == Kind::Measured)
      json.number("low_us", row.low)
          .number("high_us", row.high)
          .whole("samples", int64_t(row.samples.size()));
    else
      json.number("counters_us", countersUs(row));
    json.number("share_of_limit", row.shareOfLimit);
    if (double ratio = toStandard(result, row); ratio > 0)
      json.number("ratio_to_default", ratio);
  }
  return json.boolean("default", result.standard == place).boolean("resumed", entry.resumed).str();
}
} // namespace

std::string resultJson(const SweepTask &task, const SweepResult &result, const DeviceInfo &device) {
  const SweepRecord &record = result.record;
  JsonObject json;
  json.raw("spec", task.subject.spec).raw("shape", toJson(task.shape));
  json.raw("device", JsonObject()
                         .text("name", device.name)
                         .text("arch", device.arch.name)
                         .boolean("simulated", device.kind == DeviceKind::Sim)
                         .text("driver", task.subject.driver)
                         .text("why", device.why)
                         .str());
  json.text("toolkit", task.subject.toolkit)
      .text("kind", nameOf(result.kind))
      .text("family", task.family->name());
  json.whole("points", record.points).whole("feasible", record.feasible).whole("tried", record.tried);
  json.text("outcome", record.outcome).number("seconds", record.seconds);
  json.number("kendall_tau", record.tau).whole("kendall_pairs", record.tauPairs);
  if (result.clockPairs > 0)
    json.number("clock_kendall_tau", result.clockTau).whole("clock_kendall_pairs", result.clockPairs);
  JsonObject refusals;
  for (const auto &[reason, count] : record.refusals)
    refusals.whole(reason, count);
  json.raw("refusals", refusals.str());
  if (!result.clockFailure.empty())
    json.text("clock_failure", result.clockFailure);
  json.raw("winner", result.winner ? entryJson(task, result, *result.winner) : "null");
  json.raw("default", result.standard ? entryJson(task, result, *result.standard) : "null");
  std::vector<std::string> rows;
  for (size_t i = 0; i < result.entries.size(); ++i)
    rows.push_back(entryJson(task, result, i));
  return json.raw("rows", jsonList(rows)).str();
}

int finishSweep(const SweepResult &result) {
  if (result.failure)
    return report(*result.failure);
  if (result.interrupted)
    return 130;
  return result.winner ? 0 : 1;
}

} // namespace attune::cli
