// Every op of the attn dialect prints as it was written.
// RUN: attune-opt %s | attune-opt | FileCheck %s

// CHECK-LABEL: attn.forward @llama3 : bf16, qk = 128, v = 128, scale = 0.0883883461
// CHECK-NEXT: score (%[[S:.*]]: f32, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index) {
// CHECK-NEXT: attn.yield %[[S]] : f32
// CHECK: mask (%{{.*}}: index, %{{.*}}: index, %[[Q:.*]]: index, %[[KV:.*]]: index) {
// CHECK-NEXT: %[[KEEP:.*]] = arith.cmpi sle, %[[KV]], %[[Q]] : index
// CHECK-NEXT: attn.yield %[[KEEP]] : i1
attn.forward @llama3 : bf16, qk = 128, v = 128, scale = 0.0883883461
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    attn.yield %s : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    %keep = arith.cmpi sle, %kv, %q : index
    attn.yield %keep : i1
  }

// CHECK-LABEL: attn.forward @asked : f16, qk = 64, v = 80, scale = 1.000000e+00, lse, schedule {block_q = 64 : i64}
// CHECK: attn.length kv
// CHECK: attn.length q
attn.forward @asked : f16, qk = 64, v = 80, scale = 1.0, lse, schedule {block_q = 64 : i64}
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    %t = math.tanh %s : f32
    attn.yield %t : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    %n = attn.length kv
    %m = attn.length q
    %shift = arith.subi %n, %m : index
    %last = arith.addi %q, %shift : index
    %keep = arith.cmpi sle, %kv, %last : index
    attn.yield %keep : i1
  }

// CHECK-LABEL: attn.forward @given : bf16, qk = 64, v = 64, scale = 1.000000e+00, sink, lengths_q, lengths_kv, lse
// CHECK: attn.scalar "cap" : f32
// CHECK: attn.scalar "left" in [0, 4096] : index
attn.forward @given : bf16, qk = 64, v = 64, scale = 1.0, lengths_kv, sink, lengths_q, lse
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    %c = attn.scalar "cap" : f32
    %t = arith.mulf %s, %c : f32
    attn.yield %t : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    %left = attn.scalar "left" in [0, 4096] : index
    %first = arith.subi %q, %left : index
    %keep = arith.cmpi sge, %kv, %first : index
    attn.yield %keep : i1
  }

// CHECK-LABEL: attn.forward @captured
// CHECK: %[[SLOPE:.*]] = attn.element "slope"[%{{.*}}] of ["heads_q"] x f32 : f32
// CHECK: attn.kv_head
// CHECK: attn.element "doc"[%{{.*}}, %{{.*}}] of ["heads_kv", "len_kv"] x i32 : i32
attn.forward @captured : f16, qk = 64, v = 64, scale = 1.0
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    %slope = attn.element "slope"[%h] of ["heads_q"] x f32 : f32
    %t = arith.mulf %s, %slope : f32
    attn.yield %t : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    %head = attn.kv_head
    %doc = attn.element "doc"[%head, %kv] of ["heads_kv", "len_kv"] x i32 : i32
    %zero = arith.constant 0 : i32
    %keep = arith.cmpi ne, %doc, %zero : i32
    attn.yield %keep : i1
  }
