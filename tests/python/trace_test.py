"""Python functions as expressions."""
import math
import unittest

import numpy as np

import attune
from attune._expression import axes_of, compute, parse, text_of
from attune._trace import Captures, trace

TABLE = np.arange(12, dtype=np.int32).reshape(3, 4)
WIDTH = 9


def later(b, h, q, kv):
    return q > kv + WIDTH


class Tracing(unittest.TestCase):
    def traced(self, function, role="mask"):
        captures = Captures()
        tree, conditions = trace(function, role, captures)
        return [text_of(tree), *map(text_of, conditions)], captures

    def test_text(self):
        limit, slopes = np.array(5), np.zeros(8, np.float32)
        for expected, function in (
            ("kv <= q && q - kv < 4096", lambda b, h, q, kv: (kv <= q) & (q - kv < 4096)),
            ("!(q == kv) || q % 4 == 0", lambda b, h, q, kv: ~(q == kv) | (q % 4 == 0)),
            ("kv <= q != (h == 0)", lambda b, h, q, kv: (kv <= q) ^ (h == 0)),
            ("TABLE[b, q / 16] > 3", lambda b, h, q, kv: TABLE[b, q // 16] > 3),
            ("TABLE[b, kv] == TABLE[b, q]", lambda b, h, q, kv: TABLE[b][kv] == TABLE[b, q]),
            ("q > kv + 9", later),
            ("q + 1 > kv + 9", lambda b, h, q, kv: later(b, h, q + 1, kv)),
            ("kv < 5", lambda b, h, q, kv: kv < limit),
            ("kv < 12", lambda b, h, q, kv: kv < TABLE.shape[0] * TABLE.shape[1]),
            ("abs(q - kv) <= 3", lambda b, h, q, kv: abs(q - kv) <= 3),
            ("(q << 2 & 7) != 0", lambda b, h, q, kv: (q << 2) & 7),
            ("(q > kv ? h : b) == 0", lambda b, h, q, kv: np.where(q > kv, h, b) == 0),
            ("-2147483647 - 1 < q", lambda b, h, q, kv: np.less(-2**31, q)),
            ("true", lambda b, h, q, kv: True),
        ):
            with self.subTest(expected):
                text = self.traced(function)[0][0]
                self.assertEqual(text, expected)
                self.assertEqual(text_of(parse(text)), text)
        for expected, function in (
            ("score + slopes[h] * float(kv - q)", lambda s, b, h, q, kv: s + slopes[h] * (kv - q)),
            ("float(q) / float(kv)", lambda s, b, h, q, kv: q / kv),
            ("exp2(float(h + 1) * -1.0) * score", lambda s, b, h, q, kv: 0.5 ** (h + 1) * s),
            ("score * score", lambda s, b, h, q, kv: s**2),
            ("min(max(score, -1.5), 2.0)", lambda s, b, h, q, kv: np.clip(s, -1.5, 2)),
            ("score + float(int(q > kv))", lambda s, b, h, q, kv: s + (q > kv)),
            ("2.0 - (score - 1.0)", lambda s, b, h, q, kv: 2 - (s - 1)),
        ):
            with self.subTest(expected):
                text = self.traced(function, "score")[0][0]
                self.assertEqual(text, expected)
                self.assertEqual(text_of(parse(text)), text)

    def test_minus_infinity(self):
        self.assertEqual(self.traced(lambda s, b, h, q, kv: np.where(q >= kv, s, -np.inf), "score")[0], ["score", "q >= kv"])
        self.assertEqual(self.traced(lambda s, b, h, q, kv: np.where(q < kv, -math.inf, s * 2), "score")[0],
                         ["score * 2.0", "!(q < kv)"])

    def test_names(self):
        q_ = np.zeros(3)

        def mask(b, h, q, kv, lse=TABLE, again=TABLE):  # lse is what an argument of every kernel is called
            return (lse[b, kv] == again[b, q]) | (q_[b] > 0)

        text, captures = self.traced(mask)
        self.assertEqual(text, ["lse_[b, kv] == lse_[b, q] || q_[b] > 0.0"])
        self.assertEqual(list(captures.arrays), ["lse_", "q_"])

    def test_what_changed_is_seen(self):
        width = 3
        mask = lambda b, h, q, kv: abs(q - kv) < width  # noqa: E731
        for width in (3, 9):
            self.assertEqual(self.traced(mask)[0], [f"abs(q - kv) < {width}"])

    def test_axes(self):
        extents = {"b": 2, "h": 8, "hkv": 4, "q": 40, "kv": 40}
        for text, shape, expected in (("x[b, q] == x[b, kv]", (2, 40), ["b", "kv"]), ("x[kv] > 0", (40,), ["kv"]),
                                      ("x[h / 2] > 0", (4,), ["hkv"]), ("x[min(q - kv, 31), h] > 0", (32, 8), ["32", "h"]),
                                      ("x[b, 0] > 0", (2, 40), ["b", "40"])):
            self.assertEqual(axes_of([parse(text)], "x", shape, extents), expected)

    def test_refusals_are_at_the_users_line(self):
        attribute = type("Holder", (), {"table": TABLE})
        for words, function in (
            ("got one of q > kv (write &, |, ~ and where()", lambda b, h, q, kv: q > kv and q < 3),
            ("got one of kv < q", lambda b, h, q, kv: 0 < kv < q),
            ("got score (functions of it", lambda s, b, h, q, kv: math.exp(s)),
            ("got sin", lambda s, b, h, q, kv: np.sin(s)),
            ("expected 2 indices of array 'TABLE', got none", lambda b, h, q, kv: TABLE > q),
            ("expected 2 indices of array 'TABLE', got 1", lambda b, h, q, kv: TABLE[q] > 0),
            ("expected at most 2 indices of array 'TABLE', got 3", lambda b, h, q, kv: TABLE[q, q, q] > 0),
            ("as an index of array 'TABLE', got slice", lambda b, h, q, kv: TABLE[q, :] > 0),
            ("expected whole numbers for '%', got score", lambda s, b, h, q, kv: s % 2),
            ("expected a whole number of 32 bits, got 4294967296", lambda b, h, q, kv: q < 2**32),
            ("that is known before the kernel runs, got q", lambda b, h, q, kv: attribute.table[q, 0] > 0),
            ("expected a function of numbers, got .cumsum", lambda b, h, q, kv: q.cumsum(0) > 0),
        ):
            with self.subTest(words):
                role = "score" if function.__code__.co_argcount == 5 else "mask"
                try:
                    self.fail(f"expected an error, got {self.traced(function, role)[0]}")
                except attune.TraceError as caught:
                    error = caught
                place = f"{__file__}:{function.__code__.co_firstlineno}: error: "
                self.assertTrue(str(error).startswith(place), str(error))
                self.assertIn(words, str(error))
                last = error.__traceback__
                while last.tb_next:
                    last = last.tb_next
                self.assertIs(last.tb_frame.f_code, function.__code__)
        for words, function in (("expected a mask function of (b, h, q, kv)", lambda q, kv: q >= kv),
                                ("expected a mask function to give a condition, got NoneType", lambda b, h, q, kv: None)):
            with self.assertRaisesRegex(attune.TraceError, "trace_test.py:[0-9]+: error: " + words.replace("(", r"\(").replace(")", r"\)")):
                self.traced(function)
        with self.assertRaisesRegex(attune.TraceError, "expected finite numbers"):
            self.traced(lambda s, b, h, q, kv: np.where(s > 0, s, -np.inf), "score")

    def test_values(self):
        """What an expression means to NumPy: with the language's division, and its clamped indices."""
        place = dict(zip(("b", "h", "q", "kv"), np.ogrid[:2, :3, :5, :7]))
        place.update(score=np.float32(0.5), len_q=5, len_kv=7)
        q, kv = place["q"], place["kv"]
        for text, expected in (("(q - 3) / 2", (q - 3) // 2), ("q % kv", np.where(kv == 0, 0, q % np.maximum(kv, 1))), ("x[q]", np.array([10, 20, 30])[np.minimum(q, 2)]),
                               ("q > kv ? 1 : -1", np.where(q > kv, 1, -1)), ("min(q, kv, 3)", np.minimum(np.minimum(q, kv), 3)),
                               ("sigmoid(score) * 2.0", 2 / (1 + np.exp(-0.5))), ("q < 3 && !(kv == 1)", (q < 3) & (kv != 1)), ("1 << 33", 2)):
            with self.subTest(text):
                np.testing.assert_allclose(compute(parse(text), np, place, {"x": np.array([10, 20, 30])}), expected, rtol=1e-6)


if __name__ == "__main__":
    unittest.main()
