// What the made-up driver of RuntimeFakeCuda.cpp lets a test set and see.
#ifndef ATTUNE_TESTS_UNIT_RUNTIMEFAKECUDA_H
#define ATTUNE_TESTS_UNIT_RUNTIMEFAKECUDA_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

struct FakeCuda {
  // Set by tests.
  int initResult = 0;
  int version = 13000;
  int devices = 1;
  int major = 9, minor = 0;
  std::map<std::string, int> failures; ///< result by symbol; absent: success
  // Seen by tests.
  struct Launch {
    unsigned grid[3], block[3], shared;
    void *stream, *current;
    std::vector<std::byte> params;
  };
  std::vector<Launch> launches;
  std::vector<std::string> calls; ///< symbols, in order
  size_t liveAllocations = 0;
  int retained = 0;
  int maxDynamicShared = 0;
  std::string lastImage;
};

/// `fakeCuda()` of the library.
using FakeCudaFunction = FakeCuda *(*)();

#endif // ATTUNE_TESTS_UNIT_RUNTIMEFAKECUDA_H
