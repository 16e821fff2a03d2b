//===- TunerSweepClockTest.cpp - the virtual clock in sweeps --------------===//
#include "TunerSweepSupport.h"

#include "simulator/Time.h"

#include <algorithm>
#include <set>

using namespace attune;
using namespace attune::tuner;
using namespace attune::tests;

TEST_CASE(
    "on the simulated device: an estimate, the same every time, which the virtual clock refines for the "
    "best, and no worse than the default") {
  TimerProblem problem = problemOf();
  auto run = [&](Store *store, bool resume, unsigned threads) {
    Result<std::unique_ptr<Timer>> timer = startWorkerTimer([=]() -> Result<std::unique_ptr<Timer>> {
      auto clock = std::make_shared<sim::Timings>();
      SimOptions simulator;
      simulator.timings = clock.get();
      Result<std::unique_ptr<Device>> device = openSimDevice("sm_80", simulator, "under test");
      if (!device)
        return device.error();
      return makeDeviceTimer(std::move(*device), problem, clock);
    });
    REQUIRE(timer);
    SweepTask task = makeTask(smallSpec(), problem.shape, (*timer)->device(), "test", Target::PTX);
    task.candidates.resize(10);
    SweepOptions options;
    options.settle = false;
    options.resume = resume;
    options.compileThreads = threads;
    options.refined = 4;
    options.budgetSeconds = 3600; // enough on any machine
    return std::pair(sweep(**timer, namedBuild(), store, task, options), task);
  };
  StoreFile file;
  auto [first, task] = run(&file.store, false, 1);
  CHECK(first.kind == Kind::Estimate);
  REQUIRE(first.winner);
  REQUIRE(first.standard);
  CHECK(first.entries[*first.winner].row.median <= first.entries[*first.standard].row.median);
  size_t refined = 0;
  for (const Entry &entry : first.entries) {
    refined += isRefined(first.kind, entry.row);
    CHECK(entry.row.samples.size() ==
          size_t(entry.row.verdict == Verdict::Passed) + size_t(isRefined(first.kind, entry.row)));
    CHECK(entry.row.median == (entry.row.samples.empty() ? 0 : entry.row.samples.back()));
  }
  CHECK(first.clockFailure.empty());
  CHECK(refined == 4);
  CHECK(isRefined(first.kind, first.entries[*first.winner].row));
  CHECK(isRefined(first.kind, first.entries[*first.standard].row));
  for (const Entry &entry : first.entries) // by the counters, the others are behind those that were refined
    if (entry.row.verdict == Verdict::Passed && !isRefined(first.kind, entry.row))
      for (const Entry &better : first.entries)
        if (isRefined(first.kind, better.row) && &better != &first.entries[*first.standard])
          CHECK(countersUs(better.row) <= countersUs(entry.row));
  auto [second, sameTask] = run(nullptr, false, 2);
  REQUIRE(second.entries.size() == first.entries.size());
  for (size_t i = 0; i < first.entries.size(); ++i)
    CHECK(second.entries[i].row == first.entries[i].row);
  CHECK(second.winner == first.winner);
  auto [resumed, again] = run(&file.store, true, 1);
  CHECK(resumed.winner);
  CHECK(resumed.entries[*resumed.winner].row == first.entries[*first.winner].row);
  for (const Entry &entry : resumed.entries)
    CHECK(entry.resumed);
  // None of it is taken for a measured time.
  Result<std::vector<StoredRow>> rows = file.store.allRows();
  REQUIRE(rows->size() == 10);
  for (const StoredRow &stored : *rows)
    CHECK(stored.subject.kind == Kind::Estimate);
}

