//===- Bulk.cpp - bulk copies: what TMA does ------------------------------===//
//
// cp.async.bulk and cp.reduce.async.bulk, of plain bytes and of tensors. All is checked at the issue; the
// data moves when the operation lands (AsyncProxy.h). Data that was never written stays so at its
// destination.
//
//===----------------------------------------------------------------------===//
#include "simulator/Box.h"
#include "simulator/Cluster.h"
#include "simulator/clock/Record.h"

#include <bit>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

//===----------------------------------------------------------------------===//
// Bytes and their init bits
//===----------------------------------------------------------------------===//

static bool allInit(const uint8_t *init, uint64_t from, uint64_t bytes) {
  uint64_t end = from + bytes;
  for (; from < end && (from & 7); ++from)
    if (!(init[from >> 3] >> (from & 7) & 1))
      return false;
  for (; from + 8 <= end; from += 8)
    if (init[from >> 3] != 0xFF)
      return false;
  for (; from < end; ++from)
    if (!(init[from >> 3] >> (from & 7) & 1))
      return false;
  return true;
}

/// Blocks on other host threads may set neighbouring bits of global memory.
static void markInit(uint8_t *init, uint64_t from, uint64_t bytes) {
  uint64_t end = from + bytes;
  while (from < end) {
    uint64_t next = std::min(end, (from | 7) + 1);
    if (next - from == 8 && end - from >= 8) {
      uint64_t whole = (end - from) / 8;
      std::memset(init + from / 8, 0xFF, whole);
      from += whole * 8;
      continue;
    }
    uint8_t mask = uint8_t(((1u << (next - from)) - 1) << (from & 7));
    __atomic_fetch_or(&init[from >> 3], mask, __ATOMIC_RELAXED);
    from = next;
  }
}

static void setBit(uint8_t *init, uint64_t at, bool value) {
  uint8_t mask = uint8_t(1u << (at & 7));
  init[at >> 3] = uint8_t(value ? init[at >> 3] | mask : init[at >> 3] & ~mask);
}

/// Copies `bytes` init bits, at any offsets.
static void copyInit(uint8_t *to, uint64_t at, const uint8_t *from, uint64_t source, uint64_t bytes) {
  if (!((at | source | bytes) & 7)) {
    std::memcpy(to + at / 8, from + source / 8, bytes / 8);
    return;
  }
  for (uint64_t b = 0; b < bytes; ++b)
    setBit(to, at + b, from[(source + b) >> 3] >> ((source + b) & 7) & 1);
}

//===----------------------------------------------------------------------===//
// One lane's operation
//===----------------------------------------------------------------------===//

namespace {

class BulkExecution {
public:
  BulkExecution(Warp &w, const Inst &i, uint32_t lane)
      : w(w), i(i), b(w.program->bulks[size_t(i.imm)]), lane(lane), launch(*w.worker->launch),
        memory(*launch.memory) {}

  void run() {
    if (b.rank && !readMap())
      return;
    switch (b.kind) {
    case BulkKind::Load:
      return load();
    case BulkKind::SharedCopy:
      return sharedCopy();
    case BulkKind::Store:
      return store();
    case BulkKind::Prefetch:
      if (!b.rank && plainSize())
        aligned(value(b.global), 16);
      return;
    }
  }

private:
  uint64_t value(const BulkValue &v) const {
    uint32_t offset = w.program->lists[v.list];
    uint64_t bits = v.wide ? reinterpret_cast<const uint64_t *>(w.regs + offset)[lane]
                           : reinterpret_cast<const uint32_t *>(w.regs + offset)[lane];
    bits += uint64_t(v.add);
    return v.wide ? bits : uint32_t(bits);
  }

  void bad(std::string text) {
    if (!reportedBefore(w, i, FindingKind::BadOperand))
      report(w, i, FindingKind::BadOperand, lane, 0, std::move(text));
  }
  bool aligned(uint64_t address, uint32_t bytes) {
    if (address % bytes == 0)
      return true;
    reportMisaligned(w, i, lane, address, bytes);
    return false;
  }

