#!/usr/bin/env python3
"""What the virtual clock expects of each cell of the benchmark on an H100, beside the best peer that was measured there.

  tests/perf/cells.py                a table for people
  tests/perf/cells.py --update       also puts it into tests/perf/README.md
  tests/perf/cells.py --only 'd128 causal' --flags '--stages 2'      other schedules

A cell is TFLOP/s of useful work: by the clock's time and what a launch takes beside it, with the default schedule.
Exit status 1: a cell failed.
"""
import argparse
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from readme import find_attune, put_section  # noqa: E402

TOKENS, COLUMNS = 16384, 2048  # batch x length, heads x head dim
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
# (head dims, mask): the best of FlashAttention-3, cuDNN, FlexAttention, FlashInfer and Triton at each length, in one
# run on one H100, by the same measure (isolated launches, L2 flushed, median).
PEERS = {
    (64, 64, "none"): (383, 438, 500, 526, 572, 577),
    (64, 64, "causal"): (255, 338, 422, 487, 545, 569),
    (128, 128, "none"): (510, 620, 686, 716, 735, 741),
    (128, 128, "causal"): (318, 436, 590, 678, 720, 748),
    (256, 256, "none"): (500, 651, 736, 772, 793, 801),
    (256, 256, "causal"): (308, 460, 605, 706, 765, 802),
    (192, 128, "none"): (None, None, 732, None, 771, None),
    (192, 128, "causal"): (None, None, 591, None, 751, None),
}


def name_of(qk, v, mask):
    return f"d{qk}{'' if qk == v else f'/{v}'} {'full' if mask == 'none' else mask}"


def expected(attune, qk, v, mask, length, flags):
    """TFLOP/s."""
    batch, heads = TOKENS // length, COLUMNS // v
    command = [attune, "run", "--head-dim-qk", qk, "--head-dim-v", v, "--mask", mask, "--len", length, "--batch", batch,
               "--heads-q", heads, "--heads-kv", heads, "--arch", "sm_90", "--device", "sim", "--time", "--time-gpu", "H100",
               "--time-alone", "--check", "none", "--json", *flags]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or done.stdout.strip())
    (clock,) = json.loads(done.stdout)["time"]
    work = 2 * batch * heads * length * length * (qk + v) / (2 if mask == "causal" else 1)
    return work / (clock["seconds"] + 1e-6 * clock["launch_us"]) / 1e12


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attune", type=Path, help="the executable; default: the newest under build/*/bin")
    parser.add_argument("--update", action="store_true", help="put the table into tests/perf/README.md")
    parser.add_argument("--only", default="", help="rows whose name this regular expression finds")
    parser.add_argument("--lengths", default=",".join(map(str, LENGTHS)), help="only these")
    parser.add_argument("--flags", default="", help="further flags of attune run")
    options = parser.parse_args()
    attune = options.attune or find_attune()
    lengths = [int(one) for one in options.lengths.split(",")]
    table = ["| expected / best peer, TFLOP/s | " + " | ".join(map(str, lengths)) + " |",
             "|---" * (1 + len(lengths)) + "|"]
    failed, ratios = 0, []
    for (qk, v, mask), peers in PEERS.items():
        if not re.search(options.only, name_of(qk, v, mask)):
            continue
        row = [name_of(qk, v, mask)]
        for length in lengths:
            peer = peers[LENGTHS.index(length)]
            try:
                rate = expected(attune, qk, v, mask, length, shlex.split(options.flags))
            except RuntimeError as error:
                print(f"cells.py: {row[0]} {length}: {error}", file=sys.stderr)
                failed += 1
                row.append("failed")
                continue
            if peer:
                ratios.append(rate / peer)
            row.append(f"{rate:.0f} / {peer or '-'}")
            print(f"cells.py: {row[0]} {length}: {row[-1]}", file=sys.stderr)
        table.append("| " + " | ".join(row) + " |")
    if ratios:
        mean = 1.0
        for ratio in ratios:
            mean *= ratio ** (1 / len(ratios))
        table += ["", f"Geometric mean of expected over measured: {mean:.2f}; least {min(ratios):.2f}."]
    print("\n".join(table))
    if options.update and not failed:
        put_section("cells.py", "\n".join(table))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
