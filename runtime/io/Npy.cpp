//===- Npy.cpp - arrays and .npy files ------------------------------------===//
#include "runtime/io/Npy.h"

#include "runtime/io/File.h"
#include "runtime/io/OutputFile.h"

#include <cctype>
#include <cstring>
#include <limits>
#include <optional>

#include <fmt/format.h>

namespace attune {
namespace {

struct TypeRow {
  ElementType type;
  const char *name;
  const char *label;
  size_t bytes;
};

constexpr TypeRow typeTable[] = {
    {ElementType::F16, "<f2", "float16", 2}, {ElementType::F32, "<f4", "float32", 4},
    {ElementType::F64, "<f8", "float64", 8}, {ElementType::U8, "|u1", "uint8", 1},
    {ElementType::I8, "|i1", "int8", 1},     {ElementType::U16, "<u2", "uint16", 2},
    {ElementType::I16, "<i2", "int16", 2},   {ElementType::U32, "<u4", "uint32", 4},
    {ElementType::I32, "<i4", "int32", 4},   {ElementType::U64, "<u8", "uint64", 8},
    {ElementType::I64, "<i8", "int64", 8},   {ElementType::Bool, "|b1", "bool", 1},
};

const TypeRow &row(ElementType type) {
  for (const TypeRow &r : typeTable)
    if (r.type == type)
      return r;
  return typeTable[0];
}

/// The header is the text of a Python dict with three known keys. This reads exactly what NumPy and its
/// imitators write: string, bool and tuple-of-int values, any spacing, keys in any order.
class HeaderParser {
public:
  explicit HeaderParser(std::string_view text) : rest(text) {}

  std::optional<std::string> descr;
  std::optional<bool> fortran;
  std::optional<std::vector<int64_t>> shape;

  /// Empty on success, else what was expected.
  std::string parse() {
    if (!take('{'))
      return "'{'";
    while (!take('}')) {
      std::optional<std::string> key = quoted();
      if (!key)
        return "a quoted key or '}'";
      if (!take(':'))
        return fmt::format("':' after '{}'", *key);
      if (*key == "descr") {
        if (!(descr = quoted()))
          return "an element type in quotes (records are not supported)";
      } else if (*key == "fortran_order") {
        if (!(fortran = boolean()))
          return "True or False for 'fortran_order'";
      } else if (*key == "shape") {
        if (!(shape = tuple()))
          return "a tuple of lengths for 'shape'";
      } else {
        return fmt::format("only the keys 'descr', 'fortran_order' and 'shape', got '{}'", *key);
      }
      if (!take(',') && !(skip(), rest.starts_with("}")))
        return "',' or '}' after a value";
    }
    if (!descr || !fortran || !shape)
      return "the keys 'descr', 'fortran_order' and 'shape'";
    return "";
  }

private:
  void skip() {
    while (!rest.empty() && std::isspace(static_cast<unsigned char>(rest.front())))
      rest.remove_prefix(1);
  }
  bool take(char c) {
    skip();
    if (!rest.starts_with(c))
      return false;
    rest.remove_prefix(1);
    return true;
  }
  std::optional<std::string> quoted() {
    skip();
    if (rest.empty() || (rest.front() != '\'' && rest.front() != '"'))
      return std::nullopt;
    size_t end = rest.find(rest.front(), 1);
    if (end == std::string_view::npos)
      return std::nullopt;
    std::string text(rest.substr(1, end - 1));
    rest.remove_prefix(end + 1);
    return text;
  }
  std::optional<bool> boolean() {
    skip();
    for (auto [word, value] : {std::pair<std::string_view, bool>{"True", true}, {"False", false}})
      if (rest.starts_with(word)) {
        rest.remove_prefix(word.size());
        return value;
      }
    return std::nullopt;
  }
  std::optional<std::vector<int64_t>> tuple() {
    std::vector<int64_t> values;
    if (!take('('))
      return std::nullopt;
    while (!take(')')) {
      skip();
      int64_t value = 0;
      size_t digits = 0;
      for (; digits < rest.size() && std::isdigit(static_cast<unsigned char>(rest[digits])); ++digits)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, rest[digits] - '0', &value))
          return std::nullopt;
      if (!digits)
        return std::nullopt;
      rest.remove_prefix(digits);
      take('L'); // Python 2 wrote long integers so
      values.push_back(value);
      if (!take(',') && !(skip(), rest.starts_with(")")))
        return std::nullopt;
    }
    return values;
  }

