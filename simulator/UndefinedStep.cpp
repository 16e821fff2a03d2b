//===- UndefinedStep.cpp - one instruction of a warp that has undefined values -===//
#include "simulator/Cluster.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace attune::sim {

namespace {

using Bytes = std::array<uint32_t, 8>;
using Result = UndefinedValues::Result;

Bytes bytesAt(const UndefinedValues &u, uint32_t offset, bool wide) {
  Bytes b{};
  std::memcpy(b.data(), u.slots[offset / kSlotBytes].data(), wide ? 32 : 16);
  return b;
}
uint32_t any(const Bytes &b) {
  uint32_t m = 0;
  for (uint32_t x : b)
    m |= x;
  return m;
}
Bytes all(uint32_t lanes) {
  Bytes b;
  b.fill(lanes);
  return b;
}
uint32_t lanesOf(const UndefinedValues &u, const FlowRef &r) {
  return r.predicate ? u.predicates[r.offset] : any(bytesAt(u, r.offset, r.wide));
}
uint32_t originOf(const UndefinedValues &u, const FlowRef &r) {
  return r.predicate ? u.predicateOrigins[r.offset] : u.slotOrigins[r.offset / kSlotBytes];
}
void forget(UndefinedValues &u, const FlowRef &r, uint32_t lanes) {
  if (r.predicate)
    u.predicates[r.offset] &= ~lanes;
  else
    for (uint32_t s = r.offset / kSlotBytes; s <= r.offset / kSlotBytes + r.wide; ++s)
      for (uint32_t &b : u.slots[s])
        b &= ~lanes;
}

/// One instruction's way through executeUndefined.
class Step {
public:
  Step(Warp &w, const Inst &i)
      : w(w), i(i), u(*w.undefined), flow(w.program->flows[size_t(&i - w.program->code.data())]),
        refs(&w.program->flowRefs[flow.first]), end(&w.program->flowRefs[(&flow + 1)->first]), lanes(w.mask),
        relevant(i.runsEmpty ? w.active : w.mask), guard(u.predicates[i.guard] & w.active) {}

  void run() {
    bool touched = guard != 0;
    for (const FlowRef *r = refs; r != end && !touched; ++r)
      touched = lanesOf(u, *r) != 0;
    if (!touched)
      return execute();
    u.results.clear();
    Flow f = flow.rule.flow;
    bool effect = f == Flow::Matters || f == Flow::Store || f == Flow::MatrixStore;
    if (guard && effect) {
      const FlowRef *r = std::find_if(refs, end, [](const FlowRef &x) { return x.field == Field::Guard; });
      tell(*r, guard, i.fn == execBranch ? "decides a branch" : "decides whether this is executed");
      guard = 0;
    }
    operands(f);
    if (f == Flow::Load || f == Flow::MatrixLoad) // the handler says what is undefined
      for (const FlowRef *r = refs; r != end; ++r)
        if (r->def)
          forget(u, *r, lanes);
    uint32_t pc = w.pc, active = w.active;
    execute();
    bool suspended = w.pc != pc || w.active != active;
    if (suspended)
      return;
    if (f == Flow::Store)
      stored();
    else if (f == Flow::MatrixStore)
      storedMatrix();
    if (f != Flow::Load && f != Flow::MatrixLoad && f != Flow::Shuffle && f != Flow::Wgmma)
      for (const FlowRef *r = refs; r != end; ++r) // what no rule spoke of is defined
        if (r->def && std::none_of(u.results.begin(), u.results.end(), [&](const Result &x) {
              return x.offset == r->offset && x.predicate == r->predicate;
            }))
          forget(u, *r, lanes);
    for (const Result &r : u.results)
      apply(r);
    if (guard) // a value that depends on whether this was executed
      for (const FlowRef *r = refs; r != end; ++r)
        if (r->def) {
          Result x{r->offset, r->predicate, r->wide, all(guard), u.predicateOrigins[i.guard]};
          lanes = guard;
          apply(x);
        }
  }

private:
  void execute() {
    if (w.mask || i.runsEmpty)
      i.fn(w, i);
  }

  void tell(const FlowRef &r, uint32_t at, std::string_view how) {
    reportUndefined(w, i, uint32_t(std::countr_zero(at)), u.origins[originOf(u, r)], how);
  }

