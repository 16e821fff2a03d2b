//===- Launch.cpp - launches of the C interface ---------------------------===//
//
// Puts the caller's arrays into the form in which every launch takes them. It takes no memory unless
// something is wrong.
//
//===----------------------------------------------------------------------===//
#include "runtime/api/Launch.h"

namespace attune::api {

/// Place by place, the types of attune_dtype.
constexpr DType dtypes[] = {DType::F16, DType::BF16, DType::F32, DType::I32, DType::U8};

/// The place of the program's array of this name, likely `guess`; none: the number of arrays.
static size_t placeOf(const std::vector<BoundArgument> &table, size_t guess, std::string_view name) {
  if (guess < table.size() && table[guess].name == name)
    return guess;
  size_t place = 0;
  while (place < table.size() && table[place].name != name)
    ++place;
  return place;
}

attune_status Given::addArray(const PlanState &state, const attune_array &array) {
  const std::vector<BoundArgument> &table = state.plan->program.arrays();
  auto wrong = [&](std::string what) { return fail(ATTUNE_INVALID_ARGUMENT, std::move(what)); };
  size_t index = arrayCount;
  if (!array.name)
    return wrong(fmt::format("expected a name of array {}, got null", index));
  if (array.rank < 0 || array.rank > maxRank || (array.rank == 0 && (array.shape || array.strides)))
    return wrong(fmt::format("expected {} axes of {} where it has a shape or strides, got {}",
                             maxRank == 8 ? "1 to 8" : "fewer", array.name, array.rank));
  if (uint32_t(array.dtype) >= std::size(dtypes))
    return wrong(fmt::format("expected an attune_dtype for {}, got {}", array.name, array.dtype));
  std::string_view name = array.name;
  size_t place = placeOf(table, index, name);
  void *room = &arrayRoom[sizeof(ArrayArgument) * arrayCount++];
  // Of another name, the launch says that there is none.
  ArrayArgument &inside =
      *(place < table.size() ? new (room) ArrayArgument(state.dense[place]) : new (room) ArrayArgument{name});
  inside.address = addressOf(array.data);
  inside.isChecked &= inside.type == dtypes[array.dtype];
  inside.type = dtypes[array.dtype];
  if (array.shape || array.strides) {
    inside.isChecked = false;
    size_t rank = size_t(array.rank);
    inside.rank = array.rank;
    if (array.shape)
      std::copy_n(array.shape, rank, inside.shape.begin());
    if (array.strides)
      std::copy_n(array.strides, rank, inside.strides.begin());
  }
  return ATTUNE_OK;
}

attune_status Given::add(const PlanState &state, const attune_arguments &arguments) {
  auto tooMany = [](const char *what, size_t count) {
    return fail(ATTUNE_INVALID_ARGUMENT,
                fmt::format("expected at most {} {}, got {}", maxArguments, what, count));
  };
  auto none = [](const char *what, size_t count) {
    return fail(ATTUNE_NULL_POINTER, fmt::format("expected {} {}, got null", count, what));
  };
  if (arguments.array_count > maxArguments)
    return tooMany("arrays", arguments.array_count);
  if (arguments.scalar_count > maxArguments)
    return tooMany("scalars", arguments.scalar_count);
  if (arguments.array_count && !arguments.arrays)
    return none("arrays", arguments.array_count);
  if (arguments.scalar_count && !arguments.scalars)
    return none("scalars", arguments.scalar_count);
  for (size_t i = 0; i < arguments.array_count; ++i)
    if (attune_status status = addArray(state, arguments.arrays[i]))
      return status;
  for (size_t i = 0; i < arguments.scalar_count; ++i) {
    const attune_scalar &scalar = arguments.scalars[i];
    if (!scalar.name)
      return fail(ATTUNE_INVALID_ARGUMENT, fmt::format("expected a name of scalar {}, got null", i));
    new (&scalarRoom[sizeof(ScalarArgument) * scalarCount++]) ScalarArgument{scalar.name, scalar.value};
  }
  return ATTUNE_OK;
}

attune_status openPlan(const attune_plan *plan, const PlanState *&state) {
  if (attune_status status = check(plan))
    return status;
  state = plan->state.get();
  if (!state->done.load(std::memory_order_acquire) || !state->plan) [[unlikely]]
    return attune_plan_wait(plan, 0);
  return ATTUNE_OK;
}

attune_status readArguments(const attune_arguments *&given, attune_arguments &room) {
  if (given && given->size == sizeof(attune_arguments)) [[likely]]
    return ATTUNE_OK;
  room = ATTUNE_ARGUMENTS_INIT;
  constexpr size_t least = offsetof(attune_arguments, workspace) + sizeof(void *);
  if (attune_status status = readStruct(given, least, room, "the arguments of a launch"))
    return status;
  given = &room;
  return ATTUNE_OK;
}

} // namespace attune::api

using namespace attune;
using namespace attune::api;

attune_status attune_launch(const attune_plan *plan, const attune_arguments *given) {
  const PlanState *state = nullptr;
  if (attune_status status = openPlan(plan, state))
    return status;
  return guarded([&] {
    const attune_arguments *arguments = given;
    attune_arguments room;
    if (attune_status status = readArguments(arguments, room))
      return status;
    Given inside;
    if (attune_status status = inside.add(*state, *arguments))
      return status;
    v1::Status done =
        state->plan->program.launch(streamOf(arguments->stream), inside.arguments(arguments->workspace));
    return done ? ATTUNE_OK : fail(done.error());
  });
}
