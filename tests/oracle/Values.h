//===- Values.h - what SSA values are when a program runs -------*- C++ -*-===//
#ifndef ATTUNE_TESTS_ORACLE_VALUES_H
#define ATTUNE_TESTS_ORACLE_VALUES_H

#include "runtime/reference/TensorCore.h"
#include "tests/oracle/Oracle.h"

#include "mlir/IR/BuiltinTypes.h"

#include <bit>
#include <memory>
#include <optional>
#include <variant>

namespace attune::oracle {

/// Threads that share a row of an accumulator: each owns two of every eight columns, and a part of a row's
/// partial reduction.
constexpr int64_t partsOfRow = 4;
inline int64_t partOfColumn(int64_t column) { return column / 2 % partsOfRow; }
/// Warps take 16 rows each in turn.
inline int64_t warpOfRow(int64_t row, int64_t warps) { return row / 16 % warps; }

/// Numbers, as 32-bit words: the bits of f32, i32, i1 (0 or 1) or of a 16-bit type.
class Words {
public:
  enum Spread {
    One,   ///< a scalar, or a row or tile whose elements are all equal
    Warps, ///< a scalar that differs from warp to warp
    Rows,  ///< `partsOfRow` words for each row
    Tile,  ///< row after row
  };

  Words() = default;
  Words(uint32_t word) : values(std::make_shared<std::vector<uint32_t>>(1, word)) {}
  Words(float value) : Words(std::bit_cast<uint32_t>(value)) {}
  Words(Spread spread, std::vector<uint32_t> words)
      : spreadOf(spread), values(std::make_shared<std::vector<uint32_t>>(std::move(words))) {}

  Spread spread() const { return spreadOf; }
  size_t size() const { return values->size(); }
  const uint32_t *data() const { return values->data(); }
  uint32_t operator[](size_t i) const { return spreadOf == One ? values->front() : (*values)[i]; }
  float f32(size_t i) const { return std::bit_cast<float>((*this)[i]); }

  /// All words of a value of this type, of `warps` warps.
  std::vector<uint32_t> expanded(mlir::Type type, int64_t warps) const;
  /// A scalar of each warp; of One spread where they agree.
  static Words ofWarps(std::vector<uint32_t> words);

private:
  Spread spreadOf = One;
  std::shared_ptr<std::vector<uint32_t>> values;
};

inline uint32_t wordOf(float value) { return std::bit_cast<uint32_t>(value); }
/// The NaN that the machine's arithmetic gives; other values as they are.
inline float canonical(float value) { return value != value ? std::bit_cast<float>(0x7fffffffu) : value; }

/// max.f32: the operand that is not NaN; +0 is larger than -0.
float maxOf(float a, float b);

/// A tile in shared memory. Who names it last reads what was written last.
struct SharedTile {
  SharedTile(DType type, int64_t rows, int64_t cols)
      : type(type), rows(rows), cols(cols), bits(size_t(rows * cols)) {}

  const reference::DecodedMatrix &decoded(bool transposed) const;
  void changed() { plain.reset(), transposed.reset(); }

  DType type;
  int64_t rows, cols;
  std::vector<uint16_t> bits;
  /// What take_nonfinite took out: all replicas that share the tile take it.
  struct Taken {
    int64_t row, column;
    float value;
  };
  std::vector<Taken> taken;
  bool written = false; ///< something was copied into it
  bool ready = false;   ///< all copies were issued: who waits may go on
  bool gone = false;    ///< its slot holds another tile by now
  int waited = 0;       ///< how often somebody waited for it, ...
  int released = 0;     ///< ... and gave it back
private:
  mutable std::unique_ptr<reference::DecodedMatrix> plain, transposed;
};

/// The tiles of a ring that are in its slots.
struct Ring {
  int64_t depth = 0, rows = 0, cols = 0;
  DType type = DType::BF16;
  std::map<int64_t, std::shared_ptr<SharedTile>> tiles;
};

/// Numbers that one role hands to others.
struct NumberRing {
  std::map<int64_t, uint32_t> numbers;
};

/// Where the roles of a block agree.
struct Meeting {
  size_t voters = 1, arrived = 0;
  uint32_t bits = 0, result = 0;
  uint64_t round = 0;
};

/// An array of the launch, or a part of the workspace.
struct BoundArray {
  const Argument *argument = nullptr;
  char *data = nullptr;
  std::vector<int64_t> extents, strides; ///< a stride for each axis
};

/// Rows of an array.
struct MatrixView {
  const BoundArray *array = nullptr;
  int64_t start = 0;            ///< elements from the array's first
  int64_t rows = 0;             ///< that the program says it has
  int64_t rowsOfArray = 0;      ///< that there are
  int64_t cols = 0, stride = 0; ///< elements
};

using Datum = std::variant<std::monostate, Words, std::shared_ptr<SharedTile>, std::shared_ptr<Ring>,
                           std::shared_ptr<NumberRing>, const BoundArray *, MatrixView>;

/// What an operation of arith or math makes of its operands. Nothing: it has no meaning here.
std::optional<Words> evaluate(mlir::Operation *op, llvm::ArrayRef<Words> operands, int64_t warps);

} // namespace attune::oracle

#endif // ATTUNE_TESTS_ORACLE_VALUES_H
