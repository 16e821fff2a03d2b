//===- TensorMap.cpp - tensor maps: their rules, and their 128 bytes ------===//
#include "simulator/TensorMap.h"

#include <bit>
#include <fmt/format.h>

namespace attune::sim {

static_assert(std::endian::native == std::endian::little);

uint32_t elementBytes(TensorMapType type) {
  switch (type) {
  case TensorMapType::U8:
    return 1;
  case TensorMapType::U16:
  case TensorMapType::F16:
  case TensorMapType::BF16:
    return 2;
  case TensorMapType::U32:
  case TensorMapType::S32:
  case TensorMapType::F32:
  case TensorMapType::F32Ftz:
  case TensorMapType::TF32:
  case TensorMapType::TF32Ftz:
    return 4;
  case TensorMapType::U64:
  case TensorMapType::S64:
  case TensorMapType::F64:
    return 8;
  }
  return 0;
}

std::string_view name(TensorMapType type) {
  static constexpr std::string_view names[] = {"u8",  "u16", "u32",  "s32",     "u64",  "s64",     "f16",
                                               "f32", "f64", "bf16", "f32.ftz", "tf32", "tf32.ftz"};
  return size_t(type) < std::size(names) ? names[size_t(type)] : "unknown";
}

bool isFloat(TensorMapType type) {
  return type == TensorMapType::F16 || uint32_t(type) >= uint32_t(TensorMapType::F32);
}

uint32_t swizzleSpan(TensorMapSwizzle swizzle) { return 16u << uint32_t(swizzle); }

std::string brokenRule(const TensorMapDescription &m) {
  uint32_t bytes = elementBytes(m.type);
  if (!bytes)
    return fmt::format("expected an element type from 0 (u8) to 12 (tf32.ftz), got {}", uint32_t(m.type));
  if (m.rank < 1 || m.rank > 5)
    return fmt::format("expected a rank from 1 to 5, got {}", m.rank);
  if (m.interleave)
    return fmt::format(
        "expected no interleave (16-byte and 32-byte interleave are not simulated), got mode {}",
        m.interleave);
  if (uint32_t(m.swizzle) > uint32_t(TensorMapSwizzle::B128))
    return fmt::format("expected a swizzle of none, 32, 64 or 128 bytes (modes 0 to 3), got mode {}",
                       uint32_t(m.swizzle));
  if (m.l2Promotion > 3)
    return fmt::format("expected an L2 promotion mode from 0 to 3, got {}", m.l2Promotion);
  if (uint32_t(m.fill) > 1)
    return fmt::format("expected a fill of zeros (0) or NaN (1), got {}", uint32_t(m.fill));
  if (m.fill == TensorMapFill::NaN && !isFloat(m.type))
    return fmt::format("expected a floating-point element type for a fill of NaN, got {}", name(m.type));
  if (m.address % 16)
    return fmt::format("expected a global address that is a multiple of 16, got 0x{:x}", m.address);
  for (uint32_t k = 0; k < m.rank; ++k) {
    if (m.dims[k] < 1 || m.dims[k] > (1ull << 32))
      return fmt::format("dimension {}: expected a length from 1 to 2^32, got {}", k, m.dims[k]);
    if (m.box[k] < 1 || m.box[k] > 256)
      return fmt::format("dimension {}: expected a box of 1 to 256 elements, got {}", k, m.box[k]);
    if (m.elementStrides[k] < 1 || m.elementStrides[k] > 8)
      return fmt::format("dimension {}: expected an element stride from 1 to 8, got {}", k,
                         m.elementStrides[k]);
  }
  for (uint32_t k = 0; k + 1 < m.rank; ++k)
    if (m.strides[k] % 16 || m.strides[k] >= (1ull << 40))
      return fmt::format(
          "dimension {}: expected a stride in bytes that is a multiple of 16 and less than 2^40, "
          "got {}",
          k + 1, m.strides[k]);
  uint64_t inner = uint64_t(m.box[0]) * bytes;
  if (inner % 16)
    return fmt::format("expected an inner box of a multiple of 16 bytes, got {} elements of {} bytes",
                       m.box[0], bytes);
  if (m.swizzle != TensorMapSwizzle::None && inner > swizzleSpan(m.swizzle))
    return fmt::format("expected an inner box of at most {} bytes for a swizzle of {} bytes, got {}",
                       swizzleSpan(m.swizzle), swizzleSpan(m.swizzle), inner);
  return "";
}

static constexpr char kMagic[] = "SIMTMAP1";

static uint32_t checksum(const std::byte *bytes) {
  uint32_t sum = 2166136261u;
  for (int k = 0; k < 124; ++k)
    sum = (sum ^ uint32_t(bytes[k])) * 16777619u;
  return sum;
}

std::array<std::byte, 128> packTensorMap(const TensorMapDescription &m) {
  std::array<std::byte, 128> out{};
  auto put = [&](size_t at, auto value) { std::memcpy(out.data() + at, &value, sizeof(value)); };
  std::memcpy(out.data(), kMagic, 8);
  put(96, m.address);
  for (size_t k = 0; k < 5; ++k) {
    put(16 + 4 * k, uint32_t(m.dims[k] - 1));
    put(68 + 2 * k, uint16_t(m.box[k] - 1));
    put(78 + k, uint8_t(m.elementStrides[k]));
    if (k < 4)
      put(36 + 8 * k, m.strides[k]);
  }
  put(83, uint8_t(m.rank));
  put(84, uint8_t(m.type));
  put(85, uint8_t(m.swizzle));
  put(86, uint8_t(m.interleave));
  put(87, uint8_t(m.l2Promotion));
  put(88, uint8_t(m.fill));
  put(124, checksum(out.data()));
  return out;
}

Result<std::array<std::byte, 128>> encodeTensorMap(const TensorMapDescription &map) {
  if (std::string broken = brokenRule(map); !broken.empty())
    return badInput("tensor map: error: " + broken);
  return packTensorMap(map);
}

Result<TensorMapDescription> decodeTensorMap(const std::byte *bytes) {
  auto get = [&]<class T>(size_t at, T) {
    T value;
    std::memcpy(&value, bytes + at, sizeof(value));
    return value;
  };
  if (std::memcmp(bytes, kMagic, 8) != 0)
    return badInput("expected a tensor map (made by cuTensorMapEncodeTiled of the simulated driver, by "
                    "encodeTensorMap or by --arg tensormap:...), got other bytes");
  if (get(124, uint32_t()) != checksum(bytes))
    return badInput("expected a tensor map as it was encoded or replaced, got one whose bytes were changed");
  TensorMapDescription m;
  m.address = get(96, uint64_t());
  for (size_t k = 0; k < 5; ++k) {
    m.dims[k] = uint64_t(get(16 + 4 * k, uint32_t())) + 1;
    m.box[k] = uint32_t(get(68 + 2 * k, uint16_t())) + 1;
    m.elementStrides[k] = get(78 + k, uint8_t());
    if (k < 4)
      m.strides[k] = get(36 + 8 * k, uint64_t());
  }
  m.rank = get(83, uint8_t());
  m.type = TensorMapType(get(84, uint8_t()));
  m.swizzle = TensorMapSwizzle(get(85, uint8_t()));
  m.interleave = get(86, uint8_t());
  m.l2Promotion = get(87, uint8_t());
  m.fill = TensorMapFill(get(88, uint8_t()));
  return m;
}

} // namespace attune::sim
