//===- NvrtcApi.cpp - NVRTC's functions, opened at run time ---------------===//
#include "runtime/jit/NvrtcApi.h"

#include <map>
#include <memory>
#include <mutex>

#include <dlfcn.h>
#include <fmt/format.h>

namespace attune {

Result<const NvrtcApi *> NvrtcApi::open(const std::string &path) {
  static std::mutex lock;
  static std::map<std::string, std::unique_ptr<NvrtcApi>> opened;
  std::lock_guard guard(lock);
  if (auto known = opened.find(path); known != opened.end())
    return static_cast<const NvrtcApi *>(known->second.get());

  void *library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return missing(fmt::format("cannot open NVRTC: {}", ::dlerror()));
  auto api = std::make_unique<NvrtcApi>();
  std::string absent;
  auto bind = [&](auto &function, const char *name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(library, name));
    if (!function)
      absent += absent.empty() ? name : fmt::format(", {}", name);
  };
  bind(api->Version, "nvrtcVersion");
  bind(api->GetErrorString, "nvrtcGetErrorString");
  bind(api->CreateProgram, "nvrtcCreateProgram");
  bind(api->DestroyProgram, "nvrtcDestroyProgram");
  bind(api->CompileProgram, "nvrtcCompileProgram");
  bind(api->GetPTXSize, "nvrtcGetPTXSize");
  bind(api->GetPTX, "nvrtcGetPTX");
  bind(api->GetCUBINSize, "nvrtcGetCUBINSize");
  bind(api->GetCUBIN, "nvrtcGetCUBIN");
  bind(api->GetProgramLogSize, "nvrtcGetProgramLogSize");
  bind(api->GetProgramLog, "nvrtcGetProgramLog");
  if (!absent.empty() || api->Version(&api->major, &api->minor) != 0) {
    ::dlclose(library);
    return missing(fmt::format("{}: expected NVRTC 11.2 or newer, got a library without {}", path,
                               absent.empty() ? "a version" : absent));
  }
  return static_cast<const NvrtcApi *>((opened[path] = std::move(api)).get());
}

} // namespace attune
