//===- RuntimeCacheTest.cpp - the cache of kernels ------------------------===//
#include "runtime/cache/Cache.h"
#include "runtime/cache/Checksum.h"
#include "runtime/io/File.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include <csignal>
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace attune;
namespace fs = std::filesystem;

namespace {

bool has(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

CacheKey keyOf(const std::string &name) {
  CacheKey key;
  key.add("spec.name", name);
  key.add("arch", "sm_80");
  return key;
}

CacheEntry entryOf(const CacheKey &key) {
  std::string cubin = "\x7f"
                      "ELF";
  cubin += std::string("\0binary\n\n", 9);
  return {
      key.text(),
      {{"metadata.json", "{\"name\": \"k\"}\n"}, {"kernel.ptx", ".version 8.0\n"}, {"kernel.cubin", cubin}}};
}

struct Folder {
  TempDir temporary = std::move(*TempDir::make());
  std::string path = temporary.path() + "/deep/cache";
  Cache cache{path};
};

} // namespace

TEST_CASE("checksums: published vectors") {
  CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  CHECK(crc64("") == 0);
  CHECK(crc64("123456789") == 0x995DC9BBDF1939FA);
  CHECK(crc64("6789", crc64("12345")) == crc64("123456789"));
}

TEST_CASE("checksums: every length, in one piece or in several") {
  std::mt19937 random(5);
  std::string bytes(1000, 0);
  for (char &byte : bytes)
    byte = char(random());
  auto plain = [](std::string_view text) { // bit by bit, as CRCs are defined
    uint64_t crc = ~uint64_t(0);
    for (unsigned char byte : text) {
      crc ^= byte;
      for (int bit = 0; bit < 8; ++bit)
        crc = (crc >> 1) ^ ((crc & 1) ? 0xC96C5795D7870F42 : 0);
    }
    return ~crc;
  };
  for (size_t length = 0; length < bytes.size(); ++length) {
    std::string_view text = std::string_view(bytes).substr(0, length);
    REQUIRE(crc64(text) == plain(text));
    size_t cut = random() % (length + 1);
    REQUIRE(crc64(text.substr(cut), crc64(text.substr(0, cut))) == plain(text));
  }
}

TEST_CASE("cache: what is stored is found again, byte for byte, and only by its owner") {
  Folder f;
  CacheKey key = keyOf("a");
  CHECK(!f.cache.lookUp(key).entry);
  CHECK(f.cache.lookUp(key).note.empty()); // plainly absent
  ::umask(0);
  REQUIRE(f.cache.store(key, entryOf(key)));
  CacheLookup found = f.cache.lookUp(key);
  REQUIRE(found.entry);
  CHECK(found.entry->key == key.text());
  CHECK(found.entry->artefacts == entryOf(key).artefacts);
  CHECK(!found.entry->find("kernel.cu"));
  CHECK(!f.cache.lookUp(keyOf("b")).entry);
  struct stat status{};
  REQUIRE(::stat(f.path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0700);
  REQUIRE(::stat(f.cache.fileOf(key).c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  ::umask(022);
  // One file an entry, and no temporary names are left.
  CHECK(std::distance(fs::directory_iterator(f.path), fs::directory_iterator()) == 1);
}

TEST_CASE("cache: keys are canonical lines") {
  CacheKey key;
  key.add("a", "1\n2");
  key.add("b", "");
  CHECK(key.text() == "a=1 2\nb=\n");
  CHECK(key.hash() == sha256(key.text()));
}

TEST_CASE("cache: every cut and every flipped bit is a reported miss") {
  Folder f;
  CacheKey key = keyOf("a");
  REQUIRE(f.cache.store(key, entryOf(key)));
  std::string path = f.cache.fileOf(key);
  std::string good = *readFile(path);
  auto put = [&](const std::string &bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  };
  for (size_t n = 0; n < good.size(); ++n) {
    put(good.substr(0, n));
    CacheLookup found = f.cache.lookUp(key);
    CHECK(!found.entry);
    CHECK(has(found.note, path));
  }
  for (size_t n = 0; n < good.size(); ++n) {
    std::string bad = good;
    bad[n] ^= char(1 << (n % 8));
    put(bad);
    CHECK(!f.cache.lookUp(key).entry);
  }
  put(good + "x");
  CHECK(has(f.cache.lookUp(key).note, "checksum"));
  std::string foreign = good;
  foreign.replace(foreign.find("cache 1"), 7, "cache 9");
  put(foreign);
  CHECK(has(f.cache.lookUp(key).note, "another version"));
  // A whole entry under a wrong name.
  put(good);
  fs::copy_file(path, f.cache.fileOf(keyOf("b")));
  CHECK(has(f.cache.lookUp(keyOf("b")).note, "another key"));
  // And a store heals it.
  put("junk");
  REQUIRE(f.cache.store(key, entryOf(key)));
  CHECK(f.cache.lookUp(key).entry);
}

TEST_CASE("cache: entries that others could have written, folders in the way") {
  Folder f;
  CacheKey key = keyOf("a");
  REQUIRE(f.cache.store(key, entryOf(key)));
  std::string path = f.cache.fileOf(key);
  fs::permissions(path, fs::perms::group_write, fs::perm_options::add);
  CHECK(has(f.cache.lookUp(key).note, "others can write to it"));
  REQUIRE(f.cache.store(key, entryOf(key)));
  CHECK(f.cache.lookUp(key).entry);
  if (::geteuid() == 0) {
    REQUIRE(::chown(path.c_str(), 12345, gid_t(-1)) == 0);
    CHECK(has(f.cache.lookUp(key).note, "got user 12345"));
  }
  fs::remove(path);
  fs::create_directory(path);
  CHECK(has(f.cache.lookUp(key).note, "expected a regular file"));
  CHECK(!f.cache.store(key, entryOf(key)));
  CHECK(std::distance(fs::directory_iterator(f.path), fs::directory_iterator()) == 1);
}

TEST_CASE("cache: what root made and others cannot write is used by other users") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: not root");
    return;
  }
  Folder f;
  CacheKey key = keyOf("a");
  REQUIRE(f.cache.store(key, entryOf(key)));
  std::string path = f.cache.fileOf(key);
  constexpr uid_t service = 12345;
  /// What the look-up gives a process of that user: 0 the entry, 1 something else.
  auto asService = [&] {
    pid_t child = ::fork();
    if (child == 0) {
      bool gone = ::setgid(service) == 0 && ::setuid(service) == 0;
      CacheLookup found = f.cache.lookUp(key);
      ::_exit(gone && found.entry && found.note.empty() ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WEXITSTATUS(status);
  };
  CHECK(asService() == 1); // only its owner may read it
  for (fs::path folder = f.path; folder != folder.root_path(); folder = folder.parent_path())
    if (fs::path(folder).string().find("attune") != std::string::npos)
      fs::permissions(folder, fs::perms(0755));
  fs::permissions(path, fs::perms(0644));
  CHECK(asService() == 0);
  fs::permissions(path, fs::perms(0664));
  CHECK(asService() == 1);
  fs::permissions(path, fs::perms(0644));
  REQUIRE(::chown(path.c_str(), service + 1, gid_t(-1)) == 0); // some third user
  CHECK(asService() == 1);
}

TEST_CASE("cache: a full disk and a folder that cannot be made cost only the caching") {
  CacheKey key = keyOf("a");
  Cache nowhere("/proc/attune");
  Status status = nowhere.store(key, entryOf(key));
  REQUIRE(!status);
  CHECK(has(status.error().message, "/proc/attune"));
  CHECK(!nowhere.lookUp(key).entry);
  CHECK(nowhere.lookUp(key).note.empty());
  Cache none;
  CHECK(none.store(key, entryOf(key)));
  CHECK(!none.lookUp(key).entry);
  Folder f;
  fs::create_directories(fs::path(f.path).parent_path());
  std::ofstream(f.path) << "a file where the folder should be";
  CHECK(!f.cache.store(key, entryOf(key)));
  CHECK(!f.cache.lookUp(key).entry);
}

TEST_CASE("cache: a disk that fills while an entry is written leaves nothing behind") {
  Folder f;
  CacheKey key = keyOf("a");
  CacheEntry entry = entryOf(key);
  REQUIRE(f.cache.store(key, entry));
  entry.artefacts.emplace_back("large", std::string(300000, 'x'));
  // A limit on the size of files stands in for the full disk: writes come back short, then fail.
  rlimit before{}, small{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  small = before;
  small.rlim_cur = 100000;
  auto *handler = ::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  Status status = f.cache.store(key, entry);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  ::signal(SIGXFSZ, handler);
  REQUIRE(!status);
  CHECK(has(status.error().message, "cannot write"));
  CHECK(std::distance(fs::directory_iterator(f.path), fs::directory_iterator()) == 1);
  REQUIRE(f.cache.lookUp(key).entry); // the old entry is as it was
  CHECK(f.cache.lookUp(key).entry->artefacts.size() == 3);
}

TEST_CASE("cache: the user's folder") {
  std::string home = std::getenv("HOME") ? std::getenv("HOME") : "";
  ::setenv("ATTUNE_CACHE_DIR", "/x/y", 1);
  CHECK(Cache::ofUser().folder() == "/x/y");
  ::setenv("ATTUNE_CACHE_DIR", "", 1);
  CHECK(!Cache::ofUser().enabled());
  ::unsetenv("ATTUNE_CACHE_DIR");
  ::setenv("XDG_CACHE_HOME", "/xdg", 1);
  CHECK(Cache::ofUser().folder() == "/xdg/attune");
  ::unsetenv("XDG_CACHE_HOME");
  ::setenv("HOME", "/home/someone", 1);
  CHECK(Cache::ofUser().folder() == "/home/someone/.cache/attune");
  ::setenv("HOME", home.c_str(), 1);
}

TEST_CASE("cache: small facts are remembered") {
  Folder f;
  CHECK(!f.cache.recall("ptxas /x 1 2"));
  f.cache.remember("ptxas /x 1 2", "13.0.88");
  CHECK(f.cache.recall("ptxas /x 1 2") == "13.0.88");
}

TEST_CASE("cache: processes that are killed while they store leave no half entry") {
  Folder f;
  constexpr int writers = 4, rounds = 20;
  CacheKey key = keyOf("a");
  CacheEntry entry = entryOf(key);
  entry.artefacts.emplace_back("large", std::string(300000, 'x'));
  for (int round = 0; round < rounds; ++round) {
    std::vector<pid_t> children;
    for (int w = 0; w < writers; ++w) {
      pid_t child = ::fork();
      if (child == 0) {
        for (;;)
          (void)bool(f.cache.store(key, entry));
      }
      children.push_back(child);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(3 + round % 5));
    for (pid_t child : children) {
      CacheLookup found = f.cache.lookUp(key);
      CHECK(found.note.empty());
      if (found.entry)
        CHECK(found.entry->artefacts == entry.artefacts);
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
  }
  CHECK(f.cache.lookUp(key).note.empty());
}
