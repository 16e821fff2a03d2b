//===- CollectedErrors.h - MLIR's errors as one message ---------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_IR_COLLECTEDERRORS_H
#define ATTUNE_COMPILER_IR_COLLECTEDERRORS_H

#include "mlir/IR/Diagnostics.h"

#include <string>

namespace attune {

/// While it lives, errors of `context` become lines "file:line:col: error: ..." of a text, with `otherwise`
/// as the place of those that have none; other diagnostics are dropped.
class CollectedErrors {
public:
  explicit CollectedErrors(mlir::MLIRContext *context, const std::string &otherwise = "");

  const std::string &text() const { return lines; }

private:
  std::string lines;
  mlir::ScopedDiagnosticHandler handler;
};

} // namespace attune

#endif // ATTUNE_COMPILER_IR_COLLECTEDERRORS_H
