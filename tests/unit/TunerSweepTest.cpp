//===- TunerSweepTest.cpp - whole sweeps ----------------------------------===//
//
// Whole sweeps over a device that crashes, hangs, errs and times noisily at chosen candidates.
//
//===----------------------------------------------------------------------===//
#include "TunerSweepSupport.h"

#include <chrono>
#include <csignal>
#include <map>
#include <mutex>
#include <set>
#include <thread>

using namespace attune;
using namespace attune::tuner;
using namespace attune::tests;

TEST_CASE("candidates that crash, hang or err cost only themselves") {
  const std::vector<Candidate> list = {candidateOf(16, 16), candidateOf(16, 32), candidateOf(16, 48),
                                       candidateOf(32, 16), candidateOf(32, 32), candidateOf(32, 48),
                                       candidateOf(64, 16), candidateOf(64, 32), candidateOf(64, 48)};
  Behaviours behaviours;
  behaviours[{16, 16}] = {120};
  behaviours[{16, 32}] = {50, 0.02, Fault::Crash};
  behaviours[{16, 48}] = {50, 0.02, Fault::Hang};
  behaviours[{32, 16}] = {50, 0.02, Fault::Wrong};
  behaviours[{32, 32}] = {50, 0.02, Fault::None, Fault::Crash, 3};
  behaviours[{32, 48}] = {50, 0.02, Fault::None, Fault::Hang, 3};
  behaviours[{64, 16}] = {50, 0.02, Fault::None, Fault::LaunchError, 2};
  behaviours[{64, 32}] = {100, 0.05}; // the best that works
  behaviours[{64, 48}] = {108, 0.05};
  std::unique_ptr<Timer> timer = faultyTimer(behaviours);
  SweepTask task = taskOf(timer->device(), list);
  StoreFile file;
  SweepOptions options;
  options.settle = false;
  SweepResult result = sweep(*timer, namedBuild(), &file.store, task, options);
  if (result.failure)
    FAIL(result.failure->message);
  CHECK(result.kind == Kind::Measured);
  REQUIRE(result.winner);
  CHECK(result.entries[*result.winner].ranked.candidate == candidateOf(64, 32));
  CHECK(result.record.outcome == "complete");
  CHECK(result.record.tried == int64_t(list.size()));

  // The records are complete, on disk as in the result.
  Result<std::vector<Row>> rows = file.store.rows(task.subject, task.shape);
  REQUIRE(rows);
  REQUIRE(rows->size() == list.size());
  const std::pair<Candidate, Verdict> expected[] = {
      {list[0], Verdict::Passed},  {list[1], Verdict::Crashed}, {list[2], Verdict::TimedOut},
      {list[3], Verdict::Wrong},   {list[4], Verdict::Crashed}, {list[5], Verdict::TimedOut},
      {list[6], Verdict::Crashed}, {list[7], Verdict::Passed},  {list[8], Verdict::Passed}};
  for (const auto &[candidate, verdict] : expected) {
    const Row *row = rowOf(*rows, task, candidate);
    REQUIRE(row);
    CAPTURE(row->schedule);
    CAPTURE(row->message);
    CHECK(row->verdict == verdict);
    CHECK(row->message.empty() == (verdict == Verdict::Passed));
  }
  CHECK(rowOf(*rows, task, list[1])->message.find("ABRT") != std::string::npos);
  const Row *best = rowOf(*rows, task, list[7]);
  CHECK(best->samples.size() >= 20);
  CHECK(rowOf(*rows, task, list[0])->samples.size() >= 20); // the default: what the ratio is of
  CHECK(best->median == doctest::Approx(100).epsilon(0.05));
  CHECK(best->low <= best->median);
  CHECK(best->median <= best->high);
  CHECK(result.record.refusals.at("crashed") == 3);
  CHECK(result.record.refusals.at("timed out") == 2);
  CHECK(result.record.refusals.at("wrong") == 1);
  CHECK(file.store.allSweeps()->size() == 1);
  CHECK(result.record.tauPairs == 3);
}

