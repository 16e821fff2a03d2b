//===- CaptureReader.cpp - what expressions read, out of JSON and flags ---===//
#include "compiler/spec/CaptureReader.h"

#include "compiler/spec/expr/Parser.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include <fmt/format.h>

namespace attune {

namespace {

using json::Value;
using Kind = json::Value::Kind;

constexpr const char *axisWords = "an axis (b, h, hkv, q, kv, or a table's length from 1 to 2^30)";
constexpr const char *arrayForm =
    "NAME=FILE, NAME:DTYPE[AXES] or NAME:DTYPE[AXES]=FILE, such as doc:i32[b,kv]";
constexpr const char *scalarForm = "NAME=NUMBER or NAME:i32|f32, such as window=4096";

class CaptureReader {
public:
  CaptureReader(ValueReader &reader, expr::Captures &captures) : reader(reader), captures(captures) {}

  void array(const Value &key, const Value &value);
  void arrayText(const Value &value);
  void scalar(const Value &key, const Value &value);
  void scalarText(const Value &value);

private:
  bool name(const Value &key);
  template <typename Capture> void put(const Value &key, std::vector<Capture> &table, Capture capture);
  std::optional<DType> dtype(const Value &value);
  bool axis(const Value &at, const std::string &text, std::vector<expr::Axis> &axes);
  std::optional<double> number(const Value &value, expr::Type type);

