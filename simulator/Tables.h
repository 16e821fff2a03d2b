//===- Tables.h - a device's own `.approx` functions, dumped --------*- C++ -*-===//
//
// PTX documents only error bounds of ex2, rcp, lg2, tanh and their like, so the simulator gives the correctly
// rounded value: a stand-in. `tests/gpu/accept.sh --part probes` asks a GPU for its own values and writes
// them to one file a device. Files under simulator/tables are embedded into the executable; the
// environment variable ATTUNE_DEVICE_TABLES names another file to use in their place (`none`: no tables).
//
// The file, all numbers little-endian:
//
//   8 bytes "ATTUNETB", u32 version (2), u32 CRC-32 of what follows the next number, u64 how many bytes that
//   is u32 compute capability (10 * major + minor), text GPU, text driver, text maker (each: u32 length,
//   bytes) u32 functions; of each: text opcode ("ex2.approx.ftz.f32"), u32 bits of its argument (32 or 16),
//   u32 pieces,
//     and the pieces by their first argument
//   the data that the pieces point to: offsets count from the byte after the last piece; several may share
//   some
//
// A piece covers 2^log2 adjacent arguments (bit patterns), 40 bytes:
//   u32 first, u8 kind, u8 log2, u8 block, u8 width, then by kind
//   0 constant:  u32 value, 28 bytes of 0
//   1 copy:      u32 of, s64 scale, s64 offset, u32 step, u32 add, u32 0: argument first + i has the value of
//   piece
//                `of` (its number in the function; itself no copy) at j mod N, plus (j div N) * step + add,
//                where j = (scale * i + offset) >> block and N is that piece's size; all of them round down
//   2 quadratic: u32 0, u64 data offset, u32 packed bytes, u32 raw bytes, u32 exceptions, 8 bytes of 0
//   3 fixed:     as a copy, but numbers with 23 fractional bits are added: the value of `of`, an f32, rounded
//   down
//                to one, and (j div N) * step + add as a signed 32-bit one; the sum is rounded toward zero to
//                f32
//
// Raw bytes of a quadratic piece, packed by zlib: for its 2^(log2 - block) blocks all y (u32), then all c0,
// all c1, all c2 (s64); 2^log2 residuals of `width` bits (0, 2, 4, 8, 16 or 32), lowest bits first; the
// exceptions' places (u32, ascending) and their values (u32). The value of element i of a block is
// y + ((c0 + c1 * i + c2 * i * i) >> 32) + residual, in wrapping integers; the least residual that fits in
// `width` bits (unless that is 32) says that the value is among the exceptions.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_TABLES_H
#define ATTUNE_SIMULATOR_TABLES_H

#include "compiler/support/Result.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attune::sim {

class HandlerTable;
class TableFunction;

/// The dumped functions of one device. Immutable; looked up from many threads at once.
class DeviceTables {
public:
  /// Takes a file's bytes. The error says what is wrong with them, with `name` before it.
  static Result<std::shared_ptr<const DeviceTables>> parse(std::string bytes, const std::string &name);
  ~DeviceTables();

  /// Unpacks every piece: finds what the checksum cannot, a writer's mistake.
  Status checkAll() const;
  /// The device's value of `opcode` at an argument; nothing where the dump does not cover it.
  std::optional<uint32_t> value(std::string_view opcode, uint32_t argument) const;
  const TableFunction *find(std::string_view opcode) const;
  /// Of the whole dump: "ex2.approx.ftz.f32 (4294967296 arguments)", one a function.
  std::vector<std::string> coverage() const;
  std::vector<std::string> opcodes() const;

  std::string name, gpu, driver, maker;
  int computeCapability = 0;

private:
  DeviceTables();
  std::string bytes;
  std::vector<std::unique_ptr<TableFunction>> functions;
};

/// The bytes of tables that are part of the program: whoever has some says so before it first parses a
/// module.
struct EmbeddedTables {
  std::string_view name;
  std::span<const unsigned char> bytes;
};
void offerDeviceTables(std::span<const EmbeddedTables> tables);
/// Those of simulator/tables, in the library attune_device_tables.
std::span<const EmbeddedTables> embeddedDeviceTables();

/// Reads the tables that are offered or that ATTUNE_DEVICE_TABLES names, once; the error is that of a file
/// that cannot be used.
const Status &loadDeviceTables();

/// `table` with those opcodes replaced that a loaded dump has.
HandlerTable withDeviceTables(const HandlerTable &table);

/// What a launch's notes say about the approximate functions of a module for `target` ("sm_90").
std::string approximationNote(std::string_view target);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_TABLES_H
