// The flow from spec to outputs with a made-up compiler, whose kernel copies Q to O.
#include "compiler/spec/KernelParams.h"
#include "runtime/io/File.h"
#include "runtime/launch/Runner.h"
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
  reference::Problem problem;
  std::vector<uint16_t> q, k, v;
  TempDir folder = std::move(*TempDir::make());
  Cache cache{folder.path() + "/cache"};
  Toolchain tools = Toolchain::find();

  Setup() {
    spec.headDimQk = spec.headDimV = 16;
    problem = reference::denseProblem(spec, 2, 4, 2, 65, 33);
    resize();
  }
  void resize() {
    SpanLengths lengths = spanLengths(spec, problem);
    q.resize(size_t(lengths.q));
    k.resize(size_t(lengths.k));
    v.resize(size_t(lengths.v));
    for (size_t i = 0; i < q.size(); ++i)
      q[i] = uint16_t(i);
  }
  RunRequest request() const { return {spec, Target::PTX, problem, q, k, v, "", {}}; }
};

std::unique_ptr<Device> simulator() {
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

std::unique_ptr<Device> fakeGpu() {
  DeviceOptions options;
  options.which = "cuda";
  options.cudaDriver = ATTUNE_FAKE_CUDA;
  return std::move(*openDevice(options));
}

/// A wrong problem's message.
std::string refusal(const AttentionSpec &spec, const reference::Problem &problem) {
  Status status = validateProblem(spec, problem);
  return status ? "" : status.error().message;
}

} // namespace

TEST_CASE("problems: each mistake is named") {
  Setup s;
  CHECK(refusal(s.spec, s.problem).empty());
  reference::Problem p = s.problem;
  p.lengthKv = 0;
  p.headsQ = 3;
  std::string text = refusal(s.spec, p);
  CHECK(has(text, "expected len_kv in 1..1073741824, got 0"));
  CHECK(has(text, "multiple of heads_kv, got 3 and 2"));
  p = s.problem;
  p.batch = 70000;
  CHECK(has(refusal(s.spec, p), "expected batch in 1..65535 (the grid's z), got 70000"));
  p = s.problem;
  p.q.row = 17;
  CHECK(has(refusal(s.spec, p), "row stride of q that is a multiple of 8 elements (16 bytes), got 17"));
  p = s.problem;
  p.k.head = -8;
  CHECK(has(refusal(s.spec, p), "head stride of k that is not negative, got -8"));
  p = s.problem;
  p.v.batch = INT64_MAX / 8 * 8;
  p.batch = 3;
  CHECK(has(refusal(s.spec, p), "strides of v whose bytes 64 bits count"));
  p = s.problem;
  p.k.row = int64_t(1) << 30;
  CHECK(has(refusal(s.spec, p), "row stride of k below 1073741824 elements"));
  p = s.problem;
  p.o.head = 8;
  CHECK(has(refusal(s.spec, p), "strides of o that keep its elements apart"));
  p = s.problem;
  p.k.head = 0; // inputs may be broadcast
  CHECK(refusal(s.spec, p).empty());
  AttentionSpec withLse = s.spec;
  withLse.lse = true;
  p = reference::denseProblem(withLse, 2, 4, 2, 65, 33);
  CHECK(refusal(withLse, p).empty()); // 65 is no multiple of 8, and need not be
  p.lse.row = 2;
  CHECK(has(refusal(withLse, p), "adjacent rows of lse"));
}

TEST_CASE("spans: from the first to the last element, whatever the layout") {
  Setup s;
  CHECK(spanLengths(s.spec, s.problem).q == 2 * 65 * 4 * 16);
  CHECK(spanLengths(s.spec, s.problem).k == 2 * 33 * 2 * 16);
  reference::Problem p = s.problem;
  p.q = {100000, 64, 256};
  CHECK(spanLengths(s.spec, p).q == 100000 + 3 * 64 + 64 * 256 + 16);
}

