//===- SimConvertTest.cpp - cvt, moves, shuffles, votes, atomics -------------------===//
#include "SimSupport.h"

#include <bit>
#include <cfenv>
#include <cmath>
#include <functional>
#include <numeric>

using namespace attune;
using namespace simtest;

namespace {

constexpr int kCount = 2048;

/// Runs a body on n values: %q0 holds a thread's 64-bit input, %q7 its output.
std::vector<uint64_t> perThread(const std::string &body, const std::vector<uint64_t> &in,
                                uint32_t threads = 128) {
  auto m = parse(ptx(".param .u64 IN, .param .u64 OUT",
                     ".reg .pred %p<8>; .reg .b16 %h<8>; .reg .b32 %r<16>; .reg .b64 %q<16>;\n"
                     "mov.u32 %r8, %tid.x; mov.u32 %r9, %ctaid.x; mov.u32 %r10, %ntid.x; mad.lo.u32 %r11, "
                     "%r9, %r10, %r8; mul.wide.u32 %q8, %r11, 8;\n"
                     "ld.param.u64 %q9, [IN]; add.u64 %q9, %q9, %q8; ld.global.u64 %q0, [%q9];\n" +
                         body +
                         "\nld.param.u64 %q9, [OUT]; add.u64 %q9, %q9, %q8; st.global.u64 [%q9], %q7; ret;"));
  Device d;
  uint64_t pi = d.put(in), po = d.make(in.size() * 8);
  sim::LaunchConfig c{.entry = "k", .grid = {uint32_t(in.size()) / threads, 1, 1}, .block = {threads, 1, 1}};
  c.params = Params().add(pi).add(po).bytes;
  CHECK_CLEAN(d.run(*m, c));
  return d.get<uint64_t>(po, in.size());
}

std::string reg(int w, int n) {
  return std::string(w == 16 ? "%h" : w == 32 ? "%r" : "%q") + std::to_string(n);
}

/// cvt from a register of `s` bits to one of `d` bits.
void check(const std::string &op, int d, int s, const std::vector<uint64_t> &edges,
           const std::function<uint64_t(uint64_t)> &f) {
  CAPTURE(op);
  std::mt19937_64 rng(uint32_t(op.size()));
  std::vector<uint64_t> in(kCount);
  uint64_t mask = s == 64 ? ~0ull : (1ull << s) - 1;
  for (size_t i = 0; i < in.size(); ++i)
    in[i] = (i < edges.size() ? edges[i]
             : i % 2          ? edges[rng() % edges.size()] ^ (rng() & 0xFF)
                              : rng() >> rng() % 64) &
            mask;
  std::string body =
      s == 64 ? "mov.u64 %q1, %q0;" : "cvt.u" + std::to_string(s) + ".u64 " + reg(s, 1) + ", %q0;";
  body += op + " " + reg(d, 7) + ", " + reg(s, 1) + ";";
  if (d < 64)
    body += "cvt.u64.u" + std::to_string(d) + " %q7, " + reg(d, 7) + ";";
  auto out = perThread(body, in);
  int wrong = 0;
  for (size_t i = 0; i < in.size(); ++i) {
    uint64_t e = f(in[i]) & (d == 64 ? ~0ull : (1ull << d) - 1);
    if (out[i] != e && ++wrong < 4)
      FAIL_CHECK(op << " of 0x" << std::hex << in[i] << ": expected 0x" << e << ", got 0x" << out[i]);
  }
  CHECK(wrong == 0);
}

const std::vector<uint64_t> ints = {0,
                                    1,
                                    2,
                                    0x7F,
                                    0x80,
                                    0xFF,
                                    0x100,
                                    0x7FFF,
                                    0x8000,
                                    0xFFFF,
                                    0x10000,
                                    0x7FFFFFFF,
                                    0x80000000,
                                    0xFFFFFFFF,
                                    0x1000000,
                                    0x1000001,
                                    0x1000003,
                                    0xFFFFFF7F,
                                    0xFFFFFF80,
                                    0x100000000,
                                    0x7FFFFFFFFFFFFFFF,
                                    0x8000000000000000,
                                    0xFFFFFFFFFFFFFFFF,
                                    0x7FFFFFBFFFFFFFFF,
                                    0x7FFFFFC000000000};
const std::vector<uint64_t> floats = {0,          0x80000000, 1,          0x3F000000, 0xBF000000, 0x3FC00000,
                                      0x40200000, 0xC0200000, 0x3F800000, 0x42FE0000, 0x42FF0000, 0x43000000,
                                      0xC3000000, 0xC3010000, 0x437F0000, 0x43800000, 0x46FFFE00, 0x47000000,
                                      0x477FFF00, 0x47800000, 0x4EFFFFFF, 0x4F000000, 0xCF000000, 0xCF000001,
                                      0x4F7FFFFF, 0x4F800000, 0x5EFFFFFF, 0x5F000000, 0xDF000000, 0x5F7FFFFF,
                                      0x5F800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x00400000};

float f32(uint64_t x) { return std::bit_cast<float>(uint32_t(x)); }
uint64_t u32(float x) { return x != x ? 0x7FFFFFFF : std::bit_cast<uint32_t>(x); }

} // namespace

