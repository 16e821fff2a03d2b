//===- Parser.cpp - expressions from text ---------------------------------===//
#include "compiler/spec/expr/Parser.h"

#include "compiler/spec/expr/Lexer.h"

#include <algorithm>

#include <fmt/format.h>

namespace attune::expr {

namespace {

constexpr int maxDepth = 100;

/// A part of the expression and where it was written. Without a node an error was reported, and nothing more
/// is to be said of it.
struct Operand {
  std::optional<Ref> node;
  Range range;
};

/// What an infix operator is; those that compare the other way round have their operands exchanged.
struct Infix {
  std::string_view text;
  Op op;
  bool exchange = false;
};
constexpr Infix infixes[] = {{"||", Op::Or},        {"&&", Op::And},        {"|", Op::BitOr},
                             {"^", Op::BitXor},     {"&", Op::BitAnd},      {"==", Op::Equal},
                             {"!=", Op::NotEqual},  {"<=", Op::LessEqual},  {">=", Op::LessEqual, true},
                             {"<<", Op::ShiftLeft}, {">>", Op::ShiftRight}, {"<", Op::Less},
                             {">", Op::Less, true}, {"+", Op::Add},         {"-", Op::Subtract},
                             {"*", Op::Multiply},   {"/", Op::Divide},      {"%", Op::Remainder}};

class Parser {
public:
  Parser(std::string_view text, Role role, const Captures &captures, std::vector<Diagnostic> &diagnostics)
      : text(text), role(role), captures(captures), diagnostics(diagnostics), lexer(text) {}

  std::optional<Expression> run();

private:
  // Tokens.
  void advance() {
    last = token.range.end;
    token = lexer.next();
    if (token.kind == Token::Kind::Bad)
      stop(token.range, token.problem);
  }
  bool isSymbol(std::string_view symbol) const {
    return token.kind == Token::Kind::Symbol && token.text == symbol;
  }
  bool take(std::string_view symbol) {
    if (!isSymbol(symbol))
      return false;
    advance();
    return true;
  }
  void expect(std::string_view symbol, const char *after);

  // Grammar.
  Operand conditional();
  Operand infix(int least);
  Operand prefix();
  Operand postfix();
  Operand name();
  Operand call(Op op, Range place);
  Operand element(uint32_t index, Range place);
  std::vector<Operand> list(std::string_view close, Range open);

  // Types.
  Operand unary(Op op, const Operand &x, Range symbol);
  Operand binary(const Infix &infix, Operand a, Operand b);
  Operand select(const Operand &condition, Operand a, Operand b);
  Type typeOf(const Operand &x) const { return expression[*x.node].type; }
  Operand toFloat(const Operand &x);
  /// Both as f32 if one is; an error where one is a bool and the other is not.
  bool unify(Operand &a, Operand &b, std::string_view what);
  Operand need(const Operand &x, Type type, std::string_view what);
  /// An i32 or an f32.
  bool needNumber(const Operand &x, std::string_view what);

  Operand error(Range range, std::string message) {
    if (!stopped)
      diagnostics.push_back({range, std::move(message)});
    failed = true;
    return {std::nullopt, range};
  }
  /// An error after which nothing can be understood.
  Operand stop(Range range, std::string message) {
    Operand result = error(range, std::move(message));
    stopped = true;
    token = lexer.end();
    return result;
  }
  std::string written(Range range) const {
    std::string_view part = text.substr(range.begin, range.end - range.begin);
    return part.size() <= 40 ? std::string(part) : std::string(part.substr(0, 37)) + "...";
  }
  std::string got() const {
    return token.kind == Token::Kind::End ? "the end" : fmt::format("'{}'", token.text);
  }
  std::string nearest(std::string_view word, bool functions, bool values) const;