TEST_CASE("kernels: metadata and artefacts survive the cache") {
  CompiledProgram kernel;
  kernel.text = *compile(AttentionSpec(), {*findArch("sm_86"), Target::CUDA, Stage::Text, ""});
  kernel.text.why = "a \"quoted\"\nreason";
  kernel.ptx = "ptx";
  kernel.cubin = std::string("\0\1\n", 3);
  kernel.assembler = "NVRTC 13.0";
  kernel.resources = AssemblerReport{96, 8, 4, 2, 16, 1};
  kernel.log = "log";
  CacheKey key;
  key.add("a", "b");
  Result<CompiledProgram> back = programFrom(*parseEntry(serializeEntry(toEntry(kernel, key))));
  REQUIRE_MESSAGE(back, (back ? "" : back.error().message));
  CHECK(back->text.text == kernel.text.text);
  CHECK(back->text.why == kernel.text.why);
  CHECK(back->text.arch.name == "sm_86");
  CHECK(back->text.target == Target::CUDA);
  CHECK(back->text.threads == 64);
  CHECK(back->text.schedule.blockKv == 64);
  CHECK(back->cubin == kernel.cubin);
  CHECK(back->assembler == "NVRTC 13.0");
  CHECK(back->resources == kernel.resources);
  CHECK(*back->blocksPerSm() == *kernel.blocksPerSm());
  CacheEntry entry = toEntry(kernel, key);
  CHECK(has(entry.artefacts[0].second, "\"registers\": 96"));
  std::string &metadata = entry.artefacts[0].second;
  metadata.replace(metadata.find("\"threads\": 64"), 13, "\"threads\": \"\"");
  CHECK(has(programFrom(entry).error().message, "no usable field 'threads'"));
  entry.artefacts.erase(entry.artefacts.begin());
  CHECK(!programFrom(entry));
}

TEST_CASE("build: a second one comes from the cache; damage, options and tools make misses") {
  Setup s;
  CompileOptions options{*findArch("sm_80"), Target::PTX, Stage::Text, ""};
  fakeCompiler.compilations = 0;
  Result<BuiltProgram> first = buildProgram(s.spec, options, CubinNeed::IfPossible, s.tools, s.cache);
  REQUIRE_MESSAGE(first, (first ? "" : first.error().message));
  CHECK(!first->fromCache);
  CHECK(first->notes.empty());
  CHECK(fs::exists(first->cacheFile));
  CHECK(first->kernel.cubin.empty() == !s.tools.tool(Tool::Ptxas));
  Result<BuiltProgram> second = buildProgram(s.spec, options, CubinNeed::IfPossible, s.tools, s.cache);
  REQUIRE(second);
  CHECK(second->fromCache);
  CHECK(second->kernel.ptx == first->kernel.ptx);
  CHECK(second->kernel.text.tileText == first->kernel.text.tileText);
  CHECK(second->kernel.assembler == first->kernel.assembler);
  CHECK(fakeCompiler.compilations == 1);
  // The layout is not part of the code, the head dimension is.
  AttentionSpec other = s.spec;
  other.layout = Layout::BHSD;
  CHECK(buildProgram(other, options, CubinNeed::IfPossible, s.tools, s.cache)->fromCache);
  other.headDimQk = 32;
  CHECK(!buildProgram(other, options, CubinNeed::IfPossible, s.tools, s.cache)->fromCache);
  options.arch = *findArch("sm_90");
  CHECK(!buildProgram(s.spec, options, CubinNeed::IfPossible, s.tools, s.cache)->fromCache);
  options.arch = *findArch("sm_80");
  CHECK(!buildProgram(s.spec, options, CubinNeed::IfPossible, s.tools, Cache())->fromCache);
  if (s.tools.tool(Tool::Ptxas))
    CHECK(!buildProgram(s.spec, options, CubinNeed::No, s.tools, s.cache)->fromCache);
  // Damage is told, and healed.
  std::ofstream(first->cacheFile, std::ios::app) << "x";
  Result<BuiltProgram> third = buildProgram(s.spec, options, CubinNeed::IfPossible, s.tools, s.cache);
  REQUIRE(third);
  CHECK(!third->fromCache);
  REQUIRE(third->notes.size() == 1);
  CHECK(has(third->notes[0], "checksum"));
  CHECK(buildProgram(s.spec, options, CubinNeed::IfPossible, s.tools, s.cache)->fromCache);
  // A folder that cannot be written costs the caching only.
  Result<BuiltProgram> uncached =
      buildProgram(s.spec, options, CubinNeed::No, s.tools, Cache("/proc/attune"));
  REQUIRE(uncached);
  REQUIRE(uncached->notes.size() == 1);
  CHECK(has(uncached->notes[0], "not cached: /proc/attune"));
  other.softcap = 1;
  CHECK(has(buildProgram(other, options, CubinNeed::No, s.tools, s.cache).error().message, "no softcap"));
}

