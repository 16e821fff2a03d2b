//===- Arch.cpp - architectures and their limits --------------------------===//
#include "compiler/support/Arch.h"

#include <algorithm>

#include <fmt/format.h>

namespace attune {

const std::vector<Arch> &allArchs() {
  constexpr int kb = 1024;
  static const std::vector<Arch> archs = {
      {"sm_80", 80, 164 * kb, 163 * kb, kb, 65536, 2048, 32, 80, false, false, false},
      {"sm_86", 86, 100 * kb, 99 * kb, kb, 65536, 1536, 16, 80, false, false, false},
      {"sm_87", 87, 164 * kb, 163 * kb, kb, 65536, 1536, 16, 80, false, false, false},
      {"sm_89", 89, 100 * kb, 99 * kb, kb, 65536, 1536, 24, 80, false, false, false},
      {"sm_90", 90, 228 * kb, 227 * kb, kb, 65536, 2048, 32, 80, true, true, false},
      {"sm_90a", 90, 228 * kb, 227 * kb, kb, 65536, 2048, 32, 80, true, true, true},
      {"sm_100", 100, 228 * kb, 227 * kb, kb, 65536, 2048, 32, 86, true, true, false},
      {"sm_103", 103, 228 * kb, 227 * kb, kb, 65536, 2048, 32, 88, true, true, false},
      {"sm_110", 110, 228 * kb, 227 * kb, kb, 65536, 1536, 24, 90, true, true, false},
      {"sm_120", 120, 100 * kb, 99 * kb, kb, 65536, 1536, 24, 87, true, true, false},
      {"sm_121", 121, 100 * kb, 99 * kb, kb, 65536, 1536, 24, 88, true, true, false},
  };
  return archs;
}

/// The compute capability in a name such as "sm_88", "100f"; 0 where there is none.
static int capabilityIn(std::string_view name) {
  if (name.starts_with("sm_"))
    name.remove_prefix(3);
  int capability = 0;
  size_t digits = 0;
  for (; digits < name.size() && digits < 3 && name[digits] >= '0' && name[digits] <= '9'; ++digits)
    capability = 10 * capability + (name[digits] - '0');
  name.remove_prefix(digits);
  return name.empty() || name == "a" || name == "f" ? capability : 0;
}

Result<Arch> findArch(std::string_view name) {
  std::string names;
  for (const Arch &arch : allArchs()) {
    if (arch.name == name || arch.name.substr(3) == name)
      return arch;
    names += names.empty() ? arch.name : ", " + arch.name;
  }
  std::string advice;
  if (int capability = capabilityIn(name)) {
    Result<Arch> serves = archForDevice(capability);
    advice =
        serves ? fmt::format("; the PTX of {} runs there", serves->name) : "; kernels need sm_80 or newer";
  }
  return badInput(fmt::format("expected an architecture among {}, got '{}'{}", names, name, advice));
}

Result<Arch> archForDevice(int computeCapability) {
  // The driver compiles the PTX of an older architecture for a newer one; take the newest that is not newer
  // than the device.
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
