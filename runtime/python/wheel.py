#!/usr/bin/env python3
"""Makes the wheel: the package, the library and the command, for every Python from 3.9 on.

usage: wheel.py --library LIBATTUNE_SO --command ATTUNE --version VERSION -o FOLDER

Binaries go in stripped. The tag says which glibc they need: that of the machine they were built on. The same binaries give
the same bytes.
"""
import argparse
import base64
import hashlib
import os
import subprocess
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MOST_BYTES = 60_000_000
METADATA = """Metadata-Version: 2.1
Name: attune
Version: {version}
Summary: Attention kernels that are generated, tuned and checked
License: Apache-2.0 WITH LLVM-exception
Requires-Python: >=3.9
Provides-Extra: numpy
Requires-Dist: numpy; extra == "numpy"
Requires-Dist: ml_dtypes; extra == "numpy"
Description-Content-Type: text/markdown

{description}"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--command", type=Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    version = arguments.version
    tag = "py3-none-manylinux_{}_{}_x86_64".format(*os.confstr("CS_GNU_LIBC_VERSION").split()[1].split(".")[:2])
    info = f"attune-{version}.dist-info"
    files = {f"attune/{path.relative_to(HERE / 'attune')}": (path.read_bytes(), 0o644)
             for path in sorted((HERE / "attune").rglob("*")) if path.suffix in (".py", ".typed")}
    files["attune/_version.py"] = (f'__version__ = "{version}"\n'.encode(), 0o644)
    files["attune/lib/libattune.so"] = (stripped(arguments.library), 0o755)
    files[f"attune-{version}.data/scripts/attune"] = (stripped(arguments.command), 0o755)
    description = (ROOT / "docs/python.md").read_text()
    files[f"{info}/METADATA"] = (METADATA.format(version=version, description=description).encode(), 0o644)
    files[f"{info}/WHEEL"] = (f"Wheel-Version: 1.0\nGenerator: attune\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(), 0o644)
    files[f"{info}/LICENSE"] = ((ROOT / "LICENSE").read_bytes(), 0o644)
    record = "".join(f"{name},sha256={digest(data)},{len(data)}\n" for name, (data, _) in files.items())
    files[f"{info}/RECORD"] = (f"{record}{info}/RECORD,,\n".encode(), 0o644)

    arguments.output.mkdir(parents=True, exist_ok=True)
    wheel = arguments.output / f"attune-{version}-{tag}.whl"
    made = wheel.with_suffix(".new")
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, (data, mode) in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr, entry.compress_type = (0o100000 | mode) << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    size = made.stat().st_size
    if size > MOST_BYTES:
        made.unlink()
        raise SystemExit(f"wheel.py: error: expected a wheel of at most {MOST_BYTES} bytes, got {size}")
    made.rename(wheel)
    print(f"{wheel}, {size / 1e6:.1f} MB")


def stripped(binary):
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(["strip", "-o", file.name, binary.resolve()], check=True)
        return Path(file.name).read_bytes()


def digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


main()
