//===- Expression.h - masks and scores as typed trees -----------*- C++ -*-===//
//
// What a spec's expressions become: a tree of i32, f32 and bool over the place of a score, its value, the
// lengths, captured arrays and run-time scalars. No LLVM in it, and nothing of how a kernel computes it.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SPEC_EXPR_EXPRESSION_H
#define ATTUNE_COMPILER_SPEC_EXPR_EXPRESSION_H

#include "compiler/support/DType.h"

#include <bit>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace attune::expr {

enum class Type : uint8_t { Bool, I32, F32 };
const char *nameOf(Type type); ///< "bool", "i32", "f32"

/// The place of a score: batch entry, query head, KV head, query, key; the lengths; and, in a score, its
/// value.
enum class Variable : uint8_t { B, H, Hkv, Q, Kv, LengthQ, LengthKv, Score };
const char *nameOf(Variable variable); ///< "b", "hkv", "len_q"
std::optional<Variable> findVariable(std::string_view name);

/// An axis of a captured array: as long as a variable reaches (b: batch, h: query heads, hkv: KV heads, q and
/// kv: the lengths), or of a fixed length, as a table's.
struct Axis {
  std::optional<Variable> variable; ///< B, H, Hkv, Q or Kv
  int64_t extent = 0;               ///< where there is no variable

  bool operator==(const Axis &) const = default;
};
std::string textOf(const Axis &axis); ///< "kv", "32"
std::optional<Axis> findAxis(std::string_view text);

/// An array that expressions read by name: NAME[i, j]. An index beyond its axis reads the nearest element.
struct CapturedArray {
  std::string name;
  DType dtype = DType::I32; ///< i32, f32, fp16, bf16, or u8, which is read as bool
  std::vector<Axis> axes;
  std::string file; ///< what `attune run` reads where nobody says otherwise; may be empty

  Type type() const { return dtype == DType::I32 ? Type::I32 : dtype == DType::U8 ? Type::Bool : Type::F32; }
  bool operator==(const CapturedArray &) const = default;
};

/// A number that is given at launch: another value is not another kernel.
struct CapturedScalar {
  std::string name;
  Type type = Type::I32;       ///< I32 or F32
  std::optional<double> value; ///< what runs give where nobody says otherwise

  bool operator==(const CapturedScalar &) const = default;
};

/// What expressions know by name beside variables and functions.
struct Captures {
  std::vector<CapturedArray> arrays;
  std::vector<CapturedScalar> scalars;

  bool operator==(const Captures &) const = default;
};

enum class Op : uint8_t {
  // Leaves.
  Constant,
  Variable,
  Scalar,
  Element, ///< of a captured array; operands are its indices
  // Prefix.
  Negate,
  Not,
  Complement,
  // Infix. Of i32 and bool, Add, Multiply, And, Or, BitAnd, BitXor and BitOr may have more than two operands.
  Multiply,
  Divide,
  Remainder,
  Add,
  Subtract,
  ShiftLeft,
  ShiftRight,
  Less,
  LessEqual,
  Equal,
  NotEqual,
  BitAnd,
  BitXor,
  BitOr,
  And,
  Or,
  Select, ///< condition ? a : b
  // Functions. Min and Max of i32 may have more than two operands.
  Min,
  Max,
  Abs,
  Exp,
  Exp2,
  Log,
  Log2,
  Sqrt,
  Rsqrt,
  Tanh,
  Sigmoid,
  ToFloat,
  ToInt,
};

/// How an operation is written.
struct OpInfo {
  enum class Form : uint8_t { Leaf, Prefix, Infix, Select, Function } form;
  const char *text;   ///< "+", "min"
  int precedence = 0; ///< C's: a larger one binds tighter
  bool commutes = false;
};
const OpInfo &infoOf(Op op);
/// The function of this name; Min and Max take two arguments or more, others one.
std::optional<Op> findFunction(std::string_view name);

constexpr int kSelectPrecedence = 1, kPrefixPrecedence = 12;

/// A node of an expression, by its number.
using Ref = uint32_t;

struct Node {
  Op op = Op::Constant;
  Type type = Type::I32;
  double number = 0;   ///< of a constant: exact in its type; bool: 0 or 1
  uint32_t symbol = 0; ///< a Variable, or the number of a captured scalar or array
  std::vector<Ref> operands;

  /// A number counts by its bits: 0 and -0 are two.
  auto key() const {
    return std::tuple<Op, Type, uint64_t, uint32_t, const std::vector<Ref> &>(
        op, type, std::bit_cast<uint64_t>(number), symbol, operands);
  }
};

/// Nodes, operands before their users. Equal nodes are one.
class Expression {
public:
  Ref add(Node node);
  const Node &operator[](Ref ref) const { return nodes[ref]; }
  size_t size() const { return nodes.size(); }

  Ref root = 0;

  // Leaves and operations whose operands have the right types.
  Ref constant(Type type, double number) { return add({Op::Constant, type, number, 0, {}}); }
  Ref integer(int64_t number) { return constant(Type::I32, double(number)); }
  Ref variable(Variable variable) {
    return add(
        {Op::Variable, variable == Variable::Score ? Type::F32 : Type::I32, 0, uint32_t(variable), {}});
  }
  Ref make(Op op, Type type, std::vector<Ref> operands) { return add({op, type, 0, 0, std::move(operands)}); }

private:
  struct ByKey {
    bool operator()(const Node &a, const Node &b) const { return a.key() < b.key(); }
  };
  std::vector<Node> nodes;
  std::map<Node, Ref, ByKey> known;
};

/// The expression, with no more parentheses and spaces than it needs to be read back as it is. Captures are
/// called as `captures` says.
std::string textOf(const Expression &expression, const Captures &captures);
std::string textOf(const Expression &expression, Ref part, const Captures &captures);

/// `expression` with constants folded, equal to it for every value, and with operands of commutative
/// operations in an order that does not depend on how they were written.
Expression simplify(const Expression &expression, const Captures &captures);

} // namespace attune::expr

#endif // ATTUNE_COMPILER_SPEC_EXPR_EXPRESSION_H
