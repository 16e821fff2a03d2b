//===- SpecReader.cpp - specs from JSON and flags -------------------------===//
#include "compiler/spec/SpecReader.h"
#include "compiler/schedule/Family.h"
#include "compiler/spec/CaptureReader.h"
#include "compiler/spec/MaskReader.h"
#include "compiler/spec/expr/Parser.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>

#include <fmt/format.h>

namespace attune {

namespace {

using json::Value;
using Kind = json::Value::Kind;

constexpr size_t maxSpecBytes = 1 << 20;

/// Reads one source after the other into one spec and collects what is wrong.
class Reader : public ValueReader {
public:
  Reader(std::string_view text, std::string_view file, const std::vector<FlagValue> &flags,
         Origin origin = Origin::Person)
      : ValueReader(text, file, origin), flags(flags) {}

  Result<AttentionSpec> read();
  void schedule(const Value &value);
  void mask(const Value &value);
  void score(const Value &value);

  AttentionSpec spec;

private:
  const std::vector<FlagValue> &flags;
  std::map<std::string, std::pair<Value, const FlagValue *>, std::less<>>
      places; ///< of the fields that were set

  /// Expressions, which are read when the arrays and scalars are known.
  struct Written {
    Value text;
    const FlagValue *flag;
    expr::Role role;
  };
  std::vector<Written> expressions;

