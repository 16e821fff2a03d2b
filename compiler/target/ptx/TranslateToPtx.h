//===- TranslateToPtx.h - the LLVM dialect as PTX ---------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_TARGET_PTX_TRANSLATETOPTX_H
#define ATTUNE_COMPILER_TARGET_PTX_TRANSLATETOPTX_H

#include "compiler/support/Arch.h"

#include "mlir/IR/BuiltinOps.h"

namespace attune {

/// PTX of every llvm.func in `module`, with `.loc`s for the operations that have file locations. No f32
/// multiply and add is ever contracted: what is an fma says so. `writtenIn` is the file that a person wrote
/// the module in, or empty for one that the compiler made: LLVM ends the process where it cannot go on, so
/// what people write is verified first and then translated in a process of its own. Errors carry their place.
Result<std::string> translateToPtx(mlir::ModuleOp module, const Arch &arch, const std::string &writtenIn);

} // namespace attune

#endif // ATTUNE_COMPILER_TARGET_PTX_TRANSLATETOPTX_H
