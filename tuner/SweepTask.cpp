//===- SweepTask.cpp - what a sweep is about ------------------------------===//
#include "tuner/Sweep.h"

#include <algorithm>

#include <fmt/format.h>

namespace attune::tuner {

SweepTask makeTask(const AttentionSpec &spec, const ProblemShape &shape, const DeviceInfo &device,
                   const std::string &toolkit, std::optional<Target> target) {
  SweepTask task;
  task.family = &familyFor(spec, device.arch);
  task.spec = spec;
  task.shape = shape;
  task.verified = verificationShape(shape);
  task.clocked = clockShape(shape);
  bool simulated = device.kind == DeviceKind::Sim;
  task.subject.kind = simulated ? Kind::Estimate : Kind::Measured;
  task.subject.device = device.name;
  task.subject.arch = device.arch.name;
  task.subject.driver =
      simulated ? "simulator"
                : fmt::format("CUDA {}.{}", device.driverVersion / 1000, device.driverVersion % 1000 / 10);
  task.subject.toolkit = simulated ? fmt::format("{}, model {}", toolkit, modelVersion) : toolkit;
  task.subject.specKey = tuningKey(spec);
  AttentionSpec bare = spec;
  bare.schedule = {};
  task.subject.spec = toJson(bare);
  for (const Family *family : familiesFor(spec, device.arch)) {
    Enumeration space = enumerate(*family, spec, device.arch, target);
    task.space.points += space.points;
    task.space.feasible.insert(task.space.feasible.end(), space.feasible.begin(), space.feasible.end());
    for (const auto &[reason, count] : space.refusals)
      task.space.refusals[reason] += count;
    task.families.push_back(family);
  }
  task.candidates = rank(spec, device, shape, task.space.feasible);
  Candidate standard = task.family->standard(spec, device.arch, target.value_or(Target::PTX));
  auto found = std::find_if(task.candidates.begin(), task.candidates.end(),
                            [&](const Ranked &ranked) { return ranked.candidate == standard; });
  if (found == task.candidates.end()) { // it need not be in the table
    std::vector<Ranked> alone = rank(spec, device, shape, {standard});
    if (alone.front().cost.limit.empty())
      task.candidates.insert(task.candidates.begin(), alone.front());
  } else {
    std::rotate(task.candidates.begin(), found, found + 1);
  }
  if (!task.candidates.empty() && task.candidates.front().candidate == standard)
    task.standard = 0;
  return task;
}

void takeShard(SweepTask &task, const Shard &shard) {
  std::vector<Ranked> taken;
  for (size_t i = 0; i < task.candidates.size(); ++i)
    if (task.standard == i || i % size_t(shard.count) == size_t(shard.number - 1))
      taken.push_back(std::move(task.candidates[i]));
  task.candidates = std::move(taken);
}

} // namespace attune::tuner
