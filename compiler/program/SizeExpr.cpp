//===- SizeExpr.cpp - numbers that are known at launch --------------------===//
#include "compiler/program/SizeExpr.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace attune {

static constexpr const char *sizeNames[kSizes] = {"batch", "heads_q", "heads_kv",
                                                  "len_q", "len_kv",  "sm_count"};
/// Operands that wait for their operator; parsing refuses what needs more.
static constexpr size_t maxDepth = 16;

const char *nameOf(Size size) { return sizeNames[size_t(size)]; }

std::optional<Size> findSize(std::string_view name) {
  for (size_t i = 0; i < kSizes; ++i)
    if (name == sizeNames[i])
      return Size(i);
  return std::nullopt;
}

SizeExpr SizeExpr::join(Op op, const SizeExpr &a, const SizeExpr &b) {
  SizeExpr result = a;
  result.terms.insert(result.terms.end(), b.terms.begin(), b.terms.end());
  result.terms.push_back({op});
  return result;
}

std::optional<int64_t> SizeExpr::evaluate(const Sizes &sizes) const {
  std::array<int64_t, maxDepth> stack;
  size_t top = 0;
  for (const Term &term : terms) {
    if (term.op == Op::Constant || term.op == Op::Size) {
      if (top == maxDepth)
        return std::nullopt;
      stack[top++] = term.op == Op::Constant ? term.value : sizes.values[size_t(term.value)];
      continue;
    }
    int64_t b = stack[--top], &a = stack[top - 1];
    bool bad = false;
    switch (term.op) {
    case Op::Add:
      bad = __builtin_add_overflow(a, b, &a);
      break;
    case Op::Sub:
      bad = __builtin_sub_overflow(a, b, &a);
      break;
    case Op::Mul:
      bad = __builtin_mul_overflow(a, b, &a);
      break;
    case Op::Div:
    case Op::CeilDiv:
      bad = b <= 0 || a < 0;
      if (!bad)
        a = a / b + (term.op == Op::CeilDiv && a % b != 0);
      break;
    case Op::Min:
      a = std::min(a, b);
      break;
    default:
      a = std::max(a, b);
    }
    if (bad)
      return std::nullopt;
  }
  return stack[0];
}

std::optional<int64_t> SizeExpr::constant() const {
  return terms.size() == 1 && terms[0].op == Op::Constant ? std::optional(terms[0].value) : std::nullopt;
}

std::optional<Size> SizeExpr::size() const {
  return terms.size() == 1 && terms[0].op == Op::Size ? std::optional(Size(terms[0].value)) : std::nullopt;
}

std::string SizeExpr::text() const {
  struct Part {
    std::string text;
    int precedence; // 1 sums, 2 products, 3 the rest
  };
  std::vector<Part> stack;
  for (const Term &term : terms) {
    if (term.op == Op::Constant || term.op == Op::Size) {
      stack.push_back(
          {term.op == Op::Constant ? std::to_string(term.value) : nameOf(attune::Size(term.value)), 3});
      continue;
    }
    Part b = std::move(stack.back());
    stack.pop_back();
    Part &a = stack.back();
    auto infix = [&](const char *symbol, int precedence) {
      auto side = [&](const Part &part, bool right) {
        bool wrap = part.precedence < precedence || (right && part.precedence == precedence);
        return wrap ? "(" + part.text + ")" : part.text;
      };
      a = {fmt::format("{} {} {}", side(a, false), symbol, side(b, true)), precedence};
    };
    auto call = [&](const char *name) { a = {fmt::format("{}({}, {})", name, a.text, b.text), 3}; };
    switch (term.op) {
    case Op::Add:
      infix("+", 1);
      break;
    case Op::Sub:
      infix("-", 1);
      break;
    case Op::Mul:
      infix("*", 2);
      break;
    case Op::Div:
      infix("/", 2);
      break;
    case Op::CeilDiv:
      call("ceil_div");
      break;
    case Op::Min:
      call("min");
      break;
    default:
      call("max");
    }
  }
  return stack.back().text;
}

//===----------------------------------------------------------------------===//
// Parsing
//===----------------------------------------------------------------------===//

/// Recursive descent over text; `failed` once something was not understood.
class SizeExprParser {
public:
  explicit SizeExprParser(std::string_view text) : text(text) {}

  Result<SizeExpr> parse() {
    SizeExpr result = sum();
    skip();
    if (!failed && at != text.size())
      fail("the end");
    if (!failed && depthOf(result) > maxDepth)
      return badInput(
          fmt::format("expected an expression of at most {} waiting operands, got '{}'", maxDepth, text));
    if (failed)
      return badInput(message);
    return result;
  }

private:
  using Op = SizeExpr::Op;

  static size_t depthOf(const SizeExpr &expression) {
    size_t depth = 0, most = 0;
    for (const SizeExpr::Term &term : expression.terms)
      most = std::max(most, term.op == Op::Constant || term.op == Op::Size ? ++depth : --depth);
    return most;
  }

  void skip() {
    while (at < text.size() && text[at] == ' ')
      ++at;
  }
  bool take(char c) {
    skip();
    if (failed || at == text.size() || text[at] != c)
      return false;
    ++at;
    return true;
  }
  SizeExpr fail(std::string_view expected) {
    if (!failed)
      message = fmt::format("expected {} at character {} of '{}'", expected, at + 1, text);
    failed = true;
    return 0;
  }

  SizeExpr sum() {
    SizeExpr result = product();
    while (!failed)
      if (take('+'))
        result = result + product();
      else if (take('-'))
        result = result - product();
      else
        break;
    return result;
  }
  SizeExpr product() {
    SizeExpr result = leaf();
    while (!failed)
      if (take('*'))
        result = result * leaf();
      else if (take('/'))
        result = result / leaf();
      else
        break;
    return result;
  }
  SizeExpr leaf() {
    if (++nesting > 64)
      return fail("less nesting");
    struct Leave {
      int &nesting;
      ~Leave() { --nesting; }
    } leave{nesting};
    skip();
    if (take('(')) {
      SizeExpr inside = sum();
      return take(')') ? inside : fail("')'");
    }
    int64_t number = 0;
    if (auto [stop, error] = std::from_chars(text.data() + at, text.data() + text.size(), number);
        error == std::errc()) {
      at = size_t(stop - text.data());
      return number;
    }
    size_t end = at;
    while (end < text.size() && ((text[end] >= 'a' && text[end] <= 'z') || text[end] == '_'))
      ++end;
    std::string_view word = text.substr(at, end - at);
    if (std::optional<attune::Size> size = findSize(word)) {
      at = end;
      return *size;
    }
    for (auto [name, op] : {std::pair("ceil_div", Op::CeilDiv), {"min", Op::Min}, {"max", Op::Max}})
      if (word == name) {
        at = end;
        if (!take('('))
          return fail("'('");
        SizeExpr a = sum();
        if (!take(','))
          return fail("','");
        SizeExpr b = sum();
        return take(')') ? SizeExpr::join(op, a, b) : fail("')'");
      }
    return fail("a number, a size (batch, heads_q, heads_kv, len_q, len_kv, sm_count), ceil_div, min or max");
  }

  std::string_view text;
  size_t at = 0;
  int nesting = 0;
  bool failed = false;
  std::string message;
};

Result<SizeExpr> SizeExpr::parse(std::string_view text) { return SizeExprParser(text).parse(); }

} // namespace attune
