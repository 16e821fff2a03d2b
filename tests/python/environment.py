#!/usr/bin/env python3
"""Makes a folder with a Python of its own and the packages that tests need, unless it is there.

usage: environment.py FOLDER PACKAGE...

A machine that cannot have them is no failure: the tests that need them say so, and count as skipped. One try a folder:
remove FOLDER to try again.
"""
import shutil
import subprocess
import sys
from pathlib import Path


def main():
    folder, packages = Path(sys.argv[1]), sys.argv[2:]
    if not folder.exists():
        made = folder.with_name(folder.name + ".new")
        shutil.rmtree(made, ignore_errors=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", made], check=True)
            subprocess.run([made / "bin/python", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check",
                            *packages], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"skipped: could not get {', '.join(packages)}: {error}")
        made.mkdir(exist_ok=True)
        made.rename(folder)
    print("1 passed, 0 failed, 0 skipped" if (folder / "bin/python").exists() else "0 passed, 0 failed, 1 skipped")


main()
