//===- SimFaultsTest.cpp - planted faults are found, their correct twins are clean -------===//
#include "SimFaultSupport.h"

using namespace attune;
using namespace simtest;
using namespace simtest::plain;

TEST_CASE("a missing barrier between writer and reader of different warps") {
  std::string write = "st.shared.u32 [%r3], %r0;\n", swap = "xor.b32 %r6, %r2, 128; add.u32 %r7, %r1, %r6;\n",
              read = "ld.shared.u32 %r8, [%r7]; st.global.u32 [%q4], %r8;";
  expectFault(write + swap + read, Kind::Race,
              {"race", "the other access", "st.shared.u32 [%r3], %r0", "s + ", "warp 0", "warp 1"});
  expectClean(write + "bar.sync 0;\n" + swap + read);
  expectClean(write + "barrier.sync.aligned 0;\n" + swap + read);
  // Within a warp, its own barrier serves.
  expectClean(write + "bar.warp.sync -1; xor.b32 %r6, %r2, 4; add.u32 %r7, %r1, %r6;\n" + read);
  // Read, then overwritten by another warp.
  expectFault(write + "bar.sync 0;\n" + swap + read + "\nst.shared.u32 [%r3], %r8;", Kind::Race);
  expectClean(write + "bar.sync 0;\n" + swap + read + "\nbar.sync 0; st.shared.u32 [%r3], %r8;");
}

TEST_CASE("warps that write neighbouring words of 16 bytes do not race") {
  expectClean("shr.u32 %r6, %r0, 5; shl.b32 %r6, %r6, 2; add.u32 %r6, %r1, %r6; and.b32 %r7, %r0, 31; "
              "setp.eq.u32 %p0, %r7, 0;\n"
              "@%p0 st.shared.u32 [%r6], %r0; @%p0 ld.shared.u32 %r8, [%r6]; @%p0 add.u32 %r8, %r8, 1; @%p0 "
              "st.shared.u32 [%r6], %r8;\n"
              "bar.sync 0; ld.shared.v2.u32 {%r9, %r10}, [%r1]; st.global.v2.u32 [%q4], {%r9, %r10};");
}

TEST_CASE("named barriers order the warps that take part, and only those") {
  std::string head =
      "shr.u32 %r6, %r0, 5; setp.eq.u32 %p0, %r6, 0; setp.eq.u32 %p1, %r6, 1; setp.eq.u32 %p2, %r6, 2;\n"
      "@%p0 st.shared.u32 [%r3], %r0; @%p0 bar.arrive 1, 64; @%p1 bar.sync 1, 64;\n";
  std::string readBy1 = "@%p1 ld.shared.u32 %r8, [%r3+-128]; @%p1 st.global.u32 [%q4], %r8;\n";
  std::string readBy2 = "@%p2 ld.shared.u32 %r8, [%r3+-256]; @%p2 st.global.u32 [%q4], %r8;\n";
  expectClean(head + readBy1, 96);
  expectFault(head + readBy2, Kind::Race, {"warp 2", "warp 0"}, 96);
}

TEST_CASE("a ring of named barriers, many rounds, without any barrier of the whole block") {
  // Warp 0 fills, warp 1 reads; barriers 1 and 2 hand the slot over and back.
  std::string loop = "shr.u32 %r6, %r0, 5; setp.eq.u32 %p0, %r6, 0; and.b32 %r7, %r2, 127; add.u32 %r7, %r1, "
                     "%r7; mov.u32 %r9, 0; mov.u32 %r8, 0; @!%p0 bra READ;\n"
                     "FILL: st.shared.u32 [%r7], %r9; bar.arrive 1, 64; BACK add.u32 %r9, %r9, 1; "
                     "setp.lt.u32 %p1, %r9, 50; @%p1 bra FILL; bra END;\n"
                     "READ: bar.sync 1, 64; ld.shared.u32 %r10, [%r7]; add.u32 %r8, %r8, %r10; bar.arrive 2, "
                     "64; add.u32 %r9, %r9, 1; setp.lt.u32 %p1, %r9, 50; @%p1 bra READ;\n"
                     "END: st.global.u32 [%q4], %r8;";
  auto with = [&](const char *back) { return std::string(loop).replace(loop.find("BACK"), 4, back); };
  expectClean(with("bar.sync 2, 64;"));
  expectFault(with(""), Kind::BarrierMisuse, {"a second time"});
  CHECK(runBody(with("bar.sync 2, 64;")).out[4 * 40] == 49 * 50 / 2);
}

