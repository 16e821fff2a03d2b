"""The instruction forms and their meanings. Integers are Python's; floats are exact.py's. See vectors.py."""
import exact
from exact import FORMATS, INF, NAN, decode, encode


def signed(v, bits):
    v &= (1 << bits) - 1
    return v - (1 << bits) if v >> (bits - 1) else v


def clamp(v, bits, is_signed):
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)
    return max(low, min(high, v))


def forms():
    """(instruction, destination, sources, kind of operands, meaning)"""
    out = []
    for part in (integers, bits, bytes_and_halves, floats, halves, comparisons, conversions, moves):
        part(lambda text, to, sources, kind, meaning: out.append((text, to, sources, kind, meaning)))
    return out


def integers(form):
    for width, r in ((16, "h"), (32, "w"), (64, "q")):
        mask = (1 << width) - 1

        def put(text, sources, f, to=r, m=mask):
            form(text, to, sources, "int", lambda *v: f(*v) & m)

        for letter in "us":
            t = f"{letter}{width}"

            def n(v, s=letter == "s", w=width):
                return signed(v, w) if s else v

            def quotient(a, b, n=n, m=mask):
                a, b = n(a), n(b)
                return m if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)

            def remainder(a, b, n=n):
                x, y = n(a), n(b)
                return a if y == 0 else abs(x) % abs(y) * (-1 if x < 0 else 1)

            put(f"add.{t}", r * 2, lambda a, b: a + b)
            put(f"sub.{t}", r * 2, lambda a, b: a - b)
            put(f"mul.lo.{t}", r * 2, lambda a, b: a * b)
            put(f"mul.hi.{t}", r * 2, lambda a, b, n=n, w=width: n(a) * n(b) >> w)
            put(f"mad.lo.{t}", r * 3, lambda a, b, c: a * b + c)
            put(f"mad.hi.{t}", r * 3, lambda a, b, c, n=n, w=width: (n(a) * n(b) >> w) + c)
            put(f"div.{t}", r * 2, quotient)
            put(f"rem.{t}", r * 2, remainder)
            put(f"min.{t}", r * 2, lambda a, b, n=n: min(n(a), n(b)))
            put(f"max.{t}", r * 2, lambda a, b, n=n: max(n(a), n(b)))
            put(f"sad.{t}", r * 3, lambda a, b, c, n=n: c + abs(n(a) - n(b)))
            put(f"shr.{t}", r + "w", lambda a, k, n=n, w=width, s=letter: n(a) >> k if k < w else (-1 if n(a) < 0 else 0))
            if width < 64:
                w2 = "q" if width == 32 else "w"
                put(f"mul.wide.{t}", r * 2, lambda a, b, n=n: n(a) * n(b), w2, (1 << 2 * width) - 1)
                put(f"mad.wide.{t}", r * 2 + w2, lambda a, b, c, n=n: n(a) * n(b) + c, w2, (1 << 2 * width) - 1)
            for op, f in (("eq", lambda a, b: a == b), ("ne", lambda a, b: a != b), ("lt", lambda a, b: a < b), ("le", lambda a, b: a <= b),
                          ("gt", lambda a, b: a > b), ("ge", lambda a, b: a >= b)):
                form(f"setp.{op}.{t}", "p", r * 2, "int", lambda a, b, f=f, n=n: int(f(n(a), n(b))))
                form(f"set.{op}.u32.{t}", "w", r * 2, "int", lambda a, b, f=f, n=n: 0xFFFFFFFF if f(n(a), n(b)) else 0)
                form(f"set.{op}.f32.{t}", "w", r * 2, "int", lambda a, b, f=f, n=n: 0x3F800000 if f(n(a), n(b)) else 0)
                form(f"setp.{op}.xor.{t}", "p", r * 2 + "p", "int", lambda a, b, c, f=f, n=n: int(f(n(a), n(b))) ^ c)
                form(f"setp.{op}.and.{t} {{0}}, {{1}}, {{2}}, !{{3}}", "p", r * 2 + "p", "int",
                     lambda a, b, c, f=f, n=n: int(f(n(a), n(b))) & (1 - c))
        t = f"s{width}"
        put(f"neg.{t}", r, lambda a: -a)
        put(f"abs.{t}", r, lambda a, w=width: abs(signed(a, w)))
        for op, f in (("lo", lambda a, b: a < b), ("ls", lambda a, b: a <= b), ("hi", lambda a, b: a > b), ("hs", lambda a, b: a >= b)):
            form(f"setp.{op}.u{width}", "p", r * 2, "int", lambda a, b, f=f: int(f(a, b)))
        b = f"b{width}"
        put(f"and.{b}", r * 2, lambda x, y: x & y)
        put(f"or.{b}", r * 2, lambda x, y: x | y)
        put(f"xor.{b}", r * 2, lambda x, y: x ^ y)
        put(f"not.{b}", r, lambda x: ~x)
        put(f"cnot.{b}", r, lambda x: int(x == 0))
        put(f"shl.{b}", r + "w", lambda x, k, w=width: x << k if k < w else 0)
        put(f"shr.{b}", r + "w", lambda x, k, w=width: x >> k if k < w else 0)
        put(f"selp.{b}", r * 2 + "p", lambda x, y, p: x if p else y)
        if width > 16:
            put(f"slct.{b}.s32", r * 2 + "w", lambda x, y, c: x if signed(c, 32) >= 0 else y)
    s32 = lambda v: signed(v, 32)
    m32 = 0xFFFFFFFF
    form("add.sat.s32", "w", "ww", "int", lambda a, b: clamp(s32(a) + s32(b), 32, True) & m32)
    form("sub.sat.s32", "w", "ww", "int", lambda a, b: clamp(s32(a) - s32(b), 32, True) & m32)
    form("mad.hi.sat.s32", "w", "www", "int", lambda a, b, c: clamp((s32(a) * s32(b) >> 32) + s32(c), 32, True) & m32)
    for name in ("min.relu.s32", "min.s32.relu"):
        form(name, "w", "ww", "int", lambda a, b: max(0, min(s32(a), s32(b))))
    form("max.s32.relu", "w", "ww", "int", lambda a, b: max(0, s32(a), s32(b)))
    for letter in "us":
        n24 = (lambda v: signed(v, 24)) if letter == "s" else (lambda v: v & 0xFFFFFF)
        for half, shift in (("lo", 0), ("hi", 16)):
            form(f"mul24.{half}.{letter}32", "w", "ww", "int", lambda a, b, n=n24, k=shift: n(a) * n(b) >> k & m32)
            form(f"mad24.{half}.{letter}32", "w", "www", "int", lambda a, b, c, n=n24, k=shift: (n(a) * n(b) >> k) + c & m32)
    # Carries: 64-bit sums, differences and multiply-adds from 32-bit parts, with the upper part's result.
    form("add.cc.u32 %r6, {1}, {2}; addc.u32 {0}, {3}, {4}", "w", "wwww", "int", lambda a, b, c, d: c + d + (a + b >> 32) & m32)
    form("sub.cc.u32 %r6, {1}, {2}; subc.u32 {0}, {3}, {4}", "w", "wwww", "int", lambda a, b, c, d: c - d - (a < b) & m32)
    form("mad.lo.cc.u32 %r6, {1}, {2}, {3}; madc.hi.u32 {0}, {1}, {2}, {4}", "w", "wwww", "int",
         lambda a, b, c, d: (a * b >> 32) + d + ((a * b & m32) + c >> 32) & m32)
    form("add.cc.u64 %q6, {1}, {2}; addc.cc.u64 %q6, {3}, {4}; addc.u64 {0}, 0, 0", "q", "qqqq", "int",
         lambda a, b, c, d: c + d + (a + b >> 64) >> 64)
    form("add.cc.u32 %r6, {1}, {2}; madc.lo.cc.u32 %r6, {3}, {4}, {1}; addc.u32 {0}, 0, 0", "w", "wwww", "int",
         lambda a, b, c, d: (c * d & m32) + a + (a + b >> 32) >> 32)


