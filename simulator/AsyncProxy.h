//===- AsyncProxy.h - what asynchronous units have in flight ------*- C++ -*-===//
//
// A bulk copy (TMA), a wgmma, an st.async is carried out by a unit of its own, the "async proxy", between its
// issue and the moment at which somebody may rely on it. Here each is an AsyncOp of the block whose shared
// memory it touches.
//
// When it acts. `land` (a closure) moves its data. Mode::Eager calls it at the issue; Mode::Lazy when the
// operation is waited for, and where nothing else in the block can go on; Mode::Random at some turn of the
// scheduler between the two. Matrix operations of one warpgroup, and stores of one warp, land in their order;
// between all others any order is legal.
//
// Who may rely on it.
//   Load   (writes shared memory, adds to an mbarrier's bytes): whoever knows that the phase has ended in
//   which it landed; clocks carry that on (see below).
//   Store, Matrix (read shared memory): a warp of its issuers that has waited for its group, and whoever has
//   synchronised with such a warp since.
//
// What is checked, in cells of 16 bytes, with the sites of both sides:
//   - an operation reads what a load may still write, or writes what another operation may still use;
//   - a generic access (ld, st, ldmatrix ...) meets an operation that it may not rely on;
//   - an operation reads or overwrites what a generic store left, without a fence.proxy.async between them:
//   by the thread that stored before it handed over, by the issuer after it took over, or by one in between.
//   What was only read by generic loads needs none: a slot is refilled after an mbarrier arrival alone. Nor
//   do st.async and red.async, which are of the generic proxy.
//
// Clocks. Entries of Warp::clocks behind those of the block's warps count, for each mbarrier in the order of
// their initialisation, the phases that are known to have ended. All that hands clocks on (barriers, fences,
// atomics, arrivals) must therefore join whole vectors with `join`, never loop over the warps.
//
// How an instruction uses it:
//   AsyncProxy &proxy = *w.cta->async;              // exists where Program::asyncProxy is set (by the
//   decoder) uint32_t op = proxy.start(w, i, AsyncKind::Matrix, lane, firstWarp, 4); proxy.reads(w, op,
//   offset, bytes);              // for each range; offsets from the buffer's start proxy.issue(op, [=] {
//   ...moves the data... });  // may run at once
//   ...
//   proxy.finish(w, op);                            // at the wait that covers it: lands if need be, w knows
//   it
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_ASYNCPROXY_H
#define ATTUNE_SIMULATOR_ASYNCPROXY_H

#include "simulator/Order.h"

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

namespace attune::sim {

struct Cta;
struct Inst;
struct Warp;

enum class AsyncKind : uint8_t {
  Load,   ///< writes shared memory and completes on an mbarrier: bulk copies to shared memory, st.async
  Store,  ///< reads shared memory and completes with a bulk group
  Source, ///< reads shared memory until it lands elsewhere: of a copy to another block of the cluster
  Matrix, ///< wgmma
};

/// One operation. Its number is never 0.
struct AsyncOp {
  const Inst *inst = nullptr;
  AsyncKind kind = AsyncKind::Load;
  uint8_t warps = 1, lane = 0; ///< that issued it together, from `warp` on
  bool landed = false;         ///< data moved
  bool waited = false;         ///< a warp has waited for it
  bool reduces = false;        ///< others that reduce may touch the same bytes
  bool generic = false;        ///< of the generic proxy: st.async, red.async
  uint16_t warp = 0;
  uint32_t barrier = 0, phase = 0; ///< of a landed load: who knows that clock may rely on it
  uint64_t block = 0;              ///< of the issuer
  std::array<uint32_t, 4> done{};  ///< issuers' clocks at their waits (0: not yet); of a load at its issue
  uint32_t offset = 0, bytes = 0;  ///< of the first range, for messages and for those below 16 bytes
};

class AsyncProxy {
public:
  explicit AsyncProxy(Cta &cta) : cta(cta) {}
  /// Forgets the block before.
  void begin(uint32_t sharedBytes);

  /// A new operation on this block's shared memory by `warps` warps from `firstWarp` on, of which `w` is one.
  uint32_t start(Warp &w, const Inst &i, AsyncKind kind, uint32_t lane, uint32_t firstWarp,
                 uint32_t warps = 1);
  /// The operation's writes are reductions, which are in no order with each other.
  void reduces(uint32_t op) { at(op).reduces = true; }
  /// The operation goes through the generic proxy, so that generic stores need no fence before it.
  void generic(uint32_t op) { at(op).generic = true; }
  /// The operation reads or writes this range; `w` is the warp whose knowledge counts. Checks it against what
  /// was there before, and marks it.
  void reads(Warp &w, uint32_t op, uint32_t offset, uint32_t bytes);
  void writes(Warp &w, uint32_t op, uint32_t offset, uint32_t bytes);
  /// The operation is complete but for its data, which `land` moves: now, or later.
  void issue(uint32_t op, std::function<void()> land);
  /// `w` has waited for it.
  void finish(Warp &w, uint32_t op);
  /// A Source operation has been read, as its other half landed.
  void sourceRead(uint32_t op) { at(op).landed = at(op).waited = true; }
  /// A load has landed in phase `phase` of the mbarrier with this clock.
  void arrived(uint32_t op, uint32_t clock, uint32_t phase);
  const AsyncOp &operation(uint32_t op) const { return ops[op - base]; }

