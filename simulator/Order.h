//===- Order.h - what fences, atomics and flags order -------------*- C++ -*-===//
//
// Happens-before between warps that communicate through memory. A warp knows, of every warp, up to which of
// its clocks everything has happened. A fence makes what a warp knows publishable; an atomic or volatile
// access publishes it at its address (a release makes it publishable first); whoever reads that address by an
// atomic or an acquire knows it from then on, and by a volatile or relaxed load from its next fence or
// barrier on. A barrier joins what its warps know and have made publishable.
//
// This is PTX's model, more lenient where it makes no difference on a device: warps stand for their lanes, an
// atomic read-modify-write acquires without a fence behind it, and a fence by the writing thread before a
// barrier serves for an atomic by another thread behind it.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_ORDER_H
#define ATTUNE_SIMULATOR_ORDER_H

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace attune::sim {

struct Cta;
struct Inst;
struct Warp;

/// Clocks of the warps of one block.
using Clocks = std::vector<uint32_t>;
void join(Clocks &to, const Clocks &from);
/// An entry; 0 where the vector does not go so far.
inline uint32_t clockOf(const Clocks &clocks, size_t k) { return k < clocks.size() ? clocks[k] : 0; }
/// Clocks of other blocks, by their number: a tree that its copies share, so that thousands of blocks that
/// hand on what they know need memory and time for what is new only.
class Foreign {
public:
  bool empty() const { return !root; }
  void clear() { root = nullptr; }
  /// Null: nothing is known of this block.
  const Clocks *find(uint64_t block) const;
  void raise(uint64_t block, const Clocks &clocks);
  void join(const Foreign &other) { root = merge(root, other.root); }

private:
  struct Node;
  using Ref = std::shared_ptr<const Node>;
  static Ref merge(const Ref &a, const Ref &b);
  static constexpr int levels = 8, fan = 16; ///< 4 bits of the number a level
  Ref root;
};

/// What a fence of the block's scope, one of the cluster's, and one of the device's, has made publishable.
struct Fenced {
  Clocks block, cluster, device;
};
void join(Fenced &to, const Fenced &from);

enum class Scope : uint8_t { Block, Cluster, Device };

/// What was published at an address: to all, within each cluster, and by each block to its own warps.
struct Published {
  Foreign device;
  std::unordered_map<uint64_t, Foreign> cluster;
  std::unordered_map<uint64_t, Clocks> block;
  uint64_t version = 0;
};
using PublishedAt = std::unordered_map<uint64_t, Published>;

/// A warp's part in all this; empty until the first fence of its block.
struct WarpOrder {
  Fenced fenced;
  Foreign known;
  Clocks pending; ///< of the own block, read by relaxed loads, not yet fenced
  Foreign pendingForeign;
  std::unordered_map<uint64_t, uint64_t> seen; ///< versions joined, by address
  Foreign lived;     ///< up to where blocks of the cluster are known to have run, see ClusterBarrier
  Clocks proxyKnown; ///< what it knew at its last fence.proxy.async of global memory
  Foreign proxyForeign;
};

/// An access at `address` by `i`, which is atomic, volatile or has an order: publishes if it writes, learns
/// if it reads. `home` is null for global memory, or the block in whose shared memory `address` is an offset.
void orderAccess(Warp &w, const Inst &i, uint64_t address, Cta *home, bool reads, bool writes);
/// Makes what the warp knows publishable, and begins a new clock.
void release(Warp &w, Scope scope);
/// The same, and what relaxed loads have read counts from now on.
void fence(Warp &w, Scope scope);
void execFence(Warp &w, const Inst &i);
/// What relaxed loads have read counts from a barrier on.
void learnPending(Warp &w);
/// Whether `w` knows of warp `warp` of another block up to `clock`.
bool knowsForeign(const Warp &w, uint64_t block, uint32_t warp, uint32_t clock);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_ORDER_H
