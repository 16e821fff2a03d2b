//===- CompiledProgram.h - what is ready to be loaded -----------*- C++ -*-===//
//
// What compiling gives and the cache keeps: the kernels' text, their PTX or cubin, and what a launch of them
// needs to know. The core reads it back with no compiler around.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_LAUNCH_COMPILEDPROGRAM_H
#define ATTUNE_RUNTIME_LAUNCH_COMPILEDPROGRAM_H

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

/// A compiled program: all its kernels are in one text, one PTX module, one cubin.
struct CompiledProgram {
  KernelText text;   ///< `text.text` is the CUDA C++ of target cuda, else empty: PTX stands in `ptx` alone
  std::string ptx;   ///< what the simulator executes and a driver assembles
  std::string cubin; ///< machine code; empty where no assembler was found
  std::string assembler; ///< what made the cubin: "ptxas 13.0.88", "NVRTC 13.0"; empty with no cubin
  std::vector<AssemblerReport> reports; ///< of each kernel of the program; empty with no cubin
  std::string log;                      ///< what the assembler said; may be empty

  const Program &program() const { return text.program; }
  /// The kernel that does the most of the work: its schedule and resources are shown first.
  const KernelInfo &mainKernel() const { return text.program.main(); }
  const AssemblerReport *mainReport() const {
    return reports.empty() ? nullptr : &reports[text.program.mainKernel()];
  }

  /// Registers of a thread of a kernel; -1 with no report.
  int registers(size_t kernel) const { return reports.empty() ? -1 : reports[kernel].registers; }
  /// Blocks of a kernel that fit in one multiprocessor of its architecture; nothing with no report.
  std::optional<int> blocksPerSm(size_t kernel = 0) const;
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

/// A compiled program, and how it came about.
struct BuiltProgram {
  CompiledProgram program;
  bool fromCache = false;
  std::string cacheFile; ///< where the entry lies; empty with no cache
  StageTimes times;
  std::vector<std::string> notes; ///< what did not work and was gone without: unusable entry, full disk
};

/// Text of a stage in the place of what a spec compiles to, perhaps edited by a person.
struct StageText {
  Stage stage = Stage::Text; ///< what it holds; Text: PTX or CUDA C++, as the target says
  std::string text;
  std::string file = "stage"; ///< names it in messages

  bool operator==(const StageText &) const = default;
};

/// A stage by its name on the command line, and the target that has it; nothing: both.
struct NamedStage {
  std::string_view name;
  Stage stage;
  std::optional<Target> target;
};
inline constexpr NamedStage namedStages[] = {
    {"attn", Stage::Attn, {}},         {"tile", Stage::Tile, {}},
    {"thread", Stage::Thread, {}},     {"llvm", Stage::LLVM, Target::PTX},
    {"ptx", Stage::Text, Target::PTX}, {"cuda", Stage::Text, Target::CUDA}};
/// The stage of this name, or null.
const NamedStage *findStage(std::string_view name);

/// What is to be made. With a stage, the spec only says what that is meant to compute.
struct ProgramRequest {
  AttentionSpec spec;
  Target target = Target::PTX;
  std::optional<StageText> stage;
};

/// What is asked for: the first part of a program's cache key.
CacheKey requestKey(const ProgramRequest &request, const Arch &arch);

const char *nameOf(Target target); ///< "ptx", "cuda"
/// One JSON object of what is known about the program, for people, and for programFrom.
std::string metadataJson(const CompiledProgram &program);

/// What the beginning of an entry says of the program in it; empty where it holds none.
struct EntryFacts {
  std::string kernel, target, arch;
  Schedule schedule;
  std::optional<AttentionSpec> spec; ///< nothing for the text of a stage
};
EntryFacts factsOf(const CacheHead &head);

/// A program as a cache entry, and back. An entry that does not hold a program is an error.
CacheEntry toEntry(const CompiledProgram &program, const CacheKey &key);
Result<CompiledProgram> programFrom(CacheEntry entry);

} // namespace attune

#endif // ATTUNE_RUNTIME_LAUNCH_COMPILEDPROGRAM_H
