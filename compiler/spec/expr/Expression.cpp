//===- Expression.cpp - masks and scores as typed trees -------------------===//
#include "compiler/spec/expr/Expression.h"

#include <array>
#include <charconv>

#include <fmt/format.h>

namespace attune::expr {

const char *nameOf(Type type) { return type == Type::Bool ? "bool" : type == Type::I32 ? "i32" : "f32"; }

static constexpr std::array variableNames = {"b", "h", "hkv", "q", "kv", "len_q", "len_kv", "score"};

const char *nameOf(Variable variable) { return variableNames[size_t(variable)]; }

std::optional<Variable> findVariable(std::string_view name) {
  for (size_t i = 0; i < variableNames.size(); ++i)
    if (name == variableNames[i])
      return Variable(i);
  return std::nullopt;
}

std::string textOf(const Axis &axis) {
  return axis.variable ? nameOf(*axis.variable) : std::to_string(axis.extent);
}

std::optional<Axis> findAxis(std::string_view text) {
  if (std::optional<Variable> variable = findVariable(text); variable && *variable <= Variable::Kv)
    return Axis{variable, 0};
  Axis axis;
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), axis.extent);
  if (failed != std::errc() || end != text.data() + text.size() || axis.extent < 1 || axis.extent > 1 << 30)
    return std::nullopt;
  return axis;
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

using Form = OpInfo::Form;

static constexpr OpInfo table[] = {
    {Form::Leaf, ""},
    {Form::Leaf, ""},
    {Form::Leaf, ""},
    {Form::Leaf, ""},
    {Form::Prefix, "-", 12},
    {Form::Prefix, "!", 12},
    {Form::Prefix, "~", 12},
    {Form::Infix, "*", 11, true},
    {Form::Infix, "/", 11},
    {Form::Infix, "%", 11},
    {Form::Infix, "+", 10, true},
    {Form::Infix, "-", 10},
    {Form::Infix, "<<", 9},
    {Form::Infix, ">>", 9},
    {Form::Infix, "<", 8},
    {Form::Infix, "<=", 8},
    {Form::Infix, "==", 7, true},
    {Form::Infix, "!=", 7, true},
    {Form::Infix, "&", 6, true},
    {Form::Infix, "^", 5, true},
    {Form::Infix, "|", 4, true},
    {Form::Infix, "&&", 3, true},
    {Form::Infix, "||", 2, true},
    {Form::Select, "?:", kSelectPrecedence},
    {Form::Function, "min", 0, true},
    {Form::Function, "max", 0, true},
    {Form::Function, "abs"},
    {Form::Function, "exp"},
    {Form::Function, "exp2"},
    {Form::Function, "log"},
    {Form::Function, "log2"},
    {Form::Function, "sqrt"},
    {Form::Function, "rsqrt"},
    {Form::Function, "tanh"},
    {Form::Function, "sigmoid"},
    {Form::Function, "float"},
    {Form::Function, "int"},
};
static_assert(std::size(table) == size_t(Op::ToInt) + 1);

const OpInfo &infoOf(Op op) { return table[size_t(op)]; }

std::optional<Op> findFunction(std::string_view name) {
  for (size_t i = 0; i < std::size(table); ++i)
    if (table[i].form == Form::Function && name == table[i].text)
      return Op(i);
  return std::nullopt;
}

Ref Expression::add(Node node) {
  auto [place, isNew] = known.try_emplace(node, Ref(nodes.size()));
  if (isNew)
    nodes.push_back(std::move(node));
  return place->second;
}

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

namespace {
class Printer {
public:
  Printer(const Expression &expression, const Captures &captures)
      : expression(expression), captures(captures) {}

  /// `least`: what binds looser than this stands in parentheses.
  std::string print(Ref ref, int least) const {
    const Node &node = expression[ref];
    const OpInfo &info = infoOf(node.op);
    switch (info.form) {
    case Form::Leaf:
      return leaf(node);
    case Form::Prefix: {
      std::string inner = print(node.operands[0], info.precedence);
      // "--x" would be another token in C, and a negative constant is written with its sign.
      if (inner[0] == '-')
        inner = "(" + inner + ")";
      return enclose(info.text + inner, info.precedence, least);
    }
    case Form::Infix: {
      // Operators bind to the left; what is associative was flattened, and keeps its parentheses where it was
      // not.
      std::string text = print(node.operands[0], info.precedence);
      for (size_t i = 1; i < node.operands.size(); ++i)
        text += fmt::format(" {} {}", info.text, print(node.operands[i], info.precedence + 1));
      return enclose(text, info.precedence, least);
    }
    case Form::Select:
      return enclose(fmt::format("{} ? {} : {}", print(node.operands[0], kSelectPrecedence + 1),
                                 print(node.operands[1], kSelectPrecedence),
                                 print(node.operands[2], kSelectPrecedence)),
                     kSelectPrecedence, least);
    case Form::Function:
      return info.text + list(node, "(", ")");
    }
    return "";
  }

private:
  static std::string enclose(const std::string &text, int precedence, int least) {
    return precedence < least ? "(" + text + ")" : text;
  }

  std::string list(const Node &node, const char *open, const char *close) const {
    std::string text = open;
    for (size_t i = 0; i < node.operands.size(); ++i)
      text += (i ? ", " : "") + print(node.operands[i], 0);
    return text + close;
  }

  std::string leaf(const Node &node) const {
    switch (node.op) {
    case Op::Constant: {
      if (node.type == Type::Bool)
        return node.number != 0 ? "true" : "false";
      if (node.type == Type::I32) {
        if (node.number == INT32_MIN) // whose digits alone are no i32
          return "(-2147483647 - 1)";
        return node.number < 0 ? fmt::format("({})", node.number) : fmt::format("{}", node.number);
      }
      std::string text = fmt::format("{}", float(node.number));
      if (text.find_first_of(".e") == std::string::npos)
        text += ".0";
      return text[0] == '-' ? "(" + text + ")" : text;
    }
    case Op::Variable:
      return nameOf(Variable(node.symbol));
    case Op::Scalar:
      return captures.scalars[node.symbol].name;
    default:
      return captures.arrays[node.symbol].name + list(node, "[", "]");
    }
  }

  const Expression &expression;
  const Captures &captures;
};
} // namespace

std::string textOf(const Expression &expression, const Captures &captures) {
  return textOf(expression, expression.root, captures);
}
std::string textOf(const Expression &expression, Ref part, const Captures &captures) {
  return Printer(expression, captures).print(part, 0);
}

} // namespace attune::expr
