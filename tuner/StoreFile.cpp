//===- StoreFile.cpp - a store's file: made, checked, opened --------------===//
#include "tuner/StoreImpl.h"

#include "runtime/io/File.h"

#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <fmt/format.h>
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

} // namespace attune::tuner
