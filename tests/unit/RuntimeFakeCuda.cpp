//===- RuntimeFakeCuda.cpp - a made-up driver -----------------------------===//
//
// A driver library for tests: device memory lies on the host, modules and streams are numbers, launches are
// recorded and compute nothing. Its functions have the real driver's names and meanings.
//
//===----------------------------------------------------------------------===//
#include "tests/unit/RuntimeFakeCuda.h"

#include <cstdlib>
#include <cstring>
#include <mutex>

namespace {

FakeCuda state;
std::mutex lock;
thread_local void *currentContext = nullptr;
void *const primaryContext = reinterpret_cast<void *>(0x100);

int enter(const char *symbol) {
  if (state.quiet)
    return ++state.quietCalls, 0;
  std::lock_guard guard(lock);
  state.calls.push_back(symbol);
  // As the driver does while a stream is captured: what is no launch there is refused.
  if (state.capturing && std::strcmp(symbol, "cuLaunchKernel") != 0)
    return 900;
  auto failure = state.failures.find(symbol);
  return failure == state.failures.end() ? 0 : failure->second;
}

} // namespace

#define ENTER(symbol)                                                                                        \
  if (int failed = enter(symbol))                                                                            \
  return failed
#define ENTER_IN_CONTEXT(symbol)                                                                             \
  ENTER(symbol);                                                                                             \
  if (currentContext != primaryContext)                                                                      \
  return 201

extern "C" {

FakeCuda *fakeCuda() { return &state; }

int cuInit(unsigned) { return state.initResult; }
int cuDriverGetVersion(int *version) { return *version = state.version, 0; }
int cuGetErrorName(int, const char **name) { return *name = "CUDA_ERROR_FAKE", 0; }
int cuGetErrorString(int, const char **text) { return *text = "made up", 0; }
int cuDeviceGetCount(int *count) { return *count = state.devices, 0; }
int cuDeviceGet(int *device, int ordinal) {
  if (ordinal >= state.devices)
    return 101;
  return *device = ordinal, 0;
}
int cuDeviceGetName(char *name, int, int) { return std::strcpy(name, "Fake GPU"), 0; }
int cuDeviceGetAttribute(int *value, int attribute, int) {
  *value = attribute == 75 ? state.major : attribute == 76 ? state.minor : attribute == 16 ? 132 : 1980000;
  return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = size_t(1) << 37, 0; }
int cuDevicePrimaryCtxRetain(void **context, int) {
  ENTER("cuDevicePrimaryCtxRetain");
  ++state.retained;
  return *context = primaryContext, 0;
}
int cuDevicePrimaryCtxRelease_v2(int) { return --state.retained, 0; }
int cuCtxGetCurrent(void **context) { return *context = currentContext, 0; }
// One level is all that the tests need.
static thread_local void *pushedOver = nullptr;
int cuCtxPushCurrent_v2(void *context) {
  pushedOver = currentContext;
  return currentContext = context, 0;
}
int cuCtxPopCurrent_v2(void **context) {
  *context = currentContext;
  return currentContext = pushedOver, 0;
}
int cuMemAlloc_v2(unsigned long long *address, size_t bytes) {
  ENTER_IN_CONTEXT("cuMemAlloc");
  if (state.memory && bytes > state.memory)
    return 2;
  ++state.liveAllocations;
  return *address = reinterpret_cast<unsigned long long>(std::aligned_alloc(256, (bytes + 255) / 256 * 256)),
         0;
}
int cuMemFree_v2(unsigned long long address) {
  ENTER_IN_CONTEXT("cuMemFree");
  --state.liveAllocations;
  return std::free(reinterpret_cast<void *>(address)), 0;
}
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t bytes, void *) {
  ENTER_IN_CONTEXT("cuMemcpyHtoDAsync");
  return std::memcpy(reinterpret_cast<void *>(to), from, bytes), 0;
}
int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t bytes, void *) {
  ENTER_IN_CONTEXT("cuMemcpyDtoHAsync");
  return std::memcpy(to, reinterpret_cast<void *>(from), bytes), 0;
}
int cuMemsetD8Async(unsigned long long to, unsigned char byte, size_t bytes, void *) {
  ENTER_IN_CONTEXT("cuMemsetD8Async");
  return std::memset(reinterpret_cast<void *>(to), byte, bytes), 0;
}
int cuModuleLoadDataEx(void **module, const void *image, unsigned options, int *names, void **values) {
  {
    std::lock_guard guard(lock);
    state.lastImage = static_cast<const char *>(image);
  }
  for (unsigned i = 0; i < options; ++i)
    if (names[i] == 5 && state.failures.count("cuModuleLoadDataEx"))
      std::strcpy(static_cast<char *>(values[i]), "ptxas application ptx input, line 3; fatal: made up");
  ENTER_IN_CONTEXT("cuModuleLoadDataEx");
  if (state.refusesCubins && state.lastImage.starts_with("\x7f"
                                                         "ELF"))
    return 209;
  ++state.modules;
  return *module = reinterpret_cast<void *>(0x200), 0;
}
int cuModuleUnload(void *) {
  --state.modules;
  return enter("cuModuleUnload");
}
int cuModuleGetFunction(void **function, void *, const char *name) {
  ENTER_IN_CONTEXT("cuModuleGetFunction");
  if (std::strcmp(name, "absent") == 0)
    return 500;
  return *function = reinterpret_cast<void *>(0x300), 0;
}
int cuFuncGetAttribute(int *value, int attribute, void *) {
  ENTER_IN_CONTEXT("cuFuncGetAttribute");
  return *value = attribute == 4 ? 168 : 0, 0;
}
int cuFuncSetAttribute(void *, int attribute, int value) {
  ENTER_IN_CONTEXT("cuFuncSetAttribute");
  if (attribute == 8)
    state.maxDynamicShared = value;
  return 0;
}
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *, int, size_t) {
  ENTER_IN_CONTEXT("cuOccupancyMaxActiveBlocksPerMultiprocessor");
  return *blocks = 2, 0;
}
int cuLaunchKernel(void *, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **, void **extra) {
  ENTER_IN_CONTEXT("cuLaunchKernel");
  if (state.quiet)
    return 0;
  std::lock_guard guard(lock);
  auto *bytes = static_cast<const std::byte *>(extra[1]);
  size_t size = *static_cast<size_t *>(extra[3]);
  state.launches.push_back(
      {{gx, gy, gz}, {bx, by, bz}, shared, stream, currentContext, {bytes, bytes + size}});
  return 0;
}
int cuStreamCreate(void **stream, unsigned) { return *stream = reinterpret_cast<void *>(0x400), 0; }
int cuStreamDestroy_v2(void *) { return 0; }
int cuStreamSynchronize(void *) { return enter("cuStreamSynchronize"); }
int cuEventCreate(void **event, unsigned) { return *event = reinterpret_cast<void *>(0x500), 0; }
int cuEventDestroy_v2(void *) { return 0; }
int cuEventRecord(void *, void *) { return enter("cuEventRecord"); }
int cuEventSynchronize(void *) { return 0; }
int cuEventElapsedTime(float *ms, void *, void *) { return *ms = 1.5f, 0; }

} // extern "C"
