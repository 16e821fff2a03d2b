//===- SimMulticastTest.cpp - asynchronous copies to several blocks of a cluster ---------===//
#include "SimFaultSupport.h"

using namespace attune;
using namespace simtest;

namespace {

// %r0 thread, %r1 s, %r2 barriers, %r5 rank, %p0 thread 0, %p2 warp 1, %q0 in, %q1 this block's 8 KB of out.
const char *const kHead = ".shared .align 1024 .b8 s[4096]; .shared .align 8 .b8 bars[64]; .reg .b32 %r<40>; "
                          ".reg .b64 %q<12>; .reg .pred %p<10>; .reg "
                          ".b16 %h<4>;\n"
                          "ld.param.u64 %q0, [IN]; ld.param.u64 %q1, [OUT]; mov.u32 %r0, %tid.x; mov.u32 "
                          "%r1, s; mov.u32 %r2, bars; mov.u32 %r5, "
                          "%cluster_ctarank;\n"
                          "mov.u32 %r6, %ctaid.x; mul.wide.u32 %q2, %r6, 8192; add.u64 %q1, %q1, %q2; "
                          "setp.eq.u32 %p0, %r0, 0; setp.ge.u32 %p2, %r0, 32;\n";
const std::string kTogether = "barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;\n";

const Bodies bodies{.head = kHead,
                    .target = "sm_90a",
                    .grid = {4, 1, 1},
                    .cluster = {2, 1, 1},
                    .inWords = 2048,
                    .outWords = 8192};

Outcome run(const std::string &body, sim::Mode mode, uint64_t seed = 3) {
  return bodies.run(body, mode, 64, seed);
}
void expectClean(const std::string &body) { bodies.expectClean(body); }
void expectFault(const std::string &body, Kind kind, const char *word = "") {
  bodies.expectFault(body, kind, {word});
}

/// Each block loads one half of 1 KB into both.
std::string halves() {
  return "@%p0 mbarrier.init.shared::cta.b64 [%r2], 1;\n@%p0 fence.mbarrier_init.release.cluster;\n" +
         kTogether +
         "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 1024;\nshl.b32 %r7, %r5, 9; add.u32 %r8, "
         "%r1, %r7; cvt.u64.u32 %q3, "
         "%r7; add.u64 %q3, %q0, %q3; mov.u16 %h0, 3;\n"
         "@%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r8], "
         "[%q3], 512, [%r2], %h0;\n"
         "W: mbarrier.try_wait.parity.shared::cta.b64 %p5, [%r2], 0; @!%p5 bra W;\n"
         "shl.b32 %r9, %r0, 4; add.u32 %r10, %r1, %r9; cvt.u64.u32 %q4, %r9; add.u64 %q4, %q1, %q4;\n"
         "ld.shared.v4.u32 {%r11, %r12, %r13, %r14}, [%r10]; st.global.v4.u32 [%q4], {%r11, %r12, %r13, "
         "%r14};\n" +
         kTogether;
}

/// The same in a ring of two slots, eight rounds: a slot is free when the consumers of both blocks have said
/// so.
std::string ring() {
  return "@%p0 mbarrier.init.shared::cta.b64 [%r2], 1; @%p0 mbarrier.init.shared::cta.b64 [%r2+8], 1;\n"
         "@%p0 mbarrier.init.shared::cta.b64 [%r2+16], 64; @%p0 mbarrier.init.shared::cta.b64 [%r2+24], 64;\n"
         "@%p0 fence.mbarrier_init.release.cluster;\n" +
         kTogether +
         "mov.u32 %r20, 0; mov.u16 %h0, 3; shl.b32 %r7, %r5, 9;\n@%p2 bra CONSUME;\n@!%p0 bra END;\n"
         "PRODUCE: and.b32 %r21, %r20, 1; shl.b32 %r22, %r21, 3; add.u32 %r23, %r2, %r22; shr.u32 %r24, "
         "%r20, 1; and.b32 %r24, %r24, 1; "
         "xor.b32 %r25, %r24, 1;\n"
         "E: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p5, [%r23+16], %r25; @!%p5 bra E;\n"
         "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r23], 1024;\n"
         "shl.b32 %r26, %r21, 10; add.u32 %r26, %r1, %r26; add.u32 %r26, %r26, %r7; shl.b32 %r27, %r20, 10; "
         "add.u32 %r27, %r27, %r7; "
         "cvt.u64.u32 %q5, %r27; add.u64 %q5, %q0, %q5;\n"
         "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r26], "
         "[%q5], 512, [%r23], %h0;\n"
         "add.u32 %r20, %r20, 1; setp.lt.u32 %p6, %r20, 8; @%p6 bra PRODUCE; bra END;\n"
         "CONSUME: and.b32 %r21, %r20, 1; shl.b32 %r22, %r21, 3; add.u32 %r23, %r2, %r22; shr.u32 %r24, "
         "%r20, 1; and.b32 %r24, %r24, 1;\n"
         "F: mbarrier.try_wait.parity.shared::cta.b64 %p5, [%r23], %r24; @!%p5 bra F;\n"
         "sub.u32 %r9, %r0, 32; shl.b32 %r9, %r9, 5; shl.b32 %r26, %r21, 10; add.u32 %r26, %r1, %r26; "
         "add.u32 %r26, %r26, %r9; "
         "ld.shared.v4.u32 {%r11, %r12, %r13, %r14}, [%r26]; ld.shared.v4.u32 {%r15, %r16, %r17, %r18}, "
         "[%r26+16];\n"
         "add.u32 %r28, %r23, 16; mapa.shared::cluster.u32 %r29, %r28, 0; mapa.shared::cluster.u32 %r30, "
         "%r28, 1;\n"
         "mbarrier.arrive.release.cluster.shared::cluster.b64 _, "
         "[%r29];\nmbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r30];\n"
         "shl.b32 %r27, %r20, 10; add.u32 %r27, %r27, %r9; cvt.u64.u32 %q5, %r27; add.u64 %q5, %q1, %q5; "
         "st.global.v4.u32 [%q5], {%r11, "
         "%r12, %r13, %r14}; st.global.v4.u32 [%q5+16], {%r15, %r16, %r17, %r18};\n"
         "add.u32 %r20, %r20, 1; setp.lt.u32 %p6, %r20, 8; @%p6 bra CONSUME;\nEND:\nbar.warp.sync -1;\n" +
         kTogether;
}

} // namespace

