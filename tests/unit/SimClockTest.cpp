//===- SimClockTest.cpp - the virtual clock -------------------------------===//
//
// Small programs whose clocks follow from the GPU's figures by hand. Two lengths of a program give the clocks
// of what they differ by.
//
//===----------------------------------------------------------------------===//
#include "SimSupport.h"
#include "compiler/support/GpuFigures.h"

#include <fmt/format.h>

using namespace simtest;

namespace {

const GpuFigures &h100 = gpuFiguresFor("NVIDIA H100", 90);

struct Timed {
  sim::LaunchConfig config;
  std::string target = "sm_90a";
  sim::LaunchResult run(const std::string &body) {
    auto m = parse(ptx(".param .u64 memory", body, target));
    Device d;
    uint64_t memory = d.make(1 << 20);
    REQUIRE(d.memory.fill(memory, 0, 1 << 20));
    config.entry = "k";
    config.params = Params().add(memory).bytes;
    config.time.on = true;
    if (config.time.gpu.empty() && target == "sm_90a")
      config.time.gpu = "H100";
    sim::LaunchResult r = d.run(*m, config);
    CHECK_CLEAN(r);
    REQUIRE(r.time);
    return r;
  }
  double clocks(const std::string &body) { return run(body).time->followed.at(0).end; }
};

Timed block(uint32_t threads, uint32_t shared = 0) {
  Timed t;
  t.config.block = {threads, 1, 1};
  t.config.dynamicShared = shared;
  return t;
}

std::string repeated(const std::string &line, int n) {
  std::string all;
  for (int k = 0; k < n; ++k)
    all += fmt::format(fmt::runtime(line), k) + "\n";
  return all;
}

const std::string registers =
    ".reg .f32 %f<600>; .reg .b32 %r<64>; .reg .b64 %q<16>; .reg .pred %p<8>;\nmov.f32 %f0, "
    "0f3F000000;\n";

} // namespace

TEST_CASE("clock: a chain of dependent FMAs takes their latency each") {
  auto chain = [](int n) { return registers + repeated("fma.rn.f32 %f0, %f0, %f0, %f0;", n) + "ret;"; };
  double difference = block(32).clocks(chain(300)) - block(32).clocks(chain(100));
  CHECK(difference == doctest::Approx(200 * h100.fmaLatency));
}

TEST_CASE("clock: independent FMAs take their rate") {
  auto many = [](int n) {
    std::string body = registers;
    for (int k = 0; k < n; ++k)
      body += fmt::format("fma.rn.f32 %f{}, %f0, %f0, %f0;\n", 1 + k);
    return body + "ret;";
  };
  double difference = block(32).clocks(many(500)) - block(32).clocks(many(100));
  CHECK(difference == doctest::Approx(400 * 4 / h100.fma).epsilon(0.01));
}

TEST_CASE("clock: two warps of a scheduler share its MUFU, two of different ones do not") {
  auto many = [](int n, int every) {
    std::string body =
        registers + fmt::format("mov.u32 %r0, %tid.x;\nshr.u32 %r0, %r0, 5;\nrem.u32 %r1, %r0, {};\n"
                                "setp.ne.u32 %p0, %r1, 0;\n@%p0 bra END;\n",
                                every);
    for (int k = 0; k < n; ++k)
      body += fmt::format("ex2.approx.ftz.f32 %f{}, %f0;\n", 1 + k);
    return body + "END:\nret;";
  };
  auto each = [&](uint32_t warps, int every) {
    return (block(32 * warps).clocks(many(300, every)) - block(32 * warps).clocks(many(100, every))) / 200;
  };
  double alone = 4 / h100.mufu;
  CHECK(each(1, 1) == doctest::Approx(alone).epsilon(0.01));
  CHECK(each(2, 1) == doctest::Approx(alone).epsilon(0.01));     // warps 0 and 1
  CHECK(each(5, 4) == doctest::Approx(2 * alone).epsilon(0.01)); // warps 0 and 4
}

