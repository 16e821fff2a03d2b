//===- ExpressionTest.cpp - masks and scores as expressions ---------------===//
//
// Specs with expressions on the simulated GPU: both targets, both families, every mode, against fp64, and bit
// for bit with each other. The examples' expressions, and others that a grammar makes.
//
//===----------------------------------------------------------------------===//
#include "compiler/spec/SpecReader.h"
#include "runtime/device/sim/SimDevice.h"
#include "runtime/launch/DeviceArrays.h"
#include "runtime/plan/ProblemShape.h"
#include "runtime/reference/Compare.h"
#include "runtime/reference/ExpressionRows.h"
#include "runtime/reference/HostProblem.h"
#include "runtime/reference/RandomArray.h"
#include "tests/e2e/KernelSource.h"
#include "tests/unit/reference/RandomExpression.h"

#include <algorithm>

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace attune;
using namespace attune::e2e;
using reference::RandomBits;

namespace {

/// A kernel's place: which family makes it, and for which machine.
struct Place {
  const char *arch;
  Schedule schedule;
};
const Place portable{"sm_80", {"portable", {{"block_q", 64}, {"block_kv", 32}, {"warps", 4}, {"stages", 2}}}};
const Place hopper{"sm_90", {"hopper", {{"block_q", 128}, {"block_kv", 32}}}};

/// Whole numbers below `bound`, or normal ones; documents are sorted.
void fillCaptured(HostArray &array, RandomBits &random) {
  const ArrayArgument &layout = array.layout;
  std::string_view name = layout.name;
  size_t count = size_t(spanOf(layout).value_or(0));
  switch (layout.type) {
  case DType::F32:
    reference::fillNormal(array.as<float>(), int64_t(count), random.next(), 7);
    break;
  case DType::F16:
  case DType::BF16:
    reference::fillNormal(array.as<uint16_t>(), int64_t(count), layout.type, random.next(), 7);
    break;
  case DType::U8:
    for (size_t i = 0; i < count; ++i)
      array.as<uint8_t>()[i] = uint8_t(random.below(3));
    break;
  default:
    for (size_t i = 0; i < count; ++i)
      array.as<int32_t>()[i] = int32_t(random.below(name == "prefix"      ? 100
                                                    : name == "ancestors" ? 1u << 31
                                                                          : 5));
    if (name == "doc") {
      size_t row = size_t(layout.shape[size_t(layout.rank) - 1]);
      for (size_t begin = 0; row && begin < count; begin += row)
        std::sort(array.as<int32_t>() + begin, array.as<int32_t>() + begin + row);
    }
  }
}

struct Bits {
  std::vector<std::byte> o, lse;
  bool operator==(const Bits &) const = default;
};

/// A spec's kernel on a simulated GPU, with arrays to run it on.
struct Run {
  std::shared_ptr<const LoadedProgram> loaded; ///< it and `names` keep what the arrays' names point at
  std::shared_ptr<const void> names;
  std::vector<HostArray> arrays;
  std::optional<LaunchCounters> counters;

  Bits bits() const {
    return {reference::findArray(arrays, "o")->bytes, reference::findArray(arrays, "lse")->bytes};
  }
};

Result<Run> runKernel(const CompiledProgram &kernel, const AttentionSpec &spec, const ProblemShape &shape,
                      SimOptions::Mode mode) {
  SimOptions sim;
  sim.mode = mode;
  sim.seed = 1;
  Result<std::unique_ptr<Device>> device = openSimDevice(kernel.text.arch.name, sim, "asked for by the test");
  if (!device)
    return device.error();
  BuiltProgram built;
  built.program = kernel;
  auto loaded = LoadedProgram::load(std::move(*device), std::move(built));
  if (!loaded)
    return withKind(loaded.error());
  auto program = BoundProgram::bind(*loaded, sizesOf(shape), captureNames(spec));
  if (!program)
    return withKind(program.error());
  Run run{*loaded, program->names(), {}, {}};
  RandomBits random(11, 3);
  for (size_t i = 0; i < program->arrays().size(); ++i) {
    run.arrays.push_back(reference::sampleArray(*program, i, spec.layout, 5));
    if (program->arrays()[i].captured)
      fillCaptured(run.arrays.back(), random);
  }
  auto done = runOnHost(*program, run.arrays, scalarsOf(*program, spec));
  if (!done)
    return withKind(done.error());
  run.counters = std::move(done->counters);
  return run;
}

reference::Problem problemOf(const AttentionSpec &spec, const ProblemShape &shape) {
  return reference::denseProblem(spec, int(shape.batch), int(shape.headsQ), int(shape.headsKv),
                                 int(shape.lengthQ), int(shape.lengthKv));
}

/// Empty, or what is wrong with the spec's kernels on a shape.
std::string fault(AttentionSpec spec, const Place &place, const ProblemShape &shape,
                  std::vector<SimOptions::Mode> modes = {SimOptions::Mode::Eager, SimOptions::Mode::Lazy,
                                                         SimOptions::Mode::Random}) {
  spec.schedule = place.schedule;
  spec.lse = true;
  if (Status good = validate(spec); !good)
    return good.error().message;
  std::optional<Bits> first;
  for (Target target : {Target::PTX, Target::CUDA}) {
    Result<CompiledProgram> kernel = makeKernel(spec, place.arch, target, /*cubin=*/false);
    if (!kernel && kernel.error().kind == ErrorKind::Missing)
      continue; // no NVRTC here
    if (!kernel)
      return fmt::format("{}: {}", nameOf(target), kernel.error().message);
    for (SimOptions::Mode mode : modes) {
      std::string where = fmt::format("{} on {}, mode {}: ", nameOf(target), place.arch, int(mode));
      Result<Run> run = runKernel(*kernel, spec, shape, mode);
      if (!run)
        return where + run.error().message;
      Bits bits = run->bits();
      if (first && bits != *first)
        return where + "other bits than the first run";
      if (first)
        continue;
      reference::Report report =
          reference::verify(spec, problemOf(spec, shape), reference::inputsOf(spec, run->arrays),
                            reference::outputsOf(spec, run->arrays));
      if (!report.passed)
        return where + report.why;
      first = std::move(bits);
    }
  }
  return "";
}

AttentionSpec example(const std::string &name) {
  Result<AttentionSpec> spec = loadSpec(ATTUNE_EXAMPLES "/" + name + ".json");
  REQUIRE_MESSAGE(bool(spec), spec.error().message);
  spec->headDimQk = spec->headDimV = 64;
  return *spec;
}

/// Grouped heads, tails, several batch entries; other data type in turn.
void isRight(const std::string &name, ProblemShape shape = {2, 4, 2, 130, 130}) {
  CAPTURE(name);
  AttentionSpec spec = example(name);
  for (const Place *place : {&portable, &hopper}) {
    spec.dtype = place == &portable ? DType::BF16 : DType::F16;
    std::string wrong = fault(spec, *place, shape);
    CHECK_MESSAGE(wrong.empty(), wrong);
  }
}

} // namespace

