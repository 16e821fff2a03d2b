//===- DriverApi.h - the CUDA driver's functions, opened at run time -*- C++ -*-===//
//
// Declared by hand after the driver API's documentation, so that no CUDA header is needed to build attune
// and no driver is needed to start it. Names and numbers are the driver's own.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_DEVICE_CUDA_DRIVERAPI_H
#define ATTUNE_RUNTIME_DEVICE_CUDA_DRIVERAPI_H

#include "compiler/support/Result.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace attune::cuda {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUcontext = struct OpaqueContext *;
using CUmodule = struct OpaqueModule *;
using CUfunction = struct OpaqueFunction *;
using CUstream = struct OpaqueStream *;
using CUevent = struct OpaqueEvent *;

inline constexpr CUresult CUDA_SUCCESS = 0;
inline constexpr CUresult CUDA_ERROR_OUT_OF_MEMORY = 2;
inline constexpr CUresult CUDA_ERROR_NO_DEVICE = 100;
inline constexpr CUresult CUDA_ERROR_INVALID_DEVICE = 101;
inline constexpr CUresult CUDA_ERROR_SYSTEM_NOT_READY = 802;
inline constexpr CUresult CUDA_ERROR_ILLEGAL_ADDRESS = 700;
inline constexpr CUresult CUDA_ERROR_LAUNCH_FAILED = 719;

enum DeviceAttribute {
  ClockRate = 13,
  MultiprocessorCount = 16,
  ComputeCapabilityMajor = 75,
  ComputeCapabilityMinor = 76,
};

enum FunctionAttribute {
  SharedSizeBytes = 1,
  LocalSizeBytes = 3,
  NumRegs = 4,
  MaxDynamicSharedSizeBytes = 8,
};

enum JitOption {
  InfoLogBuffer = 3,
  InfoLogBufferSizeBytes = 4,
  ErrorLogBuffer = 5,
  ErrorLogBufferSizeBytes = 6,
  LogVerbose = 12,
  GenerateLineInfo = 13,
};

inline constexpr unsigned streamNonBlocking = 1;
/// Markers of cuLaunchKernel's `extra`.
inline void *const launchParamEnd = nullptr;
inline void *const launchParamBufferPointer = reinterpret_cast<void *>(1);
inline void *const launchParamBufferSize = reinterpret_cast<void *>(2);

// Every function that attune calls: the name in DriverApi, the symbol in the library, its parameters. The
// symbols are those of the ABI since CUDA 4 (_v2) or the first one, which drivers keep.
#define ATTUNE_CUDA_FUNCTIONS(X)                                                                             \
  X(Init, "cuInit", (unsigned flags))                                                                        \
  X(DriverGetVersion, "cuDriverGetVersion", (int *version))                                                  \
  X(GetErrorName, "cuGetErrorName", (CUresult error, const char **name))                                     \
  X(GetErrorString, "cuGetErrorString", (CUresult error, const char **text))                                 \
  X(DeviceGetCount, "cuDeviceGetCount", (int *count))                                                        \
  X(DeviceGet, "cuDeviceGet", (CUdevice * device, int ordinal))                                              \
  X(DeviceGetName, "cuDeviceGetName", (char *name, int size, CUdevice device))                               \
  X(DeviceGetAttribute, "cuDeviceGetAttribute", (int *value, int attribute, CUdevice device))                \
  X(DeviceTotalMem, "cuDeviceTotalMem_v2", (size_t *bytes, CUdevice device))                                 \
  X(PrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (CUcontext * context, CUdevice device))                    \
  X(PrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (CUdevice device))                                    \
  X(CtxGetCurrent, "cuCtxGetCurrent", (CUcontext * context))                                                 \
  X(CtxPushCurrent, "cuCtxPushCurrent_v2", (CUcontext context))                                              \
  X(CtxPopCurrent, "cuCtxPopCurrent_v2", (CUcontext * context))                                              \
  X(MemAlloc, "cuMemAlloc_v2", (CUdeviceptr * address, size_t bytes))                                        \
  X(MemFree, "cuMemFree_v2", (CUdeviceptr address))                                                          \
  X(MemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2",                                                                 \
    (CUdeviceptr to, const void *from, size_t bytes, CUstream stream))                                       \
  X(MemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", (void *to, CUdeviceptr from, size_t bytes, CUstream stream))    \
  X(MemsetD8Async, "cuMemsetD8Async", (CUdeviceptr to, unsigned char byte, size_t bytes, CUstream stream))   \
  X(ModuleLoadDataEx, "cuModuleLoadDataEx",                                                                  \
    (CUmodule * module, const void *image, unsigned options, int *names, void **values))                     \
  X(ModuleUnload, "cuModuleUnload", (CUmodule module))                                                       \
  X(ModuleGetFunction, "cuModuleGetFunction", (CUfunction * function, CUmodule module, const char *name))    \
  X(FuncGetAttribute, "cuFuncGetAttribute", (int *value, int attribute, CUfunction function))                \
  X(FuncSetAttribute, "cuFuncSetAttribute", (CUfunction function, int attribute, int value))                 \
  X(OccupancyMaxActiveBlocks, "cuOccupancyMaxActiveBlocksPerMultiprocessor",                                 \
    (int *blocks, CUfunction function, int threads, size_t dynamicShared))                                   \
  X(LaunchKernel, "cuLaunchKernel",                                                                          \
    (CUfunction function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY,  \
     unsigned blockZ, unsigned dynamicShared, CUstream stream, void **params, void **extra))                 \
  X(StreamCreate, "cuStreamCreate", (CUstream * stream, unsigned flags))                                     \
  X(StreamDestroy, "cuStreamDestroy_v2", (CUstream stream))                                                  \
  X(StreamSynchronize, "cuStreamSynchronize", (CUstream stream))                                             \
  X(EventCreate, "cuEventCreate", (CUevent * event, unsigned flags))                                         \
  X(EventDestroy, "cuEventDestroy_v2", (CUevent event))                                                      \
  X(EventRecord, "cuEventRecord", (CUevent event, CUstream stream))                                          \
  X(EventSynchronize, "cuEventSynchronize", (CUevent event))                                                 \
  X(EventElapsedTime, "cuEventElapsedTime", (float *ms, CUevent start, CUevent stop))

