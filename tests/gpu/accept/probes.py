"""What only hardware can tell: the rule by which the tensor core sums, and the approximate functions."""
from concurrent.futures import as_completed

import numpy as np

from . import approx
from . import tensorcore as tc
from .job import workers


def on_device(driver, text, arrays, threads, blocks):
    """Runs a probe; `arrays` are A, B, C in the kernel's order."""
    module = driver.load(text, "probe.ptx")
    kernel = driver.kernel(module, "probe")
    held = [driver.buffer(np.ascontiguousarray(x, np.uint32)) for x in arrays]
    out = np.zeros(arrays[2].shape, np.uint32)
    held.append(driver.buffer(out))
    try:
        kernel.launch((blocks, 1, 1), (threads, 1, 1), np.array(held, np.uint64).tobytes())
        driver.copy_out(out, held[3])
    finally:
        driver.release(held)
    return out


def ask(driver, row, a, b, c, target):
    """D's bits (tiles, rows, 8)."""
    name, _, bits, _, _, accumulator, _ = row
    words_a, words_c = tc.fragments_a(a, bits), tc.fragments_c(c, accumulator)
    tiles = len(a)
    if name.startswith("wgmma"):
        out = on_device(driver, tc.wgmma_ptx(row), (words_a, tc.shared_b(b, bits), words_c), 128, tiles)
    else:
        out = on_device(driver, tc.mma_ptx(row, target), (words_a, tc.fragments_b(b, bits), words_c), 128, tiles // 4)
    return tc.unfragment_c(out, accumulator)


def flat(a, b, c):
    """Operands of each output element: (elements, K), (elements, K), (elements)."""
    tiles, rows, k = a.shape
    left = np.broadcast_to(a[:, :, None, :], (tiles, rows, 8, k)).reshape(-1, k)
    right = np.broadcast_to(b.transpose(0, 2, 1)[:, None], (tiles, rows, 8, k)).reshape(-1, k)
    return left, right, c.reshape(-1)


def counterexample(n, left, right, addend, got, wanted, families, per_tile):
    return {"a": [f"{x:#x}" for x in left[n].tolist()], "b": [f"{x:#x}" for x in right[n].tolist()], "c": f"{int(addend[n]):#x}",
            "device": f"{int(got[n]):#x}", "rule": f"{int(wanted[n]):#x}", "family": families[n // per_tile]}


def judge(row, got, a, b, c, families, capability):
    """Which rules fit every vector, and what contradicts the expected one."""
    name, _, _, k, element, accumulator, _ = row
    left, right, addend = flat(a, b, c)
    got, per_tile = got.reshape(-1), a.shape[1] * 8
    if accumulator == "f16":
        got = np.where(got == 0x8000, 0, got)
    else:
        got = np.where(got == 0x80000000, 0, got)
    rule = tc.expected(capability, name, element, accumulator, k)

    def compute(one, some=slice(None)):
        return tc.result_bits(tc.model(one, left[some], right[some], addend[some], element, accumulator), accumulator)

    wanted = compute(rule)
    exact = np.repeat(np.array([family == "exact" for family in families]), per_tile)
    wrong = np.flatnonzero(got != wanted)
    result = {"name": name, "vectors": int(len(got)), "expected": str(rule), "mismatches": int(len(wrong))}
    if (got != wanted)[exact].any():
        # Small integers are exact under any rule: this is about operands and their places.
        n = int(np.flatnonzero((got != wanted) & exact)[0])
        return {**result, "status": "failed", "why": "wrong even where every rule gives the exact sum: operands are not where "
                "they are thought to be", "counterexamples": [counterexample(n, left, right, addend, got, wanted, families,
                                                                            per_tile)]}
    few = np.random.default_rng(1).permutation(len(got))[:512]
    scores = sorted(((int((got[few] != compute(one, few)).sum()), str(one), one) for one in
                     tc.candidates(accumulator, k, element)), key=lambda score: score[:2])
    fits = [str(one) for missed, _, one in scores if missed == 0 and (compute(one) == got).all()]
    result["fits"] = fits
    if str(rule) in fits:
        # Others that no vector tells apart from it say how sharp the vectors were.
        return {**result, "status": "passed"}
    examples = [counterexample(int(n), left, right, addend, got, wanted, families, per_tile) for n in wrong[:3]]
    why = (f"the device follows another rule: {fits[0]}" if fits else
           f"no known rule fits; the nearest, {scores[0][1]}, misses {scores[0][0]} of {len(few)}")
    return {**result, "status": "failed", "why": why, "counterexamples": examples}


def judge_integers(row, got, a, b, c):
    signed_a, signed_b = a.astype(np.int8).astype(np.int64), b.astype(np.int8).astype(np.int64)
    wanted = (np.einsum("tmk,tkn->tmn", signed_a, signed_b) + c.view(np.int32)).astype(np.uint32)
    wrong = int((wanted != got).sum())
    return {"name": row[0], "vectors": int(got.size), "expected": "exact, modulo 2^32", "mismatches": wrong,
            "fits": [] if wrong else ["exact, modulo 2^32"], "status": "failed" if wrong else "passed"}


def special_values(driver, row, target):
    """What NaN and infinities become: a row of facts, compared with what the simulator assumes."""
    name, _, _, k, element, accumulator, _ = row
    infinite = {"bf16": 0x7F80, "f16": 0x7C00, "tf32": 0x7F800000, "e5m2": 0x7C}.get(element)
    nan = {"bf16": 0x7FC0, "f16": 0x7E00, "tf32": 0x7FC00000, "e4m3": 0x7F, "e5m2": 0x7F}[element]
    one = int(tc.encode([1.0], element)[0])
    minus = one | {"bf16": 0x8000, "f16": 0x8000, "tf32": 0x80000000}.get(element, 0x80)
    rows = 64 if name.startswith("wgmma") else 16
    cases = [("NaN factor", nan, one, 0), ("NaN addend", one, one, 0x7E00 if accumulator == "f16" else 0x7FC00000)]
    if infinite is not None:
        cases += [("infinity times 1", infinite, one, 0), ("infinity times -1", infinite, minus, 0),
                  ("infinity times 0", infinite, 0, 0)]
    a, b = np.zeros((4, rows, k), np.uint32), np.zeros((4, k, 8), np.uint32)
    c = np.zeros((4, rows, 8), np.uint32)
    results = {}
    for begin in range(0, len(cases), 4):
        for tile, (_, x, y, z) in enumerate(cases[begin:begin + 4]):
            a[tile, :, 0], b[tile, 0, :], c[tile] = x, y, z
        got = ask(driver, row, a, b, c, target)
        for tile, (text, *_) in enumerate(cases[begin:begin + 4]):
            results[text] = f"{int(got[tile, 0, 0]):#x}"
    half = accumulator == "f16"
    quiet, top, bottom = ("0x7fff", "0x7c00", "0xfc00") if half else ("0x7fffffff", "0x7f800000", "0xff800000")
    wanted = {"NaN factor": quiet, "NaN addend": quiet, "infinity times 1": top, "infinity times -1": bottom,
              "infinity times 0": quiet}
    wrong = [f"{text}: {value}, expected {wanted[text]}" for text, value in results.items() if value != wanted[text]]
    return {"name": f"{name}, special values", "status": "failed" if wrong else "passed", "why": "; ".join(wrong),
            "values": results}


def run(job):
    driver = job.driver
    capability = job.plan["target_of_probes"] or driver.capability()
    ruled = job.plan["rule_of"] or capability
    target = f"sm_{capability}"
    rng = np.random.default_rng(job.plan["seed"])
    tiles = 64 if job.tiny else 512 if job.quick else 2048
    listed = [row for row in tc.MMA + (tc.WGMMA if capability == 90 and not driver.simulated else [])
              if capability >= row[-1] and job.wanted(row[0])]
    # The device answers in a moment; fitting rules to its answers takes seconds a kind, on every core at once.
    with workers() as pool:
        judged = {}
        for row in listed:
            name, _, _, k, element, accumulator, _ = row
            if job.late():
                job.unfinished([name])
            if job.late() or job.has(name):
                continue
            job.begin(name)
            if element == "s8":
                a, b, c, _ = tc.integer_vectors(rng, tiles, k)
                judged[pool.submit(judge_integers, row, ask(driver, row, a, b, c, target), a, b, c)] = name
                continue
            rows = 64 if name.startswith("wgmma") else 16
            a, b, c, families = tc.vectors(rng, max(tiles * 16 // rows, 16), rows, k, element, accumulator)
            got = ask(driver, row, a, b, c, target)
            judged[pool.submit(judge, row, got, a, b, c, families, ruled)] = name
            special = f"{name}, special values"
            if not job.has(special):
                job.begin(special)
                job.add(special, special_values(driver, row, target))
        for verdict in as_completed(judged):
            job.add(judged[verdict], verdict.result())
    if capability == 90 and driver.simulated:
        job.fact("wgmma", "not run: the simulator has no wgmma")
    approx.run(job, capability)
