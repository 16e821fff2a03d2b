//===- ProgramBuild.h - from a request to a program, by the cache -*- C++ -*-===//
//
// The only part of the runtime that calls the compiler.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_JIT_PROGRAMBUILD_H
#define ATTUNE_RUNTIME_JIT_PROGRAMBUILD_H

#include "runtime/cache/Cache.h"
#include "runtime/jit/Assemble.h"
#include "runtime/jit/Toolchain.h"
#include "runtime/plan/Planner.h"

#include <string>

namespace attune {

/// Whether a cubin is wanted. Target cuda always has one, for NVRTC makes it together with the PTX.
enum class CubinNeed {
  No,
  IfPossible, ///< where ptxas is found; without it the program has PTX only
  Yes,        ///< without ptxas: an error of kind Missing
};

/// Compiles what is asked for, or takes it from `cache`: of all threads and processes that ask for a new
/// program, one compiles and the others wait for it. With a sink for its stages it always compiles.
Result<BuiltProgram> buildProgram(const ProgramRequest &request, const BuildOptions &options, CubinNeed need,
                                  const Toolchain &tools, const Cache &cache);

/// Everything that determines the program that buildProgram would give.
Result<CacheKey> programKey(const ProgramRequest &request, const Arch &arch, CubinNeed need,
                            const Toolchain &tools, const Cache &cache);

/// attune's compiler with the tools of this machine, as planners call it.
class JitMaker final : public ProgramMaker {
public:
  explicit JitMaker(Toolchain tools, CubinNeed need = CubinNeed::IfPossible)
      : tools(std::move(tools)), need(need) {}
  Result<BuiltProgram> build(const ProgramRequest &request, const BuildOptions &options,
                             const Cache &cache) const override {
    return buildProgram(request, options, need, tools, cache);
  }

private:
  Toolchain tools;
  CubinNeed need;
};

/// Changes with every source of the compiler and of the templates: part of each cache key.
const char *compilerBuildId();

} // namespace attune

#endif // ATTUNE_RUNTIME_JIT_PROGRAMBUILD_H
