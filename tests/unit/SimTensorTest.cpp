//===- SimTensorTest.cpp - tensor maps, and what tensor copies move -----------------===//
//
// What is expected follows the PTX ISA's and the driver's text: where a chunk of 16 bytes goes is said by its
// row and place here, by address bits in the simulator.
//
//===----------------------------------------------------------------------===//
#include "SimSupport.h"

#include <functional>
#include <numeric>
#include <set>

using namespace attune;
using namespace simtest;

namespace {

using Map = sim::TensorMapDescription;
using Type = sim::TensorMapType;
using Swizzle = sim::TensorMapSwizzle;
constexpr sim::Mode kModes[] = {sim::Mode::Eager, sim::Mode::Lazy, sim::Mode::Random};

size_t sizeOf(Type t) {
  return t == Type::U8                                         ? 1
         : t == Type::U16 || t == Type::F16 || t == Type::BF16 ? 2
         : t == Type::U64 || t == Type::S64 || t == Type::F64  ? 8
                                                               : 4;
}

/// A dense tensor's map; lengths innermost first.
Map dense(Type type, std::vector<uint64_t> dims, std::vector<uint32_t> box, Swizzle swizzle = Swizzle::None) {
  Map m;
  m.type = type;
  m.rank = uint32_t(dims.size());
  uint64_t stride = sizeOf(type);
  for (size_t k = 0; k < dims.size(); ++k) {
    m.dims[k] = dims[k];
    m.box[k] = box[k];
    if (k)
      m.strides[k - 1] = stride;
    stride *= dims[k];
  }
  m.swizzle = swizzle;
  return m;
}

/// Where 16-byte chunk `c` of a dense buffer lies: chunks of the 128-byte line are exchanged by the line's
/// number.
uint32_t chunkPlace(Swizzle swizzle, uint32_t c) {
  uint32_t line = c / 8, place = c % 8;
  switch (swizzle) {
  case Swizzle::B128:
    return line * 8 + (place ^ line % 8);
  case Swizzle::B64: // two rows of 64 bytes a line, lines in groups of four
    return line * 8 + place / 4 * 4 + (place % 4 ^ line % 4);
  case Swizzle::B32:
    return line * 8 + place / 2 * 2 + (place % 2 ^ line % 2);
  case Swizzle::None:
    break;
  }
  return c;
}

std::string coordinates(uint32_t rank) {
  std::string text = "{%c0";
  for (uint32_t k = 1; k < rank; ++k)
    text += ", %c" + std::to_string(k);
  return text + "}";
}

const char *const kParams =
    ".param .align 64 .b8 MAP[128], .param .u64 DATA, .param .u32 BYTES, .param .u32 C0, .param .u32 C1, "
    ".param .u32 C2, .param .u32 C3, .param .u32 C4";
const char *const kHead =
    ".shared .align 1024 .b8 s[65536]; .shared .align 8 .b8 bar[8]; .reg .b32 %r<16>; .reg .b32 %c<5>; .reg "
    ".b64 %q<8>; .reg .pred "
    "%p<6>;\n"
    "mov.b64 %q0, MAP; cvta.param.u64 %q1, %q0; ld.param.u64 %q2, [DATA]; ld.param.u32 %r1, [BYTES];\n"
    "ld.param.u32 %c0, [C0]; ld.param.u32 %c1, [C1]; ld.param.u32 %c2, [C2]; ld.param.u32 %c3, [C3]; "
    "ld.param.u32 %c4, [C4];\n"
    "mov.u32 %r0, %tid.x; mov.u32 %r2, s; mov.u32 %r3, bar; setp.eq.u32 %p0, %r0, 0;\n";

void runOn(const std::string &body, Device &d, const Map &map, uint64_t data, std::array<int32_t, 5> at,
           uint32_t bytes, sim::Mode mode, bool clean = true, std::string *findings = nullptr) {
  auto m = parse(ptx(kParams, std::string(kHead) + body + "\nret;", "sm_90a"));
  auto packed = sim::encodeTensorMap(map);
  if (!packed)
    FAIL(packed.error().message);
  sim::LaunchConfig c{.entry = "k", .block = {64, 1, 1}};
  Params p;
  p.bytes.assign(packed->begin(), packed->end());
  p.add(data).add(bytes);
  for (int32_t x : at)
    p.add(x);
  c.params = p.bytes;
  c.mode = mode;
  c.seed = 5;
  auto r = d.run(*m, c);
  if (clean)
    CHECK_CLEAN(r);
  if (findings)
    *findings = texts(r.findings);
}

/// Loads a box and copies shared memory to `data`.
std::string loadBody(uint32_t rank) {
  return "@%p0 mbarrier.init.shared::cta.b64 [%r3], 1;\n@%p0 fence.mbarrier_init.release.cluster;\nbar.sync "
         "0;\n"
         "@!%p0 bra WAIT;\nmbarrier.arrive.expect_tx.shared::cta.b64 _, [%r3], %r1;\n"
         "cp.async.bulk.tensor." +
         std::to_string(rank) + "d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r2], [%q1, " +
         coordinates(rank) +
         "], [%r3];\n"
         "WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r3], 0;\n@!%p1 bra WAIT;\n"
         "shl.b32 %r4, %r0, 4;\n"
         "COPY: setp.ge.u32 %p2, %r4, %r1; @%p2 bra DONE; add.u32 %r5, %r2, %r4; ld.shared.v4.u32 {%r6, %r7, "
         "%r8, %r9}, [%r5];\n"
         "cvt.u64.u32 %q3, %r4; add.u64 %q4, %q2, %q3; st.global.v4.u32 [%q4], {%r6, %r7, %r8, %r9}; add.u32 "
         "%r4, %r4, 1024; bra "
         "COPY; DONE:";
}

/// Copies `data` to shared memory and stores (or reduces) it as a box.
std::string storeBody(uint32_t rank, const std::string &instruction = "cp.async.bulk.tensor") {
  size_t dot = instruction.find('|'); // instruction|.add
  std::string root = instruction.substr(0, dot),
              suffix = dot == std::string::npos ? "" : instruction.substr(dot + 1);
  return "shl.b32 %r4, %r0, 4;\n"
         "COPY: setp.ge.u32 %p2, %r4, %r1; @%p2 bra DONE; cvt.u64.u32 %q3, %r4; add.u64 %q4, %q2, %q3; "
         "ld.global.v4.u32 {%r6, "
         "%r7, %r8, %r9}, [%q4];\n"
         "add.u32 %r5, %r2, %r4; st.shared.v4.u32 [%r5], {%r6, %r7, %r8, %r9}; add.u32 %r4, %r4, 1024; bra "
         "COPY; DONE:\n"
         "fence.proxy.async.shared::cta; bar.sync 0;\n@!%p0 bra END;\n" +
         root + "." + std::to_string(rank) + "d.global.shared::cta" + suffix + ".bulk_group [%q1, " +
         coordinates(rank) + "], [%r2];\ncp.async.bulk.commit_group; cp.async.bulk.wait_group 0; END:";
}

/// For each element of the box: its offset in the dense box, and its index in the tensor or -1 outside.
void forBox(const Map &m, const std::array<int32_t, 5> &at, const std::function<void(uint32_t, int64_t)> &f) {
  std::array<uint32_t, 5> n{1, 1, 1, 1, 1};
  for (uint32_t k = 0; k < m.rank; ++k) {
    uint32_t step = k ? m.elementStrides[k] : 1;
    n[k] = (m.box[k] + step - 1) / step;
  }
  uint32_t offset = 0;
  std::array<uint32_t, 5> i{};
  for (i[4] = 0; i[4] < n[4]; ++i[4])
    for (i[3] = 0; i[3] < n[3]; ++i[3])
      for (i[2] = 0; i[2] < n[2]; ++i[2])
        for (i[1] = 0; i[1] < n[1]; ++i[1])
          for (i[0] = 0; i[0] < n[0]; ++i[0]) {
            int64_t index = 0;
            bool inside = true;
            for (size_t k = m.rank; k-- > 0;) {
              int64_t x = at[k] + int64_t(i[k]) * (k ? m.elementStrides[k] : 1);
              inside &= x >= 0 && x < int64_t(m.dims[k]);
              index = index * int64_t(m.dims[k]) + x;
            }
            f(offset, inside ? index : -1);
            offset += uint32_t(sizeOf(m.type));
          }
}

uint32_t boxBytes(const Map &m) {
  uint32_t last = 0;
  forBox(m, {}, [&](uint32_t offset, int64_t) { last = offset; });
  return last + uint32_t(sizeOf(m.type));
}

uint64_t elements(const Map &m) {
  uint64_t n = 1;
  for (uint32_t k = 0; k < m.rank; ++k)
    n *= m.dims[k];
  return n;
}

uint64_t fillBits(const Map &m) {
  if (m.fill == sim::TensorMapFill::Zero)
    return 0;
  return sizeOf(m.type) == 2 ? 0x7FFF : sizeOf(m.type) == 4 ? 0x7FFFFFFF : 0x7FFFFFFFFFFFFFFF;
}

std::vector<std::byte> randomBytes(size_t n, uint32_t seed) {
  std::mt19937 rng(seed);
  std::vector<std::byte> data(n);
  for (std::byte &b : data)
    b = std::byte(rng());
  return data;
}

void checkLoad(Map m, std::array<int32_t, 5> at) {
  CAPTURE(m.rank);
  CAPTURE(int(m.swizzle));
  CAPTURE(at[0]);
  CAPTURE(at[1]);
  size_t size = sizeOf(m.type);
  std::vector<std::byte> tensor = randomBytes(elements(m) * size, 7);
  uint32_t bytes = boxBytes(m);
  std::vector<std::byte> expected(bytes);
  forBox(m, at, [&](uint32_t offset, int64_t index) {
    uint32_t to = chunkPlace(m.swizzle, offset / 16) * 16 + offset % 16;
    uint64_t fill = fillBits(m);
    REQUIRE(to + size <= bytes);
    if (index >= 0)
      std::memcpy(&expected[to], &tensor[size_t(index) * size], size);
    else
      std::memcpy(&expected[to], &fill, size);
  });
  for (sim::Mode mode : kModes) {
    Device d;
    m.address = d.put(tensor, "tensor");
    uint64_t out = d.make(bytes, "out");
    runOn(loadBody(m.rank), d, m, out, at, bytes, mode);
    CHECK(d.get<std::byte>(out, bytes) == expected);
  }
}

void checkStore(Map m, std::array<int32_t, 5> at) {
  CAPTURE(m.rank);
  CAPTURE(int(m.swizzle));
  size_t size = sizeOf(m.type);
  std::vector<std::byte> before = randomBytes(elements(m) * size, 9);
  uint32_t bytes = boxBytes(m);
  std::vector<std::byte> box = randomBytes(bytes, 10), expected = before;
  forBox(m, at, [&](uint32_t offset, int64_t index) {
    uint32_t from = chunkPlace(m.swizzle, offset / 16) * 16 + offset % 16;
    if (index >= 0)
      std::memcpy(&expected[size_t(index) * size], &box[from], size);
  });
  for (sim::Mode mode : kModes) {
    Device d;
    m.address = d.put(before, "tensor");
    uint64_t in = d.put(box, "in");
    runOn(storeBody(m.rank), d, m, in, at, bytes, mode);
    CHECK(d.get<std::byte>(m.address, before.size()) == expected);
  }
}

} // namespace

