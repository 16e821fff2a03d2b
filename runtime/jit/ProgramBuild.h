//===- ProgramBuild.h - from a spec to a program, by the cache -*- C++ -*-===//
//
// The only part of the runtime that calls the compiler.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_JIT_PROGRAMBUILD_H
#define ATTUNE_RUNTIME_JIT_PROGRAMBUILD_H

#include "runtime/cache/Cache.h"
#include "runtime/jit/Assemble.h"
#include "runtime/jit/Toolchain.h"
#include "runtime/plan/CompiledProgram.h"

#include <string>

namespace attune {

/// Whether a cubin is wanted. Target cuda always has one, for NVRTC makes it together with the PTX.
enum class CubinNeed {
  No,
  IfPossible, ///< where ptxas is found; without it the kernel has PTX only
  Yes,        ///< without ptxas: an error of kind Missing
};

/// What a build does with the cache.
enum class CacheUse {
  LookUp,  ///< takes the kernel if it is there
  Replace, ///< compiles, and stores what comes out
};

/// Compiles `spec`, or takes the kernel from `cache`: of all threads and processes that ask for a new one,
/// one compiles and the others wait for it. With `options.dump` set it always compiles. `options.emit`
/// must be Stage::Text.
Result<BuiltProgram> buildProgram(const AttentionSpec &spec, const CompileOptions &options, CubinNeed need,
                                  const Toolchain &tools, const Cache &cache,
                                  CacheUse use = CacheUse::LookUp);

/// Assembles kernel text that is there already (`--from`). Not cached. `times` gets the stages, if given;
/// `sourceName` names the text in messages, or the kernel does.
Result<CompiledProgram> assembleText(const KernelText &text, CubinNeed need, const Toolchain &tools,
                                     StageTimes *times = nullptr, const std::string &sourceName = {});

/// Everything that determines the kernel that buildProgram would give.
Result<CacheKey> programKey(const AttentionSpec &spec, const CompileOptions &options, CubinNeed need,
                            const Toolchain &tools, const Cache &cache);

/// Changes with every source of the compiler and of the templates: part of each cache key.
const char *compilerBuildId();

} // namespace attune

#endif // ATTUNE_RUNTIME_JIT_PROGRAMBUILD_H
