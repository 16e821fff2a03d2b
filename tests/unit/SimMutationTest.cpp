//===- SimMutationTest.cpp - each change of a synchronisation is seen -----===//
//
// The programs of tests/sim/hopper, as nvcc compiles them: in all modes they give the right results and no
// finding. Then each of their synchronisation instructions in turn is left out, moved, made weaker, or given
// a wrong phase, count or number of bytes. Such a mutant must be found: by a finding, or by results that
// differ, in one of the modes. The others are as right as the program itself; why, stands beside each in
// SimEquivalents.inc.
//
//===----------------------------------------------------------------------===//
#include "SimMutants.h"
#include "SimSupport.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>

using namespace attune;
using namespace simtest;

namespace {

constexpr sim::Mode kModes[] = {sim::Mode::Lazy, sim::Mode::Random, sim::Mode::Eager};

/// Results as they lie in memory, and what was found.
struct Run {
  std::vector<uint32_t> bits;
  std::string findings;
};

struct Program {
  const char *file, *entry;
  Run (*run)(const sim::Module &, const std::string &entry, sim::Mode, uint64_t seed);
  /// What is wrong with the bits of a run; empty: nothing.
  std::string (*wrong)(const std::vector<uint32_t> &, const std::string &entry);
};

std::string pathOf(const std::string &file) { return std::string(ATTUNE_SIM_KERNELS) + "/../hopper/" + file; }

void addMap(Params &params, uint64_t address, sim::TensorMapType type, int rows, int columns, int boxRows,
            int boxColumns) {
  sim::TensorMapDescription m;
  int size = type == sim::TensorMapType::F32 ? 4 : 2;
  m.type = type;
  m.rank = 2;
  m.address = address;
  m.dims = {uint64_t(columns), uint64_t(rows), 1, 1, 1};
  m.strides = {uint64_t(columns) * size, 0, 0, 0};
  m.box = {uint32_t(boxColumns), uint32_t(boxRows), 1, 1, 1};
  m.swizzle = sim::TensorMapSwizzle::B128;
  auto packed = sim::encodeTensorMap(m);
  REQUIRE(packed);
  while (params.bytes.size() % 64)
    params.bytes.push_back(std::byte(0));
  params.bytes.insert(params.bytes.end(), packed->begin(), packed->end());
}

std::vector<uint32_t> words(Device &d, uint64_t address, size_t count) {
  return d.get<uint32_t>(address, count);
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// Small integers, whose products and sums are exact in any order.
struct Matrix {
  int rows, columns;
  std::vector<float> values;
  Matrix(int rows, int columns, uint32_t seed)
      : rows(rows), columns(columns), values(size_t(rows * columns)) {
    std::mt19937 rng(seed);
    for (float &x : values)
      x = float(int(rng() % 9) - 4);
  }
  float at(int r, int c) const { return values[size_t(r * columns + c)]; }
  std::vector<uint16_t> packed() const {
    std::vector<uint16_t> all;
    for (float x : values)
      all.push_back(toBf16(x));
    return all;
  }
};

/// More steps of K than twice the stages, so that every slot is filled again after it was handed back.
constexpr int kM = 128, kN = 128, kK = 9 * 64, kTall = 384;

int rowsOf(const std::string &entry) {
  return entry == "persistentGemm" ? kTall : entry == "splitGemm" ? 64 : kM;
}
int depthOf(const std::string &entry) {
  return entry == "splitGemm" ? 14 * 64 : entry == "persistentGemm" ? 3 * 64 : kK;
}

Run runGemm(const sim::Module &module, const std::string &entry, sim::Mode mode, uint64_t seed) {
  int m = rowsOf(entry), k = depthOf(entry);
  Device d;
  uint64_t a = d.put(Matrix(m, k, 1).packed(), "a"), b = d.put(Matrix(kN, k, 2).packed(), "b"),
           c = d.make(size_t(m * kN) * 4, "c");
  sim::LaunchConfig config{.entry = entry, .grid = {kN / 64, 1, 1}, .block = {384, 1, 1}};
  Params params;
  addMap(params, a, sim::TensorMapType::BF16, m, k, entry == "persistentGemm" ? 128 : 64, 64);
  addMap(params, b, sim::TensorMapType::BF16, kN, k, 64, 64);
  if (entry == "persistentGemm") {
    addMap(params, c, sim::TensorMapType::F32, m, kN, 64, 32);
    params.add(kN / 64).add(m / 128 * kN / 64).add(k);
    config.grid = {1, 1, 1}; // all tiles by one block
  } else {
    params.add(c).add(kN).add(k);
  }
  if (entry == "splitGemm") {
    config.grid = {1, 1, 2};
    config.block = {256, 1, 1};
  }
  config.dynamicShared = entry == "splitGemm" ? 3 * 2 * 8192 : 4 * 3 * 8192 + 2 * 16384;
  config.params = params.bytes;
  config.mode = mode;
  config.seed = seed;
  config.threads = 1;
  config.maxInstructionsPerWarp = 100'000;
  Run run;
  run.findings = texts(d.run(module, config).findings);
  run.bits = words(d, c, size_t(m * kN));
  return run;
}

std::string wrongGemm(const std::vector<uint32_t> &bits, const std::string &entry) {
  int m = rowsOf(entry), k = depthOf(entry), n = entry == "splitGemm" ? 64 : kN;
  Matrix a(m, k, 1), b(kN, k, 2);
  for (int row = 0; row < m; ++row)
    for (int column = 0; column < n; ++column) {
      float sum = 0, got;
      for (int x = 0; x < k; ++x)
        sum += a.at(row, x) * b.at(column, x);
      std::memcpy(&got, &bits[size_t(row * kN + column)], 4);
      if (got != sum)
        return fmt::format("row {}, column {}: expected {}, got {}", row, column, sum, got);
    }
  return "";
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

constexpr int kDim = 64, kLenQ = 150, kLenK = 330;
constexpr float kScale = 0.125f;

std::vector<float> normal(int rows, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> distribution;
  std::vector<float> values(size_t(rows * kDim));
  for (float &x : values)
    x = fromBf16(toBf16(distribution(rng)));
  return values;
}
std::vector<uint16_t> packed(const std::vector<float> &values) {
  std::vector<uint16_t> all;
  for (float x : values)
    all.push_back(toBf16(x));
  return all;
}

Run runAttention(const sim::Module &module, const std::string &entry, sim::Mode mode, uint64_t seed) {
  Device d;
  uint64_t q = d.put(packed(normal(kLenQ, 1)), "q"), k = d.put(packed(normal(kLenK, 2)), "k"),
           v = d.put(packed(normal(kLenK, 3)), "v"), o = d.make(kLenQ * kDim * 2, "o"),
           lse = d.make(kLenQ * 4, "lse");
  sim::LaunchConfig config{.entry = entry, .grid = {(kLenQ + 127) / 128, 1, 1}, .block = {384, 1, 1}};
  Params params;
  for (auto [address, rows] : {std::pair(q, kLenQ), {k, kLenK}, {v, kLenK}, {o, kLenQ}})
    addMap(params, address, sim::TensorMapType::BF16, rows, kDim, 64, 64);
  config.params = params.add(lse).add(kLenQ).add(kLenK).add(kScale * 1.44269504f).bytes;
  config.dynamicShared = 128 * 128 + 4 * 64 * 128;
  config.mode = mode;
  config.seed = seed;
  config.threads = 1;
  config.maxInstructionsPerWarp = 100'000;
  Run run;
  run.findings = texts(d.run(module, config).findings);
  run.bits = words(d, o, kLenQ * kDim / 2);
  std::vector<uint32_t> more = words(d, lse, kLenQ);
  run.bits.insert(run.bits.end(), more.begin(), more.end());
  return run;
}

std::string wrongAttention(const std::vector<uint32_t> &bits, const std::string &entry) {
  std::vector<float> q = normal(kLenQ, 1), k = normal(kLenK, 2), v = normal(kLenK, 3);
  bool causal = entry == "causalAttention";
  for (int row = 0; row < kLenQ; ++row) {
    int keys = causal ? row + kLenK - kLenQ + 1 : kLenK;
    std::vector<double> p(size_t(keys), 0.0), out(kDim, 0.0);
    double most = -INFINITY, sum = 0;
    for (int n = 0; n < keys; ++n) {
      for (int x = 0; x < kDim; ++x)
        p[size_t(n)] += double(q[size_t(row * kDim + x)]) * k[size_t(n * kDim + x)];
      p[size_t(n)] *= kScale;
      most = std::max(most, p[size_t(n)]);
    }
    for (double &x : p)
      sum += x = std::exp(x - most);
    for (int n = 0; n < keys; ++n)
      for (int x = 0; x < kDim; ++x)
        out[size_t(x)] += p[size_t(n)] / sum * v[size_t(n * kDim + x)];
    for (int x = 0; x < kDim; ++x) {
      uint32_t pair = bits[size_t(row * kDim + x) / 2];
      float got = fromBf16(uint16_t(pair >> 16 * (x & 1)));
      if (!(std::fabs(got - out[size_t(x)]) <= 0.01 + 0.01 * std::fabs(out[size_t(x)])))
        return fmt::format("O[{}][{}]: expected {}, got {}", row, x, out[size_t(x)], got);
    }
    float lse;
    std::memcpy(&lse, &bits[size_t(kLenQ * kDim / 2 + row)], 4);
    if (!(std::fabs(lse - (most + std::log(sum))) <= 1e-3))
      return fmt::format("LSE[{}]: expected {}, got {}", row, most + std::log(sum), lse);
  }
  return "";
}

const Program kPrograms[] = {{"gemms", "multicastGemm", runGemm, wrongGemm},
                             {"gemms", "splitGemm", runGemm, wrongGemm},
                             {"gemms", "persistentGemm", runGemm, wrongGemm},
                             {"attention", "attention", runAttention, wrongAttention},
                             {"attention", "causalAttention", runAttention, wrongAttention}};

//===----------------------------------------------------------------------===//
// Mutants
//===----------------------------------------------------------------------===//

/// Changes that leave the program as right as it was.
struct Equivalent {
  const char *entry;  ///< part of its name; empty: any
  const char *source; ///< what the program's line has
  const char *change; ///< what the change has
  int count;          ///< mutants of all programs
  const char *why;
};
const Equivalent kEquivalents[] = {
#include "SimEquivalents.inc"
};

const Equivalent *equivalent(const Program &p, const Mutant &m) {
  for (const Equivalent &e : kEquivalents)
    if ((!*e.entry || std::string(p.entry).find(e.entry) != std::string::npos) &&
        m.source.find(e.source) != std::string::npos && m.change.find(e.change) != std::string::npos)
      return &e;
  return nullptr;
}

/// Runs every mutant of which `number % of == part`.
void mutate(const Program &p, int part, int of, std::map<const Equivalent *, int> *used) {
  CAPTURE(p.entry);
  std::string ptx = onlyEntry(readFile(pathOf(p.file + std::string(".ptx"))), p.entry);
  Run right = p.run(*parse(ptx), p.entry, sim::Mode::Eager, 1);
  REQUIRE_MESSAGE(right.findings.empty(), right.findings);
  std::vector<Mutant> mutants = mutantsOf(ptx, readFile(pathOf(p.file + std::string(".cu"))));
  CHECK(mutants.size() >= 50);
  int tried = 0, found = 0, same = 0;
  for (size_t n = size_t(part); n < mutants.size(); n += size_t(of)) {
    const Mutant &m = mutants[n];
    ++tried;
    auto module = sim::parseModule(m.ptx, "mutant.ptx");
    REQUIRE_MESSAGE(bool(module), m.change << ": " << (module ? "" : module.error().message));
    REQUIRE_MESSAGE((*module)->entries()[0].refusal.empty(),
                    m.change << ": " << (*module)->entries()[0].refusal);
    bool seen = false;
    for (sim::Mode mode : kModes)
      for (uint64_t seed = 1; !seen && seed <= (mode == sim::Mode::Random ? 8u : 1u); ++seed) {
        Run run = p.run(**module, p.entry, mode, seed);
        seen = !run.findings.empty() || run.bits != right.bits;
      }
    const Equivalent *e = equivalent(p, m);
    found += seen;
    same += !seen && e;
    if (!seen && e && used)
      ++(*used)[e];
    CHECK_MESSAGE((seen || e),
                  fmt::format("not found: {} line {}: `{}`: {}", p.entry, m.line, m.source, m.change));
  }
  std::printf("%s: %d of %d mutants are found, %d are equivalent: kill rate %.1f %%\n", p.entry, found, tried,
              same, found + same == tried ? 100.0 : 100.0 * found / (tried - same));
}

} // namespace

TEST_CASE("programs for Hopper: right, silent, and the same bits in every mode") {
  for (const Program &p : kPrograms) {
    CAPTURE(p.entry);
    auto module = parse(onlyEntry(readFile(pathOf(p.file + std::string(".ptx"))), p.entry));
    Run first = p.run(*module, p.entry, sim::Mode::Eager, 1);
    CHECK(first.findings == "");
    CHECK(p.wrong(first.bits, p.entry) == "");
    for (auto [mode, seed] :
         {std::pair(sim::Mode::Lazy, 1), {sim::Mode::Random, 1}, {sim::Mode::Random, 2}}) {
      Run run = p.run(*module, p.entry, mode, uint64_t(seed));
      CHECK(run.findings == "");
      CHECK(run.bits == first.bits);
    }
  }
}

TEST_CASE("programs for Hopper: some of the mutants") {
  for (const Program &p : kPrograms)
    mutate(p, 3, 25, nullptr);
}

TEST_CASE("programs for Hopper: all mutants" * doctest::skip()) {
  std::map<const Equivalent *, int> used;
  for (const Program &p : kPrograms)
    mutate(p, 0, 1, &used);
  for (const Equivalent &e : kEquivalents)
    CHECK_MESSAGE(used[&e] == e.count, fmt::format("{} `{}`: {}: expected {} that are not found, got {}",
                                                   e.entry, e.source, e.change, e.count, used[&e]));
}
