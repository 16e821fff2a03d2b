//===- ArchTest.cpp - architectures ---------------------------------------===//
#include "compiler/support/Arch.h"

#include <doctest/doctest.h>

using namespace attune;

TEST_CASE("architectures are found with and without their prefix") {
  CHECK(findArch("sm_80")->computeCapability == 80);
  CHECK(findArch("90a")->name == "sm_90a");
  CHECK(findArch("sm_75").error().message.find("got 'sm_75'") != std::string::npos);
  CHECK(!archForDevice(75));
}

TEST_CASE("every GPU from compute capability 8.0 on has an architecture, its own where there is one") {
  for (auto [capability, name] : {std::pair(80, "sm_80"),
                                  {86, "sm_86"},
                                  {87, "sm_87"},
                                  {88, "sm_87"},
                                  {89, "sm_89"},
                                  {90, "sm_90"},
                                  {100, "sm_100"},
                                  {101, "sm_100"},
                                  {103, "sm_103"},
                                  {110, "sm_110"},
                                  {120, "sm_120"},
                                  {121, "sm_121"},
                                  {130, "sm_121"}}) {
    CHECK(archForDevice(capability)->name == name);
    CHECK(findArch(name));
  }
  // What has no name of its own is told which one serves it.
  auto message = [](const char *name) { return findArch(name).error().message; };
  CHECK(message("sm_88").find("got 'sm_88'; the PTX of sm_87 runs there") != std::string::npos);
  CHECK(message("100a").find("the PTX of sm_100 runs there") != std::string::npos);
  CHECK(message("sm_75").find("kernels need sm_80 or newer") != std::string::npos);
  CHECK(message("ampere").find("runs there") == std::string::npos);
}

TEST_CASE("blocks per SM: registers, threads and shared memory each limit") {
  Arch a80 = *findArch("sm_80");
  CHECK(blocksPerSm(a80, 128, 255, 64 * 1024) == 2); // 2 x 128 x 256 registers
  CHECK(blocksPerSm(a80, 128, 128, 96 * 1024) == 1); // 2 x 97 KB > 164 KB
  CHECK(blocksPerSm(a80, 128, 32, 0) == 16);         // 2048 threads
  CHECK(blocksPerSm(*findArch("sm_86"), 128, 64, 100 * 1024) == 0);
}
