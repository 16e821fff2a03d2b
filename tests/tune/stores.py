"""What the tests of this folder have in common: reading stores from outside, and counting what failed."""

import os
import sqlite3
import struct
import sys


class Checks:
    """Collects failures; the last line of a test is `report`'s."""

    def __init__(self):
        self.failures = []

    def __call__(self, condition, text):
        if not condition:
            self.failures.append(text)
            print(f"FAILED: {text}", file=sys.stderr)

    def report(self, skipped=0):
        print(f"{0 if self.failures else 1} passed, {len(self.failures)} failed, {skipped} skipped")
        return 1 if self.failures else 0


def rows(store):
    """{(device, schedule, target): (verdict, figure, when)} of the store; nothing if it is not there yet. The figure is
    the first one: that of the simulator's counters, which the virtual clock refines later."""
    if not os.path.exists(store):
        return {}
    db = sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10)
    try:
        found = db.execute("SELECT s.device, r.schedule, r.target, r.verdict, r.samples, r.at FROM row r JOIN subject s "
                           "ON r.subject = s.id").fetchall()
        return {row[:3]: (row[3], struct.unpack("d", row[4][:8])[0] if row[4] else 0, row[5]) for row in found}
    finally:
        db.close()


def figures(found):
    """Of rows: verdict and figure."""
    return {key: value[:2] for key, value in found.items()}


def refined(store):
    """How many rows the virtual clock has refined."""
    db = sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10)
    try:
        return db.execute("SELECT count(*) FROM row WHERE length(samples) = 16").fetchone()[0]
    finally:
        db.close()


def in_order(store):
    if not os.path.exists(store):
        return True
    db = sqlite3.connect(store, timeout=10)
    try:
        return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        db.close()


def session_lives(session):
    """Processes of a session, zombies left out."""
    alive = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if fields[0] != "Z" and int(fields[3]) == session:
                alive.append(int(entry))
    return alive
