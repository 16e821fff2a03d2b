//===- Order.cpp - what fences, atomics and flags order --------------------------===//
#include "simulator/Exec.h"

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

void releaseFence(Warp &w, bool device) {
  learnPending(w);
  WarpOrder &o = w.order;
  o.fenced.block = w.clocks;
  if (device)
    o.fenced.device = w.clocks;
  ++w.clocks[w.index]; // what follows is not covered
  w.segment = 0;
}

void execFence(Warp &w, const Inst &i) {
  if (w.worker->launch->ordering)
    releaseFence(w, i.aux & 1);
  w.segment = 0;
}

void orderAccess(Warp &w, const Inst &i, uint64_t address, bool shared, bool reads, bool writes) {
  Launch &launch = *w.worker->launch;
  if (!launch.ordering)
    return;
  if (writes && (i.order & kRelease))
    releaseFence(w, i.order & kDeviceScope);
  PublishedAt &all = shared ? w.cta->published : *w.cta->publishedGlobal;
  WarpOrder &o = w.order;
  uint64_t self = w.cta->linear;
  if (reads && !all.empty()) {
    auto it = all.find(address);
    uint64_t key = address << 1 | uint64_t(shared);
    if (it != all.end() && o.seen[key] != it->second.version) {
      const Published &p = it->second;
      o.seen[key] = p.version;
      bool now = (i.order & kAcquire) || writes;
      if (auto own = p.block.find(self); own != p.block.end()) {
        uint32_t clock = w.clocks[w.index];
        join(now ? w.clocks : o.pending, own->second);
        w.clocks[w.index] = clock;
      }
      if (i.order & kDeviceScope)
        (now ? o.known : o.pendingForeign).join(p.device);
    }
  }
  if (writes && (!o.fenced.block.empty() || !o.known.empty())) {
    Published &p = all[address];
    join(p.block[self], o.fenced.block);
    if (i.order & kDeviceScope) {
      if (!o.fenced.device.empty())
        p.device.raise(self, o.fenced.device);
      p.device.join(o.known);
    }
    ++p.version;
    o.seen[address << 1 | uint64_t(shared)] = p.version;
  }
}

bool knowsForeign(const Warp &w, uint64_t block, uint32_t warp, uint32_t clock) {
  const Clocks *known = w.order.known.find(block);
  return known && warp < known->size() && (*known)[warp] >= clock;
}

} // namespace attune::sim
