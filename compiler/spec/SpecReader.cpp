//===- SpecReader.cpp - specs from JSON and flags -------------------------===//
#include "compiler/spec/SpecReader.h"
#include "compiler/schedule/Family.h"
#include "compiler/spec/Json.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <map>

#include <fmt/format.h>

namespace attune {

namespace {

using json::Value;
using Kind = json::Value::Kind;

constexpr size_t maxSpecBytes = 1 << 20;

/// Reads one source after the other into one spec and collects what is wrong.
class Reader {
public:
  /// Who wrote the text: a person, who is shown lines and columns, or a program, whose spec became text here.
  enum class Origin { Person, Program };
  Reader(std::string_view text, std::string_view file, const std::vector<FlagValue> &flags,
         Origin origin = Origin::Person)
      : text(text), file(file), flags(flags), origin(origin) {}

  Result<AttentionSpec> read();

  // What the setters of the field table use.
  void error(const Value &at, std::string message);
  /// "expected EXPECTED, got VALUE (nearest: NEAREST)".
  void mismatch(const Value &at, const std::string &expected, const std::string &nearest = "");
  std::optional<int64_t> integer(const Value &value, int64_t least, int64_t most, int64_t step = 1);
  std::optional<double> finite(const Value &value);
  std::optional<bool> boolean(const Value &value);
  /// The index of a string's word in `words`; `shown` is how messages spell the choice.
  std::optional<size_t> word(const Value &value, const std::vector<std::string> &words,
                             const std::vector<std::string> &shown);
  void mask(const Value &value);
  void schedule(const Value &value);

  AttentionSpec spec;

private:
  std::string_view text, file;
  const std::vector<FlagValue> &flags;
  Origin origin;
  const FlagValue *flag = nullptr; ///< whose value is read; null while the file is read
  std::string_view currentKey;     ///< whose value is read, or checked with others
  std::vector<Diagnostic> diagnostics;
  std::string flagErrors;
  std::map<std::string, std::pair<Value, const FlagValue *>, std::less<>>
      places; ///< of the fields that were set

