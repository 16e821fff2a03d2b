//===- RandomArray.h - seeded normal inputs ---------------------*- C++ -*-===//
//
// Random inputs of `attune run --seed` and of the tests. The same seed gives the same bits on every host
// and with any number of cores: no function of a C library is involved.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_REFERENCE_RANDOMARRAY_H
#define ATTUNE_RUNTIME_REFERENCE_RANDOMARRAY_H

#include "compiler/spec/Spec.h"

#include <array>
#include <cstdint>
#include <vector>

namespace attune::reference {

/// xoshiro256**, seeded through splitmix64.
class RandomBits {
public:
  /// Generators of different (seed, stream) are independent.
  RandomBits(uint64_t seed, uint64_t stream);
  uint64_t next();
  /// Uniform in [0, bound), bound > 0. (The bias, below 2^-32 for a bound of 32 bits, does not matter here.)
  uint64_t below(uint64_t bound);
  /// Uniform in [0, 1), a multiple of 2^-53.
  double uniform() { return double(next() >> 11) * 0x1p-53; }
  /// Two independent values of the standard normal distribution.
  std::array<double, 2> normals();

private:
  std::array<uint64_t, 4> state;
};

/// Fills `out` with normal values of the given mean 0 and deviation, rounded to `dtype`. `stream` tells apart
/// the arrays of one problem (0 for Q, 1 for K, 2 for V).
void fillNormal(uint16_t *out, int64_t count, DType dtype, uint64_t seed, uint64_t stream,
                double deviation = 1.0);

/// The same in f32.
void fillNormal(float *out, int64_t count, uint64_t seed, uint64_t stream, double deviation = 1.0);

std::vector<uint16_t> normalArray(int64_t count, DType dtype, uint64_t seed, uint64_t stream,
                                  double deviation = 1.0);

} // namespace attune::reference

#endif // ATTUNE_RUNTIME_REFERENCE_RANDOMARRAY_H
