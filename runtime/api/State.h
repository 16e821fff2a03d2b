//===- State.h - what stands behind the public handles ----------*- C++ -*-===//
#ifndef ATTUNE_RUNTIME_API_STATE_H
#define ATTUNE_RUNTIME_API_STATE_H

#include "runtime/api/Api.h"

#include "runtime/device/Device.h"
#include "runtime/plan/Planner.h"

#include <array>
#include <memory>

namespace attune::v1 {

struct Context::State {
  std::shared_ptr<Device> device;
  DeviceInfo about;
  std::unique_ptr<Planner> planner;
};

struct Buffer::State {
  std::shared_ptr<Device> device; ///< outlives the memory, being declared first
  DeviceBuffer memory;
};

struct Plan::State {
  attune::Plan plan;
  PlanInfo info;
  /// Where the arrays of Arguments stand among the program's; -1: it has none of that name.
  std::array<int, 6> places;
};

/// The arrays of Arguments by the names that kernels have for them, with the spec's field that asks for them.
struct NamedArray {
  const char *name;
  bool isVector; ///< one axis; others have three or four
  const char *field = nullptr;
};
inline constexpr std::array<NamedArray, 6> namedArrays = {
    {{"q", false}, {"k", false}, {"v", false}, {"o", false}, {"lse", false, "lse"}, {"sink", true, "sink"}}};

inline DeviceAddress addressOf(const void *pointer) { return reinterpret_cast<DeviceAddress>(pointer); }
inline attune::Stream streamOf(Stream stream) { return {reinterpret_cast<uint64_t>(stream)}; }

} // namespace attune::v1

#endif // ATTUNE_RUNTIME_API_STATE_H
