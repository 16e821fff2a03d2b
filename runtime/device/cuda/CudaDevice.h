//===- CudaDevice.h - a GPU through the CUDA driver -------------*- C++ -*-===//
#ifndef ATTUNE_RUNTIME_DEVICE_CUDA_CUDADEVICE_H
#define ATTUNE_RUNTIME_DEVICE_CUDA_CUDADEVICE_H

#include "runtime/device/Device.h"

namespace attune {

/// Opens GPU `ordinal` in its primary context. `arch` empty: the newest architecture of attune that the GPU
/// runs; else that one, if the GPU runs it. `why` goes into its info.
Result<std::unique_ptr<Device>> openCudaDevice(const std::string &driver, int ordinal,
                                               const std::string &arch, const std::string &why);

/// The GPUs of this machine, or why there are none.
Result<std::vector<DeviceInfo>> listCudaDevices(const std::string &driver);

} // namespace attune

#endif // ATTUNE_RUNTIME_DEVICE_CUDA_CUDADEVICE_H
