//===- RuntimeApiTest.cpp - the public interface --------------------------===//
//
// The public interface over the simulated GPU and a made-up driver.
//
//===----------------------------------------------------------------------===//
#include "tests/unit/RuntimeApiSupport.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace attune;
using namespace attune::test;
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

/// Of this thread's processor: others that run beside do not count.
static double threadSeconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

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
  CHECK(info.schedule.family == "portable");
  CHECK(info.schedule.get("block_q") == 64);
  CHECK(info.schedule.get("warps") == 2);
  REQUIRE(info.launches.size() == 1);
  CHECK(info.launches[0].kernel == "attention");
  REQUIRE(info.arguments.size() == 4);
  CHECK(info.arguments[1].name == "k");
  CHECK(info.arguments[1].shape == std::vector<int64_t>{2, 2, 33, 16});
  CHECK(info.arguments[3].output);
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
  CHECK(spec->schedule.get("block_q") == 64);
  CHECK(!spec->schedule.get("stages"));
  CHECK(codeKey(toInside(*spec)) == codeKey(toInside(*v1::Spec::fromJson(toJson(toInside(*spec))))));
  spec = v1::Spec::fromJson("{\n  \"head_dim\": 100,\n  \"maks\": 1\n}", "x.json");
  REQUIRE(!spec);
  CHECK(has(spec.error().message, "x.json:2:15: error: expected a multiple of 8"));
  CHECK(has(spec.error().message, "x.json:3:3"));
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
  REQUIRE(state.launches[0].params.size() == 160);
  auto word = [&](size_t at) {
    int64_t value;
    std::memcpy(&value, state.launches[0].params.data() + at, sizeof value);
    return value;
  };
  CHECK(word(0) == 0x1000); // q: address, batch, head and row stride
  CHECK(word(8) == 1 << 20);
  CHECK(word(16) == 64);
  CHECK(word(24) == 512);
  CHECK(word(40) == 33 * 2 * 16); // k's batch stride
  CHECK(word(96) == 0x4000);      // o
  CHECK(word(128) == 0x5000);     // lse
  CHECK(word(144) == 65);
  CHECK(word(152) == 65 + (int64_t(33) << 32)); // length_q, length_kv
  CHECK(state.launches[0].grid[0] == 2);
  CHECK(state.launches[0].shared == 4096);
  CHECK(has(plan.info().image, "PTX, assembled by the driver"));
  CHECK(plan.info().registers == 168);
  CHECK(plan.info().blocksPerSm == 2);
  CHECK(state.retained == 1);
}

TEST_CASE("api: sinks are an array of their own") {
  FakeCuda &state = fake();
  Setup s;
  s.options.device = "cuda:0";
  v1::Context context = s.open();
  v1::Plan without = s.plan(context);
  v1::Arguments arguments = someArguments(without, false);
  arguments.sink = static_cast<const float *>(at(0x6000));
  v1::Status refused = without.launch(nullptr, arguments);
  REQUIRE(!refused);
  CHECK(refused.error().code == ErrorCode::InvalidArgument);
  CHECK(has(refused.error().message, "expected no array for sink"));
  CHECK(has(refused.error().message, "set the spec's sink"));
  s.spec.sink = true;
  v1::Plan plan = s.plan(context);
  REQUIRE(plan.launch(nullptr, arguments));
  uint64_t address = 0;
  std::memcpy(&address, state.launches.back().params.data() + 128, sizeof address);
  CHECK(address == 0x6000);
  arguments.sink = nullptr;
  CHECK(plan.launch(nullptr, arguments).error().code == ErrorCode::NullPointer);
  arguments.sink = static_cast<const float *>(at(0x6002));
  CHECK(plan.launch(nullptr, arguments).error().code == ErrorCode::Misaligned);
}

