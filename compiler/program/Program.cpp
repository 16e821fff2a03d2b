//===- Program.cpp - what a spec compiles to ------------------------------===//
#include "compiler/program/Program.h"

#include <algorithm>
#include <cassert>
#include <charconv>

#include <fmt/format.h>

namespace attune {

//===----------------------------------------------------------------------===//
// Arguments as text
//===----------------------------------------------------------------------===//

/// An extent inside "a x b x c": what is no name or number stands in parentheses.
static std::string extentText(const SizeExpr &extent) {
  return extent.size() || extent.constant() ? extent.text() : "(" + extent.text() + ")";
}

std::string Argument::text() const {
  const char *element = infoOf(type).irName;
  std::string result = name + ": ";
  switch (kind) {
  case Kind::Array:
    result += "array<";
    for (const SizeExpr &axis : axes)
      result += extentText(axis) + " x ";
    result += fmt::format("{}>{}{}", element, output ? " output" : "", optional ? " optional" : "");
    if (alignment)
      result += fmt::format(" align {}", alignment);
    break;
  case Kind::Scalar:
    result += element;
    if (value)
      result += " = " + value->text();
    if (range)
      result += fmt::format(" in {}..{}", (*range)[0], (*range)[1]);
    break;
  case Kind::Workspace:
    result += fmt::format("workspace<{}, {}>{}", element, bytes.text(), zero ? " zero" : "");
    break;
  case Kind::TensorMap:
    result += fmt::format("tensor_map<{}", array);
    for (size_t i = 0; i < box.size(); ++i)
      result += fmt::format("{}{}", i ? " x " : ", ", box[i]);
    result += fmt::format(", swizzle {}>", swizzle);
  }
  return result;
}

static std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ')
    text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ')
    text.remove_suffix(1);
  return text;
}

/// Splits at the first `separator` that stands outside parentheses; the second part is empty where there is
/// none.
static std::pair<std::string_view, std::string_view> splitAt(std::string_view text,
                                                             std::string_view separator) {
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    depth += text[i] == '(' ? 1 : text[i] == ')' ? -1 : 0;
    if (depth == 0 && text.substr(i).starts_with(separator))
      return {trim(text.substr(0, i)), trim(text.substr(i + separator.size()))};
  }
  return {trim(text), {}};
}

static bool isIdentifier(std::string_view text) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !text.empty() && letter(text[0]) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

static std::optional<int> wholeNumber(std::string_view text) {
  int number = 0;
  auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && stop == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

Result<Argument> Argument::parse(std::string_view text) {
  auto refuse = [&](std::string_view why) {
    return badInput(
        fmt::format("expected an argument such as 'q: array<batch x len_q x 64 x bf16>', 'n: i32 = "
                    "len_q' or 'sums: workspace<f32, 4 * batch> zero', got '{}' ({})",
                    text, why));
  };
  Argument result;
  auto [name, rest] = splitAt(text, ":");
  if (!isIdentifier(name))
    return refuse("no name");
  result.name = name;
  // KIND<INSIDE> FLAGS, or TYPE [= VALUE], or TYPE in LEAST..MOST.
  size_t open = rest.find('<'), close = rest.rfind('>');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
    auto [declared, value] = splitAt(rest, "=");
    auto [type, range] = splitAt(declared, " in ");
    std::optional<DType> element = dtypeFromIr(type);
    if (!element || infoOf(*element).bits != 32)
      return refuse("a scalar is i32 or f32");
    result.kind = Kind::Scalar;
    result.type = *element;
    if (rest.find('=') != std::string_view::npos) {
      Result<SizeExpr> read = SizeExpr::parse(value);
      if (!read)
        return refuse(read.error().message);
      if (result.type != DType::I32)
        return refuse("only an i32 follows from sizes");
      result.value = *read;
    }
    if (type != declared) {
      auto [first, last] = splitAt(range, "..");
      std::optional<int> least = wholeNumber(first), most = wholeNumber(last);
      if (result.type != DType::I32 || result.value || !least || !most || *least > *most)
        return refuse("only an i32 that is given has a range, LEAST..MOST");
      result.range = {*least, *most};
    }
    return result;
  }
  std::string_view kind = trim(rest.substr(0, open)), inside = rest.substr(open + 1, close - open - 1);
  std::string_view flags = trim(rest.substr(close + 1));
  auto takeFlag = [&](std::string_view flag, bool &into) {
    auto [first, others] = splitAt(flags, " ");
    if (first == flag) {
      into = true;
      flags = others;
    }
  };
  if (kind == "array") {
    result.kind = Kind::Array;
    while (true) {
      auto [first, others] = splitAt(inside, " x ");
      if (others.empty()) {
        std::optional<DType> element = dtypeFromIr(first);
        if (!element)
          return refuse("no element type");
        result.type = *element;
        break;
      }
      Result<SizeExpr> extent = SizeExpr::parse(first);
      if (!extent)
        return refuse(extent.error().message);
      result.axes.push_back(*extent);
      inside = others;
    }
    if (result.axes.empty() || result.axes.size() > 8)
      return refuse("an array has one to eight axes");
    takeFlag("output", result.output);
    takeFlag("optional", result.optional);
    if (flags.starts_with("align ")) {
      std::optional<int> bytes = wholeNumber(trim(flags.substr(6)));
      if (!bytes || *bytes < infoOf(result.type).bytes() || *bytes > 256 || (*bytes & (*bytes - 1)))
        return refuse("an alignment is a power of two from an element's bytes to 256");
      result.alignment = *bytes;
      flags = {};
    }
  } else if (kind == "workspace") {
    result.kind = Kind::Workspace;
    auto [type, bytes] = splitAt(inside, ",");
    std::optional<DType> element = dtypeFromIr(type);
    Result<SizeExpr> read = SizeExpr::parse(bytes);
    if (!element)
      return refuse("no element type");
    if (!read)
      return refuse(read.error().message);
    result.type = *element;
    result.bytes = *read;
    takeFlag("zero", result.zero);
  } else if (kind == "tensor_map") {
    result.kind = Kind::TensorMap;
    auto [array, boxAndSwizzle] = splitAt(inside, ",");
    auto [box, swizzle] = splitAt(boxAndSwizzle, ",");
    if (!isIdentifier(array))
      return refuse("no array");
    result.array = array;
    while (!box.empty()) {
      auto [first, others] = splitAt(box, " x ");
      std::optional<int> extent = wholeNumber(first);
      if (!extent || *extent < 1 || *extent > 256 || result.box.size() == 5)
        return refuse("a box has one to five extents in 1..256");
      result.box.push_back(*extent);
      box = others;
    }
    std::optional<int> bytes =
        swizzle.starts_with("swizzle ") ? wholeNumber(trim(swizzle.substr(8))) : std::nullopt;
    if (result.box.empty() || !bytes || (*bytes != 0 && *bytes != 32 && *bytes != 64 && *bytes != 128))
      return refuse("a tensor map has a box, and a swizzle of 0, 32, 64 or 128 bytes");
    result.swizzle = *bytes;
  } else {
    return refuse("no array, workspace, tensor_map or scalar");
  }
  if (!flags.empty())
    return refuse("something after it");
  return result;
}

