//===- Elements.h - element types of MLIR and of arrays ---------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_DIALECT_ELEMENTS_H
#define ATTUNE_COMPILER_DIALECT_ELEMENTS_H

#include "compiler/support/DType.h"

#include "mlir/IR/BuiltinTypes.h"

namespace attune {

inline std::optional<DType> elementOf(mlir::Type type) {
  if (type.isF16())
    return DType::F16;
  if (type.isBF16())
    return DType::BF16;
  if (type.isF32())
    return DType::F32;
  if (type.isInteger(32))
    return DType::I32;
  if (type.isInteger(64))
    return DType::I64;
  if (type.isUnsignedInteger(8))
    return DType::U8;
  return std::nullopt;
}

inline mlir::Type typeOf(mlir::MLIRContext *context, DType element) {
  switch (element) {
  case DType::F16:
    return mlir::Float16Type::get(context);
  case DType::BF16:
    return mlir::BFloat16Type::get(context);
  case DType::F32:
    return mlir::Float32Type::get(context);
  case DType::I32:
    return mlir::IntegerType::get(context, 32);
  case DType::I64:
    return mlir::IntegerType::get(context, 64);
  case DType::U8:
    return mlir::IntegerType::get(context, 8, mlir::IntegerType::Unsigned);
  }
  return {};
}

/// The table's row of a type that a verifier has let through.
inline const DTypeInfo &infoOf(mlir::Type type) { return infoOf(*elementOf(type)); }

} // namespace attune

#endif // ATTUNE_COMPILER_DIALECT_ELEMENTS_H
