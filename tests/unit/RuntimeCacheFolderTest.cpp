//===- RuntimeCacheFolderTest.cpp - locks, turns, and attune cache --------===//
//
// Locks, turns, and what `attune cache` is made of.
//
//===----------------------------------------------------------------------===//
#include "runtime/cache/CacheFolder.h"
#include "runtime/io/File.h"
#include "runtime/io/FileLock.h"

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace attune;
namespace fs = std::filesystem;
using std::chrono::milliseconds;

namespace {

bool has(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

CacheKey keyOf(const std::string &name, const std::string &maker = "this") {
  CacheKey key;
  key.add("spec", fmt::format(R"({{"name":"{}","head_dim_qk":128,"mask":[{{"kind":"causal"}}]}})", name));
  key.add("arch", "sm_80");
  key.endRequest();
  key.add("compiler", maker);
  return key;
}

CacheEntry entryOf(const CacheKey &key, size_t bytes = 100) {
  return {key.text(), {{"metadata.json", "{\"name\": \"k\"}\n"}, {"kernel.ptx", std::string(bytes, 'p')}}};
}

struct Folder {
  TempDir temporary = std::move(*TempDir::make());
  Cache cache{temporary.path() + "/cache"};

  std::string put(const CacheKey &key, size_t bytes = 100, int hoursAgo = 0) {
    REQUIRE(cache.store(key, entryOf(key, bytes)));
    age(cache.fileOf(key), hoursAgo);
    return cache.fileOf(key);
  }
  static void age(const std::string &path, int hours) {
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(hours));
  }
  size_t files() const {
    return size_t(std::distance(fs::directory_iterator(cache.folder()), fs::directory_iterator()));
  }
};

std::string lockOf(const std::string &entry) {
  return entry.substr(0, entry.size() - std::string(".attune").size()) + ".lock";
}

} // namespace

