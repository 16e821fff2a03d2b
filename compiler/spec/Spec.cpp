//===- Spec.cpp - the attention spec: text forms and the code key ---------===//
#include "compiler/spec/Spec.h"
#include "compiler/schedule/Family.h"
#include "compiler/spec/CaptureReader.h"
#include "compiler/spec/Json.h"
#include "compiler/spec/KernelForms.h"
#include "compiler/spec/SpecReader.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace attune {

namespace {

/// The shortest text that reads back to the same number.
std::string number(double value) { return fmt::format("{}", value); }

/// "runtime", or "runtime:0.2" with what runs give; in a flag's mask a `=` parts them.
template <typename Number> std::string runtimeText(const std::optional<Number> &value, char separator = ':') {
  return value ? fmt::format("runtime{}{}", separator, *value) : "runtime";
}

const char *nameOf(MaskAlign align) { return align == MaskAlign::TopLeft ? "top_left" : "bottom_right"; }

bool isCausal(const MaskTerm &term) { return !term.hasLeft() && term.right == 0 && !term.runtimeRight; }

std::string termJson(const MaskTerm &term) {
  std::string result = isCausal(term) ? R"({"kind":"causal")" : R"({"kind":"window")";
  auto bound = [&](const char *key, const std::optional<int64_t> &value, bool runtime) {
    if (runtime)
      result += fmt::format(R"(,"{}":"{}")", key, runtimeText(value));
    else if (value)
      result += fmt::format(R"(,"{}":{})", key, *value);
  };
  if (!isCausal(term)) {
    bound("left", term.left, term.runtimeLeft);
    bound("right", term.right, term.runtimeRight);
  }
  return result + fmt::format(R"(,"align":"{}"}})", nameOf(term.align));
}

std::string maskJson(const std::vector<MaskTerm> &mask, const std::vector<std::string> &expressions = {}) {
  std::string result = "[";
  for (const MaskTerm &term : mask)
    result += (result.size() > 1 ? "," : "") + termJson(term);
  for (const std::string &expression : expressions)
    result += (result.size() > 1 ? "," : "") + json::quote(expression);
  return result + "]";
}

std::string capturesJson(const expr::Captures &captures) {
  std::string arrays, scalars;
  for (const expr::CapturedArray &array : captures.arrays) {
    std::string axes;
    for (const expr::Axis &axis : array.axes)
      axes += (axes.empty() ? "" : ",") + (axis.variable ? json::quote(textOf(axis)) : textOf(axis));
    arrays += fmt::format(R"({}{}:{{"dtype":"{}","axes":[{}]{}}})", arrays.empty() ? "" : ",",
                          json::quote(array.name), nameOf(array.dtype), axes,
                          array.file.empty() ? "" : R"(,"file":)" + json::quote(array.file));
  }
  for (const expr::CapturedScalar &scalar : captures.scalars)
    scalars += fmt::format(R"({}{}:"{}{}")", scalars.empty() ? "" : ",", json::quote(scalar.name),
                           expr::nameOf(scalar.type), scalar.value ? ":" + number(*scalar.value) : "");
  return (arrays.empty() ? "" : R"(,"arrays":{)" + arrays + "}") +
         (scalars.empty() ? "" : R"(,"scalars":{)" + scalars + "}");
}

std::string lengthsJson(const AttentionSpec &spec) {
  return std::string(spec.lengthsQ ? R"(,"lengths_q":true)" : "") +
         (spec.lengthsKv ? R"(,"lengths_kv":true)" : "");
}

std::string scheduleJson(const Schedule &schedule) {
  std::string result;
  if (!schedule.family.empty())
    result = R"("family":)" + json::quote(schedule.family);
  for (const auto &[name, value] : ordered(schedule).values)
    result += fmt::format(R"({}{}:{})", result.empty() ? "" : ",", json::quote(name), value);
  return "{" + result + "}";
}

} // namespace

const char *nameOf(Layout layout) { return layout == Layout::BSHD ? "bshd" : "bhsd"; }

double AttentionSpec::effectiveScale() const { return scale.value_or(1.0 / std::sqrt(double(headDimQk))); }

