//===- Work.cpp - what a kernel makes a GPU do ----------------------------===//
#include "tuner/Work.h"

#include "compiler/spec/KernelForms.h"
#include "compiler/spec/expr/BlockNumbers.h"
#include "runtime/reference/Problem.h"

#include <algorithm>

namespace attune::tuner {

namespace {

/// Blocks of keys of one block of queries, by a mask's expression.
class BlockWalk {
public:
  BlockWalk(const KernelForms &forms, const ProblemShape &shape, int64_t blockKv)
      : tree(*forms.mask), blockKv(blockKv), lengthKv(shape.lengthKv), numbers{{}, {}, {}, {}} {
    for (const expr::CapturedScalar &scalar : forms.captures.scalars)
      numbers.scalars.push_back(scalar.value.value_or(0));
    numbers.sizes = [this, shape](expr::Variable which) -> int64_t {
      switch (which) {
      case expr::Variable::B:
        return 0;
      case expr::Variable::H:
        return head;
      case expr::Variable::Hkv:
        return head / std::max<int64_t>(shape.headsQ / std::max<int64_t>(shape.headsKv, 1), 1);
      case expr::Variable::LengthQ:
        return shape.lengthQ;
      default:
        return shape.lengthKv;
      }
    };
    // Where most blocks are kept in part, some hundred groups of them tell as much.
    constexpr int64_t mostGroups = 128;
    group = std::max<int64_t>(lengthKv / blockKv / mostGroups, 1);
  }

  /// Adds what is kept of blocks [begin, end) for queries firstRow .. lastRow of a head.
  void walk(int64_t ofHead, int64_t firstRow, int64_t lastRow, int64_t begin, int64_t end) {
    head = ofHead;
    numbers.queries = {firstRow, lastRow};
    visited = whole = 0;
    first = end;
    last = begin;
    split(begin, end);
  }

  double visited = 0, whole = 0;
  int64_t first = 0, last = 0; ///< of what is visited; `last` is one past it

private:
  void split(int64_t begin, int64_t end) {
    if (begin >= end)
      return;
    numbers.keys = {begin * blockKv, std::min(end * blockKv, lengthKv) - 1};
    auto [may, must] = expr::BlockTruth(tree, numbers).of(tree.root);
    if (!may)
      return;
    if (!must && end - begin > group) {
      int64_t middle = begin + (end - begin) / 2;
      split(begin, middle);
      return split(middle, end);
    }
    visited += double(end - begin);
    whole += must ? double(end - begin) : 0;
    first = std::min(first, begin);
    last = std::max(last, end);
  }

  const expr::Expression &tree;
  int64_t blockKv, lengthKv, group, head = 0;
  expr::BlockNumbers numbers;
};

bool reads(const expr::Expression &tree, std::initializer_list<expr::Variable> variables) {
  for (expr::Ref ref = 0; ref < tree.size(); ++ref)
    if (tree[ref].op == expr::Op::Variable &&
        std::find(variables.begin(), variables.end(), expr::Variable(tree[ref].symbol)) != variables.end())
      return true;
  return false;
}

/// Issue slots of an expression for each score.
class SlotCount {
public:
  explicit SlotCount(const expr::Expression &tree)
      : tree(tree), byKey(tree.size()), byRow(tree.size()), counted(tree.size()) {
    using expr::Variable;
    for (expr::Ref ref = 0; ref < tree.size(); ++ref) {
      const expr::Node &node = tree[ref];
      bool isVariable = node.op == expr::Op::Variable;
      byKey[ref] =
          isVariable && (Variable(node.symbol) == Variable::Kv || Variable(node.symbol) == Variable::Score);
      byRow[ref] = isVariable && Variable(node.symbol) == Variable::Q;
      for (expr::Ref operand : node.operands) {
        byKey[ref] = byKey[ref] || byKey[operand];
        byRow[ref] = byRow[ref] || byRow[operand];
      }
    }
  }

