//===- BlockNumbers.h - one block, in numbers -------------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SPEC_EXPR_BLOCKNUMBERS_H
#define ATTUNE_COMPILER_SPEC_EXPR_BLOCKNUMBERS_H

#include "compiler/spec/expr/BlockTruth.h"

#include <functional>
#include <optional>
#include <vector>

namespace attune::expr {

/// A domain of BlockTruth: queries and keys from first to last of one batch entry and head.
struct BlockNumbers {
  using Number = int64_t;
  using Flag = bool;
  using Ends = std::pair<int64_t, int64_t>;

  Ends queries, keys;
  std::function<int64_t(Variable)> sizes; ///< b, h, hkv, len_q and len_kv
  std::vector<double> scalars;            ///< of each captured one
  using MaybeEnds = std::optional<Ends>;
  /// What elements of an array can be where its indices lie between these; nothing where it is not known.
  std::function<MaybeEnds(const Node &, const std::vector<MaybeEnds> &)> elements =
      [](const Node &, const std::vector<MaybeEnds> &) { return MaybeEnds(); };

  int64_t number(int64_t x) { return x; }
  int64_t variable(Variable which) { return sizes(which); }
  int64_t scalar(uint32_t symbol) { return int64_t(scalars[symbol]); }
  int64_t add(int64_t x, int64_t y) { return x + y; }
  int64_t subtract(int64_t x, int64_t y) { return x - y; }
  int64_t multiply(int64_t x, int64_t y) { return x * y; }
  int64_t least(int64_t x, int64_t y) { return std::min(x, y); }
  int64_t most(int64_t x, int64_t y) { return std::max(x, y); }
  int64_t divide(int64_t x, int64_t y) { return x / y - (x % y < 0); }
  int64_t choose(bool condition, int64_t x, int64_t y) { return condition ? x : y; }
  bool flag(bool x) { return x; }
  bool notAbove(int64_t x, int64_t y) { return x <= y; }
  bool both(bool x, bool y) { return x && y; }
  bool either(bool x, bool y) { return x || y; }
  bool invert(bool x) { return !x; }
  MaybeEnds element(const Node &node, const std::vector<MaybeEnds> &indices) {
    return elements(node, indices);
  }
  Ends query() { return queries; }
  Ends key() { return keys; }
};

} // namespace attune::expr

#endif // ATTUNE_COMPILER_SPEC_EXPR_BLOCKNUMBERS_H
