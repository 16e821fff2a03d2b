#include "tests/e2e/Runner.h"

#include "compiler/Compiler.h"
#include "compiler/spec/KernelParams.h"
#include "runtime/device/sim/SimDevice.h"
#include "runtime/jit/Assemble.h"
#include "runtime/reference/Compare.h"
#include "runtime/reference/Golden.h"
#include "runtime/reference/RandomArray.h"
#include "tests/e2e/KernelSource.h"

#include <bit>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>

#include <fmt/format.h>

namespace attune::e2e {
namespace {

using reference::Problem;
using reference::Strides;

const char *modeName(SimOptions::Mode mode) {
  return mode == SimOptions::Mode::Eager ? "eager" : mode == SimOptions::Mode::Lazy ? "lazy" : "random";
}

/// An array of 16-bit elements on the device, at its strides, and the dense one that the host works with.
struct DeviceArray {
  DeviceBuffer buffer;
  Strides device, host;
  int heads = 0, length = 0, dim = 0;
  size_t elementBytes = 2;

  int64_t elements(int batch) const { return device.at(batch - 1, heads - 1, length - 1) + dim; }

  /// Calls visit(offset on the device, offset on the host) for each row, in elements.
  template <typename Visit> Status eachRow(int batch, const Visit &visit) const {
    for (int b = 0; b < batch; ++b)
      for (int h = 0; h < heads; ++h)
        for (int r = 0; r < length; ++r)
          if (Status status = visit(device.at(b, h, r), host.at(b, h, r)); !status)
            return status;
    return success();
  }

  Status copyIn(Device &to, int batch, const void *values) const {
    return eachRow(batch, [&](int64_t onDevice, int64_t onHost) {
      return to.copyIn(buffer.address() + onDevice * elementBytes,
                       static_cast<const char *>(values) + onHost * elementBytes, dim * elementBytes);
    });
  }
  Status copyOut(Device &from, int batch, void *values) const {
    return eachRow(batch, [&](int64_t onDevice, int64_t onHost) {
      return from.copyOut(static_cast<char *>(values) + onHost * elementBytes,
                          buffer.address() + onDevice * elementBytes, dim * elementBytes);
    });
  }
};

/// Inputs and expected results of one shape, dense, shared by its runs.
struct Expected {
  Problem problem; ///< dense
  std::vector<uint16_t> q, k, v, o;
  std::vector<float> lse;
  std::string faultOfGolden; ///< golden against fp64

