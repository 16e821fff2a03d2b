//===- SimMutants.h - a kernel with one synchronisation changed ---*- C++ -*-===//
//
// Every kernel that differs from a given one in one synchronisation instruction: it is left out, moved past
// the nearest statement that has to do with memory, products or other threads, made weaker, or has the wrong
// phase, count or number of bytes.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TESTS_UNIT_SIMMUTANTS_H
#define ATTUNE_TESTS_UNIT_SIMMUTANTS_H

#include <string>
#include <vector>

namespace simtest {

struct Mutant {
  std::string source; ///< the line of the CUDA program that it is of, without spaces around it
  std::string change; ///< "wgmma.wait_group: waits for one group less"
  std::string ptx;
  unsigned line = 0; ///< of the PTX
};

/// The file's head and the one kernel, so that it is parsed fast.
std::string onlyEntry(const std::string &ptx, const std::string &entry);
/// All mutants of `ptx`, which has one kernel; `cuda` is the program that nvcc made it of (-lineinfo).
std::vector<Mutant> mutantsOf(const std::string &ptx, const std::string &cuda);

} // namespace simtest

#endif // ATTUNE_TESTS_UNIT_SIMMUTANTS_H
