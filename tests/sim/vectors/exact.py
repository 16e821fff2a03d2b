"""Floating point in Python integers: what an instruction's result is, stated from IEEE 754 and the PTX ISA.

A number is (sign, m, e) for (-1)^sign * m * 2^e, or (sign, INF), or NAN. Nothing here shares code with the simulator, nor
does it use the host's floating point.
"""
from math import isqrt

INF, NAN = "inf", "nan"


class Format:
    def __init__(self, bits, exponent, fraction, nan, infinity=True, shift=0):
        self.bits, self.exponent, self.fraction, self.nan, self.infinity, self.shift = bits, exponent, fraction, nan, infinity, shift
        self.bias = (1 << (exponent - 1)) - 1
        self.top = (1 << exponent) - 1


F16 = Format(16, 5, 10, 0x7FFF)
BF16 = Format(16, 8, 7, 0x7FFF)
TF32 = Format(32, 8, 10, 0x7FFFFFFF, shift=13)
F32 = Format(32, 8, 23, 0x7FFFFFFF)
F64 = Format(64, 11, 52, None)  # any NaN will do
E4M3 = Format(8, 4, 3, 0x7F, infinity=False)
E5M2 = Format(8, 5, 2, 0x7F)
FORMATS = {"f16": F16, "bf16": BF16, "tf32": TF32, "f32": F32, "f64": F64, "e4m3": E4M3, "e5m2": E5M2}


def decode(v, f, ftz=False):
    v >>= f.shift
    m, e, s = v & ((1 << f.fraction) - 1), v >> f.fraction & f.top, v >> (f.fraction + f.exponent) & 1
    if e == f.top and (f.infinity or m == (1 << f.fraction) - 1):
        return NAN if m or not f.infinity else (s, INF)
    if e:
        return (s, m | 1 << f.fraction, e - f.bias - f.fraction)
    return (s, 0 if ftz else m, 1 - f.bias - f.fraction)


def encode(x, f, mode="rn", ftz=False, satfinite=False):
    """The bits of an exact number, rounded once. None stands for any NaN."""
    if x == NAN:
        return f.nan
    s = x[0]
    sign = s << (f.exponent + f.fraction)
    greatest = (f.top << f.fraction) - 1 if f.infinity else (1 << (f.exponent + f.fraction)) - 2
    if x[1] == INF:
        return (sign | (greatest if satfinite or not f.infinity else greatest + 1)) << f.shift
    _, m, e = x
    if m == 0:
        return sign << f.shift
    lead = e + m.bit_length() - 1
    unit = max(lead, 1 - f.bias) - f.fraction  # the last place of the result
    if e >= unit:
        n, rest, whole = m << (e - unit), 0, 1
    else:
        whole = 1 << (unit - e)
        n, rest = m >> (unit - e), m & (whole - 1)
    up = {"rn": 2 * rest > whole or (2 * rest == whole and n & 1), "rna": 2 * rest >= whole and rest > 0, "rz": False,
          "rp": not s and rest > 0, "rm": s and rest > 0}[mode]
    n += bool(up)
    bits = n + ((unit + f.fraction + f.bias - 1) << f.fraction)
    if bits > greatest:
        to_inf = mode in ("rn", "rna") or (mode == "rp" and not s) or (mode == "rm" and s)
        bits = greatest + 1 if to_inf and not satfinite else greatest
    if ftz and bits >> f.fraction == 0:
        bits = 0
    return (sign | bits) << f.shift


def negate(x):
    return x if x == NAN else (1 - x[0],) + x[1:]


def is_inf(x):
    return x != NAN and x[1] == INF


def add(x, y, mode="rn"):
    if x == NAN or y == NAN:
        return NAN
    if is_inf(x) or is_inf(y):
        if is_inf(x) and is_inf(y) and x[0] != y[0]:
            return NAN
        return x if is_inf(x) else y
    e = min(x[2], y[2])
    total = sum((-1 if s else 1) * (m << (k - e)) for s, m, k in (x, y))
    if total == 0:
        if x[1] == 0 and y[1] == 0 and x[0] == y[0]:
            return (x[0], 0, e)
        return (1 if mode == "rm" else 0, 0, e)
    return (int(total < 0), abs(total), e)


def mul(x, y):
    if x == NAN or y == NAN:
        return NAN
    s = x[0] ^ y[0]
    if is_inf(x) or is_inf(y):
        other = y if is_inf(x) else x
        return NAN if not is_inf(other) and other[1] == 0 else (s, INF)
    return (s, x[1] * y[1], x[2] + y[2])


def div(x, y):
    if x == NAN or y == NAN:
        return NAN
    s = x[0] ^ y[0]
    if is_inf(x):
        return NAN if is_inf(y) else (s, INF)
    if is_inf(y):
        return (s, 0, 0)
    if y[1] == 0:
        return NAN if x[1] == 0 else (s, INF)
    q, r = divmod(x[1] << 130, y[1])  # a remainder only says that the result is not exact
    return (s, 2 * q + (r != 0), x[2] - y[2] - 131)


def sqrt(x):
    if x == NAN or (x[0] and x[1] != 0):
        return NAN
    if is_inf(x) or x[1] == 0:
        return x
    m, e = x[1] << 140, x[2] - 140
    if e & 1:
        m, e = m << 1, e - 1
    r = isqrt(m)
    return (0, 2 * r + (r * r != m), e // 2 - 1)


def key(x):
    """An order of numbers, zeros of both signs being equal. Pairs compare exactly (mantissas brought to one exponent)."""
    if x[1] == INF:
        return (-1, 0) if x[0] else (1, 0)
    return (0, (-1 if x[0] else 1) * (x[1] << (x[2] + 1200)))


def compare(name, x, y):
    unordered = x == NAN or y == NAN
    if name == "num":
        return not unordered
    if name == "nan":
        return unordered
    if unordered:
        return len(name) == 3  # equ, ltu, ...
    a, b = key(x), key(y)
    return {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[name[:2]]


def saturated(x):
    """To [0, 1]; NaN becomes +0."""
    if x == NAN or x[0] or x[1] == 0:
        return (0, 0, 0)
    return (0, 1, 0) if x[1] == INF or key(x) > key((0, 1, 0)) else x


def integral(x, mode):
    if x == NAN or is_inf(x) or x[2] >= 0:
        return x
    s, m, e = x
    whole = 1 << -e
    n, rest = m >> -e, m & (whole - 1)
    up = {"rn": 2 * rest > whole or (2 * rest == whole and n & 1), "rz": False, "rp": not s and rest, "rm": s and rest}[mode]
    return (s, n + bool(up), 0)
