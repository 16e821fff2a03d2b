"""What one matrix instruction computes, found by random vectors and an independent model.

Fragment layouts are the PTX ISA's. The model is in integers: all products exact; the terms of one step (products and
the accumulator) aligned to the largest exponent and cut to F fraction bits; added exactly; the sum rounded to the result.
A rule says how many products a step sums, F, how terms are cut, and how the sum is rounded."""
import numpy as np

# name, PTX opcode, element bits of A and B, K, type of elements, type of the accumulator, least capability
MMA = [
    ("m16n8k16 bf16", "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", 16, 16, "bf16", "f32", 80),
    ("m16n8k16 f16", "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", 16, 16, "f16", "f32", 80),
    ("m16n8k8 bf16", "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32", 16, 8, "bf16", "f32", 80),
    ("m16n8k8 f16", "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32", 16, 8, "f16", "f32", 80),
    ("m16n8k8 tf32", "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", 32, 8, "tf32", "f32", 80),
    ("m16n8k4 tf32", "mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32", 32, 4, "tf32", "f32", 80),
    ("m16n8k16 f16 into f16", "mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16", 16, 16, "f16", "f16", 80),
    ("m16n8k32 e4m3", "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32", 8, 32, "e4m3", "f32", 89),
    ("m16n8k32 e5m2", "mma.sync.aligned.m16n8k32.row.col.f32.e5m2.e5m2.f32", 8, 32, "e5m2", "f32", 89),
    ("m16n8k32 s8", "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", 8, 32, "s8", "s32", 80),
]
WGMMA = [
    ("wgmma m64n8k16 bf16", "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16", 16, 16, "bf16", "f32", 90),
    ("wgmma m64n8k16 f16", "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16", 16, 16, "f16", "f32", 90),
    ("wgmma m64n8k8 tf32", "wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32", 32, 8, "tf32", "f32", 90),
    ("wgmma m64n8k32 e4m3", "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3", 8, 32, "e4m3", "f32", 90),
    ("wgmma m64n8k32 e5m2", "wgmma.mma_async.sync.aligned.m64n8k32.f32.e5m2.e5m2", 8, 32, "e5m2", "f32", 90),
]
FORMATS = {"bf16": (8, 7), "f16": (5, 10), "tf32": (8, 10), "e4m3": (4, 3), "e5m2": (5, 2), "f32": (8, 23)}


class Rule:
    def __init__(self, fraction, step, result_bits=23, cut="truncate", final="truncate"):
        self.fraction, self.step, self.result_bits, self.cut, self.final = fraction, step, result_bits, cut, final

    def __str__(self):
        done = {"truncate": "truncated", "floor": "rounded down", "round": "rounded"}
        text = f"F {self.fraction}, {self.step} products a step, terms {done[self.cut]}, sum {done[self.final]}"
        return text + (f" to {self.result_bits} bits" if self.result_bits != 23 else "")

    def __eq__(self, other):
        return str(self) == str(other)


class ByHalves:
    """fp8 where the machine has no such instruction (its SASS on Hopper): the factors become f16, which holds them
    exactly; two f16 instructions of 16 products, the second on top of the first, which begins at 0: those of the lower two
    bytes of each register (k mod 4 is 0 or 1), then of the upper two; the accumulator is added last, in f32."""
    step = Rule(25, 16)

    def __str__(self):
        return f"two steps of f16 ({self.step}), k mod 4 in 0, 1 and then 2, 3, from 0; the accumulator added in f32"

    def __eq__(self, other):
        return str(self) == str(other)

    def sum(self, a, b, c, element):
        def halves(bits):
            significand, exponent, _ = decode(bits, element)
            value = np.ldexp(significand.astype(np.float64), exponent - FORMATS[element][1])
            return value.astype(np.float16).view(np.uint16).astype(np.uint32)
        a, b, upper = halves(a), halves(b), np.arange(a.shape[1]) & 2 != 0
        total = np.zeros(len(a), np.float32)
        for part in (~upper, upper):
            total = model(self.step, a[:, part], b[:, part], total.view(np.uint32), "f16", "f32")
        return c.view(np.float32) + total