TEST_CASE("a tensor map's rules, each named by its error") {
  Map good = dense(Type::BF16, {64, 32, 4}, {64, 8, 1}, Swizzle::B128);
  good.address = 0x1000;
  REQUIRE(sim::encodeTensorMap(good));
  auto broken = [&](auto change, const char *words) {
    Map m = good;
    change(m);
    auto r = sim::encodeTensorMap(m);
    REQUIRE(!r);
    CHECK_MESSAGE(r.error().message.find(words) != std::string::npos, r.error().message);
  };
  broken([](Map &m) { m.rank = 0; }, "rank from 1 to 5, got 0");
  broken([](Map &m) { m.rank = 6; }, "rank from 1 to 5, got 6");
  broken([](Map &m) { m.type = Type(13); }, "element type");
  broken([](Map &m) { m.address = 0x1008; }, "multiple of 16");
  broken([](Map &m) { m.dims[1] = 0; }, "dimension 1: expected a length");
  broken([](Map &m) { m.dims[0] = (1ull << 32) + 1; }, "2^32");
  broken([](Map &m) { m.strides[0] = 120; },
         "dimension 1: expected a stride in bytes that is a multiple of 16");
  broken([](Map &m) { m.strides[1] = 1ull << 40; }, "2^40");
  broken([](Map &m) { m.box[1] = 257; }, "dimension 1: expected a box of 1 to 256");
  broken([](Map &m) { m.box[2] = 0; }, "dimension 2: expected a box of 1 to 256");
  broken([](Map &m) { m.box[0] = 4; }, "multiple of 16 bytes");
  broken([](Map &m) { m.swizzle = Swizzle::B64; }, "at most 64 bytes for a swizzle of 64 bytes, got 128");
  broken([](Map &m) { m.swizzle = Swizzle(4); }, "swizzle");
  broken([](Map &m) { m.elementStrides[1] = 9; }, "element stride from 1 to 8");
  broken([](Map &m) { m.elementStrides[0] = 0; }, "element stride from 1 to 8");
  broken([](Map &m) { m.interleave = 1; }, "interleave");
  broken([](Map &m) { m.type = Type::U16, m.fill = sim::TensorMapFill::NaN; }, "floating-point");
  // What lies between others' strides is no matter, nor is their order.
  Map permuted = good;
  std::swap(permuted.strides[0], permuted.strides[1]);
  CHECK(sim::encodeTensorMap(permuted));
  // CUTLASS clears bit 21 of the second word that the driver gave it, where the tensor is small.
  good.address = 0x200000;
  std::array<std::byte, 128> bytes = *sim::encodeTensorMap(good);
  for (size_t b = 8; b < 16; ++b)
    CHECK(bytes[b] == std::byte(0));
}