TEST_CASE("api: lengths of batch entries are an array of their own") {
  FakeCuda &state = fake();
  Setup s;
  s.options.device = "cuda:0";
  v1::Context context = s.open();
  v1::Plan without = s.plan(context);
  v1::Arguments arguments = someArguments(without, false);
  arguments.lengthsKv = static_cast<const int32_t *>(at(0x6004));
  CHECK(has(without.launch(nullptr, arguments).error().message, "set the spec's lengthsKv"));
  s.spec.lengthsKv = true;
  CHECK(v1::Spec::fromJson(s.spec.toJson())->lengthsKv);
  v1::Plan plan = s.plan(context);
  REQUIRE(plan.launch(nullptr, arguments));
  uint64_t address = 0;
  std::memcpy(&address, state.launches.back().params.data() + 128, sizeof address);
  CHECK(address == 0x6004);
  arguments.lengthsKv = nullptr;
  CHECK(plan.launch(nullptr, arguments).error().code == ErrorCode::NullPointer);
}

TEST_CASE("api: nothing to compute is no launch, nothing to attend to is one") {
  FakeCuda &state = fake();
  Setup s;
  s.options.device = "cuda:0";
  v1::Context context = s.open();
  s.shape.batch = 0;
  v1::Plan noBatch = s.plan(context);
  CHECK(noBatch.launch(nullptr, noBatch.dense(nullptr, nullptr, nullptr, nullptr)));
  s.shape.batch = 2;
  s.shape.lengthQ = 0;
  v1::Plan noQueries = s.plan(context);
  CHECK(noQueries.launch(nullptr, noQueries.dense(nullptr, at(0x2000), at(0x3000), nullptr)));
  CHECK(state.launches.empty());
  s.shape.lengthQ = 65;
  s.shape.lengthKv = 0;
  v1::Plan noKeys = s.plan(context);
  CHECK(noKeys.launch(nullptr, noKeys.dense(at(0x1000), nullptr, nullptr, at(0x4000))));
  CHECK(state.launches.size() == 1);
  v1::Status refused = noKeys.launch(nullptr, noKeys.dense(at(0x1000), nullptr, nullptr, nullptr));
  REQUIRE(!refused);
  CHECK(refused.error().code == ErrorCode::NullPointer);
}

