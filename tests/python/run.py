#!/usr/bin/env python3
"""Runs tests of the Python package in an environment that has what they need, and prints a line of totals.

usage: run.py --environment FOLDER --build BUILD_FOLDER [--needs MODULE]... FILE...

Without the environment or a module of it the tests count as skipped.
"""
import argparse
import importlib.util
import os
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--environment", type=Path, required=True)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--needs", action="append", default=[])
    parser.add_argument("--inside", action="store_true", help="this is the environment's Python")
    parser.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    python, build = arguments.environment / "bin/python", arguments.build.resolve()
    if not arguments.inside and python.exists():
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "runtime/python"), "PYTHONPYCACHEPREFIX": str(build / "pycache"),
                       "ATTUNE_LIBRARY": str(build / "lib/libattune.so"), "ATTUNE_BUILD": str(build),
                       "ATTUNE_CACHE_DIR": str(build / "python-kernels")}
        os.execve(python, [str(python), __file__, "--inside", *sys.argv[1:]], environment)
    lacking = [name for name in arguments.needs if importlib.util.find_spec(name) is None]
    if not arguments.inside or lacking:
        print(f"skipped: no {', '.join(lacking) or arguments.environment} (tests/python/environment.py makes it)")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    sys.path.insert(0, str(HERE))
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromName(file.stem) for file in arguments.files)
    result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
    def whole(test):  # a subtest fails for its test
        return getattr(test, "test_case", test).id()

    failed, skipped = len({whole(test) for test, _ in result.failures + result.errors}), len(result.skipped)
    print(f"{max(result.testsRun - failed - skipped, 0)} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


sys.exit(main())
