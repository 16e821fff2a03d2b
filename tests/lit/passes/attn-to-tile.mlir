// The schedule is decided, and becomes a tile program.
// RUN: attune-opt %s -attn-to-tile=arch=sm_80 -canonicalize -cse -mlir-use-nameloc-as-prefix | FileCheck %s
// RUN: attune-opt %s -attn-to-tile=arch=sm_89 | FileCheck %s --check-prefix=SM89

// CHECK-LABEL: tile.kernel @causal(%q: !tile.array<batch x heads_q x len_q x 128 x bf16> {align = 16 : i64},
// CHECK-SAME: %lse: !tile.array<batch x heads_q x len_q x f32> {output}, %length_q: i32 {value = "len_q"},
// CHECK-SAME: arch("sm_80") warps(8) min_blocks(1) grid("ceil_div(len_q, 128) * heads_q * batch", "1", "1") schedule {block_kv = 128 : i64, block_q = 128 : i64, family = "portable", stages = 1 : i64, warps = 8 : i64}
// SM89-LABEL: tile.kernel @causal({{.*}}) arch("sm_89") warps(8) min_blocks(1) grid({{.*}}) schedule {block_kv = 128 : i64, block_q = 128 : i64, family = "portable", stages = 1 : i64, warps = 8 : i64}
// Longest work first, since later queries see more keys.
// CHECK: %[[FROM_END:.*]] = arith.subi %query_blocks, %query_block
// CHECK: arith.subi %[[FROM_END]], %c1_i32
// CHECK: %end = arith.divui
// CHECK: %masked_right = arith.subi %end
// CHECK: %k_ring = tile.ring : <1 x tensor<128x128xbf16, #smem>>
// Two loops: blocks that cross the diagonal or the last key, then whole ones, which never see a mask.
// CHECK: scf.for %it = %{{.*}} to %masked_right
// CHECK: tile.dot %q_tile, %k_tile transposed
// CHECK: tile.keep_columns %scores at [%first_query, %{{.*}}] last(%{{.*}}) last_shift(%{{.*}})
// CHECK: note = "blocks that cross a row's last key"
// CHECK: scf.for %it = %masked_right to %end
// CHECK-NOT: keep_columns
// CHECK: note = "blocks that every row sees whole"
// Then the loop of other attempts.
// CHECK: tile.take_nonfinite
// CHECK: note = "all blocks, one thing after the other"
// CHECK-NOT: scf.for
// CHECK: tile.retry
// CHECK: tile.store
// CHECK: tile.store_rows
attn.forward @causal : bf16, qk = 128, v = 128, scale = 0.0883883461, lse
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    attn.yield %s : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    %keep = arith.cmpi sle, %kv, %q : index
    attn.yield %keep : i1
  }

// A window needs a third loop; the schedule that is asked for is taken.
// CHECK-LABEL: tile.kernel @window({{.*}}) arch("sm_80") warps(2) min_blocks({{[0-9]+}}) grid({{.*}}) schedule {block_kv = 32 : i64, block_q = 32 : i64, family = "portable", stages = 2 : i64, warps = 2 : i64}
// CHECK: %k_ring = tile.ring : <2 x tensor<32x64xf16, #smem>>
// CHECK: note = "blocks that cross a row's last key, or its first"
// CHECK: note = "blocks that every row sees whole"
// CHECK: tile.keep_columns %scores at [%first_query, %{{.*}}] first_shift(%{{.*}})
// CHECK: note = "blocks that cross a row's first key"
attn.forward @window : f16, qk = 64, v = 64, scale = 0.125, schedule {block_q = 32, block_kv = 32, stages = 2, warps = 2}
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    attn.yield %s : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    %c100 = arith.constant 100 : index
    %first = arith.subi %q, %c100 : index
    %after = arith.cmpi sge, %kv, %first : index
    %before = arith.cmpi sge, %q, %kv : index
    %keep = arith.andi %after, %before : i1
    attn.yield %keep : i1
  }

