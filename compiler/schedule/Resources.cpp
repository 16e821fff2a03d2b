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
  // One step's K or V operands, four values for each row (maximum, offset, sum, limit), and addresses; and a
  // quarter of the scores once more, as P's operands are packed while later scores still wait.
  return output + scores + query + 8 + slabs * 8 + 28 + scores / 4;
}

/// Registers that ptxas saves where it must, by computing addresses again, against what the model counts: of
/// 174 kernels of all kinds (ptxas 13.0, both targets) the one that the model puts furthest beyond the limit
/// and that has no spills is 37 beyond it.
static constexpr int modelSlack = 40;

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

namespace {
/// What forbids a schedule: `limit` names the rule, `message` gives the numbers. Both empty: nothing does.
struct Refusal {
  std::string limit, message;
  bool none() const { return limit.empty(); }
};
} // namespace

/// Why `tiles` cannot run on `arch`.
static Refusal refusal(int headDimQk, int headDimV, const Schedule &tiles, const Arch &arch) {
  if (tiles.blockQ % (16 * tiles.warps) != 0)
    return {"block_q is no multiple of 16 x warps",
            fmt::format("expected block_q to be a multiple of 16 x warps = {}, got {}", 16 * tiles.warps,
                        tiles.blockQ)};
  if (tiles.blockKv % 16 != 0)
    return {"block_kv is no multiple of 16",
            fmt::format("expected block_kv to be a multiple of 16, got {}", tiles.blockKv)};
  int shared = portableSharedBytes(headDimQk, headDimV, tiles);
  if (shared > arch.sharedPerBlock)
    return {"shared memory",
            fmt::format(
                "expected at most {} bytes of shared memory on {}, got {} ({} for Q, {} for {} stage(s) of K "
                "and V)",
                arch.sharedPerBlock, arch.name, shared, 2 * tiles.blockQ * paddedHeadDim(headDimQk),
                shared - 2 * tiles.blockQ * paddedHeadDim(headDimQk), tiles.stages)};
  int registers = portableRegisters(headDimQk, headDimV, tiles, false);
  if (registers > 255 + modelSlack)
    return {"registers",
            fmt::format("expected at most 255 registers a thread, got about {} ({} of them for the output)",
                        registers, tiles.blockQ / (16 * tiles.warps) * paddedHeadDim(headDimV) / 2)};
  if (tiles.warps * 32 > 1024)
    return {"threads", fmt::format("expected at most 1024 threads, got {}", tiles.warps * 32)};
  return {};
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
          if (!refusal(headDimQk, headDimV, tiles, arch).none())
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

static bool sameTiles(const Schedule &a, const Schedule &b) {
  return a.blockQ == b.blockQ && a.blockKv == b.blockKv && a.stages == b.stages && a.warps == b.warps;
}

PortableCost portableCost(int headDimQk, int headDimV, bool rowsHaveFirstKey, const Schedule &tiles,
                          const Arch &arch) {
  PortableCost cost;
  Refusal refused = refusal(headDimQk, headDimV, tiles, arch);
  cost.limit = std::move(refused.limit);
  cost.refusal = std::move(refused.message);
  cost.threads = 32 * tiles.warps;
  cost.sharedBytes = portableSharedBytes(headDimQk, headDimV, tiles);
  // The same four numbers give the same kernel, whether they were asked for or are the default's.
  const Default base = defaultFor(headDimQk, headDimV, rowsHaveFirstKey, arch);
  cost.qInRegisters =
      sameTiles(tiles, base.tiles)
          ? base.qInRegisters
          : tiles.blockQ == 16 * tiles.warps && portableRegisters(headDimQk, headDimV, tiles, true) <= 255;
  cost.registers = portableRegisters(headDimQk, headDimV, tiles, cost.qInRegisters);
  if (cost.limit.empty())
    cost.blocksPerSm =
        std::max(1, blocksPerSm(arch, cost.threads, std::min(255, cost.registers), cost.sharedBytes));
  return cost;
}

Result<PortableSchedule> choosePortableSchedule(int headDimQk, int headDimV, bool rowsHaveFirstKey,
                                                const ScheduleRequest &request, const Arch &arch) {
  const Default base = defaultFor(headDimQk, headDimV, rowsHaveFirstKey, arch);
  bool free = request == ScheduleRequest();
  Schedule tiles = base.tiles;
  if (!free) {
    auto fits = [&] { return refusal(headDimQk, headDimV, tiles, arch).none(); };
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
    while (!request.stages && tiles.stages > 1 && !fits())
      --tiles.stages;
    while (!request.blockKv && tiles.blockKv > 16 && !fits())
      tiles.blockKv -= 16;
    while (!request.blockQ && tiles.blockQ > 16 * tiles.warps && !fits())
      tiles.blockQ -= 16 * tiles.warps;
  }
  PortableCost cost = portableCost(headDimQk, headDimV, rowsHaveFirstKey, tiles, arch);
  if (!cost.limit.empty())
    return badInput(fmt::format("the schedule {} does not fit: {}{}", describe(tiles), cost.refusal,
                                nearest(headDimQk, headDimV, tiles, arch)));
  std::string why = free ? fmt::format("default of the portable family for head dims up to {}/{} on {}",
                                       base.headDimQk, base.headDimV, arch.name)
                         : "as the spec asks; what it leaves open fitted around it";
  return PortableSchedule{tiles, cost.qInRegisters, cost.blocksPerSm, std::move(why)};
}

} // namespace attune
