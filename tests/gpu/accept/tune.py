"""Sweeps by `attune tune`, where this attune has it; their rows stay in its own store's export."""
import json
import subprocess
import time

from .errors import Missing

SWEEPS = [(d, mask) for d in ("128", "64") for mask in ("causal", "none")]


def run(job):
    known = subprocess.run([job.attune, "tune", "--help"], capture_output=True, text=True)
    if known.returncode != 0:
        raise Missing("this attune has no `tune`")
    for dim, mask in SWEEPS:
        name = f"tune bf16 d{dim} {mask}"
        seconds = (job.deadline - time.time()) / max(1, len(SWEEPS) - len(job.state["rows"]))
        if not job.wanted(name) or job.has(name):
            continue
        if job.late(5):
            job.unfinished([name])
            continue
        job.begin(name)
        command = [job.attune, "tune", "--head-dim", dim, "--mask", mask, "--len", "4096", "--batch", "4", "--heads-q",
                   str(2048 // int(dim)), "--budget", f"{max(seconds - 2, 3):.0f}s", "--json"]
        done = subprocess.run(command, capture_output=True, text=True)
        try:
            told = json.loads(done.stdout)
        except ValueError:
            told = None
        good = done.returncode == 0 and told is not None
        job.add(name, {"name": name, "status": "passed" if good else "failed", "command": command[1:], "result": told,
                       "why": "" if good else (done.stderr or done.stdout).strip()[-1500:]})
