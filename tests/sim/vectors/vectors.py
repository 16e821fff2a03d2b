#!/usr/bin/env python3
"""Every instruction form against its meaning, over edge values and random ones.

    vectors.py ATTUNE [--isa avx512,avx2,baseline] [--count 4096] [--only add]

Forms are grouped by what they read. For each group one kernel is printed that runs every form of it, a thread a vector;
`attune sim` runs it in each of the host's instruction sets, and each result is compared with the statement in Python
(statements.py, exact.py). A form is an instruction, where its result goes and where its operands come from.
"""
import argparse
import os
import random
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:  # a Python of its own may come first in PATH; Debian's has python3-numpy
    if sys.executable == "/usr/bin/python3" or not os.path.exists("/usr/bin/python3"):
        raise
    os.execv("/usr/bin/python3", ["/usr/bin/python3"] + sys.argv)

import statements

EDGES = {
    "int": [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 23, 24, 31, 32, 33, 63, 64, 65, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF,
            0x10000, 0xFFFFFF, 0x1000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1,
            0x0123456789ABCDEF, 0x8000000080000000, 0x7F80FF017F80FF01],
    "f32": [0, 1 << 31, 1, 0x80000001, 0x7FFFFF, 0x800000, 0x3F800000, 0xBF800000, 0x3F800001, 0x3F7FFFFF, 0x7F7FFFFF, 0xFF7FFFFF,
            0x7F800000, 0xFF800000, 0x7FC00000, 0x7FA12345, 0x40000000, 0x3F000000, 0xBF000000, 0x4B800001, 0x33800000, 0x477FE000,
            0x477FF000, 0x38800000, 0x387FFFFF, 0x33000001, 0x4F000000, 0xCF000000, 0x3FC00000, 0xC0200000, 0x7F000000, 0x5F000000,
            0x5F800000, 0x43800000, 0x43E00000, 0x43E80000, 0x47600000, 0x3B000000, 0x37800000],
    "f64": [0, 1 << 63, 1, (1 << 52) - 1, 1 << 52, 0x3FF0000000000000, 0xBFF0000000000000, 0x3FF0000000000001, 0x3FEFFFFFFFFFFFFF,
            0x7FEFFFFFFFFFFFFF, 0xFFEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0x7FF0000000000001,
            0x4000000000000000, 0x3FE0000000000000, 0x3CA0000000000001, 0x47EFFFFFE0000000, 0x47EFFFFFF0000000, 0x3690000000000000,
            0x3690000000000001, 0x380FFFFFC0000000, 0x43E0000000000000, 0x43F0000000000000, 0xC3E0000000000000, 0x41DFFFFFFFC00000,
            0x40EFFC0000000000, 0x3FF8000000000000, 0xC004000000000000, 0x3F00200000000001],
    "half": [0, 0x8000, 1, 0x8001, 0x3FF, 0x400, 0x3C00, 0xBC00, 0x3C01, 0x3BFF, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x7C01, 0x3F80,
             0xBF80, 0x3F81, 0x7F7F, 0xFF7F, 0x7F80, 0xFF80, 0x7FC0, 0x80, 0x7F, 0x4000, 0x3800, 0x3E00, 0xC100, 0x5BF8, 0x1400, 0x4F00],
}


def draw(kind, rng):
    """One 64-bit operand."""
    edges = EDGES["half" if kind == "pair" else kind]
    if kind == "pair":
        return draw("half", rng) | draw("half", rng) << 16
    if rng.random() < 0.4:
        return rng.choice(edges)
    r = rng.getrandbits(64)
    if kind == "int":
        return r >> rng.randrange(64) if rng.random() < 0.5 else r
    if kind == "f32" and rng.random() < 0.6:  # near one, so that sums and roundings meet
        return (0x3F800000 + rng.randrange(-0x06000000, 0x06000000)) | rng.getrandbits(1) << 31
    if kind == "f64" and rng.random() < 0.6:
        return ((1023 + rng.randrange(-70, 70)) << 52 | rng.getrandbits(52)) | rng.getrandbits(1) << 63
    if kind == "half":
        return r & 0xFFFF
    return r & 0xFFFFFFFF if kind == "f32" else r


REGISTER = {"p": "%p", "h": "%h", "w": "%r", "q": "%q"}
WIDTH = {"h": 16, "w": 32, "q": 64}


