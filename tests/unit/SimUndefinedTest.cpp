//===- SimUndefinedTest.cpp - values that were never written are followed through registers ---===//
#include "SimFaultSupport.h"

using namespace attune;
using namespace simtest;
using namespace simtest::plain;

namespace {

/// %r8 gets what nobody wrote.
const std::string undefined = "ld.shared.u32 %r8, [%r3];\n";

void expectOne(const std::string &body, std::initializer_list<const char *> words, uint32_t threads = 64) {
  CAPTURE(body);
  for (sim::Mode mode : {sim::Mode::Eager, sim::Mode::Lazy, sim::Mode::Random}) {
    auto o = runBody(body, threads, mode);
    REQUIRE_MESSAGE(o.result.findings.size() == 1, texts(o.result.findings));
    const sim::Finding &f = o.result.findings[0];
    CHECK(f.kind == Kind::Uninitialised);
    for (const char *word : words)
      CHECK_MESSAGE(f.text().find(word) != std::string::npos, f.text());
  }
}

} // namespace

TEST_CASE("an undefined value matters as an address, in a branch, as a result, in an atomic, at a barrier") {
  expectOne(
      undefined +
          "cvt.u64.u32 %q5, %r8; add.u64 %q5, %q4, %q5; ld.global.u32 %r9, [%q5]; st.global.u32 [%q4], %r9;",
      {"ld.shared.u32 %r8, [%r3]", "s + ", "is an address", "it matters at", "ld.global.u32 %r9, [%q5]"});
  expectOne(undefined + "setp.gt.u32 %p0, %r8, 5; @%p0 bra L; st.global.u32 [%q4], %r0; L:",
            {"decides a branch"});
  expectOne(undefined + "setp.gt.u32 %p0, %r8, 5; @%p0 st.global.u32 [%q4], %r0;", {"decides whether"});
  expectOne(undefined + "add.u32 %r9, %r8, 1; xor.b32 %r9, %r9, %r8; st.global.u32 [%q4], %r9;",
            {"is stored to global memory"});
  expectOne(undefined + "red.global.add.u32 [%q0], %r8;", {"is an operand"});
  expectOne(undefined +
                "setp.gt.u32 %p0, %r8, 5; vote.sync.any.pred %p1, %p0, -1; @%p1 st.global.u32 [%q4], %r0;",
            {"decides whether"});
  expectFault(undefined + "bar.sync %r8;\n", Kind::Uninitialised, {"operand of a barrier"}, 32);
  expectOne(undefined + "shfl.sync.idx.b32 %r9, %r0, %r8, 31, -1; st.global.u32 [%q4], %r9;", {"which lane"});
  expectFault(undefined + "redux.sync.add.u32 %r9, %r0, %r8;", Kind::Uninitialised, {"is a member mask"}, 32);
  expectOne("ld.global.u32 %r8, [%q4]; mul.lo.u32 %r8, %r8, 3; st.global.u32 [%q4], %r8;",
            {"'out'", "ld.global.u32 %r8"});
  expectOne("cp.async.ca.shared.global [%r5], [%q4], 16; cp.async.wait_all; ld.shared.u32 %r8, [%r5]; "
            "st.global.u32 "
            "[%q4], %r8;",
            {"ld.shared.u32 %r8, [%r5]"});
}

