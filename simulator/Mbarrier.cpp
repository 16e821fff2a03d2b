//===- Mbarrier.cpp - barriers in shared memory --------------------------------------===//
//
// A phase ends when all expected threads have arrived and all expected bytes have come. PTX keeps the
// object's contents to the device; here its 64 bits are, from the lowest: 20 bits of arrivals that are
// pending, 20 of those expected in each phase, 20 of bytes (signed), one unused, and the phase. An arrival's
// state is the object as it was before it.
//
// Arriving publishes what a warp knows, and a wait that succeeds learns it, as with atomics (Order.h).
//
//===----------------------------------------------------------------------===//
#include "simulator/Decode.h"

#include <bit>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

void execWaitGroup(Warp &w, const Inst &i);

namespace {

constexpr uint64_t kMostThreads = (1 << 20) - 1;

struct Object {
  uint64_t pending, expected;
  int64_t bytes;
  bool phase;

  static Object from(uint64_t v) {
    return {v & kMostThreads, v >> 20 & kMostThreads, int64_t(v << 4) >> 44, v >> 63 != 0};
  }
  uint64_t word() const {
    return pending | expected << 20 | (uint64_t(bytes) & kMostThreads) << 40 | uint64_t(phase) << 63;
  }
  void finishPhase() {
    if (pending || bytes)
      return;
    pending = expected;
    phase = !phase;
  }
};

enum Action : uint16_t {
  Init,
  Invalidate,
  Arrive,
  ArriveDrop,
  Expect,
  Complete,
  ArriveExpect,
  Wait,
  WaitParity
};
/// Inst::aux: the action, the space as in atomics (1 shared, 2 generic) from bit 4 on, then flags.
constexpr uint16_t kNoIncrement = 1 << 6, kAsync = 1 << 7;

void mbarrier(Warp &w, const Inst &i) {
  Cta &cta = *w.cta;
  Action action = Action(i.aux & 15);
  bool checks = w.worker->launch->checks, waited = false;
  if (i.aux & kAsync) { // the copies land now, which the barrier then tells
    Inst all;
    all.imm = kFull;
    execWaitGroup(w, all);
  }
  auto word = [&](uint32_t offset, uint32_t l) { return reinterpret_cast<uint32_t *>(w.regs + offset)[l]; };
  uint64_t states[32] = {};
  uint32_t passed = 0;
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    uint64_t address = i.addr64 ? reinterpret_cast<uint64_t *>(w.regs + i.a)[l] + uint64_t(i.imm)
                                : uint32_t(word(i.a, l) + uint32_t(i.imm));
    if ((i.aux >> 4 & 3) == 2)
      address -= kSharedWindow;
    if (address & 7) {
      reportMisaligned(w, i, l, address, 8);
      continue;
    }
    if (address < kSharedBase || address + 8 > uint64_t(kSharedBase) + cta.sharedBytes ||
        address + 8 < address) {
      reportSharedOutOfBounds(w, i, l, address, 8, true);
      continue;
    }
    uint32_t o = uint32_t(address - kSharedBase);
    auto misuse = [&](const std::string &text) {
      if (checks && !reportedBefore(w, i, FindingKind::BarrierMisuse))
        report(w, i, FindingKind::BarrierMisuse, l, address,
               fmt::format("mbarrier at {}: {}", describeShared(w, uint32_t(address)), text));
    };
    uint8_t &initialised = cta.sharedInit[o >> 3];
    if (action != Init && initialised != 0xFF) {
      if (checks)
        reportSharedUninitialised(w, i, l, o, 8);
      passed |= 1u << l; // so that a loop around a wait ends
      continue;
    }
    uint64_t bits;
    std::memcpy(&bits, cta.shared + o, 8);
    Object object = Object::from(bits);
    states[l] = bits;
    bool wait = action == Wait || action == WaitParity;
    if (wait) {
      bool phase = action == Wait ? reinterpret_cast<uint64_t *>(w.regs + i.b)[l] >> 63 : word(i.b, l) & 1;
      if (object.phase == phase) { // that phase is not over
        waited = true;
        continue;
      }
      passed |= 1u << l;
    }
    if (checks) {
      uint64_t offsets[32];
      offsets[l] = o;
      raceAccess(w, i, l, o, 8, !wait);
      raceLanes(w, i, offsets, 1u << l, 8, !wait);
    }
    uint64_t count = i.count & 1 ? word(i.b, l) : 1;
    switch (action) {
    case Init:
      if (!count || count > kMostThreads)
        misuse(fmt::format("expected a count from 1 to {}, got {}", kMostThreads, count));
      object = {count & kMostThreads, count & kMostThreads, 0, false};
      initialised = 0xFF;
      break;
    case Invalidate:
      initialised = 0;
      break;
    case Expect:
    case ArriveExpect:
    case Complete: {
      int64_t bytes = int64_t(uint32_t(word(i.b, l)));
      object.bytes += action == Complete ? -bytes : bytes;
      if (object.bytes >= (1 << 19) * 2 - 1 || object.bytes <= -(1 << 19) * 2 + 1)
        misuse("expected a count of bytes below 2^20");
      count = 1;
      if (action != ArriveExpect)
        break;
      [[fallthrough]];
    }
    case Arrive:
    case ArriveDrop:
      if (i.aux & kAsync && !(i.aux & kNoIncrement))
        break; // counts itself up before it arrives
      if (count > object.pending) {
        misuse(fmt::format("{} threads arrive where {} are pending of {}", count, object.pending,
                           object.expected));
        count = object.pending;
      }
      object.pending -= count;
      if (action == ArriveDrop)
        object.expected -= std::min(count, object.expected);
      break;
    default:
      break;
    }
    if (action >= Arrive && action <= ArriveExpect)
      object.finishPhase();
    bits = object.word();
    if (!wait) {
      std::memcpy(cta.shared + o, &bits, 8);
      ++w.worker->changes;
    }
  }
  if (action >= Wait) {
    w.stop |= waited; // others have to run before it can succeed
    w.preds[i.d2] = (w.preds[i.d2] & ~w.mask) | (passed & w.mask);
    return;
  }
  if (i.count & 2)
    for (uint32_t m = w.mask; m; m &= m - 1)
      reinterpret_cast<uint64_t *>(w.regs + i.d)[std::countr_zero(m)] = states[std::countr_zero(m)];
}

