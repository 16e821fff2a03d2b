//===- ExpressionRegion.h - expressions as regions of attn.forward -*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SCHEDULE_EXPRESSIONREGION_H
#define ATTUNE_COMPILER_SCHEDULE_EXPRESSIONREGION_H

#include "compiler/schedule/Naming.h"
#include "compiler/spec/expr/Expression.h"

namespace attune {

/// Builds what `expression` says, where `b` stands in a region. `variable` gives the region's values: index,
/// or f32 for the score. Captures have the names that `captures` gives them.
mlir::Value buildExpression(NamingBuilder &b, const expr::Expression &expression,
                            const expr::Captures &captures,
                            llvm::function_ref<mlir::Value(expr::Variable)> variable);

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_EXPRESSIONREGION_H
