//===- SimArguments.cpp - the --arg values of attune sim ------------------===//
#include "cli/SimArguments.h"

#include "compiler/spec/Diagnostics.h"
#include "runtime/io/File.h"
#include "runtime/reference/Float16.h"

#include <cctype>
#include <charconv>
#include <cstring>
#include <limits>

#include <fmt/format.h>
#include <unistd.h>

namespace attune::cli {

const char *const simArgumentHelp = R"(
Arguments, one --arg a parameter, in their order
  in:x.npy                 a buffer with the array's elements
  out:y.npy:f32[64,128]    a fresh buffer, uninitialised, written to y.npy after the run
  out:y.npy:u32[64]=0      the same, every element set before the run
  inout:z.npy[:new.npy]    a buffer with the array's elements, written back to z.npy or to new.npy
  scratch:u8[4096][=0]     a buffer that no file takes
  again:2[+256]            the buffer of argument 2 (they count from 0), 256 bytes into it
  null                     a null pointer
  u32:17  s64:-1  b16:0xff a number: u, s or b and 8, 16, 32 or 64; f16, bf16, f32, f64: f32:0.5, f32:-inf,
                           f32:0f3F800000 (its bits); bool:0 or bool:1
  tensormap:BUFFER:box=...  a tensor map (TMA) of a buffer, which is given as above: see below
  bytes:0x01020304         a value of 4 bytes, in the order of memory; bytes:@file takes them from a file
  {in:x.npy,u32:4,f32:1}   a struct by value: its fields, each aligned to its size, tensor maps to 64
Element types are those of the numbers; bf16 travels in a .npy as uint16.

A tensor map is the 128 bytes that cuTensorMapEncodeTiled makes for a parameter of .align 64 .b8[128]:
  tensormap:in:x.npy:box=64,64:swizzle=128    tensormap:again:0:box=1,128,64    tensormap:out:y.npy:f32[64,32]:box=64,32
Lengths stand in the order of the array's shape: the last one is the innermost, whose elements are adjacent.
  box=ROWS,COLUMNS         elements of one copy; those of leading dimensions that are left out are 1
  swizzle=none|32|64|128   bytes of the swizzle; none if it is left out
  dims=...                 the tensor's lengths; the array's shape
  strides=...              bytes from one element to the next, of all dimensions but the last; the array is dense
  step=...                 every how many-th element of the box is copied; 1
  type=TYPE                element type, also f32.ftz, tf32, tf32.ftz; the array's
  fill=zero|nan            what loads find outside of the tensor; zero)";

