//===- TunerStoreTest.cpp - the store of results --------------------------===//
//
// The store of results: what it keeps, and broken ones, which are reported and left as they are.
//
//===----------------------------------------------------------------------===//
#include "tuner/Exchange.h"

#include "runtime/io/File.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace attune;
using namespace attune::tuner;
namespace fs = std::filesystem;

namespace {

Subject subjectOf(Kind kind = Kind::Measured, const std::string &toolkit = "attune 1, ptxas 13.0.88") {
  Subject subject;
  subject.kind = kind;
  subject.device = "NVIDIA H200";
  subject.arch = "sm_90";
  subject.driver = "CUDA 13.0";
  subject.toolkit = toolkit;
  AttentionSpec spec;
  subject.specKey = tuningKey(spec);
  subject.spec = toJson(spec);
  return subject;
}

Row rowOf(int blockKv, double median, ProblemShape shape = {1, 16, 16, 4096, 4096}) {
  Row row;
  row.shape = shape;
  row.family = "portable";
  row.schedule = fmt::format("block_q=128 block_kv={} stages=1 warps=4", blockKv);
  row.samples = {median - 1, median, median + 1.5};
  row.median = median;
  row.low = median - 1;
  row.high = median + 1.5;
  row.modelUs = 2 * median;
  row.shareOfLimit = 0.5;
  return row;
}

struct Folder {
  TempDir folder = std::move(*TempDir::make());
  std::string file(const char *name = "store.sqlite") const { return folder.path() + "/" + name; }
};

Store openOrFail(const std::string &path, const StoreOptions &options = {}) {
  Result<Store> store = Store::open(path, options);
  if (!store)
    FAIL(store.error().message);
  return std::move(*store);
}

/// The one message of a store that cannot be used, and proof that its file is as it was.
std::string refusalOf(const std::string &path,
                      const StoreOptions &options = {.write = true, .lockWaitMs = 50}) {
  Result<std::string> before = readFile(path);
  Result<Store> store = Store::open(path, options);
  REQUIRE(!store);
  Result<std::string> after = readFile(path);
  CHECK(bool(before) == bool(after));
  if (before && after)
    CHECK(*before == *after);
  CHECK(store.error().message.starts_with(path + ": error: "));
  CHECK(store.error().message.find('\n') == std::string::npos);
  return store.error().message;
}

bool contains(const std::string &text, const char *part) { return text.find(part) != std::string::npos; }

void execute(const std::string &path, const std::string &sql) {
  sqlite3 *db = nullptr;
  REQUIRE(::sqlite3_open(path.c_str(), &db) == SQLITE_OK);
  char *error = nullptr;
  if (::sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &error) != SQLITE_OK)
    FAIL(error);
  ::sqlite3_close(db);
}

} // namespace

TEST_CASE("rows and sweeps read back as they were put") {
  Folder folder;
  Row passed = rowOf(64, 500), wrong = rowOf(80, 0);
  wrong.verdict = Verdict::Wrong;
  wrong.samples.clear();
  wrong.message = "O differs: \"quotes\" and 'quotes'\nand a second line";
  wrong.target = Target::CUDA;
  SweepRecord sweep;
  sweep.shape = passed.shape;
  sweep.outcome = "settled";
  sweep.points = 2816;
  sweep.feasible = 356;
  sweep.tried = 19;
  sweep.seconds = 5.5;
  sweep.tau = 0.75;
  sweep.tauPairs = 12;
  sweep.refusals = {{"shared memory", 690}, {"block_q is no multiple of 16 x warps", 1056}};
  {
    Store store = openOrFail(folder.file());
    REQUIRE(store.put(subjectOf(), passed));
    REQUIRE(store.put(subjectOf(), wrong));
    REQUIRE(store.put(subjectOf(), sweep));
  }
  Store store = openOrFail(folder.file());
  Result<std::vector<Row>> rows = store.rows(subjectOf(), passed.shape);
  REQUIRE(rows);
  CHECK(*rows == std::vector<Row>{passed, wrong});
  CHECK(store.rows(subjectOf(), {1, 16, 16, 4096, 4097})->empty());
  CHECK(store.rows(subjectOf(Kind::Estimate), passed.shape)->empty());
  Result<std::vector<StoredSweep>> sweeps = store.allSweeps();
  REQUIRE(sweeps);
  REQUIRE(sweeps->size() == 1);
  const SweepRecord &back = sweeps->front().sweep;
  CHECK(back.refusals == sweep.refusals);
  CHECK(back.tau == sweep.tau);
  CHECK(back.tauPairs == 12);
  CHECK(back.outcome == "settled");
  CHECK(sweeps->front().subject == subjectOf());
  Result<std::vector<StoredRow>> all = store.allRows();
  REQUIRE(all);
  REQUIRE(all->size() == 2);
  CHECK(all->front().subject == subjectOf());
  CHECK(all->front().when.size() == 20);
  // Every verdict has a name that reads back.
  for (int i = 0; i <= int(Verdict::TimedOut); ++i) {
    Row row = rowOf(16 * (i + 1), 1, {2, 2, 2, 2, 2});
    row.verdict = Verdict(i);
    REQUIRE(store.put(subjectOf(), row));
    CHECK(store.rows(subjectOf(), row.shape)->back().verdict == Verdict(i));
  }
}

