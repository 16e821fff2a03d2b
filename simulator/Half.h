//===- Half.h - 16-bit floating-point numbers of atomics and reductions -*- C++ -*-===//
#ifndef ATTUNE_SIMULATOR_HALF_H
#define ATTUNE_SIMULATOR_HALF_H

#include <bit>
#include <cmath>
#include <cstdint>

namespace attune::sim {

inline float halfUp(uint32_t h) {
  uint32_t sign = (h & 0x8000u) << 16, e = h >> 10 & 31, m = h & 0x3FF;
  float f = e == 31 ? (m ? NAN : INFINITY)
            : e     ? std::ldexp(float(m | 0x400), int(e) - 25)
                    : std::ldexp(float(m), -24);
  return sign ? -f : f;
}
inline uint32_t halfDown(float x) {
  uint32_t u = std::bit_cast<uint32_t>(x), sign = u >> 16 & 0x8000u;
  if (x != x)
    return 0x7FFF;
  float a = std::fabs(x);
  if (a >= 65520.0f)
    return sign | 0x7C00u;
  if (a < 0x1p-14f)
    return sign | uint32_t(std::nearbyint(double(a) * 0x1p24));
  int e = int(std::bit_cast<uint32_t>(a) >> 23) - 127;
  double m = std::nearbyint(std::ldexp(double(a), 10 - e)); // 1024 ... 2048
  return sign | uint32_t(int(m) - 1024 + ((e + 15) << 10));
}
inline float bfUp(uint32_t h) { return std::bit_cast<float>(h << 16); }
inline uint32_t bfDown(float x) {
  uint32_t u = std::bit_cast<uint32_t>(x);
  return x != x ? 0x7FFFu : (u + 0x7FFFu + (u >> 16 & 1)) >> 16;
}

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_HALF_H
