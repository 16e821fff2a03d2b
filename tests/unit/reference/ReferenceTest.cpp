//===- ReferenceTest.cpp - the fp64 reference against numpy ---------------===//
#include "runtime/reference/Reference.h"
#include "runtime/reference/Float16.h"
#include "runtime/reference/RandomArray.h"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

using namespace attune;
using namespace attune::reference;

static constexpr double infinity = std::numeric_limits<double>::infinity();

namespace {
struct Vector {
  const char *name;
  int batch, headsQ, headsKv, lengthQ, lengthKv, dimQk, dimV;
  std::optional<double> scale, softcap;
  std::vector<MaskTerm> mask;
  std::vector<double> o, lse;
};

const std::vector<Vector> vectors = {
#include "Vectors.inc"
};

/// The inputs of make_vectors.py, in the order of `strides`.
std::vector<uint16_t> formulaArray(DType dtype, int array, int batch, int heads, int length, int dim,
                                   const Strides &strides) {
  std::vector<uint16_t> values(int64_t(batch) * heads * length * dim);
  int64_t i = 0;
  for (int b = 0; b < batch; ++b)
    for (int h = 0; h < heads; ++h)
      for (int r = 0; r < length; ++r)
        for (int d = 0; d < dim; ++d, ++i)
          values[strides.at(b, h, r) + d] =
              fromFloat(dtype, float((i * 7919 + array * 104729 + i * i * 31) % 257 - 128) / 64);
  return values;
}

AttentionSpec smallSpec() {
  AttentionSpec spec;
  spec.headDimQk = spec.headDimV = 8;
  return spec;
}
} // namespace

TEST_CASE("fp64 attention agrees with numpy") {
  for (const Vector &vector : vectors)
    for (DType dtype : {DType::F16, DType::BF16})
      for (Layout layout : {Layout::BSHD, Layout::BHSD}) {
        CAPTURE(vector.name);
        AttentionSpec spec;
        spec.dtype = dtype;
        spec.layout = layout;
        spec.headDimQk = vector.dimQk;
        spec.headDimV = vector.dimV;
        spec.scale = vector.scale;
        spec.softcap = vector.softcap;
        spec.mask = vector.mask;
        Problem p =
            denseProblem(spec, vector.batch, vector.headsQ, vector.headsKv, vector.lengthQ, vector.lengthKv);
        auto q = formulaArray(dtype, 0, p.batch, p.headsQ, p.lengthQ, vector.dimQk, p.q);
        auto k = formulaArray(dtype, 1, p.batch, p.headsKv, p.lengthKv, vector.dimQk, p.k);
        auto v = formulaArray(dtype, 2, p.batch, p.headsKv, p.lengthKv, vector.dimV, p.v);
        Inputs inputs{q.data(), k.data(), v.data()};
        ExactAttention exact = exactAttention(spec, p, inputs);
        std::vector<uint16_t> plain = plainAttention(spec, p, inputs);
        REQUIRE(exact.o.size() == vector.o.size());
        REQUIRE(exact.lse.size() == vector.lse.size());
        for (size_t i = 0; i < vector.o.size(); ++i) {
          CHECK(std::abs(exact.o[i] - vector.o[i]) < 1e-13);
          CHECK(std::abs(toFloat(dtype, plain[i]) - vector.o[i]) < 24 * unitRoundoff(dtype));
        }
        for (size_t i = 0; i < vector.lse.size(); ++i)
          CHECK((exact.lse[i] == vector.lse[i] || std::abs(exact.lse[i] - vector.lse[i]) < 1e-13));
      }
}

