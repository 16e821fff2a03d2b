//===- Decoded.h - the program that the executor runs -------------*- C++ -*-===//
//
// A warp's registers are arrays of 32 lanes: a 32-bit register (also one of 8 or 16 bits, zero-extended) is
// 128 adjacent bytes, a 64-bit register 256. Constants and special registers lie in the same file, so that
// every operand of an instruction is one byte offset. A predicate is one word with a bit a lane.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_DECODED_H
#define ATTUNE_SIMULATOR_DECODED_H

#include "simulator/Ast.h"
#include "simulator/Bulk.h"
#include "simulator/Calls.h"
#include "simulator/Handlers.h"
#include "simulator/Origins.h"
#include "simulator/Simulator.h"
#include "simulator/Undefined.h"
#include "simulator/Wgmma.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace attune::sim {

constexpr uint32_t kFull = 0xFFFFFFFFu;
constexpr uint32_t kSlotBytes = 128;
/// The predicate that no lane has; predicate 0 is that which all have.
constexpr uint32_t kFalsePredicate = 1;

/// How a loaded element becomes a register.
enum class Extend : uint8_t { Zero32, Sign32, Sign16, Zero64, Sign64 };

/// What `set` writes where its comparison holds (Inst::count); None: it is a `setp`.
enum class SetValue : uint8_t { None, Ones, Float, Ones16, Half, Bfloat };
inline uint32_t setValue(uint8_t value) {
  constexpr uint32_t values[] = {0, kFull, 0x3F800000u, 0xFFFFu, 0x3C00u, 0x3F80u};
  return values[value];
}

/// Inst::order of an access that is not plain.
constexpr uint8_t kStrong = 1, kAcquire = 2, kRelease = 4, kDeviceScope = 8, kClusterScope = 16;

/// One decoded instruction. What the fields mean is up to the handler; offsets are bytes into the register
/// file, predicate fields are predicate numbers.
struct Inst {
  Handler fn = nullptr;
  uint32_t d = 0, a = 0, b = 0, c = 0;
  int64_t imm = 0;
  uint32_t guard = 0;    ///< predicate number; 0 is always true
  uint32_t guardNeg = 0; ///< 0 or kFull
  uint32_t d2 = 0;       ///< second destination: a predicate
  uint32_t list = 0;     ///< first of this instruction's offsets in Program::lists
  uint32_t target = 0;   ///< branches
  uint32_t statement = 0;
  uint32_t watched = 0; ///< of execWatched: Program::watched
  uint16_t aux = 0;
  Class cls = Class::None;
  uint8_t order = 0;      ///< volatile, atomic, relaxed, acquire, release: kStrong and so on; 0: plain
  bool atomic = false;    ///< atom or red
  bool exits = true;      ///< there is a way from here to the kernel's end
  bool runsEmpty = false; ///< executed even when no lane passes the guard (branches)
  Extend extend = Extend::Zero32;
  uint8_t count = 0; ///< vector elements
  uint8_t width = 0; ///< bytes an element
  bool addr64 = false;
  bool nonCoherent = false; ///< ld.global.nc
};

/// Windows of the generic address space.
constexpr uint64_t kSharedWindow = 0x0000'0100'0000'0000;
constexpr uint64_t kLocalWindow = 0x0000'0200'0000'0000;
constexpr uint64_t kParamWindow = 0x0000'0300'0000'0000;
constexpr uint64_t kWindowBytes = 0x0000'0001'0000'0000;
/// The first KB of shared memory belongs to the system on real devices; leaving it out finds null pointers.
constexpr uint32_t kSharedBase = 1024;

/// A kernel, ready to run.
struct Program {
  EntryInfo info;
  std::vector<Inst> code;
  std::vector<uint32_t> lists;
  std::vector<Bulk> bulks;
  std::vector<MapReplacement> replacements;
  std::vector<Wgmma> wgmmas;
  std::vector<Watched> watched;
  bool usesWarpgroups = false;   ///< has wgmma or setmaxnreg
  bool changesRegisters = false; ///< has setmaxnreg
  std::vector<InstFlow> flows;   ///< of each instruction, plus the end
  std::vector<FlowRef> flowRefs;
  std::vector<SlotLife> lives;     ///< by slot
  std::vector<uint32_t> firstLife; ///< of each slot, plus the end
  std::vector<SlotLife> predicateLives;
  uint32_t fileBytes = 0; ///< register file of a warp
  uint32_t predicates = kFalsePredicate + 1;
  struct Constant {
    uint32_t offset;
    bool wide;
    uint64_t bits;
    int32_t variable = -1; ///< address of this module-scope variable is added at launch
  };
  std::vector<Constant> constants;
  struct Special {
    uint32_t offset;
    std::string name;
  };
  std::vector<Special> specials;
  std::vector<uint32_t> undefinedSlots; ///< offsets of registers that may be read before they are written
  std::vector<uint32_t> undefinedPredicates; ///< the same for predicates
  std::vector<Variable> sharedVariables;     ///< with their offsets, for messages
  std::vector<SharedRange> ranges;           ///< by statement
  struct Line {
    uint32_t ptxLine, sourceFile, sourceLine;
    std::string_view text;
  };
  std::vector<Line> statements;
  std::vector<CallSite> calls;
  std::vector<Callee> functions; ///< that are called
  uint32_t frameBytes = 0;       ///< of each of them
  bool usesLocal = false;
  bool ordering = false;   ///< has accesses that are not plain
  bool asyncProxy = false; ///< has instructions that an asynchronous unit carries out
  struct Operand {         ///< a register or special register of an instruction, for traces
    std::string_view name;
    Type type;
    uint32_t offset; ///< or the number of a predicate
    bool def;
  };
  std::vector<Operand> operands;
  std::vector<uint32_t> firstOperand; ///< of each instruction, plus the end
  std::vector<uint32_t> order;        ///< of each instruction: fragments at lower ones go first
  std::vector<uint32_t> blockEnd;     ///< of each: where its basic block ends
  bool usesReserved = false;          ///< names the system's shared memory (%reserved_smem_offset_)
  bool usesWorkspace = false;         ///< names a cooperative grid's barrier (%envreg1, 2)
  bool communicates = false;          ///< blocks may wait for, or depend on the order of, each other
};

class ModuleImpl {
public:
  /// Tells modules apart that lived at one address after each other.
  const uint64_t id = [] {
    static std::atomic<uint64_t> next{1};
    return next.fetch_add(1);
  }();
  mutable Ast ast;                     ///< decoding a kernel gives its variables their places
  std::vector<std::string_view> names; ///< of the entries

  ModuleImpl(std::string_view ptx, std::string_view fileName);
  Status parse();
  /// The entry of this number or name (null: there is none), decoded at the first call.
  const Program &program(size_t k) const;
  const Program *program(std::string_view name) const;
  const std::vector<EntryInfo> &entries() const;

private:
  std::vector<uint32_t> functions; ///< of the entries
  std::unordered_map<std::string_view, size_t> index;
  mutable std::mutex lock; ///< of what decoding changes
  mutable std::vector<std::unique_ptr<const Program>> programs;
  mutable std::once_flag all;
  mutable std::vector<EntryInfo> infos;
};

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_DECODED_H
