//===- Origins.h - which static variable an address comes from --*- C++ -*-===//
#ifndef ATTUNE_SIMULATOR_ORIGINS_H
#define ATTUNE_SIMULATOR_ORIGINS_H

#include "simulator/Ast.h"

#include <cstdint>
#include <vector>

namespace attune::sim {

/// Where in shared memory an access may lie: [begin, end), as addresses of the shared window.
struct SharedRange {
  uint32_t begin = 0, end = ~0u;
  bool contains(uint64_t first, uint64_t behind) const { return first >= begin && behind <= end; }
};

/// By statement of the function: the static shared variable from whose address alone its own is computed, by
/// adding to it; everywhere where that is not known. The variables' offsets are set.
std::vector<SharedRange> sharedRanges(const Ast &ast, const Function &function);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_ORIGINS_H
