//===- TableFunction.h - the pieces of one dumped function ----------*- C++ -*-===//
//
// Tables.h describes the file that these come from.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_TABLEFUNCTION_H
#define ATTUNE_SIMULATOR_TABLEFUNCTION_H

#include "simulator/Tables.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

namespace attune::sim {

/// Adjacent arguments and how their values are found.
struct TablePiece {
  enum Kind : uint8_t { Constant, Copy, Quadratic, Fixed };
  uint32_t first = 0;
  Kind kind = Constant;
  uint8_t log2 = 0, block = 0, width = 0; ///< `block` of a Copy or Fixed: its shift
  uint32_t word = 0;                      ///< Constant: the value; Copy: the number of its piece, as of Fixed
  int64_t scale = 0, offset = 0;
  uint32_t step = 0, add = 0;
  uint64_t dataOffset = 0;
  uint32_t packedBytes = 0, exceptions = 0;

  /// Whether its values come from those of another piece.
  bool isDerived() const { return kind == Copy || kind == Fixed; }
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
  uint32_t compute(uint32_t i) const;
  mutable std::once_flag once, onceTabulated;
  mutable std::unique_ptr<const Unpacked> unpacked;
  /// Every value, once so many were asked for that it pays: a long run looks up what a short one computes.
  mutable std::unique_ptr<const uint32_t[]> table;
  mutable std::atomic<const uint32_t *> tabulated = nullptr;
  mutable std::atomic<uint32_t> asked = 0;
};

/// One function of a device.
class TableFunction {
public:
  std::string opcode;
  int bits = 32; ///< of an argument
  std::vector<std::unique_ptr<TablePiece>> pieces;
  std::string_view data;

  std::optional<uint32_t> value(uint32_t argument) const;
  /// To be called when the pieces are there.
  void index();

private:
  /// Of each 2^octaveBits arguments, the last piece that begins before them or with them: where a search
  /// begins.
  static constexpr int octaveBits = 23;
  std::vector<uint32_t> firstPieces;
};

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_TABLEFUNCTION_H
