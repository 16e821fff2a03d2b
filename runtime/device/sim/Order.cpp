//===- Order.cpp - what fences, atomics and flags order --------------------------===//
#include "runtime/device/sim/Exec.h"

#include <algorithm>

namespace attune::sim {

void join(Clocks &to, const Clocks &from) {
  if (to.size() < from.size())
    to.resize(from.size());
  for (size_t k = 0; k < from.size(); ++k)
    to[k] = std::max(to[k], from[k]);
}

void join(Foreign &to, const Foreign &from) {
  for (const auto &[block, clocks] : from)
    join(to[block], clocks);
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
    join(o.known, o.pendingForeign);
    o.pendingForeign.clear();
  }
}

static void fence(Warp &w, bool device) {
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
    fence(w, i.aux & 1);
  w.segment = 0;
}

void orderAccess(Warp &w, const Inst &i, uint64_t address, bool shared, bool reads, bool writes) {
  Launch &launch = *w.worker->launch;
  if (!launch.ordering)
    return;
  if (writes && (i.order & kRelease))
    fence(w, i.order & kDeviceScope);
  PublishedAt &all = shared ? w.cta->published : *w.cta->publishedGlobal;
  WarpOrder &o = w.order;
  uint64_t self = w.cta->linear;
  if (reads && !all.empty()) {
    auto it = all.find(address);
    uint64_t key = address << 1 | uint64_t(shared);
    if (it != all.end() && o.seen[key] != it->second.version) {
      const Published &p = it->second;
      o.seen[key] = p.version;
      bool now = (i.order & kAcquire) || writes, device = i.order & kDeviceScope;
      for (const auto &[block, fenced] : p.blocks) {
        if (block == self) {
          uint32_t own = w.clocks[w.index];
          join(now ? w.clocks : o.pending, fenced.block);
          w.clocks[w.index] = own;
        } else if (device && !fenced.device.empty()) {
          join((now ? o.known : o.pendingForeign)[block], fenced.device);
        }
      }
      for (const auto &[block, clocks] : p.foreign)
        if (device && block != self)
          join((now ? o.known : o.pendingForeign)[block], clocks);
    }
  }
  if (writes && (!o.fenced.block.empty() || !o.known.empty())) {
    Published &p = all[address];
    join(p.blocks[self].block, o.fenced.block);
    if (i.order & kDeviceScope)
      join(p.blocks[self].device, o.fenced.device);
    join(p.foreign, o.known);
    ++p.version;
    o.seen[address << 1 | uint64_t(shared)] = p.version;
  }
}

bool knowsForeign(const Warp &w, uint64_t block, uint32_t warp, uint32_t clock) {
  auto it = w.order.known.find(block);
  return it != w.order.known.end() && warp < it->second.size() && it->second[warp] >= clock;
}

} // namespace attune::sim
