//===- Hopper.cpp - the family of schedules for sm_90a --------------------===//
#include "compiler/schedule/hopper/Hopper.h"

#include <algorithm>

#include <fmt/format.h>

namespace attune::hopper {

Tiles tilesOf(const Schedule &schedule) {
  return {schedule.value("block_q", rowsOfGroup), schedule.value("block_kv", 16), schedule.value("stages", 2),
          schedule.value("overlap", 1) != 0};
}

static Schedule scheduleOf(const Tiles &tiles) {
  return {std::string(family.name),
          {{"block_q", tiles.blockQ},
           {"block_kv", tiles.blockKv},
           {"stages", tiles.stages},
           {"overlap", tiles.overlap ? 1 : 0}}};
}

int paddedHeadDim(int headDim) { return headDim <= 16 ? 16 : (headDim + 31) / 32 * 32; }

Roles rolesOf(const Tiles &tiles) {
  // 65,536 registers: a launch gives every thread the same, whole warpgroups then move them (setmaxnreg).
  switch (tiles.groups()) {
  case 1:
    return {4, 56, 240, 240};
  case 2:
    return {4, 24, 240, 240};
  case 3:
    return {4, 32, 160, 160};
  default:
    return {1, 0, 0, 120};
  }
}

/// Barriers: full and empty of each slot.
static int barrierBytes(const Tiles &tiles) { return 16 * (tiles.groups() + 2 * tiles.stages); }

/// Rings begin at multiples of 1,024 bytes.
static int aligned(int bytes) { return (bytes + 1023) / 1024 * 1024; }

static int sharedBytes(const ScheduleQuery &query, const Tiles &tiles) {
  int qk = paddedHeadDim(query.headDimQk), v = paddedHeadDim(query.headDimV),
      bytes = infoOf(query.dtype).bytes();
  int rings = aligned(aligned(bytes * tiles.blockQ * qk) + bytes * tiles.stages * tiles.blockKv * qk) +
              bytes * tiles.stages * tiles.blockKv * v;
  return (rings + 127) / 128 * 128 + barrierBytes(tiles);
}

/// Registers of a consumer's thread by a model: output, scores and P live together, with the state of two
/// rows, and addresses.
static int registersOf(const ScheduleQuery &query, const Tiles &tiles) {
  int output = paddedHeadDim(query.headDimV) / 2, scores = tiles.blockKv / 2, p = tiles.blockKv / 4;
  return output + scores + (tiles.overlap ? p : p / 2) + 26;
}

namespace {
/// A default for head dims up to `headDimQk` and `headDimV`, with the reason.
struct Default {
  int headDimQk, headDimV;
  Tiles tiles;
  const char *why;
};
} // namespace

/// Shares of the tensor cores' peak are those of loops on an H100 with all data at hand
/// (tests/perf/README.md).
static const Default kDefaults[] = {
    {64,
     64,
     {192, 128, 2, true},
     "0.675 of the peak; four groups of 80 keys are as fast and have no register to spare"},
    {96, 96, {192, 96, 2, true}, "three groups, the widest step that their 160 registers hold"},
    {128, 128, {192, 80, 2, true}, "0.998 of the peak, where 128 x 128 reaches 0.92"},
    {192, 128, {128, 128, 2, true}, "two groups: the rings of three do not fit beside Q"},
    {192, 192, {128, 96, 2, true}, "two groups, what shared memory holds"},
    {256, 256, {128, 80, 2, true}, "1.0 of the peak, and all of shared memory"},
};

static const Default &defaultFor(const ScheduleQuery &query) {
  size_t i = 0;
  while (i + 1 < std::size(kDefaults) &&
         (query.headDimQk > kDefaults[i].headDimQk || query.headDimV > kDefaults[i].headDimV))
    ++i;
  return kDefaults[i];
}

static bool serves(const ScheduleQuery &query) {
  // O goes out through Q's place in shared memory, so it must not be wider.
  return query.arch.computeCapability == 90 && infoOf(query.dtype).mmaK == 16 &&
         paddedHeadDim(query.headDimV) <= paddedHeadDim(query.headDimQk);
}

static std::optional<ScheduleConflict> conflict(const Schedule &) { return std::nullopt; }

static ScheduleCost cost(const ScheduleQuery &query, const Schedule &schedule) {
  const Tiles tiles = tilesOf(schedule);
  const Arch &arch = query.arch;
  const Roles roles = rolesOf(tiles);
  ScheduleCost cost;
  cost.threads = 32 * (roles.producerWarps + 4 * tiles.groups());
  cost.sharedBytes = sharedBytes(query, tiles);
  cost.registers = registersOf(query, tiles);
  cost.blocksPerSm = 1;
  auto refuse = [&](const char *limit, std::string sentence) {
    if (cost.limit.empty()) {
      cost.limit = limit;
      cost.refusal = std::move(sentence);
    }
  };
  if (cost.sharedBytes > arch.sharedPerBlock)
    refuse("shared memory", fmt::format("expected at most {} bytes of shared memory on {}, got {}",
                                        arch.sharedPerBlock, arch.name, cost.sharedBytes));
  if (cost.registers > roles.limit)
    refuse("registers",
           fmt::format("expected at most {} registers a thread of {} consumer warpgroup(s), got about {}",
                       roles.limit, tiles.groups(), cost.registers));
  return cost;
}

static Schedule standard(const ScheduleQuery &query, const Schedule &request, std::string &why) {
  const Default &base = defaultFor(query);
  Tiles tiles = base.tiles;
  why = fmt::format("default of the hopper family for head dims up to {}/{}: {}", base.headDimQk,
                    base.headDimV, base.why);
  if (request.values.empty())
    return scheduleOf(tiles);
  auto fits = [&] { return cost(query, scheduleOf(tiles)).limit.empty(); };
  auto take = [&](const char *name, int &value) {
    std::optional<int> asked = request.get(name);
    value = asked.value_or(value);
    return !asked;
  };
  int overlap = tiles.overlap;
  bool freeBlockQ = take("block_q", tiles.blockQ), freeBlockKv = take("block_kv", tiles.blockKv);
  bool freeStages = take("stages", tiles.stages), freeOverlap = take("overlap", overlap);
  tiles.overlap = overlap != 0;
  // What is not asked for makes room for what is.
  while (freeStages && tiles.stages > 1 && !fits())
    --tiles.stages;
  while (freeBlockKv && tiles.blockKv > 16 && !fits())
    tiles.blockKv -= 16;
  while (freeBlockQ && tiles.blockQ > rowsOfGroup && !fits())
    tiles.blockQ -= rowsOfGroup;
  if (freeOverlap && tiles.overlap && !fits())
    tiles.overlap = false;
  return scheduleOf(tiles);
}

static double scoresPerThread(const Schedule &schedule) { return tilesOf(schedule).blockKv / 2.0; }

const ScheduleFamily family = {
    "hopper",
    "wgmma and TMA, warps with roles, 16-bit operands, on sm_90a",
    {{"block_q",
      64,
      256,
      64,
      false,
      "",
      "query rows of a block: 64, 128, 192 or 256, a warpgroup for each 64",
      {64, 128, 192, 256},
      "query rows of a block, 64 a warpgroup; more of them share K and V, and each has fewer registers"},
     {"block_kv",
      16,
      256,
      16,
      false,
      "",
      "keys of a step: a multiple of 16",
      {32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 256},
      "keys of a step, wgmma's n for the scores and k for the output; more keys share a step's fixed cost "
      "and take "
      "registers and shared memory"},
     {"stages",
      1,
      8,
      1,
      false,
      "",
      "slots of the K and V rings: 1 to 8",
      {1, 2, 3, 4},
      "slots of the K and V rings: two keep the tensor cores busy, more ride out late copies"},
     {"overlap",
      0,
      1,
      1,
      false,
      "0 or 1",
      "whether the next scores are computed while the softmax runs: 0 or 1",
      {0, 1},
      "the next scores are computed while this block's softmax runs; it takes registers for P beside them"}},
    /*archSpecific=*/true,
    serves,
    conflict,
    cost,
    standard,
    scoresPerThread,
};

} // namespace attune::hopper
