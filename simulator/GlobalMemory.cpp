//===- GlobalMemory.cpp - allocations of the simulated device -------------===//
#include "simulator/Exec.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <sys/mman.h>

namespace attune::sim {

/// Distance between the end of an allocation and the next one: more than any 32-bit offset.
constexpr uint64_t kGap = 0x2'0000'0000;

static void *reserve(size_t bytes) {
  void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}
static size_t dataBytes(uint64_t size) { return (size + 4095 + 64) / 4096 * 4096; }
static size_t initBytes(uint64_t size) { return (size / 8 + 4095 + 64) / 4096 * 4096; }

static void release(Allocation &a) {
  if (a.data)
    munmap(a.data, dataBytes(a.size));
  if (a.init)
    munmap(a.init, initBytes(a.size));
  a.data = nullptr;
  a.init = nullptr;
}

GlobalMemoryImpl::~GlobalMemoryImpl() {
  for (Allocation &a : allocations)
    sim::release(a);
}

Result<uint64_t> GlobalMemoryImpl::allocate(size_t bytes, std::string name) {
  Allocation a;
  if (bytes > (1ull << 44))
    return badInput(
        fmt::format("error: expected an allocation of at most 16 TB for '{}', got {} bytes", name, bytes));
  a.size = bytes;
  a.data = static_cast<std::byte *>(reserve(dataBytes(bytes)));
  a.init = static_cast<uint8_t *>(reserve(initBytes(bytes)));
  if (!a.data || !a.init) {
    int code = errno;
    sim::release(a);
    return missing(fmt::format("error: expected address space for '{}' ({} bytes) on the host, got: {}", name,
                               bytes, std::strerror(code)));
  }
  a.name = std::move(name);
  a.base = nextAddress;
  nextAddress = (nextAddress + bytes + kGap + 0xFFFFF) & ~uint64_t(0xFFFFF);
  allocations.push_back(std::move(a));
  return allocations.back().base;
}

void GlobalMemoryImpl::release(uint64_t address) {
  Allocation &a = allocations[size_t(find(address))];
  sim::release(a);
  a.freed = true;
}

Result<uint64_t> GlobalMemoryImpl::cooperativeWorkspace() {
  constexpr size_t bytes = 64;
  if (!workspace) {
    Result<uint64_t> got = allocate(bytes, "workspace of the grid's barrier");
    if (!got)
      return got.error();
    workspace = *got;
  }
  Allocation &a = allocations[size_t(find(workspace))];
  std::memset(a.data, 0, bytes);
  std::memset(a.init, 0xFF, bytes / 8);
  return workspace;
}

int GlobalMemoryImpl::find(uint64_t address) const {
  auto it = std::upper_bound(allocations.begin(), allocations.end(), address,
                             [](uint64_t x, const Allocation &a) { return x < a.base; });
  if (it == allocations.begin())
    return -1;
  --it;
  if (it->freed || address - it->base >= it->size)
    return -1;
  return int(it - allocations.begin());
}

std::string GlobalMemoryImpl::describe(uint64_t address) const {
  const Allocation *best = nullptr;
  uint64_t distance = ~0ull;
  for (const Allocation &a : allocations) {
    uint64_t d = address < a.base            ? a.base - address
                 : address - a.base < a.size ? 0
                                             : address - a.base - a.size + 1;
    if (d < distance) {
      distance = d;
      best = &a;
    }
  }
  if (address < 65536)
    return "near the null pointer, where nothing is allocated";
  if (!best)
    return "where nothing is allocated";
  std::string range = fmt::format("'{}' (0x{:x}, {} bytes{}{})", best->name, best->base, best->size,
                                  best->freed ? ", freed" : "", best->readOnly ? ", read-only" : "");
  if (!distance)
    return fmt::format("{} bytes into {}", address - best->base, range);
  if (distance > kGap)
    return fmt::format("far from every allocation; the nearest is {}", range);
  if (address < best->base)
    return fmt::format("{} bytes before {}", distance, range);
  return fmt::format("{} bytes after the end of {}", distance - 1, range);
}

GlobalMemory::GlobalMemory() : state(std::make_unique<GlobalMemoryImpl>()) {}
GlobalMemory::~GlobalMemory() = default;

Result<uint64_t> GlobalMemory::allocate(size_t bytes, std::string name) {
  return state->allocate(bytes, std::move(name));
}

Status GlobalMemory::free(uint64_t address) {
  for (Allocation &a : state->allocations)
    if (a.base == address && !a.freed) {
      release(a);
      a.freed = true;
      return success();
    }
  return badInput(fmt::format("error: expected the address of a live allocation to free, got 0x{:x}, {}",
                              address, state->describe(address)));
}

static Result<Allocation *> range(GlobalMemoryImpl &m, uint64_t address, size_t bytes, const char *what) {
  int at = m.find(address);
  if (at >= 0) {
    Allocation &a = m.allocations[size_t(at)];
    if (bytes <= a.size - (address - a.base))
      return &a;
  }
  return badInput(fmt::format("error: expected {} of {} bytes inside one allocation, got 0x{:x}, {}", what,
                              bytes, address, m.describe(address)));
}

static void setBits(uint8_t *init, uint64_t from, uint64_t bytes, bool value) {
  uint64_t end = from + bytes;
  auto bit = [&](uint64_t b) {
    uint8_t m = uint8_t(1u << (b & 7));
    init[b >> 3] = uint8_t(value ? init[b >> 3] | m : init[b >> 3] & ~m);
  };
  while (from < end && (from & 7))
    bit(from++);
  if (from < end) {
    uint64_t whole = (end - from) / 8;
    std::memset(init + from / 8, value ? 0xFF : 0, whole);
    from += whole * 8;
  }
  while (from < end)
    bit(from++);
}

Status GlobalMemory::write(uint64_t address, const void *source, size_t bytes) {
  if (!bytes)
    return success();
  Result<Allocation *> a = range(*state, address, bytes, "a write");
  if (!a)
    return a.error();
  std::memcpy((*a)->data + (address - (*a)->base), source, bytes);
  setBits((*a)->init, address - (*a)->base, bytes, true);
  return success();
}

Status GlobalMemory::read(void *destination, uint64_t address, size_t bytes) const {
  if (!bytes)
    return success();
  Result<Allocation *> a = range(*state, address, bytes, "a read");
  if (!a)
    return a.error();
  std::memcpy(destination, (*a)->data + (address - (*a)->base), bytes);
  return success();
}

Status GlobalMemory::fill(uint64_t address, uint8_t value, size_t bytes) {
  if (!bytes)
    return success();
  Result<Allocation *> a = range(*state, address, bytes, "a fill");
  if (!a)
    return a.error();
  std::memset((*a)->data + (address - (*a)->base), value, bytes);
  setBits((*a)->init, address - (*a)->base, bytes, true);
  return success();
}

Status GlobalMemory::poison(uint64_t address, size_t bytes) {
  if (!bytes)
    return success();
  Result<Allocation *> a = range(*state, address, bytes, "a range");
  if (!a)
    return a.error();
  setBits((*a)->init, address - (*a)->base, bytes, false);
  return success();
}

Result<size_t> GlobalMemory::countUninitialised(uint64_t address, size_t bytes) const {
  if (!bytes)
    return size_t(0);
  Result<Allocation *> a = range(*state, address, bytes, "a range");
  if (!a)
    return a.error();
  size_t count = 0;
  uint64_t o = address - (*a)->base;
  for (uint64_t b = o; b < o + bytes; ++b)
    count += !((*a)->init[b >> 3] >> (b & 7) & 1);
  return count;
}

} // namespace attune::sim
