//===- Passes.h - the compiler's passes -------------------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_TRANSFORMS_PASSES_H
#define ATTUNE_COMPILER_TRANSFORMS_PASSES_H

#include "compiler/dialect/attn/Attn.h"
#include "compiler/dialect/thread/Thread.h"
#include "compiler/dialect/tile/Tile.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace attune {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "compiler/transforms/Passes.h.inc"

/// From attn to tile.
void populateAttnToTilePipeline(mlir::OpPassManager &pm, const std::string &arch);
/// From tile to thread: verify, allocate shared memory, lower channels, distribute.
void populateTileToThreadPipeline(mlir::OpPassManager &pm);
/// From thread to the LLVM dialect.
void populateThreadToLLVMPipeline(mlir::OpPassManager &pm);

/// Named barriers of a role, in their order: where the warps of each replica meet, where all replicas meet,
/// and one for each replica's turn.
constexpr int64_t namedBarriers(int64_t replicas) { return replicas == 1 ? 1 : 2 * replicas + 1; }

/// The dialects that the stages use.
void registerAttuneDialects(mlir::DialectRegistry &registry);

} // namespace attune

#endif // ATTUNE_COMPILER_TRANSFORMS_PASSES_H
