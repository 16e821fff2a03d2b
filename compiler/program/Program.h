//===- Program.h - what a spec compiles to ----------------------*- C++ -*-===//
//
// Kernels with their arguments, the launches that compute the result, and the workspace that they share, all
// as plain data: the compiler derives it from the tile program, a cache entry's metadata carries it, and
// whoever launches packs arguments by name. Where an argument lies in a kernel's parameter block is decided
// here only.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_PROGRAM_PROGRAM_H
#define ATTUNE_COMPILER_PROGRAM_PROGRAM_H

#include "compiler/program/Schedule.h"
#include "compiler/program/SizeExpr.h"
#include "compiler/support/DType.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace attune {

/// One argument of a kernel.
struct Argument {
  enum class Kind {
    Array,     ///< in global memory; elements of the last axis are adjacent, other axes have strides
    Scalar,    ///< a 32-bit number
    Workspace, ///< a part of the program's workspace
    TensorMap, ///< how TMA reads boxes of an array (CUtensorMap)
  };

  std::string name; ///< a C identifier: "q", "lse", "length_q", "scale"
  Kind kind = Kind::Array;
  DType type = DType::F32; ///< of an element, or of the scalar

  // Array: extents of its axes, outermost first, in the kernel's order whatever the order in memory.
  std::vector<SizeExpr> axes;
  bool output = false;   ///< the kernel writes it
  bool optional = false; ///< may be absent (base 0)
  int alignment = 0;     ///< bytes that its address and strides are multiples of; 0: those of an element

  // Scalar: what it is, where sizes say it; otherwise the caller gives it by name.
  std::optional<SizeExpr> value;
  /// Of an i32 that the caller gives: the least and the most that the kernel takes, where that is less than
  /// 32 bits hold.
  std::optional<std::array<int32_t, 2>> range;

  // Workspace: its bytes, and whether they must be zero before the program's first launch.
  SizeExpr bytes;
  bool zero = false;

  // TensorMap: the array that it describes, elements of a box (innermost axis first), and its swizzle in
  // bytes.
  std::string array;
  std::vector<int> box;
  int swizzle = 0;

  bool isFloat() const { return type == DType::F16 || type == DType::BF16 || type == DType::F32; }

  /// "q: array<batch x heads_q x len_q x 128 x bf16>", "o: array<...> output align 16", "length_q: i32 =
  /// len_q", "scale: f32", "window: i32 in 0..1024", "partial: workspace<f32, sm_count * 4> zero", "k_map:
  /// tensor_map<k, 64 x 128, swizzle 128>"; `parse` reads it back.
  std::string text() const;
  static Result<Argument> parse(std::string_view text);

  bool operator==(const Argument &) const = default;
};

/// One field of a kernel's parameter block.
struct ParameterField {
  enum class What { Base, Stride, Value, Map };
  size_t argument; ///< whose it is: an index of the kernel's arguments
  What what;
  size_t axis = 0; ///< of a stride (in elements)
  int offset = 0;  ///< bytes from the block's start
  int bytes = 0;
};

/// The one parameter of a kernel, passed by value: for each argument in turn its fields, as C lays out a
/// struct. An array is its address (8 bytes) and the stride of each axis but the last (8 bytes each); a
/// scalar is its 4 bytes; a workspace is an address; a tensor map is 128 bytes.
struct ParameterBlock {
  std::vector<ParameterField> fields;
  int bytes = 0;
  int alignment = 8;

  explicit ParameterBlock(const std::vector<Argument> &arguments);
  /// The field; there must be one.
  const ParameterField &field(size_t argument, ParameterField::What what, size_t axis = 0) const;
};

/// The most bytes that parameters of a kernel may take (CUDA C++ Programming Guide, before compute capability
/// 9 with CUDA 12.1).
constexpr int maxParameterBytes = 4096;

/// A kernel without its text.
struct KernelInfo {
  std::string name; ///< the entry point
  std::vector<Argument> arguments;
  Schedule schedule;      ///< with nothing left open
  int threads = 0;        ///< of a block; a launch bound
  int minBlocksPerSm = 1; ///< occupancy that the schedule is planned for; also a launch bound
  int sharedBytes = 0;    ///< dynamic shared memory of a block
  std::array<int, 3> cluster = {1, 1, 1};

  std::optional<size_t> find(std::string_view argument) const;
};

/// One launch of a kernel of a program.
struct Launch {
  size_t kernel = 0;            ///< an index of the program's kernels
  std::array<SizeExpr, 3> grid; ///< in blocks
  int block = 0;                ///< threads
  std::array<int, 3> cluster = {1, 1, 1};
  SizeExpr sharedBytes; ///< dynamic shared memory

  bool operator==(const Launch &) const = default;
};

/// Where a workspace argument lies in the program's workspace. Arguments of one name are one part, whichever
/// kernels have them.
struct WorkspacePart {
  std::string name;
  SizeExpr offset, bytes; ///< the offset is a multiple of 256
  bool zero = false;      ///< to be zeroed before the first launch
};

/// Kernels, the launches that run them in order, and the workspace that these share.
struct Program {
  std::vector<KernelInfo> kernels;
  std::vector<Launch> launches;

  /// The kernel that the schedule is of: others prepare what it reads, or finish what it wrote.
  size_t mainKernel() const;
  const KernelInfo &main() const { return kernels[mainKernel()]; }

  std::vector<WorkspacePart> workspace() const;
  SizeExpr workspaceBytes() const;
  /// Parts that must be zero come first: the number of bytes from the start to zero.
  SizeExpr zeroBytes() const;

  /// Lines `kernel NAME: SCHEDULE` with its facts and arguments indented below, and lines `launch NAME: ...`;
  /// `parse` reads them back, and refuses programs whose parts do not agree.
  std::string text() const;
  static Result<Program> parse(std::string_view text);

  /// The text as comments of PTX and CUDA C++, to stand behind the kernels' text, and back from that text,
  /// which `file` names in messages.
  std::string trailer() const;
  static bool hasTrailer(std::string_view kernelText);
  static Result<Program> fromTrailer(std::string_view kernelText, std::string_view file);
};

} // namespace attune

#endif // ATTUNE_COMPILER_PROGRAM_PROGRAM_H
