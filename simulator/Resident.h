//===- Resident.h - a cluster that runs, with its memory ----------*- C++ -*-===//
#ifndef ATTUNE_SIMULATOR_RESIDENT_H
#define ATTUNE_SIMULATOR_RESIDENT_H

#include "simulator/Cluster.h"

#include <cstdlib>

namespace attune::sim {

/// A block's register files, predicates, shared and local memory and their shadows.
struct BlockMemory {
  std::vector<std::byte> registers, shared, local;
  std::vector<uint32_t> predicates;
  std::vector<uint8_t> sharedInit, localInit;
  std::vector<ShadowCell> cells;
  std::unique_ptr<WordShadow[], decltype(&std::free)> words{nullptr, &std::free};
  Cta cta;
};

/// A cluster that runs; the next one takes over its memory.
struct Resident {
  explicit Resident(Worker &worker);
  std::vector<std::unique_ptr<BlockMemory>> blocks;
  Cluster cluster;
};

/// Bytes of host memory that a resident cluster takes, about.
size_t residentBytes(const Launch &launch);

/// Whether PTX has a special register of this name that is a number of 32 bits.
bool isSpecialRegister(std::string_view name);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_RESIDENT_H