TEST_CASE("swizzles are bijections of each pattern, as documented") {
  for (Swizzle s : {Swizzle::None, Swizzle::B32, Swizzle::B64, Swizzle::B128}) {
    std::set<uint32_t> places;
    for (uint32_t c = 0; c < 1024; ++c)
      places.insert(chunkPlace(s, c));
    CHECK(places.size() == 1024);
    CHECK(*places.rbegin() == 1023);
    uint32_t inner = 16u << uint32_t(s);
    checkLoad(dense(Type::U8, {inner, 64}, {inner, 64}, s), {0, 0});
    checkLoad(dense(Type::F32, {inner / 4, 100}, {inner / 4, 32}, s), {0, 60});
    if (s != Swizzle::None) // an inner box narrower than the pattern
      checkLoad(dense(Type::U8, {inner, 64}, {inner / 2, 64}, s), {int32_t(inner / 2), 0});
    checkStore(dense(Type::BF16, {inner / 2, 40}, {inner / 2, 16}, s), {0, 8});
    checkStore(dense(Type::BF16, {inner / 2, 40}, {inner / 2, 16}, s), {0, 32});
  }
}

TEST_CASE("boxes of 1 to 5 dimensions, clipped on every side") {
  checkLoad(dense(Type::F32, {1000}, {256}), {0});
  checkLoad(dense(Type::F32, {1000}, {256}), {900});
  checkLoad(dense(Type::F32, {1000}, {256}), {-100});
  checkLoad(dense(Type::U16, {72, 40}, {64, 16}), {8, 0});
  checkLoad(dense(Type::U16, {72, 40}, {64, 16}), {-3, -5});
  checkLoad(dense(Type::U16, {72, 40}, {64, 16}), {33, 31});
  checkLoad(dense(Type::U16, {72, 40}, {64, 16}), {72, 0}); // nothing of it inside
  checkLoad(dense(Type::U8, {32, 9, 7}, {16, 4, 3}), {17, 7, 5});
  checkLoad(dense(Type::U64, {4, 5, 6, 3}, {2, 3, 4, 2}), {1, 3, -1, 2});
  checkLoad(dense(Type::F16, {8, 3, 4, 5, 6}, {8, 2, 2, 3, 2}), {2, 2, -1, 3, 5});
  checkStore(dense(Type::F32, {1000}, {256}), {900});
  checkStore(dense(Type::U16, {72, 40}, {64, 16}), {-3, -5});
  checkStore(dense(Type::U8, {32, 9, 7}, {16, 4, 3}), {17, 7, 5});
  checkStore(dense(Type::U64, {4, 5, 6, 3}, {2, 3, 4, 2}), {1, 3, -1, 2});
  checkStore(dense(Type::F16, {8, 3, 4, 5, 6}, {8, 2, 2, 3, 2}), {2, 2, -1, 3, 5});
}