  std::string_view text;
  Role role;
  const Captures &captures;
  std::vector<Diagnostic> &diagnostics;
  Expression expression;
  Lexer lexer;
  size_t last = 0; ///< behind the token before
  Token token;
  int depth = 0;
  bool failed = false, stopped = false;
};

void Parser::expect(std::string_view symbol, const char *after) {
  if (take(symbol) || stopped)
    return;
  stop(token.range, fmt::format("expected '{}'{}, got {}", symbol, after, got()));
}

//===----------------------------------------------------------------------===//
// Grammar
//===----------------------------------------------------------------------===//

std::optional<Expression> Parser::run() {
  if (text.size() > maxText) {
    error({maxText, text.size()},
          fmt::format("expected at most {} characters, got {}", maxText, text.size()));
    return std::nullopt;
  }
  advance();
  Operand whole = conditional();
  if (token.kind != Token::Kind::End) {
    std::string hint;
    if (token.kind == Token::Kind::Name)
      hint = token.text == "and" ? " (nearest: '&&')" : token.text == "or" ? " (nearest: '||')" : "";
    stop(token.range, fmt::format("expected an operator or the end, got {}{}", got(), hint));
  }
  if (failed)
    return std::nullopt;
  if (role == Role::Mask)
    whole = need(whole, Type::Bool, "a mask");
  else if (typeOf(whole) == Type::Bool)
    whole = error(whole.range, "expected a score of f32, got bool");
  else
    whole = toFloat(whole);
  if (expression.size() > maxNodes)
    error(whole.range, fmt::format("expected at most {} operations, got {}", maxNodes, expression.size()));
  if (failed)
    return std::nullopt;
  expression.root = *whole.node;
  return std::move(expression);
}

Operand Parser::conditional() {
  if (++depth > maxDepth)
    stop(token.range, fmt::format("expected at most {} levels of nesting", maxDepth));
  Operand condition = infix(2);
  if (take("?")) {
    Operand yes = conditional();
    expect(":", " and what holds otherwise");
    condition = select(condition, yes, conditional());
  }
  --depth;
  return condition;
}

Operand Parser::infix(int least) {
  Operand left = prefix();
  while (token.kind == Token::Kind::Symbol) {
    auto found = std::find_if(std::begin(infixes), std::end(infixes),
                              [&](const Infix &one) { return one.text == token.text; });
    if (found == std::end(infixes) || infoOf(found->op).precedence < least)
      break;
    advance();
    Operand right = infix(infoOf(found->op).precedence + 1);
    left = binary(*found, left, right);
  }
  return left;
}

Operand Parser::prefix() {
  if (++depth > maxDepth)
    stop(token.range, fmt::format("expected at most {} levels of nesting", maxDepth));
  Range begin = token.range;
  Operand result;
  if (take("-"))
    result = unary(Op::Negate, prefix(), begin);
  else if (take("!"))
    result = unary(Op::Not, prefix(), begin);
  else if (take("~"))
    result = unary(Op::Complement, prefix(), begin);
  else if (take("+"))
    result = prefix();
  else
    result = postfix();
  result.range.begin = std::min(result.range.begin, begin.begin);
  --depth;
  return result;
}

Operand Parser::postfix() {
  Token here = token;
  switch (token.kind) {
  case Token::Kind::Integer:
    advance();
    return {expression.constant(Type::I32, here.number), here.range};
  case Token::Kind::Real:
    advance();
    return {expression.constant(Type::F32, here.number), here.range};
  case Token::Kind::Name:
    return name();
  default:
    break;
  }
  if (take("(")) {
    Operand inside = conditional();
    expect(")", "");
    inside.range = {here.range.begin, last};
    return inside;
  }
  return stop(token.range, fmt::format("expected a number, a name or '(', got {}", got()));
}

/// ", got 'X' (nearest: Y)" of what is known there.
std::string Parser::nearest(std::string_view word, bool functions, bool values) const {
  std::vector<std::string> words;
  if (values) {
    for (int i = 0; i <= int(Variable::Score); ++i)
      if (Variable(i) != Variable::Score || role == Role::Score)
        words.emplace_back(nameOf(Variable(i)));
    for (const CapturedArray &array : captures.arrays)
      words.push_back(array.name);
    for (const CapturedScalar &scalar : captures.scalars)
      words.push_back(scalar.name);
    words.insert(words.end(), {"true", "false"});
  }
  for (int i = 0; functions && i <= int(Op::ToInt); ++i)
    if (infoOf(Op(i)).form == OpInfo::Form::Function)
      words.emplace_back(infoOf(Op(i)).text);
  std::string near = nearestWord(word, words);
  return near.empty() ? "" : fmt::format(" (nearest: {})", near);
}

Operand Parser::name() {
  Token here = token;
  advance();
  std::optional<Op> function = findFunction(here.text);
  if (function && isSymbol("("))
    return call(*function, here.range);
  for (uint32_t i = 0; i < captures.arrays.size(); ++i)
    if (captures.arrays[i].name == here.text)
      return element(i, here.range);
  Operand result{std::nullopt, here.range};
  if (here.text == "true" || here.text == "false") {
    result.node = expression.constant(Type::Bool, here.text == "true");
  } else if (std::optional<Variable> variable = findVariable(here.text);
             variable && (*variable != Variable::Score || role == Role::Score)) {
    result.node = expression.variable(*variable);
  } else if (variable) {
    return error(here.range, "expected no 'score' in a mask, which is decided before there is one");
  } else {
    for (uint32_t i = 0; i < captures.scalars.size(); ++i)
      if (captures.scalars[i].name == here.text)
        result.node = expression.add({Op::Scalar, captures.scalars[i].type, 0, i, {}});
  }
  if (!result.node) {
    if (function)
      return error(here.range, fmt::format("expected '(' after the function {}", here.text));
    bool called = isSymbol("(");
    if (here.text == "not" && !called)
      return stop(here.range, "expected a number, a name or '(', got 'not' (nearest: '!')");
    // What stands behind an unknown name is read all the same: it may have errors of its own.
    error(here.range,
          fmt::format("expected {}, got '{}'{}", called ? "a function" : "a variable, an array or a scalar",
                      here.text, nearest(here.text, called, !called)));
    Range open = token.range;
    if (take("("))
      list(")", open);
    else if (take("["))
      list("]", open);
    return result;
  }
  if (isSymbol("["))
    return stop(token.range, fmt::format("expected an operator, got '[': '{}' is no array", here.text));
  if (isSymbol("("))
    return stop(token.range, fmt::format("expected an operator, got '(': '{}' is no function{}", here.text,
                                         nearest(here.text, true, false)));
  return result;
}

std::vector<Operand> Parser::list(std::string_view close, Range open) {
  std::vector<Operand> operands;
  if (isSymbol(close)) {
    stop(token.range, fmt::format("expected an expression, got '{}'", close));
    return operands;
  }
  do
    operands.push_back(conditional());
  while (take(","));
  if (!take(close) && !stopped)
    stop(token.range, fmt::format("expected ',' or '{}' for the '{}' at column {}, got {}", close,
                                  text.substr(open.begin, 1), open.begin + 1, got()));
  return operands;
}

Operand Parser::element(uint32_t index, Range place) {
  const CapturedArray &array = captures.arrays[index];
  std::string axes;
  for (const Axis &axis : array.axes)
    axes += (axes.empty() ? "" : ", ") + textOf(axis);
  Range open = token.range;
  if (!take("["))
    return error(place, fmt::format("expected {}[{}], got the array without indices", array.name, axes));
  std::vector<Operand> indices = list("]", open);
  Operand result{std::nullopt, {place.begin, last}};
  if (stopped)
    return result;
  if (indices.size() != array.axes.size())
    return error(
        place, fmt::format("expected {} of array {} ([{}]), got {}",
                           array.axes.size() == 1 ? "1 index" : fmt::format("{} indices", array.axes.size()),
                           array.name, axes, indices.size()));
  Node node{Op::Element, array.type(), 0, index, {}};
  for (const Operand &one : indices) {
    Operand good = need(one, Type::I32, "an index");
    if (!good.node)
      return result;
    node.operands.push_back(*good.node);
  }
  result.node = expression.add(std::move(node));
  return result;
}

Operand Parser::call(Op op, Range place) {
  std::string_view function = infoOf(op).text;
  Range open = token.range;
  take("(");
  std::vector<Operand> arguments = list(")", open);
  Operand result{std::nullopt, {place.begin, last}};
  if (stopped ||
      std::any_of(arguments.begin(), arguments.end(), [](const Operand &one) { return !one.node; }))
    return result;
  bool isPair = op == Op::Min || op == Op::Max;
  if (isPair ? arguments.size() < 2 : arguments.size() != 1)
    return error(place,
                 fmt::format("expected {} of {}, got {}", isPair ? "2 arguments or more" : "1 argument",
                             function, arguments.size()));
  if (op == Op::ToFloat || op == Op::ToInt) {
    Type type = op == Op::ToFloat ? Type::F32 : Type::I32;
    result.node =
        typeOf(arguments[0]) == type ? *arguments[0].node : expression.make(op, type, {*arguments[0].node});
    return result;
  }
  for (const Operand &argument : arguments)
    if (!needNumber(argument, function))
      return result;
  if (!isPair) {
    bool stays = op == Op::Abs && typeOf(arguments[0]) == Type::I32;
    Operand x = stays ? arguments[0] : toFloat(arguments[0]);
    result.node = expression.make(op, typeOf(x), {*x.node});
    return result;
  }
  Operand sofar = arguments[0];
  for (size_t i = 1; i < arguments.size(); ++i) {
    Operand next = arguments[i];
    unify(sofar, next, function);
    sofar.node = expression.make(op, typeOf(sofar), {*sofar.node, *next.node});
  }
  result.node = sofar.node;
  return result;
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

Operand Parser::toFloat(const Operand &x) {
  if (typeOf(x) == Type::F32)
    return x;
  return {expression.make(Op::ToFloat, Type::F32, {*x.node}), x.range};
}

bool Parser::needNumber(const Operand &x, std::string_view what) {
  if (typeOf(x) != Type::Bool)
    return true;
  error(x.range,
        fmt::format("expected a number for {}, got bool (nearest: int({}))", what, written(x.range)));
  return false;
}

Operand Parser::need(const Operand &x, Type type, std::string_view what) {
  if (!x.node || typeOf(x) == type)
    return x;
  std::string shown = written(x.range), near;
  if (type == Type::Bool)
    near = fmt::format("{} != 0", shown);
  else if (type == Type::I32)
    near = fmt::format("int({})", shown);
  return error(x.range, fmt::format("expected {} for {}, got {} (nearest: {})", nameOf(type), what,
                                    nameOf(typeOf(x)), near));
}

bool Parser::unify(Operand &a, Operand &b, std::string_view what) {
  Type first = typeOf(a), second = typeOf(b);
  if (first == second)
    return true;
  if (first == Type::Bool || second == Type::Bool) {
    const Operand &condition = first == Type::Bool ? a : b;
    error(condition.range,
          fmt::format("expected {} for both sides of {}, got bool (nearest: int({}))",
                      nameOf(first == Type::Bool ? second : first), what, written(condition.range)));
    return false;
  }
  a = toFloat(a);
  b = toFloat(b);
  return true;
}

Operand Parser::unary(Op op, const Operand &x, Range symbol) {
  Operand result{std::nullopt, {symbol.begin, x.range.end}};
  if (!x.node)
    return result;
  if (op == Op::Negate && !needNumber(x, "'-'"))
    return result;
  if (op == Op::Not && !need(x, Type::Bool, "'!'").node)
    return result;
  if (op == Op::Complement && !need(x, Type::I32, "'~'").node)
    return result;
  result.node = expression.make(op, typeOf(x), {*x.node});
  return result;
}

Operand Parser::binary(const Infix &infix, Operand a, Operand b) {
  Op op = infix.op;
  Operand result{std::nullopt, {a.range.begin, b.range.end}};
  if (!a.node || !b.node)
    return result;
  std::string what = fmt::format("'{}'", infix.text);
  bool isComparison = op == Op::Less || op == Op::LessEqual;
  // a < b < c: the first comparison is a bool.
  if (isComparison && (typeOf(a) == Type::Bool || typeOf(b) == Type::Bool))
    return error(result.range, fmt::format("expected numbers for {}, got {} and {} (a < b < c is written "
                                           "a < b && b < c)",
                                           what, nameOf(typeOf(a)), nameOf(typeOf(b))));
  switch (op) {
  case Op::And:
  case Op::Or: {
    Operand left = need(a, Type::Bool, what), right = need(b, Type::Bool, what);
    if (!left.node || !right.node)
      return result;
    result.node = expression.make(op, Type::Bool, {*a.node, *b.node});
    return result;
  }
  case Op::BitAnd:
  case Op::BitOr:
  case Op::BitXor:
  case Op::ShiftLeft:
  case Op::ShiftRight:
  case Op::Remainder: {
    Operand left = need(a, Type::I32, what), right = need(b, Type::I32, what);
    if (!left.node || !right.node)
      return result;
    result.node = expression.make(op, Type::I32, {*a.node, *b.node});
    return result;
  }
  case Op::Equal:
  case Op::NotEqual:
    if (!unify(a, b, what))
      return result;
    result.node = expression.make(op, Type::Bool, {*a.node, *b.node});
    return result;
  default:
    break;
  }
  bool left = needNumber(a, what), right = needNumber(b, what);
  if (!left || !right)
    return result;
  unify(a, b, what);
  Type type = isComparison ? Type::Bool : typeOf(a);
  if (infix.exchange)
    std::swap(a, b);
  result.node = expression.make(op, type, {*a.node, *b.node});
  return result;
}

Operand Parser::select(const Operand &condition, Operand a, Operand b) {
  Operand result{std::nullopt, {condition.range.begin, b.range.end}};
  if (!condition.node || !a.node || !b.node || !need(condition, Type::Bool, "the condition of '?'").node ||
      !unify(a, b, "':'"))
    return result;
  result.node = expression.make(Op::Select, typeOf(a), {*condition.node, *a.node, *b.node});
  return result;
}

} // namespace

std::optional<Expression> parse(std::string_view text, Role role, const Captures &captures,
                                std::vector<Diagnostic> &diagnostics) {
  return Parser(text, role, captures, diagnostics).run();
}

std::string checkCaptureName(std::string_view name) {
  static constexpr std::string_view taken[] = {"true", "false", "and", "or", "not", "i32", "f32", "bool"};
  bool isName = !name.empty() && name.size() <= 64 && isLetter(name[0]) &&
                std::all_of(name.begin(), name.end(), [](char c) { return isLetter(c) || isDigit(c); });
  if (!isName)
    return "a name that is a C identifier of at most 64 characters";
  if (findVariable(name) || findFunction(name) ||
      std::find(std::begin(taken), std::end(taken), name) != std::end(taken))
    return "a name that means nothing else in an expression";
  return "";
}

} // namespace attune::expr
