//===- Allocate.cpp - register slots, and which registers may be undefined -===//
//
// Compilers' PTX has thousands of registers, each written once. Slots are shared by registers whose live
// ranges do not meet, so that a warp's file stays in the first-level caches. A register that may be read
// before it is written keeps a slot of its own, so that it is undefined where it was not written.
//
//===----------------------------------------------------------------------===//
#include "simulator/Decode.h"

#include <algorithm>
#include <bit>
#include <queue>

namespace attune::sim {

static bool test(const std::vector<uint64_t> &set, uint32_t n) { return set[n / 64] >> (n % 64) & 1; }
static void put(std::vector<uint64_t> &set, uint32_t n) { set[n / 64] |= 1ull << (n % 64); }

void Allocator::blocks() {
  uint32_t n = uint32_t(p.code.size());
  std::vector<bool> leader(n + 1);
  leader[0] = true;
  for (uint32_t i = 0; i < n; ++i) {
    bool isBranch = p.code[i].fn == execBranch, isCall = p.code[i].fn == execCall;
    if (isBranch)
      leader[p.code[i].target] = true;
    for (uint32_t to : callSuccessors(i))
      leader[to] = true;
    if (isBranch || isCall || p.code[i].fn == execReturn || p.code[i].fn == execExit ||
        p.code[i].fn == execTrap)
      leader[i + 1] = true;
  }
  blockOf.resize(n);
  for (uint32_t i = 0; i < n; ++i) {
    if (leader[i])
      graph.push_back({i, i, {}, {}, {}, {}, {}});
    blockOf[i] = uint32_t(graph.size() - 1);
    graph.back().end = i + 1;
  }
  for (uint32_t b = 0; b < graph.size(); ++b) {
    const Inst &end = p.code[graph[b].end - 1];
    bool guarded =
        firstFixup[graph[b].end - 1] < firstFixup[graph[b].end] &&
        std::any_of(
            d.fixups.begin() + firstFixup[graph[b].end - 1], d.fixups.begin() + firstFixup[graph[b].end],
            [](const Fixup &f) { return f.field == Field::Guard; });
    bool leaves = end.fn == execExit || end.fn == execTrap || end.fn == execBranch || end.fn == execCall ||
                  end.fn == execReturn;
    bool falls = !leaves || guarded;
    for (uint32_t to : callSuccessors(graph[b].end - 1))
      graph[b].successors.push_back(blockOf[to]);
    if (end.fn == execBranch)
      graph[b].successors.push_back(blockOf[end.target]);
    if (falls && graph[b].end < n)
      graph[b].successors.push_back(b + 1);
  }
}

void Allocator::liveness() {
  size_t words = (registers + 63) / 64;
  for (Block &b : graph) {
    b.use.assign(words, 0);
    b.def.assign(words, 0);
    b.in.assign(words, 0);
    b.out.assign(words, 0);
    for (uint32_t i = b.begin; i < b.end; ++i) {
      bool guarded = false;
      for (uint32_t f = firstFixup[i]; f < firstFixup[i + 1]; ++f) {
        const Fixup &x = d.fixups[f];
        if (x.kind != Fixup::Register || x.def)
          continue;
        guarded |= x.field == Field::Guard;
        if (!test(b.def, x.index))
          put(b.use, x.index);
      }
      for (uint32_t f = firstFixup[i]; f < firstFixup[i + 1]; ++f) {
        const Fixup &x = d.fixups[f];
        if (x.kind == Fixup::Register && x.def && !guarded)
          put(b.def, x.index);
      }
    }
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t n = graph.size(); n-- > 0;) {
      Block &b = graph[n];
      for (size_t w = 0; w < words; ++w) {
        uint64_t out = 0;
        for (uint32_t s : b.successors)
          out |= graph[s].in[w];
        uint64_t in = b.use[w] | (out & ~b.def[w]);
        changed |= in != b.in[w];
        b.out[w] = out;
        b.in[w] = in;
      }
    }
  }
}

/// An atomic on global memory whose result is used depends on the order of the blocks.
void Allocator::communication() {
  std::vector<bool> used(registers);
  for (const Fixup &f : d.fixups)
    if (f.kind == Fixup::Register && !f.def)
      used[f.index] = true;
  for (const Fixup &f : d.fixups)
    if (f.kind == Fixup::Register && f.def && used[f.index] && p.code[f.inst].atomic &&
        p.code[f.inst].aux != 1 && p.code[f.inst].aux != 3)
      p.communicates = true;
}

