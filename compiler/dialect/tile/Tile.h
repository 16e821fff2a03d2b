//===- Tile.h - the tile dialect: an explicit program for a CTA -*- C++ -*-===//
#ifndef ATTUNE_COMPILER_DIALECT_TILE_TILE_H
#define ATTUNE_COMPILER_DIALECT_TILE_TILE_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace attune::tile {

/// Resources of effects (TileBase.td says what they stand for).
struct SharedMemory : mlir::SideEffects::Resource::Base<SharedMemory> {
  llvm::StringRef getName() final { return "shared memory"; }
};
struct InFlight : mlir::SideEffects::Resource::Base<InFlight> {
  llvm::StringRef getName() final { return "in flight"; }
};
struct Barriers : mlir::SideEffects::Resource::Base<Barriers> {
  llvm::StringRef getName() final { return "barriers"; }
};

} // namespace attune::tile

#include "compiler/dialect/tile/TileDialect.h.inc"
#include "compiler/dialect/tile/TileEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "compiler/dialect/tile/TileAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "compiler/dialect/tile/TileTypes.h.inc"
#define GET_OP_CLASSES
#include "compiler/dialect/tile/Tile.h.inc"

namespace attune::tile {

/// What verifiers of the tile and thread dialects share: roles, and the tiles that an op takes and gives.
mlir::LogicalResult verifyRoles(mlir::Operation *specialize,
                                llvm::function_ref<bool(mlir::Operation *)> isRole);
mlir::LogicalResult verifyRole(mlir::Operation *role);
mlir::LogicalResult verifyReplica(mlir::Operation *replica);
mlir::LogicalResult verifyTiles(mlir::Operation *op);
mlir::LogicalResult verifyHandles(mlir::Operation *kernel);
mlir::LogicalResult verifyNumbers(mlir::Operation *op);

/// "64x128".
std::string shapeText(llvm::ArrayRef<int64_t> shape);

/// What holds for every product a * b, or a * b^T where `transposed`: element types and shapes agree, and the
/// result is f32.
mlir::LogicalResult verifyProduct(mlir::Operation *op, mlir::RankedTensorType a, mlir::RankedTensorType b,
                                  bool transposed, mlir::RankedTensorType result);

/// Bytes of a tile in shared memory.
int64_t tileBytes(mlir::RankedTensorType type);

} // namespace attune::tile

#endif // ATTUNE_COMPILER_DIALECT_TILE_TILE_H
