//===- attune.hpp - attention kernels from C++ --------------------*- C++ -*-===//
//
// The whole interface of attune for programs. A program opens a Context on a device, asks it for a Plan of
// what it wants to compute, and launches the plan on its own stream with its own arrays:
//
//   auto context = attune::Context::open({.compiler = attune::compiler(), .simulator = attune::simulator()});
//   auto plan = context->plan({.headDimQk = 128, .headDimV = 128, .mask = {attune::causal}}, {.headsQ = 32,
//                             .headsKv = 8, .lengthQ = 4096, .lengthKv = 4096});
//   attune::Status launched = plan->launch(stream, plan->dense(q, k, v, o));
//
// It is a wrapper over the C interface (attune.h) and nothing but headers: what a program and the library
// pass each other is C's.
//
// It needs C++20 and its standard library only: no CUDA, LLVM or MLIR header. Link attune::attune, which
// holds the compiler, or attune::core, which only loads kernels that are in the cache or in a bundle.
//
// Every function that can fail gives a Result: a value, or an Error with a code for the program and a message
// for people. Nothing is printed, and nothing but std::bad_alloc is thrown. Everything may be used from many
// threads at once, unless it says otherwise.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_ATTUNE_HPP
#define ATTUNE_ATTUNE_HPP

#include "attune.h"
#include "json.hpp"
#include "result.hpp"
#include "spec.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attune {
// attune's own sources have other things by these names in `attune`, and write v1:: before these.
#ifndef ATTUNE_INSIDE
inline
#endif
    namespace v1 {

//===----------------------------------------------------------------------===//
// Devices and contexts
//===----------------------------------------------------------------------===//

/// What kernels run on. Numbers that are not known are 0.
struct DeviceInfo {
  bool simulated = false;
  int ordinal = 0;
  std::string name = {};     ///< "NVIDIA H200", "simulated sm_80"
  std::string arch = {};     ///< what kernels are compiled for: "sm_90"
  int computeCapability = 0; ///< 10 * major + minor
  int cudaVersion = 0;       ///< of the driver, 1000 * major + 10 * minor
  int multiprocessors = 0;
  std::size_t memoryBytes = 0;
  std::string why = {}; ///< how it was chosen
};

/// A schedule that somebody recommends, and why.
struct Advice {
  Schedule schedule = {};
  Target target = Target::PTX;
  std::string why = {}; ///< shown in the plan: "measured, 512 us"
};
/// Asked for what a spec leaves open; nothing where it knows nothing. What the spec or the options fix wins
/// over it, and advice that cannot be compiled is not taken: the plan's notes then say so.
using Advisor = std::function<std::optional<Advice>(const Spec &, const Shape &, const DeviceInfo &)>;

/// Advises by what `attune tune` found: the winner of the nearest shape that was tuned on the device, else
/// the cost model's choice. It reads the store of tuning results once a spec, never writes it, and never
/// measures. `store` empty: ATTUNE_STORE, else the user's own; if that is not there, every answer is the
/// model's. It is in attune::attune only. Errors: InvalidOptions (the store cannot be used).
inline Result<Advisor> tunedAdvisor(const std::string &store = {});

/// Makes kernels that are not in the cache.
using Compiler = attune_compiler_handle;
/// attune's compiler. It is in attune::attune only: a program that links attune::core cannot name it.
inline const Compiler *compiler() { return attune_compiler(); }

/// A GPU that is simulated on the host, and checks every access of a kernel.
using Simulator = attune_simulator_handle;
/// attune's. A program that does not name it has none of it in its executable, and never runs on it by
/// mistake.
inline const Simulator *simulator() { return attune_simulator(); }

/// When a kernel is compiled.
enum class Policy {
  Default = ATTUNE_POLICY_DEFAULT,                     ///< CompileIfMissing; with a bundle CacheOnly
  CompileIfMissing = ATTUNE_POLICY_COMPILE_IF_MISSING, ///< once by one of all threads and processes that ask
  CacheOnly = ATTUNE_POLICY_CACHE_ONLY,                ///< never
  Recompile = ATTUNE_POLICY_RECOMPILE,                 ///< in each context once, whatever is in the cache
};

/// A file of `attune bundle`, open. Copies are the same one.
class Bundle {
public:
  /// Opens it read-only and checks it whole. Errors: InvalidBundle.
  static Result<Bundle> open(const std::string &path);
  /// What is in it: the JSON of attune_bundle_facts.
  std::string facts() const {
    const char *text = handle ? attune_bundle_facts(handle.get()) : nullptr;
    return text ? text : "";
  }

private:
  friend class Context;
  explicit Bundle(attune_bundle *made) : handle(made, attune_bundle_destroy) {}
  std::shared_ptr<attune_bundle> handle;
};

/// How the simulated GPU runs. Asynchronous copies land at once, as late as is legal, or at random times: a
/// right kernel gives the same bits.
struct Simulation {
  enum class Mode { Eager, Lazy, Random };
  Mode mode = Mode::Eager;
  std::uint64_t seed = 0; ///< of Mode::Random
  int threads = 0;        ///< of the host; 0: one a core
  bool checks = true;     ///< report faults (KernelFault)
};

struct ContextOptions {
  std::string device = "auto"; ///< "cuda", "cuda:N", "sim", or "auto": the first GPU, else the simulated one
  std::string arch = {};       ///< what to compile for; empty: the GPU's own, sm_80 on the simulated one
  /// Where compiled kernels are kept. Nothing: ATTUNE_CACHE_DIR, else ~/.cache/attune. Empty: nowhere.
  std::optional<std::string> cacheFolder = {};
  const Compiler *compiler = nullptr;   ///< null: only what is in the cache runs
  const Simulator *simulator = nullptr; ///< null: only GPUs
  Policy policy = Policy::Default;
  std::optional<Target> target = {}; ///< nothing: the advisor's, else PTX
  /// Nothing: tunedAdvisor() with the compiler, as `attune run` has it; without one, none.
  Advisor advisor = {};
  /// Kernels that the context keeps loaded for later plans: the last used ones. Plans keep theirs beside.
  std::size_t mostPrograms = 64;
  Simulation simulation = {};
  std::string cudaDriver = "libcuda.so.1"; ///< opened when a GPU is
  std::optional<Bundle> bundle = {};       ///< looked at before the cache
};

/// A stream: a CUstream or cudaStream_t, or null for the default one. Every call on the simulated GPU is
/// complete when it returns.
using Stream = void *;

/// The text of a stage of a kernel, as `attune compile --emit STAGE` prints it and a person may have edited
/// it.
struct StageText {
  std::string stage = {}; ///< "attn", "tile", "thread", "llvm", "ptx" or "cuda"
  std::string text = {};
  std::string file = "stage"; ///< names it in messages
};

class Plan;
class Prewarm;

/// What to plan.
struct Request {
  Spec spec = {};
  Shape shape = {};
};

/// Device memory that frees itself. Not for several threads at once.
class Buffer {
public:
  /// A device address; null if the buffer was moved from.
  void *data() const { return handle ? attune_buffer_data(handle.get()) : nullptr; }
  /// Bytes, as they were asked for.
  std::size_t size() const { return handle ? attune_buffer_size(handle.get()) : 0; }

private:
  friend class Context;
  explicit Buffer(attune_buffer *made) : handle(made, attune_buffer_destroy) {}
  std::shared_ptr<attune_buffer> handle;
};

/// A device, and the kernels that were planned on it. Copies are the same context. A context and what came of
/// it keep the device open.
class Context {
public:
  /// Opens the device. Errors: InvalidOptions, NoDevice.
  static Result<Context> open(const ContextOptions &options = {});

  const DeviceInfo &device() const;
  /// Where compiled kernels are kept; empty: nowhere.
  const std::string &cacheFolder() const;

  /// Decides how to compute `spec` for `shape`, and makes the kernel ready to launch: from this context, else
  /// from its bundle, else from the cache, else by the compiler. Threads and processes that plan one new
  /// kernel compile it once. Takes microseconds for a kernel that this context has, less than a millisecond
  /// for one in the cache, and up to some seconds to compile. Errors: InvalidSpec, InvalidShape, NotCached,
  /// ToolMissing, CompileFailed, LoadFailed. A cache that cannot be read or written is no error: the plan's
  /// notes say what was gone without.
  Result<Plan> plan(const Spec &spec, const Shape &shape) const;

  /// The same for the text of a stage, in the place of what a spec compiles to. Its arguments say what a
  /// launch takes; `spec` says only how `Plan::dense` lays arrays out. Errors also: InvalidArgument (no such
  /// stage), CompileFailed (the text is none).
  Result<Plan> plan(const StageText &stage, const Shape &shape, const Spec &spec = {}) const;

  /// The same, but returns at once: a thread of the library goes on, and Plan::wait tells what came of it.
  Result<Plan> start(const Spec &spec, const Shape &shape) const;

  /// Plans on `threads` threads of the library (0: one a core, at most 8), so that later plans of these specs
  /// find their kernels made. Returns at once. Errors: those of specs.
  Result<Prewarm> prewarm(std::span<const Request> requests, int threads = 0) const;

  /// Forgets the kernels that are loaded for later plans. Those of plans stay loaded until these are gone.
  void release() const;

  // Memory, for programs that have no other way to the device. Copies are ordered by `stream`, and the host's
  // bytes must stay until it is synchronised. Errors: NullPointer, OutOfMemory, KernelFault, DeviceFailed.

  /// At least one byte, at a multiple of 256. The simulator's findings call it by `name`.
  Result<Buffer> allocate(std::size_t bytes, std::string_view name = {}) const;
  Status copyIn(void *device, const void *host, std::size_t bytes, Stream stream = nullptr) const;
  Status copyOut(void *host, const void *device, std::size_t bytes, Stream stream = nullptr) const;
  /// Sets every byte to `byte`.
  Status fill(void *device, std::uint8_t byte, std::size_t bytes, Stream stream = nullptr) const;
  /// Waits for the stream. A fault of a kernel on a GPU is reported here.
  Status synchronize(Stream stream = nullptr) const;

private:
  struct State;
  explicit Context(std::shared_ptr<const State> made) : state(std::move(made)) {}
  template <typename Call> Status call(const Call &what) const;
  template <typename Function>
  Result<Plan> planBy(const Function &function, const attune_request &request) const;
  std::shared_ptr<const State> state;
};

//===----------------------------------------------------------------------===//
// Plans and launches
//===----------------------------------------------------------------------===//

/// Distances between neighbours, in elements. Elements of a row are adjacent. Of Q, K, V and O they are
/// multiples of 8, not negative, and a row's is below 2^30; inputs may have 0 (one array for all), outputs
/// may not overlap themselves. A stride along an axis of one element is not looked at. Rows of LSE are
/// adjacent (1).
struct Strides {
  std::int64_t batch = 0, head = 0, row = 0;
};

/// An array on the device: its element (0, 0, 0, 0), at a multiple of 16 bytes (LSE: 4), and its strides.
struct Input {
  const void *data = nullptr;
  Strides strides = {};
};
struct Output {
  void *data = nullptr;
  Strides strides = {};
};

/// A number that a kernel leaves to run time, by the name of its argument.
struct Scalar {
  const char *name = nullptr;
  double value = 0;
};

/// An array on the device by the name of a kernel's argument, as any kernel's launch takes it.
struct Array {
  const char *name = nullptr;
  void *data = nullptr; ///< the address of element (0, 0, ...)
  DType dtype = DType::BF16;
  int rank = 0;
  /// Extents, and distances between neighbours in elements: `rank` each, in the order of the argument's axes
  /// whatever the order in memory. Of Q, K, V and O: batch, head, row, dim.
  /// Both null: the plan's shape, dense in the spec's layout.
  const std::int64_t *shape = nullptr, *strides = nullptr;
};

/// What a launch works on.
struct Arguments {
  Input q = {}, k = {}, v = {};
  Output o = {};
  Output lse = {}; ///< f32; null unless the spec has LSE
  /// f32, one a query head, adjacent, in natural logarithms (-inf: none); null unless the spec has sinks.
  const float *sink = nullptr;
  /// One a batch entry, adjacent; null unless the spec has them.
  const std::int32_t *lengthsQ = nullptr, *lengthsKv = nullptr;
  void *workspace = nullptr; ///< Plan::info().workspaceBytes bytes at a multiple of 256; null if they are 0
  std::span<const Scalar> scalars = {};
  std::span<const Array> arrays = {}; ///< the spec's captured arrays
};

/// An argument that launches of a plan are given.
struct ArgumentInfo {
  std::string name = {};
  DType dtype = DType::F32;
  std::vector<std::int64_t> shape = {};
  std::vector<std::int64_t> strides = {}; ///< of a dense array in the spec's layout
  bool output = false;                    ///< the kernels write it
  bool optional = false;                  ///< may be left out
  bool scalar = false;                    ///< a Scalar; otherwise an Array
};

/// One of the launches that a plan issues.
struct LaunchInfo {
  std::string kernel = {};
  std::uint32_t grid[3] = {1, 1, 1}, block[3] = {1, 1, 1};
  std::uint32_t sharedBytes = 0; ///< of a block
};

/// What was decided, and why.
struct PlanInfo {
  std::string kernel = {}; ///< name of the entry point
  Target target = Target::PTX;
  std::string arch = {};  ///< what the kernel was compiled for
  Schedule schedule = {}; ///< with nothing left open
  std::string why = {};   ///< where the schedule came from: the spec, an advisor, or the default of a family
  std::string image = {}; ///< what was loaded, and why: "cubin by ptxas 13.0.88"
  bool fromCache = false;
  std::string cacheFile = {};                              ///< the kernel's entry; empty: none
  std::size_t workspaceBytes = 0;                          ///< that every launch needs
  std::vector<LaunchInfo> launches = {};                   ///< in the order in which they are issued
  std::vector<ArgumentInfo> arguments = {};                ///< what Plan::launch takes
  std::uint32_t grid[3] = {1, 1, 1}, block[3] = {1, 1, 1}; ///< of the first launch, as are those that follow
  std::uint32_t sharedBytes = 0;                           ///< of a block
  int registers = -1;                                      ///< of a thread; -1: unknown
  int blocksPerSm = -1;                                    ///< that run at once; -1: unknown
  std::vector<std::string> notes = {};                     ///< what was gone without: for people
  std::vector<std::pair<std::string, double>> stageTimes =
      {}; ///< milliseconds of what this plan had to wait for
};

/// A kernel that is loaded, and how to launch it for one shape; or one that is being made. Copies are the
/// same plan.
class Plan {
public:
  /// Waits until the plan is made, at most `seconds` (negative: as long as it takes): what Context::plan
  /// would have given, or NotReady. Plans that are ready give success.
  Status wait(double seconds = -1) const;

  /// Nothing until the plan is ready.
  const PlanInfo &info() const;
  /// For people: aligned lines of what runs, where and why.
  std::string describe() const {
    const char *text = state ? attune_plan_describe(state->handle.get()) : nullptr;
    return text ? text : "";
  }

  /// Arguments for dense arrays in the spec's layout.
  Arguments dense(const void *q, const void *k, const void *v, void *o, void *lse = nullptr) const;

  /// Enqueues the kernel. Everything is checked first, and nothing is launched if it is not right
  /// (NullPointer, Misaligned, InvalidStrides, InvalidArgument, NotReady). Allocates nothing, synchronises
  /// nothing, may be captured in a CUDA graph. Errors of the device: LaunchFailed, KernelFault.
  Status launch(Stream stream, const Arguments &arguments) const;
  /// The same by name: every array and scalar of info().arguments in any order. InvalidArgument also where a
  /// name, type or shape is not the kernels'.
  Status launch(Stream stream, std::span<const Array> arrays, std::span<const Scalar> scalars = {},
                void *workspace = nullptr) const;

  /// The same on arrays of the host: takes device memory, copies in, launches, waits and copies the outputs
  /// back. Strides may be any that keep elements of outputs apart. Errors also: OutOfMemory, DeviceFailed.
  Status run(std::span<const Array> arrays, std::span<const Scalar> scalars = {}) const;

private:
  friend class Context;
  /// What the facts of a plan say.
  struct Known {
    PlanInfo info = {};
    /// Axes of the arrays of Arguments, 0 where the plan has none of that name, and their dense strides.
    static constexpr std::size_t names = 8;
    std::array<std::int32_t, names> ranks = {};
    std::array<Strides, names> dense = {};
    DType dtype = DType::BF16; ///< of Q
  };
  struct State {
    explicit State(attune_plan *made) : handle(made, attune_plan_destroy) {}
    std::unique_ptr<attune_plan, void (*)(attune_plan *)> handle;
    std::once_flag once = {}; ///< of what follows, which is read when it is first needed
    Known known = {};
  };
  explicit Plan(attune_plan *made) : state(std::make_shared<State>(made)) {}
  static Known read(const attune_plan *plan);
  /// Of a plan that is not ready: nothing.
  const Known &known() const;
  std::shared_ptr<State> state;
};

/// Plans that are made in the background. Its end drops what has not begun, and waits for what has.
class Prewarm {
public:
  /// As Plan::wait, for all of them: the error of the first one that failed.
  Status wait(double seconds = -1) const;
  /// How many of them are ready, and have failed.
  std::pair<std::size_t, std::size_t> counts() const;

private:
  friend class Context;
  explicit Prewarm(attune_prewarm *made) : handle(made, attune_prewarm_destroy) {}
  std::shared_ptr<attune_prewarm> handle;
};

} // namespace v1
} // namespace attune

#include "definitions.hpp"

#endif // ATTUNE_ATTUNE_HPP
