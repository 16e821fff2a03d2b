"""Holds libattune.so to what programs were built with, and calls it from C.

usage: capi.py --build BUILD_FOLDER [--record]

abi.txt has the symbols that the library shows, the sizes of structs, the places of members and the numbers of
enumerators. A change of what is there breaks programs; what is new is added with --record. errors.c, compiled as C11 by
gcc and by clang with all warnings, runs against the library. The last line has the totals.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
INCLUDE = HERE.parent.parent / "runtime/include"
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
totals = {"passed": 0, "failed": 0, "skipped": 0}


def check(what, good, detail=""):
    totals["passed" if good else "failed"] += 1
    if not good:
        print(f"FAILED: {what}\n{detail}")


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--record", action="store_true", help="write abi.txt anew")
    arguments = parser.parse_args()
    folder = arguments.build / "lib"
    library = folder / "libattune.so"
    compilers = [name for name in ("gcc", "clang", "clang-22") if shutil.which(name)]
    header = (INCLUDE / "attune/attune.h").read_text()
    header = re.sub(r"//.*", "", header)

    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch) / "program"
        status, text = run(compilers[0], *WARNINGS, "-I", INCLUDE, HERE / "abi.c", "-o", program)
        check("abi.c compiles", status == 0, text)
        _, layout = run(program)
        _, symbols = run("nm", "-D", "--defined-only", library)
        shown = sorted(line.split()[2] for line in symbols.splitlines())
        abi = layout + "".join(f"symbol {name}\n" for name in shown)
        if arguments.record:
            (HERE / "abi.txt").write_text(abi)
        recorded = (HERE / "abi.txt").read_text()
        check("the library agrees with abi.txt", abi == recorded,
              "\n".join(sorted(set(abi.splitlines()) ^ set(recorded.splitlines()))))
        declared = sorted(set(re.findall(r"\b(attune_[a-z_]+)\(", header)))
        check("it shows what the header declares, and nothing else", shown == declared, set(shown) ^ set(declared))
        missing = {word for word in re.findall(r"\b(ATTUNE_[A-Z0-9_]+) = ", header) if f"\n{word} " not in "\n" + abi}
        check("abi.c has every enumerator", not missing, missing)

        for compiler in compilers:
            status, text = run(compiler, *WARNINGS, "-O1", "-I", INCLUDE, HERE / "errors.c", "-o", program, library,
                               f"-Wl,-rpath,{folder.resolve()}")
            check(f"{compiler} compiles errors.c", status == 0, text)
            if status:
                continue
            status, text = run(program, Path(scratch) / "cache")
            check(f"errors.c, compiled by {compiler}", status == 0 and " 0 failed" in text, text)
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**totals))
    return 1 if totals["failed"] else 0


sys.exit(main())
