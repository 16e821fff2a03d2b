"""A few kernels under compute-sanitizer, as whole commands on the GPU, several at once."""
import os
import re
import shutil
import subprocess
import time
from concurrent.futures import as_completed

from . import cases
from .errors import Missing
from .job import workers

PLACES = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer", "/opt/nvidia/compute-sanitizer")
AT_ONCE = 6


def find():
    found = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path=os.pathsep.join(PLACES))
    if not found:
        raise Missing("compute-sanitizer was not found on the PATH or in " + ", ".join(PLACES))
    return found


def check(job, command):
    """The row of one command; None if there was no time for it."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(5, job.deadline - time.time()))
    except subprocess.TimeoutExpired:
        return None
    said = done.stdout + done.stderr
    summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: .*", said)
    if not summary:
        # It did not start, which says nothing about the kernel; a kernel of ours that is missing something is told too.
        why = said.strip()[-800:] or f"exit status {done.returncode}"
        cannot = done.returncode == 3 or "not supported" in said.lower()
        return {"status": "skipped" if cannot else "failed", "summary": "", "why": why}
    clean = done.returncode == 0 and re.search(r": 0 (errors|hazards)", summary[-1]) is not None
    return {"status": "passed" if clean else "failed", "summary": summary[-1], "why": "" if clean else said.strip()[-2000:]}


def run(job):
    tool_path = find()
    targets = cases.TARGETS[:1] if job.quick else cases.TARGETS
    with workers(AT_ONCE) as pool:
        running = {}
        for flags in cases.sanitizer(job.quick):
            for target in targets:
                for tool in cases.SANITIZER_TOOLS:
                    name = f"{tool} {target} {' '.join(flags)}"
                    if not job.wanted(name) or job.has(name):
                        continue
                    command = [tool_path, "--tool", tool, "--error-exitcode", "99", job.attune, "run", *flags, "--target",
                               target, "--device", "cuda", "--no-cache", "--check", "none"]
                    running[pool.submit(lambda c=command: None if job.late(5) else check(job, c))] = (name, tool)
        for done in as_completed(running):
            name, tool = running[done]
            if done.result() is None:
                job.unfinished([name])
            else:
                job.add(name, {"name": name, "tool": tool, **done.result()})