  /// The tensor map and the coordinates, or a finding.
  bool readMap() {
    uint64_t address = value(b.global);
    const std::byte *bytes = nullptr;
    if (address - kParamWindow < kWindowBytes) {
      uint64_t offset = address - kParamWindow;
      if (offset + 128 <= launch.config->params.size())
        bytes = launch.config->params.data() + offset;
    } else if (int at = memory.find(address); at >= 0) {
      const Allocation &a = memory.allocations[size_t(at)];
      if (address - a.base + 128 <= a.size)
        bytes = a.data + (address - a.base);
    } else if (address - kSharedWindow < kWindowBytes) {
      bad("expected a tensor map in global, constant or parameter memory, got an address of shared memory");
      return false;
    }
    if (!bytes) {
      reportGlobalOutOfBounds(w, i, lane, address, 128, false);
      return false;
    }
    if (!aligned(address, 64))
      return false;
    Result<TensorMapDescription> map = decodeTensorMap(bytes);
    if (!map) {
      bad(fmt::format("the tensor map at 0x{:x}: {}", address, map.error().message));
      return false;
    }
    if (std::string broken = brokenRule(*map); !broken.empty()) {
      bad(fmt::format("the tensor map at 0x{:x}: {}", address, broken));
      return false;
    }
    if (map->rank != b.rank) {
      bad(fmt::format("expected a tensor map of rank {}, got one of rank {}", b.rank, map->rank));
      return false;
    }
    if (uint64_t bytes = Box::bytesOf(*map); bytes > w.cta->sharedBytes && b.kind != BulkKind::Prefetch) {
      bad(fmt::format(
          "expected a box that fits into the block's {} bytes of shared memory, got one of {} bytes",
          w.cta->sharedBytes, bytes));
      return false;
    }
    if (b.kind == BulkKind::Prefetch)
      return true;
    std::array<int32_t, 5> at{};
    for (uint32_t k = 0; k < b.rank; ++k)
      at[k] = int32_t(uint32_t(value(b.coords[k])));
    box.emplace(*map, at);
    return true;
  }

  /// Size of a plain copy.
  bool plainSize() {
    size = uint32_t(value(b.size));
    if (size % 16 == 0)
      return true;
    bad(fmt::format("expected a size that is a multiple of 16 bytes, got {}", size));
    return false;
  }

  SharedPlace place(const BulkValue &v, uint32_t bytes, uint32_t alignment, bool write) {
    uint64_t address = value(v);
    if (address >= kSharedWindow && address - kSharedWindow < kWindowBytes)
      address -= kSharedWindow;
    if (!aligned(address, alignment))
      return {};
    SharedPlace p = placeOf(*w.cta, address);
    if (!p.cta || uint64_t(p.offset) + bytes > p.cta->sharedBytes) {
      reportSharedOutOfBounds(w, i, lane, address, bytes, write);
      return {};
    }
    return p;
  }

  /// The allocation that holds these bytes of global memory, or a finding.
  Allocation *global(uint64_t address, uint64_t bytes, bool write) {
    auto holds = [&](int at) {
      if (at < 0)
        return false;
      const Allocation &a = memory.allocations[size_t(at)];
      return !a.freed && address >= a.base && address - a.base < a.size &&
             bytes <= a.size - (address - a.base) && !(write && a.readOnly);
    };
    int32_t &hint = w.worker->allocationHint[i.target];
    if (!holds(hint)) {
      int at = memory.find(address);
      if (!holds(at)) {
        reportGlobalOutOfBounds(w, i, lane, address, uint32_t(bytes), write);
        return nullptr;
      }
      hint = at;
    }
    return &memory.allocations[size_t(hint)];
  }

  /// Checks and marks the global memory of the operation; false: some of it is out of bounds.
  bool touchGlobal(bool write) {
    bool ok = true;
    auto range = [&](uint64_t address, uint64_t bytes) {
      Allocation *a = ok && bytes ? global(address, bytes, write) : nullptr;
      ok &= a || !bytes;
      if (a && w.worker->record)
        w.worker->record->range(address, bytes);
      if (!a || !launch.checks)
        return;
      uint64_t at[32];
      at[lane] = address;
      if (!write && !w.bulkStores.empty())
        checkBulkStores(w, i, at, 1u << lane, bytes, write);
      checkGlobalProxy(w, i, lane, address, bytes, write);
      raceGlobalRange(w, i, lane, *a, address, bytes, write);
    };
    if (box)
      box->forRows(
          [&](uint32_t, uint64_t address, uint32_t from, uint32_t to) { range(address + from, to - from); });
    else
      range(value(b.global), size);
    return ok;
  }

  //===--------------------------------------------------------------------===//
  // Global to shared memory
  //===--------------------------------------------------------------------===//

