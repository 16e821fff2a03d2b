"""Where the arrays of a measurement live: in torch, whose peers share them, or in plain device memory. Arrays are
(batch, length, heads, dim), dense."""
import math
import time

import numpy as np

from . import arrays

# Many times the L2 of any GPU; and it takes so long that what a peer's host code does meanwhile costs it nothing.
FLUSH_BYTES = 1 << 30


class Array:
    """A tensor of a side: `data` is the framework's own object."""

    def __init__(self, data, address, shape, dtype):
        self.data, self.address, self.shape, self.dtype = data, address, shape, dtype

    def strides(self):
        """Of batch, head and row, in elements."""
        _, length, heads, dim = self.shape
        return (length * heads * dim, dim, heads * dim)


class TorchSide:
    name = "torch"

    def __init__(self, driver):
        import torch
        self.torch, self.driver = torch, driver
        torch.zeros(1, device="cuda")  # makes its context, the primary one, before ours is used on
        self.dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16}
        self.room = torch.empty(FLUSH_BYTES // 4, dtype=torch.int32, device="cuda")
        self.recorded = driver.recorded

    def random(self, shape, dtype, seed):
        generator = self.torch.Generator("cuda").manual_seed(seed)
        data = self.torch.randn(shape, generator=generator, device="cuda", dtype=self.torch.float32).to(self.dtypes[dtype])
        return self.wrap(data, dtype)

    def empty(self, shape, dtype):
        """Filled with NaN, so that what is not written shows."""
        kind = self.dtypes.get(dtype, self.torch.float32)
        return self.wrap(self.torch.full(shape, float("nan"), dtype=kind, device="cuda"), dtype)

    def wrap(self, data, dtype):
        return Array(data, data.data_ptr(), tuple(data.shape), dtype)

    def stream(self):
        return self.torch.cuda.current_stream().cuda_stream

    def event(self):
        return self.torch.cuda.Event(enable_timing=True)

    def record(self, event):
        event.record()

    def elapsed(self, start, stop):
        stop.synchronize()
        return start.elapsed_time(stop)

    def flush(self):
        self.room.zero_()

    def synchronize(self):
        self.torch.cuda.synchronize()

    def fetch(self, array, b, h, rows=None):
        """float32 (1, rows, 1, dim) of one head."""
        part = array.data[b:b + 1, :, h:h + 1] if rows is None else array.data[b:b + 1, list(rows), h:h + 1]
        return part.float().cpu().numpy()

    def judge(self, spec, q, k, v):
        """A function from a contestant's O to its errors, over every element, by the rule of arrays.errors: O in fp64, and
        by the plain algorithm in the spec's type."""
        torch, kind = self.torch, self.dtypes[spec["dtype"]]
        batch, length, heads, dim = q.shape
        group, length_kv = heads // k.shape[2], k.shape[1]
        exact = torch.empty((batch, length, heads, v.shape[3]), dtype=torch.float32, device="cuda")
        apart = torch.zeros((), dtype=torch.float64, device="cuda")
        chunk = max(1, min(length, (1 << 27) // length_kv))  # rows of fp64 scores in a gigabyte
        for b in range(batch):
            for h in range(heads):
                wide_k, wide_v = k.data[b, :, h // group].double(), v.data[b, :, h // group].double()
                for first in range(0, length, chunk):
                    rows = slice(first, min(first + chunk, length))
                    hidden = None
                    if spec["mask"] == "causal":
                        hidden = torch.arange(rows.start, rows.stop, device="cuda")[:, None] < torch.arange(
                            length_kv, device="cuda")[None, :]
                    part = q.data[b, rows, h].double()

                    def o_of(part, keys, values, rounded):
                        scores = rounded(part @ keys.T * dim ** -0.5)
                        if hidden is not None:
                            scores = scores.masked_fill(hidden, -math.inf)
                        return rounded(rounded(torch.softmax(scores, -1)) @ values)

                    right = o_of(part, wide_k, wide_v, lambda x: x)
                    plain = o_of(part.float(), wide_k.float(), wide_v.float(), lambda x: x.to(kind).float())
                    apart = torch.maximum(apart, (plain.double() - right).abs().max())
                    exact[b, rows, h] = right.float()
        limit = max(2 * apart.item(), arrays.rounding(spec["dtype"]) * exact.abs().max().item())

        def errors(out):
            missed = out.float() - exact
            worst = missed.abs().max().item()
            if not np.isfinite(worst):
                return {"max": None, "rms": None, "limit": limit, "good": False, "why": "not finite"}
            return {"max": worst, "rms": missed.square().mean().sqrt().item(), "limit": limit, "good": worst <= limit}
        return errors

    def largest_difference(self, one, other):
        """Over every element; None if one has a NaN."""
        worst = (one.float() - other.float()).abs().max().item()
        return worst if np.isfinite(worst) else None

    def release(self):
        self.torch.cuda.empty_cache()


class PlainSide:
    """Device memory by the driver, arrays by numpy: no framework, and so no peers but those of the tests."""
    name = "numpy"

    def __init__(self, driver):
        self.driver, self.recorded, self.held = driver, driver.recorded, []
        self.room_bytes = 1 << 20 if driver.simulated else FLUSH_BYTES  # a simulated GPU has no cache
        self.room = driver.alloc(self.room_bytes)

    def allocate(self, nbytes):
        self.held.append(self.driver.alloc(nbytes))
        return self.held[-1]

    def random(self, shape, dtype, seed):
        address = self.allocate(2 * int(np.prod(shape)))
        if self.recorded:  # nothing will read it
            return Array(None, address, shape, dtype)
        data = arrays.normal(shape, dtype, seed)
        self.driver.copy_in(address, data)
        return Array(data, address, shape, dtype)

    def empty(self, shape, dtype):
        size = 4 if dtype == "f32" else 2
        address = self.allocate(size * int(np.prod(shape)))
        if not self.recorded:
            self.driver.fill(address, 0xFF, size * int(np.prod(shape)))
        return Array(None, address, shape, dtype)

    def stream(self):
        return 0

    def event(self):
        return self.driver.event()

    def record(self, event):
        event.record()

    def elapsed(self, start, stop):
        return stop.ms_since(start)

    def flush(self):
        self.driver.fill(self.room, 0, self.room_bytes)

    def synchronize(self):
        self.driver.synchronize()

    def whole(self, array):
        bits = np.empty(array.shape, np.uint16)
        self.driver.copy_out(bits, array.address)
        return arrays.from_bits(bits, array.dtype)

    def judge(self, spec, q, k, v):
        """As a TorchSide's."""
        wide = [arrays.from_bits(array.data, array.dtype) for array in (q, k, v)]
        exact = arrays.attention(*wide, spec["mask"])[0]
        plain = arrays.attention(*wide, spec["mask"], plain16=spec["dtype"])[0]
        return lambda out: arrays.errors(out, exact, plain, spec["dtype"])

    def fetch(self, array, b, h, rows=None):
        data = self.whole(array)
        return data[b:b + 1, :, h:h + 1] if rows is None else data[b:b + 1, list(rows), h:h + 1]

    def release(self):
        for address in self.held:
            self.driver.free(address)
        self.held = []


def open_side(driver):
    """(side, why there is no torch)."""
    if not driver.simulated:
        try:
            return TorchSide(driver), ""
        except Exception as error:  # noqa: BLE001: no torch, or one that does not see the GPU
            return PlainSide(driver), f"no torch: {type(error).__name__}: {error}"
    return PlainSide(driver), "the device is simulated"


def now_ms():
    return time.perf_counter() * 1e3
