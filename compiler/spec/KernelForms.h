//===- KernelForms.h - a spec's expressions as kernels have them -*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SPEC_KERNELFORMS_H
#define ATTUNE_COMPILER_SPEC_KERNELFORMS_H

#include "compiler/spec/Spec.h"
#include "compiler/spec/expr/Parser.h"

namespace attune {

/// What a spec says, whichever way it says it: parts of expressions that have short forms (causal, a window,
/// a soft cap) are these. Expressions are simplified, with captures called array0, array1, ..., scalar0, ...
/// in the order in which the expressions meet them: how a spec calls them makes no other kernel.
struct KernelForms {
  std::vector<MaskTerm> terms; ///< at most one an alignment, and one a bound that is given at launch
  std::optional<double> softcap;
  std::optional<expr::Expression> mask, score; ///< the rest
  expr::Captures captures;                     ///< the spec's, in its order, under the kernel's names

  /// Whether a row does not see keys before a first one that is linear in the row.
  bool hasFirstKey() const;
  /// What of the expressions decides the code; empty without any.
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
