//===- SimGroupsTest.cpp - groups of lanes, orders of blocks, copies in flight ----------===//
//
// Every kernel of tests/sim/faults/groups.cu: those called _bad give a finding of their kind and nothing
// else, those called _ok none, in all modes; findings and results are the same for every number of host
// threads.
//
//===----------------------------------------------------------------------===//
#include "SimFaultSupport.h"

#include <algorithm>
#include <numeric>
#include <set>

using namespace attune;
using namespace simtest;

namespace {

constexpr uint32_t blocks = 6, block = 64, n = blocks * block;

const PlantedFaults &faults() {
  static const PlantedFaults all{
      .file = "groups.ptx",
      .blocks = blocks,
      .spare = 64,
      .standard = {Kind::Race, "__syncwarp"},
      .expectations =
          {
              {"names_others_bad", {Kind::BadOperand, "to name the same members"}},
              {"not_itself_bad", {Kind::BadOperand, "expected a member mask with the executing lane 31"}},
              {"copies_overlap_bad", {Kind::Race, "is in flight to it, in no order with it"}},
              {"read_only_same_bad", {Kind::Race, "ld.global.nc"}},
              {"read_only_block_bad", {Kind::Race, "ld.global.nc"}},
              {"read_only_bytes_bad", {Kind::Race, "ld.global.nc"}},
          },
      .alone = true};
  return all;
}

std::vector<int32_t> input() { return faults().input(n); }

} // namespace

TEST_CASE("groups: every planted fault is found, and its correct twin is clean") { faults().checkAll(); }

TEST_CASE("groups: findings and results are the same for every number of host threads") {
  faults().checkThreads({sim::Mode::Eager, sim::Mode::Random});
}

TEST_CASE("lanes with other member masks are other groups") {
  std::vector<int32_t> in = input();
  auto run = [](const char *name) { return faults().run(name, sim::Mode::Eager, 2).out; };
  std::vector<int32_t> byKey = run("by_key_ok"), labeled = run("labeled_ok"), halves = run("two_halves_ok"),
                       late = run("late_lane_ok"), quarters = run("quarters_ok"), wide = run("wide_tile_ok");
  for (uint32_t i = 0; i < n; ++i) {
    uint32_t warp = i / 32 * 32, half = i / 16 * 16;
    int32_t sum = 0, large = 0, first = -1, most = 0, alike = 0, halfSum = 0;
    bool any = false, all = true;
    for (uint32_t k = warp; k < warp + 32; ++k) {
      if ((in[k] & 3) != (in[i] & 3))
        continue;
      sum += in[k];
      large += in[k] > 50;
      first = first < 0 ? in[k] : first;
      any |= in[k] > 95;
      all &= in[k] > 3;
    }
    for (uint32_t k = half; k < half + 16; ++k) {
      most = std::max(most, in[k]);
      alike += (in[k] & 1) == (in[i] & 1);
      halfSum += in[k];
    }
    CHECK(byKey[i] == sum + 1000 * large + 100000 * (any + 2 * all) + 1000000 * first);
    CHECK(labeled[i] == sum);
    CHECK(halves[i] == most + 1000 * alike);
    CHECK(late[i] == (i % 32 == 31 ? 0 : halfSum));
    CHECK(quarters[i] == in[i ^ 5]);
    CHECK(wide[i] == std::accumulate(in.begin() + i / 64 * 64, in.begin() + i / 64 * 64 + 64, 0));
  }
}

TEST_CASE("blocks come in any order in random mode, and in the same one with the same seed") {
  std::set<std::vector<int32_t>> orders;
  std::set<int32_t> firsts;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    auto one = faults().run("ticket", sim::Mode::Random, 1, seed);
    CHECK_CLEAN(one.result);
    std::vector<int32_t> tickets(one.out.begin(), one.out.begin() + blocks), sorted = tickets;
    std::sort(sorted.begin(), sorted.end());
    for (uint32_t k = 0; k < blocks; ++k)
      CHECK(sorted[k] == int32_t(k));
    CHECK(faults().run("ticket", sim::Mode::Random, 7, seed).out == one.out);
    orders.insert(tickets);
    firsts.insert(int32_t(std::find(tickets.begin(), tickets.end(), 0) - tickets.begin()));
  }
  CHECK(orders.size() >= 8);
  CHECK(firsts.size() >= 3);
}

TEST_CASE("a grid barrier that misses a block is found by some order, and a right one by none") {
  int found = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    sim::LaunchResult bad = faults().run("grid_barrier_random_bad", sim::Mode::Random, 1, seed).result;
    found += std::any_of(bad.findings.begin(), bad.findings.end(),
                         [](const sim::Finding &f) { return f.kind == Kind::Race; });
    for (const char *name : {"grid_barrier_ok", "in_turn_ok", "grid_sync_ok"})
      CHECK_CLEAN(faults().run(name, sim::Mode::Random, 2, seed).result);
  }
  CHECK(found >= 4);
}

TEST_CASE("ldu is for read-only data as ld.global.nc is") {
  plain::expectFault("st.global.u32 [%q4], %r0; bar.sync 0; ldu.global.u32 %r8, [%q1];", Kind::Race,
                     {"read-only path"});
  plain::expectClean("ldu.global.u32 %r8, [%q0]; st.global.u32 [%q4], %r8;");
}

