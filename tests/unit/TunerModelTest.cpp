//===- TunerModelTest.cpp - the cost model against what was measured ------===//
//
// The judge of models itself, on synthetic timings; then the model by an H100's schedules and by loops of its
// wgmma, whose shares of the peak are in the probe's results.
//
//===----------------------------------------------------------------------===//
#include "tuner/ModelCheck.h"
#include "tuner/Work.h"

#include "runtime/device/sim/SimDevice.h"
#include "runtime/io/File.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include <fmt/format.h>

using namespace attune;
using namespace attune::tuner;

namespace {

Exchange exchangeOf(const char *path) {
  Result<std::string> text = readFile(path);
  REQUIRE(text);
  Result<Exchange> exchange = readExchange(*text, path);
  if (!exchange)
    FAIL(exchange.error().message);
  return std::move(*exchange);
}

DeviceInfo h100() {
  DeviceInfo device;
  device.kind = DeviceKind::Cuda;
  device.name = "NVIDIA H100 80GB HBM3";
  device.arch = *findArch("sm_90");
  device.computeCapability = 90;
  return device;
}

AttentionSpec specOf(int dim, bool causal = false) {
  AttentionSpec spec;
  spec.headDimQk = spec.headDimV = dim;
  if (causal)
    spec.mask = {MaskTerm{std::nullopt, 0, MaskAlign::TopLeft}};
  return spec;
}

/// A sweep as an A100 with these coefficients would have it, with noise and intervals of `noise` on each
/// side.
void addSweep(Exchange &exchange, int dim, const Coefficients &truth, double noise, std::mt19937 &random) {
  AttentionSpec spec = specOf(dim);
  DeviceInfo device = describeSimDevice(*findArch("sm_80"));
  device.name = "NVIDIA A100-SXM4-80GB";
  ProblemShape shape{4, 16, 16, 4096, 4096};
  Enumeration space = enumerate(*findFamily("portable"), spec, device.arch, std::nullopt);
  GpuFigures figures = figuresFor(device);
  std::normal_distribution<double> errors(0, noise);
  for (size_t i = 0; i < space.feasible.size(); i += space.feasible.size() / 40) {
    const Candidate &candidate = space.feasible[i];
    const Family &family = familyOf(candidate);
    StoredRow stored;
    stored.subject = {Kind::Measured, device.name,     "sm_80",     "CUDA 13.0",
                      "toolkit",      tuningKey(spec), toJson(spec)};
    Row &row = stored.row;
    row.shape = shape;
    row.family = candidate.schedule.family;
    row.schedule = scheduleText(candidate);
    row.target = candidate.target;
    double us = estimate(figures, family.work(spec, device.arch, shape, candidate),
                         family.cost(spec, device.arch, candidate), truth)
                    .us;
    row.median = us * std::exp(errors(random));
    row.low = row.median * (1 - 2 * noise);
    row.high = row.median * (1 + 2 * noise);
    stored.when = "2026-01-01T00:00:00Z";
    exchange.rows.push_back(std::move(stored));
  }
}

} // namespace

TEST_CASE("the judge: a sweep as the model has it is agreed with, a reversed one is not") {
  std::mt19937 random(1);
  Exchange exchange;
  addSweep(exchange, 64, kCoefficients, 0.002, random);
  addSweep(exchange, 128, kCoefficients, 0.002, random);
  for (StoredRow &stored : exchange.rows)
    if (stored.subject.spec == toJson(specOf(128)))
      for (double *us : {&stored.row.low, &stored.row.median, &stored.row.high})
        *us = 1e6 / *us; // upside down; so are the intervals
  for (StoredRow &stored : exchange.rows)
    if (stored.row.low > stored.row.high)
      std::swap(stored.row.low, stored.row.high);
  ModelReport report = checkModel(exchange, false);
  REQUIRE(report.sweeps.size() == 2);
  CHECK(report.sweeps[0].asShipped.tau > 0.97);
  CHECK(report.sweeps[0].asShipped.regret < 0.01);
  CHECK(report.sweeps[0].scale == doctest::Approx(1).epsilon(0.01));
  CHECK(report.sweeps[1].asShipped.tau < -0.97);
  CHECK(report.sweeps[1].asShipped.regret > 0.5);
}

