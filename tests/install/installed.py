"""Installs attune, and builds and runs programs against what is installed.

usage: installed.py --build BUILD_FOLDER --compiler CXX --linker-flags FLAGS --driver LIBRARY

Prints the size of a program that only loads cached kernels, which may be 3 MB at most, and ends with a line of totals.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MOST_BYTES = 3_000_000
SPEC = '{"name": "small", "head_dim": 64}'
totals = {"passed": 0, "failed": 0}


def check(what, good, detail=""):
    totals["passed" if good else "failed"] += 1
    if not good:
        print(f"FAILED: {what}\n{detail}")


def run(*command, env=None):
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=env)
    except OSError as error:
        return 127, str(error)
    return done.returncode, done.stdout + done.stderr


def build(arguments, source, folder, prefix):
    """Configures and builds a project as a stranger would; gives its executable, or nothing."""
    status, text = run("cmake", "-G", "Ninja", "-S", source, "-B", folder, f"-DCMAKE_PREFIX_PATH={prefix}",
                       f"-DCMAKE_CXX_COMPILER={arguments.compiler}", "-DCMAKE_BUILD_TYPE=Release",
                       f"-DCMAKE_EXE_LINKER_FLAGS={arguments.linker_flags}",
                       "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Wshadow -Werror")
    check(f"{source.name}: configures", status == 0, text)
    status, text = run("cmake", "--build", folder)
    check(f"{source.name}: builds", status == 0, text)
    return folder / source.name


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--linker-flags", default="")
    parser.add_argument("--driver", required=True, help="the made-up driver library of the tests")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        prefix, cache = scratch / "prefix", scratch / "cache"
        env = {**os.environ, "ATTUNE_CACHE_DIR": str(cache)}
        status, text = run("cmake", "--install", arguments.build, "--prefix", prefix)
        check("installs", status == 0, text)
        headers = sorted(path.name for path in (prefix / "include").rglob("*.h"))
        check("one public header", headers == ["attune.h"], headers)
        shown = (ROOT / "runtime/include/attune/attune.h").read_text()
        includes = re.findall(r"#include *(\S+)", shown)
        check("it includes the standard library only", all(re.fullmatch(r"<[a-z_]+>", i) for i in includes), includes)
        status, text = run(prefix / "bin/attune", "--version")
        check("the command runs", status == 0 and text.startswith("attune "), text)

        # The library shows its interface and nothing of LLVM.
        library = next((prefix / "lib").rglob("libattune.so"), None)
        _, symbols = run("nm", "-DC", "--defined-only", library)
        foreign = [line for line in symbols.splitlines() if "attune::v1::" not in line]
        check("libattune.so shows nothing else", symbols and not foreign, "\n".join(foreign[:10]))

        # The program of the README, word for word.
        source = (ROOT / "examples/jit_launch/jit_launch.cpp").read_text()
        readme = (ROOT / "README.md").read_text()
        check("README.md has examples/jit_launch/jit_launch.cpp", f"```cpp\n{source}```" in readme)
        program = build(arguments, ROOT / "examples/jit_launch", scratch / "jit_launch", prefix)
        for start in ("first", "second"):
            status, text = run(program, env=env)
            check(f"jit_launch, {start} start", status == 0 and "right" in text, text)
            check(f"jit_launch, {start} start, cache", ("from the cache" in text) == (start == "second"), text)

        folder = build(arguments, HERE / "load_only", scratch / "load_only", prefix).parent
        text = run(folder / "load_only", cache, SPEC, arguments.driver)[1]
        check("load_only: not cached is an error", text.startswith("NotCached: kernel 'small'"), text)
        (scratch / "spec.json").write_text(SPEC)
        for emit in ("ptx", "cubin"):
            run(prefix / "bin/attune", "compile", scratch / "spec.json", "--emit", emit, "-o", scratch / "k", env=env)
        sizes = {}
        for program in ("load_only", "load_only_sim"):
            status, text = run(folder / program, cache, SPEC, arguments.driver)
            check(f"{program}: launches what is cached", status == 0 and "launched" in text, text)
            if status != 0:
                continue
            run("strip", folder / program)
            sizes[program] = (folder / program).stat().st_size
            _, text = run("ldd", folder / program)
            check(f"{program}: needs no LLVM", "LLVM" not in text and "MLIR" not in text and "libc.so" in text, text)
        print("programs that load cached kernels, bytes:", sizes)
        check(f"load_only: at most {MOST_BYTES} bytes", sizes.get("load_only", MOST_BYTES + 1) <= MOST_BYTES, sizes)
    print("{passed} passed, {failed} failed, 0 skipped".format(**totals))
    return 1 if totals["failed"] else 0


sys.exit(main())
