//===- Calls.h - calls that are not inlined, and functions of the system -*- C++ -*-===//
//
// A function that calls itself, or that is called by its address, has one body in the program, before the
// kernel's own code: so the lanes that are in it go before those that have returned from it, and meet them
// where it was called. Each activation has a frame of local memory, which holds its parameters, results and
// variables; a register of the program tells where each lane's lies. What registers of functions still hold
// behind a call is put aside for its duration, since the same function may run again meanwhile.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_CALLS_H
#define ATTUNE_SIMULATOR_CALLS_H

#include <cstdint>
#include <string_view>
#include <vector>

namespace attune::sim {

struct Inst;
struct Warp;

/// Bytes of local memory for the frames of a thread's calls.
constexpr uint32_t kStackBytes = 16 << 10;
/// Where the addresses of functions lie.
constexpr uint64_t kFunctionWindow = 0x0000'0400'0000'0000;
inline uint64_t functionAddress(uint32_t function) { return kFunctionWindow + 16 * uint64_t(function + 1); }

/// An argument or result in its frame.
struct FramePlace {
  uint32_t offset, bytes;
};
struct SavedRegister {
  uint32_t offset; ///< or the number of a predicate
  bool predicate, wide;
};

struct CallSite {
  std::vector<uint32_t> targets; ///< in Program::functions; of a call by address all that it may mean
  bool indirect = false;
  std::vector<FramePlace> arguments, results; ///< in the caller's frame
  uint32_t frameBytes = 0;                    ///< of the caller
  std::vector<SavedRegister> saved;
};

struct Callee {
  uint32_t entry = 0; ///< its first instruction
  uint64_t address = 0;
  std::string_view name;
  std::vector<FramePlace> params, results;
};

/// Of each lane, the activations that have not ended.
struct CallStacks {
  std::vector<uint32_t> lanes[32];
};

void execBeginCalls(Warp &w, const Inst &i); ///< D: where the lanes' frames lie
void execCall(Warp &w, const Inst &i);       ///< D and B: the same; A: the address; imm: in Program::calls
void execReturn(Warp &w, const Inst &i);     ///< D and B: the same

/// A function of the system and its argument and result sizes.
struct SystemFunction {
  std::string_view name;
  void (*fn)(Warp &, const Inst &); ///< B: the frame; imm: in Program::calls
  std::vector<uint32_t> arguments, results;
};
const SystemFunction *findSystemFunction(std::string_view name);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_CALLS_H
