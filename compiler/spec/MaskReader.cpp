//===- MaskReader.cpp - masks out of JSON and flags -----------------------===//
#include "compiler/spec/MaskReader.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace attune {

namespace {

using json::Value;
using Kind = json::Value::Kind;

constexpr const char *maskForms =
    "\"none\", \"causal\", \"window:LEFT:RIGHT\", an expression or a mask object";

std::optional<MaskAlign> alignOf(std::string_view text) {
  if (text == "top_left")
    return MaskAlign::TopLeft;
  if (text == "bottom_right")
    return MaskAlign::BottomRight;
  return {};
}

class MaskReader {
public:
  MaskReader(ValueReader &reader, AttentionSpec &spec, const std::function<void(const Value &)> &expression)
      : reader(reader), spec(spec), expression(expression) {}

  void term(const Value &value, bool inList);

private:
  void name(const Value &value);
  void object(const Value &value);
  bool bound(const Value &given, std::optional<int64_t> MaskTerm::*value, bool MaskTerm::*runtime,
             MaskTerm &into);

  ValueReader &reader;
  AttentionSpec &spec;
  const std::function<void(const Value &)> &expression;
};

/// Whether a mask's text is an expression and no name, right or misspelt: it has a sign that no name has.
bool isExpression(std::string_view text) {
  std::string_view first = text.substr(0, text.find(':'));
  if (first == "none" || first == "causal" || first == "window")
    return false;
  return text == "true" || text == "false" || std::any_of(text.begin(), text.end(), [](char c) {
           return std::string_view("<>=!&|+-*/%^~?()[], \t\n").find(c) != std::string_view::npos;
         });
}

void MaskReader::term(const Value &value, bool inList) {
  if (spec.mask.size() + spec.maskExpressions.size() == limits::maxMaskTerms)
    return reader.error(value, fmt::format("expected at most {} mask terms, got more", limits::maxMaskTerms));
  if (value.kind == Kind::String && isExpression(value.text))
    expression(value);
  else if (value.kind == Kind::String)
    name(value);
  else if (value.kind == Kind::Object)
    object(value);
  else
    reader.mismatch(value, inList ? maskForms : std::string(maskForms) + ", or a list of them");
}

/// A bound of a window: a number, or "runtime" with or without what runs give.
bool MaskReader::bound(const Value &given, std::optional<int64_t> MaskTerm::*value, bool MaskTerm::*runtime,
                       MaskTerm &into) {
  Value number = given;
  if (takeRuntime(number)) {
    auto isRuntime = [&](const MaskTerm &other) { return other.*runtime; };
    if (std::any_of(spec.mask.begin(), spec.mask.end(), isRuntime)) {
      reader.error(given, fmt::format("expected at most one {} bound that is given at launch, got another",
                                      runtime == &MaskTerm::runtimeLeft ? "left" : "right"));
      return false;
    }
    into.*runtime = true;
    if (number.kind == Kind::Null) {
      into.*value = MaskTerm::usualWindow;
      return true;
    }
  }
  into.*value = reader.integer(number, 0, limits::maxWindow);
  return (into.*value).has_value();
}

/// "none", "causal[:ALIGN]" or "window:LEFT:RIGHT[:ALIGN]"; an empty bound does not limit.
void MaskReader::name(const Value &value) {
  std::vector<std::string> parts(1);
  for (char c : value.text)
    if (c == ':')
      parts.emplace_back();
    else
      parts.back() += c;
  MaskTerm term;
  bool causal = parts[0] == "causal", window = parts[0] == "window";
  if (value.text == "none")
    return;
  if (!causal && !window) {
    std::string nearest = nearestWord(parts[0], {"none", "causal", "window"});
    return reader.mismatch(value, maskForms,
                           nearest == "window" ? "\"window:LEFT:RIGHT\""
                           : nearest.empty()   ? ""
                                               : json::quote(nearest));
  }
  size_t alignAt = causal ? 1 : 3;
  if (parts.size() > alignAt + 1 || (window && parts.size() < 3))
    return reader.mismatch(value, causal ? "\"causal\" or \"causal:ALIGN\""
                                         : "\"window:LEFT:RIGHT\" or \"window:LEFT:RIGHT:ALIGN\"");
  if (parts.size() == alignAt + 1) {
    auto align = alignOf(parts[alignAt]);
    if (!align) {
      std::string nearest = nearestWord(parts[alignAt], {"top_left", "bottom_right"});
      return reader.mismatch(value, "an alignment of top_left or bottom_right", nearest);
    }
    term.align = *align;
    spec.origin.align = true;
  }
  if (causal) {
    term.right = 0;
  } else {
    auto side = [&](const std::string &text, std::optional<int64_t> MaskTerm::*value_,
                    bool MaskTerm::*runtime) {
      return text.empty() || bound(valueOfText(value, text), value_, runtime, term);
    };
    bool leftGood = side(parts[1], &MaskTerm::left, &MaskTerm::runtimeLeft);
    bool rightGood = side(parts[2], &MaskTerm::right, &MaskTerm::runtimeRight);
    if (!leftGood || !rightGood)
      return;
  }
  if (!term.left && !term.right)
    return reader.mismatch(value, "LEFT, RIGHT or both (or \"none\")");
  spec.mask.push_back(term);
}

void MaskReader::object(const Value &value) {
  std::map<std::string, const json::Member *, std::less<>> members;
  static const std::vector<std::string> keys = {"kind", "left", "right", "align"};
  for (const json::Member &member : value.members) {
    Value key{Kind::String, member.keyRange, false, 0, member.key, {}, {}};
    if (std::find(keys.begin(), keys.end(), member.key) == keys.end()) {
      std::string nearest = nearestWord(member.key, keys);
      reader.mismatch(key, nearest.empty() ? "one of the keys " + oneOf(keys) : "a key of a mask",
                      nearest.empty() ? "" : json::quote(nearest));
    } else if (!members.emplace(member.key, &member).second) {
      reader.error(key, fmt::format("expected each key once, got {} again", json::quote(member.key)));
    }
  }
  auto find = [&](const char *key) {
    auto found = members.find(key);
    return found == members.end() ? nullptr : &found->second->value;
  };
  MaskTerm term;
  bool good = true;
  std::optional<size_t> kind;
  if (const Value *at = find("kind"))
    kind = reader.word(*at, {"causal", "window"}, {"\"causal\"", "\"window\""});
  else
    reader.error(value, "expected a mask with the key \"kind\" (\"causal\" or \"window\"), got none");
  if (const Value *at = find("align")) {
    auto align = reader.word(*at, {"top_left", "bottom_right"}, {"\"top_left\"", "\"bottom_right\""});
    good &= align.has_value();
    term.align = align == 1 ? MaskAlign::BottomRight : MaskAlign::TopLeft;
    spec.origin.align = true;
  }
  for (auto [key, side, runtime] : {std::tuple("left", &MaskTerm::left, &MaskTerm::runtimeLeft),
                                    std::tuple("right", &MaskTerm::right, &MaskTerm::runtimeRight)}) {
    const Value *at = find(key);
    if (at && kind == 0)
      reader.error(*at, fmt::format("expected no \"{}\" in a causal mask; a window has one", key));
    else if (at)
      good &= bound(*at, side, runtime, term);
  }
  if (kind == 0)
    term.right = 0;
  if (kind == 1 && !find("left") && !find("right")) {
    reader.error(value,
                 "expected a window with \"left\", \"right\" or both (how many keys before and after are "
                 "kept), got neither");
    good = false;
  }
  if (kind && good)
    spec.mask.push_back(term);
}

} // namespace

void readMask(ValueReader &reader, const Value &value, AttentionSpec &spec,
              const std::function<void(const Value &)> &expression) {
  MaskReader masks(reader, spec, expression);
  if (value.kind != Kind::Array)
    return masks.term(value, false);
  for (const Value &term : value.elements)
    masks.term(term, true);
}

} // namespace attune
