//===- Main.cpp - attune-interpret: a tile program on given arrays --------===//
//
//   attune-interpret FILE [--size NAME=N] [--array NAME=VALUES] [--scalar NAME=VALUE]
//
// Runs the kernels of FILE (the stage `tile`) and prints each output, a line for each row. Sizes are 1 unless
// given. VALUES are numbers with commas between them, over and over until the array is full; or `count`,
// which is 0, 1, 2, ... Elements that no kernel wrote are printed as `-`.
//
//===----------------------------------------------------------------------===//
#include "runtime/reference/Compare.h"
#include "runtime/reference/Float16.h"
#include "tests/oracle/Oracle.h"

#include <cstdio>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

using namespace attune;
using namespace attune::oracle;

namespace {

struct Dense {
  const Argument *argument;
  std::vector<int64_t> extents;
  std::vector<char> bytes;

  size_t count() const { return bytes.size() / size_t(infoOf(argument->type).bytes()); }
  bool isWord() const { return infoOf(argument->type).bytes() == 4; }

  void set(size_t i, double value) {
    if (argument->type == DType::I32)
      reinterpret_cast<int32_t *>(bytes.data())[i] = int32_t(value);
    else if (isWord())
      reinterpret_cast<float *>(bytes.data())[i] = float(value);
    else
      reinterpret_cast<uint16_t *>(bytes.data())[i] = reference::fromFloat(argument->type, float(value));
  }
  std::string text(size_t i) const {
    if (isWord()) {
      uint32_t word = reinterpret_cast<const uint32_t *>(bytes.data())[i];
      if (word == reference::unwritten32)
        return "-";
      return argument->type == DType::I32 ? fmt::format("{}", int32_t(word))
                                          : fmt::format("{:g}", std::bit_cast<float>(word));
    }
    uint16_t bits = reinterpret_cast<const uint16_t *>(bytes.data())[i];
    return bits == reference::unwritten16 ? "-"
                                          : fmt::format("{:g}", reference::toFloat(argument->type, bits));
  }
};

int wrong(const std::string &message) {
  fmt::print(stderr, "{}\n", message);
  return 2;
}

/// "name=text".
std::optional<std::pair<std::string, std::string>> halves(const std::string &word) {
  size_t equals = word.find('=');
  if (equals == std::string::npos)
    return std::nullopt;
  return std::pair{word.substr(0, equals), word.substr(equals + 1)};
}

bool number(const std::string &text, double &value) {
  char *end = nullptr;
  value = std::strtod(text.c_str(), &end);
  return !text.empty() && *end == 0;
}

/// False where `text` is no list of numbers.
bool fill(Dense &array, const std::string &text) {
  std::vector<double> values;
  std::istringstream list(text);
  for (std::string one; text != "count" && std::getline(list, one, ',');)
    if (double value; number(one, value))
      values.push_back(value);
    else
      return false;
  if (text != "count" && values.empty())
    return false;
  for (size_t i = 0; i != array.count(); ++i)
    array.set(i, values.empty() ? double(i) : values[i % values.size()]);
  return true;
}

void print(const Dense &array) {
  size_t each = size_t(array.extents.back());
  for (size_t first = 0; first < array.count(); first += each) {
    std::string place;
    size_t rest = first / each;
    for (size_t axis = array.extents.size() - 1; axis-- > 0; rest /= size_t(array.extents[axis]))
      place = fmt::format("{}{}{}", rest % size_t(array.extents[axis]), place.empty() ? "" : ", ", place);
    std::string line = place.empty() ? fmt::format("{}:", array.argument->name)
                                     : fmt::format("{}[{}]:", array.argument->name, place);
    for (size_t i = first; i != first + each; ++i)
      line += " " + array.text(i);
    fmt::print("{}\n", line);
  }
}

} // namespace

int main(int count, char **words) {
  std::string file;
  LaunchInputs inputs;
  inputs.sizes.values.fill(1);
  std::map<std::string, std::string> contents;
  for (int i = 1; i < count; ++i) {
    std::string word = words[i];
    auto given = i + 1 < count ? halves(words[i + 1]) : std::nullopt;
    bool option = word == "--size" || word == "--array" || word == "--scalar";
    if (!option && file.empty() && word.rfind("--", 0) != 0) {
      file = word;
      continue;
    }
    if (!option || !given)
      return wrong(fmt::format(
          "attune-interpret: error: expected FILE and --size, --array or --scalar NAME=VALUE, got '{}'",
          option && i + 1 < count ? words[i + 1] : word));
    ++i;
    auto &[name, text] = *given;
    double value = 0;
    if (word == "--array") {
      contents[name] = text;
      continue;
    }
    if (!number(text, value))
      return wrong(fmt::format("attune-interpret: error: expected a number for '{}', got '{}'", name, text));
    if (word == "--scalar")
      inputs.scalars[name] = value;
    else if (auto size = findSize(name))
      inputs.sizes[*size] = int64_t(value);
    else
      return wrong(fmt::format("attune-interpret: error: expected a size like len_q, got '{}'", name));
  }
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  if (!stream)
    return wrong(fmt::format("attune-interpret: error: cannot read '{}'", file));
  Result<TileProgram> program = TileProgram::parse(text.str(), file);
  if (!program)
    return wrong(program.error().message);

  std::vector<Dense> arrays;
  for (const Argument &argument : program->arguments()) {
    if (argument.kind != Argument::Kind::Array)
      continue;
    Dense dense{&argument, {}, {}};
    size_t elements = 1;
    for (const SizeExpr &axis : argument.axes) {
      dense.extents.push_back(axis.evaluate(inputs.sizes).value_or(0));
      elements *= size_t(dense.extents.back());
    }
    dense.bytes.assign(elements * size_t(infoOf(argument.type).bytes()), 0);
    if (auto given = contents.find(argument.name); given != contents.end()) {
      if (!fill(dense, given->second))
        return wrong(fmt::format("attune-interpret: error: expected numbers or `count` for '{}', got '{}'",
                                 argument.name, given->second));
      contents.erase(given);
    } else if (argument.output) {
      for (size_t i = 0; i != dense.bytes.size() / 4; ++i)
        reinterpret_cast<uint32_t *>(dense.bytes.data())[i] =
            dense.isWord() ? reference::unwritten32 : reference::unwritten16 * 0x10001u;
    }
    arrays.push_back(std::move(dense));
  }
  if (!contents.empty())
    return wrong(
        fmt::format("attune-interpret: error: no kernel has an array '{}'", contents.begin()->first));
  for (Dense &array : arrays) {
    HostArray &host = inputs.arrays[array.argument->name];
    host.data = array.bytes.data();
    int64_t stride = 1;
    for (size_t axis = array.extents.size() - 1; axis > 0; --axis)
      host.strides.insert(host.strides.begin(), stride *= array.extents[axis]);
  }
  if (Status status = program->run(inputs); !status)
    return wrong(status.error().message);
  for (const Dense &array : arrays)
    if (array.argument->output)
      print(array);
  return 0;
}
