//===- Results.h - what a candidate's trial gives ---------------*- C++ -*-===//
//
// Rows, what they belong to, and which of them wins.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_RESULTS_H
#define ATTUNE_TUNER_RESULTS_H

#include "runtime/plan/Advice.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attune::tuner {

/// Where a figure comes from. The two never meet in one comparison.
enum class Kind { Measured, Estimate };
const char *nameOf(Kind kind); ///< "measured", "estimate"

/// What became of a candidate.
enum class Verdict {
  Passed,
  Rejected, ///< the compiler or the assembler refused it
  Spilled,  ///< registers do not hold its values
  Wrong,    ///< its result is wrong, or the simulator found a fault
  Crashed,  ///< it ended the process that measured it
  TimedOut, ///< it did not end
};
std::optional<Verdict> verdictOf(std::string_view name);
const char *nameOf(Verdict verdict); ///< "passed", "rejected", "spilled", "wrong", "crashed", "timed out"

/// What rows belong to: figures of different subjects are not compared.
struct Subject {
  Kind kind = Kind::Measured;
  std::string device;  ///< "NVIDIA H200"
  std::string arch;    ///< compiled for
  std::string driver;  ///< "CUDA 13.0"; "simulator" for estimates
  std::string toolkit; ///< attune's compiler and NVIDIA's tools, with versions
  std::string specKey; ///< by `tuningKey`
  std::string spec;    ///< as JSON, for people

  bool operator==(const Subject &) const = default;
};

/// What of a spec decides how fast its kernels are: its codeKey without the schedule and without what costs
/// next to nothing, name, scale and LSE.
std::string tuningKey(const AttentionSpec &spec);

/// What tuningKey leaves of a spec without its mask, softcap and whatever else scores are changed by: specs
/// with the same one move the same data through the same products.
std::string relatedKey(const AttentionSpec &spec);

/// One candidate's result for one shape.
struct Row {
  ProblemShape shape;
  std::string family, schedule; ///< as scheduleText gives it
  Target target = Target::PTX;
  Verdict verdict = Verdict::Passed;
  std::string message; ///< why it did not pass; empty if it did
  double modelUs = 0;  ///< what the cost model said beforehand
  /// us. Of an estimate: by the simulator's counters, then, if the virtual clock followed it, by the clock.
  std::vector<double> samples;
  double median = 0, low = 0, high = 0;
  double shareOfLimit = 0;

  bool operator==(const Row &) const = default;
};

/// Of an estimate that passed: what the counters say, and whether the virtual clock has refined it.
double countersUs(const Row &row);
bool isRefined(Kind kind, const Row &row);
/// Which of two rows that passed is to be preferred: that whose interval has the lower upper end, so that a
/// lucky median of few timings does not win. Estimates of the clock come before those of the counters, which
/// are not on the same footing.
bool isAhead(Kind kind, const Row &a, const Row &b);

/// A finished or interrupted sweep.
struct SweepRecord {
  ProblemShape shape;
  std::string outcome; ///< "settled", "budget", "interrupted", "complete"
  int64_t points = 0, feasible = 0, tried = 0;
  double seconds = 0;
  double tau = 0; ///< Kendall's tau between the model's order and the figures
  int64_t tauPairs = 0;
  std::map<std::string, int64_t> refusals; ///< by reason, before and after compiling
};

/// A row with its subject and when it was put (UTC, ISO 8601).
struct StoredRow {
  Subject subject;
  Row row;
  std::string when;
};
struct StoredSweep {
  Subject subject;
  SweepRecord sweep;
  std::string when;
};

/// What winners are wanted for.
struct WinnerQuery {
  const Schedule &schedule;                    ///< only rows that have these parts
  std::optional<Target> target = std::nullopt; ///< only this one
  /// The compiler's own family: a winner of another one counts only where this one was measured beside it.
  /// Empty: any counts.
  std::string_view family = {};
};
/// For each shape, of `rows` of one spec and device, newest first within a shape: the one that passed whose
/// interval has the lowest upper end, among those of the shape's newest driver and toolkit.
std::vector<StoredRow> winnersOf(const std::vector<StoredRow> &rows, const WinnerQuery &query);

} // namespace attune::tuner

#endif // ATTUNE_TUNER_RESULTS_H
