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
// It needs C++20 and its standard library only: no CUDA, LLVM or MLIR header. Link attune::attune, which
// holds the compiler, or attune::core, which only loads kernels that are in the cache.
//
// Every function that can fail gives a Result: a value, or an Error with a code for the program and a message
// for people. Nothing is printed, and nothing but std::bad_alloc is thrown. Everything may be used from many
// threads at once, unless it says otherwise.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_ATTUNE_HPP
#define ATTUNE_ATTUNE_HPP

#include "result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
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
// What to compute
//===----------------------------------------------------------------------===//

/// Of elements. Q, K, V and O are of a 16-bit type; accumulation is f32.
/// U8 is of captured arrays only, which read it as bool.
enum class DType { F16, BF16, F32, I32, U8 };
/// Order of a dense array, outermost first: batch, sequence, head, dim, or batch, head, sequence, dim.
enum class Layout { BSHD, BHSD };
/// Which query meets which key: query i and key i are at one position, or the last of both are.
enum class MaskAlign { TopLeft, BottomRight };
/// How a kernel is made: PTX by LLVM, or CUDA C++ by NVRTC.
enum class Target { PTX, CUDA };

/// Keeps a key iff -left <= key position - query position <= right; a bound that is not there does not limit.
struct MaskTerm {
  std::optional<std::int64_t> left = {}, right = {}; ///< 0 .. 2^30 - 1
  MaskAlign align = MaskAlign::TopLeft;
  /// Given at launch, as scalars "window_left" and "window_right", of which a spec has one each: one kernel
  /// for every window.
  bool runtimeLeft = false, runtimeRight = false;
};
/// The mask of decoders: no key after the query.
inline constexpr MaskTerm causal{std::nullopt, 0, MaskAlign::TopLeft};

/// An array that expressions read by name, NAME[i, j]; an index beyond its axis reads the nearest element.
struct CapturedArray {
  std::string name = {};
  DType dtype = DType::I32; ///< I32, F32, F16, BF16 or U8
  /// "b", "h" (query heads), "hkv", "q", "kv", or a number (a table): the shape, outermost first. Elements of
  /// the last axis are adjacent.
  std::vector<std::string> axes = {};
};
/// A number that expressions read by name and launches give: another value is not another kernel.
struct CapturedScalar {
  std::string name = {};
  DType dtype = DType::I32; ///< I32 (-2^30 .. 2^30) or F32
};

/// How a kernel is made: a family and its parameters by name (`attune tune --list` names them: block_q, ...).
/// As a request, what is not there is chosen.
struct Schedule {
  std::string family = {}; ///< empty: the most particular one that serves
  std::vector<std::pair<std::string, int>> values = {};

  std::optional<int> get(std::string_view name) const {
    for (const auto &[key, value] : values)
      if (key == name)
        return value;
    return std::nullopt;
  }
  void set(std::string_view name, int value) {
    for (auto &[key, old] : values)
      if (key == name) {
        old = value;
        return;
      }
    values.emplace_back(name, value);
  }
};

/// Forward attention: O = softmax(scale * Q K^T, masked) V for each batch and query head.
struct Spec {
  std::string name = "attention"; ///< of the kernel: a C identifier
  DType dtype = DType::BF16;
  int headDimQk = 128;              ///< of Q and K: a multiple of 8 in 8 .. 256
  int headDimV = 128;               ///< of V and O: the same
  Layout layout = Layout::BSHD;     ///< of Plan::dense; kernels take any strides
  std::optional<double> scale = {}; ///< 1 / sqrt(headDimQk)
  std::vector<MaskTerm> mask =
      {}; ///< a key is kept if every term keeps it; a row that keeps none gives O = 0
  /// Expressions that must be true too: "kv <= q && doc[b, q] == doc[b, kv]". The guide has their language.
  std::vector<std::string> maskExpressions = {};
  /// What scores become after scaling: "score + slope[h] * (kv - q)". Empty: they stay. Not with softcap.
  std::string scoreExpression = {};
  std::vector<CapturedArray> arrays = {};   ///< that expressions read, and Arguments::arrays gives
  std::vector<CapturedScalar> scalars = {}; ///< that expressions read, and Arguments::scalars gives
  std::optional<double> softcap = {};       ///< c: scores become c * tanh(score / c), after scaling
  /// Given at launch, as scalars "scale" and "softcap": one kernel for every value.
  bool runtimeScale = false, runtimeSoftcap = false;
  /// Each query head has a sink (Arguments::sink), whose exp joins the denominator of its rows' softmax. A
  /// row that keeps no key still gives 0; LSE has the sink in it.
  bool sink = false;
  bool lse = false; ///< also write each row's log-sum-exp (natural logarithm, f32; -inf if empty)
  /// The bits of a row depend on its query, keys and values alone, not on the batch, the heads or the lengths
  /// that it is computed with: the schedule is the spec's default, whatever an advisor knows.
  bool batchInvariant = false;
  Schedule schedule = {};

