"""Arrays of sinks, and what runs made of them. Written without NumPy: a .npy header and little-endian floats."""
import math
import struct
import sys

folder = sys.argv[1]


def write(name, values):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }" % len(values)
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    with open(f"{folder}/{name}", "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        file.write(struct.pack(f"<{len(values)}f", *values))


def read(name, code):
    data = open(f"{folder}/{name}", "rb").read()
    body = data[10 + struct.unpack("<H", data[8:10])[0] :]
    return struct.unpack(f"<{len(body) // struct.calcsize(code)}{code}", body)


if sys.argv[2:] == ["check"]:
    lse = read("great.lse.npy", "f")
    heads = [lse[i * 70 : (i + 1) * 70] for i in range(4)]
    assert all(abs(value - 1e4) < 1e-2 for value in heads[0]), heads[0]
    assert all(value == math.inf for value in heads[1]), heads[1]
    assert all(0 < value < 20 for value in heads[2] + heads[3])
    out = read("great.o.npy", "H")
    rows = [out[i : i + 64] for i in range(0, len(out), 64)]  # (row, head)
    assert all(value & 0x7FFF == 0 for i, row in enumerate(rows) if i % 4 < 2 for value in row)
    assert any(value & 0x7FFF for i, row in enumerate(rows) if i % 4 >= 2 for value in row)
else:
    write("none.npy", [-math.inf] * 4)
    write("great.npy", [1e4, math.inf, 0.5, -3.0])
