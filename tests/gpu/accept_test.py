#!/usr/bin/env python3
"""The acceptance command without a GPU: the driver is the simulated one (to compute, or to record launches), peers are
numpy. Every part runs, the result is checked against its schema, and what must be found is found.

usage: accept_test.py --attune EXECUTABLE --driver LIBRARY [NAME...]"""
import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

try:
    import numpy as np
except ImportError:  # another Python than the distribution's may come first
    if sys.executable == "/usr/bin/python3" or not os.path.exists("/usr/bin/python3"):
        print("0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from accept import approx, arrays, cases, kernels, schema, tables, tensorcore  # noqa: E402
from accept.driver import Driver  # noqa: E402

options = None


def accept(*more, out=None, environment=None, driver=None):
    """(exit status, result or None, text)."""
    command = [str(HERE / "accept.sh"), "--attune", options.attune, "--driver", driver or options.driver, *map(str, more)]
    if out:
        command += ["--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True,
                          env=dict(os.environ, ATTUNE_PYTHON=sys.executable, **(environment or {})))
    result = json.loads(Path(out).read_text()) if out and Path(out).exists() else None
    return done.returncode, result, done.stdout + done.stderr


class Folder(unittest.TestCase):
    def setUp(self):
        self.held = tempfile.TemporaryDirectory(prefix="attune-accept-test-")
        self.addCleanup(self.held.cleanup)
        self.folder = Path(self.held.name)


class WholeRun(Folder):
    def test_every_part(self):
        status, result, text = accept("--tiny", "--quick", "--peers", "test", out=self.folder / "r.json")
        self.assertEqual(status, 0, text)
        self.assertEqual(schema.check(result), [])
        self.assertTrue(result["sample"])
        parts = result["parts"]
        self.assertEqual({name: part["status"] for name, part in parts.items()},
                         {"probes": "passed", "correctness": "passed", "large-offsets": "passed", "benchmark": "passed",
                          "claims": "skipped", "tune": "skipped",
                          "sanitizer": parts["sanitizer"]["status"]}, text)
        for row in parts["correctness"]["rows"]:
            if row["status"] == "passed":
                self.assertEqual(row["differs"], {})
                # The simulator had the dump of the probes before it.
                self.assertIn("as dumped from simulated GPU", " ".join(row["simulator_notes"]))
        self.assertGreater(parts["large-offsets"]["rows"][0]["elements_reached"], 1 << 31)
        for row in parts["benchmark"]["rows"]:
            names = {one["name"]: one for one in row["contestants"]}
            self.assertEqual(names["attune ptx"]["status"], "ok")
            self.assertEqual(names["numpy"]["status"], "ok")
            self.assertEqual(names["wrong numpy"]["status"], "wrong")
            self.assertEqual(names["broken numpy"]["why"], "RuntimeError: made to fail")
            self.assertGreaterEqual(len(names["attune ptx"]["samples_ms"]), 3)
        self.assertIn("absent", parts["benchmark"]["facts"]["peers_absent"])
        self.assertIn("broken numpy: failed in 4 cells", text)
        self.assertIn("numpy ", text)


def main():
    global options
    parser = argparse.ArgumentParser()
    parser.add_argument("--attune", required=True)
    parser.add_argument("--driver", required=True)
    options, names = parser.parse_known_args()
    suite = unittest.defaultTestLoader.loadTestsFromNames(names, sys.modules[__name__]) if names else \
        unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    bad, skipped = len(result.failures) + len(result.errors), len(result.skipped)
    print(f"{result.testsRun - bad - skipped} passed, {bad} failed, {skipped} skipped")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