TEST_CASE("element strides, and NaN outside of the tensor") {
  Map m = dense(Type::F32, {16, 20, 10}, {8, 9, 5});
  m.elementStrides = {1, 3, 2, 1, 1};
  checkLoad(m, {4, 5, 3});
  checkStore(m, {4, 5, 3});
  for (Type t : {Type::F16, Type::BF16, Type::F32, Type::F64}) {
    Map n = dense(t, {24, 6}, {16, 4});
    n.fill = sim::TensorMapFill::NaN;
    checkLoad(n, {12, 4});
  }
}

TEST_CASE("reductions into a tensor, each operation of each type") {
  struct Case {
    Type type;
    const char *op;
    std::function<uint64_t(uint64_t, uint64_t)> f;
  };
  auto f32 = [](uint64_t x) { return std::bit_cast<float>(uint32_t(x)); };
  auto f64 = [](uint64_t x) { return std::bit_cast<double>(x); };
  auto bf = [](uint64_t x) { return fromBf16(uint16_t(x)); };
  using S = int32_t;
  using L = int64_t;
  std::vector<Case> cases = {
      {Type::U32, "add", [](uint64_t a, uint64_t b) { return uint32_t(a + b); }},
      {Type::U32, "min", [](uint64_t a, uint64_t b) { return std::min(a, b); }},
      {Type::U32, "max", [](uint64_t a, uint64_t b) { return std::max(a, b); }},
      {Type::U32, "inc", [](uint64_t a, uint64_t b) { return a >= b ? 0 : a + 1; }},
      {Type::U32, "dec", [](uint64_t a, uint64_t b) { return a == 0 || a > b ? b : a - 1; }},
      {Type::U32, "and", [](uint64_t a, uint64_t b) { return a & b; }},
      {Type::U32, "or", [](uint64_t a, uint64_t b) { return a | b; }},
      {Type::U32, "xor", [](uint64_t a, uint64_t b) { return a ^ b; }},
      {Type::S32, "add", [](uint64_t a, uint64_t b) { return uint32_t(a + b); }},
      {Type::S32, "min", [](uint64_t a, uint64_t b) { return uint32_t(std::min(S(a), S(b))); }},
      {Type::S32, "max", [](uint64_t a, uint64_t b) { return uint32_t(std::max(S(a), S(b))); }},
      {Type::U64, "add", [](uint64_t a, uint64_t b) { return a + b; }},
      {Type::U64, "min", [](uint64_t a, uint64_t b) { return std::min(a, b); }},
      {Type::U64, "xor", [](uint64_t a, uint64_t b) { return a ^ b; }},
      {Type::S64, "max", [](uint64_t a, uint64_t b) { return uint64_t(std::max(L(a), L(b))); }},
      {Type::S64, "min", [](uint64_t a, uint64_t b) { return uint64_t(std::min(L(a), L(b))); }},
      {Type::F32, "add", [&](uint64_t a, uint64_t b) { return std::bit_cast<uint32_t>(f32(a) + f32(b)); }},
      {Type::F64, "add", [&](uint64_t a, uint64_t b) { return std::bit_cast<uint64_t>(f64(a) + f64(b)); }},
      {Type::BF16, "add", [&](uint64_t a, uint64_t b) { return toBf16(bf(a) + bf(b)); }},
      {Type::BF16, "min", [&](uint64_t a, uint64_t b) { return bf(b) < bf(a) ? b : a; }},
      {Type::BF16, "max", [&](uint64_t a, uint64_t b) { return bf(b) > bf(a) ? b : a; }},
      {Type::F16, "add", nullptr},
      {Type::F16, "min", nullptr},
      {Type::F16, "max", nullptr},
  };
  std::mt19937 rng(3);
  for (const Case &c : cases) {
    CAPTURE(int(c.type));
    CAPTURE(c.op);
    size_t size = sizeOf(c.type);
    Map m = dense(c.type, {24, 10}, {uint32_t(64 / size), 8});
    std::array<int32_t, 5> at{int32_t(24 - 32 / size), 4};
    uint32_t bytes = boxBytes(m);
    auto random = [&]() -> uint64_t {
      switch (c.type) {
      case Type::F32:
        return std::bit_cast<uint32_t>(float(int(rng() % 2001) - 1000) * 0.37f);
      case Type::F64:
        return std::bit_cast<uint64_t>(double(int(rng() % 2001) - 1000) * 0.37);
      case Type::BF16:
        return toBf16(float(int(rng() % 2001) - 1000) * 0.37f);
      case Type::F16: // 1, 2, 4 ... 1024: exact sums of powers are enough, rounding is the atomics' own
        return (15u + rng() % 11) << 10;
      default:
        return size == 4 ? rng() % (rng() % 2 ? 40 : ~0u) : uint64_t(rng()) << 32 | rng();
      }
    };
    std::vector<std::byte> before(elements(m) * size), box(bytes);
    auto fill = [&](std::vector<std::byte> &data) {
      for (size_t o = 0; o < data.size(); o += size) {
        uint64_t x = random();
        std::memcpy(&data[o], &x, size);
      }
    };
    fill(before);
    fill(box);
    std::vector<std::byte> expected = before;
    forBox(m, at, [&](uint32_t offset, int64_t index) {
      if (index < 0)
        return;
      uint64_t a = 0, b = 0, r;
      std::memcpy(&a, &before[size_t(index) * size], size);
      std::memcpy(&b, &box[offset], size);
      if (c.f) {
        r = c.f(a, b);
      } else if (std::string(c.op) != "add") {
        r = std::string(c.op) == "min" ? std::min(a, b)
                                       : std::max(a, b); // positive numbers order as their bits
      } else {
        uint64_t big = std::max(a, b), small = std::min(a, b), shift = (big >> 10) - (small >> 10);
        // 2^x + 2^y: a bit of the fraction, or the next power; all are exact.
        r = shift == 0 ? big + (1 << 10) : shift <= 10 ? big | 1u << (10 - shift) : big;
      }
      std::memcpy(&expected[size_t(index) * size], &r, size);
    });
    for (sim::Mode mode : kModes) {
      Device d;
      m.address = d.put(before, "tensor");
      uint64_t in = d.put(box, "in");
      runOn(storeBody(2, std::string("cp.reduce.async.bulk.tensor|.") + c.op), d, m, in, at, bytes, mode);
      CHECK(d.get<std::byte>(m.address, before.size()) == expected);
    }
  }
}

