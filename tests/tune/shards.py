#!/usr/bin/env python3
"""Eight shards of one sweep, each in a process of its own that is killed with SIGKILL and started again, while their
stores are merged over and over by a process that is killed as well.

No row that was ever seen in a store is lost; the store is always in order; at the end the merged store has the very
rows of a sweep that was never split, merging once more, or in another order, changes nothing, and results of another
device stay apart.

usage: shards.py ATTUNE [--kills N] [--seed S]
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

from stores import Checks, figures, in_order, rows

SHARDS = 8
TUNE = ["tune", "--head-dim", "16", "--dtype", "fp16", "--warps", "4", "--stages", "1", "--len", "200", "--device", "sim",
        "--target", "ptx", "--budget", "10m", "--all"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("attune")
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    dice = random.Random(args.seed)
    check = Checks()
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, ATTUNE_STORE="", TMPDIR=folder, XDG_CACHE_HOME=folder)
        path = lambda name: os.path.join(folder, name)

        def start(*words):
            return subprocess.Popen([args.attune, *words], env=environment, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE, start_new_session=True)

        def run(*words):
            done = subprocess.run([args.attune, *words], env=environment, capture_output=True, text=True)
            check(done.returncode == 0, f"{' '.join(words)}: exit status {done.returncode}: {done.stderr}")
            return done.stdout

        def shard(number):
            return start(*TUNE, "--shard", f"{number}/{SHARDS}", "--resume", "--store", path(f"{number}.sqlite"))

        whole = start(*TUNE, "--store", path("whole.sqlite"))
        processes = {number: shard(number) for number in range(1, SHARDS + 1)}
        seen, killed, deadline = {}, 0, time.monotonic() + 300
        while processes and time.monotonic() < deadline:
            time.sleep(0.1 + 0.4 * dice.random())
            for number, process in list(processes.items()):
                status = process.poll()
                if status is not None:
                    check(status == 0, f"shard {number}: exit status {status}: {process.stderr.read().decode()}")
                    del processes[number]
            if processes and killed < args.kills:
                number = dice.choice(list(processes))
                processes[number].kill()
                processes[number].wait()
                killed += 1
                check(in_order(path(f"{number}.sqlite")), f"shard {number}: its store is damaged")
                processes[number] = shard(number)
            # A merge of what is there, killed half the time.
            there = [path(f"{n}.sqlite") for n in range(1, SHARDS + 1) if os.path.exists(path(f"{n}.sqlite"))]
            if there:
                merge = start("tune", "merge", *there, "--store", path("all.sqlite"))
                if dice.random() < 0.5:
                    time.sleep(0.02 + 0.1 * dice.random())
                    merge.send_signal(signal.SIGKILL)
                merge.wait()
                check(merge.returncode in (0, -signal.SIGKILL), f"merge: {merge.stderr.read().decode()}")
                kept = rows(path("all.sqlite"))
                check(all(kept.get(key, ("",))[0] == value[0] for key, value in seen.items()), "a merged row is lost")
                seen.update(kept)
        check(not processes, f"shards that did not end: {sorted(processes)}")
        check(whole.wait() == 0, f"the whole sweep: {whole.stderr.read().decode()}")
        stores = [path(f"{n}.sqlite") for n in range(1, SHARDS + 1)]
        run("tune", "merge", *stores, "--store", path("all.sqlite"))
        merged, expected = rows(path("all.sqlite")), rows(path("whole.sqlite"))
        check(in_order(path("all.sqlite")), "the merged store is damaged")
        check(len(expected) >= SHARDS, f"expected a sweep of at least {SHARDS} candidates, got {len(expected)}")
        check(figures(merged) == figures(expected), f"{len(merged)} rows are merged, the whole sweep has {len(expected)}, or others")
        said = run("tune", "merge", *stores, "--store", path("all.sqlite"))
        check(said.count(": 0 rows added, 0 replaced") == SHARDS, f"merging again is no change: {said}")
        run("tune", "merge", *reversed(stores), "--store", path("other.sqlite"))
        check(rows(path("other.sqlite")) == merged, "the order of merging matters")

        # Through JSON, with another device's among them: kept apart, and imported once.
        run("tune", "export", path("all.json"), "--store", path("all.sqlite"))
        with open(path("all.json")) as file:
            export = json.load(file)
        for row in export["rows"]:
            row["device"] = "another device"
        with open(path("foreign.json"), "w") as file:
            json.dump(export, file)
        run("tune", "import", path("foreign.json"), "--store", path("all.sqlite"))
        both = rows(path("all.sqlite"))
        check(len(both) == 2 * len(merged), f"{len(both)} rows after the import of another device's {len(merged)}")
        check(all(both.get(key) == value for key, value in merged.items()), "an import changed this device's rows")
        listed = run("tune", "results", "--store", path("all.sqlite"))
        check("another device" in listed, f"the results name the other device: {listed}")
    print(f"{killed} shards were killed; {len(expected)} rows")
    return check.report()


sys.exit(main())