TEST_CASE("alibi") { isRight("alibi"); }
TEST_CASE("t5 bias") { isRight("t5_bias"); }
TEST_CASE("prefix lm") { isRight("prefix_lm"); }
TEST_CASE("document") { isRight("document"); }
TEST_CASE("window with sinks") {
  AttentionSpec spec = example("window_sinks");
  setScalar(spec, "window", 33);
  for (const Place *place : {&portable, &hopper}) {
    std::string wrong = fault(spec, *place, {1, 2, 1, 200, 200});
    CHECK_MESSAGE(wrong.empty(), wrong);
  }
}
TEST_CASE("dilated") { isRight("dilated"); }
TEST_CASE("3d neighbourhood") { isRight("neighbourhood3d", {1, 1, 1, 256, 256}); }
TEST_CASE("tree") { isRight("tree", {2, 2, 1, 20, 150}); }
TEST_CASE("softcap") { isRight("softcap"); }
TEST_CASE("temperature") { isRight("temperature"); }
TEST_CASE("bias") { isRight("bias"); }

/// Blocks of keys that are loaded, beside those of which some pair is kept.
std::pair<uint64_t, uint64_t> loadedBlocks(const std::string &mask) {
  AttentionSpec spec;
  spec.headDimQk = spec.headDimV = 64;
  spec.lse = true;
  spec.captures.scalars = {{"window", expr::Type::I32, 100}};
  spec.maskExpressions = {mask};
  spec.schedule = portable.schedule;
  constexpr int64_t length = 512, blockQ = 64, blockKv = 32, rowBytes = 64 * 2;
  ProblemShape shape{1, 1, 1, length, length};
  Result<CompiledProgram> kernel = makeKernel(spec, portable.arch, Target::PTX, /*cubin=*/false);
  REQUIRE_MESSAGE(bool(kernel), kernel.error().message);
  Result<Run> run = runKernel(*kernel, spec, shape, SimOptions::Mode::Eager);
  REQUIRE_MESSAGE(bool(run), run.error().message);
  uint64_t bytes = 0;
  for (const auto &[name, count] : run->counters->byName)
    if (name == "async bytes")
      bytes = count;
  reference::Problem problem = problemOf(spec, shape);
  reference::KeptKeys kept(spec, problem, reference::inputsOf(spec, run->arrays));
  std::vector<uint8_t> row(length);
  uint64_t needed = 0;
  for (int64_t q = 0; q < length; q += blockQ) {
    std::vector<bool> some(length / blockKv);
    for (int64_t i = q; i < q + blockQ; ++i) {
      kept.row(0, 0, i, row);
      for (int64_t kv = 0; kv < length; ++kv)
        if (row[size_t(kv)])
          some[size_t(kv / blockKv)] = true;
    }
    needed += uint64_t(std::count(some.begin(), some.end(), true));
  }
  return {(bytes - length * rowBytes) / (2 * blockKv * rowBytes), needed};
}

TEST_CASE("portable: the blocks that are loaded are those of which something is kept") {
  for (const char *mask : {"kv <= q", "kv <= q && q - kv < window", "kv <= q && (kv < 4 || q - kv < window)",
                           "kv < 40 || abs(q - kv) <= 20", "kv / 64 % 2 == 0",
                           "kv / 96 == q / 96 || kv >= 500", "kv > q && kv < 0"}) {
    auto [loaded, needed] = loadedBlocks(mask);
    CHECK_MESSAGE(loaded == needed, mask);
  }
}

TEST_CASE("random expressions of every kind, both families") {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    RandomExpression random(seed);
    AttentionSpec spec;
    spec.headDimQk = spec.headDimV = 64;
    spec.captures = RandomExpression::captures();
    spec.maskExpressions = {random.mask()};
    spec.scoreExpression = random.score();
    const Place &place = seed % 4 == 3 ? hopper : portable;
    std::string wrong = fault(spec, place, {2, 4, 2, 70, 100}, {SimOptions::Mode::Lazy});
    CHECK_MESSAGE(wrong.empty(), fmt::format("{}: mask {}, score {}: {}", seed, spec.maskExpressions[0],
                                             spec.scoreExpression, wrong));
  }
}
