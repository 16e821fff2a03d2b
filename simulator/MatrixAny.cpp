//===- MatrixAny.cpp - wmma, and the shapes of mma.sync outside of inner loops -===//
//
// One multiplication for every shape and type: fragments are read into matrices, multiplied by the rule of
// their type, and written back. Fragments of mma.sync (PTX ISA, "Matrix fragments for mma"), lane = 4 g + t,
// p elements a register: A register r holds row g + 8 (r & 1), columns t p ... + 4 p (r / 2); B register r
// holds rows t p ... + 4 p r of column g; accumulators rows g and g + 8, columns 2 t, 2 t + 1. With 8 rows, A
// has register 0 only. PTX leaves the fragments of wmma to the device, so that a program can only load,
// combine and store them; here lane l holds the elements l n ... (l + 1) n - 1 of the row-major matrix, and
// where a fragment has room for more it holds them twice.
//
// wmma.load and wmma.store become an ordinary load or store for each element, so that all checks hold.
//
//===----------------------------------------------------------------------===//
#include "simulator/Decode.h"
#include "simulator/DotRule.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fmt/format.h>

namespace attune::sim {

namespace {

enum class Element : uint8_t { S4, U4, B1, S8, U8, E4M3, E5M2, F16, BF16, TF32, F32, S32, F64, None };
struct ElementInfo {
  std::string_view name;
  uint8_t bits;
};
constexpr ElementInfo kElements[] = {{"s4", 4},   {"u4", 4},   {"b1", 1},   {"s8", 8},    {"u8", 8},
                                     {"e4m3", 8}, {"e5m2", 8}, {"f16", 16}, {"bf16", 16}, {"tf32", 32},
                                     {"f32", 32}, {"s32", 32}, {"f64", 64}};
Element elementOf(std::string_view name) {
  for (size_t n = 0; n < std::size(kElements); ++n)
    if (kElements[n].name == name)
      return Element(n);
  return Element::None;
}
unsigned bitsOf(Element e) { return kElements[size_t(e)].bits; }
bool isInteger(Element e) { return e <= Element::U8; }

/// One multiplication; Inst::imm holds it.
struct Product {
  uint8_t m, n;
  uint16_t k;
  uint8_t a : 4, b : 4, c : 4, d : 4;
  bool wmma : 1, saturate : 1, conjunction : 1; ///< b1: and instead of xor
  uint8_t step : 4;                             ///< log2 of the products summed at a time
};
static_assert(sizeof(Product) == 8);

/// The registers of a fragment, and where its elements belong.
struct MatrixFragment {
  unsigned rows, columns, bits, registers;
  bool wmma;
  enum Role { A, B, Accumulator } role;

