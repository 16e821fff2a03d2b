//===- SimProxyTest.cpp - memory that is handed between ordinary accesses and the async proxy ---===//
//
// Each combination of an ordinary access and an asynchronous one of the same bytes, with and without what
// PTX's memory model asks for between them.
//
//===----------------------------------------------------------------------===//
#include "SimFaultSupport.h"

using namespace attune;
using namespace simtest;

namespace {

// %r0 thread, %r1 s, %r2 barriers, %r3 s + 16 * thread, %r5 the block's rank, %r6 s of the other block + 16 *
// thread; %p0 thread 0, %p1 warp 1, %p2 warp 2; %q0 in, %q1 this block's 8 KB of out, %q3 that + 16 * thread.
const char *const kHead =
    ".shared .align 1024 .b8 s[4096]; .shared .align 8 .b8 bars[64]; .reg .b32 %r<40>; .reg .b64 %q<12>; "
    ".reg "
    ".pred %p<10>; .reg .b16 %h<4>;\n"
    "ld.param.u64 %q0, [IN]; ld.param.u64 %q1, [OUT]; mov.u32 %r0, %tid.x; mov.u32 %r1, s; mov.u32 %r2, "
    "bars;\n"
    "mov.u32 %r5, %cluster_ctarank; mov.u32 %r4, %ctaid.x; mul.wide.u32 %q2, %r4, 8192; add.u64 %q1, %q1, "
    "%q2;\n"
    "shl.b32 %r4, %r0, 4; add.u32 %r3, %r1, %r4; cvt.u64.u32 %q2, %r4; add.u64 %q3, %q1, %q2;\n"
    "xor.b32 %r7, %r5, 1; setp.eq.u32 %p0, %r0, 0; shr.u32 %r8, %r0, 5; setp.eq.u32 %p1, %r8, 1; setp.eq.u32 "
    "%p2, %r8, 2;\n";

const Bodies bodies{.head = kHead, .target = "sm_90a", .threads = 96, .inWords = 2048, .outWords = 8192};
const Bodies pairs{.head = std::string(kHead) + "mapa.shared::cluster.u32 %r6, %r3, %r7;\n",
                   .target = "sm_90a",
                   .grid = {2, 1, 1},
                   .cluster = {2, 1, 1},
                   .threads = 96,
                   .inWords = 2048,
                   .outWords = 8192};

const std::string kSync = "bar.sync 0;\n", kFence = "fence.proxy.async.shared::cta;\n",
                  kTogether = "barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;\n";
const std::string kInit = "@%p0 mbarrier.init.shared::cta.b64 [%r2], 1;\n@%p0 "
                          "fence.mbarrier_init.release.cluster;\n";
const std::string kFill = "st.shared.v4.u32 [%r3], {%r0, %r0, %r0, %r0};\n";

/// Thread 0 loads 1,536 bytes to s, and all wait for phase `parity` of the barrier.
std::string load(int parity) {
  return "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 1536;\n"
         "@%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%q0], 1536, [%r2];\n"
         "W" +
         std::to_string(parity) + ": mbarrier.try_wait.parity.shared::cta.b64 %p5, [%r2], " +
         std::to_string(parity) + "; @!%p5 bra W" + std::to_string(parity) + ";\n";
}
const std::string kRead =
    "ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [%r3]; st.global.v4.u32 [%q3], {%r10, %r11, %r12, %r13};\n";
const std::string kStore = "@%p0 cp.async.bulk.global.shared::cta.bulk_group [%q1], [%r1], 1536;\n"
                           "@%p0 cp.async.bulk.commit_group; @%p0 cp.async.bulk.wait_group 0;\n";

} // namespace

TEST_CASE("a bulk load over what ordinary stores wrote") {
  std::string start = kInit + kSync;
  auto body = [&](const std::string &before, const std::string &after) {
    return start + kFill + before + kSync + after + load(0) + kRead;
  };
  bodies.expectClean(body(kFence, ""));
  bodies.expectClean(body("fence.proxy.async;\n", ""));
  bodies.expectClean(body("", kFence)); // by all, the issuer among them, when they have taken over
  bodies.expectClean(body("", "@%p0 " + kFence));
  bodies.expectFault(
      body("", ""), Kind::MissingFence,
      {"overwrites", "fence.proxy.async", "st.shared.v4.u32", "cp.async.bulk.shared::cluster"});
  bodies.expectFault(start + kFence + kFill + kSync + load(0), Kind::MissingFence);
  bodies.expectFault(body("fence.proxy.async.global;\n", ""), Kind::MissingFence);
  bodies.expectFault(body("fence.acq_rel.cta;\n", ""), Kind::MissingFence);
  // By a warp that neither stored nor issues, but lies between the two.
  std::string third = start + "@%p1 " + kFill + kSync + "@%p2 " + kFence + kSync + load(0) + kRead;
  bodies.expectClean(third);
  bodies.expectFault(with(third, kSync + "@%p2 " + kFence, "@%p2 " + kFence + kSync), Kind::MissingFence);
  bodies.expectFault(with(third, "@%p2 " + kFence + kSync, kSync + "@%p2 " + kFence), Kind::MissingFence);
  // Reading it in between makes no fence of it, nor does it ask for one.
  bodies.expectFault(body("", "ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [%r3];\n" + kSync),
                     Kind::MissingFence);
  bodies.expectClean(start + load(0) + kRead + kSync + load(1) + kRead);
  bodies.expectFault(start + load(0) + kRead + kFill + kSync + load(1) + kRead, Kind::MissingFence);
  bodies.expectClean(start + load(0) + kRead + kFill + kFence + kSync + load(1) + kRead);
}