def bits(form):
    def reverse(v, w):
        return int(format(v, f"0{w}b")[::-1], 2)

    def find(v, w, is_signed, shift):
        if is_signed and v >> (w - 1):
            v = ~v & ((1 << w) - 1)
        if v == 0:
            return 0xFFFFFFFF
        top = v.bit_length() - 1
        return w - 1 - top if shift else top

    def extract(a, b, c, w, is_signed):
        pos, n = b & 255, c & 255
        sign = a >> min(pos + n - 1, w - 1) & 1 if is_signed and n else 0
        return sum((a >> (pos + i) & 1 if i < n and pos + i < w else sign) << i for i in range(w))

    def insert(a, b, c, d, w):
        pos, n = c & 255, d & 255
        for i in range(n):
            if pos + i < w:
                b = b & ~(1 << (pos + i)) | (a >> i & 1) << (pos + i)
        return b

    for w, r in ((32, "w"), (64, "q")):
        form(f"popc.b{w}", "w", r, "int", lambda a: bin(a).count("1"))
        form(f"clz.b{w}", "w", r, "int", lambda a, w=w: w - a.bit_length())
        form(f"brev.b{w}", r, r, "int", lambda a, w=w: reverse(a, w))
        form(f"bfi.b{w}", r, r * 2 + "ww", "int", lambda a, b, c, d, w=w: insert(a, b, c, d, w))
        for letter in "us":
            s = letter == "s"
            form(f"bfind.{letter}{w}", "w", r, "int", lambda a, w=w, s=s: find(a, w, s, False))
            form(f"bfind.shiftamt.{letter}{w}", "w", r, "int", lambda a, w=w, s=s: find(a, w, s, True))
            form(f"bfe.{letter}{w}", r, r + "ww", "int", lambda a, b, c, w=w, s=s: extract(a, b, c, w, s))
    m = 0xFFFFFFFF
    form("shf.l.wrap.b32", "w", "www", "int", lambda a, b, c: (b << 32 | a) << (c & 31) >> 32 & m)
    form("shf.l.clamp.b32", "w", "www", "int", lambda a, b, c: (b << 32 | a) << min(c, 32) >> 32 & m)
    form("shf.r.wrap.b32", "w", "www", "int", lambda a, b, c: (b << 32 | a) >> (c & 31) & m)
    form("shf.r.clamp.b32", "w", "www", "int", lambda a, b, c: (b << 32 | a) >> min(c, 32) & m)

    def permute(a, b, picks):
        value = b << 32 | a
        r = 0
        for i, (pick, replicate) in enumerate(picks):
            byte = value >> (8 * pick) & 255
            r |= (255 * (byte >> 7) if replicate else byte) << (8 * i)
        return r

    form("prmt.b32", "w", "www", "int", lambda a, b, c: permute(a, b, [(c >> 4 * i & 7, c >> (4 * i + 3) & 1) for i in range(4)]))
    modes = {  # by the two low bits of c, from the lowest byte of the result on (PTX ISA, prmt)
        "f4e": ["0123", "1234", "2345", "3456"], "b4e": ["0765", "1076", "2107", "3210"], "rc8": ["0000", "1111", "2222", "3333"],
        "ecl": ["0123", "1123", "2223", "3333"], "ecr": ["0000", "0111", "0122", "0123"], "rc16": ["0101", "2323", "0101", "2323"]}
    for name, table in modes.items():
        form(f"prmt.b32.{name}", "w", "www", "int", lambda a, b, c, t=table: permute(a, b, [(int(k), 0) for k in t[c & 3]]))
    for table in (0x80, 0xFE, 0x96, 0xE8, 0x1B, 0xCA, 0x3C, 0xF0, 0xAA, 0xCC, 0x01):
        def lop(a, b, c, t=table):
            return sum((t >> ((a >> i & 1) * 4 + (b >> i & 1) * 2 + (c >> i & 1)) & 1) << i for i in range(32))
        form(f"lop3.b32 {{0}}, {{1}}, {{2}}, {{3}}, {table}", "w", "www", "int", lop)
    form("bmsk.clamp.b32", "w", "ww", "int", lambda a, b: ((1 << min(b, 32)) - 1 << a) & m if a < 32 else 0)
    form("bmsk.wrap.b32", "w", "ww", "int", lambda a, b: ((1 << (b & 31)) - 1 << (a & 31)) & m)
    form("szext.clamp.u32", "w", "ww", "int", lambda a, b: a & ((1 << min(b, 32)) - 1))
    form("szext.clamp.s32", "w", "ww", "int", lambda a, b: signed(a, min(b, 32)) & m if b else 0)
    form("szext.wrap.s32", "w", "ww", "int", lambda a, b: signed(a, b & 31) & m if b & 31 else 0)

    def nth(a, b, c):
        n, b = signed(c, 32), b
        if b > 31:
            return m
        if n == 0:
            return b if a >> b & 1 else m
        places = [i for i in (range(b, 32) if n > 0 else range(b, -1, -1)) if a >> i & 1]
        return places[abs(n) - 1] if abs(n) <= len(places) else m

    form("and.b32 %r6, {2}, 63; fns.b32 {0}, {1}, %r6, {3}", "w", "www", "int", lambda a, b, c: nth(a, b & 63, c))