TEST_CASE("a warp that arrives at a barrier and then waits there counts twice") {
  // Warps take turns; warp 0 has given itself the first one.
  std::string turns =
      "shr.u32 %r6, %r0, 5; add.u32 %r7, %r6, 1; xor.b32 %r8, %r6, 1; add.u32 %r8, %r8, 1; setp.eq.u32 %p0, "
      "%r6, 0; and.b32 %r9, %r2, 127; add.u32 %r9, %r1, %r9; mov.u32 %r10, 0;\n"
      "@%p0 st.shared.u32 [%r9], %r10; FIRST\n"
      "TURN: bar.sync %r7, 64; ld.shared.u32 %r11, [%r9]; add.u32 %r11, %r11, 1; st.shared.u32 [%r9], %r11; "
      "setp.eq.u32 %p1, %r10, 9; and.pred %p2, %p1, %p3; @!%p2 bar.arrive %r8, 64; add.u32 %r10, %r10, 1; "
      "setp.lt.u32 %p1, %r10, 10; @%p1 bra TURN;\n"
      "st.global.u32 [%q4], %r11;";
  turns =
      with(turns, "mov.u32 %r10, 0;", "mov.u32 %r10, 0; setp.eq.u32 %p3, %r6, 1;"); // who has the last one
  std::string good = with(turns, "FIRST", "@%p0 bar.arrive 1, 64;");
  expectClean(good);
  CHECK(runBody(good).out[4 * 40] == 20);
  expectFault(with(turns, "FIRST", ""), Kind::Deadlock);
}

TEST_CASE("asynchronous copies: missing wait, missing commit, missing barrier, overwritten source slot") {
  std::string copy = "cp.async.cg.shared.global [%r5], [%q3], 16;\n", commit = "cp.async.commit_group;\n",
              wait = "cp.async.wait_group 0;\n", own = "ld.shared.u32 %r8, [%r5]; st.global.u32 [%q4], %r8;";
  expectClean(copy + commit + wait + own);
  expectClean(copy + "cp.async.wait_all;\n" + own);
  expectFault(copy + commit + own, Kind::MissingWait,
              {"missing wait", "in flight", "cp.async.cg.shared.global [%r5], [%q3], 16"});
  expectFault(copy + wait + own, Kind::MissingWait); // never committed
  expectFault(copy + commit + "cp.async.wait_group 1;\n" + own, Kind::MissingWait);
  expectClean(copy + commit + commit + "cp.async.wait_group 1;\n" + own);
  std::string other =
      "xor.b32 %r6, %r4, 512; add.u32 %r7, %r1, %r6; ld.shared.u32 %r8, [%r7]; st.global.u32 [%q4], %r8;";
  expectClean(copy + commit + wait + "bar.sync 0;\n" + other);
  // The barrier before the wait orders nothing.
  expectFault(copy + commit + "bar.sync 0;\n" + wait + other, Kind::Race);
  // Somebody writes where a copy is in flight.
  expectFault(copy + commit +
                  "bar.sync 0;\nxor.b32 %r6, %r4, 512; add.u32 %r7, %r1, %r6; st.shared.u32 [%r7], "
                  "%r0;\nbar.sync 0;\n" +
                  wait,
              Kind::Race, {"in flight"});
  // A read by another warp that is not ordered before the next copy into the same place.
  expectFault(copy + commit + wait + "bar.sync 0;\n" + other + "\n" + copy + commit + wait, Kind::Race);
  // Zero fill: the source size says how much is read.
  auto o = runBody(
      "mov.u32 %r9, 8; cp.async.ca.shared.global [%r5], [%q3], 16, %r9;\n" + commit + wait +
      "ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [%r5]; st.global.v4.u32 [%q4], {%r10, %r11, %r12, %r13};");
  CHECK_CLEAN(o.result);
  CHECK(o.out[4] == 29);
  CHECK(o.out[5] == 36);
  CHECK(o.out[6] == 0);
  CHECK(o.out[7] == 0);
}

