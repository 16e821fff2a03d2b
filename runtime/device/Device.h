//===- Device.h - what kernels run on ---------------------------*- C++ -*-===//
//
// One interface over a GPU (CUDA driver API, opened at run time) and the simulated GPU. It includes no
// CUDA header, and a program that uses it needs no driver to start.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_DEVICE_DEVICE_H
#define ATTUNE_RUNTIME_DEVICE_DEVICE_H

#include "compiler/support/Arch.h"
#include "compiler/support/DType.h"
#include "compiler/support/Result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attune {

namespace sim {
struct LaunchProgress;
struct Timings;
} // namespace sim

enum class DeviceKind { Cuda, Sim };

/// What a device is. Numbers of the simulated GPU are those of the architecture that it plays.
struct DeviceInfo {
  DeviceKind kind = DeviceKind::Sim;
  int ordinal = 0;
  std::string name;          ///< "NVIDIA H200", "simulated sm_80"
  Arch arch;                 ///< what kernels are compiled for
  int computeCapability = 0; ///< 10 * major + minor, of the device itself
  int driverVersion = 0;     ///< 1000 * major + 10 * minor of the CUDA that the driver speaks; 0: none
  int multiprocessors = 0;   ///< 0: unknown
  int clockKhz = 0;          ///< 0: unknown
  size_t memoryBytes = 0;    ///< 0: unknown
  std::string why;           ///< how it was chosen, for people
};

/// A device address. The same number that kernels get.
using DeviceAddress = uint64_t;

/// A stream: 0 is the default one. On a GPU it is a CUstream, so a caller's own can be passed.
struct Stream {
  uint64_t handle = 0;
};
struct Module {
  uint64_t handle = 0;
};
struct Event {
  uint64_t handle = 0;
};

/// An entry point of a loaded module, ready to launch. Registers and bytes are -1 where unknown.
struct Kernel {
  uint64_t handle = 0;
  int registers = -1;    ///< of a thread
  int localBytes = -1;   ///< stack and spills of a thread
  int staticShared = -1; ///< static shared memory of a block
  int dynamicShared = 0; ///< what launches of it may use
};

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
};

/// One launch. `params` is the kernel's parameter block, laid out as the entry declares it: for attune's
/// kernels one by-value struct.
struct DeviceLaunch {
  Kernel kernel;
  Dim3 grid, block;
  uint32_t dynamicShared = 0; ///< bytes; at most the kernel's `dynamicShared`
  std::span<const std::byte> params;
  Dim3 cluster = {1, 1, 1}; ///< blocks of a cluster
  bool cooperative = false; ///< all blocks run at once, and may wait for each other
};

/// What a tensor map describes: an array as TMA reads boxes of it. Axes are innermost first; elements of the
/// first are adjacent, what lies outside reads as 0.
struct TensorMapRequest {
  DeviceAddress address = 0; ///< a multiple of 16
  DType type = DType::BF16;
  int rank = 0;                      ///< 1 to 5
  std::array<uint64_t, 5> extents{}; ///< elements
  std::array<uint64_t, 4> strides{}; ///< bytes between neighbours of the axes but the first: multiples of 16
  std::array<uint32_t, 5> box{};     ///< elements of a box
  int swizzle = 0;                   ///< bytes: 0, 32, 64 or 128
};
/// The type's number in CUtensorMapDataType.
int tensorMapType(DType type);
/// As a kernel gets it, at a multiple of 64 bytes.
using TensorMap = std::array<std::byte, 128>;

enum class ImageKind { PTX, Cubin };

/// A text that PTX `.loc` lines point at. An empty name stands for every file.
struct SourceText {
  std::string name;
  std::string text;
};

/// What a module is loaded from.
struct ModuleImage {
  ImageKind kind = ImageKind::PTX;
  std::string_view bytes;
  std::string_view name;           ///< in messages
  std::vector<SourceText> sources; ///< to quote in messages; may be empty
};

/// What the simulator counted in a launch; every number is exact.
struct LaunchCounters {
  uint64_t warpInstructions = 0;
  std::vector<std::pair<std::string, uint64_t>> byName; ///< classes, bytes, conflicts: in a fixed order
};

/// How the simulated GPU runs (see design: eager, lazy and random must give the same bits).
struct SimOptions {
  enum class Mode { Eager, Lazy, Random };
  Mode mode = Mode::Eager;
  uint64_t seed = 0; ///< of Mode::Random
  int threads = 0;   ///< host threads; 0: one a core
  bool checks = true;
  int multiprocessors = 0; ///< that kernels are told of; 0: as many as a GPU of the architecture has
  sim::LaunchProgress *progress = nullptr; ///< of each launch while it runs, for another thread
  sim::Timings *timings = nullptr;         ///< times each launch by the virtual clock; for Mode::Eager
};

/// A device. Methods may be called from several threads at once; errors are values and leave the device
/// usable unless they say otherwise. A GPU whose kernel faulted reports it at the next call.
class Device {
public:
  virtual ~Device();
  virtual const DeviceInfo &info() const = 0;
  /// Whether modules of this kind can be loaded: the simulator executes PTX only.
  virtual bool takes(ImageKind kind) const = 0;

