// RUN: attune-opt %s -attn-to-tile=arch=sm_86 -split-input-file -verify-diagnostics

// expected-error@+1 {{expected at most 101376 bytes of shared memory on sm_86, got 229376 (32768 for Q, 196608 for 3 stage(s) of K and V); the nearest schedule that fits is block_q 128, block_kv 128, stages 1, warps 8}}
attn.forward @shared : bf16, qk = 128, v = 128, scale = 1.0, schedule {block_q = 128, block_kv = 128, stages = 3, warps = 8}
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) { attn.yield %s : f32 }
  mask (%b: index, %h: index, %q: index, %kv: index) { %t = arith.constant true
    attn.yield %t : i1 }

// -----

// expected-error@+1 {{expected block_q to be a multiple of 16 x warps = 64, got 80}}
attn.forward @slabs : bf16, qk = 64, v = 64, scale = 1.0, schedule {block_q = 80, warps = 4}
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) { attn.yield %s : f32 }
  mask (%b: index, %h: index, %q: index, %kv: index) { %t = arith.constant true
    attn.yield %t : i1 }

// -----

// expected-error@+1 {{expected at most 255 registers a thread}}
attn.forward @registers : bf16, qk = 64, v = 256, scale = 1.0, schedule {block_q = 64, block_kv = 64, warps = 1, stages = 1}
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) { attn.yield %s : f32 }
  mask (%b: index, %h: index, %q: index, %kv: index) { %t = arith.constant true
    attn.yield %t : i1 }

// -----

// expected-error@+1 {{expected a parameter of the portable family (block_q, block_kv, stages, warps), got 'blok_q'}}
attn.forward @key : bf16, qk = 64, v = 64, scale = 1.0, schedule {blok_q = 64}
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) { attn.yield %s : f32 }
  mask (%b: index, %h: index, %q: index, %kv: index) { %t = arith.constant true
    attn.yield %t : i1 }

// -----

// expected-error@+1 {{expected a schedule family among portable, hopper, got 'hoper'}}
attn.forward @family : bf16, qk = 64, v = 64, scale = 1.0, schedule {family = "hoper"}
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) { attn.yield %s : f32 }
  mask (%b: index, %h: index, %q: index, %kv: index) { %t = arith.constant true
    attn.yield %t : i1 }

// -----

// expected-error@+1 {{expected warps of 1..8, got 3 (nearest: 4)}}
attn.forward @value : bf16, qk = 64, v = 64, scale = 1.0, schedule {warps = 3}
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) { attn.yield %s : f32 }
  mask (%b: index, %h: index, %q: index, %kv: index) { %t = arith.constant true
    attn.yield %t : i1 }
