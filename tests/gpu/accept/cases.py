"""What is run, as data. Later kinds of kernels add rows here."""

TARGETS = ("ptx", "cuda")


def spec(dtype, head_dim_qk, head_dim_v=None, mask="none", **more):
    return {"dtype": dtype, "head_dim_qk": head_dim_qk, "head_dim_v": head_dim_v or head_dim_qk, "mask": mask, **more}


# --- correctness ---------------------------------------------------------------------------------------------------
# The dangers that others' kernels fell to come first: a loop of one step, lengths around a block's edge, empty rows.
MASKS = ["none", "causal", "window:100:20", "causal:bottom_right", "window:64:0:bottom_right",
         ["causal", "window:33:500"]]
LENGTHS = [(63, 63), (65, 65), (250, 250), (1, 1), (1, 1000), (127, 500), (200, 65), (1000, 1000), (333, 333), (129, 257)]
DIMS = [(64, 64), (128, 128), (256, 256), (40, 40), (192, 128), (8, 8), (80, 80), (96, 96), (16, 32), (72, 72), (192, 192),
        (32, 32), (128, 64), (112, 112), (160, 160), (248, 248)]
HEADS = [(1, 4, 1), (2, 4, 4), (1, 7, 1), (1, 8, 2), (3, 2, 2)]  # batch, query heads, KV heads


