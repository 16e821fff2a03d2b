//===- TranslateToPtx.h - the LLVM dialect as PTX ---------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_TARGET_PTX_TRANSLATETOPTX_H
#define ATTUNE_COMPILER_TARGET_PTX_TRANSLATETOPTX_H

#include "compiler/support/Arch.h"

#include "mlir/IR/BuiltinOps.h"

namespace attune {

/// PTX of every llvm.func in `module`, with `.loc`s for the operations that have file locations. No f32
/// multiply and add is ever contracted: what is an fma says so.
Result<std::string> translateToPtx(mlir::ModuleOp module, const Arch &arch);

} // namespace attune

#endif // ATTUNE_COMPILER_TARGET_PTX_TRANSLATETOPTX_H