  unsigned perRegister() const { return bits >= 32 ? 1 : 32 / bits; }
  unsigned slots() const { return registers * perRegister(); }
  /// Row-major index of a lane's element.
  unsigned index(unsigned lane, unsigned slot) const {
    if (wmma) {
      unsigned own = rows * columns / 32;
      return lane * own + slot % own;
    }
    unsigned g = lane / 4, t = lane % 4, p = perRegister(), r = slot / p, i = slot % p;
    if (role == A)
      return (g + 8 * (r & 1)) * columns + t * p + i + 4 * p * (r / 2);
    if (role == B)
      return (t * p + i + 4 * p * r) * columns + g;
    return (g + 8 * (slot / 2)) * columns + 2 * t + slot % 2;
  }
};

uint64_t readElement(Warp &w, const uint32_t *list, const MatrixFragment &f, unsigned lane, unsigned slot) {
  if (f.bits == 64)
    return reinterpret_cast<const uint64_t *>(w.regs + list[slot])[lane];
  uint32_t v = reinterpret_cast<const uint32_t *>(w.regs + list[slot / f.perRegister()])[lane];
  return f.bits == 32 ? v : v >> (slot % f.perRegister() * f.bits) & ((1u << f.bits) - 1);
}

std::vector<uint64_t> readMatrix(Warp &w, const uint32_t *list, const MatrixFragment &f) {
  std::vector<uint64_t> matrix(f.rows * f.columns);
  for (unsigned l = 0; l < 32; ++l)
    for (unsigned s = 0; s < f.slots(); ++s)
      matrix[f.index(l, s)] = readElement(w, list, f, l, s);
  return matrix;
}

int64_t integerOf(Element e, uint64_t v) {
  switch (e) {
  case Element::S4:
    return int64_t(v << 60) >> 60;
  case Element::S8:
    return int8_t(v);
  default:
    return int64_t(v);
  }
}
DotTerm termOf(Element e, uint64_t v) {
  switch (e) {
  case Element::E4M3:
    return smallFloat(uint32_t(v), 4, 3, false);
  case Element::E5M2:
    return smallFloat(uint32_t(v), 5, 2, true);
  case Element::F16:
    return smallFloat(uint32_t(v), 5, 10, true);
  case Element::BF16:
    return smallFloat(uint32_t(v), 8, 7, true);
  default: // tf32: the low bits of an f32 are cut off
    return smallFloat(uint32_t(v) >> 13, 8, 10, true);
  }
}

/// Lane by lane so that lanes outside the mask keep their registers.
void writeMatrix(Warp &w, const uint32_t *list, const MatrixFragment &f,
                 const std::vector<uint64_t> &matrix) {
  for (unsigned l = 0; l < 32; ++l) {
    if (!(w.mask >> l & 1))
      continue;
    for (unsigned r = 0; r < f.registers; ++r) {
      if (f.bits == 64) {
        reinterpret_cast<uint64_t *>(w.regs + list[r])[l] = matrix[f.index(l, r)];
        continue;
      }
      uint32_t v = 0;
      for (unsigned i = 0; i < f.perRegister(); ++i)
        v |= uint32_t(matrix[f.index(l, r * f.perRegister() + i)]) << (i * (f.bits & 31));
      reinterpret_cast<uint32_t *>(w.regs + list[r])[l] = v;
    }
  }
}

/// How many registers of a fragment `mma.sync` or `wmma` has.
unsigned registersOf(const Product &p, MatrixFragment::Role role, Element e) {
  unsigned elements = role == MatrixFragment::A   ? p.m * p.k
                      : role == MatrixFragment::B ? p.k * p.n
                                                  : p.m * p.n;
  // wmma's f16 operands fill 8 registers in every shape.
  if (p.wmma && e == Element::F16 && role != MatrixFragment::Accumulator)
    return 8;
  unsigned bits = elements / 32 * bitsOf(e);
  return bitsOf(e) == 64 ? bits / 64 : std::max(1u, bits / 32);
}
MatrixFragment fragmentOf(const Product &p, MatrixFragment::Role role, Element e) {
  unsigned rows = role == MatrixFragment::B ? p.k : p.m, columns = role == MatrixFragment::A ? p.k : p.n;
  return {rows, columns, bitsOf(e), registersOf(p, role, e), p.wmma, role};
}

uint64_t element(const Product &p, const std::vector<uint64_t> &a, const std::vector<uint64_t> &b, uint64_t c,
                 unsigned m, unsigned n, unsigned fraction) {
  Element ta = Element(p.a), tb = Element(p.b);
  auto at = [&](unsigned k) { return a[m * p.k + k]; };
  auto bt = [&](unsigned k) { return b[k * p.n + n]; };
  if (ta == Element::F64) { // a chain of fused multiply-adds
    double sum = std::bit_cast<double>(c);
    for (unsigned k = 0; k < p.k; ++k)
      sum = std::fma(std::bit_cast<double>(at(k)), std::bit_cast<double>(bt(k)), sum);
    return sum != sum ? 0x7FF8000000000000ull : std::bit_cast<uint64_t>(sum);
  }
  if (isInteger(ta)) {
    int64_t sum = int32_t(c);
    for (unsigned k = 0; k < p.k; ++k)
      sum += ta != Element::B1 ? integerOf(ta, at(k)) * integerOf(tb, bt(k))
             : p.conjunction   ? int64_t(at(k) & bt(k))
                               : int64_t(at(k) ^ bt(k));
    return uint32_t(p.saturate ? std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX) : sum);
  }
  bool half = Element(p.d) == Element::F16;
  DotTerm sum = Element(p.c) == Element::F16 ? smallFloat(uint32_t(c), 5, 10, true)
                                             : accumulator(std::bit_cast<float>(uint32_t(c)));
  unsigned step = std::min<unsigned>(1u << p.step, p.k);
  uint32_t result = 0;
  for (unsigned from = 0; from < p.k; from += step) {
    double v =
        dotSum([&](int k) { return termOf(ta, at(from + unsigned(k))); },
               [&](int k) { return termOf(tb, bt(from + unsigned(k))); }, int(step), sum, int(fraction));
    if (half) {
      result = roundToHalf(v);
      sum = smallFloat(result, 5, 10, true);
    } else {
      result = std::bit_cast<uint32_t>(dotResult(v, fraction == 13 ? 13 : 23));
      sum = accumulator(std::bit_cast<float>(result));
    }
  }
  return result;
}

/// The list holds D, A, B, C; width: fraction bits of the sum.
void multiplyAny(Warp &w, const Inst &i) {
  if (!converge(w, i, w.live, true))
    return;
  Product p = std::bit_cast<Product>(i.imm);
  MatrixFragment fa = fragmentOf(p, MatrixFragment::A, Element(p.a)),
                 fb = fragmentOf(p, MatrixFragment::B, Element(p.b));
  MatrixFragment fc = fragmentOf(p, MatrixFragment::Accumulator, Element(p.c));
  MatrixFragment fd = fragmentOf(p, MatrixFragment::Accumulator, Element(p.d));
  const uint32_t *list = &w.program->lists[i.list];
  const uint32_t *la = list + fd.registers, *lb = la + fa.registers, *lc = lb + fb.registers;
  std::vector<uint64_t> a = readMatrix(w, la, fa), b = readMatrix(w, lb, fb), c = readMatrix(w, lc, fc);
  for (unsigned m = 0; m < p.m; ++m)
    for (unsigned n = 0; n < p.n; ++n)
      c[m * p.n + n] = element(p, a, b, c[m * p.n + n], m, n, i.width);
  writeMatrix(w, list, fd, c);
  w.worker->counters.multiplyAdds += uint64_t(p.m) * p.n * p.k;
}

template <class Mark>
void undefinedElements(const uint32_t *list, const MatrixFragment &f, const Mark &mark) {
  for (unsigned r = 0; r < f.registers; ++r)
    for (unsigned i = 0; i < f.perRegister(); ++i)
      for (unsigned l = 0; l < 32; ++l)
        mark(list[r], l, f.index(l, r * f.perRegister() + i));
}

/// The address of one element of a wmma.load or wmma.store. aux: log2 of the element's bytes; count: the
/// slot; the list: rows, columns, 1 if they are stored column by column.
void elementAddress(Warp &w, const Inst &i) {
  const uint32_t *list = &w.program->lists[i.list];
  const uint32_t *stride = reinterpret_cast<const uint32_t *>(w.regs + i.b);
  unsigned rows = list[0], columns = list[1], own = rows * columns / 32;
  for (unsigned l = 0; l < 32; ++l) {
    if (!(w.mask >> l & 1))
      continue;
    uint64_t base = i.addr64 ? reinterpret_cast<const uint64_t *>(w.regs + i.a)[l]
                             : reinterpret_cast<const uint32_t *>(w.regs + i.a)[l];
    unsigned index = l * own + i.count, r = index / columns, c = index % columns;
    uint64_t at = list[2] ? uint64_t(c) * stride[l] + r : uint64_t(r) * stride[l] + c;
    reinterpret_cast<uint64_t *>(w.regs + i.d)[l] = base + uint64_t(i.imm) + (at << i.aux);
  }
}
void together(Warp &w, const Inst &i) { converge(w, i, w.live, true); }

bool parseShape(std::string_view text, Product &p) {
  unsigned value[3] = {0, 0, 0};
  size_t at = 0;
  for (int part = 0; part < 3; ++part) {
    if (at >= text.size() || text[at] != "mnk"[part])
      return false;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9' && value[part] < 1000; ++at)
      value[part] = value[part] * 10 + unsigned(text[at] - '0');
  }
  p.m = uint8_t(value[0]);
  p.n = uint8_t(value[1]);
  p.k = uint16_t(value[2]);
  return at == text.size() && value[0] <= 32 && value[1] <= 32 && value[2] <= 256;
}

bool wmmaShape(const Product &p, Element e) {
  auto is = [&](unsigned m, unsigned n, unsigned k) { return p.m == m && p.n == n && p.k == k; };
  if (e == Element::TF32)
    return is(16, 16, 8);
  if (e == Element::F64)
    return is(8, 8, 4);
  return (e == Element::F16 || e == Element::BF16 || e == Element::S8 || e == Element::U8) &&
         (is(16, 16, 16) || is(8, 32, 16) || is(32, 8, 16));
}
bool mmaShape(const Product &p, Element e) {
  auto is = [&](unsigned m, unsigned k) { return p.m == m && p.n == 8 && p.k == k; };
  switch (e) {
  case Element::F16:
  case Element::BF16:
    return is(16, 8) || is(16, 16);
  case Element::TF32:
    return is(16, 4) || is(16, 8);
  case Element::F64:
    return is(8, 4) || is(16, 4) || is(16, 8) || is(16, 16);
  case Element::E4M3:
  case Element::E5M2:
    return is(16, 16) || is(16, 32);
  case Element::S8:
  case Element::U8:
    return is(8, 16) || is(16, 16) || is(16, 32);
  case Element::S4:
  case Element::U4:
    return is(8, 32) || is(16, 32) || is(16, 64);
  case Element::B1:
    return is(8, 128) || is(16, 128) || is(16, 256);
  default:
    return false;
  }
}

} // namespace

