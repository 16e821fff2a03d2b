//===- OracleTest.cpp - forward kernels as the oracle has them ------------===//
#include "tests/oracle/Oracle.h"
#include "compiler/Compiler.h"
#include "runtime/reference/Compare.h"
#include "runtime/reference/Float16.h"
#include "runtime/reference/RandomArray.h"

#include <bit>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace attune;
using namespace attune::reference;

namespace {
struct Arrays {
  std::vector<uint16_t> q, k, v, o;
  std::vector<float> lse;

  Arrays(const AttentionSpec &spec, const Problem &problem, uint64_t seed, double deviation = 1) {
    ElementCounts counts = elementCounts(spec, problem);
    q = normalArray(counts.q, spec.dtype, seed, 0, deviation);
    k = normalArray(counts.k, spec.dtype, seed, 1, deviation);
    v = normalArray(counts.v, spec.dtype, seed, 2);
    o.assign(counts.o, unwritten16);
    lse.assign(counts.lse, std::bit_cast<float>(unwritten32));
  }
  Inputs inputs() const { return {q.data(), k.data(), v.data()}; }
  Outputs outputs() const { return {o.data(), lse.data()}; }
};

/// What decides the tiles, and on what they run.
struct Options {
  Schedule schedule;
  std::string arch = "sm_80";
};
Schedule portable(int blockQ, int blockKv, int warps, int stages = 1) {
  return {"portable", {{"block_q", blockQ}, {"block_kv", blockKv}, {"stages", stages}, {"warps", warps}}};
}
Schedule hopper(int blockQ, int blockKv, int stages, int overlap) {
  return {"hopper", {{"block_q", blockQ}, {"block_kv", blockKv}, {"stages", stages}, {"overlap", overlap}}};
}

/// O and LSE as the oracle has them.
void attend(AttentionSpec spec, const Problem &problem, Arrays &arrays, const Options &options) {
  spec.lse = true;
  spec.schedule = options.schedule;
  Result<Arch> arch = findArch(options.arch);
  REQUIRE(bool(arch));
  Result<KernelText> text = compile(spec, {*arch, Target::PTX, Stage::Tile, {}});
  REQUIRE_MESSAGE(bool(text), text.error().message);
  Result<oracle::TileProgram> program = oracle::TileProgram::parse(text->text, "attention.mlir");
  REQUIRE_MESSAGE(bool(program), program.error().message);
  oracle::LaunchInputs inputs;
  inputs.sizes.values = {problem.batch,   problem.headsQ,   problem.headsKv,
                         problem.lengthQ, problem.lengthKv, 2};
  auto give = [&](const char *name, void *data, const Strides &strides, bool rows) {
    inputs.arrays[name] = {data, {strides.batch, strides.head}};
    if (rows)
      inputs.arrays[name].strides.push_back(strides.row);
  };
  give("q", arrays.q.data(), problem.q, true);
  give("k", arrays.k.data(), problem.k, true);
  give("v", arrays.v.data(), problem.v, true);
  give("o", arrays.o.data(), problem.o, true);
  give("lse", arrays.lse.data(), problem.lse, false);
  Status status = program->run(inputs);
  REQUIRE_MESSAGE(bool(status), status.error().message);
}

template <typename T> T pick(RandomBits &random, std::initializer_list<T> choices) {
  return choices.begin()[random.below(choices.size())];
}

MaskTerm randomTerm(RandomBits &random) {
  MaskTerm term;
  if (random.below(2))
    term.left = int64_t(random.below(pick(random, {1, 5, 200}) + 1));
  if (!term.left || random.below(2))
    term.right = int64_t(random.below(3) ? 0 : random.below(100));
  term.align = random.below(2) ? MaskAlign::BottomRight : MaskAlign::TopLeft;
  return term;
}
} // namespace

