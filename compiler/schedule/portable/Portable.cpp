//===- Portable.cpp - the portable family of schedules --------------------===//
#include "compiler/schedule/portable/Portable.h"

#include <algorithm>

#include <fmt/format.h>

namespace attune::portable {

Tiles tilesOf(const Schedule &schedule) {
  return {schedule.value("block_q", 16), schedule.value("block_kv", 16), schedule.value("stages", 1),
          schedule.value("warps", 1)};
}

static Schedule scheduleOf(const Tiles &tiles) {
  return {std::string(family.name),
          {{"block_q", tiles.blockQ},
           {"block_kv", tiles.blockKv},
           {"stages", tiles.stages},
           {"warps", tiles.warps}}};
}

int paddedHeadDim(int headDim, DType dtype) {
  int k = infoOf(dtype).mmaK;
  return (headDim + k - 1) / k * k;
}

/// Head dims as they lie in shared memory, and bytes of an element.
namespace {
struct Widths {
  int qk, v, bytes;
  explicit Widths(const ScheduleQuery &query)
      : qk(paddedHeadDim(query.headDimQk, query.dtype)), v(paddedHeadDim(query.headDimV, query.dtype)),
        bytes(infoOf(query.dtype).bytes()) {}
};
} // namespace

/// Bytes of shared memory: the Q tile and the K and V rings, or the output's staging tile where that is
/// larger.
static int sharedBytes(const ScheduleQuery &query, const Tiles &tiles) {
  Widths width(query);
  int working = width.bytes * (tiles.blockQ * width.qk + tiles.stages * tiles.blockKv * (width.qk + width.v));
  return std::max(working, width.bytes * tiles.blockQ * width.v);
}

/// Registers of a thread by a model: fragments that live together, and what addresses and rows take. Where
/// ptxas is free to, it takes from 40 fewer to 80 more.
static int registersOf(const ScheduleQuery &query, const Tiles &tiles, bool queryInRegisters) {
  Widths width(query);
  int slabs = tiles.blockQ / (16 * tiles.warps); // 16-row slabs that each warp owns
  int output = slabs * 4 * width.v / 8, scores = slabs * 4 * tiles.blockKv / 8;
  int operand = queryInRegisters ? slabs * 4 * width.qk / 16 : slabs * 4;
  // One step's K or V operands, four values for each row (maximum, offset, sum, limit), and addresses; and a
  // quarter of the scores once more, as P's operands are packed while later scores still wait.
  return output + scores + operand + 8 + slabs * 8 + 28 + scores / 4;
}

/// Registers that ptxas saves where it must, by computing addresses again, against what the model counts: of
/// 174 kernels of all kinds (ptxas 13.0, both targets) the one that the model puts furthest beyond the limit
/// and that has no spills is 37 beyond it.
static constexpr int modelSlack = 40;

namespace {
/// A default for head dims up to `headDimQk` and `headDimV`.
struct Default {
  int headDimQk, headDimV;
  Tiles tiles;
  bool qInRegisters;
  /// Keys a step where registers are scarcer: rows have a first key, which takes one more loop and limit, or
  /// the architecture (sm_90) keeps the base of shared memory in a register. 0: the same.
  int tightBlockKv = 0;
};
} // namespace

/// Measured with ptxas 13.0 (tests/ptx/gate.py): no spills on either target with the causal mask and LSE, but
/// for 20 bytes of sm_89 192/192 ptx, which fewer keys a step would cost more; fewest issue slots per score;
/// then most blocks an SM. Where registers allow it a warp owns two slabs of 16 rows, for that halves the
/// loads of K and V.
static const Default kLargeShared[] = {
    {32, 32, {128, 96, 1, 4}, false},    {64, 64, {128, 80, 1, 4}, false, 64},
    {80, 80, {128, 64, 1, 4}, false},    {96, 96, {128, 64, 1, 4}, false, 48},
    {192, 128, {128, 128, 1, 8}, false}, {192, 192, {128, 96, 1, 8}, false},
    {256, 256, {128, 64, 1, 8}, false},
};
static const Default kSmallShared[] = {
    {32, 32, {128, 80, 1, 4}, false},    {64, 64, {128, 80, 1, 4}, false, 64},
    {80, 80, {128, 64, 1, 4}, false},    {96, 96, {128, 64, 1, 4}, false},
    {128, 128, {128, 128, 1, 8}, false}, {192, 128, {128, 64, 1, 8}, false},
    {192, 192, {128, 64, 1, 8}, false},  {256, 256, {64, 64, 1, 4}, false},
};

/// A default that is the fastest of those that were measured (tests/tune/data, `attune tune`) and that have
/// no spills on either target without a window, whose first key takes the registers.
static const Default kMeasuredOnHopper = {128, 128, {128, 32, 1, 4}, false};

static bool isMeasured(const ScheduleQuery &query) {
  return query.arch.computeCapability == 90 && !query.rowsHaveFirstKey && query.headDimQk > 96 &&
         query.headDimV > 96 && query.headDimQk <= kMeasuredOnHopper.headDimQk &&
         query.headDimV <= kMeasuredOnHopper.headDimV;
}

static Default defaultFor(const ScheduleQuery &query) {
  if (isMeasured(query))
    return kMeasuredOnHopper;
  bool large = query.arch.sharedPerBlock > 128 * 1024;
  const Default *table = large ? kLargeShared : kSmallShared;
  size_t count = large ? std::size(kLargeShared) : std::size(kSmallShared), i = 0;
  while (i + 1 < count && (query.headDimQk > table[i].headDimQk || query.headDimV > table[i].headDimV))
    ++i;
  Default chosen = table[i];
  if ((query.rowsHaveFirstKey || query.arch.computeCapability >= 90) && chosen.tightBlockKv)
    chosen.tiles.blockKv = chosen.tightBlockKv;
  return chosen;
}

bool keepsQuery(const ScheduleQuery &query, const Tiles &tiles) {
  const Default base = defaultFor(query);
  if (tiles == base.tiles)
    return base.qInRegisters;
  return tiles.blockQ == 16 * tiles.warps && registersOf(query, tiles, true) <= 255;
}

static bool serves(const ScheduleQuery &query) { return infoOf(query.dtype).mmaK == 16; }

static std::optional<ScheduleConflict> conflict(const Schedule &request) {
  std::optional<int> blockQ = request.get("block_q"), warps = request.get("warps");
  if (!blockQ || !warps || *blockQ % (16 * *warps) == 0)
    return std::nullopt;
  int step = 16 * *warps, nearest = std::max(step, (*blockQ + step / 2) / step * step);
  return ScheduleConflict{"block_q", fmt::format("block_q to be a multiple of 16 * warps = {}", step),
                          nearest};
}

static ScheduleCost cost(const ScheduleQuery &query, const Schedule &schedule) {
  const Tiles tiles = tilesOf(schedule);
  const Arch &arch = query.arch;
  const Widths width(query);
  ScheduleCost cost;
  cost.threads = 32 * tiles.warps;
  cost.sharedBytes = sharedBytes(query, tiles);
  auto refuse = [&](const char *limit, std::string sentence) {
    if (cost.limit.empty()) {
      cost.limit = limit;
      cost.refusal = std::move(sentence);
    }
  };
  if (tiles.blockQ % (16 * tiles.warps) != 0) {
    refuse("block_q is no multiple of 16 x warps",
           fmt::format("expected block_q to be a multiple of 16 x warps = {}, got {}", 16 * tiles.warps,
                       tiles.blockQ));
    return cost; // a warp owns no whole slabs: the rest means nothing
  }
  if (tiles.blockKv % 16 != 0)
    refuse("block_kv is no multiple of 16",
           fmt::format("expected block_kv to be a multiple of 16, got {}", tiles.blockKv));
  if (cost.sharedBytes > arch.sharedPerBlock)
    refuse("shared memory",
           fmt::format(
               "expected at most {} bytes of shared memory on {}, got {} ({} for Q, {} for {} stage(s) of "
               "K and V)",
               arch.sharedPerBlock, arch.name, cost.sharedBytes, width.bytes * tiles.blockQ * width.qk,
               cost.sharedBytes - width.bytes * tiles.blockQ * width.qk, tiles.stages));
  int least = registersOf(query, tiles, false);
  if (least > 255 + modelSlack)
    refuse("registers",
           fmt::format("expected at most 255 registers a thread, got about {} ({} of them for the output)",
                       least, tiles.blockQ / (16 * tiles.warps) * width.v / 2));
  if (cost.threads > 1024)
    refuse("threads", fmt::format("expected at most 1024 threads, got {}", cost.threads));
  cost.registers = registersOf(query, tiles, keepsQuery(query, tiles));
  if (cost.limit.empty())
    cost.blocksPerSm =
        std::max(1, blocksPerSm(arch, cost.threads, std::min(255, cost.registers), cost.sharedBytes));
  return cost;
}

static Schedule standard(const ScheduleQuery &query, const Schedule &request, std::string &why) {
  const Default base = defaultFor(query);
  Tiles tiles = base.tiles;
  why = fmt::format("default of the portable family for head dims up to {}/{} on {}, {}", base.headDimQk,
                    base.headDimV, query.arch.name,
                    isMeasured(query) ? "the fastest that an H100 has"
                                      : "by its issue slots: a guess, not measured");
  if (request.values.empty())
    return scheduleOf(tiles);
  auto fits = [&] { return cost(query, scheduleOf(tiles)).limit.empty(); };
  auto take = [&](const char *name, int &value) {
    std::optional<int> asked = request.get(name);
    value = asked.value_or(value);
    return !asked;
  };
  bool freeWarps = take("warps", tiles.warps), freeBlockQ = take("block_q", tiles.blockQ);
  bool freeBlockKv = take("block_kv", tiles.blockKv), freeStages = take("stages", tiles.stages);
  // What is not asked for makes room for what is.
  if (freeBlockQ && tiles.blockQ % (16 * tiles.warps) != 0)
    tiles.blockQ = std::max(16 * tiles.warps, tiles.blockQ / (16 * tiles.warps) * (16 * tiles.warps));
  if (freeWarps)
    while (tiles.warps > 1 && tiles.blockQ % (16 * tiles.warps) != 0)
      tiles.warps /= 2;
  while (freeStages && tiles.stages > 1 && !fits())
    --tiles.stages;
  while (freeBlockKv && tiles.blockKv > 16 && !fits())
    tiles.blockKv -= 16;
  while (freeBlockQ && tiles.blockQ > 16 * tiles.warps && !fits())
    tiles.blockQ -= 16 * tiles.warps;
  return scheduleOf(tiles);
}

static double scoresPerThread(const Schedule &schedule) {
  const Tiles tiles = tilesOf(schedule);
  return double(tiles.blockQ) * tiles.blockKv / (32 * tiles.warps);
}

const ScheduleFamily family = {
    "portable",
    "mma.sync and cp.async, 16-bit operands, from sm_80 on",
    {{"block_q",
      16,
      512,
      16,
      false,
      "",
      "query rows of a block: a multiple of 16 * warps",
      {16, 32, 48, 64, 96, 128, 192, 256},
      "query rows of a block, whole slabs of 16 for each warp; more rows reuse K and V longer, fewer waste "
      "less of "
      "short queries and of the diagonal"},
     {"block_kv",
      16,
      512,
      16,
      false,
      "",
      "keys of a step: a multiple of 16",
      {16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 256},
      "keys of a step, the matrix instruction's k of 16 at a time; more keys share a step's fixed cost, "
      "scores take "
      "block_q x block_kv / threads registers"},
     {"stages",
      1,
      8,
      1,
      false,
      "",
      "slots of the K and V rings: 1 to 8",
      {1, 2, 3, 4},
      "slots of the K and V rings: more hide the latency of copies, each takes block_kv rows of shared "
      "memory from "
      "further blocks; beyond 4 a step is longer than memory is late"},
     {"warps",
      1,
      8,
      1,
      true,
      "1, 2, 4 or 8 warps",
      "warps of a block: 1, 2, 4 or 8",
      {1, 2, 4, 8},
      "warps of a block: every warp reads all of K and V from shared memory, fewer with more rows each read "
      "less and "
      "hold more registers"}},
    /*archSpecific=*/false,
    serves,
    conflict,
    cost,
    standard,
    scoresPerThread,
};

} // namespace attune::portable