//===----------------------------------------------------------------------===//
// The parameter block
//===----------------------------------------------------------------------===//

ParameterBlock::ParameterBlock(const std::vector<Argument> &arguments) {
  auto add = [&](size_t argument, ParameterField::What what, size_t axis, int size, int align) {
    bytes = (bytes + align - 1) / align * align;
    fields.push_back({argument, what, axis, bytes, size});
    bytes += size;
    alignment = std::max(alignment, align);
  };
  for (size_t i = 0; i < arguments.size(); ++i) {
    switch (arguments[i].kind) {
    case Argument::Kind::Array:
      add(i, ParameterField::What::Base, 0, 8, 8);
      for (size_t axis = 0; axis + 1 < arguments[i].axes.size(); ++axis)
        add(i, ParameterField::What::Stride, axis, 8, 8);
      break;
    case Argument::Kind::Scalar:
      add(i, ParameterField::What::Value, 0, 4, 4);
      break;
    case Argument::Kind::Workspace:
      add(i, ParameterField::What::Base, 0, 8, 8);
      break;
    case Argument::Kind::TensorMap:
      add(i, ParameterField::What::Map, 0, 128, 64);
    }
  }
  bytes = (bytes + alignment - 1) / alignment * alignment;
}

const ParameterField &ParameterBlock::field(size_t argument, ParameterField::What what, size_t axis) const {
  auto found = std::find_if(fields.begin(), fields.end(), [&](const ParameterField &field) {
    return field.argument == argument && field.what == what && field.axis == axis;
  });
  assert(found != fields.end() && "no such field");
  return *found;
}

//===----------------------------------------------------------------------===//
// Programs
//===----------------------------------------------------------------------===//

std::optional<size_t> KernelInfo::find(std::string_view argument) const {
  for (size_t i = 0; i < arguments.size(); ++i)
    if (arguments[i].name == argument)
      return i;
  return std::nullopt;
}

size_t Program::mainKernel() const {
  for (size_t i = 0; i < kernels.size(); ++i)
    if (!kernels[i].schedule.family.empty())
      return i;
  return 0;
}

/// Bytes of a part, up to where the next one starts.
static SizeExpr paddedBytes(const SizeExpr &bytes) { return ceilDiv(bytes, 256) * 256; }

std::vector<WorkspacePart> Program::workspace() const {
  std::vector<WorkspacePart> zeroed, others;
  for (const KernelInfo &kernel : kernels)
    for (const Argument &argument : kernel.arguments) {
      if (argument.kind != Argument::Kind::Workspace)
        continue;
      // All kernels that name a part say the same of it; the compiler refuses others.
      std::vector<WorkspacePart> &parts = argument.zero ? zeroed : others;
      if (std::none_of(parts.begin(), parts.end(),
                       [&](const WorkspacePart &part) { return part.name == argument.name; }))
        parts.push_back({argument.name, 0, argument.bytes, argument.zero});
    }
  std::vector<WorkspacePart> parts = std::move(zeroed);
  parts.insert(parts.end(), others.begin(), others.end());
  for (size_t i = 1; i < parts.size(); ++i) {
    SizeExpr before = paddedBytes(parts[i - 1].bytes);
    parts[i].offset = i == 1 ? before : parts[i - 1].offset + before;
  }
  return parts;
}

SizeExpr Program::workspaceBytes() const {
  std::vector<WorkspacePart> parts = workspace();
  if (parts.empty())
    return 0;
  SizeExpr last = paddedBytes(parts.back().bytes);
  return parts.size() == 1 ? last : parts.back().offset + last;
}

SizeExpr Program::zeroBytes() const {
  SizeExpr result = 0;
  for (const WorkspacePart &part : workspace())
    if (part.zero)
      result = part.offset.constant() == 0 ? paddedBytes(part.bytes) : part.offset + paddedBytes(part.bytes);
  return result;
}

} // namespace attune
