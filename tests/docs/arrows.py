#!/usr/bin/env python3
"""The structure that docs/developing.md draws: which room may include what of which.

  tests/docs/arrows.py [--list]    --list also prints the arrows that there are
"""
import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# A room and the rooms that it may include; of several rooms with one beginning the longest counts. What is not
# listed may not be included.
FIGURES = ["compiler/support"]
DATA = FIGURES + ["compiler/program", "compiler/spec"]
INSIDE = DATA + ["compiler/dialect", "compiler/ir", "compiler/schedule", "compiler/transforms"]
CORE = DATA + ["compiler/Compiler.h", "runtime/cache", "runtime/device", "runtime/include", "runtime/io", "runtime/launch",
               "runtime/plan"]
ARROWS = {
    "compiler/support": [],
    "compiler/program": FIGURES,
    "compiler/spec": DATA + ["compiler/schedule/Family.h"],
    "compiler/ir": DATA + ["compiler/schedule/Family.h"],
    "compiler/dialect": DATA + ["compiler/ir", "compiler/transforms/FragmentMap.h"],
    "compiler/schedule": DATA + ["compiler/dialect", "compiler/ir"],
    "compiler/transforms": DATA + ["compiler/dialect", "compiler/ir", "compiler/schedule"],
    "compiler/target": DATA + ["compiler/dialect", "compiler/ir"],
    "compiler/tools": INSIDE,
    "compiler/MlirPrecompiled": [],
    "compiler/Compiler": INSIDE + ["compiler/target"],
    "simulator": FIGURES,
    "runtime/io": DATA,
    "runtime/cache": DATA + ["runtime/io"],
    "runtime/device": FIGURES + ["runtime/io", "simulator"],
    "runtime/include": [],
    "runtime/launch": CORE,
    "runtime/plan": CORE,
    "runtime/jit": CORE,
    "runtime/reference": CORE,
    "runtime/api": CORE,
    "tuner": CORE + ["compiler/schedule", "runtime/jit", "runtime/reference", "simulator/Time.h"],
    "library": CORE + ["runtime/api", "runtime/jit", "tuner"],
    "cli": CORE + ["compiler/schedule", "runtime/jit", "runtime/api/Facts.h", "runtime/reference", "simulator", "tuner"],
}


def room_of(path):
    rooms = [room for room in ARROWS if path == room or path.startswith(room + "/") or path.startswith(room + ".")]
    return max(rooms, key=len) if rooms else None


def allowed(target, rooms):
    return any(target == room or target.startswith(room + "/") or target.startswith(room + ".") for room in rooms)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    faults, arrows, files = [], set(), 0
    for top in sorted({room.split("/")[0] for room in ARROWS}):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix not in (".h", ".hpp", ".cpp", ".inc", ".cuh"):
                continue
            name = path.relative_to(ROOT).as_posix()
            room = room_of(name)
            if room is None:
                faults.append(f"{name}: expected a room of {Path(__file__).name}, got none")
                continue
            files += 1
            for number, line in enumerate(path.read_text().splitlines(), 1):
                found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
                target = found.group(1) if found else ""
                if not (ROOT / target).is_file():
                    continue  # beside the file, generated, or another project's
                to = room_of(target)
                if to == room:
                    continue
                arrows.add((room, to))
                if not allowed(target, ARROWS[room]):
                    faults.append(f"{name}:{number}: expected an include that {room} may have, got {target}")
    if arguments.list:
        for room, to in sorted(arrows):
            print(f"{room} -> {to}")
    print("\n".join(faults) if faults else f"{files} files, {len(arrows)} arrows, all as drawn")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
