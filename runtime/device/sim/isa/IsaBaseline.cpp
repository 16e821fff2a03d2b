//===- IsaBaseline.cpp - the handlers for baseline machines -----------------------===//
#include "runtime/device/sim/isa/IsaHeaders.h"

#define SIM_BASELINE
namespace attune::sim::baseline {
#include "runtime/device/sim/isa/Table.inc"
} // namespace attune::sim::baseline