TEST_CASE("an undefined value that is dropped is silent") {
  expectClean(undefined);
  expectClean(undefined + "add.u32 %r9, %r8, 1; mul.lo.u32 %r9, %r9, %r8; cvt.rn.f32.u32 %r10, %r9;");
  expectClean("ld.global.v4.u32 {%r8, %r9, %r10, %r11}, [%q4]; st.global.u32 [%q4], %r0;");
  // A select by a defined predicate chooses.
  expectClean(undefined +
              "setp.eq.u32 %p0, %r0, 9999; selp.b32 %r9, %r8, %r0, %p0; st.global.u32 [%q4], %r9;");
  expectOne(undefined + "setp.eq.u32 %p0, %r0, 3; selp.b32 %r9, %r8, %r0, %p0; st.global.u32 [%q4], %r9;",
            {"thread (3, 0, 0)"});
  // And so does what is decided without it.
  expectClean(undefined + "and.b32 %r9, %r8, 0; st.global.u32 [%q4], %r9;");
  expectClean(undefined +
              "setp.eq.u32 %p0, %r0, 9999; setp.gt.and.u32 %p1, %r8, 4, %p0; @%p1 bra L; st.global.u32 "
              "[%q4], %r0; L:");
  expectClean(undefined +
              "setp.eq.u32 %p0, %r0, 9999; setp.gt.u32 %p1, %r8, 4; and.pred %p1, %p0, %p1; @%p1 bra L; "
              "st.global.u32 [%q4], %r0; L:");
  // Through shuffles and shared memory, to lanes that have values of their own.
  expectClean("setp.lt.u32 %p0, %r0, 32; @%p0 st.shared.u32 [%r3], %r0;\nbar.sync 0;\n" + undefined +
              "shfl.sync.bfly.b32 %r9, %r8, 1, 31, -1; @%p0 st.global.u32 [%q4], %r9;");
  expectOne("setp.ne.u32 %p0, %r0, 5; @%p0 st.shared.u32 [%r3], %r0;\nbar.sync 0;\n" + undefined +
                "shfl.sync.bfly.b32 %r9, %r8, 1, 31, -1; @%p0 st.global.u32 [%q4], %r9;",
            {"thread (4, 0, 0)", "ld.shared.u32 %r8"});
  expectClean(undefined + "st.shared.u32 [%r3+512], %r8; ld.shared.u32 %r9, [%r3+512];");
  // Among lanes, whichever way the members are named: it is a value, and no mask.
  for (std::string mask : {"-1", "%r11"}) {
    std::string named = "mov.b32 %r11, -1;\n" + undefined;
    expectClean(named + "redux.sync.add.u32 %r9, %r8, " + mask + ";");
    expectClean(named + "match.any.sync.b32 %r9, %r8, " + mask + ";");
    expectOne(named + "redux.sync.add.u32 %r9, %r8, " + mask + "; st.global.u32 [%q4], %r9;",
              {"is stored to global memory"});
    expectOne(named + "setp.gt.u32 %p0, %r8, 4; vote.sync.ballot.b32 %r9, %p0, " + mask +
                  "; st.global.u32 [%q4], %r9;",
              {"is stored to global memory"});
  }
  // Lanes of another group have nothing of it.
  expectClean("setp.lt.u32 %p0, %r0, 16; @%p0 st.shared.u32 [%r3], %r0;\n" + undefined +
              "selp.b32 %r11, 0xffff, 0xffff0000, %p0; setp.lt.u32 %p1, %r0, 32; @!%p1 mov.b32 %r11, -1; "
              "redux.sync.add.u32 %r9, %r8, %r11; @%p0 st.global.u32 [%q4], %r9;");
  expectFault(undefined +
                  "st.shared.u32 [%r3+512], %r8; ld.shared.u32 %r9, [%r3+512]; st.global.u32 [%q4], %r9;",
              Kind::Uninitialised, {"ld.shared.u32 %r9"});
}

TEST_CASE("undefined bytes of a word, and the others") {
  std::string half = "mov.u16 %h0, 7; st.shared.u16 [%r3], %h0; ld.shared.u32 %r8, [%r3];\n";
  expectClean(half + "and.b32 %r9, %r8, 65535; st.global.u32 [%q4], %r9;");
  expectClean(half + "shl.b32 %r9, %r8, 16; st.global.u32 [%q4], %r9;");
  expectOne(half + "shl.b32 %r9, %r8, 8; st.global.u32 [%q4], %r9;", {});
  expectOne(half + "shr.u32 %r9, %r8, 16; st.global.u32 [%q4], %r9;", {});
  expectClean(half + "mov.b32 {%h1, %h2}, %r8; st.global.u16 [%q4], %h1;");
  expectOne(half + "mov.b32 {%h1, %h2}, %r8; st.global.u16 [%q4], %h2;", {});
  expectClean(half + "prmt.b32 %r9, %r8, %r0, 0x5410; st.global.u32 [%q4], %r9;");
  expectOne(half + "prmt.b32 %r9, %r8, %r0, 0x5432; st.global.u32 [%q4], %r9;", {});
  expectClean(half + "st.shared.u32 [%r3+512], %r8; ld.shared.u16 %h1, [%r3+512]; st.global.u16 [%q4], %h1;");
  expectOne(half + "st.shared.u32 [%r3+512], %r8; ld.shared.u16 %h1, [%r3+514]; st.global.u16 [%q4], %h1;",
            {});
  expectClean(half + "cvt.u16.u32 %h1, %r8; st.global.u16 [%q4], %h1;");
  expectClean(half +
              "mov.b32 %r9, {%h0, %h0}; mov.b64 %q5, {%r9, %r8}; mov.b64 {%r10, %r11}, %q5; st.global.u32 "
              "[%q4], %r10;");
}

TEST_CASE("one cause is one finding with its count") {
  std::string many = undefined;
  for (int k = 0; k < 3; ++k)
    many += "add.u32 %r9, %r8, " + std::to_string(k) + "; st.global.u32 [%q4+" + std::to_string(4 * k) +
            "], %r9;\n";
  auto o = runBody(many, 32);
  REQUIRE_MESSAGE(o.result.findings.size() == 1, texts(o.result.findings));
  CHECK(o.result.findings[0].count == 3);
  // An undefined address is one finding, and not one out of bounds besides.
  expectOne(undefined +
                "cvt.u64.u32 %q5, %r8; ld.global.u32 %r9, [%q5]; ld.global.u32 %r10, [%q5+4]; st.global.u32 "
                "[%q4], %r9;",
            {"is an address"});
  expectOne("st.global.u32 [%q4], %r9; add.u32 %r10, %r9, 1; st.global.u32 [%q4+4], %r10;", {"register %r9"});
}

