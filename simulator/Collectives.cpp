//===- Collectives.cpp - shfl, vote, match, redux, elect, movmatrix -------===//
#include "simulator/Exec.h"

#include <fmt/format.h>

namespace attune::sim {

static uint32_t *words(Warp &w, uint32_t offset) { return reinterpret_cast<uint32_t *>(w.regs + offset); }

/// Whether all lanes name the same members, as almost always.
static bool uniform(const uint32_t *members) {
  uint32_t differ = 0;
  for (int l = 0; l < 32; ++l)
    differ |= members[l] ^ members[0];
  return !differ;
}

/// Calls f(lanes, members) for each group of executing lanes that name the same members.
template <class F> static void forGroups(const Warp &w, const uint32_t *members, F f) {
  if (uniform(members))
    return f(w.mask, members[0]);
  for (uint32_t rest = w.mask; rest;) {
    uint32_t named = members[__builtin_ctz(rest)], lanes = 0;
    for (uint32_t m = rest; m; m &= m - 1)
      lanes |= uint32_t(members[__builtin_ctz(m)] == named) << __builtin_ctz(m);
    rest &= ~lanes;
    f(lanes, named);
  }
}

/// Lanes that name themselves, and whose members do not name others: what is expected of all.
static void checkGroup(Warp &w, const Inst &i, const uint32_t *members, uint32_t lanes, uint32_t named) {
  uint32_t strangers = lanes & ~named, others = named & w.mask & ~lanes;
  if (!(strangers | others) || reportedBefore(w, i, FindingKind::BadOperand))
    return;
  if (strangers) {
    uint32_t l = uint32_t(__builtin_ctz(strangers));
    report(w, i, FindingKind::BadOperand, l, 0,
           fmt::format("expected a member mask with the executing lane {}, got 0x{:08x}", l, named));
    return;
  }
  uint32_t l = uint32_t(__builtin_ctz(lanes)), o = uint32_t(__builtin_ctz(others));
  report(w, i, FindingKind::BadOperand, l, 0,
         fmt::format(
             "expected the members 0x{:08x} of lane {} to name the same members, got 0x{:08x} of lane {}",
             named, l, members[o], o));
}

/// Gathers the lanes of the member masks; false: suspended. Lanes with other masks are groups of their own:
/// those that are together go on, the others wait for who is missing.
static bool gather(Warp &w, const Inst &i, const uint32_t *members) {
  uint32_t need = 0, ready = 0;
  forGroups(w, members, [&](uint32_t lanes, uint32_t named) {
    need |= named & w.live;
    if (!(named & w.live & ~w.mask))
      ready |= lanes;
  });
  if (ready && ready != w.mask) {
    uint32_t late = w.mask & ~ready;
    w.fragments.push_back({w.pc - 1, late, need & ~w.mask});
    w.active &= ~late;
    w.mask = ready;
    updateJoin(w);
  } else if (!ready && !converge(w, i, need, false)) {
    return false;
  }
  bool checks = w.worker->launch->checks;
  forGroups(w, members, [&](uint32_t lanes, uint32_t named) {
    if (lanes & (lanes - 1))
      orderLanes(w, named);
    if (checks)
      checkGroup(w, i, members, lanes, named);
  });
  return true;
}

enum ShuffleMode { Up, Down, Bfly, Idx };
template <ShuffleMode M> static void shuffle(Warp &w, const Inst &i) {
  const uint32_t *members = words(w, w.program->lists[i.list]);
  if (!gather(w, i, members))
    return;
  const uint32_t *a = words(w, i.a), *b = words(w, i.b), *c = words(w, i.c);
  uint32_t r[32], source[32], inside = 0, outside = 0;
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
    source[l] = j;
    r[l] = a[j];
    inside |= uint32_t(in) << l;
    outside |= uint32_t(!(w.mask >> j & 1) || members[j] != members[l]) << l;
  }
  outside &= w.mask;
  if (outside && w.worker->launch->checks && !reportedBefore(w, i, FindingKind::BadOperand)) {
    uint32_t l = uint32_t(__builtin_ctz(outside)), j = source[l];
    report(w, i, FindingKind::BadOperand, l, 0,
           fmt::format("lane {} reads lane {}, which {}", l, j,
                       w.mask >> j & 1 ? fmt::format("names other members: 0x{:08x}, not 0x{:08x}",
                                                     members[j], members[l])
                                       : fmt::format("does not execute it (executing: 0x{:08x})", w.mask)));
  }
  if (w.tracked)
    shuffleUndefined(w, i, source);
  uint32_t *d = words(w, i.d);
  for (uint32_t l = 0; l < 32; ++l)
    d[l] = (w.mask >> l & 1) ? r[l] : d[l];
  if (i.d2)
    w.preds[i.d2] = (w.preds[i.d2] & ~w.mask) | (inside & w.mask);
}

