//===- AsyncStore.cpp - st.async and red.async ----------------------------===//
//
// Values that are on their way to shared memory of the cluster, and whose coming counts as bytes on an
// mbarrier beside them. What the lanes of one instruction send to one barrier is one operation.
//
//===----------------------------------------------------------------------===//
#include "simulator/Cluster.h"
#include "simulator/Decode.h"

#include <bit>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

namespace {

/// Inst::aux: addresses are generic; then the reduction and its type.
constexpr uint16_t kGeneric = 1;
constexpr int kOpShift = 4, kTypeShift = 8;

struct Parcel {
  uint32_t offset;
  std::array<std::byte, 16> data;
};

uint64_t addressOf(const Warp &w, const Inst &i, uint32_t base, int64_t offset, uint32_t lane) {
  if (i.aux & kGeneric)
    return reinterpret_cast<const uint64_t *>(w.regs + base)[lane] + uint64_t(offset) - kSharedWindow;
  return i.addr64 ? reinterpret_cast<const uint64_t *>(w.regs + base)[lane] + uint64_t(offset)
                  : uint32_t(reinterpret_cast<const uint32_t *>(w.regs + base)[lane] + uint32_t(offset));
}

void execAsyncStore(Warp &w, const Inst &i) {
  uint32_t bytes = uint32_t(i.width) * i.count;
  const uint32_t *list = &w.program->lists[i.list];
  struct Group {
    SharedPlace barrier;
    uint32_t lane;
    std::vector<Parcel> parcels;
  };
  std::vector<Group> groups;
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    uint64_t to = addressOf(w, i, i.a, i.imm, l), at = addressOf(w, i, i.b, int32_t(i.target), l);
    if ((to & (bytes - 1)) || (at & 7)) {
      reportMisaligned(w, i, l, at & 7 ? at : to, at & 7 ? 8 : bytes);
      continue;
    }
    SharedPlace place = placeOf(*w.cta, to, bytes), barrier = placeOf(*w.cta, at, 8);
    if (!place.cta || !barrier.cta) {
      reportSharedOutOfBounds(w, i, l, place.cta ? at : to, place.cta ? 8 : bytes, true);
      continue;
    }
    if (place.cta != barrier.cta) {
      if (!reportedBefore(w, i, FindingKind::BadOperand))
        report(w, i, FindingKind::BadOperand, l, at,
               fmt::format("expected the mbarrier in the block to which the value goes, got {} for {}",
                           describePlace(w, barrier), describePlace(w, place)));
      continue;
    }
    Parcel parcel{place.offset, {}};
    for (uint32_t n = 0; n < i.count; ++n)
      std::memcpy(parcel.data.data() + n * i.width, w.regs + list[n] + size_t(l) * (i.width == 8 ? 8 : 4),
                  i.width);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group &g) {
      return g.barrier.cta == barrier.cta && g.barrier.offset == barrier.offset;
    });
    if (group == groups.end())
      group = groups.insert(group, Group{barrier, l, {}});
    group->parcels.push_back(parcel);
  }
  ReduceOp op = ReduceOp(i.aux >> kOpShift & 15);
  ReduceType type = ReduceType(i.aux >> kTypeShift & 15);
  for (Group &g : groups) {
    Cta *target = g.barrier.cta;
    if (target != w.cta && !isThere(w, i, g.lane, {target, g.parcels[0].offset}, bytes, true))
      continue;
    if (!checkAsyncBarrier(w, i, g.lane, *target, g.barrier.offset))
      continue;
    AsyncProxy &proxy = *target->async;
    uint32_t number = proxy.start(w, i, AsyncKind::Load, g.lane, w.index);
    proxy.generic(number);
    if (op != ReduceOp::None)
      proxy.reduces(number);
    for (const Parcel &p : g.parcels)
      proxy.writes(w, number, p.offset, bytes);
    w.worker->counters.asyncBytes += bytes * g.parcels.size();
    proxy.issue(number, [=, parcels = std::move(g.parcels), at = g.barrier.offset] {
      for (const Parcel &p : parcels) {
        std::byte *memory = target->shared + p.offset;
        if (op == ReduceOp::None)
          std::memcpy(memory, p.data.data(), bytes);
        else
          reduceInto(memory, p.data.data(), bytes, op, type);
        for (uint32_t b = p.offset; b < p.offset + bytes; ++b)
          if (op == ReduceOp::None)
            target->sharedInit[b >> 3] |= uint8_t(1u << (b & 7));
      }
      completeTx(*target, at, bytes * uint32_t(parcels.size()), number);
    });
  }
}

} // namespace

