//===- SimAsyncTest.cpp - mbarriers, bulk copies, and the faults around them --------------===//
//
// Each planted fault stands beside its correct twin; a finding must name both places.
//
//===----------------------------------------------------------------------===//
#include "SimFaultSupport.h"

using namespace attune;
using namespace simtest;

namespace {

// %r0 thread, %r1 s, %r2 barriers, %p0 thread 0, %p1 warp 0, %p2 warp 1, %q0 in, %q1 out, %r3 s + 16 *
// thread, %q3 out + 16 * thread.
const char *const kHead = ".shared .align 1024 .b8 s[8192]; .shared .align 8 .b8 bars[64]; .reg .b32 %r<30>; "
                          ".reg .b64 %q<12>; .reg .pred %p<10>; .reg "
                          ".b64 %st<4>;\n"
                          "ld.param.u64 %q0, [IN]; ld.param.u64 %q1, [OUT]; mov.u32 %r0, %tid.x; mov.u32 "
                          "%r1, s; mov.u32 %r2, bars;\n"
                          "setp.eq.u32 %p0, %r0, 0; setp.lt.u32 %p1, %r0, 32; not.pred %p2, %p1; shl.b32 "
                          "%r4, %r0, 4; add.u32 %r3, %r1, %r4; cvt.u64.u32 "
                          "%q2, %r4; add.u64 %q3, %q1, %q2;\n";

const Bodies bodies{.head = kHead, .target = "sm_90a", .inWords = 2048, .outWords = 2048};

Outcome run(const std::string &body, sim::Mode mode, uint32_t threads = 64, uint64_t seed = 11) {
  return bodies.run(body, mode, threads, seed);
}
void expectClean(const std::string &body, uint32_t threads = 64) { bodies.expectClean(body, threads); }
void expectFault(const std::string &body, Kind kind, std::initializer_list<const char *> words = {},
                 uint32_t threads = 64) {
  bodies.expectFault(body, kind, words, threads);
}

/// Something is found in every mode; what, depends on which warp is the faster one.
void expectSome(const std::string &body, const char *word) {
  CAPTURE(body);
  for (sim::Mode mode : kModes)
    CHECK_MESSAGE(texts(run(body, mode).result.findings).find(word) != std::string::npos, int(mode));
}

const std::string kInit =
    "@%p0 mbarrier.init.shared::cta.b64 [%r2], 1;\n@%p0 fence.mbarrier_init.release.cluster;\nbar.sync 0;\n";
const std::string kLoad =
    "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 1024;\n"
    "@%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%q0], 1024, [%r2];\n";
const std::string kWait = "W: mbarrier.try_wait.parity.shared::cta.b64 %p5, [%r2], 0; @!%p5 bra W;\n";
const std::string kRead =
    "ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [%r3]; st.global.v4.u32 [%q3], {%r10, %r11, %r12, %r13};\n";
const std::string kFill = "mov.u32 %r10, 3; st.shared.v4.u32 [%r3], {%r0, %r10, %r0, %r0};\n";
const std::string kStore = "@%p0 cp.async.bulk.global.shared::cta.bulk_group [%q1], [%r1], 1024;\n@%p0 "
                           "cp.async.bulk.commit_group;\n";

} // namespace

TEST_CASE("a bulk load: waited for, and not") {
  std::string good = kInit + kLoad + kWait + kRead;
  expectClean(good);
  CHECK(run(good, sim::Mode::Lazy).out[4 * 20 + 1] == (4 * 20 + 1) * 7 + 1);
  expectFault(kInit + kLoad + kRead, Kind::MissingWait,
              {"ld.shared.v4.u32", "cp.async.bulk.shared::cluster", "mbarrier"});
  // A barrier of the block tells nothing of the copy.
  expectFault(kInit + kLoad + "bar.sync 0;\n" + kRead, Kind::MissingWait, {"cp.async.bulk.shared::cluster"});
  // One warp waits, the other learns it by a barrier.
  expectClean(kInit + kLoad + "@%p2 bra N;\n" + kWait + "N: bar.sync 0;\n" + kRead);
  expectSome(kInit + kLoad + "@%p2 bra N;\n" + kWait + "N:\n" + kRead, "warp 1");
  // The parity of the phase before passes at once.
  expectFault(with(good, "[%r2], 0; @!", "[%r2], 1; @!"), Kind::MissingWait);
  // Somebody writes into it.
  expectFault(kInit + kLoad + "st.shared.u32 [%r3], %r0;\n" + kWait, Kind::Race,
              {"st.shared.u32", "cp.async.bulk.shared::cluster"});
  expectClean(kInit + kLoad + kWait + "st.shared.u32 [%r3], %r0;\n");
  // The block leaves it behind.
  expectFault(kInit + kLoad, Kind::MissingWait, {"the block ends"});
}

