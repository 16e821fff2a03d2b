//===- SimWgmmaTest.cpp - wgmma: shapes, types, layouts, arithmetic -------------------===//
//
// Elements are placed in shared memory by the PTX ISA's words on matrix layouts, stated here for the tests
// alone, in bytes: tiles of 8 rows ("core matrices", or the rows of a swizzle pattern) and their strides.
//
//===----------------------------------------------------------------------===//
#include "SimDotReference.h"
#include "SimSupport.h"

#include <fmt/format.h>
#include <set>

using namespace attune;
using namespace simtest;

namespace {

struct ElementType {
  const char *name;
  int bytes, exponentBits, fractionBits; ///< exponentBits 0: an integer
  bool ieee = true;
};
const ElementType F16{"f16", 2, 5, 10}, BF16{"bf16", 2, 8, 7}, TF32{"tf32", 4, 8, 10},
    E4M3{"e4m3", 1, 4, 3, false}, E5M2{"e5m2", 1, 5, 2}, S8{"s8", 1, 0, 0}, U8{"u8", 1, 0, 0};

/// A matrix of `rows` rows (of A, or columns of B) in shared memory.
struct Layout {
  int swizzle = 128; ///< bytes; 0: none
  bool kMajor = true;
  int leading = 0, stride = 0; ///< bytes
  int start = 0;               ///< of the matrix, from the start of its buffer
  int base = 0;                ///< base offset

