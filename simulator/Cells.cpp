//===- Cells.cpp - races between warps in shared memory -------------------===//
#include "simulator/Exec.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

/// The words that a mask of bytes covers, a bit each; 16: not whole ones.
static uint32_t wordsOf(uint32_t bytes) {
  uint32_t words = (bytes & 1) | (bytes >> 3 & 2) | (bytes >> 6 & 4) | (bytes >> 9 & 8);
  return ((bytes & 0x1111u) * 15) == bytes ? words : 16;
}

bool touchWords(Warp &w, const Inst &i, uint32_t index, uint16_t bytes, bool write) {
  Cta &cta = *w.cta;
  ShadowCell &cell = cta.cells[index];
  uint32_t me = 1u << w.index;
  // One word, as columns of a tile are read.
  if (unsigned first = unsigned(__builtin_ctz(bytes));
      cell.inWords && cell.clock == w.clocks[w.index] && first % 4 == 0 && bytes == 0xFu << first) {
    CellWords &c = cta.cellWords[cell.number];
    unsigned k = first / 4;
    if ((c.writers[k] | (write ? c.readers[k] : 0)) & ~me)
      return false;
    (write ? c.writers : c.readers)[k] |= me;
    (write ? c.writeSite : c.readSite)[k] = i.statement;
    return true;
  }
  uint32_t touched = wordsOf(bytes);
  if (touched == 16 || (cell.detailed && !cell.inWords) || cell.clock != w.clocks[w.index])
    return false;
  if (!cell.inWords) {
    uint32_t read = wordsOf(cell.readBytes), written = wordsOf(cell.writeBytes);
    if (read == 16 || written == 16)
      return false;
    CellWords c;
    for (unsigned k = 0; k < 4; ++k) {
      c.readers[k] = read >> k & 1 ? cell.warps : 0;
      c.writers[k] = written >> k & 1 ? cell.warps : 0;
      c.readSite[k] = cell.readSite;
      c.writeSite[k] = cell.writeSite;
    }
    cell.detailed = cell.inWords = true;
    cell.number = uint32_t(cta.cellWords.size());
    cta.cellWords.push_back(c);
  }
  CellWords &c = cta.cellWords[cell.number];
  uint32_t others = 0;
  for (unsigned k = 0; k < 4; ++k)
    others |= touched >> k & 1 ? (c.writers[k] | (write ? c.readers[k] : 0)) & ~me : 0;
  if (others)
    return false;
  for (unsigned k = 0; k < 4; ++k)
    if (touched >> k & 1) {
      (write ? c.writers : c.readers)[k] |= me;
      (write ? c.writeSite : c.readSite)[k] = i.statement;
    }
  return true;
}

void spellOut(Cta &cta, uint32_t index) {
  ShadowCell &cell = cta.cells[index];
  const CellWords c = cta.cellWords[cell.number];
  cell.inWords = false;
  std::vector<Access> &list = cta.details[index];
  list.clear();
  for (unsigned k = 0; k < 4; ++k)
    for (bool write : {false, true})
      for (uint32_t m = write ? c.writers[k] : c.readers[k]; m; m &= m - 1)
        list.push_back({uint32_t(__builtin_ctz(m)), cell.clock, write ? c.writeSite[k] : c.readSite[k],
                        uint16_t(15u << (4 * k)), write, false});
}

/// The bytes that a lane is about to store.
static void storedBytes(const StoredValues &stored, uint32_t lane, uint8_t *to) {
  for (uint32_t n = 0; n < stored.count; ++n) {
    size_t index = n * 32 + lane;
    if (stored.width == 8)
      std::memcpy(to + 8 * n, static_cast<const uint64_t *>(stored.values) + index, 8);
    else
      std::memcpy(to + stored.width * n, static_cast<const uint32_t *>(stored.values) + index, stored.width);
  }
}

namespace {

/// One instruction's accesses, cell by cell.
class CellToucher {
public:
  CellToucher(Warp &w, const Inst &i, const uint64_t *offset, uint32_t bytes, bool write,
              const StoredValues &stored)
      : w(w), i(i), cta(*w.cta), offset(offset), bytes(bytes), write(write), stored(stored) {}

  /// Bytes of adjacent lanes from `lane` on, in one cell.
  void cell(uint32_t lane, uint32_t from, uint32_t size) {
    if (cta.async) [[unlikely]]
      cta.async->touch(w, i, lane, from, size, write);
    uint16_t m = uint16_t(((1u << size) - 1) << (from & 15));
    if (i.order ||
        (!touchCell(w, i, cta.cells[from >> 4], m, write) && !touchWords(w, i, from >> 4, m, write)))
      lanes(lane, size / bytes);
  }

private:
  __attribute__((noinline)) void lanes(uint32_t first, uint32_t n) {
    for (uint32_t l = first; l < first + n; ++l) {
      uint8_t value[16];
      if (stored.values)
        storedBytes(stored, l, value);
      uint32_t o = uint32_t(offset[l]);
      uint16_t m = uint16_t(((1u << bytes) - 1) << (o & 15));
      if (i.order || !touchCell(w, i, cta.cells[o >> 4], m, write))
        raceSlow(w, i, l, o >> 4, m, write, stored.values ? value : nullptr);
    }
  }