def bytes_and_halves(form):
    m = 0xFFFFFFFF

    def parts(v, n, is_signed):
        w = 32 // n
        return [signed(v >> w * i, w) if is_signed else v >> w * i & ((1 << w) - 1) for i in range(n)]

    def join(values, w):
        return sum((v & ((1 << w) - 1)) << w * i for i, v in enumerate(values))

    for a in "us":
        for b in "us":
            form(f"dp4a.{a}32.{b}32", "w", "www", "int", lambda x, y, c, a=a, b=b:
                 c + sum(i * j for i, j in zip(parts(x, 4, a == "s"), parts(y, 4, b == "s"))) & m)
            for half in ("lo", "hi"):
                form(f"dp2a.{half}.{a}32.{b}32", "w", "www", "int", lambda x, y, c, a=a, b=b, h=half:
                     c + sum(i * j for i, j in zip(parts(x, 2, a == "s"), parts(y, 4, b == "s")[2 if h == "hi" else 0:])) & m)
        s = a == "s"
        for op, f in (("add", lambda x, y: x + y), ("min", min), ("max", max)):
            form(f"{op}.{a}16x2", "w", "ww", "int", lambda x, y, f=f, s=s: join([f(i, j) for i, j in zip(parts(x, 2, s), parts(y, 2, s))], 16))
        for n in (2, 4):
            w = 32 // n
            for op, f in (("vadd", lambda x, y: x + y), ("vsub", lambda x, y: x - y), ("vabsdiff", lambda x, y: abs(x - y)),
                          ("vmin", min), ("vmax", max), ("vavrg", lambda x, y: (x + y + (x + y >= 0)) >> 1)):
                t = f"{a}32.{a}32.{a}32"
                lanes = lambda x, y, f=f, n=n, s=s: [f(i, j) for i, j in zip(parts(x, n, s), parts(y, n, s))]
                form(f"{op}{n}.{t}", "w", "www", "int", lambda x, y, c, g=lanes, w=w: join(g(x, y), w))
                form(f"{op}{n}.{t}.sat", "w", "www", "int", lambda x, y, c, g=lanes, w=w, s=s: join([clamp(v, w, s) for v in g(x, y)], w))
            form(f"vabsdiff{n}.u32.{a}32.{a}32.add", "w", "www", "int", lambda x, y, c, n=n, s=s, w=w:
                 c + sum(abs(i - j) & ((1 << w) - 1) for i, j in zip(parts(x, n, s), parts(y, n, s))) & m)
            form(f"vset{n}.{a}32.{a}32.le", "w", "www", "int", lambda x, y, c, n=n, s=s, w=w:
                 join([int(i <= j) for i, j in zip(parts(x, n, s), parts(y, n, s))], w))
    for op, f in (("min", min), ("max", max)):
        for name in (f"{op}.s16x2.relu", f"{op}.relu.s16x2"):
            form(name, "w", "ww", "int", lambda x, y, f=f: join([max(0, f(i, j)) for i, j in zip(parts(x, 2, True), parts(y, 2, True))], 16))