TEST_CASE("cooperative grids: all blocks at once, or a refusal") {
  std::vector<int32_t> in = input(), out = faults().run("grid_sync_ok", sim::Mode::Lazy, 2).out;
  for (uint32_t i = 0; i < n; ++i)
    CHECK(out[i] == in[(i + block) % n] + 1000 * int32_t(blocks));
  Device d;
  auto launch = [&](const char *entry, uint32_t grid, uint32_t shared, bool cooperative) {
    uint64_t pi = d.put(std::vector<int32_t>(grid * 32)), po = d.put(std::vector<int32_t>(grid * 32)),
             pa = d.put(std::vector<int32_t>(64 + grid * 32));
    sim::LaunchConfig c{.entry = entry, .grid = {grid, 1, 1}, .block = {32, 1, 1}};
    c.params = Params().add(pi).add(po).add(pa).add(int32_t(grid * 32)).bytes;
    c.dynamicShared = shared;
    c.cooperative = cooperative;
    auto r = sim::launch(faults().module(), d.memory, c);
    if (r)
      CHECK_CLEAN(*r);
    return r ? std::string() : r.error().message;
  };
  constexpr uint32_t half = 100 << 10; // bytes, of which a multiprocessor has room for one
  CHECK(launch("grid_sync_ok", 108, half, false) == "");
  std::string refused = launch("grid_sync_ok", 109, half, false);
  CHECK_MESSAGE(refused.find("at most 108 blocks") != std::string::npos, refused);
  CHECK(launch("read_only_ok", 109, half, false) == "");
  CHECK(launch("read_only_ok", 109, half, true).find("at most 108 blocks") != std::string::npos);
}

TEST_CASE("what the launch and the target do not allow") {
  auto parsed = [](const std::string &body, const std::string &target) {
    return refusal(ptx("",
                       ".reg .b32 %r<4>; .reg .b64 %q<4>; .reg .b16 %h<4>; .reg .f32 %f<4>; .reg .pred "
                       "%p<4>; .shared .b64 s[4];\n" +
                           body + "\nret;",
                       target));
  };
  for (auto [body, good, bad, words] :
       {std::array<const char *, 4>{"tanh.approx.bf16x2 %r1, %r0;", "sm_90", "sm_89", "sm_90 or higher for"},
        {"mov.b32 %r1, 0; cvt.rn.satfinite.e4m3x2.f32 %h1, %f0, %f1;", "sm_89", "sm_86", "sm_89 or higher"},
        {"add.bf16x2 %r1, %r0, %r2;", "sm_90", "sm_80", "'add.bf16x2', got sm_80"},
        {"redux.sync.add.s32 %r1, %r0, -1;", "sm_80", "sm_75", "sm_80 or higher"},
        {"cp.async.wait_all;", "sm_80", "sm_75", "sm_80 or higher"},
        {"mov.u32 %r1, %cluster_ctarank;", "sm_90", "sm_89", "sm_90 or higher"},
        {"fence.acq_rel.cluster;", "sm_90", "sm_80", "sm_90 or higher"},
        {"mbarrier.try_wait.parity.shared.b64 %p1, [s], 0;", "sm_90", "sm_80", "sm_90 or higher"},
        {"elect.sync %r1|%p1, -1;", "sm_90", "sm_80", "sm_90 or higher"},
        {"cvt.rn.bf16.s32 %h1, %r1;", "sm_90", "sm_80", "sm_90 or higher"},
        {"cvt.rn.bf16.f32 %h1, %f1;", "sm_80", "sm_75", "sm_80 or higher"}}) {
    CAPTURE(body);
    CHECK(parsed(body, good) == "");
    std::string text = parsed(body, bad);
    CHECK_MESSAGE(text.find(words) != std::string::npos, text);
  }
  auto m = parse(ptx("", "ret;"));
  sim::GlobalMemory memory;
  sim::LaunchConfig c{.entry = "k", .block = {1, 1, 65}};
  auto r = sim::launch(*m, memory, c);
  REQUIRE(!r);
  CHECK_MESSAGE(r.error().message.find("at most 64 threads along z") != std::string::npos, r.error().message);
  c.block = {1, 16, 64};
  CHECK(sim::launch(*m, memory, c));
}

TEST_CASE("collectives by all spellings that an assembler takes") {
  Device d;
  uint64_t out = d.put(std::vector<uint32_t>(8));
  auto m = parse(ptx(
      ".param .u64 OUT",
      ".reg .b32 %r<12>; .reg .b64 %q<2>; .reg .pred %p<4>; ld.param.u64 %q0, [OUT]; mov.u32 %r0, %laneid;\n"
      "setp.lt.u32 %p0, %r0, 4;\n"
      "vote.ballot.sync.b32 %r1, %p0, -1; vote.sync.ballot.b32 %r2, %p0, -1; vote.b32.sync.ballot %r3, %p0, "
      "-1;\n"
      "vote.any.sync.pred %p1, %p0, -1; selp.u32 %r4, 1, 0, %p1; match.sync.any.b32 %r5, %r0, -1;\n"
      "redux.add.sync.u32 %r6, %r0, -1; shfl.bfly.sync.b32 %r7, %r0, 1, 31, -1;\n"
      "setp.eq.u32 %p2, %r0, 0; @%p2 st.global.v4.u32 [%q0], {%r1, %r2, %r3, %r4};\n"
      "@%p2 st.global.v2.u32 [%q0+16], {%r5, %r6}; @%p2 st.global.u32 [%q0+24], %r7; ret;"));
  sim::LaunchConfig c{.entry = "k"};
  c.params = Params().add(out).bytes;
  CHECK_CLEAN(d.run(*m, c));
  CHECK(d.get<uint32_t>(out, 7) == std::vector<uint32_t>{15, 15, 15, 1, 1, 496, 1});
}
