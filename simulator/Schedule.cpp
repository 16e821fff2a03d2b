//===- Schedule.cpp - the blocks of a grid over host threads ---------------------===//
//
// Blocks that cannot depend on each other are taken one after the other by all host threads. Where they
// communicate, or where two of them touched what one of them wrote, one host thread runs them: each in turn
// for a while, the next ones admitted when those before them have not ended in their turn, so that blocks may
// wait for each other and a grid of any size needs memory for few. Either way the result is the same for
// every number of host threads.
//
//===----------------------------------------------------------------------===//
#include "simulator/Exec.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace attune::sim {

namespace {

/// A block that runs, with its memory: register files, predicates, shared and local memory and their shadows.
struct Resident {
  std::vector<std::byte> registers, shared, local;
  std::vector<uint32_t> predicates;
  std::vector<uint8_t> sharedInit, localInit;
  std::vector<ShadowCell> cells;
  std::unique_ptr<WordShadow[], decltype(&std::free)> words{nullptr, &std::free};
  Cta cta;
};

} // namespace

template <class T> static T *aligned(std::vector<std::byte> &bytes, size_t size) {
  bytes.resize(size + 128);
  return reinterpret_cast<T *>((reinterpret_cast<uintptr_t>(bytes.data()) + 127) & ~uintptr_t(127));
}

static void prepare(Worker &worker, Resident &arena) {
  const Launch &launch = *worker.launch;
  const Program &program = *launch.program;
  const LaunchConfig &config = *launch.config;
  size_t fileBytes = std::max<size_t>(program.fileBytes, kSlotBytes), n = launch.warpsPerCta;
  std::byte *files = aligned<std::byte>(arena.registers, fileBytes * n);
  arena.predicates.assign(program.predicates * n, 0);
  Cta &cta = arena.cta;
  cta.sharedBytes = launch.sharedBytes;
  size_t padded = (launch.sharedBytes + 31) / 16 * 16;
  cta.shared = aligned<std::byte>(arena.shared, padded);
  arena.sharedInit.assign(padded / 8 + 16, 0);
  cta.sharedInit = arena.sharedInit.data();
  arena.cells.assign(padded / 16, ShadowCell());
  cta.cells = arena.cells.data();
  // Zero pages of the system's: what is not touched costs nothing.
  arena.words.reset(static_cast<WordShadow *>(std::calloc(padded / 4, sizeof(WordShadow))));
  if (!arena.words)
    throw std::bad_alloc();
  cta.words = arena.words.get();
  if (program.asyncProxy && !cta.async)
    cta.async = std::make_unique<AsyncProxy>(cta);
  cta.shadow = &worker.shadow;
  cta.publishedGlobal = launch.exact ? &worker.launch->published : &cta.publishedOwn;
  uint64_t localBytes = program.info.localBytes;
  if (localBytes) {
    arena.local.resize(localBytes * 32 * n);
    arena.localInit.resize(localBytes * 4 * n);
  }
  cta.warps.resize(n);
  for (size_t k = 0; k < n; ++k) {
    Warp &w = cta.warps[k];
    w.regs = files + k * fileBytes;
    w.preds = arena.predicates.data() + k * program.predicates;
    w.preds[0] = kFull;
    w.cta = &cta;
    w.worker = &worker;
    w.program = &program;
    w.index = uint32_t(k);
    w.clocks.assign(n, 0);
    if (localBytes) {
      w.local = arena.local.data() + localBytes * 32 * k;
      w.localInit = arena.localInit.data() + localBytes * 4 * k;
    }
    if (!program.tracked.empty()) {
      w.undefined.assign(fileBytes / kSlotBytes, 0);
      w.undefinedPreds.assign(program.predicates, 0);
    }
    for (const Program::Constant &c : program.constants) {
      uint64_t bits = c.bits + (c.variable >= 0 ? launch.variableAddresses[size_t(c.variable)] : 0);
      for (int l = 0; l < 32; ++l) {
        if (c.wide)
          reinterpret_cast<uint64_t *>(w.regs + c.offset)[l] = bits;
        else
          reinterpret_cast<uint32_t *>(w.regs + c.offset)[l] = uint32_t(bits);
      }
    }
    for (const Program::Special &s : program.specials) {
      std::string_view name = s.name;
      uint32_t *at = reinterpret_cast<uint32_t *>(w.regs + s.offset);
      for (uint32_t l = 0; l < 32; ++l) {
        uint32_t t = uint32_t(k) * 32 + l, v = 0;
        size_t axis = size_t(name.back() - 'x');
        if (name.substr(0, 5) == "%tid.")
          v = axis == 0   ? t % config.block[0]
              : axis == 1 ? t / config.block[0] % config.block[1]
                          : t / config.block[0] / config.block[1];
        else if (name.substr(0, 6) == "%ntid.")
          v = config.block[axis];
        else if (name.substr(0, 8) == "%nctaid.")
          v = config.grid[axis];
        else if (name == "%laneid")
          v = l;
        else if (name == "%warpid")
          v = uint32_t(k);
        else if (name == "%nwarpid")
          v = 64;
        else if (name == "%nsmid")
          v = 1;
        else if (name == "%lanemask_eq")
          v = 1u << l;
        else if (name == "%lanemask_lt")
          v = (1u << l) - 1;
        else if (name == "%lanemask_le")
          v = (2u << l) - 1;
        else if (name == "%lanemask_gt")
          v = ~((2u << l) - 1);
        else if (name == "%lanemask_ge")
          v = ~((1u << l) - 1);
        else if (name.substr(0, 12) == "%nclusterid.") // a block is a cluster of its own
          v = config.grid[axis];
        else if (name.substr(0, 16) == "%cluster_nctaid." || name == "%cluster_nctarank")
          v = 1;
        else if (name == "%reserved_smem_offset_end" || name == "%reserved_smem_offset_cap")
          v = kSharedBase;
        else if (name == "%total_smem_size" || name == "%aggr_smem_size")
          v = launch.sharedBytes;
        else if (name == "%dynamic_smem_size")
          v = config.dynamicShared;
        at[l] = v;
      }
    }
  }
}

