"""The device's approximate functions, asked for every argument that matters and written for the simulator."""
import time
from pathlib import Path

import numpy as np

from . import tables
from .job import workers
from .tables import Copy, Fixed
from .tensorcore import version_for

OCTAVE = 1 << 23
ONE = 0x3F800000
NEGATIVE = 0x80000000


def first_of(exponent, negative=False):
    """The bit pattern of +-2^exponent; -127 begins the subnormals."""
    return (exponent + 127 << 23) | (NEGATIVE if negative else 0)


def both(exponents):
    return [(e, sign) for sign in (False, True) for e in exponents]


def shifted(of_exponent, slope):
    """f(2^k x) = 2^(slope k) f(x): what rcp and its like do, if they do. Odd functions change sign with x."""
    def laws(exponent, negative):
        steps = exponent - of_exponent(exponent)
        return [Copy(first_of(of_exponent(exponent)), add=int(slope * steps * OCTAVE) + (NEGATIVE if negative else 0))]
    return laws


def periodic(exponent, negative):
    """2^x = 2^floor(x) 2^(x - floor(x)), the latter as in [1, 2). The device takes 23 fractional bits of x, rounded down in
    size; of a negative one it takes the ones' complement (or, another device, the two's)."""
    scale, shift = 1 << max(exponent, 0), max(-exponent, 0)
    if not negative:
        return [Copy(ONE, scale, (scale - (1 << shift)) * OCTAVE, step=OCTAVE, shift=shift)] if exponent else []
    return [Copy(ONE, -scale, -(scale + (1 << shift)) * OCTAVE - below, step=OCTAVE, shift=shift) for below in (1, 0)]


def logarithm(exponent, negative):
    """log2(2^k x) = k + log2(x) in 23 fractional bits, the latter as in [2, 4); a negative sum by the ones' complement."""
    if exponent in (-1, 0, 1):  # around 1 there are more bits
        return []
    return [Fixed(first_of(1), add=(exponent - 1) * OCTAVE + below) for below in ((1, 0) if exponent < 0 else (0,))]


def odd(exponent, negative):
    return [Copy(first_of(exponent), add=NEGATIVE)] if negative else []


def even(exponent, negative):
    return [Copy(first_of(exponent))] if negative else []


# opcode, register type, the octaves that are needed (the first ones are what others may be copies of), laws. What is not
# listed keeps the stand-in: arguments beyond are nowhere in attention, or give 0, 1, infinity or NaN as they must.
EX2 = [(0, False)] + [(e, sign) for sign in (True, False) for e in (*range(1, 8), *range(-1, -27, -1)) if e != 0] + [(0, True)]
RCP = [(0, False)] + both([e for e in range(-126, 128) if e != 0]) + [(0, True)]
SQRT = [(0, False), (1, False)] + [(e, False) for e in range(-126, 128) if e not in (0, 1)]
LG2 = [(e, False) for e in (1, 0, *range(2, 32))] + [(e, False) for e in range(-1, -25, -1)]
TANH = both([*range(-1, -16, -1), *range(4)])
SINE = both(range(-14, 4))
FUNCTIONS = [
    ("ex2.approx.ftz.f32", EX2, periodic),
    ("rcp.approx.ftz.f32", RCP, shifted(lambda e: 0, -1)),
    ("lg2.approx.ftz.f32", LG2, logarithm),
    ("ex2.approx.f16", "half", None),
    ("ex2.approx.ftz.bf16", "half", None),
    ("tanh.approx.f16", "half", None),
    ("tanh.approx.bf16", "half", None),
    ("tanh.approx.f32", TANH, odd),
    ("ex2.approx.f32", EX2, periodic),
    ("rcp.approx.f32", RCP, shifted(lambda e: 0, -1)),
    ("lg2.approx.f32", LG2, logarithm),
    ("rsqrt.approx.ftz.f32", SQRT, shifted(lambda e: e % 2, -0.5)),
    ("sqrt.approx.ftz.f32", SQRT, shifted(lambda e: e % 2, 0.5)),
    ("rsqrt.approx.f32", SQRT, shifted(lambda e: e % 2, -0.5)),
    ("sqrt.approx.f32", SQRT, shifted(lambda e: e % 2, 0.5)),
    ("sin.approx.ftz.f32", SINE, odd),
    ("cos.approx.ftz.f32", SINE, even),
    ("sin.approx.f32", SINE, odd),
    ("cos.approx.f32", SINE, even),
]
NEEDED = 8  # so many of them before a short run ends
MOST_BYTES = 8 << 20  # of the file; an H100's first three functions take 1 MB

HEAD = """.version {version}
.target {target}
.address_size 64
"""
WORD_ENTRY = """
.visible .entry {name}(.param .u64 out, .param .u32 first)
{{
  .reg .b32 %i, %x, %y, %c, %n;
  .reg .b64 %a, %o;
  ld.param.u64 %a, [out];
  ld.param.u32 %x, [first];
  mov.u32 %c, %ctaid.x;
  mov.u32 %n, %ntid.x;
  mov.u32 %i, %tid.x;
  mad.lo.u32 %i, %c, %n, %i;
  add.u32 %x, %x, %i;
{body}
  mul.wide.u32 %o, %i, 4;
  add.u64 %a, %a, %o;
  st.global.b32 [%a], %y;
  ret;
}}
"""
HALF_BODY = """  {{
  .reg .b16 %h;
  cvt.u16.u32 %h, %x;
  {opcode} %h, %h;
  cvt.u32.u16 %y, %h;
  }}"""


