//===- Portable.cpp - the work of the portable family ---------------------===//
#include "tuner/Portable.h"

#include "compiler/schedule/portable/Portable.h"

namespace attune::tuner {
namespace {

using portable::Tiles;

/// Issue slots, fitted to the machine code of the default kernels of both targets (tests/perf/README.md,
/// "Issue slots"; TunerModelTest holds the fit to 10 %).
constexpr double slotsPerScore = 5.0, slotsPerMaskedScore = 2.0;
constexpr double slotsPerStep = 36;   ///< of a warp: waits, barriers, addresses, the maximum's reductions
constexpr double slotsPerCopy = 1.5;  ///< a 16-byte copy and its share of the addresses
constexpr double slotsPerBlock = 450; ///< of a warp: before the first step and after the last
constexpr double cudaSlots = 1.04;    ///< CUDA C++ against PTX: NVRTC schedules what LLVM does not

Work workOf(const AttentionSpec &spec, const Arch &arch, const ProblemShape &shape,
            const Candidate &candidate) {
  Tiles tiles = portable::tilesOf(candidate.schedule);
  ScheduleQuery query = queryOf(spec, arch);
  bool queryInRegisters = portable::keepsQuery(query, tiles);
  Steps perHead = countSteps(spec, shape, tiles.blockQ, tiles.blockKv);
  double qk = portable::paddedHeadDim(spec.headDimQk, spec.dtype),
         v = portable::paddedHeadDim(spec.headDimV, spec.dtype);
  double blockQ = tiles.blockQ, blockKv = tiles.blockKv, warps = tiles.warps;
  Work work = forwardWork(spec, shape, perHead, tiles.blockQ, tiles.blockKv, int(qk), int(v), 2);
  work.warps = tiles.warps;
  work.stages = tiles.stages;
  work.nvrtc = candidate.target == Target::CUDA;
  work.registers = portable::family.cost(query, candidate.schedule).registers;

  // One ldmatrix.x4 reads four 8 x 8 matrices, 512 bytes; one cp.async of a warp writes as many.
  double stepLoads = warps * blockKv * (qk + v) * 2 / 512 + (queryInRegisters ? 0 : blockQ * qk * 2 / 512);
  double stepCopies = blockKv * (qk + v) * 2 / 512;
  double blockCopies = blockQ * qk * 2 / 512, blockStores = blockQ * v * 2 / 512;
  double target = work.nvrtc ? cudaSlots : 1;
  double perScore = slotsPerScore + perHead.scoreSlots, perMasked = slotsPerMaskedScore + perHead.maskSlots;
  double scores = work.exponentials, blocks = double(work.blocks);
  double masked = perHead.masked * double(shape.batch) * double(shape.headsQ) * blockQ * blockKv;
  work.slots =
      target *
      (scores * perScore / 32 + masked * perMasked / 32 +
       work.steps * (stepLoads + slotsPerCopy * stepCopies + warps * slotsPerStep) +
       blocks * (slotsPerCopy * blockCopies + 4 * blockStores + blockQ * v / 32 + warps * slotsPerBlock));
  work.wavefronts = 4 * (work.steps * (stepLoads + stepCopies) + blocks * (blockCopies + 2 * blockStores));
  work.firstBytes = 2 * (blockQ * qk + blockKv * (tiles.stages == 1 ? qk : qk + v));
  work.filledBytes =
      2 * (blockQ * qk + (tiles.stages == 1 ? blockKv * qk : (tiles.stages - 1) * blockKv * (qk + v)));
  return work;
}

} // namespace

const Family &portableFamily() {
  static const Family family = {portable::family, workOf};
  return family;
}

} // namespace attune::tuner