  Warp &w;
  const Inst &i;
  Cta &cta;
  const uint64_t *offset;
  uint32_t bytes;
  bool write;
  const StoredValues &stored;
};

} // namespace

void raceCells(Warp &w, const Inst &i, const uint64_t *offset, uint32_t mask, uint32_t bytes, bool write,
               const StoredValues &stored, const AccessShape &shape) {
  CellToucher toucher(w, i, offset, bytes, write, stored);
  uint32_t first = uint32_t(__builtin_ctz(mask)), count = uint32_t(__builtin_popcount(mask));
  bool plainRead = !write && !i.order;
  if (shape.regular && shape.stride == 0 && plainRead) // all read the same
    return toucher.cell(first, uint32_t(offset[first]), bytes);
  if (shape.regular && shape.stride == int64_t(bytes) && mask >> first == kFull >> (32 - count)) {
    uint32_t begin = uint32_t(offset[first]), end = begin + count * bytes;
    for (uint32_t from = begin; from < end;) {
      uint32_t stop = std::min(end, (from | 15) + 1);
      toucher.cell(first + (from - begin) / bytes, from, stop - from);
      from = stop;
    }
    return;
  }
  for (uint32_t m = mask; m;) {
    uint32_t lane = uint32_t(__builtin_ctz(m)), from = uint32_t(offset[lane]), size = bytes;
    m &= m - 1;
    uint32_t next = lane + 1;
    for (; next < 32 && (m >> next & 1) && offset[next] == from + size && (from + size) % 16; ++next) {
      size += bytes;
      m &= m - 1;
    }
    for (; plainRead && size == bytes && next < 32 && (m >> next & 1) && offset[next] == from; ++next)
      m &= m - 1; // the same again
    toucher.cell(lane, from, size);
  }
}

void raceSlow(Warp &w, const Inst &i, uint32_t lane, uint32_t index, uint16_t bytes, bool write,
              const void *stored) {
  Cta &cta = *w.cta;
  ShadowCell &cell = cta.cells[index];
  if (cell.epoch != cta.epoch) {
    cell.epoch = cta.epoch;
    cell.detailed = cell.inWords = false;
    cell.warps = 0;
    cell.readBytes = cell.writeBytes = 0;
  }
  if (!i.order && touchWords(w, i, index, bytes, write))
    return;
  if (cell.inWords)
    spellOut(cta, index);
  std::vector<Access> &list = cta.details[index];
  if (!cell.detailed) {
    cell.detailed = true;
    list.clear();
    for (uint32_t m = cell.warps; m; m &= m - 1) {
      uint32_t warp = uint32_t(__builtin_ctz(m));
      if (cell.readBytes)
        list.push_back({warp, cell.clock, cell.readSite, cell.readBytes, false, false});
      if (cell.writeBytes)
        list.push_back({warp, cell.clock, cell.writeSite, cell.writeBytes, true, false});
    }
  }
  Access *same = nullptr;
  for (Access &a : list) {
    if (a.warp == w.index) {
      if (a.clock == w.clocks[w.index] && a.write == write && a.atomic == bool(i.order))
        same = &a;
      continue;
    }
    if (!(a.bytes & bytes) || !(a.write || write) || (a.atomic && i.order) || w.clocks[a.warp] >= a.clock)
      continue;
    if (a.write && write && stored && !a.atomic) { // the same value: which comes last is no matter
      uint32_t first = uint32_t(__builtin_ctz(bytes)), size = uint32_t(__builtin_popcount(bytes));
      if (std::memcmp(cta.shared + index * 16 + first, stored, size) == 0)
        continue;
    }
    bool doubtful = a.atomic ? !write : i.order && !a.write; // a plain read and an atomic
    if (!doubtful && reportedBefore(w, i, FindingKind::Race))
      break;
    uint32_t offset = index * 16 + uint32_t(__builtin_ctz(a.bytes & bytes));
    std::string message = fmt::format(
        "{} of {} by warp {} and an earlier {} by warp {} with no barrier (bar.sync) between them",
        write ? "write" : "read", describeShared(w, kSharedBase + offset), w.index,
        a.write ? "write" : "read", a.warp);
    OtherAccess other{a.site, a.warp, laneThatTouched(w, offset, a.warp, a.site, a.write)};
    if (doubtful)
      suspect(w, i, write ? a.site : i.statement, lane, kSharedBase + offset, std::move(message), other);
    else
      report(w, i, FindingKind::Race, lane, kSharedBase + offset, std::move(message), other);
    break;
  }
  if (!same && list.size() >= 16) // what every warp has seen cannot race any more
    std::erase_if(list, [&](const Access &a) {
      return std::all_of(cta.warps.begin(), cta.warps.end(), [&](const Warp &other) {
        return other.index == a.warp || other.state == WarpState::Done || other.clocks[a.warp] >= a.clock;
      });
    });
  if (same) {
    same->bytes |= bytes;
    same->site = i.statement;
  } else {
    list.push_back({w.index, w.clocks[w.index], i.statement, bytes, write, bool(i.order)});
  }
}

} // namespace attune::sim
