//===- Undefined.h - values that were never written, followed through registers -*- C++ -*-===//
//
// Reading memory that nobody wrote, or a register, is no fault by itself: programs load the padding of a tile
// and drop what they compute of it. So such a value is undefined, byte by byte and lane by lane; it stays so
// through moves and arithmetic, through shared and local memory, and it is a finding where it matters: as an
// address, in a branch, in what is stored to global memory, as an operand of an atomic or a barrier.
//
// A warp without undefined values runs without any of this. A load that meets one switches the warp
// (Warp::tracked) to a loop in which each instruction goes through executeUndefined; when none is left that
// may still be read, it switches back.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_UNDEFINED_H
#define ATTUNE_SIMULATOR_UNDEFINED_H

#include "simulator/Ast.h"

#include <array>
#include <cstdint>
#include <vector>

namespace attune::sim {

struct Inst;
struct Warp;
using Handler = void (*)(Warp &, const Inst &);

/// Which place of an instruction an operand fills. Flight: none; the register is kept alive up to here, see
/// WgmmaRegisters.cpp.
enum class Field : uint8_t { D, A, B, C, D2, Guard, List, Flight };

/// How undefined operands make results undefined.
enum class Flow : uint8_t {
  Any,     ///< any undefined byte makes all results undefined
  Matters, ///< an undefined operand is a finding
  Load,    ///< the handler says what is undefined; an undefined address is a finding
  Store,   ///< shared and local memory take undefined bytes, global memory does not
  MatrixLoad,
  MatrixStore,
  Move, ///< byte for byte, as many as the destination has
  Select,
  And,
  Or,
  Xor, ///< bytes on their own; detail 1: of three operands
  PredicateAnd,
  PredicateOr,
  Compare,
  Halves,     ///< 16 bits on their own
  PackHalves, ///< the upper from the first operand, the lower from the second
  Pack,       ///< detail: bytes of a part
  Unpack,
  Widen,      ///< detail: bytes of the source, and 16 if it is signed
  ShiftLeft,  ///< detail: bytes
  ShiftRight, ///< detail: bytes, and 16 if it is signed
  Permute,
  Shuffle,
  Collective, ///< one undefined lane of a group makes the group's results undefined
  Matrix,     ///< by rows and columns of mma.sync's 16x8 fragments
  Wgmma,      ///< its result is undefined when the product acts, see wgmmaUndefined
  Product     ///< by rows and columns, for MatrixAny.cpp
};
struct FlowRule {
  Flow flow = Flow::Any;
  uint8_t detail = 0;
};
FlowRule flowRule(const Inst &i);

/// A register of an instruction.
struct FlowRef {
  uint32_t offset; ///< or the number of a predicate
  Field field;
  bool def, predicate, wide;
};
struct InstFlow {
  uint32_t first; ///< its registers in Program::flowRefs, up to the next one's
  FlowRule rule;
};
/// Where a slot of the register file holds a value that may still be read.
struct SlotLife {
  uint32_t slot, first, last; ///< instructions
};

/// Where an undefined value came from: a load, or a register that was never written.
struct Origin {
  static constexpr uint32_t kRegister = 0xFFFFFFFFu, kPredicate = 0xFFFFFFFEu;
  uint32_t statement = 0; ///< of the load, or one of these
  uint32_t place = 0;     ///< of a register: its offset or number
  Space space = Space::Shared;
  uint32_t bytes = 0;
  uint64_t address = 0;
};

/// What a warp knows of its undefined values.
struct UndefinedValues {
  std::vector<std::array<uint32_t, 4>> slots; ///< lanes whose byte is undefined
  std::vector<uint32_t> predicates;
  std::vector<uint32_t> slotOrigins, predicateOrigins;
  std::vector<Origin> origins;
  uint32_t steps = 0, settleAt = 0;
  struct Result {
    uint32_t offset;
    bool predicate, wide;
    std::array<uint32_t, 8> bytes;
    uint32_t origin;
  };
  std::vector<Result> results;
};

/// The lanes of each row of four lanes of which one is in `m`.
inline uint32_t wholeRows(uint32_t m) { return ((m | m >> 1 | m >> 2 | m >> 3) & 0x11111111u) * 15; }

/// Which bytes of a lane's register are undefined (of a predicate: bit 0).
uint32_t undefinedBytes(const Warp &w, uint32_t offset, bool predicate, bool wide, uint32_t lane);
/// Sets them, of a register that gets back a value that it had.
void setUndefinedBytes(Warp &w, uint32_t offset, bool predicate, bool wide, uint32_t lane, uint32_t bytes);
/// Makes the registers undefined that may be read before they are written, and no others.
void beginUndefined(Warp &w);
/// Executes an instruction of a warp that has undefined values. Warp::mask may be empty.
void executeUndefined(Warp &w, const Inst &i);
/// Forgets what no lane will read any more.
void settleUndefined(Warp &w);
/// To be called by a load of Inst::count elements of Inst::width bytes into its list: what `lanes` read is
/// undefined where the bit of `init` at bit[lane] ... is 0.
void loadUndefined(Warp &w, const Inst &i, uint32_t lanes, const uint8_t *init, const uint64_t *bit,
                   const uint64_t *address, Space space);
/// The same for rows of 16 bytes that ldmatrix reads at `offset` of shared memory.
void matrixUndefined(Warp &w, const Inst &i, uint32_t rows, const uint64_t *offset, unsigned matrices,
                     bool transposed);
/// Rows of a matrix, or columns, some of whose bytes in shared memory were never written, and where the first
/// of those lies.
struct LostRows {
  std::array<uint64_t, 4> rows{};
  uint32_t address = 0;
  bool any = false;
  bool has(uint32_t row) const { return rows[row / 64] >> (row % 64) & 1; }
  void add(uint32_t row, uint32_t at) {
    rows[row / 64] |= 1ull << (row % 64);
    address = any ? address : at;
    any = true;
  }
};
/// To be called when a warp's part of a product by `i` has acted: what depends on undefined registers of A,
/// on these rows of A or on these columns of B is undefined.
void wgmmaUndefined(Warp &w, const Inst &i, bool accumulate, const LostRows &rows, const LostRows &columns);
/// To be called by a shuffle before it writes its result: lane l gets source[l]'s value.
void shuffleUndefined(Warp &w, const Inst &i, const uint32_t *source);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_UNDEFINED_H
