//===- Wgmma.cpp - issue, order and waits of wgmma ------------------------===//
#include "simulator/Wgmma.h"
#include "simulator/AsyncProxy.h"
#include "simulator/Exec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

MatrixDescriptor MatrixDescriptor::from(uint64_t bits) {
  auto field = [&](unsigned at) { return uint32_t(bits >> at & 0x3FFF) << 4; };
  constexpr uint32_t widths[] = {0, 128, 64, 32};
  return {field(0), field(16), field(32), widths[bits >> 62], uint32_t(bits >> 49 & 7)};
}

// PTX ISA, "Strides" and "Canonical layouts" of wgmma, in units of 16 bytes. K-major, no swizzle:
// ((8, n), 2) : ((1, SBO), LBO); a pattern of w units: ((8, n), 2) : ((w, SBO), 1). MN-major, no swizzle:
// ((1, n), (8, k)) : ((x, SBO), (1, LBO)); a pattern: ((w, n), (8, k)) : ((1, LBO), (w, SBO)).
uint32_t MatrixDescriptor::chunk(bool transposed, uint32_t row, uint32_t half) const {
  uint32_t at = start;
  if (!transposed) {
    at += width ? row % 8 * width + row / 8 * stride + half * 16
                : row % 8 * 16 + row / 8 * stride + half * leading;
  } else if (width) {
    uint32_t units = width / 16;
    at += row % units * 16 + row / units * leading + half % 8 * width + half / 8 * stride;
  } else {
    at += row * stride + half % 8 * 16 + half / 8 * leading;
  }
  // The 16-byte units of each row of the pattern are exchanged by the row's number: bits 4-6 by bits 7-9.
  uint32_t pattern = width ? width / 16 - 1 : 0;
  return at ^ (((at >> 7) - base) & pattern) << 4;
}

