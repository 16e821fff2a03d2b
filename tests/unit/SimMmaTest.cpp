//===- SimMmaTest.cpp - the tensor core against its rule, fragments against the PTX ISA -----===//
//
// The rule is that of SimDotReference.h; the fragment tables are written from the PTX ISA's sections on
// mma.m16n8k16, m16n8k8 and ldmatrix.
//
//===----------------------------------------------------------------------===//
#include "SimDotReference.h"
#include "SimSupport.h"

#include <algorithm>

using namespace attune;
using namespace simtest;

namespace {

uint32_t step(const Number *a, const Number *b, int count, uint32_t c, int f) {
  return finish32(sumOf(a, b, count, decode(c, 8, 23), f));
}

const char *mmaBody(int k, bool tf32) {
  // a, b, c, d: for each warp the registers of all lanes, lane after lane.
  static std::string text;
  int na = tf32 ? k / 2 : k / 4, nb = na / 2;
  auto list = [](const char *p, int n) {
    std::string s = "{";
    for (int i = 0; i < n; ++i)
      s += std::string(i ? ", " : "") + "%" + p + std::to_string(i);
    return s + "}";
  };
  text = ".reg .b32 %a<4>; .reg .b32 %b<2>; .reg .f32 %c<4>; .reg .f32 %d<4>; .reg .b32 %r<8>; .reg .b64 "
         "%q<12>;\n"
         "ld.param.u64 %q0, [A]; ld.param.u64 %q1, [B]; ld.param.u64 %q2, [C]; ld.param.u64 %q3, [D];\n"
         "mov.u32 %r0, %tid.x; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mad.lo.u32 %r3, %r1, %r2, %r0;\n";
  text += "mul.wide.u32 %q4, %r3, " + std::to_string(4 * na) + "; add.u64 %q5, %q0, %q4;\n";
  text += "mul.wide.u32 %q6, %r3, " + std::to_string(4 * nb) + "; add.u64 %q7, %q1, %q6;\n";
  text += "mul.wide.u32 %q8, %r3, 16; add.u64 %q9, %q2, %q8; add.u64 %q10, %q3, %q8;\n";
  for (int i = 0; i < na; ++i)
    text += "ld.global.b32 %a" + std::to_string(i) + ", [%q5+" + std::to_string(4 * i) + "];\n";
  for (int i = 0; i < nb; ++i)
    text += "ld.global.b32 %b" + std::to_string(i) + ", [%q7+" + std::to_string(4 * i) + "];\n";
  text += "ld.global.v4.f32 " + list("c", 4) + ", [%q9];\n";
  text += "mma.sync.aligned.m16n8k" + std::to_string(k) + ".row.col.f32.TYPE.TYPE.f32 " + list("d", 4) +
          ", " + list("a", na) + ", " + list("b", nb) + ", " + list("c", 4) + ";\n";
  text += "st.global.v4.f32 [%q10], " + list("d", 4) + ";\nret;";
  return text.c_str();
}

struct Case {
  const char *type;
  int k, exponentBits, fractionBits;
};

void testDot(const Case &c, const char *target, int f, int steps, int warps) {
  CAPTURE(c.type);
  CAPTURE(c.k);
  CAPTURE(target);
  bool tf32 = std::string(c.type) == "tf32";
  std::string body = mmaBody(c.k, tf32);
  for (size_t at; (at = body.find("TYPE")) != std::string::npos;)
    body.replace(at, 4, c.type);
  auto m = parse(ptx(".param .u64 A, .param .u64 B, .param .u64 C, .param .u64 D", body, target));
  std::mt19937 rng(uint32_t(c.k * 7 + f + c.fractionBits));
  int na = tf32 ? c.k / 2 : c.k / 4, nb = na / 2;
  // Matrices first, then the registers by the ISA's tables.
  std::vector<uint32_t> A(size_t(warps) * 32 * na), B(size_t(warps) * 32 * nb), C(size_t(warps) * 128);
  std::vector<uint32_t> ma(size_t(warps) * 16 * c.k), mb(size_t(warps) * 8 * c.k), mc(size_t(warps) * 128);
  for (int w = 0; w < warps; ++w) {
    int flavour = w % 6;
    uint32_t *a = &ma[size_t(w) * 16 * c.k], *b = &mb[size_t(w) * 8 * c.k], *cc = &mc[size_t(w) * 128];
    for (int n = 0; n < 16 * c.k; ++n)
      a[n] = interesting(rng, c.exponentBits, c.fractionBits, flavour);
    for (int n = 0; n < 8 * c.k; ++n)
      b[n] = interesting(rng, c.exponentBits, c.fractionBits, flavour);
    for (int n = 0; n < 128; ++n)
      cc[n] = interesting(rng, 8, 23, rng() % 4 == 0 ? 3 : flavour);
    if (w % 7 == 3) // rows and columns of zeros, zero accumulators
      for (int n = 0; n < 128; ++n) {
        if (n < 4 * c.k)
          a[n] = 0;
        if (n < 2 * c.k)
          b[n] = 0;
        cc[n] = n % 3 ? 0 : cc[n];
      }
    for (int l = 0; l < 32; ++l) {
      int g = l / 4, t = l % 4;
      for (int r = 0; r < na; ++r) {
        uint32_t &reg = A[(size_t(w) * 32 + l) * na + r];
        int row = g + (r % 2) * 8;
        if (tf32)
          reg = a[row * c.k + t + (r / 2) * 4] << 13 | (rng() & 0x1FFF); // the low bits do not count
        else {
          int col = 2 * t + (r / 2) * 8;
          reg = a[row * c.k + col] | a[row * c.k + col + 1] << 16;
        }
      }
      for (int r = 0; r < nb; ++r) {
        uint32_t &reg = B[(size_t(w) * 32 + l) * nb + r];
        if (tf32)
          reg = b[(t + r * 4) * 8 + g] << 13;
        else {
          int row = 2 * t + r * 8;
          reg = b[row * 8 + g] | b[(row + 1) * 8 + g] << 16;
        }
      }
      for (int r = 0; r < 4; ++r)
        C[(size_t(w) * 32 + l) * 4 + r] = cc[(g + (r / 2) * 8) * 8 + 2 * t + r % 2];
    }
  }
  Device d;
  uint64_t pa = d.put(A), pb = d.put(B), pc = d.put(C), pd = d.make(C.size() * 4);
  sim::LaunchConfig config{.entry = "k", .grid = {uint32_t(warps), 1, 1}, .block = {32, 1, 1}};
  config.params = Params().add(pa).add(pb).add(pc).add(pd).bytes;
  CHECK_CLEAN(d.run(*m, config));
  auto D = d.get<uint32_t>(pd, C.size());
  int wrong = 0;
  for (int w = 0; w < warps; ++w)
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < 8; ++j) {
        Number na_[16], nb_[16];
        for (int k = 0; k < c.k; ++k) {
          na_[k] = decode(ma[(size_t(w) * 16 + i) * c.k + k], c.exponentBits, c.fractionBits);
          nb_[k] = decode(mb[(size_t(w) * c.k + k) * 8 + j], c.exponentBits, c.fractionBits);
        }
        uint32_t expected = mc[(size_t(w) * 16 + i) * 8 + j];
        for (int s = 0; s < steps; ++s)
          expected = step(na_ + s * (c.k / steps), nb_ + s * (c.k / steps), c.k / steps, expected, f);
        int lane = i % 8 * 4 + j / 2, reg = i / 8 * 2 + j % 2;
        uint32_t got = D[(size_t(w) * 32 + lane) * 4 + reg];
        if (got != expected && ++wrong < 4)
          FAIL_CHECK("warp " << w << " row " << i << " column " << j << ": expected " << std::hex << expected
                             << ", got " << got);
      }
  CHECK(wrong == 0);
}

} // namespace

