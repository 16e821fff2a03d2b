"""two_dots.py PTX PREFIX: runs the kernel `two` of two-dots.mlir on the simulator, on small whole numbers, and compares
O with Q K0^T - Q K1^T."""
import random
import struct
import subprocess
import sys

ptx, prefix = sys.argv[1:]
random.seed(1)


def bf16(x):
    return struct.unpack("<I", struct.pack("<f", x))[0] >> 16


def save(name, rows):
    path = f"{prefix}.{name}.npy"
    header = f"{{'descr': '<u2', 'fortran_order': False, 'shape': ({len(rows)}, 16), }}".encode()
    header += b" " * (118 - len(header) - 1) + b"\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        file.write(b"".join(struct.pack("<H", bf16(x)) for row in rows for x in row))
    return path


q = [[random.randint(-2, 2) for _ in range(16)] for _ in range(16)]
k = [[random.randint(-2, 2) for _ in range(16)] for _ in range(32)]
out = f"{prefix}.o.npy"
strides = lambda rows: f"s64:{16 * rows},s64:{16 * rows},s64:16"
arguments = f"{{in:{save('q', q)},{strides(16)},in:{save('k', k)},{strides(32)},out:{out}:u16[16,16],{strides(16)},s32:16,s32:32}}"
subprocess.run(["attune", "sim", ptx, "--entry", "two", "--block", "32", "--smem", "4096", "--arg", arguments],
               check=True)
got = struct.unpack("<256H", open(out, "rb").read()[-512:])
dot = lambda a, b: sum(x * y for x, y in zip(a, b))
for row in range(16):
    for column in range(16):
        wanted = dot(q[row], k[column]) - dot(q[row], k[16 + column])
        assert got[16 * row + column] == bf16(wanted), (row, column, wanted, hex(got[16 * row + column]))
assert any(dot(q[0], k[c]) != dot(q[0], k[16 + c]) for c in range(16))
