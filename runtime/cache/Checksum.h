//===- Checksum.h - names and checks of stored bytes ------------*- C++ -*-===//
//
// SHA-256 names a cache entry by what determines it; CRC-64 finds damage in one, at more than a gigabyte a
// second, so that a hit stays below a millisecond.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_CACHE_CHECKSUM_H
#define ATTUNE_RUNTIME_CACHE_CHECKSUM_H

#include <cstdint>
#include <string>
#include <string_view>

namespace attune {

/// SHA-256 (FIPS 180-4) as 64 hexadecimal digits.
std::string sha256(std::string_view bytes);

/// CRC-64/XZ (ECMA-182, reflected). `before` goes on from the value of the bytes before.
uint64_t crc64(std::string_view bytes, uint64_t before = 0);

} // namespace attune

#endif // ATTUNE_RUNTIME_CACHE_CHECKSUM_H