  /// The spec that JSON text says, as `attune compile` reads it; `file` names it in messages, which hold
  /// every mistake with its place (InvalidSpec).
  ATTUNE_API static Result<Spec> fromJson(std::string_view json, std::string_view file = "spec");
};

/// The sizes of one problem. A kernel serves them all. Query head h reads KV head h / (headsQ / headsKv).
/// With no batch or no queries, launches do nothing; with no keys, O is 0 and LSE -inf (or the head's sink).
/// The arrays of an empty axis may be null.
struct Shape {
  std::int64_t batch = 1;                 ///< 0 .. 2^31 - 1
  std::int64_t headsQ = 1, headsKv = 1;   ///< 1 .. 2^31 - 1; headsQ is a multiple of headsKv
  std::int64_t lengthQ = 1, lengthKv = 1; ///< 0 .. 2^30
};

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
ATTUNE_API Result<Advisor> tunedAdvisor(const std::string &store = {});

/// Makes kernels that are not in the cache.
class Compiler;
/// attune's compiler. It is in attune::attune only: a program that links attune::core cannot name it.
ATTUNE_API const Compiler *compiler();

/// A GPU that is simulated on the host, and checks every access of a kernel.
class Simulator;
/// attune's. A program that does not name it has none of it in its executable, and never runs on it by
/// mistake.
ATTUNE_API const Simulator *simulator();

/// When a kernel is compiled.
enum class Policy {
  CompileIfMissing, ///< once by one of all threads and processes that ask, then it is in the cache
  CacheOnly,        ///< never
  Recompile,        ///< in each context once, whatever is in the cache
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
  Policy policy = Policy::CompileIfMissing;
  std::optional<Target> target = {}; ///< nothing: the advisor's, else PTX
  /// Nothing: tunedAdvisor() with the compiler, as `attune run` has it; without one, none.
  Advisor advisor = {};
  /// Kernels that the context keeps loaded for later plans: the last used ones. Plans keep theirs beside.
  std::size_t mostPrograms = 64;
  Simulation simulation = {};
  std::string cudaDriver = "libcuda.so.1"; ///< opened when a GPU is
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
class Buffer;

/// A device, and the kernels that were planned on it. Copies are the same context. A context and what came of
/// it keep the device open.
class ATTUNE_API Context {
public:
  struct State; ///< attune's own
  /// Opens the device. Errors: InvalidOptions, NoDevice.
  static Result<Context> open(const ContextOptions &options = {});

  const DeviceInfo &device() const;
  /// Where compiled kernels are kept; empty: nowhere.
  const std::string &cacheFolder() const;

  /// Decides how to compute `spec` for `shape`, and makes the kernel ready to launch: from this context, else
  /// from the cache, else by the compiler. Threads and processes that plan one new kernel compile it once.
  /// Takes microseconds for a kernel that this context has, less than a millisecond for one in the cache, and
  /// up to a second to compile. Errors: InvalidSpec, InvalidShape, NotCached, ToolMissing, CompileFailed,
  /// LoadFailed. A cache that cannot be read or written is no error: the plan's notes say what was gone
  /// without.
  Result<Plan> plan(const Spec &spec, const Shape &shape) const;