/// CUlaunchAttribute, as far as it is used: a kind and a union of 64 bytes.
struct LaunchAttribute {
  enum Kind : int { Cooperative = 2, ClusterDimension = 4 };
  Kind kind;
  char pad[4] = {};
  union {
    char bytes[64] = {};
    unsigned cluster[3];
    int cooperative;
  };
};
static_assert(sizeof(LaunchAttribute) == 72);

/// CUlaunchConfig.
struct LaunchConfig {
  unsigned gridX, gridY, gridZ, blockX, blockY, blockZ, dynamicShared;
  CUstream stream;
  LaunchAttribute *attributes;
  unsigned count;
};
static_assert(sizeof(LaunchConfig) == 56);

// Those that are null where the driver has none of them: what needs one says so.
#define ATTUNE_CUDA_OPTIONAL_FUNCTIONS(X)                                                                    \
  X(LaunchKernelEx, "cuLaunchKernelEx",                                                                      \
    (const LaunchConfig *config, CUfunction function, void **params, void **extra))                          \
  X(TensorMapEncodeTiled, "cuTensorMapEncodeTiled",                                                          \
    (void *map, int type, unsigned rank, void *address, const unsigned long long *extents,                   \
     const unsigned long long *strides, const unsigned *box, const unsigned *elementStrides, int interleave, \
     int swizzle, int l2Promotion, int fill))

/// The driver, opened once a process and initialised.
struct DriverApi {
#define ATTUNE_DECLARE(name, symbol, params) CUresult(*name) params = nullptr;
  ATTUNE_CUDA_FUNCTIONS(ATTUNE_DECLARE)
  ATTUNE_CUDA_OPTIONAL_FUNCTIONS(ATTUNE_DECLARE)
#undef ATTUNE_DECLARE
  int version = 0; ///< 1000 * major + 10 * minor of the CUDA that the driver speaks
  std::string path;

  /// Opens `library` ("libcuda.so.1") and initialises it. The error is of kind Missing and says what is
  /// wrong: no driver, no device, a driver that is too old.
  static Result<const DriverApi *> open(const std::string &library);

  /// "CUDA_ERROR_INVALID_VALUE: invalid argument".
  std::string describe(CUresult result) const;
};

} // namespace attune::cuda

#endif // ATTUNE_RUNTIME_DEVICE_CUDA_DRIVERAPI_H
