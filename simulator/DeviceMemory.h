//===- DeviceMemory.h - global memory, as launches see it ---------*- C++ -*-===//
#ifndef ATTUNE_SIMULATOR_DEVICEMEMORY_H
#define ATTUNE_SIMULATOR_DEVICEMEMORY_H

#include "simulator/Simulator.h"

#include <map>

namespace attune::sim {

struct Allocation {
  uint64_t base = 0;
  uint64_t size = 0;
  std::byte *data = nullptr;
  uint8_t *init = nullptr; ///< a bit a byte: written
  std::string name;
  bool freed = false;
  bool readOnly = false;
};

class GlobalMemoryImpl {
public:
  ~GlobalMemoryImpl();
  std::vector<Allocation> allocations; ///< by address
  uint64_t nextAddress = 0x0000'1000'0000'0000;
  /// Addresses of a module's variables here, by its id, allocated at its first launch.
  std::map<uint64_t, std::vector<uint64_t>> moduleVariables;
  uint64_t workspace = 0; ///< 0: none yet
  /// What kernels have allocated and not freed, by address.
  std::map<uint64_t, uint64_t> heap;
  uint64_t heapBytes = 0; ///< of all of them

  Result<uint64_t> allocate(size_t bytes, std::string name);
  /// Ends the live allocation that begins there.
  void release(uint64_t address);
  /// Where a cooperative grid keeps its barrier: zeroed for each launch.
  Result<uint64_t> cooperativeWorkspace();
  /// The live allocation that holds `address`, or -1.
  int find(uint64_t address) const;
  /// "16 bytes after 'q' (0x... + 1024 bytes)" for messages.
  std::string describe(uint64_t address) const;
};

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_DEVICEMEMORY_H