TEST_CASE("a candidate that hangs is ended once others have shown how long one takes") {
  const std::vector<Candidate> list = {candidateOf(16, 16), candidateOf(16, 32), candidateOf(16, 48)};
  Behaviours behaviours;
  behaviours[{16, 16}] = {120};
  behaviours[{16, 32}] = {50, 0.02, Fault::Hang};
  behaviours[{16, 48}] = {50, 0.02, Fault::None, Fault::Hang, 1};
  WorkerLimits limits;
  limits.least = 1;
  std::unique_ptr<Timer> timer = faultyTimer(behaviours, limits);
  SweepTask task = taskOf(timer->device(), list);
  auto begin = std::chrono::steady_clock::now();
  SweepResult result = sweep(*timer, namedBuild(), nullptr, task, {});
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(15));
  REQUIRE(result.entries.size() == 3);
  CHECK(result.entries[0].row.verdict == Verdict::Passed);
  CHECK(result.entries[1].row.verdict == Verdict::TimedOut);
  CHECK(result.entries[2].row.verdict == Verdict::TimedOut);
}

TEST_CASE(
    "a sweep over two families: faults in either cost only themselves, either can win, and a shard or a "
    "resumed sweep has both") {
  AttentionSpec spec;
  spec.headDimQk = spec.headDimV = 64;
  DeviceInfo hopper = describeSimDevice(*findArch("sm_90"));
  SweepTask whole = makeTask(spec, problemOf().shape, hopper, "toolkit of the test", Target::PTX);
  REQUIRE(whole.families.size() == 2);
  REQUIRE(whole.standard == 0);
  CHECK(whole.family->name() == "hopper");

  // Of each family some that differ in their blocks, by which the device knows them; a block a tile, so that
  // it sees what is timed.
  std::vector<Ranked> list;
  std::map<std::string, int> families;
  std::set<std::pair<int, int>> seen;
  auto blocksOf = [](const Ranked &one) {
    return std::pair(one.candidate.schedule.value("block_q"), one.candidate.schedule.value("block_kv"));
  };
  for (const Ranked &one : whole.candidates) {
    int &count = families[one.candidate.schedule.family];
    if (count < 4 && seen.insert(blocksOf(one)).second) {
      list.push_back(one);
      if (one.candidate.schedule.family == "hopper")
        for (auto [name, value] : {std::pair("grid", 0), std::pair("q_slots", 1)})
          list.back().candidate.schedule.set(name, value);
      ++count;
    }
  }
  REQUIRE(families.size() == 2);
  REQUIRE(families.at("hopper") == 4);
  REQUIRE(families.at("portable") == 4);
  std::vector<Ranked *> of[2];
  for (Ranked &one : list)
    of[one.candidate.schedule.family == "portable"].push_back(&one);

  // Kernels are built once: the device alone differs from sweep to sweep.
  std::mutex lock;
  std::map<std::string, Result<CompiledProgram>> kernels;
  Build build = namedBuild(nullptr, spec, "sm_90");
  Build once = [&](const Candidate &candidate) -> Result<CompiledProgram> {
    std::lock_guard guard(lock);
    std::string name = scheduleText(candidate);
    auto found = kernels.find(name);
    return found != kernels.end() ? found->second : kernels.emplace(name, build(candidate)).first->second;
  };

  for (int winner : {0, 1}) { // a place in `of`
    CAPTURE(winner);
    Behaviours behaviours;
    for (const Ranked &one : list)
      behaviours[blocksOf(one)] = {150};
    const Fault faults[2][2] = {{Fault::Crash, Fault::Wrong}, {Fault::Wrong, Fault::LaunchError}};
    const Fault atTiming[2][2] = {{Fault::Hang, Fault::Crash}, {Fault::Crash, Fault::LaunchError}};
    for (int family : {0, 1}) {
      behaviours[blocksOf(*of[family][1])] = {50, 0.02, faults[winner][family]};
      behaviours[blocksOf(*of[family][2])] = {50, 0.02, Fault::None, atTiming[winner][family], 2};
    }
    behaviours[blocksOf(*of[winner][3])].us = 80;
    Result<std::unique_ptr<Timer>> timer = startWorkerTimer(
        [=]() -> Result<std::unique_ptr<Timer>> {
          TimerProblem problem = problemOf();
          problem.spec = spec;
          return makeDeviceTimer(std::make_unique<FaultyDevice>(behaviours, timedLength, "sm_90"), problem);
        },
        {60, 20, 3});
    REQUIRE(timer);
    SweepTask task =
        makeTask(spec, problemOf().shape, (*timer)->device(), "toolkit of the test", Target::PTX);
    task.candidates = list;
    task.standard = 0;
    StoreFile file;
    SweepOptions options;
    options.settle = false;
    options.budgetSeconds = 3600;
    SweepResult result = sweep(**timer, once, &file.store, task, options);
    if (result.failure)
      FAIL(result.failure->message);
    REQUIRE(result.winner);
    CHECK(result.entries[*result.winner].ranked.candidate == of[winner][3]->candidate);
    std::map<std::string, int> passed, failed;
    for (const Entry &entry : result.entries) {
      CAPTURE(entry.row.schedule);
      CAPTURE(entry.row.message);
      bool bad = behaviours.at(blocksOf(entry.ranked)).us < 60;
      CHECK((entry.row.verdict == Verdict::Passed) == !bad);
      ++(bad ? failed : passed)[entry.row.family];
    }
    CHECK(failed == std::map<std::string, int>{{"hopper", 2}, {"portable", 2}});
    CHECK(passed == std::map<std::string, int>{{"hopper", 2}, {"portable", 2}});
    options.resume = true;
    SweepResult again = sweep(**timer, once, &file.store, task, options);
    CHECK(again.entries.size() == list.size());
    CHECK(again.entries[*again.winner].ranked.candidate == of[winner][3]->candidate);
  }
  std::set<std::string> inShard;
  SweepTask part = makeTask(spec, problemOf().shape, hopper, "toolkit of the test", std::nullopt);
  takeShard(part, {3, 8});
  for (const Ranked &one : part.candidates)
    inShard.insert(one.candidate.schedule.family);
  CHECK(inShard.size() == 2);
}

