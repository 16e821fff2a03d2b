//===- Plans.cpp - plans of the C interface -------------------------------===//
#include "runtime/api/Plans.h"

#include "compiler/spec/SpecReader.h"
#include "runtime/api/Facts.h"
#include "runtime/api/Workers.h"

namespace attune::api {

attune_status readRequest(const attune_request *given, Request &request) {
  attune_request read = ATTUNE_REQUEST_INIT;
  constexpr size_t least = offsetof(attune_request, stage_name) + sizeof(const char *);
  if (attune_status status = readStruct(given, least, read, "a request"))
    return status;
  if (!read.spec)
    return fail(ATTUNE_NULL_POINTER,
                std::string("expected the JSON text of a spec in the request, got null"));
  Result<AttentionSpec> spec =
      readSpec(read.spec, read.spec_name && *read.spec_name ? read.spec_name : "spec");
  if (!spec)
    return fail(ATTUNE_INVALID_SPEC, spec.error());
  request.spec = std::move(*spec);
  request.shape = {read.batch, read.heads_q, read.heads_kv, read.length_q, read.length_kv};
  if (!read.stage && !read.stage_text)
    return ATTUNE_OK;
  if (!read.stage || !read.stage_text)
    return fail(ATTUNE_NULL_POINTER, fmt::format("expected a stage and its text together, got no {}",
                                                 read.stage ? "text" : "stage"));
  const NamedStage *named = findStage(read.stage);
  if (!named)
    return fail(
        ATTUNE_INVALID_ARGUMENT,
        fmt::format("expected a stage among attn, tile, thread, llvm, ptx and cuda, got '{}'", read.stage));
  request.stage = StageText{named->stage, read.stage_text,
                            read.stage_name && *read.stage_name ? read.stage_name : "stage"};
  request.target = named->target;
  return ATTUNE_OK;
}

static void planInto(const ContextState &context, const Request &request, PlanState &state) {
  Planner &planner = *context.planner;
  Target target = request.target.value_or(planner.options().target.value_or(Target::PTX));
  v1::Result<Plan> plan = request.stage ? planner.plan(request.spec, request.shape, *request.stage, target)
                                        : planner.plan(request.spec, request.shape);
  if (!plan) {
    state.error = plan.error();
    return;
  }
  for (const BoundArgument &array : plan->program.arrays()) {
    ArrayArgument &dense = state.dense.emplace_back(denseArray(array, plan->spec.layout));
    dense.isChecked = plan->program.takes(array, dense);
  }
  state.plan = std::move(*plan);
}

void makePlan(const ContextState &context, const Request &request, PlanState &state) noexcept {
  attune_status status = guarded([&] {
    planInto(context, request, state);
    return ATTUNE_OK;
  });
  if (status)
    state.error = {v1::ErrorCode(int(status)), attune_last_error()};
  // Under the lock, so that who is about to wait is not missed.
  std::lock_guard guard(state.lock);
  state.done.store(true, std::memory_order_release);
  state.wake.notify_all();
}

} // namespace attune::api

using namespace attune;
using namespace attune::api;

/// What became of a plan that is done.
static attune_status outcomeOf(const PlanState &state) { return state.plan ? ATTUNE_OK : fail(state.error); }

/// Gives `plan` what `make(request, state)` makes, or has begun to make; its status says what came of it.
template <typename Make>
static attune_status planBy(const attune_context *context, const attune_request *given, attune_plan **plan,
                            const Make &make) {
  if (attune_status status = checkPlace(plan, "plan"))
    return status;
  if (attune_status status = check(context))
    return status;
  return guarded([&] {
    Request request;
    if (attune_status status = readRequest(given, request))
      return status;
    auto state = std::make_shared<PlanState>();
    if (attune_status status = make(std::move(request), state))
      return status;
    *plan = Shells<attune_plan>::make(std::move(state));
    return ATTUNE_OK;
  });
}

attune_status attune_plan_create(const attune_context *context, const attune_request *given,
                                 attune_plan **plan) {
  return planBy(context, given, plan, [&](Request request, const std::shared_ptr<PlanState> &state) {
    makePlan(*context->state, request, *state);
    return outcomeOf(*state);
  });
}

attune_status attune_plan_start(const attune_context *context, const attune_request *given,
                                attune_plan **plan) {
  return planBy(context, given, plan, [&](Request request, const std::shared_ptr<PlanState> &state) {
    Workers::ofProcess().run(
        [in = context->state, request = std::move(request), state] { makePlan(*in, request, *state); });
    return ATTUNE_OK;
  });
}

attune_status attune_plan_wait(const attune_plan *plan, double seconds) {
  if (attune_status status = check(plan))
    return status;
  return guarded([&] {
    PlanState &state = *plan->state;
    auto isDone = [&] { return state.done.load(std::memory_order_acquire); };
    if (!isDone() && !waitFor(state.lock, state.wake, seconds, isDone))
      return fail(ATTUNE_NOT_READY, fmt::format("the plan is not ready after {} s", seconds));
    return outcomeOf(state);
  });
}

/// The status of a plan that is to be made by now.
static attune_status made(const attune_plan *plan) {
  attune_status status = check(plan);
  return status ? status : attune_plan_wait(plan, 0);
}

const char *attune_plan_facts(const attune_plan *plan) {
  if (made(plan))
    return nullptr;
  PlanState &state = *plan->state;
  attune_status status = guarded([&] {
    std::call_once(state.factsOnce, [&] { state.facts = factsOf(*state.plan, state.dense); });
    return ATTUNE_OK;
  });
  return status ? nullptr : state.facts.c_str();
}

const char *attune_plan_describe(const attune_plan *plan) {
  if (made(plan))
    return nullptr;
  PlanState &state = *plan->state;
  attune_status status = guarded([&] {
    std::call_once(state.textOnce, [&] {
      std::string text = describe(*state.plan);
      for (const std::string &note : state.plan->notes)
        text += fmt::format("{:<12} {}\n", "note", note);
      state.text = std::move(text);
    });
    return ATTUNE_OK;
  });
  return status ? nullptr : state.text.c_str();
}

size_t attune_plan_workspace_bytes(const attune_plan *plan) {
  return made(plan) ? 0 : plan->state->plan->program.workspaceBytes();
}

void attune_plan_destroy(attune_plan *plan) {
  guarded([&] {
    Shells<attune_plan>::destroy(plan);
    return ATTUNE_OK;
  });
}