std::string toJson(const AttentionSpec &spec) {
  std::string result = fmt::format(
      R"({{"op":"forward","name":{},"dtype":"{}","head_dim_qk":{},"head_dim_v":{},"layout":"{}")",
      json::quote(spec.name), nameOf(spec.dtype), spec.headDimQk, spec.headDimV, nameOf(spec.layout));
  if (spec.runtimeScale)
    result += R"(,"scale":)" + json::quote(runtimeText(spec.scale));
  else if (spec.scale)
    result += R"(,"scale":)" + number(*spec.scale);
  result += R"(,"mask":)" + maskJson(spec.mask, spec.maskExpressions);
  if (!spec.scoreExpression.empty())
    result += R"(,"score":)" + json::quote(spec.scoreExpression);
  result += capturesJson(spec.captures);
  if (spec.runtimeSoftcap)
    result += R"(,"softcap":)" + json::quote(runtimeText(spec.softcap));
  else if (spec.softcap)
    result += R"(,"softcap":)" + number(*spec.softcap);
  if (spec.sink)
    result += R"(,"sink":true)";
  result += lengthsJson(spec) + fmt::format(R"(,"lse":{})", spec.lse);
  if (spec.batchInvariant)
    result += R"(,"batch_invariant":true)";
  result += fmt::format(R"(,"schedule":{}}})", scheduleJson(spec.schedule));
  return result;
}

std::vector<std::string> toFlags(const AttentionSpec &spec) {
  std::vector<std::string> flags = {
      "--op",     "forward",           "--name",        spec.name,
      "--dtype",  nameOf(spec.dtype),  "--head-dim-qk", std::to_string(spec.headDimQk),
      "--layout", nameOf(spec.layout), "--head-dim-v",  std::to_string(spec.headDimV)};
  auto add = [&](const char *flag, std::string value) {
    flags.push_back(flag);
    flags.push_back(std::move(value));
  };
  auto bound = [](const std::optional<int64_t> &value, bool runtime) {
    return runtime ? runtimeText(value, '=') : value ? std::to_string(*value) : "";
  };
  if (spec.runtimeScale || spec.scale)
    add("--scale", spec.runtimeScale ? runtimeText(spec.scale) : number(*spec.scale));
  for (const MaskTerm &term : spec.mask)
    add("--mask", isCausal(term) ? fmt::format("causal:{}", nameOf(term.align))
                                 : fmt::format("window:{}:{}:{}", bound(term.left, term.runtimeLeft),
                                               bound(term.right, term.runtimeRight), nameOf(term.align)));
  for (const std::string &expression : spec.maskExpressions)
    add("--mask", expression);
  if (spec.mask.empty() && spec.maskExpressions.empty())
    add("--mask", "none");
  if (!spec.scoreExpression.empty())
    add("--score", spec.scoreExpression);
  for (const expr::CapturedArray &array : spec.captures.arrays)
    add("--array", flagText(array));
  for (const expr::CapturedScalar &scalar : spec.captures.scalars)
    add("--scalar", flagText(scalar));
  if (spec.softcap)
    add("--softcap", spec.runtimeSoftcap ? runtimeText(spec.softcap) : number(*spec.softcap));
  flags.push_back(spec.sink ? "--sink" : "--no-sink");
  flags.push_back(spec.lengthsQ ? "--lengths-q" : "--no-lengths-q");
  flags.push_back(spec.lengthsKv ? "--lengths-kv" : "--no-lengths-kv");
  flags.push_back(spec.lse ? "--lse" : "--no-lse");
  flags.push_back(spec.batchInvariant ? "--batch-invariant" : "--no-batch-invariant");
  if (!spec.schedule.family.empty())
    add("--family", spec.schedule.family);
  for (const ScheduleParameter *parameter : scheduleParameters())
    if (std::optional<int> value = spec.schedule.get(parameter->name))
      add(parameter->flag().c_str(), std::to_string(*value));
  return flags;
}

