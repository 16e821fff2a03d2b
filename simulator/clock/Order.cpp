//===- Order.cpp - the order in which an assembler puts instructions ------===//
//
// Between two instructions that nothing moves across, ptxas orders by latency. A list scheduler does so here,
// as for one warp alone: the longest way to the region's end first, among the next instructions of PTX's
// order (a wider choice would hold more values at once than there are registers).
//
// ptxas moves wgmma.wait_group up over arithmetic that does not need it, as far as the last shuffle or fence
// (seen in its code of attention's loops): a wait stands there here, too.
//
//===----------------------------------------------------------------------===//
#include "simulator/clock/Machine.h"

#include <algorithm>

namespace attune::sim {

constexpr size_t kWindow = 64; ///< instructions from which the next is chosen

namespace {

/// What must come before what in a piece of a region.
struct Graph {
  struct Edge {
    uint32_t to;
    float latency;
  };
  std::vector<std::vector<Edge>> next;
  std::vector<uint32_t> before; ///< how many
  std::vector<float> height;    ///< clocks to the end

  Graph(const Machine &machine, const std::vector<uint32_t> &pcs)
      : next(pcs.size()), before(pcs.size()), height(pcs.size()) {
    std::unordered_map<uint32_t, uint32_t> writer;
    std::unordered_map<uint32_t, std::vector<uint32_t>> readers;
    std::vector<uint32_t> loads;
    uint32_t store = kFull;
    auto edge = [&](uint32_t from, uint32_t to, float latency) {
      if (from == to)
        return;
      next[from].push_back({to, latency});
      ++before[to];
    };
    for (uint32_t k = 0; k < pcs.size(); ++k) {
      const Step &s = machine.steps[pcs[k]];
      for (uint32_t u = 0; u < s.uses; ++u) {
        uint32_t r = machine.registers[s.firstUse + u];
        if (auto w = writer.find(r); w != writer.end())
          edge(w->second, k, machine.steps[pcs[w->second]].latency);
        readers[r].push_back(k);
      }
      for (uint32_t d = 0; d < s.defs; ++d) {
        uint32_t r = machine.registers[s.firstDef + d];
        if (auto w = writer.find(r); w != writer.end())
          edge(w->second, k, 0);
        if (auto all = readers.find(r); all != readers.end()) {
          for (uint32_t reader : all->second)
            edge(reader, k, 0);
          all->second.clear();
        }
        writer[r] = k;
      }
      if (s.reads || s.writes)
        if (store != kFull)
          edge(store, k, 0);
      if (s.writes) {
        for (uint32_t load : loads)
          edge(load, k, 0);
        loads.clear();
        store = k;
      } else if (s.reads) {
        loads.push_back(k);
      }
    }
    for (size_t k = pcs.size(); k-- > 0;) {
      height[k] = machine.steps[pcs[k]].latency;
      for (const Edge &e : next[k])
        height[k] = std::max(height[k], e.latency + height[e.to]);
    }
  }
};

/// `pcs` in the order of a list scheduler.
void schedule(const Machine &machine, std::vector<uint32_t> &pcs) {
  size_t n = pcs.size();
  if (n < 3)
    return;
  Graph graph(machine, pcs);
  std::vector<float> ready(n, 0);
  std::vector<bool> done(n, false);
  std::array<float, kPipes> free{};
  std::vector<uint32_t> result;
  float now = 0;
  for (size_t oldest = 0; result.size() < n;) {
    while (done[oldest])
      ++oldest;
    uint32_t best = kFull;
    float bestAt = 0;
    for (size_t k = oldest, seen = 0; k < n && seen < kWindow; ++k) {
      if (done[k])
        continue;
      ++seen;
      if (graph.before[k])
        continue;
      const Step &s = machine.steps[pcs[k]];
      float at = std::max(now, ready[k]);
      if (s.slots && s.pipe != Pipe::None)
        at = std::max(at, free[size_t(s.pipe)]);
      if (best == kFull || at < bestAt || (at == bestAt && graph.height[k] > graph.height[best])) {
        best = uint32_t(k);
        bestAt = at;
      }
    }
    const Step &s = machine.steps[pcs[best]];
    done[best] = true;
    result.push_back(pcs[best]);
    if (s.slots) {
      free[size_t(s.pipe)] = bestAt + s.busy;
      now = bestAt + s.slots;
    }
    for (const Graph::Edge &e : graph.next[best]) {
      --graph.before[e.to];
      ready[e.to] = std::max(ready[e.to], (s.slots ? bestAt : std::max(ready[best], bestAt)) + e.latency);
    }
  }
  pcs = std::move(result);
}

} // namespace

void Machine::cutRegions() {
  std::vector<bool> begins(steps.size() + 1, false);
  for (uint32_t pc = 0; pc < steps.size(); ++pc) {
    if (steps[pc].act == Act::Branch && program.code[pc].fn == execBranch)
      begins[program.code[pc].target] = true;
    if (steps[pc].anchor) {
      begins[pc + 1] = true;
      if (steps[pc].act != Act::MatrixWait)
        begins[pc] = true;
    }
  }
  regionOf.resize(steps.size());
  dynamicsBefore.resize(steps.size());
  for (uint32_t pc = 0; pc < steps.size();) {
    Region region;
    region.begin = pc;
    do {
      regionOf[pc] = uint32_t(regions.size());
      dynamicsBefore[pc] = region.dynamics;
      region.dynamics += steps[pc].dynamic;
      ++pc;
    } while (pc < steps.size() && !begins[pc]);
    region.end = pc;
    order(region);
    regions.push_back(std::move(region));
  }
}

void Machine::order(Region &region) {
  std::vector<uint32_t> before, after;
  bool wait = steps[region.end - 1].act == Act::MatrixWait;
  uint32_t at = region.end;
  if (wait) {
    at = region.end - 1;
    while (at > region.begin && program.code[at - 1].cls != Class::Shuffle)
      --at;
  }
  for (uint32_t pc = region.begin; pc < region.end - (wait ? 1 : 0); ++pc)
    (pc < at ? before : after).push_back(pc);
  schedule(*this, before);
  schedule(*this, after);
  region.order = std::move(before);
  if (wait)
    region.order.push_back(region.end - 1);
  region.order.insert(region.order.end(), after.begin(), after.end());
}

} // namespace attune::sim