namespace {

struct TypeName {
  std::string_view name;
  ElementType type;
};
constexpr TypeName typeNames[] = {
    {"f16", ElementType::F16},     {"bf16", ElementType::U16},    {"f32", ElementType::F32},
    {"f64", ElementType::F64},     {"u8", ElementType::U8},       {"s8", ElementType::I8},
    {"b8", ElementType::U8},       {"u16", ElementType::U16},     {"s16", ElementType::I16},
    {"b16", ElementType::U16},     {"u32", ElementType::U32},     {"s32", ElementType::I32},
    {"b32", ElementType::U32},     {"u64", ElementType::U64},     {"s64", ElementType::I64},
    {"b64", ElementType::U64},     {"bool", ElementType::Bool},   {"i8", ElementType::I8},
    {"i16", ElementType::I16},     {"i32", ElementType::I32},     {"i64", ElementType::I64},
    {"float16", ElementType::F16}, {"float32", ElementType::F32}, {"float64", ElementType::F64},
    {"int8", ElementType::I8},     {"int16", ElementType::I16},   {"int32", ElementType::I32},
    {"int64", ElementType::I64},   {"uint8", ElementType::U8},    {"uint16", ElementType::U16},
    {"uint32", ElementType::U32},  {"uint64", ElementType::U64},
};

const TypeName *findType(std::string_view name) {
  for (const TypeName &t : typeNames)
    if (t.name == name)
      return &t;
  return nullptr;
}

std::string_view nameOf(ElementType type) {
  for (const TypeName &t : typeNames)
    if (t.type == type && t.name != "bf16")
      return t.name;
  return "u8";
}

Error unknownType(std::string_view name) {
  std::vector<std::string> all;
  for (const TypeName &t : typeNames)
    all.emplace_back(t.name);
  std::string nearest = nearestWord(name, all);
  return badInput(fmt::format("expected an element type (u8 ... u64, s8 ... s64, b8 ... b64, f16, bf16, f32, "
                              "f64 or bool), got '{}'{}",
                              name, nearest.empty() ? "" : fmt::format(" (nearest: {})", nearest)));
}

bool startsWith(std::string_view &text, std::string_view prefix) {
  if (!text.starts_with(prefix))
    return false;
  text.remove_prefix(prefix.size());
  return true;
}

template <class T> sim::Argument number(sim::Argument::Kind kind, T value) {
  sim::Argument a = sim::Argument::of(value);
  a.kind = kind;
  return a;
}

/// An integer of `bits` bits as the low bytes of 64; decimal or 0x.
Result<uint64_t> integer(std::string_view type, unsigned bits, std::string_view text) {
  std::string_view rest = text;
  bool negative = startsWith(rest, "-"), hex = startsWith(rest, "0x") || startsWith(rest, "0X");
  uint64_t magnitude = 0;
  auto [end, code] = std::from_chars(rest.data(), rest.data() + rest.size(), magnitude, hex ? 16 : 10);
  bool isNumber = code == std::errc() && end == rest.data() + rest.size() && !rest.empty();
  uint64_t most = bits == 64 ? ~0ull : (1ull << bits) - 1, half = 1ull << (bits - 1);
  // A signed number may be given by its bits in hexadecimal; an untyped one either way.
  bool isSigned = type[0] == 's' || type[0] == 'i', isBits = type[0] == 'b';
  bool fits = negative ? (isSigned || isBits) && magnitude <= half
                       : magnitude <= (isSigned && !hex ? half - 1 : most);
  if (type == "bool")
    fits = !negative && magnitude <= 1;
  if (!isNumber || !fits) {
    std::string range = type == "bool" ? "0 or 1"
                        : isSigned     ? fmt::format("an integer from -{} to {}", half, half - 1)
                        : isBits       ? fmt::format("an integer from -{} to {}", half, most)
                                       : fmt::format("an integer from 0 to {}", most);
    return badInput(fmt::format("expected {} after '{}:', got '{}'", range, type, text));
  }
  return negative ? 0 - magnitude : magnitude;
}

/// A floating-point number of `bits` bits as its bits.
Result<uint64_t> floating(std::string_view type, std::string_view text) {
  bool wide = type == "f64" || type == "float64";
  std::string_view rest = text;
  auto whole = [&](auto &value, auto... format) {
    auto [end, code] = std::from_chars(rest.data(), rest.data() + rest.size(), value, format...);
    return code == std::errc() && end == rest.data() + rest.size() && !rest.empty();
  };
  uint64_t given = 0;
  if (startsWith(rest, wide ? "0d" : "0f") && rest.size() == (wide ? 16u : 8u) && whole(given, 16) &&
      (wide || type == "f32" || type == "float32"))
    return given;
  rest = text;
  startsWith(rest, "+");
  double d = 0;
  float f = 0;
  bool good = wide ? whole(d) : whole(f);
  if (!good)
    return badInput(fmt::format(
        "expected a number that fits after '{}:', such as 0.5, 1e-5, inf or nan, got '{}'", type, text));
  if (wide)
    return std::bit_cast<uint64_t>(d);
  if (type == "bf16")
    return reference::fromFloat<DType::BF16>(f);
  if (type == "f16" || type == "float16")
    return reference::fromFloat<DType::F16>(f);
  return std::bit_cast<uint32_t>(f);
}

/// "f32:0.5" as its bytes.
Result<sim::Argument> scalar(std::string_view type, ElementType element, std::string_view text) {
  bool isFloat = type[0] == 'f' || type == "bf16";
  size_t size = sizeOf(element);
  Result<uint64_t> bits = isFloat ? floating(type, text) : integer(type, unsigned(8 * size), text);
  if (!bits)
    return bits.error();
  sim::Argument a = number(isFloat ? sim::Argument::Kind::Float : sim::Argument::Kind::Integer, *bits);
  a.bytes.resize(size); // little-endian
  return a;
}

struct Fresh {
  std::string_view path;
  std::string_view typeName;
  ElementType type;
  std::vector<int64_t> shape;
  size_t bytes;
  std::vector<std::byte> fill; ///< one element; empty: uninitialised
};

/// "f32[64,128]=0".
Result<Fresh> freshOf(std::string_view text) {
  size_t open = text.find('['), close = text.find(']');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open)
    return badInput(fmt::format("expected a type and a shape such as f32[64,128], got '{}'", text));
  Fresh f{};
  f.typeName = text.substr(0, open);
  const TypeName *type = findType(f.typeName);
  if (!type)
    return unknownType(f.typeName);
  f.type = type->type;
  size_t total = sizeOf(f.type);
  for (std::string_view rest = text.substr(open + 1, close - open - 1); !rest.empty();) {
    size_t comma = std::min(rest.find(','), rest.size());
    std::string_view one = rest.substr(0, comma);
    while (one.starts_with(' '))
      one.remove_prefix(1);
    int64_t extent = 0;
    auto [end, code] = std::from_chars(one.data(), one.data() + one.size(), extent);
    if (code != std::errc() || end != one.data() + one.size() || extent < 0)
      return badInput(fmt::format("expected lengths from 0 up in the shape, got '{}'", one));
    if (__builtin_mul_overflow(total, size_t(extent), &total))
      return badInput("expected a shape whose bytes 64 bits can count, got more");
    f.shape.push_back(extent);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  f.bytes = total;
  std::string_view tail = text.substr(close + 1);
  if (startsWith(tail, "=")) {
    Result<sim::Argument> one = scalar(f.typeName, f.type, tail);
    if (!one)
      return one.error();
    f.fill = one->bytes;
  } else if (!tail.empty()) {
    return badInput(fmt::format("expected '=VALUE' or nothing after the shape, got '{}'", tail));
  }
  return f;
}

} // namespace

