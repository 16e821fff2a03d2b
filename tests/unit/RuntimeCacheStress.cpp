//===- RuntimeCacheStress.cpp - one cache, many processes, some killed ----===//
//
// Processes that build kernels through one cache folder while some of them are killed and the folder is
// cleaned up: no load is ever bad, nothing half-written stays, and a new kernel is compiled once.
//
// usage: cache_stress PROCESSES KILLS
//
//===----------------------------------------------------------------------===//
#include "runtime/cache/CacheFolder.h"
#include "runtime/io/File.h"
#include "runtime/jit/ProgramBuild.h"
#include "tests/unit/RuntimeFakeCompiler.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <new>
#include <random>

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace attune;
namespace fs = std::filesystem;

namespace {

/// What all processes count in: shared memory.
struct Counters {
  std::atomic<long> loaded, compiled, removed, bad;
  char reason[2000]; ///< of the first that was bad
};
Counters *counters;

void complain(const std::string &text) {
  if (counters->bad++ == 0)
    text.copy(counters->reason, sizeof counters->reason - 1);
}

constexpr int kernels = 24;

AttentionSpec specOf(int number) {
  AttentionSpec spec;
  spec.name = fmt::format("kernel{}", number);
  spec.headDimQk = spec.headDimV = 256; // the longest text: writes take a while
  return spec;
}

Arch arch() { return *findArch("sm_80"); }

ProgramRequest requestOf(int number) { return {specOf(number), Target::PTX, {}}; }

/// What the made-up compiler prints.
std::string textOf(int number) {
  return compile(specOf(number), {arch(), Target::PTX, Stage::Text, {}})->text;
}

/// Builds one kernel and looks at what came: true if it was compiled here.
bool buildOne(const Cache &cache, int number, const std::string &expected) {
  static const Toolchain none;
  Result<BuiltProgram> built = buildProgram(requestOf(number), {arch()}, CubinNeed::No, none, cache);
  if (!built)
    return complain(built.error().message), false;
  for (const std::string &note : built->notes)
    complain(note);
  if (built->program.ptx != expected)
    complain(fmt::format("kernel {} has {} bytes, {} were expected", number, built->program.ptx.size(),
                         expected.size()));
  ++(built->fromCache ? counters->loaded : counters->compiled);
  return !built->fromCache;
}

[[noreturn]] void work(const Cache &cache, const std::vector<std::string> &expected, unsigned seed) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::mt19937 random(seed);
  for (;;) {
    int number = int(random() % kernels);
    buildOne(cache, number, expected[size_t(number)]);
    if (random() % 30 == 0) {
      std::vector<std::string> files = cache.filesFor(requestKey(requestOf(number), arch()).requestHash());
      counters->removed += !files.empty() && ::unlink(files[0].c_str()) == 0;
    }
    if (random() % 200 == 0)
      if (Result<CleanUp> done = collectGarbage(cache, {.maxBytes = 400000, .maxAge = {}}); !done)
        complain(done.error().message);
  }
}

pid_t start(const std::function<void()> &body) {
  pid_t child = ::fork();
  if (child == 0) {
    body();
    ::_exit(0);
  }
  return child;
}

int failures = 0, passes = 0;
void check(const char *what, bool good, const std::string &detail = "") {
  ++(good ? passes : failures);
  if (!good)
    fmt::print("FAILED: {}: {}\n", what, detail);
}

