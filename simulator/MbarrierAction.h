//===- MbarrierAction.h - what Inst::aux of an mbarrier instruction says -*- C++ -*-===//
#ifndef ATTUNE_SIMULATOR_MBARRIERACTION_H
#define ATTUNE_SIMULATOR_MBARRIERACTION_H

#include <cstdint>

namespace attune::sim {

namespace mbarrier {

enum Action : uint16_t {
  Init,
  Invalidate,
  Arrive,
  ArriveDrop,
  Expect,
  Complete,
  ArriveExpect,
  ArriveDropExpect,
  Wait,
  WaitParity
};
/// Inst::aux: the action, the space as in atomics (1 shared, 2 generic) from bit 4 on, then flags.
constexpr uint16_t kNoIncrement = 1 << 6, kAsync = 1 << 7, kNoComplete = 1 << 8, kTry = 1 << 9;

} // namespace mbarrier

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_MBARRIERACTION_H