Result<uint64_t> SimArguments::allocate(size_t bytes, std::string_view name) {
  // The host pays for what is touched; more than it has would end the process instead of the run.
  size_t host = size_t(sysconf(_SC_PHYS_PAGES)) * size_t(sysconf(_SC_PAGE_SIZE));
  if (bytes > host)
    return badInput(
        fmt::format("expected a buffer of at most {} bytes (this machine's memory), got {}", host, bytes));
  return memory.allocate(bytes, fmt::format("argument {}, {}", index, name));
}

Result<sim::Argument> SimArguments::fromFile(std::string_view rest, bool written) {
  size_t colon = written ? std::min(rest.find(':'), rest.size()) : rest.size();
  std::string from(rest.substr(0, colon)),
      to = colon < rest.size() ? std::string(rest.substr(colon + 1)) : from;
  if (from.empty() || to.empty())
    return badInput(written ? "expected 'inout:FILE.npy' or 'inout:FILE.npy:NEW.npy'"
                            : "expected 'in:FILE.npy'");
  Result<Array> array = readNpy(from);
  if (!array)
    return array.error();
  Result<uint64_t> address = allocate(array->bytes.size(), from);
  if (!address)
    return address.error();
  if (Status wrote = memory.write(*address, array->bytes.data(), array->bytes.size()); !wrote)
    return wrote.error();
  buffers.back() = Buffer{*address, nameOf(array->type), array->shape};
  if (written)
    results.push_back({index, to, array->type, array->shape, *address});
  return sim::Argument::pointer(*address);
}

Result<sim::Argument> SimArguments::fresh(std::string_view rest, bool written) {
  std::string_view path = "scratch";
  if (written) {
    size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos || colon == 0)
      return badInput(
          fmt::format("expected 'out:FILE.npy:TYPE[SHAPE]' such as out:y.npy:f32[1024], got 'out:{}'", rest));
    path = rest.substr(0, colon);
    rest.remove_prefix(colon + 1);
  }
  Result<Fresh> f = freshOf(rest);
  if (!f)
    return f.error();
  Result<uint64_t> address = allocate(f->bytes, path);
  if (!address)
    return address.error();
  if (!f->fill.empty()) {
    std::vector<std::byte> all(f->bytes);
    for (size_t at = 0; at < all.size(); at += f->fill.size())
      std::memcpy(all.data() + at, f->fill.data(), f->fill.size());
    if (Status wrote = memory.write(*address, all.data(), all.size()); !wrote)
      return wrote.error();
  }
  buffers.back() = Buffer{*address, findType(f->typeName)->name, f->shape};
  if (written)
    results.push_back({index, std::string(path), f->type, f->shape, *address});
  return sim::Argument::pointer(*address);
}

Result<sim::Argument> SimArguments::again(std::string_view rest) {
  size_t plus = std::min(rest.find('+'), rest.size());
  Result<uint64_t> which = integer("u64", 64, rest.substr(0, plus));
  Result<uint64_t> offset =
      plus < rest.size() ? integer("u64", 64, rest.substr(plus + 1)) : Result<uint64_t>(0);
  if (!which || !offset)
    return badInput(fmt::format("expected 'again:ARGUMENT' or 'again:ARGUMENT+BYTES', got 'again:{}'", rest));
  if (*which >= index || !buffers[*which])
    return badInput(
        fmt::format("expected the number of an earlier argument that is a buffer, got {}", *which));
  Buffer same = *buffers[*which];
  same.address += *offset;
  buffers.back() = same;
  return sim::Argument::pointer(same.address);
}

