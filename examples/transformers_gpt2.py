#!/usr/bin/env python3
"""A GPT-2 of transformers with attune's kernels in the place of its own attention: the same tokens and logits.

The model has random weights: nothing is downloaded. On a machine with a GPU it is of GPT-2's size and runs there; without
one it is small, and attention runs on the simulated GPU.

usage: transformers_gpt2.py [--tokens N] [--layers N] [--batch N]
"""
import argparse
import os
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import attune.transformers


def main():
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=64 if on_gpu else 4, help="to generate")
    parser.add_argument("--layers", type=int, default=12 if on_gpu else 2)
    parser.add_argument("--batch", type=int, default=8 if on_gpu else 2)
    arguments = parser.parse_args()

    attune.transformers.register()
    torch.manual_seed(0)
    heads, vocabulary = (12, 50257) if on_gpu else (4, 1000)
    config = GPT2Config(n_layer=arguments.layers, n_head=heads, n_embd=64 * heads, vocab_size=vocabulary, bos_token_id=0,
                        eos_token_id=None, attn_pdrop=0.0)
    model = GPT2LMHeadModel(config).to("cuda" if on_gpu else "cpu", torch.float16).eval()
    prompt = torch.randint(vocabulary, (arguments.batch, 20), device=model.device)
    padding = torch.ones_like(prompt)
    padding[0, :5] = 0  # the first prompt is shorter: its mask hides what it is padded with

    tokens, logits = {}, {}
    for name in ("eager", "attune"):
        model.set_attn_implementation(name)
        with torch.inference_mode():
            model(prompt, attention_mask=padding)  # kernels are compiled, or taken from the cache
            begin = time.perf_counter()
            logits[name] = model(prompt, attention_mask=padding).logits.float()
            forward = time.perf_counter() - begin
            begin = time.perf_counter()
            tokens[name] = model.generate(prompt, attention_mask=padding, max_new_tokens=arguments.tokens, do_sample=False, pad_token_id=0)
            generate = time.perf_counter() - begin
        print(f"{name:8} forward {forward * 1e3:8.1f} ms   generate {arguments.tokens} tokens {generate * 1e3:8.1f} ms")

    seen = padding.bool()
    difference = (logits["eager"] - logits["attune"])[seen].abs().max().item()
    same = torch.equal(tokens["eager"], tokens["attune"])
    print(f"largest difference of logits {difference:.4f} (largest logit {logits['eager'][seen].abs().max().item():.2f}); "
          f"tokens {'equal' if same else 'differ'}")
    return 0 if same and difference < 0.02 else 1


if __name__ == "__main__":
    raise SystemExit(main())