void pendingCount(Warp &w, const Inst &i) {
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    reinterpret_cast<uint32_t *>(w.regs + i.d)[l] =
        uint32_t(Object::from(reinterpret_cast<uint64_t *>(w.regs + i.a)[l]).pending);
  }
}

} // namespace

/// mbarrier.*, and cp.async.mbarrier.arrive.
void Decoder::mbarrierStatement() {
  std::vector<std::string_view> mods = current->mods;
  const std::vector<Operand> &ops = current->operands;
  uint16_t aux = 0;
  bool async = current->root == "cp";
  if (async && (!take(mods, "async") || !take(mods, "mbarrier"))) {
    unsupported();
    return;
  }
  std::string_view name = mods.empty() ? std::string_view() : mods[0];
  if (!mods.empty())
    mods.erase(mods.begin());
  bool known;
  Space space = takeSpace(mods, known);
  uint8_t order = takeOrder(mods, true);
  bool typed = take(mods, "b64");
  if (name == "pending_count" && typed && mods.empty()) {
    genericOperands({pendingCount, "w:q", Class::Barrier}, false);
    return;
  }
  bool noComplete = take(mods, "noComplete"), expect = take(mods, "expect_tx"), parity = take(mods, "parity");
  if (async)
    aux |= kAsync | (take(mods, "noinc") ? kNoIncrement : 0);
  Action action = Init;
  bool ok = typed && mods.empty() && (space == Space::Shared || space == Space::Generic);
  if (name == "init" || name == "inval")
    action = name == "init" ? Init : Invalidate;
  else if (name == "arrive")
    action = expect ? ArriveExpect : Arrive;
  else if (name == "arrive_drop" && !expect)
    action = ArriveDrop;
  else if (name == "expect_tx" || name == "complete_tx")
    action = name == "expect_tx" ? Expect : Complete;
  else if (name == "test_wait" || name == "try_wait")
    action = parity ? WaitParity : Wait;
  else
    ok = false;
  bool arrives = action == Arrive || action == ArriveDrop || action == ArriveExpect, waits = action >= Wait;
  if (!ok || (async && action != Arrive) || ((noComplete || expect) && !arrives) || (parity && !waits)) {
    unsupported();
    return;
  }
  // A state is the result of an arrival here; the form without one is of barriers of other blocks' too.
  bool state = arrives && !async && !ops.empty() && ops[0].kind != OperandKind::Address;
  size_t base = state || waits ? 1 : 0;
  size_t least = base + 1 + (action == Init || waits || action == Expect || action == Complete || expect);
  if (!operandCount(least, base + (action == Invalidate || async ? 1 : waits ? 3 : 2)))
    return;
  Inst &inst = emit(mbarrier, Class::Barrier);
  uint32_t at = last();
  bool counted = ops.size() > base + 1;
  inst.aux = uint16_t(aux | action | (space == Space::Shared ? 1 : 2) << 4);
  inst.count = uint8_t(counted | (state && ops[0].kind != OperandKind::Sink) << 1);
  program.ordering = true;
  if (action != Init && action != Invalidate) {
    inst.order = uint8_t(order | (waits ? kAcquire : kRelease | kAcquire));
    inst.atomic = !waits;
  }
  if (waits ? !destination(ops[0], Field::D2, 'p')
            : (program.code[at].count & 2) && !destination(ops[0], Field::D, 'q'))
    return;
  if (!address(ops[base], space))
    return;
  if (counted)
    source(ops[base + 1], Field::B, action == Wait ? 'q' : 'w');
}

} // namespace attune::sim
