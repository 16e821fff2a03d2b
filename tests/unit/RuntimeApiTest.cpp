// The public interface over the simulated GPU and a made-up driver, with a made-up compiler whose kernel
// copies Q to O.
#include "runtime/api/Api.h"

#include "compiler/spec/KernelParams.h"
#include "runtime/File.h"
#include "runtime/jit/KernelBuild.h"
#include "tests/unit/RuntimeFakeCompiler.h"
#include "tests/unit/RuntimeFakeCuda.h"

#include <chrono>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace attune;
using v1::ErrorCode;
namespace fs = std::filesystem;

/// Of this thread; the operators below count.
thread_local size_t allocations = 0;

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool sanitized = true; // whose own operators count, and whose times mean nothing
#else
constexpr bool sanitized = false;
void *operator new(size_t bytes) {
  ++allocations;
  if (void *memory = std::malloc(bytes))
    return memory;
  throw std::bad_alloc();
}
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, size_t) noexcept { std::free(memory); }
#endif

namespace {

bool has(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

/// The public compiler, with the tools that a test gives it.
class TestCompiler final : public v1::Compiler {
public:
  attune::Result<BuiltKernel> build(const AttentionSpec &spec, const Arch &arch, Target target,
                                    const Cache &cache, bool again) const override {
    CompileOptions options;
    options.arch = arch;
    options.target = target;
    return buildKernel(spec, options, CubinNeed::IfPossible, tools, cache,
                       again ? CacheUse::Replace : CacheUse::LookUp);
  }
  Toolchain tools; ///< none
};

struct Setup {
  TempDir temporary = std::move(*TempDir::make());
  TestCompiler compiler;
  v1::ContextOptions options;
  v1::Spec spec;
  v1::Shape shape{.batch = 2, .headsQ = 4, .headsKv = 2, .lengthQ = 65, .lengthKv = 33};

  Setup() {
    options.device = "sim";
    options.cacheFolder = temporary.path() + "/cache";
    options.compiler = &compiler;
    options.simulator = v1::simulator();
    options.cudaDriver = ATTUNE_FAKE_CUDA;
    spec.headDimQk = spec.headDimV = 16;
    fakeCompiler.compilations = 0;
    fakeCompiler.milliseconds = 0;
    fakeCompiler.faulty = false;
  }
  v1::Context open() const {
    v1::Result<v1::Context> context = v1::Context::open(options);
    REQUIRE_MESSAGE(context, (context ? "" : context.error().message));
    return *context;
  }
  v1::Plan plan(const v1::Context &context) const {
    v1::Result<v1::Plan> plan = context.plan(spec, shape);
    REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().message));
    return *plan;
  }
};

FakeCuda &fake() {
  static void *library = ::dlopen(ATTUNE_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library);
  FakeCuda &state = *reinterpret_cast<FakeCudaFunction>(::dlsym(library, "fakeCuda"))();
  state.reset();
  return state;
}

/// Addresses that a made-up GPU never reads.
void *at(uintptr_t address) { return reinterpret_cast<void *>(address); }
v1::Arguments someArguments(const v1::Plan &plan, bool lse = false) {
  return plan.dense(at(0x1000), at(0x2000), at(0x3000), at(0x4000), lse ? at(0x5000) : nullptr);
}

} // namespace

