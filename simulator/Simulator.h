//===- Simulator.h - the simulated GPU: PTX in, results and findings out -*- C++ -*-===//
//
// Executes PTX kernels on the host and checks them while they run. It is written for PTX in general: it
// knows nothing of attention, and it links nothing of the compiler.
//
// Typical use:
//   auto module = sim::parseModule(ptxText, "kernel.ptx");
//   sim::GlobalMemory memory;
//   uint64_t q = memory.allocate(bytes, "q");
//   memory.write(q, host, bytes);
//   sim::LaunchConfig config{.entry = "scale", .grid = {8, 1, 1}, .block = {128, 1, 1}};
//   auto params = sim::packArguments(**(*module)->entry("scale"), {sim::Argument::pointer(q),
//                                                                  sim::Argument::of(0.5f)});
//   config.params = *params;
//   auto result = sim::launch(**module, memory, config);
//   for (const sim::Finding &finding : result->findings) std::puts(finding.text().c_str());
//
// `attune sim` is this library behind a command line (cli/Sim.cpp).
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_SIMULATOR_H
#define ATTUNE_SIMULATOR_SIMULATOR_H

#include "compiler/support/Result.h"
#include "simulator/Time.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace attune::sim {

/// One kernel parameter. `offset` is its place in LaunchConfig::params.
struct Param {
  std::string name;
  uint32_t offset = 0;
  uint32_t size = 0; ///< bytes
  uint32_t align = 1;
  std::string type; ///< as PTX spells it: "u64", "f32", "b8" (a by-value array has size > 1)
};

/// One kernel of a module.
struct EntryInfo {
  std::string name;
  std::vector<Param> params;
  uint32_t paramBytes = 0;
  std::array<uint32_t, 3> maxntid{0, 0, 0};    ///< 0: not stated
  std::array<uint32_t, 3> reqntid{0, 0, 0};    ///< 0: not stated
  std::array<uint32_t, 3> reqcluster{0, 0, 0}; ///< blocks of a cluster (.reqnctapercluster); 0: not stated
  uint32_t maxClusterRank = 0;                 ///< the most blocks of a cluster; 0: not stated
  bool explicitCluster = false;                ///< to be launched in clusters (.explicitcluster)
  bool blocksAreClusters = false;              ///< a launch's grid counts clusters (.blocksareclusters)
  uint32_t maxnreg = 0, minnctapersm = 0;      ///< 0: not stated
  uint32_t staticSharedBytes = 0;              ///< with alignment, without dynamic shared memory
  uint32_t dynamicSharedOffset = 0; ///< where `.extern .shared` begins, from the start of shared memory
  uint32_t localBytes = 0;          ///< per thread
  uint32_t instructions = 0;
  uint32_t registerSlots = 0; ///< 32-bit registers a thread holds in the simulator, after slots are shared
  /// What keeps it from running, one `file:line:col: error: ...` a line: all instructions that the simulator
  /// lacks. Empty: nothing.
  std::string refusal;
};

/// The value of one kernel argument, with what it is meant as.
struct Argument {
  enum class Kind {
    Pointer, ///< for 8-byte parameters that are no floating-point numbers
    Integer, ///< for integer and untyped (.b) parameters of its size
    Float,   ///< for floating-point and untyped parameters of its size
    Bytes,   ///< for any parameter of its size
  };
  Kind kind = Kind::Bytes;
  std::vector<std::byte> bytes;

  static Argument pointer(uint64_t address) { return make(Kind::Pointer, address); }
  /// A number, or a struct that the kernel takes by value.
  template <class T> static Argument of(const T &value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return make(std::is_integral_v<T>         ? Kind::Integer
                : std::is_floating_point_v<T> ? Kind::Float
                                              : Kind::Bytes,
                value);
  }

private:
  template <class T> static Argument make(Kind kind, const T &value) {
    Argument a{kind, std::vector<std::byte>(sizeof(T))};
    std::memcpy(a.bytes.data(), &value, sizeof(T));
    return a;
  }
};

/// Why `argument` cannot be passed as `param` ("expected ..., got ..."), or "".
std::string mismatch(const Param &param, const Argument &argument);

