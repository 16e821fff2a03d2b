#!/usr/bin/env python3
"""The assembler gate: every default schedule through the assembler, on both targets.

  tests/ptx/gate.py                 the head dims and architectures that ship, causal
  tests/ptx/gate.py --all           also all other masks, softcap, fp16, the remaining architectures, and the portable
                                    family where another one is the default
  tests/ptx/gate.py --record        also makes slots.json of what was found
  tests/ptx/gate.py --update        also puts the tables of issue slots into tests/perf/README.md
  tests/ptx/gate.py --compare       only the table of slots.json beside slots-first.json, the defaults of version 0.1;
                                    compiles nothing

Each kernel must assemble without a message C75xx (which `attune compile` makes an error), spill nothing (but
for SPILLS_ALLOWED), fit the occupancy that its plan states, and take no more issue slots per score element than slots.json
says of it, nor than FlashAttention. Needs ptxas, NVRTC for target cuda, and nvdisasm for the slots; what is not found is skipped and counted.
"""
import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "perf"))
from readme import find_attune, put_section  # noqa: E402

RECORD = HERE / "slots.json"  # "arch dims family target": [masked, whole]
FIRST = HERE / "slots-first.json"  # "arch dims target": [portable tile, stages, warps; masked, whole]
TOLERANCE = 1.02  # another release of an assembler schedules some instructions otherwise

DIMS = [(32, 32), (64, 64), (80, 80), (96, 96), (128, 128), (192, 128), (192, 192), (256, 256)]
ARCHS = ["sm_80", "sm_89", "sm_90"]
ALL_ARCHS = ["sm_80", "sm_86", "sm_89", "sm_90", "sm_120"]
MASKS = {
    "causal": ["--mask", "causal"],
    "none": [],
    "causal, bottom right": ["--mask", "causal:bottom_right"],
    "window": ["--mask", "window:500:0"],
    "two-sided window": ["--mask", "window:500:100"],
    "softcap": ["--softcap", "30"],
    "window, softcap": ["--mask", "window:500:0", "--softcap", "30"],
    "causal, linear bias": ["--mask", "causal", "--score", "score + slope[h] * (kv - q)", "--array", "slope:f32[h]"],
}
# What a bias that is linear in the key may add to the causal kernel's loops: an addition an element, and its base.
BIAS = "causal, linear bias"
BIAS_SLOTS = 1.1
BIAS_DIMS = [(64, 64), (128, 128)]
# Unmasked and masked loop: what FlashAttention needs on the same row, and what is aimed at.
LIMITS = {
    ("sm_80", (64, 64)): ((7.12, 11.84), (6.8, 9.5)),
    ("sm_80", (128, 128)): ((10.5, 14.64), (9.2, 11.5)),
    ("sm_89", (128, 128)): ((9.17, 12.48), (8.6, 10.5)),
    ("sm_90", (64, 64)): ((6.55, 8.83), (5.8, 7.5)),
    ("sm_90", (128, 128)): ((7.08, 9.38), (6.2, 8.0)),
    ("sm_90", (192, 128)): ((7.23, 9.55), (6.4, 8.2)),
}


