//===- BenchOthers.cpp - how fast ordinary kernels of others run -----------------===//
#include "BenchOthers.h"
#include "simulator/Simulator.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fmt/format.h>
#include <fstream>
#include <sstream>
#include <vector>

using namespace attune;

namespace {

constexpr uint32_t kElements = 1 << 18, kSide = 512; ///< of vectors; of square matrices

struct Job {
  const char *entry;
  std::array<uint32_t, 3> grid, block;
  std::vector<sim::Argument> arguments; ///< after the buffers
  int inputs;
  size_t results; ///< floats
  double (*expected)(const std::vector<float> &x, const std::vector<float> &y, size_t index);
};

double product(const std::vector<float> &x, const std::vector<float> &y, size_t index) {
  double sum = 0;
  for (size_t k = 0; k < kSide; ++k)
    sum += double(x[index / kSide * kSide + k]) * y[k * kSide + index % kSide];
  return sum;
}
double normalised(const std::vector<float> &x, const std::vector<float> &y, size_t index) {
  const float *row = &x[index / 1024 * 1024];
  double sum = 0, square = 0;
  for (size_t k = 0; k < 1024; ++k) {
    sum += row[k];
    square += double(row[k]) * row[k];
  }
  double mean = sum / 1024;
  return (row[index % 1024] - mean) / std::sqrt(square / 1024 - mean * mean + 1e-5) * y[index % 1024] +
         y[index % 1024];
}
double blockSum(const std::vector<float> &x, const std::vector<float> &, size_t index) {
  double sum = 0;
  for (size_t k = 0; k < kElements; ++k)
    sum += k / 256 % 16 == index ? x[k] : 0;
  return sum;
}
double prefix(const std::vector<float> &x, const std::vector<float> &, size_t index) {
  double sum = 0;
  for (size_t k = index / 512 * 512; k <= index; ++k)
    sum += x[k];
  return sum;
}

} // namespace

int benchOthers(const std::string &ptxFile, unsigned threads, bool checks) {
  std::ifstream in(ptxFile);
  std::stringstream text;
  text << in.rdbuf();
  auto module = sim::parseModule(text.str(), ptxFile);
  if (!module) {
    fmt::print(stderr, "{}\n", module.error().message);
    return 2;
  }
  std::vector<float> x(kElements), y(kElements);
  for (size_t k = 0; k < x.size(); ++k) {
    x[k] = float(int(k * 7919 % 1021) - 510) / 512;
    y[k] = float(int(k * 104729 % 1013) - 506) / 512;
  }
  constexpr int n = kElements, side = kSide;
  const Job jobs[] = {
      {"reduction", {16, 1, 1}, {256, 1, 1}, {sim::Argument::of(n)}, 1, 16, blockSum},
      {"transpose",
       {side / 32, side / 32, 1},
       {32, 8, 1},
       {sim::Argument::of(side)},
       1,
       kElements,
       [](const auto &a, const auto &, size_t k) { return double(a[k % kSide * kSide + k / kSide]); }},
      {"layer_norm", {n / 1024, 1, 1}, {256, 1, 1}, {sim::Argument::of(1024)}, 3, kElements, normalised},
      {"sgemm", {side / 64, side / 64, 1}, {256, 1, 1}, {sim::Argument::of(side)}, 2, kElements, product},
      {"matmul", {side / 32, side / 32, 1}, {32, 32, 1}, {sim::Argument::of(side)}, 2, kElements, product},
      {"scan", {n / 512, 1, 1}, {256, 1, 1}, {sim::Argument::of(n)}, 1, kElements, prefix},
      {"saxpy",
       {64, 1, 1},
       {256, 1, 1},
       {sim::Argument::of(0.5f), sim::Argument::of(n)},
       1,
       kElements,
       [](const auto &a, const auto &b, size_t k) { return 0.5 * a[k] + b[k]; }}};
  bool good = true;
  for (const Job &job : jobs) {
    double best = 0, instructions = 0;
    size_t wrong = 0, findings = 0;
    for (int repeat = 0; repeat < 3; ++repeat) {
      sim::GlobalMemory memory;
      uint64_t px = *memory.allocate(4 * x.size(), "x"), py = *memory.allocate(4 * y.size(), "y"),
               out = *memory.allocate(4 * job.results, "out");
      (void)memory.write(px, x.data(), 4 * x.size());
      (void)memory.write(py, y.data(), 4 * y.size());
      bool inPlace = std::string(job.entry) == "saxpy";
      if (inPlace)
        (void)memory.write(out, y.data(), 4 * y.size());
      std::vector<sim::Argument> arguments;
      for (int k = 0; k < job.inputs; ++k)
        arguments.push_back(sim::Argument::pointer(k ? py : px));
      arguments.push_back(sim::Argument::pointer(out));
      arguments.insert(arguments.end(), job.arguments.begin(), job.arguments.end());
      sim::LaunchConfig c;
      c.entry = job.entry;
      c.grid = job.grid;
      c.block = job.block;
      c.params = *sim::packArguments(**(*module)->entry(job.entry), arguments);
      c.threads = threads;
      c.checks = checks;
      std::clock_t start = std::clock();
      auto result = sim::launch(**module, memory, c);
      double cpu = double(std::clock() - start) / CLOCKS_PER_SEC;
      if (!result) {
        fmt::print(stderr, "{}\n", result.error().message);
        return 2;
      }
      instructions = double(result->counters.warpInstructions) * 1e-6;
      best = std::max(best, instructions / cpu);
      findings = result->findings.size();
      if (repeat)
        continue;
      for (const sim::Finding &f : result->findings)
        fmt::print("{}\n", f.text());
      std::vector<float> got(job.results);
      (void)memory.read(got.data(), out, 4 * got.size());
      for (size_t k = 0; k < got.size(); k += got.size() > 1000 ? 97 : 1) {
        double want = job.expected(x, y, k);
        wrong += !(std::fabs(got[k] - want) <= 1e-3 * (1 + std::fabs(want)));
      }
    }
    good &= !wrong && !findings;
    fmt::print("{:<12} {:6.2f} M warp instructions, {:6.1f} M/s a core{}{}\n", job.entry, instructions, best,
               wrong ? fmt::format(", {} WRONG", wrong) : "",
               findings ? fmt::format(", {} FINDINGS", findings) : "");
  }
  return good ? 0 : 1;
}
