//===- Races.cpp - who touched which word, and what orders them -------------------===//
#include "simulator/Cluster.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

uint32_t segmentOf(Warp &w) {
  if (!w.segment) {
    Worker &worker = *w.worker;
    w.segment = worker.firstSegment + uint32_t(worker.segments.size());
    worker.segments.push_back({w.cta->linear, w.index, w.clocks[w.index], uint32_t(w.laneSyncs.size())});
  }
  return w.segment;
}

void orderLanes(Warp &w, uint32_t mask) {
  constexpr size_t most = 64; // beyond it they count as one of all lanes: only a fault may go unseen
  if (!(w.live & ~mask) || w.laneSyncs.size() == most) {
    w.laneSyncs.clear();
  } else {
    if (w.laneSyncs.empty())
      w.sinceSyncs = w.segment ? w.segment : w.worker->firstSegment + uint32_t(w.worker->segments.size());
    w.laneSyncs.push_back(mask);
  }
  w.segment = 0;
}

namespace {

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

  /// True, and done, if nothing touched these words before that matters.
  bool first(WordShadow *c, uint32_t n, uint32_t lane) {
    for (uint32_t k = 0; k < n; ++k)
      if (!past(c[k].write) || !past(c[k].read) || (write && !past(c[k].read2)))
        return false;
    Mark mine{segment, info | lane};
    for (uint32_t k = 0; k < n; ++k) {
      (write ? c[k].write : c[k].read) = mine;
      (write ? c[k].read : c[k].read2) = {};
      c[k].read2 = {};
    }
    return true;
  }

  /// True, and done, if all these words have one history, and that is ordered before the access.
  bool alike(WordShadow *c, uint32_t n, uint32_t lane) {
    auto same = [](Mark a, Mark b) { return a.segment == b.segment && a.info == b.info; };
    Mark wrote = c->write, read = c->read, read2 = c->read2;
    for (uint32_t k = 0; k < n; ++k)
      if (c[k].write.lane() == kSplit || !same(c[k].write, wrote) || !same(c[k].read, read) ||
          !same(c[k].read2, read2))
        return false;
    auto before = [&](Mark m) { return past(m) || (m.segment != segment && ordered(m)); };
    if (!before(wrote) || (write && (!before(read) || !before(read2))))
      return false;
    Mark mine{segment, info | lane};
    bool second = !before(read);
    if (!write && second && !before(read2))
      return false;
    for (uint32_t k = 0; k < n; ++k) {
      if (write) {
        c[k].write = mine;
        c[k].read = c[k].read2 = {};
      } else {
        (second ? c[k].read2 : c[k].read) = mine;
      }
    }
    return true;
  }

