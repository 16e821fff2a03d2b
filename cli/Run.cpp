//===- Run.cpp - attune run -----------------------------------------------===//
//
// Compiles a spec, launches it on arrays, and verifies what came out.
//
//===----------------------------------------------------------------------===//
#include "cli/Advice.h"
#include "cli/CommandLine.h"
#include "cli/Output.h"
#include "cli/Progress.h"
#include "cli/Report.h"
#include "cli/SimTime.h"
#include "cli/Stage.h"
#include "runtime/io/Npy.h"
#include "runtime/io/OutputFile.h"
#include "runtime/jit/ProgramBuild.h"
#include "runtime/plan/Planner.h"
#include "runtime/reference/HostProblem.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

namespace attune::cli {

namespace {

/// A size that nobody has said yet.
constexpr int64_t unsaid = -1;

struct Job {
  AttentionSpec spec;
  std::optional<Target> target;                       ///< nothing: the advisor's, else ptx
  StagedSpec staged;                                  ///< as the command line has it
  std::vector<std::pair<std::string, double>> values; ///< of run-time scalars
  ProblemShape shape{unsaid, unsaid, unsaid, unsaid, unsaid};
  DeviceOptions device;
  std::shared_ptr<Watch> watch;                                             ///< what the device reports to
  std::shared_ptr<sim::Timings> timings = std::make_shared<sim::Timings>(); ///< of its launches
  std::string timeline;                                                     ///< file for the last one's
  std::unique_ptr<JitMaker> maker;
  std::unique_ptr<Planner> planner;
  uint64_t seed = 0;
  std::vector<uint16_t> q, k, v;
  std::vector<std::pair<std::string, Array>> arrays; ///< others, by the names of the kernel's arguments
  std::string out, lseOut;
  bool check = true, json = false;
  bool arraysTaken = true; ///< else what their shapes would have said is unknown
};

/// One of the arrays that can come from a file: what its dimensions are in the shape.
struct Input {
  const char *flag;
  int64_t ProblemShape::*heads;
  int64_t ProblemShape::*length;
  int AttentionSpec::*dim;
  std::vector<uint16_t> Job::*values;
};
constexpr Input inputs[] = {
    {"--q", &ProblemShape::headsQ, &ProblemShape::lengthQ, &AttentionSpec::headDimQk, &Job::q},
    {"--k", &ProblemShape::headsKv, &ProblemShape::lengthKv, &AttentionSpec::headDimQk, &Job::k},
    {"--v", &ProblemShape::headsKv, &ProblemShape::lengthKv, &AttentionSpec::headDimV, &Job::v},
};

/// What an array of this type is in a file.
ElementType elementOf(DType dtype) {
  switch (dtype) {
  case DType::F16:
    return ElementType::F16;
  case DType::BF16:
    return ElementType::U16;
  case DType::I32:
    return ElementType::I32;
  case DType::I64:
    return ElementType::I64;
  case DType::U8:
    return ElementType::U8;
  case DType::F32:
    break;
  }
  return ElementType::F32;
}

std::vector<int64_t> shapeOf(Layout layout, int64_t batch, int64_t heads, int64_t length, int64_t dim) {
  return layout == Layout::BSHD ? std::vector<int64_t>{batch, length, heads, dim}
                                : std::vector<int64_t>{batch, heads, length, dim};
}

/// Takes an array from its file; dimensions that nothing has fixed yet are taken from it.
void readInput(CommandLine &line, Job &job, const Input &input) {
  if (!line.has(input.flag))
    return;
  std::string path = line.text(input.flag);
  auto refuse = [&](const std::string &why) {
    job.arraysTaken = false;
    line.problem(input.flag, why);
  };
  Result<Array> array = readNpy(path);
  if (!array)
    return refuse(array.error().message);
  if (!line.knowsSpec()) {
    job.arraysTaken = false;
    return;
  }
  const AttentionSpec &spec = job.spec;
  ElementType wanted = elementOf(spec.dtype);
  if (array->type != wanted)
    return refuse(fmt::format("expected an array of {} for dtype {}, got {} in {}",
                              spec.dtype == DType::F16 ? "float16" : "uint16 (raw bits)", nameOf(spec.dtype),
                              array->describe(), path));
  if (array->shape.size() != 4)
    return refuse(fmt::format("expected an array of 4 dimensions ({}), got {} in {}",
                              spec.layout == Layout::BSHD ? "batch, length, heads, head dim"
                                                          : "batch, heads, length, head dim",
                              array->describe(), path));
  size_t heads = spec.layout == Layout::BSHD ? 2 : 1;
  if (array->shape[heads] == 0)
    return refuse(fmt::format("expected an array with heads, got {} in {}", array->describe(), path));
  ProblemShape &shape = job.shape;
  for (auto [dimension, at] : {std::pair(&ProblemShape::batch, size_t(0)), std::pair(input.heads, heads),
                               std::pair(input.length, 3 - heads)})
    if (shape.*dimension == unsaid)
      shape.*dimension = array->shape[at];
  std::vector<int64_t> expected =
      shapeOf(spec.layout, shape.batch, shape.*input.heads, shape.*input.length, spec.*input.dim);
  if (array->shape != expected)
    return refuse(fmt::format("expected shape ({}, {}, {}, {}), by the spec, the flags and the arrays before "
                              "it, got {} in {}",
                              expected[0], expected[1], expected[2], expected[3], array->describe(), path));
  (job.*input.values).assign(array->as<uint16_t>(), array->as<uint16_t>() + array->elements());
}

ProblemShape readShape(CommandLine &line) {
  ProblemShape shape;
  int64_t length = line.whole("--len", unsaid, 0, maxLength);
  shape.lengthQ = line.whole("--len-q", length, 0, maxLength);
  shape.lengthKv = line.whole("--len-kv", length, 0, maxLength);
  shape.batch = line.whole("--batch", unsaid, 0, maxCount);
  shape.headsQ = line.whole("--heads-q", unsaid, 1, maxCount);
  shape.headsKv = line.whole("--heads-kv", unsaid, 1, maxCount);
  return shape;
}

/// What neither flags nor arrays said, and what they said that does not fit together.
void completeShape(CommandLine &line, Job &job) {
  if (!job.arraysTaken)
    return;
  ProblemShape &shape = job.shape;
  if (shape.lengthQ == unsaid || shape.lengthKv == unsaid)
    line.lacking("--len", "a length (--len, or --len-q and --len-kv), or arrays that have one");
  if (shape.batch == unsaid)
    shape.batch = 1;
  if (shape.headsQ == unsaid)
    shape.headsQ = std::max<int64_t>(shape.headsKv, 1);
  if (shape.headsKv == unsaid)
    shape.headsKv = shape.headsQ;
  if (shape.headsQ % shape.headsKv != 0) {
    int64_t nearest =
        std::max<int64_t>(1, (shape.headsQ + shape.headsKv / 2) / shape.headsKv) * shape.headsKv;
    line.problem("--heads-q", fmt::format("expected a multiple of the KV heads ({}), got {} (nearest: {})",
                                          shape.headsKv, shape.headsQ, nearest));
  }
}

/// NAME=NUMBER, of scalars that a kernel leaves to run time.
void readValues(CommandLine &line, Job &job) {
  for (const std::string &text : line.texts("--value")) {
    size_t equals = text.find('=');
    double value = 0;
    const char *last = text.data() + text.size();
    if (equals != std::string::npos && equals > 0)
      if (auto [end, failed] = std::from_chars(text.data() + equals + 1, last, value);
          failed == std::errc() && end == last) {
        job.values.emplace_back(text.substr(0, equals), value);
        continue;
      }
    line.problem("--value", fmt::format("expected NAME=NUMBER, such as scale=0.125, got '{}'", text));
  }
}

/// Arrays that a kernel has beside Q, K and V: those whose files the spec or --array names.
void readNamedArrays(CommandLine &line, Job &job) {
  auto read = [&](const std::string &name, const std::string &file) {
    if (Result<Array> array = readNpy(file))
      job.arrays.emplace_back(name, std::move(*array));
    else
      line.problem("--array", array.error().message);
  };
  for (const expr::CapturedArray &array : job.spec.captures.arrays)
    if (!array.file.empty())
      read(array.name, array.file);
  for (const auto &[name, file] : line.arrayFiles()) {
    bool isCaptured = std::any_of(job.spec.captures.arrays.begin(), job.spec.captures.arrays.end(),
                                  [&](const expr::CapturedArray &array) { return array.name == name; });
    if (!isCaptured)
      read(name, file);
  }
}

Job readJob(CommandLine &line) {
  Job job;
  if (line.has("--target"))
    job.target = Target(line.choice("--target", {"ptx", "cuda"}, 0));
  job.staged = readStagedSpec(line, job.target);
  job.spec = job.staged.spec;
  PlannerOptions planning;
  planning.target = job.target;
  planning.advisor = readAdvice(line, job.target);
  planning.dump = line.dump("--dump-dir");
  job.device.which = line.text("--device", "auto");
  if (!job.device.which.starts_with("cuda:")) // whose number openDevice reads
    (void)line.choice("--device", {"auto", "cuda", "sim"}, 0);
  job.device.arch = line.has("--arch") ? line.arch("--arch", "").name : "";
  job.device.sim.mode = SimOptions::Mode(line.choice("--sim-mode", {"eager", "lazy", "random"}, 0));
  job.seed = static_cast<uint64_t>(line.whole("--seed", 0, 0, int64_t(1) << 53));
  job.device.sim.seed = job.seed;
  planning.cache = line.cache();
  job.check = line.choice("--check", {"fp64", "none"}, 0) == 0;
  job.timings->config = readTime(line, job.timeline);
  if (job.timings->config.on) {
    if (job.device.which != "sim")
      line.problem("--time", fmt::format("expected it with --device sim, got {}", job.device.which));
    if (job.timings->config.onlySample && job.check)
      line.problem("--time-alone", "expected it with --check none: the other blocks do not run");
    if (job.device.sim.mode != SimOptions::Mode::Eager)
      line.problem("--time",
                   "expected it with --sim-mode eager, in which what is timed happens in its order");
    job.device.sim.timings = job.timings.get();
  }
  job.json = line.has("--json");
  job.out = line.output("--out");
  job.lseOut = line.output("--lse-out");
  if (!job.lseOut.empty())
    job.spec.lse = true; // whoever wants it written wants it computed
  job.shape = readShape(line);
  readValues(line, job);
  readNamedArrays(line, job);
  auto readArrays = [&] {
    for (const Input &input : inputs)
      readInput(line, job, input);
    completeShape(line, job);
  };
  if (!job.staged.stage)
    readArrays();
  if (!line.clean())
    return job;
  job.watch = std::make_shared<Watch>(true);
  job.device.sim.progress = job.watch->launches();
  Result<std::unique_ptr<Device>> device = openDevice(job.device);
  if (!device) {
    line.problem(device.error());
    return job;
  }
  job.maker = std::make_unique<JitMaker>(Toolchain::find());
  planning.maker = job.maker.get();
  job.planner = std::make_unique<Planner>(std::shared_ptr<Device>(std::move(*device)), std::move(planning));
  if (job.staged.stage) {
    // Once for its arguments; the planner then has it.
    v1::Result<Plan> plan =
        job.planner->plan(job.spec, {}, *job.staged.stage, job.target.value_or(Target::PTX));
    if (!plan) {
      line.problem(withKind(plan.error()));
      return job;
    }
    job.staged.spec = job.spec;
    Result<AttentionSpec> fitted = fitSpec(job.staged, plan->loaded().program());
    if (!fitted) {
      line.problem(fitted.error());
      return job;
    }
    job.spec = *fitted;
    readArrays();
  }
  return job;
}

std::string problemText(const AttentionSpec &spec, const ProblemShape &shape) {
  return fmt::format(
      "{}: forward, {}\n{:<12} batch {}, {} query heads over {} KV heads, {} queries, {} keys\n", spec.name,
      specText(spec), "problem", shape.batch, shape.headsQ, shape.headsKv, shape.lengthQ, shape.lengthKv);
}

/// What a run works on and came to.
struct RunResult {
  Plan plan;
  std::vector<HostArray> arrays;
  HostRun run;
};

/// What --array gives for `array`; null: nothing.
Result<const Array *> givenFor(const Job &job, const HostArray &array) {
  const ArrayArgument &layout = array.layout;
  auto given = std::find_if(job.arrays.begin(), job.arrays.end(),
                            [&](const auto &one) { return one.first == layout.name; });
  if (given == job.arrays.end())
    return nullptr;
  Array expected{elementOf(layout.type), {layout.shape.begin(), layout.shape.begin() + layout.rank}, {}};
  bool isBool = layout.type == DType::U8 && given->second.type == ElementType::Bool;
  if ((given->second.type != expected.type && !isBool) || given->second.shape != expected.shape)
    return badInput(fmt::format("command line: --array: error: expected {} for {}, got {}",
                                expected.describe(), layout.name, given->second.describe()));
  return &given->second;
}

/// The program's arrays, dense: inputs as they were given or random, outputs marked as unwritten.
Status makeArrays(const Job &job, RunResult &result) {
  const BoundProgram &program = result.plan.program;
  std::string others;
  for (size_t place = 0; place < program.arrays().size(); ++place) {
    const BoundArgument &argument = program.arrays()[place];
    const std::string name(argument.name);
    auto input = std::find_if(std::begin(inputs), std::end(inputs),
                              [&](const Input &one) { return name == one.flag + 2; });
    const void *bytes = nullptr;
    HostArray array;
    if (input != std::end(inputs)) {
      bytes = (job.*input->values).empty() ? nullptr : (job.*input->values).data();
    } else if (!argument.output) {
      others += (others.empty() ? "" : ", ") + name;
      Result<const Array *> given = givenFor(job, {denseArray(argument, job.spec.layout), {}});
      if (!given)
        return given.error();
      bytes = *given ? (*given)->bytes.data() : nullptr;
    }
    if (bytes) {
      array = HostArray::of(denseArray(argument, job.spec.layout));
      std::memcpy(array.bytes.data(), bytes, array.bytes.size());
    } else {
      array = reference::sampleArray(program, place, job.spec.layout, job.seed);
    }
    result.arrays.push_back(std::move(array));
  }
  for (const auto &[name, array] : job.arrays)
    if ((", " + others + ",").find(", " + name + ",") == std::string::npos)
      return badInput(fmt::format("command line: --array: error: expected an array that the kernel reads "
                                  "beside Q, K and V ({}), got '{}'",
                                  others.empty() ? "there is none" : others, name));
  return success();
}

/// A value for each scalar that the kernels leave to run time: as given, else the spec's.
Result<std::vector<ScalarArgument>> scalarsFor(const Job &job, const BoundProgram &program) {
  std::vector<ScalarArgument> scalars = scalarsOf(program, job.spec);
  for (const auto &[name, value] : job.values) {
    auto has = [&](const auto &one) { return one.name == name; };
    if (auto known = std::find_if(scalars.begin(), scalars.end(), has); known != scalars.end()) {
      known->value = value;
      continue;
    }
    if (std::none_of(program.scalars().begin(), program.scalars().end(),
                     [&](const BoundArgument &one) { return one.name == name; }))
      return badInput(fmt::format("command line: --value: error: expected a scalar that the kernel leaves to "
                                  "run time, got '{}'",
                                  name));
    scalars.push_back({name, value});
  }
  return scalars;
}

Status writeArrays(const Job &job, RunResult &result) {
  const AttentionSpec &spec = job.spec;
  const ProblemShape &shape = job.shape;
  auto write = [](const std::string &path, ElementType type, std::vector<int64_t> dims, const void *bytes) {
    Array array = Array::zeros(type, std::move(dims));
    std::memcpy(array.bytes.data(), bytes, array.bytes.size());
    return writeNpy(path, array);
  };
  if (!job.out.empty()) {
    Status wrote = write(job.out, elementOf(spec.dtype),
                         shapeOf(spec.layout, shape.batch, shape.headsQ, shape.lengthQ, spec.headDimV),
                         reference::findArray(result.arrays, "o")->bytes.data());
    if (!wrote)
      return wrote;
  }
  if (!job.lseOut.empty())
    return write(job.lseOut, ElementType::F32, {shape.batch, shape.headsQ, shape.lengthQ},
                 reference::findArray(result.arrays, "lse")->bytes.data());
  return success();
}

/// Lines "name value" with the names in a column as wide as the plan's.
std::string aligned(const std::string &text) {
  std::string result;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    size_t name = line.find(' ');
    size_t value = line.find_first_not_of(' ', name);
    bool both = name != std::string::npos && value != std::string::npos && name > 0;
    result += both ? fmt::format("{:<12} {}\n", line.substr(0, name), line.substr(value)) : line + "\n";
    begin = end + 1;
  }
  return result;
}

std::string countersJson(const LaunchCounters &counters) {
  JsonObject json;
  json.whole("warp_instructions", static_cast<int64_t>(counters.warpInstructions));
  for (const auto &[name, count] : counters.byName)
    json.whole(name, static_cast<int64_t>(count));
  return json.str();
}

std::string resultJson(const Job &job, const RunResult &result, const StageTimes &times,
                       const std::vector<std::string> &notes,
                       const std::optional<reference::Report> &verdict) {
  const LoadedProgram &loaded = result.plan.loaded();
  const ProblemShape &shape = job.shape;
  JsonObject json;
  json.raw("spec", toJson(job.spec));
  json.raw("problem", toJson(shape));
  KernelText text = loaded.built().program.text;
  text.why = result.plan.why;
  JsonObject kernel;
  addText(kernel, text);
  const LoadedKernel &main = loaded.mainKernel();
  if (main.registers >= 0)
    kernel.whole("registers", main.registers);
  if (main.blocksPerSm >= 0)
    kernel.whole("blocks_per_sm", main.blocksPerSm);
  kernel.text("image", loaded.image().why).boolean("from_cache", loaded.built().fromCache);
  kernel.whole("workspace_bytes", int64_t(result.plan.program.workspaceBytes()));
  std::vector<std::string> launches;
  for (const BoundLaunch &launch : result.plan.program.launches())
    launches.push_back(
        JsonObject()
            .text("kernel", loaded.program().kernels[launch.kernel].name)
            .raw("grid", fmt::format("[{}, {}, {}]", launch.grid.x, launch.grid.y, launch.grid.z))
            .whole("threads", launch.block.x)
            .whole("shared_bytes", launch.sharedBytes)
            .str());
  json.raw("kernel", kernel.raw("launches", jsonList(launches)).str());
  const DeviceInfo &device = loaded.device().info();
  json.raw("device", JsonObject()
                         .text("name", device.name)
                         .text("arch", device.arch.name)
                         .boolean("simulated", device.kind == DeviceKind::Sim)
                         .text("why", device.why)
                         .str());
  json.raw("times_ms", timesJson(times));
  if (result.run.counters)
    json.raw("counters", countersJson(*result.run.counters));
  std::vector<std::string> timed;
  for (const sim::TimeReport &time : job.timings->launches)
    timed.push_back(timeJson(time));
  if (!timed.empty())
    json.raw("time", jsonList(timed));
  std::vector<std::string> list;
  for (const std::string &note : notes)
    list.push_back(JsonObject().text("note", note).str());
  json.raw("notes", jsonList(list));
  if (verdict)
    json.raw("check", reference::toJson(*verdict));
  return json.text("verdict", !verdict ? "unchecked" : verdict->passed ? "passed" : "failed").str();
}

int runJob(Job &job) {
  const ProblemShape &shape = job.shape;
  if (Status good = validateDense(job.spec, shape); !good)
    return report(good.error());
  Watch &watch = *job.watch;
  if (!job.json) {
    fmt::print("{}", problemText(job.spec, shape));
    std::fflush(stdout); // in a file too: whoever waits sees what for
  }
  auto fail = [&](const Error &error) {
    watch.end(); // the error begins a line of its own
    return report(error);
  };
  watch.phase("choosing the schedule and compiling");
  v1::Result<Plan> plan = job.staged.stage ? job.planner->plan(job.spec, shape, *job.staged.stage,
                                                               job.target.value_or(Target::PTX))
                                           : job.planner->plan(job.spec, shape);
  if (!plan)
    return fail(withKind(plan.error()));
  RunResult result{std::move(*plan), {}, {}};
  Result<std::vector<ScalarArgument>> scalars = scalarsFor(job, result.plan.program);
  if (!scalars)
    return fail(scalars.error());
  sim::TimeConfig &time = job.timings->config;
  if (time.on && !time.registers) // as the assembler says, if there is one
    time.registers = uint32_t(std::max(result.plan.loaded().mainKernel().registers, 0));
  // What one launch leaves to the next has to be whole.
  time.onlySample &= result.plan.loaded().program().launches.size() == 1;
  StageTimes times = result.plan.times;
  StageClock clock;
  watch.phase("making random arrays");
  if (Status made = makeArrays(job, result); !made)
    return fail(made.error());
  watch.phase("");
  times.emplace_back("inputs", clock.lap());
  v1::Result<HostRun> run = runOnHost(result.plan.program, result.arrays, *scalars);
  watch.phase("");
  if (!run)
    return fail(withKind(run.error()));
  result.run = std::move(*run);
  times.insert(times.end(), result.run.times.begin(), result.run.times.end());
  std::vector<std::string> notes = result.plan.notes;
  if (std::string note = alignNote(job.spec, shape.lengthQ, shape.lengthKv); !note.empty())
    notes.insert(notes.begin(), note);
  notes.insert(notes.end(), result.run.notes.begin(), result.run.notes.end());
  if (Status wrote = writeArrays(job, result); !wrote)
    return fail(wrote.error());
  if (!job.timeline.empty() && !job.timings->launches.empty())
    if (Status wrote = writeOutput(job.timeline, {job.timings->launches.back().timeline}); !wrote)
      return fail(wrote.error());
  std::optional<reference::Report> verdict;
  clock.lap();
  if (job.check && job.staged.said) {
    watch.phase("verifying against fp64");
    AttentionSpec spec = job.spec;
    for (const ScalarArgument &scalar : *scalars)
      setScalar(spec, scalar.name, scalar.value);
    reference::Problem problem =
        reference::denseProblem(spec, int(shape.batch), int(shape.headsQ), int(shape.headsKv),
                                int(shape.lengthQ), int(shape.lengthKv));
    verdict = reference::verify(spec, problem, reference::inputsOf(spec, result.arrays),
                                reference::outputsOf(spec, result.arrays));
    times.emplace_back("verify", clock.lap());
  }
  watch.end();
  if (job.json) {
    fmt::print("{}\n", resultJson(job, result, times, notes, verdict));
  } else {
    fmt::print("{}stages\n{}", describe(result.plan), timesText(times));
    for (const sim::TimeReport &time : job.timings->launches)
      fmt::print("{}", timeText(time));
    for (const std::string &note : notes)
      fmt::print("note: {}\n", note);
    fmt::print("{}",
               verdict ? aligned(reference::toText(*verdict))
               : job.check
                   ? std::string("verdict      none: what the stage computes was not said (flags of the "
                                 "spec, or --spec FILE)\n")
                   : std::string("verdict      none (--check none)\n"));
  }
  return verdict && !verdict->passed ? 1 : 0;
}

} // namespace

