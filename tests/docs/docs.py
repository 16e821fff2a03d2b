#!/usr/bin/env python3
"""Holds README.md and docs/ to the program: links lead somewhere, every flag and command is described and none that
there is not, the program that is shown is the one that is tested, and the reference of the dialects can be made.

  docs.py ATTUNE

The last line has the totals.
"""
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
totals = {"passed": 0, "failed": 0, "skipped": 0}


def check(what, wrong):
    """`wrong`: what is not as it should be, one word or line each."""
    totals["failed" if wrong else "passed"] += 1
    if wrong:
        print(f"FAILED: {what}: {', '.join(sorted(wrong))}")


def anchors(text):
    """The places that a page's headings make, as GitHub names them."""
    headings = re.findall(r"^#+ +(.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-") for heading in headings}


def broken_links(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, place = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (place and file.suffix == ".md" and place not in anchors(file.read_text())):
            yield f"{page.relative_to(ROOT)}: {target}"


def flags(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))


def main():
    attune = sys.argv[1]

    def help_of(*command):
        return subprocess.run([attune, "help", *command], capture_output=True, text=True, check=True).stdout

    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("tests/*/README.md"))]
    text = {page.name: page.read_text() for page in pages if page.parent in (ROOT, ROOT / "docs")}
    for page in pages:
        check(f"links of {page.relative_to(ROOT)}", set(broken_links(page)))
    lines = text["README.md"].count("\n")
    check("README.md is short", {f"expected fewer than 200 lines, got {lines}"} if lines >= 200 else set())

    for page, language, example in (("guide.md", "cpp", "jit_launch/jit_launch.cpp"), ("c-api.md", "c", "c_launch/c_launch.c"),
                                    ("c-api.md", "c", "bundle_launch/bundle_launch.c")):
        source = (ROOT / "examples" / example).read_text()
        check(f"{page} shows examples/{example}", set() if f"```{language}\n{source}```" in text[page] else {"it differs"})

    # The command describes itself; the pages must know as much.
    commands = re.findall(r"^  ([a-z]+)  ", help_of().partition("Subcommands:")[2], flags=re.M)
    check("README.md has every command", {c for c in commands if f"attune {c}" not in text["README.md"]} if commands else {"none"})
    known = {command: flags(help_of(command)) for command in commands}
    for parent in ("bundle", "cache", "tune", "model"):
        for command in re.findall(r"^  ([a-z]+)  ", help_of(parent).partition("Subcommands:")[2], flags=re.M):
            known[f"{parent} {command}"] = flags(help_of(parent, command))
    every = set().union(*known.values())
    spec = flags(help_of("run").partition("The spec")[2].partition("SPEC is")[0])
    check("the guide has every flag of a spec", spec - flags(text["guide.md"]) if spec else {"none"})
    check("the guide has every flag of attune run", known["run"] - flags(text["guide.md"]) - {"--help"})
    check("docs/simulator.md has every flag of attune sim", known["sim"] - flags(text["simulator.md"]) - {"--help"})
    others = flags((ROOT / "dev").read_text()) | {"--version", "--save-temps", "--all"}
    for page in ("README.md", "guide.md", "c-api.md", "simulator.md", "numbers.md", "troubleshooting.md"):
        check(f"{page} has no flag that there is not", flags(text[page]) - every - others)

    if shutil.which("mlir-tblgen-22"):
        done = subprocess.run([ROOT / "dev", "docs"], capture_output=True, text=True)
        made = {path.stem for path in (ROOT / "build/docs").glob("*.md")}
        check("./dev docs", {"attn", "tile", "thread", "passes"} - made if done.returncode == 0 else {done.stderr})
    else:
        totals["skipped"] += 1
        print("skipped: ./dev docs, for want of mlir-tblgen-22")

    print(", ".join(f"{count} {what}" for what, count in totals.items()))
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
