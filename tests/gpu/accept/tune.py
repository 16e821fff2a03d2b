"""Sweeps by `attune tune`, before the benchmark, which then takes their winners. The store's export stays beside the
result."""
import json
import os
import subprocess
import time

from .errors import Missing

SWEEPS = [(d, mask) for d in ("128", "64") for mask in ("causal", "none")]


def command_for(job, dim, mask, seconds):
    command = [job.attune, "tune", "--head-dim", dim, "--mask", mask, "--budget", f"{max(seconds, 3):.0f}s", "--store",
               job.plan["store"], "--export", job.plan["export"], "--json"]
    if job.driver.simulated:  # estimates, of a problem that is simulated in a moment
        return command + ["--shapes", "1x1x1x256", "--device", "sim", "--arch", job.arch, "--target", "ptx"]
    heads = 2048 // int(dim)
    return command + ["--shapes", f"4x{heads}x{heads}x4096", "--device", "cuda"]


def run(job):
    known = subprocess.run([job.attune, "tune", "--help"], capture_output=True, text=True)
    if known.returncode != 0:
        raise Missing("this attune has no `tune`")
    sweeps = [(dim, mask) for dim, mask in SWEEPS if job.wanted(f"tune bf16 d{dim} {mask}")][:1 if job.tiny else None]
    for n, (dim, mask) in enumerate(sweeps):
        name = f"tune bf16 d{dim} {mask}"
        seconds = 4 if job.tiny else (job.deadline - time.time()) / (len(sweeps) - n) - 2
        if job.has(name):
            continue
        if job.late(4):
            job.unfinished([name])
            continue
        job.begin(name)
        command = command_for(job, dim, mask, seconds)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
            told = json.loads(done.stdout)
        except (ValueError, subprocess.TimeoutExpired) as error:
            job.add(name, {"name": name, "status": "failed", "command": command[1:], "why": f"{type(error).__name__}: {error}"})
            continue
        good = done.returncode == 0
        job.add(name, {"name": name, "status": "passed" if good else "failed", "command": command[1:], "result": told,
                       "why": "" if good else done.stderr.strip()[-1500:]})
    if os.path.exists(job.plan["export"]):
        job.fact("export", os.path.basename(job.plan["export"]))
