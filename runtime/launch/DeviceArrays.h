//===- DeviceArrays.h - memory for a launch ---------------------*- C++ -*-===//
//
// For whoever has no arrays on the device of his own: the command line, the tuner, tests.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_LAUNCH_DEVICEARRAYS_H
#define ATTUNE_RUNTIME_LAUNCH_DEVICEARRAYS_H

#include "runtime/launch/BoundProgram.h"

#include <string_view>
#include <vector>

namespace attune {

/// Every array of a bound program, and its workspace. Contents are undefined.
class DeviceArrays {
public:
  /// Memory for arrays that lie as `layouts` say, whose addresses are not looked at.
  static Result<DeviceArrays> allocate(const BoundProgram &program,
                                       const std::vector<ArrayArgument> &layouts);
  /// For dense ones.
  static Result<DeviceArrays> allocate(const BoundProgram &program, Layout layout);

  const std::vector<ArrayArgument> &arrays() const { return arguments; }
  /// The array of this name; there must be one.
  const ArrayArgument &array(std::string_view name) const;
  LaunchArguments launchArguments(std::span<const ScalarArgument> scalars = {}) const;

private:
  std::vector<ArrayArgument> arguments;
  std::vector<DeviceBuffer> buffers; ///< theirs, then the workspace
  DeviceAddress workspace = 0;
};

/// Bytes from an array's first element to its last; its strides must be ones that a launch takes.
size_t bytesOf(const ArrayArgument &array);

/// An array on the host, at the same distances as on the device.
struct HostArray {
  ArrayArgument layout; ///< its address is not looked at
  std::vector<std::byte> bytes;

  /// Zeroes.
  static HostArray of(const ArrayArgument &layout);
  template <typename T> T *as() { return reinterpret_cast<T *>(bytes.data()); }
  template <typename T> const T *as() const { return reinterpret_cast<const T *>(bytes.data()); }
  template <typename T> size_t count() const { return bytes.size() / sizeof(T); }
};

/// The values that the spec has for scalars that the program leaves to run time, as far as it has them.
std::vector<ScalarArgument> scalarsOf(const BoundProgram &program, const AttentionSpec &spec);

/// What a launch of arrays on the host came to.
struct HostRun {
  StageTimes times;                       ///< copy in, launch, copy out
  std::optional<LaunchCounters> counters; ///< on the simulator
  std::vector<std::string> notes;         ///< the simulator's
};

/// An array on the host that somebody else has, at the same distances as on the device.
struct HostView {
  ArrayArgument layout; ///< its address is not looked at
  std::byte *data;
  size_t bytes;
};

/// Copies every array in, launches, and copies the outputs back. On the simulator a fault of the kernel is a
/// KernelFault that names the PTX line and the tile op.
v1::Result<HostRun> runOnHost(const BoundProgram &program, std::span<const HostView> arrays,
                              std::span<const ScalarArgument> scalars = {});
v1::Result<HostRun> runOnHost(const BoundProgram &program, std::vector<HostArray> &arrays,
                              std::span<const ScalarArgument> scalars = {});

} // namespace attune

#endif // ATTUNE_RUNTIME_LAUNCH_DEVICEARRAYS_H
