//===- SimArguments.h - the --arg values of attune sim -----------*- C++ -*-===//
//
// One text an argument: a buffer that comes from a .npy file or goes to one, a number, or bytes. Buffers are
// made in the simulator's memory as the texts are read.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_CLI_SIMARGUMENTS_H
#define ATTUNE_CLI_SIMARGUMENTS_H

#include "runtime/io/Npy.h"
#include "simulator/Simulator.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attune::cli {

/// What the kernel leaves in a buffer, to be written to a file.
struct SimOutput {
  size_t argument = 0; ///< from 0
  std::string path;
  ElementType type = ElementType::F32;
  std::vector<int64_t> shape;
  uint64_t address = 0;
};

/// What `attune sim --help` says about them.
extern const char *const simArgumentHelp;

/// Reads --arg texts, in the order of the parameters.
class SimArguments {
public:
  explicit SimArguments(sim::GlobalMemory &memory) : memory(memory) {}
  /// The next argument; the error is "expected ..., got ..." alone.
  Result<sim::Argument> read(const std::string &text);
  /// The bytes of a module's variable, given as a number, a struct, bytes or a .npy file; the error is as
  /// above.
  Result<std::vector<std::byte>> variable(const std::string &text);
  const std::vector<SimOutput> &outputs() const { return results; }

private:
  Result<sim::Argument> value(std::string_view text);
  Result<sim::Argument> fromFile(std::string_view rest, bool written);
  Result<sim::Argument> fresh(std::string_view rest, bool written);
  Result<sim::Argument> again(std::string_view rest);
  Result<sim::Argument> bytes(std::string_view rest);
  Result<sim::Argument> fields(std::string_view rest);
  Result<uint64_t> allocate(size_t bytes, std::string_view name);

  sim::GlobalMemory &memory;
  size_t index = 0;
  struct Buffer {
    uint64_t address = 0;
    std::string_view typeName; ///< as findTensorType takes it
    std::vector<int64_t> shape;
  };
  Result<sim::Argument> tensorMap(std::string_view rest);
  std::vector<std::optional<Buffer>> buffers; ///< of each argument before this one, if it is one
  std::vector<SimOutput> results;
};

} // namespace attune::cli

#endif // ATTUNE_CLI_SIMARGUMENTS_H