  /// Where byte `b` of the 32 bytes of k of a row is; MN-major, `b` is 2 k or 2 k + 1.
  int place(int row, int b, int shared) const {
    int at;
    if (kMajor && swizzle == 0) // core matrices of 8 rows of 16 bytes
      at = row / 8 * stride + b / 16 * leading + row % 8 * 16 + b % 16;
    else if (kMajor) // rows of the pattern are rows of the matrix
      at = row / 8 * stride + row % 8 * swizzle + b;
    else if (swizzle == 0) { // core matrices of 8 k of 8 elements
      int k = b / 2;
      at = row / 8 * stride + k / 8 * leading + k % 8 * 16 + row % 8 * 2 + b % 2;
    } else { // rows of the pattern are k
      int k = b / 2, across = swizzle / 2;
      at = row / across * leading + k / 8 * stride + k % 8 * swizzle + row % across * 2 + b % 2;
    }
    at += start + shared;
    if (swizzle) { // unit u of row r of the pattern is stored at unit u xor r
      int r = (at / 128 - base) & 7, units = swizzle / 16;
      int unit = at / 16 % units;
      at += ((unit ^ (r % units)) - unit) * 16;
    }
    return at - shared;
  }
  uint64_t descriptor(int buffer) const {
    int mode = swizzle == 0 ? 0 : swizzle == 128 ? 1 : swizzle == 64 ? 2 : 3;
    auto field = [](int bytes) { return uint64_t(bytes >> 4 & 0x3FFF); };
    return field(buffer + start) | field(leading) << 16 | field(stride) << 32 | uint64_t(base) << 49 |
           uint64_t(mode) << 62;
  }
};

struct Case {
  int n;
  ElementType a, b;
  const char *d = "f32";
  bool aRegisters = false;
  Layout la = {}, lb = {};
  int scale = 1; ///< of D
  bool negateA = false, negateB = false, saturate = false;
  int flavour = 0;
  int k() const { return 32 / a.bytes; }
  std::string opcode() const {
    return fmt::format("wgmma.mma_async.sync.aligned.m64n{}k{}.{}.{}.{}{}", n, k(), d, a.name, b.name,
                       saturate ? ".satfinite" : "");
  }
};

constexpr int kABytes = 32768, kBBytes = 65536; ///< room for each matrix

std::string list(const char *prefix, int n) {
  std::string s = "{";
  for (int i = 0; i < n; ++i)
    s += fmt::format("{}%{}{}", i ? ", " : "", prefix, i);
  return s + "}";
}

std::string kernelOf(const Case &c) {
  bool half = std::string(c.d) == "f16";
  int regs = half ? c.n / 4 : c.n / 2;
  std::string body = fmt::format(
      ".extern .shared .align 1024 .b8 s[];\n.reg .b32 %d<{}>; .reg .b32 %a<4>; .reg .b32 %r<8>; .reg .b64 "
      "%q<12>; .reg .pred %p<4>;\nmov.u32 %r0, %tid.x; mov.u32 %r1, s;\n"
      "ld.param.u64 %q0, [image]; ld.param.u64 %q1, [A]; ld.param.u64 %q2, [D]; ld.param.u64 %q3, [descA]; "
      "ld.param.u64 %q4, [descB];\nshl.b32 %r2, %r0, 4; mul.wide.u32 %q5, %r0, 16;\nadd.u64 %q6, %q0, %q5; "
      "add.u32 %r3, %r1, %r2; mov.u32 %r4, 0;\nCOPY: ld.global.v4.b32 {{%a0, %a1, %a2, %a3}}, [%q6]; "
      "st.shared.v4.b32 [%r3], {{%a0, %a1, %a2, %a3}}; add.u64 %q6, %q6, 2048; add.u32 %r3, %r3, 2048; "
      "add.u32 "
      "%r4, %r4, 2048; setp.lt.u32 %p0, %r4, {}; @%p0 bra COPY;\nfence.proxy.async; bar.sync 0;\n"
      "and.b32 %r5, %r1, 262143; shr.u32 %r5, %r5, 4; cvt.u64.u32 %q7, %r5; add.u64 %q3, %q3, %q7; add.u64 "
      "%q4, %q4, %q7;\nmul.wide.u32 %q8, %r0, {}; add.u64 %q9, %q2, %q8; mul.wide.u32 %q10, %r0, 16; add.u64 "
      "%q11, %q1, %q10;\n",
      regs, kABytes + kBBytes, 4 * regs);
  for (int r = 0; r < regs; ++r)
    body += fmt::format("ld.global.b32 %d{}, [%q9+{}];\n", r, 4 * r);
  body += "ld.global.v4.b32 {%a0, %a1, %a2, %a3}, [%q11];\n";
  body += fmt::format("setp.ne.b32 %p1, {}, 0;\nwgmma.fence.sync.aligned;\n{} {}, {}, %q4, %p1", c.scale,
                      c.opcode(), list("d", regs), c.aRegisters ? list("a", 4) : "%q3");
  if (c.a.exponentBits) {
    body += fmt::format(", {}, {}", c.negateA ? -1 : 1, c.negateB ? -1 : 1);
    if (c.a.bytes == 2)
      body += (c.aRegisters ? "" : c.la.kMajor ? ", 0" : ", 1") + std::string(c.lb.kMajor ? ", 0" : ", 1");
  }
  body += ";\nwgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n";
  for (int r = 0; r < regs; ++r)
    body += fmt::format("st.global.b32 [%q9+{}], %d{};\n", 4 * r, r);
  return ptx(".param .u64 image, .param .u64 A, .param .u64 D, .param .u64 descA, .param .u64 descB",
             body + "ret;", "sm_90a");
}

uint32_t element(std::mt19937 &rng, const ElementType &t, int flavour) {
  if (!t.exponentBits)
    return flavour == 5 ? (rng() & 1 ? 0x7F : 0x80) : rng() & 0xFF;
  if (!t.ieee && flavour == 4) // no infinities; NaN is all ones
    return rng() % 40 == 0 ? 0x7F : rng() & 0xFF;
  uint32_t bits = interesting(rng, t.exponentBits, t.fractionBits, flavour);
  if (!t.ieee && flavour != 4 && (bits & 0x7F) == 0x7F)
    bits &= ~1u;
  return bits;
}

Number number(const ElementType &t, uint32_t bits, bool negate) {
  Number n = decode(bits, t.exponentBits, t.fractionBits, t.ieee);
  n.negative ^= negate;
  return n;
}

uint32_t expected(const Case &c, const uint32_t *a, const uint32_t *b, uint32_t d) {
  if (!c.scale)
    d = 0;
  if (!c.a.exponentBits) {
    int64_t sum = int32_t(d);
    for (int k = 0; k < c.k(); ++k)
      sum += int64_t(c.a.name[0] == 's' ? int8_t(a[k]) : int(a[k])) *
             (c.b.name[0] == 's' ? int8_t(b[k]) : int(b[k]));
    return uint32_t(c.saturate ? std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX) : sum);
  }
  Number na[32], nb[32];
  for (int k = 0; k < c.k(); ++k) {
    na[k] = number(c.a, a[k], c.negateA);
    nb[k] = number(c.b, b[k], c.negateB);
  }
  bool half = std::string(c.d) == "f16", bytes = c.a.bytes == 1;
  Number nc = half ? decode(d, 5, 10) : decode(d, 8, 23);
  Sum s = sumOf(na, nb, c.k(), nc, bytes ? 13 : 25);
  return half ? finish16(s) : finish32(s, bytes ? 13 : 23);
}

