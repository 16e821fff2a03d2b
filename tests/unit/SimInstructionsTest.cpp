//===- SimInstructionsTest.cpp - ordinary instructions against independent statements ------===//
//
// Each instruction runs on several thousand vectors: all pairs of edge values, then random ones. The expected
// value is stated in plain C++ on one element.
//
//===----------------------------------------------------------------------===//
#include "SimSupport.h"

#include <bit>
#include <cfenv>
#include <cmath>
#include <functional>

using namespace attune;
using namespace simtest;

namespace {

constexpr int kCount = 4096;

/// Runs `op d, a, b, c` on 64-bit containers. Widths in bits (1: predicate) of d and of the sources.
std::vector<uint64_t> evaluate(const std::string &instruction, int dBits, std::vector<int> bits,
                               const std::vector<std::vector<uint64_t>> &in,
                               const std::string &target = "sm_90") {
  auto reg = [](int w) { return w == 1 ? "%p" : w == 16 ? "%h" : w == 32 ? "%r" : "%q"; };
  std::string body = ".reg .pred %p<8>; .reg .b16 %h<8>; .reg .b32 %r<16>; .reg .b64 %q<16>;\n"
                     "mov.u32 %r8, %tid.x; mov.u32 %r9, %ctaid.x; mov.u32 %r10, %ntid.x; mad.lo.u32 %r11, "
                     "%r9, %r10, %r8; mul.wide.u32 %q8, %r11, 8;\n";
  std::string params, call = instruction + " " + reg(dBits) + "7";
  for (size_t k = 0; k < bits.size(); ++k) {
    std::string n = std::to_string(k);
    params += ".param .u64 P" + n + ", ";
    body += "ld.param.u64 %q9, [P" + n + "]; add.u64 %q9, %q9, %q8; ld.global.u64 %q" + n + ", [%q9];\n";
    if (bits[k] == 1)
      body += "and.b64 %q" + n + ", %q" + n + ", 1; setp.ne.u64 %p" + n + ", %q" + n + ", 0;\n";
    else if (bits[k] < 64)
      body +=
          std::string("cvt.u") + std::to_string(bits[k]) + ".u64 " + reg(bits[k]) + n + ", %q" + n + ";\n";
    call += std::string(", ") + reg(bits[k]) + n;
  }
  body += call + ";\n";
  if (dBits == 1)
    body += "selp.u64 %q7, 1, 0, %p7;\n";
  else if (dBits < 64)
    body += std::string("cvt.u64.u") + std::to_string(dBits) + " %q7, " + reg(dBits) + "7;\n";
  params += ".param .u64 OUT";
  body += "ld.param.u64 %q9, [OUT]; add.u64 %q9, %q9, %q8; st.global.u64 [%q9], %q7; ret;";
  auto m = parse(ptx(params, body, target));
  Device d;
  Params p;
  for (const auto &v : in)
    p.add(d.put(v));
  uint64_t out = d.make(kCount * 8);
  sim::LaunchConfig c{.entry = "k", .grid = {kCount / 128, 1, 1}, .block = {128, 1, 1}};
  c.params = p.add(out).bytes;
  CHECK_CLEAN(d.run(*m, c));
  return d.get<uint64_t>(out, kCount);
}

uint64_t maskOf(int bits) { return bits == 64 ? ~0ull : (1ull << bits) - 1; }

const std::vector<uint64_t> intEdges = {0,
                                        1,
                                        2,
                                        3,
                                        5,
                                        7,
                                        15,
                                        16,
                                        31,
                                        32,
                                        33,
                                        63,
                                        64,
                                        65,
                                        0x7F,
                                        0x80,
                                        0xFF,
                                        0x7FFF,
                                        0x8000,
                                        0xFFFF,
                                        0x10000,
                                        0x7FFFFFFF,
                                        0x80000000,
                                        0xFFFFFFFF,
                                        0x100000000,
                                        0x7FFFFFFFFFFFFFFF,
                                        0x8000000000000000,
                                        0xFFFFFFFFFFFFFFFF,
                                        0xFFFFFFFFFFFFFFFE,
                                        0x123456789ABCDEF0};
const std::vector<uint64_t> floatEdges = {
    0,          0x80000000, 1,          0x80000001, 0x007FFFFF, 0x00800000, 0x3F800000, 0xBF800000,
    0x3F800001, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7FA12345, 0x40000000,
    0x3F000000, 0x4B800001, 0x33800000, 0x477FE000, 0x477FF000, 0x38800000, 0x387FFFFF, 0x33000001,
    0x4F000000, 0xCF000000, 0x3FC00000, 0xC0200000, 0x7F000000, 0x00400000};

/// Inputs number `k`: edges in all pairs, then random.
std::vector<std::vector<uint64_t>> inputs(std::vector<int> bits, const std::vector<uint64_t> &edges,
                                          uint32_t seed, bool smooth = false) {
  std::mt19937_64 rng(seed);
  std::vector<std::vector<uint64_t>> in(bits.size(), std::vector<uint64_t>(kCount));
  for (int i = 0; i < kCount; ++i)
    for (size_t k = 0; k < bits.size(); ++k) {
      size_t n = edges.size();
      uint64_t v = size_t(i) < n * n ? edges[k == 0   ? size_t(i) % n
                                             : k == 1 ? size_t(i) / n
                                                      : rng() % n]
                                     : rng();
      if (size_t(i) >= n * n && rng() % 3 == 0)
        v >>= rng() % 64;
      if (smooth && size_t(i) >= n * n && rng() % 2) // floats near one
        v = (0x3F000000 + rng() % 0x02000000) | (rng() & 1) << 31;
      in[k][i] = v & maskOf(bits[k]);
    }
  return in;
}

using Expected = std::function<uint64_t(uint64_t, uint64_t, uint64_t)>;

void check(const std::string &op, int dBits, std::vector<int> bits, const Expected &f,
           const std::vector<uint64_t> &edges = intEdges, bool smooth = false) {
  CAPTURE(op);
  auto in = inputs(bits, edges, uint32_t(op.size() * 31 + bits.size()), smooth);
  auto out = evaluate(op, dBits, bits, in);
  int wrong = 0;
  for (int i = 0; i < kCount; ++i) {
    uint64_t a = in[0][i], b = bits.size() > 1 ? in[1][i] : 0, c = bits.size() > 2 ? in[2][i] : 0;
    uint64_t expected = f(a, b, c) & maskOf(dBits);
    if (out[i] != expected && ++wrong < 4)
      FAIL_CHECK(op << " of 0x" << std::hex << a << ", 0x" << b << ", 0x" << c << ": expected 0x" << expected
                    << ", got 0x" << out[i]);
  }
  CHECK(wrong == 0);
}

int64_t sext(uint64_t x, int bits) { return int64_t(x << (64 - bits)) >> (64 - bits); }
float f32(uint64_t x) { return std::bit_cast<float>(uint32_t(x)); }
uint64_t u32(float x) { return x != x ? 0x7FFFFFFF : std::bit_cast<uint32_t>(x); }
float ftz(float x) { return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }
/// f16 and bf16 through double: exact values, then one rounding by hand.
double half(uint64_t h, bool bf) {
  int fb = bf ? 7 : 10, eb = bf ? 8 : 5, e = int(h >> fb & ((1 << eb) - 1)), m = int(h & ((1 << fb) - 1)),
      bias = (1 << (eb - 1)) - 1;
  double v = e == (1 << eb) - 1 ? (m ? NAN : INFINITY)
             : e                ? std::ldexp(m | 1 << fb, e - bias - fb)
                                : std::ldexp(m, 1 - bias - fb);
  return h >> 15 & 1 ? -v : v;
}
uint64_t roundHalf(long double v, bool bf) {
  if (v != v)
    return 0x7FFF;
  int fb = bf ? 7 : 10, bias = bf ? 127 : 15;
  uint64_t sign = std::signbit(v) ? 0x8000 : 0;
  v = std::fabs(v);
  if (v == 0)
    return sign;
  int e = std::isinf(v) ? 1000 : std::max(std::ilogb(v), 1 - bias);
  if (e > bias)
    return sign | uint64_t(2 * bias + 1) << fb;
  long double scaled = std::ldexp(v, fb - e), r = std::nearbyint(scaled);
  uint64_t n = uint64_t(r);
  return sign + (uint64_t(e + bias - 1) << fb) + n; // a carry moves to the exponent by itself
}

} // namespace

