#!/usr/bin/env python3
"""What launches, plans and hits of the cache cost.

usage: runtime_times.py [--attune EXECUTABLE] [--tests BIN_FOLDER] [--rounds N] [--update]

Hits are timed as whole commands of a release executable (`./dev release`; any other one is named in the table). The
costs within a process come from the test runtime_api_test, whose driver only records launches. --update writes the
table into README.md.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from readme import HERE, find_attune, put_section

ROOT = HERE.parent.parent
EXAMPLES = ROOT / "examples"


def milliseconds(command, env):
    start = time.perf_counter()
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    took = (time.perf_counter() - start) * 1000
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return took, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attune", type=Path)
    parser.add_argument("--tests", type=Path, default=ROOT / "build/dev/bin")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--update", action="store_true")
    arguments = parser.parse_args()
    release = ROOT / "build/release/attune"
    attune = arguments.attune or (release if release.exists() else find_attune())

    rows = []
    text = subprocess.run([arguments.tests / "runtime_api_test"], capture_output=True, text=True).stdout
    launch = re.search(r"one launch: ([\d.]+) us", text)
    plans = re.search(r"that the context has: ([\d.]+) us; from the cache, loaded: (\d+) us", text)
    if not launch or not plans:
        sys.exit("runtime_api_test did not say what it measured:\n" + text)
    rows.append(("one launch, checks included, on a driver that only records it", f"{launch[1]} us", "2 us"))
    rows.append(("plan of a kernel that the context has", f"{plans[1]} us", ""))

    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "ATTUNE_CACHE_DIR": f"{folder}/cache", "ATTUNE_STORE": ""}
        specs = {"llama3.json": [], "gemma2_softcap.json": ["--arch", "sm_90"]}
        inside, whole = [], []
        for spec, flags in specs.items():
            command = [attune, "compile", EXAMPLES / spec, *flags, "--emit", "cubin", "-o", f"{folder}/k", "--json"]
            milliseconds(command, env)  # compiles
            for _ in range(arguments.rounds):
                took, output = milliseconds(command, env)
                whole.append(took)
                found = json.loads(output)
                if not found["from_cache"]:
                    sys.exit(f"{spec} did not come from the cache")
                inside.append(found["times_ms"]["cache"])
        entry = max(path.stat().st_size for path in Path(f"{folder}/cache").glob("*.attune"))
        rows.append((f"hit in process: found, read, checked (entries of up to {entry / 1024:.0f} KB)",
                     f"{statistics.median(inside):.2f} ({min(inside):.2f}) ms", "1 ms"))
        rows.append(("hit, whole command: `attune compile llama3.json --emit cubin`",
                     f"{statistics.median(whole):.1f} ({min(whole):.1f}) ms", "30 ms"))
        start = time.perf_counter()
        command = [attune, "compile", EXAMPLES / "llama3.json", "--emit", "ptx", "-o", "/dev/null", "--json"]
        running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(16)]
        made = [json.loads(process.communicate()[0])["from_cache"] for process in running].count(False)
        rows.append((f"16 processes that want one new kernel: {made} compiles it", f"{time.perf_counter() - start:.2f} s", ""))

    kind = "release" if attune == release else str(attune.relative_to(ROOT))
    table = "| what | median (fastest) | limit |\n|---|---|---|\n"
    table += "".join(f"| {what} | {cost} | {limit} |\n" for what, cost, limit in rows)
    load = os.getloadavg()[0]
    table += (f"\n{2 * arguments.rounds} rounds, {os.cpu_count()} cores (load {load:.1f} from others and us), executable: {kind}. "
              "Command: `./dev release && tests/perf/runtime_times.py --update`.")
    print(table)
    if arguments.update:
        put_section("runtime_times.py", table)


main()