TEST_CASE("bytes that are expected and bytes that come") {
  std::string two =
      kInit +
      "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 1024;\n"
      "@%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%q0], 512, [%r2];\n"
      "@%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1+512], [%q0+512], 512, "
      "[%r2];\n" +
      kWait + kRead;
  expectClean(two);
  // One box too few: the phase ends with the first.
  expectFault(with(two, "1024", "512"), Kind::MissingWait, {"cp.async.bulk.shared::cluster"});
  expectFault(with(two, "1024", "512"), Kind::BarrierMisuse, {"512 bytes", "more than were expected"});
  // One too many: it never ends, and the report says what is missing.
  expectFault(with(two, "1024", "1536"), Kind::Deadlock,
              {"waits for ever", "bars + 0", "0 of 1 arrivals and 512 bytes pending", "warp 1: waits"});
  // Expected after the copies, which may come first.
  expectClean(
      kInit +
      "@%p0 cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [%r1], [%q0], 1024, [%r2];\n"
      "@%p0 mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r2], 1024;\n@%p0 "
      "mbarrier.arrive.shared::cta.b64 _, [%r2];\n" +
      kWait + kRead);
  expectClean(kInit +
              "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 64;\n@%p0 "
              "mbarrier.complete_tx.relaxed.cta.shared::cta.b64 "
              "[%r2], 64;\n" +
              kWait);
  expectFault(kInit + "@%p0 mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r2], 1048576;\n",
              Kind::BarrierMisuse, {"1048575"});
}

TEST_CASE("a bulk store: fence, barrier, groups") {
  std::string fence = "fence.proxy.async.shared::cta;\n", barrier = "bar.sync 0;\n",
              wait = "@%p0 cp.async.bulk.wait_group 0;\n", read = "@%p0 cp.async.bulk.wait_group.read 0;\n";
  std::string good = kFill + fence + barrier + kStore + wait;
  expectClean(good);
  CHECK(run(good, sim::Mode::Lazy).out[4 * 20] == 20);
  CHECK(run(good, sim::Mode::Lazy).out[4 * 64] == 5);
  expectClean(kFill + fence + barrier + kStore + read);
  expectClean(kFill + "fence.proxy.async;\n" + barrier + kStore + read);
  expectFault(kFill + barrier + kStore + wait, Kind::MissingFence,
              {"fence.proxy.async", "st.shared.v4.u32", "cp.async.bulk.global.shared::cta"});
  // Before the store it fences nothing.
  expectFault(fence + kFill + barrier + kStore + wait, Kind::MissingFence);
  expectFault(kFill + fence + kStore + wait, Kind::Race, {"st.shared.v4.u32", "cp.async.bulk.global"});
  expectFault(kFill + fence + barrier + kStore, Kind::MissingWait, {"the block ends"});
  expectFault(with(good, "@%p0 cp.async.bulk.commit_group;\n", ""), Kind::MissingWait, {"the block ends"});
  expectFault(with(good, "wait_group 0", "wait_group 1"), Kind::MissingWait, {"the block ends"});
  // The next contents: only when the old ones were read, and everybody knows it.
  expectClean(kFill + fence + barrier + kStore + read + barrier + "st.shared.u32 [%r3], %r0;\n");
  expectFault(kFill + fence + barrier + kStore + barrier + "st.shared.u32 [%r3], %r0;\n" + wait, Kind::Race,
              {"st.shared.u32", "cp.async.bulk.global", "wait_group"});
  expectFault(kFill + fence + barrier + kStore + read + "st.shared.u32 [%r3], %r0;\n", Kind::Race,
              {"warp 1"});
  // Reading beside it is fine.
  expectClean(kFill + fence + barrier + kStore +
              "ld.shared.u32 %r10, [%r3]; st.global.u32 [%q3+4096], %r10;\n" + wait);
  // What it writes is there for others when its thread has waited for all of it.
  std::string seen = barrier + "@%p2 ld.global.u32 %r10, [%q1]; @%p2 st.global.u32 [%q3+4096], %r10;\n";
  expectClean(kFill + fence + barrier + kStore + wait + seen);
  expectFault(kFill + fence + barrier + kStore + read + seen, Kind::Race,
              {"cp.async.bulk.global", "ld.global.u32"});
  // Never written bytes.
  expectFault(kStore + wait, Kind::Uninitialised, {"cp.async.bulk.global"});
}