std::string MatrixDescriptor::misuse(bool transposed, uint32_t rows, uint64_t bits) const {
  constexpr uint64_t reserved = ~(0x3FFFull | 0x3FFFull << 16 | 0x3FFFull << 32 | 7ull << 49 | 3ull << 62);
  if (bits & reserved)
    return fmt::format("expected zeros in the bits of the descriptor 0x{:016x} that have no meaning", bits);
  if (!width)
    return base ? "expected a base offset of 0 without a swizzle" : "";
  uint32_t pattern = width / 16 - 1, row = start >> 7 & pattern;
  if (row != (base & pattern))
    return fmt::format(
        "the start address 0x{:x} lies in row {} of the pattern of the {}-byte swizzle, which "
        "begins at multiples of {} bytes; expected row 0, or its number as base offset, got {}",
        start, row, width, 8 * width, base);
  bool several = transposed || rows > 8;
  if (several && stride % (8 * width))
    return fmt::format(
        "expected a stride byte offset that is a multiple of {} with a {}-byte swizzle, got {}", 8 * width,
        width, stride);
  return "";
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// Calls `see` with the address of each 16 bytes that rows [from, to) of a matrix have.
template <class F>
static void eachChunk(const MatrixDescriptor &m, bool transposed, uint32_t from, uint32_t to, const F &see) {
  uint32_t rows = transposed ? 8 : 1, halves = transposed ? 16 : 2;
  for (uint32_t row = from / rows; row < to / rows; ++row)
    for (uint32_t half = 0; half < halves; ++half)
      see(m.chunk(transposed, row, half), row, half);
}

/// Reads rows [from, to) into 32 bytes each; what lies outside of shared memory is 0. Gives the rows that
/// were never written; what a copy in flight will write is told elsewhere.
static LostRows load(const Cta &cta, const MatrixDescriptor &m, bool transposed, uint32_t from, uint32_t to,
                     std::byte (*rows)[32]) {
  LostRows lost;
  eachChunk(m, transposed, from, to, [&](uint32_t address, uint32_t row, uint32_t half) {
    alignas(16) std::byte unit[16] = {};
    uint16_t written = 0xFFFF;
    if (address >= kSharedBase && address + 16 <= kSharedBase + cta.sharedBytes) {
      std::memcpy(unit, cta.shared + (address - kSharedBase), 16);
      std::memcpy(&written, cta.sharedInit + (address - kSharedBase) / 8, 2);
      if (written != 0xFFFF && cta.async->writing(address - kSharedBase, 16))
        written = 0xFFFF;
    }
    if (!transposed) {
      std::memcpy(rows[row - from] + 16 * half, unit, 16);
      if (written != 0xFFFF)
        lost.add(row - from, address);
      return;
    }
    for (uint32_t n = 0; n < 8; ++n) {
      std::memcpy(rows[8 * row + n - from] + 2 * half, unit + 2 * n, 2);
      if ((written >> (2 * n) & 3) != 3)
        lost.add(8 * row + n - from, address);
    }
  });
  return lost;
}

static void negate(std::byte (*rows)[32], uint32_t count, MatrixType t) {
  uint32_t step = t == MatrixType::TF32 ? 4 : t <= MatrixType::BF16 ? 2 : 1;
  for (uint32_t r = 0; r < count; ++r)
    for (uint32_t b = step - 1; b < 32; b += step)
      rows[r][b] ^= std::byte(0x80);
}

/// The fragment of A: register r of lane 4 g + t has 4 bytes of row g + 8 (r & 1) from 16 (r / 2) + 4 t on.
static void loadFragment(const Warp &w, const uint32_t *list, std::byte (*rows)[32]) {
  for (uint32_t r = 0; r < 4; ++r)
    for (uint32_t l = 0; l < 32; ++l)
      std::memcpy(rows[l / 4 + 8 * (r & 1)] + 16 * (r / 2) + 4 * (l % 4), w.regs + list[r] + 4 * l, 4);
}

/// The data of a product moves.
static void multiply(Cta &cta, Warpgroup &group, uint32_t sequence) {
  WgmmaOp &op = group.op(sequence);
  const Wgmma &what = *op.what;
  static thread_local WgmmaInput in;
  in.columns = what.columns;
  in.accumulate = op.accumulate;
  in.saturate = what.saturate;
  in.freshB = true;
  LostRows columns = load(cta, MatrixDescriptor::from(op.b), what.transposeB, 0, what.columns, in.b);
  if (what.negateB)
    negate(in.b, what.columns, what.b);
  uint32_t first = uint32_t(&group - cta.warpgroups.data()) * 4;
  for (uint32_t k = 0; k < 4; ++k) {
    Warp &w = cta.warps[first + k];
    LostRows rows;
    if (what.aRegisters)
      loadFragment(w, &w.program->lists[op.inst->list] + what.registers, in.a);
    else
      rows = load(cta, MatrixDescriptor::from(op.a), what.transposeA, 16 * k, 16 * k + 16, in.a);
    if (what.negateA)
      negate(in.a, 16, what.a);
    w.wgmma->input = &in;
    what.multiply(w, *op.inst);
    if ((rows.any || columns.any || w.tracked) && w.worker->launch->checks)
      wgmmaUndefined(w, *op.inst, op.accumulate, rows, columns);
    in.freshB = false;
  }
  cta.warps[first].worker->counters.multiplyAdds += 64ull * what.columns * what.k();
  op.landed = true;
  group.landed = sequence;
}

using Cells = std::vector<std::pair<uint32_t, uint32_t>>; ///< runs of 16 bytes of shared memory: first, end

/// What rows [from, to) of a matrix have of shared memory; what lies outside is told. Kept for the next call:
/// the four warps of a warpgroup ask for the same B.
static const Cells &cellsOf(Warp &w, const Inst &i, const MatrixDescriptor &m, bool transposed, uint32_t from,
                            uint32_t to) {
  static thread_local std::vector<uint64_t> bits;
  static thread_local Cells cells;
  static thread_local std::array<uint32_t, 9> last{};
  uint32_t bytes = w.cta->sharedBytes;
  std::array<uint32_t, 9> asked = {m.start,    m.leading, m.stride, m.width, m.base,
                                   transposed, from,      to,       bytes};
  if (asked == last)
    return cells;
  last = asked;
  cells.clear();
  bits.assign(bytes / 1024 + 2, 0);
  uint32_t limit = kSharedBase + bytes, low = kFull, high = 0;
  eachChunk(m, transposed, from, to, [&](uint32_t address, uint32_t, uint32_t) {
    if (address < kSharedBase || address + 16 > limit) {
      reportSharedOutOfBounds(w, i, 0, address, 16, false);
      last = {};
      return;
    }
    uint32_t cell = (address - kSharedBase) >> 4;
    bits[cell / 64] |= 1ull << (cell % 64);
    low = std::min(low, cell);
    high = std::max(high, cell);
  });
  for (uint32_t cell = low; cell <= high;) {
    uint64_t rest = bits[cell / 64] >> (cell % 64);
    if (!rest) {
      cell = (cell / 64 + 1) * 64;
      continue;
    }
    cell += uint32_t(std::countr_zero(rest));
    uint32_t end = cell;
    while (end <= high && bits[end / 64] >> (end % 64) & 1)
      ++end;
    cells.push_back({cell, end});
    cell = end;
  }
  return cells;
}

/// The warp reads rows [from, to) of a matrix from now on.
static void touchMatrix(Warp &w, const Inst &i, uint32_t op, const MatrixDescriptor &m, bool transposed,
                        uint32_t from, uint32_t to) {
  for (auto [cell, end] : cellsOf(w, i, m, transposed, from, to))
    w.cta->async->reads(w, op, cell * 16, (end - cell) * 16);
}

/// A 64-bit register that all lanes must agree on.
static uint64_t uniform(Warp &w, const Inst &i, uint32_t offset, std::string_view what) {
  const uint64_t *v = reinterpret_cast<const uint64_t *>(w.regs + offset);
  for (uint32_t l = 1; l < 32; ++l)
    if (v[l] != v[0] && (w.mask >> l & 1)) {
      misuse(w, i, FindingKind::BadOperand,
             fmt::format("expected one {} in all threads, got 0x{:016x} in lane 0 and 0x{:016x} in lane {}",
                         what, v[0], v[l], l));
      break;
    }
  return v[0];
}

static std::string orderText(const WarpWgmma::Slot &slot, const WarpWgmma &me) {
  uint32_t sequence = std::max(slot.accumulator, slot.fragment);
  return sequence > me.grouped ? "expected wgmma.commit_group behind it and wgmma.wait_group before this"
                               : "expected a wgmma.wait_group that covers its group before this";
}

/// What is wrong with the registers of a product that is about to be issued.
static void checkRegisters(Warp &w, const Inst &i, const Wgmma &what) {
  WarpWgmma &me = *w.wgmma;
  const uint32_t *list = &w.program->lists[i.list];
  uint32_t total = what.registers + (what.aRegisters ? 4 : 0);
  if (!me.epoch)
    misuse(w, i, FindingKind::MissingWait,
           "the warp's first wgmma.mma_async has no wgmma.fence before it, which orders it behind what wrote "
           "its "
           "registers");
  for (uint32_t r = 0; r < total; ++r) {
    WarpWgmma::Slot &slot = me.slots[list[r] / kSlotBytes];
    bool accumulator = r < what.registers, chained = accumulator && slot.shape == what.shape();
    auto role = [&] {
      return accumulator ? fmt::format("accumulator {}", r)
                         : fmt::format("register {} of A", r - what.registers);
    };
    if (slot.touchSite && slot.touchEpoch == me.epoch && me.epoch)
      misuse(w, i, FindingKind::MissingWait,
             fmt::format(
                 "{} was used by another instruction with no wgmma.fence between them; expected wgmma.fence "
                 "behind all that touches registers of a product",
                 role()),
             {int64_t(slot.touchSite - 1), w.index});
    if (slot.accumulator > me.done && !chained)
      misuse(w, i, FindingKind::MissingWait,
             fmt::format("{} is an accumulator of a product {}in flight; {}", role(),
                         accumulator ? "of another shape " : "", orderText(slot, me)),
             {int64_t(slot.accumulatorSite), w.index});
    else if (slot.accumulator && slot.epoch == me.epoch && !chained)
      misuse(w, i, FindingKind::MissingWait,
             fmt::format("{} was an accumulator of a product of another shape with no wgmma.fence behind it",
                         role()),
             {int64_t(slot.accumulatorSite), w.index});
    if (accumulator && slot.fragment > me.done)
      misuse(w, i, FindingKind::MissingWait,
             fmt::format("{} is a register of A of a product in flight; {}", role(), orderText(slot, me)),
             {int64_t(slot.fragmentSite), w.index});
  }
}

/// The warp comes to its next product: a new one, or one that others of its warpgroup have issued.
static WgmmaOp &joinProduct(Warp &w, const Inst &i, const Wgmma &what, bool accumulate) {
  Warpgroup &group = groupOf(w);
  uint32_t sequence = ++w.wgmma->issued;
  if (sequence - group.first == group.ops.size()) {
    WgmmaOp op;
    op.inst = &i;
    op.what = &what;
    op.a = what.aRegisters ? 0 : uniform(w, i, i.a, "descriptor of A");
    op.b = uniform(w, i, i.b, "descriptor of B");
    op.accumulate = accumulate;
    op.number = w.cta->async->start(w, i, AsyncKind::Matrix, 0, w.index / 4 * 4, 4);
    group.ops.push_back(op);
  } else {
    WgmmaOp &op = group.op(sequence);
    uint32_t partner = w.index / 4 * 4 + uint32_t(std::countr_zero(uint32_t(op.issued)));
    OtherAccess other{int64_t(op.inst->statement), partner};
    uint64_t a = what.aRegisters ? 0 : uniform(w, i, i.a, "descriptor of A");
    uint64_t b = uniform(w, i, i.b, "descriptor of B");
    if (op.inst != &i)
      misuse(w, i, FindingKind::Divergence,
             fmt::format(
                 "warp {} executes it where warp {} of its warpgroup executes another product; expected the "
                 "four warps to execute the same",
                 w.index, partner),
             other);
    else if (a != op.a || b != op.b)
      misuse(w, i, FindingKind::BadOperand,
             fmt::format(
                 "expected one descriptor of {} in the four warps of a warpgroup, got 0x{:016x} in warp {} "
                 "and 0x{:016x} in warp {}",
                 a != op.a ? 'A' : 'B', a != op.a ? op.a : op.b, partner, a != op.a ? a : b, w.index),
             other);
    else if (accumulate != op.accumulate)
      misuse(w, i, FindingKind::BadOperand,
             fmt::format(
                 "expected one scale-d in the four warps of a warpgroup, got {} in warp {} and {} in warp {}",
                 int(op.accumulate), partner, int(accumulate), w.index),
             other);
  }
  return group.op(sequence);
}

void execWgmma(Warp &w, const Inst &i) {
  if (!gatherWarpgroup(w, i))
    return;
  const Wgmma &what = w.program->wgmmas[size_t(i.imm)];
  WarpWgmma &me = *w.wgmma;
  Warpgroup &group = groupOf(w);
  bool checks = w.worker->launch->checks;
  uint32_t scale = w.preds[i.c] ^ (what.scaleNegated ? kFull : 0);
  if ((scale & w.mask) != 0 && (scale & w.mask) != w.mask)
    misuse(w, i, FindingKind::BadOperand,
           fmt::format("expected one scale-d in all threads, got true in lanes 0x{:08x}", scale & w.mask));
  bool accumulate = scale & 1;
  const uint32_t *list = &w.program->lists[i.list];
  if (checks)
    checkRegisters(w, i, what);
  WgmmaOp &op = joinProduct(w, i, what, accumulate);
  for (uint32_t r = 0; r < what.registers; ++r) {
    WarpWgmma::Slot &slot = me.slots[list[r] / kSlotBytes];
    slot.accumulator = me.issued;
    slot.accumulatorSite = i.statement;
    slot.shape = what.shape();
    slot.epoch = me.epoch;
  }
  for (uint32_t r = 0; what.aRegisters && r < 4; ++r) {
    WarpWgmma::Slot &slot = me.slots[list[what.registers + r] / kSlotBytes];
    slot.fragment = me.issued;
    slot.fragmentSite = i.statement;
  }
  if (op.inst == &i) {
    MatrixDescriptor a = MatrixDescriptor::from(op.a), b = MatrixDescriptor::from(op.b);
    std::string wrong = what.aRegisters ? "" : a.misuse(what.transposeA, 64, op.a);
    if (std::string text = b.misuse(what.transposeB, what.columns, op.b); !text.empty() || !wrong.empty())
      misuse(w, i, FindingKind::BadOperand,
             fmt::format("descriptor of {}: {}", wrong.empty() ? 'B' : 'A', wrong.empty() ? text : wrong));
    uint32_t row = w.index % 4 * 16;
    if (!what.aRegisters)
      touchMatrix(w, i, op.number, a, what.transposeA, row, row + 16);
    touchMatrix(w, i, op.number, b, what.transposeB, 0, what.columns);
  }
  op.issued |= uint8_t(1 << w.index % 4);
  if (op.issued != 15)
    return;
  Cta *cta = w.cta;
  uint32_t sequence = me.issued;
  Warpgroup *shared = &group;
  cta->async->issue(op.number, [cta, shared, sequence] {
    for (uint32_t s = shared->landed + 1; s <= sequence; ++s)
      multiply(*cta, *shared, s);
  });
  for (uint32_t k = 0; k < 4; ++k)
    if (Warp &other = cta->warps[w.index / 4 * 4 + k]; other.state == WarpState::Waiting)
      wake(other);
}

void execWgmmaFence(Warp &w, const Inst &i) {
  if (gatherWarpgroup(w, i))
    ++w.wgmma->epoch;
}

void execWgmmaCommit(Warp &w, const Inst &i) {
  if (!gatherWarpgroup(w, i))
    return;
  w.wgmma->grouped = w.wgmma->issued;
  w.wgmma->committed.push_back(w.wgmma->issued);
}

/// The product's warps that have not come to it.
static std::string missingPartners(const Warp &w) {
  Warpgroup &group = w.cta->warpgroups[w.index / 4];
  for (WgmmaOp &op : group.ops)
    if (op.issued != 15 && (op.issued >> w.index % 4 & 1)) {
      std::string others;
      for (uint32_t k = 0; k < 4; ++k)
        if (!(op.issued >> k & 1))
          others += fmt::format("{}{}", others.empty() ? "" : ", ", w.index / 4 * 4 + k);
      return fmt::format(
          "waits for a wgmma.mma_async (line {}) which warp {} of its warpgroup has not executed",
          w.program->statements[op.inst->statement].ptxLine, others);
    }
  return "waits for its warpgroup";
}

/// Makes the products up to `sequence` act. False: another warp has to issue one first; the warp is
/// suspended.
static bool landUpTo(Warp &w, uint32_t sequence) {
  Warpgroup &group = groupOf(w);
  for (uint32_t s = std::max(group.landed + 1, group.first); s <= sequence; ++s) {
    WgmmaOp &op = group.op(s);
    if (op.issued != 15) {
      suspend(w, missingPartners);
      return false;
    }
    if (!op.landed)
      multiply(*w.cta, group, s);
  }
  return true;
}

void execWgmmaWait(Warp &w, const Inst &i) {
  if (!gatherWarpgroup(w, i))
    return;
  WarpWgmma &me = *w.wgmma;
  Warpgroup &group = groupOf(w);
  size_t pending = size_t(i.imm);
  if (me.committed.size() <= pending)
    return;
  size_t ended = me.committed.size() - pending;
  uint32_t last = me.committed[ended - 1];
  if (last > me.done && !landUpTo(w, last))
    return;
  uint8_t bit = uint8_t(1 << w.index % 4);
  for (uint32_t s = me.done + 1; s <= last; ++s) {
    WgmmaOp &op = group.op(s);
    w.cta->async->finish(w, op.number);
    op.finished |= bit;
  }
  me.done = std::max(me.done, last);
  me.committed.erase(me.committed.begin(), me.committed.begin() + ptrdiff_t(ended));
  while (!group.ops.empty() && group.ops.front().finished == 15) {
    group.ops.pop_front();
    ++group.first;
  }
}

//===----------------------------------------------------------------------===//
// Other instructions on a product's registers
//===----------------------------------------------------------------------===//

void execWatched(Warp &w, const Inst &i) {
  const Watched &watched = w.program->watched[i.watched];
  WarpWgmma &me = *w.wgmma;
  uint32_t carried = 0, carriedSite = 0; // the product whose result a move copies
  auto touch = [&](const WarpWgmma::Slot &slot, std::string_view action) {
    bool accumulator = slot.accumulator > me.done;
    misuse(w, i, FindingKind::MissingWait,
           fmt::format("{} {} of a wgmma.mma_async in flight; {}", action,
                       accumulator ? "an accumulator" : "a register of A", orderText(slot, me)),
           {int64_t(accumulator ? slot.accumulatorSite : slot.fragmentSite), w.index});
  };
  for (uint32_t offset : watched.reads) {
    WarpWgmma::Slot &slot = me.slots[offset / kSlotBytes];
    if (watched.move && slot.accumulator > me.done) {
      if (!landUpTo(w, slot.accumulator))
        return;
      carried = slot.accumulator;
      carriedSite = slot.accumulatorSite;
    } else if (!watched.move && std::max(slot.accumulator, slot.fragment) > me.done) {
      touch(slot, "reads");
    }
  }
  for (uint32_t offset : watched.writes) {
    WarpWgmma::Slot &slot = me.slots[offset / kSlotBytes];
    if (slot.fragment > me.done || (slot.accumulator > me.done && slot.accumulator != carried))
      touch(slot, "writes");
  }
  watched.fn(w, i);
  for (uint32_t offset : watched.writes)
    if (carried) {
      me.slots[offset / kSlotBytes].accumulator = carried;
      me.slots[offset / kSlotBytes].accumulatorSite = carriedSite;
    }
  if (watched.move)
    return;
  for (const auto *list : {&watched.reads, &watched.writes})
    for (uint32_t offset : *list) {
      WarpWgmma::Slot &slot = me.slots[offset / kSlotBytes];
      slot.touchEpoch = me.epoch;
      slot.touchSite = i.statement + 1;
    }
}

} // namespace attune::sim
