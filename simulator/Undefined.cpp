//===- Undefined.cpp - values that were never written, followed through registers -===//
#include "simulator/Exec.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

namespace {

using Bytes = std::array<uint32_t, 8>;

UndefinedValues &valuesOf(Warp &w) {
  if (!w.undefined) {
    const Program &p = *w.program;
    w.undefined = std::make_unique<UndefinedValues>();
    UndefinedValues &u = *w.undefined;
    u.slots.assign(std::max<size_t>(p.fileBytes / kSlotBytes, 1), {});
    u.slotOrigins.assign(u.slots.size(), 0);
    u.predicates.assign(p.predicates, 0);
    u.predicateOrigins.assign(p.predicates, 0);
  }
  return *w.undefined;
}

uint32_t any(const Bytes &b) {
  uint32_t m = 0;
  for (uint32_t x : b)
    m |= x;
  return m;
}
uint32_t addOrigin(UndefinedValues &u, const Origin &o) {
  for (size_t k = 0; k < u.origins.size(); ++k)
    if (u.origins[k].statement == o.statement && u.origins[k].place == o.place)
      return uint32_t(k);
  u.origins.push_back(o);
  return uint32_t(u.origins.size() - 1);
}

/// Undefined values in the way of the warp now; leaves its plain loop for the one that follows them.
void track(Warp &w, UndefinedValues &u) {
  if (w.tracked)
    return;
  w.tracked = w.stop = true;
  u.steps = 0;
  u.settleAt = 64;
}

} // namespace

void beginUndefined(Warp &w) {
  if (w.undefined && w.tracked) {
    for (auto &b : w.undefined->slots)
      b = {};
    std::fill(w.undefined->predicates.begin(), w.undefined->predicates.end(), 0);
  }
  if (w.undefined)
    w.undefined->origins.clear();
  w.tracked = false;
  const Program &p = *w.program;
  if (p.undefinedSlots.empty() && p.undefinedPredicates.empty())
    return;
  for (uint32_t offset : p.undefinedSlots)
    std::memset(w.regs + offset, 0xA5, kSlotBytes);
  for (uint32_t n : p.undefinedPredicates)
    w.preds[n] = 0;
  if (!w.worker->launch->checks)
    return;
  UndefinedValues &u = valuesOf(w);
  for (uint32_t offset : p.undefinedSlots) {
    u.slots[offset / kSlotBytes].fill(kFull);
    u.slotOrigins[offset / kSlotBytes] = addOrigin(u, {Origin::kRegister, offset, {}, 0, 0});
  }
  for (uint32_t n : p.undefinedPredicates) {
    u.predicates[n] = kFull;
    u.predicateOrigins[n] = addOrigin(u, {Origin::kPredicate, n, {}, 0, 0});
  }
  track(w, u);
}

uint32_t undefinedBytes(const Warp &w, uint32_t offset, bool predicate, bool wide, uint32_t lane) {
  const UndefinedValues &u = *w.undefined;
  if (predicate)
    return u.predicates[offset] >> lane & 1;
  uint32_t bytes = 0;
  for (unsigned k = 0; k < (wide ? 8u : 4u); ++k)
    bytes |= (u.slots[offset / kSlotBytes + k / 4][k % 4] >> lane & 1) << k;
  return bytes;
}

void setUndefinedBytes(Warp &w, uint32_t offset, bool predicate, bool wide, uint32_t lane, uint32_t bytes) {
  UndefinedValues &u = valuesOf(w);
  auto set = [&](uint32_t &lanes, uint32_t on) { lanes = (lanes & ~(1u << lane)) | on << lane; };
  if (predicate)
    set(u.predicates[offset], bytes & 1);
  else
    for (unsigned k = 0; k < (wide ? 8u : 4u); ++k)
      set(u.slots[offset / kSlotBytes + k / 4][k % 4], bytes >> k & 1);
  if (bytes)
    track(w, u);
}

void settleUndefined(Warp &w) {
  UndefinedValues &u = *w.undefined;
  const Program &p = *w.program;
  auto readers = [&](uint32_t first, uint32_t last) {
    uint32_t lanes = w.pc >= first && w.pc <= last ? w.active : 0;
    for (const Fragment &f : w.fragments)
      lanes |= f.pc >= first && f.pc <= last ? f.mask : 0;
    return lanes;
  };
  uint32_t left = 0;
  for (uint32_t s = 0; s < u.slots.size(); ++s) {
    std::array<uint32_t, 4> &b = u.slots[s];
    if (!(b[0] | b[1] | b[2] | b[3]))
      continue;
    uint32_t lanes = 0;
    for (uint32_t k = p.firstLife[s]; k < p.firstLife[s + 1]; ++k)
      lanes |= readers(p.lives[k].first, p.lives[k].last);
    for (uint32_t &x : b)
      left |= x &= lanes;
  }
  for (uint32_t n = 0; n < u.predicates.size(); ++n)
    if (u.predicates[n])
      left |= u.predicates[n] &= readers(p.predicateLives[n].first, p.predicateLives[n].last);
  w.tracked = left != 0;
  u.steps = 0;
  u.settleAt = std::min(u.settleAt * 2, 1024u);
}

