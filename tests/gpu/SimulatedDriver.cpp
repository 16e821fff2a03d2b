//===- SimulatedDriver.cpp - a CUDA driver over the simulated GPU ---------===//
//
// A CUDA driver library over the simulated GPU: what calls the driver, from C++ or by ctypes, runs on it
// unchanged where there is no GPU. It loads PTX only. Its name and the symbol `attuneSimulatedDriver` say
// what it is.
//
// Environment:
//   ATTUNE_SIMULATED_DRIVER=record   launches are recorded, not run: for the logic of measuring alone
//   ATTUNE_SIMULATED_CAPABILITY=80   the compute capability it claims (90)
//   ATTUNE_SIMULATED_LOG=FILE        a line a launch: entry, grid, block, shared bytes, parameter bytes
//   ATTUNE_SIMULATED_CRASH=N:FILE    the process dies at its Nth launch, unless FILE exists; it makes it
//   ATTUNE_SIMULATED_FAULT=N:FILE    the same, with a launch failure that later calls keep giving
// Time is made up, and the same in every run: a launch takes 1 us and, recorded, 10 ns a block or, run, 1 ns
// an instruction of a warp; a fill takes 1 us a megabyte.
//
//===----------------------------------------------------------------------===//
#include "simulator/Simulator.h"
#include "simulator/TensorMap.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

using namespace attune;

namespace {

enum {
  invalidValue = 1,
  outOfMemory = 2,
  noBinaryForGpu = 209,
  invalidPtx = 218,
  notFound = 500,
  launchFailed = 719
};

struct Function {
  std::shared_ptr<const sim::Module> module;
  const sim::EntryInfo *entry;
  int dynamicShared = 48 * 1024;
  bool nonPortableCluster = false;
};

struct Driver {
  std::mutex lock;
  sim::GlobalMemory memory;
  double clockMs = 0;
  int fault = 0; ///< of a launch: every later call gives it, as on a device
  int buffers = 0;
  bool record = std::getenv("ATTUNE_SIMULATED_DRIVER") &&
                std::strcmp(std::getenv("ATTUNE_SIMULATED_DRIVER"), "record") == 0;
  int capability =
      std::getenv("ATTUNE_SIMULATED_CAPABILITY") ? std::atoi(std::getenv("ATTUNE_SIMULATED_CAPABILITY")) : 90;
  void *current = nullptr;
  int launches = 0;

  /// Whether this launch is the one that `variable` (N:FILE) asks for, for the first time.
  bool isDue(const char *variable) const {
    const char *asked = std::getenv(variable);
    const char *file = asked ? std::strchr(asked, ':') : nullptr;
    if (!file || std::atoi(asked) != launches)
      return false;
    if (FILE *before = std::fopen(file + 1, "r"))
      return std::fclose(before), false;
    if (FILE *mark = std::fopen(file + 1, "w"))
      std::fclose(mark);
    return true;
  }
};

/// Lives as long as the process: callers free modules and memory while it ends.
Driver &driver() {
  static Driver *const one = new Driver;
  return *one;
}

int fail(int result, const std::string &why) {
  std::fprintf(stderr, "simulated driver: %s\n", why.c_str());
  return result;
}

int after(const Status &done, int result) { return done ? 0 : fail(result, done.error().message); }

using Module = std::shared_ptr<const sim::Module>;

#define ENTER                                                                                                \
  Driver &d = driver();                                                                                      \
  std::lock_guard guard(d.lock);                                                                             \
  if (d.fault)                                                                                               \
  return d.fault

} // namespace

extern "C" {

int attuneSimulatedDriver() { return driver().record ? 2 : 1; }

int cuInit(unsigned) { return 0; }
int cuDriverGetVersion(int *version) { return *version = 13000, 0; }
int cuGetErrorName(int error, const char **name) {
  *name = error == invalidValue     ? "CUDA_ERROR_INVALID_VALUE"
          : error == outOfMemory    ? "CUDA_ERROR_OUT_OF_MEMORY"
          : error == noBinaryForGpu ? "CUDA_ERROR_NO_BINARY_FOR_GPU"
          : error == invalidPtx     ? "CUDA_ERROR_INVALID_PTX"
          : error == notFound       ? "CUDA_ERROR_NOT_FOUND"
          : error == launchFailed   ? "CUDA_ERROR_LAUNCH_FAILED"
                                    : "CUDA_ERROR_UNKNOWN";
  return 0;
}
int cuGetErrorString(int, const char **text) { return *text = "on the simulated driver", 0; }
int cuDeviceGetCount(int *count) { return *count = 1, 0; }
int cuDeviceGet(int *device, int ordinal) { return ordinal ? 101 : (*device = 0, 0); }
int cuDeviceGetName(char *name, int size, int) {
  return std::snprintf(name, size_t(size), "simulated GPU"), 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int) {
  *value = attribute == 75   ? driver().capability / 10
           : attribute == 76 ? driver().capability % 10
           : attribute == 16 ? 132
           : attribute == 13 ? 1980000
           : attribute == 36 ? 3201000
           : attribute == 38 ? 50 << 20
                             : 0;
  return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = size_t(139) << 30, 0; }
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = &driver(), 0; }
int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
int cuCtxGetCurrent(void **context) { return *context = driver().current, 0; }
int cuCtxSetCurrent(void *context) { return driver().current = context, 0; }
int cuCtxPushCurrent_v2(void *context) { return driver().current = context, 0; }
int cuCtxPopCurrent_v2(void **context) { return *context = driver().current, 0; }
int cuCtxSynchronize() {
  ENTER;
  return 0;
}

