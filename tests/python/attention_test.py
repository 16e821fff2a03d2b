"""attune.attention, Plan and Context on NumPy's arrays, by the simulated GPU."""
import functools
import json
import os
import subprocess
import tempfile
import threading
import time
import unittest

import ml_dtypes
import numpy as np

import attune
import cost
import reference

BF16 = ml_dtypes.bfloat16


def problem(dtype=BF16, batch=2, queries=40, keys=40, heads=4, heads_kv=2, dim=16, dim_v=None):
    shapes = [(batch, queries, heads, dim), (batch, keys, heads_kv, dim), (batch, keys, heads_kv, dim_v or dim)]
    return [reference.numbers(shape, seed, dtype) for seed, shape in enumerate(shapes)]


class Case(unittest.TestCase):
    def near(self, got, expected):
        np.testing.assert_allclose(reference.real(got), expected, rtol=0.02, atol=0.02)

    def refused(self, code, words, call):
        with self.assertRaises(attune.Error) as caught:
            call()
        self.assertEqual(caught.exception.code, code, str(caught.exception))
        self.assertIn(words, str(caught.exception))


class Attention(Case):
    def test_default_is_causal(self):
        q, k, v = problem()
        out = attune.attention(q, k, v)
        self.assertEqual((out.dtype, out.shape), (q.dtype, q.shape))
        self.near(out, reference.attention(q, k, v, lambda b, h, q, kv: kv <= q)[0])

    def test_types(self):
        for dtype in (np.float16, np.uint16):
            q, k, v = problem(dtype, batch=1, heads=1, heads_kv=1)
            out = attune.attention(q, k, v)
            self.assertEqual(out.dtype, q.dtype)
            self.near(out, reference.attention(q, k, v, lambda b, h, q, kv: kv <= q)[0])

    def test_bfloat16_and_its_bits_are_the_same(self):
        q, k, v = problem()
        bits = [one.view(np.uint16) for one in (q, k, v)]
        np.testing.assert_array_equal(attune.attention(*bits), attune.attention(q, k, v).view(np.uint16))

    def test_lse_and_another_head_dim_of_v(self):
        q, k, v = problem(dim=32, dim_v=16)
        out, lse = attune.attention(q, k, v, mask="window:3:0", lse=True)
        expected, sums = reference.attention(q, k, v, lambda b, h, q, kv: (kv <= q) & (q - kv <= 3))
        self.near(out, expected)
        self.assertEqual((lse.dtype, lse.shape), (np.float32, (2, 4, 40)))
        np.testing.assert_allclose(lse, sums, atol=1e-3)

    def test_layouts_and_strides(self):
        q, k, v = problem()
        expected = attune.attention(q, k, v)
        turned = [np.ascontiguousarray(one.transpose(0, 2, 1, 3)) for one in (q, k, v)]
        np.testing.assert_array_equal(attune.attention(*turned, layout="bhsd").transpose(0, 2, 1, 3), expected)
        np.testing.assert_array_equal(attune.attention(*[one.transpose(0, 2, 1, 3) for one in turned]), expected)
        padded = np.zeros((2, 40, 4, 48), BF16)  # rows apart, and others' elements between them
        padded[..., 8:24] = q
        out = np.ones((2, 40, 4, 32), BF16)
        self.assertIs(attune.attention(padded[..., 8:24], k, v, out=out[..., :16]).base, out)
        np.testing.assert_array_equal(out[..., :16], expected)
        self.assertTrue((out[..., 16:] == 1).all())
        np.testing.assert_array_equal(attune.attention(q[::-1], k[::-1], v[::-1])[::-1], expected)

    def test_scale_score_and_softcap(self):
        q, k, v = problem()
        self.near(attune.attention(q, k, v, None, scale=0.5, softcap=2.0),
                  reference.attention(q, k, v, scale=0.5, score=lambda s, *_: 2 * np.tanh(s / 2))[0])
        self.near(attune.attention(q, k, v, None, scale="runtime", scalars={"scale": 0.5}), reference.attention(q, k, v, scale=0.5)[0])

    def test_expressions_as_text(self):
        q, k, v = problem()
        doc = np.repeat(np.arange(4), 10)[None] + np.zeros((2, 1), np.int64)  # int64 becomes i32
        out = attune.attention(q, k, v, ["causal", "doc[b, q] == doc[b, kv]"], "score + slope[h] * (kv - q)",
                               arrays={"doc": doc, "slope": np.linspace(0, 1, 4, dtype=np.float32)})
        self.near(out, reference.attention(q, k, v, lambda b, h, q, kv: (kv <= q) & (doc[b, q] == doc[b, kv]),
                                           lambda s, b, h, q, kv: s + np.linspace(0, 1, 4)[h] * (kv - q))[0])

    def test_functions(self):
        q, k, v = problem()
        doc = np.repeat(np.arange(4, dtype=np.int32), 10)
        keep = np.random.default_rng(5).random((2, 40)) < 0.7
        bias = np.random.default_rng(6).standard_normal((4, 40, 40)).astype(np.float32)

        def mask(b, h, q, kv):
            return ((q // 8 == kv // 8) ^ (kv % 3 == 0)) & (keep[b, kv] | (doc[q] == doc[kv]))

        def score(s, b, h, q, kv):
            return np.where(q > kv, s / 2, np.tanh(s / 3) * 3 - np.abs(q - kv) * 0.5 ** (h + 1)) + bias[h, q, kv]

        self.near(attune.attention(q, k, v, mask, score), reference.attention(q, k, v, mask, score)[0])

    def test_a_score_of_minus_infinity_is_a_mask(self):
        q, k, v = problem()
        score = lambda s, b, h, q, kv: np.where(q >= kv, s, -np.inf)  # noqa: E731
        np.testing.assert_array_equal(attune.attention(q, k, v, None, score), attune.attention(q, k, v, "causal"))

    def test_sinks(self):
        q, k, v = problem(batch=1)
        sink = np.array([0.0, 1.0, -np.inf, 2.0], np.float32)
        out, lse = attune.attention(q, k, v, sink=sink, lse=True)
        plain, sums = reference.attention(q, k, v, lambda b, h, q, kv: kv <= q)
        with np.errstate(divide="ignore"):
            whole = np.logaddexp(sums, sink[:, None])
        np.testing.assert_allclose(lse, whole, atol=1e-3)
        self.near(out, plain * np.exp(sums - whole).transpose(0, 2, 1)[..., None])

    def test_lengths_of_entries(self):
        q, k, v = problem(batch=6, queries=70, keys=130)
        keys = np.array([0, 1, 63, 65, 130, 999], np.int32)
        queries = np.array([70, 5, 0, 64, -3, 70], np.int64)  # other whole numbers are converted
        for name in (k, v):
            name[2, 63:] = np.nan  # what lies beyond does not matter

        def inside(b, h, q, kv):
            return (q < queries[b]) & (kv < keys[b]) & (kv <= q + np.minimum(keys, 130)[b] - np.maximum(queries, 0)[b])

        clean = [np.nan_to_num(one.astype(np.float32)).astype(one.dtype) for one in (k, v)]
        expected, sums = reference.attention(q, *clean, inside)
        out, lse = attune.attention(q, k, v, "causal:bottom_right", lengths_kv=keys, lengths_q=queries, lse=True)
        self.near(out, expected)
        np.testing.assert_allclose(lse, sums, atol=1e-3)
        # One kernel, one plan, other lengths.
        plan = attune.Plan(q, *clean, None, lengths_kv=keys)
        for step in (1, 64, 130):
            lengths = np.full(6, step, np.int32)
            self.near(plan(q, *clean, arrays={"lengths_kv": lengths}), reference.attention(q, *clean, lambda b, h, q, kv: kv < step)[0])
        self.refused("InvalidArgument", "lengths_kv", lambda: plan(q, *clean, arrays={"lengths_kv": keys[:3]}))

    def test_nothing_to_compute(self):
        q, k, v = problem(queries=0)
        self.assertEqual(attune.attention(q, k, v).shape, (2, 0, 4, 16))
        q, k, v = problem(keys=0)
        self.assertEqual(float(np.abs(attune.attention(q, k, v).astype(np.float32)).max()), 0)


class Plans(Case):
    def test_a_plan_is_a_call_ahead(self):
        q, k, v = problem()
        plan = attune.Plan(q, k, v, score=lambda s, b, h, q, kv: s)
        np.testing.assert_array_equal(plan(q, k, v), attune.attention(q, k, v))
        self.assertIn("block_q", plan.describe())
        self.assertEqual(plan.facts["arch"], "sm_80")
        out = np.empty_like(q)
        self.assertIs(plan(q, k, v, out), out)

    def test_another_array_and_number_at_each_call(self):
        q, k, v = problem()
        plan = attune.Plan(q, k, v, "kv < prefix[b] + more", arrays={"prefix": np.array([3, 9], np.int32)}, scalars={"more": 0})
        for prefix, more in (([3, 9], 0), ([8, 1], 4)):
            prefix = np.array(prefix, np.int32)
            self.near(plan(q, k, v, arrays={"prefix": prefix}, scalars={"more": more}),
                      reference.attention(q, k, v, lambda b, h, q, kv: kv < prefix[b] + more)[0])

    def test_contexts(self):
        q, k, v = problem(batch=1, heads=1, heads_kv=1)
        expected = attune.attention(q, k, v)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for mode in ("eager", "lazy", "random"):
            context = attune.Context("sim", simulation=mode, seed=3, arch="sm_80", cache=folder.name)
            np.testing.assert_array_equal(attune.attention(q, k, v, context=context), expected)
        self.assertEqual(context.device["name"], "simulated sm_80")
        self.assertTrue(context.plan(q, k, v).facts["from_cache"])
        context.release()
        self.refused("NotCached", "cache", lambda: attune.Context("sim", cache="", policy="cache_only").plan(q, k, v))
        self.assertTrue(attune.devices()["devices"])

    def test_a_bundle_and_no_compiler(self):
        q, k, v = problem()
        attune.attention(q, k, v)
        with tempfile.TemporaryDirectory() as folder:
            spec, bundle = f"{folder}/spec.json", f"{folder}/kernels.attune"
            with open(spec, "w") as file:
                file.write('{"dtype": "bf16", "head_dim": 16, "mask": "causal"}')
            subprocess.run([os.path.join(os.environ["ATTUNE_BUILD"], "bin/attune"), "bundle", spec, "--arch", "sm_80", "-o", bundle],
                           check=True, capture_output=True)
            context = attune.Context("sim", bundle=bundle, cache="", compiler=False)
            self.near(attune.attention(q, k, v, context=context), reference.attention(q, k, v, lambda b, h, q, kv: kv <= q)[0])
            self.refused("NotCached", "", lambda: context.plan(q, k, v, "window:1:0"))
            with open(bundle, "r+b") as file:
                file.truncate(100)
            self.refused("InvalidBundle", "kernels.attune", lambda: attune.Context("sim", bundle=bundle))

    def test_what_a_call_costs_the_host(self):
        q, k, v = problem()
        plan, out = attune.Plan(q, k, v), np.empty_like(q)
        plan(q, k, v, out)
        took = cost.cost(plan, lambda: plan(q, k, v, out))
        print(f"a call of a known plan on arrays of NumPy: {took:.1f} us on the host")
        self.assertLess(took, cost.MOST_MICROSECONDS)

    def test_kernels_that_are_made_ahead(self):
        q, k, v = problem(batch=1)
        context = attune.Context("sim", cache="")
        spec = {"dtype": "bf16", "head_dim": 16, "mask": "window:9:0", "name": "ahead"}
        warm = context.prewarm([spec, json.dumps({**spec, "lse": True})], [(1, 4, 2, 40, 40), (2, 4, 2, 7, 9)], threads=2)
        self.assertEqual(warm.facts["requests"], 4)
        warm.wait()
        self.assertEqual((warm.facts["ready"], warm.facts["failed"]), (4, 0))
        begin = time.perf_counter()
        attune.Plan(q, k, v, "window:9:0", name="ahead", lse=True, context=context)
        self.assertLess(time.perf_counter() - begin, 0.1)  # nothing is compiled
        self.refused("InvalidSpec", "multiple of 8", lambda: context.prewarm([{"head_dim": 7}], [(1, 1, 1, 1, 1)]))
        self.refused("InvalidShape", "(1, 2)", lambda: context.prewarm([spec], [(1, 2)]))

    def test_a_forked_child_goes_on(self):
        q, k, v = problem(batch=1, queries=16, keys=16)
        expected = attune.attention(q, k, v)
        child = os.fork()
        if child == 0:
            good = False
            try:
                good = bool((attune.attention(q, k, v) == expected).all() and attune.attention(q, k, v, "window:3:0").shape == q.shape)
            finally:
                os._exit(0 if good else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_another_interpreter_of_the_process(self):
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            self.skipTest("this Python has no _xxsubinterpreters")
        attune.attention(*problem(batch=1, queries=16, keys=16))
        other = interpreters.create()
        interpreters.run_string(other, "import attune\nassert attune.devices()['devices']\nassert attune.Context('sim').simulated")
        interpreters.destroy(other)

    def test_many_threads(self):
        q, k, v = problem(batch=1, queries=16, keys=16, heads=1, heads_kv=1)
        expected = attune.attention(q, k, v)
        wrong = []

        def work():
            for _ in range(5):
                if not (attune.attention(q, k, v) == expected).all():
                    wrong.append(1)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])


class Refusals(Case):
    def test_arrays(self):
        q, k, v = problem()
        call = functools.partial
        self.refused("InvalidArgument", "expected q of float16 or bfloat16", call(attune.attention, q.astype(np.float32), k, v))
        self.refused("InvalidArgument", "expected elements of bf16 in k, got fp16", call(attune.attention, q, k.astype(np.float16), v))
        self.refused("InvalidShape", "expected q of 4 axes (batch, sequence, heads, head dim), got shape (40, 4, 16)", call(attune.attention, q[0], k, v))
        self.refused("InvalidShape", "expected v with sequence 40 as k has", call(attune.attention, q, k, v[:, :30]))
        self.refused("InvalidShape", "heads", call(attune.attention, q[:, :, :3], k, v))
        self.refused("InvalidArgument", "got list", call(attune.attention, q.tolist(), k, v))
        self.refused("InvalidSpec", "expected layout 'bshd'", call(attune.attention, q, k, v, layout="sbhd"))
        self.refused("InvalidArgument", "o", call(attune.attention, q, k, v, out=np.empty((2, 40, 4, 16), np.float16)))
        self.refused("InvalidArgument", "expected 40 rows in o (len_q), got 39", call(attune.attention, q, k, v, out=np.empty((2, 39, 4, 16), BF16)))
        self.refused("InvalidArgument", "expected whole numbers of 32 bits in array 'doc'",
                     call(attune.attention, q, k, v, "doc[kv] == 1", arrays={"doc": np.full(40, 2**40)}))

    def test_specs(self):
        q, k, v = problem()
        call = functools.partial
        self.refused("InvalidSpec", "causl", call(attune.attention, q, k, v, "causl"))
        self.refused("InvalidSpec", "expected a variable, an array or a scalar, got 'windwo'", call(attune.attention, q, k, v, "q - kv < windwo"))
        self.refused("InvalidSpec", "sofcap", call(attune.attention, q, k, v, sofcap=3.0))
        self.refused("InvalidSpec", "expected a spec of what JSON has", call(attune.attention, q, k, v, schedule={1, 2}))
        q, k, v = problem(dim=100)
        self.refused("InvalidSpec", "expected a multiple of 8 from 8 to 256, got 100", call(attune.attention, q, k, v))
        self.refused("InvalidOptions", "expected simulation to be one of", call(attune.Context, simulation="slow"))
        self.refused("InvalidOptions", "", call(attune.Context, "gpu"))


if __name__ == "__main__":
    unittest.main()