TEST_CASE("a slot that a bulk store still reads is loaded anew") {
  std::string body = kInit + kFill + "fence.proxy.async.shared::cta;\nbar.sync 0;\n" + kStore +
                     "@%p0 cp.async.bulk.wait_group.read 0;\n" + kLoad + kWait + kRead;
  body = with(body, "[%r3]; st.global.v4.u32 [%q3]", "[%r3]; st.global.v4.u32 [%q3+4096]");
  expectClean(body);
  expectFault(with(body, "@%p0 cp.async.bulk.wait_group.read 0;\n", "") +
                  "@%p0 cp.async.bulk.wait_group 0;\n",
              Kind::Race, {"cp.async.bulk.shared::cluster", "cp.async.bulk.global.shared::cta"});
}

TEST_CASE("bulk copies: sizes, addresses, masks, prefetches, reductions of plain bytes") {
  std::string body = kInit + kLoad + kWait;
  expectFault(with(with(body, "[%q0], 1024", "[%q0], 1016"), "_, [%r2], 1024", "_, [%r2], 1016"),
              Kind::BadOperand, {"multiple of 16", "1016"});
  expectFault(with(body, "[%q0], 1024", "[%q0+8], 1024"), Kind::Misaligned);
  expectFault(with(body, "bytes [%r1]", "bytes [%r1+8]"), Kind::Misaligned);
  expectFault(with(body, "bytes [%r1]", "bytes [%r1+8128]"), Kind::OutOfBounds);
  expectFault(with(body, "[%q0], 1024", "[%q0+8000], 1024"), Kind::OutOfBounds, {"'in'"});
  expectFault(with(body, "1024, [%r2]", "1024, [%r2+8]"), Kind::BarrierMisuse, {"not initialised"});
  expectClean("@%p0 cp.async.bulk.prefetch.L2.global [%q0], 1024;\n");
  std::string masked = kFill +
                       "fence.proxy.async.shared::cta;\nbar.sync 0;\nmov.u16 %h0, 0x000F;\n@%p0 "
                       "cp.async.bulk.global.shared::cta.bulk_group.cp_mask [%q1], [%r1], "
                       "1024, %h0;\n@%p0 cp.async.bulk.commit_group;\n@%p0 cp.async.bulk.wait_group 0;\n";
  masked = ".reg .b16 %h<2>;\n" + masked;
  expectClean(masked);
  CHECK(run(masked, sim::Mode::Eager).out[4 * 9] == 9);
  CHECK(run(masked, sim::Mode::Eager).out[4 * 9 + 1] == 5);
  for (auto [op, result] : {std::pair<const char *, uint32_t>{"add.u32", 5 + 9},
                            {"min.u32", 5},
                            {"max.s32", 9},
                            {"inc.u32", 6},
                            {"dec.u32", 4},
                            {"and.b32", 5 & 9},
                            {"or.b32", 5 | 9},
                            {"xor.b32", 5 ^ 9}}) {
    std::string reduce = with(kFill + "fence.proxy.async.shared::cta;\nbar.sync 0;\n" + kStore +
                                  "@%p0 cp.async.bulk.wait_group 0;\n",
                              "@%p0 cp.async.bulk.global.shared::cta.bulk_group",
                              std::string("@%p0 cp.reduce.async.bulk.global.shared::cta.bulk_group.") + op);
    expectClean(reduce);
    CHECK(run(reduce, sim::Mode::Lazy).out[4 * 9] == result);
  }
  // From shared memory to shared memory, with a reduction.
  std::string copy = kInit + kFill +
                     "st.shared.v4.u32 [%r3+4096], {%r0, %r10, %r0, "
                     "%r0};\nfence.proxy.async.shared::cta;\nbar.sync 0;\n@%p0 "
                     "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 1024;\n@%p0 "
                     "cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.add.u32 "
                     "[%r1+4096], [%r1], 1024, [%r2];\n" +
                     kWait;
  copy += "ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [%r3+4096]; st.global.v4.u32 [%q3], {%r10, %r11, %r12, "
          "%r13};\n";
  expectClean(copy);
  CHECK(run(copy, sim::Mode::Random).out[4 * 21] == 42);
}

