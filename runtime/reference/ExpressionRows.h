//===- ExpressionRows.h - masks and scores, evaluated -----------*- C++ -*-===//
//
// The reference's own reading of a spec's expressions: a row of scores at a time, as the language defines
// them. It takes the tree as it was written, before anything is folded, and shares nothing with what kernels
// do.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_REFERENCE_EXPRESSIONROWS_H
#define ATTUNE_RUNTIME_REFERENCE_EXPRESSIONROWS_H

#include "compiler/spec/expr/Expression.h"
#include "runtime/reference/Problem.h"

#include <vector>

namespace attune::reference {

/// One expression over the keys of a row. What depends on the score is computed in double; the rest rounds to
/// f32 after each operation, as the language says: a condition then falls as in a kernel.
class ExpressionRows {
public:
  ExpressionRows(expr::Expression expression, const AttentionSpec &spec, const Problem &problem,
                 const Inputs &inputs);

  /// Values for keys [begin, end) of a query's row. `scores` has their scores (null for a mask).
  const std::vector<double> &evaluate(int batch, int head, int64_t q, int64_t begin, int64_t end,
                                      const double *scores);

private:
  double leaf(const expr::Node &node) const;
  double element(const expr::Node &node, size_t key) const;
  double apply(const expr::Node &node, const double *x, bool isExact) const;

  expr::Expression tree;
  const AttentionSpec &spec;
  const Problem &problem;
  const Inputs &inputs;
  std::vector<bool> variesByKey, dependsOnScore; ///< of each node
  std::vector<std::vector<double>> values;       ///< of each node: one a key, or one alone
  int batchIndex = 0, headIndex = 0;
  int64_t query = 0;
};

/// Whether the spec's mask keeps each key of a row: named terms and expressions together.
class KeptKeys {
public:
  KeptKeys(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs);
  bool hasExpressions() const { return !expressions.empty(); }
  /// Sets keep[i] to whether key i is kept, for keys [0, keep.size()).
  void row(int batch, int head, int64_t q, std::vector<uint8_t> &keep);

private:
  const AttentionSpec &spec;
  const Problem &problem;
  const Inputs &inputs;
  std::vector<ExpressionRows> expressions;
};

/// The expression of a sound spec, as it was written.
expr::Expression parsed(const AttentionSpec &spec, const std::string &text, bool isMask);

} // namespace attune::reference

#endif // ATTUNE_RUNTIME_REFERENCE_EXPRESSIONROWS_H