TEST_CASE("cvt between integers: every pair, and with .sat") {
  for (int d : {8, 16, 32, 64})
    for (int s : {8, 16, 32, 64})
      for (bool ds : {false, true})
        for (bool ss : {false, true}) {
          std::string types =
              std::string(ds ? ".s" : ".u") + std::to_string(d) + (ss ? ".s" : ".u") + std::to_string(s);
          auto value = [=](uint64_t x) -> __int128 {
            uint64_t low = s == 64 ? x : x & ((1ull << s) - 1);
            return ss ? __int128(int64_t(low << (64 - s)) >> (64 - s)) : __int128(low);
          };
          int dr = d == 8 ? 16 : d, sr = s == 8 ? 16 : s;
          auto extend = [=](__int128 v) { // 8-bit results fill a 16-bit register by their sign
            return d == 8 ? uint64_t(ds ? int64_t(int8_t(v)) : int64_t(uint8_t(v))) : uint64_t(v);
          };
          check("cvt" + types, dr, sr, ints, [=](uint64_t x) { return extend(value(x)); });
          check("cvt.sat" + types, dr, sr, ints, [=](uint64_t x) {
            __int128 v = value(x), lo = ds ? -(__int128(1) << (d - 1)) : 0,
                     hi = (__int128(1) << (ds ? d - 1 : d)) - 1;
            return extend(v < lo ? lo : v > hi ? hi : v);
          });
        }
}

TEST_CASE("cvt with registers wider than its types") {
  std::vector<uint64_t> in(kCount);
  std::iota(in.begin(), in.end(), 0x123456789ABC7F00ull);
  auto out = perThread("cvt.s64.s8 %q7, %q0;", in);
  for (size_t i = 0; i < in.size(); ++i)
    REQUIRE(out[i] == uint64_t(int64_t(int8_t(in[i]))));
  out = perThread("cvt.u32.u64 %r1, %q0; cvt.s32.s16 %r2, %r1; cvt.s64.s32 %q7, %r2;", in);
  for (size_t i = 0; i < in.size(); ++i)
    REQUIRE(out[i] == uint64_t(int64_t(int16_t(in[i]))));
}