TEST_CASE("uninitialised data: shared, global, registers") {
  expectFault("ld.shared.u32 %r8, [%r3]; st.global.u32 [%q4], %r8;", Kind::Uninitialised,
              {"never written", "s + "});
  expectFault("st.global.u16 [%q4], %h0;", Kind::Uninitialised, {"register %h0"});
  // In shared memory it does harm where it is read and used.
  expectClean("st.shared.u16 [%r3], %h0;");
  expectClean("st.shared.u16 [%r3], %h0; ld.shared.u16 %h1, [%r3];");
  expectFault("st.shared.u16 [%r3], %h0; ld.shared.u16 %h1, [%r3]; st.global.u16 [%q4], %h1;",
              Kind::Uninitialised, {"never written"});
  expectClean("st.shared.u32 [%r3], %r9; st.shared.u32 [%r3], %r0; ld.shared.u32 %r8, [%r3]; st.global.u32 "
              "[%q4], %r8;");
  expectFault("ld.global.u32 %r8, [%q4]; st.global.u32 [%q4], %r8;", Kind::Uninitialised, {"'out'"});
  expectFault("setp.lt.u32 %p0, %r0, 3; @%p0 mov.u32 %r8, 1; st.global.u32 [%q4], %r8;", Kind::Uninitialised,
              {"never written"});
  expectFault("setp.eq.u32 %p0, %r9, 3; @%p0 bra L; st.global.u32 [%q4], %r0; L:", Kind::Uninitialised);
  // Written on the lanes that use it; or used only where it cannot matter.
  expectClean(
      "setp.lt.u32 %p0, %r0, 3; @%p0 mov.u32 %r8, 1; @!%p0 mov.u32 %r8, 2; st.global.u32 [%q4], %r8;");
  expectClean(
      "setp.lt.u32 %p0, %r0, 3; @%p0 mov.u32 %r8, 1; add.u32 %r9, %r8, 1; @%p0 st.global.u32 [%q4], %r9;");
  // Half a word written.
  expectFault("mov.u16 %h0, 1; st.shared.u16 [%r3], %h0; ld.shared.u32 %r8, [%r3]; st.global.u32 [%q4], %r8;",
              Kind::Uninitialised);
  expectClean("mov.u16 %h0, 1; st.shared.u16 [%r3], %h0; st.shared.u16 [%r3+2], %h0; ld.shared.u32 %r8, "
              "[%r3]; st.global.u32 [%q4], %r8;");
}

TEST_CASE("out of bounds and misaligned") {
  expectFault("st.global.u32 [%q4+16], %r0;", Kind::OutOfBounds,
              {"write of 4 bytes", "0 bytes after the end of 'out'"});
  expectFault("ld.global.u32 %r8, [%q0+-4];", Kind::OutOfBounds, {"4 bytes before 'in'"});
  expectFault("ld.global.v4.u32 {%r8, %r9, %r10, %r11}, [%q3+8];", Kind::Misaligned, {"multiple of 16"});
  expectFault("st.shared.u32 [%r5+3584], %r0;", Kind::OutOfBounds, {"s + ", "4096 bytes of shared memory"});
  expectFault("ld.shared.u32 %r8, [%r3+2];", Kind::Misaligned);
  expectFault("mov.u32 %r8, 0; ld.shared.u32 %r9, [%r8];", Kind::OutOfBounds);
  expectFault("cp.async.cg.shared.global [%r3], [%q3], 16; cp.async.wait_all;", Kind::Misaligned);
  expectFault("cp.async.cg.shared.global [%r5], [%q3+16], 16; cp.async.wait_all;", Kind::OutOfBounds,
              {"'in'"});
  expectClean(
      "ld.global.v4.u32 {%r8, %r9, %r10, %r11}, [%q3]; st.global.v4.u32 [%q4], {%r8, %r9, %r10, %r11};");
  // What is out of bounds reads zero and goes on.
  auto o = runBody("mov.u32 %r8, 5; ld.global.u32 %r8, [%q0+1048576]; st.global.u32 [%q4], %r8;");
  CHECK(o.out[4] == 0);
}