/// Which instructions have a way to the end: whoever is elsewhere for long is there for ever.
void Allocator::endless() {
  std::vector<bool> good(graph.size());
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t b = graph.size(); b-- > 0;) {
      const Inst &end = p.code[graph[b].end - 1];
      bool ok = end.fn == execExit || end.fn == execTrap;
      for (uint32_t s : graph[b].successors)
        ok = ok || good[s];
      changed |= ok && !good[b];
      good[b] = good[b] || ok;
    }
  }
  for (uint32_t i = 0; i < p.code.size(); ++i)
    p.code[i].exits = good[blockOf[i]];
}

/// Where the registers of each instruction are, for traces.
void Allocator::names() {
  for (uint32_t i = 0; i < p.code.size(); ++i) {
    p.firstOperand.push_back(uint32_t(p.operands.size()));
    for (uint32_t f = firstFixup[i]; f < firstFixup[i + 1]; ++f) {
      const Fixup &x = d.fixups[f];
      if (x.field == Field::Flight)
        continue;
      if (x.kind == Fixup::Register && x.index < d.function.registers.size())
        p.operands.push_back(
            {d.function.registers[x.index].name, d.registerType(x.index), offset[x.index], x.def});
      else if (x.kind == Fixup::Special)
        p.operands.push_back({p.specials[x.index].name, Type::B32, p.specials[x.index].offset, false});
    }
  }
  p.firstOperand.push_back(uint32_t(p.operands.size()));
}

void Allocator::slots() {
  // Constants and special registers come first.
  uint32_t at = 0;
  for (Program::Constant &c : d.constants) {
    c.offset = at;
    at += c.wide ? 2 * kSlotBytes : kSlotBytes;
  }
  p.constants = d.constants;
  for (const std::string &name : d.specials) {
    p.specials.push_back({at, name});
    p.usesReserved |= name.starts_with("%reserved_smem_offset_");
    p.usesWorkspace |= name == "%envreg1" || name == "%envreg2";
    at += kSlotBytes;
  }
  struct Interval {
    uint32_t reg, first, last;
  };
  std::vector<uint32_t> first(registers, kFull), last(registers, 0);
  auto touch = [&](uint32_t r, uint32_t i) {
    first[r] = std::min(first[r], i);
    last[r] = std::max(last[r], i);
  };
  for (const Fixup &f : d.fixups)
    if (f.kind == Fixup::Register)
      touch(f.index, f.inst);
  auto touchAll = [&](const std::vector<uint64_t> &set, uint32_t i) {
    for (uint32_t k = 0; k < set.size(); ++k)
      for (uint64_t m = set[k]; m; m &= m - 1)
        touch(k * 64 + uint32_t(std::countr_zero(m)), i);
  };
  for (const Block &b : graph) {
    touchAll(b.in, b.begin);
    touchAll(b.out, b.end - 1);
  }
  offset.assign(registers, 0);
  std::vector<Interval> intervals;
  uint32_t predicate = kFalsePredicate + 1;
  p.predicateLives = {{0, kFull, 0}, {kFalsePredicate, kFull, 0}};
  for (uint32_t r = 0; r < registers; ++r) {
    if (first[r] == kFull)
      continue;
    if (isPredicate(r)) {
      p.predicateLives.push_back({predicate, first[r], last[r]});
      offset[r] = predicate++;
    } else if (undefined[r]) {
      offset[r] = at;
      at += typeBytes(d.registerType(r)) == 8 ? 2 * kSlotBytes : kSlotBytes;
    } else {
      intervals.push_back({r, first[r], last[r]});
    }
  }
  p.predicates = predicate;
  std::sort(intervals.begin(), intervals.end(), [](const Interval &a, const Interval &b) {
    return std::tie(a.first, a.reg) < std::tie(b.first, b.reg);
  });
  // Two slots never serve one instruction as source and as destination, so handlers need not care.
  using Entry = std::pair<uint32_t, uint32_t>; // last use, register
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> active;
  std::vector<uint32_t> free[2];
  for (const Interval &v : intervals) {
    while (!active.empty() && active.top().first < v.first) {
      uint32_t r = active.top().second;
      free[typeBytes(d.registerType(r)) == 8].push_back(offset[r]);
      active.pop();
    }
    bool wide = typeBytes(d.registerType(v.reg)) == 8;
    if (!free[wide].empty()) {
      offset[v.reg] = free[wide].back();
      free[wide].pop_back();
    } else {
      offset[v.reg] = at;
      at += wide ? 2 * kSlotBytes : kSlotBytes;
    }
    active.push({v.last, v.reg});
  }
  for (uint32_t r = 0; r < registers; ++r)
    if (first[r] != kFull && !isPredicate(r))
      for (uint32_t part = 0; part < (typeBytes(d.registerType(r)) == 8 ? 2u : 1u); ++part)
        p.lives.push_back({offset[r] / kSlotBytes + part, first[r], last[r]});
  std::sort(p.lives.begin(), p.lives.end(),
            [](const SlotLife &a, const SlotLife &b) { return a.slot < b.slot; });
  p.firstLife.assign(at / kSlotBytes + 2, 0);
  for (const SlotLife &l : p.lives)
    ++p.firstLife[l.slot + 1];
  for (size_t k = 1; k < p.firstLife.size(); ++k)
    p.firstLife[k] += p.firstLife[k - 1];
  p.fileBytes = at;
  p.info.registerSlots = at / kSlotBytes;
  for (uint32_t r = 0; r < registers; ++r) {
    if (!undefined[r] || first[r] == kFull)
      continue;
    if (isPredicate(r)) {
      p.undefinedPredicates.push_back(offset[r]);
    } else {
      p.undefinedSlots.push_back(offset[r]);
      if (typeBytes(d.registerType(r)) == 8)
        p.undefinedSlots.push_back(offset[r] + kSlotBytes);
    }
  }
}

