//===- Reduce.cpp - the element operations of cp.reduce.async.bulk --------===//
#include "simulator/Bulk.h"
#include "simulator/Half.h"

#include <cstring>
#include <limits>

namespace attune::sim {

uint32_t sizeOf(ReduceType type) {
  switch (type) {
  case ReduceType::U32:
  case ReduceType::S32:
  case ReduceType::F32:
    return 4;
  case ReduceType::U64:
  case ReduceType::S64:
  case ReduceType::F64:
    return 8;
  case ReduceType::F16:
  case ReduceType::BF16:
    return 2;
  }
  return 1;
}

/// The lesser or greater of two; a number rather than NaN, and -0 less than 0.
template <class F> static F ordered(F a, F b, bool most) {
  if (a != a || b != b)
    return a != a ? b : a;
  if (a == 0 && b == 0)
    return std::signbit(a) == most ? b : a;
  return (b < a) == most ? a : b;
}

template <class T> static T integer(T a, T b, ReduceOp op) {
  using U = std::make_unsigned_t<T>;
  switch (op) {
  case ReduceOp::Add:
    return T(U(a) + U(b));
  case ReduceOp::Min:
    return b < a ? b : a;
  case ReduceOp::Max:
    return b > a ? b : a;
  case ReduceOp::Inc:
    return a >= b ? T(0) : T(a + 1);
  case ReduceOp::Dec:
    return a == 0 || a > b ? b : T(a - 1);
  case ReduceOp::And:
    return a & b;
  case ReduceOp::Or:
    return a | b;
  case ReduceOp::Xor:
    return a ^ b;
  case ReduceOp::None:
    break;
  }
  return b;
}

/// NaN as the device gives it.
template <class F, class T> static T sum(T a, T b, T nan) {
  F r = std::bit_cast<F>(a) + std::bit_cast<F>(b);
  return r != r ? nan : std::bit_cast<T>(r);
}

template <class Up, class Down> static uint16_t half(uint16_t a, uint16_t b, ReduceOp op, Up up, Down down) {
  float x = up(a), y = up(b);
  if (op == ReduceOp::Add)
    return uint16_t(down(x + y));
  return x != x && y != y ? uint16_t(0x7FFF) : uint16_t(down(ordered(x, y, op == ReduceOp::Max)));
}

static uint32_t combine(uint32_t a, uint32_t b, ReduceOp op, ReduceType type) {
  return type == ReduceType::F32   ? sum<float>(a, b, 0x7FFFFFFFu)
         : type == ReduceType::S32 ? uint32_t(integer(int32_t(a), int32_t(b), op))
                                   : integer(a, b, op);
}
static uint64_t combine(uint64_t a, uint64_t b, ReduceOp op, ReduceType type) {
  return type == ReduceType::F64   ? sum<double>(a, b, uint64_t(0x7FF8000000000000))
         : type == ReduceType::S64 ? uint64_t(integer(int64_t(a), int64_t(b), op))
                                   : integer(a, b, op);
}
static uint16_t combine(uint16_t a, uint16_t b, ReduceOp op, ReduceType type) {
  return type == ReduceType::F16 ? half(a, b, op, halfUp, halfDown) : half(a, b, op, bfUp, bfDown);
}

template <class T>
static void each(std::byte *to, const std::byte *from, uint64_t bytes, ReduceOp op, ReduceType type) {
  for (uint64_t at = 0; at < bytes; at += sizeof(T)) {
    T value;
    std::memcpy(&value, from + at, sizeof(T));
    T *place = reinterpret_cast<T *>(to + at);
    T old = __atomic_load_n(place, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(place, &old, combine(old, value, op, type), true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
  }
}

void reduceInto(std::byte *to, const std::byte *from, uint64_t bytes, ReduceOp op, ReduceType type) {
  switch (sizeOf(type)) {
  case 2:
    return each<uint16_t>(to, from, bytes, op, type);
  case 4:
    return each<uint32_t>(to, from, bytes, op, type);
  default:
    return each<uint64_t>(to, from, bytes, op, type);
  }
}

} // namespace attune::sim
