//===- Plan.cpp - launching through the public interface ------------------===//
//
// Puts the arguments into the form in which every launch takes them. It takes no memory unless something is
// wrong.
//
//===----------------------------------------------------------------------===//
#include "runtime/api/State.h"

#include <array>
#include <cstdint>

#include <fmt/format.h>

namespace attune::v1 {
namespace {

Strides stridesOf(const ArrayArgument &array) {
  return {array.strides[0], array.strides[1], array.strides[2]};
}

ArrayArgument inside(const BoundArgument &bound, const char *name, const void *data, const Strides &strides) {
  ArrayArgument array;
  array.name = name;
  array.address = addressOf(data);
  array.type = bound.argument->type;
  array.rank = int(bound.argument->axes.size());
  array.shape = bound.shape;
  array.strides = {strides.batch, strides.head, strides.row, 1};
  return array;
}

/// Room for what a launch may have of arrays and scalars: it takes no memory.
struct Given {
  std::array<ArrayArgument, 32> arrays;
  std::array<ScalarArgument, 32> scalars;
  size_t arrayCount = 0, scalarCount = 0;

  Status add(std::span<const Array> given) {
    if (given.size() > arrays.size() - arrayCount)
      return Error{ErrorCode::InvalidArgument, fmt::format("expected at most {} arrays, got {}",
                                                           arrays.size(), arrayCount + given.size())};
    for (size_t i = 0; i < given.size(); ++i) {
      const Array &array = given[i];
      if (!array.name || array.rank < 0 || array.rank > maxRank ||
          (array.rank > 0 && (!array.shape || !array.strides)))
        return Error{
            ErrorCode::InvalidArgument,
            fmt::format("expected array {} to have a name, and the shape and strides of 0 to {} axes", i,
                        maxRank)};
      ArrayArgument &inside = arrays[arrayCount++];
      inside.name = array.name;
      inside.address = addressOf(array.data);
      inside.type = toInside(array.dtype);
      inside.rank = array.rank;
      std::copy_n(array.shape, array.rank, inside.shape.begin());
      std::copy_n(array.strides, array.rank, inside.strides.begin());
    }
    return std::monostate();
  }
  Status add(std::span<const Scalar> given) {
    if (given.size() > scalars.size())
      return Error{ErrorCode::InvalidArgument,
                   fmt::format("expected at most {} scalars, got {}", scalars.size(), given.size())};
    for (const Scalar &scalar : given)
      scalars[scalarCount++] = {scalar.name ? scalar.name : "", scalar.value};
    return std::monostate();
  }
  LaunchArguments arguments(void *workspace) const {
    return {std::span(arrays).first(arrayCount), std::span(scalars).first(scalarCount), addressOf(workspace)};
  }
};

} // namespace

const PlanInfo &Plan::info() const {
  static const PlanInfo none;
  return state ? state->info : none;
}

std::string Plan::describe() const {
  if (!state)
    return "";
  std::string text = attune::describe(state->plan);
  for (const std::string &note : state->info.notes)
    text += fmt::format("{:<12} {}\n", "note", note);
  return text;
}

Arguments Plan::dense(const void *q, const void *k, const void *v, void *o, void *lse) const {
  Arguments arguments;
  if (!state)
    return arguments;
  auto strides = [&](size_t which) -> Strides {
    int place = state->places[which];
    if (place < 0)
      return {};
    const BoundArgument &bound = state->plan.program.arrays()[size_t(place)];
    return stridesOf(denseArray(bound, state->plan.spec.layout));
  };
  arguments.q = {q, strides(0)};
  arguments.k = {k, strides(1)};
  arguments.v = {v, strides(2)};
  arguments.o = {o, strides(3)};
  arguments.lse = {lse, strides(4)};
  return arguments;
}

Status Plan::launch(Stream stream, const Arguments &arguments) const {
  if (!state)
    return Error{ErrorCode::EmptyHandle, "expected a plan, got one that was moved from"};
  const BoundProgram &program = state->plan.program;
  const void *data[] = {arguments.q.data, arguments.k.data,   arguments.v.data,
                        arguments.o.data, arguments.lse.data, arguments.sink};
  constexpr Strides adjacent{1, 0, 0}; // of the one axis
  const Strides *strides[] = {&arguments.q.strides, &arguments.k.strides,   &arguments.v.strides,
                              &arguments.o.strides, &arguments.lse.strides, &adjacent};
  Given given;
  for (size_t i = 0; i < namedArrays.size(); ++i)
    if (int place = state->places[i]; place >= 0)
      given.arrays[given.arrayCount++] =
          inside(program.arrays()[size_t(place)], namedArrays[i].name, data[i], *strides[i]);
    else if (data[i])
      return Error{ErrorCode::InvalidArgument,
                   fmt::format("expected no array for {}, since kernel '{}' has none, got {}{}",
                               namedArrays[i].name, state->info.kernel, data[i],
                               namedArrays[i].field ? fmt::format("; set the spec's {}", namedArrays[i].field)
                                                    : std::string())};
  if (Status added = given.add(arguments.arrays); !added)
    return added;
  if (Status added = given.add(arguments.scalars); !added)
    return added;
  return program.launch(streamOf(stream), given.arguments(arguments.workspace));
}

Status Plan::launch(Stream stream, std::span<const Array> arrays, std::span<const Scalar> scalars,
                    void *workspace) const {
  if (!state)
    return Error{ErrorCode::EmptyHandle, "expected a plan, got one that was moved from"};
  Given given;
  if (Status added = given.add(arrays); !added)
    return added;
  if (Status added = given.add(scalars); !added)
    return added;
  return state->plan.program.launch(streamOf(stream), given.arguments(workspace));
}

} // namespace attune::v1
