//===- Problem.cpp - arrays and strides of a problem ----------------------===//
#include "runtime/reference/Problem.h"

#include <algorithm>

namespace attune::reference {

Strides denseStrides(Layout layout, int heads, int length, int dim) {
  int64_t matrix = int64_t(length) * dim;
  if (layout == Layout::BSHD)
    return {heads * matrix, dim, int64_t(heads) * dim};
  return {heads * matrix, matrix, dim};
}

Problem denseProblem(const AttentionSpec &spec, int batch, int headsQ, int headsKv, int lengthQ,
                     int lengthKv) {
  Problem problem{batch, headsQ, headsKv, lengthQ, lengthKv, {}, {}, {}, {}, {}};
  problem.q = denseStrides(spec.layout, headsQ, lengthQ, spec.headDimQk);
  problem.k = denseStrides(spec.layout, headsKv, lengthKv, spec.headDimQk);
  problem.v = denseStrides(spec.layout, headsKv, lengthKv, spec.headDimV);
  problem.o = denseStrides(spec.layout, headsQ, lengthQ, spec.headDimV);
  problem.lse = denseStrides(Layout::BHSD, headsQ, lengthQ, 1);
  return problem;
}

ElementCounts elementCounts(const AttentionSpec &spec, const Problem &problem) {
  int64_t rowsQ = int64_t(problem.batch) * problem.headsQ * problem.lengthQ;
  int64_t rowsKv = int64_t(problem.batch) * problem.headsKv * problem.lengthKv;
  return {rowsQ * spec.headDimQk, rowsKv * spec.headDimQk, rowsKv * spec.headDimV, rowsQ * spec.headDimV,
          rowsQ};
}

EntryLengths lengthsOf(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs, int batch) {
  auto length = [&](bool ofEntry, const int32_t *lengths, int64_t most) {
    return ofEntry ? std::clamp<int64_t>(lengths[batch], 0, most) : most;
  };
  return {length(spec.lengthsQ, inputs.lengthsQ, problem.lengthQ),
          length(spec.lengthsKv, inputs.lengthsKv, problem.lengthKv)};
}

Interval keptKeys(const AttentionSpec &spec, int64_t q, int64_t lengthQ, int64_t lengthKv) {
  // No length reaches this bound, so cutting a limit to it changes nothing and sums cannot overflow.
  constexpr int64_t farthest = int64_t(1) << 40;
  Interval kept{0, lengthKv};
  if (spec.lengthsQ && q >= lengthQ)
    return {0, 0};
  for (const MaskTerm &term : spec.mask) {
    int64_t position = q + (term.align == MaskAlign::BottomRight ? lengthKv - lengthQ : 0);
    if (term.left)
      kept.begin = std::max(kept.begin, position - std::min(*term.left, farthest));
    if (term.right)
      kept.end = std::min(kept.end, position + std::min(*term.right, farthest) + 1);
  }
  return kept;
}

} // namespace attune::reference
