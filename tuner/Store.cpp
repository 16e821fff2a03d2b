//===- Store.cpp - what was measured, kept --------------------------------===//
#include "tuner/Store.h"

#include "runtime/io/File.h"
#include "runtime/launch/CompiledProgram.h"
#include "tuner/Exchange.h"
#include "tuner/Space.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <tuple>

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

namespace attune::tuner {
namespace {

/// "attn" in ASCII: how SQLite's header tells whose file it is.
constexpr int applicationId = 0x6174746e;

constexpr const char *schema = R"(
CREATE TABLE subject(
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,           -- measured or estimate
  device TEXT NOT NULL, arch TEXT NOT NULL, driver TEXT NOT NULL, toolkit TEXT NOT NULL,
  spec_key TEXT NOT NULL,       -- canonical bytes of what decides the code
  spec TEXT NOT NULL,           -- the same as JSON
  UNIQUE(spec_key, device, arch, kind, driver, toolkit));
CREATE TABLE row(
  id INTEGER PRIMARY KEY,
  subject INTEGER NOT NULL REFERENCES subject(id),
  batch INTEGER NOT NULL, heads_q INTEGER NOT NULL, heads_kv INTEGER NOT NULL,
  length_q INTEGER NOT NULL, length_kv INTEGER NOT NULL,
  family TEXT NOT NULL, schedule TEXT NOT NULL, target TEXT NOT NULL,
  verdict TEXT NOT NULL, message TEXT NOT NULL,
  model_us REAL NOT NULL,
  samples BLOB NOT NULL,        -- doubles, microseconds
  median_us REAL NOT NULL, low_us REAL NOT NULL, high_us REAL NOT NULL,
  share_of_limit REAL NOT NULL,
  at TEXT NOT NULL,             -- UTC
  UNIQUE(subject, batch, heads_q, heads_kv, length_q, length_kv, family, schedule, target));
CREATE TABLE sweep(
  id INTEGER PRIMARY KEY,
  subject INTEGER NOT NULL REFERENCES subject(id),
  batch INTEGER NOT NULL, heads_q INTEGER NOT NULL, heads_kv INTEGER NOT NULL,
  length_q INTEGER NOT NULL, length_kv INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  points INTEGER NOT NULL, feasible INTEGER NOT NULL, tried INTEGER NOT NULL,
  seconds REAL NOT NULL, tau REAL NOT NULL, tau_pairs INTEGER NOT NULL,
  refusals TEXT NOT NULL,       -- a line "count reason" each
  at TEXT NOT NULL);
)";

constexpr std::array kVerdictNames = {"passed", "rejected", "spilled", "wrong", "crashed", "timed out"};

std::string now() {
  std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

/// What SQLite's code means for the person whose store it is, and what to do.
Error storeError(const std::string &path, int code, const std::string &text) {
  switch (code & 0xff) {
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return missing(
        fmt::format("{}: error: expected a tuning store that is free, but another process holds its "
                    "lock; wait for it to end, or take another --store",
                    path));
  case SQLITE_READONLY:
    return badInput(fmt::format("{}: error: expected a tuning store that can be written, got one that is "
                                "read-only; take another --store",
                                path));
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB:
    return badInput(fmt::format("{}: error: expected a tuning store, got a damaged one or another file ({}); "
                                "nothing was written: move it away, restore a copy, or take another --store",
                                path, text));
  case SQLITE_FULL:
    return missing(
        fmt::format("{}: error: expected room on the disk for the tuning store, got none ({})", path, text));
  default:
    return missing(fmt::format("{}: error: the tuning store cannot be used: {}", path, text));
  }
}

/// A prepared statement that binds and reads in order.
class Statement {
public:
  Statement(sqlite3 *db, const char *sql) { code = ::sqlite3_prepare_v2(db, sql, -1, &statement, nullptr); }
  ~Statement() { ::sqlite3_finalize(statement); }
  Statement(const Statement &) = delete;
  Statement &operator=(const Statement &) = delete;

  Statement &bind(const std::string &text) {
    return bound(
        ::sqlite3_bind_text(statement, ++parameter, text.data(), int(text.size()), SQLITE_TRANSIENT));
  }
  Statement &bind(int64_t value) { return bound(::sqlite3_bind_int64(statement, ++parameter, value)); }
  Statement &bind(double value) { return bound(::sqlite3_bind_double(statement, ++parameter, value)); }
  Statement &bind(const std::vector<double> &values) {
    return bound(::sqlite3_bind_blob(statement, ++parameter,
                                     values.empty() ? "" : (const void *)values.data(),
                                     int(values.size() * sizeof(double)), SQLITE_TRANSIENT));
  }
  Statement &bind(const ProblemShape &shape) {
    return bind(shape.batch).bind(shape.headsQ).bind(shape.headsKv).bind(shape.lengthQ).bind(shape.lengthKv);
  }

  /// True: a row can be read. False: the end, or an error (see `failed`).
  bool step() {
    column = 0;
    if (code == SQLITE_OK || code == SQLITE_ROW)
      code = ::sqlite3_step(statement);
    return code == SQLITE_ROW;
  }
  bool failed() const { return code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE; }
  int errorCode() const { return code; }
  /// Runs a statement that gives no rows.
  bool run() {
    step();
    return !failed();
  }

  std::string text() {
    const auto *bytes = (const char *)::sqlite3_column_blob(statement, column);
    int size = ::sqlite3_column_bytes(statement, column++);
    return bytes ? std::string(bytes, size_t(size)) : std::string();
  }
  int64_t whole() { return ::sqlite3_column_int64(statement, column++); }
  double number() { return ::sqlite3_column_double(statement, column++); }
  std::vector<double> numbers() {
    std::string bytes = text();
    std::vector<double> values(bytes.size() / sizeof(double));
    std::copy_n(bytes.data(), values.size() * sizeof(double), reinterpret_cast<char *>(values.data()));
    return values;
  }
  ProblemShape shape() {
    ProblemShape read;
    for (int64_t *field : {&read.batch, &read.headsQ, &read.headsKv, &read.lengthQ, &read.lengthKv})
      *field = whole();
    return read;
  }

private:
  Statement &bound(int result) {
    if (code == SQLITE_OK)
      code = result;
    return *this;
  }
  sqlite3_stmt *statement = nullptr;
  int code = SQLITE_OK, parameter = 0, column = 0;
};

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

} // namespace

const char *nameOf(Kind kind) { return kind == Kind::Measured ? "measured" : "estimate"; }
const char *nameOf(Verdict verdict) { return kVerdictNames[size_t(verdict)]; }

std::optional<Verdict> verdictOf(std::string_view name) {
  auto found = std::find(kVerdictNames.begin(), kVerdictNames.end(), name);
  return found == kVerdictNames.end() ? std::nullopt : std::optional(Verdict(found - kVerdictNames.begin()));
}

std::string relatedKey(const AttentionSpec &spec) {
  AttentionSpec bare;
  bare.headDimQk = spec.headDimQk;
  bare.headDimV = spec.headDimV;
  bare.dtype = spec.dtype;
  return tuningKey(bare);
}

std::string tuningKey(const AttentionSpec &spec) {
  AttentionSpec bare = spec;
  bare.name = AttentionSpec().name;
  bare.schedule = {};
  bare.scale = AttentionSpec().scale;
  bare.lse = AttentionSpec().lse;
  return codeKey(bare);
}

struct Store::Impl {
  sqlite3 *db = nullptr;
  ~Impl() { ::sqlite3_close_v2(db); }

