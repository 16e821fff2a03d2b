//===- Loops.cpp - the loops that an H100 was timed with, as PTX ----------===//
#include "Loops.h"

#include <fmt/format.h>
#include <vector>

namespace attune::clockloops {

namespace {

/// Text of a kernel that is put together a line at a time.
class Writer {
public:
  template <class... T> void operator()(fmt::format_string<T...> format, T &&...values) {
    body += fmt::format(format, std::forward<T>(values)...) + "\n";
  }
  std::string registerOf(std::string_view type) {
    std::string name = fmt::format("%{}{}", type, count++);
    declarations += fmt::format(".reg .{} {};\n", type, name);
    return name;
  }
  std::vector<std::string> registersOf(std::string_view type, unsigned n) {
    std::vector<std::string> all;
    for (unsigned k = 0; k < n; ++k)
      all.push_back(registerOf(type));
    return all;
  }
  std::string kernel(unsigned threads) const {
    return fmt::format(
        ".version 8.5\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u32 loops, .param .u64 "
        "memory)\n.maxntid {}, 1, 1\n.minnctapersm 1\n{{\n.extern .shared .align 1024 .b8 "
        "tile[];\n{}{}ret;\n}}\n",
        threads, declarations, body);
  }
  /// A loop over the parameter `loops`, begun and ended.
  void begin() {
    counter = registerOf("u32");
    limit = registerOf("u32");
    (*this)("ld.param.u32 {}, [loops];\nmov.u32 {}, 0;\nROUND:", limit, counter);
  }
  void end() {
    std::string p = registerOf("pred");
    (*this)("add.u32 {0}, {0}, 1;\nsetp.lt.u32 {1}, {0}, {2};\n@{1} bra ROUND;", counter, p, limit);
  }
  /// Puts registers where somebody may look.
  void store(const std::vector<std::string> &values, std::string_view type) {
    std::string to = registerOf("u64");
    (*this)("ld.param.u64 {}, [memory];", to);
    for (const std::string &v : values)
      (*this)("st.global.{} [{}], {};", type, to, v);
  }
  std::string counter, limit;

private:
  std::string declarations, body;
  unsigned count = 0;
};

std::string list(const std::vector<std::string> &registers) {
  return fmt::format("{{{}}}", fmt::join(registers, ", "));
}

/// x becomes 2 to the x by additions and multiplications.
void polynomial(Writer &w, const std::string &x) {
  std::vector<std::string> f = w.registersOf("f32", 4);
  std::vector<std::string> r = w.registersOf("b32", 3);
  w("add.rn.f32 {}, {}, 0f4B400000;", f[0], x);
  w("add.rn.f32 {}, {}, 0fCB400000;", f[1], f[0]);
  w("neg.f32 {0}, {0};\nadd.rn.f32 {1}, {2}, {0};", f[1], f[2], x);
  w("fma.rn.f32 {0}, {1}, 0f3D635924, 0f3E75FDEE;", f[3], f[2]);
  w("fma.rn.f32 {0}, {1}, {0}, 0f3F317218;", f[3], f[2]);
  w("fma.rn.f32 {0}, {1}, {0}, 0f3F800000;", f[3], f[2]);
  w("mov.b32 {}, {};\nmov.b32 {}, {};", r[0], f[0], r[1], f[3]);
  w("mad.lo.s32 {}, {}, 8388608, {};\nmov.b32 {}, {};", r[2], r[0], r[1], x, r[2]);
}

/// Fills the block's shared memory and makes it visible to wgmma; gives its address / 16 as a descriptor of
/// rows of 128 bytes, swizzled, 8 of them 1024 bytes apart.
std::string fill(Writer &w, uint32_t bytes, uint32_t threads) {
  std::string at = w.registerOf("u32"), end = w.registerOf("u32"), bits = w.registerOf("b32"),
              p = w.registerOf("pred"), base = w.registerOf("u32"), descriptor = w.registerOf("u64");
  w("mov.u32 {0}, %tid.x;\nmad.lo.u32 {1}, {0}, 2654435, 12345;\nand.b32 {1}, {1}, 0x007F007F;\nor.b32 {1}, "
    "{1}, "
    "0x3C003C00;\nshl.b32 {0}, {0}, 4;\nmov.u32 {2}, tile;\nadd.u32 {3}, {2}, {4};\nadd.u32 {0}, {0}, {2};",
    at, bits, base, end, bytes);
  w("FILL:\nst.shared.v4.b32 [{0}], {{{1}, {1}, {1}, {1}}};\nadd.u32 {0}, {0}, {2};\nsetp.lt.u32 {3}, {0}, "
    "{4};\n@{3} "
    "bra FILL;",
    at, bits, 16 * threads, p, end);
  w("fence.proxy.async.shared::cta;\nbar.sync 0;");
  w("shr.u32 {0}, {0}, 4;\nand.b32 {0}, {0}, 0x3FFF;\ncvt.u64.u32 {1}, {0};\nor.b64 {1}, {1}, "
    "0x4000004000000000;",
    base, descriptor);
  return descriptor;
}

std::string warpgroup(Writer &w) {
  std::string group = w.registerOf("b32");
  w("mov.u32 {0}, %tid.x;\nshr.u32 {0}, {0}, 7;\nshfl.sync.idx.b32 {0}, {0}, 0, 31, -1;", group);
  return group;
}

void product(Writer &w, unsigned n, const std::vector<std::string> &d, const std::string &a,
             const std::string &b, bool registers, bool transposed, std::string_view scale) {
  w("wgmma.mma_async.sync.aligned.m64n{}k16.f32.bf16.bf16 {}, {}, {}, {}, 1, 1{}, {};", n, list(d), a, b,
    scale, registers ? "" : ", 0", transposed ? 1 : 0);
}

} // namespace

Loop chains(std::string_view step, unsigned chains, unsigned warps) {
  Writer w;
  std::vector<std::string> r = w.registersOf("b32", chains);
  std::string b = w.registerOf("b32"), c = w.registerOf("b32"), from = w.registerOf("u64");
  w("ld.param.u64 {0}, [memory];\nld.global.b32 {1}, [{0}];\nld.global.b32 {2}, [{0} + 4];", from, b, c);
  for (unsigned k = 0; k < chains; ++k)
    w("add.u32 {}, {}, {};", r[k], b, k);
  w("bar.sync 0;");
  w.begin();
  for (unsigned k = 0; k < 128; ++k) {
    std::string p, h, text;
    for (size_t at = 0; at < step.size(); ++at) {
      bool operand = step[at] == '%' && at + 1 < step.size();
      char which = operand ? step[++at] : step[at];
      std::string &temporary = which == 'P' ? p : h;
      if (operand && (which == 'P' || which == 'H') && temporary.empty())
        temporary = w.registerOf(which == 'P' ? "pred" : "b16");
      text += !operand && which == '$' ? r[k % chains]
              : !operand               ? std::string(1, which)
              : which == 'B'           ? b
              : which == 'C'           ? c
                                       : temporary;
    }
    w("{}", text);
  }
  w.end();
  w.store(r, "b32");
  return {w.kernel(32 * warps), 32 * warps, 0, 128};
}

Loop mix(Mix mix, unsigned warps) {
  constexpr unsigned elements = 32;
  Writer w;
  std::string scale = w.registerOf("f32"), shift = w.registerOf("f32"), factor = w.registerOf("f32"),
              from = w.registerOf("u64"), left = w.registerOf("u32"), limit = w.registerOf("u32");
  w("ld.param.u64 {0}, [memory];\nld.global.f32 {1}, [{0}];\nld.global.f32 {2}, [{0} + 4];\nld.global.f32 "
    "{3}, [{0} + "
    "8];\nld.global.u32 {4}, [{0} + 12];",
    from, scale, shift, factor, limit);
  std::vector<std::string> s = w.registersOf("f32", elements), top = w.registersOf("f32", 4),
                           sum = w.registersOf("f32", 4);
  for (const auto *all : {&s, &top, &sum})
    for (const std::string &x : *all)
      w("mov.f32 {}, {};", x, shift);
  w("bar.sync 0;");
  w.begin();
  if (mix == Mix::Masked)
    w("sub.u32 {}, {}, {};", left, limit, w.counter);
  for (unsigned i = 0; i < elements; i += 2) {
    for (unsigned j = i; j < i + 2; ++j) {
      if (mix == Mix::Masked) {
        std::string p = w.registerOf("pred");
        w("setp.gt.s32 {0}, {1}, {2};\nselp.f32 {3}, {3}, 0fF149F2CA, {0};", p, left, j, s[j]);
      }
      w("max.f32 {0}, {0}, {1};", top[j & 3], s[j]);
      w("fma.rn.f32 {0}, {0}, {1}, {2};", s[j], scale, shift);
      if (mix == Mix::Polynomial && j % 4 == 0)
        polynomial(w, s[j]);
      else if (mix != Mix::NoExp)
        w("ex2.approx.ftz.f32 {0}, {0};", s[j]);
      if (mix == Mix::Rescale)
        w("mul.rn.f32 {0}, {0}, {1};", s[j], factor);
      w("add.rn.f32 {0}, {0}, {1};", sum[j & 3], s[j]);
    }
    std::string packed = w.registerOf("b32");
    w("cvt.rn.bf16x2.f32 {}, {}, {};\nmov.b32 {}, {};", packed, s[i + 1], s[i], s[i + 1], packed);
  }
  w.end();
  w.store(s, "f32");
  w.store(top, "f32");
  w.store(sum, "f32");
  return {w.kernel(32 * warps), 32 * warps, 0, elements * warps / 4.0};
}

Loop matrixRate(unsigned n, bool registers, bool transposed, unsigned groups) {
  Writer w;
  uint32_t shared = 3 * 8192 + 2 * 32768, threads = 128 * groups;
  std::string tile = fill(w, shared, threads), group = warpgroup(w), offset = w.registerOf("u32"),
              a = w.registerOf("u64"), b = w.registerOf("u64");
  w("shl.b32 {0}, {1}, 9;\ncvt.u64.u32 {2}, {0};\nadd.u64 {2}, {2}, {3};\nadd.u64 {4}, {3}, {5};", offset,
    group, a, tile, b, 3 * 512 + (uint64_t(8192 / 16) << 16));
  std::vector<std::string> d = w.registersOf("f32", n / 2), fragment = w.registersOf("b32", 4);
  for (const std::string &x : d)
    w("mov.f32 {}, 0f00000000;", x);
  for (const std::string &x : fragment)
    w("mov.b32 {}, 0x3C003C00;", x);
  w.begin();
  w("wgmma.fence.sync.aligned;");
  for (unsigned u = 0; u < 16; ++u) {
    std::string at = w.registerOf("u64"), atA = w.registerOf("u64");
    w("add.u64 {}, {}, {};", at, b, u / 4 % 2 * 2048 + u % 4 * (transposed ? 128 : 2));
    w("add.u64 {}, {}, {};", atA, a, 2 * (u % 4));
    product(w, n, d, registers ? list(fragment) : atA, at, registers, transposed, "1");
  }
  w("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 1;");
  w.end();
  w("wgmma.wait_group.sync.aligned 0;");
  w.store(d, "f32");
  return {w.kernel(threads), threads, shared, 16.0 * groups};
}

Loop matrixLatency(unsigned n, bool registers, unsigned count) {
  Writer w;
  uint32_t shared = 8192 + 32768;
  std::string tile = fill(w, shared, 128), b = w.registerOf("u64");
  w("add.u64 {}, {}, 512;", b, tile);
  std::vector<std::string> d = w.registersOf("f32", n / 2), fragment = w.registersOf("b32", 4);
  for (const std::string &x : d)
    w("mov.f32 {}, 0f00000000;", x);
  for (const std::string &x : fragment)
    w("mov.b32 {}, 0x3C003C00;", x);
  w.begin();
  w("wgmma.fence.sync.aligned;");
  for (unsigned u = 0; u < count; ++u) {
    std::string at = w.registerOf("u64"), atA = w.registerOf("u64");
    w("add.u64 {}, {}, {};\nadd.u64 {}, {}, {};", at, b, 2 * (u % 4), atA, tile, 2 * (u % 4));
    product(w, n, d, registers ? list(fragment) : atA, at, registers, false, "1");
  }
  w("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;");
  w.end();
  w.store(d, "f32");
  return {w.kernel(128), 128, shared, 1};
}

namespace {

/// One warpgroup's loop over tiles of keys.
class AttentionLoop {
public:
  explicit AttentionLoop(const Attention &a) : a(a) {}

