//===- CudaDevice.cpp - a GPU through the CUDA driver ---------------------===//
#include "runtime/device/cuda/CudaDevice.h"

#include "runtime/device/cuda/DriverApi.h"

#include <fmt/format.h>

namespace attune {
namespace {

using namespace cuda;

/// What the driver's error means to a user.
Error errorFor(const DriverApi &api, CUresult result, const std::string &what) {
  std::string message = fmt::format("{}: {}", what, api.describe(result));
  switch (result) {
  case CUDA_ERROR_OUT_OF_MEMORY:
    return missing(message);
  case CUDA_ERROR_ILLEGAL_ADDRESS:
  case CUDA_ERROR_LAUNCH_FAILED:
    return {ErrorKind::Verification,
            message + "; the kernel is wrong: `--device sim` runs it under the simulator's checkers"};
  default:
    return badInput(message);
  }
}

Result<DeviceInfo> describeDevice(const DriverApi &api, int ordinal) {
  DeviceInfo info;
  CUdevice device = 0;
  if (CUresult failed = api.DeviceGet(&device, ordinal)) {
    int count = 0;
    api.DeviceGetCount(&count);
    return missing(
        fmt::format("expected a GPU number below {}, got {}: {}", count, ordinal, api.describe(failed)));
  }
  char name[256] = "";
  int major = 0, minor = 0;
  auto attribute = [&](int which, int &value) { return api.DeviceGetAttribute(&value, which, device); };
  CUresult failed = api.DeviceGetName(name, sizeof name, device);
  failed = failed ? failed : api.DeviceTotalMem(&info.memoryBytes, device);
  failed = failed ? failed : attribute(ComputeCapabilityMajor, major);
  failed = failed ? failed : attribute(ComputeCapabilityMinor, minor);
  failed = failed ? failed : attribute(MultiprocessorCount, info.multiprocessors);
  failed = failed ? failed : attribute(ClockRate, info.clockKhz);
  if (failed)
    return missing(fmt::format("GPU {} does not describe itself: {}", ordinal, api.describe(failed)));
  info.kind = DeviceKind::Cuda;
  info.ordinal = ordinal;
  info.name = name;
  info.computeCapability = 10 * major + minor;
  info.driverVersion = api.version;
  Result<Arch> arch = archForDevice(info.computeCapability);
  if (!arch)
    return Error{arch.error().kind, fmt::format("GPU {} ({}): {}", ordinal, name, arch.error().message)};
  info.arch = *arch;
  return info;
}

class CudaDevice final : public Device {
public:
  CudaDevice(const DriverApi &api, CUdevice device, CUcontext context, DeviceInfo info)
      : api(api), device(device), context(context), about(std::move(info)) {}
  ~CudaDevice() override { api.PrimaryCtxRelease(device); }

  const DeviceInfo &info() const override { return about; }

  bool takes(ImageKind kind) const override {
    // A cubin runs on its own generation from its own minor version on; PTX on everything newer.
    return kind == ImageKind::PTX || (about.arch.computeCapability / 10 == about.computeCapability / 10 &&
                                      about.arch.computeCapability <= about.computeCapability);
  }

  Result<DeviceAddress> allocate(size_t bytes, std::string_view) override {
    CUdeviceptr address = 0;
    Status done = call(fmt::format("cannot allocate {} bytes on {}", bytes, about.name),
                       [&] { return api.MemAlloc(&address, bytes); });
    if (!done)
      return done.error();
    return DeviceAddress(address);
  }
  Status free(DeviceAddress address) override {
    return call("cannot free device memory", [&] { return api.MemFree(address); });
  }
  Status copyIn(DeviceAddress to, const void *from, size_t bytes, Stream stream) override {
    return call("cannot copy to the GPU",
                [&] { return api.MemcpyHtoDAsync(to, from, bytes, native(stream)); });
  }
  Status copyOut(void *to, DeviceAddress from, size_t bytes, Stream stream) override {
    return call("cannot copy from the GPU",
                [&] { return api.MemcpyDtoHAsync(to, from, bytes, native(stream)); });
  }
  Status fill(DeviceAddress to, uint8_t byte, size_t bytes, Stream stream) override {
    return call("cannot fill device memory",
                [&] { return api.MemsetD8Async(to, byte, bytes, native(stream)); });
  }