void Allocator::patch() {
  for (const Fixup &f : d.fixups) {
    uint32_t v = f.kind == Fixup::Register   ? offset[f.index]
                 : f.kind == Fixup::Constant ? p.constants[f.index].offset
                                             : p.specials[f.index].offset;
    Inst &i = p.code[f.inst];
    switch (f.field) {
    case Field::D:
      i.d = v;
      break;
    case Field::A:
      i.a = v;
      break;
    case Field::B:
      i.b = v;
      break;
    case Field::C:
      i.c = v;
      break;
    case Field::D2:
      i.d2 = v;
      break;
    case Field::Guard:
      i.guard = v;
      break;
    case Field::List:
      p.lists[f.list] = v;
      break;
    case Field::Flight:
      break;
    }
  }
}

/// What undefined operands do.
void Allocator::flow() {
  p.flows.reserve(p.code.size() + 1);
  for (uint32_t i = 0; i < p.code.size(); ++i) {
    p.flows.push_back({uint32_t(p.flowRefs.size()), flowRule(p.code[i])});
    for (uint32_t f = firstFixup[i]; f < firstFixup[i + 1]; ++f) {
      const Fixup &x = d.fixups[f];
      if (x.kind == Fixup::Register && x.field != Field::Flight)
        p.flowRefs.push_back(
            {offset[x.index], x.field, x.def, isPredicate(x.index), typeBytes(d.registerType(x.index)) == 8});
    }
  }
  p.flows.push_back({uint32_t(p.flowRefs.size()), {}});
  p.flowRefs.push_back({}); // so that the end has an address
}

/// Fixups were recorded instruction by instruction, but for some.
void Allocator::index() {
  std::sort(d.fixups.begin(), d.fixups.end(), [](const Fixup &a, const Fixup &b) { return a.inst < b.inst; });
  firstFixup.assign(p.code.size() + 1, 0);
  for (const Fixup &f : d.fixups)
    ++firstFixup[f.inst + 1];
  for (size_t i = 0; i < p.code.size(); ++i)
    firstFixup[i + 1] += firstFixup[i];
}

void Allocator::run() {
  registers = uint32_t(d.function.registers.size() + d.temporaries.size());
  index();
  blocks();
  order();
  keepInFlight();
  liveness();
  undefined.assign(registers, false);
  for (uint32_t r = 0; r < registers; ++r)
    undefined[r] = test(graph[0].in, r);
  communication();
  slots();
  saveAtCalls();
  patch();
  endless();
  names();
  flow();
  watch();
}

} // namespace attune::sim