void loadUndefined(Warp &w, const Inst &i, uint32_t lanes, const uint8_t *init, const uint64_t *bit,
                   const uint64_t *address, Space space) {
  UndefinedValues &u = valuesOf(w);
  const uint32_t *list = &w.program->lists[i.list];
  bool isSigned = i.extend == Extend::Sign16 || i.extend == Extend::Sign32 || i.extend == Extend::Sign64;
  bool wide = i.width == 8 || i.extend == Extend::Zero64 || i.extend == Extend::Sign64;
  uint32_t first = uint32_t(std::countr_zero(lanes)), origin = 0;
  bool known = false;
  for (uint32_t n = 0; n < i.count; ++n) {
    if (list[n] == kFull)
      continue;
    Bytes b{};
    for (unsigned k = 0; k < i.width; ++k)
      for (uint32_t m = lanes; m; m &= m - 1) {
        uint32_t l = uint32_t(std::countr_zero(m));
        uint64_t at = bit[l] + n * i.width + k;
        b[k] |= uint32_t(!(init[at >> 3] >> (at & 7) & 1)) << l;
      }
    if (!any(b))
      continue;
    if (isSigned)
      std::fill(b.begin() + i.width, b.end(), b[i.width - 1u]);
    if (!known)
      origin = addOrigin(u, {i.statement, 0, space, uint32_t(i.width) * i.count, address[first]});
    known = true;
    uint32_t s = list[n] / kSlotBytes;
    for (unsigned k = 0; k < (wide ? 8u : 4u); ++k)
      u.slots[s + k / 4][k % 4] |= b[k];
    u.slotOrigins[s] = origin;
  }
  if (known)
    track(w, u);
}

void matrixUndefined(Warp &w, const Inst &i, uint32_t rows, const uint64_t *offset, unsigned matrices,
                     bool transposed) {
  UndefinedValues &u = valuesOf(w);
  const uint32_t *list = &w.program->lists[i.list];
  uint32_t first = uint32_t(std::countr_zero(rows));
  uint32_t origin = addOrigin(u, {i.statement, 0, Space::Shared, 16, kSharedBase + offset[first]});
  for (unsigned n = 0; n < matrices; ++n)
    for (unsigned r = 0; r < 8; ++r) {
      if (!(rows >> (8 * n + r) & 1))
        continue;
      for (unsigned k = 0; k < 16; ++k) {
        uint64_t at = offset[8 * n + r] + k;
        if (w.cta->sharedInit[at >> 3] >> (at & 7) & 1)
          continue;
        unsigned c = k / 2, lane = transposed ? 4 * c + r / 2 : 4 * r + c / 2,
                 half = (transposed ? r : c) & 1;
        uint32_t s = list[n] / kSlotBytes;
        u.slots[s][2 * half + k % 2] |= 1u << lane & w.mask;
        u.slotOrigins[s] = origin;
      }
    }
  track(w, u);
}

void shuffleUndefined(Warp &w, const Inst &i, const uint32_t *source) {
  UndefinedValues &u = *w.undefined;
  const std::array<uint32_t, 4> from = u.slots[i.a / kSlotBytes];
  std::array<uint32_t, 4> &to = u.slots[i.d / kSlotBytes];
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m)), bit = 1u << l;
    for (unsigned k = 0; k < 4; ++k)
      to[k] = (to[k] & ~bit) | (from[k] >> (source[l] & 31) & 1) << l;
  }
  if (from[0] | from[1] | from[2] | from[3])
    u.slotOrigins[i.d / kSlotBytes] = u.slotOrigins[i.a / kSlotBytes];
  if (i.d2)
    u.predicates[i.d2] &= ~w.mask;
}

void wgmmaUndefined(Warp &w, const Inst &i, bool accumulate, const LostRows &rows, const LostRows &columns) {
  const Wgmma &what = w.program->wgmmas[size_t(i.imm)];
  const uint32_t *list = &w.program->lists[i.list];
  UndefinedValues &u = valuesOf(w);
  uint32_t row[2] = {0, 0}, origin = 0; // lanes of rows 0-7 and 8-15
  // A's even registers hold rows 0-7, the odd ones rows 8-15, a row in four lanes.
  for (uint32_t r = 0; what.aRegisters && r < 4; ++r) {
    uint32_t slot = list[what.registers + r] / kSlotBytes, lanes = 0;
    for (uint32_t b : u.slots[slot])
      lanes |= b;
    row[r & 1] |= wholeRows(lanes);
    origin = lanes ? u.slotOrigins[slot] : origin;
  }
  if (rows.any || columns.any)
    origin = addOrigin(u, {i.statement, 0, Space::Shared, 16, rows.any ? rows.address : columns.address});
  for (uint32_t k = 0; rows.any && k < 16; ++k)
    row[k / 8] |= rows.has(k) ? 15u << (k % 8 * 4) : 0;
  auto column = [&](uint32_t first) { // lane t of four holds columns `first` + 2 t
    uint32_t lanes = 0;
    for (uint32_t t = 0; columns.any && t < 4; ++t)
      lanes |= columns.has(first + 2 * t) ? 0x11111111u << t : 0;
    return lanes;
  };
  bool halves = what.registers * 4 == what.columns, undefined = false; // two columns a register
  for (uint32_t r = 0; r < what.registers; ++r) {
    uint32_t rowLanes = row[halves ? r & 1 : r / 2 & 1];
    uint32_t low = rowLanes | column(halves ? r / 2 * 8 : r / 4 * 8 + r % 2);
    uint32_t high = halves ? rowLanes | column(r / 2 * 8 + 1) : low;
    std::array<uint32_t, 4> &d = u.slots[list[r] / kSlotBytes];
    if (low | high)
      u.slotOrigins[list[r] / kSlotBytes] = origin;
    uint32_t oldLow = accumulate ? d[0] | d[1] : 0, oldHigh = accumulate ? d[2] | d[3] : 0;
    low |= oldLow | (halves ? 0 : oldHigh);
    high |= oldHigh | (halves ? 0 : oldLow);
    d = {low, low, high, high};
    undefined |= (low | high) != 0;
  }
  if (undefined)
    track(w, u);
}

} // namespace attune::sim
