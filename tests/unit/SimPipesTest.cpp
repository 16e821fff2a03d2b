//===- SimPipesTest.cpp - blocks of a cluster that hand on data by mbarriers ---------------===//
//
// Every kernel of tests/sim/faults/pipes.cu: those called _bad give a finding of their kind, those called _ok
// none and the right result, in all modes and with every number of host threads.
//
//===----------------------------------------------------------------------===//
#include "SimFaultSupport.h"

using namespace attune;
using namespace simtest;

namespace {

constexpr uint32_t blocks = 8, block = 64;

const PlantedFaults &faults() {
  static const PlantedFaults all{
      .file = "pipes.ptx",
      .expectations = {
          {"pipe_init_bad", {Kind::Race, "expected fence.mbarrier_init and a barrier of the cluster"}},
          {"pipe_unbegun_bad", {Kind::Lifetime, "not known to have begun"}},
          {"pipe_overwrites_bad", {Kind::Race, "pipes.cu", true}},
          {"pipe_deadlock_bad", {Kind::Deadlock, "waits for an mbarrier, line"}},
          {"pipe_leaves_bad", {Kind::Lifetime, "ends without having waited"}},
          {"send_bytes_bad", {Kind::Deadlock, "bytes pending"}},
          {"send_unread_bad", {Kind::Race, "may still", true}},
          {"send_early_read_bad", {Kind::MissingWait, "asynchronous copy to shared memory"}},
          {"send_elsewhere_bad",
           {Kind::BadOperand, "expected the mbarrier in the block to which the value goes"}},
          {"remote_wait_bad", {Kind::BarrierMisuse, "expected the block's own barrier to wait for"}},
      }};
  return all;
}

} // namespace

TEST_CASE("pipes: every planted fault is found, and its correct twin is clean") { faults().checkAll(); }

TEST_CASE("pipes: findings and results are the same for every number of host threads") {
  faults().checkThreads({sim::Mode::Random});
}

TEST_CASE("pipes compute what they should, in every order") {
  std::vector<int32_t> in = faults().input(blocks * block);
  for (uint64_t seed = 0; seed < 8; ++seed) {
    CAPTURE(seed);
    auto pipe = faults().run("pipe_ok", sim::Mode::Random, 1, seed),
         send = faults().run("send_ok", sim::Mode::Random, 1, seed),
         add = faults().run("send_add_ok", sim::Mode::Random, 1, seed);
    CHECK_CLEAN(pipe.result);
    CHECK_CLEAN(send.result);
    CHECK_CLEAN(add.result);
    for (uint32_t i = 0; i < blocks * block; ++i) {
      uint32_t cluster = i / block / 4 * 4, t = i % block;
      int32_t sum = 0;
      for (uint32_t r = 0; r < 4; ++r)
        sum += in[(cluster + r) * block + t];
      CHECK(pipe.out[i] == in[i] + 4); // four steps round four blocks
      CHECK(send.out[i] == in[i] + 4);
      CHECK(add.out[i] == (i / block % 4 == 0 ? sum : 0));
    }
  }
}
