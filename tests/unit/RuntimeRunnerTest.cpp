//===- RuntimeRunnerTest.cpp - from a spec to outputs ---------------------===//
//
// The flow from spec to outputs with a made-up compiler, whose kernel copies Q to O.
//
//===----------------------------------------------------------------------===//
#include "runtime/io/File.h"
#include "runtime/jit/ProgramBuild.h"
#include "runtime/launch/DeviceArrays.h"
#include "runtime/plan/Planner.h"
#include "runtime/reference/Compare.h"
#include "tests/unit/RuntimeFakeCompiler.h"
#include "tests/unit/RuntimeFakeCuda.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace attune;
namespace fs = std::filesystem;

namespace {

bool has(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

struct Setup {
  AttentionSpec spec;
  ProblemShape shape{2, 4, 2, 65, 33};
  TempDir folder = std::move(*TempDir::make());
  Cache cache{folder.path() + "/cache"};
  Toolchain tools = Toolchain::find();
  Advisor advisor;

  Setup() { spec.headDimQk = spec.headDimV = 16; }
  ProgramRequest request(Target target = Target::PTX) const { return {spec, target, {}}; }

  v1::Result<Plan> plan(std::shared_ptr<Device> device, std::optional<Target> target = {}) const {
    static const JitMaker here(Toolchain::find());
    static const JitMaker withoutTools{Toolchain()};
    PlannerOptions options;
    options.cache = cache;
    options.maker = tools.tool(Tool::Ptxas) ? &here : &withoutTools;
    options.target = target;
    options.advisor = advisor;
    return Planner(std::move(device), options).plan(spec, shape);
  }

  /// Dense arrays for the plan: inputs that count, outputs that nobody has written.
  std::vector<HostArray> arrays(const Plan &plan) const {
    std::vector<HostArray> made;
    for (const BoundArgument &argument : plan.program.arrays())
      made.push_back(fill(argument, denseArray(argument, spec.layout)));
    return made;
  }
  static HostArray fill(const BoundArgument &argument, const ArrayArgument &layout) {
    HostArray array = HostArray::of(layout);
    if (infoOf(layout.type).bytes() == 4)
      std::fill_n(array.as<uint32_t>(), array.count<uint32_t>(), reference::unwritten32);
    for (size_t i = 0; i < array.count<uint16_t>() && infoOf(layout.type).bytes() == 2; ++i)
      array.as<uint16_t>()[i] = argument.output ? reference::unwritten16 : uint16_t(i);
    return array;
  }
};

std::shared_ptr<Device> simulator() {
  DeviceOptions options;
  options.which = "sim";
  return std::move(*openDevice(options));
}

FakeCuda &fake() {
  static void *library = ::dlopen(ATTUNE_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library);
  FakeCuda &state = *reinterpret_cast<FakeCudaFunction>(::dlsym(library, "fakeCuda"))();
  state.reset();
  return state;
}

std::shared_ptr<Device> fakeGpu() {
  DeviceOptions options;
  options.which = "cuda";
  options.cudaDriver = ATTUNE_FAKE_CUDA;
  return std::move(*openDevice(options));
}

/// Why the plan's kernels do not take the array in the place of their own; empty if they do.
std::string refusal(const Plan &plan, std::vector<HostArray> &arrays, size_t which,
                    const ArrayArgument &changed) {
  std::vector<ArrayArgument> all;
  for (const HostArray &array : arrays)
    all.push_back(all.size() == which ? changed : array.layout);
  for (size_t i = 0; i < all.size(); ++i)
    all[i].address = (i + 1) << 40;
  v1::Status status = plan.program.launch({}, {all});
  return status ? "" : status.error().message;
}

} // namespace

TEST_CASE("shapes: each mistake is named") {
  auto refusal = [](const ProblemShape &shape) {
    Status status = validateShape(shape);
    return status ? "" : status.error().message;
  };
  CHECK(refusal({2, 4, 2, 65, 33}).empty());
  std::string text = refusal({2, 3, 2, 65, -1});
  CHECK(has(text, "expected len_kv in 0..1073741824, got -1"));
  CHECK(has(text, "multiple of heads_kv, got 3 and 2"));
  CHECK(has(refusal({int64_t(1) << 31, 4, 2, 65, 33}), "expected batch in 0..2147483647, got 2147483648"));
  CHECK(has(refusal({1, 0, 0, 65, 33}), "expected heads_q in 1..2147483647, got 0"));
  CHECK(refusal({0, 1, 1, 0, 0}).empty());
  AttentionSpec spec;
  CHECK(validateDense(spec, {2, 4, 2, 65, 33}));
  CHECK(has(validateDense(spec, {65535, 65535, 1, 1 << 30, 1}).error().message, "whose bytes 64 bits count"));
}

TEST_CASE("arrays: what the kernels do not take is named") {
  FakeCuda &state = fake();
  Setup s;
  s.spec.lse = true;
  Plan plan = *s.plan(fakeGpu());
  std::vector<HostArray> arrays = s.arrays(plan);
  auto change = [&](size_t which, auto edit) {
    ArrayArgument layout = arrays[which].layout;
    edit(layout);
    return refusal(plan, arrays, which, layout);
  };
  CHECK(change(0, [](ArrayArgument &) {}).empty());
  CHECK(has(change(0, [](ArrayArgument &q) { q.strides[2] = 17; }),
            "row stride of q that is a multiple of 8 elements (16 bytes), got 17"));
  CHECK(has(change(1, [](ArrayArgument &k) { k.strides[1] = -8; }),
            "head stride of k that is not negative, got -8"));
  CHECK(has(change(2, [](ArrayArgument &v) { v.strides = {INT64_MAX / 8 * 8, INT64_MAX / 8 * 8, 8, 1}; }),
            "strides of v whose bytes 64 bits count"));
  CHECK(has(change(1, [](ArrayArgument &k) { k.strides[2] = int64_t(1) << 30; }),
            "row stride of k below 1073741824 elements"));
  CHECK(has(change(3, [](ArrayArgument &o) { o.strides[1] = 8; }),
            "strides of o that keep its elements apart"));
  CHECK(change(1, [](ArrayArgument &k) { k.strides[1] = 0; }).empty()); // inputs may be broadcast
  CHECK(has(change(4, [](ArrayArgument &lse) { lse.strides[2] = 2; }), "expected adjacent rows of lse"));
  CHECK(has(change(0, [](ArrayArgument &q) { q.strides[3] = 2; }), "expected adjacent elements of q"));
  CHECK(has(change(0, [](ArrayArgument &q) { q.type = DType::F16; }),
            "expected elements of bf16 in q, got fp16"));
  CHECK(has(change(0, [](ArrayArgument &q) { q.rank = 3; }), "expected 4 axes of q"));
  CHECK(has(change(1, [](ArrayArgument &k) { k.shape[2] = 34; }), "expected 33 rows in k (len_kv), got 34"));
  CHECK(has(change(0, [](ArrayArgument &q) { q.name = "queries"; }), "got 0x"));
  CHECK(state.launches.size() == 2);
}

TEST_CASE("spans: from the first to the last element, whatever the layout") {
  ArrayArgument array{"q", 0, DType::BF16, 4, {2, 4, 65, 16}, {4 * 65 * 16, 16, 64, 1}};
  CHECK(spanOf(array) == 2 * 65 * 4 * 16);
  array.strides = {100000, 64, 256, 1};
  CHECK(spanOf(array) == 100000 + 3 * 64 + 64 * 256 + 16);
  CHECK(bytesOf(array) == 2 * size_t(100000 + 3 * 64 + 64 * 256 + 16));
}

TEST_CASE("kernels: metadata and artefacts survive the cache") {
  CompiledProgram kernel;
  kernel.text = *compile(AttentionSpec(), {*findArch("sm_86"), Target::CUDA, Stage::Text, {}});
  kernel.text.why = "a \"quoted\"\nreason";
  kernel.ptx = "ptx";
  kernel.cubin = std::string("\0\1\n", 3);
  kernel.assembler = "NVRTC 13.0";
  kernel.reports = {AssemblerReport{96, 8, 4, 2, 16, 1}};
  kernel.log = "log";
  CacheKey key;
  key.add("a", "b");
  Result<CompiledProgram> back = programFrom(*parseEntry(serializeEntry(toEntry(kernel, key))));
  REQUIRE_MESSAGE(back, (back ? "" : back.error().message));
  CHECK(back->text.text == kernel.text.text);
  CHECK(back->text.why == kernel.text.why);
  CHECK(back->text.arch.name == "sm_86");
  CHECK(back->text.target == Target::CUDA);
  CHECK(back->program().text() == kernel.program().text());
  CHECK(back->mainKernel().threads == 64);
  CHECK(back->mainKernel().schedule.value("block_kv") == 64);
  CHECK(back->cubin == kernel.cubin);
  CHECK(back->assembler == "NVRTC 13.0");
  CHECK(back->reports == kernel.reports);
  CHECK(*back->blocksPerSm() == *kernel.blocksPerSm());
  CacheEntry entry = toEntry(kernel, key);
  CHECK(has(entry.artefacts[0].second, "\"registers\": 96"));
  std::string &metadata = entry.artefacts[0].second;
  std::string good = metadata;
  metadata.replace(metadata.find("\"registers\": 96"), 15, "\"registers\": \"\"");
  CHECK(has(programFrom(entry).error().message, "no usable field 'registers'"));
  metadata = good;
  metadata.replace(metadata.find("threads 64"), 10, "threads 0");
  CHECK(has(programFrom(entry).error().message, "the entry's program is unusable: expected 'threads N"));
  entry.artefacts.erase(entry.artefacts.begin());
  CHECK(!programFrom(entry));
}

TEST_CASE("build: a second one comes from the cache; damage, options and tools make misses") {
  Setup s;
  BuildOptions options{*findArch("sm_80")};
  fakeCompiler.compilations = 0;
  Result<BuiltProgram> first = buildProgram(s.request(), options, CubinNeed::IfPossible, s.tools, s.cache);
  REQUIRE_MESSAGE(first, (first ? "" : first.error().message));
  CHECK(!first->fromCache);
  CHECK(first->notes.empty());
  CHECK(fs::exists(first->cacheFile));
  CHECK(first->program.cubin.empty() == !s.tools.tool(Tool::Ptxas));
  Result<BuiltProgram> second = buildProgram(s.request(), options, CubinNeed::IfPossible, s.tools, s.cache);
  REQUIRE(second);
  CHECK(second->fromCache);
  CHECK(second->program.ptx == first->program.ptx);
  CHECK(second->program.text.tileText == first->program.text.tileText);
  CHECK(second->program.assembler == first->program.assembler);
  CHECK(fakeCompiler.compilations == 1);
  // The layout is not part of the code, the head dimension is.
  AttentionSpec other = s.spec;
  other.layout = Layout::BHSD;
  CHECK(buildProgram({other, Target::PTX, {}}, options, CubinNeed::IfPossible, s.tools, s.cache)->fromCache);
  other.headDimQk = 32;
  CHECK(!buildProgram({other, Target::PTX, {}}, options, CubinNeed::IfPossible, s.tools, s.cache)->fromCache);
  options.arch = *findArch("sm_90");
  CHECK(!buildProgram(s.request(), options, CubinNeed::IfPossible, s.tools, s.cache)->fromCache);
  options.arch = *findArch("sm_80");
  CHECK(!buildProgram(s.request(), options, CubinNeed::IfPossible, s.tools, Cache())->fromCache);
  if (s.tools.tool(Tool::Ptxas))
    CHECK(!buildProgram(s.request(), options, CubinNeed::No, s.tools, s.cache)->fromCache);
  // Damage is told, and healed.
  std::ofstream(first->cacheFile, std::ios::app) << "x";
  Result<BuiltProgram> third = buildProgram(s.request(), options, CubinNeed::IfPossible, s.tools, s.cache);
  REQUIRE(third);
  CHECK(!third->fromCache);
  REQUIRE(third->notes.size() == 1);
  CHECK(has(third->notes[0], "checksum"));
  CHECK(buildProgram(s.request(), options, CubinNeed::IfPossible, s.tools, s.cache)->fromCache);
  // A folder that cannot be written costs the caching only.
  Result<BuiltProgram> uncached =
      buildProgram(s.request(), options, CubinNeed::No, s.tools, Cache("/proc/attune"));
  REQUIRE(uncached);
  REQUIRE(uncached->notes.size() == 1);
  CHECK(has(uncached->notes[0], "not cached: /proc/attune"));
  other.softcap = 1;
  CHECK(has(buildProgram({other, Target::PTX, {}}, options, CubinNeed::No, s.tools, s.cache).error().message,
            "no softcap"));
}

TEST_CASE("build: without tools, PTX is all there is, and cuda says what is missing") {
  Setup s;
  Toolchain none;
  BuildOptions options{*findArch("sm_80")};
  Result<BuiltProgram> built = buildProgram(s.request(), options, CubinNeed::IfPossible, none, s.cache);
  REQUIRE(built);
  CHECK(built->program.cubin.empty());
  CHECK(built->program.reports.empty());
  Result<BuiltProgram> refused = buildProgram(s.request(), options, CubinNeed::Yes, none, s.cache);
  REQUIRE(!refused);
  CHECK(refused.error().kind == ErrorKind::Missing);
  CHECK(has(refused.error().message, "ptxas was not found"));
  refused = buildProgram(s.request(Target::CUDA), options, CubinNeed::No, none, s.cache);
  REQUIRE(!refused);
  CHECK(has(refused.error().message, "NVRTC was not found"));
}

TEST_CASE("build: a hit costs less than a millisecond") {
  Setup s;
  BuildOptions options{*findArch("sm_80")};
  s.spec.headDimQk = 256;
  REQUIRE(buildProgram(s.request(), options, CubinNeed::IfPossible, s.tools, s.cache));
  double best = 1e9;
  for (int i = 0; i < 20; ++i) {
    StageClock clock;
    Result<BuiltProgram> built = buildProgram(s.request(), options, CubinNeed::IfPossible, s.tools, s.cache);
    best = std::min(best, clock.lap());
    REQUIRE(built);
    CHECK(built->fromCache);
  }
  CHECK(best < 1.0);
}

TEST_CASE("plan: what the spec leaves open is the advisor's to say, unless it does not fit") {
  Setup s;
  std::shared_ptr<Device> device = simulator();
  Advice advice{{"", {{"block_q", 64}, {"stages", 3}}}, Target::PTX, "measured, 1.5 us"};
  ProblemShape asked;
  int calls = 0;
  auto plan = [&](std::optional<Target> target) {
    v1::Result<Plan> made = s.plan(device, target);
    REQUIRE_MESSAGE(made, (made ? "" : made.error().message));
    return *made;
  };
  CHECK(plan({}).why == "made up");
  s.advisor = [&](const AttentionSpec &, const ProblemShape &shape, const DeviceInfo &about) {
    ++calls;
    asked = shape;
    CHECK(about.kind == DeviceKind::Sim);
    return std::optional<Advice>(advice);
  };
  Plan taken = plan({});
  CHECK(calls == 1);
  CHECK(asked == ProblemShape{2, 4, 2, 65, 33});
  CHECK(taken.why == "measured, 1.5 us");
  CHECK(!taken.loaded().built().fromCache); // another schedule is another kernel
  CHECK(plan({}).loaded().built().fromCache);
  CHECK(has(describe(taken), "(measured, 1.5 us)"));
  CHECK(taken.notes.empty());
  // What the user fixed wins, and the plan says so.
  s.spec.schedule.set("stages", 2);
  Plan fixed = plan({});
  CHECK(fixed.why == "made up");
  REQUIRE(fixed.notes.size() == 1);
  CHECK(has(fixed.notes[0], "advice not taken: it is for stages 3, and 2 was asked for (measured"));
  s.spec.schedule = {};
  advice.target = Target::CUDA;
  CHECK(has(plan(Target::PTX).notes[0], "for target cuda, and ptx was asked for"));
  // Advice that the compiler refuses costs only the advice.
  advice.target = Target::PTX;
  advice.schedule.set("stages", refusedStages);
  Plan refused = plan({});
  CHECK(refused.why == "made up");
  CHECK(has(refused.notes[0], "advice not taken: made up: too many stages (measured"));
}

TEST_CASE("templates are embedded under the names that they are included by") {
  for (const NamedText &header : templateHeaders()) {
    CHECK(header.name.ends_with(".cuh"));
    CHECK(!header.text.empty());
  }
  CHECK(std::string(compilerBuildId()).size() == 16);
}

TEST_CASE("run: on the simulator, outputs come back and the plan says what ran") {
  Setup s;
  v1::Result<Plan> plan = s.plan(simulator());
  REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().message));
  std::vector<HostArray> arrays = s.arrays(*plan);
  v1::Result<HostRun> run = runOnHost(plan->program, arrays);
  REQUIRE_MESSAGE(run, (run ? "" : run.error().message));
  REQUIRE(arrays.size() == 4); // no LSE was asked for
  CHECK(arrays[3].bytes == arrays[0].bytes);
  CHECK(run->counters->warpInstructions > 0);
  CHECK(plan->loaded().image().kind == ImageKind::PTX);
  std::string text = describe(*plan);
  CHECK(has(text, "attention, target ptx, sm_80"));
  CHECK(has(text, "block_q 64, block_kv 64, stages 2, warps 2 (made up)"));
  CHECK(has(text, "2 x 4 x 2 blocks of 64 threads"));
  CHECK(has(text, "simulated sm_80 (asked for)"));
  if (s.tools.tool(Tool::Ptxas)) {
    CHECK(plan->loaded().kernels()[0].registers > 0);
    CHECK(plan->loaded().kernels()[0].blocksPerSm > 0);
  }
  CHECK(plan->times.front().first == "generate");
  CHECK(plan->times.back().first == "load");
  CHECK(run->times.back().first == "copy out");
}

