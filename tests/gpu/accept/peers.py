"""Whom attune is measured beside. A peer is made for a cell and may raise: that is its reason, and is listed.

`make(side, cell, q, k, v)` gives a callable that computes O (batch, length, heads, dim) and returns it as the side's own
object. `host`: it runs on the host, so it is timed by its clock; all that run on the GPU are timed by events."""
import importlib
import importlib.util
import math
import sys
from pathlib import Path

import numpy as np

from . import arrays


class Refused(Exception):
    """This peer is not asked for this cell, for a reason of ours."""


def group_of(cell):
    return cell["heads_q"] // cell["heads_kv"]


def causal(cell):
    mask = cell["spec"]["mask"]
    if mask not in ("none", "causal"):
        raise Refused(f"no such mask here: {mask}")
    return mask == "causal"


def bhsd(array):
    return array.data.transpose(1, 2)


# --- torch -------------------------------------------------------------------------------------------------------------
def sdpa(backend):
    def make(side, cell, q, k, v):
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel
        one, is_causal, grouped = getattr(SDPBackend, backend), causal(cell), group_of(cell) > 1
        # Named alone, a back end that cannot raises instead of giving way to another.
        def run():
            with sdpa_kernel(one):
                return torch.nn.functional.scaled_dot_product_attention(bhsd(q), bhsd(k), bhsd(v), is_causal=is_causal,
                                                                        enable_gqa=grouped).transpose(1, 2)
        return run
    return make


def flex(side, cell, q, k, v):
    import torch
    from torch.nn.attention import flex_attention as fa
    is_causal = causal(cell)
    if cell["spec"]["dtype"] != "bf16" or group_of(cell) > 1 or cell["length_q"] not in (2048, 16384):
        raise Refused("asked for bf16, lengths 2048 and 16384, without grouped heads only: it compiles for seconds a cell")
    for name in ("recompile_limit", "cache_size_limit"):
        if hasattr(torch._dynamo.config, name):
            setattr(torch._dynamo.config, name, 256)
    mask = None
    if is_causal:
        mask = fa.create_block_mask(lambda b, h, i, j: i >= j, None, None, cell["length_q"], cell["length_kv"],
                                    device=q.data.device)
    compiled = torch.compile(fa.flex_attention, dynamic=False)
    return lambda: compiled(bhsd(q), bhsd(k), bhsd(v), block_mask=mask).transpose(1, 2)


TRITON_CONFIGS = {64: [(128, 64, 4, 3), (128, 128, 8, 2)], 128: [(128, 64, 8, 3), (128, 128, 8, 2)],
                  256: [(128, 64, 8, 2), (64, 64, 4, 2)]}  # block_q, block_kv, warps, stages
triton_choice = {}