  bool fromFile() const { return !file.empty(); }
  size_t timesGiven(std::string_view name) const;
  void readObject(const Value &object, bool inSchedule);
  void readFlags();
  void checkTogether();
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
  static constexpr std::string_view taken =
      " WARP_SZ alignas alignof and asm attune auto bool break case catch char class"
      " concept const consteval constexpr continue decltype default delete do double else"
      " enum explicit export extern false float for friend goto if inline int long main"
      " mutable namespace new noexcept not nullptr operator or private protected public"
      " register reinterpret_cast requires return short signed sizeof static static_assert"
      " struct switch template this throw true try typedef typeid typename union unsigned"
      " using virtual void volatile wchar_t while xor ";
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
  if (taken.find(fmt::format(" {} ", near)) != taken.npos)
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

void setScale(Reader &reader, const Value &given) {
  Value value = given;
  reader.spec.runtimeScale = takeRuntime(value);
  reader.spec.scale.reset();
  if (value.kind == Kind::Null && reader.spec.runtimeScale)
    return;
  if (auto scale = reader.finite(value))
    reader.spec.scale = *scale;
}

void setSoftcap(Reader &reader, const Value &given) {
  Value value = given;
  reader.spec.runtimeSoftcap = takeRuntime(value);
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

template <bool AttentionSpec::*member> void setSwitch(Reader &reader, const Value &value) {
  if (auto on = reader.boolean(value))
    reader.spec.*member = *on;
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
       "none, causal[:ALIGN] or window:LEFT:RIGHT[:ALIGN], ALIGN top_left|bottom_right, LEFT and RIGHT a "
       "number or runtime[=N]: given at launch; or an expression, such as 'kv <= q && kv > q - 64'; given "
       "more "
       "than once, all must keep a key",
       Field::Top, [](Reader &reader, const Value &value) { reader.mask(value); }},
      {"score", "--score", "EXPRESSION",
       "what scores become: an expression, such as 'score + slope[h] * (kv - q)'", Field::Top,
       [](Reader &reader, const Value &value) { reader.score(value); }},
      {"arrays", "--array", "NAME:DTYPE[AXES][=FILE]",
       "an array that expressions read, such as doc:i32[b,kv]; DTYPE i32|f32|fp16|bf16|u8, an axis "
       "b|h|hkv|q|kv or a length; of a file's array NAME=FILE says what `run` reads",
       Field::Top,
       [](Reader &reader, const Value &value) { readArrays(reader, value, reader.spec.captures); }},
      {"scalars", "--scalar", "NAME[:TYPE][=NUMBER]",
       "a number (i32 or f32) that is given at launch and that expressions read; NUMBER is what `run` gives",
       Field::Top,
       [](Reader &reader, const Value &value) { readScalars(reader, value, reader.spec.captures); }},
      {"softcap", "--softcap", "C", "scores become C * tanh(score / C); runtime[:C]: given at launch",
       Field::Top, setSoftcap},
      {"sink", "--sink", "", "each query head has a sink, whose exp joins the softmax's denominator",
       Field::Top, setSwitch<&A::sink>},
      {"lengths_q", "--lengths-q", "",
       "each batch entry has its own number of queries, which the array lengths_q says at launch", Field::Top,
       setSwitch<&A::lengthsQ>},
      {"lengths_kv", "--lengths-kv", "",
       "each batch entry has its own number of keys, which the array lengths_kv says at launch", Field::Top,
       setSwitch<&A::lengthsKv>},
      {"lse", "--lse", "", "also compute the log-sum-exp of each row", Field::Top, setSwitch<&A::lse>},
      {"batch_invariant", "--batch-invariant", "",
       "a row's bits depend on no other row: not on batch, heads or lengths, and on nothing tuned",
       Field::Top, setSwitch<&A::batchInvariant>},
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

//===----------------------------------------------------------------------===//
// Objects and flags
//===----------------------------------------------------------------------===//

void Reader::schedule(const Value &value) {
  if (value.kind != Kind::Object)
    return mismatch(value, "an object with a family and its parameters, such as block_q");
  readObject(value, true);
}

void Reader::mask(const Value &value) {
  readMask(*this, value, spec, [&](const Value &text) {
    spec.maskExpressions.push_back(text.text);
    expressions.push_back({text, flag, expr::Role::Mask});
  });
}

void Reader::score(const Value &value) {
  std::erase_if(expressions, [](const Written &one) { return one.role == expr::Role::Score; });
  if (value.kind != Kind::String || value.text.empty())
    return mismatch(value, "an expression, such as \"score + slope[h] * (kv - q)\"");
  spec.scoreExpression = value.text;
  expressions.push_back({value, flag, expr::Role::Score});
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

static bool isRepeatable(const Field &field) {
  return field.key == "mask" || field.key == "arrays" || field.key == "scalars";
}
/// Whether a flag's value is a text even where it looks like a number.
static bool isText(const Field &field) {
  return field.key == "score" || field.key == "arrays" || field.key == "scalars";
}

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
    if (int count = ++counts[field->key]; count > 1 && !isRepeatable(*field)) {
      if (count == 2)
        error(value, isSwitch(*field)
                         ? fmt::format("expected one of {} and {}, once", field->flag, negationOf(*field))
                         : fmt::format("expected it once, got it {} times", timesGiven(given.flag)));
      continue;
    }
    value = valueOfText(value, given.value);
    if (isText(*field))
      value.kind = Kind::String;
    if (isSwitch(*field)) {
      value.kind = Kind::Bool;
      value.boolean = given.flag == field->flag;
    }
    if (isMask && counts[field->key] == 1) {
      spec.mask.clear();
      spec.maskExpressions.clear();
      std::erase_if(expressions, [](const Written &one) { return one.role == expr::Role::Mask; });
    }
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
  for (const Written &one : expressions) {
    std::vector<Diagnostic> inside;
    (void)expr::parse(one.text.text, one.role, spec.captures, inside);
    flag = one.flag;
    errorsInside(one.text, one.role == expr::Role::Mask ? "mask" : "score", inside);
    flag = nullptr;
  }
  if (auto cap = find("softcap"); cap && spec.softcap && !spec.scoreExpression.empty()) {
    flag = cap->second;
    currentKey = "softcap";
    error(cap->first,
          "expected a softcap or a score expression, got both (in an expression: cap * tanh(score "
          "/ cap))");
    flag = nullptr;
    currentKey = {};
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
  if (std::string wrong = errors(); !wrong.empty())
    return badInput(wrong);
  return spec;
}

} // namespace

const std::vector<SpecFlag> &specFlags() {
  static const std::vector<SpecFlag> flags = [] {
    std::vector<SpecFlag> result;
    for (const Field &field : fields()) {
      if (!field.flag.empty())
        result.push_back({field.flag, field.valueName, field.help, isRepeatable(field)});
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
