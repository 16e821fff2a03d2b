//===- IsaHeaders.h - all headers that the handlers need --------------------*- C++ -*-===//
//
// Included before the target pragma: functions of the standard library that are not inlined must stay what
// every machine can run.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_DEVICE_SIM_ISA_ISAHEADERS_H
#define ATTUNE_RUNTIME_DEVICE_SIM_ISA_ISAHEADERS_H

#include "runtime/device/sim/DotRule.h"
#include "runtime/device/sim/Exec.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>

#endif // ATTUNE_RUNTIME_DEVICE_SIM_ISA_ISAHEADERS_H
