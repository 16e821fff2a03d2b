//===- Slots.h - issue slots of a kernel's inner loops ----------*- C++ -*-===//
//
// On the portable family every instruction outside the tensor core costs a cycle of a scheduler, so their
// number per score element is what decides a kernel's speed, and it can be read off the machine code.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_JIT_SLOTS_H
#define ATTUNE_RUNTIME_JIT_SLOTS_H

#include "runtime/jit/Toolchain.h"

#include <string>
#include <utility>
#include <vector>

namespace attune {

/// One innermost loop that holds matrix instructions, in code order.
struct LoopSlots {
  std::string function;
  int instructions = 0; ///< of the loop, all
  int matrix = 0;       ///< on the tensor core
  /// Inside blocks that one forward branch skips (the lazy rescale): rarely executed, so not counted.
  int skipped = 0;
  /// (instructions - matrix - skipped) / score elements that a thread owns in an iteration; 0 if those are
  /// not given.
  double slotsPerElement = 0;
  std::vector<std::pair<std::string, int>> classes; ///< most frequent first, skipped blocks included
};

/// The loops of a cubin, disassembled by nvdisasm. `elementsPerThread` = block_q * block_kv / threads.
Result<std::vector<LoopSlots>> slots(const Toolchain &tools, const std::string &cubin,
                                     double elementsPerThread);

/// The same from the text that `nvdisasm -c` prints.
std::vector<LoopSlots> slotsOf(std::string_view disassembly, double elementsPerThread);

} // namespace attune

#endif // ATTUNE_RUNTIME_JIT_SLOTS_H