TEST_CASE("mbarrier: counts, drops, states, pending counts") {
  std::string init = "@%p0 mbarrier.init.shared::cta.b64 [%r2], 64;\nbar.sync 0;\n";
  std::string state = "W: mbarrier.test_wait.shared::cta.b64 %p5, [%r2], %st0; @!%p5 bra W;\n";
  std::string exchange =
      "xor.b32 %r5, %r4, 512; add.u32 %r6, %r1, %r5; ld.shared.u32 %r7, [%r6]; st.global.u32 [%q3], %r7;\n";
  std::string body =
      init + "st.shared.u32 [%r3], %r0;\nmbarrier.arrive.shared::cta.b64 %st0, [%r2];\n" + state + exchange;
  expectClean(body);
  CHECK(run(body, sim::Mode::Random).out[4 * 3] == 35);
  expectClean(with(body, "test_wait", "try_wait"));
  expectClean(with(body, "mbarrier.test_wait.shared::cta.b64 %p5, [%r2], %st0",
                   "mbarrier.try_wait.acquire.cta.shared::cta.b64 %p5, [%r2], %st0, 1000"));
  expectFault(without(body, state), Kind::Race);
  expectFault(with(body, "mbarrier.arrive.shared", "mbarrier.arrive.relaxed.cta.shared"), Kind::Race,
              {"ld.shared.u32", "st.shared.u32"});
  expectFault(with(body, "[%r2], 64", "[%r2], 65"), Kind::EndlessLoop, {"1 of 65 arrivals"});
  expectFault(with(with(body, "[%r2], 64", "[%r2], 65"), "test_wait", "try_wait"), Kind::Deadlock,
              {"1 of 65 arrivals", "waits for an mbarrier"});
  // A quarter arrives for all, the rest with no completion; who arrives too often is told.
  expectClean("@%p0 mbarrier.init.shared::cta.b64 [%r2], 64;\nbar.sync 0;\n@%p0 "
              "mbarrier.arrive.noComplete.shared::cta.b64 %st1, [%r2], 33;\n"
              "bar.sync 0;\n@%p0 mbarrier.arrive.shared::cta.b64 _, [%r2], 31;\n" +
              kWait);
  expectFault("@%p0 mbarrier.init.shared::cta.b64 [%r2], 3;\nbar.sync 0;\n@%p0 "
              "mbarrier.arrive.shared::cta.b64 _, [%r2], 4;\n",
              Kind::BarrierMisuse, {"4 threads arrive where 3 are pending"});
  expectFault("@%p0 mbarrier.init.shared::cta.b64 [%r2], 3;\nbar.sync 0;\n@%p0 "
              "mbarrier.arrive.noComplete.shared::cta.b64 %st1, [%r2], 3;\n",
              Kind::BarrierMisuse, {"noComplete"});
  expectFault("@%p0 mbarrier.init.shared::cta.b64 [%r2], 0;\n", Kind::BarrierMisuse, {"from 1 to 1048575"});
  // The pending arrivals before one's own; a drop lowers what later phases expect.
  std::string drop =
      "@%p0 mbarrier.init.shared::cta.b64 [%r2], 5;\nbar.sync 0;\n@!%p0 bra "
      "END;\nmbarrier.arrive_drop.shared::cta.b64 %st0, [%r2], 2;\n"
      "mbarrier.arrive.shared::cta.b64 %st1, [%r2], 3;\nmbarrier.pending_count.b64 %r10, "
      "%st0;\nmbarrier.pending_count.b64 %r11, %st1;\n"
      "mbarrier.arrive.shared::cta.b64 %st2, [%r2], 3;\nmbarrier.pending_count.b64 %r12, %st2;\n"
      "mbarrier.test_wait.parity.shared::cta.b64 %p6, [%r2], 1; selp.u32 %r13, 1, 0, %p6;\nst.global.v4.u32 "
      "[%q1], {%r10, %r11, %r12, %r13};\nEND:";
  expectClean(drop);
  CHECK(run(drop, sim::Mode::Eager).out[0] == 5);
  CHECK(run(drop, sim::Mode::Eager).out[1] == 3);
  CHECK(run(drop, sim::Mode::Eager).out[2] == 3);
  CHECK(run(drop, sim::Mode::Eager).out[3] == 1);
  // cp.async tells a barrier.
  std::string copies = "@%p0 mbarrier.init.shared::cta.b64 [%r2], 64;\nbar.sync 0;\nadd.u64 %q5, %q0, "
                       "%q2;\ncp.async.cg.shared.global [%r3], [%q5], 16;\n"
                       "cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%r2];\n" +
                       kWait + exchange;
  expectClean(copies);
  // libcu++ gives a 32-bit address without saying that it is of shared memory.
  expectClean(with(copies, "noinc.shared::cta", "noinc"));
  expectFault(without(copies, kWait), Kind::Race);
}

