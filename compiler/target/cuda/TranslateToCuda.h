//===- TranslateToCuda.h - the thread form as CUDA C++ ----------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_TARGET_CUDA_TRANSLATETOCUDA_H
#define ATTUNE_COMPILER_TARGET_CUDA_TRANSLATETOCUDA_H

#include "compiler/support/Result.h"

#include "mlir/IR/BuiltinOps.h"

namespace attune {

/// CUDA C++ of the one thread.kernel in `module`, over templates/*.cuh.
Result<std::string> translateToCuda(mlir::ModuleOp module);

} // namespace attune

#endif // ATTUNE_COMPILER_TARGET_CUDA_TRANSLATETOCUDA_H