  std::string_view rest;
};

/// What precedes the data of a .npy file.
struct Header {
  ElementType type;
  std::vector<int64_t> shape;
  size_t dataOffset;
  size_t dataBytes;
};

constexpr std::string_view magic = "\x93NUMPY";

/// Bytes that hold the length of the header, or an error for an unknown version.
Result<size_t> lengthFieldBytes(const unsigned char *data, size_t size, const std::string &name) {
  if (size < 10 || std::memcmp(data, magic.data(), magic.size()) != 0)
    return badInput(
        fmt::format("{}: expected a .npy file, got one that does not start with \\x93NUMPY", name));
  if (data[6] < 1 || data[6] > 3)
    return badInput(
        fmt::format("{}: expected .npy format version 1, 2 or 3, got {}.{}", name, data[6], data[7]));
  return data[6] == 1 ? 2 : 4;
}

/// Reads the header from the first `available` bytes of a file of `fileSize` bytes.
Result<Header> parseHeader(const void *bytes, size_t available, size_t fileSize, const std::string &name) {
  auto *data = static_cast<const unsigned char *>(bytes);
  Result<size_t> field = lengthFieldBytes(data, available, name);
  if (!field)
    return field.error();
  uint32_t length = 0;
  size_t start = 8 + *field;
  if (available < start)
    return badInput(fmt::format("{}: the file ends inside its .npy header", name));
  for (size_t i = 0; i < *field; ++i)
    length |= uint32_t(data[8 + i]) << (8 * i);
  if (length > available - start)
    return badInput(
        fmt::format("{}: the file ends inside its .npy header: expected {} bytes of header, got {}", name,
                    length, available - start));

  HeaderParser parser(std::string_view(reinterpret_cast<const char *>(data) + start, length));
  if (std::string expected = parser.parse(); !expected.empty())
    return badInput(fmt::format("{}: malformed .npy header: expected {}", name, expected));

  Header header{};
  const TypeRow *type = nullptr;
  std::string descr = *parser.descr;
  for (const TypeRow &r : typeTable) {
    // '=' is the writer's own order, which on every machine that attune runs on is little-endian.
    bool anyOrder = r.bytes == 1 && !descr.empty();
    // ml_dtypes.bfloat16 is two bytes without a type to NumPy; its own name comes from other writers.
    bool isBf16 = r.type == ElementType::U16 && (descr == "<V2" || descr == "|V2" || descr == "=V2" ||
                                                 descr == "V2" || descr == "bfloat16");
    if (descr == r.name || (descr.starts_with('=') && descr.substr(1) == r.name + 1) ||
        (anyOrder && descr.substr(1) == r.name + 1) || isBf16)
      type = &r;
  }
  if (!type && descr.starts_with('>'))
    return badInput(fmt::format(
        "{}: expected little-endian elements, got '{}'; write a.astype(a.dtype.newbyteorder('<'))", name,
        descr));
  if (!type)
    return badInput(fmt::format("{}: expected float16, float32, float64, bool or an integer type, got '{}'; "
                                "bf16 travels as uint16 ('<u2', a.view(numpy.uint16)) or as what numpy.save "
                                "makes of ml_dtypes.bfloat16 ('<V2')",
                                name, descr));
  if (*parser.fortran && parser.shape->size() > 1)
    return badInput(
        fmt::format("{}: expected C order, got Fortran order; write numpy.ascontiguousarray(a)", name));
  header.type = type->type;
  header.shape = *parser.shape;
  header.dataOffset = start + length;

  int64_t total = int64_t(type->bytes);
  for (int64_t extent : header.shape)
    if (__builtin_mul_overflow(total, extent, &total))
      return badInput(fmt::format("{}: the shape ({}) has more bytes than 64 bits count", name,
                                  fmt::join(header.shape, ", ")));
  header.dataBytes = size_t(total);
  size_t got = fileSize - header.dataOffset;
  if (got != header.dataBytes)
    return badInput(fmt::format("{}: expected {} bytes of data for shape ({}) of {}, got {}", name,
                                header.dataBytes, fmt::join(header.shape, ", "), type->label, got));
  return header;
}

} // namespace

