"""row_bits.py FOLDER: the bits of one sequence's rows, computed alone and in company."""
import random
import struct
import subprocess
import sys

FOLDER, DIM, KEYS = sys.argv[1], 64, 200


def write(name, shape, values):
    """`values`: raw bf16, in the order (batch, length, heads, dim)."""
    header = f"{{'descr': '<V2', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    with open(f"{FOLDER}/{name}.npy", "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        file.write(struct.pack(f"<{len(values)}H", *values))


def normal(rows):
    return [[struct.unpack("<I", struct.pack("<f", random.gauss(0, 2)))[0] >> 16 for _ in range(DIM)] for _ in range(rows)]


def run(q, k, v, batch=1, heads=1):
    """The rows of O for (rows of Q, K and V), each repeated for every head and batch entry."""
    for name, rows in (("q", q), ("k", k), ("v", v)):
        one = [x for row in rows for x in row * heads]
        write(name, (batch, len(rows), heads, DIM), one * batch)
    subprocess.run(["attune", "run", "--head-dim", str(DIM), "--mask", "causal:bottom_right", "--batch-invariant",
                    "--device", "sim", "--check", "none", *sum(([f"--{n}", f"{FOLDER}/{n}.npy"] for n in "qkv"), []),
                    "--out", f"{FOLDER}/o.npy"], check=True, stdout=subprocess.DEVNULL)
    with open(f"{FOLDER}/o.npy", "rb") as file:
        data = file.read()
    data = data[10 + struct.unpack("<H", data[8:10])[0]:]
    size = DIM * 2
    return [data[i * heads * size:i * heads * size + size] for i in range(len(q))]


random.seed(3)
q, k, v = normal(64), normal(KEYS), normal(KEYS)
alone = run(q, k, v)
for what, got, expected in (("batch 16", run(q, k, v, batch=16), alone), ("heads 8", run(q, k, v, heads=8), alone),
                            ("last 8 rows", run(q[-8:], k, v), alone[-8:]),
                            ("last 33 rows", run(q[-33:], k, v), alone[-33:])):
    print(f"{what}: {'same bits' if got == expected else 'other bits'}")
