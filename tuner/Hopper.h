//===- Hopper.h - the work of the hopper family -----------------*- C++ -*-===//
#ifndef ATTUNE_TUNER_HOPPER_H
#define ATTUNE_TUNER_HOPPER_H

#include "tuner/Space.h"

namespace attune::tuner {

/// wgmma and TMA with roles, for sm_90a.
const Family &hopperFamily();

} // namespace attune::tuner

#endif // ATTUNE_TUNER_HOPPER_H
