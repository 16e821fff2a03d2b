"""Models of transformers with attune, against their eager attention, and the examples."""
import os
import subprocess
import sys
import unittest
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

import attune
import attune.transformers

ROOT = Path(__file__).resolve().parents[2]
attune.transformers.register()


def small(config, model, **more):
    torch.manual_seed(0)
    made = model(config(vocab_size=100, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                        num_key_value_heads=2, max_position_embeddings=128, **more))
    return made.to(torch.float16).eval()


class Models(unittest.TestCase):
    def setUp(self):
        warnings.simplefilter("ignore")

    def agree(self, model, *arguments, **named):
        outs = {}
        for name in ("eager", "attune"):
            model.set_attn_implementation(name)
            with torch.inference_mode():
                outs[name] = model(*arguments, **named).logits.float()
        kept = named["attention_mask"].bool() if named.get("attention_mask") is not None else ...
        torch.testing.assert_close(outs["attune"][kept], outs["eager"][kept], atol=0.02, rtol=0.02)

    def test_llama_padding_and_generate(self):
        model = small(LlamaConfig, LlamaForCausalLM)
        prompt = torch.randint(100, (2, 12))
        padding = torch.ones_like(prompt)
        padding[1, :4] = 0
        self.agree(model, prompt)
        self.agree(model, prompt, attention_mask=padding)
        tokens = {}
        for name in ("eager", "attune"):
            model.set_attn_implementation(name)
            before = len(attune.torch._plans)
            tokens[name] = model.generate(prompt, attention_mask=padding, max_new_tokens=6, do_sample=False, pad_token_id=0)
        self.assertEqual(tokens["attune"].tolist(), tokens["eager"].tolist())
        kernels = {plan.facts["kernel"] + plan.spec for plan in list(attune.torch._plans.values())[before:]}
        self.assertLessEqual(len(kernels), 2, kernels)  # a growing cache is no new kernel each step

    def test_sliding_window(self):
        self.agree(small(MistralConfig, MistralForCausalLM, sliding_window=5), torch.randint(100, (2, 16)))

    def test_packed_sequences(self):
        positions = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 3]])
        self.agree(small(LlamaConfig, LlamaForCausalLM), torch.randint(100, (1, 12)), position_ids=positions, use_cache=False)

    def test_a_mask_given_as_a_tensor(self):
        keep = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0)) < 0.7
        keep |= torch.eye(12, dtype=torch.bool)
        added = torch.where(keep, 0.0, torch.finfo(torch.float16).min).half()
        model, prompt = small(LlamaConfig, LlamaForCausalLM), torch.randint(100, (2, 12))
        outs = {}
        for name in ("eager", "attune"):
            model.set_attn_implementation(name)
            with torch.inference_mode():
                outs[name] = model(prompt, attention_mask=added).logits.float()
        torch.testing.assert_close(outs["attune"], outs["eager"], atol=0.02, rtol=0.02)

    def test_a_mask_that_is_no_expression_is_not_dropped(self):
        from transformers import masking_utils

        with self.assertWarnsRegex(UserWarning, "a mask of booleans is made"):
            mask = attune.transformers.make_mask(1, 4, 4, mask_function=lambda b, h, q, kv: torch.isin(kv, torch.tensor([1, 2])))
        self.assertEqual(mask.dense()[0, 0, 0].tolist(), [False, True, True, False])
        mask = attune.transformers.make_mask(2, 4, 6, 2, mask_function=masking_utils.causal_mask_function)
        self.assertEqual(mask[0, 0].int().sum().item(), 3 + 4 + 5 + 6)  # a model that treats it as a tensor has one

    def test_what_is_refused(self):
        q = torch.zeros(1, 2, 8, 16, dtype=torch.float16)
        module = torch.nn.Module()
        for words, more in (("no dropout", {"dropout": 0.1}), ("no output_attentions", {"output_attentions": True}), ("no head_mask", {"head_mask": q})):
            with self.assertRaisesRegex(attune.Error, words):
                attune.transformers.attention_forward(module, q, q, q, None, **more)
        with self.assertRaisesRegex(attune.Error, "expected attention_mask of bool or a float dtype, got torch.int64"):
            attune.transformers.attention_forward(module, q, q, q, torch.ones(1, 1, 8, 8, dtype=torch.int64))


class Examples(unittest.TestCase):
    def test_examples(self):
        for name in ("transformers_gpt2", "vision", "long_document"):
            with self.subTest(name):
                done = subprocess.run([sys.executable, ROOT / f"examples/{name}.py"], capture_output=True, text=True)
                print(done.stdout)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