TEST_CASE("barriers: divergence, misuse, deadlock; endless loops; traps") {
  expectFault("setp.lt.u32 %p0, %r0, 16; @%p0 bra L; bra M; L: bar.sync 0; M: st.global.u32 [%q4], %r0;",
              Kind::Divergence, {"bar.sync 0"}, 32);
  expectFault("setp.lt.u32 %p0, %r0, 16; @%p0 bar.sync 0; st.global.u32 [%q4], %r0;", Kind::Divergence,
              {"guard"}, 32);
  expectFault("setp.lt.u32 %p0, %r0, 32; @%p0 bra L; bar.sync 1; bra M; L: bar.sync 2; M:", Kind::Deadlock,
              {"warp 0", "warp 1", "waits for ever"});
  expectFault("mov.u32 %r8, 16; bar.sync %r8;", Kind::BarrierMisuse, {"0 to 15"});
  expectFault("mov.u32 %r8, 33; bar.sync 1, %r8;", Kind::BarrierMisuse, {"multiple of 32"});
  expectFault("setp.lt.u32 %p0, %r0, 32; @%p0 bra L; bar.sync 1, 64; bra M; L: bar.sync 1, 96; M:",
              Kind::BarrierMisuse, {"64", "96"});
  expectFault("L: add.u32 %r8, %r0, 1; bra L;", Kind::EndlessLoop, {"no way out", "warp 1: runs, line"});
  expectFault("L: setp.eq.u32 %p0, %r0, 9999; @!%p0 bra L;", Kind::EndlessLoop, {"repeats itself"});
  expectFault("mov.u32 %r8, 1; L: add.u32 %r8, %r8, 2; setp.ne.u32 %p0, %r8, 0; @%p0 bra L;",
              Kind::EndlessLoop, {"more than 100000 instructions"});
  expectFault("trap;", Kind::Trap);
  // Branches that meet again before the barrier are fine, and so are loops of different lengths.
  expectClean("setp.lt.u32 %p0, %r0, 16; @%p0 bra L; mov.u32 %r8, 1; bra M; L: mov.u32 %r8, 2; M: bar.sync "
              "0; st.global.u32 [%q4], %r8;");
  expectClean("mov.u32 %r8, 0; L: add.u32 %r8, %r8, 1; setp.le.u32 %p0, %r8, %r0; @%p0 bra L; bar.sync 0; "
              "st.global.u32 [%q4], %r8;");
  // The reconvergence point is laid out before one of the ways to it.
  expectClean("setp.lt.u32 %p0, %r0, 16; @%p0 bra FAR; bra M; M: bar.sync 0; st.global.u32 [%q4], %r0; ret; "
              "FAR: mov.u32 %r8, 1; bra M;");
  // Without .aligned, threads of a warp may come to one barrier by different ways; to two they may not.
  std::string ways =
      "setp.lt.u32 %p0, %r0, 16; @%p0 bra L; st.shared.u32 [%r3], %r0; barrier.sync 0; bra M; L: "
      "st.shared.u32 [%r3], %r0; barrier.sync N; M:\n"
      "xor.b32 %r6, %r2, 128; add.u32 %r7, %r1, %r6; ld.shared.u32 %r8, [%r7]; st.global.u32 [%q4], %r8;";
  expectClean(std::string(ways).replace(ways.find("N;"), 1, "0"));
  expectFault(std::string(ways).replace(ways.find("N;"), 1, "1"), Kind::Divergence);
  // Threads that have exited are not waited for.
  expectClean("setp.lt.u32 %p0, %r0, 32; @%p0 ret; bar.sync 0; st.global.u32 [%q4], %r0;");
}

TEST_CASE("shuffles and votes among lanes that are not all there") {
  expectFault(
      "setp.lt.u32 %p0, %r0, 16; @%p0 bra L; bra M; L: shfl.sync.idx.b32 %r8, %r0, 20, 31, 0xffff; M:",
      Kind::BadOperand, {"does not execute"}, 32);
  expectFault("setp.lt.u32 %p0, %r0, 16; @%p0 bra L; bra M; L: shfl.sync.idx.b32 %r8, %r0, 0, 31, -1; M:",
              Kind::Divergence, {}, 32);
  expectClean("setp.lt.u32 %p0, %r0, 16; @%p0 bra L; shfl.sync.idx.b32 %r8, %r0, 20, 31, 0xffff0000; bra M;\n"
              "L: shfl.sync.idx.b32 %r8, %r0, 3, 31, 0xffff; M: st.global.u32 [%q4], %r8;",
              32);
}

TEST_CASE("findings do not depend on the number of host threads, and are counted") {
  auto m = parse(
      ptx(buffers, std::string(prologue) +
                       "ld.shared.u32 %r8, [%r3]; setp.eq.u32 %p0, %r8, 1; @%p0 bra L; L: st.global.u32 "
                       "[%q1+64], %r0; ret;"));
  std::string first;
  for (unsigned threads : {1u, 2u, 5u}) {
    Device d;
    uint64_t pi = d.make(64, "in"), po = d.make(16, "out");
    sim::LaunchConfig c{.entry = "k", .grid = {9, 2, 1}, .block = {96, 1, 1}};
    c.params = Params().add(pi).add(po).bytes;
    c.threads = threads;
    auto r = d.run(*m, c);
    REQUIRE(r.findings.size() == 2);
    CHECK(r.findings[0].count == 18 * 3);
    CHECK(r.findings[1].count == 18 * 96);
    CHECK(r.findings[0].block == std::array<uint32_t, 3>{0, 0, 0});
    first = first.empty() ? texts(r.findings) : first;
    CHECK(first == texts(r.findings));
  }
}

