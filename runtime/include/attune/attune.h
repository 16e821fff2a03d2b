//===- attune.h - attention kernels from C ------------------------*- C -*-===//
//
// The whole interface of attune, and the only one with an ABI: C++ (attune.hpp) and Python are wrappers over
// it. A program opens a context on a device, asks it for a plan of what it wants to compute, and launches the
// plan on its own stream with its own arrays:
//
//   attune_context_options options = ATTUNE_CONTEXT_OPTIONS_INIT;
//   options.compiler = attune_compiler();
//   attune_context *context;
//   attune_status status = attune_context_open(&options, &context);
//
//   attune_request request = ATTUNE_REQUEST_INIT;
//   request.spec = "{\"head_dim\": 128, \"mask\": \"causal\"}";
//   request.heads_q = 32, request.heads_kv = 8, request.length_q = request.length_kv = 4096;
//   attune_plan *plan;
//   status = attune_plan_create(context, &request, &plan);
//
//   attune_array arrays[] = {{.name = "q", .data = q, .dtype = ATTUNE_BF16}, ...};
//   attune_arguments arguments = ATTUNE_ARGUMENTS_INIT;
//   arguments.stream = stream, arguments.arrays = arrays, arguments.array_count = 4;
//   status = attune_launch(plan, &arguments);
//
// It needs C11 and its standard library only. Link attune::attune, which holds the compiler, or attune::core,
// which only loads kernels from a cache or a bundle.
//
// Every function that can fail gives an attune_status; attune_last_error() then is a message for people.
// Nothing is printed, nothing aborts, and no C++ exception leaves the library. Everything may be used from
// many threads at once, but that no thread may destroy what another one uses. Texts are UTF-8 and end in a 0.
//
// Structs begin with their size, which the _INIT macros set: a program that was built with this header runs
// with every later library of the same major version.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_ATTUNE_H
#define ATTUNE_ATTUNE_H

#include <stddef.h>
#include <stdint.h>

#define ATTUNE_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

/// What came of a call. Numbers never change; later versions may have more.
typedef enum attune_status {
  ATTUNE_OK = 0,
  ATTUNE_INVALID_OPTIONS = 1,  ///< a device, architecture or folder that there is not
  ATTUNE_INVALID_SPEC = 2,     ///< a spec that no kernel can have
  ATTUNE_INVALID_SHAPE = 3,    ///< a shape that no launch can have
  ATTUNE_INVALID_STRIDES = 4,  ///< strides that the kernels do not take
  ATTUNE_INVALID_ARGUMENT = 5, ///< another name, type, rank or extent than the kernel's; anything else
  ATTUNE_NULL_POINTER = 6,     ///< an array, a handle or a place for the result is not there
  ATTUNE_MISALIGNED = 7,    ///< an array does not begin where it must (Q, K, V, O: at a multiple of 16 bytes)
  ATTUNE_EMPTY_HANDLE = 8,  ///< a handle that was destroyed, or is of another kind
  ATTUNE_NO_DEVICE = 9,     ///< the device that was asked for is not here, or cannot be used
  ATTUNE_NOT_CACHED = 10,   ///< the kernel is in no cache and no bundle, and nothing may compile it
  ATTUNE_TOOL_MISSING = 11, ///< NVRTC is needed and not here
  ATTUNE_COMPILE_FAILED = 12, ///< a compiler refused; a schedule that does not fit, among others
  ATTUNE_LOAD_FAILED = 13,    ///< the device does not take the kernel
  ATTUNE_LAUNCH_FAILED = 14,  ///< the driver refused the launch
  ATTUNE_KERNEL_FAULT = 15,   ///< of the kernel: found by the simulator, or reported by the GPU
  ATTUNE_OUT_OF_MEMORY = 16,  ///< of the device, or of the host
  ATTUNE_DEVICE_FAILED = 17,  ///< a copy or a synchronisation failed
  ATTUNE_NOT_READY = 18,      ///< a plan that is still being made
  ATTUNE_INVALID_BUNDLE = 19, ///< a file that is no bundle, damaged, or made by a later version
  ATTUNE_INTERNAL = 20        ///< a mistake of attune: please report it
} attune_status;

