//===- Float16.h - the two 16-bit types -------------------------*- C++ -*-===//
//
// Conversions between f32 and f16 or bf16, in integers, so that they are the same on every host.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_REFERENCE_FLOAT16_H
#define ATTUNE_RUNTIME_REFERENCE_FLOAT16_H

#include "compiler/spec/Spec.h"

#include <bit>
#include <cstdint>

namespace attune::reference {

/// The f32 with the value of the 16-bit `bits`; always exact.
template <DType dtype> inline float toFloat(uint16_t bits) {
  if constexpr (dtype == DType::BF16) {
    return std::bit_cast<float>(uint32_t(bits) << 16);
  } else {
    uint32_t sign = uint32_t(bits & 0x8000) << 16, magnitude = bits & 0x7fff;
    // Both arms are computed: a select vectorises and a branch does not.
    uint32_t normal = (magnitude << 13) + (112u << 23) + (magnitude >= 0x7c00 ? 112u << 23 : 0);
    uint32_t subnormal = std::bit_cast<uint32_t>(float(int32_t(magnitude)) * 0x1p-24f);
    return std::bit_cast<float>(sign | (magnitude >= 0x0400 ? normal : subnormal));
  }
}

/// `value` rounded to nearest, ties to even; NaN becomes 0x7fff, as PTX's cvt has it.
template <DType dtype> inline uint16_t fromFloat(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  uint32_t rounded;
  if constexpr (dtype == DType::BF16) {
    rounded = (magnitude + 0x7fff + ((magnitude >> 16) & 1)) >> 16;
  } else {
    uint32_t normal = (magnitude + 0xfff + ((magnitude >> 13) & 1) - (112u << 23)) >> 13;
    // 0.5's last place is 2^-24, f16's smallest subnormal: the addition rounds to it.
    uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - (126u << 23);
    rounded = magnitude < (113u << 23) ? subnormal : normal;
    rounded = magnitude >= 0x477ff000 ? 0x7c00 : rounded;
  }
  return uint16_t(magnitude > 0x7f800000 ? 0x7fff : sign | rounded);
}

inline float toFloat(DType dtype, uint16_t bits) {
  return dtype == DType::BF16 ? toFloat<DType::BF16>(bits) : toFloat<DType::F16>(bits);
}
inline uint16_t fromFloat(DType dtype, float value) {
  return dtype == DType::BF16 ? fromFloat<DType::BF16>(value) : fromFloat<DType::F16>(value);
}

/// Largest relative error of rounding to the type: half a unit in the last place of 1.
inline double unitRoundoff(DType dtype) { return dtype == DType::BF16 ? 0x1p-8 : 0x1p-11; }

} // namespace attune::reference

#endif // ATTUNE_RUNTIME_REFERENCE_FLOAT16_H