TEST_CASE("clock: minimum and maximum take twice an addition's time") {
  auto many = [](const char *op, int n) {
    std::string body = registers;
    for (int k = 0; k < n; ++k)
      body += fmt::format("{} %f{}, %f0, %f0;\n", op, 1 + k);
    return body + "ret;";
  };
  double add = block(32).clocks(many("add.rn.f32", 500)) - block(32).clocks(many("add.rn.f32", 100));
  double max = block(32).clocks(many("max.f32", 500)) - block(32).clocks(many("max.f32", 100));
  CHECK(max / add == doctest::Approx(h100.fma / h100.alu).epsilon(0.02));
}

TEST_CASE("clock: moves and folded addresses take nothing") {
  auto body = [](int n) {
    std::string text =
        registers + ".shared .align 16 .b8 s[4096];\nmov.u32 %r0, s;\nst.shared.f32 [%r0], %f0;\n";
    for (int k = 0; k < n; ++k)
      text += fmt::format("mov.f32 %f{}, %f{};\n", 1 + k, k);
    text += "add.u32 %r1, %r0, 16;\nst.shared.f32 [%r1], %f5;\n";
    return text + "ret;";
  };
  CHECK(block(32).clocks(body(400)) == block(32).clocks(body(10)));
}

TEST_CASE("clock: conflicts of shared memory's banks take its port as often") {
  auto body = [](int shift, int n) {
    std::string text = registers + ".shared .align 16 .b8 s[8192];\nmov.u32 %r0, %tid.x;\n" +
                       fmt::format("shl.b32 %r1, %r0, {};\nmov.u32 %r2, s;\nadd.u32 %r1, %r1, %r2;\n", shift);
    for (int k = 0; k < n; ++k)
      text += "st.shared.f32 [%r1], %f0;\n";
    return text + "ret;";
  };
  auto each = [&](int shift) {
    return (block(32).clocks(body(shift, 300)) - block(32).clocks(body(shift, 100))) / 200;
  };
  CHECK(each(2) == doctest::Approx(1).epsilon(0.05));  // a word a lane
  CHECK(each(4) == doctest::Approx(4).epsilon(0.05));  // 16 bytes apart
  CHECK(each(7) == doctest::Approx(32).epsilon(0.05)); // one bank
}

TEST_CASE("clock: a bulk load is waited for, and 24 KB more take what its rate says") {
  auto body = [](uint32_t bytes) {
    return registers + ".shared .align 128 .b8 s[32896];\n" +
           fmt::format(
               "mov.u32 %r0, s;\nadd.u32 %r1, %r0, 32768;\nld.param.u64 %q0, [memory];\n"
               "mbarrier.init.shared::cta.b64 [%r1], 1;\nfence.mbarrier_init.release.cluster;\n"
               "fence.proxy.async;\n"
               "mbarrier.arrive.expect_tx.shared::cta.b64 %q1, [%r1], {0};\n"
               "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r0], [%q0], {0}, [%r1];\n"
               "WAIT:\nmbarrier.try_wait.parity.shared::cta.b64 %p0, [%r1], 0;\n@!%p0 bra WAIT;\n"
               "ld.shared.f32 %f1, [%r0];\nst.global.f32 [%q0], %f1;\nret;",
               bytes);
  };
  // One thread of one warp: the others of the warp would repeat the copy.
  Timed one = block(1);
  sim::LaunchResult small = one.run(body(8192));
  double clocks = small.time->followed[0].end;
  CHECK(clocks > h100.bulkMemoryLatency - 250);
  CHECK(clocks < h100.bulkMemoryLatency + 350);
  CHECK(small.time->stalls[size_t(sim::Stall::Mbarrier)] > 500);
  double more = block(1).clocks(body(32768)) - clocks; // the share of one SM alone: 64 bytes a clock
  CHECK(more == doctest::Approx(24576.0 / 64).epsilon(0.1));
}

TEST_CASE("clock: a named barrier joins by the latest arrival") {
  // Warp 1 has work before it arrives; warp 0 waits for it.
  auto body = [](int n) {
    return registers + "mov.u32 %r0, %tid.x;\nsetp.lt.u32 %p0, %r0, 32;\n@%p0 bra JOIN;\n" +
           repeated("fma.rn.f32 %f0, %f0, %f0, %f0;", n) + "JOIN:\nbar.sync 1, 64;\nret;";
  };
  sim::LaunchResult late = block(64).run(body(500));
  double difference = late.time->followed[0].end - block(64).clocks(body(100));
  CHECK(difference == doctest::Approx(400 * h100.fmaLatency).epsilon(0.01));
  CHECK(late.time->stalls[size_t(sim::Stall::Barrier)] > 0.9 * 500 * h100.fmaLatency);
}