TEST_CASE("integer arithmetic of 16, 32 and 64 bits") {
  for (int w : {16, 32, 64}) {
    std::string u = "u" + std::to_string(w), s = "s" + std::to_string(w), b = "b" + std::to_string(w);
    check("add." + u, w, {w, w}, [](uint64_t x, uint64_t y, uint64_t) { return x + y; });
    check("sub." + s, w, {w, w}, [](uint64_t x, uint64_t y, uint64_t) { return x - y; });
    check("mul.lo." + s, w, {w, w}, [](uint64_t x, uint64_t y, uint64_t) { return x * y; });
    check("mul.hi." + u, w, {w, w},
          [w](uint64_t x, uint64_t y, uint64_t) { return uint64_t((unsigned __int128)x * y >> w); });
    check("mul.hi." + s, w, {w, w},
          [w](uint64_t x, uint64_t y, uint64_t) { return uint64_t((__int128)sext(x, w) * sext(y, w) >> w); });
    check("mad.lo." + u, w, {w, w, w}, [](uint64_t x, uint64_t y, uint64_t z) { return x * y + z; });
    check("div." + u, w, {w, w}, [](uint64_t x, uint64_t y, uint64_t) { return y ? x / y : ~0ull; });
    check("rem." + u, w, {w, w}, [](uint64_t x, uint64_t y, uint64_t) { return y ? x % y : x; });
    check("div." + s, w, {w, w}, [w](uint64_t x, uint64_t y, uint64_t) {
      return y ? uint64_t((__int128)sext(x, w) / sext(y, w)) : ~0ull;
    });
    check("rem." + s, w, {w, w}, [w](uint64_t x, uint64_t y, uint64_t) {
      return y ? uint64_t((__int128)sext(x, w) % sext(y, w)) : x;
    });
    check("min." + s, w, {w, w},
          [w](uint64_t x, uint64_t y, uint64_t) { return sext(x, w) < sext(y, w) ? x : y; });
    check("max." + u, w, {w, w}, [](uint64_t x, uint64_t y, uint64_t) { return x > y ? x : y; });
    check("neg." + s, w, {w}, [](uint64_t x, uint64_t, uint64_t) { return 0 - x; });
    check("abs." + s, w, {w}, [w](uint64_t x, uint64_t, uint64_t) { return sext(x, w) < 0 ? 0 - x : x; });
    check("and." + b, w, {w, w}, [](uint64_t x, uint64_t y, uint64_t) { return x & y; });
    check("xor." + b, w, {w, w}, [](uint64_t x, uint64_t y, uint64_t) { return x ^ y; });
    check("not." + b, w, {w}, [](uint64_t x, uint64_t, uint64_t) { return ~x; });
    check("shl." + b, w, {w, 32},
          [w](uint64_t x, uint64_t n, uint64_t) { return n < uint64_t(w) ? x << n : 0; });
    check("shr." + u, w, {w, 32},
          [w](uint64_t x, uint64_t n, uint64_t) { return n < uint64_t(w) ? x >> n : 0; });
    check("shr." + s, w, {w, 32}, [w](uint64_t x, uint64_t n, uint64_t) {
      return uint64_t(sext(x, w) >> std::min<uint64_t>(n, w - 1));
    });
    check("selp." + b, w, {w, w, 1}, [](uint64_t x, uint64_t y, uint64_t p) { return p ? x : y; });
    check("setp.lt." + s, 1, {w, w},
          [w](uint64_t x, uint64_t y, uint64_t) { return sext(x, w) < sext(y, w); });
    check("setp.hi." + u, 1, {w, w}, [](uint64_t x, uint64_t y, uint64_t) { return x > y; });
    check("setp.ne.or." + u, 1, {w, w, 1}, [](uint64_t x, uint64_t y, uint64_t p) { return x != y || p; });
    check("setp.ge.and." + s, 1, {w, w, 1},
          [w](uint64_t x, uint64_t y, uint64_t p) { return sext(x, w) >= sext(y, w) && p; });
    check("set.le.u32." + u, 32, {w, w},
          [](uint64_t x, uint64_t y, uint64_t) { return x <= y ? 0xFFFFFFFF : 0; });
    if (w == 64)
      continue;
    check("mul.wide." + s, 2 * w, {w, w},
          [w](uint64_t x, uint64_t y, uint64_t) { return uint64_t(sext(x, w) * sext(y, w)); });
    check("mad.wide." + u, 2 * w, {w, w, 2 * w},
          [](uint64_t x, uint64_t y, uint64_t z) { return x * y + z; });
  }
}