void put(std::vector<uint8_t> &image, int at, uint32_t bits, int bytes) {
  REQUIRE(at + bytes <= int(image.size()));
  std::memcpy(image.data() + at, &bits, size_t(bytes));
}

/// Runs the case in a mode and compares each element.
void test(const Case &c, sim::Mode mode, uint32_t seed) {
  std::string what = fmt::format("{} A {} swizzle {}/{} {} {} scale {} flavour {}", c.opcode(),
                                 c.aRegisters ? "registers" : "shared", c.la.swizzle, c.lb.swizzle,
                                 c.la.kMajor ? "k" : "m", c.lb.kMajor ? "k" : "n", c.scale, c.flavour);
  CAPTURE(what);
  static std::map<std::string, std::shared_ptr<const sim::Module>> modules;
  std::string text = kernelOf(c);
  auto &module = modules[text];
  if (!module)
    module = parse(text);
  std::mt19937 rng(seed * 977 + uint32_t(c.n));
  int k = c.k(), bytes = c.a.bytes;
  bool half = std::string(c.d) == "f16";
  std::vector<uint32_t> a(size_t(64 * k)), b(size_t(c.n * k)), d(size_t(64 * c.n));
  for (uint32_t &x : a)
    x = element(rng, c.a, c.flavour);
  for (uint32_t &x : b)
    x = element(rng, c.b, c.flavour);
  for (uint32_t &x : d)
    x = !c.a.exponentBits ? (c.flavour == 5 ? 0x7FFFFF00u + rng() % 256 : rng())
        : half            ? interesting(rng, 5, 10, c.flavour)
                          : interesting(rng, 8, 23, c.flavour);
  std::vector<uint8_t> image(kABytes + kBBytes);
  for (uint8_t &x : image)
    x = uint8_t(rng());
  constexpr int shared = 1024; // where shared memory begins in the simulator
  auto place = [&](const Layout &l, const std::vector<uint32_t> &m, int rows, int buffer,
                   const ElementType &t) {
    for (int r = 0; r < rows; ++r)
      for (int x = 0; x < k; ++x) {
        uint32_t bits = m[size_t(r * k + x)];
        if (t.bytes == 4)
          bits = bits << 13 | (rng() & 0x1FFF); // the low bits do not count
        put(image, buffer + l.place(r, x * bytes, shared + buffer), bits, bytes);
      }
  };
  if (!c.aRegisters)
    place(c.la, a, 64, 0, c.a);
  place(c.lb, b, c.n, kABytes, c.b);
  std::vector<uint32_t> fragments(128 * 4), registers(size_t(128 * (half ? c.n / 4 : c.n / 2)));
  for (int thread = 0; thread < 128; ++thread) // PTX ISA, "register fragment of A": rows g, g + 8, then k
    for (int r = 0; r < 4; ++r) {
      int row = thread / 32 * 16 + thread % 32 / 4 + (r % 2) * 8;
      for (int x = 0; x < 4 / bytes; ++x) {
        int col = thread % 4 * (4 / bytes) + x + r / 2 * (16 / bytes);
        uint32_t bits = a[size_t(row * k + col)];
        fragments[size_t(thread * 4 + r)] |=
            bytes == 4 ? bits << 13 | (rng() & 0x1FFF) : bits << (8 * bytes * x);
      }
    }
  // "Register fragment of D": columns 8 j + 2 t + {0, 1} of row g, then of row g + 8.
  auto at = [&](int row, int col) {
    int thread = row / 16 * 32 + row % 8 * 4 + col % 8 / 2;
    return std::pair<int, int>{thread, col / 8 * 4 + row % 16 / 8 * 2 + col % 2};
  };
  int regs = half ? c.n / 4 : c.n / 2;
  for (int row = 0; row < 64; ++row)
    for (int col = 0; col < c.n; ++col) {
      auto [thread, e] = at(row, col);
      uint32_t bits = d[size_t(row * c.n + col)];
      if (half)
        registers[size_t(thread * regs + e / 2)] |= bits << (e % 2 * 16);
      else
        registers[size_t(thread * regs + e)] = bits;
    }
  Device device;
  uint64_t pi = device.put(image), pa = device.put(fragments), pd = device.put(registers);
  sim::LaunchConfig config{.entry = "k", .grid = {1, 1, 1}, .block = {128, 1, 1}};
  config.dynamicShared = kABytes + kBBytes;
  config.mode = mode;
  config.seed = seed;
  config.params =
      Params().add(pi).add(pa).add(pd).add(c.la.descriptor(0)).add(c.lb.descriptor(kABytes)).bytes;
  CHECK_CLEAN(device.run(*module, config));
  auto got = device.get<uint32_t>(pd, registers.size());
  int wrong = 0;
  for (int row = 0; row < 64; ++row)
    for (int col = 0; col < c.n; ++col) {
      auto [thread, e] = at(row, col);
      uint32_t x =
          half ? got[size_t(thread * regs + e / 2)] >> (e % 2 * 16) & 0xFFFF : got[size_t(thread * regs + e)];
      uint32_t y = expected(c, &a[size_t(row * k)], &b[size_t(col * k)], d[size_t(row * c.n + col)]);
      if (x != y && ++wrong < 4)
        FAIL_CHECK("row " << row << " column " << col << ": expected " << std::hex << y << ", got " << x);
    }
  REQUIRE(wrong == 0);
}