TEST_CASE("tensor copies that cannot be: maps, ranks, alignment, bounds") {
  auto message = [&](Map m, const std::string &body, std::array<int32_t, 5> at = {}) {
    Device d;
    m.address = d.put(std::vector<std::byte>(4096, std::byte(1)), "tensor");
    uint64_t out = d.make(65536, "out");
    std::string text;
    runOn(body, d, m, out, at, 1024, sim::Mode::Eager, false, &text);
    return text;
  };
  auto contains = [](const std::string &text, const char *words) {
    CHECK_MESSAGE(text.find(words) != std::string::npos, text);
  };
  Map m = dense(Type::F32, {16, 64}, {16, 16});
  contains(message(m, loadBody(3)), "expected a tensor map of rank 3, got one of rank 2");
  std::string body = loadBody(2);
  contains(message(m, std::string(body).replace(body.find("[%r2], [%q1"), 11, "[%r2+64], [%q1")),
           "multiple of 128");
  contains(message(m, "add.u64 %q1, %q1, 16;\n" + body), "multiple of 64");
  contains(message(m, "mov.b64 %q1, %q2;\n" + body), "expected a tensor map");
  Map large = dense(Type::F32, {16, 200}, {16, 16}); // the allocation ends before the tensor
  contains(message(large, body, {0, 100}), "out of bounds");
  contains(message(dense(Type::U8, {256, 256, 256, 256, 256}, {256, 256, 256, 256, 256}), loadBody(5)),
           "box that fits");
  auto refused = [&](const std::string &line, const char *words) {
    contains(refusal(ptx(kParams, std::string(kHead) + line + "\nret;", "sm_90a")), words);
  };
  refused("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%r2], [%q1, "
          "{%c0, %c1, %c2, %c3}], "
          "[%r3], {%r4, %r5};",
          "im2col");
  refused("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r2], [%q1, {%c0}], "
          "[%r3];",
          "2 coordinates");
  refused("cp.reduce.async.bulk.global.shared::cta.bulk_group.min.f32 [%q1], [%r2], 16;", "unsupported");
}