ROUNDINGS = ("rn", "rz", "rm", "rp")


def extreme(name, x, y, nan=False):
    """min or max of numbers."""
    if x == NAN or y == NAN:
        if nan or x == y:
            return NAN
        return y if x == NAN else x
    a, b = exact.key(x), exact.key(y)
    if a == b:  # -0 is below +0
        less = x if x[0] >= y[0] else y
        more = y if less is x else x
    else:
        less, more = (x, y) if a < b else (y, x)
    return less if name == "min" else more


def by_magnitude(name, f, ftz=False, nan=False):
    """.xorsign.abs: min or max of magnitudes, with the exclusive or of the signs, also where one of them is NaN."""
    def meaning(a, b):
        sign = 1 << (f.bits - 1)
        r = encode(extreme(name, decode(a & ~sign, f, ftz), decode(b & ~sign, f, ftz), nan), f)
        return r if r == f.nan else r | (a ^ b) & sign
    return meaning


def floats(form):
    for t, r, f in (("f32", "w", exact.F32), ("f64", "q", exact.F64)):
        for ftz in (("", ".ftz") if t == "f32" else ("",)):
            z = bool(ftz)

            def put(text, n, operation, mode="rn", sat=False, f=f, z=z, r=r, t=t):
                def meaning(*v):
                    x = operation(*[decode(k, f, z) for k in v])
                    if sat:  # of the rounded value; rounding and clamping to [0, 1] commute
                        x = exact.saturated(x)
                    return encode(x, f, mode, z)
                form(text, r, r * n, t, meaning)

            for mode in ROUNDINGS:
                for sat in (("", ".sat") if t == "f32" else ("",)):
                    s = bool(sat)
                    put(f"add.{mode}{ftz}{sat}.{t}", 2, lambda x, y, m=mode: exact.add(x, y, m), mode, s)
                    put(f"sub.{mode}{ftz}{sat}.{t}", 2, lambda x, y, m=mode: exact.add(x, exact.negate(y), m), mode, s)
                    put(f"mul.{mode}{ftz}{sat}.{t}", 2, exact.mul, mode, s)
                    put(f"fma.{mode}{ftz}{sat}.{t}", 3, lambda x, y, c, m=mode: exact.add(exact.mul(x, y), c, m), mode, s)
                put(f"div.{mode}{ftz}.{t}", 2, exact.div, mode)
                put(f"rcp.{mode}{ftz}.{t}", 1, lambda x: exact.div((0, 1, 0), x), mode)
                put(f"sqrt.{mode}{ftz}.{t}", 1, exact.sqrt, mode)
            put(f"add{ftz}.{t}", 2, exact.add)
            put(f"mul{ftz}.{t}", 2, exact.mul)
            for name in ("min", "max"):
                put(f"{name}{ftz}.{t}", 2, lambda x, y, n=name: extreme(n, x, y))
                if t == "f32":
                    put(f"{name}{ftz}.NaN.{t}", 2, lambda x, y, n=name: extreme(n, x, y, nan=True))
                    form(f"{name}{ftz}.xorsign.abs.f32", r, r * 2, t, by_magnitude(name, f, z))
                    form(f"{name}{ftz}.NaN.xorsign.abs.f32", r, r * 2, t, by_magnitude(name, f, z, True))
        sign = 1 << (f.bits - 1)
        form(f"neg.{t}", r, r, t, lambda a, s=sign: a ^ s)
        form(f"abs.{t}", r, r, t, lambda a, s=sign: a & ~s)
        form(f"copysign.{t}", r, r * 2, t, lambda a, b, s=sign: b & ~s | a & s)
        tests = {"finite": lambda x: x != NAN and x[1] != INF, "infinite": exact.is_inf, "number": lambda x: x != NAN,
                 "notanumber": lambda x: x == NAN}
        for name, g in tests.items():
            form(f"testp.{name}.{t}", "p", r, t, lambda a, g=g, f=f: int(g(decode(a, f))))
        low = 1 << f.fraction
        form(f"testp.normal.{t}", "p", r, t, lambda a, s=sign, l=low, f=f: int(l <= a & ~s < f.top << f.fraction))
        form(f"testp.subnormal.{t}", "p", r, t, lambda a, s=sign, l=low: int(0 < a & ~s < l))