TEST_CASE("bit instructions") {
  check("popc.b32", 32, {32}, [](uint64_t x, uint64_t, uint64_t) { return uint64_t(std::popcount(x)); });
  check("popc.b64", 32, {64}, [](uint64_t x, uint64_t, uint64_t) { return uint64_t(std::popcount(x)); });
  check("clz.b32", 32, {32},
        [](uint64_t x, uint64_t, uint64_t) { return uint64_t(std::countl_zero(uint32_t(x))); });
  check("clz.b64", 32, {64}, [](uint64_t x, uint64_t, uint64_t) { return uint64_t(std::countl_zero(x)); });
  check("brev.b32", 32, {32}, [](uint64_t x, uint64_t, uint64_t) {
    uint64_t r = 0;
    for (int i = 0; i < 32; ++i)
      r |= (x >> i & 1) << (31 - i);
    return r;
  });
  check("bfind.u32", 32, {32}, [](uint64_t x, uint64_t, uint64_t) {
    return x ? 31 - uint64_t(std::countl_zero(uint32_t(x))) : ~0ull;
  });
  check("bfind.s32", 32, {32}, [](uint64_t x, uint64_t, uint64_t) {
    uint32_t v = int32_t(x) < 0 ? ~uint32_t(x) : uint32_t(x);
    return v ? 31 - uint64_t(std::countl_zero(v)) : ~0ull;
  });
  auto bfe = [](uint64_t a, uint64_t b, uint64_t c, int w, bool isSigned) {
    int pos = int(b & 255), len = int(c & 255);
    uint64_t sign = !isSigned || len == 0 ? 0 : a >> std::min(pos + len - 1, w - 1) & 1, d = 0;
    for (int i = 0; i < w; ++i)
      d |= (i < len && pos + i < w ? a >> (pos + i) & 1 : sign) << i;
    return d;
  };
  check("bfe.u32", 32, {32, 32, 32},
        [&](uint64_t a, uint64_t b, uint64_t c) { return bfe(a, b, c, 32, false); });
  check("bfe.s32", 32, {32, 32, 32},
        [&](uint64_t a, uint64_t b, uint64_t c) { return bfe(a, b, c, 32, true); });
  check("bfe.u64", 64, {64, 32, 32},
        [&](uint64_t a, uint64_t b, uint64_t c) { return bfe(a, b, c, 64, false); });
  check("bfe.s64", 64, {64, 32, 32},
        [&](uint64_t a, uint64_t b, uint64_t c) { return bfe(a, b, c, 64, true); });
  check("shf.l.wrap.b32", 32, {32, 32, 32},
        [](uint64_t a, uint64_t b, uint64_t c) { return (b << 32 | a) << (c & 31) >> 32; });
  check("shf.r.clamp.b32", 32, {32, 32, 32},
        [](uint64_t a, uint64_t b, uint64_t c) { return (b << 32 | a) >> std::min<uint64_t>(c, 32); });
  check("prmt.b32", 32, {32, 32, 32}, [](uint64_t a, uint64_t b, uint64_t c) {
    uint64_t d = 0;
    for (int i = 0; i < 4; ++i) {
      uint64_t sel = c >> (4 * i) & 15, byte = (b << 32 | a) >> (8 * (sel & 7)) & 255;
      d |= (sel & 8 ? (byte & 128 ? 255ull : 0) : byte) << (8 * i);
    }
    return d;
  });
  // lop3 has an immediate last; all 256 tables on a few vectors through bit logic.
  for (int t : {0x80, 0xFE, 0x96, 0xE8, 0x1B, 0xCA, 0x3C, 0xF0, 0xAA, 0xCC}) {
    auto in = inputs({32, 32, 32}, intEdges, uint32_t(t));
    std::string body = ".reg .b32 %r<8>; .reg .b64 %q<8>; ld.param.u64 %q0, [A]; mov.u32 %r0, %tid.x; "
                       "mul.wide.u32 %q1, %r0, 16; add.u64 %q2, %q0, %q1;\n"
                       "ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%q2]; lop3.b32 %r4, %r1, %r2, %r3, " +
                       std::to_string(t) + "; st.global.u32 [%q2+12], %r4; ret;";
    auto m = parse(ptx(".param .u64 A", body));
    std::vector<uint32_t> a;
    for (int i = 0; i < 1024; ++i)
      for (int k = 0; k < 4; ++k)
        a.push_back(k < 3 ? uint32_t(in[k][i]) : 0);
    Device d;
    uint64_t pa = d.put(a);
    sim::LaunchConfig c{.entry = "k", .block = {1024, 1, 1}};
    c.params = Params().add(pa).bytes;
    CHECK_CLEAN(d.run(*m, c));
    auto out = d.get<uint32_t>(pa, a.size());
    for (int i = 0; i < 1024; ++i) {
      uint32_t e = 0;
      for (int b = 0; b < 32; ++b)
        e |= uint32_t(t >> ((a[4 * i] >> b & 1) * 4 + (a[4 * i + 1] >> b & 1) * 2 + (a[4 * i + 2] >> b & 1)) &
                      1)
             << b;
      REQUIRE(out[4 * i + 3] == e);
    }
  }
}