TEST_CASE("api: plan, launch and check on the simulated GPU") {
  Setup s;
  v1::Context context = s.open();
  CHECK(context.device().simulated);
  CHECK(context.device().arch == "sm_80");
  CHECK(context.device().why == "asked for");
  v1::Plan plan = s.plan(context);
  const v1::PlanInfo &info = plan.info();
  CHECK(info.kernel == "attention");
  CHECK(info.target == v1::Target::PTX);
  CHECK(info.why == "made up");
  CHECK(info.blockQ == 64);
  CHECK(info.warps == 2);
  CHECK(info.grid[0] == 2);
  CHECK(info.grid[1] == 4);
  CHECK(info.grid[2] == 2);
  CHECK(info.block[0] == 64);
  CHECK(info.sharedBytes == 4096);
  CHECK(info.workspaceBytes == 0);
  CHECK(!info.fromCache);
  CHECK(fs::exists(info.cacheFile));
  CHECK(info.notes.empty());
  CHECK(!info.stageTimes.empty());
  CHECK(has(plan.describe(), "attention, target ptx, sm_80"));
  CHECK(has(plan.describe(), "(made up)"));
  CHECK(has(plan.describe(), "simulated sm_80 (asked for)"));

  size_t q = 2 * 65 * 4 * 16, k = 2 * 33 * 2 * 16;
  std::vector<uint16_t> in(q), out(q);
  for (size_t i = 0; i < q; ++i)
    in[i] = uint16_t(i * 7);
  v1::Buffer bufferQ = *context.allocate(2 * q, "q"), bufferK = *context.allocate(2 * k),
             bufferO = *context.allocate(2 * q, "o");
  CHECK(bufferQ.size() == 2 * q);
  REQUIRE(context.copyIn(bufferQ.data(), in.data(), 2 * q));
  v1::Status launched =
      plan.launch(nullptr, plan.dense(bufferQ.data(), bufferK.data(), bufferK.data(), bufferO.data()));
  REQUIRE_MESSAGE(launched, (launched ? "" : launched.error().message));
  REQUIRE(context.synchronize());
  REQUIRE(context.copyOut(out.data(), bufferO.data(), 2 * q));
  CHECK(in == out);

  // Another shape of the same kernel comes from the context, and from the cache in another one.
  s.shape.lengthQ = 1;
  v1::Plan again = s.plan(context);
  CHECK(again.info().grid[0] == 1);
  CHECK(again.info().stageTimes.empty());
  CHECK(s.plan(s.open()).info().fromCache);
  CHECK(fakeCompiler.compilations == 1);
}

TEST_CASE("api: specs from JSON are those of the command line") {
  v1::Result<v1::Spec> spec = v1::Spec::fromJson(
      R"({"name": "k", "dtype": "fp16", "head_dim": 64, "mask": ["causal:bottom_right", "window:5:"], "lse": true,
          "layout": "bhsd", "scale": 0.5, "softcap": 30, "schedule": {"block_q": 64, "warps": 4}})");
  REQUIRE_MESSAGE(spec, (spec ? "" : spec.error().message));
  CHECK(spec->name == "k");
  CHECK(spec->dtype == v1::DType::F16);
  CHECK(spec->headDimV == 64);
  CHECK(spec->layout == v1::Layout::BHSD);
  CHECK(spec->mask.size() == 2);
  CHECK(spec->mask[0].align == v1::MaskAlign::BottomRight);
  CHECK(!spec->mask[0].left);
  CHECK(spec->lse);
  CHECK(spec->scale == 0.5);
  CHECK(spec->softcap == 30);
  CHECK(spec->schedule.blockQ == 64);
  CHECK(!spec->schedule.stages);
  CHECK(codeKey(toInside(*spec)) == codeKey(toInside(toPublic(toInside(*spec)))));
  spec = v1::Spec::fromJson("{\n  \"head_dim\": 100,\n  \"maks\": 1\n}", "x.json");
  REQUIRE(!spec);
  CHECK(has(spec.error().message, "x.json:2:15: error: expected a multiple of 8"));
  CHECK(has(spec.error().message, "x.json:3:3"));
}