  /// Lands a pending operation if there is one; in order, or any by the seed.
  bool landOne();
  void landAll();
  /// The turn of the scheduler in which units may act: those of Mode::Random.
  void turn();

  /// A generic access to shared memory inside one cell, with checks. `offset` from the buffer's start.
  void touch(Warp &w, const Inst &i, uint32_t lane, uint32_t offset, uint32_t bytes, bool write) {
    Cell &c = cells[offset >> 4];
    if (write)
      noteWrite(c, w, i);
    if (c.write | c.read[0] | uint32_t(c.more))
      touchSlow(w, i, lane, offset, bytes, write);
  }
  /// fence.proxy.async of shared memory by `w`; fence.mbarrier_init, which serves for initialisations alone.
  void fence(Warp &w);
  void initFence(Warp &w);
  /// `w` has initialised an mbarrier; it arrives at a barrier, which makes that visible as a fence does: no
  /// copy that is issued behind the barrier finds the mbarrier as it was, and compilers and libraries count
  /// on it.
  void initialises(Warp &w);
  void arrives(Warp &w);
  /// How many of them the warp has executed.
  uint32_t fencesOf(uint32_t warp) const { return uint32_t(fences[warp].forInit.size()); }
  /// Whether a fence follows an initialisation by `warp` at `clock`, behind `before` fences, and comes before
  /// what `w` does now.
  bool initVisible(const Warp &w, uint32_t warp, uint32_t clock, uint32_t before) const;
  /// The operation that may still write these bytes, for a read that finds them undefined; 0: none.
  uint32_t writing(uint32_t offset, uint32_t bytes) const;
  /// The block has ended: reports what is still in flight, and lands it.
  void end();

private:
  /// Whether the cell holds what came through the generic proxy, and no fence is known to follow: by `write`,
  /// or by a store since.
  enum class Stored : uint8_t { No, ByWarp, Sent };
  /// 16 bytes of shared memory: the last operation that wrote them, those that read them since (one of each
  /// issuer and kind), and the last generic store that no fence is known to follow.
  struct Cell {
    uint32_t write = 0;
    std::array<uint32_t, 3> read{};
    uint32_t storeClock = 0, storeSite = 0;
    uint32_t storeFence = 0; ///< fences that its warp had executed before it
    uint8_t storeRank = 0, storeWarp = 0;
    Stored stored = Stored::No;
    bool more = false;
  };
  struct Fence {
    uint32_t clock = 0;
    Clocks known; ///< by its warp: of its own block's warps, and of other blocks'
    Foreign foreign;
  };
  /// What a warp has done about the proxies.
  struct Fences {
    std::vector<uint32_t> clocks;  ///< its clock at each fence.proxy.async
    std::vector<uint32_t> forInit; ///< at each of these and of fence.mbarrier_init
    std::array<Fence, 4> last;     ///< fence.proxy.async number n at n % 4
    bool initialises = false;      ///< an mbarrier, since the last of forInit
    /// The last fence.proxy.async; null: there was none.
    const Fence *latest() const {
      return clocks.empty() ? nullptr : &last[(clocks.size() - 1) % last.size()];
    }
  };
  struct Pending {
    uint32_t op;
    std::function<void()> land;
  };
  void noteWrite(Cell &c, const Warp &w, const Inst &i);
  void touchSlow(Warp &w, const Inst &i, uint32_t lane, uint32_t offset, uint32_t bytes, bool write);
  bool knows(const Warp &w, const AsyncOp &op) const;
  bool knowsWarp(const Warp &w, uint32_t warp, uint32_t clock) const;
  bool fenced(const Warp &w, const Cell &c) const;
  bool fencedBehind(const Warp &w, const Cta &home, uint32_t index, uint32_t clock) const;
  void needFence(Warp &w, const AsyncOp &op, uint32_t cell, const char *verb);
  void range(AsyncOp &op, uint32_t offset, uint32_t bytes);
  void checkHistory(Warp &w, const AsyncOp &op, uint32_t cell, bool write);
  void checkVisitors(Warp &w, const AsyncOp &op, uint32_t cell, bool write);
  void conflict(Warp &w, const Inst &i, uint32_t lane, const AsyncOp &other, uint32_t offset, bool write,
                const char *what);
  void addReader(Cell &c, uint32_t cell, uint32_t op);
  template <class F> void forReaders(const Cell &c, uint32_t cell, F f) const;
  void land(size_t pending);
  void forget();
  AsyncOp &at(uint32_t op) { return ops[op - base]; }

  Cta &cta;
  std::vector<AsyncOp> ops;
  uint32_t base = 1;
  std::vector<Cell> cells;
  std::unordered_map<uint32_t, std::vector<uint32_t>> moreReaders; ///< of cells with `more`
  std::vector<Pending> pending;
  std::vector<Fences> fences; ///< of each warp
  size_t mostOps = 1 << 16;   ///< beyond it those that all know are forgotten
};

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_ASYNCPROXY_H
