//===- BulkGroups.cpp - groups of bulk stores, and fences of proxies -------===//
//
// What a bulk store writes counts as written when its group is waited for (without .read), or at the block's
// end; until then it is not for its own thread either.
//
//===----------------------------------------------------------------------===//
#include "simulator/Exec.h"

#include <bit>
#include <fmt/format.h>

namespace attune::sim {

void execBulkCommit(Warp &w, const Inst &) {
  for (BulkStore &s : w.bulkStores)
    if ((w.mask >> s.lane & 1) && s.group == ~0u)
      s.group = w.bulkGroups[s.lane];
  for (uint32_t m = w.mask; m; m &= m - 1)
    ++w.bulkGroups[std::countr_zero(m)];
}

/// What the store wrote is there from now on.
static void markWritten(Warp &w, const BulkStore &s) {
  if (!s.forRanges)
    return;
  GlobalMemoryImpl &memory = *w.worker->launch->memory;
  orderLanes(w);
  s.forRanges([&](uint64_t address, uint64_t bytes) {
    if (int at = bytes ? memory.find(address) : -1; at >= 0)
      raceGlobalRange(w, *s.inst, s.lane, memory.allocations[size_t(at)], address, bytes, true);
  });
}

void execBulkWait(Warp &w, const Inst &i) {
  std::erase_if(w.bulkStores, [&](BulkStore &s) {
    if (!(w.mask >> s.lane & 1) || s.group == ~0u || s.group + uint64_t(i.imm) >= w.bulkGroups[s.lane])
      return false;
    if (!s.read)
      w.cta->async->finish(w, s.op);
    s.read = true;
    if (i.aux)
      return !s.forRanges; // only what was read is free; what was written is not there yet
    markWritten(w, s);
    return true;
  });
}

void checkBulkStores(Warp &w, const Inst &i, const uint64_t *address, uint32_t mask, uint64_t bytes,
                     bool write) {
  for (const BulkStore &s : w.bulkStores)
    if (s.forRanges)
      s.forRanges([&](uint64_t from, uint64_t size) {
        for (uint32_t m = mask; m; m &= m - 1) {
          uint32_t l = uint32_t(std::countr_zero(m));
          if (address[l] >= from + size || from >= address[l] + bytes ||
              reportedBefore(w, i, FindingKind::MissingWait))
            continue;
          report(w, i, FindingKind::MissingWait, l, address[l],
                 fmt::format("{} of {} bytes at 0x{:x}, {}, which a bulk store of this warp may not have "
                             "written yet; expected cp.async.bulk.wait_group (without .read) for its group "
                             "before",
                             write ? "write" : "read", bytes, address[l],
                             w.worker->launch->memory->describe(address[l])),
                 {int64_t(s.inst->statement), w.index, s.lane});
        }
      });
}

void endBulkStores(Cta &cta) {
  for (Warp &w : cta.warps) {
    for (const BulkStore &s : w.bulkStores)
      markWritten(w, s);
    w.bulkStores.clear();
  }
}

void execProxyFence(Warp &w, const Inst &i) {
  if (i.aux & kInitialisations) {
    if (w.cta->async)
      w.cta->async->initFence(w);
    if (w.worker->launch->ordering)
      fence(w, Scope::Cluster); // also makes that publishable
    return;
  }
  if (!w.cta->async)
    return;
  if (i.aux & kSharedProxy)
    w.cta->async->fence(w);
  if (i.aux & kGlobalProxy)
    fenceGlobalProxy(w);
}

} // namespace attune::sim