bool isProduct(const Inst &i) { return i.fn == multiplyAny; }

void undefinedProduct(Warp &w, const Inst &i, const std::function<uint32_t(uint32_t, bool)> &lanes,
                      const std::function<void(uint32_t, uint32_t)> &result) {
  Product p = std::bit_cast<Product>(i.imm);
  MatrixFragment fa = fragmentOf(p, MatrixFragment::A, Element(p.a)),
                 fb = fragmentOf(p, MatrixFragment::B, Element(p.b));
  MatrixFragment fc = fragmentOf(p, MatrixFragment::Accumulator, Element(p.c));
  MatrixFragment fd = fragmentOf(p, MatrixFragment::Accumulator, Element(p.d));
  const uint32_t *list = &w.program->lists[i.list];
  const uint32_t *la = list + fd.registers, *lb = la + fa.registers, *lc = lb + fb.registers;
  std::vector<bool> rows(p.m), columns(p.n), elements(p.m * p.n);
  auto marked = [&](const MatrixFragment &f, auto mark) {
    return [&f, mark, &lanes](uint32_t offset, unsigned l, unsigned index) {
      if (lanes(offset, f.bits == 64) >> l & 1)
        mark(index);
    };
  };
  undefinedElements(la, fa, marked(fa, [&](unsigned index) { rows[index / p.k] = true; }));
  undefinedElements(lb, fb, marked(fb, [&](unsigned index) { columns[index % p.n] = true; }));
  undefinedElements(lc, fc, marked(fc, [&](unsigned index) { elements[index] = true; }));
  std::vector<uint32_t> results(fd.registers);
  for (unsigned r = 0; r < fd.registers; ++r)
    for (unsigned k = 0; k < fd.perRegister(); ++k)
      for (unsigned l = 0; l < 32; ++l) {
        unsigned index = fd.index(l, r * fd.perRegister() + k);
        bool bad = rows[index / p.n] || columns[index % p.n] || elements[index];
        results[r] |= uint32_t(bad) << l;
      }
  for (unsigned r = 0; r < fd.registers; ++r)
    result(list[r], results[r]);
}

