//===- SimHopperTest.cpp - products by wgmma from a ring of stages, compiled by nvcc ------===//
#include "SimSupport.h"

#include <algorithm>
#include <fmt/format.h>

using namespace attune;
using namespace simtest;

namespace {

/// A and B of small integers, whose product is exact in any order.
struct Problem {
  int m, n, k;
  std::vector<uint16_t> a, b;
  std::vector<float> c;

  Problem(int m, int n, int k) : m(m), n(n), k(k), a(size_t(m) * k), b(size_t(n) * k), c(size_t(m) * n) {
    std::mt19937 rng(uint32_t(m + n + k));
    std::vector<float> fa(a.size()), fb(b.size());
    for (size_t i = 0; i < a.size(); ++i)
      a[i] = toBf16(fa[i] = float(int(rng() % 9) - 4));
    for (size_t i = 0; i < b.size(); ++i)
      b[i] = toBf16(fb[i] = float(int(rng() % 9) - 4));
    for (int row = 0; row < m; ++row)
      for (int col = 0; col < n; ++col)
        for (int x = 0; x < k; ++x)
          c[size_t(row) * n + col] += fa[size_t(row) * k + x] * fb[size_t(col) * k + x];
  }
};

/// Both kernels of hopper_gemm.cu; they differ in how tiles come to shared memory.
sim::LaunchResult runGemm(const sim::Module &module, const std::string &entry, const Problem &p,
                          sim::Mode mode, std::vector<float> &out, uint64_t seed = 0) {
  Device d;
  uint64_t a = d.put(p.a, "a"), b = d.put(p.b, "b"), c = d.make(p.c.size() * 4, "c");
  sim::LaunchConfig config{
      .entry = entry, .grid = {uint32_t(p.n / 128), uint32_t(p.m / 128), 1}, .block = {384, 1, 1}};
  config.dynamicShared = 4 * 2 * 128 * 64 * 2;
  config.mode = mode;
  config.seed = seed;
  config.maxInstructionsPerWarp = 2'000'000;
  if (entry == "copyGemm") {
    config.params = Params().add(a).add(b).add(c).add(p.n).add(p.k).bytes;
  } else {
    Params params;
    auto map = [&](uint64_t address, int rows) {
      sim::TensorMapDescription m;
      m.type = sim::TensorMapType::BF16;
      m.rank = 2;
      m.address = address;
      m.dims = {uint64_t(p.k), uint64_t(rows), 1, 1, 1};
      m.strides = {uint64_t(p.k) * 2, 0, 0, 0};
      m.box = {64, 128, 1, 1, 1};
      m.swizzle = sim::TensorMapSwizzle::B128;
      auto packed = sim::encodeTensorMap(m);
      REQUIRE(packed);
      params.bytes.insert(params.bytes.end(), packed->begin(), packed->end());
    };
    map(a, p.m);
    map(b, p.n);
    config.params = params.add(c).add(p.n).add(p.k).bytes;
  }
  auto r = d.run(module, config);
  out = d.get<float>(c, p.c.size());
  return r;
}

} // namespace

TEST_CASE("a warp-specialised product by wgmma is right and silent in all modes") {
  auto module = kernels("hopper_gemm.ptx");
  for (const char *entry : {"copyGemm", "tmaGemm"})
    for (int k : {64, 192, 256, 320, 640})
      for (sim::Mode mode : {sim::Mode::Eager, sim::Mode::Lazy, sim::Mode::Random})
        for (uint64_t seed = 0; seed < (mode == sim::Mode::Random ? 3 : 1); ++seed) {
          CAPTURE(entry);
          CAPTURE(k);
          Problem p(k == 320 ? 256 : 128, 128, k);
          std::vector<float> out;
          CHECK_CLEAN(runGemm(*module, entry, p, mode, out, seed));
          CHECK(out == p.c);
        }
}

TEST_CASE("a warp-specialised product without one of its synchronisations is found") {
  std::string text = readFile(std::string(ATTUNE_SIM_KERNELS) + "/hopper_gemm.ptx");
  Problem p(128, 128, 640);
  for (const char *entry : {"copyGemm", "tmaGemm"}) {
    size_t begin = text.find(".entry " + std::string(entry)),
           end = std::min(text.find(".entry", begin + 6), text.size());
    int mutants = 0;
    for (const char *op :
         {"bar.sync", "cp.async.wait_all", "fence.proxy.async", "mbarrier.arrive", "mbarrier.init",
          "wgmma.fence", "wgmma.commit_group", "wgmma.wait_group", "setmaxnreg.dec"})
      for (size_t at = text.find(op, begin); at < end; at = text.find(op, at + 1)) {
        std::string mutant = text;
        size_t last = mutant.find(';', at);
        mutant.replace(at, last + 1 - at, std::string(last + 1 - at, ' '));
        auto m = parse(mutant, "mutant.ptx");
        bool caught = false;
        for (sim::Mode mode : {sim::Mode::Lazy, sim::Mode::Eager, sim::Mode::Random}) {
          if (caught)
            break;
          std::vector<float> out;
          auto r = runGemm(*m, entry, p, mode, out, 1);
          caught |= !r.findings.empty() || out != p.c;
        }
        CHECK_MESSAGE(caught, entry << " without " << std::string(op) << " of line "
                                    << std::count(text.begin(), text.begin() + ptrdiff_t(at), '\n') + 1);
        ++mutants;
      }
    CHECK(mutants >= 11);
  }
}
