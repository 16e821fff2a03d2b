//===- Rates.cpp - how fast the tuner itself is ---------------------------===//
//
// One JSON object of rates, for tests/perf/tune_rates.py: ranking the whole space, candidates a second to PTX
// and to cubin on all cores, and what a plan costs in process. Kernels are compiled anew, with no cache.
//
// usage: tuner_rates [CANDIDATES]
//
//===----------------------------------------------------------------------===//
#include "runtime/device/SimDevice.h"
#include "runtime/jit/KernelBuild.h"
#include "tuner/Pipeline.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

using namespace attune;
using namespace attune::tuner;

namespace {

double seconds(std::chrono::steady_clock::time_point from) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

/// Candidates a second through the pipeline; 0 if one could not be compiled.
double rate(const AttentionSpec &spec, const Arch &arch, std::vector<Candidate> list, size_t count,
            CubinNeed need, const Toolchain &tools) {
  list.resize(std::min(list.size(), count));
  Build build = [&](const Candidate &candidate) -> Result<CompiledKernel> {
    CompileOptions options;
    options.arch = arch;
    options.target = candidate.target;
    Result<BuiltKernel> built = buildKernel(withSchedule(spec, candidate), options, need, tools, Cache());
    if (!built)
      return built.error();
    return std::move(built->kernel);
  };
  auto start = std::chrono::steady_clock::now();
  Pipeline pipeline(build, list, 0, 8);
  for (size_t i = 0; i < list.size(); ++i)
    if (Result<CompiledKernel> kernel = pipeline.take(); !kernel) {
      fmt::print(stderr, "{}\n", kernel.error().message);
      return 0;
    }
  return double(list.size()) / seconds(start);
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
  double toPtx = rate(spec, device.arch, ptx, count, CubinNeed::No, tools);
  double toCubin =
      tools.tool(Tool::Ptxas) ? rate(spec, device.arch, ptx, count / 2, CubinNeed::Yes, tools) : 0;
  double byNvrtc =
      tools.tool(Tool::NVRTC) ? rate(spec, device.arch, cuda, count / 4, CubinNeed::Yes, tools) : 0;
  fmt::print("{{\"points\":{},\"feasible\":{},\"ranking_ms\":{:.2f},\"to_ptx_per_s\":{:.2f},\"to_cubin_per_"
             "s\":{:.2f},"
             "\"by_nvrtc_per_s\":{:.2f}}}\n",
             task.space.points, task.space.feasible.size(), ranking * 1e3, toPtx, toCubin, byNvrtc);
  return toPtx > 0 ? 0 : 1;
}
