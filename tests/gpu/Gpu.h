//===- Gpu.h - the GPU that these tests run on, if there is one -*- C++ -*-===//
#ifndef ATTUNE_TESTS_GPU_GPU_H
#define ATTUNE_TESTS_GPU_GPU_H

#include "runtime/device/Device.h"

namespace attune::gpu {

/// The first GPU, opened once, or why there is none.
Result<Device *> theGpu();

/// For TEST_CASE("..." * doctest::skip(noGpu())).
bool noGpu();

} // namespace attune::gpu

#endif // ATTUNE_TESTS_GPU_GPU_H