def triton(side, cell, q, k, v):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "perf"))
    import torch
    from triton_attention import attention
    s, is_causal = cell["spec"], causal(cell)
    dim = s["head_dim_qk"]
    if dim != s["head_dim_v"] or dim not in TRITON_CONFIGS:
        raise Refused(f"no configuration for head dims {dim}/{s['head_dim_v']}")
    out, length, heads = torch.empty_like(q.data), cell["length_q"], cell["heads_q"]
    lse = torch.empty((cell["batch"], heads, length), dtype=torch.float32, device=q.data.device)
    strides = [n for array in (q, k, v, q) for n in array.strides()]

    def launch(config):
        block_q, block_kv, warps, stages = config
        attention[(-(-length // block_q), heads, cell["batch"])](
            q.data, k.data, v.data, out, lse, *strides, length, group_of(cell), heads,
            1.4426950408889634 / math.sqrt(dim), HEAD_DIM=dim, BLOCK_Q=block_q, BLOCK_KV=block_kv, CAUSAL=is_causal,
            num_warps=warps, num_stages=stages)
        return out

    key = (dim, is_causal, s["dtype"])
    if key not in triton_choice:  # as its autotuner would, once a kind
        times = []
        for config in TRITON_CONFIGS[dim]:
            try:
                launch(config)
                start, stop = side.event(), side.event()
                side.record(start)
                for _ in range(5):
                    launch(config)
                side.record(stop)
                times.append((side.elapsed(start, stop), config))
            except Exception as error:  # noqa: BLE001: out of shared memory, say
                if config == TRITON_CONFIGS[dim][-1] and not times:
                    raise error
        triton_choice[key] = min(times)[1]
    return lambda: launch(triton_choice[key])


# --- others, where they are installed ------------------------------------------------------------------------------------
FLASH_ATTENTION_3 = ("flash_attn_interface", "fa3_fwd_interface")  # built from source; the wheel fa3-fwd, bf16 and fp8


def flash_attention_3_module():
    for name in FLASH_ATTENTION_3:
        if importlib.util.find_spec(name):
            return importlib.import_module(name)
    raise ImportError(f"none of {' and '.join(FLASH_ATTENTION_3)} is installed")


def flash_attention_3(side, cell, q, k, v):
    module, is_causal = flash_attention_3_module(), causal(cell)
    if module.__name__ == "fa3_fwd_interface" and cell["spec"]["dtype"] == "fp16":
        raise Refused("the wheel fa3-fwd has no fp16")

    def run():
        out = module.flash_attn_func(q.data, k.data, v.data, causal=is_causal)
        return out[0] if isinstance(out, tuple) else out
    return run


def flash_attention_2(side, cell, q, k, v):
    from flash_attn import flash_attn_func
    is_causal = causal(cell)
    return lambda: flash_attn_func(q.data, k.data, v.data, causal=is_causal)


def flashinfer(side, cell, q, k, v):
    import flashinfer as fi
    import torch
    is_causal, s = causal(cell), cell["spec"]
    room = torch.empty(256 << 20, dtype=torch.uint8, device=q.data.device)
    wrapper = fi.BatchPrefillWithRaggedKVCacheWrapper(room, "NHD")
    starts = torch.arange(cell["batch"] + 1, dtype=torch.int32, device=q.data.device)
    wrapper.plan(starts * cell["length_q"], starts * cell["length_kv"], cell["heads_q"], cell["heads_kv"], s["head_dim_qk"],
                 head_dim_vo=s["head_dim_v"], causal=is_causal, q_data_type=q.data.dtype)
    return lambda: wrapper.run(q.data.flatten(0, 1), k.data.flatten(0, 1), v.data.flatten(0, 1)).view(q.shape[:3] + (
        s["head_dim_v"],))


# --- for the tests -------------------------------------------------------------------------------------------------------
def plain_numpy(side, cell, q, k, v):
    if side.recorded:
        return lambda: np.zeros(q.shape, np.float32)
    wide = [arrays.from_bits(array.data, array.dtype) for array in (q, k, v)]
    dtype, mask = cell["spec"]["dtype"], cell["spec"]["mask"]
    return lambda: arrays.attention(*wide, mask, plain16=dtype)[0]


def wrong_numpy(side, cell, q, k, v):
    good = plain_numpy(side, cell, q, k, v)
    return lambda: good() + np.float32(0.5)


def broken_numpy(side, cell, q, k, v):
    raise RuntimeError("made to fail")


class Peer:
    def __init__(self, name, make, module="", host=False):
        # Modules that it needs, with bars between alternatives.
        self.name, self.make, self.module, self.host = name, make, module, host

    def missing(self):
        """Why it cannot even be tried; empty if it can."""
        for names in self.module.split():
            try:
                if all(importlib.util.find_spec(name) is None for name in names.split("|")):
                    return f"{names.replace('|', ' or ')} is not installed"
            except (ImportError, ValueError) as error:
                return f"{names}: {error}"
        return ""


PEERS = [
    Peer("cuDNN (torch)", sdpa("CUDNN_ATTENTION"), "torch"),
    Peer("FlashAttention-2 (torch)", sdpa("FLASH_ATTENTION"), "torch"),
    Peer("efficient (torch)", sdpa("EFFICIENT_ATTENTION"), "torch"),
    Peer("Triton", triton, "torch triton"),
    Peer("FlexAttention", flex, "torch"),
    Peer("FlashAttention-3", flash_attention_3, "torch flash_attn_interface|fa3_fwd_interface"),
    Peer("FlashAttention-2", flash_attention_2, "torch flash_attn"),
    Peer("FlashInfer", flashinfer, "torch flashinfer"),
]
TEST_PEERS = [Peer("numpy", plain_numpy, host=True), Peer("wrong numpy", wrong_numpy, host=True),
              Peer("broken numpy", broken_numpy, host=True), Peer("absent", plain_numpy, "attune_no_such_module")]
