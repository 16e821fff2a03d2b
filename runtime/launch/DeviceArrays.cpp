//===- DeviceArrays.cpp - memory for a launch -----------------------------===//
#include "runtime/launch/DeviceArrays.h"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>

namespace attune {

using v1::ErrorCode;

size_t bytesOf(const ArrayArgument &array) {
  return size_t(spanOf(array).value_or(0)) * size_t(infoOf(array.type).bytes());
}

Result<DeviceArrays> DeviceArrays::allocate(const BoundProgram &program,
                                            const std::vector<ArrayArgument> &layouts) {
  DeviceArrays result;
  Device &device = program.program().device();
  for (const ArrayArgument &layout : layouts) {
    if (!spanOf(layout))
      return badInput(fmt::format("expected strides of {} whose bytes 64 bits count", layout.name));
    Result<DeviceBuffer> buffer = DeviceBuffer::make(device, bytesOf(layout), layout.name);
    if (!buffer)
      return buffer.error();
    ArrayArgument &argument = result.arguments.emplace_back(layout);
    argument.address = buffer->address();
    result.buffers.push_back(std::move(*buffer));
  }
  if (program.workspaceBytes() > 0) {
    Result<DeviceBuffer> buffer = DeviceBuffer::make(device, program.workspaceBytes(), "workspace");
    if (!buffer)
      return buffer.error();
    result.workspace = buffer->address();
    result.buffers.push_back(std::move(*buffer));
  }
  return result;
}

Result<DeviceArrays> DeviceArrays::allocate(const BoundProgram &program, Layout layout) {
  std::vector<ArrayArgument> layouts;
  for (const BoundArgument &array : program.arrays())
    layouts.push_back(denseArray(array, layout));
  return allocate(program, layouts);
}

const ArrayArgument &DeviceArrays::array(std::string_view name) const {
  auto found = std::find_if(arguments.begin(), arguments.end(),
                            [&](const ArrayArgument &one) { return one.name == name; });
  assert(found != arguments.end() && "no such array");
  return *found;
}

LaunchArguments DeviceArrays::launchArguments(std::span<const ScalarArgument> scalars) const {
  return {arguments, scalars, workspace};
}

HostArray HostArray::of(const ArrayArgument &layout) {
  return {layout, std::vector<std::byte>(bytesOf(layout))};
}

std::vector<ScalarArgument> scalarsOf(const BoundProgram &program, const AttentionSpec &spec) {
  std::vector<ScalarArgument> scalars;
  for (const BoundArgument &scalar : program.scalars())
    if (std::optional<double> value = scalarOf(spec, scalar.name))
      scalars.push_back({scalar.name, *value});
  return scalars;
}

v1::Result<HostRun> runOnHost(const BoundProgram &program, std::vector<HostArray> &arrays,
                              std::span<const ScalarArgument> scalars) {
  std::vector<HostView> views;
  for (HostArray &array : arrays)
    views.push_back({array.layout, array.bytes.data(), array.bytes.size()});
  return runOnHost(program, views, scalars);
}

v1::Result<HostRun> runOnHost(const BoundProgram &program, std::span<const HostView> arrays,
                              std::span<const ScalarArgument> scalars) {
  Device &device = program.program().device();
  HostRun run;
  StageClock clock;
  std::vector<ArrayArgument> layouts;
  for (const HostView &array : arrays) {
    layouts.push_back(array.layout);
    if (array.bytes < bytesOf(array.layout))
      return v1::Error{ErrorCode::InvalidArgument,
                       fmt::format("expected at least {} bytes of {} for this problem, got {}",
                                   bytesOf(array.layout), array.layout.name, array.bytes)};
  }
  Result<DeviceArrays> onDevice = DeviceArrays::allocate(program, layouts);
  if (!onDevice)
    return deviceFailure(onDevice.error(), onDevice.error().kind == ErrorKind::Missing
                                               ? ErrorCode::OutOfMemory
                                               : ErrorCode::InvalidStrides);
  auto failed = [](const Error &error) { return deviceFailure(error, ErrorCode::DeviceFailed); };
  for (size_t i = 0; i < arrays.size(); ++i)
    if (Status copied = device.copyIn(onDevice->arrays()[i].address, arrays[i].data, bytesOf(layouts[i]));
        !copied)
      return failed(copied.error());
  if (Status done = device.synchronize(); !done)
    return failed(done.error());
  run.times.emplace_back("copy in", clock.lap());

  (void)device.takeCounters(); // of launches before this one
  if (v1::Status launched = program.launch({}, onDevice->launchArguments(scalars)); !launched)
    return launched.error();
  if (Status done = device.synchronize(); !done)
    return failed(done.error());
  run.counters = device.takeCounters();
  run.notes = device.lastNotes();
  run.times.emplace_back(device.info().kind == DeviceKind::Sim ? "simulate" : "launch", clock.lap());

  for (size_t i = 0; i < arrays.size(); ++i) {
    const BoundArgument *argument = program.findArray(arrays[i].layout.name);
    if (!argument || !argument->output)
      continue;
    if (Status copied = device.copyOut(arrays[i].data, onDevice->arrays()[i].address, bytesOf(layouts[i]));
        !copied)
      return failed(copied.error());
  }
  if (Status done = device.synchronize(); !done)
    return failed(done.error());
  run.times.emplace_back("copy out", clock.lap());
  return run;
}

} // namespace attune
