//===- KernelForms.cpp - a spec's expressions as kernels have them --------===//
#include "compiler/spec/KernelForms.h"

#include <algorithm>
#include <cassert>
#include <map>

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

namespace {
using expr::Op;
using expr::Variable;

/// A sum of places, lengths and scalars with factors, and a constant.
struct LinearForm {
  std::map<std::pair<Op, uint32_t>, int64_t> factors; ///< of variables and scalars; none is 0
  int64_t constant = 0;

  int64_t of(Variable variable) const {
    auto found = factors.find({Op::Variable, uint32_t(variable)});
    return found == factors.end() ? 0 : found->second;
  }
  /// Adds `factor` times another one.
  void add(const LinearForm &other, int64_t factor) {
    constant += factor * other.constant;
    for (auto [what, count] : other.factors)
      if ((factors[what] += factor * count) == 0)
        factors.erase(what);
  }
};

std::optional<LinearForm> linear(const expr::Expression &tree, expr::Ref ref) {
  const expr::Node &node = tree[ref];
  LinearForm form;
  if (node.op == Op::Constant && node.type == expr::Type::I32)
    return LinearForm{{}, int64_t(node.number)};
  if (node.op == Op::Scalar && node.type == expr::Type::I32)
    return LinearForm{{{{Op::Scalar, node.symbol}, 1}}, 0};
  if (node.op == Op::Variable && Variable(node.symbol) >= Variable::Q &&
      Variable(node.symbol) <= Variable::LengthKv)
    return LinearForm{{{{Op::Variable, node.symbol}, 1}}, 0};
  if (node.op != Op::Add && node.op != Op::Subtract && node.op != Op::Negate)
    return std::nullopt;
  for (size_t i = 0; i < node.operands.size(); ++i) {
    std::optional<LinearForm> next = linear(tree, node.operands[i]);
    if (!next)
      return std::nullopt;
    form.add(*next, node.op == Op::Negate || (node.op == Op::Subtract && i > 0) ? -1 : 1);
  }
  return form;
}

/// A condition as a linear form that is not negative; nothing where it is none.
std::optional<LinearForm> notNegative(const expr::Expression &tree, expr::Ref condition) {
  const expr::Node &node = tree[condition];
  if (node.op != Op::Less && node.op != Op::LessEqual)
    return std::nullopt;
  std::optional<LinearForm> less = linear(tree, node.operands[0]), more = linear(tree, node.operands[1]);
  if (!less || !more)
    return std::nullopt;
  more->add(*less, -1);
  more->constant -= node.op == Op::Less;
  return more;
}

/// The term that is true where the condition is.
std::optional<MaskTerm> termOf(const expr::Expression &tree, expr::Ref condition) {
  std::optional<LinearForm> form = notNegative(tree, condition);
  if (!form || form->constant < 0 || form->constant > limits::maxWindow)
    return std::nullopt;
  int64_t sign = form->of(Variable::Q);
  if (std::abs(sign) != 1 || form->of(Variable::Kv) != -sign)
    return std::nullopt;
  int64_t shift = form->of(Variable::LengthKv) * sign;
  bool isShifted = shift == 1 && form->of(Variable::LengthQ) == -sign && form->factors.size() == 4;
  if (!isShifted && form->factors.size() != 2)
    return std::nullopt;
  MaskTerm term;
  term.align = isShifted ? MaskAlign::BottomRight : MaskAlign::TopLeft;
  (sign > 0 ? term.right : term.left) = form->constant;
  return term;
}

/// Takes the conditions out of a mask that are terms.
void takeTerms(std::optional<expr::Expression> &mask, const expr::Captures &captures,
               std::vector<MaskTerm> &terms) {
  if (!mask)
    return;
  const expr::Node root = (*mask)[mask->root];
  if (root.op == Op::Constant && root.number != 0)
    return mask.reset();
  std::vector<expr::Ref> rest;
  for (expr::Ref one : root.op == Op::And ? root.operands : std::vector<expr::Ref>{mask->root}) {
    if (std::optional<MaskTerm> term = termOf(*mask, one))
      terms.push_back(*term);
    else
      rest.push_back(one);
  }
  if (rest.size() == root.operands.size() || (root.op != Op::And && !rest.empty()))
    return;
  if (rest.empty())
    return mask.reset();
  mask->root = rest.size() == 1 ? rest[0] : mask->make(Op::And, expr::Type::Bool, rest);
  mask = simplify(*mask, captures); // without the nodes that nothing reads
}

/// Whether a score is left as it is.
bool isScore(const expr::Expression &score) {
  const expr::Node &root = score[score.root];
  return root.op == Op::Variable && Variable(root.symbol) == Variable::Score;
}

/// c of c * tanh(score / c).
std::optional<double> softcapOf(const expr::Expression &score) {
  const expr::Node &product = score[score.root];
  if (product.op != Op::Multiply || product.operands.size() != 2)
    return std::nullopt;
  for (size_t i : {0, 1}) {
    const expr::Node &cap = score[product.operands[i]], &squashed = score[product.operands[1 - i]];
    if (cap.op != Op::Constant || !(cap.number > 0) || squashed.op != Op::Tanh)
      continue;
    const expr::Node &quotient = score[squashed.operands[0]];
    if (quotient.op != Op::Divide || quotient.operands[1] != product.operands[i])
      continue;
    const expr::Node &divided = score[quotient.operands[0]];
    if (divided.op == Op::Variable && Variable(divided.symbol) == Variable::Score)
      return cap.number;
  }
  return std::nullopt;
}
} // namespace

KernelForms kernelForms(const AttentionSpec &spec) {
  KernelForms forms;
  forms.captures = spec.captures;
  forms.softcap = spec.softcap;
  auto read = [&](const std::string &text, expr::Role role) -> std::optional<expr::Expression> {
    if (text.empty())
      return std::nullopt;
    std::vector<Diagnostic> diagnostics;
    std::optional<expr::Expression> tree = expr::parse(text, role, spec.captures, diagnostics);
    assert(tree && "a spec that was not validated");
    return simplify(*tree, spec.captures);
  };
  forms.mask = read(wholeMask(spec), expr::Role::Mask);
  AttentionSpec terms;
  terms.mask = spec.mask;
  takeTerms(forms.mask, spec.captures, terms.mask);
  forms.terms = normalizedMask(terms);
  forms.score = read(spec.scoreExpression, expr::Role::Score);
  if (forms.score && !forms.softcap && (forms.softcap = softcapOf(*forms.score)))
    forms.score.reset();
  if (forms.score && isScore(*forms.score))
    forms.score.reset();
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

bool KernelForms::hasFirstKey() const {
  auto bounds = [&](expr::Ref condition) {
    std::optional<LinearForm> form = notNegative(*mask, condition);
    return form && form->of(Variable::Kv) == 1 && (form->of(Variable::Q) == 0 || form->of(Variable::Q) == -1);
  };
  auto hasLeft = [](const MaskTerm &term) { return term.hasLeft(); };
  if (std::any_of(terms.begin(), terms.end(), hasLeft))
    return true;
  if (!mask)
    return false;
  const expr::Node &root = (*mask)[mask->root];
  return root.op == Op::And ? std::any_of(root.operands.begin(), root.operands.end(), bounds)
                            : bounds(mask->root);
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
