#!/usr/bin/env python3
"""Ctrl-C in a sweep, as a terminal sends it: to the whole process group, and with a terminal to draw on.

The candidate at hand is finished, the table so far is printed, the exit status is 130, what was found is in the store,
no process lives on; and the progress line is there on a terminal and nowhere else.

usage: interrupt.py ATTUNE
"""

import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time

from stores import Checks, rows

TUNE = ["tune", "--head-dim", "32", "--len", "700", "--heads-q", "2", "--device", "sim", "--target", "ptx", "--budget",
        "10m", "--all", "--no-cache"]


def read_all(descriptor):
    text = b""
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # the terminal's other side is closed
            return text.decode()
        if not piece:
            return text.decode()
        text += piece


def main():
    attune, check = sys.argv[1], Checks()
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, ATTUNE_STORE="", TMPDIR=folder, COLUMNS="100")
        for number in (signal.SIGINT, signal.SIGTERM):
            store = os.path.join(folder, f"{number}.sqlite")
            ours, theirs = pty.openpty()
            process = subprocess.Popen([attune, *TUNE, "--store", store], env=environment, stdout=subprocess.PIPE,
                                       stderr=theirs, start_new_session=True)
            os.close(theirs)
            limit = time.monotonic() + 60
            while len(rows(store)) < 3 and time.monotonic() < limit and process.poll() is None:
                time.sleep(0.02)
            os.killpg(process.pid, number)
            began = time.monotonic()
            out = process.stdout.read().decode()
            status = process.wait()
            err = read_all(ours)
            os.close(ours)
            name = signal.Signals(number).name
            check(status == 130, f"{name}: expected exit status 130, got {status}: {out}{err}")
            check(time.monotonic() - began < 20, f"{name}: it took {time.monotonic() - began:.1f} s to end")
            tried = re.search(r"tried +(\d+) of (\d+) .*: interrupted", out)
            check(tried and 3 <= int(tried[1]) < int(tried[2]), f"{name}: no table of an interrupted sweep: {out}")
            check(tried and len(rows(store)) == int(tried[1]), f"{name}: {len(rows(store))} rows in the store: {out}")
            check("\r" in err and "trying" in err and "best" in err, f"{name}: no progress line: {err!r}")
            check("error" not in err, f"{name}: {err!r}")
        left = [name for name in os.listdir(folder) if name.startswith("attune-")]
        check(not left, f"left behind: {left}")
        quiet = subprocess.run([attune, *TUNE, "--block-q", "64", "--warps", "4", "--stages", "1", "--store", store],
                               env=environment, capture_output=True, text=True)
        check(quiet.returncode == 0 and quiet.stderr == "", f"without a terminal: {quiet.returncode} {quiet.stderr!r}")
    return check.report()


sys.exit(main())
