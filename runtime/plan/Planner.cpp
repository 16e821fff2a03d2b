//===- Planner.cpp - from a spec to a program that can be launched --------===//
#include "runtime/plan/Planner.h"

#include "runtime/cache/CacheFolder.h"
#include "runtime/plan/Planning.h"

#include <algorithm>

#include <fmt/format.h>

namespace attune {

using v1::ErrorCode;

ProgramMaker::~ProgramMaker() = default;

Planner::Planner(std::shared_ptr<Device> device, PlannerOptions options)
    : gpu(std::move(device)), about(std::move(options)) {
  about.mostPrograms = std::max<size_t>(about.mostPrograms, 1);
}

/// What answers the request, for a message: "kernel 'llama3' for sm_80, target ptx".
static std::string nameOf(const ProgramRequest &request, const Arch &arch) {
  return fmt::format("kernel '{}' for {}, target {}", request.stage ? request.stage->file : request.spec.name,
                     arch.name, nameOf(request.target));
}

/// Takes the program out of an entry, if the device loads it; what is wrong with it becomes a note.
bool Planner::take(Result<CacheEntry> entry, const std::string &from, BuiltProgram &built) const {
  std::string why;
  if (!entry) {
    why = entry.error().message;
  } else if (Result<CompiledProgram> program = programFrom(std::move(*entry)); !program) {
    why = fmt::format("{}: {}", from, program.error().message);
  } else if (Result<ImageChoice> image = chooseImage(*gpu, *program); !image) {
    why = fmt::format("{}: {}", from, image.error().message);
  } else {
    built.program = std::move(*program);
    built.fromCache = true;
    built.cacheFile = from;
    return true;
  }
  built.notes.push_back("cache entry not used: " + why);
  return false;
}

/// Whether what was compiled for some shape is what the request leaves open.
static bool mayServe(const ProgramRequest &request, const BuiltProgram &built) {
  return !request.stage && request.spec.schedule.agreesWith(built.program.mainKernel().schedule);
}

static std::string otherSchedule(const BuiltProgram &built, const char *where) {
  return fmt::format("the default schedule is not in the {}: {} was compiled for some shape", where,
                     built.program.mainKernel().schedule.words());
}

/// What the bundle has for the request, whoever made it.
bool Planner::fromBundle(const ProgramRequest &request, BuiltProgram &built) const {
  if (!about.bundle)
    return false;
  StageClock clock;
  CacheKey key = requestKey(request, gpu->info().arch);
  std::string hash = key.requestHash();
  for (const Bundle::Item *item : about.bundle->find(key)) {
    if (!take(about.bundle->load(*item), fmt::format("{}: {}", about.bundle->path(), item->name), built))
      continue;
    bool isExact = item->name.starts_with(hash);
    if (!isExact && !mayServe(request, built))
      continue;
    if (!isExact)
      built.notes.push_back(otherSchedule(built, "bundle"));
    built.times.emplace_back("bundle", clock.lap());
    return true;
  }
  return false;
}

/// The newest entry that answers the request and that the device loads, whoever made it.
bool Planner::fromCache(const ProgramRequest &request, BuiltProgram &built) const {
  StageClock clock;
  const Cache &cache = about.cache;
  CacheKey key = requestKey(request, gpu->info().arch);
  auto taken = [&](const std::string &file) {
    if (!take(cache.load(file), file, built))
      return false;
    built.times = {{"cache", clock.lap()}};
    return true;
  };
  for (const std::string &file : cache.filesFor(key.requestHash()))
    if (taken(file))
      return true;
  // What was compiled for a shape has a schedule that the spec leaves open: it computes the same.
  if (!request.stage && cache.enabled())
    for (const CacheFile &file : filesLike(cache, key, "schedule"))
      if (taken(file.path) && mayServe(request, built)) {
        built.notes.push_back(otherSchedule(built, "cache"));
        return true;
      }
  return false;
}

/// The error of a program that is nowhere.
v1::Error Planner::notThere(const ProgramRequest &request, const std::vector<std::string> &notes) const {
  const Arch &arch = gpu->info().arch;
  std::string places = about.cache.enabled() ? about.cache.folder() : "a cache (there is none)";
  if (about.bundle)
    places = fmt::format("{} or in {}", about.bundle->path(), places);
  std::string message = fmt::format(
      "{}, is not in {}, and nothing may compile it here; `attune compile SPEC --arch {} --emit "
      "cubin` puts it into the cache, or give the context a compiler and Policy::CompileIfMissing",
      nameOf(request, arch), places, arch.name);
  if (about.bundle) {
    std::string others;
    for (const Arch &other : allArchs())
      if (other.name != arch.name && !about.bundle->find(requestKey(request, other)).empty())
        others += (others.empty() ? "" : ", ") + std::string(other.name);
    if (!others.empty())
      message += fmt::format("\nthe bundle has it for {}", others);
    if (about.bundle->madeBy() != "attune " ATTUNE_VERSION)
      message +=
          fmt::format("\nthe bundle was made by {}, this is attune " ATTUNE_VERSION, about.bundle->madeBy());
  }
  for (const std::string &note : notes)
    message += "\n" + note;
  return {ErrorCode::NotCached, message};
}

v1::Result<BuiltProgram> Planner::make(const ProgramRequest &request) const {
  BuiltProgram found;
  if (about.policy != Policy::Recompile && fromBundle(request, found))
    return found;
  if (!about.maker || about.policy == Policy::CacheOnly) {
    if (fromCache(request, found))
      return found;
    return notThere(request, found.notes);
  }
  BuildOptions options;
  options.arch = gpu->info().arch;
  options.use = about.policy == Policy::Recompile ? CacheUse::Replace : CacheUse::LookUp;
  options.dump = about.dump;
  Result<BuiltProgram> built = about.maker->build(request, options, about.cache);
  if (!built)
    return failure(built.error().kind == ErrorKind::Missing ? ErrorCode::ToolMissing
                                                            : ErrorCode::CompileFailed,
                   built.error());
  built->notes.insert(built->notes.begin(), found.notes.begin(), found.notes.end());
  return std::move(*built);
}

/// The program, from this planner or made: once, however many threads ask at the same time.
Planner::Outcome Planner::programFor(const ProgramRequest &request, bool &wasThere) {
  std::string key = request.stage ? requestKey(request, gpu->info().arch).text()
                                  : fmt::format("{} {}", nameOf(request.target), codeKey(request.spec));
  std::promise<Outcome> promise;
  std::shared_future<Outcome> known;
  std::vector<Kept> dropped; // unloaded when the lock is no longer held
  {
    std::lock_guard guard(lock);
    auto [found, isNew] = programs.try_emplace(key);
    if (isNew) {
      order.push_front(key);
      found->second = {promise.get_future().share(), order.begin()};
      if (auto other = elsewhere.find(key); other != elsewhere.end()) {
        if (Loaded alive = other->second.lock()) {
          promise.set_value(std::move(alive));
          known = found->second.program;
        }
        elsewhere.erase(other);
      }
      for (auto oldest = order.end(); programs.size() > about.mostPrograms && oldest != order.begin();) {
        auto candidate = programs.find(*--oldest);
        // Who makes one takes it out himself if that fails; it must still be his.
        if (candidate->second.program.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
          continue;
        if (const Outcome &program = candidate->second.program.get())
          elsewhere[candidate->first] = *program;
        dropped.push_back(std::move(candidate->second));
        programs.erase(candidate);
        oldest = order.erase(oldest);
      }
      if (elsewhere.size() > 2 * about.mostPrograms)
        std::erase_if(elsewhere, [](const auto &one) { return one.second.expired(); });
    } else {
      known = found->second.program;
      order.splice(order.begin(), order, found->second.place);
    }
  }
  wasThere = known.valid();
  if (known.valid())
    return known.get();
  auto finish = [&](Outcome outcome) {
    if (!outcome) { // the next one who asks tries again
      std::lock_guard guard(lock);
      if (auto mine = programs.find(key); mine != programs.end()) {
        order.erase(mine->second.place);
        programs.erase(mine);
      }
    }
    promise.set_value(outcome);
    return outcome;
  };
  try {
    // Programs that are here were valid when they were made.
    if (!request.stage)
      if (Status valid = validate(request.spec); !valid)
        return finish(failure(ErrorCode::InvalidSpec, valid.error()));
    v1::Result<BuiltProgram> built = make(request);
    if (built && built->program.program().launches.empty())
      return finish(
          v1::Error{ErrorCode::CompileFailed,
                    fmt::format("{}: error: expected lines '//@ ...' that say what a launch takes, as "
                                "attune compile prints them behind a kernel's text, got none",
                                request.stage ? request.stage->file : request.spec.name)});
    return finish(built ? LoadedProgram::load(gpu, std::move(*built)) : Outcome(built.error()));
  } catch (...) {
    // Those who wait must not wait for ever.
    (void)finish(v1::Error{ErrorCode::CompileFailed, "the compiler ran out of memory"});
    throw;
  }
}

size_t Planner::kept() const {
  std::lock_guard guard(lock);
  return programs.size();
}

void Planner::release() {
  std::vector<Kept> dropped;
  std::lock_guard guard(lock);
  elsewhere.clear();
  for (auto place = order.begin(); place != order.end();) {
    auto found = programs.find(*place);
    if (found->second.program.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      ++place;
      continue;
    }
    dropped.push_back(std::move(found->second));
    programs.erase(found);
    place = order.erase(place);
  }
}

Plan Planner::finish(BoundProgram program, AttentionSpec spec, const ProblemShape &shape, std::string why,
                     bool wasThere) const {
  Plan plan{std::move(program), std::move(spec), shape, std::move(why), {}, {}};
  const BuiltProgram &built = plan.loaded().built();
  if (plan.why.empty())
    plan.why = built.program.text.why;
  plan.notes = built.notes;
  const Program &kernels = plan.loaded().program();
  for (size_t i = 0; i < kernels.kernels.size(); ++i) {
    std::string which =
        kernels.kernels.size() > 1 ? fmt::format("kernel '{}': ", kernels.kernels[i].name) : "";
    if (!built.program.reports.empty()) {
      const AssemblerReport &used = built.program.reports[i];
      if (used.spillStores + used.spillLoads > 0)
        plan.notes.push_back(fmt::format(
            "{}registers do not hold the kernel's values: {} bytes are stored and {} loaded again a "
            "thread; a smaller block_kv or block_q may be faster",
            which, used.spillStores, used.spillLoads));
    }
    int blocks = plan.loaded().kernels()[i].blocksPerSm;
    if (blocks >= 0 && blocks < kernels.kernels[i].minBlocksPerSm)
      plan.notes.push_back(fmt::format("{}{} blocks run on an SM at once, the schedule plans for {}", which,
                                       blocks, kernels.kernels[i].minBlocksPerSm));
  }
  if (!wasThere)
    plan.times = built.times;
  return plan;
}

v1::Result<Plan> Planner::plan(const AttentionSpec &spec, const ProblemShape &shape) {
  if (Status valid = validateShape(shape); !valid)
    return failure(ErrorCode::InvalidShape, valid.error());
  Decision decision = decide(spec, about.target, shape, gpu->info(), about.advisor);
  bool wasThere = false;
  Outcome loaded = programFor({decision.spec, decision.target, {}}, wasThere);
  if (!loaded && !decision.why.empty()) {
    undo(decision, spec, about.target, badInput(loaded.error().message));
    loaded = programFor({decision.spec, decision.target, {}}, wasThere);
  }
  if (!loaded)
    return loaded.error();
  v1::Result<BoundProgram> bound = BoundProgram::bind(*loaded, sizesOf(shape), captureNames(decision.spec));
  if (!bound)
    return bound.error();
  Plan plan = finish(std::move(*bound), std::move(decision.spec), shape, decision.why, wasThere);
  if (!decision.note.empty())
    plan.notes.push_back(decision.note);
  return plan;
}

v1::Result<Plan> Planner::plan(const AttentionSpec &spec, const ProblemShape &shape, const StageText &stage,
                               Target target) {
  if (Status valid = validateShape(shape); !valid)
    return failure(ErrorCode::InvalidShape, valid.error());
  bool wasThere = false;
  Outcome loaded = programFor({spec, target, stage}, wasThere);
  if (!loaded)
    return loaded.error();
  v1::Result<BoundProgram> bound = BoundProgram::bind(*loaded, sizesOf(shape), captureNames(spec));
  if (!bound)
    return bound.error();
  return finish(std::move(*bound), spec, shape, "from " + stage.file, wasThere);
}

std::string describe(const Plan &plan) {
  const LoadedProgram &loaded = plan.loaded();
  const CompiledProgram &compiled = loaded.built().program;
  std::string text;
  auto line = [&](const char *name, const std::string &value) {
    text += fmt::format("{:<12} {}\n", name, value);
  };
  line("kernel", fmt::format("{}, target {}, {}{}", compiled.text.name, nameOf(compiled.text.target),
                             compiled.text.arch.name, loaded.built().fromCache ? ", from the cache" : ""));
  line("schedule", fmt::format("{} ({})", compiled.mainKernel().schedule.words(), plan.why));
  const Program &program = loaded.program();
  for (size_t i = 0; i < program.kernels.size(); ++i) {
    const LoadedKernel &kernel = loaded.kernels()[i];
    std::string resources =
        kernel.registers >= 0
            ? fmt::format("{} registers", kernel.registers)
            : fmt::format("registers unknown{}", compiled.assembler.empty() ? " (ptxas was not found)" : "");
    if (!compiled.reports.empty() && compiled.reports[i].spillStores + compiled.reports[i].spillLoads > 0)
      resources += fmt::format(", spills {} + {} bytes", compiled.reports[i].spillStores,
                               compiled.reports[i].spillLoads);
    line(i ? "" : "resources",
         fmt::format("{}{}, {:.1f} KB of shared memory, {}",
                     program.kernels.size() > 1 ? program.kernels[i].name + ": " : "", resources,
                     program.kernels[i].sharedBytes / 1024.0,
                     kernel.blocksPerSm >= 0 ? fmt::format("{} blocks an SM", kernel.blocksPerSm)
                                             : std::string("occupancy unknown")));
  }
  for (size_t i = 0; i < plan.program.launches().size(); ++i) {
    const BoundLaunch &launch = plan.program.launches()[i];
    line(i ? "" : "launch",
         fmt::format("{}{} x {} x {} blocks of {} threads",
                     program.kernels.size() > 1 ? program.kernels[launch.kernel].name + ": " : "",
                     launch.grid.x, launch.grid.y, launch.grid.z, launch.block.x));
  }
  if (plan.program.workspaceBytes() > 0)
    line("workspace",
         fmt::format("{} bytes, {} of them zeroed", plan.program.workspaceBytes(), plan.program.zeroBytes()));
  const DeviceInfo &device = loaded.device().info();
  line("device", fmt::format("{} ({})", device.name, device.why));
  line("code", loaded.image().why);
  return text;
}

} // namespace attune
