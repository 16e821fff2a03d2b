//===- KernelForms.h - a spec's expressions as kernels have them -*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SPEC_KERNELFORMS_H
#define ATTUNE_COMPILER_SPEC_KERNELFORMS_H

#include "compiler/spec/Spec.h"
#include "compiler/spec/expr/Parser.h"

namespace attune {

/// Simplified, with captures called array0, array1, ..., scalar0, ... in the order in which the expressions
/// meet them: how a spec calls them makes no other kernel.
struct KernelForms {
  std::optional<expr::Expression> mask, score;
  expr::Captures captures; ///< the spec's, in its order, under the kernel's names

  /// What of them decides the code; empty without expressions.
  std::string text() const;
};

/// Of a spec that is sound.
KernelForms kernelForms(const AttentionSpec &spec);

/// What a kernel calls a capture, and what its spec does.
struct CaptureName {
  std::string kernel, spec;
};
std::vector<CaptureName> captureNames(const AttentionSpec &spec);

/// All mask expressions as one; empty: there are none.
std::string wholeMask(const AttentionSpec &spec);

} // namespace attune

#endif // ATTUNE_COMPILER_SPEC_KERNELFORMS_H
