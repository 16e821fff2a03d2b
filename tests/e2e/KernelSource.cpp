#include "tests/e2e/KernelSource.h"

#include "runtime/jit/ProgramBuild.h"

namespace attune::e2e {

Result<CompiledProgram> makeKernel(const AttentionSpec &spec, const std::string &archName, Target target,
                                   bool cubin) {
  Result<Arch> arch = findArch(archName);
  if (!arch)
    return arch.error();
  Result<KernelText> text = compile(spec, {*arch, target, Stage::Text, ""});
  if (!text)
    return text.error();
  static const Toolchain tools = Toolchain::find();
  // No cache: what is tested is what the compiler gives now.
  return assembleText(*text, cubin ? CubinNeed::Yes : CubinNeed::No, tools);
}

} // namespace attune::e2e
