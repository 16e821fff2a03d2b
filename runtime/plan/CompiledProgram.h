//===- CompiledProgram.h - what is ready to be loaded ---*- C++ -*-===//
//
// What compiling gives and the cache keeps: the kernel's text, its PTX or cubin, and what a launch of it
// needs to know. The core reads it back with no compiler around.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_PLAN_COMPILEDPROGRAM_H
#define ATTUNE_RUNTIME_PLAN_COMPILEDPROGRAM_H

#include "compiler/Compiler.h"
#include "runtime/cache/Cache.h"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attune {

/// What the assembler reports of one kernel. Bytes are of a thread, shared memory is of a block.
struct AssemblerReport {
  int registers = 0;
  int stackBytes = 0;
  int spillStores = 0; ///< bytes
  int spillLoads = 0;  ///< bytes
  int staticShared = 0;
  int barriers = 0;

  bool operator==(const AssemblerReport &) const = default;
};

/// A compiled kernel.
struct CompiledProgram {
  KernelText text;   ///< `text.text` is the CUDA C++ of target cuda, else empty: PTX stands in `ptx` alone
  std::string ptx;   ///< what the simulator executes and a driver assembles
  std::string cubin; ///< machine code; empty where no assembler was found
  std::string assembler; ///< what made the cubin: "ptxas 13.0.88", "NVRTC 13.0"; empty with no cubin
  std::optional<AssemblerReport> resources; ///< the assembler's report; nothing with no cubin
  std::string log;                          ///< what the assembler said; may be empty

  /// Blocks of it that fit in one multiprocessor of its architecture; nothing with no report.
  std::optional<int> blocksPerSm() const;
};

/// Milliseconds of each stage that ran, in order: ("generate", 41.2), ("ptxas", 210.0).
using StageTimes = std::vector<std::pair<std::string, double>>;

/// Milliseconds since it was made or last asked.
class StageClock {
public:
  double lap();

private:
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
};

struct BuiltProgram {
  CompiledProgram kernel;
  bool fromCache = false;
  std::string cacheFile; ///< where the entry lies; empty with no cache
  StageTimes times;
  std::vector<std::string> notes; ///< what did not work and was gone without: unusable entry, full disk
};

/// The binary interface between kernels and launches: ForwardParams and what the grid means. It changes with
/// them, so that a program never launches a kernel of another one.
inline constexpr std::string_view launchInterface = "forward 1";

/// What is asked of a kernel: the first part of its cache key.
CacheKey requestKey(const AttentionSpec &spec, const Arch &arch, Target target);

const char *nameOf(Target target); ///< "ptx", "cuda"
/// "block_q 128, block_kv 64, stages 2, warps 4".
std::string describe(const Schedule &schedule);
/// One JSON object of what is known about the kernel, one field a line.
std::string metadataJson(const CompiledProgram &kernel);

/// A kernel as a cache entry, and back. An entry that does not hold a kernel is an error.
CacheEntry toEntry(const CompiledProgram &kernel, const CacheKey &key);
Result<CompiledProgram> programFrom(CacheEntry entry);

} // namespace attune

#endif // ATTUNE_RUNTIME_PLAN_COMPILEDPROGRAM_H
