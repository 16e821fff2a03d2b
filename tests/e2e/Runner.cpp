//===- Runner.cpp - runs cases and judges them ----------------------------===//
#include "tests/e2e/Runner.h"

#include "compiler/Compiler.h"
#include "runtime/device/sim/SimDevice.h"
#include "runtime/launch/DeviceArrays.h"
#include "runtime/plan/ProblemShape.h"
#include "runtime/reference/Compare.h"
#include "runtime/reference/RandomArray.h"
#include "tests/e2e/KernelSource.h"
#include "tests/oracle/Oracle.h"

#include <bit>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include <fmt/format.h>

namespace attune::e2e {
namespace {

using reference::Problem;
using reference::Strides;

const char *modeName(SimOptions::Mode mode) {
  return mode == SimOptions::Mode::Eager ? "eager" : mode == SimOptions::Mode::Lazy ? "lazy" : "random";
}

/// An array on the device as the shape places it, and the dense one that the host works with.
struct PlacedArray {
  ArrayArgument device;
  ArrayArgument host;

  size_t elementBytes() const { return size_t(infoOf(device.type).bytes()); }
  /// An array of one axis is one row.
  int64_t dim() const { return device.rank == 4 ? device.shape[3] : device.rank == 1 ? device.shape[0] : 1; }

  /// Calls visit(offset on the device, offset on the host) for each row, in elements.
  template <typename Visit> Status eachRow(const Visit &visit) const {
    if (device.rank == 1)
      return visit(int64_t(0), int64_t(0));
    for (int64_t b = 0; b < device.shape[0]; ++b)
      for (int64_t h = 0; h < device.shape[1]; ++h)
        for (int64_t r = 0; r < device.shape[2]; ++r) {
          auto at = [&](const ArrayArgument &array) {
            return b * array.strides[0] + h * array.strides[1] + r * array.strides[2];
          };
          if (Status status = visit(at(device), at(host)); !status)
            return status;
        }
    return success();
  }

  Status copyIn(Device &to, const void *values) const {
    return eachRow([&](int64_t onDevice, int64_t onHost) {
      return to.copyIn(device.address + uint64_t(onDevice) * elementBytes(),
                       static_cast<const char *>(values) + size_t(onHost) * elementBytes(),
                       size_t(dim()) * elementBytes());
    });
  }
  Status copyOut(Device &from, void *values) const {
    return eachRow([&](int64_t onDevice, int64_t onHost) {
      return from.copyOut(static_cast<char *>(values) + size_t(onHost) * elementBytes(),
                          device.address + uint64_t(onDevice) * elementBytes(),
                          size_t(dim()) * elementBytes());
    });
  }
};

} // namespace

/// Inputs and expected results of one shape, dense, shared by its runs.
struct Expected {
  Problem problem; ///< dense
  std::vector<uint16_t> q, k, v, o;
  std::vector<float> lse, sink;
  std::vector<int32_t> lengthsQ, lengthsKv;
  std::string fault; ///< the oracle's error, or where its result is too far from fp64

  Expected(const AttentionSpec &spec, const Shape &shape, const CompiledProgram &source) {
    AttentionSpec dense = spec;
    dense.layout = Layout::BHSD;
    problem = reference::denseProblem(dense, shape.batch, shape.headsQ, shape.headsKv, shape.lengthQ,
                                      shape.lengthKv);
    reference::ElementCounts counts = reference::elementCounts(spec, problem);
    q = reference::normalArray(counts.q, spec.dtype, shape.seed, 0, shape.deviation);
    k = reference::normalArray(counts.k, spec.dtype, shape.seed, 1, shape.deviation);
    v = reference::normalArray(counts.v, spec.dtype, shape.seed, 2, shape.deviationV);
    sink.resize(size_t(shape.headsQ));
    reference::fillNormal(sink.data(), shape.headsQ, shape.seed, 3, shape.deviationSink);
    if (shape.deviationSink == 0)
      std::fill(sink.begin(), sink.end(), -std::numeric_limits<float>::infinity());
    lengthsQ = entryLengths(shape, shape.lengthQ);
    lengthsKv = entryLengths(shape, shape.lengthKv);
    o.assign(counts.o, reference::unwritten16);
    lse.assign(counts.lse, std::bit_cast<float>(reference::unwritten32));
    bool bf16 = spec.dtype == DType::BF16;
    uint16_t infinite = bf16 ? 0x7f80 : 0x7c00;
    int64_t keys = int64_t(shape.batch) * shape.headsKv * shape.lengthKv;
    for (int64_t key = 0; shape.nanValues && key < keys; key += 8) {
      std::fill_n(v.begin() + key * spec.headDimV, spec.headDimV, uint16_t(0x7fff));
      if (key + 1 < keys)
        std::fill_n(v.begin() + (key + 1) * spec.headDimV, spec.headDimV, infinite);
    }
    if (shape.infiniteKeys)
      makeKeysInfinite(spec, shape, uint16_t(0x8000 | infinite));
    if (Status status = compute(spec, source); !status)
      fault = status.error().message;
    else if (reference::Report report = reference::verify(spec, problem, inputs(), outputs(spec));
             !report.passed)
      fault = report.why;
  }

