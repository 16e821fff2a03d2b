//===- Races.cpp - who touched which word of global memory ----------------===//
#include "simulator/Toucher.h"

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
    if (w.laneSyncs.empty()) {
      if (w.segment && w.laneLog.segment == w.segment)
        enterLog(w);
      w.sinceSyncs = w.segment ? w.segment : w.worker->firstSegment + uint32_t(w.worker->segments.size());
    }
    w.laneSyncs.push_back(mask);
  }
  w.segment = 0;
}

namespace {

/// An access of global memory, by runs of adjacent bytes.
class GlobalRuns {
public:
  GlobalRuns(Warp &w, const Inst &i, const Allocation &in, const uint64_t *address, uint32_t mask,
             uint32_t bytes, bool write, StoredValues stored)
      : w(w), in(in), bytes(bytes), pattern(uint8_t(__builtin_ctz(bytes))), write(write),
        plainWrite(write && !(i.order & kDeviceScope)), owners(w.worker->launch->owners),
        toucher(w, i, &in, address, mask, bytes, write, stored, *w.cta) {}

  /// `size` bytes at `at`, by lanes from `lane` on.
  void run(uint32_t lane, uint64_t at, uint32_t size) {
    for (uint64_t end = at + size, from = at; from < end;) {
      uint64_t stop = std::min(end, (from / kSectorBytes + 1) * kSectorBytes);
      open(from / kPageBytes);
      uint32_t word = uint32_t(from % kPageBytes / 4);
      Sector &s = page->sectors[word / kSectorWords];
      uint32_t own = lane + uint32_t((from - at) >> pattern);
      mark(word, uint32_t((stop + 3) / 4 - from / 4));
      bool whole = stop - from == kSectorBytes && (bytes <= kSectorBytes);
      if (!whole || !toucher.sector(s, own, pattern))
        words(s, word / kSectorWords * kSectorWords, lane, at, from, stop);
      from = stop;
    }
  }

  /// `size` bytes at `at`, all by one lane.
  void range(uint32_t lane, uint64_t at, uint64_t size) {
    constexpr uint8_t oneLane = 31;
    for (uint64_t end = at + size, from = at; from < end;) {
      uint64_t stop = std::min(end, (from / kSectorBytes + 1) * kSectorBytes);
      open(from / kPageBytes);
      uint32_t word = uint32_t(from % kPageBytes / 4), base = word / kSectorWords * kSectorWords;
      Sector &s = page->sectors[word / kSectorWords];
      mark(word, uint32_t((stop + 3) / 4 - from / 4));
      bool whole = stop - from == kSectorBytes && toucher.sector(s, lane, oneLane);
      while (!whole && from < stop) {
        uint64_t next = std::min(stop, (from / 4 + 1) * 4);
        word = uint32_t(from % kPageBytes / 4);
        toucher.word(toucher.wordOf(s, &page->words[base], word - base), lane, from, uint32_t(next - from));
        from = next;
      }
      from = stop;
    }
  }

  /// All lanes read the same bytes. False: not done, there is a write of this segment.
  bool all(uint64_t at) {
    open(at / kPageBytes);
    uint32_t word = uint32_t(at % kPageBytes / 4), base = word / kSectorWords * kSectorWords;
    Sector &s = page->sectors[word / kSectorWords];
    uint32_t n = std::max(bytes, 4u) / 4, step = std::min(bytes, 4u);
    if (s.write.lane() != kWords && toucher.mine(s.write))
      return false;
    for (uint32_t k = 0; k < n; ++k)
      if (toucher.mine(toucher.wordOf(s, &page->words[base], word - base + k).write))
        return false;
    mark(word, n);
    for (uint32_t k = 0; k < n; ++k)
      toucher.word(page->words[word + k], kManyLanes, at + 4 * k, step);
    return true;
  }

private:
  void open(uint64_t wanted) {
    if (page && number == wanted)
      return;
    number = wanted;
    page = &w.cta->shadow->page(number);
    if (write && !page->written) {
      page->written = true;
      if (owners)
        owners->keep(number, in);
    }
  }
  void mark(uint32_t word, uint32_t n) { // within a sector, so within 64
    uint64_t bits = ((1ull << n) - 1) << (word % 64);
    page->touched[word / 64] |= bits;
    page->plainWritten[word / 64] |= plainWrite ? bits : 0;
  }
  void words(Sector &s, uint32_t base, uint32_t lane, uint64_t at, uint64_t from, uint64_t stop) {
    uint32_t step = std::min(bytes, 4u);
    for (uint64_t p = from; p < stop; p += step) {
      uint32_t word = uint32_t(p % kPageBytes / 4);
      toucher.word(toucher.wordOf(s, &page->words[base], word - base), lane + uint32_t((p - at) >> pattern),
                   p, step);
    }
  }

  Warp &w;
  const Allocation &in;
  uint32_t bytes;
  uint8_t pattern;
  bool write, plainWrite;
  Owners *owners;
  ShadowPage *page = nullptr;
  uint64_t number = 0;
  Toucher<false> toucher;
};

} // namespace

void raceGlobal(Warp &w, const Inst &i, const Allocation &in, const uint64_t *address, uint32_t mask,
                uint32_t bytes, bool write, StoredValues stored, const AccessShape *shape) {
  if (in.readOnly || !mask)
    return;
  if (write) {
    w.wroteGlobal = true;
    w.worker->changes += !i.atomic;
  }
  if (!w.bulkStores.empty()) [[unlikely]]
    checkBulkStores(w, i, address, mask, bytes, write);
  if (i.order)
    for (uint32_t m = mask; m; m &= m - 1)
      orderAccess(w, i, address[__builtin_ctz(m)], nullptr, !write || i.atomic, write);
  if (i.order && write)
    w.stop = w.cta->yield = w.worker->launch->interleaved;
  if (i.nonCoherent && !write)
    checkNonCoherent(w, i, address, mask, bytes);
  GlobalRuns runs(w, i, in, address, mask, bytes, write, stored);
  bool several = mask & (mask - 1);
  if (shape && shape->regular && shape->stride == 0 && several && !write && !i.order &&
      runs.all(address[__builtin_ctz(mask)]))
    return;
  uint32_t first = uint32_t(__builtin_ctz(mask)), lanes = uint32_t(__builtin_popcount(mask));
  if (shape && shape->regular && shape->stride == int64_t(bytes) && mask >> first == kFull >> (32 - lanes))
    return runs.run(first, address[first], lanes * bytes);
  for (uint32_t m = mask; m;) { // adjacent lanes with adjacent addresses
    uint32_t lane = uint32_t(__builtin_ctz(m)), n = 1;
    m &= m - 1;
    while (uint64_t(m) >> (lane + n) & 1 && address[lane + n] == address[lane] + n * bytes) {
      m &= m - 1;
      if (lane + ++n == 32)
        break;
    }
    runs.run(lane, address[lane], n * bytes);
  }
}

void raceGlobalRange(Warp &w, const Inst &i, uint32_t lane, const Allocation &in, uint64_t address,
                     uint64_t bytes, bool write) {
  if (in.readOnly || !bytes)
    return;
  w.worker->changes += write;
  uint64_t start[32] = {};
  start[lane] = address;
  GlobalRuns(w, i, in, start, 1u << lane, uint32_t(bytes), write, {}).range(lane, address, bytes);
}

} // namespace attune::sim
