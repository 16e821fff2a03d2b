//===- Devices.cpp - attune devices ---------------------------------------===//
#include "cli/CommandLine.h"
#include "cli/Output.h"
#include "runtime/device/Device.h"

#include <cstdio>

#include <fmt/format.h>

namespace attune::cli {

namespace {

std::string deviceName(const DeviceInfo &device) {
  return device.kind == DeviceKind::Cuda ? fmt::format("cuda:{}", device.ordinal) : "sim";
}

std::string deviceJson(const DeviceInfo &device) {
  JsonObject json;
  json.text("device", deviceName(device)).text("name", device.name).text("arch", device.arch.name);
  json.boolean("simulated", device.kind == DeviceKind::Sim);
  if (device.kind == DeviceKind::Cuda)
    json.number("compute_capability", device.computeCapability / 10.0)
        .whole("cuda_version", device.driverVersion)
        .whole("multiprocessors", device.multiprocessors)
        .whole("clock_khz", device.clockKhz)
        .whole("memory_bytes", static_cast<int64_t>(device.memoryBytes));
  return json.str();
}

int listAll(bool json) {
  DeviceList list = listDevices();
  if (json) {
    std::vector<std::string> devices;
    for (const DeviceInfo &device : list.devices)
      devices.push_back(deviceJson(device));
    fmt::print("{}\n", JsonObject().raw("devices", jsonList(devices)).text("note", list.note).str());
    return 0;
  }
  for (const DeviceInfo &device : list.devices) {
    fmt::print("{:<8} {:<28} {}", deviceName(device), device.name, device.arch.name);
    if (device.multiprocessors)
      fmt::print(", {} SMs", device.multiprocessors);
    if (device.memoryBytes)
      fmt::print(", {:.0f} GB", double(device.memoryBytes) / 1e9);
    if (device.driverVersion)
      fmt::print(", driver of CUDA {}.{}", device.driverVersion / 1000, device.driverVersion % 1000 / 10);
    fmt::print("\n");
  }
  if (!list.note.empty())
    fmt::print("{}\n", list.note);
  return 0;
}

} // namespace

Run addDevices(CLI::App &parent) {
  auto line = CommandLine::add(parent, "devices", "list what kernels can run on here");
  line->flag("--json", "print one JSON object");
  return [line] {
    if (Status good = line->problems(); !good)
      return report(good.error());
    return listAll(line->has("--json"));
  };
}

} // namespace attune::cli