TEST_CASE("a tensor map in global memory, and one that the kernel changes") {
  Map m = dense(Type::F32, {16, 64}, {16, 4});
  std::vector<float> tensor(16 * 64);
  std::iota(tensor.begin(), tensor.end(), 0.0f);
  const char *params = ".param .u64 MAP, .param .u64 DATA, .param .u64 OTHER, .param .u32 BYTES, .param .u32 "
                       "C0, .param .u32 C1";
  std::string head(kHead);
  auto exchange = [&](const std::string &from, const std::string &to) {
    REQUIRE(head.find(from) != std::string::npos);
    head.replace(head.find(from), from.size(), to);
  };
  exchange("mov.b64 %q0, MAP; cvta.param.u64 %q1, %q0;", "ld.param.u64 %q1, [MAP];");
  exchange("ld.param.u32 %c2, [C2]; ld.param.u32 %c3, [C3]; ld.param.u32 %c4, [C4];",
           "ld.param.u64 %q5, [OTHER];");
  for (bool changes : {false, true})
    for (sim::Mode mode : kModes) {
      Device d;
      m.address = d.put(tensor, "tensor");
      auto packed = *sim::encodeTensorMap(m);
      auto room = d.memory.allocate(128, "map");
      REQUIRE(room);
      REQUIRE(d.memory.write(*room, packed.data(), 128));
      std::vector<float> other(16 * 64, 3.0f);
      uint64_t out = d.make(256, "out"), po = d.put(other, "other");
      // The map is copied to shared memory, changed there, and published, as CUTLASS does.
      std::string change =
          ".shared .align 128 .b8 t[128];\nmov.u32 %r10, t; shl.b32 %r11, %r0, 2; setp.lt.u32 %p3, %r0, 32; "
          "cvt.u64.u32 %q6, %r11; "
          "add.u64 %q6, %q1, %q6; add.u32 %r11, %r10, %r11;\n"
          "@%p3 ld.global.u32 %r12, [%q6]; @%p3 st.shared.u32 [%r11], %r12; bar.sync 0;\n"
          "@%p0 tensormap.replace.tile.global_address.shared::cta.b1024.b64 [%r10], %q5;\n"
          "@%p0 tensormap.replace.tile.global_dim.shared::cta.b1024.b32 [%r10], 1, 2;\nbar.sync 0;\n"
          "@!%p3 bra NEXT; "
          "tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [%q1], "
          "[%r10], "
          "128;\nNEXT: bar.sync 0; fence.proxy.tensormap::generic.acquire.gpu [%q1], 128;\n";
      auto k = parse(ptx(params, head + (changes ? change : "") + loadBody(2) + "\nret;", "sm_90a"));
      sim::LaunchConfig c{.entry = "k", .block = {64, 1, 1}};
      c.params = Params().add(*room).add(out).add(po).add(uint32_t(256)).add(0).add(0).bytes;
      c.mode = mode;
      CHECK_CLEAN(d.run(*k, c));
      auto got = d.get<float>(out, 64);
      for (int i = 0; i < 64; ++i)
        REQUIRE(got[size_t(i)] == (!changes ? float(i) : i < 32 ? 3.0f : 0.0f));
    }
}

