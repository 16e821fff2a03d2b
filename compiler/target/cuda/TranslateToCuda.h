//===- TranslateToCuda.h - the thread form as CUDA C++ ----------*- C++ -*-===//
//
// The text is one .cu file over templates/*.cuh that a person could have written: names come from the
// builders' name locations, values that are used once stand where they are used, and what a loop carries is
// one variable from start to end.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_TARGET_CUDA_TRANSLATETOCUDA_H
#define ATTUNE_COMPILER_TARGET_CUDA_TRANSLATETOCUDA_H

#include "compiler/support/Result.h"

#include "mlir/IR/BuiltinOps.h"

namespace attune {

/// CUDA C++ of the one thread.kernel in `module`, which stays as it is: a text that includes "attune.cuh" and
/// defines one extern "C" kernel of the same name. Fails, with the operation's place, at an operation that
/// the target does not have.
Result<std::string> translateToCuda(mlir::ModuleOp module);

} // namespace attune

#endif // ATTUNE_COMPILER_TARGET_CUDA_TRANSLATETOCUDA_H