def expected(capability, name, element, accumulator, k):
    """The rule as published for Ampere, Ada and Hopper, which the simulator follows."""
    final = "round" if accumulator == "f16" else "truncate"
    if element in ("e4m3", "e5m2"):
        if name.startswith("wgmma"):
            return Rule(13, 32, 13)
        return ByHalves() if 90 <= capability < 120 else Rule(25, 32) if capability >= 120 else Rule(13, 16, 13)
    if capability >= 90:
        return Rule(25, k, final=final)
    return Rule(24, k // 2 if k in (16,) or (element, k) == ("tf32", 8) else k, final=final)


def candidates(accumulator, k, element):
    finals = ["round"] if accumulator == "f16" else ["truncate", "round"]
    widths = (23, 13) if element in ("e4m3", "e5m2") else (23,)
    others = [ByHalves()] if (element, k) in (("e4m3", 32), ("e5m2", 32)) else []
    return others + [Rule(fraction, step, bits, cut, final) for step in (k, k // 2, k // 4) if step for final in finals
            for cut in ("truncate", "floor", "round") for bits in widths
            for fraction in ((13, 14, 22, 23, 24, 25, 26, 27) if len(widths) > 1 else range(21, 29))]


# --- numbers -----------------------------------------------------------------------------------------------------------
def decode(bits, element):
    """(significand, exponent, finite): the value is significand * 2^(exponent - fraction bits)."""
    exponent_bits, fraction = FORMATS[element]
    bits = bits.astype(np.int64)
    if element == "tf32":
        bits = bits >> 13
    field, rest = bits >> fraction & ((1 << exponent_bits) - 1), bits & ((1 << fraction) - 1)
    top = (1 << exponent_bits) - 1
    finite = ~((field == top) & (rest == (1 << fraction) - 1)) if element == "e4m3" else field != top
    significand = np.where(field > 0, rest | 1 << fraction, rest)
    exponent = np.where(significand == 0, -126, np.maximum(field, 1) - ((1 << exponent_bits - 1) - 1))
    return np.where(bits >> (exponent_bits + fraction) & 1, -significand, significand), exponent, finite


def encode(values, element):
    """The nearest numbers of a format, as bits in its own width (tf32: as f32)."""
    values = np.asarray(values, np.float64)
    if element == "f16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).view(np.uint16).astype(np.uint32)
    if element in ("bf16", "tf32"):
        with np.errstate(over="ignore"):
            word = values.astype(np.float32).view(np.uint32)
        drop = 16 if element == "bf16" else 13
        word = (word + np.uint32((1 << drop - 1) - 1) + (word >> drop & 1)) >> drop
        return word if element == "bf16" else word << 13
    exponent_bits, fraction = FORMATS[element]
    bias = (1 << exponent_bits - 1) - 1
    size = np.abs(values)
    exponent = np.maximum(np.frexp(np.where(size > 0, size, 1))[1] - 1, 1 - bias)
    # Past the top exponent the largest finite number is taken.
    most = (1 << exponent_bits) - (1 if element == "e4m3" else 2)
    steps = np.rint(np.ldexp(size, fraction - exponent)).astype(np.int64)  # a carry moves into the exponent by itself
    word = np.where(steps < 1 << fraction, steps, (exponent + bias - 1 << fraction) + steps)
    word = np.minimum(word, (most << fraction) + (1 << fraction) - (2 if element == "e4m3" else 1))
    return (word | (np.signbit(values).astype(np.int64) << exponent_bits + fraction)).astype(np.uint32)


def rounded_sum(total, exponent, rule, accumulator):
    """total * 2^exponent as the accumulator's type; in float64, which holds it exactly."""
    value = np.ldexp(total.astype(np.float64), exponent)
    if accumulator == "f16":
        with np.errstate(over="ignore"):
            return value.astype(np.float16).astype(np.float32)
    if rule.result_bits != 23:  # cut in place; what is lost is below f32 anyway
        scale = np.frexp(np.where(value == 0, 1, value))[1] - 1 - rule.result_bits
        value = np.ldexp(np.trunc(np.ldexp(value, -scale)), scale)
    with np.errstate(over="ignore"):
        near = value.astype(np.float32)
    if rule.final == "round":
        return near
    too_far = (np.abs(near.astype(np.float64)) > np.abs(value)) & (np.abs(value) < 2.0 ** 128)
    return np.where(too_far, np.nextafter(near, np.float32(0)), near)


def cut_terms(significand, shift, how):
    """significand * 2^shift as integers."""
    left = significand << np.clip(shift, 0, 40)
    right = np.clip(-shift, 0, 62)
    size = np.abs(significand)
    if how == "truncate":
        cut = np.sign(significand) * (size >> right)
    elif how == "floor":
        cut = significand >> right
    else:
        half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
        cut = np.sign(significand) * ((size + half) >> right)
    return np.where(shift >= 0, left, cut)


def model(rule, a, b, c, element, accumulator):
    """a and b: bits (elements, K); c: bits. All finite. The result as float32."""
    if isinstance(rule, ByHalves):
        return rule.sum(a, b, np.ascontiguousarray(c), element)
    (sa, ea, _), (sb, eb, _) = decode(a, element), decode(b, element)
    product, exponent, fraction = sa * sb, ea + eb, 2 * FORMATS[element][1]
    kind = "f16" if accumulator == "f16" else "f32"
    current = c
    for begin in range(0, a.shape[1], rule.step):
        part = slice(begin, begin + rule.step)
        sc, ec, finite = decode(current, kind)
        if kind == "f32":
            ec = np.where(sc == 0, -126, ec)
        top = np.maximum(exponent[:, part].max(1), ec)
        terms = cut_terms(product[:, part], rule.fraction - fraction + exponent[:, part] - top[:, None], rule.cut)
        own = cut_terms(sc, rule.fraction - FORMATS[kind][1] + ec - top, rule.cut)
        result = rounded_sum(terms.sum(1) + own, top - rule.fraction, rule, accumulator)
        current = result.astype(np.float16).view(np.uint16).astype(np.uint32) if kind == "f16" else result.view(np.uint32)
        current = np.where(finite, current, 0)
    return result


def result_bits(result, accumulator):
    """-0 is +0 here: a sum of nothing has no sign."""
    result = np.where(result == 0, np.float32(0), result)
    if accumulator == "f16":
        return result.astype(np.float16).view(np.uint16).astype(np.uint32)
    return result.view(np.uint32)


# --- vectors -----------------------------------------------------------------------------------------------------------
def vectors(rng, tiles, rows, k, element, accumulator):
    """A (tiles, rows, K), B (tiles, K, 8) and C (tiles, rows, 8) as bits; which family each tile is of.

    exact: small integers, right under any rule, so that a wrong layout shows; normal; wide: exponents far apart; cancel:
    products that take each other away, with a small rest; large, small: the accumulator far above or below; tiny:
    subnormal factors; zero: many zeros."""
    families = ["exact", "normal", "wide", "cancel", "large", "small", "tiny", "zero"]
    which = np.arange(tiles) % len(families)
    reach = {"bf16": 30, "tf32": 30, "f16": 8, "e4m3": 5, "e5m2": 10}[element]
    low = {"bf16": -124, "tf32": -124, "f16": -15, "e4m3": -8, "e5m2": -16}[element]
    a, b = rng.standard_normal((tiles, rows, k)), rng.standard_normal((tiles, k, 8))
    c = rng.standard_normal((tiles, rows, 8))

    def family(name):
        return which == families.index(name)

    m = family("exact")
    for x in (a, b, c):
        x[m] = rng.integers(-3, 4, x[m].shape)
    m = family("wide")
    for x in (a, b):
        x[m] = np.ldexp(x[m], rng.integers(-reach, reach // 2 + 1, x[m].shape))
    c[m] = np.ldexp(c[m], rng.integers(-reach, reach, c[m].shape))
    m = family("cancel")
    half = k // 2
    a[m, :, half:2 * half] = a[m, :, :half] * (1 + rng.integers(-1, 2, a[m, :, :half].shape) / 64)
    b[m, half:2 * half] = -b[m, :half]
    c[m] = np.ldexp(c[m], rng.integers(-reach, -reach // 2 + 1, c[m].shape))
    m = family("large")
    c[m] = np.ldexp(c[m], rng.integers(4, 12 if accumulator == "f16" else 24, c[m].shape))
    m = family("small")
    c[m] = np.ldexp(c[m], rng.integers(-24 if accumulator == "f16" else -60, -4, c[m].shape))
    m = family("tiny")
    a[m] = np.ldexp(a[m], low)
    b[m] = np.ldexp(b[m], rng.integers(-2, 3, b[m].shape))
    c[m] = np.ldexp(c[m], low)
    m = family("zero")
    for x in (a, b, c):
        x[m] *= rng.integers(0, 4, x[m].shape) == 0
    cbits = c.astype(np.float16).view(np.uint16).astype(np.uint32) if accumulator == "f16" else c.astype(np.float32).view(
        np.uint32)
    return encode(a, element), encode(b, element), cbits, [families[n] for n in which]


def integer_vectors(rng, tiles, k):
    return (rng.integers(0, 256, (tiles, 16, k)).astype(np.uint32), rng.integers(0, 256, (tiles, k, 8)).astype(np.uint32),
            rng.integers(-2 ** 30, 2 ** 30, (tiles, 16, 8)).astype(np.int32).view(np.uint32), ["integers"] * tiles)


# --- fragments -----------------------------------------------------------------------------------------------------------
def packed(elements, bits):
    """The last axis, of 32 / bits elements, into one register."""
    word = np.zeros(elements.shape[:-1], np.uint32)
    for n in range(elements.shape[-1]):
        word |= elements[..., n].astype(np.uint32) << np.uint32(bits * n)
    return word


LANE = np.arange(32)
GROUP, THREAD = LANE >> 2, LANE & 3


def fragments_a(a, bits):
    """(tiles, 16 * warps, K) to (tiles, warps, 32 lanes, registers): register r has row g + 8 (r mod 2) and the columns
    from 4 p (r div 2) + p t on, p elements a register."""
    p = 32 // bits
    tiles, rows, k = a.shape
    a = a.reshape(tiles, rows // 16, 16, k)
    registers = []
    for r in range(k * 2 // (4 * p)):
        row = GROUP + 8 * (r & 1)
        column = (r >> 1) * 4 * p + THREAD[:, None] * p + np.arange(p)
        registers.append(packed(a[:, :, row[:, None], column], bits))
    return np.stack(registers, -1)


def fragments_b(b, bits):
    """(tiles, K, 8) to (tiles, 32 lanes, registers): register r has column g and the rows from 4 p r + p t on."""
    p = 32 // bits
    registers = []
    for r in range(b.shape[1] // (4 * p)):
        row = r * 4 * p + THREAD[:, None] * p + np.arange(p)
        registers.append(packed(b[:, row, GROUP[:, None]], bits))
    return np.stack(registers, -1)


def shared_b(b, bits):
    """(tiles, K, 8) as wgmma reads it, without swizzle: 8 rows (columns of B) of 16 bytes of K, one after another."""
    p = 32 // bits
    words = packed(np.ascontiguousarray(b.transpose(0, 2, 1)).reshape(len(b), 8, -1, p), bits)  # (tiles, n, K / p)
    return words.reshape(len(b), 8, -1, 4).transpose(0, 2, 1, 3).reshape(len(b), -1)


def fragments_c(c, accumulator):
    """(tiles, 16 * warps, 8) to (tiles, warps, 32, registers)."""
    tiles, rows, _ = c.shape
    c = c.reshape(tiles, rows // 16, 16, 8)
    four = [c[:, :, GROUP + 8 * half, 2 * THREAD + j] for half in (0, 1) for j in (0, 1)]
    if accumulator == "f16":
        return np.stack([four[0] | four[1] << 16, four[2] | four[3] << 16], -1)
    return np.stack(four, -1)


def unfragment_c(words, accumulator):
    tiles, warps = words.shape[:2]
    out = np.zeros((tiles, warps, 16, 8), np.uint32)
    if accumulator == "f16":
        words = np.stack([words[..., 0] & 0xFFFF, words[..., 0] >> 16, words[..., 1] & 0xFFFF, words[..., 1] >> 16], -1)
    for n, (half, j) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        out[:, :, GROUP + 8 * half, 2 * THREAD + j] = words[..., n]
    return out.reshape(tiles, warps * 16, 8)


# --- kernels -----------------------------------------------------------------------------------------------------------
def loads(name, base, count):
    return "".join(f"  ld.global.b32 %{name}{n}, [%{base}+{4 * n}];\n" for n in range(count))


def registers(name, count):
    return "{" + ", ".join(f"%{name}{n}" for n in range(count)) + "}"


def version_for(target, fp8=False):
    """The oldest PTX that knows the target and the instructions, so that old drivers take it too."""
    return "8.7" if int(target[3:].rstrip("a")) >= 100 else "8.4" if fp8 else "7.8"


def mma_ptx(row, target):
    """A warp a tile; every array in the order [tile][lane][register]."""
    _, opcode, bits, k, _, accumulator, _ = row
    nb, nc = k * bits // 128, 2 if accumulator == "f16" else 4
    na = 2 * nb
    address = "".join(f"  mad.wide.u32 %{x}, %i, {4 * n}, %{x};\n" for x, n in (("pa", na), ("pb", nb), ("pc", nc), ("pd", nc)))
    return f""".version {version_for(target, bits == 8 and accumulator == 'f32')}
.target {target}
.address_size 64
.visible .entry probe(.param .u64 a, .param .u64 b, .param .u64 c, .param .u64 d)
{{
  .reg .b32 %i, %t, %n, %a<4>, %b<4>, %c<4>, %d<4>;
  .reg .b64 %pa, %pb, %pc, %pd;
  ld.param.u64 %pa, [a];
  ld.param.u64 %pb, [b];
  ld.param.u64 %pc, [c];
  ld.param.u64 %pd, [d];
  mov.u32 %i, %ctaid.x;
  mov.u32 %n, %ntid.x;
  mov.u32 %t, %tid.x;
  mad.lo.u32 %i, %i, %n, %t;
{address}{loads('a', 'pa', na)}{loads('b', 'pb', nb)}{loads('c', 'pc', nc)}  {opcode} {registers('d', nc)}, {registers('a', na)}, {registers('b', nb)}, {registers('c', nc)};
{''.join(f'  st.global.b32 [%pd+{4 * n}], %d{n};' + chr(10) for n in range(nc))}  ret;
}}
"""


def wgmma_ptx(row):
    """A warpgroup a tile: A and the accumulator in registers, B in shared memory: two pieces of 8 rows of 16 bytes."""
    _, opcode, bits, k, _, _, _ = row
    transposed = ", 0" if bits == 16 else ""
    return f""".version 8.0
.target sm_90a
.address_size 64
.visible .entry probe(.param .u64 a, .param .u64 b, .param .u64 c, .param .u64 d)
{{
  .reg .b32 %i, %t, %n, %w, %s, %a<4>, %d<4>;
  .reg .b64 %pa, %pb, %pc, %pd, %e;
  .reg .pred %p, %q;
  .shared .align 128 .b8 shared[256];
  ld.param.u64 %pa, [a];
  ld.param.u64 %pb, [b];
  ld.param.u64 %pc, [c];
  ld.param.u64 %pd, [d];
  mov.u32 %n, %ctaid.x;
  mov.u32 %t, %tid.x;
  mov.u32 %s, shared;
  setp.ge.u32 %p, %t, 64;
  @%p bra copied;
  mad.lo.u32 %i, %n, 64, %t;
  mad.wide.u32 %pb, %i, 4, %pb;
  ld.global.b32 %w, [%pb];
  mad.lo.u32 %i, %t, 4, %s;
  st.shared.b32 [%i], %w;
copied:
  fence.proxy.async.shared::cta;
  bar.sync 0;
  mad.lo.u32 %i, %n, 128, %t;
  mad.wide.u32 %pa, %i, 16, %pa;
  mad.wide.u32 %pc, %i, 16, %pc;
  mad.wide.u32 %pd, %i, 16, %pd;
{loads('a', 'pa', 4)}{loads('d', 'pc', 4)}  shr.u32 %s, %s, 4;
  and.b32 %s, %s, 16383;
  cvt.u64.u32 %e, %s;
  or.b64 %e, %e, {(128 >> 4) << 16 | (256 >> 4) << 32};
  setp.eq.u32 %q, %t, %t;
  wgmma.fence.sync.aligned;
  {opcode} {registers('d', 4)}, {registers('a', 4)}, %e, %q, 1, 1{transposed};
  wgmma.commit_group.sync.aligned;
  wgmma.wait_group.sync.aligned 0;
{''.join(f'  st.global.b32 [%pd+{4 * n}], %d{n};' + chr(10) for n in range(4))}  ret;
}}
"""
