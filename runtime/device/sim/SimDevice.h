//===- SimDevice.h - the simulated GPU as a device --------------*- C++ -*-===//
#ifndef ATTUNE_RUNTIME_DEVICE_SIM_SIMDEVICE_H
#define ATTUNE_RUNTIME_DEVICE_SIM_SIMDEVICE_H

#include "runtime/device/Device.h"

namespace attune {

/// A simulated GPU that plays `arch` (empty: sm_80); `why` goes into its info.
Result<std::unique_ptr<Device>> openSimDevice(const std::string &arch, const SimOptions &options,
                                              const std::string &why);

/// What `openSimDevice` would say of itself.
DeviceInfo describeSimDevice(const Arch &arch);

} // namespace attune

#endif // ATTUNE_RUNTIME_DEVICE_SIM_SIMDEVICE_H
