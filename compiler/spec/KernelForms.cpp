//===- KernelForms.cpp - a spec's expressions as kernels have them --------===//
#include "compiler/spec/KernelForms.h"

#include <cassert>

#include <fmt/format.h>

namespace attune {

std::string wholeMask(const AttentionSpec &spec) {
  if (spec.maskExpressions.size() == 1)
    return spec.maskExpressions[0];
  std::string whole;
  for (const std::string &one : spec.maskExpressions)
    whole += fmt::format("{}({})", whole.empty() ? "" : " && ", one);
  return whole;
}

namespace {
/// Gives captures their names as it meets them.
class Namer {
public:
  explicit Namer(expr::Captures &captures) : captures(captures) {
    for (auto &array : captures.arrays)
      array.name.clear();
    for (auto &scalar : captures.scalars)
      scalar.name.clear();
  }

  void visit(const expr::Expression &expression, expr::Ref ref) {
    const expr::Node &node = expression[ref];
    if (node.op == expr::Op::Element)
      name(captures.arrays[node.symbol].name, "array", arrays);
    else if (node.op == expr::Op::Scalar)
      name(captures.scalars[node.symbol].name, "scalar", scalars);
    for (expr::Ref operand : node.operands)
      visit(expression, operand);
  }

private:
  static void name(std::string &name, const char *kind, int &count) {
    if (name.empty())
      name = fmt::format("{}{}", kind, count++);
  }

  expr::Captures &captures;
  int arrays = 0, scalars = 0;
};
} // namespace

KernelForms kernelForms(const AttentionSpec &spec) {
  KernelForms forms;
  forms.captures = spec.captures;
  auto read = [&](const std::string &text, expr::Role role) -> std::optional<expr::Expression> {
    if (text.empty())
      return std::nullopt;
    std::vector<Diagnostic> diagnostics;
    std::optional<expr::Expression> tree = expr::parse(text, role, spec.captures, diagnostics);
    assert(tree && "a spec that was not validated");
    return simplify(*tree, spec.captures);
  };
  forms.mask = read(wholeMask(spec), expr::Role::Mask);
  forms.score = read(spec.scoreExpression, expr::Role::Score);
  Namer namer(forms.captures);
  for (const std::optional<expr::Expression> *one : {&forms.mask, &forms.score})
    if (*one)
      namer.visit(**one, (*one)->root);
  return forms;
}

std::vector<CaptureName> captureNames(const AttentionSpec &spec) {
  std::vector<CaptureName> names;
  if (spec.captures == expr::Captures())
    return names;
  KernelForms forms = kernelForms(spec);
  auto add = [&](const auto &kernel, const auto &own) {
    for (size_t i = 0; i < own.size(); ++i)
      if (!kernel[i].name.empty())
        names.push_back({kernel[i].name, own[i].name});
  };
  add(forms.captures.arrays, spec.captures.arrays);
  add(forms.captures.scalars, spec.captures.scalars);
  return names;
}

std::string KernelForms::text() const {
  std::string result;
  if (mask)
    result += "mask " + expr::textOf(*mask, captures) + ";";
  if (score)
    result += "score " + expr::textOf(*score, captures) + ";";
  for (const expr::CapturedArray &array : captures.arrays) {
    if (array.name.empty())
      continue; // folded away
    result += fmt::format("{}:{}[", array.name, nameOf(array.dtype));
    for (const expr::Axis &axis : array.axes)
      result += textOf(axis) + ",";
    result += "];";
  }
  for (const expr::CapturedScalar &scalar : captures.scalars)
    if (!scalar.name.empty())
      result += fmt::format("{}:{};", scalar.name, expr::nameOf(scalar.type));
  return result;
}

} // namespace attune
