//===- Cubin.cpp - what machine code says of itself -----------------------===//
#include "runtime/jit/Cubin.h"

#include <cstring>
#include <elf.h>
#include <optional>
#include <vector>

#include <fmt/format.h>

namespace attune {
namespace {

/// Attributes of .nv.info sections, and how their values are stored, as readelf and cuobjdump show them.
enum Attribute : uint8_t { FrameSize = 0x11, RegisterCount = 0x2f, BarrierCount = 0x4c };
enum Format : uint8_t { None = 1, Byte = 2, Half = 3, Sized = 4 };

/// The memory of a kernel for the system, which is no static shared memory of its own.
constexpr uint64_t reservedShared = 1024;

struct Section {
  std::string_view name, bytes;
  uint64_t size = 0; ///< also of one that has no bytes in the file
};

/// Copies a T out of `bytes`; nothing if it does not lie inside.
template <typename T> std::optional<T> at(std::string_view bytes, uint64_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T))
    return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::optional<std::string_view> part(std::string_view bytes, uint64_t offset, uint64_t size) {
  if (offset > bytes.size() || bytes.size() - offset < size)
    return std::nullopt;
  return bytes.substr(offset, size);
}

class Cubin {
public:
  static std::optional<Cubin> parse(std::string_view bytes) {
    auto header = at<Elf64_Ehdr>(bytes, 0);
    if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != EM_CUDA)
      return std::nullopt;
    std::vector<Elf64_Shdr> headers;
    for (unsigned i = 0; i < header->e_shnum; ++i) {
      auto section = at<Elf64_Shdr>(bytes, header->e_shoff + uint64_t(i) * sizeof(Elf64_Shdr));
      if (!section)
        return std::nullopt;
      headers.push_back(*section);
    }
    if (header->e_shstrndx >= headers.size())
      return std::nullopt;
    const Elf64_Shdr &strings = headers[header->e_shstrndx];
    std::optional<std::string_view> names = part(bytes, strings.sh_offset, strings.sh_size);
    if (!names)
      return std::nullopt;
    Cubin cubin;
    for (const Elf64_Shdr &one : headers) {
      std::optional<std::string_view> content =
          one.sh_type == SHT_NOBITS ? std::string_view() : part(bytes, one.sh_offset, one.sh_size);
      if (!content || one.sh_name >= names->size())
        return std::nullopt;
      std::string_view name = names->substr(one.sh_name);
      cubin.sections.push_back({name.substr(0, name.find('\0')), *content, one.sh_size});
    }
    return cubin;
  }

  const Section *find(std::string_view prefix, std::string_view entry) const {
    for (const Section &section : sections)
      if (section.name.starts_with(prefix) && section.name.substr(prefix.size()) == entry)
        return &section;
    return nullptr;
  }

  /// The number of the entry's symbol, which the file-wide attributes name it by.
  std::optional<uint32_t> symbolOf(std::string_view entry) const {
    const Section *table = find(".symtab", ""), *names = find(".strtab", "");
    if (!table || !names)
      return std::nullopt;
    for (uint32_t i = 0; auto symbol = at<Elf64_Sym>(table->bytes, uint64_t(i) * sizeof(Elf64_Sym)); ++i) {
      if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_name >= names->bytes.size())
        continue;
      std::string_view name = names->bytes.substr(symbol->st_name);
      if (name.substr(0, name.find('\0')) == entry)
        return i;
    }
    return std::nullopt;
  }

  /// The value of an attribute of a section: the one for `symbol`, if its values name symbols.
  static std::optional<uint32_t> attribute(const Section *section, Attribute wanted,
                                           std::optional<uint32_t> symbol = {}) {
    uint64_t offset = 0;
    while (section && offset + 4 <= section->bytes.size()) {
      auto format = at<uint8_t>(section->bytes, offset), kind = at<uint8_t>(section->bytes, offset + 1);
      auto half = at<uint16_t>(section->bytes, offset + 2);
      offset += 4;
      if (*format != Sized) {
        if (*kind == wanted)
          return *format == Byte ? *half & 0xff : *half;
        continue;
      }
      auto first = at<uint32_t>(section->bytes, offset), second = at<uint32_t>(section->bytes, offset + 4);
      if (*kind == wanted && *half >= 8 && first && second && (!symbol || *first == *symbol))
        return *second;
      offset += *half;
    }
    return std::nullopt;
  }

private:
  std::vector<Section> sections;
};

/// Bytes that the code loads from (LDL) and stores to (STL) local memory. An instruction has 16 bytes: the
/// operation in bits 0..11, the width of an access in bits 73..75.
void countLocal(std::string_view code, AssemblerReport &report) {
  constexpr uint64_t loadLocal = 0x983, storeLocal = 0x387;
  constexpr int widths[] = {1, 1, 2, 2, 4, 8, 16, 16};
  for (uint64_t offset = 0; offset + 16 <= code.size(); offset += 16) {
    uint64_t low = *at<uint64_t>(code, offset), high = *at<uint64_t>(code, offset + 8);
    int bytes = widths[high >> 9 & 7];
    if ((low & 0xfff) == loadLocal)
      report.spillLoads += bytes;
    else if ((low & 0xfff) == storeLocal)
      report.spillStores += bytes;
  }
}

} // namespace

Result<AssemblerReport> reportOf(std::string_view bytes, const std::string &entry) {
  std::optional<Cubin> cubin = Cubin::parse(bytes);
  if (!cubin)
    return badInput(
        fmt::format("expected a cubin with kernel '{}', got {} bytes that are none", entry, bytes.size()));
  const Section *code = cubin->find(".text.", entry), *info = cubin->find(".nv.info.", entry),
                *global = cubin->find(".nv.info", "");
  std::optional<uint32_t> symbol = cubin->symbolOf(entry);
  std::optional<uint32_t> registers = symbol ? Cubin::attribute(global, RegisterCount, symbol) : std::nullopt;
  if (!code || !info || !registers)
    return badInput(fmt::format("expected a cubin with kernel '{}', got one without it", entry));
  AssemblerReport report;
  report.registers = int(*registers);
  report.stackBytes = int(Cubin::attribute(global, FrameSize, symbol).value_or(0));
  report.barriers = int(Cubin::attribute(info, BarrierCount).value_or(0));
  if (const Section *shared = cubin->find(".nv.shared.", entry))
    report.staticShared = int(shared->size);
  if (report.staticShared > 0 && cubin->find(".nv.shared.reserved.", "0"))
    report.staticShared -= int(std::min(reservedShared, uint64_t(report.staticShared)));
  if (report.stackBytes > 0)
    countLocal(code->bytes, report);
  return report;
}

} // namespace attune
