"""16-bit floats as bits, random inputs, and attention in fp64 and by the plain 16-bit algorithm."""
import numpy as np


def to_bits(values, dtype):
    """float32 to fp16 or bf16, to nearest even, as uint16."""
    values = np.asarray(values, np.float32)
    if dtype == "fp16":
        return values.astype(np.float16).view(np.uint16)
    word = values.view(np.uint32)
    return ((word + 0x7FFF + (word >> 16 & 1)) >> 16).astype(np.uint16)


def from_bits(bits, dtype):
    bits = np.asarray(bits, np.uint16)
    if dtype == "fp16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)


def normal(shape, dtype, seed):
    return to_bits(np.random.default_rng(seed).standard_normal(shape, np.float32), dtype)


def kept(mask, length_q, length_kv, rows=None):
    """Which keys each query row keeps, as booleans. `mask` is the spec's text or a list of them."""
    rows = np.arange(length_q) if rows is None else np.asarray(rows)
    i, j = rows[:, None], np.arange(length_kv)[None, :]
    keep = np.ones((len(rows), length_kv), bool)
    for text in [mask] if isinstance(mask, str) else mask:
        words = text.split(":")
        late = "bottom_right" in words
        at = i + (length_kv - length_q if late else 0)
        if words[0] == "causal":
            keep &= j <= at
        elif words[0] == "window":
            left, right = int(words[1]), int(words[2])
            keep &= (j >= at - left) & (j <= at + right)
        elif words[0] != "none":
            raise ValueError(f"unknown mask {text}")
    return keep


def attention(q, k, v, mask, softcap=None, scale=None, plain16=None, rows=None):
    """(batch, length, heads, dim) arrays to O and the log-sum-exp (batch, heads, rows).

    In fp64; or, with `plain16` a dtype, by the plain algorithm: scores and probabilities in that dtype, sums in fp32.
    `rows`: only these query rows of q, which holds only them."""
    kind = np.float32 if plain16 else np.float64
    q, k, v = (np.asarray(x).astype(kind) for x in (q, k, v))
    group = q.shape[2] // k.shape[2]
    scale = scale or 1 / np.sqrt(q.shape[3])
    length_q = q.shape[1] if rows is None else rows[1]
    keep = kept(mask, length_q, k.shape[1], None if rows is None else rows[0])
    out = np.zeros(q.shape[:3] + v.shape[3:], kind)
    lse = np.full((q.shape[0], q.shape[2], q.shape[1]), -np.inf, kind)

    def rounded(x):
        return from_bits(to_bits(x, plain16), plain16) if plain16 else x

    for b in range(q.shape[0]):
        for h in range(q.shape[2]):
            s = rounded(q[b, :, h] @ k[b, :, h // group].T * kind(scale))
            if softcap:
                s = rounded(kind(softcap) * np.tanh(s / kind(softcap)))
            s = np.where(keep, s, -np.inf)
            top = s.max(1, keepdims=True)
            some = np.isfinite(top)
            p = np.where(keep, np.exp(s - np.where(some, top, 0)), 0)
            total = p.sum(1, keepdims=True)
            p = rounded(p / np.where(total > 0, total, 1))
            out[b, :, h] = rounded(p @ v[b, :, h // group])
            with np.errstate(divide="ignore"):
                lse[b, h] = (np.where(some, top, 0) + np.log(total))[:, 0]
    return out, lse


def rounding(dtype):
    """Half a unit in the last place of a number below 1, relative to the largest."""
    return 2.0 ** (-9 if dtype == "bf16" else -12)


def errors(got, exact, plain, dtype):
    """How far `got` is from fp64, and the limit: twice the plain 16-bit algorithm's error, or one rounding."""
    got = np.asarray(got, np.float64)
    if not np.isfinite(got).all():
        return {"max": None, "rms": None, "limit": 0.0, "good": False, "why": "not finite"}
    beside = float(np.max(np.abs(plain.astype(np.float64) - exact), initial=0))
    one = rounding(dtype) * float(np.max(np.abs(exact), initial=0))
    worst, limit = float(np.max(np.abs(got - exact), initial=0)), max(2 * beside, one)
    return {"max": worst, "rms": float(np.sqrt(np.mean((got - exact) ** 2))), "limit": limit, "good": worst <= limit}