TEST_CASE(
    "on a GPU the virtual clock refines the model's best before they are timed: their order is the clock's") {
  std::vector<Candidate> list;
  for (int blockQ : {16, 32, 64})
    for (int blockKv : {16, 32, 48})
      list.push_back(candidateOf(blockQ, blockKv));
  std::unique_ptr<Timer> timer = faultyTimer({});
  SweepTask task = taskOf(timer->device(), list);
  std::sort(task.candidates.begin() + 1, task.candidates.end(),
            [](const Ranked &a, const Ranked &b) { return a.estimate.us < b.estimate.us; });
  std::vector<std::unique_ptr<Timer>> clocks;
  SweepOptions options;
  options.settle = false;
  options.refined = 5;
  options.budgetSeconds = 3600; // enough on any machine
  for (int i = 0; i < 2; ++i) {
    auto clock = std::make_shared<sim::Timings>();
    SimOptions simulator;
    simulator.timings = clock.get();
    TimerProblem problem = problemOf();
    problem.shape = task.clocked;
    clocks.push_back(
        makeDeviceTimer(std::move(*openSimDevice("sm_80", simulator, "under test")), problem, clock));
    options.clocks.push_back(clocks.back().get());
  }
  CHECK(task.clocked.lengthKv < task.shape.lengthKv);
  std::atomic<int> compiled = 0;
  SweepResult result = sweep(*timer, namedBuild(&compiled), nullptr, task, options);
  CHECK(result.kind == Kind::Measured);
  CHECK(result.clockFailure.empty());
  REQUIRE(result.entries.size() == list.size());
  CHECK(compiled == int(list.size())); // what the clocks followed is not built again
  CHECK(result.clockPairs == 5);
  CHECK(result.standard == 0);
  for (size_t i = 0; i < result.entries.size(); ++i) {
    const Entry &entry = result.entries[i];
    CHECK((entry.clockUs > 0) == (i < options.refined));
    CHECK(entry.row.median == doctest::Approx(100).epsilon(0.1)); // as measured, whatever the clock says
    // For the shape that is tuned, whose work is four times that of the one which was followed; the clock's
    // GPU has more multiprocessors than this device.
    if (entry.clockUs > 0)
      CHECK(entry.clockUs > entry.row.modelUs / 8);
    if (i >= 2 && i < options.refined)
      CHECK(entry.clockUs >= result.entries[i - 1].clockUs);
  }
  std::set<std::string> best, followed;
  for (size_t i = 0; i < options.refined; ++i) {
    best.insert(scheduleText(task.candidates[i].candidate));
    followed.insert(scheduleText(result.entries[i].ranked.candidate));
  }
  CHECK(best == followed);

  // With no time for it, the model's order is as good as there is.
  options.budgetSeconds = 1e-6;
  SweepResult none = sweep(*timer, namedBuild(), nullptr, task, options);
  CHECK(none.clockFailure == "its share of the budget was spent");
  REQUIRE(none.winner == 0);
}

TEST_CASE("without a virtual clock estimates stay the counters', and the sweep says so") {
  std::unique_ptr<Timer> timer =
      makeDeviceTimer(std::move(*openSimDevice("sm_80", {}, "under test")), problemOf());
  SweepTask task = makeTask(smallSpec(), problemOf().shape, timer->device(), "test", Target::PTX);
  task.candidates.resize(2);
  SweepResult result = sweep(*timer, namedBuild(), nullptr, task, {});
  REQUIRE(result.winner);
  CHECK(!isRefined(result.kind, result.entries[*result.winner].row));
  CHECK(result.clockFailure == "expected a device with a virtual clock");
}

TEST_CASE(
    "estimates of the clock are ahead of the counters', which are not on the same footing; measured times "
    "are ahead by their upper ends") {
  Row counted, refined;
  counted.samples = {10};
  counted.median = counted.low = counted.high = 10;
  refined.samples = {12, 20};
  refined.median = refined.low = refined.high = 20;
  CHECK(isAhead(Kind::Estimate, refined, counted));
  CHECK(!isAhead(Kind::Estimate, counted, refined));
  CHECK(isAhead(Kind::Measured, counted, refined));
  CHECK(countersUs(refined) == 12);
}