TEST_CASE("carry chains make wide integers") {
  // 128-bit sums, differences and products from 64- and 32-bit pieces; the result is the upper half.
  auto wide = [](const std::string &low, const std::string &high, auto f) {
    CAPTURE(low);
    auto in = inputs({64, 64}, intEdges, 77);
    std::string body = ".reg .b64 %q<16>; .reg .b32 %r<16>; ld.param.u64 %q0, [A]; ld.param.u64 %q1, [B]; "
                       "ld.param.u64 %q2, [OUT];\n"
                       "mov.u32 %r0, %tid.x; mov.u32 %r1, %ctaid.x; mad.lo.u32 %r2, %r1, 128, %r0; "
                       "mul.wide.u32 %q3, %r2, 8;\n"
                       "add.u64 %q0, %q0, %q3; add.u64 %q1, %q1, %q3; add.u64 %q2, %q2, %q3; ld.global.u64 "
                       "%q4, [%q0]; ld.global.u64 %q5, [%q1]; mov.u64 %q6, 0;\n" +
                       low + high + "st.global.u64 [%q2], %q9; ret;";
    auto m = parse(ptx(".param .u64 A, .param .u64 B, .param .u64 OUT", body));
    Device d;
    uint64_t pa = d.put(in[0]), pb = d.put(in[1]), po = d.make(kCount * 8);
    sim::LaunchConfig c{.entry = "k", .grid = {kCount / 128, 1, 1}, .block = {128, 1, 1}};
    c.params = Params().add(pa).add(pb).add(po).bytes;
    CHECK_CLEAN(d.run(*m, c));
    auto out = d.get<uint64_t>(po, kCount);
    for (int i = 0; i < kCount; ++i)
      REQUIRE(out[i] == f(in[0][i], in[1][i]));
  };
  using U = unsigned __int128;
  wide("add.cc.u64 %q8, %q4, %q5;\n", "addc.u64 %q9, %q4, %q5;\n",
       [](uint64_t a, uint64_t b) { return uint64_t(((U(a) << 64 | a) + (U(b) << 64 | b)) >> 64); });
  wide("sub.cc.s64 %q8, %q4, %q5;\n", "subc.s64 %q9, %q5, %q4;\n",
       [](uint64_t a, uint64_t b) { return uint64_t(((U(b) << 64 | a) - (U(a) << 64 | b)) >> 64); });
  // a * b + a, 64 bits from 32-bit products of the low halves.
  wide("cvt.u32.u64 %r4, %q4; cvt.u32.u64 %r5, %q5; mad.lo.cc.u32 %r6, %r4, %r5, %r4;\n",
       "madc.hi.u32 %r7, %r4, %r5, 0; mov.b64 %q9, {%r6, %r7};\n",
       [](uint64_t a, uint64_t b) { return (a & 0xFFFFFFFF) * (b & 0xFFFFFFFF) + (a & 0xFFFFFFFF); });
}

