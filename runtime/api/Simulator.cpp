//===- Simulator.cpp - the simulated GPU behind the C interface -----------===//
//
// Apart, so that the linker leaves the simulator out of a program that does not call attune_simulator().
//
//===----------------------------------------------------------------------===//
#include "runtime/api/States.h"
#include "runtime/device/sim/SimDevice.h"

const attune_simulator_handle *attune_simulator(void) {
  static const attune_simulator_handle opener{attune::openSimDevice};
  return &opener;
}
