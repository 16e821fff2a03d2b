//===- ExpressionTest.cpp - masks and scores as expressions ---------------===//
//
// Specs with expressions on the simulated GPU: both targets, both families, every mode, against fp64, and bit
// for bit with the oracle of tile programs. The examples' expressions, and others that a grammar makes.
//
//===----------------------------------------------------------------------===//
#include "compiler/Compiler.h"
#include "compiler/spec/KernelForms.h"
#include "compiler/spec/SpecReader.h"
#include "runtime/device/sim/SimDevice.h"
#include "runtime/launch/DeviceArrays.h"
#include "runtime/plan/ProblemShape.h"
#include "runtime/reference/Compare.h"
#include "runtime/reference/ExpressionRows.h"
#include "runtime/reference/HostProblem.h"
#include "runtime/reference/RandomArray.h"
#include "tests/e2e/KernelSource.h"
#include "tests/oracle/Oracle.h"
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

/// Whole numbers below `bound`, or normal ones; documents are sorted, and `packed` are 16 of one length.
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
    if (name == "packed")
      for (size_t i = 0; i < count; ++i)
        array.as<int32_t>()[i] = int32_t(i * 16 / count);
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

/// What the oracle gives for a kernel's schedule and arrays.
Result<Bits> oracleBits(const AttentionSpec &spec, const CompiledProgram &kernel, const ProblemShape &shape,
                        std::vector<HostArray> arrays) {
  AttentionSpec decided = spec;
  decided.schedule = kernel.mainKernel().schedule;
  Result<KernelText> text = compile(decided, {kernel.text.arch, Target::PTX, Stage::Tile, {}});
  if (!text)
    return text.error();
  Result<oracle::TileProgram> program = oracle::TileProgram::parse(text->text, text->name + ".tile.mlir");
  if (!program)
    return program.error();
  std::map<std::string, std::string> own;
  for (const CaptureName &one : captureNames(spec))
    own[one.kernel] = one.spec;
  oracle::LaunchInputs inputs;
  inputs.sizes = sizesOf(shape);
  inputs.sizes[Size::SmCount] = 2;
  for (const Argument &argument : program->arguments()) {
    std::string name = own.count(argument.name) ? own[argument.name] : argument.name;
    if (argument.kind == Argument::Kind::Scalar && !argument.value)
      inputs.scalars[argument.name] = scalarOf(spec, name).value_or(0);
    for (HostArray &array : arrays)
      if (argument.kind == Argument::Kind::Array && array.layout.name == name) {
        if (argument.output) // what the kernel wrote is not taken for the oracle's
          std::fill(array.bytes.begin(), array.bytes.end(), std::byte(0xff));
        auto strides = array.layout.strides.begin();
        inputs.arrays[argument.name] = {array.bytes.data(), {strides, strides + array.layout.rank - 1}};
      }
  }
  if (Status ran = program->run(inputs); !ran)
    return ran.error();
  return Bits{reference::findArray(arrays, "o")->bytes, reference::findArray(arrays, "lse")->bytes};
}

using Modes = std::vector<SimOptions::Mode>;
const Modes allModes = {SimOptions::Mode::Eager, SimOptions::Mode::Lazy, SimOptions::Mode::Random};

/// Empty, or what is wrong with the spec's kernels on a shape.
std::string fault(AttentionSpec spec, const Place &place, const ProblemShape &shape,
                  const Modes &modes = allModes) {
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
      Result<Bits> expected = oracleBits(spec, *kernel, shape, run->arrays);
      if (!expected)
        return where + "the oracle itself: " + expected.error().message;
      if (bits != *expected)
        return where + "other bits than the oracle's";
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

struct Example {
  const char *name;
  /// Grouped heads, tails, several batch entries.
  ProblemShape shape = {2, 4, 2, 130, 130};
};
const Example examples[] = {
    {"alibi"},
    {"t5_bias"},
    {"prefix_lm"},
    {"document"},
    {"window_sinks", {1, 2, 1, 200, 200}},
    {"dilated"},
    {"neighbourhood3d", {1, 1, 1, 256, 256}},
    {"tree", {2, 2, 1, 20, 150}},
    {"softcap"},
    {"temperature"},
    {"bias"},
};

/// Every example; quickly, each family with one data type and one mode of the simulator, else with all.
void examplesAreRight(bool all) {
  size_t turn = 0;
  for (const Example &one : examples)
    for (const Place *place : {&portable, &hopper})
      for (DType dtype : {DType::BF16, DType::F16}) {
        ++turn;
        if (!all && (dtype == DType::BF16) != (place == &portable))
          continue;
        AttentionSpec spec = example(one.name);
        spec.dtype = dtype;
        if (one.name == std::string("window_sinks"))
          setScalar(spec, "window", 33);
        Modes modes = all ? allModes : Modes{allModes[turn / 4 % allModes.size()]};
        std::string wrong = fault(spec, *place, one.shape, modes);
        CHECK_MESSAGE(wrong.empty(),
                      fmt::format("{}, {}, {}: {}", one.name, place->arch, nameOf(dtype), wrong));
      }
}

} // namespace

