//===- Toolchain.cpp - where NVIDIA's tools are ---------------------------===//
#include "runtime/jit/Toolchain.h"

#include "runtime/io/File.h"
#include "runtime/jit/NvrtcApi.h"
#include "runtime/jit/Subprocess.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace attune {
namespace {

/// A folder below which a CUDA toolkit, or a part of one, may lie.
struct Prefix {
  std::string origin;
  std::string folder; ///< empty: the variable that would name it is not set
};

std::string variable(const char *name) {
  const char *value = std::getenv(name);
  return value ? value : "";
}

std::vector<std::string> splitPath(const std::string &text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    size_t colon = std::min(text.find(':', at), text.size());
    if (colon > at)
      parts.push_back(text.substr(at, colon - at));
    at = colon + 1;
  }
  return parts;
}

/// The subfolders of `folder` whose names start with `start`, last name first (cu13 before cu12).
std::vector<std::string> subfolders(const std::string &folder, std::string_view start = "") {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->path().filename().string().starts_with(start) && at->is_directory(error))
      found.push_back(at->path());
  std::sort(found.rbegin(), found.rend());
  return found;
}

/// Folders that Pythons import from and that hold the `nvidia` package. Nothing is run: a Python that is on
/// PATH at P/bin imports from P/lib/python3.x/site-packages.
std::vector<std::string> pythonFolders() {
  std::vector<std::string> roots;
  if (std::string venv = variable("VIRTUAL_ENV"); !venv.empty())
    roots.push_back(venv);
  std::error_code error;
  for (const std::string &bin : splitPath(variable("PATH"))) {
    fs::path python = fs::path(bin) / "python3";
    if (!fs::exists(python, error))
      continue;
    roots.push_back(fs::path(bin).parent_path());
    if (fs::path real = fs::canonical(python, error); !error)
      roots.push_back(real.parent_path().parent_path());
  }
  if (std::string home = variable("HOME"); !home.empty()) {
    roots.push_back(home + "/.local");
    // pyenv's programs on PATH are shell scripts; the Pythons themselves lie here.
    std::string pyenv = variable("PYENV_ROOT").empty() ? home + "/.pyenv" : variable("PYENV_ROOT");
    for (const std::string &version : subfolders(pyenv + "/versions"))
      roots.push_back(version);
  }
  std::vector<std::string> folders = splitPath(variable("PYTHONPATH"));
  for (const std::string &root : roots)
    for (const std::string &python : subfolders(root + "/lib", "python3"))
      for (const char *packages : {"/site-packages", "/dist-packages"})
        folders.push_back(python + packages);
  std::vector<std::string> unique;
  for (const std::string &folder : folders)
    if (fs::is_directory(folder + "/nvidia", error) &&
        std::find(unique.begin(), unique.end(), folder) == unique.end())
      unique.push_back(folder);
  return unique;
}

/// Folders that the dynamic loader looks in, from its variable, its configuration and its defaults.
std::vector<std::string> loaderFolders() {
  std::vector<std::string> folders = splitPath(variable("LD_LIBRARY_PATH"));
  std::vector<std::string> configurations = {"/etc/ld.so.conf"};
  std::error_code error;
  for (fs::directory_iterator at("/etc/ld.so.conf.d", error), end; !error && at != end; at.increment(error))
    configurations.push_back(at->path());
  for (const std::string &configuration : configurations) {
    std::ifstream lines(configuration);
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with('/'))
        folders.push_back(line.substr(0, line.find_last_not_of(" \t") + 1));
  }
  for (const char *standard : {"/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/lib", "/usr/lib"})
    folders.push_back(standard);
  return folders;
}

std::vector<std::string> fileNames(Tool tool) {
  if (tool == Tool::NVRTC)
    return {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};
  return {toolName(tool)};
}

bool usable(const std::string &path, Tool tool) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::access(path.c_str(), tool == Tool::NVRTC ? R_OK : X_OK) == 0;
}

std::optional<std::string> inFolder(const std::string &folder, Tool tool) {
  for (const std::string &name : fileNames(tool))
    if (std::string path = folder + "/" + name; usable(path, tool))
      return path;
  return std::nullopt;
}

/// In a toolkit's prefix, or in a folder that `pip install --target` filled or a Python imports from.
std::optional<std::string> inPrefix(const std::string &prefix, Tool tool) {
  std::vector<std::string> folders;
  if (tool == Tool::NVRTC)
    folders = {prefix + "/lib64", prefix + "/lib", prefix + "/targets/x86_64-linux/lib"};
  else
    folders = {prefix + "/bin"};
  for (const std::string &package : subfolders(prefix + "/nvidia", "cu"))
    folders.push_back(package + (tool == Tool::NVRTC ? "/lib" : "/bin"));
  folders.push_back(prefix);
  for (const std::string &folder : folders)
    if (std::optional<std::string> path = inFolder(folder, tool))
      return path;
  return std::nullopt;
}

