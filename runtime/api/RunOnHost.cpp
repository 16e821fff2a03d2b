//===- RunOnHost.cpp - launches on arrays of the host ---------------------===//
#include "compiler/spec/Json.h"
#include "runtime/api/Facts.h"
#include "runtime/api/Launch.h"
#include "runtime/io/JsonObject.h"
#include "runtime/launch/DeviceArrays.h"

using namespace attune;
using namespace attune::api;

/// Whether kernels take an array that lies like this, so that its bytes can be copied as they are.
static bool liesAsKernelsTake(const BoundArgument &bound, const ArrayArgument &array) {
  int64_t elementBytes = infoOf(array.type).bytes();
  int64_t step = std::max<int64_t>(bound.argument->alignment, elementBytes) / elementBytes;
  for (int axis = 0; axis < array.rank; ++axis) {
    int64_t stride = array.strides[size_t(axis)];
    bool isLast = axis + 1 == array.rank;
    if (array.shape[size_t(axis)] > 1 && (isLast ? stride != 1 : stride < 0 || stride % step))
      return false;
  }
  return spanOf(array).has_value();
}

/// Whether 64 bits count the bytes from the first to the last element, in either direction.
static bool isCountable(ArrayArgument array) {
  for (int64_t &stride : array.strides) {
    if (stride == INT64_MIN)
      return false;
    stride = std::abs(stride);
  }
  return spanOf(array).has_value();
}

namespace {

/// An array of the host whose bytes are in the order of `dense`, and how to get there and back.
class Packed {
public:
  Packed(const ArrayArgument &given, const ArrayArgument &dense)
      : given(given), dense(HostArray::of(dense)), elementBytes(size_t(infoOf(given.type).bytes())) {
    each([&](std::byte *theirs, std::byte *ours) { std::memcpy(ours, theirs, elementBytes); });
  }
  void unpack() {
    each([&](std::byte *theirs, std::byte *ours) { std::memcpy(theirs, ours, elementBytes); });
  }
  HostView view() { return {dense.layout, dense.bytes.data(), dense.bytes.size()}; }

private:
  /// Calls `move` with the two places of each element.
  template <typename Move> void each(const Move &move) {
    std::array<int64_t, maxRank> index{};
    size_t rank = size_t(given.rank);
    for (size_t axis = 0; axis < rank; ++axis)
      if (given.shape[axis] == 0)
        return;
    auto *theirs = reinterpret_cast<std::byte *>(given.address);
    for (;;) {
      int64_t from = 0, to = 0;
      for (size_t axis = 0; axis < rank; ++axis) {
        from += index[axis] * given.strides[axis];
        to += index[axis] * dense.layout.strides[axis];
      }
      move(theirs + from * int64_t(elementBytes), dense.bytes.data() + size_t(to) * elementBytes);
      size_t axis = rank;
      while (axis > 0 && ++index[axis - 1] == given.shape[axis - 1])
        index[--axis] = 0;
      if (axis == 0)
        return;
    }
  }

  ArrayArgument given;
  HostArray dense;
  size_t elementBytes;
};

} // namespace

/// {"times": ..., "counters": ..., "notes": ...}.
static std::string factsOf(const HostRun &run) {
  JsonObject object, counters;
  object.raw("times", api::factsOf(run.times));
  if (run.counters) {
    counters.whole("warp instructions", int64_t(run.counters->warpInstructions));
    for (const auto &[name, count] : run.counters->byName)
      counters.whole(name, int64_t(count));
    object.raw("counters", counters.str());
  }
  return object.raw("notes", jsonTexts(run.notes)).str();
}

attune_status attune_run(const attune_plan *plan, const attune_arguments *given, char **report) {
  if (report)
    *report = nullptr;
  const PlanState *state = nullptr;
  if (attune_status status = openPlan(plan, state))
    return status;
  return guarded([&] {
    const attune_arguments *arguments = given;
    attune_arguments room;
    if (attune_status status = readArguments(arguments, room))
      return status;
    if (arguments->stream || arguments->workspace)
      return fail(ATTUNE_INVALID_ARGUMENT,
                  fmt::format("expected no {} for arrays of the host, got {}",
                              arguments->stream ? "stream" : "workspace",
                              arguments->stream ? arguments->stream : arguments->workspace));
    Given inside;
    if (attune_status status = inside.add(*state, *arguments))
      return status;

    // What is wrong is found before anything is copied: as on the device, with addresses and strides as they
    // will be there.
    const BoundProgram &program = state->plan->program;
    std::vector<ArrayArgument> onDevice;
    std::vector<bool> packed;
    for (const ArrayArgument &array : inside.arrays()) {
      const BoundArgument *bound = program.findArray(array.name);
      ArrayArgument &layout = onDevice.emplace_back(array);
      bool isPacked = bound && array.address && size_t(array.rank) == bound->argument->axes.size() &&
                      !liesAsKernelsTake(*bound, array);
      if (isPacked && !isCountable(array))
        return fail(ATTUNE_INVALID_STRIDES,
                    fmt::format("expected strides of {} whose bytes 64 bits count", bound->name));
      if (isPacked && bound->output && overlaps(array))
        return fail(ATTUNE_INVALID_STRIDES,
                    fmt::format("expected strides of {} that keep its elements apart", bound->name));
      if (isPacked)
        layout.strides = state->dense[size_t(bound - program.arrays().data())].strides;
      packed.push_back(isPacked);
      if (array.address % 256)
        layout.address = 4096 * DeviceAddress(onDevice.size());
    }
    constexpr DeviceAddress anywhere = 4096;
    if (v1::Status good = program.check({onDevice, inside.scalars(), anywhere}); !good)
      return fail(good.error());

    std::vector<HostView> views;
    std::vector<Packed> packages;
    packages.reserve(onDevice.size());
    for (size_t i = 0; i < onDevice.size(); ++i) {
      const ArrayArgument &array = inside.arrays()[i];
      const BoundArgument *bound = program.findArray(array.name);
      if (!bound || (!array.address && !bound->empty))
        continue; // an optional one that is not given
      if (packed[i])
        views.push_back(packages.emplace_back(array, onDevice[i]).view());
      else
        views.push_back({array, reinterpret_cast<std::byte *>(array.address), bytesOf(array)});
    }
    v1::Result<HostRun> run = runOnHost(program, views, inside.scalars());
    if (!run)
      return fail(run.error());
    size_t next = 0;
    for (size_t i = 0; i < onDevice.size(); ++i)
      if (packed[i]) {
        Packed &package = packages[next++];
        if (program.findArray(onDevice[i].name)->output)
          package.unpack();
      }
    if (report)
      *report = textOf(factsOf(*run));
    return ATTUNE_OK;
  });
}