/// LaunchConfig::params of these arguments, in the order of the entry's parameters. The error names the first
/// argument that does not fit, or the number of arguments.
Result<std::vector<std::byte>> packArguments(const EntryInfo &entry, const std::vector<Argument> &arguments);

/// Element types of tensor maps, numbered as CUtensorMapDataType.
enum class TensorMapType : uint32_t {
  U8,
  U16,
  U32,
  S32,
  U64,
  S64,
  F16,
  F32,
  F64,
  BF16,
  F32Ftz,
  TF32,
  TF32Ftz
};
/// How 16-byte chunks are permuted in shared memory, numbered as CUtensorMapSwizzle.
enum class TensorMapSwizzle : uint32_t { None, B32, B64, B128 };
/// What a load finds outside of the tensor, numbered as CUtensorMapFloatOOBfill.
enum class TensorMapFill : uint32_t { Zero, NaN };

/// What cuTensorMapEncodeTiled takes. Dimension 0 is the innermost, whose elements are adjacent.
struct TensorMapDescription {
  TensorMapType type = TensorMapType::U8;
  uint32_t rank = 1;
  uint64_t address = 0;                                  ///< of element (0, 0, ...) in global memory
  std::array<uint64_t, 5> dims{1, 1, 1, 1, 1};           ///< elements
  std::array<uint64_t, 4> strides{};                     ///< bytes, of dimensions 1 ...
  std::array<uint32_t, 5> box{1, 1, 1, 1, 1};            ///< elements that one copy spans
  std::array<uint32_t, 5> elementStrides{1, 1, 1, 1, 1}; ///< every how many-th of them is copied
  uint32_t interleave = 0;                               ///< only 0 is simulated
  TensorMapSwizzle swizzle = TensorMapSwizzle::None;
  uint32_t l2Promotion = 0; ///< changes nothing here
  TensorMapFill fill = TensorMapFill::Zero;
};

/// The 128 bytes of a tensor map, to be passed by value or put into memory, for kernels that run in this
/// simulator. The error names the rule of cuTensorMapEncodeTiled that the description breaks.
Result<std::array<std::byte, 128>> encodeTensorMap(const TensorMapDescription &map);

class ModuleImpl;

/// A parsed PTX file, whose kernels are decoded when they are asked for. Immutable to its users; may be
/// launched from many threads at once.
class Module {
public:
  explicit Module(std::unique_ptr<const ModuleImpl> impl);
  ~Module();
  const std::vector<std::string_view> &names() const;
  /// All of them, each decoded: for a file of thousands it takes as long again as parsing.
  const std::vector<EntryInfo> &entries() const;
  /// The entry of this name, decoded at the first call; the error lists those that exist.
  Result<const EntryInfo *> entry(std::string_view name) const;
  /// As `.target` spells it: "sm_80", "sm_90a".
  const std::string &target() const;
  const std::string &fileName() const;
  const ModuleImpl &impl() const { return *state; }

private:
  std::unique_ptr<const ModuleImpl> state;
};

/// Parses a PTX file. All syntax errors are reported at once, one `file:line:col: error: ...` a line. What
/// the simulator lacks for a kernel keeps the file's others from nothing: it is in EntryInfo::refusal, and
/// launching that kernel is the error.
Result<std::shared_ptr<const Module>> parseModule(std::string_view ptx, std::string_view fileName);

class GlobalMemoryImpl;

/// The device memory of one simulated GPU. Addresses are deterministic (they depend on the order and sizes of
/// allocations only), large, and separated by gaps, so that no offset error of less than 4 GB lands in
/// a neighbour unseen. Memory is committed when touched: an allocation of many gigabytes costs nothing until
/// used. Fresh memory is uninitialised: kernels that read it get a finding. Not for use by two threads at
/// once.
class GlobalMemory {
public:
  GlobalMemory();
  ~GlobalMemory();
  GlobalMemory(const GlobalMemory &) = delete;
  GlobalMemory &operator=(const GlobalMemory &) = delete;

