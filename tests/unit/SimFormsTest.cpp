//===- SimFormsTest.cpp - rarer forms of PTX: parameters, vectors, video -===//
#include "SimSupport.h"

using namespace attune;
using namespace simtest;

namespace {

constexpr uint32_t kAllOnes = 0xFFFFFFFFu;
const std::string head = ".version 8.0\n.target sm_80\n.address_size 64\n";

/// What each of 32 threads leaves in `y`, one word a thread.
std::vector<uint32_t> words(const std::string &text, size_t each = 1) {
  CAPTURE(text);
  auto m = parse(text);
  Device d;
  uint64_t y = d.put(std::vector<uint32_t>(32 * each, 0xDEAD), "y");
  sim::LaunchConfig c{.entry = "k", .block = {32, 1, 1}};
  c.params = Params().add(y).bytes;
  auto r = d.run(*m, c);
  CHECK_CLEAN(r);
  return d.get<uint32_t>(y, 32 * each);
}

/// The result %r9 of a body, in thread 0.
uint32_t resultOf(const std::string &body) {
  return words(
      head +
      ".visible .entry k(.param .u64 y) {\n.reg .b32 %r<10>; .reg .b64 %d<4>; .reg .pred %p<4>; "
      ".reg .f32 %f<8>;\n" +
      body +
      "\nld.param.u64 %d1, [y]; mov.u32 %r8, %tid.x; mul.wide.u32 %d2, %r8, 4; add.u64 %d1, %d1, %d2;\n"
      "st.global.u32 [%d1], %r9; ret; }")[0];
}

} // namespace

TEST_CASE("functions take and return registers, constants and variables in any mixture") {
  std::string functions =
      ".func (.reg .u32 %s) sum(.reg .u32 %a, .param .u32 b) {\n.reg .pred %p; .reg .u32 %t;\n"
      "ld.param.u32 %t, [b]; add.u32 %s, %a, %t; setp.gt.u32 %p, %s, 20; @%p ret; add.u32 %s, %s, 100; }\n"
      ".func (.param .u32 s) twice(.reg .u32 %a) { .reg .u32 %t; shl.b32 %t, %a, 1; st.param.u32 [s], %t; "
      "ret; }\n";
  std::vector<uint32_t> y = words(
      head + functions +
      ".visible .entry k(.param .u64 y) {\n.reg .u64 %d<3>; .reg .u32 %t<6>; .reg .pred %p;\n"
      "mov.u32 %t1, %tid.x;\n"
      "call (%t2), sum, (%t1, 7);\n" // registers and a constant
      "{ .param .u32 in; .param .u32 out; st.param.u32 [in], %t2; call (out), twice, (in);\n"
      "ld.param.u32 %t3, [out]; }\n"
      "setp.lt.u32 %p, %t1, 4; @%p call (%t3), twice, (5);\n"
      "ld.param.u64 %d1, [y]; mul.wide.u32 %d2, %t1, 4; add.u64 %d1, %d1, %d2; st.global.u32 [%d1], %t3; "
      "ret; }");
  for (uint32_t t = 0; t < 32; ++t) {
    uint32_t s = t + 7;
    CHECK(y[t] == (t < 4 ? 10 : 2 * (s > 20 ? s : s + 100)));
  }
}

TEST_CASE("vector registers are loaded, stored and moved whole, and read by component") {
  std::vector<uint32_t> y = words(
      head + ".visible .entry k(.param .u64 y) {\n.reg .u64 %d<3>; .reg .v4 .u32 %q<2>; .reg .v2 .u32 %v; "
             ".reg .u32 "
             "%t;\n"
             "mov.u32 %t, %tid.x; ld.param.u64 %d1, [y]; mul.wide.u32 %d2, %t, 16; add.u64 %d1, %d1, %d2;\n"
             "mov.u32 %q0.x, %t; add.u32 %q0.y, %t, 1; add.u32 %q0.b, %t, 2; add.u32 %q0.w, %t, 3;\n"
             "mov.v4.u32 %q1, {%q0.w, %q0.z, %q0.y, %q0.x}; mov.v4.u32 %q1, {%q1.y, %q1.x, %q1.z, %q1.w};\n"
             "mov.v2.u32 %v, {%q1.x, %q1.y}; add.u32 %q1.w, %v.x, %v.g;\n"
             "st.global.v4.u32 [%d1], %q1; ld.global.v4.u32 %q0, [%d1]; st.global.v4.u32 [%d1], %q0; ret; }",
      4);
  for (uint32_t t = 0; t < 32; ++t)
    CHECK(std::vector<uint32_t>(&y[4 * t], &y[4 * t] + 4) ==
          std::vector<uint32_t>{t + 2, t + 3, t + 1, 2 * t + 5});
}

TEST_CASE("constants are predicates") {
  CHECK(resultOf("selp.u32 %r9, 1, 2, 1;") == 1);
  CHECK(resultOf("selp.u32 %r9, 1, 2, 0;") == 2);
  CHECK(resultOf("setp.eq.and.u32 %p1, 3, 3, 0; selp.u32 %r9, 1, 2, %p1;") == 2);
  CHECK(resultOf("setp.eq.or.u32 %p1, 3, 4, 1; selp.u32 %r9, 1, 2, %p1;") == 1);
  CHECK(resultOf("mov.pred %p1, 1; and.pred %p2, %p1, 0; selp.u32 %r9, 1, 2, %p2;") == 2);
}