def kernel(attune, arch, family, dims, mask, target, dtype):
    command = [attune, "compile", "--head-dim-qk", str(dims[0]), "--head-dim-v", str(dims[1]), *MASKS[mask], "--lse",
               "--dtype", dtype, "--arch", arch, *(["--family", family] if family else []), "--target", target, "--emit", "cubin", "-o", os.devnull, "--report",
               "--json", "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 3:
        return None, done.stderr.strip()
    if done.returncode != 0:
        return None, "failed: " + done.stderr.strip()
    return json.loads(done.stdout), ""


# Bytes that a kernel may spill. Two loads in each turn of its loops; with 32 keys a step it spills nothing and takes 6 %
# more issue slots.
SPILLS_ALLOWED = {"sm_89 192/192 portable ptx": 20}


def slots(report):
    """Of the masked and of the whole loop: the two that take the least. That of further attempts takes more."""
    loops = sorted(round(loop["slots_per_element"], 3) for loop in report.get("inner_loops") or [])
    return [loops[1], loops[0]] if len(loops) >= 2 else None


def name_of(report, arch, dims, target):
    return f"{arch} {dims[0]}/{dims[1]} {report['schedule']['family']} {target}"


def faults(report, arch, family, dims, mask, target, dtype, record):
    """What is wrong with one kernel, as texts."""
    found = []
    if report["spill_store_bytes"] > SPILLS_ALLOWED.get(name_of(report, arch, dims, target), 0):
        found.append(f"spills {report['spill_store_bytes']} bytes")
    if report["blocks_per_sm"] < report["planned_blocks_per_sm"]:
        found.append(f"{report['blocks_per_sm']} blocks an SM, planned {report['planned_blocks_per_sm']}")
    loops = slots(report)
    if not loops or mask not in ("causal", BIAS) or dtype != "bf16":
        return found
    name = name_of(report, arch, dims, target)
    known = record.get(name)
    if mask == BIAS:
        # CUDA C++ of a few head dims is scheduled with more moves: what this table aims at is the form of target ptx.
        if known and target == "ptx" and loops[1] > known[1] * TOLERANCE + BIAS_SLOTS:
            found.append(f"whole loop takes {loops[1]:.3f} slots an element, {known[1]:.3f} without the bias")
        return found
    if known is None and arch in ARCHS:
        print(f"note: slots.json says nothing of {name}, which takes {loops}: --record", flush=True)
    limit = None if family else LIMITS.get((arch, dims))
    for i, loop in enumerate(("masked", "whole")):
        if known and loops[i] > known[i] * TOLERANCE:
            found.append(f"{loop} loop takes {loops[i]:.3f} slots an element, slots.json says {known[i]:.3f}")
        if limit and loops[i] > limit[0][1 - i]:
            found.append(f"{loop} loop takes {loops[i]:.2f} slots an element, FlashAttention {limit[0][1 - i]}")
    return found


def table(rows):
    lines = ["| arch | head dims | schedule | target | registers | spills | shared | blocks an SM | slots: whole / masked | FlashAttention | goal |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    for (arch, family, dims, mask, target, dtype), report in rows:
        if mask != "causal" or dtype != "bf16":
            continue
        schedule = report["schedule"]
        loops = slots(report)
        found = f"{loops[1]:.2f} / {loops[0]:.2f}" if loops else "-"
        rest = ", ".join(f"{name} {value}" for name, value in schedule.items() if name in ("stages", "warps", "overlap"))
        limit = LIMITS.get((arch, dims), (None, None))
        text = [f"{pair[0]} / {pair[1]}" if pair else "" for pair in limit]
        lines.append(f"| {arch} | {dims[0]}/{dims[1]} | {schedule['family']} {schedule['block_q']}x{schedule['block_kv']}, {rest} | "
                     f"{target} | {report['registers']} | {report['spill_store_bytes']} | "
                     f"{report['shared_bytes'] // 1024} KB | {report['blocks_per_sm']} | {found} | {text[0]} | {text[1]} |")
    return "\n".join(lines)


def comparison(record):
    """The defaults of version 0.1 beside today's: what each family of today takes, where it was measured."""
    lines = ["| arch | head dims | target | 0.1: portable | whole / masked | family | whole / masked | whole | masked |",
             "|---|---|---|---|---|---|---|---|---|"]
    first = json.loads(FIRST.read_text())
    for arch in ARCHS:
        for dims in DIMS:
            for target in ("ptx", "cuda"):
                before = first.get(f"{arch} {dims[0]}/{dims[1]} {target}")
                for family in ("hopper", "portable"):
                    now = record.get(f"{arch} {dims[0]}/{dims[1]} {family} {target}")
                    if not before or not now:
                        continue
                    tile, masked, whole = before
                    lines.append(f"| {arch} | {dims[0]}/{dims[1]} | {target} | {tile} | {whole:.2f} / {masked:.2f} | {family} | "
                                 f"{now[1]:.2f} / {now[0]:.2f} | {100 * (now[1] / whole - 1):+.1f} % | "
                                 f"{100 * (now[0] / masked - 1):+.1f} % |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attune", type=Path, help="the executable; default: the newest under build/*/bin")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--record", action="store_true", help="make slots.json of what was found")
    parser.add_argument("--update", action="store_true", help="put the tables into tests/perf/README.md")
    parser.add_argument("--compare", action="store_true", help="only the table of slots.json beside slots-first.json")
    parser.add_argument("--arch", action="append", help="only this one")
    parser.add_argument("--target", choices=["ptx", "cuda"], help="only this one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if options.compare:
        text = comparison(json.loads(RECORD.read_text()))
        print(text)
        if options.update:
            put_section("gate.py --compare", text)
        return 0
    attune = options.attune or find_attune()

    cases = []
    for arch in options.arch or (ALL_ARCHS if options.all else ARCHS):
        for family in [None, "portable"] if options.all and arch == "sm_90" else [None]:
            for dims in DIMS:
                for mask in MASKS if options.all else ["causal", BIAS] if dims in BIAS_DIMS else ["causal"]:
                    for target in [options.target] if options.target else ["ptx", "cuda"]:
                        for dtype in ["bf16", "fp16"] if options.all else ["bf16"]:
                            cases.append((arch, family, dims, mask, target, dtype))
    record = json.loads(RECORD.read_text()) if RECORD.exists() and not options.record else {}
    recorded = {}
    passed = failed = skipped = 0
    rows = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for case, (report, why) in zip(cases, pool.map(lambda case: kernel(attune, *case), cases)):
            arch, family, dims, mask, target, dtype = case
            if report is None and not why.startswith("failed"):
                skipped += 1
                continue
            if report is not None:
                rows.append((case, report))
                if mask == "causal" and dtype == "bf16" and slots(report):
                    recorded[name_of(report, arch, dims, target)] = slots(report)
            found = [why] if report is None else faults(report, *case, record or recorded)
            passed, failed = passed + (not found), failed + bool(found)
            for fault in found:
                print(f"FAILED {arch} {dims[0]}/{dims[1]} {mask} {dtype} {target}: {fault}", flush=True)
    if options.record:
        kept = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in sorted({**kept, **recorded}.items())]
        RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    text, beside = table(rows), comparison({**record, **recorded})
    print(text)
    print(beside)
    if options.update:
        put_section("gate.py", text)
        put_section("gate.py --compare", beside)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed + skipped else 0


if __name__ == "__main__":
    sys.exit(main())
