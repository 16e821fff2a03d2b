#include "tests/e2e/KernelSource.h"

#include "runtime/jit/Assemble.h"

namespace attune::e2e {

Result<Source> makeSource(const AttentionSpec &spec, const std::string &archName, Target target) {
  Result<Arch> arch = findArch(archName);
  if (!arch)
    return arch.error();
  CompileOptions options{*arch, target, Stage::Text, ""};
  Result<KernelText> text = compile(spec, options);
  if (!text)
    return text.error();
  if (target == Target::PTX)
    return Source{target, *text, text->text};
  static const Toolchain tools = Toolchain::find();
  Result<Assembled> assembled =
      compileCuda(tools, text->text, text->name + ".cu", templateHeaders(), *arch, text->name);
  if (!assembled)
    return assembled.error();
  return Source{target, *text, assembled->ptx};
}

} // namespace attune::e2e