TEST_CASE("mma.sync: every element follows the rule of its architecture") {
  const Case cases[] = {{"bf16", 16, 8, 7}, {"f16", 16, 5, 10}, {"bf16", 8, 8, 7},
                        {"f16", 8, 5, 10},  {"tf32", 8, 8, 10}, {"tf32", 4, 8, 10}};
  for (const Case &c : cases) {
    bool split = (c.type[0] != 't' && c.k == 16) || (c.type[0] == 't' && c.k == 8);
    testDot(c, "sm_80", 24, split ? 2 : 1, 2400);
    testDot(c, "sm_90", 25, 1, 2400);
    testDot(c, "sm_89", 24, split ? 2 : 1, 60);
    testDot(c, "sm_120", 25, 1, 60);
  }
}

namespace {

/// Runs one shape whose registers are given by a function of (register, lane), on `warps` warps, and returns
/// D.
std::vector<uint32_t> runMma(const std::string &instruction, const char *target, int na, int nb, int nc,
                             int warps, const std::vector<uint32_t> &A, const std::vector<uint32_t> &B,
                             const std::vector<uint32_t> &C) {
  auto list = [](const char *p, int n) {
    std::string s = "{";
    for (int i = 0; i < n; ++i)
      s += std::string(i ? ", " : "") + "%" + p + std::to_string(i);
    return s + "}";
  };
  std::string body =
      ".reg .b32 %a<4>; .reg .b32 %b<2>; .reg .b32 %c<4>; .reg .b32 %d<4>; .reg .b32 %r<4>; .reg .b64 "
      "%q<8>;\n"
      "mov.u32 %r0, %tid.x; mov.u32 %r1, %ctaid.x; shl.b32 %r2, %r1, 5; add.u32 %r3, %r2, %r0;\n";
  auto pointer = [&](const char *param, int n) {
    body += std::string("ld.param.u64 %q0, [") + param + "]; mul.wide.u32 %q1, %r3, " +
            std::to_string(4 * n) + "; add.u64 %q2, %q0, %q1;\n";
  };
  auto loads = [&](const char *param, const char *reg, int n) {
    pointer(param, n);
    for (int i = 0; i < n; ++i)
      body += "ld.global.b32 %" + std::string(reg) + std::to_string(i) + ", [%q2+" + std::to_string(4 * i) +
              "];\n";
  };
  loads("A", "a", na);
  loads("B", "b", nb);
  loads("C", "c", nc);
  body += instruction + " " + list("d", nc) + ", " + list("a", na) + ", " + list("b", nb) + ", " +
          list("c", nc) + ";\n";
  pointer("D", nc);
  for (int i = 0; i < nc; ++i)
    body += "st.global.b32 [%q2+" + std::to_string(4 * i) + "], %d" + std::to_string(i) + ";\n";
  auto m = parse(ptx(".param .u64 A, .param .u64 B, .param .u64 C, .param .u64 D", body + "ret;", target));
  Device d;
  uint64_t pa = d.put(A), pb = d.put(B), pc = d.put(C), pd = d.make(C.size() * 4);
  sim::LaunchConfig config{.entry = "k", .grid = {uint32_t(warps), 1, 1}, .block = {32, 1, 1}};
  config.params = Params().add(pa).add(pb).add(pc).add(pd).bytes;
  CHECK_CLEAN(d.run(*m, config));
  return d.get<uint32_t>(pd, C.size());
}

/// Place of byte (m, k) of A and (k, n) of B for 8-bit operands: register, lane, byte.
struct Place {
  int reg, lane, byte;
};
Place byteA(int m, int k) { return {k / 16 * 2 + m / 8, m % 8 * 4 + k % 16 / 4, k % 4}; }
Place byteB(int k, int n) { return {k / 16, n * 4 + k % 16 / 4, k % 4}; }

} // namespace

