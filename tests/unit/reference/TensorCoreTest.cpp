//===- TensorCoreTest.cpp - the exact tensor core -------------------------===//
#include "runtime/reference/TensorCore.h"
#include "runtime/reference/Float16.h"
#include "runtime/reference/RandomArray.h"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

using namespace attune;
using namespace attune::reference;

namespace {
struct DotVector {
  DType dtype;
  uint16_t a[16], b[16];
  uint32_t addend, ampere, hopper;
};
const DotVector dotVectors[] = {
#include "DotVectors.inc"
};

uint32_t bitsOf(float x) { return std::bit_cast<uint32_t>(x); }
} // namespace

TEST_CASE("dot products: vectors by rational arithmetic") {
  for (const DotVector &vector : dotVectors) {
    float addend = std::bit_cast<float>(vector.addend);
    CHECK(bitsOf(exactDot16(vector.dtype, vector.a, vector.b, 1, addend, tensorCoreRule(80))) ==
          vector.ampere);
    CHECK(bitsOf(exactDot16(vector.dtype, vector.a, vector.b, 1, addend, tensorCoreRule(90))) ==
          vector.hopper);
  }
  CHECK(tensorCoreRule(86).fractionBits == 24);
  CHECK(tensorCoreRule(89).stepK == 8);
  CHECK(tensorCoreRule(120).fractionBits == 25);
}

TEST_CASE("dot products: truncation, order inside an instruction, special values") {
  auto dot = [](std::initializer_list<float> a, float addend, int capability) {
    uint16_t left[16] = {}, ones[16];
    int i = 0;
    for (float value : a)
      left[i++] = fromFloat(DType::BF16, value);
    std::fill_n(ones, 16, uint16_t(0x3f80));
    return exactDot16(DType::BF16, left, ones, 1, addend, tensorCoreRule(capability));
  };
  CHECK(dot({1, 2, 3}, 0.5f, 80) == 6.5f);
  // Below the last kept place of the largest term nothing is left, however many there are.
  CHECK(dot({0x1p25f, 1, 1, 1, 1, 1, 1, 1}, 0, 80) == 0x1p25f);
  CHECK(dot({0x1p25f, -1, -1, -1, -1}, 0, 80) == 0x1p25f);
  CHECK(dot({0x1p25f, -1, -1, -1, -1}, 0, 90) == 0x1p25f - 4);
  // Two steps of K = 8: the first one's sum is truncated before the second one cancels it.
  CHECK(dot({0x1p24f, 1, 0, 0, 0, 0, 0, 0, -0x1p24f}, 0, 80) == 0.0f);
  CHECK(dot({0x1p24f, 1, 0, 0, 0, 0, 0, 0, -0x1p24f}, 0, 90) == 1.0f);
  CHECK(bitsOf(dot({-0.0f}, -0.0f, 80)) == 0);
  float infinity = std::numeric_limits<float>::infinity();
  CHECK(dot({infinity, 1}, 0, 90) == infinity);
  CHECK(dot({1}, -infinity, 80) == -infinity);
  CHECK(bitsOf(dot({infinity, -infinity}, 0, 90)) == 0x7fffffff);
  CHECK(bitsOf(dot({std::nanf("")}, 0, 80)) == 0x7fffffff);
  CHECK(dot({3e38f, 3e38f}, 0, 90) == infinity);
}

TEST_CASE("many columns at a time give what one element gives") {
  RandomBits random(5, 5);
  for (DType dtype : {DType::F16, DType::BF16})
    for (int capability : {80, 90})
      for (int trial = 0; trial < 60; ++trial) {
        TensorCoreRule rule = tensorCoreRule(capability);
        int depth = 48, columns = 24;
        DecodedMatrix a(dtype, 2, depth), b(dtype, depth, columns);
        // Ordinary values, any bits (NaN and infinities too), and values whose sums are subnormal.
        auto draw = [&]() -> uint16_t {
          if (trial % 3 == 0)
            return fromFloat(dtype, float(random.normals()[0]));
          uint16_t bits = uint16_t(random.next());
          return trial % 3 == 1 ? bits : bits & (dtype == DType::BF16 ? 0xa0ff : 0x87ff);
        };
        for (int r = 0; r < 2; ++r)
          for (int k = 0; k < depth; ++k)
            a.set(r, k, draw());
        for (int k = 0; k < depth; ++k)
          for (int n = 0; n < columns; ++n)
            b.set(k, n, draw());
        std::vector<float> c(columns), expected(columns);
        for (int n = 0; n < columns; ++n)
          c[n] = expected[n] = trial % 6 < 3 ? 0.0f : std::bit_cast<float>(uint32_t(random.next()));
        exactMatmulRow(a, 1, b, depth, c.data(), columns, rule);
        for (int n = 0; n < columns; ++n) {
          for (int k = 0; k < depth; k += 16)
            expected[n] =
                exactDot16(dtype, &a.bits[depth + k], &b.bits[k * columns + n], columns, expected[n], rule);
          REQUIRE(bitsOf(c[n]) == bitsOf(expected[n]));
        }
      }
}

TEST_CASE("ex2, lg2, rcp: exact points, flushing, special values") {
  float infinity = std::numeric_limits<float>::infinity();
  CHECK(ex2(0.0f) == 1.0f);
  CHECK(ex2(-3.0f) == 0.125f);
  CHECK(ex2(-126.0f) == 0x1p-126f);
  CHECK(ex2(-126.5f) == 0.0f);
  CHECK(ex2(-infinity) == 0.0f);
  CHECK(ex2(128.0f) == infinity);
  CHECK(ex2(0x1p-140f) == 1.0f);
  CHECK(bitsOf(ex2(std::nanf(""))) == 0x7fffffff);
  CHECK(lg2(8.0f) == 3.0f);
  CHECK(lg2(0.0f) == -infinity);
  CHECK(lg2(0x1p-140f) == -infinity);
  CHECK(std::isnan(lg2(-1.0f)));
  CHECK(rcp(4.0f) == 0.25f);
  CHECK(rcp(infinity) == 0.0f);
  CHECK(rcp(0x1p127f) == 0.0f);
  CHECK(rcp(-0.0f) == -infinity);
  RandomBits random(9, 0);
  for (int i = 0; i < 20000; ++i) {
    float x = float(random.uniform() * 40 - 30);
    CHECK(ex2(x) == float(std::exp2((long double)x)));
    float y = float(random.uniform() * 1000);
    CHECK(lg2(y) == float(std::log2((long double)y)));
  }
}