  /// Findings of operands that matter; the results of the others.
  void operands(Flow f) {
    uint32_t dropped = 0;
    for (const FlowRef *r = refs; r != end; ++r) {
      if (r->def || r->field == Field::Guard)
        continue;
      uint32_t bad = lanesOf(u, *r) & relevant;
      if (!bad)
        continue;
      bool memory = f == Flow::Load || f == Flow::Store,
           matrix = f == Flow::MatrixLoad || f == Flow::MatrixStore;
      bool address = (r->field == Field::A && (memory || matrix || i.cls == Class::Memory)) ||
                     (i.cls == Class::AsyncCopy && (r->field == Field::A || r->field == Field::B));
      if (address) {
        tell(*r, bad, "is an address");
        dropped |= matrix ? 0 : bad;
      } else if (f == Flow::Matters || (f == Flow::Wgmma && r->field != Field::List)) {
        tell(*r, bad, i.cls == Class::Barrier ? "is an operand of a barrier" : "is an operand of this");
      } else if (f == Flow::Shuffle && r->field != Field::A) {
        tell(*r, bad, "says which lane a shuffle reads");
      } else if (f == Flow::Collective && r->field == membersField()) {
        tell(*r, bad, "is a member mask");
      }
    }
    w.mask &= ~dropped; // these do nothing
    results(f);
  }

  /// The last operand, which may be a constant and so none of the references.
  Field membersField() const { return flow.rule.detail ? Field::B : Field::A; }

  Bytes at(uint32_t offset, bool wide = false) const { return bytesAt(u, offset, wide); }
  const uint32_t *words(uint32_t offset) const { return reinterpret_cast<const uint32_t *>(w.regs + offset); }
  uint64_t value(uint32_t offset, bool wide, uint32_t l) const {
    return wide ? reinterpret_cast<const uint64_t *>(w.regs + offset)[l] : words(offset)[l];
  }

  /// The origin of what is undefined in the lanes of `m`.
  uint32_t origin(uint32_t m) const {
    for (const FlowRef *r = refs; r != end; ++r)
      if (!r->def && (lanesOf(u, *r) & m))
        return originOf(u, *r);
    for (const FlowRef *r = refs; r != end; ++r) // of other lanes
      if (!r->def && lanesOf(u, *r))
        return originOf(u, *r);
    return 0;
  }
  void result(const FlowRef &d, const Bytes &b) {
    uint32_t m = any(b) & lanes;
    u.results.push_back({d.offset, d.predicate, d.wide, b, m ? origin(m) : 0});
  }
  void resultAll(const Bytes &b) {
    for (const FlowRef *r = refs; r != end; ++r)
      if (r->def)
        result(*r, b);
  }
  const FlowRef *destination(uint32_t offset) const {
    const FlowRef *r = refs;
    while (r != end && !(r->def && !r->predicate && r->offset == offset))
      ++r;
    return r == end ? nullptr : r;
  }
  void resultAt(uint32_t offset, const Bytes &b) {
    if (const FlowRef *d = destination(offset))
      result(*d, b);
  }

  void apply(const Result &r) {
    if (r.predicate) {
      u.predicates[r.offset] = (u.predicates[r.offset] & ~lanes) | (r.bytes[0] & lanes);
      if (r.bytes[0] & lanes)
        u.predicateOrigins[r.offset] = r.origin;
      return;
    }
    uint32_t s = r.offset / kSlotBytes;
    for (unsigned b = 0; b < (r.wide ? 8u : 4u); ++b) {
      uint32_t &x = u.slots[s + b / 4][b % 4];
      x = (x & ~lanes) | (r.bytes[b] & lanes);
      if (r.bytes[b] & lanes)
        u.slotOrigins[s] = r.origin;
    }
  }

  uint32_t operandLanes() const {
    uint32_t m = 0;
    for (const FlowRef *r = refs; r != end; ++r)
      m |= r->def || r->field == Field::Guard ? 0 : lanesOf(u, *r);
    return m;
  }
  bool wideOperand(Field f) const {
    return std::any_of(refs, end, [&](const FlowRef &r) { return !r.def && r.field == f && r.wide; });
  }
  bool wideResult() const {
    return std::any_of(refs, end, [&](const FlowRef &r) { return r.def && r.wide; });
  }