TEST_CASE(
    "shards: every candidate is in one of them, the compiler's own choice in each, as many in every one") {
  DeviceInfo device = describeSimDevice(*findArch("sm_80"));
  AttentionSpec spec = smallSpec();
  SweepTask whole = makeTask(spec, problemOf().shape, device, "toolkit of the test", std::nullopt);
  REQUIRE(whole.standard == 0);
  std::map<std::string, int> seen;
  auto name = [](const Ranked &one) {
    return scheduleText(one.candidate) + attune::nameOf(one.candidate.target) + one.candidate.schedule.family;
  };
  constexpr int count = 8;
  for (int number = 1; number <= count; ++number) {
    SweepTask part = makeTask(spec, problemOf().shape, device, "toolkit of the test", std::nullopt);
    takeShard(part, {number, count});
    REQUIRE(part.standard == 0);
    CHECK(part.candidates.front().candidate == whole.candidates.front().candidate);
    CHECK(std::abs(int(part.candidates.size()) - int(whole.candidates.size()) / count) <= 2);
    for (const Ranked &one : part.candidates)
      ++seen[name(one)];
  }
  CHECK(seen.size() == whole.candidates.size());
  for (const Ranked &one : whole.candidates)
    CHECK(seen[name(one)] == (&one == &whole.candidates.front() ? count : 1));
}

TEST_CASE("noisy timings: the winner is the one that is faster") {
  std::vector<Candidate> list;
  Behaviours behaviours;
  int i = 0;
  for (int blockQ : {16, 32, 64})
    for (int blockKv : {16, 32, 48, 64}) {
      list.push_back(candidateOf(blockQ, blockKv));
      behaviours[{blockQ, blockKv}] = {105.0 + 3 * ((i++ * 5) % 12), 0.06};
    }
  behaviours[{32, 48}].us = 98;
  std::unique_ptr<Timer> timer = faultyTimer(behaviours);
  SweepTask task = taskOf(timer->device(), list);
  SweepOptions options;
  options.settle = false;
  SweepResult result = sweep(*timer, namedBuild(), nullptr, task, options);
  REQUIRE(result.winner);
  CHECK(result.entries[*result.winner].ranked.candidate == candidateOf(32, 48));
  CHECK(result.standard == 0);
}

