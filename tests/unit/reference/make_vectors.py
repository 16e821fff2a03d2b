#!/usr/bin/env python3
"""Writes Vectors.inc: attention results by numpy in fp64, for ReferenceTest.cpp. Needs numpy; the tests do not.

Inputs are small fractions given by a formula, exact in both 16-bit types, so that only results are kept.
"""
import numpy as np

# name, batch, headsQ, headsKv, lengthQ, lengthKv, dimQk, dimV, scale, softcap, mask terms (left, right, bottom_right)
CASES = [
    ("plain", 1, 1, 1, 3, 5, 8, 8, None, None, []),
    ("grouped", 2, 4, 2, 2, 3, 8, 16, None, None, []),
    ("causalTopLeft", 1, 1, 1, 4, 6, 8, 8, None, None, [(None, 0, False)]),
    ("causalBottomRight", 1, 1, 1, 5, 3, 8, 8, None, None, [(None, 0, True)]),
    ("window", 1, 1, 1, 6, 6, 16, 8, 0.75, None, [(1, 2, False)]),
    ("windowBottomRight", 1, 1, 1, 3, 7, 8, 8, None, None, [(2, 0, True)]),
    ("conjunction", 1, 1, 1, 6, 4, 8, 8, None, None, [(None, 0, False), (1, 3, True)]),
    ("softcap", 1, 2, 1, 2, 4, 8, 8, 1.5, 0.5, []),
    ("negativeScale", 1, 1, 1, 2, 4, 8, 8, -0.25, None, []),
]


def element(array, index):
    return ((index * 7919 + array * 104729 + index * index * 31) % 257 - 128) / 64


def inputs(array, shape):
    count = int(np.prod(shape))
    return np.array([element(array, i) for i in range(count)], dtype=np.float64).reshape(shape)


def attention(q, k, v, scale, softcap, mask):
    lq, lkv = q.shape[0], k.shape[0]
    s = q @ k.T * scale
    if softcap:
        s = softcap * np.tanh(s / softcap)
    i, j = np.arange(lq)[:, None], np.arange(lkv)[None, :]
    for left, right, bottom_right in mask:
        d = j - (i + (lkv - lq if bottom_right else 0))
        if left is not None:
            s = np.where(d >= -left, s, -np.inf)
        if right is not None:
            s = np.where(d <= right, s, -np.inf)
    m = np.where(np.isinf(s.max(1)), 0, s.max(1))
    p = np.exp(s - m[:, None])
    l = p.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(l[:, None] > 0, p @ v / l[:, None], 0), np.where(l > 0, m + np.log(l), -np.inf)


def number(x):
    return "-infinity" if np.isinf(x) else float(x).hex()


def optional(x, suffix=""):
    return "{}" if x is None else str(x) + suffix


with open("Vectors.inc", "w") as out:
    out.write("// Written by make_vectors.py (numpy, fp64). clang-format off\n")
    for name, b, hq, hkv, lq, lkv, dqk, dv, scale, cap, mask in CASES:
        q, k, v = inputs(0, (b, hq, lq, dqk)), inputs(1, (b, hkv, lkv, dqk)), inputs(2, (b, hkv, lkv, dv))
        o, lse = [], []
        for bi in range(b):
            for h in range(hq):
                kv = h // (hq // hkv)
                r = attention(q[bi, h], k[bi, kv], v[bi, kv], dqk**-0.5 if scale is None else scale, cap, mask)
                o += list(r[0].ravel())
                lse += list(r[1])
        terms = ", ".join(
            "{%s, %s, MaskAlign::%s}" % (optional(l), optional(r), "BottomRight" if br else "TopLeft") for l, r, br in mask
        )
        out.write(
            f'{{"{name}", {b}, {hq}, {hkv}, {lq}, {lkv}, {dqk}, {dv}, {optional(scale)}, {optional(cap)}, {{{terms}}},\n'
        )
        out.write(" {%s},\n {%s}},\n" % (", ".join(map(number, o)), ", ".join(map(number, lse))))
