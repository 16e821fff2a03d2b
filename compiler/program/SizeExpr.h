//===- SizeExpr.h - numbers that are known at launch ------------*- C++ -*-===//
//
// Small integer expressions over the sizes of a problem and facts of the device: extents of arrays, grids,
// bytes of workspace. They are data: printed, parsed, stored with a kernel, evaluated without memory.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_PROGRAM_SIZEEXPR_H
#define ATTUNE_COMPILER_PROGRAM_SIZEEXPR_H

#include "compiler/support/Result.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attune {

/// What an expression may ask for.
enum class Size { Batch, HeadsQ, HeadsKv, LengthQ, LengthKv, SmCount };
constexpr size_t kSizes = 6;

/// "batch", "heads_q", "heads_kv", "len_q", "len_kv", "sm_count".
const char *nameOf(Size size);
std::optional<Size> findSize(std::string_view name);

/// A value for each Size.
struct Sizes {
  std::array<int64_t, kSizes> values{};
  int64_t &operator[](Size size) { return values[size_t(size)]; }
  int64_t operator[](Size size) const { return values[size_t(size)]; }
};

class SizeExpr {
public:
  SizeExpr(int64_t constant = 0) : terms{{Op::Constant, constant}} {}
  SizeExpr(Size size) : terms{{Op::Size, int64_t(size)}} {}

  friend SizeExpr operator+(const SizeExpr &a, const SizeExpr &b) { return join(Op::Add, a, b); }
  friend SizeExpr operator-(const SizeExpr &a, const SizeExpr &b) { return join(Op::Sub, a, b); }
  friend SizeExpr operator*(const SizeExpr &a, const SizeExpr &b) { return join(Op::Mul, a, b); }
  /// Rounded down and up; of numbers that are not negative.
  friend SizeExpr operator/(const SizeExpr &a, const SizeExpr &b) { return join(Op::Div, a, b); }
  friend SizeExpr ceilDiv(const SizeExpr &a, const SizeExpr &b) { return join(Op::CeilDiv, a, b); }
  friend SizeExpr min(const SizeExpr &a, const SizeExpr &b) { return join(Op::Min, a, b); }
  friend SizeExpr max(const SizeExpr &a, const SizeExpr &b) { return join(Op::Max, a, b); }

  /// Nothing where 64 bits do not hold a part of it, or a divisor is not positive. Takes no memory.
  std::optional<int64_t> evaluate(const Sizes &sizes) const;

  /// The number, where the expression is one.
  std::optional<int64_t> constant() const;
  /// The size, where the expression is one.
  std::optional<Size> size() const;

  /// "ceil_div(len_q, 128) * heads_q"; `parse` reads it back.
  std::string text() const;
  static Result<SizeExpr> parse(std::string_view text);

  bool operator==(const SizeExpr &) const = default;

private:
  enum class Op : uint8_t { Constant, Size, Add, Sub, Mul, Div, CeilDiv, Min, Max };
  struct Term {
    Op op;
    int64_t value = 0;
    bool operator==(const Term &) const = default;
  };
  static SizeExpr join(Op op, const SizeExpr &a, const SizeExpr &b);
  friend class SizeExprParser;

  std::vector<Term> terms; ///< operands before their operator
};

SizeExpr ceilDiv(const SizeExpr &a, const SizeExpr &b);

} // namespace attune

#endif // ATTUNE_COMPILER_PROGRAM_SIZEEXPR_H
