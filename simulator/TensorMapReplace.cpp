//===- TensorMapReplace.cpp - tensormap.replace and tensormap.cp_fenceproxy -===//
#include "simulator/Exec.h"
#include "simulator/TensorMap.h"

#include <bit>
#include <fmt/format.h>

namespace attune::sim {

namespace {

/// 128 bytes of shared or global memory, checked and marked.
struct MapBytes {
  std::byte *data = nullptr;
  uint8_t *init = nullptr; ///< of byte 0; at a multiple of 8
};

uint64_t valueOf(const Warp &w, const BulkValue &v, uint32_t lane) {
  uint32_t offset = w.program->lists[v.list];
  uint64_t bits = v.wide ? reinterpret_cast<const uint64_t *>(w.regs + offset)[lane]
                         : reinterpret_cast<const uint32_t *>(w.regs + offset)[lane];
  bits += uint64_t(v.add);
  return v.wide ? bits : uint32_t(bits);
}

MapBytes mapAt(Warp &w, const Inst &i, uint32_t lane, uint64_t address, bool shared, bool write) {
  if (address & 127) {
    reportMisaligned(w, i, lane, address, 128);
    return {};
  }
  bool checks = w.worker->launch->checks;
  if (shared) {
    Cta &cta = *w.cta;
    if (address < kSharedBase || address + 128 > uint64_t(kSharedBase) + cta.sharedBytes) {
      reportSharedOutOfBounds(w, i, lane, address, 128, write);
      return {};
    }
    uint32_t offset = uint32_t(address - kSharedBase);
    for (uint32_t c = 0; checks && c < 128; c += 16)
      raceAccess(w, i, lane, offset + c, 16, write);
    return {cta.shared + offset, cta.sharedInit + offset / 8};
  }
  GlobalMemoryImpl &m = *w.worker->launch->memory;
  int at = m.find(address);
  if (at < 0 || address + 128 > m.allocations[size_t(at)].base + m.allocations[size_t(at)].size ||
      (write && m.allocations[size_t(at)].readOnly)) {
    reportGlobalOutOfBounds(w, i, lane, address, 128, write);
    return {};
  }
  Allocation &a = m.allocations[size_t(at)];
  if (checks)
    raceGlobalRange(w, i, lane, a, address, 128, write);
  return {a.data + (address - a.base), a.init + (address - a.base) / 8};
}

void bad(Warp &w, const Inst &i, uint32_t lane, std::string text) {
  if (!reportedBefore(w, i, FindingKind::BadOperand))
    report(w, i, FindingKind::BadOperand, lane, 0, std::move(text));
}

/// PTX numbers the element types in another order than the driver.
constexpr TensorMapType kTypes[] = {TensorMapType::U8,     TensorMapType::U16,  TensorMapType::U32,
                                    TensorMapType::S32,    TensorMapType::U64,  TensorMapType::S64,
                                    TensorMapType::F16,    TensorMapType::F32,  TensorMapType::F32Ftz,
                                    TensorMapType::F64,    TensorMapType::BF16, TensorMapType::TF32,
                                    TensorMapType::TF32Ftz};

std::string replaceField(TensorMapDescription &m, const MapReplacement &r, uint64_t value) {
  uint32_t n = r.ordinal;
  switch (r.field) {
  case MapReplacement::Address:
    m.address = value;
    return "";
  case MapReplacement::Rank: // counted from 0
    if (value > 4)
      return fmt::format("expected a rank less one from 0 to 4, got {}", value);
    m.rank = uint32_t(value) + 1;
    return "";
  case MapReplacement::BoxDim:
    if (value < 1 || value > 256)
      return fmt::format("expected a box of 1 to 256 elements, got {}", value);
    m.box[n] = uint32_t(value);
    return "";
  case MapReplacement::GlobalDim:
    if (value < 1)
      return "expected a length from 1 up, got 0";
    m.dims[n] = value;
    return "";
  case MapReplacement::GlobalStride:
    if (n > 3)
      return fmt::format("expected the number of a stride from 0 to 3, got {}", n);
    m.strides[n] = value;
    return "";
  case MapReplacement::ElementStride:
    if (value < 1 || value > 8)
      return fmt::format("expected an element stride from 1 to 8, got {}", value);
    m.elementStrides[n] = uint32_t(value);
    return "";
  case MapReplacement::ElementType:
    if (value >= std::size(kTypes))
      return fmt::format("expected an element type from 0 to 12, got {}", value);
    m.type = kTypes[value];
    return "";
  case MapReplacement::Interleave:
    m.interleave = uint32_t(value);
    return "";
  case MapReplacement::Swizzle:
    if (value > 3)
      return fmt::format("expected a swizzle mode from 0 to 3, got {}", value);
    m.swizzle = TensorMapSwizzle(value);
    return "";
  case MapReplacement::SwizzleAtomicity:
    return value ? fmt::format("expected a swizzle atomicity of 16 bytes (0), got mode {}", value) : "";
  case MapReplacement::Fill:
    if (value > 1)
      return fmt::format("expected a fill mode of 0 or 1, got {}", value);
    m.fill = TensorMapFill(value);
    return "";
  }
  return "";
}

} // namespace

void execMapReplace(Warp &w, const Inst &i) {
  const MapReplacement &r = w.program->replacements[size_t(i.imm)];
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t lane = uint32_t(std::countr_zero(m));
    uint64_t address = valueOf(w, r.map, lane);
    bool shared = r.shared;
    if (r.generic && address - kSharedWindow < kWindowBytes) {
      shared = true;
      address -= kSharedWindow;
    }
    MapBytes bytes = mapAt(w, i, lane, address, shared, true);
    if (!bytes.data)
      continue;
    Result<TensorMapDescription> map = decodeTensorMap(bytes.data);
    if (!map) {
      bad(w, i, lane, fmt::format("at 0x{:x}: {}", address, map.error().message));
      continue;
    }
    if (std::string broken = replaceField(*map, r, valueOf(w, r.value, lane)); !broken.empty()) {
      bad(w, i, lane, broken);
      continue;
    }
    std::array<std::byte, 128> packed = packTensorMap(*map);
    std::memcpy(bytes.data, packed.data(), 128);
  }
}

void execMapCopy(Warp &w, const Inst &i) {
  if (!converge(w, i, w.live, true))
    return;
  const MapReplacement &r = w.program->replacements[size_t(i.imm)];
  uint32_t lane = uint32_t(std::countr_zero(w.mask));
  MapBytes from = mapAt(w, i, lane, valueOf(w, r.value, lane), true, false);
  MapBytes to = mapAt(w, i, lane, valueOf(w, r.map, lane), false, true);
  if (!from.data || !to.data)
    return;
  std::memcpy(to.data, from.data, 128);
  std::memcpy(to.init, from.init, 16);
  if (w.worker->launch->ordering)
    fence(w, Scope::Device);
}

} // namespace attune::sim
