//===- RuntimeProgramsTest.cpp - programs of several launches -------------===//
//
// Programs of several launches, and stages that people wrote: through cache and plan, on the simulator.
//
//===----------------------------------------------------------------------===//
#include "runtime/launch/DeviceArrays.h"
#include "runtime/reference/Compare.h"
#include "runtime/reference/RandomArray.h"
#include "tests/unit/RuntimeApiSupport.h"

#include <algorithm>

#include <doctest/doctest.h>

using namespace attune;
using namespace attune::test;
using v1::ErrorCode;

namespace {

/// Attention split along the keys: `partial` and `merge`, with a workspace, a counter in it that must be
/// zero, and a scale that is given at run time (programs/split.cu).
StageText splitText() { return {Stage::Text, *readFile(ATTUNE_UNIT_PROGRAMS "/split.ptx"), "split.ptx"}; }

AttentionSpec splitSpec(double scale) {
  AttentionSpec spec;
  spec.headDimQk = spec.headDimV = 16;
  spec.lse = true;
  spec.scale = scale;
  return spec;
}

struct SplitSetup : Setup {
  ProblemShape sizes{2, 4, 2, 70, 33};

  PlannerOptions planning() const {
    PlannerOptions planning;
    planning.cache = Cache(*options.cacheFolder);
    planning.maker = &maker;
    return planning;
  }
  std::shared_ptr<Device> simulator(SimOptions::Mode mode = SimOptions::Mode::Eager) const {
    DeviceOptions device;
    device.which = "sim";
    device.sim.mode = mode;
    return std::move(*openDevice(device));
  }
  std::vector<HostArray> arrays(const Plan &plan) const {
    std::vector<HostArray> made;
    for (const BoundArgument &argument : plan.program.arrays()) {
      HostArray &array = made.emplace_back(HostArray::of(denseArray(argument, Layout::BSHD)));
      if (argument.output)
        continue;
      std::vector<uint16_t> values =
          reference::normalArray(int64_t(array.count<uint16_t>()), DType::BF16, 1, made.size());
      std::copy(values.begin(), values.end(), array.as<uint16_t>());
    }
    return made;
  }
  /// Why the outputs are wrong for this scale; empty if they are right.
  std::string judge(const std::vector<HostArray> &arrays, double scale) const {
    AttentionSpec spec = splitSpec(scale);
    reference::Problem problem =
        reference::denseProblem(spec, int(sizes.batch), int(sizes.headsQ), int(sizes.headsKv),
                                int(sizes.lengthQ), int(sizes.lengthKv));
    reference::Report report = reference::verify(
        spec, problem, {arrays[0].as<uint16_t>(), arrays[1].as<uint16_t>(), arrays[2].as<uint16_t>()},
        {arrays[3].as<uint16_t>(), arrays[4].as<float>()});
    return report.passed ? "" : report.why;
  }
};

} // namespace

TEST_CASE("programs: two launches and a workspace are planned, cached and launched as one is") {
  SplitSetup s;
  std::vector<std::byte> first;
  for (bool cached : {false, true}) {
    Planner planner(s.simulator(cached ? SimOptions::Mode::Random : SimOptions::Mode::Eager), s.planning());
    v1::Result<Plan> plan = planner.plan({}, s.sizes, splitText(), Target::PTX);
    REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().message));
    CHECK(plan->loaded().built().fromCache == cached);
    CHECK(plan->why == "from split.ptx");
    REQUIRE(plan->program.launches().size() == 2);
    CHECK(plan->program.launches()[0].grid.z == 2 * 4);
    CHECK(plan->program.launches()[1].grid.z == 2);
    CHECK(plan->program.workspaceBytes() == 256 + (2 * 4 * 4 * 70 * 72 + 255) / 256 * 256);
    CHECK(plan->program.zeroBytes() == 256);
    std::string text = describe(*plan);
    CHECK(has(text, "partial: 2 x 4 x 8 blocks of 64 threads"));
    CHECK(has(text, "merge: 2 x 4 x 2 blocks of 64 threads"));
    CHECK(has(text, "256 of them zeroed"));
    std::vector<HostArray> arrays = s.arrays(*plan);
    REQUIRE(arrays.size() == 5);
    for (double scale : {0.25, 0.1}) {
      ScalarArgument value{"scale", scale};
      v1::Result<HostRun> run = runOnHost(plan->program, arrays, {&value, 1});
      REQUIRE_MESSAGE(run, (run ? "" : run.error().message));
      CHECK(run->counters->warpInstructions > 1000); // of both launches
      CHECK(s.judge(arrays, scale) == "");
    }
    if (cached)
      CHECK(arrays[3].bytes == first);
    first = arrays[3].bytes;
  }
  // The same memory again: the counter is zeroed by each launch.
  Planner planner(s.simulator(), s.planning());
  Plan plan = *planner.plan({}, s.sizes, splitText(), Target::PTX);
  std::vector<HostArray> arrays = s.arrays(plan);
  DeviceArrays device = std::move(*DeviceArrays::allocate(plan.program, Layout::BSHD));
  for (size_t i = 0; i < 3; ++i)
    REQUIRE(
        planner.device()->copyIn(device.arrays()[i].address, arrays[i].bytes.data(), arrays[i].bytes.size()));
  ScalarArgument scale{"scale", 0.1};
  for (int i = 0; i < 2; ++i)
    REQUIRE(plan.program.launch({}, device.launchArguments({&scale, 1})));
  for (size_t i = 3; i < 5; ++i)
    REQUIRE(planner.device()->copyOut(arrays[i].bytes.data(), device.arrays()[i].address,
                                      arrays[i].bytes.size()));
  CHECK(arrays[3].bytes == first);
}