/// "release 13.0, V13.0.88" -> "13.0.88".
std::string versionIn(const std::string &text) {
  size_t at = text.rfind(", V");
  if (at == std::string::npos)
    return "";
  at += 3;
  return text.substr(at, text.find_first_not_of("0123456789.", at) - at);
}

} // namespace

const char *toolName(Tool tool) {
  switch (tool) {
  case Tool::NVRTC:
    return "NVRTC";
  case Tool::Ptxas:
    return "ptxas";
  case Tool::Nvdisasm:
    return "nvdisasm";
  }
  return "";
}

const char *toolPurpose(Tool tool) {
  switch (tool) {
  case Tool::NVRTC:
    return "compiles target cuda";
  case Tool::Ptxas:
    return "assembles target ptx without a driver, and reports registers and spills";
  case Tool::Nvdisasm:
    return "reads issue slots off the machine code";
  }
  return "";
}

std::string howToGet(Tool tool) {
  const char *wheel = tool == Tool::NVRTC   ? "nvidia-cuda-nvrtc==13.0.88"
                      : tool == Tool::Ptxas ? "nvidia-cuda-nvcc==13.0.88"
                                            : "nvidia-cuda-nvdisasm";
  return fmt::format(
      "pip install --no-deps --target DIR {}, and set ATTUNE_TOOLS_DIR=DIR; or install the CUDA "
      "toolkit and set CUDA_HOME",
      wheel);
}

Toolchain Toolchain::find() {
  std::vector<Prefix> prefixes = {{"ATTUNE_TOOLS_DIR", variable("ATTUNE_TOOLS_DIR")}};
  prefixes.push_back({"CUDA_HOME", variable("CUDA_HOME")});
  prefixes.push_back({"CUDA_PATH", variable("CUDA_PATH")});
  prefixes.push_back({"usual prefix", "/usr/local/cuda"});

  // What ./dev fetched for a machine that had nothing comes last: what the machine has is preferred.
  std::error_code error;
  fs::path self = fs::read_symlink("/proc/self/exe", error);
  std::string beside = error ? "" : std::string(self.parent_path().parent_path() / "tools");

  Toolchain chain;
  std::optional<std::vector<std::string>> pythons;
  for (Tool tool : allTools) {
    std::optional<FoundTool> &found = chain.tools[size_t(tool)];
    std::vector<SearchStep> &steps = chain.steps[size_t(tool)];
    auto look = [&](const std::string &origin, const std::string &folder, auto how) {
      if (found)
        return;
      steps.push_back({origin, folder});
      if (!folder.empty())
        if (std::optional<std::string> path = how(folder, tool))
          found = FoundTool{*path, origin};
    };
    for (const Prefix &prefix : prefixes)
      look(prefix.origin, prefix.folder, inPrefix);
    if (tool == Tool::NVRTC) {
      for (const std::string &folder : loaderFolders())
        look("the loader's folders", folder, inFolder);
    } else {
      for (const std::string &folder : splitPath(variable("PATH")))
        look("PATH", folder, inFolder);
    }
    if (found)
      continue;
    if (!pythons)
      pythons = pythonFolders();
    for (const std::string &folder : *pythons)
      look("Python's nvidia wheels", folder, inPrefix);
    if (pythons->empty())
      steps.push_back({"Python's nvidia wheels", "no Python here has an nvidia package"});
    look("beside the executable", beside, inPrefix);
  }
  return chain;
}

Result<std::string> Toolchain::need(Tool which) const {
  if (const std::optional<FoundTool> &found = tool(which))
    return found->path;
  return missing(fmt::format("{} was not found; it {}. To get it: {}. `attune doctor` says where was looked",
                             toolName(which), toolPurpose(which), howToGet(which)));
}

Result<std::string> Toolchain::version(Tool which) const {
  Result<std::string> path = need(which);
  if (!path)
    return path;
  if (which == Tool::NVRTC) {
    Result<const NvrtcApi *> api = NvrtcApi::open(*path);
    if (!api)
      return api.error();
    return fmt::format("{}.{}", (*api)->major, (*api)->minor);
  }
  Result<ProcessOutput> output = runProcess({*path, "--version"});
  if (!output)
    return output.error();
  std::string version = versionIn(output->out);
  if (output->status != 0 || version.empty())
    return missing(fmt::format("{}: expected a version from `{} --version`, got exit status {} and '{}'",
                               *path, toolName(which), output->status, output->err));
  return version;
}

std::string Toolchain::fingerprint(Tool which) const {
  struct stat status{};
  const std::optional<FoundTool> &found = tool(which);
  if (!found || ::stat(found->path.c_str(), &status) != 0)
    return "";
  return fmt::format("{} {} {}.{:09}", found->path, status.st_size, status.st_mtim.tv_sec,
                     status.st_mtim.tv_nsec);
}

} // namespace attune
