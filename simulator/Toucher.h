//===- Toucher.h - one access, word by word, against those before it -*- C++ -*-===//
#ifndef ATTUNE_SIMULATOR_TOUCHER_H
#define ATTUNE_SIMULATOR_TOUCHER_H

#include "simulator/Cluster.h"

#include <algorithm>
#include <fmt/format.h>

namespace attune::sim {

/// One instruction's access: what all its lanes and words have in common. In shared memory it looks only at
/// lanes of the warp and at other blocks; other warps are ShadowCell's.
template <bool Shared> class Toucher {
public:
  Toucher(Warp &w, const Inst &i, const Allocation *in, const uint64_t *address, uint32_t mask,
          uint32_t bytes, bool write, StoredValues stored, Cta &home)
      : w(w), i(i), in(in), address(address), mask(mask), bytes(bytes), write(write), stored(stored),
        home(home), segment(segmentOf(w)), strength(!i.order                  ? 0
                                                    : i.order & kDeviceScope  ? 3
                                                    : i.order & kClusterScope ? 2
                                                                              : 1),
        info(i.statement << 8 | strength << 6), below(w.cta->orderedBelow),
        pool(Shared ? home.bytePool : w.cta->shadow->bytes) {
    const Launch &launch = *w.worker->launch;
    if (Shared) {
      wide = launch.clusterSize > 1 || !w.laneSyncs.empty();
      below = launch.clusterSize > 1 ? w.cta->cluster->firstSegment : w.sinceSyncs;
    } else if (launch.exact || launch.clusterSize > 1) {
      below = w.worker->firstSegment; // segments of other blocks are among them
    }
  }

  /// A whole sector by adjacent lanes from `lane` on, 2^pattern bytes each. False: its words are to be seen.
  bool sector(Sector &s, uint32_t lane, uint8_t pattern) {
    bool words = s.write.lane() == kWords;
    if (words && past(s.write)) {
      s = {};
      words = false;
    }
    if (words || i.atomic || !w.laneSyncs.empty()) // whose lanes are ordered one by one
      return false;
    auto same = [&](Mark m, int k) { return m.lane() == lane && s.pattern[k] == pattern; };
    auto before = [&](Mark m, int k) { return past(m) || (m.segment == segment ? same(m, k) : ordered(m)); };
    if (!before(s.write, 0))
      return false;
    Mark mine{segment, info | lane};
    if (write) {
      if (!before(s.read, 1) || !before(s.read2, 2))
        return false;
      s = {mine, {}, {}, {pattern, 0, 0}, 0};
      return true;
    }
    if (past(s.read)) {
      s.read = mine;
      s.read2 = {};
      s.pattern[1] = pattern;
      return true;
    }
    for (int k = 1; k < 3; ++k) {
      Mark &r = k == 1 ? s.read : s.read2;
      if (r.segment == segment)
        return same(r, k);
      if (past(r) || ordered(r)) {
        r = mine;
        s.pattern[k] = pattern;
        return true;
      }
    }
    return true; // as many as are kept
  }

  /// Word `k` of a sector whose words have shadows of their own from now on.
  WordShadow &wordOf(Sector &s, WordShadow *words, uint32_t k) {
    if (s.write.lane() != kWords || past(s.write)) {
      bool whole = !past(s.write) || !past(s.read) || !past(s.read2);
      for (uint32_t n = 0; whole && n < kSectorWords; ++n)
        spread(s, words[n], 4 * n);
      s = {{segment, kWords}, {}, {}, {}, uint8_t(whole ? 0xFF : 0)};
    }
    s.write.segment = segment;
    if (!(s.valid >> k & 1)) {
      s.valid |= uint8_t(1u << k);
      words[k] = {};
    }
    return words[k];
  }

  /// Whether it is of this very segment.
  bool mine(Mark m) const { return m.segment == segment; }

  /// `n` bytes at `at`, all in the word of `c`.
  void word(WordShadow &c, uint32_t lane, uint64_t at, uint32_t n) {
    bool split = c.write.lane() == kSplit && !past(c.write);
    if (n == 4 && !split)
      return one(c, lane, at, 4);
    auto &parts = partsOf(c);
    if (!split)
      for (WordShadow &part : parts)
        part = {c.write, c.read, c.read2, 0, 0};
    for (uint32_t b = 0; b < n; ++b)
      one(parts[(at + b) & 3], lane, at + b, 1);
    c.write = {segment, kSplit};
    c.read = c.read2 = {};
  }

  /// A read of a word by the warp as a whole.
  void whole(WordShadow &c, uint32_t row, uint64_t at) {
    check(c.write, true, row, at, 4);
    for (Mark *r : {&c.read, &c.read2})
      if (r->segment == segment || past(*r) || ordered(*r)) {
        *r = {segment, info | kWholeWarp};
        return;
      }
  }

private:
  std::array<WordShadow, 4> &partsOf(WordShadow &c) {
    if (c.tag != pool.tag) {
      c.tag = pool.tag;
      c.split = uint32_t(pool.words.size());
      pool.words.emplace_back();
    }
    return pool.words[c.split];
  }

  /// A sector's marks for its word at byte `from`.
  void spread(const Sector &s, WordShadow &c, uint32_t from) {
    auto at = [&](Mark m, int k, uint32_t byte) { return past(m) ? Mark{} : s.markAt(k, byte); };
    auto all = [&](uint32_t byte) {
      return WordShadow{at(s.write, 0, byte), at(s.read, 1, byte), at(s.read2, 2, byte), 0, 0};
    };
    c = {};
    auto narrow = [&](Mark m, int k) { return !past(m) && s.pattern[k] < 2; };
    if (!narrow(s.write, 0) && !narrow(s.read, 1) && !narrow(s.read2, 2)) {
      c = all(from);
      return;
    }
    auto &parts = partsOf(c);
    for (uint32_t b = 0; b < 4; ++b)
      parts[b] = all(from + b);
    c.write = {segment, kSplit};
  }

  enum class Apart { Lanes, Warps, Blocks };

  /// Whether nothing can race with it any more, as its number tells.
  bool past(Mark m) const {
    if constexpr (Shared)
      return m.segment != segment && (!wide || m.segment < below || ofCells(m));
    else
      return m.segment < below;
  }
  /// Whether it was made in the own block's shared memory by another warp of the block.
  bool ofCells(Mark m) const {
    const Segment &s = w.worker->segment(m.segment);
    return &home == w.cta && s.block == w.cta->linear && s.warp != w.index;
  }

  void one(WordShadow &c, uint32_t lane, uint64_t at, uint32_t n) {
    looking = lane;
    Mark mine{segment, info | lane};
    auto ordered = [&](Mark m) { return past(m) || (m.segment == segment && m.lane() == lane); };
    if (ordered(c.write)) {
      if (write) {
        if (ordered(c.read) && past(c.read2) && !i.atomic) {
          c.write = mine;
          c.read = c.read2 = {};
          return;
        }
      } else if (past(c.read)) {
        c.read = mine;
        c.read2 = {};
        return;
      } else if (c.read.segment == segment && c.read.info == mine.info) {
        return;
      }
    }
    slow(c, lane, at, n);
  }

  __attribute__((noinline)) void slow(WordShadow &c, uint32_t lane, uint64_t at, uint32_t n) {
    Mark mine{segment, info | lane};
    check(c.write, true, lane, at, n);
    if (i.atomic)
      for (Mark m : {c.read, c.read2})
        if (m.segment >= w.cta->orderedBelow && !m.strength() &&
            (m.lane() == lane || m.lane() == kManyLanes) && w.worker->segment(m.segment).warp == w.index)
          w.worker->guesses.insert(m.statement());
    if (write) {
      check(c.read, false, lane, at, n);
      check(c.read2, false, lane, at, n);
      bool shared = c.write.segment == segment && c.write.lane() != lane &&
                    c.write.statement() == i.statement && sameInstruction(c.write, lane, at) >= 0;
      c.write = shared ? Mark{segment, info | kManyLanes} : mine;
      c.read = c.read2 = {};
      return;
    }
    for (Mark *r : {&c.read, &c.read2}) {
      if (r->segment == segment) {
        if (r->lane() != lane) // of two strengths the weaker: it needs more to be ordered
          *r = {segment, (std::min(r->strength(), strength) << 6) | i.statement << 8 | kManyLanes};
        return;
      }
      if (past(*r) || ordered(*r)) {
        *r = mine;
        return;
      }
    }
  }

  bool ordered(Mark m) const {
    const Segment &s = w.worker->segment(m.segment);
    if (s.block != w.cta->linear)
      return knowsForeign(w, s.block, s.warp, s.clock);
    return s.warp == w.index ? met(m, s) : w.clocks[s.warp] >= s.clock;
  }

  /// Whether this warp's lane that made the mark has since met the one that looks now.
  bool met(Mark m, const Segment &s) const {
    if (m.segment < w.sinceSyncs || s.syncs >= w.laneSyncs.size() || m.lane() >= 32)
      return true;
    uint32_t reached = 1u << m.lane();
    for (size_t k = s.syncs; k < w.laneSyncs.size(); ++k)
      if (w.laneSyncs[k] & reached)
        reached |= w.laneSyncs[k];
    return reached >> looking & 1;
  }

  /// The lane whose store of this very instruction the mark is, or -1.
  int sameInstruction(Mark m, uint32_t lane, uint64_t at) const {
    if (m.segment != segment || m.statement() != i.statement)
      return -1;
    for (uint32_t rest = mask & ((1u << lane) - 1); rest; rest &= rest - 1) {
      uint32_t l = uint32_t(__builtin_ctz(rest));
      if (at - address[l] < bytes && (m.lane() == kManyLanes || m.lane() == l))
        return int(l);
    }
    return -1;
  }

  uint8_t storedByte(uint32_t lane, uint64_t at) const {
    uint64_t b = at - address[lane];
    size_t index = size_t(b / stored.width) * 32 + lane;
    return stored.width == 8 ? uint8_t(static_cast<const uint64_t *>(stored.values)[index] >> (8 * (b & 7)))
                             : uint8_t(static_cast<const uint32_t *>(stored.values)[index] >>
                                       (8 * (b & (stored.width - 1))));
  }

  /// Whether the store leaves there what an earlier one did: then which of them comes last is no matter.
  bool sameValue(Mark before, uint32_t lane, uint64_t at, uint32_t n) const {
    if (!stored.values)
      return false;
    int other = sameInstruction(before, lane, at);
    const std::byte *memory = !Shared ? in->data + (at - in->base) : home.shared + at;
    for (uint32_t b = 0; b < n; ++b)
      if (storedByte(lane, at + b) != (other >= 0 ? storedByte(uint32_t(other), at + b) : uint8_t(memory[b])))
        return false;
    return true;
  }

  void check(Mark m, bool before, uint32_t lane, uint64_t at, uint32_t n) {
    if (past(m) || (!before && !write))
      return;
    Apart apart = Apart::Lanes;
    if (m.segment == segment) {
      if (m.lane() == lane || m.lane() == kWholeWarp ||
          (before && m.lane() == kManyLanes && sameInstruction(m, lane, at) < 0))
        return;
    } else {
      if (ordered(m))
        return;
      const Segment &s = w.worker->segment(m.segment);
      apart = s.block != w.cta->linear ? Apart::Blocks : s.warp != w.index ? Apart::Warps : Apart::Lanes;
    }
    uint32_t need = apart != Apart::Blocks ? 1 : sameCluster(m) ? 2 : 3;
    bool wasStrong = m.strength() >= need, isStrong = strength >= need;
    if (wasStrong && isStrong)
      return;
    // Between blocks a plain read beside atomics is a guess that algorithms refine; within a block it is a
    // barrier that is missing.
    if (apart == Apart::Blocks && !(before && !wasStrong) && !(write && !isStrong))
      return;
    if (before && write && sameValue(m, lane, at, n))
      return;
    tell(m, before, apart, lane, at);
  }

  bool sameCluster(Mark m) const {
    const Launch &launch = *w.worker->launch;
    if (launch.clusterSize == 1)
      return false;
    for (const Cta *cta : w.cta->cluster->ctas)
      if (cta->linear == w.worker->segment(m.segment).block)
        return true;
    return false;
  }

  void tell(Mark m, bool before, Apart apart, uint32_t lane, uint64_t at) {
    bool doubtful = before ? !write && m.strength() : write && strength; // a plain read and an atomic
    if (!doubtful && reportedBefore(w, i, FindingKind::Race))
      return;
    const Segment &s = w.worker->segment(m.segment);
    auto verb = [](bool writes, uint32_t strong) {
      return fmt::format("{}{}", strong ? "atomic or volatile " : "", writes ? "write" : "read");
    };
    std::string where = !Shared ? fmt::format("0x{:x}, {}", at, w.worker->launch->memory->describe(at))
                                : describePlace(w, {&home, uint32_t(at)});
    int other = int(m.lane()) < 32 ? int(m.lane()) : -1;
    if (other < 0 && apart == Apart::Lanes)
      other = sameInstruction(m, lane, at);
    std::string why;
    switch (apart) {
    case Apart::Lanes:
      why = sameInstruction(m, lane, at) >= 0 && before
                ? std::string("two lanes of one instruction store different values to it")
                : std::string("lanes of a warp are ordered by __syncwarp (bar.warp.sync) or a barrier, "
                              "expected one between them");
      break;
    case Apart::Warps:
      why = "threads of a block are ordered by a barrier (bar.sync), expected one between them";
      break;
    case Apart::Blocks:
      why =
          sameCluster(m)
              ? "blocks of a cluster are ordered by barrier.cluster, or by an mbarrier, flag or fence of the "
                "cluster's scope, expected one between them"
              : "blocks are ordered only by the end of the kernel, or by a fence (__threadfence) and then an "
                "atomic or volatile write by the one that the other reads before its access";
      break;
    }
    std::string message = fmt::format("{} of {} bytes at {} and an earlier {} by another {}: {}",
                                      verb(write, strength), bytes, where, verb(before, m.strength()),
                                      apart == Apart::Lanes   ? "lane"
                                      : apart == Apart::Warps ? "warp"
                                                              : "block",
                                      why);
    uint64_t address = !Shared          ? at
                       : &home == w.cta ? kSharedBase + at
                                        : clusterAddress({&home, uint32_t(at)});
    OtherAccess access{int64_t(m.statement()), s.warp, other, int64_t(s.block)};
    if (doubtful)
      suspect(w, i, write ? m.statement() : i.statement, lane, address, std::move(message), access);
    else
      report(w, i, FindingKind::Race, lane, address, std::move(message), access);
  }

  Warp &w;
  const Inst &i;
  const Allocation *in; ///< null in shared memory
  const uint64_t *address;
  uint32_t mask, bytes;
  bool write;
  StoredValues stored;
  Cta &home; ///< in whose shared memory it is
  uint32_t segment, strength, info, below, looking = 0;
  bool wide = false; ///< also at other segments, from `below` on
  BytePool &pool;
};

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_TOUCHER_H
