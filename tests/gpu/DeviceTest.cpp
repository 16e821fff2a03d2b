//===- DeviceTest.cpp - the driver behind the device interface ------------===//
//
// The CUDA driver behind the device interface: memory, modules from PTX and from cubins, launches, times.
//
//===----------------------------------------------------------------------===//
#include "runtime/jit/Assemble.h"
#include "tests/gpu/Gpu.h"

#include <algorithm>
#include <thread>

#include <doctest/doctest.h>

using namespace attune;
using namespace attune::gpu;

namespace {

const char *addKernel =
    ".version 8.0\n.target sm_80\n.address_size 64\n"
    ".extern .shared .align 16 .b8 scratch[];\n"
    ".visible .entry add(.param .align 8 .b8 p[24])\n{\n"
    "  .reg .b64 %a<6>;\n  .reg .b32 %r<8>;\n  .reg .pred %p;\n"
    "  ld.param.u64 %a0, [p];\n  ld.param.u64 %a1, [p+8];\n  ld.param.u32 %r5, [p+16];\n"
    "  mov.u32 %r0, %tid.x;\n  setp.eq.u32 %p, %r0, 0;\n  mov.u32 %r2, %ctaid.x;\n  mov.u32 %r3, %ntid.x;\n"
    "  mad.lo.u32 %r0, %r2, %r3, %r0;\n  mul.wide.u32 %a2, %r0, 4;\n"
    "  add.s64 %a3, %a0, %a2;\n  add.s64 %a4, %a1, %a2;\n"
    "  ld.global.u32 %r1, [%a4];\n  add.u32 %r1, %r1, %r5;\n"
    "  @%p st.shared.u32 [scratch], %r1;\n"
    "  st.global.u32 [%a3], %r1;\n  ret;\n}\n";

struct AddParams {
  uint64_t to, from;
  uint32_t term, unused;
};

/// Runs the kernel on 4096 elements; what is wrong, or empty.
std::string runAdd(Device &device, const ModuleImage &image, uint32_t sharedBytes) {
  constexpr uint32_t n = 4096, term = 17;
  Result<Module> module = device.loadModule(image);
  if (!module)
    return module.error().message;
  Result<Kernel> kernel = device.kernel(*module, "add", sharedBytes);
  if (!kernel)
    return kernel.error().message;
  std::vector<uint32_t> in(n), out(n);
  for (uint32_t i = 0; i < n; ++i)
    in[i] = i * 3;
  Result<DeviceBuffer> from = DeviceBuffer::make(device, n * 4), to = DeviceBuffer::make(device, n * 4);
  Result<Stream> stream = device.createStream();
  if (!from || !to || !stream)
    return "no memory or no stream";
  AddParams params{to->address(), from->address(), term, 0};
  Status done = device.copyIn(from->address(), in.data(), n * 4, *stream);
  if (done)
    done = device.launch(
        {*kernel, {n / 128, 1, 1}, {128, 1, 1}, sharedBytes, std::as_bytes(std::span(&params, 1))}, *stream);
  if (done)
    done = device.copyOut(out.data(), to->address(), n * 4, *stream);
  if (done)
    done = device.synchronize(*stream);
  if (!done)
    return done.error().message;
  (void)bool(device.destroyStream(*stream));
  if (Status unloaded = device.unloadModule(*module); !unloaded)
    return unloaded.error().message;
  for (uint32_t i = 0; i < n; ++i)
    if (out[i] != in[i] + term)
      return "wrong sum";
  return kernel->registers > 0 ? "" : "no registers reported";
}

} // namespace

TEST_CASE("gpu: it describes itself" * doctest::skip(noGpu())) {
  const DeviceInfo &info = (*theGpu())->info();
  CHECK(!info.name.empty());
  CHECK(info.multiprocessors > 0);
  CHECK(info.memoryBytes > (size_t(1) << 30));
  CHECK(info.computeCapability >= 80);
  CHECK(info.arch.computeCapability <= info.computeCapability);
  CHECK(listDevices().devices[0].name == info.name);
}

