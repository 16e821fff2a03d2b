//===- SimTablesTest.cpp - files of a device's tables ---------------------===//
//
// Files of a device's dumped functions: read to the bit, refused when broken, and adopted by the simulator.
//
//===----------------------------------------------------------------------===//
#include "simulator/Tables.h"
#include "tests/unit/SimSupport.h"

#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

using namespace attune;
using namespace attune::sim;

namespace {

struct Writer {
  std::string bytes;
  template <class T> Writer &add(T value) {
    bytes.append(reinterpret_cast<const char *>(&value), sizeof value);
    return *this;
  }
  Writer &text(const std::string &value) {
    add(uint32_t(value.size()));
    bytes += value;
    return *this;
  }
};

struct Quadratic {
  uint32_t first;
  uint8_t log2, block, width;
  std::vector<uint32_t> y;
  std::vector<int64_t> c[3];
  std::vector<uint32_t> residuals, places, values;

  std::string raw() const {
    Writer w;
    for (uint32_t v : y)
      w.add(v);
    for (auto &one : c)
      for (int64_t v : one)
        w.add(v);
    std::string bits((size_t(width) << log2) / 8, '\0');
    for (size_t i = 0; i < residuals.size(); ++i)
      for (unsigned b = 0; b < width; ++b)
        if (residuals[i] >> b & 1)
          bits[(i * width + b) / 8] |= char(1 << (i * width + b) % 8);
    w.bytes += bits;
    for (uint32_t v : places)
      w.add(v);
    for (uint32_t v : values)
      w.add(v);
    return w.bytes;
  }
};

struct File {
  Writer functions, data;
  uint32_t count = 0;

  File &function(const std::string &opcode, uint32_t bits, uint32_t pieces) {
    functions.text(opcode).add(bits).add(pieces);
    ++count;
    return *this;
  }
  File &head(uint32_t first, uint8_t kind, uint8_t log2, uint8_t block, uint8_t width, uint32_t word) {
    functions.add(first).add(kind).add(log2).add(block).add(width).add(word);
    return *this;
  }
  File &constant(uint32_t first, uint8_t log2, uint32_t value) {
    head(first, 0, log2, 0, 0, value).functions.bytes += std::string(28, '\0');
    return *this;
  }
  File &copy(uint32_t first, uint8_t log2, uint32_t of, int64_t scale, int64_t offset, uint32_t step,
             uint32_t more, uint8_t shift = 0, uint8_t kind = 1) {
    head(first, kind, log2, shift, 0, of)
        .functions.add(scale)
        .add(offset)
        .add(step)
        .add(more)
        .add(uint32_t(0));
    return *this;
  }
  File &quadratic(const Quadratic &q) {
    std::string raw = q.raw();
    std::string packed(compressBound(raw.size()), '\0');
    uLongf size = packed.size();
    compress(reinterpret_cast<Bytef *>(packed.data()), &size, reinterpret_cast<const Bytef *>(raw.data()),
             raw.size());
    packed.resize(size);
    head(q.first, 2, q.log2, q.block, q.width, 0);
    functions.add(uint64_t(data.bytes.size())).add(uint32_t(size)).add(uint32_t(raw.size()));
    functions.add(uint32_t(q.places.size())).add(uint64_t(0));
    data.bytes += packed;
    return *this;
  }
  std::string finished(uint32_t capability = 90) const {
    Writer body;
    body.add(capability).text("A GPU").text("1.2.3").text("a test").add(count);
    body.bytes += functions.bytes + data.bytes;
    Writer file;
    file.bytes = "ATTUNETB";
    file.add(uint32_t(2))
        .add(uint32_t(crc32_z(0, reinterpret_cast<const Bytef *>(body.bytes.data()), body.bytes.size())));
    file.add(uint64_t(body.bytes.size()));
    return file.bytes + body.bytes;
  }
};

constexpr int64_t one = int64_t(1) << 32;

/// 16 arguments from `first` on: two blocks of 3 + 2 i + i^2 and 100 - i, plus residuals of `width` bits.
Quadratic sample(uint32_t first, uint8_t width) {
  Quadratic q{first, 4, 3, width, {3, 100}, {{0, 0}, {2 * one, -one}, {one, 0}}, {}, {}, {}};
  if (width == 0)
    return q;
  q.residuals.assign(16, 0);
  q.residuals[1] = 1;
  q.residuals[2] = (width == 32 ? 0 : 1u << width) - 1; // -1
  if (width < 32) {
    q.residuals[9] = 1u << (width - 1);
    q.places = {9};
    q.values = {0xDEADBEEF};
  }
  return q;
}

File sampleFile() {
  File file;
  file.function("ex2.approx.ftz.f32", 32, 9);
  file.constant(0, 3, 42);
  uint32_t first = 16;
  for (uint8_t width : {0, 2, 4, 8, 16, 32}) {
    file.quadratic(sample(first, width));
    first += 16;
  }
  // Backwards, three a step of 16, and the constant again.
  file.copy(0x1000, 4, 1, -1, 15, 0, 1000).copy(0x2000, 4, 0, 1, 0, 0, 0x80000000);
  file.function("tanh.approx.f16", 16, 1).constant(0, 16, 0x3C00);
  return file;
}

std::shared_ptr<const DeviceTables> read(const std::string &bytes) {
  auto tables = DeviceTables::parse(bytes, "some.tables");
  REQUIRE_MESSAGE(tables, (tables ? "" : tables.error().message));
  return *tables;
}

} // namespace