/// "InvalidSpec"; "unknown" for a number that this library does not have.
ATTUNE_API const char *attune_status_name(attune_status status);

/// The message of this thread's last call that failed: complete, with what was expected, what was got, and a
/// way out where there is one. It stays until this thread's next call that fails; "" if none has.
ATTUNE_API const char *attune_last_error(void);

/// "0.1.0", of the library that runs.
ATTUNE_API const char *attune_version(void);

/// Frees a text that a function gave through a `char **`. NULL is nothing.
ATTUNE_API void attune_text_free(char *text);

//===----------------------------------------------------------------------===//
// Handles
//===----------------------------------------------------------------------===//

/// A device, and the kernels that were planned on it.
typedef struct attune_context attune_context;
/// A kernel that is loaded, and how to launch it for one shape; or one that is being made. Keeps its device
/// open.
typedef struct attune_plan attune_plan;
/// Device memory. Keeps its device open.
typedef struct attune_buffer attune_buffer;
/// Plans that are made in the background.
typedef struct attune_prewarm attune_prewarm;
/// A file of compiled kernels, open.
typedef struct attune_bundle attune_bundle;
/// Who chooses what a spec leaves open.
typedef struct attune_advisor attune_advisor;
/// What makes kernels that are not in the cache.
typedef struct attune_compiler_handle attune_compiler_handle;
/// A GPU that is simulated on the host, and checks every access of a kernel.
typedef struct attune_simulator_handle attune_simulator_handle;

/// attune's compiler. In attune::attune only: a program that links attune::core cannot name it.
ATTUNE_API const attune_compiler_handle *attune_compiler(void);
/// attune's simulator. A program that links attune::core and does not name it has none of it, and never runs
/// on it by mistake.
ATTUNE_API const attune_simulator_handle *attune_simulator(void);

//===----------------------------------------------------------------------===//
// Devices and contexts
//===----------------------------------------------------------------------===//

/// When a kernel is compiled.
enum attune_policy {
  ATTUNE_POLICY_DEFAULT = 0,            ///< COMPILE_IF_MISSING; with a bundle CACHE_ONLY
  ATTUNE_POLICY_COMPILE_IF_MISSING = 1, ///< once by one of all threads and processes that ask
  ATTUNE_POLICY_CACHE_ONLY = 2,         ///< never
  ATTUNE_POLICY_RECOMPILE = 3           ///< in each context once, whatever is in the cache
};

/// How a kernel is made: PTX by LLVM, or CUDA C++ by NVRTC.
enum attune_target {
  ATTUNE_TARGET_DEFAULT = 0, ///< the advisor's, else PTX
  ATTUNE_TARGET_PTX = 1,
  ATTUNE_TARGET_CUDA = 2
};

/// When asynchronous copies land on the simulated GPU. A right kernel gives the same bits.
enum attune_sim_mode {
  ATTUNE_SIM_EAGER = 0, ///< at once
  ATTUNE_SIM_LAZY = 1,  ///< as late as is legal
  ATTUNE_SIM_RANDOM = 2 ///< at random times
};

