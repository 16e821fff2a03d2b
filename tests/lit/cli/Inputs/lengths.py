"""Lengths of six batch entries. Written without NumPy: a .npy header and little-endian numbers."""
import struct
import sys


def write(name, values):
    header = "{'descr': '<i4', 'fortran_order': False, 'shape': (%d,), }" % len(values)
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    with open(f"{sys.argv[1]}/{name}", "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        file.write(struct.pack(f"<{len(values)}i", *values))


write("keys.npy", [0, 1, 63, 65, 130, 999])
write("queries.npy", [70, 3, 64, 0, -1, 70])
