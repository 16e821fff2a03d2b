//===- LoadedProgram.cpp - a compiled program on its device ---------------===//
#include "runtime/launch/LoadedProgram.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

namespace attune {

using v1::ErrorCode;

//===----------------------------------------------------------------------===//
// Cubin or PTX
//===----------------------------------------------------------------------===//

/// CUDA's major version, of the driver or of the tool that made a cubin ("ptxas 13.0.88").
static int majorOf(const std::string &assembler) {
  size_t digit = assembler.find_first_of("0123456789");
  return digit == std::string::npos ? 0 : std::atoi(assembler.c_str() + digit);
}

/// The newest PTX ISA that a driver reads, as the PTX documentation's table of releases has it.
static int newestIsaOf(int driverVersion) {
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

Result<ImageChoice> chooseImage(const Device &device, const CompiledProgram &program) {
  const DeviceInfo &info = device.info();
  if (info.kind == DeviceKind::Sim)
    return ImageChoice{ImageKind::PTX, program.text.target == Target::CUDA && !program.assembler.empty()
                                           ? fmt::format("PTX of {}, interpreted", program.assembler)
                                           : "PTX, interpreted"};
  std::string whyNot;
  if (program.cubin.empty())
    whyNot = "ptxas was not found";
  else if (!device.takes(ImageKind::Cubin))
    whyNot = fmt::format("a cubin of {} does not run on compute capability {}.{}", info.arch.name,
                         info.computeCapability / 10, info.computeCapability % 10);
  else if (majorOf(program.assembler) > info.driverVersion / 1000)
    whyNot = fmt::format("{} is newer than the driver (CUDA {}.{})", program.assembler,
                         info.driverVersion / 1000, info.driverVersion % 1000 / 10);
  if (whyNot.empty())
    return ImageChoice{ImageKind::Cubin, fmt::format("cubin by {}", program.assembler)};
  int isa = ptxIsaOf(program.ptx), newest = newestIsaOf(info.driverVersion);
  if (isa > newest)
    return missing(fmt::format(
        "the kernel's PTX is ISA {}.{}, the driver (CUDA {}.{}) reads up to {}.{} ({}); use "
        "target ptx, a newer driver, or {} of the driver's release",
        isa / 10, isa % 10, info.driverVersion / 1000, info.driverVersion % 1000 / 10, newest / 10,
        newest % 10, whyNot, program.text.target == Target::CUDA ? "an NVRTC" : "a ptxas"));
  return ImageChoice{ImageKind::PTX, fmt::format("PTX, assembled by the driver: {}", whyNot)};
}

//===----------------------------------------------------------------------===//
// Loading
//===----------------------------------------------------------------------===//

v1::Status LoadedProgram::loadImage(ImageKind kind) {
  const CompiledProgram &compiled = about.program;
  if (std::optional<Module> refused = std::exchange(module, std::nullopt)) {
    (void)bool(gpu->unloadModule(*refused));
    entries.clear();
  }
  std::string name = compiled.text.name + (kind == ImageKind::Cubin ? ".cubin" : ".ptx");
  ModuleImage image{kind, kind == ImageKind::Cubin ? compiled.cubin : compiled.ptx, name, {}};
  // What the PTX's lines came from, for messages: CUDA C++, or the tile program.
  if (compiled.text.target == Target::CUDA)
    image.sources.push_back({compiled.text.name + ".cu", compiled.text.text});
  else if (!compiled.text.tileText.empty())
    image.sources.push_back({"", compiled.text.tileText});
  Result<Module> loaded = gpu->loadModule(image);
  if (!loaded)
    return deviceFailure(loaded.error(), ErrorCode::LoadFailed);
  module = *loaded;
  for (size_t i = 0; i < program().kernels.size(); ++i) {
    const KernelInfo &info = program().kernels[i];
    Result<Kernel> entry = gpu->kernel(*module, info.name, uint32_t(info.sharedBytes));
    if (!entry)
      return deviceFailure(entry.error(), ErrorCode::LoadFailed);
    LoadedKernel kernel;
    kernel.entry = *entry;
    kernel.registers = entry->registers >= 0 ? entry->registers : compiled.registers(i);
    kernel.blocksPerSm =
        gpu->blocksPerSm(*entry, info.threads).value_or(compiled.blocksPerSm(i).value_or(-1));
    entries.push_back(kernel);
  }
  return succeeded();
}

v1::Result<std::shared_ptr<const LoadedProgram>> LoadedProgram::load(std::shared_ptr<Device> device,
                                                                     BuiltProgram built) {
  std::shared_ptr<LoadedProgram> loaded(new LoadedProgram(std::move(device)));
  loaded->about = std::move(built);
  CompiledProgram &compiled = loaded->about.program;
  Result<ImageChoice> image = chooseImage(*loaded->gpu, compiled);
  if (!image)
    return failure(ErrorCode::LoadFailed, image.error());
  loaded->choice = std::move(*image);
  StageClock clock;
  v1::Status done = loaded->loadImage(loaded->choice.kind);
  if (!done && loaded->choice.kind == ImageKind::Cubin && done.error().code == ErrorCode::LoadFailed) {
    // A driver may refuse a cubin that by every rule it takes (a device of a capability that the toolkit's
    // tables do not have); it then makes its own from the PTX.
    std::string why = done.error().message;
    loaded->choice = {
        ImageKind::PTX,
        fmt::format("PTX, assembled by the driver, which refused the cubin of {}", compiled.assembler)};
    done = loaded->loadImage(ImageKind::PTX);
    if (done)
      loaded->about.notes.push_back("the driver refused the cubin, and took the PTX: " + why);
    else
      return v1::Error{done.error().code, why + "\n" + done.error().message};
  }
  if (!done)
    return done.error();
  loaded->about.times.emplace_back("load", clock.lap());
  for (std::string *text :
       {&compiled.cubin, &compiled.ptx, &compiled.log, &compiled.text.text, &compiled.text.tileText})
    std::string().swap(*text);
  return std::shared_ptr<const LoadedProgram>(std::move(loaded));
}

LoadedProgram::~LoadedProgram() {
  // An error here can only repeat one that an earlier call has reported.
  if (module)
    (void)bool(gpu->unloadModule(*module));
}

Error withKind(const v1::Error &error) {
  switch (error.code) {
  case ErrorCode::KernelFault:
    return {ErrorKind::Verification, error.message};
  case ErrorCode::NoDevice:
  case ErrorCode::NotCached:
  case ErrorCode::ToolMissing:
  case ErrorCode::LoadFailed:
  case ErrorCode::LaunchFailed:
  case ErrorCode::OutOfMemory:
  case ErrorCode::DeviceFailed:
    return missing(error.message);
  default:
    return badInput(error.message);
  }
}

} // namespace attune
