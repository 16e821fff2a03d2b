#!/usr/bin/env python3
"""How fast the tuner is, and what its sweeps on the simulated device find.

  tests/perf/tune_rates.py              two tables for people
  tests/perf/tune_rates.py --update     also puts them into tests/perf/README.md

Exit status 1: a limit that the tables name was not kept.
"""
import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from readme import put_section  # noqa: E402

# Name, flags, further flags of each sweep of it: none ends by its own rule, --all tries every feasible candidate.
SWEEPS = [
    ("bf16 d128 causal, 32 heads over 8, 4096", "--head-dim 128 --mask causal --lse --len 4096 --heads-q 32 --heads-kv 8",
     [[], ["--all"]]),
    ("bf16 d64 full, 16 heads, 4096", "--head-dim 64 --len 4096 --heads-q 16", [[]]),
]


def call(command, status=(0,)):
    done = subprocess.run(list(map(str, command)), env=dict(os.environ, ATTUNE_STORE=""), capture_output=True, text=True)
    if done.returncode not in status:
        sys.exit(f"{' '.join(map(str, command))}\nexited with {done.returncode}:\n{done.stderr or done.stdout}")
    return done.stdout


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def schedule(row):
    return "{block_q}x{block_kv}, {stages}, {warps}, {target}".format(**row)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attune", type=Path, default=HERE.parents[1] / "build/dev/bin/attune",
                        help="of a developer build, which has tuner_rates beside it (build/dev/bin/attune)")
    parser.add_argument("--quick", action="store_true", help="leave out the sweep of every candidate (2 minutes)")
    parser.add_argument("--update", action="store_true", help="put the tables into tests/perf/README.md")
    options = parser.parse_args()
    attune = options.attune
    load = os.getloadavg()[0]
    rates = json.loads(call([attune.parent / "tuner_rates"]))
    advisor = call([attune.parent / "tuner_advisor_test", "-tc=*rows answers a plan*"])
    plan = re.search(r"one that is ([\d.]+) us the first time; ([\d.]+) us when known, ([\d.]+) us", advisor)
    first, known, further = (float(text) for text in plan.groups())
    sweeps, broken = [], []
    for name, flags, variants in SWEEPS:
        for more in variants[:1] if options.quick else variants:
            with tempfile.TemporaryDirectory(prefix="attune-tune-rates-") as cache:
                before = processor_seconds()
                told = call([attune, "tune", *flags.split(), "--device", "sim", "--budget", "30m", "--json", "--cache-dir",
                             cache, *more])
            sweep = json.loads(told)["sweeps"][0]
            sweep["by_processor"] = (processor_seconds() - before) / os.cpu_count()
            sweeps.append((name, sweep))
    def limit(what, good):
        if not good:
            broken.append(what)
    limit("ranking", rates["ranking_ms"] < 1000)
    limit("to PTX", max(rates["to_ptx"].values()) >= 6)
    limit("to cubin", max(rates["to_cubin"].values()) >= 2)
    limit("plan", known < 10)
    for name, sweep in sweeps:
        limit(f"{name}: 3 minutes", min(sweep["seconds"], sweep["by_processor"]) < 180)
        limit(f"{name}: the default is better", sweep["winner"]["ratio_to_default"] <= 1)
    def rate(name):
        return "{wall:.1f} ({by_processor:.1f})".format(**rates[name])
    table = f"""| what | figure | limit |
|---|---|---|
| ranking the whole space by the model ({rates["points"]} points, {rates["feasible"]} feasible) | {rates["ranking_ms"]:.0f} ms | 1 s |
| candidates a second to PTX (target ptx) | {rate("to_ptx")} | 6 |
| candidates a second to cubin by ptxas (target ptx) | {rate("to_cubin")} | 2 |
| candidates a second to cubin by NVRTC (target cuda) | {rate("by_nvrtc")} | |
| a plan, store of 100,000 rows: known | {known:.2f} us | 10 us |
| a further shape of a known spec; a spec for the first time | {further:.1f} us; {first / 1000:.1f} ms | |

| sweep on the simulated sm_80, with verification | tried | time (limit 180 s) | Kendall's tau | winner | estimate / default's |
|---|---|---|---|---|---|
"""
    for name, sweep in sweeps:
        table += (f'| {name}: {"all" if sweep["outcome"] == "complete" else "until settled"} '
                  f'| {sweep["tried"]} of {sweep["feasible"]} | {sweep["seconds"]:.0f} s ({sweep["by_processor"]:.0f} s) | {sweep["kendall_tau"]:.2f} '
                  f'| {schedule(sweep["winner"])} | {sweep["winner"]["ratio_to_default"]:.3f} |\n')
    table += ("\nIn brackets: what the cores could do with nothing else to do, by processor time. "
              f"Sweeps: both targets, to cubins, empty caches; {os.cpu_count()} cores ({platform.machine()}, load {load:.1f} from others "
              "and us). Command: `tests/perf/tune_rates.py --update`.")
    print(table)
    if options.update:
        put_section("tune_rates.py", table)
    for what in broken:
        print(f"not kept: {what}", file=sys.stderr)
    return 1 if broken else 0


sys.exit(main())
