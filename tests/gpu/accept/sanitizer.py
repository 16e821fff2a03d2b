"""A few kernels under compute-sanitizer, as whole commands on the GPU."""
import os
import re
import shutil
import subprocess
import time

from . import cases
from .errors import Missing

PLACES = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer", "/opt/nvidia/compute-sanitizer")


def find():
    found = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path=os.pathsep.join(PLACES))
    if not found:
        raise Missing("compute-sanitizer was not found on the PATH or in " + ", ".join(PLACES))
    return found


def run(job):
    tool_path = find()
    targets = ["ptx", "cuda"] if not job.quick else ["ptx"]
    for flags in cases.sanitizer(job.quick):
        for target in targets:
            for tool in cases.SANITIZER_TOOLS:
                name = f"{tool} {target} {' '.join(flags)}"
                if not job.wanted(name) or job.has(name):
                    continue
                if job.late(5):
                    job.unfinished([name])
                    continue
                job.begin(name)
                command = [tool_path, "--tool", tool, "--error-exitcode", "99", job.attune, "run", *flags, "--target", target,
                           "--device", "cuda", "--no-cache", "--check", "none"]
                try:
                    done = subprocess.run(command, capture_output=True, text=True, timeout=max(5, job.deadline - time.time()))
                except subprocess.TimeoutExpired:
                    job.unfinished([name])
                    continue
                said = done.stdout + done.stderr
                summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: .*", said)
                if not summary:
                    row = {"status": "skipped" if done.returncode in (3,) or "not supported" in said.lower() else "failed",
                           "why": said.strip()[-800:] or f"exit status {done.returncode}"}
                else:
                    clean = done.returncode == 0 and re.search(r": 0 (errors|hazards)", summary[-1]) is not None
                    row = {"status": "passed" if clean else "failed", "why": "" if clean else said.strip()[-2000:]}
                job.add(name, {"name": name, "tool": tool, "summary": summary[-1] if summary else "", **row})