TEST_CASE("a row replaces that of the same candidate, and no other") {
  Folder folder;
  Store store = openOrFail(folder.file());
  REQUIRE(store.put(subjectOf(), rowOf(64, 500)));
  REQUIRE(store.put(subjectOf(), rowOf(64, 400)));
  Row cuda = rowOf(64, 450);
  cuda.target = Target::CUDA;
  REQUIRE(store.put(subjectOf(), cuda));
  REQUIRE(store.put(subjectOf(Kind::Estimate), rowOf(64, 300)));
  Result<std::vector<Row>> rows = store.rows(subjectOf(), rowOf(64, 1).shape);
  REQUIRE(rows);
  REQUIRE(rows->size() == 2);
  CHECK((*rows)[0].median == 400);
  CHECK((*rows)[1].median == 450);
}

TEST_CASE("winners: the fastest that passed, by shape, of the newest toolkit, kinds apart") {
  Folder folder;
  Store store = openOrFail(folder.file());
  ProblemShape shape{1, 16, 16, 4096, 4096}, longer{1, 16, 16, 8192, 8192};
  Row wrong = rowOf(16, 1);
  wrong.verdict = Verdict::Wrong;
  REQUIRE(store.put(subjectOf(Kind::Measured, "old"), rowOf(32, 10)));
  for (const Row &row : {rowOf(64, 500), rowOf(80, 400), rowOf(96, 600), wrong, rowOf(64, 900, longer)})
    REQUIRE(store.put(subjectOf(), row));
  REQUIRE(store.put(subjectOf(Kind::Estimate), rowOf(112, 5)));
  auto winners = [&](Kind kind, const Schedule &schedule = {}, std::optional<Target> target = {}) {
    Result<std::vector<StoredRow>> found =
        store.winners("NVIDIA H200", "sm_90", kind, subjectOf().specKey, {schedule, target});
    REQUIRE(found);
    return *found;
  };
  std::vector<StoredRow> found = winners(Kind::Measured);
  REQUIRE(found.size() == 2);
  CHECK(found[0].row.median == 400);
  CHECK(found[0].row.shape == shape);
  CHECK(found[1].row.shape == longer);
  CHECK(winners(Kind::Estimate).front().row.median == 5);
  Schedule fixed;
  fixed.set("block_kv", 96);
  CHECK(winners(Kind::Measured, fixed).front().row.median == 600);
  CHECK(winners(Kind::Measured, {}, Target::CUDA).empty());
  CHECK(store.winners("NVIDIA H100", "sm_90", Kind::Measured, subjectOf().specKey, {Schedule()})->empty());
}

TEST_CASE("what of a spec matters to tuning") {
  AttentionSpec spec, other;
  other.name = "other";
  other.schedule.set("warps", 8);
  other.layout = Layout::BHSD;
  other.lse = true;
  other.scale = 0.2;
  CHECK(tuningKey(spec) == tuningKey(other));
  other.headDimV = 64;
  CHECK(tuningKey(spec) != tuningKey(other));
}

