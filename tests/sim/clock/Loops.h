//===- Loops.h - the loops that an H100 was timed with, as PTX ------*- C++ -*-===//
//
// Each function gives a kernel `k(.param .u32 loops, .param .u64 memory)` that goes `loops` times through
// what a GPU was timed for; two numbers of rounds give the clocks of one. `memory` is some KB of global
// memory.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TESTS_SIM_CLOCK_LOOPS_H
#define ATTUNE_TESTS_SIM_CLOCK_LOOPS_H

#include <cstdint>
#include <string>
#include <string_view>

namespace attune::clockloops {

struct Loop {
  std::string ptx;
  uint32_t threads = 32, shared = 0; ///< of a block; bytes
  double steps = 1;                  ///< by which a round's clocks are to be divided
};

/// `step` on %r0, %r1 ...: "$" stands for the chain's register, %b and %c for operands; 128 steps a round on
/// `chains` independent registers.
Loop chains(std::string_view step, unsigned chains, unsigned warps);

enum class Mix { Softmax, NoExp, Rescale, Masked, Polynomial };
/// What online softmax does to a score, for 32 of them a thread. Steps: elements of a scheduler's warps.
Loop mix(Mix mix, unsigned warps);

/// 16 wgmma m64nNk16 in a group, one group in flight. Steps: products of all warpgroups.
Loop matrixRate(unsigned n, bool registers, bool transposed, unsigned groups);
/// fence, `count` products, commit, wait for all.
Loop matrixLatency(unsigned n, bool registers, unsigned count);

enum class Flow { Serial, Chained, Overlap, Loose };
enum class Turns { Free, Issue, Softmax };
struct Attention {
  unsigned headDim, keys, groups;
  Flow flow;
  Turns turns;
  bool lazy;
  unsigned polynomial; ///< one of so many exponentials is a polynomial; 0: none
};
/// An iteration over a tile of keys whose operands stay in shared memory.
Loop attention(const Attention &a);

} // namespace attune::clockloops

#endif // ATTUNE_TESTS_SIM_CLOCK_LOOPS_H