namespace {

/// tests/sim/kernels/tma.cu on a tensor of 100 x 72 floats, whose last tiles are clipped. True: right and
/// silent.
bool scalesTiles(const std::string &text, sim::Mode mode, std::string *why = nullptr) {
  auto m = parse(text, "tma.ptx");
  const uint32_t rows = 100, columns = 72, tiles = 12;
  std::vector<float> in(rows * columns);
  for (size_t k = 0; k < in.size(); ++k)
    in[k] = float(k) * 0.25f;
  Device d;
  Map from = dense(Type::F32, {columns, rows}, {32, 32}, Swizzle::B128), to = from;
  from.address = d.put(in, "in");
  to.address = d.make(in.size() * 4, "out");
  Params p;
  for (const Map &map : {from, to}) {
    auto packed = *sim::encodeTensorMap(map);
    p.bytes.insert(p.bytes.end(), packed.begin(), packed.end());
  }
  p.add(int((columns + 31) / 32)).add(int(tiles)).add(3.0f);
  sim::LaunchConfig c{
      .entry = "scaleTiles", .grid = {2, 1, 1}, .block = {160, 1, 1}, .dynamicShared = 5 * 4096};
  c.params = p.bytes;
  c.mode = mode;
  c.seed = 4;
  c.maxInstructionsPerWarp = 100000;
  auto r = d.run(*m, c);
  auto out = d.get<float>(to.address, in.size());
  bool right = r.findings.empty();
  for (size_t k = 0; k < in.size(); ++k)
    right &= out[k] == in[k] * 3.0f;
  if (why)
    *why = texts(r.findings);
  return right;
}

} // namespace