def halves(form):
    for t in ("f16", "bf16"):
        f = FORMATS[t]

        def packed(g):
            return lambda *v: g(*[x & 0xFFFF for x in v]) | g(*[x >> 16 for x in v]) << 16

        def put(op, n, g):
            form(f"{op}.{t}", "h", "h" * n, "half", g)
            form(f"{op}.{t}x2", "w", "w" * n, "pair", packed(g))

        def value(operation, z=False, sat=False, relu=False, f=f):
            def g(*v):
                x = operation(*[decode(k, f, z) for k in v])
                if sat:
                    x = exact.saturated(x)
                r = encode(x, f, "rn", z)
                return 0 if relu and r != f.nan and r >> 15 else r
            return g

        fma = lambda x, y, c: exact.add(exact.mul(x, y), c)
        sub = lambda x, y: exact.add(x, exact.negate(y))
        for z in ("", ".ftz") if t == "f16" else ("",):
            for s in ("", ".sat"):
                put(f"add.rn{z}{s}", 2, value(exact.add, z, s))
                put(f"sub{z}{s}", 2, value(sub, z, s))
                put(f"mul.rn{z}{s}", 2, value(exact.mul, z, s))
                put(f"fma.rn{z}{s}", 3, value(fma, z, s))
            put(f"fma.rn{z}.relu", 3, value(fma, z, False, True))
            for name in ("min", "max"):
                put(f"{name}{z}", 2, value(lambda x, y, n=name: extreme(n, x, y), z))
                put(f"{name}{z}.NaN", 2, value(lambda x, y, n=name: extreme(n, x, y, nan=True), z))
                put(f"{name}{z}.xorsign.abs", 2, by_magnitude(name, f, bool(z)))
                put(f"{name}{z}.NaN.xorsign.abs", 2, by_magnitude(name, f, bool(z), True))
        put("neg", 1, lambda a: a ^ 0x8000)
        put("abs", 1, lambda a: a & 0x7FFF)


COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan")


def comparisons(form):
    for c in COMPARISONS:
        for t, r, kind in (("f32", "w", "f32"), ("f64", "q", "f64"), ("f16", "h", "half"), ("bf16", "h", "half")):
            f = FORMATS[t]
            for z in ("", ".ftz") if t in ("f32", "f16") else ("",):
                g = lambda a, b, c=c, f=f, z=bool(z): exact.compare(c, decode(a, f, z), decode(b, f, z))
                form(f"setp.{c}{z}.{t}", "p", r * 2, kind, lambda a, b, g=g: int(g(a, b)))
                form(f"set.{c}{z}.u32.{t}", "w", r * 2, kind, lambda a, b, g=g: 0xFFFFFFFF if g(a, b) else 0)
                form(f"setp.{c}.or{z}.{t}", "p", r * 2 + "p", kind, lambda a, b, p, g=g: int(g(a, b)) | p)
                if t == "f32":
                    form(f"set.{c}{z}.f32.f32", "w", "ww", kind, lambda a, b, g=g: 0x3F800000 if g(a, b) else 0)
                if r == "h":
                    one = 0x3C00 if t == "f16" else 0x3F80
                    form(f"set.{c}{z}.{t}.{t}", "h", "hh", kind, lambda a, b, g=g, v=one: v if g(a, b) else 0)
                    form(f"set.{c}{z}.u16.{t}", "h", "hh", kind, lambda a, b, g=g: 0xFFFF if g(a, b) else 0)
                    both = lambda a, b, v, g=g: (v if g(a & 0xFFFF, b & 0xFFFF) else 0) | (v << 16 if g(a >> 16, b >> 16) else 0)
                    form(f"set.{c}{z}.{t}x2.{t}x2", "w", "ww", "pair", lambda a, b, h=both, v=one: h(a, b, v))
                    form(f"set.{c}{z}.u32.{t}x2", "w", "ww", "pair", lambda a, b, h=both: h(a, b, 0xFFFF))
                    form(f"setp.{c}{z}.{t}x2 %p5|%p6, {{1}}, {{2}}; selp.u32 %r6, 2, 0, %p6; selp.u32 %r5, 1, 0, %p5; or.b32 {{0}}, %r5, %r6",
                         "w", "ww", "pair", lambda a, b, g=g: int(g(a & 0xFFFF, b & 0xFFFF)) | int(g(a >> 16, b >> 16)) << 1)


