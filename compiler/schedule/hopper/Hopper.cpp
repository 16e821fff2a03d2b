//===- Hopper.cpp - the family of schedules for sm_90a --------------------===//
#include "compiler/schedule/hopper/Hopper.h"

#include <algorithm>

#include <fmt/format.h>

namespace attune::hopper {

Tiles tilesOf(const Schedule &schedule) {
  Tiles tiles{schedule.value("block_q", rowsOfGroup), schedule.value("block_kv", 16),
              schedule.value("stages", 2)};
  tiles.overlap = schedule.value("overlap", 1) != 0;
  tiles.grid = Grid(schedule.value("grid", 0));
  tiles.qSlots = schedule.value("q_slots", 1);
  tiles.tmaStore = schedule.value("tma_store", 0) != 0;
  tiles.turns = Turns(schedule.value("turns", 0));
  tiles.blocksPerSm = schedule.value("blocks_per_sm", 1);
  tiles.registers = schedule.value("registers", 0);
  return tiles;
}

static Schedule scheduleOf(const Tiles &tiles) {
  return {std::string(family.name),
          {{"block_q", tiles.blockQ},
           {"block_kv", tiles.blockKv},
           {"stages", tiles.stages},
           {"overlap", tiles.overlap ? 1 : 0},
           {"grid", int(tiles.grid)},
           {"q_slots", tiles.qSlots},
           {"tma_store", tiles.tmaStore ? 1 : 0},
           {"turns", int(tiles.turns)},
           {"blocks_per_sm", tiles.blocksPerSm},
           {"registers", tiles.registers}}};
}

int paddedHeadDim(int headDim) { return headDim <= 16 ? 16 : (headDim + 31) / 32 * 32; }

/// Registers of an SM, and the fewest that a thread can be left with.
static constexpr int kRegisters = 65536, kFewest = 24;

Roles rolesOf(const Tiles &tiles) {
  // A launch gives every thread of a block the same; whole warpgroups then move them (setmaxnreg).
  int groups = tiles.groups(), ofBlock = kRegisters / tiles.blocksPerSm;
  auto atLaunch = [&](int threads) { return std::min(ofBlock / threads / 8 * 8, 248); };
  if (groups == 4) {
    // Four warpgroups and one warp: a producer's warpgroup would leave 102 registers to each thread.
    int all = atLaunch(32 * (1 + 4 * groups));
    return {1, 0, 0, all};
  }
  int all = atLaunch(128 * (1 + groups)), pool = all * (1 + groups);
  int consumer = tiles.registers ? tiles.registers : std::min((pool - kFewest) / groups / 8 * 8, 240);
  // The producer needs few; it keeps what the consumers cannot use.
  int producer = std::clamp((pool - groups * consumer) / 8 * 8, 0, 56);
  return {4, producer, consumer, consumer};
}

/// Barriers: full and empty of each slot; and the numbers of drawn tiles with a barrier each.
static int barrierBytes(const Tiles &tiles) {
  return 16 * (tiles.groups() * tiles.qSlots + 2 * tiles.stages) +
         (tiles.grid == Grid::Dynamic ? 12 * wordsOfRounds : 0);
}

/// Rings begin at multiples of 1,024 bytes.
static int aligned(int bytes) { return (bytes + 1023) / 1024 * 1024; }

static int sharedBytes(const ScheduleQuery &query, const Tiles &tiles) {
  int qk = paddedHeadDim(query.headDimQk), v = paddedHeadDim(query.headDimV),
      bytes = infoOf(query.dtype).bytes();
  int rings =
      aligned(aligned(bytes * tiles.qSlots * tiles.blockQ * qk) + bytes * tiles.stages * tiles.blockKv * qk) +
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
/// (tests/perf/README.md); what else is said comes from the simulator's virtual clock. A third slot of the
/// rings rides out the copies, for the slot that is refilled is free only when the slowest group is done with
/// it; blocks that go through several tiles load the next one's first keys beside the end of this one.
static const Default kDefaults[] = {
    {64,
     64,
     {192, 128, 3, true, Grid::Static, 2},
     "0.675 of the peak; four groups of 80 keys are as fast and have no register to spare"},
    {96, 96, {192, 96, 3, true, Grid::Static}, "three groups, the widest step that their 160 registers hold"},
    {128, 128, {192, 80, 3, true, Grid::Static}, "0.998 of the peak, where 128 x 128 reaches 0.92"},
    {192,
     128,
     {128, 80, 3, true, Grid::Static},
     "two groups: the rings of three do not fit beside Q; three slots of 80 keys win over two of 128"},
    {192, 192, {128, 64, 3, true, Grid::Static}, "two groups; three slots of 64 keys win over two of 96"},
    {256,
     256,
     {128, 80, 2, false, Grid::OneTile, 1, true},
     "1.0 of the peak, and all of shared memory; without overlap a group gives its slot of K back sooner, "
     "and "
     "with one tile a block nothing spills"},
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
  cost.blocksPerSm = tiles.blocksPerSm;
  auto refuse = [&](const char *limit, std::string sentence) {
    if (cost.limit.empty()) {
      cost.limit = limit;
      cost.refusal = std::move(sentence);
    }
  };
  if (tiles.qSlots > 1 && tiles.grid == Grid::OneTile)
    refuse("one tile", "expected q_slots 1 where a block computes one tile (grid 0)");
  if (tiles.turns != Turns::None && tiles.groups() == 1)
    refuse("turns", "expected turns 0 with one consumer warpgroup, which has nobody to take turns with");
  if (tiles.registers && roles.producerWarps == 1)
    refuse("registers", "expected registers 0 with four consumer warpgroups, which move none");
  if (roles.producerWarps == 4 && roles.producerRegisters < kFewest)
    refuse("registers", fmt::format("expected at least {} registers to be left to the producer, got {}",
                                    kFewest, roles.producerRegisters));
  int sharedLimit = arch.sharedPerBlock;
  if (tiles.blocksPerSm > 1)
    sharedLimit = std::min(sharedLimit, arch.sharedPerSm / tiles.blocksPerSm - arch.sharedReservedPerBlock);
  if (cost.sharedBytes > sharedLimit)
    refuse("shared memory", fmt::format("expected at most {} bytes of shared memory on {}, got {}",
                                        sharedLimit, arch.name, cost.sharedBytes));
  if (cost.registers > roles.limit)
    refuse("registers",
           fmt::format("expected at most {} registers a thread of {} consumer warpgroup(s), got about {}",
                       roles.limit, tiles.groups(), cost.registers));
  return cost;
}

static Schedule standard(const ScheduleQuery &query, const Schedule &request, std::string &why) {
  const Default &base = defaultFor(query);
  why = fmt::format("default of the hopper family for head dims up to {}/{}: {}", base.headDimQk,
                    base.headDimV, base.why);
  Schedule schedule = scheduleOf(base.tiles);
  for (const auto &[name, value] : request.values)
    schedule.set(name, value);
  // What is not asked for makes room for what is, that which costs least speed first.
  auto fits = [&] { return cost(query, schedule).limit.empty(); };
  auto shrink = [&](std::string_view name, int least, int step) {
    while (!request.get(name) && schedule.value(name) > least && !fits())
      schedule.set(name, schedule.value(name) - step);
  };
  if (!fits()) {
    shrink("q_slots", 1, 1);
    shrink("turns", 0, 1);
    shrink("stages", 1, 1);
    shrink("block_kv", 16, 16);
    shrink("block_q", rowsOfGroup, rowsOfGroup);
    shrink("overlap", 0, 1);
  }
  return schedule;
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
      "slots of the K and V rings: more ride out late copies, and take room from the steps"},
     {"overlap",
      0,
      1,
      1,
      false,
      "0 or 1",
      "whether the next scores are computed while the softmax runs: 0 or 1",
      {0, 1},
      "the next scores are computed while this block's softmax runs; it takes registers for P beside them"},
     {"grid",
      0,
      2,
      1,
      false,
      "0, 1 or 2",
      "tiles of a block: 0 one, 1 every so manieth of all, 2 those that it draws",
      {0, 1, 2},
      "0: the hardware hands out blocks, each with a start and an end of its own; 1: a tile's end runs "
      "beside "
      "the next one's loads; 2: the same, and whoever is done first goes on first"},
     {"q_slots",
      1,
      2,
      1,
      false,
      "1 or 2",
      "tiles of queries in shared memory at once: 1 or 2",
      {1, 2},
      "2: the next tile's queries come while this one is computed; they take its bytes"},
     {"tma_store",
      0,
      1,
      1,
      false,
      "0 or 1",
      "whether O goes out by stmatrix and TMA: 0 or 1",
      {0, 1},
      "1: one thread of a warp stores its rows; 0: all threads do, 16 bytes at a time"},
     {"turns",
      0,
      2,
      1,
      false,
      "0, 1 or 2",
      "what consumer warpgroups do in turn: 0 nothing, 1 the softmax, 2 issuing products",
      {0, 1, 2},
      "1 (as cuDNN) and 2 (as FlashAttention-3) let one's softmax run beside another's products; loops on an "
      "H100 were faster without"},
     {"blocks_per_sm",
      1,
      2,
      1,
      false,
      "1 or 2",
      "blocks that run on an SM at once: 1 or 2",
      {1, 2},
      "2: one's start and end run beside the other's loop; each has half of the registers"},
     {"registers",
      0,
      240,
      8,
      false,
      "0, or a multiple of 8 up to 240",
      "registers of a consumer's thread: a multiple of 8; 0: what the producer can spare",
      {0},
      "the producer keeps the rest; it needs 24"}},
    /*archSpecific=*/true,
    serves,
    conflict,
    cost,
    standard,
    scoresPerThread,
};

} // namespace attune::hopper
