//===- TableFunction.h - the pieces of one dumped function ----------*- C++ -*-===//
//
// Tables.h describes the file that these come from.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_TABLEFUNCTION_H
#define ATTUNE_SIMULATOR_TABLEFUNCTION_H

#include "simulator/Tables.h"

#include <mutex>
#include <optional>

namespace attune::sim {

/// Adjacent arguments and how their values are found.
struct TablePiece {
  enum Kind : uint8_t { Constant, Copy, Quadratic };
  uint32_t first = 0;
  Kind kind = Constant;
  uint8_t log2 = 0, block = 0, width = 0;
  uint32_t word = 0; ///< Constant: the value; Copy: the number of its piece
  int64_t scale = 0, offset = 0;
  uint32_t step = 0, add = 0;
  uint64_t dataOffset = 0;
  uint32_t packedBytes = 0, exceptions = 0;

  /// Bytes of a quadratic piece when unpacked.
  size_t rawBytes() const;
  /// Unpacks a quadratic piece at its first use; only then `quadratic` may be asked.
  Status unpack(std::string_view packed) const;
  uint32_t quadratic(uint32_t i) const;

private:
  struct Unpacked {
    std::string raw;
    const char *y, *c[3], *residuals, *places, *values; ///< in `raw`
  };
  mutable std::once_flag once;
  mutable std::unique_ptr<const Unpacked> unpacked;
};

/// One function of a device.
class TableFunction {
public:
  std::string opcode;
  int bits = 32; ///< of an argument
  std::vector<std::unique_ptr<TablePiece>> pieces;
  std::string_view data;

  std::optional<uint32_t> value(uint32_t argument) const;
};

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_TABLEFUNCTION_H