TEST_CASE("device tables: every kind of piece") {
  auto tables = read(sampleFile().finished());
  REQUIRE(tables->checkAll());
  CHECK(tables->gpu == "A GPU");
  CHECK(tables->driver == "1.2.3");
  CHECK(tables->computeCapability == 90);
  auto at = [&](uint32_t x) { return tables->value("ex2.approx.ftz.f32", x); };
  CHECK(at(0) == 42);
  CHECK(at(7) == 42);
  CHECK(!at(8));
  CHECK(!at(15));
  for (int n = 0; n < 6; ++n) {
    uint32_t first = 16 + 16 * uint32_t(n);
    CAPTURE(n);
    for (uint32_t i = 0; i < 16; ++i) {
      uint32_t expected = i < 8 ? 3 + 2 * i + i * i : 100 - (i - 8);
      if (n > 0)
        expected = i == 1 ? expected + 1 : i == 2 ? expected - 1 : i == 9 && n < 5 ? 0xDEADBEEF : expected;
      CHECK(at(first + i) == expected);
    }
  }
  for (uint32_t i = 0; i < 16; ++i)
    CHECK(at(0x1000 + i) == *at(16 + 15 - i) + 1000);
  // j div N counts: 16 arguments over a piece of 8.
  CHECK(at(0x2000 + 9) == 42 + 0x80000000u);
  CHECK(tables->value("tanh.approx.f16", 0xFFFF) == 0x3C00);
  CHECK(!tables->value("tanh.approx.f16", 0x10000));
  CHECK(!tables->value("lg2.approx.f32", 0));
}

TEST_CASE("device tables: who asks often gets the same values from a table of all") {
  auto tables = read(sampleFile().finished());
  std::vector<std::optional<uint32_t>> first;
  for (int round = 0; round < 5; ++round)
    for (uint32_t x = 0; x < 0x2020; ++x) {
      std::optional<uint32_t> value = tables->value("ex2.approx.ftz.f32", x);
      if (round == 0)
        first.push_back(value);
      REQUIRE(value == first[x]);
    }
}

TEST_CASE("device tables: copies step with j div N, rounded down") {
  File file;
  file.function("ex2.approx.f32", 32, 2).constant(0, 2, 7).copy(64, 4, 0, -2, 1, 100, 0);
  auto tables = read(file.finished());
  for (int i = 0; i < 16; ++i) {
    int j = 1 - 2 * i, quotient = (j - (((j % 4) + 4) % 4)) / 4;
    CHECK(tables->value("ex2.approx.f32", 64 + uint32_t(i)) == uint32_t(7 + 100 * quotient));
  }
}