TEST_CASE("build: without tools, PTX is all there is, and cuda says what is missing") {
  Setup s;
  Toolchain none;
  CompileOptions options{*findArch("sm_80"), Target::PTX, Stage::Text, ""};
  Result<BuiltProgram> built = buildProgram(s.spec, options, CubinNeed::IfPossible, none, s.cache);
  REQUIRE(built);
  CHECK(built->kernel.cubin.empty());
  CHECK(!built->kernel.resources);
  Result<BuiltProgram> refused = buildProgram(s.spec, options, CubinNeed::Yes, none, s.cache);
  REQUIRE(!refused);
  CHECK(refused.error().kind == ErrorKind::Missing);
  CHECK(has(refused.error().message, "ptxas was not found"));
  options.target = Target::CUDA;
  refused = buildProgram(s.spec, options, CubinNeed::No, none, s.cache);
  REQUIRE(!refused);
  CHECK(has(refused.error().message, "NVRTC was not found"));
}

TEST_CASE("build: a hit costs less than a millisecond") {
  Setup s;
  CompileOptions options{*findArch("sm_80"), Target::PTX, Stage::Text, ""};
  s.spec.headDimQk = 256;
  REQUIRE(buildProgram(s.spec, options, CubinNeed::IfPossible, s.tools, s.cache));
  double best = 1e9;
  for (int i = 0; i < 20; ++i) {
    StageClock clock;
    Result<BuiltProgram> built = buildProgram(s.spec, options, CubinNeed::IfPossible, s.tools, s.cache);
    best = std::min(best, clock.lap());
    REQUIRE(built);
    CHECK(built->fromCache);
  }
  CHECK(best < 1.0);
}

TEST_CASE("plan: what the spec leaves open is the advisor's to say, unless it does not fit") {
  Setup s;
  std::unique_ptr<Device> device = simulator();
  Advice advice{{.blockQ = 64, .blockKv = {}, .stages = 3, .warps = {}}, Target::PTX, "measured, 1.5 us"};
  ProblemShape asked;
  int calls = 0;
  Advisor advisor = [&](const AttentionSpec &, const ProblemShape &shape, const DeviceInfo &about) {
    ++calls;
    asked = shape;
    CHECK(about.kind == DeviceKind::Sim);
    return std::optional<Advice>(advice);
  };
  auto plan = [&](std::optional<Target> target) {
    Result<Plan> made = planKernel(*device, s.tools, s.cache, s.spec, target, s.problem, "", advisor);
    REQUIRE_MESSAGE(made, (made ? "" : made.error().message));
    return *made;
  };
  CHECK(planKernel(*device, s.tools, s.cache, s.spec, {}, s.problem)->built.kernel.text.why == "made up");
  Plan taken = plan({});
  CHECK(calls == 1);
  CHECK(asked == ProblemShape{2, 4, 2, 65, 33});
  CHECK(taken.built.kernel.text.why == "measured, 1.5 us");
  CHECK(!taken.built.fromCache); // another schedule is another kernel
  CHECK(plan({}).built.fromCache);
  CHECK(has(describe(taken), "(measured, 1.5 us)"));
  CHECK(taken.built.notes.empty());
  // What the user fixed wins, and the plan says so.
  s.spec.schedule.stages = 2;
  Plan fixed = plan({});
  CHECK(fixed.built.kernel.text.why == "made up");
  REQUIRE(fixed.built.notes.size() == 1);
  CHECK(has(fixed.built.notes[0], "advice not taken: it is for stages 3, and 2 was asked for (measured"));
  s.spec.schedule = {};
  advice.target = Target::CUDA;
  CHECK(has(plan(Target::PTX).built.notes[0], "for target cuda, and ptx was asked for"));
  // Advice that the compiler refuses costs only the advice.
  advice.target = Target::PTX;
  advice.schedule.stages = refusedStages;
  Plan refused = plan({});
  CHECK(refused.built.kernel.text.why == "made up");
  CHECK(has(refused.built.notes[0], "advice not taken: made up: too many stages (measured"));
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
  std::unique_ptr<Device> device = simulator();
  Result<RunResult> result = runAttention(*device, s.tools, s.cache, s.request());
  REQUIRE_MESSAGE(result, (result ? "" : result.error().message));
  CHECK(result->o == s.q);
  CHECK(result->lse.empty());
  CHECK(result->counters->warpInstructions > 0);
  CHECK(result->plan.image == ImageKind::PTX);
  std::string text = describe(result->plan);
  CHECK(has(text, "attention, target ptx, sm_80"));
  CHECK(has(text, "block_q 64, block_kv 64, stages 2, warps 2 (made up)"));
  CHECK(has(text, "2 x 4 x 2 blocks of 64 threads"));
  CHECK(has(text, "simulated sm_80 (asked for)"));
  if (s.tools.tool(Tool::Ptxas)) {
    CHECK(result->plan.registers > 0);
    CHECK(result->plan.blocksPerSm > 0);
  }
  std::vector<std::string> names;
  for (auto &[name, ms] : result->times) {
    names.push_back(name);
    CHECK(ms >= 0);
  }
  CHECK(names.front() == "generate");
  CHECK(names.back() == "copy out");
}