  /// Address of `bytes` fresh bytes, aligned to 256, or the error when the host has no address space left.
  /// `name` is used in findings.
  Result<uint64_t> allocate(size_t bytes, std::string name);
  /// Ends an allocation; later accesses to it are findings. The address must be the one `allocate` gave.
  Status free(uint64_t address);
  /// Copies from the host; marks the bytes initialised. The range must lie in one allocation.
  Status write(uint64_t address, const void *source, size_t bytes);
  /// Copies to the host, initialised or not.
  Status read(void *destination, uint64_t address, size_t bytes) const;
  /// Fills with one byte value; marks the bytes initialised.
  Status fill(uint64_t address, uint8_t value, size_t bytes);
  /// Makes the bytes uninitialised again.
  Status poison(uint64_t address, size_t bytes);
  /// How many of these bytes have never been written.
  Result<size_t> countUninitialised(uint64_t address, size_t bytes) const;
  GlobalMemoryImpl &impl() const { return *state; }

private:
  std::unique_ptr<GlobalMemoryImpl> state;
};

/// Sets a `__constant__` or `__device__` variable of the module on this memory, for the launches that follow.
/// The error lists the module's variables, or tells how many bytes this one has.
Status setVariable(const Module &module, GlobalMemory &memory, std::string_view name, const void *data,
                   size_t bytes);

/// When asynchronous copies land. All modes give the same bits for a correct kernel.
enum class Mode {
  Eager,  ///< at once
  Lazy,   ///< only when a wait says that they have; poison until then
  Random, ///< each at once or late, by the seed; the order of warps is shuffled too
};

/// A register that a traced instruction read or wrote.
struct TraceValue {
  std::string_view name; ///< "%r3", "%tid.x"
  std::string_view type; ///< as PTX declares it: "b32", "f32", "pred"
  bool written = false;
  std::array<uint64_t, 32> lanes{}; ///< the bits; of a written one after the instruction
};

/// One instruction that the traced warp executed. Views are valid during the call that gives it.
struct TraceStep {
  uint32_t ptxLine = 0;
  std::string_view instruction;
  std::string_view sourceFile; ///< from `.loc`; empty without
  uint32_t sourceLine = 0;
  uint32_t active = 0;   ///< lanes that came here
  uint32_t executed = 0; ///< those of them whose guard was true
  std::vector<TraceValue> values;
};

/// Whose instructions `see` is to be called with, in their order, from one thread.
struct Trace {
  uint64_t block = 0; ///< its number: x + y * grid x + z * grid x * grid y
  uint32_t warp = 0;
  std::function<void(const TraceStep &)> see;
};

/// Where a launch stands, for another thread that watches it.
struct LaunchProgress {
  std::atomic<uint64_t> blocks = 0; ///< of the grid; 0 before the launch
  std::atomic<uint64_t> ended = 0;  ///< of them; it begins again where the blocks have to run side by side
};

struct LaunchConfig {
  std::string entry = {};
  std::array<uint32_t, 3> grid{1, 1, 1};
  std::array<uint32_t, 3> block{32, 1, 1};
  /// Blocks of a cluster; zeros: as the entry states (`.reqnctapercluster`), or none.
  std::array<uint32_t, 3> cluster{0, 0, 0};
  bool nonPortableCluster = false; ///< up to 16 blocks instead of 8
  /// All blocks run at once, as grid.sync() needs; so does every launch of an entry that uses it.
  bool cooperative = false;
  uint32_t dynamicShared = 0;         ///< bytes of dynamic shared memory
  std::vector<std::byte> params = {}; ///< all parameters, each at its offset; exactly EntryInfo::paramBytes
  Mode mode = Mode::Eager;
  uint64_t seed = 0;    ///< for Mode::Random
  unsigned threads = 0; ///< host threads; 0: all cores. Results and findings do not depend on it.
  bool checks = true;   ///< off: only bounds are kept
  uint64_t maxInstructionsPerWarp = 400'000'000; ///< beyond it a warp counts as an endless loop
  LaunchProgress *progress = nullptr;            ///< kept up to date while the launch runs
  uint64_t heapBytes = 8 << 20;                  ///< of device-side malloc(), which gives null beyond them
  TimeConfig time = {};                          ///< the virtual clock; for Mode::Eager
  Trace trace = {}; ///< of no warp without `see`; a launch with a trace runs on one host thread
};

