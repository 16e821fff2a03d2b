"""attune's kernels: what to compile, compiling many at once, and launching one.

The binary interface is what `attune compile --json` says of the kernel: `parameters` lists the fields of its one
by-value parameter (argument, what: address, stride of an axis in elements, or value; offset and bytes), and
`parameter_bytes` its size. The grid is (ceil(length_q / block_q), heads_q, batch)."""
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .driver import DriverError

ARRAYS = ("q", "k", "v", "o", "lse")


def pack(made, tensors, sizes):
    """The parameter block. `tensors`: (address, batch stride, head stride, row stride) of q, k, v, o and lse; `sizes`:
    by name what the kernel's scalars follow from (batch, heads_q, heads_kv, len_q, len_kv)."""
    block = bytearray(made["parameter_bytes"])
    of = dict(zip(ARRAYS, tensors))
    for field in made["parameters"]:
        if field["what"] == "address":
            value = of[field["argument"]][0]
        elif field["what"] == "stride":
            value = of[field["argument"]][1 + field["axis"]]
        else:
            value = eval(field["value"].replace("/", "//"), {"ceil_div": lambda x, y: -(-x // y)}, sizes)
        block[field["offset"]:field["offset"] + field["bytes"]] = (value % (1 << 8 * field["bytes"])).to_bytes(
            field["bytes"], "little")
    return bytes(block)


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
    return [text for key, value in made["schedule"].items() if key != "family"
            for text in ("--" + key.replace("_", "-"), str(value))]


class Launchable:
    """A kernel on the device."""

    def __init__(self, driver, made):
        module = driver.load(made["image"], made["name"])
        self.kernel = driver.kernel(module, made["name"], made["shared_bytes"])
        self.threads, self.block_q = made["threads"], made["schedule"]["block_q"]
        self.schedule, self.why, self.made = made["schedule"], made["why"], made

    def launch(self, tensors, batch, heads_q, heads_kv, length_q, length_kv, stream=0):
        grid = (-(-length_q // self.block_q), heads_q, batch)
        sizes = {"batch": batch, "heads_q": heads_q, "heads_kv": heads_kv, "len_q": length_q, "len_kv": length_kv}
        self.kernel.launch(grid, (self.threads, 1, 1), pack(self.made, tensors, sizes), stream)


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
