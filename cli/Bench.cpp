//===- Bench.cpp - attune bench -------------------------------------------===//
//
// Given schedules side by side: the machinery of a sweep, over a list that a person wrote.
//
//===----------------------------------------------------------------------===//
#include "cli/Progress.h"
#include "cli/Sweeps.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace attune::cli {

using namespace tuner;

namespace {

/// "128x64,2,4", "128x64,2,4,cuda", or "block_q=128,warps=4,target=cuda": numbers without a name are the
/// family's parameters in the order of its table; what is left out is chosen.
Result<std::vector<Candidate>> readSchedule(const Family &family, const AttentionSpec &spec, const Arch &arch,
                                            const std::string &text, std::optional<Target> target) {
  std::string words;
  bool positional = text.find('=') == std::string::npos;
  const std::vector<ScheduleParameter> &parameters = family.schedules.parameters;
  size_t place = 0;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find_first_of(", ", begin), text.size());
    std::string word = text.substr(begin, end - begin);
    begin = end + 1;
    size_t times = place == 0 ? word.find('x') : std::string::npos;
    if (word == "ptx" || word == "cuda" || word == "target=ptx" || word == "target=cuda") {
      target = word.ends_with("cuda") ? Target::CUDA : Target::PTX;
    } else if (positional && times != std::string::npos && parameters.size() >= 2) {
      words += fmt::format("{}={} {}={} ", parameters[0].name, word.substr(0, times), parameters[1].name,
                           word.substr(times + 1));
      place = 2;
    } else if (positional && !word.empty() && place < parameters.size()) {
      words += fmt::format("{}={} ", parameters[place++].name, word);
    } else {
      words += word + " ";
    }
  }
  Result<Candidate> parsed = parseSchedule(family, words);
  if (!parsed)
    return badInput(
        fmt::format("expected a schedule such as 128x64,2,4 (block_q x block_kv, stages, warps), with "
                    ",cuda for that target, or block_q=128,warps=4; {}",
                    parsed.error().message));
  // The compiler chooses what the spec and the text leave open; its own messages say what cannot be.
  AttentionSpec open = withSchedule(spec, *parsed);
  std::vector<Candidate> result;
  for (Target which : {Target::PTX, Target::CUDA})
    if (!target || *target == which)
      result.push_back(family.standard(open, arch, which));
  return result;
}

struct Job {
  SweepJob sweep;
  std::vector<std::string> schedules;
};

