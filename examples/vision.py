#!/usr/bin/env python3
"""A vision transformer (ViT) of transformers with attune's kernels: every patch sees every patch, no mask.

The model has random weights. On a machine with a GPU it is ViT-Base; without one it is small, and attention runs on the
simulated GPU.
"""
import os
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import ViTConfig, ViTModel

import attune.transformers


def main():
    on_gpu = torch.cuda.is_available()
    attune.transformers.register()
    torch.manual_seed(0)
    layers, heads, size = (12, 12, 224) if on_gpu else (2, 2, 112)
    config = ViTConfig(num_hidden_layers=layers, num_attention_heads=heads, hidden_size=64 * heads, intermediate_size=256 * heads,
                       image_size=size)
    model = ViTModel(config).to("cuda" if on_gpu else "cpu", torch.float16).eval()
    images = torch.randn(2, 3, size, size, device=model.device, dtype=torch.float16)

    features = {}
    for name in ("eager", "attune"):
        model.set_attn_implementation(name)
        with torch.inference_mode():
            model(images)
            begin = time.perf_counter()
            features[name] = model(images).last_hidden_state.float()
        print(f"{name:8} {features[name].shape[1]} patches of {len(images)} images: {(time.perf_counter() - begin) * 1e3:8.1f} ms")
    difference = (features["eager"] - features["attune"]).abs().max().item()
    print(f"largest difference of features {difference:.4f} (largest {features['eager'].abs().max().item():.2f})")
    return 0 if difference < 0.05 else 1


if __name__ == "__main__":
    raise SystemExit(main())