  bool fromFile() const { return !file.empty(); }
  size_t timesGiven(std::string_view name) const;
  void readObject(const Value &object, bool inSchedule);
  void readFlags();
  void checkTogether();
  void maskTerm(const Value &value, bool inList);
  void maskName(const Value &value);
  void maskObject(const Value &value);
};

struct Field {
  std::string key;
  std::string flag; ///< empty: none
  std::string valueName;
  std::string help;
  enum Where { Top, Schedule } where;
  std::function<void(Reader &, const Value &)> set;
};

template <int AttentionSpec::*...members> void setHeadDim(Reader &reader, const Value &value) {
  if (auto dim = reader.integer(value, limits::headDimStep, limits::maxHeadDim, limits::headDimStep))
    ((reader.spec.*members = static_cast<int>(*dim)), ...);
}

void setOp(Reader &reader, const Value &value) { (void)reader.word(value, {"forward"}, {"\"forward\""}); }

void setName(Reader &reader, const Value &value) {
  static const std::vector<std::string> taken = {"WARP_SZ",   "alignas",   "alignof",
                                                 "and",       "asm",       "attune",
                                                 "auto",      "bool",      "break",
                                                 "case",      "catch",     "char",
                                                 "class",     "concept",   "const",
                                                 "consteval", "constexpr", "continue",
                                                 "decltype",  "default",   "delete",
                                                 "do",        "double",    "else",
                                                 "enum",      "explicit",  "export",
                                                 "extern",    "false",     "float",
                                                 "for",       "friend",    "goto",
                                                 "if",        "inline",    "int",
                                                 "long",      "main",      "mutable",
                                                 "namespace", "new",       "noexcept",
                                                 "not",       "nullptr",   "operator",
                                                 "or",        "private",   "protected",
                                                 "public",    "register",  "reinterpret_cast",
                                                 "requires",  "return",    "short",
                                                 "signed",    "sizeof",    "static",
                                                 "struct",    "switch",    "template",
                                                 "this",      "throw",     "true",
                                                 "try",       "typedef",   "typeid",
                                                 "typename",  "union",     "unsigned",
                                                 "using",     "virtual",   "void",
                                                 "volatile",  "wchar_t",   "while",
                                                 "xor"};
  const std::string expected = fmt::format("a C identifier of at most {} characters", limits::maxName);
  if (value.kind != Kind::String)
    return reader.mismatch(value, expected);
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  std::string near;
  for (char c : value.text)
    near += letter(c) || digit(c) ? c : '_';
  if (!near.empty() && digit(near[0]))
    near.insert(0, "k");
  while (near.find("__") != std::string::npos)
    near.erase(near.find("__"), 1);
  if (near.starts_with("_"))
    near.insert(0, "k");
  if (std::find(taken.begin(), taken.end(), near) != taken.end())
    near += "_kernel";
  near.resize(std::min(near.size(), limits::maxName));
  if (near.empty() || near != value.text)
    return reader.mismatch(value, expected + " that C++ and PTX leave free",
                           near.empty() ? "" : json::quote(near));
  reader.spec.name = value.text;
}

void setDtype(Reader &reader, const Value &value) {
  static const std::vector<std::string> words = {"fp16", "f16", "float16", "bf16", "bfloat16"};
  if (auto index = reader.word(value, words, {"\"fp16\"", "\"bf16\""}))
    reader.spec.dtype = *index < 3 ? DType::F16 : DType::BF16;
}

void setLayout(Reader &reader, const Value &value) {
  if (auto index = reader.word(value, {"bshd", "bhsd"}, {"\"bshd\"", "\"bhsd\""}))
    reader.spec.layout = *index == 0 ? Layout::BSHD : Layout::BHSD;
}

/// Whether `value` is left to run time: "runtime", or "runtime:0.2", whose number takes its place in `value`.
bool isRuntime(Value &value) {
  constexpr std::string_view word = "runtime";
  if (value.kind != Kind::String || !value.text.starts_with(word))
    return false;
  std::string rest = value.text.substr(word.size());
  if (rest.empty() || (rest[0] == ':' && json::parseNumber(rest.substr(1), value.number))) {
    value.kind = rest.empty() ? Kind::Null : Kind::Number;
    return true;
  }
  return false;
}

void setScale(Reader &reader, const Value &given) {
  Value value = given;
  reader.spec.runtimeScale = isRuntime(value);
  reader.spec.scale.reset();
  if (value.kind == Kind::Null && reader.spec.runtimeScale)
    return;
  if (auto scale = reader.finite(value))
    reader.spec.scale = *scale;
}

void setSoftcap(Reader &reader, const Value &given) {
  Value value = given;
  reader.spec.runtimeSoftcap = isRuntime(value);
  if (value.kind == Kind::Null && reader.spec.runtimeSoftcap) {
    reader.spec.softcap = 50; // Gemma 2's
    return;
  }
  auto cap = reader.finite(value);
  if (!cap)
    return;
  // Below 1e-30 the kernel's 1 / cap leaves f32; such a cap means nothing. A kernel's tanh errs by some
  // 2^-24, so its scores by the cap times that: from 3e4 on the result is worse than the plain 16-bit
  // algorithm's.
  if (*cap < 1e-30 || *cap > 1e4)
    return reader.mismatch(value, "a softcap from 1e-30 to 1e4 (leave it out for none)",
                           *cap <= 0  ? ""
                           : *cap < 1 ? "1e-30"
                                      : "1e4");
  reader.spec.softcap = *cap;
}

void setLse(Reader &reader, const Value &value) {
  if (auto lse = reader.boolean(value))
    reader.spec.lse = *lse;
}

void setBatchInvariant(Reader &reader, const Value &value) {
  if (auto invariant = reader.boolean(value))
    reader.spec.batchInvariant = *invariant;
}

/// The fields of a schedule: the family, and the parameters of all families.
void addScheduleFields(std::vector<Field> &table) {
  table.push_back({"family", "--family", "NAME", "family of schedules (the most particular that serves)",
                   Field::Schedule, [](Reader &reader, const Value &value) {
                     std::vector<std::string> names, shown;
                     for (const ScheduleFamily *family : scheduleFamilies()) {
                       names.emplace_back(family->name);
                       shown.push_back(json::quote(family->name));
                     }
                     if (auto index = reader.word(value, names, shown))
                       reader.spec.schedule.family = names[*index];
                   }});
  for (const ScheduleParameter *parameter : scheduleParameters())
    table.push_back({std::string(parameter->name), parameter->flag(), "N", std::string(parameter->help),
                     Field::Schedule, [parameter](Reader &reader, const Value &value) {
                       auto number =
                           reader.integer(value, parameter->least, parameter->most, parameter->step);
                       if (number && !parameter->takes(int(*number)))
                         return reader.mismatch(value, std::string(parameter->words),
                                                std::to_string(parameter->nearest(double(*number))));
                       if (number)
                         reader.spec.schedule.set(parameter->name, int(*number));
                     }});
}

std::vector<Field> makeFields() {
  using A = AttentionSpec;
  std::vector<Field> table = {
      {"op", "--op", "forward", "what to compute", Field::Top, setOp},
      {"name", "--name", "IDENT", "name of the kernel (attention)", Field::Top, setName},
      {"dtype", "--dtype", "fp16|bf16", "type of Q, K, V and O (bf16); accumulation is f32", Field::Top,
       setDtype},
      {"head_dim", "--head-dim", "N", "head dim of Q, K, V and O (128): a multiple of 8 up to 256",
       Field::Top, setHeadDim<&A::headDimQk, &A::headDimV>},
      {"head_dim_qk", "--head-dim-qk", "N", "head dim of Q and K alone", Field::Top,
       setHeadDim<&A::headDimQk>},
      {"head_dim_v", "--head-dim-v", "N", "head dim of V and O alone", Field::Top, setHeadDim<&A::headDimV>},
      {"layout", "--layout", "bshd|bhsd", "order of the arrays' dimensions (bshd)", Field::Top, setLayout},
      {"scale", "--scale", "X", "factor of the scores (1 / sqrt(head_dim_qk)); runtime[:X]: given at launch",
       Field::Top, setScale},
      {"mask", "--mask", "MASK",
       "none, causal[:ALIGN] or window:LEFT:RIGHT[:ALIGN], ALIGN top_left|bottom_right; given more than "
       "once, all "
       "must keep a key",
       Field::Top, [](Reader &reader, const Value &value) { reader.mask(value); }},
      {"softcap", "--softcap", "C", "scores become C * tanh(score / C); runtime[:C]: given at launch",
       Field::Top, setSoftcap},
      {"lse", "--lse", "", "also compute the log-sum-exp of each row", Field::Top, setLse},
      {"batch_invariant", "--batch-invariant", "",
       "a row's bits depend on no other row: not on batch, heads or lengths, and on nothing tuned",
       Field::Top, setBatchInvariant},
      {"schedule", "", "", "", Field::Top,
       [](Reader &reader, const Value &value) { reader.schedule(value); }},
  };
  addScheduleFields(table);
  return table;
}

const std::vector<Field> &fields() {
  static const std::vector<Field> table = makeFields();
  return table;
}

void Reader::error(const Value &at, std::string message) {
  auto place = [&](std::string_view source, std::string_view name) {
    flagErrors += fmt::format("{}{}: {}: error: {}", flagErrors.empty() ? "" : "\n", source, name, message);
  };
  if (flag)
    place("command line", flag->flag);
  else if (origin == Origin::Program && !currentKey.empty())
    place(file, currentKey);
  else
    diagnostics.push_back({at.range, std::move(message)});
}

void Reader::mismatch(const Value &at, const std::string &expected, const std::string &nearest) {
  if (at.kind != Kind::Invalid) // else the syntax error has been reported
    error(at, fmt::format("expected {}, got {}{}", expected, json::describe(at),
                          nearest.empty() ? "" : fmt::format(" (nearest: {})", nearest)));
}

std::optional<int64_t> Reader::integer(const Value &value, int64_t least, int64_t most, int64_t step) {
  std::string what = step > 1 ? fmt::format("a multiple of {} from {} to {}", step, least, most)
                     : most == limits::maxWindow ? fmt::format("a whole number from {} on, below 2^30", least)
                                                 : fmt::format("a whole number from {} to {}", least, most);
  if (value.kind != Kind::Number) {
    mismatch(value, what);
    return {};
  }
  // Half way between two steps the larger one is named: it loses nothing.
  double clamped = std::clamp(value.number, double(least), double(most));
  int64_t nearest = static_cast<int64_t>(std::floor(clamped / double(step) + 0.5)) * step;
  if (double(nearest) == value.number)
    return nearest;
  mismatch(value, what, std::to_string(nearest));
  return {};
}

std::optional<double> Reader::finite(const Value &value) {
  if (value.kind != Kind::Number)
    mismatch(value, "a number");
  else if (!(std::abs(value.number) <= std::numeric_limits<float>::max()))
    mismatch(value, "a number that fits f32", value.number > 0 ? "3.4e38" : "-3.4e38");
  else
    return value.number;
  return {};
}

std::optional<bool> Reader::boolean(const Value &value) {
  if (value.kind == Kind::Bool)
    return value.boolean;
  mismatch(value, "true or false",
           value.kind == Kind::String ? nearestWord(value.text, {"true", "false"}) : "");
  return {};
}

std::optional<size_t> Reader::word(const Value &value, const std::vector<std::string> &words,
                                   const std::vector<std::string> &shown) {
  std::string nearest;
  if (value.kind == Kind::String) {
    auto found = std::find(words.begin(), words.end(), value.text);
    if (found != words.end())
      return found - words.begin();
    nearest = nearestWord(value.text, words);
  }
  mismatch(value, oneOf(shown), nearest.empty() || shown.size() == 1 ? "" : json::quote(nearest));
  return {};
}

//===----------------------------------------------------------------------===//
// Masks
//===----------------------------------------------------------------------===//

constexpr const char *maskForms = "\"none\", \"causal\", \"window:LEFT:RIGHT\" or a mask object";

std::optional<MaskAlign> alignOf(std::string_view text) {
  if (text == "top_left")
    return MaskAlign::TopLeft;
  if (text == "bottom_right")
    return MaskAlign::BottomRight;
  return {};
}

void Reader::mask(const Value &value) {
  if (value.kind != Kind::Array)
    return maskTerm(value, false);
  for (const Value &term : value.elements)
    maskTerm(term, true);
}

void Reader::maskTerm(const Value &value, bool inList) {
  if (spec.mask.size() == limits::maxMaskTerms)
    return error(value, fmt::format("expected at most {} mask terms, got more", limits::maxMaskTerms));
  if (value.kind == Kind::String)
    maskName(value);
  else if (value.kind == Kind::Object)
    maskObject(value);
  else
    mismatch(value, inList ? maskForms : std::string(maskForms) + ", or a list of them");
}

/// "none", "causal[:ALIGN]" or "window:LEFT:RIGHT[:ALIGN]"; an empty bound does not limit.
void Reader::maskName(const Value &value) {
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
    return mismatch(value, maskForms,
                    nearest == "window" ? "\"window:LEFT:RIGHT\""
                    : nearest.empty()   ? ""
                                        : json::quote(nearest));
  }
  size_t alignAt = causal ? 1 : 3;
  if (parts.size() > alignAt + 1 || (window && parts.size() < 3))
    return mismatch(value, causal ? "\"causal\" or \"causal:ALIGN\""
                                  : "\"window:LEFT:RIGHT\" or \"window:LEFT:RIGHT:ALIGN\"");
  if (parts.size() == alignAt + 1) {
    auto align = alignOf(parts[alignAt]);
    if (!align) {
      std::string nearest = nearestWord(parts[alignAt], {"top_left", "bottom_right"});
      return mismatch(value, "an alignment of top_left or bottom_right", nearest);
    }
    term.align = *align;
    spec.origin.align = true;
  }
  auto bound = [&](const std::string &part, std::optional<int64_t> &out) {
    Value number = value;
    number.text = part;
    number.kind = json::parseNumber(part, number.number) ? Kind::Number : Kind::String;
    if (part.empty())
      return true;
    out = integer(number, 0, limits::maxWindow);
    return out.has_value();
  };
  if (causal) {
    term.right = 0;
  } else {
    bool leftGood = bound(parts[1], term.left), rightGood = bound(parts[2], term.right);
    if (!leftGood || !rightGood)
      return;
  }
  if (!term.left && !term.right)
    return mismatch(value, "LEFT, RIGHT or both (or \"none\")");
  spec.mask.push_back(term);
}

void Reader::maskObject(const Value &value) {
  std::map<std::string, const json::Member *, std::less<>> members;
  static const std::vector<std::string> keys = {"kind", "left", "right", "align"};
  for (const json::Member &member : value.members) {
    Value key{Kind::String, member.keyRange, false, 0, member.key, {}, {}};
    if (std::find(keys.begin(), keys.end(), member.key) == keys.end()) {
      std::string nearest = nearestWord(member.key, keys);
      mismatch(key, nearest.empty() ? "one of the keys " + oneOf(keys) : "a key of a mask",
               nearest.empty() ? "" : json::quote(nearest));
    } else if (!members.emplace(member.key, &member).second) {
      error(key, fmt::format("expected each key once, got {} again", json::quote(member.key)));
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
    kind = word(*at, {"causal", "window"}, {"\"causal\"", "\"window\""});
  else
    error(value, "expected a mask with the key \"kind\" (\"causal\" or \"window\"), got none");
  if (const Value *at = find("align")) {
    auto align = word(*at, {"top_left", "bottom_right"}, {"\"top_left\"", "\"bottom_right\""});
    good &= align.has_value();
    term.align = align == 1 ? MaskAlign::BottomRight : MaskAlign::TopLeft;
    spec.origin.align = true;
  }
  for (auto [key, bound] : {std::pair("left", &term.left), std::pair("right", &term.right)}) {
    const Value *at = find(key);
    if (at && kind == 0) {
      error(*at, fmt::format("expected no \"{}\" in a causal mask; a window has one", key));
    } else if (at) {
      *bound = integer(*at, 0, limits::maxWindow);
      good &= bound->has_value();
    }
  }
  if (kind == 0)
    term.right = 0;
  if (kind == 1 && !find("left") && !find("right")) {
    error(value, "expected a window with \"left\", \"right\" or both (how many keys before and after are "
                 "kept), got neither");
    good = false;
  }
  if (kind && good)
    spec.mask.push_back(term);
}

//===----------------------------------------------------------------------===//
// Objects and flags
//===----------------------------------------------------------------------===//

void Reader::schedule(const Value &value) {
  if (value.kind != Kind::Object)
    return mismatch(value, "an object with a family and its parameters, such as block_q");
  readObject(value, true);
}

void Reader::readObject(const Value &object, bool inSchedule) {
  Field::Where where = inSchedule ? Field::Schedule : Field::Top;
  std::map<std::string, Range, std::less<>> seen;
  std::vector<std::string> keys;
  for (const Field &field : fields())
    if (field.where == where)
      keys.push_back(field.key);
  for (const json::Member &member : object.members) {
    Value key{Kind::String, member.keyRange, false, 0, member.key, {}, {}};
    auto [first, inserted] = seen.emplace(member.key, member.keyRange);
    if (!inserted) {
      std::string location = locationOf(text, "", first->second.begin);
      error(key, fmt::format("expected each key once, got {} again (first at {})", json::quote(member.key),
                             location.substr(1)));
      continue;
    }
    auto field =
        std::find_if(fields().begin(), fields().end(), [&](const Field &f) { return f.key == member.key; });
    if (field == fields().end()) {
      std::string nearest = nearestWord(member.key, keys);
      mismatch(key, nearest.empty() ? "one of the keys " + oneOf(keys) : "a key that exists here",
               nearest.empty() ? "" : json::quote(nearest));
      continue;
    }
    if (field->where != where) {
      mismatch(key, inSchedule ? "a key of the schedule (this one belongs to the spec itself)"
                               : "a key of the spec (this one belongs into \"schedule\")");
      continue;
    }
    places.insert_or_assign(member.key, std::pair(member.value, nullptr));
    // A field given by a flag takes nothing from the file, but what the file says must be sound.
    currentKey = member.key;
    field->set(*this, member.value);
  }
  currentKey = {};
}

size_t Reader::timesGiven(std::string_view name) const {
  return size_t(
      std::count_if(flags.begin(), flags.end(), [&](const FlagValue &f) { return f.flag == name; }));
}

/// A flag without a value, which its negation turns off: --lse, --no-lse.
static bool isSwitch(const Field &field) { return !field.flag.empty() && field.valueName.empty(); }
static std::string negationOf(const Field &field) { return "--no-" + field.flag.substr(2); }

void Reader::readFlags() {
  std::map<std::string, int, std::less<>> counts;
  for (const FlagValue &given : flags) {
    flag = &given;
    auto field = std::find_if(fields().begin(), fields().end(), [&](const Field &f) {
      return !f.flag.empty() && (f.flag == given.flag || (isSwitch(f) && negationOf(f) == given.flag));
    });
    Value value;
    if (field == fields().end()) {
      error(value, "expected a flag of the spec");
      continue;
    }
    bool isMask = field->key == "mask";
    if (int count = ++counts[field->key]; count > 1 && !isMask) {
      if (count == 2)
        error(value, isSwitch(*field)
                         ? fmt::format("expected one of {} and {}, once", field->flag, negationOf(*field))
                         : fmt::format("expected it once, got it {} times", timesGiven(given.flag)));
      continue;
    }
    value.text = given.value;
    value.kind = json::parseNumber(given.value, value.number) ? Kind::Number : Kind::String;
    if (isSwitch(*field)) {
      value.kind = Kind::Bool;
      value.boolean = given.flag == field->flag;
    }
    if (isMask && counts[field->key] == 1)
      spec.mask.clear();
    // A head dim from a flag replaces the file's, whichever key the file used.
    places.insert_or_assign(field->key, std::pair(value, flag));
    field->set(*this, value);
  }
  flag = nullptr;
}

/// What no field can check alone.
void Reader::checkTogether() {
  auto find = [&](std::string_view key) {
    auto found = places.find(key);
    return found == places.end() ? nullptr : &found->second;
  };
  auto whole = find("head_dim");
  for (const char *key : {"head_dim_qk", "head_dim_v"}) {
    auto part = find(key);
    if (whole && part && whole->second == nullptr && part->second == nullptr)
      error(part->first,
            fmt::format("expected head_dim, or head_dim_qk and head_dim_v, got head_dim and {}", key));
    if (whole && part && whole->second && part->second) {
      flag = part->second;
      error(part->first, "expected --head-dim, or --head-dim-qk and --head-dim-v, got both");
      flag = nullptr;
    }
  }
  for (const ScheduleFamily *family : scheduleFamilies()) {
    if (!spec.schedule.family.empty() && spec.schedule.family != family->name)
      continue;
    std::optional<ScheduleConflict> conflict = family->conflict(spec.schedule);
    auto at = conflict ? find(conflict->parameter) : nullptr;
    if (!at)
      continue;
    flag = at->second;
    currentKey = conflict->parameter;
    mismatch(at->first, conflict->expected, std::to_string(conflict->nearest));
    flag = nullptr;
    break;
  }
}

Result<AttentionSpec> Reader::read() {
  if (fromFile()) {
    if (text.size() > maxSpecBytes)
      return badInput(
          fmt::format("{}: error: expected a spec of at most 1 MiB, got {} bytes", file, text.size()));
    size_t syntaxErrors = 0;
    Value root = json::parse(text, diagnostics);
    syntaxErrors = diagnostics.size();
    if (root.kind == Kind::Object)
      readObject(root, false);
    else if (syntaxErrors == 0)
      mismatch(root, "a JSON object");
    spec.origin.spec = locationOf(text, file, root.range.begin);
    if (auto at = places.find("schedule"); at != places.end())
      spec.origin.schedule = locationOf(text, file, at->second.first.range.begin);
  }
  readFlags();
  checkTogether();
  std::string scheduleFlags;
  for (const Field &field : fields())
    if (auto at = places.find(field.key);
        field.where == Field::Schedule && at != places.end() && at->second.second)
      scheduleFlags += (scheduleFlags.empty() ? "command line: " : ", ") + at->second.second->flag;
  if (!scheduleFlags.empty())
    spec.origin.schedule = scheduleFlags;
  if (!fromFile())
    spec.origin.spec = "command line";
  std::string errors = render(text, file, diagnostics);
  if (!flagErrors.empty())
    errors += (errors.empty() ? "" : "\n") + flagErrors;
  if (!errors.empty())
    return badInput(errors);
  return spec;
}

} // namespace

const std::vector<SpecFlag> &specFlags() {
  static const std::vector<SpecFlag> flags = [] {
    std::vector<SpecFlag> result;
    for (const Field &field : fields()) {
      if (!field.flag.empty())
        result.push_back({field.flag, field.valueName, field.help, field.key == "mask"});
      if (isSwitch(field))
        result.push_back({negationOf(field), "", "do not, whatever the file says"});
    }
    return result;
  }();
  return flags;
}

Result<AttentionSpec> readSpec(std::string_view text, std::string_view file,
                               const std::vector<FlagValue> &flags) {
  return Reader(text, file, flags).read();
}

Status checkFields(const AttentionSpec &spec) {
  std::string text = toJson(spec);
  static const std::vector<FlagValue> noFlags;
  Result<AttentionSpec> read = Reader(text, "spec", noFlags, Reader::Origin::Program).read();
  return read ? success() : Status(read.error());
}

Result<AttentionSpec> loadSpec(const std::string &path, const std::vector<FlagValue> &flags) {
  if (path.empty())
    return readSpec("", "", flags);
  bool fromInput = path == "-";
  FILE *stream = fromInput ? stdin : std::fopen(path.c_str(), "rb");
  std::string text;
  char buffer[4096];
  size_t got = 0;
  while (stream && text.size() <= maxSpecBytes && (got = std::fread(buffer, 1, sizeof buffer, stream)) > 0)
    text.append(buffer, got);
  bool failed = !stream || std::ferror(stream);
  int reason = errno;
  if (stream && !fromInput)
    std::fclose(stream);
  if (failed)
    return badInput(
        fmt::format("{}: error: expected a readable spec file, got: {}", path, std::strerror(reason)));
  return readSpec(text, fromInput ? "<stdin>" : path, flags);
}

} // namespace attune