int benchShape(const Job &job, const ShapeRun &run) {
  Result<std::unique_ptr<Timer>> timer = startTimer(job.sweep, run.shape);
  if (!timer)
    return report(timer.error());
  const DeviceInfo &device = (*timer)->device();
  AttentionSpec spec = job.sweep.spec;
  std::optional<Candidate> edited; // the only one, with --from
  if (const std::optional<StageText> &stage = job.sweep.staged.stage) {
    Target target = run.target.value_or(Target::PTX);
    Result<CompiledProgram> program =
        buildFor(spec, device.arch, run.tools, job.sweep.cache, stage)({spec.schedule, target});
    if (!program)
      return report(program.error());
    if (Result<AttentionSpec> fits = fitSpec(job.sweep.staged, program->program()); !fits)
      return report(fits.error());
    // What its text does not say of its schedule is shown as the default.
    edited = familyFor(spec, device.arch)
                 .standard(withSchedule(spec, {program->mainKernel().schedule, target}), device.arch, target);
  }
  SweepTask task = makeTask(spec, run.shape, device, toolkitText(run.tools), run.target);
  std::vector<Candidate> list;
  std::vector<std::string> errors; // of both targets often the same
  auto refuse = [&](const std::string &message) {
    std::string error = fmt::format("command line: --with: error: {}", message);
    if (std::find(errors.begin(), errors.end(), error) == errors.end())
      errors.push_back(error);
  };
  if (edited)
    list.push_back(*edited);
  std::vector<std::string> schedules = job.schedules;
  if (schedules.empty() && !edited)
    schedules.push_back("");
  for (const std::string &text : schedules) {
    Result<std::vector<Candidate>> read = readSchedule(*task.family, spec, device.arch, text, run.target);
    if (!read) {
      refuse(read.error().message);
      continue;
    }
    for (const Candidate &candidate : *read) {
      ScheduleCost cost = task.family->cost(spec, device.arch, candidate);
      if (!cost.limit.empty())
        refuse(fmt::format("the schedule {} does not fit: {}", scheduleText(candidate), cost.refusal));
      else if (std::find(list.begin(), list.end(), candidate) == list.end())
        list.push_back(candidate);
    }
  }
  if (!errors.empty())
    return report(badInput(fmt::format("{}", fmt::join(errors, "\n"))));
  // With nothing to compare, the compiler's own choice beside the best of the model.
  if (job.schedules.empty() && !edited)
    for (size_t i = 0; i < task.candidates.size() && list.size() < 6; ++i)
      if (std::find(list.begin(), list.end(), task.candidates[i].candidate) == list.end())
        list.push_back(task.candidates[i].candidate);
  std::optional<Candidate> standard;
  if (task.standard && !edited) { // what the ratios are of
    standard = task.candidates[*task.standard].candidate;
    if (std::find(list.begin(), list.end(), *standard) == list.end())
      list.insert(list.begin(), *standard);
  }
  task.candidates.clear();
  task.standard.reset();
  for (const Candidate &candidate : list) {
    if (candidate == standard)
      task.standard = task.candidates.size();
    task.candidates.push_back(rank(spec, device, run.shape, {candidate}).front());
  }
  if (!job.sweep.json)
    fmt::print("{}", headText(task, device));
  std::fflush(stdout);
  ProgressLine line(!job.sweep.json);
  SweepOptions options;
  options.budgetSeconds = run.secondsLeft();
  options.settle = false;
  options.halve = false;
  options.stop = GracefulStop::flag();
  options.progress = [&](const Progress &progress) {
    line.show(fmt::format("{} {}/{}, {:.0f} s left", progress.phase, progress.tried, progress.total,
                          progress.secondsLeft));
  };
  SweepResult result =
      sweep(**timer, buildFor(spec, device.arch, run.tools, job.sweep.cache, job.sweep.staged.stage), nullptr,
            task, options);
  line.clear();
  if (job.sweep.json)
    run.json.push_back(resultJson(task, result, device));
  else
    fmt::print("{}", tableText(task, result, result.entries.size()));
  return finishSweep(result);
}

} // namespace

Run addBench(CLI::App &parent) {
  auto line =
      CommandLine::add(parent, "bench",
                       "measure given schedules of a spec side by side; nothing is remembered. Ctrl-C prints "
                       "the table so far, and exits with 130");
  declareSweepJob(*line, "60s");
  line->option(
      "--with", "SCHEDULE",
      "repeatable: 128x64,2,4 (block_q x block_kv, stages, warps), with ,cuda for that target alone, or "
      "block_q=128,warps=4 (the compiler's own choice and the model's best)");
  declareStage(*line);
  line->spec();
  return [line] {
    Job job;
    job.schedules = line->texts("--with");
    job.sweep = readSweepJob(*line, 60, true, true);
    if (job.sweep.staged.stage && !job.schedules.empty())
      line->problem("--with", "expected --from or this, got both: the stage's schedule is decided");
    if (job.sweep.staged.stage && !job.sweep.staged.said)
      line->lacking("--from", "the spec that the stage computes, to verify it (--spec FILE, or its flags)");
    if (Status good = line->problems(); !good)
      return report(good.error());
    return runShapes(job.sweep, "benches", [&](const ShapeRun &run) { return benchShape(job, run); });
  };
}

} // namespace attune::cli