  Loop write() {
    uint32_t threads = 128 * a.groups, q = 64 * a.headDim * 2, tile = a.keys * a.headDim * 2;
    uint32_t stages = 1024 + a.groups * q + 4 * tile <= 227 * 1024 ? 2 : 1,
             shared = a.groups * q + 2 * stages * tile;
    tileBytes = tile;
    twoStages = stages == 2;
    std::string base = fill(w, shared, threads);
    group = warpgroup(w);
    std::string offset = w.registerOf("u32");
    qAt = w.registerOf("u64");
    kAt = w.registerOf("u64");
    vAt = w.registerOf("u64");
    w("mul.lo.u32 {}, {}, {};\ncvt.u64.u32 {}, {};\nadd.u64 {}, {}, {};", offset, group, q / 16, qAt, offset,
      qAt, qAt, base);
    w("add.u64 {}, {}, {};\nadd.u64 {}, {}, {};", kAt, base, a.groups * q / 16, vAt, base,
      (a.groups * q + stages * tile) / 16 + (uint64_t(a.keys * 128 / 16) << 16));
    if (a.turns != Turns::Free)
      beginTurns();
    s = w.registersOf("f32", a.keys / 2);
    o = w.registersOf("f32", a.headDim / 2);
    p = w.registersOf("b32", a.keys / 4);
    max = w.registersOf("f32", 2);
    sum = w.registersOf("f32", 2);
    alpha = w.registersOf("f32", 2);
    rescale = w.registerOf("pred");
    for (const std::string &x : o)
      w("mov.f32 {}, 0f00000000;", x);
    for (unsigned r = 0; r < 2; ++r)
      w("mov.f32 {}, 0fF149F2CA;\nmov.f32 {}, 0f00000000;\nmov.f32 {}, 0f3F800000;", max[r], sum[r],
        alpha[r]);
    bool overlaps = a.flow == Flow::Overlap || a.flow == Flow::Loose;
    std::string zero = w.registerOf("u32");
    w("mov.u32 {}, 0;\nbar.sync 0;", zero);
    if (a.flow != Flow::Serial) {
      w("wgmma.fence.sync.aligned;");
      scores(zero);
      w("wgmma.wait_group.sync.aligned 0;");
    }
    if (overlaps) {
      softmax();
      convert();
    }
    w.begin();
    std::string next = w.registerOf("u32");
    w("add.u32 {}, {}, 1;", next, w.counter);
    bool turns = a.turns == Turns::Issue, exclusive = a.turns == Turns::Softmax;
    if (overlaps) {
      if (turns)
        take();
      w("wgmma.fence.sync.aligned;");
      scores(next);
      outputs(w.counter);
      if (turns)
        pass();
      w("wgmma.wait_group.sync.aligned 1;");
      if (exclusive) {
        take();
        hold(sum[0]);
      }
      softmax();
      if (a.flow == Flow::Overlap)
        holdSums();
      if (exclusive)
        pass();
      w("wgmma.wait_group.sync.aligned 0;");
      convert();
      rescaleOutput();
    } else {
      if (a.flow == Flow::Serial) {
        w("wgmma.fence.sync.aligned;");
        scores(w.counter);
        w("wgmma.wait_group.sync.aligned 0;");
      }
      if (exclusive) {
        take();
        hold(sum[0]);
      }
      softmax();
      if (exclusive) {
        holdSums();
        pass();
      }
      convert();
      rescaleOutput();
      if (turns)
        take();
      w("wgmma.fence.sync.aligned;");
      outputs(w.counter);
      if (a.flow == Flow::Chained)
        scores(next);
      if (turns)
        pass();
      w("wgmma.wait_group.sync.aligned 0;");
    }
    w.end();
    if (a.turns != Turns::Free)
      endTurns();
    w.store(o, "f32");
    w.store(s, "f32");
    w.store(sum, "f32");
    return {w.kernel(threads), threads, shared, 1};
  }

private:
  /// A descriptor of the iteration's stage.
  std::string stage(const std::string &at, const std::string &iteration) {
    std::string bit = w.registerOf("u32"), wide = w.registerOf("u64");
    w("and.b32 {0}, {1}, {2};\nmul.lo.u32 {0}, {0}, {3};\ncvt.u64.u32 {4}, {0};\nadd.u64 {4}, {4}, {5};", bit,
      iteration, twoStages ? 1 : 0, tileBytes / 16, wide, at);
    return wide;
  }
  std::string at(const std::string &base, uint32_t units) {
    std::string r = w.registerOf("u64");
    w("add.u64 {}, {}, {};", r, base, units);
    return r;
  }
  void scores(const std::string &iteration) {
    std::string tile = stage(kAt, iteration);
    for (unsigned i = 0; i < a.headDim / 16; ++i)
      product(w, a.keys, s, at(qAt, (i / 4 * 64 * 128 + i % 4 * 32) / 16),
              at(tile, (i / 4 * a.keys * 128 + i % 4 * 32) / 16), false, false, i ? "1" : "0");
    w("wgmma.commit_group.sync.aligned;");
  }
  void outputs(const std::string &iteration) {
    std::string tile = stage(vAt, iteration);
    for (unsigned i = 0; i < a.keys / 16; ++i)
      product(w, a.headDim, o, list({p[4 * i], p[4 * i + 1], p[4 * i + 2], p[4 * i + 3]}),
              at(tile, i * 2048 / 16), true, true, "1");
    w("wgmma.commit_group.sync.aligned;");
  }
  void softmax() {
    const std::string scale = "0f3E38AA3B";
    std::string top[2][2];
    for (unsigned i = 0; i < a.keys / 2; ++i) {
      std::string &t = top[i >> 1 & 1][i & 1];
      std::string next = i < 4 ? s[i] : w.registerOf("f32");
      if (i >= 4)
        w("max.f32 {}, {}, {};", next, t, s[i]);
      t = next;
    }
    std::string high[2];
    for (unsigned r = 0; r < 2; ++r) {
      std::vector<std::string> x = w.registersOf("f32", 6);
      w("max.f32 {}, {}, {};\nmax.f32 {}, {}, {};", x[0], top[r][0], top[r][1], x[1], max[r], x[0]);
      w("shfl.sync.bfly.b32 {}, {}, 1, 31, -1;\nmax.f32 {}, {}, {};", x[2], x[1], x[3], x[1], x[2]);
      w("shfl.sync.bfly.b32 {}, {}, 2, 31, -1;\nmax.f32 {}, {}, {};", x[4], x[3], x[5], x[3], x[4]);
      high[r] = x[5];
    }
    std::string skip = fmt::format("SKIP{}", labels++);
    if (a.lazy) {
      std::vector<std::string> x = w.registersOf("f32", 4);
      std::string any = w.registerOf("pred");
      w("sub.rn.f32 {}, {}, {};\nsub.rn.f32 {}, {}, {};\nmax.f32 {}, {}, {};\nmul.rn.f32 {}, {}, {};", x[0],
        high[0], max[0], x[1], high[1], max[1], x[2], x[0], x[1], x[3], x[2], scale);
      w("setp.gt.f32 {0}, {1}, 0f41000000;\nvote.sync.any.pred {2}, {0}, -1;\n@!{2} bra {3};", any, x[3],
        rescale, skip);
    }
    for (unsigned r = 0; r < 2; ++r) {
      std::vector<std::string> x = w.registersOf("f32", 2);
      w("sub.rn.f32 {}, {}, {};\nmul.rn.f32 {}, {}, {};\nex2.approx.ftz.f32 {}, {};", x[0], max[r], high[r],
        x[1], x[0], scale, alpha[r], x[1]);
      w("mul.rn.f32 {0}, {0}, {1};\nmov.f32 {2}, {3};", sum[r], alpha[r], max[r], high[r]);
    }
    w("{}:", skip);
    std::vector<std::string> shift = w.registersOf("f32", 2);
    for (unsigned r = 0; r < 2; ++r) {
      std::string x = w.registerOf("f32");
      w("neg.f32 {}, {};\nmul.rn.f32 {}, {}, {};", x, max[r], shift[r], x, scale);
    }
    std::string part[2][2];
    for (unsigned i = 0; i < a.keys / 2; ++i) {
      unsigned r = i >> 1 & 1;
      w("fma.rn.f32 {0}, {0}, {1}, {2};", s[i], scale, shift[r]);
      if (a.polynomial && i / 2 % a.polynomial == 0)
        polynomial(w, s[i]);
      else
        w("ex2.approx.ftz.f32 {0}, {0};", s[i]);
      std::string next = w.registerOf("f32"), &before = part[r][i & 1];
      w("add.rn.f32 {}, {}, {};", next, s[i], before.empty() ? "0f00000000" : before);
      before = next;
    }
    for (unsigned r = 0; r < 2; ++r) {
      std::string x = w.registerOf("f32");
      w("add.rn.f32 {0}, {1}, {2};\nadd.rn.f32 {3}, {3}, {0};", x, part[r][0], part[r][1], sum[r]);
    }
  }
  void convert() {
    for (unsigned i = 0; i < a.keys / 4; ++i)
      w("cvt.rn.bf16x2.f32 {}, {}, {};", p[i], s[2 * i + 1], s[2 * i]);
  }
  void rescaleOutput() {
    std::string skip = fmt::format("SKIP{}", labels++);
    if (a.lazy)
      w("@!{} bra {};", rescale, skip);
    for (unsigned i = 0; i < a.headDim / 2; ++i)
      w("mul.rn.f32 {0}, {0}, {1};", o[i], alpha[i >> 1 & 1]);
    w("{}:", skip);
  }
  /// Nothing that `value` comes from moves past here.
  void hold(const std::string &value) {
    std::string negative = w.registerOf("pred"), any = w.registerOf("pred"),
                skip = fmt::format("SKIP{}", labels++);
    w("setp.lt.f32 {0}, {1}, 0f00000000;\nvote.sync.any.pred {2}, {0}, -1;\n@!{2} bra {3};\npmevent 1;\n{3}:",
      negative, value, any, skip);
  }
  void holdSums() {
    std::string both = w.registerOf("f32");
    w("add.rn.f32 {}, {}, {};", both, sum[0], sum[1]);
    hold(both);
  }
  void take() { w("bar.sync {}, 256;", mine); }
  void pass() { w("bar.arrive {}, 256;", theirs); }
  /// A ring of barriers: group g waits on 1 + g, which the group before it fills.
  void beginTurns() {
    mine = w.registerOf("u32");
    theirs = w.registerOf("u32");
    isLast = w.registerOf("pred");
    isFirst = w.registerOf("pred");
    w("add.u32 {}, {}, 1;\nadd.u32 {}, {}, 2;\nsetp.eq.u32 {}, {}, {};\nsetp.eq.u32 {}, {}, 0;", mine, group,
      theirs, group, isLast, group, a.groups - 1, isFirst, group);
    w("selp.u32 {0}, 1, {0}, {1};\n@{1} bar.arrive {0}, 256;", theirs, isLast);
  }
  void endTurns() { w("@{} bar.sync {}, 256;", isFirst, mine); }

  const Attention &a;
  Writer w;
  std::string group, qAt, kAt, vAt, rescale, mine, theirs, isLast, isFirst;
  std::vector<std::string> s, o, p, max, sum, alpha;
  uint32_t tileBytes = 0;
  bool twoStages = false;
  unsigned labels = 0;
};

} // namespace

Loop attention(const Attention &a) { return AttentionLoop(a).write(); }

} // namespace attune::clockloops