TEST_CASE("memory: sparse giants, frees, host ranges") {
  sim::GlobalMemory g;
  auto big = g.allocate(40ull << 30, "big");
  REQUIRE(big);
  uint32_t x = 42, y = 0;
  CHECK(g.write(*big + (30ull << 30), &x, 4));
  CHECK(g.read(&y, *big + (30ull << 30), 4));
  CHECK(y == 42);
  CHECK(*g.countUninitialised(*big + (30ull << 30) - 4, 12) == 8);
  auto small = g.allocate(100, "small");
  CHECK(*small % 256 == 0);
  CHECK(g.write(*small, &x, 4));
  auto over = g.write(*small + 98, &x, 4);
  REQUIRE(!over);
  CHECK(over.error().message.find("'small'") != std::string::npos);
  CHECK(g.free(*small));
  CHECK(!g.free(*small));
  CHECK(!g.read(&y, *small, 4));
}

TEST_CASE("launches that cannot be") {
  auto m = parse(".version 8.0\n.target sm_86\n.address_size 64\n.visible .entry k(.param .u64 a)\n.maxntid "
                 "64, 1, 1\n{ ret; }");
  sim::GlobalMemory g;
  auto message = [&](sim::LaunchConfig c) {
    auto r = sim::launch(*m, g, c);
    REQUIRE(!r);
    return r.error().message;
  };
  sim::LaunchConfig ok{.entry = "k", .params = std::vector<std::byte>(8)};
  CHECK(sim::launch(*m, g, ok));
  sim::LaunchConfig c = ok;
  c.entry = "q";
  CHECK(message(c).find("expected an entry that the file has (k), got 'q'") != std::string::npos);
  c = ok;
  c.params.resize(4);
  CHECK(message(c).find("expected 8 parameter bytes, got 4") != std::string::npos);
  c = ok;
  c.block = {65, 1, 1};
  CHECK(message(c).find("64 threads") != std::string::npos);
  c = ok;
  c.dynamicShared = 100 * 1024;
  CHECK(message(c).find("101376") != std::string::npos);
  c = ok;
  c.grid = {0, 1, 1};
  CHECK(message(c).find("grid") != std::string::npos);
}

TEST_CASE("a warp that writes over its own copy in flight") {
  expectFault("cp.async.cg.shared.global [%r5], [%q3], 16; st.shared.u32 [%r5], %r0; cp.async.wait_all; "
              "ld.shared.u32 %r8, [%r5]; "
              "st.global.u32 [%q4], %r8;",
              Kind::Race, {"in flight"});
  expectClean("cp.async.ca.shared.global [%r5], [%q3], 4; cp.async.ca.shared.global [%r5+4], [%q3+4], 4; "
              "cp.async.wait_all; "
              "ld.shared.v2.u32 {%r8, %r9}, [%r5]; st.global.v2.u32 [%q4], {%r8, %r9};");
}

TEST_CASE("copies that bring the same to one place") {
  std::string copy = "cp.async.ca.shared.global [%r1], [%q0], 16; cp.async.wait_all;\n",
              read = "bar.sync 0; ld.shared.u32 %r8, [%r1]; st.global.u32 [%q4], %r8;";
  expectClean(copy + "ld.shared.u32 %r8, [%r1]; st.global.u32 [%q4], %r8;", 32);
  expectClean(copy + read);
  expectClean("mov.u32 %r9, 0; cp.async.ca.shared.global [%r1], [%q3], 16, %r9; cp.async.wait_all;\n" + read);
  expectFault("cp.async.ca.shared.global [%r1], [%q3], 16; cp.async.wait_all;\n" + read, Kind::Race,
              {"cp.async.ca.shared.global"});
  expectFault("cp.async.ca.shared.global [%r1], [%q3], 16; cp.async.wait_all; ld.shared.u32 %r8, [%r1]; "
              "st.global.u32 [%q4], %r8;",
              Kind::Race, {"cp.async.ca.shared.global"}, 32);
}