TEST_CASE("cvt between floats and integers in the four roundings") {
  struct Mode {
    const char *toInt, *toFloat;
    int host;
  };
  for (Mode m : {Mode{"rni", "rn", FE_TONEAREST},
                 {"rzi", "rz", FE_TOWARDZERO},
                 {"rmi", "rm", FE_DOWNWARD},
                 {"rpi", "rp", FE_UPWARD}}) {
    auto round = [m](double x) {
      return m.host == FE_TONEAREST    ? std::nearbyint(x)
             : m.host == FE_TOWARDZERO ? std::trunc(x)
             : m.host == FE_DOWNWARD   ? std::floor(x)
                                       : std::ceil(x);
    };
    for (int w : {8, 16, 32, 64})
      for (bool s : {false, true}) {
        std::string t = (s ? "s" : "u") + std::to_string(w);
        auto clamp = [=](double x) -> uint64_t {
          if (x != x)
            return w == 64 ? 1ull << 63 : 0;
          double r = round(x);
          __int128 lo = s ? -(__int128(1) << (w - 1)) : 0, hi = (__int128(1) << (s ? w - 1 : w)) - 1;
          __int128 v = r <= double(lo) ? lo : r >= double(hi) ? hi : __int128(r);
          return w == 8 ? uint64_t(s ? int64_t(int8_t(v)) : int64_t(uint8_t(v))) : uint64_t(v);
        };
        check(std::string("cvt.") + m.toInt + "." + t + ".f32", w == 8 ? 16 : w, 32, floats,
              [=](uint64_t x) { return clamp(double(f32(x))); });
        // To f32: the nearest one, or its neighbour in the direction.
        check(std::string("cvt.") + m.toFloat + ".f32." + t, 32, w == 8 ? 16 : w, ints, [=](uint64_t x) {
          uint64_t low = w == 64 ? x : x & ((1ull << w) - 1);
          long double v = s ? (long double)(int64_t(low << (64 - w)) >> (64 - w)) : (long double)low;
          float r = float(v);
          bool down = m.host == FE_DOWNWARD || (m.host == FE_TOWARDZERO && v > 0),
               up = m.host == FE_UPWARD || (m.host == FE_TOWARDZERO && v < 0);
          if (down && (long double)r > v)
            r = std::nextafter(r, -INFINITY);
          if (up && (long double)r < v)
            r = std::nextafter(r, INFINITY);
          return u32(r);
        });
      }
    check(std::string("cvt.") + m.toInt + ".f32.f32", 32, 32, floats,
          [=](uint64_t x) { return u32(float(round(double(f32(x))))); });
    check(std::string("cvt.") + m.toFloat + ".f32.f64", 32, 64,
          {0x3FF0000000000001, 0xBFF0000000000001, 0x47EFFFFFFFFFFFFF, 0x36A0000000000000, 0x3690000000000000,
           0xB690000000000001, 0, 0x7FEFFFFFFFFFFFFF, 0x380FFFFFFFFFFFFF},
          [=](uint64_t x) {
            double v = std::bit_cast<double>(x);
            float r = float(v);
            bool down = m.host == FE_DOWNWARD || (m.host == FE_TOWARDZERO && v > 0),
                 up = m.host == FE_UPWARD || (m.host == FE_TOWARDZERO && v < 0);
            if (down && double(r) > v)
              r = std::nextafter(r, -INFINITY);
            if (up && double(r) < v)
              r = std::nextafter(r, INFINITY);
            return u32(r);
          });
  }
}

