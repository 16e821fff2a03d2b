//===- NvrtcApi.h - NVRTC's functions, opened at run time -------*- C++ -*-===//
//
// Declared by hand after NVRTC's documentation, so that no CUDA header is needed to build attune.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_JIT_NVRTCAPI_H
#define ATTUNE_RUNTIME_JIT_NVRTCAPI_H

#include "compiler/support/Result.h"

#include <cstddef>
#include <string>

namespace attune {

struct NvrtcApi {
  using Program = struct OpaqueProgram *;
  int (*Version)(int *major, int *minor);
  const char *(*GetErrorString)(int result);
  int (*CreateProgram)(Program *program, const char *source, const char *name, int numHeaders,
                       const char *const *headers, const char *const *includeNames);
  int (*DestroyProgram)(Program *program);
  int (*CompileProgram)(Program program, int numOptions, const char *const *options);
  int (*GetPTXSize)(Program program, size_t *size);
  int (*GetPTX)(Program program, char *ptx);
  int (*GetCUBINSize)(Program program, size_t *size);
  int (*GetCUBIN)(Program program, char *cubin);
  int (*GetProgramLogSize)(Program program, size_t *size);
  int (*GetProgramLog)(Program program, char *log);
  int major = 0, minor = 0;

  /// Opens the library at `path`, once a process: it stays open, for closing it costs and gains nothing.
  static Result<const NvrtcApi *> open(const std::string &path);
};

} // namespace attune

#endif // ATTUNE_RUNTIME_JIT_NVRTCAPI_H