  double ofMask() { return of(tree.root); }
  /// Terms of a sum that are linear in the key are one ramp, which products are summed onto where they are
  /// scores otherwise.
  double ofScore() {
    takeTerms(tree.root);
    if (rest.empty() || !linear)
      return of(tree.root);
    double slots = 1 + double(rest.size() - 1);
    for (expr::Ref term : rest)
      slots += of(term);
    const expr::Node &first = tree[rest.front()];
    bool isProduct = rest.size() == 1 && first.op == expr::Op::Variable;
    return slots + (isProduct ? 0 : 1);
  }

private:
  /// Of what depends on the key: conversions, functions and loads take several.
  double of(expr::Ref ref) {
    const expr::Node &node = tree[ref];
    if (!byKey[ref] || node.operands.empty() || counted[ref])
      return 0;
    counted[ref] = true;
    double slots = node.op == expr::Op::Element ? 4
                   : node.op >= expr::Op::Exp && node.op <= expr::Op::Sigmoid
                       ? 2
                       : double(std::max<size_t>(node.operands.size(), 2) - 1);
    for (expr::Ref operand : node.operands)
      slots += of(operand);
    return slots;
  }

  void takeTerms(expr::Ref ref) {
    const expr::Node &node = tree[ref];
    if (node.type == expr::Type::F32 && (node.op == expr::Op::Add || node.op == expr::Op::Subtract)) {
      for (expr::Ref operand : node.operands)
        takeTerms(operand);
    } else if (isLinear(ref)) {
      linear = true;
    } else {
      rest.push_back(ref);
    }
  }

  /// Whether it is a whole number that grows with the key, times what is the same for a tile.
  bool isLinear(expr::Ref ref) const {
    const expr::Node &node = tree[ref];
    auto isUniform = [&](expr::Ref part) { return !byKey[part] && !byRow[part]; };
    switch (node.op) {
    case expr::Op::Negate:
      return node.type == expr::Type::F32 && isLinear(node.operands[0]);
    case expr::Op::Multiply:
      return node.operands.size() == 2 && ((isUniform(node.operands[0]) && isLinear(node.operands[1])) ||
                                           (isUniform(node.operands[1]) && isLinear(node.operands[0])));
    case expr::Op::Divide:
      return tree[node.operands[1]].op == expr::Op::Constant && isLinear(node.operands[0]);
    case expr::Op::ToFloat:
      return byKey[ref] && isSumOfPlaces(node.operands[0]);
    default:
      return false;
    }
  }
  bool isSumOfPlaces(expr::Ref ref) const {
    const expr::Node &node = tree[ref];
    if (node.op == expr::Op::Variable)
      return expr::Variable(node.symbol) != expr::Variable::Score;
    if (node.op == expr::Op::Add || node.op == expr::Op::Subtract)
      return std::all_of(node.operands.begin(), node.operands.end(),
                         [&](expr::Ref operand) { return isSumOfPlaces(operand); });
    return node.op == expr::Op::Constant || node.op == expr::Op::Scalar;
  }