  void results(Flow f) {
    switch (f) {
    case Flow::Any:
      return resultAll(all(operandLanes()));
    case Flow::Move:
      return resultAt(i.d, at(i.a, wideOperand(Field::A)));
    case Flow::Select: {
      bool wide = wideResult();
      Bytes a = at(i.a, wide), b = at(i.b, wide);
      uint32_t p = w.preds[i.c], unknown = u.predicates[i.c];
      for (unsigned k = 0; k < 8; ++k)
        a[k] = (a[k] & p) | (b[k] & ~p) | unknown;
      return resultAt(i.d, a);
    }
    case Flow::And:
    case Flow::Or:
    case Flow::Xor:
      return bitwise(f);
    case Flow::PredicateAnd:
    case Flow::PredicateOr: {
      uint32_t flip = f == Flow::PredicateOr ? kFull : 0;
      uint32_t a = u.predicates[i.a], b = u.predicates[i.b];
      return resultAll(all((a & b) | (a & (w.preds[i.b] ^ flip)) | (b & (w.preds[i.a] ^ flip))));
    }
    case Flow::Compare: {
      uint32_t m = 0;
      for (const FlowRef *r = refs; r != end; ++r)
        m |= !r->def && (r->field == Field::A || r->field == Field::B) ? lanesOf(u, *r) : 0;
      if (i.aux) {
        uint32_t c = w.preds[i.c] ^ uint32_t(i.imm);
        m = (i.aux == 1 ? m & c : i.aux == 2 ? m & ~c : m) | u.predicates[i.c];
      }
      return resultAll(all(m));
    }
    case Flow::Halves: {
      uint32_t low = 0, high = 0;
      for (const FlowRef *r = refs; r != end; ++r)
        if (!r->def && !r->predicate && r->field != Field::Guard) {
          Bytes b = at(r->offset);
          low |= b[0] | b[1];
          high |= b[2] | b[3];
        }
      return resultAll({low, low, high, high, 0, 0, 0, 0});
    }
    case Flow::PackHalves: {
      uint32_t high = any(at(i.a)), low = any(at(i.b));
      return resultAt(i.d, {low, low, high, high, 0, 0, 0, 0});
    }
    case Flow::Pack: {
      Bytes b{};
      unsigned part = flow.rule.detail & 15, parts = flow.rule.detail >> 4;
      for (unsigned n = 0; n < parts; ++n) {
        Bytes from = at(w.program->lists[i.list + n]);
        std::copy_n(from.begin(), part, b.begin() + n * part);
      }
      return resultAt(i.d, b);
    }
    case Flow::Unpack: {
      Bytes from = at(i.a, wideOperand(Field::A));
      unsigned part = flow.rule.detail & 15, parts = flow.rule.detail >> 4;
      for (const FlowRef *r = refs; r != end; ++r)
        if (r->def && r->field == Field::List)
          for (unsigned n = 0; n < parts; ++n)
            if (w.program->lists[i.list + n] == r->offset) {
              Bytes b{};
              std::copy_n(from.begin() + n * part, part, b.begin());
              result(*r, b);
              break;
            }
      return;
    }
    case Flow::Widen: {
      unsigned bytes = flow.rule.detail & 15;
      Bytes b = at(i.a, wideOperand(Field::A));
      std::fill(b.begin() + bytes, b.end(), flow.rule.detail & 16 ? b[bytes - 1] : 0);
      return resultAt(i.d, b);
    }
    case Flow::ShiftLeft:
    case Flow::ShiftRight:
      return shift(f == Flow::ShiftLeft);
    case Flow::Permute: {
      Bytes a = at(i.a), b = at(i.b), d = all(any(at(i.c)));
      for (uint32_t l = 0; l < 32; ++l)
        for (unsigned n = 0; n < 4; ++n) {
          uint32_t s = words(i.c)[l] >> (4 * n) & 7;
          d[n] |= (s < 4 ? a[s] : b[s - 4]) & 1u << l;
        }
      return resultAt(i.d, d);
    }
    case Flow::Collective: {
      uint32_t m = 0, from = operandLanes() & lanes;
      const uint32_t *members = words(membersField() == Field::B ? i.b : i.a);
      for (uint32_t l = 0; l < 32; ++l)
        m |= uint32_t((from & members[l]) != 0) << l;
      return resultAll(all(m));
    }
    case Flow::Matrix:
      return matrix();
    case Flow::Product:
      undefinedProduct(
          w, i, [&](uint32_t offset, bool wide) { return any(at(offset, wide)); },
          [&](uint32_t offset, uint32_t m) { resultAt(offset, all(m)); });
      return;
    case Flow::Matters:
    case Flow::Load:
    case Flow::Store:
    case Flow::MatrixLoad:
    case Flow::MatrixStore:
    case Flow::Shuffle:
    case Flow::Wgmma:
      return;
    }
  }