enum class FindingKind {
  OutOfBounds,
  Misaligned,
  Uninitialised,
  Race,
  MissingWait,   ///< data of an asynchronous operation used before the wait that covers it
  MissingFence,  ///< memory handed from one proxy to another without the fence between them
  BarrierMisuse, ///< thread counts that disagree, a barrier number beyond 15, ...
  Divergence,    ///< an `.aligned` instruction that not all threads of a warp reach
  Deadlock,
  EndlessLoop,
  Trap,
  BadOperand,    ///< an operand value that the instruction does not allow
  Lifetime,      ///< shared memory of a block of the cluster that has ended, or may not have begun
  Assertion,     ///< an assert() that failed
  StackOverflow, ///< calls nested deeper than a thread's stack
  Heap           ///< a device-side free() of what malloc() did not give, or a malloc() never freed
};
std::string_view name(FindingKind kind);

/// A place in the program.
struct Site {
  std::string ptxFile;
  uint32_t ptxLine = 0;
  std::string instruction; ///< the instruction's text
  std::string sourceFile;  ///< from `.loc`; empty without
  uint32_t sourceLine = 0;
};

/// One fault of the kernel. Faults of one kind at one instruction are counted, and the first (lowest block,
/// then earliest in it) is kept.
struct Finding {
  FindingKind kind;
  std::string message; ///< what happened, with addresses and what was expected
  Site site;
  std::array<uint32_t, 3> block{}, thread{};
  uint32_t warp = 0;
  uint64_t address = 0;
  bool hasOther = false; ///< a second access is involved (races, missing waits)
  Site other;
  uint32_t otherWarp = 0;
  std::array<uint32_t, 3> otherBlock{};
  std::optional<std::array<uint32_t, 3>> otherThread; ///< where it is known
  uint64_t count = 1;
  /// The whole finding as text: `file:line: kind: message`, then a line for each place.
  std::string text() const;
};

/// What a launch did. Instructions count once a warp.
struct Counters {
  uint64_t warpInstructions = 0;
  uint64_t integer = 0, floating = 0, special = 0, conversion = 0, move = 0, predicate = 0, control = 0;
  uint64_t memory = 0, matrix = 0, matrixLoad = 0, asyncCopy = 0, shuffle = 0, barrier = 0;
  uint64_t multiplyAdds = 0; ///< of the tensor core
  uint64_t globalLoadBytes = 0, globalStoreBytes = 0, sharedLoadBytes = 0, sharedStoreBytes = 0,
           localBytes = 0;
  uint64_t asyncBytes = 0;
  uint64_t sharedWavefronts =
      0;                      ///< cycles of the shared-memory port, one a conflict-free access of 128 bytes
  uint64_t bankConflicts = 0; ///< wavefronts beyond those that the bytes need
  uint64_t divergentBranches = 0;
  uint64_t barrierWaits = 0;
  uint64_t blocks = 0;
  double seconds = 0; ///< host time
};

/// Every counter but the seconds under a name for people, in a fixed order.
std::vector<std::pair<std::string_view, uint64_t>> named(const Counters &counters);

struct LaunchResult {
  std::vector<Finding> findings; ///< by PTX line
  Counters counters;
  std::vector<std::string>
      notes; ///< what the simulator stood in for, e.g. correctly rounded `.approx` functions
  /// What the kernel printed (vprintf): by block, then by warp in its order, then by lane.
  std::string printed;
  std::optional<TimeReport> time; ///< where LaunchConfig::time asks for it
};

/// Runs a kernel to its end. The error is for what is wrong with the launch itself (unknown entry, parameter
/// bytes, too many threads); what is wrong with the kernel is in the findings. A block stops at its first
/// fault that leaves it nothing to go on with (an access out of bounds reads 0 and writes nothing, and goes
/// on).
Result<LaunchResult> launch(const Module &module, GlobalMemory &memory, const LaunchConfig &config);

/// The instruction set that the interpreter uses here: "avx512", "avx2" or "baseline".
std::string_view hostInstructionSet();

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_SIMULATOR_H
