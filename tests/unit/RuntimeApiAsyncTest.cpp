//===- RuntimeApiAsyncTest.cpp - plans in the background ------------------===//
//
// Plans that are started and waited for, prewarming, and many threads that plan many specs.
//
//===----------------------------------------------------------------------===//
#include "tests/unit/RuntimeApiSupport.h"

#include <thread>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace attune;
using namespace attune::test;
using v1::ErrorCode;

namespace {

/// As many specs, each of which is another kernel.
std::vector<v1::Request> requestsOf(const Setup &s, size_t count) {
  std::vector<v1::Request> requests(count, {s.spec, s.shape});
  for (size_t i = 0; i < count; ++i)
    requests[i].spec.name = fmt::format("kernel{}", i);
  return requests;
}

} // namespace

TEST_CASE("api: eight threads that plan a hundred specs compile each once") {
  for (bool withCache : {true, false}) {
    CAPTURE(withCache);
    Setup s;
    if (!withCache)
      s.options.cacheFolder = "";
    v1::Context context = s.open();
    constexpr size_t count = 100;
    std::vector<v1::Request> requests = requestsOf(s, count);
    std::atomic<size_t> good = 0;
    std::vector<std::thread> threads;
    std::vector<v1::Plan> all[8]; // more than the context keeps
    for (size_t t = 0; t < 8; ++t)
      threads.emplace_back([&, t, &plans = all[t]] {
        for (size_t i = 0; i < count; ++i) {
          const v1::Request &request = requests[(i + t * 13) % count];
          v1::Result<v1::Plan> plan = context.plan(request.spec, request.shape);
          good += plan && plan->info().kernel == request.spec.name;
          if (plan)
            plans.push_back(*plan);
        }
      });
    for (std::thread &thread : threads)
      thread.join();
    CHECK(good == 8 * count);
    CHECK(fakeCompiler.compilations == int(count));
  }
}

TEST_CASE("api: a plan that is started returns at once, and can be waited for") {
  Setup s;
  v1::Context context = s.open();
  fakeCompiler.milliseconds = 300;
  StageClock clock;
  v1::Result<v1::Plan> plan = context.start(s.spec, s.shape);
  REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().message));
  CHECK(clock.lap() < 200);
  v1::Status early = plan->wait(0);
  REQUIRE(!early);
  CHECK(early.error().code == ErrorCode::NotReady);
  CHECK(plan->info().kernel.empty());
  CHECK(plan->describe().empty());
  CHECK(plan->launch(nullptr, someArguments(*plan)).error().code == ErrorCode::NotReady);
  CHECK(plan->wait(0.001).error().code == ErrorCode::NotReady);
  REQUIRE(plan->wait());
  CHECK(plan->info().kernel == "attention");
  CHECK(plan->wait(0));
  fakeCompiler.milliseconds = 0;

  // What cannot be planned is told by the wait, and by everybody who asks later.
  s.spec.softcap = 3;
  v1::Result<v1::Plan> bad = context.start(s.spec, s.shape);
  REQUIRE(bad);
  CHECK(bad->wait().error().code == ErrorCode::CompileFailed);
  CHECK(has(bad->wait(0).error().message, "no softcap"));
  CHECK(bad->launch(nullptr, v1::Arguments()).error().code == ErrorCode::CompileFailed);
  s.spec.headDimQk = 7;
  CHECK(context.start(s.spec, s.shape).error().code == ErrorCode::InvalidSpec);
}

TEST_CASE("api: plans in the background outlive the handles of those who asked") {
  Setup s;
  fakeCompiler.milliseconds = 30;
  std::vector<v1::Plan> kept; // until they are done, for the compiler is this test's
  {
    v1::Context context = s.open();
    for (const v1::Request &request : requestsOf(s, 20)) {
      REQUIRE(context.start(request.spec, request.shape));
      v1::Result<v1::Plan> again = context.start(request.spec, request.shape);
      REQUIRE(again);
      kept.push_back(*again);
    }
  }
  for (const v1::Plan &plan : kept)
    REQUIRE(plan.wait());
  CHECK(fakeCompiler.compilations == 20);
}

