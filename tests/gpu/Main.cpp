//===- Main.cpp - tests that need a GPU -----------------------------------===//
#include "tests/gpu/Gpu.h"

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fmt/format.h>

namespace attune::gpu {

Result<Device *> theGpu() {
  static Result<std::unique_ptr<Device>> opened = [] {
    DeviceOptions options;
    options.which = "cuda";
    return openDevice(options);
  }();
  if (!opened)
    return opened.error();
  return opened->get();
}

bool noGpu() { return !theGpu(); }

} // namespace attune::gpu

int main(int argc, char **argv) {
  using namespace attune;
  Result<Device *> device = gpu::theGpu();
  if (device)
    fmt::print("on {}, driver of CUDA {}.{}\n", (*device)->info().name,
               (*device)->info().driverVersion / 1000, (*device)->info().driverVersion % 1000 / 10);
  else
    fmt::print("skipped: no GPU ({})\n", device.error().message);
  std::fflush(stdout);
  return doctest::Context(argc, argv).run();
}
