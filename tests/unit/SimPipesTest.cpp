//===- SimPipesTest.cpp - blocks of a cluster that hand on data by mbarriers ---------------===//
//
// Every kernel of tests/sim/faults/pipes.cu: those called _bad give a finding of their kind, those called _ok
// none and the right result, in all modes and with every number of host threads.
//
//===----------------------------------------------------------------------===//
#include "SimSupport.h"

#include <map>

using namespace attune;
using namespace simtest;
using Kind = sim::FindingKind;

namespace {

struct Expectation {
  Kind kind;
  const char *words;       ///< the finding's text has them
  bool orDeadlock = false; ///< which it may bring before
};

const std::map<std::string, Expectation> &expectations() {
  static const std::map<std::string, Expectation> all = {
      {"pipe_init_bad", {Kind::Race, "expected fence.mbarrier_init and a barrier of the cluster"}},
      {"pipe_unbegun_bad", {Kind::Lifetime, "not known to have begun"}},
      {"pipe_overwrites_bad", {Kind::Race, "pipes.cu", true}},
      {"pipe_deadlock_bad", {Kind::Deadlock, "waits for an mbarrier, line"}},
      {"pipe_leaves_bad", {Kind::Lifetime, "ends without having waited"}},
      {"send_bytes_bad", {Kind::Deadlock, "bytes pending"}},
      {"send_unread_bad", {Kind::Race, "may still", true}},
      {"send_early_read_bad", {Kind::MissingWait, "asynchronous copy to shared memory"}},
      {"send_elsewhere_bad",
       {Kind::BadOperand, "expected the mbarrier in the block to which the value goes"}},
      {"remote_wait_bad", {Kind::BarrierMisuse, "expected the block's own barrier to wait for"}},
  };
  return all;
}

constexpr uint32_t blocks = 8, block = 64;

struct Outcome {
  sim::LaunchResult result;
  std::vector<int32_t> out;
};

std::vector<int32_t> input() {
  std::vector<int32_t> in(blocks * block);
  for (size_t i = 0; i < in.size(); ++i)
    in[i] = int32_t(i * 37 % 101);
  return in;
}

std::shared_ptr<const sim::Module> module() {
  static std::shared_ptr<const sim::Module> m =
      parse(readFile(std::string(ATTUNE_SIM_KERNELS) + "/../faults/pipes.ptx"), "pipes.ptx");
  return m;
}

Outcome runKernel(const std::string &name, sim::Mode mode, unsigned threads, uint64_t seed = 5) {
  Device d;
  uint64_t pi = d.put(input(), "in"), po = d.put(std::vector<int32_t>(blocks * block), "out"),
           pa = d.put(std::vector<int32_t>(2048), "aux");
  sim::LaunchConfig c{.entry = name, .grid = {blocks, 1, 1}, .block = {block, 1, 1}};
  c.params = Params().add(pi).add(po).add(pa).add(int32_t(blocks * block)).bytes;
  c.mode = mode;
  c.seed = seed;
  c.threads = threads;
  c.maxInstructionsPerWarp = 300000;
  Outcome o;
  o.result = d.run(*module(), c);
  o.out = d.get<int32_t>(po, blocks * block);
  return o;
}

} // namespace

TEST_CASE("pipes: every planted fault is found, and its correct twin is clean") {
  for (const sim::EntryInfo &entry : module()->entries()) {
    CAPTURE(entry.name);
    bool bad = entry.name.ends_with("_bad");
    auto expected = expectations().find(entry.name);
    REQUIRE((expected != expectations().end()) == bad);
    for (sim::Mode mode : {sim::Mode::Eager, sim::Mode::Lazy, sim::Mode::Random}) {
      CAPTURE(int(mode));
      Outcome o = runKernel(entry.name, mode, 2);
      if (!bad) {
        CHECK_CLEAN(o.result);
        continue;
      }
      std::string text;
      for (const sim::Finding &f : o.result.findings)
        if (f.kind == expected->second.kind || (expected->second.orDeadlock && f.kind == Kind::Deadlock))
          text += f.text();
      CHECK_MESSAGE(!text.empty(), "found instead: " << texts(o.result.findings));
      if (!expected->second.orDeadlock || text.find("deadlock") == std::string::npos)
        CHECK_MESSAGE(text.find(expected->second.words) != std::string::npos, text);
    }
  }
}

TEST_CASE("pipes: findings and results are the same for every number of host threads") {
  for (const sim::EntryInfo &entry : module()->entries()) {
    CAPTURE(entry.name);
    Outcome one = runKernel(entry.name, sim::Mode::Random, 1);
    for (unsigned threads : {2u, 7u}) {
      Outcome many = runKernel(entry.name, sim::Mode::Random, threads);
      CHECK(texts(one.result.findings) == texts(many.result.findings));
      CHECK(one.out == many.out);
    }
  }
}

TEST_CASE("pipes compute what they should, in every order") {
  std::vector<int32_t> in = input();
  for (uint64_t seed = 0; seed < 8; ++seed) {
    CAPTURE(seed);
    Outcome pipe = runKernel("pipe_ok", sim::Mode::Random, 1, seed),
            send = runKernel("send_ok", sim::Mode::Random, 1, seed),
            add = runKernel("send_add_ok", sim::Mode::Random, 1, seed);
    CHECK_CLEAN(pipe.result);
    CHECK_CLEAN(send.result);
    CHECK_CLEAN(add.result);
    for (uint32_t i = 0; i < blocks * block; ++i) {
      uint32_t cluster = i / block / 4 * 4, t = i % block;
      int32_t sum = 0;
      for (uint32_t r = 0; r < 4; ++r)
        sum += in[(cluster + r) * block + t];
      CHECK(pipe.out[i] == in[i] + 4); // four steps round four blocks
      CHECK(send.out[i] == in[i] + 4);
      CHECK(add.out[i] == (i / block % 4 == 0 ? sum : 0));
    }
  }
}
