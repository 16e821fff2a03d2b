// A program that keeps the rules passes unchanged.
// RUN: attune-opt %s -attn-to-tile=arch=sm_80 | attune-opt -pass-pipeline="builtin.module(tile.kernel(tile-allocate-smem,tile-verify-schedule))" | FileCheck %s

// CHECK: tile.kernel @checked
// CHECK: tile.acquire
// CHECK: tile.release
attn.forward @checked : bf16, qk = 64, v = 64, scale = 0.125, schedule {block_q = 64, block_kv = 32, stages = 3, warps = 4}
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    attn.yield %s : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    %keep = arith.cmpi sle, %kv, %q : index
    attn.yield %keep : i1
  }