  /// O and LSE as the tile program of `source`'s schedule has them, by the oracle.
  Status compute(const AttentionSpec &spec, const CompiledProgram &source) {
    AttentionSpec decided = spec;
    decided.schedule = source.mainKernel().schedule;
    CompileOptions options{source.text.arch, Target::PTX, Stage::Tile, {}};
    Result<KernelText> text = compile(decided, options);
    if (!text)
      return text.error();
    Result<oracle::TileProgram> program = oracle::TileProgram::parse(text->text, text->name + ".tile.mlir");
    if (!program)
      return program.error();
    oracle::LaunchInputs inputs;
    inputs.sizes =
        sizesOf({problem.batch, problem.headsQ, problem.headsKv, problem.lengthQ, problem.lengthKv});
    inputs.sizes[Size::SmCount] = 2; // few, so that blocks of a persistent grid have several tiles each
    auto array = [&](const char *name, void *data, const Strides &strides, bool rows) {
      inputs.arrays[name] = {data, {strides.batch, strides.head}};
      if (rows)
        inputs.arrays[name].strides.push_back(strides.row);
    };
    array("q", q.data(), problem.q, true);
    array("k", k.data(), problem.k, true);
    array("v", v.data(), problem.v, true);
    array("o", o.data(), problem.o, true);
    array("lse", lse.data(), problem.lse, false);
    inputs.arrays["sink"] = {sink.data(), {}};
    inputs.arrays["lengths_q"] = {lengthsQ.data(), {}};
    inputs.arrays["lengths_kv"] = {lengthsKv.data(), {}};
    for (const Argument &argument : program->arguments())
      if (std::optional<double> value = scalarOf(spec, argument.name))
        inputs.scalars[argument.name] = *value;
    return program->run(inputs);
  }
  void makeKeysInfinite(const AttentionSpec &spec, const Shape &shape, uint16_t minusInfinity) {
    for (size_t i = 0; i < q.size(); ++i)
      q[i] = uint16_t(int64_t(i) / spec.headDimQk % shape.lengthQ == 7 ? q[i] | 0x8000 : q[i] & 0x7fff);
    for (size_t i = 0; i < k.size(); ++i)
      if (int64_t(i) / spec.headDimQk % shape.lengthKv >= shape.lengthKv / 2)
        k[i] = minusInfinity;
  }
  reference::Inputs inputs() const {
    return {q.data(), k.data(), v.data(), sink.data(), {}, lengthsQ.data(), lengthsKv.data()};
  }
  reference::Outputs outputs(const AttentionSpec &spec) const {
    return {o.data(), spec.lse ? lse.data() : nullptr};
  }
};

namespace {

using Loaded = std::shared_ptr<const LoadedProgram>;

/// A compiled program on a simulated GPU in one mode.
Result<Loaded> load(const CompiledProgram &source, SimOptions::Mode mode, const Shape &shape,
                    const RunOptions &options) {
  SimOptions sim;
  sim.multiprocessors = shape.multiprocessors;
  sim.mode = mode;
  sim.seed = 1;
  sim.threads = options.simThreads;
  Result<std::unique_ptr<Device>> device = openSimDevice(source.text.arch.name, sim, "asked for by the test");
  if (!device)
    return device.error();
  BuiltProgram built;
  built.program = source;
  v1::Result<Loaded> loaded = LoadedProgram::load(std::move(*device), std::move(built));
  if (!loaded)
    return withKind(loaded.error());
  return *loaded;
}

struct RunResult {
  std::vector<uint16_t> o;
  std::vector<float> lse;
  uint64_t warpInstructions = 0;
};

/// The gaps between rows of a padded array must be as they were.
Status checkGaps(Device &device, const PlacedArray &array) {
  std::vector<uint16_t> all(bytesOf(array.device) / 2);
  if (Status status = device.copyOut(all.data(), array.device.address, all.size() * 2); !status)
    return status;
  Status rows = array.eachRow([&](int64_t onDevice, int64_t) {
    std::fill_n(all.begin() + onDevice, array.dim(), reference::unwritten16);
    return success();
  });
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i] != reference::unwritten16)
      return badInput(
          fmt::format("the kernel wrote 0x{:x} at element {} of O, which lies between its rows", all[i], i));
  return rows;
}

