//===- ApiCompiler.cpp - the compiler behind the public interface ---------===//
#include "runtime/api/Api.h"

#include "runtime/jit/ProgramBuild.h"

namespace attune::v1 {

const Compiler *compiler() {
  /// The tools are looked for once: those of a machine do not move while a program runs.
  static const JitMaker maker(Toolchain::find());
  static const Compiler attune{maker};
  return &attune;
}

} // namespace attune::v1