  /// A byte that both operands leave open, or one that the other does not decide.
  void bitwise(Flow f) {
    bool wide = wideResult();
    Bytes a = at(i.a, wide), b = at(i.b, wide), d{};
    Bytes c = flow.rule.detail == 1 ? at(i.c) : Bytes{};
    for (unsigned k = 0; k < (wide ? 8u : 4u); ++k) {
      uint32_t undecidedA = kFull, undecidedB = kFull;
      if (f != Flow::Xor)
        for (uint32_t l = 0; l < 32; ++l) {
          uint8_t decides = f == Flow::And ? 0 : 0xFF;
          undecidedA ^= uint32_t(uint8_t(value(i.a, wide, l) >> (8 * k)) == decides) << l;
          undecidedB ^= uint32_t(uint8_t(value(i.b, wide, l) >> (8 * k)) == decides) << l;
        }
      d[k] = (a[k] & b[k]) | (a[k] & undecidedB) | (b[k] & undecidedA) | c[k];
    }
    resultAt(i.d, d);
  }

  void shift(bool left) {
    unsigned bytes = flow.rule.detail & 15;
    bool wide = bytes == 8;
    Bytes a = at(i.a, wide), d = all(any(at(i.b)));
    for (uint32_t l = 0; l < 32; ++l) {
      uint32_t n = std::min(words(i.b)[l], 64u), whole = n / 8, bit = 1u << l;
      for (unsigned k = 0; k < bytes; ++k)
        for (unsigned part = 0; part < (n % 8 ? 2u : 1u); ++part) {
          int from = left ? int(k) - int(whole + part) : int(k + whole + part);
          if (from >= int(bytes) && (flow.rule.detail & 16))
            from = int(bytes) - 1;
          d[k] |= from >= 0 && from < int(bytes) ? a[size_t(from)] & bit : 0;
        }
    }
    for (unsigned k = bytes; k < 8; ++k)
      d[k] = 0;
    resultAt(i.d, d);
  }

  /// Lists: D, A, B, C. A's even registers hold rows 0-7, the odd ones rows 8-15, a row in four lanes; B
  /// holds a column in four lanes; D and C the columns 2 t and 2 t + 1 of a row in lane t of it.
  void matrix() {
    const uint32_t *list = &w.program->lists[i.list];
    unsigned bRegs = i.count, aRegs = 2 * bRegs, cRegs = 0;
    for (const FlowRef *r = refs; r != end; ++r)
      cRegs += r->def;
    if (cRegs != 2 && cRegs != 4)
      return resultAll(all(operandLanes() ? kFull : 0));
    const uint32_t *a = list + cRegs, *b = a + aRegs, *c = b + bRegs;
    uint32_t rows[2] = {0, 0}, column = 0, columns[2] = {0, 0};
    for (unsigned r = 0; r < aRegs; ++r)
      rows[r & 1] |= any(at(a[r]));
    for (unsigned r = 0; r < bRegs; ++r)
      column |= any(at(b[r]));
    column = wholeRows(column);
    for (unsigned t = 0; t < 4; ++t)
      for (unsigned odd = 0; odd < 2; ++odd)
        columns[odd] |= column >> (4 * (2 * t + odd)) & 1 ? 0x11111111u << t : 0;
    for (unsigned r = 0; r < cRegs; ++r) {
      Bytes old = at(c[r]);
      if (cRegs == 4) {
        resultAt(list[r], all(wholeRows(rows[r / 2]) | columns[r % 2] | any(old)));
      } else {
        uint32_t row = wholeRows(rows[r]), low = row | columns[0] | old[0] | old[1];
        uint32_t high = row | columns[1] | old[2] | old[3];
        resultAt(list[r], {low, low, high, high, 0, 0, 0, 0});
      }
    }
  }

