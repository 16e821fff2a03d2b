//===- Runner.cpp - from a spec and arrays to outputs ---------------------===//
#include "runtime/Runner.h"

#include "compiler/spec/KernelParams.h"
#include "runtime/reference/Compare.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include <fmt/format.h>

namespace attune {
namespace {

using reference::Problem;
using reference::Strides;

/// One array of a problem as the checks see it.
struct View {
  const char *name;
  const Strides *strides;
  int64_t batch, heads, rows, dim;
  bool isOutput;
};

std::vector<View> viewsOf(const AttentionSpec &spec, const Problem &p) {
  std::vector<View> views = {{"q", &p.q, p.batch, p.headsQ, p.lengthQ, spec.headDimQk, false},
                             {"k", &p.k, p.batch, p.headsKv, p.lengthKv, spec.headDimQk, false},
                             {"v", &p.v, p.batch, p.headsKv, p.lengthKv, spec.headDimV, false},
                             {"o", &p.o, p.batch, p.headsQ, p.lengthQ, spec.headDimV, true}};
  if (spec.lse)
    views.push_back({"lse", &p.lse, p.batch, p.headsQ, p.lengthQ, 1, true});
  return views;
}

/// Elements from the first to the last; nothing if 64 bits cannot count their bytes.
std::optional<int64_t> spanOf(const View &view) {
  int64_t last = view.dim;
  for (auto [stride, extent] : {std::pair{view.strides->batch, view.batch},
                                {view.strides->head, view.heads},
                                {view.strides->row, view.rows}}) {
    int64_t reach;
    if (__builtin_mul_overflow(stride, extent - 1, &reach) || __builtin_add_overflow(last, reach, &last))
      return std::nullopt;
  }
  return last <= INT64_MAX / 4 ? std::optional<int64_t>(last) : std::nullopt;
}

/// Whether two (batch, head, row) of an output share an element. Exact for strides that nest, which all real
/// layouts do; others are taken to overlap.
bool overlaps(const View &view) {
  std::array<std::pair<int64_t, int64_t>, 3> axes = {
      {{view.strides->batch, view.batch}, {view.strides->head, view.heads}, {view.strides->row, view.rows}}};
  std::sort(axes.begin(), axes.end());
  int64_t span = view.dim;
  for (auto [stride, extent] : axes) {
    if (extent == 1)
      continue;
    if (stride < span)
      return true;
    span = stride * (extent - 1) + span;
  }
  return false;
}

void checkArray(const View &view, std::string &errors) {
  auto error = [&](const std::string &text) { errors += text + "\n"; };
  struct Named {
    const char *name;
    int64_t stride, extent;
  };
  bool isLse = view.dim == 1 && std::strcmp(view.name, "lse") == 0;
  for (const Named &axis :
       {Named{"batch", view.strides->batch, view.batch}, Named{"head", view.strides->head, view.heads},
        Named{"row", view.strides->row, view.rows}}) {
    if (axis.stride < 0)
      error(fmt::format("error: expected a {} stride of {} that is not negative, got {}", axis.name,
                        view.name, axis.stride));
    else if (!isLse && axis.extent > 1 && axis.stride % 8 != 0)
      error(
          fmt::format("error: expected a {} stride of {} that is a multiple of 8 elements (16 bytes), got {}",
                      axis.name, view.name, axis.stride));
  }
  // Kernels multiply a row number by the row's bytes in 32 x 32 -> 64 bits.
  constexpr int64_t maxRowStride = int64_t(1) << 30;
  if (!isLse && view.rows > 1 && view.strides->row >= maxRowStride)
    error(fmt::format("error: expected a row stride of {} below {} elements, got {}", view.name, maxRowStride,
                      view.strides->row));
  if (isLse && view.rows > 1 && view.strides->row != 1)
    error(fmt::format("error: expected adjacent rows of lse (row stride 1), got {}", view.strides->row));
  if (!spanOf(view))
    error(fmt::format("error: expected strides of {} whose bytes 64 bits count", view.name));
  else if (view.isOutput && overlaps(view))
    error(fmt::format(
        "error: expected strides of {} that keep its elements apart, got batch {}, head {}, row {}",
        view.name, view.strides->batch, view.strides->head, view.strides->row));
}

/// CUDA's major version, of the driver or of the tool that made a cubin ("ptxas 13.0.88").
int majorOf(const std::string &assembler) {
  size_t digit = assembler.find_first_of("0123456789");
  return digit == std::string::npos ? 0 : std::atoi(assembler.c_str() + digit);
}

/// The newest PTX ISA that a driver reads, as the PTX documentation's table of releases has it.
int newestIsaOf(int driverVersion) {
  struct Row {
    int driver, isa;
  };
  constexpr Row rows[] = {{13000, 90}, {12090, 88}, {12080, 87}, {12070, 86}, {12050, 85},
                          {12040, 84}, {12030, 83}, {12020, 82}, {12010, 81}, {12000, 80}};
  if (driverVersion >= 13010)
    return 90 + driverVersion % 1000 / 10;
  for (const Row &row : rows)
    if (driverVersion >= row.driver)
      return row.isa;
  return 0;
}

/// Decides what is loaded, and says why.
Status chooseImage(const Device &device, const CompiledKernel &kernel, Plan &plan) {
  const DeviceInfo &info = device.info();
  if (info.kind == DeviceKind::Sim) {
    plan.image = ImageKind::PTX;
    plan.imageWhy = kernel.text.target == Target::CUDA
                        ? fmt::format("PTX of {}, interpreted", kernel.assembler)
                        : "PTX, interpreted";
    return success();
  }
  std::string whyNot;
  if (kernel.cubin.empty())
    whyNot = "ptxas was not found";
  else if (!device.takes(ImageKind::Cubin))
    whyNot = fmt::format("a cubin of {} does not run on compute capability {}.{}", info.arch.name,
                         info.computeCapability / 10, info.computeCapability % 10);
  else if (majorOf(kernel.assembler) > info.driverVersion / 1000)
    whyNot = fmt::format("{} is newer than the driver (CUDA {}.{})", kernel.assembler,
                         info.driverVersion / 1000, info.driverVersion % 1000 / 10);
  if (whyNot.empty()) {
    plan.image = ImageKind::Cubin;
    plan.imageWhy = fmt::format("cubin by {}", kernel.assembler);
    return success();
  }
  plan.image = ImageKind::PTX;
  plan.imageWhy = fmt::format("PTX, assembled by the driver: {}", whyNot);
  int isa = ptxIsaOf(kernel.ptx), newest = newestIsaOf(info.driverVersion);
  if (isa > newest)
    return missing(fmt::format(
        "the kernel's PTX is ISA {}.{}, the driver (CUDA {}.{}) reads up to {}.{} ({}); use "
        "target ptx, a newer driver, or {} of the driver's release",
        isa / 10, isa % 10, info.driverVersion / 1000, info.driverVersion % 1000 / 10, newest / 10,
        newest % 10, whyNot, kernel.text.target == Target::CUDA ? "an NVRTC" : "a ptxas"));
  return success();
}

TensorParams tensorParams(DeviceAddress base, const Strides &strides) {
  return {base, strides.batch, strides.head, strides.row};
}

/// Device memory of an output, filled with a pattern that no kernel writes.
template <typename T>
Status poison(Device &device, const DeviceBuffer &buffer, std::vector<T> &host, T pattern) {
  std::fill(host.begin(), host.end(), pattern);
  return device.copyIn(buffer.address(), host.data(), host.size() * sizeof(T));
}

} // namespace

Status validateProblem(const AttentionSpec &spec, const Problem &p) {
  std::string errors;
  // The kernels compare 32-bit positions that may lie a window and a tile beyond the lengths.
  constexpr int maxLength = 1 << 30, maxGrid = 65535;
  auto within = [&](const char *name, int value, int most, const char *why) {
    if (value < 1 || value > most)
      errors += fmt::format("error: expected {} in 1..{}{}, got {}\n", name, most, why, value);
  };
  within("batch", p.batch, maxGrid, " (the grid's z)");
  within("heads_q", p.headsQ, maxGrid, " (the grid's y)");
  within("heads_kv", p.headsKv, maxGrid, "");
  within("len_q", p.lengthQ, maxLength, "");
  within("len_kv", p.lengthKv, maxLength, "");
  if (p.headsKv > 0 && p.headsQ % p.headsKv != 0)
    errors += fmt::format("error: expected heads_q to be a multiple of heads_kv, got {} and {}\n", p.headsQ,
                          p.headsKv);
  if (errors.empty())
    for (const View &view : viewsOf(spec, p))
      checkArray(view, errors);
  if (errors.empty())
    return success();
  errors.pop_back();
  return badInput(errors);
}

SpanLengths spanLengths(const AttentionSpec &spec, const Problem &problem) {
  SpanLengths lengths{};
  int64_t *fields[] = {&lengths.q, &lengths.k, &lengths.v, &lengths.o, &lengths.lse};
  size_t i = 0;
  for (const View &view : viewsOf(spec, problem))
    *fields[i++] = spanOf(view).value_or(0);
  return lengths;
}

Result<Plan> planKernel(Device &device, const Toolchain &tools, const Cache &cache, const AttentionSpec &spec,
                        Target target, const Problem &problem, const std::string &dumpDir) {
  if (Status valid = validateProblem(spec, problem); !valid)
    return valid.error();
  Plan plan;
  plan.device = device.info();
  CompileOptions options;
  options.arch = plan.device.arch;
  options.target = target;
  options.dumpDir = dumpDir;
  Result<BuiltKernel> built = buildKernel(spec, options, CubinNeed::IfPossible, tools, cache);
  if (!built)
    return built.error();
  plan.built = std::move(*built);
  const CompiledKernel &kernel = plan.built.kernel;
  if (Status chosen = chooseImage(device, kernel, plan); !chosen)
    return chosen.error();
  uint32_t blockQ = uint32_t(kernel.text.schedule.blockQ);
  plan.grid = {(uint32_t(problem.lengthQ) + blockQ - 1) / blockQ, uint32_t(problem.headsQ),
               uint32_t(problem.batch)};
  plan.block = {uint32_t(kernel.text.threads), 1, 1};
  if (const std::optional<Resources> &used = kernel.resources) {
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
  Result<Plan> planned = planKernel(device, tools, cache, spec, request.target, problem, request.dumpDir);
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
  const CompiledKernel &kernel = plan.built.kernel;
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

  ForwardParams params{};
  params.q = tensorParams(buffers[0].address(), problem.q);
  params.k = tensorParams(buffers[1].address(), problem.k);
  params.v = tensorParams(buffers[2].address(), problem.v);
  params.o = tensorParams(o->address(), problem.o);
  if (spec.lse)
    params.lse = tensorParams(lse->address(), problem.lse);
  params.lengthQ = problem.lengthQ;
  params.lengthKv = problem.lengthKv;
  params.headsPerKvHead = problem.headsQ / problem.headsKv;
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
  const CompiledKernel &kernel = plan.built.kernel;
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
