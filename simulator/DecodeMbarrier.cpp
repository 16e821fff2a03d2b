//===- DecodeMbarrier.cpp - mbarrier.*, cp.async.mbarrier.arrive ----------===//
#include "simulator/Decode.h"
#include "simulator/MbarrierAction.h"

#include <algorithm>

namespace attune::sim {

using namespace mbarrier;

void execMbarrier(Warp &w, const Inst &i);
void execPendingCount(Warp &w, const Inst &i);

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
  // The address of a block of the cluster holds which one it is; the block's own serves as one.
  bool cluster = take(mods, "shared::cluster");
  Space space = cluster ? Space::Shared : takeSpace(mods, known);
  bool relaxed = std::find(mods.begin(), mods.end(), "relaxed") != mods.end();
  auto has = [&](std::string_view m) { return std::find(mods.begin(), mods.end(), m) != mods.end(); };
  uint8_t scope = has("gpu") || has("sys") ? kDeviceScope : has("cluster") ? kClusterScope : 0;
  takeOrder(mods, true);
  bool typed = take(mods, "b64");
  if (name == "pending_count" && typed && mods.empty()) {
    genericOperands({execPendingCount, "w:q", Class::Barrier}, false);
    return;
  }
  bool noComplete = take(mods, "noComplete"), expect = take(mods, "expect_tx"), parity = take(mods, "parity");
  if (async)
    aux |= kAsync | (take(mods, "noinc") ? kNoIncrement : 0);
  aux |= noComplete ? kNoComplete : 0;
  Action action = Init;
  bool ok = typed && mods.empty() && (space == Space::Shared || space == Space::Generic);
  if (name == "init" || name == "inval")
    action = name == "init" ? Init : Invalidate;
  else if (name == "arrive")
    action = expect ? ArriveExpect : Arrive;
  else if (name == "arrive_drop")
    action = expect ? ArriveDropExpect : ArriveDrop;
  else if (name == "expect_tx" || name == "complete_tx")
    action = name == "expect_tx" ? Expect : Complete;
  else if (name == "test_wait" || name == "try_wait")
    action = parity ? WaitParity : Wait;
  else
    ok = false;
  bool waits = action >= Wait, arrives = action == Arrive || action == ArriveDrop || action == ArriveExpect ||
                                         action == ArriveDropExpect;
  if (!ok || (async && action != Arrive) || ((noComplete || expect) && !arrives && action != Expect) ||
      (noComplete && expect) || (parity && !waits) ||
      (cluster && !arrives && action != Expect && action != Complete)) {
    unsupported();
    return;
  }
  if (name == "try_wait")
    aux |= kTry;
  // A state is the result of an arrival here; the form without one is of barriers of other blocks' too.
  bool state = arrives && !async && !ops.empty() && ops[0].kind != OperandKind::Address;
  if (cluster && state && ops[0].kind != OperandKind::Sink) {
    error(ops[0], "expected '_' as destination: an arrival at a barrier of shared::cluster gives no state");
    return;
  }
  size_t base = state || waits ? 1 : 0;
  size_t least = base + 1 + (action == Init || waits || action == Expect || action == Complete || expect);
  if (!operandCount(least, base + (action == Invalidate || async ? 1 : waits && (aux & kTry) ? 3 : 2)))
    return;
  // A 32-bit register names shared memory without saying so: cuda::ptx::cp_async_mbarrier_arrive.
  const Operand &place = ops[base];
  if (async && space == Space::Generic && place.kind == OperandKind::Address && !place.elements.empty() &&
      place.elements[0].kind == OperandKind::Register &&
      typeBytes(registerType(place.elements[0].index)) == 4)
    space = Space::Shared;
  Inst &inst = emit(execMbarrier, Class::Barrier);
  uint32_t at = last();
  bool counted = ops.size() > base + 1;
  inst.aux = uint16_t(aux | action | (space == Space::Generic ? 2 : 1) << 4);
  inst.count = uint8_t(counted | (state && ops[0].kind != OperandKind::Sink) << 1);
  program.ordering = true;
  if (action != Init && action != Invalidate) {
    inst.order = uint8_t(kStrong | scope | (relaxed ? 0 : waits ? kAcquire : kRelease));
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
