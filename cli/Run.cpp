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
#include "runtime/io/Npy.h"
#include "runtime/launch/Runner.h"
#include "runtime/reference/Compare.h"
#include "runtime/reference/RandomArray.h"

#include <cstdio>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

namespace attune::cli {

namespace {

/// The run-time shape; 0: not said yet.
struct Shape {
  int64_t batch = 0, headsQ = 0, headsKv = 0, lengthQ = 0, lengthKv = 0;
};

struct Job {
  RunRequest request;
  Shape shape;
  DeviceOptions device;
  Cache cache;
  uint64_t seed = 0;
  std::vector<uint16_t> q, k, v;
  std::string out, lseOut;
  bool check = true, json = false;
  bool arraysRead = true; ///< else what their shapes would have said is unknown
};

/// One of the arrays that can come from a file: what its dimensions are in the shape.
struct Input {
  const char *flag;
  int64_t Shape::*heads;
  int64_t Shape::*length;
  int AttentionSpec::*dim;
  std::vector<uint16_t> Job::*values;
};
constexpr Input inputs[] = {
    {"--q", &Shape::headsQ, &Shape::lengthQ, &AttentionSpec::headDimQk, &Job::q},
    {"--k", &Shape::headsKv, &Shape::lengthKv, &AttentionSpec::headDimQk, &Job::k},
    {"--v", &Shape::headsKv, &Shape::lengthKv, &AttentionSpec::headDimV, &Job::v},
};

ElementType elementOf(DType dtype) { return dtype == DType::F16 ? ElementType::F16 : ElementType::U16; }

std::vector<int64_t> shapeOf(Layout layout, int64_t batch, int64_t heads, int64_t length, int64_t dim) {
  return layout == Layout::BSHD ? std::vector<int64_t>{batch, length, heads, dim}
                                : std::vector<int64_t>{batch, heads, length, dim};
}

/// Takes an array from its file; dimensions that nothing has fixed yet are taken from it.
void readInput(CommandLine &line, Job &job, const Input &input) {
  if (!line.has(input.flag))
    return;
  std::string path = line.text(input.flag);
  Result<Array> array = readNpy(path);
  if (!array) {
    job.arraysRead = false;
    return line.problem(input.flag, array.error().message);
  }
  const AttentionSpec &spec = job.request.spec;
  ElementType wanted = elementOf(spec.dtype);
  if (array->type != wanted)
    return line.problem(input.flag, fmt::format("expected an array of {} for dtype {}, got {} in {}",
                                                spec.dtype == DType::F16 ? "float16" : "uint16 (raw bits)",
                                                nameOf(spec.dtype), array->describe(), path));
  if (array->shape.size() != 4)
    return line.problem(input.flag,
                        fmt::format("expected an array of 4 dimensions ({}), got {} in {}",
                                    spec.layout == Layout::BSHD ? "batch, length, heads, head dim"
                                                                : "batch, heads, length, head dim",
                                    array->describe(), path));
  size_t heads = spec.layout == Layout::BSHD ? 2 : 1;
  Shape &shape = job.shape;
  for (auto [dimension, at] : {std::pair(&Shape::batch, size_t(0)), std::pair(input.heads, heads),
                               std::pair(input.length, 3 - heads)})
    if (shape.*dimension == 0)
      shape.*dimension = array->shape[at];
  std::vector<int64_t> expected =
      shapeOf(spec.layout, shape.batch, shape.*input.heads, shape.*input.length, spec.*input.dim);
  if (array->shape != expected)
    return line.problem(
        input.flag,
        fmt::format("expected shape ({}, {}, {}, {}), by the spec, the flags and the arrays before "
                    "it, got {} in {}",
                    expected[0], expected[1], expected[2], expected[3], array->describe(), path));
  (job.*input.values).assign(array->as<uint16_t>(), array->as<uint16_t>() + array->elements());
}

Shape readShape(CommandLine &line) {
  Shape shape;
  int64_t length = line.whole("--len", 0, 1, maxLength);
  shape.lengthQ = line.whole("--len-q", length, 1, maxLength);
  shape.lengthKv = line.whole("--len-kv", length, 1, maxLength);
  shape.batch = line.whole("--batch", 0, 1, maxGrid);
  shape.headsQ = line.whole("--heads-q", 0, 1, maxGrid);
  shape.headsKv = line.whole("--heads-kv", 0, 1, maxGrid);
  return shape;
}

/// What neither flags nor arrays said, and what they said that does not fit together.
void completeShape(CommandLine &line, Job &job) {
  if (!job.arraysRead)
    return;
  Shape &shape = job.shape;
  if (shape.lengthQ == 0 || shape.lengthKv == 0)
    line.problem("--len",
                 "expected a length (--len, or --len-q and --len-kv), or arrays that have one, got none");
  shape.batch = std::max<int64_t>(shape.batch, 1);
  if (shape.headsQ == 0)
    shape.headsQ = std::max<int64_t>(shape.headsKv, 1);
  if (shape.headsKv == 0)
    shape.headsKv = shape.headsQ;
  if (shape.headsQ % shape.headsKv != 0) {
    int64_t nearest =
        std::max<int64_t>(1, (shape.headsQ + shape.headsKv / 2) / shape.headsKv) * shape.headsKv;
    line.problem("--heads-q", fmt::format("expected a multiple of the KV heads ({}), got {} (nearest: {})",
                                          shape.headsKv, shape.headsQ, nearest));
  }
}

Job readJob(CommandLine &line) {
  Job job;
  job.request.spec = line.readSpec();
  if (line.has("--target"))
    job.request.target = Target(line.choice("--target", {"ptx", "cuda"}, 0));
  job.request.advisor = readAdvice(line, job.request.target);
  job.request.dump = line.dump("--dump-dir");
  job.device.which = line.text("--device", "auto");
  if (!job.device.which.starts_with("cuda:")) // whose number openDevice reads
    (void)line.choice("--device", {"auto", "cuda", "sim"}, 0);
  job.device.arch = line.has("--arch") ? line.arch("--arch", "").name : "";
  job.device.sim.mode = SimOptions::Mode(line.choice("--sim-mode", {"eager", "lazy", "random"}, 0));
  job.seed = static_cast<uint64_t>(line.whole("--seed", 0, 0, int64_t(1) << 53));
  job.device.sim.seed = job.seed;
  job.cache = line.cache();
  job.check = line.choice("--check", {"fp64", "none"}, 0) == 0;
  job.json = line.has("--json");
  job.out = line.output("--out");
  job.lseOut = line.output("--lse-out");
  if (!job.lseOut.empty())
    job.request.spec.lse = true; // whoever wants it written wants it computed
  job.shape = readShape(line);
  for (const Input &input : inputs)
    readInput(line, job, input);
  completeShape(line, job);
  return job;
}

std::string problemText(const AttentionSpec &spec, const Shape &shape) {
  return fmt::format(
      "{}: forward, {}\n{:<12} batch {}, {} query heads over {} KV heads, {} queries, {} keys\n", spec.name,
      specText(spec), "problem", shape.batch, shape.headsQ, shape.headsKv, shape.lengthQ, shape.lengthKv);
}

void fillInputs(Job &job) {
  const reference::Problem &problem = job.request.problem;
  reference::ElementCounts counts = reference::elementCounts(job.request.spec, problem);
  const int64_t sizes[] = {counts.q, counts.k, counts.v};
  for (size_t i = 0; i < 3; ++i) {
    std::vector<uint16_t> &values = job.*inputs[i].values;
    if (values.empty())
      values = reference::normalArray(sizes[i], job.request.spec.dtype, job.seed, i);
  }
  job.request.q = job.q;
  job.request.k = job.k;
  job.request.v = job.v;
}

Status writeArrays(const Job &job, const RunResult &result) {
  const AttentionSpec &spec = job.request.spec;
  const Shape &shape = job.shape;
  auto write = [](const std::string &path, ElementType type, std::vector<int64_t> dims, const void *bytes) {
    Array array = Array::zeros(type, std::move(dims));
    std::memcpy(array.bytes.data(), bytes, array.bytes.size());
    return writeNpy(path, array);
  };
  if (!job.out.empty()) {
    Status wrote =
        write(job.out, elementOf(spec.dtype),
              shapeOf(spec.layout, shape.batch, shape.headsQ, shape.lengthQ, spec.headDimV), result.o.data());
    if (!wrote)
      return wrote;
  }
  if (!job.lseOut.empty())
    return write(job.lseOut, ElementType::F32, {shape.batch, shape.headsQ, shape.lengthQ}, result.lse.data());
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

std::string resultJson(const Job &job, const RunResult &result,
                       const std::optional<reference::Report> &verdict) {
  const Plan &plan = result.plan;
  const Shape &shape = job.shape;
  JsonObject json;
  json.raw("spec", toJson(job.request.spec));
  json.raw("problem", JsonObject()
                          .whole("batch", shape.batch)
                          .whole("heads_q", shape.headsQ)
                          .whole("heads_kv", shape.headsKv)
                          .whole("length_q", shape.lengthQ)
                          .whole("length_kv", shape.lengthKv)
                          .str());
  JsonObject kernel;
  addText(kernel, plan.built.kernel.text);
  if (plan.registers >= 0)
    kernel.whole("registers", plan.registers);
  if (plan.blocksPerSm >= 0)
    kernel.whole("blocks_per_sm", plan.blocksPerSm);
  json.raw("kernel", kernel.text("image", plan.imageWhy).boolean("from_cache", plan.built.fromCache).str());
  json.raw("device", JsonObject()
                         .text("name", plan.device.name)
                         .text("arch", plan.device.arch.name)
                         .boolean("simulated", plan.device.kind == DeviceKind::Sim)
                         .text("why", plan.device.why)
                         .str());
  json.raw("times_ms", timesJson(result.times));
  if (result.counters)
    json.raw("counters", countersJson(*result.counters));
  std::vector<std::string> notes;
  for (const std::string &note : result.notes)
    notes.push_back(JsonObject().text("note", note).str());
  json.raw("notes", jsonList(notes));
  if (verdict)
    json.raw("check", reference::toJson(*verdict));
  return json.text("verdict", !verdict ? "unchecked" : verdict->passed ? "passed" : "failed").str();
}

int runJob(Job &job) {
  const Shape &shape = job.shape;
  RunRequest &request = job.request;
  request.problem = reference::denseProblem(request.spec, int(shape.batch), int(shape.headsQ),
                                            int(shape.headsKv), int(shape.lengthQ), int(shape.lengthKv));
  if (Status good = validateProblem(request.spec, request.problem); !good)
    return report(good.error());
  Watch watch(true);
  job.device.sim.progress = watch.launches();
  Result<std::unique_ptr<Device>> device = openDevice(job.device);
  if (!device)
    return report(device.error());
  if (!job.json) {
    fmt::print("{}", problemText(request.spec, shape));
    std::fflush(stdout); // in a file too: whoever waits sees what for
  }
  StageClock clock;
  fillInputs(job);
  double inputMs = clock.lap();
  Toolchain tools = Toolchain::find();
  Result<RunResult> result = runAttention(**device, tools, job.cache, request);
  watch.phase("");
  if (!result) {
    watch.end(); // the error begins a line of its own
    return report(result.error());
  }
  result->times.insert(result->times.begin(), {"inputs", inputMs});
  if (std::string note = alignNote(request.spec, shape.lengthQ, shape.lengthKv); !note.empty())
    result->notes.insert(result->notes.begin(), note);
  if (Status wrote = writeArrays(job, *result); !wrote)
    return report(wrote.error());
  std::optional<reference::Report> verdict;
  clock.lap();
  if (job.check) {
    watch.phase("verifying against fp64");
    verdict = reference::verify(request.spec, request.problem, {job.q.data(), job.k.data(), job.v.data()},
                                {result->o.data(), request.spec.lse ? result->lse.data() : nullptr});
    result->times.emplace_back("verify", clock.lap());
  }
  watch.end();
  if (job.json) {
    fmt::print("{}\n", resultJson(job, *result, verdict));
  } else {
    fmt::print("{}stages\n{}", describe(result->plan), timesText(result->times));
    for (const std::string &note : result->notes)
      fmt::print("note: {}\n", note);
    fmt::print("{}", verdict ? aligned(reference::toText(*verdict))
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
  line->option("--device", "auto|cuda|sim", "a GPU, or the simulated one (a GPU if there is one)");
  line->option("--arch", "ARCH", "architecture to compile for, and to simulate (the GPU's, else sm_80)");
  line->option("--target", "ptx|cuda", "print PTX through LLVM, or CUDA C++ through NVRTC (ptx)");
  line->option("--sim-mode", "eager|lazy|random", "when asynchronous copies land (eager)");
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
