//===- RuntimeBundleTest.cpp - bundles of compiled programs ---------------===//
//
// Bundles that are whole run without a compiler; all others are refused, and never give a wrong kernel.
//
//===----------------------------------------------------------------------===//
#include "runtime/plan/Bundle.h"
#include "tests/unit/RuntimeApiSupport.h"

#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace attune;
using namespace attune::test;
using v1::ErrorCode;
namespace fs = std::filesystem;

namespace {

struct BundleSetup : Setup {
  std::string path = temporary.path() + "/kernels.attune";
  BundleContent content;

  /// Adds what the made-up compiler makes of the spec.
  void add(const char *name, const char *arch = "sm_80") {
    v1::Spec changed = spec;
    changed.name = name;
    ProgramRequest request{toInside(changed), Target::PTX, {}};
    BuildOptions build;
    build.arch = *findArch(arch);
    Toolchain none;
    Result<BuiltProgram> built = buildProgram(request, build, CubinNeed::No, none, Cache());
    REQUIRE(built);
    CacheKey key = *programKey(request, build.arch, CubinNeed::No, none, Cache());
    content.entries.emplace_back(bundleName(key), serializeEntry(toEntry(built->program, key)));
  }
  void write() { REQUIRE(writeBundle(path, content)); }
  /// A context on the bundle.
  v1::Result<v1::Context> opened(v1::Policy policy = v1::Policy::Default) {
    v1::Result<v1::Bundle> bundle = v1::Bundle::open(path);
    if (!bundle)
      return bundle.error();
    v1::ContextOptions on = options;
    on.bundle = *bundle;
    on.policy = policy;
    on.cacheFolder = "";
    return v1::Context::open(on);
  }
  v1::Result<v1::Plan> plan(const v1::Context &context, const char *name) {
    spec.name = name;
    return context.plan(spec, shape);
  }
};

std::string contentOf(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void put(const std::string &path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

} // namespace

TEST_CASE("bundle: its programs run without a compilation, and others are not compiled unless asked") {
  BundleSetup s;
  s.add("one");
  s.add("two");
  s.write();
  fakeCompiler.compilations = 0;
  v1::Result<v1::Context> context = s.opened();
  REQUIRE_MESSAGE(context, (context ? "" : context.error().message));
  for (const char *name : {"one", "two"}) {
    v1::Result<v1::Plan> plan = s.plan(*context, name);
    REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().message));
    CHECK(plan->info().fromCache);
    CHECK(has(plan->info().cacheFile, s.path + ": "));
    std::vector<uint16_t> q(2 * 4 * 65 * 16), o(q.size()), kv(2 * 2 * 33 * 16);
    for (size_t i = 0; i < q.size(); ++i)
      q[i] = uint16_t(i);
    v1::Array arrays[] = {{"q", q.data()}, {"k", kv.data()}, {"v", kv.data()}, {"o", o.data()}};
    REQUIRE(plan->run(arrays));
    CHECK(o == q);
  }
  v1::Result<v1::Plan> none = s.plan(*context, "three");
  REQUIRE(!none);
  CHECK(none.error().code == ErrorCode::NotCached);
  CHECK(has(none.error().message, "kernel 'three' for sm_80, target ptx, is not in " + s.path));
  CHECK(fakeCompiler.compilations == 0);
  CHECK(s.plan(*s.opened(v1::Policy::CompileIfMissing), "three"));
  CHECK(fakeCompiler.compilations == 1);
}

TEST_CASE("bundle: a program for another architecture is not taken, and the error says which there are") {
  BundleSetup s;
  s.add("one", "sm_90");
  s.write();
  v1::Result<v1::Plan> none = s.plan(*s.opened(), "one");
  REQUIRE(!none);
  CHECK(none.error().code == ErrorCode::NotCached);
  CHECK(has(none.error().message, "the bundle has it for sm_90"));
  s.options.arch = "sm_90";
  CHECK(s.plan(*s.opened(), "one"));
}

TEST_CASE("bundle: the schedule of the nearest shape is taken, and another serves where none was planned") {
  BundleSetup s;
  auto addSchedule = [&](int warps, int64_t length) {
    s.spec.schedule = {};
    s.spec.schedule.set("warps", warps);
    s.add("one");
    AttentionSpec planned = toInside(s.spec);
    planned.name = "one";
    s.content.plans.push_back({planned, {1, 4, 2, length, length}, "sm_80", Target::PTX, "measured, 12 us"});
    s.spec.schedule = {};
  };
  addSchedule(2, 64);
  addSchedule(4, 4096);
  s.write();
  v1::Result<v1::Context> context = s.opened();
  REQUIRE(context);
  s.shape = {1, 4, 2, 100, 100};
  v1::Result<v1::Plan> plan = s.plan(*context, "one");
  REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().message));
  CHECK(has(plan->info().why, "the bundle's, made for batch 1, 4 over 2 heads, 64 x 64: measured, 12 us"));
  s.shape = {1, 4, 2, 3000, 3000};
  CHECK(has(s.plan(*context, "one")->info().why, "4096 x 4096"));
  s.content.plans.clear();
  s.write();
  plan = s.plan(*s.opened(), "one");
  REQUIRE(plan);
  REQUIRE(plan->info().notes.size() == 1);
  CHECK(has(plan->info().notes[0], "the default schedule is not in the bundle"));
}

