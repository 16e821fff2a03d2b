//===- ScheduleAttr.h - schedules in IR -------------------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_IR_SCHEDULEATTR_H
#define ATTUNE_COMPILER_IR_SCHEDULEATTR_H

#include "compiler/program/Schedule.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace attune {

/// {family = "portable", block_q = 128 : i64, ...}.
mlir::DictionaryAttr scheduleAttr(mlir::MLIRContext *context, const Schedule &schedule);

/// Back; null is an empty schedule. Fails, with an error, at what is no family and no whole number.
mlir::FailureOr<Schedule> scheduleFrom(mlir::DictionaryAttr attr,
                                       llvm::function_ref<mlir::InFlightDiagnostic()> error);

} // namespace attune

#endif // ATTUNE_COMPILER_IR_SCHEDULEATTR_H