TEST_CASE("run: strided arrays, and rows that the kernel does not write stay marked") {
  Setup s;
  s.problem.o.row += 8;
  s.problem.o.head += 65 * 8 * 4;
  s.problem.o = {4 * 65 * 24, 65 * 24, 24};
  Result<RunResult> result = runAttention(*simulator(), s.tools, s.cache, s.request());
  REQUIRE_MESSAGE(result, (result ? "" : result.error().message));
  CHECK(result->o[0] == s.q[0]);
  CHECK(result->o[16] == reference::unwritten16);
  CHECK(result->o[24 + 15] == s.q[size_t(s.problem.q.row) + 15]);
}

TEST_CASE("run: faults found by the simulator name the PTX line and the tile op") {
  Setup s;
  s.spec.name = "faulty";
  fakeCompiler.faulty = true;
  Result<RunResult> result = runAttention(*simulator(), s.tools, s.cache, s.request());
  fakeCompiler.faulty = false;
  REQUIRE(!result);
  CHECK(result.error().kind == ErrorKind::Verification);
  CHECK(has(result.error().message, "faulty.ptx:"));
  CHECK(has(result.error().message, "the end of 'q'"));
  CHECK(has(result.error().message, "from: copy rows"));
}

TEST_CASE("run: arrays that are too small, problems that are wrong") {
  Setup s;
  s.k.pop_back();
  CHECK(has(runAttention(*simulator(), s.tools, s.cache, s.request()).error().message,
            "expected at least 2112 elements of k for this problem, got 2111"));
  s.problem.headsKv = 3;
  CHECK(
      has(runAttention(*simulator(), s.tools, s.cache, s.request()).error().message, "multiple of heads_kv"));
}

TEST_CASE(
    "run: on a GPU, cubin or PTX by what the driver takes, and the parameters as the kernel reads them") {
  FakeCuda &state = fake();
  Setup s;
  s.spec.lse = true;
  s.problem = reference::denseProblem(s.spec, 2, 4, 2, 65, 33);
  Result<RunResult> result = runAttention(*fakeGpu(), Toolchain(), s.cache, s.request());
  REQUIRE_MESSAGE(result, (result ? "" : result.error().message));
  CHECK(has(result->plan.imageWhy, "PTX, assembled by the driver: ptxas was not found"));
  CHECK(has(state.lastImage, ".visible .entry attention"));
  CHECK(result->plan.registers == 168); // as the driver says
  CHECK(result->plan.blocksPerSm == 2);
  // The made-up GPU computes nothing.
  CHECK(result->o[5] == reference::unwritten16);
  uint32_t bits;
  std::memcpy(&bits, &result->lse[7], 4);
  CHECK(bits == reference::unwritten32);
  REQUIRE(state.launches.size() == 1);
  CHECK(state.liveAllocations == 0);
  CHECK(state.maxDynamicShared == 4096);
  ForwardParams params;
  REQUIRE(state.launches[0].params.size() == sizeof params);
  std::memcpy(&params, state.launches[0].params.data(), sizeof params);
  CHECK(params.q.rowStride == s.problem.q.row);
  CHECK(params.o.headStride == s.problem.o.head);
  CHECK(params.lse.batchStride == s.problem.lse.batch);
  CHECK(params.lengthQ == 65);
  CHECK(params.lengthKv == 33);
  CHECK(params.headsPerKvHead == 2);
  CHECK(params.q.base % 256 == 0);

  if (!s.tools.tool(Tool::Ptxas))
    return;
  result = runAttention(*fakeGpu(), s.tools, s.cache, s.request());
  REQUIRE_MESSAGE(result, (result ? "" : result.error().message));
  CHECK(has(result->plan.imageWhy, "cubin by ptxas"));
  CHECK(state.lastImage.starts_with("\x7f"
                                    "ELF"));
  state.failures = {{"cuLaunchKernel", 701}};
  result = runAttention(*fakeGpu(), s.tools, s.cache, s.request());
  REQUIRE(!result);
  CHECK(has(result.error().message, "cannot launch 2 x 4 x 2 blocks of 64 threads"));
  CHECK(state.liveAllocations == 0);
}