TEST_CASE("one bad pointer is one finding, whichever instructions go through it") {
  std::string many = "add.u64 %q5, %q4, 65536;\n";
  for (int k = 0; k < 6; ++k)
    many += "ld.global.u32 %r8, [%q5+" + std::to_string(4 * k) + "];\n";
  auto o = runBody(many + "st.shared.u32 [%r3+8192], %r0;", 32);
  REQUIRE_MESSAGE(o.result.findings.size() == 2, texts(o.result.findings));
  CHECK(o.result.findings[0].count == 6 * 32);
  CHECK_MESSAGE(o.result.findings[0].text().find("through %q5 at 5 more lines") != std::string::npos,
                o.result.findings[0].text());
}

TEST_CASE("a register that only some lanes wrote, in a loop") {
  std::string loop =
      "mov.u32 %r6, 0;\nL: setp.lt.u32 %p0, %r6, %r0; @%p0 add.u32 %r9, %r6, 1; add.u32 %r6, %r6, 1; "
      "setp.lt.u32 %p1, %r6, 2000; @%p1 bra L;\nsetp.ne.u32 %p2, %r0, 0;\n";
  expectClean(loop + "@%p2 st.global.u32 [%q4], %r9;");
  expectOne(loop + "st.global.u32 [%q4], %r9;", {"thread (0, 0, 0)", "register %r9"});
}

TEST_CASE("rows of a tile beyond the matrix: ldmatrix, mma, results dropped") {
  // 16 rows of 16 bytes, 11 of them written; %r17 rows are stored.
  auto body = [](const char *stored, const char *operand) {
    std::string a = "{%r8, %r9}", b = "{%r6}";
    return "setp.lt.u32 %p0, %r0, 11; mov.u32 %r6, 0x3c003c00; @%p0 st.shared.v4.u32 [%r5], {%r6, %r6, %r6, "
           "%r6};\n"
           "bar.warp.sync -1;\nand.b32 %r7, %r0, 15; shl.b32 %r7, %r7, 4; add.u32 %r7, %r1, %r7;\n"
           "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r8, %r9}, [%r7];\n"
           "mov.u32 %r10, 0; mov.u32 %r11, 0; mov.u32 %r12, 0; mov.u32 %r13, 0;\n" +
           std::string(operand) + "shr.u32 %r14, %r0, 2; setp.lt.u32 %p1, %r14, " + stored +
           "; add.u32 %r15, %r14, 8; setp.lt.u32 %p2, %r15, " + stored +
           ";\n@%p1 st.global.v2.u32 [%q4], {%r10, %r11}; @%p2 st.global.v2.u32 [%q4+8], {%r12, %r13};";
  };
  const char *asA =
      "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%r10, %r11, %r12, %r13}, {%r8, %r9}, {%r6}, "
      "{%r10, %r11, %r12, %r13};\n";
  expectClean(body("11", asA), 32);
  expectOne(body("12", asA), {"ldmatrix", "stored to global memory", "thread (12, 0, 0)"}, 32);
  const char *half =
      "mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16 {%r10, %r12}, {%r8, %r9}, {%r6}, {%r10, %r12};\n";
  expectClean(body("11", half), 32);
  expectOne(body("12", half), {"ldmatrix"}, 32);
  // As the columns of the second operand: the eight written rows 8 ... 15 have 3 columns.
  const char *asB =
      "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%r10, %r11, %r12, %r13}, {%r6, %r6}, {%r9}, "
      "{%r10, %r11, %r12, %r13};\nand.b32 %r15, %r0, 3; setp.ge.u32 %p3, %r15, 1; @%p3 mov.u32 %r10, 0; "
      "@%p3 mov.u32 %r12, 0; @%p3 mov.u32 %r11, 0; @%p3 mov.u32 %r13, 0;\n";
  expectClean(body("16", asB), 32);
}

TEST_CASE("a copy in flight is a missing wait, whoever uses it") {
  std::string copy = "cp.async.cg.shared.global [%r5], [%q3], 16; cp.async.commit_group;\n";
  expectFault(copy + "ld.shared.u32 %r8, [%r5]; st.global.u32 [%q4], %r8; cp.async.wait_all;",
              Kind::MissingWait);
  expectClean(copy + "cp.async.wait_all; ld.shared.u32 %r8, [%r5]; st.global.u32 [%q4], %r8;");
}