TEST_CASE("locks: one holder among threads, and none left when a process is killed") {
  TempDir folder = std::move(*TempDir::make());
  std::string path = folder.path() + "/a.lock";
  FileLock first, second;
  REQUIRE(first.tryTake(path) == FileLock::Result::Held);
  CHECK(second.tryTake(path) == FileLock::Result::Busy);
  FileLock moved = std::move(first);
  CHECK(!first.held());
  CHECK(second.tryTake(path) == FileLock::Result::Busy);
  moved.release();
  CHECK(!fs::exists(path));
  CHECK(second.tryTake(path) == FileLock::Result::Held);
  second.release();
  CHECK(first.tryTake(folder.path() + "/absent/a.lock") == FileLock::Result::Impossible);
  fs::create_directory(folder.path() + "/d.lock");
  CHECK(first.tryTake(folder.path() + "/d.lock") == FileLock::Result::Impossible);

  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  pid_t child = ::fork();
  if (child == 0) {
    FileLock held;
    char byte = held.tryTake(path) == FileLock::Result::Held;
    (void)!::write(ready[1], &byte, 1);
    ::pause();
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  REQUIRE(byte == 1);
  CHECK(first.tryTake(path) == FileLock::Result::Busy);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK(fs::exists(path));
  CHECK(first.tryTake(path) == FileLock::Result::Held);
  ::close(ready[0]);
  ::close(ready[1]);

  // Many threads, one at a time.
  first.release();
  std::atomic<int> inside = 0, worst = 0, turns = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      for (int done = 0; done < 20;) {
        FileLock lock;
        if (lock.tryTake(path) != FileLock::Result::Held) {
          std::this_thread::yield();
          continue;
        }
        worst = std::max(worst.load(), ++inside);
        ++turns;
        --inside;
        ++done;
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  CHECK(worst == 1);
  CHECK(turns == 160);
}

TEST_CASE("turns: the first makes the entry, the others wait for it") {
  Folder f;
  CacheKey key = keyOf("a");
  CacheTurn first = f.cache.takeTurn(key);
  REQUIRE(first.lock.held());
  CHECK(!first.found.entry);
  std::atomic<int> found = 0;
  std::vector<std::thread> others;
  for (int i = 0; i < 4; ++i)
    others.emplace_back([&] {
      CacheTurn turn = f.cache.takeTurn(key);
      found += turn.found.entry && !turn.lock.held();
    });
  std::this_thread::sleep_for(milliseconds(30));
  CHECK(found == 0);
  REQUIRE(f.cache.store(key, entryOf(key)));
  first.lock.release();
  for (std::thread &other : others)
    other.join();
  CHECK(found == 4);
  CHECK(f.files() == 1); // no lock is left
}

TEST_CASE("turns: nobody waits for ever, nor where there are no locks") {
  Folder f;
  CacheKey key = keyOf("a");
  CacheTurn first = f.cache.takeTurn(key);
  REQUIRE(first.lock.held());
  auto start = std::chrono::steady_clock::now();
  CacheTurn second = f.cache.takeTurn(key, milliseconds(50));
  CHECK(std::chrono::steady_clock::now() - start < milliseconds(5000));
  CHECK(!second.lock.held());
  CHECK(!second.found.entry);
  CHECK(has(second.note, "not waiting any longer"));
  // An entry that appears while somebody holds the lock is taken at once.
  REQUIRE(f.cache.store(key, entryOf(key)));
  CHECK(f.cache.takeTurn(key, milliseconds(50)).found.entry.has_value());
  first.lock.release();
  // Something else in the lock's place, no folder, no cache.
  fs::create_directory(lockOf(f.cache.fileOf(keyOf("b"))));
  for (const Cache &cache : {f.cache, Cache("/proc/attune"), Cache()}) {
    CacheTurn turn = cache.takeTurn(keyOf("b"));
    CHECK(!turn.lock.held());
    CHECK(!turn.found.entry);
    CHECK(turn.note.empty());
  }
}

TEST_CASE("turns: a damaged entry does not hold anybody up") {
  Folder f;
  CacheKey key = keyOf("a");
  std::ofstream(f.put(key), std::ios::trunc) << "junk";
  CacheTurn turn = f.cache.takeTurn(key);
  CHECK(turn.lock.held());
  CHECK(!turn.found.entry);
}

TEST_CASE("requests: what answers one is found whoever made it, the last used first") {
  Folder f;
  std::string old = f.put(keyOf("a", "old"), 100, 5), recent = f.put(keyOf("a", "recent"));
  f.put(keyOf("b"));
  CHECK(f.cache.filesFor(keyOf("a").requestHash()) == std::vector<std::string>{recent, old});
  CHECK(f.cache.filesFor(keyOf("c").requestHash()).empty());
  // A hit marks the entry as used.
  CHECK(f.cache.lookUp(keyOf("a", "old")).entry);
  CHECK(fs::file_time_type::clock::now() - fs::last_write_time(old) < std::chrono::minutes(1));
}

TEST_CASE("folder: every kind of file is told apart, and nothing else is touched") {
  Folder f;
  Result<std::vector<CacheFile>> none = readFolder(f.cache, true);
  REQUIRE(none);
  CHECK(none->empty()); // not there yet
  CHECK(!readFolder(Cache(), true));
  std::string good = f.put(keyOf("good"));
  f.cache.remember("question", "answer");
  std::ofstream(f.put(keyOf("flipped")), std::ios::in | std::ios::out).seekp(400).put('!');
  fs::resize_file(f.put(keyOf("short")), 90);
  std::ofstream(f.put(keyOf("empty")), std::ios::trunc);
  std::ofstream(f.put(keyOf("foreign")), std::ios::in | std::ios::out).write("attune-cache 9", 14);
  fs::copy_file(good, f.cache.fileOf(keyOf("stray")));
  ::chmod(f.put(keyOf("open")).c_str(), 0666);
  if (::geteuid() == 0)
    REQUIRE(::chown(f.put(keyOf("owner")).c_str(), 12345, gid_t(-1)) == 0);
  fs::create_directory(f.cache.fileOf(keyOf("directory")));
  ::mkfifo(f.cache.fileOf(keyOf("pipe")).c_str(), 0600);
  fs::create_symlink("/nowhere", f.cache.fileOf(keyOf("link")));
  std::ofstream(f.cache.folder() + "/somebody's notes.attune") << "x";
  std::ofstream(f.cache.folder() + "/0123456789abcdef-0.attune") << "x";
  std::string left = good + std::string(temporaryMark) + "0123456789abcdef";
  std::ofstream(left) << "half";
  Folder::age(left, 1);
  FileLock held, dead;
  REQUIRE(held.tryTake(lockOf(f.cache.fileOf(keyOf("held")))) == FileLock::Result::Held);
  std::ofstream(lockOf(f.cache.fileOf(keyOf("dead")))) << "";
  Folder::age(lockOf(f.cache.fileOf(keyOf("dead"))), 1);

  Result<std::vector<CacheFile>> files = readFolder(f.cache, true);
  REQUIRE(files);
  std::map<CacheFile::Kind, int> kinds;
  auto problemOf = [&](const std::string &path) {
    for (const CacheFile &file : *files)
      if (file.path == path)
        return file.problem.empty() ? std::string("fine") : file.problem;
    return std::string("not listed");
  };
  for (const CacheFile &file : *files)
    ++kinds[file.kind];
  CHECK(kinds[CacheFile::Kind::Kernel] == 1);
  CHECK(kinds[CacheFile::Kind::Fact] == 1);
  CHECK(kinds[CacheFile::Kind::Broken] == (::geteuid() == 0 ? 10 : 9));
  CHECK(kinds[CacheFile::Kind::Temporary] == 1);
  CHECK(kinds[CacheFile::Kind::Lock] == 2);
  CHECK(problemOf(good) == "fine");
  CHECK(has(problemOf(f.cache.fileOf(keyOf("flipped"))), "checksum"));
  CHECK(problemOf(f.cache.fileOf(keyOf("empty"))) == "it is empty");
  CHECK(has(problemOf(f.cache.fileOf(keyOf("foreign"))), "another version"));
  CHECK(has(problemOf(f.cache.fileOf(keyOf("stray"))), "another key"));
  CHECK(has(problemOf(f.cache.fileOf(keyOf("open"))), "others can write to it"));
  CHECK(has(problemOf(f.cache.fileOf(keyOf("directory"))), "expected a regular file"));
  CHECK(has(problemOf(f.cache.fileOf(keyOf("pipe"))), "expected a regular file"));
  CHECK(has(problemOf(f.cache.fileOf(keyOf("link"))), "No such file"));
  CHECK(has(problemOf(left), "is gone"));
  CHECK(problemOf(lockOf(f.cache.fileOf(keyOf("held")))) == "fine");
  // Looking one of them up is a miss, not a failure.
  for (const char *name :
       {"flipped", "short", "empty", "foreign", "stray", "open", "directory", "pipe", "link"}) {
    CAPTURE(name);
    CacheLookup found = f.cache.lookUp(keyOf(name));
    CHECK(!found.entry);
    CHECK(!found.note.empty());
  }

  // Without sizes and ages only what nobody can use goes; other versions' entries stay.
  Result<CleanUp> done = collectGarbage(f.cache, {});
  REQUIRE(done);
  for (const Removal &removal : done->removals)
    CHECK(removal.failure.empty());
  CHECK(done->removals.size() == (::geteuid() == 0 ? 11 : 10));
  CHECK(done->keptFiles == 3);
  CHECK(fs::exists(f.cache.fileOf(keyOf("foreign"))));
  CHECK(fs::exists(f.cache.folder() + "/somebody's notes.attune"));
  CHECK(fs::exists(lockOf(f.cache.fileOf(keyOf("held")))));
  CHECK(!fs::exists(left));
  CHECK(f.cache.lookUp(keyOf("good")).entry);

  fs::create_directories(f.cache.fileOf(keyOf("full")) + "/file");
  done = clearFolder(f.cache);
  REQUIRE(done);
  CHECK(done->removals.size() == 4);
  int failures = 0;
  for (const Removal &removal : done->removals)
    failures += !removal.failure.empty();
  CHECK(failures == 1); // a folder with something in it
  CHECK(fs::exists(f.cache.fileOf(keyOf("full")) + "/file"));
  CHECK(f.files() == 4); // that, the two that are not the cache's, and the lock that is held
}

TEST_CASE("folder: one that others can write to is put right by its owner, not emptied") {
  Folder f;
  f.put(keyOf("a"));
  ::chmod(f.cache.folder().c_str(), 0777);
  CHECK(has(f.cache.lookUp(keyOf("a")).note, "others can write to it"));
  Result<CleanUp> done = collectGarbage(f.cache, {});
  REQUIRE(!done);
  CHECK(has(done.error().message, "chmod go-w"));
  ::chmod(f.cache.folder().c_str(), 0700);
  CHECK(f.cache.lookUp(keyOf("a")).entry);
}

TEST_CASE("folder: by size and age, the least recently used go first") {
  Folder f;
  f.put(keyOf("new"), 1000, 1);
  f.put(keyOf("middle"), 5000, 10);
  f.put(keyOf("old"), 10, 100);
  auto removedBy = [&](const KeepPolicy &keep) {
    Result<CleanUp> done = collectGarbage(f.cache, keep);
    REQUIRE(done);
    return done->removals.size();
  };
  CHECK(removedBy({}) == 0);
  CHECK(removedBy({.maxBytes = 1 << 20, .maxAge = std::chrono::hours(1000)}) == 0);
  CHECK(removedBy({.maxBytes = {}, .maxAge = std::chrono::hours(50)}) == 1);
  CHECK(!f.cache.lookUp(keyOf("old")).entry);
  f.put(keyOf("old"), 10, 100);
  CHECK(removedBy({.maxBytes = 3000, .maxAge = {}}) ==
        2); // a small old one is no reason to skip a large newer one
  CHECK(f.cache.lookUp(keyOf("new")).entry);
  CHECK(removedBy({.maxBytes = 0, .maxAge = {}}) == 1);
}

TEST_CASE("explain: a hit, a broken entry, and the nearest of those that differ") {
  Folder f;
  Result<Explanation> why = explain(f.cache, keyOf("a"));
  REQUIRE(why);
  CHECK(!why->found);
  CHECK(!why->nearest);
  f.put(keyOf("a", "another"));
  f.put(keyOf("far", "yet another"));
  why = explain(f.cache, keyOf("a"));
  REQUIRE(why);
  REQUIRE(why->nearest);
  CHECK(why->kernels == 2);
  REQUIRE(why->differences.size() == 1);
  CHECK(why->differences[0].field == "compiler");
  CHECK(why->differences[0].wanted == "this");
  CHECK(why->differences[0].found == "another");
  why = explain(f.cache, keyOf("other", "another"));
  REQUIRE(why->differences.size() == 1);
  CHECK(why->differences[0].field == "spec.name");
  CHECK(why->differences[0].wanted == "\"other\"");
  std::string file = f.put(keyOf("a"));
  CHECK(explain(f.cache, keyOf("a"))->found);
  fs::resize_file(file, 50);
  why = explain(f.cache, keyOf("a"));
  CHECK(!why->found);
  CHECK(has(why->problem, file));
  KeyFields fields = fieldsOf("a=1\nspec={\"x\":[1,2],\"y\":\"z\"}\nbroken={\"x\":\nb=\n");
  REQUIRE(fields.size() == 5);
  CHECK(fields[1] == std::pair<std::string, std::string>("spec.x", "[1,2]"));
  CHECK(fields[3].second == "{\"x\":");
}
