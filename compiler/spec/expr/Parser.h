//===- Parser.h - expressions from text -------------------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SPEC_EXPR_PARSER_H
#define ATTUNE_COMPILER_SPEC_EXPR_PARSER_H

#include "compiler/spec/Diagnostics.h"
#include "compiler/spec/expr/Expression.h"

namespace attune::expr {

/// What an expression is for: a mask is bool and has no `score`; a score is f32.
enum class Role { Mask, Score };

constexpr size_t maxText = 4096, maxNodes = 1024, maxCaptures = 16, maxAxes = 6;

/// The expression that `text` says, as it was written: nothing is folded. Nothing after errors, whose places
/// in `text` and messages are added to `diagnostics`.
std::optional<Expression> parse(std::string_view text, Role role, const Captures &captures,
                                std::vector<Diagnostic> &diagnostics);

/// Whether `name` can be a captured array or scalar: a C identifier that means nothing else in an expression.
/// Empty, or what was expected.
std::string checkCaptureName(std::string_view name);

} // namespace attune::expr

#endif // ATTUNE_COMPILER_SPEC_EXPR_PARSER_H
