//===- Thread.h - the thread dialect: what one thread does ------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_DIALECT_THREAD_THREAD_H
#define ATTUNE_COMPILER_DIALECT_THREAD_THREAD_H

#include "compiler/dialect/tile/Tile.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include "compiler/dialect/thread/ThreadDialect.h.inc"
#define GET_OP_CLASSES
#include "compiler/dialect/thread/Thread.h.inc"

#endif // ATTUNE_COMPILER_DIALECT_THREAD_THREAD_H