TEST_CASE("clock: a producer and a consumer with a ring of two take the slower one's time") {
  // Warp 0 fills a slot by `produce` dependent FMAs, warp 1 empties it by `consume`; mbarriers hand them
  // over.
  auto body = [](int produce, int consume, int rounds) {
    auto side = [&](bool producer) {
      const char *own = producer ? "P" : "C", *wait = producer ? "16" : "0", *tell = producer ? "0" : "16";
      return fmt::format(
          "{0}LOOP:\nand.b32 %r4, %r3, 1;\nshl.b32 %r5, %r4, 3;\nadd.u32 %r6, %r0, %r5;\nshr.u32 %r7, %r3, "
          "1;\n"
          "and.b32 %r7, %r7, 1;\n{1}{0}WAIT:\nmbarrier.try_wait.parity.shared::cta.b64 %p1, [%r6 + {2}], "
          "%r7;\n"
          "@!%p1 bra {0}WAIT;\n{3}mbarrier.arrive.shared::cta.b64 %q1, [%r6 + {4}];\nadd.u32 %r3, %r3, 1;\n"
          "setp.lt.u32 %p2, %r3, {5};\n@%p2 bra {0}LOOP;\n",
          own, producer ? "xor.b32 %r7, %r7, 1;\n" : "", wait,
          repeated("fma.rn.f32 %f0, %f0, %f0, %f0;", producer ? produce : consume), tell, rounds);
    };
    return registers +
           ".shared .align 8 .b8 s[32];\nmov.u32 %r0, s;\nmov.u32 %r1, %tid.x;\nmov.u32 %r3, 0;\nsetp.ne.u32 "
           "%p0, %r1, 0;\n"
           "@%p0 bra READY;\n" +
           repeated("mbarrier.init.shared::cta.b64 [%r0 + {0}], 32;", 1) +
           "mbarrier.init.shared::cta.b64 [%r0 + 8], 32;\nmbarrier.init.shared::cta.b64 [%r0 + 16], 32;\n"
           "mbarrier.init.shared::cta.b64 [%r0 + 24], 32;\nREADY:\nbar.sync 0;\nsetp.ge.u32 %p0, %r1, "
           "32;\n@%p0 bra CLOOP;\n" +
           side(true) + "ret;\n" + side(false) + "ret;";
  };
  auto round = [&](int produce, int consume) {
    return (block(64).clocks(body(produce, consume, 24)) - block(64).clocks(body(produce, consume, 8))) / 16;
  };
  double slowProducer = round(300, 50), slowConsumer = round(50, 300), both = round(300, 300);
  double work = 300.0 * h100.fmaLatency, overhead = 0.5 * h100.mbarrierHandOver + 60;
  for (double r : {slowProducer, slowConsumer, both}) {
    CHECK(r > work);
    CHECK(r < work + overhead);
  }
}

TEST_CASE("clock: a wait in a loop takes as long as what it waits for, however often the host tried it") {
  // Lane 0 of warp 0 spins while its other lanes have gone on, so that the simulator cannot put the warp to
  // sleep.
  auto body = [](int n) {
    return registers +
           ".shared .align 8 .b8 s[8];\nmov.u32 %r0, s;\nmov.u32 %r1, %tid.x;\nsetp.ne.u32 %p0, %r1, "
           "0;\n@%p0 bra READY;\n"
           "mbarrier.init.shared::cta.b64 [%r0], 32;\nREADY:\nbar.sync 0;\nsetp.ge.u32 %p0, %r1, 32;\n@%p0 "
           "bra OTHER;\n"
           "setp.ne.u32 %p0, %r1, 0;\n@%p0 bra END;\n"
           "WAIT:\nmbarrier.try_wait.parity.shared::cta.b64 %p1, [%r0], 0;\n@%p1 bra END;\nbra "
           "WAIT;\nOTHER:\n" +
           repeated("fma.rn.f32 %f0, %f0, %f0, %f0;", n) +
           "mbarrier.arrive.shared::cta.b64 %q1, [%r0];\nEND:\nbar.sync 0;\nret;";
  };
  double difference = block(64).clocks(body(500)) - block(64).clocks(body(100));
  CHECK(difference == doctest::Approx(400 * h100.fmaLatency).epsilon(0.05));
}