  Result<Module> loadModule(const ModuleImage &image) override {
    // The driver reads PTX up to a NUL.
    std::string bytes(image.bytes);
    std::string log(8192, '\0');
    int names[] = {ErrorLogBuffer, ErrorLogBufferSizeBytes, GenerateLineInfo};
    void *values[] = {log.data(), reinterpret_cast<void *>(log.size()), reinterpret_cast<void *>(1)};
    CUmodule module = nullptr;
    Status done =
        call(fmt::format("{}: the driver (CUDA {}.{}) does not load this {}", image.name, api.version / 1000,
                         api.version % 1000 / 10, image.kind == ImageKind::PTX ? "PTX" : "cubin"),
             [&] { return api.ModuleLoadDataEx(&module, bytes.c_str(), 3, names, values); });
    if (!done) {
      std::string said = log.substr(0, log.find('\0'));
      return Error{done.error().kind, done.error().message + (said.empty() ? "" : "\n" + said)};
    }
    return Module{reinterpret_cast<uint64_t>(module)};
  }
  Status unloadModule(Module module) override {
    return call("cannot unload a module",
                [&] { return api.ModuleUnload(reinterpret_cast<CUmodule>(module.handle)); });
  }

  Result<Kernel> kernel(Module module, const std::string &entry, uint32_t dynamicShared) override {
    CUfunction function = nullptr;
    Kernel kernel;
    Status done = call(fmt::format("kernel '{}' is not in its module", entry), [&] {
      return api.ModuleGetFunction(&function, reinterpret_cast<CUmodule>(module.handle), entry.c_str());
    });
    if (!done)
      return done.error();
    done = call(fmt::format("kernel '{}' cannot have {} bytes of shared memory", entry, dynamicShared), [&] {
      return api.FuncSetAttribute(function, MaxDynamicSharedSizeBytes, int(dynamicShared));
    });
    if (!done)
      return done.error();
    done = call(fmt::format("kernel '{}' does not describe itself", entry), [&] {
      CUresult failed = api.FuncGetAttribute(&kernel.registers, NumRegs, function);
      failed = failed ? failed : api.FuncGetAttribute(&kernel.localBytes, LocalSizeBytes, function);
      return failed ? failed : api.FuncGetAttribute(&kernel.staticShared, SharedSizeBytes, function);
    });
    if (!done)
      return done.error();
    kernel.handle = reinterpret_cast<uint64_t>(function);
    kernel.dynamicShared = int(dynamicShared);
    return kernel;
  }

  std::optional<int> blocksPerSm(const Kernel &kernel, int threads) override {
    int blocks = 0;
    Status done = call("", [&] {
      return api.OccupancyMaxActiveBlocks(&blocks, function(kernel), threads, size_t(kernel.dynamicShared));
    });
    return done ? std::optional<int>(blocks) : std::nullopt;
  }

