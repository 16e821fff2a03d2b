//===- Oracle.h - what a tile program computes, to the bit ------*- C++ -*-===//
//
// An interpreter of the tile dialect. Values are whole tiles, operations run in the program's order, products
// follow the tensor core's exact rule; rings, copies and waits count in meaning only: which tile is read,
// never where it lies. It shares no layout and no lowering with the compiler, so that what it gives is what
// every target must give on the simulator and on a GPU, whatever the family.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TESTS_ORACLE_ORACLE_H
#define ATTUNE_TESTS_ORACLE_ORACLE_H

#include "compiler/program/Program.h"

#include <functional>
#include <map>
#include <memory>

namespace attune::oracle {

/// An array that kernels are launched with, in the order of the kernel's axes.
struct HostArray {
  void *data = nullptr; ///< null: absent, for optional ones
  /// Elements from one index of an axis to the next, for each axis but the last, whose elements are adjacent.
  std::vector<int64_t> strides;
};

/// What a program is launched with.
struct LaunchInputs {
  Sizes sizes;
  std::map<std::string, HostArray> arrays;
  std::map<std::string, double> scalars; ///< those that do not follow from sizes
};

/// Tile kernels, parsed.
class TileProgram {
public:
  /// `text` is the stage `tile`, as a schedule wrote it; `file` names it in messages.
  static Result<TileProgram> parse(const std::string &text, const std::string &file);

  /// The arguments of the kernels, each name once.
  const std::vector<Argument> &arguments() const;

  /// Runs the kernels in their order, each over its whole grid, and writes the arrays that are outputs. An
  /// error names the operation that has no meaning: it reads what nobody wrote, or waits for ever.
  Status run(const LaunchInputs &inputs) const;

private:
  struct State;
  std::shared_ptr<const State> state;
};

} // namespace attune::oracle

#endif // ATTUNE_TESTS_ORACLE_ORACLE_H