  /// `n` bytes at `at`, all in the word of `c`.
  void word(WordShadow &c, uint32_t lane, uint64_t at, uint32_t n) {
    bool split = c.write.lane() == kSplit && !past(c.write);
    if (n == 4 && !split)
      return one(c, lane, at, 4);
    if (c.tag != pool.tag) {
      c.tag = pool.tag;
      c.split = uint32_t(pool.words.size());
      pool.words.emplace_back();
    }
    auto &parts = pool.words[c.split];
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

} // namespace

/// The read-only path may give what memory held before the kernel began: what the kernel writes is not for
/// it.
static void checkNonCoherent(Warp &w, const Inst &i, const uint64_t *address, uint32_t mask, uint32_t bytes) {
  for (uint32_t m = mask; m; m &= m - 1) {
    uint32_t lane = uint32_t(__builtin_ctz(m));
    const ShadowPage &page = w.cta->shadow->page(address[lane] / kPageBytes);
    for (uint32_t b = 0; b < bytes; b += 4) {
      const WordShadow &c = page.words[(address[lane] + b) % kPageBytes / 4];
      if (c.write.segment < w.worker->firstSegment)
        continue;
      Mark mark = c.write;
      if (mark.lane() == kSplit) { // of the bytes that it reads
        auto &parts = w.cta->shadow->bytes.words[c.split];
        for (uint32_t k = 0; k < std::min(bytes, 4u); ++k)
          if (const Mark &own = parts[(address[lane] + k) & 3].write; own.segment >= w.worker->firstSegment)
            mark = own;
        if (mark.lane() == kSplit)
          continue;
      }
      if (reportedBefore(w, i, FindingKind::Race))
        return;
      const Segment &s = w.worker->segment(mark.segment);
      report(w, i, FindingKind::Race, lane, address[lane],
             fmt::format("read of {} bytes at 0x{:x}, {}, by the read-only path (ld.global.nc) of what this "
                         "kernel wrote: it may give what was there before; expected an ordinary load",
                         bytes, address[lane], w.worker->launch->memory->describe(address[lane])),
             {int64_t(mark.statement()), s.warp, mark.lane() < 32 ? int(mark.lane()) : -1, int64_t(s.block)});
      return;
    }
  }
}

void raceGlobal(Warp &w, const Inst &i, const Allocation &in, const uint64_t *address, uint32_t mask,
                uint32_t bytes, bool write, StoredValues stored) {
  if (in.readOnly)
    return;
  if (write && !i.atomic)
    ++w.worker->changes;
  if (i.order)
    for (uint32_t m = mask; m; m &= m - 1)
      orderAccess(w, i, address[__builtin_ctz(m)], nullptr, !write || i.atomic, write);
  if (i.order && write)
    w.stop = w.cta->yield = w.worker->launch->interleaved;
  if (i.nonCoherent && !write)
    checkNonCoherent(w, i, address, mask, bytes);
  Owners *owners = w.worker->launch->owners;
  Toucher<false> toucher(w, i, &in, address, mask, bytes, write, stored, *w.cta);
  GlobalShadow &shadow = *w.cta->shadow;
  ShadowPage *page = nullptr;
  uint64_t number = ~0ull;
  bool plainWrite = write && !(i.order & kDeviceScope);
  uint32_t step = std::min(bytes, 4u), words = (bytes + 3) / 4;
  for (uint32_t m = mask; m; m &= m - 1) {
    uint32_t lane = uint32_t(__builtin_ctz(m));
    uint64_t at = address[lane];
    if (at / kPageBytes != number) { // aligned, so it lies in one page
      number = at / kPageBytes;
      page = &shadow.page(number);
      if (write && !page->written) {
        page->written = true;
        if (owners)
          owners->keep(number, in);
      }
    }
    uint32_t word = uint32_t(at % kPageBytes / 4);
    uint64_t bits = ((1ull << words) - 1) << (word % 64);
    page->touched[word / 64] |= bits;
    page->plainWritten[word / 64] |= plainWrite ? bits : 0;
    if (bytes >= 4 && toucher.first(&page->words[word], words, lane))
      continue;
    for (uint32_t k = 0; k < words; ++k)
      toucher.word(page->words[word + k], lane, at + 4 * k, step);
  }
}

void raceGlobalRange(Warp &w, const Inst &i, uint32_t lane, const Allocation &in, uint64_t address,
                     uint64_t bytes, bool write) {
  if (in.readOnly || !bytes)
    return;
  w.worker->changes += write;
  Owners *owners = w.worker->launch->owners;
  uint64_t start[32] = {};
  start[lane] = address;
  Toucher<false> toucher(w, i, &in, start, 1u << lane, uint32_t(bytes), write, {}, *w.cta);
  bool plainWrite = write && !(i.order & kDeviceScope);
  for (uint64_t at = address, end = address + bytes; at < end;) {
    uint64_t next = std::min(end, (at / kPageBytes + 1) * kPageBytes);
    ShadowPage &page = w.cta->shadow->page(at / kPageBytes);
    if (write && !page.written) {
      page.written = true;
      if (owners)
        owners->keep(page.number, in);
    }
    uint32_t first = uint32_t(at % kPageBytes / 4), last = uint32_t((next - 1) % kPageBytes / 4);
    for (uint32_t word = first; word <= last; ++word) {
      page.touched[word / 64] |= 1ull << (word % 64);
      page.plainWritten[word / 64] |= uint64_t(plainWrite) << (word % 64);
    }
    uint32_t count = last - first + 1;
    bool whole = at % 4 == 0 && next % 4 == 0;
    if (!whole ||
        !(toucher.first(&page.words[first], count, lane) || toucher.alike(&page.words[first], count, lane)))
      for (uint64_t from = at; from < next;) {
        uint64_t to = std::min(next, (from / 4 + 1) * 4);
        toucher.word(page.words[from % kPageBytes / 4], lane, from, uint32_t(to - from));
        from = to;
      }
    at = next;
  }
}

/// Marks what the warp's last wait for asynchronous copies brought, while no order of its lanes came since.
static void markLanded(Warp &w) {
  std::vector<AsyncCopy> landed = std::move(w.landed);
  w.landed.clear();
  if (w.landedSegment != w.segment)
    return;
  for (const AsyncCopy &c : landed) {
    uint64_t offset[32];
    for (uint32_t l = 0; l < 32; ++l)
      offset[l] = c.shared[l];
    raceLanes(w, *c.inst, offset, c.mask, c.size, true);
  }
}

void raceLanes(Warp &w, const Inst &i, const uint64_t *offset, uint32_t mask, uint32_t bytes, bool write,
               StoredValues stored) {
  if (!w.landed.empty())
    markLanded(w);
  if (i.order)
    for (uint32_t m = mask; m; m &= m - 1)
      orderAccess(w, i, offset[__builtin_ctz(m)], w.cta, !write || i.atomic, write);
  Toucher<true> toucher(w, i, nullptr, offset, mask, bytes, write, stored, *w.cta);
  if (write) {
    w.sharedWriteSegment = w.segment;
    w.worker->changes += !i.atomic;
  }
  uint32_t step = std::min(bytes, 4u);
  for (uint32_t m = mask; m; m &= m - 1) {
    uint32_t lane = uint32_t(__builtin_ctz(m));
    for (uint32_t b = 0; b < bytes; b += step)
      toucher.word(w.cta->words[(offset[lane] + b) / 4], lane, offset[lane] + b, step);
  }
}

void raceRemote(Warp &w, const Inst &i, Cta &home, uint32_t lane, uint64_t offset, uint32_t bytes, bool write,
                StoredValues stored) {
  if (i.order)
    orderAccess(w, i, offset, &home, !write || i.atomic, write);
  uint64_t offsets[32];
  offsets[lane] = offset;
  Toucher<true> toucher(w, i, nullptr, offsets, 1u << lane, bytes, write, stored, home);
  uint32_t step = std::min(bytes, 4u);
  for (uint32_t b = 0; b < bytes; b += step)
    toucher.word(home.words[(offset + b) / 4], lane, offset + b, step);
}

void raceWarpRead(Warp &w, const Inst &i, const uint64_t *offset, uint32_t mask) {
  if (!w.landed.empty())
    markLanded(w);
  if (w.worker->launch->clusterSize > 1) {
    Toucher<true> toucher(w, i, nullptr, offset, mask, 16, false, {}, *w.cta);
    for (uint32_t m = mask; m; m &= m - 1)
      for (uint32_t row = uint32_t(__builtin_ctz(m)), b = 0; b < 16; b += 4)
        toucher.whole(w.cta->words[(offset[row] + b) / 4], row, offset[row] + b);
  }
  if (!w.segment || w.sharedWriteSegment != w.segment)
    return;
  for (uint32_t m = mask; m; m &= m - 1) {
    uint32_t row = uint32_t(__builtin_ctz(m));
    for (uint32_t b = 0; b < 16; b += 4) {
      const WordShadow &c = w.cta->words[(offset[row] + b) / 4];
      if (c.write.segment != w.segment)
        continue;
      Mark mark = c.write;
      if (mark.lane() == kSplit)
        for (const WordShadow &part : w.cta->bytePool.words[c.split])
          if (part.write.segment == w.segment)
            mark = part.write;
      if (mark.strength() || reportedBefore(w, i, FindingKind::Race))
        continue;
      uint32_t at = kSharedBase + uint32_t(offset[row]) + b;
      report(
          w, i, FindingKind::Race, row, at,
          fmt::format("read of {} by all lanes of the warp and an earlier write by one lane: lanes of a warp "
                      "are ordered by __syncwarp (bar.warp.sync) or a barrier, expected one between them",
                      describeShared(w, at)),
          {int64_t(mark.statement()), w.index, mark.lane() < 32 ? int(mark.lane()) : -1, -1});
    }
  }
}

int laneThatTouched(const Warp &w, uint32_t offset, uint32_t warp, uint32_t statement, bool write) {
  const WordShadow *c = &w.cta->words[offset / 4];
  if (c->write.segment >= w.cta->orderedBelow && c->write.lane() == kSplit)
    c = &w.cta->bytePool.words[c->split][offset & 3];
  for (Mark m : {write ? c->write : c->read, write ? c->write : c->read2})
    if (m.segment >= w.cta->orderedBelow && m.statement() == statement && m.lane() < 32 &&
        w.worker->segment(m.segment).warp == warp)
      return int(m.lane());
  return -1;
}

} // namespace attune::sim