uint32_t roundToHalf(double v) {
  if (v != v)
    return 0x7FFF;
  uint32_t sign = std::signbit(v) ? 0x8000u : 0;
  double a = std::fabs(v);
  if (a >= 65520.0)
    return sign | 0x7C00u;
  int e = a < 0x1p-14 ? -14 : std::ilogb(a);
  uint32_t n = uint32_t(std::nearbyint(std::ldexp(a, 10 - e))); // a carry moves to the exponent by itself
  return sign + (uint32_t(e + 14) << 10) + n;
}

/// A fragment's registers into the list from `list` on.
bool Decoder::fragment(const Operand &o, unsigned registers, char width, bool written, uint32_t &list) {
  bool vector = o.kind == OperandKind::Vector && o.elements.size() == registers;
  bool single = registers == 1 && o.kind == OperandKind::Register;
  if (!vector && !single) {
    error(o, fmt::format("expected a vector of {} registers", registers));
    return false;
  }
  for (unsigned r = 0; r < registers; ++r, ++list) {
    const Operand &e = single ? o : o.elements[r];
    if (written ? !destination(e, Field::List, width, list) : !source(e, Field::List, width, false, list))
      return false;
  }
  return true;
}

void Decoder::emitProduct(int64_t product, uint8_t fraction) {
  Product p = std::bit_cast<Product>(product);
  if (!operandCount(4))
    return;
  const std::vector<Operand> &ops = current->operands;
  struct Part {
    MatrixFragment::Role role;
    Element e;
  } parts[4] = {{MatrixFragment::Accumulator, Element(p.d)},
                {MatrixFragment::A, Element(p.a)},
                {MatrixFragment::B, Element(p.b)},
                {MatrixFragment::Accumulator, Element(p.c)}};
  Inst &inst = emit(multiplyAny, Class::Matrix);
  inst.imm = product;
  inst.width = fraction;
  unsigned total = 0;
  for (const Part &part : parts)
    total += registersOf(p, part.role, part.e);
  uint32_t list = reserveList(total);
  program.code.back().list = list;
  for (int n = 0; n < 4; ++n)
    if (!fragment(ops[size_t(n)], registersOf(p, parts[n].role, parts[n].e),
                  bitsOf(parts[n].e) == 64 ? 'q' : 'w', n == 0, list))
      return;
}

