//===- Space.h - what a schedule may be -------------------------*- C++ -*-===//
//
// The schedules of a kernel family as data: a table of parameters, each with its values and the reason for
// them, what a point of the space costs (feasibility, with numbers), and how much work it makes (for the cost
// model). Everything else in the tuner loops over these tables, so a further family is a further table.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_SPACE_H
#define ATTUNE_TUNER_SPACE_H

#include "compiler/Compiler.h"
#include "runtime/plan/Advice.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attune::tuner {

/// One point of a space: a schedule with nothing left open that the family knows, and the target.
struct Candidate {
  ScheduleRequest schedule;
  Target target = Target::PTX;

  bool operator==(const Candidate &) const = default;
};

/// One parameter of a family. Values are whole numbers; `words` names them where they are a choice.
struct Parameter {
  std::string_view name;
  std::vector<int> values;
  std::vector<std::string_view> words; ///< words[i] stands for value i; empty: the numbers themselves
  std::string_view reason;             ///< why these values, for people
  void (*set)(Candidate &, int value);
  std::optional<int> (*get)(const Candidate &); ///< nothing: the candidate leaves it open
};

/// What a candidate takes of an SM, before it is compiled.
struct Cost {
  int threads = 0;     ///< of a block
  int sharedBytes = 0; ///< of a block, exact
  int registers = 0;   ///< of a thread, by the family's model
  int blocksPerSm = 0; ///< that run on an SM at once, by these numbers
  std::string limit;   ///< what forbids it, in words that can be counted; empty: it can run
  std::string refusal; ///< the same with the numbers
};

/// What a candidate makes a GPU do for one problem, in the units that GPUs are rated in. Blocks are thread
/// blocks; the longest of them matters where few fill the device.
struct Work {
  double multiplyAdds = 0;   ///< on the tensor core
  double exponentials = 0;   ///< on the special-function unit
  double slots = 0;          ///< warp instructions that a scheduler issues, without those of the tensor core
  double wavefronts = 0;     ///< cycles of a shared-memory port
  double globalBytes = 0;    ///< asked of L2: every block reads its K and V
  double uniqueBytes = 0;    ///< asked of device memory: each array once
  double steps = 0;          ///< blocks of keys, summed over thread blocks
  int64_t blocks = 0;        ///< thread blocks
  double longestBlock = 1;   ///< the longest block's steps against the mean
  double usefulShare = 1;    ///< score elements that the mask keeps, of those that are computed
  int stages = 1, warps = 1; ///< for latencies: copies in flight, and warps that hide them
};

/// A family of kernels: one algorithm for one range of architectures.
struct Family {
  std::string_view name;
  std::vector<Parameter> parameters;
  bool (*serves)(const AttentionSpec &, const Arch &);
  Cost (*cost)(const AttentionSpec &, const Arch &, const Candidate &);
  Work (*work)(const AttentionSpec &, const Arch &, const ProblemShape &, const Candidate &);
  /// What the compiler takes if nothing is asked for.
  Candidate (*standard)(const AttentionSpec &, const Arch &, Target);
};

/// The family that serves `spec` on `arch`.
const Family &familyFor(const AttentionSpec &spec, const Arch &arch);
const std::vector<const Family *> &allFamilies();
/// The family of this name, or null.
const Family *findFamily(std::string_view name);

/// "block_q=128 block_kv=64 stages=1 warps=4": the parameters that a schedule fixes, in the table's order,
/// without the target. `parseSchedule` reads it back; an error names the word that is not understood.
std::string scheduleText(const Family &family, const Candidate &candidate);
Result<Candidate> parseSchedule(const Family &family, std::string_view text);

/// `spec` with the candidate's schedule in place of its own.
AttentionSpec withSchedule(const AttentionSpec &spec, const Candidate &candidate);

/// Whether the candidate has what `request` fixes.
bool agrees(const ScheduleRequest &request, const Candidate &candidate);

/// The part of a space that can run, and what the rest failed on.
struct Enumeration {
  int64_t points = 0; ///< of the whole table, those that the spec's own schedule excludes left out
  std::vector<Candidate> feasible;
  std::map<std::string, int64_t> refusals; ///< by Cost::limit
};

/// Every candidate of the family that agrees with what the spec fixes, and with `target` if one is given.
Enumeration enumerate(const Family &family, const AttentionSpec &spec, const Arch &arch,
                      std::optional<Target> target);

} // namespace attune::tuner

#endif // ATTUNE_TUNER_SPACE_H