  Expected(const AttentionSpec &spec, const Shape &shape, const reference::GoldenOptions &golden) {
    AttentionSpec dense = spec;
    dense.layout = Layout::BHSD;
    problem = reference::denseProblem(dense, shape.batch, shape.headsQ, shape.headsKv, shape.lengthQ,
                                      shape.lengthKv);
    reference::ElementCounts counts = reference::elementCounts(spec, problem);
    q = reference::normalArray(counts.q, spec.dtype, shape.seed, 0, shape.deviation);
    k = reference::normalArray(counts.k, spec.dtype, shape.seed, 1, shape.deviation);
    v = reference::normalArray(counts.v, spec.dtype, shape.seed, 2);
    o.assign(counts.o, reference::unwritten16);
    lse.assign(counts.lse, std::bit_cast<float>(reference::unwritten32));
    for (int64_t key = 0; shape.nanValues && key < int64_t(shape.batch) * shape.headsKv * shape.lengthKv;
         key += 8)
      std::fill_n(v.begin() + key * spec.headDimV, spec.headDimV, uint16_t(0x7fff));
    reference::goldenAttention(spec, problem, inputs(), golden, o.data(), spec.lse ? lse.data() : nullptr);
    if (shape.nanValues) {
      // fp64 keeps NaN from rows that do not see it; a kernel's tiles do so for rows that see nothing.
      checkEmptyRows(spec);
      return;
    }
    reference::Report report = reference::verify(spec, problem, inputs(), outputs(spec));
    if (!report.passed)
      faultOfGolden = report.why;
  }
  void checkEmptyRows(const AttentionSpec &spec) {
    for (int64_t row = 0; row < int64_t(lse.size()); ++row) {
      bool empty =
          reference::keptKeys(spec, row % problem.lengthQ, problem.lengthQ, problem.lengthKv).empty();
      for (int d = 0; empty && d < spec.headDimV; ++d)
        if (o[row * spec.headDimV + d] != 0)
          faultOfGolden = fmt::format("expected 0 in row {}, which keeps no key", row);
    }
  }
  reference::Inputs inputs() const { return {q.data(), k.data(), v.data()}; }
  reference::Outputs outputs(const AttentionSpec &spec) const {
    return {o.data(), spec.lse ? lse.data() : nullptr};
  }
};

/// A compiled kernel on a simulated GPU in one mode.
struct Loaded {
  std::unique_ptr<Device> device;
  attune::Kernel kernel;
};

Result<Loaded> load(const CompiledProgram &source, SimOptions::Mode mode, const RunOptions &options) {
  SimOptions sim;
  sim.mode = mode;
  sim.seed = 1;
  sim.threads = options.simThreads;
  Result<std::unique_ptr<Device>> device = openSimDevice(source.text.arch.name, sim, "asked for by the test");
  if (!device)
    return device.error();
  std::string fileName = source.text.name + ".ptx";
  ModuleImage image{ImageKind::PTX, source.ptx, fileName, {}};
  if (!source.text.tileText.empty())
    image.sources.push_back({"", source.text.tileText});
  Result<Module> module = (*device)->loadModule(image);
  if (!module)
    return module.error();
  Result<attune::Kernel> kernel = (*device)->kernel(*module, source.text.name, source.text.sharedBytes);
  if (!kernel)
    return kernel.error();
  return Loaded{std::move(*device), *kernel};
}

reference::GoldenOptions goldenOptions(const KernelText &text) {
  return {text.schedule.blockQ, text.schedule.blockKv, text.schedule.warps,
          reference::tensorCoreRule(text.arch.computeCapability)};
}

struct RunResult {
  std::vector<uint16_t> o;
  std::vector<float> lse;
  uint64_t warpInstructions = 0;
};

/// The gaps between rows of a padded array must be as they were.
Status checkGaps(Device &device, const DeviceArray &array, int batch) {
  std::vector<uint16_t> all(array.elements(batch));
  if (Status status = device.copyOut(all.data(), array.buffer.address(), all.size() * 2); !status)
    return status;
  Status rows = array.eachRow(batch, [&](int64_t onDevice, int64_t) {
    std::fill_n(all.begin() + onDevice, array.dim, reference::unwritten16);
    return success();
  });
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i] != reference::unwritten16)
      return badInput(
          fmt::format("the kernel wrote 0x{:x} at element {} of O, which lies between its rows", all[i], i));
  return rows;
}

