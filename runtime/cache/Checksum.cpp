//===- Checksum.cpp - names and checks of stored bytes --------------------===//
#include "runtime/cache/Checksum.h"

#include <array>
#include <bit>
#include <cstring>

#include <fmt/format.h>

namespace attune {
namespace {

constexpr std::array<uint32_t, 64> roundConstants = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

void addBlock(std::array<uint32_t, 8> &state, const unsigned char *block) {
  std::array<uint32_t, 64> w;
  for (size_t i = 0; i < 16; ++i)
    w[i] = uint32_t(block[4 * i]) << 24 | uint32_t(block[4 * i + 1]) << 16 | uint32_t(block[4 * i + 2]) << 8 |
           block[4 * i + 3];
  for (size_t i = 16; i < 64; ++i) {
    uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (size_t i = 0; i < 64; ++i) {
    uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
    uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + roundConstants[i] + w[i];
    uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
    uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  std::array<uint32_t, 8> added = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < 8; ++i)
    state[i] += added[i];
}

constexpr uint64_t crcPolynomial = 0xC96C5795D7870F42; // ECMA-182, bits reversed

/// tables[k][b]: the CRC of byte b followed by k zero bytes; eight tables take eight bytes a step.
using CrcTables = std::array<std::array<uint64_t, 256>, 8>;

constexpr CrcTables makeCrcTables() {
  CrcTables tables{};
  for (uint64_t b = 0; b < 256; ++b) {
    uint64_t crc = b;
    for (int bit = 0; bit < 8; ++bit)
      crc = (crc >> 1) ^ ((crc & 1) ? crcPolynomial : 0);
    tables[0][b] = crc;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t b = 0; b < 256; ++b)
      tables[k][b] = (tables[k - 1][b] >> 8) ^ tables[0][tables[k - 1][b] & 0xff];
  return tables;
}

uint64_t addToCrc(uint64_t crc, const unsigned char *data, size_t count) {
  static constexpr CrcTables tables = makeCrcTables();
  for (; count >= 8; count -= 8, data += 8) {
    uint64_t word;
    std::memcpy(&word, data, 8);
    crc ^= word;
    uint64_t next = 0;
    for (size_t k = 0; k < 8; ++k)
      next ^= tables[7 - k][(crc >> (8 * k)) & 0xff];
    crc = next;
  }
  for (; count > 0; --count, ++data)
    crc = (crc >> 8) ^ tables[0][(crc ^ *data) & 0xff];
  return crc;
}

#ifdef __x86_64__
/// x^n modulo the polynomial; bit 63 stands for x^0.
constexpr uint64_t powerOfX(int n) {
  uint64_t power = uint64_t(1) << 63;
  for (; n > 0; --n)
    power = (power >> 1) ^ ((power & 1) ? crcPolynomial : 0);
  return power;
}

constexpr size_t foldedBytes = 16;

/// Takes all whole blocks of 16 bytes off `data`, by carry-less multiplication: with A the remainder of what
/// came before, as 128 bits, A x^128 has the same remainder as its halves times x^192 and x^128 reduced,
/// which again has 128 bits. One power less each, since the product of two reversed numbers comes out one bit
/// too low. Gives the CRC of those blocks; four times as fast as by tables.
__attribute__((target("pclmul,sse4.1"))) uint64_t foldCrc(uint64_t crc, const unsigned char *&data,
                                                          size_t &count) {
  using Block = long long __attribute__((vector_size(16)));
  auto load = [](const unsigned char *from) {
    Block block;
    std::memcpy(&block, from, sizeof block);
    return block;
  };
  constexpr Block powers = {(long long)powerOfX(191), (long long)powerOfX(127)};
  Block rest = load(data) ^ Block { (long long)crc, 0 };
  for (data += foldedBytes, count -= foldedBytes; count >= foldedBytes;
       data += foldedBytes, count -= foldedBytes)
    rest = __builtin_ia32_pclmulqdq128(rest, powers, 0x00) ^ __builtin_ia32_pclmulqdq128(rest, powers, 0x11) ^
           load(data);
  unsigned char last[foldedBytes];
  std::memcpy(last, &rest, sizeof last);
  return addToCrc(0, last, sizeof last);
}
#endif

} // namespace

std::string sha256(std::string_view bytes) {
  std::array<uint32_t, 8> state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  auto *data = reinterpret_cast<const unsigned char *>(bytes.data());
  size_t whole = bytes.size() / 64 * 64;
  for (size_t at = 0; at < whole; at += 64)
    addBlock(state, data + at);
  // The rest, a one bit, zeros, and the length in bits.
  unsigned char tail[128] = {};
  size_t rest = bytes.size() - whole;
  if (rest)
    std::memcpy(tail, data + whole, rest);
  tail[rest] = 0x80;
  size_t tailBytes = rest < 56 ? 64 : 128;
  uint64_t bits = uint64_t(bytes.size()) * 8;
  for (size_t i = 0; i < 8; ++i)
    tail[tailBytes - 1 - i] = static_cast<unsigned char>(bits >> (8 * i));
  for (size_t at = 0; at < tailBytes; at += 64)
    addBlock(state, tail + at);
  std::string hex;
  for (uint32_t word : state)
    hex += fmt::format("{:08x}", word);
  return hex;
}

uint64_t crc64(std::string_view bytes, uint64_t before) {
  auto *data = reinterpret_cast<const unsigned char *>(bytes.data());
  size_t count = bytes.size();
  uint64_t crc = ~before;
#ifdef __x86_64__
  static const bool canFold = __builtin_cpu_supports("pclmul") != 0;
  if (canFold && count >= 4 * foldedBytes)
    crc = foldCrc(crc, data, count);
#endif
  return ~addToCrc(crc, data, count);
}

} // namespace attune
