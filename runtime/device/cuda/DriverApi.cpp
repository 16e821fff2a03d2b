//===- DriverApi.cpp - the CUDA driver's functions, opened at run time ----===//
#include "runtime/device/cuda/DriverApi.h"

#include <map>
#include <memory>
#include <mutex>

#include <dlfcn.h>
#include <fmt/format.h>

namespace attune::cuda {

std::string DriverApi::describe(CUresult result) const {
  const char *name = nullptr, *text = nullptr;
  if (GetErrorName(result, &name) != CUDA_SUCCESS || !name)
    return fmt::format("error {} of the driver", result);
  if (GetErrorString(result, &text) != CUDA_SUCCESS || !text)
    return name;
  return fmt::format("{}: {}", name, text);
}

Result<const DriverApi *> DriverApi::open(const std::string &library) {
  static std::mutex lock;
  static std::map<std::string, std::unique_ptr<DriverApi>> opened;
  std::lock_guard guard(lock);
  if (auto known = opened.find(library); known != opened.end())
    return static_cast<const DriverApi *>(known->second.get());

  void *handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    return missing(fmt::format("no NVIDIA driver: {}", ::dlerror()));
  auto api = std::make_unique<DriverApi>();
  std::string absent;
#define ATTUNE_BIND(name, symbol, params)                                                                    \
  api->name = reinterpret_cast<decltype(api->name)>(::dlsym(handle, symbol));                                \
  if (!api->name)                                                                                            \
    absent += fmt::format(" {}", symbol);
  ATTUNE_CUDA_FUNCTIONS(ATTUNE_BIND)
#undef ATTUNE_BIND
#define ATTUNE_BIND(name, symbol, params)                                                                    \
  api->name = reinterpret_cast<decltype(api->name)>(::dlsym(handle, symbol));
  ATTUNE_CUDA_OPTIONAL_FUNCTIONS(ATTUNE_BIND)
#undef ATTUNE_BIND
  if (!absent.empty()) {
    ::dlclose(handle);
    return missing(fmt::format("{}: expected an NVIDIA driver of CUDA 12.0 or newer, got one without{}",
                               library, absent));
  }
  api->path = library;
  if (CUresult failed = api->Init(0)) {
    // Left open: a driver that refused to start must not be unloaded under its own threads.
    return missing(failed == CUDA_ERROR_NO_DEVICE
                       ? std::string("no GPU: the NVIDIA driver is here and reports no device")
                       : fmt::format("the NVIDIA driver does not start: {}", api->describe(failed)));
  }
  api->DriverGetVersion(&api->version);
  // The oldest PTX that attune prints is ISA 8.0, which drivers of CUDA 12.0 were the first to read.
  if (api->version < 12000)
    return missing(fmt::format("expected an NVIDIA driver of CUDA 12.0 or newer, got one of CUDA {}.{}",
                               api->version / 1000, api->version % 1000 / 10));
  return static_cast<const DriverApi *>((opened[library] = std::move(api)).get());
}

} // namespace attune::cuda