TEST_CASE("each block of a cluster loads a part for all") {
  expectClean(halves());
  auto out = run(halves(), sim::Mode::Lazy).out;
  for (uint32_t block = 0; block < 4; ++block)
    for (uint32_t k = 0; k < 256; ++k)
      REQUIRE(out[block * 2048 + k] == k * 7 + 1);
  expectFault(with(halves(), "%h0, 3", "%h0, 1"), Kind::Deadlock, "bars + 0");
  expectFault(with(halves(), "%h0, 3", "%h0, 7"), Kind::BadOperand, "rank 2");
  expectFault(with(halves(), "[%r2], 1024", "[%r2], 512"), Kind::BarrierMisuse, "512 bytes");
  // Nothing tells that the other block has begun, and its barrier.
  expectFault(with(halves(), kTogether, "bar.sync 0;\n"), Kind::Lifetime, "multicast");
}

TEST_CASE("a ring of slots that all blocks of a cluster fill and empty") {
  expectClean(ring());
  auto out = run(ring(), sim::Mode::Random).out;
  for (uint32_t block = 0; block < 4; ++block)
    for (uint32_t k = 0; k < 2048; ++k)
      REQUIRE(out[block * 2048 + k] == k * 7 + 1);
  // The consumers of the other block are not asked.
  std::string own = with(with(ring(), "[%r2+16], 64", "[%r2+16], 32"), "[%r2+24], 64", "[%r2+24], 32");
  own = with(own, "%r29, %r28, 0", "%r29, %r28, %r5");
  own = with(own, "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r30];\n", "");
  expectFault(own, Kind::Race, "multicast");
  // The slot is given back before it was read.
  std::string early = ring();
  const std::string arrivals = "mbarrier.arrive.release.cluster.shared::cluster.b64 _, "
                               "[%r29];\nmbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r30];\n";
  early = with(early, arrivals, "");
  early = with(early, "sub.u32 %r9, %r0, 32;",
               "add.u32 %r28, %r23, 16; mapa.shared::cluster.u32 %r29, %r28, 0; mapa.shared::cluster.u32 "
               "%r30, %r28, 1;\n" +
                   arrivals + "sub.u32 %r9, %r0, 32;");
  bool found = false;
  for (uint64_t seed = 0; seed < 8; ++seed)
    found |= !run(early, sim::Mode::Random, seed).result.findings.empty();
  CHECK(found);
  // One block leaves while the other still arrives at its barriers.
  std::string leaves = ring();
  leaves.erase(leaves.rfind(kTogether));
  expectFault(leaves, Kind::Lifetime);
}
