//===- Runner.cpp - from a spec and arrays to outputs ---------------------===//
#include "runtime/launch/Runner.h"

#include "runtime/plan/Planning.h"
#include "runtime/reference/Compare.h"

#include <algorithm>
#include <array>
#include <bit>

#include <fmt/format.h>

namespace attune {
namespace {

using reference::Problem;

/// Device memory of an output, filled with a pattern that no kernel writes.
template <typename T>
Status poison(Device &device, const DeviceBuffer &buffer, std::vector<T> &host, T pattern) {
  std::fill(host.begin(), host.end(), pattern);
  return device.copyIn(buffer.address(), host.data(), host.size() * sizeof(T));
}

} // namespace

Result<Plan> planKernel(Device &device, const Toolchain &tools, const Cache &cache, const AttentionSpec &spec,
                        std::optional<Target> target, const Problem &problem, const DumpSink &dump,
                        const Advisor &advisor) {
  if (Status valid = validateProblem(spec, problem); !valid)
    return valid.error();
  Plan plan;
  plan.device = device.info();
  Decision decision = decide(spec, target, shapeOf(problem), plan.device, advisor);
  CompileOptions options;
  options.arch = plan.device.arch;
  options.dump = dump;
  auto build = [&] {
    options.target = decision.target;
    return buildProgram(decision.spec, options, CubinNeed::IfPossible, tools, cache);
  };
  Result<BuiltProgram> built = build();
  if (!built && !decision.why.empty()) {
    undo(decision, spec, target, built.error());
    built = build();
  }
  if (!built)
    return built.error();
  plan.built = std::move(*built);
  if (!decision.why.empty())
    plan.built.kernel.text.why = decision.why;
  const CompiledProgram &kernel = plan.built.kernel;
  if (!decision.note.empty())
    plan.built.notes.push_back(decision.note);
  Result<ImageChoice> image = chooseImage(device, kernel);
  if (!image)
    return image.error();
  plan.image = image->kind;
  plan.imageWhy = image->why;
  plan.grid = forwardGrid(kernel.text.schedule, problem);
  plan.block = {uint32_t(kernel.text.threads), 1, 1};
  if (const std::optional<AssemblerReport> &used = kernel.resources) {
    plan.registers = used->registers;
    plan.blocksPerSm = *kernel.blocksPerSm();
    if (used->spillStores + used->spillLoads > 0)
      plan.built.notes.push_back(
          fmt::format("registers do not hold the kernel's values: {} bytes are stored and {} "
                      "loaded again a thread; a smaller block_kv or block_q may be faster",
                      used->spillStores, used->spillLoads));
    if (plan.blocksPerSm < kernel.text.minBlocksPerSm)
      plan.built.notes.push_back(fmt::format("{} blocks run on an SM at once, the schedule plans for {}",
                                             plan.blocksPerSm, kernel.text.minBlocksPerSm));
  }
  return plan;
}

Result<RunResult> runAttention(Device &device, const Toolchain &tools, const Cache &cache,
                               const RunRequest &request) {
  const AttentionSpec &spec = request.spec;
  const Problem &problem = request.problem;
  Result<Plan> planned =
      planKernel(device, tools, cache, spec, request.target, problem, request.dump, request.advisor);
  if (!planned)
    return planned.error();
  SpanLengths lengths = spanLengths(spec, problem);
  struct Input {
    const char *name;
    std::span<const uint16_t> data;
    int64_t wanted;
  };
  const Input inputs[] = {
      {"q", request.q, lengths.q}, {"k", request.k, lengths.k}, {"v", request.v, lengths.v}};
  for (const Input &input : inputs)
    if (int64_t(input.data.size()) < input.wanted)
      return badInput(fmt::format("expected at least {} elements of {} for this problem, got {}",
                                  input.wanted, input.name, input.data.size()));

  RunResult result;
  result.plan = std::move(*planned);
  Plan &plan = result.plan;
  const CompiledProgram &kernel = plan.built.kernel;
  result.times = plan.built.times;
  result.notes = plan.built.notes;
  StageClock clock;
  ModuleImage image;
  image.kind = plan.image;
  image.bytes = plan.image == ImageKind::Cubin ? kernel.cubin : kernel.ptx;
  std::string name = kernel.text.name + (plan.image == ImageKind::Cubin ? ".cubin" : ".ptx");
  image.name = name;
  if (kernel.text.target == Target::CUDA) {
    image.sources.push_back({kernel.text.name + ".cu", kernel.text.text});
    for (const NamedText &header : templateHeaders())
      image.sources.push_back({header.name, header.text});
  } else if (!kernel.text.tileText.empty()) {
    image.sources.push_back({"", kernel.text.tileText});
  }
  Result<Module> module = device.loadModule(image);
  if (!module)
    return module.error();
  struct Unload {
    Device &device;
    Module module;
    ~Unload() { (void)bool(device.unloadModule(module)); }
  } unload{device, *module};
  Result<Kernel> entry = device.kernel(*module, kernel.text.name, uint32_t(kernel.text.sharedBytes));
  if (!entry)
    return entry.error();
  if (entry->registers >= 0)
    plan.registers = entry->registers;
  if (std::optional<int> blocks = device.blocksPerSm(*entry, kernel.text.threads))
    plan.blocksPerSm = *blocks;
  result.times.emplace_back("load", clock.lap());

  std::array<DeviceBuffer, 3> buffers;
  for (size_t i = 0; i < 3; ++i) {
    size_t bytes = size_t(inputs[i].wanted) * sizeof(uint16_t);
    Result<DeviceBuffer> buffer = DeviceBuffer::make(device, bytes, inputs[i].name);
    if (!buffer)
      return buffer.error();
    if (Status copied = device.copyIn(buffer->address(), inputs[i].data.data(), bytes); !copied)
      return copied.error();
    buffers[i] = std::move(*buffer);
  }
  result.o.resize(size_t(lengths.o));
  result.lse.resize(spec.lse ? size_t(lengths.lse) : 0);
  Result<DeviceBuffer> o = DeviceBuffer::make(device, result.o.size() * sizeof(uint16_t), "o");
  Result<DeviceBuffer> lse = DeviceBuffer::make(device, result.lse.size() * sizeof(float), "lse");
  if (!o || !lse)
    return o ? lse.error() : o.error();
  Status poisoned = poison(device, *o, result.o, reference::unwritten16);
  if (poisoned && spec.lse)
    poisoned = poison(device, *lse, result.lse, std::bit_cast<float>(reference::unwritten32));
  if (poisoned)
    poisoned = device.synchronize();
  if (!poisoned)
    return poisoned.error();
  result.times.emplace_back("copy in", clock.lap());

  ForwardParams params =
      forwardParams(problem, {buffers[0].address(), buffers[1].address(), buffers[2].address(), o->address(),
                              spec.lse ? lse->address() : 0});
  Launch launch{*entry, plan.grid, plan.block, uint32_t(kernel.text.sharedBytes),
                std::as_bytes(std::span(&params, 1))};
  Status launched = device.launch(launch);
  if (launched)
    launched = device.synchronize();
  result.counters = device.lastCounters();
  if (!launched)
    return launched.error();
  result.times.emplace_back(plan.device.kind == DeviceKind::Sim ? "simulate" : "launch", clock.lap());
  for (std::string &note : device.lastNotes())
    result.notes.push_back(std::move(note));

  Status copied = device.copyOut(result.o.data(), o->address(), result.o.size() * sizeof(uint16_t));
  if (copied && spec.lse)
    copied = device.copyOut(result.lse.data(), lse->address(), result.lse.size() * sizeof(float));
  if (copied)
    copied = device.synchronize();
  if (!copied)
    return copied.error();
  result.times.emplace_back("copy out", clock.lap());
  return result;
}

std::string describe(const Plan &plan) {
  const CompiledProgram &kernel = plan.built.kernel;
  std::string text;
  auto line = [&](const char *name, const std::string &value) {
    text += fmt::format("{:<12} {}\n", name, value);
  };
  line("kernel", fmt::format("{}, target {}, {}{}", kernel.text.name, nameOf(kernel.text.target),
                             kernel.text.arch.name, plan.built.fromCache ? ", from the cache" : ""));
  line("schedule", fmt::format("{} ({})", describe(kernel.text.schedule), kernel.text.why));
  std::string registers = plan.registers >= 0 ? fmt::format("{} registers", plan.registers)
                                              : std::string("registers unknown (ptxas was not found)");
  if (kernel.resources && kernel.resources->spillStores + kernel.resources->spillLoads > 0)
    registers +=
        fmt::format(", spills {} + {} bytes", kernel.resources->spillStores, kernel.resources->spillLoads);
  std::string occupancy = plan.blocksPerSm >= 0 ? fmt::format("{} blocks an SM", plan.blocksPerSm)
                                                : std::string("occupancy unknown");
  line("resources", fmt::format("{}, {:.1f} KB of shared memory, {}", registers,
                                kernel.text.sharedBytes / 1024.0, occupancy));
  line("launch",
       fmt::format("{} x {} x {} blocks of {} threads", plan.grid.x, plan.grid.y, plan.grid.z, plan.block.x));
  line("device", fmt::format("{} ({})", plan.device.name, plan.device.why));
  line("code", plan.imageWhy);
  return text;
}

} // namespace attune