TEST_CASE("api: every error code is reached, and nothing is launched") {
  FakeCuda &state = fake();
  Setup s;
  std::set<ErrorCode> reached;
  auto expect = [&](const auto &result, ErrorCode code, const std::string &part) {
    REQUIRE(!result);
    CAPTURE(result.error().message);
    CHECK(v1::nameOf(result.error().code) == std::string(v1::nameOf(code)));
    CHECK(has(result.error().message, part));
    reached.insert(result.error().code);
  };
  v1::ContextOptions wrong = s.options;
  wrong.device = "tpu";
  expect(v1::Context::open(wrong), ErrorCode::InvalidOptions, "expected a device among");
  wrong = s.options;
  wrong.arch = "sm_10";
  expect(v1::Context::open(wrong), ErrorCode::InvalidOptions, "got 'sm_10'");
  wrong.policy = v1::Policy(17);
  expect(v1::Context::open(wrong), ErrorCode::InvalidOptions, "an enumerator of Policy");
  wrong.policy = v1::Policy::CacheOnly;
  wrong.target = v1::Target(2);
  expect(v1::Context::open(wrong), ErrorCode::InvalidOptions, "an enumerator of Target");
  wrong = s.options;
  wrong.device = "cuda";
  wrong.cudaDriver = "libno-such-driver.so";
  expect(v1::Context::open(wrong), ErrorCode::NoDevice, "no NVIDIA driver");

  wrong.simulator = nullptr;
  expect(v1::Context::open(wrong), ErrorCode::NoDevice, "no NVIDIA driver");
  wrong.device = "auto";
  expect(v1::Context::open(wrong), ErrorCode::NoDevice, "and this program has no simulated GPU");
  wrong.device = "sim";
  expect(v1::Context::open(wrong), ErrorCode::NoDevice, "this program has no simulated GPU");

  v1::Context sim = s.open();
  v1::Spec spec = s.spec;
  spec.headDimQk = 100;
  expect(sim.plan(spec, s.shape), ErrorCode::InvalidSpec, "expected a multiple of 8");
  spec = s.spec;
  spec.name = "no identifier";
  expect(sim.plan(spec, s.shape), ErrorCode::InvalidSpec, "name");
  spec = s.spec;
  spec.scale = std::numeric_limits<double>::quiet_NaN();
  expect(sim.plan(spec, s.shape), ErrorCode::InvalidSpec, "finite scale");
  spec.scale = {};
  spec.mask = {{.left = -3, .right = 0}};
  expect(sim.plan(spec, s.shape), ErrorCode::InvalidSpec, "-3");
  spec = s.spec;
  spec.dtype = v1::DType(7);
  spec.mask = {{.left = 1, .align = v1::MaskAlign(-1)}};
  expect(sim.plan(spec, s.shape), ErrorCode::InvalidSpec, "an enumerator of DType, got 7");
  expect(sim.plan(spec, s.shape), ErrorCode::InvalidSpec, "an enumerator of MaskAlign, got -1");
  auto odd = [&](auto change) {
    v1::Spec strange = s.spec;
    change(strange);
    v1::Result<v1::Plan> refused = sim.plan(strange, s.shape);
    REQUIRE(!refused);
    CAPTURE(refused.error().message);
    CHECK(
        (refused.error().code == ErrorCode::InvalidSpec || refused.error().code == ErrorCode::CompileFailed));
    CHECK(!refused.error().message.empty());
  };
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (int dim : {0, -8, 7, 264, INT_MIN, INT_MAX})
    odd([&](v1::Spec &strange) { strange.headDimQk = dim; });
  for (double number : {infinity, -infinity, std::numeric_limits<double>::quiet_NaN()}) {
    odd([&](v1::Spec &strange) { strange.scale = number; });
    odd([&](v1::Spec &strange) { strange.softcap = number; });
  }
  for (double number : {0.0, -1.0, 1e300})
    odd([&](v1::Spec &strange) { strange.softcap = number; });
  for (int64_t bound : {INT64_MIN, INT64_MAX, int64_t(-1), int64_t(1) << 30})
    odd([&](v1::Spec &strange) { strange.mask = {{.left = bound, .right = bound}}; });
  odd([](v1::Spec &strange) { strange.mask.resize(1000, {.left = 5}); });
  for (const char *name : {"", "1a", "a b", "\n", "\xff"})
    odd([&](v1::Spec &strange) { strange.name = name; });
  odd([](v1::Spec &strange) { strange.name.assign(1000000, 'a'); });
  for (int number : {-1, 0, 3, INT_MAX, INT_MIN}) {
    odd([&](v1::Spec &strange) { strange.schedule.warps = number; });
    odd([&](v1::Spec &strange) { strange.schedule.blockQ = number; });
  }
  v1::Shape shape = s.shape;
  shape.headsQ = 3;
  shape.lengthKv = int64_t(1) << 40;
  expect(sim.plan(s.spec, shape), ErrorCode::InvalidShape, "multiple of heads_kv, got 3 and 2");
  expect(sim.plan(s.spec, shape), ErrorCode::InvalidShape,
         "expected len_kv in 1..1073741824, got 1099511627776");
  spec = s.spec;
  spec.softcap = 3;
  expect(sim.plan(spec, s.shape), ErrorCode::CompileFailed, "no softcap");
  wrong = s.options;
  wrong.target = v1::Target::CUDA;
  expect(v1::Context::open(wrong)->plan(s.spec, s.shape), ErrorCode::ToolMissing, "NVRTC was not found");
  wrong = s.options;
  wrong.compiler = nullptr;
  expect(v1::Context::open(wrong)->plan(s.spec, s.shape), ErrorCode::NotCached,
         "kernel 'attention' for sm_80, target ptx, is not in " + *s.options.cacheFolder);
  wrong.cacheFolder = "";
  expect(v1::Context::open(wrong)->plan(s.spec, s.shape), ErrorCode::NotCached, "there is none");

  // A kernel that reads beyond its arrays.
  spec = s.spec;
  spec.name = "faulty";
  fakeCompiler.faulty = true;
  v1::Result<v1::Plan> faulty = sim.plan(spec, s.shape);
  fakeCompiler.faulty = false;
  REQUIRE(faulty);
  v1::Buffer buffer = *sim.allocate(1 << 20, "everything"), output = *sim.allocate(1 << 20);
  expect(faulty->launch(nullptr, faulty->dense(buffer.data(), buffer.data(), buffer.data(), output.data())),
         ErrorCode::KernelFault, "from: copy rows");
  expect(sim.copyIn(buffer.data(), nullptr, 4), ErrorCode::NullPointer, "null");
  expect(sim.copyOut(nullptr, buffer.data(), 4), ErrorCode::NullPointer, "null");
  expect(sim.copyIn(buffer.data(), &spec, 2 << 20), ErrorCode::DeviceFailed, "");

  s.options.device = "cuda";
  v1::Context gpu = s.open();
  s.spec.lse = true;
  v1::Plan plan = s.plan(gpu);
  const v1::Arguments good = someArguments(plan, true);
  v1::Arguments bad = good;
  bad.k.data = nullptr;
  expect(plan.launch(nullptr, bad), ErrorCode::NullPointer, "the device address of k, got null");
  bad = good;
  bad.lse.data = nullptr;
  expect(plan.launch(nullptr, bad), ErrorCode::NullPointer, "address of lse");
  bad = good;
  bad.v.data = at(0x3008);
  expect(plan.launch(nullptr, bad), ErrorCode::Misaligned, "v at a multiple of 16 bytes, got 0x3008");
  bad = good;
  bad.lse.data = at(0x5002);
  expect(plan.launch(nullptr, bad), ErrorCode::Misaligned, "lse at a multiple of 4 bytes");
  bad = good;
  bad.o.data = at(0x3000);
  expect(plan.launch(nullptr, bad), ErrorCode::InvalidArgument, "o apart from v, got 0x3000 for both");
  bad = good;
  bad.q.strides.row += 1;
  bad.o.strides.head = -8;
  expect(plan.launch(nullptr, bad), ErrorCode::InvalidStrides, "row stride of q that is a multiple of 8");
  expect(plan.launch(nullptr, bad), ErrorCode::InvalidStrides,
         "head stride of o that is not negative, got -8");
  bad = good;
  bad.o.strides.batch = 0;
  expect(plan.launch(nullptr, bad), ErrorCode::InvalidStrides, "keep its elements apart");
  bad = good;
  bad.k.strides.batch = INT64_MAX / 8 * 8;
  bad.k.strides.row = 8;
  bad.k.strides.head = INT64_MAX / 8 * 8;
  expect(plan.launch(nullptr, bad), ErrorCode::InvalidStrides, "64 bits");
  s.spec.lse = false;
  v1::Plan noLse = s.plan(gpu);
  expect(noLse.launch(nullptr, someArguments(noLse, true)), ErrorCode::InvalidArgument, "computes none");
  v1::Plan moved = std::move(noLse);
  expect(noLse.launch(nullptr, good), ErrorCode::EmptyHandle, "moved from");
  CHECK(noLse.info().kernel.empty());
  CHECK(noLse.describe().empty());
  CHECK(!noLse.dense(at(16), at(16), at(16), at(16)).q.data);
  CHECK(state.launches.empty());
  state.failures = {{"cuLaunchKernel", 1}};
  expect(plan.launch(nullptr, good), ErrorCode::LaunchFailed, "cannot launch 2 x 4 x 2 blocks of 64 threads");
  state.failures = {{"cuLaunchKernel", 700}};
  expect(plan.launch(nullptr, good), ErrorCode::KernelFault, "the kernel is wrong");
  state.failures = {{"cuStreamSynchronize", 999}};
  expect(gpu.synchronize(), ErrorCode::DeviceFailed, "reports a failure");
  state.failures = {{"cuStreamSynchronize", 719}};
  expect(gpu.synchronize(), ErrorCode::KernelFault, "the kernel is wrong");
  state.failures = {{"cuModuleLoadDataEx", 218}};
  s.spec.name = "another";
  expect(gpu.plan(s.spec, s.shape), ErrorCode::LoadFailed, "another.ptx: the driver");
  state.failures.clear();
  CHECK(gpu.plan(s.spec, s.shape)); // a failure is not remembered
  state.memory = 1 << 20;
  expect(gpu.allocate(size_t(1) << 30), ErrorCode::OutOfMemory, "1073741824 bytes");
  v1::Context movedContext = std::move(gpu);
  expect(gpu.plan(s.spec, s.shape), ErrorCode::EmptyHandle, "context");
  expect(gpu.allocate(1), ErrorCode::EmptyHandle, "context");
  expect(gpu.synchronize(), ErrorCode::EmptyHandle, "context");
  CHECK(gpu.device().name.empty());
  CHECK(gpu.cacheFolder().empty());
  CHECK(state.launches.empty());
  REQUIRE(plan.launch(at(0x77), good));
  REQUIRE(state.launches.size() == 1);
  CHECK(state.launches[0].stream == at(0x77));

  for (int code = 0; code <= int(ErrorCode::DeviceFailed); ++code) {
    CAPTURE(v1::nameOf(ErrorCode(code)));
    CHECK(reached.contains(ErrorCode(code)));
  }
}

