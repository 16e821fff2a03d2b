"""Strides that reach beyond 2^31 elements: the bits of the same problem with its arrays dense."""
import numpy as np

from . import arrays, cases, kernels

UNITS = ("q", "k", "v", "o")


def place(driver, address, array, strides, out=False):
    """Copies (batch, length, heads, dim) rows to, or from, their places; rows whose heads are adjacent in one go."""
    batch_stride, head_stride, row_stride = strides
    batch, length, heads, dim = array.shape
    for b in range(batch):
        for h in range(heads):
            for i in range(length):
                at = address + 2 * (b * batch_stride + h * head_stride + i * row_stride)
                row = np.ascontiguousarray(array[b, i, h])
                if out:
                    driver.copy_out(row, at)
                    array[b, i, h] = row
                else:
                    driver.copy_in(at, row)


def reach(strides, shape):
    """Elements from the first to the last."""
    batch, length, heads, dim = shape
    return (batch - 1) * strides[0] + (heads - 1) * strides[1] + (length - 1) * strides[2] + dim


def compute(driver, kernel, row, inputs, strides):
    """O and the log-sum-exp, with these strides for each array."""
    s = row["spec"]
    out = np.zeros((row["batch"], row["length_q"], row["heads_q"], s["head_dim_v"]), np.uint16)
    lse = np.zeros((row["batch"], row["heads_q"], row["length_q"]), np.uint32)
    held = []
    try:
        for array, strided in zip((*inputs, out), strides):
            held.append(driver.alloc(2 * reach(strided, array.shape)))
            place(driver, held[-1], array, strided)
        held.append(driver.alloc(lse.nbytes))
        tensors = [(address, *strided) for address, strided in zip(held, strides)]
        tensors.append((held[4], row["heads_q"] * row["length_q"], row["length_q"], 0))
        kernel.launch(tensors, row["batch"], row["heads_q"], row["heads_kv"], row["length_q"], row["length_kv"])
        driver.synchronize()
        place(driver, held[3], out, strides[3], out=True)
        driver.copy_out(lse, held[4])
    finally:
        driver.release(held)
    return out, lse


def run(job):
    compiler, driver = job.compiler(), job.driver
    rows = cases.large_offsets(job.quick)
    for row in rows:
        for target in cases.TARGETS:
            compiler.ask(row, target)
    for row in rows:
        s = row["spec"]
        heads = (row["heads_q"], row["heads_kv"], row["heads_kv"], row["heads_q"])
        far = [row["strides"](h, s["head_dim_qk"]) for h in heads]
        shapes = [(row["batch"], row["length_q"] if n in (0, 3) else row["length_kv"], h, s["head_dim_qk"])
                  for n, h in enumerate(heads)]
        dense = [(shape[1] * shape[2] * shape[3], shape[3], shape[2] * shape[3]) for shape in shapes]
        needed = 2 * sum(reach(strides, shape) for strides, shape in zip(far, shapes))
        inputs = [arrays.normal(shape, s["dtype"], [row["seed"], n]) for n, shape in enumerate(shapes[:3])]
        for target in cases.TARGETS:
            name = f"{row['name']} {target}"
            if not job.wanted(name) or job.has(name):
                continue
            if job.late():
                job.unfinished([name])
                continue
            if needed > driver.free_bytes():
                job.add(name, {"name": name, "status": "skipped",
                               "why": f"needs {needed / 1e9:.0f} GB of device memory, {driver.free_bytes() / 1e9:.0f} are free"})
                continue
            job.begin(name)
            kernel, why = kernels.to_device(driver, compiler, row, target)
            if kernel is None:
                job.add(name, {"name": name, **why})
                continue
            wanted, wanted_lse = compute(driver, kernel, row, inputs, dense)
            got, got_lse = compute(driver, kernel, row, inputs, far)
            wide = [arrays.from_bits(x, s["dtype"]) for x in inputs]
            exact, _ = arrays.attention(*wide, s["mask"])
            plain, _ = arrays.attention(*wide, s["mask"], plain16=s["dtype"])
            error = arrays.errors(arrays.from_bits(got, s["dtype"]), exact, plain, s["dtype"])
            same = bool((got == wanted).all() and (got_lse == wanted_lse).all())
            beyond = max(reach(strides, shape) for strides, shape in zip(far, shapes))
            job.add(name, {"name": name, "target": target, "elements_reached": beyond, "same_bits_as_dense": same, "error": error,
                           "status": "passed" if same and error["good"] and beyond > 1 << 31 else "failed"})
    compiler.close()
