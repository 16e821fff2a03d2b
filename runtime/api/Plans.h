//===- Plans.h - requests of the C interface --------------------*- C++ -*-===//
#ifndef ATTUNE_RUNTIME_API_PLANS_H
#define ATTUNE_RUNTIME_API_PLANS_H

#include "runtime/api/States.h"

#include <optional>

namespace attune::api {

/// What a program asks for, as the planner takes it.
struct Request {
  AttentionSpec spec;
  ProblemShape shape;
  std::optional<StageText> stage;
  std::optional<Target> target; ///< that the stage is of
};

/// Reads the caller's struct, which need not stay.
attune_status readRequest(const attune_request *given, Request &request);

/// Plans, and makes `state` done, whatever comes of it.
void makePlan(const ContextState &context, const Request &request, PlanState &state) noexcept;

/// Waits until `ready` gives true under `lock`, at most `seconds`; negative: as long as it takes. Gives
/// whether it did.
template <typename Ready>
bool waitFor(std::mutex &lock, std::condition_variable &wake, double seconds, const Ready &ready) {
  std::unique_lock guard(lock);
  if (seconds < 0) {
    wake.wait(guard, ready);
    return true;
  }
  constexpr double longest = 1e8; // what a clock can add
  return wake.wait_for(guard, std::chrono::duration<double>(std::min(seconds, longest)), ready);
}

} // namespace attune::api

#endif // ATTUNE_RUNTIME_API_PLANS_H
