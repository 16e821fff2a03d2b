//===- States.h - the states behind the C interface's handles ---*- C++ -*-===//
#ifndef ATTUNE_RUNTIME_API_STATES_H
#define ATTUNE_RUNTIME_API_STATES_H

#include "runtime/api/Handle.h"
#include "runtime/device/Device.h"
#include "runtime/plan/Planner.h"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace attune::api {

struct ContextState {
  static constexpr uint64_t mark = 0x61747475'6e650001;
  static constexpr const char *word = "a context";
  std::shared_ptr<Device> device;
  std::unique_ptr<Planner> planner;
  std::string facts; ///< JSON
};

/// A plan, or one that is being made. What is not said to be otherwise is written before `done` is set, and
/// never again.
struct PlanState {
  static constexpr uint64_t mark = 0x61747475'6e650002;
  static constexpr const char *word = "a plan";
  std::atomic<bool> done = false;
  std::optional<Plan> plan; ///< nothing: it failed
  v1::Error error{};
  std::vector<ArrayArgument> dense; ///< as plan->program.arrays(), in the spec's layout
  std::once_flag factsOnce, textOnce;
  std::string facts, text; ///< JSON; for people: written when they are first asked for

  std::mutex lock;
  std::condition_variable wake;
};

struct BufferState {
  static constexpr uint64_t mark = 0x61747475'6e650003;
  static constexpr const char *word = "a buffer";
  std::shared_ptr<Device> device; ///< outlives the memory, being declared first
  DeviceBuffer memory;
};

struct AdvisorState {
  static constexpr uint64_t mark = 0x61747475'6e650004;
  static constexpr const char *word = "an advisor";
  Advisor advise;
};

struct BundleState {
  static constexpr uint64_t mark = 0x61747475'6e650006;
  static constexpr const char *word = "a bundle";
  std::shared_ptr<const Bundle> bundle;
  std::string facts; ///< JSON
};

/// A new handle of an advisor.
attune_advisor *handleOf(Advisor advise);

inline DeviceAddress addressOf(const void *pointer) { return reinterpret_cast<DeviceAddress>(pointer); }
inline Stream streamOf(void *stream) { return {reinterpret_cast<uint64_t>(stream)}; }

} // namespace attune::api

struct attune_context : attune::api::Shell<attune::api::ContextState> {};
struct attune_plan : attune::api::Shell<attune::api::PlanState> {};
struct attune_buffer : attune::api::Shell<attune::api::BufferState> {};
struct attune_bundle : attune::api::Shell<attune::api::BundleState> {};
struct attune_advisor : attune::api::Shell<attune::api::AdvisorState> {};

struct attune_compiler_handle {
  const attune::ProgramMaker &maker;
  attune::Advisor advisor; ///< where the program has none of its own; may be empty
};
struct attune_simulator_handle {
  attune::SimulatorOpener open;
};

#endif // ATTUNE_RUNTIME_API_STATES_H
