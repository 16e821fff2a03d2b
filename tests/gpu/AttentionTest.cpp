//===- AttentionTest.cpp - attention on the GPU against fp64 --------------===//
//
// Attention on the GPU against fp64, over a spread of specs, with both targets.
//
//===----------------------------------------------------------------------===//
#include "runtime/jit/ProgramBuild.h"
#include "runtime/launch/DeviceArrays.h"
#include "runtime/plan/Planner.h"
#include "runtime/reference/Compare.h"
#include "runtime/reference/RandomArray.h"
#include "tests/gpu/Gpu.h"

#include <algorithm>

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace attune;
using namespace attune::gpu;

namespace {

struct Case {
  const char *name;
  AttentionSpec spec;
  int batch, headsQ, headsKv, lengthQ, lengthKv;
};

AttentionSpec specOf(DType dtype, int headDimQk, int headDimV, std::vector<MaskTerm> mask, bool lse) {
  AttentionSpec spec;
  spec.dtype = dtype;
  spec.headDimQk = headDimQk;
  spec.headDimV = headDimV;
  spec.mask = std::move(mask);
  spec.lse = lse;
  return spec;
}

std::vector<Case> cases() {
  MaskTerm causal{std::nullopt, 0, MaskAlign::TopLeft}, late{std::nullopt, 0, MaskAlign::BottomRight};
  MaskTerm window{100, 20, MaskAlign::TopLeft};
  std::vector<Case> all = {
      {"bf16 d128 causal GQA", specOf(DType::BF16, 128, 128, {causal}, true), 1, 32, 8, 333, 333},
      {"fp16 d64 full", specOf(DType::F16, 64, 64, {}, false), 2, 4, 4, 1000, 1000},
      {"bf16 192/128 causal, bottom right", specOf(DType::BF16, 192, 128, {late}, true), 1, 4, 1, 127, 500},
      {"bf16 d256 window", specOf(DType::BF16, 256, 256, {window}, true), 1, 7, 1, 250, 250},
      {"fp16 d40, empty rows", specOf(DType::F16, 40, 40, {late}, true), 1, 2, 2, 200, 65},
      {"bf16 d80, one query", specOf(DType::BF16, 80, 80, {}, true), 3, 4, 2, 1, 1000},
  };
  all[1].spec.softcap = 30.0;
  all[1].spec.layout = Layout::BHSD;
  if ((*theGpu())->info().name.starts_with("simulated"))
    for (Case &one : all) { // which takes some 1000 times as long
      one.headsQ /= one.headsKv;
      one.headsKv = 1;
      one.lengthKv = std::min(one.lengthKv, 300);
      one.lengthQ = std::min(one.lengthQ, 300);
    }
  return all;
}

void check(const Case &one, Target target) {
  CAPTURE(one.name);
  // The device is the test program's: nobody else closes it.
  std::shared_ptr<Device> device(*theGpu(), [](Device *) {});
  static const JitMaker maker(Toolchain::find());
  PlannerOptions options;
  options.maker = &maker;
  options.target = target;
  Planner planner(device, options);
  v1::Result<Plan> plan =
      planner.plan(one.spec, {one.batch, one.headsQ, one.headsKv, one.lengthQ, one.lengthKv});
  REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().message));
  std::vector<HostArray> arrays;
  for (const BoundArgument &argument : plan->program.arrays()) {
    HostArray &array = arrays.emplace_back(HostArray::of(denseArray(argument, one.spec.layout)));
    if (argument.output)
      continue;
    std::vector<uint16_t> values =
        reference::normalArray(int64_t(array.count<uint16_t>()), one.spec.dtype, 1, arrays.size() - 1);
    std::copy(values.begin(), values.end(), array.as<uint16_t>());
  }
  auto find = [&](std::string_view name) -> HostArray & {
    return *std::find_if(arrays.begin(), arrays.end(),
                         [&](HostArray &one) { return one.layout.name == name; });
  };
  v1::Result<HostRun> run = runOnHost(plan->program, arrays);
  REQUIRE_MESSAGE(run, (run ? "" : run.error().message));
  reference::Problem problem =
      reference::denseProblem(one.spec, one.batch, one.headsQ, one.headsKv, one.lengthQ, one.lengthKv);
  reference::Report report = reference::verify(
      one.spec, problem, {find("q").as<uint16_t>(), find("k").as<uint16_t>(), find("v").as<uint16_t>()},
      {find("o").as<uint16_t>(), one.spec.lse ? find("lse").as<float>() : nullptr});
  CHECK_MESSAGE(report.passed, reference::toText(report));
  // The same bits again: nothing in a kernel depends on which block comes first.
  std::vector<std::byte> first = find("o").bytes;
  REQUIRE(runOnHost(plan->program, arrays));
  CHECK(find("o").bytes == first);
}

} // namespace

TEST_CASE("gpu: attention, target ptx" * doctest::skip(noGpu())) {
  for (const Case &one : cases())
    check(one, Target::PTX);
}

TEST_CASE("gpu: attention, target cuda" * doctest::skip(noGpu())) {
  if (!Toolchain::find().tool(Tool::NVRTC)) {
    MESSAGE("skipped: no NVRTC");
    return;
  }
  for (const Case &one : cases())
    check(one, Target::CUDA);
}
