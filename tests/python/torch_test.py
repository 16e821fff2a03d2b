"""attune.torch on CPU tensors, by the simulated GPU, against torch's own attention."""
import unittest
import warnings

import torch
from torch.nn.attention import flex_attention as flex
from torch.nn.functional import scaled_dot_product_attention as sdpa

import attune
import attune.torch
import cost


def problem(dtype=torch.bfloat16, batch=2, heads=4, heads_kv=4, queries=40, keys=40, dim=16, grad=False):
    """Q, K and V of (batch, heads, length, dim)."""
    torch.manual_seed(0)
    shapes = [(batch, heads, queries, dim), (batch, heads_kv, keys, dim), (batch, heads_kv, keys, dim)]
    return [torch.randn(shape).to(dtype).requires_grad_(grad) for shape in shapes]


def in_fp32(function, *tensors, **named):
    return function(*[one.float() if one.is_floating_point() else one for one in tensors], **named)


class Case(unittest.TestCase):
    def setUp(self):
        warnings.simplefilter("ignore")

    def near(self, got, expected, tolerance=0.02):
        torch.testing.assert_close(got.float(), expected.float(), rtol=tolerance, atol=tolerance)


class Sdpa(Case):
    def test_signature(self):
        q, k, v = problem()
        self.near(attune.torch.scaled_dot_product_attention(q, k, v), in_fp32(sdpa, q, k, v))
        self.near(attune.torch.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3), in_fp32(sdpa, q, k, v, is_causal=True, scale=0.3))
        q, k, v = problem(heads_kv=2, queries=7)
        self.near(attune.torch.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True),
                  in_fp32(sdpa, q, k, v, is_causal=True, enable_gqa=True))

    def test_masks(self):
        q, k, v = problem(torch.float16, queries=9)
        generator = torch.Generator().manual_seed(1)
        for shape in ((9, 40), (2, 1, 9, 40), (1, 4, 1, 40), (2, 4, 9, 40), (1, 1)):
            keep = torch.rand(shape, generator=generator) < 0.8
            self.near(attune.torch.scaled_dot_product_attention(q, k, v, keep), in_fp32(sdpa, q, k, v, attn_mask=keep))
            bias = torch.randn(shape, generator=generator)
            self.near(attune.torch.scaled_dot_product_attention(q, k, v, bias), in_fp32(sdpa, q, k, v, attn_mask=bias))

    def test_ranks(self):
        q, k, v = problem()
        self.near(attune.torch.scaled_dot_product_attention(q[0], k[0], v[0]), in_fp32(sdpa, q[0], k[0], v[0]))
        q, k, v = [one.reshape(1, 2, 4, 40, 16) for one in (q, k, v)]
        keep = torch.ones(40, 40, dtype=torch.bool).tril()
        self.near(attune.torch.scaled_dot_product_attention(q, k, v, keep), in_fp32(sdpa, q, k, v, attn_mask=keep))

    def test_views_that_kernels_do_not_read(self):
        q, k, v = problem()
        odd = torch.zeros(2, 4, 40, 17, dtype=q.dtype)[..., 1:]
        odd.copy_(q)
        self.near(attune.torch.scaled_dot_product_attention(odd, k, v), in_fp32(sdpa, q, k, v))

    def test_refusals(self):
        q, k, v = problem()
        for words, call in (("dropout_p 0", lambda: attune.torch.scaled_dot_product_attention(q, k, v, dropout_p=0.1)),
                            ("attn_mask or is_causal", lambda: attune.torch.scaled_dot_product_attention(q, k, v, q, is_causal=True)),
                            ("float16 or bfloat16", lambda: attune.torch.scaled_dot_product_attention(q.float(), k.float(), v.float())),
                            ("without enable_gqa", lambda: attune.torch.scaled_dot_product_attention(q, k[:, :2], v[:, :2])),
                            ("broadcasts to (2, 4, 40, 40)", lambda: attune.torch.scaled_dot_product_attention(q, k, v, torch.ones(3, 40)))):
            with self.subTest(words), self.assertRaises(attune.Error) as caught:
                call()
            self.assertIn(words, str(caught.exception))
        with self.assertRaisesRegex(attune.Error, "attune.torch.attention is differentiable"):
            attune.attention(*problem(grad=True), layout="bhsd")


