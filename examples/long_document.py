#!/usr/bin/env python3
"""Documents packed into one long row: a token sees what came before it in its own document, by FlexAttention's mask_mod.

On a machine with a GPU the row has 65536 tokens; without one it has 512, and attention runs on the simulated GPU. Blocks
of keys are compared with the same call of dense attention, document by document.

usage: long_document.py [--length N]
"""
import argparse
import time

import torch

import attune.torch


def main():
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser()
    parser.add_argument("--length", type=int, default=65536 if on_gpu else 512)
    length = parser.parse_args().length

    torch.manual_seed(0)
    device, heads, dim = ("cuda", 8, 64) if on_gpu else ("cpu", 2, 32)
    q, k, v = [torch.randn(1, heads, length, dim, device=device).half() for _ in range(3)]
    cuts = torch.sort(torch.randperm(length - 1)[:length // 128] + 1).values.tolist()
    begins = [0, *cuts]
    document = torch.zeros(length, dtype=torch.int32)
    document[cuts] = 1
    document = document.cumsum(0, dtype=torch.int32).to(device)

    def packed(b, h, q, kv):
        return (document[q] == document[kv]) & (q >= kv)

    attune.torch.flex_attention(q, k, v, block_mask=packed)  # compiles, or takes the kernel from the cache
    begin = time.perf_counter()
    out = attune.torch.flex_attention(q, k, v, block_mask=packed)
    if on_gpu:
        torch.cuda.synchronize()
    print(f"{len(begins)} documents in {length} tokens, {heads} heads: {(time.perf_counter() - begin) * 1e3:.1f} ms")

    worst = 0.0
    for first, last in zip(begins, [*cuts, length]):
        alone = [one[:, :, first:last].float() for one in (q, k, v)]
        expected = torch.nn.functional.scaled_dot_product_attention(*alone, is_causal=True)
        worst = max(worst, (out[:, :, first:last].float() - expected).abs().max().item())
    print(f"largest difference from each document alone {worst:.4f}")
    return 0 if worst < 0.01 else 1


if __name__ == "__main__":
    raise SystemExit(main())