int cuMemGetInfo_v2(size_t *free, size_t *total) { return *free = *total = size_t(139) << 30, 0; }
int cuMemAlloc_v2(unsigned long long *address, size_t bytes) {
  ENTER;
  Result<uint64_t> got = d.memory.allocate(bytes, "buffer " + std::to_string(++d.buffers));
  if (!got)
    return fail(outOfMemory, got.error().message);
  return *address = *got, 0;
}
int cuMemFree_v2(unsigned long long address) {
  ENTER;
  return after(d.memory.free(address), invalidValue);
}
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t bytes, void *) {
  ENTER;
  return after(d.memory.write(to, from, bytes), invalidValue);
}
int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t bytes, void *) {
  ENTER;
  return after(d.memory.read(to, from, bytes), invalidValue);
}
int cuMemsetD8Async(unsigned long long to, unsigned char byte, size_t bytes, void *) {
  ENTER;
  d.clockMs += 1e-9 * double(bytes);
  return d.record ? 0 : after(d.memory.fill(to, byte, bytes), invalidValue);
}

int cuModuleLoadDataEx(void **module, const void *image, unsigned options, int *names, void **values) {
  ENTER;
  const char *text = static_cast<const char *>(image);
  if (std::memcmp(text, "\177ELF", 4) == 0)
    return fail(noBinaryForGpu, "a cubin, and only PTX can be simulated");
  auto parsed = sim::parseModule(text, "module.ptx");
  if (!parsed) {
    size_t room = 0;
    for (unsigned i = 0; i < options; ++i)
      if (names[i] == 6)
        room = reinterpret_cast<size_t>(values[i]);
    for (unsigned i = 0; i < options; ++i)
      if (names[i] == 5 && room)
        std::snprintf(static_cast<char *>(values[i]), room, "%s", parsed.error().message.c_str());
    return fail(invalidPtx, parsed.error().message);
  }
  return *module = new Module(*parsed), 0;
}
int cuModuleUnload(void *module) {
  ENTER;
  delete static_cast<Module *>(module);
  return 0;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
  ENTER;
  auto entry = (*static_cast<Module *>(module))->entry(name);
  if (!entry)
    return fail(notFound, entry.error().message);
  return *function = new Function{*static_cast<Module *>(module), *entry}, 0;
}
int cuFuncGetAttribute(int *value, int attribute, void *function) {
  const Function &f = *static_cast<Function *>(function);
  *value = attribute == 1   ? int(f.entry->staticSharedBytes)
           : attribute == 3 ? int(f.entry->localBytes)
           : attribute == 4 ? int(f.entry->registerSlots)
                            : 0;
  return 0;
}
int cuFuncSetAttribute(void *function, int attribute, int value) {
  if (attribute == 14)
    return static_cast<Function *>(function)->nonPortableCluster = value != 0, 0;
  if (attribute != 8)
    return 0;
  if (value > 227 * 1024)
    return fail(invalidValue, "more shared memory than a block has");
  return static_cast<Function *>(function)->dynamicShared = value, 0;
}
int cuTensorMapEncodeTiled(void *map, int type, unsigned rank, void *address, const unsigned long long *dims,
                           const unsigned long long *strides, const unsigned *box, const unsigned *steps,
                           int interleave, int swizzle, int l2Promotion, int fill) {
  if (!map || reinterpret_cast<uintptr_t>(map) % 64)
    return fail(invalidValue, "expected a tensor map at a multiple of 64 bytes");
  if (rank < 1 || rank > 5 || !dims || !box || !steps || (rank > 1 && !strides))
    return fail(invalidValue,
                "expected a tensor map of rank 1 to 5 with its lengths, got rank " + std::to_string(rank));
  sim::TensorMapDescription d;
  d.type = sim::TensorMapType(type);
  d.rank = rank;
  d.address = reinterpret_cast<uint64_t>(address);
  for (unsigned k = 0; k < rank; ++k) {
    d.dims[k] = dims[k];
    d.box[k] = box[k];
    d.elementStrides[k] = steps[k];
    if (k)
      d.strides[k - 1] = strides[k - 1];
  }
  d.interleave = unsigned(interleave);
  d.swizzle = sim::TensorMapSwizzle(swizzle);
  d.l2Promotion = unsigned(l2Promotion);
  d.fill = sim::TensorMapFill(fill);
  auto bytes = sim::encodeTensorMap(d);
  if (!bytes)
    return fail(invalidValue, bytes.error().message);
  return std::memcpy(map, bytes->data(), 128), 0;
}
int cuTensorMapReplaceAddress(void *map, void *address) {
  auto d = sim::decodeTensorMap(static_cast<const std::byte *>(map));
  if (!d)
    return fail(invalidValue, d.error().message);
  d->address = reinterpret_cast<uint64_t>(address);
  auto bytes = sim::encodeTensorMap(*d);
  if (!bytes)
    return fail(invalidValue, bytes.error().message);
  return std::memcpy(map, bytes->data(), 128), 0;
}
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *, int, size_t) { return *blocks = 1, 0; }

