#!/usr/bin/env python3
"""Makes the wheel of what was built, installs it into a fresh environment, and uses it as a stranger would.

usage: wheel_test.py --build BUILD_FOLDER --environment FOLDER_WITH_NUMPY [--python PYTHON]...

Prints what `import attune` takes, and ends with a line of totals.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_MILLISECONDS = 30  # of `import attune`
totals = {"passed": 0, "failed": 0, "skipped": 0}
USE = """
import numpy as np, attune
q = np.ones((1, 17, 2, 16), np.float16)
print(attune.attention(q, q, q).mean(), attune.__version__, attune.__file__)
"""


def check(what, good, detail=""):
    totals["passed" if good else "failed"] += 1
    if not good:
        print(f"FAILED: {what}\n{detail}")


def run(*command, **named):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **named)
    return done.returncode, done.stdout + done.stderr


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--environment", type=Path, required=True)
    arguments = parser.parse_args()
    version = re.search(r"project\(attune VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        status, text = run(sys.executable, ROOT / "runtime/python/wheel.py", "--library", arguments.build / "lib/libattune.so",
                           "--command", arguments.build / "bin/attune", "--version", version, "-o", folder)
        check("a wheel is made", status == 0, text)
        wheel = next(folder.glob("*.whl"))
        check("its tag is a manylinux one of this glibc, for any Python 3",
              re.fullmatch(rf"attune-{version}-py3-none-manylinux_2_\d+_x86_64.whl", wheel.name), wheel.name)
        names = zipfile.ZipFile(wheel).namelist()
        sources = {f"attune/{path.name}" for path in (ROOT / "runtime/python/attune").iterdir() if path.suffix in (".py", ".typed")}
        check("all of the package is in it", sources | {"attune/lib/libattune.so"} <= set(names), names)

        status, text = run(sys.executable, "-m", "venv", folder / "fresh")
        check("an environment is made", status == 0, text)
        python = folder / "fresh/bin/python"
        status, text = run(python, "-m", "pip", "install", "--no-index", "--disable-pip-version-check", wheel)
        check("pip installs it", status == 0, text)
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("ATTUNE", "PYTHON"))}
        clean["ATTUNE_CACHE_DIR"] = str(folder / "cache")
        status, text = run(folder / "fresh/bin/attune", "--version", env=clean)
        check("the command runs", status == 0 and text.startswith(f"attune {version}"), text)

        # Of the process, since tests run beside others.
        measure = "import time; begin = time.process_time(); import attune; print((time.process_time() - begin) * 1e3)"
        times = []
        for _ in range(7):
            status, text = run(python, "-c", measure, env=clean)
            check("attune is imported", status == 0, text)
            times.append(float(text) if status == 0 else 1e9)
        print(f"import attune: {min(times):.1f} ms of the processor, without NumPy and torch")
        check(f"import attune takes at most {MOST_MILLISECONDS} ms", min(times) <= MOST_MILLISECONDS, times)
        status, text = run(python, "-c", "import attune, sys; print({'numpy', 'torch'} & set(sys.modules))", env=clean)
        check("import attune imports neither", text == "set()\n", text)

        packages = next(arguments.environment.resolve().glob("lib/python*/site-packages"), None)
        if packages is None or not (packages / "numpy").exists():
            totals["skipped"] += 1
            print(f"skipped: no NumPy in {arguments.environment}")
        else:
            status, text = run(python, "-c", USE, env={**clean, "PYTHONPATH": str(packages)}, cwd=folder)
            check("it computes", status == 0 and text.startswith(f"1.0 {version} {folder.resolve()}"), text)
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**totals))
    return 1 if totals["failed"] else 0


sys.exit(main())
