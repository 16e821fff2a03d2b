#!/usr/bin/env python3
"""Kills `attune tune` with SIGKILL at random moments, over and over, and resumes it.

After every kill: each row that was ever seen in the store is still there with the same figure, the store is in
order, and no process of the killed sweep lives on. At the end the resumed sweep has the very rows that a sweep that
was never killed has.

usage: kill.py ATTUNE [--rounds N] [--seed S]
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

from stores import Checks, figures, in_order, refined, rows, session_lives

# A part of the space, so that the last round comes to its end.
TUNE = ["tune", "--head-dim", "32", "--dtype", "fp16", "--warps", "4", "--stages", "1", "--len", "700", "--heads-q", "2", "--device",
        "sim", "--target", "ptx", "--budget", "10m", "--all"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("attune")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    dice = random.Random(args.seed)
    check, seen, killed = Checks(), {}, 0
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, ATTUNE_STORE="", TMPDIR=folder)

        def command(store, *more):
            return [args.attune, *TUNE, "--store", os.path.join(folder, store), *more]

        store = os.path.join(folder, "killed.sqlite")
        for number in range(args.rounds):
            process = subprocess.Popen(command("killed.sqlite", "--resume", "--no-cache"), env=environment,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
            # The earliest moments (making the store, starting the processes) get their share.
            end = time.monotonic() + dice.choice([0.05, 0.5, 3]) * (0.2 + dice.random())
            while time.monotonic() < end and process.poll() is None:
                seen.update(figures(rows(store)))
                time.sleep(dice.random() * 0.05)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
            error = process.stderr.read().decode()
            status = process.wait()
            check(status in (0, -signal.SIGKILL), f"round {number}: exit status {status}: {error}")
            kept = figures(rows(store))
            for key, value in seen.items():
                check(kept.get(key) == value, f"round {number}: row {key} was {value}, is {kept.get(key)}")
            check(in_order(store), f"round {number}: the store is damaged")
            seen.update(kept)
            for _ in range(100):
                if not session_lives(process.pid):
                    break
                time.sleep(0.05)
            else:
                check(False, f"round {number}: processes live on: {session_lives(process.pid)}")
        last = subprocess.run(command("killed.sqlite", "--resume"), env=environment, capture_output=True, text=True)
        check(last.returncode == 0, f"the resumed sweep ends with {last.returncode}: {last.stderr}")
        whole = subprocess.run(command("whole.sqlite"), env=environment, capture_output=True, text=True)
        check(whole.returncode == 0, f"the whole sweep ends with {whole.returncode}: {whole.stderr}")
        unsplit = os.path.join(folder, "whole.sqlite")
        resumed, expected = figures(rows(store)), figures(rows(unsplit))
        check(len(expected) >= 10, f"expected a sweep of at least 10 candidates, got {len(expected)}")
        check(resumed == expected, f"the resumed sweep has {len(resumed)} rows, the whole one {len(expected)}, or others")
        check(0 < refined(store) == refined(unsplit), f"the clock refined {refined(store)} rows, and {refined(unsplit)}")
        check(all(resumed.get(key) == value for key, value in seen.items()), "a row changed when it was resumed")
        left = [name for name in os.listdir(folder) if not name.endswith((".sqlite", ".sqlite-wal", ".sqlite-shm"))]
        left = [name for name in left if not name.startswith("attune-") and ".new-" not in name]
        check(not left, f"left behind: {left}")
    print(f"{killed} of {args.rounds} rounds were killed; {len(seen)} rows were there before the last one of "
          f"{len(expected)}")
    return check.report()


sys.exit(main())