TEST_CASE("api: a launch passes its arrays on as the kernel reads them") {
  FakeCuda &state = fake();
  Setup s;
  s.options.device = "cuda:0";
  s.spec.lse = true;
  v1::Plan plan = s.plan(s.open()); // the plan keeps the device open
  v1::Arguments arguments = someArguments(plan, true);
  arguments.q.strides = {1 << 20, 64, 512};
  REQUIRE(plan.launch(nullptr, arguments));
  REQUIRE(state.launches.size() == 1);
  ForwardParams params;
  REQUIRE(state.launches[0].params.size() == sizeof params);
  std::memcpy(&params, state.launches[0].params.data(), sizeof params);
  CHECK(params.q.base == 0x1000);
  CHECK(params.q.batchStride == 1 << 20);
  CHECK(params.q.headStride == 64);
  CHECK(params.q.rowStride == 512);
  CHECK(params.k.batchStride == 33 * 2 * 16);
  CHECK(params.o.base == 0x4000);
  CHECK(params.lse.base == 0x5000);
  CHECK(params.lse.headStride == 65);
  CHECK(params.lengthQ == 65);
  CHECK(params.headsPerKvHead == 2);
  CHECK(state.launches[0].grid[0] == 2);
  CHECK(state.launches[0].shared == 4096);
  CHECK(has(plan.info().image, "PTX, assembled by the driver"));
  CHECK(plan.info().registers == 168);
  CHECK(plan.info().blocksPerSm == 2);
  CHECK(state.retained == 1);
}