TEST_CASE("gpu: fills and copies" * doctest::skip(noGpu())) {
  Device &device = **theGpu();
  Result<DeviceBuffer> buffer = DeviceBuffer::make(device, 1 << 20);
  REQUIRE(buffer);
  CHECK(buffer->address() % 256 == 0);
  std::vector<unsigned char> host(1 << 20);
  REQUIRE(device.fill(buffer->address(), 0xa5, host.size()));
  REQUIRE(device.copyOut(host.data(), buffer->address(), host.size()));
  REQUIRE(device.synchronize());
  CHECK(std::all_of(host.begin(), host.end(), [](unsigned char c) { return c == 0xa5; }));
  Result<DeviceAddress> huge = device.allocate(size_t(1) << 50);
  REQUIRE(!huge);
  CHECK(huge.error().kind == ErrorKind::Missing);
}

TEST_CASE("gpu: PTX through the driver" * doctest::skip(noGpu())) {
  CHECK(runAdd(**theGpu(), {ImageKind::PTX, addKernel, "add.ptx", {}}, 16) == "");
  // More shared memory than kernels have unasked.
  CHECK(runAdd(**theGpu(), {ImageKind::PTX, addKernel, "add.ptx", {}}, 96 * 1024) == "");
  Result<Module> broken =
      (*theGpu())->loadModule({ImageKind::PTX, ".version 8.0\nnonsense\n", "broken.ptx", {}});
  REQUIRE(!broken);
  CHECK(broken.error().message.find("broken.ptx") != std::string::npos);
}

TEST_CASE("gpu: a cubin by ptxas" * doctest::skip(noGpu())) {
  Device &device = **theGpu();
  Toolchain tools = Toolchain::find();
  if (!tools.tool(Tool::Ptxas) || !device.takes(ImageKind::Cubin)) {
    MESSAGE("skipped: no ptxas, or an architecture without cubins of attune");
    return;
  }
  Result<Assembled> built = assemblePtx(tools, addKernel, "add.ptx", device.info().arch, {"add"});
  REQUIRE_MESSAGE(built, (built ? "" : built.error().message));
  std::string fault = runAdd(device, {ImageKind::Cubin, built->cubin, "add.cubin", {}}, 16);
  // The simulated driver has PTX alone, and must say so as a driver says that a cubin is for other GPUs.
  if (device.info().name == "simulated GPU")
    CHECK_MESSAGE(fault.find("CUDA_ERROR_NO_BINARY_FOR_GPU") != std::string::npos, fault);
  else
    CHECK(fault == "");
}

TEST_CASE("gpu: several threads at once" * doctest::skip(noGpu())) {
  std::vector<std::string> failures(8);
  std::vector<std::thread> threads;
  for (std::string &failure : failures)
    threads.emplace_back(
        [&] { failure = runAdd(**theGpu(), {ImageKind::PTX, addKernel, "add.ptx", {}}, 16); });
  for (std::thread &thread : threads)
    thread.join();
  for (const std::string &failure : failures)
    CHECK(failure == "");
}

TEST_CASE("gpu: events give the time between them" * doctest::skip(noGpu())) {
  Device &device = **theGpu();
  Result<DeviceBuffer> buffer = DeviceBuffer::make(device, size_t(1) << 28);
  Result<Event> start = device.createEvent(), stop = device.createEvent();
  REQUIRE(buffer);
  REQUIRE(start);
  REQUIRE(stop);
  REQUIRE(device.record(*start));
  REQUIRE(device.fill(buffer->address(), 0, buffer->size()));
  REQUIRE(device.record(*stop));
  Result<double> ms = device.elapsedMs(*start, *stop);
  REQUIRE(ms);
  CHECK(*ms > 0.001);
  CHECK(*ms < 1000);
  CHECK(device.destroyEvent(*start));
  CHECK(device.destroyEvent(*stop));
}