Result<RunResult> launch(const Loaded &loaded, const AttentionSpec &spec, const Shape &shape,
                         const Expected &expected) {
  Device &device = loaded->device();
  v1::Result<BoundProgram> program = BoundProgram::bind(
      loaded, sizesOf({shape.batch, shape.headsQ, shape.headsKv, shape.lengthQ, shape.lengthKv}));
  if (!program)
    return withKind(program.error());
  RunResult result;
  result.o.assign(expected.o.size(), reference::unwritten16);
  result.lse.assign(expected.lse.size(), std::bit_cast<float>(reference::unwritten32));

  Problem placed = placedProblem(spec, shape);
  const Problem &dense = expected.problem;
  struct Source {
    const char *name;
    const Strides *device, *host;
    void *values;
  };
  auto input = [](const auto &values) { return (void *)values.data(); };
  const Source sources[] = {{"q", &placed.q, &dense.q, input(expected.q)},
                            {"k", &placed.k, &dense.k, input(expected.k)},
                            {"v", &placed.v, &dense.v, input(expected.v)},
                            {"sink", nullptr, nullptr, input(expected.sink)},
                            {"lengths_q", nullptr, nullptr, input(expected.lengthsQ)},
                            {"lengths_kv", nullptr, nullptr, input(expected.lengthsKv)},
                            {"o", &placed.o, &dense.o, result.o.data()},
                            {"lse", &placed.lse, &dense.lse, result.lse.data()}};
  std::vector<PlacedArray> arrays;
  std::vector<ArrayArgument> layouts;
  std::vector<const Source *> of;
  for (const BoundArgument &argument : program->arrays()) {
    auto source = std::find_if(std::begin(sources), std::end(sources),
                               [&](const Source &one) { return argument.name == one.name; });
    if (source == std::end(sources))
      return badInput(fmt::format("expected no argument '{}'", argument.argument->name));
    PlacedArray array{denseArray(argument, Layout::BHSD), denseArray(argument, Layout::BHSD)};
    for (auto [layout, strides] : {std::pair(&array.device, source->device), {&array.host, source->host}})
      if (strides)
        std::tie(layout->strides[0], layout->strides[1], layout->strides[2]) =
            std::tuple(strides->batch, strides->head, strides->row);
    layouts.push_back(array.device);
    arrays.push_back(array);
    of.push_back(source);
  }
  Result<DeviceArrays> onDevice = DeviceArrays::allocate(*program, layouts);
  if (!onDevice)
    return onDevice.error();
  bool padded = shape.placement == Placement::Padded;
  for (size_t i = 0; i < arrays.size(); ++i) {
    arrays[i].device = onDevice->arrays()[i];
    if (padded && std::string_view(of[i]->name) == "o") {
      std::vector<uint16_t> gaps(bytesOf(layouts[i]) / 2, reference::unwritten16);
      if (Status status = device.copyIn(arrays[i].device.address, gaps.data(), gaps.size() * 2); !status)
        return status.error();
    }
    if (Status status = arrays[i].copyIn(device, of[i]->values); !status)
      return status.error();
  }
  if (v1::Status status = program->launch({}, onDevice->launchArguments(scalarsOf(*program, spec))); !status)
    return withKind(status.error());
  if (Status status = device.synchronize(); !status)
    return status.error();
  if (std::optional<LaunchCounters> counters = device.takeCounters())
    result.warpInstructions = counters->warpInstructions;
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (!program->arrays()[i].output || (!spec.lse && std::string_view(of[i]->name) == "lse"))
      continue;
    if (Status status = arrays[i].copyOut(device, of[i]->values); !status)
      return status.error();
    if (padded && std::string_view(of[i]->name) == "o")
      if (Status status = checkGaps(device, arrays[i]); !status)
        return status.error();
  }
  return result;
}

/// Judges the runs of one shape: targets and modes.
class ShapeRun {
public:
  ShapeRun(const Case &one, const Shape &shape, Outcome &outcome)
      : spec(one.kernel.spec), shape(shape), outcome(outcome),
        text(kernelText(one.kernel) + " " + shapeText(shape)) {}