TEST_CASE("oracle: within twice the plain algorithm's error on random specs") {
  RandomBits random(2024, 0);
  for (int trial = 0; trial < 60; ++trial) {
    AttentionSpec spec;
    spec.dtype = pick(random, {DType::F16, DType::BF16});
    spec.layout = pick(random, {Layout::BSHD, Layout::BHSD});
    spec.headDimQk = pick(random, {8, 32, 40, 64, 72, 128});
    spec.headDimV = random.below(3) ? spec.headDimQk : pick(random, {8, 24, 64, 128});
    for (uint64_t terms = random.below(3); terms > 0; --terms)
      spec.mask.push_back(randomTerm(random));
    if (random.below(4) == 0)
      spec.softcap = pick(random, {0.5, 5.0, 30.0});
    if (random.below(4) == 0)
      spec.scale = pick(random, {-0.1, 0.02, 0.5, 1.0});
    int headsKv = pick(random, {1, 2}), headsQ = headsKv * pick(random, {1, 1, 3});
    auto length = [&] { return pick(random, {1, 2, 15, 17, 63, 64, 65, 127, 250}); };
    Problem problem = denseProblem(spec, pick(random, {1, 1, 2}), headsQ, headsKv, length(), length());
    bool roles = random.below(3) == 0;
    Options options;
    if (roles) {
      options = {hopper(64 * pick(random, {1, 2, 3}), pick(random, {16, 32, 80}), pick(random, {1, 2}),
                        int(random.below(2))),
                 "sm_90"};
    } else {
      int warps = pick(random, {1, 2, 4});
      options = {portable(16 * warps * pick(random, {1, 1, 2}), pick(random, {16, 32, 64}), warps,
                          pick(random, {1, 2, 3})),
                 pick(random, {"sm_80", "sm_89", "sm_90", "sm_120"})};
    }
    Arrays arrays(spec, problem, trial);
    attend(spec, problem, arrays, options);
    Report report = verify(spec, problem, arrays.inputs(), arrays.outputs());
    CHECK_MESSAGE(report.passed, fmt::format("trial {}: dims {}/{} lengths {}/{} {} masks {}: {}", trial,
                                             spec.headDimQk, spec.headDimV, problem.lengthQ, problem.lengthKv,
                                             options.schedule.words(), spec.mask.size(), report.why));
  }
}

TEST_CASE("oracle: large scores, which rescale again and again") {
  for (DType dtype : {DType::F16, DType::BF16}) {
    AttentionSpec spec;
    spec.dtype = dtype;
    spec.headDimQk = spec.headDimV = 64;
    Problem problem = denseProblem(spec, 1, 2, 2, 100, 500);
    Arrays arrays(spec, problem, 3, 4.0);
    attend(spec, problem, arrays, {portable(64, 32, 4), "sm_80"});
    Report report = verify(spec, problem, arrays.inputs(), arrays.outputs());
    CHECK_MESSAGE(report.passed, report.why);
  }
}

TEST_CASE("oracle: scores up to the largest finite ones") {
  for (auto [dtype, deviation] : {std::pair(DType::F16, 3e3),
                                  {DType::F16, 1e4},
                                  {DType::BF16, 1e5},
                                  {DType::BF16, 1e10},
                                  {DType::BF16, 1e18}})
    for (std::optional<double> scale : {std::optional<double>(), {1.0}, {-0.01}, {1e4}}) {
      AttentionSpec spec;
      spec.dtype = dtype;
      spec.headDimQk = spec.headDimV = 64;
      spec.scale = scale;
      Problem problem = denseProblem(spec, 1, 2, 2, 40, 200);
      Arrays arrays(spec, problem, 3, deviation);
      // The last head's keys are all alike: softmax is uniform, whatever the score.
      for (int64_t i = arrays.k.size() / 2; i < int64_t(arrays.k.size()); ++i)
        arrays.k[i] = arrays.k[i % 64];
      attend(spec, problem, arrays, {portable(64, 32, 4), "sm_80"});
      Report report = verify(spec, problem, arrays.inputs(), arrays.outputs());
      CHECK_MESSAGE(report.passed,
                    fmt::format("{} deviation {} scale {}: {}", dtype == DType::F16 ? "fp16" : "bf16",
                                deviation, scale.value_or(0), report.why));
    }
}