TEST_CASE("one key gives its value, no key gives zero") {
  AttentionSpec spec = smallSpec();
  spec.mask = {{{}, 0, MaskAlign::BottomRight}}; // rows 0 and 1 of 3 see nothing of 1 key
  Problem p = denseProblem(spec, 1, 1, 1, 3, 1);
  auto q = normalArray(3 * 8, spec.dtype, 1, 0), k = normalArray(8, spec.dtype, 1, 1),
       v = normalArray(8, spec.dtype, 1, 2);
  ExactAttention exact = exactAttention(spec, p, {q.data(), k.data(), v.data()});
  std::vector<uint16_t> plain = plainAttention(spec, p, {q.data(), k.data(), v.data()});
  for (int d = 0; d < 8; ++d) {
    CHECK(exact.o[d] == 0);
    CHECK(exact.o[8 + d] == 0);
    CHECK(exact.o[16 + d] == toFloat(spec.dtype, v[d]));
    CHECK(plain[d] == 0);
    CHECK(plain[16 + d] == v[d]);
  }
  CHECK(exact.lse[0] == -infinity);
  CHECK(exact.lse[1] == -infinity);
  double score = 0;
  for (int d = 0; d < 8; ++d)
    score += double(toFloat(spec.dtype, q[16 + d])) * toFloat(spec.dtype, k[d]);
  CHECK(exact.lse[2] == doctest::Approx(score / std::sqrt(8.0)).epsilon(1e-14));
}

TEST_CASE("a sink is one more term of the denominator") {
  AttentionSpec spec = smallSpec();
  spec.mask = {{{}, 0, MaskAlign::BottomRight}}; // row 0 of 3 sees nothing
  Problem p = denseProblem(spec, 1, 4, 1, 3, 2);
  auto q = normalArray(4 * 3 * 8, spec.dtype, 1, 0), k = normalArray(2 * 8, spec.dtype, 1, 1),
       v = normalArray(2 * 8, spec.dtype, 1, 2);
  const float sinks[4] = {0.7f, -infinity, 40.0f, infinity};
  ExactAttention without = exactAttention(spec, p, {q.data(), k.data(), v.data()});
  spec.sink = true;
  ExactAttention with = exactAttention(spec, p, {q.data(), k.data(), v.data(), sinks});
  std::vector<uint16_t> plain = plainAttention(spec, p, {q.data(), k.data(), v.data(), sinks});
  for (int i = 0; i < 4 * 3; ++i) {
    int head = i / 3 % 4, row = i % 3;
    double lse = std::log(std::exp(without.lse[i]) + std::exp(double(sinks[head])));
    CAPTURE(i);
    CHECK((with.lse[i] == lse || std::abs(with.lse[i] - lse) < 1e-13));
    for (int d = 0; d < 8; ++d) {
      int at = (head * 3 + row) * 8 + d;
      double share = row == 0 ? 0 : std::exp(without.lse[i] - lse);
      CHECK(std::abs(with.o[at] - without.o[at] * share) < 1e-13);
      CHECK(std::abs(toFloat(spec.dtype, plain[at]) - with.o[at]) < 8 * unitRoundoff(spec.dtype));
    }
  }
}

TEST_CASE("what a row does not keep adds nothing, NaN or not") {
  AttentionSpec spec = smallSpec();
  spec.mask = {{{}, 0, MaskAlign::TopLeft}};
  int length = 300; // more than one step of the reference
  Problem p = denseProblem(spec, 1, 1, 1, length, length);
  auto q = normalArray(length * 8, spec.dtype, 2, 0), k = normalArray(length * 8, spec.dtype, 2, 1),
       v = normalArray(length * 8, spec.dtype, 2, 2);
  ExactAttention clean = exactAttention(spec, p, {q.data(), k.data(), v.data()});
  std::vector<uint16_t> cleanPlain = plainAttention(spec, p, {q.data(), k.data(), v.data()});
  int poisoned = 280;
  for (int d = 0; d < 8; ++d) {
    k[poisoned * 8 + d] = 0x7fff;
    v[poisoned * 8 + d] = 0x7fff;
  }
  ExactAttention dirty = exactAttention(spec, p, {q.data(), k.data(), v.data()});
  std::vector<uint16_t> dirtyPlain = plainAttention(spec, p, {q.data(), k.data(), v.data()});
  for (int i = 0; i < length * 8; ++i) {
    if (i / 8 < poisoned) {
      CHECK(std::abs(dirty.o[i] - clean.o[i]) < 1e-13);
      CHECK(dirtyPlain[i] == cleanPlain[i]);
    } else {
      CHECK(std::isnan(dirty.o[i]));
    }
  }
}

