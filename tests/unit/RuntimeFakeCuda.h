//===- RuntimeFakeCuda.h - a made-up driver ---------------------*- C++ -*-===//
//
// What the made-up driver of RuntimeFakeCuda.cpp lets a test set and see.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TESTS_UNIT_RUNTIMEFAKECUDA_H
#define ATTUNE_TESTS_UNIT_RUNTIMEFAKECUDA_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <new>
#include <string>
#include <vector>

struct FakeCuda {
  /// Forgets everything.
  void reset() {
    this->~FakeCuda();
    new (this) FakeCuda();
  }
  // Set by tests.
  int initResult = 0;
  int version = 13000;
  int devices = 1;
  int major = 9, minor = 0;
  size_t memory = 0;                   ///< bytes that one allocation may have; 0: any number
  bool capturing = false;              ///< everything but a launch is then refused (900)
  bool refusesCubins = false;          ///< as a driver does whose GPU a cubin is not for (209)
  bool quiet = false;                  ///< only counts calls, to be measured
  std::map<std::string, int> failures; ///< result by symbol; absent: success
  // Seen by tests.
  struct Launch {
    unsigned grid[3], block[3], shared;
    void *stream, *current;
    std::vector<std::byte> params;
  };
  std::vector<Launch> launches;
  std::vector<std::string> calls; ///< symbols, in order
  size_t quietCalls = 0;
  std::atomic<size_t> liveAllocations = 0;
  std::atomic<int> retained = 0;
  std::atomic<int> modules = 0; ///< that are loaded
  int maxDynamicShared = 0;
  std::string lastImage;
};

/// `fakeCuda()` of the library.
using FakeCudaFunction = FakeCuda *(*)();

#endif // ATTUNE_TESTS_UNIT_RUNTIMEFAKECUDA_H
