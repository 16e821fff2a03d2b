//===- Prewarm.cpp - many plans in the background -------------------------===//
#include "compiler/spec/Json.h"
#include "runtime/api/Plans.h"
#include "runtime/api/Workers.h"
#include "runtime/io/JsonObject.h"

namespace attune::api {

/// Requests are taken in order; what came of each is written once.
struct PrewarmState {
  static constexpr uint64_t mark = 0x61747475'6e650005;
  static constexpr const char *word = "a prewarm";
  std::shared_ptr<ContextState> context;
  std::vector<Request> requests;
  std::vector<std::shared_ptr<PlanState>> plans; ///< as requests: they keep what they have planned loaded

  std::mutex lock;
  std::condition_variable wake;
  size_t begun = 0, ended = 0;
  bool dropped = false; ///< nothing more is begun

  size_t count() const { return requests.size(); }
  void run() {
    std::unique_lock guard(lock);
    while (!dropped && begun < count()) {
      size_t mine = begun++;
      guard.unlock();
      makePlan(*context, requests[mine], *plans[mine]);
      guard.lock();
      ++ended;
      wake.notify_all();
    }
  }
};

} // namespace attune::api

using namespace attune;
using namespace attune::api;

struct attune_prewarm : Shell<PrewarmState> {};

attune_status attune_prewarm_start(const attune_context *context, const attune_request *requests,
                                   size_t count, int32_t threads, attune_prewarm **prewarm) {
  if (attune_status status = checkPlace(prewarm, "prewarm"))
    return status;
  if (attune_status status = check(context))
    return status;
  return guarded([&] {
    if (threads < 0 || size_t(threads) > Workers::most())
      return fail(ATTUNE_INVALID_ARGUMENT,
                  fmt::format("expected a number of threads in 0..{}, got {}", Workers::most(), threads));
    if (count && !requests)
      return fail(ATTUNE_NULL_POINTER, fmt::format("expected {} requests, got null", count));
    auto state = std::make_shared<PrewarmState>();
    state->context = context->state;
    state->requests.resize(count);
    const char *next = reinterpret_cast<const char *>(requests);
    for (size_t i = 0; i < count; ++i, next += requests->size) {
      auto *request = reinterpret_cast<const attune_request *>(next);
      if (request->size != requests->size)
        return fail(ATTUNE_INVALID_ARGUMENT,
                    fmt::format("request {}: expected the size of the first one ({}), got {}", i,
                                requests->size, request->size));
      if (attune_status status = readRequest(request, state->requests[i]))
        return fail(status, fmt::format("request {}: {}", i, std::string(attune_last_error())));
      state->plans.push_back(std::make_shared<PlanState>());
    }
    size_t runners = threads ? size_t(threads) : std::min<size_t>(8, std::thread::hardware_concurrency());
    for (size_t i = 0; i < std::min(std::max<size_t>(runners, 1), count); ++i)
      Workers::ofProcess().run([state] { state->run(); });
    *prewarm = Shells<attune_prewarm>::make(std::move(state));
    return ATTUNE_OK;
  });
}

attune_status attune_prewarm_wait(const attune_prewarm *prewarm, double seconds) {
  if (attune_status status = check(prewarm))
    return status;
  return guarded([&] {
    PrewarmState &state = *prewarm->state;
    if (!waitFor(state.lock, state.wake, seconds, [&] { return state.ended == state.count(); }))
      return fail(ATTUNE_NOT_READY, fmt::format("{} of {} plans are not ready after {} s",
                                                state.count() - state.ended, state.count(), seconds));
    for (size_t i = 0; i < state.count(); ++i)
      if (!state.plans[i]->plan)
        return fail(attune_status(int(state.plans[i]->error.code)),
                    fmt::format("request {}: {}", i, state.plans[i]->error.message));
    return ATTUNE_OK;
  });
}

attune_status attune_prewarm_facts(const attune_prewarm *prewarm, char **facts) {
  if (attune_status status = checkPlace(facts, "facts"))
    return status;
  if (attune_status status = check(prewarm))
    return status;
  return guarded([&] {
    const PrewarmState &state = *prewarm->state;
    size_t ready = 0;
    std::vector<std::string> errors;
    for (size_t i = 0; i < state.count(); ++i) {
      const PlanState &plan = *state.plans[i];
      if (!plan.done.load(std::memory_order_acquire))
        continue;
      if (plan.plan)
        ++ready;
      else
        errors.push_back(JsonObject()
                             .whole("request", int64_t(i))
                             .text("status", v1::nameOf(plan.error.code))
                             .text("message", plan.error.message)
                             .str());
    }
    *facts = textOf(JsonObject()
                        .whole("requests", int64_t(state.count()))
                        .whole("ready", int64_t(ready))
                        .whole("failed", int64_t(errors.size()))
                        .raw("errors", jsonList(errors))
                        .str());
    return ATTUNE_OK;
  });
}

void attune_prewarm_destroy(attune_prewarm *prewarm) {
  guarded([&] {
    if (!prewarm || prewarm->mark != PrewarmState::mark)
      return ATTUNE_OK;
    PrewarmState &state = *prewarm->state;
    {
      std::unique_lock guard(state.lock);
      state.dropped = true;
      state.wake.wait(guard, [&] { return state.ended == state.begun; });
    }
    Shells<attune_prewarm>::destroy(prewarm);
    return ATTUNE_OK;
  });
}
