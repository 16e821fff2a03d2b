//===- Context.cpp - contexts of the C interface ----------------------===//
#include "compiler/spec/SpecReader.h"
#include "runtime/api/Facts.h"
#include "runtime/api/States.h"
#include "runtime/io/JsonObject.h"

using namespace attune;
using namespace attune::api;

/// What is asked for, or the status of what is wrong with it.
static attune_status read(const attune_context_options &options, DeviceOptions &device,
                          PlannerOptions &planning) {
  auto wrong = [](const char *what, int64_t least, int64_t most, int64_t got) {
    return fail(ATTUNE_INVALID_OPTIONS, fmt::format("expected {} in {}..{}, got {}", what, least, most, got));
  };
  if (options.policy < ATTUNE_POLICY_DEFAULT || options.policy > ATTUNE_POLICY_RECOMPILE)
    return wrong("an attune_policy", ATTUNE_POLICY_DEFAULT, ATTUNE_POLICY_RECOMPILE, options.policy);
  if (options.target < ATTUNE_TARGET_DEFAULT || options.target > ATTUNE_TARGET_CUDA)
    return wrong("an attune_target", ATTUNE_TARGET_DEFAULT, ATTUNE_TARGET_CUDA, options.target);
  if (options.sim_mode < ATTUNE_SIM_EAGER || options.sim_mode > ATTUNE_SIM_RANDOM)
    return wrong("an attune_sim_mode", ATTUNE_SIM_EAGER, ATTUNE_SIM_RANDOM, options.sim_mode);
  constexpr int mostThreads = 1024, mostMultiprocessors = 65535;
  if (options.sim_threads < 0 || options.sim_threads > mostThreads)
    return wrong("sim_threads", 0, mostThreads, options.sim_threads);
  if (options.sim_multiprocessors < 0 || options.sim_multiprocessors > mostMultiprocessors)
    return wrong("sim_multiprocessors", 0, mostMultiprocessors, options.sim_multiprocessors);
  if (options.device)
    device.which = options.device;
  if (options.arch)
    device.arch = options.arch;
  if (options.cuda_driver)
    device.cudaDriver = options.cuda_driver;
  device.sim.mode = options.sim_mode == ATTUNE_SIM_EAGER  ? SimOptions::Mode::Eager
                    : options.sim_mode == ATTUNE_SIM_LAZY ? SimOptions::Mode::Lazy
                                                          : SimOptions::Mode::Random;
  device.sim.seed = options.sim_seed;
  device.sim.threads = options.sim_threads;
  device.sim.checks = !options.sim_unchecked;
  device.sim.multiprocessors = options.sim_multiprocessors;

  planning.cache = options.cache_folder ? Cache(options.cache_folder) : Cache::ofUser();
  if (options.bundle) {
    if (attune_status status = check(options.bundle))
      return status;
    planning.bundle = options.bundle->state->bundle;
  }
  bool neverCompiles = options.policy == ATTUNE_POLICY_CACHE_ONLY ||
                       (options.policy == ATTUNE_POLICY_DEFAULT && planning.bundle);
  planning.policy = options.policy == ATTUNE_POLICY_RECOMPILE ? Policy::Recompile
                    : neverCompiles                           ? Policy::CacheOnly
                                                              : Policy::CompileIfMissing;
  if (options.target)
    planning.target = options.target == ATTUNE_TARGET_PTX ? Target::PTX : Target::CUDA;
  if (options.most_programs)
    planning.mostPrograms = options.most_programs;
  if (options.compiler) {
    planning.maker = &options.compiler->maker;
    planning.advisor = options.compiler->advisor;
  }
  if (planning.bundle)
    planning.advisor = [bundle = planning.bundle, target = planning.target, then = planning.advisor](
                           const AttentionSpec &spec, const ProblemShape &shape, const DeviceInfo &about) {
      std::optional<Advice> advice = bundle->advise(spec, target, shape, about);
      return advice || !then ? advice : then(spec, shape, about);
    };
  if (options.advisor) {
    if (attune_status status = check(options.advisor))
      return status;
    planning.advisor = [state = options.advisor->state](const AttentionSpec &spec, const ProblemShape &shape,
                                                        const DeviceInfo &about) {
      return state->advise(spec, shape, about);
    };
  }
  return ATTUNE_OK;
}

attune_status attune_context_open(const attune_context_options *given, attune_context **context) {
  if (attune_status status = checkPlace(context, "context"))
    return status;
  return guarded([&] {
    attune_context_options options = ATTUNE_CONTEXT_OPTIONS_INIT;
    constexpr size_t least = offsetof(attune_context_options, sim_multiprocessors) + sizeof(int32_t);
    if (given)
      if (attune_status status = readStruct(given, least, options, "the context's options"))
        return status;
    DeviceOptions device;
    PlannerOptions planning;
    if (attune_status status = read(options, device, planning))
      return status;
    Result<std::unique_ptr<Device>> opened =
        openDevice(device, options.simulator ? options.simulator->open : nullptr);
    if (!opened)
      return fail(opened.error().kind == ErrorKind::Missing ? ATTUNE_NO_DEVICE : ATTUNE_INVALID_OPTIONS,
                  opened.error());
    auto state = std::make_shared<ContextState>();
    state->device = std::move(*opened);
    state->facts = JsonObject()
                       .raw("device", factsOf(state->device->info()))
                       .text("cache_folder", planning.cache.folder())
                       .str();
    state->planner = std::make_unique<Planner>(state->device, std::move(planning));
    *context = Shells<attune_context>::make(std::move(state));
    return ATTUNE_OK;
  });
}

const char *attune_context_facts(const attune_context *context) {
  return check(context) ? nullptr : context->state->facts.c_str();
}

attune_status attune_context_release(const attune_context *context) {
  if (attune_status status = check(context))
    return status;
  return guarded([&] {
    context->state->planner->release();
    return ATTUNE_OK;
  });
}

void attune_context_destroy(attune_context *context) {
  guarded([&] {
    Shells<attune_context>::destroy(context);
    return ATTUNE_OK;
  });
}

attune_status attune_spec_read(const char *spec, const char *name, char **canonical) {
  if (attune_status status = checkPlace(canonical, "canonical spec"))
    return status;
  return guarded([&] {
    if (!spec)
      return fail(ATTUNE_NULL_POINTER, std::string("expected the JSON text of a spec, got null"));
    Result<AttentionSpec> read = readSpec(spec, name && *name ? name : "spec");
    if (!read)
      return fail(ATTUNE_INVALID_SPEC, read.error());
    *canonical = textOf(toJson(*read));
    return ATTUNE_OK;
  });
}