static int launchKernel(void *function, std::array<uint32_t, 3> grid, std::array<uint32_t, 3> block,
                        unsigned shared, void **params, void **extra, std::array<uint32_t, 3> cluster,
                        bool cooperative) {
  ENTER;
  const Function &f = *static_cast<Function *>(function);
  if (int(shared) > f.dynamicShared)
    return fail(invalidValue, "more shared memory than the function was allowed");
  sim::LaunchConfig config;
  config.entry = f.entry->name;
  config.grid = grid;
  config.block = block;
  config.cluster = cluster;
  config.nonPortableCluster = f.nonPortableCluster;
  config.cooperative = cooperative;
  config.dynamicShared = shared;
  if (extra) {
    const std::byte *bytes = static_cast<const std::byte *>(extra[1]);
    config.params.assign(bytes, bytes + *static_cast<size_t *>(extra[3]));
  } else {
    config.params.resize(f.entry->paramBytes);
    for (size_t i = 0; i < f.entry->params.size(); ++i)
      std::memcpy(&config.params[f.entry->params[i].offset], params[i], f.entry->params[i].size);
  }
  if (const char *path = std::getenv("ATTUNE_SIMULATED_LOG"))
    if (FILE *log = std::fopen(path, "a")) {
      std::fprintf(log, "%s %u,%u,%u %u,%u,%u %u %zu\n", f.entry->name.c_str(), grid[0], grid[1], grid[2],
                   block[0], block[1], block[2], shared, config.params.size());
      std::fclose(log);
    }
  ++d.launches;
  if (d.isDue("ATTUNE_SIMULATED_CRASH"))
    std::abort();
  if (d.isDue("ATTUNE_SIMULATED_FAULT"))
    return d.fault = fail(launchFailed, "a fault that was asked for");
  d.clockMs += 1e-3;
  if (d.record) {
    d.clockMs += 1e-5 * double(grid[0]) * grid[1] * grid[2];
    return 0;
  }
  auto result = sim::launch(*f.module, d.memory, config);
  if (!result)
    return fail(invalidValue, result.error().message);
  d.clockMs += 1e-6 * double(result->counters.warpInstructions);
  if (!result->findings.empty())
    return d.fault = fail(launchFailed, result->findings[0].text());
  return 0;
}

int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, void *, void **params, void **extra) {
  return launchKernel(function, {gx, gy, gz}, {bx, by, bz}, shared, params, extra, {}, false);
}

/// CUlaunchConfig and CUlaunchAttribute, as the driver's header lays them out.
struct LaunchAttribute {
  int id; // 2: cooperative; 4: blocks of a cluster; others change nothing here
  char pad[4];
  union {
    unsigned dimensions[3];
    int value;
    char bytes[64];
  };
};
struct KernelLaunch {
  unsigned grid[3], block[3], shared;
  void *stream;
  LaunchAttribute *attributes;
  unsigned count;
};
int cuLaunchKernelEx(const KernelLaunch *launch, void *function, void **params, void **extra) {
  std::array<uint32_t, 3> cluster{};
  bool cooperative = false;
  for (unsigned k = 0; k < launch->count; ++k) {
    const LaunchAttribute &a = launch->attributes[k];
    if (a.id == 4)
      cluster = {a.dimensions[0], a.dimensions[1], a.dimensions[2]};
    if (a.id == 2)
      cooperative = a.value != 0;
  }
  return launchKernel(function, {launch->grid[0], launch->grid[1], launch->grid[2]},
                      {launch->block[0], launch->block[1], launch->block[2]}, launch->shared, params, extra,
                      cluster, cooperative);
}
int cuLaunchCooperativeKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                              unsigned bz, unsigned shared, void *, void **params) {
  return launchKernel(function, {gx, gy, gz}, {bx, by, bz}, shared, params, nullptr, {}, true);
}

int cuStreamCreate(void **stream, unsigned) { return *stream = &driver(), 0; }
int cuStreamDestroy_v2(void *) { return 0; }
int cuStreamSynchronize(void *) {
  ENTER;
  return 0;
}
int cuEventCreate(void **event, unsigned) { return *event = new double(0), 0; }
int cuEventDestroy_v2(void *event) { return delete static_cast<double *>(event), 0; }
int cuEventRecord(void *event, void *) {
  ENTER;
  return *static_cast<double *>(event) = d.clockMs, 0;
}
int cuEventSynchronize(void *) {
  ENTER;
  return 0;
}
int cuEventElapsedTime(float *ms, void *start, void *stop) {
  return *ms = float(*static_cast<double *>(stop) - *static_cast<double *>(start)), 0;
}

} // extern "C"