TEST_CASE("run: strided arrays, and rows that the kernel does not write stay marked") {
  Setup s;
  Plan plan = *s.plan(simulator());
  std::vector<HostArray> arrays = s.arrays(plan);
  ArrayArgument padded = arrays[3].layout;
  padded.strides = {4 * 65 * 24, 65 * 24, 24, 1};
  arrays[3] = Setup::fill(plan.program.arrays()[3], padded);
  v1::Result<HostRun> run = runOnHost(plan.program, arrays);
  REQUIRE_MESSAGE(run, (run ? "" : run.error().message));
  const uint16_t *o = arrays[3].as<uint16_t>(), *q = arrays[0].as<uint16_t>();
  CHECK(o[0] == q[0]);
  CHECK(o[16] == reference::unwritten16);
  CHECK(o[24 + 15] == q[size_t(arrays[0].layout.strides[2]) + 15]);
}

TEST_CASE("run: faults found by the simulator name the PTX line and the tile op") {
  Setup s;
  s.spec.name = "faulty";
  fakeCompiler.faulty = true;
  Plan plan = *s.plan(simulator());
  fakeCompiler.faulty = false;
  std::vector<HostArray> arrays = s.arrays(plan);
  v1::Result<HostRun> run = runOnHost(plan.program, arrays);
  REQUIRE(!run);
  CHECK(run.error().code == v1::ErrorCode::KernelFault);
  CHECK(withKind(run.error()).kind == ErrorKind::Verification);
  CHECK(has(run.error().message, "faulty.ptx:"));
  CHECK(has(run.error().message, "the end of 'q'"));
  CHECK(has(run.error().message, "from: copy rows"));
}