TEST_CASE("bundle: what is cut short, changed or of another version is refused") {
  BundleSetup s;
  s.add("one");
  s.write();
  std::string whole = contentOf(s.path);
  auto refusal = [&](std::string_view bytes) {
    put(s.path, bytes);
    v1::Result<v1::Bundle> bundle = v1::Bundle::open(s.path);
    if (bundle)
      return std::string();
    CHECK(bundle.error().code == ErrorCode::InvalidBundle);
    CHECK(bundle.error().message.starts_with(s.path + ": error: "));
    return bundle.error().message;
  };
  CHECK(refusal(whole) == "");
  for (size_t length = 0; length < whole.size(); length += length < 200 ? 1 : 97)
    CHECK(refusal(std::string_view(whole).substr(0, length)) != "");
  CHECK(has(refusal(std::string_view(whole).substr(0, whole.size() - 1)), "it is cut short: expected"));
  CHECK(refusal(whole + "x") != "");
  for (size_t at = 0; at < whole.size(); at += at < 300 ? 1 : 61) {
    std::string flipped = whole;
    flipped[at] = char(flipped[at] ^ (1 << (at % 8)));
    CAPTURE(at);
    CHECK(refusal(flipped) != "");
  }
  std::string later = whole;
  later.replace(later.find("bundle 1"), 8, "bundle 2");
  CHECK(has(refusal(later), "it has format 2, and attune"));
  CHECK(has(refusal("no bundle\n"), "it is no bundle of attune"));
  fs::remove(s.path);
  CHECK(has(v1::Bundle::open(s.path).error().message, "cannot open the bundle: No such file"));
  fs::create_directory(s.path);
  CHECK(has(v1::Bundle::open(s.path).error().message, "expected a regular file"));
}

TEST_CASE(
    "bundle: one that is replaced while it is open stays what it was; one that is changed is found out") {
  BundleSetup s;
  s.add("one");
  s.write();
  std::string whole = contentOf(s.path);
  v1::Result<v1::Context> context = s.opened();
  REQUIRE(context);
  put(s.path + ".new", "another file");
  fs::rename(s.path + ".new", s.path);
  CHECK(s.plan(*context, "one"));
  fs::remove(s.path);
  context->release();
  CHECK(s.plan(*context, "one"));

  auto changed = [&](std::string_view bytes, const std::string &part) {
    s.write();
    v1::Result<v1::Context> open = s.opened();
    REQUIRE(open);
    int file = ::open(s.path.c_str(), O_WRONLY);
    REQUIRE(::ftruncate(file, off_t(bytes.size())) == 0);
    REQUIRE(::pwrite(file, bytes.data(), bytes.size(), 0) == ssize_t(bytes.size()));
    ::close(file);
    v1::Result<v1::Plan> plan = s.plan(*open, "one");
    REQUIRE(!plan);
    CHECK(plan.error().code == ErrorCode::NotCached);
    CHECK(has(plan.error().message, part));
  };
  changed(std::string_view(whole).substr(0, whole.size() - 100), "cut short while it was open");
  std::string flipped = whole;
  flipped[whole.size() - 50] ^= 4;
  changed(flipped, "checksum");
  changed("", "cut short while it was open");
}

TEST_CASE("bundle: equal contents are equal files, and a file has them all") {
  BundleSetup s;
  s.add("one");
  s.add("two");
  s.write();
  std::string first = contentOf(s.path);
  std::swap(s.content.entries[0], s.content.entries[1]);
  s.write();
  CHECK(contentOf(s.path) == first);
  Result<std::shared_ptr<const Bundle>> bundle = Bundle::open(s.path);
  REQUIRE(bundle);
  CHECK((*bundle)->bytes() == first.size());
  CHECK((*bundle)->madeBy().starts_with("attune "));
  REQUIRE((*bundle)->items().size() == 2);
  for (const Bundle::Item &item : (*bundle)->items())
    CHECK((*bundle)->load(item));
}

#if !__has_feature(thread_sanitizer)
TEST_CASE("bundle: 64 processes open one at once") {
  BundleSetup s;
  s.add("one");
  s.write();
  fakeCompiler.compilations = 0;
  std::vector<pid_t> children;
  for (int i = 0; i < 64; ++i) {
    pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      v1::Result<v1::Context> context = s.opened();
      ::_exit(context && s.plan(*context, "one") && fakeCompiler.compilations == 0 ? 0 : 1);
    }
    children.push_back(child);
  }
  int good = 0;
  for (pid_t child : children) {
    int status = 1;
    good += ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  CHECK(good == 64);
}
#endif