TEST_CASE("programs: one text of lines describes them, and comes back from a cache entry") {
  Program program = *Program::fromTrailer(splitText().text, "split.ptx");
  CHECK(program.kernels.size() == 2);
  Result<Program> again = Program::parse(program.text());
  REQUIRE_MESSAGE(again, (again ? "" : again.error().message));
  CHECK(again->text() == program.text());
  CHECK(Program::fromTrailer(".version 8.0\n" + program.trailer(), "x")->text() == program.text());
  auto refusal = [&](const std::string &from, const std::string &to) {
    std::string text = program.text();
    size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    Result<Program> parsed = Program::parse(text.replace(at, from.size(), to));
    return parsed ? std::string() : parsed.error().message;
  };
  CHECK(has(refusal("launch partial", "launch other"), "no kernel before it has this name"));
  CHECK(has(refusal("threads 64", "threads 2000"), "expected 'threads N, min_blocks N, shared BYTES"));
  CHECK(has(refusal("block 64", "block 0"), "a block has 1 to 1024 threads"));
  CHECK(has(refusal("grid ceil_div(len_q, 64)", "grid ceil_div(len_q, 64"), "expected"));
  CHECK(has(refusal("kernel merge", "kernel partial"), "kernels of different names, got 'partial' twice"));
  CHECK(has(refusal("  k: array", "  q: array"), "arguments of different names"));
  CHECK(has(refusal("heads_q * len_q * 72>", "heads_q * len_q * 36>"),
            "expected one meaning of argument 'sums'"));
  CHECK(has(refusal("  q: array<batch", "  q: arrray<batch"), "expected an argument such as"));
  CHECK(has(Program::parse("").error().message, "expected a launch, got none"));
  CHECK(has(Program::fromTrailer("nothing", "x.ptx").error().message, "x.ptx: error: expected lines '//@ "));
  CHECK(has(Program::fromTrailer("a\n//@ kernel\n", "x.ptx").error().message, "x.ptx:2: error: "));
}