def correctness(quick):
    """Rows that together meet every value of every list, and many of their pairs."""
    count = 14 if quick else 48
    rows = []
    for n in range(count):
        batch, heads_q, heads_kv = HEADS[n % len(HEADS)]
        dims, lengths = DIMS[n % len(DIMS)], LENGTHS[(n * 3 + n // 10) % len(LENGTHS)]
        one = spec("bf16" if n % 2 == 0 else "fp16", *dims, mask=MASKS[(n + n // 6) % len(MASKS)], lse=n % 3 != 1,
                   layout="bhsd" if n % 4 == 3 else "bshd")
        if n % 5 == 4:
            one["softcap"] = 30.0
        rows.append({"spec": one, "batch": batch, "heads_q": heads_q, "heads_kv": heads_kv, "length_q": lengths[0],
                     "length_kv": lengths[1], "seed": n})
    return rows


def name_of(row):
    s = row["spec"]
    mask = s["mask"] if isinstance(s["mask"], str) else "+".join(s["mask"])
    dims = f"d{s['head_dim_qk']}" if s["head_dim_qk"] == s["head_dim_v"] else f"d{s['head_dim_qk']}/{s['head_dim_v']}"
    text = f"{s['dtype']} {dims} {mask}"
    if s.get("softcap"):
        text += f" softcap {s['softcap']:g}"
    if s.get("lse"):
        text += " lse"
    return text + f" b{row['batch']} h{row['heads_q']}/{row['heads_kv']} {row['length_q']}x{row['length_kv']}"


# --- offsets beyond 2^31 elements ------------------------------------------------------------------------------------
# strides in elements (batch, head, row) of q, k, v and o; what lies beyond 2^31 is in the name.
def large_offsets(quick):
    far = (1 << 31) + 4096
    rows = [
        {"name": "batch", "batch": 2, "heads_q": 2, "heads_kv": 1, "strides": lambda h, d: (far, d, h * d)},
        {"name": "head", "batch": 1, "heads_q": 2, "heads_kv": 2, "strides": lambda h, d: (h * far, far, d)},
        {"name": "row", "batch": 1, "heads_q": 1, "heads_kv": 1, "strides": lambda h, d: (0, d, 1 << 26), "length": 65},
    ]
    rows = rows[:1] if quick else rows
    return [dict(row, spec=spec("bf16", 64, mask="causal", lse=True), length_q=row.get("length", 130),
                 length_kv=row.get("length", 130), seed=7) for row in rows]


# --- under compute-sanitizer -----------------------------------------------------------------------------------------
SANITIZER_TOOLS = ["memcheck", "racecheck", "initcheck", "synccheck"]


def sanitizer(quick):
    rows = [["--head-dim", "64", "--dtype", "bf16", "--mask", "causal", "--len", "250", "--heads-q", "2", "--heads-kv", "1",
             "--lse"],
            ["--head-dim", "128", "--dtype", "fp16", "--mask", "window:100:20", "--len-q", "127", "--len-kv", "300"],
            ["--head-dim", "256", "--dtype", "bf16", "--len", "65"]]
    return rows[:1] if quick else rows


# --- the benchmark -----------------------------------------------------------------------------------------------------
# 16k tokens in all, 2048 query columns in all, as FlashAttention's own tables have it.
TOKENS, COLUMNS = 16384, 2048


def forward_cell(dtype, head_dim, mask, length, gqa, head_dim_v=None):
    heads = COLUMNS // head_dim
    return {"op": "forward", "spec": spec(dtype, head_dim, head_dim_v, mask), "batch": max(TOKENS // length, 1),
            "heads_q": heads, "heads_kv": max(heads // gqa, 1), "length_q": length, "length_kv": length}


def benchmark(quick):
    """Cells, the most telling first, so that a short run has those."""
    if quick:
        return [forward_cell("bf16", d, mask, length, 1) for length in (16384, 2048) for d in (128, 64)
                for mask in ("causal", "none")]
    core = core_benchmark()
    everything = [forward_cell(dtype, d, mask, length, gqa) for dtype, gqa in (("bf16", 1), ("fp16", 1), ("bf16", 8), ("fp16", 8))
                  for length in (16384, 4096, 1024, 8192, 2048, 512) for d in (128, 64, 256) for mask in ("causal", "none")]
    return core + [cell for cell in everything if cell not in core]


def core_benchmark():
    """30 cells that every full run has time for: bf16 over lengths, dims and masks, one grouped and one fp16 length."""
    cells = [forward_cell("bf16", d, mask, length, 1) for length in (16384, 2048, 8192) for d in (128, 64, 256)
             for mask in ("causal", "none")]
    cells += [forward_cell(dtype, d, mask, 8192, gqa) for dtype, gqa in (("bf16", 8), ("fp16", 1)) for d in (128, 64)
              for mask in ("causal", "none")]
    return cells + [forward_cell("bf16", d, mask, 512, 1) for d in (128, 64) for mask in ("causal", "none")]


def tiny_benchmark():
    """What the simulated GPU computes in a moment."""
    return [dict(forward_cell("bf16", 64, mask, 128, 1), batch=1, heads_q=2, heads_kv=kv)
            for mask, kv in (("causal", 2), ("none", 2), ("causal", 1))]


def cell_name(cell):
    s = cell["spec"]
    dims = f"d{s['head_dim_qk']}" if s["head_dim_qk"] == s["head_dim_v"] else f"d{s['head_dim_qk']}/{s['head_dim_v']}"
    group = cell["heads_q"] // cell["heads_kv"]
    return (f"{cell['op']} {s['dtype']} {dims} {'full' if s['mask'] == 'none' else s['mask']} {cell['length_q']} "
            f"b{cell['batch']} h{cell['heads_q']}{f'/{cell_kv(cell)}' if group > 1 else ''}")


def cell_kv(cell):
    return cell["heads_kv"]


def flops(cell):
    """2 B H Lq Lkv (d_qk + d_v), half of it for causal, 2.5 times for backward."""
    s = cell["spec"]
    count = 2.0 * cell["batch"] * cell["heads_q"] * cell["length_q"] * cell["length_kv"] * (s["head_dim_qk"] + s["head_dim_v"])
    count *= 0.5 if s["mask"] == "causal" else 1
    return count * (2.5 if cell["op"] == "backward" else 1)


# Sustained matrix rate of known GPUs by datasheet, dense 16-bit, and its exponential rate, in the units of the table.
KNOWN_GPUS = {  # name contains: (TFLOP/s of 16-bit matrices, ex2 a clock and multiprocessor)
    "H200": (989, 16), "H100": (989, 16), "A100": (312, 16), "A10": (125, 16), "L40": (181, 16), "4090": (165, 16),
}


def limit_tflops(gpu, multiprocessors, clock_khz, cell):
    """The lesser of the matrix limit and the exponential limit, in TFLOP/s; None for a GPU that is not known."""
    for part, (matrix, ex2) in KNOWN_GPUS.items():
        if part in gpu:
            s = cell["spec"]
            per_exp = 2 * (s["head_dim_qk"] + s["head_dim_v"])
            exponential = multiprocessors * ex2 * clock_khz * 1e3 * per_exp / 1e12
            return min(matrix, exponential)
    return None


# --- FlashAttention's first claims -------------------------------------------------------------------------------------
CLAIMS = {
    "speed": {"batch": 64, "heads": 16, "length": 1024, "head_dim": 64, "dtype": "fp16", "mask": "causal"},
    "memory": {"batch": 16, "heads": 8, "head_dim": 64, "dtype": "fp16",
               "lengths": [128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]},
    "long": {"batch": 1, "heads": 1, "head_dim": 64, "dtype": "fp16", "lengths": [262144, 1048576]},
}
