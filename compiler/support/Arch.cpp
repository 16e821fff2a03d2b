#include "compiler/support/Arch.h"

#include <algorithm>

#include <fmt/format.h>

namespace attune {

const std::vector<Arch> &allArchs() {
  constexpr int kb = 1024;
  static const std::vector<Arch> archs = {
      {"sm_80", 80, 164 * kb, 163 * kb, kb, 65536, 2048, 32, 80, false, false, false},
      {"sm_86", 86, 100 * kb, 99 * kb, kb, 65536, 1536, 16, 80, false, false, false},
      {"sm_89", 89, 100 * kb, 99 * kb, kb, 65536, 1536, 24, 80, false, false, false},
      {"sm_90", 90, 228 * kb, 227 * kb, kb, 65536, 2048, 32, 80, true, true, false},
      {"sm_90a", 90, 228 * kb, 227 * kb, kb, 65536, 2048, 32, 80, true, true, true},
      {"sm_120", 120, 100 * kb, 99 * kb, kb, 65536, 1536, 24, 87, true, true, false},
  };
  return archs;
}

Result<Arch> findArch(std::string_view name) {
  std::string names;
  for (const Arch &arch : allArchs()) {
    if (arch.name == name || arch.name.substr(3) == name)
      return arch;
    names += names.empty() ? arch.name : ", " + arch.name;
  }
  return badInput(fmt::format("expected an architecture among {}, got '{}'", names, name));
}

Result<Arch> archForDevice(int computeCapability) {
  // mma.sync kernels of an older architecture run on newer ones of the same family through the
  // driver; take the newest that is not newer than the device.
  const Arch *best = nullptr;
  for (const Arch &arch : allArchs())
    if (arch.name.back() != 'a' && arch.computeCapability <= computeCapability)
      best = &arch;
  if (!best)
    return missing(fmt::format("expected a GPU of compute capability 8.0 or newer, got {}.{}",
                               computeCapability / 10, computeCapability % 10));
  return *best;
}

Result<Arch> archSpecificTarget(const Arch &arch) {
  if (arch.name.back() == 'a')
    return arch;
  return findArch(arch.name + "a");
}

int blocksPerSm(const Arch &arch, int threads, int registersPerThread, int sharedBytes) {
  int warps = (threads + 31) / 32;
  int registersPerWarp = (registersPerThread * 32 + 255) / 256 * 256;
  int shared = sharedBytes + arch.sharedReservedPerBlock;
  if (sharedBytes > arch.sharedPerBlock || threads < 1 || threads > 1024 || registersPerThread > 255)
    return 0;
  int blocks =
      std::min({arch.maxBlocksPerSm, arch.maxThreadsPerSm / (warps * 32), arch.sharedPerSm / shared});
  if (registersPerWarp > 0)
    blocks = std::min(blocks, arch.registersPerSm / (registersPerWarp * warps));
  return blocks;
}

} // namespace attune