TEST_CASE("all that stores is a store") {
  std::string start = kInit + kSync;
  for (const std::string &store :
       {std::string("red.shared.add.u32 [%r3], %r0;\n"),
        std::string("atom.shared.exch.b32 %r10, [%r3], %r0;\n"),
        std::string("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%r3], {%r0, %r0, %r0, %r0};\n"),
        std::string("cp.async.ca.shared.global [%r3], [%q0], 16; cp.async.wait_all;\n")}) {
    std::string filled = start + kFill + kFence + store;
    bodies.expectClean(filled + kFence + kSync + load(0) + kRead);
    bodies.expectFault(filled + kSync + load(0) + kRead, Kind::MissingFence, {"overwrites"});
    bodies.expectFault(filled + kSync + kStore, Kind::MissingFence, {"reads"});
  }
}

TEST_CASE("a bulk store over what ordinary stores wrote to global memory") {
  std::string write = kFill + kFence + "st.global.v4.u32 [%q3], {%r0, %r0, %r0, %r0};\n";
  bodies.expectClean(write + "fence.proxy.async.global;\n" + kSync + kStore);
  bodies.expectClean(write + kSync + "fence.proxy.async;\n" + kStore);
  bodies.expectFault(write + kSync + kStore, Kind::MissingFence,
                     {"overwrites", "'out'", "st.global.v4.u32", "cp.async.bulk.global"});
  // Elsewhere it needs none.
  bodies.expectClean(with(write, "[%q3]", "[%q3+4096]") + kSync + kStore);
}

TEST_CASE("stores to another block's shared memory") {
  std::string start = kInit + kFill + kFence + kTogether;
  std::string remote = "st.shared::cluster.v4.u32 [%r6], {%r0, %r0, %r0, %r0};\n";
  // The other block stores them, or loads over them.
  for (const std::string &use : {kStore, load(0) + kRead}) {
    pairs.expectClean(start + remote + kFence + kTogether + use + kTogether);
    pairs.expectClean(start + remote + kTogether + kFence + kSync + use + kTogether);
    pairs.expectFault(start + remote + kTogether + use + kTogether, Kind::MissingFence,
                      {"st.shared::cluster", "block (1, 0, 0)"});
    pairs.expectFault(start + kFence + remote + kTogether + use + kTogether, Kind::MissingFence);
    pairs.expectFault(start + remote + kFence + use + kTogether, Kind::Race, {"st.shared::cluster"});
  }
}

TEST_CASE("a bulk load over what another block may still read") {
  std::string start = kInit + kFill + kFence + kTogether;
  std::string remote = "ld.shared::cluster.v4.u32 {%r20, %r21, %r22, %r23}, [%r6]; st.global.v4.u32 "
                       "[%q3+4096], {%r20, %r21, %r22, %r23};\n";
  pairs.expectClean(start + remote + kTogether + load(0) + kRead + kTogether);
  pairs.expectFault(start + remote + load(0) + kRead + kTogether, Kind::Race,
                    {"cp.async.bulk.shared::cluster"});
}

TEST_CASE("a multicast load over what the blocks themselves wrote") {
  std::string start = kInit + kTogether + kFill;
  std::string multicast =
      "mov.u16 %h0, 3; mul.lo.u32 %r8, %r5, 768; add.u32 %r9, %r1, %r8; cvt.u64.u32 %q4, %r8; add.u64 %q4, "
      "%q0, %q4;\n"
      "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 1536;\n"
      "@%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r9], "
      "[%q4], "
      "768, [%r2], %h0;\n"
      "W: mbarrier.try_wait.parity.shared::cta.b64 %p5, [%r2], 0; @!%p5 bra W;\n" +
      kRead;
  pairs.expectClean(start + kFence + kTogether + multicast + kTogether);
  pairs.expectFault(start + kTogether + multicast + kTogether, Kind::MissingFence, {"multicast"});
}

TEST_CASE("st.async and red.async are of the generic proxy; a bulk reduction is not") {
  std::string start = kInit + kFill;
  std::string wait = "W: mbarrier.try_wait.parity.shared::cta.b64 %p5, [%r2], 0; @!%p5 bra W;\n";
  std::string expect = "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 384;\n";
  std::string at = "mapa.shared::cluster.u32 %r9, %r2, %r7;\n";
  for (const std::string &send :
       {std::string("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [%r6], %r0, [%r9];\n"),
        std::string(
            "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u32 [%r6], %r0, "
            "[%r9];\n")}) {
    std::string sent = start + kTogether + at + expect + send + wait;
    pairs.expectClean(sent + kRead + kTogether);
    pairs.expectClean(sent + kFence + kSync + kStore + kTogether);
    pairs.expectFault(sent + kSync + kStore + kTogether, Kind::MissingFence, {".async"});
  }
  std::string reduce =
      "@%p0 mapa.shared::cluster.u32 %r6, %r1, %r7; add.u32 %r10, %r1, 2048; @%p0 "
      "cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.add.u32 [%r6], [%r10], "
      "1536, [%r9];\n";
  expect = with(expect, "384", "1536");
  std::string second = "st.shared.v4.u32 [%r3+2048], {%r0, %r0, %r0, %r0};\n" + kFence;
  pairs.expectClean(start + second + kTogether + at + expect + reduce + wait + kRead + kTogether);
  pairs.expectFault(kInit + second + kFill + kTogether + at + expect + reduce + wait + kRead + kTogether,
                    Kind::MissingFence, {"overwrites"});
}
