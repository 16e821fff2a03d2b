//===- Order.cpp - what fences, atomics and flags order -------------------===//
#include "simulator/Cluster.h"

#include <algorithm>
#include <array>

namespace attune::sim {

void join(Clocks &to, const Clocks &from) {
  if (to.size() < from.size())
    to.resize(from.size());
  for (size_t k = 0; k < from.size(); ++k)
    to[k] = std::max(to[k], from[k]);
}

struct Foreign::Node {
  std::array<Ref, fan> below;
  Clocks clocks; ///< of the last level
};

const Clocks *Foreign::find(uint64_t block) const {
  const Node *n = root.get();
  for (int level = levels; n && level-- > 0;)
    n = n->below[block >> (4 * level) & (fan - 1)].get();
  return n ? &n->clocks : nullptr;
}

Foreign::Ref Foreign::merge(const Ref &a, const Ref &b) {
  if (a == b || !b)
    return a;
  if (!a)
    return b;
  // One of the two where it has all, so that it goes on being shared.
  auto made = std::make_shared<Node>();
  sim::join(made->clocks, a->clocks);
  sim::join(made->clocks, b->clocks);
  bool isA = made->clocks == a->clocks, isB = made->clocks == b->clocks;
  for (int k = 0; k < fan; ++k) {
    made->below[size_t(k)] = merge(a->below[size_t(k)], b->below[size_t(k)]);
    isA &= made->below[size_t(k)] == a->below[size_t(k)];
    isB &= made->below[size_t(k)] == b->below[size_t(k)];
  }
  return isA ? a : isB ? b : made;
}

void Foreign::raise(uint64_t block, const Clocks &clocks) {
  auto leaf = std::make_shared<Node>();
  leaf->clocks = clocks;
  Ref path = leaf;
  for (int level = 0; level < levels; ++level) {
    auto above = std::make_shared<Node>();
    above->below[block >> (4 * level) & (fan - 1)] = path;
    path = above;
  }
  root = merge(root, path);
}

void join(Fenced &to, const Fenced &from) {
  join(to.block, from.block);
  join(to.cluster, from.cluster);
  join(to.device, from.device);
}

void learnPending(Warp &w) {
  WarpOrder &o = w.order;
  if (!o.pending.empty()) {
    uint32_t own = w.clocks[w.index];
    join(w.clocks, o.pending);
    w.clocks[w.index] = own;
    o.pending.clear();
  }
  if (!o.pendingForeign.empty()) {
    o.known.join(o.pendingForeign);
    o.pendingForeign.clear();
  }
}

void fence(Warp &w, Scope scope) {
  learnPending(w);
  release(w, scope);
}

void release(Warp &w, Scope scope) {
  WarpOrder &o = w.order;
  o.fenced.block = w.clocks;
  if (scope >= Scope::Cluster)
    o.fenced.cluster = w.clocks;
  if (scope == Scope::Device)
    o.fenced.device = w.clocks;
  ++w.clocks[w.index]; // what follows is not covered
  orderLanes(w);
}

void execFence(Warp &w, const Inst &i) {
  if (w.worker->launch->ordering)
    fence(w, Scope(i.aux));
  orderLanes(w);
}

static Scope scopeOf(const Inst &i) {
  return i.order & kDeviceScope ? Scope::Device : i.order & kClusterScope ? Scope::Cluster : Scope::Block;
}

void orderAccess(Warp &w, const Inst &i, uint64_t address, Cta *home, bool reads, bool writes) {
  Launch &launch = *w.worker->launch;
  if (!launch.ordering)
    return;
  Scope scope = scopeOf(i);
  if (writes && (i.order & kRelease))
    release(w, scope);
  PublishedAt &all = home ? home->published : *w.cta->publishedGlobal;
  WarpOrder &o = w.order;
  uint64_t self = w.cta->linear, cluster = self;
  bool inCluster = launch.clusterSize > 1 && scope >= Scope::Cluster;
  if (inCluster)
    cluster = w.cta->cluster->number;
  // Unlike for each block of the cluster, and for global memory.
  uint64_t key = home ? (uint64_t(home->rank) << 32 | address) << 1 | 1 : address << 1;
  if (reads && !all.empty()) {
    auto it = all.find(address);
    if (it != all.end() && o.seen[key] != it->second.version) {
      const Published &p = it->second;
      o.seen[key] = p.version;
      bool now = (i.order & kAcquire) || writes;
      auto own = [&](const Clocks &clocks) {
        uint32_t clock = w.clocks[w.index];
        join(now ? w.clocks : o.pending, clocks);
        w.clocks[w.index] = clock;
      };
      auto foreign = [&](const Foreign &blocks) {
        (now ? o.known : o.pendingForeign).join(blocks);
        if (const Clocks *clocks = blocks.find(self)) // told by way of another block
          own(*clocks);
      };
      if (auto told = p.block.find(self); told != p.block.end())
        own(told->second);
      if (scope == Scope::Device)
        foreign(p.device);
      if (inCluster)
        if (auto told = p.cluster.find(cluster); told != p.cluster.end())
          foreign(told->second);
    }
  }
  if (writes && (!o.fenced.block.empty() || !o.known.empty())) {
    Published &p = all[address];
    join(p.block[self], o.fenced.block);
    auto publish = [&](Foreign &to, const Clocks &clocks) {
      if (!clocks.empty())
        to.raise(self, clocks);
      to.join(o.known);
    };
    if (scope == Scope::Device)
      publish(p.device, o.fenced.device);
    if (inCluster)
      publish(p.cluster[cluster], o.fenced.cluster);
    ++p.version;
    o.seen[key] = p.version;
  }
}

bool knowsForeign(const Warp &w, uint64_t block, uint32_t warp, uint32_t clock) {
  const Clocks *known = w.order.known.find(block);
  return known && warp < known->size() && (*known)[warp] >= clock;
}

} // namespace attune::sim
