//===- SimKernelsTest.cpp - whole CUDA kernels, compiled by nvcc, on the simulator ----===//
#include "SimSupport.h"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace attune;
using namespace simtest;

TEST_CASE("vector addition, with a tail") {
  auto m = kernels("basics.ptx");
  Device d;
  const int n = 1000;
  std::vector<float> a(n), b(n);
  for (int i = 0; i < n; ++i) {
    a[i] = float(i) * 0.25f;
    b[i] = float(n - i);
  }
  uint64_t pa = d.put(a), pb = d.put(b), pc = d.make(n * 4);
  sim::LaunchConfig c{.entry = "vectorAdd", .grid = {8, 1, 1}, .block = {128, 1, 1}};
  c.params = Params().add(pa).add(pb).add(pc).add(n).bytes;
  auto r = d.run(*m, c);
  CHECK_CLEAN(r);
  auto out = d.get<float>(pc, n);
  for (int i = 0; i < n; ++i)
    REQUIRE(out[i] == a[i] + b[i]);
  CHECK(*d.memory.countUninitialised(pc, n * 4) == 0);
  CHECK(r.counters.blocks == 8);
}

TEST_CASE("reduction by shuffles and shared memory") {
  auto m = kernels("basics.ptx");
  for (int threads : {32, 128, 1024}) {
    Device d;
    std::vector<float> a(5000);
    for (size_t i = 0; i < a.size(); ++i)
      a[i] = float(int(i % 17) - 8);
    uint64_t pa = d.put(a), po = d.make(3 * 4);
    sim::LaunchConfig c{.entry = "reduceSum", .grid = {3, 1, 1}, .block = {uint32_t(threads), 1, 1}};
    c.params = Params().add(pa).add(po).add(int(a.size())).bytes;
    CHECK_CLEAN(d.run(*m, c));
    auto o = d.get<float>(po, 3);
    CHECK(o[0] + o[1] + o[2] == std::accumulate(a.begin(), a.end(), 0.0f));
  }
}

TEST_CASE("scan, histogram, sort in local memory, transpose, collatz") {
  auto m = kernels("basics.ptx");
  std::mt19937 rng(1);
  {
    Device d;
    std::vector<int> a(250), expected(250);
    for (int &x : a)
      x = int(rng() % 1000);
    std::partial_sum(a.begin(), a.end(), expected.begin());
    uint64_t pa = d.put(a), po = d.make(250 * 4);
    sim::LaunchConfig c{.entry = "scan", .grid = {1, 1, 1}, .block = {256, 1, 1}};
    c.params = Params().add(pa).add(po).add(250).bytes;
    CHECK_CLEAN(d.run(*m, c));
    CHECK(d.get<int>(po, 250) == expected);
  }
  {
    Device d;
    std::vector<unsigned char> a(10000);
    std::vector<unsigned> bins(256), zero(256);
    for (auto &x : a)
      ++bins[x = (unsigned char)(rng() % 200)];
    uint64_t pa = d.put(a), pb = d.put(zero);
    sim::LaunchConfig c{.entry = "histogram", .grid = {4, 1, 1}, .block = {192, 1, 1}};
    c.params = Params().add(pa).add(pb).add(int(a.size())).bytes;
    CHECK_CLEAN(d.run(*m, c));
    CHECK(d.get<unsigned>(pb, 256) == bins);
  }
  {
    Device d;
    std::vector<int> a(100 * 16);
    for (int &x : a)
      x = int(rng() % 100) - 50;
    uint64_t pa = d.put(a);
    sim::LaunchConfig c{.entry = "sortLocal", .grid = {2, 1, 1}, .block = {64, 1, 1}};
    c.params = Params().add(pa).add(100).bytes;
    CHECK_CLEAN(d.run(*m, c));
    for (int i = 0; i < 100; ++i)
      std::sort(a.begin() + 16 * i, a.begin() + 16 * i + 16);
    CHECK(d.get<int>(pa, a.size()) == a);
  }
  {
    Device d;
    const int rows = 70, cols = 45;
    std::vector<float> a(rows * cols);
    std::iota(a.begin(), a.end(), 0.0f);
    uint64_t pa = d.put(a), pb = d.make(a.size() * 4);
    sim::LaunchConfig c{.entry = "transpose", .grid = {2, 3, 1}, .block = {32, 8, 1}};
    c.params = Params().add(pa).add(pb).add(rows).add(cols).bytes;
    CHECK_CLEAN(d.run(*m, c));
    auto b = d.get<float>(pb, a.size());
    for (int r = 0; r < rows; ++r)
      for (int k = 0; k < cols; ++k)
        REQUIRE(b[k * rows + r] == a[r * cols + k]);
  }
  {
    Device d;
    std::vector<unsigned> a(77);
    for (auto &x : a)
      x = 1 + rng() % 1000;
    uint64_t pa = d.put(a), ps = d.make(a.size() * 4);
    sim::LaunchConfig c{.entry = "collatz", .grid = {3, 1, 1}, .block = {32, 1, 1}};
    c.params = Params().add(pa).add(ps).add(int(a.size())).bytes;
    auto r = d.run(*m, c);
    CHECK_CLEAN(r);
    CHECK(r.counters.divergentBranches > 0);
    auto s = d.get<unsigned>(ps, a.size());
    for (size_t i = 0; i < a.size(); ++i) {
      unsigned x = a[i], n = 0;
      for (; x != 1; ++n)
        x = x & 1 ? 3 * x + 1 : x / 2;
      REQUIRE(s[i] == n);
    }
  }
}

