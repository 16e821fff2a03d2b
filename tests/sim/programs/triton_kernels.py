#!/usr/bin/env python3
"""Prints Triton's PTX of four kernels, with no GPU: triton_kernels.py CAPABILITY FOLDER

programs.py runs it where Triton is installed. triton_*.ptx are what Triton 3.9 printed for sm_80, so that they are run
everywhere. The first line of each says the shared memory that a launch needs.
"""
import os
import sys

os.environ["TRITON_DISABLE_LINE_INFO"] = "1"
import triton  # noqa: E402
import triton.language as tl  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402


@triton.jit
def softmax(out, x, n, stride, B: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, B)
    v = tl.load(x + row * stride + c, mask=c < n, other=-float("inf"))
    e = tl.exp(v - tl.max(v, axis=0))
    tl.store(out + row * stride + c, e / tl.sum(e, axis=0), mask=c < n)


@triton.jit
def layer_norm(x, y, w, b, mean, rstd, stride, n, eps, B: tl.constexpr):
    row = tl.program_id(0)
    x += row * stride
    y += row * stride
    total = tl.zeros([B], tl.float32)
    for at in range(0, n, B):
        c = at + tl.arange(0, B)
        total += tl.load(x + c, mask=c < n, other=0.0).to(tl.float32)
    mu = tl.sum(total, axis=0) / n
    total = tl.zeros([B], tl.float32)
    for at in range(0, n, B):
        c = at + tl.arange(0, B)
        v = tl.load(x + c, mask=c < n, other=0.0).to(tl.float32)
        v = tl.where(c < n, v - mu, 0.0)
        total += v * v
    r = 1 / tl.sqrt(tl.sum(total, axis=0) / n + eps)
    tl.store(mean + row, mu)
    tl.store(rstd + row, r)
    for at in range(0, n, B):
        c = at + tl.arange(0, B)
        v = tl.load(x + c, mask=c < n, other=0.0).to(tl.float32)
        tl.store(y + c, (v - mu) * r * tl.load(w + c, mask=c < n) + tl.load(b + c, mask=c < n), mask=c < n)


@triton.jit
def matmul(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    columns = tl.program_id(1) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    total = tl.zeros((BM, BN), tl.float32)
    for at in range(0, K, BK):
        x = tl.load(a + rows[:, None] * K + at + k[None, :], mask=(rows[:, None] < M) & (at + k[None, :] < K), other=0.0)
        y = tl.load(b + (at + k[:, None]) * N + columns[None, :], mask=(at + k[:, None] < K) & (columns[None, :] < N), other=0.0)
        total = tl.dot(x, y, total)
    tl.store(c + rows[:, None] * N + columns[None, :], total, mask=(rows[:, None] < M) & (columns[None, :] < N))


@triton.jit
def attention(q, k, v, out, scale, stride, N, BM: tl.constexpr, BN: tl.constexpr, D: tl.constexpr):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    d = tl.arange(0, D)
    base = tl.program_id(1) * stride
    Q = tl.load(q + base + rows[:, None] * D + d[None, :], mask=rows[:, None] < N, other=0.0)
    m = tl.full([BM], -float("inf"), tl.float32)
    total = tl.zeros([BM], tl.float32)
    acc = tl.zeros([BM, D], tl.float32)
    for at in range(0, tl.minimum(N, (tl.program_id(0) + 1) * BM), BN):
        c = at + tl.arange(0, BN)
        K = tl.load(k + base + c[None, :] * D + d[:, None], mask=c[None, :] < N, other=0.0)
        s = tl.dot(Q, K) * scale
        s = tl.where((c[None, :] < N) & (rows[:, None] >= c[None, :]), s, float("-inf"))
        now = tl.maximum(m, tl.max(s, 1))
        p = tl.math.exp2(s - now[:, None])
        shrink = tl.math.exp2(m - now)
        V = tl.load(v + base + c[:, None] * D + d[None, :], mask=c[:, None] < N, other=0.0)
        acc = tl.dot(p.to(V.dtype), V, acc * shrink[:, None])
        total = total * shrink + tl.sum(p, 1)
        m = now
    tl.store(out + base + rows[:, None] * D + d[None, :], (acc / total[:, None]).to(out.dtype.element_ty), mask=rows[:, None] < N)


def main():
    capability, folder = int(sys.argv[1]), sys.argv[2]
    kernels = [
        (softmax, {"out": "*fp32", "x": "*fp32", "n": "i32", "stride": "i32"}, {"B": 1024}),
        (layer_norm, {"x": "*fp16", "y": "*fp16", "w": "*fp16", "b": "*fp16", "mean": "*fp32", "rstd": "*fp32", "stride": "i32",
                      "n": "i32", "eps": "fp32"}, {"B": 256}),
        (matmul, {"a": "*fp16", "b": "*fp16", "c": "*fp32", "M": "i32", "N": "i32", "K": "i32"}, {"BM": 64, "BN": 64, "BK": 32}),
        (attention, {"q": "*fp16", "k": "*fp16", "v": "*fp16", "out": "*fp16", "scale": "fp32", "stride": "i32", "N": "i32"},
         {"BM": 64, "BN": 32, "D": 64}),
    ]
    for fn, types, constants in kernels:
        # Pointers and strides are multiples of 16, as a launcher would find.
        even = {(n,): [["tt.divisibility", 16]] for n, name in enumerate(fn.arg_names)
                if types.get(name, "").startswith("*") or name in ("stride", "K", "N")}
        if fn is attention:
            even.pop((fn.arg_names.index("N"),))
        source = ASTSource(fn=fn, signature={**types, **{name: "constexpr" for name in constants}},
                           constexprs={(fn.arg_names.index(name),): value for name, value in constants.items()}, attrs=even)
        kernel = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4, "num_stages": 3})
        name = fn.__name__
        with open(f"{folder}/triton_{name}.ptx", "w") as f:
            f.write(f"// {kernel.metadata.shared} bytes of shared memory. Printed by Triton {triton.__version__}: "
                    f"triton_kernels.py {capability} FOLDER\n" + kernel.asm["ptx"])


main()