TEST_CASE("mma.sync of 8-bit integers and fp8") {
  std::mt19937 rng(17);
  const int warps = 200;
  for (int k : {16, 32}) {
    int na = k / 8, nb = k / 16;
    std::vector<uint32_t> A(size_t(warps) * 32 * na), B(size_t(warps) * 32 * nb), C(size_t(warps) * 128);
    for (auto *v : {&A, &B, &C})
      for (uint32_t &x : *v)
        x = rng();
    auto get = [](const std::vector<uint32_t> &v, int w, int n, Place p) {
      return uint8_t(v[(size_t(w) * 32 + p.lane) * n + p.reg] >> (8 * p.byte));
    };
    for (const char *types : {"s8.s8", "u8.u8", "s8.u8"})
      for (bool saturate : {false, true}) {
        auto D = runMma("mma.sync.aligned.m16n8k" + std::to_string(k) + ".row.col" +
                            (saturate ? ".satfinite" : "") + ".s32." + types + ".s32",
                        "sm_80", na, nb, 4, warps, A, B, C);
        for (int w = 0; w < warps; ++w)
          for (int i = 0; i < 16; ++i)
            for (int j = 0; j < 8; ++j) {
              size_t at = (size_t(w) * 32 + i % 8 * 4 + j / 2) * 4 + i / 8 * 2 + j % 2;
              int64_t sum = int32_t(C[at]);
              for (int x = 0; x < k; ++x) {
                uint8_t a = get(A, w, na, byteA(i, x)), b = get(B, w, nb, byteB(x, j));
                sum += int64_t(types[0] == 's' ? int8_t(a) : int(a)) * (types[3] == 's' ? int8_t(b) : int(b));
              }
              if (saturate)
                sum = std::min<int64_t>(INT32_MAX, std::max<int64_t>(INT32_MIN, sum));
              REQUIRE(D[at] == uint32_t(sum));
            }
      }
    if (k == 16)
      continue;
    for (const char *target : {"sm_89", "sm_90", "sm_120"})
      for (const char *types : {"e4m3.e4m3", "e5m2.e4m3"}) {
        for (size_t n = 0; n < C.size(); ++n) // accumulators near the products
          C[n] = (rng() & 0x807FFFFF) | (100 + rng() % 50) << 23;
        auto D = runMma(std::string("mma.sync.aligned.m16n8k32.row.col.f32.") + types + ".f32", target, na,
                        nb, 4, warps, A, B, C);
        bool ada = std::string(target) == "sm_89", hopper = std::string(target) == "sm_90";
        int steps = ada ? 2 : 1;
        // On Hopper f16 instructions do it: numbers as f16 has them, the lower halves of the registers first.
        auto asHalf = [](Number n) {
          while (n.significand && !(n.significand >> n.fraction) && n.exponent > -14) {
            n.significand *= 2;
            --n.exponent;
          }
          return n;
        };
        for (int w = 0; w < warps; ++w)
          for (int i = 0; i < 16; ++i)
            for (int j = 0; j < 8; ++j) {
              Number a[32], b[32];
              for (int x = 0; x < 32; ++x) {
                uint8_t u = get(A, w, na, byteA(i, x)), v = get(B, w, nb, byteB(x, j));
                a[x] = types[1] == '5' ? decode(u, 5, 2) : decode(u, 4, 3, false);
                b[x] = decode(v, 4, 3, false);
              }
              size_t at = (size_t(w) * 32 + i % 8 * 4 + j / 2) * 4 + i / 8 * 2 + j % 2;
              uint32_t c = C[at];
              if (hopper) {
                uint32_t sum = 0;
                for (int upper : {0, 2}) {
                  Number x[16], y[16];
                  for (int p = 0; p < 16; ++p) {
                    x[p] = asHalf(a[p / 2 * 4 + upper + p % 2]);
                    y[p] = asHalf(b[p / 2 * 4 + upper + p % 2]);
                  }
                  sum = finish32(sumOf(x, y, 16, decode(sum, 8, 23), 25));
                }
                float total = std::bit_cast<float>(c) + std::bit_cast<float>(sum);
                c = total != total ? 0x7FFFFFFF : std::bit_cast<uint32_t>(total);
                REQUIRE(D[at] == c);
                continue;
              }
              for (int s = 0; s < steps; ++s)
                c = finish32(sumOf(a + s * 32 / steps, b + s * 32 / steps, 32 / steps, decode(c, 8, 23),
                                   ada ? 13 : 25),
                             ada ? 13 : 23);
              REQUIRE(D[at] == c);
            }
      }
  }
}

