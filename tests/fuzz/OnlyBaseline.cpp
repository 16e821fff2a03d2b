//===- OnlyBaseline.cpp - one instruction set is enough to fuzz -------------------------------===//
//
// The handlers of isa/ are one source for three instruction sets; compiling each under the sanitizers would
// take longer than everything else here.
//
//===----------------------------------------------------------------------===//
#include "simulator/Exec.h"

namespace attune::sim {
const HandlerTable &avx2::handlers() { return baseline::handlers(); }
const HandlerTable &avx512::handlers() { return baseline::handlers(); }
} // namespace attune::sim