/// How many products a device sums at a time, and the fraction bits it keeps of them. 8.x and 9.0 as in
/// isa/Matrix.inc; 7.0 and 7.5 sum four at a time, which nobody has measured for this project.
static void dotRule(int sm, Element e, Product &p, uint8_t &fraction) {
  bool bytes = e == Element::E4M3 || e == Element::E5M2;
  fraction = sm >= 90 ? 25 : bytes ? 13 : sm >= 80 ? 24 : 23;
  unsigned step = sm >= 90 ? 256 : bytes ? 16 : sm >= 80 ? (e == Element::TF32 ? 4 : 8) : 4;
  p.step = uint8_t(std::min(8, std::countr_zero(step)));
}

/// mma.sync in the shapes that have no handler of their own. False: unknown.
bool Decoder::otherMma() {
  std::vector<std::string_view> mods = current->mods;
  Product p{};
  p.saturate = take(mods, "satfinite");
  int sm = std::atoi(ast.target.c_str() + 3);
  if (mods.size() < 5 || !take(mods, "sync") || !take(mods, "aligned") || !parseShape(mods[0], p) ||
      mods[1] != "row" || mods[2] != "col")
    return false;
  mods.erase(mods.begin(), mods.begin() + 3);
  if (take(mods, "popc")) {
    p.conjunction = take(mods, "and");
    if (!p.conjunction && !take(mods, "xor"))
      return false;
  }
  if (mods.size() == 5 && mods[1] == "f64" && mods[4] == "rn") // f64.f64.f64.f64.rn
    mods.pop_back();
  else if (mods.size() == 5 && mods[0] == "rn")
    mods.erase(mods.begin());
  if (mods.size() != 4)
    return false;
  Element d = elementOf(mods[0]), a = elementOf(mods[1]), b = elementOf(mods[2]), c = elementOf(mods[3]);
  auto one = [&](Element x, Element y) { return (a == x || a == y) && (b == x || b == y); };
  bool ok = mmaShape(p, a);
  if (isInteger(a))
    ok &= d == Element::S32 && c == d &&
          (one(Element::S8, Element::U8) || one(Element::S4, Element::U4) || one(Element::B1, Element::B1));
  else if (a == Element::F64)
    ok &= b == a && c == a && d == a && !p.saturate;
  else if (a == Element::E4M3 || a == Element::E5M2)
    ok &= one(Element::E4M3, Element::E5M2) && c == d && (d == Element::F32 || d == Element::F16) && sm >= 89;
  else
    ok &= a == b && !p.saturate && (d == Element::F32 || (a == Element::F16 && d == Element::F16)) &&
          (c == Element::F32 || (a == Element::F16 && c == Element::F16)) &&
          (sm >= 80 || (a == Element::F16 && p.k == 8));
  if (!ok)
    return false;
  p.a = uint8_t(a);
  p.b = uint8_t(b);
  p.c = uint8_t(c);
  p.d = uint8_t(d);
  uint8_t fraction = 0;
  dotRule(sm, a, p, fraction);
  emitProduct(std::bit_cast<int64_t>(p), fraction);
  return true;
}

