//===- ApiCompiler.cpp - the compiler behind the public interface ---------===//
#include "runtime/api/Api.h"

#include "runtime/jit/ProgramBuild.h"

namespace attune::v1 {
namespace {

class AttuneCompiler final : public Compiler {
public:
  attune::Result<BuiltProgram> build(const AttentionSpec &spec, const Arch &arch, attune::Target target,
                                     const Cache &cache, bool again) const override {
    CompileOptions options;
    options.arch = arch;
    options.target = target;
    return buildProgram(spec, options, CubinNeed::IfPossible, tools, cache,
                        again ? CacheUse::Replace : CacheUse::LookUp);
  }

private:
  /// Looked for once: the tools of a machine do not move while a program runs.
  Toolchain tools = Toolchain::find();
};

} // namespace

const Compiler *compiler() {
  static const AttuneCompiler attune;
  return &attune;
}

} // namespace attune::v1
