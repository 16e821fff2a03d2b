//===- Arguments.h - what a launch works on ---------------------*- C++ -*-===//
//
// Arrays and scalars as every caller gives them: by the names that the program's kernels have for them.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_LAUNCH_ARGUMENTS_H
#define ATTUNE_RUNTIME_LAUNCH_ARGUMENTS_H

#include "compiler/support/DType.h"
#include "runtime/device/Device.h"

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace attune {

/// The most axes that an array has.
constexpr int maxRank = 8;
/// What a program may have of arrays, and of scalars: launches find them in arrays of this size.
constexpr size_t maxArguments = 32;

/// An array on the device.
struct ArrayArgument {
  std::string_view name;
  DeviceAddress address = 0; ///< of its element (0, 0, ...); 0: there is none
  DType type = DType::BF16;
  int rank = 0;
  /// Extents, and distances between neighbours in elements, in the order of the kernel's axes whatever the
  /// order in memory. A stride along an axis of one element is not looked at.
  std::array<int64_t, maxRank> shape{}, strides{};
  bool isChecked = false; ///< type, shape and strides are what the program takes: a launch looks no further
};

/// A number that the program leaves to run time.
struct ScalarArgument {
  std::string_view name;
  double value = 0;
};

struct LaunchArguments {
  std::span<const ArrayArgument> arrays;
  std::span<const ScalarArgument> scalars = {};
  DeviceAddress workspace = 0; ///< the bytes that the bound program asks for; 0 if it asks for none
};

} // namespace attune

#endif // ATTUNE_RUNTIME_LAUNCH_ARGUMENTS_H
