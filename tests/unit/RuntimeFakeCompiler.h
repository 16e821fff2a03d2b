//===- RuntimeFakeCompiler.h - a made-up compiler ---------------*- C++ -*-===//
//
// What the made-up compiler of RuntimeFakeCompiler.cpp lets a test set and see. It stands in for
// attune::compile. Specs with a softcap it refuses, and schedules of `refusedStages`.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TESTS_UNIT_RUNTIMEFAKECOMPILER_H
#define ATTUNE_TESTS_UNIT_RUNTIMEFAKECOMPILER_H

#include <atomic>

inline constexpr int refusedStages = 7;

struct FakeCompiler {
  std::atomic<int> compilations = 0;
  std::atomic<bool> faulty = false;  ///< kernels then read beyond their arrays
  std::atomic<int> milliseconds = 0; ///< that a compilation takes
};
extern FakeCompiler fakeCompiler;

#endif // ATTUNE_TESTS_UNIT_RUNTIMEFAKECOMPILER_H
