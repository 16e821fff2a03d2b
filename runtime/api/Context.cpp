//===- Context.cpp - a device and the kernels planned on it ---------------===//
#include "runtime/api/State.h"

#include <fmt/format.h>

namespace attune::v1 {
namespace {

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

} // namespace

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
    return failure(device.error().kind == ErrorKind::Missing ? ErrorCode::NoDevice
                                                             : ErrorCode::InvalidOptions,
                   device.error());
  state->device = std::move(*device);
  state->about = toPublic(state->device->info());
  PlannerOptions planning;
  planning.cache = options.cacheFolder ? Cache(*options.cacheFolder) : Cache::ofUser();
  planning.maker = options.compiler ? &options.compiler->maker : nullptr;
  planning.policy = attune::Policy(int(options.policy));
  if (options.target)
    planning.target = *options.target == Target::PTX ? attune::Target::PTX : attune::Target::CUDA;
  planning.advisor = options.advisor    ? toInside(options.advisor)
                     : options.compiler ? options.compiler->advisor
                                        : attune::Advisor();
  planning.mostPrograms = options.mostPrograms;
  state->planner = std::make_unique<Planner>(state->device, std::move(planning));
  return Context(std::move(state));
}

const DeviceInfo &Context::device() const {
  static const DeviceInfo none;
  return state ? state->about : none;
}

const std::string &Context::cacheFolder() const {
  static const std::string none;
  return state ? state->planner->options().cache.folder() : none;
}

/// What the public interface tells of a plan.
static PlanInfo infoOf(const attune::Plan &plan) {
  const LoadedProgram &loaded = plan.loaded();
  const CompiledProgram &compiled = loaded.built().program;
  PlanInfo info;
  info.kernel = compiled.text.name;
  info.target = compiled.text.target == attune::Target::PTX ? Target::PTX : Target::CUDA;
  info.arch = compiled.text.arch.name;
  info.schedule = {compiled.mainKernel().schedule.family, compiled.mainKernel().schedule.values};
  info.why = plan.why;
  info.image = loaded.image().why;
  info.fromCache = loaded.built().fromCache;
  info.cacheFile = loaded.built().cacheFile;
  info.workspaceBytes = plan.program.workspaceBytes();
  for (const BoundLaunch &bound : plan.program.launches()) {
    LaunchInfo launch;
    launch.kernel = loaded.program().kernels[bound.kernel].name;
    for (size_t axis = 0; axis < 3; ++axis) {
      launch.grid[axis] = (&bound.grid.x)[axis];
      launch.block[axis] = (&bound.block.x)[axis];
    }
    launch.sharedBytes = bound.sharedBytes;
    info.launches.push_back(std::move(launch));
  }
  const LaunchInfo &first = info.launches.front();
  std::copy_n(first.grid, 3, info.grid);
  std::copy_n(first.block, 3, info.block);
  info.sharedBytes = first.sharedBytes;
  for (const BoundArgument &array : plan.program.arrays()) {
    const Argument &argument = *array.argument;
    info.arguments.push_back(
        {std::string(array.name), toPublic(argument.type),
         std::vector(array.shape.begin(), array.shape.begin() + long(argument.axes.size())), array.output,
         argument.optional, false});
  }
  for (const BoundArgument &scalar : plan.program.scalars())
    info.arguments.push_back(
        {std::string(scalar.name), toPublic(scalar.argument->type), {}, false, false, true});
  const LoadedKernel &kernel = loaded.kernels().front();
  info.registers = kernel.registers;
  info.blocksPerSm = kernel.blocksPerSm;
  info.notes = plan.notes;
  info.stageTimes = plan.times;
  return info;
}

static Plan::State stateOf(attune::Plan made) {
  Plan::State state{std::move(made), {}, {}};
  state.info = infoOf(state.plan);
  const std::vector<BoundArgument> &arrays = state.plan.program.arrays();
  for (size_t i = 0; i < namedArrays.size(); ++i) {
    state.places[i] = -1;
    for (size_t place = 0; place < arrays.size(); ++place)
      if (const Argument &one = *arrays[place].argument;
          one.name == namedArrays[i].name &&
          (namedArrays[i].isVector ? one.axes.size() == 1 : one.axes.size() >= 3))
        state.places[i] = int(place);
  }
  return state;
}

Result<Plan> Context::plan(const Spec &spec, const Shape &shape) const {
  if (!state)
    return emptyHandle("context");
  if (Status valid = checkEnumerators(spec); !valid)
    return valid.error();
  Result<attune::Plan> plan = state->planner->plan(toInside(spec), toInside(shape));
  if (!plan)
    return plan.error();
  return Plan(std::make_shared<const Plan::State>(stateOf(std::move(*plan))));
}

Result<Plan> Context::plan(const StageText &stage, const Shape &shape, const Spec &spec) const {
  if (!state)
    return emptyHandle("context");
  if (Status valid = checkEnumerators(spec); !valid)
    return valid.error();
  const NamedStage *named = findStage(stage.stage);
  if (!named)
    return Error{
        ErrorCode::InvalidArgument,
        fmt::format("expected a stage among attn, tile, thread, llvm, ptx and cuda, got '{}'", stage.stage)};
  attune::Target target = state->planner->options().target.value_or(attune::Target::PTX);
  if (named->target)
    target = *named->target;
  Result<attune::Plan> plan =
      state->planner->plan(toInside(spec), toInside(shape), {named->stage, stage.text, stage.file}, target);
  if (!plan)
    return plan.error();
  return Plan(std::make_shared<const Plan::State>(stateOf(std::move(*plan))));
}

void Context::release() const {
  if (state)
    state->planner->release();
}

Result<Buffer> Context::allocate(std::size_t bytes, std::string_view name) const {
  if (!state)
    return emptyHandle("context");
  attune::Result<DeviceBuffer> memory = DeviceBuffer::make(*state->device, bytes, name);
  if (!memory)
    return deviceFailure(memory.error(), memory.error().kind == ErrorKind::Missing ? ErrorCode::OutOfMemory
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
  return done ? Status(std::monostate()) : deviceFailure(done.error(), ErrorCode::DeviceFailed);
}

Status Context::copyOut(void *host, const void *device, std::size_t bytes, Stream stream) const {
  if (!state)
    return emptyHandle("context");
  if (bytes && (!device || !host))
    return Error{ErrorCode::NullPointer, "expected two addresses to copy between, got null"};
  attune::Status done = state->device->copyOut(host, addressOf(device), bytes, streamOf(stream));
  return done ? Status(std::monostate()) : deviceFailure(done.error(), ErrorCode::DeviceFailed);
}

Status Context::synchronize(Stream stream) const {
  if (!state)
    return emptyHandle("context");
  attune::Status done = state->device->synchronize(streamOf(stream));
  return done ? Status(std::monostate()) : deviceFailure(done.error(), ErrorCode::DeviceFailed);
}

void *Buffer::data() const { return state ? reinterpret_cast<void *>(state->memory.address()) : nullptr; }
std::size_t Buffer::size() const { return state ? state->memory.size() : 0; }

} // namespace attune::v1
