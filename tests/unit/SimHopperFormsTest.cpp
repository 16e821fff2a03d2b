//===- SimHopperFormsTest.cpp - rarer forms that compilers for sm_90a print -----------===//
#include "SimSupport.h"

#include <algorithm>
#include <functional>

using namespace attune;
using namespace simtest;

namespace {

using Lanes = std::vector<uint32_t>;

/// Runs `instructions` (from %a, %b, %c to %d) on 32 lanes.
Lanes evaluate(const std::string &instructions, const Lanes &a, const Lanes &b, const Lanes &c) {
  auto m = parse(
      ptx(".param .u64 A, .param .u64 B, .param .u64 C, .param .u64 D",
          ".reg .b32 %a, %b, %c, %d, %t<4>; .reg .b16 %h<8>; .reg .b64 %q<8>; .reg .pred %p<4>;\n"
          "ld.param.u64 %q0, [A]; ld.param.u64 %q1, [B]; ld.param.u64 %q2, [C]; ld.param.u64 %q3, [D]; "
          "mov.u32 %t0, %tid.x; mul.wide.u32 %q4, %t0, 4; add.u64 %q0, %q0, %q4; add.u64 %q1, %q1, %q4; "
          "add.u64 %q2, %q2, %q4; add.u64 %q3, %q3, %q4; ld.global.b32 %a, [%q0]; ld.global.b32 %b, [%q1]; "
          "ld.global.b32 %c, [%q2];\n" +
              instructions + "\nst.global.b32 [%q3], %d; ret;",
          "sm_90a"));
  Device d;
  uint64_t pa = d.put(a), pb = d.put(b), pc = d.put(c), pd = d.make(128);
  sim::LaunchConfig config{.entry = "k", .grid = {1, 1, 1}, .block = {32, 1, 1}};
  config.params = Params().add(pa).add(pb).add(pc).add(pd).bytes;
  CHECK_CLEAN(d.run(*m, config));
  return d.get<uint32_t>(pd, 32);
}

void check(const std::string &instructions, const std::function<uint32_t(uint32_t, uint32_t, uint32_t)> &f) {
  CAPTURE(instructions);
  std::mt19937 rng(uint32_t(instructions.size()));
  Lanes a(32), b(32), c(32);
  for (int round = 0; round < 20; ++round) {
    for (Lanes *v : {&a, &b, &c})
      for (uint32_t &x : *v)
        x = rng() % 3 ? uint32_t(int32_t(rng()) >> rng() % 32) : rng();
    Lanes d = evaluate(instructions, a, b, c);
    for (int l = 0; l < 32; ++l)
      REQUIRE(d[size_t(l)] == f(a[size_t(l)], b[size_t(l)], c[size_t(l)]));
  }
}

uint32_t saturated(uint32_t v, int bits, bool isSigned) {
  int64_t least = isSigned ? -(1 << (bits - 1)) : 0, most = (1ll << (isSigned ? bits - 1 : bits)) - 1;
  return uint32_t(std::clamp<int64_t>(int32_t(v), least, most)) & uint32_t((1ull << bits) - 1);
}

} // namespace

TEST_CASE("cvt.pack saturates two integers and packs them before what a third has") {
  check("cvt.pack.sat.s16.s32 %d, %a, %b;", [](uint32_t a, uint32_t b, uint32_t) {
    return saturated(a, 16, true) << 16 | saturated(b, 16, true);
  });
  check("cvt.pack.sat.u16.s32 %d, %a, %b;", [](uint32_t a, uint32_t b, uint32_t) {
    return saturated(a, 16, false) << 16 | saturated(b, 16, false);
  });
  for (bool isSigned : {true, false})
    for (int bits : {8, 4, 2})
      check("cvt.pack.sat." + std::string(isSigned ? "s" : "u") + std::to_string(bits) +
                ".s32.b32 %d, %a, %b, %c;",
            [=](uint32_t a, uint32_t b, uint32_t c) {
              return saturated(b, bits, isSigned) | saturated(a, bits, isSigned) << bits | c << (2 * bits);
            });
}

TEST_CASE("lop3 with a predicate compares its result with zero") {
  check("setp.lt.u32 %p0, %c, 1000; lop3.or.b32 %t1|%p1, %a, %b, %c, 0x80, %p0; selp.b32 %d, %t1, 77, %p1;",
        [](uint32_t a, uint32_t b, uint32_t c) { return (a & b & c) || c < 1000 ? a & b & c : 77u; });
  check("setp.lt.u32 %p0, %c, 1000; lop3.and.b32 _|%p1, %a, %b, %c, 0x96, !%p0; selp.b32 %d, 1, 0, %p1;",
        [](uint32_t a, uint32_t b, uint32_t c) { return uint32_t((a ^ b ^ c) && c >= 1000); });
}

TEST_CASE("fma.oob gives 0 where a factor is out of bounds") {
  auto reference =
      evaluate("fma.rn.bf16x2 %d, %a, %b, %c;", Lanes(32, 0x40003F80), Lanes(32, 0x3F804000), Lanes(32, 0));
  CHECK(reference[0] == 0x40004000);
  for (const char *type : {"bf16x2", "f16x2"})
    for (const char *relu : {"", ".relu"}) {
      Lanes a(32), b(32), c(32);
      std::mt19937 rng(3);
      for (size_t l = 0; l < 32; ++l) {
        a[l] = rng() % 3 ? (rng() & 0x807F807F) | 0x3F003F00 : rng() % 2 ? 0xFFFF3F80 : 0x3F80FFFF;
        b[l] = rng() % 3 ? (rng() & 0x807F807F) | 0x3F003F00 : 0xFFFFFFFF;
        c[l] = (rng() & 0x807F807F) | 0x3F003F00;
      }
      std::string tail = std::string(relu) + "." + type + " %d, %a, %b, %c;";
      Lanes with = evaluate("fma.rn.oob" + tail, a, b, c), without = evaluate("fma.rn" + tail, a, b, c);
      for (size_t l = 0; l < 32; ++l)
        for (uint32_t half : {0xFFFFu, 0xFFFF0000u}) {
          bool out = (a[l] & half) == half || (b[l] & half) == half;
          CHECK((with[l] & half) == (out ? 0 : without[l] & half));
        }
    }
}

TEST_CASE("movmatrix transposes a matrix that lies over the lanes") {
  Lanes a(32), zero(32);
  for (uint32_t l = 0; l < 32; ++l) // row l / 4, columns 2 (l % 4) and the next: 16 row + column
    a[l] = (l / 4 * 16 + l % 4 * 2) | (l / 4 * 16 + l % 4 * 2 + 1) << 16;
  Lanes d = evaluate("movmatrix.sync.aligned.m8n8.trans.b16 %d, %a;", a, zero, zero);
  for (uint32_t l = 0; l < 32; ++l)
    CHECK(d[l] == ((l % 4 * 2 * 16 + l / 4) | ((l % 4 * 2 + 1) * 16 + l / 4) << 16));
}

TEST_CASE("elect.sync chooses one lane of those that take part") {
  Lanes zero(32), index(32);
  for (uint32_t l = 0; l < 32; ++l)
    index[l] = l;
  Lanes d = evaluate("elect.sync %t1|%p0, 0xffffffff; selp.b32 %d, 100, %t1, %p0;", index, zero, zero);
  CHECK(std::count(d.begin(), d.end(), 100u) == 1);
  uint32_t leader = uint32_t(std::find(d.begin(), d.end(), 100u) - d.begin());
  for (uint32_t l = 0; l < 32; ++l)
    CHECK(d[l] == (l == leader ? 100 : leader));
}