TEST_CASE("run: arrays that are too small, shapes that are wrong") {
  Setup s;
  Plan plan = *s.plan(simulator());
  std::vector<HostArray> arrays = s.arrays(plan);
  arrays[1].bytes.pop_back();
  CHECK(has(runOnHost(plan.program, arrays).error().message,
            "expected at least 4224 bytes of k for this problem, got 4223"));
  s.shape.headsKv = 3;
  CHECK(has(s.plan(simulator()).error().message, "multiple of heads_kv"));
}

TEST_CASE(
    "run: on a GPU, cubin or PTX by what the driver takes, and the parameters as the kernel reads them") {
  FakeCuda &state = fake();
  Setup s;
  Toolchain found = s.tools;
  s.tools = Toolchain();
  s.spec.lse = true;
  {
    v1::Result<Plan> plan = s.plan(fakeGpu());
    REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().message));
    std::vector<HostArray> arrays = s.arrays(*plan);
    v1::Result<HostRun> run = runOnHost(plan->program, arrays);
    REQUIRE_MESSAGE(run, (run ? "" : run.error().message));
    CHECK(has(plan->loaded().image().why, "PTX, assembled by the driver: ptxas was not found"));
    CHECK(has(state.lastImage, ".visible .entry attention"));
    CHECK(plan->loaded().kernels()[0].registers == 168); // as the driver says
    CHECK(plan->loaded().kernels()[0].blocksPerSm == 2);
    // The made-up GPU computes nothing.
    CHECK(arrays[3].as<uint16_t>()[5] == reference::unwritten16);
    CHECK(arrays[4].as<uint32_t>()[7] == reference::unwritten32);
    REQUIRE(state.launches.size() == 1);
    CHECK(state.liveAllocations == 0);
    CHECK(state.maxDynamicShared == 4096);
    REQUIRE(state.launches[0].params.size() == 160);
    auto word = [&](size_t at) {
      int64_t value;
      std::memcpy(&value, state.launches[0].params.data() + at, sizeof value);
      return value;
    };
    CHECK(word(0) % 256 == 0);
    CHECK(word(24) == arrays[0].layout.strides[2]);
    CHECK(word(96 + 16) == arrays[3].layout.strides[1]);
    CHECK(word(128 + 8) == arrays[4].layout.strides[0]);
    CHECK(word(152) == 65 + (int64_t(33) << 32));
  }
  if (!found.tool(Tool::Ptxas))
    return;
  s.tools = found;
  v1::Result<Plan> plan = s.plan(fakeGpu());
  REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().message));
  CHECK(has(plan->loaded().image().why, "cubin by ptxas"));
  CHECK(state.lastImage.starts_with("\x7f"
                                    "ELF"));
  std::vector<HostArray> arrays = s.arrays(*plan);
  state.failures = {{"cuLaunchKernel", 701}};
  v1::Result<HostRun> run = runOnHost(plan->program, arrays);
  REQUIRE(!run);
  CHECK(has(run.error().message, "cannot launch 2 x 4 x 2 blocks of 64 threads"));
  CHECK(state.liveAllocations == 0);
}
