//===- RuntimeSilentNvrtc.cpp - an NVRTC that logs nothing ----------------===//
//
// An NVRTC that logs nothing, as the real one does where it has compiled the same text before: it passes all
// else on to the library that ATTUNE_REAL_NVRTC names.
//
//===----------------------------------------------------------------------===//
#include <cstdlib>
#include <dlfcn.h>

namespace {
template <typename Function> Function real(const char *name) {
  static void *library = ::dlopen(std::getenv("ATTUNE_REAL_NVRTC"), RTLD_NOW | RTLD_LOCAL);
  return reinterpret_cast<Function>(::dlsym(library, name));
}
} // namespace

extern "C" {
using Program = void *;

int nvrtcVersion(int *major, int *minor) { return real<int (*)(int *, int *)>("nvrtcVersion")(major, minor); }
const char *nvrtcGetErrorString(int code) { return real<const char *(*)(int)>("nvrtcGetErrorString")(code); }
int nvrtcCreateProgram(Program *program, const char *source, const char *name, int count,
                       const char *const *headers, const char *const *names) {
  using Create =
      int (*)(Program *, const char *, const char *, int, const char *const *, const char *const *);
  return real<Create>("nvrtcCreateProgram")(program, source, name, count, headers, names);
}
int nvrtcDestroyProgram(Program *program) { return real<int (*)(Program *)>("nvrtcDestroyProgram")(program); }
int nvrtcCompileProgram(Program program, int count, const char *const *options) {
  return real<int (*)(Program, int, const char *const *)>("nvrtcCompileProgram")(program, count, options);
}
int nvrtcGetPTXSize(Program program, size_t *size) {
  return real<int (*)(Program, size_t *)>("nvrtcGetPTXSize")(program, size);
}
int nvrtcGetPTX(Program program, char *text) {
  return real<int (*)(Program, char *)>("nvrtcGetPTX")(program, text);
}
int nvrtcGetCUBINSize(Program program, size_t *size) {
  return real<int (*)(Program, size_t *)>("nvrtcGetCUBINSize")(program, size);
}
int nvrtcGetCUBIN(Program program, char *bytes) {
  return real<int (*)(Program, char *)>("nvrtcGetCUBIN")(program, bytes);
}
int nvrtcGetProgramLogSize(Program, size_t *size) {
  *size = 1;
  return 0;
}
int nvrtcGetProgramLog(Program, char *text) {
  *text = 0;
  return 0;
}
}