std::vector<MaskTerm> normalizedMask(const AttentionSpec &spec) {
  // Terms of one alignment bound the same quantity, so their conjunction is the tighter of each bound.
  auto tighten = [](std::optional<int64_t> &bound, const std::optional<int64_t> &other) {
    if (other)
      bound = bound ? std::min(*bound, *other) : *other;
  };
  std::vector<MaskTerm> result;
  for (MaskAlign align : {MaskAlign::TopLeft, MaskAlign::BottomRight}) {
    MaskTerm merged, atLaunch;
    merged.align = atLaunch.align = align;
    for (const MaskTerm &term : spec.mask) {
      if (term.align != align)
        continue;
      for (auto [bound, runtime] : {std::pair(&MaskTerm::left, &MaskTerm::runtimeLeft),
                                    std::pair(&MaskTerm::right, &MaskTerm::runtimeRight)}) {
        if (term.*runtime) {
          atLaunch.*runtime = true;
          atLaunch.*bound = term.*bound;
        } else {
          tighten(merged.*bound, term.*bound);
        }
      }
    }
    for (const MaskTerm &one : {merged, atLaunch})
      if (one.hasLeft() || one.hasRight())
        result.push_back(one);
  }
  return result;
}

/// The bound of a window that the scalar `name` is, and the term that it belongs to; null: none. A term that
/// leaves it to run time goes before one whose bound is fixed.
static std::optional<int64_t> *boundNamed(std::vector<MaskTerm> &mask, std::string_view name) {
  bool left = name == "window_left";
  if (!left && name != "window_right")
    return nullptr;
  auto value = left ? &MaskTerm::left : &MaskTerm::right;
  auto runtime = left ? &MaskTerm::runtimeLeft : &MaskTerm::runtimeRight;
  MaskTerm *found = nullptr;
  for (MaskTerm &term : mask)
    if (term.*runtime || (!found && term.*value))
      found = &term;
  return found ? &(found->*value) : nullptr;
}

std::optional<double> scalarOf(const AttentionSpec &spec, std::string_view name) {
  if (name == "scale")
    return spec.effectiveScale();
  if (name == "softcap")
    return spec.softcap;
  std::vector<MaskTerm> mask = spec.mask;
  if (std::optional<int64_t> *bound = boundNamed(mask, name))
    return double(bound->value_or(MaskTerm::usualWindow));
  for (const expr::CapturedScalar &scalar : spec.captures.scalars)
    if (scalar.name == name)
      return scalar.value;
  return std::nullopt;
}

void setScalar(AttentionSpec &spec, std::string_view name, double value) {
  if (name == "scale")
    spec.scale = value;
  else if (name == "softcap" && spec.softcap)
    spec.softcap = value;
  else if (std::optional<int64_t> *bound = boundNamed(spec.mask, name))
    *bound = int64_t(value);
  for (expr::CapturedScalar &scalar : spec.captures.scalars)
    if (scalar.name == name)
      scalar.value = value;
}

std::string codeKey(const AttentionSpec &spec) {
  KernelForms forms = kernelForms(spec);
  for (MaskTerm &term : forms.terms) {
    if (term.runtimeLeft)
      term.left.reset();
    if (term.runtimeRight)
      term.right.reset();
  }
  // Scale and softcap enter the code through double precision, so their doubles are what counts.
  std::string result =
      fmt::format(R"({{"op":"forward","name":{},"dtype":"{}","head_dim_qk":{},"head_dim_v":{})",
                  json::quote(spec.name), nameOf(spec.dtype), spec.headDimQk, spec.headDimV);
  result +=
      fmt::format(R"(,"scale":{},"mask":{})",
                  spec.runtimeScale ? "\"runtime\"" : number(spec.effectiveScale()), maskJson(forms.terms));
  if (forms.softcap)
    result += R"(,"softcap":)" + (spec.runtimeSoftcap ? "\"runtime\"" : number(*forms.softcap));
  if (spec.sink)
    result += R"(,"sink":true)";
  result += lengthsJson(spec);
  if (std::string text = forms.text(); !text.empty())
    result += R"(,"expressions":)" + json::quote(text);
  return result + fmt::format(R"(,"lse":{},"schedule":{}}})", spec.lse, scheduleJson(spec.schedule));
}

Status validate(const AttentionSpec &spec) {
  // Non-finite numbers have no JSON text; everything else is checked by the one reader that there is.
  for (auto [key, value] : {std::pair("scale", spec.scale), std::pair("softcap", spec.softcap)})
    if (value && !std::isfinite(*value))
      return badInput(fmt::format("spec: {}: error: expected a finite number, got {}", key, *value));
  return checkFields(spec);
}

} // namespace attune
