//===- DeviceLimits.h - what a device can hold ----------------------*- C++ -*-===//
#ifndef ATTUNE_SIMULATOR_DEVICELIMITS_H
#define ATTUNE_SIMULATOR_DEVICELIMITS_H

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace attune::sim {

/// What a device of the module's target can hold (the CUDA programming guide's table of compute
/// capabilities, and the largest product of each).
struct DeviceLimits {
  uint32_t multiprocessors, threads, blocks;   ///< blocks and threads of a multiprocessor
  uint64_t sharedPerBlock, sharedPerProcessor; ///< bytes
};
inline DeviceLimits deviceLimits(std::string_view target) {
  constexpr uint64_t kb = 1024;
  int sm = std::atoi(std::string(target.substr(3)).c_str());
  if (sm == 80 || sm == 87)
    return {sm == 80 ? 108u : 16u, sm == 80 ? 2048u : 1536u, sm == 80 ? 32u : 16u, 163 * kb, 164 * kb};
  if (sm >= 90 && sm < 120)
    return {sm >= 100 ? 148u : 132u, 2048, 32, 227 * kb, 228 * kb};
  if (sm >= 80)
    return {sm >= 120  ? 188u
            : sm == 89 ? 142u
                       : 84u,
            1536, sm == 89 || sm >= 120 ? 24u : 16u, 99 * kb, 100 * kb};
  return {80, sm >= 75 ? 1024u : 2048u, sm >= 75 ? 16u : 32u, 96 * kb, 96 * kb};
}

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_DEVICELIMITS_H