TEST_CASE("f32 arithmetic") {
  auto both = [](const std::string &op, const std::string &tail, int n, auto f) {
    std::vector<int> bits(size_t(n), 32);
    check(
        op + tail, 32, bits,
        [f](uint64_t a, uint64_t b, uint64_t c) { return u32(f(f32(a), f32(b), f32(c))); }, floatEdges, true);
    check(
        op + ".ftz" + tail, 32, bits,
        [f](uint64_t a, uint64_t b, uint64_t c) {
          return u32(ftz(f(ftz(f32(a)), ftz(f32(b)), ftz(f32(c)))));
        },
        floatEdges, true);
  };
  both("add.rn", ".f32", 2, [](float a, float b, float) {
    volatile float r = a + b;
    return float(r);
  });
  both("sub", ".f32", 2, [](float a, float b, float) {
    volatile float r = a - b;
    return float(r);
  });
  both("mul.rn", ".f32", 2, [](float a, float b, float) {
    volatile float r = a * b;
    return float(r);
  });
  both("fma.rn", ".f32", 3, [](float a, float b, float c) { return std::fma(a, b, c); });
  both("div.rn", ".f32", 2, [](float a, float b, float) { return a / b; });
  both("rcp.approx", ".f32", 1, [](float a, float, float) { return 1.0f / a; });
  both("sqrt.rn", ".f32", 1, [](float a, float, float) { return std::sqrt(a); });
  auto zeroLess = [](float a, float b) { return a < b || (a == b && std::signbit(a) && !std::signbit(b)); };
  both("max", ".f32", 2, [=](float a, float b, float) {
    return a != a ? b : b != b ? a : zeroLess(a, b) ? b : a;
  });
  both("min", ".f32", 2, [=](float a, float b, float) {
    return a != a ? b : b != b ? a : zeroLess(b, a) ? b : a;
  });
  both("max", ".NaN.f32", 2, [=](float a, float b, float) {
    return a != a || b != b ? NAN : zeroLess(a, b) ? b : a;
  });
  check("neg.f32", 32, {32}, [](uint64_t a, uint64_t, uint64_t) { return a ^ 0x80000000; }, floatEdges);
  check("abs.f32", 32, {32}, [](uint64_t a, uint64_t, uint64_t) { return a & 0x7FFFFFFF; }, floatEdges);
  check(
      "add.sat.f32", 32, {32, 32},
      [](uint64_t a, uint64_t b, uint64_t) {
        float r = f32(a) + f32(b);
        return u32(r != r ? 0.0f : r <= 0 ? 0.0f : r > 1 ? 1.0f : r);
      },
      floatEdges, true);
  using Cmp = bool (*)(float, float);
  const std::pair<const char *, Cmp> compares[] = {
      {"eq", [](float a, float b) { return a == b; }},
      {"ne", [](float a, float b) { return a < b || a > b; }},
      {"lt", [](float a, float b) { return a < b; }},
      {"le", [](float a, float b) { return a <= b; }},
      {"gt", [](float a, float b) { return a > b; }},
      {"ge", [](float a, float b) { return a >= b; }},
      {"equ", [](float a, float b) { return !(a < b || a > b); }},
      {"neu", [](float a, float b) { return a != b; }},
      {"ltu", [](float a, float b) { return !(a >= b); }},
      {"leu", [](float a, float b) { return !(a > b); }},
      {"gtu", [](float a, float b) { return !(a <= b); }},
      {"geu", [](float a, float b) { return !(a < b); }},
      {"num", [](float a, float b) { return a == a && b == b; }},
      {"nan", [](float a, float b) { return a != a || b != b; }}};
  for (auto [name, f] : compares) {
    check(
        std::string("setp.") + name + ".f32", 1, {32, 32},
        [f = f](uint64_t a, uint64_t b, uint64_t) { return f(f32(a), f32(b)); }, floatEdges, true);
    check(
        std::string("setp.") + name + ".ftz.f32", 1, {32, 32},
        [f = f](uint64_t a, uint64_t b, uint64_t) { return f(ftz(f32(a)), ftz(f32(b))); }, floatEdges, true);
  }
}