  void run(const CompiledProgram &source, SimOptions::Mode mode, const Result<Loaded> &loaded,
           const std::function<void(const std::string &)> &note) {
    std::string name = fmt::format("{} target={} mode={}", text, nameOf(source.text.target), modeName(mode));
    note(name);
    if (!loaded)
      return fail(name, loaded.error().message);
    std::string key = source.mainKernel().schedule.words();
    std::unique_ptr<Expected> &expected = bySchedule[key];
    if (!expected) {
      expected = std::make_unique<Expected>(spec, shape, source);
      if (!expected->fault.empty())
        fail(name, "the oracle itself: " + expected->fault);
    }
    Result<RunResult> result = launch(*loaded, spec, shape, *expected);
    ++outcome.runs;
    if (!result)
      return fail(name, result.error().message);
    outcome.warpInstructions += result->warpInstructions;
    reference::Outputs got{result->o.data(), spec.lse ? result->lse.data() : nullptr};
    std::string difference =
        reference::firstDifference(spec, expected->problem, got, expected->outputs(spec));
    if (!difference.empty()) {
      // The oracle passed: say whether this one is merely different, or wrong.
      reference::Report report = reference::verify(spec, expected->problem, expected->inputs(), got);
      fail(name, fmt::format("differs from the oracle ({}), schedule {}: {}",
                             report.passed ? "yet within the error allowed" : report.why, key, difference));
    }
    if (!first)
      first = std::make_unique<RunResult>(std::move(*result)), firstName = name;
    else if (first->o != result->o ||
             (spec.lse && std::memcmp(first->lse.data(), result->lse.data(), result->lse.size() * 4)))
      fail(name, fmt::format("differs from the run of {}", firstName));
  }

  void fail(const std::string &name, const std::string &message) {
    outcome.failures.push_back({name, message});
  }

private:
  const AttentionSpec &spec;
  const Shape &shape;
  Outcome &outcome;
  std::string text;
  std::map<std::string, std::unique_ptr<Expected>> bySchedule;
  std::unique_ptr<RunResult> first;
  std::string firstName;
};

} // namespace

Outcome runCase(const Case &one, const RunOptions &options,
                const std::function<void(const std::string &)> &note) {
  Outcome outcome;
  using Mode = SimOptions::Mode;
  struct Built {
    CompiledProgram source;
    std::map<std::pair<Mode, int>, Result<Loaded>> loaded; ///< by mode and multiprocessors
  };
  std::vector<Built> built;
  for (Target target : {Target::PTX, Target::CUDA}) {
    if (!options.filter.target.empty() && options.filter.target != nameOf(target))
      continue;
    std::string name =
        fmt::format("{} {} target={}", kernelText(one.kernel), shapeText(one.shapes.front()), nameOf(target));
    note(name);
    Result<CompiledProgram> source =
        makeKernel(one.kernel.spec, one.kernel.arch, target, options.compileOnly);
    if (!source && source.error().kind == ErrorKind::Missing) {
      outcome.skipped += int(one.shapes.size());
      outcome.skipReason = source.error().message;
    } else if (!source) {
      outcome.failures.push_back({name, source.error().message});
    } else {
      if (!options.dumpDir.empty()) {
        std::string stem = options.dumpDir + "/" + source->text.name + "." + nameOf(target);
        if (target == Target::CUDA)
          std::ofstream(stem + ".cu") << source->text.text;
        std::ofstream(stem + ".ptx") << source->ptx;
      }
      built.push_back({std::move(*source), {}});
    }
  }
  if (options.compileOnly) {
    outcome.runs = int(built.size());
    return outcome;
  }
  int number = 0;
  for (const Shape &shape : one.shapes) {
    ShapeRun run(one, shape, outcome);
    for (Built &kernel : built) {
      ++number;
      for (Mode mode : {Mode::Eager, Mode::Lazy, Mode::Random}) {
        bool chosen = options.allModes || !options.filter.mode.empty()
                          ? options.filter.mode.empty() || options.filter.mode == modeName(mode)
                          : (number % 2 ? Mode::Lazy : Mode::Eager) == mode;
        if (!chosen)
          continue;
        auto key = std::pair(mode, shape.multiprocessors);
        auto found = kernel.loaded.find(key);
        if (found == kernel.loaded.end())
          found = kernel.loaded.emplace(key, load(kernel.source, mode, shape, options)).first;
        run.run(kernel.source, mode, found->second, note);
      }
    }
    number += shape.lengthQ % 2; // the targets change modes
  }
  return outcome;
}

Judge::Judge(const CompiledProgram &kernel, const AttentionSpec &spec) : kernel(kernel), spec(spec) {}
Judge::~Judge() = default;

std::string Judge::run(const CompiledProgram &damaged, const Shape &shape, SimOptions::Mode mode) {
  Result<Loaded> loaded = load(damaged, mode, shape, RunOptions());
  if (!loaded)
    return loaded.error().message;
  std::unique_ptr<Expected> &expected = byShape[shapeText(shape)];
  if (!expected)
    expected = std::make_unique<Expected>(spec, shape, kernel);
  if (!expected->fault.empty())
    return expected->fault;
  Result<RunResult> result = launch(*loaded, spec, shape, *expected);
  if (!result)
    return result.error().message;
  reference::Outputs got{result->o.data(), spec.lse ? result->lse.data() : nullptr};
  return reference::firstDifference(spec, expected->problem, got, expected->outputs(spec));
}

} // namespace attune::e2e