TEST_CASE("division of integers, 64-bit products, double") {
  auto m = kernels("basics.ptx");
  Device d;
  std::mt19937 rng(2);
  const int n = 300;
  std::vector<int> a(n), b(n);
  for (int i = 0; i < n; ++i) {
    a[i] = int(rng());
    b[i] = int(rng() >> (rng() % 31));
    b[i] = b[i] ? b[i] : 3;
  }
  uint64_t pa = d.put(a), pb = d.put(b), pq = d.make(n * 8), pm = d.make(n * 8), pd = d.make(n * 8);
  sim::LaunchConfig c{.entry = "divide", .grid = {3, 1, 1}, .block = {128, 1, 1}};
  c.params = Params().add(pa).add(pb).add(pq).add(pm).add(pd).add(n).bytes;
  CHECK_CLEAN(d.run(*m, c));
  auto q = d.get<int>(pq, 2 * n);
  auto l = d.get<long long>(pm, n);
  auto f = d.get<double>(pd, n);
  for (int i = 0; i < n; ++i) {
    REQUIRE(q[2 * i] == a[i] / b[i]);
    REQUIRE(q[2 * i + 1] == a[i] % b[i]);
    REQUIRE(l[i] == (long long)a[i] * b[i] / (b[i] + 7LL * i + 1000000007LL));
    REQUIRE(f[i] == double(a[i]) / b[i] + std::sqrt(double(i)));
  }
}

TEST_CASE("matmul with mma.sync, ldmatrix and cp.async, in all modes") {
  auto m = kernels("matmul.ptx");
  std::mt19937 rng(3);
  const int M = 100, N = 136, K = 72;
  std::vector<uint16_t> a(M * K), b(K * N);
  for (auto &x : a)
    x = toBf16(float(int(rng() % 17)) - 8);
  for (auto &x : b)
    x = toBf16(float(int(rng() % 17)) - 8);
  for (sim::Mode mode : {sim::Mode::Eager, sim::Mode::Lazy, sim::Mode::Random})
    for (unsigned threads : {1u, 2u}) {
      Device d;
      uint64_t pa = d.put(a, "a"), pb = d.put(b, "b"), pc = d.make(M * N * 4, "c");
      sim::LaunchConfig c{.entry = "matmul", .grid = {3, 2, 1}, .block = {128, 1, 1}};
      c.params = Params().add(pa).add(pb).add(pc).add(M).add(N).add(K).bytes;
      c.mode = mode;
      c.threads = threads;
      c.seed = 7;
      auto r = d.run(*m, c);
      CHECK_CLEAN(r);
      auto out = d.get<float>(pc, M * N);
      for (int i = 0; i < M; ++i)
        for (int j = 0; j < N; ++j) {
          float s = 0;
          for (int k = 0; k < K; ++k)
            s += fromBf16(a[i * K + k]) * fromBf16(b[k * N + j]);
          REQUIRE(out[i * N + j] == s);
        }
      CHECK(r.counters.multiplyAdds == 3u * 2 * 4 * 3 * 2 * 8 * 2048);
    }
}

TEST_CASE("matmul without any one of its synchronisations is caught") {
  std::string text = readFile(std::string(ATTUNE_SIM_KERNELS) + "/matmul.ptx");
  const int M = 64, N = 64, K = 160;
  std::vector<uint16_t> a(M * K, toBf16(1)), b(K * N, toBf16(2));
  int mutants = 0;
  for (const char *op : {"bar.sync", "cp.async.commit_group", "cp.async.wait_group"})
    for (size_t at = text.find(op); at != std::string::npos; at = text.find(op, at + 1)) {
      std::string mutant = text;
      size_t end = mutant.find(';', at);
      mutant.replace(at, end + 1 - at, std::string(end + 1 - at, ' '));
      auto m = parse(mutant, "mutant.ptx");
      for (sim::Mode mode : {sim::Mode::Eager, sim::Mode::Lazy}) {
        Device d;
        uint64_t pa = d.put(a, "a"), pb = d.put(b, "b"), pc = d.make(M * N * 4, "c");
        sim::LaunchConfig c{.entry = "matmul", .grid = {1, 1, 1}, .block = {128, 1, 1}};
        c.params = Params().add(pa).add(pb).add(pc).add(M).add(N).add(K).bytes;
        c.mode = mode;
        auto r = d.run(*m, c);
        CHECK_MESSAGE(!r.findings.empty(),
                      "without line " << std::count(text.begin(), text.begin() + ptrdiff_t(at), '\n') + 1);
      }
      ++mutants;
    }
  CHECK(mutants >= 5);
}
