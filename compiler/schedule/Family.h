//===- Family.h - families of schedules -------------------------*- C++ -*-===//
//
// A family is one way to write a kernel for one range of machines. What it serves, its parameters, which
// schedules are legal, what they cost and which is the default are data here, without LLVM: the spec reader,
// the compiler and the tuner all ask this table, and nothing outside a family knows the name of a parameter.
// Who writes a family's tile program is in Builders.h.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_FAMILY_H
#define ATTUNE_COMPILER_SCHEDULE_FAMILY_H

#include "compiler/program/Schedule.h"
#include "compiler/spec/Spec.h"
#include "compiler/support/Arch.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attune {

/// What schedules depend on: the operation, its spec as far as it shapes kernels, and the machine.
struct ScheduleQuery {
  int headDimQk, headDimV;
  DType dtype;
  bool rowsHaveFirstKey; ///< the mask has a left bound, as a window has
  Arch arch;
};
ScheduleQuery queryOf(const AttentionSpec &spec, const Arch &arch);

/// One parameter of a family: a whole number.
struct ScheduleParameter {
  std::string_view name;       ///< "block_q"; its flag is --block-q
  int least, most, step;       ///< what may be asked for: multiples of `step`
  bool powersOfTwo = false;    ///< of these, powers of two only
  std::string_view words;      ///< for messages: "a multiple of 16 from 16 to 512"; empty: by the numbers
  std::string_view help;       ///< for --help
  std::vector<int> candidates; ///< what a tuner tries
  std::string_view reason;     ///< why these, for people

  bool takes(int value) const;
  /// The value that may be asked for and is nearest to `value`.
  int nearest(double value) const;
  std::string flag() const;
};

/// What a schedule takes, known before anything is compiled.
struct ScheduleCost {
  int threads = 0;     ///< of a block
  int sharedBytes = 0; ///< of a block, exact
  int registers = 0;   ///< of a thread, by the family's model
  int blocksPerSm = 0; ///< that run on an SM at once, by these numbers
  /// What forbids it, in few words that are the same for all schedules so that they can be counted, and as a
  /// sentence with the numbers. Both are empty for a schedule that can run.
  std::string limit, refusal;
};

/// Two requested parameters that no schedule has together.
struct ScheduleConflict {
  std::string_view parameter; ///< which should change
  std::string expected;       ///< "block_q to be a multiple of 16 * warps = 64"
  int nearest;
};

struct ScheduleFamily {
  std::string_view name;
  std::string_view summary;
  std::vector<ScheduleParameter> parameters;
  /// Whether its kernels need instructions of the arch-specific target (sm_90a).
  bool archSpecific = false;
  bool (*serves)(const ScheduleQuery &);
  std::optional<ScheduleConflict> (*conflict)(const Schedule &request);
  /// Of a schedule with nothing left open.
  ScheduleCost (*cost)(const ScheduleQuery &, const Schedule &);
  /// Fills in what `request` leaves open: the default of the architecture, fitted around what is fixed. `why`
  /// says where the default comes from, for people.
  Schedule (*standard)(const ScheduleQuery &, const Schedule &request, std::string &why);
  /// Score elements that a thread computes in one turn of the inner loops.
  double (*scoresPerThread)(const Schedule &);

  const ScheduleParameter *find(std::string_view parameter) const;
};

/// Every family; of those that serve a query the last one is the most particular.
const std::vector<const ScheduleFamily *> &scheduleFamilies();
/// The family of this name, or null.
const ScheduleFamily *findScheduleFamily(std::string_view name);
/// The family that serves `query` and has the parameters of `request`, where none is asked for.
const ScheduleFamily &familyFor(const ScheduleQuery &query, const Schedule &request = {});

/// Each parameter of any family once, for flags and specs.
const std::vector<const ScheduleParameter *> &scheduleParameters();
/// `schedule` with its values in the order of the tables.
Schedule ordered(Schedule schedule);

/// A schedule with nothing left open.
struct DecidedSchedule {
  const ScheduleFamily *family;
  Schedule schedule;
  ScheduleCost cost;
  Arch arch;       ///< the query's, or its arch-specific target where the family asks for that
  std::string why; ///< where it came from, for people
};
/// Fills in what `request` leaves open; an error says which limit is exceeded, with the numbers and the
/// nearest schedule that fits.
Result<DecidedSchedule> decideSchedule(const ScheduleQuery &query, const Schedule &request);

namespace portable {
extern const ScheduleFamily family;
} // namespace portable
namespace hopper {
extern const ScheduleFamily family;
} // namespace hopper

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_FAMILY_H
