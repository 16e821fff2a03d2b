"""What the machine is, and its clocks and power while something runs."""
import datetime
import os
import platform
import statistics
import subprocess
import sys
import threading
import time

SAMPLED = ("clocks.sm", "clocks.mem", "power.draw", "temperature.gpu", "clocks_event_reasons.active")
ASKED = ("name", "driver_version", "clocks.max.sm", "clocks.max.mem", "power.limit", "vbios_version", *SAMPLED)


def number(text):
    try:
        return float(text.split()[0])
    except (ValueError, IndexError):
        return text.strip()


def smi(names):
    """What nvidia-smi says, or {"error": why}."""
    try:
        done = subprocess.run(["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader,nounits", "-i", "0"],
                              capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": str(error)}
    if done.returncode != 0:
        return {"error": (done.stdout + done.stderr).strip()[:300]}
    return dict(zip(names, map(number, done.stdout.strip().split(","))))


def version_of(module):
    import importlib.metadata
    try:
        return importlib.metadata.version(module)
    except importlib.metadata.PackageNotFoundError:
        return None


def facts():
    return {"host": platform.machine(), "kernel": platform.release(), "cores": os.cpu_count(),
            "python": sys.version.split()[0],
            "packages": {name: version_of(name) for name in
                         ("numpy", "torch", "triton", "jax", "flash-attn", "flash-attn-3", "flashinfer-python")},
            "nvidia_smi": smi(ASKED), "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}


class Sampler:
    """Reads clocks and power several times a second, beside the work."""

    def __init__(self, period_ms=100):
        self.rows, self.process = [], None
        try:
            self.process = subprocess.Popen(
                ["nvidia-smi", f"--query-gpu={','.join(SAMPLED)}", "--format=csv,noheader,nounits", "-i", "0", "-lms",
                 str(period_ms)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        except OSError:
            return
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            values = [number(text) for text in line.split(",")]
            if len(values) == len(SAMPLED):
                self.rows.append((time.time(), values))

    def between(self, begin, end):
        """Medians of what was read in that time; {} if nothing was."""
        rows = [values for at, values in list(self.rows) if begin <= at <= end]
        result = {"samples": len(rows)} if rows else {}
        for n, name in enumerate(SAMPLED):
            values = [row[n] for row in rows if isinstance(row[n], float)]
            if values:
                result[name] = statistics.median(values)
        return result

    def close(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
