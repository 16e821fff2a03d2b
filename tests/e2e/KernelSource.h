//===- KernelSource.h - from a spec to PTX that can be loaded ---*- C++ -*-===//
#ifndef ATTUNE_TESTS_E2E_KERNELSOURCE_H
#define ATTUNE_TESTS_E2E_KERNELSOURCE_H

#include "runtime/launch/CompiledProgram.h"

namespace attune::e2e {

/// Compiles a kernel for the architecture called `arch`, with no cache, and to machine code if asked. An
/// error of kind Missing: this machine has no NVRTC for target CUDA.
Result<CompiledProgram> makeKernel(const AttentionSpec &spec, const std::string &arch, Target target,
                                   bool cubin);

} // namespace attune::e2e

#endif // ATTUNE_TESTS_E2E_KERNELSOURCE_H
