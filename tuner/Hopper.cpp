//===- Hopper.cpp - the work of the hopper family -------------------------===//
#include "tuner/Hopper.h"

#include "compiler/schedule/hopper/Hopper.h"

namespace attune::tuner {
namespace {

using hopper::Tiles;

/// Issue slots as tests/perf/README.md has them ("Issue slots"): the consumers of this family load no
/// operands.
constexpr double slotsPerScore = 4.6, slotsPerMaskedScore = 2.0;
/// Of a warp and a step: waits, fences, the maximum's reductions; and for each product of 16 columns of Q,
/// whose operands are described anew.
constexpr double slotsPerStep = 45, slotsPerProduct = 3.2;
constexpr double slotsPerBlock = 600; ///< of a warp: before the first step and after the last
constexpr double cudaSlots = 1.04;    ///< CUDA C++ against PTX

Work workOf(const AttentionSpec &spec, const Arch &, const ProblemShape &shape, const Candidate &candidate) {
  Tiles tiles = hopper::tilesOf(candidate.schedule);
  Steps perHead = countSteps(spec, shape, tiles.blockQ, tiles.blockKv);
  double qk = hopper::paddedHeadDim(spec.headDimQk), v = hopper::paddedHeadDim(spec.headDimV);
  double blockQ = tiles.blockQ, blockKv = tiles.blockKv, groups = tiles.groups();
  Work work = forwardWork(spec, shape, perHead, tiles.blockQ, tiles.blockKv, int(qk), int(v), 2);
  work.wgmma = true;
  work.warps = 4 * tiles.groups();
  work.strands = tiles.groups() * (tiles.overlap ? 2 : 1);
  work.stages = tiles.stages;
  work.nvrtc = candidate.target == Target::CUDA;

  double perScore = slotsPerScore + perHead.scoreSlots, perMasked = slotsPerMaskedScore + perHead.maskSlots;
  double scores = work.exponentials, blocks = double(work.blocks);
  double masked = perHead.masked * double(shape.batch) * double(shape.headsQ) * blockQ * blockKv;
  double perStep = slotsPerStep + slotsPerProduct * qk / 16;
  work.slots = (work.nvrtc ? cudaSlots : 1) *
               (scores * perScore / 32 + masked * perMasked / 32 + work.steps * work.warps * perStep +
                blocks * (blockQ * v / 32 + work.warps * slotsPerBlock));
  // Every warpgroup reads K, V and its Q through wgmma; TMA writes K and V.
  double stepBytes = 2 * (groups * blockKv * (qk + v) + blockQ * qk + blockKv * (qk + v));
  work.wavefronts = (work.steps * stepBytes + blocks * 2 * blockQ * (qk + 2 * v)) / 128;
  // A CTA that goes on to its next tile has its first copies under way when it gets there.
  if (candidate.schedule.value("grid", 0) == 0) {
    work.firstBytes = 2 * (blockQ * qk + blockKv * qk);
    work.filledBytes = 2 * (blockQ * qk + tiles.stages * blockKv * (qk + v));
  }
  // Multicast asks L2 for less and delivers more slowly: 4.25 TB/s where separate copies reach 7.5.
  if (candidate.schedule.value("cluster", 1) > 1)
    work.globalBytes *= 7.5 / 4.25;
  return work;
}

} // namespace

const Family &hopperFamily() {
  static const Family family = {hopper::family, workOf};
  return family;
}

} // namespace attune::tuner