static void give(Warp &w, uint32_t offset, uint32_t lanes, uint32_t value) {
  for (uint32_t m = lanes; m; m &= m - 1)
    words(w, offset)[__builtin_ctz(m)] = value;
}

enum VoteMode { All, Any, Uni, Ballot };
template <VoteMode M> static void vote(Warp &w, const Inst &i) {
  const uint32_t *members = words(w, i.b);
  if (!gather(w, i, members))
    return;
  uint32_t p = w.preds[i.a] ^ uint32_t(i.imm);
  forGroups(w, members, [&](uint32_t lanes, uint32_t named) {
    uint32_t all = lanes & named;
    if (M == Ballot)
      return give(w, i.d, lanes, p & all);
    bool v = M == All ? (p & all) == all : M == Any ? (p & all) != 0 : (p & all) == all || (p & all) == 0;
    w.preds[i.d2] = (w.preds[i.d2] & ~lanes) | (v ? lanes : 0);
  });
}

template <class T> static void matchAny(Warp &w, const Inst &i) {
  const uint32_t *members = words(w, i.b);
  if (!gather(w, i, members))
    return;
  const T *a = reinterpret_cast<const T *>(w.regs + i.a);
  forGroups(w, members, [&](uint32_t lanes, uint32_t) {
    for (uint32_t rest = lanes; rest;) {
      uint32_t same = 0;
      for (uint32_t m = rest; m; m &= m - 1)
        same |= uint32_t(a[__builtin_ctz(m)] == a[__builtin_ctz(rest)]) << __builtin_ctz(m);
      rest &= ~same;
      give(w, i.d, same, same);
    }
  });
}
template <class T> static void matchAll(Warp &w, const Inst &i) {
  const uint32_t *members = words(w, i.b);
  if (!gather(w, i, members))
    return;
  const T *a = reinterpret_cast<const T *>(w.regs + i.a);
  forGroups(w, members, [&](uint32_t lanes, uint32_t) {
    bool same = true;
    for (uint32_t m = lanes; m; m &= m - 1)
      same &= a[__builtin_ctz(m)] == a[__builtin_ctz(lanes)];
    if (i.d != kFull)
      give(w, i.d, lanes, same ? lanes : 0);
    if (i.d2)
      w.preds[i.d2] = (w.preds[i.d2] & ~lanes) | (same ? lanes : 0);
  });
}

enum ReduxMode { RAdd, RMinU, RMaxU, RMinS, RMaxS, RAnd, ROr, RXor };
template <ReduxMode M> static uint32_t reduceTwo(uint32_t r, uint32_t v) {
  switch (M) {
  case RAdd:
    return r + v;
  case RMinU:
    return v < r ? v : r;
  case RMaxU:
    return v > r ? v : r;
  case RMinS:
    return int32_t(v) < int32_t(r) ? v : r;
  case RMaxS:
    return int32_t(v) > int32_t(r) ? v : r;
  case RAnd:
    return r & v;
  case ROr:
    return r | v;
  case RXor:
    return r ^ v;
  }
}
template <ReduxMode M> static void redux(Warp &w, const Inst &i) {
  const uint32_t *members = words(w, i.b), *a = words(w, i.a);
  if (!gather(w, i, members))
    return;
  forGroups(w, members, [&](uint32_t lanes, uint32_t) {
    uint32_t r = a[__builtin_ctz(lanes)];
    for (uint32_t m = lanes & (lanes - 1); m; m &= m - 1)
      r = reduceTwo<M>(r, a[__builtin_ctz(m)]);
    give(w, i.d, lanes, r);
  });
}

