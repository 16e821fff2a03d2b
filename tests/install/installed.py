"""Installs attune, and builds and runs programs against what is installed.

usage: installed.py --build BUILD_FOLDER --compiler CXX --linker-flags FLAGS --driver LIBRARY [--debian]

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


WARNINGS = "-Wall -Wextra -Wpedantic -Wshadow -Werror"


def build(source, folder, prefix, cc, cxx, linker_flags):
    """Configures and builds a project as a stranger would; gives its executable."""
    name = f"{source.name} with {Path(cc).name}"
    status, text = run("cmake", "-G", "Ninja", "-S", source, "-B", folder, f"-DCMAKE_PREFIX_PATH={prefix}",
                       f"-DCMAKE_C_COMPILER={cc}", f"-DCMAKE_CXX_COMPILER={cxx}", "-DCMAKE_BUILD_TYPE=Release",
                       f"-DCMAKE_EXE_LINKER_FLAGS={linker_flags}", f"-DCMAKE_C_FLAGS=-std=c11 {WARNINGS}",
                       f"-DCMAKE_CXX_FLAGS=-std=c++20 {WARNINGS}", "--no-warn-unused-cli")
    check(f"{name}: configures", status == 0, text)
    status, text = run("cmake", "--build", folder)
    check(f"{name}: builds", status == 0, text)
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


def pkg_config(prefix, scratch, compilers):
    """Programs that find attune by pkg-config, with the warnings that other people turn on."""
    if not shutil.which("pkg-config"):
        totals["skipped"] += 1
        return
    env = {**os.environ, "PKG_CONFIG_PATH": os.pathsep.join(map(str, prefix.rglob("pkgconfig")))}
    sources = {scratch / "version.cpp": ("-std=c++20", '#include <attune/attune.hpp>\n#include <cstdio>\nint main() { '
               'std::puts(attune::nameOf(attune::Context::open({.device = "none"}).error().code)); }\n'),
               scratch / "version.c": ("-std=c11", '#include <attune/attune.h>\n#include <stdio.h>\nint main(void) { '
               'attune_context_options options = ATTUNE_CONTEXT_OPTIONS_INIT; attune_context *context; '
               'options.device = "none"; puts(attune_status_name(attune_context_open(&options, &context))); return 0; }\n')}
    for source, (_, text) in sources.items():
        source.write_text(text)
    library = next(prefix.rglob("libattune.so")).parent
    for package in ("attune", "attune-core"):
        status, flags = run("pkg-config", "--cflags", "--libs", package, env=env)
        check(f"pkg-config finds {package}", status == 0, flags)
        for cc, cxx, linker_flags in compilers:
            for source, (standard, _) in sources.items():
                compiler = cxx if source.suffix == ".cpp" else cc
                program = scratch / "version"
                status, text = run(compiler, standard, *WARNINGS.split(), "-Wconversion", source, *flags.split(),
                                   *linker_flags.split(), "-o", program, env=env)
                check(f"{Path(compiler).name} builds {source.name} against {package}", status == 0, text)
                _, text = run(program, env={**env, "LD_LIBRARY_PATH": str(library)})
                check(f"and it runs ({package})", text == "InvalidOptions\n", text)


def debian(build, scratch):
    """The package that ./dev deb makes, of this build: what is in it runs, and it says what it depends on."""
    if not all(shutil.which(tool) for tool in ("cpack", "dpkg-deb", "dpkg-shlibdeps")):
        totals["skipped"] += 1
        return
    status, text = run("cpack", "--config", build / "CPackConfig.cmake", "-B", scratch / "deb")
    packages = list((scratch / "deb").glob("*.deb"))
    check("cpack makes a package", status == 0 and len(packages) == 1, text)
    if not packages:
        return
    _, fields = run("dpkg-deb", "--field", packages[0])
    check("the package says what it depends on", "Package: attune\n" in fields and "libc6" in fields, fields)
    run("dpkg-deb", "-x", packages[0], scratch / "unpacked")
    status, text = run(scratch / "unpacked/usr/bin/attune", "--version")
    check("the packaged command runs", status == 0 and text.startswith("attune "), text)
    files = {str(path.relative_to(scratch / "unpacked/usr")) for path in (scratch / "unpacked/usr").rglob("*")}
    for name in ("include/attune/attune.h", "lib/.*libattune.so.0", "lib/.*/attuneConfig.cmake", "share/man/man1/attune.1"):
        check(f"the package has {name}", any(re.fullmatch(name, file) for file in files), "\n".join(sorted(files)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--linker-flags", default="")
    parser.add_argument("--driver", required=True, help="the made-up driver library of the tests")
    parser.add_argument("--debian", action="store_true", help="only the package for Debian")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if arguments.debian:
            run("cmake", "--build", arguments.build, "--target", "attune_package")
            debian(arguments.build, scratch)
            return finish()
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
        own = ["attune.h", "attune.hpp", "definitions.hpp", "json.hpp", "result.hpp", "spec.hpp"]
        check("the public headers", headers == own, headers)
        includes = {i for path in (prefix / "include").rglob("*.h*") for i in re.findall(r"#include *(\S+)", path.read_text())}
        foreign = {i for i in includes if not re.fullmatch(r"<[a-z_]+>|<std(def|int)\.h>", i) and i.strip('"') not in own}
        check("they include the standard library only", includes and not foreign, foreign)
        status, text = run(prefix / "bin/attune", "--version")
        check("the command runs", status == 0 and text.startswith("attune "), text)

        # The library shows its interface and nothing of LLVM.
        library = next((prefix / "lib").rglob("libattune.so"), None)
        _, symbols = run("nm", "-D", "--defined-only", library)
        foreign = [line for line in symbols.splitlines() if not re.search(r" T attune_[a-z_]+$", line)]
        check("libattune.so shows nothing else", symbols and not foreign, "\n".join(foreign[:10]))

        # C and C++ compilers, and what the linker needs: the project's own, and the system's.
        compilers = [("clang-22", arguments.compiler, arguments.linker_flags)]
        compilers += [(cc, cxx, "") for cc, cxx in (("gcc", "g++"), ("clang", "clang++")) if shutil.which(cc) and shutil.which(cxx)]
        pkg_config(prefix, scratch, compilers)

        # The programs that the documents show.
        (scratch / "spec.json").write_text(SPEC)
        bundle = scratch / "kernels.attune"
        status, text = run(prefix / "bin/attune", "bundle", scratch / "spec.json", "--shape", "1x1x1x50", "--arch", "sm_80,sm_90",
                           "-o", bundle, env=env)
        check("attune bundle", status == 0 and "2 programs, 2 plans" in text, text)
        for cc, cxx, linker_flags in compilers:
            def program(name):
                return build(ROOT / "examples" / name, scratch / f"{name}-{cc}", prefix, cc, cxx, linker_flags)
            for name in ("jit_launch", "c_launch"):
                status, text = run(program(name), env=env)
                check(f"{name} with {cc}", status == 0 and "right" in text, text)
            launch = program("bundle_launch")
            status, text = run(launch, bundle, SPEC, "50")
            check(f"bundle_launch with {cc}", status == 0 and "right" in text and "the bundle's, made for" in text, text)
            _, text = run("ldd", launch)
            check(f"bundle_launch with {cc}: needs no LLVM", "LLVM" not in text and "MLIR" not in text and "libc.so" in text, text)
        _, text = run(scratch / f"jit_launch-{compilers[0][0]}" / "jit_launch", env=env)
        check("jit_launch, once more: from the cache", "from the cache" in text, text)
        status, text = run(launch, bundle, SPEC.replace("64", "128"), "50")
        check("bundle_launch: what is not in the bundle is an error", status == 1 and text.startswith("NotCached: "), text)
        damaged = scratch / "damaged.attune"
        damaged.write_bytes(bundle.read_bytes()[:-1])
        status, text = run(launch, damaged, SPEC, "50")
        check("bundle_launch: a bundle that is cut short", status == 1 and "cut short" in text, text)

        folder = build(HERE / "load_only", scratch / "load_only", prefix, "clang-22", arguments.compiler,
                       arguments.linker_flags).parent
        text = run(folder / "load_only", scratch / "empty", SPEC, arguments.driver)[1]
        check("load_only: not cached is an error", text.startswith("NotCached: kernel 'small'"), text)
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
    return finish()


def finish():
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**totals))
    return 1 if totals["failed"] else 0


sys.exit(main())
