//===- SimDevice.cpp - the simulated GPU as a device ----------------------===//
//
// Streams and events exist, but every call is complete when it returns.
//
//===----------------------------------------------------------------------===//
#include "runtime/device/sim/SimDevice.h"

#include "compiler/support/GpuFigures.h"

#include "simulator/Simulator.h"
#include "simulator/Tables.h"

#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>

#include <fmt/format.h>

namespace attune {
namespace {

using Clock = std::chrono::steady_clock;

struct LoadedModule {
  std::shared_ptr<const sim::Module> module;
  std::vector<SourceText> sources;
};

struct LoadedKernel {
  std::shared_ptr<LoadedModule> owner;
  std::string entry;
};

/// Line `number` (from 1) of `text`, without its indentation.
std::string_view lineOf(std::string_view text, uint32_t number) {
  for (uint32_t i = 1; i < number; ++i) {
    size_t end = text.find('\n');
    if (end == std::string_view::npos)
      return "";
    text.remove_prefix(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  return text;
}

/// The line of the source that a place in the PTX came from, or nothing.
std::string_view sourceLine(const sim::Site &site, const std::vector<SourceText> &sources) {
  std::string_view file = site.sourceFile;
  file.remove_prefix(file.rfind('/') + 1);
  for (const SourceText &source : sources)
    if (site.sourceLine > 0 && (source.name.empty() || source.name == file))
      return lineOf(source.text, site.sourceLine);
  return "";
}

/// The findings as one message: each names the PTX line, and the tile op or source line where the PTX knows
/// it.
std::string describe(const std::vector<sim::Finding> &findings, const std::vector<SourceText> &sources) {
  constexpr size_t most = 10;
  std::string text = fmt::format("the simulator found {} fault{} in the kernel:", findings.size(),
                                 findings.size() == 1 ? "" : "s");
  for (size_t i = 0; i < findings.size() && i < most; ++i) {
    text += "\n" + findings[i].text();
    while (text.ends_with('\n'))
      text.pop_back();
    if (std::string_view line = sourceLine(findings[i].site, sources); !line.empty())
      text += fmt::format("\n  from: {}", line);
    if (findings[i].hasOther)
      if (std::string_view line = sourceLine(findings[i].other, sources); !line.empty())
        text += fmt::format("\n  and: {}", line);
  }
  if (findings.size() > most)
    text += fmt::format("\n... and {} more", findings.size() - most);
  return text;
}

class SimDevice final : public Device {
public:
  SimDevice(DeviceInfo info, const SimOptions &options) : about(std::move(info)), options(options) {}

  const DeviceInfo &info() const override { return about; }
  bool takes(ImageKind kind) const override { return kind == ImageKind::PTX; }

  Result<DeviceAddress> allocate(size_t bytes, std::string_view name) override {
    std::lock_guard guard(lock);
    return memory.allocate(bytes, name.empty() ? fmt::format("buffer {}", ++buffers) : std::string(name));
  }
  Status free(DeviceAddress address) override {
    std::lock_guard guard(lock);
    return memory.free(address);
  }
  Status copyIn(DeviceAddress to, const void *from, size_t bytes, Stream) override {
    std::lock_guard guard(lock);
    return memory.write(to, from, bytes);
  }
  Status copyOut(void *to, DeviceAddress from, size_t bytes, Stream) override {
    std::lock_guard guard(lock);
    return memory.read(to, from, bytes);
  }
  Status fill(DeviceAddress to, uint8_t byte, size_t bytes, Stream) override {
    std::lock_guard guard(lock);
    return memory.fill(to, byte, bytes);
  }

  Result<Module> loadModule(const ModuleImage &image) override {
    if (image.kind != ImageKind::PTX)
      return badInput(fmt::format("{}: the simulated GPU executes PTX, got a cubin", image.name));
    Result<std::shared_ptr<const sim::Module>> parsed = sim::parseModule(image.bytes, image.name);
    if (!parsed)
      return parsed.error();
    std::lock_guard guard(lock);
    uint64_t handle = ++handles;
    modules[handle] = std::make_shared<LoadedModule>(LoadedModule{*parsed, image.sources});
    return Module{handle};
  }
  Status unloadModule(Module module) override {
    std::lock_guard guard(lock);
    auto loaded = modules.find(module.handle);
    if (loaded == modules.end())
      return badInput("expected a module that is loaded");
    std::erase_if(kernels, [&](const auto &one) { return one.second.owner == loaded->second; });
    modules.erase(loaded);
    return success();
  }

  Result<Kernel> kernel(Module module, const std::string &entry, uint32_t dynamicShared) override {
    std::lock_guard guard(lock);
    auto loaded = modules.find(module.handle);
    if (loaded == modules.end())
      return badInput("expected a module that is loaded");
    Result<const sim::EntryInfo *> info = loaded->second->module->entry(entry);
    if (!info)
      return info.error();
    if (!(*info)->refusal.empty())
      return badInput((*info)->refusal);
    if (int64_t(dynamicShared) + (*info)->staticSharedBytes > about.arch.sharedPerBlock)
      return badInput(fmt::format("kernel '{}' needs {} bytes of shared memory, a block of {} has {}", entry,
                                  dynamicShared + (*info)->staticSharedBytes, about.arch.name,
                                  about.arch.sharedPerBlock));
    Kernel kernel;
    kernel.handle = ++handles;
    kernel.localBytes = int((*info)->localBytes);
    kernel.staticShared = int((*info)->staticSharedBytes);
    kernel.dynamicShared = int(dynamicShared);
    kernels[kernel.handle] = {loaded->second, entry};
    return kernel;
  }
  std::optional<int> blocksPerSm(const Kernel &, int) override { return std::nullopt; }

  Status launch(const DeviceLaunch &launch, Stream) override {
    // Held throughout: the memory is not for two launches at once.
    std::lock_guard guard(lock);
    auto found = kernels.find(launch.kernel.handle);
    if (found == kernels.end())
      return badInput("expected a kernel of a loaded module");
    if (int64_t(launch.dynamicShared) > launch.kernel.dynamicShared)
      return badInput(
          fmt::format("expected at most {} bytes of dynamic shared memory for kernel '{}', got {}",
                      launch.kernel.dynamicShared, found->second.entry, launch.dynamicShared));
    sim::LaunchConfig config;
    config.entry = found->second.entry;
    config.grid = {launch.grid.x, launch.grid.y, launch.grid.z};
    config.block = {launch.block.x, launch.block.y, launch.block.z};
    config.dynamicShared = launch.dynamicShared;
    if (launch.cluster.x * launch.cluster.y * launch.cluster.z > 1)
      config.cluster = {launch.cluster.x, launch.cluster.y, launch.cluster.z};
    config.cooperative = launch.cooperative;
    config.params.assign(launch.params.begin(), launch.params.end());
    config.mode = options.mode == SimOptions::Mode::Eager  ? sim::Mode::Eager
                  : options.mode == SimOptions::Mode::Lazy ? sim::Mode::Lazy
                                                           : sim::Mode::Random;
    config.seed = options.seed;
    config.threads = unsigned(options.threads);
    config.checks = options.checks;
    config.progress = options.progress;
    if (options.timings)
      config.time = options.timings->config;
    const LoadedModule &module = *found->second.owner;
    Result<sim::LaunchResult> result = sim::launch(*module.module, memory, config);
    if (!result)
      return result.error();
    count(result->counters);
    std::fwrite(result->printed.data(), 1, result->printed.size(), stderr);
    notes = result->notes;
    if (result->time)
      options.timings->launches.push_back(std::move(*result->time));
    if (!result->findings.empty())
      return Error{ErrorKind::Verification, describe(result->findings, module.sources)};
    return success();
  }
  Status synchronize(Stream) override { return success(); }
  Status encodeTensorMap(const TensorMapRequest &request, TensorMap &map) override {
    sim::TensorMapDescription description;
    description.type = sim::TensorMapType(tensorMapType(request.type));
    description.rank = unsigned(request.rank);
    description.address = request.address;
    for (size_t axis = 0; axis < size_t(request.rank); ++axis) {
      description.dims[axis] = request.extents[axis];
      description.box[axis] = request.box[axis];
      description.elementStrides[axis] = 1;
      if (axis > 0)
        description.strides[axis - 1] = request.strides[axis - 1];
    }
    description.swizzle = request.swizzle == 32    ? sim::TensorMapSwizzle::B32
                          : request.swizzle == 64  ? sim::TensorMapSwizzle::B64
                          : request.swizzle == 128 ? sim::TensorMapSwizzle::B128
                                                   : sim::TensorMapSwizzle::None;
    Result<std::array<std::byte, 128>> encoded = sim::encodeTensorMap(description);
    if (!encoded)
      return encoded.error();
    map = *encoded;
    return success();
  }

  Result<Stream> createStream() override {
    std::lock_guard guard(lock);
    return Stream{++handles};
  }
  Status destroyStream(Stream) override { return success(); }
  Result<Event> createEvent() override {
    std::lock_guard guard(lock);
    events[++handles] = std::nullopt;
    return Event{handles};
  }
  Status destroyEvent(Event event) override {
    std::lock_guard guard(lock);
    if (!events.erase(event.handle))
      return badInput("expected an event that was created");
    return success();
  }
  Status record(Event event, Stream) override {
    std::lock_guard guard(lock);
    auto known = events.find(event.handle);
    if (known == events.end())
      return badInput("expected an event that was created");
    known->second = Clock::now();
    return success();
  }
  Result<double> elapsedMs(Event start, Event stop) override {
    std::lock_guard guard(lock);
    auto from = events.find(start.handle), to = events.find(stop.handle);
    if (from == events.end() || to == events.end() || !from->second || !to->second)
      return badInput("expected two events that were recorded");
    return std::chrono::duration<double, std::milli>(*to->second - *from->second).count();
  }
  std::optional<LaunchCounters> takeCounters() override {
    std::lock_guard guard(lock);
    return std::exchange(counters, std::nullopt);
  }
  std::vector<std::string> lastNotes() const override {
    std::lock_guard guard(lock);
    return notes;
  }

private:
  /// Adds a launch's counters to those that nobody has taken yet.
  void count(const sim::Counters &launched) {
    if (!counters)
      counters.emplace();
    counters->warpInstructions += launched.warpInstructions;
    size_t place = 0; // names come in a fixed order
    for (const auto &[name, number] : sim::named(launched)) {
      if (name == "warp instructions")
        continue;
      if (place == counters->byName.size())
        counters->byName.emplace_back(name, 0);
      counters->byName[place++].second += number;
    }
  }

  DeviceInfo about;
  SimOptions options;
  mutable std::mutex lock;
  sim::GlobalMemory memory;
  uint64_t buffers = 0, handles = 0;
  std::map<uint64_t, std::shared_ptr<LoadedModule>> modules;
  std::map<uint64_t, LoadedKernel> kernels;
  std::map<uint64_t, std::optional<Clock::time_point>> events;
  std::optional<LaunchCounters> counters;
  std::vector<std::string> notes;
};

} // namespace

DeviceInfo describeSimDevice(const Arch &arch) {
  DeviceInfo info;
  info.kind = DeviceKind::Sim;
  info.name = fmt::format("simulated {}", arch.name);
  info.arch = arch;
  info.computeCapability = arch.computeCapability;
  info.multiprocessors = gpuFiguresFor(info.name, arch.computeCapability).multiprocessors;
  return info;
}

Result<std::unique_ptr<Device>> openSimDevice(const std::string &archName, const SimOptions &options,
                                              const std::string &why) {
  Result<Arch> arch = findArch(archName.empty() ? "sm_80" : archName);
  if (!arch)
    return arch.error();
  // A bad file of tables is told before any work, and as what it is: not as a kernel that cannot be loaded.
  if (const Status &tables = sim::loadDeviceTables(); !tables)
    return tables.error();
  DeviceInfo info = describeSimDevice(*arch);
  info.why = why;
  if (options.multiprocessors)
    info.multiprocessors = options.multiprocessors;
  return std::unique_ptr<Device>(std::make_unique<SimDevice>(std::move(info), options));
}

} // namespace attune
