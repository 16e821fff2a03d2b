//===- KernelHeader.h - what kernels of every stage state -------*- C++ -*-===//
//
// tile.kernel and thread.kernel begin alike: name, arguments, machine, grid, schedule. One parser, one
// printer, one verifier, and the one way from IR to the plain data that launches are made of.
//
//   tile.kernel @llama3(%q: !tile.array<batch x heads_q x len_q x 128 x bf16> {align = 16 : i64},
//                       %o: !tile.array<batch x heads_q x len_q x 128 x bf16> {align = 16 : i64, output},
//                       %length_q: i32 {value = "len_q"}, %scale: f32)
//       arch("sm_80") warps(4) min_blocks(2) grid("ceil_div(len_q, 128)", "heads_q", "batch") smem(98304)
//       schedule {family = "portable", ...} { ... }
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_DIALECT_TILE_KERNELHEADER_H
#define ATTUNE_COMPILER_DIALECT_TILE_KERNELHEADER_H

#include "compiler/program/Program.h"

#include "mlir/IR/OpImplementation.h"

namespace attune::tile {

mlir::ParseResult parseKernel(mlir::OpAsmParser &parser, mlir::OperationState &result);
void printKernel(mlir::OpAsmPrinter &printer, mlir::Operation *kernel);
mlir::LogicalResult verifyKernel(mlir::Operation *kernel);
/// Arguments are printed under their names.
void nameArguments(mlir::Region &body, mlir::OpAsmSetValueNameFn setName);

/// The arguments of a kernel that a verifier has let through.
std::vector<Argument> argumentsOf(mlir::Operation *kernel);
/// Adds a block argument that is `argument`, and its attributes to `attributes`. `cols`: columns of the tiles
/// that a tensor map fills.
mlir::Value addArgument(mlir::Block *body, llvm::SmallVectorImpl<mlir::Attribute> &attributes,
                        const Argument &argument, mlir::Location where, int64_t cols = 0);

/// What a launch needs to know of a kernel, as an attribute that outlives the op: thread-to-nvvm leaves it on
/// the function.
mlir::DictionaryAttr kernelFacts(mlir::Operation *kernel);
/// Reads it back; fails, with an error, where it was edited into nonsense.
mlir::FailureOr<std::pair<KernelInfo, Launch>>
readKernelFacts(llvm::StringRef name, mlir::DictionaryAttr facts,
                llvm::function_ref<mlir::InFlightDiagnostic()> error);

/// Warps whose threads share the fragments at `op`: those of the role that it is in, or of the kernel where
/// that has no roles.
int64_t warpsAt(mlir::Operation *op);

} // namespace attune::tile

#endif // ATTUNE_COMPILER_DIALECT_TILE_KERNELHEADER_H