/// Null or 0 is what stands behind each.
typedef struct attune_context_options {
  size_t size;
  const char *device; ///< "cuda", "cuda:N", "sim", or "auto": the first GPU, else the simulated one. "auto"
  const char *arch;   ///< what to compile for, and what the simulated GPU is. The GPU's own; simulated, sm_80
  /// Where compiled kernels are kept; "": nowhere. ATTUNE_CACHE_DIR, else ~/.cache/attune.
  const char *cache_folder;
  const attune_bundle *bundle;              ///< looked at before the cache. None
  const attune_compiler_handle *compiler;   ///< None: only kernels that are there run
  const attune_simulator_handle *simulator; ///< None: only GPUs
  const attune_advisor *advisor; ///< attune_advisor_tuned(NULL) with the compiler; without one, none
  int32_t policy;                ///< an attune_policy
  int32_t target;                ///< an attune_target
  size_t most_programs;    ///< kernels kept loaded for later plans, the last used ones; plans keep theirs. 64
  const char *cuda_driver; ///< opened when a GPU is. "libcuda.so.1"
  int32_t sim_mode;        ///< an attune_sim_mode
  int32_t sim_threads;     ///< of the host. One a core
  uint64_t sim_seed;       ///< of ATTUNE_SIM_RANDOM
  int32_t sim_unchecked;   ///< not 0: faults are not looked for
  int32_t sim_multiprocessors; ///< that kernels are told of. As many as a GPU of the architecture has
} attune_context_options;
#define ATTUNE_CONTEXT_OPTIONS_INIT                                                                          \
  {sizeof(attune_context_options), NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 0, 0, 0, 0, 0}

/// Opens a device. `options` NULL: all as it is by default. INVALID_OPTIONS, NO_DEVICE.
ATTUNE_API attune_status attune_context_open(const attune_context_options *options, attune_context **context);

/// What the context is, as a JSON object; NULL if it is none. It stays as long as the context.
/// {"device": {"simulated": true, "ordinal": 0, "name": "simulated sm_80", "arch": "sm_80",
/// "compute_capability": 80, "cuda_version": 0, "multiprocessors": 108, "memory_bytes": 0, "why": "asked
/// for"}, "cache_folder": "..."}
ATTUNE_API const char *attune_context_facts(const attune_context *context);

/// Forgets the kernels that are loaded for later plans. Those of plans stay loaded until these are gone.
ATTUNE_API attune_status attune_context_release(const attune_context *context);

/// NULL is nothing. Plans and buffers of the context may be used on.
ATTUNE_API void attune_context_destroy(attune_context *context);

/// The devices of this machine: {"devices": [...], "note": "..."}, each as in attune_context_facts. The note
/// says why there is no GPU. `cuda_driver` NULL: "libcuda.so.1".
ATTUNE_API attune_status attune_devices(const char *cuda_driver, char **facts);

//===----------------------------------------------------------------------===//
// Plans
//===----------------------------------------------------------------------===//

/// What to compute: a spec, and the sizes of one problem. A kernel serves all sizes. Query head h reads KV
/// head h / (heads_q / heads_kv). With no batch or no queries launches do nothing; with no keys O is 0.
typedef struct attune_request {
  size_t size;
  const char *spec;            ///< JSON text, as `attune compile` reads it
  const char *spec_name;       ///< names it in messages. "spec"
  int64_t batch;               ///< 0 .. 2^31 - 1
  int64_t heads_q, heads_kv;   ///< 1 .. 2^31 - 1; heads_q is a multiple of heads_kv
  int64_t length_q, length_kv; ///< 0 .. 2^30
  /// The text of a stage of a kernel, as `attune compile --emit STAGE` prints it and a person may have edited
  /// it, in the place of what the spec compiles to: "attn", "tile", "thread", "llvm", "ptx" or "cuda". None.
  const char *stage, *stage_text;
  const char *stage_name; ///< names it in messages. "stage"
} attune_request;
#define ATTUNE_REQUEST_INIT {sizeof(attune_request), NULL, NULL, 1, 1, 1, 1, 1, NULL, NULL, NULL}

/// Decides how to compute what is asked for, and makes the kernel ready to launch: from this context, else
/// from its bundle, else from the cache, else by the compiler. Threads and processes that plan one new kernel
/// compile it once. Takes microseconds for a kernel that this context has, less than a millisecond for one in
/// the cache, and up to some seconds to compile. INVALID_SPEC, INVALID_SHAPE, NOT_CACHED, TOOL_MISSING,
/// COMPILE_FAILED, LOAD_FAILED; with a stage also INVALID_ARGUMENT (there is none of this name).
ATTUNE_API attune_status attune_plan_create(const attune_context *context, const attune_request *request,
                                            attune_plan **plan);

