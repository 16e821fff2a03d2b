#!/usr/bin/env python3
"""`attune tune` as on a GPU: through the CUDA driver's interface, over a driver library that simulates. Times are made
up by it, so what is tested is the way: contexts in a process of their own, modules, events, flushes, and what happens
when a launch kills the process or fails for good.

usage: gpu_path.py ATTUNE DRIVER_FOLDER
"""

import json
import os
import subprocess
import sys
import tempfile

TUNE = ["tune", "--head-dim", "32", "--warps", "4", "--block-q", "64", "--stages", "1", "--target", "ptx", "--shapes",
        "1x2x2x200", "--device", "cuda", "--budget", "5m", "--all", "--json"]


def main():
    attune, driver = sys.argv[1:]
    totals = {"passed": 0, "failed": 0}

    def check(condition, text):
        totals["passed" if condition else "failed"] += 1
        if not condition:
            print(f"FAILED: {text}", file=sys.stderr)

    with tempfile.TemporaryDirectory() as folder:

        def tune(name, *more, **environment):
            done = subprocess.run([attune, *TUNE, "--store", os.path.join(folder, name), *more], capture_output=True, text=True,
                                  env={**os.environ, "LD_LIBRARY_PATH": driver, "TMPDIR": folder, **environment})
            try:
                return done.returncode, json.loads(done.stdout)["sweeps"][0], done.stderr
            except (ValueError, KeyError):
                return done.returncode, None, done.stderr + done.stdout

        status, plain, text = tune("plain")
        check(status == 0 and plain, text)
        if not plain:
            print("0 passed, 1 failed, 0 skipped")
            return 1
        passed = {row["schedule"]: row["measured_us"] for row in plain["rows"] if row["verdict"] == "passed"}
        check(plain["kind"] == "measured" and plain["device"]["driver"].startswith("CUDA"), plain["device"])
        check(len(passed) >= 5, plain["rows"])
        check(plain["winner"]["measured_us"] == min(passed.values()), plain["winner"])
        check(plain["winner"]["samples"] >= 20 and (plain["default"]["verdict"] == "spilled" or plain["default"]["samples"] >= 20), plain["winner"])

        # The virtual clock has followed the model's best, for the GPU that there is, and stands beside what was measured.
        passed_rows = [row for row in plain["rows"] if row["verdict"] == "passed"]
        clocked = [row for row in passed_rows if row.get("clock_us", 0) > 0]
        check(len(clocked) == min(32, len(passed_rows)) == plain["clock_kendall_pairs"], plain.get("clock_failure", clocked))
        others = [row["clock_us"] for row in clocked if not row["default"]]
        check(others == sorted(others), f"tried in another order than the clock's: {others}")
        page = os.path.join(folder, "page.html")
        status, _, text = tune("paged", "--report", page)
        with open(page) as file:
            check(status == 0 and "<th>time<th>clock<th>" in file.read(), f"the page has no column of the clock: {text}")

        # A launch that kills its process, and one after which the context is of no use: one candidate fails, the rest
        # has the same times.
        for what in ("CRASH", "FAULT"):
            mark = os.path.join(folder, what)
            status, hurt, text = tune(what.lower(), **{f"ATTUNE_SIMULATED_{what}": f"9:{mark}"})
            check(status == 0 and hurt and os.path.exists(mark), f"{what}: {status} {text}")
            if not hurt:
                continue
            left = [row for row in hurt["rows"] if row["verdict"] == "wrong"]
            check(not left, f"{what}: {left}")
            crashed = [row for row in hurt["rows"] if row["verdict"] == "crashed"]
            check(len(crashed) == 1 and crashed[0]["message"], f"{what}: {crashed}")
            others = {row["schedule"]: row["measured_us"] for row in hurt["rows"] if row["verdict"] == "passed"}
            expected = {key: value for key, value in passed.items() if key != (crashed or [{"schedule": ""}])[0]["schedule"]}
            check(others == expected, f"{what}: {others}, expected {expected}")

        # Resumed, what was far behind is not measured again, and what led is.
        status, again, text = tune("plain", "--resume")
        check(status == 0 and again, text)
        if again:
            check(again["winner"]["schedule"] == plain["winner"]["schedule"] and not again["winner"]["resumed"], again["winner"])
            check(any(row["resumed"] for row in again["rows"]), again["rows"])
        # And planning on that GPU takes it.
        done = subprocess.run([attune, "run", "--head-dim", "32", "--warps", "4", "--len", "200", "--heads-q", "2", "--device",
                               "cuda", "--store", os.path.join(folder, "plain"), "--no-cache"], capture_output=True, text=True,
                              env={**os.environ, "LD_LIBRARY_PATH": driver, "ATTUNE_SIMULATED_CAPABILITY": "100"})
        check("(measured, " in done.stdout or "the model" in done.stdout, done.stdout + done.stderr)
    print("{passed} passed, {failed} failed, 0 skipped".format(**totals))
    return 1 if totals["failed"] else 0


sys.exit(main())
