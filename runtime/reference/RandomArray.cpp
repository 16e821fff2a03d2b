//===- RandomArray.cpp - arrays of random numbers -------------------------===//
#include "runtime/reference/RandomArray.h"

#include "runtime/reference/Float16.h"
#include "runtime/reference/Parallel.h"

#include <cmath>

namespace attune::reference {

// Contracting a * b + c into one rounding would make values depend on the host's instruction set.
#pragma STDC FP_CONTRACT OFF

/// The natural logarithm of a normal positive number to about 1e-15, by additions, multiplications and one
/// division, which IEEE 754 fixes to the bit; a C library's log is not.
static double portableLog(double value) {
  uint64_t bits = std::bit_cast<uint64_t>(value);
  int exponent = int(bits >> 52) - 1023;
  double mantissa = std::bit_cast<double>((bits & 0x000fffffffffffff) | 0x3ff0000000000000);
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    ++exponent;
  }
  double t = (mantissa - 1.0) / (mantissa + 1.0), square = t * t, sum = 0.0;
  for (int n = 21; n >= 1; n -= 2) // 2 atanh(t), |t| < 0.172
    sum = sum * square + 1.0 / n;
  return 2.0 * t * sum + exponent * 0.6931471805599453;
}

static uint64_t splitmix(uint64_t &state) {
  uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

RandomBits::RandomBits(uint64_t seed, uint64_t stream) {
  uint64_t mixed = splitmix(seed) ^ stream;
  for (uint64_t &word : state)
    word = splitmix(mixed);
}

uint64_t RandomBits::next() {
  uint64_t result = std::rotl(state[1] * 5, 7) * 9, shifted = state[1] << 17;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= shifted;
  state[3] = std::rotl(state[3], 45);
  return result;
}

uint64_t RandomBits::below(uint64_t bound) { return uint64_t((unsigned __int128)(next()) * bound >> 64); }

std::array<double, 2> RandomBits::normals() {
  // Marsaglia's polar method: a point in the unit disc, no sine or cosine.
  for (;;) {
    double x = 2.0 * uniform() - 1.0, y = 2.0 * uniform() - 1.0, square = x * x + y * y;
    if (square >= 1.0 || square == 0.0)
      continue;
    double factor = std::sqrt(-2.0 * portableLog(square) / square);
    return {x * factor, y * factor};
  }
}

template <typename T, typename Round>
static void fillRounded(T *out, int64_t count, uint64_t seed, uint64_t stream, double deviation,
                        const Round &round) {
  constexpr int64_t chunk = 1 << 14; // has its own generator, so that chunks can be filled in any order
  parallelFor((count + chunk - 1) / chunk, [&](int64_t index) {
    RandomBits random(seed, (stream << 40) + uint64_t(index));
    int64_t end = std::min(count, (index + 1) * chunk);
    for (int64_t i = index * chunk; i < end; i += 2) {
      std::array<double, 2> pair = random.normals();
      out[i] = round(float(pair[0] * deviation));
      if (i + 1 < end)
        out[i + 1] = round(float(pair[1] * deviation));
    }
  });
}

void fillNormal(uint16_t *out, int64_t count, DType dtype, uint64_t seed, uint64_t stream, double deviation) {
  fillRounded(out, count, seed, stream, deviation, [&](float value) { return fromFloat(dtype, value); });
}

void fillNormal(float *out, int64_t count, uint64_t seed, uint64_t stream, double deviation) {
  fillRounded(out, count, seed, stream, deviation, [](float value) { return value; });
}

std::vector<uint16_t> normalArray(int64_t count, DType dtype, uint64_t seed, uint64_t stream,
                                  double deviation) {
  std::vector<uint16_t> values(count);
  fillNormal(values.data(), count, dtype, seed, stream, deviation);
  return values;
}

} // namespace attune::reference