TEST_CASE("broken stores give one clear error and are left as they are") {
  Folder folder;
  std::string path = folder.file();
  {
    Store store = openOrFail(path);
    for (int i = 0; i < 200; ++i)
      REQUIRE(store.put(subjectOf(), rowOf(16, 500 + i, {1, 1, 1, i + 1, 64})));
  }
  Result<std::string> whole = readFile(path);
  REQUIRE(whole);
  REQUIRE(whole->size() > 20000);
  auto become = [&](std::string_view bytes) { REQUIRE(writeFileAtomically(path, {bytes}, 0600)); };

  SUBCASE("truncated anywhere") {
    for (size_t size : {size_t(1), size_t(50), size_t(99), size_t(100), size_t(1000), size_t(4096),
                        size_t(5000), whole->size() / 2, whole->size() - 4096, whole->size() - 1}) {
      CAPTURE(size);
      become(std::string_view(*whole).substr(0, size));
      CHECK(contains(refusalOf(path), "damaged"));
    }
  }
  SUBCASE("empty") {
    become("");
    CHECK(contains(refusalOf(path), "empty file"));
  }
  SUBCASE("bytes overwritten") {
    for (size_t page = 1; page * 4096 < whole->size(); page += 3) {
      std::string broken = *whole;
      for (size_t i = 0; i < 512; ++i)
        broken[page * 4096 + i] = char(0xa5 ^ i);
      become(broken);
      CHECK(contains(refusalOf(path), "damaged"));
    }
  }
  SUBCASE("another kind of file") {
    become("{\"this\": \"is JSON\"}\n");
    CHECK(contains(refusalOf(path), "damaged one or another file"));
  }
  SUBCASE("another program's database") {
    fs::remove(path);
    execute(path, "CREATE TABLE bookmark(url TEXT)");
    CHECK(contains(refusalOf(path), "another program's database"));
  }
  SUBCASE("a newer version") {
    execute(path, "PRAGMA user_version=2");
    std::string message = refusalOf(path);
    CHECK(contains(message, "version 1, got version 2"));
    CHECK(contains(message, "newer"));
    CHECK(contains(refusalOf(path, {.write = false}), "newer"));
  }
  SUBCASE("read-only") {
    ::chmod(path.c_str(), 0444);
    CHECK(contains(refusalOf(path), "read-only"));
    // It can still be read.
    Store store = openOrFail(path, {.write = false});
    CHECK(store.allRows()->size() == 200);
  }
  SUBCASE("locked") {
    sqlite3 *db = nullptr;
    REQUIRE(::sqlite3_open(path.c_str(), &db) == SQLITE_OK);
    REQUIRE(::sqlite3_exec(db, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
    CHECK(contains(refusalOf(path), "another process holds its lock"));
    CHECK(openOrFail(path, {.write = false}).allRows()->size() == 200); // readers go on
    ::sqlite3_exec(db, "ROLLBACK", nullptr, nullptr, nullptr);
    ::sqlite3_close(db);
    CHECK(bool(Store::open(path)));
  }
  SUBCASE("locked exclusively, for readers too") {
    sqlite3 *db = nullptr;
    REQUIRE(::sqlite3_open(path.c_str(), &db) == SQLITE_OK);
    REQUIRE(::sqlite3_exec(db, "PRAGMA journal_mode=DELETE; BEGIN EXCLUSIVE", nullptr, nullptr, nullptr) ==
            SQLITE_OK);
    CHECK(contains(refusalOf(path), "lock"));
    CHECK(contains(refusalOf(path, {.write = false, .lockWaitMs = 50}), "lock"));
    ::sqlite3_close(db);
  }
  SUBCASE("a folder in its place") {
    fs::remove(path);
    fs::create_directory(path);
    CHECK(contains(refusalOf(path), "a folder"));
  }
  SUBCASE("its folder is not there") {
    CHECK(contains(refusalOf(folder.file("no/such/store.sqlite")), "No such file"));
  }
  SUBCASE("nothing there to read") {
    CHECK(contains(refusalOf(folder.file("none.sqlite"), {.write = false}), "No such file"));
    CHECK(!fs::exists(folder.file("none.sqlite")));
  }
}

TEST_CASE("names with odd characters; nothing is left beside the store") {
  Folder folder;
  std::string path = folder.file("a b%20c?d#e&f.sqlite");
  {
    Store store = openOrFail(path);
    REQUIRE(store.put(subjectOf(), rowOf(64, 500)));
  }
  CHECK(openOrFail(path, {.write = false}).allRows()->size() == 1);
  int files = 0;
  for (const auto &entry : fs::directory_iterator(folder.folder.path()))
    files += entry.is_regular_file();
  CHECK(files == 1);
  struct stat status;
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("many writers at once lose nothing, from the first moment on") {
  Folder folder;
  constexpr int writers = 4, rows = 25;
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (int w = 0; w < writers; ++w)
    threads.emplace_back([&, w] {
      Result<Store> store = Store::open(folder.file());
      if (!store) {
        MESSAGE(store.error().message);
        ++failures;
        return;
      }
      for (int i = 0; i < rows; ++i)
        failures += !store->put(subjectOf(), rowOf(16, 1, {w + 1, 1, 1, i + 1, 1}));
    });
  for (std::thread &thread : threads)
    thread.join();
  CHECK(failures == 0);
  CHECK(openOrFail(folder.file()).allRows()->size() == writers * rows);
}

TEST_CASE("where the user's own store lies") {
  auto with = [](const char *store, const char *data, const char *home) {
    auto put = [](const char *name, const char *value) {
      value ? ::setenv(name, value, 1) : ::unsetenv(name);
    };
    put("ATTUNE_STORE", store);
    put("XDG_DATA_HOME", data);
    put("HOME", home);
    return Store::defaultPath();
  };
  CHECK(with("/s.sqlite", "/data", "/home/me") == "/s.sqlite");
  CHECK(with("", "/data", "/home/me").empty());
  CHECK(with(nullptr, "/data", "/home/me") == "/data/attune/tuning.sqlite");
  CHECK(with(nullptr, "relative", "/home/me") == "/home/me/.local/share/attune/tuning.sqlite");
  CHECK(with(nullptr, nullptr, nullptr).empty());
}
