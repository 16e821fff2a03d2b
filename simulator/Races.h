//===- Races.h - who touched which word, and what orders them ----*- C++ -*-===//
//
// The shadow of memory for races between lanes of a warp and between blocks (shared and global memory), and
// between warps of a block (global memory; in shared memory that is ShadowCell's, in Exec.h).
//
// Each access belongs to a segment: what the lanes of one warp do between two events that order them (a
// barrier, a collective, a fence). Accesses of one segment by one lane are ordered; by two lanes they are
// not. Segments of one warp are ordered, but for what lies between them is a collective of some lanes only:
// then an access is ordered before those of the lanes that its own lane has met since. Segments of two warps
// are ordered by the clocks of Order.h.
//
// In a cluster the words of a block's shared memory are also looked at for accesses by the other blocks.
//
// How a launch uses it:
// * Blocks of a kernel that cannot wait for each other run in any order on all host threads. Each worker
// keeps
//   a GlobalShadow of the block that it runs, which finds the races inside the block. At the block's end the
//   words that it touched are entered into Owners: a word that one block wrote and another touched is a
//   conflict, whatever the order of the blocks. A launch without a conflict has no race between blocks.
// * At a conflict the launch is undone (Owners keeps a copy of each page from before its first write) and run
//   again by one host thread, all blocks in one GlobalShadow, so that what is said is exact and the same for
//   every number of threads. Kernels whose blocks communicate are run so from the start.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_RACES_H
#define ATTUNE_SIMULATOR_RACES_H

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace attune::sim {

struct Allocation;
struct Cta;
struct Inst;
struct Warp;
struct Worker;
class GlobalMemoryImpl;

/// One access as the shadow keeps it: statement << 8 | strength << 6 | lane. Strength 0: plain; 1: atomic or
/// volatile, with an order among the threads of its block; 2: of its cluster; 3: of the device.
struct Mark {
  uint32_t segment = 0; ///< 0: none
  uint32_t info = 0;
  uint32_t lane() const { return info & 63; }
  uint32_t strength() const { return info >> 6 & 3; }
  uint32_t statement() const { return info >> 8; }
};
constexpr uint32_t kManyLanes = 32; ///< several lanes of the segment
constexpr uint32_t kWholeWarp = 34; ///< all lanes together, by one instruction
constexpr uint32_t kSplit = 33;     ///< the word's bytes have shadows of their own
constexpr uint32_t kWords = 35;     ///< the sector's words have shadows of their own

/// The last write of a word since which it may have been read, and two reads after it by different warps.
struct WordShadow {
  Mark write, read, read2;
  uint32_t split = 0; ///< number of its bytes' shadows in the pool
  uint32_t tag = 0;   ///< of the pool in which `split` is valid
};

/// Shadows of single bytes, four a word.
struct BytePool {
  std::vector<std::array<WordShadow, 4>> words;
  uint32_t tag = 1;
  void recycle() {
    words.clear();
    ++tag;
  }
};

/// 32 bytes of global memory that were touched as a whole by adjacent lanes: the marks of all its words at
/// once. The lane of a mark is the first byte's; byte b's is that plus b >> pattern. As soon as its words
/// differ, they have shadows of their own.
constexpr uint64_t kSectorBytes = 32, kSectorWords = kSectorBytes / 4;
struct Sector {
  Mark write, read, read2; ///< write.lane() kWords: see its words
  std::array<uint8_t, 3> pattern{};
  uint8_t valid = 0; ///< the words whose shadows hold something, a bit each
  /// The first, second or third mark at a byte.
  Mark markAt(int k, uint64_t byte) const {
    Mark m = k == 0 ? write : k == 1 ? read : read2;
    return m.lane() >= kManyLanes ? m : Mark{m.segment, m.info + uint32_t(byte >> pattern[size_t(k)])};
  }
};

struct Segment {
  uint64_t block;
  uint32_t warp;
  uint32_t clock; ///< of the warp, when it began
  uint32_t syncs; ///< the warp's laneSyncs then
};

/// A fence.proxy.async of global memory by a warp that has written to it.
struct ProxyFence {
  uint32_t segment; ///< from which on the warp's writes come behind it
  uint32_t clock;
};

/// A page of 4 KB of global memory.
constexpr uint64_t kPageBytes = 4096, kPageWords = kPageBytes / 4;
struct ShadowPage {
  uint64_t number = 0;
  bool written = false;
  std::array<uint64_t, kPageWords / 64> touched{}, plainWritten{};
  std::array<Sector, kPageWords / kSectorWords> sectors{};
  std::array<WordShadow, kPageWords> words{};
};

class GlobalShadow;

/// Which block touched each word of global memory, for conflicts between blocks; and how memory was.
class Owners {
  struct Page;

public:
  /// Where the words of a page are, for who asked before: for as long as the launch.
  struct Known {
    uint64_t number = ~0ull;
    Page *page = nullptr;
  };
  /// Keeps the page as it is now, unless it was kept before. To be called before a block writes to it.
  void keep(uint64_t page, const Allocation &in);
  /// Enters what a block touched; true at a conflict with another block.
  bool enter(uint64_t block, GlobalShadow &shadow);
  /// Makes all written pages as they were.
  void restore(GlobalMemoryImpl &memory);

private:
  /// A word: block + 1, or kAnyBlock for several; the top bit says that it was written plainly.
  static constexpr uint32_t kAnyBlock = 0x7FFFFFFF, kPlain = 0x80000000;
  struct Page {
    std::mutex lock;
    std::array<uint32_t, kPageWords> words{};
    std::unique_ptr<std::byte[]> data; ///< and the init bits behind it
  };
  Page &page(uint64_t number);
  std::array<std::mutex, 64> locks;
  std::array<std::unordered_map<uint64_t, std::unique_ptr<Page>>, 64> tables;
};

/// Shadow of the global memory that one block, or all blocks of an exact run, touched.
class GlobalShadow {
public:
  /// The page with this number, made if need be.
  ShadowPage &page(uint64_t number);
  const std::vector<ShadowPage *> &pages() const { return used; }
  /// Forgets all pages; their words stay as they are, and old segments tell that they are old.
  void recycle();
  BytePool bytes;
  /// Of late: blocks of one worker touch the same pages again.
  std::vector<Owners::Known> known = std::vector<Owners::Known>(1024);

private:
  struct Entry {
    uint64_t number = ~0ull;
    ShadowPage *page = nullptr;
  };
  std::array<Entry, 64> cache{};
  std::unordered_map<uint64_t, ShadowPage *> table;
  std::vector<ShadowPage *> used, free;
  struct Free {
    void operator()(ShadowPage *page) const { std::free(page); }
  };
  std::vector<std::unique_ptr<ShadowPage, Free>> storage;
};

/// What a store is about to write: `count` elements of `width` bytes a lane, element n of lane l at
/// values[n * 32 + l] (32-bit, or 64-bit where width is 8). Null: not known.
struct StoredValues {
  const void *values = nullptr;
  uint32_t width = 0, count = 0;
};

/// How the addresses of an access lie: lane l's is base + l * stride, where `regular`.
struct AccessShape {
  bool regular = false;
  int64_t base = 0, stride = 0;
};
AccessShape shapeOf(const uint64_t *address, uint32_t mask);

/// The lanes of a warp are ordered within a segment of few accesses or not at all, and most accesses of it
/// meet no other: what lanes did in shared memory is only listed, and entered into the words' shadows when
/// two accesses of the segment may touch the same bytes by different lanes.
class LaneLog {
public:
  /// True: listed. False: the words' shadows are to say, see `exact`.
  bool take(const Inst &i, uint32_t segment, const uint64_t *offset, uint32_t mask, uint32_t bytes,
            bool write, const AccessShape &shape);
  /// Drops what is older than `orderedBelow`; to be called before `take`.
  void begin(uint32_t segment, uint32_t orderedBelow);
  void clear();
  /// The lane whose access it was, or -1.
  int laneOf(uint32_t offset, uint32_t statement, bool write, uint32_t orderedBelow) const;

  struct Entry {
    const Inst *inst;
    uint32_t segment, mask, low, high; ///< bytes [low, high)
    AccessShape shape;
    uint32_t offsets; ///< where not regular: number in `irregular`
    uint8_t bytes;
    bool write;
  };
  void offsetsOf(const Entry &e, uint64_t *offset) const;
  std::vector<Entry> entries;
  size_t first = 0; ///< of the segment
  uint32_t segment = 0;
  bool exact = false; ///< the segment's accesses are in the words' shadows

private:
  bool apart(const Entry &a, const Entry &b) const;
  std::vector<std::array<uint32_t, 32>> irregular;
  uint32_t low[2]{}, high[2]{}; ///< of the segment's reads and writes
};

/// Checks and marks one access of global memory by the lanes of `mask`, which lie in `in` and are aligned. To
/// be called before a store is done.
void raceGlobal(Warp &w, const Inst &i, const Allocation &in, const uint64_t *address, uint32_t mask,
                uint32_t bytes, bool write, StoredValues stored = {}, const AccessShape *shape = nullptr);
/// The same for `bytes` adjacent bytes by one lane, atomic if `i` is.
void raceGlobalRange(Warp &w, const Inst &i, uint32_t lane, const Allocation &in, uint64_t address,
                     uint64_t bytes, bool write);
/// The same for races between the lanes of a warp in shared memory; `offset` from the start of the buffer.
void raceLanes(Warp &w, const Inst &i, const uint64_t *offset, uint32_t mask, uint32_t bytes, bool write,
               StoredValues stored = {}, const AccessShape *shape = nullptr);
/// The same for races between warps in shared memory: raceAccess for all lanes.
void raceCells(Warp &w, const Inst &i, const uint64_t *offset, uint32_t mask, uint32_t bytes, bool write,
               const StoredValues &stored, const AccessShape &shape);
/// Enters what LaneLog lists of the segment into the words' shadows.
void enterLog(Warp &w);
/// A read by the warp as a whole (ldmatrix) of 16 bytes a lane.
void raceWarpRead(Warp &w, const Inst &i, const uint64_t *offset, uint32_t mask);
/// The same for one lane's access to another block's shared memory.
void raceRemote(Warp &w, const Inst &i, Cta &home, uint32_t lane, uint64_t offset, uint32_t bytes, bool write,
                StoredValues stored = {});
/// A read by the read-only path: it may give what memory held before the kernel began, so that what the
/// kernel writes is not for it.
void checkNonCoherent(Warp &w, const Inst &i, const uint64_t *address, uint32_t mask, uint32_t bytes);
/// fence.proxy.async of global memory.
void fenceGlobalProxy(Warp &w);
/// A read or write by the async proxy: what this kernel has written there by ordinary stores needs a fence of
/// the proxies in between, by the writer before it handed over or by the issuer after it took over.
void checkGlobalProxy(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint64_t bytes, bool write);
/// The segment that the warp's next access belongs to.
uint32_t segmentOf(Warp &w);
/// The lane that last touched a shared word as `statement` says, or -1.
int laneThatTouched(const Warp &w, uint32_t offset, uint32_t warp, uint32_t statement, bool write);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_RACES_H
