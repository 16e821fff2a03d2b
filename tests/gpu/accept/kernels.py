"""attune's kernels: what to compile, compiling many at once, and launching one.

The binary interface is what compiler/program/Program.h says of a forward kernel: one by-value parameter. Tensors (q, k,
v, o, and lse where the spec has it), each a 64-bit address and the 64-bit strides of all axes but the last in elements:
batch, head, row; of lse, whose rows are adjacent, batch and head. Then 32-bit length of queries, length of keys and query
heads a KV head. The grid is (ceil(length_q / block_q), heads_q, batch)."""
import json
import os
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .driver import DriverError

def forward_params(tensors, length_q, length_kv, group):
    """`tensors`: (address, batch stride, head stride, row stride) of q, k, v, o, and of lse where there is one."""
    block = b"".join(struct.pack("<Qqqq", *tensor) for tensor in tensors[:4])
    block += b"".join(struct.pack("<Qqq", *tensor[:3]) for tensor in tensors[4:])
    return block + struct.pack("<iiii", length_q, length_kv, group, 0)


def spec_flags(spec):
    """A spec (a dict with the keys of attune's JSON) as flags."""
    flags = ["--dtype", spec["dtype"]]
    flags += ["--head-dim-qk", str(spec["head_dim_qk"]), "--head-dim-v", str(spec["head_dim_v"])]
    for mask in [spec["mask"]] if isinstance(spec["mask"], str) else spec["mask"]:
        flags += ["--mask", mask]
    if spec.get("softcap"):
        flags += ["--softcap", str(spec["softcap"])]
    if spec.get("lse"):
        flags += ["--lse"]
    if spec.get("layout"):
        flags += ["--layout", spec["layout"]]
    return flags


def shape_of(row):
    """The problem that attune chooses a schedule for, as its flag has it."""
    return "x".join(str(row[key]) for key in ("batch", "heads_q", "heads_kv", "length_q", "length_kv"))


def schedule_flags(made):
    """So that another command makes the very same kernel."""
    return [text for key, value in made["schedule"].items() for text in ("--" + key.replace("_", "-"), str(value))]


class Launchable:
    """A kernel on the device."""

    def __init__(self, driver, made):
        module = driver.load(made["image"], made["name"])
        self.kernel = driver.kernel(module, made["name"], made["shared_bytes"])
        self.threads, self.block_q = made["threads"], made["schedule"]["block_q"]
        self.schedule, self.why, self.lse = made["schedule"], made["why"], made["lse"]

    def launch(self, tensors, batch, heads_q, heads_kv, length_q, length_kv, stream=0):
        grid = (-(-length_q // self.block_q), heads_q, batch)
        tensors = tensors[:5 if self.lse else 4]
        self.kernel.launch(grid, (self.threads, 1, 1), forward_params(tensors, length_q, length_kv, heads_q // heads_kv),
                           stream)


class Compiler:
    """Runs `attune compile` for many specs at once, in the folder `work`."""

    def __init__(self, attune, arch, work, images, store=None, workers=None):
        """`images`: of each target, cubin, or ptx where the driver assembles. `store`: what sweeps found."""
        self.attune, self.arch, self.images = str(attune), arch, images
        self.tuned = ["--store", store] if store else []
        self.work = Path(work) / "kernels"
        self.work.mkdir(parents=True, exist_ok=True)
        self.pool = ThreadPoolExecutor(workers or os.cpu_count())
        self.made = {}

    def ask(self, row, target):
        """Begins compiling for a row's spec and problem; `get` waits for it."""
        key = json.dumps([row["spec"], shape_of(row), target], sort_keys=True)
        if key not in self.made:
            self.made[key] = self.pool.submit(self._compile, row["spec"], shape_of(row), target, len(self.made))
        return self.made[key]

    def get(self, row, target):
        """The kernel, or {"error": text, "missing": whether for want of a tool}."""
        return self.ask(row, target).result()

    def wait(self):
        """Until all that was asked for is there: compiling beside a measurement would disturb it."""
        for future in list(self.made.values()):
            future.result()

    def close(self):
        self.pool.shutdown(wait=True, cancel_futures=True)

    def _compile(self, spec, shape, target, number):
        image = self.images[target]
        path = self.work / f"{os.getpid()}-{number}.{image}"
        command = [self.attune, "compile", *spec_flags(spec), "--arch", self.arch, "--target", target, "--shape", shape,
                   "--emit", image, "-o", str(path), "--json", "--cache-dir", str(self.work / "cache"), *self.tuned]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()[-2000:]
            return {"error": said or f"exit status {done.returncode}", "missing": done.returncode == 3}
        made = json.loads(done.stdout)
        made["image"] = path.read_bytes()
        made["lse"] = bool(spec.get("lse"))
        return made


def to_device(driver, compiler, row, target):
    """(kernel, None), or (None, the row that says why not)."""
    made = compiler.get(row, target)
    if "error" in made:
        return None, {"target": target, "status": "skipped" if made["missing"] else "failed", "why": made["error"]}
    try:
        return Launchable(driver, made), None
    except DriverError as error:
        return None, {"target": target, "status": "failed", "why": str(error)}