TEST_CASE("mbarrier: initialisation, invalidation, and what is no mbarrier") {
  expectFault("mbarrier.arrive.shared::cta.b64 _, [%r2];\n", Kind::BarrierMisuse, {"not initialised"});
  expectSome(
      "@%p0 mbarrier.init.shared::cta.b64 [%r2], 32;\n@%p2 mbarrier.arrive.shared::cta.b64 _, [%r2];\n",
      "mbarrier at");
  expectFault("@%p0 mbarrier.init.shared::cta.b64 [%r2], 32;\n@%p2 bra E;\nmbarrier.arrive.shared::cta.b64 "
              "_, [%r2];\nE:",
              Kind::Race, {"__syncwarp", "mbarrier.init"});
  expectClean("@%p0 mbarrier.init.shared::cta.b64 [%r2], 32;\n@%p2 bra E;\nbar.warp.sync "
              "-1;\nmbarrier.arrive.shared::cta.b64 _, [%r2];\nE:");
  expectFault("@%p0 mbarrier.init.shared::cta.b64 [%r2], 64;\nbar.sync 0;\n@%p0 "
              "mbarrier.init.shared::cta.b64 [%r2], 64;\n",
              Kind::BarrierMisuse, {"inval"});
  std::string again =
      "@%p0 mbarrier.init.shared::cta.b64 [%r2], 64;\nbar.sync 0;\nmbarrier.arrive.shared::cta.b64 %st0, "
      "[%r2];\nW: mbarrier.try_wait.shared::cta.b64 "
      "%p5, [%r2], %st0; @!%p5 bra W;\nbar.sync 0;\n@%p0 mbarrier.inval.shared::cta.b64 [%r2];\n";
  expectClean(again + "@%p0 mbarrier.init.shared::cta.b64 [%r2], 64;\nbar.sync "
                      "0;\nmbarrier.arrive.shared::cta.b64 _, [%r2];\n"
                      "V: mbarrier.try_wait.parity.shared::cta.b64 %p5, [%r2], 0; @!%p5 bra V;\n");
  expectFault(again + "bar.sync 0;\nmbarrier.arrive.shared::cta.b64 _, [%r2];\n", Kind::BarrierMisuse,
              {"not initialised"});
  expectFault(with(again, "bar.sync 0;\n@%p0 mbarrier.inval", "@%p0 mbarrier.inval"), Kind::BarrierMisuse,
              {"invalidated while warp 1"});
  expectFault("@%p0 mbarrier.init.shared::cta.b64 [%r2], 64;\n@%p0 st.shared.u32 [%r2], %r0;\nbar.sync "
              "0;\nmbarrier.arrive.shared::cta.b64 _, [%r2];\n",
              Kind::BarrierMisuse, {"something other than an mbarrier instruction"});
  expectFault("mbarrier.arrive.shared::cta.b64 _, [%r2+4];\n", Kind::Misaligned);
  expectFault("mov.u32 %r5, 0; mbarrier.arrive.shared::cta.b64 _, [%r5];\n", Kind::OutOfBounds);
  // To the async proxy an initialisation is visible behind a barrier, or behind a fence.
  std::string body = kInit + kLoad + kWait,
              bare = without(body, "@%p0 fence.mbarrier_init.release.cluster;\n");
  expectClean(bare);
  expectClean(with(bare, "bar.sync 0;", "barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;"));
  std::string one = "@%p2 bra END;\n" + body + "END:";
  for (const char *fence : {"fence.mbarrier_init.release.cluster", "fence.proxy.async"})
    expectClean(without(with(one, "fence.mbarrier_init.release.cluster", fence), "bar.sync 0;\n") +
                " bar.warp.sync -1;");
  expectFault(without(without(one, "@%p0 fence.mbarrier_init.release.cluster;\n"), "bar.sync 0;\n"),
              Kind::BarrierMisuse,
              {"fence.mbarrier_init", "mbarrier.init", "cp.async.bulk.shared::cluster", "bar.sync"});
}