TEST_CASE("a persistent kernel of TMA loads, a ring of barriers and TMA stores; without any one of its "
          "synchronisations") {
  std::string text = readFile(std::string(ATTUNE_SIM_KERNELS) + "/tma.ptx"), why;
  for (sim::Mode mode : kModes)
    CHECK_MESSAGE(scalesTiles(text, mode, &why), why);
  int mutants = 0;
  for (const char *op : {"mbarrier.init", "bar.sync", "@!done bra", "mbarrier.arrive", "fence.proxy.async",
                         "cp.async.bulk.wait_group", "cp.async.bulk.commit_group", "cp.async.bulk.tensor"})
    for (size_t at = text.find(op); at != std::string::npos; at = text.find(op, at + 1)) {
      std::string mutant = text;
      size_t end = mutant.find(';', at);
      mutant.replace(at, end + 1 - at, std::string(end + 1 - at, ' '));
      bool caught = false;
      for (sim::Mode mode : kModes)
        caught = caught || !scalesTiles(mutant, mode);
      CHECK_MESSAGE(caught, op << ": without line "
                               << std::count(text.begin(), text.begin() + ptrdiff_t(at), '\n') + 1);
      ++mutants;
    }
  CHECK(mutants >= 17);
  // The wrong number of bytes, of arrivals, and the wrong parity.
  auto change = [&](const std::string &from, const std::string &to) {
    size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    std::string mutant = text;
    mutant.replace(at, from.size(), to);
    bool caught = false;
    for (sim::Mode mode : kModes)
      caught = caught || !scalesTiles(mutant, mode);
    CHECK_MESSAGE(caught, from << " -> " << to);
  };
  change("bulk.wait_group.read 1", "bulk.wait_group.read 2");
  change("try_wait.parity.shared::cta.b64 done, [%r82], %r83",
         "try_wait.parity.shared::cta.b64 done, [%r82], 0");
  change("try_wait.parity.shared::cta.b64 done, [%r44], %r45",
         "try_wait.parity.shared::cta.b64 done, [%r44], 0");
  change("[%r89], %r85", "[%r89], 4080");
  change("[%r89], %r85", "[%r89], 4112");
  change("[%r19], %r28", "[%r19], 127");
  change("[%r19], %r28", "[%r19], 129");
  change("[%r17], %r26", "[%r17], 2");
}
