//===- RuntimeApiErrorsTest.cpp - what the public interface refuses -------===//
//
// What the public interface refuses: by which code, in which words, and with nothing launched.
//
//===----------------------------------------------------------------------===//
#include "tests/unit/RuntimeApiSupport.h"

#include <climits>
#include <limits>
#include <set>

#include <doctest/doctest.h>

using namespace attune;
using namespace attune::test;
using v1::ErrorCode;

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
  expect(v1::Context::open(wrong), ErrorCode::InvalidOptions, "an attune_policy");
  wrong.policy = v1::Policy::CacheOnly;
  wrong.target = v1::Target(2);
  expect(v1::Context::open(wrong), ErrorCode::InvalidOptions, "an attune_target");
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
  expect(sim.plan(spec, s.shape), ErrorCode::InvalidSpec, "got \"nan\"");
  spec.scale = {};
  spec.mask = {{.left = -3, .right = 0}};
  expect(sim.plan(spec, s.shape), ErrorCode::InvalidSpec, "-3");
  spec = s.spec;
  spec.dtype = v1::DType(7);
  spec.mask = {{.left = 1, .align = v1::MaskAlign(-1)}};
  expect(sim.plan(spec, s.shape), ErrorCode::InvalidSpec, "got 7");
  expect(sim.plan(spec, s.shape), ErrorCode::InvalidSpec, "got -1");
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
    odd([&](v1::Spec &strange) { strange.schedule.set("warps", number); });
    odd([&](v1::Spec &strange) { strange.schedule.set("block_q", number); });
  }
  v1::Shape shape = s.shape;
  shape.headsQ = 3;
  shape.lengthKv = int64_t(1) << 40;
  expect(sim.plan(s.spec, shape), ErrorCode::InvalidShape, "multiple of heads_kv, got 3 and 2");
  expect(sim.plan(s.spec, shape), ErrorCode::InvalidShape,
         "expected len_kv in 0..1073741824, got 1099511627776");
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
  expect(noLse.launch(nullptr, someArguments(noLse, true)), ErrorCode::InvalidArgument, "has none");
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

  // What comes behind is of plans in the background and of bundles.
  for (int code = 1; code <= int(ErrorCode::DeviceFailed); ++code) {
    CAPTURE(v1::nameOf(ErrorCode(code)));
    CHECK(reached.contains(ErrorCode(code)));
  }
}
