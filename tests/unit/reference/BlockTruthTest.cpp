//===- BlockTruthTest.cpp - intervals against every pair ------------------===//
//
// What interval arithmetic says of a block of queries and keys, against every pair of the block.
//
//===----------------------------------------------------------------------===//
#include "compiler/spec/SpecReader.h"
#include "compiler/spec/expr/BlockNumbers.h"
#include "runtime/reference/ExpressionRows.h"
#include "tests/unit/reference/RandomExpression.h"

#include <algorithm>
#include <array>

#include <doctest/doctest.h>

using namespace attune;
using reference::RandomBits;

namespace {

/// A mask on a problem whose arrays are random, and what it keeps, pair by pair.
class Masked {
public:
  Masked(const std::string &mask, int lengthQ, int lengthKv, uint64_t seed)
      : problem{2, 4, 2, lengthQ, lengthKv, {}, {}, {}, {}, {}} {
    spec.captures = RandomExpression::captures();
    spec.maskExpressions = {mask};
    Status good = validate(spec);
    REQUIRE_MESSAGE(bool(good), good.error().message);
    RandomBits random(seed, 4);
    doc.resize(2 * size_t(lengthKv));
    keep.resize(4 * size_t(lengthKv));
    // Of some documents, of others numbers that sums of 32 bits do not hold.
    bool isHuge = random.below(8) == 0;
    for (int32_t &one : doc)
      one = int32_t(isHuge ? uint32_t(random.next()) : random.below(4));
    isSorted = !isHuge && random.below(2);
    if (isSorted)
      for (int b = 0; b < 2; ++b)
        std::sort(doc.begin() + b * lengthKv, doc.begin() + (b + 1) * lengthKv);
    for (uint8_t &one : keep)
      one = uint8_t(random.below(2));
    inputs.captured = {{doc.data(), {lengthKv, 1}}, {keep.data(), {lengthKv, 1}}, {}, {}, {}};
    tree = simplify(reference::parsed(spec, mask, true), spec.captures);
  }

  std::vector<std::vector<uint8_t>> pairs(int batch, int head) {
    reference::KeptKeys kept(spec, problem, inputs);
    std::vector<std::vector<uint8_t>> rows;
    for (int q = 0; q < problem.lengthQ; ++q) {
      rows.emplace_back(size_t(problem.lengthKv));
      kept.row(batch, head, q, rows.back());
    }
    return rows;
  }

  /// `may` and `must` of queries and keys from first to last.
  std::pair<bool, bool> truth(int batch, int head, std::pair<int64_t, int64_t> q,
                              std::pair<int64_t, int64_t> kv) {
    using expr::Variable;
    expr::BlockNumbers block{q,
                             kv,
                             [&](Variable which) -> int64_t {
                               return which == Variable::B         ? batch
                                      : which == Variable::H       ? head
                                      : which == Variable::Hkv     ? head / 2
                                      : which == Variable::LengthQ ? problem.lengthQ
                                                                   : problem.lengthKv;
                             },
                             {17, 3.5}};
    block.elements =
        [&](const expr::Node &node,
            const std::vector<expr::BlockNumbers::MaybeEnds> &indices) -> expr::BlockNumbers::MaybeEnds {
      // Of the elements from the least index to the largest, cut to the array, as kernels know them.
      bool isDoc = node.symbol == 0;
      std::array<int64_t, 2> extents = {isDoc ? 2 : 4, problem.lengthKv}, from, to;
      for (size_t axis = 0; axis < 2; ++axis) {
        if (!indices[axis])
          return std::nullopt;
        from[axis] = std::clamp<int64_t>(indices[axis]->first, 0, extents[axis] - 1);
        to[axis] = std::clamp<int64_t>(indices[axis]->second, 0, extents[axis] - 1);
      }
      expr::BlockNumbers::Ends ends{INT64_MAX, INT64_MIN};
      for (int64_t i = from[0]; i <= to[0]; ++i)
        for (int64_t j = from[1]; j <= to[1]; ++j) {
          size_t at = size_t(i * problem.lengthKv + j);
          int64_t element = isDoc ? doc[at] : keep[at];
          ends = {std::min(ends.first, element), std::max(ends.second, element)};
        }
      return ends;
    };
    auto both = expr::BlockTruth(tree, block).of(tree.root);
    return {both.may, both.must};
  }

