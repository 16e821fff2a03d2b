//===- MatrixOther.cpp - mma.sync with f16 accumulators, fp8 and 8-bit integers -===//
//
// Fragments of 8-bit operands (PTX ISA, mma.m16n8k32), lane = 4 g + t: a0 row g, a1 row g + 8, columns 4t ...
// 4t+3; a2, a3 the same with columns + 16; b0 rows 4t ... 4t+3 of column g, b1 rows + 16. m16n8k16 has the
// first half of these.
//
//===----------------------------------------------------------------------===//
#include "simulator/DotRule.h"
#include "simulator/Exec.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace attune::sim {

static uint32_t *words(Warp &w, uint32_t offset) { return reinterpret_cast<uint32_t *>(w.regs + offset); }

/// The registers of an instruction: lists hold D, A, B, C.
struct Fragments {
  uint32_t a[4][32], b[2][32], c[4][32];
  uint32_t *d[4];
  Fragments(Warp &w, const Inst &i, int bRegs, int cRegs) {
    const uint32_t *list = &w.program->lists[i.list];
    for (int r = 0; r < cRegs; ++r)
      d[r] = words(w, *list++);
    for (int r = 0; r < 2 * bRegs; ++r)
      std::memcpy(a[r], words(w, *list++), 128);
    for (int r = 0; r < bRegs; ++r)
      std::memcpy(b[r], words(w, *list++), 128);
    for (int r = 0; r < cRegs; ++r)
      std::memcpy(c[r], words(w, *list++), 128);
  }
  /// Element (m, k) of A and (k, n) of B, `per` elements a register, each of 32 / per bits.
  uint32_t elementA(int m, int k, int per) const {
    int half = k / (4 * per), in = k % (4 * per);
    return a[2 * half + m / 8][m % 8 * 4 + in / per] >> (32 / per * (in % per)) &
           (per == 4 ? 0xFFu : 0xFFFFu);
  }
  uint32_t elementB(int k, int n, int per) const {
    int half = k / (4 * per), in = k % (4 * per);
    return b[half][n * 4 + in / per] >> (32 / per * (in % per)) & (per == 4 ? 0xFFu : 0xFFFFu);
  }
};

/// aux: bit 0 A is signed (or e5m2), bit 1 the same for B, bit 2 .satfinite; count: B registers.
static void mmaInt8(Warp &w, const Inst &i) {
  if (!converge(w, i, w.live, true))
    return;
  Fragments f(w, i, i.count, 4);
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n) {
      int lane = m % 8 * 4 + n / 2, reg = m / 8 * 2 + n % 2;
      int64_t sum = int32_t(f.c[reg][lane]);
      for (int k = 0; k < 16 * i.count; ++k) {
        uint32_t a = f.elementA(m, k, 4), b = f.elementB(k, n, 4);
        sum += int64_t(i.aux & 1 ? int8_t(a) : int(a)) * (i.aux & 2 ? int8_t(b) : int(b));
      }
      if (i.aux & 4)
        sum = std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX);
      f.d[reg][lane] = uint32_t(sum);
    }
  w.worker->counters.multiplyAdds += 16 * 8 * 16 * i.count;
}

/// width: F; imm: steps; an F of 13 also cuts the result to 13 fraction bits (Ada).
static void mmaFp8(Warp &w, const Inst &i) {
  if (!converge(w, i, w.live, true))
    return;
  Fragments f(w, i, i.count, 4);
  int steps = int(i.imm), per = 16 * i.count / steps;
  auto term = [](uint32_t bits, bool e5m2) {
    return e5m2 ? smallFloat(bits, 5, 2, true) : smallFloat(bits, 4, 3, false);
  };
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n) {
      int lane = m % 8 * 4 + n / 2, reg = m / 8 * 2 + n % 2;
      float c = std::bit_cast<float>(f.c[reg][lane]);
      for (int s = 0; s < steps; ++s)
        c = dotResult(dotSum([&](int k) { return term(f.elementA(m, s * per + k, 4), i.aux & 1); },
                             [&](int k) { return term(f.elementB(s * per + k, n, 4), i.aux & 2); }, per,
                             accumulator(c), i.width),
                      i.width == 13 ? 13 : 23);
      f.d[reg][lane] = std::bit_cast<uint32_t>(c);
    }
  w.worker->counters.multiplyAdds += 16 * 8 * 16 * i.count;
}

/// Hopper and its like have no such instruction: the assembler makes f16 of the factors, which holds them
/// exactly, and two instructions of 16 products, one after the other from 0: first those of the lower two
/// bytes of each register, then of the upper two. C is added last, in f32.
static void mmaFp8ByHalves(Warp &w, const Inst &i) {
  if (!converge(w, i, w.live, true))
    return;
  Fragments f(w, i, i.count, 4);
  auto term = [](uint32_t bits, bool e5m2) {
    DotTerm t = e5m2 ? smallFloat(bits, 5, 2, true) : smallFloat(bits, 4, 3, false);
    // The exponents that f16 has: what is subnormal in e4m3 is normal there.
    if (t.value != 0 && std::isfinite(t.value))
      t.exponent = std::max(std::ilogb(t.value), -14);
    return t;
  };
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n) {
      int lane = m % 8 * 4 + n / 2, reg = m / 8 * 2 + n % 2;
      float sum = 0;
      for (int upper : {0, 2}) {
        auto place = [&](int k) { return k / 2 * 4 + upper + k % 2; };
        sum = dotResult(dotSum([&](int k) { return term(f.elementA(m, place(k), 4), i.aux & 1); },
                               [&](int k) { return term(f.elementB(place(k), n, 4), i.aux & 2); }, 16,
                               accumulator(sum), i.width));
      }
      float total = std::bit_cast<float>(f.c[reg][lane]) + sum;
      f.d[reg][lane] = total != total ? 0x7FFFFFFFu : std::bit_cast<uint32_t>(total);
    }
  w.worker->counters.multiplyAdds += 16 * 8 * 16 * i.count;
}

/// f16 accumulators: two registers of packed halves; each step rounds to f16.
static void mmaHalf(Warp &w, const Inst &i) {
  if (!converge(w, i, w.live, true))
    return;
  Fragments f(w, i, i.count, 2);
  int steps = int(i.imm), per = 8 * i.count / steps;
  auto term = [](uint32_t bits) { return smallFloat(bits, 5, 10, true); };
  uint32_t out[2][32] = {};
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n) {
      int lane = m % 8 * 4 + n / 2, reg = m / 8, shift = n % 2 * 16;
      uint32_t c = f.c[reg][lane] >> shift & 0xFFFF;
      for (int s = 0; s < steps; ++s)
        c = roundToHalf(dotSum([&](int k) { return term(f.elementA(m, s * per + k, 2)); },
                               [&](int k) { return term(f.elementB(s * per + k, n, 2)); }, per, term(c),
                               i.width));
      out[reg][lane] |= c << shift;
    }
  std::memcpy(f.d[0], out[0], 128);
  std::memcpy(f.d[1], out[1], 128);
  w.worker->counters.multiplyAdds += 16 * 8 * 8 * i.count;
}

void addOtherMatrix(HandlerTable &t) {
  t.add("mma:int8", mmaInt8, "", Class::Matrix);
  t.add("mma:fp8", mmaFp8, "", Class::Matrix);
  t.add("mma:fp8 by halves", mmaFp8ByHalves, "", Class::Matrix);
  t.add("mma:half", mmaHalf, "", Class::Matrix);
}

} // namespace attune::sim
