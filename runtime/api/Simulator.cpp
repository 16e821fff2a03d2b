//===- Simulator.cpp - the simulated GPU behind the public interface ------===//
//
// Apart, so that the linker leaves the simulator out of a program that does not call simulator().
//
//===----------------------------------------------------------------------===//
#include "runtime/api/Api.h"

#include "runtime/device/sim/SimDevice.h"

namespace attune::v1 {

const Simulator *simulator() {
  static const Simulator opener{openSimDevice};
  return &opener;
}

} // namespace attune::v1