def kernel(name, forms):
    lines = [f".visible .entry {name}(.param .u64 A, .param .u64 B, .param .u64 C, .param .u64 D, .param .u64 OUT, .param .u32 N)", "{",
             ".reg .pred %p<9>; .reg .b16 %h<9>; .reg .b32 %r<16>; .reg .b64 %q<16>;",
             "mov.u32 %r8, %tid.x; mov.u32 %r9, %ctaid.x; mov.u32 %r10, %ntid.x; mad.lo.u32 %r11, %r9, %r10, %r8;",
             "ld.param.u32 %r12, [N]; mul.wide.u32 %q10, %r12, 8; mul.wide.u32 %q11, %r11, 8;"]
    for k, p in enumerate("ABCD"):
        lines.append(f"ld.param.u64 %q9, [{p}]; add.u64 %q9, %q9, %q11; ld.global.u64 %q{k}, [%q9]; cvt.u32.u64 %r{k}, %q{k}; "
                     f"cvt.u16.u64 %h{k}, %q{k}; and.b64 %q9, %q{k}, 1; setp.ne.u64 %p{k}, %q9, 0;")
    lines.append("ld.param.u64 %q9, [OUT]; add.u64 %q9, %q9, %q11;")
    for text, to, sources, *_ in forms:
        operands = [REGISTER[to] + "7"] + [REGISTER[s] + str(k) for k, s in enumerate(sources)]
        # A form with braces places its operands itself; others list them.
        lines.append((text.format(*operands) if "{" in text else f"{text} " + ", ".join(operands)) + ";")
        if to == "p":
            lines.append("selp.u64 %q7, 1, 0, %p7;")
        elif to != "q":
            lines.append(f"cvt.u64.u{WIDTH[to]} %q7, {REGISTER[to]}7;")
        lines.append("st.global.u64 [%q9], %q7; add.u64 %q9, %q9, %q10;")
    return "\n".join(lines + ["ret;", "}"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("attune")
    parser.add_argument("--isa", default="avx512,avx2,baseline")
    parser.add_argument("--count", type=int, default=4096)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    groups = {}
    for form in statements.forms():
        if args.only in form[0]:
            groups.setdefault((form[3], form[2]), []).append(form)
    failed = checked = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, ((kind, sources), forms) in enumerate(sorted(groups.items())):
            rng = random.Random(number + 1)
            n = args.count
            edges = EDGES.get("half" if kind == "pair" else kind)
            columns = []
            for k in range(4):
                columns.append([draw(kind if not isinstance(kind, tuple) else kind[min(k, len(kind) - 1)], rng) for _ in range(n)])
            # All pairs of edge values first.
            if edges and kind != "pair":
                for i in range(min(n // 2, len(edges) ** 2)):
                    columns[0][i], columns[1][i] = edges[i % len(edges)], edges[i // len(edges)]
            for k, c in enumerate(columns):
                np.save(f"{folder}/{k}.npy", np.array(c, dtype=np.uint64))
            with open(f"{folder}/k.ptx", "w") as f:
                f.write(".version 8.6\n.target sm_90a\n.address_size 64\n" + kernel("k", forms))
            expected = None
            for isa in args.isa.split(","):
                command = [args.attune, "sim", f"{folder}/k.ptx", "--grid", str(n // 128), "--block", "128"]
                for k in range(4):
                    command += ["--arg", f"in:{folder}/{k}.npy"]
                command += ["--arg", f"out:{folder}/out.npy:u64[{len(forms)},{n}]", "--arg", f"u32:{n}"]
                run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "ATTUNE_SIM_ISA": isa})
                if run.returncode:
                    print(f"{kind} {sources}: {run.stdout}{run.stderr}")
                    failed += 1
                    break
                got = np.load(f"{folder}/out.npy")
                if expected is None:
                    masks = {"p": 1, "h": 0xFFFF, "w": 0xFFFFFFFF, "q": (1 << 64) - 1}
                    operands = [[[v & masks[w] for v in columns[k]] for k, w in enumerate(form[2])] for form in forms]
                    # None is any NaN of f64.
                    values = [[form[4](*row) for row in zip(*operands[f])] for f, form in enumerate(forms)]
                    any_nan = np.array([[v is None for v in row] for row in values])
                    expected = np.array([[v or 0 for v in row] for row in values], dtype=np.uint64)
                nan = (got & np.uint64((1 << 63) - 1)) > np.uint64(0x7FF << 52)
                wrong = np.where(any_nan, ~nan, got != expected)
                checked += got.size
                for f in np.nonzero(wrong.any(axis=1))[0]:
                    failed += 1
                    for i in np.nonzero(wrong[f])[0][:2]:
                        given = ", ".join(hex(c[i]) for c in operands[f])
                        want = "a NaN" if any_nan[f][i] else hex(expected[f][i])
                        print(f"{isa}: {forms[f][0]} of {given}: expected {want}, got {hex(got[f][i])}")
    print(f"{sum(map(len, groups.values()))} forms, {checked} results, {failed} forms wrong")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
