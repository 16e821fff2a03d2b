//===- Tune.cpp - attune tune ---------------------------------------------===//
#include "cli/Progress.h"
#include "cli/Sweeps.h"
#include "cli/TunePage.h"
#include "cli/TuneStore.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/ranges.h>

namespace attune::cli {

using namespace tuner;

namespace {

struct Job {
  SweepJob sweep;
  std::string store, exportFile, page;
  Shard shard;
  bool list = false, resume = false, all = false;
};

/// "2/8": the second of eight; nothing if it is no such text.
std::optional<Shard> shardOf(const std::string &text) {
  Shard shard;
  const char *last = text.data() + text.size();
  auto [slash, bad] = std::from_chars(text.data(), last, shard.number);
  if (bad != std::errc() || slash == last || *slash != '/')
    return std::nullopt;
  auto [end, worse] = std::from_chars(slash + 1, last, shard.count);
  bool good = worse == std::errc() && end == last && shard.count >= 1 && shard.count <= 10'000;
  return good && shard.number >= 1 && shard.number <= shard.count ? std::optional(shard) : std::nullopt;
}

//===----------------------------------------------------------------------===//
// --list
//===----------------------------------------------------------------------===//

std::string valuesText(const ScheduleParameter &parameter) {
  return fmt::format("{}", fmt::join(parameter.candidates, " "));
}

/// `text` in lines of at most `width`, each after the first behind `indent` spaces.
std::string wrapped(std::string_view text, size_t width, size_t indent) {
  std::string result;
  size_t column = 0;
  while (!text.empty()) {
    size_t end = std::min(text.find(' '), text.size());
    if (column > 0 && column + 1 + end > width) {
      result += "\n" + std::string(indent, ' ');
      column = 0;
    } else if (column > 0) {
      result += ' ';
      ++column;
    }
    result += text.substr(0, end);
    column += end;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return result;
}

int listSpace(const Job &job) {
  Result<std::unique_ptr<Device>> device = openDevice(job.sweep.device);
  if (!device)
    return report(device.error());
  const DeviceInfo &info = (*device)->info();
  const AttentionSpec &spec = job.sweep.spec;
  ProblemShape shape =
      job.sweep.shapes.empty() ? ProblemShape{1, 16, 16, 4096, 4096} : job.sweep.shapes.front();
  SweepTask task = makeTask(spec, shape, info, "", job.sweep.target);
  constexpr size_t shown = 10;
  if (job.sweep.json) {
    std::vector<std::string> parameters, best;
    auto add = [&](std::string_view family, std::string_view name, const std::vector<std::string> &values,
                   std::string_view reason) {
      JsonObject parameter;
      if (!family.empty())
        parameter.text("family", family);
      parameters.push_back(
          parameter.text("name", name).raw("values", jsonList(values)).text("reason", reason).str());
    };
    for (const Family *family : task.families)
      for (const ScheduleParameter &parameter : family->schedules.parameters) {
        std::vector<std::string> values;
        for (int value : parameter.candidates)
          values.push_back(std::to_string(value));
        add(family->name(), parameter.name, values, parameter.reason);
      }
    add("", "target", {"\"ptx\"", "\"cuda\""}, targetReason);
    for (size_t i = 0; i < task.candidates.size(); ++i) {
      const Ranked &ranked = task.candidates[i];
      best.push_back(JsonObject()
                         .text("family", ranked.candidate.schedule.family)
                         .text("schedule", scheduleText(ranked.candidate))
                         .text("target", attune::nameOf(ranked.candidate.target))
                         .number("model_us", ranked.estimate.us)
                         .text("bound_by", nameOf(ranked.estimate.limit))
                         .whole("registers", ranked.cost.registers)
                         .whole("shared_bytes", ranked.cost.sharedBytes)
                         .whole("blocks_per_sm", ranked.cost.blocksPerSm)
                         .boolean("default", task.standard == i)
                         .str());
    }
    JsonObject refusals;
    for (const auto &[reason, count] : task.space.refusals)
      refusals.whole(reason, count);
    fmt::print("{}\n", JsonObject()
                           .text("family", task.family->name())
                           .raw("parameters", jsonList(parameters))
                           .raw("spec", toJson(spec))
                           .raw("shape", toJson(shape))
                           .text("arch", info.arch.name)
                           .whole("points", task.space.points)
                           .whole("feasible", int64_t(task.space.feasible.size()))
                           .raw("refusals", refusals.str())
                           .raw("candidates", jsonList(best))
                           .str());
    return 0;
  }
  auto print = [](std::string_view name, const std::string &values, std::string_view reason) {
    fmt::print("  {:<13} {}\n  {:<13} {}\n", name, values, "", wrapped(reason, 100, 16));
  };
  for (const Family *family : task.families) {
    fmt::print("The {} family\n", family->name());
    for (const ScheduleParameter &parameter : family->schedules.parameters)
      print(parameter.name, valuesText(parameter), parameter.reason);
  }
  print("target", "ptx cuda", targetReason);
  fmt::print("\n{}\non {}: {} points, {} feasible\n", toJson(spec), info.arch.name, task.space.points,
             task.space.feasible.size());
  for (const auto &[reason, count] : task.space.refusals)
    fmt::print("  {:>6} refused: {}\n", count, reason);
  fmt::print("\nBy the model, for {} on {}:\n", shapeText(shape), info.name);
  fmt::print("  {:<46} {:<6} {:>10}  {:<8} {:>9}  {:>9}  {}\n", "schedule", "target", "about", "bound by",
             "registers", "shared", "blocks an SM");
  std::vector<const Ranked *> order;
  for (const Ranked &ranked : task.candidates)
    order.push_back(&ranked);
  std::sort(order.begin(), order.end(),
            [](const Ranked *a, const Ranked *b) { return a->estimate.us < b->estimate.us; });
  for (size_t i = 0; i < order.size(); ++i) {
    const Ranked &ranked = *order[i];
    bool standard = task.standard && &ranked == &task.candidates[*task.standard];
    if (i < shown || standard)
      fmt::print("  {:<46} {:<6} {:>10}  {:<8} {:>9}  {:>9}  {}{}\n", scheduleText(ranked.candidate),
                 attune::nameOf(ranked.candidate.target), timeText(ranked.estimate.us),
                 nameOf(ranked.estimate.limit), ranked.cost.registers, kilobytes(ranked.cost.sharedBytes),
                 ranked.cost.blocksPerSm, standard ? fmt::format("  (the default, rank {})", i + 1) : "");
  }
  return 0;
}

//===----------------------------------------------------------------------===//
// Sweeps
//===----------------------------------------------------------------------===//

std::string progressText(const SweepTask &task, const Progress &progress) {
  std::string best = progress.best
                         ? fmt::format("best {} ({} {})", timeText(progress.best->row.median),
                                       progress.best->row.schedule, attune::nameOf(progress.best->row.target))
                         : "";
  return fmt::format("{} {}/{}, {:.1f}/s, {:.0f} s left, {}", progress.phase, progress.tried, progress.total,
                     progress.perSecond, progress.secondsLeft, best);
}

int tuneShape(const Job &job, const ShapeRun &run, std::vector<std::string> &sections) {
  // The processes that measure are forked first: no database connection should live on both sides of a fork.
  Result<std::unique_ptr<Timer>> timer = startTimer(job.sweep, run.shape);
  if (!timer)
    return report(timer.error());
  const DeviceInfo &device = (*timer)->device();
  std::vector<std::unique_ptr<Timer>> clocks;
  if (device.kind == DeviceKind::Cuda) {
    if (Result<std::vector<std::unique_ptr<Timer>>> started = startClocks(job.sweep, run.shape, device))
      clocks = std::move(*started);
    else
      fmt::print(stderr, "note: the virtual clock is left out: {}\n", started.error().message);
  }
  Result<std::optional<Store>> opened = openStore(job.store, true);
  if (!opened)
    return report(opened.error());
  Store *store = *opened ? &**opened : nullptr;
  const AttentionSpec &spec = job.sweep.spec;
  SweepTask task = makeTask(spec, run.shape, device, toolkitText(run.tools), run.target);
  takeShard(task, job.shard);
  if (task.candidates.empty())
    return report(badInput(fmt::format(
        "{}: error: no schedule of the {} fits {} here: {}",
        spec.origin.spec.empty() ? "spec" : spec.origin.spec, familiesText(task), device.arch.name,
        task.space.refusals.empty() ? "" : task.space.refusals.begin()->first)));
  if (!job.sweep.json)
    fmt::print("{}", headText(task, device));
  std::fflush(stdout);
  ProgressLine line(!job.sweep.json);
  SweepOptions options;
  options.budgetSeconds = run.secondsLeft();
  options.resume = job.resume;
  options.settle = !job.all;
  for (const std::unique_ptr<Timer> &clock : clocks)
    options.clocks.push_back(clock.get());
  options.stop = GracefulStop::flag();
  options.progress = [&](const Progress &progress) { line.show(progressText(task, progress)); };
  SweepResult result =
      sweep(**timer, buildFor(spec, device.arch, run.tools, job.sweep.cache), store, task, options);
  line.clear();
  if (!job.page.empty()) {
    std::optional<CompiledProgram> winner; // out of the cache
    if (result.winner)
      if (Result<CompiledProgram> built = buildFor(spec, device.arch, run.tools, job.sweep.cache)(
              result.entries[*result.winner].ranked.candidate);
          built)
        winner = std::move(*built);
    std::optional<KernelReport> kernel;
    if (winner)
      kernel = reportOn(*winner, run.tools, true);
    sections.push_back(sweepSection(task, result, device, kernel ? &*kernel : nullptr));
  }
  if (job.sweep.json)
    run.json.push_back(resultJson(task, result, device));
  else
    fmt::print("{}{:<12} {}\n", tableText(task, result, 10), "store",
               store ? store->path() : std::string("none: nothing is remembered (--store FILE)"));
  return finishSweep(result);
}

int runTune(const Job &job) {
  if (job.list)
    return listSpace(job);
  bool sweeps = !job.sweep.shapes.empty();
  // Report a store that cannot be used before any time is spent.
  if (Result<std::optional<Store>> store = openStore(job.store, sweeps); !store)
    return report(store.error());
  int status = 0;
  std::vector<std::string> sections;
  if (sweeps)
    status =
        runShapes(job.sweep, "sweeps", [&](const ShapeRun &run) { return tuneShape(job, run, sections); });
  if (!sections.empty())
    if (Status wrote = writeOutput(job.page, {sweepPage(sections)}); !wrote)
      return report(wrote.error());
  if (!job.exportFile.empty()) {
    Result<std::optional<Store>> store = openStore(job.store, false);
    if (!store)
      return report(store.error());
    if (!*store)
      return report(
          badInput("command line: --export: error: expected a store to export, got none (--store FILE)"));
    if (Status wrote = exportStore(**store, job.exportFile, false); !wrote)
      return report(wrote.error());
  }
  return status;
}

} // namespace

Run addTune(CLI::App &parent) {
  auto line =
      CommandLine::add(parent, "tune",
                       "find the best schedule of a spec on a device, and remember it. Ctrl-C finishes "
                       "the candidate, prints the table so far, and exits with 130");
  declareSweepJob(*line, "60s");
  line->flag("--list", "print the space of schedules, with reasons, and the model's order; run nothing");
  line->flag("--resume", "go on from what the store has for this spec, shape, device and toolkit");
  line->flag("--all", "try every feasible candidate, even those that cannot win by the model");
  line->option("--store", "FILE",
               "where results are kept (ATTUNE_STORE, else ~/.local/share/attune/tuning.sqlite)");
  line->option("--export", "FILE", "write the whole store as JSON; without a shape nothing else is done");
  line->option(
      "--report", "FILE.html",
      "write a page that needs nothing else: the fastest, a map of the tiles, time against the model, "
      "pipes, refusals, the winner's machine code");
  line->option(
      "--shard", "I/N",
      "try only the I-th of N parts of the candidates (and the default): N processes on as many GPUs, "
      "into one store or into stores that attune tune merge puts together");
  line->spec();
  auto remembered = addTuneStore(*parent.get_subcommand("tune"));
  return [line, remembered] {
    if (std::optional<int> status = remembered())
      return *status;
    Job job;
    job.list = line->has("--list");
    job.resume = line->has("--resume");
    job.all = line->has("--all");
    job.store = line->text("--store");
    if (line->has("--shard")) {
      if (std::optional<Shard> shard = shardOf(line->text("--shard")))
        job.shard = *shard;
      else
        line->problem("--shard", fmt::format("expected a part and their number, such as 1/8, got '{}'",
                                             line->text("--shard")));
    }
    job.sweep = readSweepJob(*line, 60, !job.list && !line->has("--export"));
    // Beside a sweep standard output takes the table.
    job.exportFile = line->output("--export", job.sweep.shapes.empty() ? CommandLine::Dash::StandardOutput
                                                                       : CommandLine::Dash::Refused);
    job.page = line->output("--report");
    if (!job.page.empty() && !job.list && job.sweep.shapes.empty())
      line->problem("--report", "expected a problem to sweep beside it (--len or --shapes), got none");
    if (job.list)
      for (const char *other :
           {"--budget", "--resume", "--all", "--store", "--export", "--shard", "--report"})
        if (line->has(other))
          line->problem(other, "expected it without --list, which runs nothing");
    if (Status good = line->problems(); !good)
      return report(good.error());
    return runTune(job);
  };
}

} // namespace attune::cli
