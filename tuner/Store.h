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
#include "tuner/Results.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace attune::tuner {

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
  /// again; of two specs of one subject that which comes first in the alphabet stays. So merging twice, or in
  /// another order, gives the same. Nothing is kept if it is interrupted.
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
