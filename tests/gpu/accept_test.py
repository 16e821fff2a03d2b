#!/usr/bin/env python3
"""The acceptance command without a GPU: the driver is the simulated one (to compute, or to record launches), peers are
numpy. Every part runs, the result is checked against its schema, and what must be found is found.

usage: accept_test.py --attune EXECUTABLE --driver LIBRARY [NAME...]"""
import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from fractions import Fraction
from pathlib import Path

try:
    import numpy as np
except ImportError:  # another Python than the distribution's may come first
    if sys.executable == "/usr/bin/python3" or not os.path.exists("/usr/bin/python3"):
        print("0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from accept import approx, arrays, cases, kernels, schema, tables, tensorcore  # noqa: E402

options = None


def accept(*more, out=None, environment=None, driver=None):
    """(exit status, result or None, text)."""
    command = [str(HERE / "accept.sh"), "--attune", options.attune, "--driver", driver or options.driver, *map(str, more)]
    if out:
        command += ["--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True,
                          env={**os.environ, "ATTUNE_PYTHON": sys.executable, **(environment or {})})
    result = json.loads(Path(out).read_text()) if out and Path(out).exists() else None
    return done.returncode, result, done.stdout + done.stderr


class Folder(unittest.TestCase):
    def setUp(self):
        self.held = tempfile.TemporaryDirectory(prefix="attune-accept-test-")
        self.addCleanup(self.held.cleanup)
        self.folder = Path(self.held.name)
        self.out = self.folder / "r.json"


class WholeRun(Folder):
    def test_every_part(self):
        status, result, text = accept("--tiny", "--quick", "--seconds", 900, "--peers", "test", out=self.out)
        self.assertEqual(status, 0, text)
        self.assertEqual(schema.check(result), [])
        self.assertTrue(result["sample"])
        parts = result["parts"]
        self.assertEqual({name: part["status"] for name, part in parts.items()},
                         {"probes": "passed", "correctness": "passed", "large-offsets": "passed", "benchmark": "passed",
                          "ceilings": "skipped", "claims": "skipped", "tune": "skipped", "sanitizer": "skipped"}, text)
        for row in parts["correctness"]["rows"]:
            if row["status"] == "passed":
                self.assertEqual(row["differs"], {})
                # The simulator had the dump of the probes before it.
                self.assertIn("as dumped from simulated GPU", " ".join(row["simulator_notes"]))
        self.assertGreater(parts["large-offsets"]["rows"][0]["elements_reached"], 1 << 31)
        for row in parts["benchmark"]["rows"]:
            names = {one["name"]: one for one in row["contestants"]}
            self.assertEqual(names["attune ptx"]["status"], "ok")
            self.assertEqual(names["numpy"]["status"], "ok")
            self.assertEqual(names["wrong numpy"]["status"], "wrong")
            self.assertEqual(names["broken numpy"]["why"], "RuntimeError: made to fail")
            self.assertGreaterEqual(len(names["attune ptx"]["samples_ms"]), 3)
        self.assertIn("absent", parts["benchmark"]["facts"]["peers_absent"])
        self.assertIn("broken numpy: failed in 3 cells", text)

    def test_without_dumped_tables(self):
        """The device and the simulator agree where no part before has dumped the approximate functions."""
        status, result, text = accept("--tiny", "--part", "correctness", "--only", "^bf16 d64 none lse", out=self.out)
        self.assertEqual(status, 0, text)
        rows = result["parts"]["correctness"]["rows"]
        self.assertEqual([(row["status"], row["differs"]) for row in rows], [("passed", {})] * 2)

    def test_hopper(self):
        """Kernels that read through tensor maps, which the driver encodes."""
        status, result, text = accept("--tiny", "--part", "benchmark", "--part", "large-offsets", "--quick", "--peers", "test",
                                      out=self.out, environment={"ATTUNE_SIMULATED_CAPABILITY": "90"})
        self.assertEqual(status, 0, text)
        rows = [row for row in result["parts"]["benchmark"]["rows"][0]["contestants"] if row["name"].startswith("attune")]
        self.assertEqual([(row["status"], row["schedule"]["family"]) for row in rows], [("ok", "hopper")] * 2)

    def test_sweeps(self):
        status, result, text = accept("--tiny", "--part", "tune", "--part", "large-offsets", out=self.out)
        self.assertEqual(status, 0, text)
        sweep = result["parts"]["tune"]["rows"][0]["result"]["sweeps"][0]
        self.assertEqual(sweep["kind"], "estimate")
        export = self.folder / result["parts"]["tune"]["facts"]["export"]
        self.assertEqual(json.loads(export.read_text())["attune_tuning"], 1)

    def test_sanitizer(self):
        """What its tools print, by one that prints it."""
        stand_in = self.folder / "compute-sanitizer"
        stand_in.write_text("""#!/bin/sh
case $2 in
memcheck) echo '========= ERROR SUMMARY: 0 errors' ;;
racecheck) echo '========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)'; exit 99 ;;
initcheck) echo '========= ERROR SUMMARY: 1 error'; exit 99 ;;
synccheck) echo '========= Error: Device not supported. Please refer to the documentation'; exit 1 ;;
esac
""")
        stand_in.chmod(0o755)
        status, result, text = accept("--part", "sanitizer", "--quick", out=self.out,
                                      environment={"PATH": f"{self.folder}:{os.environ['PATH']}"})
        self.assertEqual(status, 1, text)
        found = {row["tool"]: row["status"] for row in result["parts"]["sanitizer"]["rows"]}
        self.assertEqual(found, {"memcheck": "passed", "racecheck": "failed", "initcheck": "failed", "synccheck": "skipped"})
        self.assertEqual(schema.check(result), [])

    def test_report_of_a_sample(self):
        recorded = {"ATTUNE_SIMULATED_DRIVER": "record", "ATTUNE_SIMULATED_LOG": str(self.folder / "log")}
        results = self.folder / "results"
        results.mkdir()
        status, result, text = accept("--part", "benchmark", "--peers", "test", "--only", "bf16 d(64|128) full 16384 b1 h..?$",
                                      out=results / "r.json", environment=recorded)
        self.assertEqual(status, 0, text)
        rows = {row["name"]: row for row in result["parts"]["benchmark"]["rows"]}
        self.assertEqual(len(rows), 2)
        for row in rows.values():
            mine = next(one for one in row["contestants"] if one["name"] == "attune ptx")
            c = row["cell"]
            blocks = -(-c["length_q"] // mine["schedule"]["block_q"]) * c["heads_q"] * c["batch"]
            if mine["schedule"].get("grid"):  # a block computes several tiles
                blocks = min(blocks, result["machine"]["multiprocessors"])
            # The made-up clock: 1 us a launch and 10 ns a block.
            self.assertAlmostEqual(mine["median_ms"], 1e-3 + 1e-5 * blocks, places=5)
            self.assertEqual(len(mine["samples_ms"]), 20)
            launches = [line.split() for line in (self.folder / "log").read_text().splitlines()]
            timed = [line for line in launches if line[1] == f"{blocks},1,1"]
            self.assertGreaterEqual(len(timed), 23)  # three of them to warm up
            self.assertEqual(row["flops"], 4.0 * c["batch"] * c["heads_q"] * c["length_q"] ** 2 * c["spec"]["head_dim_qk"])
        copies = {name: self.folder / name for name in ("tables.md", "head.md")}
        copies["tables.md"].write_text("a\n<!-- report.py begins -->\n<!-- report.py ends -->\nb\n")
        copies["head.md"].write_text("<!-- report.py headline begins -->\nold\n<!-- report.py headline ends -->\n")

        def report(*more):
            return subprocess.run([sys.executable, str(HERE.parent / "perf" / "report.py"), "--results", str(results),
                                   "--charts", str(self.folder / "charts"), "--tables", str(copies["tables.md"]), "--headline",
                                   str(copies["head.md"]), *more], capture_output=True, text=True)
        refused = report()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("expected the result of a GPU, got a sample", refused.stderr)
        self.assertEqual(report("--samples", "--check").returncode, 1)
        self.assertEqual(report("--samples").returncode, 0)
        self.assertEqual(report("--samples", "--check").returncode, 0)
        for name in rows:
            self.assertIn(f"| {name} |", copies["tables.md"].read_text())
        self.assertIn("says nothing", copies["head.md"].read_text())
        charts = list((self.folder / "charts").glob("*.svg"))
        self.assertEqual(len(charts), 1)
        self.assertIn("attune ptx, 16k", charts[0].read_text())
        copies["tables.md"].write_text(copies["tables.md"].read_text().replace("numpy", "typed by hand"))
        self.assertEqual(report("--samples", "--check").returncode, 1)
        (results / "r.json").write_text("{}")
        self.assertIn("expected 'format', got none", report("--samples").stderr)
        (results / "r.json").unlink()
        self.assertEqual(report().returncode, 0)
        self.assertIn("No result of a GPU is stored yet", copies["head.md"].read_text())
        self.assertFalse((self.folder / "charts").exists())

    def test_sample_is_not_kept(self):
        status, _, text = accept("--part", "probes", out=HERE.parent / "perf" / "results" / "sample.json")
        self.assertEqual(status, 2, text)
        self.assertFalse((HERE.parent / "perf" / "results" / "sample.json").exists())


class Probes(Folder):
    def probe(self, actual, expected, only="m16n8k"):
        _, result, text = accept("--tiny", "--part", "probes", "--only", only, "--target-of-probes", actual, "--rule-of",
                                 expected, out=self.out)
        return {row["name"]: row for row in result["parts"]["probes"]["rows"]}, text

    def test_right_rules(self):
        for capability in (80, 89):
            rows, text = self.probe(capability, capability)
            self.assertEqual({row["status"] for row in rows.values()}, {"passed"}, text)
            self.assertEqual(len([name for name in rows if "e4m3" in name]), 2 if capability == 89 else 0)

    def test_wrong_rules_are_reported(self):
        for actual, expected, step in ((80, 90, "8"), (90, 80, "16")):
            rows, text = self.probe(actual, expected, "m16n8k16 bf16$")
            row = rows["m16n8k16 bf16"]
            self.assertEqual(row["status"], "failed")
            # Not only that it is wrong: which rule it is, and vectors that show it.
            self.assertEqual(row["fits"], [str(tensorcore.Rule(24 if actual == 80 else 25, int(step)))])
            self.assertIn("the device follows another rule", row["why"])
            example = row["counterexamples"][0]
            self.assertEqual(len(example["a"]), 16)
            self.assertNotEqual(example["device"], example["rule"])
            self.assertIn("FAILED m16n8k16 bf16", text)

    def test_what_contradicted_a_rule_is_explained(self):
        """Vectors by which a GPU contradicted the rule that was expected of it: today's rule gives what it gave."""
        count = 0
        for path in sorted((HERE.parent / "perf" / "results").glob("*.json")):
            result = json.loads(path.read_text())
            for row in result.get("parts", {}).get("probes", {}).get("rows", []):
                for one in row.get("counterexamples", []):
                    kind = next(kind for kind in tensorcore.MMA + tensorcore.WGMMA if kind[0] == row["name"])
                    _, _, _, k, element, accumulator, _ = kind
                    rule = tensorcore.expected(result["machine"]["compute_capability"], row["name"], element, accumulator, k)
                    a, b = (np.array([[int(x, 16) for x in one[name]]], np.uint32) for name in "ab")
                    got = tensorcore.model(rule, a, b, np.array([int(one["c"], 16)], np.uint32), element, accumulator)
                    self.assertEqual(hex(tensorcore.result_bits(got, accumulator)[0]), one["device"], row["name"])
                    count += 1
        self.assertGreater(count, 0)

    def test_model_against_fractions(self):
        """The vectors' model in plain rational numbers, written anew."""
        def value(bits, element):
            s, e, _ = (x.item() for x in tensorcore.decode(np.array([bits], np.uint32), element))
            return Fraction(s) * Fraction(2) ** (e - tensorcore.FORMATS[element][1]), e

        rng = np.random.default_rng(3)
        for element, k, rule in (("bf16", 16, tensorcore.Rule(24, 8)), ("f16", 16, tensorcore.Rule(25, 16)),
                                 ("e4m3", 32, tensorcore.Rule(13, 16, 13)), ("tf32", 8, tensorcore.Rule(25, 8))):
            a, b, c, _ = tensorcore.vectors(rng, 8, 16, k, element, "f32")
            left, right, addend = (np.ascontiguousarray(a[:, :1]).reshape(8, k), b[:, :, 0], c[:, 0, 0])
            got = tensorcore.model(rule, left, right, addend, element, "f32")
            for n in range(8):
                total, top = value(addend[n], "f32")
                for begin in range(0, k, rule.step):
                    terms = [(total, top)]
                    for i in range(begin, begin + rule.step):
                        (x, ex), (y, ey) = value(left[n, i], element), value(right[n, i], element)
                        terms.append((x * y, ex + ey))
                    largest = max(exponent for _, exponent in terms)
                    unit = Fraction(2) ** (largest - rule.fraction)
                    total = sum((int(term / unit) for term, _ in terms), 0) * unit  # int() truncates
                    if total:
                        exponent = math.frexp(float(total))[1] - 1
                        step = Fraction(2) ** (max(exponent, -126) - rule.result_bits)
                        total = int(total / step) * step
                        top = max(math.frexp(float(total))[1] - 1, -126) if total else -126
                    else:
                        top = -126
                self.assertEqual(Fraction(float(got[n])), total, (element, n))


class Tables(Folder):
    """Dumps of what the simulated device itself computes: fixtures, made here and gone after."""

    def device(self, opcode, first, count, tables_file=None):
        """By `attune sim`, with or without a dump."""
        text = self.folder / "approx.ptx"
        text.write_text(approx.ptx(90))
        out = self.folder / "y.npy"
        threads = min(count, 256)
        done = subprocess.run([options.attune, "sim", str(text), "--entry", approx.entry_name(opcode), "--grid",
                               str(count // threads), "--block", str(threads), "--arg", f"out:{out}:u32[{count}]", "--arg",
                               f"u32:{first}"], capture_output=True, text=True,
                              env=dict(os.environ, ATTUNE_DEVICE_TABLES=str(tables_file or "none")))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return np.load(out), done.stdout + done.stderr

    def write(self, *functions):
        path = self.folder / "made.tables"
        tables.write(path, functions, "a GPU", "1.2", "a test", 90)
        return path

    def test_round_trip(self):
        path = self.folder / "r.tables"
        status, result, text = accept("--tiny", "--part", "probes", "--only", "dump", out=self.out)
        self.assertEqual(status, 0, text)
        self.assertEqual(result["parts"]["probes"]["facts"]["tables"]["file"], "r.tables")
        for opcode, first, count in (("ex2.approx.ftz.f32", approx.ONE, 1 << 14), ("ex2.approx.f16", 0, 1 << 16),
                                     ("rcp.approx.ftz.f32", approx.first_of(-125), 1 << 12)):
            plain, note = self.device(opcode, first, count)
            self.assertNotIn("as dumped", note)
            dumped, note = self.device(opcode, first, count, path)
            self.assertTrue((plain == dumped).all(), opcode)
            self.assertIn("as dumped from simulated GPU (driver simulated)", note)

    def test_altered_dump_changes_the_bits(self):
        values, _ = self.device("ex2.approx.ftz.f32", approx.ONE, 1 << 12)
        altered = values.copy()
        altered[[5, 77, 4000]] += np.array([1, 0xFFFFFFFF, 123456], np.uint32)
        function = tables.Function("ex2.approx.ftz.f32")
        function.add(approx.ONE, altered)
        got, _ = self.device("ex2.approx.ftz.f32", approx.ONE, 1 << 13, self.write(function))
        self.assertTrue((got[:1 << 12] == altered).all())
        beyond, _ = self.device("ex2.approx.ftz.f32", approx.ONE, 1 << 13)
        self.assertTrue((got[1 << 12:] == beyond[1 << 12:]).all())  # not covered: the stand-in
        # And a whole attention run's bits with it.
        octave = approx.first_of(-3, True)
        shifted, _ = self.device("ex2.approx.ftz.f32", octave, 1 << 22)
        function.add(octave, shifted + np.uint32(1 << 17))
        path, sums = self.write(function), []
        for one in ("none", str(path)):
            out = self.folder / "o.npy"
            done = subprocess.run([options.attune, "run", "--head-dim", "64", "--len", "65", "--device", "sim", "--out",
                                   str(out)], capture_output=True, text=True, env=dict(os.environ, ATTUNE_DEVICE_TABLES=one))
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            sums.append(out.read_bytes())
        self.assertFalse(sums[0] == sums[1])

    def test_any_function_is_kept_to_the_bit(self):
        rng = np.random.default_rng(5)
        i = np.arange(1 << 13, dtype=np.uint32)
        odd = {0: rng.integers(0, 1 << 32, 1 << 13, dtype=np.uint32), 1: i * 7 + (rng.random(1 << 13) < 0.3),
               2: np.where(i < 4096, 0x7FFFFFFF, 0x80000000 + i), 3: i // 3 * 3, 4: 0xFFFFFFFF - i * i,
               5: np.where(i % 1000 == 0, 0, i), 6: np.repeat(rng.integers(0, 1 << 20, 128, dtype=np.uint32), 64)}
        function = tables.Function("tanh.approx.f32")
        for n, values in odd.items():
            function.add(approx.ONE + (n << 16), values.astype(np.uint32))
        # Laws that hold, one that holds in part, and one that does not.
        base, whole = approx.ONE, odd[0]
        function.add(approx.ONE + (8 << 16), whole + np.uint32(9), [tables.Copy(base, add=9)])
        function.add(approx.ONE + (9 << 16), np.where(i < 4096, whole + 9, 0), [tables.Copy(base, add=9)])
        stretched = (whole[(3 * i + 5) & 8191].astype(np.int64) + (3 * i + 5 >> 13) * 11).astype(np.uint32)
        function.add(approx.ONE + (10 << 16), stretched, [tables.Copy(base, 3, 5, 11)])
        function.add(approx.ONE + (11 << 16), whole + np.uint32(8), [tables.Copy(base, add=9)])
        kinds = [piece.kind for piece in function.finished()]
        self.assertEqual(kinds.count(tables.COPY), 3)
        path = self.write(function)
        more = {8: whole + np.uint32(9), 9: np.where(i < 4096, whole + 9, 0), 10: stretched, 11: whole + np.uint32(8)}
        got, _ = self.device("tanh.approx.f32", approx.ONE, 12 << 16, path)
        for n, values in {**odd, **more}.items():
            self.assertTrue((got[n << 16:(n << 16) + 8192] == values.astype(np.uint32)).all(), n)

    def test_laws_of_a_gpu(self):
        """As an H100 computes: of 2^x it takes 23 fractional bits of x, and of a negative x the ones' complement; log2 is a sum
        in 23 fractional bits, rounded toward zero. One octave then says all others, to the bit, in next to no room."""
        n, i = 1 << 14, np.arange(1 << 14, dtype=np.int64)
        octave, self.octave = approx.OCTAVE, n
        approx.OCTAVE = n  # octaves of 2^14 arguments, so that the test is quick
        self.addCleanup(setattr, approx, "OCTAVE", octave)
        power = (0x40000000 + (np.sqrt(i / n + 0.3) * 300000).astype(np.int64)).astype(np.uint32)  # any function of 14 bits
        function, wanted = tables.Function("ex2.approx.ftz.f32"), {}

        def power_of(fixed):
            return (power[fixed & (n - 1)].astype(np.int64) + ((fixed >> 14) - 1) * n).astype(np.uint32)
        for at, (exponent, negative) in enumerate([(0, False), (3, False), (-4, False), (2, True), (-5, True)]):
            fixed = (n + i << max(exponent, 0)) >> max(-exponent, 0)
            wanted[at] = power_of(~fixed if negative else fixed)
            function.add(approx.ONE if at == 0 else approx.ONE + (at << 16), wanted[at], approx.periodic(exponent, negative))
        self.assertEqual([piece.kind for piece in function.finished()], [tables.QUADRATIC] + [tables.COPY] * 4)
        got, _ = self.device("ex2.approx.ftz.f32", approx.ONE, 5 << 16, self.write(function))
        for at, values in wanted.items():
            self.assertTrue((got[at << 16:(at << 16) + n] == values).all(), at)

        approx.OCTAVE = octave
        fraction = (np.log2(1 + i / n) * (1 << 23)).astype(np.int64)  # of [2, 4): 1 + fraction, which an f32 holds
        function, wanted = tables.Function("lg2.approx.ftz.f32"), {}
        for at, exponent in enumerate((1, 7, -3, -20, 31)):
            number = exponent * (1 << 23) + fraction + (exponent < 0)
            size = np.abs(number)
            beyond = np.maximum(np.frexp(size.astype(np.float64))[1] - 24, 0)
            value = np.sign(number) * (size >> beyond << beyond) / (1 << 23)
            wanted[at] = value.astype(np.float32).view(np.uint32)
            laws = approx.logarithm(exponent, False)
            for law in laws:
                law.of = approx.ONE
            function.add(approx.ONE + (at << 16), wanted[at], laws)
        self.assertEqual([piece.kind for piece in function.finished()], [tables.QUADRATIC] + [tables.FIXED] * 4)
        self.assertLess(function.size(), 1 << 15)
        got, _ = self.device("lg2.approx.ftz.f32", approx.ONE, 5 << 16, self.write(function))
        for at, values in wanted.items():
            self.assertTrue((got[at << 16:(at << 16) + n] == values).all(), at)

    def test_kept_dumps_are_as_near_as_documented(self):
        """Every dump that is part of attune, in octaves of every law: within the errors that the PTX ISA states."""
        truth = {"ex2.approx.ftz.f32": (np.exp2, [(0, False), (5, False), (-3, False), (-20, False), (0, True), (6, True),
                                                  (-1, True), (-12, True)]),
                 "rcp.approx.ftz.f32": (np.reciprocal, [(0, False), (100, True), (-90, False)]),
                 "lg2.approx.ftz.f32": (np.log2, [(0, False), (1, False), (-1, False), (9, False), (31, False), (-2, False),
                                                  (-24, False)])}
        kept = sorted((HERE.parents[1] / "simulator" / "tables").glob("*.tables"))
        self.assertTrue(kept)
        for path in kept:
            for opcode, (function, octaves) in truth.items():
                for exponent, negative in octaves:
                    first = approx.first_of(exponent, negative) + 0x2ABC00
                    got, note = self.device(opcode, first, 1 << 12, path)
                    self.assertIn("as dumped from", note)
                    x = (first + np.arange(1 << 12)).astype(np.uint32).view(np.float32).astype(np.float64)
                    right = function(x)
                    missed = np.abs(got.view(np.float32) - right)
                    bound = 2.0 ** -22 if opcode.startswith("lg2") else 2.0 ** -22 * np.abs(right)
                    self.assertTrue((missed <= np.maximum(bound, 2.0 ** -22 * np.abs(right))).all(), (opcode, exponent, negative))

    def test_broken_files_are_told(self):
        function = tables.Function("ex2.approx.ftz.f32")
        function.add(approx.ONE, np.arange(4096, dtype=np.uint32) ** 2)
        path = self.write(function)
        good = path.read_bytes()
        for bad, said in ((good[:-1], "bytes after the head"), (b"x" + good[1:], "expected a file of device tables"),
                          (good[:40] + b"!" + good[41:], "expected checksum")):
            path.write_bytes(bad)
            done = subprocess.run([options.attune, "run", "--head-dim", "64", "--len", "65", "--device", "sim"],
                                  capture_output=True, text=True, env=dict(os.environ, ATTUNE_DEVICE_TABLES=str(path)))
            self.assertEqual(done.returncode, 2)
            self.assertIn(said, done.stderr)
        path.unlink()
        done = subprocess.run([options.attune, "run", "--head-dim", "64", "--len", "65", "--device", "sim"],
                              capture_output=True, text=True, env=dict(os.environ, ATTUNE_DEVICE_TABLES=str(path)))
        self.assertEqual(done.returncode, 3)


class Trouble(Folder):
    def test_what_is_missing(self):
        status, _, text = accept("--part", "probes", out=self.out, driver="libno_such_driver.so.1")
        self.assertEqual(status, 3, text)
        self.assertIn("expected the NVIDIA driver", text)
        status, _, text = accept("--attune", "/no/such/attune", "--part", "probes", out=self.out)
        self.assertEqual(status, 3, text)
        self.assertIn("expected the attune executable", text)
        self.assertFalse(self.out.exists())
        bare = self.folder / "python"
        bare.write_text(f"#!/bin/sh\nexec {sys.executable} -S \"$@\"\n")  # no packages
        bare.chmod(0o755)
        status, _, text = accept("--part", "probes", out=self.out, environment={"ATTUNE_PYTHON": str(bare)})
        self.assertEqual(status, 3, text)
        self.assertIn("expected a Python with numpy", text)
        for bad, said in (("--seconds=-1", "expected a time above 0"), ("--only=(", "expected a regular expression"),
                          ("--part=nothing", "invalid choice"), ("--out=/proc/nothing/r.json", "/proc/nothing")):
            status, _, text = accept(bad)
            self.assertEqual(status, 2, text)
            self.assertIn(said, text)
            self.assertNotIn("Traceback", text)
        status, _, text = accept("--list")
        self.assertEqual(status, 0)
        self.assertIn("cells of the benchmark: 144", text)

    def test_a_contestant_that_dies_costs_itself_alone(self):
        died = {"ATTUNE_SIMULATED_CRASH": f"2:{self.folder / 'mark'}"}
        status, result, text = accept("--tiny", "--part", "benchmark", "--peers", "test", "--only", "h2$", out=self.out,
                                      environment=died)
        self.assertEqual(status, 1, text)
        rows = result["parts"]["benchmark"]["rows"]
        self.assertEqual([row["status"] for row in rows], ["failed", "passed"])
        names = {one["name"]: one for one in rows[0]["contestants"]}
        self.assertEqual(names["attune ptx"]["why"], "the process died (-6)")
        self.assertEqual(names["numpy"]["status"], "ok")
        self.assertEqual(schema.check(result), [])

    def test_a_fault_costs_its_row_alone(self):
        fault = {"ATTUNE_SIMULATED_FAULT": f"1:{self.folder / 'mark'}"}
        status, result, text = accept("--tiny", "--part", "large-offsets", "--quick", out=self.out, environment=fault)
        self.assertEqual(status, 1, text)
        rows = {row["name"]: row for row in result["parts"]["large-offsets"]["rows"]}
        self.assertIn("CUDA_ERROR_LAUNCH_FAILED", rows["batch ptx"]["why"])
        self.assertNotEqual(rows["batch cuda"]["status"], "failed")

    def test_no_time(self):
        status, result, text = accept("--part", "correctness", "--part", "large-offsets", "--seconds", "0.1", out=self.out)
        self.assertEqual(status, 0, text)
        part = result["parts"]["correctness"]
        self.assertEqual(part["status"], "unfinished")
        self.assertGreater(len(part["unfinished"]), 0)
        self.assertEqual(len(part["rows"]) + len(part["unfinished"]), 96)  # a fast machine does some
        self.assertIn(f"not finished ({len(part['unfinished'])})", text)

    def test_interrupted(self):
        process = subprocess.Popen(
            [str(HERE / "accept.sh"), "--attune", options.attune, "--driver", options.driver, "--part", "probes", "--part",
             "benchmark", "--out", str(self.out)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=dict(os.environ, ATTUNE_PYTHON=sys.executable))
        for line in process.stdout:
            if "accept: probes" in line:
                break
        time.sleep(2.5)  # into the probes, which take minutes on the simulated device
        process.send_signal(signal.SIGINT)
        text = process.communicate(timeout=300)[0]  # what a busy machine is at
        self.assertEqual(process.returncode, 130, text)
        result = json.loads(self.out.read_text())
        self.assertEqual(schema.check(result), [])
        self.assertTrue(result["interrupted"])
        self.assertEqual(result["parts"]["probes"]["status"], "unfinished")
        self.assertEqual(result["parts"]["benchmark"]["why"], "interrupted before it began")

    def test_schema_finds_what_is_wrong(self):
        good = {"format": 1, "sample": True, "mode": "quick", "interrupted": False, "seconds": 1.0, "machine": {}, "attune": {},
                "parts": {}}
        self.assertIn("result.machine: expected 'gpu', got none", schema.check(good))
        self.assertIn("result.format: expected 1, got 2", schema.check({**good, "format": 2}))
        self.assertIn("result.mode: expected one of full, quick, got 'slow'", schema.check({**good, "mode": "slow"}))
        self.assertTrue(any("got 'surplus'" in line for line in schema.check({**good, "parts": {"surplus": {}}})))
        row = {"status": "passed", "why": "", "rows": [{"name": "x", "status": "nice"}], "unfinished": [], "facts": {}}
        self.assertTrue(any("rows[0].status" in line for line in schema.check({**good, "parts": {"probes": row}})))


class Arrays(unittest.TestCase):
    def test_masks(self):
        self.assertEqual(arrays.kept("causal", 3, 5).astype(int).tolist(), [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])
        self.assertEqual(arrays.kept("causal:bottom_right", 2, 4).astype(int).tolist(), [[1, 1, 1, 0], [1, 1, 1, 1]])
        self.assertEqual(arrays.kept(["window:1:1", "causal"], 3, 3).astype(int).tolist(), [[1, 0, 0], [1, 1, 0], [0, 1, 1]])

    def test_rounding(self):
        values = np.array([1.0, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -2 ** -133, np.inf], np.float32)
        self.assertEqual([hex(x) for x in arrays.to_bits(values, "bf16")], ["0x3f80", "0x3f80", "0x3f82", "0x8001", "0x7f80"])
        self.assertEqual(arrays.from_bits(arrays.to_bits(values[:1], "fp16"), "fp16").tolist(), [1.0])

    def test_errors(self):
        exact = np.ones((4, 4))
        self.assertTrue(arrays.errors(exact + 1e-4, exact, exact + 1e-4, "bf16")["good"])
        self.assertFalse(arrays.errors(exact + 1e-2, exact, exact + 1e-3, "bf16")["good"])
        self.assertFalse(arrays.errors(exact * np.nan, exact, exact, "bf16")["good"])

    def test_cases_spread(self):
        rows = cases.correctness(False)
        specs = [row["spec"] for row in rows]
        self.assertEqual({s["dtype"] for s in specs}, {"bf16", "fp16"})
        self.assertEqual({str(s["mask"]) for s in specs}, {str(mask) for mask in cases.MASKS})
        self.assertEqual({(row["length_q"], row["length_kv"]) for row in rows}, set(cases.LENGTHS))
        self.assertEqual({(s["head_dim_qk"], s["head_dim_v"]) for s in specs}, set(cases.DIMS))
        self.assertEqual(len({cases.name_of(row) for row in rows}), len(rows))
        self.assertEqual(len({cases.cell_name(cell) for cell in cases.benchmark(False)}), 144)

    def test_parameters(self):
        """Every field where the kernel says that it is."""
        fields = [{"argument": "k", "what": "address", "offset": 0, "bytes": 8},
                  {"argument": "k", "what": "stride", "axis": 1, "offset": 8, "bytes": 8},
                  {"argument": "n", "what": "value", "value": "heads_q / heads_kv + len_q", "offset": 16, "bytes": 4}]
        block = kernels.pack({"parameters": fields, "parameter_bytes": 24},
                             [(n << 40 | 1, 2, 3, 4) for n in range(5)], {"heads_q": 8, "heads_kv": 2, "len_q": 5})
        self.assertEqual(len(block), 24)
        self.assertEqual([int.from_bytes(block[at:at + 8], "little") for at in (0, 8, 16)], [1 << 40 | 1, 3, 9])


def main():
    global options
    parser = argparse.ArgumentParser()
    parser.add_argument("--attune", required=True)
    parser.add_argument("--driver", required=True)
    options, names = parser.parse_known_args()
    suite = unittest.defaultTestLoader.loadTestsFromNames(names, sys.modules[__name__]) if names else \
        unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    bad, skipped = len(result.failures) + len(result.errors), len(result.skipped)
    print(f"{result.testsRun - bad - skipped} passed, {bad} failed, {skipped} skipped")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
