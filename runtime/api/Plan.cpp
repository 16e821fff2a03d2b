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
  std::array<ArrayArgument, namedArrays.size()> arrays;
  size_t count = 0;
  for (size_t i = 0; i < arrays.size(); ++i)
    if (int place = state->places[i]; place >= 0)
      arrays[count++] = inside(program.arrays()[size_t(place)], namedArrays[i].name, data[i], *strides[i]);
    else if (data[i])
      return Error{ErrorCode::InvalidArgument,
                   fmt::format("expected no array for {}, since kernel '{}' has none, got {}{}",
                               namedArrays[i].name, state->info.kernel, data[i],
                               namedArrays[i].field ? fmt::format("; set the spec's {}", namedArrays[i].field)
                                                    : std::string())};
  std::array<ScalarArgument, 8> scalars;
  if (arguments.scalars.size() > scalars.size())
    return Error{ErrorCode::InvalidArgument, fmt::format("expected at most {} scalars, got {}",
                                                         scalars.size(), arguments.scalars.size())};
  for (size_t i = 0; i < arguments.scalars.size(); ++i)
    scalars[i] = {arguments.scalars[i].name, arguments.scalars[i].value};
  return program.launch(streamOf(stream),
                        {std::span(arrays).first(count), std::span(scalars).first(arguments.scalars.size()),
                         addressOf(arguments.workspace)});
}

Status Plan::launch(Stream stream, std::span<const Array> arrays, std::span<const Scalar> scalars,
                    void *workspace) const {
  if (!state)
    return Error{ErrorCode::EmptyHandle, "expected a plan, got one that was moved from"};
  std::array<ArrayArgument, 32> inside;
  std::array<ScalarArgument, 8> numbers;
  if (arrays.size() > inside.size() || scalars.size() > numbers.size())
    return Error{ErrorCode::InvalidArgument,
                 fmt::format("expected at most {} arrays and {} scalars, got {} and {}", inside.size(),
                             numbers.size(), arrays.size(), scalars.size())};
  for (size_t i = 0; i < arrays.size(); ++i) {
    const Array &array = arrays[i];
    if (!array.name || array.rank < 0 || array.rank > maxRank ||
        (array.rank > 0 && (!array.shape || !array.strides)))
      return Error{ErrorCode::InvalidArgument,
                   fmt::format("expected array {} to have a name, and the shape and strides of 0 to {} axes",
                               i, maxRank)};
    inside[i].name = array.name;
    inside[i].address = addressOf(array.data);
    inside[i].type = toInside(array.dtype);
    inside[i].rank = array.rank;
    std::copy_n(array.shape, array.rank, inside[i].shape.begin());
    std::copy_n(array.strides, array.rank, inside[i].strides.begin());
  }
  for (size_t i = 0; i < scalars.size(); ++i)
    numbers[i] = {scalars[i].name ? scalars[i].name : "", scalars[i].value};
  return state->plan.program.launch(streamOf(stream),
                                    {std::span(inside).first(arrays.size()),
                                     std::span(numbers).first(scalars.size()), addressOf(workspace)});
}

} // namespace attune::v1