/// st.async{.weak}{.shared::cluster}.mbarrier::complete_tx::bytes{.v2, .v4}.TYPE [a], b, [mbar];
/// red.async.relaxed.cluster{.shared::cluster}.mbarrier::complete_tx::bytes.OP.TYPE [a], b, [mbar].
void Decoder::asyncStore() {
  std::vector<std::string_view> mods = current->mods;
  const std::vector<Operand> &ops = current->operands;
  bool reduces = current->root == "red";
  take(mods, "async");
  bool shared = take(mods, "shared::cluster"), counted = take(mods, "mbarrier::complete_tx::bytes");
  bool ordered = reduces ? take(mods, "relaxed") && take(mods, "cluster") : (take(mods, "weak"), true);
  unsigned count = reduces ? 1 : take(mods, "v2") ? 2 : take(mods, "v4") ? 4 : 1;
  ReduceOp op = ReduceOp::None;
  static constexpr std::string_view names[] = {"add", "min", "max", "inc", "dec", "and", "or", "xor"};
  for (size_t k = 0; reduces && k < std::size(names); ++k)
    if (take(mods, names[k]))
      op = ReduceOp(k + 1);
  Type type = mods.size() == 1 ? parseType(mods[0]) : Type::None;
  unsigned width = typeBytes(type);
  bool isFloat = type == Type::F32 || type == Type::F64;
  if (!counted || !ordered || (width != 4 && width != 8) || width * count > 16 ||
      (reduces && (op == ReduceOp::None || isFloat || (width == 8 && op != ReduceOp::Add)))) {
    unsupported();
    return;
  }
  if (!operandCount(3))
    return;
  Space space = shared ? Space::Cluster : Space::Generic;
  emit(execAsyncStore, Class::AsyncCopy);
  uint32_t at = last();
  ReduceType reduceType = type == Type::S32   ? ReduceType::S32
                          : type == Type::S64 ? ReduceType::S64
                          : width == 8        ? ReduceType::U64
                                              : ReduceType::U32;
  program.code[at].aux =
      uint16_t((shared ? 0 : kGeneric) | int(op) << kOpShift | int(reduceType) << kTypeShift);
  program.code[at].width = uint8_t(width);
  program.code[at].count = uint8_t(count);
  program.ordering = program.asyncProxy = true;
  if (!address(ops[0], space))
    return;
  const Operand &data = ops[1], &where = ops[2];
  if (count > 1 && (data.kind != OperandKind::Vector || data.elements.size() != count)) {
    error(data, fmt::format("expected a vector of {} registers", count));
    return;
  }
  uint32_t list = reserveList(count);
  program.code[at].list = list;
  for (unsigned n = 0; n < count; ++n)
    if (!source(count > 1 ? data.elements[n] : data, Field::List, width == 8 ? 'q' : 'w', isFloat, list + n))
      return;
  if (where.kind != OperandKind::Address || where.elements.empty()) {
    error(where,
          fmt::format("expected the address of an mbarrier in brackets as operand of '{}'", current->opcode));
    return;
  }
  const Operand &base = where.elements[0];
  program.code[at].target = base.kind == OperandKind::Variable ? 0 : uint32_t(where.value);
  Operand variable = base;
  variable.value = where.value;
  source(base.kind == OperandKind::Variable ? variable : base, Field::B, program.code[at].addr64 ? 'q' : 'w');
}

} // namespace attune::sim
