//===- Failure.h - errors that programs tell apart --------------*- C++ -*-===//
//
// Planning and launching answer with the public interface's results, whose errors have a code. The library
// hands them on as they are; the command line needs only their kind.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_LAUNCH_FAILURE_H
#define ATTUNE_RUNTIME_LAUNCH_FAILURE_H

#include "compiler/support/Result.h"

#ifndef ATTUNE_INSIDE
#define ATTUNE_INSIDE
#endif
#include "runtime/include/attune/result.hpp"

namespace attune {

inline v1::Error failure(v1::ErrorCode code, const Error &error) { return {code, error.message}; }

/// A device's refusal: what the simulator's checkers or the GPU found in a kernel comes first.
inline v1::Error deviceFailure(const Error &error, v1::ErrorCode otherwise) {
  return {error.kind == ErrorKind::Verification ? v1::ErrorCode::KernelFault : otherwise, error.message};
}

inline v1::Status succeeded() { return std::monostate(); }

/// The same without its code.
Error withKind(const v1::Error &error);

} // namespace attune

#endif // ATTUNE_RUNTIME_LAUNCH_FAILURE_H
