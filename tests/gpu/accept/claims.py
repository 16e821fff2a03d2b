"""FlashAttention's first claims, forward pass: time and memory of one fused kernel against the five separate operations."""
import math
import statistics

from . import cases, kernels
from .errors import Missing
from .sides import TorchSide, open_side


def five_operations(torch, q, k, v, causal, dropout):
    """matmul, mask, softmax, dropout, matmul, each as its own operation, as attention was written before."""
    scores = torch.matmul(q, k.transpose(-2, -1)) * (1 / math.sqrt(q.shape[-1]))
    if causal is not None:
        scores = scores.masked_fill(causal, float("-inf"))
    probabilities = torch.nn.functional.dropout(torch.softmax(scores, -1), dropout, True) if dropout else torch.softmax(
        scores, -1)
    return torch.matmul(probabilities, v)


def times(side, functions, rounds):
    """Median ms of each, interleaved, the L2 flushed."""
    samples = {name: [] for name in functions}
    for name, function in functions.items():
        for _ in range(3):
            function()
    for _ in range(rounds):
        for name, function in functions.items():
            side.flush()
            start, stop = side.event(), side.event()
            side.record(start)
            function()
            side.record(stop)
            samples[name].append(side.elapsed(start, stop))
    return {name: statistics.median(values) for name, values in samples.items()}


def ours(job, side, compiler, spec, q, k, v, batch, heads, length):
    problem = {"spec": spec, "batch": batch, "heads_q": heads, "heads_kv": heads, "length_q": length, "length_kv": length}
    kernel, why = kernels.to_device(job.driver, compiler, problem, "ptx")
    if kernel is None:
        raise RuntimeError(why["why"])

    def run(out=None):
        out = out or side.empty((batch, length, heads, spec["head_dim_v"]), spec["dtype"])
        tensors = [(x.address, *x.strides()) for x in (q, k, v, out)] + [(0, 0, 0, 0)]
        kernel.launch(tensors, batch, heads, heads, length, length, stream=side.stream())
        return out
    return run


def speed(job, side, compiler):
    torch, c = side.torch, cases.CLAIMS["speed"]
    batch, heads, length, dim = c["batch"], c["heads"], c["length"], c["head_dim"]
    spec = cases.spec(c["dtype"], dim, mask=c["mask"])
    q, k, v = (side.random((batch, length, heads, dim), c["dtype"], n) for n in range(3))
    dense = [x.data.transpose(1, 2).contiguous() for x in (q, k, v)]
    causal = torch.ones(length, length, dtype=torch.bool, device="cuda").triu(1)
    attune, out = ours(job, side, compiler, spec, q, k, v, batch, heads, length), side.empty(q.shape, c["dtype"])
    found = times(side, {"attune": lambda: attune(out), "five operations": lambda: five_operations(torch, *dense, causal, 0.0),
                         "five operations, dropout 0.1": lambda: five_operations(torch, *dense, causal, 0.1)},
                  5 if job.quick else 20)
    apart = side.largest_difference(out.data, five_operations(torch, *dense, causal, 0.0).transpose(1, 2))
    return {"times_ms": found, "ratio": found["five operations"] / found["attune"],
            "ratio_with_dropout": found["five operations, dropout 0.1"] / found["attune"],
            "largest_difference": apart, "status": "passed" if apart is not None and apart < 2e-2 else "failed"}


def peak(torch, function):
    """Bytes that a call needs beyond its inputs at its worst; None if there is not enough."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    try:
        result = function()
        torch.cuda.synchronize()
    except torch.cuda.OutOfMemoryError:
        return None
    finally:
        after = torch.cuda.max_memory_allocated()
    del result
    return after - before


def memory(job, side, compiler, length):
    torch, c = side.torch, cases.CLAIMS["memory"]
    batch, heads, dim = c["batch"], c["heads"], c["head_dim"]
    spec = cases.spec(c["dtype"], dim)
    q, k, v = (side.random((batch, length, heads, dim), c["dtype"], n) for n in range(3))
    attune = ours(job, side, compiler, spec, q, k, v, batch, heads, length)
    fused = peak(torch, lambda: attune().data)
    five = peak(torch, lambda: five_operations(torch, *(x.data.transpose(1, 2) for x in (q, k, v)), None, 0.0))
    side.release()
    return {"length": length, "attune_bytes": fused, "five_operations_bytes": five,
            "ratio": five / fused if five and fused else None, "five_operations": "ran" if five else "out of memory",
            "status": "passed" if fused else "failed"}


def long(job, side, compiler, length):
    c = cases.CLAIMS["long"]
    spec = cases.spec(c["dtype"], c["head_dim"])
    q, k, v = (side.random((1, length, 1, c["head_dim"]), c["dtype"], n) for n in range(3))
    attune, out = ours(job, side, compiler, spec, q, k, v, 1, 1, length), side.empty((1, length, 1, c["head_dim"]), c["dtype"])
    found = times(side, {"attune": lambda: attune(out)}, 2)
    finite = bool(side.torch.isfinite(out.data).all().item())
    return {"length": length, "times_ms": found, "status": "passed" if finite else "failed"}


def run(job):
    side, why = open_side(job.driver)
    if not isinstance(side, TorchSide):
        raise Missing(f"the separate operations are torch's: {why}")
    compiler = job.compiler()
    work = [("speed", lambda: speed(job, side, compiler))]
    lengths = cases.CLAIMS["memory"]["lengths"]
    work += [(f"memory {n}", lambda n=n: memory(job, side, compiler, n)) for n in (lengths[:7] if job.quick else lengths)]
    work += [(f"long {n}", lambda n=n: long(job, side, compiler, n)) for n in ([] if job.quick else cases.CLAIMS["long"]["lengths"])]
    for name, measure in work:
        if not job.wanted(name) or job.has(name):
            continue
        if job.late(2):
            job.unfinished([name])
            continue
        job.begin(name)
        job.add(name, {"name": name, **measure()})
    compiler.close()
