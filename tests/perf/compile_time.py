#!/usr/bin/env python3
"""How long a kernel takes from nothing: `attune compile` and Triton, whole commands, cold, in the same run.

  tests/perf/compile_time.py                       a table for people
  tests/perf/compile_time.py --update              also puts it into tests/perf/README.md
  tests/perf/compile_time.py --triton-site DIR     where Triton is installed (pip install --target DIR triton)

Rounds are interleaved, each command with an empty cache folder; a cell is the median of the rounds. Triton's kernel is
triton_attention.py. Exit status 1: a command failed, or attune is less than --factor times as fast as Triton.
"""
import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from readme import find_attune, put_section  # noqa: E402

# dtype, head dim, mask, compute capability
PROBLEMS = [
    ("bf16", 64, "full", 80),
    ("bf16", 128, "full", 80),
    ("bf16", 128, "causal", 80),
    ("fp16", 128, "causal", 89),
    ("bf16", 128, "causal", 90),
    ("bf16", 256, "causal", 90),
]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attune", type=Path, help="the executable; default: the newest under build/*/bin")
    parser.add_argument("--triton-site", type=Path, help="a folder to import triton from")
    parser.add_argument("--triton-python", default=sys.executable, help="the Python that runs Triton")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--factor", type=float, default=3.0, help="how much faster than Triton attune must be")
    parser.add_argument("--update", action="store_true", help="put the table into tests/perf/README.md")
    parser.add_argument("--json", action="store_true", help="print the samples as one JSON object")
    return parser.parse_args()


def timed(command, environment, folder):
    """Seconds of a whole command with an empty cache, its processor seconds, and what it printed."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, mode=0o700)
    environment = dict(os.environ, **environment)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexited with {done.returncode}:\n{done.stderr or done.stdout}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def attune_command(attune, problem, target, emit, out):
    dtype, dim, mask, capability = problem
    return [attune, "compile", "--dtype", dtype, "--head-dim", str(dim), "--mask", "none" if mask == "full" else mask,
            "--lse", "--arch", f"sm_{capability}", "--target", target, "--emit", emit, "-o", out]


def main():
    options = arguments()
    attune = options.attune or find_attune()
    scratch = Path(tempfile.mkdtemp(prefix="attune-compile-time-"))
    environment = {"ATTUNE_CACHE_DIR": str(scratch / "attune"), "TRITON_CACHE_DIR": str(scratch / "triton")}
    triton = [options.triton_python, "-W", "ignore", str(HERE / "triton_attention.py")]
    if options.triton_site:
        environment["PYTHONPATH"] = str(options.triton_site)
    probe = subprocess.run([options.triton_python, "-W", "ignore", "-c", "import triton; print(triton.__version__)"],
                           env=dict(os.environ, **environment), capture_output=True, text=True)
    have_triton = probe.returncode == 0
    version = probe.stdout.strip() if have_triton else "not found"
    columns = [("ptx", "ptx"), ("ptx", "cubin"), ("cuda", "cubin")]
    samples = {}
    for _ in range(options.rounds):
        for problem in PROBLEMS:
            for target, emit in columns:
                command = attune_command(attune, problem, target, emit, scratch / "out")
                seconds, processor, _ = timed(command, environment, scratch / "attune")
                samples.setdefault((problem, f"{target} to {emit}"), []).append(seconds)
                samples.setdefault((problem, f"{target} to {emit}, processor"), []).append(processor)
            if have_triton:
                seconds, processor, text = timed(triton + [str(x) for x in problem], environment, scratch / "triton")
                samples.setdefault((problem, "triton"), []).append(seconds)
                samples.setdefault((problem, "triton, processor"), []).append(processor)
                inside = json.loads(text.splitlines()[-1])["compile_s"]
                samples.setdefault((problem, "triton in process"), []).append(inside)
    shutil.rmtree(scratch)

    median = {key: statistics.median(values) for key, values in samples.items()}
    lines = ["| problem | attune to PTX | attune to cubin (ptxas) | attune to cubin (NVRTC) | Triton, whole command (in process) "
             "| Triton / attune, to cubin (by processor time) |", "|---|---|---|---|---|---|"]
    worst = None
    for problem in PROBLEMS:
        dtype, dim, mask, capability = problem
        cells = [f"{median[problem, f'{t} to {e}']:.3f}" for t, e in columns]
        ratio = "-"
        theirs = "-"
        if have_triton:
            theirs = f"{median[problem, 'triton']:.3f} ({median[problem, 'triton in process']:.3f})"
            factor = median[problem, "triton"] / median[problem, "ptx to cubin"]
            worst = min(worst or factor, factor)
            processor = median[problem, "triton, processor"] / median[problem, "ptx to cubin, processor"]
            ratio = f"{factor:.1f} ({processor:.1f})"
        lines.append(f"| {dtype} d{dim} {mask} sm_{capability} | {' | '.join(cells)} | {theirs} | {ratio} |")
    note = (f"Seconds, median of {options.rounds} interleaved rounds, each with an empty cache; {os.cpu_count()} cores "
            f"({platform.machine()}, load {os.getloadavg()[1]:.1f} from others and us), Triton {version}. Command: `tests/perf/compile_time.py --update`.")
    table = "\n".join(lines + ["", note])
    if options.json:
        print(json.dumps({"triton": version, "samples": [{"problem": list(p), "what": w, "seconds": s}
                                                           for (p, w), s in samples.items()]}))
    else:
        print(table)
    if options.update:
        put_section("compile_time.py", table)
    if worst is not None and worst < options.factor:
        print(f"expected attune at least {options.factor} times as fast as Triton, got {worst:.2f}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
