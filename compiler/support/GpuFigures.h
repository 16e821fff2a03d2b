//===- GpuFigures.h - what GPUs do in a clock -------------------*- C++ -*-===//
//
// Rates and latencies of GPUs, one row each: the only place that states them. The cost model of the tuner and
// the clock of the simulator read them. A row is measured, or taken from data sheets and scaled from a
// measured row, and says which.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SUPPORT_GPUFIGURES_H
#define ATTUNE_COMPILER_SUPPORT_GPUFIGURES_H

#include <array>
#include <string_view>

namespace attune {

/// Rates are of one SM and one clock unless they say otherwise; pipes work beside each other. Latencies are
/// clocks from issue to use.
struct GpuFigures {
  std::string_view gpu;
  int computeCapability; ///< 10 * major + minor
  bool measured;         ///< else from data sheets, the rest in proportion to a measured GPU
  int multiprocessors;
  double clockGhz;  ///< boost
  double loadedGhz; ///< what power leaves of it while the tensor cores are busy

  // Warp instructions.
  double issue; ///< of all schedulers together
  double fma;   ///< f32 multiply, add, fused; packed 16-bit
  double alu;   ///< minimum, maximum, compare, select, integer, logic, moves of bytes, float to 16-bit pairs
  double mufu;  ///< ex2, lg2, rcp, tanh
  double shuffle;

  // 16-bit multiply-adds with f32 accumulation. wgmma 0: there is none.
  double mmaSync, wgmma;

  // Bytes.
  double sharedBytes;              ///< read or written
  double l2Bytes;                  ///< out of L2, with all SMs asking
  double memoryGbPerSecond, l2MiB; ///< of the whole device

  int fmaLatency, aluLatency, mufuLatency, shuffleLatency;
  int mmaLatency;   ///< m16n8k16
  int wgmmaLatency; ///< m64n128k16, fence to wait, operands in shared memory
  int sharedLatency, l1Latency, l2Latency, memoryLatency;
  int bulkIssue;                        ///< TMA: of the issuing thread
  int bulkL2Latency, bulkMemoryLatency; ///< until 8 KB have landed
  int blockBarrier;                     ///< bar.sync of four warps
  int mbarrierHandOver, namedHandOver;  ///< between warps
  int clusterBarrier;                   ///< with release and acquire
  double launchUs;                      ///< between events around an empty kernel
};

/// Oldest first; of one compute capability the reference GPU first.
///
/// H100, H200: measured with the project's probe. A100, A40, L40S, RTX PRO 6000: multiprocessors, clocks,
/// memory and matrix rates of NVIDIA's data sheets and architecture papers; instruction rates of the CUDA C++
/// Programming Guide ("Throughput of Native Arithmetic Instructions"); L2 as bytes a clock of the A100's
/// paper, the others in proportion to it; latencies as the H100 has them in clocks, except those of L2 and
/// memory, which microbenchmarks give (arXiv 2208.11174, 2402.13499). Barriers and TMA: as the H100.
inline constexpr std::array<GpuFigures, 6> kGpuFigures = {{
    // clang-format off
    {"A100", 80, false, 108, 1.41, 1.35,   4, 2, 2, 0.5, 1,   1024, 0,   128, 47, 1935, 40,
     4, 4, 18, 24, 25, 0,   23, 33, 200, 470,   0, 0, 0,   31, 117, 44, 0,   6},
    {"A40", 86, false, 84, 1.74, 1.5,   4, 3.9, 2, 0.5, 1,   512, 0,   128, 32, 696, 6,
     4, 4, 18, 24, 33, 0,   23, 33, 240, 500,   0, 0, 0,   31, 117, 44, 0,   6},
    {"L40S", 89, false, 142, 2.52, 2.2,   4, 3.9, 2, 0.5, 1,   512, 0,   128, 32, 864, 96,
     4, 4, 18, 24, 33, 0,   23, 33, 260, 540,   0, 0, 0,   31, 117, 44, 0,   6},
    {"H100", 90, true, 132, 1.98, 1.75,   4, 3.9, 1.97, 0.5, 1,   1359, 2043,   128, 31, 3100, 50,
     4, 4, 17, 24, 24, 148,   23, 34, 277, 690,   202, 515, 1150,   31, 117, 44, 764,   6.5},
    {"H200", 90, true, 132, 1.98, 1.75,   4, 3.9, 1.97, 0.5, 1,   1359, 2043,   128, 37, 4500, 60,
     4, 4, 17, 24, 24, 148,   23, 34, 277, 690,   202, 515, 1150,   31, 117, 44, 764,   6.5},
    {"RTX PRO 6000 Blackwell", 120, false, 188, 2.6, 2.3,   4, 3.9, 2, 0.5, 1,   512, 0,
     128, 32, 1792, 128,   4, 4, 18, 24, 33, 0,   23, 33, 300, 600,   202, 515, 1150,   31, 117, 44, 764,   6},
    // clang-format on
}};

/// The row of the GPU that a driver calls `device` ("NVIDIA H200"), else the reference GPU of the newest
/// architecture that is no newer than `computeCapability`.
inline constexpr const GpuFigures &gpuFiguresFor(std::string_view device, int computeCapability) {
  const GpuFigures *best = kGpuFigures.data();
  for (const GpuFigures &row : kGpuFigures) {
    if (row.computeCapability == computeCapability && device.find(row.gpu) != std::string_view::npos)
      return row;
    if (row.computeCapability <= computeCapability && row.computeCapability > best->computeCapability)
      best = &row;
  }
  return *best;
}

} // namespace attune

#endif // ATTUNE_COMPILER_SUPPORT_GPUFIGURES_H
