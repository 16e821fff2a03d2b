//===- Assemble.h - kernel text to machine code -----------------*- C++ -*-===//
//
// CUDA C++ to PTX and cubin by NVRTC, PTX to cubin by ptxas, and what the assembler says about it. No GPU
// and no driver is needed.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_JIT_ASSEMBLE_H
#define ATTUNE_RUNTIME_JIT_ASSEMBLE_H

#include "compiler/support/Arch.h"
#include "runtime/jit/Toolchain.h"
#include "runtime/launch/CompiledProgram.h"

#include <string>
#include <vector>

namespace attune {

/// A header that `#include "name"` finds.
struct NamedText {
  std::string name;
  std::string text;
};

/// The headers that emitted CUDA C++ includes, by the names it includes them by.
const std::vector<NamedText> &templateHeaders();

struct Assembled {
  std::string ptx; ///< NVRTC only
  std::string cubin;
  std::vector<AssemblerReport> reports; ///< of each kernel that was asked for
  std::string log;                      ///< what the tool said; may be empty
};

/// CUDA C++ by NVRTC with -std=c++17 -fmad=false -lineinfo. `sourceName` names the source in messages and
/// line tables, `entries` are the kernels to report on. Fails with the compiler's own messages.
Result<Assembled> compileCuda(const Toolchain &tools, const std::string &source,
                              const std::string &sourceName, const std::vector<NamedText> &headers,
                              const Arch &arch, const std::vector<std::string> &entries);

/// PTX by ptxas. `sourceName` names it in messages, `entries` are the kernels to report on.
Result<Assembled> assemblePtx(const Toolchain &tools, const std::string &ptx, const std::string &sourceName,
                              const Arch &arch, const std::vector<std::string> &entries);

/// An error where the log has a message C75xx: the assembler had to serialise or ignore what the kernel asks
/// for. The log may be empty: NVRTC leaves it so where it knows the text from before.
Status checkAssemblerLog(const std::string &log, const std::string &entry);

/// The newest PTX ISA that attune prints or passes on: what a driver of CUDA 13.0 reads.
inline constexpr int newestPtxIsa = 90;

} // namespace attune

#endif // ATTUNE_RUNTIME_JIT_ASSEMBLE_H