/// Kills `kills` of `processes` at random moments; each is replaced.
void killAtRandom(const Cache &cache, const std::vector<std::string> &expected, int processes, int kills) {
  std::mt19937 random(7);
  auto startOne = [&] { return start([&, seed = unsigned(random())] { work(cache, expected, seed); }); };
  std::vector<pid_t> workers;
  for (int i = 0; i < processes; ++i)
    workers.push_back(startOne());
  int died = 0;
  for (int i = 0; i < kills; ++i) {
    ::usleep(useconds_t(random() % 4000));
    pid_t &victim = workers[random() % workers.size()];
    ::kill(victim, SIGKILL);
    int status = 0;
    ::waitpid(victim, &status, 0);
    died += !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL;
    victim = startOne();
  }
  for (pid_t worker : workers)
    ::kill(worker, SIGKILL);
  for (pid_t worker : workers)
    ::waitpid(worker, nullptr, 0);
  check("processes end only when they are killed", died == 0, fmt::format("{} died of themselves", died));
  check("every kernel is right, whoever made it", counters->bad == 0, counters->reason);
  check("kernels were loaded", counters->loaded > processes, fmt::format("{}", counters->loaded.load()));
  check("kernels were compiled again", counters->compiled >= kernels / 2,
        fmt::format("{}", counters->compiled.load()));

  ::usleep(2100000); // only then is a file that nobody holds taken to be left behind
  Result<std::vector<CacheFile>> files = readFolder(cache, true);
  int leftover = 0;
  for (const CacheFile &file : *files) {
    check("no entry is broken", file.kind != CacheFile::Kind::Broken, file.path + ": " + file.problem);
    leftover += file.kind == CacheFile::Kind::Temporary || file.kind == CacheFile::Kind::Lock;
  }
  Result<CleanUp> done = collectGarbage(cache, {});
  check("what killed processes leave is collected", int(done->removals.size()) == leftover,
        fmt::format("{} of {}", done->removals.size(), leftover));
  for (const auto &file : fs::directory_iterator(cache.folder()))
    check("only entries are left", file.path().extension() == ".attune", file.path().string());
  fmt::print(
      "{} processes, {} kills: {} kernels loaded, {} compiled, {} removed meanwhile, {} files left behind\n",
      processes, kills, counters->loaded.load(), counters->compiled.load(), counters->removed.load(),
      leftover);
}

/// All processes want one new kernel at the same moment.
void compileOnce(const Cache &cache, int processes, bool killFirst) {
  fakeCompiler.milliseconds = 60;
  std::string expected = textOf(1000);
  (void)clearFolder(cache);
  counters->compiled = 0;
  int gate[2];
  if (::pipe(gate) != 0)
    return check("a pipe", false);
  std::vector<pid_t> workers;
  for (int i = 0; i < processes; ++i)
    workers.push_back(start([&] {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(gate[1]);
      char end;
      (void)!::read(gate[0], &end, 1); // until the other end is closed
      buildOne(cache, 1000, expected);
    }));
  CacheTurn turn;
  pid_t holder = 0;
  if (killFirst) { // one that has the turn and dies with it
    int ready[2];
    (void)!::pipe(ready);
    holder = start([&] {
      CacheKey key = *programKey(requestOf(1000), arch(), CubinNeed::No, Toolchain(), cache);
      CacheTurn mine = cache.takeTurn(key);
      char held = mine.lock.held();
      (void)!::write(ready[1], &held, 1);
      ::pause();
    });
    char held = 0;
    (void)!::read(ready[0], &held, 1);
    check("one process has the turn", held == 1);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ::close(gate[0]);
  ::close(gate[1]);
  if (killFirst) {
    ::usleep(30000);
    check("the others wait", counters->compiled == 0);
    ::kill(holder, SIGKILL);
    ::waitpid(holder, nullptr, 0);
  }
  for (pid_t worker : workers)
    ::waitpid(worker, nullptr, 0);
  check(killFirst ? "another compiles it once when the first is killed" : "a new kernel is compiled once",
        counters->compiled == 1 && counters->bad == 0,
        fmt::format("{} times; {}", counters->compiled.load(), counters->reason));
  fakeCompiler.milliseconds = 0;
}

} // namespace

int main(int argc, char **argv) {
  int processes = argc == 3 ? std::atoi(argv[1]) : 0, kills = argc == 3 ? std::atoi(argv[2]) : 0;
  if (processes < 2 || kills < 1)
    return fmt::print(stderr, "usage: cache_stress PROCESSES KILLS\n"), 2;
  counters =
      new (::mmap(nullptr, sizeof(Counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
          Counters();
  TempDir folder = std::move(*TempDir::make());
  Cache cache(folder.path() + "/cache");
  std::vector<std::string> expected;
  for (int number = 0; number < kernels; ++number)
    expected.push_back(textOf(number));
  killAtRandom(cache, expected, processes, kills);
  for (int round = 0; round < 3; ++round)
    compileOnce(cache, processes, false);
  compileOnce(cache, processes, true);
  fmt::print("{} passed, {} failed, 0 skipped\n", passes, failures);
  return failures ? 1 : 0;
}
