//===- Launch.h - a launch's arguments from C -------------------*- C++ -*-===//
#ifndef ATTUNE_RUNTIME_API_LAUNCH_H
#define ATTUNE_RUNTIME_API_LAUNCH_H

#include "runtime/api/States.h"

#include <span>

namespace attune::api {

/// The caller's arrays and scalars as launches take them. It has room for what a program may have, which is
/// not touched before it is needed: a launch takes no memory, and clearing all of it would cost more than the
/// rest.
class Given {
public:
  Given() {} // not = default, which would clear the room
  attune_status add(const PlanState &state, const attune_arguments &arguments);

  std::span<ArrayArgument> arrays() { return {reinterpret_cast<ArrayArgument *>(arrayRoom), arrayCount}; }
  std::span<ScalarArgument> scalars() {
    return {reinterpret_cast<ScalarArgument *>(scalarRoom), scalarCount};
  }
  LaunchArguments arguments(void *workspace) { return {arrays(), scalars(), addressOf(workspace)}; }

private:
  attune_status addArray(const PlanState &state, const attune_array &array);

  alignas(ArrayArgument) std::byte arrayRoom[sizeof(ArrayArgument) * maxArguments];
  alignas(ScalarArgument) std::byte scalarRoom[sizeof(ScalarArgument) * maxArguments];
  size_t arrayCount = 0, scalarCount = 0;
};

/// The state of a plan that is made, or the status of why there is none.
attune_status openPlan(const attune_plan *plan, const PlanState *&state);
/// The caller's struct, or in `room` what this library knows of it.
attune_status readArguments(const attune_arguments *&given, attune_arguments &room);

} // namespace attune::api

#endif // ATTUNE_RUNTIME_API_LAUNCH_H