TEST_CASE("api: launches can be captured, take no memory and cost less than two microseconds") {
  FakeCuda &state = fake();
  Setup s;
  s.options.device = "cuda";
  s.spec.lse = true;
  v1::Context context = s.open();
  v1::Plan plan = s.plan(context);
  v1::Arguments arguments = someArguments(plan, true);
  state.calls.clear();
  state.capturing = true;
  REQUIRE(plan.launch(at(0x77), arguments));
  CHECK(state.calls == std::vector<std::string>{"cuLaunchKernel"});
  CHECK(!context.synchronize()); // the made-up driver does refuse what a capture forbids
  state.capturing = false;

  state.quiet = true;
  constexpr int launches = 10000;
  double best = 1e9;
  for (int round = 0; round < 20; ++round) {
    size_t before = allocations;
    auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < launches; ++i)
      if (!plan.launch(nullptr, arguments))
        FAIL("a launch failed");
    std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
    CHECK(allocations == before);
    best = std::min(best, took.count() / launches);
  }
  CHECK(state.quietCalls == 20 * launches);
  state.quiet = false;
  MESSAGE(fmt::format("one launch: {:.3f} us", best));
  CHECK((sanitized || best < 2.0));
}

TEST_CASE("api: plans from the context take microseconds, from the cache less than a millisecond") {
  Setup s;
  s.spec.headDimQk = s.spec.headDimV = 256;
  v1::Context context = s.open();
  s.plan(context);
  double known = 1e9, cached = 1e9;
  auto time = [&](const v1::Context &from) {
    StageClock clock;
    v1::Plan plan = s.plan(from);
    return clock.lap();
  };
  for (int i = 0; i < 20; ++i) {
    known = std::min(known, time(context));
    cached = std::min(cached, time(s.open()));
  }
  MESSAGE(fmt::format("plan of a kernel that the context has: {:.1f} us; from the cache, loaded: {:.0f} us",
                      1000 * known, 1000 * cached));
  CHECK((sanitized || known < 0.1));
  CHECK((sanitized || cached < 1.0));
}