TEST_CASE("mov packs and unpacks; local, parameter and module variables") {
  std::vector<uint64_t> in(128);
  std::iota(in.begin(), in.end(), 0xFEDCBA9876543210ull);
  auto out = perThread("mov.b64 {%r1, %r2}, %q0; mov.b32 {%h1, %h2}, %r1; mov.b32 %r3, {%h2, %h1}; mov.b64 "
                       "{%h3, _, %h4, _}, %q0;\n"
                       "mov.b32 %r4, {%h3, %h4}; mov.b64 %q7, {%r3, %r4};",
                       in);
  for (size_t i = 0; i < in.size(); ++i) {
    uint64_t x = in[i];
    CHECK(out[i] ==
          ((x >> 16 & 0xFFFF) | (x & 0xFFFF) << 16 | (x & 0xFFFF) << 32 | (x >> 32 & 0xFFFF) << 48));
  }
  out = perThread(
      "{ .local .align 8 .b8 frame[16]; .reg .b64 %f, %g; mov.u64 %f, frame; cvta.local.u64 %g, %f;\n"
      "st.u64 [%g+8], %q0; ld.local.v2.u32 {%r1, %r2}, [frame+8]; mov.b64 %q7, {%r2, %r1}; }",
      in);
  for (size_t i = 0; i < in.size(); ++i)
    CHECK(out[i] == (in[i] << 32 | in[i] >> 32));

  auto m = parse(
      ".version 8.0\n.target sm_80\n.address_size 64\n.global .align 4 .u32 counter = 5;\n.const .align 8 "
      ".u32 table[4] = {10, 20, 30, 40};\n"
      ".global .align 8 .u64 pointer = generic(table)+8;\n"
      ".visible .entry k(.param .align 8 .b8 p[24], .param .u64 out)\n{ .reg .b32 %r<9>; .reg .b64 %q<9>;\n"
      "ld.param.u64 %q0, [out]; mov.u64 %q1, p; ld.param.u32 %r0, [%q1+20]; ld.param.v2.u32 {%r1, %r2}, "
      "[p+8];\n"
      "ld.const.u32 %r3, [table+12]; atom.global.add.u32 %r4, [counter], 2; ld.global.u64 %q2, [pointer]; "
      "ld.u32 %r5, [%q2];\n"
      "st.global.v4.u32 [%q0], {%r0, %r1, %r2, %r3}; st.global.v2.u32 [%q0+16], {%r4, %r5}; ret; }");
  Device d;
  uint64_t po = d.make(24);
  sim::LaunchConfig c{.entry = "k", .block = {1, 1, 1}};
  c.params = Params().add(1).add(2).add(3).add(4).add(5).add(6).add(po).bytes;
  for (uint32_t launch = 0; launch < 2; ++launch) {
    CHECK_CLEAN(d.run(*m, c));
    CHECK(d.get<uint32_t>(po, 6) == std::vector<uint32_t>{6, 3, 4, 40, 5 + 2 * launch, 30});
  }
}

TEST_CASE("shuffles, votes, matches and reductions of a warp") {
  std::vector<uint64_t> in(32);
  std::mt19937 rng(5);
  for (auto &x : in)
    x = rng() % 5;
  auto run = [&](const std::string &body) {
    return perThread("cvt.u32.u64 %r0, %q0; mov.u32 %r7, 0;\n" + body + "\ncvt.u64.u32 %q7, %r7;", in, 32);
  };
  auto shfl = [&](const std::string &mode, int b, int c, auto source) {
    auto out = run("shfl.sync." + mode + ".b32 %r1|%p1, %r8, " + std::to_string(b) + ", " +
                   std::to_string(c) + ", -1; selp.u32 %r2, 256, 0, %p1; or.b32 %r7, %r1, %r2;");
    for (int l = 0; l < 32; ++l) {
      int from = source(l);
      REQUIRE(out[l] == uint64_t(from < 0 ? l : from | 256));
    }
  };
  for (int n : {1, 3, 16, 31}) {
    shfl("up", n, 0, [n](int l) { return l - n >= 0 ? l - n : -1; });
    shfl("down", n, 31, [n](int l) { return l + n < 32 ? l + n : -1; });
    shfl("bfly", n, 31, [n](int l) { return l ^ n; });
    shfl("idx", n, 31, [n](int) { return n; });

    shfl("idx", n, 0x1807, [n](int l) { return (l & 24) | (n & 7); });
    shfl("up", n, 0x1800, [n](int l) { return l - n >= (l & 24) ? l - n : -1; });
  }
  uint32_t ballot = 0;
  for (int l = 0; l < 32; ++l)
    ballot |= uint32_t(in[l] == 2) << l;
  CHECK(run("setp.eq.u32 %p0, %r0, 2; vote.sync.ballot.b32 %r7, %p0, -1;")[7] == ballot);
  CHECK(run("setp.eq.u32 %p0, %r0, 2; vote.sync.any.pred %p1, %p0, -1; selp.u32 %r7, 1, 0, %p1;")[7] ==
        (ballot != 0));
  CHECK(run("setp.lt.u32 %p0, %r0, 5; vote.sync.all.pred %p1, %p0, -1; selp.u32 %r7, 1, 0, %p1;")[7] == 1);
  CHECK(run("setp.lt.u32 %p0, %r0, 5; vote.sync.all.pred %p1, !%p0, -1; selp.u32 %r7, 1, 0, %p1;")[7] == 0);
  auto out = run("match.any.sync.b32 %r7, %r0, -1;");
  for (int l = 0; l < 32; ++l)
    for (int k = 0; k < 32; ++k)
      REQUIRE((out[l] >> k & 1) == (in[l] == in[k]));
  CHECK(run("redux.sync.add.u32 %r7, %r0, -1;")[3] == std::accumulate(in.begin(), in.end(), uint64_t(0)));
  CHECK(run("activemask.b32 %r7;")[3] == 0xFFFFFFFF);
}

