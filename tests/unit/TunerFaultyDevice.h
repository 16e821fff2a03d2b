//===- TunerFaultyDevice.h - a GPU that misbehaves as told ------*- C++ -*-===//
//
// The simulated GPU, passed off as a real one whose timings are made up, and which crashes, hangs, or gives
// wrong results at chosen candidates. Candidates are known by the schedule that their PTX launches with.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TESTS_UNIT_TUNERFAULTYDEVICE_H
#define ATTUNE_TESTS_UNIT_TUNERFAULTYDEVICE_H

#include "runtime/device/sim/SimDevice.h"
#include "runtime/reference/RandomArray.h"

#include <cstdlib>
#include <map>
#include <string>

#include <unistd.h>

namespace attune::tests {

enum class Fault { None, Crash, Hang, Wrong, LaunchError };

/// What one candidate does.
struct Behaviour {
  double us = 100;
  double noise = 0.02; ///< relative deviation of a timing
  Fault atVerify = Fault::None;
  Fault atTiming = Fault::None;
  int timingsBefore = 0; ///< of each process, before `atTiming` strikes
};

/// By block_q and block_kv: what a launch of these blocks is seen by.
using Behaviours = std::map<std::pair<int, int>, Behaviour>;

class FaultyDevice final : public Device {
public:
  /// Launches on more than `timedLength` queries are timings and are not executed.
  FaultyDevice(Behaviours behaviours, int timedLength, const std::string &arch = "sm_80")
      : behaviours(std::move(behaviours)), timedLength(timedLength),
        inner(std::move(*openSimDevice(arch, {}, "under test"))), random(uint64_t(::getpid()), 1) {
    about = inner->info();
    about.kind = DeviceKind::Cuda;
    about.name = "a faulty GPU";
    about.driverVersion = 13000;
    about.multiprocessors = 4;
  }

  const DeviceInfo &info() const override { return about; }
  bool takes(ImageKind kind) const override { return inner->takes(kind); }
  Result<DeviceAddress> allocate(size_t bytes, std::string_view name) override {
    return inner->allocate(bytes, name);
  }
  Status free(DeviceAddress address) override { return inner->free(address); }
  Status copyIn(DeviceAddress to, const void *from, size_t bytes, Stream stream) override {
    return inner->copyIn(to, from, bytes, stream);
  }
  Status copyOut(void *to, DeviceAddress from, size_t bytes, Stream stream) override {
    Status copied = inner->copyOut(to, from, bytes, stream);
    if (copied && wrongNow)
      static_cast<uint16_t *>(to)[bytes / 4] ^= 0x4000;
    return copied;
  }
  Status fill(DeviceAddress to, uint8_t byte, size_t bytes, Stream stream) override {
    return inner->fill(to, byte, bytes, stream);
  }
  Result<Module> loadModule(const ModuleImage &image) override {
    // The tests' kernels are named after their schedule: bQ_KV-ID.ptx.
    Result<Module> module = inner->loadModule(image);
    int blockQ = 0, blockKv = 0;
    if (module && std::sscanf(std::string(image.name).c_str(), "b%d_%d", &blockQ, &blockKv) == 2)
      modules[module->handle] = {blockQ, blockKv};
    return module;
  }
  Status unloadModule(Module module) override { return inner->unloadModule(module); }
  Result<Kernel> kernel(Module module, const std::string &entry, uint32_t dynamicShared) override {
    Result<Kernel> made = inner->kernel(module, entry, dynamicShared);
    if (made)
      kernels[made->handle] = modules[module.handle];
    return made;
  }
  std::optional<int> blocksPerSm(const Kernel &kernel, int threads) override {
    return inner->blocksPerSm(kernel, threads);
  }
  Status launch(const DeviceLaunch &launch, Stream stream) override {
    std::pair<int, int> blocks = kernels[launch.kernel.handle];
    last = behaviours[blocks];
    bool timing = int(launch.grid.x) * blocks.first > timedLength;
    wrongNow = false;
    Fault fault = timing ? last.atTiming : last.atVerify;
    if (timing && timings[blocks]++ < last.timingsBefore)
      fault = Fault::None;
    switch (fault) {
    case Fault::Crash:
      std::abort();
    case Fault::Hang:
      while (true)
        ::pause();
    case Fault::LaunchError:
      return missing("CUDA_ERROR_ILLEGAL_ADDRESS: the context is of no more use");
    case Fault::Wrong:
      wrongNow = true;
      break;
    case Fault::None:
      break;
    }
    return timing ? success() : inner->launch(launch, stream);
  }
  Status encodeTensorMap(const TensorMapRequest &request, TensorMap &map) override {
    return inner->encodeTensorMap(request, map);
  }
  Status synchronize(Stream stream) override { return inner->synchronize(stream); }
  Result<Stream> createStream() override { return inner->createStream(); }
  Status destroyStream(Stream stream) override { return inner->destroyStream(stream); }
  Result<Event> createEvent() override { return inner->createEvent(); }
  Status destroyEvent(Event event) override { return inner->destroyEvent(event); }
  Status record(Event event, Stream stream) override { return inner->record(event, stream); }
  Result<double> elapsedMs(Event, Event) override {
    return last.us * (1 + last.noise * random.normals()[0]) / 1000;
  }

private:
  Behaviours behaviours;
  int timedLength;
  std::unique_ptr<Device> inner;
  DeviceInfo about;
  reference::RandomBits random;
  std::map<uint64_t, std::pair<int, int>> modules, kernels;
  std::map<std::pair<int, int>, int> timings;
  Behaviour last;
  bool wrongNow = false;
};

} // namespace attune::tests

#endif // ATTUNE_TESTS_UNIT_TUNERFAULTYDEVICE_H
