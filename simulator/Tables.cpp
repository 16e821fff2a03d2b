//===- Tables.cpp - reading a device's dumped functions -------------------===//
#include "simulator/TableFunction.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <zlib.h>

namespace attune::sim {

namespace {

constexpr std::string_view magic = "ATTUNETB";
constexpr uint32_t version = 2;
constexpr size_t prefixBytes = 24, pieceBytes = 40;

template <class T> T take(const char *from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

/// Reads on and on; past the end it gives zeros and remembers it.
struct Cursor {
  std::string_view bytes;
  size_t at = 0;
  bool beyond = false;

  const char *next(size_t count) {
    static const char zeros[pieceBytes] = {};
    if (count > bytes.size() - at) {
      beyond = true;
      return zeros;
    }
    at += count;
    return bytes.data() + at - count;
  }
  uint32_t word() { return take<uint32_t>(next(4)); }
  std::string text() {
    uint32_t length = word();
    if (length > bytes.size() - at) {
      beyond = true;
      return "";
    }
    return std::string(next(length), length);
  }
};

bool validWidth(unsigned width) {
  return width == 0 || width == 2 || width == 4 || width == 8 || width == 16 || width == 32;
}

} // namespace

size_t TablePiece::rawBytes() const {
  return (size_t(28) << (log2 - block)) + ((size_t(width) << log2) + 7) / 8 + size_t(exceptions) * 8;
}

Status TablePiece::unpack(std::string_view packed) const {
  std::call_once(once, [&] {
    auto fresh = std::make_unique<Unpacked>();
    fresh->raw.resize(rawBytes());
    uLongf size = uLongf(fresh->raw.size());
    int failed = uncompress(reinterpret_cast<Bytef *>(fresh->raw.data()), &size,
                            reinterpret_cast<const Bytef *>(packed.data()), uLong(packed.size()));
    if (failed || size != fresh->raw.size())
      return;
    const char *at = fresh->raw.data();
    size_t blocks = size_t(1) << (log2 - block);
    fresh->y = std::exchange(at, at + 4 * blocks);
    for (const char *&c : fresh->c)
      c = std::exchange(at, at + 8 * blocks);
    fresh->residuals = std::exchange(at, at + ((size_t(width) << log2) + 7) / 8);
    fresh->places = std::exchange(at, at + size_t(exceptions) * 4);
    fresh->values = at;
    for (uint32_t k = 0; k < exceptions; ++k)
      if (uint32_t place = take<uint32_t>(fresh->places + 4 * size_t(k));
          place >> log2 || (k && place <= take<uint32_t>(fresh->places + 4 * size_t(k) - 4)))
        return;
    unpacked = std::move(fresh);
  });
  if (!unpacked)
    return badInput(fmt::format("the piece at argument {:#x} does not unpack", first));
  return success();
}

uint32_t TablePiece::quadratic(uint32_t i) const {
  if (const uint32_t *values = tabulated.load(std::memory_order_acquire))
    return values[i];
  // A quarter of the values cost as much as the table of all.
  if (asked.fetch_add(1, std::memory_order_relaxed) < (1u << log2) / 4)
    return compute(i);
  std::call_once(onceTabulated, [&] {
    auto fresh = std::make_unique<uint32_t[]>(size_t(1) << log2);
    for (uint32_t k = 0; k >> log2 == 0; ++k)
      fresh[k] = compute(k);
    table = std::move(fresh);
    tabulated.store(table.get(), std::memory_order_release);
  });
  return table[i];
}

uint32_t TablePiece::compute(uint32_t i) const {
  const Unpacked &u = *unpacked;
  size_t k = i >> block;
  uint64_t x = i & ((1u << block) - 1);
  uint64_t c[3];
  for (int n = 0; n < 3; ++n)
    c[n] = take<uint64_t>(u.c[n] + 8 * k);
  uint32_t predicted =
      take<uint32_t>(u.y + 4 * k) + uint32_t(uint64_t(int64_t(c[0] + c[1] * x + c[2] * x * x) >> 32));
  if (width == 0)
    return predicted;
  uint32_t residual;
  if (width < 8)
    residual = uint8_t(u.residuals[size_t(i) * width / 8]) >> (size_t(i) * width % 8) & ((1u << width) - 1);
  else
    residual = width == 8    ? uint8_t(u.residuals[i])
               : width == 16 ? take<uint16_t>(u.residuals + size_t(i) * 2)
                             : take<uint32_t>(u.residuals + size_t(i) * 4);
  if (width < 32) {
    uint32_t sign = 1u << (width - 1);
    if (residual == sign) {
      uint32_t low = 0, high = exceptions;
      while (low < high) {
        uint32_t middle = (low + high) / 2;
        (take<uint32_t>(u.places + 4 * size_t(middle)) < i ? low : high) =
            take<uint32_t>(u.places + 4 * size_t(middle)) < i ? middle + 1 : middle;
      }
      return low < exceptions ? take<uint32_t>(u.values + 4 * size_t(low)) : predicted;
    }
    residual = (residual ^ sign) - sign;
  }
  return predicted + residual;
}

/// The f32 nearest to zero of the sum of an f32, rounded down to 23 fractional bits, and a number of so many.
static uint32_t fixedSum(uint32_t word, int32_t more) {
  constexpr double unit = 1 << 23;
  double floor = std::floor(double(std::bit_cast<float>(word)) * unit);
  if (!(std::abs(floor) < 0x1p62)) // no dump of a logarithm has such a value
    return word;
  int64_t sum = int64_t(floor) + more;
  uint64_t size = uint64_t(std::abs(sum));
  int beyond = std::max(0, int(std::bit_width(size)) - 24); // bits that an f32 has no room for
  float kept = float(double(size >> beyond << beyond) / unit);
  return std::bit_cast<uint32_t>(sum < 0 ? -kept : kept);
}

void TableFunction::index() {
  firstPieces.assign((size_t(1) << bits >> octaveBits) + 1, 0);
  for (size_t octave = 0, piece = 0; octave < firstPieces.size(); ++octave) {
    while (piece < pieces.size() && pieces[piece]->first <= uint64_t(octave) << octaveBits)
      ++piece;
    firstPieces[octave] = uint32_t(piece);
  }
}

std::optional<uint32_t> TableFunction::value(uint32_t argument) const {
  size_t octave = argument >> octaveBits;
  auto from = pieces.begin() + firstPieces[octave],
       to = octave + 1 < firstPieces.size() ? pieces.begin() + firstPieces[octave + 1] : pieces.end();
  auto after =
      std::upper_bound(from, to, argument, [](uint32_t x, const auto &piece) { return x < piece->first; });
  if (after == pieces.begin())
    return std::nullopt;
  const TablePiece &piece = **std::prev(after);
  uint32_t i = argument - piece.first;
  if (uint64_t(i) >> piece.log2)
    return std::nullopt;
  if (piece.kind == TablePiece::Constant)
    return piece.word;
  if (piece.kind == TablePiece::Quadratic)
    return piece.unpack(data.substr(piece.dataOffset, piece.packedBytes)) ? std::optional(piece.quadratic(i))
                                                                          : std::nullopt;
  const TablePiece &base = *pieces[piece.word];
  int64_t j = (piece.scale * int64_t(i) + piece.offset) >> piece.block;
  uint32_t more = uint32_t(j >> base.log2) * piece.step + piece.add, word = base.word;
  if (base.kind == TablePiece::Quadratic) {
    if (!base.unpack(data.substr(base.dataOffset, base.packedBytes)))
      return std::nullopt;
    word = base.quadratic(uint32_t(j & ((int64_t(1) << base.log2) - 1)));
  }
  return piece.kind == TablePiece::Fixed ? fixedSum(word, int32_t(more)) : word + more;
}

DeviceTables::DeviceTables() = default;
DeviceTables::~DeviceTables() = default;

/// Reads one function's pieces; what is wrong with them, or empty.
static std::string readFunction(Cursor &in, TableFunction &function) {
  function.opcode = in.text();
  function.bits = int(in.word());
  uint32_t count = in.word();
  if (in.beyond || uint64_t(count) * pieceBytes > in.bytes.size() - in.at)
    return "it ends within its list of functions";
  if (function.bits != 32 && function.bits != 16)
    return fmt::format("{}: expected arguments of 16 or 32 bits, got {}", function.opcode, function.bits);
  uint64_t end = 0;
  for (uint32_t n = 0; n < count; ++n) {
    const char *at = in.next(pieceBytes);
    auto piece = std::make_unique<TablePiece>();
    piece->first = take<uint32_t>(at);
    piece->kind = TablePiece::Kind(take<uint8_t>(at + 4));
    piece->log2 = take<uint8_t>(at + 5);
    piece->block = take<uint8_t>(at + 6);
    piece->width = take<uint8_t>(at + 7);
    piece->word = take<uint32_t>(at + 8);
    auto bad = [&](std::string_view what) {
      return fmt::format("{}: piece {} at argument {:#x}: {}", function.opcode, n, piece->first, what);
    };
    if (piece->kind > TablePiece::Fixed)
      return bad(fmt::format("expected kind 0, 1, 2 or 3, got {}", int(piece->kind)));
    uint64_t size = uint64_t(1) << std::min<int>(piece->log2, 40);
    if (piece->first < end || piece->first + size > uint64_t(1) << function.bits)
      return bad("expected pieces in order and apart, within the arguments");
    end = piece->first + size;
    if (piece->isDerived()) {
      piece->scale = take<int64_t>(at + 12);
      piece->offset = take<int64_t>(at + 20);
      piece->step = take<uint32_t>(at + 28);
      piece->add = take<uint32_t>(at + 32);
      // So that scale * i + offset stays within 64 bits.
      constexpr int64_t steepest = int64_t(1) << 28, farthest = int64_t(1) << 60;
      if (piece->word >= count || piece->scale > steepest || piece->scale < -steepest ||
          piece->offset > farthest || piece->offset < -farthest || piece->block > 63)
        return bad("expected a copy of one of its function's pieces, by a law of moderate numbers");
    } else if (piece->kind == TablePiece::Quadratic) {
      piece->dataOffset = take<uint64_t>(at + 12);
      piece->packedBytes = take<uint32_t>(at + 20);
      uint32_t raw = take<uint32_t>(at + 24);
      piece->exceptions = take<uint32_t>(at + 28);
      if (piece->log2 > 24 || piece->block > piece->log2 || !validWidth(piece->width) ||
          piece->exceptions > size || piece->rawBytes() != raw)
        return bad("expected sizes that fit together");
    }
    function.pieces.push_back(std::move(piece));
  }
  for (const auto &piece : function.pieces)
    if (piece->isDerived() && function.pieces[piece->word]->isDerived())
      return fmt::format("{}: the piece at argument {:#x} copies one that is a copy", function.opcode,
                         piece->first);
  return "";
}

Result<std::shared_ptr<const DeviceTables>> DeviceTables::parse(std::string content,
                                                                const std::string &name) {
  auto fail = [&](const std::string &what) {
    return badInput(
        fmt::format("{}: error: {}; `tests/gpu/accept.sh --part probes` makes a new one", name, what));
  };
  if (content.size() < prefixBytes || std::string_view(content).substr(0, 8) != magic)
    return fail("expected a file of device tables, which begins with ATTUNETB, got another");
  if (uint32_t got = take<uint32_t>(&content[8]); got != version)
    return fail(fmt::format("expected device tables of version {}, got {}", version, got));
  std::string_view body = std::string_view(content).substr(prefixBytes);
  if (uint64_t wanted = take<uint64_t>(&content[16]); wanted != body.size())
    return fail(fmt::format("expected {} bytes after the head, got {}", wanted, body.size()));
  uint32_t sum = uint32_t(crc32_z(0, reinterpret_cast<const Bytef *>(body.data()), body.size()));
  if (uint32_t wanted = take<uint32_t>(&content[12]); wanted != sum)
    return fail(fmt::format("expected checksum {:08x}, got {:08x}", wanted, sum));

  std::shared_ptr<DeviceTables> tables(new DeviceTables);
  tables->name = name;
  tables->bytes = std::move(content);
  Cursor in{std::string_view(tables->bytes).substr(prefixBytes)};
  tables->computeCapability = int(in.word());
  tables->gpu = in.text();
  tables->driver = in.text();
  tables->maker = in.text();
  uint32_t count = in.word();
  for (uint32_t n = 0; n < count && !in.beyond; ++n) {
    auto function = std::make_unique<TableFunction>();
    if (std::string wrong = readFunction(in, *function); !wrong.empty())
      return fail(wrong);
    function->index();
    tables->functions.push_back(std::move(function));
  }
  if (in.beyond)
    return fail("it ends within its list of functions");
  std::string_view data = in.bytes.substr(in.at);
  for (auto &function : tables->functions) {
    function->data = data;
    for (auto &piece : function->pieces)
      if (piece->kind == TablePiece::Quadratic &&
          (piece->dataOffset > data.size() || piece->packedBytes > data.size() - piece->dataOffset))
        return fail(fmt::format("{}: a piece's data lies outside the file", function->opcode));
  }
  return std::shared_ptr<const DeviceTables>(std::move(tables));
}

Status DeviceTables::checkAll() const {
  for (const auto &function : functions)
    for (const auto &piece : function->pieces)
      if (piece->kind == TablePiece::Quadratic)
        if (Status good = piece->unpack(function->data.substr(piece->dataOffset, piece->packedBytes)); !good)
          return badInput(fmt::format("{}: error: {}: {}", name, function->opcode, good.error().message));
  return success();
}

const TableFunction *DeviceTables::find(std::string_view opcode) const {
  for (const auto &function : functions)
    if (function->opcode == opcode)
      return function.get();
  return nullptr;
}

std::optional<uint32_t> DeviceTables::value(std::string_view opcode, uint32_t argument) const {
  const TableFunction *function = find(opcode);
  return function ? function->value(argument) : std::nullopt;
}

std::vector<std::string> DeviceTables::opcodes() const {
  std::vector<std::string> all;
  for (const auto &function : functions)
    all.push_back(function->opcode);
  return all;
}

std::vector<std::string> DeviceTables::coverage() const {
  std::vector<std::string> all;
  for (const auto &function : functions) {
    uint64_t arguments = 0;
    for (const auto &piece : function->pieces)
      arguments += uint64_t(1) << piece->log2;
    all.push_back(fmt::format("{} ({} arguments)", function->opcode, arguments));
  }
  return all;
}

} // namespace attune::sim