  void load() {
    if (!b.rank && !plainSize())
      return;
    uint32_t bytes = box ? box->bytes() : size, span = box ? box->sharedBytes() : size;
    SharedPlace to = place(b.shared, span, box ? 128 : 16, true), barrier = place(b.barrier, 8, 8, true);
    if (!to.cta || !barrier.cta || (!box && !aligned(value(b.global), 16)))
      return;
    bool ok = touchGlobal(false);
    if (!b.blocks.present) {
      if (to.cta != barrier.cta)
        return bad("expected the mbarrier in the block to which the copy goes, got one of another block");
      return loadInto(*to.cta, to.offset, barrier.offset, bytes, span, ok);
    }
    for (uint32_t blocks = uint32_t(value(b.blocks)) & 0xFFFF; blocks; blocks &= blocks - 1) {
      uint32_t rank = uint32_t(std::countr_zero(blocks));
      Cta *target = clusterCta(*w.cta, rank);
      if (!target)
        return bad(fmt::format("expected a mask of the cluster's blocks, got one with rank {}", rank));
      loadInto(*target, to.offset, barrier.offset, bytes, span, ok);
    }
  }

  void loadInto(Cta &target, uint32_t offset, uint32_t barrier, uint32_t bytes, uint32_t span, bool ok) {
    if ((&target != w.cta && !isThere(w, i, lane, {&target, offset}, span, true)) ||
        !checkAsyncBarrier(w, i, lane, target, barrier))
      return;
    AsyncProxy &proxy = *target.async;
    uint32_t op = proxy.start(w, i, AsyncKind::Load, lane, w.index);
    proxy.writes(w, op, offset, span);
    w.worker->counters.asyncBytes += bytes;
    const GlobalMemoryImpl *m = &memory;
    Cta *cta = &target;
    if (box)
      proxy.issue(op, [=, box = *box] {
        if (ok)
          moveBox(box, *m, *cta, offset);
        completeTx(*cta, barrier, bytes, op);
      });
    else
      proxy.issue(op, [=, from = value(b.global)] {
        if (ok && bytes) {
          const Allocation &a = m->allocations[size_t(m->find(from))];
          std::memcpy(cta->shared + offset, a.data + (from - a.base), bytes);
          copyInit(cta->sharedInit, offset, a.init, from - a.base, bytes);
        }
        completeTx(*cta, barrier, bytes, op);
      });
  }

  static void moveBox(const Box &box, const GlobalMemoryImpl &memory, Cta &cta, uint32_t offset) {
    alignas(16) std::byte row[2048];
    uint8_t init[256 + 1];
    const Allocation *a = nullptr;
    bool plain = box.map.swizzle == TensorMapSwizzle::None;
    box.forRows([&](uint32_t at, uint64_t address, uint32_t from, uint32_t to) {
      const std::byte *source = row;
      const uint8_t *bits = init;
      uint64_t bit = 0;
      if (from < to && !(a && address + from - a->base < a->size))
        a = &memory.allocations[size_t(memory.find(address + from))];
      if (from == 0 && to == box.rowBytes) { // as it lies there
        source = a->data + (address - a->base);
        bits = a->init;
        bit = address - a->base;
      } else {
        fillOutside(box, row);
        std::memset(init, 0xFF, sizeof(init));
        if (from < to) {
          std::memcpy(row + from, a->data + (address + from - a->base), to - from);
          copyInit(init, from, a->init, address + from - a->base, to - from);
        }
      }
      if (plain) {
        std::memcpy(cta.shared + offset + at, source, box.rowBytes);
        copyInit(cta.sharedInit, offset + at, bits, bit, box.rowBytes);
        return;
      }
      for (uint32_t c = 0; c < box.rowBytes; c += 16) {
        uint32_t place = swizzled(box.map.swizzle, kSharedBase + offset + at + c) - kSharedBase;
        std::memcpy(cta.shared + place, source + c, 16);
        if (bit % 8)
          copyInit(cta.sharedInit, place, bits, bit + c, 16);
        else
          std::memcpy(cta.sharedInit + place / 8, bits + (bit + c) / 8, 2);
      }
    });
  }

  static void fillOutside(const Box &box, std::byte *row) {
    if (box.map.fill == TensorMapFill::Zero) {
      std::memset(row, 0, box.rowBytes);
      return;
    }
    uint64_t nan = box.elementSize == 2 ? 0x7FFF : box.elementSize == 4 ? 0x7FFFFFFF : 0x7FFFFFFFFFFFFFFF;
    for (uint32_t c = 0; c < box.rowBytes; c += box.elementSize)
      std::memcpy(row + c, &nan, box.elementSize);
  }

  //===--------------------------------------------------------------------===//
  // Shared memory to that of a block of the cluster
  //===--------------------------------------------------------------------===//

