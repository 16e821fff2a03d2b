//===- RuntimeDeviceTest.cpp - devices ------------------------------------===//
#include "runtime/device/Device.h"
#include "tests/unit/RuntimeFakeCuda.h"

#include <algorithm>
#include <cstring>

#include <dlfcn.h>
#include <doctest/doctest.h>

using namespace attune;

namespace {

bool has(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

/// The fake driver, reset. It is the same library that the device opens.
FakeCuda &fake() {
  static void *library = ::dlopen(ATTUNE_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library);
  FakeCuda &state = *reinterpret_cast<FakeCudaFunction>(::dlsym(library, "fakeCuda"))();
  state.reset();
  return state;
}

DeviceOptions options(const std::string &which, const std::string &arch = "") {
  DeviceOptions options;
  options.which = which;
  options.arch = arch;
  options.cudaDriver = ATTUNE_FAKE_CUDA;
  return options;
}

const char *copyKernel = ".version 8.0\n.target sm_80\n.address_size 64\n"
                         ".visible .entry copy(.param .u64 to, .param .u64 from)\n{\n"
                         "  .reg .b64 %a<6>;\n  .reg .b32 %r<3>;\n"
                         "  ld.param.u64 %a0, [to];\n  ld.param.u64 %a1, [from];\n"
                         "  mov.u32 %r0, %tid.x;\n  mul.wide.u32 %a2, %r0, 4;\n"
                         "  add.s64 %a3, %a0, %a2;\n  add.s64 %a4, %a1, %a2;\n"
                         "  ld.global.u32 %r1, [%a4];\n  st.global.u32 [%a3], %r1;\n  ret;\n}\n";

} // namespace

// This case must run first: a driver that has started once stays open.
TEST_CASE("cuda: a driver that does not start, has no device or is too old") {
  FakeCuda &state = fake();
  state.initResult = 100;
  Result<std::unique_ptr<Device>> device = openDevice(options("cuda"));
  REQUIRE(!device);
  CHECK(device.error().kind == ErrorKind::Missing);
  CHECK(has(device.error().message, "no GPU"));
  state.initResult = 999;
  CHECK(has(openDevice(options("cuda")).error().message, "does not start"));
  state.initResult = 0;
  state.version = 11080;
  CHECK(has(openDevice(options("cuda")).error().message, "got one of CUDA 11.8"));
}

TEST_CASE("no driver: cuda is an error that says so, auto simulates and says why") {
  DeviceOptions none;
  none.cudaDriver = "libattune-no-such-driver.so";
  none.which = "cuda";
  Result<std::unique_ptr<Device>> device = openDevice(none);
  REQUIRE(!device);
  CHECK(device.error().kind == ErrorKind::Missing);
  CHECK(has(device.error().message, "no NVIDIA driver"));
  none.which = "auto";
  device = openDevice(none);
  REQUIRE(device);
  CHECK((*device)->info().kind == DeviceKind::Sim);
  CHECK(has((*device)->info().why, "no NVIDIA driver"));
  CHECK(has(listDevices(none.cudaDriver).note, "no NVIDIA driver"));
  none.which = "tpu";
  CHECK(has(openDevice(none).error().message, "expected a device among"));
  none.which = "cuda:x";
  CHECK(has(openDevice(none).error().message, "expected cuda:N"));
  none.which = "sim";
  none.arch = "sm_75";
  CHECK(has(openDevice(none).error().message, "got 'sm_75'"));
}

TEST_CASE("cuda: choice of device and architecture") {
  FakeCuda &state = fake();
  {
    Result<std::unique_ptr<Device>> device = openDevice(options("auto"));
    REQUIRE(device);
    const DeviceInfo &info = (*device)->info();
    CHECK(info.kind == DeviceKind::Cuda);
    CHECK(info.name == "Fake GPU");
    CHECK(info.arch.name == "sm_90");
    CHECK(info.multiprocessors == 132);
    CHECK(info.why == "the first GPU");
    CHECK((*device)->takes(ImageKind::Cubin));
    CHECK(state.retained == 1);
  }
  CHECK(state.retained == 0);
  // Cubins of another generation do not run, PTX does.
  Result<std::unique_ptr<Device>> older = openDevice(options("cuda", "sm_80"));
  REQUIRE(older);
  CHECK(!(*older)->takes(ImageKind::Cubin));
  CHECK((*older)->takes(ImageKind::PTX));
  CHECK((*openDevice(options("cuda", "sm_90a")))->takes(ImageKind::Cubin));
  CHECK(has(openDevice(options("cuda", "sm_120")).error().message, "got sm_120"));
  CHECK(has(openDevice(options("cuda:7")).error().message, "expected a GPU number below 1, got 7"));
  state.major = 7;
  state.minor = 5;
  Result<std::unique_ptr<Device>> old = openDevice(options("cuda"));
  REQUIRE(!old);
  CHECK(old.error().kind == ErrorKind::Missing);
  CHECK(has(old.error().message, "got 7.5"));
}

TEST_CASE("cuda: memory, modules, launches, and the caller's context stays the caller's") {
  FakeCuda &state = fake();
  std::unique_ptr<Device> device = std::move(*openDevice(options("cuda")));
  {
    Result<DeviceBuffer> buffer = DeviceBuffer::make(*device, 16);
    REQUIRE(buffer);
    CHECK(buffer->address() % 256 == 0);
    int in[4] = {1, 2, 3, 4}, out[4] = {};
    CHECK(device->copyIn(buffer->address(), in, sizeof in));
    CHECK(device->fill(buffer->address(), 0xff, 4));
    CHECK(device->copyOut(out, buffer->address(), sizeof out));
    CHECK(out[0] == -1);
    CHECK(out[3] == 4);
    CHECK(state.liveAllocations == 1);
  }
  CHECK(state.liveAllocations == 0);

  std::string image = "PTX text that is followed by something else";
  Result<Module> module =
      device->loadModule({ImageKind::PTX, std::string_view(image).substr(0, 8), "k.ptx", {}});
  REQUIRE(module);
  CHECK(state.lastImage == "PTX text"); // ended by a NUL
  Result<Kernel> kernel = device->kernel(*module, "attention", 100000);
  REQUIRE(kernel);
  CHECK(state.maxDynamicShared == 100000);
  CHECK(kernel->registers == 168);
  CHECK(device->blocksPerSm(*kernel, 128) == 2);
  CHECK(has(device->kernel(*module, "absent", 0).error().message, "'absent'"));

  state.calls.clear();
  std::byte params[176] = {};
  params[175] = std::byte(42);
  REQUIRE(device->launch({*kernel, {3, 4, 5}, {128, 1, 1}, 100000, params}, Stream{0x777}));
  REQUIRE(state.launches.size() == 1);
  const FakeCuda::Launch &launch = state.launches[0];
  CHECK(launch.grid[0] == 3);
  CHECK(launch.grid[2] == 5);
  CHECK(launch.block[0] == 128);
  CHECK(launch.shared == 100000);
  CHECK(launch.stream == reinterpret_cast<void *>(0x777));
  CHECK(launch.params.size() == 176);
  CHECK(launch.params[175] == std::byte(42));
  // Nothing but the launch itself: it can be captured in a graph.
  CHECK(state.calls == std::vector<std::string>{"cuLaunchKernel"});

  Event start = *device->createEvent(), stop = *device->createEvent();
  CHECK(device->record(start));
  CHECK(device->record(stop));
  CHECK(*device->elapsedMs(start, stop) == doctest::Approx(1.5));
  CHECK(!device->takeCounters());
}

TEST_CASE("cuda: the driver's failures become errors that say what was attempted") {
  FakeCuda &state = fake();
  std::unique_ptr<Device> device = std::move(*openDevice(options("cuda")));
  state.failures = {
      {"cuMemAlloc", 2}, {"cuModuleLoadDataEx", 218}, {"cuLaunchKernel", 1}, {"cuStreamSynchronize", 700}};
  Result<DeviceAddress> memory = device->allocate(12345);
  REQUIRE(!memory);
  CHECK(memory.error().kind == ErrorKind::Missing);
  CHECK(has(memory.error().message, "cannot allocate 12345 bytes on Fake GPU: CUDA_ERROR_FAKE: made up"));
  Result<Module> module = device->loadModule({ImageKind::PTX, "x", "k.ptx", {}});
  REQUIRE(!module);
  CHECK(has(module.error().message, "k.ptx: the driver (CUDA 13.0) does not load this PTX"));
  CHECK(has(module.error().message, "line 3; fatal"));
  Status launched = device->launch({Kernel{}, {1, 1, 1}, {32, 1, 1}, 0, {}});
  REQUIRE(!launched);
  CHECK(has(launched.error().message, "cannot launch 1 x 1 x 1 blocks of 32 threads"));
  Status done = device->synchronize();
  REQUIRE(!done);
  CHECK(done.error().kind == ErrorKind::Verification);
  CHECK(has(done.error().message, "--device sim"));
}

TEST_CASE("sim: PTX runs, faults name the PTX line, cubins are refused") {
  std::unique_ptr<Device> device = std::move(*openDevice(options("sim")));
  CHECK(device->info().arch.name == "sm_80");
  CHECK(device->info().why == "asked for");
  CHECK(!device->takes(ImageKind::Cubin));
  CHECK(has(device->loadModule({ImageKind::Cubin, "x", "k.cubin", {}}).error().message, "got a cubin"));
  Result<Module> module = device->loadModule({ImageKind::PTX, copyKernel, "copy.ptx", {}});
  REQUIRE_MESSAGE(module, (module ? "" : module.error().message));
  CHECK(!device->kernel(*module, "absent", 0));
  CHECK(has(device->kernel(*module, "copy", 1 << 20).error().message, "bytes of shared memory"));
  Result<Kernel> kernel = device->kernel(*module, "copy", 0);
  REQUIRE(kernel);
  DeviceBuffer to = std::move(*DeviceBuffer::make(*device, 128));
  DeviceBuffer from = std::move(*DeviceBuffer::make(*device, 128));
  int in[32], out[32] = {};
  for (int i = 0; i < 32; ++i)
    in[i] = i * i;
  REQUIRE(device->copyIn(from.address(), in, sizeof in));
  uint64_t params[2] = {to.address(), from.address()};
  Event start = *device->createEvent(), stop = *device->createEvent();
  REQUIRE(device->record(start));
  Status launched = device->launch({*kernel, {1, 1, 1}, {32, 1, 1}, 0, std::as_bytes(std::span(params))});
  REQUIRE_MESSAGE(launched, (launched ? "" : launched.error().message));
  REQUIRE(device->record(stop));
  CHECK(*device->elapsedMs(start, stop) >= 0);
  REQUIRE(device->copyOut(out, to.address(), sizeof out));
  CHECK(std::equal(in, in + 32, out));
  std::optional<LaunchCounters> counters = device->takeCounters();
  REQUIRE(counters);
  CHECK(counters->warpInstructions == 9);
  CHECK(!device->takeCounters());

  // Twice as many threads as the buffers have elements.
  launched = device->launch({*kernel, {1, 1, 1}, {64, 1, 1}, 0, std::as_bytes(std::span(params))});
  REQUIRE(!launched);
  CHECK(launched.error().kind == ErrorKind::Verification);
  CHECK(has(launched.error().message, "copy.ptx:15"));
  CHECK(!device->launch({*kernel, {1, 1, 1}, {32, 1, 1}, 16, std::as_bytes(std::span(params))}));

  // An unloaded module takes its kernels along, or a program that makes many would keep them all.
  REQUIRE(device->unloadModule(*module));
  launched = device->launch({*kernel, {1, 1, 1}, {32, 1, 1}, 0, std::as_bytes(std::span(params))});
  REQUIRE(!launched);
  CHECK(has(launched.error().message, "expected a kernel of a loaded module"));
}