size_t sizeOf(ElementType type) { return row(type).bytes; }
const char *npyName(ElementType type) { return row(type).name; }

int64_t Array::elements() const {
  int64_t n = 1;
  for (int64_t extent : shape)
    n *= extent;
  return n;
}

std::string Array::describe() const {
  return fmt::format("({}{}) {}", fmt::join(shape, ", "), shape.size() == 1 ? "," : "", row(type).label);
}

Array Array::zeros(ElementType type, std::vector<int64_t> shape) {
  Array array;
  array.type = type;
  array.shape = std::move(shape);
  array.bytes.resize(size_t(array.elements()) * sizeOf(type));
  return array;
}

Result<Array> parseNpy(const void *data, size_t size, const std::string &name) {
  Result<Header> header = parseHeader(data, size, size, name);
  if (!header)
    return header.error();
  Array array;
  array.type = header->type;
  array.shape = header->shape;
  const std::byte *first = static_cast<const std::byte *>(data) + header->dataOffset;
  array.bytes.assign(first, first + header->dataBytes);
  return array;
}

Result<Array> readNpy(const std::string &path) {
  Result<InputFile> file = InputFile::open(path);
  if (!file)
    return file.error();
  // A header is a few hundred bytes; what a hostile length field asks for is bounded by the file itself.
  constexpr size_t firstRead = 64 * 1024;
  std::string head;
  if (Status read = file->read(head, std::min(file->size(), firstRead)); !read)
    return read.error();
  auto *bytes = reinterpret_cast<const unsigned char *>(head.data());
  Result<size_t> field = lengthFieldBytes(bytes, head.size(), path);
  if (!field)
    return field.error();
  if (head.size() >= 8 + *field) {
    size_t length = 0;
    for (size_t i = 0; i < *field; ++i)
      length |= size_t(bytes[8 + i]) << (8 * i);
    size_t wanted = std::min(file->size(), 8 + *field + length);
    if (wanted > head.size())
      if (Status read = file->read(head, wanted - head.size()); !read)
        return read.error();
  }
  Result<Header> header = parseHeader(head.data(), head.size(), file->size(), path);
  if (!header)
    return header.error();

  Array array;
  array.type = header->type;
  array.shape = header->shape;
  array.bytes.resize(header->dataBytes);
  size_t have = std::min(head.size() - header->dataOffset, header->dataBytes);
  if (have)
    std::memcpy(array.bytes.data(), head.data() + header->dataOffset, have);
  if (Status read = file->read(array.bytes.data() + have, header->dataBytes - have); !read)
    return read.error();
  return array;
}

Status writeNpy(const std::string &path, const Array &array) {
  std::string dict =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", npyName(array.type),
                  fmt::join(array.shape, ", "), array.shape.size() == 1 ? "," : "");
  if (array.bytes.size() != size_t(array.elements()) * sizeOf(array.type))
    return badInput(fmt::format("{}: expected {} bytes for {}, got {}", path,
                                size_t(array.elements()) * sizeOf(array.type), array.describe(),
                                array.bytes.size()));
  // NumPy pads with spaces so that the data starts at a multiple of 64 bytes, and ends with a newline.
  size_t before = magic.size() + 4;
  dict.append(63 - (before + dict.size()) % 64, ' ');
  dict += '\n';
  if (dict.size() > std::numeric_limits<uint16_t>::max())
    return badInput(fmt::format("{}: expected a shape whose header fits 64 KB, got {} dimensions", path,
                                array.shape.size()));
  std::string head(magic);
  head += '\x01';
  head += '\x00';
  head += char(dict.size() & 0xff);
  head += char(dict.size() >> 8);
  head += dict;
  std::string_view data(reinterpret_cast<const char *>(array.bytes.data()), array.bytes.size());
  return writeOutput(path, {head, data});
}

} // namespace attune
