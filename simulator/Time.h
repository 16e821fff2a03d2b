//===- Time.h - what the virtual clock is asked and what it says ----*- C++ -*-===//
#ifndef ATTUNE_SIMULATOR_TIME_H
#define ATTUNE_SIMULATOR_TIME_H

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace attune::sim {

/// What a launch is to be timed for. The clock follows some blocks of the grid and extrapolates.
struct TimeConfig {
  bool on = false;
  std::string gpu = {};    ///< a row of kGpuFigures ("H100"); empty: the reference GPU of the module's target
  uint32_t registers = 0;  ///< of a thread, as an assembler says; 0: as many as the PTX needs, about
  uint32_t sample = 0;     ///< blocks to follow; 0: two for each that an SM holds, and at least four
  bool onlySample = false; ///< the other blocks do not run: their results stay as they were
  bool timeline = false;   ///< fill TimeReport::timeline
};

/// Why a warp did not issue.
enum class Stall : uint8_t {
  NotSelected, ///< another warp of its scheduler did
  MathPipe,    ///< the arithmetic unit was busy
  MathLatency, ///< an arithmetic result was awaited
  Shared,      ///< shared memory or a shuffle: its port or its result
  Memory,      ///< global memory
  Copy,        ///< cp.async or a bulk store: a wait for its group
  Tensor,      ///< mma.sync's unit or wgmma's queue was full
  MatrixWait,  ///< wgmma.wait_group
  Mbarrier,
  Barrier, ///< bar, barrier, those of a cluster
  Other,   ///< branches, fences, the issue of a copy
  Count
};
std::string_view name(Stall stall);

constexpr size_t kStalls = size_t(Stall::Count);

/// Clocks of warps at one instruction.
struct LineTime {
  uint32_t ptxLine = 0, sourceLine = 0;
  std::string sourceFile, instruction;
  uint64_t issued = 0; ///< warp instructions
  std::array<double, kStalls> stalls{};
  double total() const;
};

struct BlockTime {
  uint64_t block = 0;        ///< its number: x + y * grid x + z * grid x * grid y
  double start = 0, end = 0; ///< clocks of its SM
};

struct TimeReport {
  std::string gpu;
  bool measured = false; ///< the GPU's figures are; else they come from data sheets
  uint64_t blocks = 0;   ///< of the grid
  uint32_t registers = 0;
  bool registersGuessed = false;
  uint32_t residents = 0; ///< blocks that an SM holds at once
  std::string limit;      ///< what limits them: "shared memory"
  double waves = 0;       ///< blocks by those that the GPU holds at once
  std::vector<BlockTime> followed;
  double cycles = 0;                     ///< of the kernel, without its launch
  double memoryCycles = 0, l2Cycles = 0; ///< at least, for the bytes that the grid moves
  double clockGhz = 0;                   ///< under this load
  double launchUs = 0;                   ///< between two events around an empty kernel
  double seconds = 0;                    ///< of the kernel, without its launch
  double matrixFlops = 0;                ///< of the grid, by the tensor cores
  double teraflops() const { return seconds > 0 ? matrixFlops / seconds * 1e-12 : 0; }
  // While the blocks followed ran: the share of time in which a unit was busy.
  double tensor = 0, issue = 0, fma = 0, alu = 0, mufu = 0, shared = 0;
  std::array<double, kStalls> stalls{}; ///< clocks of all warps followed
  double issuing = 0;                   ///< clocks in which they issued
  std::vector<LineTime> lines;          ///< most clocks first
  std::string timeline;                 ///< Chrome's trace format
  std::vector<std::string> notes;       ///< what was assumed
};

/// For who launches by way of others: asks for the launches to be timed, and takes what the clock says of
/// each.
struct Timings {
  TimeConfig config;
  std::vector<TimeReport> launches;
};

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_TIME_H