def entry_name(opcode):
    return opcode.replace(".", "_")


def exists(opcode, capability):
    return capability >= 90 or not opcode.endswith("bf16")


def ptx(capability):
    """One module with an entry a function: out[i] = f(first + i)."""
    text = HEAD.format(target=f"sm_{capability}", version=version_for(f"sm_{capability}"))
    for opcode, octaves, _ in FUNCTIONS:
        if not exists(opcode, capability):
            continue
        body = HALF_BODY.format(opcode=opcode) if octaves == "half" else f"  {opcode} %y, %x;"
        text += WORD_ENTRY.format(name=entry_name(opcode), body=body)
    return text


class Prober:
    """Asks the device; `n` arguments at a time."""

    def __init__(self, job, capability):
        self.driver = job.driver
        self.module = self.driver.load(ptx(capability), "approx.ptx")
        self.address = self.driver.alloc(4 * OCTAVE)

    def values(self, opcode, first, n):
        kernel = self.driver.kernel(self.module, entry_name(opcode))
        params = np.array([self.address], np.uint64).tobytes() + np.array([first, 0], np.uint32).tobytes()
        threads = min(256, n)
        kernel.launch((n // threads, 1, 1), (threads, 1, 1), params[:12])
        out = np.empty(n, np.uint32)
        self.driver.copy_out(out, self.address)
        return out

    def close(self):
        self.driver.free(self.address)


def ranges_of(octaves, log2):
    """(first argument, size, exponent, sign) of what is asked. A test asks for the first 2^log2 of each octave."""
    if octaves == "half":
        return [(0, 1 << 16, None, None)]
    return [(first_of(e, negative), 1 << log2, e, negative) for e, negative in octaves]


def dump(job, opcode, octaves, laws, prober, log2, pool, room):
    """A Function of at most about `room` bytes, and which ranges there was no time or no room for."""
    function = tables.Function(opcode, 16 if octaves == "half" else 32)
    left, todo = [], ranges_of(octaves, log2)
    pending = []
    for number, (first, n, exponent, negative) in enumerate(todo):
        if job.late(5) or function.size() > room:
            left.append(f"{opcode} from {first:#010x}" + ("" if job.late(5) else " (the file is full)"))
            continue
        values = prober.values(opcode, first, n)
        # Laws hold between whole octaves; of a part of one, only the laws that keep the place in it.
        possible = [law for law in (laws(exponent, negative) if laws else []) if n == OCTAVE or (law.scale, law.shift) == (1, 0)]
        if number < 2 or any(law.of not in function.bases for law in possible):
            for task in pending:
                task.result()
            pending = []
            function.add(first, values, possible)
        else:
            pending.append(pool.submit(function.add, first, values, possible))
            if len(pending) > 32:
                pending.pop(0).result()
    for task in pending:
        task.result()
    return function, left


def unsteady(function, prober):
    """Where the device gives two values for one argument: a table of it would be wrong."""
    wrong = []
    for piece in function.finished()[:: max(1, len(function.pieces) // 8)]:
        n = min(1 << piece.log2, 1 << 12)
        if (prober.values(function.opcode, piece.first, n) != prober.values(function.opcode, piece.first, n)).any():
            wrong.append(f"{function.opcode} at {piece.first:#x}: the device gives two values")
    return wrong


def run(job, capability):
    """Rows for the result; the file goes to the plan's `tables`."""
    log2 = 14 if job.tiny else 23
    functions = []
    listed = [one for one in (FUNCTIONS[:NEEDED] if job.quick else FUNCTIONS) if exists(one[0], capability)]
    if job.tiny:
        listed = [(o, octaves if octaves == "half" else octaves[:3] + octaves[-1:], laws) for o, octaves, laws in FUNCTIONS[:4]]
    prober, size = Prober(job, capability), 0
    with workers() as pool:
        for opcode, octaves, laws in listed:
            name = f"dump {opcode}"
            if not job.wanted(name):
                continue
            if job.late(8) or size > MOST_BYTES:
                job.unfinished([name + (" (the file is full)" if size > MOST_BYTES else "")])
                continue
            begun = time.time()
            job.begin(name)
            function, left = dump(job, opcode, octaves, laws, prober, log2, pool, MOST_BYTES - size)
            wrong = unsteady(function, prober)
            functions.append(function)
            size += function.size()
            kinds = [sum(piece.kind == kind for piece in function.pieces) for kind in range(4)]
            asked = sum(1 << piece.log2 for piece in function.pieces)
            job.add(name, {"name": name, "status": "failed" if wrong else "passed", "why": "; ".join(wrong),
                           "arguments": asked, "bytes": function.size(), "constant_ranges": kinds[0],
                           "copied_ranges": kinds[1] + kinds[3], "own_ranges": kinds[2], "seconds": round(time.time() - begun, 2)})
            job.unfinished(left)
            save(job, functions, capability)
    prober.close()


def save(job, functions, capability):
    machine = job.plan["machine"]
    path = Path(job.plan["tables"])
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    size = tables.write(fresh, functions, machine["gpu"], str(machine["driver"]), "attune accept, tables 2", capability)
    fresh.replace(path)
    job.fact("tables", {"file": path.name, "bytes": size, "functions": [function.opcode for function in functions]})
