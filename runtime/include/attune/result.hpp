//===- result.hpp - a value or an error -------------------------*- C++ -*-===//
//
// How attune's C++ interface says what went wrong.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RESULT_HPP
#define ATTUNE_RESULT_HPP

#include "attune.h"

#include <string>
#include <utility>
#include <variant>

namespace attune {
// attune's own sources have other things by these names in `attune`, and write v1:: before these.
#ifndef ATTUNE_INSIDE
inline
#endif
    namespace v1 {

/// What went wrong, for programs: an attune_status.
enum class ErrorCode {
  InvalidOptions = ATTUNE_INVALID_OPTIONS,   ///< a device, architecture or folder that there is not
  InvalidSpec = ATTUNE_INVALID_SPEC,         ///< a spec that no kernel can have
  InvalidShape = ATTUNE_INVALID_SHAPE,       ///< a shape that no launch can have
  InvalidStrides = ATTUNE_INVALID_STRIDES,   ///< strides that the kernels do not take
  InvalidArgument = ATTUNE_INVALID_ARGUMENT, ///< anything else in a call: O where K or V is, a wrong type
  NullPointer = ATTUNE_NULL_POINTER,         ///< an array is not there
  Misaligned = ATTUNE_MISALIGNED,            ///< an array does not begin at a multiple of 16 bytes (LSE: 4)
  EmptyHandle = ATTUNE_EMPTY_HANDLE,         ///< a Context, Plan or Buffer that was moved from
  NoDevice = ATTUNE_NO_DEVICE,               ///< the device that was asked for is not here, or cannot be used
  NotCached = ATTUNE_NOT_CACHED,             ///< the kernel is nowhere, and nothing may compile it
  ToolMissing = ATTUNE_TOOL_MISSING,         ///< NVRTC is needed and not here
  CompileFailed = ATTUNE_COMPILE_FAILED, ///< a compiler refused; a schedule that does not fit, among others
  LoadFailed = ATTUNE_LOAD_FAILED,       ///< the device does not take the kernel
  LaunchFailed = ATTUNE_LAUNCH_FAILED,   ///< the driver refused the launch
  KernelFault = ATTUNE_KERNEL_FAULT,     ///< of the kernel: found by the simulator, or reported by the GPU
  OutOfMemory = ATTUNE_OUT_OF_MEMORY,    ///< of the device, or of the host
  DeviceFailed = ATTUNE_DEVICE_FAILED,   ///< a copy or a synchronisation failed
  NotReady = ATTUNE_NOT_READY,           ///< a plan that is still being made
  InvalidBundle = ATTUNE_INVALID_BUNDLE, ///< a file that is no bundle, damaged, or of a later version
  Internal = ATTUNE_INTERNAL,            ///< a mistake of attune
};
/// "InvalidSpec".
inline const char *nameOf(ErrorCode code) {
  return attune_status_name(static_cast<attune_status>(static_cast<int>(code)));
}

struct Error {
  ErrorCode code;
  std::string message; ///< complete: what was expected, what was got, and a way out where there is one
};

/// A T, or the error that prevented it. Asking for the one that is not there throws std::bad_variant_access.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T what) : state(std::move(what)) {}
  Result(Error why) : state(std::move(why)) {}
  explicit operator bool() const { return state.index() == 0; }
  T &value() { return std::get<0>(state); }
  const T &value() const { return std::get<0>(state); }
  T &operator*() { return value(); }
  const T &operator*() const { return value(); }
  T *operator->() { return &value(); }
  const T *operator->() const { return &value(); }
  const Error &error() const { return std::get<1>(state); }

private:
  std::variant<T, Error> state;
};

/// Success, or an error.
using Status = Result<std::monostate>;

} // namespace v1
} // namespace attune

#endif // ATTUNE_RESULT_HPP