TEST_CASE("examples") { examplesAreRight(false); }
TEST_CASE("examples, both data types, every mode" * doctest::skip()) { examplesAreRight(true); }

/// Blocks of keys that are visited, beside those of which some pair is kept.
static std::pair<uint64_t, uint64_t> visitedBlocks(const std::string &mask, const Place &place,
                                                   int64_t length = 512) {
  AttentionSpec spec;
  spec.headDimQk = spec.headDimV = 64;
  spec.lse = true;
  using expr::Variable;
  spec.captures.arrays = {{"doc", DType::I32, {{Variable::B, 0}, {Variable::Kv, 0}}, ""},
                          {"packed", DType::I32, {{Variable::Kv, 0}}, ""},
                          {"keep", DType::U8, {{{}, 64}}, ""}};
  spec.captures.scalars = {{"window", expr::Type::I32, 100}};
  spec.maskExpressions = {mask};
  spec.schedule = place.schedule;
  const int64_t blockQ = place.schedule.value("block_q", 0), blockKv = place.schedule.value("block_kv", 0);
  ProblemShape shape{1, 1, 1, length, length};
  Result<CompiledProgram> kernel = makeKernel(spec, place.arch, Target::PTX, /*cubin=*/false);
  REQUIRE_MESSAGE(bool(kernel), kernel.error().message);
  Result<Run> run = runKernel(*kernel, spec, shape, SimOptions::Mode::Eager);
  REQUIRE_MESSAGE(bool(run), run.error().message);
  uint64_t products = 0;
  for (const auto &[name, count] : run->counters->byName)
    if (name == "multiply-adds")
      products = count;
  reference::Problem problem = problemOf(spec, shape);
  reference::Inputs inputs = reference::inputsOf(spec, run->arrays);
  reference::KeptKeys kept(spec, problem, inputs);
  std::vector<uint8_t> row(static_cast<size_t>(length));
  uint64_t needed = 0;
  for (int64_t q = 0; q < length; q += blockQ) {
    std::vector<bool> some(size_t(length / blockKv));
    for (int64_t i = q; i < q + blockQ; ++i) {
      kept.row(0, 0, i, row);
      for (int64_t kv = 0; kv < length; ++kv)
        if (row[size_t(kv)])
          some[size_t(kv / blockKv)] = true;
    }
    needed += uint64_t(std::count(some.begin(), some.end(), true));
  }
  return {products / uint64_t(blockQ * blockKv * 2 * 64), needed};
}

TEST_CASE("the blocks that are visited are those of which something is kept") {
  for (const Place *place : {&portable, &hopper})
    for (const char *mask :
         {"kv <= q", "kv <= q && q - kv < window", "kv <= q && (kv < 4 || q - kv < window)",
          "kv < 40 || abs(q - kv) <= 20", "kv / 64 % 2 == 0", "kv / 96 == q / 96 || kv >= 500",
          "kv > q && kv < 0", "doc[b, q] == doc[b, kv]", "kv <= q && packed[q] == packed[kv]",
          "kv < doc[b, 300] * 20 || q == kv", "keep[kv / 32] && kv <= q", "packed[kv / 2] + 3 < packed[q]"}) {
      auto [visited, needed] = visitedBlocks(mask, *place);
      CHECK_MESSAGE(visited == needed, fmt::format("{}: {}", place->arch, mask));
    }
}

static void randomAreRight(uint64_t from, uint64_t count) {
  for (uint64_t seed = from; seed < from + count; ++seed) {
    RandomExpression random(seed);
    AttentionSpec spec;
    spec.headDimQk = spec.headDimV = 64;
    spec.captures = RandomExpression::captures();
    spec.maskExpressions = {random.mask()};
    spec.scoreExpression = random.score();
    const Place &place = seed % 4 == 3 ? hopper : portable;
    std::string wrong = fault(spec, place, {2, 4, 2, 70, 100}, {allModes[seed % 3]});
    CHECK_MESSAGE(wrong.empty(), fmt::format("{}: mask {}, score {}: {}", seed, spec.maskExpressions[0],
                                             spec.scoreExpression, wrong));
  }
}

TEST_CASE("random expressions, both families") { randomAreRight(0, 12); }
TEST_CASE("random expressions, both families, some hundred" * doctest::skip()) { randomAreRight(100, 300); }
