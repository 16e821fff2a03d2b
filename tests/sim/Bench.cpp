//===- Bench.cpp - how fast the simulator runs an attention kernel ---------------===//
//
// sim_bench FILE.ptx --shared BYTES [--length N] [--head-dim D] [--heads H] [--block-q N] [--threads N]
// [--mode M]
//           [--no-checks] [--repeat N]
// The entry is a forward kernel: q, k, v, o, lse if it has one, and the lengths. Inputs are random; results
// are not compared, but findings are printed.
// sim_bench --ordinary: arithmetic, conversions, shuffles, shared memory.
// sim_bench --others: a reduction, a transposition, a product and so on, as other people write them.
//
//===----------------------------------------------------------------------===//
#include "BenchOthers.h"
#include "simulator/Simulator.h"

#include <cstdio>
#include <cstring>
#include <ctime>
#include <fmt/format.h>
#include <fstream>
#include <random>
#include <sstream>

using namespace attune;

/// 16 warps loop over arithmetic, conversions, shuffles, selects and shared memory.
static std::string ordinaryKernel() {
  std::string body = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry ordinary(.param .u64 "
                     "out)\n.maxntid 512, 1, 1\n{\n"
                     ".shared .align 16 .b8 s[8192];\n.reg .f32 %f<64>; .reg .b32 %r<32>; .reg .b64 %q<8>; "
                     ".reg .pred %p<8>;\n"
                     "mov.u32 %r0, %tid.x; mov.u32 %r1, s; shl.b32 %r2, %r0, 4; add.u32 %r3, %r1, %r2; "
                     "mov.u32 %r4, 0; cvt.rn.f32.u32 %f0, %r0;\n";
  for (int k = 1; k < 32; ++k)
    body += fmt::format("mul.f32 %f{}, %f0, 0f3A{:06x};\n", k, k * 4099);
  body += "st.shared.v4.f32 [%r3], {%f1, %f2, %f3, %f4};\nLOOP:\n";
  for (int k = 0; k < 16; ++k)
    body += fmt::format("fma.rn.f32 %f{}, %f{}, 0f3F000000, %f{};\nmax.f32 %f{}, %f{}, "
                        "%f{};\nex2.approx.ftz.f32 %f{}, %f{};\nadd.rn.f32 %f{}, %f{}, %f{};\n",
                        32 + k, 1 + k, 2 + k, 48, 32 + k, 33 + k % 8, 1 + k, 32 + k, 50, 1 + k, 2 + k);
  body += "cvt.rn.bf16x2.f32 %r5, %f33, %f34; cvt.rn.bf16x2.f32 %r6, %f35, %f36; shfl.sync.bfly.b32 %r7, "
          "%r5, 1, 31, -1; xor.b32 %r8, %r7, %r6;\n"
          "setp.gt.f32 %p1, %f33, %f34; selp.f32 %f51, %f33, %f34, %p1; and.b32 %r9, %r8, 31; shl.b32 %r10, "
          "%r4, 2; mad.lo.s32 %r11, %r4, 3, %r9;\n"
          "ld.shared.v4.f32 {%f1, %f2, %f3, %f4}, [%r3]; st.shared.f32 [%r3], %f51; add.s32 %r4, %r4, 1; "
          "setp.lt.s32 %p2, %r4, 2000; @%p2 bra LOOP;\n"
          "ld.param.u64 %q0, [out]; mov.u32 %r12, %ctaid.x; shl.b32 %r12, %r12, 9; add.u32 %r12, %r12, %r0; "
          "mul.wide.u32 %q1, %r12, 4; add.u64 %q2, %q0, %q1; st.global.f32 [%q2], "
          "%f50; ret;\n}\n";
  return body;
}

/// Two warpgroups multiply 64 x 256 x 64 from shared memory, 200 times.
static std::string wgmmaKernel() {
  std::string registers;
  for (int k = 0; k < 128; ++k)
    registers += fmt::format("{}%f{}", k ? ", " : "", k);
  std::string body =
      ".version 8.5\n.target sm_90a\n.address_size 64\n.visible .entry wgmma(.param .u64 out)\n.maxntid 256, "
      "1, "
      "1\n{\n.extern .shared .align 1024 .b8 s[];\n.reg .f32 %f<128>; .reg .b32 %r<16>; .reg .b64 %q<12>; "
      ".reg "
      ".pred %p<4>;\nmov.u32 %r0, %tid.x; mov.u32 %r1, s; shl.b32 %r2, %r0, 4; add.u32 %r3, %r1, %r2; "
      "mov.u32 %r4, "
      "0; mul.lo.u32 %r6, %r0, 40503;\nFILL: and.b32 %r6, %r6, 0x80FF80FF; add.u32 %r6, %r6, 0x3F003F00; "
      "st.shared.v4.b32 [%r3], {%r6, %r6, %r6, "
      "%r6}; add.u32 %r3, %r3, 4096; add.u32 %r4, %r4, 4096; mul.lo.u32 %r6, %r6, 40503; setp.lt.u32 %p0, "
      "%r4, "
      "49152; @%p0 bra FILL;\nfence.proxy.async; bar.sync 0; shr.u32 %r5, %r1, 4; cvt.u64.u32 %q0, %r5; "
      "or.b64 "
      "%q0, %q0, 0x4000004000010000; shr.u32 %r7, %r0, 7; mul.wide.u32 %q1, %r7, 512; add.u64 %q2, %q0, %q1; "
      "add.u64 %q3, %q0, 1024; mov.u32 %r8, 0;\n";
  for (int k = 0; k < 128; ++k)
    body += fmt::format("mov.f32 %f{}, 0f00000000;\n", k);
  body += "LOOP: wgmma.fence.sync.aligned;\n";
  for (int k = 0; k < 4; ++k)
    body += fmt::format(
        "add.u64 %q4, %q2, {0}; add.u64 %q5, %q3, {0};\nwgmma.mma_async.sync.aligned.m64n256k16.f32."
        "bf16.bf16 {{{1}}}, %q4, %q5, 1, 1, 1, 0, 0;\n",
        2 * k, registers);
  body +=
      "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\nadd.u32 %r8, %r8, 1; setp.lt.u32 "
      "%p1, "
      "%r8, 200; @%p1 bra LOOP;\nld.param.u64 %q6, [out]; mul.wide.u32 %q7, %r0, 4; add.u64 %q8, %q6, %q7; "
      "st.global.f32 [%q8], %f77; ret;\n}\n";
  return body;
}

static int wgmma(unsigned threads, bool checks, sim::Mode mode) {
  auto module = sim::parseModule(wgmmaKernel(), "wgmma.ptx");
  if (!module) {
    fmt::print(stderr, "{}\n", module.error().message);
    return 2;
  }
  sim::GlobalMemory memory;
  uint64_t out = *memory.allocate(1024, "out");
  sim::LaunchConfig c;
  c.entry = "wgmma";
  c.block = {256, 1, 1};
  c.dynamicShared = 49152;
  c.params.resize(8);
  std::memcpy(c.params.data(), &out, 8);
  c.threads = threads;
  c.checks = checks;
  c.mode = mode;
  for (int r = 0; r < 3; ++r) {
    std::clock_t start = std::clock();
    auto result = sim::launch(**module, memory, c);
    double cpu = double(std::clock() - start) / CLOCKS_PER_SEC;
    if (!result) {
      fmt::print(stderr, "{}\n", result.error().message);
      return 2;
    }
    double n = double(result->counters.multiplyAdds) * 1e-9;
    fmt::print("{:.3f} s of processor time, {:.2f} G multiply-adds, {:.2f} G/s a core, {} findings, {}\n",
               cpu, n, n / cpu, result->findings.size(), sim::hostInstructionSet());
    for (const sim::Finding &f : result->findings)
      fmt::print("{}\n", f.text());
  }
  return 0;
}

static int ordinary(unsigned threads, bool checks) {
  auto module = sim::parseModule(ordinaryKernel(), "ordinary.ptx");
  if (!module) {
    fmt::print(stderr, "{}\n", module.error().message);
    return 2;
  }
  sim::GlobalMemory memory;
  uint64_t out = *memory.allocate(4 * 2048, "out");
  sim::LaunchConfig c;
  c.entry = "ordinary";
  c.grid = {4, 1, 1};
  c.block = {512, 1, 1};
  c.params.resize(8);
  std::memcpy(c.params.data(), &out, 8);
  c.threads = threads;
  c.checks = checks;
  for (int r = 0; r < 3; ++r) {
    std::clock_t start = std::clock();
    auto result = sim::launch(**module, memory, c);
    double cpu = double(std::clock() - start) / CLOCKS_PER_SEC;
    if (!result) {
      fmt::print(stderr, "{}\n", result.error().message);
      return 2;
    }
    double n = double(result->counters.warpInstructions) * 1e-6;
    fmt::print("{:.3f} s, {:.3f} s of processor time, {:.1f} M warp instructions, {:.1f} M/s a core, {} "
               "findings, {}\n",
               result->counters.seconds, cpu, n, n / cpu, result->findings.size(), sim::hostInstructionSet());
    for (const sim::Finding &f : result->findings)
      fmt::print("{}\n", f.text());
  }
  return 0;
}

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
  if (file == "--ordinary")
    return ordinary(threads, checks);
  if (file == "--wgmma")
    return wgmma(threads, checks, mode);
  if (file == "--others")
    return benchOthers(ATTUNE_SIM_BENCH, threads, checks);
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
  std::vector<int64_t> p;
  auto tensor = [&](const char *name, bool fill) {
    uint64_t base = *memory.allocate(elements * 2, name);
    if (fill) {
      std::vector<uint16_t> data(elements);
      for (uint16_t &x : data)
        x = toBf16(normal(rng));
      (void)memory.write(base, data.data(), elements * 2);
    }
    p.insert(p.end(), {int64_t(base), int64_t(elements), int64_t(d), int64_t(heads) * d});
  };
  tensor("q", true);
  tensor("k", true);
  tensor("v", true);
  tensor("o", false);
  // Without LSE 144 bytes, with it 168; kept kernels of older days have a row stride of LSE too.
  size_t bytes = entry.paramBytes;
  if (bytes > 144)
    p.insert(p.end(), {int64_t(*memory.allocate(size_t(length) * heads * 4, "lse")), int64_t(length) * heads,
                       int64_t(length)});
  if (bytes > 168)
    p.push_back(1);
  p.push_back(int64_t(length) << 32 | int64_t(length));
  p.push_back(1); // query heads that share a KV head
  sim::LaunchConfig c;
  c.entry = entry.name;
  c.grid = {(length + blockQ - 1) / blockQ, heads, 1};
  c.block = {entry.maxntid[0] ? entry.maxntid[0] : 128, 1, 1};
  c.dynamicShared = shared;
  c.params.resize(p.size() * 8);
  std::memcpy(c.params.data(), p.data(), p.size() * 8);
  c.mode = mode;
  c.checks = checks;
  c.threads = threads;
  fmt::print("{}: {} instructions, {} registers of 32 bits, {}\n", entry.name, entry.instructions,
             entry.registerSlots, sim::hostInstructionSet());
  for (uint32_t r = 0; r < repeat; ++r) {
    std::clock_t start = std::clock();
    auto result = sim::launch(**module, memory, c);
    double cpu = double(std::clock() - start) / CLOCKS_PER_SEC;
    if (!result) {
      fmt::print(stderr, "{}\n", result.error().message);
      return 2;
    }
    const sim::Counters &n = result->counters;
    fmt::print("{:.3f} s, {:.3f} s of processor time, {} blocks, {:.2f} M warp instructions ({:.1f} M/s a "
               "core), {:.2f} G "
               "multiply-adds ({:.2f} G/s a core)\n",
               n.seconds, cpu, n.blocks, double(n.warpInstructions) * 1e-6,
               double(n.warpInstructions) * 1e-6 / cpu, double(n.multiplyAdds) * 1e-9,
               double(n.multiplyAdds) * 1e-9 / cpu);
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
      (void)memory.read(o.data(), uint64_t(p[12]), elements * 2);
      uint64_t hash = 1469598103934665603ull;
      for (uint16_t x : o)
        hash = (hash ^ x) * 1099511628211ull;
      fmt::print("hash of O: {:016x}, unwritten bytes {}\n", hash,
                 *memory.countUninitialised(uint64_t(p[12]), elements * 2));
    }
  }
  return 0;
}