TEST_CASE("api: the text of a stage is planned and launched by the names of its arguments") {
  SplitSetup s;
  v1::Context context = s.open();
  v1::StageText stage{"ptx", splitText().text, "mine.ptx"};
  s.shape = {.batch = 2, .headsQ = 4, .headsKv = 2, .lengthQ = 70, .lengthKv = 33};
  v1::Result<v1::Plan> plan = context.plan(stage, s.shape);
  REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().message));
  const v1::PlanInfo &info = plan->info();
  REQUIRE(info.launches.size() == 2);
  CHECK(info.launches[1].kernel == "merge");
  REQUIRE(info.arguments.size() == 6);
  CHECK(info.arguments[4].name == "lse");
  CHECK(info.arguments[5].name == "scale");
  CHECK(info.arguments[5].scalar);

  Plan inside = *Planner(s.simulator(), s.planning()).plan({}, s.sizes, splitText(), Target::PTX);
  std::vector<HostArray> host = s.arrays(inside);
  std::vector<v1::Buffer> buffers;
  std::vector<v1::Array> arrays;
  for (size_t i = 0; i < host.size(); ++i) {
    const ArrayArgument &layout = host[i].layout;
    buffers.push_back(*context.allocate(host[i].bytes.size(), layout.name));
    REQUIRE(context.copyIn(buffers[i].data(), host[i].bytes.data(), host[i].bytes.size()));
    // Names that outlive the loop are the plan's.
    arrays.push_back({info.arguments[i].name.c_str(), buffers[i].data(), info.arguments[i].dtype, layout.rank,
                      host[i].layout.shape.data(), host[i].layout.strides.data()});
  }
  v1::Buffer workspace = *context.allocate(info.workspaceBytes, "workspace");
  v1::Scalar scale{"scale", 0.25};
  std::swap(arrays[0], arrays[4]); // in any order
  v1::Status launched = plan->launch(nullptr, arrays, {&scale, 1}, workspace.data());
  REQUIRE_MESSAGE(launched, (launched ? "" : launched.error().message));
  for (size_t i = 3; i < 5; ++i)
    REQUIRE(context.copyOut(host[i].bytes.data(), buffers[i].data(), host[i].bytes.size()));
  CHECK(s.judge(host, 0.25) == "");

  // The same by the struct for attention.
  v1::Arguments arguments = plan->dense(buffers[0].data(), buffers[1].data(), buffers[2].data(),
                                        buffers[3].data(), buffers[4].data());
  arguments.workspace = workspace.data();
  arguments.scalars = {&scale, 1};
  REQUIRE(plan->launch(nullptr, arguments));

  auto refused = [&](ErrorCode code, const std::string &part, auto change) {
    std::vector<v1::Array> changed = arrays;
    std::vector<v1::Scalar> scalars = {scale};
    void *memory = workspace.data();
    change(changed, scalars, memory);
    v1::Status status = plan->launch(nullptr, changed, scalars, memory);
    REQUIRE(!status);
    CAPTURE(status.error().message);
    CHECK(status.error().code == code);
    CHECK(has(status.error().message, part));
  };
  using Arrays = std::vector<v1::Array>;
  using Scalars = std::vector<v1::Scalar>;
  refused(ErrorCode::NullPointer, "bytes of workspace, got null",
          [](Arrays &, Scalars &, void *&memory) { memory = nullptr; });
  refused(ErrorCode::Misaligned, "workspace at a multiple of 256",
          [](Arrays &, Scalars &, void *&memory) { memory = static_cast<char *>(memory) + 16; });
  refused(ErrorCode::InvalidArgument, "a value for scale", [](Arrays &, Scalars &s, void *&) { s.clear(); });
  refused(ErrorCode::InvalidArgument, "no value for softcap",
          [](Arrays &, Scalars &s, void *&) { s.push_back({"softcap", 1}); });
  refused(ErrorCode::NullPointer, "address of v", [](Arrays &a, Scalars &, void *&) { a[2].data = nullptr; });
  refused(ErrorCode::InvalidArgument, "no array for values",
          [](Arrays &a, Scalars &, void *&) { a[2].name = "values"; });
  refused(ErrorCode::InvalidArgument, "elements of bf16 in v, got fp16",
          [](Arrays &a, Scalars &, void *&) { a[2].dtype = v1::DType::F16; });
  refused(ErrorCode::InvalidArgument, "4 axes of v", [](Arrays &a, Scalars &, void *&) { a[2].rank = 2; });
  refused(ErrorCode::InvalidArgument, "1 to 8 axes", [](Arrays &a, Scalars &, void *&) { a[2].rank = 9; });
  refused(ErrorCode::InvalidArgument, "expected a name of array 2",
          [](Arrays &a, Scalars &, void *&) { a[2].name = nullptr; });

  auto unplanned = [&](const v1::StageText &text, ErrorCode code, const std::string &part) {
    v1::Result<v1::Plan> none = context.plan(text, s.shape);
    REQUIRE(!none);
    CAPTURE(none.error().message);
    CHECK(none.error().code == code);
    CHECK(has(none.error().message, part));
  };
  unplanned({"sass", "", "x"}, ErrorCode::InvalidArgument, "expected a stage among attn, tile");
  unplanned({"ptx", "nothing", "x"}, ErrorCode::CompileFailed, "x: error: expected a kernel");
  unplanned({"ptx", ".visible .entry k() { ret; }", "x"}, ErrorCode::CompileFailed,
            "expected lines '//@ ...'");
}

TEST_CASE("api: a context keeps a bounded number of kernels, the last used ones, and lets go of all") {
  FakeCuda &state = fake();
  Setup s;
  s.options.device = "cuda";
  s.options.mostPrograms = 2;
  v1::Context context = s.open();
  auto plan = [&](const char *name) {
    s.spec.name = name;
    return s.plan(context);
  };
  v1::Plan first = plan("a");
  plan("b");
  plan("a");
  plan("c"); // in the place of b
  CHECK(state.modules == 2);
  CHECK(plan("a").info().stageTimes.empty());
  CHECK(!plan("b").info().stageTimes.empty());
  context.release();
  CHECK(state.modules == 1); // which the first plan keeps
  CHECK(first.launch(nullptr, someArguments(first)));
  CHECK(!plan("a").info().stageTimes.empty());
}

TEST_CASE("load: a cubin that the driver refuses is replaced by the PTX, and the plan says so") {
  FakeCuda &state = fake();
  Setup s;
  if (!Toolchain::find().tool(Tool::Ptxas)) {
    MESSAGE("skipped: no ptxas");
    return;
  }
  JitMaker withTools(Toolchain::find());
  v1::Compiler compiler{withTools, {}};
  s.options.compiler = &compiler;
  s.options.device = "cuda";
  state.refusesCubins = true;
  v1::Plan plan = s.plan(s.open());
  CHECK(has(plan.info().image, "which refused the cubin of ptxas"));
  REQUIRE(plan.info().notes.size() == 1);
  CHECK(has(plan.info().notes[0], "the driver refused the cubin, and took the PTX"));
  CHECK(has(state.lastImage, ".visible .entry"));
  state.failures = {{"cuModuleLoadDataEx", 218}};
  v1::Result<v1::Plan> none = s.open().plan(s.spec, s.shape);
  REQUIRE(!none);
  CHECK(none.error().code == ErrorCode::LoadFailed);
}
