#include "compiler/support/Arch.h"

#include <doctest/doctest.h>

using namespace attune;

TEST_CASE("architectures are found with and without their prefix") {
  CHECK(findArch("sm_80")->computeCapability == 80);
  CHECK(findArch("90a")->name == "sm_90a");
  CHECK(findArch("sm_75").error().message.find("got 'sm_75'") != std::string::npos);
  CHECK(archForDevice(100)->name == "sm_90");
  CHECK(!archForDevice(75));
}

TEST_CASE("blocks per SM: registers, threads and shared memory each limit") {
  Arch a80 = *findArch("sm_80");
  CHECK(blocksPerSm(a80, 128, 255, 64 * 1024) == 2); // 2 x 128 x 256 registers
  CHECK(blocksPerSm(a80, 128, 128, 96 * 1024) == 1); // 2 x 97 KB > 164 KB
  CHECK(blocksPerSm(a80, 128, 32, 0) == 16);         // 2048 threads
  CHECK(blocksPerSm(*findArch("sm_86"), 128, 64, 100 * 1024) == 0);
}
