//===- Space.h - what a schedule may be -------------------------*- C++ -*-===//
//
// The space that a tuner searches: what the compiler's table of families says, times the targets, and how
// much work a point of it makes (for the cost model). Parameters have no names here.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_SPACE_H
#define ATTUNE_TUNER_SPACE_H

#include "compiler/Compiler.h"
#include "compiler/schedule/Family.h"
#include "runtime/plan/Advice.h"
#include "tuner/Work.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attune::tuner {

/// One point of a space: a schedule with nothing left open that the family knows, and the target.
struct Candidate {
  Schedule schedule;
  Target target = Target::PTX;

  bool operator==(const Candidate &) const = default;
};

/// A family of schedules as the tuner sees it: what the compiler says of it, and how much work its kernels
/// make.
struct Family {
  const ScheduleFamily &schedules;
  Work (*work)(const AttentionSpec &, const Arch &, const ProblemShape &, const Candidate &);

  std::string_view name() const { return schedules.name; }
  ScheduleCost cost(const AttentionSpec &spec, const Arch &arch, const Candidate &candidate) const;
  /// What the compiler takes for what the spec leaves open, legal or not.
  Candidate standard(const AttentionSpec &spec, const Arch &arch, Target target) const;
};

/// Who orders the instructions: the axis of the space that no family has.
extern const std::string_view targetReason;

/// The family that serves `spec` on `arch`: the one that it asks for, else the most particular.
const Family &familyFor(const AttentionSpec &spec, const Arch &arch);
/// Every family that can serve `spec` on `arch` (only the one that it asks for, if it does), that of
/// `familyFor` first.
std::vector<const Family *> familiesFor(const AttentionSpec &spec, const Arch &arch);
/// The family of a candidate, which a known family made.
const Family &familyOf(const Candidate &candidate);
const std::vector<const Family *> &allFamilies();
/// The family of this name, or null.
const Family *findFamily(std::string_view name);

/// "block_q=128 block_kv=64 stages=1 warps=4": the parameters that a schedule fixes, in the table's order,
/// without the target. `parseSchedule` reads it back; an error names the word that is not understood.
std::string scheduleText(const Candidate &candidate);
Result<Candidate> parseSchedule(const Family &family, std::string_view text);

/// `spec` with the candidate's schedule in place of its own.
AttentionSpec withSchedule(const AttentionSpec &spec, const Candidate &candidate);

/// The part of a space that can run, and what the rest failed on.
struct Enumeration {
  int64_t points = 0; ///< of the whole table, those that the spec's own schedule excludes left out
  std::vector<Candidate> feasible;
  std::map<std::string, int64_t> refusals; ///< by ScheduleCost::limit
};

/// Candidates of the family that agree with what the spec fixes, and with `target` if one is given. Of a
/// table with few points, every one. Of a large one, the product of the leading parameters, with the others
/// at their defaults, and each further value of those beside the default of everything else.
Enumeration enumerate(const Family &family, const AttentionSpec &spec, const Arch &arch,
                      std::optional<Target> target);

} // namespace attune::tuner

#endif // ATTUNE_TUNER_SPACE_H
