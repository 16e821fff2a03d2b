"""The file of a device's approximate functions: simulator/Tables.h describes it. Here it is written.

A range of 2^n arguments becomes a constant, a copy of another range by a law, or blocks of quadratics in integers with
what they miss as residuals: whatever the device does is kept to the bit, and what it does smoothly costs little. Data
that several functions share stands in the file once."""
import struct
import zlib

import numpy as np

MAGIC, VERSION = b"ATTUNETB", 2
CONSTANT, COPY, QUADRATIC, FIXED = 0, 1, 2, 3
FRACTION = 23  # bits of the numbers that a FIXED piece adds
WIDTHS = (0, 2, 4, 8, 16, 32)
LEAST = 12  # ranges are not cut below 2^LEAST arguments


def text(value):
    data = value.encode()
    return struct.pack("<I", len(data)) + data


class Piece:
    def __init__(self, first, log2, kind, **fields):
        self.first, self.log2, self.kind = first, log2, kind
        self.block = self.width = self.word = self.scale = self.offset = self.step = self.add = self.raw_bytes = 0
        self.exceptions, self.packed = 0, b""
        self.__dict__.update(fields)

    def record(self, data_offset):
        head = struct.pack("<IBBBBI", self.first, self.kind, self.log2, self.block, self.width, self.word)
        if self.kind in (COPY, FIXED):
            return head + struct.pack("<qqIII", self.scale, self.offset, self.step, self.add, 0)
        if self.kind == QUADRATIC:
            return head + struct.pack("<QIII8x", data_offset, len(self.packed), self.raw_bytes, self.exceptions)
        return head + bytes(28)


class Copy:
    """A law: argument first + i of a range has the value of range `of` (by its first argument) at j mod N, plus
    (j div N) * step + add, where j = (scale * i + offset) >> shift."""
    kind = COPY

    def __init__(self, of, scale=1, offset=0, step=0, add=0, shift=0):
        self.of, self.scale, self.offset, self.step, self.add, self.shift = of, scale, offset, step, add & 0xFFFFFFFF, shift

    def values(self, base, n):
        j = (self.scale * np.arange(n, dtype=np.int64) + self.offset) >> self.shift
        log2 = len(base).bit_length() - 1
        return self.sum(base[j & (len(base) - 1)], (j >> log2) * self.step + self.add)

    @staticmethod
    def sum(words, more):
        return (words.astype(np.int64) + more).astype(np.uint32)


class Fixed(Copy):
    """The same, but what is added are numbers with 23 fractional bits: the value, rounded down to one, and the sum of
    the others. The total is rounded toward zero to f32."""
    kind = FIXED

    @staticmethod
    def sum(words, more):
        number = np.floor(words.view(np.float32).astype(np.float64) * (1 << FRACTION)).astype(np.int64)
        number += more.astype(np.uint32).view(np.int32)
        size = np.abs(number)
        beyond = np.maximum(np.frexp(size.astype(np.float64))[1] - 24, 0)  # bits that an f32 has no room for
        kept = (size >> beyond << beyond).astype(np.float64) * np.sign(number) / (1 << FRACTION)
        return kept.astype(np.float32).view(np.uint32)


def quadratics(y, log2, block):
    """Per block the best y, c0, c1, c2, and what they miss, as int32."""
    rows = y.reshape(-1, 1 << block)
    delta = (rows.astype(np.int64) - rows[:, :1].astype(np.int64)).astype(np.int32).astype(np.float64)
    x = np.arange(1 << block, dtype=np.float64)
    fit = np.linalg.pinv(np.stack([np.ones_like(x), x, x * x], 1)) if block >= 2 else None
    if fit is None:
        c = np.zeros((len(rows), 3), np.int64)
    else:
        c = np.rint(np.clip((delta @ fit.T) * 2.0 ** 32, -2.0 ** 62, 2.0 ** 62)).astype(np.int64)
    c[:, 0] += np.int64(1) << 31  # the shift below rounds down
    i = np.arange(1 << block, dtype=np.int64)
    with np.errstate(over="ignore"):
        predicted = rows[:, :1].astype(np.int64) + ((c[:, :1] + c[:, 1:2] * i + c[:, 2:] * (i * i)) >> 32)
        missed = (rows.astype(np.int64) - predicted).astype(np.uint32).view(np.int32)
    return rows[:, 0].copy(), c, missed.reshape(-1)


def pack_residuals(missed, width):
    """(bits, places of exceptions)."""
    if width == 0:
        return b"", np.flatnonzero(missed)
    if width == 32:
        return missed.astype("<i4").tobytes(), np.zeros(0, np.int64)
    most = (1 << (width - 1)) - 1
    beyond = np.flatnonzero((missed > most) | (missed < -most))
    code = missed.copy()
    code[beyond] = 1 << (width - 1)
    if width >= 8:
        return code.astype(np.uint8 if width == 8 else "<u2").tobytes(), beyond
    code = (code & ((1 << width) - 1)).astype(np.uint8)
    per = 8 // width
    code = code.reshape(-1, per)
    byte = np.zeros(len(code), np.uint8)
    for n in range(per):
        byte |= code[:, n] << (n * width)
    return byte.tobytes(), beyond


