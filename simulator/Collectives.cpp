//===- Collectives.cpp - shfl, vote, match, redux, activemask -------------------===//
#include "simulator/Exec.h"

#include <fmt/format.h>

namespace attune::sim {

static uint32_t *words(Warp &w, uint32_t offset) { return reinterpret_cast<uint32_t *>(w.regs + offset); }

/// Gathers the lanes of the member mask; false: suspended. Lanes that do not name themselves are a finding.
static bool gather(Warp &w, const Inst &i, const uint32_t *members) {
  uint32_t lane = uint32_t(__builtin_ctz(w.mask)), need = members[lane];
  if (!converge(w, i, need & w.live, false))
    return false;
  if (w.mask & (w.mask - 1))
    w.segment = 0; // orders the lanes
  if ((w.mask & ~need) && !reportedBefore(w, i, FindingKind::BadOperand)) {
    // Lanes outside the mask of the first may belong to a mask of their own.
    for (uint32_t m = w.mask; m; m &= m - 1) {
      uint32_t l = uint32_t(__builtin_ctz(m));
      if (!(members[l] >> l & 1)) {
        report(w, i, FindingKind::BadOperand, l, 0,
               fmt::format("expected a member mask with the executing lane {}, got 0x{:08x}", l, members[l]));
        break;
      }
    }
  }
  return true;
}

enum ShuffleMode { Up, Down, Bfly, Idx };
template <ShuffleMode M> static void shuffle(Warp &w, const Inst &i) {
  const uint32_t *members = words(w, w.program->lists[i.list]);
  if (!gather(w, i, members))
    return;
  const uint32_t *a = words(w, i.a), *b = words(w, i.b), *c = words(w, i.c);
  uint32_t r[32], inside = 0, outside = 0;
  for (uint32_t l = 0; l < 32; ++l) {
    uint32_t clamp = c[l] & 31, segment = c[l] >> 8 & 31, n = b[l] & 31;
    uint32_t most = (l & segment) | (clamp & ~segment), least = l & segment, j;
    bool in;
    if (M == Up) {
      j = l - n;
      in = int32_t(j) >= int32_t(most);
    } else if (M == Down) {
      j = l + n;
      in = j <= most;
    } else if (M == Bfly) {
      j = l ^ n;
      in = j <= most;
    } else {
      j = least | (n & ~segment);
      in = j <= most;
    }
    if (!in)
      j = l;
    j &= 31;
    r[l] = a[j];
    inside |= uint32_t(in) << l;
    outside |= uint32_t(!(w.mask >> j & 1)) << l;
  }
  outside &= w.mask;
  if (outside && w.worker->launch->checks && !reportedBefore(w, i, FindingKind::BadOperand))
    report(w, i, FindingKind::BadOperand, uint32_t(__builtin_ctz(outside)), 0,
           fmt::format("lane {} reads a lane that does not execute it (executing: 0x{:08x})",
                       __builtin_ctz(outside), w.mask));
  uint32_t *d = words(w, i.d);
  for (uint32_t l = 0; l < 32; ++l)
    d[l] = (w.mask >> l & 1) ? r[l] : d[l];
  if (i.d2)
    w.preds[i.d2] = (w.preds[i.d2] & ~w.mask) | (inside & w.mask);
}

enum VoteMode { All, Any, Uni, Ballot };
template <VoteMode M> static void vote(Warp &w, const Inst &i) {
  const uint32_t *members = words(w, i.b);
  if (!gather(w, i, members))
    return;
  uint32_t p = w.preds[i.a] ^ uint32_t(i.imm), all = w.mask & members[__builtin_ctz(w.mask)];
  if (M == Ballot) {
    uint32_t *d = words(w, i.d);
    for (uint32_t l = 0; l < 32; ++l)
      if (w.mask >> l & 1)
        d[l] = p & all;
    return;
  }
  bool v = M == All ? (p & all) == all : M == Any ? (p & all) != 0 : (p & all) == all || (p & all) == 0;
  w.preds[i.d2] = (w.preds[i.d2] & ~w.mask) | (v ? w.mask : 0);
}

template <class T> static void matchAny(Warp &w, const Inst &i) {
  if (!gather(w, i, words(w, i.b)))
    return;
  const T *a = reinterpret_cast<const T *>(w.regs + i.a);
  uint32_t r[32];
  for (uint32_t l = 0; l < 32; ++l) {
    r[l] = 0;
    for (uint32_t m = w.mask; m; m &= m - 1) {
      uint32_t k = uint32_t(__builtin_ctz(m));
      r[l] |= uint32_t(a[k] == a[l]) << k;
    }
  }
  for (uint32_t l = 0; l < 32; ++l)
    if (w.mask >> l & 1)
      words(w, i.d)[l] = r[l];
}
template <class T> static void matchAll(Warp &w, const Inst &i) {
  if (!gather(w, i, words(w, i.b)))
    return;
  const T *a = reinterpret_cast<const T *>(w.regs + i.a);
  bool same = true;
  for (uint32_t m = w.mask; m; m &= m - 1)
    same &= a[__builtin_ctz(m)] == a[__builtin_ctz(w.mask)];
  for (uint32_t l = 0; l < 32; ++l)
    if ((w.mask >> l & 1) && i.d != kFull)
      words(w, i.d)[l] = same ? w.mask : 0;
  if (i.d2)
    w.preds[i.d2] = (w.preds[i.d2] & ~w.mask) | (same ? w.mask : 0);
}

enum ReduxMode { RAdd, RMinU, RMaxU, RMinS, RMaxS, RAnd, ROr, RXor };
template <ReduxMode M> static void redux(Warp &w, const Inst &i) {
  if (!gather(w, i, words(w, i.b)))
    return;
  const uint32_t *a = words(w, i.a);
  uint32_t r = a[__builtin_ctz(w.mask)];
  for (uint32_t m = w.mask & (w.mask - 1); m; m &= m - 1) {
    uint32_t v = a[__builtin_ctz(m)];
    switch (M) {
    case RAdd:
      r += v;
      break;
    case RMinU:
      r = v < r ? v : r;
      break;
    case RMaxU:
      r = v > r ? v : r;
      break;
    case RMinS:
      r = int32_t(v) < int32_t(r) ? v : r;
      break;
    case RMaxS:
      r = int32_t(v) > int32_t(r) ? v : r;
      break;
    case RAnd:
      r &= v;
      break;
    case ROr:
      r |= v;
      break;
    case RXor:
      r ^= v;
      break;
    }
  }
  for (uint32_t l = 0; l < 32; ++l)
    if (w.mask >> l & 1)
      words(w, i.d)[l] = r;
}

static void activemask(Warp &w, const Inst &i) {
  for (uint32_t l = 0; l < 32; ++l)
    if (w.mask >> l & 1)
      words(w, i.d)[l] = w.mask;
}

static void elect(Warp &w, const Inst &i) {
  if (!gather(w, i, words(w, i.a)))
    return;
  uint32_t leader = uint32_t(__builtin_ctz(w.mask));
  for (uint32_t l = 0; l < 32; ++l)
    if ((w.mask >> l & 1) && i.d != kFull)
      words(w, i.d)[l] = leader;
  if (i.d2)
    w.preds[i.d2] = (w.preds[i.d2] & ~w.mask) | 1u << leader;
}

static void warpSync(Warp &w, const Inst &i) { gather(w, i, words(w, i.a)); }

void addCollectives(HandlerTable &t) {
  Class c = Class::Shuffle;
  t.add("shfl.sync.up.b32", shuffle<Up>, "", c);
  t.add("shfl.sync.down.b32", shuffle<Down>, "", c);
  t.add("shfl.sync.bfly.b32", shuffle<Bfly>, "", c);
  t.add("shfl.sync.idx.b32", shuffle<Idx>, "", c);
  t.add("vote.sync.all.pred", vote<All>, "p:pw", c);
  t.add("vote.sync.any.pred", vote<Any>, "p:pw", c);
  t.add("vote.sync.uni.pred", vote<Uni>, "p:pw", c);
  t.add("vote.sync.ballot.b32", vote<Ballot>, "w:pw", c);
  t.add("match.any.sync.b32", matchAny<uint32_t>, "w:ww", c);
  t.add("match.any.sync.b64", matchAny<uint64_t>, "w:qw", c);
  t.add("match.all.sync.b32", matchAll<uint32_t>, "w:ww", c);
  t.add("match.all.sync.b64", matchAll<uint64_t>, "w:qw", c);
  t.add("redux.sync.add.u32", redux<RAdd>, "w:ww", c);
  t.add("redux.sync.add.s32", redux<RAdd>, "w:ww", c);
  t.add("redux.sync.min.u32", redux<RMinU>, "w:ww", c);
  t.add("redux.sync.max.u32", redux<RMaxU>, "w:ww", c);
  t.add("redux.sync.min.s32", redux<RMinS>, "w:ww", c);
  t.add("redux.sync.max.s32", redux<RMaxS>, "w:ww", c);
  t.add("redux.sync.and.b32", redux<RAnd>, "w:ww", c);
  t.add("redux.sync.or.b32", redux<ROr>, "w:ww", c);
  t.add("redux.sync.xor.b32", redux<RXor>, "w:ww", c);
  t.add("activemask.b32", activemask, "w:", c);
  t.add("elect.sync", elect, "w:w", c);
  t.add("warpsync", warpSync, "", Class::Barrier);
}

void addScalarHandlers(HandlerTable &t) {
  addCollectives(t);
  addAtomics(t);
  addOtherMatrix(t);
  addCarry(t);
}

} // namespace attune::sim