/// The same, but returns at once; a thread of the library goes on. What the request points at may be gone
/// then. Errors of planning are what attune_plan_wait gives.
ATTUNE_API attune_status attune_plan_start(const attune_context *context, const attune_request *request,
                                           attune_plan **plan);

/// Waits until the plan is made, at most `seconds` (0: looks only; negative: as long as it takes). What
/// attune_plan_create would have given; NOT_READY if time ran out.
ATTUNE_API attune_status attune_plan_wait(const attune_plan *plan, double seconds);

/// What was decided, and why, as a JSON object; NULL if the plan is none, is not ready or failed. It stays as
/// long as the plan.
/// {"kernel": "attention", "target": "ptx", "arch": "sm_80", "schedule": {"family": "portable", "block_q":
/// 128, ...}, "why": "...", "image": "PTX, ...", "from_cache": false, "cache_file": "...", "workspace_bytes":
/// 0, "launches": [{"kernel": "attention", "grid": [1, 1, 1], "block": [128, 1, 1], "shared_bytes": 49152}],
/// "arguments": [{"name": "q", "kind": "array", "dtype": "bf16", "shape": [1, 32, 4096, 128],
/// "strides": [16777216, 128, 4096, 1], "axes": ["batch", "heads_q", "len_q", "128"],
/// "output": false, "optional": false, "alignment": 16}, ...,
/// {"name": "scale", "kind": "scalar", "dtype": "f32"}, ...],
/// "registers": -1, "blocks_per_sm": -1, "notes": ["..."], "stage_times": [["generate", 41.2], ...]}
/// Strides of arguments are those of dense arrays in the spec's layout. -1 is unknown.
ATTUNE_API const char *attune_plan_facts(const attune_plan *plan);

/// For people: aligned lines of what runs, where and why; NULL as for attune_plan_facts. It stays as long as
/// the plan.
ATTUNE_API const char *attune_plan_describe(const attune_plan *plan);

/// Bytes of workspace that every launch of the plan needs; 0 if the plan is none or not ready.
ATTUNE_API size_t attune_plan_workspace_bytes(const attune_plan *plan);

/// NULL is nothing. A plan that is still being made is given up; the kernel is compiled all the same.
ATTUNE_API void attune_plan_destroy(attune_plan *plan);

/// Plans `count` requests on `threads` threads of the library (0: one a core, at most 8), so that later plans
/// of the same specs find their kernels made. Returns at once.
ATTUNE_API attune_status attune_prewarm_start(const attune_context *context, const attune_request *requests,
                                              size_t count, int32_t threads, attune_prewarm **prewarm);
/// As attune_plan_wait, for all of them; the status and message of the first one that failed.
ATTUNE_API attune_status attune_prewarm_wait(const attune_prewarm *prewarm, double seconds);
/// {"requests": 100, "ready": 60, "failed": 1, "errors": [{"request": 3, "status": "InvalidSpec", "message":
/// "..."}]}
ATTUNE_API attune_status attune_prewarm_facts(const attune_prewarm *prewarm, char **facts);
/// NULL is nothing. What has not begun is dropped; waits for what has. The kernels stay.
ATTUNE_API void attune_prewarm_destroy(attune_prewarm *prewarm);

/// Checks a spec and gives it in canonical form, one line of JSON. `name` (NULL: "spec") is what messages
/// call it; they hold every mistake with its place. INVALID_SPEC.
ATTUNE_API attune_status attune_spec_read(const char *spec, const char *name, char **canonical);

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

/// Of elements. Q, K, V and O are F16 or BF16, LSE and sinks F32, lengths I32; U8 is of captured arrays,
/// which read it as bool.
enum attune_dtype { ATTUNE_F16 = 0, ATTUNE_BF16 = 1, ATTUNE_F32 = 2, ATTUNE_I32 = 3, ATTUNE_U8 = 4 };

