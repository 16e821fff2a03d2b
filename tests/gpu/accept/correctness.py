"""Specs on the device against fp64, and bit for bit against the simulator."""
import json
import os
import subprocess

import numpy as np

from . import arrays, cases, kernels
from .job import workers

UNWRITTEN = 0xCD  # what outputs are filled with; a whole 16-bit element of it is a number that no result has


def array_shape(layout, batch, length, heads, dim):
    return (batch, heads, length, dim) if layout == "bhsd" else (batch, length, heads, dim)


def strides_of(layout, length, heads, dim):
    """Of batch, head and row, in elements."""
    return (length * heads * dim, length * dim, dim) if layout == "bhsd" else (length * heads * dim, dim, heads * dim)


def as_bshd(array, layout):
    return array.transpose(0, 2, 1, 3) if layout == "bhsd" else array


def inputs_of(row):
    s, layout = row["spec"], row["spec"].get("layout", "bshd")
    shapes = [array_shape(layout, row["batch"], row["length_q"], row["heads_q"], s["head_dim_qk"]),
              array_shape(layout, row["batch"], row["length_kv"], row["heads_kv"], s["head_dim_qk"]),
              array_shape(layout, row["batch"], row["length_kv"], row["heads_kv"], s["head_dim_v"])]
    return [arrays.normal(shape, s["dtype"], [row["seed"], n]) for n, shape in enumerate(shapes)]


def on_device(driver, kernel, row, inputs):
    """O's bits and the log-sum-exp's (None without)."""
    s, layout = row["spec"], row["spec"].get("layout", "bshd")
    shape = array_shape(layout, row["batch"], row["length_q"], row["heads_q"], s["head_dim_v"])
    out = np.empty(shape, np.uint16)
    lse = np.empty((row["batch"], row["heads_q"], row["length_q"]), np.uint32)
    held = [driver.buffer(x) for x in inputs] + [driver.alloc(out.nbytes), driver.alloc(lse.nbytes)]
    try:
        driver.fill(held[3], UNWRITTEN, out.nbytes)
        driver.fill(held[4], UNWRITTEN, lse.nbytes)
        dims = [(row["length_q"], row["heads_q"], s["head_dim_qk"]), (row["length_kv"], row["heads_kv"], s["head_dim_qk"]),
                (row["length_kv"], row["heads_kv"], s["head_dim_v"]), (row["length_q"], row["heads_q"], s["head_dim_v"])]
        tensors = [(address, *strides_of(layout, *dim)) for address, dim in zip(held, dims)]
        tensors.append((held[4] if s.get("lse") else 0, row["heads_q"] * row["length_q"], row["length_q"], 0))
        kernel.launch(tensors, row["batch"], row["heads_q"], row["heads_kv"], row["length_q"], row["length_kv"])
        driver.copy_out(out, held[3])
        if s.get("lse"):
            driver.copy_out(lse, held[4])
    finally:
        driver.release(held)
    return out, lse if s.get("lse") else None


def on_simulator(job, compiler, row, inputs, target, number):
    """The same kernel by `attune run --device sim`, with the device tables that the job has; or {"error": ...}."""
    s, made = row["spec"], compiler.get(row, target)
    if "error" in made:
        return {"error": made["error"]}
    stem = os.path.join(job.work, f"sim-{number}-{target}")
    command = [job.attune, "run", *kernels.spec_flags(s), *kernels.schedule_flags(made), "--target", target, "--arch",
               job.arch, "--device", "sim", "--check", "none", "--json", *compiler.cache, "--out", stem + "-o.npy"]
    for name, array in zip("qkv", inputs):
        np.save(f"{stem}-{name}.npy", array.view(np.float16) if s["dtype"] == "fp16" else array)
        command += [f"--{name}", f"{stem}-{name}.npy"]
    if s.get("lse"):
        command += ["--lse-out", stem + "-lse.npy"]
    done = subprocess.run(command, capture_output=True, text=True, env=job.environment())
    if done.returncode != 0:
        return {"error": (done.stderr or done.stdout).strip()[-1500:]}
    result = {"o": np.load(stem + "-o.npy").view(np.uint16), "notes": [n["note"] for n in json.loads(done.stdout)["notes"]]}
    if s.get("lse"):
        result["lse"] = np.load(stem + "-lse.npy").view(np.uint32)
    for name in ("q", "k", "v", "o", "lse"):
        if os.path.exists(f"{stem}-{name}.npy"):
            os.remove(f"{stem}-{name}.npy")
    return result