/// wmma.load.{a,b,c}, wmma.store.d, wmma.mma.
void Decoder::wmma() {
  std::vector<std::string_view> mods = current->mods;
  Product p{};
  p.wmma = true;
  std::string_view action = mods.empty() ? std::string_view() : mods[0];
  bool ok = take(mods, "sync");
  ok &= take(mods, "aligned");
  int sm = std::atoi(ast.target.c_str() + 3);
  if (!ok || mods.size() < 4) {
    unsupported();
    return;
  }
  mods.erase(mods.begin());
  auto layout = [&](bool &column) {
    column = !mods.empty() && mods[0] == "col";
    bool known = !mods.empty() && (column || mods[0] == "row");
    if (known)
      mods.erase(mods.begin());
    return known;
  };
  if (action == "mma") {
    p.saturate = take(mods, "satfinite");
    bool column;
    // The layouts say how the fragments were loaded; they are in order here whichever it was.
    ok = layout(column) && layout(column) && !mods.empty() && parseShape(mods[0], p);
    if (ok)
      mods.erase(mods.begin());
    if (mods.size() == 5 && mods.back() == "rn")
      mods.pop_back();
    if (mods.size() == 2)
      mods.insert(mods.begin() + 1, {"f16", "f16"});
    Element e[4] = {Element::None, Element::None, Element::None, Element::None};
    for (size_t n = 0; n < 4 && mods.size() == 4; ++n)
      e[n] = elementOf(mods[n]);
    ok = ok && e[1] == e[2] && wmmaShape(p, e[1]);
    bool accumulators = isInteger(e[1])        ? e[0] == Element::S32 && e[3] == Element::S32
                        : e[1] == Element::F64 ? e[0] == Element::F64 && e[3] == Element::F64
                        : e[1] == Element::F16 ? (e[0] == Element::F16 || e[0] == Element::F32) &&
                                                     (e[3] == Element::F16 || e[3] == Element::F32)
                                               : e[0] == Element::F32 && e[3] == Element::F32;
    if (!ok || !accumulators) {
      unsupported();
      return;
    }
    p.d = uint8_t(e[0]);
    p.a = uint8_t(e[1]);
    p.b = uint8_t(e[2]);
    p.c = uint8_t(e[3]);
    uint8_t fraction = 0;
    dotRule(sm, e[1], p, fraction);
    emitProduct(std::bit_cast<int64_t>(p), fraction);
    return;
  }
  std::string_view which = mods[0];
  mods.erase(mods.begin());
  bool store = action == "store", column, known;
  Space space = takeSpace(mods, known);
  ok = (store ? which == "d" : action == "load" && (which == "a" || which == "b" || which == "c")) &&
       layout(column) && mods.size() == 2 && parseShape(mods[0], p);
  Element e = ok ? elementOf(mods[1]) : Element::None;
  MatrixFragment::Role role = which == "a"   ? MatrixFragment::A
                              : which == "b" ? MatrixFragment::B
                                             : MatrixFragment::Accumulator;
  if (ok && role == MatrixFragment::Accumulator) {
    // The accumulators of all types come in the shapes of their operands.
    ok = e == Element::F16   ? wmmaShape(p, Element::F16)
         : e == Element::F32 ? wmmaShape(p, Element::F16) || wmmaShape(p, Element::TF32)
         : e == Element::S32 ? wmmaShape(p, Element::S8)
                             : e == Element::F64 && wmmaShape(p, e);
  } else if (ok) {
    ok = wmmaShape(p, e);
  }
  if (!ok || (space != Space::Generic && space != Space::Global && space != Space::Shared)) {
    unsupported();
    return;
  }
  if (!operandCount(2, 3))
    return;
  MatrixFragment f = fragmentOf(p, role, e);
  unsigned bytes = f.bits / 8, per = f.perRegister(), own = f.rows * f.columns / 32;
  const Operand &data = current->operands[store ? 1 : 0], &where = current->operands[store ? 0 : 1];
  bool vector = data.kind == OperandKind::Vector && data.elements.size() == f.registers;
  if (!vector && !(f.registers == 1 && data.kind == OperandKind::Register)) {
    error(data, fmt::format("expected a vector of {} registers", f.registers));
    return;
  }
  char width = f.bits == 64 ? 'q' : 'w';
  auto reg = [&](unsigned r) -> const Operand & { return vector ? data.elements[r] : data; };
  const char *names[] = {"generic", "global", "shared"};
  const char *spaceName = names[space == Space::Generic ? 0 : space == Space::Global ? 1 : 2];
  emit(together, Class::Matrix);
  uint32_t address = temporary(Type::B64);
  std::vector<uint32_t> parts(own);
  Type partType = f.bits == 64 ? Type::B64 : f.bits == 16 ? Type::B16 : Type::B32;
  for (unsigned s = 0; s < own; ++s)
    parts[s] = temporary(partType);
  if (store) {
    for (unsigned r = 0; r * per < own; ++r) {
      if (per == 1)
        emitNamed(f.bits == 64 ? "mov:64" : "mov:32");
      else
        emitNamed("unpack:2x16");
      uint32_t list = per > 1 ? reserveList(per) : 0;
      program.code.back().list = list;
      if (!source(reg(r), Field::A, width))
        return;
      for (unsigned i = 0; i < per; ++i)
        fix(Fixup::Register, per > 1 ? Field::List : Field::D, true, parts[r * per + i], list + i);
    }
  }
  unsigned least = column ? f.rows : f.columns; // the leading dimension if none is given
  for (unsigned s = 0; s < own; ++s) {
    Inst &a = emit(elementAddress, Class::None);
    a.count = uint8_t(s);
    a.aux = uint16_t(std::countr_zero(bytes));
    uint32_t at = last(), list = reserveList(3);
    program.code[at].list = list;
    program.lists[list] = f.rows;
    program.lists[list + 1] = f.columns;
    program.lists[list + 2] = column;
    if (!this->address(where, space))
      return;
    if (current->operands.size() == 3) {
      if (!source(current->operands[2], Field::B, 'w'))
        return;
    } else {
      fix(Fixup::Constant, Field::B, false, constant(least, false));
    }
    fix(Fixup::Register, Field::D, true, address);
    emitAccess(store, spaceName, bytes, space, address, parts[s]);
  }
  if (store)
    return;
  for (unsigned r = 0; r < f.registers; ++r) {
    unsigned first = r * per % own;
    if (per == 1) {
      emitNamed(f.bits == 64 ? "mov:64" : "mov:32");
      fix(Fixup::Register, Field::A, false, parts[first]);
    } else {
      emitNamed(per == 2 ? "pack:2x16" : "pack:4x8");
      uint32_t list = reserveList(per);
      program.code.back().list = list;
      for (unsigned i = 0; i < per; ++i)
        fix(Fixup::Register, Field::List, false, parts[first + i], list + i);
    }
    if (!destination(reg(r), Field::D, width))
      return;
  }
}

/// A load or store of one element through an address register that the decoder made.
void Decoder::emitAccess(bool store, std::string_view spaceName, unsigned bytes, Space space,
                         uint32_t address, uint32_t data) {
  emitNamed(fmt::format("{}:{}:{}:1", store ? "st" : "ld", spaceName, bytes));
  uint32_t at = last(), list = reserveList(1);
  Inst &i = program.code[at];
  i.count = 1;
  i.width = uint8_t(bytes);
  i.addr64 = true;
  i.target = at;
  i.list = list;
  i.aux = uint16_t(space);
  fix(Fixup::Register, Field::A, false, address);
  fix(Fixup::Register, Field::List, !store, data, list);
}

} // namespace attune::sim
