//===- Device.cpp - what kernels run on -----------------------------------===//
#include "runtime/device/Device.h"

#include "runtime/device/cuda/CudaDevice.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace attune {

Device::~Device() = default;

int tensorMapType(DType type) {
  switch (type) {
  case DType::F16:
    return 6;
  case DType::BF16:
    return 9;
  case DType::F32:
    return 7;
  case DType::I32:
    return 3;
  case DType::I64:
    return 5;
  case DType::U8:
    return 0;
  }
  return 0;
}

Status Device::encodeTensorMap(const TensorMapRequest &, TensorMap &) {
  return missing(fmt::format("{} has no tensor maps", info().name));
}

Result<DeviceBuffer> DeviceBuffer::make(Device &device, size_t bytes, std::string_view name) {
  Result<DeviceAddress> address = device.allocate(std::max<size_t>(bytes, 1), name);
  if (!address)
    return address.error();
  DeviceBuffer buffer;
  buffer.device = &device;
  buffer.where = *address;
  buffer.bytes = bytes;
  return buffer;
}

DeviceBuffer::~DeviceBuffer() {
  // An error here can only repeat one that an earlier call has reported.
  if (device)
    (void)bool(device->free(where));
}

Result<std::unique_ptr<Device>> openDevice(const DeviceOptions &options, SimulatorOpener simulator) {
  const std::string &which = options.which;
  if (which == "sim" && !simulator)
    return missing(
        "expected a device among auto, cuda, cuda:N, got 'sim': this program has no simulated GPU");
  if (which == "sim")
    return simulator(options.arch, options.sim, "asked for");
  if (which == "cuda" || which.starts_with("cuda:")) {
    int ordinal = 0;
    if (which.size() > 4) {
      const char *first = which.data() + 5, *last = which.data() + which.size();
      auto [end, failed] = std::from_chars(first, last, ordinal);
      if (failed != std::errc() || end != last || ordinal < 0)
        return badInput(fmt::format("expected cuda:N with the number of a GPU, got '{}'", which));
    }
    return openCudaDevice(options.cudaDriver, ordinal, options.arch, "asked for");
  }
  if (which != "auto")
    return badInput(fmt::format("expected a device among auto, cuda, cuda:N, sim, got '{}'", which));

  Result<std::vector<DeviceInfo>> gpus = listCudaDevices(options.cudaDriver);
  if (gpus)
    return openCudaDevice(options.cudaDriver, gpus->front().ordinal, options.arch, "the first GPU");
  if (!simulator)
    return missing(gpus.error().message + "; and this program has no simulated GPU");
  return simulator(options.arch, options.sim, gpus.error().message);
}

} // namespace attune
