//===- Machine.h - what the assembler makes of PTX, for the clock ---*- C++ -*-===//
//
// Record.h describes the clock as a whole. A Step is an instruction of the program as the machine sees it.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_CLOCK_MACHINE_H
#define ATTUNE_SIMULATOR_CLOCK_MACHINE_H

#include "compiler/support/GpuFigures.h"
#include "simulator/Exec.h"

namespace attune::sim {

/// What a warp instruction keeps busy beside an issue slot.
enum class Pipe : uint8_t { None, Fma, Alu, Mufu, MmaSync, Shared };
constexpr size_t kPipes = 6;

/// What happens when it issues.
enum class Act : uint8_t {
  Plain,
  Branch,
  Shared,     ///< ld, st, atom of shared memory, ldmatrix, stmatrix, shuffles
  Load,       ///< of global memory
  Store,      ///< to it; and reductions, which nobody awaits
  Atomic,     ///< of global memory
  CopyAsync,  ///< cp.async
  CopyCommit, ///< cp.async.commit_group
  CopyWait,   ///< cp.async.wait_group, wait_all
  CopyArrive, ///< cp.async.mbarrier.arrive
  BulkLoad,   ///< to shared memory
  BulkStore,  ///< from shared memory, with or without a reduction
  BulkPrefetch,
  BulkCommit,
  BulkWait,
  MbarrierArrive, ///< any instruction on an mbarrier but a wait
  MbarrierWait,
  BarrierArrive,
  BarrierSync,
  ClusterArrive,
  ClusterWait,
  Matrix, ///< wgmma.mma_async
  MatrixFence,
  MatrixCommit,
  MatrixWait,
  Fixed, ///< takes its latency and nothing else: fences, setmaxnreg
};

struct Step {
  Act act = Act::Plain;
  Pipe pipe = Pipe::None;
  uint8_t slots = 1;                  ///< issue slots; 0: the assembler makes nothing of it
  bool dynamic = false;               ///< has a Dynamic in the record
  bool anchor = false;                ///< the assembler moves nothing across
  bool reads = false, writes = false; ///< memory
  float busy = 0;      ///< clocks of the pipe of its scheduler; Shared: of the SM's port, if not dynamic
  float latency = 0;   ///< clocks from issue to a result
  uint32_t number = 0; ///< groups that may be pending; columns of a product
  float matrixClocks = 0, matrixShared = 0;                ///< of a wgmma: of the tensor cores, of the port
  bool matrixRegisters = false;                            ///< A is in registers
  uint32_t firstUse = 0, uses = 0, firstDef = 0, defs = 0; ///< in Machine::registers
};

/// Straight code between two fences, in the order in which a list scheduler puts it.
struct Region {
  uint32_t begin = 0, end = 0;
  uint32_t dynamics = 0;       ///< steps that are dynamic
  std::vector<uint32_t> order; ///< pcs
};

/// A program as a GPU runs it.
class Machine {
public:
  Machine(const Program &program, const GpuFigures &gpu);

  const Program &program;
  const GpuFigures &gpu;
  std::vector<Step> steps;         ///< by pc
  std::vector<uint32_t> registers; ///< operands of the steps: numbers of PTX registers
  uint32_t registerCount = 0;
  std::vector<Region> regions;
  std::vector<uint32_t> regionOf;       ///< by pc
  std::vector<uint32_t> dynamicsBefore; ///< by pc: those of its region

private:
  void operands();
  void classify(uint32_t pc, std::string_view text, bool first);
  void foldAddresses();
  void cutRegions();
  void order(Region &region);
};

/// The opcode of a statement's text: "@%p1 bra L;" is "bra".
std::string_view opcodeOf(std::string_view text);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_CLOCK_MACHINE_H
