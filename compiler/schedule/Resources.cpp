#include "compiler/schedule/Resources.h"

#include <algorithm>

#include <fmt/format.h>

namespace attune {

int portableSharedBytes(int headDimQk, int headDimV, const Schedule &tiles) {
  int qk = paddedHeadDim(headDimQk), v = paddedHeadDim(headDimV);
  int working = 2 * (tiles.blockQ * qk + tiles.stages * tiles.blockKv * (qk + v));
  int staging = 2 * tiles.blockQ * v;
  return std::max(working, staging);
}

int portableRegisters(int headDimQk, int headDimV, const Schedule &tiles, bool qInRegisters) {
  int slabs = tiles.blockQ / (16 * tiles.warps); // 16-row slabs that each warp owns
  int output = slabs * 4 * paddedHeadDim(headDimV) / 8, scores = slabs * 4 * tiles.blockKv / 8;
  int query = qInRegisters ? slabs * 4 * paddedHeadDim(headDimQk) / 16 : slabs * 4;
  // One step's K or V operands, four values for each row (maximum, offset, sum, limit), and addresses.
  return output + scores + query + 8 + slabs * 8 + 20;
}

namespace {
/// A default for head dims up to `headDimQk` and `headDimV`.
struct Default {
  int headDimQk, headDimV;
  Schedule tiles;
  bool qInRegisters;
  /// Keys a step where registers are scarcer: rows have a first key, which takes one more loop and limit, or
  /// the architecture (sm_90) keeps the base of shared memory in a register. 0: the same.
  int tightBlockKv = 0;
};
} // namespace

/// Measured with ptxas 13.0 (tests/perf/README.md, tests/ptx/gate.py --all): no spills on either target with
/// any mask or softcap, but for 4 bytes of target cuda at 96 on sm_90 with a window and a softcap together;
/// fewest issue slots per score; then most blocks an SM. Where registers allow it a warp owns two slabs of 16
/// rows, for that halves the loads of K and V.
static const Default kLargeShared[] = {
    {32, 32, {128, 96, 1, 4}, false},    {64, 64, {128, 80, 1, 4}, false, 64},
    {80, 80, {128, 64, 1, 4}, false},    {96, 96, {128, 64, 1, 4}, false, 48},
    {192, 128, {128, 128, 1, 8}, false}, {192, 192, {128, 96, 1, 8}, false},
    {256, 256, {128, 80, 1, 8}, false},
};
static const Default kSmallShared[] = {
    {32, 32, {128, 96, 1, 4}, false},    {64, 64, {128, 80, 1, 4}, false, 64},
    {80, 80, {128, 64, 1, 4}, false},    {96, 96, {128, 64, 1, 4}, false},
    {128, 128, {128, 128, 1, 8}, false}, {192, 128, {128, 64, 1, 8}, false},
    {192, 192, {128, 64, 1, 8}, false},  {256, 256, {64, 64, 1, 4}, false},
};

static Default defaultFor(int headDimQk, int headDimV, bool rowsHaveFirstKey, const Arch &arch) {
  bool large = arch.sharedPerBlock > 128 * 1024;
  const Default *table = large ? kLargeShared : kSmallShared;
  size_t count = large ? std::size(kLargeShared) : std::size(kSmallShared), i = 0;
  while (i + 1 < count && (headDimQk > table[i].headDimQk || headDimV > table[i].headDimV))
    ++i;
  Default chosen = table[i];
  if ((rowsHaveFirstKey || arch.computeCapability >= 90) && chosen.tightBlockKv)
    chosen.tiles.blockKv = chosen.tightBlockKv;
  return chosen;
}

static std::string describe(const Schedule &tiles) {
  return fmt::format("block_q {}, block_kv {}, stages {}, warps {}", tiles.blockQ, tiles.blockKv,
                     tiles.stages, tiles.warps);
}

/// Why `tiles` cannot run on `arch`; empty if it can.
static std::string refusal(int headDimQk, int headDimV, const Schedule &tiles, const Arch &arch) {
  if (tiles.blockQ % (16 * tiles.warps) != 0)
    return fmt::format("expected block_q to be a multiple of 16 x warps = {}, got {}", 16 * tiles.warps,
                       tiles.blockQ);
  if (tiles.blockKv % 16 != 0)
    return fmt::format("expected block_kv to be a multiple of 16, got {}", tiles.blockKv);
  int shared = portableSharedBytes(headDimQk, headDimV, tiles);
  if (shared > arch.sharedPerBlock)
    return fmt::format(
        "expected at most {} bytes of shared memory on {}, got {} ({} for Q, {} for {} stage(s) of K "
        "and V)",
        arch.sharedPerBlock, arch.name, shared, 2 * tiles.blockQ * paddedHeadDim(headDimQk),
        shared - 2 * tiles.blockQ * paddedHeadDim(headDimQk), tiles.stages);
  int registers = portableRegisters(headDimQk, headDimV, tiles, false);
  if (registers > 255)
    return fmt::format("expected at most 255 registers a thread, got about {} ({} of them for the output)",
                       registers, tiles.blockQ / (16 * tiles.warps) * paddedHeadDim(headDimV) / 2);
  if (tiles.warps * 32 > 1024)
    return fmt::format("expected at most 1024 threads, got {}", tiles.warps * 32);
  return "";
}

/// The legal schedule closest to `wanted`: fewest parameters changed, then the largest tile.
static std::string nearest(int headDimQk, int headDimV, const Schedule &wanted, const Arch &arch) {
  std::optional<Schedule> best;
  int bestChanges = 0, bestArea = 0;
  for (int warps : {1, 2, 4, 8})
    for (int blockQ = 16 * warps; blockQ <= 256; blockQ += 16 * warps)
      for (int blockKv = 16; blockKv <= 256; blockKv += 16)
        for (int stages = 1; stages <= 4; ++stages) {
          Schedule tiles{blockQ, blockKv, stages, warps};
          if (!refusal(headDimQk, headDimV, tiles, arch).empty())
            continue;
          int changes = (blockQ != wanted.blockQ) + (blockKv != wanted.blockKv) + (stages != wanted.stages) +
                        (warps != wanted.warps);
          // Among equally small changes take the one nearest in size, from below where possible.
          int distance = std::abs(blockQ - wanted.blockQ) + std::abs(blockKv - wanted.blockKv) +
                         16 * std::abs(stages - wanted.stages) + 16 * std::abs(warps - wanted.warps);
          if (!best || changes < bestChanges || (changes == bestChanges && distance < bestArea)) {
            best = tiles;
            bestChanges = changes;
            bestArea = distance;
          }
        }
  return best ? "; the nearest schedule that fits is " + describe(*best) : "";
}

Result<PortableSchedule> choosePortableSchedule(int headDimQk, int headDimV, bool rowsHaveFirstKey,
                                                const ScheduleRequest &request, const Arch &arch) {
  const Default base = defaultFor(headDimQk, headDimV, rowsHaveFirstKey, arch);
  bool free = !request.blockQ && !request.blockKv && !request.stages && !request.warps;
  PortableSchedule chosen{base.tiles, base.qInRegisters, 1, ""};
  Schedule &tiles = chosen.tiles;
  if (!free) {
    tiles.warps = request.warps.value_or(tiles.warps);
    tiles.blockQ = request.blockQ.value_or(tiles.blockQ);
    tiles.blockKv = request.blockKv.value_or(tiles.blockKv);
    tiles.stages = request.stages.value_or(tiles.stages);
    // What is not asked for makes room for what is.
    if (!request.blockQ && tiles.blockQ % (16 * tiles.warps) != 0)
      tiles.blockQ = std::max(16 * tiles.warps, tiles.blockQ / (16 * tiles.warps) * (16 * tiles.warps));
    if (!request.warps)
      while (tiles.warps > 1 && tiles.blockQ % (16 * tiles.warps) != 0)
        tiles.warps /= 2;
    while (!request.stages && tiles.stages > 1 && !refusal(headDimQk, headDimV, tiles, arch).empty())
      --tiles.stages;
    while (!request.blockKv && tiles.blockKv > 16 && !refusal(headDimQk, headDimV, tiles, arch).empty())
      tiles.blockKv -= 16;
    while (!request.blockQ && tiles.blockQ > 16 * tiles.warps &&
           !refusal(headDimQk, headDimV, tiles, arch).empty())
      tiles.blockQ -= 16 * tiles.warps;
    chosen.qInRegisters =
        tiles.blockQ == 16 * tiles.warps && portableRegisters(headDimQk, headDimV, tiles, true) <= 224;
  }
  if (std::string why = refusal(headDimQk, headDimV, tiles, arch); !why.empty())
    return badInput(fmt::format("the schedule {} does not fit: {}{}", describe(tiles), why,
                                nearest(headDimQk, headDimV, tiles, arch)));
  int registers = std::min(255, portableRegisters(headDimQk, headDimV, tiles, chosen.qInRegisters));
  int shared = portableSharedBytes(headDimQk, headDimV, tiles);
  chosen.minBlocksPerSm = std::max(1, blocksPerSm(arch, 32 * tiles.warps, registers, shared));
  chosen.why = free ? fmt::format("default of the portable family for head dims up to {}/{} on {}",
                                  base.headDimQk, base.headDimV, arch.name)
                    : "as the spec asks; what it leaves open fitted around it";
  return chosen;
}

} // namespace attune
