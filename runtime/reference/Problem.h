//===- Problem.h - one attention problem and its arrays ---------*- C++ -*-===//
//
// What the reference computations run on: a spec's run-time shape, where elements lie, and which keys a
// row keeps. Written from the spec's definition; it shares nothing with the compiler's masks.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_REFERENCE_PROBLEM_H
#define ATTUNE_RUNTIME_REFERENCE_PROBLEM_H

#include "compiler/spec/Spec.h"

#include <cstdint>
#include <vector>

namespace attune::reference {

/// Distances between neighbours of an array (batch, head, row, dim), in elements; dim is adjacent.
struct Strides {
  int64_t batch = 0, head = 0, row = 0;

  int64_t at(int64_t b, int64_t h, int64_t r) const { return b * batch + h * head + r * row; }
};

/// The run-time shape. headsQ is a multiple of headsKv: query head h reads KV head h / (headsQ / headsKv).
struct Problem {
  int batch = 1, headsQ = 1, headsKv = 1, lengthQ = 1, lengthKv = 1;
  Strides q, k, v, o;
  Strides lse; ///< rows are adjacent: lse.row is 1
};

/// `spec`'s arrays, dense, in the layout that the spec names (K and V with headsKv heads). LSE is
/// (batch, headsQ, lengthQ) in either layout.
Problem denseProblem(const AttentionSpec &spec, int batch, int headsQ, int headsKv, int lengthQ,
                     int lengthKv);

/// Strides of a dense (batch, heads, length, dim) array whose order of batch, heads and length is `layout`.
Strides denseStrides(Layout layout, int heads, int length, int dim);

/// Elements of the arrays of a dense problem.
struct ElementCounts {
  int64_t q, k, v, o, lse;
};
ElementCounts elementCounts(const AttentionSpec &spec, const Problem &problem);

/// A captured array: its element (0, ...), and the distances between neighbours of each axis, in elements.
struct CapturedData {
  const void *elements = nullptr;
  std::vector<int64_t> strides;
};

/// The inputs' 16-bit elements, element (0, 0, 0, 0) first, what a spec with sinks has for each query head,
/// and the spec's captured arrays in its order. Scalars have the values that the spec has for them.
struct Inputs {
  const uint16_t *q, *k, *v;
  const float *sink = nullptr;
  std::vector<CapturedData> captured = {};
  const int32_t *lengthsQ = nullptr, *lengthsKv = nullptr; ///< one a batch entry, where the spec has them
};

/// How many queries and keys a batch entry has: the problem's, or fewer where the spec has lengths of
/// entries.
struct EntryLengths {
  int64_t q, kv;
};
EntryLengths lengthsOf(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs, int batch);

/// The keys that a row keeps: [begin, end), empty when begin >= end.
struct Interval {
  int64_t begin, end;

  bool empty() const { return begin >= end; }
  bool contains(int64_t kv) const { return kv >= begin && kv < end; }
};

/// What row `q` (which may lie beyond lengthQ, as a tile's padding does) keeps of lengthKv keys. With lengths
/// of entries the lengths are an entry's, and a row beyond keeps none.
Interval keptKeys(const AttentionSpec &spec, int64_t q, int64_t lengthQ, int64_t lengthKv);

} // namespace attune::reference

#endif // ATTUNE_RUNTIME_REFERENCE_PROBLEM_H
