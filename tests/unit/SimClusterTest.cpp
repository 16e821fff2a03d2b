//===- SimClusterTest.cpp - blocks that run together ------------------------------------===//
//
// Every kernel of tests/sim/faults/clusters.cu: those called _bad give a finding of their kind, those called
// _ok none, in all modes; findings and results are the same for every number of host threads.
//
//===----------------------------------------------------------------------===//
#include "SimFaultSupport.h"

#include <numeric>

using namespace attune;
using namespace simtest;

namespace {

constexpr uint32_t blocks = 8, block = 64;

const PlantedFaults &faults() {
  static const PlantedFaults all{
      .file = "clusters.ptx",
      .standard = {Kind::Race, "blocks of a cluster are ordered by barrier.cluster"},
      .expectations = {
          {"reduce_unbegun_bad", {Kind::Lifetime, "not known to have begun"}},
          {"reduce_leaves_bad", {Kind::Lifetime, "ends without having waited"}},
          {"count_leaves_bad", {Kind::Lifetime, "barrier of the cluster (barrier.cluster)"}},
          {"arrives_twice_bad", {Kind::BarrierMisuse, "arrives a second time"}},
          {"waits_first_bad", {Kind::BarrierMisuse, "without having arrived"}},
          {"barriers_deadlock_bad", {Kind::Deadlock, "at the cluster's barrier, line"}},
          {"global_scope_bad", {Kind::Race, "blocks are ordered only by the end of the kernel"}},
          {"rank_bad", {Kind::BadOperand, "expected the rank of a block of the cluster, 0 to 1, got 2"}},
          {"window_bad", {Kind::OutOfBounds, "shared memory"}},
          {"remote_bounds_bad", {Kind::OutOfBounds, "shared memory"}},
          {"remote_unset_bad", {Kind::Uninitialised, "'s shared address"}},
      }};
  return all;
}

} // namespace

TEST_CASE("clusters: every planted fault is found, and its correct twin is clean") { faults().checkAll(); }

TEST_CASE("clusters: findings and results are the same for every number of host threads") {
  faults().checkThreads({sim::Mode::Eager, sim::Mode::Random});
}

TEST_CASE("clusters: correct kernels are clean and right with every seed") {
  for (const char *name : {"reduce_ok", "count_ok", "split_k_ok", "ring_ok", "flag_ok", "global_ok"})
    for (uint64_t seed = 0; seed < 8; ++seed) {
      CAPTURE(name);
      CAPTURE(seed);
      auto o = faults().run(name, sim::Mode::Random, 1, seed);
      CHECK_CLEAN(o.result);
      CHECK(o.out == faults().run(name, sim::Mode::Eager, 1).out);
    }
}

TEST_CASE("clusters compute what they should") {
  auto run = [](const char *name) { return faults().run(name, sim::Mode::Eager, 2).out; };
  std::vector<int32_t> in = faults().input(blocks * block);
  auto sum = [&](size_t first, size_t count) {
    return std::accumulate(in.begin() + ptrdiff_t(first), in.begin() + ptrdiff_t(first + count), 0);
  };
  CHECK(run("reduce_ok")[0] == sum(0, 4 * block));
  CHECK(run("reduce_ok")[4] == sum(4 * block, 4 * block));
  CHECK(run("count_ok")[0] == sum(block, 7 * block)); // all but the first
  std::vector<int32_t> ring = run("ring_ok"), splitK = run("split_k_ok"), flag = run("flag_ok"),
                       global = run("global_ok"), split = run("barrier_split_ok"), own = run("own_ok"),
                       unmapped = run("own_unmapped_ok");
  for (uint32_t i = 0; i < blocks * block; ++i) {
    uint32_t b = i / block, t = i % block;
    CHECK(ring[i] == in[i] + 4); // four steps round four blocks
    CHECK(flag[i] == (b % 2 ? in[i - block] : 0));
    CHECK(global[i] == in[(b ^ 1) * block + t]);
    CHECK(split[i] == 2 * in[i] + in[(b ^ 1) * block + t]);
    CHECK(own[i] == in[i] + 11000); // of the neighbour; own; not own; of the cluster
    CHECK(unmapped[i] == in[b * block + 63 - t]);
  }
  for (uint32_t t = 0; t < block; ++t) {
    int32_t expected = 0;
    for (uint32_t b = 0; b < blocks; ++b)
      for (uint32_t k = 0; k < 16; ++k)
        expected += in[b * block + k] * in[b * block + (t + k) % 64];
    CHECK(splitK[t] == expected);
  }
}