class Flex(Case):
    def test_functions_run_unchanged(self):
        q, k, v = problem(heads=8, heads_kv=8)
        slopes = torch.exp2(-torch.arange(1, 9).float())
        doc = torch.arange(40) // 10
        bias = torch.randn(8, 40, 40)
        limit = torch.tensor(12)
        masks = (None, lambda b, h, q, kv: q >= kv, lambda b, h, q, kv: doc[q] == doc[kv],
                 flex.and_masks(lambda b, h, q, kv: q >= kv, lambda b, h, q, kv: q - kv <= limit))
        scores = (None, lambda s, b, h, q, kv: s + slopes[h] * (kv - q), lambda s, b, h, q, kv: torch.where(q >= kv, s, -float("inf")),
                  lambda s, b, h, q, kv: torch.tanh(s / 5) * 5 + bias[h, q, kv])
        for mask, score in [(one, scores[at % 4]) for at, one in enumerate(masks)] + [(None, one) for one in scores[2:]]:
            block = None if mask is None else flex.create_block_mask(mask, None, None, 40, 40, device="cpu")
            expected = in_fp32(flex.flex_attention, q, k, v, score_mod=score, block_mask=block)
            self.near(attune.torch.flex_attention(q, k, v, score, block), expected)

    def test_gqa_lse_and_aux(self):
        q, k, v = problem(heads_kv=2)
        out, lse = attune.torch.flex_attention(q, k, v, enable_gqa=True, scale=0.25, return_lse=True)
        expected, sums = in_fp32(flex.flex_attention, q, k, v, enable_gqa=True, scale=0.25, return_lse=True)
        self.near(out, expected)
        self.near(lse, sums)
        if hasattr(flex, "AuxRequest"):
            self.near(attune.torch.flex_attention(q, k, v, enable_gqa=True, return_aux=flex.AuxRequest(lse=True))[1].lse,
                      in_fp32(flex.flex_attention, q, k, v, enable_gqa=True, return_lse=True)[1])

    def test_what_cannot_be_traced(self):
        q, k, v = problem()
        with self.assertRaisesRegex(attune.TraceError, r"torch_test.py:\d+: error: .*got isin"):
            attune.torch.flex_attention(q, k, v, block_mask=lambda b, h, q, kv: torch.isin(q, torch.arange(3)))


class Gradients(Case):
    def same_gradients(self, call, reference, *tensors):
        """Gradients of a weighted sum of outputs, attune's and torch's in f32."""
        torch.manual_seed(3)
        outs = call(*tensors)
        weights = torch.randn(outs.shape)
        got = torch.autograd.grad((outs.float() * weights).sum(), tensors)
        doubles = [one.detach().double().requires_grad_() for one in tensors]
        expected = torch.autograd.grad((reference(*doubles) * weights).sum(), doubles)
        for one, other in zip(got, expected):
            self.near(one, other, 0.05)

    def test_qkv(self):
        for heads_kv in (4, 2):
            tensors = problem(heads_kv=heads_kv, keys=48, grad=True)
            self.same_gradients(lambda q, k, v: attune.torch.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True),
                                lambda q, k, v: sdpa(q, k, v, is_causal=True, enable_gqa=True), *tensors)

    def test_bias_and_windows(self):
        q, k, v = problem(grad=True)
        bias = torch.randn(4, 40, 40, requires_grad=True)
        places = torch.arange(40)
        keep = (places[None] - places[:, None]).abs() <= 5
        self.same_gradients(lambda q, k, v, bias: attune.torch.attention(q, k, v, "window:5:5", "score + bias[h, q, kv]", 0.25, {"bias": bias}, layout="bhsd"),
                            lambda q, k, v, bias: sdpa(q, k, v, attn_mask=bias.masked_fill(~keep, -torch.inf), scale=0.25), q, k, v, bias)

    def test_softcap_sink_and_functions(self):
        q, k, v = problem(batch=1, heads=2, heads_kv=2, grad=True)
        sink = torch.tensor([0.5, -1.0], requires_grad=True)
        causal = torch.ones(40, 40, dtype=torch.bool).tril()

        def reference(q, k, v, sink):
            s = 3 * torch.tanh(q @ k.transpose(-1, -2) / 4 / 3)
            s = torch.cat([s.masked_fill(~causal, -torch.inf), sink.view(1, 2, 1, 1).expand(1, 2, 40, 1)], -1)
            return s.softmax(-1)[..., :-1] @ v

        self.same_gradients(lambda q, k, v, sink: attune.torch.attention(q, k, v, lambda b, h, q, kv: kv <= q, softcap=3.0, sink=sink, layout="bhsd"),
                            reference, q, k, v, sink)

    def test_lengths_of_entries(self):
        q, k, v = problem(keys=48, grad=True)
        keys, queries = torch.tensor([0, 33], dtype=torch.int32), torch.tensor([40, 21])
        places = torch.arange(48)
        keep = (places < keys[:, None, None, None]) & (places[:40, None] < queries[:, None, None, None])

        def reference(q, k, v):
            p = torch.nan_to_num((q @ k.transpose(-1, -2) / 4).masked_fill(~keep, -torch.inf).softmax(-1))
            return p.masked_fill(~keep, 0) @ v

        call = lambda q, k, v: attune.torch.attention(q, k, v, None, lengths_kv=keys, lengths_q=queries, layout="bhsd")  # noqa: E731
        self.near(call(q, k, v), reference(q.double(), k.double(), v.double()))
        self.same_gradients(call, lambda q, k, v: torch.where(keep.any(-1, keepdim=True), sdpa(
            q, k, v, attn_mask=keep | ~keep.any(-1, keepdim=True)), 0.0), q, k, v)

    def test_of_lse(self):
        q, k, v = problem(grad=True)
        out, lse = attune.torch.attention(q, k, v, None, layout="bhsd", lse=True)
        got = torch.autograd.grad(lse.sum(), (q, k))
        doubles = [one.detach().double().requires_grad_() for one in (q, k)]
        expected = torch.autograd.grad((doubles[0] @ doubles[1].transpose(-1, -2) / 4).logsumexp(-1).sum(), doubles)
        for one, other in zip(got, expected):
            self.near(one, other, 0.05)

    def test_says_that_it_is_no_kernel(self):
        q, k, v = problem(grad=True)
        with self.assertWarnsRegex(UserWarning, "gradients are computed by a formula in torch"):
            attune.torch.scaled_dot_product_attention(q, k, v).sum().backward()