TEST_CASE("api: prewarming makes kernels that later plans find") {
  Setup s;
  v1::Context context = s.open();
  std::vector<v1::Request> requests = requestsOf(s, 100);
  fakeCompiler.milliseconds = 1;
  v1::Result<v1::Prewarm> prewarm = context.prewarm(requests, 8);
  REQUIRE_MESSAGE(prewarm, (prewarm ? "" : prewarm.error().message));
  REQUIRE(prewarm->wait());
  CHECK(prewarm->counts() == std::pair<size_t, size_t>(100, 0));
  CHECK(fakeCompiler.compilations == 100);
  for (const v1::Request &request : requests)
    CHECK(context.plan(request.spec, request.shape)->info().stageTimes.empty());
  CHECK(fakeCompiler.compilations == 100);

  requests.resize(10);
  for (size_t i = 0; i < 10; ++i)
    requests[i].spec.name = fmt::format("other{}", i);
  requests[4].spec.softcap = 3;
  prewarm = context.prewarm(requests);
  REQUIRE(prewarm);
  v1::Status one = prewarm->wait();
  REQUIRE(!one);
  CHECK(one.error().code == ErrorCode::CompileFailed);
  CHECK(has(one.error().message, "request 4: made up: no softcap"));
  CHECK(prewarm->counts() == std::pair<size_t, size_t>(9, 1));

  requests[4].spec.headDimV = 3;
  v1::Result<v1::Prewarm> refused = context.prewarm(requests);
  REQUIRE(!refused);
  CHECK(refused.error().code == ErrorCode::InvalidSpec);
  CHECK(has(refused.error().message, "request 4: "));
  CHECK(context.prewarm(requests, -1).error().code == ErrorCode::InvalidArgument);
  CHECK(context.prewarm({})->wait());

  // What has not begun is dropped with the last handle.
  fakeCompiler.milliseconds = 20;
  fakeCompiler.compilations = 0;
  requests = requestsOf(s, 100);
  for (v1::Request &request : requests)
    request.spec.name += "late";
  prewarm = context.prewarm(requests, 1);
  REQUIRE(prewarm);
  while (fakeCompiler.compilations == 0)
    std::this_thread::yield();
  prewarm = v1::Error{ErrorCode::NotReady, ""};
  CHECK(fakeCompiler.compilations < 20);
}

#if !__has_feature(thread_sanitizer)
TEST_CASE("api: a child that was forked plans on its own threads") {
  Setup s;
  v1::Context context = s.open();
  REQUIRE(context.start(s.spec, s.shape)->wait()); // the parent's threads are there
  pid_t child = ::fork();
  if (child == 0) {
    s.spec.name = "child";
    v1::Result<v1::Plan> plan = context.start(s.spec, s.shape);
    ::_exit(plan && plan->wait(30) ? 0 : 1);
  }
  int status = 1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
#endif

TEST_CASE("api: arrays of the host run whatever their strides, and what lies between stays") {
  Setup s;
  v1::Context context = s.open();
  v1::Plan plan = s.plan(context); // its kernel copies Q to O
  const v1::PlanInfo &info = plan.info();
  REQUIRE(info.arguments.size() == 4);
  const std::vector<int64_t> &shape = info.arguments[0].shape; // batch 2, heads 4, rows 65, dim 16
  size_t count = 2 * 4 * 65 * 16;
  std::vector<uint16_t> in(count);
  for (size_t i = 0; i < count; ++i)
    in[i] = uint16_t(i * 7 + 1);
  std::vector<uint16_t> kv(2 * 2 * 33 * 16, 1);
  struct Form {
    const char *what;
    std::vector<int64_t> strides;
    int64_t first;
  };
  int64_t rows = 65, dim = 16, heads = 4;
  for (const Form &form : {Form{"dense BHSD", {heads * rows * dim, rows * dim, dim, 1}, 0},
                           Form{"dims apart", {heads * rows * dim * 2, rows * dim * 2, dim * 2, 2}, 0},
                           Form{"rows of 19", {heads * rows * 19, rows * 19, 19, 1}, 0},
                           Form{"dims outermost", {rows, 2 * rows, 1, 2 * heads * rows}, 0},
                           Form{"backward", {heads * rows * dim, rows * dim, -dim, -1}, rows * dim - 1}}) {
    CAPTURE(std::string(form.what));
    int64_t span = 1 + form.first;
    for (size_t axis = 0; axis < 4; ++axis)
      span += std::max<int64_t>(form.strides[axis], 0) * (shape[axis] - 1);
    std::vector<uint16_t> q(size_t(span), 0xAAAA), o(size_t(span), 0xBBBB);
    std::vector<bool> used(o.size());
    auto each = [&](auto visit) {
      for (int64_t b = 0, n = 0; b < shape[0]; ++b)
        for (int64_t h = 0; h < shape[1]; ++h)
          for (int64_t r = 0; r < shape[2]; ++r)
            for (int64_t d = 0; d < shape[3]; ++d, ++n)
              visit(size_t(n), size_t(form.first + b * form.strides[0] + h * form.strides[1] +
                                      r * form.strides[2] + d * form.strides[3]));
    };
    each([&](size_t n, size_t at) {
      q[at] = in[n];
      used[at] = true;
    });
    v1::Array arrays[] = {
        {"q", q.data() + form.first, v1::DType::BF16, 4, shape.data(), form.strides.data()},
        {"k", kv.data(), v1::DType::BF16},
        {"v", kv.data(), v1::DType::BF16},
        {"o", o.data() + form.first, v1::DType::BF16, 4, shape.data(), form.strides.data()}};
    v1::Status ran = plan.run(arrays);
    REQUIRE_MESSAGE(ran, (ran ? "" : ran.error().message));
    size_t wrong = 0;
    each([&](size_t n, size_t at) { wrong += o[at] != in[n]; });
    for (size_t at = 0; at < o.size(); ++at)
      wrong += !used[at] && o[at] != 0xBBBB;
    CHECK(wrong == 0);
  }
}