TEST_CASE("the judge: pairs within their intervals count for nothing; few rows, estimates and refusals are "
          "left aside") {
  std::mt19937 random(2);
  Exchange exchange;
  addSweep(exchange, 64, kCoefficients, 0.002, random);
  size_t rows = exchange.rows.size();
  for (StoredRow &stored : exchange.rows) { // nobody knows
    stored.row.low = 1;
    stored.row.high = 1e9;
  }
  exchange.rows.push_back(exchange.rows.front());
  exchange.rows.back().row.verdict = Verdict::Spilled;
  exchange.rows.push_back(exchange.rows.front());
  exchange.rows.back().subject.kind = Kind::Estimate;
  exchange.rows.push_back(exchange.rows.front());
  exchange.rows.back().row.shape.lengthQ = 17; // a sweep of one
  ModelReport report = checkModel(exchange, false);
  REQUIRE(report.sweeps.size() == 1);
  CHECK(report.sweeps[0].rows.size() == rows);
  CHECK(report.sweeps[0].asShipped.pairs == 0);
  CHECK(report.sweeps[0].asShipped.tau == 0);
  CHECK(report.sweeps[0].asShipped.surelyLost == 0);
  CHECK(report.left == 3);
  CHECK(!report.fitted);
}

TEST_CASE("fitting to noisy timings finds an order that coefficients of another machine do not") {
  std::mt19937 random(3);
  Coefficients other = kCoefficients; // a machine with slow copies and costly barriers
  other.copy = 3.5;
  other.skew = 28;
  other.drift = 0.3;
  Exchange exchange;
  for (int dim : {64, 96, 128})
    addSweep(exchange, dim, other, 0.01, random);
  ModelReport report = checkModel(exchange, false);
  REQUIRE(report.fitted);
  REQUIRE(report.sweeps.size() == 3);
  for (const CheckedSweep &sweep : report.sweeps) {
    CAPTURE(sweep.subject.spec);
    CHECK(sweep.leftOut.tau > 0.85);
    CHECK(sweep.leftOut.regret < 0.03);
  }
}

TEST_CASE("an H100's schedules: the order of each sweep by coefficients that have not seen it, and the first "
          "choice") {
  ModelReport report = checkModel(exchangeOf(ATTUNE_H100_TUNING), false);
  REQUIRE(report.sweeps.size() == 4);
  for (const CheckedSweep &sweep : report.sweeps) {
    CAPTURE(sweep.subject.spec);
    MESSAGE(fmt::format(
        "{} rows: as shipped tau {:.3f}, over best {:.4f}; left out tau {:.3f}, over best {:.4f} (surely "
        "{:.4f}), of the default {:.3f}",
        sweep.rows.size(), sweep.asShipped.tau, sweep.asShipped.regret, sweep.leftOut.tau,
        sweep.leftOut.regret, sweep.leftOut.surelyLost, sweep.leftOut.toStandard));
    for (const Verdicts &verdicts : {sweep.asShipped, sweep.leftOut}) {
      CHECK(verdicts.tau >= 0.6);
      CHECK(verdicts.regret <= 0.02);
      CHECK(verdicts.toStandard <= 1.001);
      CHECK(verdicts.toStandard > 0);
    }
    CHECK(sweep.scale == doctest::Approx(1).epsilon(0.08)); // microseconds, not only an order
  }
}