  ValueReader &reader;
  expr::Captures &captures;
};

/// The value that a part of it stands for.
Value part(const Value &of, std::string text) {
  Value value = of;
  value.kind = Kind::String;
  value.text = std::move(text);
  return value;
}

bool CaptureReader::name(const Value &key) {
  std::string expected = expr::checkCaptureName(key.text);
  static const std::vector<std::string> taken = {
      "q",         "k",         "v", "o", "lse", "sink", "scale", "softcap", "window_left", "window_right",
      "lengths_q", "lengths_kv"};
  if (expected.empty() && std::find(taken.begin(), taken.end(), key.text) != taken.end())
    expected = "a name that no other argument of kernels has";
  if (!expected.empty())
    reader.mismatch(key, expected);
  return expected.empty();
}

template <typename Capture>
void CaptureReader::put(const Value &key, std::vector<Capture> &table, Capture capture) {
  bool isArray = std::is_same_v<Capture, expr::CapturedArray>;
  auto has = [&](const auto &one) { return one.name == capture.name; };
  if (isArray ? std::any_of(captures.scalars.begin(), captures.scalars.end(), has)
              : std::any_of(captures.arrays.begin(), captures.arrays.end(), has))
    return reader.error(key, fmt::format("expected one array or scalar of a name, got {} as both",
                                         json::quote(capture.name)));
  if (auto known = std::find_if(table.begin(), table.end(), has); known != table.end())
    *known = std::move(capture);
  else if (table.size() == expr::maxCaptures)
    reader.error(key,
                 fmt::format("expected at most {} {}", expr::maxCaptures, isArray ? "arrays" : "scalars"));
  else
    table.push_back(std::move(capture));
}

std::optional<DType> CaptureReader::dtype(const Value &value) {
  static const std::vector<std::string> words = {"i32", "f32", "fp16", "f16", "bf16", "u8", "bool"};
  static const DType types[] = {DType::I32,  DType::F32, DType::F16, DType::F16,
                                DType::BF16, DType::U8,  DType::U8};
  auto index =
      reader.word(value, words, {"\"i32\"", "\"f32\"", "\"fp16\"", "\"bf16\"", "\"u8\"", "\"bool\""});
  return index ? std::optional(types[*index]) : std::nullopt;
}

bool CaptureReader::axis(const Value &at, const std::string &text, std::vector<expr::Axis> &axes) {
  std::optional<expr::Axis> found = expr::findAxis(text);
  if (!found)
    reader.mismatch(part(at, text), axisWords, nearestWord(text, {"b", "h", "hkv", "q", "kv"}));
  else if (axes.size() == expr::maxAxes)
    reader.error(at, fmt::format("expected at most {} axes, got more", expr::maxAxes));
  else
    axes.push_back(*found);
  return found.has_value();
}

void CaptureReader::array(const Value &key, const Value &value) {
  expr::CapturedArray array;
  array.name = key.text;
  bool good = name(key);
  if (value.kind != Kind::Object)
    return reader.mismatch(value, R"(an array such as {"dtype": "i32", "axes": ["b", "kv"]})");
  bool hasType = false, hasAxes = false;
  for (const json::Member &member : value.members) {
    if (member.key == "dtype") {
      hasType = true;
      if (std::optional<DType> type = dtype(member.value))
        array.dtype = *type;
      else
        good = false;
    } else if (member.key == "axes") {
      hasAxes = true;
      if (member.value.kind != Kind::Array || member.value.elements.empty()) {
        reader.mismatch(member.value, R"(a list of axes, such as ["b", "kv"])");
        good = false;
        continue;
      }
      for (const Value &one : member.value.elements) {
        bool isText = one.kind == Kind::String || one.kind == Kind::Number;
        if (!isText)
          reader.mismatch(one, axisWords);
        good = isText && axis(one, one.text, array.axes) && good;
      }
    } else if (member.key == "file" && member.value.kind == Kind::String) {
      array.file = member.value.text;
    } else {
      Value at{Kind::String, member.keyRange, false, 0, member.key, {}, {}};
      static const std::vector<std::string> keys = {"dtype", "axes", "file"};
      std::string near = nearestWord(member.key, keys);
      if (member.key == "file")
        reader.mismatch(member.value, "the path of a .npy file");
      else
        reader.mismatch(at, "one of the keys " + oneOf(keys), near.empty() ? "" : json::quote(near));
      good = false;
    }
  }
  for (auto [has, what] : {std::pair(hasType, "dtype"), {hasAxes, "axes"}})
    if (!has) {
      reader.error(value, fmt::format("expected an array with the key \"{}\", got none", what));
      good = false;
    }
  if (good)
    put(key, captures.arrays, std::move(array));
}

void CaptureReader::arrayText(const Value &value) {
  const std::string &text = value.text;
  size_t equals = text.find('='), colon = text.find(':');
  if (colon == std::string::npos || colon > equals) {
    auto known =
        std::find_if(captures.arrays.begin(), captures.arrays.end(),
                     [&](const expr::CapturedArray &one) { return one.name == text.substr(0, equals); });
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
      return reader.mismatch(value, arrayForm);
    if (known == captures.arrays.end()) // another array of the kernel, which whoever runs it knows
      return;
    known->file = text.substr(equals + 1);
    return;
  }
  expr::CapturedArray array;
  array.name = text.substr(0, colon);
  if (equals != std::string::npos)
    array.file = text.substr(equals + 1);
  std::string type = text.substr(colon + 1, equals == std::string::npos ? equals : equals - colon - 1);
  size_t open = type.find('[');
  if (open == std::string::npos || type.back() != ']' || (equals != std::string::npos && array.file.empty()))
    return reader.mismatch(value, arrayForm);
  if (!name(part(value, array.name)))
    return;
  std::optional<DType> element = dtype(part(value, type.substr(0, open)));
  if (!element)
    return;
  array.dtype = *element;
  std::string axisText;
  for (char c : type.substr(open + 1)) {
    if (c == ' ')
      continue;
    if (c != ',' && c != ']') {
      axisText += c;
    } else {
      if (!axis(value, axisText, array.axes))
        return;
      axisText.clear();
    }
  }
  put(value, captures.arrays, std::move(array));
}

/// What a scalar of this type can be.
std::optional<double> CaptureReader::number(const Value &value, expr::Type type) {
  std::optional<double> number = reader.finite(value);
  if (!number || type == expr::Type::F32)
    return number;
  if (*number == std::floor(*number) && std::abs(*number) <= double(limits::maxScalar))
    return number;
  reader.mismatch(value, "a whole number from -2^30 to 2^30, as i32 scalars are");
  return std::nullopt;
}

void CaptureReader::scalar(const Value &key, const Value &value) {
  expr::CapturedScalar scalar;
  scalar.name = key.text;
  bool good = name(key);
  std::string type = value.kind == Kind::String ? value.text.substr(0, value.text.find(':')) : "";
  if (type != "i32" && type != "f32")
    return reader.mismatch(value, R"("i32", "f32", or one with what runs give, such as "i32:4096")",
                           value.kind == Kind::String ? nearestWord(type, {"i32", "f32"}) : "");
  scalar.type = type == "i32" ? expr::Type::I32 : expr::Type::F32;
  if (type.size() != value.text.size()) {
    scalar.value = number(valueOfText(value, value.text.substr(type.size() + 1)), scalar.type);
    good = good && scalar.value.has_value();
  }
  if (good)
    put(key, captures.scalars, std::move(scalar));
}

void CaptureReader::scalarText(const Value &value) {
  const std::string &text = value.text;
  size_t equals = text.find('='), colon = text.find(':');
  std::string name = text.substr(0, std::min(equals, colon));
  if (name.size() == text.size() || name.empty())
    return reader.mismatch(value, scalarForm);
  auto known = std::find_if(captures.scalars.begin(), captures.scalars.end(),
                            [&](const expr::CapturedScalar &one) { return one.name == name; });
  std::string given = equals == std::string::npos ? "" : text.substr(equals + 1);
  std::string type = "i32";
  if (colon < equals)
    type = text.substr(colon + 1, equals == std::string::npos ? equals : equals - colon - 1);
  else if (known != captures.scalars.end())
    type = expr::nameOf(known->type);
  else if (given.find_first_of(".eE") != std::string::npos)
    type = "f32";
  Value written = part(value, equals == std::string::npos ? type : type + ":" + given);
  scalar(part(value, name), written);
}

} // namespace

void readArrays(ValueReader &reader, const Value &value, expr::Captures &captures) {
  CaptureReader captureReader(reader, captures);
  if (value.kind == Kind::String)
    return captureReader.arrayText(value);
  if (value.kind != Kind::Object)
    return reader.mismatch(value,
                           R"(arrays by name, such as {"doc": {"dtype": "i32", "axes": ["b", "kv"]}})");
  for (const json::Member &member : value.members)
    captureReader.array({Kind::String, member.keyRange, false, 0, member.key, {}, {}}, member.value);
}

void readScalars(ValueReader &reader, const Value &value, expr::Captures &captures) {
  CaptureReader captureReader(reader, captures);
  if (value.kind == Kind::String)
    return captureReader.scalarText(value);
  if (value.kind != Kind::Object)
    return reader.mismatch(value, R"(scalars by name, such as {"window": "i32", "cap": "f32"})");
  for (const json::Member &member : value.members)
    captureReader.scalar({Kind::String, member.keyRange, false, 0, member.key, {}, {}}, member.value);
}

std::string flagText(const expr::CapturedArray &array) {
  std::string axes;
  for (const expr::Axis &axis : array.axes)
    axes += (axes.empty() ? "" : ",") + textOf(axis);
  return fmt::format("{}:{}[{}]{}{}", array.name, nameOf(array.dtype), axes, array.file.empty() ? "" : "=",
                     array.file);
}

std::string flagText(const expr::CapturedScalar &scalar) {
  return fmt::format("{}:{}{}", scalar.name, expr::nameOf(scalar.type),
                     scalar.value ? fmt::format("={}", *scalar.value) : "");
}

} // namespace attune