/// Forgets the block before, whose segments are then older than all of the next.
static void beginAlone(Worker &worker, Resident &resident) {
  worker.firstSegment += uint32_t(worker.segments.size());
  worker.segments.clear();
  worker.shadow.recycle();
  if (worker.firstSegment > 0xE0000000u) { // numbers begin again
    worker.firstSegment = 1;
    worker.shadow = GlobalShadow();
    std::memset(static_cast<void *>(resident.cta.words), 0,
                (resident.cta.sharedBytes + 31) / 16 * 4 * sizeof(WordShadow));
  }
}

/// Takes blocks until there are none. A conflict between blocks, or a loop without an end, stops all.
static void runAlone(Launch &launch, Worker &worker) {
  constexpr uint64_t quantum = 1 << 16, rounds = 16;
  Resident resident;
  prepare(worker, resident);
  while (!launch.stopAll.load(std::memory_order_relaxed)) {
    uint64_t number = launch.nextCta.fetch_add(1, std::memory_order_relaxed);
    if (number >= launch.blocks)
      return;
    beginAlone(worker, resident);
    startBlock(worker, resident.cta, number);
    while (!stepBlock(worker, resident.cta, rounds, quantum))
      if (launch.stopAll.load(std::memory_order_relaxed))
        return;
    bool again = resident.cta.endless || (launch.owners && launch.owners->enter(number, worker.shadow));
    if (again && launch.blocks > 1)
      launch.stopAll.store(true, std::memory_order_relaxed);
  }
}