  Status launch(const DeviceLaunch &launch, Stream stream) override {
    size_t bytes = launch.params.size();
    void *extra[] = {launchParamBufferPointer, const_cast<std::byte *>(launch.params.data()),
                     launchParamBufferSize, &bytes, launchParamEnd};
    bool isPlain = launch.cluster.x * launch.cluster.y * launch.cluster.z == 1 && !launch.cooperative;
    if (!isPlain && !api.LaunchKernelEx)
      return missing("expected a driver that launches clusters (cuLaunchKernelEx), got one without");
    Scope scope(*this);
    CUresult failed = scope.entered ? scope.entered
                      : !isPlain
                          ? launchEx(launch, stream, extra)
                          : api.LaunchKernel(function(launch.kernel), launch.grid.x, launch.grid.y,
                                             launch.grid.z, launch.block.x, launch.block.y, launch.block.z,
                                             launch.dynamicShared, native(stream), nullptr, extra);
    if (!failed)
      return success();
    return errorFor(
        api, failed,
        fmt::format("cannot launch {} x {} x {} blocks of {} threads with {} bytes of shared memory",
                    launch.grid.x, launch.grid.y, launch.grid.z,
                    launch.block.x * launch.block.y * launch.block.z, launch.dynamicShared));
  }
  Status encodeTensorMap(const TensorMapRequest &request, TensorMap &map) override {
    if (!api.TensorMapEncodeTiled)
      return missing("expected a driver that encodes tensor maps (cuTensorMapEncodeTiled), got one without");
    // CUtensorMapSwizzle.
    int swizzle = request.swizzle == 32 ? 1 : request.swizzle == 64 ? 2 : request.swizzle == 128 ? 3 : 0;
    constexpr unsigned adjacent[5] = {1, 1, 1, 1, 1};
    constexpr int noInterleave = 0, promoteTo128Bytes = 2, fillWithZero = 0;
    static_assert(sizeof(uint64_t) == sizeof(unsigned long long));
    alignas(64) TensorMap encoded;
    CUresult failed = api.TensorMapEncodeTiled(
        encoded.data(), tensorMapType(request.type), unsigned(request.rank),
        reinterpret_cast<void *>(request.address),
        reinterpret_cast<const unsigned long long *>(request.extents.data()),
        reinterpret_cast<const unsigned long long *>(request.strides.data()), request.box.data(), adjacent,
        noInterleave, swizzle, promoteTo128Bytes, fillWithZero);
    map = encoded;
    return failed ? Status(errorFor(api, failed, "cannot encode a tensor map")) : success();
  }
  Status synchronize(Stream stream) override {
    return call("the GPU reports a failure", [&] { return api.StreamSynchronize(native(stream)); });
  }

  Result<Stream> createStream() override {
    CUstream stream = nullptr;
    Status done =
        call("cannot create a stream", [&] { return api.StreamCreate(&stream, streamNonBlocking); });
    if (!done)
      return done.error();
    return Stream{reinterpret_cast<uint64_t>(stream)};
  }
  Status destroyStream(Stream stream) override {
    return call("cannot destroy a stream", [&] { return api.StreamDestroy(native(stream)); });
  }
  Result<Event> createEvent() override {
    CUevent event = nullptr;
    Status done = call("cannot create an event", [&] { return api.EventCreate(&event, 0); });
    if (!done)
      return done.error();
    return Event{reinterpret_cast<uint64_t>(event)};
  }
  Status destroyEvent(Event event) override {
    return call("cannot destroy an event", [&] { return api.EventDestroy(native(event)); });
  }
  Status record(Event event, Stream stream) override {
    return call("cannot record an event", [&] { return api.EventRecord(native(event), native(stream)); });
  }
  Result<double> elapsedMs(Event start, Event stop) override {
    float ms = 0;
    Status done = call("cannot take the time between two events", [&] {
      CUresult failed = api.EventSynchronize(native(stop));
      return failed ? failed : api.EventElapsedTime(&ms, native(start), native(stop));
    });
    if (!done)
      return done.error();
    return double(ms);
  }

private:
  CUresult launchEx(const DeviceLaunch &launch, Stream stream, void **extra) {
    LaunchAttribute attributes[2];
    unsigned count = 0;
    if (launch.cluster.x * launch.cluster.y * launch.cluster.z > 1) {
      attributes[count].kind = LaunchAttribute::ClusterDimension;
      attributes[count].cluster[0] = launch.cluster.x;
      attributes[count].cluster[1] = launch.cluster.y;
      attributes[count++].cluster[2] = launch.cluster.z;
    }
    if (launch.cooperative) {
      attributes[count].kind = LaunchAttribute::Cooperative;
      attributes[count++].cooperative = 1;
    }
    LaunchConfig config{launch.grid.x,  launch.grid.y,        launch.grid.z,  launch.block.x, launch.block.y,
                        launch.block.z, launch.dynamicShared, native(stream), attributes,     count};
    return api.LaunchKernelEx(&config, function(launch.kernel), nullptr, extra);
  }