TEST_CASE("device tables: copies of every so many arguments, by a shift that rounds down") {
  File file;
  file.function("ex2.approx.f32", 32, 2).quadratic(sample(0, 0));
  file.copy(64, 4, 0, -1, -1, 100, 0, 2); // j = ~i >> 2
  auto tables = read(file.finished());
  for (uint32_t i = 0; i < 16; ++i) {
    int j = ~int(i) >> 2; // -1 .. -4: the last elements, a step back
    CHECK(tables->value("ex2.approx.f32", 64 + i) ==
          *tables->value("ex2.approx.f32", uint32_t(j + 16)) - 100);
  }
}

TEST_CASE("device tables: sums of numbers with 23 fractional bits, rounded toward zero") {
  auto bits = [](float x) { return std::bit_cast<uint32_t>(x); };
  File file;
  float third = 1.0f / 3; // rounded down to 2796202 / 2^23
  file.function("lg2.approx.ftz.f32", 32, 5).constant(0, 2, bits(third));
  file.copy(16, 2, 0, 1, 0, 0, 5u << 23, 0, 3).copy(32, 2, 0, 1, 0, 0, uint32_t(-5 * (1 << 23) + 1), 0, 3);
  file.copy(48, 2, 0, 1, 0, 0, uint32_t(-2796202), 0, 3).copy(64, 2, 0, 1, 4, uint32_t(1) << 23, 0, 0, 3);
  auto tables = read(file.finished());
  auto at = [&](uint32_t x) { return *tables->value("lg2.approx.ftz.f32", x); };
  CHECK(at(16) == bits(float((5 * 8388608 + 2796202) / 4 * 4) / 8388608));
  CHECK(at(32) == bits(-float((5 * 8388608 - 2796203) / 4 * 4) / 8388608));
  CHECK(at(48) == 0);
  CHECK(at(64) == bits(float(8388608 + 2796202) / 8388608)); // j div N counts
}

TEST_CASE("device tables: any flipped bit and any cut is reported") {
  std::string good = sampleFile().finished();
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = char(bad[bit / 8] ^ 1 << bit % 8);
    auto tables = DeviceTables::parse(bad, "some.tables");
    REQUIRE_MESSAGE(!tables, bit);
    REQUIRE(tables.error().message.find("some.tables: error: ") == 0);
  }
  for (size_t length = 0; length < good.size(); ++length)
    REQUIRE(!DeviceTables::parse(good.substr(0, length), "some.tables"));
  CHECK(!DeviceTables::parse(good + "x", "some.tables"));
}

TEST_CASE("device tables: a right checksum over wrong contents") {
  auto refused = [](const File &file) {
    auto tables = DeviceTables::parse(file.finished(), "some.tables");
    return tables ? std::string() : tables.error().message;
  };
  File overlap, beyond, twice, foreign, kind, cut, sizes;
  overlap.function("f", 32, 2).constant(0, 4, 1).constant(8, 4, 1);
  CHECK(refused(overlap).find("in order and apart") != std::string::npos);
  beyond.function("f", 16, 1).constant(0xFFF0, 5, 1);
  CHECK(refused(beyond).find("within the arguments") != std::string::npos);
  twice.function("f", 32, 3).constant(0, 2, 1).copy(16, 2, 0, 1, 0, 0, 0).copy(32, 2, 1, 1, 0, 0, 0);
  CHECK(refused(twice).find("copies one that is a copy") != std::string::npos);
  foreign.function("f", 32, 1).copy(16, 2, 5, 1, 0, 0, 0);
  CHECK(refused(foreign).find("one of its function's pieces") != std::string::npos);
  for (int64_t far : {INT64_MIN, INT64_MAX}) {
    File steep, distant;
    steep.function("f", 32, 2).constant(0, 2, 1).copy(16, 2, 0, far, 0, 0, 0);
    CHECK(refused(steep).find("moderate numbers") != std::string::npos);
    distant.function("f", 32, 2).constant(0, 2, 1).copy(16, 2, 0, 1, far, 0, 0);
    CHECK(refused(distant).find("moderate numbers") != std::string::npos);
  }
  kind.function("f", 32, 1).head(0, 9, 2, 0, 0, 0).functions.bytes += std::string(28, '\0');
  CHECK(refused(kind).find("expected kind 0, 1, 2 or 3, got 9") != std::string::npos);
  cut.function("f", 32, 1000).constant(0, 2, 1);
  CHECK(refused(cut).find("ends within") != std::string::npos);
  sizes.function("f", 32, 1).quadratic(sample(0, 4));
  sizes.functions.bytes[sizes.functions.bytes.size() - 40 + 7] = 3; // a width that there is not
  CHECK(refused(sizes).find("sizes that fit together") != std::string::npos);

  File spoilt;
  spoilt.function("f", 32, 1).quadratic(sample(0, 4));
  spoilt.data.bytes[5] = char(spoilt.data.bytes[5] ^ 0x55);
  auto tables = DeviceTables::parse(spoilt.finished(), "some.tables");
  REQUIRE(tables);
  Status whole = (*tables)->checkAll();
  REQUIRE(!whole);
  CHECK(whole.error().message.find("does not unpack") != std::string::npos);
  CHECK(!(*tables)->value("f", 0));
}