/// Strides of a matrix of `rows` rows, packed, or with room between.
Layout layout(int swizzle, bool kMajor, int rows, int gap = 0) {
  Layout l;
  l.swizzle = swizzle;
  l.kMajor = kMajor;
  if (swizzle == 0) { // tiles of 128 bytes: first those of a row of tiles, or of a column
    l.stride = kMajor ? 256 + gap * 128 : 256 + gap * 128;
    l.leading = 128;
  } else if (kMajor) {
    l.stride = 8 * swizzle * (1 + gap);
    l.leading = 16; // has no meaning
  } else {
    l.stride = 8 * swizzle;
    l.leading = 2 * l.stride * (1 + gap);
  }
  (void)rows;
  return l;
}

} // namespace

TEST_CASE("wgmma: every width, in all modes") {
  for (int n = 8; n <= 256; n += 8) {
    Case c{n, BF16, BF16};
    c.la = layout(128, true, 64);
    c.lb = layout(n % 16 ? 128 : 64, true, n);
    for (sim::Mode mode : {sim::Mode::Eager, sim::Mode::Lazy, sim::Mode::Random})
      test(c, mode, uint32_t(n));
  }
}

TEST_CASE("wgmma: every type and operand form follows its rule") {
  struct Types {
    ElementType a, b;
    const char *d;
  };
  const Types all[] = {{F16, F16, "f32"},   {F16, F16, "f16"},   {BF16, BF16, "f32"}, {TF32, TF32, "f32"},
                       {E4M3, E4M3, "f32"}, {E4M3, E5M2, "f32"}, {E5M2, E4M3, "f32"}, {E5M2, E5M2, "f32"},
                       {E4M3, E4M3, "f16"}, {E4M3, E5M2, "f16"}, {E5M2, E4M3, "f16"}, {E5M2, E5M2, "f16"},
                       {S8, S8, "s32"},     {S8, U8, "s32"},     {U8, S8, "s32"},     {U8, U8, "s32"}};
  uint32_t seed = 0;
  for (const Types &t : all)
    for (bool registers : {false, true})
      for (int flavour = 0; flavour < 6; ++flavour)
        for (int form = 0; form < 3; ++form) {
          bool real = t.a.exponentBits;
          Case c{form == 0 ? 64 : form == 1 ? 8 : 24, t.a, t.b, t.d, registers};
          c.la = layout(128, true, 64);
          c.lb = layout(32, true, c.n);
          c.flavour = flavour;
          c.scale = form != 1;
          c.negateA = real && form == 2;
          c.negateB = real && form == 1;
          c.saturate = !real && form == 2;
          test(c, sim::Mode(seed % 3), seed);
          ++seed;
        }
}

