//===- Portable.cpp - the space of the portable family --------------------===//
#include "tuner/Portable.h"

#include "compiler/schedule/Resources.h"
#include "runtime/reference/Problem.h"

#include <algorithm>

namespace attune::tuner {
namespace {

template <std::optional<int> ScheduleRequest::*field> void setField(Candidate &candidate, int value) {
  candidate.schedule.*field = value;
}
template <std::optional<int> ScheduleRequest::*field>
std::optional<int> getField(const Candidate &candidate) {
  return candidate.schedule.*field;
}

Schedule tilesOf(const Candidate &candidate) {
  const ScheduleRequest &schedule = candidate.schedule;
  return {schedule.blockQ.value_or(16), schedule.blockKv.value_or(16), schedule.stages.value_or(1),
          schedule.warps.value_or(1)};
}

bool rowsHaveFirstKey(const AttentionSpec &spec) {
  return std::any_of(spec.mask.begin(), spec.mask.end(),
                     [](const MaskTerm &term) { return term.left.has_value(); });
}

Cost costOf(const AttentionSpec &spec, const Arch &arch, const Candidate &candidate) {
  PortableCost cost =
      portableCost(spec.headDimQk, spec.headDimV, rowsHaveFirstKey(spec), tilesOf(candidate), arch);
  return {cost.threads, cost.sharedBytes, cost.registers, cost.blocksPerSm, cost.limit, cost.refusal};
}

Candidate standardOf(const AttentionSpec &spec, const Arch &arch, Target target) {
  Result<PortableSchedule> chosen =
      choosePortableSchedule(spec.headDimQk, spec.headDimV, rowsHaveFirstKey(spec), spec.schedule, arch);
  Candidate candidate{spec.schedule, target};
  if (chosen) {
    const Schedule &tiles = chosen->tiles;
    candidate.schedule = {tiles.blockQ, tiles.blockKv, tiles.stages, tiles.warps};
  }
  return candidate;
}

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
  Schedule tiles = tilesOf(candidate);
  PortableCost cost = portableCost(spec.headDimQk, spec.headDimV, rowsHaveFirstKey(spec), tiles, arch);
  Steps perHead = countSteps(spec, shape, tiles.blockQ, tiles.blockKv);
  double heads = double(shape.batch) * double(shape.headsQ);
  double qk = paddedHeadDim(spec.headDimQk), v = paddedHeadDim(spec.headDimV);
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
  double stepLoads = warps * blockKv * (qk + v) * 2 / 512 + (cost.qInRegisters ? 0 : blockQ * qk * 2 / 512);
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
  static const Family family = {
      "portable",
      {{"block_q",
        {16, 32, 48, 64, 96, 128, 192, 256},
        {},
        "query rows of a thread block, whole slabs of 16 for each warp; more rows reuse K and V longer, "
        "fewer "
        "waste less of short queries and of the diagonal",
        setField<&ScheduleRequest::blockQ>,
        getField<&ScheduleRequest::blockQ>},
       {"block_kv",
        {16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 256},
        {},
        "keys of a step, the matrix instruction's k of 16 at a time; more keys share a step's fixed cost, "
        "scores take block_q x block_kv / threads registers",
        setField<&ScheduleRequest::blockKv>,
        getField<&ScheduleRequest::blockKv>},
       {"stages",
        {1, 2, 3, 4},
        {},
        "slots of the K and V rings: more hide the latency of copies, each takes block_kv rows of shared "
        "memory "
        "from further blocks; beyond 4 a step is longer than memory is late",
        setField<&ScheduleRequest::stages>,
        getField<&ScheduleRequest::stages>},
       {"warps",
        {1, 2, 4, 8},
        {},
        "warps of a thread block: every warp reads all of K and V from shared memory, fewer with more rows "
        "each "
        "read less and hold more registers",
        setField<&ScheduleRequest::warps>,
        getField<&ScheduleRequest::warps>},
       {"target",
        {int(Target::PTX), int(Target::CUDA)},
        {"ptx", "cuda"},
        "who orders the instructions: LLVM prints PTX, or NVRTC compiles CUDA C++",
        [](Candidate &candidate, int value) { candidate.target = Target(value); },
        [](const Candidate &candidate) { return std::optional<int>(int(candidate.target)); }}},
      [](const AttentionSpec &, const Arch &) { return true; },
      costOf,
      workOf,
      standardOf,
  };
  return family;
}

} // namespace attune::tuner
