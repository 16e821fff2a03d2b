//===- State.h - what stands behind the public handles ----------*- C++ -*-===//
#ifndef ATTUNE_RUNTIME_API_STATE_H
#define ATTUNE_RUNTIME_API_STATE_H

#include "runtime/api/Api.h"

#include "runtime/device/Device.h"
#include "runtime/plan/Planning.h"

#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace attune::v1 {

/// A kernel on its device. It keeps the device open.
struct LoadedKernel {
  std::shared_ptr<Device> device;
  BuiltProgram built; ///< without its texts
  ImageChoice image;
  Module module;
  bool isLoaded = false;
  Kernel entry;
  int registers = -1, blocksPerSm = -1;

  LoadedKernel() = default;
  LoadedKernel(const LoadedKernel &) = delete;
  LoadedKernel &operator=(const LoadedKernel &) = delete;
  ~LoadedKernel();
};

struct Context::State {
  ContextOptions options;
  std::shared_ptr<Device> device;
  Cache cache;
  DeviceInfo about;
  attune::Advisor advisor;
  std::mutex lock; ///< of `kernels`; nothing is compiled while it is held
  /// By target and code: there, or being made by the thread that put it here.
  std::map<std::string, std::shared_future<Result<std::shared_ptr<const LoadedKernel>>>> kernels;
};

struct Buffer::State {
  std::shared_ptr<Device> device; ///< outlives the memory, being declared first
  DeviceBuffer memory;
};

struct Plan::State {
  std::shared_ptr<const LoadedKernel> kernel;
  AttentionSpec spec;
  reference::Problem problem; ///< the shape; its strides come with each launch
  Dim3 grid, block;
  PlanInfo info;
  std::string deviceLine;
};

inline DeviceAddress addressOf(const void *pointer) { return reinterpret_cast<DeviceAddress>(pointer); }
inline attune::Stream streamOf(Stream stream) { return {reinterpret_cast<uint64_t>(stream)}; }

} // namespace attune::v1

#endif // ATTUNE_RUNTIME_API_STATE_H
