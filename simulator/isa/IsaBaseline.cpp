//===- IsaBaseline.cpp - the handlers for baseline machines ---------------===//
#include "simulator/isa/IsaHeaders.h"

#define SIM_BASELINE
namespace attune::sim::baseline {
#include "simulator/isa/Table.inc"
} // namespace attune::sim::baseline
