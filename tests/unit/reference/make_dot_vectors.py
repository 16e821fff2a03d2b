#!/usr/bin/env python3
"""Writes DotVectors.inc: exact tensor-core dot products by Python's fractions, for TensorCoreTest.cpp.

The rule is transcribed here once more, in rational arithmetic, so that an error in the C++ is not repeated.
"""
import random
from fractions import Fraction
from math import floor

random.seed(20)


def decode(bits, dtype):
    """(value, exponent) of a finite 16-bit number."""
    f, bias = (7, 127) if dtype == "BF16" else (10, 15)
    sign = -1 if bits & 0x8000 else 1
    field = (bits & 0x7FFF) >> f
    fraction = bits & ((1 << f) - 1)
    exponent = max(field, 1) - bias
    significand = Fraction(fraction, 1 << f) + (1 if field else 0)
    return sign * significand, (exponent if significand else -126)


def decode32(bits):
    sign = -1 if bits >> 31 else 1
    field = bits >> 23 & 255
    significand = Fraction(bits & 0x7FFFFF, 1 << 23) + (1 if field else 0)
    return sign * significand, (max(field, 1) - 127 if significand else -126)


def trunc(x):
    return floor(x) if x >= 0 else -floor(-x)


def encode32(value):
    """Truncated toward zero; zero is +0."""
    if value == 0:
        return 0
    sign, value = (1 << 31, -value) if value < 0 else (0, value)
    e = 0
    while value >= Fraction(2) ** (e + 1):
        e += 1
    while value < Fraction(2) ** e:
        e -= 1
    e = max(e, -126)
    significand = trunc(value / Fraction(2) ** (e - 23))
    if e > 127:
        return sign | 0x7F800000
    if significand == 0:
        return 0
    return sign | (significand if significand < 1 << 23 else (e + 127) << 23 | significand & 0x7FFFFF)


def step(a, b, c, dtype, f):
    terms = [decode32(c)]
    for x, y in zip(a, b):
        (sx, ex), (sy, ey) = decode(x, dtype), decode(y, dtype)
        terms.append((sx * sy, ex + ey))
    largest = max(e for _, e in terms)
    total = sum(trunc(s * Fraction(2) ** (f + e - largest)) for s, e in terms)
    return encode32(total * Fraction(2) ** (largest - f))


def dot16(a, b, c, dtype, f, k):
    for i in range(0, 16, k):
        c = step(a[i : i + k], b[i : i + k], c, dtype, f)
    return c


def element(dtype, spread):
    f, bias, top = (7, 127, 255) if dtype == "BF16" else (10, 15, 31)
    kind = random.random()
    if kind < 0.05:
        return random.choice([0, 0x8000])
    if kind < 0.1:
        return random.getrandbits(1) << 15 | random.getrandbits(f)
    field = min(top - 1, max(0, bias + random.randint(-spread, spread)))
    return random.getrandbits(1) << 15 | field << f | random.getrandbits(f)


with open("DotVectors.inc", "w") as out:
    out.write("// Written by make_dot_vectors.py: dtype, a, b, addend, result with F = 24 and K = 8, with F = 25 and K = 16.\n")
    out.write("// clang-format off\n")
    for dtype in ("BF16", "F16"):
        for i in range(80):
            spread = [1, 4, 12, 100][i % 4]
            a = [element(dtype, spread) for _ in range(16)]
            b = [element(dtype, spread) for _ in range(16)]
            field = max(0, min(254, 127 + random.randint(-2 * spread, 2 * spread)))
            c = 0 if i % 5 == 0 else random.getrandbits(1) << 31 | field << 23 | random.getrandbits(23)
            r24, r25 = dot16(a, b, c, dtype, 24, 8), dot16(a, b, c, dtype, 25, 16)
            out.write(
                "{DType::%s, {%s}, {%s}, 0x%x, 0x%x, 0x%x},\n"
                % (dtype, ",".join(map(hex, a)), ",".join(map(hex, b)), c, r24, r25)
            )