Run addRun(CLI::App &parent) {
  auto line = CommandLine::add(parent, "run", "compile a kernel, launch it on arrays, and verify the result");
  const char *problem = "The problem";
  line->option("--len", "N", "queries and keys", problem);
  line->option("--len-q", "N", "queries alone", problem);
  line->option("--len-kv", "N", "keys alone", problem);
  line->option("--batch", "N", "batch (1)", problem);
  line->option("--heads-q", "N", "query heads (1): a multiple of the KV heads", problem);
  line->option("--heads-kv", "N", "KV heads (as many as query heads)", problem);
  line->option("--q", "Q.npy", "queries, in the spec's layout; float16, or uint16 for bf16 (random)",
               problem);
  line->option("--k", "K.npy", "keys", problem);
  line->option("--v", "V.npy", "values", problem);
  line->option("--seed", "N", "of random arrays, and of --sim-mode random (0)", problem);
  line->option("--out", "O.npy", "where to write O", problem);
  line->option("--lse-out", "LSE.npy", "where to write the log-sum-exp (batch, heads, length) float32",
               problem);
  declareStage(*line);
  line->option("--value", "NAME=NUMBER", "repeatable: a scalar that the kernel leaves to run time");
  line->option("--device", "auto|cuda|sim", "a GPU, or the simulated one (a GPU if there is one)");
  line->option("--arch", "ARCH", "architecture to compile for, and to simulate (the GPU's, else sm_80)");
  line->option("--target", "ptx|cuda", "print PTX through LLVM, or CUDA C++ through NVRTC (ptx)");
  line->option("--sim-mode", "eager|lazy|random", "when asynchronous copies land (eager)");
  timeOptions(*line);
  line->option("--check", "fp64|none", "verify against attention in fp64 (fp64)");
  line->option("--dump-dir", "DIR", "write every stage and pass there, numbered");
  line->flag("--json", "print one JSON object");
  line->cacheOptions();
  declareAdvice(*line);
  line->spec();
  return [line] {
    Job job = readJob(*line);
    if (Status good = line->problems(); !good)
      return report(good.error());
    return runJob(job);
  };
}

} // namespace attune::cli
