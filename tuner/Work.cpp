//===- Work.cpp - what a kernel makes a GPU do ----------------------------===//
#include "tuner/Work.h"

#include "runtime/reference/Problem.h"

#include <algorithm>

namespace attune::tuner {

static Steps count(const AttentionSpec &spec, const ProblemShape &shape, int blockQ, int blockKv) {
  // Bounds are linear in the row, so a few hundred blocks stand for any number of them.
  constexpr int64_t mostBlocks = 256;
  int64_t blocks = (shape.lengthQ + blockQ - 1) / blockQ;
  int64_t sampled = std::min(blocks, mostBlocks);
  Steps steps;
  int64_t firstKey = shape.lengthKv, endKey = 0;
  for (int64_t i = 0; i < sampled; ++i) {
    int64_t block = sampled == blocks ? i : i * (blocks - 1) / (sampled - 1);
    int64_t firstRow = block * blockQ, lastRow = std::min(firstRow + blockQ, shape.lengthQ) - 1;
    // Both bounds grow with the row.
    reference::Interval first = reference::keptKeys(spec, firstRow, shape.lengthQ, shape.lengthKv);
    reference::Interval last = reference::keptKeys(spec, lastRow, shape.lengthQ, shape.lengthKv);
    int64_t begin = std::max<int64_t>(first.begin, 0), end = std::min(last.end, shape.lengthKv);
    if (begin >= end)
      continue;
    firstKey = std::min(firstKey, begin);
    endKey = std::max(endKey, end);
    int64_t firstBlock = begin / blockKv, endBlock = (end + blockKv - 1) / blockKv;
    int64_t wholeBegin = (std::max<int64_t>(last.begin, 0) + blockKv - 1) / blockKv;
    int64_t wholeEnd = std::max(std::min(first.end, shape.lengthKv), int64_t(0)) / blockKv;
    double visited = double(endBlock - firstBlock);
    double whole = double(std::clamp(wholeEnd - wholeBegin, int64_t(0), endBlock - firstBlock));
    steps.all += visited;
    steps.masked += visited - whole;
    steps.longest = std::max(steps.longest, visited);
    double keptFirst = double(std::max<int64_t>(first.end - first.begin, 0));
    double keptLast = double(std::max<int64_t>(last.end - last.begin, 0));
    steps.keptScores += (keptFirst + keptLast) / 2 * double(lastRow - firstRow + 1);
  }
  steps.keys = double(std::max<int64_t>(endKey - firstKey, 0));
  double scale = double(blocks) / double(sampled);
  steps.all *= scale;
  steps.masked *= scale;
  steps.keptScores *= scale;
  return steps;
}

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