TEST_CASE("a first candidate that crashes leaves the others; with nobody left there is no winner") {
  Behaviours behaviours;
  behaviours[{16, 16}] = {10, 0, Fault::Crash};
  behaviours[{16, 32}] = {10, 0, Fault::Wrong};
  std::unique_ptr<Timer> timer = faultyTimer(behaviours);
  SweepTask task = taskOf(timer->device(), {candidateOf(16, 16), candidateOf(16, 32)});
  SweepResult result = sweep(*timer, namedBuild(), nullptr, task, {});
  CHECK(!result.winner);
  CHECK(result.entries.size() == 2);
}

TEST_CASE("a timer that cannot be made is the factory's error; one that dies at once is reported") {
  Result<std::unique_ptr<Timer>> none =
      startWorkerTimer([]() -> Result<std::unique_ptr<Timer>> { return missing("no such device"); });
  REQUIRE(!none);
  CHECK(none.error().message == "no such device");
  CHECK(none.error().kind == ErrorKind::Missing);
  Result<std::unique_ptr<Timer>> dead =
      startWorkerTimer([]() -> Result<std::unique_ptr<Timer>> { std::abort(); });
  REQUIRE(!dead);
  CHECK(dead.error().kind == ErrorKind::Missing);
}

TEST_CASE("the budget ends a sweep, with the compiler's own choice tried at least") {
  Behaviours behaviours;
  std::unique_ptr<Timer> timer = faultyTimer(behaviours);
  SweepTask task = taskOf(timer->device(), {candidateOf(16, 16), candidateOf(16, 32), candidateOf(16, 48)});
  SweepOptions options;
  options.budgetSeconds = 1e-6;
  SweepResult result = sweep(*timer, namedBuild(), nullptr, task, options);
  CHECK(result.record.outcome == "budget");
  REQUIRE(result.winner == 0);
  CHECK(!result.entries[0].row.samples.empty());
}