  const expr::Expression &tree;
  std::vector<bool> byKey, byRow, counted;
  std::vector<expr::Ref> rest;
  bool linear = false;
};

Steps count(const AttentionSpec &spec, const ProblemShape &shape, int blockQ, int blockKv) {
  KernelForms forms = kernelForms(spec);
  AttentionSpec bounds = spec;
  bounds.mask = forms.terms;
  // Bounds are linear in the row, so a few hundred blocks stand for any number of them; an expression takes
  // longer to ask.
  const int64_t mostBlocks = forms.mask ? 32 : 256;
  int64_t blocks = (shape.lengthQ + blockQ - 1) / blockQ;
  int64_t sampled = std::min(blocks, mostBlocks);
  std::optional<BlockWalk> walk;
  int64_t heads = 1;
  if (forms.mask) {
    walk.emplace(forms, shape, blockKv);
    if (reads(*forms.mask, {expr::Variable::H, expr::Variable::Hkv}))
      heads = std::min<int64_t>(shape.headsQ, 4);
  }
  Steps steps;
  constexpr double softcapSlots = 4;
  steps.scoreSlots =
      (forms.softcap ? softcapSlots : 0) + (forms.score ? SlotCount(*forms.score).ofScore() : 0);
  steps.maskSlots = forms.mask ? SlotCount(*forms.mask).ofMask() : 0;
  int64_t firstKey = shape.lengthKv, endKey = 0;
  for (int64_t i = 0; i < sampled; ++i) {
    int64_t block = sampled == blocks ? i : i * (blocks - 1) / (sampled - 1);
    int64_t firstRow = block * blockQ, lastRow = std::min(firstRow + blockQ, shape.lengthQ) - 1;
    // Both bounds grow with the row.
    reference::Interval first = reference::keptKeys(bounds, firstRow, shape.lengthQ, shape.lengthKv);
    reference::Interval last = reference::keptKeys(bounds, lastRow, shape.lengthQ, shape.lengthKv);
    int64_t begin = std::max<int64_t>(first.begin, 0), end = std::min(last.end, shape.lengthKv);
    if (begin >= end)
      continue;
    int64_t firstBlock = begin / blockKv, endBlock = (end + blockKv - 1) / blockKv;
    int64_t wholeBegin = (std::max<int64_t>(last.begin, 0) + blockKv - 1) / blockKv;
    int64_t wholeEnd = std::max(std::min(first.end, shape.lengthKv), int64_t(0)) / blockKv;
    double visited = double(endBlock - firstBlock);
    double whole = double(std::clamp(wholeEnd - wholeBegin, int64_t(0), endBlock - firstBlock));
    double keptFirst = double(std::max<int64_t>(first.end - first.begin, 0));
    double keptLast = double(std::max<int64_t>(last.end - last.begin, 0));
    double kept = (keptFirst + keptLast) / 2 * double(lastRow - firstRow + 1);
    if (walk) {
      double inBounds = kept / (visited * blockKv * double(lastRow - firstRow + 1)),
             wholeShare = whole / visited;
      visited = whole = 0;
      for (int64_t one = 0; one < heads; ++one) {
        walk->walk(one * shape.headsQ / heads, firstRow, lastRow, firstBlock, endBlock);
        visited += walk->visited / double(heads);
        whole += walk->whole * wholeShare / double(heads);
        begin = std::max(begin, walk->first * blockKv);
        end = std::min(end, walk->last * blockKv);
      }
      // Of a block that is kept in part, a half.
      kept = std::min(inBounds * visited, whole + (visited - whole) / 2) * blockKv *
             double(lastRow - firstRow + 1);
      if (begin >= end)
        continue;
    }
    firstKey = std::min(firstKey, begin);
    endKey = std::max(endKey, end);
    steps.all += visited;
    steps.masked += visited - whole;
    steps.longest = std::max(steps.longest, visited);
    steps.keptScores += kept;
  }
  steps.keys = double(std::max<int64_t>(endKey - firstKey, 0));
  double scale = double(blocks) / double(sampled);
  steps.all *= scale;
  steps.masked *= scale;
  steps.keptScores *= scale;
  return steps;
}

} // namespace

Steps countSteps(const AttentionSpec &spec, const ProblemShape &shape, int blockQ, int blockKv) {
  // Candidates come in the table's order: those of the same blocks one after the other.
  struct Counted {
    AttentionSpec spec;
    ProblemShape shape;
    int blockQ = 0, blockKv = 0;
    Steps steps;
  };
  thread_local Counted last;
  if (last.blockQ != blockQ || last.blockKv != blockKv || !(last.shape == shape) || !(last.spec == spec))
    last = {spec, shape, blockQ, blockKv, count(spec, shape, blockQ, blockKv)};
  return last.steps;
}

Work forwardWork(const AttentionSpec &spec, const ProblemShape &shape, const Steps &perHead, int blockQ,
                 int blockKv, int headDimQk, int headDimV, int bytes) {
  Work work;
  double heads = double(shape.batch) * double(shape.headsQ);
  double dims = headDimQk + headDimV;
  int64_t queryBlocks = (shape.lengthQ + blockQ - 1) / blockQ;
  work.blocks = queryBlocks * shape.batch * shape.headsQ;
  work.steps = perHead.all * heads;
  double mean = perHead.all / double(queryBlocks);
  work.longestBlock = mean > 0 ? perHead.longest / mean : 1;
  double scores = work.steps * blockQ * blockKv, masked = perHead.masked * heads * blockQ * blockKv;
  work.usefulShare = scores > 0 ? perHead.keptScores * heads / scores : 1;
  work.multiplyAdds = scores * dims;
  work.exponentials = scores;
  // A maximum and half a conversion of two floats; a comparison and a selection where a mask cuts.
  work.alu = (1.5 * scores + 2 * masked) / 32;
  double blocks = double(work.blocks);
  work.globalBytes = bytes * dims * (work.steps * blockKv + blocks * blockQ);
  work.uniqueBytes = bytes * double(shape.batch) * dims *
                     (double(shape.headsQ) * double(shape.lengthQ) + double(shape.headsKv) * perHead.keys);
  return work;
}

} // namespace attune::tuner