  static void clear(uint8_t *init, uint64_t bit) { init[bit >> 3] &= uint8_t(~(1u << (bit & 7))); }

  /// After a store: shared and local memory hold undefined bytes as such; global memory is a result.
  void stored() {
    const uint32_t *list = &w.program->lists[i.list];
    uint64_t localBytes = w.program->info.localBytes;
    for (uint32_t n = 0; n < i.count; ++n) {
      if (list[n] == kFull)
        continue;
      Bytes b = at(list[n], i.width == 8);
      uint32_t bad = 0, toGlobal = 0;
      for (unsigned k = 0; k < i.width; ++k)
        bad |= b[k] & w.mask;
      for (uint32_t m = bad; m; m &= m - 1) {
        uint32_t l = uint32_t(std::countr_zero(m));
        uint64_t address =
            i.addr64 ? value(i.a, true, l) + uint64_t(i.imm) : uint32_t(words(i.a)[l] + uint32_t(i.imm));
        Space space = Space(i.aux);
        if (space == Space::Generic) {
          bool shared = address - kSharedWindow < kWindowBytes, local = address - kLocalWindow < kWindowBytes;
          space = shared ? Space::Shared : local ? Space::Local : Space::Global;
          address -= shared ? kSharedWindow : local ? kLocalWindow : 0;
        }
        uint64_t from = address + n * i.width;
        SharedPlace place;
        if (space == Space::Shared || space == Space::Cluster)
          place = placeOf(*w.cta, from, i.width);
        if (space == Space::Global)
          toGlobal |= 1u << l;
        else if (place.cta)
          for (unsigned k = 0; k < i.width; ++k)
            b[k] >> l & 1 ? clear(place.cta->sharedInit, place.offset + k) : void();
        else if (space == Space::Local && from < localBytes && from + i.width <= localBytes)
          for (unsigned k = 0; k < i.width; ++k)
            b[k] >> l & 1 ? clear(w.localInit, l * localBytes + from + k) : void();
      }
      if (toGlobal)
        for (const FlowRef *r = refs; r != end; ++r)
          if (!r->def && r->field == Field::List && r->offset == list[n]) {
            tell(*r, toGlobal, "is stored to global memory");
            break;
          }
    }
  }

  void storedMatrix() {
    const uint32_t *list = &w.program->lists[i.list];
    for (unsigned n = 0; n < flow.rule.detail / 2u; ++n) {
      Bytes b = at(list[n]);
      for (unsigned r = 0; r < 8; ++r)
        for (unsigned c = 0; c < 8; ++c) {
          bool transposed = flow.rule.detail & 1;
          unsigned lane = transposed ? 4 * c + r / 2 : 4 * r + c / 2, half = (transposed ? r : c) & 1;
          uint32_t row = 8 * n + r;
          uint64_t address = (i.addr64 ? value(i.a, true, row) : words(i.a)[row]) + uint64_t(i.imm);
          address -= (i.aux & 1 ? kSharedWindow : 0) + kSharedBase;
          if (((b[2 * half] | b[2 * half + 1]) >> lane & 1) && address + 16 <= w.cta->sharedBytes) {
            clear(w.cta->sharedInit, address + 2 * c);
            clear(w.cta->sharedInit, address + 2 * c + 1);
          }
        }
    }
  }

  Warp &w;
  const Inst &i;
  UndefinedValues &u;
  const InstFlow &flow;
  const FlowRef *refs, *end;
  uint32_t lanes, relevant, guard;
};

} // namespace

void executeUndefined(Warp &w, const Inst &i) {
  UndefinedValues &u = *w.undefined;
  Step(w, i).run();
  if (++u.steps >= u.settleAt && !w.stop) {
    settleUndefined(w);
    w.stop = !w.tracked;
  }
}

} // namespace attune::sim
