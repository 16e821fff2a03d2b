//===- Compiler.h - from a spec to kernel text ------------------*- C++ -*-===//
//
// The compiler's whole interface. It includes no LLVM header and knows nothing of devices.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_COMPILER_H
#define ATTUNE_COMPILER_COMPILER_H

#include "compiler/program/Program.h"
#include "compiler/spec/Spec.h"
#include "compiler/support/Arch.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace attune {

/// The two forms of kernel text.
enum class Target { PTX, CUDA };

/// The stages at which a kernel can be seen, edited and fed back, in order. `Text` is what the target
/// prints: PTX or CUDA C++.
enum class Stage { Attn, Tile, Thread, LLVM, Text };

/// Takes the stages and passes of a compilation as they come: a name for the file ("03-attn-to-tile.mlir")
/// and its text. The compiler itself writes no file.
using DumpSink = std::function<Status(std::string_view name, std::string_view text)>;

struct CompileOptions {
  Arch arch;
  Target target = Target::PTX;
  Stage emit = Stage::Text; ///< where to stop
  DumpSink dump;            ///< if set, it is given every stage and pass, numbered
};

/// Text of a program's kernels, or of the stage asked for, and what is known about them without assembling.
struct KernelText {
  std::string name; ///< the entry point
  Target target;
  Arch arch;
  Stage stage;
  std::string text;
  Program program; ///< the kernels of the text, and how they are launched
  Schedule schedule;
  int threads;          ///< of a CTA
  int sharedBytes;      ///< dynamic shared memory to launch with
  int minBlocksPerSm;   ///< occupancy that the schedule is planned for; also a launch bound
  std::string why;      ///< where the schedule came from, for people
  std::string tileText; ///< the tile program whose lines the text's `.loc`s point at (target PTX)
};

/// Lowers `spec`; messages name the places in `spec.origin`.
Result<KernelText> compile(const AttentionSpec &spec, const CompileOptions &options);

/// Goes on from the text of a stage (`--from`). `file` names it in messages.
Result<KernelText> compileFrom(Stage stage, const std::string &text, const std::string &file,
                               const CompileOptions &options);

} // namespace attune

#endif // ATTUNE_COMPILER_COMPILER_H
