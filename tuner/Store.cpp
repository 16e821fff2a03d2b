//===- Store.cpp - what was measured, kept --------------------------------===//
#include "tuner/Store.h"

#include "runtime/launch/CompiledProgram.h"
#include "tuner/Exchange.h"
#include "tuner/StoreImpl.h"

#include <cstdlib>
#include <ctime>
#include <tuple>

#include <fmt/format.h>

namespace attune::tuner {
namespace {

std::string now() {
  std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

/// The columns of a stored row that `readRow` takes, in order.
#define ATTUNE_ROW_COLUMNS                                                                                   \
  "r.batch, r.heads_q, r.heads_kv, r.length_q, r.length_kv, r.family, r.schedule, r.target, r.verdict, "     \
  "r.message, r.model_us, r.samples, r.median_us, r.low_us, r.high_us, r.share_of_limit"
#define ATTUNE_SUBJECT_COLUMNS "s.kind, s.device, s.arch, s.driver, s.toolkit, s.spec_key, s.spec"

Row readRow(Statement &from) {
  Row row;
  row.shape = from.shape();
  row.family = from.text();
  row.schedule = from.text();
  row.target = from.text() == "cuda" ? Target::CUDA : Target::PTX;
  // A word that this version does not know is none that may win.
  row.verdict = verdictOf(from.text()).value_or(Verdict::Rejected);
  row.message = from.text();
  row.modelUs = from.number();
  row.samples = from.numbers();
  row.median = from.number();
  row.low = from.number();
  row.high = from.number();
  row.shareOfLimit = from.number();
  return row;
}

Subject readSubject(Statement &from) {
  Subject subject;
  subject.kind = from.text() == "estimate" ? Kind::Estimate : Kind::Measured;
  for (std::string *field :
       {&subject.device, &subject.arch, &subject.driver, &subject.toolkit, &subject.specKey, &subject.spec})
    *field = from.text();
  return subject;
}

/// Adds the row, or replaces that of the same candidate.
int putRow(sqlite3 *db, int64_t subject, const Row &row, const std::string &when) {
  Statement add(
      db, "INSERT INTO row(subject, batch, heads_q, heads_kv, length_q, length_kv, family, schedule, target, "
          "verdict, message, model_us, samples, median_us, low_us, high_us, share_of_limit, at) "
          "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) "
          "ON CONFLICT(subject, batch, heads_q, heads_kv, length_q, length_kv, family, schedule, target) "
          "DO UPDATE SET verdict=excluded.verdict, message=excluded.message, model_us=excluded.model_us, "
          "samples=excluded.samples, median_us=excluded.median_us, low_us=excluded.low_us, "
          "high_us=excluded.high_us, share_of_limit=excluded.share_of_limit, at=excluded.at");
  add.bind(subject)
      .bind(row.shape)
      .bind(row.family)
      .bind(row.schedule)
      .bind(std::string(attune::nameOf(row.target)))
      .bind(std::string(nameOf(row.verdict)))
      .bind(row.message)
      .bind(row.modelUs)
      .bind(row.samples)
      .bind(row.median)
      .bind(row.low)
      .bind(row.high)
      .bind(row.shareOfLimit)
      .bind(when);
  return add.run() ? SQLITE_OK : add.errorCode();
}

/// Binds all columns of a sweep, in the table's order.
void bindSweep(Statement &statement, int64_t subject, const SweepRecord &sweep, const std::string &when) {
  std::string refusals;
  for (const auto &[reason, count] : sweep.refusals)
    refusals += fmt::format("{} {}\n", count, reason);
  statement.bind(subject)
      .bind(sweep.shape)
      .bind(sweep.outcome)
      .bind(sweep.points)
      .bind(sweep.feasible)
      .bind(sweep.tried)
      .bind(sweep.seconds)
      .bind(sweep.tau)
      .bind(sweep.tauPairs)
      .bind(refusals)
      .bind(when);
}

int putSweep(sqlite3 *db, int64_t subject, const SweepRecord &sweep, const std::string &when) {
  Statement add(db,
                "INSERT INTO sweep(subject, batch, heads_q, heads_kv, length_q, length_kv, outcome, points, "
                "feasible, tried, seconds, tau, tau_pairs, refusals, at) "
                "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
  bindSweep(add, subject, sweep, when);
  return add.run() ? SQLITE_OK : add.errorCode();
}

/// Which of two rows of one candidate stays: an order in which only equal rows are equal, so that the order
/// of merges does not matter.
auto standing(const Row &row, const std::string &when) {
  return std::tuple(when, row.samples.size(), -row.median, std::string(nameOf(row.verdict)), row.message,
                    row.samples, row.low, row.high, row.modelUs, row.shareOfLimit);
}

} // namespace

Result<int64_t> Store::Impl::subjectId(const std::string &path, const Subject &subject) {
  auto bindAll = [&](Statement &statement) {
    statement.bind(subject.specKey)
        .bind(subject.device)
        .bind(subject.arch)
        .bind(std::string(nameOf(subject.kind)))
        .bind(subject.driver)
        .bind(subject.toolkit);
  };
  for (int attempt = 0; attempt < 2; ++attempt) {
    Statement find(db, "SELECT id FROM subject WHERE spec_key=? AND device=? AND arch=? AND kind=? AND "
                       "driver=? AND toolkit=?");
    bindAll(find);
    if (find.step())
      return find.whole();
    if (find.failed())
      return error(path, find.errorCode());
    // Another process may put the same one between the question and this.
    Statement add(db, "INSERT OR IGNORE INTO subject(spec_key, device, arch, kind, driver, toolkit, spec) "
                      "VALUES(?,?,?,?,?,?,?)");
    bindAll(add);
    if (!add.bind(subject.spec).run())
      return error(path, add.errorCode());
  }
  return error(path, SQLITE_ERROR);
}

Status Store::put(const Subject &subject, const Row &row) {
  Result<int64_t> id = impl->subjectId(file, subject);
  if (!id)
    return id.error();
  if (int code = putRow(impl->db, *id, row, now()); code != SQLITE_OK)
    return impl->error(file, code);
  return success();
}

Status Store::put(const Subject &subject, const SweepRecord &sweep) {
  Result<int64_t> id = impl->subjectId(file, subject);
  if (!id)
    return id.error();
  if (int code = putSweep(impl->db, *id, sweep, now()); code != SQLITE_OK)
    return impl->error(file, code);
  return success();
}

Result<MergeCount> Store::merge(const Exchange &other) {
  MergeCount count;
  int code = impl->execute("BEGIN IMMEDIATE");
  if (code != SQLITE_OK)
    return impl->error(file, code);
  auto failed = [&](Error error) {
    impl->execute("ROLLBACK");
    return error;
  };
  // Specs that differ in what tuning does not care for are one subject, which keeps the text that comes first
  // in the alphabet: so it does not matter whose came first.
  auto subjectOf = [&](const Subject &subject) -> Result<int64_t> {
    Result<int64_t> id = impl->subjectId(file, subject);
    Statement describe(impl->db, "UPDATE subject SET spec=?1 WHERE id=?2 AND spec>?1");
    if (id && !describe.bind(subject.spec).bind(*id).run())
      return impl->error(file, describe.errorCode());
    return id;
  };
  for (const StoredRow &stored : other.rows) {
    Result<int64_t> id = subjectOf(stored.subject);
    if (!id)
      return failed(id.error());
    const Row &row = stored.row;
    Statement find(impl->db,
                   "SELECT " ATTUNE_ROW_COLUMNS ", r.at FROM row r WHERE r.subject=? AND r.batch=? AND "
                   "r.heads_q=? AND r.heads_kv=? AND r.length_q=? AND r.length_kv=? AND r.family=? AND "
                   "r.schedule=? AND r.target=?");
    find.bind(*id)
        .bind(row.shape)
        .bind(row.family)
        .bind(row.schedule)
        .bind(std::string(attune::nameOf(row.target)));
    bool there = find.step();
    if (find.failed())
      return failed(impl->error(file, find.errorCode()));
    if (there) {
      Row own = readRow(find);
      if (standing(row, stored.when) <= standing(own, find.text())) {
        ++count.known;
        continue;
      }
    }
    ++(there ? count.replaced : count.added);
    if (code = putRow(impl->db, *id, row, stored.when); code != SQLITE_OK)
      return failed(impl->error(file, code));
  }
  for (const StoredSweep &stored : other.sweeps) {
    Result<int64_t> id = subjectOf(stored.subject);
    if (!id)
      return failed(id.error());
    Statement find(impl->db, "SELECT 1 FROM sweep WHERE subject=? AND batch=? AND heads_q=? AND heads_kv=? "
                             "AND length_q=? AND length_kv=? AND outcome=? AND points=? AND feasible=? AND "
                             "tried=? AND seconds=? AND tau=? AND tau_pairs=? AND refusals=? AND at=?");
    bindSweep(find, *id, stored.sweep, stored.when);
    if (find.step())
      continue;
    if (find.failed())
      return failed(impl->error(file, find.errorCode()));
    ++count.sweeps;
    if (code = putSweep(impl->db, *id, stored.sweep, stored.when); code != SQLITE_OK)
      return failed(impl->error(file, code));
  }
  if (code = impl->execute("COMMIT"); code != SQLITE_OK)
    return failed(impl->error(file, code));
  return count;
}

Result<std::vector<Row>> Store::rows(const Subject &subject, const ProblemShape &shape) {
  Statement ask(
      impl->db,
      "SELECT " ATTUNE_ROW_COLUMNS " FROM row r JOIN subject s ON r.subject=s.id WHERE s.spec_key=? AND "
      "s.device=? AND s.arch=? AND s.kind=? AND s.driver=? AND s.toolkit=? AND r.batch=? AND r.heads_q=? "
      "AND r.heads_kv=? AND r.length_q=? AND r.length_kv=? ORDER BY r.id");
  ask.bind(subject.specKey)
      .bind(subject.device)
      .bind(subject.arch)
      .bind(std::string(nameOf(subject.kind)))
      .bind(subject.driver)
      .bind(subject.toolkit)
      .bind(shape);
  std::vector<Row> rows;
  while (ask.step())
    rows.push_back(readRow(ask));
  if (ask.failed())
    return impl->error(file, ask.errorCode());
  return rows;
}

Result<std::vector<StoredRow>> Store::winners(const std::string &device, const std::string &arch, Kind kind,
                                              const std::string &specKey, const WinnerQuery &query) {
  Statement ask(impl->db,
                "SELECT " ATTUNE_ROW_COLUMNS ", r.at, " ATTUNE_SUBJECT_COLUMNS
                " FROM subject s JOIN row r ON r.subject=s.id WHERE s.spec_key=? AND s.device=? AND "
                "s.arch=? AND s.kind=? AND r.verdict='passed' ORDER BY r.batch, r.heads_q, r.heads_kv, "
                "r.length_q, r.length_kv, r.at DESC, r.id DESC");
  ask.bind(specKey).bind(device).bind(arch).bind(std::string(nameOf(kind)));
  std::vector<StoredRow> winners, shape; // the rows of one shape at a time: a store may be large
  auto close = [&] {
    for (StoredRow &winner : winnersOf(shape, query))
      winners.push_back(std::move(winner));
    shape.clear();
  };
  while (ask.step()) {
    StoredRow stored;
    stored.row = readRow(ask);
    stored.when = ask.text();
    stored.subject = readSubject(ask);
    if (!shape.empty() && !(shape.front().row.shape == stored.row.shape))
      close();
    shape.push_back(std::move(stored));
  }
  if (ask.failed())
    return impl->error(file, ask.errorCode());
  close();
  return winners;
}

Result<std::vector<std::pair<std::string, std::string>>> Store::specs(const std::string &device,
                                                                      const std::string &arch, Kind kind) {
  Statement ask(impl->db, "SELECT DISTINCT spec_key, spec FROM subject WHERE device=? AND arch=? AND kind=?");
  ask.bind(device).bind(arch).bind(std::string(nameOf(kind)));
  std::vector<std::pair<std::string, std::string>> specs;
  while (ask.step()) {
    std::string key = ask.text();
    specs.emplace_back(std::move(key), ask.text());
  }
  if (ask.failed())
    return impl->error(file, ask.errorCode());
  return specs;
}

Result<std::vector<StoredRow>> Store::allRows() {
  Statement ask(impl->db, "SELECT " ATTUNE_ROW_COLUMNS ", r.at, " ATTUNE_SUBJECT_COLUMNS
                          " FROM row r JOIN subject s ON r.subject=s.id ORDER BY r.id");
  std::vector<StoredRow> rows;
  while (ask.step()) {
    StoredRow stored;
    stored.row = readRow(ask);
    stored.when = ask.text();
    stored.subject = readSubject(ask);
    rows.push_back(std::move(stored));
  }
  if (ask.failed())
    return impl->error(file, ask.errorCode());
  return rows;
}

Result<std::vector<StoredSweep>> Store::allSweeps() {
  Statement ask(
      impl->db,
      "SELECT w.batch, w.heads_q, w.heads_kv, w.length_q, w.length_kv, w.outcome, w.points, "
      "w.feasible, w.tried, w.seconds, w.tau, w.tau_pairs, w.refusals, w.at, " ATTUNE_SUBJECT_COLUMNS
      " FROM sweep w JOIN subject s ON w.subject=s.id ORDER BY w.id");
  std::vector<StoredSweep> sweeps;
  while (ask.step()) {
    StoredSweep stored;
    SweepRecord &sweep = stored.sweep;
    sweep.shape = ask.shape();
    sweep.outcome = ask.text();
    for (int64_t *count : {&sweep.points, &sweep.feasible, &sweep.tried})
      *count = ask.whole();
    sweep.seconds = ask.number();
    sweep.tau = ask.number();
    sweep.tauPairs = ask.whole();
    std::string lines = ask.text();
    for (size_t begin = 0, end; (end = lines.find('\n', begin)) != std::string::npos; begin = end + 1) {
      std::string line = lines.substr(begin, end - begin);
      size_t space = line.find(' ');
      if (space != std::string::npos)
        sweep.refusals[line.substr(space + 1)] = std::atoll(line.c_str());
    }
    stored.when = ask.text();
    stored.subject = readSubject(ask);
    sweeps.push_back(std::move(stored));
  }
  if (ask.failed())
    return impl->error(file, ask.errorCode());
  return sweeps;
}

} // namespace attune::tuner
