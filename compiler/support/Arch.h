//===- Arch.h - GPU architectures that attune knows -------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SUPPORT_ARCH_H
#define ATTUNE_COMPILER_SUPPORT_ARCH_H

#include "compiler/support/Result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace attune {

/// Limits of one architecture that a schedule must respect, and instructions that it has beyond those of
/// sm_80. Sizes are bytes. Source: CUDA C++ Programming Guide 13.0, table "Technical Specifications per
/// Compute Capability"; PTX ISA 9.0, "Target ISA Notes".
struct Arch {
  std::string name;           ///< as ptxas spells it: "sm_80", "sm_90a"
  int computeCapability;      ///< 10 * major + minor
  int sharedPerSm;            ///< shared memory of an SM
  int sharedPerBlock;         ///< most that one block may ask for
  int sharedReservedPerBlock; ///< taken by the system from every block
  int registersPerSm;         ///< 32-bit registers of an SM
  int maxThreadsPerSm;
  int maxBlocksPerSm;
  int ptxIsa;         ///< PTX ISA version that is printed for it, 10 * major + minor
  bool clusters, tma; ///< thread block clusters; cp.async.bulk and mbarrier transactions
  bool wgmma;         ///< wgmma and setmaxnreg, which only an arch-specific target has
};

/// The architecture called `name` ("sm_80", "80", "sm_90a"); the error lists those that exist.
Result<Arch> findArch(std::string_view name);

/// The architecture on which a device of this compute capability (10 * major + minor) runs the
/// portable kernels.
Result<Arch> archForDevice(int computeCapability);

/// The target of the same architecture that also has its own instructions: sm_90a for sm_90, and for itself.
/// PTX for it runs on no other architecture.
Result<Arch> archSpecificTarget(const Arch &arch);

/// Every architecture, oldest first.
const std::vector<Arch> &allArchs();

/// Blocks of `threads` threads, `registersPerThread` and `sharedBytes` that fit in one SM; 0 when
/// even one does not. Register allocation granularity: 256 registers a warp (the CUDA occupancy
/// calculator's rule for compute capability 8.0 and later).
int blocksPerSm(const Arch &arch, int threads, int registersPerThread, int sharedBytes);

} // namespace attune

#endif // ATTUNE_COMPILER_SUPPORT_ARCH_H
