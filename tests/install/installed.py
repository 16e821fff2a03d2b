"""Installs attune, and builds and runs programs against what is installed.

usage: installed.py --build BUILD_FOLDER --compiler CXX --linker-flags FLAGS --driver LIBRARY

Prints the size of a program that only loads cached kernels, which may be 3 MB at most, and ends with a line of totals.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MOST_BYTES = 3_000_000
SPEC = '{"name": "small", "head_dim": 64}'
totals = {"passed": 0, "failed": 0, "skipped": 0}


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


def documents(prefix):
    """The manual page and the completions: there, and taken by the programs that read them, where those are here."""
    share = prefix / "share"
    for name in ("doc/attune/LICENSE", "doc/attune/CHANGELOG.md", "doc/attune/docs/guide.md", "man/man1/attune.1"):
        check(f"installs {name}", (share / name).exists(), name)
    readers = {"man": ("man1/attune.1", ["man", "--warnings", "-E", "UTF-8", "-l"], "man/man1/attune.1"),
               "bash": ("bash", ["bash", "-n"], "bash-completion/completions/attune"),
               "zsh": ("zsh", ["zsh", "-n"], "zsh/site-functions/_attune"),
               "fish": ("fish", ["fish", "-n"], "fish/vendor_completions.d/attune.fish")}
    for reader, (name, command, path) in readers.items():
        file = share / path
        check(f"installs the text for {reader}", file.exists() and "head-dim" in file.read_text().replace("\\-", "-"), path)
        if not shutil.which(reader):
            totals["skipped"] += 1
            continue
        status, text = run(*command, file)
        complaints = [line for line in text.splitlines() if "warning" in line]
        check(f"{reader} takes {name}", status == 0 and not complaints, text[:2000])
    script = f"""source {share / 'bash-completion/completions/attune'}
ask() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _attune; echo "${{COMPREPLY[*]}}"; }}
ask attune ca; ask attune cache ex; ask attune compile --target ''; ask attune run --heads; ask attune cache list --js"""
    _, text = run("bash", "-c", script)
    expected = ["cache", "explain", "ptx cuda", "--heads-kv --heads-q", "--json"]
    check("bash completes", [" ".join(sorted(line.split())) if "--" in line else line for line in text.splitlines()] == expected, text)


def pkg_config(arguments, prefix, scratch):
    """Programs that find attune by pkg-config, with the warnings that other people turn on."""
    if not shutil.which("pkg-config"):
        totals["skipped"] += 1
        return
    env = {**os.environ, "PKG_CONFIG_PATH": os.pathsep.join(map(str, prefix.rglob("pkgconfig")))}
    source = scratch / "version.cpp"
    source.write_text('#include <attune/attune.hpp>\n#include <cstdio>\nint main() { '
                      'std::puts(attune::nameOf(attune::Context::open({.device = "none"}).error().code)); }\n')
    compilers = [arguments.compiler] + [c for c in ("g++", "clang++") if shutil.which(c)]
    for package in ("attune", "attune-core"):
        status, flags = run("pkg-config", "--cflags", "--libs", package, env=env)
        check(f"pkg-config finds {package}", status == 0, flags)
        for compiler in compilers:
            program = scratch / "version"
            status, text = run(compiler, "-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion",
                               "-Werror", source, *flags.split(), *arguments.linker_flags.split() * ("clang" in compiler),
                               "-o", program, env=env)
            check(f"{Path(compiler).name} builds against {package}", status == 0, text)
            library = next(prefix.rglob("libattune.so")).parent
            _, text = run(program, env={**env, "LD_LIBRARY_PATH": str(library)})
            check(f"and it runs ({package})", text == "InvalidOptions\n", text)


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
        if arguments.build == ROOT / "build/dev":  # as the guide says, whatever was built before
            status, text = run(ROOT / "dev", "install", prefix)
        else:
            run("cmake", "--build", arguments.build, "--target", "attune_package")
            status, text = run("cmake", "--install", arguments.build, "--prefix", prefix)
        check("installs", status == 0, text)
        documents(prefix)
        headers = sorted(path.name for path in (prefix / "include").rglob("*.h*"))
        check("the public headers", headers == ["attune.h", "attune.hpp"], headers)
        shown = (ROOT / "runtime/include/attune/attune.hpp").read_text()
        includes = re.findall(r"#include *(\S+)", shown)
        check("it includes the standard library only", all(re.fullmatch(r"<[a-z_]+>", i) for i in includes), includes)
        status, text = run(prefix / "bin/attune", "--version")
        check("the command runs", status == 0 and text.startswith("attune "), text)

        # The library shows its interface and nothing of LLVM.
        library = next((prefix / "lib").rglob("libattune.so"), None)
        _, symbols = run("nm", "-DC", "--defined-only", library)
        foreign = [line for line in symbols.splitlines() if "attune::v1::" not in line]
        check("libattune.so shows nothing else", symbols and not foreign, "\n".join(foreign[:10]))

        pkg_config(arguments, prefix, scratch)

        # The program that the guide shows.
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
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**totals))
    return 1 if totals["failed"] else 0


sys.exit(main())
