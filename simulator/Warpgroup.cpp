//===- Warpgroup.cpp - what four warps do together; setmaxnreg ------------===//
#include "simulator/Exec.h"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

namespace attune::sim {

void misuse(Warp &w, const Inst &i, FindingKind kind, const std::string &text, OtherAccess other) {
  if (w.worker->launch->checks && !reportedBefore(w, i, kind))
    report(w, i, kind, w.mask ? uint32_t(std::countr_zero(w.mask)) : 0, 0, text, other);
}

Warpgroup &groupOf(Warp &w) { return w.cta->warpgroups[w.index / 4]; }

/// All lanes of the warp, and the warp in a warpgroup of four. False: suspended, or it can do nothing.
bool gatherWarpgroup(Warp &w, const Inst &i) {
  if (!converge(w, i, w.live, true))
    return false;
  if (w.mask != kFull && w.live == w.mask)
    misuse(w, i, FindingKind::Divergence,
           fmt::format(
               "lanes 0x{:08x} execute it, the others have exited; expected all threads of the warpgroup",
               w.mask));
  if (w.index / 4 * 4 + 4 <= w.cta->warps.size())
    return true;
  misuse(
      w, i, FindingKind::Divergence,
      fmt::format(
          "warp {} is in a group of only {} warps; expected a warpgroup, four warps from a multiple of 4 on",
          w.index, w.cta->warps.size() % 4));
  return false;
}

uint32_t registersAtLaunch(const EntryInfo &info) {
  auto threads = [](const std::array<uint32_t, 3> &n) { return uint64_t(n[0]) * n[1] * n[2]; };
  uint64_t most = std::max(threads(info.maxntid), threads(info.reqntid));
  if (info.maxnreg)
    return std::max(info.maxnreg / 8 * 8, 24u);
  if (!most || !info.minnctapersm)
    return 0;
  // Each of the four parts of a multiprocessor has 512 registers for each lane of its warps.
  uint64_t warps = (most + 127) / 128 * info.minnctapersm;
  return uint32_t(std::clamp<uint64_t>(512 / warps / 8 * 8, 24, 256));
}

static std::string missingRegisters(const Warp &w) {
  return fmt::format("waits for {} more registers a thread; the block's pool has enough for {}",
                     uint32_t(w.program->code[w.pc].imm) - w.wgmma->registers, w.cta->registerPool);
}

/// imm: registers a thread; aux: 1 for .inc. The pool counts registers a thread of one warp.
void execSetMaxRegisters(Warp &w, const Inst &i) {
  if (!gatherWarpgroup(w, i) || !w.wgmma->registers)
    return;
  WarpWgmma &me = *w.wgmma;
  Warpgroup &group = groupOf(w);
  uint32_t wanted = uint32_t(i.imm), sequence = me.changes + 1;
  bool more = i.aux;
  uint8_t bit = uint8_t(1 << w.index % 4);
  if (sequence - group.firstChange == group.changes.size())
    group.changes.push_back({&i, 0});
  RegisterChange &change = group.changes[sequence - group.firstChange];
  if (change.inst != &i)
    misuse(
        w, i, FindingKind::Divergence,
        fmt::format(
            "warp {} executes it where another warp of its warpgroup executes another setmaxnreg; expected "
            "the four warps to execute the same",
            w.index),
        {int64_t(change.inst->statement),
         w.index / 4 * 4 + uint32_t(std::countr_zero(uint32_t(change.warps)))});
  if (more ? wanted < me.registers : wanted > me.registers)
    misuse(w, i, FindingKind::BadOperand,
           fmt::format("expected {} than the {} registers that a thread has here, got {}",
                       more ? "no fewer" : "no more", me.registers, wanted));
  else if (more && wanted - me.registers > w.cta->registerPool)
    return suspend(w, missingRegisters);
  else
    w.cta->registerPool += me.registers - wanted;
  me.registers = wanted;
  me.changes = sequence;
  change.warps |= bit;
  while (!group.changes.empty() && group.changes.front().warps == 15) {
    group.changes.pop_front();
    ++group.firstChange;
  }
  for (Warp &other : w.cta->warps)
    if (!more && other.state == WarpState::Waiting)
      wake(other);
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

void beginWarpgroups(Cta &cta) {
  if (!cta.warps[0].program->usesWarpgroups)
    return;
  cta.warpgroups.assign((cta.warps.size() + 3) / 4, Warpgroup());
  for (Warp &w : cta.warps) {
    if (!w.wgmma)
      w.wgmma = std::make_unique<WarpWgmma>();
    *w.wgmma = WarpWgmma();
    w.wgmma->slots.resize(w.program->fileBytes / kSlotBytes + 1);
    w.wgmma->registers = registersAtLaunch(w.program->info);
  }
  cta.registerPool = 0;
}

void endWarpgroups(Cta &cta) {
  auto partial = [&](Warpgroup &group, const Inst &i, uint32_t warps) {
    if (warps == 15 || !warps)
      return;
    Warp &w = cta.warps[size_t(&group - cta.warpgroups.data()) * 4 + size_t(std::countr_zero(warps))];
    w.mask = kFull;
    misuse(w, i, FindingKind::Divergence,
           fmt::format("only {} of the four warps of the warpgroup executed it; expected all",
                       std::popcount(warps)));
  };
  for (Warpgroup &group : cta.warpgroups) {
    for (WgmmaOp &op : group.ops)
      partial(group, *op.inst, op.issued);
    for (RegisterChange &change : group.changes)
      partial(group, *change.inst, change.warps);
  }
}

} // namespace attune::sim
