//===- SimRacesTest.cpp - planted races and their correct twins, in CUDA's PTX -----------===//
//
// Every kernel of tests/sim/faults/races.cu: those called _bad give a finding of their kind and nothing else,
// those called _ok none, in all modes; findings and results are the same for every number of host threads.
//
//===----------------------------------------------------------------------===//
#include "SimFaultSupport.h"

#include <numeric>

using namespace attune;
using namespace simtest;

namespace {

constexpr uint32_t blocks = 6;

uint32_t threadsOf(const std::string &name) {
  for (const char *oneWarp : {"reduce_warp", "reduce_volatile", "ways", "copied"})
    if (name.starts_with(oneWarp))
      return 32;
  return 64;
}

void prepare(const std::string &name, Device &d, uint64_t out, uint32_t n, sim::LaunchConfig &c) {
  if (name == "unset_global_bad")
    REQUIRE(d.memory.poison(out, 4 * n));
  if (name.starts_with("guess"))
    REQUIRE(d.memory.fill(out, 0x7F, 4));
  c.dynamicShared = name.starts_with("bounds_shared") ? 4 * c.block[0] : 0;
}

const PlantedFaults &faults() {
  static const PlantedFaults all{
      .file = "races.ptx",
      .blocks = blocks,
      .expectations =
          {
              {"last_block_bad", {Kind::Race, "__threadfence"}},
              {"stencil_bad", {Kind::Race, "block (1, 0, 0)"}},
              {"tiles_bad", {Kind::Race, "'out'"}},
              {"exchange_bad", {Kind::Race, "__syncwarp"}},
              {"one_word_bad", {Kind::Race, "two lanes of one instruction"}},
              {"scratch_bad", {Kind::Race, "races.cu:"}},
              {"ring_wait_bad", {Kind::MissingWait, "in flight"}},
              {"ring_commit_bad", {Kind::MissingWait, "in flight"}},
              {"bounds_bad", {Kind::OutOfBounds, "0 bytes after the end of 'in'"}},
              {"bounds_shared_bad", {Kind::OutOfBounds, "shared memory"}},
              {"aligned_bad", {Kind::Misaligned, "multiple of 16"}},
              {"unset_bad", {Kind::Uninitialised, "never written"}},
              {"unset_global_bad", {Kind::Uninitialised, "'out'"}},
              {"divergent_bad", {Kind::Divergence, "bar.sync"}},
              {"deadlock_bad", {Kind::Deadlock, "warp 1: at barrier 2"}},
              {"endless_bad", {Kind::EndlessLoop, "waits for a change of memory that nobody makes"}},
              {"no_way_out_bad", {Kind::EndlessLoop, "no way out"}},
          },
      .threadsOf = threadsOf,
      .prepare = prepare};
  return all;
}

} // namespace

TEST_CASE("every planted fault is found, and its correct twin is clean") { faults().checkAll(); }

TEST_CASE("findings and results are the same for every number of host threads") {
  // guess_ok's blocks look first and skip the atomic where another was quicker: how many do is the race's
  // own.
  faults().checkThreads({sim::Mode::Eager}, "guess_ok");
}

TEST_CASE("blocks that wait for each other compute what they should") {
  auto run = [](const char *name) { return faults().run(name, sim::Mode::Eager, 2); };
  std::vector<int32_t> in(64 * blocks), sums(64 * blocks);
  for (size_t i = 0; i < in.size(); ++i)
    in[i] = int32_t(i * 37 % 101);
  std::partial_sum(in.begin(), in.end(), sums.begin());
  CHECK(run("look_back_ok").out == sums);
  CHECK(run("last_block_ok").out[0] == sums.back());
  CHECK(run("total_ok").out[0] == sums.back());
  CHECK(run("lock_ok").aux[64] == int32_t(blocks));
  CHECK(run("lock_lanes_ok").aux[64] == int32_t(64 * blocks));
  CHECK(run("lock_spin_ok").aux[64] == int32_t(64 * blocks));
  auto barrier = run("grid_barrier_ok");
  for (uint32_t i = 0; i < 64 * blocks; ++i)
    REQUIRE(barrier.out[i] == in[(i + 64) % (64 * blocks)]);
}
