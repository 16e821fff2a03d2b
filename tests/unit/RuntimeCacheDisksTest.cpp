//===- RuntimeCacheDisksTest.cpp - full and read-only disks ---------------===//
//
// Real full and read-only disks: a small tmpfs in a mount namespace of the test's own. Where that is not
// allowed, the cases say so, and the limits on file sizes and permissions of RuntimeCacheTest.cpp stand in.
//
//===----------------------------------------------------------------------===//
#include "runtime/cache/CacheFolder.h"
#include "runtime/io/File.h"

#include <functional>

#include <cerrno>
#include <doctest/doctest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace attune;

namespace {

CacheKey keyOf(const std::string &name) {
  CacheKey key;
  key.add("name", name);
  return key;
}
CacheEntry entryOf(const CacheKey &key, size_t bytes) {
  return {key.text(), {{"kernel.ptx", std::string(bytes, 'p')}}};
}

/// Runs `body` in a child whose view has a file system of 64 KB at `folder`; its answer counts the steps that
/// went right. -1: not allowed here.
int onSmallDisk(const std::string &folder, const std::function<int()> &body) {
  pid_t child = ::fork();
  if (child == 0) {
    bool mounted = ::unshare(CLONE_NEWNS) == 0 &&
                   ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                   ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=64k,mode=0700") == 0;
    ::_exit(mounted ? body() : 255);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) != 255 ? WEXITSTATUS(status) : -1;
}

} // namespace

TEST_CASE("cache: a disk that is full costs only the caching") {
  TempDir folder = std::move(*TempDir::make());
  int steps = onSmallDisk(folder.path(), [&] {
    Cache cache(folder.path());
    int right = 0;
    right += bool(cache.store(keyOf("small"), entryOf(keyOf("small"), 1000)));
    Status full = cache.store(keyOf("large"), entryOf(keyOf("large"), 100000));
    right += !full && full.error().message.find("No space left") != std::string::npos;
    right += cache.lookUp(keyOf("small")).entry.has_value();
    right += !cache.lookUp(keyOf("large")).entry && cache.lookUp(keyOf("large")).note.empty();
    Result<std::vector<CacheFile>> files = readFolder(cache, true);
    right += files && files->size() == 1; // nothing half-written is left
    // With not even room for a lock file or a name.
    while (cache.store(keyOf("filler"), entryOf(keyOf("filler"), 40000)) &&
           cache.store(keyOf("more"), entryOf(keyOf("more"), 12000)))
      break;
    CacheTurn turn = cache.takeTurn(keyOf("new"));
    right += !turn.found.entry;
    return right;
  });
  if (steps < 0)
    MESSAGE("skipped: no mount namespace here");
  else
    CHECK(steps == 6);
}

TEST_CASE("cache: on a read-only disk hits are hits, and a miss costs only the caching") {
  TempDir folder = std::move(*TempDir::make());
  int steps = onSmallDisk(folder.path(), [&] {
    Cache cache(folder.path());
    int right = 0;
    right += bool(cache.store(keyOf("there"), entryOf(keyOf("there"), 1000)));
    right += ::mount(nullptr, folder.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0;
    right += cache.lookUp(keyOf("there")).entry.has_value();
    CacheTurn turn = cache.takeTurn(keyOf("new"));
    right += !turn.lock.held() && !turn.found.entry && turn.note.empty();
    Status stored = cache.store(keyOf("new"), entryOf(keyOf("new"), 10));
    right += !stored && stored.error().message.find("Read-only") != std::string::npos;
    Result<CleanUp> cleared = clearFolder(cache);
    right += cleared && cleared->removals.size() == 1 && !cleared->removals[0].failure.empty();
    return right;
  });
  if (steps < 0)
    MESSAGE("skipped: no mount namespace here");
  else
    CHECK(steps == 6);
}
