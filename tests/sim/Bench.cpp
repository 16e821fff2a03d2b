//===- Bench.cpp - how fast the simulator runs an attention kernel ---------------===//
//
// sim_bench FILE.ptx --shared BYTES [--length N] [--head-dim D] [--heads H] [--block-q N] [--threads N]
// [--mode M]
//           [--no-checks] [--repeat N]
// The entry takes ForwardParams (compiler/spec/KernelParams.h). Inputs are random; results are not compared,
// but findings are printed.
//
//===----------------------------------------------------------------------===//
#include "compiler/spec/KernelParams.h"
#include "runtime/device/sim/Simulator.h"

#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <random>
#include <sstream>

using namespace attune;

static uint16_t toBf16(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  return uint16_t((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

int main(int argc, char **argv) {
  uint32_t length = 1024, d = 128, heads = 1, blockQ = 128, shared = 0, repeat = 3, threads = 0;
  sim::Mode mode = sim::Mode::Eager;
  bool checks = true;
  std::string file;
  for (int k = 1; k < argc; ++k) {
    std::string a = argv[k];
    auto number = [&] { return k + 1 < argc ? uint32_t(std::atoi(argv[++k])) : 0u; };
    if (a == "--length")
      length = number();
    else if (a == "--head-dim")
      d = number();
    else if (a == "--heads")
      heads = number();
    else if (a == "--block-q")
      blockQ = number();
    else if (a == "--shared")
      shared = number();
    else if (a == "--threads")
      threads = number();
    else if (a == "--repeat")
      repeat = number();
    else if (a == "--no-checks")
      checks = false;
    else if (a == "--mode" && k + 1 < argc)
      mode = *argv[++k] == 'l' ? sim::Mode::Lazy : *argv[k] == 'r' ? sim::Mode::Random : sim::Mode::Eager;
    else
      file = a;
  }
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  auto module = sim::parseModule(text.str(), file);
  if (!module) {
    fmt::print(stderr, "{}\n", module.error().message);
    return 2;
  }
  const sim::EntryInfo &entry = (*module)->entries().at(0);
  sim::GlobalMemory memory;
  size_t elements = size_t(length) * heads * d;
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  ForwardParams p{};
  auto tensor = [&](const char *name, bool fill) {
    uint64_t base = *memory.allocate(elements * 2, name);
    if (fill) {
      std::vector<uint16_t> data(elements);
      for (uint16_t &x : data)
        x = toBf16(normal(rng));
      (void)memory.write(base, data.data(), elements * 2);
    }
    return TensorParams{base, int64_t(elements), int64_t(d), int64_t(heads) * d};
  };
  p.q = tensor("q", true);
  p.k = tensor("k", true);
  p.v = tensor("v", true);
  p.o = tensor("o", false);
  p.lse = {*memory.allocate(size_t(length) * heads * 4, "lse"), int64_t(length) * heads, length, 1};
  p.lengthQ = p.lengthKv = int32_t(length);
  p.headsPerKvHead = 1;
  sim::LaunchConfig c;
  c.entry = entry.name;
  c.grid = {(length + blockQ - 1) / blockQ, heads, 1};
  c.block = {entry.maxntid[0] ? entry.maxntid[0] : 128, 1, 1};
  c.dynamicShared = shared;
  c.params.resize(sizeof(p));
  std::memcpy(c.params.data(), &p, sizeof(p));
  c.mode = mode;
  c.checks = checks;
  c.threads = threads;
  fmt::print("{}: {} instructions, {} registers of 32 bits, {}\n", entry.name, entry.instructions,
             entry.registerSlots, sim::hostInstructionSet());
  for (uint32_t r = 0; r < repeat; ++r) {
    auto result = sim::launch(**module, memory, c);
    if (!result) {
      fmt::print(stderr, "{}\n", result.error().message);
      return 2;
    }
    const sim::Counters &n = result->counters;
    fmt::print(
        "{:.3f} s, {} blocks, {:.1f} M warp instructions ({:.1f} M/s), {:.2f} G multiply-adds ({:.2f} G/s)\n",
        n.seconds, n.blocks, double(n.warpInstructions) * 1e-6, double(n.warpInstructions) * 1e-6 / n.seconds,
        double(n.multiplyAdds) * 1e-9, double(n.multiplyAdds) * 1e-9 / n.seconds);
    if (r + 1 == repeat) {
      fmt::print("integer {} float {} special {} convert {} move {} predicate {} control {} memory {} matrix "
                 "{} ldmatrix {} "
                 "async {} shuffle {} barrier {}; wavefronts {} conflicts {}\n",
                 n.integer, n.floating, n.special, n.conversion, n.move, n.predicate, n.control, n.memory,
                 n.matrix, n.matrixLoad, n.asyncCopy, n.shuffle, n.barrier, n.sharedWavefronts,
                 n.bankConflicts);
      for (const sim::Finding &f : result->findings)
        fmt::print("{}\n", f.text());
      std::vector<uint16_t> o(elements);
      (void)memory.read(o.data(), p.o.base, elements * 2);
      uint64_t hash = 1469598103934665603ull;
      for (uint16_t x : o)
        hash = (hash ^ x) * 1099511628211ull;
      fmt::print("hash of O: {:016x}, unwritten bytes {}\n", hash,
                 *memory.countUninitialised(p.o.base, elements * 2));
    }
  }
  return 0;
}
