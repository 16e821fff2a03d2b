//===- Attn.h - the attn dialect: what is computed --------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_DIALECT_ATTN_ATTN_H
#define ATTUNE_COMPILER_DIALECT_ATTN_ATTN_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "compiler/dialect/attn/AttnDialect.h.inc"
#include "compiler/dialect/attn/AttnEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "compiler/dialect/attn/AttnAttrs.h.inc"
#define GET_OP_CLASSES
#include "compiler/dialect/attn/Attn.h.inc"

#endif // ATTUNE_COMPILER_DIALECT_ATTN_ATTN_H