TEST_CASE("mbarrier: phases that a waiter misses") {
  // Warp 0 goes through three phases before warp 1 looks for the first; nothing keeps it from that. Warps run
  // in turn here, so that it happens.
  std::string body = kInit +
                     "@%p2 bra OTHER;\n@%p0 mbarrier.arrive.shared::cta.b64 _, [%r2];\n@%p0 "
                     "mbarrier.arrive.shared::cta.b64 _, [%r2];\n"
                     "@%p0 mbarrier.arrive.shared::cta.b64 _, [%r2];\nbra END;\nOTHER:\n" +
                     kWait + "END:";
  Outcome o = run(body, sim::Mode::Eager);
  REQUIRE(o.result.findings.size() == 1);
  CHECK(o.result.findings[0].kind == Kind::BarrierMisuse);
  CHECK_MESSAGE(o.result.findings[0].text().find("two phases behind") != std::string::npos,
                o.result.findings[0].text());
  // With one phase it is in time; and whoever knows that two have ended means the third.
  expectClean(with(with(body, "@%p0 mbarrier.arrive.shared::cta.b64 _, [%r2];\n", ""),
                   "@%p0 mbarrier.arrive.shared::cta.b64 _, [%r2];\n", ""));
  expectClean(kInit +
              "@%p0 mbarrier.arrive.shared::cta.b64 _, [%r2];\n@%p0 mbarrier.arrive.shared::cta.b64 _, "
              "[%r2];\n@%p0 mbarrier.arrive.shared::cta.b64 "
              "_, [%r2];\nbar.sync 0;\n" +
              kWait);
  // By a state it can be told in every order.
  std::string state = kInit + "@!%p0 bra END;\nmbarrier.arrive.shared::cta.b64 %st0, "
                              "[%r2];\nmbarrier.arrive.shared::cta.b64 _, [%r2];\nMORE "
                              "mbarrier.test_wait.shared::cta.b64 %p5, [%r2], %st0;\nEND:";
  expectClean(with(state, "mbarrier.arrive.shared::cta.b64 _, [%r2];\nMORE", ""));
  expectFault(with(state, "MORE", ""), Kind::BarrierMisuse, {"phase"});
}