TEST_CASE("wgmma: every layout of shared memory") {
  uint32_t seed = 100;
  for (int swizzle : {0, 32, 64, 128})
    for (bool kMajor : {true, false})
      for (int gap : {0, 1})
        for (int n : {8, 64, 136, 256})
          for (bool matrixB : {false, true}) {
            if (gap && n == 256 && swizzle == 128 && kMajor)
              continue; // does not fit
            Case c{n, BF16, BF16};
            c.la = layout(matrixB ? 128 : swizzle, matrixB || kMajor, 64, matrixB ? 0 : gap);
            c.lb = layout(matrixB ? swizzle : 128, matrixB ? kMajor : true, n, matrixB ? gap : 0);
            test(c, sim::Mode(seed % 3), seed);
            ++seed;
          }
  // Steps of k inside of a pattern, as kernels advance the start address.
  for (int swizzle : {64, 128})
    for (int step = 32; step < swizzle; step += 32) {
      Case c{64, F16, F16};
      c.la = layout(swizzle, true, 64);
      c.lb = layout(swizzle, true, 64);
      c.la.start = c.lb.start = step;
      test(c, sim::Mode::Lazy, seed++);
    }
  // A pattern that begins at another row: the base offset.
  for (int base = 1; base < 8; ++base) {
    Case c{64, F16, F16};
    c.la = layout(128, true, 64);
    c.lb = layout(128, true, 64);
    c.lb.start = 128 * base;
    c.lb.base = base;
    test(c, sim::Mode::Lazy, seed++);
  }
}

TEST_CASE("wgmma: the layouts of shared memory are bijections") {
  for (int swizzle : {0, 32, 64, 128})
    for (bool kMajor : {true, false})
      for (int rows : {8, 64, 256}) {
        Layout l = layout(swizzle, kMajor, rows);
        std::set<int> places;
        for (int r = 0; r < rows; ++r)
          for (int b = 0; b < 32; ++b)
            places.insert(l.place(r, b, 1024));
        CHECK(places.size() == size_t(rows) * 32);
      }
}

TEST_CASE("wgmma: what it does not take is refused with a reason") {
  auto refused = [](const std::string &instruction, const std::string &why, const char *target = "sm_90a") {
    std::string body =
        ".reg .f32 %f<4>; .reg .b32 %r<4>; .reg .b64 %q<2>; .reg .pred %p;\nmov.u64 %q0, 0; mov.u64 "
        "%q1, 0; setp.eq.u32 %p, 0, 0;\n" +
        instruction + ";\nret;";
    std::string text = refusal(ptx("", body, target));
    CHECK_MESSAGE(text.find(why) != std::string::npos, text);
  };
  std::string d = "{%f0, %f1, %f2, %f3}", tail = " " + d + ", %q0, %q1, %p, 1, 1, 0, 0";
  std::string mma = "wgmma.mma_async.sync.aligned.";
  refused(mma + "m64n8k16.f32.bf16.bf16" + tail, "expected .target sm_90a", "sm_90");
  refused("wgmma.mma_async.sp.sync.aligned.m64n8k32.f32.bf16.bf16" + tail, "sparse");
  refused(mma + "m64n8k256.s32.b1.b1.and.popc " + d + ", %q0, %q1, %p", "unsupported");
  refused(mma + "m64n12k16.f32.bf16.bf16" + tail, "unsupported");
  refused(mma + "m64n264k16.f32.bf16.bf16" + tail, "unsupported");
  refused(mma + "m64n40k32.s32.s8.s8 " + d + ", %q0, %q1, %p", "unsupported");
  refused(mma + "m64n8k16.f16.bf16.bf16 {%r0, %r1}, %q0, %q1, %p, 1, 1, 0, 0", "unsupported");
  refused(mma + "m64n8k16.f32.bf16.bf16 {%f0, %f1}, %q0, %q1, %p, 1, 1, 0, 0", "vector of 4 registers");
  refused(mma + "m64n8k16.f32.bf16.bf16 " + d + ", %q0, %q1, %p, 2, 1, 0, 0", "1 or -1");
  refused(mma + "m64n8k16.f32.bf16.bf16 " + d + ", %q0, %q1, %p, 1, 1, 0, 2", "0 or 1");
  refused(mma + "m64n8k8.f32.tf32.tf32 " + d + ", %q0, %q1, %p, 1, 1, 0, 0", "expected 6 operands");
  refused("wgmma.wait_group.sync.aligned %r0", "constant number of groups");
  refused("setmaxnreg.inc.sync.aligned.u32 20", "multiple of 8 from 24 to 256");
  refused("setmaxnreg.dec.sync.aligned.u32 44", "multiple of 8 from 24 to 256");
}
