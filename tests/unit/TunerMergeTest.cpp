//===- TunerMergeTest.cpp - stores that meet ------------------------------===//
//
// Properties of merging, over random histories of few subjects, candidates, seconds and figures, so that much
// is of the same candidate, of the same second, or nearly the same.
//
//===----------------------------------------------------------------------===//
#include "tuner/Exchange.h"

#include "runtime/io/File.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include <fmt/format.h>

using namespace attune;
using namespace attune::tuner;

namespace {

constexpr const char *devices[] = {"NVIDIA H100", "NVIDIA H200", "NVIDIA A100"};

class Histories {
public:
  explicit Histories(unsigned seed) : random(seed) {}

  Exchange next(size_t mostDevices = std::size(devices)) {
    Exchange exchange;
    for (size_t left = any(40); left > 0; --left) {
      StoredRow stored{subject(mostDevices), row(), time()};
      exchange.rows.push_back(stored);
      if (any(4) == 0)
        exchange.sweeps.push_back({stored.subject, sweep(stored.row.shape), time()});
    }
    return exchange;
  }

private:
  size_t any(size_t count) { return random() % count; }
  std::string time() { return fmt::format("2026-01-01T00:00:0{}Z", any(4)); }

  Subject subject(size_t mostDevices) {
    AttentionSpec spec;
    // With LSE it is the same subject, described otherwise.
    spec.lse = any(2);
    spec.headDimQk = spec.headDimV = any(2) ? 64 : 128;
    Subject subject;
    subject.kind = any(2) ? Kind::Measured : Kind::Estimate;
    subject.device = devices[any(mostDevices)];
    subject.arch = "sm_90";
    subject.driver = any(4) ? "CUDA 13.0" : "CUDA 13.1";
    subject.toolkit = "attune 1, ptxas 13.0.88";
    subject.specKey = tuningKey(spec);
    subject.spec = toJson(spec);
    return subject;
  }

  Row row() {
    Row row;
    row.shape = {1, 16, 16, 4096, any(4) ? 4096 : 2048};
    row.family = any(3) ? "portable" : "hopper";
    row.schedule = fmt::format("block_q=128 block_kv={} stages=1 warps=4", 16 * (1 + any(2)));
    row.target = any(3) ? Target::PTX : Target::CUDA;
    row.modelUs = 50 + double(any(2));
    row.verdict = any(4) ? Verdict::Passed : Verdict(1 + any(5));
    if (row.verdict != Verdict::Passed) {
      row.message = fmt::format("why {}", any(2));
      return row;
    }
    row.samples.resize(1 + any(2));
    for (double &sample : row.samples)
      sample = 100 + double(any(2));
    row.median = 100 + double(any(2));
    row.low = row.median - double(any(2));
    row.high = row.median + double(any(2));
    row.shareOfLimit = 0.5;
    return row;
  }

  SweepRecord sweep(const ProblemShape &shape) {
    SweepRecord sweep;
    sweep.shape = shape;
    sweep.outcome = any(2) ? "complete" : "budget";
    sweep.tried = int64_t(any(2));
    sweep.tau = double(any(2)) / 2;
    sweep.refusals = {{"spilled", int64_t(any(2))}};
    return sweep;
  }

  std::mt19937 random;
};

struct Stores {
  TempDir folder = std::move(*TempDir::make());
  int made = 0;

  /// A store into which `parts` were merged one after the other.
  Store of(std::initializer_list<const Exchange *> parts) {
    Result<Store> store = Store::open(fmt::format("{}/{}.sqlite", folder.path(), made++));
    if (!store)
      FAIL(store.error().message);
    for (const Exchange *part : parts)
      REQUIRE(store->merge(*part));
    return std::move(*store);
  }
};

Exchange exported(Store &store) { return {*store.allSweeps(), *store.allRows()}; }

/// What a store says, but for the order in which it came.
std::string contentOf(Store &store, const std::string &device = "") {
  Exchange all = exported(store);
  auto foreign = [&](const auto &one) { return !device.empty() && one.subject.device != device; };
  std::erase_if(all.rows, foreign);
  std::erase_if(all.sweeps, foreign);
  auto text = [](const StoredRow &row) { return exchangeText({{}, {row}}); };
  std::sort(all.rows.begin(), all.rows.end(), [&](auto &a, auto &b) { return text(a) < text(b); });
  auto sweepText = [](const StoredSweep &sweep) { return exchangeText({{sweep}, {}}); };
  std::sort(all.sweeps.begin(), all.sweeps.end(),
            [&](auto &a, auto &b) { return sweepText(a) < sweepText(b); });
  return exchangeText(all);
}

using Key =
    std::tuple<Kind, std::string, std::string, std::string, int64_t, std::string, std::string, Target>;
Key keyOf(const StoredRow &stored) {
  return {stored.subject.kind,       stored.subject.device, stored.subject.driver, stored.subject.specKey,
          stored.row.shape.lengthKv, stored.row.family,     stored.row.schedule,   stored.row.target};
}

constexpr int rounds = 25;

} // namespace