TEST_CASE("oracle: a row that meets +inf is NaN, and no other row is") {
  AttentionSpec spec;
  spec.headDimQk = spec.headDimV = 64;
  Problem problem = denseProblem(spec, 1, 1, 1, 64, 256);
  Arrays arrays(spec, problem, 2);
  for (uint16_t &bits : arrays.q)
    bits &= 0x7fff;
  for (int d = 0; d < 64; ++d)
    arrays.q[7 * 64 + d] |= 0x8000;
  std::fill(arrays.k.begin() + 128 * 64, arrays.k.end(), uint16_t(0xff80)); // keys 128.. are -inf
  attend(spec, problem, arrays, {portable(64, 64, 4), "sm_80"});
  for (int row = 0; row < 64; ++row) {
    CHECK(std::isfinite(arrays.lse[row]) == (row != 7));
    CHECK(std::isfinite(toFloat(spec.dtype, arrays.o[row * 64])) == (row != 7));
  }
}

TEST_CASE("oracle: a scale that f32 cannot hold is as a scale of 0") {
  AttentionSpec spec;
  spec.headDimQk = spec.headDimV = 64;
  Problem problem = denseProblem(spec, 1, 1, 1, 20, 20);
  std::vector<std::vector<uint16_t>> results;
  for (double scale : {0.0, 1e-320, 1e-45, 1e-38, -1e-320}) {
    spec.scale = scale;
    Arrays arrays(spec, problem, 2);
    attend(spec, problem, arrays, {portable(64, 32, 4), "sm_80"});
    results.push_back(arrays.o);
    CHECK(results.back() == results.front());
  }
}

TEST_CASE("oracle: V that a row does not see does not reach it, whatever the block") {
  for (int blockKv : {32, 64, 128}) {
    AttentionSpec spec;
    spec.headDimQk = spec.headDimV = 64;
    spec.mask = {{{}, 0, MaskAlign::TopLeft}};
    Problem problem = denseProblem(spec, 1, 1, 1, 100, 100);
    Arrays arrays(spec, problem, 1), finite(spec, problem, 1);
    for (int d = 0; d < 64; ++d) // NaN, +inf and -inf, one after the other
      for (int key = 70; key < 100; ++key)
        arrays.v[key * 64 + d] = key % 3 == 0 ? 0x7fc0 : key % 3 == 1 ? 0x7f80 : 0xff80;
    for (Arrays *each : {&arrays, &finite})
      attend(spec, problem, *each, {portable(64, blockKv, 4), "sm_80"});
    CHECK(std::equal(arrays.o.begin(), arrays.o.begin() + 70 * 64, finite.o.begin()));
    CHECK(arrays.lse == finite.lse);
    CHECK(arrays.o[70 * 64] == 0x7f80); // key 70 is +inf
    CHECK(std::isnan(toFloat(spec.dtype, arrays.o[71 * 64])));
    Report report = verify(spec, problem, arrays.inputs(), arrays.outputs());
    CHECK_MESSAGE(report.passed, report.why);
  }
}

TEST_CASE("oracle: a mean that is finite does not overflow on the way") {
  AttentionSpec spec;
  spec.headDimQk = spec.headDimV = 64;
  Problem problem = denseProblem(spec, 1, 1, 1, 40, 300);
  Arrays arrays(spec, problem, 4), usual(spec, problem, 4);
  for (int64_t i = 0; i < int64_t(arrays.v.size()); i += 64)
    arrays.v[i] = 0x7f62; // 3.0e38, the first of each row; the others stay as they are
  for (Arrays *each : {&arrays, &usual})
    attend(spec, problem, *each, {portable(64, 64, 4), "sm_80"});
  for (size_t i = 0; i < arrays.o.size(); ++i)
    CHECK(arrays.o[i] == (i % 64 == 0 ? 0x7f62 : usual.o[i]));
  CHECK(arrays.lse == usual.lse);
}

TEST_CASE("oracle: the bits of a row do not depend on the rows beside it") {
  AttentionSpec spec;
  spec.headDimQk = spec.headDimV = 64;
  spec.mask = {{{}, 0, MaskAlign::BottomRight}};
  auto run = [&](int rows) {
    Problem problem = denseProblem(spec, 1, 1, 1, rows, 200);
    Arrays arrays(spec, denseProblem(spec, 1, 1, 1, 64, 200), 3, 4.0);
    arrays.q.erase(arrays.q.begin(), arrays.q.end() - rows * 64); // the last ones
    attend(spec, problem, arrays, {portable(128, 64, 4), "sm_80"});
    return std::vector(arrays.o.begin(), arrays.o.begin() + rows * 64);
  };
  std::vector<uint16_t> all = run(64);
  for (int rows : {1, 8, 33})
    CHECK(std::equal(all.end() - rows * 64, all.end(), run(rows).begin()));
}