TEST_CASE("clock: one block's products take the tensor cores' time") {
  std::string d;
  for (int k = 0; k < 64; ++k)
    d += fmt::format("{}%f{}", k ? ", " : "", 100 + k);
  auto body = [&](int rounds) {
    std::string text = registers +
                       ".shared .align 1024 .b8 s[32768];\nmov.u32 %r0, %tid.x;\nshl.b32 %r1, %r0, 4;\n"
                       "mov.u32 %r2, s;\nadd.u32 %r3, %r2, %r1;\nmov.u32 %r4, 0;\n"
                       "FILL:\nst.shared.v4.b32 [%r3], {%r4, %r4, %r4, %r4};\nadd.u32 %r3, %r3, 2048;\n"
                       "add.u32 %r5, %r2, 32768;\nsetp.lt.u32 %p0, %r3, %r5;\n@%p0 bra FILL;\n"
                       "fence.proxy.async;\nbar.sync 0;\nshr.u32 %r6, %r2, 4;\ncvt.u64.u32 %q0, %r6;\n"
                       "or.b64 %q0, %q0, 0x4000004000010000;\nadd.u64 %q1, %q0, 512;\nmov.u32 %r7, 0;\n";
    for (int k = 0; k < 64; ++k)
      text += fmt::format("mov.f32 %f{}, 0f00000000;\n", 100 + k);
    text += "LOOP:\nwgmma.fence.sync.aligned;\n";
    for (int k = 0; k < 4; ++k)
      text += fmt::format(
          "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {{{}}}, %q0, %q1, 1, 1, 1, 0, 0;\n", d);
    return text +
           fmt::format(
               "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\nadd.u32 %r7, %r7, 1;\n"
               "setp.lt.u32 %p1, %r7, {};\n@%p1 bra LOOP;\nret;",
               rounds);
  };
  double each = (block(128).clocks(body(12)) - block(128).clocks(body(4))) / 8;
  CHECK(each == doctest::Approx(333).epsilon(0.05)); // measured: four in a row and their wait
  sim::TimeReport t = *block(128).run(body(50)).time;
  CHECK(t.tensor == doctest::Approx(256.0 / 333).epsilon(0.1));
  CHECK(t.matrixFlops == 50.0 * 4 * 2 * 64 * 128 * 16);
  REQUIRE(!t.lines.empty());
  CHECK(t.lines[0].instruction.find("wgmma.") != std::string::npos);
}

TEST_CASE("clock: a grid's time is its waves', and the work of each block counts") {
  std::string body =
      registers + "mov.u32 %r0, %ctaid.x;\nmul.lo.u32 %r0, %r0, 0;\nadd.u32 %r0, %r0, 400;\nmov.u32 %r1, 0;\n"
                  "LOOP:\nfma.rn.f32 %f0, %f0, %f0, %f0;\nadd.u32 %r1, %r1, 1;\nsetp.lt.u32 %p0, %r1, %r0;\n"
                  "@%p0 bra LOOP;\nret;";
  Timed t = block(1024);
  t.config.time.registers = 32;
  t.config.grid = {264, 1, 1}; // two blocks an SM
  sim::TimeReport one = *t.run(body).time;
  CHECK(one.residents == 2);
  CHECK(one.waves == doctest::Approx(1));
  CHECK(one.limit == "registers");
  t.config.grid = {528, 1, 1};
  CHECK(t.run(body).time->cycles == doctest::Approx(2 * one.cycles).epsilon(0.02));
  // Blocks of more and more work: the sum of all, evenly over the SMs.
  std::string uneven = body;
  uneven.replace(uneven.find("mul.lo.u32 %r0, %r0, 0;"), 23, "mul.lo.u32 %r0, %r0, 2;");
  t.config.grid = {1320, 1, 1};
  double last = 400 + 2 * 1319, mean = 400 + 1319, cycles = t.run(uneven).time->cycles;
  double blocksTime = one.cycles / 400 * mean * 1320 / 264;
  CHECK(cycles > 0.9 * blocksTime);
  CHECK(cycles < 1.1 * blocksTime + one.cycles / 400 * last);
}