INTEGERS = {f"{s}{w}": (w, s == "s") for s in "us" for w in (8, 16, 32, 64)}


def conversions(form):
    def register(w):
        return "q" if w == 64 else "w" if w == 32 else "h"

    kinds = {"f32": "f32", "f64": "f64", "f16": "half", "bf16": "half"}
    # 8-bit values live in 16-bit registers; a signed result fills its register.
    def stored(v, w, is_signed):
        return v & 0xFFFF if w == 8 and is_signed else v & ((1 << w) - 1)

    for d, (dw, ds) in INTEGERS.items():
        for s, (sw, ss) in INTEGERS.items():
            if d == s:
                continue
            source = lambda v, w=sw, g=ss: signed(v, w) if g else v & ((1 << w) - 1)
            form(f"cvt.{d}.{s}", register(dw), register(sw), "int",
                 lambda v, n=source, w=dw, g=ds: stored(signed(n(v), w) if g else n(v), w, g))
            form(f"cvt.sat.{d}.{s}", register(dw), register(sw), "int", lambda v, n=source, w=dw, g=ds: stored(clamp(n(v), w, g), w, g))
        for t, kind in kinds.items():
            f = FORMATS[t]
            for mode in ROUNDINGS:
                for z in ("", ".ftz") if t == "f32" else ("",):
                    def to_int(v, f=f, z=bool(z), m=mode, w=dw, g=ds):
                        x = decode(v, f, z)
                        if x == NAN:
                            return 1 << (w - 1) if w == 64 or f.bits == 64 else 0
                        if x[1] == INF:
                            n = -(1 << 200) if x[0] else 1 << 200
                        else:
                            s, k, e = exact.integral(x, m)
                            n = (-1 if s else 1) * (k << e if e >= 0 else k >> -e)
                        return stored(clamp(n, w, g), w, g)
                    form(f"cvt.{mode}i{z}.{d}.{t}", register(dw), register(f.bits), kind, to_int)
                source = lambda v, w=dw, g=ds: signed(v, w) if g else v & ((1 << w) - 1)
                def from_int(v, n=source, f=f, m=mode):
                    k = n(v)
                    return encode((int(k < 0), abs(k), 0), f, m)
                form(f"cvt.{mode}.{t}.{d}", register(f.bits), register(dw), "int", from_int)
    for mode in ROUNDINGS:
        for d, s in (("f32", "f64"), ("f16", "f32"), ("bf16", "f32"), ("f16", "f64"), ("bf16", "f64")):
            to, frm = FORMATS[d], FORMATS[s]
            form(f"cvt.{mode}.{d}.{s}", register(to.bits), register(frm.bits), s, lambda v, t=to, f=frm, m=mode: encode(decode(v, f), t, m))
            form(f"cvt.{mode}.sat.{d}.{s}", register(to.bits), register(frm.bits), s,
                 lambda v, t=to, f=frm, m=mode: encode(exact.saturated(decode(v, f)), t, m))
        form(f"cvt.{mode}.ftz.f32.f64", "w", "q", "f64", lambda v, m=mode: encode(decode(v, exact.F64), exact.F32, m, True))
        for t, kind in kinds.items():
            f = FORMATS[t]
            r = register(f.bits)
            form(f"cvt.{mode}i.{t}.{t}", r, r, kind, lambda v, f=f, m=mode: encode(exact.integral(decode(v, f), m), f))
            if t == "f32":
                form(f"cvt.{mode}i.ftz.sat.f32.f32", r, r, kind,
                     lambda v, f=f, m=mode: encode(exact.saturated(exact.integral(decode(v, f, True), m)), f))
    for s in ("f16", "bf16"):
        f = FORMATS[s]
        form(f"cvt.f32.{s}", "w", "h", "half", lambda v, f=f: encode(decode(v, f), exact.F32))
        form(f"cvt.f64.{s}", "q", "h", "half", lambda v, f=f: encode(decode(v, f), exact.F64))
        form(f"cvt.sat.f32.{s}", "w", "h", "half", lambda v, f=f: encode(exact.saturated(decode(v, f)), exact.F32))
    form("cvt.f64.f32", "q", "w", "f32", lambda v: encode(decode(v, exact.F32), exact.F64))
    form("cvt.ftz.f64.f32", "q", "w", "f32", lambda v: encode(decode(v, exact.F32, True), exact.F64))
    form("cvt.sat.f32.f32", "w", "w", "f32", lambda v: encode(exact.saturated(decode(v, exact.F32)), exact.F32))
    form("cvt.ftz.f32.f32", "w", "w", "f32", lambda v: encode(decode(v, exact.F32, True), exact.F32))

    def relu(x):
        return x if x == NAN or not x[0] else (0, 0, 0)

    for mode in ("rn", "rz"):
        for d in ("f16", "bf16"):
            to = FORMATS[d]
            for tail, g, sf in (("", lambda x: x, False), (".relu", relu, False), (".satfinite", lambda x: x, True), (".relu.satfinite", relu, True)):
                one = lambda v, t=to, m=mode, g=g, sf=sf: encode(g(decode(v, exact.F32)), t, m, satfinite=sf)
                form(f"cvt.{mode}{tail}.{d}.f32", "h", "w", "f32", one)
                form(f"cvt.{mode}{tail}.{d}x2.f32", "w", "ww", "f32", lambda a, b, o=one: o(a) << 16 | o(b))
        for tail, g, sf in (("", lambda x: x, False), (".relu", relu, False), (".satfinite", lambda x: x, True)):
            form(f"cvt.{mode}{tail}.tf32.f32", "w", "w", "f32",
                 lambda v, m=mode, g=g, sf=sf: encode(g(decode(v, exact.F32)), exact.TF32, m, satfinite=sf))
    form("cvt.rna.tf32.f32", "w", "w", "f32", lambda v: encode(decode(v, exact.F32), exact.TF32, "rna"))
    form("cvt.rna.satfinite.tf32.f32", "w", "w", "f32", lambda v: encode(decode(v, exact.F32), exact.TF32, "rna", satfinite=True))
    for d in ("e4m3", "e5m2"):
        to = FORMATS[d]
        for tail, g in (("", lambda x: x), (".relu", relu)):
            one = lambda v, f, t=to, g=g: encode(g(decode(v, f)), t, "rn", satfinite=True)
            form(f"cvt.rn.satfinite{tail}.{d}x2.f32", "h", "ww", "f32", lambda a, b, o=one: o(a, exact.F32) << 8 | o(b, exact.F32))
            form(f"cvt.rn.satfinite{tail}.{d}x2.f16x2", "h", "w", "pair",
                 lambda a, o=one: o(a >> 16, exact.F16) << 8 | o(a & 0xFFFF, exact.F16))
            wide = lambda v, t=to, g=g: encode(g(decode(v, t)), exact.F16)
            form(f"cvt.rn{tail}.f16x2.{d}x2", "w", "h", "int", lambda a, o=wide: o(a >> 8) << 16 | o(a & 255))


def moves(form):
    m = 0xFFFFFFFF
    form("mov.b64 {0}, {{{1}, {2}}}", "q", "ww", "int", lambda a, b: b << 32 | a)
    form("mov.b64 {0}, {{{1}, {2}, {3}, {4}}}", "q", "hhhh", "int", lambda a, b, c, d: a | b << 16 | c << 32 | d << 48)
    form("mov.b32 {0}, {{{1}, {2}}}", "w", "hh", "int", lambda a, b: b << 16 | a)
    form("mov.b64 {{%r6, {0}}}, {1}", "w", "q", "int", lambda a: a >> 32)
    form("mov.b32 {{{0}, %h6}}, {1}", "h", "w", "int", lambda a: a & 0xFFFF)
    form("mov.b64 {{%h5, %h6, {0}, %h8}}, {1}", "h", "q", "int", lambda a: a >> 32 & 0xFFFF)