/// An array, by the name of the kernel's argument: "q", "k", "v", "o", "lse", "sink", "lengths_q",
/// "lengths_kv", or a captured one of the spec. The order of its axes is the argument's, whatever the order
/// in memory; of Q, K, V and O: batch, head, row, dim. Elements of the last axis are adjacent, strides of Q,
/// K, V and O are multiples of 8, none is negative, and a row's is below 2^30; inputs may have 0 (one array
/// for all), outputs may not overlap themselves. A stride along an axis of one element is not looked at.
typedef struct attune_array {
  const char *name;
  void *data;           ///< element (0, 0, ...); may be null for an array of no elements
  int32_t dtype;        ///< an attune_dtype
  int32_t rank;         ///< of shape and strides; 0 if both are null
  const int64_t *shape; ///< extents. Null: the plan's
  /// Between neighbours, in elements. Null: dense in the spec's layout.
  const int64_t *strides;
} attune_array;

/// A number that a kernel leaves to run time, by the name of its argument.
typedef struct attune_scalar {
  const char *name;
  double value;
} attune_scalar;

/// What a launch works on: every argument of the plan's facts that is not optional, in any order.
typedef struct attune_arguments {
  size_t size;
  void *stream; ///< a CUstream or cudaStream_t, or of attune_stream_create. The default one
  const attune_array *arrays;
  size_t array_count;
  const attune_scalar *scalars;
  size_t scalar_count;
  void *workspace; ///< attune_plan_workspace_bytes() bytes at a multiple of 256. Null if these are 0
} attune_arguments;
#define ATTUNE_ARGUMENTS_INIT {sizeof(attune_arguments), NULL, NULL, 0, NULL, 0, NULL}

/// Enqueues the kernels on arrays of the device. Everything is checked first, and nothing is launched if it
/// is not right: NULL_POINTER, MISALIGNED, INVALID_STRIDES, INVALID_ARGUMENT, NOT_READY. Takes no memory,
/// waits for nothing, may be captured in a CUDA graph. Errors of the device: LAUNCH_FAILED, KERNEL_FAULT. On
/// the simulated GPU it is complete when it returns.
ATTUNE_API attune_status attune_launch(const attune_plan *plan, const attune_arguments *arguments);

/// The same on arrays of the host: takes device memory, copies in, launches, waits, and copies the outputs
/// back. The strides of arrays may be any that keep elements of outputs apart, negative ones among them, and
/// data need only be aligned as its elements are. `stream` and `workspace` must be null. `report`, which may
/// be NULL, gets
/// {"times": [["copy in", 0.1], ...], "counters": {"warp instructions": 1, ...}, "notes": ["..."]}; times are
/// milliseconds, counters are the simulator's. Also: OUT_OF_MEMORY, DEVICE_FAILED.
ATTUNE_API attune_status attune_run(const attune_plan *plan, const attune_arguments *arguments,
                                    char **report);

//===----------------------------------------------------------------------===//
// Device memory and streams, for programs that have no other way to the device
//===----------------------------------------------------------------------===//

/// At least one byte, at a multiple of 256, of undefined contents. The simulator's findings call it by
/// `name`, which may be null. OUT_OF_MEMORY.
ATTUNE_API attune_status attune_buffer_create(const attune_context *context, size_t bytes, const char *name,
                                              attune_buffer **buffer);
ATTUNE_API void *attune_buffer_data(const attune_buffer *buffer);  ///< a device address; NULL if it is none
ATTUNE_API size_t attune_buffer_size(const attune_buffer *buffer); ///< as it was asked for; 0 if it is none
/// NULL is nothing.
ATTUNE_API void attune_buffer_destroy(attune_buffer *buffer);

