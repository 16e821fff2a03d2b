//===- IsaAvx512.cpp - the handlers for avx512 machines -------------------===//
#include "simulator/isa/IsaHeaders.h"

// clang-format off
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt"))), apply_to = function)
namespace attune::sim::avx512 {
#include "simulator/isa/Table.inc"
} // namespace attune::sim::avx512
#pragma clang attribute pop