TEST_CASE("api: threads that plan one new kernel compile it once") {
  for (bool withCache : {true, false}) {
    Setup s;
    if (!withCache)
      s.options.cacheFolder = "";
    fakeCompiler.milliseconds = 30;
    v1::Context context = s.open();
    std::vector<std::thread> threads;
    std::atomic<int> good = 0;
    for (int i = 0; i < 16; ++i)
      threads.emplace_back([&, i] {
        v1::Shape shape = s.shape;
        shape.lengthQ = 1 + i;
        v1::Result<v1::Plan> plan = context.plan(s.spec, shape);
        good += plan && plan->info().kernel == "attention" && plan->info().grid[1] == 4;
      });
    for (std::thread &thread : threads)
      thread.join();
    CHECK(good == 16);
    CHECK(fakeCompiler.compilations == 1);
  }
  // Contexts of one process share the cache as processes do.
  Setup s;
  fakeCompiler.milliseconds = 30;
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      v1::Result<v1::Context> context = v1::Context::open(s.options);
      good += context && context->plan(s.spec, s.shape);
    });
  for (std::thread &thread : threads)
    thread.join();
  CHECK(good == 8);
  CHECK(fakeCompiler.compilations == 1);
  // Different kernels, errors among them, at the same time.
  threads.clear();
  good = 0;
  std::atomic<int> refused = 0;
  v1::Context context = s.open();
  for (int i = 0; i < 16; ++i)
    threads.emplace_back([&, i] {
      v1::Spec spec = s.spec;
      spec.name = fmt::format("kernel{}", i % 4);
      if (i % 4 == 3)
        spec.softcap = 1;
      v1::Result<v1::Plan> plan = context.plan(spec, s.shape);
      good += plan && plan->info().kernel == spec.name;
      refused += !plan && plan.error().code == ErrorCode::CompileFailed;
    });
  for (std::thread &thread : threads)
    thread.join();
  CHECK(good == 12);
  CHECK(refused == 4);
}

TEST_CASE("api: threads launch at once") {
  FakeCuda &state = fake();
  Setup s;
  s.options.device = "cuda";
  v1::Plan plan = s.plan(s.open());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      v1::Plan copy = plan;
      for (int n = 0; n < 50; ++n)
        (void)bool(copy.launch(nullptr, someArguments(copy)));
    });
  for (std::thread &thread : threads)
    thread.join();
  CHECK(state.launches.size() == 200);
}

