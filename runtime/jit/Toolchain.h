//===- Toolchain.h - where NVIDIA's tools are -------------------*- C++ -*-===//
//
// attune needs no CUDA toolkit, but uses three of its parts where they are found: NVRTC (target cuda),
// ptxas (PTX to cubin without a driver) and nvdisasm (issue slots). This file finds them, and can say
// where it looked.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_JIT_TOOLCHAIN_H
#define ATTUNE_RUNTIME_JIT_TOOLCHAIN_H

#include "compiler/support/Result.h"

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace attune {

enum class Tool { NVRTC, Ptxas, Nvdisasm };
inline constexpr std::array allTools = {Tool::NVRTC, Tool::Ptxas, Tool::Nvdisasm};
/// "NVRTC", "ptxas", "nvdisasm".
const char *toolName(Tool tool);
/// What attune uses it for, and how to get it: for `attune doctor` and for messages.
const char *toolPurpose(Tool tool);
std::string howToGet(Tool tool);

/// A tool that was found.
struct FoundTool {
  std::string path;
  std::string origin; ///< what led to it: "CUDA_HOME", "PATH", "Python's nvidia wheels"...
};

/// One place that was looked at.
struct SearchStep {
  std::string origin;
  std::string folder; ///< or what stands for it; empty: the variable is not set
};

/// The tools of this machine. Finding them only looks at file names; nothing is run or opened.
class Toolchain {
public:
  /// Looks in, first hit wins, tool by tool: ATTUNE_TOOLS_DIR, CUDA_HOME, CUDA_PATH, /usr/local/cuda, PATH
  /// (for NVRTC the system's library folders), the `nvidia` wheels of the Pythons on PATH and of VIRTUAL_ENV,
  /// and
  /// `../tools` of the executable.
  static Toolchain find();

  const std::optional<FoundTool> &tool(Tool tool) const { return tools[size_t(tool)]; }
  /// The path, or an error of kind Missing that says how to get the tool.
  Result<std::string> need(Tool tool) const;
  /// "13.0.88" by asking the tool itself (ptxas and nvdisasm are run, NVRTC is opened: "13.0").
  Result<std::string> version(Tool tool) const;
  /// Changes whenever the tool's file does; costs one stat. "" if there is none. Part of cache keys' memo.
  std::string fingerprint(Tool tool) const;
  const std::vector<SearchStep> &searched(Tool tool) const { return steps[size_t(tool)]; }

private:
  std::array<std::optional<FoundTool>, allTools.size()> tools;
  std::array<std::vector<SearchStep>, allTools.size()> steps;
};

} // namespace attune

#endif // ATTUNE_RUNTIME_JIT_TOOLCHAIN_H