Result<RunResult> launch(const Loaded &loaded, const CompiledProgram &source, const AttentionSpec &spec,
                         const Shape &shape, const Expected &expected) {
  Device &device = *loaded.device;
  Problem placed = placedProblem(spec, shape);
  RunResult result;
  result.o.assign(expected.o.size(), reference::unwritten16);
  result.lse.assign(expected.lse.size(), std::bit_cast<float>(reference::unwritten32));

  ForwardParams params{};
  DeviceArray arrays[5];
  const Problem &dense = expected.problem;
  const void *contents[5] = {expected.q.data(), expected.k.data(), expected.v.data(), result.o.data(),
                             result.lse.data()};
  TensorParams *tensors[5] = {&params.q, &params.k, &params.v, &params.o, &params.lse};
  const Strides *strides[5][2] = {{&placed.q, &dense.q},
                                  {&placed.k, &dense.k},
                                  {&placed.v, &dense.v},
                                  {&placed.o, &dense.o},
                                  {&placed.lse, &dense.lse}};
  bool padded = shape.placement == Placement::Padded;
  for (int i = 0; i < (spec.lse ? 5 : 4); ++i) {
    DeviceArray &array = arrays[i];
    bool keyOrValue = i == 1 || i == 2;
    array.device = *strides[i][0];
    array.host = *strides[i][1];
    array.heads = keyOrValue ? shape.headsKv : shape.headsQ;
    array.length = keyOrValue ? shape.lengthKv : shape.lengthQ;
    array.dim = i == 4 ? 1 : i < 2 ? spec.headDimQk : spec.headDimV;
    array.elementBytes = i == 4 ? 4 : 2;
    size_t bytes = array.elements(shape.batch) * array.elementBytes;
    Result<DeviceBuffer> buffer = DeviceBuffer::make(device, bytes);
    if (!buffer)
      return buffer.error();
    array.buffer = std::move(*buffer);
    if (padded && i == 3) {
      std::vector<uint16_t> gaps(array.elements(shape.batch), reference::unwritten16);
      if (Status status = device.copyIn(array.buffer.address(), gaps.data(), bytes); !status)
        return status.error();
    }
    if (Status status = array.copyIn(device, shape.batch, contents[i]); !status)
      return status.error();
    *tensors[i] = {array.buffer.address(), array.device.batch, array.device.head, array.device.row};
  }
  params.lengthQ = shape.lengthQ;
  params.lengthKv = shape.lengthKv;
  params.headsPerKvHead = shape.headsQ / shape.headsKv;

  uint32_t blocks = (shape.lengthQ + source.text.schedule.blockQ - 1) / source.text.schedule.blockQ;
  Launch config{loaded.kernel,
                {blocks, uint32_t(shape.headsQ), uint32_t(shape.batch)},
                {uint32_t(source.text.threads), 1, 1},
                uint32_t(source.text.sharedBytes),
                std::as_bytes(std::span(&params, 1))};
  if (Status status = device.launch(config); !status)
    return status.error();
  if (Status status = device.synchronize(); !status)
    return status.error();
  if (std::optional<LaunchCounters> counters = device.lastCounters())
    result.warpInstructions = counters->warpInstructions;
  if (Status status = arrays[3].copyOut(device, shape.batch, result.o.data()); !status)
    return status.error();
  if (padded)
    if (Status status = checkGaps(device, arrays[3], shape.batch); !status)
      return status.error();
  if (spec.lse)
    if (Status status = arrays[4].copyOut(device, shape.batch, result.lse.data()); !status)
      return status.error();
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
    const Schedule &schedule = source.text.schedule;
    std::string key = fmt::format("{}x{} {}", schedule.blockQ, schedule.blockKv, schedule.warps);
    std::unique_ptr<Expected> &expected = bySchedule[key];
    if (!expected) {
      expected = std::make_unique<Expected>(spec, shape, goldenOptions(source.text));
      if (!expected->faultOfGolden.empty())
        fail(name, "the golden model itself: " + expected->faultOfGolden);
    }
    Result<RunResult> result = launch(*loaded, source, spec, shape, *expected);
    ++outcome.runs;
    if (!result)
      return fail(name, result.error().message);
    outcome.warpInstructions += result->warpInstructions;
    reference::Outputs got{result->o.data(), spec.lse ? result->lse.data() : nullptr};
    std::string difference =
        reference::firstDifference(spec, expected->problem, got, expected->outputs(spec));
    if (!difference.empty()) {
      // The golden model passed: say whether this one is merely different, or wrong.
      reference::Report report = reference::verify(spec, expected->problem, expected->inputs(), got);
      fail(name, fmt::format("differs from the golden model ({}), schedule {}: {}",
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
    std::map<Mode, Result<Loaded>> loaded;
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
        auto found = kernel.loaded.find(mode);
        if (found == kernel.loaded.end())
          found = kernel.loaded.emplace(mode, load(kernel.source, mode, options)).first;
        run.run(kernel.source, mode, found->second, note);
      }
    }
    number += shape.lengthQ % 2; // the targets change modes
  }
  return outcome;
}

std::string runOnce(const CompiledProgram &kernel, const AttentionSpec &spec, const Shape &shape,
                    SimOptions::Mode mode) {
  Result<Loaded> loaded = load(kernel, mode, RunOptions());
  if (!loaded)
    return loaded.error().message;
  Expected expected(spec, shape, goldenOptions(kernel.text));
  if (!expected.faultOfGolden.empty())
    return expected.faultOfGolden;
  Result<RunResult> result = launch(*loaded, kernel, spec, shape, expected);
  if (!result)
    return result.error().message;
  reference::Outputs got{result->o.data(), spec.lse ? result->lse.data() : nullptr};
  return reference::firstDifference(spec, expected.problem, got, expected.outputs(spec));
}

} // namespace attune::e2e
