//===- ScalarOps.h - operations on numbers, in one table --------*- C++ -*-===//
//
// What a score or mask region may use, what each target prints and what the channel model evaluates: one row
// an operation of arith and math. An operation that one target takes the other one takes, because both read
// this.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_DIALECT_SCALAROPS_H
#define ATTUNE_COMPILER_DIALECT_SCALAROPS_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"

namespace attune {

/// How an operation is written in CUDA C++.
struct CudaSpelling {
  enum Kind {
    Infix,    ///< `text` between the operands, which binds as `precedence` says
    Call,     ///< `text`(operands), of numbers, rows and tiles alike
    Function, ///< the same for rows and tiles; `scalar`(operands) for numbers
    Special,  ///< the printer has code of its own
  } kind;
  const char *text = "";
  int precedence = 0;
  const char *scalar = "";
};

struct ScalarOp {
  llvm::StringLiteral name;
  /// What its operands are (not the condition of a select).
  enum Operands { Integers, Floats, Any } operands;
  bool inRegions; ///< may stand in a score or mask region
  CudaSpelling cuda;
  /// One register of it in the LLVM dialect.
  mlir::Value (*lower)(mlir::OpBuilder &b, mlir::Location loc, mlir::Operation *op,
                       llvm::ArrayRef<mlir::Value> operands);
  /// Of 32-bit integers; nothing where it has no value (a division by 0). Null: not of integers.
  std::optional<int64_t> (*evaluate)(mlir::Operation *op, llvm::ArrayRef<int64_t> operands);
};

/// The row of an operation; null: kernels do not have it.
const ScalarOp *findScalarOp(mlir::Operation *op);

/// The names of the operations that regions may use: "addf, addi, ...".
std::string regionOpNames();

/// An error unless `op` of arith or math is in the table with types that it has there: f32, i32, index, i1,
/// or vectors and tensors of them. `where` ends the message: "in a score region".
mlir::LogicalResult verifyScalarOp(mlir::Operation *op, llvm::StringRef where, bool inRegion);

} // namespace attune

#endif // ATTUNE_COMPILER_DIALECT_SCALAROPS_H