TEST_CASE("mma.sync with f16 accumulators") {
  std::mt19937 rng(23);
  const int warps = 300;
  for (int k : {8, 16})
    for (const char *target : {"sm_80", "sm_90"}) {
      int na = k / 4, nb = k / 8;
      std::vector<uint32_t> A(size_t(warps) * 32 * na), B(size_t(warps) * 32 * nb), C(size_t(warps) * 64);
      for (auto *v : {&A, &B, &C})
        for (size_t n = 0; n < v->size(); ++n) {
          int flavour = int(n / (v->size() / warps)) % 5;
          (*v)[n] = interesting(rng, 5, 10, flavour) | interesting(rng, 5, 10, flavour) << 16;
        }
      auto D = runMma("mma.sync.aligned.m16n8k" + std::to_string(k) + ".row.col.f16.f16.f16.f16", target, na,
                      nb, 2, warps, A, B, C);
      bool hopper = std::string(target) == "sm_90";
      int steps = !hopper && k == 16 ? 2 : 1;
      for (int w = 0; w < warps; ++w)
        for (int i = 0; i < 16; ++i)
          for (int j = 0; j < 8; ++j) {
            Number a[16], b[16];
            for (int x = 0; x < k; ++x) {
              int t = x % 8 / 2;
              a[x] = decode(A[(size_t(w) * 32 + i % 8 * 4 + t) * na + x / 8 * 2 + i / 8] >> (x % 2 * 16) &
                                0xFFFF,
                            5, 10);
              b[x] = decode(B[(size_t(w) * 32 + j * 4 + t) * nb + x / 8] >> (x % 2 * 16) & 0xFFFF, 5, 10);
            }
            size_t at = (size_t(w) * 32 + i % 8 * 4 + j / 2) * 2 + i / 8;
            uint32_t c = C[at] >> (j % 2 * 16) & 0xFFFF;
            for (int s = 0; s < steps; ++s)
              c = finish16(
                  sumOf(a + s * k / steps, b + s * k / steps, k / steps, decode(c, 5, 10), hopper ? 25 : 24));
            REQUIRE((D[at] >> (j % 2 * 16) & 0xFFFF) == c);
          }
    }
}

