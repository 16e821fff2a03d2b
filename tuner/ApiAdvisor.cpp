//===- ApiAdvisor.cpp - the tuner behind the public interface -------------===//
#include "runtime/api/Api.h"

#include "tuner/Advisor.h"

#include <unistd.h>

namespace attune::v1 {

namespace {

attune::DeviceInfo toInside(const DeviceInfo &device) {
  attune::DeviceInfo inside;
  inside.kind = device.simulated ? DeviceKind::Sim : DeviceKind::Cuda;
  inside.ordinal = device.ordinal;
  inside.name = device.name;
  if (attune::Result<Arch> arch = findArch(device.arch))
    inside.arch = *arch;
  inside.computeCapability = device.computeCapability;
  inside.driverVersion = device.cudaVersion;
  inside.multiprocessors = device.multiprocessors;
  inside.memoryBytes = device.memoryBytes;
  return inside;
}

} // namespace

Result<Advisor> tunedAdvisor(const std::string &named) {
  std::string path = named.empty() ? tuner::Store::defaultPath() : named;
  std::shared_ptr<tuner::Store> store;
  if (!path.empty() && (!named.empty() || ::access(path.c_str(), F_OK) == 0)) {
    attune::Result<tuner::Store> opened = tuner::Store::open(path, {.write = false, .lockWaitMs = 1000});
    if (!opened)
      return Error{ErrorCode::InvalidOptions, opened.error().message};
    store = std::make_shared<tuner::Store>(std::move(*opened));
  }
  attune::Advisor advisor = tuner::makeAdvisor(std::move(store));
  return Advisor(
      [advisor](const Spec &spec, const Shape &shape, const DeviceInfo &device) -> std::optional<Advice> {
        std::optional<attune::Advice> advice =
            advisor(attune::toInside(spec), attune::toInside(shape), toInside(device));
        if (!advice)
          return std::nullopt;
        return Advice{{advice->schedule.family, advice->schedule.values},
                      advice->target == attune::Target::PTX ? Target::PTX : Target::CUDA,
                      advice->why};
      });
}

} // namespace attune::v1