  /// `bytes` > 0 of device memory, aligned to 256 bytes. Contents are undefined. The simulator's findings
  /// call it by `name`.
  virtual Result<DeviceAddress> allocate(size_t bytes, std::string_view name = {}) = 0;
  virtual Status free(DeviceAddress address) = 0;
  /// Copies and fills are ordered by `stream`; host memory must stay until that stream is synchronised.
  virtual Status copyIn(DeviceAddress to, const void *from, size_t bytes, Stream stream = {}) = 0;
  virtual Status copyOut(void *to, DeviceAddress from, size_t bytes, Stream stream = {}) = 0;
  virtual Status fill(DeviceAddress to, uint8_t byte, size_t bytes, Stream stream = {}) = 0;

  virtual Result<Module> loadModule(const ModuleImage &image) = 0;
  virtual Status unloadModule(Module module) = 0;
  /// The entry called `entry`, allowed to launch with up to `dynamicShared` bytes of shared memory.
  virtual Result<Kernel> kernel(Module module, const std::string &entry, uint32_t dynamicShared) = 0;
  /// Blocks of `threads` threads of this kernel that run on one multiprocessor at once, as the driver
  /// says; nothing where the device does not know.
  virtual std::optional<int> blocksPerSm(const Kernel &kernel, int threads) = 0;

  /// Enqueues one launch: allocates nothing and synchronises nothing. On the simulator it is complete on
  /// return, and what its checkers found is the error.
  virtual Status launch(const DeviceLaunch &launch, Stream stream = {}) = 0;
  virtual Status synchronize(Stream stream = {}) = 0;

  virtual Result<Stream> createStream() = 0;
  virtual Status destroyStream(Stream stream) = 0;
  virtual Result<Event> createEvent() = 0;
  virtual Status destroyEvent(Event event) = 0;
  virtual Status record(Event event, Stream stream = {}) = 0;
  /// Milliseconds between two recorded events; waits for `stop`. On the simulator it is the time that the
  /// simulation took, which says nothing about a GPU.
  virtual Result<double> elapsedMs(Event start, Event stop) = 0;

  /// The tensor map that a kernel of this device reads. Takes no memory.
  virtual Status encodeTensorMap(const TensorMapRequest &request, TensorMap &map);

  /// Counters of the launches since this was last asked for, together, and what the simulator stood in for in
  /// the last one; nothing on a GPU.
  virtual std::optional<LaunchCounters> takeCounters() { return std::nullopt; }
  virtual std::vector<std::string> lastNotes() const { return {}; }
};

/// Device memory that frees itself.
class DeviceBuffer {
public:
  DeviceBuffer() = default;
  DeviceBuffer(DeviceBuffer &&other) noexcept { swap(other); }
  DeviceBuffer &operator=(DeviceBuffer &&other) noexcept {
    swap(other);
    return *this;
  }
  ~DeviceBuffer();
  /// Allocates; a request for 0 bytes gets memory too, so that its address is a valid one.
  static Result<DeviceBuffer> make(Device &device, size_t bytes, std::string_view name = {});
  DeviceAddress address() const { return where; }
  size_t size() const { return bytes; }

private:
  void swap(DeviceBuffer &other) {
    std::swap(device, other.device);
    std::swap(where, other.where);
    std::swap(bytes, other.bytes);
  }
  Device *device = nullptr;
  DeviceAddress where = 0;
  size_t bytes = 0;
};

/// Which device to open.
struct DeviceOptions {
  std::string which = "auto"; ///< "auto", "cuda", "cuda:N", "sim"
  /// The architecture that the simulator plays; also the one to compile for on a GPU that can run it.
  /// Empty: the GPU's own, or sm_80 on the simulator.
  std::string arch;
  SimOptions sim;
  /// The driver library; tests name another one.
  std::string cudaDriver = "libcuda.so.1";
};

/// Opens a device. "auto" takes the first GPU, else the simulator; `info().why` says which and for what
/// reason. A GPU that is asked for by name and is not there is an error of kind Missing.
Result<std::unique_ptr<Device>> openDevice(const DeviceOptions &options);

/// openSimDevice, or null in a program that is to have no simulator: where that would be opened, there is
/// then an error of kind Missing.
using SimulatorOpener = Result<std::unique_ptr<Device>> (*)(const std::string &arch,
                                                            const SimOptions &options,
                                                            const std::string &why);
Result<std::unique_ptr<Device>> openDevice(const DeviceOptions &options, SimulatorOpener simulator);

/// Every device of this machine: the GPUs in order, then the simulator. Never fails: `note` says why there
/// is no GPU.
struct DeviceList {
  std::vector<DeviceInfo> devices;
  std::string note;
};
DeviceList listDevices(const std::string &cudaDriver = "libcuda.so.1");

} // namespace attune

#endif // ATTUNE_RUNTIME_DEVICE_DEVICE_H
