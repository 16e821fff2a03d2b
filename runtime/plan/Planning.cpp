//===- Planning.cpp - decisions between a spec and a launch ---------------===//
#include "runtime/plan/Planning.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include <fmt/format.h>

namespace attune {
namespace {

/// The parts of a schedule by name.
struct Part {
  const char *name;
  std::optional<int> ScheduleRequest::*value;
};
constexpr std::array<Part, 4> parts = {{{"block_q", &ScheduleRequest::blockQ},
                                        {"block_kv", &ScheduleRequest::blockKv},
                                        {"stages", &ScheduleRequest::stages},
                                        {"warps", &ScheduleRequest::warps}}};

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

} // namespace

Result<ImageChoice> chooseImage(const Device &device, const CompiledProgram &kernel) {
  const DeviceInfo &info = device.info();
  if (info.kind == DeviceKind::Sim)
    return ImageChoice{ImageKind::PTX, kernel.text.target == Target::CUDA && !kernel.assembler.empty()
                                           ? fmt::format("PTX of {}, interpreted", kernel.assembler)
                                           : "PTX, interpreted"};
  std::string whyNot;
  if (kernel.cubin.empty())
    whyNot = "ptxas was not found";
  else if (!device.takes(ImageKind::Cubin))
    whyNot = fmt::format("a cubin of {} does not run on compute capability {}.{}", info.arch.name,
                         info.computeCapability / 10, info.computeCapability % 10);
  else if (majorOf(kernel.assembler) > info.driverVersion / 1000)
    whyNot = fmt::format("{} is newer than the driver (CUDA {}.{})", kernel.assembler,
                         info.driverVersion / 1000, info.driverVersion % 1000 / 10);
  if (whyNot.empty())
    return ImageChoice{ImageKind::Cubin, fmt::format("cubin by {}", kernel.assembler)};
  int isa = ptxIsaOf(kernel.ptx), newest = newestIsaOf(info.driverVersion);
  if (isa > newest)
    return missing(fmt::format(
        "the kernel's PTX is ISA {}.{}, the driver (CUDA {}.{}) reads up to {}.{} ({}); use "
        "target ptx, a newer driver, or {} of the driver's release",
        isa / 10, isa % 10, info.driverVersion / 1000, info.driverVersion % 1000 / 10, newest / 10,
        newest % 10, whyNot, kernel.text.target == Target::CUDA ? "an NVRTC" : "a ptxas"));
  return ImageChoice{ImageKind::PTX, fmt::format("PTX, assembled by the driver: {}", whyNot)};
}

int ptxIsaOf(std::string_view ptx) {
  constexpr std::string_view directive = ".version";
  size_t at = ptx.starts_with(directive) ? 0 : ptx.find("\n.version");
  if (at == std::string_view::npos)
    return 0;
  ptx.remove_prefix(ptx.find(directive, at) + directive.size());
  std::string_view line = ptx.substr(0, ptx.find('\n'));
  line.remove_prefix(std::min(line.find_first_of("0123456789"), line.size()));
  int major = 0, minor = 0;
  auto [dot, failed] = std::from_chars(line.data(), line.data() + line.size(), major);
  if (failed == std::errc() && dot != line.data() + line.size() && *dot == '.')
    std::from_chars(dot + 1, line.data() + line.size(), minor);
  return 10 * major + minor;
}

Decision decide(const AttentionSpec &spec, std::optional<Target> target, const ProblemShape &shape,
                const DeviceInfo &device, const Advisor &advisor) {
  Decision decision;
  decision.spec = spec;
  decision.target = target.value_or(Target::PTX);
  std::optional<Advice> advice = advisor ? advisor(spec, shape, device) : std::nullopt;
  if (!advice)
    return decision;
  std::string conflict;
  if (target && *target != advice->target)
    conflict =
        fmt::format("it is for target {}, and {} was asked for", nameOf(advice->target), nameOf(*target));
  ScheduleRequest merged = spec.schedule;
  for (const Part &part : parts) {
    std::optional<int> &asked = merged.*part.value;
    const std::optional<int> &advised = advice->schedule.*part.value;
    if (asked && advised && *asked != *advised && conflict.empty())
      conflict = fmt::format("it is for {} {}, and {} was asked for", part.name, *advised, *asked);
    if (!asked)
      asked = advised;
  }
  if (!conflict.empty()) {
    decision.note = fmt::format("advice not taken: {} ({})", conflict, advice->why);
    return decision;
  }
  decision.spec.schedule = merged;
  decision.target = advice->target;
  decision.why = advice->why;
  return decision;
}

void undo(Decision &decision, const AttentionSpec &spec, std::optional<Target> target, const Error &error) {
  decision.note = fmt::format("advice not taken: {} ({})", error.message.substr(0, error.message.find('\n')),
                              decision.why);
  decision.spec = spec;
  decision.target = target.value_or(Target::PTX);
  decision.why.clear();
}

} // namespace attune
