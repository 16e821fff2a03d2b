"""attune's kernels: what to compile, compiling many at once, and launching one.

The binary interface is what `attune compile --json` says of the kernel: `parameters` lists the fields of its one
by-value parameter (argument, what: address, stride of an axis in elements, value, workspace or tensor_map; offset and
bytes), `parameter_bytes` its size, `launches` the grid, and `workspace_bytes` what it needs beside its arrays, the first
`workspace_zero_bytes` of them zero before each launch."""
import ctypes as ct
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .driver import ATTRIBUTES, DriverError

ARRAYS = ("q", "k", "v", "o", "lse")


ELEMENTS = {"bf16": (9, 2), "fp16": (6, 2), "f32": (7, 4)}  # CUtensorMapDataType, bytes


def number(formula, sizes):
    """What a formula of the kernel's gives for a problem's sizes, by name: batch, heads_q, heads_kv, len_q, len_kv and
    sm_count."""
    return eval(formula.replace("/", "//"), {"ceil_div": lambda x, y: -(-x // y), "min": min, "max": max}, sizes)


def tensor_map(driver, field, tensor, sizes):
    """The 128 bytes through which TMA reads boxes of an array (address and strides of all axes but the last)."""
    type_number, element = ELEMENTS[field["dtype"]]
    shape = [number(extent, sizes) for extent in field["shape"]][::-1]
    box = field["box"][::-1] + [1] * (len(shape) - len(field["box"]))
    # The stride of an axis of one element is never used, but has to look like one.
    strides = [stride * element if extent > 1 else -(-stride * element // 16) * 16
               for stride, extent in zip(tensor[1:len(shape)][::-1], shape[1:])]
    held = (ct.c_char * 192)()
    at = -(-ct.addressof(held) // 64) * 64
    of = lambda kind, values: (kind * len(values))(*values)  # noqa: E731
    driver.call("cuTensorMapEncodeTiled", ct.c_void_p(at), ct.c_int(type_number), ct.c_uint(len(shape)),
                ct.c_void_p(tensor[0]), of(ct.c_uint64, shape), of(ct.c_uint64, strides), of(ct.c_uint32, box),
                of(ct.c_uint32, [1] * len(shape)), ct.c_int(0),
                ct.c_int({0: 0, 32: 1, 64: 2, 128: 3}[field["swizzle"]]), ct.c_int(2), ct.c_int(0))
    return ct.string_at(at, 128)


def pack(made, tensors, sizes, driver=None, workspace=0):
    """The parameter block. `tensors`: (address, batch stride, head stride, row stride) of q, k, v, o and lse; `sizes`:
    by name what the kernel's scalars follow from. `driver` encodes tensor maps."""
    block = bytearray(made["parameter_bytes"])
    of = dict(zip(ARRAYS, tensors))
    for field in made["parameters"]:
        if field["what"] == "tensor_map":
            held = tensor_map(driver, field, of[field["array"]], sizes)
        else:
            if field["what"] == "address":
                value = of[field["argument"]][0]
            elif field["what"] == "stride":
                value = of[field["argument"]][1 + field["axis"]]
            elif field["what"] == "workspace":
                value = workspace + number(field["workspace_offset"], sizes)
            else:
                value = number(field["value"], sizes)
            held = (value % (1 << 8 * field["bytes"])).to_bytes(field["bytes"], "little")
        block[field["offset"]:field["offset"] + field["bytes"]] = held
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
    return [text for key, value in made["schedule"].items() for text in ("--" + key.replace("_", "-"), str(value))]


class Launchable:
    """A kernel on the device."""

    def __init__(self, driver, made):
        self.driver, self.made = driver, made
        self.kernel = driver.kernel(driver.load(made["image"], made["name"]), made["name"], made["shared_bytes"])
        self.schedule, self.why = made["schedule"], made["why"]
        self.sm_count, self.workspace, self.prepared = driver.attribute(ATTRIBUTES["multiprocessors"]), (0, 0), None

    def prepare(self, tensors, sizes):
        """Grid, parameters and the bytes to zero, for one problem at these addresses."""
        (launch,) = self.made["launches"]
        needed = number(self.made["workspace_bytes"], sizes)
        if needed > self.workspace[1]:
            self.driver.release([self.workspace[0]] if self.workspace[1] else [])
            self.workspace = (self.driver.alloc(needed), needed)
        return (tuple(number(blocks, sizes) for blocks in launch["grid"]), (launch["block"], 1, 1),
                pack(self.made, tensors, sizes, self.driver, self.workspace[0]),
                number(self.made["workspace_zero_bytes"], sizes))

    def launch(self, tensors, batch, heads_q, heads_kv, length_q, length_kv, stream=0):
        sizes = {"batch": batch, "heads_q": heads_q, "heads_kv": heads_kv, "len_q": length_q, "len_kv": length_kv,
                 "sm_count": self.sm_count}
        if not self.prepared or self.prepared[0] != (tensors, sizes):  # what is timed is launched many times
            self.prepared = (list(tensors), sizes), self.prepare(tensors, sizes)
        grid, block, parameters, zeroed = self.prepared[1]
        if zeroed:
            self.driver.fill(self.workspace[0], 0, zeroed, stream)
        self.kernel.launch(grid, block, parameters, stream)


class Compiler:
    """Runs `attune compile` for many specs at once, in the folder `work`."""

    def __init__(self, attune, arch, work, images, store=None, workers=None):
        """`images`: of each target, cubin, or ptx where the driver assembles. `store`: what sweeps found."""
        self.attune, self.arch, self.images = str(attune), arch, images
        self.tuned = ["--store", store] if store else []
        self.work = Path(work) / "kernels"
        self.work.mkdir(parents=True, exist_ok=True)
        self.cache = ["--cache-dir", str(self.work / "cache")]
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
                   "--emit", image, "-o", str(path), "--json", *self.cache, *self.tuned]
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