namespace {

/// A ring of two slots of 1 KB: thread 0 loads, warp 1 copies what it finds to `out`; eight rounds.
std::string ring() {
  return "@%p0 mbarrier.init.shared::cta.b64 [%r2], 1; @%p0 mbarrier.init.shared::cta.b64 [%r2+8], 1;\n"
         "@%p0 mbarrier.init.shared::cta.b64 [%r2+16], 32; @%p0 mbarrier.init.shared::cta.b64 [%r2+24], 32;\n"
         "@%p0 fence.mbarrier_init.release.cluster;\nbar.sync 0;\nmov.u32 %r20, 0;\n@%p2 bra CONSUME;\n@!%p0 "
         "bra END;\n"
         "PRODUCE: and.b32 %r21, %r20, 1; shl.b32 %r22, %r21, 3; add.u32 %r23, %r2, %r22; shr.u32 %r24, "
         "%r20, 1; and.b32 %r24, %r24, 1; xor.b32 %r25, "
         "%r24, 1;\n"
         "E: mbarrier.try_wait.parity.shared::cta.b64 %p5, [%r23+16], %r25; @!%p5 bra E;\n"
         "shl.b32 %r26, %r21, 10; add.u32 %r26, %r1, %r26; shl.b32 %r27, %r20, 10; cvt.u64.u32 %q5, %r27; "
         "add.u64 %q5, %q0, %q5;\n"
         "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r23], 1024;\n"
         "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r26], [%q5], 1024, [%r23];\n"
         "add.u32 %r20, %r20, 1; setp.lt.u32 %p6, %r20, 8; @%p6 bra PRODUCE; bra END;\n"
         "CONSUME: and.b32 %r21, %r20, 1; shl.b32 %r22, %r21, 3; add.u32 %r23, %r2, %r22; shr.u32 %r24, "
         "%r20, 1; and.b32 %r24, %r24, 1;\n"
         "F: mbarrier.try_wait.parity.shared::cta.b64 %p5, [%r23], %r24; @!%p5 bra F;\n"
         "shl.b32 %r26, %r21, 10; add.u32 %r26, %r3, %r26; ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, "
         "[%r26+-512];\n"
         "mbarrier.arrive.shared::cta.b64 _, [%r23+16];\n"
         "shl.b32 %r27, %r20, 9; cvt.u64.u32 %q5, %r27; add.u64 %q5, %q3, %q5; st.global.v4.u32 [%q5+-512], "
         "{%r10, %r11, %r12, %r13};\n"
         "add.u32 %r20, %r20, 1; setp.lt.u32 %p6, %r20, 8; @%p6 bra CONSUME;\nEND:";
}

} // namespace

TEST_CASE("a ring of slots filled by an asynchronous unit, and what can go wrong in it") {
  expectClean(ring());
  auto out = run(ring(), sim::Mode::Lazy).out;
  for (uint32_t k = 0; k < 8; ++k)
    CHECK(out[k * 128 + 5] == (k * 256 + 5) * 7 + 1);
  // The producer does not wait for the slot to be free.
  expectFault(
      without(ring(), "E: mbarrier.try_wait.parity.shared::cta.b64 %p5, [%r23+16], %r25; @!%p5 bra E;\n"),
      Kind::Race, {"cp.async.bulk.shared::cluster"});
  // The empty barrier is armed with the wrong parity: the first wait never ends.
  expectFault(with(ring(), "[%r23+16], %r25", "[%r23+16], %r24"), Kind::Deadlock,
              {"bars + 16", "32 of 32 arrivals", "phase 0"});
  // The slot is given back before it was read.
  std::string early = without(ring(), "mbarrier.arrive.shared::cta.b64 _, [%r23+16];\n");
  expectFault(
      with(early, "shl.b32 %r26, %r21, 10; add.u32 %r26, %r3",
           "mbarrier.arrive.shared::cta.b64 _, [%r23+16];\nshl.b32 %r26, %r21, 10; add.u32 %r26, %r3"),
      Kind::Race, {"ld.shared.v4.u32", "cp.async.bulk.shared::cluster"});
  // The consumer does not give it back at all, or waits for the wrong phase.
  expectFault(early, Kind::Deadlock, {"bars + 16"});
  expectSome(with(ring(), "[%r23], %r24; @!%p5 bra F", "[%r23], 0; @!%p5 bra F"), "test.ptx");
}

TEST_CASE("all threads issue what one should") {
  std::string body = with(kInit + kLoad + kWait, "@%p0 cp.async.bulk", "cp.async.bulk");
  expectFault(body, Kind::Race, {"cp.async.bulk.shared::cluster"});
}

