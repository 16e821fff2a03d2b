"""What others reach where attune has no kernel yet, and what this GPU can give at all: a matrix product, a copy, 192/128,
backward, fp8 and decode. Rows are goals, not contests; they need torch, fp8 and the KV cache FlashAttention-3."""
import statistics

from . import peers
from .errors import Missing

LAUNCHES, WARM_UP = 12, 3
ROW_SECONDS = 2.0  # that a row may take at most, by what has been seen
DECODE = [(1, 1024, 32, 8), (1, 8192, 32, 8), (1, 32768, 32, 8), (1, 131072, 32, 8), (8, 8192, 32, 8), (32, 4096, 64, 8),
          (64, 8192, 64, 8), (128, 2048, 64, 8), (16, 8192, 32, 32)]  # batch, keys, query heads, KV heads


class Bench:
    """Kinds of rows as generators of (name, launch, operations or None, bytes or None)."""

    def __init__(self):
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel
        self.torch, self.backends, self.choose = torch, SDPBackend, sdpa_kernel
        self.room = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
        try:
            self.fa3 = peers.flash_attention_3_module()
        except ImportError:
            self.fa3 = None

    def normal(self, *shape, dtype=None):
        return self.torch.randn(*shape, device="cuda").to(dtype or self.torch.bfloat16)

    def sdpa(self, backend, q, k, v, causal, **more):
        with self.choose(getattr(self.backends, backend)):
            return self.torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, **more)

    def median_ms(self, launch):
        torch, taken = self.torch, []
        for _ in range(WARM_UP):
            launch()
        for _ in range(LAUNCHES):
            self.room.zero_()
            start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            launch()
            stop.record()
            taken.append((start, stop))
        torch.cuda.synchronize()
        return statistics.median(start.elapsed_time(stop) for start, stop in taken)

    def limits(self):
        torch = self.torch
        a, b = self.normal(8192, 8192), self.normal(8192, 8192)
        yield "ceiling: bf16 matrix product 8192", lambda: a @ b, 2 * 8192 ** 3, None
        source = torch.zeros(2 << 30, dtype=torch.uint8, device="cuda")
        target = torch.empty_like(source)
        yield "ceiling: copy of 2 GiB, read and written", lambda: target.copy_(source), None, 4 << 30

    def wide_keys(self):
        for causal in (False, True):
            for length in (2048, 8192):
                batch, heads = 16384 // length, 16
                q, k, v = (self.normal(batch, length, heads, dim) for dim in (192, 192, 128))
                name = f"forward bf16 d192/128 {'causal' if causal else 'full'} {length}"
                operations = attention_operations(batch, heads, length, 192, 128, causal)
                turned = [x.transpose(1, 2) for x in (q, k, v)]
                yield f"{name} cuDNN", lambda: self.sdpa("CUDNN_ATTENTION", *turned, causal), operations, None
                if self.fa3:
                    yield f"{name} FA3", lambda: self.fa3.flash_attn_func(q, k, v, causal=causal), operations, None

    def backward(self):
        for dim in (128, 64, 256):
            for causal in (True, False):
                for length in (16384, 2048):
                    batch, heads = 16384 // length, 2048 // dim
                    q, k, v = (self.normal(batch, heads, length, dim).requires_grad_() for _ in range(3))
                    gradient = self.normal(batch, heads, length, dim)
                    for name, backend in (("cuDNN", "CUDNN_ATTENTION"), ("FA2", "FLASH_ATTENTION")):
                        def launch(backend=backend, held={}):  # noqa: B006: the forward pass once, in the warm-up
                            if backend not in held:
                                held[backend] = self.sdpa(backend, q, k, v, causal)
                            return self.torch.autograd.grad(held[backend], (q, k, v), gradient, retain_graph=True)
                        yield (f"backward bf16 d{dim} {'causal' if causal else 'full'} {length} {name}", launch,
                               2.5 * attention_operations(batch, heads, length, dim, dim, causal), None)

    def fp8(self):
        for dim in (128, 64, 256) if self.fa3 else ():
            for causal in (True, False):
                for length in (16384, 2048):
                    batch, heads = 16384 // length, 2048 // dim
                    q, k, v = (self.normal(batch, length, heads, dim, dtype=self.torch.float8_e4m3fn) for _ in range(3))
                    yield (f"forward fp8 d{dim} {'causal' if causal else 'full'} {length} FA3",
                           lambda: self.fa3.flash_attn_func(q, k, v, causal=causal),
                           attention_operations(batch, heads, length, dim, dim, causal), None)

    def decode(self):
        torch = self.torch
        for batch, keys, heads_q, heads_kv in DECODE:
            k, v = self.normal(batch, keys, heads_kv, 128), self.normal(batch, keys, heads_kv, 128)
            q = self.normal(batch, 1, heads_q, 128)
            read, name = 2 * batch * keys * heads_kv * 128 * 2, f"decode bf16 d128 b{batch} {keys} h{heads_q}/{heads_kv}"
            if self.fa3:
                lengths = torch.full((batch,), keys, dtype=torch.int32, device="cuda")
                yield (f"{name} FA3", lambda: self.fa3.flash_attn_with_kvcache(q, k, v, cache_seqlens=lengths, causal=True),
                       None, read)
            turned = [x.transpose(1, 2) for x in (q, k, v)]
            for short, backend in (("FA2", "FLASH_ATTENTION"), ("cuDNN", "CUDNN_ATTENTION")):
                yield f"{name} {short}", lambda: self.sdpa(backend, *turned, False, enable_gqa=True), None, read


def attention_operations(batch, heads, length, dim_qk, dim_v, causal):
    return 2 * batch * heads * length * length * (dim_qk + dim_v) * (0.5 if causal else 1)


def run(job):
    if job.tiny or job.driver.simulated:
        raise Missing("the device is simulated: others' kernels do not run on it")
    try:
        bench = Bench()
    except Exception as error:  # noqa: BLE001: no torch, or one that does not see the GPU
        raise Missing(f"no torch: {type(error).__name__}: {error}") from error
    job.fact("flash_attention_3", bench.fa3.__name__ if bench.fa3 else "not installed")
    for kind in (bench.limits, bench.decode, bench.wide_keys, bench.backward, bench.fp8):
        for name, launch, operations, moved in kind():
            if not job.wanted(name) or job.has(name):
                continue
            if job.late(ROW_SECONDS):
                job.unfinished([name])
                continue
            job.begin(name)
            try:
                ms = bench.median_ms(launch)
            except Exception as error:  # noqa: BLE001: a peer's reason, whatever it is
                text = f"{type(error).__name__}: {error}"
                if "CUDA error" in text or "illegal memory access" in text:
                    raise
                job.add(name, {"name": name, "status": "skipped", "why": text[:300]})
                continue
            row = {"name": name, "status": "passed", "why": "", "ms": round(ms, 5)}
            row.update({"tflops": round(operations / ms / 1e9, 1)} if operations else {})
            job.add(name, row | ({"gb_per_s": round(moved / ms / 1e6, 1)} if moved else {}))
        bench.torch.cuda.empty_cache()