  Error error(const std::string &path, int code) const {
    return storeError(path, code, ::sqlite3_errmsg(db));
  }
  std::optional<int64_t> ask(const char *sql) {
    Statement question(db, sql);
    return question.step() ? std::optional<int64_t>(question.whole()) : std::nullopt;
  }
  /// Whether every page of the file is in order.
  Status check(const std::string &path) {
    Statement question(db, "PRAGMA quick_check(1)");
    if (!question.step())
      return error(path, question.errorCode());
    if (std::string verdict = question.text(); verdict != "ok")
      return storeError(path, SQLITE_CORRUPT, verdict.substr(0, verdict.find('\n')));
    return success();
  }
  int execute(const char *sql) { return ::sqlite3_exec(db, sql, nullptr, nullptr, nullptr); }

  Result<int64_t> subjectId(const std::string &path, const Subject &subject) {
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
};

Store::Store(std::string path, std::unique_ptr<Impl> impl) : file(std::move(path)), impl(std::move(impl)) {}
Store::Store(Store &&) noexcept = default;
Store &Store::operator=(Store &&) noexcept = default;
Store::~Store() = default;

std::string Store::defaultPath() {
  if (const char *named = std::getenv("ATTUNE_STORE"))
    return named;
  const char *data = std::getenv("XDG_DATA_HOME"), *home = std::getenv("HOME");
  if (data && *data == '/')
    return std::string(data) + "/attune/tuning.sqlite";
  return home && *home ? std::string(home) + "/.local/share/attune/tuning.sqlite" : "";
}

namespace {

/// Makes an empty store beside `path` and links it there: whoever looks sees all of it or nothing. Somebody
/// else's that came first is as good.
Status create(const std::string &path) {
  std::string temporary = path + ".new-XXXXXX";
  int descriptor = ::mkostemp(temporary.data(), O_CLOEXEC); // with mode 0600
  if (descriptor < 0)
    return badInput(fmt::format("{}: error: cannot make a tuning store here: {}", path, errorText(errno)));
  ::close(descriptor);
  sqlite3 *db = nullptr;
  int code = ::sqlite3_open_v2(temporary.c_str(), &db, SQLITE_OPEN_READWRITE, nullptr);
  auto execute = [&](const std::string &sql) {
    if (code == SQLITE_OK)
      code = ::sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr);
  };
  execute(
      fmt::format("PRAGMA application_id={}; PRAGMA user_version={};", applicationId, Store::schemaVersion));
  execute(schema);
  std::string text = code == SQLITE_OK ? "" : ::sqlite3_errmsg(db);
  ::sqlite3_close_v2(db);
  int linked = code == SQLITE_OK ? ::link(temporary.c_str(), path.c_str()) : 0;
  int failed = linked != 0 && errno != EEXIST ? errno : 0;
  // File systems without hard links: a rename, which could replace a store made in the same instant, only
  // while nothing is there.
  if (failed && ::access(path.c_str(), F_OK) != 0 && ::rename(temporary.c_str(), path.c_str()) == 0)
    failed = 0;
  ::unlink(temporary.c_str());
  if (code != SQLITE_OK)
    return storeError(path, code, text);
  if (failed)
    return badInput(fmt::format("{}: error: cannot make a tuning store here: {}", path, errorText(failed)));
  return success();
}

/// Whether the file ends within a page although no journal is there to mend it. SQLite would take what is
/// missing for zeros.
bool isCutShort(const std::string &path, int64_t size) {
  for (const char *journal : {"-wal", "-journal"})
    if (struct stat status; ::stat((path + journal).c_str(), &status) == 0 && status.st_size > 0)
      return false;
  constexpr int64_t leastPage = 512;
  if (size < leastPage)
    return true;
  Result<InputFile> file = InputFile::open(path);
  unsigned char head[18] = {};
  if (!file || !file->read(head, sizeof head))
    return false; // SQLite will say why
  int64_t page = head[16] * 256 + head[17];
  page = page == 1 ? 65536 : page;
  return page >= leastPage && size % page != 0;
}

/// What the file itself says, before SQLite looks at it. `write` becomes whether it can be written.
Status checkFile(const std::string &path, bool &write, bool &exists) {
  if (path == "-") // and no file of that name
    return badInput("-: error: expected a tuning store, got the name of standard input and output");
  struct stat status;
  exists = ::stat(path.c_str(), &status) == 0;
  if (!exists) {
    if (errno != ENOENT || !write)
      return badInput(fmt::format("{}: error: expected a tuning store, got: {}", path, errorText(errno)));
    return success();
  }
  if (!S_ISREG(status.st_mode))
    return badInput(fmt::format("{}: error: expected a tuning store, got {}", path,
                                S_ISDIR(status.st_mode) ? "a folder" : "no regular file"));
  if (status.st_size == 0)
    return badInput(fmt::format("{}: error: expected a tuning store, got an empty file; nothing was written: "
                                "remove it, or take another --store",
                                path));
  // The mode counts even for a user who may write everything: who made it so meant it.
  bool writable = (status.st_mode & 0222) != 0 && ::access(path.c_str(), W_OK) == 0;
  if (write && !writable)
    return storeError(path, SQLITE_READONLY, "");
  if (isCutShort(path, status.st_size))
    return storeError(path, SQLITE_CORRUPT, "it is cut short");
  write = writable;
  return success();
}

} // namespace

Result<Store> Store::open(const std::string &path, const StoreOptions &options) {
  bool exists = false, writable = options.write;
  if (Status good = checkFile(path, writable, exists); !good)
    return good.error();
  if (!exists)
    if (Status made = create(path); !made)
      return made.error();

  Store store(path, std::make_unique<Impl>());
  Impl &impl = *store.impl;
  // Readers too open it for writing where they can: the last one to leave then clears away what writers and
  // readers share. In a folder that cannot be written, SQLite could not even make the files that readers
  // share; the store cannot change then, which `immutable` promises.
  std::string folder = path.substr(0, path.rfind('/') + 1);
  bool frozen = !options.write && ::access(folder.empty() ? "." : folder.c_str(), W_OK) != 0;
  std::string uri = "file:";
  for (char c : path)
    uri += c == '%' || c == '?' || c == '#' ? fmt::format("%{:02x}", (unsigned char)c) : std::string(1, c);
  if (frozen)
    uri += "?immutable=1";
  int code = ::sqlite3_open_v2(
      uri.c_str(), &impl.db,
      SQLITE_OPEN_URI | (writable && !frozen ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY), nullptr);
  if (code != SQLITE_OK)
    return impl.error(path, code);
  ::sqlite3_busy_timeout(impl.db, options.lockWaitMs);

  std::optional<int64_t> id = impl.ask("PRAGMA application_id");
  std::optional<int64_t> version = impl.ask("PRAGMA user_version");
  if (!id || !version)
    return impl.error(path, ::sqlite3_errcode(impl.db));
  if (*id != applicationId)
    return badInput(
        fmt::format("{}: error: expected a tuning store of attune, got another program's database; "
                    "nothing was written: take another --store",
                    path));
  if (*version != schemaVersion)
    return badInput(fmt::format("{}: error: expected a tuning store of version {}, got version {}, which {} "
                                "attune made; nothing was written: use that attune, or another --store",
                                path, schemaVersion, *version,
                                *version > schemaVersion ? "a newer" : "another"));
  if (options.write) {
    if (Status whole = impl.check(path); !whole)
      return whole.error();
    // Readers and a writer then do not wait for each other. Where the file system cannot do it (some network
    // ones), SQLite stays with its rollback journal, which is as safe. It needs the lock: a store that
    // another process holds is reported here, not in the middle of a sweep.
    if (code = impl.execute("PRAGMA synchronous=FULL; PRAGMA journal_mode=WAL; BEGIN IMMEDIATE; COMMIT;");
        code != SQLITE_OK)
      return impl.error(path, code);
  } else if (code = impl.execute("PRAGMA query_only=1; SELECT count(*) FROM sqlite_schema");
             code != SQLITE_OK) {
    return impl.error(path, code);
  }
  return store;
}

namespace {

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

int putSweep(sqlite3 *db, int64_t subject, const SweepRecord &sweep, const std::string &when) {
  std::string refusals;
  for (const auto &[reason, count] : sweep.refusals)
    refusals += fmt::format("{} {}\n", count, reason);
  Statement add(db,
                "INSERT INTO sweep(subject, batch, heads_q, heads_kv, length_q, length_kv, outcome, points, "
                "feasible, tried, seconds, tau, tau_pairs, refusals, at) "
                "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
  add.bind(subject)
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
  return add.run() ? SQLITE_OK : add.errorCode();
}

/// Which of two rows of one candidate stays: a total order, so that the order of merges does not matter.
auto standing(const Row &row, const std::string &when) {
  return std::tuple(when, row.samples.size(), -row.median, std::string(nameOf(row.verdict)), row.message);
}

} // namespace

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
  for (const StoredRow &stored : other.rows) {
    Result<int64_t> id = impl->subjectId(file, stored.subject);
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
    Result<int64_t> id = impl->subjectId(file, stored.subject);
    if (!id)
      return failed(id.error());
    const SweepRecord &sweep = stored.sweep;
    Statement find(impl->db,
                   "SELECT 1 FROM sweep WHERE subject=? AND batch=? AND heads_q=? AND heads_kv=? AND "
                   "length_q=? AND length_kv=? AND at=? AND outcome=? AND tried=? AND seconds=?");
    find.bind(*id)
        .bind(sweep.shape)
        .bind(stored.when)
        .bind(sweep.outcome)
        .bind(sweep.tried)
        .bind(sweep.seconds);
    if (find.step())
      continue;
    if (find.failed())
      return failed(impl->error(file, find.errorCode()));
    ++count.sweeps;
    if (code = putSweep(impl->db, *id, sweep, stored.when); code != SQLITE_OK)
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

std::vector<StoredRow> winnersOf(const std::vector<StoredRow> &rows, const WinnerQuery &query) {
  std::vector<StoredRow> winners;
  for (size_t i = 0, end; i < rows.size(); i = end) {
    for (end = i; end < rows.size() && rows[end].row.shape == rows[i].row.shape;)
      ++end;
    const StoredRow *first = nullptr, *best = nullptr; // the first that counts names the subject that counts
    bool own = query.family.empty();
    for (size_t j = i; j < end; ++j) {
      const StoredRow &stored = rows[j];
      const Family *family = findFamily(stored.row.family);
      if (!family || stored.row.verdict != Verdict::Passed ||
          (query.target && stored.row.target != *query.target))
        continue;
      Result<Candidate> candidate = parseSchedule(*family, stored.row.schedule);
      if (!candidate || !query.schedule.agreesWith(candidate->schedule))
        continue;
      if (!first)
        first = &stored;
      if (!(stored.subject == first->subject))
        continue;
      own |= stored.row.family == query.family;
      if (!best || stored.row.high < best->row.high)
        best = &stored;
    }
    if (best && own)
      winners.push_back(*best);
  }
  return winners;
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