TEST_CASE("clock: what is followed alone may run alone") {
  Timed t = block(128);
  t.config.grid = {1000, 1, 1};
  t.config.time.onlySample = true;
  t.config.time.sample = 6;
  std::string body =
      registers +
      "mov.u32 %r0, %ctaid.x;\nld.param.u64 %q0, [memory];\nmul.wide.u32 %q1, %r0, 4;\nadd.u64 %q0, "
      "%q0, %q1;\nst.global.u32 [%q0], %r0;\n" +
      repeated("fma.rn.f32 %f0, %f0, %f0, %f0;", 200) + "ret;";
  sim::LaunchResult r = t.run(body);
  CHECK(r.counters.blocks == 6);
  CHECK(r.time->followed.size() == 6);
  CHECK(r.time->blocks == 1000);
  CHECK(!r.time->notes.empty());
}

TEST_CASE("clock: host threads change nothing") {
  std::string body =
      registers +
      "mov.u32 %r0, %ctaid.x;\nand.b32 %r0, %r0, 31;\nmov.u32 %r1, 0;\nld.param.u64 %q0, [memory];\n"
      "mul.wide.u32 %q1, %r0, 512;\nadd.u64 %q0, %q0, %q1;\nLOOP:\nld.global.f32 %f1, [%q0];\n"
      "fma.rn.f32 %f0, %f1, %f0, %f0;\nadd.u32 %r1, %r1, 1;\nsetp.le.u32 %p0, %r1, %r0;\n@%p0 bra "
      "LOOP;\nret;";
  auto times = [&](unsigned threads) {
    Timed t = block(64);
    t.config.grid = {200, 1, 1};
    t.config.threads = threads;
    t.config.time.sample = 40;
    sim::TimeReport r = *t.run(body).time;
    std::vector<double> all = {r.cycles, r.issue, r.memoryCycles};
    for (const sim::BlockTime &b : r.followed)
      all.push_back(b.end);
    return all;
  };
  std::vector<double> one = times(1);
  CHECK(times(2) == one);
  CHECK(times(7) == one);
}

TEST_CASE("clock: off by default, and it refuses what it does not know") {
  auto m = parse(ptx(".param .u64 memory", "ret;", "sm_90a"));
  Device d;
  sim::LaunchConfig c;
  c.entry = "k";
  c.params = Params().add(uint64_t(0)).bytes;
  CHECK(!d.run(*m, c).time);
  c.time.on = true;
  auto message = [&] {
    auto r = sim::launch(*m, d.memory, c);
    return r ? std::string() : r.error().message;
  };
  c.time.gpu = "H1000";
  CHECK(message().find("got 'H1000'") != std::string::npos);
  c.time.gpu = "A100";
  CHECK(message().find("expected a GPU that runs sm_90a, got A100") != std::string::npos);
  c.time.gpu = "";
  c.mode = sim::Mode::Lazy;
  CHECK(message().find("expected mode eager") != std::string::npos);
}

TEST_CASE("clock: the timeline is JSON with every warp's waits") {
  Timed t = block(64);
  t.config.time.timeline = true;
  std::string body = registers + "mov.u32 %r0, %tid.x;\nsetp.lt.u32 %p0, %r0, 32;\n@%p0 bra JOIN;\n" +
                     repeated("fma.rn.f32 %f0, %f0, %f0, %f0;", 100) + "JOIN:\nbar.sync 1, 64;\nret;";
  std::string json = t.run(body).time->timeline;
  CHECK(json.starts_with("{\"displayTimeUnit\""));
  CHECK(json.find("\"name\":\"barrier\"") != std::string::npos);
  CHECK(json.find("block 0 warp 0") != std::string::npos);
  int depth = 0;
  bool quoted = false;
  for (size_t k = 0; k < json.size(); ++k) {
    if (json[k] == '"' && json[k - 1] != '\\')
      quoted = !quoted;
    if (!quoted)
      depth += (json[k] == '{' || json[k] == '[') - (json[k] == '}' || json[k] == ']');
  }
  CHECK(depth == 0);
}
