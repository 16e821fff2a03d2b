//===- TunerFeasibilityTest.cpp - forecasts against reports ---------------===//
//
// What the space says before compiling, against what the compiler, ptxas and the simulator really report.
//
//===----------------------------------------------------------------------===//
#include "tuner/CostModel.h"
#include "tuner/Timer.h"

#include "runtime/device/sim/SimDevice.h"
#include "runtime/jit/ProgramBuild.h"
#include "runtime/reference/Parallel.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace attune;
using namespace attune::tuner;

namespace {

struct Sample {
  AttentionSpec spec;
  Arch arch;
  Ranked ranked;
};

/// A spread of candidates over dims, architectures and the model's order.
std::vector<Sample> samples() {
  std::vector<Sample> result;
  int turn = 0;
  for (const char *arch : {"sm_80", "sm_86", "sm_90"})
    for (int dim : {32, 64, 128, 256}) {
      AttentionSpec spec;
      spec.headDimQk = spec.headDimV = dim;
      if (turn % 2)
        spec.mask = {MaskTerm{std::nullopt, 0, MaskAlign::TopLeft}};
      DeviceInfo device = describeSimDevice(*findArch(arch));
      const Family &family = familyFor(spec, device.arch);
      Enumeration space = enumerate(family, spec, device.arch, Target::PTX);
      std::vector<Ranked> ranked = rank(spec, device, {1, 16, 16, 2048, 2048}, space.feasible);
      for (size_t part : {0, 1, 3})
        result.push_back({spec, device.arch, ranked[(ranked.size() - 1) * part / 4 + size_t(turn) % 3]});
      ++turn;
    }
  return result;
}

/// All of them, on all cores.
std::vector<Result<BuiltProgram>> buildAll(const std::vector<Sample> &samples, CubinNeed cubin,
                                           const Toolchain &tools) {
  std::vector<Result<BuiltProgram>> built(samples.size(), missing("not built"));
  reference::parallelFor(int64_t(samples.size()), [&](int64_t i) {
    const Sample &sample = samples[size_t(i)];
    const Candidate &candidate = sample.ranked.candidate;
    built[size_t(i)] = buildProgram({withSchedule(sample.spec, candidate), candidate.target, {}},
                                    {sample.arch}, cubin, tools, Cache());
  });
  return built;
}

} // namespace

TEST_CASE("shared memory, threads and occupancy are the compiler's exactly; registers are near ptxas's") {
  Toolchain tools = Toolchain::find();
  bool assembled = tools.tool(Tool::Ptxas).has_value();
  if (!assembled)
    MESSAGE("ptxas was not found: registers and spills are not compared");
  int kernels = 0, spilled = 0, expected = 0, free = 0;
  std::vector<Sample> all = samples();
  std::vector<Result<BuiltProgram>> programs =
      buildAll(all, assembled ? CubinNeed::Yes : CubinNeed::No, tools);
  for (size_t i = 0; i < all.size(); ++i) {
    const Sample &sample = all[i];
    const Candidate &candidate = sample.ranked.candidate;
    const ScheduleCost &cost = sample.ranked.cost;
    CAPTURE(toJson(withSchedule(sample.spec, candidate)));
    CAPTURE(sample.arch.name);
    const Result<BuiltProgram> &built = programs[i];
    if (!built)
      FAIL(built.error().message);
    const KernelInfo &kernel = built->program.mainKernel();
    CHECK(kernel.sharedBytes == cost.sharedBytes);
    CHECK(kernel.threads == cost.threads);
    CHECK(kernel.minBlocksPerSm == cost.blocksPerSm);
    ++kernels;
    if (!assembled)
      continue;
    const AssemblerReport &used = *built->program.mainReport();
    CHECK(used.staticShared == 0);
    // The launch bound caps registers, so that as many blocks fit as the space says.
    CHECK(*built->program.blocksPerSm() >= cost.blocksPerSm);
    bool spills = used.spillStores + used.spillLoads > 0;
    spilled += spills;
    expected += spills && cost.registers > 230;
    int cap = std::min(255, sample.arch.registersPerSm / (cost.blocksPerSm * cost.threads) / 8 * 8);
    if (!spills && used.registers < cap - 8) { // it was free to take what it wanted
      ++free;
      CHECK(used.registers - cost.registers >= -45);
      CHECK(used.registers - cost.registers <= 85);
    }
  }
  MESSAGE(kernels, " kernels, ", spilled, " spill (", expected,
          " of them where the model has more than 230 registers), ", free, " free of their cap");
  CHECK(spilled <= kernels / 4);
  if (assembled)
    CHECK(free > kernels / 4);
}

TEST_CASE("the simulator runs every one of them with just that shared memory") {
  std::vector<Sample> all = samples();
  std::erase_if(
      all, [](const Sample &sample) { return sample.arch.name != "sm_80" || sample.spec.headDimV > 128; });
  std::vector<Result<BuiltProgram>> programs = buildAll(all, CubinNeed::No, Toolchain());
  CHECK(all.size() >= 6);
  for (size_t i = 0; i < all.size(); ++i) {
    const Sample &sample = all[i];
    const Result<BuiltProgram> &built = programs[i];
    REQUIRE(built);
    CHECK(built->program.mainKernel().sharedBytes == sample.ranked.cost.sharedBytes);
    Result<std::unique_ptr<Device>> device = openSimDevice("sm_80", {}, "under test");
    REQUIRE(device);
    TimerProblem problem;
    problem.spec = sample.spec;
    // Keys enough to fill every slot of the rings, whose last bytes are what is taken away below.
    const Schedule &schedule = sample.ranked.candidate.schedule;
    int64_t keys = std::max(140, schedule.value("stages") * schedule.value("block_kv"));
    problem.shape = problem.verified = {1, 1, 1, sample.spec.mask.empty() ? 100 : keys, keys};
    CAPTURE(toJson(withSchedule(sample.spec, sample.ranked.candidate)));
    std::unique_ptr<Timer> timer = makeDeviceTimer(std::move(*device), problem);
    Opened opened = timer->open({0, built->program}, true);
    CAPTURE(opened.message);
    CHECK(opened.verdict == Verdict::Passed);
    REQUIRE(opened.counters);
    // With one byte less the checkers would have found an access outside.
    CompiledProgram tight = built->program;
    tight.text.program.kernels[0].sharedBytes -= 16;
    tight.text.program.launches[0].sharedBytes = tight.text.program.kernels[0].sharedBytes;
    CHECK(timer->open({1, tight}, true).verdict != Verdict::Passed);
    // The counters' work is near the model's: they count what the model predicts.
    const Family &family = familyFor(sample.spec, sample.arch);
    Work model = family.work(sample.spec, sample.arch, problem.verified, sample.ranked.candidate);
    Work counted = countedWork(*opened.counters, model);
    CHECK(counted.multiplyAdds == doctest::Approx(model.multiplyAdds));
    CHECK(counted.globalBytes == doctest::Approx(model.globalBytes).epsilon(0.7));
    CHECK(counted.slots / model.slots > 0.5);
    CHECK(counted.slots / model.slots < 2);
  }
}
