//===- Atomics.cpp - atom and red -----------------------------------------===//
//
// Lanes go in ascending order. Global atomics are atomic between host threads as well.
//
//===----------------------------------------------------------------------===//
#include "simulator/Cluster.h"
#include "simulator/Half.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace attune::sim {

enum AtomOp { Add, Min, Max, And, Or, Xor, Inc, Dec, Exch, Cas, AddF, AddHalf, AddBf, AddHalf2, AddBf2 };

template <class T, AtomOp Op> static T apply(T old, T b, T c) {
  using U = std::make_unsigned_t<T>;
  if constexpr (Op == Add)
    return T(U(old) + U(b));
  else if constexpr (Op == Min)
    return b < old ? b : old;
  else if constexpr (Op == Max)
    return b > old ? b : old;
  else if constexpr (Op == And)
    return T(old & b);
  else if constexpr (Op == Or)
    return T(old | b);
  else if constexpr (Op == Xor)
    return T(old ^ b);
  else if constexpr (Op == Inc)
    return old >= b ? T(0) : T(old + 1);
  else if constexpr (Op == Dec)
    return old == 0 || old > b ? b : T(old - 1);
  else if constexpr (Op == Exch)
    return b;
  else if constexpr (Op == Cas)
    return old == b ? c : old;
  else if constexpr (Op == AddF) {
    using F = std::conditional_t<sizeof(T) == 8, double, float>;
    F r = std::bit_cast<F>(old) + std::bit_cast<F>(b);
    if (r != r)
      return sizeof(T) == 8 ? T(0x7FF8000000000000ull) : T(0x7FFFFFFFu);
    return std::bit_cast<T>(r);
  } else if constexpr (Op == AddHalf)
    return T(halfDown(halfUp(old) + halfUp(b)));
  else if constexpr (Op == AddBf)
    return T(bfDown(bfUp(old) + bfUp(b)));
  else if constexpr (Op == AddHalf2)
    return T(halfDown(halfUp(uint32_t(old) & 0xFFFF) + halfUp(uint32_t(b) & 0xFFFF)) |
             halfDown(halfUp(uint32_t(old) >> 16) + halfUp(uint32_t(b) >> 16)) << 16);
  else
    return T(bfDown(bfUp(uint32_t(old) & 0xFFFF) + bfUp(uint32_t(b) & 0xFFFF)) |
             bfDown(bfUp(uint32_t(old) >> 16) + bfUp(uint32_t(b) >> 16)) << 16);
}

template <class T> static void writeLane(Warp &w, uint32_t offset, uint32_t lane, T value) {
  if constexpr (sizeof(T) == 8)
    reinterpret_cast<uint64_t *>(w.regs + offset)[lane] = uint64_t(value);
  else
    reinterpret_cast<uint32_t *>(w.regs + offset)[lane] = uint32_t(std::make_unsigned_t<T>(value));
}
template <class T> static T readLane(Warp &w, uint32_t offset, uint32_t lane) {
  if constexpr (sizeof(T) == 8)
    return T(reinterpret_cast<uint64_t *>(w.regs + offset)[lane]);
  else
    return T(reinterpret_cast<uint32_t *>(w.regs + offset)[lane]);
}