  /// Makes the device's context the thread's, and gives the thread back the one that it had: a caller may
  /// work in a context of its own.
  struct Scope {
    explicit Scope(const CudaDevice &self) : api(self.api) {
      CUcontext current = nullptr;
      entered = api.CtxGetCurrent(&current);
      if (!entered && current != self.context) {
        entered = api.CtxPushCurrent(self.context);
        pushed = !entered;
      }
    }
    ~Scope() {
      CUcontext ours = nullptr;
      if (pushed)
        api.CtxPopCurrent(&ours);
    }
    const DriverApi &api;
    CUresult entered = CUDA_SUCCESS;
    bool pushed = false;
  };

  template <typename Body> Status call(const std::string &what, Body body) {
    Scope scope(*this);
    CUresult failed = scope.entered ? scope.entered : body();
    if (!failed)
      return success();
    return errorFor(api, failed, what);
  }
  static CUstream native(Stream stream) { return reinterpret_cast<CUstream>(stream.handle); }
  static CUevent native(Event event) { return reinterpret_cast<CUevent>(event.handle); }
  static CUfunction function(const Kernel &kernel) { return reinterpret_cast<CUfunction>(kernel.handle); }

  const DriverApi &api;
  CUdevice device;
  CUcontext context;
  DeviceInfo about;
};

} // namespace

Result<std::vector<DeviceInfo>> listCudaDevices(const std::string &driver) {
  Result<const DriverApi *> api = DriverApi::open(driver);
  if (!api)
    return api.error();
  int count = 0;
  if (CUresult failed = (*api)->DeviceGetCount(&count))
    return missing(fmt::format("the NVIDIA driver does not count its devices: {}", (*api)->describe(failed)));
  if (count == 0)
    return missing("no GPU: the NVIDIA driver is here and reports no device");
  std::vector<DeviceInfo> devices;
  std::string refused;
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    Result<DeviceInfo> info = describeDevice(**api, ordinal);
    if (info)
      devices.push_back(*info);
    else
      refused += (refused.empty() ? "" : "; ") + info.error().message;
  }
  if (devices.empty())
    return missing(refused);
  return devices;
}

Result<std::unique_ptr<Device>> openCudaDevice(const std::string &driver, int ordinal,
                                               const std::string &archName, const std::string &why) {
  Result<const DriverApi *> opened = DriverApi::open(driver);
  if (!opened)
    return opened.error();
  const DriverApi &api = **opened;
  Result<DeviceInfo> info = describeDevice(api, ordinal);
  if (!info)
    return info.error();
  if (!archName.empty()) {
    Result<Arch> arch = findArch(archName);
    if (!arch)
      return arch.error();
    bool exact = arch->name.ends_with('a');
    int own = info->computeCapability;
    if (exact ? arch->computeCapability != own : arch->computeCapability > own)
      return badInput(fmt::format("expected an architecture that {} (compute capability {}.{}) runs, got {}",
                                  info->name, own / 10, own % 10, arch->name));
    info->arch = *arch;
  }
  info->why = why;
  CUdevice device = 0;
  CUcontext context = nullptr;
  CUresult failed = api.DeviceGet(&device, ordinal);
  failed = failed ? failed : api.PrimaryCtxRetain(&context, device);
  if (failed)
    return missing(fmt::format("cannot use GPU {} ({}): {}", ordinal, info->name, api.describe(failed)));
  return std::unique_ptr<Device>(std::make_unique<CudaDevice>(api, device, context, std::move(*info)));
}

} // namespace attune
