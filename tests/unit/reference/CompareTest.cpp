//===- CompareTest.cpp - verdicts -----------------------------------------===//
#include "runtime/reference/Compare.h"
#include "runtime/reference/Float16.h"
#include "runtime/reference/RandomArray.h"

#include <bit>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

using namespace attune;
using namespace attune::reference;

namespace {
/// A problem with its inputs and the best outputs there can be: fp64 rounded once.
struct Fixture {
  AttentionSpec spec;
  Problem problem;
  std::vector<uint16_t> q, k, v, o, plain;
  std::vector<float> lse;
  ExactAttention exact;

  Fixture(int lengthQ, int lengthKv, int dim, uint64_t seed = 1, DType dtype = DType::BF16) {
    spec.dtype = dtype;
    spec.headDimQk = spec.headDimV = dim;
    problem = denseProblem(spec, 1, 2, 1, lengthQ, lengthKv);
    ElementCounts counts = elementCounts(spec, problem);
    q = normalArray(counts.q, dtype, seed, 0);
    k = normalArray(counts.k, dtype, seed, 1);
    v = normalArray(counts.v, dtype, seed, 2);
    exact = exactAttention(spec, problem, {q.data(), k.data(), v.data()});
    plain = plainAttention(spec, problem, {q.data(), k.data(), v.data()});
    o.resize(counts.o);
    for (int h = 0; h < 2; ++h)
      for (int r = 0; r < lengthQ; ++r)
        for (int d = 0; d < dim; ++d)
          o[problem.o.at(0, h, r) + d] =
              fromFloat(dtype, float(exact.o[(int64_t(h) * lengthQ + r) * dim + d]));
    for (double value : exact.lse)
      lse.push_back(float(value));
  }

  Report judge() const { return compare(spec, problem, {o.data(), lse.data()}, exact, plain); }
};
} // namespace

TEST_CASE("the rounded fp64 result passes, whatever the size") {
  for (DType dtype : {DType::F16, DType::BF16})
    for (auto [lengthQ, lengthKv, dim] :
         {std::array{1, 1, 8}, {1, 2, 8}, {2, 1, 64}, {3, 3, 16}, {17, 15, 128}, {64, 300, 64}})
      for (uint64_t seed = 0; seed < 20; ++seed) {
        Report report = Fixture(lengthQ, lengthKv, dim, seed, dtype).judge();
        CHECK_MESSAGE(report.passed, report.why);
        CHECK(report.o.count == 2 * lengthQ * dim);
      }
}

TEST_CASE("errors beyond twice the plain algorithm's fail, with the place") {
  Fixture f(64, 128, 64);
  f.o[f.problem.o.at(0, 1, 33) + 5] ^= 0x0100; // another exponent
  Report report = f.judge();
  CHECK(!report.passed);
  CHECK(report.ratio.value() > 2);
  CHECK((report.worst.head == 1 && report.worst.row == 33 && report.worst.dim == 5));
  CHECK(report.why.find("head 1, row 33, dim 5") != std::string::npos);
}

TEST_CASE("a small bias everywhere fails by the RMS error") {
  Fixture f(64, 128, 64);
  for (uint16_t &value : f.o)
    value += 2; // two places of bf16: 1.5 % at the most
  Report report = f.judge();
  CHECK(!report.passed);
  CHECK(report.ratioRms.value() > 2);
}

TEST_CASE("where the plain algorithm is exact, one last place is allowed and two are not") {
  for (DType dtype : {DType::F16, DType::BF16}) {
    Fixture f(40, 1, 64, 1, dtype); // one key: O is its V
    f.o[7] += 1;
    CHECK(f.judge().passed);
    f.o[7] += 1;
    CHECK(!f.judge().passed);
  }
}

TEST_CASE("unwritten, NaN and infinite elements fail") {
  Fixture f(16, 16, 16);
  f.o[f.problem.o.at(0, 0, 3) + 2] = unwritten16;
  f.o[f.problem.o.at(0, 1, 3) + 2] = 0x7fff;
  Report report = f.judge();
  CHECK((report.unwritten == 1 && report.mismatched == 1 && !report.passed));
  CHECK(report.why.find("never written, the first at batch 0, head 0, row 3, dim 2") != std::string::npos);
  f.o[f.problem.o.at(0, 0, 3) + 2] = 0x7f80;
  report = f.judge();
  CHECK((report.unwritten == 0 && report.mismatched == 2));
  CHECK(report.worst.head == 0);
}

TEST_CASE("LSE: tolerance, empty rows, unwritten") {
  Fixture f(16, 16, 16);
  CHECK(f.judge().lseTolerance < 1e-4);
  f.lse[3] += 1e-3f;
  CHECK(f.judge().why.find("LSE") != std::string::npos);
  CHECK(f.judge().worstLse.row == 3);
  f.lse[3] = -std::numeric_limits<float>::infinity();
  CHECK(f.judge().mismatchedLse == 1);
  f.lse[3] = std::bit_cast<float>(unwritten32);
  CHECK(f.judge().unwrittenLse == 1);
}

TEST_CASE("reports are one line of JSON, infinities included") {
  Fixture f(1, 1, 8);
  f.o[0] = 0;
  std::string json = toJson(f.judge());
  CHECK(json.find("\"passed\":false") != std::string::npos);
  CHECK(json.find("\"ratio_max\":null") != std::string::npos); // the plain algorithm makes no error here
  CHECK(json.find('\n') == std::string::npos);
  CHECK(toText(f.judge()).find("verdict failed: expected an error of O") != std::string::npos);
}

TEST_CASE("a result that passes without a ratio says by which rule") {
  auto has = [](const std::string &text, const char *part) { return text.find(part) != std::string::npos; };
  Fixture f(40, 1, 64); // one key: the plain algorithm is exact
  f.o[7] += 1;
  std::string text = toText(f.judge());
  CHECK(has(text, "ratio none, none"));
  CHECK(has(text, "verdict passed: each element is within one unit in the last place"));
  // The plain algorithm overflows, O does not.
  f.plain.assign(f.plain.size(), 0x7f80);
  text = toText(f.judge());
  CHECK(has(text, "plain 16-bit: not finite anywhere; ratio none, none"));
  CHECK(!has(text, "inf"));
  // Nothing finite to compare.
  for (double &value : f.exact.o)
    value = std::numeric_limits<double>::quiet_NaN();
  f.o.assign(f.o.size(), 0x7fff);
  text = toText(f.judge());
  CHECK(has(text, "error   nothing to compare"));
  CHECK(has(text, "verdict passed: NaN and infinite where fp64 is"));
}

TEST_CASE("bitwise difference names the first element and counts all") {
  Fixture f(4, 4, 8);
  std::vector<uint16_t> other = f.o;
  Outputs left{f.o.data(), f.lse.data()}, right{other.data(), f.lse.data()};
  CHECK(firstDifference(f.spec, f.problem, left, right).empty());
  other[f.problem.o.at(0, 1, 2) + 3] ^= 1;
  other[f.problem.o.at(0, 1, 3) + 3] ^= 1;
  std::string text = firstDifference(f.spec, f.problem, left, right);
  CHECK(text.find("O at batch 0, head 1, row 2, dim 3") == 0);
  CHECK(text.find("2 elements differ") != std::string::npos);
}
