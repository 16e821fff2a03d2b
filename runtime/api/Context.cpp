//===- Context.cpp - a device and the kernels planned on it ---------------===//
#include "runtime/api/State.h"

#include "runtime/io/File.h"
#include "runtime/launch/ForwardLaunch.h"

#include <fmt/format.h>

namespace attune::v1 {
namespace {

Error codeFor(ErrorCode code, const attune::Error &error) { return {code, error.message}; }

/// A device's refusal: what the simulator's checkers or the GPU found in a kernel comes first.
Error deviceError(const attune::Error &error, ErrorCode otherwise) {
  return {error.kind == ErrorKind::Verification ? ErrorCode::KernelFault : otherwise, error.message};
}

Error emptyHandle(const char *what) {
  return {ErrorCode::EmptyHandle, fmt::format("expected a {}, got one that was moved from", what)};
}

/// Values that no enumerator names, as a cast from a number gives them.
Status checkEnumerators(const Spec &spec) {
  std::string wrong;
  auto check = [&](const char *name, auto value, auto last) {
    if (int(value) < 0 || value > last)
      wrong += fmt::format("{}error: expected an enumerator of {}, got {}", wrong.empty() ? "" : "\n", name,
                           int(value));
  };
  check("DType", spec.dtype, DType::BF16);
  check("Layout", spec.layout, Layout::BHSD);
  for (const MaskTerm &term : spec.mask)
    check("MaskAlign", term.align, MaskAlign::BottomRight);
  return wrong.empty() ? Status(std::monostate()) : Error{ErrorCode::InvalidSpec, wrong};
}

DeviceOptions deviceOptions(const ContextOptions &options) {
  DeviceOptions device;
  device.which = options.device;
  device.arch = options.arch;
  device.cudaDriver = options.cudaDriver;
  const Simulation &sim = options.simulation;
  device.sim.mode = sim.mode == Simulation::Mode::Eager  ? SimOptions::Mode::Eager
                    : sim.mode == Simulation::Mode::Lazy ? SimOptions::Mode::Lazy
                                                         : SimOptions::Mode::Random;
  device.sim.seed = sim.seed;
  device.sim.threads = sim.threads;
  device.sim.checks = sim.checks;
  return device;
}

/// The newest entry that answers the request and that the device loads, whoever made it.
Result<BuiltProgram> fromCache(const Context::State &context, const AttentionSpec &spec,
                               attune::Target target) {
  StageClock clock;
  const Arch &arch = context.device->info().arch;
  CacheKey request = requestKey(spec, arch, target);
  BuiltProgram built;
  for (const std::string &file : context.cache.filesFor(request.requestHash())) {
    attune::Result<CacheEntry> entry = context.cache.load(file);
    std::string why;
    if (!entry) {
      why = entry.error().message;
    } else if (!entry->key.starts_with(request.text())) {
      why = fmt::format("{}: it was written for another key", file);
    } else if (attune::Result<CompiledProgram> kernel = programFrom(std::move(*entry)); !kernel) {
      why = fmt::format("{}: {}", file, kernel.error().message);
    } else if (attune::Result<ImageChoice> image = chooseImage(*context.device, *kernel); !image) {
      why = fmt::format("{}: {}", file, image.error().message);
    } else {
      built.kernel = std::move(*kernel);
      built.fromCache = true;
      built.cacheFile = file;
      built.times.emplace_back("cache", clock.lap());
      return built;
    }
    built.notes.push_back("cache entry not used: " + why);
  }
  std::string message = fmt::format(
      "kernel '{}' for {}, target {}, is not in {}, and nothing may compile it here; `attune compile SPEC "
      "--arch "
      "{} --emit cubin` puts it there, or give the context a compiler and Policy::CompileIfMissing",
      spec.name, arch.name, attune::nameOf(target),
      context.cache.enabled() ? context.cache.folder() : "a cache (there is none)", arch.name);
  for (const std::string &note : built.notes)
    message += "\n" + note;
  return Error{ErrorCode::NotCached, message};
}

Result<BuiltProgram> makeKernel(const Context::State &context, const AttentionSpec &spec,
                                attune::Target target) {
  const ContextOptions &options = context.options;
  if (!options.compiler || options.policy == Policy::CacheOnly)
    return fromCache(context, spec, target);
  attune::Result<BuiltProgram> built = options.compiler->build(
      spec, context.device->info().arch, target, context.cache, options.policy == Policy::Recompile);
  if (!built)
    return codeFor(built.error().kind == ErrorKind::Missing ? ErrorCode::ToolMissing
                                                            : ErrorCode::CompileFailed,
                   built.error());
  return std::move(*built);
}

/// Puts a kernel on the device.
Result<std::shared_ptr<const LoadedKernel>> load(const Context::State &context, BuiltProgram built) {
  Device &device = *context.device;
  auto loaded = std::make_shared<LoadedKernel>();
  loaded->device = context.device;
  const CompiledProgram &kernel = built.kernel;
  attune::Result<ImageChoice> image = chooseImage(device, kernel);
  if (!image)
    return codeFor(ErrorCode::LoadFailed, image.error());
  loaded->image = *image;
  StageClock clock;
  std::string name = kernel.text.name + (image->kind == ImageKind::Cubin ? ".cubin" : ".ptx");
  ModuleImage code{image->kind, image->kind == ImageKind::Cubin ? kernel.cubin : kernel.ptx, name, {}};
  if (!kernel.text.tileText.empty())
    code.sources.push_back({"", kernel.text.tileText});
  attune::Result<Module> module = device.loadModule(code);
  if (!module)
    return deviceError(module.error(), ErrorCode::LoadFailed);
  loaded->module = *module;
  loaded->isLoaded = true;
  attune::Result<Kernel> entry = device.kernel(*module, kernel.text.name, uint32_t(kernel.text.sharedBytes));
  if (!entry)
    return deviceError(entry.error(), ErrorCode::LoadFailed);
  loaded->entry = *entry;
  loaded->registers = entry->registers >= 0 ? entry->registers
                      : kernel.resources    ? kernel.resources->registers
                                            : -1;
  loaded->blocksPerSm =
      device.blocksPerSm(*entry, kernel.text.threads).value_or(kernel.blocksPerSm().value_or(-1));
  built.times.emplace_back("load", clock.lap());
  // What was only needed to load it would stay in memory as long as the kernel.
  built.kernel.cubin.clear();
  built.kernel.text.text.clear();
  built.kernel.text.tileText.clear();
  built.kernel.ptx.clear();
  built.kernel.log.clear();
  loaded->built = std::move(built);
  return std::shared_ptr<const LoadedKernel>(std::move(loaded));
}

using Outcome = Result<std::shared_ptr<const LoadedKernel>>;

/// The kernel of `spec`, from this context or made: once, however many threads ask at the same time.
Outcome kernelFor(Context::State &context, const AttentionSpec &spec, attune::Target target, bool *wasThere) {
  std::string key = fmt::format("{} {}", attune::nameOf(target), codeKey(spec));
  std::promise<Outcome> promise;
  std::shared_future<Outcome> known;
  {
    std::lock_guard guard(context.lock);
    auto [place, isNew] = context.kernels.try_emplace(key);
    if (isNew)
      place->second = promise.get_future().share();
    else
      known = place->second;
  }
  *wasThere = known.valid();
  if (known.valid())
    return known.get();
  auto finish = [&](Outcome outcome) {
    if (!outcome) { // the next one who asks tries again
      std::lock_guard guard(context.lock);
      context.kernels.erase(key);
    }
    promise.set_value(outcome);
    return outcome;
  };
  try {
    // Kernels that this context has were valid when they were made.
    if (attune::Status valid = validate(spec); !valid)
      return finish(codeFor(ErrorCode::InvalidSpec, valid.error()));
    Result<BuiltProgram> built = makeKernel(context, spec, target);
    return finish(built ? load(context, std::move(*built)) : Outcome(built.error()));
  } catch (...) {
    // Those who wait must not wait for ever.
    (void)finish(Error{ErrorCode::CompileFailed, "the compiler ran out of memory"});
    throw;
  }
}

} // namespace

LoadedKernel::~LoadedKernel() {
  // An error here can only repeat one that an earlier call has reported.
  if (isLoaded)
    (void)bool(device->unloadModule(module));
}

Result<Context> Context::open(const ContextOptions &options) {
  auto state = std::make_shared<State>();
  if (options.policy != Policy::CompileIfMissing && options.policy != Policy::CacheOnly &&
      options.policy != Policy::Recompile)
    return Error{ErrorCode::InvalidOptions, "expected an enumerator of Policy"};
  if (options.target && *options.target != Target::PTX && *options.target != Target::CUDA)
    return Error{ErrorCode::InvalidOptions, "expected an enumerator of Target"};
  attune::Result<std::unique_ptr<Device>> device =
      openDevice(deviceOptions(options), options.simulator ? options.simulator->open : nullptr);
  if (!device)
    return codeFor(device.error().kind == ErrorKind::Missing ? ErrorCode::NoDevice
                                                             : ErrorCode::InvalidOptions,
                   device.error());
  state->options = options;
  state->device = std::move(*device);
  state->cache = options.cacheFolder ? Cache(*options.cacheFolder) : Cache::ofUser();
  state->about = toPublic(state->device->info());
  state->advisor = toInside(options.advisor);
  return Context(std::move(state));
}

const DeviceInfo &Context::device() const {
  static const DeviceInfo none;
  return state ? state->about : none;
}

const std::string &Context::cacheFolder() const {
  static const std::string none;
  return state ? state->cache.folder() : none;
}

Result<Plan> Context::plan(const Spec &publicSpec, const Shape &publicShape) const {
  if (!state)
    return emptyHandle("context");
  if (Status valid = checkEnumerators(publicSpec); !valid)
    return valid.error();
  AttentionSpec spec = toInside(publicSpec);
  ProblemShape shape = toInside(publicShape);
  if (attune::Status valid = validateShape(shape); !valid)
    return codeFor(ErrorCode::InvalidShape, valid.error());
  std::optional<attune::Target> target;
  if (state->options.target)
    target = *state->options.target == Target::PTX ? attune::Target::PTX : attune::Target::CUDA;
  Decision decision = decide(spec, target, shape, state->device->info(), state->advisor);
  bool wasThere = false;
  Outcome kernel = kernelFor(*state, decision.spec, decision.target, &wasThere);
  if (!kernel && !decision.why.empty()) {
    undo(decision, spec, target, attune::badInput(kernel.error().message));
    kernel = kernelFor(*state, decision.spec, decision.target, &wasThere);
  }
  if (!kernel)
    return kernel.error();
  const LoadedKernel &loaded = **kernel;
  const KernelText &text = loaded.built.kernel.text;

  auto plan = std::make_shared<Plan::State>();
  plan->kernel = *kernel;
  plan->spec = std::move(decision.spec);
  plan->problem.batch = int(shape.batch);
  plan->problem.headsQ = int(shape.headsQ);
  plan->problem.headsKv = int(shape.headsKv);
  plan->problem.lengthQ = int(shape.lengthQ);
  plan->problem.lengthKv = int(shape.lengthKv);
  plan->grid = forwardGrid(text.schedule, plan->problem);
  plan->block = {uint32_t(text.threads), 1, 1};
  plan->deviceLine = fmt::format("{} ({})", state->about.name, state->about.why);
  PlanInfo &info = plan->info;
  info.kernel = text.name;
  info.target = text.target == attune::Target::PTX ? Target::PTX : Target::CUDA;
  info.arch = text.arch.name;
  info.blockQ = text.schedule.blockQ;
  info.blockKv = text.schedule.blockKv;
  info.stages = text.schedule.stages;
  info.warps = text.schedule.warps;
  info.why = decision.why.empty() ? text.why : decision.why;
  info.image = loaded.image.why;
  info.fromCache = loaded.built.fromCache;
  info.cacheFile = loaded.built.cacheFile;
  for (size_t i = 0; i < 3; ++i) {
    info.grid[i] = (&plan->grid.x)[i];
    info.block[i] = (&plan->block.x)[i];
  }
  info.sharedBytes = uint32_t(text.sharedBytes);
  info.registers = loaded.registers;
  info.blocksPerSm = loaded.blocksPerSm;
  info.notes = loaded.built.notes;
  if (!decision.note.empty())
    info.notes.push_back(decision.note);
  if (!wasThere)
    info.stageTimes = loaded.built.times;
  return Plan(std::move(plan));
}

Result<Buffer> Context::allocate(std::size_t bytes, std::string_view name) const {
  if (!state)
    return emptyHandle("context");
  attune::Result<DeviceBuffer> memory = DeviceBuffer::make(*state->device, bytes, name);
  if (!memory)
    return deviceError(memory.error(), memory.error().kind == ErrorKind::Missing ? ErrorCode::OutOfMemory
                                                                                 : ErrorCode::DeviceFailed);
  auto buffer = std::make_shared<Buffer::State>();
  buffer->device = state->device;
  buffer->memory = std::move(*memory);
  return Buffer(std::move(buffer));
}

Status Context::copyIn(void *device, const void *host, std::size_t bytes, Stream stream) const {
  if (!state)
    return emptyHandle("context");
  if (bytes && (!device || !host))
    return Error{ErrorCode::NullPointer, "expected two addresses to copy between, got null"};
  attune::Status done = state->device->copyIn(addressOf(device), host, bytes, streamOf(stream));
  return done ? Status(std::monostate()) : deviceError(done.error(), ErrorCode::DeviceFailed);
}

Status Context::copyOut(void *host, const void *device, std::size_t bytes, Stream stream) const {
  if (!state)
    return emptyHandle("context");
  if (bytes && (!device || !host))
    return Error{ErrorCode::NullPointer, "expected two addresses to copy between, got null"};
  attune::Status done = state->device->copyOut(host, addressOf(device), bytes, streamOf(stream));
  return done ? Status(std::monostate()) : deviceError(done.error(), ErrorCode::DeviceFailed);
}

Status Context::synchronize(Stream stream) const {
  if (!state)
    return emptyHandle("context");
  attune::Status done = state->device->synchronize(streamOf(stream));
  return done ? Status(std::monostate()) : deviceError(done.error(), ErrorCode::DeviceFailed);
}

void *Buffer::data() const { return state ? reinterpret_cast<void *>(state->memory.address()) : nullptr; }
std::size_t Buffer::size() const { return state ? state->memory.size() : 0; }

} // namespace attune::v1