TEST_CASE("scalar video instructions follow the pseudo-code of the PTX ISA") {
  auto of = [](const std::string &instruction, uint32_t a, uint32_t b, uint32_t c = 0) {
    return resultOf("mov.u32 %r1, " + std::to_string(a) + "; mov.u32 %r2, " + std::to_string(b) +
                    "; mov.u32 %r3, " + std::to_string(c) + "; mov.u32 %r9, 0;\n" + instruction + ";");
  };
  CHECK(of("vadd.u32.u32.u32.add %r9, %r1.b1, %r2.b2, %r3", 0x01020304, 0x10203040, 5) == 3 + 0x20 + 5);
  CHECK(of("vsub.u32.u32.u32.sat %r9, %r1, %r2", 3, 5) == 0);
  CHECK(of("vsub.u32.u32.u32 %r9, %r1, %r2", 3, 5) == uint32_t(-2));
  CHECK(of("vadd.s32.u32.u32.sat %r9, %r1, %r2", 0xF0000000, 0x20000000) == 0x7FFFFFFF);
  CHECK(of("vabsdiff.s32.s32.s32 %r9, %r1.h0, %r2.h1", 0x1234FFFB, 7u << 16) == 12);
  CHECK(of("vmin.s32.s32.s32.max %r9, %r1, %r2, %r3", uint32_t(-3), 4, 10) == 10);
  CHECK(of("vmax.s32.s32.s32.min %r9, %r1, %r2, %r3", uint32_t(-3), 4, uint32_t(-9)) == uint32_t(-9));
  CHECK(of("vadd.u32.u32.u32.sat %r9.b1, %r1, %r2, %r3", 200, 100, 0xAABBCCDD) == 0xAABBFFDD);
  CHECK(of("vadd.u32.u32.u32 %r9.h1, %r1, %r2, %r3", 200, 100, 0xAABBCCDD) == 0x012CCCDD);
  CHECK(of("vshl.u32.u32.u32.wrap %r9, %r1, %r2", 1, 33) == 2);
  CHECK(of("vshl.u32.u32.u32.clamp %r9, %r1, %r2", 1, 33) == 0);
  CHECK(of("vshr.s32.s32.u32.clamp %r9, %r1, %r2", uint32_t(-8), 1) == uint32_t(-4));
  CHECK(of("vshr.s32.s32.u32.clamp %r9, %r1, %r2", uint32_t(-8), 99) == kAllOnes);
  CHECK(of("vset.u32.u32.lt %r9, %r1, %r2", 3, 5) == 1);
  CHECK(of("vset.s32.u32.gt %r9, %r1, %r2", uint32_t(-1), 5) == 0);
  CHECK(of("vset.u32.u32.ge.add %r9, %r1.b0, %r2, %r3", 0x105, 5, 10) == 11);
  CHECK(of("vmad.u32.u32.u32 %r9, %r1, %r2, %r3", 3, 4, 5) == 17);
  CHECK(of("vmad.s32.s32.s32 %r9, %r1, -%r2, %r3", 3, 4, 5) == uint32_t(-7));
  CHECK(of("vmad.s32.s32.s32 %r9, %r1, %r2, -%r3", 3, 4, 5) == 7);
  CHECK(of("vmad.u32.u32.u32.po %r9, %r1, %r2, %r3", 3, 4, 5) == 18);
  CHECK(of("vmad.s32.s32.s32.sat.shr7 %r9, %r1, %r2, %r3", 100, 100, 28) == 10028 >> 7);
  CHECK(of("vmad.u32.u32.u32.sat %r9, %r1, %r2, %r3", 0xFFFFFFFF, 2, 0) == kAllOnes);
}

TEST_CASE("what other instructions do not take of these forms is told") {
  auto refusal = [](const std::string &body) {
    auto m = sim::parseModule(ptx(".param .u64 A", ".reg .b32 %r<4>; .reg .v2 .b32 %v;\n" + body), "f.ptx");
    return m ? (*m)->entries()[0].refusal : m.error().message;
  };
  CHECK(refusal("add.u32 %r1, %r2.b1, %r3;").find("got a part of '%r2', which 'add.u32' does not take") !=
        std::string::npos);
  CHECK(refusal("add.u32 %r1, -%r2, %r3;").find("got the negative of '%r2'") != std::string::npos);
  CHECK(refusal("add.u32 %r1, %v, %r3;").find("error: expected a 32-bit register or a constant") !=
        std::string::npos);
  CHECK(refusal("mov.u32 %r1, %v.z;").find("%v.z") != std::string::npos);
  std::string images = refusal("tex.2d.v4.f32.f32 {%r1, %r1, %r1, %r1}, [A, {%r1, %r1}];\n"
                               "suld.b.1d.b32.trap %r1, [A, {%r1}];\n");
  CHECK(images.find("'tex.2d.v4.f32.f32': textures and surfaces are not simulated") != std::string::npos);
  CHECK(images.find("'suld.b.1d.b32.trap': textures and surfaces are not simulated") != std::string::npos);
  CHECK(sim::parseModule(
      ".version 8.0\n.target sm_80\n.address_size 64\n.global .texref t;\n.entry k() { ret; }\n", "f.ptx"));
  for (const char *target : {"sm_60", "sm_35", "sm_80a", "sm_85"}) {
    auto m =
        sim::parseModule(std::string(".version 8.0\n.target ") + target + "\n.address_size 64\n", "f.ptx");
    REQUIRE(!m);
    CHECK(m.error().message.find(std::string("f.ptx:2:9: error: unsupported target '") + target) !=
          std::string::npos);
  }
}