TEST_CASE("bar.red counts and combines the whole block") {
  std::vector<uint64_t> in(128);
  for (size_t i = 0; i < in.size(); ++i)
    in[i] = i;
  auto count = perThread("cvt.u32.u64 %r0, %q0; setp.lt.u32 %p0, %r0, 50; bar.red.popc.u32 %r1, 0, %p0; "
                         "bar.red.and.pred %p1, 0, %p0; bar.red.or.pred %p2, 0, %p0;\n"
                         "selp.u32 %r2, 256, 0, %p1; selp.u32 %r3, 512, 0, %p2; or.b32 %r1, %r1, %r2; or.b32 "
                         "%r1, %r1, %r3; cvt.u64.u32 %q7, %r1;",
                         in);
  for (uint64_t c : count)
    CHECK(c == (50 | 512));
}

TEST_CASE("atomics give what a sequence of them gives") {
  auto run = [&](const std::string &op, uint32_t start, uint32_t threads = 96) {
    auto m = parse(
        ptx(".param .u64 A", ".reg .b32 %r<8>; .reg .b64 %q<4>; .reg .f32 %f<4>; ld.param.u64 %q0, [A]; "
                             "mov.u32 %r0, %tid.x; add.u32 %r1, %r0, 1;\ncvt.rn.f32.u32 %f1, %r1;" +
                                 op + "ret;"));
    Device d;
    uint64_t a = d.put(std::vector<uint32_t>{start, 0});
    sim::LaunchConfig c{.entry = "k", .grid = {4, 1, 1}, .block = {threads, 1, 1}};
    c.params = Params().add(a).bytes;
    CHECK_CLEAN(d.run(*m, c));
    return d.get<uint32_t>(a, 1)[0];
  };
  CHECK(run("red.global.add.u32 [%q0], %r1;", 3) == 3 + 4 * 96 * 97 / 2);
  CHECK(run("red.relaxed.gpu.global.max.s32 [%q0], %r1;", 3) == 96);
  CHECK(run("atom.global.min.u32 %r2, [%q0], %r1;", 300) == 1);
  CHECK(run("red.global.or.b32 [%q0], %r1;", 0) == 127);
  CHECK(run("atom.global.inc.u32 %r2, [%q0], 9;", 0) == 384 % 10);
  CHECK(run("red.global.add.f32 [%q0], %f1;", 0) == std::bit_cast<uint32_t>(float(4 * 96 * 97 / 2)));
  CHECK(run("L: ld.relaxed.gpu.global.u32 %r2, [%q0]; add.u32 %r3, %r2, 1; atom.global.cas.b32 %r4, [%q0], "
            "%r2, %r3; { .reg .pred %p; setp.ne.u32 %p, %r4, %r2; @%p bra L; }",
            0) == 384);
}
