#!/usr/bin/env python3
"""Merges and imports under SIGKILL: two at a time into one store, each killed at a random moment, over and over.

After every round the store is in order, each source's rows are in it wholly or not at all, no row that was there is
lost or replaced by an older one, and another device's rows are as they were; at the end merging all of them once more
gives what a store has that nobody killed.

usage: merges.py ATTUNE [--rounds N] [--seed S]
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

from stores import Checks, in_order, rows

ROWS = 3000  # of a source: enough for a kill in the middle of its transaction
SOURCES = 4
SPEC = {"op": "forward", "name": "attention", "dtype": "bf16", "head_dim_qk": 64, "head_dim_v": 64, "layout": "bshd", "mask": [],
        "lse": False, "schedule": {}}
SHAPE = {"batch": 1, "heads_q": 16, "heads_kv": 16, "length_q": 4096, "length_kv": 4096}


def row(number, device, second, figure):
    return {"kind": "measured", "device": device, "arch": "sm_90", "driver": "CUDA 13.0", "toolkit": "of the test", "spec": SPEC,
            "shape": SHAPE, "family": "portable", "schedule": f"block_q=128 block_kv={16 * number} stages=1 warps=4",
            "target": "ptx", "verdict": "passed", "model_us": 50, "median_us": figure, "low_us": figure, "high_us": figure,
            "share_of_limit": 0.5, "samples_us": [figure], "when": f"2026-01-01T00:{second // 60:02}:{second % 60:02}Z"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("attune")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    dice, check = random.Random(args.seed), Checks()
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, ATTUNE_STORE="", TMPDIR=folder)
        path = lambda name: os.path.join(folder, name)

        def start(*words):
            return subprocess.Popen([args.attune, "tune", *words], env=environment, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE)

        def run(*words):
            done = start(*words)
            error = done.communicate()[1].decode()
            check(done.returncode == 0, f"{' '.join(words)}: exit status {done.returncode}: {error}")

        # Sources share a third of their candidates, with other times and figures.
        words, held = [], []
        for source in range(SOURCES):
            made = [row(1 + (n if n < ROWS // 3 else n + ROWS * source), "NVIDIA H100", dice.randrange(3600), dice.randrange(50, 99))
                    for n in range(ROWS)]
            name = path(f"{source}.json")
            with open(name, "w") as file:
                json.dump({"attune_tuning": 1, "sweeps": [], "rows": made}, file)
            if source % 2:  # half of them as stores
                run("import", name, "--store", path(f"{source}.sqlite"))
                words.append(("merge", path(f"{source}.sqlite")))
            else:
                words.append(("import", name))
            held.append({(r["device"], r["schedule"], "ptx"): (r["when"], r["median_us"]) for r in made})
        with open(path("foreign.json"), "w") as file:
            json.dump({"attune_tuning": 1, "sweeps": [], "rows": [row(n, "NVIDIA A100", n, 1) for n in range(1, 50)]}, file)
        run("import", path("foreign.json"), "--store", path("all.sqlite"))
        foreign = rows(path("all.sqlite"))

        began = time.monotonic()
        run(*words[0], "--store", path("unkilled.sqlite"))
        takes = time.monotonic() - began
        before, killed = foreign, 0
        for number in range(args.rounds):
            pair = dice.sample(range(SOURCES), 2)
            processes = [start(*words[source], "--store", path("all.sqlite")) for source in pair]
            time.sleep(takes * 1.5 * dice.random())
            for process in processes:
                process.send_signal(signal.SIGKILL)
                killed += process.wait() == -signal.SIGKILL
                check(process.returncode in (0, -signal.SIGKILL), f"round {number}: {process.stderr.read().decode()}")
            check(in_order(path("all.sqlite")), f"round {number}: the store is damaged")
            now = rows(path("all.sqlite"))
            for key, (verdict, figure, when) in before.items():
                if key not in now or (now[key][2], -now[key][1]) < (when, -figure):
                    check(False, f"round {number}: {key} of {when} is lost, there is {now.get(key)}")
                    break
            check(all(now[key] == value for key, value in foreign.items()), f"round {number}: another device's rows changed")
            for source in range(SOURCES):  # what is in none of the others
                own = [key for key in held[source] if not any(key in other for n, other in enumerate(held) if n != source)]
                there = sum(key in now for key in own)
                check(there in (0, len(own)), f"round {number}: {there} of {len(own)} rows of source {source} are there")
            before = now
        for word in words:
            run(*word, "--store", path("all.sqlite"))
        for word in reversed(words):
            run(*word, "--store", path("unkilled.sqlite"))
        run("import", path("foreign.json"), "--store", path("unkilled.sqlite"))
        merged = rows(path("all.sqlite"))
        check(merged == rows(path("unkilled.sqlite")), "merges that were killed leave another store than those that were not")
        for key, (verdict, figure, when) in merged.items():
            best = max(((other[key][0], -other[key][1]) for other in held if key in other), default=None)
            if best and best != (when, -figure):
                check(False, f"{key}: {when} {figure} stayed, not {best}")
                break
    print(f"{killed} of {2 * args.rounds} merges were killed; {len(merged)} rows")
    return check.report()


sys.exit(main())
