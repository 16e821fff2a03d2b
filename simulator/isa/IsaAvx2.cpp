//===- IsaAvx2.cpp - the handlers for avx2 machines -----------------------===//
#include "simulator/isa/IsaHeaders.h"

// clang-format off
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt"))), apply_to = function)
namespace attune::sim::avx2 {
#include "simulator/isa/Table.inc"
} // namespace attune::sim::avx2
#pragma clang attribute pop
