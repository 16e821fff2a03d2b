#!/usr/bin/env python3
"""Programs of other compilers on the simulator: programs.py ATTUNE [--nvcc NVCC] [--all]

The kernels of programs.cu and triton_kernels.py, from the kept PTX and, where nvcc and Triton are found, compiled anew
for several architectures. Each is run with all checks in the modes eager, lazy and random; there must be no finding, and
the results must be numpy's.
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:  # a Python of its own may come first in PATH; Debian's has python3-numpy
    if sys.executable == "/usr/bin/python3" or not os.path.exists("/usr/bin/python3"):
        raise
    os.execv("/usr/bin/python3", ["/usr/bin/python3"] + sys.argv)

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(7)
failures = runs = 0


class In:
    def __init__(self, array):
        self.array = np.ascontiguousarray(array)


class InOut(In):
    pass


class Out:
    def __init__(self, dtype, *shape):
        self.dtype, self.shape = dtype, shape


def launch(attune, ptx, entry, grid, block, args, smem=0, mode="eager", seed=1):
    """The arrays of Out and InOut arguments; None with a message after a finding or an error."""
    global failures, runs
    runs += 1
    with tempfile.TemporaryDirectory() as folder:
        command = [attune, "sim", ptx, "--entry", entry, "--grid", grid, "--block", block, "--smem", str(smem), "--mode", mode]
        command += ["--seed", str(seed)] if mode == "random" else []
        results = []
        for n, a in enumerate(args):
            path = f"{folder}/{n}.npy"
            if isinstance(a, In):
                np.save(path, a.array)
                command += ["--arg", ("inout:" if isinstance(a, InOut) else "in:") + path]
                if isinstance(a, InOut):
                    results.append(path)
            elif isinstance(a, Out):
                command += ["--arg", f"out:{path}:{a.dtype}[{','.join(map(str, a.shape))}]"]
                results.append(path)
            else:
                command += ["--arg", a]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            failures += 1
            print(f"{ptx} {entry} {mode}: {run.stdout[:2000]}{run.stderr[:2000]}")
            return None
        return [np.load(path) for path in results]


def check(name, got, want, tolerance=0.0):
    global failures
    got, want = np.asarray(got), np.asarray(want)
    with np.errstate(all="ignore"):
        if tolerance:
            ok = np.allclose(got.astype(np.float64), want.astype(np.float64), rtol=tolerance, atol=tolerance)
        else:
            ok = np.array_equal(got, want)
    if not ok:
        failures += 1
        bad = np.argwhere(~np.isclose(got.astype(np.float64), want.astype(np.float64), rtol=tolerance, atol=tolerance))[0]
        print(f"{name}: differs at {tuple(bad)}: expected {want[tuple(bad)]}, got {got[tuple(bad)]}")


def bf16(x):
    """To bf16, as uint16 and as the float32 that it stands for."""
    u = x.astype(np.float32).view(np.uint32)
    u = (u + 0x7FFF + (u >> 16 & 1)) & 0xFFFF0000
    return (u >> 16).astype(np.uint16), u.view(np.float32)


def cuda_programs(attune, ptx, mode, fast=False, without=frozenset()):
    entries = set(re.findall(r"\.entry (\w+)", open(ptx).read())) - set(without)

    def go(entry, grid, block, args, then, smem=0):
        if entry not in entries:
            return
        results = launch(attune, ptx, entry, grid, block, args, smem, mode)
        if results is not None:
            then(*results)

    x = rng.integers(-1000, 1000, 200, dtype=np.int32)
    go("scan", "1", "256", [Out("s32", 200), In(x), "s32:200"], lambda y: check("scan", y, np.cumsum(x)))

    x8 = rng.integers(0, 256, 5000, dtype=np.uint8)
    go("histogram", "5", "128", [InOut(np.zeros(64, np.uint32)), In(x8), "s32:5000"],
       lambda h: check("histogram", h, np.bincount(x8 & 63, minlength=64)))

    f = rng.normal(size=(70, 24)).astype(np.float32)
    go("sort_local", "3", "32", [InOut(f), "s32:70"], lambda y: check("sort_local", y, np.sort(f, axis=1)))

    k = rng.integers(-5000, 5000, (3, 256), dtype=np.int32)
    go("sort_shared", "3", "256", [InOut(k)], lambda y: check("sort_shared", y, np.sort(k, axis=1)))

    r = rng.normal(size=4001).astype(np.float32)
    go("reduce", "5", "256", [Out("f64", 1), "scratch:f64[5]", In(r), "s32:4001"],
       lambda y: check("reduce", y, [r.astype(np.float64).sum()], 1e-12))

    m = rng.normal(size=(70, 45)).astype(np.float32)
    go("transpose", "2,3", "32,8", [Out("f32", 45, 70), In(m), "s32:70", "s32:45"], lambda y: check("transpose", y, m.T))

    a, b = rng.normal(size=(32, 48)).astype(np.float16), rng.normal(size=(48, 64)).astype(np.float16)
    go("matmul_wmma", "4,2", "32", [Out("f32", 32, 64), In(a), In(b), "s32:64", "s32:48"],
       lambda y: check("matmul_wmma", y, a.astype(np.float64) @ b.astype(np.float64) / 2, 1e-4))

    ia, ib = rng.integers(-128, 128, (32, 64), dtype=np.int8), rng.integers(-128, 128, (48, 64), dtype=np.int8)
    go("matmul_wmma_int8", "3,2", "32", [Out("s32", 32, 48), In(ia), In(ib), "s32:48", "s32:64"],
       lambda y: check("matmul_wmma_int8", y, ia.astype(np.int32) @ ib.astype(np.int32).T))

    (a16, af), (b16, bf) = bf16(rng.normal(size=(128, 80))), bf16(rng.normal(size=(64, 80)))
    go("matmul_mma", "2,2", "128", [Out("f32", 128, 64), In(a16), In(b16), "s32:64", "s32:80"],
       lambda y: check("matmul_mma", y, af.astype(np.float64) @ bf.astype(np.float64).T, 1e-4))

    p, q = rng.normal(size=256).astype(np.float16), rng.normal(size=256).astype(np.float16)

    def halves(y, y2):
        d = (p - q).astype(np.float16)
        s = (p.astype(np.float64) * q + d).astype(np.float16)
        want = np.where(s > 1, (p.astype(np.float32) / q).astype(np.float16), (s * np.float16(0.5)).astype(np.float16))
        check("half_arithmetic", y, want, 2e-3)
        check("half2", y2, (p * q).astype(np.float16) + np.maximum(p, q))

    go("half_arithmetic", "2", "128", [Out("f16", 256), Out("f16", 256), In(p), In(q), "s32:256"], halves)

    u, v = rng.normal(size=300) * 3, rng.normal(size=300) * 3
    go("double_arithmetic", "3", "128", [Out("f64", 300), In(u), In(v), "s32:300"],
       lambda y: check("double_arithmetic", y, np.sqrt(u * u + v * v) / (1 + abs(u)) + abs(u) ** v + np.exp(-abs(v)) * np.sin(u), 1e-12))

    n = 300
    a = rng.integers(-2**31, 2**31, n).astype(np.int32)
    b = rng.integers(1, 2**15, n).astype(np.int32) * rng.choice([-1, 1], n).astype(np.int32)
    c = rng.integers(-2**62, 2**62, n)
    d = rng.integers(1, 2**40, n) * rng.choice([-1, 1], n)
    e, g = rng.normal(size=n).astype(np.float32), (rng.normal(size=n) + 3).astype(np.float32)

    def divided(qi, ri, qu, ql, ru, qf, qd):
        cut = lambda x, y: [int(abs(int(i)) // abs(int(j)) * (1 if (i < 0) == (j < 0) else -1)) for i, j in zip(x, y)]
        want = np.array(cut(a, b), dtype=np.int64)
        check("int quotient", qi, want)
        check("int remainder", ri, a - want * b)
        ua, ub = a.view(np.uint32), b.view(np.uint32)
        check("unsigned quotient", qu, ua // ub + ua % 10)
        check("long quotient", ql, np.array(cut(c, d)) - np.array(cut(c, [1000003] * n)))
        check("unsigned long remainder", ru, c.view(np.uint64) % d.view(np.uint64))
        check("float quotient", qf, e / g, 1e-6 if fast else 0.0)
        check("double quotient", qd, e.astype(np.float64) / g)

    go("divide", "3", "128", [Out("s32", n), Out("s32", n), Out("u32", n), Out("s64", n), Out("u64", n), Out("f32", n), Out("f64", n),
                              In(a), In(b), In(c), In(d), In(e), In(g), f"s32:{n}"], divided)

    w = rng.integers(-3, 200, (64, 20), dtype=np.int32)
    go("control", "2", "32", [Out("s32", 64), In(w), "s32:20"], lambda y: check("control", y, [control(row) for row in w]))

    x = rng.normal(size=100).astype(np.float32)

    def variables(y):
        table = np.array([1, 2, 4, 8, 16, 32, 64, 128], np.float64)
        want = []
        for i, xi in enumerate(x.astype(np.float64)):
            coefficients = [xi, 1, [5, 6, 7][i % 3]] if i & 1 else [1 + 3 * (i % 3), 2 + 3 * (i % 3), 3 + 3 * (i % 3)]
            poly = lambda z, cs: sum(ck * z**j for j, ck in enumerate(cs))
            want.append(poly(0.5, coefficients) * 9 + table[(i & 1) * 4 + i % 4] + poly(xi, table[:i % 3 + 1]))
        check("variables", y, want, 1e-5)

    go("variables", "1", "128", [Out("f32", 100), In(x), "{s32:9,f32:5,f32:6,f32:7}", "s32:100"], variables)

    o = rng.integers(0, 100, 256, dtype=np.int32)

    def groups(y):
        sums = np.repeat(o.reshape(-1, 8).sum(1), 8)
        want = sums.reshape(-1, 2, 8)[:, ::-1].reshape(-1)
        for warp in range(8):
            lanes = np.arange(32) + 32 * warp
            odd = lanes[o[lanes] % 2 == 1]
            want[odd] += len(odd) * 1000 + (o[odd[0]] if len(odd) else 0)
        check("groups", y, want)

    go("groups", "2", "128", [Out("s32", 256), In(o)], groups)


def control(row):
    s = 0
    for v in map(int, row):
        if v < 0:
            break
        if v & 1:
            continue
        case = v >> 1 & 7
        if case == 0:
            s += 3
        elif case in (1, 2):
            s = s * 2 - 5 if case == 1 else s - 5
        elif case == 3:
            s ^= 77
        elif case == 4:
            m = v
            while True:
                s += m & 3
                m >>= 2
                if not m:
                    break
        else:
            if case == 5 and s > 500:
                return -s
            while s > 100:
                s -= 7
    return s


def triton_programs(attune, folder, mode):
    def go(name, grid, args, then):
        path = f"{folder}/triton_{name}.ptx"
        text = open(path).read()
        if "wgmma" in text:  # of sm_90a: not an instruction of this simulator yet
            return
        smem = int(re.match(r"// (\d+) bytes", text).group(1))
        params = len(re.findall(r"^\s*\.param ", text, re.M))
        results = launch(attune, path, name, grid, "128", args + ["null"] * (params - len(args)), smem, mode)
        if results is not None:
            then(*results)

    x = rng.normal(size=(5, 1008)).astype(np.float32) * 4
    e2 = np.exp(x[:, :1001].astype(np.float64) - x[:, :1001].max(1, keepdims=True))
    go("softmax", "5", [InOut(np.zeros_like(x)), In(x), "s32:1001", "s32:1008"],
       lambda y: check("triton softmax", y[:, :1001], e2 / e2.sum(1, keepdims=True), 1e-6))

    x, w, b = (rng.normal(size=s).astype(np.float16) for s in ((4, 656), 656, 656))
    mu, var = x.astype(np.float64).mean(1, keepdims=True), x.astype(np.float64).var(1, keepdims=True)

    def normed(y, mean, rstd):
        check("triton layer norm", y, (x - mu) / np.sqrt(var + 1e-5) * w + b, 1e-2)
        check("triton mean", mean, mu[:, 0], 1e-5)

    go("layer_norm", "4", [In(x), Out("f16", 4, 656), In(w), In(b), Out("f32", 4), Out("f32", 4), "s32:656", "s32:656", "f32:1e-5"], normed)

    a, b = rng.normal(size=(100, 80)).astype(np.float16), rng.normal(size=(80, 112)).astype(np.float16)
    go("matmul", "2,2", [In(a), In(b), Out("f32", 100, 112), "s32:100", "s32:112", "s32:80"],
       lambda y: check("triton matmul", y, a.astype(np.float64) @ b.astype(np.float64), 1e-3))

    q, k, v = (rng.normal(size=(2, 150, 64)).astype(np.float16) for _ in range(3))
    s = np.einsum("hqd,hkd->hqk", q.astype(np.float64), k.astype(np.float64)) * 0.125
    s[:, np.triu(np.ones((150, 150), bool), 1)] = -np.inf
    p = np.exp(s - s.max(2, keepdims=True))
    want = p @ v.astype(np.float64) / p.sum(2, keepdims=True)
    go("attention", "3,2", [In(q), In(k), In(v), Out("f16", 2, 150, 64), f"f32:{0.125 * 1.4426950408889634}", "s32:9600", "s32:150"],
       lambda y: check("triton attention", y, want, 3e-3))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("attune")
    parser.add_argument("--nvcc", default=shutil.which("nvcc") or "")
    parser.add_argument("--all", action="store_true", help="compile for every architecture and in every way")
    args = parser.parse_args()
    for mode in ("eager", "lazy", "random"):
        cuda_programs(args.attune, f"{here}/programs.ptx", mode)
        triton_programs(args.attune, here, mode)
    with tempfile.TemporaryDirectory() as folder:
        ways = [["-arch=sm_90"], ["-arch=sm_80", "-G"]]
        if args.all:
            ways = [[f"-arch=sm_{a}", *o] for a in (80, 86, 89, 90) for o in ([], ["-G"], ["-lineinfo", "--use_fast_math"], ["-Xcicc", "-O1"])]
        for way in ways if args.nvcc else []:
            made = subprocess.run([args.nvcc, "-std=c++17", "-ptx", *way, "-o", f"{folder}/p.ptx", f"{here}/programs.cu"],
                                  capture_output=True, text=True)
            if made.returncode:  # an nvcc that lacks the architecture, or its host compiler
                print(f"not compiled with {' '.join(way)}: {made.stderr.strip().splitlines()[-1:]}")
                continue
            # With -G, libcu++ calls through pointers, which the simulator refuses.
            cuda_programs(args.attune, f"{folder}/p.ptx", "random", "--use_fast_math" in way, {"groups"} if "-G" in way else set())
        for capability in ("75", "80", "86", "89", "90") if args.all else ():
            made = subprocess.run([sys.executable, f"{here}/triton_kernels.py", capability, folder], capture_output=True, text=True)
            if made.returncode:
                print(f"not compiled by Triton for {capability}: {made.stderr.strip().splitlines()[-1:]}")
                continue
            triton_programs(args.attune, folder, "random")
    print(f"{runs} runs, {failures} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