TEST_CASE("api: a program without a compiler takes what answers its request, whoever made it") {
  Setup s;
  v1::Plan made = s.plan(s.open());
  v1::ContextOptions noCompiler = s.options;
  noCompiler.compiler = nullptr;
  v1::ContextOptions cacheOnly = s.options;
  cacheOnly.policy = v1::Policy::CacheOnly;
  for (const v1::ContextOptions &options : {noCompiler, cacheOnly}) {
    v1::Result<v1::Context> context = v1::Context::open(options);
    v1::Result<v1::Plan> plan = context->plan(s.spec, s.shape);
    REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().message));
    CHECK(plan->info().fromCache);
    CHECK(plan->info().cacheFile == made.info().cacheFile);
  }
  CHECK(fakeCompiler.compilations == 1);
  // Made with other tools, it is another entry with the same request; the broken one is passed over and told.
  CacheKey key = requestKey(toInside(s.spec), *findArch("sm_80"), Target::PTX);
  key.add("compiler", "another");
  Cache cache(*s.options.cacheFolder);
  CacheEntry entry = *cache.load(made.info().cacheFile);
  entry.key = key.text();
  REQUIRE(cache.store(key, entry));
  std::ofstream(made.info().cacheFile, std::ios::app) << "x";
  v1::Result<v1::Plan> plan = v1::Context::open(noCompiler)->plan(s.spec, s.shape);
  REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().message));
  CHECK(plan->info().cacheFile == cache.fileOf(key));
  CHECK(has(plan->describe(), "checksum"));
  // Nothing left that can be used: the message says what is wrong with it.
  std::ofstream(cache.fileOf(key), std::ios::trunc) << "junk";
  plan = v1::Context::open(noCompiler)->plan(s.spec, s.shape);
  REQUIRE(!plan);
  CHECK(plan.error().code == ErrorCode::NotCached);
  CHECK(has(plan.error().message, "not a cache entry"));
  CHECK(has(plan.error().message, "checksum"));
}

TEST_CASE("api: policy recompile compiles once a context and heals the cache") {
  Setup s;
  std::string file = s.plan(s.open()).info().cacheFile;
  std::ofstream(file, std::ios::trunc) << "junk";
  s.options.policy = v1::Policy::Recompile;
  v1::Context context = s.open();
  CHECK(!s.plan(context).info().fromCache);
  s.plan(context);
  CHECK(fakeCompiler.compilations == 2);
  s.options.policy = v1::Policy::CompileIfMissing;
  CHECK(s.plan(s.open()).info().fromCache);
}

TEST_CASE("api: a cache that cannot be used costs only the caching, and the plan says so") {
  Setup s;
  s.options.cacheFolder = "/proc/attune";
  v1::Plan plan = s.plan(s.open());
  REQUIRE(plan.info().notes.size() == 1);
  CHECK(has(plan.info().notes[0], "not cached: /proc/attune"));
  CHECK(has(plan.describe(), "not cached"));
}

TEST_CASE("api: an advisor's schedule is taken and its reason is the plan's") {
  Setup s;
  v1::Advice advice{.schedule = {.stages = 3}, .target = v1::Target::PTX, .why = "measured, 12 us"};
  v1::Shape asked;
  s.options.advisor = [&](const v1::Spec &spec, const v1::Shape &shape, const v1::DeviceInfo &device) {
    CHECK(spec.headDimQk == 16);
    CHECK(device.simulated);
    asked = shape;
    return std::optional<v1::Advice>(advice);
  };
  v1::Plan plan = s.plan(s.open());
  CHECK(asked.lengthQ == 65);
  CHECK(plan.info().why == "measured, 12 us");
  advice.schedule.stages = refusedStages;
  plan = s.plan(s.open());
  CHECK(plan.info().why == "made up");
  REQUIRE(plan.info().notes.size() == 1);
  CHECK(has(plan.info().notes[0], "advice not taken: made up: too many stages"));
  advice.target = v1::Target::CUDA; // for which there is no tool
  plan = s.plan(s.open());
  CHECK(has(plan.info().notes[0], "NVRTC was not found"));
  CHECK(plan.info().target == v1::Target::PTX);
}
