//===- AllDevices.cpp - the devices of a program that has them all --------===//
//
// Apart from Device.cpp, so that the simulator is left out of a program that does not ask for it.
//
//===----------------------------------------------------------------------===//
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/sim/SimDevice.h"

namespace attune {

Result<std::unique_ptr<Device>> openDevice(const DeviceOptions &options) {
  return openDevice(options, openSimDevice);
}

DeviceList listDevices(const std::string &cudaDriver) {
  DeviceList list;
  Result<std::vector<DeviceInfo>> gpus = listCudaDevices(cudaDriver);
  if (gpus)
    list.devices = *gpus;
  else
    list.note = gpus.error().message;
  Result<Arch> arch = findArch("sm_80");
  list.devices.push_back(describeSimDevice(*arch));
  return list;
}

} // namespace attune