/// Copies are ordered by `stream`, and the host's bytes must stay until it is synchronised. NULL_POINTER,
/// KERNEL_FAULT, DEVICE_FAILED.
ATTUNE_API attune_status attune_copy_in(const attune_context *context, void *device, const void *host,
                                        size_t bytes, void *stream);
ATTUNE_API attune_status attune_copy_out(const attune_context *context, void *host, const void *device,
                                         size_t bytes, void *stream);
/// Sets every byte to `byte`.
ATTUNE_API attune_status attune_fill(const attune_context *context, void *device, uint8_t byte, size_t bytes,
                                     void *stream);

ATTUNE_API attune_status attune_stream_create(const attune_context *context, void **stream);
ATTUNE_API attune_status attune_stream_destroy(const attune_context *context, void *stream);
/// Waits for the stream. A fault of a kernel on a GPU is reported here.
ATTUNE_API attune_status attune_synchronize(const attune_context *context, void *stream);

//===----------------------------------------------------------------------===//
// Bundles
//===----------------------------------------------------------------------===//

/// Opens a file of `attune bundle`, read-only, and checks it whole. The file may be replaced or removed while
/// it is open. Its checksum finds damage, not malice: open only bundles of those you trust. INVALID_BUNDLE.
ATTUNE_API attune_status attune_bundle_open(const char *path, attune_bundle **bundle);
/// What is in it, as a JSON object; NULL if it is none. It stays as long as the bundle.
/// {"path": "...", "made_by": "attune 0.1.0", "bytes": 123, "programs": [{"name": "...", "kernel":
/// "attention", "arch": "sm_80", "target": "ptx", "schedule": {...}, "spec": {...}, "bytes": 12345, "parts":
/// {"kernel.ptx": 12345, ...}}, ...], "plans": [{"spec": {...}, "shape": {...}, "arch": "sm_80", "target":
/// "ptx", "why": "..."},
/// ...]}: a plan says which schedule was chosen for a spec and a shape.
ATTUNE_API const char *attune_bundle_facts(const attune_bundle *bundle);
/// NULL is nothing. Contexts that were opened on it keep it.
ATTUNE_API void attune_bundle_destroy(attune_bundle *bundle);

//===----------------------------------------------------------------------===//
// Advisors
//===----------------------------------------------------------------------===//

/// Asked for what a spec leaves open: {"spec": {...}, "shape": {"batch": 1, "heads_q": 32, "heads_kv": 8,
/// "length_q": 4096, "length_kv": 4096}, "device": {...}}. Gives {"schedule": {"block_q": 128, ...},
/// "target": "ptx", "why": "measured, 512 us"}, a text that stays until this thread asks again, or NULL where
/// it knows nothing. What the spec or the options fix wins over it, and advice that cannot be compiled is not
/// taken: the plan's notes then say so. Called from many threads at once.
typedef const char *(*attune_advise)(void *user, const char *question);

/// Asks `advise`; calls `release`, which may be null, when the last context that has it is gone.
ATTUNE_API attune_status attune_advisor_create(attune_advise advise, void *user, void (*release)(void *user),
                                               attune_advisor **advisor);
/// Advises by what `attune tune` found: the winner of the nearest shape that was tuned on the device, else
/// the cost model's choice. Reads the store of tuning results, never writes it and never measures. `store`
/// NULL: ATTUNE_STORE, else the user's own; if that is not there, every answer is the model's. In
/// attune::attune only. INVALID_OPTIONS.
ATTUNE_API attune_status attune_advisor_tuned(const char *store, attune_advisor **advisor);
/// Asks it; `answer` gets NULL where it knows nothing. INVALID_ARGUMENT (the question is none).
ATTUNE_API attune_status attune_advisor_ask(const attune_advisor *advisor, const char *question,
                                            char **answer);
/// NULL is nothing. Contexts that have it keep it.
ATTUNE_API void attune_advisor_destroy(attune_advisor *advisor);

#ifdef __cplusplus
}
#endif

#endif // ATTUNE_ATTUNE_H
