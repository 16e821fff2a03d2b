//===- Store.h - what was measured, kept ------------------------*- C++ -*-===//
//
// One SQLite file of tuning results. Every row is committed when it is put, so a process that dies loses none
// that it was told is there. Measured times and estimates are kept apart by `Kind`, which is part of every
// key. A store that cannot be used (damaged, of a newer version, locked, read-only, another program's) is an
// error that says so, and its file is left as it is.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_STORE_H
#define ATTUNE_TUNER_STORE_H

#include "compiler/support/Result.h"
#include "runtime/plan/Advice.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct sqlite3;

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

/// One candidate's result for one shape.
struct Row {
  ProblemShape shape;
  std::string family, schedule; ///< as scheduleText gives it
  Target target = Target::PTX;
  Verdict verdict = Verdict::Passed;
  std::string message;         ///< why it did not pass; empty if it did
  double modelUs = 0;          ///< what the cost model said beforehand
  std::vector<double> samples; ///< us; one, of an estimate
  double median = 0, low = 0, high = 0;
  double shareOfLimit = 0;

  bool operator==(const Row &) const = default;
};

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

struct StoreOptions {
  bool write = true;       ///< false: only to be read; a file that is not there is then an error
  int lockWaitMs = 10'000; ///< how long to wait for another process's lock
};

class Store {
public:
  /// The version of the tables that this attune writes. Newer ones are refused.
  static constexpr int schemaVersion = 1;

  /// Opens `path`; with `write` it is made if nothing is there (whole or not at all; its folder must exist).
  static Result<Store> open(const std::string &path, const StoreOptions &options = {});
  /// ATTUNE_STORE, else XDG_DATA_HOME/attune/tuning.sqlite, else HOME/.local/share/attune/tuning.sqlite.
  /// Empty if ATTUNE_STORE is set to nothing, or there is no HOME.
  static std::string defaultPath();

  Store(Store &&) noexcept;
  Store &operator=(Store &&) noexcept;
  ~Store();

  const std::string &path() const { return file; }

  /// Adds the row, or replaces that of the same subject, shape, schedule and target. Committed on return.
  Status put(const Subject &subject, const Row &row);
  Status put(const Subject &subject, const SweepRecord &sweep);

  /// A subject's rows for a shape, in the order they came.
  Result<std::vector<Row>> rows(const Subject &subject, const ProblemShape &shape);
  /// For each shape that `device` (name, arch, kind) has a passed row of for a spec: the one whose interval
  /// has the lowest upper end, among those of the shape's newest driver and toolkit. `schedule` limits it to
  /// rows that have these parts, `target` to those of one target.
  Result<std::vector<StoredRow>> winners(const std::string &device, const std::string &arch, Kind kind,
                                         const std::string &specKey, const Schedule &schedule,
                                         std::optional<Target> target = std::nullopt);

  Result<std::vector<StoredRow>> allRows();
  Result<std::vector<StoredSweep>> allSweeps();

private:
  struct Impl;
  explicit Store(std::string path, std::unique_ptr<Impl> impl);
  std::string file;
  std::unique_ptr<Impl> impl;
};

} // namespace attune::tuner

#endif // ATTUNE_TUNER_STORE_H
