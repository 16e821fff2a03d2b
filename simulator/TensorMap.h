//===- TensorMap.h - tensor maps as the simulator encodes them ----*- C++ -*-===//
//
// The 128 bytes of a tensor map are the device's own affair; here they are, little-endian:
//   0  "SIMTMAP1"          8  zero               16  dims - 1, 5 x u32       36  strides, 4 x u64 (bytes)
//   68 box - 1, 5 x u16    78 element strides, 5 x u8                        83  rank
//   84 element type        85 swizzle   86 interleave   87 L2 promotion   88 fill   96 address
//   124 checksum: FNV-1a over bytes 0 ... 123; the others are zero
// Bytes 8 ... 15 hold nothing because CUTLASS clears bit 21 of that word in what the driver gave it.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_TENSORMAP_H
#define ATTUNE_SIMULATOR_TENSORMAP_H

#include "simulator/Simulator.h"

namespace attune::sim {

/// Bytes of an element; 0: not a type.
uint32_t elementBytes(TensorMapType type);
std::string_view name(TensorMapType type);
bool isFloat(TensorMapType type);
/// Bytes of the swizzle's pattern: 128, 64, 32; 16 without.
uint32_t swizzleSpan(TensorMapSwizzle swizzle);
/// Where the byte at shared address `address` of an unswizzled layout lies: an XOR inside 128 bytes.
inline uint32_t swizzled(TensorMapSwizzle swizzle, uint32_t address) {
  switch (swizzle) {
  case TensorMapSwizzle::B128:
    return address ^ (address >> 3 & 0x70);
  case TensorMapSwizzle::B64:
    return address ^ (address >> 3 & 0x30);
  case TensorMapSwizzle::B32:
    return address ^ (address >> 3 & 0x10);
  case TensorMapSwizzle::None:
    break;
  }
  return address;
}
/// The map's description; the error says what is wrong with the bytes ("expected ..., got ...").
Result<TensorMapDescription> decodeTensorMap(const std::byte *bytes);
/// The bytes of a description whose rules were checked, or are to be broken by tensormap.replace.
std::array<std::byte, 128> packTensorMap(const TensorMapDescription &map);
/// The rule that the description breaks, or "".
std::string brokenRule(const TensorMapDescription &map);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_TENSORMAP_H