Result<sim::Argument> SimArguments::bytes(std::string_view rest) {
  sim::Argument a;
  if (startsWith(rest, "@")) {
    Result<std::string> file = readFile(std::string(rest));
    if (!file)
      return file.error();
    a.bytes.resize(file->size());
    std::memcpy(a.bytes.data(), file->data(), file->size());
    return a;
  }
  std::string_view digits = rest;
  bool good = startsWith(digits, "0x") && digits.size() % 2 == 0 && !digits.empty();
  for (size_t at = 0; good && at < digits.size(); at += 2) {
    uint8_t byte = 0;
    auto [end, code] = std::from_chars(digits.data() + at, digits.data() + at + 2, byte, 16);
    good = code == std::errc() && end == digits.data() + at + 2;
    a.bytes.push_back(std::byte(byte));
  }
  if (!good)
    return badInput(
        fmt::format("expected 'bytes:0x' and two digits a byte, or 'bytes:@FILE', got 'bytes:{}'", rest));
  return a;
}

Result<sim::Argument> SimArguments::fields(std::string_view rest) {
  sim::Argument all;
  size_t align = 1;
  for (bool more = true; more;) {
    size_t depth = 0, end = 0;
    // No field begins with a digit: what does belongs to a list, such as a tensor map's box=64,32.
    auto ends = [&](size_t at) {
      size_t next = rest.find_first_not_of(' ', at + 1);
      return rest[at] == ',' && !depth &&
             (next == rest.npos || !std::isdigit(static_cast<unsigned char>(rest[next])));
    };
    for (; end < rest.size() && !ends(end); ++end)
      depth += rest[end] == '{' || rest[end] == '['   ? 1
               : rest[end] == '}' || rest[end] == ']' ? size_t(-1)
                                                      : 0;
    std::string_view one = rest.substr(0, end);
    while (one.starts_with(' '))
      one.remove_prefix(1);
    more = end < rest.size();
    rest.remove_prefix(more ? end + 1 : end);
    Result<sim::Argument> field = value(one);
    if (!field)
      return field.error();
    // Structs and bytes inside a struct are taken as they are, at a multiple of 8 if they are that large.
    size_t size = field->bytes.size(), own = one.starts_with("tensormap:") ? 64
                                             : size >= 8                   ? 8
                                             : size >= 4                   ? 4
                                             : size >= 2                   ? 2
                                                                           : 1;
    align = std::max(align, own);
    all.bytes.resize((all.bytes.size() + own - 1) / own * own);
    all.bytes.insert(all.bytes.end(), field->bytes.begin(), field->bytes.end());
  }
  all.bytes.resize((all.bytes.size() + align - 1) / align * align);
  return all;
}

Result<sim::Argument> SimArguments::value(std::string_view text) {
  if (text == "null")
    return sim::Argument::pointer(0);
  if (text.size() > 2 && text.starts_with('{') && text.ends_with('}'))
    return fields(text.substr(1, text.size() - 2));
  size_t colon = text.find(':');
  std::string_view kind = text.substr(0, colon), rest = colon == text.npos ? "" : text.substr(colon + 1);
  if (kind == "in" || kind == "inout")
    return fromFile(rest, kind == "inout");
  if (kind == "out" || kind == "scratch")
    return fresh(rest, kind == "out");
  if (kind == "again")
    return again(rest);
  if (kind == "bytes")
    return bytes(rest);
  if (kind == "tensormap")
    return tensorMap(rest);
  if (const TypeName *type = findType(kind); type && colon != text.npos)
    return scalar(kind, type->type, rest);
  std::vector<std::string> kinds = {"in", "out", "inout", "scratch", "again", "null", "bytes", "tensormap"};
  std::vector<std::string> words = kinds;
  for (const TypeName &t : typeNames)
    words.emplace_back(t.name);
  std::string nearest = nearestWord(kind, words);
  return badInput(fmt::format(
      "expected {} or a type (u32, f32, ...) before ':', got '{}'{}; attune sim --help "
      "shows them",
      fmt::join(kinds, ", "), text, nearest.empty() ? "" : fmt::format(" (nearest: {})", nearest)));
}

Result<std::vector<std::byte>> SimArguments::variable(const std::string &text) {
  std::string_view path = text;
  bool file = startsWith(path, "in:") || text.ends_with(".npy");
  if (file) {
    Result<Array> array = readNpy(std::string(path));
    if (!array)
      return array.error();
    return array->bytes;
  }
  std::string_view kind = path.substr(0, std::min(path.find(':'), path.size()));
  if (kind != "bytes" && !path.starts_with("{") && (kind.size() == path.size() || !findType(kind)))
    return badInput(fmt::format(
        "expected a file such as x.npy, a number such as f32:0.5, bytes:0x... or a struct {{...}}, got '{}'",
        text));
  buffers.emplace_back();
  Result<sim::Argument> given = value(text);
  buffers.pop_back();
  if (!given)
    return given.error();
  return given->bytes;
}

Result<sim::Argument> SimArguments::read(const std::string &text) {
  buffers.emplace_back();
  Result<sim::Argument> result = value(text);
  ++index;
  return result;
}

} // namespace attune::cli
