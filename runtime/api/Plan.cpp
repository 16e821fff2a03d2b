//===- Plan.cpp - launching a kernel --------------------------------------===//
//
// The path of a launch: it takes no memory unless something is wrong.
//
//===----------------------------------------------------------------------===//
#include "runtime/api/State.h"

#include "runtime/launch/ForwardLaunch.h"

#include <array>
#include <cstdint>

#include <fmt/format.h>

namespace attune::v1 {
namespace {

/// An array of a launch, as its address is checked.
struct Address {
  const char *name;
  const void *data;
  uintptr_t alignment;
};

Status checkAddresses(const AttentionSpec &spec, const Arguments &arguments) {
  // Rows are read and written 16 bytes at a time; LSE one f32 at a time.
  const std::array<Address, 5> arrays = {{{"q", arguments.q.data, 16},
                                          {"k", arguments.k.data, 16},
                                          {"v", arguments.v.data, 16},
                                          {"o", arguments.o.data, 16},
                                          {"lse", arguments.lse.data, 4}}};
  for (size_t i = 0; i < (spec.lse ? 5 : 4); ++i) {
    const Address &array = arrays[i];
    if (!array.data)
      return Error{ErrorCode::NullPointer,
                   fmt::format("expected the device address of {}, got null", array.name)};
    if (uintptr_t(array.data) % array.alignment)
      return Error{ErrorCode::Misaligned, fmt::format("expected {} at a multiple of {} bytes, got {}",
                                                      array.name, array.alignment, array.data)};
  }
  // Blocks still read K and V when others write O. (O over Q is right where their strides agree.)
  for (const Address &input : {arrays[1], arrays[2]})
    if (input.data == arguments.o.data)
      return Error{ErrorCode::InvalidArgument,
                   fmt::format("expected o apart from {}, got {} for both", input.name, input.data)};
  if (!spec.lse && arguments.lse.data)
    return Error{ErrorCode::InvalidArgument,
                 fmt::format("expected no array for lse, since kernel '{}' computes "
                             "none, got {}; set the spec's lse",
                             spec.name, arguments.lse.data)};
  return std::monostate();
}

reference::Strides inside(const Strides &strides) { return {strides.batch, strides.head, strides.row}; }

/// Dense strides; those that 64 bits do not hold become the largest number, which a launch refuses.
Strides denseStrides(attune::Layout layout, int64_t heads, int64_t length, int64_t dim) {
  auto times = [](int64_t a, int64_t b) {
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX / 8 * 8 : product;
  };
  int64_t matrix = times(times(length, dim), heads);
  return layout == attune::Layout::BSHD ? Strides{matrix, dim, times(heads, dim)}
                                        : Strides{matrix, times(length, dim), dim};
}

} // namespace

const PlanInfo &Plan::info() const {
  static const PlanInfo none;
  return state ? state->info : none;
}

std::string Plan::describe() const {
  if (!state)
    return "";
  const PlanInfo &info = state->info;
  std::string text;
  auto line = [&](const char *name, const std::string &value) {
    text += fmt::format("{:<12} {}\n", name, value);
  };
  line("kernel", fmt::format("{}, target {}, {}{}", info.kernel, info.target == Target::PTX ? "ptx" : "cuda",
                             info.arch, info.fromCache ? ", from the cache" : ""));
  line("schedule", fmt::format("block_q {}, block_kv {}, stages {}, warps {} ({})", info.blockQ, info.blockKv,
                               info.stages, info.warps, info.why));
  std::string resources =
      info.registers >= 0 ? fmt::format("{} registers", info.registers) : "registers unknown";
  resources += fmt::format(", {:.1f} KB of shared memory", info.sharedBytes / 1024.0);
  if (info.blocksPerSm >= 0)
    resources += fmt::format(", {} blocks an SM", info.blocksPerSm);
  line("resources", resources);
  line("launch", fmt::format("{} x {} x {} blocks of {} threads, {} bytes of workspace", info.grid[0],
                             info.grid[1], info.grid[2], info.block[0], info.workspaceBytes));
  line("device", state->deviceLine);
  line("code", info.image);
  for (const std::string &note : info.notes)
    line("note", note);
  return text;
}

Arguments Plan::dense(const void *q, const void *k, const void *v, void *o, void *lse) const {
  Arguments arguments;
  if (!state)
    return arguments;
  const AttentionSpec &spec = state->spec;
  const reference::Problem &p = state->problem;
  arguments.q = {q, denseStrides(spec.layout, p.headsQ, p.lengthQ, spec.headDimQk)};
  arguments.k = {k, denseStrides(spec.layout, p.headsKv, p.lengthKv, spec.headDimQk)};
  arguments.v = {v, denseStrides(spec.layout, p.headsKv, p.lengthKv, spec.headDimV)};
  arguments.o = {o, denseStrides(spec.layout, p.headsQ, p.lengthQ, spec.headDimV)};
  arguments.lse = {lse, {int64_t(p.headsQ) * p.lengthQ, p.lengthQ, 1}};
  return arguments;
}

Status Plan::launch(Stream stream, const Arguments &arguments) const {
  if (!state)
    return Error{ErrorCode::EmptyHandle, "expected a plan, got one that was moved from"};
  const State &plan = *state;
  if (Status good = checkAddresses(plan.spec, arguments); !good)
    return good;
  reference::Problem problem = plan.problem;
  problem.q = inside(arguments.q.strides);
  problem.k = inside(arguments.k.strides);
  problem.v = inside(arguments.v.strides);
  problem.o = inside(arguments.o.strides);
  problem.lse = inside(arguments.lse.strides);
  if (attune::Status good = validateStrides(plan.spec, problem); !good)
    return Error{ErrorCode::InvalidStrides, good.error().message};
  ForwardParams params = forwardParams(problem, {addressOf(arguments.q.data), addressOf(arguments.k.data),
                                                 addressOf(arguments.v.data), addressOf(arguments.o.data),
                                                 addressOf(arguments.lse.data)});
  const LoadedKernel &kernel = *plan.kernel;
  Launch launch{kernel.entry, plan.grid, plan.block, plan.info.sharedBytes,
                std::as_bytes(std::span(&params, 1))};
  attune::Status launched = kernel.device->launch(launch, streamOf(stream));
  if (launched)
    return std::monostate();
  return Error{launched.error().kind == ErrorKind::Verification ? ErrorCode::KernelFault
                                                                : ErrorCode::LaunchFailed,
               launched.error().message};
}

} // namespace attune::v1
