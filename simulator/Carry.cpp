//===- Carry.cpp - extended-precision integers: add.cc, addc, sub.cc, subc, mad.cc, madc -===//
//
// The carry flag is a predicate that the decoder adds to the function. aux: bit 0 writes it, bit 1 reads it
// (its number is in the list). After a subtraction it holds the borrow.
//
//===----------------------------------------------------------------------===//
#include "simulator/Exec.h"

#include <string>

namespace attune::sim {

enum CarryOp { AddCarry, SubCarry, MadLo, MadHi };

template <class T, CarryOp Op> static void carry(Warp &w, const Inst &i) {
  using Wide = std::conditional_t<sizeof(T) == 8, __int128, int64_t>;
  using UT = std::make_unsigned_t<T>;
  using UWide = std::conditional_t<sizeof(T) == 8, unsigned __int128, uint64_t>;
  constexpr int bits = 8 * sizeof(T);
  uint32_t in = i.aux & 2 ? w.preds[w.program->lists[i.list]] : 0, out = 0;
  const UT *a = reinterpret_cast<const UT *>(w.regs + i.a), *b = reinterpret_cast<const UT *>(w.regs + i.b);
  const UT *c = reinterpret_cast<const UT *>(w.regs + i.c);
  UT *d = reinterpret_cast<UT *>(w.regs + i.d);
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(__builtin_ctz(m)), flag = in >> l & 1;
    UWide r;
    if (Op == AddCarry) {
      r = UWide(a[l]) + b[l] + flag;
    } else if (Op == SubCarry) {
      r = UWide(a[l]) - b[l] - flag;
    } else {
      UT part = Op == MadLo ? UT(UWide(a[l]) * b[l]) : UT(UWide(Wide(T(a[l])) * Wide(T(b[l]))) >> bits);
      r = UWide(part) + c[l] + flag;
    }
    d[l] = UT(r);
    out |= uint32_t(r >> bits & 1) << l;
  }
  if (i.aux & 1)
    w.preds[i.d2] = (w.preds[i.d2] & ~w.mask) | out;
}

template <class T> static void addType(HandlerTable &t, const char *type) {
  const char *two = sizeof(T) == 8 ? "q:qq" : "w:ww", *three = sizeof(T) == 8 ? "q:qqq" : "w:www";
  std::string tail = std::string(":") + type;
  t.add("carry:add" + tail, carry<T, AddCarry>, two, Class::Integer);
  t.add("carry:sub" + tail, carry<T, SubCarry>, two, Class::Integer);
  t.add("carry:mad.lo" + tail, carry<T, MadLo>, three, Class::Integer);
  t.add("carry:mad.hi" + tail, carry<T, MadHi>, three, Class::Integer);
}

void addCarry(HandlerTable &t) {
  addType<uint32_t>(t, "u32");
  addType<int32_t>(t, "s32");
  addType<uint64_t>(t, "u64");
  addType<int64_t>(t, "s64");
}

} // namespace attune::sim