TEST_CASE("a budget is kept though compiling and trying take long") {
  std::vector<Candidate> list;
  for (int i = 0; i < 40; ++i)
    list.push_back(candidateOf(16 * (1 + i % 4), 16 * (1 + i / 4)));
  Build quick = namedBuild();
  Build slow = [&](const Candidate &candidate) {
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    return quick(candidate);
  };
  std::unique_ptr<Timer> timer = faultyTimer({});
  SweepTask task = taskOf(timer->device(), list);
  SweepOptions options;
  options.compileThreads = 4;
  options.settle = false;
  auto took = [&](double budget, SweepResult &result) {
    options.budgetSeconds = budget;
    auto began = std::chrono::steady_clock::now();
    result = sweep(*timer, slow, nullptr, task, options);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  SweepResult first, result;
  // What is compared with is tried whatever it takes, which on a busy machine is some seconds.
  double alone = took(1e-6, first), budget = std::max(3.0, 3 * alone);
  CHECK(first.record.tried == 1);
  double seconds = took(budget, result);
  CHECK(result.record.outcome == "budget");
  CHECK(result.record.tried > 1);
  CHECK(seconds <= std::max(1.1 * budget, budget + 1));
}

TEST_CASE("stopped: the row is finished, the rest is left, and a resumed sweep goes on") {
  std::vector<Candidate> list;
  Behaviours behaviours;
  for (int blockQ : {16, 32, 64})
    for (int blockKv : {16, 32, 48})
      list.push_back(candidateOf(blockQ, blockKv));
  behaviours[{16, 32}] = {50, 0.01, Fault::Crash};
  behaviours[{64, 48}] = {60};
  std::unique_ptr<Timer> timer = faultyTimer(behaviours);
  SweepTask task = taskOf(timer->device(), list);
  StoreFile file;
  std::atomic<bool> stop = false;
  SweepOptions options;
  options.settle = false;
  options.stop = &stop;
  options.progress = [&](const Progress &progress) { stop = progress.tried >= 4; };
  SweepResult first = sweep(*timer, namedBuild(), &file.store, task, options);
  CHECK(first.interrupted);
  CHECK(first.record.outcome == "interrupted");
  CHECK(first.entries.size() == 4);
  Result<std::vector<Row>> kept = file.store.rows(task.subject, task.shape);
  REQUIRE(kept->size() == 4);
  for (const Row &row : *kept)
    CHECK((row.verdict != Verdict::Passed || !row.samples.empty()));

  stop = false;
  options.progress = nullptr;
  options.resume = true;
  std::atomic<int> compiled = 0;
  SweepResult second = sweep(*timer, namedBuild(&compiled), &file.store, task, options);
  CHECK(second.record.outcome == "complete");
  CHECK(second.entries.size() == list.size());
  REQUIRE(second.winner);
  CHECK(second.entries[*second.winner].ranked.candidate == candidateOf(64, 48));
  CHECK(file.store.rows(task.subject, task.shape)->size() == list.size());
  // The one that crashed is not tried again, nor are those that are far behind.
  CHECK(compiled < int(list.size()));
  CHECK(rowOf(*file.store.rows(task.subject, task.shape), task, list[1])->verdict == Verdict::Crashed);
  // A third time there is next to nothing left to do.
  compiled = 0;
  SweepResult third = sweep(*timer, namedBuild(&compiled), &file.store, task, options);
  CHECK(third.entries[*third.winner].ranked.candidate == candidateOf(64, 48));
  CHECK(compiled <= 2);
}

TEST_CASE("a child that is killed from outside is replaced") {
  Behaviours behaviours;
  behaviours[{16, 32}] = {50};
  std::unique_ptr<Timer> timer = faultyTimer(behaviours);
  Build build = namedBuild();
  REQUIRE(timer->open({1, *build(candidateOf(16, 16))}, true).verdict == Verdict::Passed);
  REQUIRE(timer->open({2, *build(candidateOf(16, 32))}, true).verdict == Verdict::Passed);
  CHECK(timer->time(2).us == doctest::Approx(50).epsilon(0.2));
  // Whoever it was: the kernel's out-of-memory killer, say.
  std::string children = fmt::format("/proc/self/task/{}/children", ::getpid());
  int helper = std::atoi(readFile(children) ? readFile(children)->c_str() : "0");
  int child = 0;
  FILE *list = std::fopen(fmt::format("/proc/{0}/task/{0}/children", helper).c_str(), "r");
  if (list) {
    if (std::fscanf(list, "%d", &child) != 1)
      child = 0;
    std::fclose(list);
  }
  if (child > 0) {
    ::kill(child, SIGKILL);
    Timed killed = timer->time(1);
    CHECK((killed.verdict == Verdict::Crashed || killed.us > 0));
  }
  // Both are there again, without having been opened anew by us.
  CHECK(timer->time(1).verdict == Verdict::Passed);
  CHECK(timer->time(2).us == doctest::Approx(50).epsilon(0.2));
  CHECK(bool(timer->state()));
}

TEST_CASE("a store that fails in the middle ends the sweep and is reported") {
  Behaviours behaviours;
  std::unique_ptr<Timer> timer = faultyTimer(behaviours);
  SweepTask task = taskOf(timer->device(), {candidateOf(16, 16), candidateOf(16, 32)});
  TempDir folder = std::move(*TempDir::make());
  std::string path = folder.path() + "/store.sqlite";
  {
    REQUIRE(Store::open(path));
  }
  Store reader = std::move(*Store::open(path, {.write = false}));
  SweepResult result = sweep(*timer, namedBuild(), &reader, task, {});
  REQUIRE(result.failure);
  CHECK(result.failure->message.find(path) != std::string::npos);
  CHECK(result.entries.size() == 1);
}
