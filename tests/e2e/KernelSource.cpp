//===- KernelSource.cpp - where the kernels of a case come from -----------===//
#include "tests/e2e/KernelSource.h"

#include "runtime/jit/ProgramBuild.h"

namespace attune::e2e {

Result<CompiledProgram> makeKernel(const AttentionSpec &spec, const std::string &archName, Target target,
                                   bool cubin) {
  Result<Arch> arch = findArch(archName);
  if (!arch)
    return arch.error();
  static const Toolchain tools = Toolchain::find();
  // No cache: what is tested is what the compiler gives now.
  Result<BuiltProgram> built =
      buildProgram({spec, target, {}}, {*arch}, cubin ? CubinNeed::Yes : CubinNeed::No, tools, Cache());
  if (!built)
    return built.error();
  return std::move(built->program);
}

} // namespace attune::e2e