TEST_CASE("f32 arithmetic in directed roundings") {
  struct Mode {
    const char *name;
    int host;
  };
  for (Mode m : {Mode{"rz", FE_TOWARDZERO}, {"rm", FE_DOWNWARD}, {"rp", FE_UPWARD}}) {
    // The host's own modes are the statement; volatile keeps the compiler from computing ahead.
    auto with = [m](auto f) {
      return [m, f](uint64_t a, uint64_t b, uint64_t c) {
        std::fesetround(m.host);
        volatile float x = f32(a), y = f32(b), z = f32(c), r = f(x, y, z);
        std::fesetround(FE_TONEAREST);
        return u32(r);
      };
    };
    std::string n = std::string(".") + m.name + ".f32";
    check("add" + n, 32, {32, 32},
          with([](volatile float &a, volatile float &b, volatile float &) { return a + b; }), floatEdges,
          true);
    check("sub" + n, 32, {32, 32},
          with([](volatile float &a, volatile float &b, volatile float &) { return a - b; }), floatEdges,
          true);
    check("mul" + n, 32, {32, 32},
          with([](volatile float &a, volatile float &b, volatile float &) { return a * b; }), floatEdges,
          true);
    check("fma" + n, 32, {32, 32, 32}, with([](volatile float &a, volatile float &b, volatile float &c) {
            return std::fma(float(a), float(b), float(c));
          }),
          floatEdges, true);
  }
}

TEST_CASE("approximate functions are correctly rounded stand-ins") {
  auto within = [](const char *op, auto f) {
    check(
        std::string(op) + ".ftz.f32", 32, {32},
        [f](uint64_t a, uint64_t, uint64_t) {
          float x = ftz(f32(a));
          return u32(ftz(float(f((long double)x))));
        },
        floatEdges, true);
  };
  within("ex2.approx", [](long double x) { return exp2l(x); });
  within("lg2.approx", [](long double x) { return log2l(x); });
  within("sin.approx", [](long double x) { return sinl(x); });
  within("cos.approx", [](long double x) { return cosl(x); });
  within("rsqrt.approx", [](long double x) { return 1.0L / sqrtl(x); });
  check(
      "tanh.approx.f32", 32, {32},
      [](uint64_t a, uint64_t, uint64_t) { return u32(float(tanhl((long double)f32(a)))); }, floatEdges,
      true);
  // ex2: a dense walk over fractions and scales.
  for (int start = 0; start < 24; ++start) {
    std::vector<std::vector<uint64_t>> in(1, std::vector<uint64_t>(kCount));
    for (int i = 0; i < kCount; ++i)
      in[0][i] = std::bit_cast<uint32_t>(-float(start) * 6.1f + float(i) * 0x1.03p-10f);
    auto out = evaluate("ex2.approx.f32", 32, {32}, in);
    int wrong = 0;
    for (int i = 0; i < kCount; ++i)
      wrong += out[i] != u32(float(exp2l(f32(in[0][i]))));
    CHECK(wrong == 0);
  }
}