TEST_CASE("merging is commutative, associative and idempotent, of files and through JSON") {
  Histories histories(7);
  for (int round = 0; round < rounds; ++round) {
    CAPTURE(round);
    Stores stores;
    Exchange a = histories.next(), b = histories.next(), c = histories.next();
    Store left = stores.of({&a, &b, &c}), reversed = stores.of({&c, &b, &a});
    std::string content = contentOf(left);
    CHECK((contentOf(reversed) == content));
    Store later = stores.of({&b, &c});
    Exchange both = exported(later);
    Store right = stores.of({&a, &both});
    CHECK((contentOf(right) == content));
    for (const Exchange &part : {a, b, c, exported(left)}) {
      Result<MergeCount> again = left.merge(part);
      REQUIRE(again);
      CHECK(again->added + again->replaced + again->sweeps == 0);
      CHECK(again->known == int64_t(part.rows.size()));
    }
    CHECK((contentOf(left) == content));
    Result<Exchange> read = readExchange(content, "x");
    if (!read)
      FAIL(read.error().message);
    Store imported = stores.of({&*read});
    CHECK((contentOf(imported) == content));
  }
}

TEST_CASE("of merged rows of one candidate the later stays, of one second that with more timings, then the "
          "faster; of sweeps all that differ") {
  Histories histories(8);
  for (int round = 0; round < rounds; ++round) {
    CAPTURE(round);
    Stores stores;
    Exchange a = histories.next(), b = histories.next();
    Store merged = stores.of({&a, &b});
    std::map<Key, std::vector<const StoredRow *>> all;
    std::set<std::string> sweeps;
    for (const Exchange *part : {&a, &b}) {
      for (const StoredRow &stored : part->rows)
        all[keyOf(stored)].push_back(&stored);
      for (StoredSweep stored : part->sweeps) {
        stored.subject.spec = "{}"; // of one subject there is one
        sweeps.insert(stored.subject.specKey + exchangeText({{stored}, {}}));
      }
    }
    std::vector<StoredRow> kept = *merged.allRows();
    CHECK(kept.size() == all.size());
    for (const StoredRow &stored : kept) {
      auto found = all.find(keyOf(stored));
      REQUIRE(found != all.end());
      auto rank = [](const StoredRow &row) {
        return std::tuple(row.when, row.row.samples.size(), -row.row.median);
      };
      bool same = false;
      for (const StoredRow *candidate : found->second) {
        CHECK(rank(stored) >= rank(*candidate));
        same |= candidate->row == stored.row && candidate->when == stored.when;
      }
      CHECK(same); // one of them as it is, not a mixture
    }
    CHECK(merged.allSweeps()->size() == sweeps.size());
  }
}

TEST_CASE("what comes of other devices changes nothing of a device's own") {
  Histories histories(9);
  for (int round = 0; round < rounds; ++round) {
    CAPTURE(round);
    Stores stores;
    Exchange own = histories.next(1), foreign = histories.next();
    std::erase_if(foreign.rows, [](const StoredRow &row) { return row.subject.device == devices[0]; });
    std::erase_if(foreign.sweeps,
                  [](const StoredSweep &sweep) { return sweep.subject.device == devices[0]; });
    Store alone = stores.of({&own}), merged = stores.of({&foreign, &own, &foreign});
    CHECK((contentOf(merged, devices[0]) == contentOf(alone))); // both are long
    auto specs = alone.specs(devices[0], "sm_90", Kind::Measured);
    REQUIRE(specs);
    for (const auto &[key, spec] : *specs) {
      auto winners = [&, &key = key](Store &store) {
        Schedule any;
        Result<std::vector<StoredRow>> rows = store.winners(devices[0], "sm_90", Kind::Measured, key, {any});
        REQUIRE(rows);
        return exchangeText({{}, *rows});
      };
      CHECK(winners(merged) == winners(alone));
    }
  }
}
