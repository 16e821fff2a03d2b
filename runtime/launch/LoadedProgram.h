//===- LoadedProgram.h - a compiled program on its device -------*- C++ -*-===//
#ifndef ATTUNE_RUNTIME_LAUNCH_LOADEDPROGRAM_H
#define ATTUNE_RUNTIME_LAUNCH_LOADEDPROGRAM_H

#include "runtime/device/Device.h"
#include "runtime/launch/CompiledProgram.h"
#include "runtime/launch/Failure.h"

#include <memory>
#include <string>
#include <vector>

namespace attune {

/// What of a program is loaded.
struct ImageChoice {
  ImageKind kind = ImageKind::PTX;
  std::string why; ///< "cubin by ptxas 13.0.88", "PTX, assembled by the driver: ptxas was not found"
};

/// The cubin where the device and its driver take it, else PTX. An error of kind Missing where the driver
/// reads neither.
Result<ImageChoice> chooseImage(const Device &device, const CompiledProgram &program);

/// The ISA version that PTX text declares, 10 * major + minor; 0 if it declares none.
int ptxIsaOf(std::string_view ptx);

/// An entry of a loaded module.
struct LoadedKernel {
  Kernel entry;
  int registers = -1;   ///< of a thread; -1: unknown
  int blocksPerSm = -1; ///< that run at once; -1: unknown
};

/// A program on its device. It keeps the device open.
class LoadedProgram {
public:
  /// Loads `built`, whose texts are dropped: they would stay in memory as long as it does. Errors:
  /// LoadFailed, KernelFault.
  static v1::Result<std::shared_ptr<const LoadedProgram>> load(std::shared_ptr<Device> device,
                                                               BuiltProgram built);
  ~LoadedProgram();
  LoadedProgram(const LoadedProgram &) = delete;
  LoadedProgram &operator=(const LoadedProgram &) = delete;

  Device &device() const { return *gpu; }
  const Program &program() const { return about.program.text.program; }
  /// Without its texts.
  const BuiltProgram &built() const { return about; }
  const ImageChoice &image() const { return choice; }
  const std::vector<LoadedKernel> &kernels() const { return entries; }
  const LoadedKernel &mainKernel() const { return entries[program().mainKernel()]; }

private:
  LoadedProgram(std::shared_ptr<Device> device) : gpu(std::move(device)) {}
  v1::Status loadImage(ImageKind kind);

  std::shared_ptr<Device> gpu;
  BuiltProgram about;
  ImageChoice choice;
  std::optional<Module> module;
  std::vector<LoadedKernel> entries; ///< as program().kernels
};

} // namespace attune

#endif // ATTUNE_RUNTIME_LAUNCH_LOADEDPROGRAM_H
