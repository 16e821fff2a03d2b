//===- Cubin.h - what machine code says of itself ---------------*- C++ -*-===//
//
// A cubin is an ELF file that tells, for each kernel, what a launch of it takes. This reads it from there and
// not from the assembler's log, which NVRTC leaves empty where it has compiled the same text before.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_JIT_CUBIN_H
#define ATTUNE_RUNTIME_JIT_CUBIN_H

#include "runtime/launch/CompiledProgram.h"

#include <string>
#include <string_view>

namespace attune {

/// What a launch of `entry` takes. Spills are the bytes of its accesses to local memory, each instruction
/// counted once, where it has a stack frame: attune's kernels have no arrays there. An error if `cubin` is no
/// cubin, is cut short, or has no such entry.
Result<AssemblerReport> reportOf(std::string_view cubin, const std::string &entry);

} // namespace attune

#endif // ATTUNE_RUNTIME_JIT_CUBIN_H
