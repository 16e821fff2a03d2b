//===- Portable.cpp - the work of the portable family ---------------------===//
#include "tuner/Portable.h"

#include "compiler/schedule/portable/Portable.h"
#include "runtime/reference/Problem.h"

#include <algorithm>

namespace attune::tuner {
namespace {

using portable::Tiles;

/// Steps of a problem: blocks of keys that thread blocks visit, by the mask.
struct Steps {
  double all = 0;        ///< over the query blocks of one head
  double masked = 0;     ///< of these, those that a row's first or last key crosses
  double longest = 0;    ///< of one query block
  double keptScores = 0; ///< scores of one head that the mask keeps
  double keys = 0;       ///< that any row keeps
};

Steps countSteps(const AttentionSpec &spec, const ProblemShape &shape, int blockQ, int blockKv) {
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

/// Issue slots, fitted to the machine code of the default kernels of both targets (tests/perf/README.md,
/// "Issue slots"; TunerModelTest holds the fit to 10 %).
constexpr double slotsPerScore = 5.0, slotsPerMaskedScore = 2.0, slotsPerSoftcap = 4.0;
constexpr double slotsPerStep = 36;   ///< of a warp: waits, barriers, addresses, the maximum's reductions
constexpr double slotsPerCopy = 1.5;  ///< a 16-byte copy and its share of the addresses
constexpr double slotsPerBlock = 450; ///< of a warp: before the first step and after the last
constexpr double cudaSlots = 1.04;    ///< CUDA C++ against PTX: NVRTC schedules what LLVM does not

Work workOf(const AttentionSpec &spec, const Arch &arch, const ProblemShape &shape,
            const Candidate &candidate) {
  Tiles tiles = portable::tilesOf(candidate.schedule);
  bool queryInRegisters = portable::keepsQuery(queryOf(spec, arch), tiles);
  Steps perHead = countSteps(spec, shape, tiles.blockQ, tiles.blockKv);
  double heads = double(shape.batch) * double(shape.headsQ);
  double qk = portable::paddedHeadDim(spec.headDimQk, spec.dtype),
         v = portable::paddedHeadDim(spec.headDimV, spec.dtype);
  double blockQ = tiles.blockQ, blockKv = tiles.blockKv, warps = tiles.warps;

  Work work;
  int64_t queryBlocks = (shape.lengthQ + tiles.blockQ - 1) / tiles.blockQ;
  work.blocks = queryBlocks * shape.batch * shape.headsQ;
  work.steps = perHead.all * heads;
  work.stages = tiles.stages;
  work.warps = tiles.warps;
  double mean = perHead.all / double(queryBlocks);
  work.longestBlock = mean > 0 ? perHead.longest / mean : 1;
  double scores = work.steps * blockQ * blockKv;
  double masked = perHead.masked * heads * blockQ * blockKv;
  work.usefulShare = scores > 0 ? perHead.keptScores * heads / scores : 1;
  work.multiplyAdds = scores * (qk + v);
  work.exponentials = scores;

  // One ldmatrix.x4 reads four 8 x 8 matrices, 512 bytes; one cp.async of a warp writes as many.
  double stepLoads = warps * blockKv * (qk + v) * 2 / 512 + (queryInRegisters ? 0 : blockQ * qk * 2 / 512);
  double stepCopies = blockKv * (qk + v) * 2 / 512;
  double blockCopies = blockQ * qk * 2 / 512, blockStores = blockQ * v * 2 / 512;
  double target = candidate.target == Target::CUDA ? cudaSlots : 1;
  double perScore = slotsPerScore + (spec.softcap ? slotsPerSoftcap : 0);
  double blocks = double(work.blocks);
  work.slots =
      target *
      (scores * perScore / 32 + masked * slotsPerMaskedScore / 32 +
       work.steps * (stepLoads + slotsPerCopy * stepCopies + warps * slotsPerStep) +
       blocks * (slotsPerCopy * blockCopies + 4 * blockStores + blockQ * v / 32 + warps * slotsPerBlock));
  work.wavefronts = 4 * (work.steps * (stepLoads + stepCopies) + blocks * (blockCopies + 2 * blockStores));
  work.globalBytes = work.steps * blockKv * (qk + v) * 2 + blocks * blockQ * (qk + v) * 2;
  work.uniqueBytes = 2 * double(shape.batch) * (qk + v) *
                     (double(shape.headsQ) * double(shape.lengthQ) + double(shape.headsKv) * perHead.keys);
  return work;
}

} // namespace

const Family &portableFamily() {
  static const Family family = {portable::family, workOf};
  return family;
}

} // namespace attune::tuner