TEST_CASE("oracle: empty rows are 0 and -inf, one key is copied") {
  AttentionSpec spec;
  spec.headDimQk = spec.headDimV = 40;
  spec.mask = {{0, 0, MaskAlign::BottomRight}}; // the diagonal
  Problem problem = denseProblem(spec, 1, 1, 1, 70, 50);
  Arrays arrays(spec, problem, 4);
  attend(spec, problem, arrays, {portable(64, 32, 4), "sm_80"});
  for (int q = 0; q < 70; ++q) {
    CHECK(std::isinf(arrays.lse[q]) == (q < 20));
    for (int d = 0; d < 40; ++d)
      CHECK(arrays.o[q * 40 + d] == (q < 20 ? 0 : arrays.v[(q - 20) * 40 + d]));
  }
}

TEST_CASE("oracle: what a schedule may not change, and what it may") {
  AttentionSpec spec;
  spec.headDimQk = spec.headDimV = 64;
  Problem problem = denseProblem(spec, 1, 1, 1, 128, 128);
  auto run = [&](const Options &options) {
    Arrays arrays(spec, problem, 5);
    attend(spec, problem, arrays, options);
    return arrays.o;
  };
  Options base{portable(64, 64, 4), "sm_80"};
  std::vector<uint16_t> result = run(base);
  CHECK(run(base) == result);
  CHECK(run({portable(128, 64, 8), "sm_80"}) == result); // a warp still has 16 rows, and sees the same blocks
  CHECK(run({portable(64, 64, 4), "sm_89"}) == result);
  CHECK(run({portable(64, 64, 4), "sm_90"}) != result); // another tensor core
}

TEST_CASE("the verdict has teeth: off-by-one masks, a lost block, a wrong head are refused") {
  for (DType dtype : {DType::F16, DType::BF16})
    for (int length : {5, 64, 250}) {
      AttentionSpec spec;
      spec.dtype = dtype;
      spec.headDimQk = spec.headDimV = 64;
      spec.mask = {{{}, 0, MaskAlign::TopLeft}};
      Problem problem = denseProblem(spec, 1, 4, 2, length, length);
      Arrays arrays(spec, problem, 6);
      Options options{portable(64, 32, 4), "sm_80"};
      auto refused = [&](const AttentionSpec &wrong, const Problem &wrongProblem) {
        attend(wrong, wrongProblem, arrays, options);
        return !verify(spec, problem, arrays.inputs(), arrays.outputs()).passed;
      };
      CHECK(!refused(spec, problem));
      AttentionSpec wrong = spec;
      wrong.mask[0].right = 1;
      CHECK(refused(wrong, problem));
      wrong.mask = {{3, 0, MaskAlign::TopLeft}};
      CHECK(refused(wrong, problem));
      Problem swapped = problem;
      swapped.k.head = 0; // every head reads the first KV head
      CHECK(refused(spec, swapped));
      wrong = spec;
      wrong.scale = 0.125 * 1.05;
      CHECK(refused(wrong, problem));
    }
}

TEST_CASE("oracle: softmax that picks one key is right to the last place") {
  for (DType dtype : {DType::F16, DType::BF16}) {
    AttentionSpec spec;
    spec.dtype = dtype;
    spec.headDimQk = spec.headDimV = 128;
    spec.scale = 20000.0; // the plain algorithm makes no error: every probability is 0 or 1
    Problem problem = denseProblem(spec, 1, 1, 1, 50, 30);
    Arrays arrays(spec, problem, 8);
    attend(spec, problem, arrays, {portable(64, 32, 4), "sm_80"});
    Report report = verify(spec, problem, arrays.inputs(), arrays.outputs());
    CHECK_MESSAGE(report.passed, report.why);
    CHECK(report.ulps <= 1);
  }
}
