//===- Main.cpp - attune_e2e: the end-to-end matrix -----------------------===//
//
//   attune_e2e                 the quick matrix, about half a minute on two cores
//   attune_e2e --all           every dtype x head dims x mask, all modes
//   attune_e2e --random N      N kernels drawn at random; --seed S draws others
//   attune_e2e --case 'TEXT'   one case, as a failure prints it
//   attune_e2e --list [--all]  the cases
//
//===----------------------------------------------------------------------===//
#include "tests/e2e/Matrix.h"
#include "tests/e2e/Runner.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <unistd.h>

using namespace attune;
using namespace attune::e2e;

namespace {

struct Arguments {
  bool all = false, list = false, verbose = false;
  std::string oneCase, match;
  RunOptions run;
  int jobs = int(std::max(1u, std::thread::hardware_concurrency()));
  int most = 20; ///< failures that are printed
  int random = 0;
  uint64_t seed = 1;
};

int usage(const std::string &message) {
  fmt::print(
      stderr,
      "attune_e2e: error: {}\n"
      "usage: attune_e2e [--all | --random N [--seed S]] [--list] [--verbose] [--case TEXT] [--match TEXT] "
      "[--target ptx|cuda]\n"
      "                  [--mode eager|lazy|random] [--all-modes] [--compile-only] [--jobs N] [--dump-dir D] "
      "[--failures N]\n",
      message);
  return 2;
}

/// The number of the missing or unknown argument, or 0.
int parse(int count, char **words, Arguments &arguments) {
  for (int i = 1; i < count; ++i) {
    std::string word = words[i];
    auto value = [&](std::string &into) { return ++i < count && !(into = words[i]).empty(); };
    std::string number;
    bool good = true;
    if (word == "--all")
      arguments.all = true;
    else if (word == "--list")
      arguments.list = true;
    else if (word == "--verbose")
      arguments.verbose = true;
    else if (word == "--all-modes")
      arguments.run.allModes = true;
    else if (word == "--compile-only")
      arguments.run.compileOnly = true;
    else if (word == "--case")
      good = value(arguments.oneCase);
    else if (word == "--match")
      good = value(arguments.match);
    else if (word == "--target")
      good = value(arguments.run.filter.target);
    else if (word == "--mode")
      good = value(arguments.run.filter.mode);
    else if (word == "--dump-dir")
      good = value(arguments.run.dumpDir);
    else if (word == "--jobs")
      good = value(number) && (arguments.jobs = std::atoi(number.c_str())) > 0;
    else if (word == "--random")
      good = value(number) && (arguments.random = std::atoi(number.c_str())) > 0;
    else if (word == "--seed")
      good = value(number) && (arguments.seed = std::strtoull(number.c_str(), nullptr, 10)) > 0;
    else if (word == "--failures")
      good = value(number) && (arguments.most = std::atoi(number.c_str())) > 0;
    else
      good = false;
    if (!good)
      return std::min(i, count - 1);
  }
  return 0;
}

std::string reproduction(const std::string &text) { return fmt::format("attune_e2e --case '{}'", text); }

// What each thread runs, for a crash: a handler may not allocate, so the line is made beforehand.
thread_local char running[1024] = "(between cases)\n";

void onCrash(int signal) {
  constexpr char before[] = "\nattune_e2e: crashed in: ";
  [[maybe_unused]] ssize_t ignored = write(STDERR_FILENO, before, sizeof(before) - 1);
  ignored = write(STDERR_FILENO, running, std::strlen(running));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

/// Longest first, so that no core waits at the end for one that began late.
void sortByWork(std::vector<Case> &cases) {
  auto work = [](const Case &one) {
    double sum = 0;
    for (const Shape &shape : one.shapes)
      sum += double(shape.batch) * shape.headsQ * shape.lengthQ * shape.lengthKv *
             (one.kernel.spec.headDimQk + one.kernel.spec.headDimV + 100);
    return sum;
  };
  std::vector<std::pair<double, size_t>> order;
  for (size_t i = 0; i < cases.size(); ++i)
    order.emplace_back(-work(cases[i]), i);
  std::sort(order.begin(), order.end());
  std::vector<Case> sorted;
  for (auto [negativeWork, index] : order)
    sorted.push_back(std::move(cases[index]));
  cases = std::move(sorted);
}

} // namespace

int main(int count, char **words) {
  Arguments arguments;
  if (int bad = parse(count, words, arguments))
    return usage(fmt::format("expected one of the options below, got '{}'", words[bad]));
  std::vector<Case> cases = arguments.random ? randomMatrix(arguments.random, arguments.seed)
                            : arguments.all  ? fullMatrix()
                                             : quickMatrix();
  arguments.run.allModes |= arguments.all;
  if (!arguments.oneCase.empty()) {
    auto one = parseCase(arguments.oneCase);
    if (!one)
      return usage(one.error().message);
    cases = {one->first};
    if (!one->second.target.empty())
      arguments.run.filter.target = one->second.target;
    if (!one->second.mode.empty())
      arguments.run.filter.mode = one->second.mode;
    arguments.run.allModes = true;
  }
  std::erase_if(cases, [&](const Case &one) {
    return kernelText(one.kernel).find(arguments.match) == std::string::npos;
  });
  if (arguments.list) {
    for (const Case &one : cases)
      for (const Shape &shape : one.shapes)
        fmt::print("{} {}\n", kernelText(one.kernel), shapeText(shape));
    return 0;
  }
  sortByWork(cases);
  for (int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL})
    std::signal(signal, onCrash);
  arguments.run.simThreads = cases.size() == 1 ? 0 : 1;

  auto start = std::chrono::steady_clock::now();
  std::atomic<size_t> next{0};
  std::mutex lock;
  Outcome total;
  int printed = 0;
  auto work = [&] {
    for (size_t i; (i = next++) < cases.size();) {
      Outcome outcome = runCase(cases[i], arguments.run, [](const std::string &text) {
        fmt::format_to_n(running, sizeof(running) - 1, "{}\n{}", reproduction(text), '\0');
      });
      std::lock_guard guard(lock);
      total.runs += outcome.runs;
      total.skipped += outcome.skipped;
      total.warpInstructions += outcome.warpInstructions;
      if (!outcome.skipReason.empty())
        total.skipReason = outcome.skipReason;
      if (arguments.verbose)
        fmt::print("{:3} runs, {:2} failures: {}\n", outcome.runs, outcome.failures.size(),
                   kernelText(cases[i].kernel));
      for (Failure &failure : outcome.failures) {
        if (printed++ < arguments.most)
          fmt::print("FAILED {}\n  {}\n", reproduction(failure.text), failure.message);
        total.failures.push_back(std::move(failure));
      }
      std::fflush(stdout);
    }
  };
  std::vector<std::jthread> helpers;
  for (int i = 1; i < arguments.jobs; ++i)
    helpers.emplace_back(work);
  work();
  helpers.clear();

  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (printed > arguments.most)
    fmt::print("... and {} more failures\n", printed - arguments.most);
  if (total.skipped)
    fmt::print("skipped {} shapes: {}\n", total.skipped, total.skipReason);
  fmt::print("{} kernels, {} launches, {:.0f} M warp instructions, {:.1f} s\n", cases.size(), total.runs,
             double(total.warpInstructions) / 1e6, seconds);
  std::set<std::string> failed; // a run can fail in two ways
  for (const Failure &failure : total.failures)
    failed.insert(failure.text);
  fmt::print("{} passed, {} failed, {} skipped\n", std::max<int>(0, total.runs - int(failed.size())),
             failed.size(), total.skipped);
  return total.failures.empty() ? 0 : 1;
}