template <class T, AtomOp Op> static void atomic(Warp &w, const Inst &i) {
  constexpr uint32_t size = sizeof(T);
  Launch &launch = *w.worker->launch;
  T results[32] = {};
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(__builtin_ctz(m));
    uint64_t address = i.addr64 ? reinterpret_cast<uint64_t *>(w.regs + i.a)[l] + uint64_t(i.imm)
                                : uint32_t(reinterpret_cast<uint32_t *>(w.regs + i.a)[l] + uint32_t(i.imm));
    bool shared = i.aux == 1 || i.aux == 3;
    if (i.aux == 2 && address - kSharedWindow < kWindowBytes) {
      shared = true;
      address -= kSharedWindow;
    }
    T b = readLane<T>(w, i.b, l), c = Op == Cas ? readLane<T>(w, i.c, l) : T(0);
    if (address & (size - 1)) {
      reportMisaligned(w, i, l, address, size);
      continue;
    }
    if (shared) {
      SharedPlace place = placeOf(*w.cta, address, size);
      if (!place.cta || (i.aux == 1 && place.cta != w.cta)) {
        reportSharedOutOfBounds(w, i, l, address, size, true);
        continue;
      }
      if (launch.checks && place.cta == w.cta &&
          !w.program->ranges[i.statement].contains(address, address + size))
        reportOutsideVariable(w, i, l, address, size, true);
      Cta &cta = *place.cta;
      uint32_t o = place.offset;
      for (uint32_t k = 0; k < size; ++k)
        if (!(cta.sharedInit[(o + k) >> 3] >> ((o + k) & 7) & 1)) {
          if (launch.checks && Op != Exch)
            reportUninitialised(w, i, l, place, size);
          break;
        }
      for (uint32_t k = 0; k < size; ++k)
        cta.sharedInit[(o + k) >> 3] |= uint8_t(1u << ((o + k) & 7));
      if (&cta != w.cta) {
        touchRemote(w, i, l, place, size, true);
      } else if (launch.checks) {
        uint64_t offsets[32];
        offsets[l] = o;
        raceAccess(w, i, l, o, size, true);
        raceLanes(w, i, offsets, 1u << l, size, true);
      }
      T old;
      std::memcpy(&old, cta.shared + o, size);
      T fresh = apply<T, Op>(old, b, c);
      std::memcpy(cta.shared + o, &fresh, size);
      w.worker->changes += fresh != old;
      results[l] = old;
      w.worker->counters.sharedStoreBytes += size;
      continue;
    }
    int at = launch.memory->find(address);
    if (at < 0 || launch.memory->allocations[size_t(at)].readOnly ||
        address + size >
            launch.memory->allocations[size_t(at)].base + launch.memory->allocations[size_t(at)].size) {
      reportGlobalOutOfBounds(w, i, l, address, size, true);
      continue;
    }
    Allocation &a = launch.memory->allocations[size_t(at)];
    uint64_t o = address - a.base;
    if (launch.checks && Op != Exch)
      for (uint32_t k = 0; k < size; ++k)
        if (!(a.init[(o + k) >> 3] >> ((o + k) & 7) & 1)) {
          reportGlobalUninitialised(w, i, l, address, size);
          break;
        }
    if (launch.checks) {
      uint64_t addresses[32];
      addresses[l] = address;
      raceGlobal(w, i, a, addresses, 1u << l, size, true);
    }
    __atomic_fetch_or(&a.init[o >> 3], uint8_t(((1u << size) - 1) << (o & 7)), __ATOMIC_RELAXED);
    T *p = reinterpret_cast<T *>(a.data + o);
    T old = __atomic_load_n(p, __ATOMIC_RELAXED), fresh;
    do {
      fresh = apply<T, Op>(old, b, c);
    } while (!__atomic_compare_exchange_n(p, &old, fresh, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    w.worker->changes += fresh != old;
    results[l] = old;
    w.worker->counters.globalStoreBytes += size;
  }
  if (i.count)
    for (uint32_t m = w.mask; m; m &= m - 1)
      writeLane<T>(w, i.d, uint32_t(__builtin_ctz(m)), results[__builtin_ctz(m)]);
}

template <class T> static void addType(HandlerTable &t, const std::string &type) {
  Class c = Class::Memory;
  t.add("atom:add:" + type, atomic<T, Add>, "", c);
  t.add("atom:min:" + type, atomic<T, Min>, "", c);
  t.add("atom:max:" + type, atomic<T, Max>, "", c);
}
template <class T> static void addBits(HandlerTable &t, const std::string &type) {
  Class c = Class::Memory;
  t.add("atom:and:" + type, atomic<T, And>, "", c);
  t.add("atom:or:" + type, atomic<T, Or>, "", c);
  t.add("atom:xor:" + type, atomic<T, Xor>, "", c);
  t.add("atom:exch:" + type, atomic<T, Exch>, "", c);
  t.add("atom:cas:" + type, atomic<T, Cas>, "", c);
}

void addAtomics(HandlerTable &t) {
  addType<uint32_t>(t, "u32");
  addType<int32_t>(t, "s32");
  addType<uint64_t>(t, "u64");
  addType<int64_t>(t, "s64");
  addBits<uint32_t>(t, "b32");
  addBits<uint64_t>(t, "b64");
  Class c = Class::Memory;
  t.add("atom:cas:b16", atomic<uint16_t, Cas>, "", c);
  t.add("atom:inc:u32", atomic<uint32_t, Inc>, "", c);
  t.add("atom:dec:u32", atomic<uint32_t, Dec>, "", c);
  t.add("atom:add:f32", atomic<uint32_t, AddF>, "", c);
  t.add("atom:add:f64", atomic<uint64_t, AddF>, "", c);
  t.add("atom:add:f16", atomic<uint16_t, AddHalf>, "", c);
  t.add("atom:add:bf16", atomic<uint16_t, AddBf>, "", c);
  t.add("atom:add:f16x2", atomic<uint32_t, AddHalf2>, "", c);
  t.add("atom:add:bf16x2", atomic<uint32_t, AddBf2>, "", c);
}

} // namespace attune::sim