  void sharedCopy() {
    if (!plainSize())
      return;
    SharedPlace to = place(b.shared, size, 16, true), from = place(b.source, size, 16, false),
                barrier = place(b.barrier, 8, 8, true);
    if (!to.cta || !from.cta || !barrier.cta)
      return;
    if (from.cta != w.cta)
      return bad("expected a source in the block's own shared memory, got another block's");
    if (to.cta != barrier.cta)
      return bad("expected the mbarrier in the block to which the copy goes, got one of another block");
    if ((to.cta != w.cta && !isThere(w, i, lane, to, size, true)) ||
        !checkAsyncBarrier(w, i, lane, *to.cta, barrier.offset))
      return;
    Cta *own = w.cta;
    uint32_t source = own->async->start(w, i, AsyncKind::Source, lane, w.index);
    own->async->reads(w, source, from.offset, size);
    uint32_t op = to.cta->async->start(w, i, AsyncKind::Load, lane, w.index);
    to.cta->async->writes(w, op, to.offset, size);
    w.worker->counters.asyncBytes += size;
    to.cta->async->issue(op, [=, bytes = size, how = b.op, type = b.type] {
      if (how == ReduceOp::None) {
        std::memcpy(to.cta->shared + to.offset, own->shared + from.offset, bytes);
        copyInit(to.cta->sharedInit, to.offset, own->sharedInit, from.offset, bytes);
      } else {
        reduceInto(to.cta->shared + to.offset, own->shared + from.offset, bytes, how, type);
        for (uint32_t b = 0, n = sizeOf(type); b < bytes; b += n)
          if (!allInit(own->sharedInit, from.offset + b, n))
            for (uint32_t k = 0; k < n; ++k)
              setBit(to.cta->sharedInit, to.offset + b + k, false);
      }
      own->async->sourceRead(source);
      completeTx(*to.cta, barrier.offset, bytes, op);
    });
  }

  //===--------------------------------------------------------------------===//
  // Shared to global memory
  //===--------------------------------------------------------------------===//

  void checkShared(uint32_t offset, uint32_t bytes) {
    if (!launch.checks || !bytes || allInit(w.cta->sharedInit, offset, bytes))
      return;
    for (uint32_t b = offset; b < offset + bytes; ++b)
      if (!(w.cta->sharedInit[b >> 3] >> (b & 7) & 1))
        return reportUninitialised(w, i, lane, {w.cta, b & ~15u}, 16);
  }

  void store() {
    if (!b.rank && !plainSize())
      return;
    uint32_t bytes = box ? box->bytes() : size, span = box ? box->sharedBytes() : size;
    SharedPlace from = place(b.shared, span, box ? 128 : 16, false);
    if (!from.cta || (!box && !aligned(value(b.global), 16)))
      return;
    if (from.cta != w.cta)
      return bad("expected a source in the block's own shared memory, got another block's");
    ReduceType type = b.type;
    if (b.rank && b.op != ReduceOp::None && !reduceType(type))
      return;
    bool ok = touchGlobal(true);
    Cta *cta = w.cta;
    uint32_t offset = from.offset;
    if (box)
      box->forRows([&](uint32_t at, uint64_t, uint32_t first, uint32_t end) {
        for (uint32_t c = first / 16 * 16; c < end; c += 16) {
          uint32_t begin = std::max(c, first), stop = std::min(c + 16, end);
          uint32_t place = swizzled(box->map.swizzle, kSharedBase + offset + at + c) - kSharedBase;
          checkShared(place + (begin - c), stop - begin);
        }
      });
    else if (!b.byteMask.present)
      checkShared(offset, size);
    AsyncProxy &proxy = *cta->async;
    uint32_t op = proxy.start(w, i, AsyncKind::Store, lane, w.index);
    proxy.reads(w, op, offset, span);
    w.worker->counters.asyncBytes += bytes;
    BulkStore group;
    group.inst = &i;
    group.op = op;
    group.lane = uint8_t(lane);
    if (launch.checks && ok)
      group.forRanges = [box = box, to = box ? 0 : value(b.global), bytes](const BulkStore::Range &range) {
        if (box)
          box->forRows([&](uint32_t, uint64_t address, uint32_t first, uint32_t end) {
            range(address + first, end - first);
          });
        else
          range(to, bytes);
      };
    w.bulkStores.push_back(std::move(group));
    GlobalMemoryImpl *m = &memory;
    if (!ok) {
      proxy.issue(op, [] {});
      return;
    }
    if (box)
      proxy.issue(op, [=, box = *box, how = b.op] { storeBox(box, *m, *cta, offset, how, type); });
    else
      proxy.issue(op, [=, to = value(b.global), how = b.op, masked = b.byteMask.present,
                       mask = b.byteMask.present ? uint32_t(value(b.byteMask)) : 0] {
        if (!bytes)
          return;
        Allocation &a = m->allocations[size_t(m->find(to))];
        std::byte *target = a.data + (to - a.base);
        if (how != ReduceOp::None)
          return reduceInto(target, cta->shared + offset, bytes, how, type);
        for (uint32_t c = 0; c < bytes; c += masked ? 1 : bytes) {
          if (masked && !(mask >> (c & 15) & 1))
            continue;
          uint32_t n = masked ? 1 : bytes;
          std::memcpy(target + c, cta->shared + offset + c, n);
          written(a, to - a.base + c, *cta, offset + c, n);
        }
      });
  }