  /// The same for the text of a stage, in the place of what a spec compiles to. Its arguments say what a
  /// launch takes; `spec` says only how `Plan::dense` lays arrays out. Errors also: InvalidArgument (no such
  /// stage), CompileFailed (the text is none).
  Result<Plan> plan(const StageText &stage, const Shape &shape, const Spec &spec = {}) const;

  /// Forgets the kernels that are loaded for later plans. Those of plans stay loaded until these are gone.
  void release() const;

  // Memory, for programs that have no other way to the device. Copies are ordered by `stream`, and the host's
  // bytes must stay until it is synchronised. Errors: NullPointer, OutOfMemory, KernelFault, DeviceFailed.

  /// At least one byte, at a multiple of 256. The simulator's findings call it by `name`.
  Result<Buffer> allocate(std::size_t bytes, std::string_view name = {}) const;
  Status copyIn(void *device, const void *host, std::size_t bytes, Stream stream = nullptr) const;
  Status copyOut(void *host, const void *device, std::size_t bytes, Stream stream = nullptr) const;
  /// Waits for the stream. A fault of a kernel on a GPU is reported here.
  Status synchronize(Stream stream = nullptr) const;

private:
  explicit Context(std::shared_ptr<State> made) : state(std::move(made)) {}
  std::shared_ptr<State> state;
};

/// Device memory that frees itself. Not for several threads at once.
class ATTUNE_API Buffer {
public:
  struct State;             ///< attune's own
  void *data() const;       ///< a device address; null if the buffer was moved from
  std::size_t size() const; ///< bytes, as they were asked for

private:
  friend class Context;
  explicit Buffer(std::shared_ptr<State> made) : state(std::move(made)) {}
  std::shared_ptr<State> state;
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
  const std::int64_t *shape = nullptr, *strides = nullptr;
};

/// What a launch works on.
struct Arguments {
  Input q = {}, k = {}, v = {};
  Output o = {};
  Output lse = {}; ///< f32; null unless the spec has LSE
  /// f32, one a query head, adjacent, in natural logarithms (-inf: none); null unless the spec has sinks.
  const float *sink = nullptr;
  void *workspace = nullptr; ///< Plan::info().workspaceBytes bytes at a multiple of 256; null if they are 0
  std::span<const Scalar> scalars = {};
  std::span<const Array> arrays = {}; ///< the spec's captured arrays
};

/// An argument that launches of a plan are given.
struct ArgumentInfo {
  std::string name = {};
  DType dtype = DType::F32;
  std::vector<std::int64_t> shape = {};
  bool output = false;   ///< the kernels write it
  bool optional = false; ///< may be left out
  bool scalar = false;   ///< a Scalar; otherwise an Array
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

/// A kernel that is loaded, and how to launch it for one shape. Copies are the same plan.
class ATTUNE_API Plan {
public:
  struct State; ///< attune's own
  const PlanInfo &info() const;
  /// For people: aligned lines of what runs, where and why.
  std::string describe() const;

  /// Arguments for dense arrays in the spec's layout.
  Arguments dense(const void *q, const void *k, const void *v, void *o, void *lse = nullptr) const;

  /// Enqueues the kernel. Everything is checked first, and nothing is launched if it is not right
  /// (NullPointer, Misaligned, InvalidStrides, InvalidArgument). Allocates nothing, synchronises nothing, may
  /// be captured in a CUDA graph, and takes less than 2 us. Errors of the device: LaunchFailed, KernelFault.
  Status launch(Stream stream, const Arguments &arguments) const;
  /// The same by name: every array and scalar of info().arguments in any order. InvalidArgument also where a
  /// name, type or shape is not the kernels'.
  Status launch(Stream stream, std::span<const Array> arrays, std::span<const Scalar> scalars = {},
                void *workspace = nullptr) const;

private:
  friend class Context;
  explicit Plan(std::shared_ptr<const State> made) : state(std::move(made)) {}
  std::shared_ptr<const State> state;
};

} // namespace v1
} // namespace attune

#endif // ATTUNE_ATTUNE_HPP