static void activemask(Warp &w, const Inst &i) { give(w, i.d, w.mask, w.mask); }

static void elect(Warp &w, const Inst &i) {
  const uint32_t *members = words(w, i.a);
  if (!gather(w, i, members))
    return;
  forGroups(w, members, [&](uint32_t lanes, uint32_t) {
    uint32_t leader = uint32_t(__builtin_ctz(lanes));
    if (i.d != kFull)
      give(w, i.d, lanes, leader);
    if (i.d2)
      w.preds[i.d2] = (w.preds[i.d2] & ~lanes) | 1u << leader;
  });
}

/// Lane 4 g + t holds elements 2 t, 2 t + 1 of row g of an 8x8 matrix of 16 bits; it gets those of column g.
static void moveMatrix(Warp &w, const Inst &i) {
  if (!converge(w, i, w.live, true))
    return;
  const uint32_t *a = words(w, i.a);
  uint32_t r[32];
  for (uint32_t l = 0; l < 32; ++l) {
    uint32_t g = l / 4, t = l % 4;
    auto element = [&](uint32_t row) { return a[4 * row + g / 2] >> (g % 2 * 16) & 0xFFFFu; };
    r[l] = element(2 * t) | element(2 * t + 1) << 16;
  }
  for (uint32_t l = 0; l < 32; ++l)
    if (w.mask >> l & 1)
      words(w, i.d)[l] = r[l];
}

static void warpSync(Warp &w, const Inst &i) { gather(w, i, words(w, i.a)); }

void addCollectives(HandlerTable &t) {
  Class c = Class::Shuffle;
  t.add("shfl.up.sync.b32", shuffle<Up>, "", c);
  t.add("shfl.down.sync.b32", shuffle<Down>, "", c);
  t.add("shfl.bfly.sync.b32", shuffle<Bfly>, "", c);
  t.add("shfl.idx.sync.b32", shuffle<Idx>, "", c);
  t.add("vote.all.sync.pred", vote<All>, "p:pw", c);
  t.add("vote.any.sync.pred", vote<Any>, "p:pw", c);
  t.add("vote.uni.sync.pred", vote<Uni>, "p:pw", c);
  t.add("vote.ballot.sync.b32", vote<Ballot>, "w:pw", c);
  t.add("match.any.sync.b32", matchAny<uint32_t>, "w:ww", c);
  t.add("match.any.sync.b64", matchAny<uint64_t>, "w:qw", c);
  t.add("match.all.sync.b32", matchAll<uint32_t>, "w:ww", c);
  t.add("match.all.sync.b64", matchAll<uint64_t>, "w:qw", c);
  t.add("redux.add.sync.u32", redux<RAdd>, "w:ww", c);
  t.add("redux.add.sync.s32", redux<RAdd>, "w:ww", c);
  t.add("redux.min.sync.u32", redux<RMinU>, "w:ww", c);
  t.add("redux.max.sync.u32", redux<RMaxU>, "w:ww", c);
  t.add("redux.min.sync.s32", redux<RMinS>, "w:ww", c);
  t.add("redux.max.sync.s32", redux<RMaxS>, "w:ww", c);
  t.add("redux.and.sync.b32", redux<RAnd>, "w:ww", c);
  t.add("redux.or.sync.b32", redux<ROr>, "w:ww", c);
  t.add("redux.xor.sync.b32", redux<RXor>, "w:ww", c);
  t.add("activemask.b32", activemask, "w:", c);
  t.add("elect.sync", elect, "w:w", c);
  t.add("movmatrix.sync.aligned.m8n8.trans.b16", moveMatrix, "w:w", c);
  t.add("warpsync", warpSync, "", Class::Barrier);
}

void addScalarHandlers(HandlerTable &t) {
  addCollectives(t);
  addAtomics(t);
  addOtherMatrix(t);
  addCarry(t);
  addCluster(t);
}

} // namespace attune::sim
