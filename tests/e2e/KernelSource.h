//===- KernelSource.h - from a spec to PTX that can be loaded ---*- C++ -*-===//
#ifndef ATTUNE_TESTS_E2E_KERNELSOURCE_H
#define ATTUNE_TESTS_E2E_KERNELSOURCE_H

#include "compiler/Compiler.h"

namespace attune::e2e {

/// A kernel's text and the PTX that comes of it: itself for target PTX, NVRTC's for target CUDA.
struct Source {
  Target target;
  KernelText text;
  std::string ptx;
};

/// Compiles. An error of kind Missing: this machine has no NVRTC.
Result<Source> makeSource(const AttentionSpec &spec, const std::string &arch, Target target);

} // namespace attune::e2e

#endif // ATTUNE_TESTS_E2E_KERNELSOURCE_H