static void runTogether(Launch &launch, Worker &worker) {
  // A first turn long enough for most blocks to end in it; later ones short, for many may wait for one.
  // Which one goes on is drawn, always alike, so that each sees the others at many stages.
  bool communicates = launch.program->communicates;
  constexpr uint64_t quantum = 1 << 12, rounds = 4;
  const uint64_t firstQuantum = communicates ? quantum : 1 << 16;
  constexpr size_t memoryLimit = size_t(1) << 30;
  const size_t mostResidents = communicates ? 4096 : 256;
  size_t perBlock = size_t(launch.program->fileBytes) * launch.warpsPerCta + size_t(launch.sharedBytes) * 8 +
                    size_t(launch.program->info.localBytes) * 32 * launch.warpsPerCta + 65536;
  size_t most = std::clamp<size_t>(memoryLimit / perBlock, 2, mostResidents);
  std::vector<std::unique_ptr<Resident>> live, free;
  uint64_t next = 0, draw = launch.config->seed;
  for (;;) {
    bool ended = false;
    size_t before = live.size();
    auto visit = [&](Resident &r, uint64_t turn) {
      bool done = stepBlock(worker, r.cta, rounds, turn);
      if (r.cta.endless)
        launch.stopAll = true;
      return done;
    };
    for (size_t turns = live.size(); turns && !live.empty() && !launch.stopAll; --turns) {
      draw = draw * 6364136223846793005ull + 1442695040888963407ull;
      size_t k = size_t((draw >> 33) % live.size());
      if (!visit(*live[k], quantum))
        continue;
      ended = true;
      free.push_back(std::move(live[k]));
      live.erase(live.begin() + ptrdiff_t(k));
      --launch.resident;
    }
    // Twice as many after each pass in which none ended.
    size_t fresh = ended ? 0 : std::max<size_t>(before, 1);
    for (; fresh && next < launch.blocks && live.size() < most && !launch.stopAll; --fresh) {
      if (free.empty()) {
        free.push_back(std::make_unique<Resident>());
        prepare(worker, *free.back());
      }
      std::unique_ptr<Resident> r = std::move(free.back());
      free.pop_back();
      ++launch.resident;
      startBlock(worker, r->cta, next++);
      bool done = visit(*r, firstQuantum);
      if (done)
        --launch.resident;
      (done ? free : live).push_back(std::move(r));
    }
    if (launch.stopAll || (live.empty() && next == launch.blocks))
      return;
    bool full = next == launch.blocks || live.size() == most;
    if (launch.checks && full &&
        std::all_of(live.begin(), live.end(), [](const auto &r) { return r->cta.idle(); })) {
      reportIdle(live[0]->cta);
      countBlock(worker, live[0]->cta);
      return;
    }
  }
}

std::vector<std::unique_ptr<Worker>> runGrid(Launch &launch, unsigned threads) {
  std::vector<std::unique_ptr<Worker>> workers;
  auto hire = [&](unsigned count) {
    workers.clear();
    for (unsigned t = 0; t < count; ++t) {
      workers.push_back(std::make_unique<Worker>());
      workers.back()->launch = &launch;
      workers.back()->allocationHint.assign(launch.program->code.size(), -1);
    }
  };
  bool together = launch.program->communicates || (launch.checks && launch.blocks == 1) ||
                  launch.config->trace.see; // whose steps are to be seen once
  if (!together) {
    Owners owners;
    launch.owners = launch.checks ? &owners : nullptr;
    hire(threads);
    std::vector<std::thread> pool;
    for (unsigned t = 1; t < threads; ++t)
      pool.emplace_back([&, t] { runAlone(launch, *workers[t]); });
    runAlone(launch, *workers[0]);
    for (std::thread &t : pool)
      t.join();
    launch.owners = nullptr;
    if (!launch.checks || !launch.stopAll || launch.blocks == 1)
      return workers;
    owners.restore(*launch.memory);
    launch.stopAll = false;
  }
  launch.exact = true;
  hire(1);
  runTogether(launch, *workers[0]);
  return workers;
}

} // namespace attune::sim
