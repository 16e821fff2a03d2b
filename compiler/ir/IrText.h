//===- IrText.h - IR as text, with its names --------------------*- C++ -*-===//
//
// Values keep their names from a builder to every stage's text and, through the parser, back again.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_IR_IRTEXT_H
#define ATTUNE_COMPILER_IR_IRTEXT_H

#include "compiler/support/Result.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OperationSupport.h"

namespace attune {

/// How attune prints IR: values under their names.
mlir::OpPrintingFlags irFlags();

/// `module` as text.
std::string printIr(mlir::ModuleOp module);

/// Prints `module` and makes each operation's location the line of that text, under `file`; names stay.
std::string snapshotIr(mlir::ModuleOp module, llvm::StringRef file);

/// Parses `text`; values take the names that they have there. Errors are `file:line:col: error: ...`.
Result<mlir::OwningOpRef<mlir::ModuleOp>> parseIr(mlir::MLIRContext *context, const std::string &text,
                                                  const std::string &file);

/// The name that a location carries, or "".
llvm::StringRef nameOf(mlir::Location location);

} // namespace attune

#endif // ATTUNE_COMPILER_IR_IRTEXT_H