def quadratic_piece(first, y):
    """The cheapest of a few block sizes."""
    log2, best = len(y).bit_length() - 1, None
    for block in (13, 10, 8, 6, 3):
        block = min(block, max(log2 - 2, 0))
        y0, c, missed = quadratics(y, log2, block)
        size = np.abs(missed.astype(np.int64))
        # Enough bits for all but a few in ten thousand.
        width = next((w for w in WIDTHS if w == 32 or np.count_nonzero(size > ((1 << w) >> 1) - (w > 0)) <= len(y) // 5000),
                     32)
        bits, beyond = pack_residuals(missed, width)
        if width == 0 and len(beyond):
            width = 2
            bits, beyond = pack_residuals(missed, width)
        raw = (y0.astype("<u4").tobytes() + b"".join(np.ascontiguousarray(c[:, n]).astype("<i8").tobytes() for n in range(3))
               + bits + beyond.astype("<u4").tobytes() + y[beyond].astype("<u4").tobytes())
        packed = zlib.compress(raw, 6)
        if best is None or len(packed) < len(best.packed):
            best = Piece(first, log2, QUADRATIC, block=block, width=width, raw_bytes=len(raw), exceptions=len(beyond),
                         packed=packed)
        if len(best.packed) * 8 < len(y) // 4 or log2 <= block:
            break  # a quarter of a bit an argument: a finer cut gains little
    return best


class Function:
    """One opcode's dump in the making: ranges are added in any order, each a power of two long."""

    def __init__(self, opcode, bits=32):
        self.opcode, self.bits, self.pieces, self.bases = opcode, bits, [], {}

    def add(self, first, y, laws=()):
        """The values from argument `first` on. `laws`: copies that may hold; each is verified on every argument."""
        y = np.ascontiguousarray(y, np.uint32)
        guesses = [(law, law.values(self.bases[law.of], len(y)) == y) for law in laws if law.of in self.bases]
        whole = len(self.pieces)
        self._cut(first, y, guesses, 0, len(y))
        if len(self.pieces) == whole + 1 and self.pieces[-1].kind in (CONSTANT, QUADRATIC):
            self.bases[first] = y

    def _cut(self, first, y, guesses, lo, n):
        part = y[lo:lo + n]
        log2 = n.bit_length() - 1
        if (part == part[0]).all():
            self.pieces.append(Piece(first + lo, log2, CONSTANT, word=int(part[0])))
            return
        for law, good in guesses:
            if good[lo:lo + n].all():
                self.pieces.append(Piece(first + lo, log2, law.kind, word=law.of, scale=law.scale, block=law.shift,
                                         offset=law.offset + law.scale * lo, step=law.step, add=law.add))
                return
        if log2 > LEAST and self._worth(y, guesses, lo, n):
            self._cut(first, y, guesses, lo, n // 2)
            self._cut(first, y, guesses, lo + n // 2, n // 2)
            return
        whole = quadratic_piece(first + lo, part)
        if log2 > LEAST and whole.width >= 16:  # an exponent changes inside: no quadratic spans that
            pieces, self.pieces = self.pieces, []
            self._cut(first, y, guesses, lo, n // 2)
            self._cut(first, y, guesses, lo + n // 2, n // 2)
            pieces, self.pieces = self.pieces, pieces
            if sum(40 + len(piece.packed) for piece in pieces) < len(whole.packed) * 9 // 10:
                self.pieces += pieces
                return
        self.pieces.append(whole)

    @staticmethod
    def _worth(y, guesses, lo, n):
        """Whether an eighth of the least ranges are constants or copies: a law may fail at few arguments, integers say."""
        size = 1 << LEAST
        rows = y[lo:lo + n].reshape(-1, size)
        fits = (rows == rows[:, :1]).all(1)
        for _, good in guesses:
            fits |= good[lo:lo + n].reshape(-1, size).all(1)
        return fits.mean() >= 1 / 8

    def finished(self):
        """Pieces in order, copies by the numbers of their pieces."""
        order = sorted(self.pieces, key=lambda piece: piece.first)
        number = {piece.first: n for n, piece in enumerate(order)}
        for piece in order:
            if piece.kind in (COPY, FIXED):
                piece.number = number[piece.word]
        return order

    def size(self):
        return sum(40 + len(piece.packed) for piece in self.pieces)


def write(path, functions, gpu, driver, maker, capability):
    records, data, places = [], [], {}
    at = 0
    head = [struct.pack("<I", capability), text(gpu), text(driver), text(maker), struct.pack("<I", len(functions))]
    for function in functions:
        order = function.finished()
        records.append(text(function.opcode) + struct.pack("<II", function.bits, len(order)))
        for piece in order:
            if piece.kind in (COPY, FIXED):
                fields = {key: getattr(piece, key) for key in ("scale", "offset", "step", "add", "block")}
                piece = Piece(piece.first, piece.log2, piece.kind, **fields, word=piece.number)
            if piece.packed not in places:
                places[piece.packed] = at
                data.append(piece.packed)
                at += len(piece.packed)
            records.append(piece.record(places[piece.packed]))
    body = b"".join(head + records + data)
    path.write_bytes(MAGIC + struct.pack("<IIQ", VERSION, zlib.crc32(body), len(body)) + body)
    return len(body)
