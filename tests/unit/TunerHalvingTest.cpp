//===- TunerHalvingTest.cpp - successive halving --------------------------===//
//
// Successive halving on synthetic noisy timings whose winner is known.
//
//===----------------------------------------------------------------------===//
#include "tuner/Halving.h"
#include "tuner/Statistics.h"

#include "runtime/reference/RandomArray.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

using namespace attune;
using namespace attune::tuner;

TEST_CASE("median and interval") {
  CHECK(timingOf({}).median == 0);
  CHECK(timingOf({3}).median == 3);
  Timing few = timingOf({5, 1, 3, 2});
  CHECK(few.median == 2.5);
  CHECK(few.low == 1);
  CHECK(few.high == 5);
  std::vector<double> many;
  for (int i = 0; i < 101; ++i)
    many.push_back((i * 37) % 101);
  Timing timing = timingOf(many);
  CHECK(timing.median == 50);
  CHECK(timing.low == 40);
  CHECK(timing.high == 60);
}

TEST_CASE("the interval holds the true median 95 times of a hundred") {
  reference::RandomBits random(1, 2);
  for (int count : {6, 20, 101}) {
    int inside = 0;
    constexpr int trials = 2000;
    for (int trial = 0; trial < trials; ++trial) {
      std::vector<double> samples;
      for (int i = 0; i < count; ++i)
        samples.push_back(-std::log(1 - random.uniform())); // skewed as timings are; its median is ln 2
      Timing timing = timingOf(samples);
      inside += timing.low <= std::log(2) && std::log(2) <= timing.high;
    }
    CHECK(inside > 0.93 * trials);
    CHECK(inside < trials);
  }
}

TEST_CASE("Kendall's tau") {
  CHECK(kendallTau({}) == 0);
  CHECK(kendallTau({{1, 1}}) == 0);
  CHECK(kendallTau({{1, 10}, {2, 20}, {3, 30}}) == doctest::Approx(1));
  CHECK(kendallTau({{1, 30}, {2, 20}, {3, 10}}) == doctest::Approx(-1));
  CHECK(kendallTau({{1, 10}, {2, 30}, {3, 20}}) == doctest::Approx(1.0 / 3));
  CHECK(kendallTau({{1, 10}, {2, 10}, {3, 10}}) == 0);
  // tau-b of scipy.stats.kendalltau([12, 2, 1, 12, 2], [1, 4, 7, 1, 0])
  CHECK(kendallTau({{12, 1}, {2, 4}, {1, 7}, {12, 1}, {2, 0}}) == doctest::Approx(-0.47140452));
}

namespace {

/// Runs the whole procedure over candidates whose true times are known; true if the best won.
struct Race {
  std::vector<double> truth;
  double noise;    ///< of each timing, relative
  double outliers; ///< share of timings that take three times as long
  double drift;    ///< how much slower the clock gets with each timing
  size_t batch = 4;
  int timings = 0;
  int leader = -1;

  bool run(uint64_t seed) {
    reference::RandomBits random(seed, 7);
    Halving halving;
    timings = 0;
    auto time = [&](const Halving::Round &round) {
      for (int i = 0; i < round.repeats; ++i)
        for (int id : round.ids) {
          double us = truth[size_t(id)] * (1 + noise * random.normals()[0]) * (1 + drift * timings);
          halving.record(id, random.uniform() < outliers ? 3 * us : us);
          ++timings;
        }
    };
    for (size_t i = 0; i < truth.size(); i += batch) {
      std::vector<int> newcomers;
      for (size_t j = i; j < std::min(truth.size(), i + batch); ++j)
        newcomers.push_back(int(j));
      time(halving.admit(newcomers));
      halving.prune();
    }
    while (std::optional<Halving::Round> round = halving.next())
      time(*round);
    leader = *halving.leader();
    return truth[size_t(leader)] == *std::min_element(truth.begin(), truth.end());
  }
};

} // namespace

TEST_CASE("halving finds a winner that is 3 % ahead through 3 % noise, outliers and drift") {
  int won = 0, timings = 0;
  constexpr int races = 200;
  for (int race = 0; race < races; ++race) {
    Race field;
    for (int i = 0; i < 40; ++i)
      field.truth.push_back(103 + 2.0 * ((i * 17) % 40));
    field.truth[size_t((race * 7) % 40)] = 100;
    field.noise = 0.03;
    field.outliers = 0.05;
    field.drift = 1e-5;
    won += field.run(uint64_t(race));
    timings += field.timings;
  }
  MESSAGE(won, " of ", races, " won, ", double(timings) / races, " timings each");
  CHECK(won >= 0.97 * races);
  CHECK(timings / races < 1200); // 40 candidates x 30 would be as many
}

TEST_CASE("halving without noise needs few timings and is never wrong") {
  for (int best = 0; best < 9; ++best) {
    Race field;
    for (int i = 0; i < 9; ++i)
      field.truth.push_back(i == best ? 50 : 51 + i);
    field.noise = field.outliers = field.drift = 0;
    CHECK(field.run(uint64_t(best)));
    CHECK(field.timings < 9 * 15);
  }
}

TEST_CASE("a candidate alone is settled at once; one that failed cannot lead") {
  Halving halving;
  CHECK(!halving.leader());
  CHECK(!halving.next());
  Halving::Round round = halving.admit({3});
  CHECK(round.ids == std::vector<int>{3});
  halving.record(3, 10);
  CHECK(halving.leader() == 3);
  CHECK(!halving.next());
  // The leader is timed beside newcomers.
  CHECK(halving.admit({4}).ids == std::vector<int>{3, 4});
  halving.record(4, 5);
  CHECK(halving.leader() == 4);
  halving.drop(4);
  CHECK(halving.leader() == 3);
  CHECK(!halving.inField(4));
}

TEST_CASE("when the leader fails, those that it outran are back") {
  Halving halving;
  for (int i = 0; i < 5; ++i) {
    halving.record(1, 100);
    halving.record(2, 90);
    halving.record(3, 10);
  }
  halving.prune();
  CHECK(!halving.inField(2));
  halving.drop(3);
  CHECK(halving.leader() == 2);
  CHECK(!halving.inField(3));
  CHECK(!halving.inField(1));
}