TEST_CASE("f16 and bf16, single and packed") {
  std::vector<uint64_t> edges = {0,      0x8000, 1,      0x8001, 0x3FF,  0x400,  0x3C00, 0xBC00, 0x3C01,
                                 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x3F80, 0xBF80, 0x3F81, 0x7F7F,
                                 0xFF7F, 0x7F80, 0xFF80, 0x7FC0, 0x0080, 0x007F, 0x4000};
  for (bool bf : {false, true}) {
    std::string t = bf ? "bf16" : "f16";
    auto v = [bf](uint64_t h) { return (long double)half(h & 0xFFFF, bf); };
    auto packed = [](auto f) {
      return [f](uint64_t a, uint64_t b, uint64_t c) {
        return f(a & 0xFFFF, b & 0xFFFF, c & 0xFFFF) | f(a >> 16 & 0xFFFF, b >> 16 & 0xFFFF, c >> 16 & 0xFFFF)
                                                           << 16;
      };
    };
    auto add = [=](uint64_t a, uint64_t b, uint64_t) { return roundHalf(v(a) + v(b), bf); };
    auto mul = [=](uint64_t a, uint64_t b, uint64_t) { return roundHalf(v(a) * v(b), bf); };
    // The sum of an exact product and a third value needs more than 64 bits when they are far apart; then the
    // smaller only decides ties, so it may be replaced by a tiny value of its sign.
    auto fma = [=](uint64_t a, uint64_t b, uint64_t c) {
      long double p = v(a) * v(b), z = v(c);
      if (p != 0 && z != 0 && std::isfinite(p) && std::isfinite(z)) {
        int d = std::ilogb(p) - std::ilogb(z);
        if (d > 40)
          z = std::copysign(std::ldexp(1.0L, std::ilogb(p) - 40), z);
        else if (d < -40)
          p = std::copysign(std::ldexp(1.0L, std::ilogb(z) - 40), p);
      }
      return roundHalf(p + z, bf);
    };
    auto bigger = [=](uint64_t a, uint64_t b, uint64_t) {
      long double x = v(a), y = v(b);
      return x != x                                  ? roundHalf(y, bf)
             : y != y                                ? roundHalf(x, bf)
             : x > y || (x == y && !std::signbit(x)) ? a & 0xFFFF
                                                     : b & 0xFFFF;
    };
    check("add.rn." + t, 16, {16, 16}, add, edges);
    check("mul.rn." + t, 16, {16, 16}, mul, edges);
    check("fma.rn." + t, 16, {16, 16, 16}, fma, edges);
    check("max." + t, 16, {16, 16}, bigger, edges);
    check("neg." + t, 16, {16}, [](uint64_t a, uint64_t, uint64_t) { return a ^ 0x8000; }, edges);
    check("abs." + t, 16, {16}, [](uint64_t a, uint64_t, uint64_t) { return a & 0x7FFF; }, edges);
    check("add.rn." + t + "x2", 32, {32, 32}, packed(add), edges);
    check("mul.rn." + t + "x2", 32, {32, 32}, packed(mul), edges);
    check("fma.rn." + t + "x2", 32, {32, 32, 32}, packed(fma), edges);
    check("max." + t + "x2", 32, {32, 32}, packed(bigger), edges);
    check("setp.lt." + t, 1, {16, 16}, [=](uint64_t a, uint64_t b, uint64_t) { return v(a) < v(b); }, edges);
    check("cvt.f32." + t, 32, {16}, [=](uint64_t a, uint64_t, uint64_t) { return u32(float(v(a))); }, edges);
    check(
        "cvt.rn." + t + ".f32", 16, {32},
        [=](uint64_t a, uint64_t, uint64_t) { return roundHalf(f32(a), bf); }, floatEdges, true);
    check(
        "cvt.rn." + t + "x2.f32", 32, {32, 32},
        [=](uint64_t a, uint64_t b, uint64_t) { return roundHalf(f32(a), bf) << 16 | roundHalf(f32(b), bf); },
        floatEdges, true);
    check(
        "cvt.rz." + t + ".f32", 16, {32},
        [=](uint64_t a, uint64_t, uint64_t) {
          float x = f32(a);
          uint64_t r = roundHalf(x, bf);
          return x == x && std::fabs(half(r, bf)) > std::fabs(double(x)) ? r - 1 : r;
        },
        floatEdges, true);
  }
}

