#!/usr/bin/env python3
"""Tiles that are known to be fast on an H100 are where the cost model ranks a spec's schedules first: each is among the
top tenth of all that are feasible, of both families, by the best schedule with its tiles; so is the default.

usage: known_shapes.py ATTUNE

Tiles that the family cannot build are left out: FlashAttention-3's 192 x 192 (head dim 64) and 192 x 144 (96) keep P in
shared memory; 192 x 96 (128) is fast where the softmax overlaps nothing, which takes registers that three warpgroups lack.
"""

import json
import subprocess
import sys

from stores import Checks

# Head dims, mask, tiles (block_q, block_kv): FlashAttention-3's, cuDNN's, and the fastest loops of the probe
# (tests/perf/README.md).
KNOWN = [
    (64, 64, "causal", [(192, 128)]),
    (64, 64, "none", [(192, 128), (256, 80)]),
    (128, 128, "causal", [(128, 128), (192, 80)]),
    (128, 128, "none", [(128, 176), (192, 80)]),
    (192, 192, "none", [(128, 112)]),
    (192, 128, "none", [(128, 128)]),
    (256, 256, "none", [(128, 80)]),
]


def main():
    checks = Checks()
    for qk, v, mask, tiles in KNOWN:
        heads = 2048 // v
        command = [sys.argv[1], "tune", "--list", "--head-dim-qk", qk, "--head-dim-v", v, "--mask", mask, "--len", 8192,
                   "--batch", 2, "--heads-q", heads, "--heads-kv", heads, "--arch", "sm_90", "--device", "sim", "--target",
                   "ptx", "--json"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        name = f"{qk}/{v} {mask}"
        checks(done.returncode == 0, f"{name}: {done.stderr.strip()}")
        if done.returncode != 0:
            continue
        candidates = json.loads(done.stdout)["candidates"]
        most = len(candidates) // 10
        ranks = [i + 1 for i, candidate in enumerate(candidates) if candidate.get("default")]
        checks(ranks and ranks[0] <= most, f"{name}: expected the default in the top {most}, got place {ranks}")
        for block_q, block_kv in tiles:
            words = f"block_q={block_q} block_kv={block_kv} "
            place = next((i + 1 for i, candidate in enumerate(candidates) if candidate["schedule"].startswith(words)), None)
            checks(place is not None and place <= most,
                   f"{name}: expected {words}in the top {most} of {len(candidates)}, got place {place}")
            print(f"{name} {words}: place {place} of {len(candidates)}")
    return checks.report()


if __name__ == "__main__":
    sys.exit(main())