TEST_CASE("global memory that ordinary stores wrote, and a copy loads") {
  std::string write = "st.global.v4.u32 [%q3], {%r0, %r0, %r0, %r0};\n", fence = "fence.proxy.async;\n",
              sync = "bar.sync 0;\n";
  std::string copy = with(kLoad, "[%q0], 1024", "[%q1], 1024") + kWait;
  expectClean(kInit + write + fence + sync + copy);
  expectClean(kInit + write + "fence.proxy.async.global;\n" + sync + copy);
  // By the thread that loads, when it has taken over.
  expectClean(kInit + write + sync + fence + copy);
  expectFault(kInit + write + sync + copy, Kind::MissingFence,
              {"fence.proxy.async", "st.global.v4.u32", "cp.async.bulk.shared::cluster", "'out'"});
  expectFault(kInit + fence + write + sync + copy, Kind::MissingFence, {"'out'"});
  expectFault(kInit + write + "fence.proxy.async.shared::cta;\n" + sync + copy, Kind::MissingFence,
              {"'out'"});
  expectFault(kInit + write + fence + copy, Kind::Race, {"'out'"});
  // A reduction reads, too; what a bulk store wrote needs none.
  std::string add = with(kStore, "cp.async.bulk.global.shared::cta.bulk_group",
                         "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.u32") +
                    "@%p0 cp.async.bulk.wait_group 0;\n";
  std::string shared = kFill + "fence.proxy.async.shared::cta;\n";
  expectFault(shared + write + sync + add, Kind::MissingFence, {"'out'"});
  expectClean(shared + write + fence + sync + add);
  expectClean(kInit + shared + sync + kStore + "@%p0 cp.async.bulk.wait_group 0;\n" + sync + copy);
  // A fence of shared memory is none of global memory, and the other way round.
  expectFault(kFill + "fence.proxy.async.global;\n" + sync + kStore + "@%p0 cp.async.bulk.wait_group 0;\n",
              Kind::MissingFence);
}

TEST_CASE("what a bulk store has not written yet is not for its own thread either") {
  std::string store = kFill + "fence.proxy.async.shared::cta;\nbar.sync 0;\n" + kStore,
              wait = "@%p0 cp.async.bulk.wait_group 0;\n";
  std::string read = "@%p0 ld.global.u32 %r10, [%q1+16]; @%p0 st.global.u32 [%q1+4096], %r10;\n";
  expectClean(store + wait + read);
  expectClean(store + "@%p0 ld.global.u32 %r10, [%q1+4096]; @%p0 st.global.u32 [%q1+4100], %r10;\n" + wait);
  expectFault(store + read + wait, Kind::MissingWait,
              {"ld.global.u32", "cp.async.bulk.global", "without .read"});
  expectFault(store + "@%p0 cp.async.bulk.wait_group.read 0;\n" + read + wait, Kind::MissingWait,
              {"ld.global.u32"});
  expectFault(store + "@%p0 st.global.u32 [%q1], %r0;\n" + wait, Kind::MissingWait, {"st.global.u32"});
  expectFault(kInit + store + with(kLoad, "[%r1], [%q0]", "[%r1+4096], [%q1]") + kWait + wait,
              Kind::MissingWait, {"cp.async.bulk.shared::cluster", "cp.async.bulk.global"});
}

TEST_CASE("shared memory that nobody wrote goes through a copy to a block's shared memory") {
  std::string copy =
      kInit +
      "@%p1 st.shared.v4.u32 [%r3], {%r0, %r0, %r0, %r0};\nfence.proxy.async.shared::cta;\nbar.sync 0;\n"
      "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 1024;\n@%p0 "
      "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%r1+4096], [%r1], 1024, "
      "[%r2];\n" +
      kWait + "ld.shared.u32 %r10, [%r3+4096];\n";
  expectClean(copy + "@%p1 st.global.u32 [%q3], %r10;\n");
  expectFault(copy + "st.global.u32 [%q3], %r10;\n", Kind::Uninitialised,
              {"ld.shared.u32 %r10", "is stored to global memory"});
}

TEST_CASE("a release makes public what went before, and learns nothing") {
  // The producer's wait orders nothing; neither does its announcement of the next bytes, a release.
  std::string body = kInit +
                     "@%p0 mbarrier.init.shared::cta.b64 [%r2+8], 32; @%p0 "
                     "fence.mbarrier_init.release.cluster;\nbar.sync 0;\n"
                     "@%p2 bra READER;\n@%p0 bra LOADS; bra END;\nLOADS:\n"
                     "V: mbarrier.try_wait.parity.ORDER.cta.shared::cta.b64 %p5, [%r2+8], 0; @!%p5 bra V;\n" +
                     kLoad + kWait +
                     "bra END;\nREADER: st.shared.u32 [%r3], %r0; ld.shared.u32 %r10, [%r3]; "
                     "fence.proxy.async.shared::cta; mbarrier.arrive.shared::cta.b64 _, [%r2+8];\n"
                     "END: bar.warp.sync -1;";
  expectClean(with(body, "ORDER", "acquire"));
  expectFault(with(body, "ORDER", "relaxed"), Kind::Race, {"cp.async.bulk.shared::cluster", "warp 1"});
}
