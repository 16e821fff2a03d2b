"""Attention in fp64 by NumPy, from its definition."""
import numpy as np


def numbers(shape, seed, dtype):
    """Random arrays in a 16-bit type; uint16 is the bits of bfloat16."""
    values = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    if dtype == np.uint16:
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(dtype)


def real(array):
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return array.astype(np.float64)


def attention(q, k, v, mask=None, score=None, scale=None):
    """Of (batch, sequence, heads, dim). `mask(b, h, q, kv)`, `score(score, b, h, q, kv)` take arrays of indices. Returns O and
    LSE (batch, heads, queries)."""
    q, k, v = (real(one).transpose(0, 2, 1, 3) for one in (q, k, v))
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
    scores = q @ k.swapaxes(-1, -2) * (scale or q.shape[-1] ** -0.5)
    place = np.ogrid[tuple(slice(extent) for extent in scores.shape)]
    if score is not None:
        scores = score(scores, *place)
    kept = np.broadcast_to(True if mask is None else mask(*place), scores.shape)
    scores = np.where(kept, scores, -np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        most = np.max(scores, -1, keepdims=True, initial=-np.inf)
        weights = np.where(kept, np.exp(scores - np.where(np.isinf(most), 0, most)), 0)
        sums = weights.sum(-1, keepdims=True)
        out = np.where(sums > 0, weights @ v / np.where(sums > 0, sums, 1), 0)
        lse = np.log(sums[..., 0]) + most[..., 0]
    return out.transpose(0, 2, 1, 3), lse
