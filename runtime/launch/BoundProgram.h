//===- BoundProgram.h - a loaded program for one set of sizes ---*- C++ -*-===//
//
// The one place where kernels are launched. Binding evaluates everything that sizes decide: grids, bytes of
// shared memory and workspace, scalars. A launch then checks the caller's arrays against what the kernels say
// of their arguments, puts them into the parameter blocks by name, and issues the launches in order.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_LAUNCH_BOUNDPROGRAM_H
#define ATTUNE_RUNTIME_LAUNCH_BOUNDPROGRAM_H

#include "compiler/program/Program.h"
#include "compiler/spec/KernelForms.h"
#include "runtime/launch/Arguments.h"
#include "runtime/launch/Failure.h"
#include "runtime/launch/LoadedProgram.h"

#include <memory>
#include <string>
#include <vector>

namespace attune {

/// An argument that the caller gives.
struct BoundArgument {
  const Argument *argument; ///< of the first kernel that has it
  std::string_view name;    ///< as the caller calls it
  bool captured = false;    ///< an expression reads it
  bool output = false;      ///< some kernel writes it
  bool empty = false;       ///< it has no element: nobody looks at where it is
  std::array<int64_t, maxRank> shape{};
  uint64_t alignment = 1; ///< bytes that its address is a multiple of: a power of two
  /// Strides that launches take: of the dense array in either layout.
  std::vector<std::array<int64_t, maxRank>> known = {};
};

/// One launch with its numbers; one of no blocks is not issued.
struct BoundLaunch {
  size_t kernel = 0;
  Dim3 grid, block;
  uint32_t sharedBytes = 0;
  Dim3 cluster;
};

class BoundProgram {
public:
  /// Binds a program to sizes. `names`: what the caller calls arguments otherwise than the kernels do.
  /// Errors: InvalidShape (a grid that no device has, an extent that is no number).
  static v1::Result<BoundProgram> bind(std::shared_ptr<const LoadedProgram> program, const Sizes &sizes,
                                       const std::vector<CaptureName> &names = {});

  const LoadedProgram &program() const { return *words->program; }
  /// What the names of the arguments lie in: keeps them, for who keeps arrays that have them.
  std::shared_ptr<const void> names() const { return words; }
  const std::vector<BoundLaunch> &launches() const { return bound; }
  /// The arrays that a launch takes, in the order in which kernels have them.
  const std::vector<BoundArgument> &arrays() const { return arrayTable; }
  const std::vector<BoundArgument> &scalars() const { return scalarTable; }
  /// The array of this name, or null.
  const BoundArgument *findArray(std::string_view name) const;
  /// Bytes that every launch needs, at a multiple of 256, and how many of them it zeroes first.
  size_t workspaceBytes() const { return workspace; }
  size_t zeroBytes() const { return zeroed; }

  /// Enqueues the launches. Everything is checked first, and nothing is launched if it is not right
  /// (NullPointer, Misaligned, InvalidStrides, InvalidArgument). Takes no memory and waits for nothing.
  /// Errors of the device: LaunchFailed, KernelFault.
  v1::Status launch(Stream stream, const LaunchArguments &arguments) const;
  /// Whether launches take an array of this type, shape and strides.
  static bool takes(const BoundArgument &bound, const ArrayArgument &array);
  /// Whether a launch would take them; nothing is launched.
  v1::Status check(const LaunchArguments &arguments) const {
    Matched matched;
    return check(arguments, matched);
  }

private:
  /// The caller's arguments in the order of the tables; null: not given.
  struct Matched {
    std::array<const ArrayArgument *, maxArguments> arrays; // as far as the tables go
    std::array<const ScalarArgument *, maxArguments> scalars;
  };
  v1::Status check(const LaunchArguments &arguments, Matched &matched) const;

  /// Where a launch puts an address, a stride or a number.
  struct Patch {
    enum class What { Address, Stride, Workspace, F32, I32, Map } what;
    size_t index;    ///< in the table of arrays or scalars, or of maps
    size_t axis;     ///< of a stride
    uint64_t offset; ///< in the workspace
    int at;          ///< bytes from the block's start
  };
  /// The parameter block of a launch, with everything in it that sizes decide.
  struct Block {
    std::vector<std::byte> bytes;
    std::vector<Patch> patches;
  };

  /// A tensor map: an array, the box that is read of it, and its swizzle. The address and the strides come
  /// with each launch.
  struct Map {
    size_t array;
    TensorMapRequest request;
  };

  v1::Status encode(const Map &map, const ArrayArgument &array, std::byte *into) const;
  v1::Result<size_t> addMap(const Argument &argument);
  v1::Status collectArguments(const Sizes &sizes);
  v1::Status bindLaunches(const Sizes &sizes);
  v1::Status bindWorkspace(const Sizes &sizes);

  struct Words {
    std::shared_ptr<const LoadedProgram> program;
    std::vector<CaptureName> captures;
  };
  std::shared_ptr<const Words> words;
  std::vector<BoundArgument> arrayTable, scalarTable;
  std::vector<BoundLaunch> bound;
  std::vector<Block> blocks; ///< one a launch
  std::vector<Map> maps;
  size_t workspace = 0, zeroed = 0;
};

/// Elements from the first to the last of an array: how long its memory must be. Nothing if 64 bits cannot
/// count their bytes.
std::optional<int64_t> spanOf(const ArrayArgument &array);

/// Whether two elements of an array share memory. Exact for strides that nest, which all real layouts do, in
/// either direction; others are taken to overlap.
bool overlaps(const ArrayArgument &array);

/// The array, dense, with no address yet: axes (batch, head, row, dim) in the order of `layout`, others in
/// their own. Strides that 64 bits do not hold become the largest number, which a launch refuses.
ArrayArgument denseArray(const BoundArgument &argument, Layout layout);

} // namespace attune

#endif // ATTUNE_RUNTIME_LAUNCH_BOUNDPROGRAM_H
