#!/usr/bin/env python3
"""What each stage of `attune` costs in process, cold, and how fast the simulator is.

  tests/perf/stage_times.py              two tables for people
  tests/perf/stage_times.py --update     also puts them into tests/perf/README.md

A cell is the median of the rounds and, in brackets, the fastest one, which a busy machine disturbs least; every command
runs with an empty cache folder. Exit status 1: a command failed, or not even the fastest round kept a limit (the heads of
the tables name them).
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from readme import find_attune, put_section  # noqa: E402

# dtype, head dim, mask, arch
KERNELS = [
    ("bf16", "64", "none", "sm_80"),
    ("bf16", "128", "none", "sm_80"),
    ("bf16", "128", "causal", "sm_80"),
    ("fp16", "128", "causal", "sm_89"),
    ("bf16", "128", "causal", "sm_90"),
    ("bf16", "256", "causal", "sm_90"),
]
# Name, flags, limit in ms
RUNS = [
    ("d128, length 1024, one head, full", "--dtype bf16 --head-dim 128 --len 1024", 200),
    ("the same, causal", "--dtype bf16 --head-dim 128 --mask causal --len 1024", None),
    ("Llama-3-like: d128 causal, 32 heads over 8, length 333",
     "--dtype bf16 --head-dim 128 --mask causal --len 333 --heads-q 32 --heads-kv 8", None),
    ("d64, length 1000, 4 heads, window", "--dtype fp16 --head-dim 64 --mask window:100:0 --len 1000 --heads-q 4", None),
]


def call(command):
    with tempfile.TemporaryDirectory(prefix="attune-stage-times-") as cache:
        done = subprocess.run(command, env=dict(os.environ, ATTUNE_CACHE_DIR=cache), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexited with {done.returncode}:\n{done.stderr or done.stdout}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attune", type=Path, help="the executable; default: the newest under build/*/bin")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--update", action="store_true", help="put the tables into tests/perf/README.md")
    options = parser.parse_args()
    attune = options.attune or find_attune()
    broken = []

    def cell(name, what, value, limit):
        if limit and value > limit:
            broken.append(f"{name}: expected {what} within {limit} ms, got {value:.0f}")
        return f"{value:.0f}"

    def both(name, what, values, limit):
        return f"{statistics.median(values):.0f} ({cell(name, what, min(values), limit)})"

    lines = ["| kernel | spec to PTX (limit 150 ms) | ptxas | spec to cubin by ptxas (500) | spec to CUDA C++ | NVRTC "
             "| spec to cubin by NVRTC (1000) |", "|---|---|---|---|---|---|---|"]
    samples = {}
    for _ in range(options.rounds):
        for kernel in KERNELS:
            dtype, dim, mask, arch = kernel
            for target in ("ptx", "cuda"):
                result = call([attune, "compile", "--dtype", dtype, "--head-dim", dim, "--mask", mask, "--lse", "--arch", arch,
                               "--target", target, "--emit", "cubin", "--json", "-o", os.devnull])
                for stage, ms in result["times_ms"].items():
                    samples.setdefault((kernel, target, stage), []).append(ms)
    for kernel in KERNELS:
        name = f"{kernel[0]} d{kernel[1]} {kernel[2]} {kernel[3]}"
        of = {key[1:]: values for key, values in samples.items() if key[0] == kernel}
        ptx, ptxas = of["ptx", "generate"], of["ptx", "ptxas"]
        cuda, nvrtc = of["cuda", "generate"], of["cuda", "NVRTC"]
        add = lambda first, second: [a + b for a, b in zip(first, second)]  # noqa: E731
        lines.append(f"| {name} | {both(name, 'PTX', ptx, 150)} | {both(name, '', ptxas, None)} "
                     f"| {both(name, 'a cubin', add(ptx, ptxas), 500)} | {both(name, '', cuda, None)} "
                     f"| {both(name, '', nvrtc, None)} | {both(name, 'a cubin by NVRTC', add(cuda, nvrtc), 1000)} |")

    lines += ["", "| run on the simulated GPU | target | simulate | warp instructions | M/s | verify (fp64) |",
              "|---|---|---|---|---|---|"]
    for name, flags, limit in RUNS:
        for target in ("ptx", "cuda"):
            results = [call([attune, "run", "--device", "sim", "--target", target, "--untuned", "--json"] + flags.split())
                       for _ in range(min(3, options.rounds))]
            if any(result["verdict"] != "passed" for result in results):
                broken.append(f"{name}, target {target}: {results[0]['verdict']}")
            simulate = [result["times_ms"]["simulate"] for result in results]
            verify = statistics.median(result["times_ms"]["verify"] for result in results)
            count = results[0]["counters"]["warp_instructions"]
            lines.append(f"| {name} | {target} | {both(name, 'the simulation', simulate, limit)} ms | {count / 1e6:.2f} M "
                         f"| {count / min(simulate) / 1e3:.1f} | {verify:.0f} ms |")
    lines += ["", f"Milliseconds, median (fastest) of {options.rounds} cold rounds (3 of the runs), {os.cpu_count()} cores ({platform.machine()}, "
              f"load {os.getloadavg()[1]:.1f} from others and us), all "
              "checkers on. Command: `tests/perf/stage_times.py --update`."]
    table = "\n".join(lines)
    print(table)
    if options.update:
        put_section("stage_times.py", table)
    for line in broken:
        print(line, file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