// What a score adds that is linear in the key is where the products of a tile begin; their scale is folded still.
// CHECK-LABEL: tile.kernel @alibi
// CHECK: %[[COLUMN:.*]] = tile.first_column
// CHECK: %[[STEP:.*]] = arith.mulf
// CHECK: note = "blocks that
// CHECK-NOT: column_index
// CHECK: %[[BIAS:.*]] = tile.ramp %{{.*}} by %{{.*}} : tensor<32xf32, #row> -> tensor<32x32xf32, #acc>
// CHECK: tile.dot %{{.*}} transposed plus %[[BIAS]]
// CHECK-NOT: arith.addf %scores
attn.forward @alibi : f16, qk = 64, v = 64, scale = 0.125, schedule {block_q = 32, block_kv = 32, stages = 2, warps = 2}
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    %slope = attn.element "slope"[%h] of ["heads_q"] x f32 : f32
    %back = arith.subi %q, %kv : index
    %whole = arith.index_cast %back : index to i32
    %far = arith.sitofp %whole : i32 to f32
    %bias = arith.mulf %far, %slope : f32
    %biased = arith.subf %s, %bias : f32
    attn.yield %biased : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    %keep = arith.cmpi sle, %kv, %q : index
    attn.yield %keep : i1
  }

// Beside another score it is one more term.
// CHECK-LABEL: tile.kernel @capped
// CHECK: %scores = tile.dot %{{.*}} transposed :
// CHECK: %[[RAMP:.*]] = tile.ramp
// CHECK: arith.addf %{{.*}}, %[[RAMP]]
attn.forward @capped : f16, qk = 64, v = 64, scale = 0.125, schedule {block_q = 32, block_kv = 32, stages = 2, warps = 2}
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    %whole = arith.index_cast %kv : index to i32
    %far = arith.sitofp %whole : i32 to f32
    %half = arith.constant 0.5 : f32
    %bias = arith.mulf %far, %half : f32
    %capped = math.tanh %s : f32
    %biased = arith.addf %capped, %bias : f32
    attn.yield %biased : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    %all = arith.constant true
    attn.yield %all : i1
  }

// A mask that is no interval is evaluated where it keeps a part of a block; a score function works on whole tiles.
// CHECK-LABEL: tile.kernel @any
// CHECK: tile.count_blocks
// CHECK: tile.yield %{{.*}}, %{{.*}} : i1, i1
// CHECK: } : i32, i32
// CHECK: tile.column_index : tensor<128x128xi32, #acc>
// CHECK: math.exp2
// CHECK: note = "blocks that every row sees whole"
attn.forward @any : bf16, qk = 128, v = 128, scale = 0.0883883461
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    %t = math.tanh %s : f32
    attn.yield %t : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    %sum = arith.addi %q, %kv : index
    %c1 = arith.constant 1 : index
    %odd = arith.andi %sum, %c1 : index
    %c0 = arith.constant 0 : index
    %keep = arith.cmpi eq, %odd, %c0 : index
    attn.yield %keep : i1
  }

// Of an array that a mask reads, a kernel before it makes the least and the largest element of each block.
// CHECK-LABEL: tile.kernel @document_bounds(%doc: !tile.array<batch x len_kv x i32>, %bounds0: !tile.workspace<i32> {bytes = "ceil_div(len_kv, 64) * batch * 8"}
// CHECK-SAME: warps(1) min_blocks(1) grid("ceil_div(len_kv, 64) * batch + ceil_div(len_kv, 32) * batch", "1", "1")
// CHECK: tile.least
// CHECK: tile.largest
// CHECK: tile.store_entry %least to %bounds0
// CHECK: tile.store_entry %least to %bounds1
// CHECK-LABEL: tile.kernel @document(
// CHECK-SAME: %bounds0: !tile.workspace<i32> {bytes = "ceil_div(len_kv, 64) * batch * 8"}
// CHECK: tile.count_blocks
// CHECK-COUNT-4: tile.load_entry
attn.forward @document : bf16, qk = 64, v = 64, scale = 0.125, schedule {family = "portable", block_q = 64, block_kv = 32, stages = 2, warps = 4}
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    attn.yield %s : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    %of_q = attn.element "doc"[%b, %q] of ["batch", "len_kv"] x i32 : i32
    %of_kv = attn.element "doc"[%b, %kv] of ["batch", "len_kv"] x i32 : i32
    %keep = arith.cmpi eq, %of_q, %of_kv : i32
    attn.yield %keep : i1
  }
