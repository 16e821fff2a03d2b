//===- Wgmma.h - matrix products of a warpgroup -------------------*- C++ -*-===//
//
// A wgmma.mma_async is issued by the four warps of a warpgroup, each of which owns 16 of the 64 rows of D. It
// may act from the moment at which the fourth has issued it (AsyncProxy.h decides when), in the order of its
// warpgroup's products, and reads and writes the accumulators in the warps' registers as they are then. A
// warp that waits for a product which another warp has not issued yet is suspended.
//
// Registers. What a product in flight holds must keep its slot up to the wait that covers it
// (WgmmaRegisters.cpp); instructions that may touch such a register, or one that needs a fence afterwards,
// are watched: execWatched looks at what is in flight when they run. Moves are no touch: a compiler's
// assembler resolves them. One that copies an accumulator in flight makes the product act first, and its
// destination is in flight as well.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_WGMMA_H
#define ATTUNE_SIMULATOR_WGMMA_H

#include "simulator/Handlers.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace attune::sim {

struct EntryInfo;
struct Inst;
struct Warp;
struct Cta;

enum class MatrixType : uint8_t { F16, BF16, TF32, E4M3, E5M2, S8, U8 };

/// What the opcode and the immediates say of one instruction; Inst::imm is its index in Program::wgmmas.
struct Wgmma {
  Handler multiply = nullptr; ///< one warp's rows, from WgmmaInput (isa/Wgmma.inc)
  uint16_t columns = 8;       ///< N
  uint8_t registers = 4;      ///< of D
  MatrixType a = MatrixType::F16, b = MatrixType::F16;
  bool aRegisters = false;                     ///< A's fragment follows D in the list: four registers
  bool transposeA = false, transposeB = false; ///< MN-major in shared memory
  bool negateA = false, negateB = false;
  bool saturate = false;
  bool scaleNegated = false; ///< of the predicate Inst::c
  unsigned k() const { return a == MatrixType::TF32 ? 8 : a <= MatrixType::BF16 ? 16 : 32; }
  /// Products of one shape may follow each other on one accumulator without a fence.
  uint32_t shape() const { return columns << 8 | k(); }
};

/// The operands of one warp's part of a product: 32 bytes of k a row of A and a column of B.
struct WgmmaInput {
  alignas(64) std::byte a[16][32];
  alignas(64) std::byte b[256][32];
  uint16_t columns = 0;
  bool accumulate = false, saturate = false;
  bool freshB = false; ///< B has changed since the last call
};

/// A matrix in shared memory as a descriptor says.
struct MatrixDescriptor {
  uint32_t start, leading, stride; ///< bytes
  uint32_t width;                  ///< bytes of the swizzle pattern: 0 (none), 32, 64, 128
  uint32_t base;                   ///< rows of the pattern before the start's

  static MatrixDescriptor from(uint64_t bits);
  /// The address of 16 adjacent bytes: of row `row` (of A, or column of B) and half `half` of the 32 bytes of
  /// k; or, transposed, of rows 8 `row` ... and k `half`.
  uint32_t chunk(bool transposed, uint32_t row, uint32_t half) const;
  /// Why it cannot be, for `rows` rows or columns; empty: it can.
  std::string misuse(bool transposed, uint32_t rows, uint64_t bits) const;
};

/// One product in flight of a warpgroup.
struct WgmmaOp {
  const Inst *inst = nullptr;
  const Wgmma *what = nullptr;
  uint64_t a = 0, b = 0; ///< descriptors
  bool accumulate = false;
  bool landed = false;
  uint8_t issued = 0, finished = 0; ///< warps, a bit each
  uint32_t number = 0;              ///< in the AsyncProxy
};

/// A setmaxnreg that some warps of a warpgroup have executed.
struct RegisterChange {
  const Inst *inst = nullptr;
  uint8_t warps = 0;
};

/// What four warps share.
struct Warpgroup {
  std::deque<WgmmaOp> ops;            ///< not finished by all, oldest first
  uint32_t first = 1;                 ///< sequence number of ops[0]
  uint32_t landed = 0;                ///< sequence number of the last that has acted
  std::deque<RegisterChange> changes; ///< not executed by all, oldest first
  uint32_t firstChange = 1;
  WgmmaOp &op(uint32_t sequence) { return ops[sequence - first]; }
};

/// A warp's part; in programs with wgmma.
struct WarpWgmma {
  struct Slot {                             ///< of the register file
    uint32_t accumulator = 0, fragment = 0; ///< sequence number of the last product that has it
    uint32_t accumulatorSite = 0, fragmentSite = 0;
    uint32_t shape = 0;                     ///< of that accumulator
    uint32_t epoch = 0;                     ///< fences before it was issued
    uint32_t touchEpoch = 0, touchSite = 0; ///< fences before another instruction touched it, and which
  };
  std::vector<Slot> slots;
  std::vector<uint32_t> committed;            ///< last sequence number of each group that may be in flight
  uint32_t issued = 0, grouped = 0, done = 0; ///< sequence numbers of products
  uint32_t epoch = 0;                         ///< fences so far
  const WgmmaInput *input = nullptr;
  uint32_t registers = 0; ///< a thread's, as setmaxnreg left them
  uint32_t changes = 0;   ///< sequence number of the last setmaxnreg
};

/// An instruction that may touch registers of products in flight, or one that must be followed by a fence.
struct Watched {
  Handler fn = nullptr;
  std::vector<uint32_t> reads, writes; ///< slots
  bool move = false;
};

void execWgmma(Warp &w, const Inst &i);
void execWgmmaFence(Warp &w, const Inst &i);
void execWgmmaCommit(Warp &w, const Inst &i);
void execWgmmaWait(Warp &w, const Inst &i);
void execWatched(Warp &w, const Inst &i);
void execSetMaxRegisters(Warp &w, const Inst &i);
/// Registers that a thread has when the kernel begins, if setmaxnreg is to work; 0: the entry does not say.
uint32_t registersAtLaunch(const EntryInfo &info);
/// A block begins; a block has ended: reports what only some warps of a warpgroup came to.
void beginWarpgroups(Cta &cta);
void endWarpgroups(Cta &cta);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_WGMMA_H