def difference(got, wanted):
    """None if the bits are the same; else how many differ and the first."""
    differ = np.flatnonzero(got.ravel() != wanted.ravel())
    if not len(differ):
        return None
    at = [int(n) for n in np.unravel_index(differ[0], got.shape)]
    return {"elements": int(len(differ)), "of": int(got.size), "first_at": at,
            "got": f"{int(got.ravel()[differ[0]]):#x}", "simulator": f"{int(wanted.ravel()[differ[0]]):#x}"}


def unwritten(out):
    word = UNWRITTEN * 0x0101 if out.dtype == np.uint16 else UNWRITTEN * 0x01010101
    return int((out == word).sum())


def check(job, row, target, inputs, exact, kernel, simulated):
    """One row of the result."""
    s, result = row["spec"], {"name": cases.name_of(row), "target": target, "schedule": kernel.schedule}
    out, lse = on_device(job.driver, kernel, row, inputs)
    again, _ = on_device(job.driver, kernel, row, inputs)
    layout = s.get("layout", "bshd")
    wanted, wanted_lse, plain = exact
    result["error"] = arrays.errors(as_bshd(arrays.from_bits(out, s["dtype"]), layout), wanted, plain, s["dtype"])
    good = result["error"]["good"]
    result["unwritten"] = unwritten(out) + (unwritten(lse) if lse is not None else 0)
    result["repeats"] = bool((out == again).all())
    if lse is not None:
        values, same_inf = lse.view(np.float32), np.isinf(wanted_lse)
        near = np.abs(np.where(same_inf, 0, values) - np.where(same_inf, 0, wanted_lse))
        # The sum's f32 rounding and lg2.approx: absolute, of numbers of this size.
        limit = 2e-5 * max(1.0, float(np.max(np.abs(np.where(same_inf, 0, wanted_lse)), initial=0)))
        good_lse = bool((np.isneginf(values) == same_inf).all() and (near <= limit).all())
        result["lse_error"] = {"max": float(near.max(initial=0)), "limit": limit, "good": good_lse}
        good &= good_lse
    simulated = simulated.result()
    if "error" in simulated:
        result["simulator_error"] = simulated["error"]
    else:
        differs = {"o": difference(out, simulated["o"])}
        if lse is not None:
            differs["lse"] = difference(lse, simulated["lse"])
        result["differs"] = {name: value for name, value in differs.items() if value}
        result["simulator_notes"] = simulated["notes"]
        good &= not result["differs"]
    good &= result["unwritten"] == 0 and result["repeats"] and "simulator_error" not in result
    result["status"] = "passed" if good else "failed"
    return result


def run(job):
    rows = [row for row in cases.correctness(job.quick) if job.wanted(cases.name_of(row))]
    if job.tiny:
        rows = [row for row in rows if row["length_q"] * row["length_kv"] <= 70000 and row["spec"]["head_dim_qk"] <= 128][:3]
    compiler = job.compiler()
    for row in rows:
        for target in cases.TARGETS:
            compiler.ask(row, target)
    with workers(max(1, (os.cpu_count() or 2) // 2)) as pool:
        work = []
        for n, row in enumerate(rows):
            inputs = inputs_of(row)
            work.append((row, inputs, {t: pool.submit(on_simulator, job, compiler, row, inputs, t, n) for t in cases.TARGETS}))
        for row, inputs, simulated in work:
            names = {target: f"{cases.name_of(row)} {target}" for target in cases.TARGETS}
            if job.late():
                job.unfinished(names.values())
                for future in simulated.values():
                    future.cancel()
                continue
            if all(job.has(name) for name in names.values()):
                continue
            s = row["spec"]
            wide = [as_bshd(arrays.from_bits(x, s["dtype"]), s.get("layout", "bshd")) for x in inputs]
            exact = arrays.attention(*wide, s["mask"], s.get("softcap"))
            plain = arrays.attention(*wide, s["mask"], s.get("softcap"), plain16=s["dtype"])[0]
            for target in cases.TARGETS:
                if job.has(names[target]):
                    continue
                job.begin(names[target])
                kernel, why = kernels.to_device(job.driver, compiler, row, target)
                if kernel is None:
                    job.add(names[target], {"name": cases.name_of(row), **why})
                    continue
                job.add(names[target], check(job, row, target, inputs, (*exact, plain), kernel, simulated[target]))
    compiler.close()
