//===- Rates.cpp - how fast the tuner itself is ---------------------------===//
//
// One JSON object of rates, for tests/perf/tune_rates.py: ranking the whole space, candidates a second to PTX
// and to cubin on all cores, and what a plan costs in process. Kernels are compiled anew, with no cache.
//
// usage: tuner_rates [CANDIDATES]
//
//===----------------------------------------------------------------------===//
#include "runtime/device/sim/SimDevice.h"
#include "runtime/jit/ProgramBuild.h"
#include "tuner/Pipeline.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>
#include <sys/resource.h>

using namespace attune;
using namespace attune::tuner;

namespace {

double seconds(std::chrono::steady_clock::time_point from) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

/// Processor time of this process and of the tools it ran.
double processorSeconds() {
  double total = 0;
  for (int whose : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage used{};
    ::getrusage(whose, &used);
    for (const timeval &time : {used.ru_utime, used.ru_stime})
      total += double(time.tv_sec) + 1e-6 * double(time.tv_usec);
  }
  return total;
}

/// Candidates a second: as it went, and what all cores could do had they nothing else to do.
struct Rate {
  double wall = 0, byProcessor = 0;
};

/// Through the pipeline; 0 if one could not be compiled.
Rate rate(const AttentionSpec &spec, const Arch &arch, std::vector<Candidate> list, size_t count,
          CubinNeed need, const Toolchain &tools) {
  list.resize(std::min(list.size(), count));
  Build build = [&](const Candidate &candidate) -> Result<CompiledProgram> {
    Result<BuiltProgram> built =
        buildProgram({withSchedule(spec, candidate), candidate.target, {}}, {arch}, need, tools, Cache());
    if (!built)
      return built.error();
    return std::move(built->program);
  };
  auto start = std::chrono::steady_clock::now();
  double before = processorSeconds();
  Pipeline pipeline(build, list, 0, 8, Pipeline::Clock::time_point::max());
  for (size_t i = 0; i < list.size(); ++i)
    if (std::optional<Result<CompiledProgram>> kernel = pipeline.take(); !kernel || !*kernel) {
      fmt::print(stderr, "{}\n", kernel ? kernel->error().message : "no time");
      return {};
    }
  double used = processorSeconds() - before, cores = std::max(1u, std::thread::hardware_concurrency());
  return {double(list.size()) / seconds(start), double(list.size()) * cores / used};
}

} // namespace

int main(int argc, char **argv) {
  size_t count = argc > 1 ? size_t(std::atoi(argv[1])) : 48;
  AttentionSpec spec;
  spec.mask = {MaskTerm{std::nullopt, 0, MaskAlign::TopLeft}};
  spec.lse = true;
  DeviceInfo device = describeSimDevice(*findArch("sm_80"));
  auto start = std::chrono::steady_clock::now();
  SweepTask task = makeTask(spec, {1, 32, 8, 4096, 4096}, device, "", std::nullopt);
  double ranking = seconds(start);
  std::vector<Candidate> ptx, cuda;
  for (const Ranked &ranked : task.candidates)
    (ranked.candidate.target == Target::PTX ? ptx : cuda).push_back(ranked.candidate);
  Toolchain tools = Toolchain::find();
  Rate toPtx = rate(spec, device.arch, ptx, count, CubinNeed::No, tools), toCubin, byNvrtc;
  if (tools.tool(Tool::Ptxas))
    toCubin = rate(spec, device.arch, ptx, count / 2, CubinNeed::Yes, tools);
  if (tools.tool(Tool::NVRTC))
    byNvrtc = rate(spec, device.arch, cuda, count / 4, CubinNeed::Yes, tools);
  auto json = [](const Rate &rate) {
    return fmt::format("{{\"wall\":{:.2f},\"by_processor\":{:.2f}}}", rate.wall, rate.byProcessor);
  };
  fmt::print("{{\"points\":{},\"feasible\":{},\"ranking_ms\":{:.2f},\"to_ptx\":{},\"to_cubin\":{},\"by_"
             "nvrtc\":{}}}\n",
             task.space.points, task.space.feasible.size(), ranking * 1e3, json(toPtx), json(toCubin),
             json(byNvrtc));
  return toPtx.wall > 0 ? 0 : 1;
}
