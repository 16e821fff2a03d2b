//===- Planning.cpp - decisions between a spec and a launch ---------------===//
#include "runtime/plan/Planning.h"

#include <algorithm>

#include <fmt/format.h>

namespace attune {

/// The shape as an advisor knows such: models and measurements are of work that there is.
static ProblemShape atLeastOne(ProblemShape shape) {
  for (int64_t *size : {&shape.batch, &shape.lengthQ, &shape.lengthKv})
    *size = std::max<int64_t>(*size, 1);
  return shape;
}

Decision decide(const AttentionSpec &spec, std::optional<Target> target, const ProblemShape &shape,
                const DeviceInfo &device, const Advisor &advisor) {
  Decision decision;
  decision.spec = spec;
  decision.target = target.value_or(Target::PTX);
  // Advice depends on the shape.
  std::optional<Advice> advice =
      advisor && !spec.batchInvariant ? advisor(spec, atLeastOne(shape), device) : std::nullopt;
  if (!advice)
    return decision;
  std::string conflict;
  if (target && *target != advice->target)
    conflict =
        fmt::format("it is for target {}, and {} was asked for", nameOf(advice->target), nameOf(*target));
  Schedule merged = advice->schedule;
  if (!spec.schedule.family.empty() && !merged.family.empty() && spec.schedule.family != merged.family &&
      conflict.empty())
    conflict = fmt::format("it is for family {}, and {} was asked for", merged.family, spec.schedule.family);
  if (merged.family.empty())
    merged.family = spec.schedule.family;
  for (const auto &[name, asked] : spec.schedule.values) {
    if (std::optional<int> advised = merged.get(name); advised && *advised != asked && conflict.empty())
      conflict = fmt::format("it is for {} {}, and {} was asked for", name, *advised, asked);
    merged.set(name, asked);
  }
  if (!conflict.empty()) {
    decision.note = fmt::format("advice not taken: {} ({})", conflict, advice->why);
    return decision;
  }
  decision.spec.schedule = merged;
  decision.target = advice->target;
  decision.why = advice->why;
  return decision;
}

void undo(Decision &decision, const AttentionSpec &spec, std::optional<Target> target, const Error &error) {
  decision.note = fmt::format("advice not taken: {} ({})", error.message.substr(0, error.message.find('\n')),
                              decision.why);
  decision.spec = spec;
  decision.target = target.value_or(Target::PTX);
  decision.why.clear();
}

} // namespace attune
