//===- BuildAttn.h - from a spec to attn.forward ----------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SCHEDULE_BUILDATTN_H
#define ATTUNE_COMPILER_SCHEDULE_BUILDATTN_H

#include "compiler/spec/Spec.h"

#include "mlir/IR/BuiltinOps.h"

namespace attune {

/// A module that holds one attn.forward which says what `spec` says. Its schedule request, if there is one,
/// becomes the op's `schedule` dictionary.
mlir::OwningOpRef<mlir::ModuleOp> buildAttn(mlir::MLIRContext *context, const AttentionSpec &spec);

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_BUILDATTN_H