namespace {

/// A kernel that writes its special registers: out[8 * block + n].
std::string registersPtx(const std::string &directives, const std::string &target = "sm_90") {
  return ".version 9.0\n.target " + target + "\n.address_size 64\n.visible .entry k(.param .u64 OUT)\n" +
         directives +
         "{ .reg .b64 %q<4>; .reg .b32 %r<20>; .reg .pred %p<2>;\n"
         "ld.param.u64 %q0, [OUT]; mov.u32 %r0, %ctaid.x; mov.u32 %r1, %ctaid.y; mov.u32 %r2, %nctaid.x;\n"
         "mad.lo.u32 %r3, %r1, %r2, %r0; mul.wide.u32 %q1, %r3, 64; add.u64 %q2, %q0, %q1;\n"
         "mov.u32 %r4, %cluster_ctarank; mov.u32 %r5, %cluster_nctarank; mov.u32 %r6, %clusterid.x; mov.u32 "
         "%r7, %clusterid.y;\n"
         "mov.u32 %r8, %nclusterid.x; mov.u32 %r9, %nclusterid.y; mov.u32 %r10, %cluster_ctaid.x; mov.u32 "
         "%r11, %cluster_ctaid.y;\n"
         "mov.u32 %r12, %cluster_nctaid.x; mov.u32 %r13, %cluster_nctaid.y; mov.pred %p0, "
         "%is_explicit_cluster; selp.u32 %r14, 1, 0, %p0;\n"
         "mov.u32 %r15, %nctaid.x; mov.u32 %r16, %nctaid.y; mov.u32 %r17, %cluster_nctaid.z;\n"
         "st.global.v4.u32 [%q2], {%r4, %r5, %r6, %r7}; st.global.v4.u32 [%q2+16], {%r8, %r9, %r10, %r11};\n"
         "st.global.v4.u32 [%q2+32], {%r12, %r13, %r14, %r15}; st.global.v2.u32 [%q2+48], {%r16, %r17}; ret; "
         "}\n";
}

struct Launched {
  std::string error;
  std::vector<uint32_t> out;
  std::vector<std::string> notes;
};

Launched launchRegisters(const std::string &directives, std::array<uint32_t, 3> grid,
                         std::array<uint32_t, 3> cluster, bool nonPortable = false,
                         const std::string &target = "sm_90") {
  auto m = parse(registersPtx(directives, target));
  Device d;
  uint64_t po = d.put(std::vector<uint32_t>(64 * 16));
  sim::LaunchConfig c{.entry = "k", .grid = grid, .block = {32, 1, 1}, .cluster = cluster};
  c.nonPortableCluster = nonPortable;
  c.params = Params().add(po).bytes;
  auto r = sim::launch(*m, d.memory, c);
  if (!r)
    return {r.error().message, {}, {}};
  CHECK_CLEAN(*r);
  return {"", d.get<uint32_t>(po, 64 * 16), r->notes};
}

} // namespace