TEST_CASE("kept keys: alignments, windows, conjunctions, limits that overflow") {
  AttentionSpec spec;
  auto is = [&](int64_t q, int64_t lengthQ, int64_t lengthKv, int64_t begin, int64_t end) {
    Interval kept = keptKeys(spec, q, lengthQ, lengthKv);
    return kept.begin == begin && kept.end == end;
  };
  CHECK(is(3, 5, 7, 0, 7));
  spec.mask = {{{}, 0, MaskAlign::TopLeft}};
  CHECK(is(0, 5, 7, 0, 1));
  CHECK(is(9, 10, 7, 0, 7));
  spec.mask = {{{}, 0, MaskAlign::BottomRight}};
  CHECK(is(0, 5, 7, 0, 3));
  CHECK(is(4, 5, 7, 0, 7));
  CHECK(keptKeys(spec, 1, 7, 5).empty());
  CHECK(is(2, 7, 5, 0, 1));
  spec.mask = {{2, 1, MaskAlign::TopLeft}};
  CHECK(is(0, 10, 10, 0, 2));
  CHECK(is(5, 10, 10, 3, 7));
  CHECK(is(9, 10, 10, 7, 10));
  CHECK(keptKeys(spec, 12, 20, 10).empty());
  spec.mask = {{2, 1, MaskAlign::TopLeft}, {{}, 0, MaskAlign::BottomRight}};
  CHECK(is(5, 10, 10, 3, 6));
  CHECK(is(5, 10, 8, 3, 4));
  int64_t most = std::numeric_limits<int64_t>::max();
  spec.mask = {{most, most, MaskAlign::BottomRight}};
  CHECK(is(0, 5, 7, 0, 7));
  spec.mask = {{0, 0, MaskAlign::TopLeft}};
  CHECK(is(4, 5, 7, 4, 5));
}

TEST_CASE("16-bit types: every value survives, and rounding is to nearest even") {
  for (DType dtype : {DType::F16, DType::BF16}) {
    uint16_t top = dtype == DType::BF16 ? 0x7f80 : 0x7c00;
    for (uint32_t bits = 0; bits < 0x10000; ++bits)
      if ((bits & 0x7fff) <= top)
        REQUIRE(fromFloat(dtype, toFloat(dtype, uint16_t(bits))) == bits);
      else
        REQUIRE(fromFloat(dtype, toFloat(dtype, uint16_t(bits))) == 0x7fff);
    for (uint16_t bits = 0; bits < top; ++bits) {
      // Neighbours, and the middle between them, are exact in f32 (infinity's place taken by the next power).
      float low = toFloat(dtype, bits), high = toFloat(dtype, uint16_t(bits + 1));
      if (std::isinf(high))
        continue;
      float middle = float((double(low) + double(high)) / 2);
      REQUIRE(fromFloat(dtype, middle) == (bits & 1 ? bits + 1 : bits));
      REQUIRE(fromFloat(dtype, std::nextafter(middle, low)) == bits);
      REQUIRE(fromFloat(dtype, std::nextafter(middle, high)) == bits + 1);
    }
  }
  CHECK(fromFloat(DType::F16, 65519.996f) == 0x7bff);
  CHECK(fromFloat(DType::F16, 65520.0f) == 0x7c00);
  CHECK(fromFloat(DType::F16, -1e9f) == 0xfc00);
  CHECK(fromFloat(DType::BF16, std::numeric_limits<float>::max()) == 0x7f80);
  CHECK(toFloat(DType::F16, 0x0001) == 0x1p-24f);
  CHECK(toFloat(DType::F16, 0x3c00) == 1.0f);
  CHECK(toFloat(DType::BF16, 0xc040) == -3.0f);
}