TEST_CASE("wgmma: shares of the peak are those of measured loops, in their order") {
  // Loops of an H100 with everything in shared memory: head dim, rows, keys, overlap, share of the
  // peak.
  struct Loop {
    int dim, rows, keys, overlap;
    double share;
  };
  const Loop loops[] = {{64, 64, 128, 0, 0.340},   {64, 128, 128, 0, 0.463},  {64, 192, 128, 0, 0.610},
                        {64, 128, 192, 1, 0.604},  {64, 192, 128, 1, 0.675},  {128, 64, 128, 0, 0.503},
                        {128, 128, 128, 0, 0.709}, {128, 128, 128, 1, 0.920}, {128, 192, 80, 1, 0.998},
                        {256, 64, 80, 0, 0.638},   {256, 128, 80, 0, 0.759},  {256, 128, 80, 1, 1.000}};
  GpuFigures figures = figuresFor(h100());
  figures.l2Bytes = figures.memoryGbPerSecond = 1e9; // the loops ask neither for anything
  double agreeing = 0, pairs = 0;
  std::vector<double> shares;
  for (const Loop &loop : loops) {
    AttentionSpec spec = specOf(loop.dim);
    Candidate candidate{
        {"hopper",
         {{"block_q", loop.rows}, {"block_kv", loop.keys}, {"stages", 2}, {"overlap", loop.overlap}}},
        Target::PTX};
    const Family &family = familyOf(candidate);
    std::string why;
    candidate.schedule = family.schedules.standard(queryOf(spec, h100().arch), candidate.schedule, why);
    // One block an SM for very long.
    ProblemShape shape{1, figures.multiprocessors, figures.multiprocessors, loop.rows,
                       int64_t(loop.keys) * 100'000};
    Work work = family.work(spec, h100().arch, shape, candidate);
    ScheduleCost cost = family.cost(spec, h100().arch, candidate);
    double us = estimate(figures, work, cost).us;
    double share =
        work.multiplyAdds / figures.multiprocessors / figures.wgmma / (figures.loadedGhz * 1e3) / us;
    CAPTURE(loop.dim);
    CAPTURE(loop.rows);
    CAPTURE(loop.overlap);
    CHECK(share == doctest::Approx(loop.share).epsilon(0.2));
    shares.push_back(share);
  }
  for (size_t i = 0; i < shares.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (std::abs(loops[i].share - loops[j].share) > 0.03) {
        ++pairs;
        agreeing += (shares[i] - shares[j]) * (loops[i].share - loops[j].share) > 0 ? 1 : -1;
      }
  MESSAGE("Kendall's tau ", agreeing / pairs, " of ", pairs, " pairs");
  CHECK(agreeing / pairs > 0.8);
}

TEST_CASE("on sm_90 the model has the family that was made for it ahead") {
  for (int dim : {64, 128, 256})
    for (bool causal : {false, true})
      for (int64_t length : {2048, 16384}) {
        AttentionSpec spec = specOf(dim, causal);
        ProblemShape shape{1, 16, 16, length, length};
        std::vector<Candidate> candidates;
        for (const Family *family : familiesFor(spec, h100().arch))
          for (const Candidate &candidate : enumerate(*family, spec, h100().arch, Target::PTX).feasible)
            candidates.push_back(candidate);
        std::vector<Ranked> ranked = rank(spec, h100(), shape, candidates);
        CHECK(ranked.front().candidate.schedule.family == "hopper");
      }
}

TEST_CASE("exports that are none, or of other versions, or with mistakes, are one error with its place") {
  auto wrong = [](std::string_view text) {
    Result<Exchange> read = readExchange(text, "x.json");
    REQUIRE(!read);
    return read.error().message;
  };
  CHECK(wrong("{").find("x.json:1") == 0);
  CHECK(wrong("[]").find("expected results that attune tune exported") != std::string::npos);
  CHECK(wrong("{\"attune_tuning\":99}").find("expected results of version 1, got 99") != std::string::npos);
  std::string text = exchangeText(exchangeOf(ATTUNE_H100_TUNING));
  auto changed = [&](std::string_view from, std::string_view to) {
    std::string copy = text;
    copy.replace(copy.find(from), from.size(), to);
    return wrong(copy);
  };
  CHECK(changed("\"measured\"", "\"guessed\"").find("\"kind\"") != std::string::npos);
  CHECK(changed("\"ptx\"", "\"sass\"").find("\"target\"") != std::string::npos);
  CHECK(changed("\"passed\"", "\"fine\"").find("verdict") != std::string::npos);
  CHECK(changed("\"batch\":4", "\"batch\":0").find("shape") != std::string::npos);
  CHECK(changed("\"median_us\":", "\"median_us\":\"x\",\"y\":").find("median_us") != std::string::npos);
}

TEST_CASE("what is shipped can be read, and is of measured winners that are schedules") {
  const Exchange &shipped = shippedResults();
  REQUIRE(!shipped.rows.empty());
  for (const StoredRow &stored : shipped.rows) {
    CHECK(stored.subject.kind == Kind::Measured);
    CHECK(stored.row.verdict == Verdict::Passed);
    CHECK(!stored.row.samples.empty());
    const Family *family = findFamily(stored.row.family);
    REQUIRE(family);
    CHECK(parseSchedule(*family, stored.row.schedule));
  }
  CHECK(winnersOnly(shipped).rows.size() == shipped.rows.size());
}

TEST_CASE("slots of scores that are expressions") {
  auto slots = [&](const std::string &score) {
    AttentionSpec spec = specOf(128);
    spec.scoreExpression = score;
    spec.captures.arrays = {{"slope", DType::F32, {{expr::Variable::H, 0}}, ""},
                            {"bias", DType::F32, {{expr::Variable::Kv, 0}}, ""}};
    return countSteps(spec, {1, 8, 8, 1024, 1024}, 128, 64).scoreSlots;
  };
  // What is linear in the key is where products begin.
  for (const char *score : {"score + slope[h] * (kv - q)", "score - 0.25 * (q - kv)", "kv / 4.0 + score",
                            "slope[h] * slope[h] * float(kv) + score - 0.5 * (kv - len_kv)"})
    CHECK_MESSAGE(slots(score) == 1, std::string(score));
  CHECK(slots("tanh(score) + slope[h] * (kv - q)") == 4);
  CHECK(slots("score + slope[h] * abs(kv - q)") > 3);
  CHECK(slots("score + bias[kv]") == 5);
}

TEST_CASE("steps of masks that are expressions: what they visit and what they evaluate") {
  ProblemShape shape{1, 8, 8, 16384, 16384};
  auto steps = [&](const std::string &mask) {
    AttentionSpec spec = specOf(128);
    spec.maskExpressions = {mask};
    spec.captures.arrays = {{"doc", DType::I32, {{expr::Variable::B, 0}, {expr::Variable::Kv, 0}}, ""}};
    spec.captures.scalars = {{"window", expr::Type::I32, 1024}};
    return countSteps(spec, shape, 128, 64);
  };
  Steps causal = countSteps(specOf(128, true), shape, 128, 64);
  CHECK(steps("kv <= q").all == causal.all);
  CHECK(steps("kv <= q").masked == causal.masked);
  // Of a mask that is walked some blocks of queries are asked, which stand for the others.
  // A window and the first keys, counted block by block.
  double visited = 0, masked = 0;
  for (int64_t row = 0; row < shape.lengthQ; row += 128) {
    int64_t first = std::max<int64_t>(row - 1023, 0) / 64, last = (row + 127) / 64;
    visited += double(last - first + 1 + (first > 0));
    for (int64_t block = 0; block <= last; ++block) {
      bool isWhole = block * 64 + 63 <= row && row + 127 - block * 64 < 1024;
      masked += !isWhole && (block >= first || block == 0);
    }
  }
  Steps sinks = steps("kv <= q && (kv < 4 || q - kv < window)");
  CHECK(sinks.all == doctest::Approx(visited).epsilon(0.06));
  CHECK(sinks.masked == doctest::Approx(masked).epsilon(0.06));
  CHECK(sinks.maskSlots > 0);
  CHECK(causal.maskSlots == 0);
  // Every other key; and what hangs on an array alone.
  CHECK(steps("kv % 2 == 0").all == 128 * 256);
  CHECK(steps("kv % 2 == 0").masked == 128 * 256);
  CHECK(steps("kv <= q && doc[b, q] == doc[b, kv]").all == doctest::Approx(causal.all).epsilon(0.02));
  CHECK(steps("kv <= q && doc[b, q] == doc[b, kv]").masked == doctest::Approx(causal.all).epsilon(0.02));
}
