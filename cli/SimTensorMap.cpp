//===- SimTensorMap.cpp - tensor maps among the --arg values of attune sim -===//
#include "cli/SimArguments.h"

#include <algorithm>
#include <charconv>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace attune::cli {

namespace {

constexpr std::string_view keys[] = {"box", "dims", "strides", "step", "swizzle", "type", "fill"};

std::optional<sim::TensorMapType> tensorType(std::string_view name) {
  using T = sim::TensorMapType;
  static const std::pair<std::string_view, T> names[] = {
      {"u8", T::U8},          {"s8", T::U8},     {"b8", T::U8},
      {"bool", T::U8},        {"u16", T::U16},   {"s16", T::U16},
      {"b16", T::U16},        {"u32", T::U32},   {"b32", T::U32},
      {"s32", T::S32},        {"i32", T::S32},   {"int32", T::S32},
      {"u64", T::U64},        {"b64", T::U64},   {"s64", T::S64},
      {"i64", T::S64},        {"int64", T::S64}, {"f16", T::F16},
      {"float16", T::F16},    {"bf16", T::BF16}, {"f32", T::F32},
      {"float32", T::F32},    {"f64", T::F64},   {"float64", T::F64},
      {"f32.ftz", T::F32Ftz}, {"tf32", T::TF32}, {"tf32.ftz", T::TF32Ftz},
      {"i8", T::U8},          {"int8", T::U8},   {"uint8", T::U8},
      {"i16", T::U16},        {"int16", T::U16}, {"uint16", T::U16},
      {"uint32", T::U32},     {"uint64", T::U64}};
  for (auto [text, type] : names)
    if (text == name)
      return type;
  return std::nullopt;
}

uint32_t bytesOf(sim::TensorMapType type) {
  using T = sim::TensorMapType;
  return type == T::U8                                         ? 1
         : type == T::U16 || type == T::F16 || type == T::BF16 ? 2
         : type == T::U64 || type == T::S64 || type == T::F64  ? 8
                                                               : 4;
}

Result<std::vector<uint64_t>> lengths(std::string_view key, std::string_view text) {
  std::vector<uint64_t> all;
  for (bool more = true; more;) {
    size_t comma = std::min(text.find(','), text.size());
    uint64_t value = 0;
    auto [end, code] = std::from_chars(text.data(), text.data() + comma, value);
    if (code != std::errc() || end != text.data() + comma)
      return badInput(fmt::format("expected whole numbers after '{}=', got '{}'", key, text));
    all.push_back(value);
    more = comma < text.size();
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return all;
}

} // namespace

Result<sim::Argument> SimArguments::tensorMap(std::string_view rest) {
  // The options are the last parts, each a known word and '='.
  std::map<std::string_view, std::string_view> options;
  for (;;) {
    size_t colon = rest.rfind(':');
    if (colon == rest.npos)
      break;
    std::string_view part = rest.substr(colon + 1);
    size_t equals = part.find('=');
    std::string_view key = part.substr(0, equals);
    if (equals == part.npos || std::find(std::begin(keys), std::end(keys), key) == std::end(keys))
      break;
    if (!options.emplace(key, part.substr(equals + 1)).second)
      return badInput(fmt::format("expected '{}=' once, got it twice", key));
    rest = rest.substr(0, colon);
  }
  Result<sim::Argument> buffer = value(rest);
  if (!buffer)
    return buffer.error();
  if (!buffers.back())
    return badInput(
        fmt::format("expected a buffer (in:, out:, inout:, scratch: or again:) and options such as "
                    "box=64,64 after 'tensormap:', got '{}'",
                    rest));
  const Buffer &of = *buffers.back();
  auto option = [&](std::string_view key) {
    return options.contains(key) ? options[key] : std::string_view();
  };

  sim::TensorMapDescription map;
  map.address = of.address;
  std::string_view typeName = options.contains("type") ? option("type") : of.typeName;
  std::optional<sim::TensorMapType> type = tensorType(typeName);
  if (!type)
    return badInput(
        fmt::format("expected an element type of tensor maps (u8, u16, u32, s32, u64, s64, f16, bf16, "
                    "f32, f64, f32.ftz, tf32, tf32.ftz), got '{}'",
                    typeName));
  map.type = *type;
  std::vector<uint64_t> dims(of.shape.begin(), of.shape.end());
  if (options.contains("dims")) {
    Result<std::vector<uint64_t>> given = lengths("dims", option("dims"));
    if (!given)
      return given.error();
    dims = *given;
  }
  if (dims.empty() || dims.size() > 5)
    return badInput(
        fmt::format("expected a tensor of 1 to 5 dimensions, got {}; dims= states others than the "
                    "array's",
                    dims.size()));
  size_t rank = dims.size();
  map.rank = uint32_t(rank);
  // Innermost first, as the driver has them.
  auto put = [&](std::string_view key, auto &to, size_t count, uint64_t otherwise, bool needed) -> Status {
    std::vector<uint64_t> given;
    if (options.contains(key)) {
      Result<std::vector<uint64_t>> read = lengths(key, option(key));
      if (!read)
        return read.error();
      given = *read;
    } else if (needed) {
      return badInput(
          fmt::format("expected '{}=' among the options of a tensor map (its element count for each "
                      "dimension, the last one innermost)",
                      key));
    }
    if (given.size() > count)
      return badInput(
          fmt::format("expected at most {} numbers after '{}=' for a tensor of {} dimensions, got {}", count,
                      key, rank, given.size()));
    using Element = std::remove_reference_t<decltype(to[0])>;
    for (size_t k = 0; k < count; ++k)
      to[k] = Element(
          std::min<uint64_t>(k < given.size() ? given[given.size() - 1 - k] : otherwise, Element(~0ull)));
    return success();
  };
  for (size_t k = 0; k < rank; ++k)
    map.dims[k] = dims[rank - 1 - k];
  if (Status ok = put("box", map.box, rank, 1, true); !ok)
    return ok.error();
  if (Status ok = put("step", map.elementStrides, rank, 1, false); !ok)
    return ok.error();
  if (options.contains("strides")) {
    if (Status ok = put("strides", map.strides, rank - 1, 0, true); !ok)
      return ok.error();
  } else {
    uint64_t stride = bytesOf(map.type);
    for (size_t k = 0; k + 1 < rank; ++k)
      map.strides[k] = stride *= map.dims[k];
  }
  std::string_view swizzle = options.contains("swizzle") ? option("swizzle") : "none";
  static constexpr std::string_view swizzles[] = {"none", "32", "64", "128"};
  size_t mode = size_t(std::find(std::begin(swizzles), std::end(swizzles), swizzle) - std::begin(swizzles));
  if (mode == std::size(swizzles))
    return badInput(
        fmt::format("expected {} after 'swizzle=', got '{}'", fmt::join(swizzles, ", "), swizzle));
  map.swizzle = sim::TensorMapSwizzle(mode);
  std::string_view fill = options.contains("fill") ? option("fill") : "zero";
  if (fill != "zero" && fill != "nan")
    return badInput(fmt::format("expected zero or nan after 'fill=', got '{}'", fill));
  map.fill = fill == "nan" ? sim::TensorMapFill::NaN : sim::TensorMapFill::Zero;
  Result<std::array<std::byte, 128>> bytes = sim::encodeTensorMap(map);
  if (!bytes) {
    std::string why = bytes.error().message;
    if (size_t colon = why.find("expected"); why.find("dimension") == why.npos && colon != why.npos)
      why = why.substr(colon);
    return badInput(fmt::format("{} (of the tensor map; dimension 0 is the innermost)", why));
  }
  sim::Argument a;
  a.bytes.assign(bytes->begin(), bytes->end());
  return a;
}

} // namespace attune::cli