class Registry(Case):
    def test_torchs_own_attention(self):
        try:
            from torch.nn.attention import activate_flash_attention_impl, restore_flash_attention_impl
        except ImportError:
            with self.assertRaisesRegex(attune.Error, "has a registry"):
                attune.torch.register_flash_attention_impl()
            self.skipTest("this torch has no registry of flash attentions")
        attune.torch.register_flash_attention_impl()
        tensors = problem(keys=48, grad=True)
        plain = sdpa(*tensors, is_causal=True)
        expected = torch.autograd.grad(plain.sum(), tensors)
        attune.torch._plans.clear()
        activate_flash_attention_impl("attune")
        try:
            out = sdpa(*tensors, is_causal=True)
            got = torch.autograd.grad(out.sum(), tensors)
            compiled = torch.compile(lambda q, k, v: sdpa(q, k, v, scale=0.3), fullgraph=True, backend="aot_eager")(*tensors)
            with self.assertRaisesRegex(attune.Error, "float16 or bfloat16"):
                sdpa(*[one.detach().float() for one in tensors])
        finally:
            restore_flash_attention_impl()
        self.assertEqual(len(attune.torch._plans), 2)  # it was attune
        self.near(out, plain)
        for one, other in zip(got, expected):
            self.near(one, other, 0.05)
        self.near(compiled, sdpa(*tensors, scale=0.3))
        self.assertEqual(len(attune.torch._plans), 2)  # and is no more


class Compile(Case):
    def test_no_graph_break(self):
        q, k, v = problem(heads_kv=2)
        bias = torch.randn(40, 40)

        def model(q, k, v):
            first = attune.torch.scaled_dot_product_attention(q, k, v, bias, enable_gqa=True)
            return attune.torch.attention(first + q, k, v, "causal", softcap=5.0, layout="bhsd") * 2

        self.near(torch.compile(model, fullgraph=True, backend="aot_eager")(q, k, v), model(q, k, v), 1e-6)

    def test_the_operator_is_as_torch_wants_it(self):
        for grad in (False, True):
            q, k, v = problem(grad=grad)
            arguments = (q, k, v, [torch.randn(40, 40)], ["bias"], [3.0], ["w:i32"], ["kv <= q + w"], "score + bias[q, kv]", None, "bhsd", "{}", grad)
            torch.library.opcheck(torch.ops.attune.attention.default, arguments,
                                  test_utils=("test_schema", "test_autograd_registration", "test_faketensor"))


class Cost(Case):
    def test_what_a_call_costs_the_host(self):
        q, k, v = problem()
        out = torch.empty_like(q)
        call = lambda: attune.attention(q, k, v, layout="bhsd", out=out)  # noqa: E731
        call()
        plan = next(iter(plan for key, plan in attune._plan._calls.items() if plan.problem.layout == "bhsd"))
        direct, looked_up = cost.cost(plan, lambda: plan(q, k, v, out)), cost.cost(plan, call)
        attune.torch._plans.clear()
        attune.torch.attention(q, k, v, layout="bhsd")
        operator = cost.cost(next(iter(attune.torch._plans.values())), lambda: attune.torch.attention(q, k, v, layout="bhsd"))
        print(f"a call on tensors of torch: plan {direct:.1f} us, attune.attention {looked_up:.1f} us, attune.torch.attention {operator:.1f} us")
        self.assertLess(direct, cost.MOST_MICROSECONDS)


class Says(unittest.TestCase):
    def test_where_it_runs_once(self):
        attune.torch._said.clear()
        q, k, v = problem()
        with self.assertWarnsRegex(UserWarning, "tensors of the CPU are computed on the simulated GPU"):
            attune.torch.attention(q, k, v, layout="bhsd")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            attune.torch.attention(q, k, v, layout="bhsd")


if __name__ == "__main__":
    unittest.main()
