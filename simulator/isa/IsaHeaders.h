//===- IsaHeaders.h - all headers that the handlers need --------------------*- C++ -*-===//
//
// Included before the target pragma: functions of the standard library that are not inlined must stay what
// every machine can run.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_ISA_ISAHEADERS_H
#define ATTUNE_SIMULATOR_ISA_ISAHEADERS_H

#include "simulator/Cluster.h"
#include "simulator/DotRule.h"
#include "simulator/Exec.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>

#endif // ATTUNE_SIMULATOR_ISA_ISAHEADERS_H