TEST_CASE("ldmatrix and stmatrix move the elements that the PTX ISA's figures say") {
  for (int n : {1, 2, 4})
    for (bool trans : {false, true})
      for (bool store : {false, true}) {
        std::string x = "x" + std::to_string(n), t = trans ? ".trans" : "", regs = "{";
        for (int i = 0; i < n; ++i)
          regs += std::string(i ? ", " : "") + "%a" + std::to_string(i);
        regs += "}";
        // Shared memory holds n matrices, row r of matrix m at 16 * (8 m + r); memory is copied word by word.
        std::string body =
            ".shared .align 16 .b8 s[512]; .reg .b32 %a<4>; .reg .b32 %r<8>; .reg .b64 %q<6>;\n"
            "ld.param.u64 %q0, [IN]; ld.param.u64 %q1, [OUT]; mov.u32 %r0, %tid.x; mov.u32 %r1, s;\n"
            "shl.b32 %r2, %r0, 4; add.u32 %r3, %r1, %r2; mul.wide.u32 %q2, %r0, 16; add.u64 %q3, %q0, %q2; "
            "add.u64 %q4, %q1, %q2;\n"
            "ld.global.v4.b32 {%a0, %a1, %a2, %a3}, [%q3];\n";
        if (store)
          body +=
              "stmatrix.sync.aligned.m8n8." + x + t + ".shared.b16 [%r3], " + regs +
              ";\n"
              "bar.warp.sync 0xffffffff; and.b32 %r4, %r0, " +
              std::to_string(8 * n - 1) +
              "; shl.b32 %r4, %r4, 4; add.u32 %r3, %r1, %r4; ld.shared.v4.b32 {%a0, %a1, %a2, %a3}, [%r3];\n";
        else
          body += "st.shared.v4.b32 [%r3], {%a0, %a1, %a2, %a3}; bar.warp.sync 0xffffffff;\n"
                  "mov.b32 %a1, 0; mov.b32 %a2, 0; mov.b32 %a3, 0;\nldmatrix.sync.aligned.m8n8." +
                  x + t + ".shared.b16 " + regs + ", [%r3];\n";
        body += "st.global.v4.b32 [%q4], {%a0, %a1, %a2, %a3}; ret;";
        auto m = parse(ptx(".param .u64 IN, .param .u64 OUT", body, "sm_90"));
        std::vector<uint16_t> in(256);
        for (int i = 0; i < 256; ++i)
          in[i] = uint16_t(i * 3 + 1);
        Device d;
        uint64_t pi = d.put(in), po = d.make(512);
        sim::LaunchConfig config{.entry = "k"};
        config.params = Params().add(pi).add(po).bytes;
        CHECK_CLEAN(d.run(*m, config));
        auto out = d.get<uint16_t>(po, 256);
        for (int l = 0; l < 32; ++l)
          for (int r = 0; r < n; ++r)
            for (int h = 0; h < 2; ++h) {
              int row = trans ? l % 4 * 2 + h : l / 4, col = trans ? l / 4 : l % 4 * 2 + h;
              if (store) // register r of lane l went to (row, col) of matrix r
                REQUIRE(out[(8 * r + row) * 8 + col] == in[l * 8 + r * 2 + h]);
              else
                REQUIRE(out[l * 8 + r * 2 + h] == in[(8 * r + row) * 8 + col]);
            }
      }
}