// One process adopts one set of tables; this one does here, before it parses any module.
TEST_CASE("device tables: the simulator computes as the device and says so") {
  File file;
  file.function("ex2.approx.ftz.f32", 32, 1).constant(0x3F800000, 4, 0x12345678); // from 1.0 on
  file.function("tanh.approx.f16", 16, 1).constant(0x3C00, 0, 0x0BAD);
  std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("attune-tables-{}", getpid())).string();
  std::ofstream(path, std::ios::binary) << file.finished();
  setenv("ATTUNE_DEVICE_TABLES", path.c_str(), 1);
  REQUIRE(loadDeviceTables());
  auto module = simtest::parse(
      simtest::ptx(".param .u64 out",
                   "  .reg .b64 %a, %o;\n  .reg .b32 %x, %t, %y;\n  .reg .pred %p;\n  .reg .b16 %h;\n"
                   "  ld.param.u64 %a, [out];\n  mov.u32 %t, %tid.x;\n  mul.wide.u32 %o, %t, 12;\n"
                   "  add.u64 %a, %a, %o;\n  add.u32 %x, %t, 0x3F800000;\n"
                   "  setp.lt.u32 %p, %t, 4;\n  @%p ex2.approx.ftz.f32 %x, %x;\n  st.global.b32 [%a], %x;\n"
                   "  mov.b32 %y, 0x3C003C01;\n  tanh.approx.f16x2 %y, %y;\n  st.global.b32 [%a+4], %y;\n"
                   "  mov.b16 %h, 0x3C00;\n  tanh.approx.f16 %h, %h;\n  cvt.u32.u16 %y, %h;\n"
                   "  st.global.b32 [%a+8], %y;\n  ret;",
                   "sm_90"));
  GlobalMemory memory;
  auto address = memory.allocate(32 * 12, "out");
  REQUIRE(address);
  LaunchConfig config;
  config.entry = module->entries()[0].name;
  config.params.resize(8);
  std::memcpy(config.params.data(), &*address, 8);
  auto result = launch(*module, memory, config);
  REQUIRE(result);
  REQUIRE_MESSAGE(result->findings.empty(), result->findings[0].text());
  uint32_t out[32][3];
  REQUIRE(memory.read(out, *address, sizeof out));
  for (uint32_t t = 0; t < 32; ++t) {
    CHECK(out[t][0] == (t < 4 ? 0x12345678 : 0x3F800000 + t)); // where the guard is off, x stays
    CHECK((out[t][1] >> 16) == 0x0BAD);
    CHECK((out[t][1] & 0xFFFF) != 0x0BAD); // not covered: the stand-in
    CHECK(out[t][2] == 0x0BAD);
  }
  REQUIRE(result->notes.size() == 1);
  CHECK(result->notes[0].find("ex2.approx.ftz.f32, tanh.approx.f16 as dumped from A GPU (driver 1.2.3)") ==
        0);
  CHECK(result->notes[0].find("stand-in") != std::string::npos);
  std::filesystem::remove(path);
}
