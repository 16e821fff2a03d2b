//===- TunerSweepSupport.h - sweeps over devices that misbehave -*- C++ -*-===//
#ifndef ATTUNE_TESTS_UNIT_TUNERSWEEPSUPPORT_H
#define ATTUNE_TESTS_UNIT_TUNERSWEEPSUPPORT_H

#include "TunerFaultyDevice.h"

#include "runtime/io/File.h"
#include "runtime/jit/ProgramBuild.h"
#include "tuner/Sweep.h"
#include "tuner/Worker.h"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <vector>

#include <fmt/format.h>

namespace attune::tests {

using namespace tuner;

constexpr int timedLength = 1024; ///< the verification has 600 queries

inline AttentionSpec smallSpec() {
  AttentionSpec spec;
  spec.headDimQk = spec.headDimV = 16;
  return spec;
}

inline Candidate candidateOf(int blockQ, int blockKv, Target target = Target::PTX) {
  return {{"portable", {{"block_q", blockQ}, {"block_kv", blockKv}, {"stages", 1}, {"warps", blockQ / 16}}},
          target};
}

/// The kernels of this test carry their blocks in their name, for the device to know them by.
inline Build namedBuild(std::atomic<int> *compiled = nullptr, const AttentionSpec &of = smallSpec(),
                        const std::string &arch = "sm_80") {
  return [=](const Candidate &candidate) -> Result<CompiledProgram> {
    if (compiled)
      ++*compiled;
    AttentionSpec spec = withSchedule(of, candidate);
    spec.name =
        fmt::format("b{}_{}", candidate.schedule.value("block_q"), candidate.schedule.value("block_kv"));
    Result<BuiltProgram> built =
        buildProgram({spec, candidate.target, {}}, {*findArch(arch)}, CubinNeed::No, Toolchain(), Cache());
    if (!built)
      return built.error();
    return built->program;
  };
}

inline TimerProblem problemOf() {
  TimerProblem problem;
  problem.spec = smallSpec();
  problem.shape = {1, 1, 1, 4096, 4096};
  problem.verified = verificationShape(problem.shape);
  problem.flushBytes = 0;
  problem.warmups = 1;
  return problem;
}

inline std::unique_ptr<Timer> faultyTimer(const Behaviours &behaviours,
                                          const WorkerLimits &limits = {60, 5, 2}) {
  Result<std::unique_ptr<Timer>> timer = startWorkerTimer(
      [=]() -> Result<std::unique_ptr<Timer>> {
        return makeDeviceTimer(std::make_unique<FaultyDevice>(behaviours, timedLength), problemOf());
      },
      limits);
  if (!timer)
    FAIL(timer.error().message);
  return std::move(*timer);
}

inline SweepTask taskOf(const DeviceInfo &device, const std::vector<Candidate> &candidates) {
  SweepTask task = makeTask(smallSpec(), problemOf().shape, device, "toolkit of the test", Target::PTX);
  task.candidates.clear();
  task.standard = 0;
  for (const Candidate &candidate : candidates)
    task.candidates.push_back(rank(task.spec, device, task.shape, {candidate}).front());
  return task;
}

struct StoreFile {
  TempDir folder = std::move(*TempDir::make());
  Store store = std::move(*Store::open(folder.path() + "/store.sqlite"));
};

inline const Row *rowOf(const std::vector<Row> &rows, const SweepTask &task, const Candidate &candidate) {
  for (const Row &row : rows)
    if (row.schedule == scheduleText(candidate) && row.target == candidate.target)
      return &row;
  return nullptr;
}

} // namespace attune::tests

#endif // ATTUNE_TESTS_UNIT_TUNERSWEEPSUPPORT_H
