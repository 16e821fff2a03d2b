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

struct Exchange;

/// What a merge did.
struct MergeCount {
  int64_t added = 0, replaced = 0, known = 0; ///< rows; `known`: the store's own is the same or newer
  int64_t sweeps = 0;                         ///< added
};

struct StoreOptions {
  bool write = true;       ///< false: only to be read; a file that is not there is then an error
  int lockWaitMs = 10'000; ///< how long to wait for another process's lock
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
  /// The winners of `device` (name, arch, kind) for a spec, as `winnersOf` picks them.
  Result<std::vector<StoredRow>> winners(const std::string &device, const std::string &arch, Kind kind,
                                         const std::string &specKey, const WinnerQuery &query);
  /// The specs that `device` has rows of: their keys, and as JSON.
  Result<std::vector<std::pair<std::string, std::string>>> specs(const std::string &device,
                                                                 const std::string &arch, Kind kind);

  /// Adds what `other` has. Of two rows of the same subject, shape, schedule and target the later one stays;
  /// of the same second that with more timings, then the faster; a sweep that is there already is not added
  /// again. So merging twice, or in another order, gives the same. Nothing is kept if it is interrupted.
  Result<MergeCount> merge(const Exchange &other);

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
