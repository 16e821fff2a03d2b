//===- Doctor.cpp - attune doctor -----------------------------------------===//
//
// What works on this machine, what is missing, and how to get it.
//
//===----------------------------------------------------------------------===//
#include "cli/CommandLine.h"
#include "cli/Output.h"
#include "runtime/cache/Cache.h"
#include "runtime/device/Device.h"
#include "runtime/jit/Toolchain.h"

#include <cstdio>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace attune::cli {

namespace {

/// What a user can do here, and what each missing part takes away.
struct Diagnosis {
  Toolchain tools = Toolchain::find();
  DeviceList devices = listDevices();
  Cache cache = Cache::ofUser();
  std::string cacheTrouble; ///< empty if kernels can be stored

  bool has(Tool tool) const { return tools.tool(tool).has_value(); }
  bool hasGpu() const { return !devices.devices.empty() && devices.devices[0].kind == DeviceKind::Cuda; }
};

/// Why a folder that may not exist yet cannot be written to; empty if it can.
std::string writeTrouble(std::string folder) {
  struct stat status;
  while (folder.size() > 1 && stat(folder.c_str(), &status) != 0) {
    size_t slash = folder.find_last_of('/');
    folder = slash == std::string::npos ? "." : folder.substr(0, std::max<size_t>(slash, 1));
  }
  if (stat(folder.c_str(), &status) == 0 && !S_ISDIR(status.st_mode))
    return folder + " is not a folder";
  return access(folder.c_str(), W_OK | X_OK) == 0 ? "" : folder + " cannot be written";
}

Diagnosis diagnose() {
  Diagnosis result;
  result.cacheTrouble = result.cache.enabled() ? writeTrouble(result.cache.folder())
                                               : "there is no folder for it: set ATTUNE_CACHE_DIR";
  return result;
}

std::string toolJson(const Diagnosis &found, Tool tool) {
  JsonObject json;
  json.boolean("found", found.has(tool));
  if (found.has(tool)) {
    Result<std::string> version = found.tools.version(tool);
    json.text("path", found.tools.tool(tool)->path).text("origin", found.tools.tool(tool)->origin);
    json.text(version ? "version" : "error", version ? *version : version.error().message);
  } else {
    json.text("how_to_get", howToGet(tool));
  }
  return json.str();
}

int printJson(const Diagnosis &found) {
  JsonObject tools;
  for (Tool tool : allTools)
    tools.raw(toolName(tool), toolJson(found, tool));
  JsonObject json;
  json.text("version", ATTUNE_VERSION).raw("tools", tools.str()).boolean("gpu", found.hasGpu());
  json.text("gpu_note", found.devices.note).text("cache", found.cache.folder());
  json.text("cache_trouble", found.cacheTrouble);
  fmt::print("{}\n", json.str());
  return 0;
}

void printTool(const Diagnosis &found, Tool tool) {
  if (!found.has(tool)) {
    fmt::print("{:<10} missing    it {}\n{:<10}            to get it: {}\n{:<10}            looked in:",
               toolName(tool), toolPurpose(tool), "", howToGet(tool), "");
    std::string last;
    for (const SearchStep &step : found.tools.searched(tool)) {
      if (step.origin != last)
        fmt::print(" {}{}", step.origin, step.folder.empty() ? " (not set)" : "");
      last = step.origin;
    }
    fmt::print("\n");
    return;
  }
  Result<std::string> version = found.tools.version(tool);
  fmt::print("{:<10} {:<10} {} ({})\n", toolName(tool), version ? *version : "broken",
             found.tools.tool(tool)->path, found.tools.tool(tool)->origin);
  if (!version)
    fmt::print("{:<10}            {}\n", "", version.error().message);
}

int print(const Diagnosis &found) {
  fmt::print("{:<10} {}\n", "attune", ATTUNE_VERSION);
  for (Tool tool : allTools)
    printTool(found, tool);
  if (found.hasGpu())
    fmt::print("{:<10} {:<10} {}\n", "GPU", "ok", found.devices.devices[0].name);
  else
    fmt::print("{:<10} {:<10} {}\n", "GPU", "none", found.devices.note);
  fmt::print("{:<10} {:<10} the same PTX runs on it where there is no GPU\n", "simulator", "ok");
  if (found.cacheTrouble.empty())
    fmt::print("{:<10} {:<10} {}\n", "cache", "ok", found.cache.folder());
  else
    fmt::print("{:<10} {:<10} {}; kernels are compiled anew each time\n", "cache", "off", found.cacheTrouble);

  auto works = [](const char *what, bool yes, const char *without) {
    fmt::print("  {:<44} {}\n", what, yes ? "works" : without);
  };
  fmt::print("\n");
  works("attune run --target ptx, simulated", true, "");
  works("attune run --target cuda, simulated", found.has(Tool::NVRTC), "needs NVRTC");
  works("attune run on a GPU, target ptx", found.hasGpu(), "needs a GPU and its driver");
  works("attune run on a GPU, target cuda", found.hasGpu() && found.has(Tool::NVRTC),
        "needs a GPU, its driver and NVRTC");
  works("attune compile --emit cubin, target ptx", found.has(Tool::Ptxas), "needs ptxas");
  works("attune compile --emit cubin, target cuda", found.has(Tool::NVRTC), "needs NVRTC");
  works("attune compile --report: registers, spills", found.has(Tool::Ptxas), "needs ptxas");
  works("attune compile --report: issue slots", found.has(Tool::Ptxas) && found.has(Tool::Nvdisasm),
        "needs ptxas and nvdisasm");
  return 0;
}

} // namespace

Run addDoctor(CLI::App &parent) {
  auto line =
      CommandLine::add(parent, "doctor", "say what works on this machine, what is missing, how to get it");
  line->flag("--json", "print one JSON object");
  line->flag("--missing-tools", "print only the names of NVIDIA's tools that were not found, one a line");
  return [line] {
    if (Status good = line->problems(); !good)
      return report(good.error());
    if (line->has("--missing-tools")) {
      Toolchain tools = Toolchain::find();
      for (Tool tool : allTools)
        if (!tools.tool(tool))
          fmt::print("{}\n", toolName(tool));
      return 0;
    }
    Diagnosis found = diagnose();
    return line->has("--json") ? printJson(found) : print(found);
  };
}

} // namespace attune::cli
