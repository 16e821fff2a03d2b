//===- Schedule.cpp - the blocks of a grid over host threads --------------===//
//
// Blocks that cannot depend on each other are taken one after the other by all host threads. Where they
// communicate, or where two of them touched what one of them wrote, one host thread runs them: each in turn
// for a while, the next ones admitted when those before them have not ended in their turn, so that blocks may
// wait for each other and a grid of any size needs memory for few. Either way the result is the same for
// every number of host threads.
//
//===----------------------------------------------------------------------===//
#include "simulator/Resident.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace attune::sim {

/// A seeded order of the numbers below n: a bijection of the next power of four, walked until it gives one of
/// them.
class Order {
public:
  Order(uint64_t n, uint64_t seed) : n(n), seed(seed) {
    while (bits < 31 && (1ull << (2 * bits)) < n)
      ++bits;
  }
  uint64_t at(uint64_t k) const {
    do {
      uint64_t mask = (1ull << bits) - 1, left = k >> bits, right = k & mask;
      for (uint64_t round = 1; round <= 4; ++round) {
        uint64_t mixed = (right + round + seed * 2 + 1) * 0x9E3779B97F4A7C15ull;
        mixed = (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9ull;
        left = std::exchange(right, (left ^ mixed >> 31) & mask);
      }
      k = left << bits | right;
    } while (k >= n);
    return k;
  }

private:
  uint64_t n, seed;
  int bits = 1;
};

/// The cluster that comes `k`th: in random mode any order is as good as another, but that each `window`
/// begins when the one before has begun, as on a device, where a block may count on those long before it.
static uint64_t inOrder(const Launch &launch, uint64_t k, uint64_t window) {
  if (launch.mode != Mode::Random)
    return k;
  uint64_t base = k / window * window;
  return base + Order(std::min(window, launch.clusters - base), launch.config->seed + base).at(k - base);
}

/// Forgets the cluster before, whose segments are then older than all of the next.
static void beginAlone(Worker &worker, Resident &resident) {
  worker.firstSegment += uint32_t(worker.segments.size());
  worker.segments.clear();
  worker.proxyFences.clear();
  worker.shadow.recycle();
  if (worker.firstSegment > 0xE0000000u) { // numbers begin again
    worker.firstSegment = 1;
    worker.shadow = GlobalShadow();
    for (auto &block : resident.blocks)
      std::memset(static_cast<void *>(block->cta.words), 0, block->cells.size() * 4 * sizeof(WordShadow));
  }
}

/// Takes clusters until there are none. A conflict between them, or a loop without an end, stops all.
static void runAlone(Launch &launch, Worker &worker) {
  constexpr uint64_t quantum = 1 << 16, rounds = 16;
  Resident resident(worker);
  auto endless = [&] {
    return std::any_of(resident.blocks.begin(), resident.blocks.end(),
                       [](const auto &block) { return block->cta.endless; });
  };
  while (!launch.stopAll.load(std::memory_order_relaxed)) {
    uint64_t number = launch.nextCluster.fetch_add(1, std::memory_order_relaxed);
    if (number >= launch.clusters)
      return;
    beginAlone(worker, resident);
    startCluster(worker, resident.cluster, launch.clusterAt(number));
    while (!stepCluster(worker, resident.cluster, rounds, quantum))
      if (launch.stopAll.load(std::memory_order_relaxed))
        return;
    bool again = endless() || (launch.owners && launch.owners->enter(number, worker.shadow));
    if (again && launch.clusters > 1)
      launch.stopAll.store(true, std::memory_order_relaxed);
  }
}

static void runTogether(Launch &launch, Worker &worker) {
  // A first turn long enough for most clusters to end in it; later ones short, for many may wait for one.
  // Which one goes on is drawn, always alike, so that each sees the others at many stages. Where the order is
  // random, first turns may be short as well, and several start together.
  bool communicates = launch.program->communicates, random = launch.mode == Mode::Random && communicates;
  constexpr uint64_t quantum = 1 << 12, rounds = 4;
  const uint64_t firstQuantum = communicates ? quantum : 1 << 16;
  constexpr size_t memoryLimit = size_t(1) << 30;
  const size_t mostResidents = communicates ? 4096 : 256;
  size_t most = std::clamp<size_t>(memoryLimit / residentBytes(launch), 2, mostResidents);
  if (launch.workspace)
    most = launch.clusters;
  std::vector<std::unique_ptr<Resident>> live, free;
  uint64_t next = 0, state = launch.config->seed;
  auto draw = [&](uint64_t below) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (state >> 33) % below;
  };
  for (;;) {
    bool ended = false;
    size_t before = live.size();
    auto visit = [&](Resident &r, uint64_t rounds, uint64_t turn) {
      bool done = stepCluster(worker, r.cluster, rounds, turn);
      for (auto &block : r.blocks)
        if (block->cta.endless)
          launch.stopAll = true;
      return done;
    };
    for (size_t turns = live.size(); turns && !live.empty() && !launch.stopAll; --turns) {
      size_t k = size_t(draw(live.size()));
      if (!visit(*live[k], rounds, quantum))
        continue;
      ended = true;
      free.push_back(std::move(live[k]));
      live.erase(live.begin() + ptrdiff_t(k));
      --launch.resident;
    }
    // Twice as many after each pass in which none ended; all that are to run at once from the start.
    size_t fresh = launch.workspace ? launch.clusters : ended ? 0 : std::max<size_t>(before, 1);
    if (random)
      fresh = size_t(draw(before + 8)) + (before == 0);
    for (; fresh && next < launch.clusters && live.size() < most && !launch.stopAll; --fresh) {
      if (free.empty())
        free.push_back(std::make_unique<Resident>(worker));
      std::unique_ptr<Resident> r = std::move(free.back());
      free.pop_back();
      ++launch.resident;
      startCluster(worker, r->cluster,
                   launch.clusterAt(inOrder(launch, next++, std::max<size_t>(most / 2, 1))));
      bool done = (!random || draw(2)) && visit(*r, random ? 1 : rounds, firstQuantum);
      if (done)
        --launch.resident;
      (done ? free : live).push_back(std::move(r));
    }
    if (launch.stopAll || (live.empty() && next == launch.clusters))
      return;
    bool full = next == launch.clusters || live.size() == most;
    if (launch.checks && full &&
        std::all_of(live.begin(), live.end(), [](const auto &r) { return r->cluster.idle(); })) {
      reportIdle(live[0]->cluster);
      for (const Cta *cta : live[0]->cluster.ctas)
        countBlock(worker, *cta);
      return;
    }
  }
}

std::vector<std::unique_ptr<Worker>> runGrid(Launch &launch, unsigned threads) {
  std::vector<std::unique_ptr<Worker>> workers;
  auto hire = [&](unsigned count) {
    workers.clear();
    if (LaunchProgress *progress = launch.config->progress)
      progress->ended = 0;
    for (unsigned t = 0; t < count; ++t) {
      workers.push_back(std::make_unique<Worker>());
      workers.back()->launch = &launch;
      workers.back()->allocationHint.assign(launch.program->code.size(), -1);
    }
  };
  bool together = launch.program->communicates || launch.workspace ||
                  (launch.checks && launch.clusters == 1) ||
                  launch.config->trace.see; // whose steps are to be seen once
  launch.interleaved = launch.clusterSize > 1;
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
    if (!launch.checks || !launch.stopAll || launch.clusters == 1)
      return workers;
    owners.restore(*launch.memory);
    launch.stopAll = false;
  }
  launch.exact = true;
  launch.interleaved |= launch.clusters > 1;
  hire(1);
  runTogether(launch, *workers[0]);
  return workers;
}

} // namespace attune::sim