TEST_CASE("api: launches can be captured, take no memory and cost little") {
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
  constexpr int rounds = 10, launches = 5000;
  /// Microseconds of a launch in the fastest round.
  auto time = [&](auto launch) {
    double best = 1e9;
    auto calls = state.quietCalls;
    for (int round = 0; round < rounds; ++round) {
      size_t before = allocations;
      double start = threadSeconds();
      for (int i = 0; i < launches; ++i)
        if (!launch())
          FAIL("a launch failed");
      best = std::min(best, (threadSeconds() - start) * 1e6 / launches);
      CHECK(allocations == before);
    }
    CHECK(state.quietCalls == calls + rounds * launches);
    return best;
  };
  double cpp = time([&] { return bool(plan.launch(nullptr, arguments)); });
  // The same from C, whose wrapper is not compiled with this test's flags.
  attune_context_options options = ATTUNE_CONTEXT_OPTIONS_INIT;
  options.device = "cuda";
  options.cuda_driver = ATTUNE_FAKE_CUDA;
  options.cache_folder = s.options.cacheFolder->c_str();
  attune_request request = ATTUNE_REQUEST_INIT;
  std::string json = s.spec.toJson();
  request.spec = json.c_str();
  request.batch = s.shape.batch;
  request.heads_q = s.shape.headsQ;
  request.heads_kv = s.shape.headsKv;
  request.length_q = s.shape.lengthQ;
  request.length_kv = s.shape.lengthKv;
  attune_context *native = nullptr;
  attune_plan *made = nullptr;
  REQUIRE(attune_context_open(&options, &native) == ATTUNE_OK);
  REQUIRE(attune_plan_create(native, &request, &made) == ATTUNE_OK);
  attune_array arrays[] = {{"q", at(0x1000), ATTUNE_BF16, 0, nullptr, nullptr},
                           {"k", at(0x2000), ATTUNE_BF16, 0, nullptr, nullptr},
                           {"v", at(0x3000), ATTUNE_BF16, 0, nullptr, nullptr},
                           {"o", at(0x4000), ATTUNE_BF16, 0, nullptr, nullptr},
                           {"lse", at(0x5000), ATTUNE_F32, 0, nullptr, nullptr}};
  attune_arguments given = ATTUNE_ARGUMENTS_INIT;
  given.arrays = arrays;
  given.array_count = std::size(arrays);
  double c = time([&] { return attune_launch(made, &given) == ATTUNE_OK; });
  attune_plan_destroy(made);
  attune_context_destroy(native);
  state.quiet = false;
  MESSAGE(fmt::format("one launch from C++: {:.3f} us; from C: {:.3f} us", cpp, c));
  CHECK((sanitized || cpp < 1.0));
  CHECK((sanitized || c < 0.5)); // 0.2 us on a machine that does nothing else
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
  CacheKey key = requestKey({toInside(s.spec), Target::PTX, {}}, *findArch("sm_80"));
  key.add("compiler", "another");
  Cache cache(*s.options.cacheFolder);
  CacheEntry entry = *cache.load(made.info().cacheFile);
  entry.key = key.text();
  REQUIRE(cache.store(key, entry));
  std::ofstream(made.info().cacheFile, std::ios::app) << "x";
  // The last used one, however coarse the clock of the file system is.
  fs::last_write_time(made.info().cacheFile, fs::file_time_type::clock::now() + std::chrono::seconds(1));
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

TEST_CASE("api: a program without a compiler takes what was compiled for a shape, where its spec leaves that "
          "open") {
  Setup s;
  s.spec.schedule.set("warps", 2);
  v1::Plan made = s.plan(s.open());
  v1::ContextOptions noCompiler = s.options;
  noCompiler.compiler = nullptr;
  v1::Context core = *v1::Context::open(noCompiler);
  s.spec.schedule = {};
  v1::Result<v1::Plan> plan = core.plan(s.spec, s.shape);
  REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().message));
  CHECK(plan->info().cacheFile == made.info().cacheFile);
  REQUIRE(plan->info().notes.size() == 1);
  CHECK(has(plan->info().notes[0], "the default schedule is not in the cache"));
  // Neither another spec nor a schedule that does not agree.
  s.spec.schedule.set("block_q", 128);
  CHECK(core.plan(s.spec, s.shape).error().code == ErrorCode::NotCached);
  s.spec.schedule = {};
  s.spec.headDimV = 32;
  CHECK(core.plan(s.spec, s.shape).error().code == ErrorCode::NotCached);
}

TEST_CASE("api: a context without an advisor asks the compiler's, as the command line does") {
  Setup s;
  v1::Compiler advised{s.maker, [](const AttentionSpec &, const ProblemShape &, const DeviceInfo &) {
                         return std::optional(
                             Advice{{"", {{"stages", 3}}}, Target::PTX, "the compiler's advice"});
                       }};
  s.options.compiler = &advised;
  CHECK(s.plan(s.open()).info().why == "the compiler's advice");
  s.options.advisor = [](const v1::Spec &, const v1::Shape &, const v1::DeviceInfo &) {
    return std::optional<v1::Advice>();
  };
  CHECK(s.plan(s.open()).info().why == "made up");
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
  v1::Advice advice{.schedule = {"", {{"stages", 3}}}, .target = v1::Target::PTX, .why = "measured, 12 us"};
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
  advice.schedule.set("stages", refusedStages);
  plan = s.plan(s.open());
  CHECK(plan.info().why == "made up");
  REQUIRE(plan.info().notes.size() == 1);
  CHECK(has(plan.info().notes[0], "advice not taken: made up: too many stages"));
  advice.target = v1::Target::CUDA; // for which there is no tool
  plan = s.plan(s.open());
  CHECK(has(plan.info().notes[0], "NVRTC was not found"));
  CHECK(plan.info().target == v1::Target::PTX);
}