TEST_CASE("f64 arithmetic") {
  std::vector<uint64_t> edges = {0,
                                 1ull << 63,
                                 1,
                                 0x3FF0000000000000,
                                 0xBFF0000000000000,
                                 0x7FEFFFFFFFFFFFFF,
                                 0x7FF0000000000000,
                                 0xFFF0000000000000,
                                 0x7FF8000000000000,
                                 0x4000000000000000,
                                 0x3CA0000000000001,
                                 0x0010000000000000};
  auto d = [](uint64_t x) { return std::bit_cast<double>(x); };
  auto u = [](double x) { return x != x ? 0x7FF8000000000000ull : std::bit_cast<uint64_t>(x); };
  check("add.rn.f64", 64, {64, 64}, [=](uint64_t a, uint64_t b, uint64_t) { return u(d(a) + d(b)); }, edges);
  check("mul.f64", 64, {64, 64}, [=](uint64_t a, uint64_t b, uint64_t) { return u(d(a) * d(b)); }, edges);
  check(
      "fma.rn.f64", 64, {64, 64, 64},
      [=](uint64_t a, uint64_t b, uint64_t c) { return u(std::fma(d(a), d(b), d(c))); }, edges);
  check("div.rn.f64", 64, {64, 64}, [=](uint64_t a, uint64_t b, uint64_t) { return u(d(a) / d(b)); }, edges);
  check("sqrt.rn.f64", 64, {64}, [=](uint64_t a, uint64_t, uint64_t) { return u(std::sqrt(d(a))); }, edges);
  check("setp.le.f64", 1, {64, 64}, [=](uint64_t a, uint64_t b, uint64_t) { return d(a) <= d(b); }, edges);
  check("cvt.rn.f32.f64", 32, {64}, [=](uint64_t a, uint64_t, uint64_t) { return u32(float(d(a))); }, edges);
  check(
      "cvt.f64.f32", 64, {32}, [=](uint64_t a, uint64_t, uint64_t) { return u(double(f32(a))); }, floatEdges,
      true);
}

TEST_CASE("min and max of three, which targets from sm_100 on have") {
  std::vector<int> bits(3, 32);
  auto in = inputs(bits, floatEdges, 5, true);
  for (const char *tail : {".f32", ".NaN.f32"})
    for (const char *op : {"min", "max"}) {
      auto two = [&](const std::vector<uint64_t> &a, const std::vector<uint64_t> &b) {
        return evaluate(std::string(op) + tail, 32, {32, 32}, {a, b}, "sm_100");
      };
      CHECK(evaluate(std::string(op) + tail, 32, bits, in, "sm_100") == two(two(in[0], in[1]), in[2]));
    }
  std::string body = ".reg .f32 %f<4>; max.f32 %f0, %f1, %f2, %f3; ret;";
  CHECK(refusal(ptx("", body, "sm_90")).find("expected .target sm_100 or higher for 'max.f32'") !=
        std::string::npos);
}

TEST_CASE("an undefined element of a vector in local memory leaves the others defined") {
  auto run = [](const std::string &stored) {
    std::string body =
        ".local .align 8 .b8 v[16]; .reg .b32 %r<8>; .reg .b64 %q<2>; ld.param.u64 %q0, [OUT];\n"
        "st.local.u32 [v], 11; ld.local.v2.u32 {%r1, %r2}, [v];\n" // %r2 and %r3 are undefined
        "st.local.v2.u32 [v+8], {%r3, 22}; ld.local.v2.u32 {%r4, %r5}, [v+8];\n"
        "st.global.u32 [%q0], " +
        stored + "; ret;";
    auto m = parse(ptx(".param .u64 OUT", body));
    Device d;
    uint64_t out = d.make(4);
    sim::LaunchConfig c{.entry = "k", .block = {1, 1, 1}};
    c.params = Params().add(out).bytes;
    size_t findings = d.run(*m, c).findings.size();
    return std::pair(findings, d.get<uint32_t>(out, 1)[0]);
  };
  CHECK(run("%r1") == std::pair<size_t, uint32_t>(0, 11));
  CHECK(run("%r5") == std::pair<size_t, uint32_t>(0, 22));
  CHECK(run("%r2").first == 1);
  CHECK(run("%r4").first == 1);
}