  /// Global bytes are written where those of shared memory were.
  static void written(Allocation &a, uint64_t at, const Cta &cta, uint32_t from, uint32_t bytes) {
    if (allInit(cta.sharedInit, from, bytes))
      return markInit(a.init, at, bytes);
    for (uint32_t b = 0; b < bytes; ++b)
      if (cta.sharedInit[(from + b) >> 3] >> ((from + b) & 7) & 1)
        markInit(a.init, at + b, 1);
  }

  static void storeBox(const Box &box, GlobalMemoryImpl &memory, const Cta &cta, uint32_t offset,
                       ReduceOp how, ReduceType type) {
    Allocation *a = nullptr;
    bool plain = box.map.swizzle == TensorMapSwizzle::None;
    box.forRows([&](uint32_t at, uint64_t address, uint32_t from, uint32_t to) {
      if (from == to)
        return;
      if (!(a && address + from - a->base < a->size))
        a = &memory.allocations[size_t(memory.find(address + from))];
      for (uint32_t c = from; c < to;) {
        uint32_t end = plain ? to : std::min(to, (c / 16 + 1) * 16);
        uint32_t place = swizzled(box.map.swizzle, kSharedBase + offset + at + c) - kSharedBase;
        std::byte *target = a->data + (address + c - a->base);
        if (how == ReduceOp::None) {
          std::memcpy(target, cta.shared + place, end - c);
          written(*a, address + c - a->base, cta, place, end - c);
        } else {
          reduceInto(target, cta.shared + place, end - c, how, type);
        }
        c = end;
      }
    });
  }

  /// The type of a reduction into the tensor; false: its elements allow no such operation.
  bool reduceType(ReduceType &type) {
    bool logic = b.op == ReduceOp::And || b.op == ReduceOp::Or || b.op == ReduceOp::Xor;
    bool counts = b.op == ReduceOp::Inc || b.op == ReduceOp::Dec,
         ordered = b.op == ReduceOp::Min || b.op == ReduceOp::Max;
    bool ok = false;
    switch (box->map.type) {
    case TensorMapType::U32:
      type = ReduceType::U32;
      ok = true;
      break;
    case TensorMapType::S32:
      type = ReduceType::S32;
      ok = !counts;
      break;
    case TensorMapType::U64:
      type = ReduceType::U64;
      ok = !counts;
      break;
    case TensorMapType::S64:
      type = ReduceType::S64;
      ok = logic || ordered;
      break;
    case TensorMapType::F32:
    case TensorMapType::F32Ftz:
      type = ReduceType::F32;
      ok = b.op == ReduceOp::Add;
      break;
    case TensorMapType::F64:
      type = ReduceType::F64;
      ok = b.op == ReduceOp::Add;
      break;
    case TensorMapType::F16:
      type = ReduceType::F16;
      ok = b.op == ReduceOp::Add || ordered;
      break;
    case TensorMapType::BF16:
      type = ReduceType::BF16;
      ok = b.op == ReduceOp::Add || ordered;
      break;
    default:
      break;
    }
    if (!ok)
      bad(fmt::format("expected a tensor whose elements allow the reduction, got elements of {}",
                      name(box->map.type)));
    return ok;
  }

  Warp &w;
  const Inst &i;
  const Bulk &b;
  uint32_t lane, size = 0;
  Launch &launch;
  GlobalMemoryImpl &memory;
  std::optional<Box> box;
};

} // namespace

void execBulk(Warp &w, const Inst &i) {
  for (uint32_t m = w.mask; m; m &= m - 1)
    BulkExecution(w, i, uint32_t(std::countr_zero(m))).run();
}

} // namespace attune::sim