  AttentionSpec spec;
  bool isSorted = false; ///< the documents
  reference::Problem problem;
  reference::Inputs inputs{nullptr, nullptr, nullptr};
  expr::Expression tree;

private:
  std::vector<int32_t> doc;
  std::vector<uint8_t> keep;
};

/// Blocks whose answer is not sharp: mixed, where all pairs agree.
int checkBlocks(Masked &masked, int blockQ, int blockKv) {
  int vague = 0;
  for (auto [batch, head] : {std::pair(0, 0), {1, 3}}) {
    auto pairs = masked.pairs(batch, head);
    for (int q = 0; q < masked.problem.lengthQ; q += blockQ)
      for (int kv = 0; kv < masked.problem.lengthKv; kv += blockKv) {
        int lastQ = std::min(q + blockQ, masked.problem.lengthQ) - 1;
        int lastKv = std::min(kv + blockKv, masked.problem.lengthKv) - 1;
        bool any = false, all = true;
        for (int i = q; i <= lastQ; ++i)
          for (int j = kv; j <= lastKv; ++j) {
            any |= pairs[size_t(i)][size_t(j)] != 0;
            all &= pairs[size_t(i)][size_t(j)] != 0;
          }
        auto [may, must] = masked.truth(batch, head, {q, lastQ}, {kv, lastKv});
        CHECK_MESSAGE((may || !any), masked.spec.maskExpressions[0], ": q ", q, ", kv ", kv);
        CHECK_MESSAGE((!must || all), masked.spec.maskExpressions[0], ": q ", q, ", kv ", kv);
        vague += may != any || must != all;
      }
  }
  return vague;
}

void checkRandom(int count, uint64_t from) {
  for (int i = 0; i < count; ++i) {
    RandomExpression random(from + uint64_t(i));
    RandomBits sizes(from + uint64_t(i), 2);
    Masked masked(random.mask(), 1 + int(sizes.below(60)), 1 + int(sizes.below(60)), from + uint64_t(i));
    checkBlocks(masked, 1 + int(sizes.below(16)), 1 + int(sizes.below(16)));
  }
}

} // namespace

TEST_CASE("random masks: nothing that is kept is missed, nothing that is hidden is taken as kept") {
  checkRandom(500, 1000);
}
TEST_CASE("random masks, ten thousand" * doctest::skip()) { checkRandom(10000, 5000); }

TEST_CASE("sorted documents, and what hangs on one element, are decided exactly") {
  for (const char *mask : {"doc[b, q] == doc[b, kv]", "doc[b, q] == doc[b, kv] && kv <= q",
                           "kv < doc[b, 3] + 10", "doc[b, kv / 8] < 2", "keep[h, kv]",
                           "keep[h, q / 8] && kv <= q", "doc[b, kv] != 1", "doc[b, kv] * 2 + 1 < 5"}) {
    for (uint64_t seed = 0; seed < 6; ++seed) {
      Masked masked(mask, 57, 64, seed);
      if (masked.isSorted)
        CHECK_MESSAGE(checkBlocks(masked, 8, 8) == 0, std::string(mask));
    }
  }
}

TEST_CASE("masks of one distance, of blocks of positions, and their unions are decided exactly") {
  for (const char *mask :
       {"kv <= q", "kv <= q && q - kv < window", "kv < 4 || q - kv < 9 && kv <= q", "abs(q - kv) <= 12",
        "kv / 8 <= q / 8", "q < kv", "kv <= q + (len_kv - len_q)", "kv < 10 || kv <= q", "(q - kv) / 8 == 2",
        "h < 2 && kv <= q || h >= 2 && kv >= q", "b == 0 ? kv <= q : kv == q", "true"}) {
    Masked masked(mask, 57, 64, 1);
    CHECK_MESSAGE(checkBlocks(masked, 8, 8) == 0, std::string(mask));
  }
}