TEST_CASE("clusters: special registers, by launch and by directive") {
  for (bool stated : {false, true}) {
    Launched l = launchRegisters(stated ? ".reqnctapercluster 2, 2\n" : "", {4, 6, 1},
                                 stated ? std::array<uint32_t, 3>{} : std::array<uint32_t, 3>{2, 2, 1});
    REQUIRE(l.error == "");
    for (uint32_t y = 0; y < 6; ++y)
      for (uint32_t x = 0; x < 4; ++x) {
        const uint32_t *v = &l.out[(y * 4 + x) * 16];
        std::vector<uint32_t> got(v, v + 14),
            expected{x % 2 + 2 * (y % 2), 4, x / 2, y / 2, 2, 3, x % 2, y % 2, 2, 2, 1, 4, 6, 1};
        CHECK(got == expected);
      }
  }
  // A grid that counts clusters.
  Launched l = launchRegisters(".blocksareclusters .reqntid 32 .reqnctapercluster 2\n", {3, 1, 1}, {0, 0, 0});
  REQUIRE(l.error == "");
  CHECK(l.out[5 * 16] == 1);      // rank
  CHECK(l.out[5 * 16 + 2] == 2);  // cluster
  CHECK(l.out[5 * 16 + 11] == 6); // blocks
  // Without clusters a block is one.
  l = launchRegisters("", {3, 1, 1}, {0, 0, 0});
  CHECK(l.out[2 * 16 + 2] == 2);
  CHECK(l.out[2 * 16 + 4] == 3);
  CHECK(l.out[2 * 16 + 10] == 0); // not explicit
  CHECK(launchRegisters("", {3, 1, 1}, {1, 1, 1}).out[2 * 16 + 10] == 1);
}

TEST_CASE("clusters that cannot be are refused") {
  auto error = [](const std::string &directives, std::array<uint32_t, 3> grid,
                  std::array<uint32_t, 3> cluster, bool nonPortable = false,
                  const std::string &target = "sm_90") {
    return launchRegisters(directives, grid, cluster, nonPortable, target).error;
  };
  auto has = [](const std::string &text, const char *words) {
    CHECK_MESSAGE(text.find(words) != std::string::npos, text);
  };
  has(error(".reqnctapercluster 2\n", {3, 1, 1}, {}),
      "expected a grid that clusters of (2, 1, 1) blocks divide");
  has(error("", {4, 3, 1}, {2, 2, 1}), "divide, got (4, 3, 1)");
  has(error("", {16, 1, 1}, {16, 1, 1}), "at most 8 blocks unless");
  CHECK(error("", {16, 1, 1}, {16, 1, 1}, true) == "");
  CHECK(launchRegisters("", {16, 1, 1}, {16, 1, 1}, true).notes.size() == 1);
  has(error("", {32, 1, 1}, {32, 1, 1}, true), "1 to 16 blocks");
  has(error("", {8, 4, 1}, {8, 4, 1}, true), "at most 16 blocks");
  has(error(".reqnctapercluster 2\n", {4, 1, 1}, {4, 1, 1}), "(.reqnctapercluster), got (4, 1, 1)");
  has(error(".explicitcluster\n", {4, 1, 1}, {}), "(.explicitcluster), got none");
  has(error(".explicitcluster .maxclusterrank 4\n", {8, 1, 1}, {8, 1, 1}), "(.maxclusterrank)");
}

TEST_CASE("clusters: what other kernels' PTX says of them") {
  auto refused = [](const std::string &body, const char *words) {
    std::string text =
        refusal(ptx("",
                    ".shared .b64 s; .reg .b32 %r<4>; .reg .b64 %q<4>; .reg .pred %p<2>; .reg .f32 %f<2>;\n" +
                        body + "\nret;",
                    "sm_90"));
    CHECK_MESSAGE(text.find(words) != std::string::npos, text);
  };
  refused("multimem.ld_reduce.relaxed.gpu.global.add.f32 %f0, [%q0];", "several GPUs");
  refused("barrier.cluster.arrive.acquire;", "unsupported instruction");
  refused("mapa.u32 %r0, %r1, %r2;", "unsupported instruction");
}
