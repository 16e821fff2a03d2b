//===- GlobalShadow.cpp - the shadow's pages, and who owns each word ------===//
#include "simulator/Exec.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace attune::sim {

ShadowPage &GlobalShadow::page(uint64_t number) {
  Entry &recent = cache[number % cache.size()];
  if (recent.number == number)
    return *recent.page;
  ShadowPage *&page = table[number];
  if (!page) {
    if (free.empty()) {
      // Zero pages of the system's: words of sectors that are touched as a whole cost nothing.
      void *zeros = std::calloc(1, sizeof(ShadowPage));
      if (!zeros)
        throw std::bad_alloc();
      storage.emplace_back(static_cast<ShadowPage *>(zeros));
      page = storage.back().get();
    } else {
      page = free.back();
      free.pop_back();
      page->touched = {};
      page->plainWritten = {};
      page->written = false;
    }
    page->number = number;
    used.push_back(page);
  }
  recent = {number, page};
  return *page;
}

void GlobalShadow::recycle() {
  free.insert(free.end(), used.begin(), used.end());
  used.clear();
  table.clear();
  cache.fill({});
  bytes.recycle();
}

Owners::Page &Owners::page(uint64_t number) {
  size_t shard = number % locks.size();
  std::lock_guard guard(locks[shard]);
  std::unique_ptr<Page> &p = tables[shard][number];
  if (!p)
    p = std::make_unique<Page>();
  return *p;
}

void Owners::keep(uint64_t number, const Allocation &in) {
  Page &p = page(number);
  std::lock_guard guard(p.lock);
  if (p.data)
    return;
  p.data = std::make_unique<std::byte[]>(kPageBytes + kPageBytes / 8);
  uint64_t offset = number * kPageBytes - in.base; // allocations begin at multiples of a page
  std::memcpy(p.data.get(), in.data + offset, kPageBytes);
  std::memcpy(p.data.get() + kPageBytes, in.init + offset / 8, kPageBytes / 8);
}

bool Owners::enter(uint64_t block, GlobalShadow &shadow) {
  uint32_t me = uint32_t(block % (kAnyBlock - 2)) + 1, conflict = 0;
  // Without branches, so that a run of words becomes vectors.
  auto take = [&](uint32_t &word, uint32_t plain) {
    uint32_t owner = word & ~kPlain, both = (word | plain) & kPlain;
    bool others = word != 0 && owner != me;
    conflict |= others ? both : 0;
    word = (others ? kAnyBlock : me) | both;
  };
  for (const ShadowPage *from : shadow.pages()) {
    Known &known = shadow.known[from->number % shadow.known.size()];
    if (known.number != from->number)
      known = {from->number, &page(from->number)};
    Page &p = *known.page;
    std::lock_guard guard(p.lock);
    for (size_t n = 0; n < from->touched.size(); ++n) {
      uint64_t written = from->plainWritten[n];
      uint32_t *words = &p.words[n * 64];
      for (uint64_t rest = from->touched[n]; rest;) {
        unsigned begin = unsigned(__builtin_ctzll(rest));
        uint64_t above = ~(rest >> begin); // 0 behind the run's words
        unsigned length = above ? unsigned(__builtin_ctzll(above)) : 64 - begin;
        uint64_t run = (length == 64 ? ~0ull : (1ull << length) - 1) << begin;
        rest &= ~run;
        if (uint64_t in = written & run; in == 0 || in == run) {
          uint32_t plain = in ? kPlain : 0;
          for (unsigned k = begin; k < begin + length; ++k)
            take(words[k], plain);
        } else {
          for (unsigned k = begin; k < begin + length; ++k)
            take(words[k], written >> k & 1 ? kPlain : 0);
        }
      }
    }
  }
  return conflict != 0;
}

void Owners::restore(GlobalMemoryImpl &memory) {
  for (auto &table : tables)
    for (auto &[number, p] : table) {
      int at = p->data ? memory.find(number * kPageBytes) : -1;
      if (at < 0)
        continue;
      Allocation &a = memory.allocations[size_t(at)];
      uint64_t offset = number * kPageBytes - a.base;
      std::memcpy(a.data + offset, p->data.get(), kPageBytes);
      std::memcpy(a.init + offset / 8, p->data.get() + kPageBytes, kPageBytes / 8);
    }
}

} // namespace attune::sim
